//! `hullo bench udp://:7007 --rate 10mbit`: how many bits a second there should have been, and how many there were.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::{Direction, Plan, Shape, datagrams, tally::Tally};

/// Bits a second, of all connections together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BitRate {
    /// How many should have moved, by the schedule.
    pub offered: f64,
    /// How many did: of bulk those that were sent, or with `down` received, and of datagrams those that arrived, or came back
    /// in time.
    pub reached: f64,
}

impl BitRate {
    pub(super) fn of(plan: &Plan, tally: &Tally, seconds: f64) -> Option<Self> {
        let rate = plan.rate.as_ref().filter(|rate| rate.is_bits() && seconds > 0.0)?;
        let counts = tally.counts;
        let (offered, reached) = match (&plan.shape, datagrams::same_size(plan)) {
            (Shape::Bulk(direction), _) if !plan.is_packets() => {
                let moved = if *direction == Direction::Down { counts.bytes_received } else { counts.bytes_sent };
                (rate.amount(Duration::from_secs_f64(seconds)), moved as f64 * 8.0)
            }
            (_, size) => {
                let bits = size? as f64 * 8.0;
                (counts.offered as f64 * bits, tally.in_time as f64 * bits)
            }
        };
        Some(Self { offered: offered / seconds, reached: reached / seconds })
    }
}
