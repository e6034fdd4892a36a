//! The folder that is served, as an opened one: all else is opened beneath it, and no link leads out of it.

use std::{
    ffi::OsString,
    fs::File,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use http::StatusCode;
use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2, readlinkat, statat},
    io::Errno,
};

use super::{
    Refusal,
    place::{Place, is_shown},
};
use crate::{
    error::{Error, Kind, Result},
    io::file::Stamp,
};

/// How often a way that was changed while it was gone is tried again.
const TRIES: usize = 16;

/// Neither a pipe nor a terminal holds up who opens it.
const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// The folder that is served.
pub(super) struct Root {
    folder: OwnedFd,
    shown: PathBuf,
    name: Vec<u8>,
    hidden: bool,
    /// The kernel is too old for `openat2`, or something forbids it: then no link is followed at all.
    by_steps: AtomicBool,
}

/// What was found at a place.
pub(super) enum Found {
    File(Opened),
    Folder(Opened),
}

/// An opened file or folder.
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) facts: Facts,
}

/// What the file system says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) kind: FileType,
    pub(super) mode: u32,
    pub(super) device: u64,
    pub(super) inode: u64,
    /// Its size, and when it was written last.
    pub(super) stamp: Stamp,
}

/// What stands in a folder.
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    /// Of a link, what is said of the link itself.
    pub(super) facts: Facts,
}

impl Root {
    pub(super) fn open(path: &Path, hidden: bool) -> Result<Self> {
        let wrong = |error: Errno| {
            Error::io(format!("cannot serve the folder {}", path.display()), error.into()).of(Kind::File)
        };
        let folder = openat(CWD, path, READ | OFlags::DIRECTORY, Mode::empty()).map_err(wrong)?;
        let shown = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let name = std::fs::canonicalize(&shown).ok().and_then(|path| path.file_name().map(ToOwned::to_owned));
        let name = name.map_or_else(|| b"files".to_vec(), OsString::into_vec);
        Ok(Self { folder, shown, name, hidden, by_steps: AtomicBool::new(false) })
    }

    /// The folder's name, for people.
    pub(super) fn shown(&self) -> std::path::Display<'_> {
        self.shown.display()
    }

    /// Whether all names on the way to a place are of those that are shown.
    pub(super) fn shows(&self, place: &Place) -> bool {
        place.names().all(|name| is_shown(name, self.hidden))
    }

    /// The folder's own name, without those on the way to it.
    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    /// Opens what is at a place. Where the way there is not in memory, another thread waits for the disk.
    pub(super) async fn find(self: &Arc<Self>, place: &Place) -> Result<Found, Refusal> {
        if !self.shows(place) {
            return Err(missing());
        }
        let found = match self.look(place, READ, ResolveFlags::CACHED) {
            Err(Errno::AGAIN | Errno::INVAL) => {
                let (root, place) = (self.clone(), place.clone());
                let opened = tokio::task::spawn_blocking(move || root.look(&place, READ, ResolveFlags::empty()));
                opened.await.unwrap_or(Err(Errno::IO))
            }
            found => found,
        };
        found.map_err(refusal)?.found(place)
    }

    /// The same for who is on a thread that may wait.
    pub(super) fn find_waiting(&self, place: &Place) -> Result<Found, Refusal> {
        self.look(place, READ, ResolveFlags::empty()).map_err(refusal)?.found(place)
    }

    /// Opens what has that name in an opened folder, unless it is a link. To be called where one may wait.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn open_in(&self, folder: &Opened, name: &[u8]) -> std::io::Result<Opened> {
        let opened = openat(&folder.file, name, READ | OFlags::NOFOLLOW, Mode::empty())?;
        Ok(Opened::of(opened)?)
    }

    /// What stands in an opened folder, in no order: all but what is not to be seen. To be called where one may wait.
    ///
    /// # Errors
    /// The folder cannot be read. What went away meanwhile is left out.
    pub(super) fn entries(&self, folder: &Opened) -> std::io::Result<impl Iterator<Item = std::io::Result<Entry>>> {
        let entries = Dir::read_from(&folder.file)?;
        let parent = folder.file.as_fd().try_clone_to_owned()?;
        let hidden = self.hidden;
        Ok(entries.filter_map(move |entry| {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error.into())),
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") || !is_shown(name.to_bytes(), hidden) {
                return None;
            }
            match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => Some(Ok(Entry { name: name.to_bytes().to_vec(), facts: Facts::of(&stat) })),
                Err(Errno::NOENT) => None,
                Err(error) => Some(Err(error.into())),
            }
        }))
    }

    /// Where a link in an opened folder leads, as it is written.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn link(&self, folder: &Opened, name: &[u8]) -> std::io::Result<Vec<u8>> {
        Ok(readlinkat(&folder.file, name, Vec::new())?.into_bytes())
    }

    fn look(&self, place: &Place, flags: OFlags, how: ResolveFlags) -> rustix::io::Result<Opened> {
        if self.by_steps.load(Relaxed) {
            return self.step(place, flags);
        }
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | how;
        for _ in 0..TRIES {
            match openat2(&self.folder, place.path(), flags, Mode::empty(), resolve) {
                // Something was renamed on the way; or, where only memory was asked, the disk must be.
                Err(Errno::AGAIN) if !how.contains(ResolveFlags::CACHED) => {}
                Err(Errno::NOSYS) => {
                    self.by_steps.store(true, Relaxed);
                    return self.step(place, flags);
                }
                opened => return Opened::of(opened?),
            }
        }
        Err(Errno::AGAIN)
    }

    /// The same by one name after the other, for kernels without `openat2`.
    fn step(&self, place: &Place, flags: OFlags) -> rustix::io::Result<Opened> {
        const WAY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
        let mut folder = openat(&self.folder, c".", WAY, Mode::empty())?;
        let mut names = place.names().peekable();
        while let Some(name) = names.next() {
            if names.peek().is_none() {
                return Opened::of(openat(&folder, name, flags | OFlags::NOFOLLOW, Mode::empty())?);
            }
            folder = openat(&folder, name, WAY, Mode::empty())?;
        }
        Opened::of(openat(&folder, c".", flags, Mode::empty())?)
    }
}

