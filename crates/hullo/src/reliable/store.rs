//! Bytes by their place in the stream, in chunks: what waits to be confirmed, and what waits to be read.

use std::{collections::VecDeque, ops::Range};

/// Large enough that a chunk costs nothing beside its bytes, small enough that a few do not matter.
const CHUNK: usize = 64 << 10;

/// A window on a stream. A chunk exists from its first byte on, and goes when the window has passed it.
#[derive(Default)]
pub(super) struct Store {
    base: u64,
    chunks: VecDeque<Option<Box<[u8]>>>,
}

impl Store {
    /// Writes bytes at their place, which the window has not passed.
    pub(super) fn put(&mut self, mut at: u64, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Some((chunk, start)) = self.place(at) else { return };
            if self.chunks.len() <= chunk {
                self.chunks.resize_with(chunk + 1, || None);
            }
            let chunk = self.chunks[chunk].get_or_insert_with(|| vec![0; CHUNK].into());
            let n = bytes.len().min(CHUNK - start);
            chunk[start..start + n].copy_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            at += n as u64;
        }
    }

    /// The bytes of a range, in the pieces that they lie in.
    pub(super) fn pieces(&self, range: Range<u64>) -> impl Iterator<Item = &[u8]> {
        let mut at = range.start;
        std::iter::from_fn(move || {
            let (chunk, start) = self.place(at).filter(|_| at < range.end)?;
            let chunk = self.chunks.get(chunk)?.as_ref()?;
            let n = usize::try_from(range.end - at).unwrap_or(CHUNK).min(CHUNK - start);
            at += n as u64;
            Some(&chunk[start..start + n])
        })
    }

    /// Moves the window on: what lies before `to` is not asked for again.
    pub(super) fn release(&mut self, to: u64) {
        while to.saturating_sub(self.base) >= CHUNK as u64 {
            self.base += CHUNK as u64;
            self.chunks.pop_front();
        }
    }

    /// Gives everything back; the stream goes on at `at`.
    pub(super) fn clear(&mut self, at: u64) {
        *self = Self { base: at, chunks: VecDeque::new() };
    }

    /// The chunk that a place lies in, and where in it.
    fn place(&self, at: u64) -> Option<(usize, usize)> {
        let within = usize::try_from(at.checked_sub(self.base)?).ok()?;
        Some((within / CHUNK, within % CHUNK))
    }
}
