//! A WebSocket as a wire of messages.

use std::{
    future::Future,
    io,
    os::fd::BorrowedFd,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use aws_lc_rs::rand;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Sink, Stream};
use tokio::{
    io::AsyncWrite,
    time::{Sleep, sleep},
};

use super::{
    deflate::Deflate,
    frames::{Breach, Reader, Received, Role, TOO_BIG, write, write_close, write_pong},
};
use crate::{
    error::{Error, Kind, Result},
    framing::too_large,
    io::scratch,
    link::{BoxStream, Packets, Stream as _},
    message::Message,
    scope::Scope,
};

/// So much may wait to be written before the next message waits.
const HIGH_WATER: usize = 64 << 10;

/// How long a peer that broke the protocol has to read why.
const LAST_WORDS: Duration = Duration::from_secs(1);

const NORMAL: u16 = 1000;
const GOING_AWAY: u16 = 1001;

/// What was agreed on in the handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// The peer goes on reading after our farewell.
    pub(crate) half_closes: bool,
    /// Messages may be compressed.
    pub(crate) deflate: Option<Deflate>,
}

/// A WebSocket after its handshake.
pub(crate) struct WebSocket {
    stream: BoxStream,
    scope: Scope,
    role: Role,
    reader: Reader,
    deflate: Option<Deflate>,
    incoming: BytesMut,
    outgoing: BytesMut,
    /// The answer that a ping waits for.
    pong: Option<Bytes>,
    /// The peer's farewell, once it has come.
    farewell: Option<Option<u16>>,
    said_farewell: bool,
    /// The peer goes on reading after our farewell.
    half_closes: bool,
    breach: Option<(Error, Pin<Box<Sleep>>)>,
    ended: bool,
}

impl WebSocket {
    /// Takes over a stream after the handshake, in which was agreed what `terms` say.
    pub(crate) fn new(stream: BoxStream, role: Role, terms: Terms, scope: Scope) -> Self {
        let Terms { half_closes, deflate } = terms;
        let reader = Reader::new(role, scope.limits().max).inflating(deflate);
        Self {
            stream,
            scope,
            role,
            reader,
            deflate,
            incoming: BytesMut::new(),
            outgoing: BytesMut::new(),
            pong: None,
            farewell: None,
            said_farewell: false,
            half_closes,
            breach: None,
            ended: false,
        }
    }

    fn mask(&self) -> Option<[u8; 4]> {
        (self.role == Role::Client).then(|| {
            let mut mask = [0; 4];
            // It guards broken proxies against chosen bytes; without randomness, none would still be a valid mask.
            let _ = rand::fill(&mut mask);
            mask
        })
    }

