//! The packets in a file, of either format.

use std::io::Read;

use pcap_parser::{
    Block, Linktype, OptionCode, PcapBlockOwned, PcapError, PcapNGOption, create_reader, traits::PcapReaderIterator,
};

use super::Begins;
use crate::error::{Error, Kind, Result};

/// The room for blocks at first, and at most: a block is a packet, or a list of names.
const ROOM: usize = 512 << 10;
const MOST: usize = 32 << 20;

/// The packets of a file, one after the other.
pub(super) struct Frames<'a> {
    reader: Box<dyn PcapReaderIterator + Send + 'a>,
    room: usize,
    /// Where the next block begins.
    offset: u64,
    interfaces: Vec<Interface>,
    legacy: Legacy,
    /// Whether our own recorder has written it, so that its comments mean something.
    ours: bool,
    number: u64,
    pub(super) cut: bool,
}

#[derive(Clone, Copy)]
struct Interface {
    link: Linktype,
    /// Ticks in a second.
    resolution: u64,
    /// Seconds that its times begin at.
    zero: i64,
}

/// What the head of a classic file says.
#[derive(Clone, Copy)]
struct Legacy {
    link: Linktype,
    nanos: bool,
    /// How long a packet's head is.
    head: u64,
}

/// A packet's surroundings.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Its number, from 1 on, as Wireshark has it.
    pub(super) number: u64,
    pub(super) link: Linktype,
    /// Nanoseconds since 1970.
    pub(super) time: u64,
    /// Where its bytes stand in the file.
    pub(super) offset: u64,
    /// The number of the conversation that begins with it, in a recording of ours.
    pub(super) flow: Option<u64>,
    /// The message that begins with it, in a recording of ours.
    pub(super) begins: Option<Begins>,
    /// How long its block is.
    pub(super) total: usize,
}

/// What was found in the reader's buffer, where it may not stay.
enum Found {
    Packet(Frame, std::ops::Range<usize>),
    /// Something else, which is so long.
    Other(usize),
    More,
    Grow,
    End {
        cut: bool,
    },
}

impl<'a> Frames<'a> {
    pub(super) fn open(from: impl Read + Send + 'a) -> Result<Self> {
        let reader = create_reader(ROOM, from).map_err(|error| unreadable(&error))?;
        let legacy = Legacy { link: Linktype::RAW, nanos: false, head: 16 };
        Ok(Self { reader, room: ROOM, offset: 0, interfaces: Vec::new(), legacy, ours: false, number: 0, cut: false })
    }

    /// The next packet; nothing at the end. [`advance`](Frames::advance) must follow.
    pub(super) fn next(&mut self) -> Result<Option<(Frame, &[u8])>> {
        loop {
            match self.find()? {
                Found::Packet(frame, range) => {
                    let bytes = self.reader.data().get(range).unwrap_or_default();
                    return Ok(Some((frame, bytes)));
                }
                Found::Other(length) => self.advance(length),
                Found::More => self.more()?,
                Found::Grow if self.room < MOST => {
                    self.room *= 4;
                    self.reader.grow(self.room);
                    self.more()?;
                }
                Found::Grow => {
                    let about = format!("a block after packet {} is larger than {MOST} bytes", self.number);
                    return Err(Error::new(Kind::Protocol, about));
                }
                Found::End { cut } => {
                    self.cut = cut;
                    return Ok(None);
                }
            }
        }
    }

    pub(super) fn advance(&mut self, length: usize) {
        self.offset += length as u64;
        self.reader.consume(length);
    }

    /// Reads on. What neither grows nor ends would be asked for again and again.
    fn more(&mut self) -> Result<()> {
        let before = self.reader.data().len();
        self.reader.refill().map_err(|error| unreadable(&error))?;
        if self.reader.data().len() == before && !self.reader.reader_exhausted() {
            return Err(Error::new(Kind::Protocol, format!("what follows packet {} has no end", self.number)));
        }
        Ok(())
    }

