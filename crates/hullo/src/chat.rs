//! What is said in a chat: the events that a server tells, and what a client asks for. Pure words, for both ends.
//!
//! [`docs/chat.md`](https://github.com/hullo/hullo/blob/main/docs/chat.md) has each of them with an example. On a
//! WebSocket every message is one JSON object: `{"do":"say","room":"lobby","text":"hi"}` asks, and
//! `{"event":"message","room":"lobby","from":"ann","text":"hi",…}` tells. Whoever reads events passes over those, and over
//! members of them, that it does not know.

use serde::{Deserialize, Serialize};

pub use self::{
    ask::{Act, Ask, Asked},
    log::{Barred, Entry, Rules, What},
};

mod ask;
pub mod line;
mod log;
pub mod name;
pub mod text;
pub mod typed;

/// The room that everybody is in at first.
pub const LOBBY: &str = "lobby";

/// The longest name of a person, in characters.
pub const NAME: usize = 32;

/// The longest name of a room, in characters.
pub const ROOM: usize = 64;

/// The longest text of a message, in bytes of UTF-8.
pub const TEXT: usize = 4096;

/// The longest topic of a room or reason of a kick, in bytes of UTF-8.
pub const TOPIC: usize = 400;

/// The longest `uid` or `tag` of a client, in bytes.
pub const UID: usize = 64;

/// The longest password, in bytes.
pub const PASSWORD: usize = 256;

/// Something that a server tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// The first event, and the answer to a hello.
    Welcome {
        /// Our name here.
        name: String,
        /// Whether it is an account.
        #[serde(default, skip_serializing_if = "is_false")]
        account: bool,
        /// What the next connection says to be the same person; a secret.
        token: String,
        /// The log in which ids count.
        log: String,
        /// The private conversations of this account that are kept.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        private: Vec<String>,
    },
    /// We are in a room: all before this was history, and all after it is live.
    Joined {
        /// Its name, as it is written here.
        room: String,
        /// Its topic.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        topic: String,
        /// Who is there, up to 500 of them.
        people: Vec<String>,
        /// How many there are.
        count: usize,
        /// The id of the last event of the room before this.
        last: u64,
        /// Where `after` was asked for: whether all that came later was told. Where not, the last messages were.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        recovered: Option<bool>,
        /// Whether we are an operator of it.
        #[serde(default, skip_serializing_if = "is_false")]
        operator: bool,
        /// Only the invited may come in.
        #[serde(default, skip_serializing_if = "is_false")]
        closed: bool,
    },
    /// We are not in that room any more.
    Left {
        /// Its name.
        room: String,
        /// Why, if it was not our own wish.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Something was said.
    Message(Said),
    /// A message has a new text.
    Edited {
        /// Where this stands in the log.
        #[serde(flatten)]
        at: At,
        /// The message's uid.
        of: String,
        /// Its new text.
        text: String,
    },
    /// A message was taken back.
    Deleted {
        /// Where this stands in the log.
        #[serde(flatten)]
        at: At,
        /// The message's uid.
        of: String,
    },
    /// The room has a new topic.
    Topic {
        /// Where this stands in the log.
        #[serde(flatten)]
        at: At,
        /// The topic.
        text: String,
    },
    /// An operator has done something.
    Ruled {
        /// Where this stands in the log.
        #[serde(flatten)]
        at: At,
        /// What.
        #[serde(flatten)]
        act: Act,
        /// To whom.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// Until when, in milliseconds since 1970.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<i64>,
    },
    /// What we said is on disk, as the event of that id.
    Kept {
        /// The message's uid.
        uid: String,
        /// Where it stands in the log.
        id: u64,
        /// Where it was said.
        room: String,
    },
    /// Somebody came, went, or has another name.
    Presence {
        /// Where.
        room: String,
        /// Who.
        name: String,
        /// What happened.
        #[serde(flatten)]
        is: Presence,
        /// How many are in the room now.
        count: usize,
    },
    /// Somebody is writing.
    Typing {
        /// Where.
        room: String,
        /// Who.
        name: String,
    },
    /// Who is in a room.
    Who {
        /// Its name.
        room: String,
        /// Who is there, up to 500 of them.
        people: Vec<Person>,
        /// How many there are.
        count: usize,
        /// The request's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tag: Option<String>,
    },
    /// Which rooms there are, those of which everybody may know, and our own.
    Rooms {
        /// The rooms, up to 500 of them, the fullest first.
        rooms: Vec<Room>,
        /// The request's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tag: Option<String>,
    },
    /// What was said earlier, oldest first, as it reads now.
    History {
        /// Where.
        room: String,
        /// The messages.
        messages: Vec<Said>,
        /// Whether there are earlier ones.
        more: bool,
        /// The request's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tag: Option<String>,
    },
    /// A word that opens a room for the invited.
    Invitation {
        /// Its name.
        room: String,
        /// The word.
        token: String,
        /// The request's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tag: Option<String>,
    },
    /// What was asked for is done, where nothing else answers.
    Done {
        /// The request's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tag: Option<String>,
    },
    /// What was asked for is not done.
    Error {
        /// One sentence.
        error: String,
        /// What to do about it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        /// The request's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tag: Option<String>,
        /// The uid of the message that was not taken.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uid: Option<String>,
    },
    /// Something a person should know, as that the other servers cannot be reached.
    Notice {
        /// One sentence.
        text: String,
    },
    /// The connection ends, and why. Whether to come again is up to the client.
    Bye {
        /// Why.
        reason: String,
    },
    /// The answer to a ping.
    Pong,
    /// Whatever a later version tells.
    #[serde(other)]
    Unknown,
}

/// Something that was said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// Where it stands in the log.
    #[serde(flatten)]
    pub at: At,
    /// What was said; nothing once it was taken back.
    pub text: String,
    /// It is what one does, and not what one says.
    #[serde(default, skip_serializing_if = "is_false")]
    pub me: bool,
    /// When it was changed, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited: Option<i64>,
    /// It was taken back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub deleted: bool,
}

/// Where something stands in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    /// Grows within a room, with gaps. It counts in the log that the welcome named.
    pub id: u64,
    /// The same on all servers. Whoever has seen it knows what it is.
    pub uid: String,
    /// The room. `@ann+bob` is the private conversation of these two.
    pub room: String,
    /// Who did it.
    pub from: String,
    /// Milliseconds since 1970.
    pub time: i64,
}

/// What happened to somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum Presence {
    /// They came.
    Here,
    /// They went.
    Gone,
    /// They have another name.
    Now {
        /// The new one.
        new: String,
    },
}

/// Somebody in a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Their name.
    pub name: String,
    /// Whether they are an operator of the room.
    #[serde(default, skip_serializing_if = "is_false")]
    pub operator: bool,
    /// Whether their name is an account.
    #[serde(default, skip_serializing_if = "is_false")]
    pub account: bool,
}

/// A room, as a list of rooms has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// Its name.
    pub room: String,
    /// Its topic.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub topic: String,
    /// How many are in it.
    pub count: usize,
    /// Only the invited may come in.
    #[serde(default, skip_serializing_if = "is_false")]
    pub closed: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}
