//! Times of day, as the clock on the wall has them.

use jiff::{Timestamp, Zoned, civil::Date, tz::TimeZone};

/// Where we are, as far as the system knows.
#[derive(Clone)]
pub(crate) struct Clock(TimeZone);

impl Clock {
    /// As the system, or the variable `TZ`, says.
    pub(crate) fn here() -> Self {
        Self(TimeZone::system())
    }

    /// The same everywhere.
    #[cfg(test)]
    pub(crate) fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// Milliseconds since 1970 as hours and minutes.
    pub(crate) fn time(&self, millis: i64) -> String {
        let at = self.at(millis);
        format!("{:02}:{:02}", at.hour(), at.minute())
    }

    /// The same with the seconds and their thousandths.
    pub(crate) fn precise(&self, millis: i64) -> String {
        self.at(millis).strftime("%H:%M:%S%.3f").to_string()
    }

    /// The day, for telling it from the next one.
    pub(crate) fn day(&self, millis: i64) -> Date {
        self.at(millis).date()
    }

    /// The day in words, as in `Sat 21 Nov 2026`.
    pub(crate) fn words(&self, millis: i64) -> String {
        self.at(millis).strftime("%a %-d %b %Y").to_string()
    }

    /// A time that nobody can have written is the beginning of all.
    fn at(&self, millis: i64) -> Zoned {
        Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_wall() {
        let clock = Clock::utc();
        assert_eq!(
            (clock.time(1_700_000_000_000), clock.words(1_700_000_000_000)),
            ("22:13".into(), "Tue 14 Nov 2023".into())
        );
        assert_eq!(clock.precise(1_700_000_000_007), "22:13:20.007");
        assert_eq!(clock.time(i64::MAX), "00:00", "what is no time does no harm");
    }
}