    fn find(&mut self) -> Result<Found> {
        let number = self.number + 1;
        let (length, block) = match self.reader.next() {
            Ok(found) => found,
            Err(PcapError::Eof) => return Ok(Found::End { cut: false }),
            Err(PcapError::UnexpectedEof) => return Ok(Found::End { cut: true }),
            Err(PcapError::Incomplete(_)) => return Ok(Found::More),
            Err(PcapError::BufferTooSmall) => return Ok(Found::Grow),
            Err(error) => {
                let about = format!("what follows packet {} is no block of a capture", self.number);
                return Err(Error::new(Kind::Protocol, about).because(unreadable(&error)));
            }
        };
        // Nothing is longer than nothing: it would never end.
        if length == 0 {
            return Err(Error::new(Kind::Protocol, format!("a block after packet {} has no length", self.number)));
        }
        let mut frame = Frame {
            number,
            link: self.legacy.link,
            time: 0,
            offset: self.offset,
            flow: None,
            begins: None,
            total: length,
        };
        let (interface, ticks, head, size) = match block {
            PcapBlockOwned::LegacyHeader(header) => {
                let head = if header.is_modified_format() { 24 } else { 16 };
                self.legacy = Legacy { link: header.network, nanos: header.is_nanosecond_precision(), head };
                return Ok(Found::Other(length));
            }
            PcapBlockOwned::Legacy(packet) => {
                let unit = if self.legacy.nanos { 1 } else { 1000 };
                frame.time = u64::from(packet.ts_sec) * 1_000_000_000 + u64::from(packet.ts_usec) * unit;
                (None, 0, self.legacy.head, packet.data.len())
            }
            PcapBlockOwned::NG(Block::SectionHeader(section)) => {
                self.interfaces.clear();
                let application = text(&section.options, OptionCode::ShbUserAppl);
                self.ours = application.is_some_and(|name| name.starts_with("hullo "));
                return Ok(Found::Other(length));
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                // A resolution that cannot be is that of the standard: microseconds.
                let resolution = interface.ts_resolution().unwrap_or(1_000_000).max(1);
                let zero = interface.ts_offset();
                self.interfaces.push(Interface { link: interface.linktype, resolution, zero });
                return Ok(Found::Other(length));
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                if self.ours
                    && let Some(comment) = text(&packet.options, OptionCode::Comment)
                {
                    frame.flow = flow(comment);
                    frame.begins = begins(comment);
                }
                let ticks = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                (Some(packet.if_id), ticks, 28, packet.data.len().min(packet.caplen as usize))
            }
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                (Some(0), 0, 12, packet.data.len().min(packet.origlen as usize))
            }
            PcapBlockOwned::NG(_) => return Ok(Found::Other(length)),
        };
        self.number = number;
        if let Some(interface) = interface {
            let Some(interface) = self.interfaces.get(interface as usize) else {
                return Err(Error::new(
                    Kind::Protocol,
                    format!("packet {number} is of an interface that is not there"),
                ));
            };
            frame.link = interface.link;
            frame.time = interface.nanos(ticks);
        }
        frame.offset += head;
        let head = head as usize;
        Ok(Found::Packet(frame, head..head + size))
    }
}

impl Interface {
    fn nanos(&self, ticks: u64) -> u64 {
        let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(self.resolution);
        let zero = i128::from(self.zero) * 1_000_000_000;
        u64::try_from(i128::try_from(nanos).unwrap_or(i128::MAX).saturating_add(zero).max(0)).unwrap_or(u64::MAX)
    }
}

/// The text of an option.
fn text<'a>(options: &'a [PcapNGOption<'a>], code: OptionCode) -> Option<&'a str> {
    let option = options.iter().find(|option| option.code == code)?;
    std::str::from_utf8(option.as_bytes().ok()?).ok()
}

/// As in `flow 7: tcp://…`.
fn flow(comment: &str) -> Option<u64> {
    comment.strip_prefix("flow ")?.split_once(':')?.0.parse().ok()
}

/// As in `message 3 up, text, 12 bytes`.
fn begins(comment: &str) -> Option<Begins> {
    let (_, said) = comment.strip_prefix("message ")?.split_once(", ")?;
    let (kind, length) = said.split_once(", ")?;
    Some(Begins { text: kind == "text", length: length.strip_suffix(" bytes")?.parse().ok()? })
}

fn unreadable(error: &PcapError<&[u8]>) -> Error {
    let about = match error {
        PcapError::ReadError => return Error::new(Kind::File, "the file cannot be read"),
        PcapError::Eof => "it is empty",
        PcapError::HeaderNotRecognized => "it is neither pcapng nor pcap",
        PcapError::Incomplete(_) | PcapError::UnexpectedEof | PcapError::BufferTooSmall => "it ends too early",
        _ => "its form is not as it must be",
    };
    Error::new(Kind::Protocol, about)
}
