//! The log of a room, and what holds there: what is kept, and what servers tell each other.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Act, At, Event, Said, is_false};

/// A line of a room's log: what happened there, in the order in which all see it. It is what is kept, and what servers
/// tell each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Grows within the log of one server, with gaps; 0 where it has none yet.
    #[serde(skip)]
    pub id: u64,
    /// The same on all servers.
    pub uid: Arc<str>,
    /// The room.
    pub room: Arc<str>,
    /// The name of who did it, then.
    pub from: Arc<str>,
    /// Who that was, by whatever name: an account, or the session of a guest. Only servers know it.
    pub author: Arc<str>,
    /// Milliseconds since 1970.
    pub time: i64,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened in a room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "lowercase")]
#[allow(missing_docs, reason = "the fields are those of the events of the same names")]
pub enum What {
    /// Something was said; `edited` and `deleted` say what became of it since.
    Say {
        text: String,
        #[serde(default, skip_serializing_if = "is_false")]
        me: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        edited: Option<i64>,
        #[serde(default, skip_serializing_if = "is_false")]
        deleted: bool,
    },
    /// A message has a new text.
    Edit { of: String, text: String },
    /// A message was taken back.
    Delete { of: String },
    /// The room has a new topic.
    Topic { text: String },
    /// An operator did something. `key` is who it was done to, as in [`Entry::author`]; `secret` is the hash of the word
    /// for the invited.
    Rule {
        #[serde(flatten)]
        act: Act,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        network: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<i64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secret: Option<String>,
    },
}

impl Entry {
    /// What clients are told of it.
    pub fn event(&self) -> Event {
        let at = self.at();
        match &self.what {
            What::Say { .. } => self.said().map_or(Event::Unknown, Event::Message),
            What::Edit { of, text } => Event::Edited { at, of: of.clone(), text: text.clone() },
            What::Delete { of } => Event::Deleted { at, of: of.clone() },
            What::Topic { text } => Event::Topic { at, text: text.clone() },
            What::Rule { act, name, reason, until, .. } => {
                Event::Ruled { at, act: *act, name: name.clone(), reason: reason.clone(), until: *until }
            }
        }
    }

    /// It as a message, if it is one.
    pub fn said(&self) -> Option<Said> {
        let What::Say { text, me, edited, deleted } = &self.what else { return None };
        Some(Said { at: self.at(), text: text.clone(), me: *me, edited: *edited, deleted: *deleted })
    }

    fn at(&self) -> At {
        At {
            id: self.id,
            uid: self.uid.to_string(),
            room: self.room.to_string(),
            from: self.from.to_string(),
            time: self.time,
        }
    }
}

/// What holds in a room, as the entries so far have made it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// What it is about.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub topic: String,
    /// The operators: who they are, as in [`Entry::author`], and their names then.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub operators: BTreeMap<String, String>,
    /// Who may not come in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bans: Vec<Barred>,
    /// Who may only listen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mutes: Vec<Barred>,
    /// Only the invited may come in.
    #[serde(skip_serializing_if = "is_false")]
    pub closed: bool,
    /// The hash of the word that lets them in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// Somebody who may not do something.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Barred {
    /// Their name then.
    pub name: String,
    /// Who they are, as in [`Entry::author`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Where they came from, where that tells anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Until when, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
}
