//! The one accept loop of all stream listeners: limits, back-off, shutdown.

use std::{io, net::SocketAddr, os::fd::OwnedFd, path::PathBuf, sync::Arc, time::Duration};

use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{SockRef, Socket};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::Semaphore,
    time::sleep,
};

use crate::{
    address::Address,
    error::{Error, Kind, Result},
    gate::guests::{Guest, Guests},
    io::{guard::Guard, proxied, registered::registered},
    link::{Link, Stream},
    peer::{Endpoint, Peer},
    scope::{BoxFuture, Scope},
    service::{Service, converse},
    watch::Event,
};

/// How many connections the kernel may hold for us.
pub(crate) const BACKLOG: i32 = 4096;

/// How long to wait when there are no file descriptors left.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// The part of all places that one address may have with connections of which it has not said for whom they are.
const UNNAMED: usize = 4;

/// A listening stream socket.
pub(crate) struct Door {
    socket: AsyncFd<Socket>,
    pub(crate) address: Address,
    scheme: &'static str,
    local: Endpoint,
    /// Each connection begins with a PROXY header.
    is_proxied: bool,
    _file: Option<SocketFile>,
}

/// The file of a unix socket, removed when nobody listens any more.
pub(crate) struct SocketFile(pub(crate) PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Door {
    /// Takes over a listening, non-blocking socket.
    pub(crate) fn new(
        socket: Socket,
        address: Address,
        scheme: &'static str,
        local: Endpoint,
        file: Option<SocketFile>,
    ) -> Result<Self> {
        let about = || format!("cannot listen on {address}");
        let socket = registered(socket).map_err(|error| Error::io(about(), error))?;
        let is_proxied = address.options.flag("accept-proxy", false);
        Ok(Self { socket, address, scheme, local, is_proxied, _file: file })
    }

    /// Accepts until the scope stops; `open` holds the conversation, on the core that it was given to.
    ///
    /// It returns a future in a box: what stays with every idle connection is then that box and no more.
    pub(crate) async fn accept(
        self,
        scope: Scope,
        open: impl Fn(OwnedFd, Peer) -> BoxFuture<'static, Result<()>> + Clone + Send + 'static,
    ) -> Result<()> {
        let places = Arc::new(Semaphore::new(scope.limits().max_connections));
        let entrance = Entrance { guests: Guests::default(), unnamed: Guests::default(), scope: scope.clone() };
        let stopped = scope.stopped();
        tokio::pin!(stopped);
        loop {
            let place = tokio::select! {
                () = &mut stopped => return Ok(()),
                place = places.clone().acquire_owned() => place,
            };
            let accepted = tokio::select! {
                () = &mut stopped => return Ok(()),
                accepted = self.socket.async_io(Interest::READABLE, accept) => accepted,
            };
            let (stream, remote) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    self.trouble(&scope, error).await;
                    continue;
                }
            };
            let peer = Peer::new(self.scheme, remote, self.local_of(&stream));
            let (open, entrance, whose) = (open.clone(), entrance.clone(), peer.clone());
            if self.is_proxied {
                // Who comes is known when the proxy has said it.
                let Some(unnamed) = entrance.wait(&peer) else { continue };
                let begin =
                    move || -> BoxFuture<'static, _> { Box::pin(entrance.proxied(stream, peer, unnamed, open)) };
                scope.converse_spread(whose, place, begin);
            } else if let Some(guest) = entrance.admit(&peer) {
                let begin = move || entrance.held(peer.clone(), open(stream, peer));
                scope.converse_spread(whose, (guest, place), begin);
            }
        }
    }

    /// Our end of that connection: to know it costs a system call only where we listen on all addresses.
    fn local_of(&self, stream: &OwnedFd) -> Endpoint {
        match self.local.net() {
            Some(address) if address.ip().is_unspecified() => {
                let ours = SockRef::from(stream).local_addr().ok().and_then(|address| address.as_socket());
                ours.map_or(self.local.clone(), Endpoint::Net)
            }
            _ => self.local.clone(),
        }
    }

    /// One connection failed, or we are out of something: neither ends the server.
    async fn trouble(&self, scope: &Scope, error: io::Error) {
        let exhausted = matches!(
            error.raw_os_error(),
            Some(libc_errno::EMFILE | libc_errno::ENFILE | libc_errno::ENOBUFS | libc_errno::ENOMEM)
        );
        let error = Error::io(format!("cannot accept on {}", self.address.bare()), error);
        scope.tell(&Event::Trouble { peer: None, error: &error });
        if exhausted {
            sleep(EXHAUSTED).await;
        }
    }
}

