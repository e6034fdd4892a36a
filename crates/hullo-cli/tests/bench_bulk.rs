#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! Bytes in bulk and connections by the dozen: against our own services on every stream transport, and other programs.

mod common;

use std::{fs, io::Read, net::TcpListener, thread};

use common::{Home, Program, Server, free_port, noise, peer};
use serde_json::Value;

const SIZE: u64 = 20_000_000;

/// The report of a load.
#[track_caller]
fn report(home: &Home, words: &[&str]) -> Value {
    let out = home.run(&[&["--json", "bench"], words].concat(), "").text();
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
    let [offered, sent, answered, failed, unanswered] =
        ["offered", "sent", "answered", "failed", "unanswered"].map(|name| report[name].as_u64().unwrap());
    assert_eq!(offered, answered + failed + unanswered, "{report}");
    assert!(sent <= offered, "{report}");
    report
}

fn bytes(report: &Value) -> (u64, u64) {
    (report["bytes"]["sent"].as_u64().unwrap(), report["bytes"]["received"].as_u64().unwrap())
}

/// A server of that service on each stream transport.
fn everywhere(home: &Home, service: &str) -> Server {
    let socket = format!("unix:{}", home.path("s"));
    home.serve(&[service, ":0", "tls://:0", "ws://:0", "wss://:0", &socket, "http://:0"], 6)
}

/// A WebSocket without compression, which takes seconds for what nothing can make smaller.
fn uncompressed(address: &str) -> String {
    let join = if address.contains('?') { '&' } else { '?' };
    if address.starts_with("ws") { format!("{address}{join}deflate=no") } else { address.to_owned() }
}

#[test]
fn as_many_bytes_go_as_were_asked_for_on_every_stream() {
    let home = Home::new();
    let count = SIZE.to_string();
    for (service, way) in [("discard", "--up"), ("chargen", "--down"), ("echo", "--both")] {
        let server = everywhere(&home, service);
        for at in 0..server.at.len() {
            let to = uncompressed(&server.client(at));
            let report = report(&home, &[&to, way, "-c", "1", "--threads", "1", "-n", &count]);
            let wanted = match way {
                "--up" => (SIZE, 0),
                "--down" => (0, SIZE),
                _ => (SIZE, SIZE),
            };
            assert_eq!(bytes(&report), wanted, "{way} {to}: {report}");
            assert_eq!(report["answered"], 1, "{way} {to}: {report}");
        }
    }
}

#[test]
fn a_load_lasts_as_long_as_it_should_and_every_connection_has_its_share() {
    let home = Home::new();
    let server = home.serve(&["discard", ":0"], 1);
    let report = report(&home, &[&server.at[0], "--up", "-c", "4", "-d", "1s"]);
    assert_eq!((&report["answered"], &report["shape"]), (&4.into(), &"up".into()));
    let seconds = report["seconds"].as_f64().unwrap();
    assert!((0.9..1.5).contains(&seconds), "{seconds}");
    let columns = report["over_time"]["columns"].as_array().unwrap();
    let sum: u64 = columns.iter().map(|column| column["sent"].as_u64().unwrap()).sum();
    assert!(sum > 0 && sum == bytes(&report).0, "{report}");
    let each = |name: &str| report["per_connection"][name].as_f64().unwrap();
    let mean = sum as f64 / seconds / 4.0;
    assert!(0.0 < each("slowest") && each("slowest") <= mean && mean <= each("fastest"), "{report}");
}

#[test]
fn bulk_keeps_to_its_rate_on_every_stream() {
    let home = Home::new();
    for (service, way) in [("discard", "--up"), ("chargen", "--down"), ("echo", "--both")] {
        let server = everywhere(&home, service);
        for at in 0..server.at.len() {
            let to = uncompressed(&server.client(at));
            let report = report(&home, &[&to, way, "-c", "2", "--rate", "24mbit", "-d", "1s"]);
            assert_eq!((&report["answered"], &report["loop"]), (&2.into(), &"open".into()), "{way} {to}: {report}");
            let (sent, received) = bytes(&report);
            let moved = if way == "--down" { received } else { sent };
            // Half a second of it may be missing on a machine that is busy, and nothing may be too much.
            assert!((1_500_000..=3_010_000).contains(&moved), "{way} {to}: {report}");
            let [offered, reached] = ["offered", "reached"].map(|name| report["bit_rate"][name].as_f64().unwrap());
            assert!((offered - 24e6).abs() < 1e5 && reached <= offered * 1.01, "{way} {to}: {report}");
        }
    }
}

