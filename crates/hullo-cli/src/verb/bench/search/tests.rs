//! Searches of targets of which it is known what they can do.

use std::cell::{Cell, RefCell};

use hullo::bench::{
    buckets::bucket,
    report::{Column, Cpu, Latency, OverTime},
};
use serde_json::Value;

use super::*;

/// The report of a target that answers in 2 ms up to that rate, and in 50 ms beyond it, in all columns or in some.
fn answers(capacity: f64, rate: f64, slow: std::ops::Range<usize>) -> Report {
    let column = |at| {
        let nanos = if rate > capacity && slow.contains(&at) { 50_000_000 } else { 2_000_000 };
        Column { offered: 100, answered: 100, done: 100, latency: vec![(bucket(nanos), 100)], ..Column::default() }
    };
    let over_time = OverTime { width: 0.1, columns: (0..10).map(column).collect() };
    let p99 = if rate <= capacity { 2.0 } else { 50.0 };
    let latency_ms = Latency { count: 1000, p50: Some(1.0), p99: Some(p99), ..Latency::default() };
    Report { offered: 1000, sent: 1000, answered: 1000, rate, seconds: 1.0, latency_ms, over_time, ..Report::default() }
}

fn target(capacity: f64, rate: f64) -> Report {
    answers(capacity, rate, 0..10)
}

/// The same where a pause of the machine has made a tenth of the trial slow.
fn paused(rate: f64) -> Report {
    answers(0.0, rate, 3..4)
}

/// What a search finds.
fn search(bounds: (f64, Option<f64>), target: impl Fn(f64) -> Result<Report>) -> Result<Found> {
    searched(&["p99<10ms"], bounds, target)
}

fn searched(slos: &[&str], bounds: (f64, Option<f64>), target: impl Fn(f64) -> Result<Report>) -> Result<Found> {
    let slos: Vec<_> = slos.iter().map(|slo| slo.parse().unwrap()).collect();
    let mut search = Search::new(&slos, bounds)?;
    while let Some(step) = search.next() {
        search.heard(step, target(step.rate))?;
    }
    Ok(search.found())
}

#[test]
fn the_highest_rate_is_found_wherever_it_is() {
    for capacity in [1.0, 1.5, 37.0, 999.0, 1000.0, 12_345.0, 880_000.0, 3e7] {
        let found = search((START, None), |rate| Ok(target(capacity, rate))).unwrap();
        let rate = found.rate.unwrap();
        assert!(rate <= capacity && capacity / rate <= NEAR * 1.01, "{rate} of {capacity}");
        assert!(found.trials.len() < 32, "{capacity}: {} trials", found.trials.len());
        assert!(found.trials.last().unwrap().turn == Turn::Confirm, "{}", found.sentence());
        let sentence = found.sentence();
        assert!(
            sentence.contains("they held twice. At ") && sentence.contains("p99<10ms broke: p99 was 50.0 ms"),
            "{sentence}"
        );
        assert_eq!(found.report().unwrap().rate, rate);
        assert_eq!((&found.facts()["ended"], found.facts()["rate"].as_f64()), (&"found".into(), Some(rate)));
        let limit = &found.facts()["limit"];
        assert_eq!((&limit["by"], &limit["objective"]), (&"target".into(), &"p99<10ms".into()), "{limit}");
        assert!(found.check().is_ok());
    }
}

#[test]
fn it_stays_within_its_bounds() {
    let asked = RefCell::new(Vec::new());
    let found = search((200.0, Some(700.0)), |rate| {
        asked.borrow_mut().push(rate);
        Ok(target(1e9, rate))
    });
    assert_eq!(*asked.borrow(), [200.0, 400.0, 700.0, 700.0]);
    let found = found.unwrap();
    assert!(found.sentence().contains("hold at 700/s, which is as far as was looked"), "{}", found.sentence());
    assert_eq!((found.word(), &found.facts()["limit"]), ("ceiling", &Value::Null));
}

#[test]
fn a_ceiling_may_be_below_the_lowest_rate_that_is_looked_for() {
    let bounds = (0.1, Some(0.5));
    assert_eq!(search(bounds, |rate| Ok(target(1e9, rate))).unwrap().rate, Some(0.5));
    assert_eq!(search(bounds, |rate| Ok(target(0.0, rate))).unwrap().rate, None);
}

#[test]
fn where_nothing_holds_that_is_said_and_fails() {
    let found = search((START, None), |rate| Ok(target(0.0, rate))).unwrap();
    let error = found.check().unwrap_err();
    assert_eq!((error.kind(), found.word()), (Kind::Missed, "nowhere"));
    let wanted = "no rate holds p99<10ms, failed<1%, unanswered<1%: even 1/s, the lowest that was tried, misses p99<10ms: \
                  p99 was 50.0 ms";
    assert_eq!(error.to_string(), wanted);
}

