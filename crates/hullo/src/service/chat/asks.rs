//! What a connection asks for, and what comes of it.

use std::{sync::Arc, time::Instant};

use super::{
    accounts,
    joined::others::Word,
    joining::Wish,
    member::Door,
    people,
    posting::{Draft, Kept, check_uid},
    room::{Room, Seen},
    rules,
    talk::Talk,
};
use crate::{
    chat::{
        Act, Ask, Entry, Event, LOBBY, Person, Room as Listed, UID, What, name,
        text::{self, message},
    },
    error::{Error, Kind, Result, brief},
};

/// Messages that somebody is shown at once, if they do not say how many, and at most; no answer has more rooms either.
const PAGE: usize = 50;
pub(super) const MOST: usize = 500;

/// The bytes of the texts in an answer: who does not read one makes us hold it.
const ANSWER: usize = 256 << 10;

/// Somebody is said to be writing so often at most, in seconds.
const TYPING: u64 = 2;

/// The longest ban or mute that ends, in seconds: ten years.
const LONGEST: u64 = 10 * 366 * 86_400;

impl Talk {
    /// Does what is asked for.
    ///
    /// # Errors
    /// What is wrong with it; the conversation goes on.
    pub(super) async fn ask(&mut self, ask: Ask, tag: Option<String>) -> Result<()> {
        if tag.as_ref().is_some_and(|tag| tag.len() > UID) {
            return Err(Error::usage(format!("a tag has at most {UID} bytes")));
        }
        match ask {
            Ask::Hello { name, password, token } => self.hello(name, password, token).await?,
            Ask::Join { room, after, log, uid, history, token } => {
                let history = history.unwrap_or(PAGE);
                self.join(Wish { room, after, log, uid, history, word: token, admitted: false }).await?;
            }
            Ask::Leave { room } => self.go(&room).await?,
            Ask::Say { room, text, uid, me } => self.say(&room, &text, uid, me).await?,
            Ask::Tell { to, text, uid } => self.whisper(&to, &text, uid).await?,
            Ask::Edit { room, of, text } => self.edit(&room, of, Some(&text)).await?,
            Ask::Delete { room, of } => self.edit(&room, of, None).await?,
            Ask::Typing { room } => self.is_typing(&room).await?,
            Ask::Name { name } => self.rename(&name).await?,
            Ask::Topic { room, text } => {
                let (room, text) = (self.mine(&room).await?, text::topic(&text)?.into_owned());
                self.command(&room, What::Topic { text }).await?;
            }
            Ask::Who { room } => return self.who(&room, tag).await,
            Ask::Rooms => return self.rooms(tag),
            Ask::History { room, before, limit } => return self.history(&room, None, (before, limit), tag).await,
            Ask::Search { room, text, before, limit } => {
                return self.history(&room, Some(&text), (before, limit), tag).await;
            }
            Ask::Rule { room, act, name, reason, seconds } => self.rule(&room, act, name, reason, seconds).await?,
            Ask::Invite { room } => return self.invite(&room, tag).await,
            Ask::Register { password } => self.register(&password).await?,
            // Whoever hears it ends the conversation.
            Ask::Quit => {}
            Ask::Ping => self.tell_me(&Event::Pong),
        }
        if tag.is_some() {
            self.tell_me(&Event::Done { tag });
        }
        Ok(())
    }

    /// A room that we are in.
    async fn mine(&mut self, room: &str) -> Result<Arc<Room>> {
        if room.starts_with('@') {
            let found = self.find(room).await?;
            if self.member.is_in(&found) {
                return Ok(found);
            }
            self.chat.tidy(&found);
        } else {
            // Nothing is made by asking for it.
            let name = name::room(room)?;
            if let Some(found) = self.member.rooms().into_iter().find(|room| *room.name == *name) {
                return Ok(found);
            }
        }
        Err(Error::usage(format!("you are not in {}", brief(room))).hint(format!("/join {}", brief(room))))
    }

    /// The same; the lobby is entered on the way.
    async fn place_of(&mut self, room: &str) -> Result<Arc<Room>> {
        if let Some(current) = self.current.as_ref().filter(|current| *current.name == *room) {
            return Ok(current.clone());
        }
        if room == LOBBY && !self.member.is_in(&self.chat.room(LOBBY)?) && self.member.door == Door::Json {
            return self.join(Wish::new(LOBBY)).await;
        }
        self.mine(room).await
    }

