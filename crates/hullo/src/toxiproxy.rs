//! `hullo relay --api 127.0.0.1:8474`: Toxiproxy's HTTP API, so that its clients in a dozen languages work unchanged.
//!
//! ```text
//! GET    /proxies                           all proxies, by their names, with their toxics
//! POST   /proxies                           makes one: name, listen, upstream, enabled
//! POST   /populate                          makes a list of them; those that are there as they are wanted stay
//! GET    /proxies/{proxy}                   one of them
//! POST   /proxies/{proxy}                   changes it: listen, upstream, enabled (PATCH is the same)
//! DELETE /proxies/{proxy}                   removes it, and ends its connections
//! GET    /proxies/{proxy}/toxics            its toxics
//! POST   /proxies/{proxy}/toxics            adds one: type, name, stream, toxicity, attributes
//! GET    /proxies/{proxy}/toxics/{toxic}    one of them
//! POST   /proxies/{proxy}/toxics/{toxic}    changes it: toxicity, attributes (PATCH is the same)
//! DELETE /proxies/{proxy}/toxics/{toxic}    removes it
//! POST   /reset                             enables all proxies, and removes all toxics
//! GET    /version                           the version of Toxiproxy that is answered like
//! GET    /metrics                           bytes received and sent, for Prometheus
//! ```
//!
//! A proxy is a relay on a server of its own, which is stopped without the others, and a toxic is a fault of that relay.
//! Statuses, fields, defaults, units and the order in which a request is judged are Toxiproxy's. Beyond it, `listen` and
//! `upstream` may be any address of hullo (`tls://host:443`, `unix:/run/x.sock`, `udp://:53`), but for the programs and
//! the terminal of this machine; a toxic of the type `fault` is any fault of hullo's, as in `{"fault": "corrupt"}`; the
//! metrics move while connections live; and a name with a slash in it can be written as `%2F`.
//!
//! Where it is another way than Toxiproxy: a request that cannot be meant changes nothing, not half; what is wrong with a
//! body is said in other words; and a proxy has no field `Logger`, which is there by a mistake.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};

use futures_util::future::join_all;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{ALLOW, LOCATION, USER_AGENT},
};
use tokio::sync::{Mutex as Turn, oneshot};

use self::{
    answer::Problem,
    call::Call,
    proxy::Proxy,
    route::{Found, clean, find},
};
use crate::{
    address::Address,
    error::{Error, Kind, Result},
    io::exchange::{Body, collect, empty, text},
    link::Link,
    peer::Peer,
    scope::{BoxFuture, Scope},
    service::{Service, relay::Plan},
};

mod answer;
mod call;
mod config;
mod json;
mod metrics;
mod place;
mod proxy;
mod route;
mod toxic;

/// The version of Toxiproxy whose answers these are. Clients compare it.
const VERSION: &str = "2.12.0";

/// The most proxies that there are at once: each has a socket that listens.
const PROXIES: usize = 4096;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-toxiproxy-request-id");

/// Proxies that are changed while they run, and the service that Toxiproxy's clients change them by.
pub struct Toxiproxy {
    scope: Scope,
    plan: Box<Planner>,
    proxies: Mutex<BTreeMap<String, Arc<Proxy>>>,
    /// Held by who makes or removes proxies, so that nobody else takes a name meanwhile.
    turn: Turn<()>,
    requests: AtomicU64,
}

/// What a proxy of that name relays by, to those addresses.
type Planner = dyn Fn(Arc<str>, Vec<Address>) -> Plan + Send + Sync;

/// A relay that listens.
#[derive(Debug)]
pub struct Listening {
    /// Its name.
    pub name: Arc<str>,
    /// Where, with the real port.
    pub at: Address,
    /// What a person should know about it.
    pub notes: Vec<String>,
}

impl Toxiproxy {
    /// No proxies yet. Each will have a scope beside that one, and what `plan` makes of its name and of where it leads.
    pub fn new(scope: Scope, plan: impl Fn(Arc<str>, Vec<Address>) -> Plan + Send + Sync + 'static) -> Arc<Self> {
        let plan = Box::new(plan);
        Arc::new(Self { scope, plan, proxies: Mutex::default(), turn: Turn::default(), requests: AtomicU64::default() })
    }

    /// A relay that was planned elsewhere: from now on it listens, and is one of the proxies.
    ///
    /// # Errors
    /// There is one of that name, or it cannot listen.
    pub async fn add(&self, listen: &Address, plan: Plan) -> Result<Listening> {
        let _turn = self.turn.lock().await;
        self.vacant(&plan.name).map_err(Error::from)?;
        let proxy = Arc::new(Proxy::planned(self.scope.clone(), listen, plan));
        proxy.start().await.map_err(Error::from)?;
        self.insert(proxy.clone());
        let elsewhere = || Error::usage(format!("{} was stopped as it was made", proxy.name()));
        proxy.listening().await.ok_or_else(elsewhere)
    }

