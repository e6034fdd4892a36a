#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! Prepared answers: they are given at once where nothing of a request can change them, and nobody can tell from outside.

mod common;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use bytes::Bytes;
use common::{Raw, in_time, service, serving, serving_in, watched};
use http::{Request, Response, StatusCode, header};
use hullo::{
    BoxFuture, Event, Limits, Link, Peer, Result, Scope, Service,
    exchange::{Body, collect, full, text},
};
use proptest::prelude::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::Builder,
    task::yield_now,
};

/// A service of a few pages, which counts the requests that it has answered itself.
struct Pages {
    pages: Vec<(&'static str, Response<Bytes>)>,
    is_prepared: bool,
    asked: AtomicUsize,
}

impl Pages {
    fn new(is_prepared: bool) -> Arc<Self> {
        let page = |status: u16, body: Vec<u8>| Response::builder().status(status).body(Bytes::from(body)).unwrap();
        let with = |name, value: &'static str| {
            let mut page = page(200, b"page".to_vec());
            page.headers_mut().insert(name, value.parse().unwrap());
            page
        };
        let pages = vec![
            ("/", page(200, b"hello".to_vec())),
            ("/empty", page(200, Vec::new())),
            ("/gone", page(410, b"it was here".to_vec())),
            ("/nothing", page(204, Vec::new())),
            ("/unchanged", page(304, Vec::new())),
            ("/early", page(103, Vec::new())),
            ("/large", page(200, vec![b'x'; 20 << 10])),
            ("/closing", with(header::CONNECTION, "close")),
            ("/dated", with(header::DATE, "Sun, 06 Nov 1994 08:49:37 GMT")),
            ("/served", with(header::SERVER, "somebody")),
            ("/measured", with(header::CONTENT_LENGTH, "99")),
        ];
        Arc::new(Self { pages, is_prepared, asked: AtomicUsize::new(0) })
    }

    fn page(&self, path: &str) -> Option<&Response<Bytes>> {
        self.pages.iter().find(|(name, _)| *name == path).map(|(_, page)| page)
    }
}

impl Service for Pages {
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
            self.asked.fetch_add(1, Relaxed);
            match self.page(request.uri().path()) {
                Some(page) => Ok(page.clone().map(full)),
                None => Ok(text(StatusCode::NOT_FOUND, collect(request.into_body(), scope.limits().max).await?)),
            }
        })
    }

    fn prepared(&self, path: &str) -> Option<&Response<Bytes>> {
        self.page(path).filter(|_| self.is_prepared)
    }

    fn converses_at(&self, _: &str) -> bool {
        false
    }
}

/// A request, and how many of them the service must answer itself.
const REQUESTS: &[(&str, usize)] = &[
    ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 0),
    ("HEAD / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nUser-Agent: curl/8.5.0\r\n\r\n", 0),
    ("GET /?a=b HTTP/1.1\r\nHost: localhost:80\r\nConnection: Keep-Alive\r\n\r\n", 0),
    ("GET /empty HTTP/1.1\r\nHost: localhost\r\n\r\n", 0),
    ("GET /gone HTTP/1.1\r\nHost: localhost\r\n\r\n", 0),
    ("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", 0),
    ("GET /unchanged HTTP/1.1\r\nHost: localhost\r\n\r\n", 0),
    ("GET /dated HTTP/1.1\r\nHost: localhost\r\n\r\n", 0),
    ("GET /served HTTP/1.1\r\nHost: localhost\r\n\r\n", 0),
    ("GET /measured HTTP/1.1\r\nHost: localhost\r\n\r\n", 0),
    ("HEAD /measured HTTP/1.1\r\nHost: localhost\r\n\r\n", 0),
    ("HEAD /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", 0),
    ("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n", 1),
    ("GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n", 1),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello", 1),
    ("POST /other HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 1),
    ("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello", 1),
    ("GET /%3f HTTP/1.1\r\nHost: localhost\r\n\r\n", 1),
    ("GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 1),
    ("GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mozilla/5.0\r\n\r\n", 1),
    ("GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\n\r\n", 1),
    ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 1),
    ("\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 0),
    ("GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mozilla/5.0\r\nOrigin: http://other\r\n\r\n", 0),
];

/// What ends a connection.
const LAST: &[(&str, usize)] = &[
    ("", 0),
    ("GET /early HTTP/1.1\r\nHost: localhost\r\n\r\n", 1),
    ("GET /closing HTTP/1.1\r\nHost: localhost\r\n\r\n", 1),
    ("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 1),
    ("GET / HTTP/1.0\r\n\r\n", 1),
    ("GET / HTTP/1.1\r\n\r\n", 0),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 0),
    ("GET / HTTP/1.1\nHost: localhost\n\n", 0),
    ("GET / HTTP/1.1\r\nHost: localhost\n\r\n", 0),
    ("GET / HTTP/1.1\r\nHost", 0),
    ("nonsense\r\n", 0),
];

#[tokio::test]
async fn the_service_is_asked_where_an_answer_may_differ() {
    let pages = Pages::new(true);
    let server = serving("http://127.0.0.1:0", pages.clone()).await;
    for (request, asked) in REQUESTS.iter().chain(LAST) {
        let before = pages.asked.load(Relaxed);
        let said = say(server.address(), request.as_bytes(), &[]).await;
        assert_eq!(said.is_empty(), request.is_empty() || request.ends_with("Host"), "{request:?}: {said}");
        assert_eq!(pages.asked.load(Relaxed) - before, *asked, "{request:?}: {said}");
    }
}

#[tokio::test]
async fn the_service_is_asked_where_somebody_watches_or_pages_may_ask() {
    let told = Arc::new(AtomicUsize::new(0));
    let count = told.clone();
    let scope = watched(Limits::server(), move |event: &Event<'_>| {
        count.fetch_add(usize::from(matches!(event, Event::Answered(_))), Relaxed);
    });
    let pages = Pages::new(true);
    let server = serving_in(scope, "http://127.0.0.1:0", pages.clone()).await;
    let request = REQUESTS[0].0.repeat(3);
    say(server.address(), request.as_bytes(), &[]).await;
    assert_eq!((pages.asked.load(Relaxed), told.load(Relaxed)), (3, 3));
    let pages = Pages::new(true);
    let server = serving("http://127.0.0.1:0?origin=*", pages.clone()).await;
    say(server.address(), request.as_bytes(), &[]).await;
    assert_eq!(pages.asked.load(Relaxed), 3);
}

