//! `cargo xtask perf`: this engine beside C references and the programs that people use for the same.
//!
//! Nothing outside the repository is needed: peers come from Debian where that is possible, references and generators are
//! built from `xtask/perf`. A server has core 0 to itself, and its generator core 1.

mod chart;
mod contest;
mod figures;
mod group;
mod groups;
mod idle;
mod ledger;
mod page;
mod place;
mod program;
mod summary;
mod words;

use crate::{
    run::{Failure, Outcome, Words, failed, output, release},
    transfer,
};
use contest::Run;
use group::Group;
use groups::GROUPS;
use page::Published;
use place::Place;
use serde_json::json;

/// What `--only` takes besides the names of groups.
const OTHERS: [&str; 2] = [idle::NAME, "transfer"];

pub(crate) fn run(words: &mut Words) -> Outcome {
    let (binary, only, writes) = (words.option("--bin")?, words.option("--only")?, words.flag("--write"));
    let run = Run { rounds: number(words, "--rounds", 5)?, seconds: number(words, "--seconds", 1.0)? };
    words.end()?;
    let only: Vec<_> = only.iter().flat_map(|only| only.split(',')).map(str::to_owned).collect();
    known(&only)?;
    let wanted = |name: &str| only.is_empty() || only.iter().any(|one| one == name);
    let is_built = binary.is_none();
    let place = Place::new(release(binary)?)?;
    let mut published = Published::new(&place, is_built)?;
    for group in GROUPS.iter().filter(|group| wanted(group.name)) {
        one(group, &place, run, &mut published)?;
    }
    if wanted(idle::NAME) {
        let table = idle::measure(&place)?;
        println!("{}", idle::shown(&table));
        published.idle = Some(table);
    }
    if wanted("transfer") {
        transfer::run(&place.hullo, run.rounds)?;
    }
    if writes { published.write() } else { Ok(()) }
}

/// A group, from its servers' start to its table.
fn one(group: &'static Group, place: &Place, run: Run, published: &mut Published) -> Outcome {
    let courses = contest::measure(group, place, run)?;
    let today = output(std::process::Command::new("date").args(["-u", "+%F"]))?;
    let kept = json!({
        "group": group.name, "date": today.trim(), "rounds": run.rounds, "seconds": run.seconds,
        "courses": contest::samples(&courses),
    });
    place::write(&place.samples(group.name), format!("{kept:#}\n").as_bytes())?;
    let summary = summary::summarize(group, &courses, run, today.trim());
    println!("{}", words::table(&summary));
    published.take(summary);
    Ok(())
}

/// The number behind an option, which is more than nothing.
fn number<T: std::str::FromStr + PartialOrd + Default>(words: &mut Words, name: &str, usual: T) -> Outcome<T> {
    let Some(text) = words.option(name)? else { return Ok(usual) };
    let number = text.parse().ok().filter(|number| *number > T::default());
    number.ok_or_else(|| wrong(format!("{name} {text} is no number above 0")))
}

/// A name that is not there is no reason to measure nothing in silence.
fn known(only: &[String]) -> Outcome {
    let names: Vec<_> = GROUPS.iter().map(|group| group.name).chain(OTHERS).collect();
    match only.iter().find(|one| !names.contains(&one.as_str())) {
        Some(one) => Err(wrong(format!("there is no group '{one}'; there are {}", names.join(", ")))),
        None => Ok(()),
    }
}

fn wrong(why: String) -> Failure {
    Failure { code: 2, ..failed(why) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_is_not_there_is_an_error_which_names_those_that_are() {
        let why = known(&["tpc".to_owned()]).err().and_then(|failure| failure.why).unwrap_or_default();
        assert!(why.contains("'tpc'") && why.contains("tcp, udp") && why.contains("idle, transfer"), "{why}");
        assert!(known(&["tcp".to_owned(), "idle".to_owned()]).is_ok());
    }

    #[test]
    fn rounds_and_seconds_are_more_than_nothing() {
        let mut words = Words::new(["--rounds", "0", "--seconds", "0.3"].map(str::to_owned));
        assert!(number(&mut words, "--rounds", 5_usize).is_err());
        assert!(number(&mut words, "--seconds", 1.0).is_ok_and(|seconds| seconds == 0.3));
        assert!(number(&mut words, "--rounds", 5_usize).is_ok_and(|rounds| rounds == 5));
    }
}
