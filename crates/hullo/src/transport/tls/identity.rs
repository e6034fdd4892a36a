//! The listener's end of a handshake, and its certificates, which are read anew when their files change.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustls::{CommonState, ProtocolVersion, ServerConfig, server::UnbufferedServerConnection};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{
    TlsStream, certificate,
    files::Stamp,
    handshake::Handshake,
    reasons, secured, tls,
    wanted::{Wanted, asked},
};
use crate::{
    address::Address,
    error::{Error, Kind, Result},
    io::linger,
    peer::{Peer, Tls},
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

/// The version that was agreed on, as all others write it.
fn version(state: &CommonState) -> Option<&'static str> {
    match state.protocol_version()? {
        ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
        ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
        _ => None,
    }
}

impl Identity {
    /// The identity that the address asks for; `alpn` are the protocols to agree on unless the address says others.
    pub(in crate::transport) fn of(at: &Address, alpn: &[&str], scope: &Scope) -> Result<Self> {
        let (wanted, mut notes) = Wanted::of(at, alpn, scope)?;
        let stamp = wanted.stamp();
        let current = Current { config: Arc::new(wanted.config()?), stamp, looked: Instant::now() };
        notes.extend(wanted.faults()?);
        Ok(Self { wanted: Arc::new(wanted), current: Mutex::new(current), notes })
    }

    /// Shakes hands with a client, in time. It is then known by name, where it showed a certificate.
    pub(in crate::transport) async fn accept(
        &self,
        fd: OwnedFd,
        peer: Peer,
        scope: &Scope,
    ) -> Result<(TlsStream, Peer)> {
        let accept = async {
            let mut stream = adopt(fd).map_err(|error| Error::io("cannot take the connection", error))?;
            let part = UnbufferedServerConnection::new(self.config(scope).await)
                .map_err(|error| tls(reasons::HANDSHAKE, error))?;
            let mut handshake = Handshake::new(part, &mut stream, self.wanted.longest());
            handshake.begin().await.map_err(reasons::of_client)?;
            if let Some(what) = reasons::what_speaks(&handshake.first) {
                return Err(self.refuse(what, stream).await);
            }
            let (shaken, sni) = asked(handshake.shake()).await;
            shaken.map_err(reasons::of_client)?;
            let done = handshake.done();
            Ok((stream, done, sni))
        };
        let (stream, done, sni) = tokio::select! {
            shaken = scope.in_time(|| reasons::HANDSHAKE.to_owned(), accept) => shaken?,
            // Nothing is under way yet that could be finished.
            () = scope.stopped() => return Err(Error::new(Kind::Cut, "the server ended before the TLS handshake did")),
        };
        let state: &CommonState = &done.part;
        let shown = state.peer_certificates().and_then(|chain| chain.first()).and_then(|cert| certificate::read(cert));
        let peer = peer.inside(Tls {
            version: version(state),
            alpn: state.alpn_protocol().map(Into::into),
            sni: sni.map(Into::into),
        });
        let peer = shown.as_ref().map_or_else(|| peer.clone(), |cert| peer.named(cert.name()));
        if scope.watched() {
            let trust = if shown.is_some() { "client certificate verified" } else { "no client certificate" };
            scope.tell(&Event::Admitted { peer: &peer, secured: &secured(state, trust) });
        }
        let stream = TlsStream::new(stream, done, false).map_err(|error| tls(reasons::HANDSHAKE, error))?;
        Ok((stream, peer))
    }

    /// Tells who does not begin with TLS, in their own words.
    async fn refuse(&self, what: &str, mut stream: TcpStream) -> Error {
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
        Error::new(Kind::Tls, reasons::HANDSHAKE).because(format!("the client speaks {what}, not TLS"))
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
        let Ok(Some((stamp, anew))) = tokio::task::spawn_blocking(move || wanted.changed(&stamp)).await else {
            return config;
        };
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
