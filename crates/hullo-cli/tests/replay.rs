#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! `hullo replay`: recorded clients again, against servers that answer the same and others that do not.

mod common;

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use common::{Ended, Home, Program, Server, eventually, noise, object, peer};
use rustix::process::{Signal, geteuid};

/// Records what clients of a relay to `server` do, in `talk.pcapng`.
fn record(home: &Home, listen: &str, server: &str, talk: impl FnOnce(&Server)) {
    let mut command = home.hullo(&["relay", listen, server, "--record", "talk.pcapng"]);
    let relay = Server::start(&mut command, 1);
    talk(&relay);
    let ended = relay.interrupted();
    assert_eq!(ended.code, 0, "{}", ended.err);
}

fn replay(home: &Home, to: &str, words: &[&str]) -> Ended {
    home.run(&[&["replay", "talk.pcapng", to, "--json"], words].concat(), "")
}

/// The last line, which sums up.
#[track_caller]
fn summed(ended: &Ended) -> serde_json::Value {
    let sum = ended.objects().into_iter().find(|object| object["event"] == "replayed");
    sum.unwrap_or_else(|| panic!("no summary in {}", ended.err))
}

const FAST: &[&str] = &["--fast", "--expect"];

#[test]
fn the_same_server_answers_the_same_over_every_wire() {
    let home = Home::new();
    let socket = format!("unix:{}", home.path("echo.sock"));
    let words = ["echo", "tcp://127.0.0.1:0", "ws://127.0.0.1:0", "tls://127.0.0.1:0", &socket, "udp://127.0.0.1:0"];
    let server = home.serve(&words, 5);
    let input = noise(150_000);
    record(&home, "tcp://127.0.0.1:0", &server.at[0], |relay| {
        for _ in 0..3 {
            assert!(home.run(&["connect", &relay.at[0]], input.clone()).good() == input);
        }
    });
    for at in 0..4 {
        let ended = replay(&home, &server.client(at), FAST);
        assert_eq!(ended.code, 0, "{}: {}", server.at[at], ended.err);
        let sum = summed(&ended);
        let said = ["conversations", "sent", "received", "same"].map(|name| sum[name].as_u64().unwrap());
        assert_eq!(said, [3, 450_000, 450_000, 3], "{}", server.at[at]);
        assert_eq!(ended.out, b"", "answers are shown only where that is wanted");
    }
    let shown = replay(&home, &server.at[0], &["--fast", "--show", "--flow", "2"]);
    assert!(shown.good() == input);
    record(&home, "udp://127.0.0.1:0", &server.at[4], |relay| {
        for text in ["one", "two"] {
            assert_eq!(home.run(&["ask", &relay.at[0], text], "").text(), format!("{text}\n"));
        }
    });
    for at in [1, 4] {
        let ended = replay(&home, &server.at[at], FAST);
        assert_eq!((ended.code, summed(&ended)["same"].as_u64()), (0, Some(2)), "{}: {}", server.at[at], ended.err);
    }
}

#[test]
fn another_answer_is_shown_and_has_a_status_of_its_own() {
    let home = Home::new();
    let server = home.serve(&["greet", "tcp://127.0.0.1:0"], 1);
    record(&home, "tcp://127.0.0.1:0", &server.at[0], |relay| {
        assert_eq!(home.run(&["connect", &relay.at[0]], "").text(), "Hello, World!\r\n");
    });
    for (text, about, wanted, got) in [
        (
            "Hello, Wörld!",
            "byte 8 is c3, and was 6f",
            "48656c6c6f2c20576f726c64210d0a",
            "48656c6c6f2c2057c3b6726c64210d0a",
        ),
        ("Hello", "byte 5 is 0d, and was 2c", "48656c6c6f2c20576f726c64210d0a", "48656c6c6f0d0a"),
        ("Hello, World!\r\nAnd you?", "more than the 15 bytes of then came", "", "416e6420796f753f0d0a"),
    ] {
        let other = home.serve(&["greet", "--text", text, "tcp://127.0.0.1:0"], 1);
        let ended = replay(&home, &other.at[0], FAST);
        assert_eq!(ended.code, 22, "{text}: {}", ended.err);
        let said = ended.objects().into_iter().find(|object| object["event"] == "different").unwrap();
        assert_eq!((said["about"].as_str(), said["wanted"].as_str()), (Some(about), Some(wanted)), "{text}");
        assert_eq!(said["got"].as_str(), Some(got), "{text}");
        assert_eq!(ended.objects().last().unwrap()["kind"], "different");
        // Who does not compare does not care.
        assert_eq!(replay(&home, &other.at[0], &["--fast"]).code, 0, "{text}");
    }
    let other = home.serve(&["greet", "--text", "Hello, World?", "tcp://127.0.0.1:0"], 1);
    let ended = home.run(&["replay", "talk.pcapng", &other.at[0], "--fast", "--expect"], "");
    let lines: Vec<_> = ended.err.lines().collect();
    assert_eq!(
        lines,
        [
            "conversation 1 is different: byte 12 is 3f, and was 21",
            "- 00000000  48 65 6c 6c 6f 2c 20 57  6f 72 6c 64 21 0d 0a     Hello, World!..",
            "+ 00000000  48 65 6c 6c 6f 2c 20 57  6f 72 6c 64 3f 0d 0a     Hello, World?..",
            "1 conversations: 0 bytes said, 15 bytes answered; 0 the same, 1 different",
            &*format!("hullo: 1 of 1 conversations with {} are different", other.at[0]),
        ]
    );
}

