//! The name of a file or folder that somebody else chose: one component, and nothing that could harm.

use std::{borrow::Cow, ffi::OsStr, fmt, os::unix::ffi::OsStrExt};

use crate::error::{Error, Kind, Result};

/// The most bytes of a name, on every common file system.
const LONGEST: usize = 255;

/// What ends the names of our own files that are not whole yet.
const PART: &[u8] = b".hullo-part";

/// One component of a path: not empty, `.` or `..`, without separators, control characters, and characters that turn
/// the direction of writing. It need not be UTF-8.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Box<[u8]>);

impl Name {
    /// Checks a name.
    ///
    /// # Errors
    /// [`Kind::File`]: what is wrong with it.
    pub fn new(bytes: &[u8]) -> Result<Self> {
        let name = Self::any(bytes)?;
        if name.is_part() {
            return Err(refused(bytes, "names of that form are kept for files that are not whole yet"));
        }
        Ok(name)
    }

    fn any(bytes: &[u8]) -> Result<Self> {
        match fault(bytes) {
            Some(why) => Err(refused(bytes, why)),
            None => Ok(Self(bytes.into())),
        }
    }

    /// Checks the components of a relative path, of which there must be one.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn path(bytes: &[u8]) -> Result<Vec<Self>> {
        bytes.split(|byte| *byte == b'/').map(Self::new).collect()
    }

    /// The name as the system's functions take it.
    pub fn as_os(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }

    /// The name to read: what is not UTF-8 is replaced.
    pub fn shown(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// Whether it is one that [`part`](Self::part) makes.
    pub(crate) fn is_part(&self) -> bool {
        self.0.starts_with(b".") && self.0.ends_with(PART)
    }

    /// The name that the file has until it is whole: the same for the same file, so that a later attempt finds it.
    pub(crate) fn part(&self) -> Self {
        let whole = [b".", &self.0[..], PART].concat();
        if whole.len() <= LONGEST {
            return Self(whole.into());
        }
        let digest = blake3::hash(&self.0).to_hex();
        Self([b".", &self.0[..200], b".", &digest.as_bytes()[..16], PART].concat().into())
    }

    /// The `n`th name beside it, for a file that must not replace the one there: `photo (2).jpg`.
    pub(crate) fn beside(&self, n: u32) -> Self {
        let dot = self.0.iter().rposition(|byte| *byte == b'.').filter(|at| *at > 0).unwrap_or(self.0.len());
        let (stem, end) = self.0.split_at(dot);
        let number = format!(" ({n})");
        let room = LONGEST.saturating_sub(number.len() + end.len());
        Self([&stem[..stem.len().min(room)], number.as_bytes(), end].concat().into())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.shown(), f)
    }
}

fn refused(bytes: &[u8], why: &str) -> Error {
    let shown: String = String::from_utf8_lossy(bytes).chars().take(80).flat_map(char::escape_debug).collect();
    Error::new(Kind::File, format!("the name '{shown}' is refused: {why}"))
}

fn fault(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        b"" => return Some("it is empty"),
        b"." | b".." => return Some("it leads elsewhere"),
        _ if bytes.len() > LONGEST => return Some("it is longer than 255 bytes"),
        _ if bytes.contains(&b'/') => return Some("it has a separator in it"),
        _ => {}
    }
    if bytes.iter().any(u8::is_ascii_control) {
        return Some("it has a control character in it");
    }
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let hides = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.contains(hides).then_some("it has a character in it that hides what it is")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmful_names_are_refused() {
        for bad in [
            &b""[..],
            b".",
            b"..",
            b"a/b",
            b"/",
            b"a\0",
            b"\x1b[2J",
            b"a\nb",
            b"\xc2\x9b1m",
            "a\u{202e}fdp.exe".as_bytes(),
        ] {
            assert!(Name::new(bad).is_err(), "{bad:?}");
        }
        assert!(Name::new(&[b'a'; 256]).is_err());
        assert!(Name::new(b".x.hullo-part").is_err(), "our own unfinished files");
        assert!(Name::path(b"a/../b").is_err());
        assert!(Name::path(b"/a").is_err());
        assert!(Name::path(b"").is_err());
    }

    #[test]
    fn other_names_survive_whatever_they_are() {
        for good in [&b"a"[..], b"...", b"-rf", b"~", b"a b", b"caf\xe9", "snow☃".as_bytes(), b"C:\\x", &[b'a'; 255]]
        {
            assert_eq!(Name::new(good).unwrap().as_os().as_bytes(), good);
        }
    }

    #[test]
    fn the_names_made_of_a_name_are_names() {
        for name in [&b"a"[..], &[b'a'; 243], &[b'a'; 244], &[b'\xff'; 255]] {
            let name = Name::new(name).unwrap();
            assert!(name.part().is_part() && name.part().0.len() <= LONGEST);
            assert!(Name::any(&name.beside(7).0).is_ok());
        }
        assert_ne!(Name::new(&[b'a'; 254]).unwrap().part(), Name::new(&[b'a'; 255]).unwrap().part());
        assert_eq!(Name::new(b"photo.jpg").unwrap().beside(2).as_os(), "photo (2).jpg");
        assert_eq!(Name::new(b".profile").unwrap().beside(1).as_os(), ".profile (1)");
    }
}
