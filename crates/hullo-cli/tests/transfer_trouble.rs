#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]
//! What cannot be sent or kept: it is said at both ends with its reason, and everything else arrives.

mod common;

use std::{
    fs::{self, OpenOptions, Permissions},
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::Path,
    process::Command,
    sync::mpsc::channel,
    thread,
};

use common::{
    Ended, Home, Program, at_once,
    disk::Disk,
    eventually, noise, peer,
    transfer::{CODE, Waiting, folder, link, parts, tree},
};

const HERE: &str = "tcp://127.0.0.1:0";

fn transfer(home: &Home, named: &[&str], how: &[&str]) -> (Ended, Ended) {
    let waiting = Waiting::start(home, &[&["send", "--listen", HERE], named].concat());
    let words = [&["--json", "receive", "--into", "inbox", &waiting.at], how].concat();
    let received = Program::start(&mut waiting.other(home, &words)).ended();
    (waiting.program.ended(), received)
}

/// Both ends say of that path that it failed, and why.
#[track_caller]
fn failed(ends: &(Ended, Ended), path: &str, why: &str) {
    for end in [&ends.0, &ends.1] {
        let outcome = end.outcome(path);
        assert_eq!(outcome["outcome"], "failed", "{path}");
        assert!(outcome["why"].as_str().unwrap().contains(why), "{outcome}");
        assert_eq!(end.code, 19, "{}", end.err);
    }
}

// Names and links.

#[test]
fn a_name_that_could_harm_is_refused_and_the_rest_arrives() {
    let home = Home::new();
    folder(&home, "all/bell\x07");
    folder(&home, "all/empty\nfolder");
    home.file("all/bell\x07/inside", "inside");
    home.file("all/\x1b[2J", "clears the screen");
    home.file("all/gpj.\u{202e}exe", "looks like another");
    home.file("all/fine", "fine");
    link(&home, "fine", "all/l\x01nk");
    let ends = transfer(&home, &["all"], &[]);
    failed(&ends, "all/\\u{1b}[2J", "control character");
    failed(&ends, "all/bell\\u{7}/inside", "folder was refused");
    failed(&ends, "all/gpj.\\u{202e}exe", "hides what it is");
    failed(&ends, "all/l\\u{1}nk", "control character");
    assert_eq!(tree(home.path("inbox/all")).len(), 2, "{}", ends.1.err);
    assert_eq!(home.read("inbox/all/fine"), b"fine");
    for end in [&ends.0, &ends.1] {
        assert!(!end.err.contains(['\x1b', '\x07']), "{}", end.err);
    }
    assert_eq!(ends.0.event("sent")["failed"], ends.1.event("received")["failed"], "both count alike");
}

/// A folder in which nothing is can fail too.
#[test]
fn an_empty_folder_that_is_refused_is_told_at_both_ends() {
    let home = Home::new();
    folder(&home, "all/empty\x07");
    let ends = transfer(&home, &["all"], &[]);
    failed(&ends, "all/empty\\u{7}", "control character");
}

#[test]
fn links_that_lead_out_are_refused_unless_wanted() {
    let home = Home::new();
    folder(&home, "all/deep");
    home.file("all/file", "file");
    let bad =
        [("absolute", "/etc/passwd"), ("above", "../../x"), ("deep/far", "../../../x"), ("through", "deep/../../../x")];
    for (name, target) in bad {
        link(&home, target, &format!("all/{name}"));
    }
    for (name, target) in [("deep/up", "../file"), ("same", "file")] {
        link(&home, target, &format!("all/{name}"));
    }
    let ends = transfer(&home, &["all"], &[]);
    for (name, _) in bad {
        failed(&ends, &format!("all/{name}"), "leads out of the folder");
        assert!(fs::symlink_metadata(home.path(&format!("inbox/all/{name}"))).is_err());
    }
    assert_eq!(fs::read_link(home.path("inbox/all/deep/up")).unwrap(), Path::new("../file"));
    let (sent, received) = transfer(&home, &["all"], &["--outside-links"]);
    assert_eq!((sent.code, received.code), (0, 0), "{}", received.err);
    assert_eq!(tree(home.path("all")), tree(home.path("inbox/all")));
}

