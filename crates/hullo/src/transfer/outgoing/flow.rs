//! Content that can be read only once, as our stdin, and must survive a connection all the same.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    fmt,
    io::{self, Read},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use super::{
    super::{
        Step, now,
        words::{self, CHUNK, HEAD, Time},
    },
    Sender,
};
use crate::error::Result;

/// How much of what was read is kept. More than that is never between us and a receiver: in our chunks, in theirs, and
/// in what the two systems hold of a connection.
const KEPT: usize = 16 << 20;

/// How much is read at once, and how many such pieces wait to be sent.
const PIECE: usize = 128 << 10;
const WAITING: usize = 4;

/// How long the next piece is waited for before we look at the connection again.
const LOOK: Duration = Duration::from_millis(100);

/// Something that flows by once. It is sent as a file of that name, to one receiver.
#[derive(Clone)]
pub struct Flow(Arc<Inner>);

struct Inner {
    name: OsString,
    began: Time,
    tail: Mutex<Tail>,
}

/// What was read, and the end of it.
struct Tail {
    /// What another thread reads; an empty piece is the end.
    pieces: Receiver<io::Result<Vec<u8>>>,
    kept: VecDeque<u8>,
    read: u64,
    hasher: blake3::Hasher,
    ended: bool,
}

impl Flow {
    /// What that reader gives, until it ends.
    pub fn new(name: impl Into<OsString>, reader: impl Read + Send + 'static) -> Self {
        let (pieces, arrivals) = sync_channel(WAITING);
        let late = pieces.clone();
        if let Err(error) = thread::Builder::new().name("flow".to_owned()).spawn(move || read(reader, &pieces)) {
            // There is room for it, and who waits is told.
            let _ = late.send(Err(error));
        }
        let tail =
            Tail { pieces: arrivals, kept: VecDeque::new(), read: 0, hasher: blake3::Hasher::new(), ended: false };
        Self(Arc::new(Inner { name: name.into(), began: now(), tail: Mutex::new(tail) }))
    }

    pub(in super::super) fn name(&self) -> &OsStr {
        &self.0.name
    }

    /// When it began, by which the receiver knows it again.
    pub(super) fn began(&self) -> Time {
        self.0.began
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.0.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Flow").field(&self.0.name).finish()
    }
}

/// Reads until the end, or until nobody wants more. What pauses must not hold up who looks at the connection.
fn read(mut reader: impl Read, pieces: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut piece = vec![0; PIECE];
        let read = match reader.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read,
        };
        let more = matches!(read, Ok(1..));
        let piece = read.map(|length| {
            piece.truncate(length);
            piece
        });
        if pieces.send(piece).is_err() || !more {
            return;
        }
    }
}

impl Tail {
    /// The next piece, if one comes soon; an empty one is the end.
    fn more(&mut self) -> io::Result<Option<Vec<u8>>> {
        let piece = match self.pieces.recv_timeout(LOOK) {
            Ok(piece) => piece?,
            Err(RecvTimeoutError::Timeout) => return Ok(None),
            Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("it cannot be read any more")),
        };
        self.hasher.update(&piece);
        self.read += piece.len() as u64;
        self.kept.extend(&piece);
        self.kept.drain(..self.kept.len().saturating_sub(KEPT));
        self.ended = piece.is_empty();
        Ok(Some(piece))
    }
}

impl Sender {
    /// Sends what flows, from the place on to which the receiver has it.
    pub(super) fn flow(&mut self, id: u64, flow: &Flow, from: u64) -> Result<()> {
        let path = PathBuf::from(flow.name());
        let mut tail = flow.tail();
        let behind = tail.read.checked_sub(from).and_then(|behind| usize::try_from(behind).ok());
        let Some(behind) = behind.filter(|behind| *behind <= tail.kept.len()) else {
            self.begin(id, path, None, 0)?;
            return self.spoilt(id, &io::Error::other("what was read from it before is gone"));
        };
        self.begin(id, path, None, from)?;
        let again: Vec<u8> = tail.kept.range(tail.kept.len() - behind..).copied().collect();
        for piece in again.chunks(PIECE) {
            self.put(piece)?;
        }
        while !tail.ended {
            self.listen()?;
            if !self.unsettled.contains_key(&id) {
                return self.spoilt(id, &io::Error::other("the other end cannot keep it"));
            }
            match tail.more() {
                Ok(Some(piece)) => self.put(&piece)?,
                Ok(None) => {}
                Err(error) => return self.spoilt(id, &error),
            }
        }
        self.whole(id, tail.read - from, &tail.hasher)
    }

    /// Sends a piece, at once: it may be long until the next.
    fn put(&mut self, piece: &[u8]) -> Result<()> {
        if piece.is_empty() {
            return Ok(());
        }
        if self.chunk.len() + HEAD + piece.len() > CHUNK {
            self.flush()?;
        }
        let start = self.chunk.len();
        self.chunk.extend_from_slice(&[0; HEAD]);
        self.chunk.extend_from_slice(piece);
        words::content(&mut self.chunk, start);
        (self.tell)(Step::Moved(piece.len() as u64));
        self.flush()
    }
}
