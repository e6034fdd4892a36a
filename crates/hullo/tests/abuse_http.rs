#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! HTTP from clients that mean no good, or know no better: each gets the status that it deserves and a reason, and the
//! next one is served. What hyper leaves undone is held here.

mod common;

use std::{sync::Arc, time::Duration};

use common::{By, Raw, in_time, service, serving, shell, still_serves};
use hullo::{Error, Link, Result, Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{interval, timeout},
};

async fn echo(options: &str) -> Server {
    serving(&format!("http://127.0.0.1:0{options}"), service("echo")).await
}

/// The status of the answer, and all that came with it until the end.
async fn answer(server: &Server, request: impl AsRef<[u8]>) -> (u16, String) {
    let mut client = Raw::to(server.address()).await;
    client.say(request).await;
    // Half-closed: whoever keeps connections alive has nothing to wait for.
    client.0.shutdown().await.unwrap();
    let said = client.rest().await;
    let status = said.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no status in '{said}'")), said)
}

/// What may follow `GET / HTTP/1.1` and what may stand in its place, and what becomes of it.
const REQUESTS: &[(&str, u16, &str)] = &[
    ("GET / HTTP/1.1\r\nHost: localhost\r\n", 200, "hullo\n"),
    ("GET / HTTP/1.1\r\nHost: localhost:8080\r\n", 200, "hullo\n"),
    ("GET / HTTP/1.1\r\nHost: [::1]:8080\r\n", 200, "hullo\n"),
    ("GET / HTTP/1.0\r\n", 200, "hullo\n"),
    ("GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n", 200, "hullo\n"),
    ("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n", 204, "allow: GET"),
    ("OPTIONS / HTTP/1.1\r\nHost: localhost\r\n", 204, "allow: GET"),
    ("TRACE / HTTP/1.1\r\nHost: localhost\r\n", 405, "allow: GET"),
    ("BREW / HTTP/1.1\r\nHost: localhost\r\n", 501, ""),
    ("get / HTTP/1.1\r\nHost: localhost\r\n", 501, ""),
    // RFC 9112, section 3.2: a server must refuse these.
    ("GET / HTTP/1.1\r\n", 400, "there is no Host header"),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n", 400, "there are two Host headers"),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n", 400, "there are two Host headers"),
    ("GET / HTTP/1.1\r\nHost:\r\n", 400, "the Host header names no host"),
    ("GET / HTTP/1.1\r\nHost: a b\r\n", 400, "the Host header names no host"),
    ("GET / HTTP/1.1\r\nHost: me@host\r\n", 400, "the Host header names no host"),
    ("GET / HTTP/1.1\r\nHost: host/path\r\n", 400, "the Host header names no host"),
    ("GET / HTTP/1.1\r\nHost: host:port\r\n", 400, "the Host header names no host"),
    ("GET / HTTP/1.1\r\nHost: [::1\r\n", 400, "the Host header names no host"),
    // Sections 3.2.3 and 3.2.4: targets that no origin server has.
    ("GET * HTTP/1.1\r\nHost: localhost\r\n", 400, "the target * is for OPTIONS alone"),
    ("CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n", 501, "this is no proxy"),
    // Sections 5 and 6: what is read in two ways is read in none.
    ("GET / HTTP/1.1\r\nHost : localhost\r\n", 400, ""),
    ("GET / HTTP/1.1\r\nHost: localhost\r\nno colon\r\n", 400, ""),
    ("GET / HTTP/1.1\r\nHost: localhost\r\nx: a\0b\r\n", 400, ""),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n", 400, ""),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n", 400, ""),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n", 400, ""),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n", 501, ""),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, gzip\r\n", 400, ""),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400, "both"),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nExpect: nothing\r\n", 417, ""),
    ("GET / HTTP/1.1\r\nHost: localhost\r\n folded\r\n", 400, ""),
    ("GET / HTTP/1.1\rHost: localhost\r\n", 400, "CR without its LF"),
    ("GET / HTTP/1.1\nHost: localhost\r\n", 400, "LF alone"),
    ("GET /#part HTTP/1.1\r\nHost: localhost\r\n", 400, ""),
    ("GET /\r\n", 400, ""),
    ("GET / HTTP/9.9\r\nHost: localhost\r\n", 505, ""),
    ("G\u{e9}T / HTTP/1.1\r\nHost: localhost\r\n", 400, ""),
    ("hullo\r\n", 400, ""),
    ("\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03 a TLS handshake\r\n", 400, ""),
];

