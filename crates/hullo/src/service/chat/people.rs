//! Who is here: each name once, and what makes somebody the same person when they come again.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{joined::others::Present, member::Member};
use crate::{
    chat::name::{self, Nick},
    error::{Error, Kind, Result, brief},
};

/// How long the name of a guest who has gone is kept for them.
const KEPT: Duration = Duration::from_secs(300);

/// The bytes of a guest's token, and of an account's, which is good for as long as somebody is logged in.
const SECRET: usize = 18;
const LOGIN: usize = 24;

/// Guests who have gone, and whose names are kept. The first of them are forgotten first.
const GONE: usize = 4096;

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
    connections: usize,
    left: Option<Instant>,
}

impl Person {
    fn new(author: String, account: bool, token: Option<Box<str>>, nick: Nick) -> Arc<Self> {
        let shown = nick.shown.as_str().into();
        let state = Mutex::new(State { nick, shown, connections: 0, left: None });
        Arc::new(Self { author: author.into(), account, token, state, members: Mutex::default() })
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
    }

    /// Their connections.
    pub(super) fn members(&self) -> Vec<Arc<Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }

    /// What makes their name the same as another.
    pub(super) fn key(&self) -> String {
        self.state().nick.key.clone()
    }
}

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
    gone: usize,
    /// Who is on other servers, by what makes names the same. There may be two, until one gives way.
    elsewhere: HashMap<String, Vec<Present>>,
}

impl People {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A guest, who has a connection, and perhaps a token.
    pub(super) fn guest(&self, comes_again: bool) -> Result<Arc<Person>> {
        let token = secret()?;
        Ok(self.arrive(&mut self.known(), token, comes_again))
    }

    /// The guest with that token, who has a connection more. Another server, or this one before it was started anew, may
    /// have given it to them: nobody else knows it, and so they are the author of what they said there.
    ///
    /// # Errors
    /// That is no token, or no one is logged in by it any more.
    pub(super) fn again(&self, token: &str) -> Result<Arc<Person>> {
        let length = URL_SAFE_NO_PAD.decode(token).map_or(0, |bytes| bytes.len());
        let mut known = self.known();
        if let Some(person) = known.tokens.get(token).cloned() {
            known.come(&person);
            return Ok(person);
        }
        match length {
            SECRET => Ok(self.arrive(&mut known, token.to_owned(), true)),
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

    /// The owner of an account, who has a connection more.
    ///
    /// # Errors
    /// A guest has that name at the moment, whom nobody can send away.
    pub(super) fn owner(&self, nick: Nick) -> Result<Arc<Person>> {
        let mut known = self.known();
        if let Some(person) = known.names.get(&nick.key).cloned() {
            if person.account {
                known.come(&person);
                return Ok(person);
            }
            // Who uses the name of an account without being its owner has to find another.
            let new = self.free(&known);
            known.rename(&person, new);
        }
        let person = Person::new(format!("account:{}", nick.key), true, Some(random::<LOGIN>()?.into()), nick);
        known.add(&person);
        Ok(person)
    }

    /// Gives somebody another name, and returns the old one.
    ///
    /// # Errors
    /// It is somebody else's.
    pub(super) fn rename(&self, person: &Arc<Person>, nick: Nick) -> Result<Arc<str>> {
        let mut known = self.known();
        known.sweep(Instant::now());
        match known.names.get(&nick.key) {
            Some(other) if !Arc::ptr_eq(other, person) => Err(taken(&nick.shown)),
            _ if known.is_elsewhere(&nick.key, &person.author) => Err(taken(&nick.shown)),
            _ => Ok(known.rename(person, nick)),
        }
    }

    /// Somebody who is here, and whose name is the same as others of that key.
    pub(super) fn of_key(&self, key: &str) -> Option<Arc<Person>> {
        self.known().names.get(key).filter(|person| person.state().connections > 0).cloned()
    }

    /// Somebody who sends requests from that place, one by one, and has the name for as long as they do. They have a
    /// connection more.
    ///
    /// # Errors
    /// The name is somebody else's.
    pub(super) fn visitor(&self, place: &str, nick: Nick) -> Result<Arc<Person>> {
        let author = format!("visitor:{place}:{}", nick.key);
        let mut known = self.known();
        known.sweep(Instant::now());
        match known.names.get(&nick.key).cloned() {
            Some(person) if *person.author == *author => {
                known.come(&person);
                Ok(person)
            }
            Some(_) => Err(taken(&nick.shown)),
            None if known.is_elsewhere(&nick.key, &author) => Err(taken(&nick.shown)),
            None => {
                let person = Person::new(author, false, None, nick);
                known.add(&person);
                Ok(person)
            }
        }
    }

    /// They have said goodbye on a connection that is about to end: whoever wants their name may have it then.
    pub(super) fn part(&self, person: &Arc<Person>) {
        let mut known = self.known();
        if person.state().connections <= 1 {
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
        let found = match author.strip_prefix("account:") {
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
    pub(super) fn leave(&self, person: &Arc<Person>) {
        let mut known = self.known();
        let now = Instant::now();
        let mut state = person.state();
        state.connections = state.connections.saturating_sub(1);
        if state.connections > 0 {
            return;
        }
        state.left = Some(now);
        drop(state);
        if !known.tells_of(person) {
            return;
        }
        // Who cannot come again, or has chosen no name of their own, wants none kept.
        if person.token.is_none() || known.gone >= GONE || name::is_guest(&person.name()) {
            return known.forget(person);
        }
        known.gone += 1;
        if known.gone.is_multiple_of(256) {
            known.sweep(now);
        }
    }
}

impl Known {
    /// Whether a name is somebody else's on another server.
    fn is_elsewhere(&self, key: &str, author: &str) -> bool {
        self.elsewhere.get(key).is_some_and(|all| all.iter().any(|present| *present.author != *author))
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
        if state.left.take().is_some() {
            self.gone = self.gone.saturating_sub(1);
        }
    }

    fn rename(&mut self, person: &Arc<Person>, nick: Nick) -> Arc<str> {
        let mut state = person.state();
        self.names.remove(&state.nick.key);
        self.names.insert(nick.key.clone(), person.clone());
        let new = nick.shown.as_str().into();
        state.nick = nick;
        std::mem::replace(&mut state.shown, new)
    }

    fn tells_of(&self, person: &Arc<Person>) -> bool {
        self.names.get(&person.key()).is_some_and(|other| Arc::ptr_eq(other, person))
    }

    fn forget(&mut self, person: &Arc<Person>) {
        // Somebody else may have the name by now.
        if self.tells_of(person) {
            self.names.remove(&person.key());
        }
        if let Some(token) = &person.token {
            self.tokens.remove(token);
        }
    }

    /// Forgets the guests who have been gone for long.
    fn sweep(&mut self, now: Instant) {
        let long = |person: &Arc<Person>| person.state().left.is_some_and(|left| now.duration_since(left) >= KEPT);
        let gone: Vec<_> = self.names.values().filter(|person| long(person)).cloned().collect();
        for person in gone {
            self.forget(&person);
            self.gone = self.gone.saturating_sub(1);
        }
    }
}

/// Who a guest is: the token itself is a secret, and this is kept with what they say.
fn guest_author(token: &str) -> String {
    format!("guest:{}", &blake3::hash(token.as_bytes()).to_hex()[..24])
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
