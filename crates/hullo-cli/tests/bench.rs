#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! `hullo bench`: what a load says of servers that answer, stall, fail and are not there.

mod common;

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, OnceLock},
    thread,
    time::{Duration, Instant},
};

use common::{Home, Program, at_once};
use serde_json::Value;

/// An HTTP server that answers at once, but from the fourth to the sixth second after its first request not at all.
fn stalling() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let first = Arc::new(OnceLock::new());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let first = first.clone();
            thread::spawn(move || stall(&mut stream.unwrap(), &first));
        }
    });
    address
}

fn stall(stream: &mut TcpStream, first: &OnceLock<Instant>) {
    let (mut head, mut buf) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = stream.read(&mut buf) {
        head.extend_from_slice(&buf[..read]);
        while let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            head.drain(..end + 4);
            let first = *first.get_or_init(Instant::now);
            let (from, to) = (first + Duration::from_secs(4), first + Duration::from_secs(6));
            if (from..to).contains(&Instant::now()) {
                thread::sleep(to - Instant::now());
            }
            // Who has gone does not want it any more.
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        }
    }
}

/// A run of ten seconds ends well within this time.
const PATIENCE: Duration = Duration::from_secs(40);

/// The report of a run, and its exit status.
fn report(words: &[&str]) -> (Value, i32) {
    let home = Home::new();
    let ended = Program::start(&mut home.hullo(&[&["--json", "bench"], words].concat())).ended_within(PATIENCE);
    let report = serde_json::from_slice(&ended.out).unwrap_or_else(|error| panic!("{error}: {}", ended.err));
    (report, ended.code)
}

fn count(report: &Value, name: &str) -> u64 {
    report[name].as_u64().unwrap_or_else(|| panic!("no {name} in {report}"))
}

fn latency(report: &Value, name: &str) -> f64 {
    report["latency_ms"][name].as_f64().unwrap_or_else(|| panic!("no {name} in {report}"))
}

#[test]
fn a_stall_is_seen_as_it_was() {
    at_once(&[10_u64, 5], |seconds| {
        let (report, code) = report(&[&stalling(), "--rate", "500", "-d", &format!("{seconds}s"), "--fail-unanswered"]);
        assert_eq!((count(&report, "offered"), &report["loop"]), (500 * seconds, &Value::from("open")));
        let censored = report["latency_ms"]["censored"].as_array().unwrap();
        let p99 = latency(&report, "p99");
        assert!(latency(&report, "p50") < 5.0, "{}", report["latency_ms"]);
        if *seconds == 10 {
            assert_eq!((code, count(&report, "unanswered"), censored.len()), (0, 0, 0));
            assert!((900.0..1200.0).contains(&latency(&report, "p90")), "{}", report["latency_ms"]);
            assert!((1800.0..2000.0).contains(&p99), "{}", report["latency_ms"]);
        } else {
            assert_eq!(code, 23);
            assert!((1950..=2050).contains(&count(&report, "answered")), "{report}");
            assert!((450..=550).contains(&count(&report, "unanswered")), "{report}");
            assert!(p99 >= 900.0 && censored.contains(&Value::from("p99")), "{}", report["latency_ms"]);
        }
    });
}

#[test]
fn it_asks_on_every_transport() {
    let home = Home::new();
    let unix = format!("unix:{}", home.path("s"));
    let dgram = format!("unix-dgram:{}", home.path("d"));
    let addresses =
        ["tcp://:0", "tls://:0", "ws://:0", "wss://:0", "http://:0", "https://:0", "udp://:0", &unix, &dgram];
    let server = home.serve(&[&["echo"], &addresses[..]].concat(), addresses.len());
    let places: Vec<_> = (0..addresses.len()).map(|at| server.client(at)).collect();
    at_once(&places, |address| {
        let ended = home.run(&["--json", "bench", address, "-n", "300", "-c", "3", "--size", "100"], "");
        assert_eq!(ended.code, 0, "{address}: {}", ended.err);
        let report: Value = serde_json::from_slice(&ended.out).unwrap();
        assert_eq!((count(&report, "offered"), count(&report, "answered")), (300, 300), "{address}");
        assert!(latency(&report, "p50") > 0.0 && latency(&report, "max") >= latency(&report, "p99"), "{address}");
    });
}

