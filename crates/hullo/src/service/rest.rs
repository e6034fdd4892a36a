//! `hullo serve rest http://:8000`: collections and items of JSON, in a file.
//!
//! A collection is there as soon as it has an item: `curl --json '{"name":"Ada"}' localhost:8000/people`. Items are made
//! (POST), listed and read (GET), replaced (PUT), changed (PATCH: a merge patch or a JSON Patch) and removed (DELETE);
//! `/` is a page that says how, and `/openapi.json` says it to programs. Whatever was answered is on disk: what many
//! clients write at once is made durable together.
//!
//! A list is an array. `?age:gte=18&name:like=ada&sort=-age,name&fields=name,age&limit=20&q=word&count=true` filters,
//! sorts, chooses fields, and searches all texts; the `Link` header leads to the next page, which is where it was however
//! much is added meanwhile. Under `/{collection}/-/` there are the changes, the schema, export and import.
//!
//! Texts are sorted by their first 200 characters. Where a body says a name twice the last one counts, and two spellings
//! of a number are two numbers to a JSON Patch only.
#![cfg_attr(
    not(any(feature = "postgres", feature = "sqlite")),
    allow(dead_code, reason = "without a database there is nothing to be done")
)]

use std::{net::IpAddr, sync::Arc, time::Instant};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, ALLOW, CONTENT_TYPE, EXPECT},
    request::Parts,
};
use tokio::sync::Semaphore;

use self::{
    problem::{Answer, Problem},
    route::{Does, Names},
    store::Store,
};
use super::{Needs, Service, Setting, Settings, Spec};
use crate::{
    address::Address,
    error::{Error, Kind, Result},
    gate::rate::Rate,
    io::{
        condition::Condition,
        exchange::{Body, collect, empty, full},
    },
    link::Link,
    peer::Peer,
    scope::{BoxFuture, Scope},
    watch::Event,
};

mod edit;
mod follow;
mod foreign;
mod import;
mod item;
mod openapi;
mod overview;
mod patch;
mod problem;
mod query;
mod reading;
mod route;
mod schema;
mod store;
mod writing;

/// This service's line of the table.
pub const SPEC: Spec = Spec {
    name: "rest",
    about: "keeps collections of JSON items: GET, POST, PUT, PATCH, DELETE; a page at /",
    sample: r#"{"name":"Ada"}"#,
    takes: &[Setting::Database, Setting::Rate],
    needs: Needs::Http,
    make: |settings| Ok(Arc::new(Rest::new(settings)?)),
};

/// Where items are kept if nobody says.
const FILE: &str = "rest.db";

/// The most of a body that is read although nobody wants it.
const UNREAD: usize = 64 << 10;

/// The service that keeps items.
pub struct Rest {
    store: Arc<dyn Store>,
    place: String,
    rate: Option<Rate>,
    imports: Semaphore,
}

impl Rest {
    /// Opens the database of the settings.
    ///
    /// # Errors
    /// It cannot be opened, or is not one.
    pub fn new(settings: &Settings) -> Result<Self> {
        let database = settings.database.as_deref().unwrap_or(FILE);
        let (store, place) = store::open(database, settings.password.as_deref())?;
        Ok(Self { store, place, rate: settings.rate.map(Rate::new), imports: Semaphore::new(import::AT_ONCE) })
    }

