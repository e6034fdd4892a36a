//! Who is at the other end of a link.

use std::{fmt, net::SocketAddr, sync::Arc};

/// The other end of a link, and our own end as that peer sees it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The transport's scheme, as in an address.
    pub scheme: &'static str,
    /// Where the peer is.
    pub remote: Endpoint,
    /// Where we are.
    pub local: Endpoint,
    /// The path that the peer asked for, on transports that have one (HTTP and WebSocket).
    pub path: Option<Arc<str>>,
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
    /// The peer's end written as an address.
    pub fn remote(&self) -> String {
        format!("{}:{}", self.scheme, self.remote)
    }

    /// Our end written as an address.
    pub fn local(&self) -> String {
        format!("{}:{}", self.scheme, self.local)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scheme, self.remote)
    }
}
