//! One room, and every door at once: each hears what is said at the others, in the same order.

use std::process::Command;

use crate::{
    Chat,
    client::Client,
    common::{Home, Program, peer, run, skipped},
    member::{Bot, Typist},
};

/// As the tutorials have it: no newline, 1,024 bytes at most.
const TUTORIAL: &str = r#"
import socket, sys, threading
talk = socket.socket()
talk.connect(("127.0.0.1", int(sys.argv[1])))
def listen():
    while heard := talk.recv(1024):
        print(heard.decode(), end="", flush=True)
threading.Thread(target=listen, daemon=True).start()
for line in sys.stdin:
    talk.send(line.strip().encode())
"#;

const DATAGRAMS: &str = r#"
import socket, sys, threading
talk = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
talk.connect(("127.0.0.1", int(sys.argv[1])))
def listen():
    while True:
        print(talk.recv(65536).decode(), end="", flush=True)
talk.send(b"/who")
threading.Thread(target=listen, daemon=True).start()
for line in sys.stdin:
    talk.send(line.strip().encode())
"#;

const WEBSOCKETS: &str = r#"
import sys, threading
from websockets.sync.client import connect
talk = connect(sys.argv[1])
def listen():
    for heard in talk:
        print(heard, flush=True)
threading.Thread(target=listen, daemon=True).start()
for line in sys.stdin:
    talk.send(line.strip())
"#;

const NODE_WS: &str = r#"
const WebSocket = require("ws");
const talk = new WebSocket(process.argv[1]);
talk.on("message", (data) => console.log(String(data)));
talk.on("open", () => require("readline").createInterface({ input: process.stdin }).on("line", (line) => talk.send(line)));
"#;

/// A door, and who stands in it.
struct Guest {
    program: Program,
    name: String,
    json: bool,
}

impl Guest {
    fn come(command: &mut Command, name: &str, json: bool) -> Self {
        let mut program = Program::start(command);
        if json {
            program.heard("\"welcome\"");
            program.say(format!("{{\"do\":\"hello\",\"name\":\"{name}\"}}\n"));
            program.heard(&format!("\"name\":\"{name}\""));
            program.say("{\"do\":\"join\",\"room\":\"lobby\"}\n");
            program.heard("\"joined\"");
        } else {
            program.heard("in lobby");
            program.say(format!("/nick {name}\n"));
            program.heard(&format!("is now called {name}"));
        }
        Self { program, name: name.to_owned(), json }
    }

    fn says(&mut self, text: &str) {
        let line = if self.json { format!("{{\"do\":\"say\",\"text\":\"{text}\"}}\n") } else { format!("{text}\n") };
        self.program.say(line);
    }
}

/// Has a module of a language, if the language is there too.
fn module(home: &Home, program: &'static str, words: &[&str], what: &str) -> bool {
    let Some(program) = peer(program) else { return false };
    run(home.command(program).args(words), "").code == 0 || skipped::<()>(what).is_some()
}

