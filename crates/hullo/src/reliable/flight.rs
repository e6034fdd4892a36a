//! The packets under way: which have arrived, which are lost (RFC 9002), and what they carried.

use std::{collections::VecDeque, ops::Range, time::Duration};

use super::{
    outbox::Outbox,
    pace::{Pace, Snapshot},
    packet::Have,
};

/// As many later packets as may overtake one that is not lost, as long as none is known to have been overtaken.
const OVERTAKEN: u64 = 3;

/// How many times the usual time a packet that was overtaken may take at most, where some do.
const MOST_PATIENCE: u32 = 4;

/// What became of a packet.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    UnderWay,
    Arrived,
    Lost,
    /// It asks for no answer.
    Unanswered,
}

struct Sent {
    at: Duration,
    part: Range<u64>,
    size: u64,
    fate: Fate,
    snapshot: Snapshot,
}

/// The packets that were sent, by number.
pub(super) struct Flight {
    first: u64,
    sent: VecDeque<Sent>,
    /// The highest number that has arrived.
    highest: Option<u64>,
    under_way: usize,
    last_asking: Duration,
    /// When the next packet counts as lost, though no further answer comes.
    overtaken_at: Option<Duration>,
    /// How much longer than usual a packet may take: it grows when one comes that was given up.
    patience: u32,
}

impl Flight {
    pub(super) fn new() -> Self {
        Self {
            first: 0,
            sent: VecDeque::new(),
            highest: None,
            under_way: 0,
            last_asking: Duration::ZERO,
            overtaken_at: None,
            patience: 0,
        }
    }

    /// The number of the next packet.
    pub(super) fn next(&self) -> u64 {
        self.first + self.sent.len() as u64
    }

    /// Of how many of the last packets it is not known what became of them.
    pub(super) fn unsettled(&self) -> u32 {
        u32::try_from(self.sent.len()).unwrap_or(u32::MAX)
    }

    /// Whether a packet is under way that asks for an answer, and since when the last one.
    pub(super) fn asking(&self) -> Option<Duration> {
        (self.under_way > 0).then_some(self.last_asking)
    }

    /// When some packet counts as lost.
    pub(super) fn overtaken_at(&self) -> Option<Duration> {
        self.overtaken_at
    }

    /// A packet of `size` bytes leaves.
    pub(super) fn leave(&mut self, part: Range<u64>, size: u64, asks: bool, pace: &mut Pace, now: Duration) {
        let (fate, snapshot) = match asks {
            true => (Fate::UnderWay, pace.sent(size, now)),
            false => (Fate::Unanswered, Snapshot::default()),
        };
        if asks {
            self.under_way += 1;
            self.last_asking = now;
        }
        self.sent.push_back(Sent { at: now, part, size, fate, snapshot });
        self.forget(pace, now);
    }

    /// The peer tells what has come. Says whether any of it was news; nothing where it tells of what was never sent.
    pub(super) fn answer(&mut self, have: &Have, out: &mut Outbox, pace: &mut Pace, now: Duration) -> Option<bool> {
        let highest = have.ranges.first().map(|range| range.end - 1).filter(|highest| *highest < self.next())?;
        let mut newest = None;
        for range in &have.ranges {
            for number in range.clone().rev() {
                let Some(at) = number.checked_sub(self.first) else { break };
                if let Some((snapshot, sent_at)) = self.arrive(at as usize, out, pace, now) {
                    newest = newest.or(Some((number, snapshot, sent_at)));
                }
            }
        }
        self.highest = self.highest.max(Some(highest));
        if let Some((number, snapshot, sent_at)) = newest {
            if number == highest {
                pace.round_trip(now.saturating_sub(sent_at), have.delay, now);
            }
            pace.answered(snapshot, sent_at, now);
        }
        self.give_up(out, pace, now);
        self.forget(pace, now);
        Some(newest.is_some())
    }

    fn arrive(&mut self, at: usize, out: &mut Outbox, pace: &mut Pace, now: Duration) -> Option<(Snapshot, Duration)> {
        let sent = self.sent.get_mut(at)?;
        match std::mem::replace(&mut sent.fate, Fate::Arrived) {
            Fate::UnderWay => {
                self.under_way -= 1;
                pace.landed(sent.size, true, now);
            }
            Fate::Lost => {
                // It was only late: packets overtake each other on this way.
                self.patience = (self.patience + 1).min(MOST_PATIENCE);
                pace.arrived(sent.size, now);
            }
            settled => {
                sent.fate = settled;
                return None;
            }
        }
        out.confirm(sent.part.clone());
        Some((sent.snapshot, sent.at))
    }

    /// Gives up the packets that later ones have overtaken by too much.
    pub(super) fn give_up(&mut self, out: &mut Outbox, pace: &mut Pace, now: Duration) {
        self.overtaken_at = None;
        let Some(highest) = self.highest else { return };
        let wait = pace.overtaken() + pace.smooth() * self.patience / 2;
        let overtakers = if self.patience == 0 { OVERTAKEN } else { u64::MAX };
        let before = usize::try_from(highest.saturating_sub(self.first)).unwrap_or(0).min(self.sent.len());
        for (number, sent) in (self.first..).zip(self.sent.range_mut(..before)) {
            if sent.fate != Fate::UnderWay {
                continue;
            }
            let due = sent.at + wait;
            if now < due && highest - number < overtakers {
                self.overtaken_at = Some(due);
                // Those behind it left later still.
                return;
            }
            sent.fate = Fate::Lost;
            self.under_way -= 1;
            pace.landed(sent.size, false, now);
            out.lose(sent.part.clone());
        }
    }

    /// Forgets what is settled; what was given up only after it has had time to come after all.
    fn forget(&mut self, pace: &Pace, now: Duration) {
        let wait = pace.overtaken() * (2 + self.patience);
        while let Some(sent) = self.sent.front() {
            if sent.fate == Fate::UnderWay || sent.fate == Fate::Lost && now < sent.at + wait {
                return;
            }
            self.sent.pop_front();
            self.first += 1;
        }
    }
}
