//! `hullo serve echo http://:7080`, `hullo ask https://host/path hello`: exchanges over HTTP/1.1 and 2 (RFC 9110, 9112, 9113).
//!
//! A listener answers requests by the service's `exchange`, and lets WebSockets in too. A link to an HTTP address is one
//! exchange: what is written is the body of a POST, what is read is the response's.

use std::{future::poll_fn, os::fd::OwnedFd, sync::Arc};

use ::http::{
    HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{ALLOW, CONNECTION, CONTENT_TYPE, HOST},
};
use tokio::time::timeout;

use self::{
    account::Account,
    cors::Cors,
    h1::End,
    head::Refusal,
    seen::Seen,
    socket::Socket,
    wire::{Beginning, Wire},
};

use super::{
    Listener, Spec, Transport,
    accept::Door,
    tcp,
    tls::Identity,
    ws::{self, Origins, wire::Terms},
};
use crate::{
    address::Address,
    error::{Error, Kind, Result},
    io::{
        exchange::{Body, text},
        guard::Guard,
        prefixed::Prefixed,
    },
    link::Link,
    peer::Peer,
    scope::{BoxFuture, Scope},
    service::{Service, converse, status},
    watch::Event,
};

mod account;
pub(crate) mod chunked;
mod client;
mod cors;
mod h1;
mod h2;
pub(crate) mod head;
pub(crate) mod prepared;
mod seen;
mod socket;
mod wire;

pub use self::client::Way;
pub(super) use self::client::dial;
pub(crate) use self::client::{exchange, kind, write};

pub(super) const SCHEMES: &[Spec] = &[
    Spec {
        scheme: "http",
        about: "exchanges over HTTP/1.1 and 2",
        example: "http://127.0.0.1:7080/",
        transport: &Http("http"),
    },
    Spec {
        scheme: "https",
        about: "exchanges over HTTP/1.1 and 2 inside TLS",
        example: "https://127.0.0.1:7483/",
        transport: &Http("https"),
    },
];

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
pub(super) fn bind(
    at: Address,
    scheme: &'static str,
    plain: Plain,
    scope: Scope,
) -> BoxFuture<'static, Result<Box<dyn Listener>>> {
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
        let options = &door.address.options;
        let (deflates, protocols) = (options.flag("deflate", true), options.text("protocol").map(str::to_owned));
        let front = Arc::new(Front { service, identity, plain, origin, deflates, protocols, scope: scope.clone() });
        Box::pin(door.accept(scope, move |fd, peer| front.clone().serve(fd, peer)))
    }
}

/// What all connections of a listener share.
struct Front {
    service: Arc<dyn Service>,
    identity: Option<Identity>,
    plain: Plain,
    origin: Option<Arc<str>>,
    deflates: bool,
    protocols: Option<String>,
    scope: Scope,
}

