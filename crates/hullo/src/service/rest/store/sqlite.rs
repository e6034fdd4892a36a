//! Items in a file of SQLite: one thread writes, and many read.
//!
//! The file is in WAL mode, where readers wait for nobody. An item is read where it is asked for, without another thread:
//! that is a look into two B-trees. Lists may take long, and are made on threads for such work.

use std::{sync::Arc, thread, time::Duration};

use http::StatusCode;
use rusqlite::{
    Connection, ErrorCode, OptionalExtension, Row, ToSql, params,
    types::{ToSqlOutput, Value, ValueRef},
};
use tokio::sync::{Semaphore, mpsc};

use self::writer::Writer;
use super::{
    super::{
        edit::{Edit, Outcome},
        item::{Item, SCHEMAS},
        problem::{Answer, Problem},
        query::{Cursor, Listing, Path, Position, Word},
    },
    COLLECTIONS, Change, Changes, Hub, Job, Page, QUEUE, REMEMBERED, Room, Store, queued,
    select::{self, Bind, Binds, Dialect, Field, Statement},
};
use crate::{
    error::{Error, Kind, Result},
    scope::BoxFuture,
    service::sqlite::{Name, Readers, in_time, why},
};

mod writer;

/// Lists that are made at the same time.
const LISTS: usize = 8;

/// How long a list may take to be made.
const LONG: Duration = Duration::from_secs(30);

/// Items in one file, or in memory.
pub(crate) struct Sqlite {
    readers: Arc<Readers>,
    lists: Semaphore,
    hub: Arc<Hub>,
    queue: Option<mpsc::Sender<Job>>,
    writer: Option<thread::JoinHandle<()>>,
}

impl Sqlite {
    /// Opens the file, which is made where there is none; `:memory:` is gone with this process.
    pub(crate) fn open(file: &str) -> Result<Self> {
        let name = Name::of(file);
        let about = || format!("cannot keep items in {file}");
        // Its own source says the same once more, and the sentence may end with the file's name, which is said already.
        let wrong = |error: rusqlite::Error| Error::new(Kind::File, about()).because(why(&error, file));
        let connection = name
            .create()
            .map_err(|error| wrong(error).hint("--db FILE names another file, and --db :memory: keeps nothing"))?;
        writer::prepare(&connection).map_err(wrong)?;
        let (queue, jobs) = mpsc::channel(QUEUE);
        let hub = Arc::new(Hub::default());
        let writer = Writer::new(connection, hub.clone());
        let writer = thread::Builder::new().name("rest writer".to_owned()).spawn(move || writer.run(jobs));
        let writer = writer.map_err(|error| Error::io("cannot start a thread that writes", error))?;
        let readers = Arc::new(Readers::new(name));
        Ok(Self { readers, lists: Semaphore::new(LISTS), hub, queue: Some(queue), writer: Some(writer) })
    }

    /// Looks something up where it is asked for.
    fn here<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Answer<T> {
        self.readers.with(|connection| work(connection)).map_err(|error| failed(&error))
    }

    /// Does what may take long on a thread for that.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Answer<T> {
        let _place = self.lists.acquire().await.map_err(Problem::of_store)?;
        let readers = self.readers.clone();
        let work = move || readers.with(|connection| in_time(connection, LONG, work));
        tokio::task::spawn_blocking(work).await.map_err(Problem::of_store)?.map_err(|error| failed(&error))
    }
}

impl Drop for Sqlite {
    /// Waits for the writer, which makes what is queued durable, and leaves one file behind if the process lasts
    /// as long.
    fn drop(&mut self) {
        self.queue = None;
        self.readers.close();
        if let Some(writer) = self.writer.take() {
            // A writer that has panicked has answered nobody; there is nobody here to tell either.
            let _ = writer.join();
        }
    }
}

