//! What a client must remember to come back to where it was: who it is, what it has seen of each room, and what it has
//! said that is not known to be kept. Pure.

use std::collections::{HashSet, VecDeque};

use hullo::chat::{Ask, Asked, At, Event, LOBBY, Presence, name};

use crate::view::chat::say::{ASKED, REGISTER};

/// How many uids are remembered, for all rooms together.
const SEEN: usize = 20_000;

/// How many rooms are remembered; a server lets nobody into so many.
const ROOMS: usize = 256;

/// The mark of the first thing that is said to a server.
pub(super) const HELLO: &str = "hello";

/// Who we want to be.
#[derive(Clone, Default)]
pub(super) struct Who {
    pub(super) name: Option<String>,
    pub(super) password: Option<String>,
}

/// What is remembered from one connection to the next.
pub(super) struct Memory {
    who: Who,
    /// Who we have asked to be meanwhile, and may be once we are welcome.
    asked: Option<Who>,
    /// The password of an account that we are making.
    password: Option<String>,
    /// Our name here.
    me: String,
    token: Option<String>,
    /// The log in which the server's ids count now.
    log: String,
    rooms: Vec<Place>,
    history: Option<usize>,
    unkept: VecDeque<Asked>,
    seen: Seen,
    /// How much of what we said and asked for was refused.
    refused: usize,
}

/// How far we are in a room.
struct Place {
    room: String,
    /// The last that was seen, with all before it.
    seen: Option<Mark>,
    /// The last that came since we asked for the room; it counts once we are in it again.
    coming: Option<Mark>,
    /// Whether all before `coming` is here too.
    live: bool,
    /// Something came that we know: nothing is missing before it.
    met: bool,
    /// The word for the invited.
    token: Option<String>,
}

#[derive(Clone)]
struct Mark {
    id: u64,
    uid: Option<String>,
    log: String,
}

impl Memory {
    pub(super) fn new(who: Who, rooms: &[String], history: Option<usize>) -> Self {
        let names = if rooms.is_empty() { vec![LOBBY.to_owned()] } else { rooms.to_vec() };
        Self {
            who,
            asked: None,
            password: None,
            me: String::new(),
            token: None,
            log: String::new(),
            rooms: names.into_iter().map(Place::new).collect(),
            history,
            unkept: VecDeque::new(),
            seen: Seen::default(),
            refused: 0,
        }
    }

    /// What is said first on a new connection: who we are, where we were, and what may not have arrived.
    pub(super) fn greeting(&mut self) -> Vec<Asked> {
        let mut asks = Vec::new();
        let Who { name, password } = self.who.clone();
        if name.is_some() || self.token.is_some() {
            let ask = Ask::Hello { name, password, token: self.token.clone() };
            asks.push(Asked { tag: Some(HELLO.to_owned()), ask });
        }
        self.asked = None;
        asks.extend(self.entering());
        asks.extend(self.unkept.iter().cloned());
        asks
    }

    /// What is said to be in all rooms again.
    fn entering(&mut self) -> Vec<Asked> {
        let history = self.history;
        let join = |place: &mut Place| {
            (place.live, place.met, place.coming) = (false, false, None);
            // To come back somewhere is nobody's wish but ours.
            Asked { tag: place.seen.is_none().then(|| ASKED.to_owned()), ask: place.join(history) }
        };
        self.rooms.iter_mut().map(join).collect()
    }

    /// What is to be said to a welcome: who has become somebody else is in no room any more.
    pub(super) fn welcomed(&mut self, event: &Event) -> Vec<Asked> {
        match (event, self.asked.take()) {
            (Event::Welcome { .. }, Some(asked)) => {
                self.who = asked;
                self.entering()
            }
            (_, asked) => {
                self.asked = asked;
                Vec::new()
            }
        }
    }

    /// Takes notice of what is about to be asked.
    pub(super) fn asks(&mut self, asked: &Asked) {
        match &asked.ask {
            Ask::Say { uid: Some(_), .. } | Ask::Tell { uid: Some(_), .. } => self.unkept.push_back(asked.clone()),
            Ask::Join { room, token, .. } => {
                let mut place = Place::new(room.clone());
                place.token.clone_from(token);
                // Only when we are in it is it a place to come back to; what opens it is remembered now.
                if token.is_some() {
                    self.rooms.retain(|known| known.room != place.room);
                    self.rooms.push(place);
                }
            }
            Ask::Hello { name, password, .. } => {
                self.asked = Some(Who { name: name.clone(), password: password.clone() });
            }
            Ask::Register { password } => self.password = Some(password.clone()),
            _ => {}
        }
    }

