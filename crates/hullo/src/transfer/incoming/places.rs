//! The folders that the sender has announced and not left, and what in them is not settled.

use std::{collections::HashMap, ffi::OsStr, os::unix::ffi::OsStrExt, path::PathBuf};

use super::super::{
    keep::{Job, Keeper},
    time,
    words::{Time, malformed},
};
use crate::{error::Result, folder::Folder};

/// The most folders at once: as deep as a sender may go, and what it announces ahead.
const MOST: usize = 2048;

/// The longest path: as deep as a sender goes, with the longest names.
const LONGEST: usize = 64 << 10;

/// Folders by their numbers.
pub(super) struct Places(HashMap<u64, Place>);

/// A folder.
pub(super) struct Place {
    /// Nothing where it was refused: then all that is in it is.
    pub(super) folder: Option<Folder>,
    /// Whether we made it, so that nothing of anybody else's is in it.
    pub(super) fresh: bool,
    /// Whether its mode is ours to set.
    pub(super) ours: bool,
    pub(super) path: PathBuf,
    pub(super) depth: usize,
    parent: u64,
    mode: u32,
    modified: Time,
    /// What is in it and not settled.
    open: usize,
    left: bool,
}

impl Places {
    /// With the folder that the receiver has chosen.
    pub(super) fn new(root: Folder) -> Self {
        let mut places = Self(HashMap::new());
        places.0.insert(0, Place::new(0, 0, (0, 0), 0));
        if let Some(place) = places.0.get_mut(&0) {
            place.folder = Some(root);
        }
        places
    }

    /// A folder that is open.
    pub(super) fn get(&self, id: u64) -> Result<&Place> {
        let place = self.0.get(&id).filter(|place| !place.left);
        place.ok_or_else(|| malformed("something in a folder that is not open"))
    }

    /// The path of something in a folder.
    pub(super) fn path(&self, parent: u64, name: &OsStr) -> PathBuf {
        self.0.get(&parent).map_or_else(PathBuf::new, |place| place.path.join(name))
    }

    /// One more folder; what it is will be said.
    pub(super) fn add(&mut self, id: u64, parent: u64, name: &[u8], mode: u32, modified: Time) -> Result<&mut Place> {
        if self.0.len() >= MOST {
            return Err(malformed("too many folders at once"));
        }
        let mut place = Place::new(parent, mode, modified, self.get(parent)?.depth + 1);
        place.path = self.path(parent, OsStr::from_bytes(name));
        if place.path.as_os_str().len() > LONGEST {
            return Err(malformed("a path that is too long"));
        }
        self.begin(parent);
        Ok(self.0.entry(id).or_insert(place))
    }

    /// One more thing in that folder is not settled.
    pub(super) fn begin(&mut self, parent: u64) {
        if let Some(place) = self.0.get_mut(&parent) {
            place.open += 1;
        }
    }

    /// One of those in that folder is settled.
    pub(super) fn settled(&mut self, parent: u64, keeper: &mut Keeper) {
        if let Some(place) = self.0.get_mut(&parent) {
            place.open = place.open.saturating_sub(1);
        }
        self.close(parent, keeper);
    }

    /// Nothing more comes in that folder.
    pub(super) fn leave(&mut self, id: u64, keeper: &mut Keeper) -> Result<()> {
        match self.0.get_mut(&id) {
            Some(place) if id != 0 && !place.left => place.left = true,
            _ => return Err(malformed("the end of a folder that is not open")),
        }
        self.close(id, keeper);
        Ok(())
    }

    /// Gives a folder its mode and time once all in it is settled, and then perhaps the one that it is in.
    fn close(&mut self, mut id: u64, keeper: &mut Keeper) {
        while self.0.get(&id).is_some_and(|place| place.left && place.open == 0) {
            let Some(place) = self.0.remove(&id) else { return };
            if let Some(folder) = place.folder {
                let mode = place.ours.then_some(place.mode);
                keeper.add(Job::Folder { folder, mode, modified: time(place.modified), path: place.path });
            }
            id = place.parent;
            if let Some(parent) = self.0.get_mut(&id) {
                parent.open = parent.open.saturating_sub(1);
            }
        }
    }
}

impl Place {
    fn new(parent: u64, mode: u32, modified: Time, depth: usize) -> Self {
        Self {
            folder: None,
            fresh: false,
            ours: false,
            path: PathBuf::new(),
            depth,
            parent,
            mode,
            modified,
            open: 0,
            left: false,
        }
    }
}
