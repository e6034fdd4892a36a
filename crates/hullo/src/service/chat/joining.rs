//! Coming into a room: what was said before, and then all that is said from now on, without a gap and without a double.
//!
//! What is on disk is read and told first. The newest entries are at hand in the room, those that are not written yet
//! among them: under its lock they are told, and the place is taken, in one step.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::time::timeout;

use super::{
    Chat, accounts,
    asks::MOST,
    history::History,
    member::{Door, ROOMS},
    people::Person,
    room::{Room, State},
    talk::Talk,
};
use crate::{
    chat::{Entry, Event, LOBBY, What, name},
    error::{Error, Kind, Result, brief},
};

#[cfg(test)]
mod tests;

/// Entries that are told at once, of those that were read, and each time so long is waited for somebody to read them.
const SOME: usize = 16;
const PATIENCE: Duration = Duration::from_secs(30);

/// How somebody wants to come in.
#[derive(Clone, Default)]
pub(super) struct Wish {
    pub(super) room: String,
    /// The last entry that they have seen: its id in the log of that name, and its uid.
    pub(super) after: Option<u64>,
    pub(super) log: Option<String>,
    pub(super) uid: Option<String>,
    /// How many messages to show where nothing was seen; of more, [`MOST`].
    pub(super) history: usize,
    /// The word for the invited.
    pub(super) word: Option<String>,
    /// They were in already, as somebody else, and need no word.
    pub(super) admitted: bool,
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
    /// The room has none.
    is_none: bool,
}

impl Talk {
    /// Comes into a room, if it lets us in.
    ///
    /// # Errors
    /// It does not, there is none, or the history cannot be read.
    pub(super) async fn join(&mut self, wish: Wish) -> Result<Arc<Room>> {
        let room = self.find(&wish.room).await?;
        {
            let state = room.state();
            // Where they were away, and another one has had them come in meanwhile, what was before is still to be told.
            if self.member.is_in(&room) && wish.after.is_none() {
                self.tell_me(&self.chat.joined(&room, &state, &self.member.person, None));
                return Ok(room.clone());
            }
            // From now on nobody else has us come in, without what was said before.
            self.member.joining.store(room.number, Relaxed);
        }
        let joined = self.come_in(&room, &wish).await;
        self.member.joining.store(0, Relaxed);
        if joined.is_err() {
            self.chat.tidy(&room);
        }
        joined.map(|()| room)
    }

    async fn come_in(&mut self, room: &Arc<Room>, wish: &Wish) -> Result<()> {
        if !self.member.has_place_for(room) && !self.member.is_in(room) {
            return Err(Error::new(Kind::TooLarge, format!("you are in {ROOMS} rooms, and can be in no more")));
        }
        self.admit(room, &room.state(), wish)?;
        let mut past = self.past(room, wish).await?;
        past.is_none = is_common(room) && !self.has_past(room).await?;
        while !self.step_in(room, &past, wish)? {
            self.read_on(room, &mut past).await?;
        }
        self.chat.changed(&self.member.person);
        self.will_tell(room);
        Ok(())
    }

    /// Lets us into a room, or not.
    pub(super) fn admit(&self, room: &Room, state: &State, wish: &Wish) -> Result<()> {
        let who = self.chat.who(&self.member.person, self.member.network.as_deref());
        match wish.admitted {
            true => state.rules.bear(&room.name, who, super::now()),
            false => state.rules.admit(&room.name, who, wish.word.as_deref(), super::now()),
        }
    }

    /// Tells what can be read of the past, as far as that is wished.
    async fn past(&mut self, room: &Room, wish: &Wish) -> Result<Past> {
        let chat = self.chat.clone();
        let history = chat.history.as_ref().filter(|_| room.kept);
        if let Some(until) = self.seen(room, wish, history).await? {
            return Ok(Past { until, messages: 0, recovered: Some(true), is_none: false });
        }
        let recovered = wish.after.map(|_| false);
        let Some(history) = history else { return Ok(Past { until: 0, messages: 0, recovered, is_none: false }) };
        // Whatever is written later is still at hand in the room.
        let until = history.written();
        let page = match wish.history.min(MOST) {
            0 => Vec::new(),
            most => history.before(&room.name, None, most).await?,
        };
        self.show(&room.name, page.iter()).await?;
        Ok(Past { until, messages: page.last().map_or(0, |last| last.id), recovered, is_none: false })
    }

    /// The id up to which they have seen all, if what came then is still there.
    async fn seen(&self, room: &Room, wish: &Wish, history: Option<&History>) -> Result<Option<u64>> {
        let Some(after) = wish.after else { return Ok(None) };
        // Without its name, it can only be a log that is the same for good.
        let ours = wish.log.as_deref().map_or(history.is_some(), |log| *log == *self.chat.log);
        let last = room.state().last;
        let after = match (ours && after <= last, &wish.uid) {
            (true, _) => after,
            (false, None) => return Ok(None),
            // It is the id of another server, which has the same entry under another one.
            (false, Some(uid)) => match self.chat.known(room, uid).await? {
                Some(entry) if entry.room == room.name => entry.id,
                _ => return Ok(None),
            },
        };
        let is_whole = match history {
            Some(history) => history.reaches(&room.name, after).await?,
            None => room.state().over(after).is_some(),
        };
        Ok(is_whole.then_some(after))
    }

