//! SOCKS 4 and 4a, and SOCKS 5 (RFC 1928, RFC 1929): what each end says.
//!
//! What reads takes all bytes that have come, and gives what they say and how many bytes that was; nothing while something
//! is missing. What follows is not looked at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Verdict, target};
use crate::address::Address;

/// What was read and its length; nothing while it is incomplete.
pub type Read<T> = Result<Option<(T, usize)>, Breach>;

/// Why something is not what SOCKS says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breach {
    /// What a server answers a request like that.
    pub verdict: Verdict,
    /// In words.
    pub why: &'static str,
}

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A connection to somebody.
    Connect,
    /// One from somebody.
    Bind,
    /// A way for datagrams.
    Associate,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is wanted.
    pub command: Command,
    /// To whom.
    pub to: Address,
}

/// What a client begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// SOCKS 5: the ways to say who it is.
    Five(Vec<u8>),
    /// SOCKS 4: the request itself.
    Four(Request),
}

/// SOCKS 5 without saying who one is.
pub const OPEN: u8 = 0;

/// SOCKS 5 with a name and a password (RFC 1929).
pub const PASSWORD: u8 = 2;

/// None of the ways that were offered.
pub const NO_METHOD: u8 = 0xff;

/// The longest name of a user, and of a host, in SOCKS 4.
const LONGEST: usize = 255;

const fn breach<T>(why: &'static str) -> Result<T, Stop> {
    Err(Stop::Breach(Breach { verdict: Verdict::Failed, why }))
}

/// Reads what a client begins with.
///
/// # Errors
/// It is no SOCKS.
pub fn opening(input: &[u8]) -> Read<Opening> {
    read(input, |words| match words.byte()? {
        5 => Ok(Opening::Five(words.sized()?.to_vec())),
        4 => four(words).map(Opening::Four),
        b'A'..=b'Z' => breach("this is HTTP, and SOCKS is spoken here: serve connect is for that"),
        0x16 => breach("this is TLS, and SOCKS is spoken here without: on a tls:// address it is spoken inside"),
        _ => breach("this is neither SOCKS 4 nor SOCKS 5"),
    })
}

/// Reads a name and a password.
///
/// # Errors
/// They are none.
pub fn login(input: &[u8]) -> Read<(String, String)> {
    read(input, |words| {
        if words.byte()? != 1 {
            return breach("this is no login of SOCKS 5");
        }
        let (name, password) = (words.sized()?, words.sized()?);
        match (std::str::from_utf8(name), std::str::from_utf8(password)) {
            (Ok(name), Ok(password)) => Ok((name.to_owned(), password.to_owned())),
            _ => breach("the name or the password is not UTF-8"),
        }
    })
}

/// Reads a request of SOCKS 5.
///
/// # Errors
/// It is none, or asks for what there is not.
pub fn request(input: &[u8]) -> Read<Request> {
    read(input, |words| {
        if words.byte()? != 5 {
            return breach("this is no request of SOCKS 5");
        }
        let command = command(words.byte()?)?;
        // What is reserved means nothing yet.
        words.byte()?;
        let host = words.host()?;
        let port = words.port()?;
        let Some(to) = host.named().and_then(|host| target(&host, port)) else {
            return breach("there is no host with such a name");
        };
        Ok(Request { command, to })
    })
}

fn command(code: u8) -> Result<Command, Stop> {
    match code {
        1 => Ok(Command::Connect),
        2 => Ok(Command::Bind),
        3 => Ok(Command::Associate),
        _ => Err(Stop::Breach(Breach { verdict: Verdict::NoCommand, why: "there is no such command" })),
    }
}

/// A request of SOCKS 4, behind its first byte. An address that begins with three zeros stands for a name (4a).
fn four(words: &mut Words<'_>) -> Result<Request, Stop> {
    let command = match command(words.byte()?)? {
        Command::Associate => return breach("there is no such command"),
        command => command,
    };
    let (port, ip) = (words.port()?, words.array::<4>()?);
    words.until_zero()?;
    let host = match ip {
        [0, 0, 0, mark] if mark != 0 => Host::Name(words.until_zero()?),
        ip => Host::Ip(Ipv4Addr::from(ip).into()),
    };
    match host.named().and_then(|host| target(&host, port)) {
        Some(to) => Ok(Request { command, to }),
        None => breach("there is no host with such a name"),
    }
}

