#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! What is said: data on stdout, all else on stderr; `--json`, `-v`, help, completions, and the nearest name.

mod common;

use common::{Home, Program, object};
use serde_json::Value;

const VERBS: &[&str] = &["serve", "connect", "ask", "request", "check", "completions", "man"];

fn events(objects: &[Value]) -> Vec<&str> {
    objects.iter().map(|object| object["event"].as_str().unwrap()).collect()
}

#[test]
fn data_is_on_stdout_and_nothing_else_is() {
    let home = Home::new();
    let server = home.serve(&["echo", "tcp://:0", "http://:0", "udp://:0"], 3);
    for (line, input, out) in [
        (&["ask", &*server.at[0], "hello"][..], "", "hello\n"),
        (&["ask", &server.at[0]], "from a pipe\n", "from a pipe\n"),
        (&["ask", "-v", &server.at[2], "hello"], "", "hello\n"),
        (&["connect", &server.at[0]], "as it is", "as it is"),
        (&["connect", "--json", "-v", &server.at[0]], "as it is", "as it is"),
        (&["request", "-v", &server.at[1]], "", "hullo\n"),
        (&["request", "--json", "-v", &server.at[1]], "", "hullo\n"),
    ] {
        let ended = home.run(line, input);
        assert_eq!((ended.code, &*ended.out), (0, out.as_bytes()), "{line:?}: {}", ended.err);
        assert_eq!(ended.err.is_empty(), !line.contains(&"-v"), "{line:?}: {}", ended.err);
    }
    let failed = home.run(&["ask", "tcp://h:x"], "");
    assert_eq!(failed.out, b"");
}

#[test]
fn the_timeline_has_every_step() {
    let home = Home::new();
    let server = home.serve(&["echo", "tls://:0"], 1);
    let at = format!("tls://localhost:{}?insecure=true", server.port(0));
    for line in [&["ask", "-v", &*at, "hello"][..], &["connect", "-v", &at]] {
        let ended = home.run(line, "hello\n");
        assert_eq!(ended.code, 0, "{}", ended.err);
        let mut rest = &*ended.err;
        for step in [
            "resolved localhost: ",
            "connected to tls://",
            "TLS 1.3 TLS13_AES_",
            "sha256:",
            "first byte, ",
            "6 bytes received, 6 sent",
        ] {
            let (_, after) =
                rest.split_once(step).unwrap_or_else(|| panic!("{line:?}: no {step:?} in its place in {}", ended.err));
            rest = after;
        }
        let objects = home.run(&[&["--json"], line].concat(), "hello\n").objects();
        let (names, secured) = (events(&objects), objects.iter().find(|object| object["event"] == "secured").unwrap());
        assert!(["resolved", "connected", "first-byte", "closed"].iter().all(|name| names.contains(name)), "{names:?}");
        assert_eq!(secured["version"], "TLS 1.3");
        assert!(secured["cipher"].as_str().unwrap().starts_with("TLS13_"));
        let closed = objects.iter().find(|object| object["event"] == "closed").unwrap();
        assert_eq!((&closed["received"], &closed["sent"]), (&6.into(), &6.into()));
    }
}

#[test]
fn the_timeline_says_whether_messages_are_compressed() {
    let home = Home::new();
    let server = home.serve(&["echo", "ws://:0"], 1);
    for (options, compressed) in [("", true), ("?deflate=no", false)] {
        let ended = home.run(&["ask", "-v", &format!("{}{options}", server.at[0]), "hello"], "");
        assert!(ended.code == 0 && ended.err.contains("WebSocket stands"), "{}", ended.err);
        assert_eq!(ended.err.contains("messages are compressed"), compressed, "{}", ended.err);
    }
}

#[test]
fn the_server_tells_of_its_guests() {
    let home = Home::new();
    let server = home.serve(&["echo", "-v", ":0"], 1);
    home.run(&["connect", &server.at[0]], "hello\n").good();
    server.program.told("6 bytes received, 6 sent");
    let ended = server.interrupted();
    assert!(ended.err.contains(" came\n"), "{}", ended.err);
    let server = common::Server::start(&mut home.hullo(&["--json", "serve", "echo", "-v", ":0", "tls://:0"]), 2);
    home.run(&["connect", &server.at[0]], "hello\n").good();
    home.run(&["ask", &server.at[1], "hello"], "");
    server.program.told("\"closed\"");
    server.program.told("\"trouble\"");
    let ended = server.interrupted();
    let objects = ended.objects();
    let names = events(&objects);
    assert!(["listening", "opened", "closed", "note"].iter().all(|name| names.contains(name)), "{names:?}");
}

#[test]
fn with_json_every_mistake_is_an_object() {
    let home = Home::new();
    for (line, code) in [
        (&["--json", "ask"][..], 2),
        (&["--json", "srve"], 2),
        (&["--json", "ask", "--quite", "1s", "h:1"], 2),
        (&["--json", "ask", "--timeout", "soon", "h:1"], 2),
        (&["serve", "ehco", ":0", "--json"], 2),
        (&["serve", "echo", "--json", ":0?idel=1"], 2),
        (&["request", "--json", "gopher://h/"], 2),
        (&["check", "--json", "127.0.0.1:0"], 0),
    ] {
        let ended = home.run(line, "");
        assert!(code == 0 || ended.code == code, "{line:?}: {} {}", ended.code, ended.err);
        let error = object(ended.err.lines().last().unwrap());
        assert_eq!(error["event"], "error", "{line:?}");
        assert!(ended.err.lines().all(|line| object(line).is_object()));
    }
}

