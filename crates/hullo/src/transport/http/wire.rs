//! What the loop of an HTTP/1.1 connection and the body of the request under way share: the stream, and what was read and
//! is to be written. Nothing is held in it while the connection is idle.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use ::http::{Response, StatusCode};
use bytes::{Buf, Bytes, BytesMut};
use hyper::body::Frame;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    chunked::{Chunks, Piece},
    head::{self, Head, Length, Refusal, Search},
    seen::Seen,
    socket::Socket,
};
use crate::{
    error::{Error, Kind, Result},
    io::{exchange::Early, file::Part, guard::Guard, scratch},
};

mod incoming;

pub(super) use self::incoming::Incoming;

/// The most that is gathered before it is written.
const GATHERED: usize = 64 << 10;

/// What is larger than that is written from where it is, and not copied first.
pub(super) const COPIED: usize = 16 << 10;

/// The most empty lines before a request that begin none. There must be an end to them: each is a sign of life, and whoever
/// sends nothing else would stay for ever.
const BLANKS: u8 = 4;

/// How much of a file the kernel is told to send at once. It does that in one go as long as the client takes it, and the
/// others on this core wait.
pub(super) const AT_ONCE: usize = 1 << 20;

/// A connection in the hands of several.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Wire>>);

impl Shared {
    pub(super) fn new(wire: Wire) -> Self {
        Self(Arc::new(Mutex::new(wire)))
    }

    /// Never held over an await: whoever polls it has it for as long.
    pub(super) fn lock(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The wire, once nobody else has it.
    pub(super) fn into_wire(self) -> Option<Wire> {
        Arc::into_inner(self.0).map(|wire| wire.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Interim responses of one request.
pub(super) struct Before {
    wire: Shared,
    turn: u64,
}

impl Before {
    pub(super) fn new(wire: &Shared) -> Self {
        Self { wire: wire.clone(), turn: wire.lock().turn }
    }
}

impl Early for Before {
    fn poll_send(&self, head: &mut Option<Response<()>>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut wire = self.wire.lock();
        if let Some(head) = head.take() {
            if !head.status().is_informational() || head.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Poll::Ready(Err(Error::usage(format!("{} is no interim response", head.status()))));
            }
            if wire.responding || wire.turn != self.turn {
                return Poll::Ready(Err(Error::usage("the response has begun already")));
            }
            head::write(head.status(), head.headers(), Seen::of(head.headers()), &mut wire.output);
            wire.output.extend_from_slice(b"\r\n");
        }
        wire.poll_flush(cx).map_err(|error| Error::io("an interim response was cut off", error))
    }
}

/// The raw stream, behind all that was gathered: for the end of a connection.
impl AsyncRead for Shared {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Shared {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut wire = self.lock();
        ready!(wire.poll_flush(cx))?;
        Pin::new(&mut wire.stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.lock();
        ready!(wire.poll_flush(cx))?;
        Pin::new(&mut wire.stream).poll_shutdown(cx)
    }
}

pub(super) struct Wire {
    stream: Guard<Socket>,
    /// What was read and is not understood yet.
    input: BytesMut,
    search: Search,
    /// How many empty lines were passed over since the last head.
    blanks: u8,
    /// What was gathered to be written.
    pub(super) output: BytesMut,
    /// What was written may still be on its way inside the stream, as in that of TLS.
    unflushed: bool,
    /// The client has ended its half.
    ended: bool,
    /// What is still to come of the request's body.
    coming: Coming,
    /// Which request is under way: the body of an earlier one reads nothing more.
    turn: u64,
    /// The client waits for `100 Continue`.
    pub(super) expects: bool,
    /// It is too late for interim responses.
    pub(super) responding: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coming {
    Bytes(u64),
    Chunks(Chunks),
    /// The body was broken, and with it all that comes behind.
    Broken,
}

/// What a connection begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// Nothing: the client has gone again.
    Nothing,
    Http1,
    /// The preface of HTTP/2 (RFC 9113, section 3.4).
    Http2,
}

/// How much of the preface is enough to tell: HTTP/1 has no such method.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Wire {
    pub(super) fn new(stream: Guard<Socket>) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            search: Search::default(),
            blanks: 0,
            output: BytesMut::new(),
            unflushed: false,
            ended: false,
            coming: Coming::Bytes(0),
            turn: 0,
            expects: false,
            responding: false,
        }
    }

    /// The stream, and what was read from it already.
    pub(super) fn into_parts(self) -> (Guard<Socket>, Bytes) {
        (self.stream, self.input.freeze())
    }

    /// Whether all that was gathered has left.
    pub(super) fn is_flushed(&self) -> bool {
        self.output.is_empty() && !self.unflushed
    }

    pub(super) fn poll_beginning(&mut self, cx: &mut Context<'_>) -> Poll<Result<Beginning>> {
        loop {
            let known = self.input.len().min(PREFACE.len());
            if known > 0 && self.input[..known] != PREFACE[..known] {
                return Poll::Ready(Ok(Beginning::Http1));
            }
            if known == PREFACE.len() {
                return Poll::Ready(Ok(Beginning::Http2));
            }
            let read = ready!(self.poll_fill(cx)).map_err(|error| Error::io("the connection did not begin", error))?;
            if read == 0 {
                return Poll::Ready(Ok(if known == 0 { Beginning::Nothing } else { Beginning::Http1 }));
            }
        }
    }

    /// Waits for the beginning of the next request; says whether there is one, or the client has ended.
    pub(super) fn poll_begun(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        // A server that ends has nothing more to wait for here.
        self.stream.heed_stop(true);
        loop {
            if self.has_begun() {
                return Poll::Ready(Ok(true));
            }
            // Whoever waits for answers before asking on gets them now. More at once are answered together.
            ready!(self.poll_flush(cx))?;
            if ready!(self.poll_fill(cx))? == 0 {
                return Poll::Ready(Ok(false));
            }
        }
    }

    /// Whether something of a next request is there.
    fn has_begun(&mut self) -> bool {
        // A line end behind a body is no beginning of a request (section 2.2).
        while self.search.is_new() && self.blanks < BLANKS && self.input.starts_with(b"\r\n") {
            self.input.advance(2);
            self.blanks += 1;
        }
        if self.input.is_empty() {
            // The capacity goes back.
            self.input = BytesMut::new();
        }
        !self.input.is_empty()
    }

    /// The head of the next request; nothing where none has begun.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Head>, Ending>> {
        self.stream.heed_stop(true);
        if self.is_full() {
            // Much that was gathered leaves before more is asked for.
            ready!(self.poll_flush(cx))?;
        }
        while self.has_begun() {
            if let Some(head) = self.take_head()? {
                return Poll::Ready(Ok(Some(head)));
            }
            ready!(self.poll_flush(cx))?;
            if ready!(self.poll_fill(cx))? == 0 {
                return Poll::Ready(Err(Ending::Cut("the request ended in its head")));
            }
        }
        Poll::Ready(Ok(None))
    }

