//! What happens in a chat, as lines that people read.
//!
//! A line begins with who speaks, with `- ` where somebody does something, with `* ` where something happens, or with `! ` where something failed; whatever follows
//! on further lines begins with `  | `, so that no text can look like another's. Clients make these lines of what servers
//! tell that they do not trust: nothing gets into a line that is not [`clean`].

use std::{borrow::Cow, time::Duration};

use super::{Act, At, Event, LOBBY, Person, Presence, Room, Said, name::parties, text::clean};

/// What begins a line that goes on with the one before it.
const MORE: &str = "\n  | ";

/// The most names that a line lists.
const LISTED: usize = 50;

/// What lines depend on: who reads them, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// The reader's name.
    pub me: String,
    /// The room that they are in; what happens in another says which one.
    pub current: String,
}

/// What somebody says, or, with `me`, does: `ann: hello`, `- ann waves`, so that nobody can do what looks like a notice. `room` is named if there is one: `[dev] ann: hello`.
pub fn said(from: &str, text: &str, me: bool, room: Option<&str>) -> String {
    let (from, text) = (clean(from, false), clean(text, true));
    let mut line = String::with_capacity(room.map_or(0, str::len) + from.len() + text.len() + 8);
    if let Some(room) = room {
        line.push('[');
        line.push_str(&clean(room, false));
        line.push_str("] ");
    }
    if me {
        line.push_str("- ");
    }
    line.push_str(&from);
    line.push_str(if me { " " } else { ": " });
    if matches!(text, Cow::Borrowed(_)) {
        // It is printable ASCII, and so one line.
        line.push_str(&text);
    } else {
        line.push_str(&text.replace('\n', MORE));
    }
    line
}

impl Lines {
    /// The event as a line, if people are told of it. It may go on over several, and ends without a line break.
    pub fn line(&self, event: &Event) -> Option<String> {
        let line = match event {
            Event::Welcome { name, account, .. } => welcome(name, *account),
            Event::Joined { .. } => self.joined(event)?,
            Event::Left { room, reason } => {
                happened(None, &format!("you have left {}{}", self.place(room), why(reason)))
            }
            Event::Message(message) => self.message(message),
            Event::Edited { at, text, .. } => self.act(at, &format!("changed a message: {text}")),
            Event::Deleted { at, .. } => self.act(at, "took a message back"),
            Event::Topic { at, text } if text.is_empty() => self.act(at, "took the topic away"),
            Event::Topic { at, text } => self.act(at, &format!("set the topic: {text}")),
            Event::Ruled { .. } => self.ruled(event)?,
            Event::Presence { room, name, is, count } => self.notice(room, &format!("{name} {}", came(is, *count))),
            Event::Who { room, people, count, .. } => self.who(room, people, *count),
            Event::Rooms { rooms, .. } => {
                listed("there are these rooms:", "there are no rooms", rooms.iter().map(about))
            }
            Event::History { room, messages, more, .. } => self.history(room, messages, *more),
            Event::Invitation { room, token, .. } => {
                happened(None, &format!("whoever types this may come in: /join {} {token}", self.place(room)))
            }
            Event::Error { error, hint, .. } => failed(error, hint.as_deref()),
            Event::Notice { text } => happened(None, text),
            Event::Bye { reason } => happened(None, &format!("the server says goodbye: {reason}")),
            Event::Kept { .. } | Event::Typing { .. } | Event::Done { .. } | Event::Pong | Event::Unknown => {
                return None;
            }
        };
        Some(line)
    }

