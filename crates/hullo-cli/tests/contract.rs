#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! What scripts rely on: where it says that it listens, how it ends, exit statuses, and who hears what.

mod common;

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use common::{Home, PATIENCE, Program, at_once, eventually, free_port, read_until};
use rustix::process::Signal;

const BOTH: [Signal; 2] = [Signal::INT, Signal::TERM];

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn refused(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_err()
}

#[test]
fn says_where_it_listens() {
    let home = Home::new();
    let socket = format!("unix:{}", home.path("s"));
    let server = home.serve(&["echo", "tcp://127.0.0.1:0", ":0", "udp://:0", "ws://[::1]:0/", &socket], 5);
    let ports: Vec<u16> = (0..4).map(|at| server.port(at)).collect();
    assert!(ports.iter().all(|port| *port != 0));
    let said = server.program.told(&socket);
    for (at, line) in [
        format!("listening on tcp://127.0.0.1:{} (echo)", ports[0]),
        format!("listening on tcp://127.0.0.1:{} (echo)", ports[1]),
        format!("listening on udp://127.0.0.1:{} (echo)", ports[2]),
        format!("listening on ws://[::1]:{}/ (echo)", ports[3]),
        format!("listening on {socket} (echo)"),
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(said.lines().nth(at), Some(line.as_str()), "{said}");
        assert_eq!(home.run(&["ask", &server.at[at], "hello"], "").text(), "hello\n", "{}", server.at[at]);
    }
    let ended = server.interrupted();
    assert_eq!((ended.code, ended.out), (0, Vec::new()), "{}", ended.err);
}

#[test]
fn a_configuration_has_several_services() {
    let home = Home::new();
    let socket = home.path("s");
    let config = home.file(
        "hullo.toml",
        format!(
            "max-connections = 10\nmax-per-peer = 5\n\
             [[serve]]\nservice = \"greet\"\ntext = \"Good day\"\naddresses = [\"tcp://:0\", \"http://:0\"]\n\
             [[serve]]\nservice = \"exec\"\ncommand = [\"tr\", \"a-z\", \"A-Z\"]\naddresses = [\"unix:{socket}\"]\n"
        ),
    );
    let server = home.serve(&["--config", &config], 3);
    assert_eq!(home.run(&["ask", &server.at[0]], "").text(), "Good day\n");
    assert!(home.run(&["request", &server.at[1]], "").text().starts_with("Good day"));
    assert_eq!(home.run(&["connect", &server.at[2]], "shout\n").text(), "SHOUT\n");
    assert_eq!(server.interrupted().code, 0);
    assert!(!Path::new(&socket).exists());
}

#[test]
fn a_signal_ends_the_idle_and_lets_the_busy_finish() {
    for signal in BOTH {
        let home = Home::new();
        let socket = home.path("s");
        let words = [
            "exec",
            ":0",
            &format!("unix:{socket}"),
            "--",
            "sh",
            "-c",
            "echo begun; cat >/dev/null; sleep 1; printf 0123456789",
        ];
        let server = home.serve(&words, 2);
        let port = server.port(0);
        let (mut busy, mut idle) = (connect(port), connect(port));
        for stream in [&mut busy, &mut idle] {
            assert_eq!(read_until(stream, "\n").unwrap(), "begun\n");
        }
        busy.write_all(b"last words\n").unwrap();
        busy.shutdown(Shutdown::Write).unwrap();
        server.program.signal(signal);
        let mut rest = String::new();
        busy.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "0123456789");
        // Nothing more will come from who is idle: to the service that is its end of input.
        let mut rest = String::new();
        idle.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "0123456789");
        let ended = server.program.ended();
        assert_eq!(ended.code, 0, "{}", ended.err);
        assert!(!ended.err.contains("cut off"), "{}", ended.err);
        assert!(!Path::new(&socket).exists(), "the socket's file is left");
        // The kernel still remembers those connections; the port is to be had at once all the same.
        let again = home.serve(&["echo", &format!("tcp://127.0.0.1:{port}"), &format!("unix:{socket}")], 2);
        assert_eq!(again.port(0), port);
    }
}

