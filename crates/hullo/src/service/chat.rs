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
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use http::{Request, Response};

use self::{
    accounts::Accounts,
    history::{History, Keep, Opened, Place, Position, Write},
    joined::Joined,
    people::{People, Person},
    room::Room,
    rules::Who,
    talk::Talk,
};
use super::{Service, Setting, Settings, Spec};
use crate::{
    chat::{Act, Entry, Event, LOBBY, Rules, What, name},
    error::{Error, Kind, Result, brief},
    io::exchange::Body,
    link::Link,
    peer::Peer,
    scope::{BoxFuture, Scope},
};

mod accounts;
mod asks;
mod feed;
mod flood;
mod history;
mod joined;
mod joining;
mod member;
mod page;
mod people;
mod room;
mod rules;
mod talk;
mod web;

/// This service's line of the table.
pub const SPEC: Spec = Spec {
    name: "chat",
    about: "rooms to talk in: plain nc, a terminal and a browser in one; history and search",
    sample: "hello",
    takes: &[Setting::Database, Setting::Flood, Setting::Keep, Setting::Operators, Setting::Auth, Setting::Bus],
    web: false,
    make: |settings| Ok(Arc::new(Chat::new(settings)?)),
};

/// Where the history is kept if nobody says, and the word for nowhere.
const FILE: &str = "chat.db";
const NOWHERE: &str = "none";

/// The most of one line or event: with its escapes, the longest text fits.
const LINE: &str = "32KiB";

/// Rooms that this process holds; nobody can make more.
const ROOMS: usize = 10_000;

/// Messages a second that one may say for long, if nobody sets it.
const FLOOD: u32 = 2;

/// Entries that are kept, if nobody says.
const KEEP: u64 = 1_000_000;

/// The service that holds rooms.
pub struct Chat {
    rooms: Mutex<HashMap<Arc<str>, Arc<Room>>>,
    people: People,
    accounts: Accounts,
    history: Option<History>,
    /// The name of the log in which ids count.
    log: Arc<str>,
    /// The next id. Its lock is held until the entry of that id is the writer's: so whatever has a smaller id than one that
    /// is written is written too.
    ids: Mutex<u64>,
    /// The numbers of connections and rooms.
    numbers: AtomicU64,
    flood: Option<u32>,
    /// The floods of those who send requests.
    posts: Mutex<HashMap<String, flood::Flood>>,
    /// Who may do everything everywhere, as authors of entries.
    keepers: Vec<String>,
    /// The other servers of this chat, if it has some.
    joined: Option<Joined>,
}

/// Something that is to become an entry.
struct Draft {
    person: Arc<Person>,
    /// The connection that it comes from.
    by: Option<u64>,
    network: Option<String>,
    uid: Option<String>,
    what: What,
    /// Is called once the entry is on disk.
    kept: Option<Kept>,
}

/// How an entry comes to its place.
#[derive(Default)]
struct Landing {
    /// Its place in the writer's queue, if it is to be written.
    place: Option<Place>,
    /// How far the log of all servers has been read with it.
    position: Option<Position>,
    /// That log does not have it yet.
    unsent: bool,
    kept: Option<Kept>,
}

