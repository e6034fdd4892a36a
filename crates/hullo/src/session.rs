//! A session: a link as a conversation of messages.

use std::{
    future::{Future, poll_fn},
    io,
    os::fd::BorrowedFd,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Sink, Stream as _};
use tokio::{
    io::AsyncWrite,
    time::{Sleep, sleep},
};

use crate::{
    error::{Error, Result},
    framing::{self, Framing},
    io::{linger, scratch},
    link::{BoxStream, Link, Packets, Stream as _, Wire},
    message::Message,
    peer::Peer,
    scope::Scope,
};

mod split;

pub use split::{Inbox, Outbox, Post};

/// So much may wait to be written before [`Session::send`] waits for the peer.
const HIGH_WATER: usize = 64 << 10;

/// A conversation of messages with one peer.
///
/// Replies are gathered: [`send`](Session::send) only writes into a buffer, which leaves when there is nothing more to
/// [`recv`](Session::recv), when it is full, or at [`flush`](Session::flush). A peer that sends and never reads is
/// slowed down once 64 KiB wait for it.
pub struct Session {
    peer: Peer,
    scope: Scope,
    wire: Messages,
}

enum Messages {
    Framed(Framed),
    Packets(Box<dyn Packets>),
}

/// Messages in a stream. While nothing is under way it holds no buffer.
struct Framed {
    stream: BoxStream,
    framing: Box<dyn Framing>,
    spec: &'static framing::Spec,
    incoming: BytesMut,
    outgoing: BytesMut,
    unflushed: bool,
    /// Why nothing more will come.
    failed: Option<io::Error>,
    /// Runs while an unfinished message waits for its rest.
    pause: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

impl Session {
    pub(crate) fn new(link: Link, framing: &'static framing::Spec) -> Self {
        let Link { peer, scope, wire } = link;
        let spec = scope.frame().unwrap_or(framing);
        let wire = match wire {
            Wire::Packets(packets) => Messages::Packets(packets),
            Wire::Stream(stream) => Messages::Framed(Framed {
                stream,
                framing: (spec.make)(scope.limits().max),
                spec,
                incoming: BytesMut::new(),
                outgoing: BytesMut::new(),
                unflushed: false,
                failed: None,
                pause: None,
                ended: false,
            }),
        };
        Self { peer, scope, wire }
    }

    /// Who is there.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What the conversation lives in.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The next message; nothing once the peer has ended its side. Cancel-safe: no byte is lost.
    ///
    /// While it waits, what [`send`](Session::send) has gathered leaves.
    ///
    /// # Errors
    /// The wire's, or the framing's (a message over `max`).
    pub async fn recv(&mut self) -> Result<Option<Message>> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>>> {
        match &mut self.wire {
            Messages::Framed(framed) => framed.poll_recv(cx, &self.scope),
            Messages::Packets(packets) => match Pin::new(&mut *packets).poll_next(cx) {
                Poll::Ready(message) => Poll::Ready(message.transpose()),
                Poll::Pending => {
                    let _ = Pin::new(packets).poll_flush(cx)?;
                    Poll::Pending
                }
            },
        }
    }

    /// Sends a message, as soon as there is room for it. Cancel-safe: dropped while it waits, it has sent nothing.
    ///
    /// # Errors
    /// The wire's, or a message that the framing cannot carry.
    pub async fn send(&mut self, message: Message) -> Result<()> {
        poll_fn(|cx| self.poll_room(cx)).await?;
        self.put(message)
    }

