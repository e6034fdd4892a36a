//! `hullo serve convert unix-dgram:/tmp/hullo.dgram`: datagrams between processes.
//!
//! A client without a name of its own cannot be answered; ours take one in the abstract namespace.

use std::os::fd::OwnedFd;

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixDatagram;

use super::{
    Listener, Spec, Transport,
    accept::SocketFile,
    tcp::{cannot_connect, cannot_listen},
    udp::DatagramDoor,
    unix,
};
use crate::{
    address::Address,
    error::Result,
    io::{connected::Connected, datagrams::Datagrams},
    link::Link,
    peer::{Endpoint, Peer},
    scope::{BoxFuture, Scope},
    service::Service,
    watch::Event,
};

pub(super) const SCHEMES: &[Spec] = &[Spec {
    scheme: "unix-dgram",
    about: "datagrams over a unix socket",
    example: "unix-dgram:/tmp/hullo.dgram",
    transport: &UnixDgram,
}];

struct UnixDgram;

impl Transport for UnixDgram {
    fn bind(&self, at: Address, scope: Scope) -> BoxFuture<'static, Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let (name, socket, file) = unix::bind(&at, Type::DGRAM).await?;
            let address = Address { host: String::new(), path: name.to_string(), ..at.clone() };
            let amplify = at.options.flag("amplify", false);
            let socket = Datagrams::new(socket, "unix-dgram", Endpoint::Name(name), amplify)
                .map_err(|error| cannot_listen(&at, error))?
                .within(&scope);
            Ok(Box::new(UnixDoor { door: DatagramDoor { socket, address }, file }) as Box<dyn Listener>)
        })
    }

    fn connect(&self, to: Address, scope: Scope) -> BoxFuture<'static, Result<Link>> {
        Box::pin(async move {
            let (name, address) = unix::name(&to)?;
            let connect = || {
                let socket = Socket::new(Domain::UNIX, Type::DGRAM.nonblocking().cloexec(), None)?;
                // An empty name makes the kernel choose one.
                socket.bind(&SockAddr::unix("")?)?;
                socket.connect(&address)?;
                UnixDatagram::from_std(OwnedFd::from(socket).into())
            };
            let socket = connect().map_err(|error| cannot_connect(&to, error))?;
            let peer = Peer::new("unix-dgram", Endpoint::Name(name), Endpoint::Unnamed);
            scope.tell(&Event::Connected { peer: &peer });
            Ok(Link::packets(Connected::new(socket, &to, &scope), peer, scope))
        })
    }
}

struct UnixDoor {
    door: DatagramDoor,
    file: Option<SocketFile>,
}

impl Listener for UnixDoor {
    fn address(&self) -> Address {
        self.door.address()
    }

    fn serve(self: Box<Self>, service: std::sync::Arc<dyn Service>, scope: Scope) -> BoxFuture<'static, Result<()>> {
        let Self { door, file } = *self;
        Box::pin(async move {
            let served = Box::new(door).serve(service, scope).await;
            drop(file);
            served
        })
    }
}
