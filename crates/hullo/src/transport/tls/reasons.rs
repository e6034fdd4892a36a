//! Why a handshake failed, in words.

use std::{io, time::SystemTime};

use tokio_rustls::rustls::{AlertDescription as Alert, CertificateError as C, Error as Rustls, PeerIncompatible as P};

use super::judge;
use crate::{
    address::Address,
    error::{Error, Kind},
    watch::Certificate,
};

/// What a listener was trying.
pub(super) const HANDSHAKE: &str = "the TLS handshake failed";

/// What somebody speaks who speaks HTTP.
pub(super) const HTTP: &str = "plain HTTP";

/// What speaks there, by its first bytes, where that is not TLS: its records begin with a control character.
pub(super) fn what_speaks(first: &[u8]) -> Option<&'static str> {
    // Some servers answer a malformed request with the bare page.
    const WEB: &[&str] = &[
        "HTTP/1.",
        "<!DOCTYPE",
        "<html",
        "GET ",
        "HEAD ",
        "POST ",
        "PUT ",
        "PATCH ",
        "DELETE ",
        "OPTIONS ",
        "CONNECT ",
        "TRACE ",
        "PRI * ",
    ];
    let begins = |word: &&str| word.as_bytes().starts_with(first) || first.starts_with(word.as_bytes());
    match first {
        [] => None,
        _ if WEB.iter().any(begins) => Some(HTTP),
        [b'S', b'S', b'H', b'-', ..] => Some("SSH"),
        _ if first.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n' | b'\t')) => Some("plain text"),
        _ => None,
    }
}

/// The error of a client's handshake, with what to do about it: `first` are the bytes that came first, and `shown` is the
/// certificate that the server showed.
pub(super) fn of_server(
    about: String,
    error: io::Error,
    first: &[u8],
    shown: Option<&Certificate>,
    to: &Address,
) -> Error {
    let Some(reason) = error.get_ref().and_then(|inner| inner.downcast_ref::<Rustls>()) else {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Error::new(Kind::Cut, about).because("it closed the connection in the middle of the handshake");
        }
        return Error::io(about, error).of(Kind::Cut);
    };
    let wrong = Error::new(Kind::Tls, about);
    match reason {
        Rustls::InvalidCertificate(reason) => of_certificate(wrong, reason, shown),
        Rustls::InvalidMessage(_) => match what_speaks(first) {
            Some(HTTP) => wrong.because("it speaks plain HTTP, not TLS").hint("try http:// or ws://"),
            Some(what) => wrong.because(format!("it speaks {what}, not TLS")).hint("try tcp://"),
            None => wrong.because("it does not answer in TLS").hint("try tcp:// or http://"),
        },
        Rustls::General(said) if to.options.text("pin").is_some() => wrong
            .because(said.clone())
            .hint("if the server was set up anew, that is the pin to use now, once you have made sure"),
        Rustls::AlertReceived(alert) if wants_certificate(*alert) => of_alert(wrong, *alert),
        Rustls::AlertReceived(alert) => match alert {
            Alert::HandshakeFailure | Alert::InsufficientSecurity => {
                wrong.because("it has no cipher or key exchange in common with us, or wants a certificate of ours")
            }
            Alert::ProtocolVersion => wrong.because("it speaks no version of TLS that we do"),
            Alert::NoApplicationProtocol => wrong.because("it speaks none of the protocols that alpn offers"),
            Alert::UnrecognisedName => {
                wrong.because("it knows no server of that name").hint("ask for another one with ?sni=name")
            }
            _ => wrong.because(error),
        },
        Rustls::PeerIncompatible(P::ServerDoesNotSupportTls12Or13 | P::ServerTlsVersionIsDisabledByOurConfig) => wrong
            .because("it speaks no version of TLS that we do")
            .hint("TLS 1.2 and 1.3 are spoken here; ?tls=1.3 leaves out 1.2"),
        _ => wrong.because(error),
    }
}

/// The error of a listener's handshake.
pub(super) fn of_client(error: io::Error) -> Error {
    let Some(reason) = error.get_ref().and_then(|inner| inner.downcast_ref::<Rustls>()) else {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Error::new(Kind::Cut, HANDSHAKE).because("the client closed the connection in the middle of it");
        }
        return Error::io(HANDSHAKE, error).of(Kind::Cut);
    };
    let wrong = Error::new(Kind::Tls, HANDSHAKE);
    match reason {
        Rustls::NoCertificatesPresented => {
            wrong.because("the client showed no certificate, and client-ca asks for one")
        }
        Rustls::InvalidCertificate(C::UnknownIssuer) => {
            wrong.because("no authority of client-ca vouches for the client's certificate")
        }
        Rustls::InvalidCertificate(reason) => wrong.because(format!("the client's certificate is refused: {reason}")),
        Rustls::AlertReceived(alert) if wants_certificate(*alert) => {
            wrong.because(format!("the client does not trust our certificate ({alert:?})"))
        }
        Rustls::AlertReceived(alert) => wrong.because(format!("the client ended it ({alert:?})")),
        Rustls::PeerIncompatible(reason) => {
            let Some(why) = incompatible(reason) else { return wrong.because(error) };
            wrong.because(why)
        }
        Rustls::NoApplicationProtocol => wrong.because("the client speaks none of our protocols (alpn)"),
        _ => wrong.because(error),
    }
}

