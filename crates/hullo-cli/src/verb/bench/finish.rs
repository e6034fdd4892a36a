//! What comes after a load test: its files, what is said of it, and whether it was good enough.

use std::{fs, path::Path, process::ExitCode};

use hullo::{
    Error, Kind, Result,
    bench::{Report, Slo, compare::Comparison},
};
use serde_json::{Value, json};

use super::{search::Found, versus::Versus};
use crate::{
    args::Bench,
    report::{Voice, safe, shown_in_line},
    verb::print,
    view::{
        bench::{
            page::{Run, Word, page},
            prometheus, summary, table,
        },
        paint::{self, Paint},
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

/// Where what people read goes.
#[derive(Clone, Copy)]
pub(super) enum People {
    Stdout,
    /// Stdout is a file's.
    Stderr,
}

impl People {
    pub(super) fn of(args: &Bench) -> Self {
        if own_stdout(args).next().is_some() { Self::Stderr } else { Self::Stdout }
    }

    /// Says a text of whole lines.
    ///
    /// # Errors
    /// Nobody reads our stdout.
    pub(super) fn say(self, text: impl FnOnce(Paint) -> String) -> Result<()> {
        match self {
            Self::Stdout => print(text(paint::on_stdout()).as_bytes()),
            Self::Stderr => {
                let text = text(paint::on_stderr());
                if !text.is_empty() {
                    tell!("{}", text.trim_end_matches('\n'));
                }
                Ok(())
            }
        }
    }
}

/// The flags whose files are stdout.
fn own_stdout(args: &Bench) -> impl Iterator<Item = &'static str> {
    let files = [("--html", &args.html), ("--csv", &args.csv), ("--prometheus", &args.prometheus)];
    files.into_iter().filter(|(_, file)| file.as_deref().is_some_and(is_stdout)).map(|(flag, _)| flag)
}

/// Whether that file is stdout, as other programs have it.
fn is_stdout(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// Refuses to write two things to one stdout.
///
/// # Errors
/// There are two.
pub(super) fn check_stdout(args: &Bench, voice: Voice) -> Result<()> {
    match own_stdout(args).chain(voice.json.then_some("--json")).collect::<Vec<_>>()[..] {
        [] | [_] => Ok(()),
        [.., one, other] => Err(Error::usage(format!("{one} - and {other} both want stdout"))
            .hint("write one of them to a file; one that is called - is ./-")),
    }
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
    if is_stdout(file) {
        return print(text.as_bytes());
    }
    fs::write(file, text).map_err(|error| Error::io(format!("cannot write {}", file.display()), error).of(Kind::File))
}

/// Says how it went.
///
/// # Errors
/// Nobody reads our stdout.
pub(super) fn say(report: &Report, people: People, voice: Voice) -> Result<()> {
    if voice.json {
        return object(&serde_json::to_value(report).map_err(unwritable)?);
    }
    people.say(|paint| summary::text(report, paint))
}

/// Says what a search found, and writes the files of the best trial.
///
/// # Errors
/// Nobody reads our stdout, a file cannot be written, or no rate holds.
pub(super) fn found(found: &Found, args: &Bench, objectives: &[Slo], voice: Voice) -> Result<ExitCode> {
    let report = found.report();
    if voice.json {
        object(&json!({ "search": found.facts(), "report": report }))?;
    } else {
        let page = |paint| report.map_or_else(String::new, |report| format!("\n{}", summary::text(report, paint)));
        let notes = || found.notes().iter().map(|note| format!("note: {}\n", shown_in_line(note))).collect::<String>();
        // Where no rate holds that is the error, which is said when all else is.
        let is_error = report.is_none() && !found.is_stopped();
        let sentence = if is_error { String::new() } else { format!("\n{}\n", shown_in_line(&found.sentence())) };
        People::of(args).say(|paint| format!("{}{sentence}{}", page(paint), notes()))?;
    }
    if let Some(report) = report {
        files(report, args, objectives)?;
    }
    if found.is_stopped() {
        return Ok(ExitCode::from(super::INTERRUPTED));
    }
    found.check()?;
    Ok(ExitCode::SUCCESS)
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
