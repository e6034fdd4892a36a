//! A socket in the runtime's poll, for the system calls that the runtime has no name for.

use std::io;

use socket2::Socket;
use tokio::io::unix::AsyncFd;

/// Registers a non-blocking socket with the current runtime.
///
/// # Errors
/// The kernel cannot poll it.
#[allow(
    deprecated,
    reason = "what replaces it is an unsafe fn, because a type may lie about its descriptor; a Socket owns its own and does not"
)]
pub(crate) fn registered(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    AsyncFd::new(socket)
}
