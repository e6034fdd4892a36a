//! How fast somebody may talk: so many at once, and then so many a second.
//!
//! Nothing is refused and nothing is lost: who talks faster is read more slowly, and their own system makes them wait. An
//! HTTP request, which nobody could read more slowly, is told when to come again.

use std::time::{Duration, Instant};

/// Messages at once, for each that is allowed in a second.
const BURST: f64 = 5.0;

/// The budget of one who talks.
pub(super) struct Flood {
    rate: Option<f64>,
    left: f64,
    since: Instant,
}

impl Flood {
    /// So many messages a second; without a rate, any number.
    pub(super) fn new(rate: Option<u32>, now: Instant) -> Self {
        let rate = rate.map(f64::from);
        Self { rate, left: rate.map_or(0.0, |rate| rate * BURST), since: now }
    }

    /// Takes one message, and says how long to wait before it counts.
    pub(super) fn take(&mut self, now: Instant) -> Option<Duration> {
        let rate = self.rate?;
        let earned = now.saturating_duration_since(self.since).as_secs_f64() * rate;
        (self.left, self.since) = ((self.left + earned).min(rate * BURST) - 1.0, now);
        (self.left < 0.0).then(|| Duration::from_secs_f64(-self.left / rate))
    }

    /// Gives back what was taken last: it does not count.
    pub(super) fn give_back(&mut self) {
        self.left += 1.0;
    }

    /// Whether nothing of it is used, so that it need not be remembered.
    pub(super) fn is_full(&self, now: Instant) -> bool {
        let Some(rate) = self.rate else { return true };
        self.left + now.saturating_duration_since(self.since).as_secs_f64() * rate >= rate * BURST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_the_rest_waits_its_turn() {
        let begun = Instant::now();
        let mut flood = Flood::new(Some(2), begun);
        assert!((0..10).all(|_| flood.take(begun).is_none()));
        assert_eq!(flood.take(begun), Some(Duration::from_millis(500)));
        assert_eq!(flood.take(begun), Some(Duration::from_secs(1)));
        assert!(!flood.is_full(begun + Duration::from_secs(5)));
        assert!(flood.is_full(begun + Duration::from_secs(6)));
        assert_eq!(flood.take(begun + Duration::from_secs(60)), None);
    }

    #[test]
    fn without_a_rate_nobody_waits() {
        let begun = Instant::now();
        let mut flood = Flood::new(None, begun);
        assert!((0..10_000).all(|_| flood.take(begun).is_none()));
    }
}
