//! What happens in a chat, as lines that people read.
//!
//! A line begins with who speaks, with `* ` where something happens, or with `! ` where something failed; whatever follows
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

/// What somebody says, or, with `me`, does: `ann: hello`, `* ann waves`. `room` is named if there is one: `[dev] ann: hello`.
pub fn said(from: &str, text: &str, me: bool, room: Option<&str>) -> String {
    let (from, text) = (clean(from, false), clean(text, true));
    let mut line = String::with_capacity(room.map_or(0, str::len) + from.len() + text.len() + 8);
    if let Some(room) = room {
        line.push('[');
        line.push_str(&clean(room, false));
        line.push_str("] ");
    }
    if me {
        line.push_str("* ");
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
        let time = until.map(|until| Duration::from_secs(until.saturating_sub(at.time).max(0) as u64 / 1000));
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
