//! `hullo serve httpbin http://:8000`: what httpbin.org answers, path for path and field for field.
//!
//! `curl http://127.0.0.1:8000/get?name=Ada` says what the server has seen of a request; `/` is a page with every path
//! and a button to try it. Beyond httpbin's own paths there are those that its users ask for: WebSockets, server-sent
//! events, trailers, interim responses, zstd, ranges of several parts. All of them are in one table, `httpbin/routes.rs`.
//!
//! Nothing waits or sends without a bound; they are in `httpbin/bounds.rs`. The pages of other sites are let in where the
//! address says so, as to every service: `http://:8000?origin=*`.
//!
//! Where it is another way than httpbin: a request that cannot be meant is 400 and not 500, a link makes no page of ours
//! (what it says is escaped, or plain text), a digest must be of the name, the algorithm and the qop that the path asks
//! for, `url` is as it was sent, and `/image` has a PNG for a client that accepts anything.

use std::sync::Arc;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ALLOW, ORIGIN,
    },
};

use self::{
    answer::Answer,
    call::Call,
    routes::{Found, find},
};
use super::{Needs, Service, Setting, Settings, Spec, echo::Echo};
use crate::{
    error::{Error, Result},
    io::exchange::{Body, empty, text},
    link::Link,
    peer::Peer,
    scope::{BoxFuture, Scope},
};

mod answer;
mod auth;
mod bounds;
mod caching;
mod call;
mod cookies;
mod data;
mod digest;
mod formats;
mod images;
mod inspect;
mod live;
mod page;
mod random;
mod range;
mod redirects;
mod routes;
mod statuses;
#[cfg(test)]
mod tests;

/// This service's line of the table.
pub const SPEC: Spec = Spec {
    name: "httpbin",
    about: "answers what httpbin.org does, to try HTTP clients on",
    sample: "/get",
    takes: &[Setting::Env],
    needs: Needs::Http,
    make: |settings| Ok(Arc::new(Httpbin::new(settings)?)),
};

/// Where a WebSocket may be opened: it gives back each message.
const WEBSOCKET: &str = "/websocket/echo";

/// The httpbin service.
pub struct Httpbin {
    env: Vec<(String, String)>,
}

impl Httpbin {
    /// Shows the variables of the settings at `/env`, and no others.
    ///
    /// # Errors
    /// A variable without a name.
    pub fn new(settings: &Settings) -> Result<Self> {
        if settings.env.iter().any(|(name, _)| name.is_empty()) {
            return Err(Error::usage("a variable of --env has no name").hint("write it like --env COLOR=blue"));
        }
        Ok(Self { env: settings.env.clone() })
    }

    async fn answer(self: Arc<Self>, request: Request<Body>, peer: Peer, scope: Scope) -> Response<Body> {
        let cors = Cors::of(request.headers(), request.method());
        let answered = self.handle(request, peer, scope).await;
        let mut response = answered.unwrap_or_else(|error| refusal(&error));
        cors.allow(response.headers_mut());
        response
    }

    async fn handle(self: Arc<Self>, request: Request<Body>, peer: Peer, scope: Scope) -> Answer {
        let (method, path) = (request.method(), request.uri().path());
        match find(method, path) {
            Found::Route(route, parts) => (route.run)(Call::new(request, parts, peer, scope, self)?).await,
            Found::Options(allowed) => Ok(allowing(Response::new(empty()), &allowed)),
            Found::Elsewhere(allowed) => {
                let about = format!("{path} has no {method}, only {allowed}\n");
                Ok(allowing(text(StatusCode::METHOD_NOT_ALLOWED, about), &allowed))
            }
            Found::Nothing => {
                Ok(text(StatusCode::NOT_FOUND, format!("there is no {path}; the page at / shows what there is\n")))
            }
        }
    }
}

impl Service for Httpbin {
    fn serve(self: Arc<Self>, link: Link) -> BoxFuture<'static, Result<()>> {
        Arc::new(Echo).serve(link)
    }

    fn exchange(
        self: Arc<Self>,
        request: Request<Body>,
        peer: Peer,
        scope: Scope,
    ) -> BoxFuture<'static, Result<Response<Body>>> {
        Box::pin(async move { Ok(self.answer(request, peer, scope).await) })
    }

    fn needs(&self) -> Needs {
        Needs::Http
    }

    /// It is there to be asked, and has nothing to hide.
    fn is_public(&self) -> bool {
        true
    }

    fn converses_at(&self, path: &str) -> bool {
        path == WEBSOCKET
    }
}

fn refusal(error: &Error) -> Response<Body> {
    let hint = error.advice().map_or(String::new(), |hint| format!("{hint}\n"));
    text(super::status(error), format!("{error}\n{hint}"))
}

fn allowing(mut response: Response<Body>, methods: &str) -> Response<Body> {
    if let Ok(methods) = HeaderValue::from_str(methods) {
        response.headers_mut().insert(ALLOW, methods);
    }
    response
}

/// What the scripts of other sites' pages are told about reading the answer (Fetch standard, section 3.3).
struct Cors {
    origin: HeaderValue,
    /// Of a preflight: the headers that it asks for.
    asked: Option<Option<HeaderValue>>,
}

impl Cors {
    fn of(headers: &HeaderMap, method: &Method) -> Self {
        let origin = headers.get(ORIGIN).cloned().unwrap_or(HeaderValue::from_static("*"));
        let asked = (method == Method::OPTIONS).then(|| headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned());
        Self { origin, asked }
    }

    fn allow(self, to: &mut HeaderMap) {
        let mut say = |name: HeaderName, value: &'static str| to.insert(name, HeaderValue::from_static(value));
        say(ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
        if self.asked.is_some() {
            say(ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, DELETE, PATCH, OPTIONS");
            say(ACCESS_CONTROL_MAX_AGE, "3600");
        }
        to.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.origin);
        if let Some(headers) = self.asked.flatten() {
            to.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers);
        }
    }
}
