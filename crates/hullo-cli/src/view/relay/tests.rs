//! What was heard goes in, and the lines that people and programs read come out.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hullo::{
    Endpoint, Peer,
    traffic::{Form, Way},
};
use serde_json::Value;

use super::{
    heard::{Closed, Fact, Heard, Piece},
    page::{Most, Page, Reader, View},
};
use crate::view::{chat::clock::Clock, paint::Paint};

/// 22:13:20 on a Tuesday.
const NOW: Duration = Duration::from_secs(1_700_000_000);

const ALL: Most = Most { text: 4096, hex: 256 };

/// A conversation, and what is read of it.
struct Read {
    page: Page,
    moved: [u64; 2],
    text: String,
}

impl Read {
    fn new(view: View, most: Most, reader: Reader) -> Self {
        let mut read = Self { page: Page::new(view, most, reader), moved: [0, 0], text: String::new() };
        let (client, server) = (peer("127.0.0.1:5"), peer("127.0.0.1:7007"));
        read.hear(Fact::Opened { relay: "r".into(), client, server });
        read
    }

    fn person(view: View) -> Self {
        Self::new(view, ALL, Reader::Person(Paint::PLAIN, Clock::utc()))
    }

    fn hear(&mut self, what: Fact) {
        self.page.take(Heard { when: now(), flow: 1, what }, &mut self.text);
    }

    fn message(&mut self, way: Way, bytes: &[u8], form: Form) {
        let at = self.moved[way as usize];
        let size = bytes.len() as u64;
        self.moved[way as usize] += size;
        self.hear(Fact::Piece(Piece { way, at, size, bytes: bytes.to_vec().into(), form }));
    }

    fn up(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.message(Way::Up, bytes.as_ref(), Form::Stream);
        self
    }

    fn down(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.message(Way::Down, bytes.as_ref(), Form::Stream);
        self
    }

    /// Bytes for which there was no room.
    fn miss(&mut self, way: Way, count: u64) {
        self.moved[way as usize] += count;
    }

    fn end(&mut self, way: Way) {
        self.hear(Fact::End { way, at: self.moved[way as usize] });
    }

    fn close(&mut self, why: Option<&str>) -> String {
        let [up, down] = self.moved;
        self.hear(Fact::Closed(Closed { took: Duration::from_millis(1500), up, down, why: why.map(str::to_owned) }));
        std::mem::take(&mut self.text)
    }

    /// What has been said since the beginning or the last time, without the time and the number.
    fn said(&mut self) -> Vec<String> {
        let text = std::mem::take(&mut self.text);
        text.lines().map(|line| line.strip_prefix("22:13:20.000 #1 ").unwrap_or(line).to_owned()).collect()
    }
}

fn now() -> SystemTime {
    UNIX_EPOCH + NOW
}

fn peer(address: &str) -> Peer {
    Peer::new("tcp", Endpoint::Net(address.parse().unwrap()), Endpoint::Unnamed)
}

/// What is said of those pieces, without the beginning.
#[track_caller]
fn says(view: View, pieces: &[(Way, &[u8])], wanted: &[&str]) {
    let mut read = Read::person(view);
    read.said();
    for (way, piece) in pieces {
        read.message(*way, piece, Form::Stream);
    }
    assert_eq!(read.said(), wanted, "{view:?} {pieces:?}");
}

#[test]
fn a_conversation_is_told_from_its_beginning_to_its_end() {
    let mut read = Read::person(View::Auto);
    read.up("hello\n").down("yes?").end(Way::Up);
    read.end(Way::Down);
    assert_eq!(
        read.close(None),
        "22:13:20.000 #1 opened: tcp://127.0.0.1:5 → tcp://127.0.0.1:7007\n\
         22:13:20.000 #1 → 6 bytes\n  hello\n\
         22:13:20.000 #1 ← 4 bytes\n  yes?\n\
         22:13:20.000 #1 → end\n22:13:20.000 #1 ← end\n\
         22:13:20.000 #1 closed after 1.500 s: 6 bytes up, 4 bytes down\n"
    );
    let mut read = Read::person(View::Text);
    assert!(
        read.close(Some("the connection was reset\x1b[2J"))
            .ends_with("0 bytes down: the connection was reset\\u{1b}[2J\n")
    );
}