// What is there no more, or is no file.

#[test]
fn what_is_neither_file_nor_folder_is_left_and_said() {
    let home = Home::new();
    folder(&home, "all");
    home.file("all/file", "file");
    let _socket = UnixListener::bind(home.path("all/socket")).unwrap();
    assert!(Command::new("mkfifo").arg(home.path("all/fifo")).status().unwrap().success());
    let (sent, received) = transfer(&home, &["all"], &[]);
    for name in ["all/socket", "all/fifo"] {
        assert_eq!(sent.outcome(name)["why"], "it is neither a file, a folder nor a link");
    }
    assert_eq!((sent.code, received.code), (19, 0), "the receiver has never heard of it");
    assert_eq!(home.read("inbox/all/file"), b"file");
}

#[test]
fn what_changes_after_it_was_announced_is_not_kept() {
    let home = Home::new();
    folder(&home, "all");
    for name in ["gone", "grown", "link", "fifo", "shorter", "stays"] {
        home.file(&format!("all/{name}"), noise(200_000));
    }
    let waiting = Waiting::start(&home, &["receive", "--into", "inbox", "--listen", HERE]);
    let mut sender = Program::start(&mut waiting.other(&home, &["--json", "send", "-", "all", &waiting.at]));
    // While stdin lasts the others have been announced, and wait.
    sender.say("hullo");
    eventually("the beginning of stdin", || {
        fs::read(home.path("inbox/.stdin.hullo-part")).is_ok_and(|it| it == b"hullo")
    });
    for name in ["gone", "link", "fifo"] {
        fs::remove_file(home.path(&format!("all/{name}"))).unwrap();
    }
    link(&home, "/etc/hostname", "all/link");
    assert!(Command::new("mkfifo").arg(home.path("all/fifo")).status().unwrap().success());
    OpenOptions::new().append(true).open(home.path("all/grown")).unwrap().write_all(b"more").unwrap();
    OpenOptions::new().write(true).open(home.path("all/shorter")).unwrap().set_len(7).unwrap();
    sender.hang_up();
    let ends = (sender.ended(), waiting.program.ended());
    failed(&ends, "all/gone", "no such file");
    failed(&ends, "all/grown", "it changed while it was being sent");
    failed(&ends, "all/shorter", "it changed while it was being sent");
    failed(&ends, "all/fifo", "");
    failed(&ends, "all/link", "link");
    assert_eq!(tree(home.path("inbox/all")).len(), 2);
    assert_eq!(home.read("inbox/all/stays"), noise(200_000));
    assert_eq!(home.read("inbox/stdin"), b"hullo");
    assert_eq!(parts(Path::new(&home.path("inbox"))), [""; 0]);
}

#[test]
fn what_changes_while_it_travels_is_not_kept() {
    let home = Home::new();
    home.file("log", noise(60_000_000));
    home.file("notes", "notes");
    let waiting = Waiting::start(&home, &["send", "log", "notes", "--listen", HERE]);
    // Somebody on the way stops after some of it, so that the sender cannot have read all of it.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("tcp://{}", listener.local_addr().unwrap());
    let ((stopped, is_stopped), (go, may)) = (channel(), channel());
    let port = waiting.port();
    thread::spawn(move || {
        let mut client = listener.accept().unwrap().0;
        let mut server = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut from, &mut to));
        std::io::copy(&mut (&mut server).take(1 << 20), &mut client).unwrap();
        stopped.send(()).unwrap();
        may.recv().unwrap();
        let _ = std::io::copy(&mut server, &mut client);
        let _ = client.shutdown(std::net::Shutdown::Write);
    });
    let receiver = Program::start(&mut waiting.other(&home, &["--json", "receive", "--into", "inbox", &at]));
    is_stopped.recv_timeout(common::PATIENCE).unwrap();
    OpenOptions::new().append(true).open(home.path("log")).unwrap().write_all(b"one line more").unwrap();
    go.send(()).unwrap();
    let ends = (waiting.program.ended(), receiver.ended());
    failed(&ends, "log", "it changed while it was being sent");
    assert_eq!(home.read("inbox/notes"), b"notes");
    assert!(!Path::new(&home.path("inbox/log")).exists());
    assert_eq!(parts(Path::new(&home.path("inbox"))), [""; 0]);
}

