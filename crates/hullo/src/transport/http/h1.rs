//! One HTTP/1.1 connection of a server (RFC 9112), from its first request to its last.
//!
//! Our own, and not hyper's, for what was measured there: hyper reads chunks and lines that another program reads
//! otherwise, keeps 30 KiB for an idle connection, and either writes pipelined answers one by one or stores them without
//! a bound.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use ::http::{
    HeaderMap, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, TE, TRANSFER_ENCODING},
};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame};
use tokio::{io::AsyncWriteExt, time::timeout};

use super::{
    Front, Upgrade,
    head::{self, Head, Length, Refusal},
    prepared,
    seen::Seen,
    wire::{AT_ONCE, Before, COPIED, Ending, Incoming, Shared, Wire},
};
use crate::{
    error::{Error, Kind, Result},
    io::{
        exchange::{Body, Interim, empty, text},
        file::Part,
        linger,
        paced::Paced,
        unread::UNREAD,
    },
    peer::Peer,
};

/// How long the end of an idle connection may take to be told.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a connection has become in the end.
pub(super) enum End {
    Over,
    WebSocket(Upgrade, Box<Wire>),
}

/// Serves a connection to its end.
pub(super) async fn serve(front: &Arc<Front>, peer: &Peer, wire: Box<Wire>) -> Result<End> {
    let wire = Shared::new(*wire);
    loop {
        // Between two requests a connection may be idle, and there are many of those: all that follows is in a box.
        let begun = poll_fn(|cx| prepared::poll_begun(front, &mut wire.lock(), cx)).await;
        match Box::pin(attend(front, peer, &wire, begun)).await? {
            Next::Request => {}
            Next::Nothing => return Ok(End::Over),
            Next::WebSocket(upgrade) => {
                let wire = wire.into_wire().ok_or_else(|| Error::new(Kind::Other, "the connection is still in use"))?;
                return Ok(End::WebSocket(upgrade, Box::new(wire)));
            }
        }
    }
}

/// Serves what was asked at once, or ends the connection.
async fn attend(front: &Arc<Front>, peer: &Peer, wire: &Shared, begun: io::Result<bool>) -> Result<Next> {
    match begun {
        Ok(true) => {}
        Err(error) if !(is_idle_timeout(&error) && wire.lock().is_flushed()) => {
            return end(front, peer, wire, error.into()).await;
        }
        // The client asks nothing more, or the server ends: a farewell, and no waiting for one.
        Ok(false) | Err(_) => {
            let _ = timeout(FAREWELL, wire.clone().shutdown()).await;
            return Ok(Next::Nothing);
        }
    }
    loop {
        let head = match next(front, wire).await {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(Next::Request),
            Err(ending) => return end(front, peer, wire, ending).await,
        };
        match exchange(front, peer, wire, head).await {
            // What stands behind it may be prepared again.
            Ok(Next::Request) => _ = prepared::answer(front, &mut wire.lock()),
            Ok(Next::Nothing) => {
                // The client has its answer: what becomes of the connection now changes nothing.
                let _ = linger::close(&mut wire.clone()).await;
                return Ok(Next::Nothing);
            }
            Ok(upgrade) => return Ok(upgrade),
            Err(error) => {
                // The answers before this one are whole.
                let _ = timeout(FAREWELL, wire.clone().flush()).await;
                return Err(error);
            }
        }
    }
}

/// The head of the next request, if one has begun: it must then come in time.
async fn next(front: &Front, wire: &Shared) -> Result<Option<Head>, Ending> {
    let first = poll_fn(|cx| {
        let mut wire = wire.lock();
        match wire.poll_head(cx) {
            // The time of a head does not run while a slow client still reads earlier answers.
            Poll::Pending if wire.is_flushed() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
            Poll::Ready(head) => Poll::Ready(Some(head)),
        }
    });
    match first.await {
        Some(head) => head,
        None => {
            let whole = poll_fn(|cx| wire.lock().poll_head(cx));
            let late = Refusal { status: StatusCode::REQUEST_TIMEOUT, why: "the head did not come in time\n" };
            // In a box, since it is rare that a head comes in pieces.
            Box::pin(timeout(front.scope.limits().timeout, whole)).await.unwrap_or(Err(late.into()))
        }
    }
}

