//! Comparisons of load tests that are made up, where the truth is known.

use std::{collections::BTreeMap, slice::from_ref};

use super::*;
use crate::{
    bench::{
        buckets::bucket,
        report::{Latency, OverTime},
    },
    fault::Draw,
};

/// Runs of which the truth is known.
struct Truth {
    /// The median latency in milliseconds.
    median: f64,
    /// How many of a thousand fail.
    failing: u64,
    columns: usize,
    /// How much a column differs from others, as its neighbours do.
    moods: f64,
    /// And a run from others.
    luck: f64,
}

const TRUTH: Truth = Truth { median: 2.0, failing: 0, columns: 30, moods: 0.1, luck: 0.0 };

impl Truth {
    fn run(&self, seed: u64) -> Report {
        let mut draw = Draw::new(seed, 0, "truth", None);
        let mut mood = 0.0;
        let luck = (self.luck * normal(&mut draw)).exp();
        let mut columns = Vec::new();
        let mut all = Vec::new();
        for _ in 0..self.columns {
            mood = 0.7 * mood + self.moods * normal(&mut draw);
            let mut column = crate::bench::report::Column::default();
            let mut latency = BTreeMap::new();
            for _ in 0..40 {
                column.offered += 1;
                if draw.up_to(999) < self.failing {
                    column.failed += 1;
                    continue;
                }
                column.answered += 1;
                let nanos = (self.median * luck * (mood + 0.3 * normal(&mut draw)).exp() * 1e6) as u64;
                all.push(nanos);
                *latency.entry(bucket(nanos)).or_insert(0) += 1;
            }
            column.latency = latency.into_iter().collect();
            columns.push(column);
        }
        all.sort_unstable();
        report(columns, &all)
    }

    fn runs(&self, count: u64, seed: u64) -> Vec<Report> {
        (0..count).map(|run| self.run(seed * 1000 + run)).collect()
    }
}

/// About normal: twelve even ones together (Irwin and Hall).
fn normal(draw: &mut Draw) -> f64 {
    (0..12).map(|_| draw.up_to(1 << 40) as f64 / (1_u64 << 40) as f64).sum::<f64>() - 6.0
}

fn report(columns: Vec<crate::bench::report::Column>, nanos: &[u64]) -> Report {
    let sum = |of: fn(&crate::bench::report::Column) -> u64| columns.iter().map(of).sum::<u64>();
    let (offered, answered, failed) = (sum(|c| c.offered), sum(|c| c.answered), sum(|c| c.failed));
    let at = |share: f64| Some(nanos[((nanos.len() - 1) as f64 * share) as usize] as f64 / 1e6);
    let latency_ms = Latency {
        count: answered,
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: at(1.0),
        ..Latency::default()
    };
    let seconds = columns.len() as f64 * 0.1;
    let over_time = OverTime { width: 0.1, columns };
    let rate = answered as f64 / seconds;
    Report { seconds, rate, offered, sent: offered, answered, failed, latency_ms, over_time, ..Report::default() }
}

/// How many of so many comparisons say that word.
fn saying(word: Word, of: u64, compare: impl Fn(u64) -> Comparison) -> u64 {
    (0..of).filter(|seed| compare(*seed).word == word).count() as u64
}

#[test]
fn the_same_cannot_be_told_from_itself() {
    let same = saying(Word::CannotTell, 100, |seed| {
        compare(&[TRUTH.run(2 * seed)], &[TRUTH.run(2 * seed + 1)], false, seed).unwrap()
    });
    assert!(same >= 90, "{same} of 100");
}

#[test]
fn the_same_in_turns_cannot_be_told_from_itself() {
    let truth = Truth { columns: 8, luck: 0.1, ..TRUTH };
    let same = saying(Word::CannotTell, 50, |seed| {
        compare(&truth.runs(5, 2 * seed), &truth.runs(5, 2 * seed + 1), true, seed).unwrap()
    });
    assert!(same >= 45, "{same} of 50");
}

