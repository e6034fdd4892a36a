//! Names of people and of rooms: which there may be, and which are one and the same.
//!
//! A name is what people know each other by, so nobody may look like somebody else. Names are identifiers of the general
//! profile of [UTS 39](https://www.unicode.org/reports/tr39/), at most "highly restrictive": any one script, and Latin
//! beside Chinese, Japanese and Korean, but no Cyrillic letter in a Latin name.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};
use unicode_security::{RestrictionLevel, RestrictionLevelDetection, skeleton};

use super::{NAME, ROOM, text::MARKS};
use crate::error::{Error, Result, brief};

/// The name of a person.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Nick {
    /// As they write it.
    pub shown: String,
    /// The same for all names that people would take for this one, as [`key`] makes it.
    pub key: String,
}

/// Names that would be taken for the server's own voice: it speaks of itself, calls the reader "me" and "you", and begins
/// its notices with the others, so that `/me` could be one: `* the server says goodbye`.
const RESERVED: &[&str] = &["server", "system", "hullo", "me", "you", "the", "there", "whoever"];

/// How the names begin that a server gives to those who have none.
const GUEST: &str = "guest-";

/// What is allowed in identifiers, and yet not here: a colon ends the name in `ann: hello`, and joiners cannot be seen.
const KEPT: &[char] = &[':', '\u{200c}', '\u{200d}'];

/// Checks a name that somebody wants to have.
///
/// # Errors
/// [`Kind::Usage`](crate::Kind::Usage): it is no name, as [`person`] says, or one that the server keeps for itself.
pub fn nick(text: &str) -> Result<Nick> {
    let shown = person(text)?;
    let key = key(&shown);
    if is_reserved(&key) {
        let error = refused("name", text, "the server keeps it, and what looks like it, for itself");
        return Err(error.hint("take another, as in /nick ann"));
    }
    Ok(Nick { shown, key })
}

/// The name of the guest of that number.
pub fn guest(number: u64) -> Nick {
    let shown = format!("{GUEST}{number}");
    Nick { key: key(&shown), shown }
}

/// Whether that name is one that [`guest`] gives.
pub fn is_guest(name: &str) -> bool {
    let number = name.strip_prefix(GUEST).unwrap_or_default();
    !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
}

/// Checks the name of somebody who may be there, who may be a guest: trimmed, and in normal form C.
///
/// # Errors
/// [`Kind::Usage`](crate::Kind::Usage): it is empty, too long, or has characters that a name does not have.
pub fn person(text: &str) -> Result<String> {
    checked("name", text, NAME, str::to_owned)
}

/// Checks the name of a room that everybody may enter, and gives it as it is written everywhere: without the `#`, and in
/// small letters.
///
/// # Errors
/// [`Kind::Usage`](crate::Kind::Usage): it is empty, too long, or has characters that a name does not have.
pub fn room(text: &str) -> Result<String> {
    let name = text.trim();
    checked("name of a room", name.strip_prefix('#').unwrap_or(name), ROOM, str::to_lowercase)
}

/// The room in which two people talk alone: `@ann+bob`, whoever of them asks.
pub fn private(a: &str, b: &str) -> String {
    let (one, other) = if (key(a), a) <= (key(b), b) { (a, b) } else { (b, a) };
    format!("@{one}+{other}")
}

/// The two whose private room that is, if it is one.
pub fn parties(room: &str) -> Option<(&str, &str)> {
    let (one, other) = room.strip_prefix('@')?.split_once('+')?;
    (!one.is_empty() && !other.is_empty() && !other.contains('+')).then_some((one, other))
}

/// What is the same for names that are one name: those that differ in case, in the way that accents are written, or that
/// look alike. It is for comparing, and not for reading.
///
/// Small letters and capitals have look-alikes of their own (`I` is like `l`, and the Cyrillic `В` like `B`), and names
/// that differ in case are one. So letters count as alike if either of their forms do.
pub fn key(name: &str) -> String {
    let folded: String = name.nfkc().collect::<String>().to_lowercase().to_uppercase();
    let capitals: String = skeleton(&folded).collect();
    skeleton(&capitals.to_lowercase()).collect()
}

fn is_reserved(key: &str) -> bool {
    let digits = self::key("0123456789");
    let number = key.strip_prefix(&self::key(GUEST)).filter(|number| !number.is_empty());
    number.is_some_and(|number| number.chars().all(|c| digits.contains(c)))
        || RESERVED.iter().any(|name| self::key(name) == key)
}

fn checked(what: &str, text: &str, longest: usize, fold: fn(&str) -> String) -> Result<String> {
    let trimmed = text.trim();
    // No character of a name becomes more than a few in normal form; what is far too long is not worth the work.
    let name: String = fold(trimmed.get(..longest * 16).unwrap_or(trimmed)).nfc().collect();
    match fault(&name, longest) {
        _ if trimmed.len() > longest * 16 => Err(too_long(what, text, longest)),
        Some(Fault::Long) => Err(too_long(what, text, longest)),
        Some(Fault::Why(why, hint)) => Err(refused(what, text, why).hint(hint)),
        None => Ok(name),
    }
}

