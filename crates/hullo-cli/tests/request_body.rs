#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! What `request` sends and shows: bodies of all kinds, codings, and the two ways of printing a request without sending it.

mod common;

use std::{
    fs::File,
    io::{Read, Write},
    net::TcpListener,
    process::Stdio,
    thread,
};

use common::{Ended, Home, Program, Python, noise, peer, read_until, run};
use serde_json::{Value, json};

/// Says as JSON what it was sent: the head as it came, and the body with its codings taken off by python.
const RECORDER: &str = r#"
import base64, gzip, json, socketserver, zlib, hashlib
class Recorder(socketserver.StreamRequestHandler):
    def handle(self):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline()
            if not line: return
            head += line
        lines = head.decode("latin1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
        body = b""
        if headers.get("transfer-encoding") == "chunked":
            while size := int(self.rfile.readline(), 16): body += self.rfile.read(size); self.rfile.readline()
            self.rfile.readline()
        else: body = self.rfile.read(int(headers.get("content-length", 0)))
        coding = headers.get("content-encoding")
        if coding == "gzip": body = gzip.decompress(body)
        if coding == "deflate": body = zlib.decompress(body)
        answer = json.dumps({"line": lines[0], "names": [line.split(":")[0] for line in lines[1:] if line], "headers": headers,
            "length": len(body), "sha": hashlib.sha256(body).hexdigest(), "body": body[:2000].decode("latin1")}).encode()
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
class Server(socketserver.ThreadingTCPServer): daemon_threads = True
server = Server(("127.0.0.1", 0), Recorder)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

fn recorder(home: &Home) -> Option<(Python, String)> {
    let server = home.python(RECORDER)?;
    let at = format!("http://127.0.0.1:{}/", server.port);
    Some((server, at))
}

#[track_caller]
fn heard(ended: Ended) -> Value {
    serde_json::from_slice(&ended.good()).unwrap()
}

#[test]
fn bodies_are_what_the_words_say() {
    let home = Home::new();
    let Some((_recorder, at)) = recorder(&home) else { return };
    home.file("page.html", "<p>");
    for (words, kind, body) in [
        (&["a[b][]:=1", "a[b][]:=2.50", "a[c]=x"][..], "application/json", r#"{"a":{"b":[1,2.50],"c":"x"}}"#),
        (&["[]:=1", "[]=x"], "application/json", r#"[1,"x"]"#),
        (&[r"a\[b=1"], "application/json", r#"{"a[b":"1"}"#),
        (&["@page.html"], "text/html", "<p>"),
        (&["@page.html", "Content-Type:text/x"], "text/x", "<p>"),
    ] {
        let heard = heard(home.run(&[&["request", &at], words].concat(), ""));
        assert_eq!((&heard["headers"]["content-type"], &heard["body"]), (&json!(kind), &json!(body)), "{words:?}");
        assert_eq!(heard["line"], "POST / HTTP/1.1", "{words:?}");
    }
    let parts = heard(home.run(&["request", "--multipart", &at, "a=1", "page@page.html;type=text/y"], ""));
    let body = parts["body"].as_str().unwrap();
    for part in
        ["name=\"a\"\r\n\r\n1\r\n", "name=\"page\"; filename=\"page.html\"\r\nContent-Type: text/y\r\n\r\n<p>\r\n"]
    {
        assert!(body.contains(part), "no {part:?} in {body}");
    }
    for words in [
        &["a[b=1"][..],
        &["a=1", "a[b]=2"],
        &["@page.html", "a=1"],
        &["--raw", "x", "a=1"],
        &["--raw", "x", "@page.html"],
    ] {
        assert_eq!(home.run(&[&["request", &at], words].concat(), "").code, 2, "{words:?}");
    }
}

#[test]
fn stdin_is_read_by_a_rule_and_not_by_chance() {
    let home = Home::new();
    let Some((_recorder, at)) = recorder(&home) else { return };
    // The words, what is on a pipe, the method and the body that are heard, and whether it is said that nobody reads it.
    for (words, input, line, body, unread) in [
        (&[&*at][..], "piped", "POST", "piped", false),
        (&[&at], "", "GET", "", false),
        (&["POST", &at], "piped", "POST", "piped", false),
        (&["PUT", &at], "", "PUT", "", false),
        (&["GET", &at], "", "GET", "", false),
        (&["DELETE", &at, "@-"], "piped", "DELETE", "piped", false),
        (&["--ignore-stdin", &at], "piped", "GET", "", false),
        (&["--ignore-stdin", "POST", &at], "piped", "POST", "", false),
        (&[&at, "a=1"], "", "POST", r#"{"a":"1"}"#, false),
    ] {
        let ended = home.run(&[&["request"], words].concat(), input);
        assert_eq!(ended.err.contains("is not sent"), unread, "{words:?}: {}", ended.err);
        let heard = heard(ended);
        let method = heard["line"].as_str().unwrap().split(' ').next().unwrap().to_owned();
        assert_eq!((&*method, &heard["body"]), (line, &json!(body)), "{words:?}");
    }
    // From a file there is no moment in which it might not have come.
    let file = home.file("input", "from a file");
    for (words, body, unread) in [
        (&[&*at][..], "from a file", false),
        (&["GET", &at], "", true),
        (&[&at, "a=1"], r#"{"a":"1"}"#, true),
        (&["--ignore-stdin", "GET", &at], "", false),
    ] {
        let mut command = home.hullo(&[&["request"], words].concat());
        let output = command.stdin(File::open(&file).unwrap()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let heard: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
        assert_eq!((&heard["body"], said.contains("is not sent")), (&json!(body), unread), "{words:?}: {said}");
    }
    let mut nobody = home.hullo(&["request", &at]);
    let output = nobody.stdin(Stdio::null()).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("GET / "), "{output:?}");
    // A pipe that says nothing and does not end is not waited for for ever.
    let silent = Program::start(&mut home.hullo(&["request", "--timeout", "300ms", &at]));
    let ended = silent.ended();
    assert!(ended.code == 13 && ended.err.contains("--ignore-stdin"), "{}", ended.err);
}

#[test]
fn bodies_of_any_size_are_streamed() {
    let home = Home::new();
    let Some((_recorder, at)) = recorder(&home) else { return };
    let bulk = noise(9_000_000);
    let file = home.file("bulk", &bulk);
    let sum =
        |heard: &Value| (heard["length"].clone(), heard["sha"].clone(), heard["headers"]["content-length"].clone());
    let whole = sum(&heard(home.run(&["request", &at, "@bulk"], "")));
    assert_eq!(whole.2, "9000000", "the length of a file is told");
    let piped = sum(&heard(home.run(&["request", "POST", &at], bulk.clone())));
    assert_eq!((&piped.0, &piped.1, &piped.2), (&whole.0, &whole.1, &Value::Null), "that of a long pipe is not");
    let mut command = home.hullo(&["request", &at]);
    let output = command.stdin(File::open(&file).unwrap()).output().unwrap();
    assert_eq!(sum(&serde_json::from_slice(&output.stdout).unwrap()), whole);
    // More than is held, and not so much that a compressor without optimizations takes seconds.
    home.file("some", &bulk[..1_500_000]);
    let some = heard(home.run(&["request", &at, "@some"], ""))["sha"].clone();
    for coding in ["deflate", "gzip"] {
        for body in ["@some", "a=1"] {
            let heard = heard(home.run(&["request", &format!("--compress={coding}"), &at, body], ""));
            assert_eq!(heard["headers"]["content-encoding"], coding);
            let right = if body == "@some" { heard["sha"] == some } else { heard["body"] == r#"{"a":"1"}"# };
            assert!(right, "{coding} {body}: {heard}");
        }
    }
    if let Some(zstd) = peer("zstd") {
        let heard = heard(home.run(&["request", "--compress=zstd", &at, "a=1"], ""));
        let body: Vec<u8> = heard["body"].as_str().unwrap().chars().map(|c| c as u8).collect();
        assert_eq!(run(home.command(zstd).arg("-dc"), body).text(), r#"{"a":"1"}"#);
    }
    // In chunks it leaves as it comes, before stdin ends.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut program = Program::start(&mut home.hullo(&["request", "--chunked", "POST", &url]));
    let (mut stream, _) = listener.accept().unwrap();
    assert!(read_until(&mut stream, "\r\n\r\n").unwrap().contains("Transfer-Encoding: chunked"));
    for word in ["one", "two"] {
        program.say(word);
        assert_eq!(read_until(&mut stream, &format!("{word}\r\n")).unwrap(), format!("3\r\n{word}\r\n"));
    }
    program.hang_up();
    read_until(&mut stream, "0\r\n\r\n").unwrap();
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").unwrap();
    assert_eq!(program.ended().text(), "done");
    // What can be sent only once is not sent to the place of a redirect.
    let ended = home.run(&["request", "-F", "POST", &redirecting()], bulk);
    assert!(ended.code == 2 && ended.err.contains("only once"), "{} {}", ended.code, ended.err);
}

/// A server that sends everybody elsewhere.
fn redirecting() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = read_until(&mut stream, "\r\n\r\n");
        let _ = stream.write_all(b"HTTP/1.1 307 Elsewhere\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    at
}

#[test]
fn what_is_printed_offline_is_what_is_sent() {
    let home = Home::new();
    home.file("bulk", "of a file");
    for words in [
        &["GET", "q==1 2", "x-Odd:1", "Accept:"][..],
        &["POST", "a[b]=1"],
        &["DELETE"],
        &["POST"],
        &["--form", "PUT", "a=1"],
        &["-x", "POST", "@bulk"],
        &["--http", "1.1", "--raw", "", "POST"],
        &["--raw", "text", "PATCH", "Authorization:Basic x", "--show-secrets"],
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/path", listener.local_addr().unwrap());
        let at =
            words.iter().rposition(|word| word.bytes().all(|c| c.is_ascii_uppercase()) && !word.is_empty()).unwrap()
                + 1;
        let words = [&["request"], &words[..at], &[&*url], &words[at..]].concat();
        let sent = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut sent = read_until(&mut stream, "\r\n\r\n").unwrap();
            let length = sent
                .split("Content-Length: ")
                .nth(1)
                .map_or(0, |rest| rest.split('\r').next().unwrap().parse().unwrap());
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            sent.extend(body.iter().map(|byte| char::from(*byte)));
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
            sent
        });
        home.run(&words, "").good();
        let printed = home.run(&[&words[..], &["--offline"]].concat(), "").good();
        let printed: String = printed.iter().map(|byte| char::from(*byte)).collect();
        assert_eq!(printed, sent.join().unwrap(), "{words:?}");
    }
    let hidden = home.run(&["request", "--offline", "http://h/", "Authorization:hidden", "Cookie:hidden"], "").text();
    assert!(!hidden.contains("hidden") && hidden.contains("Authorization: (not shown)"), "{hidden}");
}

#[test]
fn curl_sends_the_same() {
    if peer("curl").is_none() {
        return;
    }
    let home = Home::new();
    let Some((_recorder, at)) = recorder(&home) else { return };
    home.file("it's \"odd\".txt", "a file");
    for words in [
        &["GET", &*at, "q==it's $HOME `id`"][..],
        &[&at, "name=it's \"quoted\" \\ $(id)", "a[b]:=[1,null]", "X-Odd:$HOME 'x'", "Empty;", "User-Agent:"],
        &["--form", "PUT", &at, "a=1&2", "b= ü\n"],
        &["HEAD", &at],
        &["DELETE", &at, "Accept:"],
        &["--raw", "@no-file", "PATCH", &at],
        &["POST", &at],
        &["POST", &at, "@it's \"odd\".txt"],
        &["--http", "1.1", "--auth-file", "pair", "--show-secrets", &at],
    ] {
        home.file("pair", "ada:se:cret");
        let ours = home.run(&[&["request"], words].concat(), "");
        let line = home.run(&[&["request", "--curl"], words].concat(), "").text();
        let theirs = run(home.command("sh").args(["-c", &line.replacen("curl", "curl -s", 1)]), "");
        if words[0] == "HEAD" {
            assert_eq!((ours.code, theirs.code), (0, 0), "{line}");
            continue;
        }
        let sorted = |ended: Ended| {
            let mut heard = heard(ended);
            let names = heard["names"].as_array_mut().unwrap();
            names.sort_by_key(Value::to_string);
            heard
        };
        assert_eq!(sorted(theirs), sorted(ours), "{line}");
    }
    // A form has another boundary, and the same parts.
    let words = ["--multipart", &at, "text=a;b=\"c\"", "file@it's \"odd\".txt;type=text/x"];
    let line = home.run(&[&["request", "--curl"], &words[..]].concat(), "").text();
    let body = |ended: Ended| {
        let body = heard(ended)["body"].as_str().unwrap().to_owned();
        let boundary = body.split("\r\n").next().unwrap().to_owned();
        body.replace(&boundary, "--").replace("%22", "\"").replace("\\\"", "\"")
    };
    let theirs = run(home.command("sh").args(["-c", &line.replacen("curl", "curl -s", 1)]), "");
    assert_eq!(body(theirs), body(home.run(&[&["request"], &words[..]].concat(), "")), "{line}");
    let hidden = home.run(&["request", "--curl", &at, "Authorization:Bearer hidden"], "").text();
    assert!(hidden.contains("<secret>") && !hidden.contains("hidden"), "{hidden}");
}

#[test]
fn codings_are_taken_off_as_they_come() {
    let Some(_) = peer("python3") else { return };
    let home = Home::new();
    let server = home.python(
        r#"
import gzip, http.server, sys, zlib
text = b"hullo " * 50000
raw = zlib.compressobj(wbits=-15)
BODIES = {
    "gzip": gzip.compress(text), "members": gzip.compress(text[:1000]) + gzip.compress(text[1000:]),
    "deflate": zlib.compress(text), "raw": raw.compress(text) + raw.flush(), "br": bytes.fromhex("0b028068656c6c6f03"),
    "twice": gzip.compress(zlib.compress(text)), "cut": gzip.compress(text)[:-20], "lie": b"plain",
}
CODINGS = {"members": "gzip", "raw": "deflate", "twice": "deflate, gzip", "cut": "gzip", "lie": "gzip"}
class Coder(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_GET(self):
        name = self.path[1:]
        self.send_response(200); self.send_header("Content-Encoding", CODINGS.get(name, name))
        self.send_header("X-Asked", self.headers.get("Accept-Encoding", "nothing"))
        self.send_header("Content-Length", len(BODIES[name])); self.end_headers(); self.wfile.write(BODIES[name])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Coder)
print(server.server_port, flush=True)
server.serve_forever()
"#,
    );
    let server = server.unwrap();
    let text = "hullo ".repeat(50_000);
    let get = |words: &[&str], name: &str| {
        let url = format!("http://127.0.0.1:{}/{name}", server.port);
        home.run(&[&["request"], words, &[&*url]].concat(), "")
    };
    for name in ["gzip", "members", "deflate", "raw", "twice"] {
        let back = get(&[], name).text();
        assert!(back == text, "{name}: {} bytes", back.len());
    }
    assert_eq!(get(&[], "br").text(), "hello");
    let left = get(&["--no-decode"], "gzip").good();
    assert!(left.starts_with(b"\x1f\x8b"), "as it is: {:?}", &left[..10]);
    for (words, asked) in [(&[][..], "gzip, deflate, br, zstd"), (&["--no-decode"], "nothing")] {
        let head = get(&[words, &["--headers"]].concat(), "gzip").text();
        assert!(head.contains(&format!("x-asked: {asked}\n")), "{head}");
    }
    for (name, code) in [("cut", 15), ("lie", 16)] {
        let ended = get(&[], name);
        assert_eq!(ended.code, code, "{name}: {}", ended.err);
        assert!(ended.err.contains("gzip"), "{}", ended.err);
    }
}

#[test]
fn the_parts_that_are_asked_for_are_printed() {
    let home = Home::new();
    let server = home.serve(&["echo", "http://:0"], 1);
    let url = &server.at[0];
    let print = |words: &[&str]| home.run(&[&["request", "--raw", "said", "POST", url], words].concat(), "");
    let all = print(&["--print", "HBhb"]).text();
    let mut rest = &*all;
    for part in ["POST / HTTP/1.1\n", "content-length: 4\n", "\nsaid\nHTTP/1.1 200 OK\n", "\n\nsaid"] {
        rest = rest.split_once(part).unwrap_or_else(|| panic!("no {part:?} in {rest:?} of {all}")).1;
    }
    assert_eq!(print(&["--body"]).text(), "said");
    let head = print(&["--headers"]).text();
    assert!(head.starts_with("HTTP/1.1 200 OK\n") && !head.contains("said"), "{head}");
    let meta = print(&["--meta"]).text();
    assert!(
        meta.contains("status: 200\n") && meta.contains("bytes: 4\n") && meta.contains("remote: 127.0.0.1:"),
        "{meta}"
    );
    let mixed = print(&["--print", "bm"]).text();
    assert!(mixed.starts_with("said\nexchanges: 1\n"), "{mixed}");
    assert_eq!(print(&["--print", "Q"]).code, 2);
    let timed = print(&["--timing"]);
    for step in ["connect ", "waiting ", "download ", "total "] {
        assert!(timed.err.contains(step), "no {step} in {}", timed.err);
    }
    let timed = home.run(&["--json", "request", "--timing", url], "");
    let object = timed.objects().into_iter().find(|object| object["event"] == "timing").unwrap();
    for number in ["connect_ms", "waiting_ms", "download_ms", "total_ms", "status", "bytes"] {
        assert!(object[number].is_number(), "no {number} in {object}");
    }
}

#[test]
fn a_method_without_a_url_is_a_mistake() {
    let home = Home::new();
    for word in ["GET", "post", "DELETE"] {
        let ended = home.run(&["request", word], "");
        assert!(ended.code == 2 && ended.err.contains("no URL"), "{word}: {}", ended.err);
    }
}
