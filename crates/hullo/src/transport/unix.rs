//! `hullo serve echo unix:/tmp/hullo.sock`, `hullo connect unix:/tmp/hullo.sock`: streams between processes.
//!
//! `unix:@name` is in Linux's abstract namespace, which has no file.

use std::{io, os::fd::OwnedFd, path::Path, sync::Arc};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixStream;

use super::{
    Listener, Spec, Transport,
    accept::{BACKLOG, Door, SocketFile, hold},
    tcp::{cannot_connect, cannot_listen},
};
use crate::{
    address::Address,
    error::{Error, Result},
    io::{guard::Guard, proxied, socket},
    link::Link,
    peer::{Endpoint, Peer},
    scope::{BoxFuture, Scope},
    service::Service,
    watch::Event,
};

pub(super) const SCHEMES: &[Spec] =
    &[Spec { scheme: "unix", about: "streams over a unix socket", example: "unix:/tmp/hullo.sock", transport: &Unix }];

struct Unix;

impl Transport for Unix {
    fn bind(&self, at: Address, _: Scope) -> BoxFuture<'static, Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let (name, socket, file) = bind(&at, Type::STREAM).await?;
            socket.listen(BACKLOG).map_err(|error| cannot_listen(&at, error))?;
            let address = Address { host: String::new(), path: name.to_string(), ..at };
            let door = Door::new(socket, address, "unix", Endpoint::Name(name), file)?;
            Ok(Box::new(UnixDoor(door)) as Box<dyn Listener>)
        })
    }

    fn connect(&self, to: Address, scope: Scope) -> BoxFuture<'static, Result<Link>> {
        Box::pin(async move {
            let (stream, peer) = dial(&to, &scope).await?;
            Ok(Link::over(Guard::new(socket::Socket(stream), &peer, &scope), peer, scope))
        })
    }
}

/// A connection to the socket of that name.
pub(super) async fn dial(to: &Address, scope: &Scope) -> Result<(UnixStream, Peer)> {
    let (name, address) = name(to)?;
    let connect = async {
        let socket = Socket::new(Domain::UNIX, Type::STREAM.cloexec(), None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&address)?;
        UnixStream::from_std(OwnedFd::from(socket).into())
    };
    let about = || format!("cannot connect to {}", to.bare());
    let mut stream = scope.in_time(about, async { connect.await.map_err(|error| cannot_connect(to, error)) }).await?;
    let peer = Peer::new("unix", Endpoint::Name(name), Endpoint::Unnamed);
    scope.tell(&Event::Connected { peer: &peer });
    proxied::greet(&mut stream, to, &peer, scope).await?;
    Ok((stream, peer))
}

struct UnixDoor(Door);

impl Listener for UnixDoor {
    fn address(&self) -> Address {
        self.0.address.clone()
    }

    fn serve(self: Box<Self>, service: Arc<dyn Service>, scope: Scope) -> BoxFuture<'static, Result<()>> {
        let link_scope = scope.clone();
        Box::pin(self.0.accept(scope, move |fd, peer| {
            hold(UnixStream::from_std(fd.into()).map(socket::Socket), peer, service.clone(), &link_scope)
        }))
    }
}

/// The socket's name and its kernel form.
pub(super) fn name(address: &Address) -> Result<(Arc<str>, SockAddr)> {
    address.without("port", address.port.is_some())?;
    // `unix://x/y` is what people write who mean `unix:x/y`.
    let path = format!("{}{}", address.host, address.path);
    let scheme = &address.scheme;
    if path.is_empty() || path == "@" {
        return Err(Error::usage(format!("{address} has no path"))
            .hint(format!("write {scheme}:/tmp/name.sock, or {scheme}:@name")));
    }
    let kernel = path.strip_prefix('@').map_or(path.clone(), |name| format!("\0{name}"));
    let kernel = SockAddr::unix(&kernel).map_err(|error| {
        Error::usage(format!("{address} is no name for a socket: at most 107 bytes fit")).because(error)
    })?;
    Ok((Arc::from(path), kernel))
}

/// A bound socket, and its file if it has one. The file of a server that is gone is replaced; that of a live one is not.
pub(super) async fn bind(at: &Address, kind: Type) -> Result<(Arc<str>, Socket, Option<SocketFile>)> {
    let (path, address) = name(at)?;
    let bind = || -> io::Result<Socket> {
        let socket = Socket::new(Domain::UNIX, kind.nonblocking().cloexec(), None)?;
        match socket.bind(&address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_abandoned(&path, &address, kind) => {
                std::fs::remove_file(&*path)?;
                socket.bind(&address)?;
            }
            bound => bound?,
        }
        Ok(socket)
    };
    let socket = bind().map_err(|error| cannot_listen(at, error))?;
    let file = (!path.starts_with('@')).then(|| SocketFile(path.as_ref().into()));
    Ok((path, socket, file))
}

/// Whether there is a socket that nobody listens on.
fn is_abandoned(path: &str, address: &SockAddr, kind: Type) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let is_socket = std::fs::symlink_metadata(Path::new(path)).is_ok_and(|file| file.file_type().is_socket());
    let refused = || {
        let probe = Socket::new(Domain::UNIX, kind.cloexec(), None)?;
        probe.set_nonblocking(true)?;
        probe.connect(address)
    };
    is_socket && refused().is_err_and(|error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused)
}
