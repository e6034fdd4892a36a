#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! `hullo relay LISTEN TO...` between real programs: what goes in at one end comes out at the other, the ends included.

#[path = "../common/mod.rs"]
mod common;
mod datagrams;
mod dead;
mod exec;
mod haproxy;
mod messages;
mod pairs;
mod several;
mod stop;
mod strangers;

use self::common::{Ended, Home, Server};

/// What a server says that has thought for a second, as a program: it reads to the end first.
const LATE: &[&str] = &["sh", "-c", "cat >/dev/null; sleep 1; printf 0123456789"];
const ANSWER: &[u8] = b"0123456789";

/// A relay with one address to listen on.
#[track_caller]
fn relay(home: &Home, words: &[&str]) -> Server {
    Server::start(&mut home.hullo(&[&["relay"], words].concat()), 1)
}

/// A server that runs a program for each client, on several addresses.
fn programs(home: &Home, at: &[&str], command: &[&str]) -> Server {
    home.serve(&[&["exec"], at, &["--"], command].concat(), at.len())
}

/// All of a late answer has come, and not before its time.
#[track_caller]
fn all_ten(name: &str, ended: Ended) {
    assert_eq!((ended.code, &*ended.out), (0, ANSWER), "{name}: {}", ended.err);
    assert!(ended.took.as_secs_f64() >= 0.9, "{name}: {:?}", ended.took);
}
