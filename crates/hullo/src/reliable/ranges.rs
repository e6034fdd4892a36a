//! A set of numbers, as the ranges that it is made of: what has come, what is still to be sent again.

use std::{collections::VecDeque, ops::Range};

/// Ranges in order, of which no two overlap or touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(VecDeque<Range<u64>>);

impl Ranges {
    /// Adds a range, and says whether any of it was missing.
    pub(super) fn insert(&mut self, new: Range<u64>) -> bool {
        if new.is_empty() {
            return false;
        }
        let from = self.0.partition_point(|range| range.end < new.start);
        let to = from + self.0.range(from..).take_while(|range| range.start <= new.end).count();
        if to == from + 1 && self.0[from].start <= new.start && new.end <= self.0[from].end {
            return false;
        }
        if from == to {
            self.0.insert(from, new);
            return true;
        }
        let joined = self.0[from].start.min(new.start)..self.0[to - 1].end.max(new.end);
        self.0.drain(from + 1..to);
        self.0[from] = joined;
        true
    }

    /// Takes a range away.
    pub(super) fn remove(&mut self, gone: Range<u64>) {
        if gone.is_empty() {
            return;
        }
        let mut at = self.0.partition_point(|range| range.end <= gone.start);
        while let Some(range) = self.0.get(at).filter(|range| range.start < gone.end).cloned() {
            self.0.remove(at);
            for rest in [range.start..gone.start, gone.end..range.end] {
                if !rest.is_empty() {
                    self.0.insert(at, rest);
                    at += 1;
                }
            }
        }
    }

    /// The lowest range.
    pub(super) fn first(&self) -> Option<&Range<u64>> {
        self.0.front()
    }

    /// The lowest range, taken out.
    pub(super) fn pop_first(&mut self) -> Option<Range<u64>> {
        self.0.pop_front()
    }

    /// The highest number.
    pub(super) fn highest(&self) -> Option<u64> {
        self.0.back().map(|range| range.end - 1)
    }

    /// How many ranges there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// From the highest to the lowest.
    pub(super) fn downwards(&self) -> impl Iterator<Item = Range<u64>> {
        self.0.iter().rev().cloned()
    }

    /// The parts of `within` that are not in the set, in order.
    pub(super) fn gaps(&self, within: Range<u64>) -> Vec<Range<u64>> {
        let mut gaps = Ranges::default();
        gaps.insert(within.clone());
        let from = self.0.partition_point(|range| range.end <= within.start);
        self.0.range(from..).take_while(|range| range.start < within.end).for_each(|range| gaps.remove(range.clone()));
        gaps.0.into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_of_ranges_is_a_set(steps in prop::collection::vec((any::<bool>(), 0u64..60, 0u64..20), 0..60)) {
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for (add, start, len) in steps {
                if add {
                    let before = set.len();
                    set.extend(start..start + len);
                    prop_assert_eq!(ranges.insert(start..start + len), set.len() > before);
                } else {
                    ranges.remove(start..start + len);
                    set.retain(|number| !(start..start + len).contains(number));
                }
                prop_assert_eq!(ranges.0.iter().cloned().flatten().collect::<Vec<_>>(), set.iter().copied().collect::<Vec<_>>());
                prop_assert!(ranges.0.iter().zip(ranges.0.iter().skip(1)).all(|(one, next)| one.end < next.start));
                let gaps: Vec<_> = ranges.gaps(10..50).into_iter().flatten().collect();
                prop_assert_eq!(gaps, (10..50).filter(|number| !set.contains(number)).collect::<Vec<_>>());
            }
        }
    }
}
