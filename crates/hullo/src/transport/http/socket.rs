//! What an HTTP connection runs over: a bare socket, of which the kernel may be told to send a file, or anything else.

use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use rustix::net::{SendFlags, send};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

use crate::{
    io::{file::Part, guard::Guard},
    link::{BoxStream, Stream},
};

/// The stream of a connection.
pub(super) enum Socket {
    /// What goes through it is exactly what is said.
    Bare(TcpStream),
    /// Something lies between, such as TLS.
    Inside(BoxStream),
}

impl Guard<Socket> {
    /// Whether the kernel can send a file.
    pub(super) fn is_bare(&self) -> bool {
        matches!(self.get_ref(), Socket::Bare(_))
    }

    /// Writes all of `head`, with more to follow at once: it does not leave in a packet of its own.
    pub(super) fn poll_write_ahead(&mut self, head: &mut BytesMut, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !head.is_empty() {
            let written = ready!(self.poll_write_by(cx, |socket, cx| match socket {
                Socket::Bare(stream) =>
                    poll_by(stream, cx, || Ok(send(&*stream, head, SendFlags::MORE | SendFlags::NOSIGNAL)?)),
                Socket::Inside(stream) => Pin::new(stream).poll_write(cx, head),
            }))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            head.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Has the kernel send up to `most` bytes of a file.
    pub(super) fn poll_send(&mut self, part: &mut Part, most: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.poll_write_by(cx, |socket, cx| match socket {
            Socket::Bare(stream) => poll_by(stream, cx, || part.send(&*stream, most)),
            Socket::Inside(_) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        })
    }
}

/// Writes to a socket in a way of our own, once it takes something.
fn poll_by(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    mut write: impl FnMut() -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_write_ready(cx))?;
        match stream.try_io(Interest::WRITABLE, &mut write) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return Poll::Ready(done),
        }
    }
}

impl Stream for Socket {
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Bare(stream) => Some(stream.as_fd()),
            Self::Inside(stream) => stream.socket(),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Bare(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Inside(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Bare(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Inside(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Bare(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Inside(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Bare(stream) => stream.is_write_vectored(),
            Self::Inside(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Bare(stream) => Pin::new(stream).poll_flush(cx),
            Self::Inside(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Bare(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Inside(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
