//! The options that an address carries: `tls://:8443?cert=a.pem&key=a.key`.

use std::{fmt, time::Duration};

use crate::{
    error::{Error, Result, brief, unknown},
    proxy::Proxy,
};

/// What an option's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// `true` or `false`; the bare name means `true`.
    Flag,
    /// A time with its unit (`200ms`, `30s`, `5m`); a bare number is seconds, `off` is none.
    Time,
    /// A number of bytes (`4096`, `64k`, `1MiB`).
    Size,
    /// Anything.
    Text,
    /// A number from 0 to 1.
    Share,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A proxy, as in `socks5://name:password@host:1080`.
    Proxy,
}

/// One option: a line of the table that addresses, help and the book are made from.
#[derive(Debug)]
pub struct Spec {
    /// Its name in an address.
    pub name: &'static str,
    /// What its value is.
    pub value: Value,
    /// The schemes it means something on; empty for all.
    pub on: &'static [&'static str],
    /// Which of the two ends it means something to.
    pub end: End,
    /// Whether it may stand there several times.
    pub many: bool,
    /// One line of help.
    pub about: &'static str,
}

/// Which end of a conversation something concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Who listens.
    Listen,
    /// Who connects.
    Connect,
    /// Either.
    Both,
}

const TLS: &[&str] = &["https", "tls", "wss"];
const TCP: &[&str] = &["http", "https", "tcp", "tls", "ws", "wss"];
const STREAMS: &[&str] = &["exec", "memory", "stdio", "tcp", "tls", "unix"];
const PACKETS: &[&str] = &["udp", "unix-dgram"];
const PROXIED: &[&str] = &["http", "https", "tcp", "tls", "unix", "ws", "wss"];
const NET: &[&str] = &["http", "https", "tcp", "tls", "udp", "ws", "wss"];

/// Every option, sorted by name.
pub const OPTIONS: &[Spec] = &[
    option(
        "accept-proxy",
        Value::Flag,
        PROXIED,
        End::Listen,
        "connections begin with a PROXY header (v1 or v2), which names the client",
    ),
    option("alpn", Value::Text, TLS, End::Both, "protocols to agree on inside TLS, in order: h2,http/1.1"),
    option("amplify", Value::Flag, PACKETS, End::Listen, "answer a stranger with more than 3 times what it sent"),
    option("bind", Value::Text, NET, End::Connect, "local address, or address:port, to connect from"),
    option("ca", Value::Text, TLS, End::Connect, "PEM file of the authorities to trust, instead of the system's"),
    option(
        "cert",
        Value::Text,
        TLS,
        End::Both,
        "PEM file of our certificate and its chain; a listener takes several: a.pem,b.pem",
    ),
    option(
        "client-auth",
        Value::Text,
        TLS,
        End::Listen,
        "whether clients must show a certificate: required (the default), optional",
    ),
    option("client-ca", Value::Text, TLS, End::Listen, "PEM file of the authorities that clients must be certified by"),
    option(
        "deflate",
        Value::Flag,
        &["http", "https", "ws", "wss"],
        End::Both,
        "compress the messages of WebSockets where the other end can (the default)",
    ),
    option("delay", Value::Time, &["memory"], End::Listen, "time that each write travels"),
    option("duplicate", Value::Share, &["memory"], End::Listen, "share of packets that come twice, 0 to 1"),
    option("frame", Value::Text, STREAMS, End::Both, "where a message ends: json, len32, lines, nul, raw or text"),
    option("idle", Value::Time, &[], End::Both, "end a conversation after this long with nothing either way"),
    option("insecure", Value::Flag, TLS, End::Connect, "trust whoever answers (anyone can listen in and change it)"),
    option(
        "jitter",
        Value::Time,
        &["memory"],
        End::Listen,
        "packets travel up to so much longer, and overtake each other",
    ),
    option("keepalive", Value::Time, TCP, End::Both, "ask a silent peer's system whether it is still there"),
    option("key", Value::Text, TLS, End::Both, "PEM file of our private key, where it is not in cert"),
    option("loss", Value::Share, &["memory"], End::Listen, "share of packets that get lost, 0 to 1"),
    option("max", Value::Size, &[], End::Both, "the largest message"),
    option("nodelay", Value::Flag, TCP, End::Both, "send small writes at once (the default)"),
    option(
        "origin",
        Value::Text,
        &["http", "https", "ws", "wss"],
        End::Listen,
        "site whose pages may talk to this server from a browser; * for any",
    ),
    option("packets", Value::Flag, &["memory"], End::Both, "carry packets instead of a stream"),
    option(
        "pin",
        Value::Text,
        TLS,
        End::Connect,
        "trust only the certificate or the key with this fingerprint: sha256:…",
    ),
    option(
        "protocol",
        Value::Text,
        &["http", "https", "ws", "wss"],
        End::Both,
        "subprotocols of WebSockets, the best first: binary,chat; * for whatever a client names",
    ),
    option(
        "proxy",
        Value::Word(&["v1", "v2"]),
        PROXIED,
        End::Connect,
        "begin with a PROXY header of that version, which names whom we connect for: v1 or v2",
    ),
    option("quiet", Value::Time, &[], End::Both, "a message without an end counts as whole after this pause"),
    option("resume", Value::Flag, TLS, End::Connect, "resume the sessions of earlier connections (the default)"),
    option("seed", Value::Text, &["memory"], End::Listen, "number that what happens to packets is drawn from"),
    option("sni", Value::Text, TLS, End::Connect, "name to ask for and to check, instead of the host"),
    option("timeout", Value::Time, &[], End::Both, "time for connecting and for handshakes"),
    option("tls", Value::Text, TLS, End::Both, "the lowest version of TLS to agree on: 1.2 (the default) or 1.3"),
    Spec {
        many: true,
        ..option(
            "via",
            Value::Proxy,
            TCP,
            End::Connect,
            "proxy to go through: socks5://, socks4a:// or http://[name@]host:port; the nearest first",
        )
    },
];

