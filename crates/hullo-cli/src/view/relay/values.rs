//! A stream of JSON values, each as soon as it is whole.

use bytes::{Bytes, BytesMut};
use hullo::framing::{Framing, json};
use serde::de::IgnoredAny;

/// The longest value that is waited for.
const LONGEST: usize = 4 << 20;

/// What stands in such a stream.
#[derive(Debug, PartialEq)]
pub(super) enum Token {
    /// A value.
    Value(String),
    /// What is none.
    Noise(Bytes),
}

/// The values of one direction.
pub(super) struct Values {
    framing: Box<dyn Framing>,
    held: BytesMut,
}

impl Default for Values {
    fn default() -> Self {
        Self { framing: (json::SPEC.make)(LONGEST), held: BytesMut::new() }
    }
}

impl Values {
    /// Takes in what came, and gives what is whole.
    ///
    /// # Errors
    /// All that is held, where it became too long for a value.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Vec<Token>, Bytes> {
        self.held.extend_from_slice(bytes);
        let mut tokens = Vec::new();
        loop {
            match self.framing.decode(&mut self.held) {
                Ok(Some(message)) => tokens.push(token(message.bytes)),
                Ok(None) => return Ok(tokens),
                Err(_) => return Err(self.held.split().freeze()),
            }
        }
    }

    /// What is left where nothing follows: a number has no other end.
    pub(super) fn finish(&mut self) -> Option<Token> {
        let held = std::mem::take(self).held.freeze();
        (!held.trim_ascii().is_empty()).then(|| token(held))
    }

    /// What has come of a value that is not whole.
    pub(super) fn held(&self) -> &[u8] {
        &self.held
    }
}

/// What a value's bytes, or those of a message, are.
pub(super) fn token(bytes: Bytes) -> Token {
    match std::str::from_utf8(&bytes) {
        Ok(text) if serde_json::from_str::<IgnoredAny>(text).is_ok() => Token::Value(text.trim().to_owned()),
        _ => Token::Noise(bytes),
    }
}

/// Whether bytes begin as a JSON object or array does, and not as a line of a log: `[2026-11-21] started` is none.
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    let mut shown = bytes.iter().filter(|byte| !byte.is_ascii_whitespace());
    match (shown.next(), shown.next()) {
        (Some(b'{'), second) => matches!(second, None | Some(b'"' | b'}')),
        (Some(b'['), second) => {
            matches!(second, None | Some(b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n' | b']'))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Token {
        Token::Value(text.to_owned())
    }

    #[test]
    fn values_are_whole_wherever_the_pieces_part() {
        let text = "{\"a\":\"}\\\"\"}\n[1,2] 12 nonsense\n\"\u{e9}\"";
        let wanted = [
            value("{\"a\":\"}\\\"\"}"),
            value("[1,2]"),
            value("12"),
            Token::Noise("nonsense".into()),
            value("\"\u{e9}\""),
        ];
        for cut in 0..text.len() {
            let mut values = Values::default();
            let mut tokens = values.take(&text.as_bytes()[..cut]).unwrap();
            tokens.extend(values.take(&text.as_bytes()[cut..]).unwrap());
            tokens.extend(values.finish());
            assert_eq!(tokens, wanted, "{cut}");
        }
    }

    #[test]
    fn what_never_ends_is_given_back() {
        let mut values = Values::default();
        assert_eq!(values.take(b"[").unwrap(), []);
        let long = vec![b'1'; LONGEST];
        assert_eq!(values.take(&long).unwrap_err().len(), LONGEST + 1);
        assert_eq!(values.finish(), None);
    }

    #[test]
    fn a_log_is_no_json() {
        for (text, yes) in [
            ("{\"", true),
            (" [ 1", true),
            ("[", true),
            ("{}", true),
            ("[INFO] x", false),
            ("{x", false),
            ("12", false),
            ("", false),
        ] {
            assert_eq!(may_begin(text.as_bytes()), yes, "{text}");
        }
    }
}
