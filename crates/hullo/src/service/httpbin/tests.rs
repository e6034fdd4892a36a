//! The service asked without a socket: every line of its table, its bounds, and what comes when.

use std::{
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    Httpbin, bounds,
    routes::{Found, GROUPS, Route, find},
};
use crate::{
    error::Result,
    io::exchange::{Body, Early, Interim, empty, full},
    peer::{Endpoint, Peer},
    scope::{Limits, Scope},
    service::{Service, Settings},
};

/// What the examples answer that do not answer 200.
const OTHERWISE: &[(&str, u16)] = &[
    ("/basic-auth/<user>/<passwd>", 401),
    ("/hidden-basic-auth/<user>/<passwd>", 404),
    ("/bearer", 401),
    ("/digest-auth/<qop>/<user>/<passwd>", 401),
    ("/digest-auth/<qop>/<user>/<passwd>/<algorithm>", 401),
    ("/digest-auth/<qop>/<user>/<passwd>/<algorithm>/<stale_after>", 401),
    ("/status/<codes>", 418),
    ("/redirect/<int:n>", 302),
    ("/relative-redirect/<int:n>", 302),
    ("/absolute-redirect/<int:n>", 302),
    ("/redirect-to", 307),
    ("/cookies/set", 302),
    ("/cookies/set/<name>/<value>", 302),
    ("/cookies/delete", 302),
    ("/links/<int:n>", 302),
    ("/websocket/echo", 426),
];

fn routes() -> impl Iterator<Item = &'static Route> {
    GROUPS.iter().flat_map(|group| group.routes)
}

fn request(method: &str, target: &str) -> http::request::Builder {
    Request::builder().method(method).uri(target).header(header::HOST, "localhost:8000")
}

async fn answered(request: Request<Body>) -> Response<Body> {
    let at = |port| Endpoint::Net(([127, 0, 0, 1], port).into());
    let service = Arc::new(Httpbin::new(&Settings::default()).unwrap());
    let scope = Scope::new(Limits { max: 4096, ..Limits::server() }, None);
    service.exchange(request, Peer::new("http", at(5000), at(8000)), scope).await.unwrap()
}

async fn whole(request: Request<Body>) -> (StatusCode, HeaderMap, Bytes) {
    let (head, body) = answered(request).await.into_parts();
    (head.status, head.headers, body.collect().await.unwrap().to_bytes())
}