    pub(super) async fn say(&mut self, room: &str, text: &str, uid: Option<String>, me: bool) -> Result<()> {
        let room = self.place_of(room).await?;
        if !self.member.is_in(&room) {
            return Err(Error::usage(format!("you are not in {}", brief(&room.name))).hint("/join lobby"));
        }
        self.post_text(&room, text, uid, me).await
    }

    async fn post_text(&mut self, room: &Arc<Room>, text: &str, uid: Option<String>, me: bool) -> Result<()> {
        check_uid(uid.as_deref())?;
        self.bring_other(room)?;
        let text = message(text, self.member.door != Door::Lines)?.into_owned();
        let kept = self.acknowledges(room);
        let what = What::Say { text, me, edited: None, deleted: false };
        let draft = Draft { kept, uid, ..self.draft(what) };
        let uid = self.chat.post(room, draft).await?;
        self.will_tell(room);
        if self.member.door == Door::Lines {
            self.said = Some((room.clone(), uid));
        }
        Ok(())
    }

    /// Says to a program that its message is on disk, or is not.
    fn acknowledges(&self, room: &Room) -> Option<Kept> {
        if self.member.door == Door::Lines {
            return None;
        }
        let (member, room) = (self.member.clone(), room.name.clone());
        Some(Box::new(move |uid, result| {
            let (uid, room) = (uid.to_owned(), room.to_string());
            let event = match result {
                Ok(id) => Event::Kept { uid, id, room },
                Err(error) => Event::Error { error: error.to_string(), hint: None, tag: None, uid: Some(uid) },
            };
            member.tell_later(&event, "");
        }))
    }

    fn draft(&self, what: What) -> Draft {
        let (by, network) = (Some(self.member.number), self.member.network.clone());
        Draft { by, network, ..Draft::of(&self.member.person, what) }
    }

    /// Says something to one person alone.
    async fn whisper(&mut self, to: &str, text: &str, uid: Option<String>) -> Result<()> {
        let person = name::person(to)?;
        let room = self.find(&format!("@{person}")).await?;
        if !self.member.is_in(&room) {
            self.join(Wish::new(&room.name)).await?;
        }
        self.post_text(&room, text, uid, false).await
    }

    /// Changes a message, or without a text takes it back.
    async fn edit(&mut self, room: &str, of: String, text: Option<&str>) -> Result<()> {
        let room = self.mine(room).await?;
        let said = self.chat.known(&room, &of).await?.filter(|entry| entry.room == room.name);
        let Some(said) = said.filter(|entry| matches!(entry.what, What::Say { deleted: false, .. })) else {
            return Err(Error::usage(format!("there is no message '{}' in {}", brief(&of), brief(&room.name))));
        };
        let who = self.chat.who(&self.member.person, None);
        if said.author != self.member.person.author && (text.is_some() || !room.state().rules.commands(who)) {
            return Err(Error::new(Kind::Denied, "that message is somebody else's"));
        }
        let what = match text {
            Some(text) => What::Edit { of, text: message(text, self.member.door != Door::Lines)?.into_owned() },
            None => What::Delete { of },
        };
        self.chat.post(&room, self.draft(what)).await?;
        self.will_tell(&room);
        Ok(())
    }

    async fn is_typing(&mut self, room: &str) -> Result<()> {
        let now = Instant::now();
        if self.typing.is_some_and(|last| now.duration_since(last).as_secs() < TYPING) {
            return Ok(());
        }
        let room = self.mine(room).await?;
        self.typing = Some(now);
        let event = Event::Typing { room: room.name.to_string(), name: self.member.person.name().to_string() };
        room.state().announce(event, Some(self.member.number));
        self.will_tell(&room);
        if let Some(joined) = &self.chat.joined {
            joined.shout(Word::Typing { room: room.name.clone(), name: self.member.person.name() });
        }
        Ok(())
    }