impl Front {
    /// One connection, to its end: exchanges, and perhaps something else.
    fn serve(self: Arc<Self>, fd: OwnedFd, peer: Peer) -> BoxFuture<'static, Result<()>> {
        let first = Box::pin(self.begin(fd, peer));
        // What it has become has all the memory to itself: nothing stays of what came before.
        Box::pin(async move {
            match first.await? {
                Some(rest) => rest.await,
                None => Ok(()),
            }
        })
    }

    /// The exchanges of HTTP/1.1, and what follows them.
    async fn begin(self: Arc<Self>, fd: OwnedFd, peer: Peer) -> Result<Option<BoxFuture<'static, Result<()>>>> {
        let (stream, peer) = match &self.identity {
            None => {
                (Socket::Bare(tcp::adopt(fd).map_err(|error| Error::io("cannot take the connection", error))?), peer)
            }
            Some(identity) => {
                let (stream, peer) = Box::pin(identity.accept(fd, peer, &self.scope)).await?;
                (Socket::Inside(Box::new(stream)), peer)
            }
        };
        // In a box, since it is handed on: what a future was given stays a part of it.
        let mut wire = Box::new(Wire::new(Guard::new(stream, &peer, &self.scope)));
        match Box::pin(self.beginning(&mut wire)).await? {
            Beginning::Nothing => Ok(None),
            Beginning::Http2 => Ok(Some(Box::pin(h2::serve(self, peer, *wire)))),
            // In a box: it is not there before the first bytes are.
            Beginning::Http1 => Ok(match Box::pin(h1::serve(&self, &peer, wire)).await? {
                End::Over => None,
                End::WebSocket(upgrade, wire) => Some(self.talk(upgrade, *wire)),
            }),
        }
    }

    /// The conversation over a WebSocket.
    fn talk(&self, Upgrade { peer, terms }: Upgrade, wire: Wire) -> BoxFuture<'static, Result<()>> {
        let (mut stream, read) = wire.into_parts();
        stream.heed_stop(true);
        let stream = Box::new(Prefixed::new(read, stream));
        converse(self.service.clone(), ws::link(stream, terms, peer, self.scope.clone()))
    }

    /// Waits for the first bytes, less long than for those of a connection that has been of use before.
    async fn beginning(&self, wire: &mut Wire) -> Result<Beginning> {
        let limits = self.scope.limits();
        let patience = limits.idle.map_or(limits.timeout, |idle| idle.min(limits.timeout));
        match timeout(patience, poll_fn(|cx| wire.poll_beginning(cx))).await {
            Ok(beginning) => beginning,
            Err(_) => Err(Error::new(Kind::Timeout, format!("the client said nothing for {patience:?}"))),
        }
    }

    /// Answers a request, whichever way it came.
    async fn answer(&self, mut request: Request<Body>, seen: Seen, peer: &Peer) -> Result<Response<Body>> {
        // Who may not ask is not told either.
        let cors = if self.origin.is_some() { Cors::of(&request) } else { None };
        let account = Account::open(&mut request, peer, &self.scope);
        let mut response = match judge(&request, seen).and_then(|()| self.origins(peer, &request, seen)) {
            Err((status, why)) => closing(&request, text(status, why)),
            Ok(())
                if request.method() == Method::OPTIONS && (request.uri().path() == "*" || !self.service.is_web()) =>
            {
                allowing(StatusCode::NO_CONTENT, "")
            }
            Ok(()) if request.method() == Method::TRACE && !self.service.is_web() => {
                allowing(StatusCode::METHOD_NOT_ALLOWED, "TRACE shows secrets to scripts\n")
            }
            Ok(()) if !METHODS.contains(request.method()) && !self.service.is_web() => {
                text(StatusCode::NOT_IMPLEMENTED, "this method is not known here\n")
            }
            Ok(()) if self.converses(&request, seen) => self.upgrade(&request, peer),
            Ok(()) if self.plain == Plain::Refused => {
                let mut response =
                    text(StatusCode::UPGRADE_REQUIRED, "only WebSockets are served here: ws:// instead of http://\n");
                response.headers_mut().insert(::http::header::UPGRADE, HeaderValue::from_static("websocket"));
                response
            }
            Ok(()) => {
                let answered = self.service.clone().exchange(request, peer.clone(), self.scope.clone()).await;
                answered.unwrap_or_else(|error| {
                    self.scope.tell(&Event::Trouble { peer: Some(peer), error: &error });
                    text(status(&error), format!("error: {error}\n"))
                })
            }
        };
        if let Some(cors) = cors.filter(|_| response.status() != StatusCode::FORBIDDEN) {
            cors.allow(response.headers_mut());
        }
        Ok(if let Some(account) = account { account.of(response) } else { response })
    }

    /// Tells whoever watches that what came was no request.
    fn refused(&self, peer: &Peer, refusal: &Refusal) {
        let error = Error::new(Kind::Protocol, refusal.why.trim_end());
        self.scope.tell(&Event::Trouble { peer: Some(peer), error: &error });
        Account::refused(peer, refusal.status, &self.scope);
    }

    /// Whether a request asks for a WebSocket where the service converses.
    fn converses(&self, request: &Request<Body>, seen: Seen) -> bool {
        seen.has(Seen::UPGRADE)
            && ws::is_upgrade(request)
            && request.version() < Version::HTTP_2
            && (self.plain == Plain::Refused || self.service.converses_at(request.uri().path()))
    }

    /// Refuses the pages of other sites.
    fn origins<B>(&self, peer: &Peer, request: &Request<B>, seen: Seen) -> Result<(), (StatusCode, &'static str)> {
        let may_be_page = seen.has(Seen::ORIGIN) || seen.has(Seen::USER_AGENT);
        if !may_be_page || self.service.is_public() {
            return Ok(());
        }
        let loopback = peer.local().net().is_some_and(|address| address.ip().to_canonical().is_loopback());
        let origins = Origins { allowed: self.origin.as_deref(), loopback };
        origins.allow(request).map_err(|why| (StatusCode::FORBIDDEN, why))
    }

    fn upgrade(&self, request: &Request<Body>, peer: &Peer) -> Response<Body> {
        let mut response = ws::answer(request, self.deflates, self.protocols.as_deref());
        if let Some(terms) = response.extensions_mut().remove::<Terms>() {
            response.extensions_mut().insert(Upgrade { peer: peer.at_path(request.uri().path()), terms });
        }
        response
    }
}

