//! What really went wrong on the wire, since an HTTP library tells it in its own words, or not at all.

use std::{
    error,
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::error::Error;

/// A stream that remembers its error.
///
/// A peer that no longer reads may have answered already: what is written to it then vanishes, and the answer, or the
/// reason that it gives inside TLS, is still read.
pub(super) struct Witness<S> {
    stream: S,
    seen: Seen,
    deaf: bool,
}

/// What a [`Witness`] saw.
#[derive(Clone, Default)]
pub(super) struct Seen(Arc<Mutex<Testimony>>);

#[derive(Default)]
struct Testimony {
    failure: Option<Error>,
    heard: bool,
}

impl<S> Witness<S> {
    pub(super) fn new(stream: S) -> (Self, Seen) {
        let seen = Seen::default();
        (Self { stream, seen: seen.clone(), deaf: false }, seen)
    }

    /// Whether the peer only stopped reading, so that it may have said something.
    fn turns_deaf(&mut self, error: &io::Error) -> bool {
        self.deaf |= matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset);
        self.deaf
    }
}

impl Seen {
    /// Takes note of an error; the words of the other end, which are read, weigh more than our own failure to write.
    fn note(&self, error: io::Error, weighs: bool) -> io::Error {
        let kind = error.kind();
        let mut testimony = self.lock();
        if weighs || testimony.failure.is_none() {
            testimony.failure = Some(Error::io("the connection failed", error));
        }
        kind.into()
    }

    fn lock(&self) -> MutexGuard<'_, Testimony> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the other end ever said anything.
    pub(super) fn heard(&self) -> bool {
        self.lock().heard
    }

    /// The wire's error as it is, if there was one.
    pub(super) fn take(&self) -> Option<Error> {
        self.lock().failure.take()
    }

    /// The error of an exchange: the wire's where that failed, or else hyper's.
    pub(super) fn explain(&self, about: String, error: hyper::Error) -> Error {
        if let Some(ours) = ours(&error) {
            return again(about, ours);
        }
        match &self.lock().failure {
            Some(failure) if !error.is_parse() => again(about, failure),
            _ => Error::new(super::kind(&error), about).because(error),
        }
    }
}

/// The error of ours that hyper carries, as that of a body that could not be read from its file.
fn ours<'a>(error: &'a (dyn error::Error + 'static)) -> Option<&'a Error> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(ours) = error.downcast_ref::<Error>() {
            return Some(ours);
        }
        cause = error.source();
    }
    None
}

fn again(about: String, error: &Error) -> Error {
    let said = Error::new(error.kind(), about).because(error.to_string());
    match error.advice() {
        Some(hint) => said.hint(hint.to_owned()),
        None => said,
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Witness<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Ready(Err(error)) => {
                // A reset after our own failure is the same news again.
                let weighs = error.kind() != ErrorKind::ConnectionReset;
                Poll::Ready(Err(self.seen.note(error, weighs)))
            }
            Poll::Ready(Ok(())) => {
                if buf.filled().len() > before {
                    self.seen.lock().heard = true;
                }
                Poll::Ready(Ok(()))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Witness<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Ready(Ok(buf.len()));
        }
        match Pin::new(&mut self.stream).poll_write(cx, buf) {
            Poll::Ready(Err(error)) => Poll::Ready(self.written(error, buf.len())),
            written => written,
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = bufs.iter().map(|buf| buf.len()).sum();
        if self.deaf {
            return Poll::Ready(Ok(all));
        }
        match Pin::new(&mut self.stream).poll_write_vectored(cx, bufs) {
            Poll::Ready(Err(error)) => Poll::Ready(self.written(error, all)),
            written => written,
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.deaf {
            return Poll::Ready(Ok(()));
        }
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(self.written(error, 0).map(drop)),
            flushed => flushed,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.deaf {
            return Poll::Ready(Ok(()));
        }
        match Pin::new(&mut self.stream).poll_shutdown(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(self.written(error, 0).map(drop)),
            shut => shut,
        }
    }
}

impl<S> Witness<S> {
    /// What becomes of a write that failed.
    fn written(&mut self, error: io::Error, length: usize) -> io::Result<usize> {
        let deaf = self.turns_deaf(&error);
        let error = self.seen.note(error, false);
        if deaf { Ok(length) } else { Err(error) }
    }
}
