//! What is wrong with the certificates that a server shows, in words.
//!
//! Whether it is trusted is decided elsewhere, and stops at the first thing that is wrong; who has to mend it wants to
//! know all of them.

use std::time::{Duration, SystemTime};

use rustls::{
    CertificateError as C, Error as Rustls,
    client::verify_server_name,
    pki_types::{CertificateDer, ServerName},
    server::ParsedCertificate,
};
use time::{Date, OffsetDateTime};

use super::{certificate, reasons};
use crate::watch::{Certificate, Fault, Shown};

/// A certificate that ends sooner than this is one to renew.
const SOON: Duration = Duration::from_hours(14 * 24);

/// How it was decided whom to trust.
#[derive(Clone, Copy)]
pub(super) enum Verdict<'a> {
    /// An authority vouches for it.
    Verified,
    /// It is the one that was asked for.
    Pinned,
    /// Nobody has looked at it.
    Unasked,
    /// It was refused.
    Refused(&'a Rustls),
}

/// What the server of that name has shown, and what is wrong with it.
pub(super) fn shown(chain: &[CertificateDer<'_>], name: &ServerName<'_>, verdict: Verdict<'_>) -> Shown {
    let certificates = read(chain);
    let mut faults = Vec::new();
    if !matches!(verdict, Verdict::Pinned) {
        faults.extend(of_name(chain, &certificates, name));
        faults.extend(of_authority(&certificates, verdict));
    }
    faults.extend(of_each(&certificates));
    faults.extend(of_order(&certificates));
    faults.sort_by_key(|fault| !fault.grave);
    Shown { chain: certificates, faults }
}

/// What is wrong with our own, whatever its clients trust.
pub(super) fn of_ours(chain: &[CertificateDer<'_>]) -> Vec<Fault> {
    let certificates = read(chain);
    of_each(&certificates).into_iter().chain(of_order(&certificates)).collect()
}

fn read(chain: &[CertificateDer<'_>]) -> Vec<Certificate> {
    chain.iter().filter_map(|cert| certificate::read(cert)).collect()
}

fn of_each(certificates: &[Certificate]) -> Vec<Fault> {
    let now = SystemTime::now();
    let mut faults = Vec::new();
    for (at, certificate) in certificates.iter().enumerate() {
        // An authority's signature of itself proves nothing, whatever it is made with.
        let proven = at == 0 || !certificate.is_self_signed();
        let found =
            of_dates(certificate, now).into_iter().chain(of_key(certificate)).chain(of_signature(certificate, proven));
        let whose = if at == 0 { "it".to_owned() } else { format!("'{}', which vouches for it,", certificate.subject) };
        faults.extend(found.map(|(grave, words)| Fault { grave, words: format!("{whose} {words}") }));
    }
    faults
}

fn of_name(chain: &[CertificateDer<'_>], certificates: &[Certificate], name: &ServerName<'_>) -> Option<Fault> {
    let parsed = ParsedCertificate::try_from(chain.first()?).ok()?;
    if verify_server_name(&parsed, name).is_ok() {
        return None;
    }
    let names = &certificates.first()?.names;
    let words = if names.is_empty() {
        "it has no names: a common name alone does not count".to_owned()
    } else {
        format!("it is for {}, and not for {}", names.join(", "), name.to_str())
    };
    Some(Fault { grave: true, words })
}

fn of_authority(certificates: &[Certificate], verdict: Verdict<'_>) -> Option<Fault> {
    let (first, last) = (certificates.first()?, certificates.last()?);
    let alone = certificates.len() == 1;
    let words = match verdict {
        Verdict::Refused(Rustls::InvalidCertificate(C::UnknownIssuer)) | Verdict::Unasked
            if alone && first.is_self_signed() =>
        {
            "it is self-signed: nobody else vouches for it".to_owned()
        }
        Verdict::Refused(Rustls::InvalidCertificate(reason)) => match reason {
            C::UnknownIssuer if last.is_self_signed() => {
                format!("its chain ends at '{}', which is no authority that is trusted here", last.subject)
            }
            C::UnknownIssuer if alone => format!(
                "it comes alone: either the server leaves out the certificate of '{0}' in between, or '{0}' is no authority that is trusted here",
                last.issuer
            ),
            C::UnknownIssuer => {
                format!("its chain ends before '{}', which is no authority that is trusted here", last.issuer)
            }
            C::BadSignature => "it was not signed by whom it names".to_owned(),
            C::InvalidPurpose | C::InvalidPurposeContext { .. } => "it is not for servers".to_owned(),
            // Of these more is said elsewhere.
            C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. } => return None,
            C::NotValidForName | C::NotValidForNameContext { .. } => return None,
            other => format!("it is refused: {}", reasons::of_refusal(other)),
        },
        _ => return None,
    };
    Some(Fault { grave: true, words })
}

fn of_dates(certificate: &Certificate, now: SystemTime) -> Option<(bool, String)> {
    let days = |from: SystemTime, to: SystemTime| to.duration_since(from).unwrap_or_default().as_secs() / 86_400;
    if certificate.until < now {
        Some((true, format!("expired on {}, {} days ago", date(certificate.until), days(certificate.until, now))))
    } else if certificate.from > now {
        Some((true, format!("is not valid before {}: is this machine's clock right?", date(certificate.from))))
    } else if certificate.until < now + SOON {
        Some((false, format!("expires in {} days, on {}", days(now, certificate.until), date(certificate.until))))
    } else {
        None
    }
}

/// The day, as people write it who sort it.
pub(super) fn date(at: SystemTime) -> Date {
    OffsetDateTime::from(at).date()
}

fn of_key(certificate: &Certificate) -> Option<(bool, String)> {
    let least = match certificate.key.as_str() {
        "RSA" => 2048,
        key if key.starts_with("ECDSA") => 256,
        _ => return None,
    };
    (certificate.bits < least)
        .then(|| (true, format!("has a weak key: {} with {} bits", certificate.key, certificate.bits)))
}

fn of_signature(certificate: &Certificate, proven: bool) -> Option<(bool, String)> {
    let weak = ["MD5", "SHA-1"].iter().any(|hash| certificate.signature.ends_with(hash));
    (proven && weak).then(|| (true, format!("has a weak signature: {}", certificate.signature)))
}

/// Each is to be followed by the one that vouches for it (RFC 5246, section 7.4.2), though many clients find their way.
fn of_order(certificates: &[Certificate]) -> Option<Fault> {
    let wrong = certificates.windows(2).find(|pair| pair[0].issuer != pair[1].subject)?;
    let words = format!("'{}' is followed by '{}', which does not vouch for it", wrong[0].subject, wrong[1].subject);
    Some(Fault { grave: false, words })
}
