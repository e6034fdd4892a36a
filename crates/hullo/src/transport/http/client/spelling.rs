//! The names of headers as the user spelt them: hyper knows them in small letters, and writes each in its own way.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose first writes are the head of an HTTP/1.1 request: its names leave as they are spelt here.
pub(super) struct Spelled<S> {
    stream: S,
    names: Arc<[String]>,
    /// The head is not whole yet.
    head: bool,
    out: BytesMut,
}

impl<S> Spelled<S> {
    pub(super) fn new(stream: S, names: Arc<[String]>) -> Self {
        Self { stream, head: !names.is_empty(), names, out: BytesMut::new() }
    }

    /// Takes bytes of the head, and spells it once it is whole.
    fn gather(&mut self, bytes: &[u8]) {
        // The end may lie across two writes.
        let searched = self.out.len().saturating_sub(3);
        self.out.extend_from_slice(bytes);
        let Some(end) = memchr::memmem::find(&self.out[searched..], b"\r\n\r\n").map(|at| searched + at) else {
            return;
        };
        let rest = self.out.split_off(end);
        let mut head = BytesMut::with_capacity(self.out.len());
        for (at, line) in self.out.as_ref().split(|byte| *byte == b'\n').enumerate() {
            if at > 0 {
                head.extend_from_slice(b"\n");
            }
            let colon = line.iter().position(|byte| *byte == b':').filter(|_| at > 0).unwrap_or(0);
            let (name, value) = line.split_at(colon);
            let spelt = self.names.iter().find(|spelt| spelt.as_bytes().eq_ignore_ascii_case(name));
            head.extend_from_slice(spelt.map_or(name, |spelt| spelt.as_bytes()));
            head.extend_from_slice(value);
        }
        head.extend_from_slice(&rest);
        self.out = head;
        self.head = false;
    }
}

impl<S: AsyncWrite + Unpin> Spelled<S> {
    /// Writes what was gathered.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.head && !self.out.is_empty() {
            let n = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.out))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(n);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Spelled<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Spelled<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.head {
            self.gather(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.head {
            let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
            return self.poll_write(cx, first);
        }
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_is_spelt_wherever_it_is_cut_and_the_body_left_alone() {
        let text = b"POST /x-a:1 HTTP/1.1\r\nX-A: x-a: b\r\nHost: h\r\n\r\nX-A: body\r\n\r\n";
        let wanted = "POST /x-a:1 HTTP/1.1\r\nx-a: x-a: b\r\nHOST: h\r\n\r\nX-A: body\r\n\r\n";
        for cut in 0..text.len() {
            let mut spelled = Spelled::new((), ["x-a".to_owned(), "HOST".to_owned()].into());
            for part in [&text[..cut], &text[cut..]] {
                match spelled.head {
                    true => spelled.gather(part),
                    false => spelled.out.extend_from_slice(part),
                }
            }
            assert_eq!(String::from_utf8_lossy(&spelled.out), wanted, "cut at {cut}");
        }
    }
}
