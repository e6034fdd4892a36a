//! The end of a conversation that we end first.
//!
//! A socket that is closed while bytes wait to be read in it sends a reset, and a reset makes the peer's system throw
//! away what it has not yet read: the answer. So we half-close, and listen for a moment longer (RFC 1122, section
//! 4.2.2.13; RFC 9112, section 9.6).

use std::{future::poll_fn, io, os::fd::BorrowedFd, pin::Pin, time::Duration};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::timeout,
};

use super::scratch;

const MOMENT: Duration = Duration::from_secs(1);

/// Flushes and half-closes, then throws away what still comes, until the peer has closed too or a moment has passed.
///
/// # Errors
/// What was written did not all leave.
pub(crate) async fn close<S: AsyncRead + AsyncWrite + Unpin + ?Sized>(stream: &mut S) -> io::Result<()> {
    stream.shutdown().await?;
    let _ = timeout(MOMENT, drain(stream)).await;
    Ok(())
}

/// Has the socket tell its peer, when it is closed, that the conversation was cut off: what waits in it is thrown away, and a
/// TCP peer gets a reset instead of an end (RFC 9293, section 3.5).
pub(crate) fn cut_off(socket: BorrowedFd<'_>) {
    // A socket that cannot do that is closed as it can be.
    let _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
}

/// Throws away what comes, until the end.
///
/// # Errors
/// The stream's.
pub(crate) async fn drain<S: AsyncRead + AsyncWrite + Unpin + ?Sized>(stream: &mut S) -> io::Result<u64> {
    let mut drained = 0;
    loop {
        let n = poll_fn(|cx| {
            scratch::with(|buf| {
                let mut buf = ReadBuf::new(buf);
                Pin::new(&mut *stream).poll_read(cx, &mut buf).map_ok(|()| buf.filled().len())
            })
        })
        .await?;
        drained += n as u64;
        if n == 0 {
            return Ok(drained);
        }
    }
}
