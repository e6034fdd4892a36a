//! What was said, as it is kept: in a file of SQLite, where that is built in.

use std::{sync::Arc, time::Duration};

#[cfg(feature = "sqlite")]
pub(super) use self::file::{History, Place};
#[cfg(not(feature = "sqlite"))]
pub(super) use self::without::{History, Place};
use crate::{
    chat::{Entry, Rules},
    error::Result,
};

#[cfg(feature = "sqlite")]
mod file;
#[cfg(not(feature = "sqlite"))]
mod without;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "nothing is kept"))]
pub(crate) struct Keep {
    /// The most entries of all rooms.
    pub(crate) count: u64,
    /// How old they become.
    pub(crate) age: Option<Duration>,
}

/// A history, and what it knew when it was opened.
pub(crate) struct Opened {
    pub(crate) history: History,
    /// The name of this log, random, and the same for as long as there is the file.
    pub(crate) log: String,
    /// The first id that was surely never given. Those after it are to be given one by one.
    pub(crate) next: u64,
    /// The rooms in which rules hold. Others may have entries.
    pub(crate) rooms: Vec<(String, Rules)>,
    /// How far the bus was read.
    pub(crate) position: Option<Position>,
}

/// How far the bus was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) stream: String,
    pub(crate) sequence: u64,
}

/// An entry that is to be kept.
#[cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "nothing is ever written"))]
pub(crate) struct Write {
    pub(crate) entry: Arc<Entry>,
    /// What holds in its room from then on, where that is something new.
    pub(crate) rules: Option<Arc<Rules>>,
    /// How far the bus has been read with it.
    pub(crate) position: Option<Position>,
    /// The bus does not have it yet.
    pub(crate) unsent: bool,
    pub(crate) kept: Option<Durable>,
}

/// Is told on the writer's thread, where it must not wait, that an entry is durable, or why not.
pub(crate) type Durable = Box<dyn FnOnce(Result<()>) + Send>;
