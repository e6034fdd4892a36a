#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! Command lines that nobody should type: a clear error each time, never a panic, never a hang.

mod common;

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use common::{Ended, Home, at_once, run};

/// A mistake in the words is said as one, in few lines, and steers no terminal.
fn is_said(words: &str, ended: &Ended) {
    assert!(!ended.err.contains("panicked") && !ended.err.contains("RUST_BACKTRACE"), "{words}: {}", ended.err);
    assert!(ended.code != 101 && ended.code < 128, "{words} ended with {}: {}", ended.code, ended.err);
    assert_ne!(ended.code, 0, "{words} went well: {}", String::from_utf8_lossy(&ended.out));
    assert!(!ended.err.trim().is_empty(), "{words}: it says nothing");
    assert!(!ended.err.contains(['\u{1b}', '\u{7}', '\r']), "{words}: {:?}", ended.err);
}

#[test]
fn words() {
    let home = Home::new();
    let huge_port = format!("tcp://h:{}", "9".repeat(400));
    let table: &[&[&str]] = &[
        &[""],
        &["", ""],
        &["ask", ""],
        &["ask", " "],
        &["ask", ":"],
        &["ask", "://"],
        &["ask", "tcp://"],
        &["ask", "tcp://h"],
        &["ask", "tcp://h:"],
        &["ask", "tcp://h:0x1"],
        &["ask", "tcp://h:-1"],
        &["ask", "tcp://h:65536"],
        &["ask", &huge_port],
        &["ask", "tcp://[::1:80"],
        &["ask", "tcp://[]:80"],
        &["ask", "tcp://[::1]x:80"],
        &["ask", "tcp://user:secret@h:1"],
        &["ask", "tcp://h\u{1b}[31m:1"],
        &["ask", "tcp://h:1?frame=\u{1b}[31m"],
        &["ask", "tcp://%00:1"],
        &["ask", "unix:"],
        &["ask", "unix:%00x"],
        &["ask", "unix:/a%ff"],
        &["ask", &format!("unix:/{}", "y".repeat(300))],
        &["ask", "\u{1f600}://h:1"],
        &["ask", "tcp://h:1?=x"],
        &["ask", "tcp://h:1?idle=-1"],
        &["ask", "tcp://h:1?max=99999999999999999999"],
        &["ask", "tls://127.0.0.1:1?pin=nonsense"],
        &["ask", "127.0.0.1:1", "--timeout", "-1s"],
        &["ask", "127.0.0.1:1", "--quiet", "forever"],
        &["serve", ""],
        &["serve", "echo"],
        &["serve", "echo", ""],
        &["serve", "echo", "tcp://nobody\u{1f600}.invalid:0"],
        &["serve", "echo", ":0", "--max-connections", "0"],
        &["serve", "echo", ":0", "--grace", "a while"],
        &["serve", "echo", ":0", "--config", "x.toml"],
        &["serve", "echo", "http://:0?pin=sha256:00"],
        &["serve", "echo", "tls://:0?cert=only"],
        &["serve", "exec", ":0"],
        &["serve", "exec", ":0", "--"],
        &["serve", "echo", "unix-dgram:"],
        &["serve", "--config", ""],
        &["connect", "ws://127.0.0.1:1/\u{7f}"],
        &["connect", "127.0.0.1:1", "--linger", "x"],
        &["request"],
        &["request", "GET"],
        &["request", ":1", "no-item"],
        &["request", ":1", "X\u{1b}:y"],
        &["request", ":1", "Head er:y"],
        &["request", ":1", "a:={"],
        &["request", ":1", "a@"],
        &["request", "--raw", "x", "--form", ":1"],
        &["request", "-o", "x", "-d", ":1"],
        &["request", "--raw", "x", ":1", "a=b"],
        &["request", "ftp://127.0.0.1/"],
        &["request", "http://"],
        &["request", "http://[::1"],
        &["check", ""],
        &["check", "tcp://127.0.0.1"],
        &["check", "--wait", "x", "127.0.0.1:1"],
        &["completions"],
        &["completions", "tcsh"],
        &["man", "page"],
    ];
    at_once(table, |words| {
        let shown: String = format!("{words:?}").chars().take(100).collect();
        is_said(&shown, &home.run(words, ""));
    });
}

/// A complaint is to be read: it shows the beginning of what is too long.
#[test]
fn complaints_are_short() {
    let home = Home::new();
    let (huge, many) = ("x".repeat(100_000), format!("tcp://h:1?{}", "idle=1&".repeat(2000)));
    for words in [&["ask", &*huge][..], &["ask", &many], &["serve", &huge, ":0"], &["request", ":1", &huge]] {
        let ended = home.run(words, "");
        is_said(words[0], &ended);
        assert!(ended.err.len() < 2000, "{}: {} bytes of complaint", words[0], ended.err.len());
    }
}

