//! What objectives make of reports, and of what people type.

use proptest::prelude::*;

use super::*;
use crate::bench::{
    Packets,
    buckets::bucket,
    report::{Column, Latency, OverTime},
};

fn report() -> Report {
    let latency_ms = Latency {
        count: 4500,
        p50: Some(0.3),
        p99: Some(950.0),
        max: Some(1000.0),
        censored: vec!["p99".to_owned()],
        ..Latency::default()
    };
    Report {
        offered: 5000,
        sent: 4900,
        answered: 4500,
        failed: 27,
        unanswered: 473,
        rate: 450.0,
        latency_ms,
        ..Report::default()
    }
}

#[test]
fn an_objective_is_held_or_broken_with_a_reason() {
    for (slo, why) in [
        ("p50<1ms", ""),
        ("p50<=300us", ""),
        ("p50<300us", "p50 was 300 µs"),
        ("median<0.2ms", "p50 was 300 µs"),
        ("p99<10ms", "p99 was at least 950 ms"),
        ("p99<2s", "p99 was at least 950 ms, and nobody knows how much more: 473 requests had no answer by the end"),
        ("max<=1s", ""),
        ("failed<1%", ""),
        ("failed<28", ""),
        ("failed<27", "27 of 5,000 failed, 0.54 %"),
        ("unanswered<0.1%", "473 of 5,000 had no answer by the end, 9.46 %"),
        ("unanswered<1", "473 of 5,000 had no answer by the end, 9.46 %"),
        ("rate>1000", "it was 450/s"),
        ("rate>=450", ""),
    ] {
        let verdict = slo.parse::<Slo>().unwrap().judge(&report());
        let wanted = if why.is_empty() { Verdict::Held } else { Verdict::Broken { why: why.to_owned() } };
        assert_eq!(verdict, wanted, "{slo}");
    }
}

#[test]
fn what_failed_is_not_quick() {
    let latency_ms = Latency {
        count: 767,
        p50: Some(1.0),
        p90: Some(2.0),
        p95: Some(2.5),
        p99: Some(3.0),
        max: Some(4.0),
        mean: Some(1.0),
        ..Latency::default()
    };
    let failures = [("timeout".to_owned(), 3), ("refused".to_owned(), 30)].into();
    let report = Report { offered: 800, answered: 767, failed: 33, failures, latency_ms, ..Report::default() };
    for (slo, why) in [
        ("p90<10ms", ""),
        ("p95<10ms", ""),
        ("p99<10ms", "33 of 800 requests failed, and p99 was 3.00 ms only without them"),
        ("p99<2ms", "p99 was 3.00 ms"),
        ("max<10ms", "3 of 800 requests timed out, and max was 4.00 ms only without them"),
        ("mean<10ms", "3 of 800 requests timed out, and mean was 1.00 ms only without them"),
    ] {
        let wanted = if why.is_empty() { Verdict::Held } else { Verdict::Broken { why: why.to_owned() } };
        assert_eq!(slo.parse::<Slo>().unwrap().judge(&report), wanted, "{slo}");
    }
    let few = Report { failed: 8, failures: [("refused".to_owned(), 8)].into(), ..report };
    let few = Report { latency_ms: Latency { count: 792, ..few.latency_ms.clone() }, ..few };
    for slo in ["p99<10ms", "max<10ms"] {
        assert_eq!(slo.parse::<Slo>().unwrap().judge(&few), Verdict::Held, "{slo}: one in a hundred may fail");
    }
}

#[test]
fn what_was_not_measured_is_not_reached() {
    let lost: Slo = "lost<1%".parse().unwrap();
    assert!(matches!(lost.judge(&report()), Verdict::Unknown { .. }));
    let packets = Some(Packets { lost: 100, ..Packets::default() });
    let wanted = Verdict::Broken { why: "100 of 5,000 were lost, 2 %".to_owned() };
    assert_eq!(lost.judge(&Report { packets, ..report() }), wanted);
    let late: Slo = "p99<1h".parse().unwrap();
    let bulk = Report { shape: "up".to_owned(), ..Report::default() };
    let fast: Slo = "rate>1".parse().unwrap();
    for slo in [late, fast] {
        assert!(matches!(slo.judge(&Report { offered: 4, ..bulk.clone() }), Verdict::Unknown { .. }), "{slo}");
    }
    let silent = Report { offered: 10, unanswered: 10, ..Report::default() };
    assert_eq!(late.judge(&silent), Verdict::Broken { why: "nothing was answered".to_owned() });
    let missed = late.check(&silent).unwrap_err();
    assert_eq!(
        (missed.kind(), missed.to_string().as_str()),
        (Kind::Missed, "the objective p99<3600s was missed: nothing was answered")
    );
}

