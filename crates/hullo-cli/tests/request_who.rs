#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! `request` and who we are: logins, sessions, cookies, proxies; and that no secret goes where it should not.

mod common;

use std::{fs, os::unix::fs::PermissionsExt};

use common::{Ended, Home, Program, Python, peer, run};
use serde_json::{Value, json};

/// Asks for a login as its path says, and says as JSON who it was. /digest/QOP/ALGORITHM[/stale] wants ada and 'se:cret'.
/// /set/NAME/VALUE sets a cookie, /to?URL redirects, /flaky/N/STATUS fails N times.
const GATE: &str = r#"
import base64, hashlib, http.server, json, re, sys, threading
USER, SECRET, REALM = "ada", "se:cret", "the, realm"
nonces, failures, lock = {}, {}, threading.Lock()
HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256", "SHA-512": "sha512"}
class Gate(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def answer(self, status, body=b"{}", headers=()):
        self.send_response(status); self.send_header("Content-Length", len(body))
        for name, value in headers: self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD": self.wfile.write(body)
    def who(self):
        heard = {name.lower(): value for name, value in self.headers.items()}
        self.answer(200, json.dumps({"method": self.command, "path": self.path, "headers": heard, "body": self.body.decode("latin1")}).encode())
    def digest(self, qop, algorithm, stale):
        plain = algorithm.removesuffix("-sess")
        H = lambda text: hashlib.new(HASHES[plain], text if isinstance(text, bytes) else text.encode()).hexdigest()
        said = self.headers.get("Authorization", "")
        nonce = H(str(len(nonces)) + "n")
        challenge = f'Digest realm="{REALM}", nonce="{nonce}", opaque="o\\"p", algorithm={algorithm}' + (f', qop="{qop}"' if qop != "none" else "")
        if not said:
            nonces[nonce] = 0
            return self.answer(401, headers=[("WWW-Authenticate", f'Basic realm="x", {challenge}')])
        p = {k: v[1:-1].replace('\\"', '"') if v.startswith('"') else v for k, v in re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|[^,]*)', said)}
        if stale == "always": return self.answer(401, headers=[("WWW-Authenticate", challenge + ", stale=true")])
        if stale and nonces.get(p["nonce"]) == 0 and len([n for n in nonces.values() if n < 0]) == 0:
            nonces[p["nonce"]] = -1; nonces[nonce] = 0
            return self.answer(401, headers=[("WWW-Authenticate", challenge + ", stale=true")])
        if p["nonce"] not in nonces: return self.answer(400, b"unknown nonce")
        a1 = H(f"{USER}:{REALM}:{SECRET}")
        if algorithm.endswith("-sess"): a1 = H(f"{a1}:{p['nonce']}:{p['cnonce']}")
        a2 = H(f"{self.command}:{self.path}" + (":" + H(self.body) if p.get("qop") == "auth-int" else ""))
        wanted = H(f"{a1}:{p['nonce']}:{p['nc']}:{p['cnonce']}:{p['qop']}:{a2}") if "qop" in p else H(f"{a1}:{p['nonce']}:{a2}")
        right = p["response"] == wanted and p["uri"] == self.path and p["opaque"] == 'o"p' and p["username"] == USER
        if not right: nonces[nonce] = 0
        return self.who() if right else self.answer(401, b"wrong", [("WWW-Authenticate", challenge)])
    def handle_any(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path, _, query = self.path.partition("?")
        step = path.strip("/").split("/")
        if step[0] == "digest": return self.digest(step[1], step[2], (step + [""])[3])
        if step[0] == "basic":
            wanted = "Basic " + base64.b64encode(f"{USER}:{SECRET}".encode()).decode()
            right = self.headers.get("Authorization") == wanted
            return self.who() if right else self.answer(401, b"no", [("WWW-Authenticate", 'Basic realm="x"')])
        if step[0] == "set": return self.answer(200, headers=[("Set-Cookie", f"{step[1]}={step[2]}; Path=/")])
        if step[0] == "to": return self.answer(302, headers=[("Location", query), ("Set-Cookie", "way=taken; Path=/")])
        if step[0] == "flaky":
            with lock:
                failures[self.path] = failures.get(self.path, 0) + 1
                if failures[self.path] <= int(step[1]): return self.answer(int(step[2]), headers=[("Retry-After", "0")])
        self.who()
    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_any
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gate)
server.daemon_threads = True
print(server.server_port)
server.serve_forever()
"#;

/// Passes on what it is asked to, as an HTTP proxy and as a SOCKS 5 one, for who says 'me' and 'pass word'. It says so in
/// the header Via of plain requests, and writes each destination on stdout.
const PROXY: &str = r#"
import base64, socket, socketserver, struct, sys, threading
def pump(a, b):
    try:
        while data := a.recv(65536): b.sendall(data)
    except OSError: pass
    try: b.shutdown(socket.SHUT_WR)
    except OSError: pass
def join(a, b):
    t = threading.Thread(target=pump, args=(a, b)); t.start(); pump(b, a); t.join()
class Proxy(socketserver.BaseRequestHandler):
    def exactly(self, n):
        data = b""
        while len(data) < n:
            piece = self.request.recv(n - len(data))
            if not piece: raise OSError("ended")
            data += piece
        return data
    def handle(self):
        s = self.request
        first = self.exactly(1)
        if first == b"\x05":
            methods = self.exactly(self.exactly(1)[0])
            if 2 not in methods: s.sendall(b"\x05\xff"); return
            s.sendall(b"\x05\x02"); self.exactly(1)
            user = self.exactly(self.exactly(1)[0]); password = self.exactly(self.exactly(1)[0])
            right = (user, password) == (b"me", b"pass word")
            s.sendall(b"\x01" + (b"\x00" if right else b"\x01"))
            if not right: return
            _, _, _, kind = self.exactly(4)
            if kind == 1: host = socket.inet_ntoa(self.exactly(4))
            elif kind == 4: host = socket.inet_ntop(socket.AF_INET6, self.exactly(16))
            else: host = self.exactly(self.exactly(1)[0]).decode()
            port = struct.unpack(">H", self.exactly(2))[0]
            print("socks", "name" if kind == 3 else "address", host, flush=True)
            if host == "forbidden.example": s.sendall(b"\x05\x02\x00\x01" + bytes(6)); return
            to = socket.create_connection(("127.0.0.1" if kind == 3 else host, port))
            s.sendall(b"\x05\x00\x00\x01" + bytes(6)); return join(s, to)
        head = first
        while b"\r\n\r\n" not in head: head += self.exactly(1)
        method, target, _ = head.decode().split("\r\n")[0].split(" ")
        login = "Proxy-Authorization: Basic " + base64.b64encode(b"me:pass word").decode()
        if login.lower() not in head.decode().lower():
            s.sendall(b"HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n"); return
        print("http", method, target, flush=True)
        if method == "CONNECT":
            host, port = target.rsplit(":", 1)
            to = socket.create_connection((host, int(port)))
            s.sendall(b"HTTP/1.1 200 Connected\r\n\r\n"); return join(s, to)
        place, _, path = target.removeprefix("http://").partition("/")
        host, port = place.rsplit(":", 1)
        to = socket.create_connection((host, int(port)))
        lines = [line for line in head.decode().split("\r\n")[1:] if line and not line.lower().startswith("proxy-")]
        to.sendall("\r\n".join([f"{method} /{path} HTTP/1.1", *lines, "Via: 1.1 test", "", ""]).encode())
        join(s, to)
class Server(socketserver.ThreadingTCPServer): daemon_threads = True
server = Server(("127.0.0.1", 0), Proxy)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

fn gate(home: &Home) -> Option<(Python, String)> {
    let server = home.python(GATE)?;
    let at = format!("http://127.0.0.1:{}", server.port);
    Some((server, at))
}

/// Runs it with the password in the environment.
fn knowing(home: &Home, words: &[&str]) -> Ended {
    run(home.hullo(&[&["request"], words].concat()).env("HULLO_PASSWORD", "se:cret"), "")
}

#[track_caller]
fn heard(ended: Ended) -> Value {
    serde_json::from_slice(&ended.good()).unwrap()
}

#[test]
fn digests_of_all_kinds_are_answered() {
    let home = Home::new();
    let Some((_gate, at)) = gate(&home) else { return };
    home.file("body", "the body");
    for algorithm in ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256", "SHA-512"] {
        for qop in ["none", "auth", "auth-int", "auth,auth-int"] {
            let url = format!("{at}/digest/{qop}/{algorithm}?a=b%20c,d");
            for kind in ["auto", "digest"] {
                let words = ["--auth", "ada", "--auth-type", kind, "POST", &url, "@body"];
                let heard = heard(knowing(&home, &words));
                assert_eq!((&heard["method"], &heard["body"]), (&json!("POST"), &json!("the body")), "{words:?}");
            }
        }
        // curl is told the same: the gate is right about what is right.
        // (Older ones answer SHA-512-256 with another hash, and none knows SHA-512.)
        if let Some(curl) = peer("curl").filter(|_| !algorithm.starts_with("SHA-512")) {
            let url = format!("{at}/digest/auth/{algorithm}");
            let words = ["-s", "--fail", "--digest", "-u", "ada:se:cret", &url];
            assert_eq!(run(home.command(curl).args(words), "").code, 0, "{algorithm}");
        }
    }
    let stale = heard(knowing(&home, &["--auth", "ada", "-A", "digest", &format!("{at}/digest/auth/MD5/stale")]));
    assert!(stale["headers"]["authorization"].as_str().unwrap().contains("nc=00000001"), "{stale}");
    let for_ever = format!("{at}/digest/auth/MD5/always");
    assert_eq!(knowing(&home, &["--check-status", "--auth", "ada", "-A", "digest", &for_ever]).code, 4);
    let mut wrong =
        home.hullo(&["request", "--check-status", "--auth", "ada", "-A", "digest", &format!("{at}/digest/auth/MD5")]);
    let ended = run(wrong.env("HULLO_PASSWORD", "wrong"), "");
    assert_eq!((ended.code, &*ended.out), (4, &b"wrong"[..]), "it is not tried for ever: {}", ended.err);
}