    /// Answers a request; its body is taken where it is read.
    async fn answer(&self, head: Parts, body: &mut Option<Body>, peer: &Peer, scope: Scope) -> Answer<Response<Body>> {
        if let (Some(rate), Some(peer)) = (&self.rate, peer.remote().net())
            && !rate.allows(IpAddr::to_canonical(&peer.ip()), Instant::now())
        {
            return Err(Problem::later(
                StatusCode::TOO_MANY_REQUESTS,
                "more requests in a second than one peer may make",
            ));
        }
        if head.uri.path() == "*" {
            // About the server, and no path of it.
            return Ok(bare(StatusCode::NO_CONTENT));
        }
        let (route, names) = route::find(head.uri.path())?;
        let allow = || HeaderValue::try_from(route.allow()).unwrap_or(HeaderValue::from_static("GET"));
        if head.method == Method::OPTIONS {
            let mut response = bare(StatusCode::NO_CONTENT);
            response.headers_mut().insert(ALLOW, allow());
            return Ok(response);
        }
        let Some(operation) = route.operation(&head.method) else {
            let why = format!("{} is not for {}", head.method, crate::error::brief(head.uri.path()));
            return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, why).with(ALLOW, allow()));
        };
        let kind = writing::kind(operation, &head.headers)?;
        let max = scope.limits().max;
        let imports = operation.does == Does::Import;
        let _place = if imports { Some(self.imports.acquire().await.map_err(Problem::of_store)?) } else { None };
        let most = if imports { max.saturating_mul(import::LONGER) } else { max };
        let body = match body.take_if(|_| !operation.reads.is_empty()) {
            Some(body) => collect(body, most).await.map_err(|error| Problem::of_body(&error, most))?,
            None => Bytes::new(),
        };
        let asked = Asked { store: self.store.clone(), head, names, kind, body, max, scope };
        match operation.does {
            Does::Overview => asked.overview().await,
            Does::OpenApi => Ok(json(StatusCode::OK, openapi::document().to_string() + "\n")),
            Does::List => asked.list().await,
            Does::Create => asked.create().await,
            Does::Read => asked.read().await,
            Does::Put => asked.put().await,
            Does::Patch => asked.patch().await,
            Does::Remove => asked.remove().await,
            Does::Changes => asked.changes().await,
            Does::Export => Ok(asked.export()),
            Does::Import => asked.import().await,
            Does::ReadSchema => asked.read_schema().await,
            Does::PutSchema => asked.put_schema().await,
            Does::RemoveSchema => asked.remove_schema().await,
        }
    }
}

impl Service for Rest {
    fn serve(self: Arc<Self>, _: Link) -> BoxFuture<'static, Result<()>> {
        Box::pin(async {
            Err(Error::usage("rest answers HTTP requests and nothing else").hint("use http:// or https://"))
        })
    }

    fn exchange(
        self: Arc<Self>,
        request: Request<Body>,
        peer: Peer,
        scope: Scope,
    ) -> BoxFuture<'static, Result<Response<Body>>> {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let mut body = Some(body);
            let waits = head.headers.contains_key(EXPECT);
            let answered = self.answer(head, &mut body, &peer, scope.clone()).await;
            if let Some(body) = body.filter(|_| !waits) {
                // With a part of a body still under way the connection would have to be closed after the answer. What is
                // wrong with it does not matter any more.
                let _ = collect(body, UNREAD).await;
            }
            let mut response = answered.unwrap_or_else(|problem| {
                if problem.status.is_server_error() {
                    // It is ours, and whoever runs this must hear of it too.
                    let error = Error::new(Kind::Other, problem.detail.clone());
                    scope.tell(&Event::Trouble { peer: Some(&peer), error: &error });
                }
                problem.response()
            });
            // What somebody has put here is data, whatever it looks like.
            response.headers_mut().insert(http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            Ok(response)
        })
    }

    fn needs(&self) -> Needs {
        Needs::Http
    }

    fn converses_at(&self, _: &str) -> bool {
        false
    }

    fn notes(&self, _: &Address) -> Vec<String> {
        vec![format!("items are kept in {}", self.place)]
    }
}

/// A request that has found its operation.
struct Asked {
    store: Arc<dyn Store>,
    head: Parts,
    names: Names,
    /// The type of the body, one of those that the operation reads.
    kind: &'static str,
    body: Bytes,
    /// The most bytes that an item may have.
    max: usize,
    scope: Scope,
}

impl Asked {
    fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }

    fn condition(&self) -> Condition {
        Condition::of(&self.head.headers)
    }

    /// Whether a type is asked for by its name.
    fn wants(&self, kind: &str) -> bool {
        says(&self.head.headers, kind)
    }
}

fn says(headers: &HeaderMap, kind: &str) -> bool {
    headers.get_all(ACCEPT).iter().any(|accept| String::from_utf8_lossy(accept.as_bytes()).contains(kind))
}

/// A response of that status without a body.
fn bare(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = status;
    response
}

fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    typed(status, route::JSON, full(body))
}

fn typed(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// A value of a header that is made of our own words.
fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}
