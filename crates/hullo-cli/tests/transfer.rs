#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! `hullo send` and `hullo receive`: whichever end listens, over every transport, everything arrives as it was.
//!
//! What is there already is in `transfer_existing.rs`, who may come in `transfer_who.rs`, what cannot be sent in
//! `transfer_trouble.rs`, and what breaks in `transfer_kill.rs`.

mod common;

use std::{
    ffi::OsStr,
    fs::{self, File, FileTimes, Permissions},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, MetadataExt, PermissionsExt},
    },
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use common::{
    Home, Program, at_once, noise,
    transfer::{Waiting, folder, link, tree, with_code},
};

/// Every transport: those with streams, and those with datagrams, which carry a stream of ours.
const TRANSPORTS: &[&str] = &[
    "tcp://127.0.0.1:0",
    "tls://127.0.0.1:0",
    "ws://127.0.0.1:0",
    "wss://127.0.0.1:0",
    "unix:here",
    "udp://127.0.0.1:0",
    "unix-dgram:packets",
];

// How it goes.

#[test]
fn either_end_may_listen_over_every_transport() {
    let cases: Vec<_> = TRANSPORTS
        .iter()
        .flat_map(|at| [(*at, true, true), (*at, false, true), (*at, true, false), (*at, false, false)])
        .collect();
    at_once(&cases, |(at, sender_listens, code)| {
        let what = format!("{at}, the sender listens: {sender_listens}, with a code: {code}");
        let home = Home::new();
        folder(&home, "photos/of/us");
        home.file("photos/of/us/one", noise(700_000));
        home.file("photos/two", "two");
        home.file("three", noise(3));
        let (send, receive) = (["send", "photos", "three"], ["receive", "--into", "inbox"]);
        let (first, second) = if *sender_listens { (&send[..], &receive[..]) } else { (&receive[..], &send[..]) };
        let plain: &[&str] = if *code { &[] } else { &["--plain"] };
        let waiting = Waiting::start(&home, &[first, &["--listen", at], plain].concat());
        assert_eq!(waiting.code.is_some(), *code, "{what}");
        let other = Program::start(&mut waiting.other(&home, &[&["--json"], second, &[&waiting.at]].concat())).ended();
        assert_eq!(other.code, 0, "{what}: {}", other.err);
        let here = waiting.program.ended();
        assert_eq!(here.code, 0, "{what}: {}", here.err);
        assert_eq!(tree(home.path("photos")), tree(home.path("inbox/photos")), "{what}");
        assert_eq!(home.read("inbox/three"), noise(3), "{what}");
        let (sent, received) = if *sender_listens { (here, other) } else { (other, here) };
        for (end, verb) in [(sent, "sent"), (received, "received")] {
            let sum = end.event(verb);
            assert_eq!((&sum["files"], &sum["bytes"]), (&3.into(), &700_006.into()), "{what}: {sum}");
        }
    });
}

#[test]
fn a_person_is_told_what_to_type_at_the_other_end() {
    let home = Home::new();
    home.file("notes", "hullo");
    let waiting = Program::start(&mut home.hullo(&["send", "notes", "--listen", "tcp://127.0.0.1:0"]));
    let typed = |said: &str| {
        let (commands, code) = said.split_once("at the other end:\n")?.1.split_once("\ncode: ")?;
        // The last one has the address.
        Some((commands.rsplit_once("  hullo ")?.1.to_owned(), code.split_once('\n')?.0.to_owned()))
    };
    let (command, code) = waiting.tells(typed).unwrap();
    let words: Vec<_> = command.split(' ').chain(["--into", "inbox"]).collect();
    let ended =
        Program::start(&mut with_code(home.hullo(&words), Some(&code.to_uppercase().replace('-', " ")))).ended();
    assert!(ended.err.contains("received 1 file, 5 B in"), "{}", ended.err);
    ended.good();
    assert!(waiting.ended().err.contains("sent 1 file, 5 B in"));
    assert_eq!(home.read("inbox/notes"), b"hullo");
}

#[test]
fn several_may_come_and_each_gets_all_of_it() {
    let home = Home::new();
    folder(&home, "photos");
    for n in 0..20 {
        home.file(&format!("photos/{n}"), noise(100_000 * n));
    }
    let waiting = Waiting::start(&home, &["send", "photos", "--times", "3", "--listen", "tcp://127.0.0.1:0"]);
    let inboxes = ["inbox1", "inbox2", "inbox3"];
    let guests =
        inboxes.map(|into| Program::start(&mut waiting.other(&home, &["receive", &waiting.at, "--into", into])));
    for (guest, into) in guests.into_iter().zip(inboxes) {
        guest.ended().good();
        assert_eq!(tree(home.path("photos")), tree(home.path(into).clone() + "/photos"));
    }
    let sum = waiting.program.ended().event("sent");
    assert_eq!((&sum["files"], &sum["failed"]), (&60.into(), &0.into()));
}

#[test]
fn no_more_come_than_may() {
    let home = Home::new();
    home.file("notes", noise(20_000_000));
    let waiting = Waiting::start(&home, &["send", "notes", "--plain", "--listen", "tcp://127.0.0.1:0"]);
    let guests = (0..6).map(|n| {
        let into = format!("inbox{n}");
        Program::start(&mut waiting.other(&home, &["receive", &waiting.at, "--into", &into]))
    });
    let guests: Vec<_> = guests.collect();
    let codes: Vec<_> = guests.into_iter().map(|guest| guest.ended().code).collect();
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    assert_eq!(waiting.program.ended().event("sent")["files"], 1);
}

