//! Who may read, and who may write: names and passwords by Basic authentication (RFC 7617).
//!
//! `--auth name:password` is for all that is done, `--auth-upload name:password` for writing alone; without the first,
//! reading is free. A password may be its argon2 hash. To verify one of those takes long, which is its point: it is done
//! aside, by few at a time, and once for each right password, and who guesses wrong waits longer each time.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use argon2::{Argon2, PasswordVerifier, password_hash::phc::PasswordHash};
use aws_lc_rs::{hmac, rand::SystemRandom};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE},
};
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::Refusal;
use crate::{
    error::{Error, Kind, Result, brief},
    peer::{Peer, network},
};

/// Passwords that are verified at a time: each needs the memory that its hash says.
const AT_ONCE: usize = 2;

/// Wrong passwords of one peer before it has to wait.
const FREE: u32 = 5;

/// The longest that it has to wait for another guess, and how long its guesses are remembered.
const LONGEST: Duration = Duration::from_secs(60);
const REMEMBERED: Duration = Duration::from_secs(600);

/// Peers whose guesses are remembered.
const PEERS: usize = 65_536;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Read,
    Write,
}

/// The names and passwords, and who has shown to know them.
pub(super) struct Accounts {
    /// Of this process alone: what is remembered is of no use to anybody else, and does not tell how long a password is.
    key: hmac::Key,
    known: Mutex<HashMap<Proof, May>>,
    hashed: Arc<Vec<Hashed>>,
    reading_is_free: bool,
    writing_is_free: bool,
    guesses: Guesses,
    verifying: Arc<Semaphore>,
}

/// A name and its password under our key.
type Proof = [u8; 32];

/// What an account is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct May {
    write: bool,
}

struct Hashed {
    name: String,
    hash: PasswordHash,
    may: May,
}

impl Accounts {
    /// Accounts written as `name:password` or `name:$argon2id$…`: `all` are for whatever is done, `writers` for writing, and
    /// where there are some of those only they write.
    ///
    /// # Errors
    /// One that is neither.
    pub(super) fn new(all: &[String], writers: &[String]) -> Result<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let key = key.map_err(|_| Error::new(Kind::Other, "this system has no randomness"))?;
        let (mut known, mut hashed) = (HashMap::new(), Vec::new());
        let (readers, writes) = (all.iter().map(|text| (text, May { write: writers.is_empty() })), May { write: true });
        // A writer last: who is both may write.
        for (text, may) in readers.chain(writers.iter().map(|text| (text, writes))) {
            let (name, secret) = account(text)?;
            if !secret.starts_with('$') {
                known.insert(prove(&key, name, secret), may);
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
            known: Mutex::new(known),
            hashed: Arc::new(hashed),
            reading_is_free: all.is_empty(),
            writing_is_free: all.is_empty() && writers.is_empty(),
            guesses: Guesses::default(),
            verifying: Arc::new(Semaphore::new(AT_ONCE)),
        })
    }

    /// Lets a request through, and says whose it is where that was asked.
    pub(super) async fn admit(&self, headers: &HeaderMap, peer: &Peer, need: Need) -> Result<Option<String>, Refusal> {
        let is_free = match need {
            Need::Read => self.reading_is_free,
            Need::Write => self.writing_is_free,
        };
        if is_free {
            return Ok(None);
        }
        let Some((name, password)) = told(headers) else {
            return Err(unknown("this needs a name and a password"));
        };
        let proof = prove(&self.key, &name, &password);
        let may = match self.remembered(&proof) {
            Some(may) => may,
            None => self.verify(&name, password, proof, peer).await?,
        };
        match need == Need::Read || may.write {
            true => Ok(Some(name)),
            false => Err(Refusal::new(StatusCode::FORBIDDEN, "this account is for reading alone")),
        }
    }

    /// Looks a proof up. How long that takes says nothing of a password, since nobody knows what its proof looks like.
    fn remembered(&self, proof: &Proof) -> Option<May> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(proof).copied()
    }

    async fn verify(&self, name: &str, password: String, proof: Proof, peer: &Peer) -> Result<May, Refusal> {
        let address = peer.remote().net().map_or(IpAddr::from([0; 4]), |address| network(address.ip()));
        self.guesses.begin(address, Instant::now())?;
        let busy = |_| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "this server is about to stop");
        let turn = self.verifying.clone().acquire_owned().await.map_err(busy)?;
        // It may have been verified while this waited.
        if let Some(may) = self.remembered(&proof) {
            self.guesses.forget(address);
            return Ok(may);
        }
        let (hashed, name) = (self.hashed.clone(), name.to_owned());
        let verifying = spawn_blocking(move || {
            // It goes on when the client has gone, and counts until then.
            let _turn = turn;
            verified(&hashed, &name, password.as_bytes())
        });
        let verified = verifying.await.ok().flatten();
        let may = verified.ok_or_else(|| unknown("the name or the password is wrong"))?;
        self.guesses.forget(address);
        // There is one for each account: no other password has its hash.
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(proof, may);
        Ok(may)
    }
}

