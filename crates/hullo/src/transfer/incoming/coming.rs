//! The file whose content is coming.

use std::{io, os::unix::fs::FileExt};

use super::super::{
    content::{each, zeros},
    keep::Content,
    words::{Hash, malformed},
};
use crate::{
    error::Result,
    folder::{Folder, Part},
    name::Name,
};

/// Files up to that size are kept in memory until they are whole, and written by other threads.
const SMALL: u64 = 128 << 10;

/// What has come of a file.
pub(super) struct Coming {
    pub(super) id: u64,
    size: Option<u64>,
    hasher: blake3::Hasher,
    offset: u64,
    from: u64,
    into: Into,
}

/// Where it goes.
enum Into {
    Memory(Vec<u8>),
    Part(Part),
    /// Nowhere: it failed already, and that has been said.
    Nowhere,
}

/// What there is at the end.
pub(super) enum Came {
    /// All of it, and so many bytes travelled.
    Whole(Content, u64),
    /// Something else.
    Spoilt,
    /// Nothing: it failed already.
    Nothing,
}

impl Coming {
    /// A file that is kept nowhere.
    pub(super) fn nowhere(id: u64, size: Option<u64>, offset: u64) -> Self {
        Self { id, size, hasher: blake3::Hasher::new(), offset, from: offset, into: Into::Nowhere }
    }

    /// Begins a file, or goes on with a part of it.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn begin(&mut self, folder: &Folder, name: &Name, part: Option<Part>, fresh: bool) -> io::Result<()> {
        if part.is_none() && self.size.is_some_and(|size| size <= SMALL) {
            self.into = Into::Memory(Vec::with_capacity(self.size.unwrap_or_default() as usize));
            return Ok(());
        }
        let part = match part {
            Some(part) => part,
            None if fresh => folder.begin_first(name)?,
            None => folder.begin(name)?,
        };
        part.file().set_len(self.offset)?;
        let hasher = &mut self.hasher;
        each(part.file(), 0, self.offset, |piece| {
            hasher.update(piece);
        })?;
        self.into = Into::Part(part);
        Ok(())
    }

    /// Takes more of the content.
    pub(super) fn write(&mut self, content: &[u8]) -> Result<io::Result<()>> {
        let start = self.advance(content.len() as u64)?;
        Ok(match &mut self.into {
            Into::Memory(bytes) => {
                bytes.extend_from_slice(content);
                Ok(())
            }
            Into::Part(part) => {
                self.hasher.update(content);
                part.file().write_all_at(content, start)
            }
            Into::Nowhere => Ok(()),
        })
    }

    /// Takes so many zeros more.
    pub(super) fn hole(&mut self, length: u64) -> Result<io::Result<()>> {
        self.advance(length)?;
        Ok(match &mut self.into {
            Into::Memory(bytes) => {
                bytes.resize(self.offset as usize, 0);
                Ok(())
            }
            Into::Part(part) => {
                // What no file can hold is not worth the long time that its hash takes.
                let longer = part.file().set_len(self.offset);
                if longer.is_ok() {
                    zeros(&mut self.hasher, length);
                }
                longer
            }
            Into::Nowhere => Ok(()),
        })
    }

    /// Goes on by so much, and says where from.
    fn advance(&mut self, length: u64) -> Result<u64> {
        let end = self.offset.checked_add(length).filter(|end| self.size.is_none_or(|size| *end <= size));
        let end = end.ok_or_else(|| malformed("more content than the file has"))?;
        Ok(std::mem::replace(&mut self.offset, end))
    }

    /// It cannot be kept. What is there of it stays, for the next attempt.
    pub(super) fn give_up(&mut self) {
        self.into = Into::Nowhere;
    }

    /// Looks at what came; the hash of what is in memory is looked at by who writes it.
    pub(super) fn end(self, hash: &Hash) -> Came {
        let whole = self.size.is_none_or(|size| size == self.offset);
        let bytes = self.offset - self.from;
        match self.into {
            Into::Nowhere => Came::Nothing,
            Into::Memory(content) if whole => Came::Whole(Content::Memory(content), bytes),
            Into::Part(part) if whole && self.hasher.finalize() == *hash => Came::Whole(Content::Part(part), bytes),
            into => {
                into.discard();
                Came::Spoilt
            }
        }
    }

    /// Throws away what came. Says whether it was still wanted.
    pub(super) fn discard(self) -> bool {
        let wanted = !matches!(self.into, Into::Nowhere);
        self.into.discard();
        wanted
    }
}

impl Into {
    fn discard(self) {
        if let Self::Part(part) = self {
            // Where it cannot be removed the next attempt will find that it is another one.
            let _ = part.discard();
        }
    }
}
