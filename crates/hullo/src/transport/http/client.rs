//! `hullo request http://host/path`, `hullo ask https://host/path hello`: the client's end of HTTP.

use std::time::Duration;

use ::http::{
    HeaderValue, Request, Response, StatusCode,
    header::{HOST, PROXY_AUTHORIZATION, TRANSFER_ENCODING, UPGRADE},
};
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::sleep;
use tokio_util::io::ReaderStream;

pub(super) use self::link::connect;
pub(crate) use self::paper::write;
pub use self::way::Way;
use self::{
    sent::Tracked,
    spelling::Spelled,
    way::Reached,
    witness::{Seen, Witness},
};
use super::{head, is_secure};
use crate::{
    address::Address,
    error::{Error, Kind, Result},
    io::{codings, exchange::Body, guard::Guard},
    link::BoxStream,
    peer::Peer,
    scope::{BoxFuture, Scope},
    transport::{tcp, tls},
    watch::Event,
};

mod link;
mod paper;
mod sent;
mod spelling;
mod way;
mod witness;

/// A connection to the host of a URL, inside TLS where its scheme says so.
pub(in crate::transport) async fn dial(
    to: &Address,
    scheme: &'static str,
    alpn: &[&str],
    scope: &Scope,
) -> Result<(BoxStream, Peer)> {
    let secure = is_secure(scheme);
    let (stream, peer) = tcp::dial(to, scheme, Some(if secure { 443 } else { 80 }), scope).await?;
    if !secure {
        return Ok((Box::new(stream), peer));
    }
    Ok((Box::new(tls::secure(stream, to, alpn, scope).await?), peer))
}

/// One request over a connection of its own, and its response as soon as its head is there: within `patience` of the
/// end of the request, where that is said.
///
/// # Errors
/// The connection's, or a response that is not HTTP.
pub(crate) async fn exchange(
    to: &Address,
    request: Request<Body>,
    way: &Way,
    patience: Option<Duration>,
    scope: &Scope,
) -> Result<(Response<Body>, Peer)> {
    let scheme = if to.scheme == "https" { "https" } else { "http" };
    let Reached { stream, peer, h2, proxy, authorization } = way.reach(to, scheme, scope).await?;
    let stream = Guard::new(stream, &peer, scope);
    let (mut parts, body) = request.into_parts();
    let (body, sent) = Tracked::new(body);
    let switches = parts.headers.contains_key(UPGRADE);
    let about = format!("no answer from {}", to.bare());
    let answer: BoxFuture<'_, Result<(Response<Incoming>, Seen)>> = if h2 {
        scope.tell(&Event::Agreed { protocol: "HTTP/2" });
        let request = at_its_host(Request::from_parts(parts, body));
        Box::pin(over_h2(stream, request, about.clone(), scope))
    } else {
        scope.tell(&Event::Agreed { protocol: "HTTP/1.1" });
        if let Some(authorization) = authorization {
            parts.headers.insert(PROXY_AUTHORIZATION, authorization);
        }
        let request = Request::from_parts(parts, body);
        let request = if proxy { with_host(request) } else { relative(request) };
        Box::pin(over_h1(Spelled::new(stream, way.spelling.clone()), request, about.clone(), scope))
    };
    let late = async {
        sent.over().await;
        match patience {
            Some(patience) => sleep(patience).await,
            None => std::future::pending().await,
        }
    };
    let (response, seen) = tokio::select! {
        answer = answer => answer?,
        () = late => {
            let about = format!("{about} within {:?}", patience.unwrap_or_default());
            return Err(Error::new(Kind::Timeout, about).hint("wait longer with --timeout 5m"));
        }
    };
    let about = format!("the response of {} was cut off", to.bare());
    let response = whole(response, switches, about, seen)?;
    Ok((response, peer))
}

async fn over_h2(
    stream: Guard<BoxStream>,
    request: Request<Tracked>,
    about: String,
    scope: &Scope,
) -> Result<(Response<Incoming>, Seen)> {
    let (stream, seen) = Witness::new(stream);
    // What answers, but not in HTTP/2, does not speak it; who closes without a word may have had another reason.
    let wrong = |error: hyper::Error| {
        let silent = !seen.heard() || error.is_user();
        let error = seen.explain(about.clone(), error);
        let other = !silent && error.kind() == Kind::Cut;
        if other { error.of(Kind::Protocol).hint("does it speak HTTP/2? --http 1.1 is the other one") } else { error }
    };
    let mut builder = http2::Builder::new(TokioExecutor::new());
    let handshake = builder.max_header_list_size(16 * head::LARGEST as u32).handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(wrong)?;
    scope.spawn(async move { drop(connection.await) });
    let response = sender.send_request(request).await.map_err(wrong)?;
    Ok((response, seen))
}

