//! `hullo serve echo http://:7080`, `hullo ask https://host/path hello`: exchanges over HTTP/1.1 and 2 (RFC 9110, 9112, 9113).
//!
//! A listener answers requests by the service's `exchange`, and lets WebSockets in too. A link to an HTTP address is one
//! exchange: what is written is the body of a POST, what is read is the response's.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, PoisonError},
};

use ::http::{
    HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{HOST, SERVER},
};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::time::sleep;

use super::{
    Listener, Spec, Transport,
    accept::Door,
    tcp,
    tls::Identity,
    ws::{self, Agreed, Origins},
};
use crate::{
    address::Address,
    error::{Error, Kind, Result},
    io::{
        exchange::{Body, text},
        guard::Guard,
        paced::Paced,
        prefixed::Prefixed,
    },
    link::{BoxStream, Link},
    peer::Peer,
    scope::{BoxFuture, Scope},
    service::{Service, converse, status},
    watch::Event,
};

mod client;

pub(super) use self::client::dial;
pub use self::client::{Proxy, Way};
pub(crate) use self::client::{exchange, kind, write};

pub(super) const SCHEMES: &[Spec] = &[
    Spec { scheme: "http", about: "exchanges over HTTP/1.1 and 2", example: "http://127.0.0.1:7080/", transport: &Http("http") },
    Spec { scheme: "https", about: "exchanges over HTTP/1.1 and 2 inside TLS", example: "https://127.0.0.1:7483/", transport: &Http("https") },
];

/// The largest head of a request or response that is read.
const HEAD: usize = 64 << 10;

struct Http(&'static str);

impl Transport for Http {
    fn bind(&self, at: Address, scope: Scope) -> BoxFuture<'static, Result<Box<dyn Listener>>> {
        bind(at, self.0, Plain::Answered, scope)
    }

    fn connect(&self, to: Address, scope: Scope) -> BoxFuture<'static, Result<Link>> {
        Box::pin(client::connect(to, self.0, scope))
    }
}

/// What a request is that does not ask for a WebSocket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Plain {
    /// An exchange for the service.
    Answered,
    /// A mistake: only WebSockets are served.
    Refused,
}

fn is_secure(scheme: &str) -> bool {
    matches!(scheme, "https" | "wss")
}

/// Binds a listener for HTTP or WebSocket.
pub(super) fn bind(at: Address, scheme: &'static str, plain: Plain, scope: Scope) -> BoxFuture<'static, Result<Box<dyn Listener>>> {
    Box::pin(async move {
        if let Some(query) = at.query.as_deref().filter(|query| !query.is_empty()) {
            let name = query.split(['=', '&']).next().unwrap_or_default();
            return Err(crate::error::unknown("option", name, crate::options::OPTIONS.iter().map(|spec| spec.name)));
        }
        let alpn: &[&str] = if plain == Plain::Answered { &["h2", "http/1.1"] } else { &["http/1.1"] };
        let identity = is_secure(scheme).then(|| Identity::of(&at, alpn, &scope)).transpose()?;
        let door = tcp::listen(&at, scheme).await?;
        Ok(Box::new(HttpDoor { door, identity, plain }) as Box<dyn Listener>)
    })
}

struct HttpDoor {
    door: Door,
    identity: Option<Identity>,
    plain: Plain,
}

impl Listener for HttpDoor {
    fn address(&self) -> Address {
        self.door.address.clone()
    }

    fn notes(&self) -> Vec<String> {
        self.identity.as_ref().map_or_else(Vec::new, |identity| identity.notes.clone())
    }

    fn serve(self: Box<Self>, service: Arc<dyn Service>, scope: Scope) -> BoxFuture<'static, Result<()>> {
        let Self { door, identity, plain } = *self;
        let origin = door.address.options.text("origin").map(Arc::from);
        let front = Arc::new(Front { service, identity, plain, origin, scope: scope.clone() });
        Box::pin(door.accept(scope, move |fd, peer| Box::pin(front.clone().serve(fd, peer))))
    }
}

/// What all connections of a listener share.
struct Front {
    service: Arc<dyn Service>,
    identity: Option<Identity>,
    plain: Plain,
    origin: Option<Arc<str>>,
    scope: Scope,
}

impl Front {
    /// One connection, to its end: exchanges, and perhaps a WebSocket.
    async fn serve(self: Arc<Self>, fd: OwnedFd, peer: Peer) -> Result<()> {
        let stream: BoxStream = match &self.identity {
            None => Box::new(tcp::adopt(fd).map_err(|error| Error::io("cannot take the connection", error))?),
            Some(identity) => Box::new(Box::pin(identity.accept(fd, &self.scope)).await?),
        };
        let limits = self.scope.limits();
        let patience = limits.idle.map_or(limits.timeout, |idle| idle.min(limits.timeout));
        let stream = tokio::select! {
            begun = Prefixed::begun(stream) => begun?,
            () = sleep(patience) => return Err(Error::new(Kind::Timeout, format!("the client said nothing for {patience:?}"))),
            // Nothing is under way yet that could be finished.
            () = self.scope.stopped() => return Ok(()),
        };
        let agreed = Agreed::default();
        // Boxed, so that a WebSocket does not keep room for an HTTP connection all its life.
        Box::pin(self.clone().exchanges(stream, peer, agreed.clone())).await?;
        let upgrade = agreed.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((upgrade, peer)) = upgrade {
            let upgraded = upgrade.await.map_err(|error| Error::new(Kind::Cut, "the WebSocket did not begin").because(error))?;
            if let Ok(parts) = auto::upgrade::downcast::<TokioIo<Guard<Prefixed<BoxStream>>>>(upgraded) {
                let stream = Prefixed::new(parts.read_buf, parts.io.into_inner().until_stopped());
                return converse(self.service.clone(), ws::link(Box::new(stream), peer, self.scope.clone())).await;
            }
        }
        Ok(())
    }

