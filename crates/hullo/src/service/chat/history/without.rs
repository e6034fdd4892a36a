//! The history where there is no SQLite: there is none, and `--db none` says so.

use std::sync::Arc;

use super::{Keep, Opened, Write};
use crate::{
    chat::Entry,
    error::{Error, Result},
};

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
    pub(crate) fn open(file: &str, _: Keep) -> Result<Opened> {
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
