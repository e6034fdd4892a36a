//! `hullo serve echo ws://:7008`, `hullo connect wss://host/path`: messages over WebSockets (RFC 6455).
//!
//! A Close frame is a half-close: what hears it may go on with its answer before it says farewell itself. Two hullos tell
//! each other in the handshake that they do so (`Hullo-Half-Close`); with anybody else a client says farewell last.

use ::aws_lc_rs::{digest, rand};
use ::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{
        CONNECTION, HOST, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE, USER_AGENT,
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::{body::Body as _, client::conn::http1};
use hyper_util::rt::TokioIo;

use self::{
    frames::Role,
    wire::{Terms, WebSocket},
};
use super::{
    Listener, Spec, Transport,
    http::{self as over_http, Plain, head::has_word},
};
use crate::{
    address::Address,
    error::{Error, Kind, Result},
    io::{
        exchange::{Body, empty, text},
        guard::Guard,
        prefixed::Prefixed,
    },
    link::{BoxStream, Link},
    peer::Peer,
    scope::{BoxFuture, Scope},
    watch::Event,
};

pub(crate) mod deflate;
pub(crate) mod frames;
pub(super) mod wire;

pub(super) const SCHEMES: &[Spec] = &[
    Spec { scheme: "ws", about: "messages over WebSockets", example: "ws://127.0.0.1:7008/", transport: &Ws("ws") },
    Spec {
        scheme: "wss",
        about: "messages over WebSockets inside TLS",
        example: "wss://127.0.0.1:7448/",
        transport: &Ws("wss"),
    },
];

/// The two ends tell each other that a Close frame is only a half-close to them.
const HALF_CLOSE: HeaderName = HeaderName::from_static("hullo-half-close");

struct Ws(&'static str);

impl Transport for Ws {
    fn bind(&self, at: Address, scope: Scope) -> BoxFuture<'static, Result<Box<dyn Listener>>> {
        over_http::bind(at, self.0, Plain::Refused, scope)
    }

    fn connect(&self, to: Address, scope: Scope) -> BoxFuture<'static, Result<Link>> {
        Box::pin(connect(to, self.0, scope))
    }
}

async fn connect(to: Address, scheme: &'static str, scope: Scope) -> Result<Link> {
    let (stream, terms, peer) = open(&to, scheme, to.options.flag("deflate", true), &scope).await?;
    scope.tell(&Event::Agreed { protocol: "WebSocket" });
    if terms.deflate.is_some() {
        scope.tell(&Event::Note("messages are compressed where that makes them shorter"));
    }
    let guarded: BoxStream = Box::new(Guard::new(stream, &peer, &scope));
    Ok(Link::packets(WebSocket::new(guarded, Role::Client, terms, scope.clone()), peer, scope))
}

/// A stream on which frames are spoken from now on, and what was agreed for them; `offers` has messages compressed.
pub(crate) async fn open(
    to: &Address,
    scheme: &'static str,
    offers: bool,
    scope: &Scope,
) -> Result<(Prefixed<BoxStream>, Terms, Peer)> {
    let (stream, peer) = over_http::dial(to, scheme, &["http/1.1"], scope).await?;
    let about = || format!("cannot open a WebSocket at {}", to.bare());
    let (stream, terms) = scope.in_time(about, shake_hands(stream, to, offers)).await?;
    Ok((stream, terms, peer))
}

