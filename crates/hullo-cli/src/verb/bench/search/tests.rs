//! Searches of targets of which it is known what they can do.

use std::cell::RefCell;

use hullo::bench::report::Latency;

use super::*;

/// The report of a target that answers in 2 ms up to that rate, and in 50 ms beyond it.
fn target(capacity: f64, rate: f64) -> Report {
    let p99 = if rate <= capacity { 2.0 } else { 50.0 };
    let latency_ms = Latency { count: 1000, p50: Some(1.0), p99: Some(p99), ..Latency::default() };
    Report { offered: 1000, sent: 1000, answered: 1000, rate, latency_ms, ..Report::default() }
}

/// What a search finds, and how many trials it needs. None of what it awaits is ever waited for.
fn search(bounds: (f64, Option<f64>), target: impl Fn(f64) -> Result<Report>) -> Result<Found> {
    let slo = "p99<10ms".parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(run(&[slo], bounds, async |rate| target(rate), |_| Ok(())))
}

#[test]
fn the_highest_rate_is_found_wherever_it_is() {
    for capacity in [1.0, 1.5, 37.0, 999.0, 1000.0, 12_345.0, 880_000.0, 3e7] {
        let found = search((START, None), |rate| Ok(target(capacity, rate))).unwrap();
        let rate = found.rate.unwrap();
        assert!(rate <= capacity && capacity / rate <= NEAR * 1.01, "{rate} of {capacity}");
        assert!(found.trials.len() < 32, "{capacity}: {} trials", found.trials.len());
        assert!(
            found.trials.last().unwrap().confirms && found.sentence().contains("it held twice"),
            "{}",
            found.sentence()
        );
        assert_eq!(found.report().unwrap().rate, rate);
        assert_eq!((&found.facts()["ended"], found.facts()["rate"].as_f64()), (&"found".into(), Some(rate)));
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
    assert_eq!(error.kind(), Kind::Missed);
    assert!(error.to_string().starts_with("no rate that was tried holds p99<10ms"), "{error}");
}

#[test]
fn it_ends_where_the_generator_is_the_limit() {
    let found = search((START, None), |rate| {
        let lag_ms = Latency { count: 1, p99: Some(if rate > 5000.0 { 80.0 } else { 0.0 }), ..Latency::default() };
        Ok(Report { lag_ms, ..target(6000.0, rate) })
    });
    let found = found.unwrap();
    assert_eq!(found.rate, Some(4000.0));
    assert!(found.sentence().contains("at 8,000/s the generator itself was the limit"), "{}", found.sentence());
}

#[test]
fn it_ends_where_the_target_gives_up() {
    let found = search((START, None), |rate| match rate {
        rate if rate > 3000.0 => Err(Error::new(Kind::Refused, "cannot connect to tcp://a:1: connection refused")),
        rate => Ok(target(1e9, rate)),
    });
    let found = found.unwrap();
    assert_eq!((found.rate, found.end.word()), (Some(2000.0), "target"));
    assert!(
        found.sentence().contains("at 4,000/s the target gave up: cannot connect to tcp://a:1"),
        "{}",
        found.sentence()
    );
    let error = search((START, None), |_| Err(Error::new(Kind::Refused, "refused"))).err().unwrap();
    assert_eq!(error.kind(), Kind::Refused, "who is not there is no result");
    let silent = search((START, None), |_| {
        let failures = [("timeout".to_owned(), 10)].into();
        Ok(Report { offered: 10, failed: 10, failures, ..Report::default() })
    });
    let silent = silent.unwrap();
    assert!(
        silent.trials.len() == 1 && silent.sentence().contains("nothing was answered (timeout)"),
        "{}",
        silent.sentence()
    );
}

#[test]
fn a_target_that_varies_is_said_to() {
    let times = RefCell::new(0);
    let found = search((START, None), |rate| {
        *times.borrow_mut() += 1;
        // Each rate holds the first time, if it is not far too high, and never again.
        let again = times.borrow().to_owned() > 8;
        Ok(target(if again { 0.0 } else { 5000.0 }, rate))
    });
    let found = found.unwrap();
    assert!(matches!(found.end, End::Varies | End::Nowhere), "{}", found.sentence());
    assert!(found.trials.len() <= MOST);
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
