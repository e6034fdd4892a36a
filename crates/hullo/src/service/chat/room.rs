//! A room: its members, its log, and how what happens reaches all of them in one order.
//!
//! Whoever adds something holds the lock of the room for a moment: it gets its place in the log and goes into a batch.
//! Then one of those who added something tells the batch to all members, and whoever comes meanwhile leaves theirs to it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::Notify,
    task::{self, unconstrained},
};

use super::{
    joined::others::Present,
    member::{Door, Member, Telling},
    people::Person,
};
use crate::chat::{Entry, Event, Presence, Rules, What, name};

/// Entries that a room keeps at hand for whoever comes.
const TAIL: usize = 256;

/// And their bytes at most.
const TAIL_BYTES: usize = 128 << 10;

/// Comings and goings are told in rooms of up to so many: each of them is a message for all the others. Where two talk
/// alone they are not, since a private room is entered by being talked to.
const TELLS_PRESENCE: usize = 100;

/// Names that are told of who is in a room.
const NAMES: usize = 500;

/// Bytes that wait to be told; who has more to say waits.
const CROWDED: usize = 256 << 10;

/// A room.
pub(super) struct Room {
    pub(super) name: Arc<str>,
    /// Its number in this process, which is never used again.
    pub(super) number: u64,
    /// Whether what is said here is written to the history.
    pub(super) kept: bool,
    /// Who talk here, where it is two people alone.
    pub(super) parties: Option<[Arc<str>; 2]>,
    state: Mutex<State>,
    /// The batch has become smaller.
    told: Notify,
}

/// What the room's lock is held for.
pub(super) struct State {
    pub(super) rules: Rules,
    /// The id of the newest entry.
    pub(super) last: u64,
    /// Who came first, and has said nothing here yet: until then there is nothing of the room that would have to be kept.
    pub(super) founder: Option<Arc<Person>>,
    /// The newest entries: all with an id over `floor`.
    tail: VecDeque<Arc<Entry>>,
    tail_bytes: usize,
    floor: u64,
    /// Shared with whoever is telling; joining and leaving copy it then.
    seats: Arc<Vec<Arc<Member>>>,
    /// Who is here, and on how many connections.
    people: HashMap<Arc<str>, (Arc<Person>, usize)>,
    /// Who is in this room on other servers, and on how many.
    elsewhere: HashMap<Arc<str>, (Seen, usize)>,
    batch: Vec<Item>,
    waiting: usize,
    sequence: u64,
    telling: bool,
}

/// Items that are told together, and to whom.
pub(super) struct Batch {
    items: Vec<Item>,
    members: Arc<Vec<Arc<Member>>>,
}

/// Somebody in the room, on whatever server.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) name: Arc<str>,
    pub(super) author: Arc<str>,
    pub(super) account: bool,
}

/// Something to be told to the members.
pub(super) struct Item {
    pub(super) sequence: u64,
    /// An entry of the log, or an event that is not kept.
    pub(super) entry: Result<Arc<Entry>, Event>,
    /// The connection that did it.
    pub(super) by: Option<u64>,
}

impl Item {
    pub(super) fn event(&self) -> Event {
        match &self.entry {
            Ok(entry) => entry.event(),
            Err(event) => event.clone(),
        }
    }

    /// Nobody hears their own coming and typing, and who types lines has seen what they typed.
    pub(super) fn is_unheard_by(&self, member: &Member) -> bool {
        let typed = |entry: &Arc<Entry>| matches!(entry.what, What::Say { .. }) && member.door == Door::Lines;
        self.by == Some(member.number) && self.entry.as_ref().map_or(true, typed)
    }
}

impl Room {
    /// A room of that name, in whose log there is nothing over `last` yet.
    pub(super) fn new(name: &str, number: u64, kept: bool, rules: Rules, last: u64) -> Self {
        let state = State {
            rules,
            last,
            tail: VecDeque::new(),
            tail_bytes: 0,
            founder: None,
            floor: last,
            seats: Arc::default(),
            people: HashMap::new(),
            elsewhere: HashMap::new(),
            batch: Vec::new(),
            waiting: 0,
            sequence: 0,
            telling: false,
        };
        Self { name: name.into(), number, kept, parties: None, state: Mutex::new(state), told: Notify::new() }
    }

