//! A stream inside TLS, once hands are shaken.
//!
//! Records are read several at a time into a buffer of the thread's, opened there, and passed on; they are sealed several at
//! a time, and leave in one system call. What is idle holds none of them.

use std::{
    cell::RefCell,
    io::{self, ErrorKind, IoSlice},
    ops::Range,
    os::fd::BorrowedFd,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use rustls::{Error as Rustls, crypto::cipher::OutboundChunks};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{
    conversation::Conversation,
    handshake::{Part, Shaken},
    owed::Owed,
    reasons,
    records::{CARRIED, FULL, HEADER, LARGEST, missing, whole},
};
use crate::{
    error::{Error, Kind},
    io::scratch,
    link::Stream,
};

/// What is read at a time where there is little room.
const SPACE: usize = 64 << 10;

/// Room for several records, of which the last one that was read may be held still.
const BULK: usize = 3 * FULL;

/// What is sealed at a time, and so what is held for who does not read.
const BATCH: usize = 4 * CARRIED;

thread_local! {
    /// Not the one of `scratch`, into which whoever reads from TLS reads.
    static CAME: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A TLS stream whose end means something.
///
/// An end without TLS's own farewell may be a forgery that cuts the conversation short (RFC 8446, section 6.1). A client
/// is told so; a server takes it as the end, since many clients just close. An end amid a record is never a clean one.
pub(in crate::transport) struct TlsStream {
    socket: TcpStream,
    conversation: Conversation,
    strict: bool,
    alpn: Option<Box<[u8]>>,
    /// Records that were read and not opened yet: mostly the beginning of one. Nothing once the conversation is over.
    sealed: BytesMut,
    /// What was opened and had no room where it was read into.
    opened: BytesMut,
    owed: Owed,
    failed: Option<Box<Rustls>>,
}

impl TlsStream {
    /// The stream after a handshake.
    ///
    /// # Errors
    /// There are no keys.
    pub(super) fn new<P: Part>(
        socket: TcpStream,
        shaken: Shaken<P>,
        strict: bool,
    ) -> std::result::Result<Self, Rustls> {
        let alpn = shaken.part.alpn_protocol().map(Box::from);
        Ok(Self {
            socket,
            conversation: Conversation::new(shaken.part.keys()?),
            strict,
            alpn,
            sealed: BytesMut::from(&shaken.came[..]),
            opened: BytesMut::new(),
            owed: Owed::waiting(shaken.tickets),
            failed: None,
        })
    }

    /// What was agreed on to be spoken inside.
    pub(super) fn alpn(&self) -> Option<&[u8]> {
        self.alpn.as_deref()
    }

    /// Passes on what has been opened already.
    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let n = self.opened.len().min(buf.remaining());
        buf.put_slice(&self.opened[..n]);
        self.opened.advance(n);
        if self.opened.is_empty() {
            self.opened = BytesMut::new();
        }
    }

    /// Opens the first record of `came`, if all of it is there. Returns where its data is, and how long it is.
    fn open_one(&mut self, came: &mut [u8]) -> Option<(Range<usize>, usize)> {
        if self.is_over() {
            return None;
        }
        let owed = self.owed.len();
        let opened = match whole(came, self.conversation.longest_record()) {
            Ok(None) => return None,
            Ok(Some(length)) => self.conversation.open(&mut came[..length], &mut self.owed).map(|data| (data, length)),
            Err(wrong) => Err(self.conversation.refuse(wrong.into(), &mut self.owed)),
        };
        if self.owed.len() > owed {
            // The other end may wait for it, and here nobody may ever write.
            self.owed.send_now(&self.socket);
        }
        opened.map_err(|error| self.failed = Some(Box::new(error))).ok()
    }

    /// Opens records as long as there are whole ones and there is room. Returns how many bytes of `came` are used up.
    fn open(&mut self, came: &mut [u8], buf: &mut ReadBuf<'_>) -> usize {
        let mut used = 0;
        while buf.remaining() > 0
            && let Some((data, length)) = self.open_one(&mut came[used..])
        {
            let data = &came[used..][data];
            let (now, later) = data.split_at(data.len().min(buf.remaining()));
            buf.put_slice(now);
            self.opened.extend_from_slice(later);
            used += length;
        }
        used
    }

    /// Opens what was read before.
    fn open_held(&mut self, buf: &mut ReadBuf<'_>) {
        let mut sealed = std::mem::take(&mut self.sealed);
        let used = self.open(&mut sealed, buf);
        sealed.advance(used);
        if !sealed.is_empty() && !self.is_over() {
            self.sealed = sealed;
        }
    }

    /// Holds what was read and not opened, unless it lies behind the end.
    fn hold(&mut self, rest: &[u8]) {
        self.sealed.extend_from_slice(rest);
        if self.sealed.is_empty() || self.is_over() {
            self.sealed = BytesMut::new();
        }
    }

    /// Whether nothing more is opened.
    fn is_over(&self) -> bool {
        self.failed.is_some() || self.conversation.ended
    }

    /// Reads and opens what there is; false at the end. Cancel-safe: what was read is held where it is not passed on.
    fn poll_receive(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        if buf.initialized().len() - buf.filled().len() >= BULK {
            return self.poll_receive_in_place(cx, buf);
        }
        CAME.with_borrow_mut(|came| {
            came.resize(SPACE, 0);
            // As much as there is room for, so that little waits, and always a whole record.
            let most = (buf.remaining() + HEADER).clamp(LARGEST, SPACE);
            let Some(n) = ready!(self.poll_sealed(cx, &mut came[..most]))? else { return Poll::Ready(Ok(false)) };
            let used = self.open(&mut came[..n], buf);
            self.hold(&came[used..n]);
            Poll::Ready(Ok(true))
        })
    }

    /// The same where there is room for several records: they are opened where the data is to be, and moved together.
    /// So they pass through the cache once.
    fn poll_receive_in_place(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        // Of full ones, no piece is left.
        let room = (buf.initialized().len() - buf.filled().len()) / FULL * FULL;
        let came = buf.initialize_unfilled_to(room);
        let Some(n) = ready!(self.poll_sealed(cx, came))? else { return Poll::Ready(Ok(false)) };
        let (mut used, mut moved) = (0, 0);
        while let Some((data, length)) = self.open_one(&mut came[used..n]) {
            let size = data.len();
            came.copy_within(used + data.start..used + data.end, moved);
            moved += size;
            used += length;
        }
        self.hold(&came[used..n]);
        buf.advance(moved);
        Poll::Ready(Ok(true))
    }

    /// Reads behind what is held, and moves that in front of it. Returns how much there is then; nothing at the end. A
    /// record that comes byte by byte is gathered where it is held: then there is nothing to be opened yet.
    fn poll_sealed(&mut self, cx: &mut Context<'_>, came: &mut [u8]) -> Poll<io::Result<Option<usize>>> {
        let held = self.sealed.len();
        let n = ready!(scratch::poll_read(cx, Pin::new(&mut self.socket), &mut came[held..]))?;
        if n == 0 {
            return Poll::Ready(Ok(None));
        }
        if held > 0 && n < missing(&self.sealed) {
            self.sealed.extend_from_slice(&came[held..held + n]);
            return Poll::Ready(Ok(Some(0)));
        }
        came[..held].copy_from_slice(&self.sealed);
        self.sealed.clear();
        Poll::Ready(Ok(Some(held + n)))
    }

    /// What an end of the socket is, which the other end has not announced.
    fn end(&self) -> io::Result<()> {
        let is_cut = self.strict || !self.sealed.is_empty() || self.conversation.is_in_message();
        let about = "the other end closed without TLS's farewell (close_notify): the end may be missing";
        if is_cut { Err(Error::new(Kind::Cut, about).into()) } else { Ok(()) }
    }

    /// What has failed, in words; also to who only writes, and so hears of a refusal.
    fn failure(&self) -> Option<io::Error> {
        let error = io::Error::new(ErrorKind::InvalidData, self.failed.as_deref()?.clone());
        Some(reasons::of_stream(error).into())
    }

    /// Seals and writes; ready with what was taken, of which a batch may be held. What fails behind that is told next time.
    fn poll_seal(&mut self, cx: &mut Context<'_>, mut data: OutboundChunks<'_>) -> Poll<io::Result<usize>> {
        if let Some(failure) = self.failure() {
            return Poll::Ready(Err(failure));
        }
        if !self.owed.takes_more() {
            ready!(self.owed.poll_send(cx, &mut self.socket))?;
        }
        if self.conversation.is_closed() {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let all = data.len();
        while !data.is_empty() && self.owed.takes_more() && self.failed.is_none() {
            data = self.seal(data);
            if let Poll::Ready(Err(error)) = self.owed.poll_send(cx, &mut self.socket) {
                self.owed.fail_later(error);
                break;
            }
        }
        let taken = all - data.len();
        Poll::Ready(match self.failure() {
            Some(failure) if taken == 0 => Err(failure),
            _ => Ok(taken),
        })
    }

    /// Seals a batch, or as much of it as can be sealed. Returns the rest.
    fn seal<'a>(&mut self, mut data: OutboundChunks<'a>) -> OutboundChunks<'a> {
        for _ in 0..BATCH / CARRIED {
            let (piece, rest) = data.split_at(CARRIED);
            if piece.is_empty() {
                break;
            }
            if let Err(error) = self.conversation.seal(piece, &mut self.owed) {
                self.failed = Some(Box::new(error));
                break;
            }
            data = rest;
        }
        data
    }
}

