//! How many requests a second, and so when each of them should go: `500`, `100..10000/60s`, `100,200,400/10s`. Of what is
//! measured in bytes it is how many bits a second: `10mbit`, or as the fault `bandwidth` has it, `1MB`.

use std::{fmt, ops::RangeInclusive, str::FromStr, time::Duration};

use crate::{
    error::{Error, Result},
    options,
};

/// A schedule of requests: which one is due when, counted from the beginning of the run. It is pure, so any number of
/// threads share it without a word. Or one of bits, which are then what is counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Rate {
    legs: Vec<Leg>,
    of: Of,
}

/// What there are so many of in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Requests,
    Bits,
}

/// A part of the schedule: the rate goes evenly from the one to the other. The last one lasts for ever at its end.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Leg {
    from: f64,
    to: f64,
    seconds: f64,
}

/// The lowest and the highest rate that can be meant, in requests a second: one in eleven days, so that the next one is due
/// at a time that a clock can show.
const REQUESTS: RangeInclusive<f64> = 1e-6..=1e9;

/// The same of bits, of which no link carries more.
const BITS: RangeInclusive<f64> = 1.0..=1e12;

/// The units of bits, as tc(8) has them, and those of bytes, as sizes have them: which of the two is meant is never left to
/// the case of a letter.
const UNITS: &[(&str, f64)] = &[("gbit", 1e9), ("mbit", 1e6), ("kbit", 1e3), ("bit", 1.0)];
const SIZES: &[(&str, f64)] = &[
    ("GiB", 8.0 * 1_073_741_824.0),
    ("MiB", 8.0 * 1_048_576.0),
    ("KiB", 8.0 * 1024.0),
    ("GB", 8e9),
    ("MB", 8e6),
    ("kB", 8e3),
    ("KB", 8e3),
    ("B", 8.0),
];

impl Rate {
    /// So many requests a second, all the time.
    ///
    /// # Errors
    /// It is below a millionth, or over a billion.
    pub fn constant(rate: f64) -> Result<Self> {
        if !REQUESTS.contains(&rate) {
            return Err(wrong(&rate.to_string()));
        }
        Ok(Self { legs: vec![Leg { from: rate, to: rate, seconds: f64::INFINITY }], of: Of::Requests })
    }

    /// Whether it is the same all the time.
    pub fn is_constant(&self) -> bool {
        matches!(self.legs[..], [Leg { from, to, .. }] if from == to)
    }

    /// Whether what it counts is bits.
    pub fn is_bits(&self) -> bool {
        self.of == Of::Bits
    }

    /// That of one of so many that share it evenly.
    #[must_use]
    pub(crate) fn share(&self, many: usize) -> Self {
        Self { legs: self.divided(many.max(1) as f64), of: self.of }
    }

    /// A rate of bits as one of messages with so many bytes; one of messages stays as it is.
    ///
    /// # Errors
    /// It would be over a billion messages a second.
    pub fn of_size(&self, bytes: usize) -> Result<Self> {
        if self.of == Of::Requests {
            return Ok(self.clone());
        }
        let each = bytes.max(1) as f64 * 8.0;
        let legs = self.divided(each);
        match legs.iter().all(|leg| [leg.from, leg.to].iter().all(|rate| REQUESTS.contains(rate))) {
            true => Ok(Self { legs, of: Of::Requests }),
            false => {
                Err(Error::usage(format!("{self} in messages of {bytes} bytes is more of them than can be counted"))
                    .hint("--size 1200 makes each of them larger"))
            }
        }
    }

    fn divided(&self, by: f64) -> Vec<Leg> {
        self.legs.iter().map(|leg| Leg { from: leg.from / by, to: leg.to / by, ..*leg }).collect()
    }

    /// The rate with which it begins, in requests a second.
    pub fn first(&self) -> f64 {
        self.legs.first().map_or(0.0, |leg| leg.from)
    }

    /// The rate at that time, in requests a second.
    pub fn at(&self, time: Duration) -> f64 {
        let mut left = time.as_secs_f64();
        for leg in &self.legs {
            if left < leg.seconds {
                return leg.from + leg.slope() * left;
            }
            left -= leg.seconds;
        }
        self.last()
    }

    /// How long it has something new to say; nothing where it is the same all the time.
    pub fn span(&self) -> Option<Duration> {
        let seconds: f64 = self.legs.iter().map(|leg| leg.seconds).sum();
        seconds.is_finite().then(|| Duration::from_secs_f64(seconds))
    }

