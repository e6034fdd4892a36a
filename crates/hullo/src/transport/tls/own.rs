//! Our own certificate: read from PEM files, or made once and kept.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use etcetera::BaseStrategy;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, date_time_ymd};
use tokio_rustls::rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::WebPkiClientVerifier,
};

use super::trust::fingerprint;
use crate::{
    address::Address,
    error::{Error, Kind, Result},
    scope::Scope,
};

pub(super) type Chain = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The configuration of a listener, and what a person should know about it.
pub(super) fn server_config(at: &Address, alpn: &[Vec<u8>], scope: &Scope) -> Result<(ServerConfig, Vec<String>)> {
    let mut notes = Vec::new();
    let (chain, key) = match files(at)? {
        Some(chain) => chain,
        None => {
            let (chain, whence) = own(scope)?;
            let print = chain.0.first().map(|cert| fingerprint(cert)).unwrap_or_default();
            notes.push(format!("a certificate of our own, {whence}: clients trust it with ?pin={print}"));
            chain
        }
    };
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| tls("cannot set up TLS", error))?;
    let builder = match at.options.text("client-ca") {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = roots(Path::new(path))?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(aws_lc_rs::default_provider()));
            builder.with_client_cert_verifier(verifier.build().map_err(|error| tls("client-ca cannot verify anybody", error))?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| tls("cert and key do not make an identity", error))?;
    config.alpn_protocols = alpn.to_vec();
    Ok((config, notes))
}

/// The identity in the files of `cert` and `key`, where the address names them.
pub(super) fn files(address: &Address) -> Result<Option<Chain>> {
    match (address.options.text("cert"), address.options.text("key")) {
        (None, None) => Ok(None),
        (Some(cert), key) => Ok(Some((certificates(Path::new(cert))?, private_key(Path::new(key.unwrap_or(cert)))?))),
        (None, Some(_)) => Err(Error::usage(format!("{} has a key but no cert", address.bare()))),
    }
}

/// The authorities in a PEM file.
pub(super) fn roots(path: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for cert in certificates(path)? {
        roots.add(cert).map_err(|error| tls(format!("a certificate in {} cannot be an authority", path.display()), error))?;
    }
    Ok(roots)
}

pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let about = || format!("cannot read the certificates in {}", path.display());
    let read = fs::read(path).map_err(|error| Error::io(about(), error).of(Kind::File))?;
    let certs: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read).collect();
    let certs = certs.map_err(|error| Error::new(Kind::File, about()).because(error))?;
    if certs.is_empty() {
        return Err(Error::new(Kind::File, about()).because("there is none").hint("the file must be PEM, with BEGIN CERTIFICATE in it"));
    }
    Ok(certs)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let about = || format!("cannot read the private key in {}", path.display());
    let read = fs::read(path).map_err(|error| Error::io(about(), error).of(Kind::File))?;
    // What is wrong with a key is said without a byte of it.
    PrivateKeyDer::from_pem_slice(&read).map_err(|_| {
        Error::new(Kind::File, about()).because("there is none").hint("the file must be PEM, with BEGIN PRIVATE KEY in it, and not encrypted")
    })
}

/// The certificate that was made for this user, made now if there is none, and what to say about it. Where nothing can be
/// kept it is for this run alone.
fn own(scope: &Scope) -> Result<(Chain, String)> {
    match kept(scope) {
        Ok((chain, file)) => Ok((chain, format!("kept in {}", file.display()))),
        Err(error) => {
            let pem = make().map_err(|error| tls("cannot make a certificate", error))?;
            let wrong = |error| tls("cannot read our own certificate", error as pem::Error);
            let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(wrong)?;
            let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(wrong)?;
            Ok(((chain, key), format!("for this run alone ({error})")))
        }
    }
}

fn kept(scope: &Scope) -> Result<(Chain, PathBuf)> {
    let folder = match scope.state() {
        Some(folder) => folder.clone(),
        None => {
            let base = etcetera::choose_base_strategy()
                .map_err(|error| Error::new(Kind::File, "there is no home folder").because(error))?;
            base.state_dir().unwrap_or_else(|| base.data_dir()).join("hullo")
        }
    };
    let file = folder.join("identity.pem");
    if !file.exists() {
        keep(&folder, &file)
            .map_err(|error| Error::io(format!("cannot keep a certificate in {}", folder.display()), error).of(Kind::File))?;
    }
    Ok(((certificates(&file)?, private_key(&file)?), file))
}

/// A certificate for this machine's own names, and its key, as PEM.
fn make() -> Result<String, rcgen::Error> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.extend(fs::read_to_string("/etc/hostname").ok().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()));
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "hullo on this machine");
    (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2046, 1, 1));
    let key = KeyPair::generate()?;
    Ok(key.serialize_pem() + &params.self_signed(&key)?.pem())
}

/// Keeps a new certificate in a file that only the user can read. If two processes do so at once, one's stays.
fn keep(folder: &Path, file: &Path) -> io::Result<()> {
    let pem = make().map_err(io::Error::other)?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let draft = folder.join(format!("identity.{}.tmp", std::process::id()));
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    out.write_all(pem.as_bytes())?;
    out.sync_all()?;
    let linked = fs::hard_link(&draft, file);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn tls(about: impl Into<std::borrow::Cow<'static, str>>, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Kind::Tls, about).because(error)
}
