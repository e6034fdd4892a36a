//! What each fuzz target does with its bytes. `cargo test` runs the same over the corpus, without libFuzzer.
//!
//! That nothing panics is the least of it: each asserts what the parser promises.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::BytesMut;
use http::{Method, Version};
use hullo::{
    Address, Certificate, Endpoint, Link, Message, Peer, Scope, Service,
    capture::{self, What},
    chat::{
        Asked, Event,
        line::{Lines, said},
        name,
        text::clean,
        typed::{Typed, typed},
    },
    fault::{Fault, Faults, Out},
    framing::{FRAMINGS, Framing},
    http1::{Chunks, Head, Length, Line, Piece, Search, read},
    reliable::{Connection, packet::Packet},
    traffic::Way,
    transfer::{
        self, Code, Existing, Host, Lock, Source, Work,
        words::{self, Answer, Frame, Told},
    },
    websocket::{Reader, Received, Role, accept, write},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::Builder,
};

#[path = "bodies/load.rs"]
mod load;
#[path = "bodies/proxies.rs"]
mod proxies;
#[path = "bodies/tls.rs"]
mod tls;

pub use load::{bench, bench_messages, stamps};
pub use proxies::{connect, proxy, socks};
pub use tls::tls;

/// A target: its name, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target, by the name of its folder in `fuzz/corpus`.
pub const TARGETS: &[Target] = &[
    ("address", address),
    ("bench", bench),
    ("bench_messages", bench_messages),
    ("capture", capture),
    ("certificate", certificate),
    ("chat", chat),
    ("chunked", chunked),
    ("connect", connect),
    ("fault", fault),
    ("framing", framing),
    ("head", head),
    ("packet", packet),
    ("proxy", proxy),
    ("socks", socks),
    ("stamps", stamps),
    ("tls", tls),
    ("transfer_words", transfer_words),
    ("transfer_work", transfer_work),
    ("websocket", websocket),
];

/// A capture is read or refused. What is found in it lies within it and within its end, and an end is the last of its side.
pub fn capture(bytes: &[u8]) {
    let Ok(capture) = capture::read(bytes) else { return };
    for conversation in &capture.conversations {
        let mut ended = [false; 2];
        for event in &conversation.events {
            let ended = &mut ended[usize::from(event.way == Way::Down)];
            match event.what {
                What::Piece(piece) => {
                    assert!(piece.offset + u64::from(piece.length) <= bytes.len() as u64, "{piece:?} is outside");
                    assert!(!*ended, "{piece:?} comes after the end");
                }
                What::End => assert!(!std::mem::replace(ended, true), "it ends twice"),
                What::Reset => {}
            }
        }
    }
}

/// What is read as an address is written as one that reads the same.
pub fn address(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(address) = text.parse::<Address>() {
        let written = address.to_string();
        assert_eq!(written.parse().ok(), Some(address.clone()), "{text:?} is written as {written:?}");
        let _ = (address.bare().to_string(), address.target(), address.authority());
    }
    if let Ok(resource) = Address::resource(text) {
        let written = resource.to_string();
        assert_eq!(Address::resource(&written).ok(), Some(resource), "{text:?} is written as {written:?}");
    }
}

/// What is read as a certificate has no key that is longer than it, and stays the same where something stands behind it.
pub fn certificate(bytes: &[u8]) {
    let Some(read) = Certificate::read(bytes) else { return };
    assert!(read.bits <= bytes.len() * 8 || read.key.starts_with("ECDSA "), "{read:?}");
    let mut again = Certificate::read(&[bytes, b"something"].concat());
    // It is that of all the bytes.
    again.iter_mut().for_each(|again| again.fingerprint.clone_from(&read.fingerprint));
    assert_eq!(again, Some(read));
}

