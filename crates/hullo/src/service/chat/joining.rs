//! Coming into a room: what was said before, and then all that is said from now on, without a gap and without a double.
//!
//! What is on disk is read and told first. The newest entries are at hand in the room, those that are not written yet
//! among them: under its lock they are told, and the place is taken, in one step.

use std::sync::Arc;

use super::{
    history::History,
    member::Door,
    people::Person,
    posting::Draft,
    room::{Room, State},
    talk::Talk,
};
use crate::{
    chat::{Act, Entry, Event, LOBBY, Rules, What, name},
    error::{Error, Kind, Result, brief},
};

/// Entries that are read at once for somebody who was away.
const PAGE: usize = 500;

/// Rooms that one connection may be in.
const ROOMS: usize = 64;

/// How somebody wants to come in.
#[derive(Clone, Default)]
pub(super) struct Wish {
    pub(super) room: String,
    /// The last entry that they have seen: its id in the log of that name, and its uid.
    pub(super) after: Option<u64>,
    pub(super) log: Option<String>,
    pub(super) uid: Option<String>,
    /// How many messages to show where nothing was seen.
    pub(super) history: usize,
    /// The word for the invited.
    pub(super) word: Option<String>,
}

impl Wish {
    pub(super) fn new(room: &str) -> Self {
        Self { room: room.to_owned(), ..Self::default() }
    }
}

/// What was told of the past.
struct Past {
    /// All up to this id was told.
    until: u64,
    /// And of the messages, all up to this one.
    messages: u64,
    recovered: Option<bool>,
}

impl Talk {
    /// Comes into a room, if it lets us in.
    ///
    /// # Errors
    /// It does not, there is none, or the history cannot be read.
    pub(super) async fn join(&mut self, wish: Wish) -> Result<Arc<Room>> {
        let room = self.find(&wish.room).await?;
        if self.member.is_in(&room) {
            self.tell_me(&self.joined(&room, &room.state(), wish.after.map(|_| true)));
            return Ok(room);
        }
        if self.member.rooms().len() >= ROOMS {
            return Err(Error::new(Kind::TooLarge, format!("you are in {ROOMS} rooms, and can be in no more")));
        }
        self.admit(&room, wish.word.as_deref())?;
        let mut past = self.past(&room, &wish).await?;
        let fresh = loop {
            if let Some(fresh) = self.step_in(&room, &past, wish.history) {
                break fresh;
            }
            self.read_on(&room, &mut past).await?;
        };
        self.is_untold(&room);
        if fresh && is_common(&room) && !self.has_past(&room).await? {
            self.found(&room).await?;
        }
        Ok(room)
    }

    /// Lets us into a room, or not.
    pub(super) fn admit(&self, room: &Room, word: Option<&str>) -> Result<()> {
        let who = self.chat.who(&self.member.person, self.member.network.as_deref());
        room.state().rules.admit(&room.name, who, word, super::now())
    }

    /// Tells what can be read of the past, as far as that is wished.
    async fn past(&mut self, room: &Room, wish: &Wish) -> Result<Past> {
        let chat = self.chat.clone();
        let history = chat.history.as_ref().filter(|_| room.kept);
        if let Some(until) = self.seen(room, wish, history).await? {
            return Ok(Past { until, messages: 0, recovered: Some(true) });
        }
        let recovered = wish.after.map(|_| false);
        let Some(history) = history else { return Ok(Past { until: 0, messages: 0, recovered }) };
        // Whatever is written later is still at hand in the room.
        let until = history.written();
        let page = match wish.history {
            0 => Vec::new(),
            most => history.before(&room.name, None, most).await?,
        };
        self.show(&room.name, page.iter());
        Ok(Past { until, messages: page.last().map_or(0, |last| last.id), recovered })
    }

    /// The id up to which they have seen all, if what came then is still there.
    async fn seen(&self, room: &Room, wish: &Wish, history: Option<&History>) -> Result<Option<u64>> {
        let Some(after) = wish.after else { return Ok(None) };
        let ours = wish.log.as_deref().is_none_or(|log| *log == *self.chat.log);
        let Some(history) = history else {
            return Ok((ours && room.state().over(after).is_some()).then_some(after));
        };
        let after = match (ours, &wish.uid) {
            (true, _) => after,
            (false, None) => return Ok(None),
            // It is the id of another server, which has the same entry under another one.
            (false, Some(uid)) => match self.chat.known(room, uid).await? {
                Some(entry) if entry.room == room.name => entry.id,
                _ => return Ok(None),
            },
        };
        Ok(history.reaches(&room.name, after).await?.then_some(after))
    }

    /// Reads what lies between what was told and what is at hand.
    async fn read_on(&mut self, room: &Room, past: &mut Past) -> Result<()> {
        let entries = match self.chat.history.as_ref().filter(|_| room.kept) {
            Some(history) => history.after(&room.name, past.until, PAGE).await?,
            None => Vec::new(),
        };
        match entries.last() {
            Some(last) => past.until = last.id,
            // The rest is at hand, or is gone.
            None => past.until = past.until.max(room.state().floor()),
        }
        self.show(&room.name, entries.iter().filter(|entry| !past.has(entry)));
        self.inbox.flush().await
    }