#[test]
fn what_one_moment_did_is_not_missed_throughout() {
    // Ten columns of a hundred requests each, of which so many are slow, and so many have no answer.
    let run = |slow: u32, spoilt: &[usize], unanswered: u64| {
        let column = |at: usize| {
            let of = |number| if spoilt.contains(&at) { number } else { 0 };
            let quick = 100 - of(u64::from(slow)) - of(unanswered);
            let latency = vec![(bucket(1_000_000), quick as u32), (bucket(80_000_000), of(u64::from(slow)) as u32)];
            Column {
                offered: 100,
                answered: 100 - of(unanswered),
                unanswered: of(unanswered),
                latency,
                ..Column::default()
            }
        };
        let over_time = OverTime { width: 0.1, columns: (0..10).map(column).collect() };
        Report { offered: 1000, over_time, ..Report::default() }
    };
    let all: Vec<_> = (0..10).collect();
    for (slo, report, is_throughout) in [
        ("p99<10ms", run(2, &all, 0), true),
        ("p99<10ms", run(100, &[3, 4], 0), false),
        ("p50<10ms", run(2, &all, 0), false),
        ("max<10ms", run(1, &all, 0), true),
        ("p99<10ms", run(0, &all, 2), true),
        ("unanswered<1%", run(0, &all, 2), true),
        ("unanswered<1%", run(0, &[9], 100), false),
        ("unanswered<10", run(0, &all, 2), true),
        ("failed<1%", run(2, &all, 2), false),
        ("p99<10ms", Report::default(), false),
    ] {
        assert_eq!(slo.parse::<Slo>().unwrap().is_missed_throughout(&report), is_throughout, "{slo}");
    }
}

#[test]
fn a_mistake_is_named() {
    for (text, names) in [
        ("p99", "put it in quotes"),
        ("p98<10ms", "p99"),
        ("latency<10ms", "there are: p50, p90"),
        ("p99<10", "a time with its unit"),
        ("p99<fast", "a time with its unit"),
        ("p99<-1ms", "a time with its unit"),
        ("p99>10ms", "write p99<LIMIT"),
        ("p99=10ms", "write p99<LIMIT"),
        ("rate<10", "write rate>LIMIT"),
        ("failed<1.5", "a number of requests or a part of them"),
        ("failed<101%", "a number of requests or a part of them"),
        ("failed<", "a number of requests or a part of them"),
        ("rate>1e9", "a number a second"),
        ("rate>inf", "a number a second"),
    ] {
        let error = text.parse::<Slo>().unwrap_err();
        let said = format!("{error} ({})", error.advice().unwrap_or_default());
        assert!(error.kind() == Kind::Usage && said.contains(names), "{text}: {said}");
    }
}

#[test]
fn an_objective_may_be_written_in_several_ways() {
    for (typed, shown) in [
        (" p99 < 10ms ", "p99<10ms"),
        ("P99.9<=1.5s", "p999<=1.5s"),
        ("p50<500µs", "p50<500us"),
        ("p50≤0.5ms", "p50<=500us"),
        ("failed<0.10 %", "failed<0.1%"),
        ("rate>1000/s", "rate>1000"),
        ("mean<1min", "mean<60s"),
    ] {
        assert_eq!(typed.parse::<Slo>().unwrap().to_string(), shown);
    }
}

proptest! {
    #[test]
    fn what_is_shown_can_be_typed(figure in 0..PERCENTILES.len() + OTHERS.len(), or_equal: bool, number in 0.0..1e5_f64, count: u64) {
        let (_, figure) = figures().nth(figure).unwrap();
        let limit = match figure {
            Figure::Time(_) => Limit::Time(Duration::from_nanos(count >> 20)),
            Figure::Part(..) if count % 2 == 0 => Limit::Count(count),
            Figure::Part(..) => Limit::Percent(number / 1e3),
            Figure::Rate => Limit::Rate(number),
        };
        let slo = Slo { figure, or_equal, limit };
        let text = slo.to_string();
        prop_assert_eq!(text.parse::<Slo>().unwrap(), slo, "{}", text);
    }

    #[test]
    fn nothing_typed_is_a_panic(text in "(p99|rate|failed)?[<>=]{0,2}[0-9.%a-zµ -]{0,12}") {
        if let Ok(slo) = text.parse::<Slo>() {
            prop_assert_eq!(slo.to_string().parse::<Slo>().unwrap(), slo);
        }
    }
}
