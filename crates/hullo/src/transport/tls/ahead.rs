//! Reading more than is asked for: rustls asks for 4 KiB at a time, and a system call for each quarter of a record is most
//! of what bulk costs.

use std::{
    cell::RefCell,
    io,
    os::fd::BorrowedFd,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::{io::scratch, link::Stream};

/// What is read at a time: a few records (16 KiB each; RFC 8446, section 5.1).
const SIZE: usize = 64 << 10;

thread_local! {
    /// Not the one of `scratch`, into which whoever reads from TLS reads.
    static SPACE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A stream of which something may have been read that nobody has asked for yet. While nothing comes it holds nothing.
pub(in crate::transport) struct Ahead {
    stream: TcpStream,
    /// What was read, from `at` to `end`; of the full size while so much comes that it is read into directly.
    rest: Vec<u8>,
    at: usize,
    end: usize,
    /// The first bytes that came: what answers where TLS should is told by them.
    first: [u8; 7],
    seen: u8,
}

impl Ahead {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, rest: Vec::new(), at: 0, end: 0, first: [0; 7], seen: 0 }
    }

    /// The first bytes that came.
    pub(super) fn first(&self) -> &[u8] {
        self.first.get(..self.seen.into()).unwrap_or_default()
    }

    fn remember(&mut self, came: &[u8]) {
        if self.seen == 0 {
            let n = came.len().min(self.first.len());
            self.first[..n].copy_from_slice(&came[..n]);
            self.seen = n as u8;
        }
    }
}

impl Stream for Ahead {
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.stream.socket()
    }
}

impl Ahead {
    /// Reads into the thread's space, and keeps what `buf` has no room for.
    fn poll_fill(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Whatever comes of this, what was kept has been asked for.
        (self.rest, self.at, self.end) = (Vec::new(), 0, 0);
        SPACE.with_borrow_mut(|space| {
            space.resize(SIZE, 0);
            let n = ready!(scratch::poll_read(cx, Pin::new(&mut self.stream), space))?;
            self.remember(&space[..n]);
            let now = n.min(buf.remaining());
            buf.put_slice(&space[..now]);
            self.rest = space[now..n].to_vec();
            self.end = self.rest.len();
            if n == SIZE {
                self.rest.resize(SIZE, 0);
            }
            Poll::Ready(Ok(()))
        })
    }
}

impl AsyncRead for Ahead {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.at == this.end {
            if this.rest.len() < SIZE {
                return this.poll_fill(cx, buf);
            }
            match scratch::poll_read(cx, Pin::new(&mut this.stream), &mut this.rest) {
                Poll::Ready(read) => (this.at, this.end) = (0, read?),
                Poll::Pending => {
                    (this.rest, this.at, this.end) = (Vec::new(), 0, 0);
                    return Poll::Pending;
                }
            }
        }
        let n = buf.remaining().min(this.end - this.at);
        buf.put_slice(&this.rest[this.at..this.at + n]);
        this.at += n;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Ahead {
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
