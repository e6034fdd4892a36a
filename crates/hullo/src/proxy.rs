//! Proxies: their addresses, and what is said to them and by them. Pure.

use std::{error, fmt, io, net::IpAddr};

use crate::{
    address::Address,
    error::{Error, Kind, Result},
};

pub mod connect;
pub mod socks;

/// A proxy and who we are to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Where it is, with its real port. The scheme says what it speaks.
    pub at: Address,
    /// The name and the password, which may have to come from elsewhere.
    pub user: Option<(String, Option<String>)>,
    /// What named it, as in `the variable http_proxy`: an error says it.
    pub named_by: Option<String>,
    /// What it speaks.
    pub speaks: Speaks,
    /// Names are resolved here, and not by it.
    pub resolves_here: bool,
}

/// What a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP, whose method CONNECT makes tunnels.
    Http,
    /// SOCKS 4, or 4a where names go there.
    Socks4,
    /// SOCKS 5.
    Socks5,
}

impl fmt::Debug for Proxy {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.at)
    }
}

impl Proxy {
    /// Reads a proxy as the variables and curl have it: `http://host:3128`, `host:3128`, `socks5://host` (names are
    /// resolved here) or `socks5h://name:password@host` (there).
    ///
    /// # Errors
    /// Another kind of proxy, or what is no address.
    pub fn parse(text: &str) -> Result<Self> {
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        read(&text)
    }

    /// Reads a proxy as the address option `via` has it: names are resolved there wherever that can be said.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn via(text: &str) -> Result<Self> {
        let proxy = read(text)?;
        let resolves_here = proxy.resolves_here && proxy.speaks != Speaks::Socks5;
        Ok(Self { resolves_here, ..proxy })
    }

    /// The same proxy, with that password where it wants one that its address does not have.
    pub fn with_password(mut self, password: Option<&str>) -> Self {
        if let Some((_, secret @ None)) = &mut self.user {
            *secret = password.map(str::to_owned);
        }
        self
    }

    /// The name and the password.
    pub fn login(&self) -> Option<(&str, &str)> {
        let (name, password) = self.user.as_ref()?;
        Some((name, password.as_deref().unwrap_or_default()))
    }
}

/// What a scheme speaks, its port, and whether names are resolved here.
const SCHEMES: &[(&str, Speaks, u16, bool)] = &[
    ("http", Speaks::Http, 80, false),
    ("socks4", Speaks::Socks4, 1080, true),
    ("socks4a", Speaks::Socks4, 1080, false),
    ("socks5", Speaks::Socks5, 1080, true),
    ("socks5h", Speaks::Socks5, 1080, false),
];

fn read(text: &str) -> Result<Proxy> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let (user, place) = match rest.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, rest),
    };
    let place = place.split(['/', '?', '#']).next().unwrap_or_default();
    if place.is_empty() {
        return Err(Error::usage("there is no host in the proxy's address").hint("write http://host:3128"));
    }
    let Some((scheme, speaks, port, resolves_here)) = SCHEMES.iter().find(|(name, ..)| *name == scheme) else {
        let scheme: String = scheme.chars().take(20).filter(char::is_ascii_graphic).collect();
        return Err(Error::usage(format!("{scheme}://{place} is no proxy that can be used"))
            .hint("there are http://, socks4://, socks4a://, socks5:// and socks5h://"));
    };
    let at: Address = format!("{scheme}://{place}").parse()?;
    let at = at.at(at.port.unwrap_or(*port)).on_a_host();
    let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let user = user.map(|user| match user.split_once(':') {
        Some((name, password)) => (decode(name), Some(decode(password))),
        None => (decode(user), None),
    });
    Ok(Proxy { at, user, named_by: None, speaks: *speaks, resolves_here: *resolves_here })
}

