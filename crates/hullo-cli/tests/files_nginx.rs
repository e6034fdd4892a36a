#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! `serve files` beside nginx: the same file, the same questions, the same answers.

mod common;

use std::{
    collections::BTreeSet,
    fs::File,
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, SystemTime},
};

use common::{Home, PATIENCE, Program, eventually, free_port, noise, peer};

const LENGTH: u64 = 70_000;
const SECONDS: u64 = 1_577_836_800;
const SAME: &str = "Wed, 01 Jan 2020 00:00:00 GMT";
const BEFORE: &str = "Tue, 31 Dec 2019 23:59:59 GMT";
const AFTER: &str = "Wed, 01 Jan 2020 00:00:01 GMT";

/// nginx on that port, which answers as RFC 9110 has it: without the line it knows a date again only if it is the same.
fn nginx(home: &Home) -> Option<(Program, u16)> {
    let port = free_port();
    let config = format!(
        "daemon off; master_process off; pid {0}/pid; error_log {0}/error.log;
        events {{}}
        http {{ access_log off; default_type application/octet-stream; if_modified_since before;
            client_body_temp_path {0}/t1; proxy_temp_path {0}/t2; fastcgi_temp_path {0}/t3; uwsgi_temp_path {0}/t4;
            scgi_temp_path {0}/t5; server {{ listen 127.0.0.1:{port}; root {0}/www; }} }}",
        home.path("")
    );
    let config = home.file("nginx.conf", config);
    let program = Program::start(home.command(peer("nginx")?).args(["-c", &config]));
    eventually("nginx listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    Some((program, port))
}

/// One of the two, and the tag that it gives the file.
struct Peer {
    port: u16,
    tag: String,
}

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    length: Option<u64>,
    range: Option<String>,
    modified: Option<String>,
    body: Vec<u8>,
    kind: String,
}

impl Peer {
    fn new(port: u16) -> Self {
        let mut peer = Self { port, tag: String::new() };
        peer.tag = peer.ask("HEAD", "").1.unwrap();
        peer
    }

