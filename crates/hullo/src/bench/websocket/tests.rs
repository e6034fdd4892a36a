//! What a client makes of messages of WebSockets, good and bad.

use bytes::BytesMut;
use proptest::prelude::*;

use super::{
    super::{
        codec::{Failure, Outcome},
        http::tests::Heard,
        payload::Expect,
    },
    *,
};
use crate::{
    message::Message,
    transport::ws::{
        deflate::accept,
        frames::{CONTINUATION, Reader, write, write_close},
    },
};

fn messages(text: &str, expect: &[&str], deflate: Option<Deflate>) -> Messages {
    let payload = Payload::template(text, 0).unwrap();
    let mut all = Expect::default();
    expect.iter().for_each(|said| all.add(said));
    Messages::new(payload.clone(), Judge::new(all, payload, Heard::MAX), deflate)
}

fn heard(mut messages: Messages, bytes: &[u8], cut: usize) -> Heard {
    Heard::by(&mut messages, 3, bytes, cut)
}

/// Frames of a server: the first bits of each, and its payload.
fn frames(all: &[(u8, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (first, payload) in all {
        frame(*first & 0x7f, payload, None, &mut out);
        let head = out.len() - payload.len() - if payload.len() < 126 { 2 } else { 4 };
        out[head] = *first;
    }
    out
}

const LAST: u8 = 0x80;
const YES: Outcome = Outcome::Answered(None);
const NO: Outcome = Outcome::Failed(Failure::Unexpected);

#[test]
fn a_message_is_a_reply_however_many_pieces_it_has() {
    let bytes = frames(&[
        (LAST | TEXT, b"one"),
        (TEXT, b"t"),
        (LAST | PING, b"there?"),
        (CONTINUATION, b""),
        (LAST | CONTINUATION, b"wo"),
        (LAST | PONG, b""),
        (LAST | BINARY, &[0; 300]),
    ]);
    for cut in 1..bytes.len() {
        let all = heard(messages("x", &[], None), &bytes, cut);
        assert_eq!((all.outcomes(), all.broken), (vec![YES; 3], None), "cut at {cut}");
        let mut answer = BytesMut::from(&all.owed[..]);
        let pong = Reader::new(Role::Server, 100).read(&mut answer).unwrap();
        assert_eq!((pong, all.owed.len()), (Some(Received::Pong), 12), "cut at {cut}");
        let two = heard(messages("x", &["two"], None), &bytes, cut);
        assert_eq!(two.outcomes(), [NO, YES, NO], "cut at {cut}");
    }
}

#[test]
fn requests_are_masked_messages_each_with_a_mask_of_its_own() {
    for text in ["the same each time", "number {{seq}}"] {
        let (mut messages, mut out) = (messages(text, &[], None), Vec::new());
        (0..600).for_each(|n| messages.ask(n, &mut out));
        let masks: std::collections::HashSet<_> = out.chunks(out.len() / 600).map(|frame| frame[2..6].to_vec()).collect();
        assert!(masks.len() > 300, "{} masks", masks.len());
        let (mut reader, mut out) = (Reader::new(Role::Server, 100), BytesMut::from(&out[..]));
        for n in 0..600 {
            let message = Message::text(text.replace("{{seq}}", &n.to_string()));
            assert_eq!(reader.read(&mut out), Ok(Some(Received::Message(message))));
        }
    }
    let mut out = Vec::new();
    let binary = Payload::fixed(vec![0xff; 3]);
    Messages::new(binary.clone(), Judge::new(Expect::default(), binary, 10), None).ask(0, &mut out);
    assert_eq!(out[..2], [LAST | BINARY, 0x83]);
}

#[test]
fn what_is_compressed_is_compared_as_it_was() {
    let (deflate, _) = accept("permessage-deflate").unwrap();
    let text = format!("{} {{{{seq}}}}", "again and ".repeat(50));
    for template in [text.clone(), text.replace("{{seq}}", "0")] {
        let (mut asked, mut bytes) = (BytesMut::new(), Vec::new());
        messages(&template, &[], Some(deflate)).ask(0, &mut bytes);
        assert!(bytes.len() < 100, "{} bytes", bytes.len());
        let mut request = BytesMut::from(&bytes[..]);
        let request = Reader::new(Role::Server, 2000).inflating(Some(deflate)).read(&mut request);
        let Ok(Some(Received::Message(request))) = request else { panic!("{request:?}") };
        write(&request, Some(deflate), None, &mut asked);
        write(&Message::text("other ".repeat(50)), Some(deflate), None, &mut asked);
        for cut in 1..asked.len() {
            let heard = heard(messages(&template, &["same"], Some(deflate)), &asked, cut);
            assert_eq!((heard.outcomes(), heard.broken), (vec![YES, NO], None));
        }
    }
}

#[test]
fn a_farewell_is_answered_and_nothing_comes_behind_it() {
    let mut bytes = BytesMut::new();
    write_close(Some(1001), "bye", None, &mut bytes);
    bytes.extend_from_slice(b"\xff\xff");
    let mut messages = messages("x", &[], None);
    let heard = Heard::by(&mut messages, 1, &bytes, 3);
    assert_eq!((heard.replies.len(), heard.broken, messages.room(0)), (0, None, false));
    let mut answer = BytesMut::from(&heard.owed[..]);
    let answer = Reader::new(Role::Server, 100).read(&mut answer);
    assert_eq!(answer, Ok(Some(Received::Close(Some(1001), "bye".to_owned()))));
}

#[test]
fn what_breaks_the_protocol_ends_the_connection() {
    let close = |code: u16| frames(&[(LAST | CLOSE, &code.to_be_bytes())]);
    for (name, bytes, kind) in [
        ("a reserved bit", frames(&[(LAST | 0x40 | TEXT, b"a")]), Kind::Protocol),
        ("a continuation of nothing", frames(&[(LAST | CONTINUATION, b"a")]), Kind::Protocol),
        ("a message inside another", frames(&[(TEXT, b"a"), (TEXT, b"a")]), Kind::Protocol),
        ("an unknown opcode", frames(&[(LAST | 3, b"a")]), Kind::Protocol),
        ("a mask", vec![LAST | TEXT, 0x81, 0, 0, 0, 0, 0], Kind::Protocol),
        ("it is given up", close(1002), Kind::Protocol),
        ("a message was too long for it", close(1009), Kind::TooLarge),
        ("a code that is none", close(1005), Kind::Protocol),
        ("a flood", frames(&vec![(LAST | PING, &b"ping"[..]); OWED]), Kind::Protocol),
    ] {
        let heard = heard(messages("x", &[], None), &bytes, 1 << 20);
        assert_eq!((heard.replies.len(), heard.broken), (0, Some(kind)), "{name}");
    }
    let long = frames(&[(LAST | TEXT, &[b'x'; Heard::MAX + 1])]);
    assert_eq!(heard(messages("x", &[], None), &long, 100).outcomes(), [YES], "it is only counted");
    assert_eq!(heard(messages("x", &["y"], None), &long, 100).broken, Some(Kind::TooLarge));
}

proptest! {
    #[test]
    fn any_split_gives_the_same_replies(
        all in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..200)), 0..10),
        cut in 1..60_usize,
        deflates in any::<bool>(),
    ) {
        let all: Vec<_> = all.iter().map(|(first, payload)| (*first, &payload[..])).collect();
        let bytes = frames(&all);
        let deflate = accept("permessage-deflate").filter(|_| deflates).map(|(deflate, _)| deflate);
        let read = |cut| heard(messages("x", &["same"], deflate), &bytes, cut);
        let (at_once, in_pieces) = (read(1 << 20), read(cut));
        prop_assert_eq!((at_once.replies, at_once.broken), (in_pieces.replies, in_pieces.broken));
    }
}
