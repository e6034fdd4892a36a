//! What reads one direction: by the view that was asked for, or by what comes.

use bytes::{Bytes, BytesMut};
use clap::ValueEnum;

use super::{
    http::{self, Unanswered},
    item::{Part, What},
    values::{self, Token, Values},
};

/// How what is relayed is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum View {
    /// By what comes: HTTP, JSON, text, or else hex
    #[default]
    Auto,
    /// As text, in which control characters can be seen
    Text,
    /// Each byte as hex and text
    Hex,
    /// JSON values, indented
    Json,
    /// The heads of HTTP/1.1, and of bodies their size and type
    Http,
}

impl View {
    /// Whether it needs all bytes, also those that are not shown.
    pub(crate) fn needs_all(self) -> bool {
        !matches!(self, Self::Text | Self::Hex)
    }
}

/// What reads a direction.
pub(super) enum Reader {
    /// What has come so far may become anything; of a body, that much is shown.
    Unsure(BytesMut, usize),
    Text(Text),
    Hex,
    /// Text or hex, each piece as it is; until HTTP begins, where that may be, of whose bodies so much is shown.
    Plain(Text, Option<usize>),
    /// The same of JSON that nobody asked for, and which what comes may only seem to be.
    Values(Values, Option<usize>),
    Http(Box<http::Reader>),
}

/// Who reads what follows.
pub(super) enum Next {
    /// The same.
    Same,
    /// Another one, which takes this first.
    By(Reader, Part),
    /// Whoever suits, also in the other direction: another protocol begins here.
    Anew(Part),
}

/// Text of which a character may have come in part.
#[derive(Default)]
pub(super) struct Text(Bytes);

impl Reader {
    /// Whoever reads a direction first.
    pub(super) fn first(view: View, keep: usize) -> Self {
        match view {
            View::Auto => Self::Unsure(BytesMut::new(), keep),
            View::Text => Self::Text(Text::default()),
            View::Hex => Self::Hex,
            View::Json => Self::Values(Values::default(), None),
            View::Http => Self::Http(Box::new(http::Reader::new(keep))),
        }
    }

    /// Takes in a part of the stream, and gives what can be said of it.
    pub(super) fn take(&mut self, part: Part, asked: &mut Unanswered, out: &mut Vec<What>) -> Next {
        let end = part.at + part.size;
        match self {
            Self::Hex => out.push(What::Hex(part)),
            Self::Text(text) => out.extend(text.take(part).map(What::Text)),
            Self::Unsure(held, keep) => {
                held.extend_from_slice(&part.bytes);
                return guess(held, *keep, end);
            }
            Self::Plain(_, Some(keep)) if http::begins(&part.bytes) => {
                return Next::By(Self::Http(Box::new(http::Reader::new(*keep))), part);
            }
            Self::Plain(text, _) => out.extend(text.plain(part)),
            Self::Values(values, keep) => match values.take(&part.bytes) {
                Ok(tokens) => self.say(tokens, end, out),
                Err(held) => {
                    let keep = *keep;
                    out.push(What::Remark("this is not JSON: a value is longer than 4 MiB".to_owned()));
                    self.plainly(keep, rest(held, end), out);
                }
            },
            Self::Http(reader) => {
                if let Err(left) = reader.take(&part.bytes, end, asked, out) {
                    let (keep, held) = (reader.keep(), rest(reader.rest(), end));
                    out.push(What::Remark(left.why));
                    if left.agreed {
                        return Next::Anew(held);
                    }
                    self.plainly(Some(keep), held, out);
                }
            }
        }
        Next::Same
    }

    /// What is held that nobody has seen, and what it is the beginning of.
    pub(super) fn held(&self) -> Option<(&'static str, Bytes)> {
        let (of, held) = match self {
            Self::Unsure(held, _) => ("something", &held[..]),
            Self::Text(text) | Self::Plain(text, _) => ("a character", &text.0[..]),
            Self::Values(values, _) => ("a JSON value", values.held()),
            Self::Http(reader) => ("a head", reader.held()),
            Self::Hex => return None,
        };
        (!held.is_empty()).then(|| (of, Bytes::copy_from_slice(held)))
    }

