//! Objectives: what a load test must reach (`p99<10ms`), and whether it did.

use std::{fmt, str::FromStr, time::Duration};

use super::{
    report::{PERCENTILES, Report},
    words,
};
use crate::error::{Error, Kind, Result, brief, unknown};

mod throughout;

/// An objective, as it is typed: `p99<10ms`, `failed<1%`, `unanswered<1`, `rate>1000`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slo {
    figure: Figure,
    /// Whether the limit itself is still good enough.
    or_equal: bool,
    limit: Limit,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    Time(Duration),
    Percent(f64),
    Count(u64),
    Rate(f64),
}

/// What came of an objective.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was reached.
    Held,
    /// It was not, or what was measured cannot say that it was.
    Broken {
        /// What was measured, as a sentence.
        why: String,
    },
    /// Nothing was measured that it speaks of.
    Unknown {
        /// What is missing, as a sentence.
        why: String,
    },
}

/// What of a report an objective is about.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Figure {
    Time(&'static str),
    Part(&'static str, Part),
    Rate,
}

/// What may be of the requests, instead of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Failed,
    Unanswered,
    Lost,
}

/// What an objective may be about beside percentiles.
const OTHERS: [(&str, Figure); 5] = [
    ("mean", Figure::Time("mean")),
    ("failed", Figure::Part("failed", Part::Failed)),
    ("unanswered", Figure::Part("unanswered", Part::Unanswered)),
    ("lost", Figure::Part("lost", Part::Lost)),
    ("rate", Figure::Rate),
];

const UNITS: &[(&str, f64)] = &[
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("μs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("min", 60e9),
    ("h", 3600e9),
];

impl Slo {
    /// The name of what it is about, as reports have it.
    pub fn figure(&self) -> &'static str {
        self.figure.name()
    }

    /// Whether the report reaches it. What the report cannot say for certain is not reached.
    pub fn judge(&self, report: &Report) -> Verdict {
        match (self.figure, self.limit) {
            (Figure::Time(name), Limit::Time(limit)) => self.time(report, name, limit),
            (Figure::Part(_, part), limit) => self.part(report, part, limit),
            (Figure::Rate, Limit::Rate(_)) if report.is_bulk() => {
                Verdict::Unknown { why: "it was bytes that moved, and those are not answers a second".to_owned() }
            }
            (Figure::Rate, Limit::Rate(limit)) => {
                self.settled(limit, report.rate, || format!("it was {}", words::rate(report.rate)))
            }
            // `limit` gives each figure a limit of its kind.
            _ => Verdict::Unknown { why: "its limit is of another kind".to_owned() },
        }
    }

    fn time(&self, report: &Report, name: &str, limit: Duration) -> Verdict {
        let times = &report.latency_ms;
        if report.offered == 0 || report.is_bulk() {
            return Verdict::Unknown { why: format!("a load of the shape '{}' has no requests", report.shape) };
        }
        let Some(value) = times.named(name) else {
            return Verdict::Broken { why: "nothing was answered".to_owned() };
        };
        let limit = limit.as_secs_f64() * 1e3;
        if !times.is_bound(name) {
            let why = left_out(report, name, value);
            return match self.settled(limit, value, || format!("{name} was {}", words::time(value))) {
                Verdict::Held => why.map_or(Verdict::Held, |why| Verdict::Broken { why }),
                broken => broken,
            };
        }
        match self.settled(limit, value, || format!("{name} was at least {}", words::time(value))) {
            Verdict::Held => Verdict::Broken {
                why: format!(
                    "{name} was at least {}, and nobody knows how much more: {} had no answer by the end",
                    words::time(value),
                    report.offers(report.unanswered)
                ),
            },
            broken => broken,
        }
    }

    fn part(&self, report: &Report, part: Part, limit: Limit) -> Verdict {
        let whole = report.offered;
        let (count, what) = match part {
            Part::Failed => (report.failed, "failed"),
            Part::Unanswered => (report.unanswered, "had no answer by the end"),
            Part::Lost => match &report.packets {
                Some(packets) => (packets.lost, "were lost"),
                None => return Verdict::Unknown { why: "only packets are lost, and there were none".to_owned() },
            },
        };
        if whole == 0 {
            return Verdict::Unknown { why: "there were no requests".to_owned() };
        }
        let share = count as f64 / whole as f64 * 100.0;
        let (limit, value) = match limit {
            Limit::Percent(limit) => (limit, share),
            Limit::Count(limit) => (limit as f64, count as f64),
            Limit::Time(_) | Limit::Rate(_) => {
                return Verdict::Unknown { why: "its limit is of another kind".to_owned() };
            }
        };
        let (count, of) = (words::count(count), words::count(whole));
        self.settled(limit, value, || format!("{count} of {of} {what}, {}", words::percent(share)))
    }

    fn settled(&self, limit: f64, value: f64, why: impl Fn() -> String) -> Verdict {
        let within = if self.figure == Figure::Rate { value > limit } else { value < limit };
        let holds = within || self.or_equal && value == limit;
        if holds { Verdict::Held } else { Verdict::Broken { why: why() } }
    }

    /// What went wrong, if anything did: `the objective p99<10ms was missed: p99 was 1.95 s`.
    ///
    /// # Errors
    /// It was missed, or cannot be judged.
    pub fn check(&self, report: &Report) -> Result<()> {
        match self.judge(report) {
            Verdict::Held => Ok(()),
            Verdict::Broken { why } => Err(Error::new(Kind::Missed, format!("the objective {self} was missed: {why}"))),
            Verdict::Unknown { why } => {
                Err(Error::new(Kind::Missed, format!("nothing says whether the objective {self} was reached: {why}")))
            }
        }
    }
}