#[test]
fn one_bad_moment_costs_one_more_trial_and_nothing_else() {
    // Each rate has its pause once, and whatever is confirmed has one too.
    let (capacity, seen) = (6000.0, RefCell::new(Vec::new()));
    let found = search((START, None), |rate| {
        let times = seen.borrow().iter().filter(|known| **known == rate).count();
        seen.borrow_mut().push(rate);
        Ok(if times.is_multiple_of(2) { paused(rate) } else { target(capacity, rate) })
    });
    let found = found.unwrap();
    let rate = found.rate.unwrap();
    assert!(rate <= capacity && capacity / rate <= NEAR * 1.01, "{}", found.sentence());
    assert_eq!(found.word(), "found");
    assert!(found.trials.iter().any(|trial| trial.line().contains("held after all")));
}

#[test]
fn what_is_missed_all_the_time_is_believed_at_once() {
    let found = search((START, None), |rate| Ok(target(6000.0, rate))).unwrap();
    assert!(found.trials.iter().all(|trial| trial.turn != Turn::Again));
    let found = search((START, None), |rate| Ok(answers(6000.0, rate, 0..4))).unwrap();
    let missed = found.trials.iter().filter(|trial| trial.miss.is_some()).count();
    let again = found.trials.iter().filter(|trial| trial.turn == Turn::Again).count();
    assert_eq!((missed, found.word()), (2 * again, "found"), "and what is missed for a while is missed twice");
}

/// A generator that is late, or that stands still for a moment.
fn late(rate: f64, from: f64, p99: f64) -> Report {
    let lag = if rate > from { p99 } else { 0.0 };
    let lag_ms = Latency { count: 1, p99: Some(lag), max: Some(lag), ..Latency::default() };
    Report { lag_ms, ..target(from, rate) }
}

#[test]
fn the_generators_limit_is_no_limit_of_the_target() {
    let found = search((START, None), |rate| Ok(late(rate, 6000.0, 40.0))).unwrap();
    assert!((5700.0..=6000.0).contains(&found.rate.unwrap()), "it looks for its own limit too: {}", found.sentence());
    let sentence = found.sentence();
    assert!(
        sentence.contains("the generator itself was the limit (40.0 ms of a p99 of 50.0 ms are its own lag)"),
        "{sentence}"
    );
    assert!(sentence.contains("so the target may hold more: make the load on"), "{sentence}");
    assert_eq!((found.word(), &found.facts()["limit"]["by"]), ("generator", &"generator".into()));
    let found = search((START, None), |rate| Ok(late(rate, 0.0, 40.0))).unwrap();
    let error = found.check().unwrap_err().to_string();
    assert!(error.starts_with("nothing is known of the target: even at 1/s"), "{error}");
}

#[test]
fn what_fails_is_never_the_generators_own_lag() {
    for (slos, part) in [(&["failed<1%"][..], "failed"), (&["unanswered<1%", "failed<100%"], "unanswered")] {
        let found = searched(slos, (START, None), |rate| {
            let mut report = Report { latency_ms: Latency::default(), ..late(rate, 3000.0, 90.0) };
            if rate > 3000.0 {
                report.answered = 900;
                *if part == "failed" { &mut report.failed } else { &mut report.unanswered } = 100;
                for column in &mut report.over_time.columns {
                    *if part == "failed" { &mut column.failed } else { &mut column.unanswered } = 10;
                }
            }
            Ok(report)
        });
        let found = found.unwrap();
        assert_eq!((found.word(), &found.facts()["limit"]["by"]), ("found", &"target".into()), "{}", found.sentence());
        assert!(found.sentence().contains(&format!("{part}<1% broke: 100 of 1,000 ")), "{}", found.sentence());
    }
}

#[test]
fn a_busy_generator_is_told_what_to_do() {
    let found = search((START, None), |rate| {
        let cpu = Cpu { busiest: if rate > 3000.0 { 0.99 } else { 0.5 }, ..Cpu::default() };
        Ok(Report { cpu, ..target(3000.0, rate) })
    });
    let sentence = found.unwrap().sentence();
    assert!(
        sentence.contains("a thread of it was busy for 99 % of the time), so the target may hold more: "),
        "{sentence}"
    );
}

#[test]
fn a_machine_that_stands_still_is_not_the_target() {
    // Twice in a row at the same rate.
    let found = search((START, None), |rate| {
        let lag_ms = Latency { count: 1, p99: Some(0.1), max: Some(49.0), ..Latency::default() };
        Ok(if rate > 3000.0 { Report { lag_ms, ..paused(rate) } } else { target(1e9, rate) })
    });
    let found = found.unwrap();
    assert_eq!(found.word(), "generator");
    assert!(found.sentence().contains("it was itself 49.0 ms late at one moment"), "{}", found.sentence());
}

