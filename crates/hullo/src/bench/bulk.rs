//! `hullo bench tcp://host:9009 --up`, `--down`, `--both`: as many bytes as will go.
//!
//! Each connection gives, takes, or both at once; whatever a server says is taken anyway, so that none waits for us for
//! ever. A connection is one request: it is answered if it lasted until the end of the run, or until the server ended it,
//! and unanswered if not one byte went where it should. With a count the run is over when so many bytes have moved, and
//! the server has ended or been silent for the timeout; bytes that went count as soon as our own kernel has taken them.
//! With a rate they move by schedule: what is taken, where nothing is given, and what is given otherwise.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll, ready},
};

use tokio::{io::AsyncWrite, time::Instant};

use super::{
    Direction, Shape,
    codec::Failure,
    pace::Pace,
    thread::{State, Thread},
    turns::Moment,
};
use crate::{
    dial::dial,
    error::{Error, Kind, Result},
    fault::Draw,
    io::{
        bulk::Skip,
        give::{Give, Pattern},
    },
    link::{BoxStream, Wire},
};

/// Moves bytes until the end of the run.
pub(super) async fn connection(thread: Arc<Thread>, seat: usize) {
    let Shape::Bulk(direction) = thread.plan.shape else { return };
    let (stream, failed) = match thread.open(open(&thread)).await {
        Ok(stream) => (Some(stream), None),
        Err(error) => (None, Some(error)),
    };
    if !thread.ready(failed).await {
        return;
    }
    let Some(stream) = stream else { return };
    let mut bulk = Bulk::new(&thread, seat, stream, direction);
    let ended = poll_fn(|cx| bulk.poll(cx)).await;
    bulk.settle(ended);
}

async fn open(thread: &Thread) -> Result<BoxStream> {
    let to = &thread.plan.to;
    let link = dial(to, &thread.scope).await?;
    match &link.wire {
        Wire::Packets(packets) if packets.lossy() => {
            let about = format!("cannot load {} in bulk: what may get lost is no stream", to.bare());
            Err(Error::usage(about).hint("datagrams are sent without --up, --down and --both, as in --rate 50000"))
        }
        _ => Ok(link.stream()),
    }
}

/// Bytes that nothing on the way can make fewer. They are the same in each run.
static NOISE: LazyLock<Arc<Pattern>> = LazyLock::new(|| {
    let mut draw = Draw::new(0, 0, "bulk", None);
    let noise: Vec<u8> = (0..PERIOD).map(|_| draw.up_to(255) as u8).collect();
    Arc::new(Pattern::new(&noise))
});

/// After so many the bytes repeat: more than what compresses looks back on (RFC 1951).
const PERIOD: usize = 64 << 10;

/// So many pieces come before others on the same thread have their turn.
const PIECES: usize = 16;

/// So many bytes go before others on the same thread have their turn.
const TURN: u64 = 4 << 20;

/// A connection that moves bytes, each way independently of the other: whoever waits for us to take what it has said, takes
/// what we say as soon as we have.
struct Bulk<'a> {
    thread: &'a Thread,
    seat: usize,
    stream: BoxStream,
    direction: Direction,
    give: Option<Give>,
    skip: Skip,
    pace: Option<Pace>,
    /// What has moved while it counted.
    sent: u64,
    received: u64,
    /// When something moved last.
    moved: Instant,
    /// Whether the server has been told that there is no more, and whether it has said that itself.
    is_given: bool,
    is_heard: bool,
}

impl<'a> Bulk<'a> {
    fn new(thread: &'a Thread, seat: usize, stream: BoxStream, direction: Direction) -> Self {
        let give = (direction != Direction::Down).then(|| Give::new(NOISE.clone()));
        Self {
            thread,
            seat,
            stream,
            direction,
            give,
            skip: Skip::default(),
            pace: thread.plan.rate.as_ref().map(|rate| Pace::new(rate.share(thread.plan.connections))),
            sent: 0,
            received: 0,
            moved: Instant::now(),
            is_given: false,
            is_heard: false,
        }
    }