#[test]
fn a_rate_of_bulk_may_be_a_ramp_begins_anew_behind_the_warm_up_and_ends_with_a_count() {
    let home = Home::new();
    let server = home.serve(&["discard", ":0"], 1);
    let words = [&*server.at[0], "--up", "-c", "2", "--rate", "1MB..3MB/1s", "--warm-up", "300ms"];
    let ramp = report(&home, &words);
    assert!((1_000_000..=2_020_000).contains(&bytes(&ramp).0), "{ramp}");
    let counted = report(&home, &[&server.at[0], "--up", "-c", "2", "--rate", "1MB", "-n", "300001"]);
    assert!((300_001..300_200).contains(&bytes(&counted).0), "{counted}");
    let seconds = counted["seconds"].as_f64().unwrap();
    assert!((0.29..1.0).contains(&seconds), "{counted}");
    let text = home.run(&["bench", &server.at[0], "--up", "--rate", "8mbit", "-d", "500ms"], "").text();
    assert!(text.contains("bulk: 8mbit by schedule") && text.contains("(offered 8.00 Mbit/s)"), "{text}");
}

#[test]
fn a_server_tells_its_clients_apart_while_they_load_it() {
    let home = Home::new();
    let socket = format!("unix:{}", home.path("s"));
    let server = Server::start(&mut home.hullo(&["--json", "serve", "discard", ":0", &socket]), 2);
    for at in 0..2 {
        let report = report(&home, &[&server.at[at], "--up", "-c", "2", "-d", "2500ms"]);
        assert_eq!(report["answered"], 2);
    }
    let ended = server.interrupted();
    let objects = ended.objects();
    for scheme in ["tcp", "unix"] {
        let of = |event: &str| {
            let is_one = |object: &&Value| {
                object["event"] == event && object["peer"].as_str().is_some_and(|peer| peer.starts_with(scheme))
            };
            objects.iter().filter(is_one).collect::<Vec<_>>()
        };
        let closed = of("closed");
        assert_eq!(closed.len(), 2, "{}", ended.err);
        for end in closed {
            let rates: Vec<_> = of("rate").into_iter().filter(|rate| rate["number"] == end["number"]).collect();
            assert!((1..=4).contains(&rates.len()), "{}", ended.err);
            let last = rates.last().unwrap();
            assert!(last["received_per_s"].as_u64() > Some(0) && last["sent_per_s"] == 0, "{last}");
            assert!(last["received"].as_u64() <= end["received"].as_u64(), "{last} {end}");
            assert!(rates.iter().all(|rate| rate["peer"] == end["peer"]), "{}", ended.err);
        }
    }
}

/// A server that takes all there is, and does not end when its clients do.
fn endless() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut kept, mut buf) = (Vec::new(), vec![0; 1 << 16]);
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            while let Ok(1..) = stream.read(&mut buf) {}
            kept.push(stream);
        }
    });
    address
}

#[test]
fn waiting_for_the_end_of_the_server_takes_no_time_of_the_run() {
    let home = Home::new();
    let report = report(&home, &[&endless(), "--up", "-c", "1", "-n", "10000000", "--timeout", "4s"]);
    assert_eq!((bytes(&report), &report["answered"]), ((10_000_000, 0), &1.into()));
    let seconds = report["seconds"].as_f64().unwrap();
    assert!(0.0 < seconds && seconds < 3.0, "{seconds}");
}

/// The rest of a line behind those words, once it is whole.
fn whole_line(said: &str, words: &str) -> Option<String> {
    let (_, behind) = said.split_once(words)?;
    behind.split_once('\n').map(|(line, _)| line.trim().to_owned())
}

fn port_of(said: &str) -> &str {
    said.rsplit(':').next().unwrap()
}

#[test]
fn other_programs_take_and_give_in_bulk() {
    let home = Home::new();
    let content = noise(SIZE as usize);
    home.file("given", &content);
    let (Some(socat), count) = (peer("socat"), SIZE.to_string()) else { return };
    let listening = |words: &[&str]| {
        let program = Program::start(home.command(socat).args(["-d", "-d"]).args(words));
        let said = program.tells(|said| whole_line(said, "listening on ")).unwrap();
        (program, format!("tcp://127.0.0.1:{}", port_of(&said)))
    };
    let (sink, to) = listening(&["-u", "TCP-LISTEN:0,bind=127.0.0.1", "CREATE:taken"]);
    let up = report(&home, &[&to, "--up", "-c", "1", "-n", &count]);
    assert_eq!((bytes(&up), &up["answered"]), ((SIZE, 0), &1.into()));
    sink.ended();
    assert_eq!(fs::metadata(home.path("taken")).unwrap().len(), SIZE);
    // It ends before the time is over.
    let (source, to) = listening(&["-u", "OPEN:given", "TCP-LISTEN:0,bind=127.0.0.1"]);
    let down = report(&home, &[&to, "--down", "-c", "1", "-d", "30s"]);
    assert_eq!((bytes(&down), &down["answered"]), ((0, SIZE), &1.into()));
    source.ended();
}

