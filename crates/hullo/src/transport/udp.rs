//! `hullo serve convert udp://:8030`, `hullo ask udp://host:8030 36.6`: datagrams over UDP (RFC 768).

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use socket2::{Domain, Protocol, Socket, Type};

use super::{
    Listener, Spec, Transport,
    tcp::{bind_from, cannot_connect, cannot_listen, no_resource, resolve},
};
use crate::{
    address::Address,
    error::{Error, Result},
    io::{connected::Connected, datagrams::Datagrams},
    link::Link,
    peer::{Endpoint, Peer},
    scope::{BoxFuture, Scope},
    service::Service,
    watch::Event,
};

pub(super) const SCHEMES: &[Spec] =
    &[Spec { scheme: "udp", about: "datagrams over UDP", example: "udp://127.0.0.1:7007", transport: &Udp }];

/// What bursts may wait in the kernel: the default holds only some hundred small datagrams.
const BUFFER: usize = 4 << 20;

struct Udp;

impl Transport for Udp {
    fn bind(&self, at: Address, scope: Scope) -> BoxFuture<'static, Result<Box<dyn Listener>>> {
        Box::pin(async move {
            no_resource(&at)?;
            let Some(port) = at.port else {
                return Err(Error::usage(format!("{at} has no port to listen on"))
                    .hint("write udp://:8080, or port 0 for any free one"));
            };
            let address = resolve(&at, port).await?[0];
            let bound = bind(address).and_then(|socket| {
                let local = socket.local_addr()?.as_socket().unwrap_or(address);
                let amplify = at.options.flag("amplify", false);
                let socket = Datagrams::new(socket, "udp", Endpoint::Net(local), amplify)?;
                Ok((socket.within(&scope), local))
            });
            let (socket, local) = bound.map_err(|error| cannot_listen(&at, error))?;
            let address = Address { host: local.ip().to_string(), ..at.at(local.port()) };
            Ok(Box::new(DatagramDoor { socket, address }) as Box<dyn Listener>)
        })
    }

    fn connect(&self, to: Address, scope: Scope) -> BoxFuture<'static, Result<Link>> {
        Box::pin(async move {
            no_resource(&to)?;
            let Some(port) = to.port else {
                return Err(Error::usage(format!("{to} has no port to connect to")).hint("write udp://host:port"));
            };
            let addresses = resolve(&to, port).await?;
            if !to.host.is_empty() && to.host.parse::<std::net::IpAddr>().is_err() {
                scope.tell(&Event::Resolved { host: &to.host, addresses: &addresses });
            }
            let (socket, remote) = dial(&addresses, &to).map_err(|error| cannot_connect(&to, error))?;
            let local =
                socket.local_addr().ok().and_then(|local| local.as_socket()).map_or(Endpoint::Unnamed, Endpoint::Net);
            let peer = Peer::new("udp", Endpoint::Net(remote), local);
            let socket = tokio::net::UdpSocket::from_std(socket.into()).map_err(|error| cannot_connect(&to, error))?;
            scope.tell(&Event::Connected { peer: &peer });
            Ok(Link::packets(Connected::new(socket, &to, &scope), peer, scope))
        })
    }
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = new(address)?;
    if address.ip() == std::net::IpAddr::from(Ipv6Addr::UNSPECIFIED) {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn new(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
    // The kernel gives as much of it as its limits allow.
    let _ = (socket.set_recv_buffer_size(BUFFER), socket.set_send_buffer_size(BUFFER));
    Ok(socket)
}

/// A socket connected to the first address that there is a way to: more cannot be known before an answer comes.
fn dial(addresses: &[SocketAddr], to: &Address) -> io::Result<(Socket, SocketAddr)> {
    let mut failed = None;
    for address in addresses {
        let connect = || {
            let socket = new(*address)?;
            let any =
                if address.is_ipv6() { (Ipv6Addr::UNSPECIFIED, 0).into() } else { (Ipv4Addr::UNSPECIFIED, 0).into() };
            socket.bind(&bind_from(to, *address)?.unwrap_or(any).into())?;
            socket.connect(&(*address).into())?;
            Ok((socket, *address))
        };
        match connect() {
            Ok(connected) => return Ok(connected),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    Err(failed.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
}

/// A bound datagram socket.
pub(super) struct DatagramDoor {
    pub(super) socket: Datagrams,
    pub(super) address: Address,
}

impl Listener for DatagramDoor {
    fn address(&self) -> Address {
        self.address.clone()
    }

    fn serve(self: Box<Self>, service: Arc<dyn Service>, scope: Scope) -> BoxFuture<'static, Result<()>> {
        service.datagrams(self.socket, scope)
    }
}
