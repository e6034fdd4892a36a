//! The PEM files that an address names, and whether they have changed since.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::tls;
use crate::{
    address::Address,
    error::{Error, Kind, Result},
};

/// A certificate with those that vouch for it, and its private key.
pub(super) type Chain = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The two files of one certificate, which may be the same.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    cert: PathBuf,
    key: PathBuf,
}

impl Pair {
    /// The files that `cert` and `key` name, which are lists with commas.
    pub(super) fn of(address: &Address) -> Result<Vec<Self>> {
        let list = |name| address.options.text(name).map(|list| list.split(',').map(PathBuf::from).collect::<Vec<_>>());
        let (certs, keys) = match (list("cert"), list("key")) {
            (None, None) => return Ok(Vec::new()),
            (None, Some(_)) => return Err(Error::usage(format!("{} has a key but no cert", address.bare()))),
            (Some(certs), None) => (certs.clone(), certs),
            (Some(certs), Some(keys)) => (certs, keys),
        };
        if certs.len() != keys.len() {
            let about = format!("{} has {} files in cert, and {} in key", address.bare(), certs.len(), keys.len());
            return Err(Error::usage(about).hint("name them in the same order: ?cert=a.pem,b.pem&key=a.key,b.key"));
        }
        Ok(certs.into_iter().zip(keys).map(|(cert, key)| Self { cert, key }).collect())
    }

    pub(super) fn in_one(file: PathBuf) -> Self {
        Self { cert: file.clone(), key: file }
    }

    pub(super) fn read(&self) -> Result<Chain> {
        Ok((certificates(&self.cert)?, private_key(&self.key)?))
    }

    /// The two files in words.
    pub(super) fn named(&self) -> String {
        if self.cert == self.key {
            return self.cert.display().to_string();
        }
        format!("{} and {}", self.cert.display(), self.key.display())
    }

    pub(super) fn paths(&self) -> [&Path; 2] {
        [&self.cert, &self.key]
    }
}

/// What some files were when they were looked at: another one means that there is something new to read.
///
/// A file that is put in another's place, or behind the same symbolic link, is another file; one that is written in place
/// has another time of change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp(Vec<Option<[i128; 5]>>);

impl Stamp {
    pub(super) fn of<'a>(files: impl IntoIterator<Item = &'a Path>) -> Self {
        let one = |file| {
            let facts = fs::metadata(file).ok()?;
            let (device, inode, size) = (facts.dev().into(), facts.ino().into(), facts.size().into());
            Some([device, inode, size, facts.ctime().into(), facts.ctime_nsec().into()])
        };
        Self(files.into_iter().map(one).collect())
    }
}

/// The authorities in a PEM file.
pub(super) fn roots(path: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for cert in certificates(path)? {
        roots
            .add(cert)
            .map_err(|error| tls(format!("a certificate in {} cannot be an authority", path.display()), error))?;
    }
    Ok(roots)
}

pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let about = || format!("cannot read the certificates in {}", path.display());
    let read = fs::read(path).map_err(|error| Error::io(about(), error).of(Kind::File))?;
    let certs: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read).collect();
    let certs = certs.map_err(|error| Error::new(Kind::File, about()).because(error))?;
    if certs.is_empty() {
        return Err(Error::new(Kind::File, about())
            .because("there is none")
            .hint("the file must be PEM, with BEGIN CERTIFICATE in it"));
    }
    Ok(certs)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let about = || format!("cannot read the private key in {}", path.display());
    let read = fs::read(path).map_err(|error| Error::io(about(), error).of(Kind::File))?;
    // What is wrong with a key is said without a byte of it.
    PrivateKeyDer::from_pem_slice(&read).map_err(|_| {
        Error::new(Kind::File, about())
            .because("there is none")
            .hint("the file must be PEM, with BEGIN PRIVATE KEY in it, and not encrypted")
    })
}
