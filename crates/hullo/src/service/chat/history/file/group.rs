//! What is written by one commit.

use std::{collections::HashMap, sync::Arc};

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    Job, Position, Write,
    table::{MESSAGE, Values, strange, whole},
};
use crate::chat::{Rules, What};

/// Rooms whose numbers are remembered.
const ROOMS: usize = 16_384;

/// What a commit has changed.
#[derive(Default)]
pub(super) struct Written {
    /// Whether each job has changed anything.
    pub(super) changed: Vec<bool>,
    /// How many entries are new.
    pub(super) added: u64,
    /// Whether something was taken back.
    pub(super) erased: bool,
    /// Whether the bus has more of them.
    pub(super) sent: bool,
}

/// What is written together.
pub(super) struct Group<'a> {
    begun: &'a Connection,
    rooms: &'a mut HashMap<Arc<str>, i64>,
    touched: HashMap<i64, Touched>,
    position: Option<Position>,
    written: Written,
}

/// What is new of a room.
#[derive(Default)]
struct Touched {
    last: u64,
    rules: Option<Arc<Rules>>,
}

impl<'a> Group<'a> {
    pub(super) fn new(begun: &'a Connection, rooms: &'a mut HashMap<Arc<str>, i64>) -> Self {
        Self { begun, rooms, touched: HashMap::new(), position: None, written: Written::default() }
    }

    /// Writes what is written once for all jobs.
    pub(super) fn end(self) -> rusqlite::Result<Written> {
        for (room, touched) in self.touched {
            touched.write(self.begun, room)?;
        }
        if let Some(Position { stream, sequence }) = self.position {
            let sql = "UPDATE log SET stream = ?1, sequence = ?2";
            self.begun.prepare_cached(sql)?.execute(params![stream, sequence.cast_signed()])?;
        }
        Ok(self.written)
    }

    pub(super) fn add(&mut self, job: &Job) -> rusqlite::Result<()> {
        let changed = self.job(job)?;
        self.written.changed.push(changed);
        Ok(())
    }

    /// Does a job, and says whether that has changed anything.
    fn job(&mut self, job: &Job) -> rusqlite::Result<bool> {
        match job {
            Job::Write(_, write) => self.write(write),
            Job::Sent(uids) => {
                let mut statement = self.begun.prepare_cached("UPDATE entries SET unsent = NULL WHERE uid = ?1")?;
                for uid in uids {
                    statement.execute([uid])?;
                }
                self.written.sent = true;
                Ok(true)
            }
            Job::Register { key, shown, hash, .. } => {
                let sql = "INSERT INTO accounts VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
                Ok(self.begun.prepare_cached(sql)?.execute([key, shown, hash])? > 0)
            }
            Job::CatchUp(_) => Ok(false),
        }
    }

    fn write(&mut self, write: &Write) -> rusqlite::Result<bool> {
        let entry = &write.entry;
        let room = self.room(&entry.room, entry.id)?;
        let touched = self.touched.entry(room).or_default();
        touched.last = touched.last.max(entry.id);
        if write.rules.is_some() {
            touched.rules.clone_from(&write.rules);
        }
        if write.position.is_some() {
            self.position.clone_from(&write.position);
        }
        let Values { class, kind, text, target, edited } = Values::of(&entry.what).map_err(strange)?;
        let sql = "INSERT INTO entries VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
            ON CONFLICT (uid) DO NOTHING";
        let unsent = write.unsent.then_some(1);
        let id = whole(entry.id);
        let values = params![
            id,
            entry.uid,
            room,
            class,
            kind,
            entry.from,
            entry.author,
            entry.time,
            text,
            target,
            edited,
            unsent
        ];
        if self.begun.prepare_cached(sql)?.execute(values)? == 0 {
            return Ok(false);
        }
        self.written.added += 1;
        match (&entry.what, text) {
            (What::Say { .. }, Some(text)) => index(self.begun, id, room, &text)?,
            (What::Edit { of, text }, _) => self.edit(id, room, of, text, entry.time)?,
            (What::Delete { of }, _) => self.delete(id, room, of)?,
            _ => {}
        }
        Ok(true)
    }

    /// The number of a room, which is made where there is none.
    fn room(&mut self, name: &Arc<str>, id: u64) -> rusqlite::Result<i64> {
        if let Some(number) = self.rooms.get(name) {
            return Ok(*number);
        }
        let sql = "SELECT number FROM rooms WHERE name = ?1";
        let known = self.begun.prepare_cached(sql)?.query_row([name], |row| row.get(0)).optional()?;
        let number = match known {
            Some(number) => number,
            None => make(self.begun, name, id)?,
        };
        if self.rooms.len() >= ROOMS {
            self.rooms.clear();
        }
        self.rooms.insert(name.clone(), number);
        Ok(number)
    }