#[test]
fn nothing_that_is_relayed_steers_a_terminal() {
    let hostile = "\x1b[2J\u{9b}31m\u{202e}evil\x07\0\r\n22:13:20.000 #9 closed";
    for view in [View::Auto, View::Text, View::Hex, View::Json, View::Http] {
        for form in [Form::Stream, Form::Text, Form::Binary] {
            let mut read = Read::person(view);
            read.message(Way::Up, hostile.as_bytes(), form);
            read.message(Way::Down, format!("{{\"a\":{}}}", Value::from(hostile)).as_bytes(), form);
            read.message(Way::Up, format!("GET /{hostile} HTTP/1.1\r\n\r\n").as_bytes(), form);
            let text = read.close(Some(hostile));
            let odd = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
            assert!(!text.contains(odd), "{view:?} {form:?}: {text:?}");
            assert!(!text.contains("\n22:13:20.000 #9"), "a line of ours cannot be forged: {text}");
        }
    }
}

#[test]
fn text_is_shown_as_it_is_and_whole_characters_at_once() {
    says(View::Text, &[(Way::Up, b"a\tb\r\n\x1b[31m\xff\xe2")], &["→ 11 bytes", "  a\tb\\r", "  \\x1b[31m\\xff"]);
    let euro = "\u{20ac}".as_bytes();
    says(View::Text, &[(Way::Up, &euro[..1]), (Way::Up, &euro[1..])], &["→ 3 bytes", "  \u{20ac}"]);
    says(View::Auto, &[(Way::Up, b"x\xe2"), (Way::Up, &euro[1..])], &["→ 1 byte", "  x", "→ 3 bytes", "  \u{20ac}"]);
}

#[test]
fn what_is_no_text_is_hex_with_its_place_in_the_stream() {
    says(
        View::Auto,
        &[(Way::Up, b"hello"), (Way::Up, b"\0\x01\xe2")],
        &[
            "→ 5 bytes",
            "  hello",
            "→ 3 bytes",
            &format!("  > 00000005  {:<49} ...", "00 01 e2").replacen("  00", "  00", 1),
        ],
    );
    says(View::Hex, &[(Way::Down, b"hi")], &["← 2 bytes", &format!("  < 00000000  {:<48}  hi", "68 69")]);
}

