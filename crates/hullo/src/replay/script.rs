//! What a client says, in order, and what it has heard by then. Pure.

use std::time::Duration;

use crate::{
    capture::{Conversation, Event, Piece, What},
    traffic::Way,
};

/// Something that the client does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// When, since the first packet of the capture.
    pub(super) at: Duration,
    /// How much of an answer it had heard: bytes or messages.
    pub(super) heard: u64,
    /// Whether the other end had nothing more to say.
    pub(super) alone: bool,
    pub(super) what: Say,
}

/// What it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Say {
    /// Says all of this: a message, or a part of a stream.
    Pieces(Said),
    /// Says that there is no more to come.
    End,
    /// Goes away.
    Leave,
}

/// What was said: a message, or a part of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) pieces: Vec<Piece>,
    pub(super) text: bool,
}

/// The steps of a client.
pub(super) fn steps(conversation: &Conversation, by_messages: bool) -> Vec<Step> {
    let (mut heard, mut alone) = (Count::new(by_messages), false);
    let mut steps: Vec<Step> = Vec::new();
    let mut open = Open::default();
    for Event { at, way, what } in &conversation.events {
        match (way, what) {
            (Way::Up, What::Piece(piece)) => {
                if open.goes_on(*piece)
                    && let Some(Step { what: Say::Pieces(said), .. }) = steps.last_mut()
                {
                    said.pieces.push(*piece);
                    continue;
                }
                let text = piece.begins.is_some_and(|begins| begins.text);
                let what = Say::Pieces(Said { pieces: vec![*piece], text });
                steps.push(Step { at: *at, heard: heard.count, alone, what });
            }
            (Way::Up, What::End) => steps.push(Step { at: *at, heard: heard.count, alone, what: Say::End }),
            (Way::Up, What::Reset) => steps.push(Step { at: *at, heard: heard.count, alone, what: Say::Leave }),
            (Way::Down, What::Piece(piece)) => heard.add(*piece),
            (Way::Down, What::End | What::Reset) => alone = true,
        }
    }
    steps
}

/// The messages that came that way.
pub(super) fn messages(conversation: &Conversation, way: Way) -> Vec<Said> {
    let (mut messages, mut open): (Vec<Said>, _) = (Vec::new(), Open::default());
    for piece in conversation.pieces(way) {
        match messages.last_mut().filter(|_| open.goes_on(piece)) {
            Some(last) => last.pieces.push(piece),
            None => messages.push(Said { pieces: vec![piece], text: piece.begins.is_some_and(|begins| begins.text) }),
        }
    }
    messages
}

/// How many bytes of the message under way are still to come.
#[derive(Default)]
struct Open(u64);

impl Open {
    /// Whether the piece belongs to the message that began before it.
    fn goes_on(&mut self, piece: Piece) -> bool {
        let goes_on = self.0 > 0 && piece.begins.is_none();
        let whole = if goes_on { self.0 } else { piece.begins.map_or(0, |begins| begins.length) };
        self.0 = whole.saturating_sub(u64::from(piece.length));
        goes_on
    }
}

/// How much has come: bytes, or messages that are whole.
struct Count {
    count: u64,
    by_messages: bool,
    open: Open,
}

impl Count {
    fn new(by_messages: bool) -> Self {
        Self { count: 0, by_messages, open: Open::default() }
    }

    fn add(&mut self, piece: Piece) {
        if !self.by_messages {
            self.count += u64::from(piece.length);
            return;
        }
        let _ = self.open.goes_on(piece);
        self.count += u64::from(self.open.0 == 0);
    }
}
