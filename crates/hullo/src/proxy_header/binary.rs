//! Version 2: bytes, and fields of a type, a length and a value (TLVs) behind the addresses.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Header, LONGEST, Version, Whose, wrong};
use crate::{error::Result, peer::Tls};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The signature, the version and command, the family and protocol, and the length of the rest.
const FIXED: usize = 16;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

const ALPN: u8 = 0x01;
const AUTHORITY: u8 = 0x02;
const CRC32C: u8 = 0x03;
const SSL: u8 = 0x20;
const SSL_VERSION: u8 = 0x21;
const SSL_NAME: u8 = 0x22;

/// What the field of TLS says in its first byte: that there was TLS, and a certificate on this connection or another one
/// of its session.
const HAS_TLS: u8 = 0x01;
const HAS_CERTIFICATE: u8 = 0x02 | 0x04;

/// The names of versions, as OpenSSL and so all others have them.
const VERSIONS: &[&str] = &["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];

/// Whether these are all bytes of a header. The signature is right as far as it is there.
pub(super) fn is_whole(held: &[u8]) -> Result<bool> {
    let Some(&[command, protocol, high, low]) = held.get(SIGNATURE.len()..FIXED) else { return Ok(false) };
    if held.len() == FIXED {
        if !matches!(command, LOCAL | PROXY) {
            return Err(wrong(format!("its version and command are {command:#04x}, and not 0x20 or 0x21")));
        }
        if command == PROXY && (protocol >> 4 > 3 || protocol & 0xf > 2) {
            return Err(wrong(format!("its family and protocol are {protocol:#04x}, which is none")));
        }
    }
    let whole = FIXED + usize::from(u16::from_be_bytes([high, low]));
    match whole > LONGEST {
        true => Err(wrong(format!("it has {whole} bytes, and at most {LONGEST} are read"))),
        false => Ok(held.len() == whole),
    }
}

/// Reads a header that is whole.
pub(super) fn read(held: &[u8]) -> Result<Header> {
    let own = Header::own(Version::V2);
    // What else stands there is then not to be looked at.
    if held[SIGNATURE.len()] == LOCAL {
        return Ok(own);
    }
    let (protocol, body) = (held[SIGNATURE.len() + 1], &held[FIXED..]);
    let (whose, fields) = addresses(protocol, body).ok_or_else(|| wrong("it is too short for its addresses"))?;
    let mut header = Header { whose, ..own };
    let mut tls = Tls::default();
    let mut fields = Fields(fields);
    while let Some(field) = fields.next() {
        let (kind, value) = field?;
        match kind {
            ALPN => tls.alpn = tls.alpn.or_else(|| Some(value.into())),
            AUTHORITY => tls.sni = tls.sni.or(Some(as_text(value)?.into())),
            SSL => read_tls(value, &mut tls, &mut header)?,
            CRC32C => check(held, held.len() - fields.0.len() - value.len(), value)?,
            _ => {}
        }
    }
    header.tls = (tls != Tls::default()).then_some(tls);
    Ok(header)
}

/// The two addresses, and what stands behind them.
fn addresses(protocol: u8, body: &[u8]) -> Option<(Whose, &[u8])> {
    let datagrams = protocol & 0xf == 2;
    // Of an unspecified transport the addresses mean nothing either.
    let known = protocol & 0xf != 0;
    let port = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    Some(match protocol >> 4 {
        1 => {
            let (ends, fields) = body.split_at_checked(12)?;
            let end = |at: usize| Ipv4Addr::from([ends[at], ends[at + 1], ends[at + 2], ends[at + 3]]);
            let (source, destination) = (SocketAddr::from((end(0), port(8))), SocketAddr::from((end(4), port(10))));
            (if known { Whose::Client { source, destination, datagrams } } else { Whose::Unknown }, fields)
        }
        2 => {
            let (ends, fields) = body.split_at_checked(36)?;
            let end = |at: usize| <[u8; 16]>::try_from(&ends[at..at + 16]).map(Ipv6Addr::from).ok();
            let (source, destination) = (SocketAddr::from((end(0)?, port(32))), SocketAddr::from((end(16)?, port(34))));
            (if known { Whose::Client { source, destination, datagrams } } else { Whose::Unknown }, fields)
        }
        // The paths of two unix sockets on a machine that need not be this one.
        3 => (Whose::Unknown, body.split_at_checked(216)?.1),
        _ => (Whose::Unknown, body),
    })
}

/// The fields, one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u8, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let rest = std::mem::take(&mut self.0);
        let field = || {
            let (head, rest) = rest.split_at_checked(3)?;
            let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([head[1], head[2]])))?;
            Some((head[0], value, rest))
        };
        let Some((kind, value, rest)) = field() else { return Some(Err(wrong("a field reaches beyond its end"))) };
        self.0 = rest;
        Some(Ok((kind, value)))
    }
}