    async fn go(&mut self, room: &str) -> Result<()> {
        let room = self.mine(room).await?;
        self.leave(&room);
        self.tell_me(&Event::Left { room: room.name.to_string(), reason: None });
        if self.current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &room)) {
            match self.member.rooms().pop() {
                Some(next) => self.move_to(next),
                None => self.current = None,
            }
        }
        Ok(())
    }

    async fn who(&mut self, room: &str, tag: Option<String>) -> Result<()> {
        let room = self.mine(room).await?;
        self.tell_me(&self.chat.people_of(&room, tag));
        Ok(())
    }

    fn rooms(&self, tag: Option<String>) -> Result<()> {
        let rooms = self.chat.list(|room| self.member.is_in(room));
        self.tell_me(&Event::Rooms { rooms, tag });
        Ok(())
    }

    async fn history(
        &mut self,
        room: &str,
        words: Option<&str>,
        part: (Option<u64>, Option<usize>),
        tag: Option<String>,
    ) -> Result<()> {
        let room = self.mine(room).await?;
        let event = self.chat.earlier(&room, words, part, tag).await?;
        self.tell_me(&event);
        Ok(())
    }

    /// Does something that only operators may.
    async fn command(&mut self, room: &Arc<Room>, what: What) -> Result<()> {
        let who = self.chat.who(&self.member.person, None);
        // Where there are no operators, as in the lobby and where two talk alone, the topic is everybody's.
        let is_free = matches!(what, What::Topic { .. }) && room.state().rules.operators.is_empty();
        if !is_free {
            room.state().rules.obey(&room.name, who)?;
        }
        self.chat.post(room, self.draft(what)).await?;
        self.will_tell(room);
        Ok(())
    }

    async fn rule(
        &mut self,
        room: &str,
        act: Act,
        name: Option<String>,
        reason: Option<String>,
        seconds: Option<u64>,
    ) -> Result<()> {
        let room = self.mine(room).await?;
        room.state().rules.obey(&room.name, self.chat.who(&self.member.person, None))?;
        let reason = reason.map(|reason| text::reason(&reason).map(|reason| reason.into_owned())).transpose()?;
        let until = seconds.map(|seconds| super::now() + 1000 * i64::try_from(seconds.min(LONGEST)).unwrap_or(0));
        let (mut key, mut network) = (None, None);
        let name = match (act, name) {
            (Act::Open | Act::Close, _) => None,
            (_, None) => return Err(Error::usage("whom? this act is about a person")),
            (_, Some(name)) => {
                let name = name::person(&name)?;
                (key, network) = self.meant(&room, act, &name).await?;
                Some(name)
            }
        };
        let network = network.filter(|_| act == Act::Ban || act == Act::Mute);
        self.command(&room, What::Rule { act, name, key, network, reason, until, secret: None }).await
    }

    /// Who is meant by a name, as an author, and where they are if that tells people apart.
    async fn meant(&self, room: &Room, act: Act, name: &str) -> Result<(Option<String>, Option<String>)> {
        let key = name::key(name);
        let trace = match self.chat.people.elsewhere_of_key(&key) {
            Some(present) if self.chat.people.of_key(&key).is_none() => Some((present.author.to_string(), None)),
            _ => self.chat.people.trace(&key).map(|trace| (trace.author.to_string(), trace.network)),
        };
        let (author, network) = match trace {
            Some((author, network)) => (Some(author), network),
            None => (self.chat.account(&key).await?.map(|_| accounts::author(&key).to_string()), None),
        };
        let takes_back = matches!(act, Act::Unban | Act::Unmute | Act::Deop);
        if takes_back && !room.state().rules.finds(act, name, author.as_deref()) {
            let was = if act == Act::Unban {
                "banned"
            } else if act == Act::Unmute {
                "muted"
            } else {
                "an operator"
            };
            return Err(Error::usage(format!("nobody who is called '{}' is {was} here", brief(name))));
        }
        let is_here = |author: &String| room.state().has_anywhere(author);
        let is_found = match act {
            Act::Kick => author.as_ref().is_some_and(is_here),
            _ => takes_back || author.is_some(),
        };
        if !is_found {
            return Err(Error::usage(format!("there is nobody here who is called '{}'", brief(name))));
        }
        Ok((author, network))
    }

    async fn invite(&mut self, room: &str, tag: Option<String>) -> Result<()> {
        let room = self.mine(room).await?;
        let token = people::secret()?;
        self.command(&room, rules::close(&token)).await?;
        self.tell_me(&Event::Invitation { room: room.name.to_string(), token, tag });
        Ok(())
    }
}

