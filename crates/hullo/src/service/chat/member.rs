//! One connection in the rooms: what it is told, and in which form.

use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{
    people::Person,
    room::{Item, Room},
};
use crate::{
    chat::{
        Event, What,
        line::{Lines, said},
        name::parties,
    },
    error::{Error, Kind},
    message::Message,
    session::{Outbox, Post},
};

/// Rooms that one connection may be in, and besides them conversations with one other, into which others may bring it.
pub(super) const ROOMS: usize = 64;
const PRIVATE: usize = 256;

/// How somebody hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// Lines for people.
    Lines,
    /// An event of JSON in each message.
    Json,
    /// Server-sent events.
    Feed,
}

/// A connection.
pub(super) struct Member {
    /// Its number, which is never used again.
    pub(super) number: u64,
    pub(super) door: Door,
    pub(super) person: Arc<Person>,
    /// Where it comes from, where that tells people apart.
    pub(super) network: Option<String>,
    /// The number of the room that is spoken in if none is named.
    pub(super) current: AtomicU64,
    /// The number of the room that it is about to come into.
    pub(super) joining: AtomicU64,
    /// The log in which ids count.
    log: Arc<str>,
    /// Held while something of a room is told, so that nothing of it follows once it is left.
    places: Mutex<Vec<Place>>,
    outbox: Outbox,
    ended: OnceLock<&'static str>,
}

/// Where it is, and all of that room up to this sequence is not for it: it was told it in another way, when it came.
struct Place {
    room: Arc<Room>,
    since: u64,
}

impl Member {
    /// A connection of that number, which is in no room yet.
    pub(super) fn new(
        number: u64,
        log: Arc<str>,
        door: Door,
        person: Arc<Person>,
        network: Option<String>,
        outbox: Outbox,
    ) -> Self {
        let (current, joining, places, ended) =
            (AtomicU64::new(0), AtomicU64::new(0), Mutex::default(), OnceLock::new());
        Self { number, door, person, network, current, joining, log, places, outbox, ended }
    }

    /// The same connection as that person's, in that form.
    pub(super) fn again(&self, door: Door, person: Arc<Person>) -> Self {
        let (log, network, outbox) = (self.log.clone(), self.network.clone(), self.outbox.clone());
        Self::new(self.number, log, door, person, network, outbox)
    }

    fn places(&self) -> MutexGuard<'_, Vec<Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rooms that it is in.
    pub(super) fn rooms(&self) -> Vec<Arc<Room>> {
        self.places().iter().map(|place| place.room.clone()).collect()
    }

    pub(super) fn is_in(&self, room: &Arc<Room>) -> bool {
        self.places().iter().any(|place| Arc::ptr_eq(&place.room, room))
    }

    /// Whether it may be in one more of that kind.
    pub(super) fn has_place_for(&self, room: &Room) -> bool {
        let is_private = room.parties.is_some();
        let same = self.places().iter().filter(|place| place.room.parties.is_some() == is_private).count();
        same < if is_private { PRIVATE } else { ROOMS }
    }

    /// It is in that room from now on, and hears what comes after that sequence.
    pub(super) fn enter(&self, room: &Arc<Room>, since: u64) {
        let mut places = self.places();
        match places.iter_mut().find(|place| Arc::ptr_eq(&place.room, room)) {
            Some(place) => place.since = since,
            None => places.push(Place { room: room.clone(), since }),
        }
    }

    /// It is told nothing more of that room.
    pub(super) fn leave(&self, room: &Room) {
        self.places().retain(|place| place.room.number != room.number);
    }

    /// Tells it something, at once as far as it reads. Whoever does not read any more has its end come to it.
    pub(super) fn tell(&self, event: &Event, current: &str) {
        if let Some(message) = self.form(event, current) {
            self.post(&mut message.into());
        }
    }

    /// The same, from a thread that is no runtime's.
    pub(super) fn tell_later(&self, event: &Event, current: &str) {
        if let Some(message) = self.form(event, current)
            && let Err(error) = self.outbox.queue(&mut message.into())
        {
            self.failed(&error);
        }
    }