impl Opened {
    fn of(fd: OwnedFd) -> rustix::io::Result<Self> {
        let facts = Facts::of(&fstat(&fd)?);
        Ok(Self { file: fd.into(), facts })
    }

    fn found(self, place: &Place) -> Result<Found, Refusal> {
        match self.facts.kind {
            FileType::Directory => Ok(Found::Folder(self)),
            FileType::RegularFile if !place.is_folder() => Ok(Found::File(self)),
            FileType::RegularFile => Err(missing()),
            _ => Err(Refusal::new(StatusCode::FORBIDDEN, "this is neither a file nor a folder")),
        }
    }
}

impl Facts {
    pub(super) fn of(stat: &Stat) -> Self {
        let kind = FileType::from_raw_mode(stat.st_mode);
        Self { kind, mode: stat.st_mode, device: stat.st_dev, inode: stat.st_ino, stamp: Stamp::of(stat) }
    }
}

fn missing() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "there is nothing of that name here")
}

/// What an error of opening is to who asked. What a link hides outside is not there.
fn refusal(error: Errno) -> Refusal {
    match error {
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::NAMETOOLONG | Errno::INVAL => missing(),
        Errno::ACCESS | Errno::PERM => Refusal::new(StatusCode::FORBIDDEN, "this server may not read it"),
        Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN => {
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too much is open here now: try again")
        }
        error => {
            let why = format!("it cannot be opened: {}", std::io::Error::from(error));
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, why)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("hullo-root-{name}-{}", std::process::id()));
        // What an earlier run with the same number has left.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("served/a/b")).unwrap();
        std::fs::write(folder.join("served/a/b/file"), "hullo").unwrap();
        std::fs::write(folder.join("secret"), "secret").unwrap();
        for (link, to) in [("out", "../secret"), ("way", ".."), ("absolute", "/etc/hosts"), ("in", "a/b/file")] {
            symlink(to, folder.join("served").join(link)).unwrap();
        }
        folder
    }

    /// What is found at a path: its size, or the status that says why not.
    async fn found(root: &Arc<Root>, path: &str) -> Result<u64, u16> {
        match root.find(&Place::of(path).unwrap()).await {
            Ok(Found::File(file)) => Ok(file.facts.stamp.size),
            Ok(Found::Folder(_)) => Ok(0),
            Err(refusal) => Err(refusal.status.as_u16()),
        }
    }

    #[tokio::test]
    async fn old_kernels_show_the_same_but_for_links() {
        let folder = folder("steps");
        for by_steps in [false, true] {
            let root = Arc::new(Root::open(&folder.join("served"), false).unwrap());
            root.by_steps.store(by_steps, Relaxed);
            for (path, there) in [
                ("/", Ok(0)),
                ("/a", Ok(0)),
                ("/a/b/", Ok(0)),
                ("/a/b/file", Ok(5)),
                ("/a/b/file/", Err(404)),
                ("/a/b/file/x", Err(404)),
                ("/b", Err(404)),
                ("/out", Err(404)),
                ("/way/secret", Err(404)),
                ("/absolute", Err(404)),
                ("/in", if by_steps { Err(404) } else { Ok(5) }),
            ] {
                assert_eq!(found(&root, path).await, there, "{path}, by steps: {by_steps}");
            }
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn only_folders_are_served() {
        let folder = folder("only");
        let wrong = |name: &str| Root::open(&folder.join(name), false).err().unwrap().to_string();
        assert!(wrong("secret").contains("cannot serve the folder"), "{}", wrong("secret"));
        assert!(wrong("nothing").contains("o such file"), "{}", wrong("nothing"));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
