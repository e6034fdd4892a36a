#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]
//! So many files that whoever keeps what it need not keep is found by its memory.

mod common;

use std::{fs, time::Duration};

use common::{
    Home, Program, at_once,
    transfer::{Waiting, folder},
};

/// Files, and the length of their names: all names are 5 MB.
const FILES: usize = 20_000;
const NAME: usize = 250;

/// What an end may need beyond what it has when it waits: what is under way, and, where it sends, all names of a folder
/// once.
const SENDER: u64 = 27 << 10;
const RECEIVER: u64 = 30 << 10;

/// The most memory that a process has had, in KiB.
fn peak(program: &Program) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim_end_matches("kB").trim().parse().unwrap()
}

#[test]
fn many_files_need_little_memory_at_either_end() {
    let home = Home::new();
    folder(&home, "all");
    for n in 0..FILES {
        home.file(&format!("all/{n:0>NAME$}"), "");
    }
    let ends = [
        (["send", "all"].as_slice(), ["receive", "--no-fsync", "--into", "inbox"].as_slice(), SENDER, "send"),
        (["receive", "--no-fsync", "--into", "inbox2"].as_slice(), ["send", "all"].as_slice(), RECEIVER, "receive"),
    ];
    at_once(&ends, |(first, second, most, what)| {
        // It waits for another one then, and can be asked.
        let words = ["--times", "2", "--plain", "--listen", "tcp://127.0.0.1:0"];
        let waiting = Waiting::start(&home, &[*first, &words].concat());
        let before = peak(&waiting.program);
        let coming = Program::start(&mut waiting.other(&home, &[*second, &[&waiting.at]].concat()));
        let ended = coming.ended_within(Duration::from_secs(60));
        let more = peak(&waiting.program) - before;
        assert_eq!(ended.code, 0, "{}", ended.err);
        assert!(ended.err.contains(&format!("{FILES} files")), "{}", ended.err);
        assert!(more <= *most, "{what} needs {more} KiB for {FILES} files");
    });
}
