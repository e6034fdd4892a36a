//! `hullo serve echo tcp://:7007`, `hullo connect tcp://host:7007`: streams over TCP (RFC 9293).

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::OwnedFd,
    sync::Arc,
    time::Duration,
};

use futures_util::stream::{FuturesUnordered, StreamExt};
use socket2::{Domain, Protocol, SockRef, TcpKeepalive, Type};
use tokio::{
    net::{TcpSocket, TcpStream, lookup_host},
    time::sleep,
};

use super::{
    Listener, Spec, Transport,
    accept::{BACKLOG, Door, hold},
};
use crate::{
    address::Address,
    error::{Error, Kind, Result, nobody_there, plain},
    io::{guard::Guard, proxied, socket::Socket},
    link::Link,
    peer::{Endpoint, Peer},
    scope::{BoxFuture, Scope},
    service::Service,
    watch::Event,
};

pub(super) mod via;

pub(super) const SCHEMES: &[Spec] =
    &[Spec { scheme: "tcp", about: "streams over TCP", example: "tcp://127.0.0.1:7007", transport: &Tcp }];

struct Tcp;

impl Transport for Tcp {
    fn bind(&self, at: Address, _: Scope) -> BoxFuture<'static, Result<Box<dyn Listener>>> {
        Box::pin(async move {
            no_resource(&at)?;
            Ok(Box::new(TcpDoor(listen(&at, "tcp").await?)) as Box<dyn Listener>)
        })
    }

    fn connect(&self, to: Address, scope: Scope) -> BoxFuture<'static, Result<Link>> {
        Box::pin(async move {
            no_resource(&to)?;
            let (stream, peer) = dial(&to, "tcp", None, &scope).await?;
            Ok(Link::over(Guard::new(Socket(stream), &peer, &scope), peer, scope))
        })
    }
}

struct TcpDoor(Door);

impl Listener for TcpDoor {
    fn address(&self) -> Address {
        self.0.address.clone()
    }

    fn serve(self: Box<Self>, service: Arc<dyn Service>, scope: Scope) -> BoxFuture<'static, Result<()>> {
        let link_scope = scope.clone();
        Box::pin(self.0.accept(scope, move |fd, peer| hold(adopt(fd).map(Socket), peer, service.clone(), &link_scope)))
    }
}

/// Refuses the parts of an address that only resources have.
pub(super) fn no_resource(address: &Address) -> Result<()> {
    address.without("path", !address.path.is_empty() && address.path != "/")
}

/// Makes an accepted connection the runtime's.
pub(super) fn adopt(fd: OwnedFd) -> io::Result<TcpStream> {
    TcpStream::from_std(fd.into())
}

/// The addresses of a host; an empty one is this machine's loopback.
pub(super) async fn resolve(address: &Address, port: u16) -> Result<Vec<SocketAddr>> {
    let host = address.host.as_str();
    if host.is_empty() {
        return Ok(vec![(Ipv4Addr::LOCALHOST, port).into()]);
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![(ip, port).into()]);
    }
    let about = || format!("cannot find the address of '{host}' for {}", address.bare());
    let found = lookup_host((host, port)).await.map_err(|error| Error::io(about(), error).of(Kind::Resolve))?;
    let found: Vec<_> = found.collect();
    if found.is_empty() { Err(Error::new(Kind::Resolve, about())) } else { Ok(found) }
}

/// A listening socket at that address. Accepted connections inherit its options.
pub(super) async fn listen(at: &Address, scheme: &'static str) -> Result<Door> {
    let Some(port) = at.port else {
        return Err(Error::usage(format!("{at} has no port to listen on"))
            .hint(format!("write {scheme}://:8080, or port 0 for any free one")));
    };
    let mut failed = None;
    for address in resolve(at, port).await? {
        match listen_at(address, at) {
            Ok(socket) => {
                let local = socket.local_addr().ok().and_then(|local| local.as_socket()).unwrap_or(address);
                let bound = Address { host: local.ip().to_string(), ..at.at(local.port()) };
                return Door::new(socket, bound, scheme, Endpoint::Net(local), None);
            }
            Err(error) => failed = Some(error),
        }
    }
    let error = failed.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into());
    Err(cannot_listen(at, error))
}

