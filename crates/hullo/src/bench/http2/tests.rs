//! What a client makes of frames of HTTP/2, good and bad.

use http::{HeaderValue, Method, Version};
use proptest::prelude::*;

use super::{
    super::http::{
        Exchange,
        tests::{Heard, codec},
    },
    frames::{CODES, write},
    *,
};

fn exchange(method: Method) -> Exchange {
    let mut exchange = Exchange::new(method);
    exchange.headers.clear();
    exchange
}

fn heard(exchange: &Exchange, frames: &[Vec<u8>], cut: usize) -> Heard {
    Heard::of(exchange, Version::HTTP_2, 3, &[vec![settings(&[])], frames.to_vec()].concat().concat(), cut)
}

/// One frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write(kind, flags, stream, payload, &mut out);
    out
}

fn settings(all: &[(u16, u32)]) -> Vec<u8> {
    let all: Vec<_> =
        all.iter().flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    frame(SETTINGS, 0, 0, &all)
}

/// The frames in what a codec writes.
fn frames(mut bytes: &[u8]) -> Vec<(Frame, Vec<u8>)> {
    let mut frames = Vec::new();
    bytes = bytes.strip_prefix(PREFACE).unwrap_or(bytes);
    while let Some(frame) = Frame::read(bytes) {
        frames.push((frame, bytes[HEAD..HEAD + frame.length].to_vec()));
        bytes = &bytes[HEAD + frame.length..];
    }
    assert!(bytes.is_empty());
    frames
}

fn answered(to: u64, status: u16) -> Reply {
    Reply { to: Some(to), outcome: Outcome::Answered(Some(status)), last: false }
}

fn failed(to: u64, kind: Kind) -> Reply {
    Reply { to: Some(to), outcome: Outcome::Failed(Failure::Kind(kind)), last: false }
}

const WHOLE: u8 = END_HEADERS | END_STREAM;

#[test]
fn responses_come_in_any_order_and_in_any_form() {
    let bytes = [
        frame(HEADERS, END_HEADERS, 3, b"\x88"),
        frame(HEADERS, WHOLE, 5, b"\x89"),
        frame(DATA, 0, 3, b"some"),
        frame(11, 7, 3, b"what nobody knows"),
        frame(2, 0, 3, &[0; 5]),
        frame(DATA, END_STREAM | PADDED, 3, b"\x03moreppp"),
        frame(HEADERS, END_STREAM | PADDED | PRIORITY, 1, b"\x02.....\x08\x0320pp"),
        frame(CONTINUATION, 0, 1, b"6\x00\x01"),
        frame(CONTINUATION, END_HEADERS, 1, b"a\x01b"),
    ];
    let wanted = vec![answered(2, 204), answered(1, 200), answered(0, 206)];
    for cut in 1..bytes.concat().len() {
        let heard = heard(&exchange(Method::GET), &bytes, cut);
        assert_eq!((heard.replies, heard.broken), (wanted.clone(), None), "cut at {cut}");
    }
}

#[test]
fn interim_responses_and_trailers_are_passed_over() {
    let bytes = [
        frame(HEADERS, END_HEADERS, 1, b"\x08\x03103"),
        frame(HEADERS, END_HEADERS, 1, b"\x88"),
        frame(DATA, 0, 1, b""),
        frame(HEADERS, WHOLE, 1, b"\x00\x01a\x01b"),
        frame(HEADERS, END_HEADERS, 3, b"\x88"),
        frame(DATA, END_STREAM, 3, b""),
        frame(HEADERS, WHOLE, 5, b"\x8e"),
    ];
    let refused = Reply { to: Some(2), outcome: Outcome::Failed(Failure::Status(500)), last: false };
    let heard = heard(&exchange(Method::GET), &bytes, 10_000);
    assert_eq!((heard.replies, heard.broken), (vec![answered(0, 200), answered(1, 200), refused], None));
}

#[test]
fn what_goes_wrong_with_a_request_has_a_kind() {
    let reset = |stream, code: u32| frame(RST_STREAM, 0, stream, &code.to_be_bytes());
    let farewell = |last: u32, code: u32| {
        frame(GOAWAY, 0, 0, &[&last.to_be_bytes()[..], &code.to_be_bytes(), b"because"].concat())
    };
    let get = exchange(Method::GET);
    let resets = [reset(3, 7), reset(1, 8), frame(HEADERS, WHOLE, 5, b"\x88"), reset(5, 0)];
    let wanted = vec![failed(1, Kind::Denied), failed(0, Kind::Cut), answered(2, 200)];
    assert_eq!(heard(&get, &resets, 7).replies, wanted);
    // What it did not take is undone; behind the last of the others the connection is of no use any more.
    let leaves = [farewell(1, NO_ERROR), frame(HEADERS, WHOLE, 1, b"\x88")];
    let undone = |to| Reply { to: Some(to), outcome: Outcome::Undone, last: false };
    let wanted = vec![undone(2), undone(1), Reply { last: true, ..answered(0, 200) }];
    assert_eq!(heard(&get, &leaves, 7).replies, wanted);
    for (code, (name, kind)) in CODES.iter().enumerate().skip(1) {
        let error = frames::given_up(code as u32, b"because");
        assert_eq!(error.to_string(), format!("the server gave up the connection: {name}: because"));
        assert_eq!(heard(&get, &[farewell(0, code as u32)], 7).broken, Some(*kind), "{name}");
    }
}