    /// Ends all proxies; what runs is let finish, for as long as this is waited for.
    async fn end(&self) {
        let _turn = self.turn.lock().await;
        let all = std::mem::take(&mut *self.proxies());
        join_all(all.values().map(|proxy| proxy.end())).await;
    }

    async fn answer(self: Arc<Self>, request: Request<Body>, max: usize) -> Response<Body> {
        if let Some(path) = clean(request.uri().path()) {
            return moved(&path, request.uri().query());
        }
        let (route, names) = match find(request.method(), request.uri().path()) {
            Found::Route(route, names) => (route, names),
            Found::Elsewhere(methods) => return not_allowed(&methods),
            Found::Nothing => return text(StatusCode::NOT_FOUND, "404 page not found\n"),
        };
        let mut response = if is_browser(request.headers()) {
            // The pages of any site could otherwise break what is tested here.
            text(StatusCode::FORBIDDEN, "User agent not allowed\n")
        } else {
            let call = match collect(request.into_body(), max).await {
                Ok(body) => Ok(Call { api: self.clone(), names, body }),
                Err(error) => Err(Problem::new(crate::service::status(&error), format!("bad request body: {error}"))),
            };
            match call {
                Ok(call) => (route.run)(call).await.unwrap_or_else(Problem::response),
                Err(problem) => problem.response(),
            }
        };
        response.headers_mut().insert(REQUEST_ID, self.request_id());
        response
    }

    fn request_id(&self) -> HeaderValue {
        let seconds = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs());
        let number = self.requests.fetch_add(1, Relaxed);
        // As long as those that Toxiproxy makes.
        HeaderValue::try_from(format!("{seconds:08x}{number:012x}")).unwrap_or(HeaderValue::from_static("0"))
    }

    fn proxies(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Proxy>>> {
        self.proxies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn proxy(&self, name: &str) -> Result<Arc<Proxy>, Problem> {
        self.proxies().get(name).cloned().ok_or(Problem::new(StatusCode::NOT_FOUND, "proxy not found"))
    }

    fn all(&self) -> Vec<Arc<Proxy>> {
        self.proxies().values().cloned().collect()
    }

    /// Whether there may be one more, of that name.
    fn vacant(&self, name: &str) -> Result<(), Problem> {
        let proxies = self.proxies();
        if proxies.contains_key(name) {
            return Err(Problem::new(StatusCode::CONFLICT, "proxy already exists"));
        }
        if proxies.len() >= PROXIES {
            return Err(Problem::bad(format!("there are {PROXIES} proxies, and no more are allowed")));
        }
        Ok(())
    }

    fn insert(&self, proxy: Arc<Proxy>) {
        self.proxies().insert(proxy.name().to_string(), proxy);
    }
}

impl Service for Toxiproxy {
    fn serve(self: Arc<Self>, _: Link) -> BoxFuture<'static, Result<()>> {
        Box::pin(async { Err(Error::usage("Toxiproxy's API answers HTTP requests and nothing else")) })
    }

    fn exchange(
        self: Arc<Self>,
        request: Request<Body>,
        _: Peer,
        scope: Scope,
    ) -> BoxFuture<'static, Result<Response<Body>>> {
        Box::pin(async move {
            // It comes to its end also where nobody waits for the answer any more: nothing is left half changed.
            let (tell, told) = oneshot::channel();
            let most = scope.limits().max;
            scope.spawn(async move {
                let _ = tell.send(self.answer(request, most).await);
            });
            told.await.map_err(|_| Error::new(Kind::Cut, "the server ended before it had answered"))
        })
    }

    fn is_web(&self) -> bool {
        true
    }

    fn converses_at(&self, _: &str) -> bool {
        false
    }

    /// Proxies end with the server that they are changed by.
    fn begin(self: Arc<Self>, scope: &Scope) {
        let stopped = scope.stopped();
        scope.spawn(async move {
            stopped.await;
            self.end().await;
        });
    }
}

fn is_browser(headers: &HeaderMap) -> bool {
    headers.get(USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(b"Mozilla/"))
}

fn moved(path: &str, query: Option<&str>) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let to = query.map_or(path.to_owned(), |query| format!("{path}?{query}"));
    if let Ok(to) = HeaderValue::try_from(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    response
}

fn not_allowed(methods: &str) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    if let Ok(methods) = HeaderValue::from_str(methods) {
        response.headers_mut().insert(ALLOW, methods);
    }
    response
}
