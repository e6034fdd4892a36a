//! Whose a name is: the accounts that `--auth` lists, and those that were made in the chat.

use std::{collections::HashMap, sync::Arc};

use crate::{
    error::{Error, Kind, Result, brief},
    peer::Peer,
    service::accounts::{self, Denied, account},
};

/// The accounts of a server. Those that were made in the chat are in its history, which is asked for their hashes.
pub(crate) struct Accounts {
    all: accounts::Accounts<()>,
    /// The names of the listed ones as they are written, by their keys.
    listed: HashMap<String, String>,
}

/// Why somebody is not the owner of an account.
pub(crate) enum Unproven {
    /// The name or the password is wrong.
    Wrong(Error),
    /// Too many wrong ones came from there: the next may come after so many seconds.
    Wait(u64, Error),
    /// Nobody knows.
    Other(Error),
}

impl From<Unproven> for Error {
    fn from(unproven: Unproven) -> Self {
        match unproven {
            Unproven::Wrong(error) | Unproven::Wait(_, error) | Unproven::Other(error) => error,
        }
    }
}

impl From<Error> for Unproven {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl Accounts {
    /// Accounts written as `name:password` or `name:$argon2id$…`. `key` is what a name has in common with all those that
    /// are taken to be the same.
    ///
    /// # Errors
    /// One that is neither, or whose name can be none.
    pub(crate) fn new(listed: &[String], key: impl Fn(&str) -> Result<String>) -> Result<Self> {
        let listed = listed.iter().map(|text| {
            let (name, secret) = account(text)?;
            Ok((key(name)?, name, secret))
        });
        let listed = listed.collect::<Result<Vec<_>>>()?;
        let all = accounts::Accounts::new(listed.iter().map(|(key, _, secret)| (key.as_str(), *secret, ())))?;
        let listed = listed.iter().map(|(key, name, _)| (key.clone(), (*name).to_owned())).collect();
        Ok(Self { all, listed })
    }

    /// How the name of a listed account is written. Nobody else can make it an account.
    pub(crate) fn listed(&self, key: &str) -> Option<&str> {
        self.listed.get(key).map(String::as_str)
    }

    /// Says that it is the password of the account, whose hash is `stored` where it was made in the chat.
    ///
    /// # Errors
    /// It is not, or too many wrong ones have come from there.
    pub(crate) async fn verify(
        &self,
        (shown, key): (&str, &str),
        password: &str,
        peer: &Peer,
        stored: Option<String>,
    ) -> Result<(), Unproven> {
        // A listed one has no other password.
        let stored = stored.as_deref().filter(|_| self.listed(key).is_none());
        match self.all.verify(key, password, peer, stored.map(|hash| (hash, ()))).await {
            Ok(()) => Ok(()),
            Err(Denied::Wrong) => {
                let error = Error::new(Kind::Denied, format!("that is not the password of '{}'", brief(shown)));
                let hint = "is there such an account, and is the name written as it was made?";
                Err(Unproven::Wrong(error.hint(hint)))
            }
            Err(Denied::Wait(wait)) => {
                let wait = wait.as_secs() + 1;
                let about = format!("too many wrong passwords from there: wait {wait} s before the next");
                Err(Unproven::Wait(wait, Error::new(Kind::Other, about)))
            }
            Err(Denied::Stopping) => Err(Error::new(Kind::Other, "this server is about to stop").into()),
        }
    }

    /// The hash of a new account's password, for the history.
    pub(crate) async fn hash(&self, password: &str) -> Result<String> {
        self.all.hash(password).await
    }
}

/// Who the owner of the account of that key is, as the author of entries.
pub(super) fn author(key: &str) -> Arc<str> {
    format!("{AUTHOR}{key}").into()
}

/// The key of the account whose owner is that author, if one is.
pub(super) fn key_of(author: &str) -> Option<&str> {
    author.strip_prefix(AUTHOR)
}

const AUTHOR: &str = "account:";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Endpoint;

    /// Of the password `ümlaut`, made by Debian's argon2 with little work, so that it is wrong faster than a wait ends.
    const HASHED: &str =
        "$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$AtH6SauySk/FajYo0hftM8GAAFCSVky0hBueQHZzFao";

    #[tokio::test]
    async fn a_listed_account_has_no_other_password() {
        let key = |name: &str| Ok(name.to_lowercase());
        let accounts = Accounts::new(&["Ann:listed".to_owned()], key).unwrap();
        assert_eq!((accounts.listed("ann"), accounts.listed("bob")), (Some("Ann"), None));
        let peer = Peer::new("tcp", Endpoint::Net("10.0.0.1:1".parse().unwrap()), Endpoint::Unnamed);
        let stored = Some(HASHED.to_owned());
        let cases =
            [("ann", "listed", true), ("ann", "ümlaut", false), ("bob", "ümlaut", true), ("bob", "listed", false)];
        for (name, password, expected) in cases {
            let verified = accounts.verify((name, name), password, &peer, stored.clone()).await.is_ok();
            assert_eq!(verified, expected, "{name} {password}");
        }
        for _ in 0..4 {
            let _ = accounts.verify(("bob", "bob"), "guess", &peer, stored.clone()).await;
        }
        let Err(waits) = accounts.verify(("bob", "bob"), "s3cret", &peer, stored).await else { panic!("no wait") };
        let waits = Error::from(waits).to_string();
        assert!(waits.contains("wait") && !waits.contains("s3cret"), "{waits}");
    }

    #[test]
    fn what_is_no_account_is_refused() {
        let none = |_: &str| Err(Error::usage("that is no name"));
        assert!(Accounts::new(&["ann:x".to_owned()], none).is_err());
        for bad in ["", "ann", ":x", "ann:", "ann:$2y$10$abc"] {
            assert!(Accounts::new(&[bad.to_owned()], |name| Ok(name.to_owned())).is_err(), "{bad}");
        }
    }
}
