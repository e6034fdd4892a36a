//! What the connection brings, and what the person wants: all that a screen of a chat has to do with the world.

use std::time::Duration;

use hullo::chat::{Ask, Event};

/// What the connection brings. All texts in it are clean.
#[derive(Debug)]
pub(crate) enum News {
    /// It stands.
    Here,
    /// It is lost, or could not be had; the next attempt is after that time.
    Away { why: String, again: Duration },
    /// It has ended, and does not come back.
    Ended { why: String },
    /// The server tells something.
    Event(Box<Event>),
    /// What was said in that room while we were away is not all here.
    Gap { room: String },
    /// A line of a server that knows lines alone.
    Line(String),
}

/// What the person wants.
#[derive(Debug, PartialEq)]
pub(crate) enum Wish {
    /// To ask the server for something.
    Ask(Ask),
    /// To say a line to a server that knows lines alone.
    Line(String),
    /// To have the screen drawn anew.
    Redraw,
    /// To do something else in the shell.
    Suspend,
    /// To leave.
    Quit,
}