/// The client's handshake (section 4.1). What the server sent right behind its answer comes first in the stream.
async fn shake_hands(stream: BoxStream, to: &Address, offers: bool) -> Result<(Prefixed<BoxStream>, Terms)> {
    let about = || format!("cannot open a WebSocket at {}", to.bare());
    let mut nonce = [0; 16];
    rand::fill(&mut nonce).map_err(|_| Error::new(Kind::Other, "this system has no randomness"))?;
    let key = STANDARD.encode(nonce);
    let request = Request::get(to.target())
        .header(HOST, to.authority())
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, &key)
        .header(HALF_CLOSE, "yes");
    let request = if offers { request.header(SEC_WEBSOCKET_EXTENSIONS, deflate::OFFER) } else { request };
    let protocols = to.options.text("protocol");
    let request = match protocols {
        Some(protocols) => request.header(SEC_WEBSOCKET_PROTOCOL, protocols.replace(',', ", ")),
        None => request,
    };
    let request = request.body(empty()).map_err(|error| Error::usage(about()).because(error))?;
    let wrong = |error: hyper::Error| Error::carried(over_http::kind(&error), about(), error);
    let (mut sender, connection) = http1::handshake::<_, Body>(TokioIo::new(stream)).await.map_err(wrong)?;
    let connection = connection.without_shutdown();
    let response = sender.send_request(request);
    tokio::pin!(connection, response);
    // The connection is done when its answer is an upgrade, which may be before that answer has been handed over.
    let mut done = None;
    let mut response: Response<_> = loop {
        tokio::select! {
            biased;
            response = &mut response => break response.map_err(wrong)?,
            parts = &mut connection, if done.is_none() => done = Some(parts.map_err(wrong)?),
        }
    };
    let accepted =
        response.headers().get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes) == Some(accept(&key).as_bytes());
    if response.status() != StatusCode::SWITCHING_PROTOCOLS || !accepted {
        let why = if accepted { "it did not switch protocols" } else { "it has no WebSocket there" };
        let error = Error::new(Kind::Protocol, about()).because(format!("{why}, it answered {}", response.status()));
        return Err(error.hint("is the path right, and is it ws:// or wss:// that is spoken there?"));
    }
    let chosen = response.headers().get(SEC_WEBSOCKET_PROTOCOL).map(|chosen| chosen.to_str().unwrap_or_default());
    if chosen
        .is_some_and(|chosen| !protocols.is_some_and(|protocols| protocols.split(',').any(|one| one.trim() == chosen)))
    {
        return Err(Error::new(Kind::Protocol, about()).because("it wants a subprotocol that was not offered"));
    }
    let half_closes = response.headers_mut().remove(HALF_CLOSE).is_some();
    let deflate = match response.headers().get(SEC_WEBSOCKET_EXTENSIONS) {
        None => None,
        Some(answer) => {
            let agreed = answer.to_str().ok().filter(|_| offers).and_then(deflate::agreed);
            let why = "it wants an extension that was not offered";
            Some(agreed.ok_or_else(|| Error::new(Kind::Protocol, about()).because(why))?)
        }
    };
    let parts = match done {
        Some(parts) => parts,
        None => connection.await.map_err(wrong)?,
    };
    Ok((Prefixed::new(parts.read_buf, parts.io.into_inner()), Terms { half_closes, deflate }))
}

/// Whether a request asks for a WebSocket, well or badly.
pub(super) fn is_upgrade<B>(request: &Request<B>) -> bool {
    // Without the word in Connection it is a header of some other hop (RFC 9110, section 7.8).
    has_word(request.headers(), &UPGRADE, "websocket") && has_word(request.headers(), &CONNECTION, "upgrade")
}

/// The server's answer to a handshake (section 4.2), with the [`Terms`] in its extensions where it agrees. Of the
/// subprotocols that the client offers it takes the first of `protocols`: browsers that offer some want one of them.
pub(super) fn answer(request: &Request<Body>, deflates: bool, protocols: Option<&str>) -> Response<Body> {
    let headers = request.headers();
    // What stands where a body would be must not be taken for frames.
    if request.method() != Method::GET || request.version() != Version::HTTP_11 || !request.body().is_end_stream() {
        return text(StatusCode::BAD_REQUEST, "a WebSocket is opened by GET, HTTP/1.1 and no body\n");
    }
    if headers.get(SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes) != Some(b"13") {
        let mut response = text(StatusCode::UPGRADE_REQUIRED, "only version 13 of WebSockets is spoken here\n");
        response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return response;
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok());
    let Some(key) = key.filter(|key| STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16)) else {
        return text(StatusCode::BAD_REQUEST, "there is no Sec-WebSocket-Key of 16 bytes\n");
    };
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let to = response.headers_mut();
    to.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    to.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&accept(key)) {
        to.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if headers.contains_key(HALF_CLOSE) {
        to.insert(HALF_CLOSE, HeaderValue::from_static("yes"));
    }
    if let Some(chosen) = protocols.and_then(|protocols| chosen(protocols, headers)) {
        to.insert(SEC_WEBSOCKET_PROTOCOL, chosen);
    }
    // Several headers are one list.
    let offers: Vec<_> =
        headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter().filter_map(|offer| offer.to_str().ok()).collect();
    let accepted = deflate::accept(&offers.join(",")).filter(|_| deflates);
    if let Some(answer) = accepted.as_ref().and_then(|(_, answer)| HeaderValue::from_str(answer).ok()) {
        to.insert(SEC_WEBSOCKET_EXTENSIONS, answer);
    }
    // A server goes on after its farewell in any case.
    response.extensions_mut().insert(Terms { half_closes: true, deflate: accepted.map(|(deflate, _)| deflate) });
    response
}

