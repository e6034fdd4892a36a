//! The metrics, as Prometheus reads them.

use std::sync::Arc;

use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use hullo::{
    BoxFuture, Error, Event, Link, Peer, Result, Scope, Service,
    exchange::{Body, text},
    service::Needs,
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};

use super::relays::Relays;

/// What is counted.
pub(super) struct Meter {
    registry: Registry,
    conversations: Family<Scheme, Counter>,
    received: Family<Scheme, Counter>,
    sent: Family<Scheme, Counter>,
    requests: Family<Exchange, Counter>,
    durations: Family<Scheme, Histogram>,
    troubles: Family<Trouble, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Scheme {
    scheme: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Exchange {
    scheme: &'static str,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Trouble {
    kind: &'static str,
}

impl Default for Meter {
    fn default() -> Self {
        // From a tenth of a millisecond to about 26 seconds.
        let durations: fn() -> Histogram = || Histogram::new(exponential_buckets(0.0001, 4.0, 10));
        let mut meter = Self {
            registry: Registry::with_prefix("hullo"),
            conversations: Family::default(),
            received: Family::default(),
            sent: Family::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(durations),
            troubles: Family::default(),
        };
        meter.register();
        meter
    }
}

impl Meter {
    /// One that also counts what relays do.
    pub(super) fn of_relays(relays: Relays) -> Self {
        let mut meter = Self::default();
        meter.registry.register_collector(Box::new(relays));
        meter
    }

    fn register(&mut self) {
        let to = &mut self.registry;
        to.register("build", "This program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        to.register("conversations", "Conversations that began, other than HTTP exchanges", self.conversations.clone());
        let (received, sent) = ("Bytes of ended connections, received", "Bytes of ended connections, sent");
        to.register_with_unit("received", received, Unit::Bytes, self.received.clone());
        to.register_with_unit("sent", sent, Unit::Bytes, self.sent.clone());
        to.register("http_requests", "HTTP requests that were answered", self.requests.clone());
        let about = "From the head of a request to the last byte of its response";
        to.register_with_unit("http_request_duration", about, Unit::Seconds, self.durations.clone());
        to.register("troubles", "Conversations, handshakes and requests that failed", self.troubles.clone());
    }

    pub(super) fn event(&self, event: &Event<'_>) {
        match event {
            Event::Opened { peer } => {
                self.conversations.get_or_create(&of(peer)).inc();
            }
            Event::Closed { peer, received, sent, .. } => {
                self.received.get_or_create(&of(peer)).inc_by(*received);
                self.sent.get_or_create(&of(peer)).inc_by(*sent);
            }
            Event::Answered(answered) => {
                let (scheme, method) = (answered.peer.scheme(), known(&answered.method));
                self.requests.get_or_create(&Exchange { scheme, method, status: answered.status }).inc();
                self.durations.get_or_create(&Scheme { scheme }).observe(answered.took.as_secs_f64());
            }
            Event::Trouble { error, .. } => {
                self.troubles.get_or_create(&Trouble { kind: error.kind().word() }).inc();
            }
            _ => {}
        }
    }
}

fn of(peer: &Peer) -> Scheme {
    Scheme { scheme: peer.scheme() }
}

/// A method as a label: what a client makes up is not one of its own, since each costs memory for ever.
fn known(method: &str) -> &'static str {
    const KNOWN: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
    KNOWN.iter().find(|known| **known == method).unwrap_or(&"other")
}

/// The page that Prometheus reads.
pub(super) struct Page(pub(super) Arc<Meter>);

impl Service for Page {
    fn serve(self: Arc<Self>, _: Link) -> BoxFuture<'static, Result<()>> {
        Box::pin(async { Err(Error::usage("metrics are read over HTTP alone")) })
    }

    fn exchange(
        self: Arc<Self>,
        request: Request<Body>,
        _: Peer,
        _: Scope,
    ) -> BoxFuture<'static, Result<Response<Body>>> {
        Box::pin(async move {
            if !matches!(request.uri().path(), "/" | "/metrics") {
                return Ok(text(StatusCode::NOT_FOUND, "the metrics are at /metrics\n"));
            }
            let mut page = String::new();
            encode(&mut page, &self.0.registry)
                .map_err(|error| Error::usage("cannot write the metrics").because(error))?;
            let mut response = text(StatusCode::OK, page);
            let form = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, form);
            Ok(response)
        })
    }

    fn needs(&self) -> Needs {
        Needs::Http
    }

    fn converses_at(&self, _: &str) -> bool {
        false
    }
}