const fn option(name: &'static str, value: Value, on: &'static [&'static str], end: End, about: &'static str) -> Spec {
    Spec { name, value, on, end, many: false, about }
}

/// The option of that name.
pub fn find(name: &str) -> Option<&'static Spec> {
    OPTIONS.binary_search_by(|spec| spec.name.cmp(name)).ok().map(|at| &OPTIONS[at])
}

/// The options of one address, in the order they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options(Vec<(&'static str, String)>);

impl Options {
    /// Adds an option, or replaces it; of one that may stand there several times, adds one more.
    ///
    /// # Errors
    /// An unknown name, with the nearest known one, or a value that is not of its kind.
    pub fn set(&mut self, name: &str, value: impl Into<String>) -> Result<()> {
        let spec = find(name).ok_or_else(|| unknown("option", name, OPTIONS.iter().map(|spec| spec.name)))?;
        let value = value.into();
        check(spec, &value)?;
        match self.0.iter_mut().find(|(known, _)| *known == spec.name && !spec.many) {
            Some((_, old)) => *old = value,
            None => self.0.push((spec.name, value)),
        }
        Ok(())
    }

    /// Adds an option that is not written, where it means something on an address of that scheme to listen on.
    pub(crate) fn prefer(&mut self, name: &str, value: &str, scheme: &str) -> Result<()> {
        let means = |spec: &Spec| spec.on.is_empty() || spec.on.contains(&scheme);
        match find(name).is_some_and(means) && self.text(name).is_none() {
            true => self.set(name, value),
            false => Ok(()),
        }
    }

    /// Takes an option away.
    pub fn unset(&mut self, name: &str) {
        self.0.retain(|(known, _)| *known != name);
    }

    /// Keeps the options that mean something on that scheme.
    pub fn keep(&mut self, scheme: &str) {
        self.0.retain(|(name, _)| find(name).is_some_and(|spec| spec.on.is_empty() || spec.on.contains(&scheme)));
    }

