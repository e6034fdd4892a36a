//! Moving bytes: a copy that holds nothing while it waits.

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{io::scratch, link::Joined};

/// One direction of a copy: whatever is read from the *reading* side of a stream is written to its *writing* side.
///
/// An echo is such a copy from a stream to itself. Between two streams it is a copy over the pair of one's reading and
/// the other's writing side. The bytes pass through the thread's scratch buffer; only what the writer did not take is
/// held, and nothing more is read until it has: a sender that does not read is slowed down, not stored.
#[derive(Default)]
pub struct Pump {
    held: BytesMut,
    flushed: bool,
    ended: bool,
    moved: u64,
    /// It was the writer that failed, if anything did.
    refused: bool,
}

impl Pump {
    /// Whether it was the writer that failed.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused
    }

    /// Whether nothing that was read waits to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// How many bytes have been written.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// Moves what can be moved; ready when the reader has ended and the writer has been shut down.
    ///
    /// # Errors
    /// The reader's or the writer's.
    pub fn poll<S: AsyncRead + AsyncWrite + Unpin + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        while ready!(self.poll_step(cx, stream, &mut |_| {}))?.is_some() {}
        Poll::Ready(Ok(()))
    }

    /// One read and what has to be written before and after it: how many bytes were read, and nothing once the reader has
    /// ended and the writer been shut down. `seen` is shown what is written.
    pub(crate) fn poll_step<S: AsyncRead + AsyncWrite + Unpin + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        seen: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<Option<usize>>> {
        let mut stream = pin!(stream);
        while !self.held.is_empty() {
            let written = ready!(stream.as_mut().poll_write(cx, &self.held));
            let n = self.wrote(written)?;
            seen(&self.held[..n]);
            self.held.advance(n);
        }
        if self.ended {
            // Not every writer's shutdown flushes: what stdout was given last is written by another thread.
            let flushed = ready!(stream.as_mut().poll_flush(cx));
            self.refused = flushed.is_err();
            flushed?;
            let shut = ready!(stream.poll_shutdown(cx));
            self.refused = shut.is_err();
            return Poll::Ready(shut.map(|()| None));
        }
        if self.held.capacity() > 0 {
            // It goes back once a held rest has gone.
            self.held = BytesMut::new();
        }
        match self.poll_through(cx, stream.as_mut(), seen) {
            Poll::Ready(read) => Poll::Ready(read.map(Some)),
            Poll::Pending => {
                if !self.flushed
                    && let Poll::Ready(flushed) = stream.poll_flush(cx)
                {
                    self.refused = flushed.is_err();
                    self.flushed = true;
                    flushed?;
                }
                Poll::Pending
            }
        }
    }

    /// One read, and one write of the same bytes.
    fn poll_through<S: AsyncRead + AsyncWrite + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        mut stream: Pin<&mut S>,
        seen: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        scratch::with(|buf| {
            let n = ready!(scratch::poll_read(cx, stream.as_mut(), buf))?;
            self.ended = n == 0;
            if n > 0 {
                self.flushed = false;
                let written = match stream.poll_write(cx, &buf[..n]) {
                    Poll::Ready(written) => self.wrote(written)?,
                    Poll::Pending => 0,
                };
                seen(&buf[..written]);
                self.held.extend_from_slice(&buf[written..n]);
            }
            Poll::Ready(Ok(n))
        })
    }

    fn wrote(&mut self, written: io::Result<usize>) -> io::Result<usize> {
        let written = written.and_then(|n| if n == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(n) });
        match &written {
            Ok(n) => self.moved += *n as u64,
            Err(_) => self.refused = true,
        }
        written
    }
}

/// Copies what is read from `stream` back into it until its end, and shuts it down.
///
/// # Errors
/// The stream's.
pub async fn echo<S: AsyncRead + AsyncWrite + Unpin + ?Sized>(stream: &mut S) -> io::Result<u64> {
    let mut pump = Pump::default();
    poll_fn(|cx| pump.poll(cx, stream)).await?;
    Ok(pump.moved)
}

/// Two streams joined: each end's half-close is passed on, and the other direction goes on until *its* end.
///
/// An end that takes nothing more may still have something to say, and that is passed on before its error is returned.
#[derive(Default)]
pub struct Pipe {
    there: Pump,
    back: Pump,
    there_done: bool,
    back_done: bool,
    failure: Option<io::Error>,
}

impl Pipe {
    /// Bytes moved from `a` to `b`.
    pub fn there(&self) -> u64 {
        self.there.moved
    }

    /// Bytes moved from `b` to `a`.
    pub fn back(&self) -> u64 {
        self.back.moved
    }

    /// Whether `a` has ended, and `b` been told.
    pub fn there_done(&self) -> bool {
        self.there_done
    }

