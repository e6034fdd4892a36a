//! What is read of a history. All but a search is a look into an index.

use std::{fmt::Write, sync::Arc};

use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::table::{COLUMNS, MESSAGE, OTHER, entry, whole};
use crate::chat::Entry;

/// The most words of a search. Whoever types more of them finds what has the first ones.
const WORDS: usize = 32;

/// The private rooms that are told.
const PRIVATE: i64 = 100;

const ROOM: &str = "(SELECT number FROM rooms WHERE name = ?1)";

pub(super) fn before(
    connection: &Connection,
    room: &str,
    before: Option<u64>,
    limit: usize,
) -> rusqlite::Result<Vec<Entry>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM entries e WHERE e.room = {ROOM} AND e.class = {MESSAGE} AND e.id < ?2
        ORDER BY e.id DESC LIMIT ?3"
    );
    let mut found = entries(connection, &sql, room, params![room, below(before), most(limit)])?;
    found.reverse();
    Ok(found)
}

pub(super) fn after(connection: &Connection, room: &str, after: u64, limit: usize) -> rusqlite::Result<Vec<Entry>> {
    // Each half comes out of the index in order, and they are merged.
    let half = |class: i64| {
        format!("SELECT {COLUMNS} FROM entries e WHERE e.room = {ROOM} AND e.class = {class} AND e.id > ?2")
    };
    let sql = format!("{} UNION ALL {} ORDER BY 1 LIMIT ?3", half(MESSAGE), half(OTHER));
    entries(connection, &sql, room, params![room, whole(after), most(limit)])
}

pub(super) fn reaches(connection: &Connection, room: &str, after: u64) -> rusqlite::Result<bool> {
    let sql = "SELECT coalesce((SELECT removed FROM rooms WHERE name = ?1), (SELECT forgotten FROM log)) <= ?2";
    connection.prepare_cached(sql)?.query_row(params![room, whole(after)], |row| row.get(0))
}

/// The words of a search as the index is asked for them, if there are any. What they are made of is in quotes, where
/// nothing means anything.
pub(super) fn wanted(words: &str) -> Option<String> {
    let mut wanted = String::new();
    let parts = words.split_whitespace().filter(|part| part.contains(char::is_alphanumeric));
    for part in parts.take(WORDS) {
        let and = if wanted.is_empty() { "" } else { " AND " };
        let begins = if part.ends_with('*') { " *" } else { "" };
        // A text takes whatever is written to it.
        let _ = write!(wanted, "{and}\"{}\"{begins}", part.replace(['"', '\0'], " "));
    }
    (!wanted.is_empty()).then_some(wanted)
}

pub(super) fn search(
    connection: &Connection,
    room: &str,
    wanted: &str,
    before: Option<u64>,
    limit: usize,
) -> rusqlite::Result<Vec<Entry>> {
    let sql = "SELECT number FROM rooms WHERE name = ?1";
    let Some(number) = connection.prepare_cached(sql)?.query_row([room], |row| row.get::<_, i64>(0)).optional()? else {
        return Ok(Vec::new());
    };
    // With the room in the index, what is said elsewhere costs little.
    let wanted = format!("room : \"{number}\" AND text : ({wanted})");
    let sql = format!(
        "SELECT {COLUMNS} FROM words w CROSS JOIN entries e ON e.id = w.rowid
        WHERE w.words MATCH ?1 AND w.rowid < ?2 ORDER BY w.rowid DESC LIMIT ?3"
    );
    let mut found = entries(connection, &sql, room, params![wanted, below(before), most(limit)])?;
    found.reverse();
    Ok(found)
}

pub(super) fn find(connection: &Connection, uid: &str) -> rusqlite::Result<Option<Entry>> {
    let sql = format!("SELECT {COLUMNS}, r.name FROM entries e JOIN rooms r ON r.number = e.room WHERE e.uid = ?1");
    connection.prepare_cached(&sql)?.query_row([uid], anywhere).optional()
}

pub(super) fn unsent(connection: &Connection, after: u64, limit: usize) -> rusqlite::Result<Vec<Entry>> {
    let sql = format!(
        "SELECT {COLUMNS}, r.name FROM entries e JOIN rooms r ON r.number = e.room
        WHERE e.unsent IS NOT NULL AND e.id > ?1 ORDER BY e.id LIMIT ?2"
    );
    connection.prepare_cached(&sql)?.query_map(params![whole(after), most(limit)], anywhere)?.collect()
}

pub(super) fn private(connection: &Connection, account: &str) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT r.name FROM parties p JOIN rooms r ON r.number = p.room WHERE p.name = ?1
        ORDER BY r.last DESC LIMIT ?2";
    connection.prepare_cached(sql)?.query_map(params![account, PRIVATE], |row| row.get(0))?.collect()
}

pub(super) fn account(connection: &Connection, key: &str) -> rusqlite::Result<Option<(String, String)>> {
    let sql = "SELECT shown, hash FROM accounts WHERE key = ?1";
    connection.prepare_cached(sql)?.query_row([key], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

fn entries(connection: &Connection, sql: &str, room: &str, values: impl Params) -> rusqlite::Result<Vec<Entry>> {
    let room: Arc<str> = room.into();
    connection.prepare_cached(sql)?.query_map(values, |row| entry(row, room.clone()))?.collect()
}

fn anywhere(row: &Row<'_>) -> rusqlite::Result<Entry> {
    entry(row, row.get(9)?)
}

fn below(before: Option<u64>) -> i64 {
    before.map_or(i64::MAX, whole)
}

fn most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
