//! `hullo relay --fault loss:0.1 udp://:9000 udp://dns:53`: a share of packets is lost.
//!
//! Of a stream, that share of its blocks of 1,460 bytes is missing, counted from its beginning, as if nobody had sent
//! them again. TCP never does that to its users; a protocol that must find out can be tried with it. What lost packets
//! come to beneath TCP is time: `latency` with much jitter for a share of conversations.

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
    name: "loss",
    about: "that share of packets is lost, or of the blocks of 1,460 bytes of a stream",
    example: "loss:0.1",
    unit: "SHARE",
    attributes: &[],
    on: On::Both,
    read,
};

/// What a segment of TCP carries over Ethernet.
const BLOCK: usize = 1460;

fn read(words: &mut Words<'_>) -> Result<Arc<dyn Kind>> {
    Ok(Arc::new(Loss { share: words.needed(share)? }))
}

struct Loss {
    share: f64,
}

impl Kind for Loss {
    fn words(&self) -> String {
        self.share.to_string()
    }

    fn stage(&self, _: &Place<'_>) -> Box<dyn Stage> {
        Box::new(Losing { share: self.share, left: 0, lost: false })
    }
}

struct Losing {
    share: f64,
    /// How much of a stream's block is still to come, and whether it is lost.
    left: usize,
    lost: bool,
}

impl Stage for Losing {
    fn take(&mut self, mut piece: Message, at: Instant, hold: &mut Hold) {
        if hold.packets {
            return self.take_packet(piece, at, hold);
        }
        let mut from = hold.came;
        while !piece.bytes.is_empty() {
            if self.left == 0 {
                (self.left, self.lost) = (BLOCK, hold.draw.chance(self.share));
                if self.lost {
                    hold.tell(|| format!("loses the block from byte {}", from + 1));
                }
            }
            let part = piece.bytes.split_to(self.left.min(piece.bytes.len()));
            self.left -= part.len();
            from += part.len() as u64;
            if !self.lost {
                hold.pass(Item::Piece(Message { bytes: part, text: piece.text }), at);
            }
        }
    }
}

impl Losing {
    fn take_packet(&self, packet: Message, at: Instant, hold: &mut Hold) {
        if hold.draw.chance(self.share) {
            hold.tell(|| format!("loses packet {}", hold.pieces + 1));
        } else {
            hold.pass(Item::Piece(packet), at);
        }
    }
}
