//! What has arrived of numbered datagrams: how many, how often, in which order, and how evenly.

/// So many of the latest numbers are remembered one by one. One that is older than all of them can no longer be told from
/// a duplicate, and counts as one that came late.
const WINDOW: u64 = 1 << 14;

/// The most datagrams of a train (`UDP_MAX_SEGMENTS`).
pub(super) const TRAIN: u64 = 64;

/// The datagrams of one socket, as they arrive. It is as large after a week as after a second.
pub(crate) struct Arrivals {
    /// A bit for each number of the window.
    seen: Box<[u64]>,
    /// The number after the highest that has come.
    next: u64,
    /// How many came, each counted once.
    pub(crate) received: u64,
    /// How many came once more.
    pub(crate) duplicates: u64,
    /// How many came after one with a higher number (RFC 4737, section 3.3).
    pub(crate) reordered: u64,
    /// How many the kernel dropped at the socket where they arrive.
    pub(crate) dropped: u64,
    jitter: Jitter,
    drops: Drops,
}

/// The estimate of RFC 3550, section 6.4.1.
#[derive(Default)]
pub(crate) struct Jitter {
    /// In nanoseconds.
    pub(crate) nanos: f64,
    /// When the one before was sent, and how much later it arrived, on clocks that need not agree.
    before: Option<(u64, i128)>,
}

/// What the kernel dropped, found out from its count and the numbers that are missing.
#[derive(Default)]
struct Drops {
    count: u32,
    /// The numbers that were passed over since the count was last looked at.
    missing: u64,
    /// Whether they come in trains: the kernel counts a train that it drops as one.
    in_trains: bool,
}

impl Arrivals {
    /// For a socket at which the kernel has dropped that many before.
    pub(crate) fn new(drops: u32) -> Self {
        Self {
            seen: vec![0; (WINDOW / 64) as usize].into(),
            next: 0,
            received: 0,
            duplicates: 0,
            reordered: 0,
            dropped: 0,
            jitter: Jitter::default(),
            drops: Drops { count: drops, missing: 0, in_trains: false },
        }
    }

    /// Number `number` arrives `now`, and was sent at `sent`; both in nanoseconds, each on a clock of its own. Says whether
    /// it is the first with that number.
    pub(crate) fn arrive(&mut self, number: u64, sent: u64, now: u64) -> bool {
        let is_late = number < self.next;
        if !is_late {
            self.pass(number);
        } else if self.next - number <= WINDOW && self.is_seen(number) {
            self.duplicates += 1;
            return false;
        }
        if self.next - number <= WINDOW {
            self.seen[word(number)] |= bit(number);
        }
        self.received += 1;
        self.reordered += u64::from(is_late);
        self.jitter.add(sent, now);
        true
    }

    /// A train of so many has come whole, and by then the kernel had dropped that many, of datagrams or of trains.
    pub(crate) fn train(&mut self, len: u64, drops: u32) {
        let mut all = u64::MAX;
        self.train_of(len, drops, &mut all);
    }

    /// The same where others came to the socket too, and so many datagrams that the kernel dropped are nobody's yet.
    pub(super) fn train_of(&mut self, len: u64, drops: u32, unclaimed: &mut u64) {
        self.drops.in_trains |= len > 1;
        let most = if self.drops.in_trains { TRAIN } else { 1 };
        let missing = std::mem::take(&mut self.drops.missing);
        let newly = u64::from(drops.wrapping_sub(std::mem::replace(&mut self.drops.count, drops)));
        let claimed = missing.min(newly * most).min(*unclaimed);
        *unclaimed -= claimed;
        self.dropped += claimed;
    }

    /// So many have been sent: what is missing at the end is missing.
    pub(crate) fn end(&mut self, sent: u64) {
        if sent > self.next {
            self.pass(sent - 1);
            self.drops.missing += 1;
        }
    }

    /// In nanoseconds. What was sent in one go counts once.
    pub(crate) fn jitter(&self) -> f64 {
        self.jitter.nanos
    }

    /// Makes that number the highest. Those in between are missing for now.
    fn pass(&mut self, number: u64) {
        let end = number.saturating_add(1);
        self.drops.missing = self.drops.missing.saturating_add(number - self.next);
        if end - self.next >= WINDOW {
            self.seen.fill(0);
        } else {
            (self.next..end).for_each(|number| self.seen[word(number)] &= !bit(number));
        }
        self.next = end;
    }

    fn is_seen(&self, number: u64) -> bool {
        self.seen[word(number)] & bit(number) != 0
    }
}

impl Jitter {
    /// What was sent at that time arrives `now`; both in nanoseconds, each on a clock of its own.
    pub(crate) fn add(&mut self, sent: u64, now: u64) {
        let way = i128::from(now) - i128::from(sent);
        match self.before {
            // They left together, and their way says nothing of how even the ways are.
            Some((before, _)) if before == sent => return,
            Some((_, before)) => self.nanos += ((way - before).unsigned_abs() as f64 - self.nanos) / 16.0,
            None => {}
        }
        self.before = Some((sent, way));
    }
}

fn word(number: u64) -> usize {
    (number % WINDOW / 64) as usize
}

