//! What a search found, for people and for programs.

use hullo::{
    Error, Kind, Result,
    bench::{Report, Slo, words::rate as said},
};
use serde_json::{Value, json};

use super::{
    End, Search,
    trial::{Blame, Miss, Trial},
};

/// What a search found.
pub(in super::super) struct Found {
    objectives: Vec<Slo>,
    wanted: Vec<Slo>,
    pub(super) trials: Vec<Trial>,
    pub(super) rate: Option<f64>,
    /// The lowest rate that is too high, and why.
    missed: Option<(f64, Miss)>,
    end: End,
}

impl Found {
    pub(super) fn new(search: Search, rate: Option<f64>) -> Self {
        let Search { objectives, wanted, trials, missed, end, .. } = search;
        Self { objectives, wanted, trials, rate, missed, end: end.unwrap_or(End::Stopped) }
    }

    /// Whether somebody stopped it before it was over.
    pub(in super::super) fn is_stopped(&self) -> bool {
        self.end == End::Stopped
    }

    /// The result as a sentence: how much, and whose limit that is.
    pub(in super::super) fn sentence(&self) -> String {
        let slos = self.objectives.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let border = self.border();
        match (self.rate.map(said), self.end) {
            (Some(rate), End::Known) => match (&self.missed, self.word()) {
                (None, _) => format!("{slos} hold at {rate}, which is as far as was looked; they held twice"),
                (_, "generator") => format!("{slos} hold at {rate}; they held twice. {border}"),
                _ => {
                    format!("{rate} is the highest rate at which {slos} hold, within 5 %; they held twice. {border}")
                }
            },
            (Some(rate), End::Varies) => format!(
                "{slos} held at {rate} once, but the target varies too much: rates that held did not hold again. {border}"
            ),
            (Some(rate), End::Stopped) => {
                format!("{slos} hold at {rate}, so far: it was stopped before more was known. {border}")
            }
            (Some(rate), _) => format!("{slos} hold at {rate}. {border}"),
            (None, End::Stopped) => format!("no rate is known yet at which {slos} hold. {border}"),
            (None, End::Varies) => format!("no rate holds {slos} twice: the target varies too much. {border}"),
            (None, _) => self.nowhere(&slos),
        }
        .trim_end()
        .to_owned()
    }

    /// What is too much, and for whom.
    fn border(&self) -> String {
        let Some((rate, miss)) = &self.missed else { return String::new() };
        let Miss { objective, why, blame, .. } = miss;
        let rate = said(*rate);
        match (blame, objective) {
            (Blame::Generator { why, advice }, _) => {
                format!("At {rate} the generator itself was the limit ({why}), so the target may hold more: {advice}")
            }
            (Blame::Target, Some(slo)) => format!("At {rate} {slo} broke: {why}"),
            _ => format!("At {rate} the target gave up: {why}"),
        }
    }

    /// That no rate holds.
    fn nowhere(&self, slos: &str) -> String {
        let Some((rate, miss)) = &self.missed else { return format!("no rate holds {slos}") };
        let rate = said(*rate);
        match (&miss.blame, &miss.objective) {
            (Blame::Generator { why, advice }, _) => format!(
                "nothing is known of the target: even at {rate}, the lowest rate that was tried, the generator itself was \
                 the limit ({why}): {advice}"
            ),
            (Blame::Target, Some(slo)) => {
                format!("no rate holds {slos}: even {rate}, the lowest that was tried, misses {slo}: {}", miss.why)
            }
            _ => format!("no rate holds {slos}: at {rate} the target gave up: {}", miss.why),
        }
    }

    /// What of the trial that was too much a person should know beside that.
    pub(in super::super) fn notes(&self) -> &[String] {
        let is_border =
            |trial: &&Trial| trial.miss.is_some() && self.missed.as_ref().is_some_and(|m| m.0 == trial.rate);
        self.trials.iter().rev().find(is_border).map_or(&[], |trial| trial.report.notes.as_slice())
    }

    /// What failed, where no rate holds, or none that is high enough.
    ///
    /// # Errors
    /// No rate holds, or the one that does is too low.
    pub(in super::super) fn check(&self) -> Result<()> {
        match self.report() {
            Some(report) => self.wanted.iter().try_for_each(|slo| slo.check(report)),
            None => Err(Error::new(Kind::Missed, self.sentence())),
        }
    }

    /// The report of the best trial.
    pub(in super::super) fn report(&self) -> Option<&Report> {
        let held = |trial: &&Trial| trial.miss.is_none() && Some(trial.rate) == self.rate;
        self.trials.iter().rev().find(held).map(|trial| &trial.report)
    }

    /// All of it for programs.
    pub(in super::super) fn facts(&self) -> Value {
        let objectives: Vec<_> = self.objectives.iter().chain(&self.wanted).map(ToString::to_string).collect();
        let trials: Vec<_> = self.trials.iter().map(Trial::facts).collect();
        let limit = self.missed.as_ref().map(|(rate, miss)| {
            let objective = miss.objective.as_ref().map(ToString::to_string);
            json!({ "rate": rate, "by": miss.blame.word(), "objective": objective, "why": miss.words() })
        });
        json!({
            "rate": self.rate, "ended": self.word(), "why": self.sentence(), "limit": limit, "objectives": objectives,
            "trials": trials,
        })
    }

    /// How it ended, in a word.
    pub(super) fn word(&self) -> &'static str {
        let is_ours = matches!(&self.missed, Some((_, Miss { blame: Blame::Generator { .. }, .. })));
        match self.end {
            End::Known | End::Nowhere if is_ours => "generator",
            End::Known if self.missed.is_none() => "ceiling",
            End::Known => "found",
            End::Nowhere => "nowhere",
            End::Varies => "varies",
            End::Gone => "target",
            End::Stopped => "stopped",
        }
    }
}
