#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! A connection of HTTP/1.1, as one that knows the protocol uses it: what stands between two requests, before an answer
//! and behind one.

mod common;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use common::{Raw, in_time, service, serving, serving_in, watched};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hullo::{
    BoxFuture, Error, Event, Kind, Limits, Link, Peer, Result, Scope, Server, Service, Watch,
    exchange::{Body, Interim, collect, full, text},
    service::Needs,
};
use hyper::body::Frame;
use tokio::{io::AsyncWriteExt, sync::Notify};

/// A service for the web, with an answer of each kind.
#[derive(Default)]
struct Web {
    /// `/late` waits for it.
    now: Notify,
    begun: Notify,
}

impl Service for Web {
    fn serve(self: Arc<Self>, _: Link) -> BoxFuture<'static, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn exchange(
        self: Arc<Self>,
        request: Request<Body>,
        _: Peer,
        scope: Scope,
    ) -> BoxFuture<'static, Result<Response<Body>>> {
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            Ok(match path.as_str() {
                "/streamed" => Response::new(streamed(None)),
                "/trailers" => {
                    let mut trailers = HeaderMap::new();
                    trailers.insert("x-sum", HeaderValue::from_static("42"));
                    Response::new(streamed(Some(trailers)))
                }
                "/early" => {
                    let mut hints = Response::new(());
                    *hints.status_mut() = StatusCode::from_u16(103).unwrap();
                    hints.headers_mut().insert("link", HeaderValue::from_static("</style.css>; rel=preload"));
                    if let Some(interim) = request.extensions().get::<Interim>() {
                        interim.send(hints).await?;
                    }
                    text(StatusCode::OK, "then this")
                }
                "/late" => {
                    self.begun.notify_one();
                    self.now.notified().await;
                    text(StatusCode::OK, "late")
                }
                "/unread" => text(StatusCode::OK, "not read"),
                "/nothing" => text(StatusCode::NO_CONTENT, ""),
                "/id" => {
                    let id = request.headers().get("x-request-id").cloned();
                    Response::new(full(id.map(|id| id.as_bytes().to_vec()).unwrap_or_default()))
                }
                _ => {
                    let method = request.method() == Method::HEAD;
                    let body = collect(request.into_body(), scope.limits().max).await?;
                    if method { Response::new(full("12345")) } else { Response::new(full(body)) }
                }
            })
        })
    }

    fn needs(&self) -> Needs {
        Needs::Http
    }
}

/// A service that is one function of its request.
struct Exchanges<F>(F);

impl<F, T> Service for Exchanges<F>
where
    F: Fn(Request<Body>) -> T + Send + Sync + 'static,
    T: Future<Output = Response<Body>> + Send + 'static,
{
    fn serve(self: Arc<Self>, _: Link) -> BoxFuture<'static, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn exchange(
        self: Arc<Self>,
        request: Request<Body>,
        _: Peer,
        _: Scope,
    ) -> BoxFuture<'static, Result<Response<Body>>> {
        let answer = (self.0)(request);
        Box::pin(async move { Ok(answer.await) })
    }
}

/// Two pieces, whose length nobody knows.
fn streamed(trailers: Option<HeaderMap>) -> Body {
    let pieces = ["one", "two"].map(|piece| Frame::data(piece.into()));
    let frames = pieces.into_iter().chain(trailers.map(Frame::trailers)).map(Ok::<_, Infallible>);
    StreamBody::new(stream::iter(frames.collect::<Vec<_>>())).map_err(|never| match never {}).boxed_unsync()
}

async fn web() -> (Server, Arc<Web>) {
    let web = Arc::new(Web::default());
    (serving("http://127.0.0.1:0", web.clone()).await, web)
}

async fn exchange(client: &mut Raw, request: &str, until: &str) -> String {
    client.say(request).await;
    client.until(until).await
}

