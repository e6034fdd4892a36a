#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! connect, ask, request and check as clients of real servers: the tutorials', in python, and other people's tools.

mod common;

use common::{Home, Program, free_port, peer};

const LISTEN: &str = r#"
import json, os, socket, sys, threading, time
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen()
print(server.getsockname()[1])
"#;

const GREETING: &str = r#"
while True:
    talk, peer = server.accept()
    talk.send("Thank you for connecting".encode())
    talk.close()
"#;

const ECHO_ONE_AT_A_TIME: &str = r#"
while True:
    talk, peer = server.accept()
    with talk:
        while data := talk.recv(1024):
            talk.sendall(data)
"#;

const JSON: &str = r#"
while True:
    talk, peer = server.accept()
    with talk:
        try:
            asked = json.loads(talk.recv(1024).decode("utf-8"))
            answer = {"status": "success", "message": "received", "data": asked}
        except json.JSONDecodeError:
            answer = {"status": "error", "message": "no JSON"}
        talk.send(json.dumps(answer).encode("utf-8"))
"#;

const BARE_HTTP: &str = r#"
while True:
    talk, peer = server.accept()
    talk.recv(1024)
    talk.sendall(b"HTTP/1.1 200 OK\r\n\r\nHello, World!")
    talk.close()
"#;

/// Everybody hears what anybody says; a newcomer hears that somebody joined.
const CHAT: &str = r#"
talks = []
def serve(talk):
    while data := talk.recv(1024):
        for other in list(talks):
            if other is not talk: other.sendall(data)
    talks.remove(talk)
    talk.close()
while True:
    talk, peer = server.accept()
    talks.append(talk)
    talk.sendall(b"%d here\n" % len(talks))
    threading.Thread(target=serve, args=(talk,), daemon=True).start()
"#;

const TEMPERATURE: &str = r#"
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 0))
print(server.getsockname()[1])
while True:
    data, peer = server.recvfrom(1024)
    try: answer = "%.2f" % (float(data.decode()) * 9 / 5 + 32)
    except ValueError: answer = "error"
    server.sendto(answer.encode(), peer)
"#;

fn tutorial(home: &Home, script: &str) -> Option<common::Python> {
    home.python(&format!("{LISTEN}{script}"))
}

#[test]
fn the_greeting_server() {
    let home = Home::new();
    let Some(server) = tutorial(&home, GREETING) else { return };
    let at = format!("127.0.0.1:{}", server.port);
    assert_eq!(home.run(&["ask", &at], "").text(), "Thank you for connecting\n");
    assert_eq!(home.run(&["connect", &at], "").text(), "Thank you for connecting");
    assert!(home.run(&["check", &at], "").text().contains("ok tcp://127.0.0.1"));
    // Its input is open: the server's close is enough.
    let talk = Program::start(&mut home.hullo(&["connect", &at]));
    let ended = talk.ended();
    assert_eq!((ended.code, &*ended.out), (0, &b"Thank you for connecting"[..]), "{}", ended.err);
}

#[test]
fn a_greeting_before_a_reset_is_not_lost() {
    let home = Home::new();
    let Some(server) = tutorial(&home, GREETING) else { return };
    // It closes with our message unread, which the kernel says by a reset; the greeting was there before.
    let at = format!("127.0.0.1:{}", server.port);
    let ended = home.run(&["ask", &at, "hello"], "");
    assert_eq!(String::from_utf8_lossy(&ended.out), "Thank you for connecting\n", "{}", ended.err);
    let ended = home.run(&["connect", &at], "hello\n");
    assert_eq!(String::from_utf8_lossy(&ended.out), "Thank you for connecting", "{}", ended.err);
}

#[test]
fn the_echo_server() {
    let home = Home::new();
    let Some(server) = tutorial(&home, ECHO_ONE_AT_A_TIME) else { return };
    let at = format!("127.0.0.1:{}", server.port);
    for said in ["hello", "two\nlines", "ü", "{\"a\": 1}"] {
        let first = said.lines().next().unwrap();
        assert!(home.run(&["ask", &at, said], "").text().starts_with(first), "{said}");
    }
    assert_eq!(home.run(&["connect", &at], "no newline").text(), "no newline");
    let bulk = common::noise(1_000_000);
    assert!(home.run(&["connect", &at], bulk.clone()).good() == bulk);
    assert!(home.run(&["check", &at], "").text().contains("waits for us to talk"));
}

