//! The datagrams of one socket that have gone and may still be answered.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::super::turns::Turn;

/// A bounded number of the latest ones, by their numbers.
pub(super) struct UnderWay {
    /// When each was due and whether it counts, in 8 bytes; [`SETTLED`] if it has been heard of.
    turns: VecDeque<u64>,
    /// The number of the first.
    first: u64,
    count: usize,
    most: usize,
    since: Instant,
}

const SETTLED: u64 = u64::MAX;

impl UnderWay {
    /// At most so many; those that are due from that moment on.
    pub(super) fn new(most: usize, since: Instant) -> Self {
        Self { turns: VecDeque::new(), first: 0, count: 0, most, since }
    }

    /// The next one goes. If there are too many, the oldest is given up.
    pub(super) fn add(&mut self, turn: &Turn) -> Option<Turn> {
        let given_up = if self.turns.len() >= self.most { self.pop() } else { None };
        let nanos = turn.due.saturating_duration_since(self.since).as_nanos() as u64;
        self.turns.push_back(nanos << 1 | u64::from(turn.counted));
        self.count += 1;
        given_up
    }

    /// One is heard of; nothing if it was before, or has been given up.
    pub(super) fn take(&mut self, number: u64) -> Option<Turn> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let packed = std::mem::replace(self.turns.get_mut(place)?, SETTLED);
        let turn = self.turn(packed)?;
        self.count -= 1;
        self.trim();
        Some(turn)
    }

    /// The oldest one, which is given up.
    pub(super) fn pop(&mut self) -> Option<Turn> {
        let packed = self.turns.pop_front()?;
        self.first += 1;
        let turn = self.turn(packed);
        self.count -= usize::from(turn.is_some());
        self.trim();
        turn
    }

    /// The oldest one, if it was due so long ago: it is given up.
    pub(super) fn pop_late(&mut self, now: Instant, timeout: Duration) -> Option<Turn> {
        if now < self.oldest()? + timeout { None } else { self.pop() }
    }

    /// When the oldest was due.
    pub(super) fn oldest(&self) -> Option<Instant> {
        Some(self.turn(*self.turns.front()?)?.due)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The oldest is always one that nothing was heard of.
    fn trim(&mut self) {
        while self.turns.front() == Some(&SETTLED) {
            self.turns.pop_front();
            self.first += 1;
        }
    }

    fn turn(&self, packed: u64) -> Option<Turn> {
        let due = self.since + Duration::from_nanos(packed >> 1);
        // Its number in the run is of no more use.
        (packed != SETTLED).then_some(Turn { n: 0, due, counted: packed & 1 == 1 })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn turn(since: Instant, at: u64) -> Turn {
        Turn { n: 0, due: since + Duration::from_nanos(at), counted: at.is_multiple_of(3) }
    }

    proptest! {
        /// Beside a map, which is not bounded by itself.
        #[test]
        fn it_keeps_what_a_map_keeps(steps in prop::collection::vec((0..4u8, 0..40u64), 0..200)) {
            const MOST: usize = 16;
            let since = Instant::now();
            let (mut under_way, mut all, mut next) = (UnderWay::new(MOST, since), BTreeMap::new(), 0u64);
            for (step, number) in steps {
                match step {
                    0 => {
                        // The window is one of numbers, not of those that are still open in it.
                        let full = all.keys().next().is_some_and(|first| next - first >= MOST as u64);
                        let expected = if full { all.pop_first() } else { None };
                        let given_up = under_way.add(&turn(since, next * 5));
                        prop_assert_eq!(given_up.map(|turn| turn.due), expected.map(|(_, due)| due));
                        all.insert(next, turn(since, next * 5).due);
                        next += 1;
                    }
                    1 => {
                        let taken = under_way.take(number);
                        prop_assert_eq!(taken.map(|turn| turn.due), all.remove(&number));
                        prop_assert!(taken.is_none_or(|taken| taken.counted == turn(since, number * 5).counted));
                    }
                    2 => prop_assert_eq!(under_way.pop().map(|turn| turn.due), all.pop_first().map(|(_, due)| due)),
                    _ => {
                        let now = since + Duration::from_nanos(number * 5 + 10);
                        let late = all.first_key_value().is_some_and(|(_, due)| now >= *due + Duration::from_nanos(10));
                        let expected = if late { all.pop_first() } else { None };
                        let given_up = under_way.pop_late(now, Duration::from_nanos(10));
                        prop_assert_eq!(given_up.map(|turn| turn.due), expected.map(|(_, due)| due));
                    }
                }
                prop_assert_eq!(under_way.count(), all.len());
                prop_assert_eq!(under_way.oldest(), all.first_key_value().map(|(_, due)| *due));
            }
        }
    }
}