async fn over_h1(
    stream: Spelled<Guard<BoxStream>>,
    request: Request<Tracked>,
    about: String,
    scope: &Scope,
) -> Result<(Response<Incoming>, Seen)> {
    let (stream, seen) = Witness::new(stream);
    let wrong = |error: hyper::Error| {
        let h2 = error.is_parse_version_h2();
        let error = seen.explain(about.clone(), error);
        if h2 { error.hint("it speaks HTTP/2 alone: --http 2") } else { error }
    };
    let (mut sender, connection) = http1_builder().handshake(TokioIo::new(stream)).await.map_err(wrong)?;
    scope.spawn(async move { drop(connection.with_upgrades().await) });
    let response = sender.send_request(request).await.map_err(wrong)?;
    Ok((response, seen))
}

/// How HTTP/1.1 is spoken: heads are large at most, and folded lines are read as curl and browsers read them.
fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .max_buf_size(16 * head::LARGEST)
        .max_header_size(16 * head::LARGEST)
        .max_headers(1000)
        .title_case_headers(true)
        .allow_obsolete_multiline_headers_in_responses(true);
    builder
}

/// The request with a target that has no host, which is in its header (RFC 9112, section 3.2.1).
fn relative<B>(request: Request<B>) -> Request<B> {
    let mut request = with_host(request);
    if let Some(target) = request.uri().path_and_query().and_then(|target| target.as_str().parse().ok()) {
        *request.uri_mut() = target;
    }
    request
}

fn with_host<B>(mut request: Request<B>) -> Request<B> {
    let authority = request.uri().authority().and_then(|at| HeaderValue::from_str(at.as_str()).ok());
    if let Some(authority) = authority.filter(|_| !request.headers().contains_key(HOST)) {
        // It comes first, as is good practice (RFC 9110, section 7.2).
        let rest = std::mem::take(request.headers_mut());
        request.headers_mut().insert(HOST, authority);
        request.headers_mut().extend(rest);
    }
    request
}

/// The request with its host in the target alone, where HTTP/2 has it (RFC 9113, section 8.3.1).
fn at_its_host<B>(mut request: Request<B>) -> Request<B> {
    if let Some(host) = request.headers_mut().remove(HOST) {
        let mut parts = request.uri().clone().into_parts();
        if let Ok(authority) = host.as_bytes().try_into() {
            parts.authority = Some(authority);
        }
        if let Ok(uri) = parts.try_into() {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// What kind of error hyper's is.
pub(crate) fn kind(error: &hyper::Error) -> Kind {
    if error.is_parse() || error.is_user() {
        Kind::Protocol
    } else if error.is_timeout() {
        Kind::Timeout
    } else {
        Kind::Cut
    }
}

/// The response with a body whose errors are ours, and without what HTTP/1.1 may have packed it in for the journey.
fn whole(response: Response<Incoming>, switches: bool, about: String, seen: Seen) -> Result<Response<Body>> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(switched(response, switches, about));
    }
    let packed: Vec<_> = codings::listed(response.headers(), TRANSFER_ENCODING);
    let what = about.clone();
    let response = response.map(|body| body.map_err(move |error| seen.explain(about.clone(), error)).boxed_unsync());
    let packed = packed.into_iter().filter(|coding| coding != "chunked").collect();
    let (parts, body) = response.into_parts();
    Ok(Response::from_parts(parts, codings::decoded(body, packed, &what)?))
}

/// The answer of a server that goes on in another protocol: all that it says there is the body.
fn switched(mut response: Response<Incoming>, switches: bool, about: String) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut response);
    let (said, whose) = (about.clone(), about);
    let stream = async move {
        let upgraded = upgrade.await.map_err(|error| Error::new(kind(&error), said).because(error))?;
        let mut stream =
            ReaderStream::new(TokioIo::new(upgraded)).map_err(move |error| Error::io(whose.clone(), error));
        let first = stream.try_next().await?;
        if first.is_none() && !switches {
            let about = "the server switched to a protocol that nobody had asked for, and said nothing in it";
            return Err(Error::new(Kind::Protocol, about));
        }
        Ok(futures_util::stream::iter(first.map(Ok)).chain(stream))
    };
    let stream = futures_util::stream::once(stream).try_flatten();
    response.map(|_| BodyExt::boxed_unsync(StreamBody::new(stream.map_ok(Frame::data))))
}