    /// What was read and is not understood yet, between two requests.
    pub(super) fn input(&self) -> &[u8] {
        &self.input
    }

    /// Passes over a request that was understood without this.
    pub(super) fn pass(&mut self, length: usize) {
        self.input.advance(length);
        self.blanks = 0;
    }

    /// Whether so much was gathered that it has to leave.
    pub(super) fn is_full(&self) -> bool {
        self.output.len() >= GATHERED
    }

    fn take_head(&mut self) -> Result<Option<Head>, Refusal> {
        let whole = if self.search.is_new() { head::whole(&self.input) } else { None };
        let end = if whole.is_some() { whole } else { self.search.end(&self.input)? };
        let Some(end) = end else { return Ok(None) };
        (self.search, self.blanks) = (Search::default(), 0);
        let head = head::read(&self.input.split_to(end).freeze())?;
        // What is under way is finished, also by a server that ends.
        self.stream.heed_stop(false);
        self.turn += 1;
        self.expects = head.expects;
        self.responding = false;
        self.coming = match head.length {
            Length::Known(length) => Coming::Bytes(length),
            Length::Chunked => Coming::Chunks(Chunks::default()),
        };
        Ok(Some(head))
    }

    /// Whether the request has been read to its end.
    pub(super) fn is_read(&self) -> bool {
        self.coming == Coming::Bytes(0)
    }

    /// Whether another request may follow: not where nobody knows what the next byte is.
    pub(super) fn may_go_on(&self) -> bool {
        self.is_read() || !self.expects && self.coming != Coming::Broken
    }

    /// Takes the rest of the request's body from whoever still has it. Says whether there is none.
    pub(super) fn finish(&mut self) -> bool {
        self.turn += 1;
        self.is_read()
    }

