//! A room as the screen keeps it: what was said, who is there, and what has not been read.

use hullo::chat::{Said, name};

/// The most that a room keeps; what is older can be asked for again.
const KEPT: usize = 5_000;

/// The most people that it lists.
const PEOPLE: usize = 2_000;

/// One thing in a room's scrollback.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its number on this screen, which stays.
    pub(crate) serial: u64,
    /// Milliseconds since 1970.
    pub(crate) time: i64,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    Said {
        said: Said,
        epoch: u32,
        fate: Fate,
    },
    /// What the server or we tell, and nobody said.
    Note(String),
}

impl Entry {
    /// Who said it, if anybody did.
    pub(crate) fn speaker(&self) -> Option<&str> {
        match &self.what {
            What::Said { said, .. } => Some(&said.at.from),
            What::Note(_) => None,
        }
    }
}

/// What becomes of what we say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is not known to be on the disk of the server.
    Unkept,
    /// It will never be.
    Refused,
    Kept,
}

/// What the view's last row shows: that row of the entry, counted from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub(crate) serial: u64,
    pub(crate) below: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Room {
    pub(crate) name: String,
    pub(crate) topic: String,
    pub(crate) people: Vec<String>,
    pub(crate) count: usize,
    pub(crate) entries: Vec<Entry>,
    pub(crate) unread: usize,
    pub(crate) mentioned: bool,
    /// The first entry that was not seen.
    pub(crate) unread_from: Option<u64>,
    /// Where the view is; nothing is the end.
    pub(crate) anchor: Option<Anchor>,
    /// Whether there is more before what is here, as far as we know.
    pub(crate) more: bool,
    /// Whether that is being asked for.
    pub(crate) fetching: bool,
    /// All that comes now is new: what was said before we came is told.
    pub(crate) live: bool,
    /// Who is writing, and until when we believe it, in milliseconds.
    pub(crate) typing: Vec<(String, i64)>,
}

impl Room {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), more: true, ..Self::default() }
    }

    /// Its name for us: a private conversation is named after who is at the other end.
    pub(crate) fn title(&self, me: &str) -> String {
        match name::parties(&self.name) {
            Some((one, other)) => format!("@{}", if one == me { other } else { one }),
            None => self.name.clone(),
        }
    }

    pub(crate) fn is_private(&self) -> bool {
        self.name.starts_with('@')
    }

    /// The message of that uid, which mostly is one of the last.
    pub(crate) fn find(&mut self, uid: &str) -> Option<(&mut Said, &mut Fate)> {
        self.entries.iter_mut().rev().find_map(|entry| match &mut entry.what {
            What::Said { said, fate, .. } if said.at.uid == uid => Some((said, fate)),
            _ => None,
        })
    }

    /// Where a message belongs: behind those with smaller ids of the same epoch, and before what is not kept yet. One from
    /// before we came stands before what was told since.
    pub(crate) fn insert(&mut self, entry: Entry, earlier: bool) {
        let What::Said { said, epoch, .. } = &entry.what else { return self.push(entry) };
        let (id, epoch) = (said.at.id, *epoch);
        let mut place = self.entries.len();
        for (at, other) in self.entries.iter().enumerate().rev() {
            match &other.what {
                What::Said { fate: Fate::Unkept, said, .. } if said.at.id == 0 => place = at,
                What::Said { said, epoch: its, .. } if *its == epoch && said.at.id > id => place = at,
                // What was refused, or comes from another log, says nothing about the order.
                What::Said { said, .. } if said.at.id == 0 => {}
                What::Said { .. } => break,
                What::Note(_) if earlier && other.time > entry.time => place = at,
                What::Note(_) => {}
            }
        }
        self.entries.insert(place, entry);
        self.forget_surplus();
    }

    /// Puts something at the end, but before what is not kept yet.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
        self.forget_surplus();
    }

    /// The smallest id in the log of that epoch.
    pub(crate) fn oldest(&self, epoch: u32) -> Option<u64> {
        let ids = self.entries.iter().filter_map(|entry| match &entry.what {
            What::Said { said, epoch: its, .. } if *its == epoch && said.at.id > 0 => Some(said.at.id),
            _ => None,
        });
        ids.min()
    }

    /// Takes the entry of that uid out.
    pub(crate) fn remove(&mut self, uid: &str) {
        self.entries.retain(|entry| !matches!(&entry.what, What::Said { said, .. } if said.at.uid == uid));
    }

    pub(crate) fn arrives(&mut self, name: &str) {
        if self.people.len() < PEOPLE && !self.people.iter().any(|known| known == name) {
            self.people.push(name.to_owned());
            self.people.sort_by_cached_key(|name| name.to_lowercase());
        }
    }

    pub(crate) fn departs(&mut self, name: &str) {
        self.people.retain(|known| known != name);
        self.typing.retain(|(known, _)| known != name);
    }

    fn forget_surplus(&mut self) {
        // In steps, and not while somebody reads there.
        if self.entries.len() > KEPT + KEPT / 10 && self.anchor.is_none() {
            self.entries.drain(..self.entries.len() - KEPT);
            self.more = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use hullo::chat::At;

    use super::*;

    fn said(id: u64, fate: Fate) -> Entry {
        let at = At { id, uid: format!("u{id}"), room: "lobby".into(), from: "ann".into(), time: 0 };
        let said = Said { at, text: String::new(), me: false, edited: None, deleted: false };
        Entry { serial: id, time: 0, what: What::Said { said, epoch: 1, fate } }
    }

    fn order(room: &Room) -> Vec<u64> {
        room.entries.iter().map(|entry| entry.serial).collect()
    }

    #[test]
    fn the_order_is_the_logs_however_it_comes() {
        let mut room = Room::new("lobby");
        for id in [5, 6, 9] {
            room.insert(said(id, Fate::Kept), false);
        }
        room.push(Entry { serial: 100, time: 0, what: What::Note("a note".into()) });
        for id in [7, 2, 12, 3] {
            room.insert(said(id, Fate::Kept), false);
        }
        assert_eq!(order(&room), [2, 3, 5, 6, 7, 9, 100, 12]);
    }

    #[test]
    fn what_was_said_before_we_came_stands_before_our_coming() {
        let mut room = Room::new("lobby");
        room.push(Entry { serial: 100, time: 9, what: What::Note("you have come".into()) });
        room.insert(said(5, Fate::Kept), true);
        room.insert(said(6, Fate::Kept), true);
        room.insert(said(7, Fate::Kept), false);
        assert_eq!(order(&room), [5, 6, 100, 7]);
    }

    #[test]
    fn what_others_say_stands_before_what_is_not_kept_yet() {
        let mut room = Room::new("lobby");
        room.insert(said(5, Fate::Kept), false);
        let mut mine = said(0, Fate::Unkept);
        mine.serial = 50;
        room.push(mine);
        room.insert(said(6, Fate::Kept), false);
        assert_eq!(order(&room), [5, 6, 50]);
    }

    #[test]
    fn a_private_room_is_named_after_the_other() {
        for (me, title) in [("ann", "@bob"), ("bob", "@ann")] {
            assert_eq!(Room::new("@ann+bob").title(me), title);
        }
    }

    #[test]
    fn a_room_does_not_grow_without_end() {
        let mut room = Room::new("lobby");
        (1..=3 * KEPT as u64).for_each(|id| room.insert(said(id, Fate::Kept), false));
        assert!((KEPT..KEPT * 2).contains(&room.entries.len()) && room.more);
    }
}
