//! What may be said to a terminal and to a page: texts without anything that steers, hides or turns what is read.

use std::borrow::Cow;

use unicode_normalization::char::is_combining_mark;

use super::{TEXT, TOPIC};
use crate::error::{Error, Kind, Result};

/// The most marks that one letter bears; the scripts that stack the most need 7.
pub(super) const MARKS: usize = 8;

/// Stands where a control character was, so that one sees that something was.
const CUT: char = '\u{fffd}';

/// The text without control characters (and so without escape sequences), without what turns the direction of writing,
/// and without what nobody sees. A tab is a space. Line breaks of all kinds are `\n`, or spaces unless `newlines`.
///
/// It may be three times as long as it was, where it was made of control characters. Cleaning it once more changes nothing.
pub fn clean(text: &str, newlines: bool) -> Cow<'_, str> {
    if is_plain(text) { Cow::Borrowed(text) } else { Cow::Owned(slowly(text, newlines)) }
}

/// Checks a message: [`clean`], and without white space at its end.
///
/// # Errors
/// [`Kind::Usage`]: nothing is left of it. [`Kind::TooLarge`]: it is longer than [`TEXT`].
pub fn message(text: &str, newlines: bool) -> Result<Cow<'_, str>> {
    let text = within("message", text, newlines, TEXT)?;
    if text.is_empty() {
        return Err(Error::usage("a message without text cannot be sent").hint("say something"));
    }
    Ok(text)
}

/// Checks a topic, which may be empty: one line, [`clean`], and without white space at its end.
///
/// # Errors
/// [`Kind::TooLarge`]: it is longer than [`TOPIC`].
pub fn topic(text: &str) -> Result<Cow<'_, str>> {
    within("topic", text, false, TOPIC)
}

/// Checks the reason of a kick or a ban, as [`topic`] does.
///
/// # Errors
/// [`Kind::TooLarge`]: it is longer than [`TOPIC`].
pub fn reason(text: &str) -> Result<Cow<'_, str>> {
    within("reason", text, false, TOPIC)
}

fn within<'a>(what: &str, text: &'a str, newlines: bool, longest: usize) -> Result<Cow<'a, str>> {
    let text = match clean(text, newlines) {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_end()),
        Cow::Owned(mut text) => {
            text.truncate(text.trim_end().len());
            Cow::Owned(text)
        }
    };
    if text.len() > longest {
        let about = format!("a {what} of {} bytes cannot be taken: {longest} is the most", text.len());
        return Err(Error::new(Kind::TooLarge, about).hint("say it shorter, or in several"));
    }
    Ok(text)
}

/// Whether it is nothing but printable ASCII, as most messages are. Without a branch for each byte it takes a vector's
/// width at a time.
fn is_plain(text: &str) -> bool {
    text.bytes().fold(true, |plain, byte| plain & (b' '..=b'~').contains(&byte))
}

fn slowly(text: &str, newlines: bool) -> String {
    let mut clean = String::with_capacity(text.len());
    // What is without a letter to stand on would stand on what is printed before it.
    let mut marks = MARKS;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            // One break, which comes with the next.
            '\r' if chars.peek() == Some(&'\n') => continue,
            '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => clean.push(if newlines { '\n' } else { ' ' }),
            '\t' => clean.push(' '),
            c if c.is_control() => {
                clean.push(CUT);
                marks = 0;
                continue;
            }
            c if is_hidden(c) => continue,
            c if stands_on_another(c) => {
                if marks < MARKS {
                    clean.push(c);
                    marks += 1;
                }
                continue;
            }
            c => clean.push(c),
        }
        marks = if c.is_whitespace() { MARKS } else { 0 };
    }
    clean
}

/// Marks, and the joiners without which some scripts and many an emoji are written wrongly.
fn stands_on_another(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}') || is_combining_mark(c)
}

