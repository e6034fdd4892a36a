//! One buffer a thread: an idle connection holds none.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

/// Large enough that bulk does not pay for system calls, small enough to stay in the second-level cache.
const SIZE: usize = 128 << 10;

/// What is read into while the thread's buffer is in use.
const NESTED: usize = 16 << 10;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Runs `work` with the thread's buffer. It must not keep anything in it: the next connection gets the same one.
pub(crate) fn with<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
        Ok(mut buf) => {
            buf.resize(SIZE, 0);
            work(&mut buf)
        }
        // A stream whose poll_read itself needs the buffer, as a request's body does: a small one of its own.
        Err(_) => work(&mut vec![0; NESTED]),
    })
}

/// Reads into a slice; 0 is the end.
pub(crate) fn poll_read<S: AsyncRead + ?Sized>(
    cx: &mut Context<'_>,
    stream: Pin<&mut S>,
    buf: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buf = ReadBuf::new(buf);
    ready!(stream.poll_read(cx, &mut buf))?;
    Poll::Ready(Ok(buf.filled().len()))
}
