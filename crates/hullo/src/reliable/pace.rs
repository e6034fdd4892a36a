//! How much may be under way, and how fast it leaves: by the rate at which packets arrive and the time they travel, in
//! the manner of BBR (draft-ietf-ccwg-bbr).
//!
//! A loss alone is no reason to slow down: on a radio link it is noise. A full queue shows in that more sent brings no more
//! delivered, and that the way gets longer. So what is under way is kept near the product of the best rate and the
//! shortest time, and one part of the time is spent on looking for more, and one on letting queues drain.

use std::{collections::VecDeque, time::Duration};

/// What may be under way before anything is known (RFC 6928).
const FIRST: u64 = 16 * 1200;

/// What is assumed of a way until it is measured.
const FIRST_ROUND_TRIP: Duration = Duration::from_millis(100);

/// How many round trips the best rate is remembered for.
const MEMORY: u64 = 10;

/// How long the shortest time is believed in, and how long it is then looked for.
const SHORTEST_HOLDS: Duration = Duration::from_secs(5);
const LOOKING: Duration = Duration::from_millis(200);

/// What a timer is late by: so much of the rate may leave at once. And no queue shorter than that can be told from us
/// being late ourselves.
const LATE: Duration = Duration::from_millis(2);

/// The factors of the rate while more is looked for, the drain after it, and the cruise.
const CYCLE: [f64; 8] = [1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];

/// Doubles the rate with every round trip: 2 / ln 2.
const STARTUP: f64 = 2.885;

/// The share of loss that is made good by sending so much more. What a way loses beyond that is taken for its limit.
const NOISE: f64 = 0.25;

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    /// The rate doubles until that brings no more.
    Startup,
    /// What that has put into queues leaves them.
    Drain,
    /// The rate is held, with a look for more in each cycle.
    Cruise { phase: usize, since: Duration },
    /// Little is under way, so that the shortest time shows.
    Look { until: Duration },
}

/// What a packet remembers from when it was sent, to tell the rate when it has arrived.
#[derive(Clone, Copy, Default)]
pub(super) struct Snapshot {
    delivered: u64,
    delivered_at: Duration,
    first_sent_at: Duration,
    /// There was not enough to send: the rate is not the way's.
    idle: bool,
}

/// The estimates, and what follows from them.
pub(super) struct Pace {
    mode: Mode,
    size: u64,
    in_flight: u64,
    delivered: u64,
    delivered_at: Duration,
    first_sent_at: Duration,
    /// Up to here what was delivered was sent while there was not enough to send.
    idle_until: u64,
    round: u64,
    round_ends: u64,
    /// The best rates, in bytes a second, each with its round trip; falling.
    rates: VecDeque<(u64, f64)>,
    /// The best rate when it last grew, and for how many round trips it has not.
    full: (f64, u32),
    shortest: Option<(Duration, Duration)>,
    smooth: Option<(Duration, Duration)>,
    latest: Duration,
    /// The shortest time of this round, and whether that of the last one shows a queue: every packet waited in it.
    shortest_now: Option<Duration>,
    queued: bool,
    /// A smoothed share of what gets lost.
    loss: f64,
    /// What may leave now, in bytes; less than nothing after the last packet.
    credit: f64,
    credit_at: Duration,
}

impl Pace {
    /// The estimates before anything is known, for packets of `size`.
    pub(super) fn new(size: usize, now: Duration) -> Self {
        Self {
            mode: Mode::Startup,
            size: size as u64,
            in_flight: 0,
            delivered: 0,
            delivered_at: now,
            first_sent_at: now,
            idle_until: 0,
            round: 0,
            round_ends: 0,
            rates: VecDeque::new(),
            full: (0.0, 0),
            shortest: None,
            smooth: None,
            latest: FIRST_ROUND_TRIP,
            shortest_now: None,
            queued: false,
            loss: 0.0,
            credit: 0.0,
            credit_at: now,
        }
    }