#[test]
fn large_pieces_are_cut_and_it_is_said_by_how_much() {
    let most = Most { text: 10, hex: 16 };
    let mut read = Read::new(View::Auto, most, Reader::Person(Paint::PLAIN, Clock::utc()));
    read.said();
    read.up("123456789\u{e9}and more");
    assert_eq!(read.said(), ["→ 19 bytes", "  123456789", "  … 10 bytes more"]);
    read.up([0; 40]);
    let said = read.said();
    assert_eq!((said.len(), &*said[2]), (3, "  … 24 bytes more"), "{said:?}");
    read.up("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(read.said(), ["→ request, 27 bytes", "  … 21 bytes more"]);
    let mut read = Read::new(View::Json, Most { text: 20, hex: 16 }, Reader::Person(Paint::PLAIN, Clock::utc()));
    read.said();
    read.up("{\"a\":1,\"b\":2,\"c\":3}");
    assert_eq!(read.said(), ["→ JSON, 19 bytes", "  {", "    \"a\": 1,", "  … 3 lines more"]);
}

#[test]
fn values_of_json_are_shown_when_they_are_whole() {
    let lines = ["→ JSON, 7 bytes", "  {", "    \"a\": 1", "  }", "→ JSON, 2 bytes", "  12"];
    says(View::Json, &[(Way::Up, b"{\"a\""), (Way::Up, b":1}\n12 ")], &lines);
    says(View::Auto, &[(Way::Up, b"{\"a\""), (Way::Up, b":1}\n12 ")], &lines);
    says(View::Json, &[(Way::Up, b"so\n[]")], &["→ 2 bytes", "  so", "→ JSON, 2 bytes", "  []"]);
    // What only seemed to be JSON is text from then on.
    says(
        View::Auto,
        &[(Way::Up, b"{\"a}\nb\n"), (Way::Up, b"{\"c\":1}")],
        &["→ 4 bytes", "  {\"a}", "→ 1 byte", "  b", "→ 7 bytes", "  {\"c\":1}"],
    );
    let mut read = Read::person(View::Json);
    read.up("[1,");
    assert!(read.close(None).contains("→ 3 bytes\n  [1,\n"), "what never became whole is shown at the end");
}

#[test]
fn messages_are_whole_by_themselves() {
    let mut read = Read::person(View::Auto);
    read.said();
    read.message(Way::Up, b"[1]", Form::Text);
    read.message(Way::Down, b"12", Form::Binary);
    read.message(Way::Down, b"\0", Form::Binary);
    let hex = format!("  < 00000002  {:<48}  .", "00");
    assert_eq!(
        read.said(),
        ["→ JSON, 3 bytes", "  [", "    1", "  ]", "← message, 2 bytes", "  12", "← message, 1 byte", &hex]
    );
}

const ASKED: &str = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
const ANSWERED: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";

#[test]
fn several_requests_of_a_connection_are_shown_wherever_the_pieces_part() {
    let asked = [ASKED, "HEAD /b HTTP/1.1\nHost: x\n\n", "GET /c HTTP/1.0\r\n\r\n"].concat();
    let answered = [
        "HTTP/1.1 100 Continue\r\n\r\n",
        ANSWERED,
        "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
        "HTTP/1.0 404 Not Found\r\nServer: \u{e9}\r\n\r\nup to the end",
    ]
    .concat();
    let wanted = [
        "→ request, 48 bytes",
        "  POST /a HTTP/1.1",
        "  Host: x",
        "  Content-Length: 5",
        "→ body: 5 bytes",
        "→ request, 26 bytes",
        "  HEAD /b HTTP/1.1",
        "  Host: x",
        "→ request, 19 bytes",
        "  GET /c HTTP/1.0",
        "← response, 25 bytes",
        "  HTTP/1.1 100 Continue",
        "← response, 72 bytes",
        "  HTTP/1.1 200 OK",
        "  Content-Type: text/html",
        "  Transfer-Encoding: chunked",
        "← body: 5 bytes, text/html",
        "← response, 41 bytes",
        "  HTTP/1.1 200 OK",
        "  Content-Length: 1000",
        "← response, 38 bytes",
        "  HTTP/1.0 404 Not Found",
        "  Server: \u{e9}",
        "← body: 13 bytes",
        "← end",
    ];
    for view in [View::Http, View::Auto] {
        for size in [1, 2, 3, 7, 1000] {
            let mut read = Read::person(view);
            read.said();
            asked.as_bytes().chunks(size).for_each(|piece| _ = read.up(piece));
            answered.as_bytes().chunks(size).for_each(|piece| _ = read.down(piece));
            read.end(Way::Down);
            assert_eq!(read.said(), wanted, "{view:?} in pieces of {size}");
        }
    }
}

#[test]
fn bodies_that_are_text_are_shown_to_those_who_ask_for_anything() {
    let json = "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 7\r\n\r\n{\"a\":1}";
    let mut read = Read::person(View::Auto);
    read.down(json);
    assert!(read.said().ends_with(
        &["← body: 7 bytes, application/json; charset=utf-8", "  {", "    \"a\": 1", "  }"].map(str::to_owned)
    ));
    let mut read = Read::person(View::Http);
    read.down(json);
    assert!(read.said().ends_with(&["← body: 7 bytes, application/json; charset=utf-8".to_owned()]));
    // Events are shown as they come: their stream may never end.
    let mut read = Read::person(View::Auto);
    read.down("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").said();
    read.down("data: 1\n\n");
    assert_eq!(read.said(), ["← 9 bytes", "  data: 1", "  "]);
    let mut read = Read::person(View::Auto);
    read.down(json.replace(": 7", ": 9"));
    assert!(read.close(Some("cut")).contains("body: 7 bytes, application/json; charset=utf-8, cut off\n"));
}

#[test]
fn what_is_not_http_is_shown_as_what_it_is() {
    let remark = "→ this is not HTTP: what came begins no request and no response";
    says(View::Http, &[(Way::Up, b"hello\n")], &[remark, "→ 6 bytes", "  hello"]);
    says(View::Auto, &[(Way::Up, b"GET hello\n")], &[remark, "→ 10 bytes", "  GET hello"]);
    says(View::Auto, &[(Way::Up, b"GE"), (Way::Up, b"ORGE\n")], &["→ 7 bytes", "  GEORGE"]);
    for (head, why) in [
        ("Content-Length: x", "how long its body is cannot be told"),
        ("Content-Length: 1\r\nContent-Length: 2", "how long its body is cannot be told"),
        ("Transfer-Encoding: gzip", "how long its body is cannot be told"),
    ] {
        let mut read = Read::person(View::Auto);
        read.up(format!("POST / HTTP/1.1\r\n{head}\r\n\r\nrest"));
        let said = read.said();
        assert!(
            said.contains(&format!("→ this is not HTTP: {why}")) && said.ends_with(&["  rest".to_owned()]),
            "{said:?}"
        );
    }
    let mut read = Read::person(View::Auto);
    read.up("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n");
    assert!(read.said().contains(&"→ this is not HTTP: a chunk's size is no number".to_owned()));
    let mut read = Read::person(View::Http);
    read.up("GET / HTTP/1.1\r\n").up(vec![b'x'; 70_000]);
    assert!(read.said().contains(&"→ this is not HTTP: a head is longer than 64 KiB".to_owned()));
}

#[test]
fn after_an_upgrade_both_ways_are_something_else() {
    for view in [View::Auto, View::Http] {
        let mut read = Read::person(view);
        read.up("GET /chat HTTP/1.1\r\nUpgrade: websocket\r\n\r\n");
        read.down("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x01").said();
        read.up("\x02");
        assert_eq!(read.said()[0], "→ 1 byte", "{view:?}");
        let mut read = Read::person(view);
        read.up("CONNECT a:1 HTTP/1.1\r\n\r\n").down("HTTP/1.1 200 OK\r\n\r\n");
        assert_eq!(read.said().last().unwrap(), "← a tunnel begins", "{view:?}");
        read.up("GET /inside HTTP/1.1\r\n\r\n");
        assert_eq!(read.said(), ["→ request, 24 bytes", "  GET /inside HTTP/1.1"], "{view:?}");
    }
}

#[test]
fn what_is_missing_is_said_and_reading_goes_on_behind_it() {
    let mut read = Read::person(View::Auto);
    read.up("GET / HTTP/1.1\r\nHo").said();
    read.miss(Way::Up, 1000);
    read.up("rest of a body").up(ASKED);
    let said = read.said();
    assert_eq!(said[0], "→ 18 bytes", "{said:?}");
    assert!(said.contains(&"→ 1000 bytes not shown: this is read too slowly".to_owned()), "{said:?}");
    assert!(said.contains(&"  POST /a HTTP/1.1".to_owned()), "HTTP is found again: {said:?}");
    read.miss(Way::Down, 7);
    assert!(read.close(None).contains("← 7 bytes not shown"), "also where nothing follows");
}

#[test]
fn what_does_not_become_whole_is_shown_after_a_while_and_once() {
    let mut read = Read::person(View::Auto);
    read.up("GET / HTTP/1.1\r\n").said();
    let wait = |read: &mut Read, s| {
        read.page.wait(now() + Duration::from_secs(s), &mut read.text);
        std::mem::take(&mut read.text)
    };
    assert!(read.page.waits() && wait(&mut read, 0).is_empty());
    let said = wait(&mut read, 2);
    assert!(
        said.ends_with("#1 → the first 16 bytes of a head whose rest has not come yet\n  GET / HTTP/1.1\\r\n"),
        "{said}"
    );
    assert!(!read.page.waits() && wait(&mut read, 9).is_empty());
    read.up("\r\n");
    assert_eq!(read.said(), ["→ request, 18 bytes", "  GET / HTTP/1.1"]);
}

#[test]
fn programs_get_an_object_a_line() {
    let mut read = Read::new(View::Auto, Most { text: 100, hex: 4 }, Reader::Program);
    read.up("hello \u{1b}[2J\n").up([0xff; 6]).down(ANSWERED);
    read.message(Way::Down, b"{\"a\": 1}", Form::Text);
    read.miss(Way::Up, 3);
    read.page.lost(2, &mut read.text);
    let text = read.close(Some("why"));
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    let objects: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<_> = objects.iter().map(|object| object["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["opened", "piece", "piece", "head", "body", "value", "lost", "missed", "closed"]);
    assert_eq!(objects[0]["client"], "tcp://127.0.0.1:5");
    assert_eq!((&objects[1]["time"], &objects[1]["flow"]), (&"2023-11-14T22:13:20.000Z".into(), &1.into()));
    assert_eq!((&objects[1]["way"], &objects[1]["text"]), (&"up".into(), &"hello \u{1b}[2J\n".into()));
    let wanted = serde_json::json!({ "at": 11, "bytes": 6, "base64": "/////w==", "hidden": 2 });
    for (name, value) in wanted.as_object().unwrap() {
        assert_eq!(&objects[2][name], value, "{name}");
    }
    assert_eq!(objects[3]["headers"][0], serde_json::json!(["Content-Type", "text/html"]));
    assert_eq!((&objects[4]["bytes"], &objects[4]["whole"]), (&5.into(), &true.into()));
    assert_eq!(objects[5]["value"], serde_json::json!({ "a": 1 }));
    assert_eq!((&objects[7]["bytes"], &objects[8]["why"]), (&3.into(), &"why".into()));
}

#[test]
fn what_many_hold_together_has_a_bound() {
    let mut page = Page::new(View::Http, ALL, Reader::Person(Paint::PLAIN, Clock::utc()));
    let head = ["GET / HTTP/1.1\r\nx: ".as_bytes(), &[b'x'; 60_000]].concat();
    let mut hear = |flow, what| {
        let mut text = String::new();
        page.take(Heard { when: now(), flow, what }, &mut text);
        text.contains("too much has come")
    };
    let piece = |bytes: &[u8]| {
        let (bytes, size) = (Bytes::copy_from_slice(bytes), bytes.len() as u64);
        Fact::Piece(Piece { way: Way::Up, at: 0, size, bytes, form: Form::Stream })
    };
    let let_go = (1..=1200).filter(|flow| hear(*flow, piece(&head))).count();
    assert_eq!(let_go, 1200 - (64 << 20) / head.len(), "64 MiB are held, and no more");
    hear(1, Fact::Closed(Closed { took: NOW, up: head.len() as u64, down: 0, why: None }));
    assert!(!hear(1201, piece(&head[..1000])), "what has ended is held no more");
}

#[test]
fn any_bytes_in_any_pieces_do_no_harm() {
    let seeds: [&[u8]; 5] = [
        ASKED.as_bytes(),
        ANSWERED.as_bytes(),
        b"{\"a\":[1,\"\xc3\xa9\"]}\n12 ",
        b"\x1b[2J\0\xff",
        b"HTTP/1.1 101 x\r\n\r\n",
    ];
    let mut state = 7_u64;
    let mut chance = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for round in 0..2000 {
        let view = [View::Auto, View::Text, View::Hex, View::Json, View::Http][round % 5];
        let mut read =
            Read::new(view, Most { text: 1 + chance(60), hex: 20 }, Reader::Person(Paint::PLAIN, Clock::utc()));
        for _ in 0..chance(20) {
            let mut bytes = seeds[chance(seeds.len())].to_vec();
            for _ in 0..chance(3) {
                let at = chance(bytes.len());
                bytes[at] = chance(256) as u8;
            }
            let way = if chance(2) == 0 { Way::Up } else { Way::Down };
            for piece in bytes.chunks(1 + chance(40)) {
                read.message(way, piece, Form::Stream);
            }
            if chance(10) == 0 {
                read.miss(way, 5);
            }
        }
        read.page.wait(now() + Duration::from_secs(5), &mut read.text);
        let text = read.close(None);
        assert!(!text.contains(|c: char| c.is_control() && c != '\n' && c != '\t'), "{text:?}");
        assert!(text.lines().all(|line| line.starts_with("22:13:2") || line.starts_with("  ")), "{text}");
    }
}
