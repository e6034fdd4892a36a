//! What a client asks for: `{"do":"say","room":"lobby","text":"hi"}`.

use serde::{Deserialize, Serialize};

use super::{LOBBY, is_false};

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
    /// Says goodbye: the connection ends, and nobody's name is kept for them. Without it, a guest has some minutes to come
    /// again.
    Quit,
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

fn lobby() -> String {
    LOBBY.to_owned()
}
