#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! `hullo relay --api` and `--config`: Toxiproxy's own clients, and files that have relays with their faults.

mod common;

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use common::{Home, PATIENCE, Server, peer, read_until, run, skipped};

fn echo(home: &Home) -> Server {
    home.serve(&["echo", "tcp://127.0.0.1:0"], 1)
}

fn relay(home: &Home, words: &[&str], addresses: usize) -> Server {
    Server::start(&mut home.hullo(&[&["relay"], words].concat()), addresses)
}

fn place(server: &Server, at: usize) -> String {
    format!("127.0.0.1:{}", server.port(at))
}

/// An answer of the API, its head and its body.
#[track_caller]
fn asked(api: &Server, at: usize, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(place(api, at)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}");
    stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// How long something takes to come back.
#[track_caller]
fn echoed(at: &str) -> Duration {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let began = Instant::now();
    stream.write_all(b"hello\n").unwrap();
    assert_eq!(read_until(&mut stream, "\n").unwrap(), "hello\n");
    began.elapsed()
}

#[test]
fn toxiproxy_python() {
    let Some(python) = peer("python3") else { return };
    let home = Home::new();
    if run(home.command(python).args(["-c", "import toxiproxy"]), "").code != 0 {
        return skipped("python module toxiproxy").unwrap_or_default();
    }
    let (echo, api) = (echo(&home), relay(&home, &["--api", "127.0.0.1:0"], 1));
    let script = home.file("client.py", include_str!("toxiproxy/client.py"));
    let ended = run(home.command(python).args([script, api.port(0).to_string(), place(&echo, 0)]), "");
    assert_eq!(ended.text(), "good\n");
}

#[test]
fn toxiproxy_node_client() {
    let Some(node) = peer("node") else { return };
    let home = Home::new();
    if run(home.command(node).args(["-e", "require('toxiproxy-node-client')"]), "").code != 0 {
        return skipped("node module toxiproxy-node-client").unwrap_or_default();
    }
    let (echo, api) = (echo(&home), relay(&home, &["--api", "127.0.0.1:0"], 1));
    let script = home.file("client.js", include_str!("toxiproxy/client.js"));
    let ended = run(home.command(node).args([script, format!("http://{}", place(&api, 0)), place(&echo, 0)]), "");
    assert_eq!(ended.text(), "good\n");
}

#[test]
fn the_relay_of_the_command_line_is_a_proxy_too() {
    let home = Home::new();
    let echo = echo(&home);
    let words = ["tcp://127.0.0.1:0", &echo.at[0], "--name", "mine", "--api", "127.0.0.1:0"];
    let both = relay(&home, &[&words[..], &["--fault", "latency:300ms,way=down,name=slow"]].concat(), 2);
    assert!(echoed(&place(&both, 0)) >= Duration::from_millis(300));
    let shown = asked(&both, 1, "GET", "/proxies/mine", "");
    assert!(shown.contains(r#""name":"mine","listen":"127.0.0.1:"#), "{shown}");
    assert!(shown.contains(r#"{"attributes":{"fault":"latency:300ms,way=down,name=slow"},"name":"slow""#), "{shown}");
    assert!(asked(&both, 1, "DELETE", "/proxies/mine/toxics/slow", "").starts_with("HTTP/1.1 204 "));
    echoed(&place(&both, 0));
    assert!(asked(&both, 1, "POST", "/proxies/mine", r#"{"enabled":false}"#).contains("\"enabled\":false"));
    assert!(TcpStream::connect(place(&both, 0)).is_err());
    assert_eq!(both.interrupted().code, 0);
}

#[test]
fn a_stop_lets_the_connections_of_proxies_finish() {
    let home = Home::new();
    let (echo, api) = (echo(&home), relay(&home, &["--api", "127.0.0.1:0", "--grace", "10s"], 1));
    let body = format!(r#"{{"name":"a","listen":"127.0.0.1:0","upstream":"{}"}}"#, place(&echo, 0));
    let made = asked(&api, 0, "POST", "/proxies", &body);
    let at = made.split("\"listen\":\"").nth(1).unwrap().split('"').next().unwrap();
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"led on\n").unwrap();
    assert_eq!(read_until(&mut stream, "\n").unwrap(), "led on\n");
    asked(&api, 0, "POST", "/proxies/a/toxics", r#"{"type":"latency","attributes":{"latency":500}}"#);
    stream.write_all(b"to be heard\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let ended = std::thread::spawn(move || api.interrupted());
    let mut came = String::new();
    stream.read_to_string(&mut came).unwrap();
    assert_eq!(came, "to be heard\n");
    assert_eq!(ended.join().unwrap().code, 0);
}

#[test]
fn a_configuration_has_relays_with_their_faults() {
    let home = Home::new();
    let echo = echo(&home);
    let config = format!(
        "[[relay]]\nname = \"slow\"\nlisten = \"tcp://127.0.0.1:0\"\nto = [\"{to}\"]\nfaults = [\"latency:300ms,way=up\"]\n\n\
         [[relay]]\nname = \"quick\"\nlisten = \"tcp://127.0.0.1:0\"\nto = [\"tcp://127.0.0.1:1\", \"{to}\"]\n",
        to = echo.at[0]
    );
    let config = home.file("relays.toml", config);
    let relays = relay(&home, &["--config", &config], 2);
    assert!(echoed(&place(&relays, 0)) >= Duration::from_millis(300));
    echoed(&place(&relays, 1));
    assert_eq!(relays.interrupted().code, 0);
}

#[test]
fn toxiproxys_own_configuration_may_have_toxics() {
    let home = Home::new();
    let echo = echo(&home);
    let config = format!(
        r#"[{{"name":"slow","listen":"127.0.0.1:0","upstream":"{to}","enabled":true,
             "toxics":[{{"type":"latency","attributes":{{"latency":300}}}},{{"type":"noop","name":"n"}}]}},
            {{"name":"off","listen":"127.0.0.1:0","upstream":"{to}","enabled":false}}]"#,
        to = place(&echo, 0)
    );
    let config = home.file("toxiproxy.json", config);
    let relays = relay(&home, &["--config", &config, "--api", "127.0.0.1:0"], 2);
    assert!(echoed(&place(&relays, 0)) >= Duration::from_millis(300));
    let shown = asked(&relays, 1, "GET", "/proxies", "");
    for wanted in [r#""latency":300"#, r#""name":"n","type":"noop""#, r#""enabled":false"#] {
        assert!(shown.contains(wanted), "{wanted}: {shown}");
    }
}

#[test]
fn what_is_wrong_with_a_configuration_is_said() {
    let home = Home::new();
    for (content, wanted) in [
        ("[[relay]]\nname = \"a\"\n", "missing field `listen`"),
        (
            "[[relay]]\nname = \"a\"\nlisten = \":0\"\nto = [\":1\"]\nfaults = [\"latncy:1s\"]\n",
            "no fault is called 'latncy'",
        ),
        ("[[relay]]\nname = \"a\"\nlisten = \":0\"\nto = []\n", "nowhere to lead to"),
        ("[{\"name\":\"a\"}]", "missing required field: upstream at proxy 1"),
        (
            "[{\"name\":\"a\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"a:1\",\"toxics\":[{\"type\":\"x\"}]}]",
            "invalid toxic type",
        ),
    ] {
        let file = home.file("config", content);
        let ended = home.run(&["relay", "--config", &file], "");
        assert_eq!(ended.code, 2, "{content}: {ended:?}");
        assert!(ended.err.contains(wanted), "{content}: {ended:?}");
    }
    assert_eq!(home.run(&["relay", "--config", "/none"], "").code, 19);
    assert_eq!(home.run(&["relay"], "").code, 2);
}
