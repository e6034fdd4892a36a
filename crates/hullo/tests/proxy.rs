#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! The two kinds of proxy, byte for byte: what they answer, to whom they listen no longer, and what they never do.

mod common;

use std::sync::{Arc, Mutex};

use common::{Raw, address, in_time, service, service_with, serving, serving_in, watched};
use hullo::{
    Address, Error, Event, Kind, Limits, Scope, Server,
    proxy::socks::{Command, request_of},
    service::Settings,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

const ACCOUNT: &str = "ada:secret";

async fn guarded(name: &str, scope: Scope) -> Server {
    let settings = Settings { accounts: vec![ACCOUNT.to_owned()], ..Settings::default() };
    serving_in(scope, "tcp://127.0.0.1:0", service_with(name, &settings)).await
}

/// All that a proxy answers to that, byte by byte or at once, before it closes.
async fn answered(proxy: &Server, said: &[u8], dribbled: bool) -> String {
    let mut client = Raw::to(proxy.address()).await;
    if dribbled {
        client.0.set_nodelay(true).unwrap();
        for byte in said {
            // It may have closed before the end.
            let _ = client.0.write_all(&[*byte]).await;
            tokio::task::yield_now().await;
        }
    } else {
        let _ = client.0.write_all(said).await;
    }
    let _ = client.0.shutdown().await;
    let mut all = Vec::new();
    let _ = in_time("the answer", client.0.read_to_end(&mut all)).await;
    all.iter().map(|byte| std::ascii::escape_default(*byte).to_string()).collect()
}

/// SOCKS 5 without a login, to that place.
fn socks5(to: &Address) -> Vec<u8> {
    [&[5, 1, 0][..], &request_of(Command::Connect, to).unwrap()].concat()
}

/// A place where nobody listens.
async fn nobody() -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    address(&format!("tcp://{}", listener.local_addr().unwrap()))
}

#[tokio::test]
async fn socks_is_answered_in_its_own_version() {
    let (proxy, echo) =
        (serving("tcp://127.0.0.1:0", service("socks5")).await, serving("tcp://127.0.0.1:0", service("echo")).await);
    let port = echo.address().port.unwrap().to_be_bytes();
    let port = [port[0], port[1]];
    let closed = nobody().await.port.unwrap().to_be_bytes();
    let echoed = [&socks5(echo.address())[..], b"early"].concat();
    let four = [b"\x04\x01", &port[..], b"\x7f\0\0\x01me\0early"].concat();
    let four_a = [b"\x04\x01", &port[..], b"\0\0\0\x01\0localhost\0early"].concat();
    let refused = [&b"\x04\x01"[..], &closed, b"\x7f\0\0\x01\0"].concat();
    for dribbled in [false, true] {
        for (said, begins, ends) in [
            (&echoed[..], "\\x05\\x00\\x05\\x00\\x00\\x01\\x7f\\x00\\x00\\x01", "early"),
            (&four, "\\x00Z", "early"),
            (&four_a, "\\x00Z", "early"),
            (&refused, "\\x00[", "\\x00\\x00\\x00\\x00"),
            (&socks5(&nobody().await), "\\x05\\x00\\x05\\x05\\x00\\x01", "\\x00\\x00"),
            (&socks5(&address("tcp://nowhere.invalid:1")), "\\x05\\x00\\x05\\x04\\x00\\x01", "\\x00\\x00"),
            // BIND, UDP ASSOCIATE, and a command that there is not.
            (b"\x05\x01\x00\x05\x02\x00\x01\x7f\0\0\x01\0\x50", "\\x05\\x00\\x05\\x07", "\\x00"),
            (b"\x05\x01\x00\x05\x03\x00\x01\x7f\0\0\x01\0\x50", "\\x05\\x00\\x05\\x07", "\\x00"),
            (b"\x05\x01\x00\x05\x09\x00\x01\x7f\0\0\x01\0\x50", "\\x05\\x00\\x05\\x07", "\\x00"),
            (b"\x04\x02\0\x50\x7f\0\0\x01\0", "\\x00[", "\\x00"),
            (b"\x05\x01\x00\x05\x01\x00\x02\x7f\0\0\x01\0\x50", "\\x05\\x00\\x05\\x08", "\\x00"),
            (b"\x05\x01\x00\x05\x01\x00\x03\x03a/b\0\x50", "\\x05\\x00\\x05\\x01", "\\x00"),
            // A login of which the proxy knows nothing, and one that it does not ask for.
            (b"\x05\x01\x01", "\\x05\\xff", "\\xff"),
            (b"\x05\x00", "\\x05\\xff", "\\xff"),
            (b"\x05\x01\x02\x01\x01a\x01b", "\\x05\\x02\\x01\\x00", "\\x00"),
        ] {
            let heard = answered(&proxy, said, dribbled).await;
            assert!(heard.starts_with(begins) && heard.ends_with(ends), "{said:?}: {heard}");
        }
    }
}

