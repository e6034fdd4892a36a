//! Where datagrams come from, and where the answers go.

use std::{
    net::{IpAddr, SocketAddrV4, SocketAddrV6},
    sync::Arc,
};

use nix::sys::socket::{SockaddrIn, SockaddrIn6, SockaddrLike, UnixAddr};

use crate::peer::Endpoint;

/// Where a datagram came from: an address that the kernel can send to, unless it is a unix socket without a name.
///
/// Each datagram has one, so it is small: the kernel's own type for all kinds of addresses has 128 bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    pub(super) name: Option<Name>,
    /// Which of our addresses it was sent to, where we listen on all of them: the answer must come from there.
    pub(super) via: Option<IpAddr>,
}

/// An address, as the kernel has it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Name {
    V4(SockaddrIn),
    V6(SockaddrIn6),
    Unix(Arc<UnixAddr>),
}

/// A kind of addresses: all of one socket are of the same.
pub(super) trait Family: SockaddrLike + Copy + 'static {
    fn name(self) -> Name;
    fn of(name: &Name) -> Option<Self>;
}

impl Family for SockaddrIn {
    fn name(self) -> Name {
        Name::V4(self)
    }

    fn of(name: &Name) -> Option<Self> {
        if let Name::V4(v4) = name { Some(*v4) } else { None }
    }
}

impl Family for SockaddrIn6 {
    fn name(self) -> Name {
        Name::V6(self)
    }

    fn of(name: &Name) -> Option<Self> {
        if let Name::V6(v6) = name { Some(*v6) } else { None }
    }
}

impl Family for UnixAddr {
    fn name(self) -> Name {
        Name::Unix(Arc::new(self))
    }

    fn of(name: &Name) -> Option<Self> {
        if let Name::Unix(unix) = name { Some(**unix) } else { None }
    }
}

impl Source {
    pub(crate) fn endpoint(&self) -> Endpoint {
        match &self.name {
            Some(Name::V4(v4)) => Endpoint::Net(SocketAddrV4::from(*v4).into()),
            Some(Name::V6(v6)) => Endpoint::Net(SocketAddrV6::from(*v6).into()),
            Some(Name::Unix(unix)) => {
                let path = unix.path().map(|path| path.display().to_string());
                let hidden = || unix.as_abstract().map(|name| format!("@{}", String::from_utf8_lossy(name)));
                path.or_else(hidden).map_or(Endpoint::Unnamed, |name| Endpoint::Name(Arc::from(name)))
            }
            None => Endpoint::Unnamed,
        }
    }

    /// Its internet address, where it has one.
    pub(super) fn net(&self) -> Option<IpAddr> {
        match &self.name {
            Some(Name::V4(v4)) => Some(v4.ip().into()),
            Some(Name::V6(v6)) => Some(v6.ip().into()),
            Some(Name::Unix(_)) | None => None,
        }
    }

    /// Its address for a socket of that family.
    pub(super) fn address<F: Family>(&self) -> Option<F> {
        self.name.as_ref().and_then(F::of)
    }

    /// Our own end as that peer sees it, which is `bound` unless that is all addresses.
    pub(crate) fn local(&self, bound: &Endpoint) -> Endpoint {
        match (self.via, bound.net()) {
            (Some(ip), Some(bound)) => Endpoint::Net((ip, bound.port()).into()),
            _ => bound.clone(),
        }
    }

    /// Whether it is a process on this machine.
    pub(crate) fn is_unix(&self) -> bool {
        matches!(self.name, Some(Name::Unix(_)))
    }

    /// Whether an answer can be sent there: the client of a unix socket may have no name.
    pub(crate) fn answerable(&self) -> bool {
        self.endpoint() != Endpoint::Unnamed
    }
}