    fn ask(&self, method: &str, headers: &str) -> (Answer, Option<String>) {
        let headers = headers.replace("{tag}", &self.tag);
        let request = format!("{method} /file HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        // nginx hangs up behind some of its answers, without saying so.
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        stream.read_to_end(&mut head).unwrap();
        let end = head.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let body = head.split_off(end);
        let head = String::from_utf8(head).unwrap();
        let find = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.into_iter().find(|(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
        };
        let length: Option<u64> = find("content-length").map(|length| length.parse().unwrap());
        let status: u16 = head[9..12].parse().unwrap();
        assert!(method == "HEAD" || status == 304 || length == Some(body.len() as u64), "{request}");
        let (range, modified) = (find("content-range"), find("last-modified"));
        let kind = find("content-type").unwrap_or_default();
        (Answer { status, length, range, modified, body, kind }, find("etag"))
    }
}

/// The parts of a body: their ranges and bytes.
fn parts(answer: &Answer) -> Vec<(String, Vec<u8>)> {
    let Some((_, boundary)) = answer.kind.split_once("multipart/byteranges; boundary=") else {
        return vec![(answer.range.clone().unwrap_or_default(), answer.body.clone())];
    };
    let mark = format!("\r\n--{boundary}");
    let (mut parts, mut rest) = (Vec::new(), &answer.body[..]);
    loop {
        rest = rest.strip_prefix(mark.as_bytes()).unwrap();
        if rest == b"--\r\n" {
            return parts;
        }
        let head = rest.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let lines = std::str::from_utf8(&rest[..head]).unwrap();
        let range = lines.split_once("Content-Range: ").unwrap().1.split_once("\r\n").unwrap().0.to_owned();
        let (first, last) = range["bytes ".len()..].split_once('/').unwrap().0.split_once('-').unwrap();
        let length = last.parse::<usize>().unwrap() - first.parse::<usize>().unwrap() + 1;
        parts.push((range, rest[head..head + length].to_vec()));
        rest = &rest[head + length..];
    }
}

/// What says of an answer that it is the same as another one's.
fn essence(answer: &Answer) -> (u16, Option<String>, Option<String>, Vec<(String, Vec<u8>)>) {
    let good = matches!(answer.status, 200 | 206);
    let parts = if good { parts(answer) } else { Vec::new() };
    (answer.status, answer.range.clone(), answer.modified.clone().filter(|_| good), parts)
}

/// Numbers that are the same in each run.
fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}

/// A header of a few ranges, and the bytes that it asks for where it asks for some of them twice.
fn ranges(number: &mut impl FnMut(u64) -> u64) -> (String, Option<BTreeSet<u64>>) {
    let (mut header, mut asked, mut twice) = (Vec::new(), BTreeSet::new(), false);
    for _ in 0..=number(4) {
        let (first, count) = (number(LENGTH + 2_000), number(3_000) + 1);
        let range = match number(8) {
            0 => {
                header.push(format!("-{count}"));
                LENGTH - count..LENGTH
            }
            1 => {
                header.push(format!("{first}-"));
                first..LENGTH
            }
            _ => {
                header.push(format!("{first}-{}", first + count - 1));
                first..(first + count).min(LENGTH)
            }
        };
        for byte in range {
            twice |= !asked.insert(byte);
        }
    }
    (format!("Range: bytes={}\r\n", header.join(",")), twice.then_some(asked))
}

const CONDITIONS: &[&str] = &[
    "",
    "If-None-Match: {tag}\r\n",
    "If-None-Match: W/{tag}\r\n",
    "If-None-Match: \"x\", {tag}\r\n",
    "If-None-Match: \"x\"\r\n",
    "If-None-Match: *\r\n",
    "If-Match: {tag}\r\n",
    "If-Match: \"x\", {tag}\r\n",
    "If-Match: \"x\"\r\n",
    "If-Match: W/{tag}\r\n",
    "If-Match: *\r\n",
    "If-Modified-Since: {same}\r\n",
    "If-Modified-Since: {before}\r\n",
    "If-Modified-Since: {after}\r\n",
    "If-Modified-Since: yesterday\r\n",
    "If-Unmodified-Since: {same}\r\n",
    "If-Unmodified-Since: {before}\r\n",
    "If-Unmodified-Since: {after}\r\n",
    "If-Match: {tag}\r\nIf-None-Match: {tag}\r\n",
    "If-Match: \"x\"\r\nIf-None-Match: {tag}\r\n",
    "If-Match: {tag}\r\nIf-Modified-Since: {same}\r\n",
];

/// What comes before a range counts.
const SINCE: &[&str] = &[
    "",
    "If-Range: {tag}\r\n",
    "If-Range: \"x\"\r\n",
    "If-Range: W/{tag}\r\n",
    "If-Range: {same}\r\n",
    "If-Range: {before}\r\n",
    "If-Range: {after}\r\n",
];

const RANGES: &[&str] = &[
    "0-0",
    "0-",
    "-1",
    "-70000",
    "-80000",
    "69999-",
    "69999-69999",
    "70000-",
    "70000-80000",
    "0-69999",
    "0-70000",
    "5-4",
    "x",
    "-",
    "-0",
    "1",
    "0-1,70000-",
    "0-1,4-5,8-9",
    "8-9,0-1",
    "0-1,2-3",
    "0-99999999999999999",
];

#[test]
fn it_answers_as_nginx_does() {
    let home = Home::new();
    std::fs::create_dir(home.path("www")).unwrap();
    let content = noise(LENGTH as usize);
    let file = File::create(home.file("www/file", &content)).unwrap();
    std::fs::write(home.path("www/file"), &content).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(SECONDS)).unwrap();
    let Some((_nginx, port)) = nginx(&home) else { return };
    let server = home.serve(&["files", &home.path("www"), "http://:0"], 1);
    let (ours, theirs) = (Peer::new(server.port(0)), Peer::new(port));
    let dated = |text: &str| text.replace("{same}", SAME).replace("{before}", BEFORE).replace("{after}", AFTER);
    let mut asked = 0;
    let mut same = |method: &str, headers: &str| {
        let headers = dated(headers);
        let (ours, theirs) = (ours.ask(method, &headers).0, theirs.ask(method, &headers).0);
        assert_eq!(essence(&ours), essence(&theirs), "{method} {headers}");
        if matches!(ours.status, 200 | 206) && !ours.kind.starts_with("multipart") {
            assert_eq!(ours.length, theirs.length, "{method} {headers}");
        }
        asked += 1;
    };
    for condition in CONDITIONS {
        for method in ["GET", "HEAD"] {
            same(method, condition);
        }
        same("GET", &format!("{condition}Range: bytes=10-19\r\n"));
    }
    for range in RANGES {
        for since in SINCE {
            same("GET", &format!("{since}Range: bytes={range}\r\n"));
        }
    }
    for header in ["Range: lines=0-1\r\n", "Range: BYTES=0-1\r\n"] {
        same("GET", header);
    }
    let mut number = numbers(4);
    let mut overlapping = Vec::new();
    for _ in 0..300 {
        match ranges(&mut number) {
            (header, None) => same("GET", &header),
            (header, Some(bytes)) => overlapping.push((header, bytes)),
        }
    }
    assert!(asked > 400, "{asked}");
    // nginx sends such bytes as often as they are asked for; here they are sent once.
    assert!(overlapping.len() > 5);
    for (header, bytes) in overlapping {
        let (answer, _) = ours.ask("GET", &header);
        let mut sent = BTreeSet::new();
        for (range, part) in parts(&answer) {
            let first: u64 = range["bytes ".len()..].split_once('-').unwrap().0.parse().unwrap();
            assert_eq!(part, content[first as usize..first as usize + part.len()], "{header}");
            for byte in first..first + part.len() as u64 {
                assert!(sent.insert(byte), "{byte} twice: {header}");
            }
        }
        assert_eq!(sent, bytes, "{header}");
    }
}
