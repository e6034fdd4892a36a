//! How entries stand in the tables: the steps that make a file, and an entry as a row.

use std::sync::Arc;

use rusqlite::Row;

use crate::chat::{Entry, What};

/// What a new file is made of, one step for each version: `user_version` says which of them it has.
///
/// A room has the greatest id that was removed from it, and one that has nothing any more is forgotten, with that id as
/// `forgotten`. The words of a message stand in an index without the text, under its id, with its room's number.
pub(super) const STEPS: &[&str] = &["
    CREATE TABLE log (
        name TEXT NOT NULL,
        reserved INTEGER NOT NULL,
        forgotten INTEGER NOT NULL,
        stream TEXT,
        sequence INTEGER
    ) STRICT;
    INSERT INTO log VALUES (lower(hex(randomblob(16))), 1, 0, NULL, NULL);
    CREATE TABLE rooms (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        last INTEGER NOT NULL,
        removed INTEGER NOT NULL,
        rules TEXT
    ) STRICT;
    CREATE TABLE parties (name TEXT NOT NULL, room INTEGER NOT NULL, PRIMARY KEY (name, room)) STRICT, WITHOUT ROWID;
    CREATE INDEX parties_by_room ON parties (room);
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY,
        uid TEXT NOT NULL UNIQUE,
        room INTEGER NOT NULL,
        class INTEGER,
        kind INTEGER NOT NULL,
        sender TEXT NOT NULL,
        author TEXT NOT NULL,
        time INTEGER NOT NULL,
        text TEXT,
        target TEXT,
        edited INTEGER,
        unsent INTEGER
    ) STRICT;
    CREATE INDEX entries_by_room ON entries (room, class, id) WHERE class IS NOT NULL;
    CREATE INDEX entries_by_target ON entries (target) WHERE target IS NOT NULL AND text IS NOT NULL;
    CREATE INDEX entries_unsent ON entries (id) WHERE unsent IS NOT NULL;
    CREATE TABLE accounts (key TEXT PRIMARY KEY, shown TEXT NOT NULL, hash TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE VIRTUAL TABLE words USING fts5 (
        room, text, content = '', columnsize = 0, tokenize = 'unicode61 remove_diacritics 2'
    );
"];

/// What is read of an entry, in the order in which [`entry`] takes it.
pub(super) const COLUMNS: &str = "e.id, e.uid, e.kind, e.sender, e.author, e.time, e.text, e.target, e.edited";

/// The classes of entries: messages, and all else. An edit after which there is another one has none.
pub(super) const MESSAGE: i64 = 1;
pub(super) const OTHER: i64 = 0;

const SAY: i64 = 0;
const DO: i64 = 1;
const EDIT: i64 = 2;
const DELETE: i64 = 3;
const TOPIC: i64 = 4;
const RULE: i64 = 5;

/// Those values of a row that depend on what an entry is.
pub(super) struct Values {
    pub(super) class: i64,
    pub(super) kind: i64,
    /// A message without one was taken back.
    pub(super) text: Option<String>,
    pub(super) target: Option<String>,
    pub(super) edited: Option<i64>,
}

impl Values {
    pub(super) fn of(what: &What) -> serde_json::Result<Self> {
        let other = |kind, text, target| Self { class: OTHER, kind, text, target, edited: None };
        Ok(match what {
            What::Say { text, me, edited, deleted } => {
                let text = (!deleted).then(|| text.clone());
                Self { class: MESSAGE, kind: if *me { DO } else { SAY }, text, target: None, edited: *edited }
            }
            What::Edit { of, text } => other(EDIT, Some(text.clone()), Some(of.clone())),
            What::Delete { of } => other(DELETE, None, Some(of.clone())),
            What::Topic { text } => other(TOPIC, Some(text.clone()), None),
            What::Rule { .. } => other(RULE, Some(serde_json::to_string(what)?), None),
        })
    }

    fn what(self) -> serde_json::Result<What> {
        let deleted = self.text.is_none();
        let text = self.text.unwrap_or_default();
        Ok(match self.kind {
            EDIT => What::Edit { of: self.target.unwrap_or_default(), text },
            DELETE => What::Delete { of: self.target.unwrap_or_default() },
            TOPIC => What::Topic { text },
            RULE => serde_json::from_str(&text)?,
            kind => What::Say { text, me: kind == DO, edited: self.edited, deleted },
        })
    }
}

/// The entry in a row of [`COLUMNS`].
pub(super) fn entry(row: &Row<'_>, room: Arc<str>) -> rusqlite::Result<Entry> {
    let values = Values { class: 0, kind: row.get(2)?, text: row.get(6)?, target: row.get(7)?, edited: row.get(8)? };
    Ok(Entry {
        id: row.get::<_, i64>(0)?.cast_unsigned(),
        uid: row.get(1)?,
        room,
        from: row.get(3)?,
        author: row.get(4)?,
        time: row.get(5)?,
        what: values.what().map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(6, rusqlite::types::Type::Text, Box::new(error))
        })?,
    })
}

/// A number of ours as SQLite has it, which ends where ids never come.
pub(super) fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What cannot be written as JSON, or read, is no reason to end.
pub(super) fn strange(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(error.into())
}
