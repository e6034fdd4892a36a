//! All that a screen of a chat knows: what has happened goes in, and what is asked for comes out. It touches no terminal
//! and no network, and takes the time as an argument.

use hullo::chat::{Ask, At, Event, LOBBY, Presence, Said, name};

use super::{
    clock::Clock,
    complete::Completion,
    input::Input,
    news::{News, Wish},
    room::{Entry, Fate, Room, What},
    rows::mentions,
};

/// How long somebody is believed to be writing, in milliseconds.
const WRITING: i64 = 6_000;

/// How often we say that we are.
const SAY_WRITING: i64 = 3_000;

/// How many people a room has at most for us to be told of each who comes and goes.
const CROWD: usize = 30;

/// The mark of the question for what was said earlier; the room follows.
pub(super) const EARLIER: &str = "earlier ";

/// How we are connected.
#[derive(Debug, PartialEq)]
pub(crate) enum Connection {
    Beginning,
    Here,
    /// Lost; the next attempt is at that time.
    Away { why: String, next: i64 },
    Ended { why: String },
}

/// The state of a screen.
pub(crate) struct State {
    pub(crate) clock: Clock,
    pub(crate) colours: bool,
    /// Where the server is, for people.
    pub(crate) address: String,
    /// The server knows lines alone: there is one room without people, and it is the address's.
    pub(crate) lines: bool,
    pub(crate) me: String,
    pub(crate) rooms: Vec<Room>,
    pub(crate) current: usize,
    pub(crate) connection: Connection,
    pub(crate) input: Input,
    pub(super) completion: Option<Completion>,
    /// Whether anybody looks, as far as the terminal tells.
    pub(crate) focused: bool,
    /// The size of the scrollback, as it was drawn last.
    pub(crate) pane: (usize, usize),
    /// The size of the screen.
    pub(crate) size: (u16, u16),
    /// We have said goodbye to a server that knows lines alone.
    pub(super) leaving: bool,
    /// The room that is shown as soon as we are in it.
    pub(super) wanted: Option<String>,
    log: String,
    /// Counts the logs that there were: ids of two of them cannot be compared.
    pub(super) epoch: u32,
    serial: u64,
    uids: Uids,
    said_writing: i64,
}

/// The wish to enter a room.
pub(super) fn join(room: &str) -> Wish {
    let room = room.to_owned();
    Wish::Ask(Ask::Join { room, after: None, log: None, uid: None, history: None, token: None })
}

/// Names for messages of ours that nobody else gives.
pub(crate) struct Uids {
    prefix: String,
    next: u64,
}

impl Uids {
    pub(crate) fn new(prefix: String) -> Self {
        Self { prefix, next: 0 }
    }

    pub(crate) fn next(&mut self) -> String {
        self.next += 1;
        format!("{}-{}", self.prefix, self.next)
    }
}

impl State {
    pub(crate) fn new(address: String, lines: bool, colours: bool, clock: Clock, uids: Uids) -> Self {
        let rooms = if lines { vec![Room::new(&address)] } else { Vec::new() };
        Self {
            clock,
            colours,
            address,
            lines,
            me: String::new(),
            rooms,
            current: 0,
            connection: Connection::Beginning,
            input: Input::default(),
            completion: None,
            focused: true,
            pane: (80, 20),
            size: (80, 24),
            leaving: false,
            wanted: None,
            log: String::new(),
            epoch: 0,
            serial: 0,
            uids,
            said_writing: 0,
        }
    }

    /// The rooms that were asked for, of which the first is shown.
    pub(crate) fn want(&mut self, rooms: &[String]) {
        for room in rooms {
            // One that is no room is for the server to refuse; of a private one it knows the name.
            if let Ok(room) = name::room(room) {
                self.enter(&room);
            }
        }
        self.wanted = rooms.first().cloned();
    }

    pub(crate) fn room(&self) -> Option<&Room> {
        self.rooms.get(self.current)
    }

    pub(crate) fn room_mut(&mut self) -> Option<&mut Room> {
        self.rooms.get_mut(self.current)
    }

    pub(crate) fn is_here(&self) -> bool {
        self.connection == Connection::Here
    }

    /// Whether there is nothing left to stay for: the other end has gone as we wanted.
    pub(crate) fn is_over(&self) -> bool {
        self.leaving && matches!(self.connection, Connection::Ended { .. })
    }

    /// Shows the room of that index.
    pub(crate) fn show(&mut self, index: usize) -> Vec<Wish> {
        if index >= self.rooms.len() {
            return Vec::new();
        }
        if index != self.current {
            if let Some(left) = self.room_mut() {
                left.unread_from = None;
            }
            self.current = index;
        }
        self.seen();
        let room = &self.rooms[index];
        // A conversation that is kept from earlier is one that we are not in yet.
        let known = self.is_here() && room.is_private() && !room.live && room.entries.is_empty();
        if known { vec![join(&room.name)] } else { Vec::new() }
    }

