//! What is answered, compared with what was answered then.

use std::{fs::File, ops::Range, sync::Arc};

use super::script::{Said, messages};
use crate::{
    capture::{Conversation, Piece},
    error::Result,
    message::Message,
    traffic::Way,
};

/// How many bytes around a difference are shown.
const AROUND: u64 = 16;

/// The first place where an answer is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What is different, in words.
    pub about: String,
    /// The number of the message, from 1 on, where messages are compared.
    pub message: Option<u64>,
    /// Where in the answers, or in that message.
    pub offset: u64,
    /// Where the two pieces that are shown begin.
    pub start: u64,
    /// What was answered then.
    pub wanted: Vec<u8>,
    /// What is answered now.
    pub got: Vec<u8>,
}

/// The answers of a conversation, as far as they have come.
pub(super) struct Compare {
    file: Arc<File>,
    wanted: Wanted,
    /// How much has come: bytes, or messages.
    pub(super) heard: u64,
    /// Answers that are not compared are only counted.
    on: bool,
    pub(super) difference: Option<Difference>,
}

enum Wanted {
    Bytes(Bytes),
    Messages(Vec<Said>),
}

/// Pieces of a stream, and where in it each of them ends.
#[derive(Default)]
struct Bytes {
    pieces: Vec<Piece>,
    ends: Vec<u64>,
}

impl Compare {
    pub(super) fn new(file: Arc<File>, conversation: &Conversation, by_messages: bool, on: bool) -> Self {
        let wanted = match by_messages {
            true => Wanted::Messages(messages(conversation, Way::Down)),
            false => Wanted::Bytes(Bytes::of(conversation.pieces(Way::Down))),
        };
        Self { file, wanted, heard: 0, on, difference: None }
    }

    /// Whether all that was answered then has come, or as much.
    pub(super) fn is_complete(&self) -> bool {
        self.heard >= self.total()
    }

    fn total(&self) -> u64 {
        match &self.wanted {
            Wanted::Bytes(bytes) => bytes.total(),
            Wanted::Messages(messages) => messages.len() as u64,
        }
    }

    /// Takes an answer.
    ///
    /// # Errors
    /// The recording cannot be read.
    pub(super) fn take(&mut self, got: &Message) -> Result<()> {
        let heard = self.heard;
        self.heard += if matches!(self.wanted, Wanted::Bytes(_)) { got.bytes.len() as u64 } else { 1 };
        if !self.on || self.difference.is_some() {
            return Ok(());
        }
        self.difference = match &self.wanted {
            Wanted::Bytes(bytes) => bytes.differ(&self.file, heard, &got.bytes, None)?,
            Wanted::Messages(messages) => match messages.get(heard as usize) {
                None => Some(Difference::more(Some(heard + 1), 0, &got.bytes)),
                Some(wanted) => differ(&self.file, wanted, heard + 1, got)?,
            },
        };
        Ok(())
    }

    /// There is no more to come, for that reason: what is missing is a difference too.
    pub(super) fn finish(&mut self, why: &str) -> Result<()> {
        let (heard, total) = (self.heard, self.total());
        if !self.on || self.difference.is_some() || heard >= total {
            return Ok(());
        }
        let missing = total - heard;
        let (message, wanted, offset) = match &self.wanted {
            Wanted::Bytes(bytes) => (None, bytes.read(&self.file, heard..heard + AROUND)?, heard),
            Wanted::Messages(messages) => {
                let pieces = messages[heard as usize].pieces.iter().copied();
                (Some(heard + 1), Bytes::of(pieces).read(&self.file, 0..AROUND)?, 0)
            }
        };
        let unit = if message.is_some() { "messages" } else { "bytes" };
        let about = format!("{missing} {unit} of {total} did not come: {why}");
        self.difference = Some(Difference { about, message, offset, start: offset, wanted, got: Vec::new() });
        Ok(())
    }

    /// Says a difference that is not in what was answered.
    pub(super) fn note(&mut self, about: &str) {
        if self.on && self.difference.is_none() {
            let (about, offset) = (about.to_owned(), self.heard);
            self.difference =
                Some(Difference { about, message: None, offset, start: offset, wanted: Vec::new(), got: Vec::new() });
        }
    }
}