    /// Whether a packet may leave now.
    pub(super) fn allows(&mut self, now: Duration) -> bool {
        if self.in_flight + self.size > self.window() {
            return false;
        }
        let rate = self.rate();
        let most = (rate * LATE.as_secs_f64()).max(10.0 * self.size as f64);
        let earned = rate * now.saturating_sub(self.credit_at).as_secs_f64();
        self.credit = (self.credit + earned).min(most);
        self.credit_at = now;
        self.credit >= 0.0
    }

    /// When the next packet may leave, where only the rate holds it back.
    pub(super) fn next(&self) -> Option<Duration> {
        let held = self.in_flight + self.size <= self.window() && self.credit < 0.0;
        held.then(|| self.credit_at + seconds(-self.credit / self.rate()))
    }

    /// A packet leaves.
    pub(super) fn sent(&mut self, bytes: u64, now: Duration) -> Snapshot {
        if self.in_flight == 0 {
            (self.first_sent_at, self.delivered_at) = (now, now);
        }
        self.in_flight += bytes;
        self.credit -= bytes as f64;
        Snapshot {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            idle: self.delivered < self.idle_until,
        }
    }

    /// There was nothing more to send, though more might have left.
    pub(super) fn idle(&mut self) {
        if self.in_flight + self.size <= self.window() {
            self.idle_until = self.delivered + self.in_flight.max(1);
        }
    }

    /// A packet that was under way is there, or is lost.
    pub(super) fn landed(&mut self, bytes: u64, arrived: bool, now: Duration) {
        self.in_flight = self.in_flight.saturating_sub(bytes);
        self.loss += (f64::from(u8::from(!arrived)) - self.loss) / 128.0;
        if arrived {
            self.arrived(bytes, now);
        }
    }

    /// A packet is there after all.
    pub(super) fn arrived(&mut self, bytes: u64, now: Duration) {
        self.delivered += bytes;
        self.delivered_at = now;
    }

    /// The time that a packet took there and its answer back, of which the peer has held it for `held`.
    pub(super) fn round_trip(&mut self, took: Duration, held: Duration, now: Duration) {
        self.latest = took;
        self.shortest_now = Some(self.shortest_now.map_or(took, |shortest| shortest.min(took)));
        if self.shortest.is_none_or(|(shortest, _)| took <= shortest) {
            self.shortest = Some((took, now));
        }
        let least = self.shortest.map_or(took, |(shortest, _)| shortest);
        let took = if took >= least + held { took - held } else { took };
        self.smooth = Some(match self.smooth {
            None => (took, took / 2),
            Some((smooth, spread)) => ((smooth * 7 + took) / 8, (spread * 3 + smooth.abs_diff(took)) / 4),
        });
    }

    /// Takes the rate from the newest packet of those that an answer told of, and goes on from it.
    pub(super) fn answered(&mut self, newest: Snapshot, sent_at: Duration, now: Duration) {
        self.first_sent_at = self.first_sent_at.max(sent_at);
        let began = newest.delivered >= self.round_ends;
        if began {
            self.round += 1;
            self.round_ends = self.delivered;
            let least = self.least();
            self.queued = self.shortest_now.take().is_some_and(|now| now > least * 5 / 4 + LATE / 2);
        }
        let sending = sent_at.saturating_sub(newest.first_sent_at);
        let arriving = self.delivered_at.saturating_sub(newest.delivered_at);
        let took = sending.max(arriving);
        // Faster than the shortest way there and back nothing can be told.
        if took >= self.shortest.map_or(Duration::ZERO, |(shortest, _)| shortest) && !took.is_zero() {
            self.remember((self.delivered - newest.delivered) as f64 / took.as_secs_f64(), newest.idle);
        }
        self.turn(began && !newest.idle, now);
    }

    fn remember(&mut self, rate: f64, idle: bool) {
        if idle && rate < self.best() {
            return;
        }
        while self.rates.back().is_some_and(|(_, lower)| *lower <= rate) {
            self.rates.pop_back();
        }
        self.rates.push_back((self.round, rate));
        // The last one is never forgotten: it was pushed in this round.
        while self.rates.front().is_some_and(|(round, _)| round + MEMORY < self.round) {
            self.rates.pop_front();
        }
    }

