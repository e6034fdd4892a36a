//! `hullo connect 'tls://example.org:443?via=socks5://127.0.0.1:1080'`: connections that proxies make for us, by SOCKS 4, 4a
//! and 5 (RFC 1928, RFC 1929) or by CONNECT (RFC 9110, section 9.3.6).
//!
//! What stands at the end is the socket itself: nothing is read of it that the proxies did not say.

use std::{net::IpAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{endpoint, reach, resolve};
use crate::{
    address::Address,
    error::{Error, Kind, Result, nobody_there},
    peer::{Endpoint, Peer},
    proxy::{
        Proxy, Speaks, Verdict,
        connect::{self, answer},
        socks::{self, Command, NO_METHOD, PASSWORD, admitted, choice, greeting, login_of, reply, reply4},
    },
    scope::Scope,
    watch::Event,
};

/// The proxies that an address names, the nearest first.
///
/// # Errors
/// One that is none.
pub(in crate::transport) fn chain(to: &Address) -> Result<Vec<Proxy>> {
    to.options.all("via").map(Proxy::via).collect()
}

/// A connection through all of `chain`, in which each proxy is asked for the next one: to `to` at its end, or where there is
/// none to the last proxy itself. The first one is reached under the options of `tuned`.
///
/// # Errors
/// Which of them failed, and why.
pub(in crate::transport) async fn through(
    chain: &[Proxy],
    to: Option<&Address>,
    tuned: &Address,
    scheme: &'static str,
    scope: &Scope,
) -> Result<(TcpStream, Peer)> {
    let Some((first, rest)) = chain.split_first() else {
        return Err(Error::usage("there is no proxy to go through"));
    };
    let at = Address { options: tuned.options.clone(), ..first.at.clone() };
    let reached = reach(&at, scheme_of(first), first.at.port.unwrap_or_default(), scope).await;
    let (mut stream, mut peer) = reached.map_err(|error| unreached(first, error))?;
    let mut proxy = first;
    let stations = rest.iter().map(|next| (&next.at, scheme_of(next), Some(next)));
    for (next, scheme, after) in stations.chain(to.map(|to| (to, scheme, None))) {
        let asks = Asks { proxy: &proxy.clone().with_password(scope.proxy_password()), to: next };
        let about = || format!("the proxy {} does not answer", proxy.at);
        scope.in_time(about, asks.tunnel(&mut stream)).await?;
        scope.tell(&Event::Tunnelled { proxy: &proxy.at, to: &next.authority() });
        peer = Peer::new(scheme, there(next), endpoint(stream.local_addr()));
        proxy = after.unwrap_or(proxy);
    }
    Ok((stream, peer))
}

/// Where a tunnel ends: only the proxy knows the address of a name.
fn there(to: &Address) -> Endpoint {
    match (to.host.parse::<IpAddr>(), to.port) {
        (Ok(ip), Some(port)) => Endpoint::Net((ip, port).into()),
        _ => Endpoint::Name(Arc::from(format!("//{}", to.authority()))),
    }
}

fn scheme_of(proxy: &Proxy) -> &'static str {
    match proxy.speaks {
        Speaks::Http => "http",
        Speaks::Socks4 => "socks4",
        Speaks::Socks5 => "socks5",
    }
}

/// The error of connecting to a proxy, which is not one of the server that was asked for.
fn unreached(proxy: &Proxy, error: Error) -> Error {
    let hint = match &proxy.named_by {
        Some(word) => format!("it is named by {word}; --no-proxy goes without one"),
        None => error.advice().map_or_else(|| nobody_there("tcp"), str::to_owned),
    };
    Error::new(error.kind(), "the proxy cannot be reached").because(error).hint(hint)
}

/// What a proxy is asked for.
struct Asks<'a> {
    proxy: &'a Proxy,
    to: &'a Address,
}

