//! `hullo relay --fault timeout:5s :9000 tcp://db:5432`: nothing passes, and after that time the conversation is cut.
//!
//! Without a time it is cut when one end says that it has ended. What a stream has said meanwhile is lost, so that it
//! cannot go on if the fault is taken away: then it is cut. Packets go on. (`bandwidth:0` is for a stream that goes
//! on.)

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    On, Spec,
    line::Item,
    stage::{End, Hold, Kind, Place, Stage},
    words::{Words, time, time_of},
};
use crate::{error::Result, message::Message};

/// This fault's line of the table.
pub(super) const SPEC: Spec = Spec {
    name: "timeout",
    about: "nothing passes; after that time, if one is said, the conversation is cut",
    example: "timeout:5s",
    unit: "TIME",
    attributes: &[],
    on: On::Both,
    read,
};

fn read(words: &mut Words<'_>) -> Result<Arc<dyn Kind>> {
    let never = |value| matches!(value, "off" | "none").then_some(Duration::ZERO);
    let wait = words.value_or(|value| never(value).or_else(|| time(value)))?;
    Ok(Arc::new(Timeout { wait: wait.filter(|wait| !wait.is_zero()) }))
}

struct Timeout {
    wait: Option<Duration>,
}

impl Kind for Timeout {
    fn words(&self) -> String {
        self.wait.map(time_of).unwrap_or_default()
    }

    fn stage(&self, place: &Place<'_>) -> Box<dyn Stage> {
        Box::new(Silence { lost: place.taken > 0 && !place.packets, forever: self.wait.is_none() })
    }

    fn end(&self) -> Option<(Duration, End)> {
        Some((self.wait?, End::Cut))
    }
}

struct Silence {
    /// Whether something is missing that nobody can do without.
    lost: bool,
    forever: bool,
}

impl Stage for Silence {
    fn take(&mut self, _: Message, _: Instant, hold: &mut Hold) {
        self.lost |= !hold.packets;
    }

    fn end(&mut self, at: Instant, hold: &mut Hold) {
        self.lost = true;
        // Nothing else would ever end a conversation that its source has left.
        if self.forever {
            hold.pass(Item::Cut, at);
        }
    }

    fn leave(&mut self) -> Option<End> {
        self.lost.then_some(End::Cut)
    }
}
