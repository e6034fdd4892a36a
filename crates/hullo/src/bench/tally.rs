//! What a load test counts, in memory that does not grow with it.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use hdrhistogram::Histogram;
use tokio::time::Instant;

use super::{
    buckets::{self, bucket},
    codec::Failure,
    columns::{Column, Columns},
    datagrams::Sum,
    turns::Turn,
};
use crate::error::{Error, Kind, Result};

/// The figures of one thread, and of all of them once they are merged.
pub(crate) struct Tally {
    /// When what counts began, and when it is to end.
    start: Instant,
    end: Option<Instant>,
    /// How many answers came before the end, and not within the time that is left to them behind it.
    pub(crate) in_time: u64,
    pub(crate) counts: Counts,
    pub(crate) failures: BTreeMap<Failure, u64>,
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// Of answers: from when the request should have gone.
    pub(crate) latency: Times,
    /// Of failures, the same; and how long the unanswered ones have waited.
    pub(crate) failed: Times,
    pub(crate) waited: Times,
    /// How late a request left for which a connection was free: the generator's own fault.
    pub(crate) lag: Times,
    /// How many had to wait for a connection to be free.
    pub(crate) crowded: u64,
    /// How often something came on a connection on which nothing was asked.
    pub(crate) unasked: u64,
    /// Until a connection stood.
    pub(crate) connect: Times,
    pub(crate) packets: Option<Packets>,
    /// What the above are made of, once the run is over.
    pub(crate) datagrams: Sum,
    /// The least and the most bytes that a connection has moved, in bulk.
    pub(crate) each: Option<(u64, u64)>,
    pub(crate) columns: Columns,
    /// The column that was counted in last, and from when to when it reaches: most is counted where the last was.
    near: Option<(Range<Instant>, usize)>,
    /// Buckets of the answers since somebody looked last.
    recent: Vec<u32>,
}

/// How many requests there were, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that should have gone.
    pub offered: u64,
    /// Those that went.
    pub sent: u64,
    /// Those that were answered as expected.
    pub answered: u64,
    /// Those that were not, or broke.
    pub failed: u64,
    /// Those of which nothing was heard by the end, whether they had gone or not.
    pub unanswered: u64,
    /// Bytes that were sent and received: of replies and requests with all that is around them but TLS.
    pub bytes_sent: u64,
    /// The same of what came.
    pub bytes_received: u64,
    /// Connections that were opened.
    pub opened: u64,
    /// Attempts to connect that failed.
    pub refused: u64,
}

/// What only packets can suffer.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Packets {
    /// Those that never came, but for those of `kernel_drops`.
    pub lost: u64,
    /// Those that came back after the timeout, or behind the end of the run: they are unanswered, and not lost.
    #[serde(default)]
    pub late: u64,
    /// Those that came after one that was sent later (RFC 4737).
    pub reordered: u64,
    /// Those that came again.
    pub duplicates: u64,
    /// How much the time of travel varies, in milliseconds (RFC 3550, section 6.4.1): that of one way or of both, as
    /// `measured` says.
    pub jitter_ms: f64,
    /// Those that the kernel of one of the ends dropped, since they came faster than they were taken: the network did not
    /// lose them.
    pub kernel_drops: u64,
    /// Who measured this: `there` is the other end, and the figures are of one way; `here` they are there and back.
    pub measured: String,
}

/// The times of one kind, in nanoseconds, to three digits.
pub(crate) type Times = Histogram<u64>;

/// To wait this long for a free connection is no accident of the moment.
const NOTED: Duration = Duration::from_millis(1);

/// The longest time that is told from longer ones.
const LONGEST: u64 = 3_600_000_000_000;

impl Tally {
    /// What counts from `start`; `span` is how long the run is to last, if that is known.
    ///
    /// # Errors
    /// Never, as far as is known: the bounds of the histograms are valid ones.
    pub(crate) fn new(start: Instant, span: Option<Duration>) -> Result<Self> {
        let times = |digits| {
            let times = Times::new_with_bounds(1, LONGEST, digits);
            times.map_err(|error| Error::new(Kind::Other, format!("cannot count: {error}")))
        };
        Ok(Self {
            start,
            end: None,
            in_time: 0,
            counts: Counts::default(),
            failures: BTreeMap::new(),
            statuses: BTreeMap::new(),
            latency: times(3)?,
            failed: times(2)?,
            waited: times(3)?,
            lag: times(2)?,
            crowded: 0,
            unasked: 0,
            connect: times(2)?,
            packets: None,
            datagrams: Sum::default(),
            each: None,
            columns: Columns::new(span),
            near: None,
            recent: vec![0; buckets::COUNT],
        })
    }

    /// What counts begins and ends at these moments.
    pub(crate) fn begin(&mut self, start: Instant, end: Option<Instant>) {
        (self.start, self.end, self.near) = (start, end, None);
    }

    /// It ends earlier.
    pub(crate) fn end(&mut self, end: Instant) {
        self.end = Some(end);
    }

    /// A request should have gone, whether it could or not.
    pub(crate) fn offered(&mut self, turn: &Turn) {
        if turn.counted {
            self.counts.offered += 1;
            self.at(turn.due).offered += 1;
        }
    }

    /// It went, so many bytes long.
    pub(crate) fn sent(&mut self, turn: &Turn) {
        self.counts.sent += u64::from(turn.counted);
    }

    /// It was late though a connection was free.
    pub(crate) fn late(&mut self, turn: &Turn, now: Instant) {
        if turn.counted {
            self.lag.saturating_record(nanos(turn.due, now));
        }
    }

