//! Names, sizes and times as people read them.

use std::{
    cmp::Ordering,
    fmt::Write,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A name for the eyes: what has no shape, moves the cursor or turns the direction of writing is written out.
pub(super) fn shown(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            // Writing into a string cannot fail.
            let _ = if is_unseen(c) { write!(text, "\\u{{{:x}}}", u32::from(c)) } else { text.write_char(c) };
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Control characters, those of bidirectional text (UAX #9), and others that cannot be seen. The joiners of emoji stay.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{ad}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A number of bytes in three digits or so: `1.5 MiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit = (bytes.ilog2() / 10) as usize;
    let mut share = bytes as f64 / 1024_f64.powi(unit as i32);
    // 1,023.96 KiB would be shown as 1024 of them.
    if share >= 1023.5 && unit < UNITS.len() {
        (unit, share) = (unit + 1, share / 1024.0);
    }
    if share < 99.95 { format!("{share:.1} {}", UNITS[unit - 1]) } else { format!("{share:.0} {}", UNITS[unit - 1]) }
}

/// A time as RFC 3339 writes it, in UTC. What that cannot say is the nearest that it can.
pub(super) fn rfc3339(time: SystemTime) -> String {
    /// The end of the year 9999.
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().min(LAST);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string()
}

/// A name as it is sorted: without case, and with numbers by their value, so that `2` comes before `10`.
#[derive(PartialEq, Eq)]
pub(super) struct Natural(String);

impl Natural {
    pub(super) fn of(name: &[u8]) -> Self {
        Self(String::from_utf8_lossy(name).to_lowercase())
    }
}

impl Ord for Natural {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut a, mut b) = (self.0.as_bytes(), other.0.as_bytes());
        while let (Some(&first), Some(&second)) = (a.first(), b.first()) {
            let order = if first.is_ascii_digit() && second.is_ascii_digit() {
                let (one, two) = (number(&mut a), number(&mut b));
                one.len().cmp(&two.len()).then_with(|| one.cmp(two))
            } else {
                (a, b) = (&a[1..], &b[1..]);
                first.cmp(&second)
            };
            if order.is_ne() {
                return order;
            }
        }
        // Numbers that differ in their zeros alone are equal so far.
        a.len().cmp(&b.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Natural {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Takes a number off the front; its leading zeros are not part of what this returns.
fn number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let zeros = text[..digits].iter().take_while(|byte| **byte == b'0').count();
    let number = &text[zeros..digits];
    *text = &text[digits..];
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_as_people_do() {
        let sorted = ["", "2", "02", "2b", "10", "A", "a1", "a2", "A10", "b", "file 9.txt", "file 10.txt", "ä"];
        let mut names: Vec<_> = sorted.iter().rev().map(|name| (Natural::of(name.as_bytes()), *name)).collect();
        names.sort_by(|a, b| a.0.cmp(&b.0));
        let names: Vec<_> = names.iter().map(|(_, name)| *name).collect();
        let wanted = ["", "02", "2", "2b", "10", "A", "a1", "a2", "A10", "b", "file 9.txt", "file 10.txt", "ä"];
        assert_eq!(names, wanted);
    }

    proptest::proptest! {
        #[test]
        fn the_order_is_one(names in proptest::collection::vec("[a0-3B]{0,5}", 3)) {
            let [a, b, c] = [0, 1, 2].map(|at| Natural::of(names[at].as_bytes()));
            assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            assert_eq!(a.cmp(&b).is_eq(), a == b);
            assert!(a > b || b > c || a <= c);
        }
    }

    #[test]
    fn sizes_and_times_are_read_at_a_glance() {
        for (bytes, wanted) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_536, "1.5 KiB"),
            (102_400, "100 KiB"),
            (1_048_575, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), wanted, "{bytes}");
        }
        assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(1_700_000_000)), "2023-11-14T22:13:20Z");
        assert_eq!(rfc3339(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(1 << 60)), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn nothing_in_a_name_is_hidden() {
        for (name, wanted) in [
            (&b"plain \xc3\xa4.txt"[..], "plain ä.txt"),
            (b"a\nb\x1b[2J", "a\\u{a}b\\u{1b}[2J"),
            (b"bad\xff\xfe", "bad\\xff\\xfe"),
            ("gpj.\u{202e}exe".as_bytes(), "gpj.\\u{202e}exe"),
            ("\u{200b}".as_bytes(), "\\u{200b}"),
        ] {
            assert_eq!(shown(name), wanted);
        }
    }
}