/// Why a figure says less than it seems to: what failed has no latency, and might have had any. A percentile leaves a few
/// out by itself; a maximum or a mean leaves out none of those whom nobody waited for any longer.
fn left_out(report: &Report, name: &str, value: f64) -> Option<String> {
    let all = report.latency_ms.count.saturating_add(report.failed);
    let percentile = PERCENTILES.iter().find(|(key, _, share)| *key == name && *share < 1.0);
    let (count, what, may) = match percentile {
        // What is no more than a rounding error is no request.
        Some((_, _, share)) => (report.failed, "failed", (1.0 - share) * all as f64 + 1e-6),
        None => (report.timed_out(), "timed out", 0.0),
    };
    (count as f64 > may).then(|| {
        let (count, all) = (words::count(count), report.offers(all));
        format!("{count} of {all} {what}, and {name} was {} only without them", words::time(value))
    })
}

impl FromStr for Slo {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let Some(at) = text.find(['<', '>', '=', '≤', '≥']) else { return Err(unsigned(text)) };
        let (name, rest) = text.split_at(at);
        let figure = named(name.trim())?;
        let sign_ends = rest.find(|c: char| !matches!(c, '<' | '>' | '=' | '≤' | '≥')).unwrap_or(rest.len());
        let (sign, value) = rest.split_at(sign_ends);
        let or_equal = figure.signed(sign, text)?;
        Ok(Self { figure, or_equal, limit: figure.limit(value.trim(), text)? })
    }
}

/// An objective without a sign. An unquoted one has lost it to the shell, which made a file of the rest.
fn unsigned(text: &str) -> Error {
    let about = format!("an objective has a sign and a limit, as 'p99<10ms' has: '{}' has none", brief(text));
    Error::usage(about).hint("put it in quotes: to the shell < and > mean files")
}

fn named(name: &str) -> Result<Figure> {
    let is = |known: &str| known.eq_ignore_ascii_case(name);
    let said = || PERCENTILES.iter().find(|(_, said, _)| is(said)).map(|(key, ..)| Figure::Time(key));
    let found = figures().find(|(known, _)| is(known)).map(|(_, figure)| figure);
    let found = found.or_else(said).or(is("median").then_some(Figure::Time("p50")));
    found.ok_or_else(|| unknown("figure of an objective", name, figures().map(|(name, _)| name)))
}

