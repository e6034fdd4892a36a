//! What comes after a load test: its files, what is said of it, and whether it was good enough.

use std::{fs, path::Path, process::ExitCode};

use hullo::{
    Error, Kind, Result,
    bench::{Report, Slo, compare::Comparison},
};
use serde_json::Value;

use super::versus::Versus;
use crate::{
    args::Bench,
    report::{Voice, safe},
    verb::print,
    view::{
        bench::{
            page::{Run, Word, page},
            prometheus, summary, table,
        },
        paint,
    },
};

/// What must hold. It is read before anything is measured, so that a mistake costs no time.
///
/// # Errors
/// An objective that cannot be read.
pub(super) fn objectives(args: &Bench) -> Result<Vec<Slo>> {
    let unanswered = args.fail_unanswered.then_some("unanswered<1");
    args.slo.iter().map(String::as_str).chain(unanswered).map(str::parse).collect()
}

/// Writes the files that were asked for.
///
/// # Errors
/// A file that cannot be written.
pub(super) fn files(report: &Report, args: &Bench, objectives: &[Slo]) -> Result<()> {
    if let Some(file) = &args.html {
        let words: Vec<_> = objectives.iter().map(|slo| verdict(slo, report)).collect();
        write(file, &page(&[Run { name: "", report }], &words))?;
    }
    if let Some(file) = &args.csv {
        let percentiles = file.extension().is_some_and(|extension| extension == "hgrm");
        write(file, &if percentiles { table::percentiles(&report.latency_ms) } else { table::over_time(report) })?;
    }
    if let Some(file) = &args.prometheus {
        write(file, &prometheus::page(report))?;
    }
    Ok(())
}

/// What came of an objective, for the page.
fn verdict(slo: &Slo, report: &Report) -> Word {
    match slo.check(report) {
        Ok(()) => Word { text: format!("{slo} holds."), is_bad: false },
        Err(error) => Word { text: error.to_string(), is_bad: true },
    }
}

/// Writes the page of a comparison, where one was asked for. Of several runs it shows those in the middle.
///
/// # Errors
/// The file cannot be written, or an objective cannot be read.
pub(super) fn page_of_two(versus: &Versus, args: &Bench) -> Result<()> {
    let (Some(file), Some([a, b])) = (&args.html, versus.middle()) else { return Ok(()) };
    let Comparison { word, why, warnings, .. } = &versus.comparison;
    let mut words = vec![Word { text: format!("B is compared with A: {word}. {why}"), is_bad: false }];
    words.extend(warnings.iter().map(|text| Word { text: text.clone(), is_bad: true }));
    for slo in objectives(args)? {
        words.extend([("A", a), ("B", b)].map(|(name, report)| {
            let word = verdict(&slo, report);
            Word { text: format!("{name}: {}", word.text), ..word }
        }));
    }
    write(file, &page(&[Run { name: "A", report: a }, Run { name: "B", report: b }], &words))
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).map_err(|error| Error::io(format!("cannot write {}", file.display()), error).of(Kind::File))
}

/// Says how it went, on stdout.
///
/// # Errors
/// Nobody reads our stdout.
pub(super) fn say(report: &Report, voice: Voice) -> Result<()> {
    if voice.json {
        return object(&serde_json::to_value(report).map_err(unwritable)?);
    }
    print(summary::text(report, paint::on_stdout()).as_bytes())
}

/// One object on stdout.
///
/// # Errors
/// Nobody reads our stdout.
pub(super) fn object(value: &Value) -> Result<()> {
    print(format!("{}\n", safe(value)).as_bytes())
}

pub(super) fn unwritable(error: serde_json::Error) -> Error {
    Error::new(Kind::Other, format!("cannot write the report: {error}"))
}

/// The exit status: each objective that was missed is said.
///
/// # Errors
/// The last one that was missed; or why nothing was answered at all.
pub(super) fn judge<'a>(
    reports: impl IntoIterator<Item = &'a Report>,
    objectives: &[Slo],
    voice: Voice,
) -> Result<ExitCode> {
    let mut last: Option<Error> = None;
    for report in reports {
        let missed = objectives.iter().filter_map(|slo| slo.check(report).err());
        for error in missed.chain(silent(report)) {
            if let Some(before) = last.replace(error) {
                voice.complain(&before);
            }
        }
    }
    last.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// Why nothing was answered, where nothing was: its kind is that of the most frequent failure.
fn silent(report: &Report) -> Option<Error> {
    if report.offered == 0 || report.answered > 0 {
        return None;
    }
    let most = report.failures.iter().max_by_key(|(_, count)| **count).map(|(what, _)| what.as_str());
    let kind = Kind::ALL.iter().find(|kind| Some(kind.word()) == most).copied();
    let kind = kind.unwrap_or(if most.is_some() { Kind::Different } else { Kind::Timeout });
    let about = format!("{} answered none of {} requests", report.target, report.offered);
    Some(Error::new(kind, about).because(most.unwrap_or("nothing was heard before the time was over").to_owned()))
}