#[test]
fn messages_are_framed_as_the_address_says() {
    let home = Home::new();
    let server = home.serve(&["json", "tcp://:0?frame=lines", "tcp://:0?frame=len32"], 2);
    for at in 0..2 {
        let frame = if at == 0 { "lines" } else { "len32" };
        let address = format!("tcp://127.0.0.1:{}?frame={frame}", server.port(at));
        let (report, code) = report(&[
            &address,
            "-n",
            "200",
            "-c",
            "2",
            "--depth",
            "4",
            "--payload",
            r#"{"seq":{{seq}},"pad":"{{random 20}}"}"#,
            "--expect",
            r#""status":"success""#,
        ]);
        assert_eq!((code, count(&report, "answered")), (0, 200), "{frame}: {report}");
    }
}

#[test]
fn who_talks_without_being_asked_is_named() {
    let home = Home::new();
    for (service, words, talks) in [
        ("chargen", &[][..], true),
        ("chargen", &["--rate", "100"], true),
        ("echo", &["--depth", "3"], false),
        ("echo", &["--rate", "100"], false),
    ] {
        for frame in ["", "?frame=lines"] {
            let server = home.serve(&[service, "tcp://127.0.0.1:0"], 1);
            let to = format!("{}{frame}", server.at[0]);
            let (report, _) = report(&[&[&to, "-n", "40", "-c", "2"], words].concat());
            let notes = report["notes"].to_string();
            let says = notes.contains("talks without being asked") && notes.contains("--down");
            assert_eq!(says, talks, "{service} {words:?} {frame}: {notes}");
        }
    }
}

#[test]
fn failures_have_their_kind_and_no_latency() {
    let home = Home::new();
    let server = home.serve(&["httpbin", "http://:0"], 1);
    let at = |path: &str| format!("http://127.0.0.1:{}{path}", server.port(0));
    let (failing, code) = report(&[&at("/status/503"), "-n", "50"]);
    assert_eq!((count(&failing, "failed"), &failing["failures"]["status 503"]), (50, &Value::from(50)), "{failing}");
    assert_eq!(count(&failing["latency_ms"], "count"), 0);
    assert_eq!(failing["latency_ms"]["p99"], Value::Null, "nothing took no time");
    assert_ne!(code, 0, "nothing was answered");
    let (expected, code) = report(&[&at("/status/503"), "-n", "50", "--expect", "5xx"]);
    assert_eq!((count(&expected, "answered"), code), (50, 0));
    let (posted, code) = report(&["POST", &at("/post"), "name=Ada {{seq}}", "-n", "20", "--expect", r#""name": "Ada"#]);
    assert_eq!((count(&posted, "answered"), code), (20, 0), "{posted}");
}

#[test]
fn nobody_there_and_words_that_mean_nothing_are_errors() {
    let home = Home::new();
    let table: &[(&[&str], i32, &str)] = &[
        (&["tcp://127.0.0.1:1"], 11, "connection refused"),
        (&["tcp://127.0.0.1:1", "--rate", "fast"], 2, "no rate"),
        (&["tcp://127.0.0.1:1", "--up", "--rate", "10M"], 2, "10mbit of bits, 1MB of bytes"),
        (&["tcp://127.0.0.1:1", "--up", "--rate", "500"], 2, "500 is one of requests"),
        (&["tcp://127.0.0.1:1", "--rate", "10mbit"], 2, "10mbit is a rate of bits, and requests have one of their own"),
        (&["http://127.0.0.1:1/", "--rate", "1MB"], 2, "8mbit is a rate of bits, and requests have one of their own"),
        (&["tcp://127.0.0.1:1", "--connect", "--rate", "1kbit"], 2, "and connections have one of their own"),
        (&["udp://127.0.0.1:1", "--rate", "1mbit", "--payload", "{{seq}}"], 2, "--size 1200"),
        (&["tcp://127.0.0.1:1", "--payload", "{{what}}"], 2, "{{seq}}"),
        (&["tcp://127.0.0.1:1", "a=b"], 2, "only a request of HTTP has items"),
        (&["http://127.0.0.1:1/{{what}}"], 2, "{{seq}}"),
        (&["http://{{seq}}.example.org/"], 2, "no request can differ"),
        (&["tcp://127.0.0.1:1", "--up", "--down"], 2, "cannot be used with"),
        (&["tcp://127.0.0.1:1", "--search"], 2, "--slo"),
        (&["tcp://127.0.0.1:1", "--slo", "p99>fast"], 2, "p99"),
        (&["quick://127.0.0.1:1"], 2, "no transport is called"),
        (&["stdio:"], 2, "there is no server on stdio"),
    ];
    for (words, code, said) in table {
        let ended = home.run(&[&["bench"], *words].concat(), "");
        assert_eq!(ended.code, *code, "{words:?}: {}", ended.err);
        assert!(ended.err.contains(said), "{words:?}: {}", ended.err);
    }
}
