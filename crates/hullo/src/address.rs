//! Addresses: URLs that carry their options.
//!
//! ```text
//! tcp://host:7000?frame=len32&idle=30s      unix:/run/x.sock      stdio:      memory:room
//! :8080   host:8080   8080                  the same as tcp://…
//! ```

use std::{fmt, str::FromStr};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::{
    error::{Error, Result, brief, unknown},
    options::{Options, find},
    proxy::Proxy,
};

/// Where to listen or to connect, and how.
///
/// [`FromStr`] and [`Display`](fmt::Display) are inverse to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The transport, as in `tcp`.
    pub scheme: String,
    /// The host as written, without the brackets of an IPv6 address; may be empty.
    pub host: String,
    /// The port, where one is written.
    pub port: Option<u16>,
    /// What follows the host: a path, or a name on transports that have no host.
    pub path: String,
    /// On HTTP and WebSocket addresses: the part of the query that belongs to the server, as written.
    pub query: Option<String>,
    /// The options.
    pub options: Options,
}

/// Schemes whose query belongs to the resource that they name.
const RESOURCES: &[&str] = &["http", "https", "ws", "wss"];

/// Whether [`Address::resource`] takes that out of a query; all else it leaves to the server. Proxies are taken, but not
/// whatever else somebody calls so.
fn is_for_us(name: &str, value: &str) -> bool {
    let is_proxy = || decode(value).is_some_and(|text| text.starts_with("socks") || Proxy::via(&text).is_ok());
    matches!(name, "ca" | "insecure" | "pin") || name == "via" && is_proxy()
}

const PATH: &AsciiSet = &CONTROLS.add(b' ').add(b'?').add(b'#').add(b'%').add(b'"').add(b'<').add(b'>');
pub(crate) const VALUE: &AsciiSet = &PATH.add(b'&').add(b'+');

impl FromStr for Address {
    type Err = Error;

    /// Reads an address.
    ///
    /// On `http`, `https`, `ws` and `wss` the names in the query that are not options belong to the server and stay in
    /// [`query`](Address::query); everywhere else an unknown option is an error. After a `#` everything is an option.
    fn from_str(text: &str) -> Result<Self> {
        parse(text, "tcp", |name, _| find(name).is_some())
    }
}

impl Address {
    /// An address of that scheme, host and port.
    pub fn new(scheme: &str, host: &str, port: u16) -> Self {
        let (scheme, host) = (scheme.to_owned(), host.to_owned());
        Self { scheme, host, port: Some(port), path: String::new(), query: None, options: Options::default() }
    }

    /// Reads the URL of a resource: its query is the server's, except for `pin`, `ca`, `insecure` and proxies (`via`); a URL without a
    /// scheme is `http`, and one without a host is on this machine.
    ///
    /// # Errors
    /// As [`FromStr`].
    pub fn resource(text: &str) -> Result<Self> {
        let text = text.strip_prefix("://").map_or_else(|| text.to_owned(), |rest| format!("http://{rest}"));
        parse(&text, "http", is_for_us).map(|address| address.on_a_host())
    }

    /// The same address with a host where it names a resource: without one it is on this machine.
    pub fn on_a_host(&self) -> Self {
        let mut address = self.clone();
        if address.host.is_empty() && RESOURCES.contains(&address.scheme.as_str()) {
            address.host = "localhost".to_owned();
        }
        address
    }

    /// The same address without its options: what a person needs to find it.
    pub fn bare(&self) -> Self {
        Self { options: Options::default(), ..self.clone() }
    }

    /// The same address at another port.
    pub fn at(&self, port: u16) -> Self {
        Self { port: Some(port), ..self.clone() }
    }

