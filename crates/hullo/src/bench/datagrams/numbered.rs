//! A socket whose datagrams have numbers: any number of them may be under way.

use std::{
    future::poll_fn,
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep, timeout};

use super::{
    super::{
        Ask,
        codec::Failure,
        connects::PAUSE,
        tally::nanos,
        thread::{State, Thread},
        turns::{Next, Turn},
    },
    under_way::UnderWay,
};
use crate::{
    error::{Error, Kind, Result},
    link::Packets,
    stamp::{self, Arrivals, STAMP, Stamp},
};

/// The most datagrams that a train has, and its most bytes: the kernel takes no more (`UDP_MAX_SEGMENTS`).
const CARS: usize = 64;
const BYTES: usize = 65_000;

/// So many numbers of all sockets together are kept while nothing was heard of them, and of each socket at least some.
const KEPT: usize = 1 << 20;
const KEPT_OF_EACH: usize = 1024;

/// How often both directions are looked at before others have their turn.
const ROUNDS: usize = 16;

/// A socket at work. It is a future by hand, since both directions meet in it at every wake-up.
pub(super) struct Numbered<'a> {
    thread: &'a Thread,
    seat: usize,
    pub(super) packets: Box<dyn Packets>,
    /// What must come back; nothing does where the other end only counts.
    echo: Option<&'a Ask>,
    under_way: UnderWay,
    pub(super) arrivals: Arrivals,
    numbers: Numbers,
    /// A whole train, in which only the stamps change.
    train: Box<[u8]>,
    size: usize,
    /// What of it has not left yet, and how many of its datagrams count.
    leaving: Range<usize>,
    counted: u64,
    /// How many that count have left, or failed.
    pub(super) sent: u64,
    pub(super) failed: u64,
    /// How many that count were given up and are not back, and how many came afterwards.
    given_up: u64,
    pub(super) late: u64,
    pub(super) longest: u64,
    pub(super) foreign: u64,
    over: bool,
    /// Whether the run is over for others too: what still moves is in no figure of it.
    is_behind: bool,
    pause: Option<Pin<Box<Sleep>>>,
    since: Instant,
}

/// The numbers of a socket's datagrams. Those of the warm-up are another run, so that nobody counts them.
struct Numbers {
    warm: u32,
    run: u32,
    next: u64,
    /// The first number that counts, once there is one.
    base: Option<u64>,
}

impl<'a> Numbered<'a> {
    /// A socket whose datagrams have so many bytes, which come back, or are counted at the other end. `run` is one that no
    /// other socket of this machine has.
    pub(super) fn new(
        thread: &'a Thread,
        seat: usize,
        packets: Box<dyn Packets>,
        size: usize,
        echo: Option<&'a Ask>,
        run: u32,
    ) -> Self {
        let since = Instant::now();
        let cars = (BYTES / size).clamp(1, CARS);
        let kept = (KEPT / thread.plan.connections.max(1)).max(KEPT_OF_EACH).max(thread.plan.depth);
        let filler = (b'a'..=b'z').cycle().take(size - STAMP);
        let one: Vec<u8> = [0; STAMP].into_iter().chain(filler).collect();
        Self {
            thread,
            seat,
            packets,
            echo,
            under_way: UnderWay::new(kept, since),
            arrivals: Arrivals::new(0),
            numbers: Numbers { warm: run ^ 1, run, next: 0, base: None },
            train: one.repeat(cars).into(),
            size,
            leaving: 0..0,
            counted: 0,
            sent: 0,
            failed: 0,
            given_up: 0,
            late: 0,
            longest: 1,
            foreign: 0,
            over: false,
            is_behind: false,
            pause: None,
            since,
        }
    }

    /// The run of those that count.
    pub(super) fn run(&self) -> u32 {
        self.numbers.run
    }

    /// How many that count were to go and did not: the socket took none until the end.
    pub(super) fn unsent(&self) -> u64 {
        self.counted
    }

    /// How long it is at work, as stamps have it.
    pub(super) fn now(&self) -> u64 {
        nanos(self.since, Instant::now())
    }