    /// When request `n` should go, counted from 0.
    pub fn due(&self, n: u64) -> Duration {
        let (mut left, mut since) = (n as f64, 0.0);
        for leg in &self.legs {
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
        // Sums of fractions may miss by one either way: the request's own time decides.
        let mut count = self.amount(until).ceil() as u64;
        while count > 0 && self.due(count - 1) >= until {
            count -= 1;
        }
        while self.due(count) < until {
            count += 1;
        }
        count
    }

    /// The same with its fraction, as of what nobody counts one by one.
    pub(crate) fn amount(&self, until: Duration) -> f64 {
        let (mut left, mut amount) = (until.as_secs_f64(), 0.0);
        for leg in &self.legs {
            amount += leg.requests(leg.seconds.min(left));
            left = (left - leg.seconds).max(0.0);
        }
        amount + left * self.last()
    }

    fn last(&self) -> f64 {
        self.legs.last().map_or(1.0, |leg| leg.to)
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

fn wrong(said: &str) -> Error {
    Error::usage(format!("'{}' is no rate", said.escape_debug())).hint(
        "write 500 (a second), 100..10000/60s for a ramp, 100,200,400/10s for steps; and 10mbit of bits, 1MB of bytes",
    )
}

/// A number and its unit, as so many requests or bits a second.
fn number(text: &str) -> Option<(f64, Of)> {
    let text = text.trim();
    let begins = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    // What a number is written with has a letter too: 1e3.
    if let Ok(rate) = text.parse() {
        return REQUESTS.contains(&rate).then_some((rate, Of::Requests));
    }
    let (number, unit) = text.split_at(begins);
    let bits = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
    let (_, size) = bits.or_else(|| SIZES.iter().find(|(name, _)| *name == unit))?;
    let rate = (number.trim_end().parse::<f64>().ok()? * size).round();
    BITS.contains(&rate).then_some((rate, Of::Bits))
}

impl FromStr for Rate {
    type Err = Error;

    fn from_str(said: &str) -> Result<Self> {
        let (rates, time) = match said.split_once('/') {
            None | Some((_, "s")) => (said.trim_end_matches("/s"), None),
            Some((rates, time)) => (rates, Some(options::time(time).flatten().ok_or_else(|| wrong(said))?)),
        };
        let seconds = time.map(|time| time.as_secs_f64());
        if seconds == Some(0.0) {
            return Err(wrong(said));
        }
        let mut of = None;
        let mut number = |text: &str| {
            let (rate, unit) = number(text)?;
            (*of.get_or_insert(unit) == unit).then_some(rate)
        };
        let mut legs = || {
            Some(match (rates.split_once(".."), seconds) {
                (Some((from, to)), Some(seconds)) => vec![Leg { from: number(from)?, to: number(to)?, seconds }],
                (None, Some(seconds)) => {
                    let rates = rates.split(',').map(&mut number);
                    rates.map(|rate| rate.map(|rate| Leg { from: rate, to: rate, seconds })).collect::<Option<_>>()?
                }
                (None, None) => {
                    let rate = number(rates)?;
                    vec![Leg { from: rate, to: rate, seconds: f64::INFINITY }]
                }
                (Some(_), None) => return None,
            })
        };
        let legs = legs().ok_or_else(|| wrong(said))?;
        Ok(Self { legs, of: of.unwrap_or(Of::Requests) })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.legs[..] {
            [leg] if leg.from != leg.to => write!(f, "{}..{}", self.of.words(leg.from), self.of.words(leg.to))?,
            legs => {
                let rates: Vec<_> = legs.iter().map(|leg| self.of.words(leg.to)).collect();
                f.write_str(&rates.join(","))?;
            }
        }
        match self.legs.first().filter(|leg| leg.seconds.is_finite()) {
            Some(leg) => write!(f, "/{}", humantime::format_duration(Duration::from_secs_f64(leg.seconds))),
            None => Ok(()),
        }
    }
}

impl Of {
    /// A rate as it is read: of bits, in the largest unit of which there is one.
    fn words(self, rate: f64) -> String {
        match (self, UNITS.iter().find(|(_, unit)| rate >= *unit)) {
            (Self::Bits, Some((name, unit))) => format!("{}{name}", rate / unit),
            _ => rate.to_string(),
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
    fn bits_and_bytes_are_told_apart_by_their_words() {
        for (said, bits, shown) in [
            ("10mbit", 1e7, "10mbit"),
            ("10Mbit/s", 1e7, "10mbit"),
            ("1.5 gbit", 1.5e9, "1.5gbit"),
            ("64kbit", 64e3, "64kbit"),
            ("9bit", 9.0, "9bit"),
            ("1MB", 8e6, "8mbit"),
            ("1kB/s", 8e3, "8kbit"),
            ("1MiB", 8.0 * 1_048_576.0, "8.388608mbit"),
        ] {
            let rate: Rate = said.parse().unwrap();
            assert!(rate.is_bits() && rate.is_constant(), "{said}");
            assert_eq!((rate.first(), &*rate.to_string()), (bits, shown), "{said}");
            assert_eq!(shown.parse::<Rate>().unwrap(), rate, "{said}");
        }
        let ramp: Rate = "1mbit..100mbit/10s".parse().unwrap();
        assert_eq!((ramp.to_string().as_str(), ramp.amount(Duration::from_secs(10))), ("1mbit..100mbit/10s", 505e6));
        // Who means neither is asked which: others read 10M as bits, and sizes as bytes.
        for said in [
            "10M",
            "10m",
            "10Mb",
            "10mb",
            "10mbps",
            "1kbit,500/10s",
            "1..2mbit/1s",
            "0mbit",
            "0.1bit",
            "2000gbit",
            "mbit",
        ] {
            let error = said.parse::<Rate>().unwrap_err();
            assert!(error.advice().unwrap().contains("10mbit of bits, 1MB of bytes"), "{said}");
        }
    }

    #[test]
    fn bits_are_so_many_messages_of_a_size() {
        let rate: Rate = "9.6mbit".parse().unwrap();
        assert_eq!(rate.of_size(1200).unwrap(), "1000".parse().unwrap());
        assert_eq!(rate.share(4).of_size(1200).unwrap(), "250".parse().unwrap());
        let plain: Rate = "500".parse().unwrap();
        assert!(!plain.is_bits() && plain.of_size(1200).unwrap() == plain);
        assert!("1bit".parse::<Rate>().unwrap().of_size(65_507).is_ok());
        assert!("1000gbit".parse::<Rate>().unwrap().of_size(24).unwrap_err().advice().is_some());
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
        fn words_come_back(from in 1..100_000_u32, to in 1..100_000_u32, seconds in 1..1_000_u32, form in 0..3, unit in 0..5usize) {
            let unit = ["", "bit", "kbit", "mbit", "B"][unit];
            let said = match form {
                0 => format!("{from}{unit}"),
                1 => format!("{from}{unit}..{to}{unit}/{seconds}s"),
                _ => format!("{from}{unit},{to}{unit}/{seconds}s"),
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
