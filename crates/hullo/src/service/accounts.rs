//! Names and passwords, for the services that ask for them.
//!
//! A password may be given as its argon2 hash. To verify one of those takes long, which is its point: it is done aside, by
//! few at a time, and once for each right password, and who guesses wrong waits longer each time.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use argon2::{
    Argon2, PasswordHasher, PasswordVerifier,
    password_hash::phc::{PasswordHash, Salt},
};
use aws_lc_rs::{hmac, rand};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};

use crate::{
    error::{Error, Kind, Result, brief},
    peer::{Peer, network},
};

/// Passwords that are verified at a time: each needs the memory that its hash says. New ones are hashed besides, one at a
/// time, so that nobody who makes accounts keeps others from theirs.
const AT_ONCE: usize = 2;

/// Wrong passwords of one peer before it has to wait.
pub(crate) const FREE: u32 = 5;

/// The longest that it has to wait for another guess, and how long its guesses are remembered.
const LONGEST: Duration = Duration::from_secs(60);
const REMEMBERED: Duration = Duration::from_secs(600);

/// Names of one peer's guesses that are remembered.
const NAMES: usize = 16;

/// Peers whose guesses are remembered, and right passwords that were verified.
const PEERS: usize = 65_536;
const VERIFIED: usize = 65_536;

/// How to make a hash.
pub(crate) const HASH: &str = "argon2 makes one: printf %s \"$PASSWORD\" | argon2 \"$(openssl rand -hex 16)\" -id -e";

/// The names and passwords, what each is for, and who has shown to know them.
pub(crate) struct Accounts<May> {
    /// Of this process alone: what is remembered is of no use to anybody else, and does not tell how long a password is.
    key: hmac::Key,
    plain: HashMap<Proof, May>,
    verified: Mutex<HashMap<Proof, May>>,
    hashed: Arc<Vec<Hashed<May>>>,
    guesses: Guesses,
    verifying: Arc<Semaphore>,
    hashing: Arc<Semaphore>,
}

/// A name and its password under our key.
type Proof = [u8; 32];

#[derive(Clone)]
struct Hashed<May> {
    name: String,
    hash: PasswordHash,
    may: May,
}

/// Why somebody is not let in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The name or the password is wrong.
    Wrong,
    /// There were too many wrong ones from there: the next may come after that time.
    Wait(Duration),
    /// The server is about to stop.
    Stopping,
}

impl<May: Copy + Send + Sync + 'static> Accounts<May> {
    /// Accounts written as `name:password` or `name:$argon2id$…`, and what they are for; of the same account the last one
    /// counts.
    ///
    /// # Errors
    /// One that is neither.
    pub(crate) fn new<'a>(all: impl IntoIterator<Item = (&'a str, &'a str, May)>) -> Result<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new());
        let key = key.map_err(|_| no_randomness())?;
        let (mut plain, mut hashed) = (HashMap::new(), Vec::new());
        for (name, secret, may) in all {
            if !secret.starts_with('$') {
                plain.insert(prove(&key, &[name, secret]), may);
                continue;
            }
            let wrong = |error| {
                let about = format!("the password of '{}' is neither plain nor a hash of argon2", brief(name));
                Error::usage(about).because(format!("{error}")).hint(HASH)
            };
            hashed.push(Hashed { name: name.to_owned(), hash: PasswordHash::new(secret).map_err(wrong)?, may });
        }
        Ok(Self {
            key,
            plain,
            verified: Mutex::default(),
            hashed: Arc::new(hashed),
            guesses: Guesses::default(),
            verifying: Arc::new(Semaphore::new(AT_ONCE)),
            hashing: Arc::new(Semaphore::new(1)),
        })
    }

    /// What the account may do, if that is its password. `stored` is the hash of one that is kept elsewhere.
    pub(crate) async fn verify(
        &self,
        name: &str,
        password: &str,
        peer: &Peer,
        stored: Option<(&str, May)>,
    ) -> Result<May, Denied> {
        // With its hash, so that another password of the account, which others may give it, ends what was verified.
        let proof = prove(&self.key, &[name, password, stored.map_or("", |(hash, _)| hash)]);
        let plain = prove(&self.key, &[name, password]);
        // How long this takes says nothing of a password, since nobody knows what its proof looks like.
        if let Some(may) = self.plain.get(&plain).copied().or_else(|| self.remembered(&proof)) {
            return Ok(may);
        }
        let address = peer.remote().net().map_or(IpAddr::from([0; 4]), |address| network(address.ip()));
        self.guesses.begin(address, name, Instant::now()).map_err(Denied::Wait)?;
        let turn = turn(&self.verifying).await?;
        // It may have been verified while this waited.
        let may = match self.remembered(&proof) {
            Some(may) => may,
            None => self.verify_slowly(turn, name, password, stored).await.ok_or(Denied::Wrong)?,
        };
        self.guesses.forget(address, name);
        let mut verified = self.verified();
        if verified.len() >= VERIFIED {
            verified.clear();
        }
        verified.insert(proof, may);
        Ok(may)
    }

    /// The hash of a new account's password.
    pub(crate) async fn hash(&self, password: &str) -> Result<String> {
        let stopping = |_| Error::new(Kind::Other, "cannot make an account: this server is about to stop");
        let turn = turn(&self.hashing).await.map_err(stopping)?;
        let password = password.to_owned();
        let hashing = spawn_blocking(move || {
            let _turn = turn;
            hash(password.as_bytes())
        });
        hashing.await.map_err(|error| Error::new(Kind::Other, "cannot hash a password").because(error))?
    }

    async fn verify_slowly(
        &self,
        turn: OwnedSemaphorePermit,
        name: &str,
        password: &str,
        stored: Option<(&str, May)>,
    ) -> Option<May> {
        let hash = |(hash, may)| Some(Hashed { name: name.to_owned(), hash: PasswordHash::new(hash).ok()?, may });
        let stored = stored.and_then(hash);
        let (hashed, name, password) = (self.hashed.clone(), name.to_owned(), password.to_owned());
        let verifying = spawn_blocking(move || {
            // It goes on when the client has gone, and counts until then.
            let _turn = turn;
            verified(&hashed, stored.as_ref(), &name, password.as_bytes())
        });
        verifying.await.ok().flatten()
    }

    fn remembered(&self, proof: &Proof) -> Option<May> {
        self.verified().get(proof).copied()
    }

    fn verified(&self) -> MutexGuard<'_, HashMap<Proof, May>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn turn(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Denied> {
    places.clone().acquire_owned().await.map_err(|_| Denied::Stopping)
}

