//! Where a response sends us, and what becomes of the request on its way (RFC 9110, section 15.4).

use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, TRANSFER_ENCODING},
};

use super::{Call, PERSONAL, is_secret};
use crate::{
    address::Address,
    error::{Error, Kind, Result},
    io::exchange::{Body, empty},
};

impl Call {
    /// Becomes the request that the redirect asks for.
    pub(super) fn redirect(&mut self, status: StatusCode, mut next: Address) {
        let see_other = status == StatusCode::SEE_OTHER && self.method != Method::HEAD;
        let as_browsers_do = matches!(status.as_u16(), 301 | 302) && self.method == Method::POST;
        if see_other || as_browsers_do {
            self.method = Method::GET;
            self.body = Box::new(|| Ok(empty()));
            for name in [CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING] {
                self.headers.remove(name);
            }
        }
        if !same_origin(&self.to, &next) {
            // What proves who we are to one host is not for another.
            let secret: Vec<_> =
                self.headers.keys().filter(|name| is_secret(name) || **name == HOST).cloned().collect();
            for name in secret {
                self.headers.remove(name);
            }
            PERSONAL.iter().for_each(|name| next.options.unset(name));
        }
        self.to = next;
    }
}

/// Whether both are on one scheme, host and port.
pub(super) fn same_origin(a: &Address, b: &Address) -> bool {
    (&a.scheme, &a.host, a.port) == (&b.scheme, &b.host, b.port)
}

/// Where the response sends us, if it does.
pub(super) fn target(response: &Response<Body>, from: &Address) -> Option<Result<Address>> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(LOCATION)?;
    Some(resolve(location, from))
}

fn resolve(location: &HeaderValue, from: &Address) -> Result<Address> {
    let wrong = || Error::new(Kind::Protocol, format!("{} redirects to what is no URL", from.bare()));
    // Spaces and other alphabets do not belong there, and are there: browsers take them too.
    let location = std::str::from_utf8(location.as_bytes()).map_err(|_| wrong())?.trim().replace(' ', "%20");
    let location = location.split('#').next().unwrap_or_default();
    let scheme = location.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| !scheme.contains(['/', '?']));
    if let Some(scheme) = scheme.filter(|scheme| !matches!(*scheme, "http" | "https")) {
        let about = format!("{} redirects to another protocol ({})", from.bare(), crate::error::brief(scheme));
        return Err(Error::new(Kind::Protocol, about));
    }
    let absolute = if location.starts_with("http://") || location.starts_with("https://") {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{}://{rest}", from.scheme)
    } else {
        let base = format!("{}://{}", from.scheme, from.authority());
        let folder = from.path.rfind('/').map_or("/", |at| &from.path[..=at]);
        match location.as_bytes().first() {
            Some(b'/') => format!("{base}{location}"),
            Some(b'?') => format!("{base}{}{location}", if from.path.is_empty() { "/" } else { &from.path }),
            _ => format!("{base}{folder}{location}"),
        }
    };
    // The query is all the server's: options do not come from it, but stay what the user gave.
    let (url, query) = absolute.split_once('?').map_or((absolute.as_str(), None), |(url, query)| (url, Some(query)));
    let mut next = Address::resource(url).map_err(|error| wrong().because(error))?;
    next.query = query.map(str::to_owned);
    next.options = from.options.clone();
    next.options.keep(&next.scheme);
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_resolve() {
        let from = Address::resource("https://a.example/x/y?q=1#insecure=true").unwrap();
        for (location, to) in [
            ("/z", "https://a.example/z#insecure=true"),
            ("z?max=1", "https://a.example/x/z?max=1#insecure=true"),
            ("?p", "https://a.example/x/y?p#insecure=true"),
            ("//b.example/z#part", "https://b.example/z#insecure=true"),
            ("http://c.example:80/z", "http://c.example:80/z"),
            ("/a b/ü ", "https://a.example/a%20b/ü#insecure=true"),
        ] {
            let next = resolve(&HeaderValue::from_bytes(location.as_bytes()).unwrap(), &from).unwrap();
            assert_eq!(next.to_string(), to, "{location}");
        }
    }
}
