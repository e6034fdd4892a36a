//! What the scripts of another site's page are told about reading an answer, where the option `origin` lets them ask at all
//! (Fetch standard, section 3.3).

use ::http::{
    HeaderMap, HeaderValue, Request,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
        ACCESS_CONTROL_REQUEST_METHOD, HeaderName, ORIGIN, VARY,
    },
};

/// A page that asks.
pub(super) struct Cors {
    origin: HeaderValue,
    /// Of the question whether it may ask: the method, and the headers.
    wishes: Option<(HeaderValue, Option<HeaderValue>)>,
}

impl Cors {
    /// The page that a request is from, if it is from one.
    pub(super) fn of<B>(request: &Request<B>) -> Option<Self> {
        let header = |name: HeaderName| request.headers().get(name).cloned();
        let wishes =
            header(ACCESS_CONTROL_REQUEST_METHOD).map(|method| (method, header(ACCESS_CONTROL_REQUEST_HEADERS)));
        header(ORIGIN).map(|origin| Self { origin, wishes })
    }

    /// Lets it read the answer. What the service says about that itself stands.
    pub(super) fn allow(self, to: &mut HeaderMap) {
        if to.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            return;
        }
        to.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.origin);
        to.append(VARY, HeaderValue::from_static("Origin"));
        let Some((method, headers)) = self.wishes else {
            to.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
            return;
        };
        to.insert(ACCESS_CONTROL_ALLOW_METHODS, method);
        to.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        if let Some(headers) = headers {
            to.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers);
        }
    }
}