/// Reads a server's choice of how to say who one is.
///
/// # Errors
/// It is none.
pub fn choice(input: &[u8]) -> Read<u8> {
    read(input, |words| match words.byte()? {
        5 => words.byte(),
        b'H' => breach("it speaks HTTP, not SOCKS 5"),
        _ => breach("it does not speak SOCKS 5"),
    })
}

/// Reads whether a server takes a name and its password. Some answer in the version of SOCKS instead of the login's.
///
/// # Errors
/// It does not say.
pub fn admitted(input: &[u8]) -> Read<bool> {
    read(input, |words| match words.byte()? {
        1 | 5 => Ok(words.byte()? == 0),
        _ => breach("it answers in no words of SOCKS 5"),
    })
}

/// Reads a server's answer to a request, and where its own end of the connection is, if that is an address.
///
/// # Errors
/// It is none.
pub fn reply(input: &[u8]) -> Read<(Verdict, Option<SocketAddr>)> {
    read(input, |words| {
        if words.byte()? != 5 {
            return breach("it answers in no words of SOCKS 5");
        }
        let verdict = Verdict::of_code(words.byte()?);
        words.byte()?;
        // Who refuses may leave away the rest.
        let bound = match words.host() {
            Ok(host) => words.port().map(|port| host.ip().map(|ip| SocketAddr::new(ip, port))),
            Err(stop) => Err(stop),
        };
        match bound {
            Err(_) if verdict != Verdict::Granted => {
                words.skip();
                Ok((verdict, None))
            }
            bound => Ok((verdict, bound?)),
        }
    })
}

/// The same of SOCKS 4.
///
/// # Errors
/// As [`reply`].
pub fn reply4(input: &[u8]) -> Read<Verdict> {
    read(input, |words| {
        let (zero, code) = (words.byte()?, words.byte()?);
        // Some answer in the version of SOCKS.
        if !matches!(zero, 0 | 4) {
            return breach("it does not speak SOCKS 4");
        }
        let verdict = match code {
            90 => Verdict::Granted,
            92 | 93 => Verdict::Forbidden,
            _ => Verdict::Failed,
        };
        if verdict == Verdict::Granted {
            words.take(6)?;
        } else {
            words.skip();
        }
        Ok(verdict)
    })
}

/// What a client of SOCKS 5 begins with.
pub fn greeting(with_password: bool) -> Vec<u8> {
    if with_password { vec![5, 2, OPEN, PASSWORD] } else { vec![5, 1, OPEN] }
}

/// A name and its password; nothing where one of them is empty or longer than 255 bytes.
pub fn login_of(name: &str, password: &str) -> Option<Vec<u8>> {
    let mut login = vec![1];
    for part in [name, password] {
        login.push(u8::try_from(part.len()).ok()?);
        login.extend_from_slice(part.as_bytes());
    }
    (!name.is_empty()).then_some(login)
}

/// A request of SOCKS 5; nothing where the name is too long.
pub fn request_of(command: Command, to: &Address) -> Option<Vec<u8>> {
    let mut request = vec![5, code(command), 0];
    match to.host.parse() {
        Ok(ip) => push_ip(&mut request, ip),
        Err(_) => {
            request.extend([3, u8::try_from(to.host.len()).ok()?]);
            request.extend_from_slice(to.host.as_bytes());
        }
    }
    request.extend(to.port.unwrap_or_default().to_be_bytes());
    Some(request)
}

/// A request of SOCKS 4, or of 4a where there is a name; nothing where SOCKS 4 cannot say that.
pub fn request4_of(command: Command, to: &Address, user: &str) -> Option<Vec<u8>> {
    let mut request = vec![4, code(command)];
    request.extend(to.port.unwrap_or_default().to_be_bytes());
    let ip = match to.host.parse() {
        Ok(IpAddr::V4(ip)) => Some(ip),
        Ok(IpAddr::V6(_)) => return None,
        Err(_) => None,
    };
    let octets = ip.map_or([0, 0, 0, 1], |ip| ip.octets());
    let says_name = octets[..3] == [0; 3] && octets[3] != 0;
    let too_long = user.len() > LONGEST || to.host.len() > LONGEST;
    if says_name != ip.is_none() || too_long || user.contains('\0') || command == Command::Associate {
        return None;
    }
    request.extend(octets);
    request.extend_from_slice(user.as_bytes());
    request.push(0);
    if ip.is_none() {
        request.extend_from_slice(to.host.as_bytes());
        request.push(0);
    }
    Some(request)
}

