#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! Who may come to a `hullo send` or `hullo receive` that waits, and what somebody learns who may not.

mod common;

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use common::{
    Home, Program, at_once,
    transfer::{CODE, Waiting, with_code},
};

const HERE: &str = "tcp://127.0.0.1:0";

/// A home with something to send, and the end that sends it to who knows the code.
fn sending(more: &[&str]) -> (Home, Waiting) {
    let home = Home::new();
    home.file("notes", "hullo");
    let waiting = Waiting::start(&home, &[&["send", "notes", "--listen", HERE], more].concat());
    (home, waiting)
}

/// Receives with that code; says the exit status and what went wrong.
fn receive(home: &Home, at: &str, code: &str) -> (i32, String) {
    let mut command = with_code(home.hullo(&["--json", "receive", "--into", "inbox", at]), Some(code));
    let ended = Program::start(&mut command).ended();
    let error = ended.objects().into_iter().find(|event| event["event"] == "error");
    (ended.code, error.map(|error| error["message"].as_str().unwrap().to_owned()).unwrap_or_default())
}

/// A code that is not that one.
fn other_than(code: &str) -> String {
    let number: u8 = code.split('-').next().unwrap().parse().unwrap();
    format!("{number}-wrong-wrong")
}

#[test]
fn a_wrong_guess_ends_the_code_and_the_next_one_is_good() {
    let (home, waiting) = sending(&[]);
    let first = waiting.code.clone().unwrap();
    let (status, why) = receive(&home, &waiting.at, &other_than(&first));
    assert_eq!(status, 14, "{why}");
    assert!(why.contains("the code was wrong, and is no good any more"), "{why}");
    let second = waiting.tells("code", 0)["code"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    // What was right a moment ago is a wrong guess like any other.
    assert_eq!(receive(&home, &waiting.at, &first).0, 14);
    let third = waiting.tells("code", 1)["code"].as_str().unwrap().to_owned();
    assert!(!std::path::Path::new(&home.path("inbox/notes")).exists());
    assert_eq!(receive(&home, &waiting.at, &third), (0, String::new()));
    waiting.program.ended().good();
    assert_eq!(home.read("inbox/notes"), b"hullo");
}

#[test]
fn who_guesses_again_and_again_ends_it() {
    let (home, waiting) = sending(&[]);
    let wrong = other_than(waiting.code.as_ref().unwrap());
    for guess in 1..=10 {
        let (status, why) = receive(&home, &waiting.at, &wrong);
        assert_eq!(status, 14, "guess {guess}: {why}");
    }
    let ended = waiting.program.ended();
    assert_eq!(ended.code, 14);
    assert_eq!(ended.objects().iter().filter(|event| event["event"] == "code").count(), 9, "{}", ended.err);
    assert!(ended.event("error")["message"].as_str().unwrap().contains("wrong code"), "{}", ended.err);
}

/// There is no next one after a code that somebody made up.
#[test]
fn a_wrong_guess_at_a_code_of_ones_own_ends_it() {
    let home = Home::new();
    home.file("notes", "hullo");
    let waiting = Waiting::run(home.hullo(&["--json", "send", "notes", "--listen", HERE]).env(CODE, "My own code"));
    assert_eq!(waiting.code.as_deref(), Some("my-own-code"));
    assert_eq!(receive(&home, &waiting.at, "another code").0, 14);
    let ended = waiting.program.ended();
    assert_eq!(ended.code, 14, "{}", ended.err);
    assert!(ended.objects().iter().all(|event| event["event"] != "code"), "{}", ended.err);
}

/// The first words of a guess reach the end that waits, and the proof only when it is let go.
struct Held {
    at: String,
    greeted: Receiver<()>,
    go: Sender<()>,
}

impl Held {
    fn before(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = format!("tcp://{}", listener.local_addr().unwrap());
        let ((told, greeted), (go, may)) = (channel(), channel());
        thread::spawn(move || {
            let mut client = listener.accept().unwrap().0;
            let mut server = TcpStream::connect(("127.0.0.1", to)).unwrap();
            relay(&mut client, &mut server);
            relay(&mut server, &mut client);
            told.send(()).unwrap();
            may.recv().unwrap();
            let (mut back, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut client, &mut server));
            std::io::copy(&mut back, &mut to)
        });
        Self { at, greeted, go }
    }
}

/// Passes on one greeting.
fn relay(from: &mut TcpStream, to: &mut TcpStream) {
    let mut length = [0; 4];
    from.read_exact(&mut length).unwrap();
    let mut words = vec![0; u32::from_le_bytes(length) as usize];
    from.read_exact(&mut words).unwrap();
    to.write_all(&[&length[..], &words].concat()).unwrap();
}