#[tokio::test]
async fn each_request_gets_the_status_that_it_deserves() {
    let server = echo("").await;
    let mut wrong = Vec::new();
    for (head, status, reason) in REQUESTS {
        let said = answer(&server, format!("{head}\r\n")).await;
        if said.0 != *status || !said.1.contains(reason) {
            wrong.push(format!("{head:?} wants {status} {reason:?}, and gets {:?}", said.1));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    still_serves(server.address(), "hullo", "hullo").await;
}

#[tokio::test]
async fn heads_without_a_bound_are_refused() {
    let server = echo("").await;
    let host = "Host: localhost\r\n";
    for (what, request, statuses) in [
        ("a long header", format!("GET / HTTP/1.1\r\n{host}x: {}\r\n\r\n", "x".repeat(100_000)), [431, 431]),
        ("a long method", format!("{} / HTTP/1.1\r\n{host}\r\n", "X".repeat(100_000)), [400, 400]),
        ("many headers", format!("GET / HTTP/1.1\r\n{host}{}\r\n", "x: y\r\n".repeat(10_000)), [431, 431]),
        // It may also be said to be too long for a target.
        ("a long target", format!("GET /{} HTTP/1.1\r\n{host}\r\n", "x".repeat(100_000)), [414, 431]),
    ] {
        let (status, said) = answer(&server, request).await;
        assert!(statuses.contains(&status), "{what}: {said}");
    }
    still_serves(server.address(), "hullo", "hullo").await;
}

/// A head that never ends: whoever sends it is told so, or cut off, and in any case not listened to for ever.
#[tokio::test]
async fn a_head_without_an_end_is_given_up() {
    let server = echo("").await;
    for piece in ["GET / HTTP/1.1\r\nx: ", "GET /", "x"] {
        let (mut reader, mut writer) = Raw::to(server.address()).await.0.into_split();
        let endless = tokio::spawn(async move {
            let mut written = writer.write_all(piece.as_bytes()).await;
            while written.is_ok() {
                written = writer.write_all(&[b'x'; 65_536]).await;
            }
        });
        let _ = in_time(piece, reader.read_to_end(&mut Vec::new())).await;
        drop(reader);
        in_time(piece, endless).await.unwrap();
    }
    still_serves(server.address(), "hullo", "hullo").await;
}

#[tokio::test]
async fn a_slow_head_is_given_up() {
    for (options, starts) in [
        ("?timeout=300ms&idle=1h", &["GET / HTTP/1.1\r\nHost: localh", "GET", "G", "PO"][..]),
        // What may yet become HTTP/2 has no head to wait for: it is idle.
        ("?timeout=1h&idle=300ms", &["P", "PRI * HTTP/2.0\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]),
    ] {
        let server = echo(options).await;
        for start in starts {
            let mut client = Raw::to(server.address()).await;
            client.say(start).await;
            in_time(start, client.rest()).await;
        }
        still_serves(&server.address().bare(), "hullo", "hullo").await;
    }
}

/// A byte now and then is no excuse.
#[tokio::test]
async fn a_head_that_trickles_is_given_up() {
    let server = echo("?timeout=300ms&idle=1h").await;
    let (mut reader, mut writer) = Raw::to(server.address()).await.0.into_split();
    let trickle = async {
        writer.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
        let mut drops = interval(Duration::from_millis(20));
        loop {
            drops.tick().await;
            if writer.write_all(b"x").await.is_err() {
                return;
            }
        }
    };
    let mut said = Vec::new();
    in_time("the end", async {
        tokio::select! {
            () = trickle => {}
            _ = reader.read_to_end(&mut said) => {}
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_over_max_is_refused() {
    let server = serving("http://127.0.0.1:0?max=1k", service("json")).await;
    let long = format!("\"{}\"", "x".repeat(1023));
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\n";
    for request in [
        format!("{head}Content-Length: {}\r\n\r\n{long}", long.len()),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n", long.len()),
    ] {
        let (status, said) = answer(&server, request).await;
        assert_eq!(status, 413, "{said}");
        assert!(said.contains("longer than 1024 bytes"), "{said}");
    }
    still_serves(server.address(), "1", r#"{"status":"success","message":"received","data":1}"#).await;
}

#[tokio::test]
async fn what_is_wrong_with_a_message_is_said_with_a_status() {
    for (name, body, reason) in [
        ("json", &b"{\"half\":"[..], "not JSON"),
        ("json", b"\"\xff\xfe\"", "not UTF-8"),
        ("convert", b"warm", "is not a temperature"),
        ("convert", b"\xff\xfe", "is not a temperature"),
    ] {
        let server = serving("http://127.0.0.1:0", service(name)).await;
        let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        let (status, said) = answer(&server, [head.as_bytes(), body].concat()).await;
        assert_eq!(status, 400, "{name}: {said}");
        assert!(said.contains(reason), "{name}: {said}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_harms_nobody_else() {
    for name in ["echo", "json", "discard", "exec"] {
        let server = serving("http://127.0.0.1:0", service(name)).await;
        for request in [
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhu",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ] {
            let mut client = Raw::to(server.address()).await;
            client.say(request).await;
            client.0.shutdown().await.unwrap();
            client.rest().await;
        }
        let (status, said) = answer(&server, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1").await;
        assert!(status < 300, "{name}: {said}");
    }
}

#[tokio::test]
async fn a_request_that_was_half_closed_is_answered() {
    // A program that takes its time, an answer longer than buffers are, and one that comes at once.
    let late = By(|link: Link| async move {
        let mut stream = link.stream();
        let said = async {
            stream.read_to_end(&mut Vec::new()).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
            stream.write_all(b"late").await?;
            stream.shutdown().await
        };
        said.await.map_err(|error| Error::io("cannot answer late", error))
    });
    for (service, length) in [
        (Arc::new(late) as Arc<dyn hullo::Service>, 4),
        (shell("cat >/dev/null; head -c 9000000 /dev/zero"), 9_000_000),
        (service("echo"), 5),
    ] {
        let server = serving("http://127.0.0.1:0", service).await;
        let (status, said) = answer(&server, "POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhullo").await;
        let body = said.split_once("\r\n\r\n").unwrap().1;
        assert_eq!((status, body.len()), (200, length), "{}", &said[..said.len().min(300)]);
    }
}

#[tokio::test]
async fn one_connection_carries_many_requests() {
    let server = echo("").await;
    let mut client = Raw::to(server.address()).await;
    let request = |body: &str| format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    // One after the other, and several at once.
    for number in 0..3 {
        client.say(request(&format!("number {number}"))).await;
        client.until(&format!("\r\n\r\nnumber {number}")).await;
    }
    client.say((3..6).map(|number| request(&format!("number {number}"))).collect::<String>()).await;
    for number in 3..6 {
        client.until(&format!("\r\n\r\nnumber {number}")).await;
    }
}

/// An answer without an end leaves as it comes, though the client has asked for more already.
#[tokio::test]
async fn a_second_question_does_not_hold_up_the_first_answer() {
    let server = serving("http://127.0.0.1:0", service("chargen")).await;
    let mut client = Raw::to(server.address()).await;
    client.say("GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2)).await;
    // Shorter than other waits: if it fails, it fills memory meanwhile.
    let head = timeout(Duration::from_secs(2), client.until("\r\n\r\n")).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
}

#[tokio::test]
async fn a_question_that_is_no_websocket_is_told_where_one_is() {
    let server = serving("ws://127.0.0.1:0", service("echo")).await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    for (head, status, reason) in [
        (String::new(), 426, "only WebSockets"),
        (format!("{upgrade}Sec-WebSocket-Version: 13\r\n"), 400, "Sec-WebSocket-Key"),
        (
            format!("{upgrade}Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"),
            426,
            "version 13",
        ),
        (format!("{upgrade}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n"), 400, "Sec-WebSocket-Key"),
        (
            format!(
                "{upgrade}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nOrigin: https://evil.example\r\n"
            ),
            403,
            "pages of other sites",
        ),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}\r\n");
        let said = answer(&server, &request).await;
        assert_eq!(said.0, status, "{request}: {}", said.1);
        assert!(said.1.contains(reason), "{request}: {}", said.1);
    }
    still_serves(server.address(), "hullo", "hullo").await;
}

/// A service that fails before it has said anything: the client is told, and by a status.
#[tokio::test]
async fn a_service_that_fails_is_an_error_500() {
    let fails = By(|_: Link| async { Result::<()>::Err(Error::new(hullo::Kind::Other, "this always fails")) });
    let server = serving("http://127.0.0.1:0", Arc::new(fails)).await;
    let (status, said) = answer(&server, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(status, 500, "{said}");
    assert!(said.contains("this always fails"), "{said}");
}