#[test]
fn what_breaks_the_protocol_ends_the_connection() {
    let ok = || frame(HEADERS, END_HEADERS, 1, b"\x88");
    let long = frame(CONTINUATION, 0, 1, &[0; LONGEST]);
    for (name, bytes) in [
        ("a response to nothing", vec![frame(HEADERS, WHOLE, 7, b"\x88")]),
        ("a stream of a server", vec![frame(HEADERS, WHOLE, 2, b"\x88")]),
        ("data before the head", vec![frame(DATA, 0, 1, b"a")]),
        ("data for nothing", vec![frame(DATA, 0, 9, b"a")]),
        ("a head without a status", vec![frame(HEADERS, WHOLE, 1, b"\x00\x01a\x01b")]),
        ("two heads", vec![ok(), ok()]),
        ("an interim response that ends", vec![frame(HEADERS, WHOLE, 1, b"\x08\x03103")]),
        ("a switch of protocols", vec![frame(HEADERS, END_HEADERS, 1, b"\x08\x03101")]),
        ("an entry of a table that is empty", vec![frame(HEADERS, WHOLE, 1, b"\xbe")]),
        ("all padding", vec![frame(HEADERS, WHOLE | PADDED, 1, b"\x05\x88")]),
        ("data that are all padding", vec![ok(), frame(DATA, PADDED, 1, b"\x05aaaa")]),
        ("something within a block", vec![frame(HEADERS, 0, 1, b""), frame(PING, 0, 0, &[0; 8])]),
        ("a block that never ends", [vec![frame(HEADERS, 0, 1, b"")], vec![long; 5]].concat()),
        ("a block of nothing", vec![frame(HEADERS, 0, 1, b""), frame(CONTINUATION, 0, 1, b"")]),
        ("the end of no block", vec![frame(CONTINUATION, END_HEADERS, 1, b"")]),
        ("a promise", vec![frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\x02\x88")]),
        ("a frame that is too long", vec![frame(20, 0, 0, &[0; LONGEST + 1])]),
        ("half a setting", vec![frame(SETTINGS, 0, 0, &[0; 5])]),
        ("a push", vec![settings(&[(ENABLE_PUSH, 1)])]),
        ("a window that is too wide", vec![settings(&[(INITIAL_WINDOW_SIZE, 1 << 31)])]),
        ("frames that are too short", vec![settings(&[(MAX_FRAME_SIZE, 100)])]),
        ("a window that grows too wide", vec![frame(WINDOW_UPDATE, 0, 0, &WIDEST.to_be_bytes())]),
        ("a window that does not grow", vec![frame(WINDOW_UPDATE, 0, 0, &[0; 4])]),
        ("half a ping", vec![frame(PING, 0, 0, &[0; 7])]),
        ("half a farewell", vec![frame(GOAWAY, 0, 0, &[0; 7])]),
        ("half a reset", vec![frame(RST_STREAM, 0, 1, &[0; 3])]),
    ] {
        for cut in [1, 10, 1 << 20] {
            let heard = heard(&exchange(Method::GET), &bytes, cut);
            assert_eq!((heard.replies, heard.broken), (vec![], Some(Kind::Protocol)), "{name}, cut at {cut}");
        }
    }
    let other = Heard::of(&exchange(Method::GET), Version::HTTP_2, 1, b"HTTP/1.1 400 Bad Request\r\n\r\n", 100);
    assert_eq!(other.broken, Some(Kind::Protocol), "another protocol");
    let cut = heard(&exchange(Method::GET), &[ok()], 100);
    assert_eq!((cut.replies, cut.broken), (vec![], Some(Kind::Cut)));
}

#[test]
fn settings_and_pings_are_answered_and_floods_are_not() {
    let ping = |flags, payload| frame(PING, flags, 0, payload);
    let bytes = [ping(0, b"12345678"), ping(ACK, b"12345678"), frame(SETTINGS, ACK, 0, b"")];
    let wanted = [frame(SETTINGS, ACK, 0, b""), ping(ACK, b"12345678")].concat();
    assert_eq!(heard(&exchange(Method::GET), &bytes, 5).owed, wanted);
    let flood = vec![ping(0, b"12345678"); OWED];
    assert_eq!(heard(&exchange(Method::GET), &flood, 1 << 30).broken, Some(Kind::Protocol));
}

#[test]
fn what_was_taken_in_makes_room_again() {
    let mut codec = codec(&exchange(Method::GET), Version::HTTP_2);
    codec.ask(0, &mut Vec::new());
    let (mut owed, mut none) = (Vec::new(), |reply: Reply| unreachable!("{reply:?}"));
    let begins = [settings(&[]), frame(HEADERS, END_HEADERS, 1, b"\x88")].concat();
    assert_eq!(codec.hear(&begins, &mut none).unwrap(), begins.len());
    codec.owed(&mut owed);
    owed.clear();
    let data = frame(DATA, PADDED, 1, &[1; LONGEST]).repeat(1 << 10);
    for taken in 1..=128_u32 {
        assert_eq!(codec.hear(&data, &mut none).unwrap(), data.len());
        codec.owed(&mut owed);
        assert_eq!(owed.is_empty(), taken % 64 != 0, "after {taken} times 16 MiB");
        let updates: Vec<_> = frames(&owed).iter().map(|(frame, more)| (frame.stream, frames::number(more))).collect();
        if !updates.is_empty() {
            assert_eq!(updates, [(0, Some(HALF)), (1, Some(HALF))]);
        }
        owed.clear();
    }
}

#[test]
fn no_more_is_under_way_than_the_server_wants() {
    let mut codec = codec(&exchange(Method::GET), Version::HTTP_2);
    assert!(codec.room(0) && !codec.room(1), "what the server wants is not known yet");
    let mut none = |reply: Reply| unreachable!("{reply:?}");
    codec.hear(&settings(&[(MAX_CONCURRENT_STREAMS, 2)]), &mut none).unwrap();
    assert!(codec.room(1) && !codec.room(2));
    codec.hear(&settings(&[]), &mut none).unwrap();
    assert!(codec.room(1) && !codec.room(2), "what is not said again stays");
    codec.hear(&settings(&[(MAX_CONCURRENT_STREAMS, 1000)]), &mut none).unwrap();
    assert!(codec.room(999));
    codec.ask(0, &mut Vec::new());
    codec.hear(&frame(GOAWAY, 0, 0, &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]), &mut none).unwrap();
    assert!(!codec.room(0));
    let mut out = Vec::new();
    codec.farewell(&mut out);
    assert_eq!(out, frame(GOAWAY, 0, 0, &[0; 8]));
}

#[test]
fn a_request_is_a_preface_and_frames() {
    let mut get = exchange(Method::GET);
    get.headers.insert("x-long", HeaderValue::from_str(&"x".repeat(40_000)).unwrap());
    let bytes = Heard::asked(&get, Version::HTTP_2, 2);
    assert!(bytes.starts_with(PREFACE));
    let written = frames(&bytes);
    let kinds: Vec<_> = written.iter().map(|(frame, _)| (frame.kind, frame.flags, frame.stream)).collect();
    let request =
        |stream| [(HEADERS, END_STREAM, stream), (CONTINUATION, 0, stream), (CONTINUATION, END_HEADERS, stream)];
    assert_eq!(kinds, [&[(SETTINGS, 0, 0), (WINDOW_UPDATE, 0, 0)][..], &request(1), &request(3)].concat());
    assert!(written[2..].iter().all(|(frame, _)| frame.length <= LONGEST));
    assert_eq!(written[2].1[0], fields::NO_TABLE, "the table that we use has no room");
    assert_ne!(written[5].1[0], fields::NO_TABLE, "which is said once");
}

#[test]
fn the_preface_comes_first_whoever_speaks_first() {
    let mut codec = codec(&exchange(Method::GET), Version::HTTP_2);
    let mut out = Vec::new();
    codec.hear(&settings(&[]), &mut |reply| unreachable!("{reply:?}")).unwrap();
    codec.owed(&mut out);
    codec.ask(0, &mut out);
    assert!(out.starts_with(PREFACE));
    let kinds: Vec<_> = frames(&out).iter().map(|(frame, _)| (frame.kind, frame.flags)).collect();
    assert_eq!(kinds, [(SETTINGS, 0), (WINDOW_UPDATE, 0), (SETTINGS, ACK), (HEADERS, WHOLE)]);
}

#[test]
fn a_body_leaves_as_the_windows_let_it() {
    let mut post = exchange(Method::POST);
    post.body = Some(Payload::fixed(vec![7; 100_000]));
    let mut codec = codec(&post, Version::HTTP_2);
    let mut none = |reply: Reply| unreachable!("{reply:?}");
    let data = |bytes: &[u8], stream| -> (usize, bool) {
        let data = frames(bytes).into_iter().filter(|(frame, _)| frame.kind == DATA && frame.stream == stream);
        data.fold((0, false), |(sum, _), (frame, _)| (sum + frame.length, frame.has(END_STREAM)))
    };
    let mut out = Vec::new();
    codec.ask(0, &mut out);
    codec.ask(1, &mut out);
    assert_eq!((data(&out, 1), data(&out, 3)), ((65_535, false), (0, false)), "the connection's window is full");
    out.clear();
    let mut hear = |codec: &mut Box<dyn Codec>, bytes: Vec<u8>| {
        let mut out = Vec::new();
        codec.hear(&bytes, &mut none).unwrap();
        codec.owed(&mut out);
        out
    };
    let widen = |stream, more: u32| frame(WINDOW_UPDATE, 0, stream, &more.to_be_bytes());
    hear(&mut codec, settings(&[]));
    let out = hear(&mut codec, widen(0, 40_000));
    assert_eq!((data(&out, 1), data(&out, 3)), ((0, false), (40_000, false)), "that of the first one is full");
    let out = hear(&mut codec, widen(1, 1_000));
    assert_eq!((data(&out, 1), data(&out, 3)), ((0, false), (0, false)));
    let out = hear(&mut codec, widen(0, 1 << 20));
    assert_eq!((data(&out, 1), data(&out, 3)), ((1_000, false), (25_535, false)));
    let out = hear(&mut codec, settings(&[(INITIAL_WINDOW_SIZE, 65_535 + 33_465)]));
    assert_eq!((data(&out, 1), data(&out, 3)), ((33_465, true), (33_465, false)));
    let out = hear(&mut codec, settings(&[(INITIAL_WINDOW_SIZE, 0)]));
    assert_eq!(data(&out, 3), (0, false), "it is less than nothing now");
    // Whoever answers before it has heard all of it is not told the rest.
    let mut replies = Vec::new();
    codec.hear(&frame(HEADERS, WHOLE, 3, b"\x88"), &mut |reply| replies.push(reply)).unwrap();
    let mut out = Vec::new();
    codec.owed(&mut out);
    assert_eq!(replies, [answered(1, 200)]);
    assert_eq!(frames(&out)[0].0, Frame { length: 4, kind: RST_STREAM, flags: 0, stream: 3 });
}

#[test]
fn a_body_of_its_own_has_its_length() {
    let mut post = exchange(Method::POST);
    post.body = Some(Payload::template("number {{seq}}", 0).unwrap());
    post.expect.add("same");
    let written = frames(&Heard::asked(&post, Version::HTTP_2, 11));
    let (_, last) = &written[written.len() - 1];
    assert_eq!(last, b"number 10");
    let (_, fields) = &written[written.len() - 2];
    assert!(fields.ends_with(b"\x0f\x0d\x019"), "{fields:x?}");
    let reply = |stream, text: &[u8]| {
        [frame(HEADERS, END_HEADERS, stream, b"\x88"), frame(DATA, END_STREAM, stream, text)].concat()
    };
    let heard = heard(&post, &[reply(3, b"number 1"), reply(1, b"number 1")], 3);
    assert_eq!(heard.outcomes(), [Outcome::Answered(Some(200)), Outcome::Failed(Failure::Unexpected)]);
}

/// Frames that a server may send in answer to three requests, and some that it may not.
fn any_frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let payload = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        Just(b"\x88".to_vec()),
        Just(b"\x08\x03103".to_vec()),
        Just(0_u32.to_be_bytes().to_vec()),
        Just(vec![0; 8]),
    ];
    let one = (0..11_u8, any::<u8>(), 0..7_u32, payload)
        .prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream, &payload));
    proptest::collection::vec(one, 0..20)
}

proptest! {
    #[test]
    fn any_split_gives_the_same_replies(bytes in any_frames(), cut in 1..60_usize) {
        let exchange = exchange(Method::GET);
        let (at_once, in_pieces) = (heard(&exchange, &bytes, 1 << 20), heard(&exchange, &bytes, cut));
        // What is owed before something breaks may have left by then.
        if at_once.broken.is_none() {
            prop_assert_eq!(&at_once.owed, &in_pieces.owed);
        }
        prop_assert_eq!((at_once.replies, at_once.broken), (in_pieces.replies, in_pieces.broken));
    }

    #[test]
    fn garbage_is_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 1..60_usize) {
        let exchange = exchange(Method::GET);
        let at_once = heard(&exchange, std::slice::from_ref(&bytes), 1 << 20);
        let in_pieces = heard(&exchange, &[bytes], cut);
        prop_assert_eq!((at_once.replies, at_once.broken), (in_pieces.replies, in_pieces.broken));
    }

    #[test]
    fn a_block_of_fields_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = fields::status(&bytes);
    }
}