    /// What an event comes to. A server that does not know us again does not take what we have said already, as another's:
    /// but it has told us that very message, and so it has it.
    pub(super) fn judges(&self, event: Event) -> Event {
        match event {
            Event::Error { uid: Some(uid), .. } if self.seen.uids.contains(&uid) => {
                Event::Kept { uid, id: 0, room: String::new() }
            }
            event => event,
        }
    }

    /// Takes notice of what the server tells; whether it is news.
    pub(super) fn hears(&mut self, event: &Event) -> bool {
        match event {
            Event::Welcome { name, token, log, .. } => {
                (self.me, self.token, self.log) = (name.clone(), Some(token.clone()), log.clone());
            }
            Event::Joined { room, last, recovered, .. } => self.joined(room, *last, recovered.is_some()),
            // Who comes again after that is a guest without the password.
            Event::Done { tag: Some(tag) } if tag == REGISTER => {
                self.who = Who { name: Some(self.me.clone()), password: self.password.take() };
            }
            Event::Left { room, .. } => self.rooms.retain(|place| place.room != *room),
            Event::Message(said) => return self.entry(&said.at),
            Event::Edited { at, .. }
            | Event::Deleted { at, .. }
            | Event::Topic { at, .. }
            | Event::Ruled { at, .. } => {
                return self.entry(at);
            }
            Event::Kept { uid, .. } => self.unkept.retain(|asked| uid_of(&asked.ask) != Some(uid)),
            Event::Error { uid: Some(uid), .. } => {
                let before = self.unkept.len();
                self.unkept.retain(|asked| uid_of(&asked.ask) != Some(uid));
                self.refused += before - self.unkept.len();
            }
            Event::Error { tag: Some(tag), .. } if self.is_wish(tag) => self.refused += 1,
            // Whoever comes again wants to be called what they were called last.
            Event::Presence { name, is: Presence::Now { new }, .. } if self.me == *name => {
                self.me.clone_from(new);
                self.who.name = Some(new.clone());
            }
            _ => {}
        }
        true
    }

    /// Whether something may be missing in the room that we have just entered again: the server could not tell all, and
    /// nothing of what it told is known.
    pub(super) fn has_gap(&self, event: &Event) -> Option<String> {
        let Event::Joined { room, recovered: Some(false), last, .. } = event else { return None };
        let place = self.rooms.iter().find(|place| same(&place.room, room))?;
        (!place.met && *last > 0).then(|| room.clone())
    }

    /// Whether we want to be an account, and have never been let in as it: then nobody else will do.
    pub(super) fn is_locked_out(&self) -> bool {
        self.who.password.is_some() && self.is_new()
    }

    /// Whether we have not been in any room yet.
    fn is_new(&self) -> bool {
        self.rooms.iter().all(|place| place.seen.is_none())
    }

    /// Whether what has that mark was somebody's wish, and not what is said to come back.
    fn is_wish(&self, tag: &str) -> bool {
        matches!(tag, ASKED | REGISTER) || tag == HELLO && self.is_new()
    }

    /// How much of what we said is not known to be kept.
    pub(super) fn unkept(&self) -> usize {
        self.unkept.len()
    }

    /// How much of that, and of what we asked for, never will be.
    pub(super) fn refused(&self) -> usize {
        self.refused
    }

    fn joined(&mut self, room: &str, last: u64, answers: bool) {
        let log = self.log.clone();
        let place = match self.rooms.iter_mut().position(|place| same(&place.room, room)) {
            Some(at) => &mut self.rooms[at],
            None if self.rooms.len() >= ROOMS => return,
            None => {
                self.rooms.push(Place::new(room.to_owned()));
                let at = self.rooms.len() - 1;
                &mut self.rooms[at]
            }
        };
        room.clone_into(&mut place.room);
        // A server puts everybody into the lobby: that is no answer to where we want to go on.
        if place.seen.is_some() && !answers && !place.live {
            return;
        }
        let uid = place.coming.as_ref().or(place.seen.as_ref()).and_then(|mark| mark.uid.clone());
        let told = Mark { id: last, uid, log };
        let coming = place.coming.take().filter(|coming| coming.id >= last);
        (place.seen, place.live) = (Some(coming.unwrap_or(told)), true);
    }

