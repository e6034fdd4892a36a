//! Our own stdin and stdout as one end of a conversation: their troubles are told apart from the other end's.

use std::{
    io::{self, IsTerminal},
    pin::Pin,
    task::{Context, Poll, ready},
};

use hullo::{Error, Kind};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::STDOUT;

/// Our stdin; with `crlf` its lines end in CR LF.
pub(super) struct Stdin {
    stdin: tokio::io::Stdin,
    crlf: bool,
    /// The last byte was a carriage return.
    returned: bool,
}

impl Stdin {
    pub(super) fn new(crlf: bool) -> Self {
        Self { stdin: tokio::io::stdin(), crlf, returned: false }
    }

    fn ends(&mut self, bytes: &[u8], buf: &mut ReadBuf<'_>) {
        for byte in bytes {
            if *byte == b'\n' && !self.returned {
                buf.put_slice(b"\r");
            }
            buf.put_slice(&[*byte]);
            self.returned = *byte == b'\r';
        }
    }
}

impl AsyncRead for Stdin {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wrong = |error| io::Error::from(Error::io("cannot read stdin", error).of(Kind::File));
        if !self.crlf {
            return Pin::new(&mut self.stdin).poll_read(cx, buf).map_err(wrong);
        }
        // Each byte may become two.
        let mut piece = [0; 4096];
        let room = (buf.remaining() / 2).min(piece.len());
        let mut read = ReadBuf::new(&mut piece[..room]);
        ready!(Pin::new(&mut self.stdin).poll_read(cx, &mut read)).map_err(wrong)?;
        self.ends(read.filled(), buf);
        Poll::Ready(Ok(()))
    }
}

/// Our stdout. On a terminal what could steer it is shown instead, unless the bytes are wanted `raw`.
pub(super) struct Stdout {
    stdout: tokio::io::Stdout,
    shown: bool,
}

impl Stdout {
    pub(super) fn new(raw: bool) -> Self {
        Self { stdout: tokio::io::stdout(), shown: io::stdout().is_terminal() && !raw }
    }
}

fn wrong(error: io::Error) -> io::Error {
    let kind = if error.kind() == io::ErrorKind::BrokenPipe { Kind::Cut } else { Kind::File };
    Error::io(STDOUT, error).of(kind).into()
}

/// The control character at the beginning of the text, if there is one: its length, and its picture.
fn control(text: &[u8]) -> Option<(usize, char)> {
    match text {
        [b'\n' | b'\r' | b'\t', ..] => None,
        [0x7f, ..] => Some((1, '\u{2421}')),
        [byte @ 0..0x20, ..] => Some((1, char::from_u32(0x2400 + u32::from(*byte))?)),
        // The second set of them (ISO 6429), which some terminals obey too.
        [0xc2, 0x80..=0x9f, ..] => Some((2, char::REPLACEMENT_CHARACTER)),
        _ => None,
    }
}

impl AsyncWrite for Stdout {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if !self.shown {
            return Pin::new(&mut self.stdout).poll_write(cx, buf).map_err(wrong);
        }
        let plain = (0..buf.len()).find(|at| control(&buf[*at..]).is_some()).unwrap_or(buf.len());
        let Some((len, picture)) = control(buf) else {
            return Pin::new(&mut self.stdout).poll_write(cx, &buf[..plain]).map_err(wrong);
        };
        // A picture of it, which is one character: it is written at once, or not at all.
        let mut utf8 = [0; 4];
        ready!(Pin::new(&mut self.stdout).poll_write(cx, picture.encode_utf8(&mut utf8).as_bytes())).map_err(wrong)?;
        Poll::Ready(Ok(len))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdout).poll_flush(cx).map_err(wrong)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdout).poll_shutdown(cx).map_err(wrong)
    }
}