#[tokio::test]
async fn nobody_is_looked_up_or_called_for_a_stranger() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let scope = |seen: &Arc<Mutex<Vec<String>>>| {
        let seen = seen.clone();
        watched(Limits::server(), move |event: &Event<'_>| match event {
            Event::Resolved { .. } | Event::Connected { .. } | Event::Failed { .. } => {
                seen.lock().unwrap().push(format!("{event:?}"));
            }
            Event::Trouble { error, .. } => assert!(!error.to_string().contains("secret"), "{error}"),
            _ => {}
        })
    };
    let (socks, http) = (guarded("socks5", scope(&seen)).await, guarded("connect", scope(&seen)).await);
    for said in [
        &b"\x05\x01\x00\x05\x01\x00\x03\x09localhost\0\x50"[..],
        b"\x05\x01\x02\x01\x03ada\x05wrong\x05\x01\x00\x03\x09localhost\0\x50",
        b"\x05\x01\x02\x01\x00\x00\x05\x01\x00\x03\x09localhost\0\x50",
        b"\x04\x01\0\x50\0\0\0\x01ada\0localhost\0",
    ] {
        let heard = answered(&socks, said, false).await;
        assert!(["\\x05\\xff", "\\x05\\x02\\x01\\x01", "\\x00["].iter().any(|no| heard.starts_with(no)), "{heard}");
    }
    for login in ["", "Proxy-Authorization: Basic YWRhOndyb25n\r\n", "Authorization: Basic YWRhOnNlY3JldA==\r\n"] {
        let heard = answered(&http, format!("CONNECT localhost:80 HTTP/1.1\r\n{login}\r\n").as_bytes(), false).await;
        assert!(
            heard.starts_with("HTTP/1.1 407 Proxy Authentication Required\\r\\nProxy-Authenticate: Basic"),
            "{heard}"
        );
    }
    assert_eq!(*seen.lock().unwrap(), Vec::<String>::new());
    let known = answered(&socks, b"\x05\x01\x02\x01\x03ada\x06secret\x05\x01\x00\x03\x09localhost\0\x01", false).await;
    assert!(known.starts_with("\\x05\\x02\\x01\\x00\\x05\\x05"), "{known}");
    assert!(!seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn connect_answers_what_can_be_read_in_one_way_alone() {
    let (proxy, echo) =
        (serving("tcp://127.0.0.1:0", service("connect")).await, serving("tcp://127.0.0.1:0", service("echo")).await);
    let (open, closed) = (echo.address().authority(), nobody().await.authority());
    for dribbled in [false, true] {
        for (said, begins, ends) in [
            (format!("CONNECT {open} HTTP/1.1\r\nHost: x\r\n\r\nearly"), "HTTP/1.1 200 ", "\\r\\n\\r\\nearly"),
            (
                format!("CONNECT {open} HTTP/1.0\r\nContent-Length: 0\r\n\r\n\r\n"),
                "HTTP/1.1 200 ",
                "\\r\\n\\r\\n\\r\\n",
            ),
            (
                format!("CONNECT {closed} HTTP/1.1\r\n\r\n"),
                "HTTP/1.1 502 Bad Gateway\\r\\nProxy-Status: hullo; error=connection_refused",
                "connection refused\\n",
            ),
            (
                "CONNECT nowhere.invalid:1 HTTP/1.1\r\n\r\n".to_owned(),
                "HTTP/1.1 502 Bad Gateway\\r\\nProxy-Status: hullo; error=dns_error",
                "\\n",
            ),
            (
                format!("GET http://{open}/ HTTP/1.1\r\n\r\n"),
                "HTTP/1.1 405 Method Not Allowed\\r\\nAllow: CONNECT",
                "--proxytunnel (-p)\\n",
            ),
            (
                format!("CONNECT {open} HTTP/1.1\nHost: x\n\n"),
                "HTTP/1.1 400 Bad Request",
                "LF alone; HTTP wants CR LF (nc -C sends it)\\n",
            ),
            (
                format!("CONNECT {open} HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody"),
                "HTTP/1.1 400 Bad Request",
                "no body\\n",
            ),
            ("CONNECT /path HTTP/1.1\r\n\r\n".to_owned(), "HTTP/1.1 400 Bad Request", "no host:port\\n"),
            (format!("CONNECT {open} HTTP/1.1\r\nx: {}", "y".repeat(20_000)), "HTTP/1.1 431 ", "16 KiB\\n"),
        ] {
            let heard = answered(&proxy, said.as_bytes(), dribbled && said.len() < 1000).await;
            assert!(heard.starts_with(begins) && heard.ends_with(ends), "{said:.200}: {heard}");
        }
    }
}

#[tokio::test]
async fn what_follows_a_refused_head_is_no_request() {
    let (proxy, echo) = (
        guarded("connect", Scope::new(Limits::server(), None)).await,
        serving("tcp://127.0.0.1:0", service("echo")).await,
    );
    let (to, login) = (echo.address().authority(), "Proxy-Authorization: Basic YWRhOnNlY3JldA==");
    let second = format!("CONNECT {to} HTTP/1.1\r\n{login}\r\n\r\n");
    // A client that does not wait for the answer meant it for the tunnel.
    let heard = answered(&proxy, format!("CONNECT {to} HTTP/1.1\r\n\r\n{second}").as_bytes(), false).await;
    assert_eq!(heard.matches("HTTP/1.1 ").count(), 1, "{heard}");
    assert!(heard.contains("407") && heard.contains("Connection: close"), "{heard}");
    // One that does may say who it is on the same connection.
    let mut client = Raw::to(proxy.address()).await;
    client.say(format!("CONNECT {to} HTTP/1.1\r\n\r\n")).await;
    let refused = client.until("password\n").await;
    assert!(refused.contains("407") && refused.contains("Connection: keep-alive"), "{refused}");
    client.say(&second).await;
    assert!(client.until("\r\n\r\n").await.starts_with("HTTP/1.1 200 "));
    client.say("through").await;
    assert_eq!(client.until("through").await, "through");
}

#[tokio::test]
async fn who_says_nothing_or_nonsense_is_let_go_and_the_next_is_served() {
    let echo = serving("tcp://127.0.0.1:0", service("echo")).await;
    for (name, half) in [("socks5", &b"\x05\x01"[..]), ("connect", b"CONNECT ")] {
        let mut limits = Limits::server();
        limits.timeout = std::time::Duration::from_millis(50);
        let (tell, mut told) = mpsc::unbounded_channel();
        let scope = watched(limits, move |event: &Event<'_>| {
            if let Event::Trouble { error, .. } = event {
                let _ = tell.send(error.kind());
            }
        });
        let proxy = serving_in(scope, "tcp://127.0.0.1:0", service(name)).await;
        for said in [b"", half] {
            let mut client = Raw::to(proxy.address()).await;
            client.say(said).await;
            assert_eq!(client.rest().await, "", "{name}: nothing is answered to half of something");
            drop(client);
            assert_eq!(in_time(name, told.recv()).await, Some(Kind::Timeout), "{name}");
        }
        for said in
            [&b"\0\0\0\0"[..], b"\x16\x03\x01\x02\0\x01\0", b"GET / HTTP/1.1\r\n\r\n", &[5; 4096], &[0xff; 70_000]]
        {
            answered(&proxy, said, false).await;
        }
        let scheme = if name == "socks5" { "socks5" } else { "http" };
        let mut to = echo.address().clone();
        to.options.set("via", format!("{scheme}://{}", proxy.address().authority())).unwrap();
        assert_eq!(hullo::ask(&to.to_string(), "hullo").await.unwrap().to_text(), "hullo", "{name}");
    }
}

