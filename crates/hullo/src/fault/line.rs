//! What a stage holds until its time has come.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::stage::Room;
use crate::message::Message;

/// What goes through a chain.
pub(super) enum Item {
    Piece(Message),
    /// The source has ended.
    End,
    /// Both ends are to be reset.
    Reset,
    /// Both ends are to be closed.
    Cut,
}

impl Item {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Piece(piece) => piece.bytes.len(),
            Self::End | Self::Reset | Self::Cut => 0,
        }
    }
}

/// What is held, the next first.
pub(super) struct Line {
    held: VecDeque<(Instant, Item)>,
    bytes: usize,
    room: Room,
    /// Whether what comes later may leave earlier.
    overtaking: bool,
}

impl Line {
    pub(super) fn new(room: Room, overtaking: bool) -> Self {
        Self { held: VecDeque::new(), bytes: 0, room, overtaking }
    }

    pub(super) fn set_room(&mut self, room: Room) {
        self.room = room;
    }

    pub(super) fn has_room(&self) -> bool {
        self.bytes < self.room.bytes && self.held.len() < self.room.pieces
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Lets something go at that time. A piece of a stream, and an end, do not leave before what came before them.
    pub(super) fn push(&mut self, item: Item, due: Instant) {
        self.bytes += item.len();
        let last = self.held.back().map_or(due, |(last, _)| *last);
        if due >= last {
            self.held.push_back((due, item));
        } else if self.overtaking && matches!(item, Item::Piece(_)) {
            let at = self.held.partition_point(|(other, _)| *other <= due);
            self.held.insert(at, (due, item));
        } else {
            self.held.push_back((last, item));
        }
    }

    /// When the next may leave, and how long it is; whether it is a piece.
    pub(super) fn next(&self) -> Option<(Instant, Option<usize>)> {
        let (due, item) = self.held.front()?;
        Some((*due, matches!(item, Item::Piece(_)).then(|| item.len())))
    }

    /// Takes out the next, or so many bytes of it.
    pub(super) fn take(&mut self, bytes: usize) -> Option<Item> {
        let (_, item) = self.held.front_mut()?;
        if let Item::Piece(piece) = item
            && bytes < piece.bytes.len()
        {
            self.bytes -= bytes;
            return Some(Item::Piece(Message { bytes: piece.bytes.split_to(bytes), text: piece.text }));
        }
        let (_, item) = self.held.pop_front()?;
        self.bytes -= item.len();
        if self.held.is_empty() {
            // Nothing is held for what is idle.
            self.held = VecDeque::new();
        }
        Some(item)
    }

    /// Takes out everything.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Item> + use<> {
        self.bytes = 0;
        std::mem::take(&mut self.held).into_iter().map(|(_, item)| item)
    }
}
