//! What a client makes of responses of HTTP/1.1, good and bad.

use http::{HeaderValue, Method, Version};
use proptest::prelude::*;

use super::{
    super::{
        codec::{Failure, Outcome},
        http::{Exchange, tests::Heard},
    },
    *,
};

fn exchange(method: Method) -> Exchange {
    let mut exchange = Exchange::new(method);
    exchange.headers.clear();
    exchange
}

fn heard(exchange: &Exchange, bytes: &[u8], cut: usize) -> Heard {
    Heard::of(exchange, Version::HTTP_11, 3, bytes, cut)
}

/// What the responses in `bytes` come to, wherever they are cut: their statuses, and whether the connection then ends.
fn statuses(method: Method, bytes: &str) -> (Vec<u16>, bool, Option<Kind>) {
    let exchange = exchange(method);
    let at_once = heard(&exchange, bytes.as_bytes(), bytes.len().max(1));
    for cut in 1..bytes.len() {
        assert_eq!(heard(&exchange, bytes.as_bytes(), cut), at_once, "{bytes:?} cut at {cut}");
    }
    let status = |reply: &Reply| match reply.outcome {
        Outcome::Answered(status) => status.unwrap_or_default(),
        Outcome::Failed(Failure::Status(status)) => status,
        outcome => unreachable!("{outcome:?}"),
    };
    let last = at_once.replies.last().is_some_and(|reply| reply.last);
    (at_once.replies.iter().map(status).collect(), last, at_once.broken)
}

#[test]
fn a_request_is_written_once_and_what_is_filled_in_each_time() {
    let mut exchange = exchange(Method::POST);
    exchange.headers.insert("x-a", HeaderValue::from_static("b"));
    exchange.body = Some(Payload::fixed(&b"body"[..]));
    let asked = |exchange: &Exchange| String::from_utf8(Heard::asked(exchange, Version::HTTP_11, 2)).unwrap();
    let same = "POST /a?b HTTP/1.1\r\nHost: h:80\r\nX-A: b\r\nContent-Length: 4\r\n\r\nbody";
    assert_eq!(asked(&exchange), same.repeat(2));
    exchange.target = Some(Payload::template("/{{seq}}?q={{seq}}", 1).unwrap());
    exchange.filled = vec![
        (http::header::HOST, Payload::template("h{{seq}}", 2).unwrap()),
        (http::header::CONTENT_LENGTH, Payload::template("{{seq}}", 2).unwrap()),
    ];
    let of = |n| format!("POST /{n}?q={n} HTTP/1.1\r\nX-A: b\r\nHost: h{n}\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!(asked(&exchange), of(0) + &of(1));
    exchange.body = Some(Payload::template("n{{seq}}", 0).unwrap());
    assert!(asked(&exchange).ends_with("Host: h1\r\nContent-Length: 2\r\n\r\nn1"), "{}", asked(&exchange));
}

#[test]
fn responses_end_where_they_end() {
    for (bytes, wanted, last) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", &[200][..], false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 404 \r\ncontent-length:1\r\n\r\n!", &[200, 404], false),
        ("HTTP/1.1 200\r\nContent-Length: 5, 5\r\nContent-Length: 5\r\n\r\nhello", &[200], false),
        ("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", &[204, 304], false),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 204 a\r\n\r\n", &[204], false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", &[200], false),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\nContent-Length: 1\r\n\r\n1;a=b\r\nx\r\n0\r\nT: v\r\n\r\n",
            &[200],
            false,
        ),
        ("HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 1\r\n\r\n!", &[200], true),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n!and what nobody reads", &[200], true),
        ("HTTP/1.1 200 OK\r\n\r\neverything until the end", &[200], true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\neverything until the end", &[200], true),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", &[200], true),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", &[200], false),
        ("HTTP/1.1 200 OK\nContent-Length: 2\n\nokHTTP/1.1 200 OK\nContent-Length: 2\n\nno", &[200, 200], false),
        ("\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!\r\n", &[200], false),
        ("HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 1\r\n\r\n!", &[200], false),
    ] {
        assert_eq!(statuses(Method::GET, bytes), (wanted.to_vec(), last, None), "{bytes:?}");
    }
    let bodiless = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(statuses(Method::HEAD, bodiless), (vec![200, 200], false, None));
}

#[test]
fn a_head_that_is_the_one_before_is_known_and_one_that_begins_like_it_is_not() {
    let same = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
    let other = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n";
    let bytes = format!("{same}ab{same}cd{other}{}{other}{}", "x".repeat(20), "y".repeat(20));
    let heard = Heard::of(&exchange(Method::GET), Version::HTTP_11, 4, bytes.as_bytes(), bytes.len());
    assert_eq!((heard.replies.len(), heard.broken), (4, None));
}

#[test]
fn what_is_no_response_is_refused_at_once() {
    for bytes in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "hello",
        "\0\0\u{12}\u{4}\0\0\0\0\0",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    ] {
        assert_eq!(statuses(Method::GET, bytes), (vec![], false, Some(Kind::Protocol)), "{bytes:?}");
    }
    let lines = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101));
    let large = format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(LARGEST));
    for bytes in [lines, large] {
        assert_eq!(heard(&exchange(Method::GET), bytes.as_bytes(), 10_000).broken, Some(Kind::Protocol));
    }
}