    /// `host:port` as it stands in a URL, with brackets where it is an IPv6 address.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        self.port.map_or(host.clone(), |port| format!("{host}:{port}"))
    }

    /// Path and query as an HTTP request line has them.
    pub fn target(&self) -> String {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        let target = self.query.as_ref().map_or(path.to_owned(), |query| format!("{path}?{query}"));
        // What is written in another alphabet travels as UTF-8 in percent signs; the rest is left as it is.
        utf8_percent_encode(&target, CONTROLS).to_string()
    }

    /// Refuses an address with a part that its transport has no use for.
    ///
    /// # Errors
    /// Names the part.
    pub fn without(&self, part: &str, present: bool) -> Result<()> {
        if present {
            Err(Error::usage(format!("{} has a {part}, which {} has no use for", self.bare(), self.scheme)))
        } else {
            Ok(())
        }
    }
}

fn parse(text: &str, default: &str, ours: fn(&str, &str) -> bool) -> Result<Address> {
    let wrong = |why: &str| Error::usage(format!("'{}' is not an address: {why}", brief(&without_user(text))));
    if text.is_empty() || text.len() > 8192 {
        return Err(wrong(if text.is_empty() { "it is empty" } else { "it is longer than 8192 bytes" }));
    }
    if text.contains(|c: char| c.is_control() || c == ' ') {
        return Err(wrong("it has a space or a control character in it").hint("write %20 for a space"));
    }
    let text_ = match text {
        "-" => "stdio:",
        text => text,
    };
    let (scheme, rest) = scheme_of(text_).unwrap_or((default, text_));
    let resource = RESOURCES.contains(&scheme);
    let (rest, fragment) = rest.split_once('#').map_or((rest, None), |(rest, fragment)| (rest, Some(fragment)));
    let (place, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    let named = scheme_of(text_).is_some() && !place.starts_with("//");
    if named && resource {
        return Err(wrong("its scheme is not followed by //"));
    }
    let place = place.strip_prefix("//").unwrap_or(place);
    let (authority, path) = match place.find('/') {
        _ if named => ("", place),
        Some(at) => place.split_at(at),
        None => (place, ""),
    };
    let (host, port) = host_port(authority).map_err(wrong)?;
    let path = if resource { path.to_owned() } else { decode(path).ok_or_else(|| wrong("its path is not UTF-8"))? };
    let mut options = Options::default();
    let mut theirs = Vec::new();
    for pair in query.into_iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty() || resource) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if resource && !ours(name, value) {
            theirs.push(pair);
        } else {
            option(&mut options, name, value)?;
        }
    }
    for pair in fragment.into_iter().flat_map(|options| options.split('&')).filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            // A place in a page, as it stands behind a URL that was copied from a browser.
            None if resource && find(pair).is_none() => {}
            named => {
                let (name, value) = named.unwrap_or((pair, ""));
                option(&mut options, name, value)?;
            }
        }
    }
    let query = query.filter(|query| !theirs.is_empty() || query.is_empty() && resource).map(|_| theirs.join("&"));
    Ok(Address { scheme: scheme.to_owned(), host, port, path, query, options })
}

/// The text without the name and password that somebody may have put before the host, and without the proxies, which may
/// have some too: an error is no place for them.
fn without_user(text: &str) -> String {
    if let Some((before, proxy)) = text.split_once("via=") {
        let rest = proxy.find(['&', '#']).map_or("", |at| &proxy[at..]);
        return format!("{}via=…{}", without_user(before), without_user(rest));
    }
    let start = text.find("//").map_or(0, |at| at + 2);
    let end = text[start..].find(['/', '?', '#']).map_or(text.len(), |at| start + at);
    match text[start..end].rfind('@') {
        Some(at) => format!("{}…{}", &text[..start], &text[start + at..]),
        None => text.to_owned(),
    }
}

fn option(options: &mut Options, name: &str, value: &str) -> Result<()> {
    let value = decode(value).ok_or_else(|| Error::usage(format!("the value of the option '{name}' is not UTF-8")))?;
    if value.contains(char::is_control) {
        return Err(Error::usage(format!("the value of the option '{name}' has a control character in it")));
    }
    if find(name).is_none_or(|spec| !spec.many) && options.iter().any(|(known, _)| known == name) {
        return Err(Error::usage(format!("the option '{name}' stands there twice")));
    }
    options.set(name, value)
}

