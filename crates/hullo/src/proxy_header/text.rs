//! Version 1: a line of text.

use std::{net::SocketAddr, str::FromStr};

use super::{Header, Version, Whose, wrong};
use crate::error::Result;

pub(super) const BEGINNING: &[u8] = b"PROXY ";

/// The line of it. There is no word for datagrams, nor for a proxy that speaks for itself.
pub(super) fn written(whose: &Whose) -> Vec<u8> {
    let Whose::Client { source, destination, datagrams: false } = whose else { return b"PROXY UNKNOWN\r\n".to_vec() };
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes()
}

/// Reads a line, which ends with a line feed.
pub(super) fn read(line: &[u8]) -> Result<Header> {
    let line = line.strip_suffix(b"\r\n").ok_or_else(|| wrong("its line does not end in CR LF"))?;
    let line = std::str::from_utf8(line).map_err(|_| wrong("its line is not text"))?;
    let words = line.split(' ').skip(1).collect::<Vec<_>>();
    let whose = match *words {
        // What else stands there is not to be looked at.
        ["UNKNOWN", ..] => Whose::Unknown,
        ["TCP4", from, to, from_port, to_port] => client::<std::net::Ipv4Addr>(from, to, from_port, to_port)?,
        ["TCP6", from, to, from_port, to_port] => client::<std::net::Ipv6Addr>(from, to, from_port, to_port)?,
        ["TCP4" | "TCP6", ..] => return Err(wrong("its line has not two addresses and two ports")),
        _ => return Err(wrong("its line names none of TCP4, TCP6 and UNKNOWN")),
    };
    Ok(Header { version: Version::V1, whose, tls: None, name: None })
}

fn client<A: FromStr + Into<std::net::IpAddr>>(from: &str, to: &str, from_port: &str, to_port: &str) -> Result<Whose> {
    let end = |ip: &str, port: &str| -> Result<SocketAddr> {
        let ip: A = ip.parse().map_err(|_| wrong(format!("'{}' is no address of its family", ip.escape_debug())))?;
        Ok(SocketAddr::new(ip.into(), self::port(port)?))
    };
    Ok(Whose::Client { source: end(from, from_port)?, destination: end(to, to_port)?, datagrams: false })
}

/// A port as the protocol has it: digits, and no zero before others.
fn port(text: &str) -> Result<u16> {
    let plain = text == "0" || !text.starts_with('0') && text.bytes().all(|c| c.is_ascii_digit());
    let port = text.parse().ok().filter(|_| plain);
    port.ok_or_else(|| wrong(format!("'{}' is no port", text.escape_debug())))
}
