//! Whom a client trusts: the system's authorities, given ones, one certificate, or anybody.

use std::{io, path::Path, sync::Arc};

use ::aws_lc_rs::digest::{SHA256, digest};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as RustlsError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier, verify_server_name,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use super::own::{certificates, files, roots, tls};
use crate::{
    address::Address,
    error::{Error, Kind, Result},
};

/// The fingerprint of a certificate, as `?pin=` takes it and `openssl x509 -fingerprint -sha256` prints it.
pub(super) fn fingerprint(cert: &CertificateDer<'_>) -> String {
    let hash = digest(&SHA256, cert);
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// The configuration of a client, and why it trusts.
pub(super) fn client_config(to: &Address, alpn: &[Vec<u8>]) -> Result<(ClientConfig, &'static str)> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| tls("cannot set up TLS", error))?;
    let trust = Trust::of(to, &provider)?;
    let why = trust.why();
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Verifier { trust, provider }));
    let mut config = match files(to)? {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            builder.with_client_auth_cert(chain, key).map_err(|error| tls("cert and key do not make an identity", error))?
        }
    };
    config.alpn_protocols = alpn.to_vec();
    Ok((config, why))
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
enum Trust {
    /// Authorities, and the very certificates that `ca` names.
    ///
    /// One that `openssl req -x509` makes says that it is an authority, and webpki takes none of those for a server's: so
    /// it is known by its bytes. Its name and dates are checked all the same.
    Authorities(Arc<WebPkiServerVerifier>, Vec<CertificateDer<'static>>),
    /// The one certificate that hashes to this.
    Pinned(Vec<u8>),
    /// Whoever answers.
    Anybody,
}

impl Trust {
    fn of(to: &Address, provider: &Arc<CryptoProvider>) -> Result<Self> {
        match (to.options.text("pin"), to.options.flag("insecure", false)) {
            (Some(pin), false) => return Ok(Self::Pinned(parse_pin(pin)?)),
            (None, true) => return Ok(Self::Anybody),
            (Some(_), true) => return Err(Error::usage(format!("{} is both pinned and insecure: choose one", to.bare()))),
            (None, false) => {}
        }
        let file = to.options.text("ca").map(Path::new);
        let roots = file.map_or_else(|| Ok(system_roots()), roots)?;
        if roots.is_empty() {
            return Err(Error::new(Kind::Tls, format!("cannot verify {}: this system has no authorities", to.bare()))
                .hint("install ca-certificates, or trust one with ?ca=file.pem or ?pin=sha256:…"));
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|error| tls("the authorities cannot verify anybody", error))?;
        Ok(Self::Authorities(verifier, file.map_or_else(|| Ok(Vec::new()), certificates)?))
    }

    fn why(&self) -> &'static str {
        match self {
            Self::Authorities(..) => "certificate verified",
            Self::Pinned(_) => "certificate is the pinned one",
            Self::Anybody => "certificate NOT VERIFIED",
        }
    }
}

/// Verifies a server as the user wants it. That it has its certificate's key is proven in any case.
#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        cert: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        match &self.trust {
            Trust::Anybody => Ok(ServerCertVerified::assertion()),
            Trust::Pinned(pin) if digest(&SHA256, cert).as_ref() == pin.as_slice() => Ok(ServerCertVerified::assertion()),
            Trust::Pinned(_) => Err(RustlsError::General(format!("its certificate is another one: {}", fingerprint(cert)))),
            Trust::Authorities(verifier, named) => match verifier.verify_server_cert(cert, chain, name, ocsp, now) {
                // Webpki looks at the dates before it comes to this; what it has not come to is the name.
                Err(RustlsError::InvalidCertificate(CertificateError::Other(_))) if named.iter().any(|named| named == cert) => {
                    verify_server_name(&ParsedCertificate::try_from(cert)?, name)?;
                    Ok(ServerCertVerified::assertion())
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
        verify_tls12_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        verify_tls13_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The error of a client's handshake, with what to do about it.
pub(super) fn explain(about: String, error: io::Error, to: &Address) -> Error {
    use CertificateError as C;
    let Some(reason) = error.get_ref().and_then(|inner| inner.downcast_ref::<RustlsError>()) else {
        return Error::io(about, error).of(Kind::Cut);
    };
    let wrong = Error::new(Kind::Tls, about);
    match reason {
        RustlsError::InvalidCertificate(C::UnknownIssuer) => wrong
            .because("nobody that you trust vouches for its certificate")
            .hint("if it is your own, trust it with ?pin=sha256:… (the server prints it) or ?ca=file.pem"),
        RustlsError::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => wrong
            .because("its certificate is for another name")
            .hint("ask for the name that it has with ?sni=name, or trust this one certificate with ?pin=sha256:…"),
        RustlsError::InvalidCertificate(C::Expired | C::ExpiredContext { .. }) => wrong.because("its certificate has expired"),
        RustlsError::InvalidCertificate(C::NotValidYet | C::NotValidYetContext { .. }) => {
            wrong.because("its certificate is not valid yet: is this machine's clock right?")
        }
        RustlsError::InvalidMessage(_) => wrong.because("it does not answer in TLS").hint("try tcp:// or http://"),
        RustlsError::General(said) if to.options.text("pin").is_some() => {
            wrong.because(said.clone()).hint("if the server was set up anew, that is the pin to use now, once you have made sure")
        }
        _ => wrong.because(error),
    }
}

/// The error of a stream whose TLS broke after the handshake, as it does for a client whose certificate is refused.
pub(super) fn broken(error: io::Error) -> Error {
    let reason = error.get_ref().and_then(|inner| inner.downcast_ref::<RustlsError>());
    let refused = matches!(reason, Some(RustlsError::AlertReceived(alert)) if format!("{alert:?}").contains("Certificate"));
    let error = Error::new(Kind::Tls, "the other end ended the encryption").because(error);
    if refused { error.hint("it wants a certificate of ours that it trusts: ?cert=file.pem&key=file.key") } else { error }
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