/// The lines that every response has where the service says nothing else. What a client sent is never to become a page of
/// ours because it looks like one.
const ALWAYS: [(Seen, &str); 2] =
    [(Seen::SERVER, "server: hullo\r\n"), (Seen::NOSNIFF, "x-content-type-options: nosniff\r\n")];

/// The methods that a service gets, unless it is for the web: then it knows best.
const METHODS: [Method; 6] = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// A response behind which nothing is read: what was wrong with the request may be wrong with what follows it.
fn closing(request: &Request<Body>, mut response: Response<Body>) -> Response<Body> {
    if request.version() < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A response that says which methods there are.
fn allowing(status: StatusCode, why: &'static str) -> Response<Body> {
    let mut response = text(status, why);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    response
}

/// A response that opens a WebSocket carries this.
#[derive(Clone)]
struct Upgrade {
    peer: Peer,
    terms: Terms,
}

/// Refuses a missing, double or malformed Host (RFC 9112, section 3.2), and targets that are not
/// for an origin (sections 3.2.3 and 3.2.4).
fn judge<B>(request: &Request<B>, seen: Seen) -> Result<(), (StatusCode, &'static str)> {
    let bad = |why| Err((StatusCode::BAD_REQUEST, why));
    let target = request.uri();
    if request.method() == Method::CONNECT {
        return Err((StatusCode::NOT_IMPLEMENTED, "this is no proxy: CONNECT has nowhere to go\n"));
    }
    if target.path() == "*" && request.method() != Method::OPTIONS {
        return bad("the target * is for OPTIONS alone\n");
    }
    if seen.has(Seen::CONTENT_TYPE) && request.headers().get_all(CONTENT_TYPE).iter().nth(1).is_some() {
        return bad("there are two Content-Types\n");
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
    let sign = if host.first() == Some(&b'[') { b']' } else { b':' };
    let end = host.iter().position(|byte| *byte == sign).unwrap_or(host.len());
    let (name, port) = match (host.split_at(end), host) {
        (([b'[', v6 @ ..], [b']', port @ ..]), _) if is_v6(v6) => (&b"v6"[..], port),
        (_, [b'[', ..]) => return false,
        (split, _) => split,
    };
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_port && !name.is_empty() && name.iter().all(|byte| IN_NAMES[usize::from(*byte)])
}

fn is_v6(address: &[u8]) -> bool {
    std::str::from_utf8(address).is_ok_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
}

/// What a name may have in it, but for a colon.
const IN_NAMES: [bool; 256] = {
    let (mut table, mut byte) = ([false; 256], 0);
    while byte < 256 {
        let other = matches!(byte as u8, b'-' | b'.' | b'_' | b'~' | b'!' | b'$'..=b'+' | b';' | b'=');
        table[byte] = other || (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{link::Link, peer::Endpoint};

    struct Silent;

    impl Service for Silent {
        fn serve(self: Arc<Self>, _: Link) -> BoxFuture<'static, Result<()>> {
            Box::pin(async { Ok(()) })
        }
    }

    #[test]
    fn a_websocket_keeps_no_room_for_the_exchanges_before_it() {
        let (service, scope) = (Arc::new(Silent), Scope::default());
        let front = Front {
            service,
            identity: None,
            plain: Plain::Answered,
            origin: None,
            deflates: true,
            protocols: None,
            scope,
        };
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let served = Arc::new(front).serve(ours.into(), Peer::new("http", Endpoint::Unnamed, Endpoint::Unnamed));
        assert!(size_of_val(&*served) <= 80, "{}", size_of_val(&*served));
    }

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
