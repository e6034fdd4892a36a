//! What every database of ours in a file of SQLite has in common: how it is opened, made ready and read.
//!
//! The file is in WAL mode, where one writes, many read, and readers wait for nobody.

use std::{
    path::Path as FilePath,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

/// How long a lock of another process is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// After how many steps of SQLite's machine the clock is looked at.
const STEPS: i32 = 100_000;

/// How a database is opened, again and again.
#[derive(Clone)]
pub(crate) struct Name {
    path: String,
    memory: bool,
}

impl Name {
    /// One in memory is a file of SQLite's own, which every connection of this process can open.
    pub(crate) fn of(file: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        match file {
            ":memory:" => Self { path: format!("/hullo-{}", NEXT.fetch_add(1, Relaxed)), memory: true },
            file => Self { path: file.to_owned(), memory: false },
        }
    }

    /// The connection that writes. It makes the file where there is none.
    pub(crate) fn create(&self) -> rusqlite::Result<Connection> {
        self.open(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)
    }

    fn open(&self, flags: OpenFlags) -> rusqlite::Result<Connection> {
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = if self.memory {
            Connection::open_with_flags_and_vfs(&self.path, flags, c"memdb")?
        } else {
            Connection::open_with_flags(FilePath::new(&self.path), flags)?
        };
        connection.busy_timeout(PATIENCE)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    }
}

/// Connections that read. There are no more of them than threads that do.
pub(crate) struct Readers {
    name: Name,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(crate) fn new(name: Name) -> Self {
        Self { name, idle: Mutex::default() }
    }

    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.name.open(OpenFlags::SQLITE_OPEN_READ_ONLY)?,
        };
        let done = work(&mut connection);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        done
    }

    /// Closes those that nobody uses, so that the one that writes is the last, and leaves one file behind.
    pub(crate) fn close(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Does work that ends with an error when it takes too long: it may have to look at everything that there is.
pub(crate) fn in_time<T>(
    connection: &mut Connection,
    most: Duration,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let begun = Instant::now();
    connection.progress_handler(STEPS, Some(move || begun.elapsed() > most))?;
    let done = work(connection);
    connection.progress_handler(0, None::<fn() -> bool>)?;
    done
}

/// Makes a file ready, or refuses one that is somebody else's. `ours` marks it, as SQLite's `application_id` is for, and
/// `user_version` says how many of the steps it has.
pub(crate) fn prepare(connection: &Connection, ours: i32, steps: &[&str]) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // With less a commit could be lost with the machine's power.
    connection.pragma_update(None, "synchronous", "FULL")?;
    let begun = rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let whole = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let (owner, version) = (whole("application_id")?, whole("user_version")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    if (tables > 0 && owner != ours) || done > steps.len() {
        let why = if owner == ours { "it was made by a newer hullo" } else { "it is the file of another program" };
        return Err(rusqlite::Error::ToSqlConversionFailure(why.into()));
    }
    for step in &steps[done..] {
        connection.execute_batch(step)?;
    }
    connection.pragma_update(None, "application_id", ours)?;
    connection.pragma_update(None, "user_version", i64::try_from(steps.len()).unwrap_or_default())?;
    begun.commit()
}

/// Why a file could not be opened, in words that do not say its name once more.
pub(crate) fn why(error: &rusqlite::Error, file: &str) -> String {
    error.to_string().trim_end_matches(&format!(": {file}")).to_owned()
}