#[test]
fn a_tenth_is_seen() {
    // As many columns as a run of ten seconds has.
    let usual = Truth { moods: 0.02, columns: 100, ..TRUTH };
    let slow = Truth { median: usual.median * 1.1, ..usual };
    let seen = saying(Word::Slower, 20, |seed| {
        compare(&[usual.run(2 * seed)], &[slow.run(2 * seed + 1)], false, seed).unwrap()
    });
    assert!(seen >= 19, "{seen} of 20");
    let seen = saying(Word::Faster, 20, |seed| {
        compare(&[slow.run(2 * seed)], &[usual.run(2 * seed + 1)], false, seed).unwrap()
    });
    assert!(seen >= 19, "{seen} of 20");
}

#[test]
fn an_interval_holds_the_truth() {
    let usual = Truth { moods: 0.05, ..TRUTH };
    let slow = Truth { median: TRUTH.median * 1.05, moods: 0.05, ..TRUTH };
    let holds = |seed: &u64| {
        let comparison = compare(&[usual.run(2 * seed)], &[slow.run(2 * seed + 1)], false, *seed).unwrap();
        let p50 = comparison.figures.iter().find(|figure| figure.figure == "p50").unwrap();
        let [low, high] = p50.interval.unwrap();
        low < 5.0 && 5.0 < high
    };
    let held = (0..50).filter(holds).count();
    assert!(held >= 43, "{held} of 50");
}

#[test]
fn who_fails_more_is_not_faster() {
    let quick_and_broken = Truth { median: 1.0, failing: 50, ..TRUTH };
    let comparison = compare(&[TRUTH.run(1)], &[quick_and_broken.run(2)], false, 0).unwrap();
    assert_eq!(comparison.word, Word::CannotTell);
    assert!(
        comparison.why.contains("but worse in") && comparison.why.ends_with("what failed or had no answer"),
        "{}",
        comparison.why
    );
}

#[test]
fn what_is_cut_off_is_told_as_far_as_it_can_be() {
    let (mut short, long) = (TRUTH.run(1), Truth { median: 4.0, ..TRUTH }.run(2));
    short.latency_ms.censored = vec!["p99".to_owned()];
    let of = |a: &Report, b: &Report| {
        let comparison = compare(from_ref(a), from_ref(b), false, 0).unwrap();
        let p99 = comparison.figures.into_iter().find(|figure| figure.figure == "p99").unwrap();
        (p99.word, p99.censored)
    };
    assert_eq!(of(&short, &long), (Word::CannotTell, [true, false]), "A may have been as slow");
    assert_eq!(of(&long, &short), (Word::CannotTell, [false, true]), "so may B");
    let mut cut = long.clone();
    cut.latency_ms.censored = vec!["p99".to_owned()];
    assert_eq!(of(&TRUTH.run(1), &cut), (Word::Slower, [false, true]), "B was at least so slow");
    assert_eq!(of(&cut, &TRUTH.run(1)), (Word::Faster, [true, false]), "A was at least so slow");
}

#[test]
fn what_is_not_alike_is_warned_about() {
    let (a, mut b) = (TRUTH.run(1), TRUTH.run(2));
    b.plan.rate = Some("500".to_owned());
    b.lag_ms.p99 = Some(3.0);
    let comparison = compare(from_ref(&a), &[b], false, 0).unwrap();
    let warned = |part: &str| comparison.warnings.iter().any(|warning| warning.contains(part));
    assert!(warned("--rate was none for A and 500 for B"), "{:?}", comparison.warnings);
    assert!(
        warned("for B the generator was the limit: of a p99 of") && warned("one run each"),
        "{:?}",
        comparison.warnings
    );
    let empty = Report::default();
    assert!(compare(from_ref(&a), &[empty], false, 0).is_err(), "no columns, no comparison");
    assert!(compare(&[], &[a], false, 0).is_err());
}

