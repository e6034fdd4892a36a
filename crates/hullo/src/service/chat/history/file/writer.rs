//! The one thread that writes: all that waits is written together, and made durable by one commit.

use std::{
    collections::HashMap,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::{
    Ids, Job, Keep, Position, Write,
    group::{Group, Written},
    table::{STEPS, strange, whole},
};
use crate::{
    chat::Rules,
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
            // It may have ended before it got to that.
            erased: true,
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
                Job::CatchUp(tell) => drop(tell.send(())),
            }
        }
    }

    fn commit(&mut self, jobs: &[Job]) -> rusqlite::Result<Written> {
        let begun = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut group = Group::new(&begun, &mut self.rooms);
        for job in jobs {
            group.add(job)?;
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
            Job::Sent(_) | Job::Register { .. } | Job::CatchUp(_) => None,
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