    /// How many bytes it holds.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Unsure(held, _) => held.len(),
            Self::Text(text) | Self::Plain(text, _) => text.0.len(),
            Self::Values(values, _) => values.held().len(),
            Self::Http(reader) => reader.weight(),
            Self::Hex => 0,
        }
    }

    /// Nothing follows: says what is left, up to that place in the stream.
    pub(super) fn finish(self, end: u64, out: &mut Vec<What>) {
        let held = match self {
            Self::Hex => return,
            Self::Unsure(held, _) => held.freeze(),
            Self::Text(text) => return out.extend(text.left(end).map(What::Text)),
            Self::Plain(text, _) => text.0,
            Self::Values(mut values, _) => match values.finish() {
                Some(Token::Value(text)) => return out.push(What::Value { size: text.len() as u64, text }),
                Some(Token::Noise(held)) => held,
                None => return,
            },
            Self::Http(mut reader) => {
                reader.finish(out);
                reader.rest()
            }
        };
        if !held.is_empty() {
            out.push(text_or_hex(rest(held, end)));
        }
    }

    /// Gives what stands in a stream of values.
    fn say(&mut self, tokens: Vec<Token>, end: u64, out: &mut Vec<What>) {
        let Self::Values(values, keep) = self else { return };
        let mut odd = false;
        for token in tokens {
            match token {
                Token::Value(text) => out.push(What::Value { size: text.len() as u64, text }),
                Token::Noise(bytes) => {
                    odd = true;
                    let end = end.saturating_sub(values.held().len() as u64);
                    out.push(text_or_hex(rest(bytes, end)));
                }
            }
        }
        if let (true, Some(keep)) = (odd, *keep) {
            let held = Bytes::copy_from_slice(values.held());
            self.plainly(Some(keep), rest(held, end), out);
        }
    }

    /// From here on it is text or hex; what was held is said.
    fn plainly(&mut self, keep: Option<usize>, rest: Part, out: &mut Vec<What>) {
        let mut text = Text::default();
        if rest.size > 0 {
            out.extend(text.plain(rest));
        }
        *self = Self::Plain(text, keep);
    }
}

/// What a stream is that begins like this.
fn guess(held: &mut BytesMut, keep: usize, end: u64) -> Next {
    let reader = match http::may_begin(held) {
        None => return Next::Same,
        Some(true) => Reader::Http(Box::new(http::Reader::new(keep))),
        Some(false) if values::may_begin(held) => Reader::Values(Values::default(), Some(keep)),
        Some(false) => Reader::Plain(Text::default(), Some(keep)),
    };
    Next::By(reader, rest(held.split().freeze(), end))
}

/// The bytes before a place in the stream.
fn rest(bytes: Bytes, end: u64) -> Part {
    let size = bytes.len() as u64;
    Part { at: end.saturating_sub(size), size, bytes, message: false }
}

/// A message, which is whole.
pub(super) fn message(view: View, part: Part) -> What {
    let is_value = |text: &str| view == View::Json || text.starts_with(['{', '[']);
    match view {
        View::Text => What::Text(part),
        View::Hex => What::Hex(part),
        View::Http => text_or_hex(part),
        View::Json | View::Auto => match values::token(part.bytes.clone()) {
            Token::Value(text) if is_value(&text) => What::Value { size: part.size, text },
            _ => text_or_hex(part),
        },
    }
}

fn text_or_hex(part: Part) -> What {
    if is_readable(&part.bytes) { What::Text(part) } else { What::Hex(part) }
}

/// Whether bytes are meant for people: UTF-8, and of control characters only those that terminals are sent.
fn is_readable(bytes: &[u8]) -> bool {
    let is_odd = |c: char| c.is_control() && !matches!(c, '\t' | '\r' | '\n' | '\x07' | '\x08' | '\x0c' | '\x1b');
    std::str::from_utf8(bytes).is_ok_and(|text| !text.contains(is_odd))
}

impl Text {
    /// The part with what was held before it, without the beginning of its last character.
    fn take(&mut self, mut part: Part) -> Option<Part> {
        if !self.0.is_empty() {
            let held = std::mem::take(&mut self.0);
            (part.at, part.size) = (part.at.saturating_sub(held.len() as u64), part.size + held.len() as u64);
            part.bytes = [held, part.bytes].concat().into();
        }
        // Of what is cut short nothing follows.
        if part.bytes.len() as u64 == part.size {
            self.0 = part.bytes.split_off(part.bytes.len() - unfinished(&part.bytes));
            part.size = part.bytes.len() as u64;
        }
        (part.size > 0).then_some(part)
    }

    /// The same where it may be no text at all.
    fn plain(&mut self, part: Part) -> Option<What> {
        let whole = part.clone();
        let before = self.0.clone();
        match self.take(part) {
            Some(part) if !is_readable(&part.bytes) => {
                self.0 = Bytes::new();
                let size = whole.size + before.len() as u64;
                let at = whole.at.saturating_sub(before.len() as u64);
                Some(What::Hex(Part { at, size, bytes: [before, whole.bytes].concat().into(), message: false }))
            }
            part => part.map(What::Text),
        }
    }

    fn left(self, end: u64) -> Option<Part> {
        (!self.0.is_empty()).then(|| rest(self.0, end))
    }
}

/// How many bytes at the end are the beginning of a character.
fn unfinished(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    match tail.iter().rposition(|byte| *byte >= 0xc0) {
        Some(at) if std::str::from_utf8(&tail[at..]).is_err_and(|error| error.error_len().is_none()) => tail.len() - at,
        _ => 0,
    }
}
