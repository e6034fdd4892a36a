//! What one end of CONNECT says, the other reads.

use proptest::prelude::*;

use super::*;

fn asked(head: &str) -> Result<Asked, u16> {
    let read = request(head.as_bytes()).map_err(|refusal| refusal.status)?;
    Ok(read.unwrap_or_else(|| unreachable!("{head:?} is not complete")).0)
}

#[test]
fn the_requests_of_known_clients_are_read() {
    let at = |host: &str, port| target(host, port).unwrap();
    for (head, to, keeps_alive) in [
        (
            "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\nUser-Agent: curl/8\r\nProxy-Connection: Keep-Alive\r\n\r\n",
            at("example.org", 443),
            true,
        ),
        ("CONNECT 127.0.0.1:80 HTTP/1.0\r\n\r\n", at("127.0.0.1", 80), false),
        ("CONNECT [::1]:80 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", at("::1", 80), true),
        ("CONNECT a:1 HTTP/1.1\r\nContent-Length: 0\r\nConnection: x, Close\r\n\r\n", at("a", 1), false),
    ] {
        assert_eq!(asked(head), Ok(Asked { to, login: None, keeps_alive }), "{head}");
    }
    let head = "CONNECT a:1 HTTP/1.1\r\nproxy-authorization: bAsIc YWRhOmI6Yw\r\n\r\n";
    assert_eq!(asked(head).unwrap().login, Some(("ada".to_owned(), "b:c".to_owned())));
    for strange in ["Basic ?", "Bearer YWRhOmI6Yw==", "Basic", "Basic YWRh"] {
        let head = format!("CONNECT a:1 HTTP/1.1\r\nProxy-Authorization: {strange}\r\n\r\n");
        assert_eq!(asked(&head).unwrap().login, None, "{strange}");
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_read_in_none() {
    for (head, status) in [
        ("GET http://example.org/ HTTP/1.1\r\n\r\n", 405),
        ("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 405),
        ("CONNECT example.org HTTP/1.1\r\n\r\n", 400),
        ("CONNECT http://example.org:80/ HTTP/1.1\r\n\r\n", 400),
        ("CONNECT me@example.org:80 HTTP/1.1\r\n\r\n", 400),
        ("CONNECT ::1:80 HTTP/1.1\r\n\r\n", 400),
        ("CONNECT [::1:80 HTTP/1.1\r\n\r\n", 400),
        ("CONNECT [a]:80 HTTP/1.1\r\n\r\n", 400),
        ("CONNECT :80 HTTP/1.1\r\n\r\n", 400),
        ("CONNECT a: HTTP/1.1\r\n\r\n", 400),
        ("CONNECT a:+1 HTTP/1.1\r\n\r\n", 400),
        ("CONNECT a:65536 HTTP/1.1\r\n\r\n", 400),
        ("CONNECT a:1 HTTP/2.0\r\n\r\n", 400),
        ("CONNECT a:1\r\n\r\n", 400),
        ("CONNECT a:1 HTTP/1.1\n", 400),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\n\r\n\r\n", 400),
        ("CONNECT a:1 HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("CONNECT a:1 HTTP/1.1\r\n folded\r\n\r\n", 400),
        ("CONNECT a:1 HTTP/1.1\r\nContent-Length: 5\r\n\r\n", 400),
        ("CONNECT a:1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("CONNECT a:1 HTTP/1.1\r\nProxy-Authorization: Basic YTpi\r\nProxy-Authorization: Basic YTpj\r\n\r\n", 400),
        ("\x05\x01\x00", 400),
        ("\x16\x03\x01", 400),
        ("\r\nCONNECT a:1 HTTP/1.1\r\n\r\n", 400),
    ] {
        assert_eq!(asked(head), Err(status), "{head:?}");
    }
    let lines = "x: y\r\n".repeat(LINES + 1);
    assert_eq!(asked(&format!("CONNECT a:1 HTTP/1.1\r\n{lines}\r\n")), Err(431));
    assert_eq!(asked(&format!("CONNECT a:1 HTTP/1.1\r\nx: {}", "y".repeat(LARGEST))), Err(431));
}

#[test]
fn what_proxies_answer_is_read() {
    for (head, status, kind, why) in [
        ("HTTP/1.1 200 Connection established\r\n\r\n", 200, Kind::Protocol, "200"),
        ("HTTP/1.0 200\nVia: x\n\n", 200, Kind::Protocol, "200"),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 200, Kind::Protocol, "OK"),
        ("HTTP/1.1 407 Who are you\r\n\r\n", 407, Kind::Denied, "a name and a password"),
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", 503, Kind::Protocol, "it answered 'HTTP/1.1 503"),
        (
            "HTTP/1.1 502 x\r\nproxy-status: a; error=connection_refused; details=\"x\"\r\n\r\n",
            502,
            Kind::Refused,
            "refused",
        ),
    ] {
        let (answer, length) = answer(format!("{head}more").as_bytes()).unwrap().unwrap();
        assert_eq!((answer.status, length), (status, head.len()), "{head}");
        assert!((status == 200 || answer.kind == kind) && answer.why.contains(why), "{answer:?}");
    }
    assert_eq!(answer(b"HT"), Ok(None));
    assert_eq!(answer(b"HTTP/1.1 200 OK\r\nVia: x\r\n"), Ok(None));
    for wrong in [&b"\x05\x00"[..], b"SSH-2.0-x\r\n", b"HTTP/1.1 2000\r\n\r\n", b"HTTP/2 200\r\n\r\n"] {
        assert!(answer(wrong).is_err(), "{wrong:?}");
    }
    assert!(answer(&[&b"HTTP/1.1 200 OK\r\n"[..], &[b'x'; LARGEST]].concat()).is_err());
}

#[test]
fn what_failed_is_read_as_what_it_was() {
    for verdict in Verdict::ALL.iter().skip(1) {
        let said = failure(*verdict, "cannot connect");
        let (read, length) = answer(&said).unwrap().unwrap();
        assert_eq!((read.status, read.kind), (verdict.status(), verdict.kind()), "{verdict:?}");
        assert_eq!(&said[length..], b"cannot connect\n");
    }
}

proptest! {
    #[test]
    fn what_is_asked_is_read(host in "[a-z][a-z0-9.-]{0,60}|::[0-9a-f]{1,4}", port: u16, name in "[^:]{1,20}", password in ".{0,20}", with: bool) {
        let to = target(&host, port).unwrap();
        let head = request_of(&to, with.then_some((&*name, &*password)));
        for cut in 1..head.len() {
            prop_assert_eq!(request(&head[..cut]), Ok(None));
        }
        let (asked, length) = request(&[&head[..], b"early"].concat()).unwrap().unwrap();
        prop_assert_eq!((asked.to, asked.keeps_alive, length), (to, true, head.len()));
        prop_assert_eq!(asked.login, with.then_some((name, password)));
    }
}