    /// Goes over to the next mode where its time has come.
    fn turn(&mut self, round_began: bool, now: Duration) {
        if self.mode == Mode::Startup && round_began {
            self.full =
                if self.best() >= self.full.0 * 1.25 { (self.best(), 0) } else { (self.full.0, self.full.1 + 1) };
            if self.full.1 >= 3 || self.queued {
                self.mode = Mode::Drain;
            }
        }
        let cruise = Mode::Cruise { phase: 2, since: now };
        match self.mode {
            Mode::Drain if self.in_flight <= self.product() => self.mode = cruise,
            Mode::Cruise { phase, since } if now >= since + self.least() => {
                self.mode = Mode::Cruise { phase: (phase + 1) % CYCLE.len(), since: now };
            }
            Mode::Look { until } if now >= until => self.mode = cruise,
            _ => {}
        }
        let stale = self.shortest.is_some_and(|(_, at)| now >= at + SHORTEST_HOLDS);
        if stale && matches!(self.mode, Mode::Cruise { .. }) {
            self.mode = Mode::Look { until: now + LOOKING.max(self.smooth()) };
            self.shortest = Some((self.latest, now));
        }
    }

    fn best(&self) -> f64 {
        self.rates.front().map_or(0.0, |(_, rate)| *rate)
    }

    /// How long the way takes at best, as far as we can tell it from being late ourselves.
    fn least(&self) -> Duration {
        self.shortest.map_or(FIRST_ROUND_TRIP, |(shortest, _)| shortest).max(LATE / 4)
    }

    /// What the way holds without a queue.
    fn product(&self) -> u64 {
        (self.best() * self.least().as_secs_f64()) as u64
    }

    /// How much may be under way.
    fn window(&self) -> u64 {
        let least = FIRST.max(4 * self.size);
        let window = match self.mode {
            Mode::Startup if self.rates.is_empty() => FIRST,
            Mode::Startup | Mode::Drain => (STARTUP * self.product() as f64) as u64,
            Mode::Cruise { .. } => 2 * self.product() + 3 * self.size,
            Mode::Look { .. } => self.product() / 2,
        };
        window.max(least)
    }

    /// How fast packets leave, in bytes a second.
    fn rate(&self) -> f64 {
        let factor = match self.mode {
            Mode::Startup => STARTUP,
            Mode::Drain => 1.0 / STARTUP,
            Mode::Cruise { phase, .. } => CYCLE[phase],
            Mode::Look { .. } => 1.0,
        };
        let first = FIRST as f64 / self.smooth().as_secs_f64().max(1e-3);
        let best = if self.rates.is_empty() { first } else { self.best() };
        // What gets lost where nothing waits is noise, and made good; elsewhere there was too much already.
        let noise = if self.queued { 0.0 } else { self.loss.min(NOISE) };
        (factor * best / (1.0 - noise)).max(self.size as f64)
    }

    /// The smoothed time there and back.
    pub(super) fn smooth(&self) -> Duration {
        self.smooth.map_or(FIRST_ROUND_TRIP, |(smooth, _)| smooth)
    }

    /// The time after which a packet that later ones have overtaken is lost (RFC 9002, section 6.1.2).
    pub(super) fn overtaken(&self) -> Duration {
        (self.smooth().max(self.latest) * 9 / 8).max(Duration::from_millis(1))
    }

    /// The time after which an answer should have come (RFC 9002, section 6.2.1); `held` is how long the peer may wait
    /// with it.
    pub(super) fn patience(&self, held: Duration) -> Duration {
        let spread = self.smooth.map_or(FIRST_ROUND_TRIP / 2, |(_, spread)| spread);
        self.smooth() + (spread * 4).max(Duration::from_millis(1)) + held
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(1))
}
