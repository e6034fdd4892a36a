//! What somebody may do at most: who does more is told so, and the others notice nothing.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    Chat,
    client::Client,
    member::{Bot, Typist},
};

#[test]
fn a_text_has_its_length_and_the_connection_lives() {
    let chat = Chat::new();
    let (mut ann, mut bot) = (chat.typist("ann"), chat.bot("bot"));
    let (fits, too_long) = ("ü".repeat(2048), "x".repeat(4097));
    for text in [&too_long, &"\u{1}".repeat(3000)] {
        let refused = bot.refused(&json!({"do": "say", "text": text}));
        assert!(refused.ends_with("bytes cannot be taken: 4096 is the most"), "{refused}");
    }
    let answer = chat.post("/rooms/lobby/messages?name=web", "", &too_long);
    assert!(answer.status == 413 && answer.body.contains("4096"), "{answer:?}");
    ann.asks(&too_long, "! a message of 4097 bytes cannot be taken: 4096 is the most");
    ann.types(&fits);
    assert_eq!(bot.event("message")["text"], *fits);
    bot.ask(&json!({"do": "say", "text": fits}));
    ann.hears(&format!("bot: {fits}\n"));
    for (field, limit) in [("uid", 64), ("tag", 64)] {
        let mut asked = json!({"do": "say", "text": "hi"});
        asked[field] = json!("u".repeat(limit + 1));
        assert!(bot.refused(&asked).contains("64"), "{field}");
    }
    assert!(bot.refused(&json!({"do": "topic", "room": "lobby", "text": "t".repeat(401)})).contains("400"));
    bot.says("still here");
    ann.hears("bot: still here\n");
}

#[test]
fn a_line_without_an_end_ends_the_connection_and_says_so() {
    let chat = Chat::new();
    let mut ann = chat.typist("ann");
    let mut eve = chat.typist("eve");
    ann.hears("eve\n");
    let mut line = vec![b'x'; 1 << 20];
    line.push(b'\n');
    // It may be shut before all of it was sent.
    let _ = std::io::Write::write_all(&mut eve.stream, &line);
    ann.hears("* eve has left (1)\n");
    let mut bot = chat.bot("bot");
    bot.send(&format!("{{\"do\":\"say\",\"text\":\"{}\"}}", "x".repeat(200_000)));
    let reason = bot.event("bye")["reason"].to_string();
    assert!(reason.contains("32"), "{reason}");
    ann.hears("* bot has left (1)\n");
    ann.asks("/who", "* in lobby (1): ann\n");
}

#[test]
fn what_is_pasted_arrives_in_order_though_slowly() {
    let chat = Chat::with(&["--db", "none", "--flood", "8"]);
    let (mut ann, mut bob) = (chat.typist("ann"), chat.typist("bob"));
    let pasted: String = (0..64).map(|at| format!("line {at}\n")).collect();
    let begun = Instant::now();
    ann.send(pasted.as_bytes());
    for at in 0..64 {
        bob.hears(&format!("ann: line {at}\n"));
    }
    // 40 at once, one of which was for the name, and the others in three seconds.
    assert!(begun.elapsed() > Duration::from_secs(3), "{:?}", begun.elapsed());
    bob.types("others talk as ever");
    ann.hears("bob: others talk as ever\n");
}

#[test]
fn who_posts_too_fast_is_told_when_to_come_again() {
    let chat = Chat::with(&["--db", "none", "--flood", "1"]);
    let mut client = Client::to(chat.server.port(1));
    let mut post = |text: &str, name: &str| client.ask("POST", &format!("/rooms/lobby/messages?name={name}"), "", text);
    let taken = (0..20).take_while(|at| post(&format!("number {at}"), "ci").status == 201).count();
    assert!((5..10).contains(&taken), "{taken}");
    let refused = post("more", "ci");
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")), "{refused:?}");
    assert!(refused.body.contains("\"error\""), "{refused:?}");
    assert_eq!(chat.texts().len(), taken);
}

#[test]
fn a_connection_is_in_64_rooms_at_most() {
    let chat = Chat::new();
    let mut bot = chat.bot("bot");
    for at in 1..64 {
        bot.joins(&format!("room-{at}"));
    }
    let refused = bot.refused(&json!({"do": "join", "room": "one-more"}));
    assert!(refused.contains("you are in 64 rooms"), "{refused}");
    bot.ask(&json!({"do": "leave", "room": "room-7"}));
    bot.event("left");
    bot.joins("one-more");
    let mut ann = chat.typist("ann");
    ann.asks("/rooms", "room-63 (1)\n");
    ann.asks("/join room-63", "(2 here)");
}

