//! Whether an objective was missed all the time, or at one moment, for which nobody need be to blame.

use super::{Figure, Limit, Part, Slo};
use crate::bench::report::{Column, PERCENTILES, Report};

impl Slo {
    /// Whether it is missed in most of the run, each of its columns by itself. Where it is not, a moment has spoilt it: a
    /// pause of either machine, or chance.
    pub fn is_missed_throughout(&self, report: &Report) -> bool {
        let columns = report.over_time.columns.iter().filter(|column| column.offered > 0);
        let (all, missed) = columns
            .fold((0, 0), |(all, missed), column| (all + 1, missed + usize::from(self.misses(column, report.offered))));
        missed * 2 > all
    }

    /// Whether a run that was like this column would miss it; `whole` is how many requests this one had.
    fn misses(&self, column: &Column, whole: u64) -> bool {
        let part = |number: u64| number as f64 / column.offered as f64;
        match (self.figure, self.limit) {
            (Figure::Time(name), Limit::Time(limit)) => {
                // What most requests take is near enough to what they take in the mean.
                let share = PERCENTILES.iter().find(|(key, ..)| *key == name).map_or(0.5, |(.., share)| *share);
                part(column.failed.saturating_add(column.unanswered)) > 1.0 - share
                    || column.latency_ms(share).is_some_and(|time| time > limit.as_secs_f64() * 1e3)
            }
            (Figure::Part(_, which), limit) => {
                let number = if which == Part::Failed { column.failed } else { column.unanswered };
                let most = match limit {
                    Limit::Count(most) => most as f64 / whole as f64,
                    Limit::Percent(most) => most / 100.0,
                    Limit::Time(_) | Limit::Rate(_) => return false,
                };
                number > 0 && part(number) >= most
            }
            _ => false,
        }
    }
}
