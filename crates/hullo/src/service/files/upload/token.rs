//! What an upload is called, and what it must remember: its address says both, so the server keeps nothing.

use std::os::unix::ffi::OsStrExt;

use aws_lc_rs::rand;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::super::place::Place;
use crate::name::Name;

/// The most of a file's own name in that of its part.
const OF_NAME: usize = 100;

/// The name of an upload, of letters, digits, `-`, `_` and `.`.
///
/// One that we make is random, and then says after points what later requests must not change: `l` and the length, `d` and
/// the hash of all, `n` for a file that must not replace another. A client may as well choose its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token(String);

/// What an upload remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) length: Option<u64>,
    pub(super) sha256: Option<[u8; 32]>,
    pub(super) is_new: bool,
}

impl Token {
    /// The one of that name, if it can be one.
    pub(super) fn of(text: &str) -> Option<Self> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        ((1..=200).contains(&text.len()) && text.bytes().all(good)).then(|| Self(text.to_owned()))
    }

    /// That of all uploads of one client that do not say their name. No client can choose it: it has a colon.
    pub(super) fn of_client(client: &str) -> Self {
        Self(format!("client:{client}"))
    }

    /// A new one that nobody can guess.
    pub(super) fn new(memory: Memory) -> Option<Self> {
        let mut random = [0; 16];
        rand::fill(&mut random).ok()?;
        let mut text = BASE64_URL_SAFE_NO_PAD.encode(random);
        if let Some(length) = memory.length {
            text += &format!(".l{length}");
        }
        if let Some(hash) = memory.sha256 {
            text += &format!(".d{}", BASE64_URL_SAFE_NO_PAD.encode(hash));
        }
        if memory.is_new {
            text += ".n";
        }
        Some(Self(text))
    }

    pub(super) fn memory(&self) -> Memory {
        let mut memory = Memory::default();
        for field in self.0.split('.').skip(1) {
            match field.split_at_checked(1) {
                Some(("l", length)) => memory.length = length.parse().ok(),
                Some(("d", hash)) => {
                    memory.sha256 = BASE64_URL_SAFE_NO_PAD.decode(hash).ok().and_then(|hash| hash.try_into().ok());
                }
                Some(("n", "")) => memory.is_new = true,
                _ => {}
            }
        }
        memory
    }

    /// What a file is called as long as this upload of it is under way, for [`Folder::begin`](crate::folder::Folder::begin):
    /// each upload has a part of its own, and what its address says belongs to it.
    pub(super) fn part(&self, name: &Name) -> Option<Name> {
        let name = name.as_os().as_bytes();
        let hash = blake3::Hasher::new().update(name).update(b"\0").update(self.0.as_bytes()).finalize().to_hex();
        Name::new(&[&name[..name.len().min(OF_NAME)], b"~", &hash.as_bytes()[..32]].concat()).ok()
    }

    pub(super) fn is_of_client(&self) -> bool {
        self.0.contains(':')
    }

    /// What is one for this upload of a file and no other.
    pub(super) fn key(&self, place: &Place) -> Vec<u8> {
        [place.path(), b"\0", self.0.as_bytes()].concat()
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name that a file was begun under, if that is what its part on the disk is called.
pub(super) fn is_part(on_disk: &[u8]) -> Option<Name> {
    let name = on_disk.strip_prefix(b".")?.strip_suffix(b".hullo-part")?;
    let (own, hash) = name.split_at_checked(name.len().checked_sub(32)?)?;
    (own.ends_with(b"~") && hash.iter().all(u8::is_ascii_hexdigit)).then(|| Name::new(name).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_remembers_what_it_must() {
        let memories = [
            Memory::default(),
            Memory { length: Some(0), ..Memory::default() },
            Memory { length: Some(u64::MAX), sha256: Some([0xff; 32]), is_new: true },
        ];
        for memory in memories {
            let token = Token::new(memory).unwrap();
            assert_eq!(Token::of(token.as_str()).unwrap().memory(), memory, "{token:?}");
        }
        assert_eq!(Token::of("mine").unwrap().memory(), Memory::default());
        assert_eq!(Token::of("mine.lx.d.dAA.nn").unwrap().memory(), Memory::default());
    }

    #[test]
    fn each_upload_has_a_part_of_its_own() {
        let (a, b) = (Token::new(Memory::default()).unwrap(), Token::new(Memory::default()).unwrap());
        let name = |text: &[u8]| Name::new(text).unwrap();
        assert_ne!(a.part(&name(b"x")), b.part(&name(b"x")));
        assert_ne!(a.part(&name(b"x")), a.part(&name(b"y")));
        assert_ne!(a.part(&name(&[b'x'; 254])), a.part(&name(&[b'x'; 255])));
        for part in [a.part(&name(b"x")).unwrap(), b.part(&name(&[b'x'; 255])).unwrap()] {
            assert_eq!(is_part(part.part().as_os().as_bytes()), Some(part));
        }
        // Those of `hullo receive` are not ours.
        assert_eq!(is_part(name(b"x").part().as_os().as_bytes()), None);
        for bad in ["", "client:1", "a/b", "a b", "ü", &"a".repeat(201)] {
            assert_eq!(Token::of(bad), None, "{bad}");
        }
    }
}
