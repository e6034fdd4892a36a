//! What was said, in a file of SQLite: one thread writes, and many read.
//!
//! Entries are told to the members of a room at once, and handed to the writer, which makes all that waits durable by one
//! commit. The places of its queue are given out beforehand, so that nobody waits for the disk under a room's lock.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    task::spawn_blocking,
};

use self::writer::Writer;
use super::{Keep, Opened, Position, Write};
use crate::{
    chat::Entry,
    error::{Error, Kind, Result},
    service::sqlite::{self, Name, Readers, in_time},
};

mod group;
mod reading;
mod table;
#[cfg(test)]
mod tests;
mod trim;
mod writer;

/// Entries that may wait for the writer.
const QUEUE: usize = 8192;

/// Reads that are made at the same time, and searches, which may take long.
const READS: usize = 4;
const SEARCHES: usize = 2;

/// How long a read may take.
const LONG: Duration = Duration::from_secs(10);

/// A place in the writer's queue. It is for one entry, and one id.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

/// What the writer is asked for.
enum Job {
    Write(Place, Write),
    Sent(Vec<Arc<str>>),
    Register {
        key: String,
        shown: String,
        hash: String,
        tell: oneshot::Sender<Result<bool>>,
    },
    /// Says when all before it is done.
    CatchUp(oneshot::Sender<()>),
}

/// What was said, in one file, or in memory.
pub(crate) struct History {
    readers: Arc<Readers>,
    reads: Arc<Semaphore>,
    searches: Arc<Semaphore>,
    places: Arc<Semaphore>,
    ids: Arc<Ids>,
    queue: Option<mpsc::Sender<Job>>,
    writer: Option<thread::JoinHandle<()>>,
}

impl History {
    /// Opens the file, which is made where there is none; `:memory:` is gone with this process.
    pub(crate) fn open(file: &str, keep: Keep) -> Result<Opened> {
        let name = Name::of(file);
        let wrong = |error: rusqlite::Error| {
            let about = format!("cannot keep the history of a chat in {file}");
            Error::new(Kind::File, about).because(sqlite::why(&error, file))
        };
        let connection = name.create().map_err(|error| {
            wrong(error).hint("--db FILE names another file, and --db :memory: keeps nothing when this ends")
        })?;
        let begun = writer::prepare(&connection).map_err(wrong)?;
        let ids = Arc::new(Ids::new(&begun));
        let writer = Writer::new(connection, keep, ids.clone()).map_err(wrong)?;
        let (queue, jobs) = mpsc::channel();
        let writer = thread::Builder::new().name("chat writer".to_owned()).spawn(move || writer.run(&jobs));
        let writer = writer.map_err(|error| Error::io("cannot start a thread that writes", error))?;
        let history = Self {
            readers: Arc::new(Readers::new(name)),
            reads: Arc::new(Semaphore::new(READS)),
            searches: Arc::new(Semaphore::new(SEARCHES)),
            places: Arc::new(Semaphore::new(QUEUE)),
            ids,
            queue: Some(queue),
            writer: Some(writer),
        };
        Ok(Opened { history, log: begun.log, next: begun.next, rooms: begun.rooms, position: begun.position })
    }

    /// Waits for a place in the queue.
    ///
    /// # Errors
    /// The disk has been full for so long that no id is left that is surely not used again after a crash.
    pub(crate) async fn place(&self) -> Result<Place> {
        let permit = self.places.clone().acquire_owned().await;
        let permit = permit.map_err(|error| about_writing("its queue is closed").because(error))?;
        match self.ids.are_left() {
            true => Ok(Place { _permit: permit }),
            false => Err(about_writing("the disk has taken nothing for too long").hint("make room on the disk")),
        }
    }

    /// A place in the queue, if there is one now.
    #[cfg(test)]
    fn try_place(&self) -> Option<Place> {
        let permit = self.places.clone().try_acquire_owned().ok().filter(|_| self.ids.are_left())?;
        Some(Place { _permit: permit })
    }

    /// Hands an entry to the writer. It never waits.
    pub(crate) fn append(&self, place: Place, write: Write) {
        self.ids.append(write.entry.id);
        if let Err(Job::Write(_, write)) = self.queue(Job::Write(place, write)) {
            self.ids.written([write.entry.id]);
            if let Some(kept) = write.kept {
                kept(Err(gone()));
            }
        }
    }

    /// The bus has these entries now.
    pub(crate) fn sent(&self, uids: Vec<Arc<str>>) {
        // Without a writer nothing is kept, and this neither: the bus gets them once more, and passes over them.
        let _ = self.queue(Job::Sent(uids));
    }

    /// Every entry appended so far with an id up to this can be read, if it could be written.
    pub(crate) fn written(&self) -> u64 {
        let pending = self.ids.pending();
        pending.ids.first().map_or(pending.last, |first| first.saturating_sub(1))
    }