    /// Moves what can be moved; ready when it is over, or broken.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let now = Instant::now();
        let moment = self.thread.state().turns.moment(now);
        let (sent, received) = (self.sent, self.received);
        let due = self.poll_due(cx, &moment, now);
        let went = self.poll_move(cx, &moment, due);
        let mut state = self.thread.state();
        if (sent, received) != (self.sent, self.received) {
            self.moved = Instant::now();
            if let Some(pace) = &mut self.pace {
                let takes = self.direction == Direction::Down;
                pace.moved(if takes { self.received - received } else { self.sent - sent });
            }
            self.count(&mut state, &moment, now, (sent, received));
        }
        match went {
            // What breaks at the end of the run is the end of the run.
            Poll::Ready(Err(_)) if matches!(moment, Moment::Over) => Poll::Ready(Ok(())),
            Poll::Pending if state.closed => Poll::Ready(Ok(())),
            Poll::Pending if now >= self.moved + self.thread.plan.timeout => Poll::Ready(self.stalled(&moment)),
            Poll::Pending => {
                state.turns.rest(self.seat, cx.waker(), Some(self.moved));
                Poll::Pending
            }
            ended => ended,
        }
    }

    fn count(&mut self, state: &mut State, moment: &Moment, now: Instant, (sent, received): (u64, u64)) {
        let (out, back) = (self.sent - sent, self.received - received);
        match moment {
            // What still comes back at the end belongs to the run only where bytes are what ends it.
            Moment::Over => (self.sent, self.received) = (sent, received),
            Moment::Warming => (self.sent, self.received) = (sent, received),
            Moment::Counting(_) | Moment::Enough => {
                state.tally.moved(now, out as usize, back as usize);
                state.turns.bytes_moved(if self.direction == Direction::Down { back } else { out });
            }
        }
    }

    /// How many bytes are due, where there is a schedule; 0 where none are, until the task is woken.
    fn poll_due(&mut self, cx: &mut Context<'_>, moment: &Moment, now: Instant) -> u64 {
        let Some(pace) = self.pace.as_mut().filter(|_| moment.left() > 0) else { return u64::MAX };
        let part = self.thread.state().turns.part(now);
        match pace.poll_due(cx, part, moment.left()) {
            Poll::Ready(due) => due,
            Poll::Pending => {
                // It is we who wait.
                self.moved = now;
                0
            }
        }
    }

    /// Both directions, as far as they go now, and so many bytes at most of the one that has a schedule.
    fn poll_move(&mut self, cx: &mut Context<'_>, moment: &Moment, due: u64) -> Poll<Result<()>> {
        let heard = self.poll_hear(cx, moment, due)?;
        let given = self.poll_give(cx, moment, due)?;
        match (heard, given) {
            (Poll::Ready(()), Poll::Ready(())) => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }

    /// Takes what has come; ready at the end.
    fn poll_hear(&mut self, cx: &mut Context<'_>, moment: &Moment, due: u64) -> Poll<Result<()>> {
        let (mut left, mut due) =
            if self.direction == Direction::Down { (moment.left(), due) } else { (u64::MAX, u64::MAX) };
        let waits = due == 0;
        for _ in 0..PIECES {
            if self.is_heard || left == 0 {
                return Poll::Ready(Ok(()));
            }
            if waits {
                return Poll::Pending;
            }
            if due == 0 {
                break;
            }
            let most = usize::try_from(left.min(due)).unwrap_or(usize::MAX);
            let n = ready!(self.skip.poll(cx, &mut self.stream, most));
            let n = n.map_err(|error| Error::io("cannot take what comes", error))? as u64;
            self.is_heard = n == 0;
            self.received += n;
            (left, due) = (left - n, due - n);
        }
        if self.is_heard {
            return Poll::Ready(Ok(()));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Gives as much as is taken; ready when the other end has been told that it is over.
    fn poll_give(&mut self, cx: &mut Context<'_>, moment: &Moment, due: u64) -> Poll<Result<()>> {
        let cannot = |error| Error::io("cannot send", error);
        let left = moment.left();
        if let Some(give) = self.give.as_mut().filter(|_| left > 0) {
            let (mut given, most) = (0, left.min(due));
            if most == 0 {
                return Poll::Pending;
            }
            while given < most.min(TURN) {
                let most = usize::try_from(most - given).unwrap_or(usize::MAX);
                match give.poll(cx, &mut self.stream, most) {
                    Poll::Ready(n) => given += n.map_err(cannot)? as u64,
                    Poll::Pending => {
                        self.sent += given;
                        return Poll::Pending;
                    }
                }
            }
            self.sent += given;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // Whoever only takes goes as soon as it has enough.
        if left == 0 && !self.is_given && self.direction != Direction::Down {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx)).map_err(cannot)?;
            self.is_given = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Nothing has moved for long.
    fn stalled(&self, moment: &Moment) -> Result<()> {
        match moment {
            // A server that does not end has all the same had enough time for it.
            Moment::Enough | Moment::Over => Ok(()),
            Moment::Warming | Moment::Counting(_) => {
                Err(Error::new(Kind::Timeout, format!("nothing moved for {:?}", self.thread.plan.timeout)))
            }
        }
    }

    /// Counts a connection that is over.
    fn settle(self, ended: Result<()>) {
        let meant = match self.direction {
            Direction::Up => self.sent,
            Direction::Down => self.received,
            Direction::Both => self.sent.min(self.received),
        };
        let mut state = self.thread.state();
        state.turns.rest(self.seat, std::task::Waker::noop(), None);
        // Where bytes end the run, waiting for the server to end as well takes none of its time.
        if matches!(state.turns.moment(Instant::now()), Moment::Enough) {
            state.quiet(self.moved);
        }
        let tally = &mut state.tally;
        tally.counts.offered += 1;
        tally.counts.sent += 1;
        tally.each(self.sent + self.received);
        match ended {
            Ok(()) if meant > 0 => tally.counts.answered += 1,
            Ok(()) => tally.counts.unanswered += 1,
            Err(error) => {
                tally.counts.failed += 1;
                *tally.failures.entry(Failure::Kind(error.kind())).or_default() += 1;
                drop(state);
                self.thread.trouble(error);
            }
        }
    }
}