/// Where a tunnel is to lead, if that is a host: what somebody else names is no more trusted than what somebody types.
pub fn target(host: &str, port: u16) -> Option<Address> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Some(Address::new("tcp", &ip.to_string(), port));
    }
    let is_name =
        !host.is_empty() && host.len() <= 255 && host.chars().all(|c| c.is_alphanumeric() || "-._~".contains(c));
    is_name.then(|| Address::new("tcp", host, port))
}

macro_rules! verdicts {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal, $status:literal, $token:literal, $kind:ident, $why:literal;)*) => {
        /// What a proxy says of a tunnel.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Verdict { $($(#[doc = $doc])* $name,)* }

        impl Verdict {
            /// All of them.
            pub const ALL: &'static [Verdict] = &[$(Verdict::$name),*];

            /// The reply of SOCKS 5 (RFC 1928, section 6).
            pub const fn code(self) -> u8 {
                match self { $(Verdict::$name => $code),* }
            }

            /// The status of HTTP.
            pub const fn status(self) -> u16 {
                match self { $(Verdict::$name => $status),* }
            }

            /// The type of error in `Proxy-Status` (RFC 9209, section 2.3); nothing where all is well.
            pub const fn token(self) -> &'static str {
                match self { $(Verdict::$name => $token),* }
            }

            /// What kind of error it is to who asked.
            pub const fn kind(self) -> Kind {
                match self { $(Verdict::$name => Kind::$kind),* }
            }

            /// In words.
            pub const fn why(self) -> &'static str {
                match self { $(Verdict::$name => $why),* }
            }
        }
    };
}

verdicts! {
    /// It stands.
    Granted = 0, 200, "", Other, "it does";
    /// It does not, for some reason.
    Failed = 1, 502, "proxy_internal_error", Protocol, "it failed";
    /// It must not.
    Forbidden = 2, 403, "http_request_denied", Denied, "its rules forbid it";
    /// No way leads there.
    NetworkUnreachable = 3, 502, "destination_ip_unroutable", Unreachable, "the network is unreachable";
    /// Nobody answers there.
    HostUnreachable = 4, 502, "destination_unavailable", Unreachable, "the host is unreachable";
    /// The name has no address, which SOCKS does not tell from that.
    Nameless = 4, 502, "dns_error", Resolve, "the name has no address";
    /// Nothing listens there.
    Refused = 5, 502, "connection_refused", Refused, "the connection was refused";
    /// It took too long.
    Expired = 6, 504, "connection_timeout", Timeout, "it took too long";
    /// The command is unknown.
    NoCommand = 7, 501, "proxy_internal_response", Protocol, "it knows no such command";
    /// The kind of address is unknown.
    NoKind = 8, 400, "http_request_error", Protocol, "it knows no such kind of address";
}

impl Verdict {
    /// What the reply of SOCKS 5 means.
    pub fn of_code(code: u8) -> Self {
        Self::ALL.iter().copied().find(|verdict| verdict.code() == code).unwrap_or(Self::Failed)
    }

