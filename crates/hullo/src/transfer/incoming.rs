//! The receiver's work: says what it wants of what is announced, and keeps what comes.
//!
//! Nothing that the sender says is believed: names are checked, links are not followed, content is compared with its
//! hash before it gets its name.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::File,
    hash::{BuildHasher, RandomState},
    io,
    os::unix::{ffi::OsStrExt, fs::FileExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rustix::fs::{FileType, Stat};

use super::{
    Existing, Outcome, Step, Summary, Target, Tell,
    carry::{Event, Port},
    keep::{Job, Keeper, Kept},
    outgoing::{each, zeros},
    walk,
    words::{self, Answer, Frame, Hash, Time, Told, block, malformed},
};
use crate::{
    error::{Error, Kind, Result, brief},
    folder::{Folder, Part},
    name::Name,
};

/// Files up to that size are kept in memory until they are whole, and written by other threads.
const SMALL: u64 = 128 << 10;

/// The folders that a sender may have open: as deep as it may go, and what it announces ahead.
const FOLDERS: usize = 2048;

/// The files that may be announced and not settled.
const FILES: usize = 8192;

/// What this end has received in one session, over all its connections: it need not be compared again.
#[derive(Default)]
pub(super) struct Memory {
    hasher: RandomState,
    known: Mutex<std::collections::HashSet<u64>>,
}

impl Memory {
    fn knows(&self, key: u64) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(&key)
    }

    fn learn(&self, key: u64) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
    }
}

/// A folder that the sender announced.
struct Place {
    /// Nothing where it was refused: then all that is in it is.
    folder: Option<Folder>,
    /// Whether we made it, so that nothing of anybody else's is in it.
    fresh: bool,
    path: PathBuf,
    depth: usize,
    parent: u64,
    mode: u32,
    modified: Time,
    /// What is in it and not settled.
    open: usize,
    left: bool,
}

/// A file that the sender announced.
struct Announced {
    parent: u64,
    name: Name,
    mode: u32,
    modified: Time,
    size: Option<u64>,
    /// What an earlier attempt left.
    part: Option<Part>,
    asked: Asked,
}

/// What we said of it.
#[derive(Clone, Copy, PartialEq)]
enum Asked {
    Want { length: u64 },
    Compare { send: bool },
}

/// The file whose content is coming.
struct Coming {
    id: u64,
    hasher: blake3::Hasher,
    offset: u64,
    from: u64,
    into: Into,
}

/// Where its content goes.
enum Into {
    Memory(Vec<u8>),
    Part(Part),
    /// Nowhere: it failed already, and that has been said.
    Nowhere,
}

/// Receives all of it.
///
/// # Errors
/// The connection is lost, or the sender gives up, or there is no room. What fails of single files is told, and counted.
pub(super) fn receive(target: &Target, memory: &Memory, port: Port<Kept>, tell: Tell) -> Result<Summary> {
    let folder = super::open_target(&target.into)?;
    let root = Place {
        folder: Some(folder),
        fresh: false,
        path: PathBuf::new(),
        depth: 0,
        parent: 0,
        mode: 0,
        modified: (0, 0),
        open: 0,
        left: false,
    };
    let (chunk, keeper) = (port.buffer(), Keeper::new(target.durable, &port));
    let mut receiver = Receiver {
        target,
        memory,
        port,
        chunk,
        keeper,
        places: HashMap::from([(0, root)]),
        files: HashMap::new(),
        coming: None,
        number: 0,
        complete: false,
        tell,
        summary: Summary::default(),
    };
    let received = receiver.run();
    if let Err(error) = &received {
        // The sender should know why, if it can still hear it.
        if error.kind() != Kind::Cut {
            let _ = receiver.say(&Answer::Stop { why: &error.to_string() }).and_then(|()| receiver.flush());
        }
    }
    received.map(|()| receiver.summary)
}

struct Receiver<'a> {
    target: &'a Target,
    memory: &'a Memory,
    port: Port<Kept>,
    chunk: Vec<u8>,
    keeper: Keeper,
    places: HashMap<u64, Place>,
    files: HashMap<u64, Announced>,
    coming: Option<Coming>,
    number: u64,
    complete: bool,
    tell: Tell,
    summary: Summary,
}

