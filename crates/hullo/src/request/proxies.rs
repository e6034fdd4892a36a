//! Whom to go through, and to whom not.

use std::net::IpAddr;

use super::Proxy;
use crate::address::Address;

/// The proxies of each scheme, and the hosts that are reached without.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// For `http://`.
    pub http: Option<Proxy>,
    /// For `https://`.
    pub https: Option<Proxy>,
    /// Hosts, domains with all that is in them, addresses and networks (`10.0.0.0/8`); `*` for all.
    pub except: Vec<String>,
}

impl Proxies {
    /// The proxy on the way to that server.
    pub fn of(&self, to: &Address) -> Option<&Proxy> {
        let proxy = if to.scheme == "https" { &self.https } else { &self.http };
        proxy.as_ref().filter(|_| !self.except.iter().any(|except| names(except.trim(), to)))
    }
}

/// Whether a word of `no_proxy` means that server.
fn names(word: &str, to: &Address) -> bool {
    if word == "*" {
        return true;
    }
    let (word, port) = match word.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') => (name, port.parse::<u16>().ok()),
        _ => (word, None),
    };
    let (host, word) = (to.host.to_ascii_lowercase(), word.trim_start_matches('.').to_ascii_lowercase());
    let theirs = to.port.unwrap_or(if to.scheme == "https" { 443 } else { 80 });
    if word.is_empty() || port.is_some_and(|port| port != theirs) {
        return false;
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return within(ip, word.trim_matches(['[', ']']));
    }
    host == word || host.strip_suffix(&word).is_some_and(|rest| rest.ends_with('.'))
}

/// Whether the address is that one, or in that network.
fn within(ip: IpAddr, network: &str) -> bool {
    let (base, length) = network.split_once('/').map_or((network, None), |(base, length)| (base, Some(length)));
    let Ok(base) = base.parse::<IpAddr>() else { return false };
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)) << 96, 32),
        IpAddr::V6(ip) => (u128::from(ip), 128),
    };
    let ((ip_bits, _), (base_bits, size)) = (bits(ip), bits(base));
    let Ok(length) = length.map_or(Ok(size), str::parse::<u32>) else { return false };
    let differing = ip_bits ^ base_bits;
    ip.is_ipv4() == base.is_ipv4() && length <= size && differing.leading_zeros() >= length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_hosts_domains_and_networks() {
        for (word, url, named) in [
            ("example.org", "http://example.org/", true),
            ("example.org", "http://www.Example.org/", true),
            (".example.org", "http://www.example.org/", true),
            ("example.org", "http://notexample.org/", false),
            ("example.org:8080", "http://example.org:8080/", true),
            ("example.org:8080", "http://example.org/", false),
            ("*", "https://anything/", true),
            ("", "http://anything/", false),
            ("127.0.0.1", "http://127.0.0.1:99/", true),
            ("10.0.0.0/8", "http://10.9.8.7/", true),
            ("10.0.0.0/8", "http://11.9.8.7/", false),
            ("::1", "http://[::1]:80/", true),
            ("fd00::/8", "http://[fd12::1]/", true),
            ("0.0.0.0/0", "http://[::1]/", false),
        ] {
            assert_eq!(names(word, &url.parse().unwrap()), named, "{word} and {url}");
        }
    }
}
