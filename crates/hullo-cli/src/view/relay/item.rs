//! What is read out of a conversation, before it is put in words.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use hullo::{Peer, traffic::Way};

use super::heard::Closed;

/// Something to be read.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) when: SystemTime,
    pub(super) flow: u64,
    pub(super) way: Option<Way>,
    pub(super) what: What,
}

/// What it is.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// The conversation began.
    Opened { relay: Arc<str>, client: Peer, server: Peer },
    /// Bytes that are to be read as text.
    Text(Part),
    /// Bytes that are to be read as numbers.
    Hex(Part),
    /// A JSON value of that many bytes.
    Value { size: u64, text: String },
    /// The head of a request or a response: its first line, then its headers.
    Head { size: u64, lines: Vec<String> },
    /// What followed a head.
    Body(Body),
    /// The beginning of something of which the rest has not come for a while.
    Waiting { of: &'static str, part: Part },
    /// Something to know about what follows.
    Remark(String),
    /// Bytes that were too many for whoever reads this.
    Missed(u64),
    /// All has been said in this direction.
    End,
    /// The conversation is over.
    Closed(Closed),
}

/// A part of what went one way.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// How many bytes went before it.
    pub(super) at: u64,
    /// How many bytes it has.
    pub(super) size: u64,
    /// The first of them.
    pub(super) bytes: Bytes,
    /// It is a message of its own.
    pub(super) message: bool,
}

/// The body of a request or a response.
#[derive(Clone, Debug, Default)]
pub(super) struct Body {
    pub(super) size: u64,
    /// Its media type, as the head says.
    pub(super) kind: Option<String>,
    /// How it is encoded, as the head says.
    pub(super) coding: Option<String>,
    /// Whether it ended as it should.
    pub(super) whole: bool,
    /// All of it, where it is text and short enough to be shown; otherwise nothing.
    pub(super) text: Vec<u8>,
}

impl Body {
    /// Whether it is of that media type, and encoded in no other way.
    pub(super) fn is(&self, kind: &str) -> bool {
        let ours = self.kind.as_deref().unwrap_or_default().split(';').next().unwrap_or_default().trim();
        ours.eq_ignore_ascii_case(kind) && self.coding.is_none()
    }

    /// Whether it is for people to read.
    pub(super) fn is_text(&self) -> bool {
        let kind = self.kind.as_deref().unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let kind = kind.to_ascii_lowercase();
        let is =
            kind.ends_with("json") || matches!(&*kind, "text/plain" | "text/csv" | "application/x-www-form-urlencoded");
        is && self.coding.is_none()
    }
}

impl Part {
    /// The part's first `most` bytes; nothing of what it says of itself changes.
    pub(super) fn first(&self, most: usize) -> &[u8] {
        &self.bytes[..self.bytes.len().min(most)]
    }
}
