//! All that a screen of a chat knows: what has happened goes in, and what is asked for comes out. It touches no terminal
//! and no network, and takes the time as an argument.

use hullo::chat::{Ask, At, LOBBY, Said, name};

use super::{
    clock::Clock,
    complete::Completion,
    input::Input,
    news::Wish,
    room::{Entry, Fate, Room, What},
};

/// How often we say that we are.
const SAY_WRITING: i64 = 3_000;

/// The most rooms that are shown; a server lets nobody into so many.
const ROOMS: usize = 256;

/// The mark of the question for what was said earlier; the room follows.
pub(super) const EARLIER: &str = "earlier ";

/// How we are connected.
#[derive(Debug, PartialEq)]
pub(crate) enum Connection {
    Beginning,
    Here,
    /// Lost; the next attempt is at that time.
    Away {
        why: String,
        next: i64,
    },
    Ended {
        why: String,
    },
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
    pub(super) log: String,
    /// Counts the logs that there were: ids of two of them cannot be compared.
    pub(super) epoch: u32,
    serial: u64,
    uids: Uids,
    said_writing: i64,
}

/// What is asked to enter a room.
pub(crate) fn enter(room: &str) -> Ask {
    Ask::Join { room: room.to_owned(), after: None, log: None, uid: None, history: None, token: None }
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
        if known { vec![Wish::Ask(enter(&room.name))] } else { Vec::new() }
    }

    /// Whatever is in the room that is shown has been seen.
    pub(super) fn seen(&mut self) {
        if let Some(room) = self.room_mut() {
            (room.unread, room.mentioned) = (0, false);
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

    /// The index of that room, which is there from now on.
    pub(super) fn enter(&mut self, room: &str) -> usize {
        // A private conversation that we began is named by the server as its people are written.
        let same = |known: &Room| known.name == room || known.is_private() && name::key(&known.name) == name::key(room);
        if let Some(index) = self.rooms.iter().position(same) {
            room.clone_into(&mut self.rooms[index].name);
            return index;
        }
        if self.rooms.len() >= ROOMS {
            let other = usize::from(self.current == 0);
            self.rooms.remove(other);
            self.current = self.current.saturating_sub(1);
        }
        self.rooms.push(Room::new(room));
        self.rooms.len() - 1
    }

    /// What somebody says to whom there are no ids.
    pub(super) fn spoken(&self, from: &str, text: &str, now: i64) -> What {
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