fn get(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

#[tokio::test]
async fn the_end_of_a_body_is_told_as_the_version_allows() {
    let (server, _) = web().await;
    let mut client = Raw::to(server.address()).await;
    let said = exchange(&mut client, &get("/streamed", ""), "0\r\n\r\n").await;
    assert!(
        said.contains("transfer-encoding: chunked\r\n") && said.ends_with("\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"),
        "{said}"
    );
    let said = exchange(&mut client, &get("/trailers", "TE: trailers\r\n"), "42\r\n\r\n").await;
    assert!(said.ends_with("\r\n0\r\nx-sum: 42\r\n\r\n"), "{said}");
    let said = exchange(&mut client, &get("/trailers", ""), "0\r\n\r\n").await;
    assert!(!said.contains("x-sum"), "{said}");
    // No length, and no chunks in HTTP/1.0: the end of the connection is that of the body.
    client.say("GET /streamed HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    let said = client.rest().await;
    assert!(said.contains("connection: close\r\n") && said.ends_with("\r\n\r\nonetwo"), "{said}");
}

#[tokio::test]
async fn what_has_no_body_has_none() {
    let (server, _) = web().await;
    let mut client = Raw::to(server.address()).await;
    let said = exchange(&mut client, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n\r\n").await;
    assert!(said.contains("content-length: 5\r\n"), "{said}");
    let said = exchange(&mut client, &get("/nothing", ""), "\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 204 ") && !said.contains("content-length"), "{said}");
    client.say(get("/id", "Connection: close\r\n")).await;
    let said = client.rest().await;
    assert!(said.contains("content-length: 0\r\n") && said.contains("connection: close\r\n"), "{said}");
}

#[tokio::test]
async fn an_interim_response_comes_before_the_response() {
    let (server, _) = web().await;
    let mut client = Raw::to(server.address()).await;
    let said = exchange(&mut client, &get("/early", ""), "then this").await;
    assert!(
        said.starts_with("HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\n"),
        "{said}"
    );
    // A client of HTTP/1.0 knows nothing of that.
    client.say("GET /early HTTP/1.0\r\n\r\n").await;
    assert!(client.rest().await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn who_waits_to_go_on_is_told_so_once_and_only_if_the_body_is_wanted() {
    let (server, _) = web().await;
    let head =
        |path: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    let mut client = Raw::to(server.address()).await;
    let said = exchange(&mut client, &head("/"), "\r\n\r\n").await;
    assert_eq!(said, "HTTP/1.1 100 Continue\r\n\r\n");
    let said = exchange(&mut client, "hello", "hello").await;
    assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said}");
    // What has come already need not be asked for.
    let said = exchange(&mut client, &(head("/") + "hello"), "hello").await;
    assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said}");
    // Whether a body that nobody wants will still come is not known: nothing can follow.
    client.say(head("/unread")).await;
    let said = client.rest().await;
    assert!(said.starts_with("HTTP/1.1 200 OK\r\n") && said.ends_with("not read"), "{said}");
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_skipped_within_bounds() {
    let (server, _) = web().await;
    let mut client = Raw::to(server.address()).await;
    let post = |length: usize| {
        format!("POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{}", "x".repeat(length))
    };
    exchange(&mut client, &post(100_000), "not read").await;
    let chunks = "POST /unread HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    exchange(&mut client, chunks, "not read").await;
    exchange(&mut client, &get("/id", ""), "\r\n\r\n").await;
    exchange(&mut client, &post(4 << 20), "not read").await;
    exchange(&mut client, &get("/id", ""), "\r\n\r\n").await;
    // One that is too large ends the connection, and the answer arrives all the same.
    client.say(format!("POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 1u64 << 40)).await;
    client.until("not read").await;
    let (mut reader, mut writer) = client.0.into_split();
    let pour = async { while writer.write_all(&[b'x'; 64 << 10]).await.is_ok() {} };
    in_time("the end of the pouring", pour).await;
    in_time("the end", tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut Vec::new())).await.ok();
}

/// Requests that stand in one packet are answered in one: the fast path of pipelining.
#[tokio::test]
async fn pipelined_answers_leave_together() {
    let server = serving("http://127.0.0.1:0", service("greet")).await;
    let mut client = Raw::to(server.address()).await;
    client.say(get("/", "").repeat(8)).await;
    let mut buf = vec![0; 64 << 10];
    let read = in_time("the answers", tokio::io::AsyncReadExt::read(&mut client.0, &mut buf)).await.unwrap();
    let said = String::from_utf8_lossy(&buf[..read]);
    assert_eq!(said.matches("HTTP/1.1 200 OK").count(), 8, "{said}");
}

#[tokio::test]
async fn a_server_that_ends_finishes_what_it_was_asked() {
    let (mut server, web) = web().await;
    let (mut busy, mut idle) = (Raw::to(server.address()).await, Raw::to(server.address()).await);
    exchange(&mut idle, &get("/id", ""), "\r\n\r\n").await;
    busy.say(get("/late", "")).await;
    web.begun.notified().await;
    let end = tokio::spawn(async move { server.end(common::GRACE).await });
    // Who asks nothing hears a farewell at once; who has asked is answered, and told that this was the last.
    assert_eq!(idle.rest().await, "");
    web.now.notify_one();
    let said = busy.rest().await;
    assert!(said.contains("connection: close\r\n") && said.ends_with("late"), "{said}");
    assert!(in_time("the end", end).await.unwrap());
}

#[tokio::test]
async fn each_exchange_is_accounted_for_under_its_name() {
    type Line = (String, String, u16, u64);
    struct Told(Arc<Mutex<Vec<Line>>>);
    let told = Arc::new(Mutex::new(Vec::new()));
    impl Watch for Told {
        fn event(&self, event: &Event<'_>) {
            if let Event::Answered(answered) = event {
                let line = (
                    answered.id.clone(),
                    format!("{} {}", answered.method, answered.target),
                    answered.status,
                    answered.sent,
                );
                self.0.lock().unwrap().push(line);
            }
        }
    }
    let scope = watched(Limits::server(), Told(told.clone()));
    let server = serving_in(scope, "http://127.0.0.1:0", Arc::new(Web::default())).await;
    let mut client = Raw::to(server.address()).await;
    let said = exchange(&mut client, &get("/id?a=b", "X-Request-Id: mine\r\n"), "\r\n\r\nmine").await;
    assert!(said.contains("x-request-id: mine\r\n"), "{said}");
    // A name that could be taken for something else in a log is none.
    let said = exchange(&mut client, &get("/streamed", "X-Request-Id: a b\r\n"), "0\r\n\r\n").await;
    let made = said.split("x-request-id: ").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap().to_owned();
    assert_eq!(made.len(), 24, "{said}");
    client.say("nonsense\r\n").await;
    client.rest().await;
    let told = told.lock().unwrap();
    assert_eq!(told[0], ("mine".to_owned(), "GET /id?a=b".to_owned(), 200, 4));
    assert_eq!(told[1], (made, "GET /streamed".to_owned(), 200, 6));
    assert_eq!((told[2].1.as_str(), told[2].2, told.len()), ("- -", 400, 3));
}

/// The two ends of an exchange are in two tasks, and the client stops reading for a while: neither may miss its turn.
#[tokio::test]
async fn an_answer_goes_on_while_its_request_does() {
    let server = serving("http://127.0.0.1:0", service("chargen")).await;
    let mut client = Raw::to(server.address()).await;
    client.say("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    client.until("\r\n\r\n").await;
    let mut buf = vec![0; 256 << 10];
    let mut heard = 0;
    for round in 0..20 {
        // Long enough for every buffer on the way to fill.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        let wanted = heard + (2 << 20);
        while heard < wanted {
            let read = in_time("more", tokio::io::AsyncReadExt::read(&mut client.0, &mut buf)).await.unwrap();
            assert!(read > 0, "it ended in round {round}");
            heard += read;
        }
    }
}

/// Who never reads is given up, whichever direction another task waits for.
#[tokio::test]
async fn idle_ends_an_exchange_of_which_nobody_takes_anything() {
    for request in
        [get("/", ""), "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n".to_owned()]
    {
        let told = Arc::new(Notify::new());
        struct Ends(Arc<Notify>);
        impl Watch for Ends {
            fn event(&self, event: &Event<'_>) {
                if let Event::Closed { .. } = event {
                    self.0.notify_one();
                }
            }
        }
        let scope = watched(Limits::server(), Ends(told.clone()));
        let server = serving_in(scope, "http://127.0.0.1:0?idle=300ms", service("chargen")).await;
        let mut client = Raw::to(server.address()).await;
        client.say(request).await;
        in_time("the end", told.notified()).await;
    }
}

/// What a service has given to another task stops at the end of the exchange, and is not taken for whole.
#[tokio::test]
async fn a_body_that_was_kept_ends_with_an_error() {
    let (sender, mut kept) = tokio::sync::mpsc::unbounded_channel();
    let keeps = Exchanges(move |request: Request<Body>| {
        let told = sender.clone();
        tokio::spawn(async move {
            let _ = told.send(collect(request.into_body(), 1 << 20).await);
        });
        async { text(StatusCode::ACCEPTED, "later") }
    });
    let server = serving("http://127.0.0.1:0", Arc::new(keeps)).await;
    let mut client = Raw::to(server.address()).await;
    exchange(&mut client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello", "later").await;
    client.say("world").await;
    let body = in_time("the body", kept.recv()).await.unwrap();
    assert!(body.is_err(), "it took {body:?} for whole");
    exchange(&mut client, &get("/", ""), "later").await;
}

#[tokio::test]
async fn answers_before_what_is_no_request_are_not_lost() {
    let server = serving("http://127.0.0.1:0", service("greet")).await;
    for (nonsense, ends) in [("foo bar\r\n", "Hello, World!\r\n"), ("GET\r\n", "HTTP/1.1\n")] {
        let mut client = Raw::to(server.address()).await;
        client.say(get("/", "") + nonsense).await;
        let said = client.rest().await;
        assert!(said.starts_with("HTTP/1.1 200 OK\r\n") && said.ends_with(ends), "{said}");
    }
}

#[tokio::test]
async fn a_line_end_behind_a_body_begins_no_request() {
    let server = serving("http://127.0.0.1:0?timeout=200ms", service("echo")).await;
    let mut client = Raw::to(server.address()).await;
    exchange(&mut client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\r\n", "hello").await;
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    exchange(&mut client, &get("/", ""), "hullo\n").await;
}

/// Each of them is a sign of life, so that whoever sends nothing else would never have to go.
#[tokio::test]
async fn only_so_many_line_ends_begin_no_request() {
    let server = serving("http://127.0.0.1:0?timeout=200ms", service("echo")).await;
    let mut client = Raw::to(server.address()).await;
    for _ in 0..2 {
        exchange(&mut client, &("\r\n".repeat(4) + &get("/", "")), "hullo\n").await;
    }
    client.say("\r\n".repeat(5)).await;
    let said = client.rest().await;
    assert!(said.starts_with("HTTP/1.1 408 ") && said.ends_with("in time\n"), "{said}");
}

#[tokio::test]
async fn a_body_that_fails_at_once_is_no_answer() {
    let broken = Exchanges(|_| async {
        let failed = Err::<Frame<_>, _>(Error::new(Kind::Other, "nothing can be read"));
        let mut response = Response::new(StreamBody::new(stream::iter([failed])).boxed_unsync());
        response.headers_mut().insert("content-length", HeaderValue::from_static("5"));
        response
    });
    let server = serving("http://127.0.0.1:0", Arc::new(broken)).await;
    let mut client = Raw::to(server.address()).await;
    client.say(get("/", "")).await;
    let said = client.rest().await;
    assert!(said.starts_with("HTTP/1.1 500 ") && said.contains("connection: close\r\n"), "{said}");
    assert!(said.contains("content-length: 0\r\n") && said.ends_with("\r\n\r\n"), "{said}");
}

/// A client that has gone is noticed though nothing is read from it: the program that worked for it is ended.
#[tokio::test]
async fn a_client_that_has_gone_ends_what_was_done_for_it() {
    /// Tells that the exchange which has it was given up.
    struct Tells(Arc<Notify>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let (begun, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let waits = Exchanges(move |request: Request<Body>| {
        let (begun, dropped) = (begun.clone(), dropped.clone());
        async move {
            match request.uri().path() {
                "/begun" => begun.notified().await,
                "/dropped" => dropped.notified().await,
                _ => {
                    let _tells = Tells(dropped);
                    begun.notify_one();
                    std::future::pending().await
                }
            }
            text(StatusCode::OK, "yes")
        }
    });
    let server = serving("http://127.0.0.1:0", Arc::new(waits)).await;
    let mut client = Raw::to(server.address()).await;
    client.say(get("/", "")).await;
    let mut other = Raw::to(server.address()).await;
    exchange(&mut other, &get("/begun", ""), "yes").await;
    client.reset();
    exchange(&mut other, &get("/dropped", ""), "yes").await;
}
