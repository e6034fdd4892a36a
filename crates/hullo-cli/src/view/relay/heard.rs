//! What was seen of relayed conversations, kept until it can be read out.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use hullo::{
    Peer,
    traffic::{Flow, Form, Seen, Way},
};

/// Something that happened to a conversation.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) when: SystemTime,
    /// The conversation's number.
    pub(crate) flow: u64,
    pub(crate) what: Fact,
}

/// What it was.
#[derive(Clone, Debug)]
pub(crate) enum Fact {
    Opened { relay: Arc<str>, client: Peer, server: Peer },
    Piece(Piece),
    End { way: Way, at: u64 },
    Closed(Closed),
}

/// Bytes on their way.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) way: Way,
    /// How many went that way before them.
    pub(crate) at: u64,
    /// How many there are; fewer may be kept.
    pub(crate) size: u64,
    pub(crate) bytes: Bytes,
    pub(crate) form: Form,
}

/// How a conversation ended.
#[derive(Clone, Debug)]
pub(crate) struct Closed {
    pub(crate) took: Duration,
    pub(crate) up: u64,
    pub(crate) down: u64,
    /// Why, where it is not that both ends had said all.
    pub(crate) why: Option<String>,
}

impl Heard {
    /// What is seen, as it is now; of a piece at most `most` bytes are kept.
    pub(crate) fn of(flow: &Flow, seen: Seen<'_>, most: usize) -> Self {
        let what = match seen {
            Seen::Opened => {
                let (client, server) = (flow.client.clone(), flow.server.clone());
                Fact::Opened { relay: flow.relay.clone(), client, server }
            }
            Seen::Piece { way, bytes, form } => {
                let size = bytes.len() as u64;
                let bytes = Bytes::copy_from_slice(&bytes[..bytes.len().min(most)]);
                // The pieces of a way are handed over one by one, each counted before it is seen.
                Fact::Piece(Piece { way, at: flow.moved(way).saturating_sub(size), size, bytes, form })
            }
            Seen::End(way) => Fact::End { way, at: flow.moved(way) },
            Seen::Closed(error) => Fact::Closed(Closed::of(flow, error)),
        };
        Self { when: SystemTime::now(), flow: flow.number, what }
    }

    /// How many bytes it holds.
    pub(crate) fn weight(&self) -> usize {
        if let Fact::Piece(piece) = &self.what { piece.bytes.len() } else { 0 }
    }
}

impl Closed {
    pub(crate) fn of(flow: &Flow, error: Option<&hullo::Error>) -> Self {
        let whole = flow.has_ended(Way::Up) && flow.has_ended(Way::Down);
        let why = match error {
            Some(error) => Some(error.to_string()),
            None if whole => None,
            None => Some(CUT.to_owned()),
        };
        Self { took: flow.since.elapsed(), up: flow.moved(Way::Up), down: flow.moved(Way::Down), why }
    }
}

/// The reason that has no error: nobody but we ended it.
const CUT: &str = "the relay ended it";
