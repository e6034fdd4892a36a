//! Whose turn it is: which request goes when, and on which of the connections that are free.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::Waker,
    time::Duration,
};

use tokio::time::Instant;

use super::rate::Rate;

/// A request that may go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// Its number in the run; those of the warm-up have numbers of their own.
    pub(crate) n: u64,
    /// When it should go: its latency counts from here.
    pub(crate) due: Instant,
    /// Whether it counts, or belongs to the warm-up.
    pub(crate) counted: bool,
}

/// What all threads of a run have in common.
pub(crate) struct Schedule {
    /// Without a rate the loop is closed: a turn is due as soon as somebody is free.
    pub(crate) rate: Option<Rate>,
    /// When the warm-up begins, when what counts begins, and when it ends.
    pub(crate) warm: Instant,
    pub(crate) start: Instant,
    pub(crate) end: Option<Instant>,
    /// How many requests there are at most, and how many have been taken where nothing but that bounds them.
    pub(crate) most: u64,
    pub(crate) taken: AtomicU64,
}

/// The turns of one thread.
pub(crate) struct Turns {
    schedule: Arc<Schedule>,
    /// Every how manieth turn of the schedule is this thread's.
    step: u64,
    next: u64,
    warming: u64,
    seats: Vec<Seat>,
    waiting: VecDeque<usize>,
    over: bool,
}

/// A connection, as its thread sees it.
#[derive(Default)]
struct Seat {
    waker: Option<Waker>,
    /// Since when it waits for its turn, and whether it stands in line.
    waits: Option<Instant>,
    in_line: bool,
    /// When its oldest request went.
    oldest: Option<Instant>,
}

/// A part of a run with a schedule of its own: the warm-up, or what counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// When it began.
    pub(crate) since: Instant,
    /// Whether it counts.
    pub(crate) counts: bool,
}

/// Where a moment lies in a run whose count is one of bytes.
pub(crate) enum Moment {
    /// Nothing counts yet.
    Warming,
    /// So many bytes are still to move.
    Counting(u64),
    /// All have moved.
    Enough,
    /// The time is over.
    Over,
}

impl Moment {
    /// How many bytes may still move.
    pub(crate) fn left(&self) -> u64 {
        match self {
            Self::Warming => u64::MAX,
            Self::Counting(left) => *left,
            Self::Enough | Self::Over => 0,
        }
    }
}

/// What there is for a connection that is free.
pub(crate) enum Next {
    /// Its turn. The second says whether it has waited for it: whatever it is late by then is our own fault.
    Turn(Turn, bool),
    /// It will be woken.
    Wait,
    /// There are no more.
    Over,
}

/// At the end so many of the turns that nobody took are looked at one by one, more or less.
const LOOKED_AT: u64 = 100_000;

impl Turns {
    pub(crate) fn new(thread: u64, threads: u64, connections: usize) -> Self {
        let schedule = Arc::new(Schedule::never(Instant::now()));
        let seats = std::iter::repeat_with(Seat::default).take(connections).collect();
        Self { schedule, step: threads, next: thread, warming: thread, seats, waiting: VecDeque::new(), over: false }
    }

    /// Takes over what all threads have agreed on.
    pub(crate) fn begin(&mut self, schedule: Arc<Schedule>) {
        self.schedule = schedule;
        self.over = false;
    }

    /// When a turn of this thread is due after that moment; none where there are no more, or nothing is scheduled. What is
    /// due already is taken by whoever becomes free.
    pub(crate) fn due_after(&self, now: Instant) -> Option<Instant> {
        let first = self.scheduled(now)?;
        if first.due > now {
            return Some(first.due);
        }
        let later = first.n + self.many_due(&first, now) * self.step;
        let turn = match first.counted {
            true => self.counted(later)?,
            false => self.warm(later).or_else(|| self.counted(self.next))?,
        };
        // A fraction of a nanosecond may be missing to what is due next.
        Some(turn.due.max(now + Duration::from_nanos(1)))
    }

    /// The next turn for that connection.
    pub(crate) fn next(&mut self, seat: usize, now: Instant) -> Next {
        if self.over {
            return Next::Over;
        }
        if self.schedule.rate.is_none() {
            return self.at_once(now);
        }
        match self.scheduled(now) {
            // What was due just before the end may still go.
            None => Next::Over,
            Some(turn) if turn.due <= now => {
                self.pass(&turn);
                let waited = self.seats[seat].waits.take().is_some_and(|since| since <= turn.due);
                Next::Turn(turn, waited)
            }
            Some(_) => {
                let place = &mut self.seats[seat];
                place.waits.get_or_insert(now);
                if !std::mem::replace(&mut place.in_line, true) {
                    self.waiting.push_back(seat);
                }
                Next::Wait
            }
        }
    }

    /// The next turn that was due and that nobody has taken by the end, and for how many it stands: of very many only some are
    /// looked at.
    pub(crate) fn left(&mut self, end: Instant) -> Option<(Turn, u64)> {
        self.over = true;
        let turn = self.scheduled(end).filter(|turn| turn.due < end)?;
        let last = end.checked_sub(Duration::from_nanos(1)).unwrap_or(end);
        let left = self.many_due(&turn, last).min((self.schedule.most - turn.n).div_ceil(self.step));
        let many = (left / LOOKED_AT).max(1);
        self.next += many * self.step;
        Some((turn, many))
    }

