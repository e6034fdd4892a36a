//! Parts that nobody has gone on with for a week: they are thrown away when something else is put into their folder.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::fs::{Dir, fstat};

use super::token::is_part;
use crate::{
    folder::{Folder, Part},
    name::Name,
};

/// How long a part is kept after its last byte.
pub(super) const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How often a folder is looked through.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// Folders of which that is remembered.
const FOLDERS: usize = 1024;

/// When each folder was looked through, by its device and inode.
#[derive(Default)]
pub(super) struct Leftovers(Mutex<HashMap<(u64, u64), Instant>>);

impl Leftovers {
    /// Throws away what is too old in a folder, if it is time to look. To be called where one may wait.
    pub(super) fn clear(&self, folder: &Folder) {
        if !self.is_due(folder) {
            return;
        }
        let Ok(entries) = Dir::read_from(folder) else { return };
        let names = entries.filter_map(|entry| is_part(entry.ok()?.file_name().to_bytes()));
        for name in names.collect::<Vec<_>>() {
            // What cannot be removed now may be the next time.
            let _ = old(folder, &name).map(Part::discard);
        }
    }

    fn is_due(&self, folder: &Folder) -> bool {
        let Ok(facts) = fstat(folder) else { return false };
        let mut looked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.len() >= FOLDERS {
            looked.clear();
        }
        let (now, last) = (Instant::now(), looked.get(&(facts.st_dev, facts.st_ino)));
        let is_due = last.is_none_or(|last| now.duration_since(*last) >= EVERY);
        if is_due {
            looked.insert((facts.st_dev, facts.st_ino), now);
        }
        is_due
    }
}

/// The part of that name, if it is too old and nobody writes it.
fn old(folder: &Folder, name: &Name) -> Option<Part> {
    let part = folder.begin(name).ok()?;
    let modified = part.file().metadata().ok()?.modified().ok()?;
    modified.elapsed().is_ok_and(|age| age > KEPT).then_some(part)
}
