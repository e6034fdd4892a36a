//! Who may read, and who may write: names and passwords by Basic authentication (RFC 7617).
//!
//! `--auth name:password` is for all that is done, `--auth-upload name:password` for writing alone; without the first,
//! reading is free. A password may be its argon2 hash.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE},
};

use super::Refusal;
use crate::{
    error::Result,
    peer::Peer,
    service::accounts::{self, Denied, account},
};

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Read,
    Write,
}

/// The names and passwords, and what is free.
pub(super) struct Accounts {
    all: accounts::Accounts<May>,
    reading_is_free: bool,
    writing_is_free: bool,
}

/// What an account is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct May {
    write: bool,
}

impl Accounts {
    /// Accounts written as `name:password` or `name:$argon2id$…`: `all` are for whatever is done, `writers` for writing, and
    /// where there are some of those only they write.
    ///
    /// # Errors
    /// One that is neither.
    pub(super) fn new(all: &[String], writers: &[String]) -> Result<Self> {
        let (readers, writes) = (all.iter().map(|text| (text, May { write: writers.is_empty() })), May { write: true });
        // A writer last: who is both may write.
        let named = readers.chain(writers.iter().map(|text| (text, writes)));
        let named = named.map(|(text, may)| account(text).map(|(name, secret)| (name, secret, may)));
        Ok(Self {
            all: accounts::Accounts::new(named.collect::<Result<Vec<_>>>()?)?,
            reading_is_free: all.is_empty(),
            writing_is_free: all.is_empty() && writers.is_empty(),
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
        let may = self.all.verify(&name, &password, peer, None).await?;
        match need == Need::Read || may.write {
            true => Ok(Some(name)),
            false => Err(Refusal::new(StatusCode::FORBIDDEN, "this account is for reading alone")),
        }
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Wrong => unknown("the name or the password is wrong"),
            Denied::Wait(wait) => {
                let why = "too many wrong passwords from there: wait before the next";
                Self::new(StatusCode::TOO_MANY_REQUESTS, why).with(RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1))
            }
            Denied::Stopping => Self::new(StatusCode::SERVICE_UNAVAILABLE, "this server is about to stop"),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{peer::Endpoint, service::accounts::FREE};

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
    fn what_is_no_account_is_refused() {
        for bad in ["", "ada", ":x", "ada:", "ada:$2y$10$abc", "ada:$argon2id$x"] {
            let Err(error) = Accounts::new(&[bad.to_owned()], &[]) else { panic!("{bad}") };
            assert!(error.advice().unwrap().contains("argon2"), "{error}");
        }
    }
}
