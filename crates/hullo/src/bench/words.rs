//! Figures as people read them: three digits, and a unit that fits.

const TIMES: &[(f64, &str)] = &[(1e-6, "ns"), (1e-3, "µs"), (1.0, "ms"), (1e3, "s")];
const BYTES: &[(f64, &str)] = &[(1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB")];
const BITS: &[(f64, &str)] = &[(1.0, "bit/s"), (1e3, "kbit/s"), (1e6, "Mbit/s"), (1e9, "Gbit/s"), (1e12, "Tbit/s")];

/// A time that is given in milliseconds: `1.95 s`, `12.3 ms`, `340 µs`.
pub fn time(milliseconds: f64) -> String {
    if milliseconds == 0.0 { "0 ms".to_owned() } else { scaled(milliseconds, TIMES) }
}

/// The same of a time that there may be none of: `–`.
pub fn time_if_any(milliseconds: Option<f64>) -> String {
    milliseconds.map_or_else(|| "–".to_owned(), time)
}

/// So many bytes: `64 B`, `1.50 MB`. A thousand bytes are a kilobyte.
pub fn bytes(bytes: f64) -> String {
    scaled(bytes, BYTES)
}

/// Bytes a second as links are measured, in bits: `9.41 Gbit/s`.
pub fn bits(bytes_per_second: f64) -> String {
    if bytes_per_second == 0.0 { "0 bit/s".to_owned() } else { scaled(bytes_per_second * 8.0, BITS) }
}

/// So many things a second: `500/s`, `12,345/s`, `0.25/s`.
pub fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate >= 99.95 => format!("{}/s", count(rate.round() as u64)),
        rate => format!("{}/s", short(digits(rate))),
    }
}

/// A number with its thousands apart: `12,345`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many requests, as a sentence says it: `1 request`, `473 requests`.
pub fn requests(number: u64) -> String {
    format!("{} request{}", count(number), if number == 1 { "" } else { "s" })
}

/// So many hundredths: `9.46 %`, `0.05 %`.
pub fn percent(percent: f64) -> String {
    format!("{} %", short(digits(percent)))
}

/// A part of a whole in per cent: `18.9 %`. What is less than all never reads as 100 %, nor something as nothing.
pub fn share(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return "0 %".to_owned();
    }
    let share = part as f64 / whole as f64 * 100.0;
    match share {
        share if part < whole && share > 99.9 => "over 99.9 %".to_owned(),
        share if share < 0.001 => "under 0.001 %".to_owned(),
        share => format!("{} %", short(digits(share))),
    }
}

/// The value in the unit in which it has one to three digits before the point.
fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    let mut units = units.iter().peekable();
    while let Some((unit, name)) = units.next() {
        let number = value / unit;
        // 999.7 µs would be 1000 of them.
        if number < 999.5 || units.peek().is_none() {
            let whole = name.starts_with('B') || number >= 999.5;
            return if whole { format!("{number:.0} {name}") } else { format!("{} {name}", digits(number)) };
        }
    }
    value.to_string()
}

/// Three significant digits.
fn digits(number: f64) -> String {
    // The exponent of the rounded number: 0.9997 becomes 1.00, and not 1.000.
    let rounded = format!("{number:.2e}");
    let exponent: i32 = rounded.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or_default();
    let after = usize::try_from(2 - exponent).unwrap_or_default().min(6);
    format!("{number:.after$}")
}

/// The same number without zeros at its end.
fn short(number: String) -> String {
    if !number.contains('.') {
        return number;
    }
    number.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_that_fits() {
        for (milliseconds, text) in [
            (0.0, "0 ms"),
            (0.000_25, "250 ns"),
            (0.34, "340 µs"),
            (0.001_234, "1.23 µs"),
            (0.9997, "1.00 ms"),
            (12.34, "12.3 ms"),
            (999.4, "999 ms"),
            (1950.0, "1.95 s"),
            (125_000.0, "125 s"),
            (5_000_000.0, "5000 s"),
        ] {
            assert_eq!(time(milliseconds), text, "{milliseconds}");
        }
    }

    #[test]
    fn counts_rates_and_bytes_read_well() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
        for (number, text) in
            [(0.0, "0/s"), (0.25, "0.25/s"), (12.0, "12/s"), (99.96, "100/s"), (500.2, "500/s"), (12_345.4, "12,345/s")]
        {
            assert_eq!(rate(number), text);
        }
        assert_eq!((bytes(64.0), bytes(1_500_000.0)), ("64 B".to_owned(), "1.50 MB".to_owned()));
        assert_eq!((bits(1.176e9), bits(0.0)), ("9.41 Gbit/s".to_owned(), "0 bit/s".to_owned()));
    }

    #[test]
    fn a_share_is_all_or_nothing_only_where_it_is() {
        for (part, whole, text) in [
            (0, 10, "0 %"),
            (1, 0, "0 %"),
            (10, 10, "100 %"),
            (473, 2500, "18.9 %"),
            (1, 2000, "0.05 %"),
            (1, 10_000_000, "under 0.001 %"),
            (9_999_999, 10_000_000, "over 99.9 %"),
        ] {
            assert_eq!(share(part, whole), text, "{part} of {whole}");
        }
    }
}
