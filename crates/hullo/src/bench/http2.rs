//! HTTP/2 as a client that only counts (RFC 9113): requests whose fields are packed once, responses of which nothing but
//! the status is read.
//!
//! Our own, and not hyper's, which builds and takes apart each request and response. The server is asked for no table of
//! packed fields, so that each block of them can be read alone, and gets the widest windows there are.

use std::collections::VecDeque;

use self::{
    fields::Fields,
    frames::{
        ACK, CANCEL, CONTINUATION, DATA, ENABLE_PUSH, END_HEADERS, END_STREAM, Frame, GOAWAY, HEAD, HEADER_TABLE_SIZE,
        HEADERS, INITIAL_WINDOW_SIZE, LONGEST, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, NO_ERROR, PADDED, PING, PREFACE,
        PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WIDEST, WINDOW_UPDATE, wrong,
    },
    outgoing::Outgoing,
};
use super::{
    codec::{Codec, Failure, Outcome, Reply},
    http::Judge,
    payload::Payload,
};
use crate::error::{Error, Kind, Result};

pub(super) mod fields;
mod frames;
mod outgoing;

/// The largest block of fields.
const LARGEST: usize = 64 << 10;

/// So much may wait for the other end to read it, of what it is owed: whoever asks for more does nothing but ask.
const OWED: usize = 64 << 10;

/// How much is taken in before the other end hears that there is room for as much again.
const HALF: u32 = 1 << 30;

/// One connection's requests, which are all the same but for what a template changes, and their responses.
pub(crate) struct Http2 {
    /// The fields of a request, but for the length of a body that has another one each time.
    fields: Fields,
    body: Payload,
    varies: bool,
    judge: Judge,
    /// Whether the preface has been said, before which nothing may be.
    greeted: bool,
    /// How many requests there were.
    asked: u32,
    out: Outgoing,
    /// What the other end has settled; before that it is asked for one thing at a time.
    settled: bool,
    streams: u32,
    /// The requests under way, the oldest first.
    open: VecDeque<Open>,
    at: At,
    /// A block of fields that goes on in the next frame: whose it is, and whether the response ends behind it.
    begun: Option<(u32, bool, Vec<u8>)>,
    /// How much was taken in since the other end heard of it.
    taken: u32,
    owed: Vec<u8>,
    /// The other end takes no more requests.
    ends: bool,
}

/// A request that has no whole response yet.
struct Open {
    stream: u32,
    n: u64,
    /// 0 before the head has come.
    status: u16,
    taken: u32,
    content: Vec<u8>,
}

/// Where in the frames we are.
#[derive(Clone, Copy)]
enum At {
    Frame,
    /// In the data of that stream: how much of it is still to come, and how much padding behind it.
    Data {
        stream: u32,
        left: usize,
        padding: usize,
        ends: bool,
    },
}

/// The stream of a request by its number on the connection.
fn stream(ordinal: u32) -> u32 {
    ordinal * 2 + 1
}

/// How many requests there can be on a connection (section 5.1.1).
const MOST: u32 = 1 << 30;

impl Http2 {
    pub(super) fn new(fields: Fields, body: Payload, varies: bool, judge: Judge) -> Self {
        Self {
            fields,
            body,
            varies,
            judge,
            greeted: false,
            asked: 0,
            out: Outgoing::default(),
            settled: false,
            streams: 1,
            open: VecDeque::new(),
            at: At::Frame,
            begun: None,
            taken: 0,
            owed: Vec::new(),
            ends: false,
        }
    }