fn code(command: Command) -> u8 {
    match command {
        Command::Connect => 1,
        Command::Bind => 2,
        Command::Associate => 3,
    }
}

/// A server's choice of how a client says who it is.
pub const fn choice_of(method: u8) -> [u8; 2] {
    [5, method]
}

/// Whether a name and its password are right.
pub const fn admitted_of(right: bool) -> [u8; 2] {
    [1, if right { 0 } else { 1 }]
}

/// An answer to a request, with our own end of the connection.
pub fn reply_of(verdict: Verdict, bound: Option<SocketAddr>) -> Vec<u8> {
    let bound = bound.unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into());
    let mut reply = vec![5, verdict.code(), 0];
    push_ip(&mut reply, bound.ip().to_canonical());
    reply.extend(bound.port().to_be_bytes());
    reply
}

/// The same of SOCKS 4, which has no room for an address of IPv6.
pub fn reply4_of(verdict: Verdict, bound: Option<SocketAddr>) -> Vec<u8> {
    let code = if verdict == Verdict::Granted { 90 } else { 91 };
    let (ip, port) = match bound.map(|bound| (bound.ip().to_canonical(), bound.port())) {
        Some((IpAddr::V4(ip), port)) => (ip, port),
        Some((_, port)) => (Ipv4Addr::UNSPECIFIED, port),
        None => (Ipv4Addr::UNSPECIFIED, 0),
    };
    let mut reply = vec![0, code];
    reply.extend(port.to_be_bytes());
    reply.extend(ip.octets());
    reply
}

fn push_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            out.push(1);
            out.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(4);
            out.extend(ip.octets());
        }
    }
}

/// Why reading stops.
enum Stop {
    /// More bytes are to come.
    More,
    Breach(Breach),
}

/// Runs a reader over what has come.
fn read<'a, T>(input: &'a [u8], reader: impl FnOnce(&mut Words<'a>) -> Result<T, Stop>) -> Read<T> {
    let mut words = Words(input);
    match reader(&mut words) {
        Ok(value) => Ok(Some((value, input.len() - words.0.len()))),
        Err(Stop::More) => Ok(None),
        Err(Stop::Breach(breach)) => Err(breach),
    }
}

/// What is still to be read.
struct Words<'a>(&'a [u8]);

enum Host<'a> {
    Ip(IpAddr),
    Name(&'a [u8]),
}

impl Host<'_> {
    fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(*ip),
            Self::Name(_) => None,
        }
    }

    fn named(&self) -> Option<String> {
        match self {
            Self::Ip(ip) => Some(ip.to_string()),
            Self::Name(name) => std::str::from_utf8(name).ok().map(str::to_owned),
        }
    }
}

impl<'a> Words<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Stop> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Stop::More)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        Ok(self.array::<1>()?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        self.take(N)?.try_into().map_err(|_| Stop::More)
    }

    fn port(&mut self) -> Result<u16, Stop> {
        self.array().map(u16::from_be_bytes)
    }

    /// A byte of length, and what is that long.
    fn sized(&mut self) -> Result<&'a [u8], Stop> {
        let length = self.byte()?;
        self.take(length.into())
    }

    fn until_zero(&mut self) -> Result<&'a [u8], Stop> {
        match self.0.iter().take(LONGEST + 1).position(|byte| *byte == 0) {
            Some(at) => {
                let taken = self.take(at)?;
                self.take(1)?;
                Ok(taken)
            }
            None if self.0.len() > LONGEST => breach("a name is longer than 255 bytes"),
            None => Err(Stop::More),
        }
    }

    fn host(&mut self) -> Result<Host<'a>, Stop> {
        match self.byte()? {
            1 => self.array().map(|ip: [u8; 4]| Host::Ip(Ipv4Addr::from(ip).into())),
            3 => self.sized().map(Host::Name),
            4 => self.array().map(|ip: [u8; 16]| Host::Ip(Ipv6Addr::from(ip).into())),
            _ => Err(Stop::Breach(Breach { verdict: Verdict::NoKind, why: "there is no such kind of address" })),
        }
    }

    /// Takes all that has come.
    fn skip(&mut self) {
        self.0 = &[];
    }
}

#[cfg(test)]
mod tests;