impl Receiver<'_> {
    fn run(&mut self) -> Result<()> {
        while !(self.complete && self.keeper.is_idle()) {
            let event = match self.port.look() {
                Some(event) => event,
                None => {
                    self.keeper.hurry();
                    self.flush()?;
                    self.port.wait()?
                }
            };
            match event {
                Event::Lost(error) => return Err(error),
                Event::Own(kept) => self.kept(kept)?,
                Event::Chunk(chunk) => {
                    let mut frames = chunk.frames();
                    while let Some(frame) = words::next(&mut frames)? {
                        match frame {
                            Frame::Words(told) => self.told(told)?,
                            Frame::Content(content) => self.content(content)?,
                        }
                    }
                }
            }
        }
        if self.target.durable
            && let Some(folder) = self.places.get(&0).and_then(|root| root.folder.as_ref())
        {
            folder.sync().map_err(|error| trouble(Path::new(""), &error))?;
        }
        self.say(&Answer::Finished)?;
        self.flush()
    }

    fn told(&mut self, told: Told<'_>) -> Result<()> {
        match told {
            Told::Total { files, bytes } => (self.tell)(Step::Total { files, bytes }),
            Told::Folder { parent, name, mode, modified } => return self.folder(parent, name, mode, modified),
            Told::File { parent, name, mode, modified, size } => return self.file(parent, name, mode, modified, size),
            Told::Link { parent, name, modified, target } => return self.link(parent, name, modified, target),
            Told::Leave { id } => return self.leave(id),
            Told::Start { id, offset } => return self.start(id, offset),
            Told::Hole { length } => return self.hole(length),
            Told::End { hash } => return self.end(hash),
            Told::Spoilt { why } => return self.spoilt(why),
            Told::Compared { id, same } => return self.compared(id, same),
            Told::Complete if self.coming.is_none() && self.files.is_empty() => self.complete = true,
            Told::Complete => return Err(malformed("an end before the end")),
            Told::Stop { why } => {
                return Err(Error::new(Kind::File, format!("the sender gave up: {}", brief(why))));
            }
        }
        Ok(())
    }

    /// The folder of something that is announced, and its path; nothing in a folder that was refused.
    fn within(&mut self, parent: u64, name: &[u8]) -> Result<Option<(Folder, Name, PathBuf)>> {
        self.number += 1;
        let Some(place) = self.places.get_mut(&parent).filter(|place| !place.left) else {
            return Err(malformed("something in a folder that is not open"));
        };
        let path = place.path.join(OsStr::from_bytes(name));
        let Some(folder) = place.folder.clone() else {
            self.failed(self.number, &path, "its folder was refused")?;
            return Ok(None);
        };
        match Name::new(name) {
            Ok(name) => Ok(Some((folder, name, path))),
            Err(error) => {
                self.failed(self.number, &path, &error.to_string())?;
                Ok(None)
            }
        }
    }

    fn folder(&mut self, parent: u64, name: &[u8], mode: u32, modified: Time) -> Result<()> {
        if self.places.len() >= FOLDERS {
            return Err(malformed("too many folders at once"));
        }
        let mut place = Place {
            folder: None,
            fresh: false,
            path: PathBuf::new(),
            depth: self.places.get(&parent).map_or(0, |parent| parent.depth) + 1,
            parent,
            mode,
            modified,
            open: 0,
            left: false,
        };
        if let Some((folder, name, path)) = self.within(parent, name)? {
            match made(&folder, &name, mode) {
                Ok((folder, fresh)) => (place.folder, place.fresh) = (Some(folder), fresh),
                Err(error) => {
                    self.fatal(&path, &error)?;
                    self.failed(self.number, &path, &why(&error))?;
                }
            }
            place.path = path;
        }
        if let Some(parent) = self.places.get_mut(&parent) {
            parent.open += 1;
        }
        self.places.insert(self.number, place);
        Ok(())
    }

    fn leave(&mut self, id: u64) -> Result<()> {
        match self.places.get_mut(&id) {
            Some(place) if id != 0 && !place.left => place.left = true,
            _ => return Err(malformed("the end of a folder that is not open")),
        }
        self.close(id);
        Ok(())
    }

    /// Gives a folder its mode and time once all in it is settled, and then perhaps the one that it is in.
    fn close(&mut self, id: u64) {
        if !self.places.get(&id).is_some_and(|place| place.left && place.open == 0) {
            return;
        }
        let Some(place) = self.places.remove(&id) else { return };
        if let Some(folder) = place.folder {
            let mode = place.fresh.then_some(place.mode);
            self.keeper.add(Job::Folder { folder, mode, modified: super::time(place.modified), path: place.path });
        }
        self.settled(place.parent);
    }

    /// One of those in that folder is settled.
    fn settled(&mut self, parent: u64) {
        if let Some(place) = self.places.get_mut(&parent) {
            place.open = place.open.saturating_sub(1);
        }
        self.close(parent);
    }

    fn link(&mut self, parent: u64, name: &[u8], modified: Time, target: &[u8]) -> Result<()> {
        let Some((folder, name, path)) = self.within(parent, name)? else { return Ok(()) };
        let depth = self.places.get(&parent).map_or(0, |place| place.depth);
        if !self.target.outside_links && leads_outside(target, depth) {
            return self.failed(self.number, &path, "it is a link that leads out of the folder");
        }
        let target = OsStr::from_bytes(target);
        let is_here = |name: &Name| {
            rustix::fs::readlinkat(&folder, name.as_os(), Vec::new()).is_ok_and(|here| here.as_bytes() == target.as_bytes())
        };
        let modified = super::time(modified);
        let outcome = match folder.link(&name, target, modified, self.target.existing == Existing::Replace) {
            Ok(()) => Outcome::Done { bytes: 0, hash: [0; 32] },
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                self.fatal(&path, &error)?;
                Outcome::Failed(why(&error))
            }
            Err(_) if is_here(&name) => Outcome::Here,
            Err(_) => match self.target.existing {
                Existing::Skip => Outcome::Skipped,
                Existing::KeepBoth => match (2..1000).find(|n| folder.link(&name.beside(*n), target, modified, false).is_ok()) {
                    Some(_) => Outcome::Done { bytes: 0, hash: [0; 32] },
                    None => Outcome::Failed(TAKEN.to_owned()),
                },
                Existing::Refuse | Existing::Replace => Outcome::Failed(TAKEN.to_owned()),
            },
        };
        self.over(self.number, &path, &outcome)
    }

    fn file(&mut self, parent: u64, name: &[u8], mode: u32, modified: Time, size: Option<u64>) -> Result<()> {
        if self.files.len() >= FILES {
            return Err(malformed("too many files at once"));
        }
        let Some((folder, name, path)) = self.within(parent, name)? else { return Ok(()) };
        let fresh = self.places.get(&parent).is_some_and(|place| place.fresh);
        let announced = Announced { parent, name, mode, modified, size, part: None, asked: Asked::Want { length: 0 } };
        let looked = if fresh { Ok(Look::Nothing) } else { self.look(&folder, &announced, &path) };
        let id = self.number;
        match looked {
            Ok(Look::Nothing) => self.want(id, announced, 0, Vec::new()),
            Ok(Look::Settled(outcome)) => self.over(id, &path, &outcome),
            Ok(Look::Part(part, length, blocks)) => {
                self.want(id, Announced { part: Some(part), ..announced }, length, blocks)
            }
            Ok(Look::Compare(hash)) => {
                let send = matches!(self.target.existing, Existing::Replace | Existing::KeepBoth);
                self.announced(id, Announced { asked: Asked::Compare { send }, ..announced });
                self.say(&Answer::Compare { id, hash, send })
            }
            Err(error) => {
                self.fatal(&path, &error)?;
                self.failed(id, &path, &why(&error))
            }
        }
    }

    fn announced(&mut self, id: u64, file: Announced) {
        if let Some(place) = self.places.get_mut(&file.parent) {
            place.open += 1;
        }
        self.files.insert(id, file);
    }

    fn want(&mut self, id: u64, file: Announced, length: u64, blocks: Vec<Hash>) -> Result<()> {
        self.announced(id, Announced { asked: Asked::Want { length }, ..file });
        self.say(&Answer::Want { id, length, blocks })
    }

    /// What is here of a file already.
    fn look(&self, folder: &Folder, file: &Announced, path: &Path) -> io::Result<Look> {
        if let Some(status) = folder.status(&file.name)? {
            if FileType::from_raw_mode(status.st_mode) == FileType::RegularFile && file.size == Some(walk::size(&status)) {
                return if self.memory.knows(self.key(file, path)) && walk::modified(&status) == file.modified {
                    Ok(Look::Settled(Outcome::Here))
                } else if self.target.existing == Existing::Skip {
                    Ok(Look::Settled(Outcome::Skipped))
                } else {
                    hash(&folder.read(&file.name)?, walk::size(&status)).map(Look::Compare)
                };
            }
            match self.target.existing {
                Existing::Refuse => return Ok(Look::Settled(Outcome::Failed(TAKEN.to_owned()))),
                Existing::Skip => return Ok(Look::Settled(Outcome::Skipped)),
                Existing::Replace if is_folder(&status) => {
                    return Ok(Look::Settled(Outcome::Failed("a folder of that name is there already".to_owned())));
                }
                Existing::Replace | Existing::KeepBoth => {}
            }
        }
        let (Some(size), true) = (file.size, folder.status(&file.name.part())?.is_some()) else { return Ok(Look::Nothing) };
        let part = folder.begin(&file.name)?;
        let length = part.file().metadata()?.len().min(size);
        let blocks = blocks(part.file(), length, size)?;
        Ok(Look::Part(part, length, blocks))
    }

    fn key(&self, file: &Announced, path: &Path) -> u64 {
        self.memory.hasher.hash_one((path, file.size, file.modified))
    }

    fn start(&mut self, id: u64, offset: u64) -> Result<()> {
        let Some(file) = self.files.get_mut(&id).filter(|_| self.coming.is_none()) else {
            return Err(malformed("content that was not asked for"));
        };
        match file.asked {
            Asked::Want { length } if offset <= length => {}
            _ => return Err(malformed("content that was not asked for")),
        }
        let (part, name, size, parent) = (file.part.take(), file.name.clone(), file.size, file.parent);
        let Some(place) = self.places.get(&parent) else { return Err(malformed("content of a folder that is closed")) };
        let (folder, path, fresh) = (place.folder.clone(), place.path.join(name.as_os()), place.fresh);
        let mut hasher = blake3::Hasher::new();
        let small = size.is_some_and(|size| size <= SMALL) && part.is_none();
        let opened = match folder {
            Some(_) if small => Ok(Into::Memory(Vec::with_capacity(size.unwrap_or_default() as usize))),
            Some(folder) => {
                let part = part.map_or_else(|| if fresh { folder.begin_first(&name) } else { folder.begin(&name) }, Ok);
                part.and_then(|part| {
                    part.file().set_len(offset)?;
                    each(part.file(), 0, offset, |piece| {
                        hasher.update(piece);
                    })?;
                    Ok(Into::Part(part))
                })
            }
            None => Ok(Into::Nowhere),
        };
        (self.tell)(Step::Begun { path: &path, size, from: offset });
        let into = match opened {
            Ok(into) => into,
            Err(error) => {
                self.fatal(&path, &error)?;
                self.give_up(id, &why(&error))?;
                Into::Nowhere
            }
        };
        self.coming = Some(Coming { id, hasher, offset, from: offset, into });
        Ok(())
    }

    fn content(&mut self, content: &[u8]) -> Result<()> {
        let Some(coming) = &mut self.coming else { return Err(malformed("content of nothing")) };
        let end = coming.offset + content.len() as u64;
        let size = self.files.get(&coming.id).and_then(|file| file.size);
        if size.is_some_and(|size| end > size) {
            return Err(malformed("more content than the file has"));
        }
        let written = match &mut coming.into {
            Into::Memory(bytes) => {
                bytes.extend_from_slice(content);
                Ok(())
            }
            Into::Part(part) => {
                coming.hasher.update(content);
                part.file().write_all_at(content, coming.offset)
            }
            Into::Nowhere => Ok(()),
        };
        coming.offset = end;
        (self.tell)(Step::Moved(content.len() as u64));
        written.or_else(|error| self.unwritten(&error))
    }

    fn hole(&mut self, length: u64) -> Result<()> {
        let Some(coming) = &mut self.coming else { return Err(malformed("content of nothing")) };
        let size = self.files.get(&coming.id).and_then(|file| file.size);
        let end = coming.offset.checked_add(length).filter(|end| size.is_some_and(|size| *end <= size));
        let Some(end) = end else { return Err(malformed("more content than the file has")) };
        let written = match &mut coming.into {
            Into::Memory(bytes) => {
                bytes.resize(end as usize, 0);
                Ok(())
            }
            Into::Part(part) => {
                zeros(&mut coming.hasher, length);
                part.file().set_len(end)
            }
            Into::Nowhere => Ok(()),
        };
        coming.offset = end;
        (self.tell)(Step::Moved(length));
        written.or_else(|error| self.unwritten(&error))
    }

    /// What is under way cannot be written. What is there of it stays, for the next attempt.
    fn unwritten(&mut self, error: &io::Error) -> Result<()> {
        let Some(coming) = &mut self.coming else { return Ok(()) };
        coming.into = Into::Nowhere;
        let id = coming.id;
        let path = self.path(id);
        self.fatal(&path, error)?;
        self.give_up(id, &why(error))
    }

    fn path(&self, id: u64) -> PathBuf {
        let Some(file) = self.files.get(&id) else { return PathBuf::new() };
        let parent = self.places.get(&file.parent).map(|place| &place.path);
        parent.map_or_else(PathBuf::new, |parent| parent.join(file.name.as_os()))
    }

    /// The file will not be kept, though the sender does not know that yet.
    fn give_up(&mut self, id: u64, why: &str) -> Result<()> {
        let path = self.path(id);
        self.failed(id, &path, why)
    }

    fn end(&mut self, hash: Hash) -> Result<()> {
        let Some(coming) = self.coming.take() else { return Err(malformed("the end of nothing")) };
        let path = self.path(coming.id);
        let Some(file) = self.files.remove(&coming.id) else { return Err(malformed("the end of nothing")) };
        let short = file.size.is_some_and(|size| size != coming.offset);
        let folder = self.places.get(&file.parent).and_then(|place| place.folder.clone());
        let (Some(folder), false) = (folder, matches!(coming.into, Into::Nowhere)) else {
            self.settled(file.parent);
            return Ok(());
        };
        let right = |hasher: &blake3::Hasher| hasher.finalize() == hash;
        let content = match coming.into {
            Into::Memory(bytes) if !short => super::keep::Content::Memory(bytes),
            Into::Part(part) if !short && right(&coming.hasher) => super::keep::Content::Part(part),
            spoilt => {
                if let Into::Part(part) = spoilt {
                    // It is worth nothing.
                    let _ = part.discard();
                }
                self.failed(coming.id, &path, "what came is not what was sent")?;
                self.settled(file.parent);
                return Ok(());
            }
        };
        self.keeper.add(Job::File {
            id: coming.id,
            parent: file.parent,
            key: self.key(&file, &path),
            bytes: coming.offset - coming.from,
            folder,
            path,
            name: file.name,
            mode: file.mode,
            modified: super::time(file.modified),
            hash,
            existing: self.target.existing,
            content,
        });
        Ok(())
    }

    fn spoilt(&mut self, why: &str) -> Result<()> {
        let Some(coming) = self.coming.take() else { return Err(malformed("the end of nothing")) };
        let path = self.path(coming.id);
        let Some(file) = self.files.remove(&coming.id) else { return Err(malformed("the end of nothing")) };
        match coming.into {
            Into::Nowhere => {}
            other => {
                if let Into::Part(part) = other {
                    // The next attempt begins anew.
                    let _ = part.discard();
                }
                self.over(coming.id, &path, &Outcome::Failed(brief(why)))?;
            }
        }
        self.settled(file.parent);
        Ok(())
    }

    fn compared(&mut self, id: u64, same: bool) -> Result<()> {
        let path = self.path(id);
        let Some(file) = self.files.get_mut(&id) else { return Err(malformed("a comparison of nothing")) };
        let Asked::Compare { send } = file.asked else { return Err(malformed("a comparison that was not asked for")) };
        if send && !same {
            file.asked = Asked::Want { length: 0 };
            return Ok(());
        }
        let parent = file.parent;
        if same {
            self.memory.learn(self.memory.hasher.hash_one((&path, file.size, file.modified)));
        }
        self.files.remove(&id);
        let outcome = if same { Outcome::Here } else { Outcome::Failed(TAKEN.to_owned()) };
        self.over(id, &path, &outcome)?;
        self.settled(parent);
        Ok(())
    }

    /// Another thread is done with something.
    fn kept(&mut self, kept: Kept) -> Result<()> {
        self.keeper.done();
        match kept {
            Kept::File { id, parent, key, path, outcome } => {
                match outcome {
                    Ok(outcome) => {
                        if matches!(outcome, Outcome::Done { .. }) {
                            self.memory.learn(key);
                        }
                        self.over(id, &path, &outcome)?;
                    }
                    Err(error) => {
                        self.fatal(&path, &error)?;
                        self.failed(id, &path, &why(&error))?;
                    }
                }
                self.settled(parent);
            }
            Kept::Folder { path, result } => {
                if let Err(error) = result {
                    self.fatal(&path, &error)?;
                    let note = format!("{} keeps another mode or time: {error}", path.display());
                    (self.tell)(Step::Note(&note));
                }
            }
        }
        Ok(())
    }

    fn failed(&mut self, id: u64, path: &Path, why: &str) -> Result<()> {
        self.over(id, path, &Outcome::Failed(why.to_owned()))
    }

    /// Tells both sides what came of something.
    fn over(&mut self, id: u64, path: &Path, outcome: &Outcome) -> Result<()> {
        self.summary.count(outcome);
        (self.tell)(Step::Ended { path, outcome });
        match outcome {
            Outcome::Done { .. } => self.say(&Answer::Done { id }),
            Outcome::Here => self.say(&Answer::Here { id }),
            Outcome::Skipped => self.say(&Answer::Skip { id }),
            Outcome::Failed(why) => self.say(&Answer::Failed { id, why }),
        }
    }

    /// Where there is no room for one file there is none for the others.
    fn fatal(&self, path: &Path, error: &io::Error) -> Result<()> {
        use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded | ReadOnlyFilesystem => Err(trouble(path, error)),
            _ => Ok(()),
        }
    }

    fn say(&mut self, words: &Answer<'_>) -> Result<()> {
        words::say(&mut self.chunk, words)?;
        if self.chunk.len() >= words::CHUNK / 4 { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.port.send(&mut self.chunk)
    }
}