    /// Whatever is in the room that is shown has been seen.
    pub(super) fn seen(&mut self) {
        if let Some(room) = self.room_mut() {
            (room.unread, room.mentioned) = (0, false);
        }
    }

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

    /// What the passing of time changes; whether anything is to be drawn anew.
    pub(crate) fn tick(&mut self, now: i64) -> bool {
        let mut changed = matches!(self.connection, Connection::Away { .. });
        for room in &mut self.rooms {
            let before = room.typing.len();
            room.typing.retain(|(_, until)| *until > now);
            changed |= room.typing.len() != before;
        }
        changed
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

    /// The index of that room, which is there from now on.
    pub(super) fn enter(&mut self, room: &str) -> usize {
        // A private conversation that we began is named by the server as its people are written.
        let same = |known: &Room| known.name == room || known.is_private() && name::key(&known.name) == name::key(room);
        if let Some(index) = self.rooms.iter().position(same) {
            room.clone_into(&mut self.rooms[index].name);
            return index;
        }
        self.rooms.push(Room::new(room));
        self.rooms.len() - 1
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
        let time = said.at.time;
        self.rooms[index].insert(Entry { serial, time, what: What::Said { said, epoch, fate } });
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
        typing.push((name, now + WRITING));
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
                self.rooms[index].insert(Entry { serial, time, what });
            }
        }
    }

    /// A line of a server that knows lines alone. Who speaks is known from it, so that Tab knows them too.
    fn line(&mut self, line: String, now: i64) {
        let serial = self.serial();
        let name = line.split_once(": ").map(|(name, _)| name).filter(|name| name::person(name).is_ok_and(|clean| clean == *name));
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

    /// What somebody says to whom there are no ids.
    fn spoken(&self, from: &str, text: &str, now: i64) -> What {
        let room = self.rooms.first().map(|room| room.name.clone()).unwrap_or_default();
        let at = At { id: 0, uid: String::new(), room, from: from.to_owned(), time: now };
        let said = Said { at, text: text.to_owned(), me: false, edited: None, deleted: false };
        What::Said { said, epoch: self.epoch, fate: Fate::Kept }
    }

    /// Shows what we said to a server that knows lines alone: it does not say it again.
    pub(super) fn echo_line(&mut self, text: &str, now: i64) {
        let serial = self.serial();
        let what = self.spoken("you", text, now);
        self.rooms[0].push(Entry { serial, time: now, what });
    }

    /// Shows what we say at once, and gives it the name by which it is known again.
    pub(super) fn echo(&mut self, ask: &mut Ask, now: i64) {
        let (room, text, me, uid) = match ask {
            Ask::Say { room, text, me, uid } => (room.clone(), text.clone(), *me, uid),
            Ask::Tell { to, text, uid } => (name::private(&self.me, to), text.clone(), false, uid),
            _ => return,
        };
        let uid = uid.get_or_insert_with(|| self.uids.next()).clone();
        let index = self.enter(&room);
        let at = At { id: 0, uid, room, from: self.me.clone(), time: now };
        let said = Said { at, text, me, edited: None, deleted: false };
        let (serial, epoch) = (self.serial(), self.epoch);
        self.rooms[index].push(Entry { serial, time: now, what: What::Said { said, epoch, fate: Fate::Unkept } });
        (self.rooms[index].anchor, self.rooms[index].unread_from) = (None, None);
    }

    /// Says something to the person, where they look.
    pub(crate) fn remark(&mut self, text: &str, now: i64) {
        self.note(self.current, text, now);
    }

    /// A line that nobody said.
    pub(super) fn note(&mut self, index: usize, text: &str, now: i64) {
        if self.rooms.is_empty() {
            self.enter(LOBBY);
        }
        let index = index.min(self.rooms.len() - 1);
        for text in text.lines() {
            let serial = self.serial();
            self.rooms[index].push(Entry { serial, time: now, what: What::Note(text.to_owned()) });
        }
    }

    /// Says that we are writing, where that is news.
    pub(super) fn say_writing(&mut self, now: i64) -> Option<Wish> {
        let text = self.input.text();
        let quiet = self.lines || !self.is_here() || text.is_empty() || text.starts_with('/');
        if quiet || now - self.said_writing < SAY_WRITING {
            return None;
        }
        self.said_writing = now;
        let room = self.room()?.name.clone();
        Some(Wish::Ask(Ask::Typing { room }))
    }

    pub(super) fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }
}
