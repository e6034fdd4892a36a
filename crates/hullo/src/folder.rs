//! A folder, and what is written beneath it: never through a link, never half, never over something unless told.
//!
//! Every step down is an `openat` that follows no link, so it does not matter who changes names meanwhile. A file is
//! written under another name beside its own ([`Part`]) and renamed when it is whole.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::{Arc, LazyLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::{
    fs::{
        AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, RenameFlags, Stat, Timespec, Timestamps, UTIME_OMIT,
        fchmod, flock, fstat, fsync, futimens, linkat, mkdirat, openat, renameat, renameat_with, statat, symlinkat,
        unlinkat, utimensat,
    },
    io::Errno,
};

use crate::name::Name;

/// An open folder. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Folder(Arc<OwnedFd>);

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const NO_LINK: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC);

/// Where the system shows our open files by their numbers.
const OPEN_FILES: &str = "/proc/self/fd";

impl Folder {
    /// Opens a folder that the user named; links in that path are the user's own, and are followed.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(Arc::new(rustix::fs::open(path, FOLDER, Mode::empty())?)))
    }

    /// The folder of that name in this one.
    pub(crate) fn enter(&self, name: &Name) -> io::Result<Self> {
        Ok(Self(Arc::new(openat(&self.0, name.as_os(), FOLDER | NO_LINK, Mode::empty())?)))
    }

    /// The same, which is made where it is not there; then only this user may look into it until [`dress`](Self::dress).
    /// Says whether it was made.
    pub(crate) fn make(&self, name: &Name) -> io::Result<(Self, bool)> {
        let made = match mkdirat(&self.0, name.as_os(), Mode::RWXU) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(error.into()),
        };
        Ok((self.enter(name)?, made))
    }

    /// What is there of that name; a link is itself.
    pub(crate) fn status(&self, name: &Name) -> io::Result<Option<Stat>> {
        match statat(&self.0, name.as_os(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => Ok(Some(status)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a file of that name for reading; a pipe does not hold us up.
    pub(crate) fn read(&self, name: &Name) -> io::Result<File> {
        Ok(File::from(openat(&self.0, name.as_os(), OFlags::RDONLY | OFlags::NONBLOCK | NO_LINK, Mode::empty())?))
    }

    /// Begins the file of that name, or goes on with what an earlier attempt left of it.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where somebody else is writing it now.
    pub(crate) fn begin(&self, name: &Name) -> io::Result<Part> {
        let temporary = name.part();
        let opened = match self.open_part(&temporary) {
            Err(Errno::ACCESS) => self.free(&temporary).and_then(|()| self.open_part(&temporary)),
            other => other,
        };
        let part = self.locked(temporary.clone(), File::from(opened?))?;
        let (ours, there) = (fstat(&part.file)?, self.status(&temporary)?);
        if FileType::from_raw_mode(ours.st_mode) != FileType::RegularFile {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        // Who had the lock before us may have given the file its name: then it is theirs, and whole.
        let same = there.is_some_and(|there| (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino));
        if same { Ok(part) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    fn open_part(&self, temporary: &Name) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NONBLOCK | NO_LINK;
        openat(&self.0, temporary.as_os(), flags, Mode::RUSR | Mode::WUSR)
    }

    /// An earlier attempt was stopped when its part had the rights of the file already, by which we may not write it.
    fn free(&self, temporary: &Name) -> Result<(), Errno> {
        match openat(&self.0, temporary.as_os(), OFlags::RDONLY | OFlags::NONBLOCK | NO_LINK, Mode::empty()) {
            Ok(file) => {
                flock(&file, FlockOperation::NonBlockingLockExclusive)?;
                fchmod(&file, Mode::RUSR | Mode::WUSR)
            }
            // Not even read: there is nothing to go on with.
            Err(Errno::ACCESS) => unlinkat(&self.0, temporary.as_os(), AtFlags::empty()),
            Err(error) => Err(error),
        }
    }

    /// Begins a file that has no name at all until it is whole, and leaves nothing when we are killed; nothing where the
    /// file system has no such files. Names are what costs most of a small file on the disk.
    pub(crate) fn begin_nameless(&self) -> io::Result<Option<Part>> {
        static LINKS: LazyLock<bool> = LazyLock::new(|| Path::new(OPEN_FILES).exists());
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        match LINKS.then(|| openat(&self.0, ".", flags, Mode::RUSR | Mode::WUSR)) {
            Some(Ok(file)) => Ok(Some(Part { folder: self.clone(), temporary: None, file: File::from(file) })),
            None | Some(Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT)) => Ok(None),
            Some(Err(error)) => Err(error.into()),
        }
    }

    /// Begins a file of which nobody has begun anything, in a folder that we have made ourselves.
    pub(crate) fn begin_first(&self, name: &Name) -> io::Result<Part> {
        let temporary = name.part();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | NO_LINK;
        let file = File::from(openat(&self.0, temporary.as_os(), flags, Mode::RUSR | Mode::WUSR)?);
        self.locked(temporary, file)
    }

    /// A part that nobody else writes. The system lets go of it with the last descriptor, also when we are killed.
    fn locked(&self, temporary: Name, file: File) -> io::Result<Part> {
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Part { folder: self.clone(), temporary: Some(temporary), file })
    }

    /// Makes a link of that name, which nobody here will follow.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`], unless it may `replace` what is there.
    pub(crate) fn link(&self, name: &Name, target: &OsStr, modified: SystemTime, replace: bool) -> io::Result<()> {
        if !replace {
            symlinkat(target, &self.0, name.as_os())?;
        } else {
            let temporary = name.part();
            match unlinkat(&self.0, temporary.as_os(), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
            symlinkat(target, &self.0, temporary.as_os())?;
            renameat(&self.0, temporary.as_os(), &self.0, name.as_os()).inspect_err(|_| {
                // It is in nobody's way, and what is wrong has been found already.
                let _ = unlinkat(&self.0, temporary.as_os(), AtFlags::empty());
            })?;
        }
        // Not every file system keeps the time of a link.
        let _ = utimensat(&self.0, name.as_os(), &times(modified), AtFlags::SYMLINK_NOFOLLOW);
        Ok(())
    }

    fn rename(&self, from: &Name, to: &Name, replace: bool) -> io::Result<()> {
        if replace {
            return Ok(renameat(&self.0, from.as_os(), &self.0, to.as_os())?);
        }
        match renameat_with(&self.0, from.as_os(), &self.0, to.as_os(), RenameFlags::NOREPLACE) {
            // Some file systems cannot; a second name is never put over another one, on any.
            Err(Errno::INVAL | Errno::NOSYS) => {
                linkat(&self.0, from.as_os(), &self.0, to.as_os(), AtFlags::empty())?;
                Ok(unlinkat(&self.0, from.as_os(), AtFlags::empty())?)
            }
            other => Ok(other?),
        }
    }

    /// Gives the folder its mode, where there is one, and its time, when nothing is written in it any more.
    pub(crate) fn dress(&self, mode: Option<u32>, modified: SystemTime) -> io::Result<()> {
        if let Some(mode) = mode {
            fchmod(&self.0, permissions(mode))?;
        }
        Ok(futimens(&self.0, &times(modified))?)
    }

    /// Waits until the names in it are on the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(fsync(&self.0)?)
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A file that is not whole yet. It stays when this is dropped, for the next attempt to go on with.
#[derive(Debug)]
pub(crate) struct Part {
    folder: Folder,
    /// Its name until then, if it has one.
    temporary: Option<Name>,
    file: File,
}

impl Part {
    /// The file itself: it is at its beginning, and may have content.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Gives it its mode and time, has it on the disk where `durable`, and gives it its name.
    ///
    /// # Errors
    /// As [`name`](Self::name).
    pub(crate) fn finish(&self, name: &Name, mode: u32, modified: SystemTime, how: Finish) -> io::Result<()> {
        self.dress(mode, modified)?;
        if how.durable {
            self.file.sync_all()?;
        }
        self.name(name, how.replace)
    }

    /// Gives it its mode and time.
    pub(crate) fn dress(&self, mode: u32, modified: SystemTime) -> io::Result<()> {
        fchmod(&self.file, permissions(mode))?;
        Ok(futimens(&self.file, &times(modified))?)
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] where that name is taken, unless it may `replace` what is there: then it is still
    /// there as a part.
    pub(crate) fn name(&self, name: &Name, replace: bool) -> io::Result<()> {
        match &self.temporary {
            Some(temporary) => self.folder.rename(temporary, name, replace),
            None if replace => Err(io::ErrorKind::Unsupported.into()),
            None => Ok(self.link(name)?),
        }
    }

    /// Gives a file without a name one. Before Linux 6.10 only root may say so by the file itself.
    fn link(&self, name: &Name) -> Result<(), Errno> {
        match linkat(&self.file, "", &self.folder.0, name.as_os(), AtFlags::EMPTY_PATH) {
            Err(Errno::NOENT | Errno::PERM) => {
                let file = format!("{OPEN_FILES}/{}", self.file.as_raw_fd());
                linkat(CWD, file, &self.folder.0, name.as_os(), AtFlags::SYMLINK_FOLLOW)
            }
            linked => linked,
        }
    }

    /// Throws it away.
    pub(crate) fn discard(self) -> io::Result<()> {
        match &self.temporary {
            Some(temporary) => Ok(unlinkat(&self.folder.0, temporary.as_os(), AtFlags::empty())?),
            None => Ok(()),
        }
    }
}

/// How a file gets its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finish {
    /// Whether its content must be on the disk before that.
    pub(crate) durable: bool,
    /// Whether it may take the place of another.
    pub(crate) replace: bool,
}

/// Who may do what; never what a program becomes when it is run (setuid, setgid, sticky).
fn permissions(mode: u32) -> Mode {
    Mode::from_raw_mode(mode & 0o777)
}

/// The time of the last change; that of the last look stays as it is.
fn times(modified: SystemTime) -> Timestamps {
    let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    Timestamps { last_access: omit, last_modification: timespec(modified) }
}

/// Seconds since 1970 and nanoseconds after them, as a time; what is none is 1970.
pub(crate) fn time((seconds, nanoseconds): (i64, u32)) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let begin = if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    let rest = Duration::from_nanos(nanoseconds.min(999_999_999).into());
    begin.and_then(|time| time.checked_add(rest)).unwrap_or(UNIX_EPOCH)
}

fn timespec(time: SystemTime) -> Timespec {
    let split = |since: Duration| (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), i64::from(since.subsec_nanos()));
    let (tv_sec, tv_nsec) = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => split(since),
        Err(before) => match split(before.duration()) {
            (seconds, 0) => (-seconds, 0),
            (seconds, nanos) => (-seconds - 1, 1_000_000_000 - nanos),
        },
    };
    Timespec { tv_sec, tv_nsec }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write, os::unix::fs::symlink, path::PathBuf};

    use super::*;

    const PLAIN: Finish = Finish { durable: false, replace: false };

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("hullo-folder-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn name(text: &str) -> Name {
        Name::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_file_has_its_name_only_when_it_is_whole() {
        let path = scratch("whole");
        let folder = Folder::open(&path).unwrap();
        let part = folder.begin(&name("a")).unwrap();
        part.file().write_all(b"half").unwrap();
        assert!(!path.join("a").exists());
        assert_eq!(folder.begin(&name("a")).unwrap_err().kind(), io::ErrorKind::WouldBlock, "one at a time");
        drop(part);
        let part = folder.begin(&name("a")).unwrap();
        assert_eq!(part.file().metadata().unwrap().len(), 4, "what an earlier attempt left is there");
        part.finish(&name("a"), 0o4755, UNIX_EPOCH - Duration::from_millis(1), PLAIN).unwrap();
        let status = folder.status(&name("a")).unwrap().unwrap();
        assert_eq!((status.st_mode & 0o7777, status.st_mtime, status.st_mtime_nsec), (0o755, -1, 999_000_000));
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_file_without_a_name_gets_one_that_is_free() {
        let path = scratch("nameless");
        let folder = Folder::open(&path).unwrap();
        // Not every file system has such files.
        let Some(part) = folder.begin_nameless().unwrap() else { return };
        part.file().write_all(b"whole").unwrap();
        part.dress(0o640, UNIX_EPOCH).unwrap();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        fs::write(path.join("taken"), "old").unwrap();
        assert_eq!(part.name(&name("taken"), false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        part.name(&name("a"), false).unwrap();
        assert_eq!(
            (fs::read(path.join("taken")).unwrap(), fs::read(path.join("a")).unwrap()),
            (b"old".into(), b"whole".into())
        );
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn nothing_is_replaced_unless_told() {
        let path = scratch("replace");
        let folder = Folder::open(&path).unwrap();
        fs::write(path.join("a"), "old").unwrap();
        let part = folder.begin(&name("a")).unwrap();
        let kept = part.finish(&name("a"), 0o644, UNIX_EPOCH, PLAIN).unwrap_err();
        assert_eq!(kept.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(path.join("a")).unwrap(), b"old");
        let kept = folder.link(&name("a"), OsStr::new("b"), UNIX_EPOCH, false).unwrap_err();
        assert_eq!(kept.kind(), io::ErrorKind::AlreadyExists);
        part.finish(&name("a"), 0o644, UNIX_EPOCH, Finish { replace: true, ..PLAIN }).unwrap();
        assert_eq!(fs::read(path.join("a")).unwrap(), b"");
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn no_link_is_followed() {
        let (path, outside) = (scratch("link"), scratch("outside"));
        fs::write(outside.join("secret"), "secret").unwrap();
        symlink(&outside, path.join("folder")).unwrap();
        symlink(outside.join("secret"), path.join("file")).unwrap();
        symlink(outside.join("secret"), path.join(".new.hullo-part")).unwrap();
        let folder = Folder::open(&path).unwrap();
        assert!(folder.enter(&name("folder")).is_err());
        assert!(folder.make(&name("folder")).is_err());
        assert!(folder.read(&name("file")).is_err());
        assert!(folder.begin(&name("new")).is_err(), "not even one in the place of our own part");
        let part = folder.begin(&name("file")).unwrap();
        part.finish(&name("file"), 0o600, UNIX_EPOCH, Finish { replace: true, ..PLAIN }).unwrap();
        assert_eq!(
            fs::read(outside.join("secret")).unwrap(),
            b"secret",
            "the link was replaced, and not what it led to"
        );
        fs::remove_dir_all(path).unwrap();
        fs::remove_dir_all(outside).unwrap();
    }
}
