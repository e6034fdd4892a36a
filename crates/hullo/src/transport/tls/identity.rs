//! What a listener shows to its clients, and whom it asks for: read from files, and read anew when they change.

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        KeyLog, ServerConfig, SupportedProtocolVersion,
        client::verify_server_name,
        crypto::aws_lc_rs::Ticketer,
        pki_types::ServerName,
        server::{ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier},
        sign::CertifiedKey,
    },
    server::TlsStream as Stream,
};

use super::{
    TlsStream, certificate,
    files::{Chain, Pair, Stamp, roots},
    keys,
    own::{self, Own},
    protocols, provider, reasons, secured, tls, versions,
};
use crate::{
    address::Address,
    error::{Error, Kind, Result},
    io::linger,
    peer::Peer,
    scope::Scope,
    transport::tcp::adopt,
    watch::Event,
};

/// How often the files are looked at, at most: when somebody shakes hands.
const LOOK: Duration = Duration::from_secs(1);

/// What a listener shows to its clients.
pub(in crate::transport) struct Identity {
    wanted: Arc<Wanted>,
    current: Mutex<Current>,
    /// What a person should know about it.
    pub(in crate::transport) notes: Vec<String>,
}

struct Current {
    config: Arc<ServerConfig>,
    stamp: Stamp,
    looked: Instant,
}

impl Identity {
    /// The identity that the address asks for; `alpn` are the protocols to agree on unless the address says others.
    pub(in crate::transport) fn of(at: &Address, alpn: &[&str], scope: &Scope) -> Result<Self> {
        let (wanted, notes) = Wanted::of(at, alpn, scope)?;
        let stamp = wanted.stamp();
        let current = Current { config: Arc::new(wanted.config()?), stamp, looked: Instant::now() };
        Ok(Self { wanted: Arc::new(wanted), current: Mutex::new(current), notes })
    }

    /// Shakes hands with a client, in time. It is then known by name, where it showed a certificate.
    pub(in crate::transport) async fn accept(
        &self,
        fd: OwnedFd,
        peer: Peer,
        scope: &Scope,
    ) -> Result<(TlsStream<Stream<TcpStream>>, Peer)> {
        let accept = async {
            let stream = adopt(fd).map_err(|error| Error::io("cannot take the connection", error))?;
            let stream = self.expect_tls(stream).await?;
            let acceptor = TlsAcceptor::from(self.config(scope).await);
            acceptor.accept(stream).await.map_err(reasons::of_client)
        };
        let stream = tokio::select! {
            stream = scope.in_time(|| reasons::HANDSHAKE.to_owned(), accept) => stream?,
            // Nothing is under way yet that could be finished.
            () = scope.stopped() => return Err(Error::new(Kind::Cut, "the server ended before the TLS handshake did")),
        };
        let state = stream.get_ref().1;
        let shown = state.peer_certificates().and_then(|chain| chain.first()).and_then(|cert| certificate::read(cert));
        let peer = shown.as_ref().map_or_else(|| peer.clone(), |cert| peer.named(cert.name()));
        if scope.watched() {
            let trust = if shown.is_some() { "client certificate verified" } else { "no client certificate" };
            scope.tell(&Event::Admitted { peer: &peer, secured: &secured(state, trust) });
        }
        Ok((TlsStream { stream, strict: false }, peer))
    }

