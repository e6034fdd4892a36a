//! `hullo bench --compare A.json B.json`: whether the second of two load tests was faster, as far as anybody can tell.

mod bootstrap;
mod plausible;

use serde::{Deserialize, Serialize};

use self::bootstrap::{Column, Difference, Figures, PERCENTILES, SHARE, Side};
pub use self::plausible::plausible;
use super::{
    buckets,
    report::{Planned, Report},
    words,
};
use crate::error::{Error, Result};

/// What is smaller, in per cent, is no difference that anybody acts on.
const NOTHING: f64 = 1.0;
/// The same for shares of what was not answered, in points of per cent.
const NOTHING_OF_SHARES: f64 = 0.01;

/// More runs than this say nothing more, and only take time.
const RUNS: usize = 1_000;

/// Two load tests beside each other: how the second, B, differs from the first, A.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The targets of both.
    pub a: String,
    /// The target of the second.
    pub b: String,
    /// How many runs each side has.
    pub runs: [usize; 2],
    /// Each figure by itself.
    pub figures: Vec<Compared>,
    /// What to say of B in all.
    pub word: Word,
    /// And why, as a sentence.
    pub why: String,
    /// What makes the two less alike than they should be.
    pub warnings: Vec<String>,
    /// The seed of what was drawn.
    pub seed: u64,
}

/// One figure of both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// `rate`, `p50`, `p90`, `p99`, `p999`, `failed` (per cent that failed or had no answer) or `bytes` (a second).
    pub figure: String,
    /// That of A: milliseconds, per cent, or a second.
    pub a: f64,
    /// That of B.
    pub b: f64,
    /// Which of the two are only lower bounds, since the end cut them off.
    pub censored: [bool; 2],
    /// From A to B in per cent of A; of `failed` in points of per cent.
    pub difference: f64,
    /// Where the difference lies with 95 % confidence; nothing where one side is too short to say.
    pub interval: Option<[f64; 2]>,
    /// What this figure says of B.
    pub word: Word,
}

/// What may be said of B.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// It is faster, or more of its requests are answered.
    Faster,
    /// It is slower, or fewer of its requests are answered.
    Slower,
    /// There may be no difference, or too small a one to matter, or the end has cut off what would show it.
    #[serde(rename = "cannot tell")]
    CannotTell,
}

impl std::fmt::Display for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::CannotTell => "cannot tell",
        })
    }
}

/// The table of figures, in the order of [`Figures`]: the name, and whether more of it is better.
const FIGURES: [(&str, bool); bootstrap::COUNT] = [
    ("rate", true),
    ("p50", false),
    ("p90", false),
    ("p99", false),
    ("p999", false),
    ("failed", false),
    ("bytes", true),
];

/// Compares the runs of two sides. `rounds` says that they were made in turns, the first of A with the first of B, so that
/// what changed on the machine meanwhile changed for both. The work has a bound, and the same seed gives the same result.
///
/// # Errors
/// A side has no run, or one without columns over time, or one that no load test has made ([`plausible`]).
pub fn compare(a: &[Report], b: &[Report], rounds: bool, seed: u64) -> Result<Comparison> {
    let ([first, ..], [second, ..]) = (a, b) else {
        return Err(Error::usage("a comparison needs a report on either side"));
    };
    let sides = [side(a)?, side(b)?];
    let differences = bootstrap::differences(&sides[0], &sides[1], rounds, seed);
    let shown = [a, b].map(wanted);
    let mut figures = Vec::new();
    let mut words = Vec::new();
    for (at, difference) in differences.into_iter().enumerate() {
        let Some(difference) = difference.filter(|_| shown.iter().all(|wanted| wanted[at])) else { continue };
        let censored = [a, b].map(|reports| reports.iter().any(|report| is_censored(report, at)));
        words.push(word(at, difference.wide, censored));
        figures.push(compared(at, &sides, difference, censored));
    }
    let (word, why) = in_all(&figures, &words);
    let warnings = warnings(a, b);
    let (a, b) = (first.target.clone(), second.target.clone());
    Ok(Comparison { a, b, runs: sides.map(|side| side.runs()), figures, word, why, warnings, seed })
}

fn side(reports: &[Report]) -> Result<Side> {
    if reports.len() > RUNS {
        return Err(Error::usage(format!("there are {} runs on a side, and {RUNS} are the most", reports.len())));
    }
    reports.iter().try_for_each(plausible)?;
    let runs: Vec<_> = reports.iter().map(columns).collect();
    if runs.iter().any(Vec::is_empty) {
        return Err(Error::usage("a report has no columns over time, so nothing says how far it varied"));
    }
    // What one report says is exact; of several, the columns say it to a part of a bucket.
    Ok(Side::new(runs, if let [only] = reports { Some(exactly(only)) } else { None }))
}

