//! Texts and names that want to be more than that: nothing of them reaches another door unclean.

use serde_json::json;

use crate::{Chat, client::Client, common::peer};

/// What nobody may hear of anybody.
fn is_unclean(c: char) -> bool {
    let turns = matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    turns || c.is_control() && c != '\n'
}

const HOSTILE: &[&str] = &[
    "\u{1b}[2J\u{1b}[31mred\u{1b}]0;title\u{7}",
    "\u{9b}2J\u{9d}52;c;cHduZWQ=\u{9c}",
    "\u{1b}]8;;http://evil.example\u{1b}\\link\u{1b}]8;;\u{1b}\\",
    "user\u{202e}gnp.exe\u{2066}\u{200f}",
    "x\nann: hi\n* ann has left (1)",
    "x\rann: hi\u{85}ann: hi\u{2028}ann: hi\u{b}ann: hi",
    "a\u{8}\u{8}\u{8}ann: hi\u{7f}",
    "nul\u{0}nul",
    "\u{feff}\u{200b}zero",
];

#[test]
fn nothing_unclean_passes_a_door() {
    let chat = Chat::with(&["--flood", "off"]);
    let (mut ann, mut watcher) = (chat.typist("ann"), chat.bot("watcher"));
    let mut events = Client::to(chat.server.port(1));
    events.follow("/rooms/lobby/events", "");
    events.until("\"joined\"");
    let (mut eve, mut typing) = (chat.bot("eve"), chat.typist("mallory"));
    for text in HOSTILE {
        eve.ask(&json!({"do": "say", "text": text}));
        eve.ask(&json!({"do": "say", "text": text, "me": true}));
        eve.ask(&json!({"do": "tell", "to": "ann", "text": text}));
        eve.ask(&json!({"do": "topic", "room": "lobby", "text": text}));
        eve.ask(&json!({"do": "name", "name": format!("eve{text}")}));
        eve.ask(&json!({"do": "join", "room": format!("dev{text}")}));
        typing.types("/join lobby");
        typing.send(text.replace('\n', " ").as_bytes());
        typing.send(format!("\n/me {text}\n/nick {text}\n/join {text}\n/{text}\n/kick {text}\n").as_bytes());
        let body = json!({"text": text, "name": "bot", "uid": format!("u{text}")}).to_string();
        chat.post("/rooms/lobby/messages", "Content-Type: application/json", &body);
        chat.post("/rooms/lobby/messages?name=bot", "Content-Type: text/plain", text);
    }
    eve.ask(&json!({"do": "say", "text": "eve ends"}));
    ann.hears("eve ends");
    typing.types("/join lobby");
    typing.types("mallory ends");
    ann.hears("mallory ends");
    // All of it, as it is told to those who come later, and to those who ask.
    ann.asks("/history 500", "mallory ends\n");
    ann.asks("/rooms", "* there are these rooms:");
    ann.asks("/topic", "! ");
    let mut raw = String::new();
    watcher.send(r#"{"do":"history","room":"lobby","limit":500}"#);
    watcher.send(r#"{"do":"ping"}"#);
    while !raw.contains("\"pong\"") {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut watcher.stream, &mut line).unwrap();
        raw += &serde_json::from_str::<serde_json::Value>(&line).map(|event| strings(&event)).unwrap();
        if line.contains("\"pong\"") {
            raw += "\"pong\"";
        }
    }
    let events = events.until("mallory ends");
    let events = events.lines().filter_map(|line| line.strip_prefix("data: "));
    let events: String = events.map(|line| strings(&serde_json::from_str(line).unwrap())).collect();
    let late = chat.typist("late").all;
    for (whose, heard) in
        [("ann", &ann.all), ("watcher", &raw), ("events", &events), ("late", &late), ("mallory", &typing.all)]
    {
        let unclean: Vec<_> = heard.lines().filter(|line| line.contains(is_unclean)).collect();
        assert!(unclean.is_empty(), "{whose} heard {unclean:?}");
    }
    // Nobody has said anything in ann's name.
    for heard in [&ann.all, &late, &typing.all] {
        let forged = heard.lines().find(|line| line.starts_with("ann: ") || line.starts_with("* ann has left"));
        assert_eq!(forged, None);
    }
}

/// All strings of an event, one a line.
fn strings(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => format!("{text}\n"),
        serde_json::Value::Array(values) => values.iter().map(strings).collect(),
        serde_json::Value::Object(members) => members.values().map(strings).collect(),
        _ => String::new(),
    }
}

/// What is a mark-up elsewhere is text here: whoever shows it has to show it as text.
#[test]
fn html_stays_as_it_is() {
    let chat = Chat::new();
    let (mut ann, mut bob) = (chat.typist("ann"), chat.bot("bob"));
    let html = r#"<script>alert("x")</script>&amp;<img src=x onerror='y'>"#;
    bob.says(html);
    ann.hears(&format!("bob: {html}\n"));
    assert_eq!(chat.texts(), [html]);
    let answer = chat.get("/rooms/lobby/messages");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
}

/// Bytes that are no text, in lines and in events.
#[test]
fn bytes_that_are_no_text_harm_nobody() {
    let chat = Chat::new();
    let (mut ann, mut eve) = (chat.typist("ann"), chat.typist("eve"));
    ann.hears("eve\n");
    eve.send(b"\xff\xfe\x80 bytes \xc0\xaf \xed\xa0\x80\n");
    assert!(ann.hears(" bytes ").starts_with("eve: \u{fffd}"));
    eve.send(b"a\0b\n");
    ann.hears("eve: a\u{fffd}b\n");
    let mut bot = chat.bot("bot");
    std::io::Write::write_all(bot.stream.get_mut(), b"{\"do\":\"say\",\"text\":\"\xff\xfe\"}\n").unwrap();
    bot.ask(&json!({"do": "say", "text": "still here"}));
    bot.until("it", |event| event["text"] == "still here");
    ann.hears("bot: still here\n");
}

#[test]
fn a_page_of_another_site_may_not_talk_here() {
    let chat = Chat::new();
    let Some(curl) = peer("curl") else { return };
    let to = format!("http://127.0.0.1:{}/", chat.server.port(1));
    let words = [
        "-si",
        "-m",
        "2",
        "-H",
        "Connection: Upgrade",
        "-H",
        "Upgrade: websocket",
        "-H",
        "Sec-WebSocket-Version: 13",
        "-H",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "-H",
        "Origin: http://evil.example",
        &to,
    ];
    let ended = crate::common::run(chat.home.command(curl).args(words), "");
    let head = String::from_utf8_lossy(&ended.out).into_owned();
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
}
