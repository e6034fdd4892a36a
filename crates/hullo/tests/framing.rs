#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! What every framing promises: however its bytes are cut, the same messages; none over `max`; nothing lost at the end.
//!
//! A new framing is one line of `framings!`; one without a line fails the first test.

mod common;

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use common::{By, Folder, in_time, service, serving, text};
use hullo::{
    Kind, Message, Scope,
    framing::{FRAMINGS, Framing, Spec, find},
};
use proptest::prelude::*;
use tokio::time::Instant;

/// The largest message in most tests: small, so that chance meets it often.
const MAX: usize = 40;

/// A line of the table of framings.
struct Line {
    name: &'static str,
    /// What is repeated to make a message that never ends.
    endless: &'static [u8],
    /// The bytes of a message that is not whole yet.
    cut: &'static [u8],
    /// What becomes of them where nothing follows.
    at_the_end: Result<&'static [u8], Kind>,
}

macro_rules! framings {
    ($($name:ident $carries:ident $endless:literal $cut:literal $end:expr;)*) => {
        const LINES: &[Line] =
            &[$(Line { name: stringify!($name), endless: $endless, cut: $cut, at_the_end: $end }),*];

        $(mod $name {
            use super::*;

            proptest! {
                #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

                #[test]
                fn what_is_written_is_read(messages in prop::collection::vec($carries(), 0..8), cuts in cuts()) {
                    let written = encoded(stringify!($name), &messages);
                    let (read, error) = decoded(stringify!($name), 1 << 20, &written, &cuts);
                    prop_assert_eq!(error, None);
                    prop_assert_eq!(whole(stringify!($name), &read), whole(stringify!($name), &messages));
                }

                #[test]
                fn any_split_gives_the_same(bytes in nearly(), cuts in cuts()) {
                    let at_once = decoded(stringify!($name), MAX, &bytes, &[bytes.len().max(1)]);
                    let in_pieces = decoded(stringify!($name), MAX, &bytes, &cuts);
                    prop_assert_eq!(whole(stringify!($name), &in_pieces.0), whole(stringify!($name), &at_once.0));
                    prop_assert_eq!(in_pieces.1, at_once.1);
                }

                #[test]
                fn nothing_panics_and_nothing_is_too_long(bytes in nearly(), cuts in cuts(), pauses in any::<u64>()) {
                    let mut framing = made(stringify!($name), MAX);
                    let mut buf = BytesMut::new();
                    for (at, piece) in pieces(&bytes, &cuts).enumerate() {
                        buf.extend_from_slice(piece);
                        let paused = pauses >> (at % 64) & 1 == 1;
                        let mut next = || if paused { framing.finish(&mut buf) } else { framing.decode(&mut buf) };
                        while let Ok(Some(message)) = next() {
                            prop_assert!(message.bytes.len() <= MAX, "{:?}", message);
                        }
                    }
                }
            }
        })*
    };
}

framings! {
    json    values      b"["    br#"{"a":[1"#       Ok(br#"{"a":[1"#);
    len32   anything    b"\xff" b"\x00\x00\x00\x05hull"  Err(Kind::Cut);
    lines   one_line    b"x"    b"hullo\r"          Ok(b"hullo");
    nul     without_nul b"x"    b"hullo\n"          Ok(b"hullo\n");
    raw     something   b"x"    b"hullo"            Ok(b"hullo");
    text    one_line    b"x"    b"hullo"            Ok(b"hullo");
}

#[test]
fn every_framing_has_its_line() {
    let known = FRAMINGS.iter().map(|spec| spec.name).collect::<Vec<_>>();
    let here = LINES.iter().map(|line| line.name).collect::<Vec<_>>();
    assert_eq!(here, known, "the lines of framings! and the framings of the crate");
}

// What each framing can carry.

fn anything() -> BoxedStrategy<Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..300).boxed()
}

/// An empty message leaves no trace where there are no borders.
fn something() -> BoxedStrategy<Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..300).boxed()
}

fn one_line() -> BoxedStrategy<Vec<u8>> {
    let is_line = |bytes: &Vec<u8>| !bytes.contains(&b'\n') && !bytes.ends_with(b"\r");
    prop_oneof!["[a-z \r]{0,30}".prop_map(String::into_bytes), anything()].prop_filter("a line", is_line).boxed()
}

fn without_nul() -> BoxedStrategy<Vec<u8>> {
    anything().prop_filter("no zero byte", |bytes| !bytes.contains(&0)).boxed()
}