/// Is told the uid and the id.
type Kept = Box<dyn FnOnce(&str, Result<u64>) + Send>;

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
        let keeper = |name: &String| name::nick(name).map(|nick| format!("account:{}", nick.key));
        let chat = Self {
            rooms: Mutex::default(),
            people: People::default(),
            accounts: Accounts::new(&settings.accounts)?,
            history,
            log: log.into(),
            ids: Mutex::new(next),
            numbers: AtomicU64::new(1),
            flood: settings.flood.map_or(Some(FLOOD), |flood| (flood > 0).then_some(flood)),
            posts: Mutex::default(),
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
        if rooms.len() >= ROOMS {
            return Err(Error::new(Kind::TooLarge, format!("there are {ROOMS} rooms, and there can be no more")));
        }
        Ok(self.add_room(&mut rooms, &name, true, Rules::default()))
    }

    fn add_room(&self, rooms: &mut HashMap<Arc<str>, Arc<Room>>, name: &str, kept: bool, rules: Rules) -> Arc<Room> {
        let last = self.next_id().saturating_sub(1);
        let room = Arc::new(Room::new(name, self.number(), kept && self.history.is_some(), rules, last));
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
        parties.sort();
        let mut rooms = self.rooms();
        if let Some(room) = rooms.get(name)
            && room.parties.as_ref() == Some(&parties)
        {
            return room.clone();
        }
        let last = self.next_id().saturating_sub(1);
        let kept = accounts && self.history.is_some();
        let room = Arc::new(Room::new(name, self.number(), kept, Rules::default(), last).of(parties));
        rooms.insert(room.name.clone(), room.clone());
        room
    }

    /// The rooms that somebody is in.
    fn rooms_of(&self, person: &Person) -> Vec<Arc<Room>> {
        let rooms: Vec<_> = self.rooms().values().cloned().collect();
        rooms.into_iter().filter(|room| room.state().has(&person.author)).collect()
    }

    /// How the account of that key is written, and the hash of its password where it is kept.
    async fn account(&self, key: &str) -> Result<Option<(String, String)>> {
        match &self.history {
            Some(history) => history.account(key).await,
            None => Ok(None),
        }
    }

    /// Forgets a room that nobody is in and in which nothing holds that cannot be read again.
    fn tidy(&self, room: &Arc<Room>) {
        let mut rooms = self.rooms();
        let state = room.state();
        let (written, rules) = if room.kept { (self.written(), Rules::default()) } else { (u64::MAX, state.rules.clone()) };
        let idle = state.is_idle(written) && state.rules == rules;
        if idle && *room.name != *LOBBY && rooms.get(&room.name).is_some_and(|known| Arc::ptr_eq(known, room)) {
            rooms.remove(&room.name);
        }
    }

    /// Everything with an id up to this can be read from the history.
    fn written(&self) -> u64 {
        self.history.as_ref().map_or(u64::MAX, History::written)
    }

    fn who<'a>(&self, person: &'a Person, network: Option<&'a str>) -> Who<'a> {
        self.who_is(&person.author, network)
    }

    fn who_is<'a>(&self, author: &'a str, network: Option<&'a str>) -> Who<'a> {
        Who { author, network, keeper: self.keepers.iter().any(|keeper| keeper == author) }
    }

    /// Makes an entry of a draft, and puts it into the room's batch; [`Room::tell`] is up to the caller. Returns its uid.
    ///
    /// # Errors
    /// The author may not do that here.
    async fn post(&self, room: &Room, draft: Draft) -> Result<Arc<str>> {
        room.space().await;
        if let Some(uid) = draft.uid.as_deref()
            && let Some(entry) = self.known(room, uid).await?
        {
            return self.post_again(room, entry, draft).await;
        }
        if let Some(joined) = self.joined.as_ref().filter(|_| room.kept) {
            self.hear(&room.state(), room, &draft)?;
            return self.post_to_all(joined, room, draft).await;
        }
        let place = self.place(room).await?;
        let mut state = room.state();
        self.hear(&state, room, &draft)?;
        let entry = Entry {
            id: 0,
            uid: draft.uid.unwrap_or_default().into(),
            room: room.name.clone(),
            from: draft.person.name(),
            author: draft.person.author.clone(),
            time: now(),
            what: draft.what,
        };
        let entry = self.append(room, &mut state, entry, draft.by, Landing { place, kept: draft.kept, ..Landing::default() });
        if let Some(joined) = &self.joined {
            self.tell_alone(joined, room, &entry);
        }
        Ok(entry.uid.clone())
    }

    /// Lets somebody speak.
    fn hear(&self, state: &room::State, room: &Room, draft: &Draft) -> Result<()> {
        let who = self.who(&draft.person, draft.network.as_deref());
        let speaks = matches!(draft.what, What::Say { .. } | What::Edit { .. } | What::Topic { .. });
        if speaks { state.rules.hear(&room.name, who, now()) } else { Ok(()) }
    }

    /// A place in the writer's queue, where what is said in that room is written.
    async fn place(&self, room: &Room) -> Result<Option<Place>> {
        match &self.history {
            Some(history) if room.kept => history.place().await.map(Some),
            _ => Ok(None),
        }
    }

    /// Gives an entry its id, and a uid where it has none; under the room's lock.
    fn append(
        &self,
        room: &Room,
        state: &mut room::State,
        mut entry: Entry,
        by: Option<u64>,
        landing: Landing,
    ) -> Arc<Entry> {
        let mut next = self.next_id();
        let id = *next;
        *next += 1;
        entry.id = id;
        entry.room = room.name.clone();
        if entry.uid.is_empty() {
            entry.uid = format!("{}-{id}", self.log).into();
        }
        let entry = Arc::new(entry);
        let uid = entry.uid.clone();
        let changed = state.add(&entry, by, self.written());
        let rules = changed.then(|| Arc::new(state.rules.clone()));
        let Landing { place, position, unsent, kept } = landing;
        match (place, &self.history) {
            (Some(place), Some(history)) => {
                let kept = kept.map(|kept| -> Box<dyn FnOnce(Result<()>) + Send> {
                    let uid = uid.clone();
                    Box::new(move |result| kept(&uid, result.map(|()| id)))
                });
                history.append(place, Write { entry: entry.clone(), rules, position, unsent, kept });
            }
            _ => drop(kept.map(|kept| kept(&uid, Ok(id)))),
        }
        drop(next);
        expel(state, &entry);
        entry
    }

    /// What was said under that uid before, as after a connection was lost.
    async fn known(&self, room: &Room, uid: &str) -> Result<Option<Arc<Entry>>> {
        if let Some(entry) = room.state().recent(uid) {
            return Ok(Some(entry.clone()));
        }
        match &self.history {
            Some(history) if room.kept => Ok(history.find(uid).await?.map(Arc::new)),
            _ => Ok(None),
        }
    }

    /// Answers for an entry that is there already.
    async fn post_again(&self, room: &Room, entry: Arc<Entry>, draft: Draft) -> Result<Arc<str>> {
        if entry.author != draft.person.author || entry.room != room.name {
            return Err(Error::usage(format!("the uid '{}' is another message's", brief(&entry.uid))));
        }
        let uid = entry.uid.clone();
        if let Some(kept) = draft.kept {
            self.keep_again(room, entry, kept).await?;
        }
        Ok(uid)
    }

    /// Tells somebody that an entry is on disk, as soon as it is.
    async fn keep_again(&self, room: &Room, entry: Arc<Entry>, kept: Kept) -> Result<()> {
        let (id, uid) = (entry.id, entry.uid.clone());
        match &self.history {
            // It may still be on its way to the disk: behind it, the same once more writes nothing.
            Some(history) if room.kept && id > history.written() => {
                let again = uid.clone();
                let kept = Box::new(move |result: Result<()>| kept(&again, result.map(|()| id)));
                let place = history.place().await?;
                history.append(place, Write { entry, rules: None, position: None, unsent: false, kept: Some(kept) });
            }
            _ => kept(&uid, Ok(id)),
        }
        Ok(())
    }

    /// The presence of somebody here has changed.
    fn changed(&self, person: &Arc<Person>) {
        if let Some(joined) = &self.joined {
            joined.changed(person);
        }
    }
}

/// Takes their places from those whom an entry puts out.
fn expel(state: &mut room::State, entry: &Entry) {
    let What::Rule { act: act @ (Act::Kick | Act::Ban), key: Some(key), reason, .. } = &entry.what else { return };
    let word = if *act == Act::Ban { "banned" } else { "kicked" };
    let why = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let reason = Some(format!("you were {word} by {}{why}", entry.from));
    for member in state.members_of(key) {
        state.leave(&entry.room, &member);
        member.tell(&Event::Left { room: entry.room.to_string(), reason: reason.clone() }, &entry.room);
    }
}

/// Milliseconds since 1970.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

impl Service for Chat {
    fn serve(self: Arc<Self>, link: Link) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move { Talk::over(self, link)?.run().await })
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

    fn options(&self) -> &'static [(&'static str, &'static str)] {
        // Who only listens is welcome; whether they are still there is for the system to find out.
        &[("idle", "off"), ("keepalive", "60s"), ("max", LINE)]
    }
}
