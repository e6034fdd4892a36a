//! The one thread that writes: all that waits is written together, and made durable by one commit.

use std::{collections::HashMap, sync::Arc};

use http::StatusCode;
use rusqlite::{Connection, ErrorCode, TransactionBehavior, params};
use tokio::sync::mpsc;

use super::{
    super::{
        super::{
            edit::{Edit, Effect, Outcome},
            item::{Item, SCHEMAS, now},
            problem::{Answer, Problem},
            schema::Schemas,
        },
        Hub, Job, REMEMBERED, group, tell,
    },
    found,
};

/// What a new file is made of, one step for each version: `user_version` says which of them it has.
///
/// An item's `seq` is the revision that made it, so that it is never used again.
const STEPS: &[&str] = &["
    CREATE TABLE items (
        seq INTEGER PRIMARY KEY,
        collection TEXT NOT NULL,
        id TEXT NOT NULL,
        body TEXT NOT NULL,
        revision INTEGER NOT NULL,
        modified INTEGER NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX items_by_id ON items (collection, id);
    CREATE INDEX items_by_place ON items (collection, seq);
    CREATE INDEX items_by_revision ON items (collection, revision);
    CREATE TABLE gone (revision INTEGER PRIMARY KEY, collection TEXT NOT NULL, id TEXT NOT NULL) STRICT;
    CREATE INDEX gone_by_collection ON gone (collection, revision);
    CREATE TABLE counter (revision INTEGER NOT NULL) STRICT;
    INSERT INTO counter VALUES (0);
    CREATE VIRTUAL TABLE words USING fts5 (
        text, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
    );
"];

/// Marks the file as ours, as SQLite's `application_id` is for: "hull".
const OURS: i32 = 0x6875_6c6c;

/// Makes a file ready, or refuses one that is somebody else's.
pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // With less a commit could be lost with the machine's power.
    connection.pragma_update(None, "synchronous", "FULL")?;
    let begun = rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let whole = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let (owner, version) = (whole("application_id")?, whole("user_version")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    if (tables > 0 && owner != OURS) || done > STEPS.len() {
        let why = if owner == OURS { "it was made by a newer hullo" } else { "it is the file of another program" };
        return Err(rusqlite::Error::ToSqlConversionFailure(why.into()));
    }
    for step in &STEPS[done..] {
        connection.execute_batch(step)?;
    }
    connection.pragma_update(None, "application_id", OURS)?;
    connection.pragma_update(None, "user_version", i64::try_from(STEPS.len()).unwrap_or_default())?;
    begun.commit()
}

/// The writer, which alone has this connection.
pub(super) struct Writer {
    connection: Connection,
    schemas: Schemas,
    hub: Arc<Hub>,
}

impl Writer {
    pub(super) fn new(connection: Connection, hub: Arc<Hub>) -> Self {
        Self { connection, schemas: Schemas::default(), hub }
    }

    /// Writes until nobody can ask for it any more.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        while let Some(first) = queue.blocking_recv() {
            let jobs = group(first, &mut queue);
            let answers = self.commit(&jobs).unwrap_or_else(|error| jobs.iter().map(|_| Err(failed(&error))).collect());
            tell(jobs, answers, &self.hub);
        }
    }

    /// All jobs in one transaction. A job is first decided and then written, so that one that is refused has written
    /// nothing; what fails then is the database itself, and nothing of the group is kept.
    fn commit(&mut self, jobs: &[Job]) -> rusqlite::Result<Vec<Answer<Vec<Outcome>>>> {
        let begun = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let before: i64 = begun.prepare_cached("SELECT revision FROM counter")?.query_row([], |row| row.get(0))?;
        let mut group = Group { connection: &begun, schemas: &mut self.schemas, revision: before, now: now(), removed: false };
        let answers = jobs.iter().map(|job| group.job(&job.edits)).collect::<rusqlite::Result<_>>()?;
        let Group { revision, removed, .. } = group;
        if revision == before {
            return Ok(answers);
        }
        begun.prepare_cached("UPDATE counter SET revision = ?1")?.execute([revision])?;
        if removed {
            begun.prepare_cached("DELETE FROM gone WHERE revision <= ?1")?.execute([revision - REMEMBERED])?;
        }
        begun.commit()?;
        Ok(answers)
    }
}

/// What the database's failure is to a client.
fn failed(error: &rusqlite::Error) -> Problem {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Problem::new(StatusCode::INSUFFICIENT_STORAGE, "the disk is full: nothing was changed"),
        Some(ErrorCode::DatabaseBusy) => {
            Problem::later(StatusCode::SERVICE_UNAVAILABLE, "another process holds the database: nothing was changed")
        }
        _ => Problem::of_store(error),
    }
}

/// A transaction under way.
struct Group<'a> {
    connection: &'a Connection,
    schemas: &'a mut Schemas,
    revision: i64,
    now: i64,
    removed: bool,
}

