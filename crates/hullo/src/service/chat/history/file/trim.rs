//! What is too much or too old is removed, a little at a time, so that nobody waits for it.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use time::OffsetDateTime;

use super::{group::unindex, table::MESSAGE, writer::Writer};

/// The most entries that are looked at by one commit.
const BATCH: usize = 2048;

/// An entry that may have to go.
struct Old {
    id: i64,
    room: i64,
    time: i64,
    /// The text that is in the index.
    text: Option<String>,
    unsent: bool,
}

impl Writer {
    /// Removes the oldest entries, and says whether there may be more of them. What the bus does not have stays.
    pub(super) fn trim(&mut self) -> rusqlite::Result<bool> {
        let most = self.keep.count;
        if self.count > most {
            // Somewhat more goes than has to, so that this need not be done for every entry.
            self.excess = self.count - (most - most / 100);
        }
        let until = self.keep.age.map_or(i64::MIN, |age| {
            let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            now().saturating_sub(age)
        });
        if self.excess == 0 && self.keep.age.is_none() {
            return Ok(false);
        }
        let begun = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let old = oldest(&begun, self.oldest)?;
        let (looked, mut excess, mut stays) = (old.len(), self.excess, None);
        let (mut removed, mut last) = (0, self.oldest);
        let mut rooms: HashMap<i64, i64> = HashMap::new();
        for old in old {
            last = old.id + 1;
            if old.unsent {
                continue;
            }
            if excess == 0 && old.time >= until {
                stays = stays.or(Some(old.id));
                continue;
            }
            remove(&begun, &old)?;
            rooms.insert(old.room, old.id);
            excess = excess.saturating_sub(1);
            removed += 1;
        }
        for (room, id) in rooms {
            if shorten(&begun, room, id)? {
                self.rooms.retain(|_, number| *number != room);
            }
        }
        begun.commit()?;
        self.oldest = stays.unwrap_or(last);
        self.count -= removed;
        self.excess = if looked < BATCH { 0 } else { excess };
        Ok(looked == BATCH && (removed > 0 || stays.is_none()) && (excess > 0 || self.keep.age.is_some()))
    }
}

fn now() -> i64 {
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

fn oldest(connection: &Connection, from: i64) -> rusqlite::Result<Vec<Old>> {
    let sql = "SELECT id, room, time, iif(class = ?2, text, NULL), unsent IS NOT NULL FROM entries
        WHERE id >= ?1 ORDER BY id LIMIT ?3";
    let batch = i64::try_from(BATCH).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(sql)?;
    let old = statement.query_map(params![from, MESSAGE, batch], |row| {
        Ok(Old { id: row.get(0)?, room: row.get(1)?, time: row.get(2)?, text: row.get(3)?, unsent: row.get(4)? })
    })?;
    old.collect()
}

fn remove(connection: &Connection, old: &Old) -> rusqlite::Result<()> {
    if let Some(text) = &old.text {
        unindex(connection, old.id, old.room, text)?;
    }
    connection.prepare_cached("DELETE FROM entries WHERE id = ?1")?.execute([old.id])?;
    Ok(())
}

/// Remembers that a room's log begins after that id, and forgets a room of which nothing is left: says whether it has.
fn shorten(connection: &Connection, room: i64, id: i64) -> rusqlite::Result<bool> {
    let sql = "UPDATE rooms SET removed = max(removed, ?2) WHERE number = ?1 RETURNING removed";
    let removed: Option<i64> = connection.prepare_cached(sql)?.query_row([room, id], |row| row.get(0)).optional()?;
    let sql = "DELETE FROM rooms WHERE number = ?1 AND rules IS NULL
        AND NOT EXISTS (SELECT 1 FROM entries WHERE room = ?1 AND class IS NOT NULL)";
    if connection.prepare_cached(sql)?.execute([room])? == 0 {
        return Ok(false);
    }
    connection.prepare_cached("DELETE FROM parties WHERE room = ?1")?.execute([room])?;
    connection.prepare_cached("UPDATE log SET forgotten = max(forgotten, ?1)")?.execute([removed.unwrap_or(id)])?;
    Ok(true)
}
