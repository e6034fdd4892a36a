//! Amounts, ages and names in little room.

use std::time::Duration;

use hullo::Peer;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use crate::report::shown_in_line;

/// A number of bytes in five characters at most.
pub(super) fn amount(bytes: f64) -> String {
    let (mut value, mut unit) = (bytes, 0);
    // What would be rounded to a thousand is one of the next.
    while value >= 999.5 && unit < 6 {
        value /= 1000.0;
        unit += 1;
    }
    let unit = ["", "k", "M", "G", "T", "P", "E"][unit];
    match value {
        _ if unit.is_empty() => format!("{value:.0}"),
        value if value < 9.995 => format!("{value:.2}{unit}"),
        value if value < 99.95 => format!("{value:.1}{unit}"),
        value => format!("{value:.0}{unit}"),
    }
}

/// A time in four characters at most.
pub(super) fn age(age: Duration) -> String {
    let s = age.as_secs();
    match s {
        0..100 => format!("{s}s"),
        100..6000 => format!("{}m", s / 60),
        6000..360_000 => format!("{}h", s / 3600),
        _ => format!("{}d", s / 86_400),
    }
}

/// Who is there, in that much room: of an address its end tells more than its scheme.
pub(super) fn name(peer: &Peer, width: usize) -> String {
    let whole = shown_in_line(&peer.to_string());
    if whole.width() <= width {
        return whole;
    }
    let short = whole.split_once("://").map_or(&*whole, |(_, rest)| rest);
    last(short, width)
}

/// As much of the text's end as fits, with a mark where some of it does not.
fn last(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut kept, mut used) = (Vec::new(), 1);
    for grapheme in text.graphemes(true).rev() {
        used += grapheme.width();
        if used > width {
            break;
        }
        kept.push(grapheme);
    }
    let kept: String = kept.into_iter().rev().collect();
    if width == 0 { String::new() } else { format!("…{kept}") }
}

/// The text without what paints it: it is for a place with colours of its own.
pub(super) fn plain(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain += part.split_once('m').map_or("", |(_, rest)| rest);
    }
    plain
}

#[cfg(test)]
mod tests {
    use hullo::Endpoint;

    use super::*;

    #[test]
    fn amounts_have_five_characters() {
        for (bytes, text) in [
            (0.0, "0"),
            (999.4, "999"),
            (999.5, "1.00k"),
            (1000.0, "1.00k"),
            (12_345.0, "12.3k"),
            (99_949.0, "99.9k"),
            (99_960.0, "100k"),
            (999_499.0, "999k"),
            (999_500.0, "1.00M"),
            (1e18, "1.00E"),
        ] {
            assert_eq!(amount(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn ages_have_four_characters() {
        for (s, text) in
            [(0, "0s"), (99, "99s"), (100, "1m"), (5999, "99m"), (6000, "1h"), (359_999, "99h"), (360_000, "4d")]
        {
            assert_eq!(age(Duration::from_secs(s)), text, "{s}");
        }
    }

    #[test]
    fn of_a_long_name_the_end_is_left() {
        let peer = Peer::new("tcp", Endpoint::Net("127.0.0.1:51234".parse().unwrap()), Endpoint::Unnamed);
        for (width, text) in
            [(30, "tcp://127.0.0.1:51234"), (15, "127.0.0.1:51234"), (10, "….0.1:51234"), (1, "…"), (0, "")]
        {
            let name = name(&peer, width);
            assert!(name.width() <= width, "{name}");
            assert!(width == 10 || name == text, "{name}");
        }
    }

    #[test]
    fn paint_is_taken_off() {
        assert_eq!(plain("\x1b[31mhullo:\x1b[0m it is \x1b[2mso\x1b[0m"), "hullo: it is so");
    }
}