impl Store for Sqlite {
    fn item<'a>(&'a self, collection: &'a str, id: &'a str) -> BoxFuture<'a, Answer<Option<Item>>> {
        Box::pin(async move { self.here(|connection| item(connection, collection, id)) })
    }

    fn list(&self, listing: Listing) -> BoxFuture<'_, Answer<Page>> {
        Box::pin(self.aside(move |connection| list(connection, &listing)))
    }

    fn collections(&self) -> BoxFuture<'_, Answer<Vec<(String, i64)>>> {
        Box::pin(self.aside(|connection| {
            let sql =
                "SELECT collection, count(*) FROM items WHERE collection <> ?1 GROUP BY collection ORDER BY collection LIMIT ?2";
            let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
            connection.prepare_cached(sql)?.query_map(params![SCHEMAS, COLLECTIONS], row)?.collect()
        }))
    }

    fn revision<'a>(&'a self, collection: &'a str) -> BoxFuture<'a, Answer<i64>> {
        Box::pin(async move {
            let sql = "SELECT max(coalesce((SELECT max(revision) FROM items WHERE collection = ?1), 0),
                coalesce((SELECT max(revision) FROM gone WHERE collection = ?1), 0))";
            self.here(|connection| connection.prepare_cached(sql)?.query_row([collection], |row| row.get(0)))
        })
    }

    fn changes<'a>(&'a self, collection: &'a str, after: i64, most: usize) -> BoxFuture<'a, Answer<Changes>> {
        Box::pin(async move { self.here(|connection| changes(connection, collection, after, most)) })
    }

    fn edit(&self, edits: Vec<Edit>) -> BoxFuture<'_, Answer<Vec<Outcome>>> {
        Box::pin(async move {
            match &self.queue {
                Some(queue) => queued(queue, edits).await,
                None => Err(Problem::of_store("it is closed")),
            }
        })
    }

    fn hub(&self) -> &Hub {
        &self.hub
    }
}

/// What the database's failure is to a client.
fn failed(error: &rusqlite::Error) -> Problem {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => {
            Problem::new(StatusCode::INSUFFICIENT_STORAGE, "the disk is full: nothing was changed")
        }
        Some(ErrorCode::DatabaseBusy) => {
            Problem::later(StatusCode::SERVICE_UNAVAILABLE, "another process holds the database: nothing was changed")
        }
        Some(ErrorCode::OperationInterrupted) => {
            Problem::later(StatusCode::SERVICE_UNAVAILABLE, format!("this list takes more than {LONG:?} to make"))
        }
        _ => Problem::of_store(error),
    }
}

fn item(connection: &Connection, collection: &str, id: &str) -> rusqlite::Result<Option<Item>> {
    Ok(found(connection, collection, id)?.map(|(_, item)| item))
}

/// An item, and its place in the collection.
fn found(connection: &Connection, collection: &str, id: &str) -> rusqlite::Result<Option<(i64, Item)>> {
    let sql = "SELECT seq, id, body, revision, modified FROM items WHERE collection = ?1 AND id = ?2";
    connection.prepare_cached(sql)?.query_row([collection, id], placed).optional()
}

fn placed(row: &Row<'_>) -> rusqlite::Result<(i64, Item)> {
    let item = Item { id: row.get(1)?, body: row.get(2)?, revision: row.get(3)?, modified: row.get(4)? };
    Ok((row.get(0)?, item))
}

fn list(connection: &Connection, listing: &Listing) -> rusqlite::Result<Page> {
    // The page and the count are of the same moment.
    let together = connection.unchecked_transaction()?;
    let Statement { sql, binds } = select::page::<Lite>(listing);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(binds))?;
    let (mut items, mut last, mut room, mut next) = (Vec::new(), None, Room::new(), None);
    let mut full = false;
    while let Some(row) = rows.next()? {
        if full {
            next = last;
            break;
        }
        let (place, item) = placed(row)?;
        let keys = (0..listing.sort.len()).map(|key| position(row, 5 + key * 3)).collect::<rusqlite::Result<_>>()?;
        last = Some(Cursor { keys, place });
        full = !room.after(&item.body) || items.len() + 1 == listing.limit;
        items.push(item);
    }
    drop(rows);
    let count = match listing.count {
        false => None,
        true => {
            let Statement { sql, binds } = select::count::<Lite>(listing);
            Some(connection.prepare_cached(&sql)?.query_row(rusqlite::params_from_iter(binds), |row| row.get(0))?)
        }
    };
    drop((statement, together));
    Ok(Page { items, next, count })
}