/// Text as a request, an event, a typed line, something said, and names. What is read is written as what reads the same,
/// and whatever it is, no line that a person reads steers a terminal or begins as another's would.
pub fn chat(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    json_again::<Asked>(text);
    if let Some(event) = json_again::<Event>(text) {
        let lines = Lines { me: "ann".to_owned(), current: "lobby".to_owned() };
        harmless(&lines.line(&event).unwrap_or_default());
    }
    harmless(&said(text, text, text.len() % 2 == 0, Some(text)));
    if let Ok(Typed::Ask(ask)) = typed(text, "lobby") {
        let written = serde_json::to_string(&Asked { tag: None, ask }).unwrap_or_default();
        assert!(json_again::<Asked>(&written).is_some(), "{text:?} is asked for as {written:?}");
    }
    names(text);
}

/// What a text is as a word of a chat, if it is one.
fn json_again<W: Serialize + DeserializeOwned + PartialEq>(text: &str) -> Option<W> {
    let word = serde_json::from_str::<W>(text).ok()?;
    let written = serde_json::to_string(&word).unwrap_or_default();
    assert!(serde_json::from_str(&written).is_ok_and(|again: W| again == word), "{text:?} is written as {written:?}");
    Some(word)
}

fn harmless(line: &str) {
    assert!(!line.contains(|c: char| c.is_control() && c != '\n'), "{line:?}");
    assert!(!line.contains(|c: char| matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')), "{line:?}");
    assert!(line.split('\n').skip(1).all(|more| more.starts_with("  | ")), "{line:?}");
    assert_eq!(clean(line, true), line);
}

/// A name stays what it is, and its private rooms name it.
fn names(text: &str) {
    if let Ok(nick) = name::nick(text) {
        assert_eq!(clean(&nick.shown, false), nick.shown);
        let room = name::private(&nick.shown, "ann");
        assert!(name::parties(&room).is_some_and(|(one, other)| one == nick.shown || other == nick.shown), "{room:?}");
        assert!(name::nick(&nick.shown).is_ok_and(|again| again == nick), "{nick:?}");
    }
    if let Ok(room) = name::room(text) {
        assert!(name::room(&room).is_ok_and(|again| again == room), "{room:?}");
    }
}

/// What is read as a fault is written as one that reads the same, and can be lived with: a conversation that has it takes
/// what is said, gives no more than that unless it doubles packets, and comes to rest.
pub fn fault(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(fault) = text.parse::<Fault>() else { return };
    let written = fault.to_string();
    assert_eq!(written.parse().ok(), Some(fault.clone()), "{text:?} is written as {written:?}");
    let faults = Arc::new(Faults::new(bytes.len() as u64, None));
    faults.set(vec![fault]);
    for packets in [false, true] {
        let mut chain = faults.chain(1, &Peer::new("tcp", Endpoint::Unnamed, Endpoint::Unnamed), Way::Up, packets);
        let mut now = tokio::time::Instant::now();
        chain.take(Message::text("hullo"), now);
        chain.end(now);
        let mut came = 0;
        for _ in 0..100 {
            match chain.give(now) {
                Out::Piece(piece) => came += piece.bytes.len(),
                Out::Until(at) => now = at,
                Out::End => {}
                Out::Reset | Out::Cut | Out::Nothing => break,
            }
        }
        assert!(came <= 10 && (packets || came <= 5), "{came} bytes of 5");
        assert!(chain.give(now) == Out::Nothing || !chain.is_idle(), "{written} does not come to rest");
    }
}

/// The first byte chooses how the rest is cut: the cut makes no difference to the data, the trailers and the verdict.
pub fn chunked(bytes: &[u8]) {
    let &[how, ref rest @ ..] = bytes else { return };
    assert_eq!(chunks(rest, rest.len().max(1)), chunks(rest, usize::from(how & 0x1f) + 1));
}

/// The data, how many trailers there were at the end, if it came, and what stood in the way of it.
fn chunks(bytes: &[u8], cut: usize) -> (Vec<u8>, Option<usize>, Option<&'static str>) {
    let (mut chunks, mut buf, mut data) = (Chunks::default(), BytesMut::new(), Vec::new());
    for piece in bytes.chunks(cut) {
        buf.extend_from_slice(piece);
        loop {
            match chunks.read(&mut buf) {
                Ok(Some(Piece::Data(some))) => data.extend_from_slice(&some),
                Ok(Some(Piece::End(trailers))) => return (data, Some(trailers.len()), None),
                Ok(None) => break,
                Err(why) => return (data, None, Some(why)),
            }
        }
    }
    (data, None, None)
}

/// The first byte chooses how the rest is cut: the cut makes no difference to where the head ends. What is taken for a
/// head has no control characters in its headers, and one length at most.
pub fn head(bytes: &[u8]) {
    let &[how, ref rest @ ..] = bytes else { return };
    plain(rest);
    let at_once = Search::default().end(rest);
    let (mut search, mut so_far, cut) = (Search::default(), 0, usize::from(how & 0x1f) + 1);
    let in_pieces = loop {
        so_far = rest.len().min(so_far + cut);
        match search.end(&rest[..so_far]) {
            Ok(None) if so_far < rest.len() => {}
            verdict => break verdict,
        }
    };
    assert_eq!(at_once.is_err(), in_pieces.is_err());
    let (Ok(Some(end)), Ok(Some(same))) = (at_once, in_pieces) else { return };
    assert_eq!(end, same);
    let Ok(head) = read(&rest[..end].to_vec().into()) else { return };
    let headers = head.request.headers();
    assert!(headers.values().all(|value| value.as_bytes().iter().all(|byte| *byte == b'\t' || *byte >= b' ')));
    assert!(
        headers.get_all("content-length").iter().count() + headers.get_all("transfer-encoding").iter().count() <= 1
    );
}

/// What may be answered without becoming a request is one, with nothing wrong and nothing behind it.
fn plain(bytes: &[u8]) {
    let Some((line, end)) = Line::of(bytes).and_then(|line| Some((line, line.end()?))) else { return };
    assert_eq!(Search::default().end(bytes), Ok(Some(end)));
    let head = read(&bytes[..end].to_vec().into());
    assert!(head.as_ref().is_ok_and(|head| head.keeps_alive && !head.expects && head.length == Length::Known(0)));
    let Ok(Head { request, .. }) = head else { return };
    assert_eq!((request.method() == Method::HEAD, request.uri().path()), (line.is_head, line.path));
    assert_eq!((request.version(), request.headers().get_all("host").iter().count()), (Version::HTTP_11, 1));
}

/// The first byte chooses the framing, the second `max` and how the rest is cut: the cut makes no difference.
pub fn framing(bytes: &[u8]) {
    let &[which, how, ref rest @ ..] = bytes else { return };
    let spec = &FRAMINGS[usize::from(which) % FRAMINGS.len()];
    let max = usize::from(how >> 4) * 8;
    let at_once = messages((spec.make)(max), rest, rest.len().max(1));
    let in_pieces = messages((spec.make)(max), rest, usize::from(how & 15) + 1);
    assert!(at_once.0.iter().all(|message| message.len() <= max), "{}: longer than {max}", spec.name);
    match spec.name {
        // It has no borders that a cut could move.
        "raw" => assert_eq!(at_once.0.concat(), in_pieces.0.concat()),
        name => assert_eq!(at_once, in_pieces, "{name}"),
    }
}

/// The messages up to the end or to an error, and whether there was one.
fn messages(mut framing: Box<dyn Framing>, bytes: &[u8], cut: usize) -> (Vec<Vec<u8>>, bool) {
    let (mut buf, mut messages) = (BytesMut::new(), Vec::new());
    for piece in bytes.chunks(cut) {
        buf.extend_from_slice(piece);
        loop {
            match framing.decode(&mut buf) {
                Ok(Some(message)) => messages.push(message.bytes.to_vec()),
                Ok(None) => break,
                Err(_) => return (messages, true),
            }
        }
    }
    loop {
        match framing.finish(&mut buf) {
            Ok(Some(message)) => messages.push(message.bytes.to_vec()),
            end => return (messages, end.is_err()),
        }
    }
}

/// What is read as a packet of a reliable stream is written as one that reads the same. And a connection takes any, in
/// the names that it and its peer have: it delivers no byte that did not come, and never answers a stranger with more than
/// 3 times what it sent.
pub fn packet(bytes: &[u8]) {
    let Some(packet) = Packet::read(bytes) else { return };
    let mut written = Vec::new();
    packet.write(&mut written);
    assert_eq!(Packet::read(&written), Some(packet.clone()));
    let now = std::time::Duration::from_secs(1);
    let mut connection = Connection::new(1, 1200, now, std::time::Duration::ZERO);
    let (mut came, mut sent) = (written.len(), Vec::new());
    connection.receive(&written, now);
    for number in 0..3 {
        connection.write(b"something");
        connection.transmit(&mut sent, now);
        written.clear();
        Packet { to: 0, number, ..packet.clone() }.write(&mut written);
        came += written.len();
        connection.receive(&written, now);
        assert!(packet.to != 0 || sent.len() <= 3 * came, "{} bytes for {came}", sent.len());
    }
    let data = packet.data.map_or(&[][..], |data| data.bytes);
    let mut read = Vec::new();
    connection.read(|piece| {
        read.extend_from_slice(piece);
        piece.len()
    });
    assert!(data.starts_with(&read));
}

/// The first byte chooses who speaks: what is read as a frame of a transfer is written as one that reads the same.
pub fn transfer_words(bytes: &[u8]) {
    let &[way, ref rest @ ..] = bytes else { return };
    let again = if way & 1 == 0 { told_again } else { answer_again };
    let mut rest = rest;
    while let Some(written) = again(&mut rest) {
        let mut once_more = &written[..];
        assert_eq!(again(&mut once_more).as_ref(), Some(&written));
        assert!(once_more.is_empty());
    }
}

fn told_again<'a>(chunk: &mut &'a [u8]) -> Option<Vec<u8>> {
    frame_again::<Told<'a>>(chunk)
}

fn answer_again<'a>(chunk: &mut &'a [u8]) -> Option<Vec<u8>> {
    frame_again::<Answer<'a>>(chunk)
}