    /// A room of two.
    pub(super) fn of(self, parties: [Arc<str>; 2]) -> Self {
        Self { parties: Some(parties), ..self }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the members what has been added, unless somebody else does that already. What is added behind is told too.
    pub(super) async fn tell(&self) {
        loop {
            let batch = self.state().batch();
            let Some(batch) = batch else { return };
            if !self.tell_batch(batch) {
                return;
            }
            task::yield_now().await;
        }
    }

    /// Tells a batch. Says whether there is another one by now.
    pub(super) fn tell_batch(&self, batch: Batch) -> bool {
        let mut telling = Telling::new(&self.name, self.number, &batch.items);
        for member in batch.members.iter() {
            telling.to(member);
        }
        drop(batch.members);
        self.told.notify_waiters();
        let mut state = self.state();
        state.telling = false;
        !state.batch.is_empty()
    }

    /// Whether there is no room for more in the batch, until it is told.
    fn is_crowded(&self) -> bool {
        self.state().waiting >= CROWDED
    }

    /// Waits until there is room for more in the batch. Cancel-safe. Whoever waits tells what there is, if nobody does: what
    /// crowds the room may be their own, and nobody else's to tell.
    pub(super) async fn space(&self) {
        while self.is_crowded() {
            let told = self.told.notified();
            unconstrained(self.tell()).await;
            if self.is_crowded() {
                told.await;
            }
        }
    }
}

impl State {
    /// Adds an entry to the log, which has its id by now. Says whether the rules are others now.
    pub(super) fn add(&mut self, entry: &Arc<Entry>, by: Option<u64>, written: u64) -> bool {
        let changed = self.rules.apply(entry);
        self.last = entry.id;
        if let What::Edit { of, .. } | What::Delete { of } = &entry.what {
            self.change(of, entry);
        }
        self.tail.push_back(entry.clone());
        self.tail_bytes += size(entry);
        self.trim(TAIL, TAIL_BYTES, written);
        self.put(Ok(entry.clone()), by, size(entry));
        changed
    }

    /// Lets go of the oldest entries at hand, but for those that cannot be read again yet.
    fn trim(&mut self, most: usize, bytes: usize, written: u64) {
        while (self.tail.len() > most || self.tail_bytes > bytes)
            && self.tail.front().is_some_and(|first| first.id <= written)
            && let Some(first) = self.tail.pop_front()
        {
            self.floor = first.id;
            self.tail_bytes -= size(&first);
        }
    }

    /// Nobody is here: what can be read again need not be at hand.
    pub(super) fn drop_written(&mut self, written: u64) {
        self.trim(0, 0, written);
        self.tail.shrink_to_fit();
    }

    /// A message at hand reads as it was changed: what was taken back is told to nobody any more. Neither is what it was
    /// changed to before.
    fn change(&mut self, of: &str, by: &Entry) {
        self.tail.retain(|entry| !matches!(&entry.what, What::Edit { of: other, .. } if other == of));
        self.tail_bytes = self.tail.iter().map(|entry| size(entry)).sum();
        let Some(said) = self.tail.iter_mut().find(|entry| &*entry.uid == of) else { return };
        let mut changed = Entry::clone(said);
        if let What::Say { text, edited, deleted, .. } = &mut changed.what {
            match &by.what {
                What::Edit { text: new, .. } => (*text, *edited) = (new.clone(), Some(by.time)),
                _ => (*text, *deleted) = (String::new(), true),
            }
        }
        self.tail_bytes -= size(said);
        self.tail_bytes += size(&changed);
        *said = Arc::new(changed);
    }

    /// Tells the members something that is not kept.
    pub(super) fn announce(&mut self, event: Event, by: Option<u64>) {
        self.put(Err(event), by, 0);
    }

    fn put(&mut self, entry: Result<Arc<Entry>, Event>, by: Option<u64>, size: usize) {
        self.sequence += 1;
        self.waiting += size + 256;
        self.batch.push(Item { sequence: self.sequence, entry, by });
    }

    /// What is to be told now, and to whom, unless somebody is telling something.
    pub(super) fn batch(&mut self) -> Option<Batch> {
        if self.telling || self.batch.is_empty() {
            return None;
        }
        self.telling = true;
        self.waiting = 0;
        Some(Batch { items: std::mem::take(&mut self.batch), members: self.seats.clone() })
    }

    /// The entry of that uid, if it is one of the newest.
    pub(super) fn recent(&self, uid: &str) -> Option<&Arc<Entry>> {
        self.tail.iter().rev().find(|entry| &*entry.uid == uid)
    }

    /// All entries over that id; nothing where not all of them are at hand.
    pub(super) fn over(&self, id: u64) -> Option<impl Iterator<Item = &Arc<Entry>>> {
        (id >= self.floor).then(|| self.tail.iter().filter(move |entry| entry.id > id))
    }

    /// All entries over this id are at hand.
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    /// The newest entries, as far as they are at hand.
    pub(super) fn tail(&self) -> impl DoubleEndedIterator<Item = &Arc<Entry>> {
        self.tail.iter()
    }

    /// Gives a member a place, or has it go on from here in the one that it has. It hears all that is added from now on.
    pub(super) fn enter(&mut self, room: &Arc<Room>, member: &Arc<Member>) {
        member.enter(room, self.sequence);
        if self.seats.iter().any(|other| other.number == member.number) {
            return;
        }
        Arc::make_mut(&mut self.seats).push(member.clone());
        let person = &member.person;
        let (_, connections) = self.people.entry(person.author.clone()).or_insert_with(|| (person.clone(), 0));
        *connections += 1;
        if *connections == 1 && !self.elsewhere.contains_key(&person.author) {
            self.presence(&room.name, person.name(), Presence::Here, Some(member.number));
        }
    }

