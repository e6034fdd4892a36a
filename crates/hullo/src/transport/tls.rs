//! `hullo serve echo tls://:7443`, `hullo connect 'tls://host:7443?pin=sha256:…'`: streams inside TLS 1.2 or 1.3 (RFC 8446).
//!
//! A listener without `cert` and `key` makes a certificate of its own and keeps its key, whose fingerprint is what clients
//! take as `pin`. With several certificates it shows the one with the name that is asked for, and it reads them anew when
//! their files change. A client trusts the system's authorities, those of `ca`, the one certificate of `pin`, or, when told to be
//! `insecure`, anybody.

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};

use rustls::{
    CipherSuite, CommonState, HandshakeKind, SupportedProtocolVersion,
    crypto::{
        CryptoProvider,
        aws_lc_rs::{self, kx_group},
    },
    version::{TLS12, TLS13},
};

pub(super) use self::{
    client::{agreed, secure},
    identity::Identity,
    stream::TlsStream,
};
use super::{
    Listener, Spec, Transport,
    accept::Door,
    tcp::{dial, listen, no_resource},
};
use crate::{
    address::Address,
    error::{Error, Kind, Result},
    io::guard::Guard,
    link::Link,
    scope::{BoxFuture, Scope},
    service::{Service, converse},
    watch::Secured,
};

mod certificate;
mod client;
mod conversation;
mod files;
mod handshake;
mod identity;
mod judge;
mod keys;
mod owed;
mod own;
mod reasons;
mod records;
mod stream;
mod trust;
mod wanted;

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
                let (stream, peer) = Box::pin(identity.accept(fd, peer, &scope)).await?;
                converse(service, Link::over(Guard::new(stream, &peer, &scope), peer, scope)).await
            })
        }))
    }
}

/// The cryptography of both ends. Its key exchange is the hybrid one before all, which whoever records it now cannot undo
/// with a quantum computer of the future; rustls would only follow those who prefer it themselves. Of the ciphers of
/// TLS 1.3 AES with 128 bits comes first, as in browsers: with it goes SHA-256, for which processors have instructions, and
/// the keys of a handshake are hashes of hashes.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let groups = vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
        let provider = aws_lc_rs::default_provider();
        let mut ciphers = provider.cipher_suites.clone();
        ciphers.sort_by_key(|cipher| cipher.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
        Arc::new(CryptoProvider { kx_groups: groups, cipher_suites: ciphers, ..provider })
    });
    PROVIDER.clone()
}

/// The versions of TLS that the address allows.
fn versions(address: &Address) -> Result<Vec<&'static SupportedProtocolVersion>> {
    match address.options.text("tls") {
        None | Some("1.2") => Ok(vec![&TLS13, &TLS12]),
        Some("1.3") => Ok(vec![&TLS13]),
        Some(_) => Err(Error::usage("the option tls takes 1.2 or 1.3, the lowest version to agree on")),
    }
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
    let exchange = state.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()));
    let own = state.peer_certificates().and_then(|chain| chain.first());
    let named = |name: Option<String>| name.unwrap_or_else(|| "unknown".to_owned());
    Secured {
        version,
        cipher: named(state.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).map(str::to_owned)),
        post_quantum: exchange.as_ref().is_some_and(|name| name.contains("MLKEM")),
        exchange: named(exchange),
        resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
        alpn: state.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
        fingerprint: own.map(|cert| certificate::fingerprint(cert)),
        trust,
    }
}

fn tls(about: impl Into<Cow<'static, str>>, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let wrong = Error::new(Kind::Tls, about);
    match (&error as &dyn std::error::Error).downcast_ref() {
        Some(reason) => wrong.because(reasons::in_words(reason)),
        None => wrong.because(error),
    }
}