    /// How the room is named to the reader, if it is not the one that they are in.
    pub fn elsewhere<'a>(&self, room: &'a str) -> Option<Cow<'a, str>> {
        let place = self.place(room);
        (room != self.current && place != self.current).then_some(place)
    }

    /// How the room is named to the reader: a private one after the other person.
    pub fn place<'a>(&self, room: &'a str) -> Cow<'a, str> {
        match parties(room) {
            Some((one, other)) if one == self.me => format!("@{other}").into(),
            Some((one, other)) if other == self.me => format!("@{one}").into(),
            _ => room.into(),
        }
    }

    fn message(&self, Said { at, text, me, deleted, .. }: &Said) -> String {
        if *deleted {
            return self.act(at, "took a message back");
        }
        // Of two people, one is the reader: "me" tells at a glance which.
        let from = if parties(&at.room).is_some() && at.from == self.me && !me { "me" } else { &at.from };
        said(from, text, *me, self.elsewhere(&at.room).as_deref())
    }

    fn joined(&self, event: &Event) -> Option<String> {
        let Event::Joined { room, topic, people, count, operator, closed, .. } = event else { return None };
        let mut line = format!("you are {} in {} ({count} here)", self.me, self.place(room));
        if !people.is_empty() {
            line = format!("{line}: {}", names(people.iter().map(Cow::from), *count));
        }
        let mut also = |holds: bool, what: &str| {
            if holds {
                line.push_str(what);
            }
        };
        also(*operator, ". You are an operator");
        also(*closed, ". Only the invited may come in");
        also(!topic.is_empty(), &format!(". The topic: {topic}"));
        also(room == LOBBY, ". /help says more, byebye leaves");
        Some(happened(None, &line))
    }

    fn ruled(&self, event: &Event) -> Option<String> {
        let Event::Ruled { at, act, name, reason, until } = event else { return None };
        let what = match act {
            Act::Open => return Some(self.act(at, "opened the room to everybody")),
            Act::Close => return Some(self.act(at, "closed the room to all but the invited")),
            Act::Op => "was made an operator",
            Act::Deop => "was deopped",
            Act::Kick => "was kicked",
            Act::Ban => "was banned",
            Act::Unban => "was unbanned",
            Act::Mute => "was muted",
            Act::Unmute => "was unmuted",
        };
        // The time of the entry is a moment after the one from which the end was counted.
        let seconds = |until: i64| (until.saturating_sub(at.time).max(0) as u64 + 500) / 1000;
        let time = until.map(|until| Duration::from_secs(seconds(until)));
        let time = time.map_or(String::new(), |time| format!(" for {}", humantime::format_duration(time)));
        let name = name.as_deref().unwrap_or("somebody");
        Some(self.notice(&at.room, &format!("{name} {what} by {}{time}{}", at.from, why(reason))))
    }

    fn who(&self, room: &str, people: &[Person], count: usize) -> String {
        let people = people.iter().map(|person| match (person.operator, person.account) {
            (true, true) => format!("{} (operator, account)", person.name).into(),
            (true, false) => format!("{} (operator)", person.name).into(),
            (false, true) => format!("{} (account)", person.name).into(),
            (false, false) => Cow::from(&person.name),
        });
        happened(None, &format!("in {} ({count}): {}", self.place(room), names(people, count)))
    }

    fn history(&self, room: &str, messages: &[Said], more: bool) -> String {
        let room = self.place(room);
        let some = format!("earlier in {room}{}:", if more { ", and there is more before it" } else { "" });
        let here =
            Self { current: messages.first().map_or_else(String::new, |first| first.at.room.clone()), ..self.clone() };
        let earlier = messages.iter().map(|message| format!("{} {}", clock(message.at.time), here.message(message)));
        listed(&some, &format!("there is nothing of that in {room}"), earlier)
    }

    fn act(&self, at: &At, what: &str) -> String {
        self.notice(&at.room, &format!("{} {what}", at.from))
    }

    fn notice(&self, room: &str, what: &str) -> String {
        happened(self.elsewhere(room).as_deref(), what)
    }
}

fn welcome(name: &str, account: bool) -> String {
    happened(None, &format!("you are {name}{}", if account { ", by your account" } else { "" }))
}

fn came(is: &Presence, count: usize) -> String {
    match is {
        Presence::Here => format!("is here ({count})"),
        Presence::Gone => format!("has left ({count})"),
        Presence::Now { new } => format!("is now called {new}"),
    }
}

fn about(Room { room, topic, count, closed }: &Room) -> String {
    let closed = if *closed { ", for the invited" } else { "" };
    format!("{room} ({count}{closed}){}{topic}", if topic.is_empty() { "" } else { ": " })
}

fn why(reason: &Option<String>) -> String {
    reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"))
}

/// What an error says, and what to do about it.
fn failed(error: &str, hint: Option<&str>) -> String {
    let line = format!("! {}", clean(error, false));
    hint.map_or(line.clone(), |hint| format!("{line} ({})", clean(hint, false)))
}

fn happened(room: Option<&str>, what: &str) -> String {
    let what = clean(what, true).replace('\n', MORE);
    room.map_or_else(|| format!("* {what}"), |room| format!("[{}] * {what}", clean(room, false)))
}

fn listed(some: &str, none: &str, lines: impl ExactSizeIterator<Item = String>) -> String {
    match lines.len() {
        0 => happened(None, none),
        _ => happened(None, &lines.fold(some.to_owned(), |all, line| all + "\n" + &line)),
    }
}

