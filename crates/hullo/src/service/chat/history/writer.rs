//! The one thread that writes: all that waits is written together, and made durable by one commit.

use std::{
    collections::HashMap,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};

use super::{
    Ids, Job, Keep, Position, Write,
    table::{MESSAGE, STEPS, Values, whole},
};
use crate::{
    chat::{Rules, What},
    error::{Error, Kind},
    service::sqlite::{self, PATIENCE},
};

/// Marks the file as ours, as SQLite's `application_id` is for: "huch".
const OURS: i32 = 0x6875_6368;

/// The most jobs that are made durable together: with more, the first of them would wait for long.
const GROUP: usize = 2048;

/// How many ids are reserved at a time. They are used up by this many entries while the disk takes nothing.
const BLOCK: u64 = 1 << 20;

/// How often is looked for entries that are too old, and how soon something is tried again.
const NOW_AND_THEN: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(1);

/// Rooms whose numbers are remembered.
const ROOMS: usize = 16_384;

/// What a file says when it is opened.
pub(super) struct Begun {
    pub(super) log: String,
    pub(super) next: u64,
    pub(super) reserved: u64,
    pub(super) rooms: Vec<(String, Rules)>,
    pub(super) position: Option<Position>,
}

/// Makes a file ready, or refuses one that is somebody else's.
pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<Begun> {
    sqlite::prepare(connection, OURS, STEPS)?;
    // What is taken back is overwritten, and the log of changes with it as soon as there is time.
    connection.pragma_update(None, "secure_delete", "ON")?;
    // In KiB. The parts of the indexes that are in use stay in memory.
    connection.pragma_update(None, "cache_size", -16_384)?;
    connection.pragma_update(None, "wal_autocheckpoint", 4096)?;
    let sql = "SELECT name, reserved, stream, sequence FROM log";
    let (log, next, position) = connection.query_row(sql, [], |row| {
        let position = match (row.get(2)?, row.get::<_, Option<i64>>(3)?) {
            (Some(stream), Some(sequence)) => Some(Position { stream, sequence: sequence.cast_unsigned() }),
            _ => None,
        };
        Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned(), position))
    })?;
    let reserved = next + BLOCK;
    connection.execute("UPDATE log SET reserved = ?1", [whole(reserved)])?;
    Ok(Begun { log, next, reserved, rooms: rules(connection)?, position })
}

fn rules(connection: &Connection) -> rusqlite::Result<Vec<(String, Rules)>> {
    let mut statement = connection.prepare("SELECT name, rules FROM rooms WHERE rules IS NOT NULL ORDER BY number")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    rows.map(|row| row.and_then(|(name, rules)| Ok((name, serde_json::from_str(&rules).map_err(strange)?)))).collect()
}

/// The writer, which alone has this connection.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) keep: Keep,
    ids: Arc<Ids>,
    /// The numbers of rooms.
    pub(super) rooms: HashMap<Arc<str>, i64>,
    /// How many entries there are.
    pub(super) count: u64,
    /// How many of them are to be removed.
    pub(super) excess: u64,
    /// No entry before this id may be removed.
    pub(super) oldest: i64,
    /// Something was taken back, and stands in the log of changes still.
    erased: bool,
    /// When there is something to do besides.
    due: Instant,
}

impl Writer {
    pub(super) fn new(connection: Connection, keep: Keep, ids: Arc<Ids>) -> rusqlite::Result<Self> {
        let count: i64 = connection.query_row("SELECT count(*) FROM entries", [], |row| row.get(0))?;
        Ok(Self {
            connection,
            keep,
            ids,
            rooms: HashMap::new(),
            count: count.cast_unsigned(),
            excess: 0,
            oldest: 0,
            erased: false,
            due: Instant::now(),
        })
    }

