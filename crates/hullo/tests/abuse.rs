#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! Clients that mean no good, or know no better: the server lives, stays bounded, and serves the next one.
//!
//! What is said in HTTP is in `abuse_http.rs`, what is said in datagrams in `udp.rs`.

mod common;

use std::time::Duration;

use bytes::BytesMut;
use common::{Folder, Raw, Told, in_time, service, serving, serving_in, shell, still_serves, text, with};
use futures_util::future::join_all;
use hullo::{Address, Kind, Limits, Message, Scope, Server, framing, websocket};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc::UnboundedReceiver,
    time::timeout,
};

const QUESTION: &str = r#"{"a":1}"#;
const ANSWER: &str = r#"{"status":"success","message":"received","data":{"a":1}}"#;

/// The opening of a WebSocket, and of an HTTP request with a long body.
const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n";

/// A message as a client's frame; the mask of zeros is as good as any.
fn frame(message: &Message) -> BytesMut {
    let mut frame = BytesMut::new();
    websocket::write(message, None, Some([0; 4]), &mut frame);
    frame
}

/// A server of that service on the address, and the folder that it keeps its certificate and its sockets in.
async fn here(at: &str, name: &str) -> (Server, Address, Folder) {
    let folder = Folder::new();
    let scope = Scope::on_cores(Limits::server(), None, Vec::new(), Some(folder.path().into()));
    let server = serving_in(scope, &folder.address(at).to_string(), service(name)).await;
    let secure = ["tls", "https", "wss"].contains(&server.address().scheme.as_str());
    let to = with(&server.address().bare(), if secure { "insecure=true" } else { "" });
    (server, to, folder)
}

// Silence.

#[tokio::test]
async fn who_connects_and_says_nothing_is_let_go() {
    for at in [
        "tcp://127.0.0.1:0?idle=100ms&timeout=1h",
        // What is waited for here is a handshake, which has its own time.
        "tls://127.0.0.1:0?idle=1h&timeout=100ms",
        "https://127.0.0.1:0?idle=1h&timeout=100ms",
        "wss://127.0.0.1:0?idle=1h&timeout=100ms",
        "ws://127.0.0.1:0?idle=100ms&timeout=1h",
        "http://127.0.0.1:0?idle=100ms&timeout=1h",
    ] {
        let (_server, to, _folder) = here(at, "json").await;
        Raw::to(&to).await.rest().await;
        still_serves(&to, QUESTION, ANSWER).await;
    }
}

/// Nothing is in flight with somebody who has not even begun.
#[tokio::test]
async fn who_says_nothing_does_not_hold_up_the_end() {
    for scheme in ["tcp", "tls", "ws", "wss", "http", "https"] {
        let (mut server, to, _folder) = here(&format!("{scheme}://127.0.0.1:0?timeout=1h"), "json").await;
        let mut silent = Raw::to(&to).await;
        // Connections are taken in order: when this one is served, the silent one has been taken.
        still_serves(&to, QUESTION, ANSWER).await;
        assert!(in_time(scheme, server.end(Duration::from_secs(5))).await, "{scheme} waits for who says nothing");
        assert_eq!(silent.rest().await, "", "{scheme}");
    }
}

#[tokio::test]
async fn who_stops_talking_is_let_go() {
    for at in ["tcp://127.0.0.1:0", "tls://127.0.0.1:0", "unix:{dir}/here", "ws://127.0.0.1:0", "memory:{dir}"] {
        for name in ["convert", "discard", "echo", "exec", "json"] {
            let (_server, to, _folder) = here(&format!("{at}?idle=100ms"), name).await;
            let mut session = hullo::dial(&to, &Scope::default()).await.unwrap().session(&framing::lines::SPEC);
            session.send("1".into()).await.unwrap();
            let what = format!("{name} on {at}");
            // Some say why before they close, and some just close.
            in_time(&what, async { while let Ok(Some(_)) = session.recv().await {} }).await;
        }
    }
}

