//! Who is here: each name once, and what makes somebody the same person when they come again.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    accounts,
    joined::others::Present,
    member::Member,
    room::Room,
    traces::{Trace, Traces},
};
use crate::{
    chat::name::{self, Nick},
    error::{Error, Kind, Result, brief},
};

/// How long the name of a guest who has gone is kept for them.
pub(super) const KEPT: Duration = Duration::from_secs(300);

/// The bytes of a guest's token, and of an account's, which is good for as long as somebody is logged in.
const SECRET: usize = 18;
const LOGIN: usize = 24;

/// Guests who have gone, and whose names are kept. Who went first is forgotten first.
const GONE: usize = 4096;

/// Names that one person has left and that nobody else may have for a while.
const HELD: usize = 4;

/// Somebody, on however many connections.
pub(super) struct Person {
    /// Who they are, by whatever name; see [`crate::chat::Entry::author`].
    pub(super) author: Arc<str>,
    /// Whether their name is an account.
    pub(super) account: bool,
    /// What a later connection shows to be the same person. Who talks in lines has none: nothing asks them for it.
    pub(super) token: Option<Box<str>>,
    state: Mutex<State>,
    members: Mutex<Vec<Weak<Member>>>,
}

struct State {
    nick: Nick,
    shown: Arc<str>,
    /// Where they were last, where that tells people apart.
    network: Option<String>,
    connections: usize,
    /// Their place among those who have gone.
    gone: Option<u64>,
}

impl Person {
    fn new(author: Arc<str>, account: bool, token: Option<Box<str>>, nick: Nick) -> Arc<Self> {
        let shown = nick.shown.as_str().into();
        let state = Mutex::new(State { nick, shown, network: None, connections: 0, gone: None });
        Arc::new(Self { author, account, token, state, members: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Their name.
    pub(super) fn name(&self) -> Arc<str> {
        self.state().shown.clone()
    }

    /// Whether they have a connection.
    pub(super) fn is_here(&self) -> bool {
        self.state().connections > 0
    }

    /// They have this connection too.
    pub(super) fn comes_by(&self, member: &Arc<Member>) {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.retain(|member| member.strong_count() > 0);
        members.push(Arc::downgrade(member));
        drop(members);
        self.set_network(member.network.clone());
    }

    /// Where they are, where that tells people apart.
    fn set_network(&self, network: Option<String>) {
        self.state().network = network;
    }

    /// Where they are or were last.
    pub(super) fn network(&self) -> Option<String> {
        self.state().network.clone()
    }

    /// Their connections.
    pub(super) fn members(&self) -> Vec<Arc<Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }

    /// The rooms that they are in.
    pub(super) fn rooms(&self) -> Vec<Arc<Room>> {
        let mut rooms: Vec<_> = self.members().iter().flat_map(|member| member.rooms()).collect();
        rooms.sort_unstable_by_key(|room| room.number);
        rooms.dedup_by_key(|room| room.number);
        rooms
    }

    /// What makes their name the same as another.
    pub(super) fn key(&self) -> String {
        self.state().nick.key.clone()
    }
}

/// A connection of somebody, which is over when this is dropped.
pub(super) struct Connected {
    people: Arc<People>,
    pub(super) person: Arc<Person>,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.people.leave(&self.person);
    }
}

/// A guest who has to have another name now, and the one that they had.
pub(super) type GivesWay = (Arc<Person>, Arc<str>);

/// Everybody who is here, and the guests who were a moment ago.
#[derive(Default)]
pub(super) struct People {
    known: Mutex<Known>,
    guests: AtomicU64,
}

#[derive(Default)]
struct Known {
    /// By what makes names the same.
    names: HashMap<String, Arc<Person>>,
    tokens: HashMap<Box<str>, Arc<Person>>,
    /// Guests who have gone and may come again, in the order in which they went.
    gone: BTreeMap<u64, (Instant, Arc<Person>)>,
    departures: u64,
    /// Names that people have left for others: nobody else may have them for a while, and be taken for them.
    held: Traces,
    /// Who was known by a name until a moment ago.
    traces: Traces,
    /// Who is on other servers, by what makes names the same. There may be two, until one gives way.
    elsewhere: HashMap<String, Vec<Present>>,
}

impl People {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connected(self: &Arc<Self>, person: Arc<Person>) -> Connected {
        Connected { people: self.clone(), person }
    }