    /// The value as it was written; the first one where there are several.
    pub fn text(&self, name: &str) -> Option<&str> {
        debug_assert!(find(name).is_some(), "no option {name}");
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// All values of an option that may stand there several times, in order.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Whether the flag is set; `otherwise` where the address does not say.
    pub fn flag(&self, name: &str, otherwise: bool) -> bool {
        self.text(name).and_then(flag).unwrap_or(otherwise)
    }

    /// The time; `Some(None)` for `off`, `None` where the address does not say.
    pub fn time(&self, name: &str) -> Option<Option<Duration>> {
        self.text(name).and_then(time)
    }

    /// The size in bytes.
    pub fn size(&self, name: &str) -> Option<usize> {
        self.text(name).and_then(size)
    }

    /// The share, 0 to 1.
    pub fn share(&self, name: &str) -> Option<f64> {
        self.text(name).and_then(share)
    }

    /// The names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// Refuses the options that mean nothing on `scheme` at that end.
    ///
    /// # Errors
    /// The first such option, with where it does mean something.
    pub fn suit(&self, scheme: &str, end: End) -> Result<()> {
        for spec in self.0.iter().filter_map(|(name, _)| find(name)) {
            if !spec.on.is_empty() && !spec.on.contains(&scheme) {
                let hint = format!("it is for {}", spec.on.join(", "));
                return Err(Error::usage(format!("the option '{}' means nothing on {scheme}", spec.name)).hint(hint));
            }
            if spec.end != End::Both && end != End::Both && spec.end != end {
                let (whose, verb) = if end == End::Listen { ("connect", "listens") } else { ("listen", "connects") };
                let about = format!("the option '{}' is for addresses to {whose}, and this one {verb}", spec.name);
                return Err(Error::usage(about));
            }
        }
        Ok(())
    }
}

fn check(spec: &Spec, value: &str) -> Result<()> {
    if spec.value == Value::Proxy {
        // It says by itself what is wrong, and without the password.
        return Proxy::via(value).map(drop);
    }
    let words = if let Value::Word(words) = spec.value { words.join(" or ") } else { String::new() };
    let (good, form) = match spec.value {
        Value::Flag => (flag(value).is_some(), "true or false"),
        Value::Time => (time(value).is_some(), "a time like 200ms, 30s or 5m, or off"),
        Value::Size => (size(value).is_some_and(|size| size > 0), "a size like 4096, 64k or 1MiB"),
        Value::Share => (share(value).is_some(), "a number from 0 to 1"),
        Value::Text | Value::Proxy => (!value.is_empty(), "a value"),
        Value::Word(known) => (known.contains(&value), words.as_str()),
    };
    let shown = brief(value);
    let name = spec.name;
    if good { Ok(()) } else { Err(Error::usage(format!("the option {name} takes {form}, not '{shown}'"))) }
}

fn flag(text: &str) -> Option<bool> {
    match text {
        "" | "true" | "yes" | "1" => Some(true),
        "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// A time: `200ms`, `1m30s`, a bare number of seconds, or `off`.
pub fn time(text: &str) -> Option<Option<Duration>> {
    // What is added to a clock still fits into it.
    const CENTURY: Duration = Duration::from_secs(100 * 31_557_600);
    if text == "off" {
        return Some(None);
    }
    let seconds = || text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let time = seconds().or_else(|| humantime::parse_duration(text).ok())?;
    (time <= CENTURY).then_some(Some(time))
}

/// A number of bytes: `4096`, `64k` (of 1,024), `1MiB`, `10MB` (of 1,000,000).
pub fn size(text: &str) -> Option<usize> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: usize = text[..digits].parse().ok()?;
    let unit: usize = match text[digits..].trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return None,
    };
    number.checked_mul(unit).filter(|size| *size <= 1 << 40)
}

fn share(text: &str) -> Option<f64> {
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share))
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.0.iter().enumerate() {
            let join = if at == 0 { "" } else { "&" };
            write!(f, "{join}{name}={}", percent_encoding::utf8_percent_encode(value, crate::address::VALUE))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(OPTIONS.is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn times_and_sizes_read_as_people_write_them() {
        assert_eq!(time("1.5"), Some(Some(Duration::from_millis(1500))));
        assert_eq!(time("200ms"), Some(Some(Duration::from_millis(200))));
        assert_eq!(time("400d"), Some(Some(Duration::from_hours(400 * 24))));
        assert_eq!(time("off"), Some(None));
        assert_eq!((time("fast"), time("-1"), time("1e99")), (None, None, None));
        assert_eq!((size("64k"), size("1 MiB"), size("10MB")), (Some(65_536), Some(1 << 20), Some(10_000_000)));
        assert_eq!((size("x"), size("99999999999999999999"), size("1tb")), (None, None, None));
    }

    #[test]
    fn a_wrong_option_names_the_right_one() {
        let mut options = Options::default();
        let error = options.set("idel", "3s").unwrap_err();
        assert_eq!(error.advice(), Some("did you mean 'idle'?"));
        assert!(options.set("idle", "soon").unwrap_err().to_string().contains("a time like"));
        options.set("cert", "a.pem").unwrap();
        assert!(options.suit("tcp", End::Listen).unwrap_err().to_string().contains("means nothing on tcp"));
        options.suit("tls", End::Listen).unwrap();
    }

    #[test]
    fn a_chain_of_proxies_stands_in_its_order() {
        let mut options = Options::default();
        for proxy in ["socks5://a", "http://me:a%26b@b:3128"] {
            options.set("via", proxy).unwrap();
        }
        options.set("idle", "3s").unwrap();
        options.set("idle", "4s").unwrap();
        assert_eq!(options.to_string(), "via=socks5://a&via=http://me:a%2526b@b:3128&idle=4s");
        assert_eq!(options.all("via").collect::<Vec<_>>(), ["socks5://a", "http://me:a%26b@b:3128"]);
        let error = options.set("via", "https://me:hidden@h").unwrap_err();
        assert!(!format!("{error} {:?}", error.advice()).contains("hidden"), "{error}");
        options.unset("via");
        assert_eq!(options.to_string(), "idle=4s");
    }
}
