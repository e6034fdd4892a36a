//! What the two ends of a transfer say to each other: a pure codec.
//!
//! A chunk is what travels at once. It carries frames, each whole: four bytes with the length (little-endian), whose
//! highest bit tells content from words, then that many bytes. Words are in the form of postcard. The receiver answers
//! each file that is announced before any of its content travels, and the sender announces far ahead, so that the way
//! there and back is waited for once and not for each file.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

/// The content of a chunk, at most. Its frames are somewhat less.
pub const CHUNK: usize = 256 << 10;

/// The largest hole of one word: to hash it takes a moment, and not an hour.
pub const HOLE: u64 = 1 << 30;

/// The bytes before each frame.
pub const HEAD: usize = 4;

const CONTENT: u32 = 1 << 31;

/// A BLAKE3 hash.
pub type Hash = [u8; 32];

/// Seconds since 1970 and nanoseconds after them.
pub type Time = (i64, u32);

/// What the sender says. Folders, files and links have numbers in the order in which they are announced, from 1 on; 0
/// is the folder that the receiver has chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are named after what they are; each word says what it means")]
pub enum Told<'a> {
    /// How much there is in all, when that is known.
    Total { files: u64, bytes: u64 },
    /// A folder.
    Folder { parent: u64, name: &'a [u8], mode: u32, modified: Time },
    /// A file. One without a size ends where it ends.
    File { parent: u64, name: &'a [u8], mode: u32, modified: Time, size: Option<u64> },
    /// A symbolic link.
    Link { parent: u64, name: &'a [u8], modified: Time, target: &'a [u8] },
    /// Nothing more comes in that folder.
    Leave { id: u64 },
    /// The content of that file follows, from that place on.
    Start { id: u64, offset: u64 },
    /// So many zeros, which need no place on the disk; at most [`HOLE`] at once.
    Hole { length: u64 },
    /// The file is whole, and this is its hash.
    End { hash: Hash },
    /// What came of the file is worth nothing.
    Spoilt { why: &'a str },
    /// The file is what the receiver has, or is not.
    Compared { id: u64, same: bool },
    /// Nothing more comes.
    Complete,
    /// The sender gives up.
    Stop { why: &'a str },
}

/// What the receiver says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are named after what they are; each word says what it means")]
pub enum Answer<'a> {
    /// Send it; so many bytes are here from an earlier attempt, and these are the hashes of their blocks.
    Want { id: u64, length: u64, blocks: Vec<Hash> },
    /// A file of that size is here, and this is its hash; if it is another one, send it or do not.
    Compare { id: u64, hash: Hash, send: bool },
    /// It need not be sent: it is here.
    Here { id: u64 },
    /// It is not wanted, as the receiver was told to.
    Skip { id: u64 },
    /// It is refused, or could not be kept.
    Failed { id: u64, why: &'a str },
    /// It is here, whole, under its name.
    Done { id: u64 },
    /// All of it is settled.
    Finished,
    /// The receiver gives up.
    Stop { why: &'a str },
}

/// A frame of a chunk.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a, W> {
    /// Words.
    Words(W),
    /// Content of the file that is under way.
    Content(&'a [u8]),
}

/// Adds words to a chunk.
pub fn say(chunk: &mut Vec<u8>, words: &impl Serialize) -> Result<()> {
    let start = chunk.len();
    chunk.extend_from_slice(&[0; HEAD]);
    *chunk =
        postcard::to_extend(words, std::mem::take(chunk)).map_err(|_| malformed("a word that cannot be written"))?;
    head(chunk, start, 0);
    Ok(())
}

/// Makes a frame of content of what stands in the chunk behind the head at `start`.
pub fn content(chunk: &mut [u8], start: usize) {
    head(chunk, start, CONTENT);
}

fn head(chunk: &mut [u8], start: usize, kind: u32) {
    let length = (chunk.len() - start - HEAD) as u32 | kind;
    chunk[start..start + HEAD].copy_from_slice(&length.to_le_bytes());
}

/// Takes the first frame off a chunk; nothing at its end.
///
/// # Errors
/// [`Kind::Protocol`] for what is none.
pub fn next<'a, W: Deserialize<'a>>(chunk: &mut &'a [u8]) -> Result<Option<Frame<'a, W>>> {
    if chunk.is_empty() {
        return Ok(None);
    }
    let (head, rest) = chunk.split_first_chunk::<HEAD>().ok_or_else(|| malformed("a frame without a head"))?;
    let head = u32::from_le_bytes(*head);
    let length = (head & !CONTENT) as usize;
    let (frame, rest) = rest.split_at_checked(length).ok_or_else(|| malformed("a frame that is cut off"))?;
    *chunk = rest;
    if head & CONTENT != 0 {
        return Ok(Some(Frame::Content(frame)));
    }
    match postcard::take_from_bytes(frame) {
        Ok((words, [])) => Ok(Some(Frame::Words(words))),
        _ => Err(malformed("words that mean nothing")),
    }
}

/// The other end does not do what this protocol says.
pub fn malformed(what: &str) -> Error {
    Error::new(Kind::Protocol, format!("the other end sent {what}")).hint("is it the same version of hullo?")
}

/// The size of the blocks that a file of that size is compared in: at least 8 MiB, and at most 4,096 of them.
pub fn block(size: u64) -> u64 {
    (8 << 20_u64).max(size.div_ceil(4096).next_power_of_two())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in() {
        let mut chunk = Vec::new();
        let file = Told::File { parent: 0, name: b"caf\xe9", mode: 0o644, modified: (-1, 5), size: Some(1 << 40) };
        say(&mut chunk, &file).unwrap();
        let start = chunk.len();
        chunk.extend_from_slice(&[0; HEAD]);
        chunk.extend_from_slice(b"content");
        content(&mut chunk, start);
        say(&mut chunk, &Told::Complete).unwrap();
        let mut rest = &chunk[..];
        assert_eq!(next(&mut rest).unwrap(), Some(Frame::Words(file)));
        assert_eq!(next::<Told<'_>>(&mut rest).unwrap(), Some(Frame::Content(b"content")));
        assert_eq!(next(&mut rest).unwrap(), Some(Frame::Words(Told::Complete)));
        assert_eq!(next::<Told<'_>>(&mut rest).unwrap(), None);
    }

    #[test]
    fn the_hashes_of_the_largest_file_fit_a_chunk() {
        let size = u64::MAX / 2;
        assert!(size.div_ceil(block(size)) <= 4096);
        assert_eq!(block(0), 8 << 20);
    }

    proptest! {
        #[test]
        fn any_bytes_give_frames_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut rest = &bytes[..];
            while let Ok(Some(_)) = next::<Told<'_>>(&mut rest) {}
            let mut rest = &bytes[..];
            while let Ok(Some(_)) = next::<Answer<'_>>(&mut rest) {}
        }
    }
}
