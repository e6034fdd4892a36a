//! Where a file is to be: its folder, opened without following a link, and its name.

use std::{io, os::unix::ffi::OsStrExt, time::SystemTime};

use http::StatusCode;
use rustix::{
    fs::{FileType, fstatvfs},
    io::Errno,
};
use tokio::task::spawn_blocking;

use super::{
    super::{
        Refusal,
        download::tag,
        place::Place,
        root::{Facts, Root},
        words::shown,
    },
    Uploads,
};
use crate::{
    folder::Folder,
    io::{condition::Condition, file::Stamp},
    name::Name,
};

/// A name in a folder.
pub(super) struct Target {
    pub(super) folder: Folder,
    pub(super) name: Name,
}

impl Target {
    /// Steps down to it. Folders that are not there are made where `makes`. To be called where one may wait.
    pub(super) fn of(uploads: &Uploads, root: &Root, place: &Place, makes: bool) -> Result<Self, Refusal> {
        let name = |bytes| Name::new(bytes).map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.to_string()));
        let mut names = place.names().map(name).collect::<Result<Vec<_>, _>>()?;
        if !root.shows(place) {
            let why = "names that begin with a dot are hidden in this folder, and nothing is put there";
            return Err(Refusal::new(StatusCode::FORBIDDEN, why));
        }
        let Some(last) = names.pop() else {
            return Err(Refusal::new(StatusCode::CONFLICT, "this is the folder itself, and it is there"));
        };
        let mut folder = uploads.folder.clone();
        for name in &names {
            let entered = match folder.enter(name) {
                Err(error) if makes && error.kind() == io::ErrorKind::NotFound => {
                    uploads.make(&folder, name).map(|(made, _)| made)
                }
                entered => entered,
            };
            folder = entered.map_err(|error| refused(&error, "a folder on the way cannot be entered"))?;
        }
        Ok(Self { folder, name: last })
    }

    /// Whether the file may be put there now, as the client wants it and as this server allows it. Says whether something
    /// is there that it replaces.
    pub(super) fn check(&self, condition: &Condition, replaces: bool) -> Result<bool, Refusal> {
        let there =
            self.folder.status(&self.name).map_err(|error| refused(&error, "it cannot be seen what is there"))?;
        let there = there.map(|status| Facts::of(&status));
        // The times of HTTP have no parts of a second.
        let in_seconds = |stamp: Stamp| Stamp { modified: (stamp.modified.0, 0), ..stamp }.modified();
        let modified = there.map(|facts| in_seconds(facts.stamp));
        condition.allows(there.as_ref().map(tag).as_deref(), modified)?;
        match there {
            None => Ok(false),
            Some(facts) if facts.kind == FileType::Directory => {
                Err(self.conflict("is a folder, and no file takes its place"))
            }
            Some(_) if !replaces => Err(self.taken()),
            Some(_) => Ok(true),
        }
    }

    pub(super) fn taken(&self) -> Refusal {
        self.conflict("is there already, and nothing is replaced here (hullo serve files --overwrite would)")
    }

    /// RFC 4918, section 9.3.1: a folder is made where nothing is.
    pub(super) fn is_there(&self) -> Refusal {
        Refusal::new(StatusCode::METHOD_NOT_ALLOWED, format!("'{}' is there already", self.shown()))
    }

    fn conflict(&self, why: &str) -> Refusal {
        Refusal::new(StatusCode::CONFLICT, format!("'{}' {why}", self.shown()))
    }

    pub(super) fn shown(&self) -> String {
        shown(self.name.as_os().as_bytes())
    }

    /// Refuses what the disk has no room for, before it is sent.
    pub(super) fn has_room(&self, bytes: u64) -> Result<(), Refusal> {
        // Where the file system does not say it, writing will.
        let Ok(disk) = fstatvfs(&self.folder) else { return Ok(()) };
        if disk.f_bavail.saturating_mul(disk.f_frsize) >= bytes {
            return Ok(());
        }
        let why = format!("the disk of this server has no room for {bytes} bytes more");
        Err(Refusal::new(StatusCode::INSUFFICIENT_STORAGE, why))
    }
}

impl Uploads {
    /// Makes a folder with the mode that this process gives to all it makes. Says whether it was not there yet.
    pub(super) fn make(&self, folder: &Folder, name: &Name) -> io::Result<(Folder, bool)> {
        let (made, new) = folder.make(name)?;
        if new {
            made.dress(Some(0o777 & !self.mask), SystemTime::now())?;
            folder.sync()?;
        }
        Ok((made, new))
    }
}

/// What an error of writing is to who sends.
pub(super) fn refused(error: &io::Error, what: &str) -> Refusal {
    let status = match error.kind() {
        io::ErrorKind::NotFound => StatusCode::NOT_FOUND,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => StatusCode::FORBIDDEN,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StatusCode::INSUFFICIENT_STORAGE,
        io::ErrorKind::FileTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        io::ErrorKind::AlreadyExists | io::ErrorKind::IsADirectory | io::ErrorKind::WouldBlock => StatusCode::CONFLICT,
        _ => match Errno::from_io_error(error) {
            // A link, or a file: nothing is written through either.
            Some(Errno::LOOP | Errno::NOTDIR) => StatusCode::CONFLICT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        },
    };
    let why = match Errno::from_io_error(error) {
        Some(Errno::LOOP | Errno::NOTDIR) => "it is a link or a file, and no folder".to_owned(),
        _ => crate::error::plain(&error.to_string()),
    };
    Refusal::new(status, format!("{what}: {why}"))
}

/// Does what may wait for the disk on another thread.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("it broke down: {error}"))))
}
