//! What stands in a certificate (RFC 5280).
//!
//! It is read to be shown, and comes from whoever answers: nothing here trusts it, and nothing here is what trust rests
//! on, which is webpki's.

use std::{net::IpAddr, time::SystemTime};

use ::aws_lc_rs::digest::{SHA256, digest};
use time::{Date, Month};

use crate::watch::Certificate;

/// A fingerprint, as `?pin=` takes it.
pub(super) fn fingerprint(bytes: &[u8]) -> String {
    let hash = digest(&SHA256, bytes);
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// The public key of a certificate as it stands there, with its kind.
pub(super) fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    Some(Parts::of(certificate)?.key)
}

impl Certificate {
    /// What stands in a certificate (DER); `None` where it is none. Nothing of it is verified.
    pub fn read(certificate: &[u8]) -> Option<Self> {
        read(certificate)
    }
}

/// What stands in it; `None` where it is no certificate.
pub(super) fn read(certificate: &[u8]) -> Option<Certificate> {
    let parts = Parts::of(certificate)?;
    let (key, bits) = key(parts.key)?;
    let mut read = Certificate {
        subject: distinguished(parts.subject),
        issuer: distinguished(parts.issuer),
        names: Vec::new(),
        from: parts.from,
        until: parts.until,
        key,
        bits,
        signature: name_of(SIGNATURES, Der(parts.signature).tagged(OID)?),
        authority: false,
        fingerprint: fingerprint(certificate),
        key_fingerprint: fingerprint(parts.key),
    };
    for (_, extension) in Der(parts.extensions) {
        let mut extension = Der(extension);
        let oid = extension.tagged(OID)?;
        // Whether it is critical is of no interest to who only shows it.
        extension.tagged(BOOLEAN);
        let value = extension.tagged(OCTETS)?;
        match oid {
            SUBJECT_ALT_NAME => read.names = Der(Der(value).tagged(SEQUENCE)?).filter_map(alternative).collect(),
            BASIC_CONSTRAINTS => {
                read.authority = Der(Der(value).tagged(SEQUENCE)?).tagged(BOOLEAN).is_some_and(|is| is != [0])
            }
            _ => {}
        }
    }
    Some(read)
}

/// The parts of a certificate (RFC 5280, section 4.1), as they stand there.
struct Parts<'a> {
    signature: &'a [u8],
    issuer: &'a [u8],
    from: SystemTime,
    until: SystemTime,
    subject: &'a [u8],
    key: &'a [u8],
    extensions: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(certificate: &'a [u8]) -> Option<Self> {
        let mut outer = Der(Der(certificate).tagged(SEQUENCE)?);
        let mut inner = Der(outer.tagged(SEQUENCE)?);
        let signature = outer.tagged(SEQUENCE)?;
        inner.tagged(VERSION);
        inner.tagged(INTEGER)?;
        inner.tagged(SEQUENCE)?;
        let issuer = inner.tagged(SEQUENCE)?;
        let mut dates = Der(inner.tagged(SEQUENCE)?);
        let (from, until) = (date(dates.next()?)?, date(dates.next()?)?);
        let subject = inner.tagged(SEQUENCE)?;
        let before = inner.0;
        inner.tagged(SEQUENCE)?;
        let key = before.get(..before.len() - inner.0.len())?;
        let extensions = inner.find(|(tag, _)| *tag == EXTENSIONS).and_then(|(_, list)| Der(list).tagged(SEQUENCE));
        Some(Self { signature, issuer, from, until, subject, key, extensions: extensions.unwrap_or_default() })
    }
}

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const BMP_STRING: u8 = 0x1e;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

const SUBJECT_ALT_NAME: &[u8] = b"\x55\x1d\x11";
const BASIC_CONSTRAINTS: &[u8] = b"\x55\x1d\x13";

/// Names for object identifiers, which stand here as they are encoded.
type Names = &'static [(&'static [u8], &'static str)];

const SIGNATURES: Names = &[
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04", "RSA with MD5"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05", "RSA with SHA-1"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a", "RSA-PSS"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b", "RSA with SHA-256"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c", "RSA with SHA-384"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d", "RSA with SHA-512"),
    (b"\x2a\x86\x48\xce\x3d\x04\x01", "ECDSA with SHA-1"),
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x02", "ECDSA with SHA-256"),
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x03", "ECDSA with SHA-384"),
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x04", "ECDSA with SHA-512"),
    (b"\x2b\x65\x70", "Ed25519"),
    (b"\x2b\x65\x71", "Ed448"),
    (b"\x60\x86\x48\x01\x65\x03\x04\x03\x11", "ML-DSA-44"),
    (b"\x60\x86\x48\x01\x65\x03\x04\x03\x12", "ML-DSA-65"),
    (b"\x60\x86\x48\x01\x65\x03\x04\x03\x13", "ML-DSA-87"),
];

const RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
const ELLIPTIC: &[u8] = b"\x2a\x86\x48\xce\x3d\x02\x01";

/// Curves, and the bits of their keys.
const CURVES: &[(&[u8], &str, usize)] = &[
    (b"\x2a\x86\x48\xce\x3d\x03\x01\x01", "P-192", 192),
    (b"\x2a\x86\x48\xce\x3d\x03\x01\x07", "P-256", 256),
    (b"\x2b\x81\x04\x00\x0a", "secp256k1", 256),
    (b"\x2b\x81\x04\x00\x21", "P-224", 224),
    (b"\x2b\x81\x04\x00\x22", "P-384", 384),
    (b"\x2b\x81\x04\x00\x23", "P-521", 521),
];

/// What the parts of a name are called (RFC 4514, section 3).
const ATTRIBUTES: Names = &[
    (b"\x55\x04\x03", "CN"),
    (b"\x55\x04\x05", "serialNumber"),
    (b"\x55\x04\x06", "C"),
    (b"\x55\x04\x07", "L"),
    (b"\x55\x04\x08", "ST"),
    (b"\x55\x04\x09", "STREET"),
    (b"\x55\x04\x0a", "O"),
    (b"\x55\x04\x0b", "OU"),
    (b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01", "UID"),
    (b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19", "DC"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01", "emailAddress"),
];

fn name_of(names: Names, oid: &[u8]) -> String {
    names.iter().find(|(known, _)| *known == oid).map_or_else(|| dotted(oid), |(_, name)| (*name).to_owned())
}

/// An object identifier as people write it (X.690, section 8.19).
fn dotted(oid: &[u8]) -> String {
    let (mut numbers, mut number) = (Vec::new(), 0_u128);
    for byte in oid {
        number = (number << 7) | u128::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            numbers.push(std::mem::take(&mut number));
        }
    }
    let Some(first) = numbers.first_mut() else { return "unknown".to_owned() };
    let root = (*first / 40).min(2);
    *first -= root * 40;
    numbers.iter().fold(root.to_string(), |text, number| format!("{text}.{number}"))
}

/// The kind of a public key, and its size.
fn key(key: &[u8]) -> Option<(String, usize)> {
    let mut parts = Der(Der(key).tagged(SEQUENCE)?);
    let mut kind = Der(parts.tagged(SEQUENCE)?);
    let (oid, bits) = (kind.tagged(OID)?, parts.tagged(BITS)?);
    Some(match oid {
        RSA => {
            let modulus = Der(Der(bits.get(1..)?).tagged(SEQUENCE)?).tagged(INTEGER)?;
            let leading = modulus.iter().take_while(|byte| **byte == 0).count();
            let top = modulus.get(leading).map_or(0, |byte| byte.leading_zeros() as usize);
            ("RSA".to_owned(), ((modulus.len() - leading) * 8).saturating_sub(top))
        }
        ELLIPTIC => {
            let curve = kind.tagged(OID)?;
            let known = CURVES.iter().find(|(oid, ..)| *oid == curve);
            known.map_or_else(
                || (format!("ECDSA {}", dotted(curve)), 0),
                |(_, name, bits)| (format!("ECDSA {name}"), *bits),
            )
        }
        // Of the others the signature has the same name.
        _ => (name_of(SIGNATURES, oid), bits.len().saturating_sub(1) * 8),
    })
}

/// A distinguished name, the narrowest part first (RFC 4514).
fn distinguished(name: &[u8]) -> String {
    let parts = Der(name).filter(|(tag, _)| *tag == SET).filter_map(|(_, set)| {
        let mut part = Der(Der(set).tagged(SEQUENCE)?);
        let (oid, (tag, value)) = (part.tagged(OID)?, part.next()?);
        Some(format!("{}={}", name_of(ATTRIBUTES, oid), escaped(&text(tag, value))))
    });
    let parts: Vec<_> = parts.collect();
    parts.into_iter().rev().collect::<Vec<_>>().join(", ")
}

