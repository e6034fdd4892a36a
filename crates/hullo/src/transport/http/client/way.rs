//! The way to a server: over TCP, through a proxy, or by a unix socket; and which HTTP is spoken at its end.

use std::{net::IpAddr, path::PathBuf, sync::Arc};

use http::{HeaderValue, Version};

use crate::{
    address::Address,
    error::{Error, Kind, Result},
    link::BoxStream,
    peer::Peer,
    proxy::{Proxy, Speaks, connect},
    scope::Scope,
    transport::{
        tcp::{self, via},
        tls, unix,
    },
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

/// A way that was gone.
pub(crate) struct Reached {
    pub(crate) stream: BoxStream,
    pub(super) peer: Peer,
    /// HTTP/2 was agreed on, or is wanted.
    pub(crate) h2: bool,
    /// The other end passes requests on, and must be told the whole URL.
    pub(super) proxy: bool,
    /// What the proxy is told of us.
    pub(super) authorization: Option<HeaderValue>,
}

impl Way {
    /// Goes it, to its end.
    ///
    /// # Errors
    /// Those of the connection, or that HTTP/2 is wanted and not spoken there.
    pub(crate) async fn reach(&self, to: &Address, scheme: &'static str, scope: &Scope) -> Result<Reached> {
        let secure = scheme == "https";
        let wants_h2 = self.version == Some(Version::HTTP_2);
        let chain: Vec<_> = via::chain(to)?.into_iter().chain(self.proxy.clone()).collect();
        if let Some(path) = &self.unix {
            let proxied = !chain.is_empty();
            return self.reach_unix(path, secure, proxied, scope).await;
        }
        let port = to.port.unwrap_or(if secure { 443 } else { 80 });
        // What is not HTTP/1.1 goes through unseen.
        let passed_on = self.proxy.as_ref().filter(|proxy| !secure && !wants_h2 && proxy.speaks == Speaks::Http);
        let (stream, peer) = if self.proxy.is_some() {
            let tunnel = to.at(port);
            via::through(&chain, passed_on.is_none().then_some(&tunnel), to, scheme, scope).await?
        } else {
            tcp::dial(&self.place(to, port), scheme, Some(port), scope).await?
        };
        let authorization = passed_on.and_then(|proxy| authorization(proxy, scope));
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
        Ok(Reached { stream, peer, h2, proxy: passed_on.is_some(), authorization })
    }

    async fn reach_unix(&self, path: &std::path::Path, secure: bool, proxied: bool, scope: &Scope) -> Result<Reached> {
        if secure || proxied {
            return Err(Error::usage("a unix socket is spoken to in plain HTTP, and not through a proxy")
                .hint("write http:// instead of https://"));
        }
        let at = Address { path: path.display().to_string(), port: None, ..Address::new("unix", "", 0) };
        let (stream, peer) = unix::dial(&at, scope).await?;
        let h2 = self.version == Some(Version::HTTP_2);
        Ok(Reached { stream: Box::new(stream), peer, h2, proxy: false, authorization: None })
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

/// A proxy's `Proxy-Authorization`.
fn authorization(proxy: &Proxy, scope: &Scope) -> Option<HeaderValue> {
    let proxy = proxy.clone().with_password(scope.proxy_password());
    let mut value = HeaderValue::from_str(&connect::authorization(proxy.login()?)).ok()?;
    value.set_sensitive(true);
    Some(value)
}
