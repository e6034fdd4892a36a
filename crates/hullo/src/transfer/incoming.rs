//! The receiver's work: says what it wants of what is announced, and keeps what comes.
//!
//! Nothing that the sender says is believed: names are checked, links are not followed, content is compared with its
//! hash before it gets its name.

use std::{
    collections::HashMap,
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    Existing, Outcome, Step, Summary, Target, Tell,
    carry::{Event, Port, gone},
    keep::{Job, Keeper, Kept},
    open_target, time,
    words::{self, Answer, Frame, HOLE, Hash, Time, Told, malformed},
};
use crate::{
    error::{Error, Kind, Result, brief, plain},
    folder::{Folder, Part},
    name::Name,
};
use coming::{Came, Coming};
use look::{Look, Wanted, leads_outside, look, made, why};
use places::Places;

mod coming;
mod look;
mod places;

pub(super) use look::{Memory, TAKEN};

/// How many bytes of news are gathered.
const NEWS: usize = 8 << 10;

/// The files that may be announced and not settled.
const FILES: usize = 8192;

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

/// Receives all of it.
///
/// # Errors
/// The connection is lost, or the sender gives up, or there is no room. What fails of single files is told, and counted.
pub(super) fn receive(target: &Target, memory: &Memory, port: Port<Vec<Kept>>, tell: Tell) -> Result<Summary> {
    let root = open_target(&target.into)?;
    let (chunk, keeper) = (port.buffer(), Keeper::new(target.durable, &port));
    let mut receiver = Receiver {
        target,
        memory,
        root: root.clone(),
        port,
        chunk,
        keeper,
        places: Places::new(root),
        files: HashMap::new(),
        coming: None,
        number: 0,
        awaited: false,
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
    receiver.keeper.rest();
    received.map(|()| receiver.summary)
}

struct Receiver<'a> {
    target: &'a Target,
    memory: &'a Memory,
    root: Folder,
    port: Port<Vec<Kept>>,
    chunk: Vec<u8>,
    keeper: Keeper,
    places: Places,
    files: HashMap<u64, Announced>,
    coming: Option<Coming>,
    number: u64,
    /// Whether the sender waits for something that has been said and has not left.
    awaited: bool,
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
                    // What the sender waits for leaves; news of what is settled can wait for more of it.
                    if self.awaited {
                        self.flush()?;
                    }
                    self.port.wait()?
                }
            };
            match event {
                Event::Lost(error) => return Err(error),
                Event::Own(kept) => {
                    self.keeper.done(kept.len());
                    kept.into_iter().try_for_each(|kept| self.kept(kept))?;
                }
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
        if self.target.durable {
            self.root.sync().map_err(|error| trouble(&self.target.into, &error))?;
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
            Told::Leave { id } => return self.places.leave(id, &mut self.keeper),
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

    /// The folder of something that is announced, and its path; nothing where it was refused.
    fn within(&mut self, parent: u64, name: &[u8]) -> Result<Option<(Folder, Name, PathBuf)>> {
        self.number += 1;
        let place = self.places.get(parent)?;
        let path = place.path.join(OsStr::from_bytes(name));
        let within = match (place.folder.clone(), Name::new(name)) {
            (None, _) => Err("its folder was refused".to_owned()),
            (_, Err(error)) => Err(error.to_string()),
            (Some(folder), Ok(name)) => Ok((folder, name)),
        };
        match within {
            Ok((folder, name)) => Ok(Some((folder, name, path))),
            Err(why) => {
                self.failed(self.number, &path, &why)?;
                Ok(None)
            }
        }
    }

    fn folder(&mut self, parent: u64, name: &[u8], mode: u32, modified: Time) -> Result<()> {
        let within = self.within(parent, name)?;
        let place = self.places.add(self.number, parent, name, mode, modified)?;
        let Some((folder, name, path)) = within else { return Ok(()) };
        match made(&folder, &name, mode) {
            Ok((folder, fresh, ours)) => (place.folder, place.fresh, place.ours) = (Some(folder), fresh, ours),
            Err(error) => self.unwritable(self.number, &path, &error)?,
        }
        Ok(())
    }

    fn link(&mut self, parent: u64, name: &[u8], modified: Time, target: &[u8]) -> Result<()> {
        let Some((folder, name, path)) = self.within(parent, name)? else { return Ok(()) };
        let depth = self.places.get(parent)?.depth;
        if !self.target.outside_links && leads_outside(target, depth) {
            return self.failed(self.number, &path, "it is a link that leads out of the folder");
        }
        let target = OsStr::from_bytes(target);
        match linked(&folder, &name, target, time(modified), self.target.existing) {
            Ok(outcome) => self.over(self.number, &path, &outcome),
            Err(error) => self.unwritable(self.number, &path, &error),
        }
    }

    fn file(&mut self, parent: u64, name: &[u8], mode: u32, modified: Time, size: Option<u64>) -> Result<()> {
        if self.files.len() >= FILES {
            return Err(malformed("too many files at once"));
        }
        let Some((folder, name, path)) = self.within(parent, name)? else { return Ok(()) };
        let wanted = Wanted { name: &name, size, modified, key: self.memory.key(&path, size, modified) };
        let looked = match self.places.get(parent)?.fresh {
            true => Ok(Look::Nothing),
            false => look(&folder, &wanted, self.target.existing, self.memory),
        };
        let (id, asked) = (self.number, Asked::Want { length: 0 });
        let announced = Announced { parent, name, mode, modified, size, part: None, asked };
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
            Err(error) => self.unwritable(id, &path, &error),
        }
    }

    fn announced(&mut self, id: u64, file: Announced) {
        self.places.begin(file.parent);
        self.files.insert(id, file);
    }

    fn want(&mut self, id: u64, file: Announced, length: u64, blocks: Vec<Hash>) -> Result<()> {
        self.announced(id, Announced { asked: Asked::Want { length }, ..file });
        self.say(&Answer::Want { id, length, blocks })
    }

    fn start(&mut self, id: u64, offset: u64) -> Result<()> {
        let file = self.files.get_mut(&id).filter(|_| self.coming.is_none());
        let asked = |file: &&mut Announced| matches!(file.asked, Asked::Want { length } if offset <= length);
        let Some(file) = file.filter(asked) else { return Err(malformed("content that was not asked for")) };
        let part = file.part.take();
        let place = self.places.get(file.parent)?;
        let path = place.path.join(file.name.as_os());
        (self.tell)(Step::Begun { path: &path, size: file.size, from: offset });
        let mut coming = Coming::nowhere(id, file.size, offset);
        if file.size.is_none() {
            // What comes of it is known from now on, since it cannot be compared.
            self.memory.learn(self.memory.key(&path, None, file.modified));
        }
        let begun = match &place.folder {
            Some(folder) => coming.begin(folder, &file.name, part, place.fresh),
            None => Ok(()),
        };
        self.coming = Some(coming);
        begun.or_else(|error| self.unwritable(id, &path, &error))
    }

    fn content(&mut self, content: &[u8]) -> Result<()> {
        self.more(content.len() as u64, |coming| coming.write(content))
    }

    fn hole(&mut self, length: u64) -> Result<()> {
        if length > HOLE {
            return Err(malformed("a hole that is too large"));
        }
        // One chunk has room for many of them.
        if self.port.is_gone() {
            return Err(gone());
        }
        self.more(length, |coming| coming.hole(length))
    }

    fn more(&mut self, length: u64, write: impl FnOnce(&mut Coming) -> Result<io::Result<()>>) -> Result<()> {
        let Some(coming) = &mut self.coming else { return Err(malformed("content of nothing")) };
        let (id, written) = (coming.id, write(coming)?);
        (self.tell)(Step::Moved(length));
        let Err(error) = written else { return Ok(()) };
        coming.give_up();
        let path = self.path(id);
        self.unwritable(id, &path, &error)
    }

    fn path(&self, id: u64) -> PathBuf {
        self.files.get(&id).map_or_else(PathBuf::new, |file| self.places.path(file.parent, file.name.as_os()))
    }

    /// The file that is under way is over.
    fn came(&mut self) -> Result<(Coming, Announced, PathBuf)> {
        let path = self.coming.as_ref().map(|coming| self.path(coming.id)).unwrap_or_default();
        let came = self.coming.take().and_then(|coming| Some((self.files.remove(&coming.id)?, coming)));
        came.map(|(file, coming)| (coming, file, path)).ok_or_else(|| malformed("the end of nothing"))
    }

    fn end(&mut self, hash: Hash) -> Result<()> {
        let (coming, file, path) = self.came()?;
        let id = coming.id;
        let folder = self.places.get(file.parent)?.folder.clone();
        match (coming.end(&hash), folder) {
            (Came::Whole(content, bytes), Some(folder)) => {
                self.keeper.add(Job::File {
                    id,
                    parent: file.parent,
                    key: self.memory.key(&path, file.size, file.modified),
                    bytes,
                    folder,
                    path,
                    name: file.name,
                    mode: file.mode,
                    modified: time(file.modified),
                    hash,
                    existing: self.target.existing,
                    content,
                });
                return Ok(());
            }
            (Came::Spoilt, _) => self.failed(id, &path, "what came is not what was sent")?,
            _ => {}
        }
        self.places.settled(file.parent, &mut self.keeper);
        Ok(())
    }

    fn spoilt(&mut self, why: &str) -> Result<()> {
        let (coming, file, path) = self.came()?;
        let id = coming.id;
        if coming.discard() {
            self.failed(id, &path, &brief(why))?;
        }
        self.places.settled(file.parent, &mut self.keeper);
        Ok(())
    }

    fn compared(&mut self, id: u64, same: bool) -> Result<()> {
        let path = self.path(id);
        let Some(file) = self.files.get_mut(&id) else { return Err(malformed("a comparison of nothing")) };
        let Asked::Compare { send } = file.asked else {
            return Err(malformed("a comparison that was not asked for"));
        };
        if send && !same {
            file.asked = Asked::Want { length: 0 };
            return Ok(());
        }
        let (parent, key) = (file.parent, self.memory.key(&path, file.size, file.modified));
        self.files.remove(&id);
        if same {
            self.memory.learn(key);
            self.over(id, &path, &Outcome::Here)?;
        } else {
            self.failed(id, &path, TAKEN)?;
        }
        self.places.settled(parent, &mut self.keeper);
        Ok(())
    }

    /// Another thread is done with something.
    fn kept(&mut self, kept: Kept) -> Result<()> {
        match kept {
            Kept::File { id, parent, key, path, outcome } => {
                match outcome {
                    Ok(outcome) => {
                        if matches!(outcome, Outcome::Done { .. }) {
                            self.memory.learn(key);
                        }
                        self.over(id, &path, &outcome)?;
                    }
                    Err(error) => self.unwritable(id, &path, &error)?,
                }
                self.places.settled(parent, &mut self.keeper);
            }
            Kept::Folder { path, result: Err(error) } => {
                self.fatal(&path, &error)?;
                let note = format!("{} keeps another mode or time: {error}", path.display());
                (self.tell)(Step::Note(&note));
            }
            Kept::Folder { .. } => {}
        }
        Ok(())
    }

    /// Something cannot be written: that fails, and all of it where there is no room.
    fn unwritable(&mut self, id: u64, path: &Path, error: &io::Error) -> Result<()> {
        self.fatal(path, error)?;
        self.failed(id, path, &why(error))
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
        self.awaited |= !matches!(words, Answer::Done { .. });
        if self.chunk.len() >= NEWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.awaited = false;
        self.port.send(&mut self.chunk)
    }
}

fn trouble(path: &Path, error: &io::Error) -> Error {
    Error::new(Kind::File, format!("cannot write {}: {}", path.display(), plain(&error.to_string())))
        .hint("make room and run the same again: it goes on where it stopped")
}

/// Makes a link, as far as what is there allows it.
fn linked(
    folder: &Folder,
    name: &Name,
    target: &OsStr,
    modified: SystemTime,
    existing: Existing,
) -> io::Result<Outcome> {
    let done = Outcome::Done { bytes: 0, hash: [0; 32] };
    match folder.link(name, target, modified, false) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => return other.map(|()| done),
    }
    let here = rustix::fs::readlinkat(folder, name.as_os(), Vec::new());
    if here.is_ok_and(|here| here.as_bytes() == target.as_bytes()) {
        return Ok(Outcome::Here);
    }
    let beside = |n: u32| folder.link(&name.beside(n), target, modified, false).is_ok();
    match existing {
        Existing::Skip => Ok(Outcome::Skipped),
        Existing::Replace => folder.link(name, target, modified, true).map(|()| done),
        Existing::KeepBoth if (2..1000).any(beside) => Ok(done),
        _ => Err(io::ErrorKind::AlreadyExists.into()),
    }
}
