//! `hullo serve chat tcp://:7060 http://:8060`: rooms that a terminal, a browser and plain `nc` share.
//!
//! Whoever connects is a guest in the lobby. On streams and datagrams people talk in lines (`/help` says what else there
//! is, `byebye` leaves), on WebSockets programs talk in events of JSON ([`crate::chat`]), and over HTTP there is a page for
//! browsers, and streams and requests for scripts.
//!
//! What is said in a room is a log: each entry has its place under the room's lock, is told to all members in that order,
//! and then written by the history's one writer. A sender whose door has acknowledgements is told `kept` when its message
//! is on disk.

use std::{
    collections::HashMap,
    future::ready,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use http::{Request, Response};

use self::{
    accounts::Accounts,
    history::{History, Keep, Opened},
    joined::Joined,
    people::{People, Person},
    room::Room,
    rules::Who,
    talk::Talk,
};
use super::{Needs, Service, Setting, Settings, Spec};
use crate::{
    address::Address,
    chat::{LOBBY, Rules, name},
    error::{Error, Kind, Result},
    io::exchange::Body,
    link::Link,
    peer::Peer,
    scope::{BoxFuture, Scope},
};

mod accounts;
mod asks;
mod datagrams;
mod feed;
mod flood;
mod history;
mod joined;
mod joining;
mod member;
mod naming;
mod page;
mod people;
mod posting;
mod room;
mod rules;
mod talk;
mod traces;
mod web;

/// This service's line of the table.
pub const SPEC: Spec = Spec {
    name: "chat",
    about: "rooms to talk in: plain nc, a terminal and a browser in one; history and search",
    sample: "hello",
    takes: &[Setting::Database, Setting::Flood, Setting::Keep, Setting::Operators, Setting::Auth, Setting::Bus],
    needs: Needs::Nothing,
    make: |settings| Ok(Arc::new(Chat::new(settings)?)),
};

/// Where the history is kept if nobody says, and the word for nowhere.
const FILE: &str = "chat.db";
const NOWHERE: &str = "none";

/// The most of one line or event: with its escapes, the longest text fits.
const LINE: &str = "32KiB";

/// Rooms that this process holds; nobody can make more.
const ROOMS: usize = 10_000;

/// Whenever there are so many rooms more, those that nobody needs are looked for.
const SWEEP: usize = 256;

/// Messages a second that one may say for long, if nobody sets it.
const FLOOD: u32 = 2;

/// Entries that are kept, if nobody says.
const KEEP: u64 = 1_000_000;

/// The service that holds rooms.
pub struct Chat {
    rooms: Mutex<HashMap<Arc<str>, Arc<Room>>>,
    people: Arc<People>,
    accounts: Accounts,
    history: Option<History>,
    /// The name of the log in which ids count.
    log: Arc<str>,
    /// What uids are made of that nobody guesses.
    key: [u8; 32],
    /// The next id. Its lock is held until the entry of that id is the writer's: so whatever has a smaller id than one that
    /// is written is written too.
    ids: Mutex<u64>,
    /// The numbers of connections and rooms.
    numbers: AtomicU64,
    flood: Option<u32>,
    /// The budgets of those who send messages by requests, and of those who read by them.
    posts: flood::Floods,
    reads: flood::Floods,
    /// Who may do everything everywhere, as authors of entries.
    keepers: Vec<Arc<str>>,
    /// The other servers of this chat, if it has some.
    joined: Option<Joined>,
}

impl Chat {
    /// Opens the history of the settings.
    ///
    /// # Errors
    /// It cannot be opened, or is none; or a setting is wrong.
    pub fn new(settings: &Settings) -> Result<Self> {
        let keep = Keep { count: settings.keep.unwrap_or(KEEP), age: settings.keep_for };
        let (history, opened) = match settings.database.as_deref().unwrap_or(FILE) {
            NOWHERE => (None, None),
            file => {
                let Opened { history, log, next, rooms, position } = History::open(file, keep)?;
                (Some(history), Some((log, next, rooms, position)))
            }
        };
        let (log, next, rooms, position) = match opened {
            Some(opened) => opened,
            None => (people::secret()?, 1, Vec::new(), None),
        };
        let join = |url| Joined::new(url, history.is_some(), position);
        let joined = settings.bus.as_deref().map(join).transpose()?;
        let keeper = |name: &String| name::nick(name).map(|nick| accounts::author(&nick.key));
        let chat = Self {
            rooms: Mutex::default(),
            people: Arc::default(),
            accounts: Accounts::new(&settings.accounts, |name| name::nick(name).map(|nick| nick.key))?,
            history,
            log: log.into(),
            key: people::bytes()?,
            ids: Mutex::new(next),
            numbers: AtomicU64::new(1),
            flood: settings.flood.map_or(Some(FLOOD), |flood| (flood > 0).then_some(flood)),
            posts: flood::Floods::default(),
            reads: flood::Floods::default(),
            keepers: settings.operators.iter().map(keeper).collect::<Result<_>>()?,
            joined,
        };
        for (name, rules) in rooms {
            chat.add_room(&mut chat.rooms(), &name, true, rules);
        }
        Ok(chat)
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Room>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_id(&self) -> MutexGuard<'_, u64> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Relaxed)
    }

    /// The room of that name, which is made where there is none.
    fn room(&self, name: &str) -> Result<Arc<Room>> {
        let name = name::room(name)?;
        let mut rooms = self.rooms();
        if let Some(room) = rooms.get(name.as_str()) {
            return Ok(room.clone());
        }
        self.sweep(&mut rooms);
        if rooms.len() >= ROOMS {
            return Err(Error::new(Kind::TooLarge, format!("there are {ROOMS} rooms, and there can be no more")));
        }
        Ok(self.add_room(&mut rooms, &name, true, Rules::default()))
    }

    /// The room of that name as it can be read, which is made for nobody else where there is none.
    fn look_at(&self, name: &str) -> Result<Arc<Room>> {
        let name = name::room(name)?;
        let known = self.rooms().get(name.as_str()).cloned();
        Ok(known.unwrap_or_else(|| Arc::new(self.new_room(&name, true, Rules::default()))))
    }

    fn new_room(&self, name: &str, kept: bool, rules: Rules) -> Room {
        let last = self.next_id().saturating_sub(1);
        Room::new(name, self.number(), kept && self.history.is_some(), rules, last)
    }

    fn add_room(&self, rooms: &mut HashMap<Arc<str>, Arc<Room>>, name: &str, kept: bool, rules: Rules) -> Arc<Room> {
        let room = self.new_room(name, kept, rules);
        let room = Arc::new(match name::parties(name) {
            // It is kept, and so both have accounts.
            Some((one, other)) => room.of([one, other].map(|name| accounts::author(&name::key(name)))),
            None => room,
        });
        rooms.insert(room.name.clone(), room.clone());
        room
    }

    /// The room in which somebody is alone with another, who is told by their name and author. It is kept where both have
    /// accounts; else it is one of these two persons, whoever has their names later.
    fn private(&self, person: &Person, (other, author): (&str, &Arc<str>), is_account: bool) -> Arc<Room> {
        let name = name::private(&person.name(), other);
        self.private_room(&name, [person.author.clone(), author.clone()], is_account && person.account)
    }

    fn private_room(&self, name: &str, mut parties: [Arc<str>; 2], accounts: bool) -> Arc<Room> {
        parties.sort_unstable();
        let mut rooms = self.rooms();
        if let Some(room) = rooms.get(name)
            && room.parties.as_ref() == Some(&parties)
        {
            return room.clone();
        }
        self.sweep(&mut rooms);
        let room = Arc::new(self.new_room(name, accounts, Rules::default()).of(parties));
        rooms.insert(room.name.clone(), room.clone());
        room
    }

    /// Somebody has left a room: where nobody is, nothing need be at hand that can be read again.
    fn tidy(&self, room: &Room) {
        let mut state = room.state();
        if room.kept && state.is_idle() {
            state.drop_written(self.written());
        }
    }

    /// Forgets the rooms that nobody is in, or about to come into, and in which nothing holds.
    fn sweep(&self, rooms: &mut HashMap<Arc<str>, Arc<Room>>) {
        if rooms.len().is_multiple_of(SWEEP) {
            // Whoever has one has got it from this map, under its lock: who comes later gets another.
            rooms.retain(|_, room| Arc::strong_count(room) > 1 || !self.is_forgettable(room));
        }
    }

    fn is_forgettable(&self, room: &Room) -> bool {
        let state = room.state();
        let is_written = !room.kept || state.last <= self.written();
        is_written && state.is_idle() && (!room.kept || state.holds_nothing()) && *room.name != *LOBBY
    }

    /// Everything with an id up to this can be read from the history.
    fn written(&self) -> u64 {
        self.history.as_ref().map_or(u64::MAX, History::written)
    }

    fn who<'a>(&self, person: &'a Person, network: Option<&'a str>) -> Who<'a> {
        self.who_is(&person.author, network)
    }

    fn who_is<'a>(&self, author: &'a str, network: Option<&'a str>) -> Who<'a> {
        Who { author, network, keeper: self.keepers.iter().any(|keeper| **keeper == *author) }
    }

    /// The presence of somebody here has changed.
    fn changed(&self, person: &Arc<Person>) {
        if let Some(joined) = &self.joined {
            joined.changed(person);
        }
    }
}

/// Milliseconds since 1970.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

impl Service for Chat {
    fn serve(self: Arc<Self>, link: Link) -> BoxFuture<'static, Result<()>> {
        match Talk::over(self, link) {
            Ok(talk) => Box::pin(talk.run()),
            Err(error) => Box::pin(ready(Err(error))),
        }
    }

    fn exchange(
        self: Arc<Self>,
        request: Request<Body>,
        peer: Peer,
        scope: Scope,
    ) -> BoxFuture<'static, Result<Response<Body>>> {
        Box::pin(web::answer(self, request, peer, scope))
    }

    fn begin(self: Arc<Self>, scope: &Scope) {
        if let Some(joined) = &self.joined {
            joined.begin(&self, scope);
        }
    }

    fn notes(&self, _: &Address) -> Vec<String> {
        let about = |name: String| {
            format!(
                "operator '{name}' has no account yet, and nobody else gets the name: --auth '{name}:PASSWORD' makes one"
            )
        };
        self.absent_keepers().into_iter().map(about).collect()
    }

    fn options(&self, _: &str) -> &'static [(&'static str, &'static str)] {
        // Who only listens is welcome; whether they are still there is for the system to find out.
        &[("idle", "off"), ("keepalive", "60s"), ("max", LINE)]
    }
}