/// Whether an idle connection was given up, which is no error.
fn is_idle_timeout(error: &io::Error) -> bool {
    let ours = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    ours.is_some_and(|error| error.kind() == Kind::Timeout)
}

/// Tells the client why it is not listened to any more, where there is somebody to tell.
async fn end(front: &Front, peer: &Peer, wire: &Shared, ending: Ending) -> Result<Next> {
    let refusal = match ending {
        Ending::Refused(refusal) => refusal,
        Ending::Cut(why) => return Err(Error::new(Kind::Cut, why)),
        Ending::Failed(error) => return Err(Error::io("the HTTP connection was cut off", error)),
    };
    front.refused(peer, &refusal);
    if refusal != head::NO_HTTP {
        let response = text(refusal.status, refusal.why);
        let manner = Manner { head: false, version: Version::HTTP_11, keeps_alive: false, trailers: false };
        respond(wire, response, &manner).await?;
    }
    let _ = linger::close(&mut wire.clone()).await;
    Ok(Next::Nothing)
}

/// What follows an exchange.
enum Next {
    Request,
    Nothing,
    WebSocket(Upgrade),
}

/// How an answer is written, which follows from its request.
pub(super) struct Manner {
    /// It is an answer to HEAD: as long as the one to GET, and without a body.
    pub(super) head: bool,
    pub(super) version: Version,
    pub(super) keeps_alive: bool,
    /// The client understands trailers (RFC 9110, section 6.5.1).
    pub(super) trailers: bool,
}

async fn exchange(front: &Arc<Front>, peer: &Peer, wire: &Shared, head: Head) -> Result<Next> {
    let Head { request, length, keeps_alive, seen, .. } = head;
    let mut manner = Manner {
        head: request.method() == ::http::Method::HEAD,
        version: request.version(),
        keeps_alive,
        trailers: seen.has(Seen::TE) && head::has_word(request.headers(), &TE, "trailers"),
    };
    let body = match length {
        Length::Known(0) => empty(),
        length => Paced::new(Incoming::new(wire.clone(), length), &front.scope).boxed_unsync(),
    };
    let mut request = request.map(|()| body);
    if front.service.is_web() && manner.version == Version::HTTP_11 {
        request.extensions_mut().insert(Interim::new(Arc::new(Before::new(wire))));
    }
    let mut response = until(wire, pin!(front.answer(request, seen, peer))).await?;
    let upgrade = response.extensions_mut().remove::<Upgrade>();
    if response.status().is_informational() && upgrade.is_none() {
        response = text(StatusCode::INTERNAL_SERVER_ERROR, "an interim response is no answer\n");
    }
    // A server that ends says so with its last answer.
    manner.keeps_alive &= !front.scope.is_stopping();
    let answered = respond(wire, response, &manner).await;
    let Answered { keeps_alive, is_read } = answered.inspect_err(|_| apologize(wire, &manner))?;
    if let Some(upgrade) = upgrade {
        poll_fn(|cx| wire.lock().poll_flush(cx)).await.map_err(cut)?;
        return Ok(Next::WebSocket(upgrade));
    }
    // Also where nothing follows: a client that still sends may miss the answer otherwise.
    let read = is_read || skip(front, wire).await;
    // A client that asks much at once is not the only one.
    tokio::task::consume_budget().await;
    Ok(if keeps_alive && read { Next::Request } else { Next::Nothing })
}

fn cut(error: io::Error) -> Error {
    Error::io("the answer was cut off", error)
}

/// Waits for an answer. What else is to be written leaves meanwhile, and that the client goes ends the wait.
fn until<T>(wire: &Shared, mut answer: Pin<&mut impl Future<Output = Result<T>>>) -> impl Future<Output = Result<T>> {
    poll_fn(move |cx| match answer.as_mut().poll(cx) {
        Poll::Pending => {
            let mut wire = wire.lock();
            if let Poll::Ready(Err(error)) = wire.poll_flush(cx) {
                return Poll::Ready(Err(cut(error)));
            }
            wire.poll_gone(cx).map(|error| Err(Error::io("the client has gone", error)))
        }
        ready => ready,
    })
}