fn values() -> BoxedStrategy<Vec<u8>> {
    let leaf = prop_oneof![
        "-?[1-9][0-9]{0,6}(\\.[0-9]{1,3})?".boxed(),
        "true|false|null".boxed(),
        r#""([a-z\]\}\{,é ]|\\["\\n]){0,12}""#.boxed(),
    ];
    let value = leaf.prop_recursive(3, 24, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4);
        let pairs = prop::collection::vec(("[a-z]{0,3}", inner), 0..4);
        let pair = |(name, value): (String, String)| format!("\"{name}\": {value}");
        prop_oneof![
            list.prop_map(|values| format!("[{}]", values.join(" ,"))),
            pairs.prop_map(move |pairs| format!("{{{}}}", pairs.into_iter().map(pair).collect::<Vec<_>>().join(","))),
        ]
    });
    value.prop_map(String::into_bytes).boxed()
}

/// Bytes that look like something to one framing or another.
fn nearly() -> BoxedStrategy<Vec<u8>> {
    let special = prop::sample::select(&b"{}[]\"\\,: \t\r\n\n\n\0\0\0\0\x05\x28te1-"[..]);
    prop::collection::vec(prop_oneof![4 => special, 1 => any::<u8>()], 0..160).boxed()
}

/// The sizes of the pieces that bytes come in.
fn cuts() -> BoxedStrategy<Vec<usize>> {
    prop_oneof![Just(vec![1]), prop::collection::vec(1usize..60, 1..20)].boxed()
}

// What is done with them.

fn made(name: &str, max: usize) -> Box<dyn Framing> {
    (find(name).unwrap().make)(max)
}

fn encoded(name: &str, messages: &[Vec<u8>]) -> BytesMut {
    let (mut framing, mut buf) = (made(name, 1 << 20), BytesMut::new());
    for message in messages {
        framing.encode(&Message::binary(message.clone()), &mut buf).unwrap();
    }
    buf
}