    fn entry(&mut self, at: &At) -> bool {
        let news = self.seen.add(&at.uid);
        let mark = Mark { id: at.id, uid: Some(at.uid.clone()), log: self.log.clone() };
        if let Some(place) = self.rooms.iter_mut().find(|place| place.room == at.room) {
            place.met |= !news;
            let slot = if place.live { &mut place.seen } else { &mut place.coming };
            // After a search or in another order an older one may come: it takes nothing back.
            if slot.as_ref().is_none_or(|known| known.log != mark.log || known.id < mark.id) {
                *slot = Some(mark);
            }
        }
        news
    }
}

/// Whether the name of a room that was asked for is the one that the server tells.
fn same(asked: &str, told: &str) -> bool {
    asked == told || name::key(asked.trim_start_matches('#')) == name::key(told)
}

fn uid_of(ask: &Ask) -> Option<&String> {
    match ask {
        Ask::Say { uid, .. } | Ask::Tell { uid, .. } => uid.as_ref(),
        _ => None,
    }
}

impl Place {
    fn new(room: String) -> Self {
        Self { room, seen: None, coming: None, live: false, met: false, token: None }
    }

    fn join(&self, history: Option<usize>) -> Ask {
        let (room, token) = (self.room.clone(), self.token.clone());
        match self.seen.clone() {
            Some(Mark { id, uid, log }) => {
                Ask::Join { room, after: Some(id), log: Some(log), uid, history: None, token }
            }
            None => Ask::Join { room, after: None, log: None, uid: None, history, token },
        }
    }
}