/// The error of a bind, with what to do about it.
pub(super) fn cannot_listen(at: &Address, error: io::Error) -> Error {
    let kind = error.kind();
    let error = Error::io(format!("cannot listen on {}", at.bare()), error).of(Kind::Bind);
    match kind {
        io::ErrorKind::AddrInUse => {
            error.hint("another program listens there: take another port, or 0 for any free one")
        }
        io::ErrorKind::PermissionDenied => error.hint("ports below 1024 are for root: take a higher one"),
        io::ErrorKind::AddrNotAvailable => {
            error.hint("that address is none of this machine's: take 127.0.0.1, 0.0.0.0 or [::]")
        }
        _ => error,
    }
}

fn listen_at(address: SocketAddr, at: &Address) -> io::Result<socket2::Socket> {
    let socket =
        socket2::Socket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    // A port can be used again at once, though connections of the last server are still in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.ip() == IpAddr::from(std::net::Ipv6Addr::UNSPECIFIED) {
        socket.set_only_v6(false)?;
    }
    tune(&socket, at)?;
    unpace(SockRef::from(&socket), address);
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// Sets the options that the address asks for.
fn tune(socket: &socket2::Socket, address: &Address) -> io::Result<()> {
    socket.set_tcp_nodelay(address.options.flag("nodelay", true))?;
    if let Some(Some(time)) = address.options.time("keepalive") {
        let time = time.max(Duration::from_secs(1));
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(time).with_interval(time).with_retries(4))?;
    }
    Ok(())
}

/// Has a connection within this machine leave as fast as it is taken: there is no network that could be too much for. Where
/// the system has BBR, a timer would go off for each 64 KiB, and take longer than all the rest. It must be said before there
/// is a connection.
fn unpace(socket: SockRef<'_>, address: SocketAddr) {
    let paces = || socket.tcp_congestion().is_ok_and(|name| name.starts_with(b"bbr"));
    if address.ip().to_canonical().is_loopback() && paces() {
        // Where that is not allowed, what the system has chosen stays.
        let _ = socket.set_tcp_congestion(b"reno");
    }
}

/// Connects to a host: through the proxies that its address names, or else by itself.
pub(super) async fn dial(
    to: &Address,
    scheme: &'static str,
    port: Option<u16>,
    scope: &Scope,
) -> Result<(TcpStream, Peer)> {
    let Some(port) = to.port.or(port) else {
        let about = format!("{} has no port to connect to", to.bare());
        return Err(Error::usage(about).hint(format!("write {scheme}://host:port")));
    };
    let chain = via::chain(to)?;
    let (mut stream, peer) = match chain.is_empty() {
        true => reach(to, scheme, port, scope).await?,
        false => via::through(&chain, Some(&to.at(port)), to, scheme, scope).await?,
    };
    proxied::greet(&mut stream, to, &peer, scope).await?;
    Ok((stream, peer))
}

/// Connects to one of the host's addresses, trying them as RFC 8305 says.
async fn reach(to: &Address, scheme: &'static str, port: u16, scope: &Scope) -> Result<(TcpStream, Peer)> {
    let stream = scope.in_time(|| format!("cannot connect to {}", to.bare()), async {
        let addresses = interleaved(resolve(to, port).await?);
        if !to.host.is_empty() && to.host.parse::<IpAddr>().is_err() {
            scope.tell(&Event::Resolved { host: &to.host, addresses: &addresses });
        }
        race(&addresses, to, scope).await
    });
    let stream = stream.await?;
    let peer = Peer::new(scheme, endpoint(stream.peer_addr()), endpoint(stream.local_addr()));
    scope.tell(&Event::Connected { peer: &peer });
    Ok((stream, peer))
}

fn endpoint(address: io::Result<SocketAddr>) -> Endpoint {
    address.map_or(Endpoint::Unnamed, Endpoint::Net)
}

