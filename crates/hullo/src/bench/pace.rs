//! `hullo bench tcp://host:9009 --up --rate 10mbit`: bytes by schedule.
//!
//! A connection has its even share of the rate, and its bytes are due from the beginning on, as requests are: what a server
//! did not take while it stalled goes as soon as it takes more. They go in pieces, so that a slow rate is no flood of single
//! bytes.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Sleep, sleep_until};

use super::{rate::Rate, turns::Part};

/// What is due in this time goes together. A timer rings to the millisecond.
const PIECE: Duration = Duration::from_millis(5);

/// What a moment that is computed may be wrong by.
const SLACK: Duration = Duration::from_micros(1);

/// The schedule of one connection's bytes.
pub(super) struct Pace {
    /// Of bits.
    rate: Rate,
    /// The part of the run, and how many bytes have moved in it.
    part: Option<Part>,
    moved: u64,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    /// A schedule of so many bits a second.
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, part: None, moved: 0, alarm: None }
    }

    /// How many bytes are due, of at most so many; pending until a piece is.
    pub(super) fn poll_due(&mut self, cx: &mut Context<'_>, part: Part, most: u64) -> Poll<u64> {
        if self.part.replace(part) != Some(part) {
            self.moved = 0;
        }
        loop {
            let (elapsed, piece) = (part.since.elapsed(), self.piece(part).min(most));
            let due = self.due(part, elapsed).saturating_sub(self.moved);
            if due >= piece {
                return Poll::Ready(due.min(most));
            }
            let at = part.since + self.when(part, self.moved + piece) + SLACK;
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(at)));
            if alarm.deadline() != at {
                alarm.as_mut().reset(at);
            }
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// So many have moved.
    pub(super) fn moved(&mut self, bytes: u64) {
        self.moved += bytes;
    }

    /// How many bytes go together now.
    fn piece(&self, part: Part) -> u64 {
        let rate = if part.counts { self.rate.at(part.since.elapsed()) } else { self.rate.first() };
        ((rate / 8.0 * PIECE.as_secs_f64()) as u64).max(1)
    }

    /// How many bytes should have moved in that time. The warm-up goes at the first rate.
    fn due(&self, part: Part, elapsed: Duration) -> u64 {
        let bits = if part.counts { self.rate.amount(elapsed) } else { self.rate.first() * elapsed.as_secs_f64() };
        (bits / 8.0) as u64
    }

    /// When so many bytes should have moved.
    fn when(&self, part: Part, bytes: u64) -> Duration {
        let bits = bytes.saturating_mul(8);
        if part.counts { self.rate.due(bits) } else { Duration::from_secs_f64(bits as f64 / self.rate.first()) }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::Instant;

    use super::*;

    /// Moves what is due as soon as it is. How much each time, and after how many milliseconds.
    async fn moved(rate: &str, counts: bool, most: u64, times: usize) -> Vec<(u64, u128)> {
        let mut pace = Pace::new(rate.parse().unwrap());
        let part = Part { since: Instant::now(), counts };
        let mut moved = Vec::new();
        for _ in 0..times {
            let due = poll_fn(|cx| pace.poll_due(cx, part, most)).await;
            pace.moved(due);
            moved.push((due, part.since.elapsed().as_millis()));
        }
        moved
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_go_in_pieces_and_keep_to_the_rate() {
        for counts in [false, true] {
            for (rate, piece) in [("8mbit", 5000), ("1gbit", 625_000), ("16kbit", 10)] {
                let moved = moved(rate, counts, u64::MAX, 200).await;
                assert!(moved.iter().all(|(bytes, _)| *bytes >= piece), "{rate}: {moved:?}");
                let (all, took) = (moved.iter().map(|(bytes, _)| bytes).sum::<u64>(), moved[199].1);
                let bits: f64 = rate.parse::<Rate>().unwrap().first();
                let reached = all as f64 * 8e3 / took as f64;
                assert!((reached / bits - 1.0).abs() < 0.01, "{rate}: {reached}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_slower_than_its_pieces_has_single_bytes() {
        let moved = moved("80bit", true, u64::MAX, 3).await;
        let expected = [(1, 100), (1, 200), (1, 300)];
        assert!(
            moved.iter().zip(expected).all(|(one, other)| one.0 == other.0 && one.1.abs_diff(other.1) < 5),
            "{moved:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_ramp_grows_and_the_last_bytes_are_no_whole_piece() {
        let ramp = moved("1mbit..9mbit/1s", true, u64::MAX, 150).await;
        let all = |until: u128| ramp.iter().filter(|(_, at)| *at <= until).map(|(bytes, _)| bytes).sum::<u64>();
        assert!((180_000..=187_500).contains(&all(500)), "half of it at up to 5 Mbit/s: {}", all(500));
        let last = moved("8mbit", true, 100, 1).await;
        assert_eq!((last[0].0, last[0].1 < 5), (100, true), "{last:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_taken_is_due_at_once_but_not_that_of_the_warm_up() {
        let mut pace = Pace::new("8mbit".parse().unwrap());
        let warm = Part { since: Instant::now(), counts: false };
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(poll_fn(|cx| pace.poll_due(cx, warm, u64::MAX)).await, 1_000_000);
        pace.moved(10_000_000);
        let counts = Part { since: Instant::now(), counts: true };
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(poll_fn(|cx| pace.poll_due(cx, counts, u64::MAX)).await, 100_000);
    }
}
