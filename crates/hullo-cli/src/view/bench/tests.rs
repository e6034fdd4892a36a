//! How reports look, of which every figure is known.

use hullo::bench::{
    Packets, Report,
    buckets::bucket,
    compare::compare,
    report::{Bytes, Column, Connections, Cpu, Latency, OverTime, Planned},
};

use super::*;
use crate::view::paint::Paint;

/// 500 a second for five seconds; after four of them the target stands still.
fn stalled() -> Report {
    let column = |at: u64| match at {
        0..40 => Column {
            offered: 50,
            answered: 50,
            done: 50,
            sent: 3200,
            received: 3200,
            latency: vec![(bucket(300_000), 40), (bucket(900_000), 10)],
            ..Column::default()
        },
        _ => Column { offered: 50, unanswered: 50, ..Column::default() },
    };
    let latency_ms = Latency {
        count: 2500,
        mean: Some(100.5),
        p50: Some(0.31),
        p90: Some(500.0),
        p95: Some(750.0),
        p99: Some(950.0),
        p999: Some(995.0),
        p9999: Some(1000.0),
        max: Some(1000.0),
        censored: ["p90", "p95", "p99", "p999", "p9999", "max", "mean"].map(str::to_owned).into(),
        curve: vec![(0.0, 0.29), (0.5, 0.31), (0.9, 500.0), (1.0, 1000.0)],
    };
    Report {
        schema: 1,
        hullo: "0.1.0".to_owned(),
        started: "2026-11-22T06:00:00.000Z".to_owned(),
        target: "tcp://127.0.0.1:7007".to_owned(),
        shape: "ask".to_owned(),
        loop_: "open".to_owned(),
        plan: Planned { rate: Some("500".to_owned()), connections: 10, depth: 1, threads: 1, ..Planned::default() },
        seconds: 5.0,
        offered: 2500,
        sent: 2010,
        answered: 2000,
        unanswered: 500,
        rate: 400.0,
        bytes: Bytes { sent: 128_000, received: 128_000 },
        latency_ms,
        lag_ms: Latency { count: 2010, p50: Some(0.01), p99: Some(0.02), max: Some(0.4), ..Latency::default() },
        connect_ms: Latency { count: 10, p50: Some(0.1), p99: Some(0.2), max: Some(0.2), ..Latency::default() },
        connections: Connections { asked: 10, opened: 10, failed: 0 },
        over_time: OverTime { width: 0.1, columns: (0..50).map(column).collect() },
        cpu: Cpu { seconds: 0.3, busiest: 0.06 },
        ..Report::default()
    }
}

fn closed() -> Report {
    let mut report = stalled();
    report.loop_ = "closed".to_owned();
    report.plan.rate = None;
    report.offered = 2010;
    report
}

/// The lines that are wanted, in this order, with anything between them.
fn has(text: &str, wanted: &[&str]) {
    let mut rest = text;
    for part in wanted {
        let Some((_, after)) = rest.split_once(part) else {
            panic!("'{part}' is missing, or not in its place, in\n{text}")
        };
        rest = after;
    }
}

#[test]
fn a_summary_says_what_was_done_and_what_came_of_it() {
    let text = summary::text(&stalled(), Paint::PLAIN);
    has(
        &text,
        &[
            "tcp://127.0.0.1:7007 for 5.00 s with 10 connections: 80 % of 2,500 requests answered\n",
            "open loop: 500/s by schedule, latency counts from when a request should have gone\n",
            "requests     offered 2,500   sent 2,010   answered 2,000   failed 0   unanswered 500\n",
            "rate         400/s answered   (offered 500/s)\n",
            "500 requests had no answer when the time was over, and 490 of them could not even be sent\n",
            "latency      p50       310 µs\n",
            "             p90    >= 500 ms\n",
            "             p99.99 >= 1.00 s\n",
            "             max    >= 1.00 s\n",
            "half were answered within 310 µs; one in a hundred took 950 ms or more; mean >= 100 ms\n",
            ">= means at least: 500 requests had no answer by the end",
            "from 4 s to 5 s hardly anything was answered: 500 requests were due meanwhile",
            "answers ",
            "████████████████████████████████████████ 1,600\n",
            "400\n",
            "sent         128 kB (25.6 kB/s, 205 kbit/s)\n",
            "connections  asked 10   opened 10\n",
            "generator    its own lag: p50 10.0 µs, p99 20.0 µs, max 400 µs; 300 ms of CPU, its busiest thread 6 % busy\n",
        ],
    );
    assert!(!text.contains("warning") && !text.contains('\x1b'), "{text}");
    assert!(text.lines().all(|line| line == line.trim_end() && line.chars().count() <= 160), "{text}");
}

#[test]
fn a_closed_loop_says_what_it_hides_and_what_to_type() {
    let text = summary::text(&closed(), Paint::PLAIN);
    has(
        &text,
        &[
            "closed loop: 10 at a time",
            "those type --rate 280)\n",
            "400/s answered\n",
            "so the percentiles hardly show it",
        ],
    );
}

