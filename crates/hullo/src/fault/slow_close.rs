//! `hullo relay --fault slow_close:2s :9000 tcp://db:5432`: the end is passed on later.
//!
//! All that was said before it passes at once.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    On, Spec,
    line::Item,
    stage::{Hold, Kind, Place, Stage},
    words::{Words, time, time_of},
};
use crate::{error::Result, message::Message};

/// This fault's line of the table.
pub(super) const SPEC: Spec = Spec {
    name: "slow_close",
    about: "the end is passed on later",
    example: "slow_close:2s",
    unit: "TIME",
    attributes: &[],
    on: On::Both,
    read,
};

fn read(words: &mut Words<'_>) -> Result<Arc<dyn Kind>> {
    Ok(Arc::new(SlowClose { delay: words.needed(time)? }))
}

#[derive(Clone, Copy)]
struct SlowClose {
    delay: Duration,
}

impl Kind for SlowClose {
    fn words(&self) -> String {
        time_of(self.delay)
    }

    fn stage(&self, _: &Place<'_>) -> Box<dyn Stage> {
        Box::new(*self)
    }
}

impl Stage for SlowClose {
    fn take(&mut self, piece: Message, at: Instant, hold: &mut Hold) {
        hold.pass(Item::Piece(piece), at);
    }

    fn end(&mut self, at: Instant, hold: &mut Hold) {
        hold.tell(|| format!("holds the end back behind byte {}", hold.came));
        hold.pass(Item::End, at + self.delay);
    }
}
