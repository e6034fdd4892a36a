#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! The words of a chat: what is written reads the same, and no event gets anything past the lines that people read.

use hullo::chat::{
    Act, Ask, Asked, At, Entry, Event, Person, Presence, Room, Said, What,
    line::{Lines, said},
};
use proptest::{prelude::*, sample::select};

const ACTS: &[Act] =
    &[Act::Op, Act::Deop, Act::Kick, Act::Ban, Act::Unban, Act::Mute, Act::Unmute, Act::Open, Act::Close];

/// What the words are made of in one case.
#[derive(Clone, Debug)]
struct Parts {
    text: String,
    name: String,
    room: String,
    some: Option<String>,
    number: u64,
    time: i64,
    count: usize,
    flag: bool,
    act: Act,
}

prop_compose! {
    fn parts()(
        text in text(), name in text(), room in prop_oneof![text(), Just("@ann+bob".into()), Just("lobby".into())],
        some in prop::option::of(text()), number: u64, time: i64, count: u32, flag: bool, act in select(ACTS),
    ) -> Parts {
        Parts { text, name, room, some, number, time, count: count as usize, flag, act }
    }
}

/// Text with much of what is of interest in it.
fn text() -> impl Strategy<Value = String> {
    let special = select(&['\r', '\n', '\t', '\x1b', '\u{9b}', '\u{202e}', '\u{2028}', '\u{301}', '|', ':', '*'][..]);
    prop::collection::vec(prop_oneof![special, any::<char>()], 0..12).prop_map(String::from_iter)
}

impl Parts {
    fn at(&self) -> At {
        let Self { number, text, room, name, time, .. } = self.clone();
        At { id: number, uid: text, room, from: name, time }
    }

    fn said(&self) -> Said {
        let (text, edited) = (self.text.clone(), self.flag.then_some(self.time));
        Said { at: self.at(), text, me: self.flag, edited, deleted: !self.flag && self.number.is_multiple_of(2) }
    }

    fn events(&self) -> Vec<Event> {
        let Self { text, name, room, some, number, time, count, flag, act } = self.clone();
        let tag = some.clone();
        let seldom = flag.then_some(time);
        let is = [Presence::Here, Presence::Gone, Presence::Now { new: text.clone() }];
        let person = Person { name: name.clone(), operator: flag, account: !flag };
        let a_room = Room { room: room.clone(), topic: text.clone(), count, closed: flag };
        let mut events = vec![
            Event::Welcome {
                name: name.clone(),
                account: flag,
                token: text.clone(),
                log: name.clone(),
                private: some.iter().cloned().collect(),
            },
            Event::Joined {
                room: room.clone(),
                topic: text.clone(),
                people: vec![name.clone(), text.clone()],
                count,
                last: number,
                recovered: flag.then_some(true),
                operator: flag,
                closed: !flag,
            },
            Event::Left { room: room.clone(), reason: some.clone() },
            Event::Message(self.said()),
            Event::Edited { at: self.at(), of: name.clone(), text: text.clone() },
            Event::Deleted { at: self.at(), of: name.clone() },
            Event::Topic { at: self.at(), text: text.clone() },
            Event::Ruled { at: self.at(), act, name: some.clone(), reason: some.clone(), until: seldom },
            Event::Kept { uid: text.clone(), id: number, room: room.clone() },
            Event::Typing { room: room.clone(), name: name.clone() },
            Event::Who { room: room.clone(), people: vec![person], count, tag: tag.clone() },
            Event::Rooms { rooms: vec![a_room], tag: tag.clone() },
            Event::History { room: room.clone(), messages: vec![self.said()], more: flag, tag: tag.clone() },
            Event::Invitation { room: room.clone(), token: text.clone(), tag: tag.clone() },
            Event::Done { tag: tag.clone() },
            Event::Error { error: text.clone(), hint: some.clone(), tag, uid: some },
            Event::Notice { text: text.clone() },
            Event::Bye { reason: text },
            Event::Pong,
        ];
        events.extend(is.map(|is| Event::Presence { room: room.clone(), name: name.clone(), is, count }));
        events
    }