#[test]
fn a_sender_whose_stdin_pauses_notices_that_nobody_is_there() {
    let home = Home::new();
    let waiting = Waiting::start(&home, &["receive", "--into", "inbox", "--listen", HERE]);
    let mut sender = Program::start(&mut waiting.other(&home, &["send", "-", &waiting.at, "--wait", "1s"]));
    sender.say("hullo");
    eventually("the beginning", || fs::read(home.path("inbox/.stdin.hullo-part")).is_ok_and(|it| it == b"hullo"));
    drop(waiting);
    let ended = sender.ended();
    assert_eq!(ended.code, 11, "{}", ended.err);
}

// What cannot be kept.

/// A file that is larger than the receiver may write fails in its middle, when the sender is far ahead.
#[test]
fn what_fails_in_its_middle_is_told_at_both_ends() {
    let home = Home::new();
    home.file("first", noise(50_000_000));
    home.file("second", noise(500));
    let waiting = Waiting::start(&home, &["send", "first", "second", "--listen", HERE]);
    let hullo = env!("CARGO_BIN_EXE_hullo");
    // 512 bytes each: somewhat over 5 MB.
    let line = format!("trap '' XFSZ; ulimit -f 10000; exec {hullo} --json receive --into inbox {}", waiting.at);
    let mut receiver = home.command("sh");
    let receiver = Program::start(receiver.args(["-c", &line]).env(CODE, waiting.code.as_ref().unwrap())).ended();
    let ends = (waiting.program.ended(), receiver);
    failed(&ends, "first", "too large");
    assert_eq!(home.read("inbox/second"), noise(500));
    assert!(!Path::new(&home.path("inbox/first")).exists());
}

/// hullo for a user whom the rights of files bind, as they do not bind root.
fn bound(home: &Home, words: &[&str]) -> Option<Command> {
    if !rustix::process::geteuid().is_root() {
        return Some(home.hullo(words));
    }
    let mut command = home.command(peer("setpriv")?);
    let without = ["--bounding-set", "-dac_override,-dac_read_search,-fowner", "--inh-caps", "-all"];
    command.args(without).arg(env!("CARGO_BIN_EXE_hullo")).args(words);
    Some(command)
}

#[test]
fn what_cannot_be_read_is_said_and_the_rest_arrives() {
    let home = Home::new();
    folder(&home, "all/closed");
    for name in ["all/file", "all/secret", "all/closed/inside"] {
        home.file(name, name);
    }
    for name in ["all/secret", "all/closed"] {
        fs::set_permissions(home.path(name), Permissions::from_mode(0o000)).unwrap();
    }
    let words = ["--json", "send", "all", "--listen", HERE];
    let Some(mut sender) = bound(&home, &words) else { return };
    let waiting = Waiting::run(&mut sender);
    let receiver = Program::start(&mut waiting.other(&home, &["--json", "receive", "--into", "inbox", &waiting.at]));
    let ends = (waiting.program.ended(), receiver.ended());
    failed(&ends, "all/secret", "permission denied");
    assert_eq!(ends.0.outcome("all/closed")["outcome"], "failed", "{}", ends.0.err);
    assert_eq!(home.read("inbox/all/file"), b"all/file");
    fs::set_permissions(home.path("all/closed"), Permissions::from_mode(0o700)).unwrap();
}

/// A part may have its rights already when the receiver is killed: the next one must be able to go on with it.
#[test]
fn a_part_that_may_only_be_read_is_gone_on_with() {
    let home = Home::new();
    folder(&home, "inbox");
    for (name, mode) in [("read-only", 0o444), ("closed", 0)] {
        home.file(name, noise(300_000));
        let part = home.file(&format!("inbox/.{name}.hullo-part"), noise(300_000));
        fs::set_permissions(part, Permissions::from_mode(mode)).unwrap();
        fs::set_permissions(home.path(name), Permissions::from_mode(mode)).unwrap();
    }
    let waiting = Waiting::start(&home, &["send", "read-only", "closed", "--listen", HERE]);
    let words = ["--json", "receive", "--into", "inbox", &waiting.at];
    let Some(mut receiver) = bound(&home, &words) else { return };
    let received = Program::start(receiver.env(CODE, waiting.code.as_ref().unwrap())).ended();
    assert_eq!(received.code, 0, "{}", received.err);
    waiting.program.ended().good();
    assert_eq!(home.read("inbox/read-only"), noise(300_000));
    assert_eq!(parts(Path::new(&home.path("inbox"))), [""; 0]);
}

