//! The history where there is no SQLite: there is none, and `--db none` says so.
#![allow(dead_code, reason = "nothing is ever written to what nobody can have")]

use std::{sync::Arc, time::Duration};

use crate::{
    chat::{Entry, Rules},
    error::{Error, Result},
};

pub(crate) struct Keep {
    pub(crate) count: u64,
    pub(crate) age: Option<Duration>,
}

pub(crate) struct Opened {
    pub(crate) history: History,
    pub(crate) log: String,
    pub(crate) next: u64,
    pub(crate) rooms: Vec<(String, Rules)>,
    pub(crate) position: Option<Position>,
}

#[derive(Clone)]
pub(crate) struct Position {
    pub(crate) stream: String,
    pub(crate) sequence: u64,
}

pub(crate) struct Write {
    pub(crate) entry: Arc<Entry>,
    pub(crate) rules: Option<Arc<Rules>>,
    pub(crate) position: Option<Position>,
    pub(crate) unsent: bool,
    pub(crate) kept: Option<Durable>,
}

pub(crate) type Durable = Box<dyn FnOnce(Result<()>) + Send>;

/// Nobody can have one.
pub(crate) enum History {}

pub(crate) enum Place {}

macro_rules! never {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(pub(crate) fn $name(&self, $(_: $type),*) -> std::future::Ready<Result<$result>> {
            match *self {}
        })*
    };
}

impl History {
    pub(crate) fn open(file: &str, keep: Keep) -> Result<Opened> {
        let Keep { count: _, age: _ } = keep;
        let error = Error::usage(format!("this hullo was built without SQLite, and cannot keep a history in {file}"));
        Err(error.hint("--db none keeps nothing"))
    }

    pub(crate) fn has_account(&self, _: &str) -> bool {
        match *self {}
    }

    pub(crate) fn append(&self, _: Place, _: Write) {
        match *self {}
    }

    pub(crate) fn sent(&self, _: Vec<Arc<str>>) {
        match *self {}
    }

    pub(crate) fn written(&self) -> u64 {
        match *self {}
    }

    never! {
        place() -> Place;
        register(key: &str, shown: &str, hash: &str) -> bool;
        before(room: &str, before: Option<u64>, limit: usize) -> Vec<Entry>;
        after(room: &str, after: u64, limit: usize) -> Vec<Entry>;
        reaches(room: &str, after: u64) -> bool;
        search(room: &str, words: &str, before: Option<u64>, limit: usize) -> Vec<Entry>;
        find(uid: &str) -> Option<Entry>;
        private(account: &str) -> Vec<String>;
        unsent(after: u64, limit: usize) -> Vec<Entry>;
        account(key: &str) -> Option<(String, String)>;
    }
}