    /// Whether `b` has ended, and `a` been told.
    pub fn back_done(&self) -> bool {
        self.back_done
    }

    /// Whether something that `b` said, if only its end, waits for `a` to take it.
    pub fn back_waits(&self) -> bool {
        !self.back_done && (self.back.ended || !self.back.held.is_empty())
    }

    /// Moves what can be moved; ready when both ends have ended. The two streams must be the same at each call.
    ///
    /// # Errors
    /// Either stream's; the conversation is then of no further use.
    pub fn poll<A, B>(&mut self, cx: &mut Context<'_>, a: &mut A, b: &mut B) -> Poll<io::Result<()>>
    where
        A: AsyncRead + AsyncWrite + Unpin + ?Sized,
        B: AsyncRead + AsyncWrite + Unpin + ?Sized,
    {
        if !self.there_done {
            let moved = self.there.poll(cx, &mut Joined(&mut *a, &mut *b));
            self.there_done = settled(moved, self.there.refused && !self.back_done, &mut self.failure)?;
        }
        if !self.back_done {
            let moved = self.back.poll(cx, &mut Joined(&mut *b, &mut *a));
            self.back_done = settled(moved, self.back.refused && !self.there_done, &mut self.failure)?;
        }
        match (self.there_done && self.back_done, self.failure.take_if(|_| self.there_done && self.back_done)) {
            (true, Some(error)) => Poll::Ready(Err(error)),
            (true, None) => Poll::Ready(Ok(())),
            (false, _) => Poll::Pending,
        }
    }

    /// What has failed so far, while the other direction goes on.
    pub fn failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }
}

/// Whether a direction is done. An error ends everything, unless it is to `wait` for the other direction.
pub(crate) fn settled<E>(moved: Poll<Result<(), E>>, wait: bool, failure: &mut Option<E>) -> Result<bool, E> {
    match moved {
        Poll::Pending => Ok(false),
        Poll::Ready(Ok(())) => Ok(true),
        Poll::Ready(Err(error)) if wait => {
            *failure = Some(error);
            Ok(true)
        }
        Poll::Ready(Err(error)) => Err(failure.take().unwrap_or(error)),
    }
}

/// Joins two streams until both have ended. Returns the bytes moved from `a` to `b`, and back.
///
/// # Errors
/// As [`Pipe::poll`].
pub async fn pipe<A, B>(a: &mut A, b: &mut B) -> io::Result<(u64, u64)>
where
    A: AsyncRead + AsyncWrite + Unpin + ?Sized,
    B: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    let mut pipe = Pipe::default();
    poll_fn(|cx| pipe.poll(cx, a, b)).await?;
    Ok((pipe.there(), pipe.back()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, join, sink};

    use super::*;

    #[tokio::test]
    async fn a_half_close_is_passed_on_and_the_late_answer_comes_back() {
        let (mut client, mut near) = duplex(8);
        let (mut far, mut server) = duplex(8);
        let piped = tokio::spawn(async move { pipe(&mut near, &mut far).await });
        client.write_all(b"a long question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut question = String::new();
        server.read_to_string(&mut question).await.unwrap();
        server.write_all(b"late").await.unwrap();
        drop(server);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!((question.as_str(), answer.as_str()), ("a long question", "late"));
        assert_eq!(piped.await.unwrap().unwrap(), (15, 4));
    }

    #[tokio::test]
    async fn an_end_that_takes_nothing_more_is_heard_out() {
        let (mut client, mut near) = duplex(64);
        // It says something, and takes nothing.
        let (mut voice, reader) = duplex(64);
        let (broken, gone) = duplex(1);
        drop(gone);
        let mut far = join(reader, broken);
        client.write_all(b"lost").await.unwrap();
        let piped = tokio::spawn(async move { pipe(&mut near, &mut far).await });
        voice.write_all(b"last words").await.unwrap();
        drop(voice);
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "last words");
        assert_eq!(piped.await.unwrap().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_writer_that_stands_still_stops_the_reader() {
        let (mut client, near) = duplex(1 << 20);
        let (stuck, _unread) = duplex(16);
        let mut pair = join(near, stuck);
        let mut pump = Pump::default();
        client.write_all(&[7; 300_000]).await.unwrap();
        poll_fn(|cx| {
            assert!(pump.poll(cx, &mut pair).is_pending());
            Poll::Ready(())
        })
        .await;
        assert_eq!(pump.moved(), 16);
        assert!(pump.held.len() <= 128 << 10, "{} bytes are held", pump.held.len());
    }

    #[tokio::test]
    async fn an_end_moves_nothing() {
        assert_eq!(echo(&mut join(tokio::io::empty(), sink())).await.unwrap(), 0);
    }
}
