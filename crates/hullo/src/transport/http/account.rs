//! What is told of each exchange to whoever watches: the access log, the metrics, `-v`.

use std::{
    pin::Pin,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::SystemTime,
};

use ::http::{
    HeaderName, HeaderValue, Request, Response, StatusCode, Uri,
    header::{REFERER, USER_AGENT},
};
use aws_lc_rs::rand;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::time::Instant;

use crate::{
    error::Result,
    io::{
        exchange::Body,
        file::{Part, Source},
    },
    peer::Peer,
    scope::Scope,
    watch::{Answered, Event},
};

/// The name that a request has in every log that it leaves a trace in.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What stands for a secret in the query.
const SECRET: &str = "token=...";

/// What stands for the status of a request whose client did not wait for one, as in other servers' logs.
const GONE: u16 = 499;

/// The account of one exchange, told when it is over.
pub(super) struct Account {
    answered: Answered,
    since: Instant,
    /// A file that the kernel may send, past those who count.
    file: Option<Arc<Source>>,
    scope: Scope,
}

impl Account {
    /// Opens the account of a request, where somebody watches, and sees to it that it has a name.
    pub(super) fn open(request: &mut Request<Body>, peer: &Peer, scope: &Scope) -> Option<Box<Self>> {
        if !scope.watched() {
            return None;
        }
        let text = |name| {
            request
                .headers()
                .get(name)
                .map(|value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let id = text(REQUEST_ID).filter(|id| is_id(id)).unwrap_or_else(make_id);
        let answered = Answered {
            peer: peer.clone(),
            method: request.method().to_string(),
            target: target(request.uri()),
            version: format!("{:?}", request.version()),
            referer: text(REFERER),
            agent: text(USER_AGENT),
            ..Answered::nothing(peer, id)
        };
        if let Ok(id) = HeaderValue::from_str(&answered.id) {
            request.headers_mut().insert(REQUEST_ID, id);
        }
        // In a box, since most servers keep no accounts: an exchange does not hold room for one.
        Some(Box::new(Self { answered, since: Instant::now(), file: None, scope: scope.clone() }))
    }

    /// Tells of what came and was no request.
    pub(super) fn refused(peer: &Peer, status: StatusCode, scope: &Scope) {
        if scope.watched() {
            let answered = Answered { status: status.as_u16(), ..Answered::nothing(peer, make_id()) };
            scope.tell(&Event::Answered(&answered));
        }
    }

    /// Gives the response the request's name. The account is closed when its body has been sent, or given up.
    pub(super) fn of(mut self: Box<Self>, mut response: Response<Body>) -> Response<Body> {
        self.answered.status = response.status().as_u16();
        if let Ok(id) = HeaderValue::from_str(&self.answered.id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        self.file = response.extensions().get::<Part>().map(|part| part.source().clone());
        response.map(|body| Counted { body, account: self }.boxed_unsync())
    }
}

/// The target of a request, but for what opens doors: logs are read by more people than may come in.
fn target(uri: &Uri) -> String {
    let Some(query) = uri.query().filter(|query| query.split('&').any(is_secret)) else { return uri.to_string() };
    let hidden = |field| if is_secret(field) { SECRET } else { field };
    let query = query.split('&').map(hidden).collect::<Vec<_>>().join("&");
    format!("{}?{query}", uri.path())
}

fn is_secret(field: &str) -> bool {
    // As everybody reads queries, however the name is written.
    form_urlencoded::parse(field.as_bytes()).any(|(name, _)| name == "token")
}

impl Drop for Account {
    fn drop(&mut self) {
        self.answered.sent += self.file.as_ref().map_or(0, |file| file.sent());
        self.answered.took = self.since.elapsed();
        self.scope.tell(&Event::Answered(&self.answered));
    }
}

impl Answered {
    fn nothing(peer: &Peer, id: String) -> Self {
        Self {
            peer: peer.clone(),
            id,
            when: SystemTime::now(),
            method: "-".to_owned(),
            target: "-".to_owned(),
            version: "-".to_owned(),
            referer: None,
            agent: None,
            status: GONE,
            sent: 0,
            took: std::time::Duration::ZERO,
        }
    }
}

/// Whether somebody else's name for the request can be ours.
fn is_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}

/// A name that nobody else gives: a number of this run, and one of the request.
fn make_id() -> String {
    static RUN: LazyLock<[u8; 8]> = LazyLock::new(|| {
        let mut run = [0; 8];
        // Without randomness it is still unlike every other of this run.
        let _ = rand::fill(&mut run);
        run
    });
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{:016x}{:08x}", u64::from_ne_bytes(*RUN), NEXT.fetch_add(1, Relaxed))
}

/// A body whose bytes are counted.
struct Counted {
    body: Body,
    account: Box<Account>,
}

impl hyper::body::Body for Counted {
    type Data = Bytes;
    type Error = crate::error::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.account.answered.sent += frame.data_ref().map_or(0, Bytes::len) as u64;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    #[test]
    fn what_opens_doors_is_in_no_log() {
        for (target, told) in [
            ("/rooms/dev/events?after=7&token=s3cret&x=1", "/rooms/dev/events?after=7&token=...&x=1"),
            ("/?%74oken=s3cret", "/?token=..."),
            ("/?tokens=1", "/?tokens=1"),
            ("/plain", "/plain"),
        ] {
            assert_eq!(super::target(&target.parse().unwrap()), told);
        }
    }
}