    /// A guest, who perhaps has a token.
    pub(super) fn guest(self: &Arc<Self>, comes_again: bool) -> Result<Connected> {
        let token = secret()?;
        let person = self.arrive(&mut self.known(), token, comes_again);
        Ok(self.connected(person))
    }

    /// Whoever has that token. Another server, or this one before it was started anew, may
    /// have given it to a guest: nobody else knows it, and so they are the author of what they said there.
    ///
    /// # Errors
    /// That is no token, or no one is logged in by it any more.
    pub(super) fn again(self: &Arc<Self>, token: &str) -> Result<Connected> {
        let length = URL_SAFE_NO_PAD.decode(token).map_or(0, |bytes| bytes.len());
        let mut known = self.known();
        if let Some(person) = known.tokens.get(token).cloned() {
            known.come(&person);
            return Ok(self.connected(person));
        }
        match length {
            SECRET => Ok(self.connected(self.arrive(&mut known, token.to_owned(), true))),
            LOGIN => {
                let error = Error::new(Kind::Denied, "that session of an account is over");
                Err(error.hint("say its name and password again"))
            }
            _ => Err(Error::usage("that is no token of an earlier welcome")),
        }
    }

    /// Somebody who has no name of their own yet.
    fn arrive(&self, known: &mut Known, token: String, comes_again: bool) -> Arc<Person> {
        let nick = self.free(known);
        let author = guest_author(&token);
        let person = Person::new(author, false, comes_again.then(|| token.into()), nick);
        known.add(&person);
        person
    }

    /// The owner of an account, and the guest who had its name and has to have another now, with that name as it was.
    ///
    /// # Errors
    /// This system has no randomness.
    pub(super) fn owner(self: &Arc<Self>, nick: Nick) -> Result<(Connected, Option<GivesWay>)> {
        let token = random::<LOGIN>()?;
        let mut known = self.known();
        let mut gives_way = None;
        if let Some(person) = known.names.get(&nick.key).cloned() {
            if person.account {
                known.come(&person);
                return Ok((self.connected(person), None));
            }
            let new = self.free(&known);
            let old = known.rename(&person, new);
            gives_way = Some((person, old));
        }
        let person = Person::new(accounts::author(&nick.key), true, Some(token.into()), nick);
        known.add(&person);
        Ok((self.connected(person), gives_way))
    }

    /// Gives somebody another name, and returns the old one.
    ///
    /// # Errors
    /// It is somebody else's.
    pub(super) fn rename(&self, person: &Arc<Person>, nick: Nick) -> Result<Arc<str>> {
        let mut known = self.known();
        known.sweep(Instant::now());
        let is_others = known.names.get(&nick.key).is_some_and(|other| !Arc::ptr_eq(other, person));
        if is_others || known.is_kept_from(&nick.key, &person.author) {
            return Err(taken(&nick.shown));
        }
        let (key, was) = (person.key(), nick.key.clone());
        let old = known.rename(person, nick);
        known.held.remove(&was);
        if key != was && !name::is_guest(&old) {
            known.held.keep(key, Trace { author: person.author.clone(), network: None }, Instant::now());
            known.held.shorten(&person.author, HELD);
        }
        Ok(old)
    }

    /// Somebody who is here, and whose name is the same as others of that key.
    pub(super) fn of_key(&self, key: &str) -> Option<Arc<Person>> {
        self.known().names.get(key).filter(|person| person.state().connections > 0).cloned()
    }

    /// The author, and the network where there is one, of somebody who has that name, or had it a moment ago.
    pub(super) fn trace(&self, key: &str) -> Option<Trace> {
        let mut known = self.known();
        known.sweep(Instant::now());
        let of = |person: &Arc<Person>| Trace { author: person.author.clone(), network: person.network() };
        known.names.get(key).map(of).or_else(|| known.traces.get(key).or_else(|| known.held.get(key)).cloned())
    }

