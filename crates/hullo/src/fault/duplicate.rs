//! `hullo relay --fault duplicate:0.05 udp://:9000 udp://dns:53`: a share of packets comes twice.
//!
//! It is for packets. Beneath a stream, TCP throws away what comes a second time.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    On, Spec,
    line::Item,
    stage::{Hold, Kind, Place, Stage},
    words::{Words, share},
};
use crate::{error::Result, message::Message};

/// This fault's line of the table.
pub(super) const SPEC: Spec = Spec {
    name: "duplicate",
    about: "that share of packets comes twice",
    example: "duplicate:0.05",
    unit: "SHARE",
    attributes: &[],
    on: On::Packets,
    read,
};

fn read(words: &mut Words<'_>) -> Result<Arc<dyn Kind>> {
    Ok(Arc::new(Duplicate { share: words.needed(share)? }))
}

#[derive(Clone, Copy)]
struct Duplicate {
    share: f64,
}

impl Kind for Duplicate {
    fn words(&self) -> String {
        self.share.to_string()
    }

    fn stage(&self, _: &Place<'_>) -> Box<dyn Stage> {
        Box::new(*self)
    }
}

impl Stage for Duplicate {
    fn take(&mut self, piece: Message, at: Instant, hold: &mut Hold) {
        if hold.draw.chance(self.share) {
            hold.tell(|| format!("doubles packet {}", hold.pieces + 1));
            hold.pass(Item::Piece(piece.clone()), at);
        }
        hold.pass(Item::Piece(piece), at);
    }
}