    fn asks(&self) -> Vec<Ask> {
        let Self { text, name, room, some, number, count, flag, act, .. } = self.clone();
        let (uid, before, limit) = (some.clone(), flag.then_some(number), flag.then_some(count));
        vec![
            Ask::Hello { name: some.clone(), password: some.clone(), token: some.clone() },
            Ask::Join {
                room: room.clone(),
                after: before,
                log: some.clone(),
                uid: uid.clone(),
                history: limit,
                token: some.clone(),
            },
            Ask::Leave { room: room.clone() },
            Ask::Say { room: room.clone(), text: text.clone(), uid: uid.clone(), me: flag },
            Ask::Tell { to: name.clone(), text: text.clone(), uid },
            Ask::Edit { room: room.clone(), of: name.clone(), text: text.clone() },
            Ask::Delete { room: room.clone(), of: name.clone() },
            Ask::Typing { room: room.clone() },
            Ask::Name { name },
            Ask::Topic { room: room.clone(), text: text.clone() },
            Ask::Who { room: room.clone() },
            Ask::Rooms,
            Ask::History { room: room.clone(), before, limit },
            Ask::Search { room: room.clone(), text: text.clone(), before, limit },
            Ask::Rule { room: room.clone(), act, name: some.clone(), reason: some, seconds: before },
            Ask::Invite { room },
            Ask::Register { password: text },
            Ask::Ping,
        ]
    }

    fn entries(&self) -> Vec<Entry> {
        let Self { text, name, some, time, flag, act, .. } = self.clone();
        let (of, until) = (name, flag.then_some(time));
        let whats = [
            What::Say { text: text.clone(), me: flag, edited: until, deleted: !flag },
            What::Edit { of: of.clone(), text: text.clone() },
            What::Delete { of },
            What::Topic { text },
            What::Rule {
                act,
                name: some.clone(),
                key: some.clone(),
                network: some.clone(),
                reason: some.clone(),
                until,
                secret: some,
            },
        ];
        let At { uid, room, from, .. } = self.at();
        let (uid, room, from, author) = (uid.into(), room.into(), from.clone().into(), from.into());
        let entry = Entry { id: 0, uid, room, author, from, time, what: What::Delete { of: String::new() } };
        whats.map(|what| Entry { what, ..entry.clone() }).to_vec()
    }

    fn lines(&self) -> Lines {
        Lines { me: if self.flag { "ann".into() } else { self.name.clone() }, current: self.text.clone() }
    }
}

fn again<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(word: &T) {
    let json = serde_json::to_string(word).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&json).unwrap_or_else(|error| panic!("{json}: {error}")), word, "{json}");
}

/// That nobody can make a line steer a terminal, or begin as another's would.
fn harmless(line: &str) {
    assert!(!line.contains(|c: char| c.is_control() && c != '\n'), "{line:?}");
    assert!(!line.contains(|c: char| matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')), "{line:?}");
    assert!(line.split('\n').skip(1).all(|more| more.starts_with("  | ")), "{line:?}");
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(parts in parts()) {
        parts.events().iter().for_each(again);
        parts.entries().iter().for_each(again);
        for ask in parts.asks() {
            again(&ask);
            again(&Asked { tag: parts.some.clone(), ask });
        }
    }

    #[test]
    fn no_event_gets_anything_past_the_lines(parts in parts()) {
        for event in parts.events().into_iter().chain(parts.entries().iter().map(Entry::event)) {
            if let Some(line) = parts.lines().line(&event) {
                harmless(&line);
            }
        }
        harmless(&said(&parts.name, &parts.text, parts.flag, parts.some.as_deref()));
    }

    #[test]
    fn any_json_gets_a_verdict(
        key in select(&["event", "do"][..]),
        word in select(&["message", "ruled", "presence", "say", "rule", "join", "later", ""][..]),
        pairs in prop::collection::vec(("[a-z]{1,6}|act|is|room|text|name|id|time", r#"[0-9]{1,25}|-1|1e9|null|true|"[a-z]{0,5}"|\[\]|\{\}"#), 0..8),
        end in ".{0,3}",
    ) {
        let pairs: String = pairs.iter().map(|(key, value)| format!(r#","{key}":{value}"#)).collect();
        let json = format!(r#"{{"{key}":"{word}"{pairs}}}{end}"#);
        if let Ok(event) = serde_json::from_str::<Event>(&json) {
            harmless(&Lines::default().line(&event).unwrap_or_default());
        }
        if let Ok(asked) = serde_json::from_str::<Asked>(&json) {
            again(&asked);
        }
    }
}

#[test]
fn what_a_later_version_tells_is_passed_over() {
    let event = serde_json::from_str(r#"{"event":"later","room":"lobby","how":{"much":[1]}}"#);
    assert_eq!(event.ok(), Some(Event::Unknown));
    let event = serde_json::from_str::<Event>(r#"{"event":"pong","more":1}"#);
    assert_eq!(event.ok(), Some(Event::Pong));
    let asked = serde_json::from_str::<Asked>(r#"{"do":"say","text":"hi","tag":"7"}"#).unwrap();
    let ask = Ask::Say { room: "lobby".into(), text: "hi".into(), uid: None, me: false };
    assert_eq!(asked, Asked { tag: Some("7".into()), ask });
}
