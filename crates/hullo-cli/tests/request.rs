#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! `request`: the items of HTTPie against our echo, and against a recorder that says what it was sent.

mod common;

use common::{Ended, Home, Python, Server, noise};
use serde_json::{Value, json};

/// Says what it was sent, as JSON. Its paths do more: redirect, answer a status, cut a body short, stream in chunks.
const RECORDER: &str = r#"
import http.server, json, sys, time
class Recorder(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size); self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))
    def answer(self, status, body, **headers):
        self.send_response(status)
        self.send_header("Content-Length", headers.pop("length", len(body)))
        for name, value in headers.items(): self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD": self.wfile.write(body)
    def handle_any(self):
        body = self.body()
        path, _, query = self.path.partition("?")
        step = path.strip("/").split("/")
        if step[0] == "status": return self.answer(int(step[1]), b"that\n")
        if step[0] == "to": return self.answer(int(step[1]), b"moved\n", Location=query)
        if step[0] == "cut":
            self.answer(200, b"only this", length=1000)
            self.close_connection = True
            return
        if step[0] == "slow": time.sleep(30)
        if step[0] == "chunks":
            self.send_response(200); self.send_header("Transfer-Encoding", "chunked"); self.end_headers()
            for _ in range(3): self.wfile.write(b"5\r\nchunk\r\n"); self.wfile.flush()
            if step[-1] == "cut": self.close_connection = True; return
            return self.wfile.write(b"0\r\n\r\n")
        heard = {"method": self.command, "path": self.path, "body": body.decode("latin1"), "headers": {}}
        for name, value in self.headers.items(): heard["headers"][name.lower()] = value
        self.answer(200, json.dumps(heard).encode())
    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = handle_any
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
server.daemon_threads = True
print(server.server_port)
server.serve_forever()
"#;

fn recorder(home: &Home) -> Option<(Python, String)> {
    let server = home.python(RECORDER)?;
    let at = format!("http://127.0.0.1:{}", server.port);
    Some((server, at))
}

fn echo(home: &Home) -> Server {
    home.serve(&["echo", "http://:0", "https://:0"], 2)
}

/// What the recorder heard.
#[track_caller]
fn heard(ended: Ended) -> Value {
    serde_json::from_slice(&ended.good()).unwrap()
}