#[test]
fn names_and_passwords_come_from_where_nobody_else_reads() {
    let home = Home::new();
    let Some((_gate, at)) = gate(&home) else { return };
    let basic = format!("{at}/basic");
    home.file("pair", "ada:se:cret\n");
    home.file("password", "se:cret\n");
    home.file("netrc", "machine 127.0.0.1 login ada password se:cret");
    home.file(".netrc", "default login ada password \"se:cret\"");
    for words in [
        &["--auth", "ada"][..],
        &["--auth", "ada", "--auth-type", "auto"],
        &["--auth-file", "pair"],
        &["--auth", "ada", "--auth-file", "password"],
        &["--auth", "ada", "--auth-file", "pair"],
        &["--netrc-file", "netrc"],
        &["--netrc"],
    ] {
        knowing(&home, &[words, &["--check-status", &basic]].concat()).good();
    }
    if let Some(script) = peer("script") {
        let line = format!("{} request --check-status --auth ada {basic}", env!("CARGO_BIN_EXE_hullo"));
        let mut program =
            Program::start(home.command(script).args(["-qec", &line, "/dev/null"]).env_remove("HULLO_PASSWORD"));
        program.heard("password of ada at 127.0.0.1");
        program.say("se:cret\n");
        let ended = program.ended();
        let out = String::from_utf8_lossy(&ended.out).into_owned();
        assert!(ended.code == 0 && !out.split("authorization").next().unwrap().contains("se:cret"), "{out}");
    }
    let bearer = heard(home.run(&["request", "-A", "bearer", "--auth-file", "password", &at], ""));
    assert_eq!(bearer["headers"]["authorization"], "Bearer se:cret");
    home.file("header", "Bearer from-a-file\n");
    let typed = heard(home.run(&["request", &at, "Authorization:@header"], ""));
    assert_eq!(typed["headers"]["authorization"], "Bearer from-a-file");
    for (words, why) in [
        (&["--auth", "ada:se:cret", &*at][..], "the name alone"),
        (&["--auth", "ada:se:cret", &*at][..], "HULLO_PASSWORD=… hullo request -a ada …"),
        (&["--auth", "ada", &at], "no password"),
        (&["-A", "digest", &at], "but not who"),
        (&["http://ada:se:cret@127.0.0.1/"], "--auth NAME"),
        (&["--proxy", "http://me:hidden@127.0.0.1:1", &at], "password in it"),
    ] {
        // In a session of its own it has no terminal to ask on.
        let mut command = home.command("setsid");
        let ended = run(command.arg("-w").arg(env!("CARGO_BIN_EXE_hullo")).arg("request").args(words), "");
        assert!(ended.code == 2 && ended.err.contains(why), "{words:?}: {}", ended.err);
        assert!(!ended.err.contains("se:cret") && !ended.err.contains("hidden"), "{}", ended.err);
    }
}