    /// Whether the client has gone, seen by reading what it sends meanwhile. That it only ended its half is no reason to
    /// think so.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        while self.is_read() && !self.ended && self.input.len() < GATHERED {
            if let Err(error) = ready!(self.poll_fill(cx)) {
                return Poll::Ready(error);
            }
        }
        Poll::Pending
    }

    /// The next piece of the request's body.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        loop {
            match self.piece() {
                Ok(None) if self.is_read() => return Poll::Ready(None),
                Ok(None) => {}
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Err(why) => {
                    self.coming = Coming::Broken;
                    return Poll::Ready(Some(Err(
                        Error::new(Kind::Protocol, "the request's body is broken").because(why)
                    )));
                }
            }
            // After the response has begun, "go on" would be a part of it.
            if std::mem::take(&mut self.expects) && !self.responding {
                self.output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            // What the client may be waiting for leaves first; that it cannot leave does not keep us from reading. Once
            // the response has begun it is the connection's own task that writes, and that must be woken for it.
            let flushed = if self.responding { Poll::Pending } else { self.poll_flush(cx) };
            let read = match flushed {
                Poll::Ready(Err(error)) => Err(error),
                _ => ready!(self.poll_fill(cx)),
            };
            let about = "the request's body was cut off";
            let error = match read {
                Ok(0) => Error::new(Kind::Cut, about),
                Ok(_) => continue,
                Err(error) => Error::io(about, error),
            };
            self.coming = Coming::Broken;
            return Poll::Ready(Some(Err(error)));
        }
    }

    /// A piece of the body out of what has been read.
    fn piece(&mut self) -> Result<Option<Frame<Bytes>>, &'static str> {
        let frame = match &mut self.coming {
            Coming::Broken => return Err("it was broken before"),
            Coming::Bytes(left) if *left == 0 || self.input.is_empty() => return Ok(None),
            Coming::Bytes(left) => {
                let n = usize::try_from(*left).unwrap_or(usize::MAX).min(self.input.len());
                *left -= n as u64;
                Some(Frame::data(self.input.split_to(n).freeze()))
            }
            Coming::Chunks(chunks) => match chunks.read(&mut self.input)? {
                None => None,
                Some(Piece::Data(data)) => Some(Frame::data(data)),
                Some(Piece::End(trailers)) => {
                    self.coming = Coming::Bytes(0);
                    (!trailers.is_empty()).then(|| Frame::trailers(trailers))
                }
            },
        };
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        Ok(frame)
    }

    /// Throws away what is left of the request's body; says whether its end came within `most` bytes.
    pub(super) fn poll_skip(&mut self, most: &mut usize, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            match ready!(self.poll_body(cx)) {
                None => return Poll::Ready(true),
                Some(Err(_)) => return Poll::Ready(false),
                Some(Ok(frame)) => match most.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                    Some(left) => *most = left,
                    None => return Poll::Ready(false),
                },
            }
        }
    }

    /// Reads what there is; 0 is the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Self { stream, input, ended, .. } = self;
        if *ended {
            return Poll::Ready(Ok(0));
        }
        scratch::with(|buf| {
            let read = ready!(scratch::poll_read(cx, Pin::new(stream), buf))?;
            input.extend_from_slice(&buf[..read]);
            *ended = read == 0;
            Poll::Ready(Ok(read))
        })
    }

    /// Writes what was gathered.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write(&mut Bytes::new(), cx)
    }

    /// Writes what was gathered, and `data` behind it.
    fn poll_write(&mut self, data: &mut Bytes, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, output, unflushed, .. } = self;
        if output.is_empty() && data.is_empty() && !*unflushed {
            return Poll::Ready(Ok(()));
        }
        while !output.is_empty() || !data.is_empty() {
            let stream = Pin::new(&mut *stream);
            let written = if data.is_empty() {
                ready!(stream.poll_write(cx, output))?
            } else {
                ready!(stream.poll_write_vectored(cx, &[IoSlice::new(output), IoSlice::new(data)]))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *unflushed = true;
            let gathered = written.min(output.len());
            output.advance(gathered);
            data.advance(written - gathered);
        }
        *output = BytesMut::new();
        ready!(Pin::new(stream).poll_flush(cx))?;
        *unflushed = false;
        Poll::Ready(Ok(()))
    }

    /// Gathers `data`, or writes it where that is too much to gather. To be called again until it is ready.
    pub(super) fn poll_send(&mut self, data: &mut Bytes, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if data.len() <= COPIED {
            self.output.extend_from_slice(data);
            data.clear();
            if !self.is_full() {
                return Poll::Ready(Ok(()));
            }
        }
        self.poll_write(data, cx)
    }

    /// Whether the kernel can send a file as it is.
    pub(super) fn is_bare(&self) -> bool {
        self.stream.is_bare()
    }

    /// Has the kernel send the next bytes of a file, behind all that was gathered: as much as the client takes now.
    pub(super) fn poll_send_file(
        &mut self,
        part: &mut Part,
        most: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if !self.output.is_empty() {
            ready!(self.stream.poll_write_ahead(&mut self.output, cx))?;
            self.output = BytesMut::new();
        }
        self.stream.poll_send(part, most, cx)
    }
}

/// Why a connection gets no further request.
pub(super) enum Ending {
    /// It is told so.
    Refused(Refusal),
    /// There is nobody to tell.
    Cut(&'static str),
    Failed(io::Error),
}

impl From<Refusal> for Ending {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<io::Error> for Ending {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}
