//! The PROXY header of a connection: read before everything else, or written.

use std::{io, os::fd::OwnedFd};

use rustix::net::{RecvFlags, recv};
use socket2::Socket;
use tokio::io::{AsyncWrite, AsyncWriteExt, Interest};

use super::registered::registered;
use crate::{
    address::Address,
    error::{Error, Kind, Result},
    peer::Peer,
    proxy_header::{Header, Reader, Version},
    scope::{Behalf, Scope},
};

const ABOUT: &str = "cannot read the PROXY header";

/// Reads the header of a connection that was accepted, within the time for handshakes, and nothing that is behind it: so
/// the socket stays a bare one.
pub(crate) async fn header(stream: OwnedFd, scope: &Scope) -> Result<(OwnedFd, Header)> {
    let socket = registered(Socket::from(stream)).map_err(|error| Error::io(ABOUT, error))?;
    let mut reader = Reader::default();
    let read = async {
        loop {
            let step = socket.async_io(Interest::READABLE, |socket| step(socket, &mut reader)).await;
            if let Some(header) = step.map_err(|error| Error::io(ABOUT, error))? {
                return Ok(header);
            }
        }
    };
    let header = tokio::select! {
        header = scope.in_time(|| ABOUT.to_owned(), read) => header?,
        // Nothing is under way yet that could be finished.
        () = scope.stopped() => return Err(Error::new(Kind::Cut, ABOUT).because("the server ended before it came")),
    };
    Ok((socket.into_inner().into(), header))
}

/// Takes what has come of the header, and leaves the rest in the socket.
fn step(socket: &Socket, reader: &mut Reader) -> io::Result<Option<Header>> {
    let mut seen = [0; 512];
    let n = recv(socket, &mut seen, RecvFlags::PEEK)?.0;
    if n == 0 {
        let why = if reader.has_begun() { "the connection ended in it" } else { "the connection ended before it" };
        return Err(Error::new(Kind::Cut, ABOUT).because(why).into());
    }
    let (taken, header) = reader.read(&seen[..n])?;
    // It is there: nobody else reads from this socket.
    recv(socket, &mut seen[..taken], RecvFlags::empty())?;
    Ok(header)
}

/// Writes the header that the option `proxy` asks for, on a connection that was just made to that server.
pub(crate) async fn greet(
    stream: &mut (impl AsyncWrite + Unpin),
    to: &Address,
    server: &Peer,
    scope: &Scope,
) -> Result<()> {
    let version = match to.options.text("proxy") {
        None => return Ok(()),
        Some("v1") => Version::V1,
        Some(_) => Version::V2,
    };
    let ends = || (server.local().net(), server.remote().net());
    let header = match (scope.behalf(), version) {
        (Behalf::Client(client), _) => Header::of(client, version),
        // The first version has no word for a proxy that speaks for itself, and servers want addresses of it.
        (Behalf::Nobody, Version::V2) => Header::own(version),
        (Behalf::Nobody | Behalf::Own, _) => Header::between(ends().0, ends().1, version),
    };
    let about = || format!("cannot tell {} for whom we come", to.bare());
    let write = async { stream.write_all(&header.written()).await.map_err(|error| Error::io(about(), error)) };
    scope.in_time(about, write).await
}
