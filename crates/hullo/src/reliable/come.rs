//! Which packets have come, and when that must be told.

use std::time::Duration;

use super::{
    packet::{Have, MOST_RANGES, Packet},
    ranges::Ranges,
};

/// How long an answer waits for a second packet, or for data to travel with.
pub(super) const WAIT: Duration = Duration::from_millis(10);

/// What has come and is to be answered.
#[derive(Default)]
pub(super) struct Come {
    numbers: Ranges,
    /// When the highest of them came.
    highest_at: Duration,
    unanswered: u32,
    due: Option<Duration>,
}

impl Come {
    /// A packet has come, whose data came in order or not.
    pub(super) fn note(&mut self, packet: &Packet<'_>, in_order: bool, now: Duration) {
        let highest = self.numbers.highest();
        let is_news = self.numbers.insert(packet.number..packet.number + 1);
        // What the sender does not wonder about need not be told of any more.
        self.numbers.insert(0..packet.number - u64::from(packet.unsettled));
        if self.numbers.len() > MOST_RANGES {
            self.numbers.pop_first();
        }
        if highest < Some(packet.number) {
            self.highest_at = now;
        }
        if is_news && (packet.ping || packet.data.is_some()) {
            self.unanswered += 1;
            let end = packet.data.as_ref().is_some_and(|data| data.end);
            let at_once = !in_order || packet.ping || end || self.unanswered >= 2;
            let due = if at_once { now } else { now + WAIT };
            self.due = Some(self.due.map_or(due, |sooner| sooner.min(due)));
        }
    }

    /// When what has come must be told.
    pub(super) fn due(&self) -> Option<Duration> {
        self.due
    }

    /// Whether something has come that asks to be told of.
    pub(super) fn is_asked(&self) -> bool {
        self.unanswered > 0
    }

    /// What a packet says of it.
    pub(super) fn have(&self, now: Duration) -> Option<Have> {
        Have::of(&self.numbers, now.saturating_sub(self.highest_at))
    }

    /// It is told.
    pub(super) fn tell(&mut self) {
        (self.unanswered, self.due) = (0, None);
    }
}