    /// Reads what lies between what was told and what is at hand.
    async fn read_on(&mut self, room: &Room, past: &mut Past) -> Result<()> {
        // What is not at hand by now was written before this reads: the floor may rise meanwhile, over what it did not read.
        let floor = room.state().floor();
        let entries = match self.chat.history.as_ref().filter(|_| room.kept) {
            Some(history) => history.after(&room.name, past.until, MOST).await?,
            None => Vec::new(),
        };
        self.show(&room.name, entries.iter().filter(|entry| !past.has(entry))).await?;
        match entries.last() {
            // What was said while we came in is a past too.
            Some(last) => (past.until, past.is_none) = (last.id, false),
            // The rest was at hand, or is gone.
            None => past.until = past.until.max(floor),
        }
        Ok(())
    }

    /// Tells entries that were read, a few at a time: nothing of them waits for somebody who does not read.
    async fn show<'a>(&mut self, room: &str, entries: impl Iterator<Item = &'a Entry>) -> Result<()> {
        let events: Vec<_> = entries.map(Entry::event).collect();
        for some in events.chunks(SOME) {
            self.member.tell_all(some.iter(), room);
            let slow = || Error::new(Kind::Timeout, "you read too slowly what was said before");
            timeout(PATIENCE, self.inbox.flush()).await.map_err(|_| slow())??;
        }
        Ok(())
    }

    /// Takes a place, if all that is missing is at hand. Who comes first into a new room is its operator.
    ///
    /// # Errors
    /// They are not admitted any more.
    fn step_in(&self, room: &Arc<Room>, past: &Past, wish: &Wish) -> Result<bool> {
        let mut state = room.state();
        self.admit(room, &state, wish)?;
        let missing: Vec<_> = if room.kept || past.recovered == Some(true) {
            let Some(over) = state.over(past.until) else { return Ok(false) };
            over.filter(|entry| !past.has(entry)).cloned().collect()
        } else {
            let mut newest: Vec<_> = state.tail().rev().take(wish.history.min(MOST)).cloned().collect();
            newest.reverse();
            newest
        };
        // Who only listens can be no operator.
        if past.is_none && self.member.door != Door::Feed && state.is_unused() {
            state.set_founder(&self.member.person);
        }
        state.enter(room, &self.member);
        let mut events: Vec<_> = missing.iter().map(|entry| entry.event()).collect();
        events.push(self.chat.joined(room, &state, &self.member.person, past.recovered));
        self.member.tell_all(events.iter(), &room.name);
        Ok(true)
    }

    async fn has_past(&self, room: &Room) -> Result<bool> {
        {
            let state = room.state();
            if !state.is_unused() {
                return Ok(true);
            }
        }
        match &self.chat.history {
            Some(history) => Ok(!history.after(&room.name, 0, 1).await?.is_empty()),
            None => Ok(false),
        }
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
        let elsewhere = self.chat.people.elsewhere_of_key(&key);
        let account = self.chat.account(&key).await?.map(|(shown, _)| shown);
        let (shown, is_account) = match (&here, &elsewhere, account) {
            (Some(person), ..) => (person.name().to_string(), person.account),
            (None, Some(present), _) => (present.name.to_string(), present.account),
            (None, None, Some(shown)) => (shown, true),
            (None, None, None) => {
                let error = Error::usage(format!("there is nobody here who is called '{}'", brief(&other)));
                return Err(error.hint("/who says who is here"));
            }
        };
        let theirs = here.map(|person| person.author.clone()).or(elsewhere.map(|present| present.author));
        let theirs = theirs.unwrap_or_else(|| accounts::author(&key));
        Ok(self.chat.private(&self.member.person, (&shown, &theirs), is_account))
    }

    /// Has the other one come into a private room too, on all their connections.
    ///
    /// # Errors
    /// They are not here, and what is said there is not kept for them.
    pub(super) fn bring_other(&mut self, room: &Arc<Room>) -> Result<()> {
        let mine = &self.member.person.author;
        let Some(other) = room.parties.iter().flatten().find(|author| *author != mine) else { return Ok(()) };
        if room.state().has(other) {
            return Ok(());
        }
        match self.chat.people.of_author(other) {
            Some(person) => {
                self.chat.bring(room, &person);
                self.will_tell(room);
                Ok(())
            }
            None if room.kept || self.chat.people.is_elsewhere(other) => Ok(()),
            None => {
                let error = Error::usage("they are not here, and what is said between guests is not kept for them");
                Err(error.hint("what two accounts say to each other is"))
            }
        }
    }
}

impl Chat {
    /// Has somebody come into a private room, on all their connections.
    pub(super) fn bring(&self, room: &Arc<Room>, person: &Person) {
        for member in person.members() {
            let mut state = room.state();
            let comes_by_itself = member.joining.load(Relaxed) == room.number;
            if !comes_by_itself && !member.is_in(room) && member.has_place_for(room) {
                state.enter(room, &member);
                if member.door != Door::Lines {
                    member.tell(&self.joined(room, &state, person, None), "");
                }
            }
        }
    }

    fn joined(&self, room: &Room, state: &State, person: &Person, recovered: Option<bool>) -> Event {
        Event::Joined {
            room: room.name.to_string(),
            topic: state.rules.topic.clone(),
            people: state.people().iter().map(|seen| seen.name.to_string()).collect(),
            count: state.count(),
            last: state.last,
            recovered,
            operator: state.rules.commands(self.who(person, None)),
            closed: state.rules.closed,
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
