//! Where items are kept: what `rest` asks of a database.
//!
//! Every change has a number, the revision, which only grows: an item has that of its last change, a removal leaves its
//! own behind. So the changes after a number are a look into an index, and nothing is kept twice for whoever follows them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{mpsc, oneshot, watch};

use super::{
    edit::{Edit, Outcome},
    item::Item,
    problem::{Answer, Problem},
    query::{Cursor, Listing},
};
use crate::{
    error::{Error, Result},
    scope::BoxFuture,
};

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod plan;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod select;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

/// How many removals are remembered, at least, for those who follow the changes.
pub(crate) const REMEMBERED: i64 = 1_000_000;

/// Writes that may wait. With more there is no point in waiting: they are told to come back.
pub(crate) const QUEUE: usize = 8192;

/// The most writes that are made durable together.
pub(crate) const GROUP: usize = 1024;

/// The most bytes of items that are read at once: a page with as many ends there, whatever its limit.
const ROOM: usize = 4 << 20;

/// The most collections that are listed.
const COLLECTIONS: i64 = 10_000;

/// How much may be read still.
struct Room(usize);

impl Room {
    fn new() -> Self {
        Self(ROOM)
    }

    /// Whether there is room for more once this has been read too.
    fn after(&mut self, body: &str) -> bool {
        self.0 = self.0.saturating_sub(body.len());
        self.0 > 0
    }
}

/// A database of items.
pub(crate) trait Store: Send + Sync + 'static {
    fn item<'a>(&'a self, collection: &'a str, id: &'a str) -> BoxFuture<'a, Answer<Option<Item>>>;

    fn list(&self, listing: Listing) -> BoxFuture<'_, Answer<Page>>;

    /// The collections that have items, by name, with how many; the first of them where there are very many.
    fn collections(&self) -> BoxFuture<'_, Answer<Vec<(String, i64)>>>;

    /// The number of the last change to a collection; 0 where there was none.
    fn revision<'a>(&'a self, collection: &'a str) -> BoxFuture<'a, Answer<i64>>;

    /// Changes of a collection after that number, at most so many, and each item's last one alone.
    fn changes<'a>(&'a self, collection: &'a str, after: i64, most: usize) -> BoxFuture<'a, Answer<Changes>>;

    /// Makes all of these changes, or none. What it answers is durable.
    fn edit(&self, edits: Vec<Edit>) -> BoxFuture<'_, Answer<Vec<Outcome>>>;

    /// Who waits for changes.
    fn hub(&self) -> &Hub;
}

/// The database of that name, and where that is, in words for a person.
pub(crate) fn open(database: &str, password: Option<&str>) -> Result<(Arc<dyn Store>, String)> {
    match database.split_once("://") {
        Some(("postgres" | "postgresql", _)) => server(database, password),
        // What looks like a URL was not meant as a file.
        Some((scheme, _)) => {
            let about = format!("cannot keep items in {}://", crate::error::brief(scheme));
            Err(Error::usage(about).hint("--db takes a file, :memory: or postgres://user@host/name"))
        }
        None => file(database),
    }
}

#[cfg(feature = "postgres")]
fn server(url: &str, password: Option<&str>) -> Result<(Arc<dyn Store>, String)> {
    postgres::open(url, password)
}

#[cfg(not(feature = "postgres"))]
fn server(_: &str, _: Option<&str>) -> Result<(Arc<dyn Store>, String)> {
    Err(Error::usage("cannot keep items in PostgreSQL: this was built without it"))
}

#[cfg(feature = "sqlite")]
fn file(name: &str) -> Result<(Arc<dyn Store>, String)> {
    let store = Arc::new(sqlite::Sqlite::open(name)?);
    let place = match name {
        ":memory:" => "memory, and gone when this ends".to_owned(),
        name => std::fs::canonicalize(name).map_or_else(|_| name.to_owned(), |path| path.display().to_string()),
    };
    Ok((store, place))
}

#[cfg(not(feature = "sqlite"))]
fn file(_: &str) -> Result<(Arc<dyn Store>, String)> {
    Err(Error::usage("cannot keep items in a file: this was built without SQLite"))
}

/// A part of a list.
#[derive(Default)]
pub(crate) struct Page {
    pub(crate) items: Vec<Item>,
    /// Where the next part begins, if there is one.
    pub(crate) next: Option<Cursor>,
    /// How many items there are in all, where that was asked for.
    pub(crate) count: Option<i64>,
}

/// What happened in a collection.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) changes: Vec<Change>,
    /// Whether removals after that number may have been forgotten: whoever follows must begin again.
    pub(crate) forgotten: bool,
}

/// One thing that happened: an item is like that now, or it is gone.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) revision: i64,
    pub(crate) id: String,
    pub(crate) body: Option<String>,
}

/// Whoever waits for changes of a collection is woken here.
#[derive(Default)]
pub(crate) struct Hub(Mutex<HashMap<String, watch::Sender<()>>>);

impl Hub {
    pub(crate) fn follow(&self, collection: &str) -> watch::Receiver<()> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, sender| sender.receiver_count() > 0);
        all.entry(collection.to_owned()).or_default().subscribe()
    }

    pub(crate) fn tell<'a>(&self, collections: impl IntoIterator<Item = &'a str>) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for collection in collections {
            if let Some(sender) = all.get(collection) {
                sender.send_replace(());
            }
        }
    }
}

/// Edits that are to be made together, and who waits for it.
pub(crate) struct Job {
    pub(crate) edits: Vec<Edit>,
    pub(crate) tell: oneshot::Sender<Answer<Vec<Outcome>>>,
}

/// Hands edits to a database's one writer, and waits until it has made them durable.
pub(crate) async fn queued(queue: &mpsc::Sender<Job>, edits: Vec<Edit>) -> Answer<Vec<Outcome>> {
    let (tell, told) = oneshot::channel();
    queue.try_send(Job { edits, tell }).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => {
            let status = http::StatusCode::SERVICE_UNAVAILABLE;
            Problem::later(status, format!("{QUEUE} writes wait already"))
        }
        mpsc::error::TrySendError::Closed(_) => Problem::of_store("its writer has ended"),
    })?;
    told.await.unwrap_or_else(|_| Err(Problem::of_store("its writer has ended")))
}

/// The next jobs of the queue, as many as are there, after `first`: what is made durable together.
fn group(first: Job, queue: &mut mpsc::Receiver<Job>) -> Vec<Job> {
    let mut jobs = vec![first];
    while let Some(job) = (jobs.len() < GROUP).then(|| queue.try_recv().ok()).flatten() {
        jobs.push(job);
    }
    jobs
}

/// Tells everybody of a group what became of their edits, and then those who follow the collections.
fn tell(jobs: Vec<Job>, answers: Vec<Answer<Vec<Outcome>>>, hub: &Hub) {
    let mut changed: Vec<String> = Vec::new();
    for (job, answer) in jobs.into_iter().zip(answers) {
        if answer.as_ref().is_ok_and(|outcomes| outcomes.iter().any(|outcome| outcome.changed)) {
            // The edits of one job are all in one collection.
            changed.extend(job.edits.into_iter().next().map(|edit| edit.collection));
        }
        // Whoever asked may have gone.
        let _ = job.tell.send(answer);
    }
    changed.sort_unstable();
    changed.dedup();
    hub.tell(changed.iter().map(String::as_str));
}
