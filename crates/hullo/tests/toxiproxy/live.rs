//! What the API does to connections that live.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::client::{Api, PATIENCE};

fn connect(at: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Says that, and reads as much.
#[track_caller]
fn echoed(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, text.as_bytes());
}

/// Whether the stream comes to its end, in either way.
fn has_ended(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(n) => n == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn a_proxy_that_is_disabled_ends_its_connections_and_listens_no_more() {
    let api = Api::new();
    let (at, other) = (api.proxy("a"), api.proxy("other"));
    let mut client = api.client();
    let (mut stream, mut apart) = (connect(at), connect(other));
    echoed(&mut stream, "hello");
    echoed(&mut apart, "hello");
    client.done("POST", "/proxies/a", r#"{"enabled":false}"#);
    assert_eq!(TcpStream::connect(at).unwrap_err().kind(), ErrorKind::ConnectionRefused, "as soon as it is answered");
    assert!(has_ended(&mut stream));
    echoed(&mut apart, "the others stay");
    // Its port is its own.
    assert_eq!(client.done("PATCH", "/proxies/a", r#"{"enabled":true}"#)["listen"], at.to_string());
    echoed(&mut connect(at), "again");
    client.done("PATCH", "/proxies/a", r#"{"enabled":false}"#);
    client.done("POST", "/reset", "");
    let mut stream = connect(at);
    echoed(&mut stream, "a reset enables");
    client.done("DELETE", "/proxies/a", "");
    assert!(has_ended(&mut stream));
    assert_eq!(TcpStream::connect(at).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_proxy_that_leads_elsewhere_ends_its_connections() {
    let api = Api::new();
    let at = api.proxy("a");
    let mut client = api.client();
    let mut stream = connect(at);
    echoed(&mut stream, "hello");
    // What says nothing new changes nothing.
    client.done("POST", "/proxies/a", &format!(r#"{{"upstream":"{}","listen":"{at}"}}"#, api.echo));
    echoed(&mut stream, "still here");
    let there = TcpListener::bind("127.0.0.1:0").unwrap();
    client.done("POST", "/proxies/a", &format!(r#"{{"upstream":"{}"}}"#, there.local_addr().unwrap()));
    assert!(has_ended(&mut stream));
    let mut stream = connect(at);
    let (mut end, _) = there.accept().unwrap();
    stream.write_all(b"hello").unwrap();
    let mut came = [0; 5];
    end.read_exact(&mut came).unwrap();
    assert_eq!(&came, b"hello");
}

#[test]
fn nobody_answers_behind_a_proxy_whose_server_is_not_there() {
    let api = Api::new();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let at = api.proxy("a");
    let mut client = api.client();
    client.done("POST", "/proxies/a", &format!(r#"{{"upstream":"{gone}"}}"#));
    assert!(has_ended(&mut connect(at)));
    client.done("POST", "/proxies/a", &format!(r#"{{"upstream":"{}"}}"#, api.echo));
    echoed(&mut connect(at), "it is there again");
}

#[test]
fn toxics_take_hold_of_connections_that_live() {
    let api = Api::new();
    let at = api.proxy("a");
    let mut client = api.client();
    let mut stream = connect(at);
    echoed(&mut stream, "hello");

    client.done("POST", "/proxies/a/toxics", r#"{"type":"latency","attributes":{"latency":200}}"#);
    let began = Instant::now();
    echoed(&mut stream, "slowly");
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
    client.done("POST", "/proxies/a/toxics/latency_downstream", r#"{"toxicity":0}"#);
    let began = Instant::now();
    echoed(&mut stream, "for no connection at all");
    let unhurt = began.elapsed();
    client.done("DELETE", "/proxies/a/toxics/latency_downstream", "");
    assert!(unhurt < PATIENCE);

    // 10 KB/s: 5 KB take half a second, less what may go at once.
    let rate = r#"{"type":"bandwidth","stream":"upstream","attributes":{"rate":10}}"#;
    client.done("POST", "/proxies/a/toxics", rate);
    let began = Instant::now();
    echoed(&mut stream, &"x".repeat(5000));
    assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
    client.done("POST", "/reset", "");

    let limit = r#"{"type":"limit_data","attributes":{"bytes":10}}"#;
    client.done("POST", "/proxies/a/toxics", limit);
    stream.write_all(&[b'x'; 100]).unwrap();
    let mut came = Vec::new();
    // A cut may be a reset, since nobody reads what came after it.
    let _ = stream.read_to_end(&mut came);
    assert_eq!(came, [b'x'; 10]);
    client.done("POST", "/reset", "");

    let mut stream = connect(at);
    echoed(&mut stream, "hello");
    client.done("POST", "/proxies/a/toxics", r#"{"type":"reset_peer","attributes":{"timeout":50}}"#);
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset, "an idle one too");
    client.done("POST", "/reset", "");

    let mut stream = connect(at);
    echoed(&mut stream, "hello");
    client.done("POST", "/proxies/a/toxics", r#"{"type":"timeout"}"#);
    stream.write_all(b"into nothing").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    client.done("DELETE", "/proxies/a/toxics/timeout_downstream", "");
    assert!(has_ended(&mut stream), "what was lost cannot be missing in the middle");

    let mut stream = connect(at);
    client.done("POST", "/proxies/a/toxics", r#"{"type":"slow_close","attributes":{"delay":200}}"#);
    let began = Instant::now();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(has_ended(&mut stream));
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
}

#[test]
fn metrics_move_while_a_connection_lives() {
    let api = Api::new();
    let at = api.proxy("a \"b\"");
    let mut client = api.client();
    let mut stream = connect(at);
    echoed(&mut stream, "hello");
    let line = |metric: &str, direction: &str, bytes: u32| {
        let labels = format!(r#"direction="{direction}",listener="{at}",proxy="a \"b\"",upstream="{}""#, api.echo);
        format!("toxiproxy_proxy_{metric}_bytes_total{{{labels}}} {bytes}\n")
    };
    let page = client.call("GET", "/metrics", "");
    assert!(page.head.contains("content-type: text/plain; version=0.0.4"), "{page:?}");
    for metric in ["received", "sent"] {
        for direction in ["upstream", "downstream"] {
            assert!(page.body.contains(&line(metric, direction, 5)), "{page:?}");
        }
        assert!(page.body.contains(&format!("# TYPE toxiproxy_proxy_{metric}_bytes_total counter\n")));
    }
    echoed(&mut stream, "and more");
    assert!(client.call("GET", "/metrics", "").body.contains(&line("sent", "downstream", 13)));
    client.done("DELETE", "/proxies/a%20%22b%22", "");
    assert!(!client.call("GET", "/metrics", "").body.contains("listener"), "what is gone is not counted");
}

#[test]
fn changes_from_all_sides_leave_one_proxy_of_each_name() {
    let api = Api::new();
    let body = format!(r#"{{"name":"one","listen":"127.0.0.1:0","upstream":"{}"}}"#, api.echo);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = api.client();
                for _ in 0..50 {
                    assert!([201, 409].contains(&client.call("POST", "/proxies", &body).status));
                    assert!([200, 404].contains(&client.call("PATCH", "/proxies/one", r#"{"enabled":false}"#).status));
                    assert!([200, 404].contains(&client.call("PATCH", "/proxies/one", r#"{"enabled":true}"#).status));
                    assert!([204, 404].contains(&client.call("DELETE", "/proxies/one", "").status));
                }
            });
        }
    });
    let mut client = api.client();
    client.call("DELETE", "/proxies/one", "");
    let made = client.done("POST", "/proxies", &body);
    echoed(&mut connect(made["listen"].as_str().unwrap().parse().unwrap()), "it works still");
}