fn pieces<'a>(mut bytes: &'a [u8], cuts: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    cuts.iter().cycle().map_while(move |cut| {
        let (piece, rest) = bytes.split_at_checked(*cut).unwrap_or((bytes, &[]));
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// The messages up to the end or the first error, when the bytes come in such pieces.
fn decoded(name: &str, max: usize, bytes: &[u8], cuts: &[usize]) -> (Vec<Vec<u8>>, Option<Kind>) {
    let (mut framing, mut buf, mut messages) = (made(name, max), BytesMut::new(), Vec::new());
    for piece in pieces(bytes, cuts) {
        buf.extend_from_slice(piece);
        if let Some(error) = take(&mut messages, || framing.decode(&mut buf)) {
            return (messages, Some(error));
        }
    }
    let error = take(&mut messages, || framing.finish(&mut buf));
    (messages, error)
}

fn take(messages: &mut Vec<Vec<u8>>, mut next: impl FnMut() -> hullo::Result<Option<Message>>) -> Option<Kind> {
    loop {
        match next() {
            Ok(Some(message)) => messages.push(message.bytes.to_vec()),
            Ok(None) => return None,
            Err(error) => return Some(error.kind()),
        }
    }
}

/// Messages as they can be compared: where there are no borders, all of them as one.
fn whole(name: &str, messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
    if name == "raw" { vec![messages.concat()] } else { messages.to_vec() }
}

/// As many bytes as make a message of `size` bytes, with whatever belongs around it.
fn message_of(line: &Line, size: usize) -> BytesMut {
    let mut inner = line.endless.repeat(size);
    if line.name == "json" {
        inner = format!("\"{}\"", "x".repeat(size - 2)).into_bytes();
    }
    encoded(line.name, &[inner])
}

#[test]
fn a_message_may_be_as_long_as_max_and_no_longer() {
    for line in LINES {
        let (fits, error) = decoded(line.name, MAX, &message_of(line, MAX), &[7]);
        assert_eq!((whole("raw", &fits)[0].len(), error), (MAX, None), "{}", line.name);
        let (long, error) = decoded(line.name, MAX, &message_of(line, MAX + 1), &[MAX + 100]);
        match line.name {
            // Where there are no borders, what is too long is simply more than one.
            "raw" => assert_eq!((long.len(), error), (2, None)),
            name => assert_eq!((long.len(), error), (0, Some(Kind::TooLarge)), "{name}"),
        }
    }
}

#[test]
fn the_largest_max_there_is_overflows_nothing() {
    for line in LINES {
        let bytes = message_of(line, MAX);
        assert_eq!(decoded(line.name, usize::MAX, &bytes, &[1]).1, None, "{}", line.name);
    }
}

#[test]
fn a_message_without_an_end_is_given_up_at_max() {
    const PIECE: usize = 16;
    for line in LINES.iter().filter(|line| line.name != "raw") {
        let (mut framing, mut buf) = (made(line.name, MAX), BytesMut::new());
        let error = loop {
            buf.extend_from_slice(&line.endless.repeat(PIECE));
            match framing.decode(&mut buf) {
                Ok(message) => assert_eq!(text(message), None, "{}", line.name),
                Err(error) => break error,
            }
            assert!(buf.len() <= MAX + PIECE, "{} holds {} bytes", line.name, buf.len());
        };
        assert_eq!(error.kind(), Kind::TooLarge, "{}: {error}", line.name);
        assert!(error.advice().is_some_and(|advice| advice.contains("max")), "{}: it says what to do", line.name);
    }
}

#[test]
fn what_is_not_whole_at_the_end_counts_as_whole_or_is_an_error() {
    for line in LINES {
        let found = decoded(line.name, MAX, line.cut, &[1]);
        match line.at_the_end {
            Ok(last) => assert_eq!((found.0.concat(), found.1), (last.to_vec(), None), "{}", line.name),
            Err(kind) => assert_eq!(found, (vec![], Some(kind)), "{}", line.name),
        }
        assert_eq!(decoded(line.name, MAX, b"", &[1]), (vec![], None), "{}: the end of nothing", line.name);
    }
}

/// A decoder that searched the same bytes again for each piece would cost quadratic time. It would also find what was
/// put behind its back, which can be told without a clock.
#[test]
fn no_byte_is_searched_twice() {
    for (name, start, sly, end, last) in [
        ("json", "[1,2", b']', "]", 5),
        ("lines", "hullo", b'\n', "\n", 5),
        ("nul", "hullo", 0, "\0", 5),
        ("text", "hullo", b'\n', "\n", 5),
    ] {
        let (mut framing, mut buf) = (made(name, MAX), BytesMut::from(start));
        assert_eq!(text(framing.decode(&mut buf).unwrap()), None, "{name}");
        buf[1] = sly;
        assert_eq!(text(framing.decode(&mut buf).unwrap()), None, "{name} searched again");
        buf.extend_from_slice(end.as_bytes());
        assert_eq!(framing.decode(&mut buf).unwrap().map(|message| message.bytes.len()), Some(last), "{name}");
    }
}

#[test]
fn only_where_a_pause_says_something_is_there_patience() {
    for (name, bytes, patience) in [
        ("json", "12", 1),
        ("json", "\"12", 10),
        ("json", "[12", 10),
        ("json", "[12]", 1),
        ("len32", "\0\0", 0),
        ("lines", "12", 0),
        ("nul", "12", 0),
        ("raw", "12", 0),
        ("text", "12", 1),
    ] {
        let mut framing = made(name, MAX);
        framing.decode(&mut BytesMut::from(bytes)).unwrap();
        assert_eq!(framing.patience(), patience, "{name} after {bytes}");
    }
}

// The same through a session, on a simulated link and its own clock.

#[tokio::test(start_paused = true)]
async fn the_address_says_how_messages_are_framed() {
    for spec in FRAMINGS {
        let folder = Folder::new();
        let at = folder.address(&format!("memory:{{dir}}?frame={}", spec.name));
        let server = serving(&at.to_string(), Arc::new(By(give_back))).await;
        let mut session = hullo::dial(server.address(), &Scope::default()).await.unwrap().session(&NEVER);
        for question in ["1", "[2]"] {
            session.send(question.into()).await.unwrap();
            let answer = in_time(spec.name, session.recv()).await;
            assert_eq!(text(answer.unwrap()).as_deref(), Some(question), "{}", spec.name);
        }
    }
}

/// A framing that nobody may use: the address asks for another.
const NEVER: Spec = Spec { name: "never", about: "", make: |_| panic!("the option frame goes before this") };

async fn give_back(link: hullo::Link) -> hullo::Result<()> {
    let mut session = link.session(&NEVER);
    while let Some(message) = session.recv().await? {
        session.send(message).await?;
    }
    session.close().await
}

#[tokio::test(start_paused = true)]
async fn a_pause_ends_a_message_that_may_be_whole() {
    const QUIET: Duration = Duration::from_millis(200);
    for (name, question, answer, pause) in [
        ("convert", "36.6", "97.88", QUIET),
        ("json", "12", "\"data\":12", QUIET),
        ("json", "[1]", "\"data\":[1]", Duration::ZERO),
        ("json", "[1", "not JSON", 10 * QUIET),
    ] {
        let folder = Folder::new();
        let server = serving(&folder.address("memory:{dir}").to_string(), service(name)).await;
        let link = hullo::dial(server.address(), &Scope::default()).await.unwrap();
        let mut session = link.session(find("raw").unwrap());
        let asked = Instant::now();
        session.send(question.into()).await.unwrap();
        let said = text(in_time(name, session.recv()).await.unwrap()).unwrap();
        assert!(said.contains(answer), "{name}: {said}");
        // Sleeps end at the next millisecond.
        let waited = asked.elapsed();
        assert!(waited >= pause && waited <= pause + Duration::from_millis(2), "{name}: {question} after {waited:?}");
    }
}