    fn show<'a>(&self, room: &str, entries: impl Iterator<Item = &'a Entry>) {
        let events: Vec<_> = entries.map(Entry::event).collect();
        self.member.tell_all(events.iter(), room);
    }

    /// Takes a place, if all that is missing is at hand. Says whether nobody else was there.
    fn step_in(&self, room: &Arc<Room>, past: &Past, history: usize) -> Option<bool> {
        let mut state = room.state();
        let missing: Vec<_> = if room.kept || past.recovered == Some(true) {
            state.over(past.until)?.filter(|entry| !past.has(entry)).cloned().collect()
        } else {
            let mut newest: Vec<_> = state.tail().rev().take(history).cloned().collect();
            newest.reverse();
            newest
        };
        // Who only listens can be no operator.
        let fresh = self.member.door != Door::Feed && state.only_listens();
        state.enter(&room.name, &self.member);
        self.member.has_come(room);
        let mut events: Vec<_> = missing.iter().map(|entry| entry.event()).collect();
        events.push(self.joined(room, &state, past.recovered));
        self.member.tell_all(events.iter(), &room.name);
        Some(fresh)
    }

    fn joined(&self, room: &Room, state: &State, recovered: Option<bool>) -> Event {
        Event::Joined {
            room: room.name.to_string(),
            topic: state.rules.topic.clone(),
            people: state.people().iter().map(|person| person.name().to_string()).collect(),
            count: state.count(),
            last: state.last,
            recovered,
            operator: state.rules.commands(self.chat.who(&self.member.person, None)),
            closed: state.rules.closed,
        }
    }

    async fn has_past(&self, room: &Room) -> Result<bool> {
        {
            let state = room.state();
            if state.rules != Rules::default() || state.tail().next().is_some() {
                return Ok(true);
            }
        }
        match &self.chat.history {
            Some(history) => Ok(!history.after(&room.name, 0, 1).await?.is_empty()),
            None => Ok(false),
        }
    }

    /// Who comes first into a new room is its operator.
    async fn found(&mut self, room: &Arc<Room>) -> Result<()> {
        let person = self.member.person.clone();
        let what = What::Rule {
            act: Act::Op,
            name: Some(person.name().to_string()),
            key: Some(person.author.to_string()),
            network: None,
            reason: None,
            until: None,
            secret: None,
        };
        let draft = Draft { person, by: None, network: None, uid: None, what, kept: None };
        self.chat.post(room, draft).await?;
        self.is_untold(room);
        Ok(())
    }

    /// The room that somebody means.
    pub(super) async fn find(&self, name: &str) -> Result<Arc<Room>> {
        let mine = self.member.person.name();
        match (name.strip_prefix('@'), name::parties(name)) {
            (None, _) => self.chat.room(name),
            (Some(other), None) => self.alone_with(other).await,
            (Some(_), Some((one, other))) => {
                // One of the two may have another name by now.
                if let Some(room) = self.member.rooms().into_iter().find(|room| *room.name == *name) {
                    return Ok(room);
                }
                match (*one == *mine, *other == *mine) {
                    (true, _) => self.alone_with(other).await,
                    (_, true) => self.alone_with(one).await,
                    _ => Err(Error::new(Kind::Denied, "that conversation is of two others")),
                }
            }
        }
    }

    /// The private room with somebody, who is here or has an account.
    async fn alone_with(&self, other: &str) -> Result<Arc<Room>> {
        let other = name::person(other)?;
        let key = name::key(&other);
        let here = self.chat.people.of_key(&key);
        let account = self.chat.account(&key).await?.map(|(shown, _)| shown);
        let (shown, is_account) = match (&here, account) {
            (Some(person), _) => (person.name().to_string(), person.account),
            (None, Some(shown)) => (shown, true),
            (None, None) => {
                let error = Error::usage(format!("there is nobody here who is called '{}'", brief(&other)));
                return Err(error.hint("/who says who is here"));
            }
        };
        let theirs = here.map_or_else(|| format!("account:{key}").into(), |person| person.author.clone());
        Ok(self.chat.private(&self.member.person, (&shown, &theirs), is_account))
    }

    /// Has somebody come into a private room too, on all their connections.
    pub(super) fn bring(&mut self, room: &Arc<Room>, person: &Person) {
        for member in person.members() {
            if member.has_come(room) {
                let mut state = room.state();
                state.enter(&room.name, &member);
                if member.door != Door::Lines {
                    member.tell(&self.joined(room, &state, None), "");
                }
                drop(state);
                self.is_untold(room);
            }
        }
    }
}

impl Past {
    /// Whether an entry was told as a message of the page.
    fn has(&self, entry: &Entry) -> bool {
        entry.id <= self.messages && matches!(entry.what, What::Say { .. })
    }
}

fn is_common(room: &Room) -> bool {
    *room.name != *LOBBY && name::parties(&room.name).is_none()
}

