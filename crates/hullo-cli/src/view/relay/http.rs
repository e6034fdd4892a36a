//! HTTP/1.1 as it passes by (RFC 9112): heads as they were sent, and how much body each had.
//!
//! It reads what two others say to each other, and judges neither: lines may end in LF alone, and what is strange is shown
//! as it is. Only where a message ends must be certain; when it is not, the rest is no HTTP to us.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use hullo::http1::{Chunks, Piece};

use super::item::{Body, Part, What};

/// The largest head that is waited for.
const LARGEST: usize = 64 << 10;

/// The most requests that wait for their responses.
const ASKED: usize = 1024;

/// What a request said that its response depends on (section 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Asked {
    head: bool,
    connect: bool,
}

/// The requests of a conversation that have no response yet.
#[derive(Debug, Default)]
pub(super) struct Unanswered(VecDeque<Asked>);

/// Why a direction is read as HTTP no longer.
#[derive(Debug, PartialEq)]
pub(super) struct Left {
    pub(super) why: String,
    /// Whether that was agreed on, and holds for both directions.
    pub(super) agreed: bool,
}

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Reader {
    held: BytesMut,
    /// Where in it the line of a head begins that is not whole yet.
    line: usize,
    at: At,
    body: Body,
    /// Of bodies that are text, the most that is kept to be shown.
    keep: usize,
}

#[derive(Debug, Default)]
enum At {
    #[default]
    Head,
    Known(u64),
    Chunks(Chunks),
    /// Up to the end of the stream.
    Rest,
}

/// Whether a direction may begin like this; nothing while that is not sure yet.
pub(super) fn may_begin(bytes: &[u8]) -> Option<bool> {
    const METHODS: &[&str] =
        &["GET ", "HEAD ", "POST ", "PUT ", "PATCH ", "DELETE ", "OPTIONS ", "TRACE ", "CONNECT ", "HTTP/1."];
    let is = |word: &&str| bytes.starts_with(word.as_bytes());
    let may_become = |word: &&str| word.as_bytes().starts_with(bytes);
    match (METHODS.iter().any(is), METHODS.iter().any(may_become)) {
        (true, _) => Some(true),
        (false, true) => None,
        (false, false) => Some(false),
    }
}

/// Whether these bytes surely begin a head: its first line is whole, and as it should be.
pub(super) fn begins(bytes: &[u8]) -> bool {
    may_begin(bytes) == Some(true) && bytes.contains(&b'\n') && is_possible(bytes).is_ok()
}

impl Reader {
    /// A reader that shows up to that many bytes of a body that is text.
    pub(super) fn new(keep: usize) -> Self {
        Self { keep, ..Self::default() }
    }

    pub(super) fn keep(&self) -> usize {
        self.keep
    }

    /// Takes in what came, which ends that far into the stream, and gives what can be said of it.
    ///
    /// # Errors
    /// Why what is held now, and all that follows, is something else.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        end: u64,
        asked: &mut Unanswered,
        out: &mut Vec<What>,
    ) -> Result<(), Left> {
        self.held.extend_from_slice(bytes);
        while !self.held.is_empty() {
            if matches!(self.at, At::Head) {
                match self.head(asked, out)? {
                    true => continue,
                    false => break,
                }
            }
            let data = match &mut self.at {
                At::Head => break,
                At::Known(left) => {
                    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(self.held.len());
                    *left -= n as u64;
                    Some(self.held.split_to(n).freeze())
                }
                At::Chunks(chunks) => match chunks.read(&mut self.held).map_err(Left::odd)? {
                    Some(Piece::Data(data)) => Some(data),
                    Some(Piece::End(_)) => None,
                    None => break,
                },
                At::Rest => Some(self.held.split().freeze()),
            };
            let has_ended = data.is_none() || matches!(self.at, At::Known(0));
            if let Some(data) = data {
                let at = end.saturating_sub((self.held.len() + data.len()) as u64);
                self.data(data, at, out);
            }
            if has_ended {
                self.end_body(out);
            }
        }
        Ok(())
    }

    /// Takes in some of a body.
    fn data(&mut self, data: Bytes, at: u64, out: &mut Vec<What>) {
        let size = data.len() as u64;
        self.body.size += size;
        // Events are to be seen when they happen, and their stream may never end.
        if self.keep > 0 && self.body.is("text/event-stream") {
            return out.push(What::Text(Part { at, size, bytes: data, message: false }));
        }
        if self.body.is_text() && self.body.size <= self.keep as u64 {
            self.body.text.extend_from_slice(&data);
        } else {
            self.body.text.clear();
        }
    }

    /// What is left to say where nothing follows.
    pub(super) fn finish(&mut self, out: &mut Vec<What>) {
        if !matches!(self.at, At::Head) {
            self.body.whole = matches!(self.at, At::Rest);
            out.push(What::Body(std::mem::take(&mut self.body)));
            // The beginning of a chunk says nothing.
            self.held.clear();
        }
        (self.at, self.line) = (At::Head, 0);
    }

    /// What has come of a head that is not whole.
    pub(super) fn held(&self) -> &[u8] {
        if matches!(self.at, At::Head) { &self.held } else { &[] }
    }

    /// How many bytes it holds.
    pub(super) fn weight(&self) -> usize {
        self.held.len() + self.body.text.len()
    }

    fn end_body(&mut self, out: &mut Vec<What>) {
        self.at = At::Head;
        self.body.whole = true;
        out.push(What::Body(std::mem::take(&mut self.body)));
    }

    /// Reads a head; whether there was a whole one.
    fn head(&mut self, asked: &mut Unanswered, out: &mut Vec<What>) -> Result<bool, Left> {
        // An empty line may stand before a request (section 2.2).
        while let Some(b'\r' | b'\n') = self.held.first() {
            self.held.advance(1);
        }
        if self.line == 0 {
            is_possible(&self.held)?;
        }
        let Some(end) = end_of_head(&self.held, &mut self.line) else {
            return if self.held.len() > LARGEST { Err(Left::odd("a head is longer than 64 KiB")) } else { Ok(false) };
        };
        if end > LARGEST {
            return Err(Left::odd("a head is longer than 64 KiB"));
        }
        self.line = 0;
        let head = Head::read(&self.held.split_to(end));
        let length = head.length(asked);
        let left = head.leaves(asked);
        self.body = head.body();
        out.push(What::Head { size: end as u64, lines: head.lines });
        match left {
            Some(left) => return Err(left),
            None if length.is_err() => return Err(Left::odd("how long its body is cannot be told")),
            None => {}
        }
        match length.unwrap_or(At::Head) {
            At::Known(0) => self.at = At::Head,
            at => self.at = at,
        }
        Ok(true)
    }

    /// What is held and was not read.
    pub(super) fn rest(&mut self) -> Bytes {
        self.line = 0;
        self.held.split().freeze()
    }
}

