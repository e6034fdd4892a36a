//! A stream of which something was read already: that comes first.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::scratch;
use crate::error::{Error, Result};

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

impl<S: AsyncRead + Unpin> Prefixed<S> {
    /// Waits until the stream has begun. A stream that ends first has said nothing, which is no error.
    ///
    /// # Errors
    /// The stream's.
    pub(crate) async fn begun(mut stream: S) -> Result<Self> {
        let first = poll_fn(|cx| {
            scratch::with(|buf| {
                // A little, so that most of the first request is read by its own reader.
                let read = scratch::poll_read(cx, Pin::new(&mut stream), &mut buf[..256]);
                read.map_ok(|n| Bytes::copy_from_slice(&buf[..n]))
            })
        });
        let first = first.await.map_err(|error| Error::io("the stream did not begin", error))?;
        Ok(Self::new(first, stream))
    }
}

/// Empty bytes may still hold the whole buffer that they were once a part of.
fn released(bytes: Bytes) -> Bytes {
    if bytes.is_empty() { Bytes::new() } else { bytes }
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