fn columns(report: &Report) -> Vec<Column> {
    let width = report.over_time.width;
    let columns = report.over_time.columns.iter().enumerate().map(|(at, column)| {
        let since = width * at as f64;
        let latencies = column.latency.iter().map(|(bucket, count)| {
            let bounds = buckets::bounds(*bucket);
            (bounds.start / 1e6, bounds.end / 1e6, u64::from(*count))
        });
        // Who had no answer has waited until the end, at least.
        let waits = [(report.seconds - since - width, report.seconds - since, column.unanswered)];
        let waits = waits.map(|(from, to, count)| (from.max(0.0) * 1e3, to.max(0.0) * 1e3, count));
        Column {
            seconds: (report.seconds - since).clamp(0.0, width),
            offered: column.offered,
            answered: column.answered,
            bytes: column.sent.saturating_add(column.received),
            latencies: latencies.chain(waits.into_iter().filter(|(_, _, count)| *count > 0)).collect(),
        }
    });
    // What still came after the end is in columns of no length.
    columns.filter(|column| column.seconds > width * 1e-6).collect()
}

fn exactly(report: &Report) -> Figures {
    let times = &report.latency_ms;
    let missing = report.failed.saturating_add(report.unanswered) as f64 / report.offered as f64 * 100.0;
    let bytes = report.bytes.sent.saturating_add(report.bytes.received) as f64 / report.seconds;
    let [p50, p90, p99, p999] = [times.p50, times.p90, times.p99, times.p999].map(|time| time.unwrap_or(f64::NAN));
    [report.rate, p50, p90, p99, p999, missing, bytes]
}

/// Which figures say something of that load.
fn wanted(reports: &[Report]) -> [bool; bootstrap::COUNT] {
    let bulk = reports.iter().all(Report::is_bulk);
    let enough =
        |share: f64| reports.iter().map(|report| report.latency_ms.count as f64).sum::<f64>() * (1.0 - share) >= 1.0;
    let mut wanted = [!bulk; bootstrap::COUNT];
    for (at, share) in PERCENTILES {
        // Of a hundred answers, none is the one in a thousand.
        wanted[at] &= enough(share);
    }
    wanted[bootstrap::COUNT - 1] = bulk;
    wanted
}

fn is_censored(report: &Report, figure: usize) -> bool {
    report.latency_ms.censored.iter().any(|name| *name == FIGURES[figure].0)
}

fn compared(at: usize, sides: &[Side; 2], difference: Difference, censored: [bool; 2]) -> Compared {
    let [a, b] = [&sides[0], &sides[1]].map(|side| side.figures()[at]);
    let (low, high) = difference.interval;
    Compared {
        figure: FIGURES[at].0.to_owned(),
        a,
        b,
        censored,
        difference: difference.estimate,
        interval: (low.is_finite() && high.is_finite()).then_some([low, high]),
        word: word(at, difference.interval, censored),
    }
}

/// What an interval says. A figure that was cut off may be larger than it looks, and no smaller.
fn word(at: usize, (low, high): (f64, f64), [a_is_more, b_is_more]: [bool; 2]) -> Word {
    let nothing = if at == SHARE { NOTHING_OF_SHARES } else { NOTHING };
    let (more_is_better, small) = (FIGURES[at].1, -nothing <= low && high <= nothing);
    let (is_less, is_more) = (high < 0.0 && !b_is_more, low > 0.0 && !a_is_more);
    match (is_less, is_more) {
        _ if small => Word::CannotTell,
        (true, _) if more_is_better => Word::Slower,
        (_, true) if more_is_better => Word::Faster,
        (true, _) => Word::Faster,
        (_, true) => Word::Slower,
        _ => Word::CannotTell,
    }
}

/// The word for all figures together. `words` are those of the wider intervals, of which by chance none is wrong in 95 of
/// 100 comparisons of the same with itself.
fn in_all(figures: &[Compared], words: &[Word]) -> (Word, String) {
    let those = |word: Word| -> Vec<&str> {
        let them = figures.iter().zip(words).filter(|(_, one)| **one == word);
        them.map(|(figure, _)| said(&figure.figure)).collect()
    };
    let (faster, slower) = (those(Word::Faster), those(Word::Slower));
    match (faster.as_slice(), slower.as_slice()) {
        ([], []) => (Word::CannotTell, none(figures)),
        (faster, []) => {
            (Word::Faster, format!("B is better in {}, and worse in nothing that was measured", list(faster)))
        }
        ([], slower) => {
            (Word::Slower, format!("B is worse in {}, and better in nothing that was measured", list(slower)))
        }
        (faster, slower) => {
            (Word::CannotTell, format!("B is better in {}, but worse in {}", list(faster), list(slower)))
        }
    }
}