impl Left {
    fn odd(why: &'static str) -> Self {
        Self { why: format!("this is not HTTP: {why}"), agreed: false }
    }
}

/// Whether the first line may still become that of a request or a response.
fn is_possible(held: &[u8]) -> Result<(), Left> {
    let line = held.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let whole = line.len() < held.len();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let printable = line.iter().all(|byte| *byte >= b' ' && *byte != 0x7f);
    let is_request = || {
        let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
        version.starts_with(b"HTTP/1.") && line.iter().filter(|byte| **byte == b' ').count() >= 2
    };
    match printable && (!whole || line.starts_with(b"HTTP/1.") || is_request()) {
        true => Ok(()),
        false => Err(Left::odd("what came begins no request and no response")),
    }
}

/// Where the head ends, its empty line included; what stands before `line` has been looked at.
fn end_of_head(held: &[u8], line: &mut usize) -> Option<usize> {
    while let Some(length) = held[*line..].iter().position(|byte| *byte == b'\n') {
        let end = *line + length;
        if matches!(&held[*line..end], b"" | b"\r") {
            return Some(end + 1);
        }
        *line = end + 1;
    }
    None
}

struct Head {
    lines: Vec<String>,
}

impl Head {
    /// Its lines, as they are; what is no text in them is shown as it was in old days, when bytes were characters.
    fn read(bytes: &[u8]) -> Self {
        let text = |line: &[u8]| match std::str::from_utf8(line) {
            Ok(text) => text.to_owned(),
            Err(_) => line.iter().map(|byte| char::from(*byte)).collect(),
        };
        let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        Self { lines: lines.filter(|line| !line.is_empty()).map(text).collect() }
    }

    fn first(&self) -> &str {
        self.lines.first().map_or("", String::as_str)
    }

    /// The values of the headers of that name.
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let lines = self.lines.iter().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(move |(one, _)| one.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The status, where it is a response.
    fn status(&self) -> Option<u16> {
        self.first().strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()
    }

    fn is_response(&self) -> bool {
        self.first().starts_with("HTTP/1.")
    }

    /// How its body ends (section 6.3); a request is remembered, and a response forgets the one that it answers.
    fn length(&self, asked: &mut Unanswered) -> Result<At, ()> {
        if self.is_response() {
            let status = self.status().ok_or(())?;
            let request = asked.0.front().copied().unwrap_or_default();
            if request.head || matches!(status, 100..=199 | 204 | 304) || request.connect && status / 100 == 2 {
                return Ok(At::Known(0));
            }
        }
        let coding = self.all("transfer-encoding").last();
        if let Some(coding) = coding {
            let last = coding.rsplit(',').next().unwrap_or_default().trim();
            return match last.eq_ignore_ascii_case("chunked") {
                true => Ok(At::Chunks(Chunks::default())),
                false if self.is_response() => Ok(At::Rest),
                false => Err(()),
            };
        }
        let mut lengths = self.all("content-length").map(str::parse::<u64>);
        match (lengths.next(), self.is_response()) {
            (Some(Ok(length)), _) if lengths.all(|other| other == Ok(length)) => Ok(At::Known(length)),
            (Some(_), _) => Err(()),
            (None, true) => Ok(At::Rest),
            (None, false) => Ok(At::Known(0)),
        }
    }

    /// Whether both ends now talk about something else, and what that is.
    fn leaves(&self, asked: &mut Unanswered) -> Option<Left> {
        let Some(status) = self.status().filter(|_| self.is_response()) else {
            let method = self.first().split(' ').next().unwrap_or_default();
            asked.0.push_back(Asked { head: method == "HEAD", connect: method == "CONNECT" });
            asked.0.truncate(ASKED);
            return None;
        };
        let agreed = |why: String| Some(Left { why, agreed: true });
        if status == 101 {
            return agreed(format!("both switch to {}", self.all("upgrade").next().unwrap_or("another protocol")));
        }
        if (100..=199).contains(&status) {
            return None;
        }
        let request = asked.0.pop_front().unwrap_or_default();
        if request.connect && status / 100 == 2 { agreed("a tunnel begins".to_owned()) } else { None }
    }

    fn body(&self) -> Body {
        let one = |name| self.all(name).next().map(str::to_owned);
        Body { kind: one("content-type"), coding: one("content-encoding"), ..Body::default() }
    }
}

impl Unanswered {
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}
