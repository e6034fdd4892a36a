//! A request on paper: what would be sent, and to nobody.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use http::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    Way, relative,
    sent::{Sent, Tracked},
    spelling::Spelled,
    witness::Witness,
};
use crate::{
    address::Address,
    error::{Error, Result},
    io::exchange::Body,
};

/// Writes the request to `out`, byte for byte as it would leave over HTTP/1.1.
pub(crate) async fn write(
    to: &Address,
    request: Request<Body>,
    way: &Way,
    out: impl AsyncWrite + Send + Unpin + 'static,
) -> Result<()> {
    let (parts, body) = request.into_parts();
    let (body, sent) = Tracked::new(body);
    let paper = Paper { out, sent, waker: None, written: false, flushed: false, answered: false };
    let (stream, seen) = Witness::new(Spelled::new(paper, way.spelling.clone()));
    // What cannot be written to has an error of its own; all else is the request's.
    let about = || format!("cannot write the request to {}", to.bare());
    let wrong = |error| seen.take().unwrap_or_else(|| seen.explain(about(), error));
    let handshake = super::http1_builder().handshake(TokioIo::new(stream)).await.map_err(wrong);
    let (mut sender, connection): (http1::SendRequest<Tracked>, _) = handshake?;
    let answer = sender.send_request(relative(Request::from_parts(parts, body)));
    let (answer, _) = tokio::join!(answer, connection);
    answer.map(drop).map_err(wrong)
}

/// A peer that takes everything, and says that it is well once all of it is there.
struct Paper<W> {
    out: W,
    sent: Sent,
    waker: Option<Waker>,
    written: bool,
    flushed: bool,
    answered: bool,
}

/// Who reads paper never stops reading: an error of it is one.
fn unwritten(error: io::Error) -> io::Error {
    Error::io("cannot write the request", error).into()
}

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

impl<W: Unpin> AsyncRead for Paper<W> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.answered {
            return Poll::Ready(Ok(()));
        }
        if !self.flushed {
            self.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.answered = true;
        buf.put_slice(&ANSWER[..ANSWER.len().min(buf.remaining())]);
        Poll::Ready(Ok(()))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Paper<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.written = true;
        Pin::new(&mut self.out).poll_write(cx, buf).map_err(unwritten)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.out).poll_flush(cx)).map_err(unwritten)?;
        if self.written && self.sent.is_over() {
            self.flushed = true;
            if let Some(waker) = self.waker.take() {
                waker.wake();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