/// How to make a hash.
const HASH: &str = "argon2 makes one: printf %s \"$PASSWORD\" | argon2 \"$(openssl rand -hex 16)\" -id -e";

fn account(text: &str) -> Result<(&str, &str)> {
    let account = text.split_once(':').filter(|(name, secret)| !name.is_empty() && !secret.is_empty());
    // What is wrong may be a password without its name, and is not shown.
    account.ok_or_else(|| Error::usage("an account is written name:password").hint(HASH))
}

/// What the account of that name may do, if that is its password. It takes as long where there is no such name.
fn verified(hashed: &[Hashed], name: &str, password: &[u8]) -> Option<May> {
    let fits = |one: &&Hashed| Argon2::default().verify_password(password, &one.hash).is_ok();
    let mut named = hashed.iter().rev().filter(|one| one.name == name).peekable();
    if named.peek().is_none() {
        let _ = hashed.first().filter(fits);
        return None;
    }
    named.find(fits).map(|one| one.may)
}

fn prove(key: &hmac::Key, name: &str, password: &str) -> Proof {
    let mut context = hmac::Context::with_key(key);
    context.update(name.as_bytes());
    context.update(b":");
    context.update(password.as_bytes());
    let mut proof = [0; 32];
    proof.copy_from_slice(context.sign().as_ref());
    proof
}

/// The name and the password that a request has.
fn told(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let told = STANDARD_NO_PAD
        .decode(rest.trim().trim_end_matches('='))
        .ok()
        .filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let (name, password) = std::str::from_utf8(&told).ok()?.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

fn unknown(why: &'static str) -> Refusal {
    let asks = HeaderValue::from_static("Basic realm=\"hullo files\", charset=\"UTF-8\"");
    Refusal::new(StatusCode::UNAUTHORIZED, why).with(WWW_AUTHENTICATE, asks)
}

/// Wrong passwords, by peer.
#[derive(Default)]
struct Guesses(Mutex<HashMap<IpAddr, Guessed>>);

struct Guessed {
    count: u32,
    last: Instant,
}

impl Guesses {
    /// Counts a guess, or refuses it. It counts from its beginning, so that many at once are many.
    fn begin(&self, peer: IpAddr, now: Instant) -> Result<(), Refusal> {
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= PEERS {
            peers.retain(|_, guessed| now.duration_since(guessed.last) < REMEMBERED);
        }
        if peers.len() >= PEERS && !peers.contains_key(&peer) {
            return Err(later(LONGEST));
        }
        let guessed = peers.entry(peer).or_insert(Guessed { count: 0, last: now });
        let since = now.duration_since(guessed.last);
        if since >= REMEMBERED {
            guessed.count = 0;
        }
        let wait = match guessed.count.checked_sub(FREE) {
            None => Duration::ZERO,
            Some(over) => Duration::from_secs(1 << over.min(6)).min(LONGEST),
        };
        if since < wait {
            return Err(later(wait.saturating_sub(since)));
        }
        guessed.count += 1;
        guessed.last = now;
        Ok(())
    }

    fn forget(&self, peer: IpAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&peer);
    }
}

