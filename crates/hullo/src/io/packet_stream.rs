//! A stream laid over packets, for a service that wants bytes on a transport that has messages.

use std::{
    io,
    os::fd::BorrowedFd,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    link::{Packets, Stream},
    message::Message,
};

/// The messages of `packets` joined, a text message with a newline where it has none; what is written leaves as binary
/// messages of at most the packets' own size.
pub(crate) struct PacketStream {
    packets: Box<dyn Packets>,
    rest: Bytes,
    ended: bool,
}

impl PacketStream {
    pub(crate) fn new(packets: Box<dyn Packets>) -> Self {
        Self { packets, rest: Bytes::new(), ended: false }
    }
}

/// A text message is a line to a program that reads lines; bytes stay as they are.
fn line(message: Message) -> Bytes {
    if !message.text || message.bytes.is_empty() || message.bytes.ends_with(b"\n") {
        return message.bytes;
    }
    [&message.bytes[..], b"\n"].concat().into()
}

impl Stream for PacketStream {
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.packets.socket()
    }
}

impl AsyncRead for PacketStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.rest.is_empty() && !self.ended {
            match ready!(Pin::new(&mut self.packets).poll_next(cx)?) {
                // An empty message carries no byte, and is not the end.
                Some(message) => self.rest = line(message),
                None => self.ended = true,
            }
        }
        let n = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest[..n]);
        self.rest.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PacketStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            // Nothing is no message.
            return Poll::Ready(Ok(0));
        }
        ready!(Pin::new(&mut self.packets).poll_ready(cx)?);
        let n = buf.len().min(self.packets.largest());
        Pin::new(&mut self.packets).start_send(Message::binary(Bytes::copy_from_slice(&buf[..n])))?;
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.packets).poll_flush(cx).map_err(Into::into)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.packets).poll_close(cx).map_err(Into::into)
    }
}