impl<May> fmt::Debug for Accounts<May> {
    /// Without anything that is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts").finish_non_exhaustive()
    }
}

/// The name and the secret of an account.
///
/// # Errors
/// It is not written like one.
pub(crate) fn account(text: &str) -> Result<(&str, &str)> {
    let account = text.split_once(':').filter(|(name, secret)| !name.is_empty() && !secret.is_empty());
    // What is wrong may be a password without its name, and is not shown.
    account.ok_or_else(|| Error::usage("an account is written name:password").hint(HASH))
}

/// What the account of that name may do, if that is its password. It takes as long where there is no such name.
fn verified<May: Copy>(
    hashed: &[Hashed<May>],
    stored: Option<&Hashed<May>>,
    name: &str,
    password: &[u8],
) -> Option<May> {
    let fits = |one: &&Hashed<May>| Argon2::default().verify_password(password, &one.hash).is_ok();
    let mut named = hashed.iter().rev().filter(|one| one.name == name).chain(stored).peekable();
    if named.peek().is_none() {
        let _ = hashed.first().filter(fits);
        return None;
    }
    named.find(fits).map(|one| one.may)
}

fn hash(password: &[u8]) -> Result<String> {
    let mut salt = [0; Salt::RECOMMENDED_LENGTH];
    rand::fill(&mut salt).map_err(|_| no_randomness())?;
    let hash = Argon2::default().hash_password_with_salt(password, &salt);
    let hash = hash.map_err(|error| Error::new(Kind::Other, "cannot hash a password").because(error.to_string()))?;
    Ok(hash.to_string())
}

/// What nobody can make without the key, of parts that none can pass for others.
fn prove(key: &hmac::Key, parts: &[&str]) -> Proof {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(&part.len().to_le_bytes());
        context.update(part.as_bytes());
    }
    let mut proof = [0; 32];
    proof.copy_from_slice(context.sign().as_ref());
    proof
}

fn no_randomness() -> Error {
    Error::new(Kind::Other, "this system has no randomness")
}

/// Wrong passwords, by peer.
#[derive(Default)]
struct Guesses(Mutex<HashMap<IpAddr, Guessed>>);

struct Guessed {
    count: u32,
    last: Instant,
    /// The names that were tried last, and how often.
    names: VecDeque<(String, u32)>,
}

impl Guesses {
    /// Counts a guess, or says how long to wait with it. It counts from its beginning, so that many at once are many.
    fn begin(&self, peer: IpAddr, name: &str, now: Instant) -> Result<(), Duration> {
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= PEERS {
            peers.retain(|_, guessed| now.duration_since(guessed.last) < REMEMBERED);
        }
        if peers.len() >= PEERS && !peers.contains_key(&peer) {
            return Err(LONGEST);
        }
        let guessed = peers.entry(peer).or_insert(Guessed { count: 0, last: now, names: VecDeque::new() });
        let since = now.duration_since(guessed.last);
        if since >= REMEMBERED {
            guessed.count = 0;
            guessed.names.clear();
        }
        let wait = match guessed.count.checked_sub(FREE) {
            None => Duration::ZERO,
            Some(over) => Duration::from_secs(1 << over.min(6)).min(LONGEST),
        };
        if since < wait {
            return Err(wait.saturating_sub(since));
        }
        guessed.count += 1;
        guessed.last = now;
        match guessed.names.iter_mut().find(|(other, _)| other == name) {
            Some((_, count)) => *count += 1,
            None => guessed.names.push_back((name.to_owned(), 1)),
        }
        if guessed.names.len() > NAMES {
            guessed.names.pop_front();
        }
        Ok(())
    }

