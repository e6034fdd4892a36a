//! What is done when: the clock of a replay, and which conversation may begin.

use std::time::Duration;

use tokio::time::Instant;

use super::Pace;
use crate::capture::Conversation;

/// The clock of a replay: which time of the recording it is now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pace: Pace,
    begun: Instant,
    /// The time of the recording at which it begins: that of its first conversation.
    zero: Duration,
}

impl Clock {
    /// When that is done which was done at that time then, if it is a matter of time.
    pub(super) fn due(&self, then: Duration) -> Option<Instant> {
        let Pace::Recorded(speed) = self.pace else { return None };
        let after = then.saturating_sub(self.zero).as_secs_f64() / speed;
        // What is too far for a number is so far that nobody sees it.
        Some(self.begun + Duration::try_from_secs_f64(after).unwrap_or(FAR).min(FAR))
    }
}

/// Further than any recording goes, and near enough for a clock.
const FAR: Duration = Duration::from_secs(1 << 30);

/// The order of conversations, as it was.
pub(super) struct Turns {
    clock: Clock,
    /// When each of them began.
    begins: Vec<Duration>,
    /// How many others were over by then.
    after: Vec<usize>,
    /// Whether they are over now, in the order in which they were then; and the places of each in that order.
    over: Vec<bool>,
    place: Vec<usize>,
    /// How many of the first ones in that order are over without one between them that is not.
    finished: usize,
}

impl Turns {
    pub(super) fn new(conversations: &[Conversation], pace: Pace) -> Self {
        let mut order: Vec<usize> = (0..conversations.len()).collect();
        order.sort_by_key(|at| conversations[*at].ended());
        let mut place = vec![0; order.len()];
        for (at, conversation) in order.iter().enumerate() {
            place[*conversation] = at;
        }
        let ends: Vec<_> = order.iter().map(|at| conversations[*at].ended()).collect();
        let begins: Vec<_> = conversations.iter().map(|conversation| conversation.began).collect();
        let after = begins.iter().map(|begin| ends.partition_point(|end| end < begin)).collect();
        let zero = begins.first().copied().unwrap_or_default();
        let clock = Clock { pace, begun: Instant::now(), zero };
        Self { clock, begins, after, over: vec![false; place.len()], place, finished: 0 }
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// Whether this one, before which all earlier ones have begun, may begin too.
    pub(super) fn may_begin(&self, at: usize) -> bool {
        match self.due(at) {
            None => self.after[at] <= self.finished,
            Some(due) => due <= Instant::now(),
        }
    }

    /// When this one is to begin, if that is a matter of time.
    pub(super) fn due(&self, at: usize) -> Option<Instant> {
        self.clock.due(*self.begins.get(at)?)
    }

    /// This one is over.
    pub(super) fn over(&mut self, at: usize) {
        self.over[self.place[at]] = true;
        while self.over.get(self.finished) == Some(&true) {
            self.finished += 1;
        }
    }
}