    /// Tells it several things together.
    pub(super) fn tell_all<'a>(&self, events: impl Iterator<Item = &'a Event>, current: &str) {
        self.post(&mut Post::new(events.filter_map(|event| self.form(event, current)).collect()));
    }

    /// Why it was ended, if it was.
    pub(super) fn why_ended(&self) -> Option<&'static str> {
        self.ended.get().copied()
    }

    /// What could not be told to it is lost to it: then it has to go, and to come again.
    fn failed(&self, error: &Error) {
        if error.kind() == Kind::TooLarge {
            let reason = self.ended.get_or_init(|| "you read too slowly, and too much waits for you");
            let bye = Event::Bye { reason: (*reason).to_owned() };
            self.outbox.end(self.form(&bye, ""));
        }
    }

    fn post(&self, post: &mut Post) {
        if post.messages().is_empty() {
            return;
        }
        if let Err(error) = self.outbox.post(post) {
            self.failed(&error);
        }
    }

    fn form(&self, event: &Event, current: &str) -> Option<Message> {
        match self.door {
            Door::Lines => {
                let lines = Lines { me: self.person.name().to_string(), current: current.to_owned() };
                lines.line(event).map(Message::text)
            }
            Door::Json => Some(json(event)),
            Door::Feed => Some(feed(event, &self.log)),
        }
    }
}

/// An event as JSON.
fn json(event: &Event) -> Message {
    // What we have made can be written.
    Message::text(serde_json::to_string(event).unwrap_or_default())
}

/// A server-sent event: where it has a place in the log, the log and that place are its id.
fn feed(event: &Event, log: &str) -> Message {
    let data = serde_json::to_string(event).unwrap_or_default();
    let id = match event {
        Event::Message(said) => said.at.id,
        Event::Edited { at, .. } | Event::Deleted { at, .. } | Event::Topic { at, .. } | Event::Ruled { at, .. } => {
            at.id
        }
        Event::Joined { last, .. } => *last,
        _ => return Message::text(format!("data: {data}\n\n")),
    };
    Message::text(format!("id: {log}-{id}\ndata: {data}\n\n"))
}

/// What is told of a room to all its members: made once for each form, and shared.
pub(super) struct Telling<'a> {
    room: &'a str,
    number: u64,
    items: &'a [Item],
    /// Connections that some of it is not for.
    apart: Vec<u64>,
    here: Option<Post>,
    elsewhere: Option<Post>,
    json: Option<Post>,
    feed: Option<Post>,
}

impl<'a> Telling<'a> {
    pub(super) fn new(room: &'a str, number: u64, items: &'a [Item]) -> Self {
        let mut apart: Vec<_> = items.iter().filter_map(|item| item.by).collect();
        apart.dedup();
        Self { room, number, items, apart, here: None, elsewhere: None, json: None, feed: None }
    }

    /// Tells a member all that came after it took its place in the room, if it still has that.
    pub(super) fn to(&mut self, member: &Member) {
        let places = member.places();
        let Some(since) = places.iter().find(|place| place.room.number == self.number).map(|place| place.since) else {
            return;
        };
        let is_current = member.current.load(Relaxed) == self.number;
        let all =
            self.items.first().is_some_and(|first| first.sequence > since) && !self.apart.contains(&member.number);
        if !all || parties(self.room).is_some() {
            let current = if is_current { self.room } else { "" };
            let concerns = |item: &&Item| item.sequence > since && !item.is_unheard_by(member);
            let events: Vec<_> = self.items.iter().filter(concerns).map(Item::event).collect();
            return member.tell_all(events.iter(), current);
        }
        let (room, items, log) = (self.room, self.items, &member.log);
        let post = match (member.door, is_current) {
            (Door::Lines, true) => self.here.get_or_insert_with(|| lines(items, None, room)),
            (Door::Lines, false) => self.elsewhere.get_or_insert_with(|| lines(items, Some(room), "")),
            (Door::Json, _) => {
                self.json.get_or_insert_with(|| Post::new(items.iter().map(|item| json(&item.event())).collect()))
            }
            (Door::Feed, _) => {
                self.feed.get_or_insert_with(|| Post::new(items.iter().map(|item| feed(&item.event(), log)).collect()))
            }
        };
        member.post(post);
    }
}

/// What was said as lines, and all else too.
fn lines(items: &[Item], room: Option<&str>, current: &str) -> Post {
    let lines = Lines { me: String::new(), current: current.to_owned() };
    let line = |item: &Item| match &item.entry {
        Ok(entry) => match &entry.what {
            What::Say { text, me, .. } => Some(said(&entry.from, text, *me, room)),
            _ => lines.line(&entry.event()),
        },
        Err(event) => lines.line(event),
    };
    Post::new(items.iter().filter_map(line).map(Message::text).collect())
}
