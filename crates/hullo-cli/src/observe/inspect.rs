//! `hullo relay :9000 db:5432 --inspect`: what is relayed, read out while it passes by.
//!
//! Whoever relays does not wait for whoever reads. What is seen goes through a bounded queue to one thread that writes;
//! what finds no room is left out, and it is said how much that was.

use std::{
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, SystemTime},
};

use hullo::{
    Error, Result,
    traffic::{Flow, Seen, Tap},
};
use tokio::sync::watch;

use crate::{
    verb::STDOUT,
    view::relay::{
        heard::Heard,
        page::{Page, View},
    },
};

/// How many bytes may wait to be read out, and how much of other things.
const BYTES: usize = 16 << 20;
const PIECES: usize = 1 << 14;
const EVENTS: usize = 1 << 16;

/// How much is written at once.
const BATCH: usize = 64 << 10;

/// How long the end waits for a reader who reads nothing.
const LAST: Duration = Duration::from_secs(1);

/// Reads out what is relayed. It is one of the taps of a [`Traffic`](hullo::traffic::Traffic);
/// [`finish`](Inspector::finish) is to be called when nothing is relayed any more.
pub(crate) struct Inspector {
    said: Sender<Said>,
    queue: Arc<Queue>,
    /// How much of a piece is kept.
    most: usize,
    done: Mutex<Receiver<()>>,
    failed: watch::Receiver<Option<Arc<io::Error>>>,
}

enum Said {
    Heard(Heard),
    Last,
}

/// What is between those who relay and the one who reads out.
#[derive(Default)]
struct Queue {
    notes: AtomicUsize,
    bytes: AtomicUsize,
    /// Beginnings and ends that found no room. Of pieces that found none the next one's place tells.
    lost: AtomicU64,
    closed: AtomicBool,
}

impl Inspector {
    /// Reads out to `to`: up to `max` bytes of each piece, in that view, as the page writes it.
    ///
    /// # Errors
    /// There can be no thread for it.
    pub(crate) fn new(view: View, max: usize, page: Page, to: impl Write + Send + 'static) -> Result<Arc<Self>> {
        let (said, to_read) = channel();
        let (end, done) = channel();
        let (fail, failed) = watch::channel(None);
        let queue = Arc::<Queue>::default();
        let reader = queue.clone();
        let read = move || {
            if let Err(error) = read_out(&to_read, &reader, page, to) {
                fail.send_replace(Some(Arc::new(error)));
            }
            reader.closed.store(true, Relaxed);
            // Nobody may wait for it.
            let _ = end.send(());
        };
        let thread = thread::Builder::new().name("inspector".to_owned()).spawn(read);
        thread.map_err(|error| Error::io("cannot start a thread that shows what is relayed", error))?;
        // Of what is only shown nobody needs more than is shown.
        let most = if view.needs_all() { usize::MAX } else { max };
        Ok(Arc::new(Self { said, queue, most, done: Mutex::new(done), failed }))
    }

    /// Waits until nobody reads what is written. Cancel-safe.
    pub(crate) async fn unread(&self) -> Error {
        let mut failed = self.failed.clone();
        let error = match failed.wait_for(Option::is_some).await {
            Ok(error) => error.as_ref().map_or(io::ErrorKind::Other, |error| error.kind()),
            // The thread has ended as it should.
            Err(_) => std::future::pending().await,
        };
        Error::io(STDOUT, error.into())
    }

    /// Waits until all is written, as long as somebody reads. Whether all of it was.
    pub(crate) fn finish(&self) -> bool {
        if self.said.send(Said::Last).is_err() {
            return false;
        }
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let waiting = self.queue.notes.load(Relaxed);
            match done.recv_timeout(LAST) {
                Ok(()) => return self.failed.borrow().is_none(),
                Err(RecvTimeoutError::Timeout) if self.queue.notes.load(Relaxed) < waiting => {}
                Err(_) => return false,
            }
        }
    }
}

impl Tap for Inspector {
    fn see(&self, flow: &Flow, what: Seen<'_>) {
        if !self.queue.has_room(&what) {
            return;
        }
        let heard = Heard::of(flow, what, self.most);
        self.queue.notes.fetch_add(1, Relaxed);
        self.queue.bytes.fetch_add(heard.weight(), Relaxed);
        // The thread has gone when nobody reads.
        let _ = self.said.send(Said::Heard(heard));
    }
}

impl Queue {
    /// Whether something may wait to be read out; if not, it will be said.
    fn has_room(&self, what: &Seen<'_>) -> bool {
        let notes = self.notes.load(Relaxed);
        if self.closed.load(Relaxed) {
            return false;
        }
        if matches!(what, Seen::Piece { .. }) {
            return notes < PIECES && self.bytes.load(Relaxed) < BYTES;
        }
        let has_room = notes < EVENTS;
        if !has_room {
            self.lost.fetch_add(1, Relaxed);
        }
        has_room
    }

    fn took(&self, heard: &Heard) {
        self.notes.fetch_sub(1, Relaxed);
        self.bytes.fetch_sub(heard.weight(), Relaxed);
    }
}

/// Writes what there is to read, as soon as nothing more waits.
fn read_out(said: &Receiver<Said>, queue: &Queue, mut page: Page, mut to: impl Write) -> io::Result<()> {
    let mut text = String::new();
    loop {
        let next = match said.try_recv() {
            Ok(next) => Some(next),
            Err(_) => {
                write(&mut text, &mut to)?;
                match wait(said, &page) {
                    Ok(next) => next,
                    Err(_) => return Ok(()),
                }
            }
        };
        match next {
            Some(Said::Heard(heard)) => {
                queue.took(&heard);
                let now = heard.when;
                page.take(heard, &mut text);
                page.wait(now, &mut text);
            }
            Some(Said::Last) => {
                say_lost(queue, &page, &mut text);
                return write(&mut text, &mut to);
            }
            None => page.wait(SystemTime::now(), &mut text),
        }
        say_lost(queue, &page, &mut text);
        if text.len() > BATCH {
            write(&mut text, &mut to)?;
        }
    }
}

/// Waits for what is said next; nothing is said for a while where something is held that is to be shown then.
fn wait(said: &Receiver<Said>, page: &Page) -> Result<Option<Said>, RecvTimeoutError> {
    if !page.waits() {
        return said.recv().map(Some).map_err(|_| RecvTimeoutError::Disconnected);
    }
    match said.recv_timeout(Page::PATIENCE / 4) {
        Ok(next) => Ok(Some(next)),
        Err(RecvTimeoutError::Timeout) => Ok(None),
        Err(gone) => Err(gone),
    }
}

fn say_lost(queue: &Queue, page: &Page, text: &mut String) {
    let lost = queue.lost.swap(0, Relaxed);
    if lost > 0 {
        page.lost(lost, text);
    }
}

fn write(text: &mut String, to: &mut impl Write) -> io::Result<()> {
    if !text.is_empty() {
        to.write_all(text.as_bytes())?;
        to.flush()?;
        text.clear();
    }
    Ok(())
}
