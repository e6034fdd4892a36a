//! Several servers that are one chat: `hullo serve chat tcp://:7060 --bus nats://10.0.0.5`.
//!
//! What is said in a room that is kept goes to the log that all servers read, and becomes an entry here when it comes back
//! from there: so its place among the others is the same everywhere. While the log cannot be reached it becomes an entry at
//! once, marked as unsent, and goes there later, after what others have said meanwhile. An entry that is here already, by
//! its uid, is passed over, whichever way it comes.
//!
//! Who is where the servers tell each other, and do not keep.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::timeout,
};

use self::{landing::Lander, others::Word};
use super::{
    Chat, accounts, history, now,
    people::{self, Person},
    posting::{Draft, Kept, Landing},
    room::Room,
};
use crate::{
    bus::{Bus, Position},
    chat::{Act, Entry, What, name},
    error::{Error, Result, brief},
    scope::Scope,
    watch::Event,
};

mod landing;
pub(super) mod others;
mod presence;

/// The name of the log, and what the servers' words begin with.
const NAME: &str = "hullo-chat";

/// What waits to become an entry, or to be told to the others.
const JOBS: usize = 1024;

/// What was published comes back within this, or is an entry here without that.
const LOST: Duration = Duration::from_secs(10);

/// What is said waits so long for the log to be ready, at most.
const COMING: Duration = Duration::from_secs(3);

/// The lines to the other servers.
pub(super) struct Joined {
    url: String,
    /// What the others know us by.
    me: Arc<str>,
    /// Is taken by the first who begins.
    start: Mutex<Option<Start>>,
    bus: OnceLock<Bus>,
    jobs: mpsc::Sender<Job>,
    pending: Mutex<HashMap<Arc<str>, Pending>>,
    state: watch::Sender<State>,
    /// People have been told that the log cannot be reached.
    away: AtomicBool,
    changed: Mutex<HashMap<Arc<str>, Arc<Person>>>,
    has_changed: Notify,
}

/// Whether what is said may go to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not yet: what others said meanwhile is heard, and what was said here goes there first.
    Coming,
    Flows,
    Away,
}

struct Start {
    after: Option<Position>,
    jobs: mpsc::Receiver<Job>,
}

/// What there is to do for the task that all entries come through.
enum Job {
    /// What is pending under that uid becomes an entry without the log.
    Land(Arc<str>),
    Shout(Box<Word>),
}

/// Something that was said here, and is no entry yet.
struct Pending {
    entry: Arc<Entry>,
    by: Option<u64>,
    kept: Option<Kept>,
    since: Instant,
    /// Dropped when it is an entry.
    _landed: oneshot::Sender<()>,
}

impl Joined {
    /// Is going to meet the others at that broker, and to read the log from where we were.
    ///
    /// # Errors
    /// No broker can be meant by that, or nothing is kept here.
    pub(super) fn new(url: &str, history: bool, after: Option<history::Position>) -> Result<Self> {
        Bus::check(url)?;
        if !history {
            let error = Error::usage("a chat of several servers needs a history on each of them");
            return Err(error.hint("leave --db none away; --db :memory: keeps it for as long as the server runs"));
        }
        let (sender, jobs) = mpsc::channel(JOBS);
        let after = after.map(|history::Position { stream, sequence }| Position { stream, sequence });
        Ok(Self {
            url: url.to_owned(),
            me: people::secret()?.into(),
            start: Mutex::new(Some(Start { after, jobs })),
            bus: OnceLock::new(),
            jobs: sender,
            pending: Mutex::default(),
            state: watch::Sender::new(State::Coming),
            away: AtomicBool::new(false),
            changed: Mutex::default(),
            has_changed: Notify::new(),
        })
    }