    /// Takes a member's place away, if it has one.
    pub(super) fn leave(&mut self, room: &Room, member: &Member) -> bool {
        member.leave(room);
        let Some(at) = self.seats.iter().position(|other| other.number == member.number) else { return false };
        Arc::make_mut(&mut self.seats).swap_remove(at);
        let author = &member.person.author;
        let Some((_, connections)) = self.people.get_mut(author) else { return true };
        *connections -= 1;
        if *connections == 0 {
            self.people.remove(author);
            if self.elsewhere.contains_key(author) {
                return true;
            }
            self.presence(&room.name, member.person.name(), Presence::Gone, Some(member.number));
        }
        true
    }

    /// Tells of somebody who is here that something happened to them.
    pub(super) fn presence(&mut self, room: &str, name: Arc<str>, is: Presence, by: Option<u64>) {
        let count = self.count();
        if count <= TELLS_PRESENCE && name::parties(room).is_none() {
            let (room, name) = (room.to_owned(), name.to_string());
            self.announce(Event::Presence { room, name, is, count }, by);
        }
    }

    /// The connections of somebody that are here.
    pub(super) fn members_of(&self, author: &str) -> Vec<Arc<Member>> {
        self.seats.iter().filter(|member| &*member.person.author == author).cloned().collect()
    }

    /// Whether somebody is here.
    pub(super) fn has(&self, author: &str) -> bool {
        self.people.contains_key(author)
    }

    /// Whether somebody is here, or in this room on another server.
    pub(super) fn has_anywhere(&self, author: &str) -> bool {
        self.has(author) || self.elsewhere.contains_key(author)
    }

    /// How many are here.
    pub(super) fn count(&self) -> usize {
        self.people.len() + self.elsewhere.keys().filter(|author| !self.people.contains_key(*author)).count()
    }

    /// Whether nothing holds here, nothing was said, and all who are here only listen.
    pub(super) fn is_unused(&self) -> bool {
        self.rules == Rules::default()
            && self.tail.is_empty()
            && self.elsewhere.is_empty()
            && self.seats.iter().all(|member| member.door == Door::Feed)
    }

    /// Whether the rules are those of any room that nobody has used.
    pub(super) fn holds_nothing(&self) -> bool {
        self.rules == Rules::default() || self.founder.is_some()
    }

    /// Who is here, by name; of many some.
    pub(super) fn people(&self) -> Vec<Seen> {
        let here = self.people.values().map(|(person, _)| Seen::of(person));
        let elsewhere = self.elsewhere.values().map(|(seen, _)| seen.clone());
        let all = here.chain(elsewhere.filter(|seen| !self.people.contains_key(&seen.author)));
        let mut people: Vec<_> = all.take(NAMES).collect();
        people.sort_by(|one, other| one.name.cmp(&other.name));
        people
    }

    /// Somebody is in this room on another server.
    pub(super) fn meet(&mut self, room: &str, present: &Present) {
        let seen = Seen::from(present);
        let (_, servers) = self.elsewhere.entry(present.author.clone()).or_insert((seen, 0));
        *servers += 1;
        if *servers == 1 && !self.people.contains_key(&present.author) {
            self.presence(room, present.name.clone(), Presence::Here, None);
        }
    }

    /// They are not any more.
    pub(super) fn miss(&mut self, room: &str, author: &str) {
        let Some((seen, servers)) = self.elsewhere.get_mut(author) else { return };
        *servers -= 1;
        if *servers == 0 {
            let name = seen.name.clone();
            self.elsewhere.remove(author);
            if !self.people.contains_key(author) {
                self.presence(room, name, Presence::Gone, None);
            }
        }
    }

    /// They have another name.
    pub(super) fn rename(&mut self, room: &str, present: &Present) {
        let Some((seen, _)) = self.elsewhere.get_mut(&present.author) else { return };
        let old = std::mem::replace(&mut seen.name, present.name.clone());
        if !self.people.contains_key(&present.author) && old != present.name {
            self.presence(room, old, Presence::Now { new: present.name.to_string() }, None);
        }
    }

    /// Gives a room that nobody has used its operator.
    pub(super) fn set_founder(&mut self, person: &Arc<Person>) {
        self.rules.operators.insert(person.author.to_string(), person.name().to_string());
        self.founder = Some(person.clone());
    }

    /// Whether nobody is here, and nobody is being told anything.
    pub(super) fn is_idle(&self) -> bool {
        self.seats.is_empty() && self.elsewhere.is_empty() && !self.telling
    }
}

impl Seen {
    fn of(person: &Person) -> Self {
        Self { name: person.name(), author: person.author.clone(), account: person.account }
    }
}

impl From<&Present> for Seen {
    fn from(present: &Present) -> Self {
        Self { name: present.name.clone(), author: present.author.clone(), account: present.account }
    }
}

/// The bytes of an entry that its author has chosen.
fn size(entry: &Entry) -> usize {
    match &entry.what {
        What::Say { text, .. } | What::Edit { text, .. } | What::Topic { text } => text.len(),
        What::Delete { .. } | What::Rule { .. } => 0,
    }
}
