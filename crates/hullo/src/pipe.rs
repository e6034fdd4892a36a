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
}

impl Pump {
    /// How many bytes have been written.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// Whether the reader has ended.
    pub fn ended(&self) -> bool {
        self.ended
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
        let mut stream = pin!(stream);
        loop {
            while !self.held.is_empty() {
                let n = ready!(stream.as_mut().poll_write(cx, &self.held))?;
                self.wrote(n)?;
                self.held.advance(n);
            }
            if self.ended {
                return stream.poll_shutdown(cx);
            }
            // The capacity goes back once a held rest has gone.
            self.held = BytesMut::new();
            match self.poll_through(cx, stream.as_mut()) {
                Poll::Ready(moved) => moved?,
                Poll::Pending => {
                    if !self.flushed && stream.poll_flush(cx)?.is_ready() {
                        self.flushed = true;
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// One read, and one write of the same bytes.
    fn poll_through<S: AsyncRead + AsyncWrite + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        mut stream: Pin<&mut S>,
    ) -> Poll<io::Result<()>> {
        scratch::with(|buf| {
            let n = ready!(scratch::poll_read(cx, stream.as_mut(), buf))?;
            self.ended = n == 0;
            if n > 0 {
                self.flushed = false;
                let written = match stream.poll_write(cx, &buf[..n]) {
                    Poll::Ready(written) => written?,
                    Poll::Pending => 0,
                };
                if written > 0 {
                    self.wrote(written)?;
                }
                self.held.extend_from_slice(&buf[written..n]);
            }
            Poll::Ready(Ok(()))
        })
    }

    fn wrote(&mut self, n: usize) -> io::Result<()> {
        self.moved += n as u64;
        if n == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
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

/// Joins two streams: each end's half-close is passed on, and the other direction goes on until *its* end.
///
/// Returns the bytes moved from `a` to `b`, and back.
///
/// # Errors
/// Either stream's; the conversation is then of no further use.
pub async fn pipe<A, B>(a: &mut A, b: &mut B) -> io::Result<(u64, u64)>
where
    A: AsyncRead + AsyncWrite + Unpin + ?Sized,
    B: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    let (mut there, mut back) = (Pump::default(), Pump::default());
    let (mut there_done, mut back_done) = (false, false);
    poll_fn(|cx| {
        there_done = there_done || there.poll(cx, &mut Joined(&mut *a, &mut *b))?.is_ready();
        back_done = back_done || back.poll(cx, &mut Joined(&mut *b, &mut *a))?.is_ready();
        if there_done && back_done { Poll::Ready(io::Result::Ok(())) } else { Poll::Pending }
    })
    .await?;
    Ok((there.moved, back.moved))
}
