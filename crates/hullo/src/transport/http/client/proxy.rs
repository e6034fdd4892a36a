//! Tunnels through proxies: CONNECT (RFC 9110, section 9.3.6) and SOCKS 5 (RFC 1928, 1929).

use std::net::IpAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::way::Proxy;
use crate::{
    address::Address,
    error::{Error, Kind, Result, brief},
    transport::tcp,
};

/// The most that a proxy may say before the tunnel stands.
const HEAD: usize = 16 << 10;

/// Makes the proxy at the other end of `stream` pass everything on to that host.
pub(super) async fn tunnel(stream: &mut TcpStream, proxy: &Proxy, to: &Address, port: u16) -> Result<()> {
    match proxy.at.scheme.as_str() {
        "http" => connect(stream, proxy, to, port).await,
        kind => socks(stream, proxy, to, port, kind == "socks5h").await,
    }
}

async fn connect(stream: &mut TcpStream, proxy: &Proxy, to: &Address, port: u16) -> Result<()> {
    let host = to.at(port).authority();
    let mut request = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n").into_bytes();
    if let Some(authorization) = proxy.authorization() {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(authorization.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    let broken = |error| Error::io(format!("the proxy {} broke off", proxy.at.bare()), error);
    stream.write_all(&request).await.map_err(broken)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && !head.ends_with(b"\n\n") {
        if head.len() >= HEAD {
            return Err(Error::new(Kind::TooLarge, format!("the proxy {} says too much", proxy.at.bare())));
        }
        // Byte for byte: what follows the head is the server's.
        head.push(stream.read_u8().await.map_err(broken)?);
    }
    let first = String::from_utf8_lossy(head.split(|byte| *byte == b'\r' || *byte == b'\n').next().unwrap_or_default());
    match first.split_whitespace().nth(1) {
        Some(status) if first.starts_with("HTTP/1.") && status.len() == 3 && status.starts_with('2') => Ok(()),
        Some("407") => Err(refused(proxy, to, "it wants a name and a password")
            .hint("they stand in the variable https_proxy, as in http://name:password@host:3128")),
        _ => Err(refused(proxy, to, &format!("it answered '{}'", brief(&first)))),
    }
}

fn refused(proxy: &Proxy, to: &Address, why: &str) -> Error {
    Error::new(Kind::Protocol, format!("the proxy {} does not connect to {}", proxy.at.bare(), to.authority()))
        .because(why.to_owned())
}

async fn socks(stream: &mut TcpStream, proxy: &Proxy, to: &Address, port: u16, there: bool) -> Result<()> {
    let broken = |error| Error::io(format!("the proxy {} broke off", proxy.at.bare()), error);
    let methods: &[u8] = if proxy.user.is_some() { &[5, 2, 0, 2] } else { &[5, 1, 0] };
    stream.write_all(methods).await.map_err(broken)?;
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen).await.map_err(broken)?;
    match (chosen, &proxy.user) {
        ([5, 0], _) => {}
        ([5, 2], Some((name, password))) => {
            let mut login = vec![1];
            for part in [name, password] {
                login.push(short(part)?);
                login.extend_from_slice(part.as_bytes());
            }
            stream.write_all(&login).await.map_err(broken)?;
            let mut verdict = [0; 2];
            stream.read_exact(&mut verdict).await.map_err(broken)?;
            if verdict[1] != 0 {
                return Err(refused(proxy, to, "it does not take our name and password"));
            }
        }
        ([5, _], _) => return Err(refused(proxy, to, "it wants another kind of login")),
        _ => return Err(refused(proxy, to, "it does not speak SOCKS 5")),
    }
    let mut request = vec![5, 1, 0];
    request.extend(destination(to, port, there).await?);
    request.extend_from_slice(&port.to_be_bytes());
    stream.write_all(&request).await.map_err(broken)?;
    let mut reply = [0; 4];
    stream.read_exact(&mut reply).await.map_err(broken)?;
    if reply[1] != 0 {
        let why = REASONS.get(usize::from(reply[1]) - 1).copied().unwrap_or("it does not say why");
        return Err(refused(proxy, to, why));
    }
    let length = match reply[3] {
        1 => 4,
        4 => 16,
        _ => usize::from(stream.read_u8().await.map_err(broken)?),
    };
    let mut bound = [0; 257];
    stream.read_exact(&mut bound[..length + 2]).await.map_err(broken)?;
    Ok(())
}

/// What a SOCKS server says went wrong, from 1 on (RFC 1928, section 6).
const REASONS: &[&str] = &[
    "it failed",
    "its rules forbid it",
    "the network is unreachable",
    "the host is unreachable",
    "the connection was refused",
    "it took too long",
    "it knows no such command",
    "it knows no such kind of address",
];

/// The host as SOCKS has it: as an address, or as a name for the proxy to resolve.
async fn destination(to: &Address, port: u16, there: bool) -> Result<Vec<u8>> {
    let ip = match to.host.parse::<IpAddr>() {
        Ok(ip) => Some(ip),
        Err(_) if there => None,
        Err(_) => tcp::resolve(to, port).await?.first().map(|address| address.ip()),
    };
    Ok(match ip {
        Some(IpAddr::V4(ip)) => [&[1], &ip.octets()[..]].concat(),
        Some(IpAddr::V6(ip)) => [&[4], &ip.octets()[..]].concat(),
        None => [&[3, short(&to.host)?], to.host.as_bytes()].concat(),
    })
}

fn short(text: &str) -> Result<u8> {
    u8::try_from(text.len()).map_err(|_| Error::usage("SOCKS has no room for more than 255 bytes of a name"))
}