fn text(tag: u8, value: &[u8]) -> String {
    if tag != BMP_STRING {
        return String::from_utf8_lossy(value).into_owned();
    }
    let units: Vec<_> = value.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    String::from_utf16_lossy(&units)
}

fn escaped(text: &str) -> String {
    let special = |c| matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';');
    text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

/// One of the names that a certificate is good for (RFC 5280, section 4.2.1.6).
fn alternative((tag, value): (u8, &[u8])) -> Option<String> {
    match tag {
        // An address of mail, a name of a host, a URI.
        0x81 | 0x82 | 0x86 => Some(String::from_utf8_lossy(value).into_owned()),
        0x87 => match value.len() {
            4 => Some(IpAddr::from(<[u8; 4]>::try_from(value).ok()?).to_string()),
            16 => Some(IpAddr::from(<[u8; 16]>::try_from(value).ok()?).to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// A date in the one form that certificates may have (RFC 5280, section 4.1.2.5).
fn date((tag, value): (u8, &[u8])) -> Option<SystemTime> {
    let digits: Option<Vec<_>> = value.strip_suffix(b"Z")?.iter().map(|byte| char::from(*byte).to_digit(10)).collect();
    let digits = digits?;
    let two = |at: usize| Some(digits.get(at)? * 10 + digits.get(at + 1)?);
    let (year, at) = match (tag, digits.len()) {
        (UTC_TIME, 12) => (two(0)? + if two(0)? < 50 { 2000 } else { 1900 }, 2),
        (GENERALIZED_TIME, 14) => (two(0)? * 100 + two(2)?, 4),
        _ => return None,
    };
    let small = |at: usize| two(at).and_then(|number| u8::try_from(number).ok());
    let date =
        Date::from_calendar_date(i32::try_from(year).ok()?, Month::try_from(small(at)?).ok()?, small(at + 2)?).ok()?;
    Some(date.with_hms(small(at + 4)?, small(at + 6)?, small(at + 8)?).ok()?.assume_utc().into())
}

/// Values of DER (X.690), one after the other: their tags, and what is in them. It ends where it is malformed.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next value if it has that tag.
    fn tagged(&mut self, tag: u8) -> Option<&'a [u8]> {
        if self.0.first() == Some(&tag) { self.next().map(|(_, value)| value) } else { None }
    }
}

impl<'a> Iterator for Der<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[tag, first], rest) = self.0.split_first_chunk()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x83 => {
                let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_two_forms() {
        let at = |seconds| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        assert_eq!(date((UTC_TIME, b"700101000000Z")), Some(at(0)));
        assert_eq!(date((GENERALIZED_TIME, b"20000101000001Z")), Some(at(946_684_801)));
        assert!(date((GENERALIZED_TIME, b"99991231235959Z")).is_some());
        for wrong in [&b""[..], b"Z", b"7001010000Z", b"701301000000Z", b"700101000000+0000", b"70010100000xZ"] {
            assert_eq!(date((UTC_TIME, wrong)), None, "{wrong:?}");
        }
    }

    #[test]
    fn object_identifiers_are_written_with_dots() {
        assert_eq!(dotted(b"\x2a\x86\x48\xce\x3d\x03\x01\x07"), "1.2.840.10045.3.1.7");
        assert_eq!(dotted(b"\x88\x37\x03"), "2.999.3");
        assert_eq!(dotted(b""), "unknown");
    }

    /// Whoever answers may send anything.
    #[test]
    fn a_certificate_that_is_cut_or_changed_is_no_trouble() {
        let key = rcgen::KeyPair::generate().unwrap();
        let made = rcgen::CertificateParams::new(vec!["a.example".to_owned(), "::1".to_owned()])
            .unwrap()
            .self_signed(&key)
            .unwrap();
        let good = read(made.der()).unwrap();
        assert_eq!((good.names.join(" "), &*good.key, good.bits), ("a.example ::1".to_owned(), "ECDSA P-256", 256));
        assert_eq!(
            (good.subject.as_str(), good.signature.as_str()),
            ("CN=rcgen self signed cert", "ECDSA with SHA-256")
        );
        for at in 0..made.der().len() {
            assert_eq!(read(&made.der()[..at]), None, "cut at {at}");
            for with in [0, 0x7f, 0x80, 0x84, 0xff] {
                let mut changed = made.der().to_vec();
                changed[at] = with;
                read(&changed);
            }
        }
    }
}