    /// What is said first (section 3.4): there is no table of fields, nothing is pushed, the windows are as wide as can be.
    fn preface(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.greeted, true) {
            return;
        }
        let settings = [(HEADER_TABLE_SIZE, 0), (ENABLE_PUSH, 0), (INITIAL_WINDOW_SIZE, WIDEST)];
        let settings = settings.map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()).concat();
        out.extend_from_slice(PREFACE);
        frames::write(SETTINGS, 0, 0, &settings, out);
        frames::write(WINDOW_UPDATE, 0, 0, &(WIDEST - outgoing::WINDOW).to_be_bytes(), out);
    }

    /// The fields of the next request, which is number `n` of the run and whose body has that length.
    fn headers(&self, n: u64, length: usize, out: &mut Vec<u8>) {
        let (stream, flags) = (stream(self.asked), if length == 0 { END_STREAM } else { 0 });
        let first = self.asked == 0;
        let same = self.fields.same().filter(|block| !first && !self.varies && block.len() <= self.out.longest());
        if let Some(block) = same {
            return frames::write(HEADERS, flags | END_HEADERS, stream, block, out);
        }
        let mut block = if first { vec![fields::NO_TABLE] } else { Vec::new() };
        self.fields.write(n, &mut block);
        if self.varies {
            fields::content_length(length, &mut block);
        }
        let mut pieces = block.chunks(self.out.longest()).peekable();
        let (mut kind, mut flags) = (HEADERS, flags);
        while let Some(piece) = pieces.next() {
            let last = if pieces.peek().is_none() { END_HEADERS } else { 0 };
            frames::write(kind, flags | last, stream, piece, out);
            (kind, flags) = (CONTINUATION, 0);
        }
    }

    /// Where among the open requests that stream is; most of the time it is the oldest one.
    fn find(&self, stream: u32) -> Option<usize> {
        match self.open.front() {
            Some(open) if open.stream == stream => Some(0),
            _ => self.open.binary_search_by_key(&stream, |open| open.stream).ok(),
        }
    }

    /// Whether there was a request on that stream; there may be none any more.
    fn is_ours(&self, stream: u32) -> bool {
        stream % 2 == 1 && stream / 2 < self.asked
    }

    /// Closes a stream, and says what came of its request.
    fn close(&mut self, at: usize, otherwise: Option<Outcome>, reply: &mut dyn FnMut(Reply)) {
        let Some(open) = self.open.remove(at) else { return };
        if self.out.forget(open.stream) && otherwise.is_none() {
            // It has answered without reading all of the request: the rest is not sent (section 8.1).
            frames::write(RST_STREAM, 0, open.stream, &CANCEL.to_be_bytes(), &mut self.owed);
        }
        let judged = || self.judge.outcome(open.status, Some(open.n), &open.content);
        let outcome = otherwise.unwrap_or_else(judged);
        reply(Reply { to: Some(u64::from(open.stream / 2)), outcome, last: self.over() });
    }

    fn over(&self) -> bool {
        (self.ends || self.asked == MOST) && self.open.is_empty()
    }

    /// A block of fields: the head of a response, an interim one, or trailers.
    fn fields(&mut self, stream: u32, ends: bool, block: &[u8], reply: &mut dyn FnMut(Reply)) -> Result<()> {
        let status = fields::status(block).map_err(wrong)?;
        // What still comes for a request that is over means nothing.
        let Some(at) = self.find(stream) else { return Ok(()) };
        let open = &mut self.open[at];
        match (status, open.status) {
            (Some(101), 0) => return Err(wrong("a response switches protocols")),
            (Some(100..200), 0) if ends => return Err(wrong("a response ends before it begins")),
            (Some(100..200), 0) => {}
            (Some(status), 0) => open.status = status,
            (None, 0) => return Err(wrong("a response has no status")),
            (None, _) if ends => {}
            _ => return Err(wrong("there are fields in the middle of a response")),
        }
        if ends {
            self.close(at, None, reply);
        }
        Ok(())
    }

    /// Some of a response's body.
    fn data(&mut self, stream: u32, data: &[u8], ends: bool, reply: &mut dyn FnMut(Reply)) {
        let Some(at) = self.find(stream) else { return };
        let open = &mut self.open[at];
        self.judge.keep(&mut open.content, data);
        if ends {
            self.close(at, None, reply);
        }
    }

    /// Makes room for as much as a frame of data has taken (section 6.9).
    fn make_room(&mut self, stream: u32, length: usize) {
        let mut renew = |stream: u32, taken: &mut u32| {
            *taken += length as u32;
            if *taken >= HALF {
                frames::write(WINDOW_UPDATE, 0, stream, &taken.to_be_bytes(), &mut self.owed);
                *taken = 0;
            }
        };
        renew(0, &mut self.taken);
        if let Ok(at) = self.open.binary_search_by_key(&stream, |open| open.stream) {
            renew(stream, &mut self.open[at].taken);
        }
    }

    /// Begins to read a frame of data, and says how much was read.
    fn begin_data(&mut self, frame: Frame, payload: &[u8], reply: &mut dyn FnMut(Reply)) -> Result<Option<usize>> {
        let padded = frame.has(PADDED);
        let padding = match payload.first() {
            Some(padding) if padded => usize::from(*padding),
            None if padded && frame.length > 0 => return Ok(None),
            _ => 0,
        };
        let Some(left) = frame.length.checked_sub(padding + usize::from(padded)) else {
            return Err(wrong("a frame is all padding, and more"));
        };
        if !self.is_ours(frame.stream) {
            return Err(wrong("there are data for no request"));
        }
        if self.find(frame.stream).is_some_and(|at| self.open[at].status == 0) {
            return Err(wrong("a response has a body before its head"));
        }
        self.make_room(frame.stream, frame.length);
        let ends = frame.has(END_STREAM);
        self.at = At::Data { stream: frame.stream, left, padding, ends };
        if left == 0 {
            self.data(frame.stream, &[], ends, reply);
        }
        Ok(Some(HEAD + usize::from(padded)))
    }

    /// One whole frame that is no data.
    fn frame(&mut self, frame: Frame, payload: &[u8], reply: &mut dyn FnMut(Reply)) -> Result<()> {
        match frame.kind {
            HEADERS => self.begin_fields(frame, payload, reply),
            CONTINUATION => self.go_on(frame, payload, reply),
            RST_STREAM => self.reset(frame, payload, reply),
            SETTINGS => self.settle(frame, payload),
            PUSH_PROMISE => Err(wrong("it pushes what it was asked not to push")),
            PING if frame.length != 8 || frame.stream != 0 => Err(wrong("a ping is none")),
            PING if frame.has(ACK) => Ok(()),
            PING => self.owe(PING, ACK, payload),
            GOAWAY => self.go_away(payload, reply),
            WINDOW_UPDATE => self.widen(frame, payload),
            // What nobody knows means nothing (section 5.5), and priorities are for servers.
            _ => Ok(()),
        }
    }

    fn begin_fields(&mut self, frame: Frame, payload: &[u8], reply: &mut dyn FnMut(Reply)) -> Result<()> {
        if !self.is_ours(frame.stream) {
            return Err(wrong("there is a response to no request"));
        }
        let block = unpadded(frame, payload).ok_or_else(|| wrong("a frame is all padding, and more"))?;
        if frame.has(END_HEADERS) {
            return self.fields(frame.stream, frame.has(END_STREAM), block, reply);
        }
        self.begun = Some((frame.stream, frame.has(END_STREAM), block.to_vec()));
        Ok(())
    }

    fn go_on(&mut self, frame: Frame, payload: &[u8], reply: &mut dyn FnMut(Reply)) -> Result<()> {
        let Some((stream, ends, mut block)) = self.begun.take() else {
            return Err(wrong("a block of fields goes on that has not begun"));
        };
        block.extend_from_slice(payload);
        if block.len() > LARGEST || payload.is_empty() && !frame.has(END_HEADERS) {
            return Err(wrong("a block of fields is larger than 64 KiB, or does not end"));
        }
        if frame.has(END_HEADERS) {
            return self.fields(stream, ends, &block, reply);
        }
        self.begun = Some((stream, ends, block));
        Ok(())
    }

    fn reset(&mut self, frame: Frame, payload: &[u8], reply: &mut dyn FnMut(Reply)) -> Result<()> {
        let code = frames::number(payload).filter(|_| payload.len() == 4 && self.is_ours(frame.stream));
        let code = code.ok_or_else(|| wrong("a reset is none"))?;
        if let Some(at) = self.find(frame.stream) {
            self.close(at, Some(Outcome::Failed(Failure::Kind(frames::kind(code)))), reply);
        }
        Ok(())
    }

    fn settle(&mut self, frame: Frame, payload: &[u8]) -> Result<()> {
        let (settings, rest) = payload.as_chunks::<6>();
        if frame.stream != 0 || !rest.is_empty() || frame.has(ACK) && !payload.is_empty() {
            return Err(wrong("settings are none"));
        }
        if frame.has(ACK) {
            return Ok(());
        }
        if !std::mem::replace(&mut self.settled, true) {
            self.streams = u32::MAX;
        }
        for &[a, b, c, d, e, f] in settings {
            let value = u32::from_be_bytes([c, d, e, f]);
            match u16::from_be_bytes([a, b]) {
                MAX_CONCURRENT_STREAMS => self.streams = value,
                INITIAL_WINDOW_SIZE => self.out.window_of_streams(value).map_err(wrong)?,
                MAX_FRAME_SIZE => self.out.longest_frame(value).map_err(wrong)?,
                ENABLE_PUSH if value != 0 => return Err(wrong("a server cannot be pushed to")),
                // Of a table for packed fields we use nothing, however large it may be.
                _ => {}
            }
        }
        self.owe(SETTINGS, ACK, &[])
    }

    fn widen(&mut self, frame: Frame, payload: &[u8]) -> Result<()> {
        let more = frames::number(payload).filter(|more| payload.len() == 4 && more & WIDEST > 0);
        let more = more.ok_or_else(|| wrong("a window grows by nothing"))? & WIDEST;
        match frame.stream {
            0 => self.out.widen(more).map_err(wrong),
            stream if self.is_ours(stream) => self.out.widen_stream(stream, more).map_err(wrong),
            _ => Err(wrong("a window grows for no request")),
        }
    }

    /// The server takes no more requests, and says which it has taken: the others may be asked again (section 6.8).
    fn go_away(&mut self, payload: &[u8], reply: &mut dyn FnMut(Reply)) -> Result<()> {
        let (Some(last), Some(code)) = (frames::number(payload), payload.get(4..).and_then(frames::number)) else {
            return Err(wrong("a farewell is none"));
        };
        if code != NO_ERROR {
            return Err(frames::given_up(code, &payload[8..]));
        }
        self.ends = true;
        if self.open.is_empty() {
            return Err(Error::new(Kind::Cut, "the server takes no more requests"));
        }
        while let Some(at) = self.open.len().checked_sub(1).filter(|at| self.open[*at].stream > last & WIDEST) {
            self.close(at, Some(Outcome::Undone), reply);
        }
        Ok(())
    }

    fn owe(&mut self, kind: u8, flags: u8, payload: &[u8]) -> Result<()> {
        if self.owed.len() > OWED {
            return Err(wrong("it asks for answers faster than it takes them"));
        }
        frames::write(kind, flags, 0, payload, &mut self.owed);
        Ok(())
    }

    /// Whether that frame may come next.
    fn judge_frame(&self, frame: Frame) -> Result<()> {
        if !self.settled && (frame.kind != SETTINGS || frame.has(ACK)) {
            let error = Error::new(Kind::Protocol, "what came is no HTTP/2");
            return Err(error.hint("does it speak HTTP/2? --http 1.1 is the other one"));
        }
        if frame.length > LONGEST {
            return Err(wrong("a frame is longer than 16 KiB"));
        }
        match &self.begun {
            Some((stream, ..)) if frame.kind != CONTINUATION || frame.stream != *stream => {
                Err(wrong("something else comes in the middle of a block of fields"))
            }
            _ => Ok(()),
        }
    }
}

