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
        let mut number = [0];
        super::random(&mut number)?;
        Ok(Self { phrase: format!("{}-{}", 1 + number[0] % 99, words()?), made_up: false })
    }

    /// The one after a wrong guess, which is found by the same number; nothing where somebody made it up.
    pub(super) fn next(&self) -> Option<Self> {
        let number = self.number().filter(|_| !self.made_up)?;
        Some(Self { phrase: format!("{number}-{}", words().ok()?), made_up: false })
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

    /// The number before the words, which is no secret.
    pub fn number(&self) -> Option<u8> {
        self.phrase.split('-').next()?.parse().ok()
    }
}

fn words() -> Result<String> {
    let mut random = [0; 4];
    super::random(&mut random)?;
    let [a, b, c, d] = random;
    let word = |high, low| Language::English.word_list()[usize::from(u16::from_be_bytes([high, low])) % 2048];
    Ok(format!("{}-{}", word(a, b), word(c, d)))
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
        let next = code.next().unwrap();
        assert_eq!((next.number(), next.phrase() == code.phrase()), (code.number(), false));
        assert!(Code::read("7-a").is_err());
        assert!(!format!("{code:?}").contains(code.phrase()));
    }
}