#[test]
fn guesses_at_the_same_time_have_one_between_them() {
    let (home, waiting) = sending(&[]);
    let code = waiting.code.clone().unwrap();
    let (right, wrong) = (Held::before(waiting.port()), Held::before(waiting.port()));
    let guess = |held: &Held, code: &str| {
        let mut command = with_code(home.hullo(&["receive", "--into", "inbox", &held.at]), Some(code));
        let program = Program::start(&mut command);
        held.greeted.recv_timeout(common::PATIENCE).unwrap();
        program
    };
    let (one, two) = (guess(&wrong, &other_than(&code)), guess(&right, &code));
    // Both have been greeted with the same code. The wrong one is first.
    wrong.go.send(()).unwrap();
    assert_eq!(one.ended().code, 14);
    waiting.tells("code", 0);
    right.go.send(()).unwrap();
    assert_eq!(two.ended().code, 14, "a code that has been ended is no good to who began before");
    let next = waiting.tells("code", 0)["code"].as_str().unwrap().to_owned();
    assert_eq!(receive(&home, &waiting.at, &next).0, 0);
    let codes = waiting.program.ended().objects().into_iter().filter(|event| event["event"] == "code").count();
    assert_eq!(codes, 1, "the second of the two ended no other code");
}

#[test]
fn both_ends_must_agree_on_what_is_to_be_done() {
    let cases = [
        (&["send", "notes"][..], &["send", "notes"][..], false, false, "it wants to send too"),
        (&["receive"], &["receive"], false, false, "it wants to receive too"),
        (&["send", "notes"], &["receive"], false, true, "it wants a code"),
        (&["receive"], &["send", "notes"], true, false, "it has no code, since it trusts the wire"),
    ];
    at_once(&cases, |(first, second, plain, other_plain, why)| {
        let home = Home::new();
        home.file("notes", "hullo");
        let plain: &[&str] = if *plain { &["--plain"] } else { &[] };
        let waiting = Waiting::start(&home, &[*first, &["--listen", HERE], plain].concat());
        let code = (!other_plain).then_some("7-some-code");
        let words = [&["--json"][..], second, &[&waiting.at]].concat();
        let ended = Program::start(&mut with_code(home.hullo(&words), code)).ended();
        let error = ended.event("error");
        assert_eq!((ended.code, &error["kind"]), (2, &"usage".into()), "{}", ended.err);
        let said = error["message"].as_str().unwrap();
        assert!(said.ends_with(&format!("turned us away: {why}")), "{said}");
        assert!(!error["hint"].is_null(), "{said}");
        // That was nobody: it goes on waiting for who should come.
        let right = if first[0] == "send" { &["receive", "--into", "inbox"][..] } else { &["send", "notes"] };
        let words = [right, &[&waiting.at]].concat();
        if first[0] == "receive" {
            // What is sent is there already, at the receiver's own place.
            std::fs::rename(home.path("notes"), home.path("other")).unwrap();
            home.file("notes", "hullo");
        }
        Program::start(&mut waiting.other(&home, &words)).ended().good();
        waiting.program.ended().good();
    });
}

#[test]
fn words_that_mean_nothing_are_refused_before_anything_is_done() {
    let home = Home::new();
    home.file("notes", "hullo");
    let here = "tcp://127.0.0.1:1";
    for (words, status, why) in [
        (&["send", "nothing", here][..], 19, "cannot send nothing"),
        (&["send", "notes", "./notes", here], 2, "two of these would be called notes"),
        (&["send", "/", here], 2, "has no name"),
        (&["send", "-", "-", here], 2, "stdin can be sent only once"),
        (&["send", "-", "--times", "2", "--listen", HERE], 2, "stdin can be sent only once"),
        (&["send", "notes", here, "--times", "2"], 2, "--times is for the end that listens"),
        (&["receive", "--plain"], 2, "without a code nobody is looked for"),
        (&["receive", here, "--listen", HERE], 2, "it can listen or connect, and not both"),
        (&["receive", here, "--overwrite", "--skip"], 2, "cannot be used with"),
        (&["receive", here, "--times", "0"], 2, "a number from 1 on"),
        (&["receive", "http://127.0.0.1"], 2, "cannot send or receive over http"),
        (&["receive", "--listen", HERE, "--into", "notes"], 19, "cannot write into notes"),
        (&["receive", here], 11, "connection refused"),
    ] {
        let mut command = with_code(home.hullo(words), Some("7-some-code"));
        let ended = Program::start(&mut command).ended();
        assert_eq!(ended.code, status, "{words:?}: {}", ended.err);
        assert!(ended.err.contains(why), "{words:?}: {}", ended.err);
    }
}

#[test]
fn who_connects_and_says_what_it_likes_harms_nobody() {
    let (home, waiting) = sending(&[]);
    for said in [&b""[..], b"\n", b"GET / HTTP/1.1\r\n\r\n", &[255; 5000], &[0, 0, 0, 0], &[4, 0, 0, 0, 1, 2, 3, 4]] {
        let mut stranger = TcpStream::connect(("127.0.0.1", waiting.port())).unwrap();
        let _ = stranger.write_all(said);
        let _ = stranger.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stranger.read_to_end(&mut answer);
        assert!(answer.len() < 200, "{answer:?}");
    }
    assert_eq!(receive(&home, &waiting.at, waiting.code.as_ref().unwrap()).0, 0, "it costs no code either");
    waiting.program.ended().good();
}