#[test]
fn no_other_host_is_told_who_we_are() {
    let home = Home::new();
    let (Some((_gate, at)), Some((_other, other))) = (gate(&home), gate(&home)) else { return };
    for (target, told) in [("/there", true), (&*format!("{other}/there"), false)] {
        let url = format!("{at}/to?{target}");
        let headers = heard(knowing(&home, &["-F", "--auth", "ada", &url]))["headers"].clone();
        assert_eq!(headers["authorization"].is_string(), told, "{target}: {headers}");
        // The cookie was set for the host, whatever the port (RFC 6265, section 8.5).
        assert_eq!(headers["cookie"], "way=taken", "{target}: {headers}");
    }
    let elsewhere = other.replace("127.0.0.1", "localhost");
    let headers = heard(knowing(&home, &["-F", &format!("{at}/to?{elsewhere}/there")]))["headers"].clone();
    assert!(headers["cookie"].is_null(), "{headers}");
    let ended = knowing(&home, &["-v", "--auth", "ada", "--print", "Hh", &format!("{at}/set/token/hidden")]);
    let said = ended.err + &String::from_utf8_lossy(&ended.out);
    assert!(!said.contains("token=hidden") && !said.contains("YWRhOnNlOmNyZXQ"), "{said}");
    assert!(said.contains("set-cookie: (not shown)") && said.contains("authorization: (not shown)"), "{said}");
    let shown = knowing(&home, &["--auth", "ada", "--show-secrets", "--print", "H", &at]).text();
    assert!(shown.contains("authorization: Basic YWRhOnNlOmNyZXQ="), "{shown}");
}