impl Stream for TlsStream {
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.socket()
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        loop {
            self.give(buf);
            self.open_held(buf);
            if buf.filled().len() > before || buf.remaining() == 0 || self.conversation.ended {
                return Poll::Ready(Ok(()));
            }
            if let Some(failure) = self.failure() {
                return Poll::Ready(Err(failure));
            }
            let Poll::Ready(received) = self.poll_receive(cx, buf) else {
                // Whoever waits for it may be the one who is waited for here.
                let this = &mut *self;
                this.owed.send_now(&this.socket);
                return Poll::Pending;
            };
            if !received? {
                return Poll::Ready(self.end());
            }
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_seal(cx, OutboundChunks::Single(buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let chunks: Vec<&[u8]> = bufs.iter().map(|chunk| &**chunk).collect();
        self.poll_seal(cx, OutboundChunks::new(&chunks))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.owed.poll_send(cx, &mut this.socket)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.conversation.close(&mut this.owed);
        ready!(this.owed.poll_send(cx, &mut this.socket))?;
        match ready!(Pin::new(&mut this.socket).poll_shutdown(cx)) {
            // Who is gone needs no farewell.
            Err(error) if error.kind() == ErrorKind::NotConnected => Poll::Ready(Ok(())),
            shut => Poll::Ready(shut),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
