//! The PROXY protocol: the header in which a proxy says for whom it speaks (HAProxy's `proxy-protocol.txt`, versions 1 and
//! 2). Pure, and bounded: what is read is a header to its last byte and not one byte more.

use std::net::{IpAddr, SocketAddr};

use crate::{
    error::{Error, Kind, Result},
    peer::{Peer, Tls},
};

mod binary;
mod text;

/// The longest line of version 1 (section 2.1).
const LINE: usize = 107;

/// The longest header of version 2 that is read. The protocol's own bound is 64 KiB, which nobody who has not even said
/// for whom they speak is given; what is sent has about a hundred bytes, and a client's certificate one or two thousand.
pub const LONGEST: usize = 4096;

/// How a header is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    V1,
    /// Bytes, with room for more than addresses.
    V2,
}

/// For whom a proxy speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// For itself, as to see whether somebody is there (`LOCAL`).
    Own,
    /// For somebody whose address it does not know or cannot say (`UNKNOWN`), as of a client of a unix socket.
    Unknown,
    /// For a client.
    Client {
        /// Where the client is.
        source: SocketAddr,
        /// Where it connected to. Both are of one family.
        destination: SocketAddr,
        /// It sends datagrams.
        datagrams: bool,
    },
}

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// How it was written.
    pub version: Version,
    /// For whom the proxy speaks.
    pub whose: Whose,
    /// What was agreed on in the client's TLS, which the proxy took off.
    pub tls: Option<Tls>,
    /// The name in the certificate that the client showed, and the proxy verified.
    pub name: Option<String>,
}

impl Header {
    /// The header of a proxy that speaks for itself.
    pub fn own(version: Version) -> Self {
        Self { version, whose: Whose::Own, tls: None, name: None }
    }

    /// The header of a proxy that speaks for that client of its own.
    pub fn of(client: &Peer, version: Version) -> Self {
        let whose = match (client.remote().net(), client.local().net()) {
            (Some(source), Some(destination)) => between(source, destination, client.scheme() == "udp"),
            // haproxy closes on the second version's word for an unknown client, and takes this one.
            _ if version == Version::V2 => Whose::Own,
            _ => Whose::Unknown,
        };
        Self { version, whose, tls: client.tls().cloned(), name: client.name().map(common_name) }
    }

    /// The header of a proxy that is its own client, on a connection between these two ends.
    pub fn between(source: Option<SocketAddr>, destination: Option<SocketAddr>, version: Version) -> Self {
        let whose = match (source, destination) {
            (Some(source), Some(destination)) => between(source, destination, false),
            _ => Whose::Unknown,
        };
        Self { version, whose, tls: None, name: None }
    }

    /// Its bytes, which come first on a connection. A name or a protocol that is too long for it is left out.
    pub fn written(&self) -> Vec<u8> {
        match self.version {
            Version::V1 => text::written(&self.whose),
            Version::V2 => binary::written(self),
        }
    }

    /// The client for whom that peer speaks, as a peer: the peer itself, where it speaks for itself or for nobody known.
    pub fn client(&self, of: &Peer) -> Peer {
        let Whose::Client { source, destination, .. } = self.whose else { return of.clone() };
        let client = of.proxied(source, destination);
        let client = self.tls.as_ref().map_or_else(|| client.clone(), |tls| client.inside(tls.clone()));
        self.name.as_ref().map_or_else(|| client.clone(), |name| client.named(name))
    }
}

/// The common name in a certificate's subject, or a name as it is.
fn common_name(name: &str) -> String {
    let subject = name.strip_prefix("CN=").map(|rest| rest.split(", ").next().unwrap_or_default());
    subject.unwrap_or(name).to_owned()
}

/// For whom: the two ends in one family, as the protocol has them. IPv4 inside IPv6 is IPv4, unless only one of them is.
fn between(source: SocketAddr, destination: SocketAddr, datagrams: bool) -> Whose {
    let plain = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    let (source, destination) = (plain(source), plain(destination));
    let wide = |end: SocketAddr| match end.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), end.port()),
        IpAddr::V6(_) => end,
    };
    match source.is_ipv4() == destination.is_ipv4() {
        true => Whose::Client { source, destination, datagrams },
        false => Whose::Client { source: wide(source), destination: wide(destination), datagrams },
    }
}

/// Reads a header, in whatever pieces it comes.
#[derive(Debug, Default)]
pub struct Reader {
    held: Vec<u8>,
}

impl Reader {
    /// Takes from `bytes` what belongs to the header: says how many that were, and what the header says once it is whole.
    ///
    /// # Errors
    /// What came is no header, as early as that can be known, or it is a wrong one. Nothing can be read after that.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(usize, Option<Header>)> {
        for (at, byte) in bytes.iter().enumerate() {
            self.held.push(*byte);
            if self.is_whole()? {
                let header = match self.is_text() {
                    true => text::read(&self.held)?,
                    false => binary::read(&self.held)?,
                };
                return Ok((at + 1, Some(header)));
            }
        }
        Ok((bytes.len(), None))
    }

    /// Whether something of a header has come.
    pub fn has_begun(&self) -> bool {
        !self.held.is_empty()
    }

    fn is_text(&self) -> bool {
        self.held.first() == text::BEGINNING.first()
    }

    fn is_whole(&self) -> Result<bool> {
        let beginning: &[u8] = if self.is_text() { text::BEGINNING } else { binary::SIGNATURE };
        let known = beginning.len().min(self.held.len());
        if self.held[..known] != beginning[..known] {
            return Err(wrong("the connection does not begin with it")
                .hint("who connects must send it, as haproxy does with send-proxy-v2; or leave accept-proxy away"));
        }
        match (self.is_text(), self.held.ends_with(b"\n")) {
            (true, false) if self.held.len() >= LINE => Err(wrong(format!("its line has more than {LINE} bytes"))),
            (true, ended) => Ok(ended),
            (false, _) => binary::is_whole(&self.held),
        }
    }
}

/// The error of a header that is none.
pub(crate) fn wrong(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Kind::Protocol, "cannot read the PROXY header").because(why)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
