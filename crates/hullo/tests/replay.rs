#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! When a replay says what: on a simulated link under a paused clock, where a second takes no time and is exact.

mod common;

use std::{
    fs::File,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use common::{By, Folder, address, serving};
use hullo::{
    Kind, Link, Message, Result, Scope, Server,
    capture::{self, Conversation},
    framing,
    replay::{self, News, Outcome, Pace, Plan, Summary},
};
use tokio::time::Instant;

/// A packet of a capture: its time in milliseconds, whose conversation it belongs to, and what it says.
type Packet<'a> = (u64, u16, Says<'a>);

#[derive(Clone, Copy)]
enum Says<'a> {
    Opens,
    Client(&'a str),
    Server(&'a str),
    ClientEnds,
    ServerEnds,
}
use Says::{Client, ClientEnds, Opens, Server as Serves, ServerEnds};

/// A capture of these packets, without anything that is not needed.
fn captured(folder: &Folder, packets: &[Packet<'_>]) -> (File, Vec<Conversation>) {
    let mut file = words(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 101]);
    for (at, packet) in packets.iter().enumerate() {
        let bytes = segment(packet, &packets[..at]);
        let (seconds, micros) = (1_000 + packet.0 / 1000, packet.0 % 1000 * 1000);
        file.extend(words(&[seconds as u32, micros as u32, bytes.len() as u32, bytes.len() as u32]));
        file.extend(bytes);
    }
    let path = folder.path().join("talk.pcap");
    std::fs::write(&path, file).unwrap();
    let (file, capture) = capture::open(&path).unwrap();
    (file, capture.conversations)
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A packet of TCP between ports that say whose it is, numbered by what was said before it.
fn segment((_, flow, says): &Packet<'_>, before: &[Packet<'_>]) -> Vec<u8> {
    let up = |says: &Says<'_>| matches!(says, Opens | Client(_) | ClientEnds);
    let bytes = |says: &Says<'_>| match *says {
        Client(text) | Serves(text) => text.as_bytes().to_vec(),
        _ => Vec::new(),
    };
    let earlier = before.iter().filter(|(_, other, said)| other == flow && up(said) == up(says));
    let opens = matches!(says, Opens);
    let number = if opens { 99 } else { 100 + earlier.map(|(.., said)| bytes(said).len()).sum::<usize>() } as u32;
    let (client, server) = (flow.to_be_bytes(), 7007_u16.to_be_bytes());
    let (from, to) = if up(says) { (client, server) } else { (server, client) };
    let flags = match says {
        Opens => 0x02,
        ClientEnds | ServerEnds => 0x11,
        _ => 0x10,
    };
    let payload = bytes(says);
    let mut packet = vec![0x45, 0];
    packet.extend((40 + payload.len() as u16).to_be_bytes());
    packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1 + u8::from(!up(says)), 10, 0, 0, 1 + u8::from(up(says))]);
    packet.extend([from, to].concat());
    packet.extend(number.to_be_bytes());
    // Nothing is acknowledged: what has come in order is known without it.
    packet.extend(100_u32.to_be_bytes());
    packet.extend([0x50, flags, 4, 0, 0, 0, 0, 0]);
    packet.extend(payload);
    packet
}

/// What a server has heard: when, and what.
type Heard = Arc<Mutex<Vec<(u128, String)>>>;

/// A server that remembers all it hears, and answers each piece as `answer` says.
async fn listening(room: &str, answer: fn(&str) -> Option<String>) -> (Server, Heard) {
    let heard = Heard::default();
    let (told, begun) = (heard.clone(), Instant::now());
    let service = By(move |link: Link| {
        let told = told.clone();
        let tell = move |what: String| told.lock().unwrap().push((begun.elapsed().as_millis(), what));
        async move {
            let mut session = link.session(&framing::raw::SPEC);
            while let Some(message) = session.recv().await? {
                let said = message.to_text().into_owned();
                tell(said.clone());
                if let Some(answer) = answer(&said) {
                    session.send(Message::text(answer)).await?;
                }
            }
            tell("end".to_owned());
            session.close().await
        }
    });
    (serving(&format!("memory:{room}"), Arc::new(service)).await, heard)
}

async fn replayed(
    server: &Server,
    (file, conversations): (File, Vec<Conversation>),
    pace: Pace,
    expect: bool,
) -> (Summary, Vec<String>) {
    let plan = Plan { pace, expect, ..Plan::to(server.address().clone()) };
    let over = Arc::new(Mutex::new(Vec::new()));
    let told = over.clone();
    let tell = move |news: News<'_>| {
        if let News::Over(Outcome { difference, error, .. }) = news {
            assert!(error.is_none(), "{error:?}");
            told.lock().unwrap().push(difference.as_ref().map_or("same", |difference| &difference.about).to_owned());
        }
    };
    let summary = replay::replay(file, conversations, &plan, &Scope::default(), Arc::new(tell)).await.unwrap();
    let over = over.lock().unwrap().clone();
    (summary, over)
}

fn echo(said: &str) -> Option<String> {
    Some(said.to_owned())
}

/// Two conversations at once, and one that comes when both are over.
const TALK: &[Packet<'static>] = &[
    (0, 5001, Opens),
    (1_000, 5001, Client("a1")),
    (1_010, 5001, Serves("a1")),
    (2_000, 5002, Opens),
    (2_500, 5002, Client("b1")),
    (2_510, 5002, Serves("b1")),
    (3_000, 5001, Client("a2")),
    (3_010, 5001, Serves("a2")),
    (3_500, 5001, ClientEnds),
    (3_510, 5001, ServerEnds),
    (4_000, 5002, ClientEnds),
    (4_010, 5002, ServerEnds),
    (60_000, 5003, Opens),
    (60_000, 5003, Client("c1")),
    (60_010, 5003, Serves("c1")),
    (60_020, 5003, ClientEnds),
    (60_030, 5003, ServerEnds),
];

