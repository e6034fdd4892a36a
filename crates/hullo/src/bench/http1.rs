//! HTTP/1.1 as a client that only counts (RFC 9112): requests that are made once, responses that are passed over.
//!
//! Most servers say the same head again and again: one that is byte for byte the one before is not read again.

use std::{collections::VecDeque, io::Write as _, mem::MaybeUninit};

use http::StatusCode;
use httparse::{Header, ParserConfig, Status};

use super::{
    codec::{Codec, Reply},
    http::Judge,
    payload::Payload,
};
use crate::{
    error::{Error, Kind, Result},
    transport::http::chunked::{Chunks, Found},
};

/// The largest head, and how many header lines there may be in it.
const LARGEST: usize = 64 << 10;
const LINES: usize = 100;

/// One connection's requests, which are all the same but for what a template changes, and their responses.
pub(crate) struct Http1 {
    request: Written,
    judge: Judge,
    /// The numbers of the requests under way, where a response is compared with its request.
    numbers: VecDeque<u64>,
    at: At,
    /// How far the head that is coming was searched for its end.
    searched: usize,
    /// The last head, byte for byte.
    known: Vec<u8>,
    /// What the last head said.
    head: Head,
    /// As much of the body as somebody wants to read.
    content: Vec<u8>,
}

/// A request as it is written.
pub(super) struct Written {
    /// The head, with its empty line where each body is as long as the other.
    pub(super) head: Payload,
    pub(super) body: Payload,
    /// Whether each body has a length of its own, which is still to be said.
    pub(super) varies: bool,
    /// Whether responses have no bodies (RFC 9110, section 9.3.2).
    pub(super) bodiless: bool,
    pub(super) scratch: Vec<u8>,
}

/// Where in the responses we are.
enum At {
    Head,
    /// So many bytes of the body are still to come.
    Body(u64),
    Chunks(Chunks),
    /// The body ends with the connection.
    End,
    /// The last response was read.
    Over,
}

/// What a head says.
#[derive(Clone, Copy)]
struct Head {
    status: u16,
    length: Length,
    /// Whether the connection ends behind the response.
    last: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Length {
    Known(u64),
    Chunked,
    End,
}

impl Http1 {
    pub(super) fn new(request: Written, judge: Judge) -> Self {
        Self {
            request,
            judge,
            numbers: VecDeque::new(),
            at: At::Head,
            searched: 0,
            known: Vec::new(),
            head: Head { status: 0, length: Length::Known(0), last: false },
            content: Vec::new(),
        }
    }

    /// Passes over a head, and says how long it is; nothing while it is incomplete.
    fn head(&mut self, input: &[u8]) -> Result<Option<usize>> {
        if !self.known.is_empty() && input.starts_with(&self.known) {
            self.enter();
            return Ok(Some(self.known.len()));
        }
        let Some(begin) = begin(input)? else { return Ok(None) };
        let Some(end) = end(input, &mut self.searched) else {
            return if input.len() > LARGEST { Err(wrong("its head is larger than 64 KiB")) } else { Ok(None) };
        };
        let head = read(&input[begin..end], self.request.bodiless)?;
        if head.status == StatusCode::SWITCHING_PROTOCOLS.as_u16() {
            return Err(wrong("it switches to a protocol that nobody asked for"));
        }
        self.searched = 0;
        // Any number of interim responses may come first (RFC 9110, section 15.2).
        if head.status >= 200 {
            self.head = head;
            self.known.clear();
            self.known.extend_from_slice(&input[..end]);
            self.enter();
        }
        Ok(Some(end))
    }

    /// Goes on behind the head.
    fn enter(&mut self) {
        self.searched = 0;
        self.at = match self.head.length {
            Length::Known(length) => At::Body(length),
            Length::Chunked => At::Chunks(Chunks::default()),
            Length::End => At::End,
        };
    }

    /// The reply, now that it is whole.
    fn whole(&mut self) -> Reply {
        let number = self.numbers.pop_front();
        let outcome = self.judge.outcome(self.head.status, number, &self.content);
        self.content.clear();
        self.at = if self.head.last { At::Over } else { At::Head };
        Reply { to: None, outcome, last: self.head.last }
    }
}

impl Codec for Http1 {
    fn ask(&mut self, n: u64, out: &mut Vec<u8>) {
        if self.judge.compares() {
            self.numbers.push_back(n);
        }
        self.request.write(n, out);
    }

    fn hear(&mut self, input: &[u8], reply: &mut dyn FnMut(Reply)) -> Result<usize> {
        let mut used = 0;
        loop {
            let rest = &input[used..];
            match &mut self.at {
                At::Body(0) => reply(self.whole()),
                At::Over => return Ok(input.len()),
                _ if rest.is_empty() => return Ok(used),
                At::Head => match self.head(rest)? {
                    Some(length) => used += length,
                    None => return Ok(used),
                },
                At::Body(left) => {
                    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= n as u64;
                    self.judge.keep(&mut self.content, &rest[..n]);
                    used += n;
                }
                At::Chunks(chunks) => {
                    let (passed, found) = chunks.pass(rest).map_err(wrong)?;
                    used += passed;
                    match found {
                        Found::Nothing => return Ok(used),
                        Found::Data(n) => {
                            self.judge.keep(&mut self.content, &rest[passed..passed + n]);
                            used += n;
                        }
                        Found::End(_) => reply(self.whole()),
                    }
                }
                At::End => {
                    self.judge.keep(&mut self.content, rest);
                    return Ok(input.len());
                }
            }
        }
    }

