//! What a listener shows to its clients, and whom it asks for.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    KeyLog, ServerConfig, SupportedProtocolVersion,
    client::verify_server_name,
    crypto::aws_lc_rs::Ticketer,
    pki_types::ServerName,
    server::{ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};

use super::{
    files::{Chain, Pair, Stamp, roots},
    handshake, judge, keys,
    own::{self, Own},
    protocols, provider, tls, versions,
};
use crate::{
    address::Address,
    error::{Error, Result},
    scope::Scope,
};

tokio::task_local! {
    /// The name that the client of this handshake asks for.
    static ASKED: RefCell<Option<String>>;
}

/// A handshake, and the name that its client has asked for: rustls does not tell it afterwards to who takes its keys.
pub(super) async fn asked<T>(handshake: impl Future<Output = T>) -> (T, Option<String>) {
    let watched = async {
        let shaken = handshake.await;
        (shaken, ASKED.with(RefCell::take))
    };
    ASKED.scope(RefCell::default(), watched).await
}

/// What the address asks for.
pub(super) struct Wanted {
    /// What is spoken inside.
    pub(super) scheme: String,
    certificates: Certificates,
    client_ca: Option<PathBuf>,
    /// Whether who shows no certificate is let in too.
    strangers: bool,
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
    /// Also what a person should know about it.
    pub(super) fn of(at: &Address, alpn: &[&str], scope: &Scope) -> Result<(Self, Vec<String>)> {
        let pairs = Pair::of(at)?;
        let (certificates, notes) = if pairs.is_empty() {
            let (own, note) = own::own(scope)?;
            (Certificates::Own(own), vec![note])
        } else {
            (Certificates::Files(pairs), Vec::new())
        };
        let client_ca = at.options.text("client-ca").map(PathBuf::from);
        let strangers = match (at.options.text("client-auth"), &client_ca) {
            (None, _) | (Some("required"), Some(_)) => false,
            (Some("optional"), Some(_)) => true,
            (Some(_), Some(_)) => return Err(Error::usage("the option client-auth takes required or optional")),
            (Some(_), None) => {
                return Err(Error::usage(
                    "the option client-auth needs client-ca: whom are clients to be certified by?",
                ));
            }
        };
        let (alpn, versions, key_log) = (protocols(at, alpn), versions(at)?, keys::log(scope));
        let scheme = at.scheme.clone();
        Ok((Self { scheme, certificates, client_ca, strangers, alpn, versions, key_log }, notes))
    }

    /// What its files are now.
    pub(super) fn stamp(&self) -> Stamp {
        let ours: Vec<&Path> = match &self.certificates {
            Certificates::Files(pairs) => pairs.iter().flat_map(Pair::paths).collect(),
            Certificates::Own(Own::Kept(file)) => vec![file],
            Certificates::Own(Own::Here(_)) => Vec::new(),
        };
        Stamp::of(ours.into_iter().chain(self.client_ca.as_deref()))
    }

    /// What there is to go on with where the files have changed.
    pub(super) fn changed(&self, known: &Stamp) -> Option<(Stamp, Result<ServerConfig>)> {
        if let Certificates::Own(Own::Kept(file)) = &self.certificates
            && let Err(error) = own::renew(file)
        {
            return Some((self.stamp(), Err(error))).filter(|(stamp, _)| stamp != known);
        }
        // Taken before they are read: what changes in between is seen at the next look.
        let stamp = self.stamp();
        (stamp != *known).then(|| (stamp, self.config()))
    }

    /// What is wrong with the certificates that we were given, before a client finds out.
    pub(super) fn faults(&self) -> Result<Vec<String>> {
        let Certificates::Files(pairs) = &self.certificates else { return Ok(Vec::new()) };
        let mut faults = Vec::new();
        for pair in pairs {
            let (chain, _) = pair.read()?;
            let found = judge::of_ours(&chain).into_iter();
            faults.extend(found.map(|fault| format!("the certificate of {}: {}", pair.named(), fault.words)));
        }
        Ok(faults)
    }

    /// How much is held of a handshake: only who is asked for a certificate has much to say.
    pub(super) fn longest(&self) -> usize {
        if self.client_ca.is_some() { handshake::LONG } else { handshake::SHORT }
    }

    /// Tickets and sessions are new with it: who was let in by other authorities than those of now has to ask again.
    pub(super) fn config(&self) -> Result<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&self.versions)
            .map_err(|error| tls("cannot set up TLS", error))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(path)?), provider());
                let verifier = if self.strangers { verifier.allow_unauthenticated() } else { verifier };
                let wrong = |error| tls("client-ca cannot verify anybody", error);
                builder.with_client_cert_verifier(verifier.build().map_err(wrong)?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(self.by_name()?));
        config.alpn_protocols.clone_from(&self.alpn);
        // All that we speak is strong; scanners ask that the choice be ours all the same.
        config.ignore_client_order = true;
        config.enable_secret_extraction = true;
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
            Certificates::Files(pairs) => {
                pairs.iter().map(|pair| certified(pair.read()?, &pair.named())).collect::<Result<_>>()?
            }
            Certificates::Own(Own::Kept(file)) => {
                let pair = Pair::in_one(file.clone());
                vec![certified(pair.read()?, &pair.named())?]
            }
            Certificates::Own(Own::Here((chain, key))) => {
                vec![certified((chain.clone(), key.clone_key()), "our own certificate and key")?]
            }
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
        // Outside of `asked` nobody wants to know.
        let _ = ASKED.try_with(|asked| asked.replace(hello.server_name().map(str::to_owned)));
        if let [only] = self.0.as_slice() {
            return Some(only.clone());
        }
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