#[test]
fn a_session_keeps_headers_logins_and_cookies() {
    let home = Home::new();
    let (Some((_gate, at)), Some((_other, other))) = (gate(&home), gate(&home)) else { return };
    for session in ["work", "./session.json"] {
        let first = [
            "--session",
            session,
            "--auth",
            "ada",
            "POST",
            &format!("{at}/set/sid/42"),
            "X-Kept:yes",
            "a=1",
            "If-Match:x",
            "Cookie:typed=1",
        ];
        knowing(&home, &first).good();
        let headers = heard(home.run(&["request", "--session", session, &at], ""))["headers"].clone();
        assert_eq!(
            (&headers["x-kept"], &headers["cookie"], &headers["authorization"]),
            (&json!("yes"), &json!("sid=42; typed=1"), &json!("Basic YWRhOnNlOmNyZXQ=")),
            "{headers}"
        );
        assert!(headers["content-type"].is_null() && headers["if-match"].is_null(), "{headers}");
        home.run(&["request", "--session-read-only", session, &format!("{at}/set/sid/43"), "X-Kept:no"], "").good();
        let headers = heard(home.run(&["request", "--session-read-only", session, &at], ""))["headers"].clone();
        assert_eq!((&headers["x-kept"], &headers["cookie"]), (&json!("yes"), &json!("sid=42; typed=1")));
    }
    let mode = fs::metadata(home.path("session.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    // Another server is told nothing of it, but for the cookies of its host.
    let headers = heard(home.run(&["request", "--session-read-only", "./session.json", &other], ""))["headers"].clone();
    assert!(headers["authorization"].is_null() && headers["x-kept"].is_null(), "{headers}");
    home.file("broken.json", "{");
    assert_eq!(home.run(&["request", "--session", "./broken.json", &at], "").code, 19);
    assert_eq!(home.run(&["request", "--session", "..", &at], "").code, 2);
}

#[test]
fn proxies_are_gone_through() {
    let home = Home::new();
    let Some((_gate, at)) = gate(&home) else { return };
    let Some(proxy) = home.python(PROXY) else { return };
    let server = home.serve(&["echo", "https://127.0.0.1:0"], 1);
    let secure = server.client(0);
    let port = at.rsplit(':').next().unwrap();
    let via = |kind: &str| format!("{kind}://me:pass%20word@127.0.0.1:{}", proxy.port);
    let through = |variable: &str, kind: &str, words: &[&str]| {
        let mut command = home.hullo(&[&["request"], words].concat());
        run(command.env(variable, via(kind)).env_remove("no_proxy").env_remove("NO_PROXY"), "")
    };
    let headers =
        heard(through("http_proxy", "http", &[&format!("{at}/a?b"), "Authorization:mine"]))["headers"].clone();
    assert_eq!((&headers["via"], &headers["authorization"]), (&json!("1.1 test"), &json!("mine")), "{headers}");
    assert!(headers["proxy-authorization"].is_null(), "{headers}");
    assert_eq!(through("https_proxy", "http", &["--raw", "x", "POST", &secure]).text(), "x");
    assert_eq!(through("HTTPS_PROXY", "socks5", &["--raw", "x", "POST", &secure]).text(), "x");
    heard(through("all_proxy", "socks5h", &[&format!("http://far.example:{port}/")]));
    let said = proxy.program.heard("far.example");
    for line in
        [&format!("http GET {at}/a?b"), "http CONNECT 127.0.0.1:", "socks address 127.0.0.1", "socks name far.example"]
    {
        assert!(said.contains(line), "no {line} in {said}");
    }
    let refused = through("all_proxy", "socks5h", &["http://forbidden.example/"]);
    assert!(refused.code == 21 && refused.err.contains("its rules forbid it"), "{}", refused.err);
    // Around it, though it is named.
    let broken = |words: &[&str], except: &str| {
        let mut command = home.hullo(&[&["request"], words].concat());
        run(command.env("http_proxy", "http://127.0.0.1:1").env("no_proxy", except), "")
    };
    let ended = broken(&[&at], "");
    assert_eq!(ended.code, 11, "{}", ended.err);
    assert!(ended.err.contains("the proxy cannot be reached: cannot connect to http://127.0.0.1:1"), "{}", ended.err);
    assert!(ended.err.contains("it is named by the variable http_proxy;"), "{}", ended.err);
    let ended = broken(&["--proxy", "socks5://127.0.0.1:1", &at], "");
    assert!(ended.code == 11 && ended.err.contains("it is named by --proxy;"), "{}", ended.err);
    assert_eq!(broken(&["--no-proxy", &at], "").code, 0);
    assert_eq!(broken(&[&at], "example.org, 127.0.0.0/8").code, 0);
    // Without a name and password it is the proxy that refuses, and says why.
    let bare = format!("127.0.0.1:{}", proxy.port);
    let ended = home.run(&["request", "--proxy", &bare, &secure], "");
    assert!(ended.code == 21 && ended.err.contains("name and a password"), "{}", ended.err);
}

#[test]
fn what_fails_for_a_moment_is_tried_again_when_asked() {
    let home = Home::new();
    let Some((_gate, at)) = gate(&home) else { return };
    for (words, code) in [
        (&["--retry", "3", "/flaky/2/503"][..], 0),
        (&["--retry", "1", "/flaky/2/429"], 4),
        (&["/flaky/1/502"], 5),
        (&["--retry", "3", "/flaky/1/404"], 4),
        (&["--retry", "3", "POST", "/flaky/1/408"], 4),
        (&["--retry", "3", "--retry-all", "POST", "/flaky/1/504"], 0),
    ] {
        let (url, words) = words.split_last().unwrap();
        let ended = home.run(&[&["request", "--check-status"], words, &[&*format!("{at}{url}")]].concat(), "");
        assert_eq!(ended.code, code, "{words:?} {url}: {}", ended.err);
    }
    let nobody = format!("http://127.0.0.1:{}", common::free_port());
    let ended = home.run(&["--json", "request", "--retry", "2", &nobody], "");
    let again = ended.objects().iter().filter(|object| object["event"] == "again").count();
    assert_eq!((ended.code, again), (11, 2), "{}", ended.err);
}