#[test]
fn what_comes_on_stdin_is_a_file() {
    for length in [0, 1, 5_000_000] {
        let home = Home::new();
        let waiting = Waiting::start(&home, &["receive", "--into", "inbox", "--listen", "tcp://127.0.0.1:0"]);
        let mut sender = Program::start(&mut waiting.other(&home, &["send", "-", "--name", "all.tar", &waiting.at]));
        sender.feed(noise(length));
        sender.ended().good();
        waiting.program.ended().good();
        assert_eq!(home.read("inbox/all.tar"), noise(length));
    }
}

/// What has been written is at the other end while nothing more comes.
#[test]
fn a_pause_on_stdin_holds_nothing_back() {
    let home = Home::new();
    let waiting = Waiting::start(&home, &["receive", "--into", "inbox", "--listen", "tcp://127.0.0.1:0"]);
    let mut sender = Program::start(&mut waiting.other(&home, &["send", "-", &waiting.at]));
    sender.say("hullo");
    let part = home.path("inbox/.stdin.hullo-part");
    common::eventually("five bytes", || fs::read(&part).is_ok_and(|bytes| bytes == b"hullo"));
    sender.hang_up();
    sender.ended().good();
    waiting.program.ended().good();
    assert_eq!(home.read("inbox/stdin"), b"hullo");
}

// As it was.

fn set_time(path: impl AsRef<Path>, seconds: u64, nanos: u32) {
    let time = UNIX_EPOCH + Duration::new(seconds, nanos);
    File::open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

#[test]
fn a_folder_arrives_as_it_is() {
    let home = Home::new();
    folder(&home, "all/empty");
    folder(&home, "all/deep/er/and/deeper");
    for (name, mode) in [("usual", 0o644), ("program", 0o755), ("secret", 0o400), ("nobody's", 0), ("odd", 0o7)] {
        let path = home.file(&format!("all/{name}"), name);
        set_time(&path, 1_000_000_000, 123_456_789);
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    home.file("all/nothing", "");
    home.file("all/deep/er/and/deeper/noise", noise(1_500_000));
    home.file("all/deep/-rf", "-rf");
    home.file("all/deep/ *?\"'\\ ", "odd");
    home.file(&format!("all/deep/{}", "long".repeat(63)), "long");
    let bytes = Path::new(&home.path("all/deep")).join(OsStr::from_bytes(b"caf\xe9"));
    fs::write(bytes, "not UTF-8").unwrap();
    link(&home, "usual", "all/link");
    link(&home, "../usual", "all/deep/up");
    link(&home, "nowhere", "all/dangling");
    link(&home, "deep", "all/folder");
    let sparse = File::create(home.path("all/sparse")).unwrap();
    sparse.write_all_at(b"middle", 40_000_000).unwrap();
    sparse.set_len(100_000_000).unwrap();
    fs::set_permissions(home.path("all/deep/er/and"), Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(home.path("all/empty"), Permissions::from_mode(0o700)).unwrap();
    set_time(home.path("all/empty"), 1, 1);
    set_time(home.path("all/deep/er"), 4_000_000_000, 999_999_999);
    set_time(home.path("all"), 0, 0);

    let waiting = Waiting::start(&home, &["send", "all", "--listen", "tcp://127.0.0.1:0"]);
    Program::start(&mut waiting.other(&home, &["receive", "--into", "inbox", &waiting.at])).ended().good();
    waiting.program.ended().good();
    assert_eq!(tree(home.path("all")), tree(home.path("inbox/all")));
    let blocks = fs::metadata(home.path("inbox/all/sparse")).unwrap().blocks();
    assert!(blocks < 1000, "a file with holes takes {blocks} blocks");
    fs::set_permissions(home.path("all/deep/er/and"), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(home.path("inbox/all/deep/er/and"), Permissions::from_mode(0o755)).unwrap();
}

/// What a program becomes when it is run is not for others to say.
#[test]
fn nothing_arrives_with_the_rights_of_another() {
    let home = Home::new();
    let path = home.file("program", "program");
    fs::set_permissions(path, Permissions::from_mode(0o6755)).unwrap();
    let waiting = Waiting::start(&home, &["send", "program", "--listen", "tcp://127.0.0.1:0"]);
    Program::start(&mut waiting.other(&home, &["receive", "--into", "inbox", &waiting.at])).ended().good();
    assert_eq!(fs::metadata(home.path("inbox/program")).unwrap().mode() & 0o7777, 0o755);
}

#[test]
fn what_is_named_is_what_is_sent() {
    let home = Home::new();
    folder(&home, "here/photos");
    home.file("here/photos/one", "one");
    home.file("file", "file");
    link(&home, "file", "alias");
    link(&home, "here/photos", "album");
    let cases =
        [("here/photos/", "photos/one"), ("alias", "alias"), ("album", "album/one"), ("here/.", "here/photos/one")];
    for (named, there) in cases {
        let waiting = Waiting::start(&home, &["send", named, "--listen", "tcp://127.0.0.1:0"]);
        Program::start(&mut waiting.other(&home, &["receive", "--into", "inbox", &waiting.at])).ended().good();
        let path = home.path(&format!("inbox/{there}"));
        assert!(fs::symlink_metadata(&path).is_ok_and(|status| status.is_file()), "{named} is not at {path}");
    }
}