    /// Makes a name an account, and says whether it was free.
    pub(crate) async fn register(&self, key: &str, shown: &str, hash: &str) -> Result<bool> {
        let (tell, told) = oneshot::channel();
        let (key, shown, hash) = (key.to_owned(), shown.to_owned(), hash.to_owned());
        self.queue(Job::Register { key, shown, hash, tell }).map_err(|_| gone())?;
        told.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Waits until all that was appended so far can be read, if it could be written.
    async fn catch_up(&self) -> Result<()> {
        if self.ids.pending().ids.is_empty() {
            return Ok(());
        }
        let (tell, told) = oneshot::channel();
        self.queue(Job::CatchUp(tell)).map_err(|_| gone())?;
        told.await.map_err(|_| gone())
    }

    fn queue(&self, job: Job) -> Result<(), Job> {
        match &self.queue {
            Some(queue) => queue.send(job).map_err(|error| error.0),
            None => Err(job),
        }
    }

    /// The newest messages of a room that have a smaller id, oldest first, as they read now.
    pub(crate) async fn before(&self, room: &str, before: Option<u64>, limit: usize) -> Result<Vec<Entry>> {
        let room = room.to_owned();
        self.read(&self.reads, move |connection| reading::before(connection, &room, before, limit)).await
    }

    /// The oldest entries of a room that have a greater id, oldest first, as they read now. Of the edits of a message only
    /// the last is among them, which says all.
    pub(crate) async fn after(&self, room: &str, after: u64, limit: usize) -> Result<Vec<Entry>> {
        let room = room.to_owned();
        self.read(&self.reads, move |connection| reading::after(connection, &room, after, limit)).await
    }

    /// Whether all entries of a room with a greater id are kept still.
    pub(crate) async fn reaches(&self, room: &str, after: u64) -> Result<bool> {
        let room = room.to_owned();
        self.read(&self.reads, move |connection| reading::reaches(connection, &room, after)).await
    }

    /// The newest messages of a room with all of these words, as [`History::before`]. A word that ends in `*` is a
    /// beginning; without a word there are none. All that was appended before is searched.
    pub(crate) async fn search(
        &self,
        room: &str,
        words: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Entry>> {
        let Some(wanted) = reading::wanted(words) else { return Ok(Vec::new()) };
        self.catch_up().await?;
        let room = room.to_owned();
        let work = move |connection: &Connection| reading::search(connection, &room, &wanted, before, limit);
        self.read(&self.searches, work).await
    }

    /// The entry of that uid.
    pub(crate) async fn find(&self, uid: &str) -> Result<Option<Entry>> {
        let uid = uid.to_owned();
        self.read(&self.reads, move |connection| reading::find(connection, &uid)).await
    }

    /// The private rooms of an account, those where something happened last first, up to 100.
    pub(crate) async fn private(&self, account: &str) -> Result<Vec<String>> {
        let account = account.to_owned();
        self.read(&self.reads, move |connection| reading::private(connection, &account)).await
    }

    /// The oldest entries with a greater id that the bus does not have.
    pub(crate) async fn unsent(&self, after: u64, limit: usize) -> Result<Vec<Entry>> {
        self.read(&self.reads, move |connection| reading::unsent(connection, after, limit)).await
    }

    /// How the account of that key is written, and the hash of its password.
    pub(crate) async fn account(&self, key: &str) -> Result<Option<(String, String)>> {
        let key = key.to_owned();
        self.read(&self.reads, move |connection| reading::account(connection, &key)).await
    }

    /// Whether there is an account of that key. For the start, when nobody waits for this thread.
    pub(crate) fn has_account(&self, key: &str) -> bool {
        self.readers.with(|connection| reading::account(connection, key)).is_ok_and(|account| account.is_some())
    }

    /// Reads on a thread for that, one of few, since a disk may be slow.
    async fn read<T: Send + 'static>(
        &self,
        places: &Arc<Semaphore>,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let about = || Error::new(Kind::File, "cannot read the history");
        let place = places.clone().acquire_owned().await.map_err(|error| about().because(error))?;
        let readers = self.readers.clone();
        let reading = spawn_blocking(move || {
            // It goes on when nobody waits for it any more, and counts until then.
            let _place = place;
            readers.with(|connection| in_time(connection, LONG, work))
        });
        let read = reading.await.map_err(|error| about().because(error))?;
        read.map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => {
                Error::new(Kind::Timeout, format!("the history was read for {LONG:?} without an end"))
                    .hint("ask for fewer or longer words")
            }
            _ => about().because(error),
        })
    }
}

impl Drop for History {
    /// Waits for the writer, which makes what is queued durable, and leaves one file behind.
    fn drop(&mut self) {
        self.queue = None;
        self.readers.close();
        if let Some(writer) = self.writer.take() {
            // A writer that has panicked has told nobody; there is nobody here to tell either.
            let _ = writer.join();
        }
    }
}

/// Which ids were given, and how far that may go.
struct Ids {
    /// All smaller ones may be given: that is on the disk.
    reserved: AtomicU64,
    pending: Mutex<Pending>,
}

#[derive(Default)]
struct Pending {
    /// What the writer has not written yet.
    ids: BTreeSet<u64>,
    /// The greatest id so far.
    last: u64,
}

impl Ids {
    fn new(begun: &writer::Begun) -> Self {
        let pending = Pending { last: begun.next.saturating_sub(1), ..Pending::default() };
        Self { reserved: AtomicU64::new(begun.reserved), pending: Mutex::new(pending) }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, id: u64) {
        let mut pending = self.pending();
        pending.ids.insert(id);
        pending.last = pending.last.max(id);
    }

    fn written(&self, ids: impl IntoIterator<Item = u64>) {
        let mut pending = self.pending();
        for id in ids {
            pending.ids.remove(&id);
        }
    }

    /// The first id that nobody has been given, as far as the writer knows.
    fn next(&self) -> u64 {
        self.pending().last + 1
    }

    fn reserved(&self) -> u64 {
        self.reserved.load(Relaxed)
    }

    /// Up to that id, if there is one, it is on the disk.
    fn reserve(&self, until: Option<u64>) {
        if let Some(until) = until {
            self.reserved.store(until, Relaxed);
        }
    }

    /// Whether all who have a place now can be given an id that is reserved.
    fn are_left(&self) -> bool {
        self.next() + QUEUE as u64 <= self.reserved()
    }
}

fn gone() -> Error {
    about_writing("its writer has ended")
}

fn about_writing(why: &'static str) -> Error {
    Error::new(Kind::File, "cannot keep what is said").because(why)
}
