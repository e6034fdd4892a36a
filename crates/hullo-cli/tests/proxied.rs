#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! For whom a connection is made: HAProxy before our servers and behind our relay, and who may come by the command.

mod common;

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use common::{
    Home, PATIENCE, Program, Server,
    authority::{Authority, good},
    eventually, free_port, peer,
};
use socket2::{Domain, Socket, Type};

/// What every configuration of HAProxy here begins with.
const DEFAULTS: &str = "defaults
  timeout connect 5s
  timeout client 10s
  timeout server 10s
";

/// HAProxy with that configuration, once it takes connections at that port.
fn haproxy(home: &Home, config: &str, port: u16) -> Program {
    let file = home.file("haproxy.cfg", format!("{DEFAULTS}{config}"));
    let program = Program::start(home.command("haproxy").args(["-db", "-f", &file]));
    eventually("haproxy listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    program
}

/// A connection from that address of this machine.
fn from(ip: &str, port: u16) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(ip.parse().unwrap(), 0).into()).unwrap();
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// What comes of a request for `path` from there; nothing where the connection is closed.
fn get(ip: &str, port: u16, path: &str) -> String {
    let mut stream = from(ip, port);
    let _ = stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes());
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard);
    String::from_utf8_lossy(&heard).into_owned()
}

/// A server of httpbin that says at /ip who asks.
fn httpbin(home: &Home) -> Server {
    home.serve(&["httpbin", "http://127.0.0.1:0?accept-proxy=true", "--access-log", "common"], 1)
}

#[test]
fn haproxy_says_who_comes_in_all_its_ways() {
    if peer("haproxy").is_none() {
        return;
    }
    for how in ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority"] {
        let home = Home::new();
        let (server, port) = (httpbin(&home), free_port());
        let config = format!(
            "frontend clients\n  mode tcp\n  bind 127.0.0.1:{port}\n  default_backend server\n\
             backend server\n  mode tcp\n  server one 127.0.0.1:{} {how} check inter 100ms\n",
            server.port(0)
        );
        let haproxy = haproxy(&home, &config, port);
        let heard = get("127.0.0.5", port, "/ip");
        assert!(heard.contains("\"origin\": \"127.0.0.5\""), "{how}: {heard}; {}", haproxy.so_far());
        server.program.told("127.0.0.5 - - [");
    }
}

#[test]
fn haproxy_says_what_was_agreed_on_in_a_clients_tls() {
    if peer("haproxy").is_none() || peer("openssl").is_none() {
        return;
    }
    let home = Home::new();
    let authority = Authority::root("an authority");
    let ca = home.file("ca.pem", authority.pem());
    let shown = authority.issue(&good(&["db.example.org"]));
    let pair = home.file("pair.pem", shown.cert + &shown.key);
    let (cert, key) = authority.files(&home, &["ada.example.org"]);
    // A relay passes on what it is told.
    let server = home.serve(&["-v", "--json", "echo", "tcp://127.0.0.1:0?accept-proxy=true"], 1);
    let to = format!("tcp://127.0.0.1:{}?proxy=v2", server.port(0));
    let relay = Server::start(&mut home.hullo(&["relay", "-v", "tcp://127.0.0.1:0?accept-proxy=true", &to]), 1);
    let port = free_port();
    let config = format!(
        "frontend clients\n  mode tcp\n  bind 127.0.0.1:{port} ssl crt {pair} ca-file {ca} verify required alpn hullo/1\n  \
         default_backend server\nbackend server\n  mode tcp\n  server one 127.0.0.1:{} send-proxy-v2-ssl-cn \
         proxy-v2-options crc32c,authority\n",
        relay.port(0)
    );
    let haproxy = haproxy(&home, &config, port);
    let at = format!("127.0.0.1:{port}");
    let words = ["s_client", "-quiet", "-connect", &at, "-bind", "127.0.0.6:0", "-cert", &cert, "-key", &key];
    let mut client =
        Program::start(home.command("openssl").args(words).args(["-servername", "db.example.org", "-alpn", "hullo/1"]));
    client.say("hello\n");
    client.heard("hello\n");
    let told = relay.program.told(" speaks for tcp://127.0.0.6:");
    assert!(told.contains("('the one of ada.example.org')"), "{told}; {}", haproxy.so_far());
    let told = server.program.told("\"event\":\"proxied\"");
    for fact in [
        "\"peer\":\"tcp://127.0.0.6:",
        "\"name\":\"the one of ada.example.org\"",
        "\"sni\":\"db.example.org\"",
        "\"alpn\":\"hullo/1\"",
        "\"version\":\"TLSv1.3\"",
    ] {
        assert!(told.contains(fact), "no {fact} in {told}");
    }
}