    /// Somebody who sends requests from that place, one by one, and has the name for as long as they do.
    ///
    /// # Errors
    /// The name is somebody else's.
    pub(super) fn visitor(self: &Arc<Self>, place: &str, network: Option<String>, nick: Nick) -> Result<Connected> {
        let author: Arc<str> = format!("visitor:{place}:{}", nick.key).into();
        let mut known = self.known();
        known.sweep(Instant::now());
        if known.is_kept_from(&nick.key, &author) {
            return Err(taken(&nick.shown));
        }
        let person = match known.names.get(&nick.key).cloned() {
            Some(person) if person.author == author => {
                known.come(&person);
                person
            }
            Some(_) => return Err(taken(&nick.shown)),
            None => {
                let person = Person::new(author, false, None, nick);
                known.add(&person);
                person
            }
        };
        person.set_network(network);
        Ok(self.connected(person))
    }

    /// A guest has said goodbye on a connection that is about to end: whoever wants their name may have it then.
    pub(super) fn part(&self, person: &Arc<Person>) {
        let mut known = self.known();
        let is_last = person.state().connections <= 1;
        if is_last && !person.account {
            known.forget(person);
        }
    }

    /// A name that a guest may have.
    fn free(&self, known: &Known) -> Nick {
        loop {
            let nick = name::guest(self.guests.fetch_add(1, Relaxed) + 1);
            if !known.names.contains_key(&nick.key) && !known.elsewhere.contains_key(&nick.key) {
                return nick;
            }
        }
    }

    /// Gives somebody a guest's name. Returns the old name and the new one.
    pub(super) fn rename_to_guest(&self, person: &Arc<Person>) -> (Arc<str>, Arc<str>) {
        let mut known = self.known();
        let nick = self.free(&known);
        let old = known.rename(person, nick);
        (old, person.name())
    }

    /// Who has a connection.
    pub(super) fn here(&self) -> Vec<Arc<Person>> {
        self.known().names.values().filter(|person| person.is_here()).cloned().collect()
    }

    /// All connections.
    pub(super) fn members(&self) -> Vec<Arc<Member>> {
        self.here().iter().flat_map(|person| person.members()).collect()
    }

    /// The person of that author, if they have a connection.
    pub(super) fn of_author(&self, author: &str) -> Option<Arc<Person>> {
        let known = self.known();
        let found = match accounts::key_of(author) {
            Some(key) => known.names.get(key),
            // It is asked for seldom, and there are many guests: they stand in no list of their own for it.
            None => known.names.values().find(|person| *person.author == *author),
        };
        found.filter(|person| *person.author == *author && person.is_here()).cloned()
    }

    /// Somebody on another server whose name is the same as others of that key.
    pub(super) fn elsewhere_of_key(&self, key: &str) -> Option<Present> {
        self.known().elsewhere.get(key).and_then(|all| all.first()).cloned()
    }

    /// Whether somebody is on another server.
    pub(super) fn is_elsewhere(&self, author: &str) -> bool {
        self.known().elsewhere.values().flatten().any(|present| *present.author == *author)
    }

    /// Somebody on another server came, went, or has another name.
    pub(super) fn elsewhere(&self, was: Option<&Present>, is: Option<&Present>) {
        let mut known = self.known();
        if let Some(was) = was {
            known.lose(was);
        }
        if let Some(is) = is {
            known.elsewhere.entry(name::key(&is.name)).or_default().push(is.clone());
        }
    }

    /// A connection of theirs has ended.
    fn leave(&self, person: &Arc<Person>) {
        let mut known = self.known();
        let is_here = {
            let mut state = person.state();
            state.connections = state.connections.saturating_sub(1);
            state.connections > 0
        };
        if is_here || !known.lists(person) {
            return;
        }
        // Who cannot come again, or has chosen no name of their own, wants none kept.
        if person.token.is_none() || name::is_guest(&person.name()) {
            return known.forget(person);
        }
        known.go(person, Instant::now());
    }
}

impl Known {
    /// Whether a name is somebody else's on another server, or was here a moment ago.
    fn is_kept_from(&self, key: &str, author: &str) -> bool {
        let elsewhere = self.elsewhere.get(key).is_some_and(|all| all.iter().any(|present| *present.author != *author));
        elsewhere || self.held.get(key).is_some_and(|held| *held.author != *author)
    }