/// Everybody whose program is there.
fn everybody(home: &Home, ports: &[u16]) -> Vec<Guest> {
    let [tcp, tls, udp, ws, http] = ports.iter().map(u16::to_string).collect::<Vec<_>>().try_into().unwrap();
    let (unix, at_tls) = (format!("UNIX-CONNECT:{}", home.path("s")), format!("127.0.0.1:{tls}"));
    let (at_ws, at_http) = (format!("ws://127.0.0.1:{ws}/"), format!("ws://127.0.0.1:{http}/any/path"));
    let lines: &[(&'static str, &[&str], &str)] = &[
        ("nc.openbsd", &["127.0.0.1", &tcp], "openbsd"),
        ("nc.traditional", &["127.0.0.1", &tcp], "traditional"),
        ("ncat", &["127.0.0.1", &tcp], "ncat"),
        ("ncat", &["--ssl", "127.0.0.1", &tls], "ncat-tls"),
        ("socat", &["-", &unix], "socat"),
        ("openssl", &["s_client", "-quiet", "-connect", &at_tls], "openssl"),
        ("python3", &["-u", "-c", TUTORIAL, &tcp], "tutorial"),
        ("python3", &["-u", "-c", DATAGRAMS, &udp], "datagrams"),
    ];
    let mut guests = Vec::new();
    for (program, words, name) in lines {
        if let Some(program) = peer(program) {
            guests.push(Guest::come(home.command(program).args(*words), name, false));
        }
    }
    guests.push(Guest::come(&mut home.hullo(&["connect", &at_ws]), "hullo-connect", true));
    if module(home, "python3", &["-c", "import websockets.sync.client"], "python websockets") {
        guests.push(Guest::come(home.command("python3").args(["-u", "-c", WEBSOCKETS, &at_http]), "websockets", true));
    }
    if module(home, "node", &["-e", "require('ws')"], "node ws") {
        guests.push(Guest::come(home.command("node").args(["-e", NODE_WS, &at_ws]), "node-ws", true));
    }
    guests
}

/// What of a transcript was said, in its order: the words that begin with `say-`.
fn order(heard: &str) -> Vec<String> {
    let words = heard.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter(|word| word.starts_with("say-")).map(str::to_owned).collect()
}

const ADDRESSES: [&str; 5] =
    ["tcp://127.0.0.1:0", "tls://127.0.0.1:0", "udp://127.0.0.1:0", "ws://127.0.0.1:0", "http://127.0.0.1:0"];

#[test]
fn all_doors_hear_the_same_in_the_same_order() {
    let home = Home::new();
    let unix = format!("unix:{}", home.path("s"));
    let server = home.serve(&[&["chat", "--db", "none", "--flood", "off"], &ADDRESSES[..], &[&unix]].concat(), 6);
    let ports: Vec<_> = (0..5).map(|at| server.port(at)).collect();
    let mut witness = Bot::to(ports[0]);
    witness.joins("lobby");
    let mut guests = everybody(&home, &ports);
    let events = peer("curl").map(|curl| {
        let events = format!("http://127.0.0.1:{}/rooms/lobby/events", ports[4]);
        let program = Program::start(home.command(curl).args(["-sN", &events]));
        program.heard("\"joined\"");
        program
    });
    // One after the other, and then all at once.
    let mut said = Vec::new();
    for (at, guest) in guests.iter_mut().enumerate() {
        let text = format!("say-{at}-{}", guest.name);
        guest.says(&text);
        let heard = witness.text(&text);
        assert_eq!(heard["from"], guest.name);
        said.push(text);
    }
    for round in 0..5 {
        for guest in &mut guests {
            let text = format!("say-r{round}-{}", guest.name);
            guest.says(&text);
        }
        // Of those who end no line, two texts would be one.
        while said.len() < (round + 2) * guests.len() {
            said.push(witness.event("message")["text"].as_str().unwrap().to_owned());
        }
    }
    for guest in &guests {
        // Who types lines has seen what they typed.
        let wanted: Vec<_> = said.iter().filter(|text| guest.json || !is_of(text, &guest.name)).cloned().collect();
        let all = guest.program.heard_by(|heard| order(heard).len() >= wanted.len());
        assert_eq!(order(&all), wanted, "{}", guest.name);
    }
    if let Some(events) = events {
        let all = events.heard_by(|heard| order(heard).len() >= said.len());
        assert_eq!(order(&all), said, "curl -N");
    }
    for guest in guests.iter_mut().filter(|guest| !guest.json) {
        guest.program.say("byebye\n");
        let gone = |event: &serde_json::Value| event["is"] == "gone" && event["name"] == *guest.name;
        witness.until(&format!("{} goes", guest.name), gone);
    }
}

/// Whether that was said by a guest of that name.
fn is_of(text: &str, name: &str) -> bool {
    text.splitn(3, '-').nth(2) == Some(name)
}

#[test]
fn each_line_in_a_datagram_has_its_end() {
    let home = Home::new();
    let server = home.serve(&["chat", "--db", "none", "--flood", "off", "tcp://127.0.0.1:0", "udp://127.0.0.1:0"], 2);
    let mut ann = Typist::called(server.port(0), "ann");
    let (at, port) = (server.at[1].clone(), server.port(1).to_string());
    let mut guests = vec![home.hullo(&["chat", &at]), home.hullo(&["connect", "--lines", &at])];
    guests.extend(peer("nc.openbsd").map(|nc| {
        let mut command = home.command(nc);
        command.args(["-u", "127.0.0.1", &port]);
        command
    }));
    let mut guests: Vec<_> = guests.iter_mut().map(Program::start).collect();
    for guest in &mut guests {
        guest.say("/me comes\n");
        ann.hears(" comes\n");
        // Who has been heard twice is told as much as there is.
        guest.say("/me is here\n");
        ann.hears(" is here\n");
    }
    ann.types("one");
    ann.types("two");
    for guest in &guests {
        let heard = guest.heard("ann: one\nann: two\n");
        assert!(heard.contains("byebye leaves\n") && !heard.contains("\n\n"), "{heard:?}");
    }
}

#[test]
fn a_datagram_member_who_is_quiet_for_long_has_left() {
    let home = Home::new();
    let addresses = ["tcp://127.0.0.1:0", "udp://127.0.0.1:0?idle=1s"];
    let server = home.serve(&[&["chat", "--db", "none"], &addresses[..]].concat(), 2);
    let mut ann = Typist::called(server.port(0), "ann");
    let Some(nc) = peer("nc.openbsd") else { return };
    let port = server.port(1).to_string();
    let mut quiet = Program::start(home.command(nc).args(["-u", "127.0.0.1", &port]));
    quiet.say("hello\n");
    ann.hears("guest-2: hello\n");
    quiet.heard("in lobby");
    ann.hears("* guest-2 has left (1)\n");
    // What they say next, they say as somebody who has just come.
    quiet.say("again\n");
    ann.hears("guest-3: again\n");
}

#[test]
fn curl_sends_text_forms_and_json() {
    let chat = Chat::with(&["--flood", "off"]);
    let mut ann = chat.typist("ann");
    let Some(curl) = peer("curl") else { return };
    let at = format!("http://127.0.0.1:{}/rooms/lobby", chat.server.port(1));
    let send = |words: &[&str], query: &str| {
        let to = format!("{at}/messages{query}");
        let words = [&["-s", "-w", "%{http_code}"], words, &[&to]].concat();
        run(chat.home.command(curl).args(words), "").text()
    };
    for (words, query, heard) in [
        (&["-d", "the build is green"][..], "?name=ci", "ci: the build is green\n"),
        (&["-H", "Content-Type: text/plain", "-d", "a=b&text=c"], "?name=ci", "ci: a=b&text=c\n"),
        (&["-H", "Content-Type: application/json", "-d", r#"{"text":"as JSON","name":"js"}"#], "", "js: as JSON\n"),
        (&["--data-urlencode", "text=a form, ü & all", "-d", "name=form"], "", "form: a form, ü & all\n"),
        (&["-d", "text=waves&me=true"], "?name=ci", "- ci waves\n"),
        (&["-d", "one\ntwo"], "?name=ci", "ci: one\n  | two\n"),
    ] {
        let answer = send(words, query);
        assert!(answer.ends_with("201") && answer.contains("\"event\":\"kept\""), "{words:?}: {answer}");
        ann.hears(heard);
    }
    for (words, query, status) in [
        (&["-d", "nobody"][..], "", "400"),
        (&["-d", ""], "?name=ci", "400"),
        (&["-d", "taken"], "?name=ann", "400"),
        (&["-H", "Content-Type: application/json", "-d", "{"], "?name=ci", "400"),
        (&["-X", "DELETE"], "", "405"),
    ] {
        let answer = send(words, query);
        assert!(answer.ends_with(status) && answer.contains("\"event\":\"error\""), "{words:?}: {answer}");
    }
    let messages = chat.get("/rooms/lobby/messages?limit=2").json();
    assert_eq!(crate::texts(&messages), ["waves", "one\ntwo"]);
    assert_eq!(messages["more"], true);
    let before = messages["messages"][0]["id"].as_u64().unwrap();
    let earlier = chat.get(&format!("/rooms/lobby/messages?limit=1&before={before}")).json();
    assert_eq!(crate::texts(&earlier), ["a form, ü & all"]);
    let found = chat.get("/rooms/lobby/messages?search=GREE*").json();
    assert_eq!(crate::texts(&found), ["the build is green"]);
    assert_eq!(chat.get("/rooms/lobby/people").json()["people"][0]["name"], "ann");
    assert_eq!(chat.get("/rooms").json()[0]["room"], "lobby");
    assert_eq!(chat.get("/nowhere/at/all").status, 404);
}

#[test]
fn a_stream_of_events_goes_on_after_its_last_id() {
    let chat = Chat::with(&["--flood", "off"]);
    let mut bob = chat.bot("bob");
    let ids: Vec<_> = (0..300).map(|at| bob.says(&format!("say-{at}"))["id"].as_u64().unwrap()).collect();
    let mut events = Client::to(chat.server.port(1));
    let last = format!("Last-Event-ID: {}", ids[4]);
    events.follow("/rooms/lobby/events", &last);
    let all = events.until("\"joined\"");
    assert_eq!(order(&all), (5..300).map(|at| format!("say-{at}")).collect::<Vec<_>>());
    assert!(all.contains("\"recovered\":true") || events.until("\n\n").contains("\"recovered\":true"), "{all}");
    bob.says("say-live");
    let live = events.until("say-live");
    assert_eq!(order(&live), ["say-live"]);
    // The same by the query, and what is told has ids to go on with.
    let mut events = Client::to(chat.server.port(1));
    events.follow(&format!("/rooms/lobby/events?after={}", ids[298]), "");
    let all = events.until("\"joined\"");
    assert_eq!(order(&all), ["say-299", "say-live"]);
    let id = format!("-{}\n", ids[299]);
    let id = all.lines().find(|line| line.starts_with("id: ") && format!("{line}\n").ends_with(&id)).unwrap();
    let mut events = Client::to(chat.server.port(1));
    events.follow("/rooms/lobby/events", &id.replace("id: ", "Last-Event-ID: "));
    assert_eq!(order(&events.until("\"joined\"")), ["say-live"]);
    // Of a log that is not this one nothing is known.
    let mut events = Client::to(chat.server.port(1));
    events.follow(&format!("/rooms/lobby/events?after=other-{}", ids[298]), "");
    assert!(events.until("\"recovered\":false").contains("joined"));
}