/// Two that receive the same at the same place never write to one file.
#[test]
fn two_receivers_at_one_place_do_not_mix() {
    let home = Home::new();
    folder(&home, "all");
    for n in 0..60 {
        home.file(&format!("all/{n}"), noise(50_000 + 2000 * n));
    }
    home.file("all/film", noise(30_000_000));
    let waiting = Waiting::start(&home, &["send", "all", "--times", "2", "--listen", HERE]);
    let receive = ["--json", "receive", "--into", "inbox", &waiting.at];
    let two = [0, 1].map(|_| Program::start(&mut waiting.other(&home, &receive)));
    for end in two {
        let ended = end.ended();
        for event in ended.objects().iter().filter(|event| event["outcome"] == "failed") {
            let why = event["why"].as_str().unwrap();
            assert!(why.contains("somebody else") || why.contains("is there already"), "{event}");
        }
    }
    drop(waiting);
    for (path, thing) in tree(home.path("inbox/all")) {
        let name = String::from_utf8(path).unwrap();
        if name.contains("hullo-part") || name.is_empty() {
            continue;
        }
        assert_eq!(thing, tree(home.path("all")).remove(name.as_bytes()).unwrap(), "{name}");
    }
}

// A full disk.

/// Who is told of an end that gave up: the one that came ends, the one that waits goes on waiting. When there is room the
/// same again is all that it takes.
#[test]
fn a_full_disk_is_told_at_both_ends_and_the_same_again_goes_on() {
    at_once(&[true, false], |&waiting_sends| {
        let what = format!("the sender waits: {waiting_sends}");
        let home = Home::new();
        let Some(disk) = Disk::new(home.path("disk"), "10m") else { return };
        folder(&home, "album");
        home.file("album/first", noise(10_000));
        home.file("album/second", noise(20_000_000));
        home.file("album/third", noise(10_000));
        let (send, receive) = (["send", "album"].as_slice(), ["receive", "--into", "disk/inbox"].as_slice());
        let (first, second) = if waiting_sends { (send, receive) } else { (receive, send) };
        let waiting = Waiting::start(&home, &[first, &["--listen", HERE]].concat());
        let words = [&["--json"], second, &[&waiting.at, "--wait", "20s"]].concat();
        let ended = Program::start(&mut waiting.other(&home, &words)).ended();
        let broken = waiting.tells("broken", 0);
        for said in [&ended.event("error"), &broken] {
            let said = said["message"].as_str().unwrap().to_lowercase();
            assert!(said.contains("cannot write album/second: no space left on device"), "{what}: {said}");
        }
        assert_eq!(ended.code, 19, "{what}: {}", ended.err);
        assert!(ended.event("error")["hint"].as_str().unwrap().contains("run the same again"), "{}", ended.err);
        assert_eq!(parts(Path::new(&home.path("disk"))), ["inbox/album/.second.hullo-part"], "{what}");
        let there = fs::metadata(home.path("disk/inbox/album/.second.hullo-part")).unwrap().len();
        assert!(there > 9_000_000, "{what}: {there} bytes stayed");
        disk.grow("64m");
        let again = Program::start(&mut waiting.other(&home, &words)).ended();
        assert_eq!(again.code, 0, "{what}: {}", again.err);
        let begun = again.event("begun");
        assert_eq!((&begun["path"], &begun["from"]), (&"album/second".into(), &there.into()), "{what}");
        waiting.program.ended().good();
        assert_eq!(tree(home.path("album")), tree(home.path("disk/inbox/album")), "{what}");
    });
}
