//! `hullo relay --fault reorder:0.1,by=10ms udp://:9000 udp://dns:53`: a share of packets is overtaken.
//!
//! It is for packets. Beneath a stream, TCP puts them into their order again.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Attribute, On, Spec,
    line::Item,
    stage::{Hold, Kind, Place, Stage},
    words::{Words, share, time, time_of},
};
use crate::{error::Result, message::Message};

/// This fault's line of the table.
pub(super) const SPEC: Spec = Spec {
    name: "reorder",
    about: "that share of packets is held back, so that others overtake them",
    example: "reorder:0.1",
    unit: "SHARE",
    attributes: &[Attribute { name: "by", about: "for how long, otherwise 10ms" }],
    on: On::Packets,
    read,
};

/// How long one is held back where nothing else is said.
const BY: Duration = Duration::from_millis(10);

fn read(words: &mut Words<'_>) -> Result<Arc<dyn Kind>> {
    let share = words.needed(share)?;
    let by = words.optional("by", "a time like 10ms", time)?.unwrap_or(BY);
    Ok(Arc::new(Reorder { share, by }))
}

#[derive(Clone, Copy)]
struct Reorder {
    share: f64,
    by: Duration,
}

impl Kind for Reorder {
    fn words(&self) -> String {
        let by = if self.by == BY { String::new() } else { format!(",by={}", time_of(self.by)) };
        format!("{}{by}", self.share)
    }

    fn stage(&self, _: &Place<'_>) -> Box<dyn Stage> {
        Box::new(*self)
    }
}

impl Stage for Reorder {
    fn take(&mut self, piece: Message, at: Instant, hold: &mut Hold) {
        let mut due = at;
        if hold.draw.chance(self.share) {
            hold.tell(|| format!("holds packet {} back", hold.pieces + 1));
            due += self.by;
        }
        hold.pass(Item::Piece(piece), due);
    }
}