/// The scheme and what follows its colon; `host:port` has none.
fn scheme_of(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let word = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c));
    let port = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_port = !port.is_empty() && port.chars().all(|c| c.is_ascii_digit());
    (word && !is_port).then_some((scheme, rest))
}

fn host_port(authority: &str) -> Result<(String, Option<u16>), &'static str> {
    if authority.contains('@') {
        return Err("a name and a password do not belong in an address");
    }
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("its [ has no ]")?;
        let inner = host.split('%').next().unwrap_or_default();
        inner.parse::<std::net::Ipv6Addr>().map_err(|_| "there is no IPv6 address between its [ and ]")?;
        match after.strip_prefix(':') {
            None if after.is_empty() => (host, None),
            None => return Err("something other than a port follows its ]"),
            port => (host, port),
        }
    } else if !authority.is_empty() && authority.chars().all(|c| c.is_ascii_digit()) {
        ("", Some(authority))
    } else {
        authority.rsplit_once(':').map_or((authority, None), |(host, port)| (host, Some(port)))
    };
    if !authority.starts_with('[') {
        if host.contains(':') {
            return Err("an IPv6 address is written in brackets, as in [::1]:8080");
        }
        if host.contains(|c: char| !c.is_alphanumeric() && !"-._~".contains(c)) {
            return Err(match host {
                "*" => "for all of this machine's addresses write 0.0.0.0 or [::]",
                _ => "its host has a character that no host has",
            });
        }
    }
    let port = match port {
        None => None,
        Some(digits) if digits.bytes().all(|c| c.is_ascii_digit()) && !digits.is_empty() => {
            Some(digits.parse().map_err(|_| "a port is at most 65535")?)
        }
        Some(_) => return Err("its port is not a number"),
    };
    Ok((host.to_owned(), port))
}

fn decode(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resource = RESOURCES.contains(&self.scheme.as_str());
        let authority = self.authority();
        let slashes = if authority.is_empty() && !self.path.starts_with("//") && !resource { "" } else { "//" };
        write!(f, "{}:{slashes}{authority}", self.scheme)?;
        if resource {
            f.write_str(&self.path)?;
        } else {
            // A name of digits behind the colon would be read as a port.
            let first = self.path.split('/').next().unwrap_or_default();
            let port = slashes.is_empty() && !first.is_empty() && first.bytes().all(|c| c.is_ascii_digit());
            let (digit, rest) = self.path.split_at(usize::from(port));
            digit.bytes().try_for_each(|digit| write!(f, "%{digit:02X}"))?;
            write!(f, "{}", utf8_percent_encode(rest, PATH))?;
        }
        if let Some(query) = &self.query {
            write!(f, "?{query}")?;
        }
        match (self.options.iter().next(), resource) {
            (None, _) => Ok(()),
            (_, true) => write!(f, "#{}", self.options),
            (_, false) => write!(f, "?{}", self.options),
        }
    }
}