    /// Takes back what a peer guessed of a name that it knows now. What it guessed of others still counts: it may have made
    /// the account itself.
    fn forget(&self, peer: IpAddr, name: &str) {
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(guessed) = peers.get_mut(&peer) else { return };
        let Some(at) = guessed.names.iter().position(|(other, _)| other == name) else { return };
        let count = guessed.names.remove(at).map_or(0, |(_, count)| count);
        guessed.count = guessed.count.saturating_sub(count);
        if guessed.count == 0 {
            peers.remove(&peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Endpoint;

    /// Of the password `ümlaut`, made by Debian's argon2 with little work, so that it is wrong faster than a wait ends.
    const HASHED: &str =
        "$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$AtH6SauySk/FajYo0hftM8GAAFCSVky0hBueQHZzFao";

    fn peer(address: &str) -> Peer {
        Peer::new("tcp", Endpoint::Net(address.parse().unwrap()), Endpoint::Unnamed)
    }

    #[test]
    fn waits_grow_and_end() {
        let (guesses, start, peer) = (Guesses::default(), Instant::now(), IpAddr::from([10, 0, 0, 1]));
        let at = |seconds| guesses.begin(peer, "bob", start + Duration::from_secs(seconds)).is_ok();
        assert!((0..FREE).all(|_| at(0)));
        assert_eq!([0, 1, 2, 3, 6, 7].map(at), [false, true, false, true, false, true]);
        assert!([15, 31, 63, 123, 183].map(at).iter().all(|good| *good), "it never waits longer than a minute");
        assert!(!at(184));
        assert!(at(183 + 600) && at(183 + 600));
        guesses.forget(peer, "ann");
        assert!((2..FREE).all(|_| at(784)) && !at(784));
        guesses.forget(peer, "bob");
        assert!((0..FREE).all(|_| at(1000)));
        let ann = || guesses.begin(peer, "ann", start + Duration::from_secs(2000)).is_ok();
        assert!((0..FREE).all(|_| ann()) && !ann());
        guesses.forget(peer, "bob");
        assert!(!ann(), "who knows one password has not guessed another");
    }

    #[tokio::test]
    async fn what_is_stored_is_verified_against_what_is_stored_now() {
        let accounts = Accounts::new([("ada", "plain", 1)]).unwrap();
        let (old, new) = (accounts.hash("old").await.unwrap(), accounts.hash("new").await.unwrap());
        assert!(old.starts_with("$argon2id$v=19$") && !old.contains("old"), "{old}");
        assert_ne!(old, accounts.hash("old").await.unwrap(), "each has its salt");
        let here = peer("10.0.0.1:1");
        let cases = [
            ("bob", "old", Some(&old), Ok(2)),
            ("bob", "old", Some(&old), Ok(2)),
            ("bob", "old", Some(&new), Err(Denied::Wrong)),
            ("bob", "new", Some(&new), Ok(2)),
            ("bob", "old", None, Err(Denied::Wrong)),
            ("ann", "new", None, Err(Denied::Wrong)),
            ("ada", "plain", None, Ok(1)),
            ("ada", "old", None, Err(Denied::Wrong)),
            ("eve", "x", Some(&"no hash".to_owned()), Err(Denied::Wrong)),
        ];
        for (name, password, stored, expected) in cases {
            let stored = stored.map(|hash| (hash.as_str(), 2));
            assert_eq!(accounts.verify(name, password, &here, stored).await, expected, "{name} {password}");
        }
    }

    #[tokio::test]
    async fn who_guesses_waits_and_who_was_verified_does_not() {
        let accounts = Accounts::new([]).unwrap();
        let stored = Some((HASHED, ()));
        let (here, there) = (peer("10.0.0.1:1"), peer("10.0.0.2:1"));
        assert_eq!(accounts.verify("bob", "ümlaut", &here, stored).await, Ok(()));
        for _ in 0..FREE {
            assert_eq!(accounts.verify("bob", "guess", &here, stored).await, Err(Denied::Wrong));
        }
        let denied = accounts.verify("ann", "another", &here, None).await;
        assert!(matches!(denied, Err(Denied::Wait(wait)) if wait <= Duration::from_secs(1)), "{denied:?}");
        assert_eq!(accounts.verify("bob", "ümlaut", &here, stored).await, Ok(()));
        assert_eq!(accounts.verify("bob", "guess", &there, stored).await, Err(Denied::Wrong));
    }

    #[test]
    fn nothing_that_is_printed_has_a_password() {
        let accounts = Accounts::new([("ada", "s3cret", ())]).unwrap();
        assert_eq!(format!("{accounts:?}"), "Accounts { .. }");
        let Err(error) = Accounts::new([("ada", "$argon2id$s3cret", ())]) else { panic!("that is no hash") };
        assert!(!format!("{error:?} {error}").contains("s3cret"), "{error:?}");
        assert!(!account("s3cret").unwrap_err().to_string().contains("s3cret"));
    }
}
