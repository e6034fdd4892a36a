//! What the connection brings, taken in.

use hullo::chat::{At, Event, Presence, Said, name};

use super::{
    news::News,
    room::{Entry, Fate, What},
    rows::mentions,
    state::{Connection, EARLIER, State},
};

/// How long somebody is believed to be writing, in milliseconds.
const WRITING: i64 = 6_000;

/// How many writers are counted.
const WRITERS: usize = 20;

/// The most of a line that is shown, in bytes.
const LINE: usize = 16 << 10;

/// How many people a room has at most for us to be told of each who comes and goes.
const CROWD: usize = 30;

impl State {
    /// Takes in what the connection brings.
    pub(crate) fn hear(&mut self, news: News, now: i64) {
        match news {
            News::Here => self.connection = Connection::Here,
            News::Away { why, again } => {
                let next = now + i64::try_from(again.as_millis()).unwrap_or_default();
                // What we are in has to be entered again; what comes until then was missed.
                self.rooms.iter_mut().for_each(|room| (room.live, room.fetching) = (false, false));
                self.connection = Connection::Away { why, next };
            }
            News::Ended { why } => {
                self.note(self.current, &why, now);
                self.connection = Connection::Ended { why };
            }
            News::Event(event) => self.event(*event, now),
            News::Gap { room } => {
                let index = self.enter(&room);
                self.note(index, "some of what was said while we were away is not here", now);
            }
            News::Line(line) => self.line(line, now),
        }
    }

    fn event(&mut self, event: Event, now: i64) {
        match event {
            Event::Welcome { name, log, private, .. } => {
                self.me = name;
                // They are entered when somebody looks at them.
                private.iter().for_each(|room| _ = self.enter(room));
                if log != self.log {
                    (self.log, self.epoch) = (log, self.epoch + 1);
                }
            }
            Event::Joined { room, topic, people, count, .. } => self.joined(&room, topic, people, count),
            Event::Left { room, reason } => self.left(&room, reason, now),
            Event::Message(said) => self.message(said),
            Event::Edited { at, of, text } => self.change(&at, &of, |said| {
                (said.text, said.edited) = (text, Some(at.time));
            }),
            Event::Deleted { at, of } => self.change(&at, &of, |said| said.deleted = true),
            Event::Topic { at, text } => self.topic(&at, text),
            Event::Ruled { ref at, .. } => {
                let index = self.enter(&at.room);
                self.tell(index, &event, at.time);
            }
            Event::Kept { uid, room, id } => self.kept(&room, &uid, id),
            Event::Presence { room, name, is, count } => self.presence(&room, name, is, count, now),
            Event::Typing { room, name } => self.typing(&room, name, now),
            Event::History { room, messages, more, tag } => self.history(&room, messages, more, tag.as_deref(), now),
            Event::Error { ref uid, ref tag, .. } => {
                if let Some(uid) = uid {
                    self.refused(uid);
                }
                if let Some(room) = tag.as_deref().and_then(|tag| tag.strip_prefix(EARLIER)) {
                    let room = room.to_owned();
                    let index = self.enter(&room);
                    self.rooms[index].fetching = false;
                }
                self.tell(self.current, &event, now);
            }
            other => self.tell(self.current, &other, now),
        }
    }

    fn joined(&mut self, name: &str, topic: String, people: Vec<String>, count: usize) {
        let index = self.enter(name);
        let (me, room) = (&self.me, &mut self.rooms[index]);
        (room.topic, room.count, room.live) = (topic, count, true);
        room.people = people;
        room.people.sort_by_cached_key(|name| name.to_lowercase());
        let asked = self.wanted.as_ref().is_some_and(|wanted| {
            name::key(wanted.trim_start_matches('#')) == name::key(name) || *wanted == room.title(me)
        });
        if asked {
            self.wanted = None;
            _ = self.show(index);
        }
    }

    fn left(&mut self, name: &str, reason: Option<String>, now: i64) {
        let Some(index) = self.rooms.iter().position(|room| room.name == name) else { return };
        let title = self.rooms[index].title(&self.me);
        self.rooms.remove(index);
        if self.current > index || self.current >= self.rooms.len() {
            self.current = self.current.saturating_sub(1);
        }
        self.seen();
        if let Some(reason) = reason {
            self.note(self.current, &format!("you are not in {title} any more: {reason}"), now);
        }
    }

    /// Somebody's message; ours takes the place of what we showed already.
    fn message(&mut self, said: Said) {
        let index = self.enter(&said.at.room);
        let (serial, epoch) = (self.serial(), self.epoch);
        let ours = said.at.from == self.me;
        let room = &mut self.rooms[index];
        let mut fate = Fate::Kept;
        if let Some((known, known_fate)) = room.find(&said.at.uid) {
            // What was refused and yet is in the log was sent twice.
            fate = if *known_fate == Fate::Kept { Fate::Kept } else { Fate::Unkept };
            if known.at.id == said.at.id && known.at.id > 0 {
                return;
            }
            room.remove(&said.at.uid);
        }
        room.typing.retain(|(name, _)| *name != said.at.from);
        if !ours && (room.live || self.log_is_known(index)) {
            self.unread(index, serial, &said.text);
        }
        let (time, room) = (said.at.time, &mut self.rooms[index]);
        room.insert(Entry { serial, time, what: What::Said { said, epoch, fate } }, !room.live);
    }