#[test]
fn it_ends_where_the_target_gives_up() {
    let refused = || Err(Error::new(Kind::Refused, "cannot connect to tcp://a:1: connection refused"));
    let found = search((START, None), |rate| if rate > 3000.0 { refused() } else { Ok(target(1e9, rate)) });
    let found = found.unwrap();
    assert_eq!((found.rate, found.word()), (Some(2000.0), "target"));
    let sentence = found.sentence();
    assert!(sentence.contains("At 4,000/s the target gave up: cannot connect to tcp://a:1"), "{sentence}");
    assert_eq!(found.trials.iter().filter(|trial| trial.rate == 4000.0).count(), 2, "once may be chance");
    let once = Cell::new(false);
    let found = search((START, Some(8000.0)), |rate| {
        if rate == 4000.0 && !once.replace(true) { refused() } else { Ok(target(1e9, rate)) }
    });
    assert_eq!(found.unwrap().rate, Some(8000.0));
    let error = search((START, None), |_| refused()).err().unwrap();
    assert_eq!(error.kind(), Kind::Refused, "who is not there is no result");
}

#[test]
fn a_target_that_answers_nothing_is_asked_less() {
    let silent = |rate: f64| {
        let failures = [("timeout".to_owned(), 10)].into();
        Report { offered: 10, failed: 10, failures, rate, ..Report::default() }
    };
    let found = search((START, None), |rate| Ok(silent(rate))).unwrap();
    let error = found.check().unwrap_err().to_string();
    assert!(error.contains("even 1/s") && error.contains("nothing was answered (timeout)"), "{error}");
    assert!(found.trials.len() <= 8, "{} trials", found.trials.len());
    let found = search((START, None), |rate| Ok(if rate > 40.0 { silent(rate) } else { target(40.0, rate) })).unwrap();
    assert!((38.0..=40.0).contains(&found.rate.unwrap()), "{}", found.sentence());
}

#[test]
fn a_target_that_varies_is_said_to() {
    let times = Cell::new(0);
    let found = search((START, None), |rate| {
        times.set(times.get() + 1);
        // Each rate holds the first time, if it is not far too high, and never again.
        Ok(target(if times.get() > 8 { 0.0 } else { 5000.0 }, rate))
    });
    let found = found.unwrap();
    assert!(["varies", "nowhere"].contains(&found.word()), "{}", found.sentence());
    assert!(found.trials.len() <= MOST);
}

#[test]
fn who_stops_it_gets_what_is_known() {
    let slo = ["p99<10ms".parse().unwrap()];
    let mut search = Search::new(&slo, (START, None)).unwrap();
    let sentence = |mut search: Search| {
        search.stop();
        assert_eq!(search.next(), None);
        search.found().sentence()
    };
    for _ in 0..4 {
        let step = search.next().unwrap();
        search.heard(step, Ok(target(5000.0, step.rate))).unwrap();
    }
    assert_eq!(search.so_far(), "4,000/s held, 8,000/s missed");
    let said = sentence(search);
    assert!(said.starts_with("p99<10ms, failed<1%, unanswered<1% hold at 4,000/s, so far: it was stopped"), "{said}");
    let said = sentence(Search::new(&slo, (START, None)).unwrap());
    assert!(said.starts_with("no rate is known yet"), "{said}");
}

#[test]
fn a_rate_that_is_wanted_judges_the_one_that_is_found() {
    for (wanted, holds) in [("rate>2000", true), ("rate>20000", false)] {
        let found = searched(&["p99<10ms", wanted], (START, None), |rate| Ok(target(5000.0, rate))).unwrap();
        assert!((4700.0..=5000.0).contains(&found.rate.unwrap()), "{wanted}: {}", found.sentence());
        assert_eq!(found.check().is_ok(), holds, "{wanted}");
        assert!(found.facts()["objectives"].as_array().unwrap().contains(&wanted.into()));
    }
}

#[test]
fn latency_alone_is_no_success() {
    let found = search((START, Some(START)), |rate| {
        Ok(Report { offered: 1000, answered: 500, unanswered: 500, ..target(1e9, rate) })
    });
    let error = found.unwrap().check().unwrap_err();
    assert!(error.to_string().contains("unanswered<1%"), "{error}");
}

#[test]
fn rates_can_be_typed_again() {
    for (rate, typed) in [(1.414, 1.41), (1234.5, 1230.0), (99_999.0, 100_000.0)] {
        assert!((tidy(rate) - typed).abs() < 1e-6, "{rate}");
    }
}
