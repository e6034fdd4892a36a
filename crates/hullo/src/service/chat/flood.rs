//! How fast somebody may talk: so many at once, and then so many a second.
//!
//! Nothing is refused and nothing is lost: who talks faster is read more slowly, and their own system makes them wait. An
//! HTTP request, which nobody could read more slowly, is told when to come again.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

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

/// Budgets that are remembered.
const MOST: usize = 4096;

/// The budgets of those who send requests, by the place that they come from.
#[derive(Default)]
pub(super) struct Floods(Mutex<HashMap<String, Flood>>);

impl Floods {
    /// Takes one request out of a budget, or says how long to wait before it comes again.
    pub(super) fn take(&self, place: String, rate: Option<u32>, now: Instant) -> Option<Duration> {
        rate?;
        let mut floods = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if floods.len() >= MOST && !floods.contains_key(&place) {
            floods.retain(|_, flood| !flood.is_full(now));
            // Of too many at work at once, some begin anew.
            if floods.len() >= MOST {
                floods.clear();
            }
        }
        let flood = floods.entry(place).or_insert_with(|| Flood::new(rate, now));
        let wait = flood.take(now)?;
        flood.give_back();
        Some(wait)
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

    #[test]
    fn one_place_has_one_budget() {
        let (floods, now) = (Floods::default(), Instant::now());
        let take = |place: &str| floods.take(place.to_owned(), Some(1), now);
        assert!((0..5).all(|_| take("here").is_none()));
        assert_eq!((take("here"), take("there")), (Some(Duration::from_secs(1)), None));
        assert_eq!(take("here"), Some(Duration::from_secs(1)), "what was refused does not count");
        (0..2 * MOST).for_each(|number| assert_eq!(take(&number.to_string()), None));
        assert!(floods.0.lock().unwrap().len() <= MOST);
    }
}
