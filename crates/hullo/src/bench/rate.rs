//! How many requests a second, and so when each of them should go: `500`, `100..10000/60s`, `100,200,400/10s`.

use std::{fmt, str::FromStr, time::Duration};

use crate::{
    error::{Error, Result},
    options,
};

/// A schedule of requests: which one is due when, counted from the beginning of the run. It is pure, so any number of
/// threads share it without a word.
#[derive(Clone, Debug, PartialEq)]
pub struct Rate(Vec<Leg>);

/// A part of the schedule: the rate goes evenly from the one to the other. The last one lasts for ever at its end.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Leg {
    from: f64,
    to: f64,
    seconds: f64,
}

/// The lowest and the highest rate that can be meant, in requests a second: one in eleven days, so that the next one is due
/// at a time that a clock can show.
const LOWEST: f64 = 1e-6;
const HIGHEST: f64 = 1e9;

impl Rate {
    /// So many requests a second, all the time.
    ///
    /// # Errors
    /// It is below a millionth, or over a billion.
    pub fn constant(rate: f64) -> Result<Self> {
        Ok(Self(vec![Leg { from: sound(rate)?, to: rate, seconds: f64::INFINITY }]))
    }

    /// Whether it is the same all the time.
    pub fn is_constant(&self) -> bool {
        matches!(self.0[..], [Leg { from, to, .. }] if from == to)
    }

    /// The rate with which it begins, in requests a second.
    pub fn first(&self) -> f64 {
        self.0.first().map_or(0.0, |leg| leg.from)
    }

    /// The rate at that time, in requests a second.
    pub fn at(&self, time: Duration) -> f64 {
        let mut left = time.as_secs_f64();
        for leg in &self.0 {
            if left < leg.seconds {
                return leg.from + leg.slope() * left;
            }
            left -= leg.seconds;
        }
        self.last()
    }

    /// How long it has something new to say; nothing where it is the same all the time.
    pub fn span(&self) -> Option<Duration> {
        let seconds: f64 = self.0.iter().map(|leg| leg.seconds).sum();
        seconds.is_finite().then(|| Duration::from_secs_f64(seconds))
    }

    /// When request `n` should go, counted from 0.
    pub fn due(&self, n: u64) -> Duration {
        let (mut left, mut since) = (n as f64, 0.0);
        for leg in &self.0 {
            let requests = leg.requests(leg.seconds);
            if left < requests {
                return Duration::from_secs_f64(since + leg.when(left));
            }
            left -= requests;
            since += leg.seconds;
        }
        Duration::from_secs_f64(since + left / self.last())
    }

    /// How many requests should have gone before that time.
    pub fn count(&self, until: Duration) -> u64 {
        let (mut left, mut count) = (until.as_secs_f64(), 0.0);
        for leg in &self.0 {
            count += leg.requests(leg.seconds.min(left));
            left = (left - leg.seconds).max(0.0);
        }
        count += left * self.last();
        // Sums of fractions may miss by one either way: the request's own time decides.
        let mut count = count.ceil() as u64;
        while count > 0 && self.due(count - 1) >= until {
            count -= 1;
        }
        while self.due(count) < until {
            count += 1;
        }
        count
    }

    fn last(&self) -> f64 {
        self.0.last().map_or(1.0, |leg| leg.to)
    }
}

impl Leg {
    fn slope(&self) -> f64 {
        if self.seconds.is_finite() { (self.to - self.from) / self.seconds } else { 0.0 }
    }

    /// How many requests there are in its first seconds.
    fn requests(&self, seconds: f64) -> f64 {
        if seconds.is_infinite() { f64::INFINITY } else { self.from * seconds + self.slope() * seconds * seconds / 2.0 }
    }

    /// After how many seconds there have been so many requests: the root of `requests(seconds) = n`, in the form that
    /// loses nothing where the slope is small.
    fn when(&self, n: f64) -> f64 {
        2.0 * n / (self.from + (self.from * self.from + 2.0 * self.slope() * n).max(0.0).sqrt())
    }
}

fn sound(rate: f64) -> Result<f64> {
    if (LOWEST..=HIGHEST).contains(&rate) { Ok(rate) } else { Err(wrong(&rate.to_string())) }
}

fn wrong(said: &str) -> Error {
    Error::usage(format!("'{}' is no rate", said.escape_debug()))
        .hint("write 500 (a second), 100..10000/60s for a ramp, or 100,200,400/10s for steps")
}

impl FromStr for Rate {
    type Err = Error;