/// An answer that does not come is a difference, and is not waited for longer than said.
#[test]
fn an_answer_that_does_not_come_is_a_difference() {
    let home = Home::new();
    let server = home.serve(&["echo", "tcp://127.0.0.1:0", "ws://127.0.0.1:0"], 2);
    let silent = home.serve(&["discard", "tcp://127.0.0.1:0", "ws://127.0.0.1:0"], 2);
    record(&home, "tcp://127.0.0.1:0", &server.at[0], |relay| {
        assert_eq!(home.run(&["ask", &relay.at[0], "hello"], "").text(), "hello\n");
    });
    let ended = replay(&home, &silent.at[0], &["--fast", "--expect", "--expect-timeout", "300ms"]);
    assert_eq!(ended.code, 22, "{}", ended.err);
    let said = ended.objects().into_iter().find(|object| object["event"] == "different").unwrap();
    assert!(said["about"].as_str().unwrap().starts_with("6 bytes of 6 did not come: "), "{said}");
    record(&home, "ws://127.0.0.1:0", &server.at[1], |relay| {
        assert_eq!(home.run(&["ask", &relay.at[0], "hello"], "").text(), "hello\n");
    });
    let ended = replay(&home, &silent.at[1], &["--fast", "--expect", "--expect-timeout", "300ms"]);
    let said = ended.objects().into_iter().find(|object| object["event"] == "different").unwrap();
    assert!(said["about"].as_str().unwrap().starts_with("1 messages of 1 did not come: "), "{said}");
    assert_eq!((ended.code, &said["wanted"], &said["number"]), (22, &"68656c6c6f".into(), &1.into()));
}

/// A program that answers at the end of its input gets that end.
#[test]
fn half_closes_are_said_again() {
    let home = Home::new();
    let server = home.serve(&["exec", "tcp://127.0.0.1:0", "--", "sort"], 1);
    record(&home, "tcp://127.0.0.1:0", &server.at[0], |relay| {
        assert_eq!(home.run(&["connect", &relay.at[0]], "b\nc\na\n").text(), "a\nb\nc\n");
    });
    let ended = replay(&home, &server.at[0], FAST);
    assert_eq!((ended.code, summed(&ended)["received"].as_u64()), (0, Some(6)), "{}", ended.err);
}

/// However fast it is: what a client said after an answer it says after that answer.
#[test]
fn causes_come_before_effects() {
    let home = Home::new();
    // It answers only where nothing more has come while it thinks.
    let script = "
import socket, sys
server = socket.create_server(('127.0.0.1', 0))
print(server.getsockname()[1])
while True:
    one, _ = server.accept()
    while True:
        said = one.recv(100)
        if not said: break
        one.settimeout(0.2)
        try:
            early = one.recv(100)
            one.sendall(b'you do not wait, ' + early if early else b'')
        except TimeoutError:
            one.sendall(b'yes, ' + said)
        one.settimeout(None)
    one.close()
";
    let Some(server) = home.python(script) else { return };
    let at = format!("tcp://127.0.0.1:{}", server.port);
    record(&home, "tcp://127.0.0.1:0", &at, |relay| {
        let mut client = TcpStream::connect(("127.0.0.1", relay.port(0))).unwrap();
        for question in [&b"one"[..], b"two", b"three"] {
            client.write_all(question).unwrap();
            let mut answer = vec![0; question.len() + 5];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(answer, [b"yes, ", question].concat());
        }
    });
    let ended = replay(&home, &at, FAST);
    assert_eq!(ended.code, 0, "{}", ended.err);
}

