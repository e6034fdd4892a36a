//! Whom a client trusts: the system's authorities, given ones, one certificate, or anybody.

use std::{cell::RefCell, path::Path, sync::Arc};

use ::aws_lc_rs::digest::{SHA256, digest};
use rustls::{
    CertificateError, DigitallySignedStruct, Error as RustlsError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use super::{
    certificate::{self, fingerprint, public_key},
    files::{certificates, roots},
    judge::Verdict,
    provider, tls,
};
use crate::{
    address::Address,
    error::{Error, Kind, Result},
};

tokio::task_local! {
    /// What the server of this handshake has shown.
    static SHOWN: RefCell<Vec<CertificateDer<'static>>>;
}

/// A handshake, and the certificates that were shown in it, also to who then refused them.
///
/// A verifier belongs to many connections at once, and its word is all that is left of one that it refused: so what it
/// has seen is laid down where only the connection's own task finds it.
pub(super) async fn seen<T>(handshake: impl Future<Output = T>) -> (T, Vec<CertificateDer<'static>>) {
    let watched = async {
        let shaken = handshake.await;
        (shaken, SHOWN.with(RefCell::take))
    };
    SHOWN.scope(RefCell::default(), watched).await
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn parse_pin(pin: &str) -> Result<Vec<u8>> {
    let wrong = || Error::usage("the option pin takes sha256: and 64 hex digits (colons between them do not matter)");
    let hex: Vec<u8> = pin.strip_prefix("sha256:").ok_or_else(wrong)?.bytes().filter(|byte| *byte != b':').collect();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes: Option<Vec<u8>> = hex.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect();
    bytes.filter(|bytes| bytes.len() == 32).ok_or_else(wrong)
}

/// Whom the user trusts.
#[derive(Debug)]
pub(super) enum Trust {
    /// Authorities, and the very certificates that `ca` names.
    ///
    /// One that `openssl req -x509` makes says that it is an authority, and webpki takes none of those for a server's: so
    /// it is known by its bytes. Its name and dates are checked all the same.
    Authorities(Arc<WebPkiServerVerifier>, Vec<CertificateDer<'static>>),
    /// The one certificate, or the one key, that hashes to this.
    Pinned(Vec<u8>),
    /// Whoever answers.
    Anybody,
}

impl Trust {
    pub(super) fn of(to: &Address) -> Result<Self> {
        match (to.options.text("pin"), to.options.flag("insecure", false)) {
            (Some(pin), false) => return Ok(Self::Pinned(parse_pin(pin)?)),
            (None, true) => return Ok(Self::Anybody),
            (Some(_), true) => {
                return Err(Error::usage(format!("{} is both pinned and insecure: choose one", to.bare())));
            }
            (None, false) => {}
        }
        let file = to.options.text("ca").map(Path::new);
        let roots = file.map_or_else(|| Ok(system_roots()), roots)?;
        if roots.is_empty() {
            return Err(Error::new(Kind::Tls, format!("cannot verify {}: this system has no authorities", to.bare()))
                .hint("install ca-certificates, or trust one with ?ca=file.pem or ?pin=sha256:…"));
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| tls("the authorities cannot verify anybody", error))?;
        Ok(Self::Authorities(verifier, file.map_or_else(|| Ok(Vec::new()), certificates)?))
    }

    pub(super) fn why(&self) -> &'static str {
        match self {
            Self::Authorities(..) => "certificate verified",
            Self::Pinned(_) => "certificate is the pinned one",
            Self::Anybody => "certificate NOT VERIFIED",
        }
    }

    /// What that means for who looks at the certificates too.
    pub(super) fn verdict<'a>(&self, refused: Option<&'a RustlsError>) -> Verdict<'a> {
        match (refused, self) {
            (Some(refused), _) => Verdict::Refused(refused),
            (None, Self::Authorities(..)) => Verdict::Verified,
            (None, Self::Pinned(_)) => Verdict::Pinned,
            (None, Self::Anybody) => Verdict::Unasked,
        }
    }
}

fn vouches_for_itself(cert: &CertificateDer<'_>) -> bool {
    certificate::read(cert).is_some_and(|read| read.is_self_signed())
}

fn is_pinned(cert: &CertificateDer<'_>, pin: &[u8]) -> bool {
    let is = |bytes: &[u8]| digest(&SHA256, bytes).as_ref() == pin;
    is(cert) || public_key(cert).is_some_and(is)
}

/// Verifies a server as the user wants it. That it has its certificate's key is proven in any case.
#[derive(Debug)]
pub(super) struct Verifier(pub(super) Arc<Trust>);

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        cert: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        let shown = std::iter::once(cert).chain(chain).map(|cert| cert.clone().into_owned()).collect();
        // Outside of `seen` nobody asks for it.
        let _ = SHOWN.try_with(|seen| seen.replace(shown));
        match &*self.0 {
            Trust::Anybody => Ok(ServerCertVerified::assertion()),
            Trust::Pinned(pin) if is_pinned(cert, pin) => Ok(ServerCertVerified::assertion()),
            Trust::Pinned(_) => {
                Err(RustlsError::General(format!("its certificate is another one: {}", fingerprint(cert))))
            }
            Trust::Authorities(verifier, named) => match verifier.verify_server_cert(cert, chain, name, ocsp, now) {
                // Webpki looks at the dates before it comes to this; what it has not come to is the name.
                Err(RustlsError::InvalidCertificate(CertificateError::Other(_)))
                    if named.iter().any(|named| named == cert) =>
                {
                    verify_server_name(&ParsedCertificate::try_from(cert)?, name)?;
                    Ok(ServerCertVerified::assertion())
                }
                // Of one that is not named this is what matters, and not that it says it is an authority.
                Err(RustlsError::InvalidCertificate(CertificateError::Other(_))) if vouches_for_itself(cert) => {
                    Err(CertificateError::UnknownIssuer.into())
                }
                verified => verified,
            },
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        verify_tls12_signature(message, cert, signature, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        verify_tls13_signature(message, cert, signature, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_read_as_openssl_prints_them() {
        let plain = "sha256:".to_owned() + &"0a".repeat(32);
        let colons = "sha256:".to_owned() + &["0A"; 32].join(":");
        assert_eq!(parse_pin(&plain).unwrap(), parse_pin(&colons).unwrap());
        for wrong in ["0a", "sha256:0a", "sha256:zz", "md5:00"] {
            assert!(parse_pin(wrong).is_err(), "{wrong}");
        }
    }
}
