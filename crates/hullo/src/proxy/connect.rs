//! The method CONNECT of HTTP (RFC 9110, section 9.3.6): what each end says, over HTTP/1.1.
//!
//! A server reads strictly: what two programs could read in two ways it reads in none. A client is lenient with what
//! proxies say. Neither looks at what follows a head, which is the tunnel's.

use std::str::from_utf8;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use memchr::memmem;

use super::{Verdict, target};
use crate::{
    address::Address,
    error::{Kind, brief},
};

/// The largest head that is read.
pub const LARGEST: usize = 16 << 10;

/// The most header lines of a head.
const LINES: usize = 64;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Where the tunnel is to lead.
    pub to: Address,
    /// The name and the password, where the client says them by Basic authentication.
    pub login: Option<(String, String)>,
    /// The client would like to go on after an answer that is no tunnel.
    pub keeps_alive: bool,
}

/// Why a request is not done: the status, and what to tell the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A status of the class 4xx or 5xx.
    pub status: u16,
    /// One sentence.
    pub why: &'static str,
}

const fn refuse<T>(status: u16, why: &'static str) -> Result<T, Refusal> {
    Err(Refusal { status, why })
}

const fn bad<T>(why: &'static str) -> Result<T, Refusal> {
    refuse(400, why)
}

/// Reads a request: what it asks for, and the length of its head; nothing while it is incomplete.
///
/// # Errors
/// It is none, asks for something else than a tunnel, or its head is larger than [`LARGEST`].
pub fn request(input: &[u8]) -> Result<Option<(Asked, usize)>, Refusal> {
    match input.first() {
        Some(4 | 5) => return bad("this is SOCKS, and HTTP is spoken here: serve socks5 is for that"),
        Some(0x16) => {
            return bad("this is TLS, and HTTP is spoken here without: on a tls:// address it is spoken inside");
        }
        Some(byte) if !byte.is_ascii_graphic() => return bad("this is no request"),
        _ => {}
    }
    let Some(end) = memmem::find(&input[..input.len().min(LARGEST)], b"\r\n\r\n").map(|at| at + 4) else {
        alone(&input[..input.len().min(LARGEST)])?;
        return if input.len() < LARGEST { Ok(None) } else { refuse(431, "the head is larger than 16 KiB") };
    };
    let head = &input[..end];
    alone(head)?;
    let mut lines = [httparse::EMPTY_HEADER; LINES];
    let mut parsed = httparse::Request::new(&mut lines);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(length)) if length == end => {}
        Err(httparse::Error::TooManyHeaders) => return refuse(431, "there are more than 64 header lines"),
        _ => return bad("this is no request: CONNECT host:port HTTP/1.1"),
    }
    let (Some(method), Some(at), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
        return bad("this is no request: CONNECT host:port HTTP/1.1");
    };
    if method != "CONNECT" {
        return refuse(405, "only tunnels are made here: curl makes one for http:// too with --proxytunnel (-p)");
    }
    let asked = Asked {
        to: place(at).ok_or(Refusal { status: 400, why: "the target is no host:port" })?,
        login: login(parsed.headers)?,
        keeps_alive: keeps_alive(parsed.headers, minor),
    };
    // A tunnel has no request's body: what others would take for one is the tunnel's to us.
    let is_empty = |line: &httparse::Header<'_>| line.name.eq_ignore_ascii_case("content-length") && line.value == b"0";
    let says_length =
        |name: &str| ["content-length", "transfer-encoding"].iter().any(|one| name.eq_ignore_ascii_case(one));
    if parsed.headers.iter().any(|line| says_length(line.name) && !is_empty(line)) {
        return bad("CONNECT has no body");
    }
    Ok(Some((asked, end)))
}

/// Refuses a line that ends with LF alone, which others read otherwise.
fn alone(head: &[u8]) -> Result<(), Refusal> {
    let alone = |at: usize| at == 0 || head[at - 1] != b'\r';
    match memchr::memchr_iter(b'\n', head).any(alone) {
        true => bad("a line ends with LF alone; HTTP wants CR LF (nc -C sends it)"),
        false => Ok(()),
    }
}

/// A target in the form of an authority (RFC 9112, section 3.2.3): its port cannot be left away.
fn place(text: &str) -> Option<Address> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok())??;
    match host.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']').filter(|v6| v6.contains(':')).and_then(|v6| target(v6, port)),
        None => target(host, port).filter(|_| !host.contains(':')),
    }
}

