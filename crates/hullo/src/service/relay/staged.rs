//! Pieces from one end to another, with what goes wrong between them on purpose.

use std::{
    future::Future,
    io,
    os::fd::BorrowedFd,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::{
    io::AsyncWrite,
    time::{Instant, Sleep, sleep_until},
};

use crate::{
    error::{Error, Result},
    fault::{Chain, Out},
    io::{linger, scratch},
    link::{BoxStream, Stream as _},
    message::Message,
    session::Session,
};

/// How a direction has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The reader has ended, and the writer has been told.
    Ended,
    /// A fault wants both ends closed.
    Cut,
    /// A fault wants both ends to see that it broke off.
    Reset,
}

/// One end of a relay: what it says comes in pieces, and so does what it is told.
pub(super) trait Port {
    fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>>>;
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>>;
    fn put(&mut self, piece: Message) -> Result<()>;
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>>;
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>>;
    /// Whether it cannot be told of an end, and tells of none.
    fn is_endless(&self) -> bool;
    fn is_stopping(&self) -> bool;
    fn socket(&self) -> Option<BorrowedFd<'_>>;
}

impl Port for Session {
    fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>>> {
        self.poll_recv(cx)
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_room(cx)
    }

    fn put(&mut self, piece: Message) -> Result<()> {
        self.put(piece)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_flush(cx)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_finish(cx)
    }

    fn is_endless(&self) -> bool {
        self.endless()
    }

    fn is_stopping(&self) -> bool {
        self.scope().is_stopping()
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket()
    }
}

/// A stream in pieces, as they come.
pub(super) struct Pieces {
    stream: BoxStream,
    outgoing: Bytes,
}

impl Pieces {
    pub(super) fn new(stream: BoxStream) -> Self {
        Self { stream, outgoing: Bytes::new() }
    }
}

impl Pieces {
    pub(super) async fn close(mut self) -> io::Result<()> {
        linger::close(&mut self.stream).await
    }
}

impl Port for Pieces {
    fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>>> {
        scratch::with(|buf| {
            let n = ready!(scratch::poll_read(cx, Pin::new(&mut self.stream), buf)).map_err(broken)?;
            Poll::Ready(Ok((n > 0).then(|| Message::binary(Bytes::copy_from_slice(&buf[..n])))))
        })
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        while !self.outgoing.is_empty() {
            let n = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.outgoing)).map_err(broken)?;
            if n == 0 {
                return Poll::Ready(Err(broken(io::ErrorKind::WriteZero.into())));
            }
            self.outgoing.advance(n);
        }
        Poll::Ready(Ok(()))
    }

    fn put(&mut self, piece: Message) -> Result<()> {
        self.outgoing = piece.bytes;
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_room(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx).map_err(broken)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx).map_err(broken)
    }

    fn is_endless(&self) -> bool {
        false
    }

    fn is_stopping(&self) -> bool {
        false
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.stream.socket()
    }
}

/// One end has broken off.
pub(super) fn broken(error: io::Error) -> Error {
    Error::io("the conversation was cut off", error)
}

/// One direction of a relay.
#[derive(Default)]
pub(super) struct Staged {
    chain: Option<Chain>,
    /// Rings when the chain has something to give.
    alarm: Option<Pin<Box<Sleep>>>,
    held: Option<Message>,
    /// The reader has ended, and the writer is to be told.
    ended: bool,
    ends: bool,
    /// The reader has broken off, which is told behind all that it said.
    failed: Option<Error>,
    /// A fault ends it, behind all that was given.
    breaks: Option<Over>,
    unflushed: bool,
    refused: bool,
}

impl Staged {
    pub(super) fn new(chain: Option<Chain>) -> Self {
        Self { chain, ..Self::default() }
    }

    /// Whether it was the writer that failed.
    pub(super) fn is_refused(&self) -> bool {
        self.refused
    }

    /// Moves what can be moved; `seen` is shown what is handed over.
    pub(super) fn poll<P: Port>(
        &mut self,
        cx: &mut Context<'_>,
        (from, to): (&mut P, &mut P),
        seen: &mut dyn FnMut(&Message),
    ) -> Poll<Result<Over>> {
        loop {
            if let Some(over) = self.next(cx) {
                return Poll::Ready(Ok(over));
            }
            let given = self.poll_give(cx, to, seen);
            if let Poll::Ready(Err(error)) = given {
                self.refused = true;
                return Poll::Ready(Err(error));
            }
            if let (Some(over), None, false) = (self.breaks, &self.held, self.unflushed) {
                return Poll::Ready(Ok(over));
            }
            if self.ends && self.held.is_none() {
                if self.failed.is_some() {
                    // Whoever breaks off has its last words heard first; whether they were is of no more interest.
                    let _ = ready!(to.poll_flush(cx));
                }
                if let Some(error) = self.failed.take() {
                    return Poll::Ready(Err(error));
                }
                let finished = ready!(to.poll_finish(cx));
                self.refused = finished.is_err();
                return Poll::Ready(finished.map(|()| Over::Ended));
            }
            if self.poll_take(cx, from).is_pending() && given.is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Holds the next piece that may go on, unless there is one already; or says how it all ends at once, even if
    /// nothing can be handed over.
    fn next(&mut self, cx: &mut Context<'_>) -> Option<Over> {
        let chain = self.chain.as_mut()?;
        chain.poll_changed(cx, Instant::now());
        loop {
            let now = Instant::now();
            let clock = chain.breaks(now);
            match clock {
                Out::Reset => return Some(Over::Reset),
                Out::Cut => return Some(Over::Cut),
                _ => {}
            }
            let wants = self.held.is_none() && !self.ends && self.breaks.is_none();
            match if wants { chain.give(now) } else { clock } {
                Out::Piece(piece) => self.held = Some(piece),
                Out::End => self.ends = true,
                Out::Reset => self.breaks = Some(Over::Reset),
                Out::Cut => self.breaks = Some(Over::Cut),
                Out::Nothing => return None,
                Out::Until(due) => {
                    let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(due)));
                    if alarm.deadline() != due {
                        alarm.as_mut().reset(due);
                    }
                    if alarm.as_mut().poll(cx).is_pending() {
                        return None;
                    }
                }
            }
        }
    }

    /// Hands over what is held; ready if something was.
    fn poll_give<P: Port>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut P,
        seen: &mut dyn FnMut(&Message),
    ) -> Poll<Result<()>> {
        if self.held.is_some() {
            ready!(to.poll_room(cx))?;
        }
        if let Some(piece) = self.held.take() {
            seen(&piece);
            self.unflushed = true;
            return Poll::Ready(to.put(piece));
        }
        if self.unflushed {
            ready!(to.poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Pending
    }

    /// Takes the next piece, if there is room for it; ready if there was one, or the end.
    fn poll_take<P: Port>(&mut self, cx: &mut Context<'_>, from: &mut P) -> Poll<()> {
        let has_room = self.chain.as_ref().map_or(self.held.is_none(), Chain::has_room);
        if self.ended || !has_room {
            return Poll::Pending;
        }
        let taken = ready!(from.poll_take(cx)).unwrap_or_else(|error| {
            self.failed = Some(error);
            None
        });
        self.ended = taken.is_none();
        match (&mut self.chain, taken) {
            (None, taken) => (self.ends, self.held) = (taken.is_none(), taken),
            (Some(chain), Some(piece)) => chain.take(piece, Instant::now()),
            (Some(chain), None) => chain.end(Instant::now()),
        }
        Poll::Ready(())
    }
}
