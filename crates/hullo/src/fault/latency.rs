//! `hullo relay --fault latency:200ms~50ms :9000 tcp://db:5432`: everything comes later.
//!
//! The end comes as late as the bytes, as it does over a long way. What a stream carries keeps its order, whatever is
//! drawn; packets may overtake each other. A sender is not slowed down as long as what is under way is no more than 32
//! MiB, which is what Toxiproxy holds: over 100 ms that is 320 MB a second.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    On, Spec,
    line::Item,
    stage::{Hold, Kind, Place, Room, Stage},
    words::{Words, about, about_of, time, time_of},
};
use crate::{error::Result, message::Message};

/// This fault's line of the table.
pub(super) const SPEC: Spec = Spec {
    name: "latency",
    about: "everything comes later, by a time and as much more or less (~)",
    example: "latency:200ms~50ms",
    unit: "TIME[~TIME]",
    attributes: &[],
    on: On::Both,
    read,
};

fn read(words: &mut Words<'_>) -> Result<Arc<dyn Kind>> {
    let (delay, jitter) = words.needed(|value| about(value, time))?;
    Ok(Arc::new(Latency { delay, jitter }))
}

#[derive(Clone, Copy)]
struct Latency {
    delay: Duration,
    jitter: Duration,
}

impl Kind for Latency {
    fn words(&self) -> String {
        about_of(time_of(self.delay), (!self.jitter.is_zero()).then(|| time_of(self.jitter)))
    }

    fn stage(&self, _: &Place<'_>) -> Box<dyn Stage> {
        Box::new(*self)
    }

    fn room(&self) -> Room {
        Room { bytes: 32 << 20, pieces: 16 << 10 }
    }
}

impl Stage for Latency {
    fn take(&mut self, piece: Message, at: Instant, hold: &mut Hold) {
        let due = at + self.late(hold);
        hold.pass(Item::Piece(piece), due);
    }

    fn end(&mut self, at: Instant, hold: &mut Hold) {
        let due = at + self.late(hold);
        hold.pass(Item::End, due);
    }
}

impl Latency {
    fn late(self, hold: &mut Hold) -> Duration {
        if self.jitter.is_zero() {
            return self.delay;
        }
        (self.delay + self.jitter.mul_f64(2.0 * hold.draw.share())).saturating_sub(self.jitter)
    }
}