/// The next frame as we would write it; nothing at the end, and where it is none.
fn frame_again<'a, W: Serialize + Deserialize<'a>>(chunk: &mut &'a [u8]) -> Option<Vec<u8>> {
    let mut written = Vec::new();
    match words::next::<W>(chunk).ok()?? {
        Frame::Words(said) => assert!(words::say(&mut written, &said).is_ok(), "it was read and cannot be written"),
        Frame::Content(content) => {
            written.resize(words::HEAD, 0);
            written.extend_from_slice(content);
            words::content(&mut written, 0);
        }
    }
    Some(written)
}

/// The first byte chooses what listens: an end that sends or one that receives, on a trusted wire or with a code, and
/// whether who comes has greeted it already. The rest is all that it hears. Whatever that is, nothing is written outside
/// of the folder, nothing that is sent is changed, and it comes to its end.
pub fn transfer_work(bytes: &[u8]) {
    let &[how, ref said @ ..] = bytes else { return };
    let scratch = Scratch::new();
    let source = scratch.0.join("source");
    let (sends, plain, greeted) = (how & 1 != 0, how & 2 == 0, how & 4 != 0);
    let existing = [Existing::Refuse, Existing::Replace, Existing::KeepBoth, Existing::Skip][usize::from(how >> 3 & 3)];
    let target = transfer::Target { into: scratch.0.join("inbox"), existing, durable: false, outside_links: false };
    let work = if sends { Work::Send(vec![Source::Path(source)]) } else { Work::Receive(target) };
    let code = || Code::read("7-quiet-harbour").map_or(Lock::Plain, Lock::Code);
    let host = Host::new(work, if plain { Lock::Plain } else { code() }, Some(1), Arc::new(|_| {}));
    let greeting = [&b"hullo-f1"[..], &[u8::from(sends), 0], &[1; 16], &[0]].concat();
    let length = (greeting.len() as u32).to_le_bytes();
    let greeting = if greeted { [&length[..], &greeting].concat() } else { Vec::new() };
    // Who answers must have been asked: what comes first is the welcome, and then all that is announced.
    let broke = visit(host, &greeting, if sends && greeted { 2 } else { 0 }, said);
    assert_ne!(broke.as_deref(), Some("the work on files broke off"));
    let names = |folder: &str| -> BTreeSet<_> {
        fs::read_dir(scratch.0.join(folder)).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect()
    };
    let around = names("");
    assert!(around.iter().all(|name| ["inbox", "source"].iter().any(|ours| name == ours)), "{around:?}");
    assert_eq!(names("source"), ["one", "two"].map(Into::into).into());
    assert_eq!(fs::read(scratch.0.join("source/two")).ok().as_deref(), Some(&b"hullo"[..]));
}

