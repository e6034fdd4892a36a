//! Our own certificate: made once, kept, and made anew from the same key before it expires.
//!
//! Clients trust it by the fingerprint of that key, which stays. So the certificate itself may have a short life, as those
//! of others have.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use etcetera::BaseStrategy;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};

use super::{
    certificate,
    files::{Chain, Pair},
    tls,
};
use crate::{
    error::{Error, Kind, Result},
    scope::Scope,
};

/// How long a certificate lives: under 366 days, which is what the authorities' own may have.
const LIFE: Duration = Duration::from_hours(365 * 24);

/// How long before its end it is made anew.
const LEFT: Duration = Duration::from_hours(30 * 24);

/// How long before now it begins, for clocks that are behind.
const SLACK: Duration = Duration::from_hours(1);

/// Where our certificate is.
pub(super) enum Own {
    /// In a file, which stays.
    Kept(PathBuf),
    /// Nowhere, since nothing could be kept: it is for this run alone.
    Here(Chain),
}

/// The certificate that was made for this user, made now if there is none, and what to say about it.
pub(super) fn own(scope: &Scope) -> Result<(Own, String)> {
    let (own, chain, whence) = match kept(scope) {
        Ok((file, chain)) => (Own::Kept(file.clone()), chain, format!("kept in {}", file.display())),
        Err(error) => {
            let pem = make().map_err(|error| tls("cannot make a certificate", error))?;
            let chain = parse(&pem).map_err(|error| tls("cannot read our own certificate", error))?;
            let again = (chain.0.clone(), chain.1.clone_key());
            (Own::Here(again), chain, format!("for this run alone ({error})"))
        }
    };
    let pin = chain.0.first().and_then(|cert| certificate::public_key(cert)).map(certificate::fingerprint);
    let note = format!("a certificate of our own, {whence}: clients trust it with ?pin={}", pin.unwrap_or_default());
    Ok((own, note))
}

fn kept(scope: &Scope) -> Result<(PathBuf, Chain)> {
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
        let about = || format!("cannot keep a certificate in {}", folder.display());
        let pem = make().map_err(|error| tls(about(), error))?;
        let made =
            DirBuilder::new().recursive(true).mode(0o700).create(&folder).and_then(|()| keep(&file, &pem, false));
        made.map_err(|error| Error::io(about(), error).of(Kind::File))?;
    }
    renew(&file)?;
    let chain = Pair::in_one(file.clone()).read()?;
    Ok((file, chain))
}

/// Makes the certificate in that file anew from its key, if it expires soon.
pub(super) fn renew(file: &Path) -> Result<()> {
    let about = || format!("cannot make the certificate in {} anew", file.display());
    let (chain, key) = Pair::in_one(file.to_owned()).read()?;
    let until = chain.first().and_then(|cert| certificate::read(cert)).map(|cert| cert.until);
    if until.is_none_or(|until| until > SystemTime::now() + LEFT) {
        return Ok(());
    }
    let pem = KeyPair::try_from(&key).and_then(|key| certified(&key)).map_err(|error| tls(about(), error))?;
    keep(file, &pem, true).map_err(|error| Error::io(about(), error).of(Kind::File))
}

fn make() -> Result<String, rcgen::Error> {
    certified(&KeyPair::generate()?)
}

/// That key, and a certificate for it with this machine's own names, as PEM.
fn certified(key: &KeyPair) -> Result<String, rcgen::Error> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.extend(
        fs::read_to_string("/etc/hostname").ok().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()),
    );
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "hullo on this machine");
    let begin = SystemTime::now() - SLACK;
    (params.not_before, params.not_after) = (begin.into(), (begin + LIFE).into());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(key.serialize_pem() + &params.self_signed(key)?.pem())
}

fn parse(pem: &str) -> Result<Chain, pem::Error> {
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>()?;
    Ok((chain, PrivateKeyDer::from_pem_slice(pem.as_bytes())?))
}

/// Writes a file that only the user can read. Where it must not `replace` one, and two processes make it at once, one's
/// stays.
fn keep(file: &Path, pem: &str, replace: bool) -> io::Result<()> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let draft = file.with_extension(format!("{}-{}.tmp", std::process::id(), NEXT.fetch_add(1, Relaxed)));
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    out.write_all(pem.as_bytes())?;
    out.sync_all()?;
    if replace {
        return fs::rename(&draft, file);
    }
    let linked = fs::hard_link(&draft, file);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::date_time_ymd;

    use super::*;

    fn key_of(file: &Path) -> String {
        let (chain, _) = Pair::in_one(file.to_owned()).read().unwrap();
        certificate::fingerprint(certificate::public_key(&chain[0]).unwrap())
    }

    #[test]
    fn it_is_made_anew_from_the_same_key_before_it_expires() {
        let folder = std::env::temp_dir().join(format!("hullo-own-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("identity.pem");
        keep(&file, &make().unwrap(), false).unwrap();
        let (made, key) = (fs::read(&file).unwrap(), key_of(&file));
        renew(&file).unwrap();
        assert_eq!(fs::read(&file).unwrap(), made, "it is new enough");
        // The next one to make one finds this one.
        keep(&file, &make().unwrap(), false).unwrap();
        assert_eq!(fs::read(&file).unwrap(), made, "it was there first");

        let pair = KeyPair::try_from(&Pair::in_one(file.clone()).read().unwrap().1).unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(2020, 1, 1);
        keep(&file, &(pair.serialize_pem() + &params.self_signed(&pair).unwrap().pem()), true).unwrap();
        renew(&file).unwrap();
        let (chain, _) = Pair::in_one(file.clone()).read().unwrap();
        let until = certificate::read(&chain[0]).unwrap().until;
        assert!(until > SystemTime::now() + LEFT && until < SystemTime::now() + LIFE);
        assert_eq!(key_of(&file), key);
        fs::remove_dir_all(&folder).unwrap();
    }
}
