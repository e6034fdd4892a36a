//! `hullo bench ADDRESS --search --slo 'p99<10ms'`: the highest rate at which an objective holds.

use hullo::{
    Error, Kind, Result,
    bench::{
        Report, Slo, Verdict,
        words::{rate as said, time_if_any},
    },
};
use serde_json::{Value, json};

/// Where a search begins if nobody says it.
pub(super) const START: f64 = 1000.0;
/// Two rates this near to each other are the same.
const NEAR: f64 = 1.05;
/// There is no rate below it.
const LOWEST: f64 = 1.0;
/// So many trials are enough: from 1/s to a billion there are 30 doublings.
const MOST: usize = 60;
/// How often a rate that held may not hold again, until the target is said to vary too much.
const FALLS: usize = 3;

/// What is looked for, and what is known so far. It is pure: it says which rate to try, and is told what came of it.
struct Search {
    start: f64,
    ceiling: f64,
    held: Vec<f64>,
    missed: Option<f64>,
    falls: usize,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Try(f64),
    /// It held, and nothing above it does: once more, to be sure.
    Confirm(f64),
    /// There is nothing left to try.
    Nowhere,
}

impl Search {
    fn new(start: f64, ceiling: Option<f64>) -> Self {
        let ceiling = ceiling.unwrap_or(f64::INFINITY);
        Self { start: start.clamp(LOWEST.min(ceiling), ceiling), ceiling, held: Vec::new(), missed: None, falls: 0 }
    }

    fn best(&self) -> Option<f64> {
        self.held.iter().copied().max_by(f64::total_cmp)
    }

    fn next(&self) -> Step {
        match (self.best(), self.missed) {
            (None, None) => Step::Try(self.start),
            (Some(held), None) if held >= self.ceiling => Step::Confirm(held),
            (Some(held), None) => Step::Try((held * 2.0).min(self.ceiling)),
            (None, Some(missed)) if missed <= LOWEST => Step::Nowhere,
            (None, Some(missed)) => Step::Try(tidy(missed / 2.0).max(LOWEST)),
            (Some(held), Some(missed)) if missed / held <= NEAR => Step::Confirm(held),
            // Rates are compared by their ratio, so the middle is that of the ratio.
            (Some(held), Some(missed)) => Step::Try(tidy((held * missed).sqrt())),
        }
    }

    fn held(&mut self, rate: f64) {
        self.held.push(rate);
    }

    fn missed(&mut self, rate: f64) {
        self.missed = Some(self.missed.map_or(rate, |missed| missed.min(rate)));
        self.held.retain(|held| *held < rate / NEAR);
    }
}

/// A rate of three digits, which people can type again.
fn tidy(rate: f64) -> f64 {
    let digit = 10_f64.powf(rate.log10().floor() - 2.0);
    (rate / digit).round() * digit
}

/// One rate that was tried.
pub(super) struct Trial {
    rate: f64,
    /// Why it is too high; nothing if it held.
    missed: Option<String>,
    confirms: bool,
    report: Report,
}

impl Trial {
    /// The trial as a line.
    pub(super) fn line(&self) -> String {
        let times = &self.report.latency_ms;
        let word = match (&self.missed, self.confirms) {
            (None, false) => "held",
            (None, true) => "held again",
            (Some(_), _) => "missed",
        };
        let figures = format!("p50 {}   p99 {}", time_if_any(times.p50), time_if_any(times.p99));
        let why = self.missed.as_ref().map_or(String::new(), |why| format!("   {why}"));
        format!("{:>12}   {word:<10}   {figures}{why}", said(self.rate))
    }

    /// The same for programs.
    pub(super) fn facts(&self) -> Value {
        let Report { answered, offered, failed, unanswered, latency_ms, .. } = &self.report;
        json!({
            "rate": self.rate, "held": self.missed.is_none(), "why": self.missed, "confirms": self.confirms,
            "offered": offered, "answered": answered, "failed": failed, "unanswered": unanswered,
            "p50_ms": latency_ms.p50, "p99_ms": latency_ms.p99,
        })
    }
}

/// What a search found.
pub(super) struct Found {
    objectives: Vec<Slo>,
    trials: Vec<Trial>,
    rate: Option<f64>,
    end: End,
}

/// Why a search ended.
enum End {
    /// The rate is known as well as it was asked for.
    Near,
    /// It holds as far as it was to be looked for.
    Ceiling,
    /// No rate holds.
    Nowhere,
    /// What held did not hold again.
    Varies,
    /// The generator could not make more load, for that reason.
    Generator(f64, String),
    /// The target takes no more load, for that reason.
    Target(f64, String),
}

impl End {
    fn word(&self) -> &'static str {
        match self {
            Self::Near => "found",
            Self::Ceiling => "ceiling",
            Self::Nowhere => "nowhere",
            Self::Varies => "varies",
            Self::Generator(..) => "generator",
            Self::Target(..) => "target",
        }
    }
}