/// A proxy that answers that to whatever comes, and then waits.
async fn saying(words: &'static [u8]) -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = address(&format!("tcp://{}", listener.local_addr().unwrap()));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(words).await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            });
        }
    });
    at
}

async fn failed(scheme: &str, proxy: &Address, options: &str) -> Error {
    let to = format!("tcp://example.invalid:7?{options}via={scheme}://{}", proxy.authority());
    let connected = in_time(&to, hullo::connect(&to)).await;
    connected.err().unwrap_or_else(|| panic!("{to} is connected"))
}

#[tokio::test]
async fn a_proxy_that_fails_is_named_with_what_it_said() {
    for (scheme, words, kind, why) in [
        ("socks5", &b""[..], Kind::Timeout, "does not answer"),
        ("socks5", b"\x05", Kind::Timeout, "does not answer"),
        ("socks5", b"HTTP/1.1 400 Bad Request\r\n\r\n", Kind::Protocol, "it speaks HTTP, not SOCKS 5"),
        ("socks5", b"\x05\xff", Kind::Denied, "it wants a name and a password"),
        ("socks5", b"\x05\x00\x05\x02", Kind::Timeout, "does not answer"),
        ("socks5", b"\x05\x00\x05\x02\x00", Kind::Denied, "its rules forbid it"),
        ("socks5", b"\x05\x00\x05\x05\x00\x01\0\0\0\0\0\0", Kind::Refused, "the connection was refused"),
        ("socks5", b"\x05\x00\x05\x06\x00\x01\0\0\0\0\0\0", Kind::Timeout, "it took too long"),
        ("socks4a", b"\x00\x5b\0\0\0\0\0\0", Kind::Protocol, "it failed"),
        ("socks4a", b"SSH-2.0-x\r\n", Kind::Protocol, "it does not speak SOCKS 4"),
        ("http", b"HTTP/1.1 200 OK\r\n", Kind::Timeout, "does not answer"),
        ("http", b"SSH-2.0-x\r\n", Kind::Protocol, "it does not speak HTTP/1.1"),
        ("http", b"HTTP/1.1 407 Who\r\n\r\n", Kind::Denied, "it wants a name and a password"),
        ("http", b"HTTP/1.1 503 No\x1b[2J\r\n\r\n", Kind::Protocol, "it answered 'HTTP/1.1 503 No\\u{1b}[2J'"),
        ("http", b"HTTP/1.1 504 Gateway Timeout\r\n\r\n", Kind::Timeout, "it answered 'HTTP/1.1 504"),
    ] {
        let proxy = saying(words).await;
        let error = failed(scheme, &proxy, "timeout=100ms&").await;
        let said = error.to_string();
        assert_eq!(error.kind(), kind, "{scheme} {words:?}: {said}");
        assert!(said.contains(why) && said.contains(&format!("the proxy {scheme}://{}", proxy.authority())), "{said}");
    }
    let error = failed("socks5", &nobody().await, "").await;
    assert!(error.kind() == Kind::Refused && error.to_string().starts_with("the proxy cannot be reached: "), "{error}");
}

#[tokio::test]
async fn what_a_server_says_at_once_is_not_taken_for_the_proxys_words() {
    let greeting = service_with("greet", &Settings { text: Some("first words".to_owned()), ..Settings::default() });
    let greet = serving("tcp://127.0.0.1:0", greeting).await;
    let (socks, http) =
        (serving("tcp://127.0.0.1:0", service("socks5")).await, serving("tcp://127.0.0.1:0", service("connect")).await);
    let (socks, http) = (socks.address().authority(), http.address().authority());
    for chain in [
        format!("via=socks5://{socks}"),
        format!("via=socks4://{socks}"),
        format!("via=socks4a://{socks}"),
        format!("via=http://{http}"),
        format!("via=http://{http}&via=socks5h://{socks}&via=http://{http}&via=socks4a://{socks}"),
    ] {
        let link = in_time(&chain, hullo::connect(&format!("{}?{chain}", greet.address()))).await.unwrap();
        assert_eq!(link.peer.to_string(), greet.address().to_string());
        let mut heard = String::new();
        in_time(&chain, link.stream().read_to_string(&mut heard)).await.unwrap();
        assert_eq!(heard, "first words\r\n", "{chain}");
    }
}