    fn say_farewell(&mut self, code: Option<u16>, reason: &str) {
        if !std::mem::replace(&mut self.said_farewell, true) {
            write_close(code, reason, self.mask(), &mut self.outgoing);
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        scratch::with(|buf| {
            let n = ready!(scratch::poll_read(cx, Pin::new(&mut self.stream), buf))?;
            self.incoming.extend_from_slice(&buf[..n]);
            Poll::Ready(Ok(n))
        })
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        while !self.outgoing.is_empty() {
            let n = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.outgoing)).map_err(cut)?;
            if n == 0 {
                return Poll::Ready(Err(cut(io::ErrorKind::WriteZero.into())));
            }
            self.outgoing.advance(n);
        }
        // The capacity goes back.
        self.outgoing = BytesMut::new();
        Pin::new(&mut self.stream).poll_flush(cx).map_err(cut)
    }

    /// Tells the peer what it did wrong, and waits a moment for it to have read that.
    fn poll_last_words(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let patient = |(_, alarm): &mut (Error, Pin<Box<Sleep>>)| alarm.as_mut().poll(cx).is_pending();
        if self.breach.as_mut().is_some_and(patient) {
            let said =
                ready!(self.poll_out(cx)).is_ok() && ready!(Pin::new(&mut self.stream).poll_shutdown(cx)).is_ok();
            if said {
                while matches!(ready!(self.poll_fill(cx)), Ok(1..)) {
                    self.incoming.clear();
                }
            }
        }
        self.ended = true;
        let broken = || Error::new(Kind::Protocol, "the WebSocket protocol was broken");
        Poll::Ready(self.breach.take().map_or_else(broken, |(error, _)| error))
    }

    fn broken(&mut self, Breach { code, reason }: Breach) {
        let error = match code {
            TOO_BIG => too_large(self.scope.limits().max),
            _ => Error::new(Kind::Protocol, format!("the other end broke the WebSocket protocol: {reason}")),
        };
        self.say_farewell(Some(code), reason);
        self.breach = Some((error, Box::pin(sleep(LAST_WORDS))));
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message>>> {
        loop {
            if self.breach.is_some() {
                return self.poll_last_words(cx).map(|error| Some(Err(error)));
            }
            if self.ended || self.farewell.is_some() {
                return Poll::Ready(None);
            }
            if self.pong.is_some() {
                // Pongs wait for the peer to read like anything else: a flood of pings is not stored.
                if self.outgoing.len() >= HIGH_WATER {
                    ready!(self.poll_out(cx))?;
                }
                if let Some(payload) = self.pong.take().filter(|_| !self.said_farewell) {
                    write_pong(&payload, self.mask(), &mut self.outgoing);
                    let _ = self.poll_out(cx)?;
                }
            }
            let received = if self.incoming.is_empty() { Ok(None) } else { self.reader.read(&mut self.incoming) };
            match received {
                Ok(Some(Received::Message(message))) => return Poll::Ready(Some(Ok(message))),
                Ok(Some(Received::Ping(payload))) => self.pong = Some(payload),
                Ok(Some(Received::Pong)) => {}
                Ok(Some(Received::Close(code, reason))) => {
                    self.farewell = Some(code);
                    // Of the protocol's own codes 1000 and 1001 are good-byes; the others say what went wrong (7.4.1).
                    if let (Role::Client, Some(code @ 1002..3000)) = (self.role, code) {
                        let error = match code {
                            TOO_BIG => Error::new(Kind::TooLarge, "the other end takes no message that is so long"),
                            _ => Error::new(
                                Kind::Protocol,
                                format!("the other end closed the WebSocket with code {code}"),
                            ),
                        };
                        let error = if reason.is_empty() { error } else { error.because(crate::error::brief(&reason)) };
                        // It hears that we have heard (section 5.5.1).
                        self.say_farewell(Some(code), "");
                        self.breach = Some((error, Box::pin(sleep(LAST_WORDS))));
                    }
                }
                Ok(None) => {
                    if self.incoming.is_empty() {
                        self.incoming = BytesMut::new();
                    }
                    match ready!(self.poll_fill(cx)) {
                        Ok(0) if self.scope.is_stopping() => self.ended = true,
                        Ok(0) if self.said_farewell => self.ended = true,
                        Ok(0) => {
                            self.ended = true;
                            let error = Error::new(
                                Kind::Cut,
                                "the WebSocket ended without a Close frame: the end may be missing",
                            );
                            return Poll::Ready(Some(Err(error)));
                        }
                        Ok(_) => {}
                        Err(error) => match cut(error) {
                            // Who was silent for too long hears why the connection ends.
                            error if error.kind() == Kind::Timeout && !self.said_farewell => {
                                self.say_farewell(Some(GOING_AWAY), "nothing moved for too long");
                                self.breach = Some((error, Box::pin(sleep(LAST_WORDS))));
                            }
                            error => return Poll::Ready(Some(Err(error))),
                        },
                    }
                }
                Err(breach) => self.broken(breach),
            }
        }
    }
}

fn cut(error: io::Error) -> Error {
    Error::io("the WebSocket was cut off", error)
}

impl Stream for WebSocket {
    type Item = Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_message(cx)
    }
}

impl Sink<Message> for WebSocket {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.outgoing.len() < HIGH_WATER { Poll::Ready(Ok(())) } else { self.poll_out(cx) }
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<()> {
        if self.said_farewell {
            return Err(Error::new(Kind::Cut, "a message after the farewell of a WebSocket"));
        }
        let mask = self.mask();
        write(&message, self.deflate, mask, &mut self.outgoing);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_out(cx)
    }

    /// Sends the Close frame, and once both have been sent ends the stream too.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let code = match self.farewell {
            Some(theirs) => theirs,
            None if self.scope.is_stopping() && self.role == Role::Server => Some(GOING_AWAY),
            None => Some(NORMAL),
        };
        self.say_farewell(code, "");
        ready!(self.poll_out(cx))?;
        if self.farewell.is_some() || self.ended {
            return Pin::new(&mut self.stream).poll_shutdown(cx).map_err(cut);
        }
        Poll::Ready(Ok(()))
    }
}

impl Packets for WebSocket {
    /// A stream over messages is cut into pieces that no peer finds too long.
    fn largest(&self) -> usize {
        64 << 10
    }

    fn ends(&self) -> bool {
        self.half_closes || self.role == Role::Server
    }

    fn lossy(&self) -> bool {
        false
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.stream.socket()
    }
}
