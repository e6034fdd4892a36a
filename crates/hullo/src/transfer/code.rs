//! The code phrase: what one person reads to another so that their two ends know each other.

use std::fmt;

use bip39::Language;

use crate::error::{Error, Result};

/// A code phrase, as in `42-ocean-lamp`. The number finds the other end in a network and is no secret; two words out of
/// 2,048 are 22 bits, and a guess costs the code. It does not show itself in logs and errors.
#[derive(Clone)]
pub struct Code {
    phrase: String,
    made_up: bool,
}

/// The fewest characters of a code that somebody made up.
const SHORTEST: usize = 6;

impl Code {
    /// A new one.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn random() -> Result<Self> {
        let mut random = [0; 6];
        super::random(&mut random)?;
        let [a, b, c, d, e, _] = random;
        let word = |high, low| Language::English.word_list()[usize::from(u16::from_be_bytes([high, low])) % 2048];
        Ok(Self { phrase: format!("{}-{}-{}", 1 + e % 99, word(a, b), word(c, d)), made_up: false })
    }

    /// What somebody typed: case, and what stands between the words, do not matter.
    ///
    /// # Errors
    /// It is too short to be one.
    pub fn read(text: &str) -> Result<Self> {
        let words: Vec<_> =
            text.split(|c: char| c.is_whitespace() || c == '-').filter(|word| !word.is_empty()).collect();
        let code = words.join("-").to_lowercase();
        if code.len() < SHORTEST {
            return Err(Error::usage("that is no code phrase: it is too short").hint("it looks like 42-ocean-lamp"));
        }
        Ok(Self { phrase: code, made_up: true })
    }

    /// The phrase itself, for the eyes of the person who will pass it on.
    pub fn phrase(&self) -> &str {
        &self.phrase
    }

    /// Whether somebody made it up, so that there is no next one.
    pub(super) fn is_made_up(&self) -> bool {
        self.made_up
    }

    /// The number before the words, which is no secret.
    pub fn number(&self) -> Option<u8> {
        self.phrase.split('-').next()?.parse().ok()
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code = Code::random().unwrap();
        let spoken = code.phrase().replace('-', "  ").to_uppercase();
        assert_eq!(Code::read(&format!(" {spoken}\n")).unwrap().phrase(), code.phrase());
        assert!((1..=99).contains(&code.number().unwrap()));
        assert!(Code::read("7-a").is_err());
        assert!(!format!("{code:?}").contains(code.phrase()));
    }
}
