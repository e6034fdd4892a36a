#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! `hullo bench --search` and `--vs`: several loads, what is seen meanwhile, and what is left of them where they are stopped.

mod common;

use common::{Ended, Home, Program, Server, peer};
use rustix::process::Signal;
use serde_json::{Value, json};

fn echo(home: &Home) -> Server {
    home.serve(&["echo", "tcp://127.0.0.1:0"], 1)
}

/// What was found, or compared.
#[track_caller]
fn object(ended: &Ended) -> Value {
    serde_json::from_slice(&ended.out).unwrap_or_else(|error| panic!("{error}: {}", ended.err))
}

/// A search that would go on for long, among the rates of any machine.
fn long(at: &str) -> String {
    format!("{at} --search --slo p50<5s --rate 100..1000/1s -d 400ms -c 2 --threads 1")
}

/// Has the program of these words stopped as soon as its stderr has that text.
fn stopped(home: &Home, words: &str, at: impl Fn(&str) -> bool) -> Ended {
    let program = Program::start(&mut home.hullo(&words.split(' ').collect::<Vec<_>>()));
    program.tells(|said| at(said).then_some(())).unwrap_or_else(|| panic!("it said: {}", program.so_far()));
    program.signal(Signal::INT);
    program.ended()
}

#[test]
fn a_search_that_is_stopped_says_what_is_known() {
    let home = Home::new();
    let server = echo(&home);
    let words = format!("bench --json {}", long(&server.at[0]));
    let ended = stopped(&home, &words, |said| said.matches("\"event\":\"trial\"").count() == 2);
    assert_eq!(ended.code, 130, "{}", ended.err);
    let found = object(&ended);
    assert_eq!((&found["search"]["ended"], &found["search"]["rate"]), (&"stopped".into(), &json!(200.0)), "{found:#}");
    assert!(found["search"]["why"].as_str().unwrap().contains("hold at 200/s, so far"), "{}", found["search"]["why"]);
    assert_eq!(found["report"]["plan"]["rate"], "200", "the report is that of the best trial");
    assert_eq!(found["search"]["trials"].as_array().unwrap().len(), 2, "one that is not whole is no trial");
}

#[test]
fn rounds_that_are_whole_are_compared_where_the_others_were_stopped() {
    let home = Home::new();
    let (a, b) = (echo(&home), echo(&home));
    let words = format!("bench --json {} --rate 200 -d 300ms -c 2 --repeat 9 --vs {}", a.at[0], b.at[0]);
    let ended = stopped(&home, &words, |said| said.matches("\"event\":\"run\"").count() == 3);
    assert_eq!(ended.code, 130, "{}", ended.err);
    let versus = object(&ended);
    assert_eq!(versus["comparison"]["runs"], json!([1, 1]), "{versus:#}");
    assert!(ended.err.contains("it was stopped when 1 of 9 rounds were whole"), "{}", ended.err);
    let ended = stopped(&home, &words, |said| said.contains("\"event\":\"run\""));
    assert_eq!((ended.code, ended.out.len()), (130, 0), "half a round says nothing: {}", ended.err);
}

/// A load on a terminal of its own.
fn on_terminal(home: &Home, words: &str) -> Option<Program> {
    let hullo = env!("CARGO_BIN_EXE_hullo");
    let line = format!("stty rows 30 cols 120; {hullo} bench {words}; echo \"status=$?\"");
    let mut command = home.command(peer("script")?);
    let line = line.replace('<', "\\<").replace('>', "\\>");
    Some(Program::start(
        command.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm-256color").env("SHELL", "/bin/sh"),
    ))
}

/// What is said when the terminal was given back.
#[track_caller]
fn behind_the_screen(program: Program) -> String {
    let all = String::from_utf8_lossy(&program.ended().out).into_owned();
    let (screen, after) = all.rsplit_once("\x1b[?1049l").unwrap_or_else(|| panic!("the screen was not left: {all:?}"));
    assert_eq!(screen.matches("\x1b[?1049h").count(), 1, "it is taken once: {all:?}");
    after.to_owned()
}

#[test]
fn a_search_is_seen_trial_by_trial_and_said_again_behind_the_screen() {
    let home = Home::new();
    let server = echo(&home);
    let Some(mut program) = on_terminal(&home, &long(&server.at[0])) else { return };
    program.heard("trial 1, 100/s; nothing is known yet");
    // The terminal gets only what differs from the picture before, and of this every letter does.
    program.heard("100/s held");
    program.say("q");
    let after = behind_the_screen(program);
    for said in ["100/s   held  ", "hold at 100/s, so far: it was stopped", "status=130"] {
        assert!(after.contains(said), "{said} is missing in {after:?}");
    }
}

#[test]
fn rounds_are_seen_one_by_one_and_compared_when_they_are_over() {
    let home = Home::new();
    let (a, b) = (echo(&home), echo(&home));
    let words = format!("{} --rate 200 -d 300ms -c 2 --repeat 2 --vs {}", a.at[0], b.at[0]);
    let Some(program) = on_terminal(&home, &words) else { return };
    program.heard("round 1 of 2, A");
    let after = behind_the_screen(program);
    for said in ["round 1  A  ", "round 2  B  ", "95 % confidence", "status=0"] {
        assert!(after.contains(said), "{said} is missing in {after:?}");
    }
}
