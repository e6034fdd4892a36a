#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! `hullo bench` over HTTP/1.1, HTTP/2 and WebSockets, against servers that others wrote, and our own.

mod common;

use std::net::TcpStream;

use common::{Home, Program, Python, at_once, eventually, free_port, peer, run, skipped};
use serde_json::Value;

/// The report of a run of so many requests over three connections, of which all are answered.
fn answered(home: &Home, words: &[&str], count: u64) -> Value {
    let number = count.to_string();
    let ended = home.run(&[&["--json", "bench", "-n", &number, "-c", "3"], words].concat(), "");
    let report: Value = serde_json::from_slice(&ended.out).unwrap_or_else(|error| panic!("{error}: {}", ended.err));
    assert_eq!(ended.code, 0, "{words:?}: {} {report}", ended.err);
    assert_eq!(report["answered"], count, "{words:?}: {report}");
    report
}

/// The status of a run whose requests all fail, in the report's words.
fn failures(home: &Home, words: &[&str]) -> Value {
    let ended = home.run(&[&["--json", "bench", "-n", "30", "-c", "3"], words].concat(), "");
    let report: Value = serde_json::from_slice(&ended.out).unwrap_or_else(|error| panic!("{error}: {}", ended.err));
    assert_eq!(report["answered"], 0, "{words:?}: {report}");
    report["failures"].clone()
}

#[test]
fn our_own_server_answers_in_both_versions_what_it_is_asked() {
    let home = Home::new();
    let server = home.serve(&["echo", "http://:0", "https://:0", "ws://:0?deflate=yes"], 3);
    let [plain, secure, ws] = [0, 1, 2].map(|at| server.client(at));
    let deflated = format!("{ws}?deflate=yes");
    let large = "300000";
    let template = "{{seq}} and {{random 30}}";
    at_once(
        &[
            vec!["--http", "1.1", &plain],
            vec!["--http", "2", &plain, "--depth", "10"],
            vec!["--http", "1.1", "POST", &plain, "--payload", template, "--depth", "10"],
            vec!["--http", "2", "POST", &plain, "--payload", template, "--depth", "10"],
            vec!["--http", "2", "POST", &plain, "name={{random 8}}", "X-Long:abc"],
            vec!["--http", "1.1", "PUT", &plain, "--size", large],
            vec!["--http", "2", "PUT", &plain, "--size", large, "--depth", "4"],
            vec!["POST", &secure, "--size", large],
            vec![&secure, "--depth", "5"],
            vec![&ws, "--payload", template, "--depth", "5"],
            vec![&ws, "--size", large],
            vec![&deflated, "--size", "5000", "--depth", "5"],
            vec![&deflated, "--payload", template],
        ],
        |words| {
            let same = words.iter().any(|word| word.contains("{{") || *word == "--size");
            let expect: &[&str] = if same { &["--expect", "same"] } else { &[] };
            answered(&home, &[words, expect].concat(), 200);
        },
    );
    assert_eq!(failures(&home, &[&plain, "--expect", "404"]), serde_json::json!({ "status 200": 30 }));
    assert_eq!(failures(&home, &[&plain, "--expect", "no such text"]), serde_json::json!({ "unexpected reply": 30 }));
}

/// nginx on three ports: HTTP/1.1, HTTP/2, and both inside TLS.
fn nginx(home: &Home) -> Option<(Program, [u16; 3])> {
    let ports = [free_port(), free_port(), free_port()];
    let request =
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost"];
    let (key, cert) = (home.path("key.pem"), home.path("cert.pem"));
    let made = run(home.command(peer("openssl")?).args(request).args(["-keyout", &key, "-out", &cert]), "");
    assert_eq!(made.code, 0, "{}", made.err);
    let ways = "location /ok { return 200 hello; } location /empty { return 204; } location /not { return 404; }
        location /chunks { gzip on; gzip_min_length 1; gzip_types *; return 200 hellohellohellohellohello; }";
    let config = format!(
        "daemon off; master_process off; pid {0}/pid; error_log {0}/error.log;
        events {{}}
        http {{ access_log off; ssl_certificate {cert}; ssl_certificate_key {key};
            client_body_temp_path {0}/t1; proxy_temp_path {0}/t2; fastcgi_temp_path {0}/t3; uwsgi_temp_path {0}/t4;
            scgi_temp_path {0}/t5; keepalive_requests 100;
            server {{ listen 127.0.0.1:{1}; {ways} }}
            server {{ listen 127.0.0.1:{2} http2; {ways} }}
            server {{ listen 127.0.0.1:{3} ssl http2; {ways} }} }}",
        home.path(""),
        ports[0],
        ports[1],
        ports[2],
    );
    let config = home.file("nginx.conf", config);
    let program = Program::start(home.command(peer("nginx")?).args(["-c", &config]));
    eventually("nginx listens", || ports.iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok()));
    Some((program, ports))
}