#[test]
fn a_wrong_name_names_the_nearest() {
    let home = Home::new();
    for (line, nearest) in [
        (&["serve", "ehco", ":0"][..], "echo"),
        (&["serve", "gret", ":0"], "greet"),
        (&["serve", "echo", "tpc://:0"], "tcp"),
        (&["ask", "wws://h:1", "x"], "ws"),
        (&["ask", "htps://h:1", "x"], "http"),
        (&["serve", "echo", ":0?idel=3s"], "idle"),
        (&["ask", "tls://h:1?insecur=true", "x"], "insecure"),
        (&["serve", "json", ":0?frame=line"], "lines"),
        (&["srve"], "serve"),
        (&["serve", "echo", ":0", "--grase", "1s"], "--grace"),
        (&["completions", "bsh"], "bash"),
    ] {
        let ended = home.run(line, "");
        assert_eq!(ended.code, 2, "{line:?}: {}", ended.err);
        let hint = ended.err.lines().skip(1).collect::<String>();
        assert!(
            hint.contains(&format!("'{nearest}")) || hint.contains(nearest) && line[0] == "completions",
            "{line:?}: {}",
            ended.err
        );
    }
    // What is near nothing is told what there is.
    let ended = home.run(&["serve", "xyzzy", ":0"], "");
    assert!(ended.code == 2 && ended.err.contains("chargen, chat, connect, convert"), "{}", ended.err);
    let ended = home.run(&["ask", "example.org:http", "x"], "");
    assert!(ended.code == 2 && ended.err.contains("host:port"), "{}", ended.err);
}

#[test]
fn every_verb_helps_with_examples() {
    let home = Home::new();
    for verb in VERBS {
        for flag in ["--help", "-h"] {
            let help = home.run(&[verb, flag], "").text();
            assert!(help.contains("Usage: hullo") && help.contains("Example"), "{verb} {flag}: {help}");
            assert!(help.contains(&format!("  hullo {verb}")), "{verb} {flag} has no example of itself: {help}");
        }
    }
    for line in [&["--help"][..], &["-h"], &["serve", "--help"]] {
        let help = home.run(line, "").text();
        for name in ["echo", "exec", "convert", "tcp://", "unix:", "wss://", "Examples:"] {
            assert!(help.contains(name), "no {name} in {line:?}");
        }
    }
    let help = home.run(&["--help"], "").text();
    let table = help.split_once("Exit status:").unwrap().1;
    for code in ["0", "2", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19", "20", "3-5", "130"] {
        assert!(table.lines().any(|line| line.trim_start().starts_with(&format!("{code} "))), "no {code} in {table}");
    }
    assert!(home.run(&["--version"], "").text().starts_with("hullo "));
    // Without a word it says what there is, and that this was not enough.
    let ended = home.run(&[], "");
    assert!(ended.code == 2 && VERBS.iter().all(|verb| ended.err.contains(verb)), "{}", ended.err);
}

#[test]
fn completions_and_man_page_know_every_verb() {
    let home = Home::new();
    for words in [&["completions", "bash"][..], &["completions", "zsh"], &["completions", "fish"], &["man"]] {
        let page = home.run(words, "").text();
        let missing: Vec<_> =
            VERBS.iter().filter(|verb| !page.contains(**verb) && !page.contains(&verb.to_uppercase())).collect();
        assert!(page.len() > 1000 && missing.is_empty(), "{words:?} lacks {missing:?}");
    }
    let script = home.run(&["completions", "bash"], "").text();
    home.file("hullo.bash", script);
    common::run(home.command("bash").args(["-n", "hullo.bash"]), "").good();
    let man = home.run(&["man"], "").text();
    for part in [".TH hullo 1", "check\\-status", "Exit status", "idle", "https://"] {
        assert!(man.contains(part), "no {part} in the man page");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_catastrophe() {
    let home = Home::new();
    let server = home.serve(&["chargen", ":0"], 1);
    let mut shell = home.command("sh");
    shell.args(["-c", &format!("{} connect {} | head -c 10; echo", env!("CARGO_BIN_EXE_hullo"), server.at[0])]);
    let ended = common::run(&mut shell, "");
    assert_eq!(ended.out.len(), 11, "{}", ended.err);
    assert!(!ended.err.contains("panicked"), "{}", ended.err);
    for words in ["--help", "man", "completions bash"] {
        let mut shell = home.command("sh");
        shell.args(["-c", &format!("{} {words} | true", env!("CARGO_BIN_EXE_hullo"))]);
        let ended = common::run(&mut shell, "");
        assert!(!ended.err.contains("panicked"), "{words}: {}", ended.err);
    }
}

#[test]
fn hex_shows_both_directions() {
    let home = Home::new();
    let server = home.serve(&["echo", ":0"], 1);
    let mut talk = Program::start(&mut home.hullo(&["connect", "--hex", &server.at[0]]));
    talk.say("hi!\n");
    talk.heard("68 69 21");
    talk.hang_up();
    let ended = talk.ended();
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(String::from_utf8_lossy(&ended.out).contains("hi!"));
}