#[test]
fn failures_and_statuses_are_told_by_number() {
    let failed_ms = Latency { count: 12, p50: Some(1.0), p99: Some(2.0), max: Some(3.0), ..Latency::default() };
    let failures = [("timeout", 2), ("status 503", 10)].map(|(what, count)| (what.to_owned(), count)).into();
    let statuses = [("200", 2000), ("503", 10)].map(|(what, count)| (what.to_owned(), count)).into();
    let text = summary::text(&Report { failed: 12, failures, statuses, failed_ms, ..stalled() }, Paint::PLAIN);
    has(
        &text,
        &[
            "failed 12   unanswered",
            "failed       status 503: 10   timeout: 2\n",
            "until they failed: p50 1.00 ms, p99 2.00 ms, max 3.00 ms\n",
            "statuses     200: 2,000   503: 10\n",
            "latency is that of answers: 2 that timed out after 0 ms are not in it\n",
        ],
    );
}

#[test]
fn what_limits_the_figures_is_a_warning() {
    let with = |change: fn(&mut Report)| {
        let mut report = stalled();
        change(&mut report);
        summary::text(&report, Paint::PLAIN)
    };
    let limit = "warning: the generator was the limit, so the figures are its own: ";
    has(&with(|report| report.lag_ms.p99 = Some(500.0)), &[limit, "of a p99 of 950 ms 500 ms are its own lag\n"]);
    has(&with(|report| report.cpu.busiest = 0.97), &[limit, "a thread of it was busy for 97 % of the time\n"]);
    let lag = "note: the generator itself is in these figures: ";
    has(&with(|report| report.lag_ms.p99 = Some(2.0)), &[lag, "one request in a hundred left 2.00 ms late or more\n"]);
    has(&with(|report| report.lag_ms.p50 = Some(0.1)), &[lag, "of a p50 of 310 µs 100 µs are its own lag\n"]);
    has(&with(|report| report.connections.opened = 7), &["warning: only 7 of 10 connections could be opened"]);
    has(&with(|report| report.notes.push("a note\u{1b}[2J".to_owned())), &["warning: a note\\u{1b}[2J\n"]);
}

#[test]
fn packets_and_bulk_have_figures_of_their_own() {
    let packets = Packets {
        lost: 20,
        late: 0,
        reordered: 3,
        duplicates: 1,
        jitter_ms: 0.12,
        kernel_drops: 20,
        measured: "there".to_owned(),
    };
    let text = summary::text(&Report { packets: Some(packets.clone()), ..stalled() }, Paint::PLAIN);
    has(
        &text,
        &[
            "packets      lost 20 (0.995 %)   reordered 3   duplicates 1   one-way jitter 120 µs\n",
            "one way, by the other end\n",
            "20 more were dropped by the kernel of an end",
        ],
    );
    let here = Packets { late: 5, kernel_drops: 0, measured: "here".to_owned(), ..packets };
    let text = summary::text(&Report { packets: Some(here), ..stalled() }, Paint::PLAIN);
    has(
        &text,
        &[
            "lost 20 (0.995 %)   late 5 (0.249 %)   reordered 3   duplicates 1   round-trip jitter 120 µs\n",
            "late means after the timeout of ",
        ],
    );
    let bulk = Report {
        shape: "up".to_owned(),
        offered: 0,
        sent: 0,
        answered: 0,
        unanswered: 0,
        over_time: OverTime::default(),
        bytes: Bytes { sent: 6_250_000_000, received: 0 },
        latency_ms: Latency::default(),
        ..stalled()
    };
    let text = summary::text(&bulk, Paint::PLAIN);
    has(
        &text,
        &[
            "bytes up at tcp://127.0.0.1:7007 for 5.00 s with 10 connections: 10.0 Gbit/s\n",
            "sent         6.25 GB (1.25 GB/s, 10.0 Gbit/s)\n",
        ],
    );
    assert!(!text.contains("loop") && !text.contains("latency"), "{text}");
}

#[test]
fn what_is_no_request_is_not_called_so() {
    let with = |shape: &str, packets| Report { shape: shape.to_owned(), packets, ..stalled() };
    let text = summary::text(&with("connect", None), Paint::PLAIN);
    has(&text, &["80 % of 2,500 handshakes made\n", "handshakes   offered 2,500", "made 2,000", "400/s made"]);
    let counted = Report { latency_ms: Latency::default(), ..with("up", Some(Packets::default())) };
    let text = summary::text(&counted, Paint::PLAIN);
    has(
        &text,
        &[
            "80 % of 2,500 datagrams arrived\n",
            "datagrams    offered 2,500   sent 2,010   arrived 2,000",
            "400/s arrived",
            "500 datagrams did not arrive",
        ],
    );
    assert!(!text.contains("requests") && !text.contains("of them were answered"), "{text}");
    assert_eq!(beside::short(&counted), "400/s arrived   20 % not arrived");
    let bulk = Report { offered: 4, answered: 4, over_time: OverTime::default(), ..with("up", None) };
    assert_eq!(beside::short(&bulk), "51.2 kB/s", "both ways together");
}