/// The two families in turn, beginning with that of the first address (RFC 8305, section 4).
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first = addresses.first().map(SocketAddr::is_ipv6);
    let (mut one, mut other): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| Some(address.is_ipv6()) == first);
    let mut order = Vec::with_capacity(one.len() + other.len());
    while let Some(address) = one.pop_front() {
        order.push(address);
        std::mem::swap(&mut one, &mut other);
        if one.is_empty() {
            std::mem::swap(&mut one, &mut other);
        }
    }
    order
}

/// How long an attempt has before the next one starts beside it (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Starts an attempt, and the next when one fails or takes long; the first to stand wins, and ends the others.
async fn race(addresses: &[SocketAddr], to: &Address, scope: &Scope) -> Result<TcpStream> {
    let mut waiting = addresses.iter();
    let mut running = FuturesUnordered::new();
    let mut failure = None;
    loop {
        if let Some(address) = waiting.next() {
            running.push(async move { (*address, attempt(*address, to).await) });
        }
        let next = async { if waiting.len() == 0 { std::future::pending().await } else { sleep(HEAD_START).await } };
        tokio::select! {
            finished = running.next() => match finished {
                Some((_, Ok(stream))) => return Ok(stream),
                Some((address, Err(error))) => {
                    scope.tell(&Event::Failed { address, why: &plain(&error.to_string()) });
                    // What the first address said is what a person expects to hear.
                    failure.get_or_insert(error);
                }
                None => {
                    let error = failure.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into());
                    return Err(cannot_connect(to, error));
                }
            },
            () = next => {}
        }
    }
}

/// The error of a connect, with what to do about it.
pub(super) fn cannot_connect(to: &Address, error: io::Error) -> Error {
    // A unix socket that is not there is a server that is not there.
    let refused = matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound);
    if error.kind() == io::ErrorKind::AddrNotAvailable && to.options.text("bind").is_none() {
        let hint = "all our ports to there are in use, or were a minute ago: wait, or connect from another address, as with \
                    ?bind=127.0.0.2";
        return Error::io(format!("cannot connect to {}", to.bare()), error).hint(hint);
    }
    let error = Error::io(format!("cannot connect to {}", to.bare()), error);
    if refused { error.of(Kind::Refused).hint(nobody_there(&to.scheme)) } else { error }
}

async fn attempt(address: SocketAddr, to: &Address) -> io::Result<TcpStream> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    tune(&SockRef::from(&socket), to)?;
    unpace(SockRef::from(&socket), address);
    if let Some(from) = bind_from(to, address)? {
        socket.bind(from)?;
    }
    socket.connect(address).await
}

/// The local address that the option `bind` asks for.
pub(super) fn bind_from(to: &Address, remote: SocketAddr) -> io::Result<Option<SocketAddr>> {
    let Some(bind) = to.options.text("bind") else { return Ok(None) };
    let ip = bind.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0));
    let from = ip.or_else(|_| bind.parse()).map_err(|_| {
        Error::usage(format!("the option bind takes an address or address:port, not '{}'", bind.escape_debug()))
    })?;
    if from.is_ipv6() == remote.is_ipv6() { Ok(Some(from)) } else { Err(io::ErrorKind::AddrNotAvailable.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let parse = |list: &str| list.split(' ').map(|a| a.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let mixed = parse("[::1]:1 [::2]:1 [::3]:1 1.1.1.1:1 2.2.2.2:1");
        assert_eq!(interleaved(mixed), parse("[::1]:1 1.1.1.1:1 [::2]:1 2.2.2.2:1 [::3]:1"));
    }

    #[test]
    #[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
    fn only_within_this_machine_nothing_is_paced() {
        for (to, left) in
            [("127.0.0.1:1", "reno"), ("[::1]:1", "reno"), ("[::ffff:127.0.0.2]:1", "reno"), ("192.0.2.1:1", "bbr")]
        {
            let to: SocketAddr = to.parse().unwrap();
            let socket = socket2::Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
            // Where the system has none, nothing can be paced by it.
            if socket.set_tcp_congestion(b"bbr").is_err() {
                return;
            }
            unpace(SockRef::from(&socket), to);
            let chosen = socket.tcp_congestion().unwrap();
            assert!(chosen.starts_with(left.as_bytes()), "{to}: {}", chosen.escape_ascii());
        }
    }
}