/// How long a server takes to end.
fn end(server: common::Server) -> Duration {
    let since = Instant::now();
    let ended = server.interrupted();
    assert_eq!(ended.code, 0, "{}", ended.err);
    since.elapsed()
}

#[test]
fn an_idle_conversation_does_not_hold_up_the_end() {
    let home = Home::new();
    at_once(&["tcp://:0", "tls://:0", "ws://:0", "wss://:0"], |at| {
        let server = home.serve(&["echo", at], 1);
        let mut talk = Program::start(&mut home.hullo(&["connect", &server.client(0)]));
        talk.say("hello\n");
        talk.heard("hello\n");
        let took = end(server);
        assert!(took < Duration::from_secs(3), "{at}: {took:?}");
        // Its input is open still; the server's end is enough.
        let ended = talk.ended();
        assert_eq!(ended.code, 0, "{at}: {}", ended.err);
    });
}

#[test]
fn who_has_said_nothing_yet_does_not_hold_up_the_end() {
    let home = Home::new();
    at_once(&["tcp://:0", "tls://:0", "ws://:0", "wss://:0", "http://:0", "https://:0"], |at| {
        let server = home.serve(&["echo", at], 1);
        let mut silent = connect(server.port(0));
        // Who is answered came later: so the server has both.
        let other = home.run(&["ask", &server.client(0), "hello"], "");
        assert_eq!(other.code, 0, "{at}: {}", other.err);
        let took = end(server);
        assert!(took < Duration::from_secs(3), "{at}: {took:?}");
        assert_eq!(silent.read(&mut [0; 9]).unwrap_or(0), 0, "{at}: who was idle hears the end");
    });
}

#[test]
fn grace_is_bounded_and_a_second_signal_ends_it() {
    let home = Home::new();
    // Nobody else's, and gone after a while where this fails.
    let orphan = format!("sleep 30.{}", std::process::id());
    let command = ["--", "sh", "-c", &format!("echo begun; {orphan}; true")];
    for (grace, signals) in [("300ms", 1), ("60s", 2)] {
        let server = home.serve(&[&["exec", ":0", "--grace", grace][..], &command[..]].concat(), 1);
        let port = server.port(0);
        let mut busy = connect(port);
        read_until(&mut busy, "\n").unwrap();
        server.program.signal(Signal::INT);
        // It has heard the first one once it takes no more connections.
        eventually("the port is closed", || refused(port));
        if signals == 2 {
            server.program.signal(Signal::INT);
        }
        let ended = server.program.ended();
        assert_eq!(ended.code, 0, "{}", ended.err);
        assert!(ended.err.contains("some conversations were cut off"), "{}", ended.err);
        assert!(ended.took < Duration::from_secs(8), "{:?}", ended.took);
        eventually("its program is gone", || !running(&orphan));
    }
}

fn running(command: &str) -> bool {
    let words = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("cmdline")).ok();
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| words(entry.ok()?));
    all.into_iter().any(|line| line.trim_end_matches('\0').replace('\0', " ") == command)
}

/// A server in this process that does one thing to whoever comes.
fn trap(act: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().for_each(|stream| act(stream.unwrap())));
    port
}

/// Closes with something unread, which the kernel says by a reset.
fn reset(stream: TcpStream) {
    let _ = stream.peek(&mut [0]);
}

fn answer(stream: TcpStream, text: &str) {
    let mut stream = stream;
    let _ = stream.read(&mut [0; 4096]).and_then(|_| stream.write_all(text.as_bytes()));
}

