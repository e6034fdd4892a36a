//! A socket in the runtime's poll, for the system calls that the runtime has no name for.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use tokio::io::unix::AsyncFd;

/// Registers a non-blocking socket, or another descriptor that owns itself, with the current runtime.
///
/// # Errors
/// The kernel cannot poll it.
#[allow(
    deprecated,
    reason = "what replaces it is an unsafe fn, because a type may lie about its descriptor; what can be made from an OwnedFd owns its own and does not"
)]
pub(crate) fn registered<T: AsRawFd + From<OwnedFd>>(socket: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::new(socket)
}
