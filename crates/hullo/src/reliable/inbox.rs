//! What has come of the peer's stream: in order for the reader, and out of order until the gaps are filled.

use super::{ranges::Ranges, store::Store};

/// So much may wait for the reader; the peer is told how far that goes.
pub(super) const ROOM: u64 = 4 << 20;

/// The window goes on in steps of this, so that not each read has to be told of.
const STEP: u64 = ROOM / 4;

/// As many gaps as are kept: twice as many as there are between full packets. Smaller ones than those are somebody's who
/// wants to keep us busy.
const MOST_GAPS: usize = 4096;

/// The peer's stream.
#[derive(Default)]
pub(super) struct Inbox {
    store: Store,
    /// What has been read, and what can be.
    read: u64,
    ready: u64,
    /// What has come behind a gap.
    beyond: Ranges,
    end: Option<u64>,
    told: u64,
}

/// Why a piece is not taken.
pub(super) enum Refused {
    /// There is no room for it, and the peer knew that.
    NoRoom,
    /// It contradicts what came before.
    Breach,
}

impl Inbox {
    /// Takes a piece, and says whether it came in order.
    /// Who is not known yet has `room` from the beginning on.
    pub(super) fn take(&mut self, at: u64, bytes: &[u8], end: bool, room: Option<u64>) -> Result<bool, Refused> {
        let to = at + bytes.len() as u64;
        if room.is_some_and(|room| to > room) {
            return Err(Refused::NoRoom);
        }
        let known_end = self.end.unwrap_or(u64::MAX);
        if to > known_end || end && (to < self.highest() || self.end.is_some_and(|known| known != to)) {
            return Err(Refused::Breach);
        }
        if to > self.window() || at > self.ready && self.beyond.len() >= MOST_GAPS {
            return Err(Refused::NoRoom);
        }
        if end {
            self.end = Some(to);
        }
        let in_order = at <= self.ready && self.beyond.is_empty();
        if to > self.ready {
            let known = usize::try_from(self.ready.saturating_sub(at)).unwrap_or(bytes.len());
            self.store.put(at.max(self.ready), &bytes[known..]);
            self.beyond.insert(at.max(self.ready)..to);
            if let Some(first) = self.beyond.first().filter(|first| first.start <= self.ready).cloned() {
                self.ready = first.end;
                self.beyond.pop_first();
            }
        }
        Ok(in_order)
    }

    fn highest(&self) -> u64 {
        self.beyond.highest().map_or(self.ready, |highest| highest + 1)
    }

    /// Copies what is there; 0 where there is nothing.
    pub(super) fn read(&mut self, mut take: impl FnMut(&[u8]) -> usize) -> usize {
        let from = self.read;
        for piece in self.store.pieces(self.read..self.ready) {
            let taken = take(piece);
            self.read += taken as u64;
            if taken < piece.len() {
                break;
            }
        }
        if self.read == self.ready && self.beyond.is_empty() {
            self.store.clear(self.read);
        } else {
            self.store.release(self.read);
        }
        (self.read - from) as usize
    }

    /// Whether something can be read.
    pub(super) fn readable(&self) -> bool {
        self.read < self.ready
    }

    /// Whether all has come, so that the peer need not repeat anything.
    pub(super) fn is_whole(&self) -> bool {
        self.end == Some(self.ready)
    }

    /// Whether all has been read.
    pub(super) fn is_read(&self) -> bool {
        self.end == Some(self.read)
    }

    /// Up to where the peer may send.
    pub(super) fn window(&self) -> u64 {
        self.read + ROOM
    }

    /// Whether the peer should be told that there is more room.
    pub(super) fn has_news(&self) -> bool {
        self.end.is_none() && self.window() >= self.told + STEP
    }

    /// The window is told.
    pub(super) fn tell(&mut self) -> u64 {
        self.told = self.window();
        self.told
    }
}