fn read_tls(value: &[u8], tls: &mut Tls, header: &mut Header) -> Result<()> {
    let Some((head, fields)) = value.split_at_checked(5) else { return Err(wrong("its field of TLS is too short")) };
    let verified = head[0] & HAS_CERTIFICATE != 0 && head[1..] == [0; 4];
    for field in Fields(fields) {
        let (kind, value) = field?;
        match kind {
            SSL_VERSION if head[0] & HAS_TLS != 0 => {
                tls.version = VERSIONS.iter().find(|version| version.as_bytes() == value).copied();
            }
            SSL_NAME if verified => header.name = Some(as_text(value)?.to_owned()),
            _ => {}
        }
    }
    Ok(())
}

fn as_text(value: &[u8]) -> Result<&str> {
    std::str::from_utf8(value).map_err(|_| wrong("a name in it is not UTF-8"))
}

/// Holds a header against its checksum, which stands at that place, and was made with zeros there (section 2.2.3).
fn check(held: &[u8], at: usize, value: &[u8]) -> Result<()> {
    let zeros = held.iter().enumerate().map(|(byte, bits)| if (at..at + 4).contains(&byte) { 0 } else { *bits });
    match value.try_into().is_ok_and(|sum: [u8; 4]| u32::from_be_bytes(sum) == crc32c(zeros)) {
        true => Ok(()),
        false => Err(wrong("its checksum is wrong: it was changed on its way")),
    }
}

/// The sum of RFC 4960, appendix B. It is of a few hundred bytes once in a connection: a table would only be longer.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    let one = |sum: u32, _| if sum & 1 == 1 { (sum >> 1) ^ 0x82f6_3b78 } else { sum >> 1 };
    !bytes.fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(byte), one))
}

/// The bytes of a header.
pub(super) fn written(header: &Header) -> Vec<u8> {
    let (command, protocol, mut body) = match &header.whose {
        Whose::Own => (LOCAL, 0, Vec::new()),
        Whose::Unknown => (PROXY, 0, Vec::new()),
        Whose::Client { source, destination, datagrams } => {
            let family = if source.is_ipv4() { 0x10 } else { 0x20 };
            (PROXY, family | if *datagrams { 2 } else { 1 }, ends(source, destination))
        }
    };
    if command == PROXY {
        write_fields(header, &mut body);
    }
    // What is too long for anybody to read is left out above.
    let length = u16::try_from(body.len()).unwrap_or_default().to_be_bytes();
    [SIGNATURE, &[command, protocol], &length, &body].concat()
}

fn ends(source: &SocketAddr, destination: &SocketAddr) -> Vec<u8> {
    let mut body = Vec::with_capacity(36);
    for end in [source, destination] {
        match end {
            SocketAddr::V4(end) => body.extend(end.ip().octets()),
            SocketAddr::V6(end) => body.extend(end.ip().octets()),
        }
    }
    body.extend(source.port().to_be_bytes());
    body.extend(destination.port().to_be_bytes());
    body
}

/// What fits a field here: the names that there are in DNS and in ALPN have up to 255 bytes.
const WIDEST: usize = 255;

fn write_fields(header: &Header, body: &mut Vec<u8>) {
    let tls = header.tls.clone().unwrap_or_default();
    write_field(ALPN, tls.alpn.as_deref(), body);
    write_field(AUTHORITY, tls.sni.as_deref().map(str::as_bytes), body);
    if tls.version.is_none() && header.name.is_none() {
        return;
    }
    let name = header.name.as_deref().filter(|name| name.len() <= WIDEST);
    let has_tls = if tls.version.is_some() { HAS_TLS } else { 0 };
    // Not zero is what nobody has verified.
    let (has_certificate, verified) = if name.is_some() { (HAS_CERTIFICATE, 0) } else { (0, 1) };
    let mut value = vec![has_tls | has_certificate, 0, 0, 0, verified];
    write_field(SSL_VERSION, tls.version.map(str::as_bytes), &mut value);
    write_field(SSL_NAME, name.map(str::as_bytes), &mut value);
    let length = u16::try_from(value.len()).unwrap_or_default().to_be_bytes();
    body.extend([SSL, length[0], length[1]]);
    body.extend(value);
}

fn write_field(kind: u8, value: Option<&[u8]>, body: &mut Vec<u8>) {
    let Some(value) = value.filter(|value| value.len() <= WIDEST) else { return };
    body.extend([kind, 0, value.len() as u8]);
    body.extend(value);
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_sum_is_that_of_the_rfc() {
        // RFC 3720, appendix B.4: 32 zeros, 32 ones.
        assert_eq!(super::crc32c([0; 32].into_iter()), 0x8a91_36aa);
        assert_eq!(super::crc32c([0xff; 32].into_iter()), 0x62a8_ab43);
    }
}
