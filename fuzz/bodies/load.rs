//! What a load test hears: replies of servers, and datagrams of a measurement.

use std::{collections::BTreeSet, iter::once, time::Duration};

use http::{Method, Version};
use hullo::{
    bench::{Ask, Exchange, Expect, Payload, Replies, Spoken},
    framing::FRAMINGS,
    stamps::{Kind, REPORT, Report, Runs, STAMP, Stamp, Train},
    websocket::accept,
};

/// So many requests were asked.
const ASKED: u64 = 4;

/// The first byte chooses the version, whether the content is read, and how the rest is cut, which is what a server says
/// under load: the cut makes no difference, and no request is answered twice.
pub fn bench(bytes: &[u8]) {
    let &[how, ref rest @ ..] = bytes else { return };
    let version = if how & 0x80 == 0 { Version::HTTP_11 } else { Version::HTTP_2 };
    let mut exchange = Exchange::new(Method::GET);
    if how & 0x40 != 0 {
        exchange.expect.add("text=ll");
    }
    let (at_once, whole) = exchange.replies(version, ASKED, [rest]);
    let (in_pieces, parts) = exchange.replies(version, ASKED, rest.chunks(usize::from(how & 0x1f) + 1));
    assert_eq!((&at_once, whole.is_ok()), (&in_pieces, parts.is_ok()));
    let to = answered(&at_once);
    assert!(version == Version::HTTP_11 || to.iter().all(|to| *to < ASKED), "a reply to nothing");
}

/// The first byte chooses how messages are told apart, the second what a reply must be, and how the rest is cut, which is
/// what a server says under load: the cut makes no difference, and no request is answered twice.
pub fn bench_messages(bytes: &[u8]) {
    let &[which, how, ref rest @ ..] = bytes else { return };
    let spoken = match usize::from(which) % (FRAMINGS.len() + 3) {
        0 => Spoken::AsLong,
        1 => Spoken::WebSocket(None),
        2 => Spoken::WebSocket(accept("permessage-deflate").map(|(deflate, _)| deflate)),
        at => Spoken::Framed(&FRAMINGS[at - 3]),
    };
    let mut ask = Ask { payload: Payload::fixed(&b"hullo"[..]), expect: Expect::default() };
    ["", "text=ll", "same", ""].get(usize::from(how >> 6)).filter(|said| !said.is_empty()).into_iter().for_each(
        |said| {
            ask.expect.add(said);
        },
    );
    let (at_once, whole) = ask.replies(spoken, ASKED, [rest]);
    let (in_pieces, parts) = ask.replies(spoken, ASKED, rest.chunks(usize::from(how & 0x1f) + 1));
    assert_eq!(whole.is_ok(), parts.is_ok(), "way {which}");
    match spoken {
        // They have no borders that a cut could not move.
        Spoken::Framed(spec) if spec.name == "raw" => {}
        _ => assert_eq!(at_once, in_pieces, "way {which}"),
    }
    answered(&at_once);
}

/// The requests that were answered: each of them once.
fn answered(replies: &Replies) -> BTreeSet<u64> {
    let to: BTreeSet<_> = replies.iter().map(|(to, _)| *to).collect();
    assert_eq!(to.len(), replies.len(), "a request is answered twice");
    to
}

/// Datagrams as they are, and as a receiver counts them: five bytes make one of a measurement, and whatever they say, it
/// answers nothing but questions, never with more than was asked, and tells of no more than came.
pub fn stamps(bytes: &[u8]) {
    if let Some(stamp) = Stamp::read(bytes) {
        assert_eq!(stamp.bytes()[..], bytes[..STAMP]);
        assert_eq!(Report::read(bytes).is_some(), bytes.len() >= REPORT);
    }
    let (mut runs, mut said, mut drops) = (Runs::default(), [0u64; 4], 0u32);
    for (at, word) in bytes.chunks_exact(5).enumerate() {
        let &[what, from, number, sent, more] = word else { continue };
        let (datagram, is_question) = datagram(what, number, sent);
        drops = drops.wrapping_add(u32::from(from >> 4));
        let train = Train { from: from & 3, at: Duration::from_millis(at as u64 * u64::from(more)), drops };
        let several = usize::from(from >> 2 & 3) + 1;
        let ours = Stamp::read(&datagram).is_some_and(|stamp| stamp.kind == Kind::Counted);
        let told = &mut said[usize::from(from & 3)];
        *told += if ours { several as u64 } else { 0 };
        let answer = runs.hear(train, once(&datagram[..]).cycle().take(several));
        let Some(answer) = answer else { continue };
        assert!(is_question && answer.len() <= datagram.len(), "an answer to {datagram:?}");
        let Some(report) = Report::read(&answer) else { panic!("an answer without a report") };
        assert!(report.received + report.duplicates <= *told, "{report:?} of {told}");
        assert!(report.received > 0 && report.reordered < report.received, "{report:?}");
    }
}

/// A datagram of a measurement, or nearly one. And whether it asks for an answer that is no longer than it is.
fn datagram(what: u8, number: u8, sent: u8) -> (Vec<u8>, bool) {
    let kind = [Kind::Echoed, Kind::Counted, Kind::Question, Kind::Report][usize::from(what & 3)];
    // The highest numbers of all, and such as lie far apart.
    let wide = |byte: u8| match byte {
        0xf0.. => u64::MAX - u64::from(byte & 0xf),
        0xe0.. => u64::from(byte & 0xf) << 13,
        _ => u64::from(byte),
    };
    let stamp = Stamp { kind, run: u32::from(what >> 2 & 1), number: wide(number), sent: wide(sent) };
    let mut datagram = stamp.bytes().to_vec();
    datagram.resize(if what & 0x80 == 0 { REPORT } else { usize::from(what >> 3 & 0xf) * 8 }, 0);
    let is_question = kind == Kind::Question && datagram.len() >= REPORT;
    (datagram, is_question)
}