fn names<'a>(names: impl ExactSizeIterator<Item = Cow<'a, str>>, count: usize) -> String {
    let shown = names.len().min(LISTED);
    let list = names.take(LISTED).collect::<Vec<_>>().join(", ");
    if count > shown { format!("{list} and {} more", count - shown) } else { list }
}

/// The time of day and the date, in universal time: the reader's own zone is not known here.
fn clock(milliseconds: i64) -> String {
    match time::OffsetDateTime::from_unix_timestamp(milliseconds.div_euclid(1000)) {
        Ok(at) => format!("{} {:02}:{:02}", at.date(), at.hour(), at.minute()),
        Err(_) => "(at no time)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: i64 = 1_700_000_000_000;

    fn at(room: &str, from: &str) -> At {
        At { id: 1, uid: "u".into(), room: room.into(), from: from.into(), time: TIME }
    }

    fn message(room: &str, from: &str, text: &str) -> Said {
        Said { at: at(room, from), text: text.into(), me: false, edited: None, deleted: false }
    }

    fn ruled(act: Act, reason: Option<&str>, until: Option<i64>) -> Event {
        Event::Ruled { at: at("lobby", "ann"), act, name: Some("eve".into()), reason: reason.map(Into::into), until }
    }

    fn presence(room: &str, is: Presence, count: usize) -> Event {
        Event::Presence { room: room.into(), name: "ann".into(), is, count }
    }

    fn bob(event: &Event) -> String {
        Lines { me: "bob".into(), current: "lobby".into() }.line(event).unwrap_or_default()
    }

    fn joined(room: &str, people: Vec<String>, topic: &str, special: bool) -> Event {
        let (room, topic, count) = (room.into(), topic.into(), people.len());
        Event::Joined { room, topic, people, count, last: 1, recovered: None, operator: special, closed: special }
    }

    #[test]
    fn what_is_said_is_one_line() {
        for (room, from, text, line) in [
            ("lobby", "ann", "hello", "ann: hello"),
            ("dev", "ann", "hello", "[dev] ann: hello"),
            ("@ann+bob", "ann", "psst", "[@ann] ann: psst"),
            ("@ann+bob", "bob", "psst", "[@ann] me: psst"),
            ("@bob+zoe", "zoe", "psst", "[@zoe] zoe: psst"),
            ("@ann+eve", "eve", "psst", "[@ann+eve] eve: psst"),
            ("lobby", "bob", "mine", "bob: mine"),
            ("lobby", "ann", "one\ntwo\r\nthree", "ann: one\n  | two\n  | three"),
            ("lobby", "eve", "hi\nann: I resign", "eve: hi\n  | ann: I resign"),
            ("lobby", "eve", "hi\rann: I resign", "eve: hi\n  | ann: I resign"),
            ("lobby", "eve", "x\u{85}* ann has left (1)", "eve: x\n  | * ann has left (1)"),
            ("lobby", "e\x1b[2Kve\n", "\x1b[1A\u{202e}x", "e\u{fffd}[2Kve : \u{fffd}[1Ax"),
            ("d\x07ev\u{2066}", "ann", "<b>", "[d\u{fffd}ev] ann: <b>"),
        ] {
            assert_eq!(bob(&Event::Message(message(room, from, text))), line);
        }
        let wave = |room: &str, from: &str| Event::Message(Said { me: true, ..message(room, from, "waves") });
        assert_eq!(bob(&wave("lobby", "ann")), "- ann waves");
        assert_eq!(bob(&wave("dev", "ann")), "[dev] - ann waves");
        assert_eq!(bob(&wave("@ann+bob", "bob")), "[@ann] - bob waves");
        for current in ["@ann", "@ann+bob"] {
            let there = Lines { me: "bob".into(), current: current.into() };
            let line = there.line(&Event::Message(message("@ann+bob", "ann", "psst")));
            assert_eq!(line.as_deref(), Some("ann: psst"), "in {current}");
        }
    }

    #[test]
    fn what_happens_is_told() {
        for (event, line) in [
            (presence("lobby", Presence::Here, 3), "* ann is here (3)"),
            (presence("dev", Presence::Gone, 2), "[dev] * ann has left (2)"),
            (presence("lobby", Presence::Now { new: "eve".into() }, 2), "* ann is now called eve"),
            (
                Event::Edited { at: at("lobby", "ann"), of: "u".into(), text: "new".into() },
                "* ann changed a message: new",
            ),
            (Event::Deleted { at: at("dev", "ann"), of: "u".into() }, "[dev] * ann took a message back"),
            (Event::Topic { at: at("lobby", "ann"), text: "tea".into() }, "* ann set the topic: tea"),
            (Event::Topic { at: at("lobby", "ann"), text: String::new() }, "* ann took the topic away"),
            (ruled(Act::Kick, Some("spam"), None), "* eve was kicked by ann: spam"),
            (ruled(Act::Mute, None, Some(TIME + 600_499)), "* eve was muted by ann for 10m"),
            (ruled(Act::Mute, None, Some(TIME + 599_998)), "* eve was muted by ann for 10m"),
            (ruled(Act::Ban, Some("spam"), Some(i64::MIN)), "* eve was banned by ann for 0s: spam"),
            (ruled(Act::Close, None, None), "* ann closed the room to all but the invited"),
            (Event::Left { room: "@ann+bob".into(), reason: None }, "* you have left @ann"),
            (Event::Left { room: "dev".into(), reason: Some("spam".into()) }, "* you have left dev: spam"),
            (Event::Notice { text: "the others\nare away".into() }, "* the others\n  | are away"),
            (Event::Bye { reason: "it stops".into() }, "* the server says goodbye: it stops"),
        ] {
            assert_eq!(bob(&event), line);
        }
        let error = |hint: Option<&str>| Event::Error {
            error: "no\nroom \x1bc".into(),
            hint: hint.map(str::to_owned),
            tag: None,
            uid: None,
        };
        assert_eq!(bob(&error(None)), "! no room \u{fffd}c");
        assert_eq!(bob(&error(Some("try /join"))), "! no room \u{fffd}c (try /join)");
    }

    #[test]
    fn whoever_comes_is_told_where_they_are() {
        let people = ["ann", "bob"].map(str::to_owned).to_vec();
        let hello = "* you are bob in lobby (2 here): ann, bob. /help says more, byebye leaves";
        assert_eq!(bob(&joined("lobby", people.clone(), "", false)), hello);
        let private = joined("@ann+bob", people, "tea", true);
        let line = "* you are bob in @ann (2 here): ann, bob. You are an operator. Only the invited may come in. The topic: tea";
        assert_eq!(bob(&private), line);
        let crowd = (0..480).map(|number| format!("p{number}")).collect();
        assert!(bob(&joined("lobby", crowd, "", false)).contains("p48, p49 and 430 more. /help"));
        let welcome = |account| Event::Welcome {
            name: "bob".into(),
            account,
            token: "secret".into(),
            log: "log".into(),
            private: Vec::new(),
        };
        assert_eq!(bob(&welcome(false)), "* you are bob");
        assert_eq!(bob(&welcome(true)), "* you are bob, by your account");
    }

    #[test]
    fn answers_are_lists() {
        let person = |name: &str, operator, account| Person { name: name.into(), operator, account };
        let people = vec![person("ann", true, true), person("bob", false, true), person("eve", false, false)];
        let who = Event::Who { room: "dev".into(), people, count: 3, tag: None };
        assert_eq!(bob(&who), "* in dev (3): ann (operator, account), bob (account), eve");
        let room = |room: &str, topic: &str, closed| Room { room: room.into(), topic: topic.into(), count: 2, closed };
        let rooms = vec![room("lobby", "tea\nann: hi", false), room("dev", "", true)];
        let line = "* there are these rooms:\n  | lobby (2): tea\n  | ann: hi\n  | dev (2, for the invited)";
        assert_eq!(bob(&Event::Rooms { rooms, tag: None }), line);
        assert_eq!(bob(&Event::Rooms { rooms: Vec::new(), tag: None }), "* there are no rooms");
        let history = |messages, more| Event::History { room: "dev".into(), messages, more, tag: None };
        let gone = Said { deleted: true, ..message("dev", "eve", "") };
        let told = bob(&history(vec![message("dev", "ann", "one\ntwo"), gone], true));
        let line = "* earlier in dev, and there is more before it:\n  | 2023-11-14 22:13 ann: one\n  |   | two\n  \
                    | 2023-11-14 22:13 * eve took a message back";
        assert_eq!(told, line);
        assert_eq!(bob(&history(Vec::new(), false)), "* there is nothing of that in dev");
        let word = Event::Invitation { room: "dev".into(), token: "sesame".into(), tag: None };
        assert_eq!(bob(&word), "* whoever types this may come in: /join dev sesame");
    }

    #[test]
    fn what_is_for_programs_is_not_told() {
        let (uid, room, name) = ("u".to_owned(), "lobby".to_owned(), "ann".to_owned());
        let kept = Event::Kept { uid, id: 1, room: room.clone() };
        for event in [kept, Event::Typing { room, name }, Event::Done { tag: None }, Event::Pong, Event::Unknown] {
            assert_eq!(bob(&event), "");
        }
    }
}
