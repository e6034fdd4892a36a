//! `hullo serve greet http://:8010`: requests whose answer is [there already](crate::Service::prepared).
//!
//! They are answered where they were read: no map of headers, no body and no future is made for one, and the answers to
//! all that have come together leave together. That is for requests which say nothing that could change the answer; the
//! first one that may, and every one while somebody watches, is left where it stands for the general path, which answers
//! all alike.

use std::{
    io,
    ops::Range,
    ptr,
    task::{Context, Poll, ready},
};

use ::http::{Response, Version};
use bytes::Bytes;

use super::{
    Front, Plain,
    h1::{Framing, Manner, begin, framing},
    head::LARGEST,
    is_host,
    seen::Seen,
    wire::{COPIED, Wire},
};

/// Waits for the beginning of a request that has no prepared answer; says whether there is one, or the client has ended.
pub(super) fn poll_begun(front: &Front, wire: &mut Wire, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
    loop {
        if wire.is_full() {
            ready!(wire.poll_flush(cx))?;
        }
        let begun = ready!(wire.poll_begun(cx))?;
        if !begun || !answer(front, wire) {
            return Poll::Ready(Ok(begun));
        }
    }
}

/// Gathers the answers to the requests that are there, as many as may be gathered; says whether there were any.
pub(super) fn answer(front: &Front, wire: &mut Wire) -> bool {
    let may_differ = front.plain == Plain::Refused || front.origin.is_some();
    if may_differ || front.scope.watched() || front.scope.is_stopping() {
        return false;
    }
    let mut last: Option<(Asked<'_>, Range<usize>)> = None;
    while !wire.is_full() {
        let Some(asked) = Asked::of(front, wire.input()) else { break };
        wire.pass(asked.end);
        let from = wire.output.len();
        match &last {
            // What is said twice in one go is the same to its date.
            Some((before, said)) if before.is_answered_as(&asked) => {
                wire.output.resize(from + said.len(), 0);
                wire.output.copy_within(said.clone(), from);
            }
            _ => {
                gather(wire, &asked);
                last = Some((asked, from..wire.output.len()));
            }
        }
    }
    last.is_some()
}

/// A request, and its answer.
struct Asked<'a> {
    is_head: bool,
    /// Where it ends.
    end: usize,
    response: &'a Response<Bytes>,
}

impl<'a> Asked<'a> {
    /// The next one.
    fn of(front: &'a Front, input: &[u8]) -> Option<Self> {
        let line = Line::of(input)?;
        // Most services have none: they are asked before the rest is read.
        let response = front.service.prepared(line.path)?;
        let may_end = response.status().is_informational() || Seen::of(response.headers()).has(Seen::CONNECTION);
        if may_end || response.body().len() > COPIED {
            return None;
        }
        Some(Self { is_head: line.is_head, end: line.end()?, response })
    }

    fn is_answered_as(&self, other: &Self) -> bool {
        self.is_head == other.is_head && ptr::eq(self.response, other.response)
    }
}

/// Gathers an answer.
fn gather(wire: &mut Wire, asked: &Asked<'_>) {
    let manner = Manner { head: asked.is_head, version: Version::HTTP_11, keeps_alive: true, trailers: false };
    let (status, headers, body) = (asked.response.status(), asked.response.headers(), asked.response.body());
    let seen = Seen::of(headers);
    let framing = framing(status, headers, seen, Some(body.len() as u64), &manner);
    begin(wire, status, headers, seen, framing, &manner);
    if !asked.is_head && framing != Framing::Bodiless {
        wire.output.extend_from_slice(body);
    }
}

/// The first line of a request that may say nothing more than what it asks for.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// It is HEAD, and otherwise GET.
    pub is_head: bool,
    /// The path of its target, in which nothing is escaped.
    pub path: &'a str,
    /// What stands behind the line.
    rest: &'a [u8],
    length: usize,
}

/// The most header lines that are looked at.
const LINES: usize = 16;

impl<'a> Line<'a> {
    /// The line at the beginning of `input`.
    pub fn of(input: &'a [u8]) -> Option<Self> {
        let (is_head, target) = match input {
            [b'G', b'E', b'T', b' ', target @ ..] => (false, target),
            [b'H', b'E', b'A', b'D', b' ', target @ ..] => (true, target),
            _ => return None,
        };
        let (target, version) = target.split_at(target.iter().position(|byte| !IN_TARGETS[usize::from(*byte)])?);
        let rest = version.strip_prefix(b" HTTP/1.1\r\n")?;
        let path = target.split(|byte| *byte == b'?').next()?;
        let path = std::str::from_utf8(path).ok().filter(|path| path.starts_with('/'))?;
        Some(Self { is_head, path, rest, length: input.len() - rest.len() })
    }

    /// Where the head ends, if all of it is there, nothing is wrong with it, and none of its headers decides anything.
    pub fn end(&self) -> Option<usize> {
        let mut lines = [httparse::EMPTY_HEADER; LINES];
        let Ok(httparse::Status::Complete((length, lines))) = httparse::parse_headers(self.rest, &mut lines) else {
            return None;
        };
        let end = self.length + length;
        // The parser takes LF alone for the end of a line.
        let ends = self.rest[..length].iter().filter(|byte| **byte == b'\r').count();
        (end <= LARGEST && ends == lines.len() + 1 && decide_nothing(lines)).then_some(end)
    }
}

