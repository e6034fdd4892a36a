#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! `hullo bench udp://…` with real programs at the other end, and `hullo serve` that tells who is how fast.

mod common;

use common::{Home, Program, Server, peer};
use serde_json::Value;

fn bench(home: &Home, words: &[&str]) -> Value {
    let ended = home.run(&[&["--json", "bench"], words].concat(), "");
    serde_json::from_slice(&ended.out).unwrap_or_else(|error| panic!("{words:?}: {error}: {}", ended.err))
}

#[test]
fn socat_gives_back_numbers_and_payloads() {
    let home = Home::new();
    let Some(socat) = peer("socat") else { return };
    for words in [&["--expect", "same"][..], &["--payload", "hello {{seq}}", "--expect", "hello"]] {
        // One process for each of our sockets; what comes while it reads it joins, so there is one at a time.
        let listen = "UDP-LISTEN:0,bind=127.0.0.1,fork";
        let server = Program::start(home.command(socat).args(["-d", "-d", "-t5", listen, "EXEC:cat"]));
        let said = server.told("istening on ");
        let port = said.lines().find(|line| line.contains("istening on ")).unwrap().rsplit(':').next().unwrap().trim();
        let address = format!("udp://127.0.0.1:{port}");
        let report = bench(&home, &[&[&*address, "-n", "100", "-c", "1", "--timeout", "10s"], words].concat());
        assert_eq!((&report["offered"], &report["answered"]), (&100.into(), &100.into()), "{words:?}: {report}");
        assert_eq!(
            (&report["packets"]["lost"], &report["packets"]["measured"]),
            (&0.into(), &"here".into()),
            "{report}"
        );
    }
}

#[test]
fn answers_behind_a_slow_way_are_late_and_their_jitter_is_told() {
    let home = Home::new();
    let server = home.serve(&["echo", "udp://:0"], 1);
    let to = format!("udp://127.0.0.1:{}", server.port(0));
    let relay = Server::start(&mut home.hullo(&["relay", "udp://127.0.0.1:0", &to, "--fault", "latency:60ms~20ms"]), 1);
    let words = |more: &[&'static str]| [&["bench", &relay.at[0], "--rate", "200", "-d", "1s"], more].concat();
    let ended = home.run(&words(&["--timeout", "50ms"]), "");
    let text = String::from_utf8_lossy(&ended.out);
    assert_eq!(ended.code, 13, "what is late is no answer: {text}");
    let shown = text.lines().find(|line| line.starts_with("packets")).unwrap_or_else(|| panic!("{text}"));
    // On a busy machine the last ones come when nobody listens any more.
    let late = shown.split("late ").nth(1).and_then(|late| late.split(' ').next()?.parse::<u32>().ok());
    assert!(late.is_some_and(|late| late > 150) && shown.contains("round-trip jitter "), "{text}");
    assert!(text.contains("late means after the timeout of 50.0 ms"), "{text}");
    let patient = bench(&home, &words(&["--timeout", "2s"])[1..]);
    let seen = &patient["packets"];
    // The last ones were under way for more than the 100 ms that they have behind the end.
    let [answered, late] = [&patient["answered"], &seen["late"]].map(|count| count.as_u64().unwrap());
    assert!(answered > 150 && answered + late == 200, "{patient}");
    // Both ways vary by up to 20 ms more or less, each.
    assert!((5.0..40.0).contains(&seen["jitter_ms"].as_f64().unwrap()), "{patient}");
}

#[test]
fn both_ends_tell_what_came() {
    let home = Home::new();
    let server = home.serve(&["discard", "udp://:0", "--json"], 1);
    let address = format!("udp://127.0.0.1:{}", server.port(0));
    let report = bench(&home, &[&address, "--up", "--rate", "2000", "-d", "3s", "-c", "2", "--size", "100"]);
    assert_eq!((&report["offered"], &report["answered"]), (&6000.into(), &6000.into()), "{report}");
    assert_eq!(report["bytes"]["sent"], 600_000, "{report}");
    assert!((report["rate"].as_f64().unwrap() / 2000.0 - 1.0).abs() < 0.05, "{report}");
    assert_eq!(report["packets"]["measured"], "there", "{report}");
    let said = server.program.so_far();
    let rates: Vec<Value> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let mut peers: Vec<_> =
        rates.iter().filter(|line| line["event"] == "rate").map(|line| line["peer"].to_string()).collect();
    peers.sort();
    peers.dedup();
    assert_eq!(peers.len(), 2, "each client is told apart: {said}");
}