/// The uids that came last.
#[derive(Default)]
struct Seen {
    uids: HashSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    /// Whether it is new.
    fn add(&mut self, uid: &str) -> bool {
        if !self.uids.insert(uid.to_owned()) {
            return false;
        }
        self.order.push_back(uid.to_owned());
        if self.order.len() > SEEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.uids.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use hullo::chat::Said;

    use super::*;
    use crate::view::chat::say::tag;

    fn message(id: u64) -> Event {
        let at = At { id, uid: format!("u{id}"), room: "lobby".into(), from: "ann".into(), time: 0 };
        Event::Message(Said { at, text: "hi".into(), me: false, edited: None, deleted: false })
    }

    fn welcome(log: &str) -> Event {
        Event::Welcome { name: "me".into(), account: false, token: "t".into(), log: log.into(), private: Vec::new() }
    }

    fn joined(last: u64, recovered: Option<bool>) -> Event {
        let (room, topic) = ("lobby".to_owned(), String::new());
        Event::Joined { room, topic, people: Vec::new(), count: 1, last, recovered, operator: false, closed: false }
    }

    fn say(uid: &str) -> Asked {
        Asked { tag: None, ask: Ask::Say { room: "lobby".into(), text: "hi".into(), uid: Some(uid.into()), me: false } }
    }

    fn joins(memory: &mut Memory) -> Vec<Ask> {
        memory.greeting().into_iter().map(|asked| asked.ask).filter(|ask| matches!(ask, Ask::Join { .. })).collect()
    }

    fn after(id: u64, log: &str, uid: &str) -> Ask {
        let (log, uid) = (Some(log.to_owned()), Some(uid.to_owned()));
        Ask::Join { room: "lobby".into(), after: Some(id), log, uid, history: None, token: None }
    }

    #[test]
    fn it_comes_back_to_where_it_was() {
        let mut memory = Memory::new(Who::default(), &[], Some(7));
        assert_eq!(
            joins(&mut memory),
            [Ask::Join { room: "lobby".into(), after: None, log: None, uid: None, history: Some(7), token: None }]
        );
        for event in [welcome("L"), message(3), joined(3, None), message(5)] {
            assert!(memory.hears(&event));
        }
        assert_eq!(joins(&mut memory), [after(5, "L", "u5")]);
        // The connection breaks again in the middle of what was missed: nothing of that counts as seen in order.
        assert!(memory.hears(&welcome("L")) && memory.hears(&joined(9, None)) && memory.hears(&message(8)));
        assert_eq!(joins(&mut memory), [after(5, "L", "u5")]);
        assert!(!memory.hears(&message(8)), "and what came already does not come twice");
        assert!(memory.hears(&message(9)) && memory.hears(&joined(9, Some(true))));
        assert_eq!(joins(&mut memory), [after(9, "L", "u9")]);
    }

    #[test]
    fn another_log_counts_anew() {
        let mut memory = Memory::new(Who::default(), &[], None);
        for event in [welcome("L"), message(50), joined(50, None)] {
            memory.hears(&event);
        }
        memory.greeting();
        for event in [welcome("M"), message(2), joined(2, Some(true)), message(3)] {
            memory.hears(&event);
        }
        assert_eq!(joins(&mut memory), [after(3, "M", "u3")]);
    }

    #[test]
    fn a_gap_is_known_and_so_is_that_there_is_none() {
        for (told, gap) in [(vec![message(90), message(91)], true), (vec![message(5), message(91)], false)] {
            let mut memory = Memory::new(Who::default(), &[], None);
            for event in [welcome("L"), message(5), joined(5, None)] {
                memory.hears(&event);
            }
            memory.greeting();
            told.iter().for_each(|event| _ = memory.hears(event));
            let last = joined(91, Some(false));
            memory.hears(&last);
            assert_eq!(memory.has_gap(&last).is_some(), gap);
        }
    }

    #[test]
    fn what_is_not_kept_is_said_again_and_under_the_same_name() {
        let mut memory = Memory::new(Who::default(), &[], None);
        memory.greeting();
        for uid in ["a", "b", "c"] {
            memory.asks(&say(uid));
        }
        memory.hears(&Event::Kept { uid: "b".into(), id: 1, room: "lobby".into() });
        memory.hears(&Event::Error { error: "no".into(), hint: None, tag: None, uid: Some("c".into()) });
        assert_eq!((memory.unkept(), memory.refused()), (1, 1));
        assert_eq!(memory.greeting().last(), Some(&say("a")));
    }

    #[test]
    fn who_has_made_an_account_comes_back_as_it() {
        let mut memory = Memory::new(Who::default(), &[], None);
        memory.hears(&welcome("L"));
        memory.asks(&Asked { tag: Some(REGISTER.into()), ask: Ask::Register { password: "secret".into() } });
        assert!(matches!(&memory.greeting()[0].ask, Ask::Hello { password: None, .. }));
        memory.hears(&Event::Done { tag: Some(REGISTER.into()) });
        let hello = Ask::Hello { name: Some("me".into()), password: Some("secret".into()), token: Some("t".into()) };
        assert_eq!(memory.greeting()[0].ask, hello);
    }

    #[test]
    fn what_is_refused_and_yet_in_the_log_is_kept() {
        let mut memory = Memory::new(Who::default(), &[], None);
        memory.asks(&say("u7"));
        let refused = Event::Error { error: "it is another's".into(), hint: None, tag: None, uid: Some("u7".into()) };
        assert_eq!(memory.judges(refused.clone()), refused);
        memory.hears(&message(7));
        let judged = memory.judges(refused);
        memory.hears(&judged);
        assert_eq!((memory.unkept(), memory.refused()), (0, 0));
    }

    #[test]
    fn what_was_wished_for_and_refused_is_counted_but_not_what_is_said_to_come_back() {
        let mut memory = Memory::new(Who { name: Some("ann".into()), password: None }, &[], None);
        let refused = |tag: Option<String>| Event::Error { error: "no".into(), hint: None, tag, uid: None };
        let first = memory.greeting();
        for asked in &first {
            memory.hears(&refused(asked.tag.clone()));
        }
        assert_eq!((first.len(), memory.refused()), (2, 2), "a name and a room");
        memory.hears(&refused(tag(&Ask::Rooms)));
        assert_eq!(memory.refused(), 3);
        for event in [welcome("L"), joined(5, None)] {
            memory.hears(&event);
        }
        for asked in memory.greeting() {
            memory.hears(&refused(asked.tag));
        }
        assert_eq!(memory.refused(), 3);
    }

    #[test]
    fn who_becomes_somebody_else_enters_again() {
        let mut memory = Memory::new(Who::default(), &[], None);
        memory.greeting();
        for event in [welcome("L"), message(5), joined(5, None)] {
            memory.hears(&event);
            assert!(memory.welcomed(&event).is_empty(), "{event:?}");
        }
        let hello = Ask::Hello { name: Some("ann".into()), password: Some("secret".into()), token: None };
        memory.asks(&Asked { tag: None, ask: hello });
        memory.hears(&welcome("L"));
        let asks: Vec<_> = memory.welcomed(&welcome("L")).into_iter().map(|asked| asked.ask).collect();
        assert_eq!(asks, [after(5, "L", "u5")]);
        assert!(
            matches!(&memory.greeting()[0].ask, Ask::Hello { password: Some(password), .. } if password == "secret")
        );
    }
}
