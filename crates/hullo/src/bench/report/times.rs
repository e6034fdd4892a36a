//! Percentiles of times, as a report has them.

use serde::{Deserialize, Serialize};

use super::super::tally::Times;

/// The one table of percentiles: the name in a report, the one that people say, and the share of all that takes no longer.
/// The longest of all is the last.
pub const PERCENTILES: [(&str, &str, f64); 7] = [
    ("p50", "p50", 0.5),
    ("p90", "p90", 0.9),
    ("p95", "p95", 0.95),
    ("p99", "p99", 0.99),
    ("p999", "p99.9", 0.999),
    ("p9999", "p99.99", 0.9999),
    ("max", "max", 1.0),
];

/// Percentiles in milliseconds. Where there were no times there are none: nothing is not 0 ms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are those of percentiles")]
pub struct Latency {
    pub count: u64,
    pub mean: Option<f64>,
    pub p50: Option<f64>,
    pub p90: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
    pub p999: Option<f64>,
    pub p9999: Option<f64>,
    pub max: Option<f64>,
    /// The names of those that are only a lower bound: what had no answer by the end has waited so long, and may have had
    /// to wait longer.
    pub censored: Vec<String>,
    /// The curve: shares of all requests, and the time that this share of them did not exceed.
    pub curve: Vec<(f64, f64)>,
}

/// A bound that is so much off is said to be one.
const CLEARLY: f64 = 1.01;

impl Latency {
    /// Percentiles of what is whole.
    pub(super) fn of(times: &Times) -> Self {
        Self::read(times, |_, _| false)
    }

    /// Percentiles of answers, and of those who have waited without one until the end. Such a wait is a lower bound of what
    /// the answer would have taken, and so is a percentile of all of them together. It is more than that where it would be
    /// the same if the answers had never come.
    pub(super) fn with_waits(answers: &Times, waits: &Times) -> Self {
        let mut all = answers.clone();
        // They have the same bounds, and so it cannot fail.
        let _ = all.add(waits);
        let (answered, total) = (answers.len(), all.len());
        Self::read(&all, |share, bound| {
            let rank = (share * total as f64).ceil().max(1.0) as u64;
            let at_most = || answers.value_at_quantile(rank as f64 / answered as f64);
            !waits.is_empty() && (rank > answered || at_most() as f64 > bound * CLEARLY)
        })
    }

    fn read(times: &Times, cut_off: impl Fn(f64, f64) -> bool) -> Self {
        if times.is_empty() {
            return Self::default();
        }
        let mut censored = Vec::new();
        let mut at = |name: &str, share: f64| {
            let value = times.value_at_quantile(share);
            if cut_off(share, value as f64) {
                censored.push(name.to_owned());
            }
            Some(millis(value))
        };
        // The histogram's own maximum is the end of its last bucket.
        let [p50, p90, p95, p99, p999, p9999, max] = PERCENTILES.map(|(key, _, share)| at(key, share));
        // Of a time that nobody knows, so it is not a mean either.
        if cut_off(1.0, times.max() as f64) {
            censored.push("mean".to_owned());
        }
        Self {
            count: times.len(),
            mean: Some(times.mean() / 1e6),
            p50,
            p90,
            p95,
            p99,
            p999,
            p9999,
            max,
            censored,
            curve: curve(times),
        }
    }

    /// The figure of that name in [`PERCENTILES`], or the `mean`; nothing where there were no times.
    pub fn named(&self, name: &str) -> Option<f64> {
        match name {
            "p50" => self.p50,
            "p90" => self.p90,
            "p95" => self.p95,
            "p99" => self.p99,
            "p999" => self.p999,
            "p9999" => self.p9999,
            "max" => self.max,
            "mean" => self.mean,
            _ => None,
        }
    }

    /// Whether the figure of that name is only a lower bound.
    pub fn is_bound(&self, name: &str) -> bool {
        self.censored.iter().any(|censored| censored == name)
    }
}

/// Points that a curve over a logarithmic axis needs: twenty for each further nine.
fn curve(times: &Times) -> Vec<(f64, f64)> {
    let nines = (times.len() as f64).log10().ceil().max(1.0);
    let shares = (0..).map(|at| f64::from(at) / 20.0).take_while(|at| *at <= nines).map(|at| 1.0 - 10_f64.powf(-at));
    let points = shares.map(|share| (share, millis(times.value_at_quantile(share))));
    points.chain([(1.0, millis(times.max()))]).collect()
}

fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}