/// Whether nobody sees it (all default-ignorable characters but joiners and variation selectors), or it turns or
/// annotates what is around it.
fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hostile_texts_become_harmless() {
        for (text, line) in [
            ("\x1b[31mred\x1b[0m", "\u{fffd}[31mred\u{fffd}[0m"),
            ("\x1b]0;title\x07", "\u{fffd}]0;title\u{fffd}"),
            ("\u{9b}2J\u{9d}52;c;x\u{9c}", "\u{fffd}2J\u{fffd}52;c;x\u{fffd}"),
            ("a\0b\x08\x7f", "a\u{fffd}b\u{fffd}\u{fffd}"),
            ("abc\u{202e}gpj.exe", "abcgpj.exe"),
            ("\u{2066}a\u{2069}\u{200f}", "a"),
            ("tab\there", "tab here"),
            ("one\r\ntwo\rthree\nfour\u{2028}five\u{85}six", "one two three four five six"),
            ("zero\u{200b}width\u{feff}\u{2060}\u{ad}", "zerowidth"),
            ("tags\u{e0041}\u{e007f}", "tags"),
            ("\u{fff9}shown\u{fffa}hidden\u{fffb}", "shownhidden"),
            ("\u{301}accent on what was before", "accent on what was before"),
            ("<script>alert(1)</script>&amp;", "<script>alert(1)</script>&amp;"),
        ] {
            assert_eq!(clean(text, false), line, "{text:?}");
        }
        assert_eq!(clean("a\r\nb\rc\u{2029}\u{301}d\r\r\n", true), "a\nb\nc\nd\n\n");
    }

    #[test]
    fn what_people_write_stays() {
        for good in [
            "",
            "plain",
            "Søren says naïve",
            "שָׁלוֹם עולם",
            "السلام عليكم",
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            "👩\u{200d}👩\u{200d}👧",
            "❤\u{fe0f}",
            "1\u{fe0f}\u{20e3}",
            "👍🏽",
            "🇨🇭",
            "李雷",
            "မြန်မာ",
            "𝔘𝔫𝔦",
            "e\u{301}\u{323}",
            "\u{a0}x",
        ] {
            assert_eq!(clean(good, false), good, "{good:?}");
        }
        assert!(matches!(clean("printable ASCII ~", false), Cow::Borrowed(_)));
        assert_eq!(clean("several\nlines", true), "several\nlines");
    }

    #[test]
    fn nobody_piles_up_marks() {
        let zalgo = format!("z{}a{}", "\u{310}".repeat(1000), "\u{323}".repeat(3));
        assert_eq!(clean(&zalgo, true).chars().count(), 2 + MARKS + 3);
    }

    #[test]
    fn a_message_says_something_and_not_too_much() {
        assert_eq!(message("  indented \r\n \t", true).unwrap(), "  indented");
        for empty in ["", "  ", "\r\n", "\u{200b}\u{200d}\u{301}", " \u{200d} \u{3164}\u{ad}"] {
            assert_eq!(message(empty, true).unwrap_err().kind(), Kind::Usage, "{empty:?}");
        }
        assert!(message(&"x".repeat(TEXT), true).is_ok());
        let error = message(&"ä".repeat(TEXT), true).unwrap_err();
        assert_eq!(error.kind(), Kind::TooLarge);
        assert_eq!(error.to_string(), "a message of 8192 bytes cannot be taken: 4096 is the most");
        assert_eq!(topic("about\nthis ").unwrap(), "about this");
        assert_eq!(topic("").unwrap(), "");
        assert_eq!(topic(&"x".repeat(TOPIC + 1)).unwrap_err().kind(), Kind::TooLarge);
    }

    /// Text with much of what is of interest in it.
    fn wild() -> impl Strategy<Value = String> {
        let special = prop::sample::select(
            &['\r', '\n', '\t', '\x1b', '\u{9b}', '\u{202e}', '\u{200d}', '\u{301}', '\u{fffd}', ' ', '\u{ad}'][..],
        );
        prop::collection::vec(prop_oneof![special, any::<char>(), prop::char::range(' ', '~')], 0..60)
            .prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn what_is_clean_steers_nothing(text in wild(), newlines: bool) {
            let clean = clean(&text, newlines);
            prop_assert!(!clean.chars().any(|c| c.is_control() && !(newlines && c == '\n')));
            let turns = |c: char| matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            prop_assert!(!clean.contains(turns));
            prop_assert_eq!(&self::clean(&clean, newlines), &clean, "clean is clean");
            prop_assert!(clean.len() <= 3 * text.len() && clean.chars().count() <= text.chars().count());
        }

        #[test]
        fn the_fast_path_is_the_slow_one(text in "[ -~]{0,200}", newlines: bool) {
            prop_assert!(matches!(clean(&text, newlines), Cow::Borrowed(_)));
            prop_assert_eq!(slowly(&text, newlines), text);
        }
    }
}
