//! What is to be sent, in the order in which it is announced: each folder, then what is in it, then its end.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, openat, readlinkat, statat},
    io::Errno,
    path::Arg,
};

use super::{outgoing::Flow, words::Time};
use crate::{
    error::{Error, Result, plain},
    name,
};

/// The deepest folder. Each that is open costs a descriptor.
const DEEPEST: usize = 256;

/// Something that the user named to be sent.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file or folder; a link is what it leads to, since the user named it.
    Path(PathBuf),
    /// What flows by once, as our stdin.
    Flow(Flow),
}

impl Source {
    /// The name that it will have at the other end.
    ///
    /// # Errors
    /// [`Kind::Usage`](crate::Kind::Usage): the path has no name, as `/`.
    pub fn name(&self) -> Result<OsString> {
        let path = match self {
            Self::Flow(flow) => return Ok(flow.name().to_owned()),
            Self::Path(path) => path,
        };
        if let Some(name) = path.file_name() {
            return Ok(name.to_owned());
        }
        // `.` and `..` are called what they are.
        let whole = std::fs::canonicalize(path).ok();
        let name = whole.as_deref().and_then(Path::file_name).map(OsStr::to_owned);
        name.ok_or_else(|| Error::usage(format!("{} has no name that it could be sent under", path.display())))
    }
}

/// What was found.
pub(super) enum Found {
    File(Place, Stat),
    Flow(Flow),
    Link(Place, Stat, Vec<u8>),
    /// What is found until its [`Leave`](Self::Leave) is in it.
    Folder(Place, Stat),
    Leave,
    /// A file of ours that is not whole, from somewhere else.
    Part(PathBuf),
    /// It is neither, or cannot be read.
    Not(PathBuf, String),
}

/// Where something is: a name in an open folder. `parent` is the number of that folder in this walk, 0 for none.
pub(super) struct Place {
    pub(super) parent: u64,
    pub(super) folder: Option<Arc<OwnedFd>>,
    pub(super) name: OsString,
    /// The path for people, from what the user named on.
    pub(super) path: PathBuf,
    /// Where a thing that the user named is.
    named: Option<PathBuf>,
}

impl Place {
    /// Opens it for reading. A link in its place now is not followed, except where the user named it.
    pub(super) fn open(&self) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let opened = match (&self.folder, &self.named) {
            (Some(folder), _) => openat(folder, &self.name, flags | OFlags::NOFOLLOW, Mode::empty()),
            (None, Some(path)) => rustix::fs::open(path, flags, Mode::empty()),
            (None, None) => Err(Errno::NOENT),
        };
        Ok(File::from(opened?))
    }
}

/// A walk through all sources.
pub(super) struct Walk {
    sources: std::vec::IntoIter<Source>,
    open: Vec<Open>,
    announced: u64,
}

struct Open {
    folder: Arc<OwnedFd>,
    number: u64,
    path: PathBuf,
    names: std::vec::IntoIter<OsString>,
}

impl Walk {
    pub(super) fn new(sources: Vec<Source>) -> Self {
        Self { sources: sources.into_iter(), open: Vec::new(), announced: 0 }
    }

    fn named(&mut self, source: Source) -> Found {
        let name = match source.name() {
            Ok(name) => name,
            Err(error) => return Found::Not(PathBuf::new(), error.to_string()),
        };
        let path = match source {
            Source::Path(path) => path,
            Source::Flow(flow) => {
                self.announced += 1;
                return Found::Flow(flow);
            }
        };
        let place = Place { parent: 0, folder: None, path: PathBuf::from(&name), name, named: Some(path.clone()) };
        match rustix::fs::stat(&path) {
            Ok(status) => self.found(place, status),
            Err(error) => Found::Not(path, plain(&io::Error::from(error).to_string())),
        }
    }

    fn within(&mut self, open: &Open, name: OsString) -> Found {
        let path = open.path.join(&name);
        if name::is_part(name.as_bytes()) {
            return Found::Part(path);
        }
        match statat(&open.folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => {
                let folder = Some(open.folder.clone());
                self.found(Place { parent: open.number, folder, name, path, named: None }, status)
            }
            Err(error) => Found::Not(path, plain(&io::Error::from(error).to_string())),
        }
    }

