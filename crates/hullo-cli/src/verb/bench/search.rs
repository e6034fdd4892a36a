//! `hullo bench ADDRESS --search --slo 'p99<10ms'`: the highest rate at which an objective holds.
//!
//! It is pure: it says which rate to try, and is told what came of it. A miss for which one moment of the trial is to blame
//! is not believed until it comes again, since one pause of a machine would otherwise halve the result.

use hullo::{
    Error, Kind, Result,
    bench::{Report, Slo, words::rate as said},
};

use self::trial::{Blame, Miss, Trial};
pub(super) use self::{found::Found, trial::Turn};

mod found;
mod trial;

#[cfg(test)]
mod tests;

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

/// What is looked for, and what is known so far.
pub(super) struct Search {
    /// What must hold in each trial, and what the rate that is found must be.
    objectives: Vec<Slo>,
    wanted: Vec<Slo>,
    start: f64,
    ceiling: f64,
    trials: Vec<Trial>,
    held: Vec<f64>,
    /// The lowest rate that is too high, and why.
    missed: Option<(f64, Miss)>,
    /// A rate whose miss may be chance.
    doubt: Option<Step>,
    falls: usize,
    end: Option<End>,
}

/// A trial to make.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) rate: f64,
    pub(super) turn: Turn,
}

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The rate is known as well as it was asked for.
    Known,
    /// No rate holds.
    Nowhere,
    /// What held did not hold again.
    Varies,
    /// The target is not there any more.
    Gone,
    /// Somebody wanted no more.
    Stopped,
}

impl Search {
    /// Looks for the highest rate at which all objectives hold, from `start` on and not beyond `ceiling`.
    ///
    /// # Errors
    /// Never, as far as is known: our own objectives can be read.
    pub(super) fn new(objectives: &[Slo], (start, ceiling): (f64, Option<f64>)) -> Result<Self> {
        let ceiling = ceiling.unwrap_or(f64::INFINITY);
        // A rate that is tried answers no more than it asks: only the one that is found can be too low.
        let (wanted, objectives) = with_own(objectives)?.into_iter().partition(|slo| slo.figure() == "rate");
        let (start, trials, held) = (start.clamp(LOWEST.min(ceiling), ceiling), Vec::new(), Vec::new());
        let (missed, doubt, end) = Default::default();
        Ok(Self { objectives, wanted, start, ceiling, trials, held, missed, doubt, falls: 0, end })
    }

    /// The next trial; none when the search is over.
    pub(super) fn next(&mut self) -> Option<Step> {
        if self.end.is_some() {
            return None;
        }
        if self.trials.len() >= MOST || self.falls >= FALLS {
            self.end = Some(End::Varies);
            return None;
        }
        if let Some(doubt) = self.doubt {
            return Some(Step { turn: Turn::Again, ..doubt });
        }
        let first = |rate| Some(Step { rate, turn: Turn::First });
        let confirm = |rate| Some(Step { rate, turn: Turn::Confirm });
        match (self.best(), &self.missed) {
            (None, None) => first(self.start),
            (Some(held), None) if held >= self.ceiling => confirm(held),
            (Some(held), None) => first((held * 2.0).min(self.ceiling)),
            (None, Some((missed, _))) if *missed <= LOWEST.min(self.start) => {
                self.end = Some(End::Nowhere);
                None
            }
            (None, Some((missed, _))) => first(tidy(missed / self.stride()).max(LOWEST.min(self.start))),
            (Some(held), Some((missed, _))) if missed / held <= NEAR => confirm(held),
            // Rates are compared by their ratio, so the middle is that of the ratio.
            (Some(held), Some((missed, _))) => first(tidy((held * missed).sqrt())),
        }
    }

    /// What came of a trial.
    ///
    /// # Errors
    /// It could not be made, and it was the first: then nobody is there, or the plan is none.
    pub(super) fn heard(&mut self, step: Step, outcome: Result<Report>) -> Result<&Trial> {
        let (report, miss) = match outcome {
            Ok(report) => {
                let miss = Miss::of(&self.objectives, &report);
                (report, miss)
            }
            Err(error) if self.trials.is_empty() || error.kind() == Kind::Usage => return Err(error),
            Err(error) => (Report::default(), Some(Miss::unreached(&error))),
        };
        let known = miss.clone();
        self.trials.push(Trial { rate: step.rate, turn: step.turn, miss, report });
        self.settle(step, known);
        self.trials.last().ok_or_else(|| Error::new(Kind::Other, "there was no trial"))
    }

    /// Nobody wants to know more.
    pub(super) fn stop(&mut self) {
        self.end.get_or_insert(End::Stopped);
    }

    /// What is known so far, for who looks on.
    pub(super) fn so_far(&self) -> String {
        match (self.best(), &self.missed) {
            (None, None) => "nothing is known yet".to_owned(),
            (Some(held), None) => format!("{} held", said(held)),
            (None, Some((missed, _))) => format!("{} missed", said(*missed)),
            (Some(held), Some((missed, _))) => format!("{} held, {} missed", said(held), said(*missed)),
        }
    }

    /// What it found.
    pub(super) fn found(self) -> Found {
        let rate = self.best();
        Found::new(self, rate)
    }

    fn settle(&mut self, step: Step, miss: Option<Miss>) {
        let doubt = self.doubt.take();
        // A doubt that came up while a rate was confirmed is about that.
        let confirms = [Some(step), doubt].iter().flatten().any(|step| step.turn == Turn::Confirm);
        match miss {
            None if confirms => self.end = Some(End::Known),
            None => self.held.push(step.rate),
            Some(miss) if miss.is_doubtful && doubt.is_none() => self.doubt = Some(step),
            Some(miss) => {
                self.falls += usize::from(confirms);
                if miss.blame == Blame::Gone {
                    self.end = Some(End::Gone);
                }
                self.held.retain(|held| *held < step.rate / NEAR);
                if self.missed.as_ref().is_none_or(|(missed, _)| step.rate <= *missed) {
                    self.missed = Some((step.rate, miss));
                }
            }
        }
    }

    fn best(&self) -> Option<f64> {
        self.held.iter().copied().max_by(f64::total_cmp)
    }

    /// By how much to go down where nothing has held: far where not even one request was answered.
    fn stride(&self) -> f64 {
        if self.trials.last().is_some_and(|trial| trial.report.answered == 0) { 10.0 } else { 2.0 }
    }
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

/// A rate of three digits, which people can type again.
fn tidy(rate: f64) -> f64 {
    let digit = 10_f64.powf(rate.log10().floor() - 2.0);
    (rate / digit).round() * digit
}
