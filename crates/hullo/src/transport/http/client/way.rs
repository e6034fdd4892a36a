//! The way to a server: over TCP, through a proxy, or by a unix socket; and which HTTP is spoken at its end.

use std::{fmt, net::IpAddr, path::PathBuf, sync::Arc};

use http::{HeaderValue, Version};

use super::proxy;
use crate::{
    address::Address,
    error::{Error, Kind, Result},
    io::guard::Guard,
    link::BoxStream,
    peer::Peer,
    scope::Scope,
    transport::{tcp, tls, unix},
};

/// How a request gets to its server, beyond what its address says.
#[derive(Clone, Debug, Default)]
pub struct Way {
    /// Which HTTP is spoken: 1.1, or 2 (over `http://` without asking first). Without one they agree inside TLS.
    pub version: Option<Version>,
    /// Whom to go through.
    pub proxy: Option<Proxy>,
    /// The unix socket to speak to, whatever host the address names.
    pub unix: Option<PathBuf>,
    /// Where a host and port are, instead of where the system says.
    pub places: Vec<(String, u16, IpAddr)>,
    /// Names of headers as they are to be spelt, which HTTP/1.1 can.
    pub spelling: Arc<[String]>,
}

/// A proxy and who we are to it.
#[derive(Clone)]
pub struct Proxy {
    /// `http://`, `socks5://` (names are resolved here) or `socks5h://` (there).
    pub at: Address,
    /// The name and password.
    pub user: Option<(String, String)>,
    /// What named it, as in `the variable http_proxy`: an error says it.
    pub named_by: Option<String>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.at.bare())
    }
}

/// A way that was gone.
pub(super) struct Reached {
    pub(super) stream: Guard<BoxStream>,
    pub(super) peer: Peer,
    /// HTTP/2 was agreed on, or is wanted.
    pub(super) h2: bool,
    /// The other end passes requests on, and must be told the whole URL.
    pub(super) proxy: bool,
    /// What the proxy is told of us.
    pub(super) authorization: Option<HeaderValue>,
}

impl Way {
    pub(super) async fn reach(&self, to: &Address, scheme: &'static str, scope: &Scope) -> Result<Reached> {
        let secure = scheme == "https";
        let wants_h2 = self.version == Some(Version::HTTP_2);
        if let Some(path) = &self.unix {
            return self.reach_unix(path, secure, scope).await;
        }
        let port = to.port.unwrap_or(if secure { 443 } else { 80 });
        // What is not HTTP/1.1 goes through unseen.
        let passed_on = self.proxy.as_ref().filter(|proxy| !secure && !wants_h2 && proxy.at.scheme == "http");
        let (stream, peer) = match &self.proxy {
            Some(proxy) => {
                let dialled = tcp::dial(&proxy.at, scheme, Some(proxy.port()), scope).await;
                let (mut stream, peer) = dialled.map_err(|error| proxy.unreached(error))?;
                if passed_on.is_none() {
                    let about = || format!("the proxy {} does not answer", proxy.at.bare());
                    scope.in_time(about, proxy::tunnel(&mut stream, proxy, to, port)).await?;
                }
                (stream, peer)
            }
            None => tcp::dial(&self.place(to, port), scheme, Some(port), scope).await?,
        };
        let authorization = passed_on.and_then(Proxy::authorization);
        let (stream, h2): (BoxStream, bool) = if secure {
            let alpn: &[&str] = match self.version {
                Some(Version::HTTP_2) => &["h2"],
                Some(_) => &["http/1.1"],
                None => &["h2", "http/1.1"],
            };
            let stream = tls::secure(stream, to, alpn, scope).await?;
            let h2 = tls::agreed(&stream).as_deref() == Some(b"h2");
            if wants_h2 && !h2 {
                return Err(Error::new(Kind::Protocol, format!("{} does not speak HTTP/2", to.bare()))
                    .hint("without --http 2 the two agree on what both speak"));
            }
            (Box::new(stream), h2)
        } else {
            (Box::new(stream), wants_h2)
        };
        let stream = Guard::new(stream, &peer, scope);
        Ok(Reached { stream, peer, h2, proxy: passed_on.is_some(), authorization })
    }