/// What is here of a file.
enum Look {
    Nothing,
    Part(Part, u64, Vec<Hash>),
    Compare(Hash),
    Settled(Outcome),
}

pub(super) const TAKEN: &str = "another file of that name is there already";

fn is_folder(status: &Stat) -> bool {
    FileType::from_raw_mode(status.st_mode) == FileType::Directory
}

/// Makes a folder, or takes the one that is there. One of ours is open to us until all of it has come.
fn made(folder: &Folder, name: &Name, mode: u32) -> io::Result<(Folder, bool)> {
    let (folder, fresh) = folder.make(name)?;
    if fresh {
        rustix::fs::fchmod(&folder, rustix::fs::Mode::from_raw_mode(mode & 0o777 | 0o700))?;
    }
    Ok((folder, fresh))
}

fn hash(file: &File, size: u64) -> io::Result<Hash> {
    let mut hasher = blake3::Hasher::new();
    each(file, 0, size, |piece| {
        hasher.update(piece);
    })?;
    Ok(hasher.finalize().into())
}

/// The hashes of the blocks of what is here of a file.
fn blocks(file: &File, length: u64, size: u64) -> io::Result<Vec<Hash>> {
    let block = block(size);
    (0..length.div_ceil(block))
        .map(|n| {
            let mut hasher = blake3::Hasher::new();
            each(file, n * block, block.min(length - n * block), |piece| {
                hasher.update(piece);
            })?;
            Ok(hasher.finalize().into())
        })
        .collect()
}