#[test]
fn nginx_answers_and_ends_its_connections_without_a_loss() {
    let home = Home::new();
    let Some((_nginx, [plain, h2, secure])) = nginx(&home) else { return };
    let at = |port: u16, path: &str| format!("http://127.0.0.1:{port}/{path}");
    let secure = format!("https://127.0.0.1:{secure}/ok#insecure");
    let expected = |path: &str| (if path == "empty" { "204" } else { "200" }).to_owned();
    for path in ["ok", "empty", "chunks"] {
        for words in [
            vec![at(plain, path)],
            vec!["HEAD".to_owned(), at(plain, path)],
            vec![at(h2, path), "--http".to_owned(), "2".to_owned()],
            vec!["HEAD".to_owned(), at(h2, path), "--http".to_owned(), "2".to_owned()],
        ] {
            let mut words: Vec<_> = words.iter().map(String::as_str).collect();
            if path == "chunks" {
                words.push("Accept-Encoding:gzip");
            }
            // It ends each connection behind a hundred requests.
            let report = answered(&home, &words, 1000);
            assert_eq!(report["statuses"], serde_json::json!({ expected(path): 1000 }), "{words:?}");
            assert!(report["connections"]["opened"].as_u64().unwrap() >= 9, "{words:?}: {}", report["connections"]);
        }
    }
    // What it was asked behind the last of them it says it did nothing about: that is asked again.
    answered(&home, &["--depth", "16", &at(plain, "ok")], 1000);
    answered(&home, &["--depth", "16", &at(h2, "ok"), "--http", "2"], 1000);
    answered(&home, &[&secure], 500);
    answered(&home, &["--http", "1.1", &secure], 500);
    for words in [vec![at(plain, "not")], vec![at(h2, "not"), "--http".to_owned(), "2".to_owned()]] {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        assert_eq!(failures(&home, &words), serde_json::json!({ "status 404": 30 }));
        answered(&home, &[&words[..], &["--expect", "4xx"]].concat(), 100);
    }
    assert_eq!(failures(&home, &[&at(plain, "ok"), "--http", "2"]), serde_json::json!({ "protocol": 30 }));
}

/// An HTTP/2 server that makes it hard: few streams and small windows, at first; interim responses, trailers, padding,
/// and answers in another order than that of the requests.
const NODE: &str = r"
const http2 = require('http2');
const server = http2.createServer({
  paddingStrategy: http2.constants.PADDING_STRATEGY_MAX,
  settings: { maxConcurrentStreams: 3, initialWindowSize: 1000, maxFrameSize: 20000 },
});
server.on('session', session => setTimeout(() => session.settings({ initialWindowSize: 5000 }), 5));
let count = 0;
server.on('stream', (stream, headers) => {
  const parts = [];
  stream.on('error', () => {});
  stream.on('data', part => parts.push(part));
  stream.on('end', () => setTimeout(() => {
    stream.additionalHeaders({ ':status': 103, link: '</a>' });
    stream.respond({ ':status': 201, 'x-large': 'y'.repeat(20000), 'x-path': headers[':path'] }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '1' }));
    const body = Buffer.concat(parts);
    stream.write(body.subarray(0, 10));
    stream.end(body.subarray(10));
  }, count++ % 3));
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
";

#[test]
fn the_http2_of_node_is_heard_in_all_its_forms() {
    let home = Home::new();
    let Some(node) = peer("node") else { return };
    let program = Program::start(home.command(node).args(["-e", NODE]));
    let address = format!("http://127.0.0.1:{}/path", program.heard("\n").trim());
    for words in [
        vec!["--depth", "8", &address],
        vec!["--depth", "8", "POST", &address, "--payload", "{{seq}} {{random 4000}}", "--expect", "same"],
        vec!["--depth", "2", "POST", &address, "--size", "40000", "--expect", "same", "--expect", "201"],
    ] {
        let report = answered(&home, &[&["--http", "2"], &words[..]].concat(), 150);
        assert_eq!(report["statuses"], serde_json::json!({ "201": 150 }), "{words:?}");
    }
}

