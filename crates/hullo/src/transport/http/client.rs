//! `hullo request http://host/path`, `hullo ask https://host/path hello`: the client's end of HTTP.
//!
//! A link to an HTTP address is one exchange: what is written is the body of a POST, what is read is the response's.

use std::sync::Arc;

use ::http::{HeaderValue, Request, Response, header::HOST};
use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::{mpsc, oneshot};

use super::{HEAD, is_secure};
use crate::{
    address::Address,
    error::{Error, Kind, Result},
    io::{
        exchange::{Body, Exchange},
        guard::Guard,
    },
    link::{BoxStream, Link},
    peer::{Endpoint, Peer},
    scope::{BoxFuture, Scope},
    transport::{tcp, tls},
    watch::Event,
};

/// A connection to the host of a URL, inside TLS where its scheme says so.
pub(in crate::transport) async fn dial(to: &Address, scheme: &'static str, alpn: &[&str], scope: &Scope) -> Result<(BoxStream, Peer)> {
    let secure = is_secure(scheme);
    let (stream, peer) = tcp::dial(to, scheme, Some(if secure { 443 } else { 80 }), scope).await?;
    if !secure {
        return Ok((Box::new(stream), peer));
    }
    Ok((Box::new(tls::secure(stream, to, alpn, scope).await?), peer))
}

/// One request over a connection of its own, and its response as soon as its head is there.
///
/// # Errors
/// The connection's, or a response that is not HTTP.
pub(crate) async fn exchange(to: &Address, request: Request<Body>, scope: &Scope) -> Result<(Response<Incoming>, Peer)> {
    let scheme = if to.scheme == "https" { "https" } else { "http" };
    let port = Some(if scheme == "https" { 443 } else { 80 });
    let (stream, peer) = tcp::dial(to, scheme, port, scope).await?;
    let (stream, h2): (BoxStream, bool) = if scheme == "https" {
        let stream = tls::secure(stream, to, &["h2", "http/1.1"], scope).await?;
        let h2 = tls::agreed(&stream).as_deref() == Some(b"h2");
        (Box::new(stream), h2)
    } else {
        (Box::new(stream), false)
    };
    let io = TokioIo::new(Guard::new(stream, &peer, scope));
    let about = format!("no answer from {}", to.bare());
    let wrong = |error: hyper::Error| Error::new(kind(&error), about.clone()).because(error);
    let response = if h2 {
        scope.tell(&Event::Agreed { protocol: "HTTP/2" });
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.map_err(wrong)?;
        scope.spawn(async move { drop(connection.await) });
        sender.send_request(request).await.map_err(wrong)?
    } else {
        scope.tell(&Event::Agreed { protocol: "HTTP/1.1" });
        let (mut sender, connection) = http1::Builder::new().max_buf_size(16 * HEAD).title_case_headers(true).handshake(io).await.map_err(wrong)?;
        scope.spawn(async move { drop(connection.with_upgrades().await) });
        sender.send_request(relative(request)).await.map_err(wrong)?
    };
    Ok((response, peer))
}

/// The request with the target that HTTP/1.1 wants: the host is in its header (RFC 9112, section 3.2.1).
fn relative(mut request: Request<Body>) -> Request<Body> {
    if let Some(authority) = request.uri().authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok()) {
        request.headers_mut().entry(HOST).or_insert(authority);
    }
    if let Some(target) = request.uri().path_and_query().and_then(|target| target.as_str().parse().ok()) {
        *request.uri_mut() = target;
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

/// A link that is one exchange: what is written is a POST's body, what is read the response's.
pub(super) async fn connect(to: Address, scheme: &'static str, scope: Scope) -> Result<Link> {
    let (sender, mut pieces) = mpsc::channel(8);
    let body = StreamBody::new(futures_util::stream::poll_fn(move |cx| pieces.poll_recv(cx)));
    let uri = format!("{scheme}://{}{}", to.authority(), to.target());
    let request = Request::post(&uri).body(BodyExt::boxed_unsync(body)).map_err(|error| Error::usage(format!("{to} is no URL")).because(error))?;
    let remote = Endpoint::Name(Arc::from(format!("//{}", to.authority())));
    let peer = Peer::new(scheme, remote, Endpoint::Unnamed).at_path(&to.target());
    // The response may come only after the whole request: its body is read as soon as there is one.
    let in_scope = scope.clone();
    let response = async move {
        let (response, _) = exchange(&to, request, &in_scope).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response.into_body().map_err(|error| Error::new(kind(&error), "the response was cut off").because(error)));
        }
        // The beginning of what it says about that, however much it is.
        let (mut body, mut said) = (response.into_body(), Vec::new());
        while said.len() < 200
            && let Some(Ok(frame)) = body.frame().await
        {
            said.extend_from_slice(frame.data_ref().map_or(&[][..], |data| &data[..data.len().min(200)]));
        }
        let said = String::from_utf8_lossy(&said[..said.len().min(200)]).trim().to_owned();
        Err(Error::new(Kind::Protocol, format!("{} answered {status}", to.bare())).because(said))
    };
    // It runs by itself: what is written leaves, though nobody may be reading yet.
    let (mut tell, told) = oneshot::channel();
    scope.spawn(async move {
        tokio::select! {
            response = response => drop(tell.send(response)),
            () = tell.closed() => {}
        }
    });
    let about = "the exchange was dropped";
    let response = async move { told.await.unwrap_or_else(|_| Err(Error::new(Kind::Cut, about))) };
    let body = Late { response: Some(Box::pin(response)), body: None };
    Ok(Link::over(Exchange::new(body.boxed_unsync(), sender).asking(), peer, scope))
}

/// A body that is still to come.
struct Late<B> {
    response: Option<BoxFuture<'static, Result<B>>>,
    body: Option<B>,
}

impl<B: hyper::body::Body<Data = Bytes, Error = Error> + Unpin> hyper::body::Body for Late<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>>>> {
        if let Some(response) = &mut self.response {
            let body = std::task::ready!(response.as_mut().poll(cx));
            self.response = None;
            self.body = Some(body?);
        }
        match &mut self.body {
            Some(body) => std::pin::Pin::new(body).poll_frame(cx),
            None => std::task::Poll::Ready(None),
        }
    }
}