/// Throws away what is left of the request, within bounds: the next one stands behind it.
async fn skip(front: &Front, wire: &Shared) -> bool {
    {
        let mut wire = wire.lock();
        if wire.finish() || !wire.may_go_on() {
            return wire.is_read();
        }
    }
    // The client may wait for the answer before it goes on.
    let flushed = poll_fn(|cx| wire.lock().poll_flush(cx)).await;
    let mut most = UNREAD;
    let skipped = poll_fn(|cx| wire.lock().poll_skip(&mut most, cx));
    flushed.is_ok() && timeout(front.scope.limits().timeout, skipped).await.unwrap_or(false)
}

/// How the end of a response's body is told (RFC 9112, section 6.3).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none, whatever the headers say.
    Bodiless,
    Known(u64),
    Chunked,
    /// By the end of the connection.
    Closing,
}

/// What follows an answer.
struct Answered {
    /// The connection can go on.
    keeps_alive: bool,
    /// Nothing of the request is left to read.
    is_read: bool,
}

/// Tells the client that there is no answer, where nothing of one has left.
fn apologize(wire: &Shared, manner: &Manner) {
    let mut wire = wire.lock();
    if !wire.responding {
        let (status, headers) = (StatusCode::INTERNAL_SERVER_ERROR, HeaderMap::new());
        let manner = Manner { keeps_alive: false, ..*manner };
        begin(&mut wire, status, &headers, Seen::default(), Framing::Known(0), &manner);
    }
}

/// Gathers a response, and writes what is too much to gather.
async fn respond(wire: &Shared, response: Response<Body>, manner: &Manner) -> Result<Answered> {
    let seen = Seen::of(response.headers());
    let exact = response.body().size_hint().exact();
    let framing = framing(response.status(), response.headers(), seen, exact, manner);
    let (mut parts, mut body) = response.into_parts();
    let part = parts.extensions.remove::<Part>();
    // Most bodies are one small piece, which leaves with the head.
    let first = match framing {
        Framing::Known(length) if length <= COPIED as u64 && part.is_none() && !manner.head => {
            // A body that fails at once is no answer: nothing of it has left.
            poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await?
        }
        _ => Poll::Pending,
    };
    let piece = if let Poll::Ready(Some(frame)) = &first { frame.data_ref() } else { None };
    let piece = piece.filter(|data| body.is_end_stream() && framing == Framing::Known(data.len() as u64));
    let done = manner.head || framing == Framing::Bodiless || piece.is_some();
    let answered = {
        let mut wire = wire.lock();
        let keeps_alive = begin(&mut wire, parts.status, &parts.headers, seen, framing, manner);
        wire.output.extend_from_slice(piece.map_or(&[], |data| data));
        Answered { keeps_alive, is_read: done && wire.finish() }
    };
    if !done {
        match part {
            // The body stays until it is sent: with it goes its account.
            Some(part) if framing == Framing::Known(part.left()) && wire.lock().is_bare() => {
                send_file(wire, part).await?
            }
            _ => send(wire, first, body, framing, manner.trailers).await?,
        }
    }
    Ok(answered)
}

/// Gathers the head of a response. Says whether the connection can go on.
pub(super) fn begin(
    wire: &mut Wire,
    status: StatusCode,
    headers: &HeaderMap,
    seen: Seen,
    framing: Framing,
    manner: &Manner,
) -> bool {
    let says_close = seen.has(Seen::CONNECTION) && head::has_word(headers, &CONNECTION, "close");
    let keeps_alive = manner.keeps_alive && wire.may_go_on() && framing != Framing::Closing && !says_close;
    wire.responding = true;
    let out = &mut wire.output;
    head::write(status, headers, seen, out);
    match framing {
        Framing::Known(length) => head::line(&CONTENT_LENGTH, itoa::Buffer::new().format(length).as_bytes(), out),
        Framing::Chunked => head::line(&TRANSFER_ENCODING, b"chunked", out),
        Framing::Bodiless | Framing::Closing => {}
    }
    if status != StatusCode::SWITCHING_PROTOCOLS && !seen.has(Seen::CONNECTION) {
        match (keeps_alive, manner.version) {
            (false, _) => head::line(&CONNECTION, b"close", out),
            (true, Version::HTTP_10) => head::line(&CONNECTION, b"keep-alive", out),
            (true, _) => {}
        }
    }
    out.extend_from_slice(b"\r\n");
    keeps_alive
}