    /// Makes a train of what is due.
    fn fill(&mut self, state: &mut State, now: Instant) {
        let (mut cars, sent) = (0, nanos(self.since, now));
        self.counted = 0;
        while !self.over && cars * self.size < self.train.len() && self.has_room() {
            match state.next(self.seat, now) {
                Next::Turn(turn, _) => {
                    let (run, number) = self.numbers.take(turn.counted);
                    let kind = if self.echo.is_some() { stamp::Kind::Echoed } else { stamp::Kind::Counted };
                    let stamp = Stamp { kind, run, number, sent };
                    self.train[cars * self.size..][..STAMP].copy_from_slice(&stamp.bytes());
                    self.counted += u64::from(turn.counted);
                    cars += 1;
                    if self.echo.is_some()
                        && let Some(oldest) = self.under_way.add(&turn)
                    {
                        self.give_up(state, &oldest, now);
                    }
                }
                Next::Wait => break,
                Next::Over => self.over = true,
            }
        }
        self.longest = self.longest.max(cars as u64);
        self.leaving = 0..cars * self.size;
    }

    /// Whether one more may go: with a schedule as many as are due, and without one as many as there are places.
    fn has_room(&self) -> bool {
        self.echo.is_none() || self.thread.plan.rate.is_some() || self.under_way.count() < self.thread.plan.depth
    }

    /// Sends what is due; it is ready when all of it has left.
    fn poll_send(&mut self, state: &mut State, now: Instant, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        if self.leaving.is_empty() {
            self.fill(state, now);
        }
        if self.leaving.is_empty() {
            return Poll::Pending;
        }
        let mut rest = &self.train[self.leaving.clone()];
        let polled = self.packets.poll_train(&mut rest, self.size, cx);
        let left = self.leaving.len() - rest.len();
        self.leaving.start += left;
        state.tally.moved(now, left, 0);
        // Those of the warm-up come first.
        let waiting = self.counted.min(self.leaving.len().div_ceil(self.size) as u64);
        let went = std::mem::replace(&mut self.counted, waiting) - waiting;
        state.tally.counts.sent += went;
        self.sent += went;
        polled
    }

    /// Hears a train, if one has come.
    fn poll_hear(&mut self, state: &mut State, cx: &mut Context<'_>) -> Poll<Option<Result<()>>> {
        let Self { packets, under_way, arrivals, numbers, echo, foreign, size, train, since, given_up, late, .. } =
            self;
        let (mut heard, mut bytes, mut now) = (0, 0, None);
        let polled = packets.poll_each(
            &mut |datagram| {
                let now = *now.get_or_insert_with(Instant::now);
                bytes += datagram.len();
                let stamp = Stamp::read(datagram);
                let Some((number, stamp, is_counted)) = stamp.and_then(|stamp| numbers.find(&stamp)) else {
                    *foreign += 1;
                    return;
                };
                let is_first = is_counted && arrivals.arrive(stamp.number, stamp.sent, nanos(*since, now));
                heard += u64::from(is_counted);
                let Some(turn) = under_way.take(number) else {
                    // Of what failed nobody waits for more either, and it is not late.
                    let is_late = u64::from(is_first && *given_up > 0);
                    (*given_up, *late) = (*given_up - is_late, *late + is_late);
                    return;
                };
                if let Some(ask) = echo {
                    let asked = || [&stamp.bytes()[..], &train[STAMP..*size]].concat();
                    match ask.expect.content(asked, datagram) {
                        true => state.tally.answered(&turn, now, None),
                        false => state.tally.failed(&turn, now, Failure::Unexpected),
                    }
                }
            },
            cx,
        );
        if let Some(now) = now {
            if !self.is_behind {
                state.tally.moved(now, 0, bytes);
            }
            arrivals.train(heard, packets.drops());
        }
        polled
    }

