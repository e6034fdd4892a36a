//! A connection that remembers how it began, to tell what answers where TLS should.

use std::{
    io,
    os::fd::BorrowedFd,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::link::Stream;

/// A TCP connection, and the first bytes that came.
pub(in crate::transport) struct Witness {
    stream: TcpStream,
    first: [u8; 7],
    seen: u8,
}

impl Witness {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, first: [0; 7], seen: 0 }
    }

    pub(super) fn first(&self) -> &[u8] {
        self.first.get(..self.seen.into()).unwrap_or_default()
    }
}

impl Stream for Witness {
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.stream.socket()
    }
}

impl AsyncRead for Witness {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if self.seen == 0 {
            let came = &buf.filled()[before..];
            let n = came.len().min(self.first.len());
            self.first[..n].copy_from_slice(&came[..n]);
            self.seen = n as u8;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Witness {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
