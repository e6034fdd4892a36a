//! Conversations out of a capture: pcapng or classic pcap, made by our own recordings, tcpdump or Wireshark.
//!
//! Nothing of what was said is held in memory, but where in the file it stands: [`read`] finds the conversations, and
//! [`Piece::of`] fetches what is needed of them.

use std::{fs::File, io::Read, net::SocketAddr, os::unix::fs::FileExt, path::Path, time::Duration};

use self::{frames::Frames, headers::Packet, table::Table};
use crate::{
    error::{Error, Kind, Result},
    traffic::Way,
};

mod frames;
mod headers;
mod stream;
mod table;
#[cfg(test)]
mod tests;

/// What was found in a capture.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    /// In the order in which they began.
    pub conversations: Vec<Conversation>,
    /// How many packets are no part of any, as those of ARP.
    pub others: u64,
    /// Whether the file ends within a packet, as when its writer was killed.
    pub cut: bool,
}

/// A conversation of TCP or UDP.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// Its number in our own recording, or else its place in the capture, from 1 on.
    pub number: u64,
    /// Who began it.
    pub client: SocketAddr,
    /// With whom.
    pub server: SocketAddr,
    /// Whether it is messages rather than a stream.
    pub messages: bool,
    /// When it began, since the first packet of the capture.
    pub began: Duration,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// Why it cannot be known what was said, if so.
    pub fault: Option<String>,
}

/// Something that happened in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, since the first packet of the capture.
    pub at: Duration,
    /// Who did it: up is the client.
    pub way: Way,
    /// What it was.
    pub what: What,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Something was said.
    Piece(Piece),
    /// There is no more to come.
    End,
    /// The conversation was cut off.
    Reset,
}

/// A piece of what was said: where in the file it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub length: u32,
    /// The message that begins with it, where it is known to be one.
    pub begins: Option<Begins>,
}

/// What our own recordings say of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begins {
    /// Meant as text.
    pub text: bool,
    /// The length of all of it.
    pub length: u64,
}

/// Finds the conversations in a capture. Its bytes may be anybody's: what is wrong with a conversation stands there.
///
/// # Errors
/// It cannot be read, is no capture, or was made of a kind of link that is not known.
pub fn read(from: impl Read + Send) -> Result<Capture> {
    let (mut frames, mut table) = (Frames::open(from)?, Table::default());
    while let Some((frame, bytes)) = frames.next()? {
        match Packet::of(&frame, bytes)? {
            Some(packet) => table.add(&frame, packet),
            None => table.others += 1,
        }
        frames.advance(frame.total);
    }
    Ok(table.finish(frames.cut))
}

/// The conversations in a file; it is left open for their pieces.
///
/// # Errors
/// As [`read`].
pub fn open(path: &Path) -> Result<(File, Capture)> {
    let about = || format!("cannot read the capture {}", path.display());
    let file = File::open(path).map_err(|error| Error::io(about(), error).of(Kind::File))?;
    let metadata = file.metadata().map_err(|error| Error::io(about(), error).of(Kind::File))?;
    if !metadata.is_file() {
        return Err(Error::usage(format!("{}: it is no file", about())).hint("it is read in more than one place"));
    }
    let capture = read(&file).map_err(|error| Error::new(error.kind(), about()).because(error))?;
    Ok((file, capture))
}

impl Piece {
    /// Its bytes, out of the file in which it was found.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of(&self, file: &File) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.length as usize];
        let read = file.read_exact_at(&mut bytes, self.offset);
        read.map_err(|error| Error::io("cannot read the capture again", error).of(Kind::File))?;
        Ok(bytes)
    }
}

impl Conversation {
    /// When it ended, or was last heard of.
    pub fn ended(&self) -> Duration {
        self.events.last().map_or(self.began, |event| event.at)
    }

    /// How many bytes were said that way.
    pub fn bytes(&self, way: Way) -> u64 {
        self.pieces(way).map(|piece| u64::from(piece.length)).sum()
    }

    /// What was said that way.
    pub fn pieces(&self, way: Way) -> impl Iterator<Item = Piece> + '_ {
        self.events.iter().filter_map(move |event| match event.what {
            What::Piece(piece) if event.way == way => Some(piece),
            _ => None,
        })
    }
}