fn later(wait: Duration) -> Refusal {
    let refusal =
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many wrong passwords from there: wait before the next");
    refusal.with(RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Endpoint;

    /// Of the password `ümlaut`, made by Debian's argon2 with little work.
    const HASHED: &str =
        "$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$AtH6SauySk/FajYo0hftM8GAAFCSVky0hBueQHZzFao";

    fn peer(address: &str) -> Peer {
        Peer::new("http", Endpoint::Net(address.parse().unwrap()), Endpoint::Unnamed)
    }

    async fn status(accounts: &Accounts, told: &str, from: &str, need: Need) -> u16 {
        let mut headers = HeaderMap::new();
        if !told.is_empty() {
            let value = format!("bAsIc {}", base64::prelude::BASE64_STANDARD.encode(told));
            headers.insert(AUTHORIZATION, value.parse().unwrap());
        }
        accounts.admit(&headers, &peer(from), need).await.map_or_else(|refusal| refusal.status.as_u16(), |_| 200)
    }

    #[tokio::test]
    async fn each_account_may_do_what_it_is_for() {
        /// Who tells what, and the status of reading and of writing.
        type Case = (&'static str, u16, u16);
        let (ada, bob) = (["ada:a:b".to_owned()], [format!("bob:{HASHED}")]);
        let table: [(&[String], &[String], &[Case]); 4] = [
            (&[], &[], &[("", 200, 200), ("who:ever", 200, 200)]),
            (&ada, &[], &[("", 401, 401), ("ada:a:b", 200, 200), ("ada:a", 401, 401), ("bob:a:b", 401, 401)]),
            (&[], &bob, &[("", 200, 401), ("bob:ümlaut", 200, 200), ("bob:umlaut", 200, 401)]),
            (&ada, &bob, &[("", 401, 401), ("ada:a:b", 200, 403), ("bob:ümlaut", 200, 200)]),
        ];
        for (all, writers, cases) in table {
            for (told, reads, writes) in cases {
                let accounts = Accounts::new(all, writers).unwrap();
                let reading = status(&accounts, told, "10.0.0.1:1", Need::Read).await;
                let writing = status(&accounts, told, "10.0.0.1:1", Need::Write).await;
                assert_eq!((reading, writing), (*reads, *writes), "{told} of {all:?} and {writers:?}");
            }
        }
    }

    #[tokio::test]
    async fn who_guesses_waits_and_who_knows_does_not() {
        let accounts = Accounts::new(&[format!("bob:{HASHED}")], &[]).unwrap();
        assert_eq!(status(&accounts, "bob:ümlaut", "10.0.0.1:1", Need::Read).await, 200);
        for _ in 0..FREE {
            assert_eq!(status(&accounts, "bob:guess", "10.0.0.1:2", Need::Read).await, 401);
        }
        assert_eq!(status(&accounts, "bob:guess", "10.0.0.1:3", Need::Read).await, 429);
        assert_eq!(status(&accounts, "bob:ümlaut", "10.0.0.1:4", Need::Read).await, 200, "it is known by now");
        assert_eq!(status(&accounts, "bob:guess", "10.0.0.2:1", Need::Read).await, 401);
    }

    #[test]
    fn waits_grow_and_end() {
        let (guesses, start, peer) = (Guesses::default(), Instant::now(), IpAddr::from([10, 0, 0, 1]));
        let at = |seconds| guesses.begin(peer, start + Duration::from_secs(seconds)).is_ok();
        assert!((0..FREE).all(|_| at(0)));
        assert_eq!([0, 1, 2, 3, 6, 7].map(at), [false, true, false, true, false, true]);
        assert!([15, 31, 63, 123, 183].map(at).iter().all(|good| *good), "it never waits longer than a minute");
        assert!(!at(184));
        assert!(at(183 + 600) && at(183 + 600));
        guesses.forget(peer);
        assert!((0..FREE).all(|_| at(1000)));
    }

    #[test]
    fn what_is_no_account_is_refused() {
        for bad in ["", "ada", ":x", "ada:", "ada:$2y$10$abc", "ada:$argon2id$x"] {
            let Err(error) = Accounts::new(&[bad.to_owned()], &[]) else { panic!("{bad}") };
            assert!(error.advice().unwrap().contains("argon2"), "{error}");
        }
    }
}