#[test]
fn connections_stand_and_leave_nothing_behind() {
    let home = Home::new();
    let server = everywhere(&home, "echo");
    let https = home.serve(&["echo", "https://:0"], 1);
    for to in (0..6).map(|at| server.client(at)).chain([https.client(0)]) {
        let report = report(&home, &[&to, "--connect", "-c", "8", "-n", "200"]);
        assert_eq!((&report["answered"], &report["failed"]), (&200.into(), &0.into()), "{to}: {report}");
        assert!(report["latency_ms"]["p50"].as_f64() > Some(0.0), "{to}: {report}");
        assert_eq!(report["connections"]["opened"], 200, "{to}: {report}");
    }
    // In that table 06 is TIME-WAIT, and the third word is the other end.
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let ours: Vec<String> = [0, 1, 2, 3, 5].map(|at| format!(":{:04X}", server.port(at))).into();
    let waiting = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words[3] == "06" && ours.iter().any(|port| words[1].ends_with(port) || words[2].ends_with(port))
    };
    let waiting: Vec<_> = table.lines().skip(1).filter(waiting).collect();
    assert!(waiting.is_empty(), "{waiting:?}");
}

#[test]
fn a_schedule_of_connections_is_kept_and_their_failures_are_told_by_kind() {
    let home = Home::new();
    let server = home.serve(&["echo", ":0"], 1);
    let kept = report(&home, &[&server.at[0], "--connect", "--rate", "200", "-d", "1s"]);
    assert_eq!((&kept["loop"], &kept["offered"], &kept["answered"]), (&"open".into(), &200.into(), &200.into()));
    let nobody = format!("tcp://127.0.0.1:{}", free_port());
    let out = home.run(&["--json", "bench", &nobody, "--connect", "-c", "2", "-n", "10"], "").out;
    let refused: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((&refused["failed"], &refused["failures"]["refused"]), (&10.into(), &10.into()), "{refused}");
    assert!(refused["notes"][0].as_str().unwrap().contains("connection refused"), "{refused}");
}

#[test]
fn a_connection_that_stands_when_the_run_closes_is_counted_once() {
    let home = Home::new();
    let server = home.serve(&["echo", "tls://:0"], 1);
    let behind = format!("tcp://127.0.0.1:{}", server.port(0));
    // There and back is 90 ms: those of the last moments stand just before the run closes, and wait for tickets then.
    let words = ["--json", "relay", "--fault", "latency:45ms", ":0", &behind];
    let relay = Server::start(&mut home.hullo(&words), 1);
    let to = format!("tls://127.0.0.1:{}?insecure=true", relay.port(0));
    let report = report(&home, &[&to, "--connect", "-c", "60", "--rate", "60", "-d", "1s"]);
    assert_eq!(report["offered"], 60, "{report}");
    assert!(report["answered"].as_u64() > Some(0), "{report}");
}

#[test]
fn sessions_are_resumed_only_where_that_is_wanted() {
    let home = Home::new();
    let resumed = |query: &str| -> Vec<bool> {
        let server = Server::start(&mut home.hullo(&["--json", "serve", "echo", "-v", "tls://:0"]), 1);
        report(&home, &[&format!("{}{query}", server.client(0)), "--connect", "-c", "1", "-n", "10"]);
        let objects = server.interrupted().objects();
        let admitted = objects.iter().filter(|object| object["event"] == "admitted");
        admitted.map(|object| object["resumed"] == true).collect()
    };
    // A client that vanishes may do so before a busy server has seen that it came: then it is one fewer.
    let (full, short) = (resumed(""), resumed("&resume=yes"));
    assert!(full.len() > 5 && !full.contains(&true), "{full:?}");
    let first = short.iter().position(|resumed| *resumed);
    assert!(short.len() > 5 && matches!(first, Some(1..4)), "{short:?}");
    assert!(short[first.unwrap()..].iter().all(|resumed| *resumed), "{short:?}");
}

#[test]
fn openssl_sees_each_handshake() {
    let home = Home::new();
    let Some(openssl) = peer("openssl") else { return };
    let identity = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout key.pem -out \
                    cert.pem -days 2";
    let made = home.command(openssl).args(identity.split_whitespace()).output().unwrap();
    assert!(made.status.success());
    let words = ["s_server", "-accept", "127.0.0.1:0", "-cert", "cert.pem", "-key", "key.pem", "-naccept", "30"];
    let program = Program::start(home.command(openssl).args(words));
    let said = program.heard_by(|said| whole_line(said, "ACCEPT ").is_some());
    let to = format!("tls://127.0.0.1:{}?insecure=true", port_of(&whole_line(&said, "ACCEPT ").unwrap()));
    let report = report(&home, &[&to, "--connect", "-c", "1", "-n", "30"]);
    assert_eq!(report["answered"], 30, "{report}");
    let out = String::from_utf8(program.ended().out).unwrap();
    assert_eq!((out.matches("CIPHER is").count(), out.matches("Reused").count()), (30, 0), "{out}");
}