/// The greeting is the one of our own services that is prepared.
#[tokio::test]
async fn a_greeting_is_the_same_either_way() {
    let server = serving("http://127.0.0.1:0", service("greet")).await;
    let plain = say(server.address(), b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", &[]).await;
    let asked = say(server.address(), b"GET / HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\n\r\n", &[]).await;
    assert!(plain.starts_with("HTTP/1.1 200 OK\r\n") && plain.ends_with("\r\n\r\nHello, World!\r\n"), "{plain}");
    assert_eq!(plain, asked);
}

/// What has come is answered, and the last answer says so.
#[tokio::test]
async fn a_server_that_ends_says_so_with_its_last_answer() {
    let pages = Pages::new(true);
    let mut server = serving("http://127.0.0.1:0", pages.clone()).await;
    let mut client = Raw::to(server.address()).await;
    client.say(REQUESTS[0].0).await;
    client.until("hello").await;
    client.say(REQUESTS[0].0).await;
    assert!(in_time("the end", server.end(common::GRACE)).await);
    let said = client.rest().await;
    assert!(said.contains("connection: close\r\n") && said.ends_with("hello"), "{said}");
    assert_eq!(pages.asked.load(Relaxed), 1);
}

/// It stores no answers for who does not take them, and goes on where it stopped.
#[tokio::test]
async fn who_asks_and_does_not_read_is_not_heard_for_ever() {
    let pages = Pages::new(true);
    let server = serving("http://127.0.0.1:0", pages.clone()).await;
    let (mut answers, mut questions) = Raw::to(server.address()).await.0.into_split();
    let block = REQUESTS[0].0.repeat(1000);
    let (mut asked, most) = (0, 64 << 20);
    // As long as something is taken within a while, it goes on.
    while let Ok(written) = tokio::time::timeout(std::time::Duration::from_secs(1), async {
        questions.write(&block.as_bytes()[asked % block.len()..]).await.unwrap()
    })
    .await
    {
        asked += written;
        assert!(asked < most, "{asked} bytes of requests were taken");
    }
    drop(questions);
    let (mut heard, mut buf) = (0, vec![0; 1 << 20]);
    let whole = asked / REQUESTS[0].0.len();
    in_time("the answers", async {
        loop {
            match answers.read(&mut buf).await.unwrap() {
                0 => break,
                read => heard += buf[..read].windows(4).filter(|four| four == b"\r\n\r\n").count(),
            }
        }
    })
    .await;
    // An end of a head that was cut is seen in neither piece.
    assert!(heard <= whole && heard + 1000 > whole, "{heard} answers to {whole} requests");
    // A request that comes in two pieces is answered the long way, and those behind it are not.
    let asked = pages.asked.load(Relaxed);
    assert!(asked * 20 < whole, "{asked} of {whole} the long way");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nobody_can_tell_them_apart(
        requests in proptest::collection::vec(proptest::sample::select(REQUESTS), 0..12),
        last in proptest::sample::select(LAST),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..6),
    ) {
        let sent = requests.iter().chain([&last]).map(|(request, _)| *request).collect::<String>().into_bytes();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(sent.len() + 1)).collect();
        cuts.sort_unstable();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (plain, prepared) = runtime.block_on(async {
            let mut heard = Vec::new();
            for is_prepared in [false, true] {
                let server = serving("http://127.0.0.1:0", Pages::new(is_prepared)).await;
                heard.push(say(server.address(), &sent, &cuts).await);
            }
            (heard.swap_remove(0), heard.swap_remove(0))
        });
        prop_assert_eq!(plain, prepared);
    }
}

/// What is answered to those bytes, which arrive in pieces, without the dates that a server gives to its answers.
async fn say(server: &hullo::Address, bytes: &[u8], cuts: &[usize]) -> String {
    let mut client = Raw::to(server).await;
    client.0.set_nodelay(true).unwrap();
    for (from, until) in [0].iter().chain(cuts).zip(cuts.iter().chain([&bytes.len()])) {
        // A server that has heard enough may have closed: then what it has said is to be heard.
        let _ = client.0.write_all(&bytes[*from..*until]).await;
        // It runs on this thread, and has its turn now.
        for _ in 0..3 {
            yield_now().await;
        }
    }
    let _ = client.0.shutdown().await;
    let said = client.rest().await;
    let is_now = |line: &&str| !line.starts_with("date: ") || line.contains(" 1994 ");
    said.split_inclusive("\r\n").filter(is_now).collect()
}
