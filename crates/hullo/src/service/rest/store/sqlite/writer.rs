//! The one thread that writes: all that waits is written together, and made durable by one commit.

use std::sync::Arc;

use rusqlite::{Connection, TransactionBehavior, params};
use tokio::sync::mpsc;

use super::{
    super::{
        super::{edit::Outcome, problem::Answer, schema::Schemas},
        Hub, Job, REMEMBERED, group,
        plan::{Plan, Step},
        tell,
    },
    failed, found,
};
use crate::service::sqlite;

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
    sqlite::prepare(connection, OURS, STEPS)
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
            let answers = self.commit(&jobs).unwrap_or_else(|error| {
                let problem = failed(&error);
                jobs.iter().map(|_| Err(problem.again())).collect()
            });
            tell(jobs, answers, &self.hub);
        }
    }

    /// All jobs in one transaction. A job is first decided and then written, so that one that is refused has written
    /// nothing; what fails then is the database itself, and nothing of the group is kept.
    fn commit(&mut self, jobs: &[Job]) -> rusqlite::Result<Vec<Answer<Vec<Outcome>>>> {
        let begun = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let before: i64 = begun.prepare_cached("SELECT revision FROM counter")?.query_row([], |row| row.get(0))?;
        let mut plan = Plan::new(&mut self.schemas, before);
        let job = |job: &Job| match plan.job(&job.edits, |collection, id| found(&begun, collection, id))? {
            Ok(steps) => {
                steps.into_iter().map(|step| write(&begun, step)).collect::<rusqlite::Result<Vec<_>>>().map(Ok)
            }
            Err(problem) => Ok(Err(problem)),
        };
        let answers = jobs.iter().map(job).collect::<rusqlite::Result<_>>()?;
        if plan.revision == before {
            return Ok(answers);
        }
        begun.prepare_cached("UPDATE counter SET revision = ?1")?.execute([plan.revision])?;
        if plan.removes {
            begun.prepare_cached("DELETE FROM gone WHERE revision <= ?1")?.execute([plan.revision - REMEMBERED])?;
        }
        begun.commit()?;
        Ok(answers)
    }
}

/// Writes what a step says.
fn write(connection: &Connection, step: Step) -> rusqlite::Result<Outcome> {
    match &step {
        Step::Nothing(_) => {}
        Step::Remove { place, collection, id, revision } => {
            connection.prepare_cached("DELETE FROM items WHERE seq = ?1")?.execute([place])?;
            connection.prepare_cached("DELETE FROM words WHERE rowid = ?1")?.execute([place])?;
            connection
                .prepare_cached("INSERT INTO gone VALUES (?1, ?2, ?3)")?
                .execute(params![revision, collection, id])?;
        }
        Step::Write { place, collection, item, words, made } => {
            let sql = match made {
                true => {
                    "INSERT INTO items (seq, collection, id, body, revision, modified) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
                }
                false => {
                    "UPDATE items SET body = ?4, revision = ?5, modified = ?6 WHERE seq = ?1 AND collection = ?2 AND id = ?3"
                }
            };
            let values = params![place, collection, item.id, item.body, item.revision, item.modified];
            connection.prepare_cached(sql)?.execute(values)?;
            if !made {
                connection.prepare_cached("DELETE FROM words WHERE rowid = ?1")?.execute([place])?;
            }
            if !words.is_empty() {
                let sql = "INSERT INTO words (rowid, text) VALUES (?1, ?2)";
                connection.prepare_cached(sql)?.execute(params![place, words])?;
            }
        }
    }
    Ok(step.outcome())
}
