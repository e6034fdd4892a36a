//! Why a handshake failed, in words.

use std::{io, time::SystemTime};

use rustls::{AlertDescription as Alert, CertificateError as C, Error as Rustls, PeerIncompatible as P};

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
            _ => wrong.because(in_words(reason)),
        },
        Rustls::PeerIncompatible(P::ServerDoesNotSupportTls12Or13 | P::ServerTlsVersionIsDisabledByOurConfig) => wrong
            .because("it speaks no version of TLS that we do")
            .hint("TLS 1.2 and 1.3 are spoken here; ?tls=1.3 leaves out 1.2"),
        _ => wrong.because(in_words(reason)),
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
        Rustls::InvalidCertificate(reason) => {
            wrong.because(format!("the client's certificate is refused: {}", of_refusal(reason)))
        }
        Rustls::AlertReceived(alert) if wants_certificate(*alert) => {
            wrong.because(format!("the client does not trust our certificate ({})", of_alerts_name(*alert)))
        }
        Rustls::AlertReceived(alert) => wrong.because(format!("the client ended it ({})", of_alerts_name(*alert))),
        Rustls::PeerIncompatible(reason) => {
            let why = incompatible(reason).map_or_else(|| words(&format!("{reason:?}")), str::to_owned);
            wrong.because(why)
        }
        Rustls::NoApplicationProtocol => wrong.because("the client speaks none of our protocols (alpn)"),
        _ => wrong.because(in_words(reason)),
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
    let theirs = "the other end ended the encryption";
    let ours = Error::new(Kind::Tls, "we ended the encryption with the other end");
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Rustls>()) {
        Some(Rustls::AlertReceived(alert)) if wants_certificate(*alert) => {
            of_alert(Error::new(Kind::Tls, theirs), *alert)
        }
        Some(Rustls::AlertReceived(alert)) => Error::new(Kind::Tls, format!("{theirs} ({})", of_alerts_name(*alert))),
        Some(reason) => ours.because(in_words(reason)),
        None => ours.because(error),
    }
}

fn of_certificate(wrong: Error, reason: &C, shown: Option<&Certificate>) -> Error {
    match reason {
        C::UnknownIssuer => wrong
            .because(if shown.is_some_and(Certificate::is_self_signed) {
                "nobody that you trust vouches for its certificate: it is self-signed"
            } else {
                "nobody that you trust vouches for its certificate"
            })
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
        _ => wrong.because(format!("its certificate is refused: {}", of_refusal(reason))),
    }
}

/// What rustls says, in words: of the rarer things it has names alone.
pub(super) fn in_words(reason: &Rustls) -> String {
    match reason {
        Rustls::InvalidCertificate(reason) => format!("the certificate is refused: {}", of_refusal(reason)),
        Rustls::AlertReceived(alert) => format!("it ended the encryption ({})", of_alerts_name(*alert)),
        Rustls::PeerIncompatible(why) => format!("it cannot do what is needed ({})", words(&format!("{why:?}"))),
        Rustls::PeerMisbehaved(why) => format!("it breaks the rules of TLS ({})", words(&format!("{why:?}"))),
        Rustls::InvalidMessage(what) => format!("it sent a malformed message ({})", words(&format!("{what:?}"))),
        Rustls::InappropriateMessage { .. } | Rustls::InappropriateHandshakeMessage { .. } => {
            "it sent a message that is not due".to_owned()
        }
        Rustls::InconsistentKeys(_) => "the key is not the certificate's".to_owned(),
        Rustls::InvalidCertRevocationList(_) | Rustls::InvalidEncryptedClientHello(_) => words(&format!("{reason:?}")),
        // The others have sentences.
        _ => reason.to_string(),
    }
}

/// Why a certificate is refused, where that is rare.
pub(super) fn of_refusal(reason: &C) -> String {
    match reason {
        // What webpki says too is a name alone.
        C::Other(inner) => words(&inner.to_string()),
        _ => words(&format!("{reason:?}")),
    }
}

fn of_alerts_name(alert: Alert) -> String {
    words(&format!("{alert:?}"))
}

/// A name like `CaUsedAsEndEntity` as words, without the values behind it.
fn words(name: &str) -> String {
    let end = name.find(|c: char| !c.is_alphanumeric()).unwrap_or(name.len());
    let (mut words, mut small) = (String::new(), false);
    for c in name[..end].chars() {
        if c.is_uppercase() && small {
            words.push(' ');
        }
        small = !c.is_uppercase();
        words.extend(c.to_lowercase());
    }
    words
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
    use std::sync::Arc;

    use rustls::{OtherError, PeerMisbehaved};

    use super::*;

    #[test]
    fn no_name_of_a_library_reaches_a_person() {
        let inner = io::Error::other("CaUsedAsEndEntity");
        for (reason, words) in [
            (C::Other(OtherError(Arc::new(inner))).into(), "the certificate is refused: ca used as end entity"),
            (C::UnhandledCriticalExtension.into(), "the certificate is refused: unhandled critical extension"),
            (Rustls::AlertReceived(Alert::UnknownCA), "it ended the encryption (unknown ca)"),
            (
                PeerMisbehaved::TooMuchEarlyDataReceived.into(),
                "it breaks the rules of TLS (too much early data received)",
            ),
        ] {
            assert_eq!(in_words(&reason), words);
        }
    }

    #[test]
    fn who_ended_the_encryption_is_told() {
        for (reason, words) in [
            (Rustls::AlertReceived(Alert::RecordOverflow), "the other end ended the encryption (record overflow)"),
            (
                Rustls::AlertReceived(Alert::UnknownCA),
                "the other end ended the encryption: nobody that it trusts vouches for our certificate",
            ),
            (Rustls::DecryptError, "we ended the encryption with the other end: cannot decrypt peer's message"),
        ] {
            assert_eq!(of_stream(io::Error::new(io::ErrorKind::InvalidData, reason)).to_string(), words);
        }
    }

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
