//! What holds in a room, and who may do what: a fold over the room's entries, the same on every server.

use super::people::Person;
use crate::{
    chat::{Act, Barred, Entry, Rules, What, name},
    error::{Error, Kind, Result, brief},
};

/// The most bans, and the most mutes, that a room keeps.
const MOST: usize = 1000;

/// Somebody, as rules see them.
#[derive(Clone, Copy)]
pub(super) struct Who<'a> {
    pub(super) author: &'a str,
    pub(super) network: Option<&'a str>,
    /// They may do everything everywhere.
    pub(super) keeper: bool,
}

impl Rules {
    /// What holds after that entry. Says whether that is anything else than before.
    pub(super) fn apply(&mut self, entry: &Entry) -> bool {
        if !matches!(entry.what, What::Topic { .. } | What::Rule { .. }) {
            return false;
        }
        let before = self.clone();
        match &entry.what {
            What::Topic { text } => self.topic.clone_from(text),
            What::Rule { act, name, key, network, until, secret, .. } => {
                let name = name.clone().unwrap_or_default();
                let barred =
                    || Barred { name: name.clone(), key: key.clone(), network: network.clone(), until: *until };
                let is_called = |other: &str| name::key(other) == name::key(&name);
                let is_them = |one: &Barred| is_called(&one.name) || key.is_some() && one.key == *key;
                match act {
                    Act::Op => drop(key.clone().map(|key| self.operators.insert(key, name))),
                    Act::Deop => self.operators.retain(|other, shown| Some(other) != key.as_ref() && !is_called(shown)),
                    Act::Kick => {}
                    Act::Ban => bar(&mut self.bans, barred(), entry.time),
                    Act::Unban => self.bans.retain(|one| !is_them(one)),
                    Act::Mute => bar(&mut self.mutes, barred(), entry.time),
                    Act::Unmute => self.mutes.retain(|one| !is_them(one)),
                    Act::Open => (self.closed, self.secret) = (false, None),
                    Act::Close => {
                        self.closed = true;
                        self.secret = secret.clone().or_else(|| self.secret.take());
                    }
                }
            }
            What::Say { .. } | What::Edit { .. } | What::Delete { .. } => {}
        }
        *self != before
    }

    /// Whether they are an operator here.
    pub(super) fn commands(&self, who: Who<'_>) -> bool {
        who.keeper || self.operators.contains_key(who.author)
    }

    /// Lets somebody in, who perhaps knows the word for the invited.
    ///
    /// # Errors
    /// They are banned, or not invited.
    pub(super) fn admit(&self, room: &str, who: Who<'_>, word: Option<&str>, now: i64) -> Result<()> {
        self.bear(room, who, now)?;
        let knows = word.is_some_and(|word| self.secret.as_deref() == Some(hash(word).as_str()));
        if self.closed && !knows && !self.commands(who) {
            let error = Error::new(Kind::Denied, format!("{} is for the invited", brief(room)));
            return Err(error.hint("an operator of it makes an invitation with /invite; then /join ROOM WORD"));
        }
        Ok(())
    }

    /// Lets somebody be there who was let in.
    ///
    /// # Errors
    /// They are banned.
    pub(super) fn bear(&self, room: &str, who: Who<'_>, now: i64) -> Result<()> {
        if bars(&self.bans, who, now) && !self.commands(who) {
            return Err(Error::new(Kind::Denied, format!("you are banned from {}", brief(room))));
        }
        Ok(())
    }

    /// Whether an act that takes something back finds what it is about.
    pub(super) fn finds(&self, act: Act, name: &str, key: Option<&str>) -> bool {
        let is_them =
            |shown: &str, other: Option<&str>| name::key(shown) == name::key(name) || key.is_some() && other == key;
        let is_in = |list: &[Barred]| list.iter().any(|one| is_them(&one.name, one.key.as_deref()));
        match act {
            Act::Unban => is_in(&self.bans),
            Act::Unmute => is_in(&self.mutes),
            Act::Deop => self.operators.iter().any(|(other, shown)| is_them(shown, Some(other))),
            _ => true,
        }
    }

    /// Lets somebody speak.
    ///
    /// # Errors
    /// They are muted.
    pub(super) fn let_speak(&self, room: &str, who: Who<'_>, now: i64) -> Result<()> {
        if !bars(&self.mutes, who, now) || self.commands(who) {
            return Ok(());
        }
        Err(Error::new(Kind::Denied, format!("you are muted in {}", brief(room))))
    }

    /// Lets somebody do what operators do.
    ///
    /// # Errors
    /// They are none.
    pub(super) fn obey(&self, room: &str, who: Who<'_>) -> Result<()> {
        if self.commands(who) {
            return Ok(());
        }
        Err(Error::new(Kind::Denied, format!("you are not an operator of {}", brief(room))))
    }
}

/// Makes somebody an operator.
pub(super) fn op(person: &Person) -> What {
    let (name, key) = (person.name().to_string(), person.author.to_string());
    rule(Act::Op, Some(name), Some(key), None)
}

/// Leaves the room to the invited, who are told that word.
pub(super) fn close(word: &str) -> What {
    rule(Act::Close, None, None, Some(hash(word)))
}

fn rule(act: Act, name: Option<String>, key: Option<String>, secret: Option<String>) -> What {
    What::Rule { act, name, key, network: None, reason: None, until: None, secret }
}

/// The hash of the word for the invited: the word itself is not kept.
fn hash(word: &str) -> String {
    blake3::hash(word.as_bytes()).to_hex().to_string()
}

fn bar(list: &mut Vec<Barred>, one: Barred, now: i64) {
    list.retain(|other| name::key(&other.name) != name::key(&one.name) && other.until.is_none_or(|until| until > now));
    if list.len() >= MOST {
        list.remove(0);
    }
    list.push(one);
}

fn bars(list: &[Barred], who: Who<'_>, now: i64) -> bool {
    list.iter().filter(|one| one.until.is_none_or(|until| until > now)).any(|one| {
        one.key.as_deref() == Some(who.author) || one.network.is_some() && one.network.as_deref() == who.network
    })
}