/// Decides how the end of the body is told; what a service says about that itself holds only where it knows better.
pub(super) fn framing(
    status: StatusCode,
    headers: &HeaderMap,
    seen: Seen,
    exact: Option<u64>,
    manner: &Manner,
) -> Framing {
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        return Framing::Bodiless;
    }
    if status == StatusCode::NOT_MODIFIED {
        // It would be the length of what is not sent; nobody needs it.
        return Framing::Bodiless;
    }
    let told = if seen.has(Seen::CONTENT_LENGTH) { headers.get(CONTENT_LENGTH) } else { None };
    let told = told.and_then(|length| length.to_str().ok()?.parse().ok());
    match (exact, told, manner.version) {
        // An answer to HEAD may have no body to measure.
        (_, Some(length), _) if manner.head => Framing::Known(length),
        (Some(length), _, _) | (None, Some(length), _) => Framing::Known(length),
        (None, None, Version::HTTP_10) => Framing::Closing,
        (None, None, _) => Framing::Chunked,
    }
}

/// What is next of a body; nothing at its end.
type Piece = Option<Frame<Bytes>>;

/// Sends a body, piece by piece as it comes.
async fn send(wire: &Shared, mut first: Poll<Piece>, mut body: Body, framing: Framing, trailers: bool) -> Result<()> {
    let mut left = if let Framing::Known(length) = framing { length } else { u64::MAX };
    loop {
        let piece = match std::mem::replace(&mut first, Poll::Pending) {
            Poll::Ready(piece) => piece,
            Poll::Pending => until(wire, pin!(async { body.frame().await.transpose() })).await?,
        };
        let Some(frame) = piece else { break };
        let mut data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) if framing == Framing::Chunked => return finish(wire, frame, trailers),
            Err(_) => continue,
        };
        if data.is_empty() {
            continue;
        }
        left = left.checked_sub(data.len() as u64).ok_or_else(|| wrong_length("more"))?;
        if framing == Framing::Chunked {
            let size = format!("{:x}\r\n", data.len());
            wire.lock().output.extend_from_slice(size.as_bytes());
        }
        poll_fn(|cx| wire.lock().poll_send(&mut data, cx)).await.map_err(cut)?;
        if framing == Framing::Chunked {
            wire.lock().output.extend_from_slice(b"\r\n");
        }
    }
    match framing {
        Framing::Chunked => wire.lock().output.extend_from_slice(b"0\r\n\r\n"),
        Framing::Known(_) if left > 0 => return Err(wrong_length("less")),
        _ => {}
    }
    Ok(())
}

/// Has the kernel send a file, piece by piece.
async fn send_file(wire: &Shared, mut part: Part) -> Result<()> {
    while part.left() > 0 {
        until(wire, pin!(part.ready(AT_ONCE))).await?;
        let mut most = AT_ONCE;
        while most > 0 && part.left() > 0 {
            most -= poll_fn(|cx| wire.lock().poll_send_file(&mut part, most, cx)).await.map_err(cut)?;
        }
    }
    Ok(())
}

fn wrong_length(than: &str) -> Error {
    Error::new(Kind::Other, format!("a response's body has {than} bytes than its length says"))
}

/// The last chunk, and the trailers.
fn finish(wire: &Shared, frame: Frame<Bytes>, trailers: bool) -> Result<()> {
    let out = &mut wire.lock().output;
    out.extend_from_slice(b"0\r\n");
    if let Some(trailers) = frame.into_trailers().ok().filter(|_| trailers) {
        for (name, value) in &trailers {
            head::line(name, value.as_bytes(), out);
        }
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}