#[test]
fn what_tcpdump_has_captured_is_said_again() {
    let home = Home::new();
    let Some(program) = peer("tcpdump") else { return };
    if !geteuid().is_root() {
        return common::skipped("right to capture").unwrap_or_default();
    }
    let server = home.serve(&["echo", "tcp://127.0.0.1:0"], 1);
    let filter = format!("tcp port {}", server.port(0));
    let words = ["-i", "lo", "--immediate-mode", "-U", "-B", "4096", "-Z", "root", "-w", "talk.pcapng", &filter];
    let capture = Program::start(home.command(program).args(words));
    if !capture.tells(|said| Some(said.contains("listening on"))).unwrap_or_default() {
        return common::skipped("right to capture").unwrap_or_default();
    }
    let input = noise(100_000);
    assert!(home.run(&["connect", &server.at[0]], input.clone()).good() == input);
    // Both sides are in it, and the two ends and their acknowledgements.
    eventually("all of it is captured", || {
        let ended = replay(&home, "tcp://127.0.0.1:1", &["--fast"]);
        ended.err.contains("refused") && home.read("talk.pcapng").len() > 200_000
    });
    capture.signal(Signal::INT);
    capture.ended().good();
    let ended = replay(&home, &server.at[0], FAST);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(summed(&ended)["sent"], 100_000);
}

#[test]
fn what_cannot_be_replayed_is_refused() {
    let home = Home::new();
    let server = home.serve(&["echo", "tcp://127.0.0.1:0"], 1);
    record(&home, "tcp://127.0.0.1:0", &server.at[0], |relay| {
        assert_eq!(home.run(&["ask", &relay.at[0], "hello"], "").text(), "hello\n");
    });
    home.file("text", "no capture at all, but a text\n");
    home.file("empty", "");
    let at = &*server.at[0];
    for (words, code, why) in [
        (&["no-such-file", at][..], 19, "cannot read the capture no-such-file"),
        (&["text", at], 16, "neither pcapng nor pcap"),
        (&["empty", at], 16, "it is empty"),
        (&[".", at], 2, "it is no file"),
        (&["talk.pcapng", at, "--flow", "9"], 2, "there is no conversation 9"),
        (&["talk.pcapng", "http://127.0.0.1:1/"], 2, "use tcp://127.0.0.1:1"),
        (&["talk.pcapng", "tcp://127.0.0.1:1", "--fast"], 11, "conversation 1 could not be led to its end"),
        (&["talk.pcapng", at, "--speed", "0"], 2, "a speed is written like"),
        (&["talk.pcapng", at, "--speed", "2x", "--fast"], 2, "cannot be used with"),
    ] {
        let ended = home.run(&[&["replay"], words].concat(), "");
        assert_eq!(ended.code, code, "{words:?}: {}", ended.err);
        assert!(ended.err.contains(why), "{words:?}: {}", ended.err);
    }
    let bytes = home.read("talk.pcapng");
    // The second data packet is taken out: the answer is not in it any more.
    let lost = without_packet(&bytes, 5);
    home.file("talk.pcapng", lost);
    let ended = replay(&home, at, FAST);
    let error = ended.err.lines().map(object).find(|line| line["event"] == "error").unwrap();
    assert_eq!((ended.code, error["kind"].as_str()), (15, Some("cut")));
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("conversation 1, 127.0.0.1:") && message.contains("6 bytes are missing"), "{message}");
}

/// A recording without its packet of that number.
fn without_packet(bytes: &[u8], number: usize) -> Vec<u8> {
    let (mut left, mut at, mut seen) = (Vec::new(), 0, 0);
    while at < bytes.len() {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let length = word(at + 4) as usize;
        seen += usize::from(word(at) == 6);
        if word(at) != 6 || seen != number {
            left.extend_from_slice(&bytes[at..at + length]);
        }
        at += length;
    }
    left
}

/// With its timing a conversation takes as long as it did, or as much less as it is faster.
#[test]
fn time_passes_as_it_did() {
    let home = Home::new();
    let server = home.serve(&["echo", "tcp://127.0.0.1:0"], 1);
    record(&home, "tcp://127.0.0.1:0", &server.at[0], |relay| {
        let mut client = TcpStream::connect(("127.0.0.1", relay.port(0))).unwrap();
        for _ in 0..2 {
            client.write_all(b"hello").unwrap();
            client.read_exact(&mut [0; 5]).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(400));
        }
    });
    let took = |words: &[&str]| {
        let ended = replay(&home, &server.at[0], &[&["--expect"], words].concat());
        assert_eq!(ended.code, 0, "{}", ended.err);
        ended.took.as_millis()
    };
    // Never earlier: how much later it is says more of the machine.
    let (as_it_was, faster) = (took(&[]), took(&["--speed", "2x"]));
    assert!(as_it_was >= 800 && faster >= 400, "{as_it_was} ms, and {faster} ms");
}