    /// Writes until nobody can ask for it any more.
    pub(super) fn run(mut self, queue: &mpsc::Receiver<Job>) {
        loop {
            match queue.recv_timeout(self.due.saturating_duration_since(Instant::now())) {
                Ok(first) => self.write(group(first, queue)),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            if Instant::now() >= self.due {
                self.tend();
            }
        }
        // Where this fails, the ids that were reserved are gaps.
        let _ = self.connection.execute("UPDATE log SET reserved = ?1", [whole(self.ids.next())]);
    }

    /// Writes jobs, and tells those who wait for it.
    fn write(&mut self, jobs: Vec<Job>) {
        let done = self.commit(&jobs);
        match &done {
            Ok(written) => self.learn(written),
            Err(_) => self.failed(),
        }
        self.ids.written(jobs.iter().filter_map(Job::id));
        for (at, job) in jobs.into_iter().enumerate() {
            let changed = || done.as_ref().map(|written| written.changed[at]).map_err(lost);
            match job {
                Job::Write(place, Write { kept, .. }) => {
                    drop(place);
                    kept.into_iter().for_each(|kept| kept(changed().map(drop)));
                }
                Job::Sent(_) => {}
                Job::Register { tell, .. } => {
                    // Whoever asked may have gone.
                    let _ = tell.send(changed());
                }
            }
        }
    }

    fn commit(&mut self, jobs: &[Job]) -> rusqlite::Result<Written> {
        let begun = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut group = Group::new(&begun, &mut self.rooms);
        for job in jobs {
            let changed = group.job(job)?;
            group.written.changed.push(changed);
        }
        let written = group.end()?;
        let reserved = reserve(&begun, &self.ids)?;
        begun.commit()?;
        self.ids.reserve(reserved);
        Ok(written)
    }

    fn learn(&mut self, written: &Written) {
        self.count += written.added;
        if self.count > self.keep.count {
            self.soon(Duration::ZERO);
        }
        if written.sent {
            self.oldest = 0;
        }
        if written.erased {
            self.erased = true;
            self.soon(SOON);
        }
    }

    /// Nothing of the transaction is there.
    fn failed(&mut self) {
        self.rooms.clear();
        self.soon(SOON);
    }

    /// What there is to do when nothing has to be written, a little of it at a time.
    fn tend(&mut self) {
        let again = match self.tend_a_little() {
            Ok(true) => Duration::ZERO,
            Ok(false) if self.erased => SOON,
            Ok(false) => NOW_AND_THEN,
            Err(_) => SOON,
        };
        self.due = Instant::now() + again;
    }

    /// Says whether there is more to do at once.
    fn tend_a_little(&mut self) -> rusqlite::Result<bool> {
        let reserved = reserve(&self.connection, &self.ids)?;
        self.ids.reserve(reserved);
        if self.erased {
            self.erased = !self.truncate()?;
        }
        self.trim()
    }

    /// Moves all from the log of changes to where it belongs, and empties the log, if nobody reads in it.
    fn truncate(&self) -> rusqlite::Result<bool> {
        self.connection.busy_timeout(Duration::ZERO)?;
        let busy = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        self.connection.busy_timeout(PATIENCE)?;
        Ok(busy? == 0)
    }

    fn soon(&mut self, wait: Duration) {
        self.due = self.due.min(Instant::now() + wait);
    }
}

/// Reserves ids before they are used up, and says how far.
fn reserve(connection: &Connection, ids: &Ids) -> rusqlite::Result<Option<u64>> {
    let next = ids.next();
    if next + BLOCK / 2 <= ids.reserved() {
        return Ok(None);
    }
    connection.prepare_cached("UPDATE log SET reserved = ?1")?.execute([whole(next + BLOCK)])?;
    Ok(Some(next + BLOCK))
}

/// The next jobs of the queue, as many as are there, after `first`.
fn group(first: Job, queue: &mpsc::Receiver<Job>) -> Vec<Job> {
    let mut jobs = vec![first];
    jobs.extend(queue.try_iter().take(GROUP - 1));
    jobs
}

impl Job {
    fn id(&self) -> Option<u64> {
        match self {
            Job::Write(_, write) => Some(write.entry.id),
            Job::Sent(_) | Job::Register { .. } => None,
        }
    }
}

fn lost(error: &rusqlite::Error) -> Error {
    let lost = Error::new(Kind::File, "cannot keep what is said").because(error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => lost.hint("make room on the disk; until then what is said is told, and not kept"),
        _ => lost,
    }
}

/// What a commit has changed.
#[derive(Default)]
struct Written {
    /// Whether each job has changed anything.
    changed: Vec<bool>,
    /// How many entries are new.
    added: u64,
    /// Whether something was taken back.
    erased: bool,
    /// Whether the bus has more of them.
    sent: bool,
}

/// What is written together.
struct Group<'a> {
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
    fn new(begun: &'a Connection, rooms: &'a mut HashMap<Arc<str>, i64>) -> Self {
        Self { begun, rooms, touched: HashMap::new(), position: None, written: Written::default() }
    }

    /// Writes what is written once for all jobs.
    fn end(self) -> rusqlite::Result<Written> {
        for (room, touched) in self.touched {
            touched.write(self.begun, room)?;
        }
        if let Some(Position { stream, sequence }) = self.position {
            let sql = "UPDATE log SET stream = ?1, sequence = ?2";
            self.begun.prepare_cached(sql)?.execute(params![stream, sequence.cast_signed()])?;
        }
        Ok(self.written)
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
                unindex(self.begun, message, room, &old)?;
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
            unindex(self.begun, message, room, &old)?;
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

/// The index has no texts, and must be told what it has to forget.
pub(super) fn unindex(connection: &Connection, id: i64, room: i64, text: &str) -> rusqlite::Result<()> {
    let sql = "INSERT INTO words (words, rowid, room, text) VALUES ('delete', ?1, ?2, ?3)";
    connection.prepare_cached(sql)?.execute(params![id, room, text])?;
    Ok(())
}

/// What cannot be written as JSON, or read, is no reason to end.
pub(super) fn strange(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(error.into())
}