#[tokio::test(start_paused = true)]
async fn with_its_timing_everything_comes_when_it_came() {
    let folder = Folder::new();
    for (speed, room) in [(1.0, "as-it-was"), (2.0, "twice"), (0.5, "half")] {
        let (server, heard) = listening(room, echo).await;
        let (summary, over) = replayed(&server, captured(&folder, TALK), Pace::Recorded(speed), true).await;
        assert_eq!((summary.conversations, summary.same), (3, 3), "{over:?}");
        let wanted = [(1_000, "a1"), (2_500, "b1"), (3_000, "a2"), (3_500, "end"), (4_000, "end"), (60_000, "c1")];
        let heard = heard.lock().unwrap().clone();
        for ((at, said), (then, wanted)) in heard.iter().zip(wanted) {
            let then = (f64::from(then) / speed) as u128;
            assert!(
                said == wanted && (then..then + 5).contains(at),
                "{speed}: {said} at {at}, {wanted} then at {then}"
            );
        }
        assert_eq!(heard.len(), 7, "{heard:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn fast_it_waits_for_nothing_but_answers() {
    let folder = Folder::new();
    let (server, heard) = listening("fast", echo).await;
    let begun = Instant::now();
    let (summary, _) = replayed(&server, captured(&folder, TALK), Pace::Fast, true).await;
    assert_eq!(summary.same, 3);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let said: Vec<_> = heard.lock().unwrap().iter().map(|(_, said)| said.clone()).collect();
    let at = |what: &str| said.iter().position(|said| said == what).unwrap();
    assert!(at("a1") < at("a2"), "{said:?}");
    // The third client came when the others had gone, and so it does again.
    assert_eq!(at("c1"), said.len() - 2, "{said:?}");
}

/// Answers of another length do not stop a client for ever: it waits as long as it is told, once.
#[tokio::test(start_paused = true)]
async fn a_server_that_says_less_holds_the_client_only_once() {
    let folder = Folder::new();
    let (server, heard) = listening("less", |said| (said != "a1").then(|| said.to_owned())).await;
    let begun = Instant::now();
    let (summary, over) = replayed(&server, captured(&folder, &TALK[..12]), Pace::Fast, true).await;
    assert_eq!((summary.same, summary.different), (1, 1));
    assert!(over.iter().any(|about| about == "byte 1 is 32, and was 31"), "{over:?}");
    assert_eq!(heard.lock().unwrap().len(), 5, "all of it is said all the same");
    assert!((5..11).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_end_that_does_not_come_is_a_difference() {
    let folder = Folder::new();
    let service = By(|link: Link| async move {
        let mut session = link.session(&framing::raw::SPEC);
        while let Some(message) = session.recv().await? {
            session.send(message).await?;
        }
        session.flush().await?;
        std::future::pending::<Result<()>>().await
    });
    let server = serving("memory:no-end", Arc::new(service)).await;
    let (summary, over) = replayed(&server, captured(&folder, &TALK[..12]), Pace::Fast, true).await;
    assert_eq!(summary.different, 2);
    assert_eq!(over[0], "the other end did not end within 5s, as it did then");
}

#[tokio::test(start_paused = true)]
async fn messages_are_compared_one_by_one() {
    let folder = Folder::new();
    let service = By(|link: Link| async move {
        let mut session = link.session(&framing::raw::SPEC);
        while let Some(message) = session.recv().await? {
            session.send(Message { bytes: Bytes::from([&message.bytes[..], b"!"].concat()), ..message }).await?;
        }
        session.close().await
    });
    let server = serving("memory:packets?packets=true", Arc::new(service)).await;
    let (file, mut conversations) = captured(&folder, &TALK[12..]);
    // A recording of datagrams says so; here it is said for it.
    conversations[0].messages = true;
    let plan = Plan { pace: Pace::Fast, expect: true, ..Plan::to(server.address().bare()) };
    let about = Arc::new(Mutex::new(None));
    let told = about.clone();
    let tell = move |news: News<'_>| {
        if let News::Over(outcome) = news {
            assert!(outcome.error.is_none(), "{outcome:?}");
            *told.lock().unwrap() = outcome.difference.clone();
        }
    };
    replay::replay(file, conversations, &plan, &Scope::default(), Arc::new(tell)).await.unwrap();
    let difference = about.lock().unwrap().clone().unwrap();
    assert_eq!(difference.about, "message 1 has 3 bytes, and had 2");
    assert_eq!((difference.wanted, difference.got), (b"c1".to_vec(), b"c1!".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn a_conversation_with_a_gap_is_refused_before_anything_is_said() {
    let folder = Folder::new();
    let (server, heard) = listening("gap", echo).await;
    let (file, mut conversations) = captured(&folder, TALK);
    conversations[2].fault = Some("something is missing".to_owned());
    let plan = Plan::to(address(&server.address().to_string()));
    let refused = replay::replay(file, conversations, &plan, &Scope::default(), Arc::new(|_| {})).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Cut);
    let about = "conversation 3, 10.0.0.1:5003 to 10.0.0.2:7007, cannot be led again: something is missing";
    assert_eq!(refused.to_string(), about);
    assert!(heard.lock().unwrap().is_empty());
}