enum Fault {
    Long,
    Why(&'static str, &'static str),
}

fn fault(name: &str, longest: usize) -> Option<Fault> {
    const LETTERS: &str = "letters, digits, '_', '-' and '.' make a name, as in ann or naïve-bot_7";
    let Some(first) = name.chars().next() else { return Some(Fault::Why("it is empty", LETTERS)) };
    if name.chars().count() > longest {
        return Some(Fault::Long);
    }
    let why = if (!first.is_alphanumeric() && first != '_') || is_combining_mark(first) {
        "it does not begin with a letter or a digit"
    } else if !name.chars().any(char::is_alphanumeric) {
        "it has no letter and no digit"
    } else if name.contains(KEPT) {
        "it has characters that names do not have"
    } else if is_piled(name) {
        "it has too many marks on one letter"
    } else {
        match name.detect_restriction_level() {
            RestrictionLevel::Unrestricted => "it has characters that names do not have",
            level if level > RestrictionLevel::HighlyRestrictive => {
                return Some(Fault::Why(
                    "it mixes scripts, so that it could pass for another name",
                    "write it with the letters of one script",
                ));
            }
            _ => return None,
        }
    };
    Some(Fault::Why(why, LETTERS))
}

fn is_piled(name: &str) -> bool {
    let marks = name.chars().scan(0, |marks, c| {
        *marks = if is_combining_mark(c) { *marks + 1 } else { 0 };
        Some(*marks)
    });
    marks.max() > Some(MARKS)
}

fn refused(what: &str, text: &str, why: &str) -> Error {
    Error::usage(format!("the {what} '{}' is refused: {why}", brief(text.trim())))
}