    /// Ready when there is room for a message.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match &mut self.wire {
            Messages::Framed(framed) if framed.outgoing.len() < HIGH_WATER => Poll::Ready(Ok(())),
            Messages::Framed(framed) => framed.poll_flush(cx).map_err(cut),
            Messages::Packets(packets) => Pin::new(packets).poll_ready(cx),
        }
    }

    /// Sends a message for which there is room.
    pub(crate) fn put(&mut self, message: Message) -> Result<()> {
        match &mut self.wire {
            Messages::Framed(framed) => framed.framing.encode(&message, &mut framed.outgoing),
            Messages::Packets(packets) => Pin::new(packets).start_send(message),
        }
    }

    /// Waits until everything sent has left. Cancel-safe.
    ///
    /// # Errors
    /// The wire's.
    pub async fn flush(&mut self) -> Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match &mut self.wire {
            Messages::Framed(framed) => framed.poll_flush(cx).map_err(cut),
            Messages::Packets(packets) => Pin::new(packets).poll_flush(cx),
        }
    }

    /// Half-closes: tells the peer that nothing more will be sent. Cancel-safe.
    ///
    /// # Errors
    /// What was sent did not all leave.
    pub async fn finish(&mut self) -> Result<()> {
        poll_fn(|cx| self.poll_finish(cx)).await
    }

    pub(crate) fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match &mut self.wire {
            Messages::Framed(framed) => {
                ready!(framed.poll_flush(cx)).map_err(cut)?;
                Pin::new(&mut framed.stream).poll_shutdown(cx).map_err(cut)
            }
            Messages::Packets(packets) => Pin::new(packets).poll_close(cx),
        }
    }

    /// The kernel's socket underneath, as [`Stream::socket`](crate::Stream::socket).
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        match &self.wire {
            Messages::Framed(framed) => framed.stream.socket(),
            Messages::Packets(packets) => packets.socket(),
        }
    }

    /// Ends the conversation so that the peer can read all that was sent.
    ///
    /// # Errors
    /// What was sent did not all leave.
    pub async fn close(mut self) -> Result<()> {
        self.finish().await?;
        match &mut self.wire {
            Messages::Framed(framed) if !framed.ended => linger::close(&mut framed.stream).await.map_err(cut),
            _ => Ok(()),
        }
    }

    /// Whether the wire is packets that have no end, as datagrams are.
    pub fn endless(&self) -> bool {
        matches!(&self.wire, Messages::Packets(packets) if !packets.ends())
    }
}

fn cut(error: io::Error) -> Error {
    Error::io("the conversation was cut off", error)
}

impl Framed {
    fn poll_recv(&mut self, cx: &mut Context<'_>, scope: &Scope) -> Poll<Result<Option<Message>>> {
        loop {
            if self.ended {
                let message = self.framing.finish(&mut self.incoming)?;
                return Poll::Ready(Ok(message));
            }
            if let Some(message) = self.framing.decode(&mut self.incoming)? {
                self.pause = None;
                return Poll::Ready(Ok(Some(message)));
            }
            if let Some(error) = self.failed.take() {
                // What came before the failure comes first, where a pause would have ended it too.
                if self.framing.patience() > 0
                    && let Some(message) = self.framing.finish(&mut self.incoming)?
                {
                    self.failed = Some(error);
                    return Poll::Ready(Ok(Some(message)));
                }
                return Poll::Ready(Err(cut(error)));
            }
            if self.incoming.is_empty() {
                // The capacity goes back.
                self.incoming = BytesMut::new();
            }
            // A peer that does not read may still send: flushing is not waited for here, but in `send`.
            let unsent = match self.poll_flush(cx) {
                Poll::Ready(Err(error)) => Some(error),
                _ => None,
            };
            match self.poll_fill(cx) {
                Poll::Ready(Ok(n)) => {
                    self.ended = n == 0;
                    self.pause = None;
                }
                Poll::Ready(Err(error)) => self.failed = Some(error),
                Poll::Pending if unsent.is_some() => self.failed = unsent,
                Poll::Pending => {
                    ready!(self.poll_pause(cx, scope));
                    self.pause = None;
                    let message = self.framing.finish(&mut self.incoming)?;
                    return if message.is_some() { Poll::Ready(Ok(message)) } else { Poll::Pending };
                }
            }
        }
    }

    /// Reads into the thread's buffer, so that nothing is held while there is nothing.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        scratch::with(|buf| {
            let n = ready!(scratch::poll_read(cx, Pin::new(&mut self.stream), buf))?;
            self.incoming.extend_from_slice(&buf[..n]);
            Poll::Ready(Ok(n))
        })
    }

    /// Ready when the peer has paused for as long as the framing has patience.
    fn poll_pause(&mut self, cx: &mut Context<'_>, scope: &Scope) -> Poll<()> {
        let patience = self.framing.patience();
        if self.incoming.is_empty() || patience == 0 {
            return Poll::Pending;
        }
        self.pause.get_or_insert_with(|| Box::pin(sleep(scope.limits().quiet * patience))).as_mut().poll(cx)
    }

    /// Writes bytes that are framed already, behind what was sent before; what has left is taken from them.
    fn poll_put(&mut self, bytes: &mut Bytes, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.outgoing.is_empty() {
            ready!(self.poll_flush(cx))?;
        }
        while !bytes.is_empty() {
            let n = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            bytes.advance(n);
            self.unflushed = true;
        }
        self.poll_flush(cx)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let n = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.outgoing))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.advance(n);
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
            // The capacity goes back.
            self.outgoing = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}