    fn end(&mut self, reply: &mut dyn FnMut(Reply)) -> Result<()> {
        match self.at {
            At::End => reply(self.whole()),
            At::Over => {}
            At::Head if self.searched == 0 => {}
            _ => return Err(Error::new(Kind::Cut, "the connection ended in the middle of a response")),
        }
        Ok(())
    }
}

impl Written {
    fn write(&mut self, n: u64, out: &mut Vec<u8>) {
        self.head.write(n, out);
        if self.varies {
            self.scratch.clear();
            self.body.write(n, &mut self.scratch);
            // Writing to memory does not fail.
            let _ = write!(out, "Content-Length: {}\r\n\r\n", self.scratch.len());
            out.extend_from_slice(&self.scratch);
        } else {
            self.body.write(n, out);
        }
    }
}

fn wrong(why: &'static str) -> Error {
    Error::new(Kind::Protocol, "what came is no response of HTTP/1.1").because(why)
}

/// Where a response begins: some servers send an empty line too many before it. What is none is known by its first bytes.
fn begin(input: &[u8]) -> Result<Option<usize>> {
    const HTTP: &[u8] = b"HTTP/1.";
    let begin = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let said = &input[begin..];
    if !HTTP.starts_with(&said[..said.len().min(HTTP.len())]) {
        let error = wrong("it does not begin with HTTP/1.");
        // Frames of HTTP/2 begin with their length, which is small.
        return Err(if said.first() == Some(&0) { error.hint("does it speak HTTP/2 alone? --http 2") } else { error });
    }
    if begin > LARGEST {
        return Err(wrong("it is empty lines"));
    }
    Ok((!said.is_empty()).then_some(begin))
}

/// Where a head ends: behind its first empty line. Some servers end their lines with LF alone.
fn end(input: &[u8], searched: &mut usize) -> Option<usize> {
    if *searched == 0 {
        *searched = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    }
    while let Some(at) = memchr::memchr(b'\n', &input[*searched..]) {
        let next = *searched + at + 1;
        match &input[next..] {
            [b'\n', ..] => return Some(next + 1),
            [b'\r', b'\n', ..] => return Some(next + 2),
            // It is decided by what comes next, and this line's end is looked at again.
            [] | [b'\r'] => {
                *searched = next - 1;
                return None;
            }
            _ => *searched = next,
        }
    }
    *searched = input.len();
    None
}

/// Reads a whole head.
fn read(head: &[u8], bodiless: bool) -> Result<Head> {
    let mut lines = [const { MaybeUninit::uninit() }; LINES];
    let mut response = httparse::Response::new(&mut []);
    let mut config = ParserConfig::default();
    config.allow_obsolete_multiline_headers_in_responses(true);
    let parsed = config.parse_response_with_uninit_headers(&mut response, head, &mut lines);
    let parsed = parsed.map_err(|error| match error {
        httparse::Error::TooManyHeaders => wrong("there are more than 100 header lines"),
        error => Error::new(Kind::Protocol, "what came is no response of HTTP/1.1").because(error),
    })?;
    let (Status::Complete(_), Some(status), Some(minor)) = (parsed, response.code, response.version) else {
        return Err(wrong("its head is none"));
    };
    let (length, codings) = length(response.headers, status, bodiless)?;
    let says = |word| words(response.headers, "connection").any(|one| one.eq_ignore_ascii_case(word));
    let last = match minor {
        // Section 6.1: its framing is not to be trusted any further.
        0 => codings || says(b"close") || !says(b"keep-alive"),
        _ => says(b"close"),
    };
    Ok(Head { status, length, last: last || length == Length::End })
}

/// How long the body is (section 6.3), and whether that follows from a Transfer-Encoding.
fn length(headers: &[Header<'_>], status: u16, bodiless: bool) -> Result<(Length, bool)> {
    let last = words(headers, "transfer-encoding").filter(|coding| !coding.is_empty()).last();
    let codings = last.is_some();
    if bodiless || matches!(status, 100..200 | 204 | 304) {
        return Ok((Length::Known(0), codings));
    }
    if let Some(last) = last {
        let chunked = last.eq_ignore_ascii_case(b"chunked");
        return Ok((if chunked { Length::Chunked } else { Length::End }, codings));
    }
    let mut known = None;
    // Several that agree are one.
    for said in words(headers, "content-length") {
        let length = number(said).ok_or_else(|| wrong("its Content-Length is no number"))?;
        if known.replace(length).is_some_and(|other| other != length) {
            return Err(wrong("it has two lengths"));
        }
    }
    Ok((known.map_or(Length::End, Length::Known), codings))
}

/// The words of all headers of that name, each of which may be a list.
fn words<'a>(headers: &'a [Header<'_>], name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    let named = headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
    named.flat_map(|header| header.value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

fn number(digits: &[u8]) -> Option<u64> {
    let digits = digits.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(digits).ok()).flatten()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests;
