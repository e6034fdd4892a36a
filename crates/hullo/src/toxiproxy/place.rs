//! Where a proxy listens and where it leads, as Toxiproxy writes it: `127.0.0.1:6379`, `localhost:0`, `:80`; or as hullo
//! does.

use http::StatusCode;
use tokio::net::lookup_host;

use super::answer::Problem;
use crate::{address::Address, options::End, transport};

/// What nobody may reach by HTTP: the programs and the terminal of this machine.
const REFUSED: &[&str] = &["exec", "stdio"];

/// A place to listen at.
pub(super) struct Place {
    /// Where to try it, in this order.
    pub(super) tries: Vec<Address>,
    /// As it is told, unless it has port 0.
    pub(super) told: String,
    bare: bool,
}

impl Place {
    /// Finds out what that text means. Where there is no scheme it is a host and a port: a name is looked up, and its
    /// addresses of IPv4 come first; without a host it is every address of this machine, as in Toxiproxy.
    pub(super) async fn find(text: &str) -> Result<Self, Problem> {
        if has_scheme(text) {
            let address = address(text, End::Listen)?;
            return Ok(Self { told: address.to_string(), tries: vec![address], bare: false });
        }
        let text = if text.is_empty() { ":0" } else { text };
        let address: Address = text.parse().map_err(|error| failed(format!("address {text}: {error}")))?;
        let Some(port) = address.port else {
            return Err(failed(format!("address {text}: missing port in address")));
        };
        let hosts = hosts(&address.host, port).await?;
        let tries: Vec<_> = hosts.into_iter().map(|host| Address { host, ..address.clone() }).collect();
        let told = tries.first().map(Address::authority).unwrap_or_default();
        Ok(Self { tries, told, bare: true })
    }

    /// The place as it is told when it is bound there: with the real port.
    pub(super) fn bound(&self, tried: &Address, at: &Address) -> String {
        let real = Address { host: at.host.clone(), port: at.port, ..tried.clone() };
        if self.bare { real.authority() } else { real.to_string() }
    }

    /// What went wrong when it was tried, in the words of Toxiproxy where it has any.
    pub(super) fn refused(&self, error: &crate::error::Error) -> Problem {
        let cause = std::error::Error::source(error).map(|cause| crate::error::plain(&cause.to_string()));
        match cause.filter(|_| self.bare) {
            Some(cause) => failed(format!("listen tcp {}: bind: {cause}", self.told)),
            None => failed(error.to_string()),
        }
    }
}

/// What is wrong with a place, as it is told where somebody wants to listen there.
pub(super) fn cannot_listen(problem: Problem) -> Problem {
    match problem.status {
        StatusCode::INTERNAL_SERVER_ERROR => failed(format!("listen tcp: {}", problem.error)),
        _ => problem,
    }
}

/// Where a proxy leads.
pub(super) fn upstream(text: &str) -> Result<Address, Problem> {
    address(text, End::Connect)
}

fn address(text: &str, end: End) -> Result<Address, Problem> {
    let address: Address = text.parse()?;
    if REFUSED.contains(&address.scheme.as_str()) {
        let why = format!("{}: is not for those who come by HTTP", address.scheme);
        return Err(Problem::new(StatusCode::BAD_REQUEST, why));
    }
    transport::find(&address, end)?;
    Ok(address)
}

/// Whether that text says by which transport.
fn has_scheme(text: &str) -> bool {
    text == "-"
        || Address::typed(text)
            .is_ok_and(|address| text.starts_with(&format!("{}:", address.scheme)) && !is_host_port(text))
}

/// `udp:53` is a host with a port.
fn is_host_port(text: &str) -> bool {
    text.split_once(':').is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|c| c.is_ascii_digit()))
}

/// The addresses to listen at.
async fn hosts(host: &str, port: u16) -> Result<Vec<String>, Problem> {
    if host.is_empty() {
        // The second where the machine has no IPv6.
        return Ok(vec!["::".to_owned(), "0.0.0.0".to_owned()]);
    }
    let found = lookup_host((host, port)).await.map_err(|error| failed(format!("lookup {host}: {error}")))?;
    let mut found: Vec<_> = found.map(|found| found.ip()).collect();
    found.sort_by_key(std::net::IpAddr::is_ipv6);
    // As with Toxiproxy, it is one of them.
    match found.first() {
        Some(ip) => Ok(vec![ip.to_string()]),
        None => Err(failed(format!("lookup {host}: no such host"))),
    }
}

/// Toxiproxy has no better status for it.
fn failed(why: String) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_are_told_as_toxiproxy_tells_them() {
        for (text, wanted) in [
            ("127.0.0.1:7070", Ok("127.0.0.1:7070")),
            ("localhost:7070", Ok("127.0.0.1:7070")),
            ("[::1]:7070", Ok("[::1]:7070")),
            (":7070", Ok("[::]:7070")),
            ("", Ok("[::]:0")),
            ("tls://127.0.0.1:0", Ok("tls://127.0.0.1:0")),
            ("unix:/run/x.sock", Ok("unix:/run/x.sock")),
            ("local373", Err(500)),
            ("stdio:", Err(400)),
            ("-", Err(400)),
            ("exec:id", Err(400)),
            ("nonsense:there", Err(400)),
            ("tcp://127.0.0.1:0?sni=a", Err(400)),
        ] {
            let told = Place::find(text).await.map(|place| place.told).map_err(|problem| problem.status.as_u16());
            assert_eq!(told.as_deref(), wanted.as_ref().map(|told| *told), "{text}");
        }
    }

    #[test]
    fn upstreams_are_addresses() {
        for (text, wanted) in [
            ("redis:6379", "tcp://redis:6379"),
            ("udp:53", "tcp://udp:53"),
            ("tls://example.org:443?sni=a", "tls://example.org:443?sni=a"),
            ("unix:/run/x.sock", "unix:/run/x.sock"),
        ] {
            assert_eq!(upstream(text).unwrap().to_string(), wanted);
        }
        for text in ["exec:id", "-", "stdio:", "a b", "foo://x"] {
            assert_eq!(upstream(text).unwrap_err().status, 400, "{text}");
        }
    }
}
