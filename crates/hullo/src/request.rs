//! The HTTP client: one request, its redirects, and the response as it comes.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, TRANSFER_ENCODING, USER_AGENT},
};
use http_body_util::BodyExt;

use crate::{
    address::Address,
    error::{Error, Kind, Result},
    io::exchange::{Body, empty},
    options::End,
    scope::Scope,
    transport::{self, http as over_http},
};

/// A request that can be sent again, as a redirect asks for.
pub struct Call {
    /// The method.
    pub method: Method,
    /// The URL.
    pub to: Address,
    /// The headers, to begin with `Accept` and `User-Agent`; `Host` is added where it is missing.
    pub headers: HeaderMap,
    /// Makes the body, for each time that it is sent.
    pub body: Box<dyn Fn() -> Result<Body> + Send + Sync>,
}

impl Call {
    /// A request without a body.
    pub fn new(method: Method, to: Address) -> Self {
        Self { method, to, headers: defaults(), body: Box::new(|| Ok(empty())) }
    }

    /// Sends it. `redirects` is how many redirects are followed; the response of the last one is returned, with the URL
    /// that it came from.
    ///
    /// # Errors
    /// The connection's, a response that is not HTTP, or more redirects than that.
    pub async fn send(mut self, scope: &Scope, redirects: usize) -> Result<(Response<Body>, Address)> {
        let mut left = redirects;
        loop {
            let response = exchange(&self.to, self.method.clone(), self.headers.clone(), (self.body)()?, scope).await?;
            let Some(next) = target(&response, &self.to).filter(|_| redirects > 0) else {
                return Ok((response, self.to));
            };
            if left == 0 {
                return Err(Error::new(
                    Kind::Protocol,
                    format!("{} redirects more than {redirects} times", self.to.bare()),
                ));
            }
            left -= 1;
            self.redirect(response.status(), next?);
        }
    }

    /// Becomes the request that the redirect asks for (RFC 9110, section 15.4).
    fn redirect(&mut self, status: StatusCode, mut next: Address) {
        let see_other = status == StatusCode::SEE_OTHER && self.method != Method::HEAD;
        let as_browsers_do = matches!(status.as_u16(), 301 | 302) && self.method == Method::POST;
        if see_other || as_browsers_do {
            self.method = Method::GET;
            self.body = Box::new(|| Ok(empty()));
            for name in [CONTENT_TYPE, CONTENT_LENGTH, TRANSFER_ENCODING] {
                self.headers.remove(name);
            }
        }
        let same = |a: &Address, b: &Address| (&a.scheme, &a.host, a.port) == (&b.scheme, &b.host, b.port);
        if !same(&self.to, &next) {
            // What proves who we are to one host is not for another.
            let secret: Vec<_> =
                self.headers.keys().filter(|name| is_secret(name) || **name == HOST).cloned().collect();
            for name in secret {
                self.headers.remove(name);
            }
            for name in ["cert", "key", "sni"] {
                next.options.unset(name);
            }
        }
        self.to = next;
    }
}

/// Whether a header's value proves who somebody is: it is not shown, and not sent to another host.
pub fn is_secret(name: &HeaderName) -> bool {
    let name = name.as_str();
    let words = ["auth", "token", "secret", "key", "password"];
    matches!(name, "cookie" | "set-cookie") || words.iter().any(|word| name.contains(word))
}

/// Where the response sends us, if it does.
fn target(response: &Response<Body>, from: &Address) -> Option<Result<Address>> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(LOCATION)?;
    Some(resolve(location, from))
}

fn resolve(location: &HeaderValue, from: &Address) -> Result<Address> {
    let wrong = || Error::new(Kind::Protocol, format!("{} redirects to what is no URL", from.bare()));
    let location = location.to_str().map_err(|_| wrong())?;
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

/// What every request says of itself unless told otherwise.
pub(crate) fn defaults() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("hullo/", env!("CARGO_PKG_VERSION"))));
    headers
}

/// One request and its response; the head of it must come within `timeout`.
pub(crate) async fn exchange(
    to: &Address,
    method: Method,
    headers: HeaderMap,
    body: Body,
    scope: &Scope,
) -> Result<Response<Body>> {
    transport::find(to, End::Connect)?;
    if !matches!(to.scheme.as_str(), "http" | "https") {
        return Err(Error::usage(format!("{} is not http or https", to.bare()))
            .hint("for other transports there are ask and connect"));
    }
    let scope = scope.under(&to.options)?;
    let to = &to.on_a_host();
    let uri: Uri = format!("{}://{}{}", to.scheme, to.authority(), to.target())
        .parse()
        .map_err(|error| Error::usage(format!("{} is no URL", to.bare())).because(error as http::uri::InvalidUri))?;
    let mut request = Request::new(body);
    (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, headers);
    let (response, _) = over_http::exchange(to, request, &scope).await?;
    let about = to.bare().to_string();
    Ok(response.map(|body| {
        body.map_err(move |error| {
            Error::new(over_http::kind(&error), format!("the response of {about} was cut off")).because(error)
        })
        .boxed_unsync()
    }))
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
        ] {
            let next = resolve(&HeaderValue::from_static(location), &from).unwrap();
            assert_eq!(next.to_string(), to, "{location}");
        }
    }
}