    fn from_str(said: &str) -> Result<Self> {
        let number = |text: &str| text.trim().parse().ok().and_then(|rate| sound(rate).ok()).ok_or_else(|| wrong(said));
        let (rates, time) = match said.split_once('/') {
            None | Some((_, "s")) => (said.trim_end_matches("/s"), None),
            Some((rates, time)) => (rates, Some(options::time(time).flatten().ok_or_else(|| wrong(said))?)),
        };
        let seconds = time.map(|time| time.as_secs_f64());
        if seconds == Some(0.0) {
            return Err(wrong(said));
        }
        let legs = match (rates.split_once(".."), seconds) {
            (Some((from, to)), Some(seconds)) => vec![Leg { from: number(from)?, to: number(to)?, seconds }],
            (None, Some(seconds)) => rates
                .split(',')
                .map(|rate| number(rate).map(|rate| Leg { from: rate, to: rate, seconds }))
                .collect::<Result<_>>()?,
            (None, None) => return Self::constant(number(rates)?),
            (Some(_), None) => return Err(wrong(said)),
        };
        Ok(Self(legs))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [leg] if leg.from != leg.to => write!(f, "{}..{}", leg.from, leg.to)?,
            legs => {
                let rates: Vec<_> = legs.iter().map(|leg| leg.to.to_string()).collect();
                f.write_str(&rates.join(","))?;
            }
        }
        match self.0.first().filter(|leg| leg.seconds.is_finite()) {
            Some(leg) => write!(f, "/{}", humantime::format_duration(Duration::from_secs_f64(leg.seconds))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_request_has_its_time() {
        let rate: Rate = "500".parse().unwrap();
        assert_eq!(rate.due(0), Duration::ZERO);
        assert_eq!(rate.due(1), Duration::from_millis(2));
        assert_eq!(rate.count(Duration::from_secs(5)), 2500);
        let ramp: Rate = "100..300/10s".parse().unwrap();
        assert_eq!(ramp.count(Duration::from_secs(10)), 2000);
        assert_eq!(ramp.at(Duration::from_secs(5)), 200.0);
        assert_eq!(ramp.count(Duration::from_secs(11)), 2300, "it goes on at its end");
        let steps: Rate = "100,200,400/10s".parse().unwrap();
        assert_eq!(steps.count(Duration::from_secs(20)), 3000);
        assert_eq!(steps.due(1000), Duration::from_secs(10));
        assert_eq!(steps.span(), Some(Duration::from_secs(30)));
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for said in ["", "x", "0", "-1", "1..2", "1/0s", "1,2", "nan", "inf", "1e10", "1..x/2s", "5/min", "1,2/off"] {
            assert!(said.parse::<Rate>().is_err(), "{said}");
        }
        for beyond_clocks in ["1e-19", "1e-7", "1..1e-7/1s", "1,2/9999999999999999999s", "1,2/1000y"] {
            assert!(beyond_clocks.parse::<Rate>().is_err(), "{beyond_clocks}");
        }
    }

    #[test]
    fn the_slowest_rate_has_times_that_a_clock_can_show() {
        let now = std::time::Instant::now();
        for slowest in ["0.000001", "0.000001,0.000001/100y", "1..0.000001/100y"] {
            let rate: Rate = slowest.parse().unwrap();
            assert!(now.checked_add(rate.due(u64::from(u32::MAX))).is_some(), "{slowest}");
            assert!(rate.count(Duration::from_secs(1)) >= 1, "{slowest}");
        }
    }

    proptest! {
        #[test]
        fn words_come_back(from in 1..100_000_u32, to in 1..100_000_u32, seconds in 1..1_000_u32, form in 0..3) {
            let said = match form {
                0 => format!("{from}"),
                1 => format!("{from}..{to}/{seconds}s"),
                _ => format!("{from},{to}/{seconds}s"),
            };
            let rate: Rate = said.parse().unwrap();
            prop_assert_eq!(rate.to_string().parse::<Rate>().unwrap(), rate);
        }

        #[test]
        fn counting_and_times_agree(from in 1..5_000_u32, to in 1..5_000_u32, seconds in 1..20_u32, n in 0..50_000_u64) {
            let rate: Rate = format!("{from}..{to}/{seconds}s").parse().unwrap();
            let due = rate.due(n);
            prop_assert!(due <= rate.due(n + 1));
            let count = rate.count(due + Duration::from_nanos(2));
            prop_assert!(count > n, "{} of {}", count, n);
        }
    }
}