/// Looks for the highest rate at which all objectives hold, from `start` on and not beyond `ceiling`. `measure` runs a
/// load of that rate, and `told` hears of each.
///
/// # Errors
/// A trial that could not be made, if nothing has held before.
pub(super) async fn run(
    objectives: &[Slo],
    (start, ceiling): (f64, Option<f64>),
    mut measure: impl AsyncFnMut(f64) -> Result<Report>,
    mut told: impl FnMut(&Trial) -> Result<()>,
) -> Result<Found> {
    let objectives = with_own(objectives)?;
    let mut search = Search::new(start, ceiling);
    let mut trials = Vec::new();
    let end = loop {
        let (rate, confirms) = match search.next() {
            Step::Try(rate) => (rate, false),
            Step::Confirm(rate) => (rate, true),
            Step::Nowhere => break End::Nowhere,
        };
        let report = match measure(rate).await {
            Ok(report) => report,
            Err(error) if trials.is_empty() || error.kind() == Kind::Usage => return Err(error),
            Err(error) => break End::Target(rate, error.to_string()),
        };
        let missed = missed(&objectives, &report);
        let trial = Trial { rate, missed, confirms, report };
        told(&trial)?;
        let ends = early(&trial);
        let held = trial.missed.is_none();
        trials.push(trial);
        match (held, confirms) {
            _ if ends.is_some() => break ends.unwrap_or(End::Nowhere),
            (true, true) if search.missed.is_none() => break End::Ceiling,
            (true, true) => break End::Near,
            (true, false) => search.held(rate),
            (false, _) => {
                search.falls += usize::from(confirms);
                search.missed(rate);
            }
        }
        if search.falls >= FALLS || trials.len() >= MOST {
            break End::Varies;
        }
    };
    Ok(Found { objectives, trials, rate: search.best(), end })
}

/// The objectives, and that nearly all is answered: a latency of the few that are would say nothing.
fn with_own(objectives: &[Slo]) -> Result<Vec<Slo>> {
    let mut all = objectives.to_vec();
    for (figure, own) in [("failed", "failed<1%"), ("unanswered", "unanswered<1%")] {
        if !all.iter().any(|slo| slo.figure() == figure) {
            all.push(own.parse()?);
        }
    }
    Ok(all)
}

/// Why that load was too much; nothing if all holds.
fn missed(objectives: &[Slo], report: &Report) -> Option<String> {
    objectives.iter().find_map(|slo| match slo.judge(report) {
        Verdict::Held => None,
        Verdict::Broken { why } | Verdict::Unknown { why } => Some(why),
    })
}

/// Whether there is no use in other rates: what was missed was not for the target's speed.
fn early(trial: &Trial) -> Option<End> {
    trial.missed.as_ref()?;
    let report = &trial.report;
    if report.answered == 0 {
        let most = report.failures.iter().max_by_key(|(_, count)| **count);
        let why = most.map_or("it answers nothing".to_owned(), |(what, _)| format!("nothing was answered ({what})"));
        return Some(End::Target(trial.rate, why));
    }
    report.generator_limit().map(|why| End::Generator(trial.rate, why))
}

impl Found {
    /// The result as a sentence.
    pub(super) fn sentence(&self) -> String {
        let slos: Vec<_> = self.objectives.iter().map(ToString::to_string).collect();
        let slos = slos.join(", ");
        match (self.rate, &self.end) {
            (Some(rate), End::Near) => {
                format!("{} is the highest rate at which {slos} hold, within 5 %; it held twice", said(rate))
            }
            (Some(rate), End::Ceiling) => format!("{slos} hold at {}, which is as far as was looked", said(rate)),
            (Some(rate), End::Varies) => format!(
                "{slos} held at {} once, but the target varies too much: rates that held did not hold again",
                said(rate)
            ),
            (Some(rate), End::Generator(at, why)) => format!(
                "{slos} hold at {}; at {} the generator itself was the limit ({why}), so the target may hold more",
                said(rate),
                said(*at)
            ),
            (Some(rate), End::Target(at, why)) => {
                format!("{slos} hold at {}; at {} the target gave up: {why}", said(rate), said(*at))
            }
            (None, End::Generator(at, why)) => {
                format!("nothing is known of the target: at {} the generator itself was the limit ({why})", said(*at))
            }
            (None, End::Target(at, why)) => format!("no rate holds {slos}: at {} {why}", said(*at)),
            (None, _) => format!("no rate that was tried holds {slos}"),
            (Some(_), End::Nowhere) => format!("no rate holds {slos}"),
        }
    }

    /// What failed, where no rate holds.
    ///
    /// # Errors
    /// No rate holds.
    pub(super) fn check(&self) -> Result<()> {
        match self.rate {
            Some(_) => Ok(()),
            None => Err(Error::new(Kind::Missed, self.sentence())),
        }
    }

    /// The report of the best trial.
    pub(super) fn report(&self) -> Option<&Report> {
        let held = |trial: &&Trial| trial.missed.is_none() && Some(trial.rate) == self.rate;
        self.trials.iter().rev().find(held).map(|trial| &trial.report)
    }

    /// All of it for programs.
    pub(super) fn facts(&self) -> Value {
        let objectives: Vec<_> = self.objectives.iter().map(ToString::to_string).collect();
        let trials: Vec<_> = self.trials.iter().map(Trial::facts).collect();
        json!({
            "rate": self.rate, "ended": self.end.word(), "why": self.sentence(), "objectives": objectives, "trials": trials,
        })
    }
}

#[cfg(test)]
mod tests;
