//! What has been so far, in slices of time of which there is a bounded number.

use std::{ops::Range, time::Duration};

use hullo::bench::{Counts, Progress, buckets};

use super::waiting;

/// There are never more slices than this, and none is narrower than that.
const MOST: usize = 512;
const NARROW: Duration = Duration::from_millis(250);

/// How many buckets are one band of latencies: a sixth of a power of ten.
const BAND: usize = 8;

/// How many bands there are.
pub(super) const BANDS: usize = buckets::COUNT / BAND;

/// The band of a bucket.
pub(super) fn band(bucket: u16) -> usize {
    usize::from(bucket) / BAND
}

/// Where a band begins, in milliseconds.
pub(super) fn begin(band: usize) -> f64 {
    buckets::bounds((band * BAND) as u16).start / 1e6
}

/// A run over time.
pub(super) struct History {
    width: Duration,
    /// How long it is going to be, as far as that is known.
    span: Option<Duration>,
    slices: Vec<Slice>,
    last: Counts,
    heard: Duration,
}

/// What happened in a slice of time. Answers belong to when they came.
#[derive(Clone)]
pub(super) struct Slice {
    pub(super) offered: f64,
    pub(super) answered: f64,
    pub(super) failed: f64,
    pub(super) bytes: f64,
    /// How many requests waited at most.
    pub(super) waiting: f64,
    pub(super) bands: Box<[f64]>,
}

impl History {
    pub(super) fn new(span: Option<Duration>) -> Self {
        let width = span.map_or(NARROW, |span| span / (MOST as u32 / 2)).max(NARROW);
        Self { width, span, slices: Vec::new(), last: Counts::default(), heard: Duration::ZERO }
    }

    /// What has happened since the last time: each thread tells of about a quarter of a second.
    pub(super) fn add(&mut self, progress: &Progress) {
        let (now, then) = (progress.counts, self.last);
        let from = self.heard.min(progress.at.saturating_sub(NARROW));
        let since = |now: u64, then: u64| now.saturating_sub(then) as f64;
        let bytes = since(now.bytes_sent + now.bytes_received, then.bytes_sent + then.bytes_received);
        for (place, share) in self.shares(from, progress.at) {
            let slice = &mut self.slices[place];
            slice.offered += share * since(now.offered, then.offered);
            slice.answered += share * since(now.answered, then.answered);
            slice.failed += share * since(now.failed, then.failed);
            slice.bytes += share * bytes;
            slice.waiting = slice.waiting.max(waiting(&now) as f64);
            for (bucket, count) in &progress.latency {
                slice.bands[band(*bucket)] += share * f64::from(*count);
            }
        }
        (self.last, self.heard) = (now, self.heard.max(progress.at));
    }

    /// The slices of that time, and which share of it each has.
    fn shares(&mut self, from: Duration, to: Duration) -> Vec<(usize, f64)> {
        while to.as_nanos() / self.width.as_nanos() >= MOST as u128 {
            self.halve();
        }
        let place = |at: Duration| (at.as_nanos() / self.width.as_nanos()) as usize;
        let (first, last) = (place(from), place(to));
        if last >= self.slices.len() {
            self.slices.resize_with(last + 1, Slice::default);
        }
        let whole = (to.saturating_sub(from)).as_secs_f64().max(1e-9);
        let share = |place: usize| {
            let (begin, end) = (self.width * place as u32, self.width * (place as u32 + 1));
            (place, end.min(to).saturating_sub(begin.max(from)).as_secs_f64() / whole)
        };
        (first..=last).map(share).filter(|(_, share)| *share > 0.0).collect()
    }

    /// Makes one slice of two.
    fn halve(&mut self) {
        self.width *= 2;
        self.slices = self.slices.chunks(2).map(together).collect();
    }

    /// The run in so many columns of the same width, the last of which may be to come: what happened in each of them in
    /// a second, and which bands there are answers in.
    pub(super) fn columns(&self, many: usize) -> Vec<Option<Slice>> {
        let known = self.span.map_or(0, |span| span.as_nanos().div_ceil(self.width.as_nanos()) as usize);
        // What has no known end fills its place from a minute on.
        let slices = self.slices.len().max(if self.span.is_some() { known } else { 60 }).max(1);
        let of = |column: usize| -> Range<usize> {
            let from = column * slices / many.max(1);
            from..((column + 1) * slices / many.max(1)).max(from + 1)
        };
        let column = |column: usize| {
            let range = of(column);
            // The last slice is not over yet, and would show too little of a rate.
            let whole = self.slices.len().saturating_sub(usize::from(self.slices.len() > 1 && !self.is_over()));
            let some = &self.slices.get(range.start..range.end.min(whole))?;
            (!some.is_empty()).then(|| together(some).each_second(self.width * some.len() as u32))
        };
        (0..many).map(column).collect()
    }

    /// What happens in a second now: over the last whole slices, that are about a second together.
    pub(super) fn now(&self) -> Option<Slice> {
        let whole = self.slices.len().saturating_sub(usize::from(!self.is_over()));
        let many = (Duration::from_secs(1).as_nanos() / self.width.as_nanos()).max(1) as usize;
        let some = &self.slices[whole.saturating_sub(many)..whole];
        (!some.is_empty()).then(|| together(some).each_second(self.width * some.len() as u32))
    }

    fn is_over(&self) -> bool {
        self.span.is_some_and(|span| self.heard >= span)
    }
}

impl Default for Slice {
    fn default() -> Self {
        Self { offered: 0.0, answered: 0.0, failed: 0.0, bytes: 0.0, waiting: 0.0, bands: vec![0.0; BANDS].into() }
    }
}

impl Slice {
    fn each_second(mut self, time: Duration) -> Self {
        let seconds = time.as_secs_f64();
        for amount in [&mut self.offered, &mut self.answered, &mut self.failed, &mut self.bytes] {
            *amount /= seconds;
        }
        self
    }
}

fn together(slices: &[Slice]) -> Slice {
    slices.iter().fold(Slice::default(), |mut sum, slice| {
        sum.offered += slice.offered;
        sum.answered += slice.answered;
        sum.failed += slice.failed;
        sum.bytes += slice.bytes;
        sum.waiting = sum.waiting.max(slice.waiting);
        sum.bands.iter_mut().zip(&slice.bands).for_each(|(sum, more)| *sum += more);
        sum
    })
}