#[test]
fn an_end_in_the_middle_is_a_cut() {
    for bytes in [
        "HTTP/1.1 20",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        assert_eq!(statuses(Method::GET, bytes), (vec![], false, Some(Kind::Cut)), "{bytes:?}");
    }
}

#[test]
fn contents_are_expected_or_not() {
    let reply = |said: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{said}", said.len());
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nn \r\n1\r\n1\r\n0\r\n\r\n".to_owned();
    let mut exchange = exchange(Method::POST);
    exchange.body = Some(Payload::template("n {{seq}}", 0).unwrap());
    exchange.expect.add("same");
    let bytes = [reply("n 0"), chunked, reply("n 7")].concat();
    let failed = |failure| Outcome::Failed(failure);
    for cut in 1..bytes.len() {
        let outcomes = heard(&exchange, bytes.as_bytes(), cut).outcomes();
        let wanted = [Outcome::Answered(Some(200)), Outcome::Answered(Some(200)), failed(Failure::Unexpected)];
        assert_eq!(outcomes, wanted, "cut at {cut}");
    }
    exchange.expect.add("404");
    assert_eq!(heard(&exchange, bytes.as_bytes(), 9).outcomes(), [failed(Failure::Status(200)); 3]);
    let mut exchange = self::exchange(Method::GET);
    exchange.expect.add("needle");
    let large = reply(&"x".repeat(Heard::MAX + 1));
    let bytes = [reply("hay, a needle, hay"), reply("hay"), large].concat();
    let wanted = [Outcome::Answered(Some(200)), failed(Failure::Unexpected), failed(Failure::Kind(Kind::TooLarge))];
    assert_eq!(heard(&exchange, bytes.as_bytes(), 100).outcomes(), wanted);
}

#[test]
fn requests_are_written_as_they_are_meant() {
    let asked = |exchange: &Exchange| String::from_utf8(Heard::asked(exchange, Version::HTTP_11, 1)).unwrap();
    let plain = Exchange::new(Method::GET);
    let version = env!("CARGO_PKG_VERSION");
    let wanted = format!("GET /a?b HTTP/1.1\r\nHost: h:80\r\nAccept: */*\r\nUser-Agent: hullo/{version}\r\n\r\n");
    assert_eq!(asked(&plain), wanted);
    let mut post = exchange(Method::POST);
    assert_eq!(asked(&post), "POST /a?b HTTP/1.1\r\nHost: h:80\r\nContent-Length: 0\r\n\r\n");
    post.body = Some(Payload::fixed("hello"));
    post.headers.insert("host", HeaderValue::from_static("other"));
    post.headers.insert("content-length", HeaderValue::from_static("0"));
    assert_eq!(asked(&post), "POST /a?b HTTP/1.1\r\nHost: other\r\nContent-Length: 5\r\n\r\nhello");
    post.headers.clear();
    post.body = Some(Payload::template("n {{seq}}", 0).unwrap());
    assert_eq!(asked(&post), "POST /a?b HTTP/1.1\r\nHost: h:80\r\nContent-Length: 3\r\n\r\nn 0");
}

/// Responses as servers send them, and their number.
fn responses() -> impl Strategy<Value = (Vec<u8>, usize)> {
    let body = proptest::collection::vec(any::<u8>(), 0..300);
    let one = (body, 0..5_u8, 100..999_u16).prop_map(|(body, kind, status)| {
        let length = body.len();
        let (head, framed) = match kind {
            0 => ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), Vec::new()),
            1 => ("HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(), Vec::new()),
            2 => {
                let mut framed = Vec::new();
                for chunk in body.chunks(7) {
                    framed.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    framed.extend_from_slice(chunk);
                    framed.extend_from_slice(b"\r\n");
                }
                framed.extend_from_slice(b"0\r\n\r\n");
                ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), framed)
            }
            3 => (format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"), body),
            _ => {
                let status = if matches!(status, 100..200 | 204 | 304) { 500 } else { status };
                (format!("HTTP/1.1 {status} X\r\nA: b\r\nContent-Length: {length}\r\n\r\n"), body)
            }
        };
        [head.into_bytes(), framed].concat()
    });
    proptest::collection::vec(one, 0..8).prop_map(|all| (all.concat(), all.len()))
}

proptest! {
    #[test]
    fn any_split_gives_the_same_replies((bytes, count) in responses(), cut in 1..100_usize) {
        let exchange = exchange(Method::GET);
        let at_once = Heard::of(&exchange, Version::HTTP_11, 8, &bytes, bytes.len().max(1));
        prop_assert_eq!(at_once.replies.len(), count);
        prop_assert_eq!(at_once.broken, None);
        prop_assert_eq!(Heard::of(&exchange, Version::HTTP_11, 8, &bytes, cut), at_once);
    }

    #[test]
    fn a_broken_response_is_no_panic(
        (mut bytes, _) in responses(),
        garbage in proptest::collection::vec(any::<u8>(), 0..20),
        at in any::<usize>(),
        cut in 1..100_usize,
    ) {
        let at = at % (bytes.len() + 1);
        bytes.splice(at..bytes.len().min(at + garbage.len()), garbage);
        let exchange = exchange(Method::GET);
        let at_once = Heard::of(&exchange, Version::HTTP_11, 8, &bytes, bytes.len().max(1));
        let in_pieces = Heard::of(&exchange, Version::HTTP_11, 8, &bytes, cut);
        prop_assert_eq!(in_pieces.replies, at_once.replies);
    }
}
