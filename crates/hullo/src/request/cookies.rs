//! Cookies (RFC 6265): taken from responses, and sent where they belong.

use std::sync::{Mutex, MutexGuard, PoisonError};

use cookie_store::{Cookie, CookieStore, RawCookie};
use http::{HeaderMap, header::SET_COOKIE};
use serde_json::Value;
use url::Url;

use crate::{
    address::Address,
    error::{Error, Kind, Result},
};

/// Cookies that are sent where they belong.
#[derive(Default)]
pub struct Jar(Mutex<CookieStore>);

impl Jar {
    /// The cookies that [`to_json`](Jar::to_json) gave.
    ///
    /// # Errors
    /// [`Kind::File`] for anything else.
    pub fn from_json(value: Value) -> Result<Self> {
        let wrong = |error| Error::new(Kind::File, "the cookies are not as they were written").because(error);
        let cookies: Vec<Cookie<'static>> = serde_json::from_value(value).map_err(wrong)?;
        let store = CookieStore::from_cookies(cookies.into_iter().map(Ok::<_, std::convert::Infallible>), false);
        Ok(Self(Mutex::new(store.unwrap_or_else(|never| match never {}))))
    }

    /// All cookies that have not expired.
    pub fn to_json(&self) -> Value {
        // A cookie is made of text, which is always JSON.
        self.lock().iter_unexpired().filter_map(|cookie| serde_json::to_value(cookie).ok()).collect()
    }

    /// Adds what a `Cookie` header says, for that host alone.
    pub fn add(&self, to: &Address, cookies: &str) {
        let Some(url) = url(to) else { return };
        for pair in cookies.split(';').filter_map(|pair| pair.trim().split_once('=')) {
            let cookie = RawCookie::build((pair.0.to_owned(), pair.1.to_owned())).path("/").build();
            // What no cookie can be is not kept.
            let _ = self.lock().insert_raw(&cookie, &url);
        }
    }

    /// The `Cookie` header for that URL.
    pub fn header(&self, to: &Address) -> Option<String> {
        let jar = self.lock();
        let mut cookies = jar.matches(&url(to)?);
        // Longer paths first (section 5.4); the rest in an order that does not change from run to run.
        cookies.sort_by_key(|cookie| (std::cmp::Reverse(cookie.path.len()), cookie.name().to_owned()));
        let pairs: Vec<_> = cookies.iter().map(|cookie| format!("{}={}", cookie.name(), cookie.value())).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// Takes the cookies of a response.
    pub(super) fn take(&self, from: &Address, headers: &HeaderMap) {
        let Some(url) = url(from) else { return };
        for value in headers.get_all(SET_COOKIE) {
            let Some(cookie) = value.to_str().ok().and_then(|text| RawCookie::parse(text.to_owned()).ok()) else {
                continue;
            };
            // One for a whole top-level domain would go to strangers.
            let domain = cookie.domain().map(|domain| domain.trim_start_matches('.').to_ascii_lowercase());
            if domain.is_some_and(|domain| !domain.contains('.') && domain != from.host.to_ascii_lowercase()) {
                continue;
            }
            // One that is not this host's to set is not kept.
            let _ = self.lock().insert_raw(&cookie, &url);
        }
    }

    fn lock(&self) -> MutexGuard<'_, CookieStore> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn url(address: &Address) -> Option<Url> {
    Url::parse(&format!("{}://{}{}", address.scheme, address.authority(), address.target())).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn cookies_go_where_they_belong() {
        let jar = Jar::default();
        let at = |url: &str| Address::resource(url).unwrap();
        let mut headers = HeaderMap::new();
        for cookie in [
            "a=1; Path=/",
            "deep=2; Path=/deep",
            "wide=3; Domain=example.org; Path=/",
            "safe=4; Secure; Path=/",
            "alien=5; Domain=example.com; Path=/",
            "top=6; Domain=org; Path=/",
            "gone=7; Max-Age=0; Path=/",
        ] {
            headers.append(SET_COOKIE, HeaderValue::from_static(cookie));
        }
        jar.take(&at("http://www.example.org/x"), &headers);
        jar.add(&at("http://www.example.org/x"), "typed=8; more=9");
        let again = Jar::from_json(jar.to_json()).unwrap();
        for jar in [&jar, &again] {
            for (url, cookies) in [
                ("http://www.example.org/", Some("a=1; more=9; typed=8; wide=3")),
                ("http://www.example.org/deep/x", Some("deep=2; a=1; more=9; typed=8; wide=3")),
                ("https://www.example.org/", Some("a=1; more=9; safe=4; typed=8; wide=3")),
                ("http://example.org/", Some("wide=3")),
                ("http://example.com/", None),
                ("http://other.org/", None),
            ] {
                assert_eq!(jar.header(&at(url)).as_deref(), cookies, "{url}");
            }
        }
    }
}
