//! `hullo bench ADDRESS --repeat 5 --vs OTHER`: two targets in turns, and which is faster.
//!
//! `hullo bench --compare A.json B.json`: the same of reports that are there.

use std::{fs, path::Path};

use hullo::{
    Error, Kind, Result,
    bench::{
        Report,
        compare::{Comparison, compare, plausible},
    },
};
use serde_json::{Value, json};

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    A,
    B,
}

/// The runs of both, and what they say.
pub(super) struct Versus {
    pub(super) a: Vec<Report>,
    pub(super) b: Vec<Report>,
    pub(super) comparison: Comparison,
}

/// Whose turn it is when, in so many rounds. Who is first changes each round, so that what the first leaves behind is not
/// always the second's.
pub(super) fn turns(rounds: usize) -> impl Iterator<Item = (usize, Side)> {
    let round = |round| if round % 2 == 0 { [Side::A, Side::B] } else { [Side::B, Side::A] };
    (0..rounds).flat_map(move |number| round(number).map(|side| (number, side)))
}

/// The runs of both so far.
#[derive(Default)]
pub(super) struct Runs {
    a: Vec<Report>,
    b: Vec<Report>,
}

impl Runs {
    pub(super) fn add(&mut self, side: Side, report: Report) {
        if side == Side::A { self.a.push(report) } else { self.b.push(report) }
    }

    /// How many rounds are whole.
    pub(super) fn rounds(&self) -> usize {
        self.a.len().min(self.b.len())
    }

    /// Both sides beside each other, as far as rounds are whole.
    ///
    /// # Errors
    /// What [`compare`] says; there is at least one round.
    pub(super) fn compared(mut self, seed: u64) -> Result<Versus> {
        let rounds = self.rounds();
        [&mut self.a, &mut self.b].into_iter().for_each(|side| side.truncate(rounds));
        let comparison = compare(&self.a, &self.b, true, seed)?;
        Ok(Versus { a: self.a, b: self.b, comparison })
    }
}

impl Versus {
    /// The run of each side that stands for the others: the one whose rate is in the middle.
    pub(super) fn middle(&self) -> Option<[&Report; 2]> {
        let of = |side: &'_ [Report]| -> Option<usize> {
            let mut places: Vec<usize> = (0..side.len()).collect();
            places.sort_by(|one, other| side[*one].rate.total_cmp(&side[*other].rate));
            places.get(side.len() / 2).copied()
        };
        Some([&self.a[of(&self.a)?], &self.b[of(&self.b)?]])
    }

    /// All of it for programs.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub(super) fn facts(&self) -> serde_json::Result<Value> {
        let comparison = serde_json::to_value(&self.comparison)?;
        Ok(
            json!({ "reports": { "a": serde_json::to_value(&self.a)?, "b": serde_json::to_value(&self.b)? }, "comparison": comparison }),
        )
    }
}

/// Compares the reports of two files. A file may have several, one after the other, which are runs of the same.
///
/// # Errors
/// A file that cannot be read or has no report, and what [`compare`] says.
pub(super) fn files(a: &Path, b: &Path, seed: u64) -> Result<Versus> {
    let (a, b) = (reports(a)?, reports(b)?);
    let comparison = compare(&a, &b, false, seed)?;
    Ok(Versus { a, b, comparison })
}

fn reports(file: &Path) -> Result<Vec<Report>> {
    let text =
        fs::read(file).map_err(|error| Error::io(format!("cannot read {}", file.display()), error).of(Kind::File))?;
    let mut reports = Vec::new();
    for value in serde_json::Deserializer::from_slice(&text).into_iter::<Value>() {
        let value = value.map_err(|error| no_report(file, &error))?;
        if value["search"].is_object() {
            // A search has the report of the rate that it found.
            reports.push(serde_json::from_value(value["report"].clone()).map_err(|error| no_report(file, &error))?);
            continue;
        }
        reports.push(serde_json::from_value(value).map_err(|error| no_report(file, &error))?);
    }
    if let Some(absurd) = reports.iter().find_map(|report| plausible(report).err()) {
        return Err(Error::usage(format!("{} cannot be compared", file.display())).because(absurd.to_string()));
    }
    if reports.is_empty() {
        return Err(Error::new(Kind::File, format!("there is no report in {}", file.display())).hint(HINT));
    }
    Ok(reports)
}

const HINT: &str = "write reports with hullo bench ADDRESS --json > FILE; several in one file are runs of the same";

fn no_report(file: &Path, error: &serde_json::Error) -> Error {
    Error::new(Kind::File, format!("{} is no report of hullo bench: {error}", file.display())).hint(HINT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_take_turns_and_neither_is_always_first() {
        let order: Vec<_> = turns(3).collect();
        assert_eq!(order, [(0, Side::A), (0, Side::B), (1, Side::B), (1, Side::A), (2, Side::A), (2, Side::B)]);
    }

    #[test]
    fn what_is_no_whole_round_is_not_compared() {
        let column = || hullo::bench::report::Column { offered: 1, answered: 1, ..Default::default() };
        let over_time = hullo::bench::report::OverTime { width: 0.1, columns: vec![column(), column()] };
        let mut runs = Runs::default();
        for (round, side) in turns(3).take(5) {
            let target = format!("{side:?}{round}");
            runs.add(side, Report { target, seconds: 0.2, over_time: over_time.clone(), ..Report::default() });
        }
        assert_eq!(runs.rounds(), 2);
        let versus = runs.compared(0).unwrap();
        let names = |side: &[Report]| side.iter().map(|report| report.target.clone()).collect::<Vec<_>>();
        assert_eq!(
            (names(&versus.a), names(&versus.b)),
            (vec!["A0".into(), "A1".into()], vec!["B0".into(), "B1".into()])
        );
        assert_eq!(versus.comparison.runs, [2, 2]);
    }
}