/// Servers of HTTP/1.1 and HTTP/2 that answer 400 where what a template should have filled in does not fit together, or
/// comes again.
const STRICT: &str = r"
const [http, http2] = [require('http'), require('http2')];
const server = library => {
  const seen = new Set();
  return library.createServer((request, response) => {
    const parts = [];
    request.on('data', part => parts.push(part));
    request.on('end', () => {
      const [, seq, word, query] = /^\/items\/(\d+)\/([a-z0-9]{8})\?a=%7B&q=(\d+)x$/.exec(request.url) ?? [];
      const { 'x-id': id, 'x-word': other } = request.headers;
      const body = JSON.parse(Buffer.concat(parts).toString() || '{}');
      const words = [word, other, body.word];
      const good = seq && seq === query && seq === id && body.n === +seq && new Set(words).size === 3;
      response.statusCode = good && !words.some(word => seen.has(word)) && !seen.has(seq) ? 200 : 400;
      [seq, ...words].forEach(word => seen.add(word));
      response.end();
    });
  });
};
const [one, two] = [server(http), server(http2)];
one.listen(0, '127.0.0.1', () => two.listen(0, '127.0.0.1', () => console.log(one.address().port, two.address().port)));
";

#[test]
fn templates_are_filled_in_everywhere_in_both_versions() {
    let home = Home::new();
    let Some(node) = peer("node") else { return };
    let program = Program::start(home.command(node).args(["-e", STRICT]));
    let ports = program.heard(
        "
",
    );
    for (port, version) in ports.split_whitespace().zip(["1.1", "2"]) {
        let url = format!("http://127.0.0.1:{port}/items/{{{{seq}}}}/{{{{random 8}}}}?a=%7B");
        let items = ["q=={{seq}}x", "X-Id:{{seq}}", "X-Word:{{random 9}}", "n:={{seq}}", "word={{random 8}}"];
        let report = answered(&home, &[&["--http", version, "--depth", "4", "POST", &url], &items[..]].concat(), 400);
        assert_eq!(report["statuses"], serde_json::json!({ "200": 400 }), "{version}");
        assert_eq!(report["target"], format!("{url}&q={{{{seq}}}}x"), "{version}");
    }
}

/// Each response ends with its connection; or it comes in chunks, on one that stays.
const PYTHON: &str = r"
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        chunked = self.path == '/chunks'
        if not chunked:
            self.protocol_version = 'HTTP/1.0'
        self.send_response(200)
        if chunked:
            self.send_header('Transfer-Encoding', 'chunked')
        self.end_headers()
        if not chunked:
            self.close_connection = True
        for part in [b'some', b'thing', b'x' * 70000]:
            self.wfile.write(b'%x;why=not\r\n%s\r\n' % (len(part), part) if chunked else part)
        if chunked:
            self.wfile.write(b'0\r\nx-sum: 1\r\n\r\n')
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
print(server.server_port)
server.serve_forever()
";

#[test]
fn the_server_of_python_ends_its_responses_in_two_ways() {
    let home = Home::new();
    let Some(Python { program: _program, port }) = home.python(PYTHON) else { return };
    let at = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let ends = answered(&home, &[&at("/"), "--expect", "something"], 60);
    assert_eq!(ends["connections"]["opened"], 60);
    let chunks = answered(&home, &[&at("/chunks"), "--expect", "somethingx"], 60);
    assert_eq!(chunks["connections"]["opened"], 3);
}

/// An echo in pieces, which pings before each reply.
const WEBSOCKET: &str = r"
import asyncio, websockets
async def talk(socket, *path):
    async for message in socket:
        pong = await socket.ping()
        await pong
        await socket.send([message[:3], message[3:]] if len(message) > 3 else message)
async def main():
    async with websockets.serve(talk, '127.0.0.1', 0) as server:
        print(server.sockets[0].getsockname()[1])
        await asyncio.Future()
asyncio.run(main())
";

#[test]
fn a_websocket_of_python_pings_and_answers_in_pieces() {
    let home = Home::new();
    let Some(python) = peer("python3") else { return };
    if run(home.command(python).args(["-c", "import websockets"]), "").code != 0 {
        return skipped("python websockets").unwrap_or_default();
    }
    let Some(Python { program: _program, port }) = home.python(WEBSOCKET) else { return };
    for (address, payload) in [
        (format!("ws://127.0.0.1:{port}/"), "{{seq}} é {{random 200}}"),
        (
            format!("ws://127.0.0.1:{port}/?deflate=yes"),
            "always the same, again and again and again and again and again",
        ),
    ] {
        answered(&home, &[&address, "--payload", payload, "--expect", "same", "--depth", "4"], 100);
    }
}