    fn found(&mut self, place: Place, status: Stat) -> Found {
        match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile => {
                self.announced += 1;
                Found::File(place, status)
            }
            FileType::Symlink => self.link(place, status),
            FileType::Directory => self.enter(place, status),
            _ => Found::Not(place.path, "it is neither a file, a folder nor a link".to_owned()),
        }
    }

    fn link(&mut self, place: Place, status: Stat) -> Found {
        let target = place.folder.as_ref().map(|folder| readlinkat(folder, &place.name, Vec::new()));
        match target {
            Some(Ok(target)) => {
                self.announced += 1;
                Found::Link(place, status, target.into_bytes())
            }
            Some(Err(error)) => Found::Not(place.path, plain(&io::Error::from(error).to_string())),
            None => Found::Not(place.path, "it is a link that leads nowhere".to_owned()),
        }
    }

    fn enter(&mut self, place: Place, status: Stat) -> Found {
        if self.open.len() >= DEEPEST {
            return Found::Not(place.path, format!("it is deeper than {DEEPEST} folders"));
        }
        let opened = place.open().and_then(|folder| Ok((names(&folder)?, folder)));
        match opened {
            Ok((names, folder)) => {
                self.announced += 1;
                let (folder, number, path) = (Arc::new(OwnedFd::from(folder)), self.announced, place.path.clone());
                self.open.push(Open { folder, number, path, names: names.into_iter() });
                Found::Folder(place, status)
            }
            Err(error) => Found::Not(place.path, plain(&error.to_string())),
        }
    }
}

impl Iterator for Walk {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        let Some(mut open) = self.open.pop() else {
            let source = self.sources.next()?;
            return Some(self.named(source));
        };
        let Some(name) = open.names.next() else { return Some(Found::Leave) };
        // It goes below what it holds.
        let at = self.open.len();
        let found = self.within(&open, name);
        self.open.insert(at, open);
        Some(found)
    }
}

/// The names in a folder, sorted, so that two walks find the same order.
fn names(folder: &impl AsFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    names.sort_unstable_by(|a: &OsString, b| a.as_bytes().cmp(b.as_bytes()));
    Ok(names)
}

/// How many files there are, and how many bytes, as far as can be told. It finds what a [`Walk`] finds, and keeps no names.
pub(super) fn count(sources: &[Source], go_on: impl Fn() -> bool) -> Option<(u64, u64)> {
    let (mut files, mut bytes, mut open) = (0, 0, Vec::new());
    for source in sources {
        // Nobody knows how long what flows is.
        let Source::Path(path) = source else { return None };
        let mut next = Some(look(CWD, path, true));
        while let Some(looked) = next {
            if !go_on() {
                return None;
            }
            match looked {
                Ok(Looked::File(size)) => (files, bytes) = (files + 1, bytes + size),
                Ok(Looked::Folder(folder)) if open.len() < DEEPEST => open.push(folder),
                _ => {}
            }
            next = inside(&mut open);
        }
    }
    Some((files, bytes))
}

/// What counts.
enum Looked {
    File(u64),
    Folder(Dir),
    Other,
}

fn look(folder: impl AsFd, name: impl Arg + Copy, follow: bool) -> Result<Looked, Errno> {
    let (flags, open) = match follow {
        true => (AtFlags::empty(), OFlags::empty()),
        false => (AtFlags::SYMLINK_NOFOLLOW, OFlags::NOFOLLOW),
    };
    let status = statat(&folder, name, flags)?;
    Ok(match FileType::from_raw_mode(status.st_mode) {
        FileType::RegularFile => Looked::File(size(&status)),
        FileType::Directory => {
            let open = open | OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            Looked::Folder(Dir::new(openat(folder, name, open, Mode::empty())?)?)
        }
        _ => Looked::Other,
    })
}

/// What is next in the innermost of these folders that has something left.
fn inside(open: &mut Vec<Dir>) -> Option<Result<Looked, Errno>> {
    loop {
        let folder = open.last_mut()?;
        match folder.read() {
            Some(Ok(entry)) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
            Some(Ok(entry)) if name::is_part(entry.file_name().to_bytes()) => {}
            Some(entry) => return Some(entry.and_then(|entry| look(folder.fd()?, entry.file_name(), false))),
            None => drop(open.pop()),
        }
    }
}

pub(super) fn size(status: &Stat) -> u64 {
    u64::try_from(status.st_size).unwrap_or_default()
}

pub(super) fn modified(status: &Stat) -> Time {
    (status.st_mtime, u32::try_from(status.st_mtime_nsec).unwrap_or_default())
}

/// Bytes of a name as they are.
pub(super) fn bytes(name: OsString) -> Vec<u8> {
    name.into_vec()
}