/// What a client lacks.
fn incompatible(reason: &P) -> Option<&'static str> {
    Some(match reason {
        P::Tls12NotOffered
        | P::Tls12NotOfferedOrEnabled
        | P::SupportedVersionsExtensionRequired
        // Which came with TLS 1.2.
        | P::SignatureAlgorithmsExtensionRequired => {
            "the client speaks no version of TLS that we do"
        }
        P::NoCipherSuitesInCommon => "the client has no cipher in common with us",
        P::NoKxGroupsInCommon | P::NamedGroupsExtensionRequired | P::KeyShareExtensionRequired => {
            "the client has no key exchange in common with us"
        }
        P::NoSignatureSchemesInCommon => "the client can verify none of our certificate's signatures",
        _ => return None,
    })
}

/// The error of a stream whose TLS broke after the handshake, as it does for a client whose certificate is refused.
pub(super) fn of_stream(error: io::Error) -> Error {
    let about = Error::new(Kind::Tls, "the other end ended the encryption");
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Rustls>()) {
        Some(Rustls::AlertReceived(alert)) if wants_certificate(*alert) => of_alert(about, *alert),
        _ => about.because(error),
    }
}

fn of_certificate(wrong: Error, reason: &C, shown: Option<&Certificate>) -> Error {
    match reason {
        C::UnknownIssuer => wrong
            .because("nobody that you trust vouches for its certificate")
            .hint("if it is your own, trust it with ?pin=sha256:… (the server prints it) or ?ca=file.pem"),
        C::NotValidForName | C::NotValidForNameContext { .. } => {
            let names = shown.filter(|shown| !shown.names.is_empty()).map(|shown| shown.names.join(", "));
            wrong
                .because(format!("its certificate is for another name: {}", names.as_deref().unwrap_or("it has none")))
                .hint("ask for the name that it has with ?sni=name, or trust this one certificate with ?pin=sha256:…")
        }
        C::Expired | C::ExpiredContext { .. } => {
            let own = shown.filter(|shown| shown.until < SystemTime::now());
            wrong.because(match own {
                Some(own) => format!("its certificate expired on {}", judge::date(own.until)),
                None => "a certificate that vouches for it has expired".to_owned(),
            })
        }
        C::NotValidYet | C::NotValidYetContext { .. } => {
            wrong.because("its certificate is not valid yet: is this machine's clock right?")
        }
        C::BadSignature => wrong.because("its certificate was not signed by whom it names"),
        C::BadEncoding => wrong.because("its certificate is malformed"),
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => wrong.because("its certificate is not for servers"),
        C::Revoked => wrong.because("its certificate was revoked"),
        _ => wrong.because(Rustls::InvalidCertificate(reason.clone())),
    }
}

/// Whether the other end refuses a certificate with that, or the lack of one.
fn wants_certificate(alert: Alert) -> bool {
    matches!(
        alert,
        Alert::CertificateRequired
            | Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
    )
}

fn of_alert(wrong: Error, alert: Alert) -> Error {
    let why = match alert {
        Alert::CertificateRequired | Alert::NoCertificate => "it wants a certificate of ours, and there is none",
        Alert::UnknownCA => "nobody that it trusts vouches for our certificate",
        Alert::CertificateExpired => "our certificate has expired",
        Alert::CertificateRevoked => "our certificate was revoked",
        _ => "it refuses our certificate, or the lack of one",
    };
    wrong.because(why).hint("it wants a certificate of ours that it trusts: ?cert=file.pem&key=file.key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_speaks_is_known_by_its_first_bytes() {
        for (first, what) in [
            (&b""[..], None),
            (b"\x16\x03\x01", None),
            (b"\x80\x2e\x01", None),
            (b"\x15\x03\x03\0\x02", None),
            (b"G", Some(HTTP)),
            (b"GET / H", Some(HTTP)),
            (b"HTTP/1.", Some(HTTP)),
            (b"<!DOCTY", Some(HTTP)),
            (b"SSH-2.0", Some("SSH")),
            (b"220 mai", Some("plain text")),
        ] {
            assert_eq!(what_speaks(first), what, "{first:?}");
        }
    }
}