impl Asks<'_> {
    async fn tunnel(&self, stream: &mut TcpStream) -> Result<()> {
        match self.proxy.speaks {
            Speaks::Http => self.connect(stream).await,
            Speaks::Socks4 => self.socks4(stream).await,
            Speaks::Socks5 => self.socks5(stream).await,
        }
    }

    async fn connect(&self, stream: &mut TcpStream) -> Result<()> {
        self.say(stream, &connect::request_of(&self.place().await?, self.proxy.login())).await?;
        let answer = self.hear(stream, answer).await?;
        match answer.status {
            200..300 => Ok(()),
            407 if self.proxy.login().is_some() => Err(self.unknown("it does not take our name and password")),
            407 => Err(self.unknown(&answer.why)),
            _ => Err(self.refused(answer.kind, answer.why)),
        }
    }

    async fn socks4(&self, stream: &mut TcpStream) -> Result<()> {
        let user = self.proxy.user.as_ref().map_or("", |(name, _)| name);
        let request = socks::request4_of(Command::Connect, &self.place().await?, user);
        let no = || self.refused(Kind::Usage, "SOCKS 4 has no words for that address".to_owned());
        self.say(stream, &request.ok_or_else(no)?).await?;
        match self.hear(stream, |said| reply4(said).map_err(|breach| breach.why)).await? {
            Verdict::Granted => Ok(()),
            verdict => Err(self.refused(verdict.kind(), verdict.why().to_owned())),
        }
    }

    async fn socks5(&self, stream: &mut TcpStream) -> Result<()> {
        self.log_in(stream).await?;
        let request = socks::request_of(Command::Connect, &self.place().await?);
        let no = || self.refused(Kind::Usage, "SOCKS has no room for more than 255 bytes of a name".to_owned());
        self.say(stream, &request.ok_or_else(no)?).await?;
        match self.hear(stream, |said| reply(said).map_err(|breach| breach.why)).await? {
            (Verdict::Granted, _) => Ok(()),
            (verdict, _) => Err(self.refused(verdict.kind(), verdict.why().to_owned())),
        }
    }

    async fn log_in(&self, stream: &mut TcpStream) -> Result<()> {
        let login = self.proxy.login();
        self.say(stream, &greeting(login.is_some())).await?;
        match (self.hear(stream, |said| choice(said).map_err(|breach| breach.why)).await?, login) {
            (socks::OPEN, _) => Ok(()),
            (PASSWORD, Some((name, password))) => {
                let no = || self.refused(Kind::Usage, "SOCKS has no words for that name and password".to_owned());
                self.say(stream, &login_of(name, password).ok_or_else(no)?).await?;
                match self.hear(stream, |said| admitted(said).map_err(|breach| breach.why)).await? {
                    true => Ok(()),
                    false => Err(self.unknown("it does not take our name and password")),
                }
            }
            (NO_METHOD, None) => Err(self.unknown("it wants a name and a password")),
            _ => Err(self.refused(Kind::Denied, "it wants another kind of login".to_owned())),
        }
    }

    /// Where the tunnel is to lead: with an address in the place of its name where the proxy resolves none.
    async fn place(&self) -> Result<Address> {
        let host = match self.to.host.as_str() {
            "" => "127.0.0.1".to_owned(),
            host if self.proxy.resolves_here && host.parse::<IpAddr>().is_err() => {
                let all = resolve(self.to, self.to.port.unwrap_or_default()).await?;
                // SOCKS 4 has no words for an address of IPv6.
                let fits = |ip: &IpAddr| self.proxy.speaks == Speaks::Socks5 || ip.is_ipv4();
                let ip = all.iter().map(|address| address.ip()).find(fits);
                ip.map_or_else(|| host.to_owned(), |ip| ip.to_string())
            }
            host => host.to_owned(),
        };
        Ok(Address { host, ..self.to.clone() })
    }

    async fn say(&self, stream: &mut TcpStream, words: &[u8]) -> Result<()> {
        stream.write_all(words).await.map_err(|error| self.broken(error))
    }

    /// Reads until `reader` knows what was said, and leaves what follows in the socket.
    async fn hear<T>(
        &self,
        stream: &mut TcpStream,
        reader: impl Fn(&[u8]) -> Result<Option<(T, usize)>, &'static str>,
    ) -> Result<T> {
        let mut said = Vec::new();
        loop {
            let before = said.len();
            said.resize(before + PIECE, 0);
            let seen = stream.peek(&mut said[before..]).await.map_err(|error| self.broken(error))?;
            said.truncate(before + seen);
            if seen == 0 {
                return Err(self.broken(std::io::ErrorKind::UnexpectedEof.into()));
            }
            let read = reader(&said).map_err(|why| self.refused(Kind::Protocol, why.to_owned()))?;
            let end = read.as_ref().map_or(said.len(), |(_, length)| *length);
            stream.read_exact(&mut said[before..end]).await.map_err(|error| self.broken(error))?;
            if let Some((value, _)) = read {
                return Ok(value);
            }
        }
    }

    fn broken(&self, error: std::io::Error) -> Error {
        Error::io(format!("the proxy {} broke off", self.proxy.at), error)
    }

    fn refused(&self, kind: Kind, why: String) -> Error {
        Error::new(kind, format!("the proxy {} does not connect to {}", self.proxy.at, self.to.authority()))
            .because(why)
    }

    /// The error of a proxy that does not know us, with where a name and a password belong.
    fn unknown(&self, why: &str) -> Error {
        self.refused(Kind::Denied, why.to_owned()).hint(match self.proxy.named_by {
            Some(_) => "they stand in the variable https_proxy, as in http://name:password@host:3128".to_owned(),
            None => format!(
                "the name stands in the address, as in via={}://name@{}, and the password in the variable HULLO_VIA_PASSWORD",
                self.proxy.at.scheme,
                self.proxy.at.authority()
            ),
        })
    }
}

/// How much is looked at at a time.
const PIECE: usize = 1024;
