//! Who is at the other end of a link.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// The other end of a link, and our own end as that peer sees it. Cheap to clone, and one pointer wide: every idle
/// connection holds it in several places.
#[derive(Clone, Debug)]
pub struct Peer(Arc<Facts>);

#[derive(Clone, Debug)]
struct Facts {
    scheme: &'static str,
    remote: Endpoint,
    local: Endpoint,
    path: Option<Box<str>>,
    name: Option<Box<str>>,
    tls: Option<Box<Tls>>,
}

/// What was agreed on in the TLS of a client, as a listener knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The version, as in `TLSv1.3`.
    pub version: Option<&'static str>,
    /// The protocol inside (ALPN).
    pub alpn: Option<Box<[u8]>>,
    /// The name that was asked for (SNI).
    pub sni: Option<Box<str>>,
}

/// One end of a link: small, since every idle connection holds two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// An internet address and port.
    Net(SocketAddr),
    /// A name: the path of a unix socket, or the name of a simulated link.
    Name(Arc<str>),
    /// Nothing is known, as of the client of a unix socket.
    #[default]
    Unnamed,
}

impl Endpoint {
    /// The internet address, where it is one.
    pub fn net(&self) -> Option<SocketAddr> {
        match self {
            Endpoint::Net(address) => Some(*address),
            _ => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Net(address) => write!(f, "//{address}"),
            Endpoint::Name(name) => f.write_str(name),
            Endpoint::Unnamed => Ok(()),
        }
    }
}

impl Peer {
    /// A peer that was reached over a transport.
    pub fn new(scheme: &'static str, remote: Endpoint, local: Endpoint) -> Self {
        Self(Arc::new(Facts { scheme, remote, local, path: None, name: None, tls: None }))
    }

    /// The same peer, which asked for that path.
    pub fn at_path(&self, path: &str) -> Self {
        Self(Arc::new(Facts { path: Some(path.into()), ..Facts::clone(&self.0) }))
    }

    /// The same peer, whose certificate has that name.
    pub fn named(&self, name: &str) -> Self {
        Self(Arc::new(Facts { name: Some(name.into()), ..Facts::clone(&self.0) }))
    }

    /// The same peer, whose encryption ends here or at a proxy before us.
    pub fn inside(&self, tls: Tls) -> Self {
        Self(Arc::new(Facts { tls: Some(Box::new(tls)), ..Facts::clone(&self.0) }))
    }

    /// The client at `source` for whom this peer speaks, which it connected to `destination`.
    pub(crate) fn proxied(&self, source: SocketAddr, destination: SocketAddr) -> Self {
        let (remote, local) = (Endpoint::Net(source), Endpoint::Net(destination));
        Self(Arc::new(Facts { remote, local, ..Facts::clone(&self.0) }))
    }

    /// The transport's scheme, as in an address.
    pub fn scheme(&self) -> &'static str {
        self.0.scheme
    }

    /// Where the peer is.
    pub fn remote(&self) -> &Endpoint {
        &self.0.remote
    }

    /// Where we are.
    pub fn local(&self) -> &Endpoint {
        &self.0.local
    }

    /// The path that the peer asked for, on transports that have one (HTTP and WebSocket).
    pub fn path(&self) -> Option<&str> {
        self.0.path.as_deref()
    }

    /// The name in the certificate by which a client has shown who it is: a listener with `client-ca` has verified it.
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// What was agreed on in its TLS, where there was any that ended here or at a proxy before us.
    pub fn tls(&self) -> Option<&Tls> {
        self.0.tls.as_deref()
    }

    /// Our end written as an address; the peer's own is its [`Display`](fmt::Display).
    pub fn local_address(&self) -> String {
        format!("{}:{}", self.0.scheme, self.0.local)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.scheme, self.0.remote)
    }
}

/// Whose an address is, where peers are counted: one customer has many addresses of IPv6, which share their first half.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}