    /// Begins to read and to tell, for as long as the scope lasts. Only the first call does anything.
    pub(super) fn begin(&self, chat: &Arc<Chat>, scope: &Scope) {
        let start = self.start.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Start { after, jobs }) = start else { return };
        let farewell = Word::Bye { server: self.me.clone() }.bytes();
        match Bus::open(&self.url, NAME, after, farewell, scope) {
            Ok((bus, heard)) => {
                let bus = self.bus.get_or_init(|| bus).clone();
                let stopped = scope.stopped();
                scope.spawn(Lander::new(chat.clone(), bus, scope.clone()).run(heard, jobs, stopped));
            }
            Err(error) => scope.tell(&Event::Trouble { peer: None, error: &error }),
        }
    }

    /// What people should know who come now.
    pub(super) fn notice(&self) -> Option<&'static str> {
        self.away.load(Relaxed).then_some(AWAY)
    }

    /// The presence of somebody has changed: the others are told soon.
    pub(super) fn changed(&self, person: &Arc<Person>) {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).insert(person.author.clone(), person.clone());
        self.has_changed.notify_one();
    }

    /// Tells the others something that need not arrive.
    pub(super) fn shout(&self, word: Word) {
        // With so much to tell, this is the least of it.
        let _ = self.jobs.try_send(Job::Shout(Box::new(word)));
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<Arc<str>, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts somebody's message aside until it has its place, at which what is returned ends.
    ///
    /// # Errors
    /// There is another one with its uid.
    fn expect(&self, entry: &Arc<Entry>, by: Option<u64>, kept: Option<Kept>) -> Result<oneshot::Receiver<()>> {
        let mut pending = self.pending();
        let (landed, wait) = oneshot::channel();
        match pending.get_mut(&entry.uid) {
            Some(first) if first.entry.room != entry.room => {
                Err(Error::usage(format!("the uid '{}' is another message's", brief(&entry.uid))))
            }
            Some(first) => {
                // It is said twice at once: this one need not wait for the other.
                first.kept = both(first.kept.take(), kept);
                Ok(wait)
            }
            None => {
                let (entry, since) = (entry.clone(), Instant::now());
                pending.insert(entry.uid.clone(), Pending { entry, by, kept, since, _landed: landed });
                Ok(wait)
            }
        }
    }

    fn take(&self, uid: &str) -> Option<Pending> {
        self.pending().remove(uid)
    }

    /// What is expected in a room, up to that one, in the order in which it was said.
    fn until(&self, uid: &str) -> Vec<Arc<Entry>> {
        let pending = self.pending();
        let Some(last) = pending.get(uid) else { return Vec::new() };
        let is_before = |one: &&Pending| one.entry.room == last.entry.room && one.since <= last.since;
        let mut all: Vec<_> = pending.values().filter(is_before).collect();
        all.sort_by_key(|one| one.since);
        all.into_iter().map(|one| one.entry.clone()).collect()
    }

    /// What was expected for too long.
    fn overdue(&self) -> Vec<Arc<str>> {
        let pending = self.pending();
        pending.iter().filter(|(_, one)| one.since.elapsed() > LOST).map(|(uid, _)| uid.clone()).collect()
    }

    /// The bus, if what is said may go there: all that was said before is there.
    fn flowing(&self) -> Option<&Bus> {
        self.bus.get().filter(|bus| self.is(State::Flows) && bus.is_up())
    }

    /// The same, where it is waited for a moment if it is going to be so.
    async fn flows(&self) -> Option<&Bus> {
        if self.is(State::Coming) {
            let mut state = self.state.subscribe();
            // Then it is as if it were away.
            let _ = timeout(COMING, state.wait_for(|state| *state != State::Coming)).await;
        }
        self.flowing()
    }

    /// Nothing more goes to the log until all that is here is there.
    fn holds_back(&self) {
        self.state.send_if_modified(|state| {
            let flowed = *state == State::Flows;
            if flowed {
                *state = State::Coming;
            }
            flowed
        });
    }

    fn is(&self, state: State) -> bool {
        *self.state.borrow() == state
    }
}

/// What people are told.
const AWAY: &str = "the other servers cannot be reached; what is said here stays here until they can";
const BACK: &str = "the other servers are back";

impl Chat {
    /// Makes an entry of a draft on all servers, and returns when it has its place on this one.
    ///
    /// # Errors
    /// The author may not do that here.
    pub(super) async fn post_to_all(&self, joined: &Joined, room: &Room, draft: Draft) -> Result<Arc<str>> {
        let entry = Arc::new(self.draft(room, draft.uid, &draft.person, draft.what)?);
        let uid = entry.uid.clone();
        let landed = joined.expect(&entry, draft.by, draft.kept)?;
        let published = match joined.flows().await {
            Some(bus) => bus.publish(&room.name, &uid, bytes(&entry)).await.ok(),
            None => None,
        };
        let is_coming = match published {
            Some(true) => true,
            // It is in the log already, and either to come yet or here.
            Some(false) => self.known(room, &uid).await?.is_none(),
            None => false,
        };
        if !is_coming && joined.jobs.send(Job::Land(uid.clone())).await.is_err() {
            // Nobody lands anything any more, so this is the only one.
            self.land_pending(joined, &uid).await?;
        }
        // It ends with an error, since nothing is ever sent. What takes longer is on its way still.
        let _ = timeout(2 * LOST, landed).await;
        Ok(uid)
    }

    fn draft(&self, room: &Room, uid: Option<String>, person: &Person, what: What) -> Result<Entry> {
        let uid = uid.map_or_else(people::secret, Ok)?.into();
        let (from, author) = (person.name(), person.author.clone());
        Ok(Entry { id: 0, uid, room: room.name.clone(), from, author, time: now(), what })
    }

