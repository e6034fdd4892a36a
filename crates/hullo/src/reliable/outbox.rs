//! What we send: kept until the peer has it, and sent again where it got lost.
//!
//! The end of the stream counts as one more byte behind the last, so that it is confirmed and repeated as they are.

use std::ops::Range;

use super::{ranges::Ranges, store::Store};

/// So much may wait to be sent or confirmed.
const ROOM: u64 = 4 << 20;

/// Our stream.
#[derive(Default)]
pub(super) struct Outbox {
    store: Store,
    /// What was written, and whether that is all.
    written: u64,
    finished: bool,
    /// What was sent once, and what the peer has of it.
    sent: u64,
    confirmed: u64,
    beyond: Ranges,
    lost: Ranges,
    /// Up to where the peer takes bytes.
    window: u64,
}

impl Outbox {
    /// Takes what there is room for.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        let room = usize::try_from(self.room()).unwrap_or(0);
        let n = bytes.len().min(room);
        self.store.put(self.written, &bytes[..n]);
        self.written += n as u64;
        n
    }

    /// How many bytes can be written now.
    pub(super) fn room(&self) -> u64 {
        if self.finished { 0 } else { ROOM - (self.written - self.confirmed) }
    }

    /// Nothing more will be written.
    pub(super) fn finish(&mut self) {
        self.finished = true;
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether the peer has all that was written, and the end too where that was told.
    pub(super) fn is_confirmed(&self) -> bool {
        self.confirmed == self.limit()
    }

    fn limit(&self) -> u64 {
        self.written + u64::from(self.finished)
    }

    /// The peer takes bytes up to there. Older packets may say less.
    pub(super) fn open(&mut self, window: u64) {
        self.window = self.window.max(window);
    }

    /// The next part of the stream to send, at most `room` bytes: first what got lost.
    pub(super) fn next(&self, room: usize) -> Option<Range<u64>> {
        let part = match self.lost.first() {
            Some(lost) => lost.clone(),
            None if self.written <= self.window => self.sent..self.limit(),
            None => self.sent..self.window,
        };
        (!part.is_empty()).then(|| self.cut(part, room))
    }

    /// The first part that the peer does not have, whether lost or not.
    pub(super) fn oldest(&self, room: usize) -> Option<Range<u64>> {
        let to = self.beyond.first().map_or(self.sent, |first| first.start);
        (self.confirmed < to).then(|| self.cut(self.confirmed..to, room))
    }

    /// As much of a range as `room` bytes hold; the end needs none.
    fn cut(&self, range: Range<u64>, room: usize) -> Range<u64> {
        let to = range.start + room as u64;
        let end = if range.end > self.written && to >= self.written { range.end } else { range.end.min(to) };
        range.start..end
    }

    /// A part leaves.
    pub(super) fn leave(&mut self, part: &Range<u64>) {
        self.lost.remove(part.clone());
        self.sent = self.sent.max(part.end);
    }

    /// The bytes of a part, without the end.
    pub(super) fn pieces(&self, part: &Range<u64>) -> impl Iterator<Item = &[u8]> {
        self.store.pieces(part.start..part.end.min(self.written))
    }

    /// How many bytes a part has, and whether it has the end.
    pub(super) fn measure(&self, part: &Range<u64>) -> (usize, bool) {
        let bytes = part.end.min(self.written).saturating_sub(part.start);
        (usize::try_from(bytes).unwrap_or(0), part.end > self.written)
    }

    /// The peer has that part.
    pub(super) fn confirm(&mut self, part: Range<u64>) {
        self.lost.remove(part.clone());
        self.beyond.insert(part.start.max(self.confirmed)..part.end);
        if let Some(first) = self.beyond.first().filter(|first| first.start <= self.confirmed).cloned() {
            self.confirmed = first.end;
            self.beyond.pop_first();
            let bytes = self.confirmed.min(self.written);
            if bytes == self.written { self.store.clear(bytes) } else { self.store.release(bytes) }
        }
    }

    /// The peer has all of it.
    pub(super) fn confirm_all(&mut self) {
        self.confirm(self.confirmed..self.limit());
    }

    /// That part got lost, unless another packet has brought it.
    pub(super) fn lose(&mut self, part: Range<u64>) {
        for missing in self.beyond.gaps(part.start.max(self.confirmed)..part.end) {
            self.lost.insert(missing);
        }
    }
}