/// HAProxy as a server that says what it was told.
const SAYS: &str = "  mode http\n  http-request return status 200 content-type text/plain lf-string \
                    \"client %[src] to %[dst]:%[dst_port] asked for %[fc_pp_authority] end\"\n";

#[test]
fn haproxy_hears_for_whom_a_relay_comes() {
    if peer("haproxy").is_none() || peer("curl").is_none() {
        return;
    }
    let home = Home::new();
    let port = free_port();
    let socket = home.path("h");
    let _haproxy = haproxy(
        &home,
        &format!("frontend clients\n  bind 127.0.0.1:{port} accept-proxy\n  bind unix@{socket} accept-proxy\n{SAYS}"),
        port,
    );
    let unix = format!("unix:{socket}?proxy=v2");
    for (listen, to) in [
        ("tcp://127.0.0.1:0", format!("tcp://127.0.0.1:{port}?proxy=v1")),
        ("tcp://127.0.0.1:0", format!("tcp://127.0.0.1:{port}?proxy=v2")),
        ("tcp://[::]:0", format!("tcp://127.0.0.1:{port}?proxy=v2")),
        ("tcp://127.0.0.1:0", unix.clone()),
        ("tls://127.0.0.1:0", unix),
    ] {
        let relay = Server::start(&mut home.hullo(&["relay", listen, &to, "--check", "50ms"]), 1);
        let (scheme, at) = (if listen.starts_with("tls") { "https" } else { "http" }, relay.port(0));
        let resolve = format!("db.example.org:{at}:127.0.0.1");
        let url = format!("{scheme}://db.example.org:{at}/");
        let words = ["-sk", "--interface", "127.0.0.7", "--resolve", &resolve, &url];
        let heard = common::run(home.command("curl").args(words), "").text();
        let wanted = format!("client 127.0.0.7 to 127.0.0.1:{at} asked for ");
        assert!(heard.starts_with(&wanted), "{listen} {to}: {heard}; {}", relay.program.so_far());
        assert_eq!(heard.contains("db.example.org"), scheme == "https", "{listen} {to}: {heard}");
    }
    // Without a relay the client is who asks.
    let to = format!("http://127.0.0.1:{port}/?proxy=v2&bind=127.0.0.8");
    let heard = home.run(&["ask", &to], "").text();
    assert!(heard.starts_with(&format!("client 127.0.0.8 to 127.0.0.1:{port} ")), "{heard}");
}

#[test]
fn curl_is_believed_where_it_must_say_who_it_is() {
    if peer("curl").is_none() {
        return;
    }
    let home = Home::new();
    let server = httpbin(&home);
    let url = format!("{}/ip", server.at[0].trim_end_matches('/'));
    let run = |words: &[&str]| common::run(home.command("curl").args(words).arg(&url), "");
    let heard = run(&["-s", "--haproxy-protocol", "--interface", "127.0.0.9"]).text();
    assert!(heard.contains("127.0.0.9"), "{heard}");
    assert_ne!(run(&["-s"]).code, 0, "without a header there is no answer");
    // Of curl 8.2.
    let named = run(&["-s", "--haproxy-clientip", "2001:db8::7"]);
    if named.code != 2 {
        assert!(named.text().contains("2001:db8::7"));
    }
}

