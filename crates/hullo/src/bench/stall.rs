//! Where a run stood still: what long latencies are often made of, and what people do not believe until they see when.

use super::{Report, report::Column};

/// What is answered while a target stands still, as a share of what should be.
const HARDLY: f64 = 0.1;
/// So many answers must be missing: fewer may be chance.
const MISSED: f64 = 20.0;
/// A time that is shorter, in seconds or as a share of the run, changes no percentile that people look at.
const SHORT: f64 = 0.05;
const SMALL: f64 = 0.01;

/// A time in which hardly anything was answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stall {
    /// From when, in seconds of the run.
    pub from: f64,
    /// Until when.
    pub to: f64,
    /// How many requests were due meanwhile. In a closed loop that is how many were asked.
    pub due: u64,
}

impl Report {
    /// When hardly anything was answered, the longest first. It is seen to the width of a column.
    pub fn stalls(&self) -> Vec<Stall> {
        // Of bytes nobody knows when they were due.
        if self.is_bulk() {
            return Vec::new();
        }
        let width = self.over_time.width;
        let columns = &self.over_time.columns;
        let whole = columns.iter().take((self.seconds / width + 1e-6).floor().min(1e6) as usize).collect::<Vec<_>>();
        let usual = usual(&whole);
        let expected = |column: &Column| if self.is_open() { column.offered as f64 } else { usual };
        let mut stalls = Vec::new();
        let mut since = None;
        for at in 0..=whole.len() {
            let stands = whole.get(at).is_some_and(|column| {
                let expected = expected(column);
                expected > 0.0 && (column.done as f64) < expected * HARDLY
            });
            match (since, stands) {
                (None, true) => since = Some(at),
                (Some(from), false) => {
                    since = None;
                    let missing: f64 = whole[from..at].iter().map(|column| expected(column)).sum();
                    let due = whole[from..at].iter().map(|column| column.offered).fold(0, u64::saturating_add);
                    let lasts = (at - from) as f64 * width;
                    if missing >= MISSED && lasts > SHORT.max(self.seconds * SMALL) {
                        stalls.push(Stall { from: from as f64 * width, to: at as f64 * width, due });
                    }
                }
                _ => {}
            }
        }
        stalls.sort_by(|a, b| (b.to - b.from).total_cmp(&(a.to - a.from)));
        stalls
    }
}

/// How much a column has that has anything.
fn usual(columns: &[&Column]) -> f64 {
    let mut done: Vec<_> = columns.iter().map(|column| column.done).filter(|done| *done > 0).collect();
    done.sort_unstable();
    done.get(done.len() / 2).map_or(0.0, |done| *done as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::OverTime;

    fn run(open: bool, offered: &[u64], done: &[u64]) -> Report {
        let column = |(offered, done): (&u64, &u64)| Column { offered: *offered, done: *done, ..Column::default() };
        let columns: Vec<_> = offered.iter().zip(done).map(column).collect();
        let loop_ = if open { "open" } else { "closed" }.to_owned();
        let seconds = columns.len() as f64 * 0.1;
        Report { loop_, seconds, over_time: OverTime { width: 0.1, columns }, ..Report::default() }
    }

    #[test]
    fn a_stall_is_found_in_both_loops() {
        let open = run(true, &[50; 8], &[50, 50, 2, 0, 148, 50, 50, 50]).stalls();
        let [Stall { from, to, due }] = open[..] else { panic!("{open:?}") };
        assert!((from - 0.2).abs() < 1e-9 && (to - 0.4).abs() < 1e-9 && due == 100, "{open:?}");
        let closed = run(false, &[50, 50, 10, 0, 0, 50, 50], &[50, 50, 0, 0, 0, 50, 50]).stalls();
        assert_eq!(closed.iter().map(|stall| stall.due).collect::<Vec<_>>(), [10]);
        let last = run(true, &[50; 5], &[50, 50, 50, 0, 0]).stalls();
        assert!((last[0].to - 0.5).abs() < 1e-9, "one that lasts until the end: {last:?}");
    }

    #[test]
    fn a_slow_or_a_small_run_does_not_stand_still() {
        for (offered, done) in [(&[50; 4], &[50, 30, 30, 50]), (&[2; 4], &[2, 0, 0, 2]), (&[0; 4], &[0; 4])] {
            assert_eq!(run(true, offered, done).stalls(), [], "{offered:?} {done:?}");
        }
        assert_eq!(Report::default().stalls(), []);
        let mut brief = run(true, &[500; 4], &[500, 0, 1000, 500]);
        assert_eq!(brief.stalls().len(), 1);
        brief.over_time.width = 0.04;
        assert_eq!(brief.stalls(), [], "40 ms are nothing to tell of");
    }
}