    /// An error of the wire: that of the oldest datagram that is under way, as far as can be known.
    fn fail(&mut self, state: &mut State, error: &Error, now: Instant) {
        let turn = match self.echo {
            Some(_) => self.under_way.pop(),
            None => (self.sent + self.counted > self.failed).then_some(Turn { n: 0, due: now, counted: true }),
        };
        if let Some(turn) = turn {
            self.failed += u64::from(turn.counted);
            state.tally.failed(&turn, now, Failure::Kind(error.kind()));
        }
        if self.thread.plan.rate.is_none() {
            self.pause = Some(Box::pin(sleep(PAUSE)));
        }
    }

    /// Gives up those that nothing was heard of in time.
    fn give_up_late(&mut self, state: &mut State, now: Instant) {
        while let Some(turn) = self.under_way.pop_late(now, self.thread.plan.timeout) {
            self.give_up(state, &turn, now);
        }
    }

    fn give_up(&mut self, state: &mut State, turn: &Turn, now: Instant) {
        self.given_up += u64::from(turn.counted);
        state.tally.unanswered(turn, now);
    }

    /// Hears what was given up and still comes, for at most so long. The run is over.
    pub(super) async fn hear_late(&mut self, most: Duration) {
        self.is_behind = true;
        let thread = self.thread;
        let all = poll_fn(|cx| {
            while self.given_up > 0 {
                // Whoever is gone sends nothing more.
                let Some(Ok(())) = ready!(self.poll_hear(&mut thread.state(), cx)) else { break };
            }
            Poll::Ready(())
        });
        // Whatever has not come by then is lost.
        let _ = timeout(most, all).await;
    }

    /// Whether it is over. What is then still under way has no answer.
    fn is_over(&mut self, state: &mut State, now: Instant) -> bool {
        if state.closed {
            while let Some(turn) = self.under_way.pop() {
                self.give_up(state, &turn, now);
            }
        }
        state.closed || self.over && self.leaving.is_empty() && self.under_way.count() == 0
    }

    fn poll_work(&mut self, state: &mut State, cx: &mut Context<'_>) -> Poll<Result<()>> {
        for _ in 0..ROUNDS {
            let now = Instant::now();
            self.give_up_late(state, now);
            let sent = self.poll_send(state, now, cx);
            if let Poll::Ready(Err(error)) = &sent {
                self.fail(state, error, now);
            }
            let heard = self.poll_hear(state, cx);
            match &heard {
                Poll::Ready(Some(Err(error))) => self.fail(state, error, now),
                Poll::Ready(None) => return Poll::Ready(Err(Error::new(Kind::Cut, "the other end has ended"))),
                _ => {}
            }
            if self.is_over(state, now) {
                return Poll::Ready(Ok(()));
            }
            if sent.is_pending() && heard.is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Future for Numbered<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let thread = self.thread;
        let mut state = thread.state();
        let done = self.poll_work(&mut state, cx);
        state.turns.rest(self.seat, cx.waker(), self.under_way.oldest());
        if let Poll::Ready(Err(error)) = &done {
            let now = Instant::now();
            while let Some(turn) = self.under_way.pop() {
                self.failed += u64::from(turn.counted);
                state.tally.failed(&turn, now, Failure::Kind(error.kind()));
            }
        }
        done
    }
}

impl Numbers {
    /// The next one, as its stamp has it.
    fn take(&mut self, is_counted: bool) -> (u32, u64) {
        let number = self.next;
        self.next += 1;
        match is_counted {
            false => (self.warm, number),
            true => (self.run, number - *self.base.get_or_insert(number)),
        }
    }

    /// The number on this socket of what came back, its stamp, and whether it counts; nothing if it is none of ours.
    fn find(&self, stamp: &Stamp) -> Option<(u64, Stamp, bool)> {
        let is_counted = stamp.run == self.run;
        let number = match self.base {
            Some(base) if is_counted => base.checked_add(stamp.number)?,
            _ if stamp.run == self.warm => stamp.number,
            _ => return None,
        };
        (stamp.kind == stamp::Kind::Echoed && number < self.next).then_some((number, *stamp, is_counted))
    }
}