/// Greets a host, hears so much, says something and leaves. What it came to, where it went wrong.
fn visit(host: Arc<Host>, greeting: &[u8], hear: usize, said: &[u8]) -> Option<String> {
    let runtime = Builder::new_current_thread().enable_time().build().ok()?;
    runtime.block_on(async {
        let (stream, mut other) = tokio::io::duplex(1 << 20);
        let peer = Peer::new("memory", Endpoint::Unnamed, Endpoint::Unnamed);
        let served = host.serve(Link::over(stream, peer, Scope::default()));
        let talk = async {
            let mut answers = Vec::new();
            // It may have left before.
            let _ = other.write_all(greeting).await;
            for _ in 0..hear {
                let length = other.read_u32_le().await.unwrap_or_default();
                let _ = (&mut other).take(length.into()).read_to_end(&mut answers).await;
            }
            let _ = other.write_all(said).await;
            let _ = other.shutdown().await;
            let _ = other.read_to_end(&mut answers).await;
        };
        tokio::join!(served, talk).0.err().map(|error| error.to_string())
    })
}

/// A folder for one run, with a folder to send in it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("hullo-fuzz-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let scratch = Self(std::env::temp_dir().join(name));
        let made = |at: &Path| {
            fs::create_dir_all(at)?;
            fs::write(at.join("one"), "")?;
            fs::write(at.join("two"), "hullo")
        };
        assert!(made(&scratch.0.join("source")).is_ok(), "no room in {}", scratch.0.display());
        scratch
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The first byte chooses the end, whether messages may be compressed, and how the rest is cut: the cut makes no difference, no message is over `max`, a text
/// is UTF-8, and what is read can be written and read again.
pub fn websocket(bytes: &[u8]) {
    const MAX: usize = 200;
    let &[how, ref rest @ ..] = bytes else { return };
    let role = if how & 0x80 == 0 { Role::Server } else { Role::Client };
    let deflate = accept("permessage-deflate").filter(|_| how & 0x40 != 0).map(|(deflate, _)| deflate);
    let reader = || Reader::new(role, MAX).inflating(deflate);
    let at_once = frames(reader(), rest, rest.len().max(1));
    let in_pieces = frames(reader(), rest, usize::from(how & 0x1f) + 1);
    assert_eq!(at_once, in_pieces);
    for received in &at_once.0 {
        if let Received::Message(message) = received {
            assert!(message.bytes.len() <= MAX, "a message of {} bytes", message.bytes.len());
            assert!(!message.text || std::str::from_utf8(&message.bytes).is_ok(), "a text that is not UTF-8");
            again(message, role);
        }
    }
}

/// All that is read up to the farewell, the end or a breach, and that breach's code.
fn frames(mut reader: Reader, bytes: &[u8], cut: usize) -> (Vec<Received>, Option<u16>) {
    let (mut buf, mut read) = (BytesMut::new(), Vec::new());
    for piece in bytes.chunks(cut) {
        buf.extend_from_slice(piece);
        loop {
            match reader.read(&mut buf) {
                Ok(Some(received)) => {
                    let farewell = matches!(received, Received::Close(..));
                    read.push(received);
                    if farewell {
                        return (read, None);
                    }
                }
                Ok(None) => break,
                Err(breach) => return (read, Some(breach.code)),
            }
        }
    }
    (read, None)
}

/// What one end writes the other reads.
fn again(message: &Message, role: Role) {
    let mut frame = BytesMut::new();
    write(message, None, (role == Role::Server).then_some([1, 2, 3, 4]), &mut frame);
    let (read, breach) = frames(Reader::new(role, message.bytes.len()), &frame, frame.len());
    assert_eq!((read, breach), (vec![Received::Message(message.clone())], None));
}