#[test]
fn loads_that_are_not_the_same_are_warned_about() {
    let (mut a, mut b) = (TRUTH.run(1), TRUTH.run(2));
    (a.bytes.sent, b.bytes.sent) = (a.sent * 64, b.sent * 65);
    (b.plan.timeout, b.plan.warm_up, b.plan.threads, b.plan.size) = (1.5, 2.0, 4, Some(1000));
    b.plan.http = Some("2".to_owned());
    let warnings = compare(from_ref(&a), &[b], false, 0).unwrap().warnings.join("\n");
    for part in [
        "for A each request took 64 B to send, and for B 65 B",
        "--timeout was 0 s for A and 1.5 s for B",
        "--warm-up was 0 s for A and 2 s for B",
        "--threads was 0 for A and 4 for B",
        "the size of what is sent was none for A and 1.00 kB for B",
        "--http was none for A and 2 for B",
    ] {
        assert!(warnings.contains(part), "{part} is missing in\n{warnings}");
    }
    let mut alike = a.clone();
    alike.bytes.sent += alike.bytes.sent / 200;
    let warnings = compare(&[a], &[alike], false, 0).unwrap().warnings.join("\n");
    assert!(!warnings.contains("differ:"), "half a per cent is nothing: {warnings}");
}

#[test]
fn bulk_is_compared_by_its_bytes() {
    let bulk = |a_second: u64| {
        let column = || crate::bench::report::Column { sent: a_second / 10, ..Default::default() };
        let columns: Vec<_> = (0..100).map(|_| column()).collect();
        let over_time = OverTime { width: 0.1, columns };
        let bytes = crate::bench::report::Bytes { sent: a_second * 10, received: 0 };
        // Its connections are counted, and are nothing that is answered.
        let shape = "up".to_owned();
        Report {
            shape,
            seconds: 10.0,
            offered: 4,
            sent: 4,
            answered: 4,
            rate: 0.4,
            bytes,
            over_time,
            ..Report::default()
        }
    };
    let comparison = compare(&[bulk(1_000_000)], &[bulk(2_000_000)], false, 0).unwrap();
    let names: Vec<_> = comparison.figures.iter().map(|figure| (figure.figure.as_str(), figure.word)).collect();
    assert_eq!(names, [("bytes", Word::Faster)]);
    assert_eq!(comparison.word, Word::Faster, "{}", comparison.why);
}

#[test]
fn too_much_is_refused_at_once() {
    let long = || Truth { columns: 1001, ..TRUTH }.run(1);
    assert_eq!(compare(&[long()], &[long()], false, 0).unwrap_err().kind(), crate::error::Kind::Usage);
    let many = vec![Truth { columns: 1, ..TRUTH }.run(1); 1001];
    assert_eq!(compare(&many, &many, false, 0).unwrap_err().kind(), crate::error::Kind::Usage);
}

#[test]
fn one_column_says_nothing() {
    let short = Truth { columns: 1, ..TRUTH };
    let comparison = compare(&[short.run(1)], &[Truth { median: 90.0, ..short }.run(2)], false, 0).unwrap();
    assert_eq!(comparison.word, Word::CannotTell);
    assert!(comparison.figures.iter().all(|figure| figure.interval.is_none()), "{comparison:?}");
    assert!(comparison.why.contains("too short"), "{}", comparison.why);
}

#[test]
fn the_same_seed_gives_the_same_words_and_json_comes_back() {
    let of = || compare(&[TRUTH.run(1)], &[TRUTH.run(2)], false, 7).unwrap();
    assert_eq!(of(), of());
    let text = serde_json::to_string(&of()).unwrap();
    assert_eq!(serde_json::from_str::<Comparison>(&text).unwrap(), of());
}

#[test]
fn students_t_is_what_tables_say() {
    for (freedom, wanted) in [(1.0, 12.706), (2.0, 4.303), (4.0, 2.776), (30.0, 2.042), (500.0, 1.965)] {
        let t = distrs::StudentsT::ppf(0.975, freedom);
        assert!((t - wanted).abs() < 0.001, "{freedom}: {t}");
    }
}