/// Whoever starts the server is told, not whoever comes.
#[test]
fn a_program_that_is_not_there_is_refused_at_start() {
    let home = Home::new();
    let folder = home.path("");
    for program in ["", "/nowhere/at/all", "no-such-program-at-all", &folder] {
        let ended = home.run(&["serve", "exec", ":0", "--", program], "");
        assert_eq!(ended.code, 20, "{program}: {}", ended.err);
        assert!(!ended.err.contains("listening on"), "{program}: {}", ended.err);
    }
}

/// As the option refuses it: a server that takes nobody is a mistake.
#[test]
fn a_configuration_has_room_for_somebody() {
    let home = Home::new();
    for limit in ["max-connections", "max-per-peer"] {
        let config = format!("{limit} = 0\n[[serve]]\nservice = \"echo\"\naddresses = [\"tcp://:0\"]");
        let ended = home.run(&["serve", "--config", &home.file("zero.toml", config)], "");
        assert_eq!(ended.code, 2, "{limit}: {}", ended.err);
    }
}

#[test]
fn bytes_that_are_no_text() {
    let home = Home::new();
    let wrong = OsStr::from_bytes(b"\xff\xfe");
    let table: &[&[&OsStr]] = &[
        &[wrong],
        &["ask".as_ref(), wrong],
        &["serve".as_ref(), wrong],
        &["serve".as_ref(), "echo".as_ref(), wrong],
        &["serve".as_ref(), "--config".as_ref(), wrong],
        &["request".as_ref(), wrong],
        &["connect".as_ref(), "127.0.0.1:1".as_ref(), wrong],
        &["serve".as_ref(), "exec".as_ref(), "stdio:".as_ref(), "--".as_ref(), wrong],
    ];
    for words in table {
        is_said(&format!("{words:?}"), &run(home.hullo(&[]).args(*words), ""));
    }
    // A message may be any bytes.
    let server = home.serve(&["echo", ":0"], 1);
    let ended = run(home.hullo(&["ask", &server.at[0]]).arg(wrong), "");
    assert_eq!((ended.code, &*ended.out), (0, &b"\xff\xfe"[..]), "{}", ended.err);
}

#[test]
fn configurations() {
    let home = Home::new();
    for (number, config) in [
        "",
        "not toml",
        "[[serve]]",
        "[[serve]]\nservice = \"echo\"",
        "[[serve]]\nservice = \"echo\"\naddresses = []",
        "[[serve]]\nservice = \"echo\"\naddresses = \"tcp://:0\"",
        "[[serve]]\nservice = \"ehco\"\naddresses = [\"tcp://:0\"]",
        "[[serve]]\nservice = \"echo\"\naddresses = [\"tcp://h:x\"]",
        "[[serve]]\nservice = \"echo\"\naddresses = [\"\\u0000\"]",
        "[[serve]]\nservice = \"echo\"\naddresses = [\"tcp://:0\"]\ntxt = \"x\"",
        "[[serve]]\nservice = \"exec\"\naddresses = [\"tcp://:0\"]",
        "max-connections = -1\n[[serve]]\nservice = \"echo\"\naddresses = [\"tcp://:0\"]",
        "grace = 1\nserve = 3",
        "\u{0}\u{1b}[31m",
    ]
    .iter()
    .enumerate()
    {
        let file = home.file(&format!("{number}.toml"), config);
        // What would serve is ended by its own mistake alone: nobody interrupts it.
        let ended = home.run(&["serve", "--config", &file], "");
        is_said(config, &ended);
        assert_eq!(ended.code, 2, "{config:?}: {}", ended.err);
    }
    let binary = home.file("binary.toml", common::noise(1000));
    is_said("binary", &home.run(&["serve", "--config", &binary], ""));
    is_said("a folder", &home.run(&["serve", "--config", &home.path("")], ""));
}

#[test]
fn certificates() {
    let home = Home::new();
    let (empty, wrong) = (
        home.file("empty.pem", ""),
        home.file("wrong.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    );
    let noise = home.file("noise.pem", common::noise(1000));
    for file in [&empty, &wrong, &noise, &home.path("missing.pem"), &home.path("")] {
        is_said(file, &home.run(&["serve", "echo", &format!("tls://:0?cert={file}&key={file}")], ""));
        is_said(file, &home.run(&["serve", "echo", &format!("tls://:0?client-ca={file}")], ""));
    }
    let server = home.serve(&["echo", "tls://:0"], 1);
    for file in [&empty, &wrong, &noise, &home.path("missing.pem")] {
        is_said(file, &home.run(&["ask", &format!("{}?ca={file}", server.at[0]), "hello"], ""));
    }
    // A state that cannot be read is no reason to fail in silence.
    let kept = home.path("hullo/identity.pem");
    std::fs::write(&kept, "no certificate").unwrap();
    let ended = common::Program::start(&mut home.hullo(&["serve", "echo", "tls://:0"]));
    let said = ended.told("\n");
    assert!(said.contains("listening on") || said.contains("identity.pem"), "{said}");
}
