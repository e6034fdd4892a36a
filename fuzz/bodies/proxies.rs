//! What proxies hear and say: CONNECT, SOCKS and the PROXY protocol.

use hullo::{
    proxy::{
        connect::{answer, request, request_of},
        socks::{self, Opening},
    },
    proxy_header,
};

/// The first byte chooses who reads, the server or the client: what comes byte by byte is read as what comes at once, no
/// further than the head. A request that is read is written as one that reads the same.
pub fn connect(bytes: &[u8]) {
    let &[who, ref rest @ ..] = bytes else { return };
    if who & 1 != 0 {
        return assert_eq!(answer(rest), byte_by_byte(rest, answer));
    }
    let read = request(rest);
    assert_eq!(read, byte_by_byte(rest, request));
    let Ok(Some((asked, length))) = read else { return };
    assert!(length <= rest.len() && rest[..length].ends_with(b"\r\n\r\n"));
    let login = asked.login.as_ref().map(|(name, password)| (name.as_str(), password.as_str()));
    let again = request(&request_of(&asked.to, login)).map(|read| read.map(|(asked, _)| (asked.to, asked.login)));
    assert_eq!(again, Ok(Some((asked.to, asked.login))));
}

/// What is read of the shortest beginning that can be read, or refused.
fn byte_by_byte<T, E>(bytes: &[u8], read: fn(&[u8]) -> Result<Option<T>, E>) -> Result<Option<T>, E> {
    let first = (0..bytes.len()).map(|length| read(&bytes[..length])).find(|read| !matches!(read, Ok(None)));
    first.unwrap_or_else(|| read(bytes))
}

/// The first byte chooses what is read of SOCKS: what comes byte by byte is read as what comes at once, and no further than
/// it reaches. A request that is read is written as one that reads the same.
pub fn socks(bytes: &[u8]) {
    let &[what, ref rest @ ..] = bytes else { return };
    match what % 7 {
        0 => assert_eq!(socks::login(rest), byte_by_byte(rest, socks::login)),
        1 => assert_eq!(socks::choice(rest), byte_by_byte(rest, socks::choice)),
        2 => assert_eq!(socks::admitted(rest), byte_by_byte(rest, socks::admitted)),
        // Of a refusal only the verdict counts.
        3 => {
            let verdict = |read: socks::Read<_>| read.map(|read| read.map(|((verdict, _), _)| verdict));
            assert_eq!(verdict(socks::reply(rest)), verdict(byte_by_byte(rest, socks::reply)));
        }
        4 => {
            let verdict = |read: socks::Read<_>| read.map(|read| read.map(|(verdict, _)| verdict));
            assert_eq!(verdict(socks::reply4(rest)), verdict(byte_by_byte(rest, socks::reply4)));
        }
        5 => {
            let read = socks::request(rest);
            assert_eq!(read, byte_by_byte(rest, socks::request));
            let Ok(Some((asked, length))) = read else { return };
            let written = socks::request_of(asked.command, &asked.to).unwrap_or_default();
            assert!(length <= rest.len());
            assert_eq!(socks::request(&written), Ok(Some((asked, written.len()))));
        }
        _ => {
            let read = socks::opening(rest);
            assert_eq!(read, byte_by_byte(rest, socks::opening));
            let Ok(Some((Opening::Four(asked), length))) = read else { return };
            assert!(length <= rest.len());
            // A name that is an address of IPv6 can be said, but is not written.
            let Some(written) = socks::request4_of(asked.command, &asked.to, "") else { return };
            assert_eq!(socks::opening(&written), Ok(Some((Opening::Four(asked), written.len()))));
        }
    }
}

/// The first byte chooses how a PROXY header is cut, which makes no difference: to what it says, where it ends, and what
/// is wrong with it. What is read is written as what reads the same, and no more is taken than may be held.
pub fn proxy(bytes: &[u8]) {
    let &[how, ref rest @ ..] = bytes else { return };
    let whole = header(rest, rest.len().max(1));
    assert_eq!(whole, header(rest, usize::from(how & 0x1f) + 1));
    let Ok(Some((taken, said))) = whole else { return };
    assert!(taken <= proxy_header::LONGEST);
    let written = said.written();
    match header(&written, written.len()) {
        Ok(Some((taken, again))) => assert_eq!((taken, shown(&again)), (written.len(), shown(&said))),
        other => unreachable!("{said:?} is written as {written:?}, and read as {other:?}"),
    }
}

/// The first header in bytes that come in pieces of that size: its length, and what it says.
fn header(bytes: &[u8], size: usize) -> Result<Option<(usize, proxy_header::Header)>, String> {
    let (mut reader, mut at) = (proxy_header::Reader::default(), 0);
    for piece in bytes.chunks(size) {
        let (taken, header) = reader.read(piece).map_err(|error| error.to_string())?;
        at += taken;
        if let Some(header) = header {
            return Ok(Some((at, header)));
        }
    }
    Ok(None)
}

/// What is left of a header when it is written: names that are too long for it are not, and a line has addresses alone.
fn shown(header: &proxy_header::Header) -> proxy_header::Header {
    let mut shown = header.clone();
    let (line, fits) = (header.version == proxy_header::Version::V1, |length: usize| length <= 255);
    let datagrams = matches!(shown.whose, proxy_header::Whose::Client { datagrams: true, .. });
    assert!(!line || shown.tls.is_none() && shown.name.is_none() && !datagrams, "{header:?}");
    shown.name = shown.name.filter(|name| fits(name.len()));
    shown.tls = shown.tls.map(|mut tls| {
        tls.alpn = tls.alpn.filter(|alpn| fits(alpn.len()));
        tls.sni = tls.sni.filter(|sni| fits(sni.len()));
        tls
    });
    shown.tls = shown.tls.filter(|tls| *tls != Default::default());
    shown
}
