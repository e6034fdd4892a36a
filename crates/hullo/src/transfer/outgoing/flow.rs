//! Content that can be read only once, as our stdin, and must survive a connection all the same.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    fmt,
    io::{self, Read},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
    reader: Box<dyn Read + Send>,
    kept: VecDeque<u8>,
    read: u64,
    hasher: blake3::Hasher,
    ended: bool,
}

impl Flow {
    /// What that reader gives, until it ends.
    pub fn new(name: impl Into<OsString>, reader: impl Read + Send + 'static) -> Self {
        let tail = Tail {
            reader: Box::new(reader),
            kept: VecDeque::new(),
            read: 0,
            hasher: blake3::Hasher::new(),
            ended: false,
        };
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

impl Tail {
    /// Reads more, to the end of a buffer that has room.
    fn more(&mut self, buffer: &mut Vec<u8>, most: usize) -> io::Result<usize> {
        let start = buffer.len();
        buffer.resize(start + most, 0);
        let read = loop {
            match self.reader.read(&mut buffer[start..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        buffer.truncate(start + *read.as_ref().unwrap_or(&0));
        let new = &buffer[start..];
        self.hasher.update(new);
        self.read += new.len() as u64;
        self.kept.extend(new);
        self.kept.drain(..self.kept.len().saturating_sub(KEPT));
        self.ended |= matches!(read, Ok(0));
        read
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
        for piece in again.chunks(CHUNK / 2) {
            self.flush()?;
            self.put(piece)?;
        }
        while !tail.ended {
            // It may pause for long: what is there leaves first.
            self.flush()?;
            self.listen()?;
            let (start, room) = self.room()?;
            self.chunk.extend_from_slice(&[0; HEAD]);
            match tail.more(&mut self.chunk, room) {
                Ok(1..) => {
                    words::content(&mut self.chunk, start);
                    (self.tell)(Step::Moved((self.chunk.len() - start - HEAD) as u64));
                }
                Ok(0) => self.chunk.truncate(start),
                Err(error) => {
                    self.chunk.truncate(start);
                    return self.spoilt(id, &error);
                }
            }
        }
        self.whole(id, tail.read - from, &tail.hasher)
    }

    fn put(&mut self, piece: &[u8]) -> Result<()> {
        let start = self.chunk.len();
        self.chunk.extend_from_slice(&[0; HEAD]);
        self.chunk.extend_from_slice(piece);
        words::content(&mut self.chunk, start);
        (self.tell)(Step::Moved(piece.len() as u64));
        self.flush()
    }
}
