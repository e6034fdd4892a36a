//! A run over time: a bounded number of columns, which grow wider as it lasts.

use std::{ops::Range, time::Duration};

use super::buckets;

/// There are never more than this, and of a run whose length is known about so many.
const MOST: usize = 120;
const WANTED: u128 = 100;

/// None of those is narrower: it would have too little to say.
const NARROWEST: Duration = Duration::from_millis(10);

/// Columns of the same width, from the beginning of the run.
pub(crate) struct Columns {
    width: Duration,
    columns: Vec<Column>,
}

/// What happened in a column's time. Requests belong to the time at which they should have gone, answers that came and
/// bytes to the time at which they did.
#[derive(Clone, Default)]
pub(crate) struct Column {
    pub(crate) offered: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) unanswered: u64,
    pub(crate) done: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// How many answers there are of each bucket; empty while there are none.
    latency: Vec<u32>,
}

impl Columns {
    /// As many as a run of that length fills well, each to its end; one of unknown length begins with narrow ones.
    pub(crate) fn new(span: Option<Duration>) -> Self {
        let width = span.map_or(Duration::from_millis(100), |span| {
            let many = (span.as_nanos() / NARROWEST.as_nanos()).clamp(1, WANTED);
            // Rounded up, so that nothing of the run is left over.
            Duration::from_nanos(span.as_nanos().div_ceil(many) as u64)
        });
        Self { width: width.max(Duration::from_nanos(1)), columns: Vec::new() }
    }

    /// The column of that time.
    pub(crate) fn at(&mut self, time: Duration) -> &mut Column {
        let (place, _) = self.find(time);
        self.nth(place)
    }

    /// Which column that time has, and from when to when that one reaches. It stays so until a time is looked for that lies
    /// behind all columns, or others are added.
    pub(crate) fn find(&mut self, time: Duration) -> (usize, Range<Duration>) {
        while self.place(time) >= MOST {
            self.halve();
        }
        let place = self.place(time);
        if place >= self.columns.len() {
            self.columns.resize_with(place + 1, Column::default);
        }
        let from = self.width * place as u32;
        (place, from..from + self.width)
    }

    /// A column that was [found](Self::find).
    pub(crate) fn nth(&mut self, place: usize) -> &mut Column {
        &mut self.columns[place]
    }

    pub(crate) fn width(&self) -> Duration {
        self.width
    }

    pub(crate) fn all(&self) -> &[Column] {
        &self.columns
    }

    /// Adds those of another thread.
    pub(crate) fn merge(&mut self, other: &Self) {
        while self.width < other.width {
            self.halve();
        }
        for (place, column) in other.columns.iter().enumerate() {
            self.at(other.width * place as u32).add(column);
        }
    }

    fn place(&self, time: Duration) -> usize {
        (time.as_nanos() as u64 / self.width.as_nanos() as u64) as usize
    }

    /// Makes one of two.
    fn halve(&mut self) {
        self.width *= 2;
        for place in 0..self.columns.len().div_ceil(2) {
            let mut joined = std::mem::take(&mut self.columns[2 * place]);
            if let Some(second) = self.columns.get(2 * place + 1) {
                joined.add(second);
            }
            self.columns[place] = joined;
        }
        self.columns.truncate(self.columns.len().div_ceil(2));
    }
}

impl Column {
    pub(crate) fn answered(&mut self, bucket: u16) {
        self.answered += 1;
        self.latency.resize(buckets::COUNT, 0);
        let count = &mut self.latency[usize::from(bucket)];
        *count = count.saturating_add(1);
    }

    /// The buckets with answers in them, and how many.
    pub(crate) fn latency(&self) -> Vec<(u16, u32)> {
        let filled = self.latency.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(bucket, count)| (bucket as u16, *count)).collect()
    }

    fn add(&mut self, other: &Self) {
        self.offered += other.offered;
        self.answered += other.answered;
        self.failed += other.failed;
        self.unanswered += other.unanswered;
        self.done += other.done;
        self.sent += other.sent;
        self.received += other.received;
        if !other.latency.is_empty() {
            self.latency.resize(buckets::COUNT, 0);
            for (ours, theirs) in self.latency.iter_mut().zip(&other.latency) {
                *ours = ours.saturating_add(*theirs);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_that_is_full_stays_full() {
        let mut column = Column::default();
        column.answered(7);
        column.latency[7] = u32::MAX;
        column.answered(7);
        assert_eq!((column.answered, column.latency()), (2, vec![(7, u32::MAX)]));
    }

    #[test]
    fn a_run_of_known_length_fills_all_of_its_columns() {
        for millis in [1, 9, 15, 333, 955, 1000, 1003, 7_777, 60_000, 86_400_001] {
            let span = Duration::from_millis(millis);
            let mut columns = Columns::new(Some(span));
            columns.at(span - Duration::from_nanos(1)).offered += 1;
            let (many, width) = (columns.all().len() as u32, columns.width());
            assert!(many <= 100 && width * many >= span && width * many - span < Duration::from_micros(1), "{millis}");
            assert!(width >= NARROWEST.min(span), "{millis}: {width:?}");
        }
    }

    #[test]
    fn a_long_run_has_wide_columns_and_loses_nothing() {
        let mut columns = Columns::new(None);
        for second in 0..40_000 {
            let column = columns.at(Duration::from_secs(second));
            column.offered += 1;
            column.answered(5);
        }
        assert!(columns.all().len() <= MOST, "{}", columns.all().len());
        assert_eq!(columns.all().iter().map(|column| column.offered).sum::<u64>(), 40_000);
        // All threads of a run begin with the same width.
        let mut short = Columns::new(None);
        short.at(Duration::from_millis(999)).failed += 1;
        short.merge(&columns);
        assert!(short.width() >= columns.width());
        assert_eq!(short.all().iter().map(|column| column.answered + column.failed).sum::<u64>(), 40_001);
        assert_eq!(short.all()[0].failed, 1);
    }
}