/// Whom a door lets in.
#[derive(Clone)]
struct Entrance {
    guests: Guests,
    /// Connections of which no proxy has said yet for whom they are.
    unnamed: Guests,
    scope: Scope,
}

impl Entrance {
    /// A place to wait for the PROXY header, of which one address has no more than a part: others must get in.
    fn wait(&self, proxy: &Peer) -> Option<Guest> {
        let most = self.scope.limits().max_connections.div_ceil(UNNAMED);
        let place = self.unnamed.admit(proxy.remote(), most);
        if place.is_none() {
            let about = format!("{} connections from {} wait for a PROXY header", most, Shown(proxy.remote()));
            self.scope.tell(&Event::Trouble { peer: None, error: &Error::new(Kind::Refused, about) });
        }
        place
    }

    /// A place for that peer, unless it may not come now, or has as many as it may. Whoever watches is told then.
    fn admit(&self, peer: &Peer) -> Option<Guest> {
        if self.scope.gate().is_some_and(|gate| !gate.admits(peer, &self.scope)) {
            return None;
        }
        let guest = self.guests.admit(peer.remote(), self.scope.limits().max_per_peer);
        if guest.is_none() {
            let about = format!("{} has as many connections as max-per-peer allows", Shown(peer.remote()));
            self.scope.tell(&Event::Trouble { peer: None, error: &Error::new(Kind::Refused, about) });
        }
        guest
    }

    /// The conversation, for as long as that peer may be inside.
    fn held(&self, peer: Peer, talk: BoxFuture<'static, Result<()>>) -> BoxFuture<'static, Result<()>> {
        match self.scope.gate().filter(|gate| gate.changes()) {
            None => talk,
            Some(gate) => Box::pin(gate.clone().hold(peer, talk)),
        }
    }

    /// The conversation of a connection that a proxy made, with the client for whom it did.
    async fn proxied(
        self,
        stream: OwnedFd,
        proxy: Peer,
        unnamed: Guest,
        open: impl Fn(OwnedFd, Peer) -> BoxFuture<'static, Result<()>>,
    ) -> Result<()> {
        // In a box of its own, which goes when the header has come.
        let (stream, header) = Box::pin(proxied::header(stream, &self.scope)).await?;
        drop(unnamed);
        let peer = header.client(&proxy);
        self.scope.tell(&Event::Proxied { peer: &peer, by: &proxy });
        let Some(_guest) = self.admit(&peer) else { return Ok(()) };
        if let Err(error) = self.held(peer.clone(), open(stream, peer.clone())).await {
            // It is the client's trouble, and not its proxy's.
            self.scope.tell(&Event::Trouble { peer: Some(&peer), error: &error });
        }
        Ok(())
    }
}

/// Holds the conversation of a stream that was accepted.
pub(crate) fn hold(
    stream: io::Result<impl Stream>,
    peer: Peer,
    service: Arc<dyn Service>,
    scope: &Scope,
) -> BoxFuture<'static, Result<()>> {
    match stream {
        Ok(stream) => converse(service, Link::over(Guard::new(stream, &peer, scope), peer, scope.clone())),
        Err(error) => Box::pin(async { Err(Error::io("cannot take the connection", error)) }),
    }
}

/// The numbers of the errors that mean that a resource has run out.
mod libc_errno {
    use rustix::io::Errno;

    pub(super) const EMFILE: i32 = Errno::MFILE.raw_os_error();
    pub(super) const ENFILE: i32 = Errno::NFILE.raw_os_error();
    pub(super) const ENOBUFS: i32 = Errno::NOBUFS.raw_os_error();
    pub(super) const ENOMEM: i32 = Errno::NOMEM.raw_os_error();
}

fn accept(socket: &Socket) -> io::Result<(OwnedFd, Endpoint)> {
    let (stream, address) = acceptfrom_with(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    let net = address.and_then(|address| SocketAddr::try_from(address).ok());
    Ok((stream, net.map_or(Endpoint::Unnamed, Endpoint::Net)))
}

struct Shown<'a>(&'a Endpoint);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.net() {
            Some(address) => write!(f, "{}", address.ip()),
            None => write!(f, "{}", self.0),
        }
    }
}