    async fn exchanges(self: Arc<Self>, stream: Prefixed<BoxStream>, peer: Peer, agreed: Agreed) -> Result<()> {
        let scope = self.scope.clone();
        let io = TokioIo::new(Guard::new(stream, &peer, &scope).until_its_own_end());
        let mut builder = auto::Builder::new(TokioExecutor::new());
        // Not pipeline_flush: with it hyper stores what a client that goes on sending does not read, without a bound.
        builder
            .http1()
            .half_close(true)
            .max_buf_size(HEAD)
            .header_read_timeout(scope.limits().timeout)
            .timer(TokioTimer::new());
        builder.http2().max_header_list_size(HEAD as u32).keep_alive_interval(scope.limits().idle).timer(TokioTimer::new());
        let service = hyper::service::service_fn(move |request| self.clone().answer(request, peer.clone(), agreed.clone()));
        let connection = builder.serve_connection_with_upgrades(io, service);
        tokio::pin!(connection);
        let stopped = scope.stopped();
        let served = tokio::select! {
            served = &mut connection => served,
            () = stopped => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        served.map_err(|error| Error::new(Kind::Cut, "the HTTP connection was cut off").because(error))
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>, peer: Peer, agreed: Agreed) -> Result<Response<Body>> {
        let mut response = match judge(&request).and_then(|()| self.origins(&peer, &request)) {
            Err((status, why)) => text(status, why),
            Ok(()) if self.converses(&request) => self.upgrade(request, peer, &agreed),
            Ok(()) if self.plain == Plain::Refused => {
                let mut response = text(StatusCode::UPGRADE_REQUIRED, "only WebSockets are served here: ws:// instead of http://\n");
                response.headers_mut().insert(::http::header::UPGRADE, HeaderValue::from_static("websocket"));
                response
            }
            Ok(()) => {
                let head = request.method() == Method::HEAD;
                let request = request.map(|body| Paced::new(body, &self.scope).boxed_unsync());
                let answered = self.service.clone().exchange(request, peer.clone(), self.scope.clone()).await;
                let mut response = answered.unwrap_or_else(|error| {
                    self.scope.tell(&Event::Trouble { peer: Some(&peer), error: &error });
                    text(status(&error), format!("error: {error}\n"))
                });
                if head {
                    // The body of an answer to HEAD is not sent; what makes it need not run on.
                    *response.body_mut() = crate::io::exchange::empty();
                }
                response
            }
        };
        response.headers_mut().entry(SERVER).or_insert(HeaderValue::from_static("hullo"));
        Ok(response)
    }

    /// Whether a request asks for a WebSocket where the service converses.
    fn converses(&self, request: &Request<Incoming>) -> bool {
        ws::is_upgrade(request)
            && request.version() < Version::HTTP_2
            && (self.plain == Plain::Refused || self.service.converses_at(request.uri().path()))
    }

    /// Refuses the pages of other sites.
    fn origins<B>(&self, peer: &Peer, request: &Request<B>) -> Result<(), (StatusCode, &'static str)> {
        let loopback = peer.local().net().is_some_and(|address| address.ip().to_canonical().is_loopback());
        let origins = Origins { allowed: self.origin.as_deref(), loopback };
        origins.allow(request).map_err(|why| (StatusCode::FORBIDDEN, why))
    }

    fn upgrade(&self, mut request: Request<Incoming>, peer: Peer, agreed: &Agreed) -> Response<Body> {
        let response = ws::answer(&request);
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let peer = peer.at_path(request.uri().path());
            let upgrade = (hyper::upgrade::on(&mut request), peer);
            *agreed.lock().unwrap_or_else(PoisonError::into_inner) = Some(upgrade);
        }
        response
    }
}

/// Refuses what hyper lets through: a missing, double or malformed Host (RFC 9112, section 3.2), and targets that are not
/// for an origin (sections 3.2.3 and 3.2.4).
fn judge<B>(request: &Request<B>) -> Result<(), (StatusCode, &'static str)> {
    let bad = |why| Err((StatusCode::BAD_REQUEST, why));
    let target = request.uri();
    if request.method() == Method::CONNECT {
        return Err((StatusCode::NOT_IMPLEMENTED, "this is no proxy: CONNECT has nowhere to go\n"));
    }
    if target.path() == "*" && request.method() != Method::OPTIONS {
        return bad("the target * is for OPTIONS alone\n");
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => bad("there are two Host headers\n"),
        (None, None) if request.version() == Version::HTTP_11 => bad("there is no Host header\n"),
        // With the whole URL as the target an empty one is right: the URL has the host.
        (Some(host), None) if host.is_empty() && target.host().is_some() => Ok(()),
        (Some(host), None) if !is_host(host.as_bytes()) => bad("the Host header names no host\n"),
        _ => Ok(()),
    }
}

/// `host` or `host:port` (RFC 3986, section 3.2.2), without a user.
fn is_host(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, rest)) if v6.parse::<std::net::Ipv6Addr>().is_ok() => ("v6", rest),
        Some(_) => return false,
        None => host.find(':').map_or((host, ""), |at| host.split_at(at)),
    };
    let is_name = !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._~!$&'()*+;=%".contains(&c));
    let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|c| c.is_ascii_digit()) && port.len() <= 5);
    is_name && is_port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_hosts() {
        for good in ["localhost", "localhost:80", "127.0.0.1:8080", "[::1]:80", "a.b-c_d", "x:"] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in ["", "a b", "me@host", "host/path", "a,b", "[::1", "[zz]:1", "host:port", "h:123456", "h:1:2"] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }
}
