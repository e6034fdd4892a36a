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

/// Measures both so often in turns. Who is first changes each round, so that what the first leaves behind is not always
/// the second's. `told` hears of each run.
///
/// # Errors
/// A run that could not be made.
pub(super) async fn run(
    rounds: usize,
    seed: u64,
    mut measure: impl AsyncFnMut(Side) -> Result<Report>,
    mut told: impl FnMut(usize, Side, &Report) -> Result<()>,
) -> Result<Versus> {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let turns = if round % 2 == 0 { [Side::A, Side::B] } else { [Side::B, Side::A] };
        for side in turns {
            let report = measure(side).await?;
            told(round, side, &report)?;
            if side == Side::A { a.push(report) } else { b.push(report) }
        }
    }
    let comparison = compare(&a, &b, true, seed)?;
    Ok(Versus { a, b, comparison })
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
        let column = || hullo::bench::report::Column { offered: 1, answered: 1, ..Default::default() };
        let over_time = hullo::bench::report::OverTime { width: 0.1, columns: vec![column(), column()] };
        let mut order = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let measure = async |side| {
            Ok(Report { target: format!("{side:?}"), seconds: 0.2, over_time: over_time.clone(), ..Report::default() })
        };
        let told = |round, side, _: &Report| {
            order.push((round, side));
            Ok(())
        };
        let versus = runtime.block_on(run(3, 0, measure, told)).unwrap();
        assert_eq!(order, [(0, Side::A), (0, Side::B), (1, Side::B), (1, Side::A), (2, Side::A), (2, Side::B)]);
        assert!(
            versus.a.iter().all(|report| report.target == "A") && versus.b.iter().all(|report| report.target == "B")
        );
        assert_eq!((versus.comparison.a.as_str(), versus.comparison.runs), ("A", [3, 3]));
    }
}