    async fn reach_unix(&self, path: &std::path::Path, secure: bool, scope: &Scope) -> Result<Reached> {
        if secure || self.proxy.is_some() {
            return Err(Error::usage("a unix socket is spoken to in plain HTTP, and not through a proxy")
                .hint("write http:// instead of https://"));
        }
        let at = Address { path: path.display().to_string(), port: None, ..Address::new("unix", "", 0) };
        let (stream, peer) = unix::dial(&at, scope).await?;
        let stream = Guard::new(Box::new(stream) as BoxStream, &peer, scope);
        let h2 = self.version == Some(Version::HTTP_2);
        Ok(Reached { stream, peer, h2, proxy: false, authorization: None })
    }

    /// Where the connection goes: the place that was named for the host, or the host's own.
    fn place(&self, to: &Address, port: u16) -> Address {
        let named = |(host, at, _): &&(String, u16, IpAddr)| host.eq_ignore_ascii_case(&to.host) && *at == port;
        match self.places.iter().find(named) {
            Some((_, _, ip)) => Address { host: ip.to_string(), ..to.clone() },
            None => to.clone(),
        }
    }
}

impl Proxy {
    /// Reads `http://host:3128`, `socks5://host` or `socks5h://name:password@host`.
    ///
    /// # Errors
    /// Another kind of proxy, or what is no address.
    pub fn parse(text: &str) -> Result<Self> {
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (user, place) = match rest[..end].rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, &rest[..end]),
        };
        let at: Address = format!("{scheme}://{place}").parse()?;
        if place.is_empty() {
            return Err(Error::usage("there is no host in the proxy's address").hint("write http://host:3128"));
        }
        if !matches!(scheme, "http" | "socks5" | "socks5h") {
            return Err(Error::usage(format!("{} is no proxy that can be used", at.bare()))
                .hint("there are http://, socks5:// and socks5h://"));
        }
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let user = user.map(|user| user.split_once(':').unwrap_or((user, "")));
        let user = user.map(|(name, password)| (decode(name), decode(password)));
        Ok(Self { at: at.on_a_host(), user, named_by: None })
    }

    /// The error of connecting to it, which is not one of the server that was asked for.
    fn unreached(&self, error: Error) -> Error {
        let unreached = Error::new(error.kind(), "the proxy cannot be reached").because(error);
        match &self.named_by {
            Some(word) => unreached.hint(format!("it is named by {word}; --no-proxy goes without one")),
            None => unreached,
        }
    }

    fn port(&self) -> u16 {
        self.at.port.unwrap_or(if self.at.scheme == "http" { 80 } else { 1080 })
    }

    /// The proxy's `Proxy-Authorization`.
    pub(super) fn authorization(&self) -> Option<HeaderValue> {
        use base64::{Engine, prelude::BASE64_STANDARD};
        let (name, password) = self.user.as_ref()?;
        let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}")));
        let mut value = HeaderValue::from_str(&basic).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_read_as_the_variables_have_them() {
        for (text, at, port, user) in [
            ("http://proxy:3128", "http://proxy:3128", 3128, None),
            ("proxy.example:3128/", "http://proxy.example:3128", 3128, None),
            ("http://proxy", "http://proxy", 80, None),
            ("socks5h://[::1]", "socks5h://[::1]", 1080, None),
            ("http://me:pass%20w%40rd@proxy:1", "http://proxy:1", 1, Some(("me", "pass w@rd"))),
            ("http://me@proxy:1", "http://proxy:1", 1, Some(("me", ""))),
        ] {
            let proxy = Proxy::parse(text).unwrap();
            let user = user.map(|(name, password)| (name.to_owned(), password.to_owned()));
            assert_eq!((proxy.at.to_string(), proxy.port(), proxy.user), (at.to_owned(), port, user), "{text}");
        }
        for text in ["https://proxy", "ftp://proxy", "", "http://a b"] {
            assert!(Proxy::parse(text).is_err(), "{text}");
        }
        let error = Proxy::parse("https://me:hidden@proxy:1").unwrap_err().to_string();
        assert!(!error.contains("hidden"), "{error}");
    }
}
