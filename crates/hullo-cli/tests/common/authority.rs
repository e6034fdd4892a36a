//! Authorities and certificates of the tests' own.

use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::Home;

/// One day.
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// Somebody who vouches for others.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What a certificate is to be.
pub(crate) struct Wanted<'a> {
    pub(crate) names: &'a [&'a str],
    pub(crate) from: SystemTime,
    pub(crate) until: SystemTime,
}

/// A certificate and its key, as PEM.
pub(crate) struct Issued {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    /// One that vouches for itself.
    pub(crate) fn root(name: &str) -> Self {
        Self(CertifiedIssuer::self_signed(authority(name), KeyPair::generate().unwrap()).unwrap())
    }

    /// One that this one vouches for.
    pub(crate) fn intermediate(&self, name: &str) -> Self {
        Self(CertifiedIssuer::signed_by(authority(name), KeyPair::generate().unwrap(), &*self.0).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn issue(&self, wanted: &Wanted<'_>) -> Issued {
        let key = KeyPair::generate().unwrap();
        Issued { cert: params(wanted).signed_by(&key, &*self.0).unwrap().pem(), key: key.serialize_pem() }
    }

    /// The two files of a good certificate for these names.
    pub(crate) fn files(&self, home: &Home, names: &[&str]) -> (String, String) {
        self.issue(&good(names)).files(home, names[0])
    }
}

impl Issued {
    pub(crate) fn files(&self, home: &Home, name: &str) -> (String, String) {
        (home.file(&format!("{name}.pem"), &self.cert), home.file(&format!("{name}.key"), &self.key))
    }
}

/// A certificate that nobody else vouches for.
pub(crate) fn self_signed(wanted: &Wanted<'_>) -> Issued {
    let key = KeyPair::generate().unwrap();
    Issued { cert: params(wanted).self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

/// One as `openssl req -x509` makes it, which says that it may vouch for others.
pub(crate) fn as_openssl_makes_it(names: &[&str]) -> Issued {
    let key = KeyPair::generate().unwrap();
    let mut params = params(&good(names));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Issued { cert: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

/// What is good for now.
pub(crate) fn good<'a>(names: &'a [&'a str]) -> Wanted<'a> {
    Wanted { names, from: SystemTime::now() - DAY, until: SystemTime::now() + 90 * DAY }
}

fn params(wanted: &Wanted<'_>) -> CertificateParams {
    let mut params = CertificateParams::new(wanted.names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    params.distinguished_name.push(DnType::CommonName, format!("the one of {}", wanted.names.join(" ")));
    (params.not_before, params.not_after) = (wanted.from.into(), wanted.until.into());
    params
}

fn authority(name: &str) -> CertificateParams {
    let mut params = params(&good(&[]));
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}
