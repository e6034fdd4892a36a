//! What is said in a chat: the events that a server tells, and what a client asks for. Pure words, for both ends.
//!
//! [`docs/chat.md`](https://github.com/hullo/hullo/blob/main/docs/chat.md) has each of them with an example. On a
//! WebSocket every message is one JSON object: `{"do":"say","room":"lobby","text":"hi"}` asks, and
//! `{"event":"message","room":"lobby","from":"ann","text":"hi",…}` tells. Whoever reads events passes over those, and over
//! members of them, that it does not know.

pub mod line;
pub mod name;
pub mod text;
pub mod typed;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

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

/// What a client asks for, and the mark by which it knows the answer again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Comes back in the [`Event::Done`], [`Event::Error`] or answer that this brings about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// What is asked for.
    #[serde(flatten)]
    pub ask: Ask,
}

/// Something that a client asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub enum Ask {
    /// Who we are; may be left out, and is said before all else. An account is shown by its `name` and `password`, and a
    /// session that was lost goes on with the `token` of its welcome. Answered by a [`Event::Welcome`].
    Hello {
        /// The wanted name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The password of that account.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password: Option<String>,
        /// What an earlier welcome said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<String>,
    },
    /// Enters a room, which is made if there is none. What was said there before comes first, then [`Event::Joined`].
    Join {
        /// Its name; `@bob` is the private conversation with bob.
        room: String,
        /// The id of the last event of this room that was seen, in the log of that name: all that came later follows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<u64>,
        /// The log in which that id counts, as the welcome named it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log: Option<String>,
        /// The uid of that event, which another server knows it by.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uid: Option<String>,
        /// Without `after`: how many of the last messages to show (50, at most 500).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        history: Option<usize>,
        /// Opens a room for the invited.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<String>,
    },
    /// Leaves a room.
    Leave {
        /// Its name.
        room: String,
    },
    /// Says something. [`Event::Kept`] tells when it is on disk.
    Say {
        /// Where; the lobby if it is left out.
        #[serde(default = "lobby")]
        room: String,
        /// What; several lines are fine.
        text: String,
        /// A name for this message that is the client's own and random; sent again, it is the same message.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uid: Option<String>,
        /// It is what one does, and not what one says: `/me waves`.
        #[serde(default, skip_serializing_if = "is_false")]
        me: bool,
    },
    /// Says something to one person alone, in the room `@name`, which both enter.
    Tell {
        /// Their name.
        to: String,
        /// What.
        text: String,
        /// As in [`Ask::Say`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uid: Option<String>,
    },
    /// Changes a message of one's own.
    Edit {
        /// Where it was said.
        room: String,
        /// The message's uid.
        of: String,
        /// The new text.
        text: String,
    },
    /// Takes a message of one's own back, or, for an operator, anybody's.
    Delete {
        /// Where it was said.
        room: String,
        /// The message's uid.
        of: String,
    },
    /// One is writing; told to the others of the room, and not kept.
    Typing {
        /// Where.
        room: String,
    },
    /// Takes another name.
    Name {
        /// The new one.
        name: String,
    },
    /// Sets the topic of a room; an empty one takes it away.
    Topic {
        /// Its name.
        room: String,
        /// The topic.
        text: String,
    },
    /// Asks who is in a room. Answered by [`Event::Who`].
    Who {
        /// Its name.
        room: String,
    },
    /// Asks which rooms there are. Answered by [`Event::Rooms`].
    Rooms,
    /// Asks for what was said earlier, oldest first and as it reads now. Answered by [`Event::History`].
    History {
        /// Where.
        room: String,
        /// Only what has a smaller id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<u64>,
        /// At most so many (50, at most 500).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<usize>,
    },
    /// Looks for messages with all of these words. Answered by [`Event::History`].
    Search {
        /// Where.
        room: String,
        /// The words; one that ends in `*` is a beginning.
        text: String,
        /// As in [`Ask::History`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<u64>,
        /// As in [`Ask::History`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<usize>,
    },
    /// Does what an operator of the room may.
    Rule {
        /// Where.
        room: String,
        /// What.
        #[serde(flatten)]
        act: Act,
        /// To whom, for those acts that are about a person.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// For how many seconds, for a ban or a mute; without it, until it is taken back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<u64>,
    },
    /// Asks for a word that opens a room for the invited, and makes the room one. Answered by [`Event::Invitation`].
    Invite {
        /// Its name.
        room: String,
    },
    /// Makes one's name an account, which nobody else can use.
    Register {
        /// Its password.
        password: String,
    },
    /// Asks for a sign of life.
    Ping,
}

/// What an operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "lowercase")]
pub enum Act {
    /// Makes somebody an operator.
    Op,
    /// Takes that back.
    Deop,
    /// Puts somebody out of the room.
    Kick,
    /// Puts somebody out, and lets nobody in who is them.
    Ban,
    /// Takes that back.
    Unban,
    /// Lets somebody listen only.
    Mute,
    /// Takes that back.
    Unmute,
    /// Opens the room to everybody.
    Open,
    /// Lets in the invited only.
    Close,
}

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

fn lobby() -> String {
    LOBBY.to_owned()
}

fn is_false(value: &bool) -> bool {
    !value
}