/// Who the client says it is. Two ways to say it are one too many.
fn login(lines: &[httparse::Header<'_>]) -> Result<Option<(String, String)>, Refusal> {
    let mut told = lines.iter().filter(|line| line.name.eq_ignore_ascii_case("proxy-authorization"));
    match (told.next(), told.next()) {
        (None, _) => Ok(None),
        (Some(line), None) => Ok(basic(line.value)),
        (Some(_), Some(_)) => bad("there are two Proxy-Authorizations"),
    }
}

/// A name and a password (RFC 7617). What is none is an unknown client's.
fn basic(value: &[u8]) -> Option<(String, String)> {
    let (scheme, rest) = from_utf8(value).ok()?.split_once(' ')?;
    let rest = rest.trim().trim_end_matches('=');
    let told = STANDARD_NO_PAD.decode(rest).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let (name, password) = from_utf8(&told).ok()?.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

/// Whether the connection is to be kept (RFC 9112, section 9.3), also as clients say it to proxies.
fn keeps_alive(lines: &[httparse::Header<'_>], minor: u8) -> bool {
    let of_connection = |line: &&httparse::Header<'_>| {
        ["connection", "proxy-connection"].iter().any(|name| line.name.eq_ignore_ascii_case(name))
    };
    let words = lines.iter().filter(of_connection).filter_map(|line| from_utf8(line.value).ok());
    let words: Vec<_> = words.flat_map(|value| value.split(',')).map(str::trim).collect();
    let says = |wish: &str| words.iter().any(|word| word.eq_ignore_ascii_case(wish));
    !says("close") && (minor == 1 || says("keep-alive"))
}

/// The answer behind which the tunnel begins. It says nothing of a body (RFC 9110, section 9.3.6).
pub const GRANTED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// Another answer, with a sentence for who reads it. `headers` are whole lines.
pub fn refusal(status: u16, headers: &str, why: &str, keeps_alive: bool) -> Vec<u8> {
    let reason =
        http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Refused");
    let connection = if keeps_alive { "keep-alive" } else { "close" };
    format!(
        "HTTP/1.1 {status} {reason}\r\n{headers}Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: \
         {connection}\r\n\r\n{why}\n",
        why.len() + 1
    )
    .into_bytes()
}

/// The answer to a tunnel that failed; `why` is for who reads it, `Proxy-Status` (RFC 9209) for programs.
pub fn failure(verdict: Verdict, why: &str) -> Vec<u8> {
    refusal(verdict.status(), &format!("Proxy-Status: hullo; error={}\r\n", verdict.token()), why, false)
}

/// A request for a tunnel.
pub fn request_of(to: &Address, login: Option<(&str, &str)>) -> Vec<u8> {
    let place = to.authority();
    let authorization =
        login.map_or(String::new(), |login| format!("Proxy-Authorization: {}\r\n", authorization(login)));
    format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{authorization}\r\n").into_bytes()
}

/// The value of `Proxy-Authorization`.
pub fn authorization((name, password): (&str, &str)) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// A proxy's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// What kind of error it is, where it is one.
    pub kind: Kind,
    /// The answer in words: its first line, or what `Proxy-Status` says.
    pub why: String,
}

/// Reads an answer, and the length of its head with those of interim answers before it; nothing while it is incomplete.
///
/// # Errors
/// It is no HTTP, or its head is larger than [`LARGEST`].
pub fn answer(input: &[u8]) -> Result<Option<(Answer, usize)>, &'static str> {
    let mut from = 0;
    while let Some(length) = end(&input[from..input.len().min(LARGEST)]) {
        let answer = of_head(&input[from..from + length])?;
        from += length;
        // What is not the answer yet (RFC 9110, section 15.2).
        if !(100..200).contains(&answer.status) {
            return Ok(Some((answer, from)));
        }
    }
    let begins = b"HTTP/1.";
    let known = input.len().min(begins.len());
    if input[..known] != begins[..known] {
        return Err("it does not speak HTTP/1.1");
    }
    if input.len() >= LARGEST { Err("it says too much") } else { Ok(None) }
}

/// The length of a head, the lines of which some end with LF alone.
fn end(input: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', input).find_map(|at| match &input[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

fn of_head(head: &[u8]) -> Result<Answer, &'static str> {
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let status = first.split_whitespace().nth(1).filter(|status| first.starts_with("HTTP/1.") && status.len() == 3);
    let status: u16 = status.and_then(|status| status.parse().ok()).ok_or("it does not speak HTTP/1.1")?;
    let verdict = lines.find_map(|line| of_status(from_utf8(line).ok()?));
    let kind = match (verdict, status) {
        (_, 403 | 407 | 429) => Kind::Denied,
        (Some(verdict), _) => verdict.kind(),
        (None, 504) => Kind::Timeout,
        _ => Kind::Protocol,
    };
    let why = match (verdict, status) {
        (_, 407) => "it wants a name and a password".to_owned(),
        (Some(verdict), _) => format!("{} (it answered '{}')", verdict.why(), brief(&first)),
        (None, _) => format!("it answered '{}'", brief(&first)),
    };
    Ok(Answer { status, kind, why })
}

/// What a line of `Proxy-Status` says went wrong.
fn of_status(line: &str) -> Option<Verdict> {
    let (name, value) = line.split_once(':')?;
    let mut parameters = value.split(';').map(str::trim).filter(|_| name.eq_ignore_ascii_case("proxy-status"));
    parameters.find_map(|parameter| Verdict::of_token(parameter.strip_prefix("error=")?))
}

#[cfg(test)]
mod tests;
