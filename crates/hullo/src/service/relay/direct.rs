//! Bytes from one stream to another: copied while they are few, and moved by the kernel once they are many.

use std::{
    io,
    task::{Context, Poll, ready},
};

use crate::{
    io::splice::Pipe,
    link::{BoxStream, Joined, Stream as _},
    pipe::Pump,
};

/// A read of so much is one of many bytes, and after so many of them, with no short talk between, the kernel takes over: two
/// system calls for each piece cost short talk more than the copy does. A unix socket gives no more than 36 KiB at once to
/// whoever reads while it is written.
const MANY: usize = 32 << 10;
const OFTEN: u32 = 4;

/// So little at a time is short talk again.
const FEW: usize = 8 << 10;

/// One direction of two joined streams.
#[derive(Default)]
pub(super) struct Direct {
    pump: Pump,
    /// Both are sockets of the kernel, and nobody wants to see the bytes.
    may_splice: bool,
    splices: bool,
    /// Reads that speak for the other way, since the last one that spoke against it.
    votes: u32,
    /// What is on its way through the kernel.
    inside: Option<(Pipe, usize)>,
    refused: bool,
}

impl Direct {
    pub(super) fn new(may_splice: bool) -> Self {
        Self { may_splice, ..Self::default() }
    }

    /// Whether it was the writer that failed.
    pub(super) fn is_refused(&self) -> bool {
        self.refused || self.pump.is_refused()
    }

    /// Moves what can be moved; ready when the reader has ended and the writer has been told. `seen` is shown what is
    /// copied, and `counted` told how much the kernel has moved.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        (from, to): (&mut BoxStream, &mut BoxStream),
        seen: &mut dyn FnMut(&[u8]),
        counted: &mut dyn FnMut(usize),
    ) -> Poll<io::Result<()>> {
        loop {
            if self.splices {
                ready!(self.poll_splice(cx, from, to, counted))?;
            } else {
                match ready!(self.pump.poll_step(cx, &mut Joined(&mut *from, &mut *to), seen))? {
                    Some(n) => self.weigh(n),
                    None => return Poll::Ready(Ok(())),
                }
            }
        }
    }

    /// Goes on in the other way, if what was read often enough speaks for it.
    fn weigh(&mut self, n: usize) {
        let (speaks, objects) = if self.splices { (n < FEW, n >= FEW) } else { (n >= MANY, n < FEW) };
        self.votes = if objects { 0 } else { self.votes.saturating_add(u32::from(speaks)) };
        // What was copied leaves before anything that the kernel moves.
        let is_free = self.splices || self.may_splice && self.pump.is_empty();
        if self.votes >= OFTEN && is_free {
            (self.votes, self.splices) = (0, !self.splices);
        }
    }

    /// One piece through the kernel.
    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut BoxStream,
        to: &mut BoxStream,
        counted: &mut dyn FnMut(usize),
    ) -> Poll<io::Result<()>> {
        let (Some(from), Some(to)) = (from.bare(), to.bare()) else {
            self.splices = false;
            return Poll::Ready(Ok(()));
        };
        let (pipe, mut inside) = match self.inside.take() {
            Some(inside) => inside,
            None => {
                let Ok(pipe) = Pipe::take() else {
                    // There are no file descriptors left, and copying needs none.
                    (self.splices, self.may_splice) = (false, false);
                    return Poll::Ready(Ok(()));
                };
                match from.poll_fill(cx, &pipe, pipe.size()) {
                    // A pipe is nobody's while nothing is in it.
                    Poll::Pending => {
                        pipe.put();
                        return Poll::Pending;
                    }
                    // The end is read once more by whoever passes it on.
                    Poll::Ready(Ok(0)) => {
                        pipe.put();
                        self.splices = false;
                        return Poll::Ready(Ok(()));
                    }
                    Poll::Ready(filled) => (pipe, filled?),
                }
            }
        };
        let filled = inside;
        while inside > 0 {
            match to.poll_drain(cx, &pipe, inside) {
                Poll::Pending => {
                    self.inside = Some((pipe, inside));
                    return Poll::Pending;
                }
                Poll::Ready(drained) => {
                    self.refused = drained.is_err();
                    let n = drained?;
                    inside -= n;
                    counted(n);
                }
            }
        }
        pipe.put();
        self.weigh(filled);
        Poll::Ready(Ok(()))
    }
}