#[test]
fn the_table_has_a_row_for_each_column() {
    let table = table::over_time(&stalled());
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 51);
    assert!(rows.iter().all(|row| row.len() == rows[0].len()), "{table}");
    let at = |row: usize, name: &str| rows[row][rows[0].iter().position(|head| *head == name).unwrap()];
    assert_eq!((at(2, "second"), at(2, "seconds"), at(2, "done_per_second")), ("0.1", "0.1", "500"));
    assert_eq!((at(50, "unanswered"), at(50, "p99_ms"), at(50, "done_per_second")), ("50", "", "0"));
    let p50: f64 = at(1, "p50_ms").parse().unwrap();
    assert!((p50 - 0.3).abs() < 0.01, "{p50}");
}

#[test]
fn a_row_that_is_cut_short_has_no_rate() {
    let row = |seconds| {
        let report = Report { seconds, ..stalled() };
        table::over_time(&report).lines().nth(40).unwrap().split(',').map(str::to_owned).collect::<Vec<_>>()
    };
    for (seconds, time, rate) in [(4.0, "0.1", "500"), (3.98, "0.08", "625"), (3.92, "0.02", "")] {
        let row = row(seconds);
        assert_eq!((row[1].as_str(), row[9].as_str()), (time, rate), "{row:?}");
    }
}

#[test]
fn percentiles_are_written_as_hdr_histogram_does() {
    let table = table::percentiles(&stalled().latency_ms);
    has(
        &table,
        &[
            "Value     Percentile TotalCount 1/(1-Percentile)\n\n",
            "0.310 0.500000000000       1250           2.00\n",
            "500.000 0.900000000000       2250          10.00\n",
            "1000.000 1.000000000000       2500\n",
            "#[Mean    =",
        ],
    );
}

#[test]
fn every_metric_is_well_formed() {
    let target = "unix:/tmp/a\"b\\c".to_owned();
    let failures = [("timeout".to_owned(), 2)].into();
    let packets = Some(Packets { lost: 1, ..Packets::default() });
    let page = prometheus::page(&Report { target, failures, packets, ..stalled() });
    let mut family = String::new();
    let mut families = std::collections::BTreeSet::new();
    for line in page.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            family = kind.split(' ').next().unwrap().to_owned();
            assert!(families.insert(family.clone()), "{family} comes once");
            assert_eq!(kind.ends_with(" counter"), family.ends_with("_total"), "{line}");
        } else if !line.starts_with("# HELP ") {
            let (name, rest) = line.split_once('{').unwrap();
            let bare = name.strip_suffix("_sum").or(name.strip_suffix("_count")).unwrap_or(name);
            assert_eq!(bare, family, "{line}");
            assert!(rest.contains(r#"target="unix:/tmp/a\"b\\c""#), "{line}");
            rest.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
        }
    }
    has(
        &page,
        &[
            "requests_total{",
            "outcome=\"unanswered\"} 500\n",
            "quantile=\"0.99\"} 0.95\n",
            "is_lower_bound",
            "figure=\"p99\"} 1\n",
        ],
    );
}

#[test]
fn a_comparison_says_its_word() {
    let mut steady = stalled();
    steady.over_time.columns.truncate(40);
    let mut slow = steady.clone();
    for column in &mut slow.over_time.columns {
        column.latency = column.latency.iter().map(|(bucket, count)| (bucket + 32, *count)).collect();
    }
    slow.latency_ms.p50 = Some(0.62);
    let text = beside::text(&compare(&[steady], &[slow], false, 0).unwrap(), Paint::PLAIN);
    has(
        &text,
        &[
            "A  tcp://127.0.0.1:7007 (1 run)\nB  tcp://127.0.0.1:7007 (1 run)\n",
            "p50                310 µs       620 µs   +100.0 %",
            "slower\n",
            "p99             >= 950 ms    >= 950 ms",
            "cannot tell\n",
            "\nB is slower: B is worse in p50, and better in nothing that was measured\n",
            "note: one run each",
        ],
    );
    assert!(beside::short(&stalled()).contains("400/s answered   p50 310 µs   p99 >= 950 ms   20 % not answered"));
}

#[test]
fn where_the_target_stood_still_little_can_be_told() {
    let mut slow = stalled();
    slow.latency_ms.p50 = Some(0.35);
    let text = beside::text(&compare(&[stalled()], &[slow], false, 0).unwrap(), Paint::PLAIN);
    has(&text, &["p99", "may be anything        cannot tell\n", "\ncannot tell: no difference is larger than chance"]);
}
