//! The client's end of a handshake.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::{
    ClientConfig, CommonState, Error as Rustls,
    client::{Resumption, UnbufferedClientConnection},
    pki_types::ServerName,
};
use tokio::net::TcpStream;

use super::{
    TlsStream, certificate,
    files::{Pair, Stamp},
    handshake::{self, Handshake},
    judge, keys, protocols, provider, reasons, secured, tls,
    trust::{self, Trust, Verifier},
    versions,
};
use crate::{
    address::Address,
    error::{Error, Result},
    scope::Scope,
    watch::Event,
};

/// Puts TLS on a connection that we made.
pub(in crate::transport) async fn secure(
    mut stream: TcpStream,
    to: &Address,
    alpn: &[&str],
    scope: &Scope,
) -> Result<TlsStream> {
    let Setup { config, trust } = scope.kept::<Setups>().of(to, alpn, scope)?;
    let name = name(to)?;
    let about = || format!("cannot agree on encryption with {}", to.bare());
    let part = UnbufferedClientConnection::new(config, name.clone()).map_err(|error| tls(about(), error))?;
    let shake = async {
        let mut handshake = Handshake::new(part, &mut stream, handshake::LONG);
        let (shaken, chain) = trust::seen(handshake.shake()).await;
        let Err(error) = shaken else { return Ok(handshake.done()) };
        let refused = error.get_ref().and_then(|inner| inner.downcast_ref::<Rustls>());
        if scope.watched() && !chain.is_empty() {
            scope.tell(&Event::Shown(&judge::shown(&chain, &name, trust.verdict(refused))));
        }
        let shown = chain.first().and_then(|cert| certificate::read(cert));
        Err(reasons::of_server(about(), error, &handshake.first, shown.as_ref(), to))
    };
    let done = scope.in_time(about, shake).await?;
    if scope.watched() {
        let state: &CommonState = &done.part;
        let chain = state.peer_certificates().unwrap_or_default();
        scope.tell(&Event::Shown(&judge::shown(chain, &name, trust.verdict(None))));
        scope.tell(&Event::Secured(&secured(state, trust.why())));
    }
    TlsStream::new(stream, done, true).map_err(|error| tls(about(), error))
}

/// What was agreed on inside.
pub(in crate::transport) fn agreed(stream: &TlsStream) -> Option<Vec<u8>> {
    stream.alpn().map(<[u8]>::to_vec)
}

/// The name that is asked for, and that the server must prove.
fn name(to: &Address) -> Result<ServerName<'static>> {
    let host = match to.options.text("sni") {
        Some(name) => name,
        None if to.host.is_empty() => "127.0.0.1",
        None => &to.host,
    };
    ServerName::try_from(host.to_owned())
        .map_err(|error| Error::usage(format!("'{host}' is no name for a certificate")).because(error))
}

/// The set-ups of a scope, the last one first: with one come the sessions that can be resumed.
#[derive(Default)]
struct Setups(Mutex<Vec<(Wants, Setup)>>);

/// How many set-ups are kept.
const MOST: usize = 16;

#[derive(Clone)]
struct Setup {
    config: Arc<ClientConfig>,
    trust: Arc<Trust>,
}

/// All that makes one set-up another: a session is never resumed by who would not have trusted it, or shows another face.
#[derive(PartialEq, Eq)]
struct Wants {
    options: Vec<Option<String>>,
    alpn: Vec<Vec<u8>>,
    files: Stamp,
}

impl Wants {
    fn of(to: &Address, alpn: Vec<Vec<u8>>) -> Self {
        let text = |name: &str| to.options.text(name).map(str::to_owned);
        let options = ["ca", "cert", "insecure", "key", "pin", "resume", "tls"].map(text).to_vec();
        let files =
            ["ca", "cert", "key"].into_iter().filter_map(|name| to.options.text(name)).map(std::path::Path::new);
        Self { options, alpn, files: Stamp::of(files) }
    }
}

impl Setups {
    fn of(&self, to: &Address, alpn: &[&str], scope: &Scope) -> Result<Setup> {
        let wants = Wants::of(to, protocols(to, alpn));
        let mut setups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, setup)) = setups.iter().find(|(known, _)| *known == wants) {
            return Ok(setup.clone());
        }
        let setup = set_up(to, wants.alpn.clone(), scope)?;
        setups.insert(0, (wants, setup.clone()));
        setups.truncate(MOST);
        Ok(setup)
    }
}

fn set_up(to: &Address, alpn: Vec<Vec<u8>>, scope: &Scope) -> Result<Setup> {
    let trust = Arc::new(Trust::of(to)?);
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&versions(to)?)
        .map_err(|error| tls("cannot set up TLS", error))?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Verifier(trust.clone())));
    let mut config = match Pair::of(to)?.as_slice() {
        [] => builder.with_no_client_auth(),
        [pair] => {
            let (chain, key) = pair.read()?;
            let about = || format!("{} do not make an identity", pair.named());
            builder.with_client_auth_cert(chain, key).map_err(|error| tls(about(), error))?
        }
        _ => return Err(Error::usage(format!("{} has several certificates, and a client shows one", to.bare()))),
    };
    config.alpn_protocols = alpn;
    config.enable_secret_extraction = true;
    config.key_log = keys::log(scope);
    if !to.options.flag("resume", true) {
        config.resumption = Resumption::disabled();
    }
    Ok(Setup { config: Arc::new(config), trust })
}