    /// Gives a message its new text, which is nowhere else but in this edit.
    fn edit(&mut self, id: i64, room: i64, of: &str, text: &str, time: i64) -> rusqlite::Result<()> {
        match self.message(room, of)? {
            Some((message, Some(old))) => {
                self.forget_edits(id, room, of)?;
                erase(self.begun, message, room, &old)?;
                let sql = "UPDATE entries SET text = ?2, edited = ?3 WHERE id = ?1";
                self.begun.prepare_cached(sql)?.execute(params![message, text, time])?;
                index(self.begun, message, room, text)?;
                self.written.erased = true;
            }
            // What was taken back stays so.
            Some((_, None)) => self.forget_edits(0, room, of)?,
            None => {}
        }
        Ok(())
    }

    /// Takes a message's text away, here and in its edits.
    fn delete(&mut self, id: i64, room: i64, of: &str) -> rusqlite::Result<()> {
        self.forget_edits(id, room, of)?;
        if let Some((message, Some(old))) = self.message(room, of)? {
            erase(self.begun, message, room, &old)?;
            self.begun.prepare_cached("UPDATE entries SET text = NULL WHERE id = ?1")?.execute([message])?;
        }
        self.written.erased = true;
        Ok(())
    }

    /// A message's id, and its text if it has one still.
    fn message(&self, room: i64, uid: &str) -> rusqlite::Result<Option<(i64, Option<String>)>> {
        let sql = "SELECT id, text FROM entries WHERE uid = ?1 AND room = ?2 AND class = ?3";
        let found = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        self.begun.prepare_cached(sql)?.query_row(params![uid, room, MESSAGE], found).optional()
    }

    /// Empties the edits of a message but for one, and takes them out of the room: they say nothing any more.
    fn forget_edits(&self, but: i64, room: i64, of: &str) -> rusqlite::Result<()> {
        let sql = "UPDATE entries SET text = NULL, class = NULL, unsent = NULL
            WHERE target = ?1 AND text IS NOT NULL AND room = ?2 AND id <> ?3";
        self.begun.prepare_cached(sql)?.execute(params![of, room, but])?;
        Ok(())
    }
}

/// Makes a room. A private one is found by the names of both who are in it.
fn make(connection: &Connection, name: &str, id: u64) -> rusqlite::Result<i64> {
    let sql = "INSERT INTO rooms (name, last, removed) VALUES (?1, ?2, (SELECT forgotten FROM log))";
    connection.prepare_cached(sql)?.execute(params![name, whole(id)])?;
    let number = connection.last_insert_rowid();
    let parties = name.strip_prefix('@').into_iter().flat_map(|names| names.split('+'));
    for party in parties {
        let sql = "INSERT INTO parties VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        connection.prepare_cached(sql)?.execute(params![party, number])?;
    }
    Ok(number)
}

impl Touched {
    fn write(&self, connection: &Connection, room: i64) -> rusqlite::Result<()> {
        let sql = "UPDATE rooms SET last = max(last, ?2) WHERE number = ?1";
        connection.prepare_cached(sql)?.execute(params![room, whole(self.last)])?;
        let Some(rules) = &self.rules else { return Ok(()) };
        let written = match **rules == Rules::default() {
            true => None,
            false => Some(serde_json::to_string(rules).map_err(strange)?),
        };
        connection.prepare_cached("UPDATE rooms SET rules = ?2 WHERE number = ?1")?.execute(params![room, written])?;
        Ok(())
    }
}

fn index(connection: &Connection, id: i64, room: i64, text: &str) -> rusqlite::Result<()> {
    let sql = "INSERT INTO words (rowid, room, text) VALUES (?1, ?2, ?3)";
    connection.prepare_cached(sql)?.execute(params![id, room, text])?;
    Ok(())
}

/// Takes words out of the index so that nothing of them is left in the file. It takes long, and what becomes too old is
/// taken out in the other way, which leaves marks until the parts of the index are merged.
fn erase(connection: &Connection, id: i64, room: i64, text: &str) -> rusqlite::Result<()> {
    let flush = || connection.prepare_cached("INSERT INTO words (words) VALUES ('flush')")?.execute([]);
    let secure = |how: i64| {
        let sql = "INSERT INTO words (words, rank) VALUES ('secure-delete', ?1)";
        connection.prepare_cached(sql)?.execute([how])
    };
    flush()?;
    secure(1)?;
    unindex(connection, id, room, text)?;
    flush()?;
    secure(0)?;
    Ok(())
}

/// The index has no texts, and must be told what it has to forget.
pub(super) fn unindex(connection: &Connection, id: i64, room: i64, text: &str) -> rusqlite::Result<()> {
    let sql = "INSERT INTO words (words, rowid, room, text) VALUES ('delete', ?1, ?2, ?3)";
    connection.prepare_cached(sql)?.execute(params![id, room, text])?;
    Ok(())
}
