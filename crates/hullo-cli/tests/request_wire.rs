#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! `request` against servers that say on the wire what no good server says, or say it late.

mod common;

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, channel},
    },
    thread,
};

use common::{Ended, Home, Program, Server, at_once, eventually, noise, peer, read_until};
use rustix::process::Signal;

/// A server of the test's own: what it does with each connection. It ends with the test.
fn server(talk: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let talk = talk.clone();
            thread::spawn(move || talk(stream.unwrap()));
        }
    });
    at
}

/// A server that reads a head and says this, whole; then it ends, or waits for ever.
fn saying(reply: impl Into<Vec<u8>>, ends: bool) -> String {
    let reply = reply.into();
    server(move |mut stream| {
        let _ = read_until(&mut stream, "\r\n\r\n");
        let _ = stream.write_all(&reply);
        if ends {
            let _ = stream.shutdown(Shutdown::Write);
        }
        let _ = stream.read_to_end(&mut Vec::new());
    })
}

/// A server that tells what it was sent, up to an empty line, and says that all is well.
fn listening() -> (String, Receiver<String>) {
    let (sender, heard) = channel();
    let at = server(move |mut stream| {
        sender.send(read_until(&mut stream, "\r\n\r\n").unwrap()).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    (at, heard)
}

fn request(home: &Home, words: &[&str]) -> Ended {
    home.run(&[&["request"], words].concat(), "")
}

#[test]
fn replies_are_taken_as_browsers_take_them_or_refused_cleanly() {
    let head = "HTTP/1.1 200 OK\r\n";
    let many: String = (0..900).map(|at| format!("X-{at}: {at}\r\n")).collect();
    let long = format!("X-Long: {}\r\n", "x".repeat(200_000));
    let endless = format!("X-Long: {}\r\n", "x".repeat(2_000_000));
    // The reply, the exit status, and what is on stdout.
    let cases: &[(String, i32, &str)] = &[
        (format!("{head}Server: a\r\n folded\r\nContent-Length: 2\r\n\r\nok"), 0, "ok"),
        (format!("{head}\r\nuntil the end"), 0, "until the end"),
        (format!("{head}{many}Content-Length: 2\r\n\r\nok"), 0, "ok"),
        (format!("{head}{long}Content-Length: 2\r\n\r\nok"), 0, "ok"),
        (format!("{head}{endless}Content-Length: 2\r\n\r\nok"), 16, ""),
        ("HTTP/1.0 200\r\n\r\nold".to_owned(), 0, "old"),
        (
            format!(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{head}Content-Length: 2\r\n\r\nok"
            ),
            0,
            "ok",
        ),
        (format!("{head}Content-Length: 2\r\nContent-Length: 2\r\n\r\nok"), 0, "ok"),
        (format!("{head}Content-Length: 2\r\nContent-Length: 3\r\n\r\nok"), 16, ""),
        (format!("{head}Content-Length: 36893488147419103232\r\n\r\nok"), 16, ""),
        (format!("{head}Content-Length: 20\r\n\r\nnot all"), 15, "not all"),
        (format!("{head}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nTrailer: x\r\n\r\n"), 0, "ok"),
        (format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n"), 15, ""),
        (format!("{head}Transfer-Encoding: gzip, gzip, gzip, gzip, gzip, gzip\r\n\r\nok"), 16, ""),
        (format!("{head}Transfer-Encoding: gzip\r\n\r\nno gzip"), 16, ""),
        (format!("{head}Content-Encoding: gzip\r\nContent-Length: 0\r\n\r\n"), 0, ""),
        (format!("{head}Content-Encoding: none\r\nContent-Length: 2\r\n\r\nok"), 0, "ok"),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n".to_owned(), 0, ""),
        ("HTTP/1.1 101 Switching\r\n\r\nanother protocol".to_owned(), 0, "another protocol"),
        ("HTTP/1.1 101 Switching\r\n\r\n".to_owned(), 16, ""),
        ("HTTP/1.1 200".to_owned(), 15, ""),
        ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), 16, ""),
        ("HTTP/2.0 200 OK\r\n\r\n".to_owned(), 16, ""),
        (String::new(), 15, ""),
    ];
    let home = Home::new();
    at_once(cases, |(reply, code, out)| {
        let at = saying(reply.as_bytes(), true);
        let ended = request(&home, &[&at]);
        let shown = reply.chars().take(90).collect::<String>();
        assert_eq!((ended.code, &*String::from_utf8_lossy(&ended.out)), (*code, *out), "{shown:?}: {}", ended.err);
        assert!(*code == 0 || ended.err.contains(&at) || ended.err.contains("switched"), "{shown:?}: {}", ended.err);
    });
}

#[test]
fn what_comes_to_a_halt_is_out_of_time() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
    let home = Home::new();
    at_once(&["", "HTTP/1.1 200 OK\r\nServ", head, "HTTP/1.1 200 OK\r\n\r\nhalf"], |said| {
        let ended = request(&home, &["--timeout", "300ms", &saying(*said, false)]);
        assert_eq!(ended.code, 13, "{said:?}: {}", ended.err);
        assert!(ended.took.as_secs() < 5, "{said:?}: {:?}", ended.took);
    });
    let halting = home.serve(&["exec", "http://:0", "--", "sh", "-c", "echo some; exec sleep 100"], 1);
    let ended = request(&home, &["--http", "2", "--timeout", "1500ms", &halting.at[0]]);
    assert_eq!((ended.code, &*ended.out), (13, &b"some\n"[..]), "{}", ended.err);
    // What trickles does not come to a halt; it is out of time all the same, where there is a time for all of it.
    let trickle = server(|mut stream| {
        let _ = read_until(&mut stream, "\r\n\r\n");
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(b".").is_ok() {
            thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    let ended = request(&home, &["--max-time", "1500ms", &trickle]);
    assert_eq!(ended.code, 13, "{}", ended.err);
    assert!(ended.out.starts_with(b".."), "what came is shown: {:?}", ended.out);
}

#[test]
fn events_are_shown_on_a_terminal_as_they_come() {
    let Some(script) = peer("script") else { return };
    let home = Home::new();
    let (seen, wait) = channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let at = server(move |mut stream| {
        let _ = read_until(&mut stream, "\r\n\r\n");
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: one \xc3");
        wait.lock().unwrap().recv().unwrap();
        let _ = stream.write_all(b"\xa9\x1b[31m\n\ndata: two\n\n");
    });
    let line = format!("{} request {at}", env!("CARGO_BIN_EXE_hullo"));
    let program = Program::start(home.command(script).args(["-qec", &line, "/dev/null"]));
    program.heard("data: one ");
    seen.send(()).unwrap();
    let all = program.heard("data: two");
    assert!(all.contains("one é\\u{1b}[31m"), "a character may be cut, and none steers the terminal: {all:?}");
    assert_eq!(program.ended().code, 0);
}

/// What a terminal shows, which is stdout and stderr.
fn on_terminal(home: &Home, words: &str) -> Option<String> {
    let line = format!("{} request {words}", env!("CARGO_BIN_EXE_hullo"));
    let ended = Program::start(home.command(peer("script")?).args(["-qec", &line, "/dev/null"])).ended();
    Some(String::from_utf8(ended.out).unwrap().replace("\r\n", "\n"))
}

#[test]
fn a_terminal_shows_the_status_of_what_has_no_body() {
    let home = Home::new();
    let at = saying("HTTP/1.1 404 Nowhere\r\nContent-Length: 0\r\nX-Note: here\r\n\r\n", true);
    let ended = request(&home, &[&at]);
    assert_eq!((&*ended.out, &*ended.err), (&b""[..], ""), "in a pipe there is nothing to say");
    let Some(shown) = on_terminal(&home, &at) else { return };
    assert_eq!(shown, "404 Nowhere\n");
    let shown = on_terminal(&home, &format!("--print h {at}")).unwrap();
    assert_eq!(shown.matches("404").count(), 1, "{shown}");
    let shown = on_terminal(&home, &format!("HEAD {at}")).unwrap();
    assert!(shown.starts_with("404 Nowhere\n") && shown.contains("x-note") && shown.contains(": here\n"), "{shown}");
    let full = saying("HTTP/1.1 404 Nowhere\r\nContent-Length: 2\r\n\r\nno", true);
    assert_eq!(on_terminal(&home, &full).unwrap(), "no\n");
}

#[test]
fn an_error_begins_a_line_of_its_own_on_a_terminal() {
    let home = Home::new();
    let at = saying("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 99\r\n\r\ndata: one", true);
    let Some(shown) = on_terminal(&home, &at) else { return };
    let mut lines = shown.lines();
    assert_eq!(lines.next(), Some("data: one"), "{shown}");
    assert!(lines.next().unwrap().contains("hullo:"), "{shown}");
}

#[test]
fn a_download_that_is_interrupted_says_how_to_go_on() {
    let home = Home::new();
    let at = saying("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n0123456789", false);
    let named = saying(
        "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nContent-Disposition: attachment; filename=theirs\r\n\r\n0123456789",
        false,
    );
    for (words, name, how) in [
        (&[&*format!("{at}/bulk"), "-d"][..], "bulk.part", "-c\n"),
        (&[&*at, "-o", "mine"], "mine.part", "-c\n"),
        (&[&*format!("{named}/bulk"), "-d"], "theirs.part", "-c -o theirs\n"),
    ] {
        let program = Program::start(&mut home.hullo(&[&["request", "GET"], words].concat()));
        eventually(name, || std::fs::metadata(home.path(name)).is_ok_and(|file| file.len() == 10));
        program.signal(Signal::INT);
        let ended = program.ended();
        assert_eq!(ended.code, 130, "{}", ended.err);
        assert!(ended.err.ends_with(&format!("{name} has 10 bytes: go on with {how}")), "{}", ended.err);
    }
}

#[test]
fn interim_responses_are_told() {
    let home = Home::new();
    let at = saying(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 Fine\r\nContent-Length: 2\r\n\r\nok",
        true,
    );
    let ended = request(&home, &["-v", &at]);
    for part in ["< 103 Early Hints", "< link: </a.css>", "< HTTP/1.1 200 Fine"] {
        assert!(ended.err.contains(part), "no {part} in {}", ended.err);
    }
}

#[test]
fn an_answer_is_heard_though_the_upload_is_refused() {
    let home = Home::new();
    let at = server(|mut stream| {
        let _ = read_until(&mut stream, "\r\n\r\n");
        let _ = stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large");
        // With most of the body unread, this is a reset.
    });
    home.file("bulk", noise(20_000_000));
    for _ in 0..5 {
        let ended = request(&home, &["--check-status", "POST", &at, "@bulk"]);
        assert_eq!((ended.code, &*ended.out), (4, &b"too large"[..]), "{}", ended.err);
    }
    // Where it goes without a word, that is said.
    let at = server(|mut stream| drop(read_until(&mut stream, "\r\n\r\n")));
    let ended = request(&home, &["POST", &at, "@bulk"]);
    assert_eq!(ended.code, 15, "{}", ended.err);
}

#[test]
fn names_of_headers_are_sent_as_they_are_typed() {
    let home = Home::new();
    let (at, heard) = listening();
    request(&home, &[&at, "x-small:1", "X-SHOUT:2", "X-CamelCase:3", "SOAPAction;"]).good();
    let head = heard.recv().unwrap();
    for line in ["\r\nx-small: 1\r\n", "\r\nX-SHOUT: 2\r\n", "\r\nX-CamelCase: 3\r\n", "\r\nSOAPAction: \r\n"] {
        assert!(head.contains(line), "no {line:?} in {head}");
    }
    assert!(head.contains("\r\nUser-Agent: hullo/"), "ours are written as most write them: {head}");
    assert!(head.starts_with("GET / HTTP/1.1\r\nHost: "), "{head}");
}

#[test]
fn a_length_that_is_not_the_bodys_is_refused() {
    let home = Home::new();
    let (at, heard) = listening();
    for length in ["3", "300", "x"] {
        let ended = request(&home, &["--raw", "hello", "POST", &at, &format!("Content-Length:{length}")]);
        assert_eq!(ended.code, 2, "{length}: {}", ended.err);
    }
    request(&home, &["--raw", "hello", "POST", &at, "Content-Length:5"]).good();
    assert!(heard.recv().unwrap().contains("\r\nContent-Length: 5\r\n"));
}

#[test]
fn the_version_is_the_one_that_is_asked_for() {
    let home = Home::new();
    let server = home.serve(&["echo", "http://:0", "https://:0"], 2);
    for (at, words, version) in [
        (0, &["--http", "1.1"][..], "< HTTP/1.1 200"),
        (0, &["--http", "2"], "< HTTP/2 200"),
        (1, &[], "< HTTP/2 200"),
        (1, &["--http", "1.1"], "< HTTP/1.1 200"),
        (1, &["--http", "2"], "< HTTP/2 200"),
    ] {
        let url = server.client(at);
        let words = [words, &["-v", "--raw", "x", "POST", &url, "Host:other.example"]].concat();
        let ended = request(&home, &words);
        assert_eq!((ended.code, &*ended.out), (0, &b"x"[..]), "{words:?}: {}", ended.err);
        assert!(ended.err.contains(version), "{words:?}: {}", ended.err);
    }
    let (at, _heard) = listening();
    let ended = request(&home, &["--http", "2", "--timeout", "2s", &at]);
    assert!(matches!(ended.code, 13 | 15 | 16), "{}", ended.err);
    let at = saying("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", true);
    let ended = request(&home, &["--http", "2", &at]);
    assert_eq!(ended.code, 16, "{}", ended.err);
    assert!(ended.err.contains("--http 1.1"), "{}", ended.err);
}

#[test]
fn a_refused_certificate_is_told_as_such() {
    let home = Home::new();
    home.file("none.pem", "");
    let own = home.serve(&["echo", "tls://:0"], 1);
    drop(own);
    let folder = home.path("");
    let cert = find(&folder, "pem").unwrap_or_else(|| panic!("no certificate below {folder}"));
    let server = Server::start(&mut home.hullo(&["serve", "echo", &format!("https://:0?client-ca={cert}")]), 1);
    for words in [&["--http", "1.1"][..], &["--http", "2"], &[]] {
        let ended = request(&home, &[words, &["--verify=no", &server.at[0]]].concat());
        assert_eq!(ended.code, 14, "{words:?}: {}", ended.err);
        assert!(ended.err.contains("nobody has verified"), "{}", ended.err);
    }
    let key = cert.replace("cert", "key");
    if std::path::Path::new(&key).is_file() && key != cert {
        let words = ["--cert", &cert, "--cert-key", &key, "--insecure", &server.at[0]];
        assert_eq!(request(&home, &words).text(), "hullo\n");
    }
    // What is for encryption is for the place of a redirect too, and no mistake before it.
    let to = server.at[0].clone();
    let there = saying(format!("HTTP/1.1 302 There\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"), true);
    assert_eq!(request(&home, &["--insecure", "-F", &there]).code, 14);
}

/// A file of that extension somewhere below a folder.
fn find(folder: &str, extension: &str) -> Option<String> {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = path.to_str().unwrap().to_owned();
        if path.is_dir() {
            if let Some(found) = find(&text, extension) {
                return Some(found);
            }
        } else if path.extension().is_some_and(|its| its == extension) && std::fs::metadata(&path).unwrap().len() > 0 {
            return Some(text);
        }
    }
    None
}

#[test]
fn places_families_and_unix_sockets_are_chosen() {
    let home = Home::new();
    let server = home.serve(&["echo", "http://127.0.0.1:0"], 1);
    let port = server.port(0);
    let place = format!("no.such.example:{port}:127.0.0.1");
    let url = format!("http://no.such.example:{port}/");
    assert_eq!(request(&home, &["--resolve", &place, &url]).text(), "hullo\n");
    assert_eq!(request(&home, &["-4", &server.at[0]]).text(), "hullo\n");
    let ended = request(&home, &["-6", &server.at[0]]);
    assert_eq!(ended.code, 12, "{}", ended.err);
    let path = home.path("http.sock");
    let ended = request(&home, &["--unix-socket", &path, "http://docker/info"]);
    assert!(ended.code == 11 && ended.err.contains("is that its path?"), "{}", ended.err);
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let head = read_until(&mut stream, "\r\n\r\n").unwrap();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len()).unwrap();
    });
    let head = request(&home, &["--unix-socket", &path, "http://docker/info"]).text();
    assert!(head.starts_with("GET /info HTTP/1.1\r\nHost: docker\r\n"), "{head}");
}