/// How a message is another one.
fn differ(file: &File, wanted: &Said, number: u64, got: &Message) -> Result<Option<Difference>> {
    let bytes = Bytes::of(wanted.pieces.iter().copied());
    if let Some(difference) = bytes.differ(file, 0, &got.bytes, Some(number))? {
        return Ok(Some(difference));
    }
    let length = got.bytes.len() as u64;
    if length < bytes.total() {
        let about = format!("message {number} has {length} bytes, and had {}", bytes.total());
        let start = length.saturating_sub(AROUND);
        let difference = Difference {
            about,
            message: Some(number),
            offset: length,
            start,
            wanted: bytes.read(file, start..length + AROUND)?,
            got: got.bytes[start as usize..].to_vec(),
        };
        return Ok(Some(difference));
    }
    // Datagrams say nothing of what they are.
    let known = wanted.pieces.first().is_some_and(|piece| piece.begins.is_some());
    if known && wanted.text != got.text {
        let kind = |text| if text { "text" } else { "binary" };
        let about = format!("message {number} is {}, and was {}", kind(got.text), kind(wanted.text));
        let (wanted, got) = (bytes.read(file, 0..AROUND)?, got.bytes.iter().take(AROUND as usize).copied().collect());
        return Ok(Some(Difference { about, message: Some(number), offset: 0, start: 0, wanted, got }));
    }
    Ok(None)
}

impl Difference {
    /// More came than then.
    fn more(message: Option<u64>, offset: u64, got: &[u8]) -> Self {
        let about = match message {
            Some(number) => format!("message {number} came, and did not then"),
            None => format!("more than the {offset} bytes of then came"),
        };
        let got = got.iter().take(2 * AROUND as usize).copied().collect();
        Self { about, message, offset, start: offset, wanted: Vec::new(), got }
    }
}

impl Bytes {
    fn of(pieces: impl Iterator<Item = Piece>) -> Self {
        let mut bytes = Self::default();
        for piece in pieces {
            bytes.ends.push(bytes.total() + u64::from(piece.length));
            bytes.pieces.push(piece);
        }
        bytes
    }

    fn total(&self) -> u64 {
        self.ends.last().copied().unwrap_or_default()
    }

    /// The first place where `got`, which stands at `at`, is another.
    fn differ(&self, file: &File, at: u64, got: &[u8], message: Option<u64>) -> Result<Option<Difference>> {
        let wanted = self.read(file, at..at + got.len() as u64)?;
        let Some(same) = got.iter().zip(&wanted).position(|(got, wanted)| got != wanted) else {
            let more = got.len() > wanted.len();
            return Ok(more.then(|| match message {
                None => Difference::more(None, self.total(), &got[wanted.len()..]),
                Some(number) => self.longer(number, got, &wanted),
            }));
        };
        let offset = at + same as u64;
        let start = offset.saturating_sub(AROUND);
        let mut shown = self.read(file, start..offset)?;
        shown.extend(got[same..].iter().take(AROUND as usize));
        let about = match message {
            None => format!("byte {offset} is {:02x}, and was {:02x}", got[same], wanted[same]),
            Some(number) => {
                format!("byte {offset} of message {number} is {:02x}, and was {:02x}", got[same], wanted[same])
            }
        };
        let wanted = self.read(file, start..offset + AROUND)?;
        Ok(Some(Difference { about, message, offset, start, wanted, got: shown }))
    }

    fn longer(&self, number: u64, got: &[u8], wanted: &[u8]) -> Difference {
        let (offset, about) =
            (self.total(), format!("message {number} has {} bytes, and had {}", got.len(), wanted.len()));
        let start = offset.saturating_sub(AROUND);
        let shown = |bytes: &[u8]| bytes.iter().skip(start as usize).take(2 * AROUND as usize).copied().collect();
        Difference { about, message: Some(number), offset, start, wanted: shown(wanted), got: shown(got) }
    }

    /// The bytes at those places, as far as there are any.
    fn read(&self, file: &File, range: Range<u64>) -> Result<Vec<u8>> {
        let mut read = Vec::new();
        let mut at = self.ends.partition_point(|end| *end <= range.start);
        let mut from = range.start;
        while let Some(piece) = self.pieces.get(at).filter(|_| from < range.end) {
            let begins = self.ends[at] - u64::from(piece.length);
            let (skip, until) = (from - begins, range.end.min(self.ends[at]) - begins);
            let part = Piece { offset: piece.offset + skip, length: until.saturating_sub(skip) as u32, begins: None };
            read.extend(part.of(file)?);
            from = self.ends[at];
            at += 1;
        }
        Ok(read)
    }
}
