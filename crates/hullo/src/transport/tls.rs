//! `hullo serve echo tls://:7443`, `hullo connect 'tls://host:7443?pin=sha256:…'`: streams inside TLS 1.2 or 1.3 (RFC 8446).
//!
//! A listener without `cert` and `key` makes a certificate of its own and keeps it; its fingerprint is what clients take
//! as `pin`. A client trusts the system's authorities, those of `ca`, the one certificate of `pin`, or, when told to be
//! `insecure`, anybody.

use std::{
    io,
    os::fd::OwnedFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    client, server,
    rustls::{CommonState, pki_types::ServerName},
};

use self::trust::fingerprint;
use super::{
    Listener, Spec, Transport,
    accept::Door,
    tcp::{adopt, dial, listen, no_resource},
};
use crate::{
    address::Address,
    error::{Error, Kind, Result},
    io::guard::Guard,
    link::Link,
    scope::{BoxFuture, Scope},
    service::{Service, converse},
    watch::{Event, Secured},
};

mod own;
mod trust;

pub(super) const SCHEMES: &[Spec] =
    &[Spec { scheme: "tls", about: "streams inside TLS over TCP", example: "tls://127.0.0.1:7443", transport: &Tls }];

struct Tls;

impl Transport for Tls {
    fn bind(&self, at: Address, scope: Scope) -> BoxFuture<'static, Result<Box<dyn Listener>>> {
        Box::pin(async move {
            no_resource(&at)?;
            let identity = Identity::of(&at, &[], &scope)?;
            Ok(Box::new(TlsDoor { door: listen(&at, "tls").await?, identity }) as Box<dyn Listener>)
        })
    }

    fn connect(&self, to: Address, scope: Scope) -> BoxFuture<'static, Result<Link>> {
        Box::pin(async move {
            no_resource(&to)?;
            let (stream, peer) = dial(&to, "tls", None, &scope).await?;
            let stream = secure(stream, &to, &[], &scope).await?;
            Ok(Link::over(Guard::new(stream, &peer, &scope), peer, scope))
        })
    }
}

/// What a listener shows to its clients.
pub(super) struct Identity {
    acceptor: TlsAcceptor,
    /// What a person should know about it.
    pub(super) notes: Vec<String>,
}

impl Identity {
    /// The identity that the address asks for; `alpn` are the protocols to agree on unless the address says others.
    pub(super) fn of(at: &Address, alpn: &[&str], scope: &Scope) -> Result<Self> {
        let (config, notes) = own::server_config(at, &protocols(at, alpn), scope)?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), notes })
    }

    /// Shakes hands with a client, in time.
    pub(super) async fn accept(&self, fd: OwnedFd, scope: &Scope) -> Result<TlsStream<server::TlsStream<TcpStream>>> {
        let accept = async {
            let stream = adopt(fd).map_err(|error| Error::io("cannot take the connection", error))?;
            self.acceptor.accept(stream).await.map_err(handshake_error)
        };
        let stream = tokio::select! {
            stream = scope.in_time(|| "the TLS handshake failed".to_owned(), accept) => stream?,
            // Nothing is under way yet that could be finished.
            () = scope.stopped() => return Err(Error::new(Kind::Cut, "the server ended before the TLS handshake did")),
        };
        Ok(TlsStream { stream, strict: false })
    }
}

struct TlsDoor {
    door: Door,
    identity: Identity,
}

impl Listener for TlsDoor {
    fn address(&self) -> Address {
        self.door.address.clone()
    }

    fn notes(&self) -> Vec<String> {
        self.identity.notes.clone()
    }

    fn serve(self: Box<Self>, service: Arc<dyn Service>, scope: Scope) -> BoxFuture<'static, Result<()>> {
        let (identity, link_scope) = (Arc::new(self.identity), scope.clone());
        Box::pin(self.door.accept(scope, move |fd, peer| {
            let (service, scope, identity) = (service.clone(), link_scope.clone(), identity.clone());
            Box::pin(async move {
                // In a box of its own, so that a connection does not keep room for a handshake all its life.
                let stream = Box::pin(identity.accept(fd, &scope)).await?;
                converse(service, Link::over(Guard::new(stream, &peer, &scope), peer, scope)).await
            })
        }))
    }
}

/// Puts TLS on a connection that we made.
pub(super) async fn secure(
    stream: TcpStream,
    to: &Address,
    alpn: &[&str],
    scope: &Scope,
) -> Result<TlsStream<client::TlsStream<TcpStream>>> {
    let (config, trust) = trust::client_config(to, &protocols(to, alpn))?;
    let host = match to.options.text("sni") {
        Some(name) => name,
        None if to.host.is_empty() => "127.0.0.1",
        None => &to.host,
    };
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| Error::usage(format!("'{host}' is no name for a certificate")).because(error))?;
    let about = || format!("cannot agree on encryption with {}", to.bare());
    let handshake = async {
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        stream.map_err(|error| trust::explain(about(), error, to))
    };
    let stream = scope.in_time(about, handshake).await?;
    scope.tell(&Event::Secured(&secured(stream.get_ref().1, trust)));
    Ok(TlsStream { stream, strict: true })
}

fn protocols(address: &Address, otherwise: &[&str]) -> Vec<Vec<u8>> {
    match address.options.text("alpn") {
        Some(list) => list.split(',').map(|name| name.trim().as_bytes().to_vec()).collect(),
        None => otherwise.iter().map(|name| name.as_bytes().to_vec()).collect(),
    }
}

fn secured(state: &CommonState, trust: &'static str) -> Secured {
    let version = match state.protocol_version().and_then(|version| version.as_str()) {
        Some("TLSv1_2") => "TLS 1.2".to_owned(),
        Some("TLSv1_3") => "TLS 1.3".to_owned(),
        other => other.unwrap_or("TLS").to_owned(),
    };
    let named = |name: Option<String>| name.unwrap_or_else(|| "unknown".to_owned());
    Secured {
        version,
        cipher: named(state.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).map(str::to_owned)),
        exchange: named(state.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()))),
        alpn: state.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
        fingerprint: state.peer_certificates().and_then(|chain| chain.first()).map(|cert| fingerprint(cert)),
        trust,
    }
}

fn handshake_error(error: io::Error) -> Error {
    let kind = if error.kind() == io::ErrorKind::InvalidData { Kind::Tls } else { Kind::Cut };
    Error::io("the TLS handshake failed", error).of(kind)
}

/// A TLS stream whose end means something.
///
/// An end without TLS's own farewell may be a forgery that cuts the conversation short (RFC 8446, section 6.1). A client
/// is told so; a server takes it as the end, since many clients just close.
pub(super) struct TlsStream<S> {
    stream: S,
    strict: bool,
}

impl<S> TlsStream<S> {
    pub(super) fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(if self.strict {
                let about = "the other end closed without TLS's farewell (close_notify): the end may be missing";
                Err(Error::new(Kind::Cut, about).into())
            } else {
                Ok(())
            }),
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::InvalidData => Poll::Ready(Err(trust::broken(error).into())),
            read => read,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What was agreed on inside.
pub(super) fn agreed(stream: &TlsStream<client::TlsStream<TcpStream>>) -> Option<Vec<u8>> {
    stream.get_ref().get_ref().1.alpn_protocol().map(<[u8]>::to_vec)
}
