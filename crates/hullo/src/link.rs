//! A link: one conversation with a known peer, over one of two kinds of wire.

use std::{
    os::fd::BorrowedFd,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};

use crate::{
    error::{Error, Result},
    framing,
    io::{guard::Guard, packet_stream::PacketStream, reliable::reliable, splice::Bare},
    message::Message,
    peer::Peer,
    scope::Scope,
    session::Session,
};

/// What every way through the Internet carries in one piece, but for a rest that nobody meets (RFC 9000, section 14).
pub(crate) const EVERYWHERE: usize = 1200;

/// An ordered stream of bytes, both ways.
///
/// `poll_shutdown` is the half-close: the peer reads an end, and may go on talking. A type of yours that has both halves
/// becomes one by `impl Stream for Mine {}`.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// The kernel's socket, where its bytes are exactly the conversation's: it may then move them by itself.
    fn bare(&mut self) -> Option<&mut dyn Bare> {
        None
    }

    /// The kernel's socket underneath, whatever lies between. What is read or written there is lost to the conversation; it
    /// is there to be asked, and to be cut off.
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Whole messages, both ways: datagrams, or the messages of a WebSocket.
///
/// `poll_close` of the sink is the half-close, on transports that have one.
pub trait Packets:
    futures_util::Stream<Item = Result<Message>> + futures_util::Sink<Message, Error = Error> + Send + Unpin + 'static
{
    /// The largest message that one packet carries; a stream laid over packets is cut into pieces of that size.
    fn largest(&self) -> usize;

    /// Whether the end of one side can be told to the other. Datagrams cannot.
    fn ends(&self) -> bool;

    /// The kernel's socket underneath, as [`Stream::socket`].
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Whether packets may get lost, come twice or overtake each other.
    fn lossy(&self) -> bool;

    /// How many packets, or trains of them, the kernel had dropped before what [`poll_each`](Packets::poll_each) brought last,
    /// since we took them too slowly. It begins again at 0 after the largest number.
    fn drops(&self) -> u32 {
        0
    }

    /// The largest packet that is not cut into several on its way, each of which could get lost.
    fn whole(&self) -> usize {
        self.largest().min(EVERYWHERE)
    }

    /// Sends packets of `stride` bytes each, of which the last may be shorter; what has left is taken from `train`. It is
    /// ready when all have. For whoever has many to send: a transport may pass them on in one go.
    ///
    /// # Errors
    /// The wire's, of the first packet that is left in `train` or the last one that is not.
    fn poll_train(&mut self, train: &mut &[u8], stride: usize, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut packets = Pin::new(self);
        while !train.is_empty() {
            ready!(packets.as_mut().poll_ready(cx))?;
            let (packet, rest) = train.split_at(stride.clamp(1, train.len()));
            *train = rest;
            packets.as_mut().start_send(Message::binary(Bytes::copy_from_slice(packet)))?;
        }
        packets.poll_flush(cx)
    }

    /// Receives one packet or several, for each of which it calls `each`; nothing at the end. For whoever takes many, and
    /// has its own way to stop: it neither tells of the first one nor ends after a silence or when the scope stops. Who has
    /// called it must go on with it.
    ///
    /// # Errors
    /// The wire's.
    fn poll_each(&mut self, each: &mut dyn FnMut(&[u8]), cx: &mut Context<'_>) -> Poll<Option<Result<()>>> {
        Pin::new(self).poll_next(cx).map_ok(|message| each(&message.bytes))
    }
}

/// A stream in a box.
pub type BoxStream = Box<dyn Stream>;

impl Stream for BoxStream {
    fn bare(&mut self) -> Option<&mut dyn Bare> {
        (**self).bare()
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        (**self).socket()
    }
}

impl Stream for DuplexStream {}

/// What the link is made of.
pub enum Wire {
    /// Bytes in order.
    Stream(BoxStream),
    /// Whole messages.
    Packets(Box<dyn Packets>),
}

/// One conversation with a known peer.
pub struct Link {
    /// Who is there.
    pub peer: Peer,
    /// What the conversation lives in.
    pub scope: Scope,
    /// What it runs over.
    pub wire: Wire,
}

impl Link {
    /// A link over a stream.
    pub fn over(stream: impl Stream, peer: Peer, scope: Scope) -> Self {
        Self { peer, scope, wire: Wire::Stream(Box::new(stream)) }
    }

    /// A link over packets.
    pub fn packets(packets: impl Packets, peer: Peer, scope: Scope) -> Self {
        Self { peer, scope, wire: Wire::Packets(Box::new(packets)) }
    }

    /// The same link, where its packets may get lost: as a stream on which nothing does, with a protocol of our own on
    /// which both ends must agree. Every other link stays as it is.
    ///
    /// The half-close (`poll_shutdown`) is ready when the peer has all that was written; a stream that is dropped without
    /// it is cut off. What is still to be said then is said by a task of the scope: [`Scope::end`] waits for it.
    pub fn reliable(self) -> Self {
        match self.wire {
            Wire::Packets(packets) if packets.lossy() => {
                let stream = Guard::new(reliable(packets, &self.peer, &self.scope), &self.peer, &self.scope);
                Self::over(stream, self.peer, self.scope)
            }
            wire => Self { wire, ..self },
        }
    }

    /// The kernel's socket underneath, as [`Stream::socket`].
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        match &self.wire {
            Wire::Stream(stream) => stream.socket(),
            Wire::Packets(packets) => packets.socket(),
        }
    }

    /// Opens the link as a conversation of messages. On a stream they are framed as the address says, or else by
    /// `framing`; packets are messages as they are.
    pub fn session(self, framing: &'static framing::Spec) -> Session {
        Session::new(self, framing)
    }

    /// Opens the link as a stream of bytes. Packets are joined; what is written leaves as packets.
    pub fn stream(self) -> BoxStream {
        match self.wire {
            Wire::Stream(stream) => stream,
            Wire::Packets(packets) => Box::new(PacketStream::new(packets)),
        }
    }
}

/// A stream of a reader and a writer that belong to nothing in common.
pub(crate) struct Joined<R, W>(pub R, pub W);

impl<R, W> Stream for Joined<R, W>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
}

impl<R: AsyncRead + Unpin, W: Unpin> AsyncRead for Joined<R, W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<R: Unpin, W: AsyncWrite + Unpin> AsyncWrite for Joined<R, W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.1).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.1).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.1).poll_shutdown(cx)
    }
}
