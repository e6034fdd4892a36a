//! What is here already of what is announced.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    hash::{BuildHasher, RandomState},
    io,
    path::Path,
    sync::{Mutex, PoisonError},
};

use rustix::{
    fs::{FileType, Mode, fchmod, fstat},
    io::Errno,
};

use super::super::{
    Existing, Outcome,
    content::each,
    walk,
    words::{Hash, Time, block},
};
use crate::{
    error::plain,
    folder::{Folder, Part},
    name::Name,
};

/// A file whose hash takes so long that it is remembered.
const LARGE: u64 = 1 << 30;

/// What this end has received in one session, over all its connections: it need not be compared again.
#[derive(Default)]
pub(in super::super) struct Memory {
    hasher: RandomState,
    known: Mutex<HashSet<u64>>,
    /// The hashes of large files that were here, by what they are: a broken connection must not cost them again.
    hashes: Mutex<HashMap<u64, Hash>>,
}

impl Memory {
    /// What a file is known by.
    pub(super) fn key(&self, path: &Path, size: Option<u64>, modified: Time) -> u64 {
        self.hasher.hash_one((path, size, modified))
    }

    /// The hash of a file that is here.
    fn hash(&self, folder: &Folder, name: &Name) -> io::Result<Hash> {
        let file = folder.read(name)?;
        let status = fstat(&file)?;
        let size = walk::size(&status);
        if size < LARGE {
            return hash(&file, 0, size);
        }
        let (modified, changed) = (walk::modified(&status), (status.st_ctime, status.st_ctime_nsec));
        let key = self.hasher.hash_one((status.st_dev, status.st_ino, size, modified, changed));
        let hashes = || self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hash) = hashes().get(&key) {
            return Ok(*hash);
        }
        let hash = hash(&file, 0, size)?;
        hashes().insert(key, hash);
        Ok(hash)
    }

    fn knows(&self, key: u64) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(&key)
    }

    pub(super) fn learn(&self, key: u64) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
    }
}

/// What is here of a file.
pub(super) enum Look {
    /// Nothing.
    Nothing,
    /// What an earlier attempt left: so much, in blocks with these hashes.
    Part(Part, u64, Vec<Hash>),
    /// A file of that size, with that hash.
    Compare(Hash),
    /// It need not be asked for.
    Settled(Outcome),
}

pub(in super::super) const TAKEN: &str = "another file of that name is there already";

/// A file as it was announced.
pub(super) struct Wanted<'a> {
    pub(super) name: &'a Name,
    pub(super) size: Option<u64>,
    pub(super) modified: Time,
    pub(super) key: u64,
}

/// Looks for a file, and for what an earlier attempt left of it.
pub(super) fn look(folder: &Folder, file: &Wanted<'_>, existing: Existing, memory: &Memory) -> io::Result<Look> {
    if existing == Existing::KeepBoth
        && let Some(hash) = beside(folder, file, memory)?
    {
        return Ok(Look::Compare(hash));
    }
    if let Some(status) = folder.status(file.name)? {
        let kind = FileType::from_raw_mode(status.st_mode);
        if kind == FileType::RegularFile && memory.knows(file.key) && walk::modified(&status) == file.modified {
            return Ok(Look::Settled(Outcome::Here));
        }
        if kind == FileType::RegularFile && file.size == Some(walk::size(&status)) {
            return match existing {
                Existing::Skip => Ok(Look::Settled(Outcome::Skipped)),
                _ => memory.hash(folder, file.name).map(Look::Compare),
            };
        }
        match existing {
            Existing::Refuse => return Ok(Look::Settled(Outcome::Failed(TAKEN.to_owned()))),
            Existing::Skip => return Ok(Look::Settled(Outcome::Skipped)),
            Existing::Replace if kind == FileType::Directory => {
                return Ok(Look::Settled(Outcome::Failed("a folder of that name is there already".to_owned())));
            }
            Existing::Replace | Existing::KeepBoth => {}
        }
    }
    if folder.status(&file.name.part())?.is_none() {
        return Ok(Look::Nothing);
    }
    let part = folder.begin(file.name)?;
    let Some(size) = file.size else {
        // It cannot be compared; what came of it over an earlier connection of this session is known.
        let length = if memory.knows(file.key) { part.file().metadata()?.len() } else { 0 };
        return Ok(Look::Part(part, length, Vec::new()));
    };
    let length = part.file().metadata()?.len().min(size);
    let block = block(size);
    let blocks = (0..length.div_ceil(block)).map(|n| hash(part.file(), n * block, block.min(length - n * block)));
    let blocks = blocks.collect::<io::Result<_>>()?;
    Ok(Look::Part(part, length, blocks))
}

/// The hash of the file that an earlier attempt put beside the one of that name, if it did.
fn beside(folder: &Folder, file: &Wanted<'_>, memory: &Memory) -> io::Result<Option<Hash>> {
    for n in 2.. {
        let name = file.name.beside(n);
        let Some(status) = folder.status(&name)? else { break };
        let size = walk::size(&status);
        let regular = FileType::from_raw_mode(status.st_mode) == FileType::RegularFile;
        if regular && file.size == Some(size) && walk::modified(&status) == file.modified {
            return memory.hash(folder, &name).map(Some);
        }
    }
    Ok(None)
}

fn hash(file: &File, offset: u64, length: u64) -> io::Result<Hash> {
    let mut hasher = blake3::Hasher::new();
    each(file, offset, length, |piece| {
        hasher.update(piece);
    })?;
    Ok(hasher.finalize().into())
}

/// Makes a folder, or takes the one that is there. One of ours is open to us until all of it has come. Says whether it was
/// made, and whether its mode is ours to set.
pub(super) fn made(folder: &Folder, name: &Name, mode: u32) -> io::Result<(Folder, bool, bool)> {
    let (folder, fresh) = folder.make(name)?;
    let open = mode & 0o777 | 0o700;
    if fresh {
        fchmod(&folder, Mode::from_raw_mode(open))?;
    }
    // One with these rights may be what an earlier attempt made: it is given the sender's at the end, which are no more.
    let ours = fresh || fstat(&folder)?.st_mode & 0o777 == open;
    Ok((folder, fresh, ours))
}

/// Whether a link in a folder of that depth may lead out of where we write. What goes up must do so at its beginning, where
/// the folders are those that we have made; behind another link `..` may be anywhere.
pub(super) fn leads_outside(target: &[u8], depth: usize) -> bool {
    let up = |part: &&[u8]| *part == b"..";
    let parts = || target.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    target.first().is_none_or(|byte| *byte == b'/')
        || parts().take_while(up).count() > depth
        || parts().skip_while(up).any(|part| part == b"..")
}

/// Why something cannot be kept, in words.
pub(super) fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock => "somebody else is receiving it at this moment".to_owned(),
        io::ErrorKind::AlreadyExists => TAKEN.to_owned(),
        io::ErrorKind::NotADirectory => "something else of that name is there already".to_owned(),
        _ if Errno::from_io_error(error) == Some(Errno::LOOP) => "a link of that name is there already".to_owned(),
        _ => plain(&error.to_string()),
    }
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