impl Codec for Http2 {
    fn ask(&mut self, n: u64, out: &mut Vec<u8>) {
        self.preface(out);
        let stream = stream(self.asked);
        match self.body.same().map(|bytes| bytes.len()) {
            Some(length) => {
                self.headers(n, length, out);
                if length > 0 && self.out.takes(stream, length, out) {
                    self.body.write(n, out);
                } else if let Some(bytes) = self.body.same().filter(|_| length > 0) {
                    self.out.send(stream, bytes.clone(), out);
                }
            }
            None => {
                let mut bytes = Vec::new();
                self.body.write(n, &mut bytes);
                self.headers(n, bytes.len(), out);
                if !bytes.is_empty() {
                    self.out.send(stream, bytes.into(), out);
                }
            }
        }
        self.open.push_back(Open { stream, n, status: 0, taken: 0, content: Vec::new() });
        self.asked += 1;
    }

    fn hear(&mut self, input: &[u8], reply: &mut dyn FnMut(Reply)) -> Result<usize> {
        let mut used = 0;
        loop {
            let rest = &input[used..];
            match &mut self.at {
                At::Data { left: 0, padding: 0, .. } => self.at = At::Frame,
                At::Data { left: 0, padding, .. } => {
                    let n = rest.len().min(*padding);
                    if n == 0 {
                        return Ok(used);
                    }
                    *padding -= n;
                    used += n;
                }
                At::Data { stream, left, ends, .. } => {
                    let n = rest.len().min(*left);
                    if n == 0 {
                        return Ok(used);
                    }
                    *left -= n;
                    let (stream, ends) = (*stream, *ends && *left == 0);
                    self.data(stream, &rest[..n], ends, reply);
                    used += n;
                }
                At::Frame => {
                    let Some(frame) = Frame::read(rest) else { return Ok(used) };
                    self.judge_frame(frame)?;
                    let payload = &rest[HEAD..];
                    if frame.kind == DATA {
                        let Some(read) = self.begin_data(frame, payload, reply)? else { return Ok(used) };
                        used += read;
                    } else {
                        let Some(payload) = payload.get(..frame.length) else { return Ok(used) };
                        self.frame(frame, payload, reply)?;
                        used += HEAD + frame.length;
                    }
                }
            }
        }
    }

