//! What one packet says: pure, and strict about what it takes.
//!
//! ```text
//!  1 byte   the protocol and its version
//!  1 byte   flags
//!  8 bytes  the receiver's name; zero as long as the sender does not know it
//!  8 bytes  the sender's name
//!  8 bytes  the packet's number
//!  4 bytes  of how many numbers before it the sender does not know yet what became of them
//!  8 bytes  up to where in the stream the sender takes bytes
//! where the flag HAVE is set:
//!  4 bytes  for how many microseconds the highest number was known
//!  1 byte   how many ranges follow
//!  8 bytes  the highest number that has come
//!  4 bytes  how many numbers from there downwards have come
//!  8 bytes  for each further range: how many numbers before it have not come, and how many have
//! where the flag DATA is set:
//!  8 bytes  where in the stream the bytes belong
//!  2 bytes  how many there are
//!           the bytes
//! ```
//!
//! Numbers are big-endian. What follows is padding.

use std::{ops::Range, time::Duration};

use bytes::{Buf, BufMut};

use super::ranges::Ranges;

/// The first byte of every packet.
const PROTOCOL: u8 = 0xB1;

/// As many ranges as one packet tells of, the newest first. The older ones were told of before.
pub const MOST_RANGES: usize = 64;

/// No number and no place in the stream is as large as this.
const LIMIT: u64 = 1 << 62;

const PING: u8 = 1;
const END: u8 = 2;
const ABORT: u8 = 4;
const DONE: u8 = 8;
const HAVE: u8 = 16;
const DATA: u8 = 32;

/// The bytes of a packet before the list of what has come, and before the data.
const HEAD: usize = 38;
const DATA_HEAD: usize = 10;

/// One packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Whom it is for: the name that the receiver has chosen for itself, or zero where it is not known yet.
    pub to: u64,
    /// The name that the sender has chosen for itself.
    pub from: u64,
    /// Each packet has a number of its own, also where it repeats what another one said.
    pub number: u64,
    /// Of how many numbers before it the sender does not know yet what became of them. Nobody need tell it of those before.
    pub unsettled: u32,
    /// Up to where in the stream the sender takes bytes.
    pub window: u64,
    /// It asks for an answer, though it carries nothing.
    pub ping: bool,
    /// The conversation is cut off.
    pub abort: bool,
    /// The sender has all, and knows that the receiver has all.
    pub done: bool,
    /// What has come to the sender.
    pub have: Option<Have>,
    /// A piece of the stream.
    pub data: Option<Data<'a>>,
}

/// Which packets have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Have {
    /// How long the highest of them had come before this was said.
    pub delay: Duration,
    /// Their numbers, from the highest range down, at least one and at most [`MOST_RANGES`].
    pub ranges: Vec<Range<u64>>,
}

/// A piece of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data<'a> {
    /// Where in the stream it belongs.
    pub at: u64,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// The stream ends behind it.
    pub end: bool,
}

impl<'a> Packet<'a> {
    /// Reads a packet; nothing where it is none.
    pub fn read(mut bytes: &'a [u8]) -> Option<Self> {
        let (protocol, flags) = (bytes.try_get_u8().ok()?, bytes.try_get_u8().ok()?);
        let known = PING | END | ABORT | DONE | HAVE | DATA;
        if protocol != PROTOCOL || flags & !known != 0 || flags & (END | DATA) == END {
            return None;
        }
        let is = |flag| flags & flag != 0;
        let (to, from) = (bytes.try_get_u64().ok()?, bytes.try_get_u64().ok()?);
        let (number, unsettled, window) = (place(&mut bytes)?, bytes.try_get_u32().ok()?, place(&mut bytes)?);
        let have = if is(HAVE) { Some(Have::read(&mut bytes)?) } else { None };
        let data = if is(DATA) { Some(Data::read(&mut bytes, is(END))?) } else { None };
        let (ping, abort, done) = (is(PING), is(ABORT), is(DONE));
        let packet = Self { to, from, number, unsettled, window, ping, abort, done, have, data };
        (from != 0 && u64::from(unsettled) <= number).then_some(packet)
    }

    /// Writes the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_head(out);
        if let Some(data) = &self.data {
            data.write_head(data.bytes.len(), out);
            out.put_slice(data.bytes);
        }
    }

    /// Writes all but the data, which the caller writes behind it.
    pub(super) fn write_head(&self, out: &mut Vec<u8>) {
        let end = self.data.as_ref().is_some_and(|data| data.end);
        let flags = [
            (self.ping, PING),
            (end, END),
            (self.abort, ABORT),
            (self.done, DONE),
            (self.have.is_some(), HAVE),
            (self.data.is_some(), DATA),
        ];
        out.put_u8(PROTOCOL);
        out.put_u8(flags.iter().filter(|(is, _)| *is).map(|(_, flag)| flag).sum());
        [self.to, self.from, self.number].into_iter().for_each(|number| out.put_u64(number));
        out.put_u32(self.unsettled);
        out.put_u64(self.window);
        if let Some(have) = &self.have {
            have.write(out);
        }
    }

    /// How much room the packet leaves for data in a packet of `size`.
    pub(super) fn room(&self, size: usize) -> usize {
        let have = self.have.as_ref().map_or(0, |have| 9 + 8 * have.ranges.len());
        size.saturating_sub(HEAD + have + DATA_HEAD).min(usize::from(u16::MAX))
    }
}

fn place(bytes: &mut &[u8]) -> Option<u64> {
    bytes.try_get_u64().ok().filter(|number| *number < LIMIT)
}

impl Have {
    /// What a packet says of those that have come; nothing where none has.
    pub(super) fn of(come: &Ranges, delay: Duration) -> Option<Self> {
        let ranges: Vec<_> = come.downwards().take(MOST_RANGES).collect();
        (!ranges.is_empty()).then_some(Self { delay, ranges })
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let delay = Duration::from_micros(bytes.try_get_u32().ok()?.into());
        let count = usize::from(bytes.try_get_u8().ok()?);
        let mut end = place(bytes)? + 1;
        let mut ranges = Vec::with_capacity(count.min(MOST_RANGES));
        while ranges.len() < count {
            let gap = if ranges.is_empty() { 0 } else { u64::from(bytes.try_get_u32().ok()?).max(1) };
            let len = u64::from(bytes.try_get_u32().ok()?);
            end = end.checked_sub(gap)?;
            let start = end.checked_sub(len).filter(|start| *start < end)?;
            ranges.push(start..end);
            end = start;
        }
        (1..=MOST_RANGES).contains(&count).then_some(Self { delay, ranges })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let short = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        out.put_u32(u32::try_from(self.delay.as_micros()).unwrap_or(u32::MAX));
        out.put_u8(u8::try_from(self.ranges.len()).unwrap_or(u8::MAX));
        out.put_u64(self.ranges.first().map_or(0, |range| range.end - 1));
        let mut before = None;
        for range in &self.ranges {
            if let Some(before) = before.replace(range.start) {
                out.put_u32(short(before - range.end));
            }
            out.put_u32(short(range.end - range.start));
        }
    }
}

impl<'a> Data<'a> {
    fn read(bytes: &mut &'a [u8], end: bool) -> Option<Self> {
        let at = place(bytes)?;
        let len = usize::from(bytes.try_get_u16().ok()?);
        let (data, rest) = bytes.split_at_checked(len)?;
        *bytes = rest;
        Some(Self { at, bytes: data, end })
    }

    pub(super) fn write_head(&self, len: usize, out: &mut Vec<u8>) {
        out.put_u64(self.at);
        out.put_u16(u16::try_from(len).unwrap_or(u16::MAX));
    }
}
