//! `hullo relay --fault limit:1MB,way=down :9000 tcp://db:5432`: the conversation is cut after so many bytes.
//!
//! So many bytes pass, each way by itself, and not one more: then both ends are closed. A packet that would go beyond
//! does not pass.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    On, Spec,
    line::Item,
    stage::{Hold, Kind, Place, Stage},
    words::{Words, size, size_of},
};
use crate::{error::Result, message::Message};

/// This fault's line of the table.
pub(super) const SPEC: Spec = Spec {
    name: "limit",
    about: "after so many bytes the conversation is cut: these pass, and not one more",
    example: "limit:1MB",
    unit: "SIZE",
    attributes: &[],
    on: On::Both,
    read,
};

fn read(words: &mut Words<'_>) -> Result<Arc<dyn Kind>> {
    Ok(Arc::new(Limit { bytes: words.needed(size)? }))
}

struct Limit {
    bytes: u64,
}

impl Kind for Limit {
    fn words(&self) -> String {
        size_of(self.bytes)
    }

    fn stage(&self, place: &Place<'_>) -> Box<dyn Stage> {
        Box::new(Left(self.bytes.saturating_sub(place.taken)))
    }
}

/// How many bytes may still pass.
struct Left(u64);

impl Stage for Left {
    fn take(&mut self, mut piece: Message, at: Instant, hold: &mut Hold) {
        let left = usize::try_from(self.0).unwrap_or(usize::MAX);
        let beyond = piece.bytes.len() > left;
        if beyond {
            piece.bytes.truncate(if hold.packets { 0 } else { left });
        }
        let passed = piece.bytes.len() as u64;
        if passed > 0 || !beyond {
            hold.pass(Item::Piece(piece), at);
        }
        self.0 -= passed;
        if beyond || self.0 == 0 {
            hold.tell(|| format!("cut behind byte {}", hold.came + passed));
            hold.pass(Item::Cut, at);
        }
    }
}