    /// Whether the room has been shown before: then what comes before we are in it again was missed.
    fn log_is_known(&self, index: usize) -> bool {
        self.rooms[index].count > 0
    }

    /// Something came that may not have been seen.
    fn unread(&mut self, index: usize, serial: u64, text: &str) {
        let looked_at = index == self.current && self.focused;
        let me = self.me.clone();
        let room = &mut self.rooms[index];
        if looked_at && room.anchor.is_none() {
            return;
        }
        room.unread_from.get_or_insert(serial);
        if !looked_at || room.anchor.is_some() {
            room.unread += 1;
            room.mentioned |= room.is_private() || mentions(text, &me);
        }
    }

    fn change(&mut self, at: &At, of: &str, change: impl FnOnce(&mut Said)) {
        let index = self.enter(&at.room);
        // What is not here was said before all that is.
        if let Some((said, _)) = self.rooms[index].find(of) {
            change(said);
        }
    }

    fn topic(&mut self, at: &At, text: String) {
        let index = self.enter(&at.room);
        let sentence = if text.is_empty() {
            format!("{} took the topic away", at.from)
        } else {
            format!("{} set the topic: {text}", at.from)
        };
        self.note(index, &sentence, at.time);
        self.rooms[index].topic = text;
    }

    fn kept(&mut self, room: &str, uid: &str, id: u64) {
        let index = self.rooms.iter().position(|known| known.name == room);
        // A private room may have had another name when we said it.
        let rooms = index.into_iter().chain(0..self.rooms.len());
        for index in rooms {
            if let Some((said, fate)) = self.rooms[index].find(uid) {
                said.at.id = id.max(said.at.id);
                *fate = Fate::Kept;
                return;
            }
        }
    }

    fn refused(&mut self, uid: &str) {
        if let Some((_, fate)) = self.rooms.iter_mut().find_map(|room| room.find(uid)) {
            *fate = Fate::Refused;
        }
    }

    fn presence(&mut self, room: &str, name: String, is: Presence, count: usize, now: i64) {
        let index = self.enter(room);
        let known = &mut self.rooms[index];
        known.count = count;
        let sentence = match &is {
            Presence::Here => {
                known.arrives(&name);
                format!("{name} came")
            }
            Presence::Gone => {
                known.departs(&name);
                format!("{name} left")
            }
            Presence::Now { new } => {
                known.departs(&name);
                known.arrives(new);
                format!("{name} is now {new}")
            }
        };
        if let Presence::Now { new } = is
            && name == self.me
        {
            self.me = new;
        }
        if count <= CROWD {
            self.note(index, &sentence, now);
        }
    }

    fn typing(&mut self, room: &str, name: String, now: i64) {
        let index = self.enter(room);
        if name == self.me {
            return;
        }
        let typing = &mut self.rooms[index].typing;
        typing.retain(|(known, _)| *known != name);
        if typing.len() < WRITERS {
            typing.push((name, now + WRITING));
        }
    }

    fn history(&mut self, room: &str, messages: Vec<Said>, more: bool, tag: Option<&str>, now: i64) {
        if tag.is_none_or(|tag| !tag.starts_with(EARLIER)) {
            let found = Event::History { room: room.to_owned(), messages, more, tag: None };
            return self.tell(self.current, &found, now);
        }
        let index = self.enter(room);
        let epoch = self.epoch;
        (self.rooms[index].more, self.rooms[index].fetching) = (more, false);
        for said in messages {
            if self.rooms[index].find(&said.at.uid).is_none() {
                let (serial, time) = (self.serial(), said.at.time);
                let what = What::Said { said, epoch, fate: Fate::Kept };
                self.rooms[index].insert(Entry { serial, time, what }, true);
            }
        }
    }

    /// A line of a server that knows lines alone. Who speaks is known from it, so that Tab knows them too.
    fn line(&mut self, mut line: String, now: i64) {
        line.truncate(line.floor_char_boundary(LINE));
        let serial = self.serial();
        let name = line
            .split_once(": ")
            .map(|(name, _)| name)
            .filter(|name| name::person(name).is_ok_and(|clean| clean == *name));
        let name = name.map(str::to_owned);
        if let Some(name) = &name {
            self.rooms[0].arrives(name);
        }
        self.unread(0, serial, &line);
        let what = match name {
            Some(name) => self.spoken(&name, &line[name.len() + 2..], now),
            None => What::Note(line),
        };
        self.rooms[0].push(Entry { serial, time: now, what });
    }
}