    /// It was late since no connection was free.
    pub(crate) fn crowded(&mut self, turn: &Turn, now: Instant) {
        self.crowded += u64::from(turn.counted && now > turn.due + NOTED);
    }

    /// Its answer came.
    pub(crate) fn answered(&mut self, turn: &Turn, now: Instant, status: Option<u16>) {
        self.status(turn, status);
        if turn.counted {
            let nanos = nanos(turn.due, now);
            let bucket = bucket(nanos);
            self.counts.answered += 1;
            self.latency.saturating_record(nanos);
            self.recent[usize::from(bucket)] += 1;
            self.at(turn.due).answered(bucket);
            if self.is_in_time(now) {
                self.in_time += 1;
                self.at(now).done += 1;
            }
        }
    }

    /// It failed.
    pub(crate) fn failed(&mut self, turn: &Turn, now: Instant, failure: Failure) {
        if let Failure::Status(status) = failure {
            self.status(turn, Some(status));
        }
        if turn.counted {
            self.counts.failed += 1;
            *self.failures.entry(failure).or_default() += 1;
            self.failed.saturating_record(nanos(turn.due, now));
            self.at(turn.due).failed += 1;
        }
    }

    /// So many have failed that went, each at a time that nobody knows.
    pub(crate) fn all_failed(&mut self, count: u64, failure: Failure) {
        self.counts.failed += count;
        *self.failures.entry(failure).or_default() += count;
    }

    /// Nothing was heard of it by the end.
    pub(crate) fn unanswered(&mut self, turn: &Turn, end: Instant) {
        if turn.counted {
            self.counts.unanswered += 1;
            self.waited.saturating_record(nanos(turn.due, end));
            self.at(turn.due).unanswered += 1;
        }
    }

    /// So many should have gone at about that time, and nobody came to take them.
    pub(crate) fn left(&mut self, turn: &Turn, many: u64, end: Instant) {
        self.crowded += many;
        self.counts.offered += many;
        self.counts.unanswered += many;
        self.waited.saturating_record_n(nanos(turn.due, end), many);
        let column = self.at(turn.due);
        column.offered += many;
        column.unanswered += many;
    }

    /// Bytes went out and came in.
    pub(crate) fn moved(&mut self, now: Instant, sent: usize, received: usize) {
        if now >= self.start {
            self.counts.bytes_sent += sent as u64;
            self.counts.bytes_received += received as u64;
            if self.is_in_time(now) {
                let column = self.at(now);
                column.sent += sent as u64;
                column.received += received as u64;
            }
        }
    }

    /// A connection stands, after that time.
    pub(crate) fn connected(&mut self, took: Duration) {
        self.counts.opened += 1;
        self.connect.saturating_record(took.as_nanos() as u64);
    }

    /// None could be had.
    pub(crate) fn unconnected(&mut self) {
        self.counts.refused += 1;
    }

    /// A connection has moved so many bytes in all.
    pub(crate) fn each(&mut self, bytes: u64) {
        self.each = joined(self.each, Some((bytes, bytes)));
    }

    /// The buckets of the answers since the last call.
    pub(crate) fn recent(&mut self) -> Vec<(u16, u32)> {
        let filled = self.recent.iter_mut().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(bucket, count)| (bucket as u16, std::mem::take(count))).collect()
    }

    /// Adds what another thread has counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        self.in_time += other.in_time;
        self.crowded += other.crowded;
        self.unasked += other.unasked;
        for (failure, count) in &other.failures {
            *self.failures.entry(*failure).or_default() += count;
        }
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        let ours = [&mut self.latency, &mut self.failed, &mut self.waited, &mut self.lag, &mut self.connect];
        let theirs = [&other.latency, &other.failed, &other.waited, &other.lag, &other.connect];
        for (ours, theirs) in ours.into_iter().zip(theirs) {
            // They have the same bounds, and so it cannot fail.
            let _ = ours.add(theirs);
        }
        self.datagrams.add(&other.datagrams);
        self.each = joined(self.each, other.each);
        self.columns.merge(&other.columns);
        self.near = None;
    }

    fn status(&mut self, turn: &Turn, status: Option<u16>) {
        if let Some(status) = status.filter(|_| turn.counted) {
            *self.statuses.entry(status).or_default() += 1;
        }
    }

    /// Whether that is before the end. What comes behind it came in none of the run's time, and stands in no column.
    fn is_in_time(&self, now: Instant) -> bool {
        self.end.is_none_or(|end| now < end)
    }

    #[inline]
    fn at(&mut self, time: Instant) -> &mut Column {
        let place = match &self.near {
            Some((range, place)) if range.contains(&time) => *place,
            _ => self.find(time),
        };
        self.columns.nth(place)
    }

    /// The way that is seldom gone, kept out of the other one.
    #[cold]
    fn find(&mut self, time: Instant) -> usize {
        let (place, range) = self.columns.find(time.saturating_duration_since(self.start));
        self.near = Some((self.start + range.start..self.start + range.end, place));
        place
    }
}

/// The least and the most of both.
fn joined(one: Option<(u64, u64)>, other: Option<(u64, u64)>) -> Option<(u64, u64)> {
    match (one, other) {
        (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
        (one, other) => one.or(other),
    }
}

pub(super) fn nanos(from: Instant, to: Instant) -> u64 {
    to.saturating_duration_since(from).as_nanos() as u64
}

impl Counts {
    /// Adds those of others.
    pub(crate) fn add(&mut self, other: &Self) {
        self.offered += other.offered;
        self.sent += other.sent;
        self.answered += other.answered;
        self.failed += other.failed;
        self.unanswered += other.unanswered;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.opened += other.opened;
        self.refused += other.refused;
    }
}
