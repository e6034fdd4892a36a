//! A stream of which something was read already: that comes first.

use std::{
    io,
    os::fd::BorrowedFd,
    pin::Pin,
    task::{Context, Poll},
};

use super::splice::Bare;
use crate::link::Stream;
use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Reads `first`, then the stream. No byte is lost when a wire changes hands.
pub(crate) struct Prefixed<S> {
    first: Bytes,
    stream: S,
}

impl<S> Prefixed<S> {
    pub(crate) fn new(first: Bytes, stream: S) -> Self {
        Self { first: released(first), stream }
    }
}

/// Empty bytes may still hold the whole buffer that they were once a part of.
fn released(bytes: Bytes) -> Bytes {
    if bytes.is_empty() { Bytes::new() } else { bytes }
}

impl<S: Stream> Stream for Prefixed<S> {
    fn bare(&mut self) -> Option<&mut dyn Bare> {
        if self.first.is_empty() { self.stream.bare() } else { None }
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.stream.socket()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let n = self.first.len().min(buf.remaining());
        buf.put_slice(&self.first[..n]);
        self.first.advance(n);
        self.first = released(std::mem::take(&mut self.first));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