fn position(row: &Row<'_>, at: usize) -> rusqlite::Result<Position> {
    let number = match row.get_ref(at + 1)? {
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => format!("{number:?}"),
        _ => "0".to_owned(),
    };
    Ok(Position { rank: row.get(at)?, number, text: row.get(at + 2)? })
}

fn changes(connection: &Connection, collection: &str, after: i64, most: usize) -> rusqlite::Result<Changes> {
    let together = connection.unchecked_transaction()?;
    let now: i64 = connection.prepare_cached("SELECT revision FROM counter")?.query_row([], |row| row.get(0))?;
    let sql = "SELECT revision, id, body FROM items WHERE collection = ?1 AND revision > ?2
        UNION ALL SELECT revision, id, NULL FROM gone WHERE collection = ?1 AND revision > ?2
        ORDER BY revision LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![collection, after, most])?;
    let (mut changes, mut room, mut more) = (Vec::new(), Room::new(), true);
    while more && let Some(row) = rows.next()? {
        let change = Change { revision: row.get(0)?, id: row.get(1)?, body: row.get(2)? };
        more = room.after(change.body.as_deref().unwrap_or_default());
        changes.push(change);
    }
    drop(rows);
    drop((statement, together));
    // Whoever begins at 0 has nothing that could be removed.
    Ok(Changes { changes, forgotten: after > 0 && after < now - REMEMBERED })
}

/// What SQLite says in its own way.
struct Lite;

impl Dialect for Lite {
    fn hole(number: usize, _: &Bind) -> String {
        format!("?{number}")
    }

    fn field(path: &Path, binds: &mut Binds<Self>) -> Field {
        // A name in quotes is a member's, whatever is in it (and never an index).
        let path: String = path.iter().map(|name| format!(".{}", serde_json::Value::from(name.as_str()))).collect();
        let at = binds.text(&format!("${path}"));
        let (kind, value) = (format!("json_type(body, {at})"), format!("json_extract(body, {at})"));
        Field {
            rank: format!(
                "CASE {kind} WHEN 'true' THEN 1 WHEN 'false' THEN 1 WHEN 'integer' THEN 2 WHEN 'real' THEN 2
                WHEN 'text' THEN 3 WHEN 'object' THEN 4 WHEN 'array' THEN 4 ELSE 0 END"
            ),
            number: format!("CASE {kind} WHEN 'integer' THEN {value} WHEN 'real' THEN {value} END"),
            text: format!("CASE {kind} WHEN 'text' THEN {value} END"),
            truth: format!("CASE {kind} WHEN 'true' THEN 1 WHEN 'false' THEN 0 END"),
        }
    }

    fn sorted(number: &str) -> String {
        number.to_owned()
    }

    fn shown(number: &str) -> String {
        number.to_owned()
    }

    fn contains(text: &str, part: &str) -> String {
        format!("instr(lower({text}), lower({part})) > 0")
    }

    fn search(words: &[Word], binds: &mut Binds<Self>) -> String {
        let word = |word: &Word| format!("\"{}\"{}", word.text, if word.begins { " *" } else { "" });
        let wanted = binds.text(&words.iter().map(word).collect::<Vec<_>>().join(" AND "));
        format!("seq IN (SELECT rowid FROM words WHERE words MATCH {wanted})")
    }
}

impl ToSql for Bind {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Bind::Text(text) => ToSqlOutput::from(text.as_str()),
            Bind::Integer(number) => ToSqlOutput::from(*number),
            // As SQLite reads it in the body: whole where it fits, and otherwise the nearest float.
            Bind::Number(number) => ToSqlOutput::Owned(match (number.parse::<i64>(), number.parse::<f64>()) {
                (Ok(whole), _) => Value::Integer(whole),
                (_, Ok(float)) => Value::Real(float),
                _ => Value::Null,
            }),
        })
    }
}
