//! Latencies on a logarithmic scale: what a column over time keeps of them, where a histogram would be too much.

use std::ops::Range;

/// How many buckets an octave has: each is at most 2.2 % wide.
const PER_OCTAVE: f64 = 32.0;

/// The first bucket begins here, in nanoseconds; what is shorter belongs to it.
const FIRST: f64 = 1_000.0;

/// How many there are: up to an hour and more.
pub const COUNT: usize = 1024;

/// The bucket of a time in nanoseconds.
pub fn bucket(nanos: u64) -> u16 {
    let at = (nanos as f64 / FIRST).max(1.0).log2() * PER_OCTAVE;
    (at as u16).min(COUNT as u16 - 1)
}

/// From where to where a bucket reaches, in nanoseconds.
pub fn bounds(bucket: u16) -> Range<f64> {
    let edge = |at: f64| FIRST * (at / PER_OCTAVE).exp2();
    edge(f64::from(bucket))..edge(f64::from(bucket) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_lies_within_its_bucket() {
        for nanos in [1_000, 1_500, 12_345, 1_000_000, 987_654_321, 3_600_000_000_000] {
            let bounds = bounds(bucket(nanos));
            assert!(bounds.start * 0.999_999 <= nanos as f64 && (nanos as f64) < bounds.end, "{nanos} {bounds:?}");
            assert!(bounds.end / bounds.start < 1.0220);
        }
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(u64::MAX), COUNT as u16 - 1);
    }
}
