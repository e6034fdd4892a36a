//! Keeping what came: files that are whole are written, made durable and named by other threads, many at a time.

use std::{io, os::unix::fs::FileExt, path::PathBuf, sync::Arc, time::SystemTime};

use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};

use super::{
    Existing, Outcome,
    carry::{Event, Port},
    incoming::TAKEN,
    words::Hash,
};
use crate::{
    folder::{Folder, Part},
    name::Name,
};

/// What one thread does at a time: so many jobs, or so many bytes.
const JOBS: usize = 32;
const BYTES: usize = 1 << 20;

/// The batches that may wait for a thread, or have one.
const BATCHES: usize = 8;

/// Something to be kept.
pub(super) enum Job {
    /// A file whose content has come.
    File {
        id: u64,
        parent: u64,
        key: u64,
        /// The bytes that travelled.
        bytes: u64,
        folder: Folder,
        path: PathBuf,
        name: Name,
        mode: u32,
        modified: SystemTime,
        hash: Hash,
        existing: Existing,
        content: Content,
    },
    /// A folder in which all is settled; its mode is left alone where it is not ours.
    Folder { folder: Folder, mode: Option<u32>, modified: SystemTime, path: PathBuf },
}

/// Where the content is.
pub(super) enum Content {
    /// Here; its hash has not been looked at.
    Memory(Vec<u8>),
    /// In the part, and it is right.
    Part(Part),
}

/// What came of it.
pub(super) enum Kept {
    File { id: u64, parent: u64, key: u64, path: PathBuf, outcome: io::Result<Outcome> },
    Folder { path: PathBuf, result: io::Result<()> },
}

/// Who hands out the jobs.
pub(super) struct Keeper {
    batch: Vec<Job>,
    bytes: usize,
    /// The jobs that have been handed out, and those that have not.
    busy: usize,
    durable: bool,
    places: Arc<Semaphore>,
    own: mpsc::WeakUnboundedSender<Event<Vec<Kept>>>,
}

impl Keeper {
    pub(super) fn new(durable: bool, port: &Port<Vec<Kept>>) -> Self {
        let places = Arc::new(Semaphore::new(BATCHES));
        Self { batch: Vec::new(), bytes: 0, busy: 0, durable, places, own: port.own() }
    }

    /// Whether everything has been kept.
    pub(super) fn is_idle(&self) -> bool {
        self.busy == 0
    }

    /// Waits for those that have a job: whoever comes next must not meet them at the same files.
    pub(super) fn rest(&self) {
        // It is never closed.
        let _ = Handle::current().block_on(self.places.acquire_many(BATCHES as u32));
    }

    /// So many jobs are done.
    pub(super) fn done(&mut self, jobs: usize) {
        self.busy = self.busy.saturating_sub(jobs);
    }

    pub(super) fn add(&mut self, job: Job) {
        if let Job::File { content: Content::Memory(bytes), .. } = &job {
            self.bytes += bytes.len();
        }
        self.busy += 1;
        self.batch.push(job);
        if self.batch.len() >= JOBS || self.bytes >= BYTES {
            self.hurry();
        }
    }

    /// Hands out what there is, once there is a place for it.
    pub(super) fn hurry(&mut self) {
        let (Some(own), false) = (self.own.upgrade(), self.batch.is_empty()) else { return };
        let (batch, durable) = (std::mem::take(&mut self.batch), self.durable);
        self.bytes = 0;
        let here = Handle::current();
        // It is never closed.
        let Ok(place) = here.block_on(self.places.clone().acquire_owned()) else { return };
        here.spawn_blocking(move || keep(batch, durable, &own, place));
    }
}

/// Keeps a batch. What is to be durable is written first and waited for then, so that the disk has all of it to do at once.
fn keep(batch: Vec<Job>, durable: bool, own: &mpsc::UnboundedSender<Event<Vec<Kept>>>, place: OwnedSemaphorePermit) {
    let written: Vec<_> = batch.into_iter().map(Written::of).collect();
    let kept = written.into_iter().map(|one| one.settle(durable)).collect();
    // Nobody may wait for it any more.
    let _ = own.send(Event::Own(kept));
    drop(place);
}

/// A job half done.
enum Written {
    File {
        id: u64,
        parent: u64,
        key: u64,
        path: PathBuf,
        name: Name,
        existing: Existing,
        part: io::Result<Option<Part>>,
        done: Outcome,
    },
    Folder {
        folder: Folder,
        path: PathBuf,
        result: io::Result<()>,
    },
}

impl Written {
    fn of(job: Job) -> Self {
        match job {
            Job::Folder { folder, mode, modified, path } => {
                let result = folder.dress(mode, modified);
                Self::Folder { folder, path, result }
            }
            Job::File { id, parent, key, bytes, folder, path, name, mode, modified, hash, existing, content } => {
                let part = match content {
                    Content::Part(part) => Ok(Some(part)),
                    Content::Memory(bytes) if blake3::hash(&bytes) == hash => {
                        write(&folder, &name, &bytes, existing).map(Some)
                    }
                    Content::Memory(_) => Ok(None),
                };
                let dressed = part.and_then(|part| {
                    if let Some(part) = &part {
                        part.dress(mode, modified)?;
                    }
                    Ok(part)
                });
                Self::File { id, parent, key, path, name, existing, part: dressed, done: Outcome::Done { bytes, hash } }
            }
        }
    }

    fn settle(self, durable: bool) -> Kept {
        match self {
            Self::Folder { folder, path, result } => {
                Kept::Folder { path, result: if durable { result.and_then(|()| folder.sync()) } else { result } }
            }
            Self::File { id, parent, key, path, name, existing, part, done } => {
                let outcome = part.and_then(|part| match part {
                    Some(part) => {
                        if durable {
                            part.file().sync_all()?;
                        }
                        named(part, &name, existing, done)
                    }
                    None => Ok(Outcome::Failed("what came is not what was sent".to_owned())),
                });
                Kept::File { id, parent, key, path, outcome }
            }
        }
    }
}

fn write(folder: &Folder, name: &Name, bytes: &[u8], existing: Existing) -> io::Result<Part> {
    // What takes another's place needs a name before that.
    let nameless = if existing == Existing::Replace { None } else { folder.begin_nameless()? };
    let part = match nameless {
        Some(part) => part,
        None => {
            let part = folder.begin(name)?;
            part.file().set_len(0)?;
            part
        }
    };
    part.file().write_all_at(bytes, 0)?;
    Ok(part)
}

/// Gives the file its name.
fn named(part: Part, name: &Name, existing: Existing, done: Outcome) -> io::Result<Outcome> {
    match part.name(name, existing == Existing::Replace) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => return other.map(|()| done),
    }
    if existing == Existing::KeepBoth {
        for n in 2..10_000 {
            match part.name(&name.beside(n), false) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => return other.map(|()| done),
            }
        }
    }
    part.discard()?;
    Ok(if existing == Existing::Skip { Outcome::Skipped } else { Outcome::Failed(TAKEN.to_owned()) })
}