fn too_long(what: &str, text: &str, longest: usize) -> Error {
    refused(what, text, "it is too long").hint(format!("it has at most {longest} characters"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Kind;

    #[test]
    fn names_of_the_world_are_names() {
        for good in [
            "ann",
            "Ann",
            "Søren",
            "李雷",
            "Привет",
            "محمد",
            "naïve-bot_7",
            "O'Brien",
            "Nguyễn",
            "Ελένη",
            "דוד",
            "สมชาย",
            "प्रिया",
            "ひろし",
            "ヒロシ",
            "김철수",
            "李Lee",
            "7of9",
            "_x",
            "j.doe",
            "Ægir",
            "Łukasz",
            "ქეთი",
            "Եվա",
        ] {
            assert_eq!(
                nick(good).map(|nick| nick.shown).map_err(|e| e.to_string()),
                Ok(good.nfc().collect()),
                "{good}"
            );
        }
        assert_eq!(nick(" ann\r\n").unwrap().shown, "ann", "trimmed");
        assert_eq!(nick(&"ä".repeat(NAME)).unwrap().shown.chars().count(), NAME);
        assert_eq!(nick(&"a\u{308}".repeat(NAME)).unwrap().shown.chars().count(), NAME, "counted in normal form");
    }

    #[test]
    fn what_could_deceive_or_harm_is_no_name() {
        for (bad, why) in [
            ("", "it is empty"),
            (" \t", "it is empty"),
            ("/quit", "does not begin"),
            ("@bob", "does not begin"),
            ("#dev", "does not begin"),
            ("*", "does not begin"),
            ("-rf", "does not begin"),
            (".hidden", "does not begin"),
            ("\u{301}ann", "does not begin"),
            ("____", "no letter"),
            ("a b", "characters"),
            ("ann:", "characters"),
            ("ann,bob", "characters"),
            ("ann+bob", "characters"),
            ("a/b", "characters"),
            ("a\nb", "characters"),
            ("a\x1b[2Jb", "characters"),
            ("a\u{9b}2J", "characters"),
            ("a\u{202e}b", "characters"),
            ("a\u{2066}b", "characters"),
            ("a\u{200b}b", "characters"),
            ("a\u{200d}b", "characters"),
            ("a\u{ad}b", "characters"),
            ("a\u{e0041}b", "characters"),
            ("a\u{3164}b", "characters"),
            ("<b>ann</b>", "does not begin"),
            ("ann<img/src=x>", "characters"),
            ("a\u{2044}b", "characters"),
            ("𝐚𝐧𝐧", "characters"),
            ("ann😀", "characters"),
            ("аnn", "mixes scripts"),
            ("pаypal", "mixes scripts"),
            ("Αnn", "mixes scripts"),
            ("annпривет", "mixes scripts"),
            ("z\u{327}\u{328}\u{32d}\u{330}\u{331}\u{323}\u{324}\u{325}\u{32e}", "marks"),
        ] {
            let error = nick(bad).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage);
            assert!(error.to_string().contains(why), "{bad:?}: {error}");
            assert!(error.advice().is_some() && !error.to_string().contains(['\x1b', '\n', '\u{202e}']), "{bad:?}");
        }
        for long in ["a".repeat(NAME + 1), "ä".repeat(NAME + 1), "a".repeat(1 << 20), "€".repeat(1 << 16)] {
            assert_eq!(nick(&long).unwrap_err().advice(), Some("it has at most 32 characters"));
        }
    }

    #[test]
    fn the_servers_own_names_are_not_given_away() {
        for bad in [
            "server",
            "SYSTEM",
            "Hullo",
            "hu11o",
            "ѕуѕтем",
            "guest-7",
            "Guest-10",
            "guest-l",
            "GUEST‐1",
            "me",
            "Y0u",
            "The",
        ] {
            assert!(nick(bad).is_err(), "{bad}");
        }
        for good in ["servers", "guest", "guest-seven", "guesthouse-7", "meg"] {
            assert!(nick(good).is_ok(), "{good}");
        }
        assert_eq!(guest(7).shown, "guest-7");
        assert_eq!(person("guest-7").unwrap(), "guest-7", "they are people all the same");
        assert_ne!(guest(1).key, guest(7).key);
    }

    #[test]
    fn look_alikes_are_one_name() {
        for (one, other) in [
            ("Ann", "ann"),
            ("SØREN", "søren"),
            ("Alice", "AIice"),
            ("alice", "a1ice"),
            ("bob", "b0b"),
            ("modem", "modern"),
            ("apple", "аррӏе"),
            ("BOB", "ВОВ"),
            ("bob", "вов"),
            ("ΣΑΣ", "σας"),
            ("ann", "ａｎｎ"),
            ("Straße", "STRASSE"),
            ("caf\u{e9}", "cafe\u{301}"),
        ] {
            assert_eq!(key(one), key(other), "{one} {other}");
        }
        for (one, other) in [("ann", "anna"), ("Søren", "Soren"), ("é", "e"), ("李雷", "李蕾"), ("guest-2", "guest-3")]
        {
            assert_ne!(key(one), key(other), "{one} {other}");
        }
    }

    #[test]
    fn a_room_has_one_way_to_be_written() {
        for (text, name) in
            [("dev", "dev"), ("#Dev", "dev"), (" LOBBY ", "lobby"), ("Кухня", "кухня"), ("2026", "2026")]
        {
            assert_eq!(room(text).unwrap(), name);
        }
        for bad in ["", "#", "##dev", "@bob", "@ann+bob", "a b", "dev/ops", "../etc", "dеv", "a\u{202e}b"] {
            assert!(room(bad).is_err(), "{bad:?}");
        }
        assert!(room(&"a".repeat(ROOM)).is_ok());
        assert!(room(&"a".repeat(ROOM + 1)).is_err());
    }

    #[test]
    fn two_people_have_one_private_room() {
        assert_eq!(private("bob", "ann"), "@ann+bob");
        assert_eq!(private("ann", "bob"), "@ann+bob");
        assert_eq!(private("Bob", "ann"), "@ann+Bob", "by key, and not by capitals");
        assert_eq!(parties("@ann+bob"), Some(("ann", "bob")));
        for none in ["lobby", "@bob", "@+bob", "@ann+", "ann+bob", "@a+b+c", ""] {
            assert_eq!(parties(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gets_a_verdict(text in "\\PC{0,80}|.{0,80}") {
            if let Ok(nick) = nick(&text) {
                let again = self::nick(&nick.shown).unwrap();
                prop_assert_eq!(&again, &nick, "a name stays what it is");
                prop_assert!(crate::chat::text::clean(&nick.shown, false) == nick.shown, "and is safe to show");
                prop_assert!(!nick.shown.contains(['@', '#', '*', '/', '+', ',', ':', ' ']));
            }
            if let Ok(name) = room(&text) {
                prop_assert_eq!(room(&name).unwrap(), name.as_str());
            }
        }

        #[test]
        fn a_key_does_not_depend_on_the_form(text in "[\\PC]{0,40}") {
            let key = key(&text);
            prop_assert_eq!(&key, &self::key(&text.nfc().collect::<String>()));
            prop_assert_eq!(&key, &self::key(&text.nfd().collect::<String>()));
        }

        #[test]
        fn a_key_does_not_depend_on_the_case(text in "[a-zA-Z0-9ÄÖÜäöüа-яА-Я_.-]{1,32}") {
            let key = key(&text);
            prop_assert_eq!(&key, &self::key(&text.to_lowercase()));
            prop_assert_eq!(&key, &self::key(&text.to_uppercase()));
        }

        #[test]
        fn a_private_room_names_its_two(a in "[a-zA-Zа-я][a-z0-9_.-]{0,10}", b in "[a-zA-Z][a-z0-9]{0,10}") {
            let room = private(&a, &b);
            prop_assert_eq!(&room, &private(&b, &a));
            let (one, other) = parties(&room).unwrap();
            prop_assert!((one, other) == (&a, &b) || (one, other) == (&b, &a));
        }
    }
}