async fn get(target: &str) -> (StatusCode, HeaderMap, Bytes) {
    whole(request("GET", target).body(empty()).unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn every_route_answers_its_example() {
    for route in routes() {
        let code = OTHERWISE.iter().find(|(pattern, _)| *pattern == route.pattern).map_or(200, |(_, code)| *code);
        for method in route.methods.split(' ') {
            let (status, headers, _) = whole(request(method, route.example).body(empty()).unwrap()).await;
            let chance = route.pattern == "/unstable" && status == 500;
            assert!(status == code || chance, "{method} {} answers {status}", route.example);
            assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*", "{}", route.example);
        }
        let Found::Route(found, _) =
            find(&Method::from_bytes(first(route).as_bytes()).unwrap(), route.example.split('?').next().unwrap())
        else {
            panic!("nothing at {}", route.example)
        };
        assert_eq!(found.pattern, route.pattern, "the example is of another line");
    }
    let known = |pattern: &str| routes().any(|route| route.pattern == pattern);
    assert!(OTHERWISE.iter().all(|(pattern, _)| known(pattern)), "an exception is for what is there");
}

fn first(route: &Route) -> &'static str {
    route.methods.split(' ').next().unwrap()
}

/// The paths of httpbin itself, as its table of routes has them.
#[test]
fn every_path_of_httpbin_is_here() {
    for path in "/ /legacy /html /robots.txt /deny /ip /uuid /headers /user-agent /get /anything /anything/x /post /put /patch \
                 /delete /gzip /deflate /brotli /redirect/1 /redirect-to /relative-redirect/1 /absolute-redirect/1 /stream/1 \
                 /status/200 /response-headers /cookies /forms/post /cookies/set/n/v /cookies/set /cookies/delete \
                 /basic-auth/u/p /hidden-basic-auth/u/p /bearer /digest-auth/auth/u/p /digest-auth/auth/u/p/MD5 \
                 /digest-auth/auth/u/p/MD5/1 /delay/1 /drip /base64/v /cache /etag/e /cache/1 /encoding/utf8 /bytes/1 \
                 /stream-bytes/1 /range/1 /links/1 /links/1/0 /image /image/png /image/jpeg /image/webp /image/svg /xml /json"
        .split_whitespace()
    {
        let method = match path {
            "/post" => Method::POST,
            "/put" => Method::PUT,
            "/patch" => Method::PATCH,
            "/delete" => Method::DELETE,
            _ => Method::GET,
        };
        assert!(matches!(find(&method, path), Found::Route(..)), "{path}");
    }
}

#[tokio::test]
async fn other_methods_and_paths_are_refused() {
    for (method, path, code, allow) in [
        ("POST", "/get", 405, Some("GET, HEAD, OPTIONS")),
        ("GET", "/post", 405, Some("POST, OPTIONS")),
        ("OPTIONS", "/cache", 200, Some("GET, HEAD, OPTIONS")),
        ("BREW", "/status/200", 405, Some("GET, POST, PUT, DELETE, PATCH, TRACE, HEAD, OPTIONS")),
        ("HEAD", "/get", 200, None),
        ("GET", "/get/", 404, None),
        ("GET", "//get", 404, None),
        ("GET", "/bytes/-1", 404, None),
        ("GET", "/bytes/abc", 404, None),
        ("GET", "/basic-auth/ada", 404, None),
        ("GET", "/basic-auth//secret", 404, None),
        ("OPTIONS", "/nowhere", 404, None),
    ] {
        let (status, headers, _) = whole(request(method, path).body(empty()).unwrap()).await;
        let allowed = headers.get(header::ALLOW).map(|value| value.to_str().unwrap());
        assert_eq!((status.as_u16(), allowed), (code, allow), "{method} {path}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_meant_is_told() {
    for target in [
        "/status/abc",
        "/status/20",
        "/status/1000",
        "/status/101",
        "/delay/soon",
        "/drip?numbytes=0",
        "/drip?duration=x",
        "/drip?code=100",
        "/drip?code=99999",
        "/bytes/5?seed=x",
        "/redirect/0",
        "/redirect-to",
        "/unstable?failure_rate=2",
        "/base64/decode/%21",
        "/base64/stretch/a",
        "/base64/_w==?content-type=text/html",
        "/response-headers?Content-Length=1",
        "/response-headers?X-A=a%0D%0AX-B:%20b",
        "/response-headers?a%20b=c",
        "/trailers?Content-Length=1",
        "/cookies/set/a%20b/c",
        "/cookies/set?a%3D=b",
    ] {
        let (status, headers, body) = get(target).await;
        assert_eq!(status, 400, "{target}");
        assert!(
            !body.is_empty() && headers[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/plain"),
            "{target}"
        );
    }
}

/// Nothing that stands in a link becomes markup of ours.
#[tokio::test]
async fn no_link_makes_a_page() {
    const SCRIPT: &str = "%3Cscript%3Ealert(1)%3C/script%3E";
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE, "<script>alert(1)</script>");
    for target in [
        format!("/response-headers?Content-Type=text/html&a={SCRIPT}"),
        format!("/base64/{encoded}?content-type=image/svg%2Bxml"),
        format!("/base64/decode/{encoded}?content-type=text/html"),
        format!("/base64/{encoded}"),
        format!("/anything?a={SCRIPT}"),
        format!("/nowhere/{SCRIPT}"),
        format!("/links/3/1?{SCRIPT}"),
        format!("/status/{SCRIPT}"),
    ] {
        let (_, headers, body) = get(&target).await;
        let kind = headers[header::CONTENT_TYPE].to_str().unwrap();
        let runs = !kind.starts_with("text/plain") && !kind.starts_with("application/json");
        assert!(!(runs && body.windows(7).any(|part| part == b"<script")), "{target} is {kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn times_and_sizes_are_bounded() {
    for (target, most) in [
        ("/delay/1000000", bounds::DELAY),
        ("/drip?duration=1000000&delay=1000000&numbytes=3", bounds::DELAY + bounds::DURATION),
        ("/sse?duration=1000000&count=1000000&delay=1000000", bounds::DELAY + bounds::DURATION),
        ("/jsonl?duration=1000000&count=1000000", bounds::DURATION),
        ("/range/10?duration=1000000&chunk_size=1", bounds::DURATION),
    ] {
        let begun = Instant::now();
        assert_eq!(get(target).await.0, 200, "{target}");
        let slack = Duration::from_secs(1);
        assert!(
            begun.elapsed() < most + slack && begun.elapsed() + slack > most,
            "{target} took {:?}",
            begun.elapsed()
        );
    }
    for (target, size) in [
        ("/bytes/99999999999999999999", bounds::BYTES),
        ("/stream-bytes/200000?chunk_size=0", bounds::BYTES),
        ("/drip?numbytes=99999999999&duration=0", bounds::DRIP),
    ] {
        assert_eq!(get(target).await.2.len() as u64, size, "{target}");
    }
    for (target, lines) in [("/stream/1000000", 100), ("/jsonl?count=1000000&duration=0", 100)] {
        assert_eq!(get(target).await.2.split(|byte| *byte == b'\n').count() - 1, lines, "{target}");
    }
    assert_eq!(get("/range/102401").await.0, 404);
    for (fields, code) in [(1000, 302), (1001, 400)] {
        assert_eq!(get(&format!("/cookies/set?{}", "a&".repeat(fields))).await.0, code);
    }
    let links = String::from_utf8(get("/links/100000/0").await.2.to_vec()).unwrap();
    assert_eq!(links.matches("<a ").count() as u64, bounds::LINKS - 1);
}

/// When the pieces of a body came, in milliseconds, and how long they were.
async fn pieces(target: &str) -> Vec<(u128, usize)> {
    let begun = Instant::now();
    let mut body = answered(request("GET", target).body(empty()).unwrap()).await.into_body();
    let mut pieces = Vec::new();
    while let Some(frame) = body.frame().await {
        pieces.push((begun.elapsed().as_millis(), frame.unwrap().into_data().unwrap().len()));
    }
    pieces
}

#[tokio::test(start_paused = true)]
async fn what_drips_comes_bit_by_bit() {
    assert_eq!(
        pieces("/drip?numbytes=5&duration=2&delay=1").await,
        [(1000, 1), (1500, 1), (2000, 1), (2500, 1), (3000, 1)]
    );
    assert_eq!(pieces("/drip?numbytes=1&duration=2").await, [(0, 1)]);
    assert_eq!(pieces("/range/26?chunk_size=10&duration=1").await, [(0, 10), (500, 10), (1000, 6)]);
    assert_eq!(pieces("/stream-bytes/5?chunk_size=2").await, [(0, 2), (0, 2), (0, 1)]);
    // A million bytes in a second are no million pieces.
    let many = pieces("/drip?numbytes=1000000&duration=1").await;
    assert_eq!((many.len(), many.iter().map(|(_, size)| size).sum()), (201, 1_000_000));
    // Nor are ten million at once one piece.
    assert!(pieces("/drip?numbytes=10000000&duration=0").await.iter().all(|(at, size)| *at == 0 && *size <= 64 << 10));
    let events = pieces("/sse?count=3&duration=1").await;
    assert_eq!(events.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 500, 1000]);
}

#[tokio::test]
async fn a_body_over_max_is_refused_and_one_that_is_only_counted_is_not() {
    let send = |method: &'static str, target: &'static str| {
        whole(request(method, target).body(full(vec![b'x'; 5000])).unwrap())
    };
    assert_eq!(send("POST", "/post").await.0, 413);
    assert_eq!(send("GET", "/dump/request").await.0, 413);
    let (status, _, body) = send("PUT", "/upload").await;
    assert_eq!((status.as_u16(), &json(&body)["bytes_received"]), (200, &5000.into()));
    // Who only wants the status is not asked for the body first.
    assert_eq!(send("POST", "/status/202").await.0, 202);
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

/// What was said before the response.
#[derive(Default)]
struct Heard(Mutex<Vec<Response<()>>>);

impl Early for Heard {
    fn poll_send(&self, head: &mut Option<Response<()>>, _: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.lock().unwrap().extend(head.take());
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn interim_responses_come_first() {
    for (target, code, links) in [
        ("/early-hints", 103, 1),
        ("/early-hints?link=%3C/a%3E&link=%3C/b%3E", 103, 2),
        ("/status/103", 103, 0),
        ("/status/102", 102, 0),
        ("/status/100", 100, 0),
    ] {
        let heard = Arc::new(Heard::default());
        let mut asked = request("GET", target).body(empty()).unwrap();
        asked.extensions_mut().insert(Interim::new(heard.clone()));
        let (status, headers, _) = whole(asked).await;
        let said = std::mem::take(&mut *heard.0.lock().unwrap());
        let [hint] = &said[..] else { panic!("{target} says {said:?}") };
        let told = |headers: &HeaderMap| headers.get_all(header::LINK).iter().count();
        assert_eq!((hint.status().as_u16(), told(hint.headers())), (code, links), "{target}");
        assert_eq!((status.as_u16(), told(&headers)), (200, links), "{target}");
        assert_eq!(get(target).await.0, 200, "{target} where nobody would understand it");
    }
}

#[tokio::test]
async fn json_is_printed_as_httpbin_does() {
    let sent = r#"{"z": {"b": 1, "a": "ü😀\u007f"}, "a": []}"#;
    let asked = request("POST", "/post?b=1&a=2&a=3&c").body(full(sent)).unwrap();
    let (_, _, body) = whole(asked).await;
    let wanted = r#"{
  "args": {
    "a": [
      "2",
      "3"
    ],
    "b": "1",
    "c": ""
  },
  "data": "{\"z\": {\"b\": 1, \"a\": \"\u00fc\ud83d\ude00\\u007f\"}, \"a\": []}",
  "files": {},
  "form": {},
  "headers": {
    "Host": "localhost:8000"
  },
  "json": {
    "a": [],
    "z": {
      "a": "\u00fc\ud83d\ude00\u007f",
      "b": 1
    }
  },
  "origin": "127.0.0.1",
  "url": "http://localhost:8000/post?b=1&a=2&a=3&c"
}
"#;
    assert_eq!(std::str::from_utf8(&body).unwrap(), wanted);
}

#[tokio::test]
async fn a_form_of_any_bytes_is_read_or_refused() {
    let good = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"\"\r\n\r\n\r\n--b--\r\n";
    let many = "--b\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n\r\n".repeat(40) + "--b--\r\n";
    for (kind, body, code) in [
        ("multipart/form-data; boundary=b", good.to_owned(), 200),
        ("multipart/form-data; boundary=b", many, 200),
        ("multipart/form-data; boundary=b", good[..50].to_owned(), 400),
        ("multipart/form-data; boundary=b", "\0\u{fffd}".to_owned(), 400),
        ("multipart/form-data; boundary=b", String::new(), 400),
        ("multipart/form-data", good.to_owned(), 400),
        ("multipart/form-data; boundary=\"", good.to_owned(), 400),
        ("application/x-www-form-urlencoded", "&&=&%ff%&a=%".to_owned(), 200),
    ] {
        let asked = request("POST", "/post").header(header::CONTENT_TYPE, kind).body(full(body.clone())).unwrap();
        assert_eq!(whole(asked).await.0, code, "{kind}: {body:?}");
    }
}

#[tokio::test]
async fn a_proxy_is_believed_about_the_client() {
    let asked = request("GET", "/get?show_env=1")
        .header("X-Forwarded-For", "192.0.2.1, 192.0.2.2")
        .header("X-Forwarded-Proto", "https");
    let body = json(&whole(asked.body(empty()).unwrap()).await.2);
    assert_eq!(
        (&body["origin"], &body["url"]),
        (&"192.0.2.1, 192.0.2.2".into(), &"https://localhost:8000/get?show_env=1".into())
    );
    assert_eq!(body["headers"]["X-Forwarded-Proto"], "https");
    let asked = request("GET", "/get").header("X-Forwarded-Ssl", "on").header("Via", "1.1 proxy");
    let body = json(&whole(asked.body(empty()).unwrap()).await.2);
    assert_eq!(
        (&body["url"], &body["headers"]),
        (&"https://localhost:8000/get".into(), &serde_json::json!({ "Host": "localhost:8000" }))
    );
}

proptest::proptest! {
    /// Whatever is in the path, the query, the headers and the body: there is an answer, and it is not our mistake.
    #[test]
    fn any_request_is_answered(
        part in "[!-~]{0,12}",
        query in "[!-~]{0,24}",
        text in "[ -~\\t]{0,40}",
        body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let part = percent_encoding::utf8_percent_encode(&part, percent_encoding::NON_ALPHANUMERIC).to_string();
        let query: String = query.chars().filter(|c| !"#\"<>`{}".contains(*c)).collect();
        for path in ["/range/26", "/cookies", "/cookies/set", "/etag/a", "/post", "/trailers", "/response-headers", "/drip",
            "/status/{}", "/base64/{}", "/base64/decode/{}", "/delay/{}", "/digest-auth/auth-int/a/b/{}", "/basic-auth/a/{}"]
        {
            let target = format!("{}?{query}", path.replace("{}", &part));
            let method = if path == "/post" { "POST" } else { "GET" };
            for (name, value) in [
                ("range", format!("bytes={text}")),
                ("cookie", format!("a=\"{text}\"; {text}")),
                ("authorization", format!("Digest username=\"a\", qop=auth-int, {text}")),
                ("authorization", format!("Basic {text}")),
                ("if-match", text.clone()),
                ("content-type", format!("multipart/form-data; boundary={text}")),
            ] {
                let asked = request(method, &target).header(name, value).body(full(body.clone())).unwrap();
                let (status, ..) = runtime.block_on(whole(asked));
                let wanted = path == "/status/{}" || path == "/drip";
                assert!(wanted || !status.is_server_error(), "{target} {name} is {status}");
            }
        }
    }
}