impl super::Chat {
    /// Who is in a room.
    pub(super) fn people_of(&self, room: &Room, tag: Option<String>) -> Event {
        let state = room.state();
        let person = |seen: &Seen| Person {
            name: seen.name.to_string(),
            operator: state.rules.commands(self.who_is(&seen.author, None)),
            account: seen.account,
        };
        let people = state.people().iter().map(person).collect();
        Event::Who { room: room.name.to_string(), people, count: state.count(), tag }
    }

    /// The rooms of which everybody may know, and those that are `mine`; the fullest first, and no more than [`MOST`].
    pub(super) fn list(&self, mine: impl Fn(&Arc<Room>) -> bool) -> Vec<Listed> {
        let rooms: Vec<_> = self.rooms().values().cloned().collect();
        let listed = |room: &Arc<Room>| {
            let (mine, state) = (mine(room), room.state());
            if state.count() == 0 && state.holds_nothing() && *room.name != *LOBBY {
                return None;
            }
            let is_private = name::parties(&room.name).is_some();
            (mine || !is_private && !state.rules.closed).then(|| Listed {
                room: room.name.to_string(),
                topic: state.rules.topic.clone(),
                count: state.count(),
                closed: state.rules.closed,
            })
        };
        let mut rooms: Vec<_> = rooms.iter().filter_map(listed).collect();
        rooms.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.room.cmp(&other.room)));
        rooms.truncate(MOST);
        rooms
    }

    /// What was said earlier, or what of it has those words, as it reads now.
    pub(super) async fn earlier(
        &self,
        room: &Room,
        words: Option<&str>,
        (before, limit): (Option<u64>, Option<usize>),
        tag: Option<String>,
    ) -> Result<Event> {
        let limit = limit.unwrap_or(PAGE).clamp(1, MOST);
        let mut entries: Vec<Entry> = match (self.history.as_ref().filter(|_| room.kept), words) {
            (Some(history), Some(words)) => history.search(&room.name, words, before, limit + 1).await?,
            (Some(history), None) => {
                let is_behind = history.written() < room.state().last;
                let mut entries = history.before(&room.name, before, limit + 1).await?;
                // What is not written yet is at hand.
                let newest = entries.last().map_or(0, |last| last.id);
                if is_behind {
                    // And what was changed a moment ago reads as it is at hand.
                    let state = room.state();
                    let at_hand = |entry: &Entry| state.recent(&entry.uid).map(|recent| Entry::clone(recent));
                    entries.iter_mut().for_each(|entry| *entry = at_hand(entry).unwrap_or_else(|| entry.clone()));
                }
                if let Some(tail) = room.state().over(newest).filter(|_| before.is_none()) {
                    entries.extend(tail.filter(|entry| entry.said().is_some()).map(|entry| (**entry).clone()));
                }
                entries
            }
            (None, Some(_)) => return Err(Error::usage("nothing is kept here that could be searched")),
            (None, None) => {
                let state = room.state();
                let earlier =
                    |entry: &&Arc<Entry>| before.is_none_or(|before| entry.id < before) && entry.said().is_some();
                let mut newest: Vec<_> =
                    state.tail().rev().filter(earlier).take(limit + 1).map(|entry| (**entry).clone()).collect();
                newest.reverse();
                newest
            }
        };
        let limit = limit.min(fitting(&entries));
        let more = entries.len() > limit;
        entries.drain(..entries.len().saturating_sub(limit));
        let messages = entries.iter().filter_map(Entry::said).collect();
        Ok(Event::History { room: room.name.to_string(), messages, more, tag })
    }
}

/// How many of these, counted from the last, one answer may have.
fn fitting(entries: &[Entry]) -> usize {
    let mut room = ANSWER;
    let size = |entry: &Entry| entry.said().map_or(0, |said| said.text.len());
    let fits = |entry: &&Entry| {
        let size = size(entry);
        let fits = size <= room;
        room = room.saturating_sub(size);
        fits
    };
    entries.iter().rev().take_while(fits).count()
}