/// The first of our subprotocols that the client offers too; `*` is whatever it offers first.
fn chosen(protocols: &str, headers: &HeaderMap) -> Option<HeaderValue> {
    let offers = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|offer| offer.to_str().ok());
    let offers: Vec<_> =
        offers.flat_map(|offer| offer.split(',')).map(str::trim).filter(|one| !one.is_empty()).collect();
    let mut ours = protocols.split(',').map(str::trim);
    let chosen = ours.find_map(|ours| offers.iter().find(|offer| ours == "*" || **offer == ours))?;
    HeaderValue::from_str(chosen).ok()
}

/// The server's link after the handshake.
pub(super) fn link(stream: BoxStream, terms: Terms, peer: Peer, scope: Scope) -> Link {
    Link::packets(WebSocket::new(stream, Role::Server, terms, scope.clone()), peer, scope)
}

fn accept(key: &str) -> String {
    let hash = digest::digest(
        &digest::SHA1_FOR_LEGACY_USE_ONLY,
        format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes(),
    );
    STANDARD.encode(hash)
}

/// Which web pages may talk to us. Browsers let the scripts of any page try: what a server on loopback does for its user
/// it must not do for whatever page that user looks at.
#[derive(Clone, Copy)]
pub(super) struct Origins<'a> {
    /// The option `origin`.
    pub(super) allowed: Option<&'a str>,
    /// We are reached through loopback, where a name that is not a loopback name was rebound to us.
    pub(super) loopback: bool,
}

impl Origins<'_> {
    /// Allows whoever is no browser, and pages of our own host: their port may be another one.
    pub(super) fn allow<B>(self, request: &Request<B>) -> Result<(), &'static str> {
        let text = |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
        let origin = text(ORIGIN);
        let browser = origin.is_some() || text(USER_AGENT).is_some_and(|agent| agent.starts_with("Mozilla/"));
        if !browser || self.allowed == Some("*") {
            return Ok(());
        }
        if let (Some(allowed), Some(origin)) = (self.allowed, origin) {
            let good = allowed.split(',').any(|one| one.trim() == origin);
            return if good { Ok(()) } else { Err("this Origin is not the one that the option origin allows\n") };
        }
        let host = text(HOST).or(request.uri().host()).map(hostname).unwrap_or_default();
        let is_loopback =
            |host: &str| host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if self.loopback && !is_loopback(host) {
            return Err("this name is not one of this machine's own\n");
        }
        let cross_site = text(SEC_FETCH_SITE) == Some("cross-site") && text(SEC_FETCH_MODE) != Some("navigate");
        let theirs = origin.map(|origin| origin.split_once("://").map(|(_, rest)| hostname(rest)).unwrap_or_default());
        if host.is_empty() || cross_site || theirs.is_some_and(|theirs| theirs != host) {
            return Err("pages of other sites may not talk to this server; the option origin allows them: ?origin=*\n");
        }
        Ok(())
    }
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// The host without its port and brackets.
fn hostname(authority: &str) -> &str {
    let authority = authority.split('/').next().unwrap_or_default();
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, _)) => v6,
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_rfc_is_accepted() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn only_pages_of_our_own_host_may_connect() {
        let try_it = |origin: &str, host: &str, allowed, loopback| {
            let request = Request::get("/").header(HOST, host).header(ORIGIN, origin).body(()).unwrap();
            Origins { allowed, loopback }.allow(&request).is_ok()
        };
        assert!(try_it("http://127.0.0.1:8080", "127.0.0.1:7008", None, true));
        assert!(try_it("http://[::1]:8080", "[::1]:7008", None, true));
        assert!(!try_it("https://evil.example", "127.0.0.1:7008", None, true));
        assert!(!try_it("http://rebound.example:7008", "rebound.example:7008", None, true));
        assert!(try_it("https://chat.example", "chat.example", None, false));
        assert!(try_it("https://other.example", "chat.example", Some("*"), false));
        assert!(!try_it("null", "127.0.0.1:7008", None, true));
        let browser = |host: &str, site: &str| {
            let request =
                Request::get("/").header(HOST, host).header(USER_AGENT, "Mozilla/5.0").header(SEC_FETCH_SITE, site);
            Origins { allowed: None, loopback: true }.allow(&request.body(()).unwrap()).is_ok()
        };
        assert!(
            browser("localhost:80", "none")
                && !browser("rebound.example", "same-origin")
                && !browser("localhost", "cross-site")
        );
    }
}