    /// What the error type of `Proxy-Status` means.
    pub fn of_token(token: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|verdict| !token.is_empty() && verdict.token() == token)
    }

    /// What to say of a connection that failed.
    pub fn of(failed: &Error) -> Self {
        let system = error::Error::source(failed).and_then(|source| source.downcast_ref::<io::Error>());
        let no_network = system.is_some_and(|error| error.kind() == io::ErrorKind::NetworkUnreachable);
        match failed.kind() {
            Kind::Refused => Self::Refused,
            Kind::Unreachable if no_network => Self::NetworkUnreachable,
            Kind::Unreachable => Self::HostUnreachable,
            Kind::Resolve => Self::Nameless,
            Kind::Timeout => Self::Expired,
            Kind::Denied => Self::Forbidden,
            _ => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_read_as_the_variables_have_them() {
        for (text, at, user) in [
            ("http://proxy:3128", "http://proxy:3128", None),
            ("proxy.example:3128/", "http://proxy.example:3128", None),
            ("http://proxy", "http://proxy:80", None),
            ("socks5h://[::1]", "socks5h://[::1]:1080", None),
            ("http://me:pass%20w%40rd@proxy:1", "http://proxy:1", Some(("me", Some("pass w@rd")))),
            ("http://me:a/b@c@proxy:1/", "http://proxy:1", Some(("me", Some("a/b@c")))),
            ("http://me@proxy:1", "http://proxy:1", Some(("me", None))),
            ("http://me:@proxy:1", "http://proxy:1", Some(("me", Some("")))),
        ] {
            let proxy = Proxy::parse(text).unwrap();
            let user = user.map(|(name, password)| (name.to_owned(), password.map(str::to_owned)));
            assert_eq!((proxy.at.to_string(), proxy.user), (at.to_owned(), user), "{text}");
        }
        for text in ["https://proxy", "ftp://proxy", "", "http://a b", "http://me@"] {
            assert!(Proxy::parse(text).is_err(), "{text}");
        }
        let error = Proxy::parse("https://me:hidden@proxy:1").unwrap_err().to_string();
        assert!(!error.contains("hidden") && error.contains("https://proxy:1"), "{error}");
    }

    #[test]
    fn names_are_resolved_where_the_scheme_says() {
        for (text, curl, via) in [
            ("http://p", false, false),
            ("socks4://p", true, true),
            ("socks4a://p", false, false),
            ("socks5://p", true, false),
            ("socks5h://p", false, false),
        ] {
            let read = (Proxy::parse(text).unwrap().resolves_here, Proxy::via(text).unwrap().resolves_here);
            assert_eq!(read, (curl, via), "{text}");
        }
        assert!(Proxy::via("proxy:3128").is_err(), "an option says what the proxy speaks");
    }

    #[test]
    fn a_password_comes_from_elsewhere_where_there_is_none() {
        let login = |text: &str| {
            let proxy = Proxy::via(text).unwrap().with_password(Some("kept"));
            proxy.login().map(|(name, password)| format!("{name}:{password}"))
        };
        assert_eq!(login("socks5://me@p").as_deref(), Some("me:kept"));
        assert_eq!(login("socks5://me:@p").as_deref(), Some("me:"));
        assert_eq!(login("socks5://p"), None);
        assert_eq!(format!("{:?}", Proxy::via("socks5://me:hidden@p").unwrap()), "socks5://p:1080");
    }

    #[test]
    fn targets_are_hosts() {
        for good in ["example.org", "127.0.0.1", "::1", "a_b-c", "b\u{fc}cher.example"] {
            assert!(target(good, 1).is_some(), "{good}");
        }
        for bad in ["", "a b", "a/b", "a:1", "fe80::1%eth0", "a\0", "a?via=x", "[::1]", &"x".repeat(256)] {
            assert_eq!(target(bad, 1), None, "{bad}");
        }
        assert_eq!(target("0:0::1", 1), target("::1", 1), "an address is written in one way");
    }

    #[test]
    fn verdicts_are_told_apart_wherever_they_can_be() {
        for verdict in Verdict::ALL.iter().copied() {
            let by_code = Verdict::of_code(verdict.code());
            assert!(by_code == verdict || verdict == Verdict::Nameless, "{verdict:?}");
            assert_eq!(Verdict::of_token(verdict.token()), (verdict != Verdict::Granted).then_some(verdict));
        }
        assert_eq!(Verdict::of_code(99), Verdict::Failed);
        let failed = |error: io::Error| Verdict::of(&Error::io("cannot connect", error));
        assert_eq!(failed(io::ErrorKind::NetworkUnreachable.into()), Verdict::NetworkUnreachable);
        assert_eq!(failed(io::ErrorKind::HostUnreachable.into()), Verdict::HostUnreachable);
        assert_eq!(failed(io::ErrorKind::ConnectionRefused.into()), Verdict::Refused);
        assert_eq!(failed(io::ErrorKind::TimedOut.into()), Verdict::Expired);
        assert_eq!(failed(io::ErrorKind::OutOfMemory.into()), Verdict::Failed);
    }
}
