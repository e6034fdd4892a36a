//! `hullo relay --fault corrupt:0.001 :9000 tcp://db:5432`: a bit is wrong here and there.
//!
//! Of a stream, one bit flips in that share of its bytes; of packets, one bit in that share of them.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
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
    name: "corrupt",
    about: "a bit flips in that share of the bytes of a stream, or of packets",
    example: "corrupt:0.001",
    unit: "SHARE",
    attributes: &[],
    on: On::Both,
    read,
};

fn read(words: &mut Words<'_>) -> Result<Arc<dyn Kind>> {
    Ok(Arc::new(Corrupt { share: words.needed(share)? }))
}

#[derive(Clone, Copy)]
struct Corrupt {
    share: f64,
}

impl Kind for Corrupt {
    fn words(&self) -> String {
        self.share.to_string()
    }

    fn stage(&self, _: &Place<'_>) -> Box<dyn Stage> {
        Box::new(*self)
    }
}

impl Stage for Corrupt {
    fn take(&mut self, piece: Message, at: Instant, hold: &mut Hold) {
        let flips = if hold.packets { self.of_packet(&piece.bytes, hold) } else { self.of_stream(&piece.bytes, hold) };
        let bytes = if flips.is_empty() { piece.bytes } else { flipped(piece.bytes, &flips) };
        hold.pass(Item::Piece(Message { bytes, text: piece.text }), at);
    }
}

impl Corrupt {
    /// Each byte is drawn for, so that it does not matter in which pieces they come.
    fn of_stream(self, bytes: &[u8], hold: &mut Hold) -> Vec<(usize, u64)> {
        let mut flips = Vec::new();
        for at in 0..bytes.len() {
            if hold.draw.chance(self.share) {
                let bit = hold.draw.up_to(7);
                hold.tell(|| format!("flips bit {bit} of byte {}", hold.came + at as u64 + 1));
                flips.push((at, bit));
            }
        }
        flips
    }

    fn of_packet(self, bytes: &[u8], hold: &mut Hold) -> Vec<(usize, u64)> {
        let Some(last) = (bytes.len() as u64).checked_sub(1).filter(|_| hold.draw.chance(self.share)) else {
            return Vec::new();
        };
        let (at, bit) = (hold.draw.up_to(last), hold.draw.up_to(7));
        hold.tell(|| format!("flips bit {bit} of byte {} of packet {}", at + 1, hold.pieces + 1));
        vec![(at as usize, bit)]
    }
}

fn flipped(bytes: Bytes, flips: &[(usize, u64)]) -> Bytes {
    let mut bytes = BytesMut::from(bytes);
    for (at, bit) in flips {
        if let Some(byte) = bytes.get_mut(*at) {
            *byte ^= 1 << bit;
        }
    }
    bytes.freeze()
}