#[test]
fn lists_and_rates_are_flags_of_both_servers() {
    let home = Home::new();
    let list = home.file("list", "127.0.0.2\n127.0.0.3\n");
    let echo = home.serve(&["echo", "tcp://127.0.0.1:0"], 1);
    let behind = format!("tcp://127.0.0.1:{}", echo.port(0));
    let config = home
        .file("c.toml", "deny = ['127.0.0.0/24']\n[[serve]]\nservice = 'echo'\naddresses = ['tcp://127.0.0.1:0']\n");
    let (allow, wide) = (format!("@{list}"), "127.0.0.0/8".to_owned());
    let cases: [(&[&str], &str, &str); 4] = [
        (&["serve", "echo", "tcp://127.0.0.1:0", "--allow", &allow], "127.0.0.2", "127.0.0.4"),
        (&["serve", "--config", &config, "--allow", "127.0.0.2"], "127.0.0.2", "127.0.0.3"),
        (&["relay", "tcp://127.0.0.1:0", &behind, "--deny", &allow], "127.0.0.4", "127.0.0.3"),
        (&["relay", "tcp://127.0.0.1:0", &behind, "--allow", &wide, "--deny", "127.0.0.3"], "127.0.0.2", "127.0.0.3"),
    ];
    for (words, good, bad) in cases {
        let server = Server::start(&mut home.hullo(words), 1);
        let mut heard = [0; 2];
        let mut talk = |ip: &str| {
            let mut stream = from(ip, server.port(0));
            stream.write_all(b"hi").and_then(|()| stream.read_exact(&mut heard)).is_ok()
        };
        assert!(talk(good) && !talk(bad), "{words:?}: {}", server.program.so_far());
    }
    let words = ["relay", "tcp://127.0.0.1:0", &behind, "--rate", "1", "-v"];
    let relay = Server::start(&mut home.hullo(&words), 1);
    let kept: Vec<_> = (0..5).map(|_| from("127.0.0.2", relay.port(0))).collect();
    relay.program.told("127.0.0.2 came more than 1 times in a second");
    drop(kept);
    let words = ["relay", "tcp://127.0.0.1:0", &behind, "--max-per-peer", "1", "-v"];
    let relay = Server::start(&mut home.hullo(&words), 1);
    let kept: Vec<_> = (0..2).map(|_| from("127.0.0.2", relay.port(0))).collect();
    relay.program.told("127.0.0.2 has as many connections as max-per-peer allows");
    drop(kept);
}

#[test]
fn who_may_not_be_there_any_more_is_cut_off_by_a_relay() {
    let home = Home::new();
    let list = home.file("list", "192.0.2.1\n");
    let echo = home.serve(&["echo", "tcp://127.0.0.1:0"], 1);
    let behind = format!("tcp://127.0.0.1:{}", echo.port(0));
    let words = ["relay", "tcp://127.0.0.1:0", &behind, "--deny", &format!("@{list}"), "-v"];
    let relay = Server::start(&mut home.hullo(&words), 1);
    let (mut ann, mut bob) = (from("127.0.0.2", relay.port(0)), from("127.0.0.3", relay.port(0)));
    let mut heard = [0; 2];
    for stream in [&mut ann, &mut bob] {
        stream.write_all(b"hi").unwrap();
        stream.read_exact(&mut heard).unwrap();
    }
    fs::write(&list, "127.0.0.3\n").unwrap();
    assert!(!bob.read(&mut heard).is_ok_and(|n| n > 0), "bob is cut off");
    relay.program.told("127.0.0.3 may not be here any more");
    ann.write_all(b"ho").unwrap();
    ann.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"ho");
}

#[test]
fn what_cannot_be_meant_is_said() {
    let home = Home::new();
    for (words, code, said) in [
        (&["serve", "echo", "tcp://:0", "--deny", "10.0.0.1/8"][..], 2, "write 10.0.0.0/8 or 10.0.0.1"),
        (&["relay", "tcp://:0", "tcp://:1", "--allow", "@/nowhere"], 19, "cannot read who may come from /nowhere"),
        (&["connect", "tcp://127.0.0.1:1?proxy=v3"], 2, "the option proxy takes v1 or v2, not 'v3'"),
        (&["serve", "echo", "udp://:0?accept-proxy=true"], 2, "means nothing on udp"),
        (&["serve", "echo", "tcp://:0?proxy=v2"], 2, "is for addresses to connect"),
    ] {
        let ended = home.run(words, "");
        assert!(ended.code == code && ended.err.contains(said), "{words:?}: {} {}", ended.code, ended.err);
    }
}
