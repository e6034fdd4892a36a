//! One direction of a TCP connection, put together from its segments. Pure.

use std::collections::BTreeMap;

use super::{Piece, What};

/// How many pieces may wait for one that comes later.
const WAITING: usize = 1 << 16;

/// What is known of a direction.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// The number of the next byte, once it is known.
    next: Option<u32>,
    /// How many bytes have come.
    position: u64,
    /// Pieces of which the bytes before them have not come, by their places.
    waiting: BTreeMap<u64, Piece>,
    /// Where it ends.
    end: Option<u64>,
    ended: bool,
    /// How much of it the other end says that it has.
    confirmed: u64,
}

impl Stream {
    /// The stream's first byte will have that number.
    pub(super) fn begin(&mut self, first: u32) {
        self.next.get_or_insert(first);
    }

    /// Takes a piece whose first byte has that number; what has thereby come in order is told to `tell`.
    ///
    /// # Errors
    /// So much waits for something that it will hardly come, in words.
    pub(super) fn add(
        &mut self,
        sequence: u32,
        piece: Piece,
        fin: bool,
        mut tell: impl FnMut(What),
    ) -> Result<(), String> {
        self.begin(sequence);
        let Some(start) = self.place(sequence) else { return Ok(()) };
        if fin {
            self.end.get_or_insert(start + u64::from(piece.length));
        }
        if piece.length > 0 || piece.begins.is_some() && start == self.position {
            self.put(start, piece);
        }
        self.take(&mut tell);
        if self.end == Some(self.position) && !self.ended {
            self.ended = true;
            tell(What::End);
        }
        if self.waiting.len() > WAITING {
            return Err(format!("{WAITING} of its packets wait for one that does not come"));
        }
        Ok(())
    }

    /// The other end says that it has everything before that number.
    pub(super) fn confirm(&mut self, number: u32) {
        self.begin(number);
        if let Some(place) = self.place(number) {
            self.confirmed = self.confirmed.max(place);
        }
    }

    /// What is missing, in words, when there is no more to come.
    pub(super) fn gap(&self) -> Option<String> {
        if let Some(next) = self.waiting.keys().next() {
            return Some(format!("{} bytes are missing at byte {}", next.saturating_sub(self.position), self.position));
        }
        // The end itself counts as one where it is confirmed.
        let missing = match self.end {
            Some(end) => end.saturating_sub(self.position),
            None => self.confirmed.saturating_sub(self.position),
        };
        (missing > 0).then(|| format!("{missing} bytes are missing at its end, after {}", self.position))
    }

    /// The place in the stream of that number: numbers come around every four gigabytes, and the nearest place is meant.
    /// What lies before the first byte has none, but it may reach into it.
    fn place(&self, number: u32) -> Option<u64> {
        let ahead = number.wrapping_sub(self.next?) as i32;
        self.position.checked_add_signed(i64::from(ahead))
    }

    /// Of several pieces at the same place the longest stays.
    fn put(&mut self, start: u64, piece: Piece) {
        let there = self.waiting.entry(start).or_insert(piece);
        if there.length < piece.length {
            *there = piece;
        }
    }

    fn take(&mut self, tell: &mut impl FnMut(What)) {
        while let Some(entry) = self.waiting.first_entry()
            && *entry.key() <= self.position
        {
            let known = self.position - entry.key();
            let piece = entry.remove();
            let Some(piece) = piece.without(known) else { continue };
            self.position += u64::from(piece.length);
            self.next = self.next.map(|next| next.wrapping_add(piece.length));
            tell(What::Piece(piece));
        }
    }
}

impl Piece {
    /// What is left of it without its first bytes, of which it may have none more.
    fn without(self, known: u64) -> Option<Self> {
        if known == 0 {
            return Some(self);
        }
        let known = u32::try_from(known).ok().filter(|known| *known < self.length)?;
        Some(Self { offset: self.offset + u64::from(known), length: self.length - known, begins: None })
    }
}