/// The client has said its all, the program says nothing: nothing moves either way.
#[tokio::test]
async fn a_program_that_hangs_is_ended_with_its_conversation() {
    for line in ["exec sleep 1000", "sleep 1000 & sleep 1000"] {
        let (told, mut ends) = Told::of(shell(line));
        let server = serving("tcp://127.0.0.1:0?idle=100ms", told).await;
        let mut client = Raw::to(server.address()).await;
        client.0.shutdown().await.unwrap();
        in_time(line, ends.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn a_program_is_ended_when_its_client_is_cut_off() {
    let (told, mut ends) = Told::of(shell("exec sleep 1000"));
    let server = serving("tcp://127.0.0.1:0", told).await;
    let mut client = Raw::to(server.address()).await;
    client.say("hullo").await;
    client.reset();
    in_time("the end of the program", ends.recv()).await.unwrap();
}

// Slowness.

#[tokio::test]
async fn one_byte_at_a_time_is_answered_like_all_at_once() {
    let request = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{QUESTION}", QUESTION.len());
    let socket = [UPGRADE.as_bytes(), &frame(&QUESTION.into())].concat();
    for (at, bytes) in [
        ("tcp://127.0.0.1:0", QUESTION.as_bytes()),
        ("tcp://127.0.0.1:0?frame=lines", format!("{QUESTION}\r\n").as_bytes()),
        ("tcp://127.0.0.1:0?frame=len32", format!("\0\0\0\x07{QUESTION}").as_bytes()),
        ("http://127.0.0.1:0", request.as_bytes()),
        ("ws://127.0.0.1:0", &socket),
    ] {
        let (_server, to, _folder) = here(at, "json").await;
        let mut client = Raw::to(&to).await;
        client.0.set_nodelay(true).unwrap();
        for byte in bytes {
            client.say([*byte]).await;
            tokio::task::yield_now().await;
        }
        client.until(ANSWER).await;
    }
}

/// The output of a program that has ended waits for a reader who takes their time. It lies in the program's pipe, in
/// our hands and in the socket; how much in each is for the kernel to say, so that several sizes are tried.
#[tokio::test]
async fn who_reads_late_gets_all_that_a_program_said() {
    const LATE: Duration = Duration::from_millis(1500);
    let one = async |size: usize| {
        let folder = Folder::new();
        let at = folder.address("unix:{dir}/here").to_string();
        let server = serving(&at, shell(&format!("head -c {size} /dev/zero"))).await;
        let mut stream = hullo::dial(server.address(), &Scope::default()).await.unwrap().stream();
        // Time is what this is about: the program has long ended when the reader comes back.
        tokio::time::sleep(LATE).await;
        let mut said = Vec::new();
        in_time("the output", stream.read_to_end(&mut said)).await.unwrap();
        assert_eq!(said.len(), size);
    };
    join_all((1..=10).map(|step| one(step * 50_000))).await;
}

// Floods.

/// More than the kernel's buffers at both ends hold, which is the most that anybody may get rid of.
const FLOOD: usize = 128 << 20;

/// A writer that was blocked for so long has nobody who takes anything more from it.
const BLOCKED: Duration = Duration::from_millis(300);

#[tokio::test]
async fn who_floods_and_does_not_read_is_slowed_down_and_not_stored() {
    let message = frame(&Message::binary(vec![b'x'; 60_000]));
    let ping = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[b'x'; 125]].concat().repeat(500);
    let chunk = [b"10000\r\n", &[b'x'; 65_536][..], b"\r\n"].concat();
    let chunked = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let gets = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    for (what, at, name, opening, block) in [
        ("bytes", "tcp://127.0.0.1:0", "echo", "", &[b'x'; 65_536][..]),
        ("bytes", "tcp://127.0.0.1:0", "exec", "", &[b'x'; 65_536]),
        ("lines", "tcp://127.0.0.1:0", "json", "", &b"1\n".repeat(5000)),
        ("lines", "tcp://127.0.0.1:0", "convert", "", &b"1\n".repeat(5000)),
        ("messages", "ws://127.0.0.1:0", "echo", UPGRADE, &message),
        ("pings", "ws://127.0.0.1:0", "echo", UPGRADE, &ping),
        ("a body", "http://127.0.0.1:0", "echo", chunked, &chunk),
        ("requests", "http://127.0.0.1:0", "echo", "", gets.as_bytes()),
    ] {
        let (_server, to, _folder) = here(at, name).await;
        let mut client = Raw::to(&to).await;
        // The client's own buffers are no part of the question.
        SockRef::from(&client.0).set_recv_buffer_size(4096).unwrap();
        client.say(opening).await;
        let taken = flood(&mut client.0, block).await;
        assert!(taken < FLOOD, "{name} on {at} took {taken} bytes of {what} from one who reads nothing");
        let (question, answer) =
            if name == "json" { (QUESTION, ANSWER) } else { ("1", if name == "convert" { "33.8 °F" } else { "1" }) };
        still_serves(&to, question, answer).await;
    }
}

/// Writes until nothing more is taken; says how much was.
async fn flood<W: tokio::io::AsyncWrite + Unpin>(to: &mut W, block: &[u8]) -> usize {
    let mut taken = 0;
    while taken < FLOOD {
        match timeout(BLOCKED, to.write(&block[taken % block.len()..])).await {
            Ok(written) => taken += written.unwrap(),
            Err(_) => break,
        }
    }
    taken
}

/// The same where there are no buffers but ours, on a clock of its own.
#[tokio::test(start_paused = true)]
async fn what_we_hold_for_somebody_who_does_not_read_is_bounded() {
    /// What a simulated link itself holds, both ways.
    const LINK: usize = 2 * 64 * (64 << 10);
    for (name, block) in [("echo", vec![b'x'; 65_536]), ("json", b"1\n".repeat(5000)), ("convert", b"1\n".repeat(5000))]
    {
        let (_server, to, _folder) = here("memory:{dir}", name).await;
        let mut stream = hullo::dial(&to, &Scope::default()).await.unwrap().stream();
        let taken = flood(&mut stream, &block).await;
        assert!(taken < LINK + (1 << 20), "{name} took {taken} bytes");
    }
}

#[tokio::test]
async fn an_answer_without_an_end_is_an_error_to_who_asked() {
    let (_server, to, _folder) = here("http://127.0.0.1:0", "chargen").await;
    let asked = in_time("chargen", hullo::ask_in(&to, Some("go".into()), &Scope::default(), None)).await;
    assert_eq!(asked.map(|answer| answer.bytes.len()).map_err(|error| error.kind()), Err(Kind::TooLarge));
}

// Size.

#[tokio::test]
async fn a_message_over_max_is_an_error_to_its_sender_alone() {
    let long = "x".repeat(1025);
    let list = format!("[{}", "1,".repeat(600));
    for (at, frame, name, bytes) in [
        ("tcp://127.0.0.1:0", "", "convert", long.clone()),
        ("tcp://127.0.0.1:0", "", "convert", format!("{long}\n")),
        ("tcp://127.0.0.1:0", "frame=lines", "convert", format!("{long}x")),
        ("tcp://127.0.0.1:0", "frame=nul", "convert", format!("{long}x")),
        ("tcp://127.0.0.1:0", "frame=len32", "convert", "\0\0\x04\x01".to_owned()),
        ("tcp://127.0.0.1:0", "", "json", list),
        ("tls://127.0.0.1:0", "", "convert", long.clone()),
        ("unix:{dir}/here", "", "convert", long),
    ] {
        let what = format!("{name} on {at} {frame}");
        let (_server, to, _folder) = here(&format!("{at}?max=1k&{frame}"), name).await;
        let (good, answer) = if name == "json" { (QUESTION, ANSWER) } else { ("0", "32 °F") };
        let bystander = hullo::dial(&with(&to, frame), &Scope::default()).await.unwrap();
        let mut bystander = bystander.session(&framing::lines::SPEC);

        let mut stream = hullo::dial(&to, &Scope::default()).await.unwrap().stream();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut said = Vec::new();
        in_time(&what, stream.read_to_end(&mut said)).await.unwrap();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("a message is longer than 1024 bytes"), "{what}: {said}");

        bystander.send(good.into()).await.unwrap();
        let heard = text(in_time(&what, bystander.recv()).await.unwrap());
        assert_eq!(heard.as_deref(), Some(answer), "{what}: the bystander");
    }
}

#[tokio::test]
async fn a_line_without_an_end_is_given_up() {
    let (_server, to, _folder) = here("tcp://127.0.0.1:0?max=64k", "convert").await;
    let (mut reader, mut writer) = Raw::to(&to).await.0.into_split();
    let endless = tokio::spawn(async move { while writer.write_all(&[b'x'; 65_536]).await.is_ok() {} });
    let mut said = Vec::new();
    // The reset that ends the writer may come before all has been read.
    let _ = in_time("an error", reader.read_to_end(&mut said)).await;
    drop(reader);
    in_time("the end of writing", endless).await.unwrap();
    assert!(String::from_utf8_lossy(&said).contains("longer than 65536 bytes"), "{}", String::from_utf8_lossy(&said));
    still_serves(&to, "0", "32 °F").await;
}

#[tokio::test]
async fn a_websocket_says_by_its_code_what_was_wrong() {
    let too_long = frame(&Message::binary(vec![b'x'; 1025]));
    for (what, bytes, code) in [
        ("a message over max", &too_long[..], 1009u16),
        ("the head of one", &[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0], 1009),
        ("a text that is not UTF-8", &[0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28], 1007),
        ("a frame without a mask", &[0x81, 0x01, b'x'], 1002),
    ] {
        let (_server, to, _folder) = here("ws://127.0.0.1:0?max=1k", "echo").await;
        let mut client = Raw::to(&to).await;
        client.say(UPGRADE).await;
        client.until("\r\n\r\n").await;
        client.say(bytes).await;
        let mut heard = Vec::new();
        in_time(what, client.0.read_to_end(&mut heard)).await.unwrap();
        let [0x88, _, high, low, ..] = heard[..] else { panic!("{what}: {heard:?} is no farewell") };
        assert_eq!(u16::from_be_bytes([high, low]), code, "{what}");
        still_serves(&to, "1", "1").await;
    }
}

// Nonsense.

#[tokio::test]
async fn what_is_not_utf8_is_refused_and_the_conversation_goes_on() {
    for at in ["tcp://127.0.0.1:0", "tls://127.0.0.1:0", "udp://127.0.0.1:0", "ws://127.0.0.1:0", "unix:{dir}/here"] {
        for (name, refusal, good, answer) in
            [("json", "not UTF-8", QUESTION, ANSWER), ("convert", "is not a temperature", "0", "32 °F")]
        {
            let what = format!("{name} on {at}");
            let (_server, to, _folder) = here(at, name).await;
            let mut session = hullo::dial(&to, &Scope::default()).await.unwrap().session(&framing::lines::SPEC);
            session.send(Message::binary(&b"\"\xff\xfe\""[..])).await.unwrap();
            let said = text(in_time(&what, session.recv()).await.unwrap()).unwrap();
            assert!(said.contains(refusal), "{what}: {said}");
            session.send(good.into()).await.unwrap();
            assert_eq!(text(in_time(&what, session.recv()).await.unwrap()).as_deref(), Some(answer), "{what}");
        }
    }
}

// Resets.

#[tokio::test]
async fn resets_harm_nobody_else() {
    for (at, name, bytes) in [
        ("tcp://127.0.0.1:0", "echo", "hullo"),
        ("tcp://127.0.0.1:0", "exec", "hullo"),
        ("tcp://127.0.0.1:0", "chargen", ""),
        ("tcp://127.0.0.1:0", "json", "{\"half\":"),
        ("tls://127.0.0.1:0", "json", "\x16\x03\x01"),
        ("ws://127.0.0.1:0", "json", UPGRADE),
        ("ws://127.0.0.1:0", "json", "GET / HT"),
        ("http://127.0.0.1:0", "json", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("http://127.0.0.1:0", "echo", POST),
    ] {
        let (_server, to, _folder) = here(at, name).await;
        for _ in 0..20 {
            let mut client = Raw::to(&to).await;
            client.say(bytes).await;
            client.reset();
            Raw::to(&to).await.reset();
        }
        match name {
            "json" => still_serves(&to, QUESTION, ANSWER).await,
            "chargen" => drop(Raw::to(&to).await.until("\r\n").await),
            _ => still_serves(&to, "hullo", "hullo").await,
        }
    }
}

// Crowds.

/// Lets this process have the sockets of both ends.
fn allow_files(count: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < count) {
        let more = Rlimit { current: Some(count), maximum: limit.maximum };
        setrlimit(Resource::Nofile, more).unwrap_or_else(|error| panic!("this test needs {count} files: {error}"));
    }
}

#[tokio::test]
async fn two_thousand_at_once_are_served_and_so_is_the_next() {
    const CROWD: usize = 2000;
    allow_files(2 * CROWD as u64 + 500);
    let (_server, to, _folder) = here("tcp://127.0.0.1:0", "echo").await;
    let mut crowd = in_time("2,000 connections", join_all((0..CROWD).map(|_| Raw::to(&to)))).await;
    still_serves(&to, "hullo", "hullo").await;
    let each = crowd.iter_mut().enumerate().map(|(number, client)| async move {
        client.say(format!("{number}\n")).await;
        assert_eq!(client.until("\n").await, format!("{number}\n"));
    });
    in_time("2,000 answers", join_all(each)).await;
}

fn limited(limit: impl Fn(&mut Limits)) -> Scope {
    let mut limits = Limits::server();
    limit(&mut limits);
    Scope::new(limits, None)
}

#[tokio::test]
async fn one_address_has_only_so_many_places() {
    let scope = limited(|limits| limits.max_per_peer = 2);
    let (told, mut ends) = Told::of(service("echo"));
    let server = serving_in(scope, "tcp://127.0.0.1:0", told).await;
    let (one, _two) = (taken_in(server.address()).await, taken_in(server.address()).await);
    assert_eq!(Raw::to(server.address()).await.rest().await, "", "the third is sent away");
    drop(one);
    leaves(&mut ends).await;
    taken_in(server.address()).await;
}

/// A client that is being served.
async fn taken_in(server: &Address) -> Raw {
    let mut client = Raw::to(server).await;
    client.say("hullo\n").await;
    client.until("\n").await;
    client
}

/// The end of a conversation, and of the place that it had.
async fn leaves(ends: &mut UnboundedReceiver<()>) {
    in_time("the end of a conversation", ends.recv()).await.unwrap();
    tokio::task::yield_now().await;
}

#[tokio::test]
async fn there_are_only_so_many_places_and_who_has_none_waits() {
    let scope = limited(|limits| limits.max_connections = 2);
    let (told, mut ends) = Told::of(service("echo"));
    let server = serving_in(scope, "tcp://127.0.0.1:0", told).await;
    let (mut one, two) = (taken_in(server.address()).await, taken_in(server.address()).await);
    let mut third = Raw::to(server.address()).await;
    third.say("hullo\n").await;
    // The third has been there for longer than this question takes.
    one.say("still here\n").await;
    one.until("\n").await;
    assert!(third.0.try_read(&mut [0; 64]).is_err(), "the third has no place yet");
    drop(two);
    leaves(&mut ends).await;
    assert_eq!(third.until("\n").await, "hullo\n", "the third has the second one's place");
}

/// Connections that wait to be accepted take no place from others, and are not forgotten.
#[tokio::test]
async fn a_crowd_that_goes_away_leaves_its_places() {
    let scope = limited(|limits| limits.max_connections = 3);
    let server = serving_in(scope, "tcp://127.0.0.1:0", service("echo")).await;
    for _ in 0..50 {
        let crowd = join_all((0..10).map(|_| TcpStream::connect(server.address().authority()))).await;
        drop(crowd);
    }
    still_serves(server.address(), "hullo", "hullo").await;
}
