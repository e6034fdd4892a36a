//! The page as text. What its script draws is seen in a browser.

use hullo::bench::Report;
use serde_json::{Value, json};

use super::{Run, Word, page};

fn times(count: u64, censored: &[&str]) -> Value {
    json!({
        "count": count, "mean": 120.0, "p50": 0.446, "p90": 600.0, "p95": 850.0, "p99": 1050.0, "p999": 1095.0,
        "p9999": 1100.0, "max": 1100.0, "censored": censored, "curve": [[0.0, 0.1], [0.5, 0.446], [0.99, 1050.0], [1.0, 1100.0]],
    })
}

/// A run whose server stopped answering a second before the end.
fn cut_off() -> Value {
    let column = |answered: u64, unanswered: u64| {
        json!({
            "offered": answered + unanswered, "answered": answered, "failed": 0, "unanswered": unanswered,
            "done": answered, "sent": 64 * answered, "received": 64 * answered,
            "latency": if answered > 0 { json!([[281, answered]]) } else { json!([]) },
        })
    };
    let columns: Vec<_> = (0..5).map(|at| if at < 4 { column(500, 0) } else { column(0, 500) }).collect();
    json!({
        "schema": 1, "hullo": "0.1.0", "started": "2026-11-22T06:10:04.123Z", "target": "tcp://127.0.0.1:7007",
        "shape": "ask", "loop": "open", "seconds": 5.0, "offered": 2500, "sent": 2010, "answered": 2000, "failed": 0,
        "failures": {}, "unanswered": 500, "statuses": {}, "rate": 400.0, "bytes": { "sent": 128_640, "received": 128_000 },
        "plan": {
            "rate": "500", "connections": 10, "depth": 1, "threads": 1, "duration": 5.0, "warm_up": 0.0, "timeout": 10.0,
            "seed": 0,
        },
        "latency_ms": times(2500, &["p90", "p95", "p99", "p999", "p9999", "max"]), "failed_ms": times(0, &[]),
        "lag_ms": times(2500, &[]), "connect_ms": times(10, &[]),
        "connections": { "asked": 10, "opened": 10, "failed": 0 },
        "over_time": { "width": 1.0, "columns": columns }, "cpu": { "seconds": 0.4, "busiest": 0.08 }, "notes": ["a note"],
    })
}

fn written(report: &Value, words: &[Word]) -> String {
    let report: Report = serde_json::from_value(report.clone()).unwrap();
    page(&[Run { name: "", report: &report }], words)
}

fn text(html: &str) -> String {
    let body = html.split_once("<main>").unwrap().1.split_once("</main>").unwrap().0;
    let mut text = String::new();
    for part in body.split('<') {
        text.push_str(part.split_once('>').map_or(part, |(_, rest)| rest));
        text.push(' ');
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn what_was_cut_off_says_so() {
    let text = text(&written(&cut_off(), &[]));
    for part in [
        "2,000 of 2,500 requests were answered (80 %), 400/s; 500 had no answer by the end. p50 446 µs, p99 ≥ 1.05 s.",
        "Offered 2,500 Sent 2,010 80.4 % Answered 2,000 80 % Failed 0 Unanswered 500 20 %",
        "p50 446 µs p90 ≥ 600 ms",
        "Max ≥ 1.10 s Mean 120 ms",
        "≥ is a lower bound: 500 requests had no answer when the run ended.",
        "a note",
        "Rate 500 requests a second",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn what_others_say_is_no_markup() {
    let mut report = cut_off();
    let hostile = "</script><script>alert(1)</script><!--";
    report["target"] = hostile.into();
    report["notes"] = json!([hostile]);
    report["failures"] = json!({ hostile: 1 });
    let page = written(&report, &[Word { text: hostile.to_owned(), is_bad: true }]);
    assert!(!page.contains(hostile) && !page.contains("<!--"), "{page}");
    assert_eq!((page.matches("<script").count(), page.matches("</script").count()), (2, 2));
    let data = page.split_once("id=\"data\">").unwrap().1.split_once("</script>").unwrap().0;
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["runs"][0]["report"], report);
}

#[test]
fn the_edges_reach_around_all_buckets() {
    let page = written(&cut_off(), &[]);
    let data = page.split_once("id=\"data\">").unwrap().1.split_once("</script>").unwrap().0;
    let edges = &serde_json::from_str::<Value>(data).unwrap()["runs"][0]["edges"];
    let from = edges["from"].as_u64().unwrap() as usize;
    let edge = |bucket: usize| edges["ms"][bucket - from].as_f64().unwrap();
    assert!(from < 281 && edge(281) <= 0.446 && 0.446 < edge(282), "{edges}");
}

#[test]
fn a_run_in_which_nothing_came_to_anything_says_so() {
    let mut report = cut_off();
    for (name, value) in [("answered", 0), ("failed", 2500), ("unanswered", 0)] {
        report[name] = value.into();
    }
    report["failures"] = json!({ "refused": 2500 });
    report["latency_ms"] = times(0, &[]);
    let text = text(&written(&report, &[Word { text: "p99<10ms: nothing was answered".to_owned(), is_bad: true }]));
    assert!(
        text.contains("p99&lt;10ms: nothing was answered None of 2,500 requests came to anything: 2,500 failed."),
        "{text}"
    );
    assert!(text.contains("refused 2,500") && !text.contains("≥"), "{text}");
}

#[test]
fn what_moved_bytes_or_shook_hands_asked_nothing() {
    let mut bulk = cut_off();
    bulk["shape"] = "up".into();
    bulk["over_time"]["columns"] = json!([]);
    let shown = written(&bulk, &[]);
    assert!(shown.contains("\"is_bulk\":true"), "{shown}");
    let shown = text(&shown);
    assert!(shown.contains("129 kB sent, 206 kbit/s; 128 kB received, 205 kbit/s."), "{shown}");
    assert!(!shown.contains("Answered") && !shown.contains("requests were"), "{shown}");
    let mut connect = cut_off();
    connect["shape"] = "connect".into();
    let shown = text(&written(&connect, &[]));
    assert!(shown.contains("2,000 of 2,500 handshakes were made (80 %)") && shown.contains("Made 2,000"), "{shown}");
}

#[test]
fn two_runs_stand_side_by_side() {
    let (a, mut b) = (cut_off(), cut_off());
    b["target"] = "tcp://127.0.0.1:7008".into();
    let (a, b): (Report, Report) = (serde_json::from_value(a).unwrap(), serde_json::from_value(b).unwrap());
    let page = page(&[Run { name: "A", report: &a }, Run { name: "B", report: &b }], &[]);
    assert!(page.contains("<h1><bdi>tcp://127.0.0.1:7007</bdi> and <bdi>tcp://127.0.0.1:7008</bdi></h1>"), "{page}");
    assert_eq!((page.matches("<h2>A</h2>").count(), page.matches("<h2>Plan: B</h2>").count()), (1, 1));
}