/// Whether a link in a folder of that depth may lead out of where we write. What goes up must do so at its beginning, where
/// the folders are those that we have made; behind another link `..` may be anywhere.
fn leads_outside(target: &[u8], depth: usize) -> bool {
    let up = |part: &&[u8]| *part == b"..";
    let parts = || target.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    target.first().is_none_or(|byte| *byte == b'/')
        || parts().take_while(up).count() > depth
        || parts().skip_while(up).any(|part| part == b"..")
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock => "somebody else is receiving it at this moment".to_owned(),
        io::ErrorKind::AlreadyExists => TAKEN.to_owned(),
        io::ErrorKind::NotADirectory => "something else of that name is there already".to_owned(),
        _ if is_link(error) => "a link of that name is there already".to_owned(),
        _ => error.to_string(),
    }
}

/// What the system says of a link that is not to be followed.
fn is_link(error: &io::Error) -> bool {
    rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::LOOP)
}

fn trouble(path: &Path, error: &io::Error) -> Error {
    Error::new(Kind::File, format!("cannot write {}: {error}", path.display()))
        .hint("make room and run the same again: it goes on where it stopped")
}

#[cfg(test)]
mod tests {
    use super::leads_outside;

    #[test]
    fn links_that_may_lead_outside_are_known() {
        for (target, depth) in
            [("/etc", 5), ("..", 0), ("../x", 0), ("a/../..", 0), ("../../x", 1), ("a/../b", 3), ("", 2), ("./../x", 0)]
        {
            assert!(leads_outside(target.as_bytes(), depth), "{target} at {depth}");
        }
        for (target, depth) in [("a", 0), ("./a/b", 0), ("../a", 1), ("..", 1), ("../../a/b", 2), ("...", 0)] {
            assert!(!leads_outside(target.as_bytes(), depth), "{target} at {depth}");
        }
    }
}