fn bit(number: u64) -> u64 {
    1 << (number % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn heard(numbers: &[u64]) -> Arrivals {
        let mut arrivals = Arrivals::new(0);
        numbers.iter().for_each(|number| _ = arrivals.arrive(*number, 0, 0));
        arrivals
    }

    /// Those that are missing up to the highest number, and that the kernel did not drop.
    fn lost(arrivals: &Arrivals) -> u64 {
        arrivals.next - arrivals.received - arrivals.dropped
    }

    fn counts(arrivals: &Arrivals) -> [u64; 4] {
        [arrivals.received, arrivals.duplicates, arrivals.reordered, lost(arrivals)]
    }

    #[test]
    fn what_happens_to_datagrams_is_told_apart() {
        let cases: [(&str, &[u64], [u64; 4]); 9] = [
            ("nothing", &[], [0, 0, 0, 0]),
            ("all, in order", &[0, 1, 2, 3], [4, 0, 0, 0]),
            ("one is lost", &[0, 1, 3], [3, 0, 0, 1]),
            ("the first is lost", &[1, 2], [2, 0, 0, 1]),
            ("one comes twice", &[0, 1, 1, 2], [3, 1, 0, 0]),
            ("one comes twice, and late", &[0, 1, 2, 0], [3, 1, 0, 0]),
            ("one comes late", &[0, 2, 1, 3], [4, 0, 1, 0]),
            ("one is overtaken by two", &[1, 2, 0], [3, 0, 1, 0]),
            ("all come backwards", &[3, 2, 1, 0], [4, 0, 3, 0]),
        ];
        for (what, numbers, expected) in cases {
            assert_eq!(counts(&heard(numbers)), expected, "{what}: received, duplicates, reordered, lost");
        }
    }

    #[test]
    fn what_is_older_than_the_window_came_late() {
        assert_eq!(counts(&heard(&[0, WINDOW - 1, 0])), [2, 1, 0, WINDOW - 2]);
        assert_eq!(counts(&heard(&[0, WINDOW, 0])), [3, 0, 1, WINDOW - 2]);
        assert_eq!(counts(&heard(&[0, WINDOW + 1, WINDOW + 1, 1])), [3, 1, 1, WINDOW - 1]);
    }

    #[test]
    fn the_highest_number_of_all_may_come() {
        let mut arrivals = heard(&[u64::MAX, u64::MAX, 0, u64::MAX - 1]);
        arrivals.end(u64::MAX);
        arrivals.train(1, 1);
    }

    #[test]
    fn the_end_may_be_missing_too() {
        let mut arrivals = heard(&[0, 1]);
        arrivals.end(5);
        assert_eq!(lost(&arrivals), 3);
        arrivals.train(1, 3);
        assert_eq!((lost(&arrivals), arrivals.dropped), (0, 3));
    }

    #[test]
    fn what_the_kernel_dropped_is_no_loss() {
        let mut arrivals = Arrivals::new(u32::MAX);
        let mut come = |numbers: std::ops::Range<u64>, drops: u32| {
            let len = numbers.end - numbers.start;
            numbers.for_each(|number| _ = arrivals.arrive(number, 0, 0));
            arrivals.train(len, drops);
            (arrivals.dropped, lost(&arrivals))
        };
        assert_eq!(come(0..1, u32::MAX), (0, 0));
        assert_eq!(come(3..4, 1), (2, 0), "the count begins again at 0");
        assert_eq!(come(5..6, 1), (2, 1), "the network lost one");
        assert_eq!(come(6..16, 2), (2, 1), "somebody else's");
        assert_eq!(come(36..46, 4), (22, 1), "two trains of ten");
        assert_eq!(come(146..147, 5), (86, 37), "one train cannot be longer");
    }

    #[test]
    fn jitter_is_that_of_the_rfc() {
        let mut arrivals = Arrivals::new(0);
        // Sent every millisecond; the way takes 5 ms, and 7 for the third.
        for (number, (sent, come)) in [(0, 5), (1, 6), (2, 9), (3, 8)].into_iter().enumerate() {
            arrivals.arrive(number as u64, sent * 1_000_000, come * 1_000_000);
        }
        let (first, second) = (2e6 / 16.0, 2e6 / 16.0 + (2e6 - 2e6 / 16.0) / 16.0);
        assert_eq!(arrivals.jitter(), second, "after {first}");
        // What left together says nothing more.
        arrivals.arrive(4, 3_000_000, 100_000_000);
        assert_eq!(arrivals.jitter(), second);
    }

    proptest! {
        /// Beside a set, which forgets nothing.
        #[test]
        fn it_counts_as_a_set_does(numbers in prop::collection::vec(0..300u64, 0..600)) {
            let (mut arrivals, mut all, mut late, mut highest) = (Arrivals::new(0), HashSet::new(), 0, None);
            for number in &numbers {
                let is_new = all.insert(*number);
                late += u64::from(is_new && highest.is_some_and(|highest| *number < highest));
                highest = highest.max(Some(*number));
                prop_assert_eq!(arrivals.arrive(*number, 0, 0), is_new);
            }
            let (received, sent) = (all.len() as u64, highest.map_or(0, |highest| highest + 1));
            prop_assert_eq!(counts(&arrivals), [received, numbers.len() as u64 - received, late, sent - received]);
        }

        #[test]
        fn any_numbers_and_times_may_come(all in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>()), 0..50)) {
            let mut arrivals = Arrivals::new(0);
            for (number, sent, now, drops) in all {
                arrivals.arrive(number, sent, now);
                arrivals.train(u64::from(drops), drops);
                arrivals.end(now);
                prop_assert!(arrivals.jitter().is_finite());
            }
        }
    }
}