    /// Makes an entry of what is pending, and of all that was said there before it, which goes to the log later.
    async fn land_pending(&self, joined: &Joined, uid: &str) -> Result<Option<Arc<Room>>> {
        let mut room = None;
        for entry in joined.until(uid) {
            room = self.land(joined, &entry, None).await?.or(room);
        }
        Ok(room)
    }

    /// Gives an entry its place, unless it has one; with a position it comes from the log. One task alone does this.
    /// Returns the room to which something was added.
    ///
    /// # Errors
    /// There is no room for it, or the history cannot be used.
    async fn land(&self, joined: &Joined, entry: &Arc<Entry>, position: Option<Position>) -> Result<Option<Arc<Room>>> {
        let room = self.room_of(entry)?;
        if let Some(known) = self.known(&room, &entry.uid).await? {
            if let (Some(_), Some(history)) = (position, &self.history) {
                history.sent(vec![entry.uid.clone()]);
            }
            if let Some(kept) = joined.take(&entry.uid).and_then(|pending| pending.kept) {
                self.keep_again(&room, known, kept).await?;
            }
            return Ok(None);
        }
        if is_founding(entry) && !room.state().rules.operators.is_empty() {
            // Somebody on another server was the first in that room.
            joined.take(&entry.uid);
            return Ok(None);
        }
        let place = self.place(&room).await?;
        let unsent = position.is_none();
        if unsent {
            // What its author says next must not be in the log before it.
            joined.holds_back();
        }
        let position = position.map(|Position { stream, sequence }| history::Position { stream, sequence });
        let mut pending = joined.take(&entry.uid);
        let (by, kept) = pending.as_mut().map_or((None, None), |pending| (pending.by, pending.kept.take()));
        let landing = Landing { place, position, unsent, kept };
        self.append(&room, &mut room.state(), Entry::clone(entry), by, landing);
        self.bring_parties(&room);
        if let What::Rule { key: Some(key), .. } = &entry.what {
            // They may have been put out.
            self.people.of_author(key).iter().for_each(|person| joined.changed(person));
        }
        Ok(Some(room))
    }

    /// The room of an entry that may come from elsewhere.
    fn room_of(&self, entry: &Entry) -> Result<Arc<Room>> {
        let Some((one, other)) = name::parties(&entry.room) else { return self.room(&entry.room) };
        let parties = [one, other].map(|name| accounts::author(&name::key(name)));
        Ok(self.private_room(&entry.room, parties, true))
    }

    /// Has those come into a private room who are here.
    fn bring_parties(&self, room: &Arc<Room>) {
        for author in room.parties.iter().flatten() {
            if let Some(person) = self.people.of_author(author) {
                self.bring(room, &person);
            }
        }
    }

    /// Tells a private message that is not kept where the other one is.
    pub(super) fn tell_alone(&self, joined: &Joined, room: &Room, entry: &Entry) {
        let other = room.parties.iter().flatten().find(|author| **author != entry.author);
        let other = other.filter(|author| self.people.is_elsewhere(author));
        if let Some(to) = other {
            joined.shout(Word::Alone { to: to.clone(), entry: entry.clone() });
        }
    }

    /// The same, where it arrives.
    fn hear_alone(&self, to: &Arc<str>, entry: Entry) -> Option<Arc<Room>> {
        let person = self.people.of_author(to)?;
        name::parties(&entry.room)?;
        let room = self.private_room(&entry.room, [to.clone(), entry.author.clone()], false);
        if room.kept || room.state().recent(&entry.uid).is_some() {
            return None;
        }
        self.bring(&room, &person);
        self.append(&room, &mut room.state(), entry, None, Landing::default());
        Some(room)
    }
}

/// Whether somebody becomes the operator of a room by coming first.
fn is_founding(entry: &Entry) -> bool {
    matches!(&entry.what, What::Rule { act: Act::Op, key: Some(key), .. } if **key == *entry.author)
}

/// An entry as the log has it.
fn bytes(entry: &Entry) -> Bytes {
    // What we have made can be written.
    serde_json::to_vec(entry).unwrap_or_default().into()
}

/// Tells two who wait for the same.
fn both(one: Option<Kept>, other: Option<Kept>) -> Option<Kept> {
    match (one, other) {
        (Some(one), Some(other)) => Some(Box::new(move |uid, result| {
            other(uid, result.as_ref().map(|id| *id).map_err(|error| Error::new(error.kind(), error.to_string())));
            one(uid, result);
        })),
        (one, other) => one.or(other),
    }
}