const NONSENSE: &[&str] = &[
    "nonsense",
    "{",
    "[]",
    "null",
    "42",
    "\"say\"",
    "{}",
    r#"{"do":"dance"}"#,
    r#"{"do":null}"#,
    r#"{"do":["say"]}"#,
    r#"{"do":"say"}"#,
    r#"{"do":"say","text":42}"#,
    r#"{"do":"say","text":["hi"]}"#,
    r#"{"do":"say","text":null}"#,
    r#"{"do":"say","text":""}"#,
    r#"{"do":"say","text":"  \n "}"#,
    r#"{"do":"say","text":"hi","room":7}"#,
    r#"{"do":"say","text":"hi","room":"nowhere"}"#,
    r#"{"do":"say","text":"hi","room":""}"#,
    r#"{"do":"say","text":"hi","uid":""}"#,
    r#"{"do":"say","text":"hi","uid":"\u0000"}"#,
    r#"{"do":"say","text":"\ud800"}"#,
    r#"{"do":"say","text":"hi"} and more"#,
    r#"{"do":"join","room":"lobby","after":-1}"#,
    r#"{"do":"join","room":"lobby","after":99999999999999999999}"#,
    r#"{"do":"join","room":"@"}"#,
    r#"{"do":"join","room":"@@"}"#,
    r#"{"do":"join","room":"@+"}"#,
    r#"{"do":"join","room":"a b"}"#,
    r#"{"do":"history","room":"lobby","limit":"many"}"#,
    r#"{"do":"rule","room":"lobby","act":"explode","name":"ann"}"#,
    r#"{"do":"rule","room":"lobby","act":"kick"}"#,
    r#"{"do":"hello","token":7}"#,
    r#"{"do":"register","password":"short"}"#,
    r#"{"do":"tell","to":"","text":"hi"}"#,
    r#"{"do":"name","name":""}"#,
    "{\"do\":\"say\",\"text\":\"hi\",\u{0}}",
];

#[test]
fn nonsense_is_answered_with_an_error_and_the_connection_lives() {
    let chat = Chat::new();
    let mut bot = chat.bot("bot");
    let deep = format!("{{\"do\":\"say\",\"text\":\"hi\",\"x\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    for line in NONSENSE.iter().copied().chain([&*deep]) {
        bot.send(line);
        let shown: String = line.chars().take(60).collect();
        let answer = bot.next().unwrap_or_else(|| panic!("{shown} ends the connection"));
        assert_eq!(answer["event"], "error", "{shown} is answered {answer}");
        let error = answer["error"].as_str().unwrap();
        assert!(!error.is_empty() && error.len() < 500, "{shown}: {error}");
    }
    // Members that a later version may know are passed over.
    bot.send(r#"{"do":"say","text":"still here","later":{"a":[1]},"tag":"t"}"#);
    bot.text("still here");
}

#[test]
fn edges_of_numbers_are_answered() {
    let chat = Chat::with(&["--flood", "off"]);
    let mut bot = chat.bot("bot");
    bot.says("one");
    for asked in [
        json!({"do": "history", "room": "lobby", "before": 0}),
        json!({"do": "history", "room": "lobby", "before": u64::MAX}),
        json!({"do": "history", "room": "lobby", "limit": 0}),
        json!({"do": "history", "room": "lobby", "limit": u64::MAX}),
        json!({"do": "search", "room": "lobby", "text": "\" OR * NEAR( -"}),
        json!({"do": "search", "room": "lobby", "text": "x*y* \u{0}"}),
        json!({"do": "search", "room": "lobby", "text": ""}),
    ] {
        bot.ask(&asked);
        bot.event("history");
    }
    for after in [0, 1, u64::MAX] {
        let mut other = chat.nobody();
        other.ask(&json!({"do": "join", "room": "lobby", "after": after}));
        let joined = other.event("joined");
        assert!(joined["recovered"].is_boolean(), "{joined}");
        bot.says(&format!("after {after}"));
        other.text(&format!("after {after}"));
    }
    let seconds = json!({"do": "rule", "room": "mine", "act": "mute", "name": "bot", "seconds": u64::MAX});
    bot.joins("mine");
    bot.ask(&seconds);
    bot.event("ruled");
    for path in ["?before=x", "?limit=-1", "?limit=99999999999999999999999", "?after=x"] {
        let status = chat.get(&format!("/rooms/lobby/messages{path}")).status;
        assert!(status == 400 || status == 200, "{path}: {status}");
    }
}

/// The same text under the same uid is the same message.
#[test]
fn what_is_sent_twice_is_said_once() {
    let chat = Chat::with(&["--flood", "off"]);
    let (mut ann, mut bob) = (chat.bot("ann"), chat.bot("bob"));
    let said = json!({"do": "say", "text": "once", "uid": "my-uid"});
    ann.ask(&said);
    let first = ann.event("kept");
    ann.ask(&said);
    assert_eq!(ann.event("kept"), first);
    let headers = "Content-Type: application/json";
    let again = chat.post("/rooms/lobby/messages?name=ci", headers, r#"{"text":"once","uid":"my-uid"}"#);
    assert_eq!((again.status, again.json()), (201, first.clone()));
    ann.says("the end");
    bob.text("once");
    bob.until("the end", |event| {
        assert_ne!(event["text"], "once", "{event}");
        event["text"] == "the end"
    });
    let port = chat.server.port(0);
    let (mut ann, _) = (Bot::to(port), Typist::to(port));
    ann.joins("elsewhere");
    let refused = ann.refused(&json!({"do": "say", "room": "elsewhere", "text": "x", "uid": "my-uid"}));
    assert!(refused.contains("another message's"), "{refused}");
}