#[test]
fn items_become_what_they_say() {
    let home = Home::new();
    let Some((_recorder, at)) = recorder(&home) else { return };
    let at = &*at;
    home.file("text.txt", "from a file");
    home.file("data.json", "{\"deep\": [1]}");
    let form = "application/x-www-form-urlencoded; charset=utf-8";
    let json_type = "application/json";
    // The words, the request line, the type of the body, the body.
    let table: &[(&[&str], &str, &str, &str)] = &[
        (&[at], "GET /", "", ""),
        (&["DELETE", at], "DELETE /", "", ""),
        (&["OPTIONS", at], "OPTIONS /", "", ""),
        (&[&format!("{at}/a?x=1"), "q==a b&c", "é==ü"], "GET /a?x=1&q=a+b%26c&%C3%A9=%C3%BC", "", ""),
        (
            &[at, "name=Ada", "age:=36", "tags:=[\"a\",null]"],
            "POST /",
            json_type,
            r#"{"name":"Ada","age":36,"tags":["a",null]}"#,
        ),
        (&["PUT", at, "name=Ada"], "PUT /", json_type, r#"{"name":"Ada"}"#),
        (&["--form", at, "name=Ada Lovelace", "x=a&b"], "POST /", form, "name=Ada+Lovelace&x=a%26b"),
        (
            &[at, "text=@text.txt", "data:=@data.json"],
            "POST /",
            json_type,
            r#"{"text":"from a file","data":{"deep":[1]}}"#,
        ),
        (&["--raw", "just this", at, "Content-Type:text/x"], "POST /", "text/x", "just this"),
        (&["--raw", "{}", "PATCH", at], "PATCH /", json_type, "{}"),
        (&[at, r"a\:b=c"], "POST /", json_type, r#"{"a:b":"c"}"#),
    ];
    for (words, line, kind, body) in table {
        let heard = heard(home.run(&[&["request"], *words].concat(), ""));
        let said = format!("{} {}", heard["method"].as_str().unwrap(), heard["path"].as_str().unwrap());
        assert_eq!(said, *line, "{words:?}");
        assert_eq!(heard["headers"]["content-type"].as_str().unwrap_or_default(), *kind, "{words:?}: {heard}");
        assert_eq!(heard["body"], *body, "{words:?}");
    }
}

#[test]
fn headers_are_set_emptied_and_removed() {
    let home = Home::new();
    let Some((_recorder, at)) = recorder(&home) else { return };
    let words = ["request", &at, "X-Token:a:b=c", "Empty;", "User-Agent:me", "Host:other.example"];
    let headers = heard(home.run(&words, ""))["headers"].clone();
    for (name, value) in [("x-token", "a:b=c"), ("empty", ""), ("user-agent", "me"), ("host", "other.example")] {
        assert_eq!(headers[name], value, "{headers}");
    }
    let headers = heard(home.run(&["request", &at], ""))["headers"].clone();
    assert_eq!((&headers["accept"], &headers["host"]), (&json!("*/*"), &json!(at[7..])), "{headers}");
    assert!(headers["user-agent"].as_str().unwrap().starts_with("hullo/"), "{headers}");
    let headers = heard(home.run(&["request", &at, "Accept:", "User-Agent:"], ""))["headers"].clone();
    assert!(headers["accept"].is_null() && headers["user-agent"].is_null(), "removed means not sent: {headers}");
}

#[test]
fn files_are_uploaded_whole() {
    let home = Home::new();
    let Some((_recorder, at)) = recorder(&home) else { return };
    let photo = noise(100_000);
    home.file("me.jpg", &photo);
    let heard = heard(home.run(&["request", "--form", &at, "name=Ada", "photo@me.jpg"], ""));
    let kind = heard["headers"]["content-type"].as_str().unwrap();
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap_or_else(|| panic!("{kind}"));
    let body = heard["body"].as_str().unwrap();
    let text: String = photo.iter().map(|byte| char::from(*byte)).collect();
    let wanted = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nAda\r\n--{boundary}\r\nContent-Disposition: form-data; \
         name=\"photo\"; filename=\"me.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n{text}\r\n--{boundary}--\r\n"
    );
    assert!(body == wanted, "{}", body.chars().take(300).collect::<String>());
    let missing = home.run(&["request", &at, "photo@missing.jpg"], "");
    assert_eq!(missing.code, 19, "{}", missing.err);
    assert!(missing.err.contains("missing.jpg"), "{}", missing.err);
}

#[test]
fn stdin_is_the_body_of_a_method_that_has_one() {
    let home = Home::new();
    let Some((_recorder, at)) = recorder(&home) else { return };
    for (words, body) in [
        (&["POST", &*at][..], "from a pipe"),
        (&["PUT", &at], "from a pipe"),
        (&[&at], "from a pipe"),
        (&["GET", &at], ""),
    ] {
        let heard = heard(home.run(&[&["request"], words].concat(), "from a pipe"));
        assert_eq!(heard["body"], body, "{words:?}");
    }
    let server = echo(&home);
    let bulk = noise(3_000_000);
    for at in 0..2 {
        let back = home.run(&["request", "POST", &server.client(at)], bulk.clone()).good();
        assert!(back == bulk, "{}: {} bytes", server.at[at], back.len());
    }
}

#[test]
fn redirects_are_followed_when_asked() {
    let home = Home::new();
    let (Some((_one, at)), Some((_two, other))) = (recorder(&home), recorder(&home)) else { return };
    let to = |status: u16, target: &str| format!("{at}/to/{status}?{target}");
    assert_eq!(home.run(&["request", &to(302, "/there")], "").text(), "moved\n");
    for (status, method, body) in
        [(301, "GET", ""), (302, "GET", ""), (303, "GET", ""), (307, "POST", "said"), (308, "POST", "said")]
    {
        let heard = heard(home.run(&["request", "-F", "--raw", "said", "POST", &to(status, "/there")], ""));
        assert_eq!(
            (&heard["method"], &heard["path"], &heard["body"]),
            (&json!(method), &json!("/there"), &json!(body)),
            "{status}"
        );
    }
    let words = ["Authorization:Bearer secret", "Cookie:secret", "X-Kept:yes"];
    for (target, secret) in [("/there", true), (&*format!("{other}/there"), false)] {
        let url = to(302, target);
        let headers = heard(home.run(&[&["request", "-F", &url][..], &words].concat(), ""))["headers"].clone();
        assert_eq!(
            (headers["authorization"].is_string(), headers["cookie"].is_string()),
            (secret, secret),
            "{target}: {headers}"
        );
        assert_eq!(headers["x-kept"], "yes");
    }
    let round = to(302, "/to/302?/to/302");
    let ended = home.run(&["request", "-F", "--max-redirects", "1", &round], "");
    assert_eq!(ended.code, 16, "{}", ended.err);
    assert!(ended.err.contains("more than 1"), "{}", ended.err);
    let ended = home.run(&["request", "-F", &to(302, "gopher://elsewhere/")], "");
    assert_ne!(ended.code, 0, "{}", ended.err);
}

#[test]
fn check_status_is_the_exit_status() {
    let home = Home::new();
    let Some((_recorder, at)) = recorder(&home) else { return };
    for (status, code) in [(200, 0), (304, 3), (302, 3), (404, 4), (503, 5)] {
        let url = format!("{at}/status/{status}");
        let ended = home.run(&["request", "--check-status", &url], "");
        assert_eq!(ended.code, code, "{}", ended.err);
        assert_eq!(ended.err.contains(&status.to_string()), code != 0, "{}", ended.err);
        assert_eq!(home.run(&["request", &url], "").code, 0);
        assert_eq!(home.run(&["request", "HEAD", &url], "").text(), "");
    }
}

#[test]
fn bodies_go_to_files() {
    let home = Home::new();
    let Some((_recorder, at)) = recorder(&home) else { return };
    let server = echo(&home);
    let bulk = noise(3_000_000);
    let saved = home.run(&["request", "-o", "back", "POST", &server.at[0]], bulk.clone());
    assert_eq!(saved.out, b"", "a body that goes to a file is not on stdout");
    assert!(saved.err.contains("3000000 bytes written to back"), "{}", saved.err);
    assert!(home.read("back") == bulk);
    for (path, name) in [
        ("/a/plain.txt", "plain.txt"),
        ("/", "index.html"),
        ("/..%2F..%2Fetc", "etc"),
        ("/two%20words.txt", "two_words.txt"),
        ("/.profile", "profile"),
        ("/x/..", "index.html"),
    ] {
        let ended = home.run(&["request", "-d", &format!("{at}{path}")], "");
        assert!(ended.code == 0 && std::path::Path::new(&home.path(name)).is_file(), "{path}: {}", ended.err);
    }
}

#[test]
fn what_was_cut_off_is_an_error() {
    let home = Home::new();
    let Some((_recorder, at)) = recorder(&home) else { return };
    for (path, said) in [("/cut", "only this"), ("/chunks/cut", "chunkchunkchunk")] {
        let url = format!("{at}{path}");
        let ended = home.run(&["request", &url], "");
        assert_eq!((ended.code, &*ended.out), (15, said.as_bytes()), "{path}: {}", ended.err);
        assert!(ended.err.contains(&url), "{}", ended.err);
        let ended = home.run(&["request", "-o", "part", &url], "");
        assert_eq!((ended.code, home.read("part.part")), (15, said.as_bytes().to_vec()), "{path}: {}", ended.err);
    }
    assert_eq!(home.run(&["request", &format!("{at}/chunks")], "").text(), "chunkchunkchunk");
    let ended = home.run(&["request", "--timeout", "300ms", &format!("{at}/slow")], "");
    assert_eq!(ended.code, 13, "{}", ended.err);
    assert!(ended.took.as_secs() < 5 && ended.err.contains("hint:"), "{:?} {}", ended.took, ended.err);
}

#[test]
fn the_heads_are_shown_and_secrets_are_not() {
    let home = Home::new();
    let server = echo(&home);
    let secrets = ["Authorization:Bearer hidden", "Cookie:hidden", "X-Seen:yes"];
    for (at, version) in [(0, "HTTP/1.1"), (1, "HTTP/2")] {
        let url = server.client(at);
        let ended = home.run(&[&["request", "-v", &url][..], &secrets].concat(), "");
        assert_eq!((ended.code, &*ended.out), (0, &b"hullo\n"[..]), "{}", ended.err);
        for part in [
            "> GET /",
            "> x-seen: yes",
            "> authorization: (not shown)",
            &format!("< {version}"),
            "200 OK",
            "< content-type: text/plain",
        ] {
            assert!(ended.err.contains(part), "no {part} in {}", ended.err);
        }
        assert!(!ended.err.contains("hidden"), "{}", ended.err);
        let ended = home.run(&[&["--json", "request", "-v", &url][..], &secrets].concat(), "");
        let events: Vec<_> =
            ended.objects().iter().map(|object| object["event"].as_str().unwrap().to_owned()).collect();
        assert!(
            ["request", "response", "connected"].iter().all(|event| events.iter().any(|had| had == event)),
            "{events:?}"
        );
        assert!(!ended.err.contains("hidden"), "with --json too: {}", ended.err);
    }
}

#[test]
fn a_program_that_fails_and_says_nothing_is_a_bad_gateway() {
    let home = Home::new();
    let server = home.serve(&["exec", "http://:0", "--", "sh", "-c", "exit 3"], 1);
    let ended = home.run(&["request", "--check-status", &server.client(0)], "");
    assert_eq!(ended.code, 5, "{}", ended.err);
    assert!(String::from_utf8_lossy(&ended.out).contains("exit status: 3"), "{:?}", ended.out);
}