    fn end(&mut self, _reply: &mut dyn FnMut(Reply)) -> Result<()> {
        match self.open.is_empty() {
            true => Ok(()),
            false => Err(Error::new(Kind::Cut, "the connection ended before the last response did")),
        }
    }

    fn owed(&mut self, out: &mut Vec<u8>) {
        // A server may speak first, and be answered before anything is asked.
        self.preface(out);
        out.append(&mut self.owed);
        self.out.pour(out);
    }

    fn farewell(&mut self, out: &mut Vec<u8>) {
        // Of the server's streams, of which there are none, and without an error (section 6.8).
        frames::write(GOAWAY, 0, 0, &[[0; 4], NO_ERROR.to_be_bytes()].concat(), out);
    }

    fn room(&self, under_way: usize) -> bool {
        !self.ends && self.asked < MOST && under_way < self.streams as usize
    }
}

/// The payload of a frame of fields without its padding, and without a priority.
fn unpadded(frame: Frame, payload: &[u8]) -> Option<&[u8]> {
    let (padding, payload) = match frame.has(PADDED) {
        true => payload.split_first().map(|(padding, payload)| (usize::from(*padding), payload))?,
        false => (0, payload),
    };
    let payload = if frame.has(PRIORITY) { payload.get(5..)? } else { payload };
    payload.get(..payload.len().checked_sub(padding)?)
}

#[cfg(test)]
mod tests;