fn none(figures: &[Compared]) -> String {
    if figures.iter().any(|figure| figure.interval.is_none()) {
        return "the runs are too short to say how far they vary by themselves".to_owned();
    }
    let seems: Vec<_> = figures.iter().filter(|figure| figure.word != Word::CannotTell).collect();
    if !seems.is_empty() {
        let names: Vec<_> = seems.iter().map(|figure| said(&figure.figure)).collect();
        return format!(
            "B differs in {}, but of so many figures one does by chance: more or longer runs would tell",
            list(&names)
        );
    }
    if figures.iter().any(|figure| figure.censored != [false, false]) {
        return "no difference is larger than chance, as far as the end of the runs lets it be seen".to_owned();
    }
    "no difference is larger than what such runs differ by chance, or than 1 %".to_owned()
}

/// A figure in a sentence.
fn said(figure: &str) -> &str {
    match figure {
        "rate" => "answers a second",
        "p999" => "p99.9",
        "failed" => "what failed or had no answer",
        "bytes" => "bytes a second",
        figure => figure,
    }
}

fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}

/// What stands between the two and a fair comparison.
fn warnings(a: &[Report], b: &[Report]) -> Vec<String> {
    let mut warnings = Vec::new();
    if let (Some(first), Some(second)) = (a.first(), b.first()) {
        for (what, of_a, of_b) in plan(first).into_iter().zip(plan(second)).map(|((what, a), (_, b))| (what, a, b)) {
            if of_a != of_b {
                warnings.push(format!("the plans differ: {what} was {of_a} for A and {of_b} for B"));
            }
        }
    }
    warnings.extend(sizes(a, b));
    for (name, reports) in [("A", a), ("B", b)] {
        if let Some(why) = reports.iter().find_map(Report::generator_limit) {
            warnings.push(format!("for {name} the generator was the limit: {why}"));
        } else if let Some(why) = reports.iter().find_map(Report::generator_lag) {
            warnings.push(format!("for {name} the generator itself is in the figures: {why}"));
        }
        if reports.iter().any(|other| reports.first().is_some_and(|first| plan(first) != plan(other))) {
            warnings.push(format!("the runs of {name} had different plans"));
        }
    }
    if a.len() == 1 && b.len() == 1 {
        let note =
            "one run each: what differs from one start to the next is in no interval; --repeat 5 --vs ADDRESS shows it";
        warnings.push(note.to_owned());
    }
    warnings
}

/// Requests of other sizes are other work, whatever the plans say.
fn sizes(a: &[Report], b: &[Report]) -> Option<String> {
    let [of_a, of_b] = [a, b].map(|reports| {
        let sum = |of: fn(&Report) -> u64| reports.iter().map(|report| of(report) as f64).sum::<f64>();
        sum(|report| report.bytes.sent) / sum(|report| report.sent)
    });
    let is_bulk = a.iter().chain(b).any(Report::is_bulk);
    let differ = (of_a - of_b).abs() > of_a.min(of_b) * NOTHING / 100.0;
    (differ && !is_bulk && of_a.is_finite() && of_b.is_finite()).then(|| {
        let (of_a, of_b) = (words::bytes(of_a), words::bytes(of_b));
        format!("the loads differ: for A each request took {of_a} to send, and for B {of_b}")
    })
}

/// What of a plan makes reports comparable, in words.
fn plan(report: &Report) -> Vec<(&'static str, String)> {
    let Planned { rate, connections, depth, threads, duration, count, warm_up, timeout, size, http, .. } = &report.plan;
    let none = || "none".to_owned();
    vec![
        ("the shape", report.shape.clone()),
        ("the loop", report.loop_.clone()),
        ("--rate", rate.clone().unwrap_or_else(none)),
        ("--connections", connections.to_string()),
        ("--depth", depth.to_string()),
        ("--threads", threads.to_string()),
        ("--warm-up", format!("{warm_up} s")),
        ("--timeout", format!("{timeout} s")),
        ("the size of what is sent", size.map_or_else(none, |size| words::bytes(size as f64))),
        ("--http", http.clone().unwrap_or_else(none)),
        ("--duration", duration.map_or_else(none, |seconds| format!("{seconds} s"))),
        ("--count", count.map_or_else(none, |count| count.to_string())),
    ]
}

#[cfg(test)]
mod tests;