    /// Wakes as many of those who wait as there are turns due.
    pub(crate) fn call(&mut self, now: Instant) {
        let Some(first) = self.scheduled(now).filter(|turn| turn.due <= now) else { return };
        let mut due = self.many_due(&first, now);
        while due > 0 {
            let Some(seat) = self.waiting.pop_front() else { return };
            self.seats[seat].in_line = false;
            // One that was served meanwhile, because it was awake anyway, waits no more. One for whom somebody else is too
            // fast stands in line anew.
            if self.seats[seat].waits.is_some() {
                self.wake(seat);
                due -= 1;
            }
        }
    }

    /// Where that moment lies in a run of bytes.
    pub(crate) fn moment(&self, now: Instant) -> Moment {
        let schedule = &self.schedule;
        if self.over || schedule.end.is_some_and(|end| now >= end) {
            return Moment::Over;
        }
        if now < schedule.start {
            return Moment::Warming;
        }
        match schedule.most.saturating_sub(schedule.taken.load(Relaxed)) {
            0 => Moment::Enough,
            left => Moment::Counting(left),
        }
    }

    /// The part of the run in which that moment lies.
    pub(crate) fn part(&self, now: Instant) -> Part {
        let Schedule { warm, start, .. } = &*self.schedule;
        let counts = now >= *start;
        Part { since: if counts { *start } else { *warm }, counts }
    }

    /// So many bytes of those that are counted have moved.
    pub(crate) fn bytes_moved(&self, bytes: u64) {
        self.schedule.taken.fetch_add(bytes, Relaxed);
    }

    /// Remembers how to wake a connection, and when its oldest request went.
    pub(crate) fn rest(&mut self, seat: usize, waker: &Waker, oldest: Option<Instant>) {
        let seat = &mut self.seats[seat];
        seat.oldest = oldest;
        if !seat.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            seat.waker = Some(waker.clone());
        }
    }

    /// Wakes those whose oldest request went so long ago.
    pub(crate) fn call_late(&mut self, now: Instant, timeout: Duration) {
        for seat in 0..self.seats.len() {
            if self.seats[seat].oldest.is_some_and(|oldest| now >= oldest + timeout) {
                self.wake(seat);
            }
        }
    }

    /// There are no more turns; everybody is woken to hear it.
    pub(crate) fn end(&mut self) {
        self.over = true;
        self.wake_all();
    }

    /// Wakes everybody: what is due may go, and there may be nothing more.
    pub(crate) fn wake_all(&mut self) {
        for seat in 0..self.seats.len() {
            self.wake(seat);
        }
    }

    fn wake(&self, seat: usize) {
        if let Some(waker) = &self.seats[seat].waker {
            waker.wake_by_ref();
        }
    }

    fn at_once(&mut self, now: Instant) -> Next {
        if self.schedule.end.is_some_and(|end| now >= end) {
            return Next::Over;
        }
        if now < self.schedule.start {
            self.warming += self.step;
            return Next::Turn(Turn { n: self.warming, due: now, counted: false }, false);
        }
        let n = self.schedule.taken.fetch_add(1, Relaxed);
        if n >= self.schedule.most {
            return Next::Over;
        }
        Next::Turn(Turn { n, due: now, counted: true }, false)
    }

    /// The next turn. Those of the warm-up that nobody came to take are over when it is.
    fn scheduled(&self, now: Instant) -> Option<Turn> {
        let warming = (now < self.schedule.start).then(|| self.warm(self.warming)).flatten();
        warming.or_else(|| self.counted(self.next))
    }

    /// The turn of that number in the warm-up, which goes at the first rate of the schedule.
    fn warm(&self, n: u64) -> Option<Turn> {
        let rate = self.schedule.rate.as_ref()?;
        let due = self.schedule.warm + Duration::from_secs_f64(n as f64 / rate.first());
        (due < self.schedule.start).then_some(Turn { n, due, counted: false })
    }

    fn counted(&self, n: u64) -> Option<Turn> {
        let schedule = &self.schedule;
        let due = schedule.start + schedule.rate.as_ref()?.due(n);
        let is_one = n < schedule.most && schedule.end.is_none_or(|end| due < end);
        is_one.then_some(Turn { n, due, counted: true })
    }

    fn pass(&mut self, turn: &Turn) {
        if turn.counted { self.next += self.step } else { self.warming += self.step }
    }

    /// How many of this thread's turns are due by now, from the first that nobody has taken.
    fn many_due(&self, first: &Turn, now: Instant) -> u64 {
        let Some(rate) = &self.schedule.rate else { return 0 };
        let so_far = match first.counted {
            true => rate.count(now.saturating_duration_since(self.schedule.start) + Duration::from_nanos(1)),
            false => first.n + 1 + (now.duration_since(first.due).as_secs_f64() * rate.first()) as u64,
        };
        so_far.saturating_sub(first.n).div_ceil(self.step).max(1)
    }
}

impl Schedule {
    /// There are no turns before the beginning.
    pub(crate) fn never(now: Instant) -> Self {
        Self { rate: None, warm: now, start: now, end: Some(now), most: 0, taken: AtomicU64::new(0) }
    }
}