/// An error for a scheme that no transport has.
pub(crate) fn no_scheme(address: &Address, known: &[&'static str]) -> Error {
    let error = unknown("transport", &address.scheme, known.iter().copied());
    match address.scheme.contains('.') {
        true => error.hint(format!("if '{}' is a host, write host:port", address.scheme)),
        false => error,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> Address {
        text.parse().unwrap_or_else(|error| unreachable!("{text}: {error}"))
    }

    #[test]
    fn short_forms_mean_tcp() {
        for text in ["tcp://:8080", ":8080", "8080"] {
            assert_eq!(address(text), Address::new("tcp", "", 8080), "{text}");
        }
        assert_eq!(address("localhost:8080"), Address::new("tcp", "localhost", 8080));
        assert_eq!(address("[::1]:8080"), Address::new("tcp", "::1", 8080));
        assert_eq!(address("-").scheme, "stdio");
        assert_eq!(address("unix:///tmp/x").path, "/tmp/x");
        assert_eq!(address("unix:x%20y").path, "x y");
        assert_eq!(address("unix:@hidden").path, "@hidden");
    }

    #[test]
    fn options_are_taken_and_the_rest_is_the_servers() {
        let wss = address("wss://h/p?token=a%20b&pin=sha256:00&x");
        assert_eq!(wss.target(), "/p?token=a%20b&x");
        assert_eq!(wss.options.text("pin"), Some("sha256:00"));
        let page = Address::resource("example.org/items?max=10&insecure=true#timeout=2s").unwrap();
        assert_eq!((page.target().as_str(), page.scheme.as_str()), ("/items?max=10", "http"));
        assert!(page.options.flag("insecure", false));
        assert_eq!(page.options.time("timeout"), Some(Some(std::time::Duration::from_secs(2))));
        assert_eq!(Address::resource(":8080/x").unwrap().to_string(), "http://localhost:8080/x");
        let shared = Address::resource("http://h/?via=ann&via=socks5://p&via=https://h/&via=http://q").unwrap();
        assert_eq!((shared.target().as_str(), shared.options.all("via").count()), ("/?via=ann&via=https://h/", 2));
        assert!(Address::resource("http://h/?via=socks5://me:hidden@p:x").is_err(), "it is not told to the server");
    }

    #[test]
    fn mistakes_are_named() {
        for (text, why) in [
            ("", "empty"),
            ("tcp://h:70000", "at most 65535"),
            ("tcp://h:x", "not a number"),
            ("tcp://[::1", "no ]"),
            ("tcp://::1:80", "brackets"),
            ("tcp://h:1?idel=3", "no option is called 'idel'"),
            ("tcp://h:1?idle=soon", "takes a time"),
            ("tcp://me:secret@h:1", "do not belong"),
            ("tcp://a b:1", "space"),
            ("tcp://h\u{1b}:1", "control"),
            ("tcp://h:x?via=socks5://p", "not a number"),
            ("tcp://h:1?via=ftp://p", "no proxy that can be used"),
            ("tcp://h:1?idle=1&idle=2", "twice"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn no_error_shows_a_password() {
        for text in [
            "tcp://me:hidden@h:1",
            "tcp://h:x?via=socks5://me:hidden@p",
            "tcp://h:x?idle=1&via=socks5%3A%2F%2Fme:hidden@p&via=http://me:hidden@q#x",
            "tcp://h:1?via=https://me:hidden@p",
            "tcp://h:1?via=socks5://me:hidden@p:70000",
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(!format!("{error:?} {:?}", error.advice()).contains("hidden"), "{error}");
        }
    }

    #[test]
    fn a_chain_of_proxies_is_an_option_that_stands_there_several_times() {
        let chained = address("wss://h/p?x=1&via=socks5://[::1]:1080&via=http://me:a%2540b@q:3128");
        assert_eq!(chained.options.all("via").collect::<Vec<_>>(), ["socks5://[::1]:1080", "http://me:a%40b@q:3128"]);
        assert_eq!((chained.target().as_str(), address(&chained.to_string())), ("/p?x=1", chained.clone()));
        assert_eq!(chained.bare().to_string(), "wss://h/p?x=1");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(text in "[a-z:/?#&=%0-9.\\[\\]@-]{0,40}|(tcp|ws|unix):(//)?[a-z]{0,3}(:[0-9]{1,5})?/?[a-z%?=&#]{0,9}") {
            if let Ok(first) = text.parse::<Address>() {
                let again = first.to_string().parse::<Address>();
                prop_assert_eq!(again.ok(), Some(first.clone()), "{} from {}", first, text);
            }
        }
    }
}