    /// Looks at what the client begins with, and tells it in its own words where that is not TLS.
    async fn expect_tls(&self, mut stream: TcpStream) -> Result<TcpStream> {
        let mut first = [0; 7];
        let n = stream.peek(&mut first).await.map_err(|error| Error::io(reasons::HANDSHAKE, error))?;
        let Some(what) = reasons::what_speaks(&first[..n]) else { return Ok(stream) };
        if what == reasons::HTTP && self.wanted.scheme != "tls" {
            let said = format!("The request came without TLS, and this is {}://\n", self.wanted.scheme);
            let answer = format!(
                "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{said}",
                said.len()
            );
            // Who is gone before it is read is none the worse for it.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
        let _ = linger::close(&mut stream).await;
        Err(Error::new(Kind::Tls, reasons::HANDSHAKE).because(format!("the client speaks {what}, not TLS")))
    }

    /// The configuration for a handshake that begins now. The files are looked at by one handshake in a second, and off
    /// the threads of the connections; the others go on with what there is.
    async fn config(&self, scope: &Scope) -> Arc<ServerConfig> {
        let (config, stamp) = {
            let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            if current.looked.elapsed() < LOOK {
                return current.config.clone();
            }
            current.looked = Instant::now();
            (current.config.clone(), current.stamp.clone())
        };
        let wanted = self.wanted.clone();
        // It fails only where the runtime is going away.
        let Ok(Some((stamp, anew))) = tokio::task::spawn_blocking(move || wanted.changed(&stamp)).await else { return config };
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // Whatever it is, it is said once, and read again when it changes again.
        current.stamp = stamp;
        match anew {
            Ok(anew) => {
                scope.tell(&Event::Note("the certificates were read anew, since their files have changed"));
                current.config = Arc::new(anew);
            }
            Err(error) => {
                let about = "the certificates cannot be read anew, and the old ones stay";
                scope.tell(&Event::Trouble { peer: None, error: &Error::new(Kind::File, about).because(error) });
            }
        }
        current.config.clone()
    }
}

/// What the address asks for.
struct Wanted {
    scheme: String,
    certificates: Certificates,
    client_ca: Option<PathBuf>,
    alpn: Vec<Vec<u8>>,
    versions: Vec<&'static SupportedProtocolVersion>,
    key_log: Arc<dyn KeyLog>,
}

/// Where our certificates come from.
enum Certificates {
    Files(Vec<Pair>),
    Own(Own),
}

impl Wanted {
    fn of(at: &Address, alpn: &[&str], scope: &Scope) -> Result<(Self, Vec<String>)> {
        let pairs = Pair::of(at)?;
        let (certificates, notes) = if pairs.is_empty() {
            let (own, note) = own::own(scope)?;
            (Certificates::Own(own), vec![note])
        } else {
            (Certificates::Files(pairs), Vec::new())
        };
        let client_ca = at.options.text("client-ca").map(PathBuf::from);
        let (alpn, versions, key_log) = (protocols(at, alpn), versions(at)?, keys::log(scope));
        Ok((Self { scheme: at.scheme.clone(), certificates, client_ca, alpn, versions, key_log }, notes))
    }

    /// What its files are now.
    fn stamp(&self) -> Stamp {
        let ours: Vec<&Path> = match &self.certificates {
            Certificates::Files(pairs) => pairs.iter().flat_map(Pair::paths).collect(),
            Certificates::Own(Own::Kept(file)) => vec![file],
            Certificates::Own(Own::Here(_)) => Vec::new(),
        };
        Stamp::of(ours.into_iter().chain(self.client_ca.as_deref()))
    }

    /// What there is to go on with where the files have changed.
    fn changed(&self, known: &Stamp) -> Option<(Stamp, Result<ServerConfig>)> {
        if let Certificates::Own(Own::Kept(file)) = &self.certificates
            && let Err(error) = own::renew(file)
        {
            return Some((self.stamp(), Err(error))).filter(|(stamp, _)| stamp != known);
        }
        // Taken before they are read: what changes in between is seen at the next look.
        let stamp = self.stamp();
        (stamp != *known).then(|| (stamp, self.config()))
    }

    /// Tickets and sessions are new with it: who was let in by other authorities than those of now has to ask again.
    fn config(&self) -> Result<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&self.versions)
            .map_err(|error| tls("cannot set up TLS", error))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(path)?), provider()).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| tls("client-ca cannot verify anybody", error))?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(self.by_name()?));
        config.alpn_protocols.clone_from(&self.alpn);
        // All that we speak is strong; scanners ask that the choice be ours all the same.
        config.ignore_client_order = true;
        config.key_log = self.key_log.clone();
        config.ticketer = Ticketer::new().map_err(|error| tls("cannot make session tickets", error))?;
        Ok(config)
    }

    fn by_name(&self) -> Result<ByName> {
        let certified = |(chain, key): Chain, whence: &str| {
            let certified = CertifiedKey::from_der(chain, key, &provider());
            certified.map(Arc::new).map_err(|error| tls(format!("{whence} do not make an identity"), error))
        };
        let all = match &self.certificates {
            Certificates::Files(pairs) => pairs.iter().map(|pair| certified(pair.read()?, &pair.named())).collect::<Result<_>>()?,
            Certificates::Own(Own::Kept(file)) => {
                let pair = Pair::in_one(file.clone());
                vec![certified(pair.read()?, &pair.named())?]
            }
            Certificates::Own(Own::Here((chain, key))) => vec![certified((chain.clone(), key.clone_key()), "our own certificate and key")?],
        };
        Ok(ByName(all))
    }
}

/// Chooses among our certificates: the first that has the name that the client asks for (RFC 9525), and a key that it
/// can do with. For another name it is the first of all.
#[derive(Debug)]
struct ByName(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let suits = |certified: &&Arc<CertifiedKey>| certified.key.choose_scheme(hello.signature_schemes()).is_some();
        let named = |certified: &&Arc<CertifiedKey>| name.as_ref().is_some_and(|name| has_name(certified, name));
        let mut fitting = self.0.iter().filter(suits);
        let first = fitting.clone().next().or(self.0.first());
        fitting.find(named).or(first).cloned()
    }
}

fn has_name(certified: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let parsed = certified.cert.first().and_then(|cert| ParsedCertificate::try_from(cert).ok());
    parsed.is_some_and(|parsed| verify_server_name(&parsed, name).is_ok())
}