    fn lose(&mut self, was: &Present) {
        let key = name::key(&was.name);
        let Some(all) = self.elsewhere.get_mut(&key) else { return };
        if let Some(at) = all.iter().position(|present| present.author == was.author) {
            all.remove(at);
        }
        if all.is_empty() {
            self.elsewhere.remove(&key);
        }
    }

    fn add(&mut self, person: &Arc<Person>) {
        person.state().connections = 1;
        self.names.insert(person.key(), person.clone());
        if let Some(token) = &person.token {
            self.tokens.insert(token.clone(), person.clone());
        }
    }

    fn come(&mut self, person: &Person) {
        let mut state = person.state();
        state.connections += 1;
        if let Some(number) = state.gone.take() {
            self.gone.remove(&number);
        }
    }

    /// Somebody has gone who may come again.
    fn go(&mut self, person: &Arc<Person>, now: Instant) {
        self.departures += 1;
        person.state().gone = Some(self.departures);
        self.gone.insert(self.departures, (now, person.clone()));
        self.sweep(now);
    }

    fn rename(&mut self, person: &Arc<Person>, nick: Nick) -> Arc<str> {
        let mut state = person.state();
        self.names.remove(&state.nick.key);
        self.names.insert(nick.key.clone(), person.clone());
        let new = nick.shown.as_str().into();
        state.nick = nick;
        std::mem::replace(&mut state.shown, new)
    }

    /// Whether the name that they have is theirs here, and nobody else's by now.
    fn lists(&self, person: &Arc<Person>) -> bool {
        self.names.get(&person.key()).is_some_and(|other| Arc::ptr_eq(other, person))
    }

    fn forget(&mut self, person: &Arc<Person>) {
        // Somebody else may have the name by now.
        if self.lists(person) {
            self.names.remove(&person.key());
            let trace = Trace { author: person.author.clone(), network: person.network() };
            self.traces.keep(person.key(), trace, Instant::now());
        }
        match &person.token {
            Some(token) => drop(self.tokens.remove(token)),
            // Nobody can come again to whom a name they left could be given back.
            None => self.held.shorten(&person.author, 0),
        }
    }

    /// Forgets those who have been gone for long, and of too many those who went first.
    fn sweep(&mut self, now: Instant) {
        self.held.sweep(now);
        self.traces.sweep(now);
        while let Some((_, (since, _))) = self.gone.first_key_value() {
            if self.gone.len() <= GONE && now.saturating_duration_since(*since) < KEPT {
                return;
            }
            if let Some((_, (_, person))) = self.gone.pop_first() {
                self.forget(&person);
            }
        }
    }
}

/// Who a guest is: the token itself is a secret, and this is kept with what they say.
fn guest_author(token: &str) -> Arc<str> {
    format!("guest:{}", &blake3::hash(token.as_bytes()).to_hex()[..24]).into()
}

/// Something that nobody guesses.
pub(super) fn secret() -> Result<String> {
    random::<SECRET>()
}

fn random<const LENGTH: usize>() -> Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(bytes::<LENGTH>()?))
}

/// Bytes that nobody guesses.
pub(super) fn bytes<const LENGTH: usize>() -> Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    rand::fill(&mut bytes).map_err(|_| Error::new(Kind::Other, "this system has no randomness"))?;
    Ok(bytes)
}

/// The error for a name that is somebody else's.
pub(super) fn taken(name: &str) -> Error {
    Error::usage(format!("the name '{}' is taken", brief(name))).hint("choose another one with /nick NAME")
}

/// The network of an address, where it tells people apart: all of this machine's own are one.
pub(super) fn network(ip: IpAddr) -> Option<String> {
    (!ip.to_canonical().is_loopback()).then(|| crate::peer::network(ip).to_string())
}