/// An item and its place, as far as a job has come.
type Found = Option<(i64, Item)>;

/// What is to be written for an edit that was decided.
enum Step {
    Write { place: i64, item: Item, words: String, made: bool },
    Remove { place: i64, id: String, revision: i64 },
    Nothing(Found),
}

impl Group<'_> {
    fn job(&mut self, edits: &[Edit]) -> rusqlite::Result<Answer<Vec<Outcome>>> {
        let before = self.revision;
        match self.decide(edits)? {
            Ok(steps) => {
                let write = |(edit, step): (&Edit, Step)| self.write(&edit.collection, step);
                edits.iter().zip(steps).map(write).collect::<rusqlite::Result<Vec<_>>>().map(Ok)
            }
            Err(problem) => {
                self.revision = before;
                Ok(Err(problem))
            }
        }
    }

    /// What each edit makes of what the ones before it leave behind.
    fn decide(&mut self, edits: &[Edit]) -> rusqlite::Result<Answer<Vec<Step>>> {
        let mut touched: HashMap<&str, Found> = HashMap::new();
        let mut steps = Vec::with_capacity(edits.len());
        for (at, edit) in edits.iter().enumerate() {
            let current = match touched.remove(edit.id.as_str()) {
                Some(found) => found,
                None => found(self.connection, &edit.collection, &edit.id)?,
            };
            let step = match self.step(edit, current)? {
                Ok(step) => step,
                Err(problem) if edits.len() == 1 => return Ok(Err(problem)),
                Err(problem) => {
                    return Ok(Err(problem.at(format!("/{at}"), "it is this item, and nothing was changed")));
                }
            };
            if edits.len() > 1 {
                touched.insert(&edit.id, step.leaves());
            }
            steps.push(step);
        }
        Ok(Ok(steps))
    }

    fn step(&mut self, edit: &Edit, current: Found) -> rusqlite::Result<Answer<Step>> {
        let schema = match edit.is_held_to_a_schema() {
            true => found(self.connection, SCHEMAS, &edit.collection)?,
            false => None,
        };
        let schema = match schema.map(|(_, item)| self.schemas.of(&item)).transpose() {
            Ok(schema) => schema,
            Err(problem) => return Ok(Err(problem)),
        };
        let effect = edit.decide(current.as_ref().map(|(_, item)| item), schema.as_deref());
        Ok(effect.map(|effect| self.planned(edit, current, effect)))
    }

    fn planned(&mut self, edit: &Edit, current: Found, effect: Effect) -> Step {
        match (effect, current) {
            (Effect::Write { body, words }, current) => {
                self.revision += 1;
                let item = Item { id: edit.id.clone(), body, revision: self.revision, modified: self.now };
                let place = current.as_ref().map_or(self.revision, |(place, _)| *place);
                Step::Write { place, item, words, made: current.is_none() }
            }
            (Effect::Remove, Some((place, item))) => {
                self.revision += 1;
                Step::Remove { place, id: item.id, revision: self.revision }
            }
            (_, current) => Step::Nothing(current),
        }
    }

    fn write(&mut self, collection: &str, step: Step) -> rusqlite::Result<Outcome> {
        match step {
            Step::Nothing(found) => Ok(Outcome { item: found.map(|(_, item)| item), made: false, changed: false }),
            Step::Remove { place, id, revision } => {
                self.connection.prepare_cached("DELETE FROM items WHERE seq = ?1")?.execute([place])?;
                self.connection.prepare_cached("DELETE FROM words WHERE rowid = ?1")?.execute([place])?;
                self.connection.prepare_cached("INSERT INTO gone VALUES (?1, ?2, ?3)")?.execute(params![revision, collection, id])?;
                self.removed = true;
                Ok(Outcome { item: None, made: false, changed: true })
            }
            Step::Write { place, item, words, made } => {
                let sql = match made {
                    true => "INSERT INTO items (seq, collection, id, body, revision, modified) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    false => "UPDATE items SET body = ?4, revision = ?5, modified = ?6 WHERE seq = ?1 AND collection = ?2 AND id = ?3",
                };
                let values = params![place, collection, item.id, item.body, item.revision, item.modified];
                self.connection.prepare_cached(sql)?.execute(values)?;
                if !made {
                    self.connection.prepare_cached("DELETE FROM words WHERE rowid = ?1")?.execute([place])?;
                }
                if !words.is_empty() {
                    let sql = "INSERT INTO words (rowid, text) VALUES (?1, ?2)";
                    self.connection.prepare_cached(sql)?.execute(params![place, words])?;
                }
                Ok(Outcome { item: Some(item), made, changed: true })
            }
        }
    }
}

impl Step {
    /// The item that is there after it.
    fn leaves(&self) -> Found {
        match self {
            Step::Write { place, item, .. } => Some((*place, item.clone())),
            Step::Remove { .. } => None,
            Step::Nothing(found) => found.clone(),
        }
    }
}
