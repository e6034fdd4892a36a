//! One rate that was tried, and whose fault it is that it was too high.

use std::{num::NonZero, thread::available_parallelism};

use hullo::{
    Error,
    bench::{
        Report, Slo, Verdict,
        words::{rate as said, time, time_if_any},
    },
};
use serde_json::{Value, json};

/// A trial.
pub(in super::super) struct Trial {
    pub(super) rate: f64,
    pub(super) turn: Turn,
    /// Why it is too high; nothing if it held.
    pub(super) miss: Option<Miss>,
    /// An empty one where the target could not be reached.
    pub(super) report: Report,
}

/// Why a rate is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Turn {
    First,
    /// It was missed, perhaps by chance.
    Again,
    /// It held, and nothing above it does: once more, to be sure.
    Confirm,
}

/// What was missed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Miss {
    /// The objective; none where there was nobody to be measured.
    pub(super) objective: Option<Slo>,
    pub(super) why: String,
    pub(super) blame: Blame,
    /// Whether it may have been chance.
    pub(super) is_doubtful: bool,
}

/// Whose limit it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    Target,
    /// Nobody answers there any more.
    Gone,
    Generator {
        why: String,
        /// What to do about it.
        advice: String,
    },
}

impl Trial {
    /// The trial as a line.
    pub(in super::super) fn line(&self) -> String {
        let times = &self.report.latency_ms;
        let word = match (&self.miss, self.turn) {
            (None, Turn::First) => "held",
            (None, Turn::Again) => "held after all",
            (None, Turn::Confirm) => "held again",
            (Some(_), Turn::Again) => "missed again",
            (Some(_), _) => "missed",
        };
        let figures = format!("p50 {}   p99 {}", time_if_any(times.p50), time_if_any(times.p99));
        let why = self.miss.as_ref().map_or(String::new(), |miss| format!("   {}", miss.words()));
        format!("{:>12}   {word:<14}   {figures}{why}", said(self.rate))
    }

    /// The same for programs.
    pub(in super::super) fn facts(&self) -> Value {
        let Report { answered, offered, failed, unanswered, latency_ms, .. } = &self.report;
        json!({
            "rate": self.rate, "held": self.miss.is_none(), "why": self.miss.as_ref().map(|miss| &miss.why),
            "confirms": self.turn != Turn::First,
            "objective": self.miss.as_ref().and_then(|miss| miss.objective.as_ref()).map(ToString::to_string),
            "limit": self.miss.as_ref().map(|miss| miss.blame.word()),
            "offered": offered, "answered": answered, "failed": failed, "unanswered": unanswered,
            "p50_ms": latency_ms.p50, "p99_ms": latency_ms.p99,
        })
    }
}

impl Miss {
    /// What that load missed; nothing if all holds.
    pub(super) fn of(objectives: &[Slo], report: &Report) -> Option<Self> {
        objectives.iter().find_map(|slo| match slo.judge(report) {
            Verdict::Held => None,
            Verdict::Broken { why } | Verdict::Unknown { why } => {
                let is_doubtful = !slo.is_missed_throughout(report);
                let blame = Blame::of(slo, report, is_doubtful);
                Some(Self { objective: Some(*slo), why: most(report).unwrap_or(why), blame, is_doubtful })
            }
        })
    }

    /// It could not be reached. Once may be chance, or what the trial before has left behind.
    pub(super) fn unreached(error: &Error) -> Self {
        Self { objective: None, why: error.to_string(), blame: Blame::Gone, is_doubtful: true }
    }

    /// What was missed, and why.
    pub(super) fn words(&self) -> String {
        let blame = match &self.blame {
            Blame::Generator { why, .. } => format!(" (the generator: {why})"),
            Blame::Target | Blame::Gone => String::new(),
        };
        let about = self.objective.map_or_else(String::new, |slo| format!("{slo}: "));
        format!("{about}{}{blame}", self.why)
    }
}

/// Why nothing was answered, where nothing was.
fn most(report: &Report) -> Option<String> {
    let most = report.failures.iter().max_by_key(|(_, count)| **count).map(|(what, _)| format!(" ({what})"));
    (report.answered == 0).then(|| format!("nothing was answered{}", most.unwrap_or_default()))
}

/// From which part of a latency on it is the generator's rather than the target's.
const MOSTLY: f64 = 0.5;
/// Whoever stands still for so many milliseconds leaves requests without an answer when the trial ends.
const STILL: f64 = 100.0;

impl Blame {
    /// Whose limit it is that this objective was missed. Failures, and what got lost, are the target's or the way's: a
    /// generator that is late only asks later. `is_moment` says that it was not missed throughout.
    fn of(slo: &Slo, report: &Report, is_moment: bool) -> Self {
        let lag = &report.lag_ms;
        let stood_still = |from: f64| lag.max.filter(|lag| is_moment && *lag >= from);
        let stood_still = |from| stood_still(from).map(|lag| format!("it was itself {} late at one moment", time(lag)));
        let why = match slo.figure() {
            "failed" | "lost" | "rate" => None,
            "unanswered" => report.generator_busy().or_else(|| stood_still(STILL)),
            figure => report.generator_busy().or_else(|| {
                let latency = report.latency_ms.named(figure)?;
                let own = lag.named(figure).filter(|lag| *lag > latency * MOSTLY);
                let own = own.map(|lag| format!("{} of a {figure} of {} are its own lag", time(lag), time(latency)));
                own.or_else(|| stood_still(latency * MOSTLY))
            }),
        };
        why.map_or(Self::Target, |why| Self::Generator { why, advice: advice(report) })
    }

    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Target | Self::Gone => "target",
            Self::Generator { .. } => "generator",
        }
    }
}

/// What to do about a generator that is the limit.
fn advice(report: &Report) -> String {
    let cores = available_parallelism().map_or(1, NonZero::get);
    match report.generator_busy() {
        Some(_) if report.plan.threads < cores.min(report.plan.connections) => {
            format!("--threads {} makes more load", cores.min(report.plan.connections))
        }
        Some(_) => "make the load on a faster machine, or on several".to_owned(),
        None => "make the load on a machine that has nothing else to do, and not on the target's".to_owned(),
    }
}