#[test]
fn the_json_server() {
    let home = Home::new();
    let Some(server) = tutorial(&home, JSON) else { return };
    let at = format!("127.0.0.1:{}", server.port);
    let said = home.run(&["ask", &at, r#"{"name":"Ada"}"#], "").text();
    assert!(said.contains(r#""data": {"name": "Ada"}"#), "{said}");
    assert!(home.run(&["ask", &at], "[1,2,3]").text().contains("[1, 2, 3]"));
    assert!(home.run(&["ask", &at, "no json"], "").text().contains("error"));
}

/// A service talks over the connection that we make: the other end is asked, and asks.
#[test]
fn a_service_may_be_at_the_connecting_end() {
    let home = Home::new();
    const ASKS: &str = r#"
talk, peer = server.accept()
talk.sendall(b"hullo")
talk.shutdown(socket.SHUT_WR)
heard = b""
while data := talk.recv(1024): heard += data
print(heard.decode(), flush=True)
"#;
    for (words, wanted) in
        [(&["--serve", "echo"][..], "hullo\n"), (&["--serve", "exec", "--", "tr", "a-z", "A-Z"], "HULLO\n")]
    {
        let Some(python) = tutorial(&home, ASKS) else { return };
        home.run(&[&["connect", &format!("localhost:{}", python.port)], words].concat(), "").good();
        python.program.heard(wanted);
    }
    let wrong = home.run(&["connect", "localhost:1", "--serve", "rest"], "");
    assert!(wrong.code == 2 && wrong.err.contains("answers HTTP requests"), "{}", wrong.err);
}

#[test]
fn the_temperature_server() {
    let home = Home::new();
    let Some(server) = home.python(TEMPERATURE) else { return };
    let at = format!("udp://127.0.0.1:{}", server.port);
    assert_eq!(home.run(&["ask", &at, "36.6"], "").text(), "97.88\n");
    assert_eq!(home.run(&["connect", &at], "100").text(), "212.00");
    assert!(home.run(&["check", &at], "").text().contains("is up"));
}

#[test]
fn the_http_server_without_headers() {
    let home = Home::new();
    let Some(server) = tutorial(&home, BARE_HTTP) else { return };
    let at = format!("http://127.0.0.1:{}/", server.port);
    assert_eq!(home.run(&["request", &at], "").text(), "Hello, World!");
    home.run(&["request", &at, "-o", "page"], "").good();
    assert_eq!(home.read("page"), b"Hello, World!");
    assert_eq!(home.run(&["ask", &at, "anything"], "").text(), "Hello, World!\n");
    assert!(home.run(&["check", &at], "").text().contains("200 OK"));
}

#[test]
fn the_chat_server() {
    let home = Home::new();
    let Some(server) = tutorial(&home, CHAT) else { return };
    let at = format!("127.0.0.1:{}", server.port);
    let join = || Program::start(&mut home.hullo(&["connect", &at]));
    let mut ada = join();
    ada.heard("1 here\n");
    let mut bob = join();
    bob.heard("2 here\n");
    ada.say("hello, Bob\n");
    bob.heard("hello, Bob\n");
    bob.say("hello, Ada\n");
    ada.heard("hello, Ada\n");
    bob.hang_up();
    assert_eq!(bob.ended().out, b"2 here\nhello, Bob\n");
    ada.hang_up();
    assert_eq!(ada.ended().code, 0);
}

/// Somebody else's listener, whose stdin and stdout are a person's: we ask, the person answers.
fn typed(name: &'static str, words: &[&str], said: &str, at: &str) {
    let home = Home::new();
    let Some(name) = peer(name) else { return };
    let mut typist = Program::start(home.command(name).args(words));
    typist.told(said);
    let asking = Program::start(&mut home.hullo(&["ask", at, "how are you?"]));
    typist.heard("how are you?");
    typist.say("very well\n");
    assert_eq!(asking.ended().text(), "very well\n", "{name} {words:?}");
}

#[test]
fn listeners_of_other_people() {
    let home = Home::new();
    let port = || free_port().to_string();
    let socket = home.path("s");
    let (one, two, three, four) = (port(), port(), port(), port());
    let (tcp, udp) = (|port: &str| format!("tcp://127.0.0.1:{port}"), |port: &str| format!("udp://127.0.0.1:{port}"));
    typed("nc.openbsd", &["-lv", "127.0.0.1", &one], "istening on", &tcp(&one));
    typed("nc.openbsd", &["-ulv", "127.0.0.1", &one], "ound on", &udp(&one));
    typed("nc.traditional", &["-lvn", "-s", "127.0.0.1", "-p", &two], "istening on", &tcp(&two));
    typed("ncat", &["-lv", "127.0.0.1", &three], "istening on", &tcp(&three));
    typed("ncat", &["-lvU", &socket], "istening on", &format!("unix:{socket}"));
    typed(
        "ncat",
        &["-lv", "--ssl", "127.0.0.1", &four],
        "istening on",
        &format!("tls://127.0.0.1:{four}?insecure=true"),
    );
}

#[test]
fn socat_as_a_server() {
    let home = Home::new();
    let Some(socat) = peer("socat") else { return };
    for (listen, scheme) in [("TCP-LISTEN:0,bind=127.0.0.1,fork", "tcp"), ("UDP-LISTEN:0,bind=127.0.0.1,fork", "udp")] {
        let server = Program::start(home.command(socat).args(["-d", "-d", "-t5", listen, "EXEC:cat"]));
        // It says so in the same words for datagrams.
        let said = server.told("istening on ");
        let port = said.lines().find(|line| line.contains("istening on ")).unwrap().rsplit(':').next().unwrap().trim();
        assert_eq!(
            home.run(&["ask", &format!("{scheme}://127.0.0.1:{port}"), "hello"], "").text(),
            "hello\n",
            "{listen}"
        );
    }
}

/// A key and a certificate as everybody makes them for a test.
fn certificate(home: &Home, openssl: &str) -> (String, String) {
    let (key, cert) = (home.path("key.pem"), home.path("cert.pem"));
    let made = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
    ];
    common::run(home.command(openssl).args(made).args(["-keyout", &key, "-out", &cert]), "").good();
    (key, cert)
}

#[test]
fn a_self_signed_certificate_is_its_own_authority() {
    let home = Home::new();
    let Some(openssl) = peer("openssl") else { return };
    let (key, cert) = certificate(&home, openssl);
    let server = home.serve(&["echo", &format!("tls://:0?cert={cert}&key={key}")], 1);
    let at = format!("tls://localhost:{}", server.port(0));
    let untrusted = home.run(&["ask", &at, "hello"], "");
    assert_eq!(untrusted.code, 14, "{}", untrusted.err);
    // As curl --cacert and openssl -CAfile have it.
    assert_eq!(home.run(&["ask", &format!("{at}?ca={cert}"), "hello"], "").text(), "hello\n");
}

#[test]
fn openssl_as_a_server() {
    let home = Home::new();
    let Some(openssl) = peer("openssl") else { return };
    let (key, cert) = certificate(&home, openssl);
    let words = ["s_server", "-accept", "127.0.0.1:0", "-key", &key, "-cert", &cert];
    for more in ["-tls1_3", "-tls1_2"] {
        let mut server = Program::start(home.command(openssl).args(words).arg(more));
        let port = accepts(&server);
        let asking =
            Program::start(&mut home.hullo(&["ask", &format!("tls://localhost:{port}?insecure=true"), "how are you?"]));
        server.heard("how are you?");
        server.say("very well\n");
        let ended = asking.ended();
        assert_eq!((ended.code, &*ended.out), (0, &b"very well\n"[..]), "{more}: {}", ended.err);
    }
    let web = Program::start(home.command(openssl).args(words).arg("-www"));
    let page = home.run(&["request", &format!("https://localhost:{}/#insecure=true", accepts(&web))], "").text();
    assert!(page.contains("s_server"), "{page}");
}

/// The port that openssl says it accepts on, once the line has ended.
fn accepts(server: &Program) -> u16 {
    server.heard("ACCEPT 127.0.0.1:");
    let said = server.heard("\n");
    said.split("ACCEPT 127.0.0.1:").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap()
}
