//! Ranges of bytes (RFC 9110, section 14): what a `Range` header asks for, and what of that is sent.

use std::ops::Range;

/// The most ranges of one request: who asks for more gets all of it, which is less work for both ends.
const MOST: usize = 100;

/// One of the ranges of a header, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spec {
    /// `0-4`, or `5-` to the end: the first byte and the last one.
    From(u64, Option<u64>),
    /// `-5`: that many at the end.
    Last(u64),
}

/// The ranges of a header; nothing where it is in another unit, and no ranges where it is in none that can be read.
pub(crate) fn read(text: &str) -> Option<Vec<Spec>> {
    let (unit, ranges) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let ranges = ranges.split(',').map(str::trim).filter(|range| !range.is_empty());
    Some(ranges.map(Spec::read).collect::<Option<_>>().unwrap_or_default())
}

impl Spec {
    fn read(range: &str) -> Option<Self> {
        let (first, last) = range.split_once('-')?;
        match (first.trim(), last.trim()) {
            ("", last) => number(last).map(Self::Last),
            (first, "") => Some(Self::From(number(first)?, None)),
            (first, last) => Some(Self::From(number(first)?, Some(number(last)?))),
        }
    }

    /// The first byte, and the one behind the last, as they are asked for: it may be behind the end, or empty.
    pub(crate) fn of(self, length: u64) -> Range<u64> {
        match self {
            Self::From(first, last) => first..last.map_or(length, |last| last.saturating_add(1)),
            Self::Last(count) => length.saturating_sub(count)..length,
        }
    }
}

/// Digits alone. What is too large for a number is as large as a number can be: it is behind every end.
fn number(digits: &str) -> Option<u64> {
    let plain = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    plain.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// What is sent of something.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it (200).
    All,
    /// These parts, none of which is empty or overlaps another (206).
    Parts(Vec<Range<u64>>),
    /// There is no such part (416).
    Nothing,
}

impl Wanted {
    /// What a header asks for of `length` bytes. Ranges that overlap become one, so that nobody is sent more than there is.
    pub(crate) fn of(header: &str, length: u64) -> Self {
        let Some(specs) = read(header) else { return Self::All };
        if specs.len() > MOST || length == 0 {
            return Self::All;
        }
        let parts = specs.into_iter().map(|spec| spec.of(length));
        let parts: Vec<_> =
            parts.map(|part| part.start..part.end.min(length)).filter(|part| !part.is_empty()).collect();
        if parts.is_empty() { Self::Nothing } else { Self::Parts(apart(parts)) }
    }
}

/// The same bytes in parts that do not overlap: in the order that was asked for, unless some had to be joined.
fn apart(parts: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut sorted = parts.clone();
    sorted.sort_by_key(|part| part.start);
    if sorted.windows(2).all(|two| two[0].end <= two[1].start) {
        return parts;
    }
    let mut joined: Vec<Range<u64>> = Vec::new();
    for part in sorted {
        match joined.last_mut().filter(|last| part.start <= last.end) {
            Some(last) => last.end = last.end.max(part.end),
            None => joined.push(part),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers_are_ranges() {
        let parts = |parts: &[(u64, u64)]| Wanted::Parts(parts.iter().map(|(from, to)| *from..*to).collect());
        for (header, wanted) in [
            ("bytes=0-0", parts(&[(0, 1)])),
            ("bytes=0-25", parts(&[(0, 26)])),
            ("bytes=20-", parts(&[(20, 26)])),
            ("bytes=20-1000", parts(&[(20, 26)])),
            ("bytes=0-99999999999999999999999", parts(&[(0, 26)])),
            ("bytes=0-18446744073709551615", parts(&[(0, 26)])),
            ("bytes=-5", parts(&[(21, 26)])),
            ("bytes=-100", parts(&[(0, 26)])),
            ("BYTES = 1 - 2 ", parts(&[(1, 3)])),
            ("bytes=0-1, ,4-5,-2", parts(&[(0, 2), (4, 6), (24, 26)])),
            ("bytes=4-5,0-1", parts(&[(4, 6), (0, 2)])),
            ("bytes=0-4,5-9", parts(&[(0, 5), (5, 10)])),
            ("bytes=5-14,0-9,-1", parts(&[(0, 15), (25, 26)])),
            ("bytes=0-,0-,0-", parts(&[(0, 26)])),
            ("bytes=0-1,100-200", parts(&[(0, 2)])),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=26-", Wanted::Nothing),
            ("bytes=5-4", Wanted::Nothing),
            ("bytes=a-b", Wanted::Nothing),
            ("bytes=0-1,x", Wanted::Nothing),
            ("bytes=+1-2", Wanted::Nothing),
            ("bytes=", Wanted::Nothing),
            ("bytes=-", Wanted::Nothing),
            ("lines=0-1", Wanted::All),
            ("0-1", Wanted::All),
            ("", Wanted::All),
        ] {
            assert_eq!(Wanted::of(header, 26), wanted, "{header}");
        }
        assert_eq!(Wanted::of("bytes=0-", 0), Wanted::All);
        assert_eq!(Wanted::of(&format!("bytes={}", ["0-0"; MOST + 1].join(",")), 26), Wanted::All, "too many");
    }

    proptest! {
        #[test]
        fn any_header_gives_parts_that_are_there_once(header in "(bytes=)?[0-9, x-]{0,40}", length in 0_u64..100) {
            if let Wanted::Parts(parts) = Wanted::of(&header, length) {
                prop_assert!(!parts.is_empty() && parts.iter().all(|part| part.start < part.end && part.end <= length));
                prop_assert!(parts.iter().map(|part| part.end - part.start).sum::<u64>() <= length);
            }
        }

        #[test]
        fn every_byte_that_is_asked_for_is_sent_and_no_other(
            asked in proptest::collection::vec((0_u64..60, 0_u64..60), 1..8)
        ) {
            let header = asked.iter().map(|(first, last)| format!("{first}-{last}")).collect::<Vec<_>>().join(",");
            let parts = match Wanted::of(&format!("bytes={header}"), 50) {
                Wanted::Parts(parts) => parts,
                _ => Vec::new(),
            };
            for byte in 0..50 {
                let wanted = asked.iter().any(|(first, last)| (*first..=*last).contains(&byte));
                prop_assert_eq!(parts.iter().any(|part| part.contains(&byte)), wanted, "{} of {}", byte, header);
            }
        }

        #[test]
        fn any_text_is_read_without_a_panic(header in ".{0,60}") {
            let _ = Wanted::of(&header, u64::MAX);
        }
    }
}