/// Whether there is one Host, and no other header on which it depends how a request is to be answered.
fn decide_nothing(lines: &[httparse::Header<'_>]) -> bool {
    let mut hosts = 0;
    let decides = |line: &httparse::Header<'_>| match Seen::named(line.name) {
        Seen::HOST => {
            hosts += 1;
            !is_host(line.value)
        }
        // That is the rule, and needs no saying.
        Seen::CONNECTION => !line.value.eq_ignore_ascii_case(b"keep-alive"),
        // Of a browser it matters whose page it shows.
        Seen::USER_AGENT => line.value.starts_with(b"Mozilla/"),
        mark => mark != Seen::default(),
    };
    !lines.iter().any(decides) && hosts == 1
}

/// What a target has in it that means the same to everybody.
const IN_TARGETS: [bool; 256] = {
    let (mut table, mut byte) = ([false; 256], 0);
    while byte < 256 {
        let sign = matches!(byte as u8, b'!' | b'$' | b'&'..=b'/' | b':' | b';' | b'=' | b'?' | b'@' | b'_' | b'~');
        table[byte] = sign || (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    table
};

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::transport::http::{
        head::{Length, Search, read},
        judge,
    };

    fn end(text: &str) -> Option<usize> {
        Line::of(text.as_bytes())?.end()
    }

    #[test]
    fn what_says_nothing_more_is_taken_to_its_end() {
        for lines in [
            "Host: a\r\n",
            "hOST:\ta:80 \r\nAccept: */*\r\nAccept-Encoding: gzip, br\r\n",
            "User-Agent: curl/8.5.0\r\nHost: [::1]:80\r\nx:\r\n",
            "Host: a\r\nConnection: Keep-Alive\r\nCookie: a=b\r\n",
        ] {
            for first in ["GET / HTTP/1.1", "HEAD /a/b-c?d=e,f HTTP/1.1"] {
                let text = format!("{first}\r\n{lines}\r\n");
                assert_eq!(end(&text), Some(text.len()), "{text:?}");
                assert_eq!(end(&(text.clone() + &text)), Some(text.len()), "{text:?}");
                for cut in 0..text.len() {
                    assert_eq!(end(&text[..cut]), None, "{cut} of {text:?}");
                }
            }
        }
    }

    #[test]
    fn what_may_change_the_answer_is_left() {
        for first in ["POST /", "get /", "GET /%a", "GET *", "GET http://a/", "GET /#", "GET /\"", "GET  /", "GET ?"] {
            assert_eq!(end(&format!("{first} HTTP/1.1\r\nHost: a\r\n\r\n")), None, "{first}");
        }
        for version in ["1.0", "1.2", "2.0", "1.1 ", "1.1\t"] {
            assert_eq!(end(&format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n")), None, "{version}");
        }
        for line in [
            "Host: b",
            "Connection: close",
            "Connection: keep-alive, close",
            "Content-Length: 0",
            "Content-Length: 5",
            "Transfer-Encoding: chunked",
            "Expect: 100-continue",
            "Upgrade: websocket",
            "Origin: http://a",
            "User-Agent: Mozilla/5.0",
            "TE: trailers",
            "a b: c",
            "a : b",
            " folded",
            "a: \x01",
        ] {
            assert_eq!(end(&format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n")), None, "{line}");
        }
        for text in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "GET / HTTP/1.1\r\nHost: a\nb: c \r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            assert_eq!(end(text), None, "{text:?}");
        }
        assert_eq!(end(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(LINES))), None);
        assert_eq!(end(&format!("GET / HTTP/1.1\r\nHost: a\r\na: {}\r\n\r\n", "b".repeat(LARGEST))), None);
    }

    proptest! {
        #[test]
        fn what_is_taken_is_a_request_with_nothing_wrong(
            pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..8),
            noise in any::<u8>(),
            at in any::<proptest::sample::Index>(),
        ) {
            let mut text = format!("GET /a HTTP/1.1\r\n{}\r\n", pieces.concat()).into_bytes();
            let at = at.index(text.len());
            text[at] = noise;
            let Some((line, end)) = Line::of(&text).and_then(|line| Some((line, line.end()?))) else { return Ok(()) };
            prop_assert_eq!(Search::default().end(&text), Ok(Some(end)));
            let head = read(&Bytes::copy_from_slice(&text[..end])).unwrap();
            prop_assert_eq!(head.request.uri().path(), line.path);
            prop_assert_eq!(head.length, Length::Known(0));
            prop_assert!(head.keeps_alive && !head.expects);
            prop_assert!(judge(&head.request, head.seen).is_ok());
        }
    }

    const PIECES: &[&str] = &[
        "Host: a\r\n",
        "host:a:1\r\n",
        "Connection: keep-alive\r\n",
        "Connection: close\r\n",
        "Content-Length: 5\r\n",
        "User-Agent: x\r\n",
        "a: b \r\n",
        "a:\r\n",
        "\n",
        "\r",
        " ",
        "x",
    ];
}
