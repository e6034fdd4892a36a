//! A link: one conversation with a known peer, over one of two kinds of wire.

use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    error::Error, error::Result, framing, io::packet_stream::PacketStream, message::Message, peer::Peer, scope::Scope,
    session::Session,
};

/// An ordered stream of bytes, both ways.
///
/// `poll_shutdown` is the half-close: the peer reads an end, and may go on talking.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

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
}

/// A stream in a box.
pub type BoxStream = Box<dyn Stream>;

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

    /// Opens the link as a conversation of messages. On a stream they are framed as the address says, or else by
    /// `framing`; packets are messages as they are.
    pub fn session(self, framing: &framing::Spec) -> Session {
        Session::new(self, framing)
    }

    /// Opens the link as a stream on which nothing is lost.
    ///
    /// # Errors
    /// None yet.
    pub fn reliable(self) -> Result<BoxStream> {
        Ok(self.stream())
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

impl<R: AsyncRead + Unpin, W: Unpin> AsyncRead for Joined<R, W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<R: Unpin, W: AsyncWrite + Unpin> AsyncWrite for Joined<R, W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        Pin::new(&mut self.1).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.1).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.1).poll_shutdown(cx)
    }
}
