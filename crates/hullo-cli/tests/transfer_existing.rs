#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! What is there already where something is received, and what happens to it.

mod common;

use std::{fs, os::unix::fs::symlink, path::Path};

use common::{
    Ended, Home, Program, at_once, noise,
    transfer::{Waiting, folder, link, parts, tree},
};

/// Sends what is named into `inbox`; both ends speak JSON. The sender first.
fn transfer(home: &Home, named: &[&str], how: &[&str]) -> (Ended, Ended) {
    let waiting = Waiting::start(home, &[&["send", "--listen", "tcp://127.0.0.1:0"], named].concat());
    let words = [&["--json", "receive", "--into", "inbox", &waiting.at], how].concat();
    let received = Program::start(&mut waiting.other(home, &words)).ended();
    (waiting.program.ended(), received)
}

/// The numbers of a summary: those that came, that were there, that were left out, that failed.
fn counts(sum: &serde_json::Value) -> [u64; 4] {
    ["files", "here", "skipped", "failed"].map(|what| sum[what].as_u64().unwrap())
}

#[test]
fn what_is_there_stays_unless_told() {
    let content = noise(300_000);
    let mut other = content.clone();
    other[299_999] ^= 1;
    // How it is received, what comes of what was there, the exit status, and what came of the file that came.
    let cases = [
        (&[][..], &other[..], 19, "failed", "file"),
        (&[], b"longer or shorter", 19, "failed", "file"),
        (&["--skip"], &other, 0, "skipped", "file"),
        (&["--skip"], b"longer or shorter", 0, "skipped", "file"),
        (&["--overwrite"], &other, 0, "done", ""),
        (&["--overwrite"], b"longer or shorter", 0, "done", ""),
        (&["--keep-both"], &other, 0, "done", "file (2).bin"),
        (&["--keep-both"], b"longer or shorter", 0, "done", "file (2).bin"),
    ];
    at_once(&cases, |(how, there, status, outcome, new)| {
        let what = format!("{how:?} over {} bytes", there.len());
        let home = Home::new();
        folder(&home, "inbox");
        home.file("file.bin", &content);
        home.file("inbox/file.bin", there);
        let (sent, received) = transfer(&home, &["file.bin"], how);
        assert_eq!((sent.code, received.code), (*status, *status), "{what}: {}{}", sent.err, received.err);
        for end in [&sent, &received] {
            assert_eq!(&end.outcome("file.bin")["outcome"], outcome, "{what}");
        }
        match *new {
            "" => assert_eq!(home.read("inbox/file.bin"), content, "{what}"),
            "file" => assert_eq!(home.read("inbox/file.bin"), *there, "{what}"),
            beside => {
                assert_eq!(home.read("inbox/file.bin"), *there, "{what}");
                assert_eq!(home.read(&format!("inbox/{beside}")), content, "{what}");
            }
        }
        assert_eq!(parts(Path::new(&home.path("inbox"))), [""; 0], "{what}");
    });
}

#[test]
fn what_is_no_file_is_never_written_through_or_emptied() {
    for how in [&[][..], &["--skip"], &["--overwrite"], &["--keep-both"]] {
        let home = Home::new();
        folder(&home, "inbox/folder/with");
        folder(&home, "all/file");
        home.file("inbox/folder/with/something", "kept");
        home.file("inbox/file", "a file where a folder comes");
        home.file("outside", "kept");
        link(&home, "../outside", "inbox/link");
        link(&home, "nowhere", "inbox/other");
        home.file("folder", noise(200_000));
        home.file("link", noise(200_000));
        folder(&home, "file");
        home.file("file/inside", "inside");
        symlink("somewhere", home.path("all/other")).unwrap();
        fs::rename(home.path("all"), home.path("more")).unwrap();
        let (sent, received) = transfer(&home, &["folder", "link", "file"], how);
        assert_eq!(home.read("outside"), b"kept", "{how:?}");
        assert_eq!(home.read("inbox/folder/with/something"), b"kept", "{how:?}");
        // A folder cannot be where a file is, in any way.
        assert_eq!(home.read("inbox/file"), b"a file where a folder comes", "{how:?}");
        assert_eq!((sent.code, received.code), (19, 19), "{how:?}: {}{}", sent.err, received.err);
        assert_eq!(received.outcome("file/inside")["outcome"], "failed");
        let replaced = fs::symlink_metadata(home.path("inbox/link")).unwrap().is_file();
        assert_eq!(replaced, how == ["--overwrite"], "{how:?}");
        assert_eq!(parts(Path::new(&home.path("inbox"))), [""; 0], "{how:?}");
    }
}