/// All of them, by the names that reports have for them.
fn figures() -> impl Iterator<Item = (&'static str, Figure)> + Clone {
    PERCENTILES.iter().map(|(key, ..)| (*key, Figure::Time(key))).chain(OTHERS)
}

impl Figure {
    fn name(self) -> &'static str {
        match self {
            Self::Time(name) | Self::Part(name, _) => name,
            Self::Rate => "rate",
        }
    }

    /// Whether the sign lets the limit itself pass. A rate is to be high, and all others low.
    fn signed(self, sign: &str, text: &str) -> Result<bool> {
        match (sign, self) {
            ("<", Self::Time(_) | Self::Part(..)) | (">", Self::Rate) => Ok(false),
            ("<=" | "≤", Self::Time(_) | Self::Part(..)) | (">=" | "≥", Self::Rate) => Ok(true),
            _ => {
                let (sign, name) = (if self == Self::Rate { '>' } else { '<' }, self.name());
                let about = format!("'{}' asks for nothing that could be missed", brief(text));
                Err(Error::usage(about).hint(format!("write {name}{sign}LIMIT, or {name}{sign}=LIMIT")))
            }
        }
    }

    fn limit(self, value: &str, text: &str) -> Result<Limit> {
        let limit = match self {
            Self::Time(_) => time(value).map(Limit::Time),
            Self::Part(..) => match value.strip_suffix('%') {
                Some(percent) => number(percent.trim_end()).filter(|percent| *percent <= 100.0).map(Limit::Percent),
                None => value.parse().ok().map(Limit::Count),
            },
            Self::Rate => number(value.strip_suffix("/s").unwrap_or(value)).map(Limit::Rate),
        };
        let wanted = match self {
            Self::Time(_) => "a time with its unit: 10ms, 500us, 1.5s",
            Self::Part(..) => "a number of requests or a part of them: 1, 0.1%",
            Self::Rate => "a number a second: 1000",
        };
        limit.ok_or_else(|| {
            let about = format!("in the objective '{}' the limit '{}' cannot be read", brief(text), brief(value));
            Error::usage(about).hint(format!("the limit of {} is {wanted}", self.name()))
        })
    }
}

fn time(text: &str) -> Option<Duration> {
    let at = text.find(|c: char| c.is_alphabetic())?;
    let (value, unit) = text.split_at(at);
    let (_, nanoseconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let nanoseconds = number(value.trim_end())? * nanoseconds;
    // What is longer than a day is a typing mistake; up to there no nanosecond is lost.
    (nanoseconds <= 86_400e9).then(|| Duration::from_nanos(nanoseconds.round() as u64))
}

/// A number that is not negative, in digits.
fn number(text: &str) -> Option<f64> {
    let plain = text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    text.parse().ok().filter(|number: &f64| plain && number.is_finite())
}

impl fmt::Display for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.figure == Figure::Rate { '>' } else { '<' };
        write!(f, "{}{sign}{}", self.figure.name(), if self.or_equal { "=" } else { "" })?;
        match self.limit {
            Limit::Time(time) => f.write_str(&exactly(time)),
            Limit::Percent(percent) => write!(f, "{percent}%"),
            Limit::Count(count) => write!(f, "{count}"),
            Limit::Rate(rate) => write!(f, "{rate}"),
        }
    }
}

/// The time without loss, in the largest unit in which it is at least one.
fn exactly(time: Duration) -> String {
    let nanoseconds = time.as_nanos() as f64;
    let (unit, size) = match nanoseconds {
        short if short < 1e3 => ("ns", 1.0),
        short if short < 1e6 => ("us", 1e3),
        short if short < 1e9 => ("ms", 1e6),
        _ => ("s", 1e9),
    };
    format!("{}{unit}", nanoseconds / size)
}

#[cfg(test)]
mod tests;
