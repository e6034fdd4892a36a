//! HTTP exchanges as conversations: the request's body is what the service reads, the response's what it writes.

use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Body as _, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{mpsc, oneshot},
};
use tokio_util::sync::PollSender;

use crate::{
    error::{Error, Kind, Result},
    link::Link,
    peer::Peer,
    scope::Scope,
    service::Service,
};

/// The body of a request or of a response.
pub type Body = UnsyncBoxBody<Bytes, Error>;

/// A body of those bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body of no bytes.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A response of that status with a body of text.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    worded(status, body.into()).map(full)
}

/// The same with its body in one piece.
pub(crate) fn worded(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Reads a body of at most `max` bytes.
///
/// # Errors
/// [`Kind::TooLarge`], or the body's own.
pub async fn collect(mut body: Body, max: usize) -> Result<Bytes> {
    let mut first = Bytes::new();
    let mut all = bytes::BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if first.len() + all.len() + data.len() > max {
            return Err(crate::framing::too_large(max));
        }
        // Most bodies are one piece, which then need not be copied.
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Reads the first `most` bytes of a body, or all of it where it is less; the body that this returns begins with them, and
/// has no trailers.
///
/// # Errors
/// The body's own, if it breaks within those.
pub async fn begun(mut body: Body, most: usize) -> Result<Body> {
    let mut first = bytes::BytesMut::new();
    while first.len() < most {
        let Some(frame) = body.frame().await else { return Ok(full(first)) };
        let Ok(data) = frame?.into_data() else { continue };
        if first.is_empty() && body.is_end_stream() {
            return Ok(full(data));
        }
        first.extend_from_slice(&data);
    }
    Ok(Begun { first: Some(first.freeze()), rest: body }.boxed_unsync())
}

/// A body of which something was read already: that comes first.
struct Begun {
    first: Option<Bytes>,
    rest: Body,
}

impl hyper::body::Body for Begun {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        loop {
            match ready!(Pin::new(&mut self.rest).poll_frame(cx)) {
                // Trailers end with the message that they belong to.
                Some(Ok(frame)) if !frame.is_data() => {}
                frame => return Poll::Ready(frame),
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().map_or(0, Bytes::len) as u64;
        self.rest.size_hint().exact().map_or_else(SizeHint::default, |rest| SizeHint::with_exact(first + rest))
    }
}

/// Sends interim responses, 1xx, before the response itself (RFC 9110, section 15.2).
///
/// A server puts it into the extensions of each request of a service [for the web](Service::is_web), where the version
/// of HTTP allows it.
#[derive(Clone)]
pub struct Interim(Arc<dyn Early>);

/// What can be sent before the response.
pub(crate) trait Early: Send + Sync {
    /// Sends the head, if there still is one.
    fn poll_send(&self, head: &mut Option<Response<()>>, cx: &mut Context<'_>) -> Poll<Result<()>>;
}

impl Interim {
    pub(crate) fn new(early: Arc<dyn Early>) -> Self {
        Self(early)
    }

    /// Sends one, such as 103 with `Link` headers. When it is dropped before it is ready, the head may still leave.
    ///
    /// # Errors
    /// The response has begun already, or the client has gone.
    pub async fn send(&self, head: Response<()>) -> Result<()> {
        let mut head = Some(head);
        poll_fn(|cx| self.0.poll_send(&mut head, cx)).await
    }
}

/// Pieces of a response that may wait for the client.
const QUEUE: usize = 8;

type Piece = Result<Frame<Bytes>>;

/// Runs the service over the two bodies of an exchange. The response begins with the first bytes that it writes.
pub(crate) async fn as_conversation<S: Service + ?Sized>(
    service: Arc<S>,
    request: Request<Body>,
    peer: Peer,
    scope: Scope,
) -> Result<Response<Body>> {
    let (sender, pieces) = mpsc::channel(QUEUE);
    let (mut tell, told) = oneshot::channel();
    let stream = Exchange::new(request.into_body(), sender);
    let mut said = Said { pieces, shut: stream.shut.clone(), told: Some(told) };
    let link = Link::over(stream, peer, scope.clone());
    scope.spawn(async move {
        tokio::select! {
            served = service.serve(link) => drop(tell.send(served)),
            // The client has gone: there is nobody to do anything for.
            () = tell.closed() => {}
        }
    });
    let first = match poll_fn(|cx| said.poll_next(cx)).await {
        // Nothing was said: then what became of the service is the answer.
        None => {
            return match said.told {
                Some(told) => told.await.unwrap_or(Ok(())).map(|()| Response::new(empty())),
                None => Ok(Response::new(empty())),
            };
        }
        Some(piece) => piece?,
    };
    let kind = match first.data_ref().map(|data| std::str::from_utf8(data)) {
        Some(Ok(_)) => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    };
    let mut first = Some(Ok(first));
    let rest = futures_util::stream::poll_fn(move |cx| match first.take() {
        Some(first) => Poll::Ready(Some(first)),
        None => said.poll_next(cx),
    });
    let mut response = Response::new(BodyExt::boxed_unsync(StreamBody::new(rest)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

/// What a service says in an exchange.
struct Said {
    pieces: mpsc::Receiver<Piece>,
    shut: Arc<AtomicBool>,
    told: Option<oneshot::Receiver<Result<()>>>,
}

impl Said {
    /// The next piece. What the service has shut down is whole; what it only let go of is as whole as it then says.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        let piece = ready!(self.pieces.poll_recv(cx));
        let Some(told) = self.told.as_mut().filter(|_| piece.is_none() && !self.shut.load(Relaxed)) else {
            return Poll::Ready(piece);
        };
        let served =
            ready!(Pin::new(told).poll(cx)).unwrap_or_else(|_| Err(Error::new(Kind::Cut, "the answer was cut off")));
        self.told = None;
        Poll::Ready(served.err().map(Err))
    }
}

/// The two bodies of an exchange as a stream.
pub(crate) struct Exchange {
    body: Option<Body>,
    chunk: Bytes,
    sender: PollSender<Piece>,
    shut: Arc<AtomicBool>,
    asks: bool,
}

impl Exchange {
    pub(crate) fn new(body: Body, sender: mpsc::Sender<Piece>) -> Self {
        let sender = PollSender::new(sender);
        Self { body: Some(body), chunk: Bytes::new(), sender, shut: Arc::default(), asks: false }
    }

    /// The same for the client's end.
    pub(crate) fn asking(self) -> Self {
        Self { asks: true, ..self }
    }
}

impl crate::link::Stream for Exchange {}

impl AsyncRead for Exchange {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.chunk.is_empty() {
            let Some(body) = &mut self.body else { return Poll::Ready(Ok(())) };
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(frame) => self.chunk = frame?.into_data().unwrap_or_default(),
                None => self.body = None,
            }
        }
        let n = self.chunk.len().min(buf.remaining());
        buf.put_slice(&self.chunk[..n]);
        self.chunk.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Exchange {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            // Nothing does not begin a response.
            return Poll::Ready(Ok(0));
        }
        let reserved = ready!(self.sender.poll_reserve(cx));
        match reserved.and_then(|()| self.sender.send_item(Ok(Frame::data(Bytes::copy_from_slice(buf))))) {
            Ok(()) => Poll::Ready(Ok(buf.len())),
            // A server may answer without the whole request (RFC 9110, section 7.5); whether it has, its answer tells.
            Err(_) if self.asks => Poll::Ready(Ok(buf.len())),
            Err(_) => Poll::Ready(Err(Error::new(Kind::Cut, "the client of the exchange is gone").into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut.store(true, Relaxed);
        self.sender.close();
        Poll::Ready(Ok(()))
    }
}