#[test]
fn links_have_the_same_rules() {
    let cases = [
        (&[][..], "other", 19, "failed", "other"),
        (&[], "target", 0, "here", "target"),
        (&["--skip"], "other", 0, "skipped", "other"),
        (&["--overwrite"], "other", 0, "done", "target"),
        (&["--keep-both"], "other", 0, "done", "other"),
    ];
    for (how, there, status, outcome, after) in cases {
        let home = Home::new();
        folder(&home, "all");
        folder(&home, "inbox/all");
        link(&home, "target", "all/link");
        link(&home, there, "inbox/all/link");
        let (sent, received) = transfer(&home, &["all"], how);
        assert_eq!((sent.code, received.code), (status, status), "{how:?}: {}{}", sent.err, received.err);
        assert_eq!(received.outcome("all/link")["outcome"], outcome, "{how:?}");
        assert_eq!(fs::read_link(home.path("inbox/all/link")).unwrap(), Path::new(after), "{how:?}");
        if how == ["--keep-both"] {
            assert_eq!(fs::read_link(home.path("inbox/all/link (2)")).unwrap(), Path::new("target"));
        }
        assert_eq!(parts(Path::new(&home.path("inbox"))), [""; 0], "{how:?}");
    }
}

/// A link cannot take the place of a folder, and leaves nothing of its own where it fails.
#[test]
fn a_link_never_replaces_a_folder() {
    let home = Home::new();
    folder(&home, "all");
    folder(&home, "inbox/all/link/full");
    link(&home, "target", "all/link");
    let (sent, received) = transfer(&home, &["all"], &["--overwrite"]);
    assert_eq!((sent.code, received.code), (19, 19), "{}{}", sent.err, received.err);
    assert_eq!(parts(Path::new(&home.path("inbox"))), [""; 0]);
}

#[test]
fn the_same_again_moves_nothing() {
    let home = Home::new();
    folder(&home, "all/empty");
    for n in 0..30 {
        home.file(&format!("all/{n}"), noise(n * 10_000));
    }
    link(&home, "1", "all/link");
    let (sent, received) = transfer(&home, &["all"], &[]);
    assert_eq!(counts(&received.event("received")), [31, 0, 0, 0], "{}", sent.err);
    for how in [&[][..], &["--overwrite"], &["--keep-both"]] {
        let before = tree(home.path("inbox"));
        let (sent, received) = transfer(&home, &["all"], how);
        for (end, verb) in [(sent, "sent"), (received, "received")] {
            let sum = end.event(verb);
            assert_eq!((counts(&sum), &sum["bytes"]), ([0, 31, 0, 0], &0.into()), "{how:?}: {}", end.err);
            assert_eq!(end.code, 0);
        }
        assert_eq!(tree(home.path("inbox")), before, "{how:?}");
    }
}

/// What an earlier attempt left is compared, and what is right of it does not travel again.
#[test]
fn it_goes_on_where_it_stopped() {
    const BLOCK: usize = 8 << 20;
    let content = noise(3 * BLOCK + 1000);
    let mut spoilt = content.clone();
    spoilt[BLOCK + 5] ^= 1;
    let longer = [&content[..], &[7; 1000]].concat();
    for (left, travels, what) in [
        (&content[..2 * BLOCK + 77], BLOCK + 923, "the beginning"),
        (&content[..77], 3 * BLOCK + 923, "hardly anything"),
        (&spoilt[..2 * BLOCK], 2 * BLOCK + 1000, "something that is wrong from the second block on"),
        (&content, 0, "all of it"),
        (&longer, 0, "more than there is"),
        (&noise(5)[..0], 3 * BLOCK + 1000, "nothing"),
    ] {
        let home = Home::new();
        folder(&home, "inbox");
        home.file("film", &content);
        home.file("inbox/.film.hullo-part", left);
        let (sent, received) = transfer(&home, &["film"], &[]);
        assert_eq!((sent.code, received.code), (0, 0), "{what}: {}{}", sent.err, received.err);
        for (end, verb) in [(sent, "sent"), (received, "received")] {
            assert_eq!(end.event(verb)["bytes"], travels, "{what}");
        }
        assert!(home.read("inbox/film") == content, "{what}");
        assert_eq!(parts(Path::new(&home.path("inbox"))), [""; 0], "{what}");
    }
}