#[test]
fn each_kind_of_error_has_its_exit_status() {
    let home = Home::new();
    let server = home.serve(&["echo", "tls://:0", "http://:0", "tcp://:0"], 3);
    let (tls, http, taken) = (&*server.at[0], &*server.at[1], &*server.at[2]);
    let nobody = format!("tcp://127.0.0.1:{}", free_port());
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("tcp://127.0.0.1:{}", silent.local_addr().unwrap().port());
    let mute = silent.replace("tcp:", "tls:") + "?timeout=300ms";
    let resets = format!("tcp://127.0.0.1:{}", trap(reset));
    let rude = format!("http://127.0.0.1:{}", trap(|stream| answer(stream, "SSH-2.0-rude\r\n")));
    let long =
        format!("tcp://127.0.0.1:{}?frame=lines&max=10", trap(|stream| answer(stream, "far more than ten bytes\n")));
    // Too long for a label: the resolver refuses it without asking anybody.
    let nameless = format!("tcp://{}.invalid:1", "a".repeat(64));
    let rude_ws = rude.replace("http:", "ws:");
    let missing = home.path("missing");
    let no_cert = format!("tls://:0?cert={missing}&key={missing}");
    let no_folder = format!("unix:{missing}/socket");
    let bound = format!("{taken}?bind=192.0.2.1");
    for (code, word, named, line) in [
        (2, "usage", "tcp://h:x", &["ask", "tcp://h:x", "hello"][..]),
        (2, "usage", "memory:", &["serve", "echo", "memory:room"]),
        (10, "resolve", ".invalid", &["ask", &nameless, "hello"]),
        (11, "refused", &nobody, &["ask", &nobody, "hello"]),
        (11, "refused", &nobody, &["connect", &nobody]),
        (11, "refused", &nobody, &["check", &nobody]),
        (12, "unreachable", taken, &["ask", &bound, "hello"]),
        (13, "timeout", &silent, &["ask", &silent, "--timeout", "300ms", "hello"]),
        (13, "timeout", &silent[4..], &["connect", &mute]),
        (14, "tls", tls, &["ask", tls, "hello"]),
        (14, "tls", tls, &["ask", &format!("{tls}?pin=sha256:{}", "00".repeat(32)), "hello"]),
        (15, "cut", &resets, &["connect", &resets]),
        (16, "protocol", &rude, &["request", &rude]),
        (16, "protocol", &rude_ws, &["connect", &rude_ws]),
        (17, "too-large", "10", &["ask", &long, "hello"]),
        (18, "bind", taken, &["serve", "echo", taken]),
        (18, "bind", &no_folder, &["serve", "echo", &no_folder]),
        (19, "file", &missing, &["serve", "--config", &missing]),
        (19, "file", &missing, &["serve", "echo", &no_cert]),
        (19, "file", &missing, &["request", http, "-o", &format!("{missing}/x")]),
        (20, "program", &missing, &["serve", "exec", "stdio:", "--", &missing]),
    ] {
        fails(&home, code, word, named, line);
    }
}

/// It fails with that status, in a sentence that names what it was about; with `--json` in one object.
fn fails(home: &Home, code: i32, word: &str, named: &str, line: &[&str]) {
    let ended = home.run(line, "hello\n");
    assert_eq!(ended.code, code, "{line:?}: {}", ended.err);
    let said: Vec<_> = ended.err.lines().filter(|line| !line.starts_with("listening on")).collect();
    let sentence = said.first().and_then(|line| line.strip_prefix("hullo: "));
    let sentence = sentence.unwrap_or_else(|| panic!("{line:?}: no sentence in {said:?}"));
    assert!(sentence.contains(named), "{line:?} does not name {named}: {sentence}");
    assert!(said.len() == 1 || said.len() == 2 && said[1].starts_with("  hint: "), "{line:?}: {said:?}");
    let ended = home.run(&[&["--json"], line].concat(), "hello\n");
    let objects = ended.objects();
    let error = objects.last().unwrap_or_else(|| panic!("{line:?} says nothing"));
    assert_eq!((error["event"].as_str(), error["kind"].as_str()), (Some("error"), Some(word)), "{line:?}");
    assert_eq!((error["code"].as_i64(), ended.code), (Some(code.into()), code), "{line:?}");
    assert_eq!(error["message"].as_str(), Some(sentence), "{line:?}");
}
