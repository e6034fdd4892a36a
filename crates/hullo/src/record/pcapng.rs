//! The blocks of a pcapng file (draft-ietf-opsawg-pcapng), as they are written.

use std::ops::Range;

/// Packets that begin with their IP header: neither Ethernet nor anything else is made up.
const LINKTYPE_RAW: u16 = 101;

/// The largest packet that a reader has to make room for, as tcpdump has it.
const SNAPLEN: u32 = 262_144;

const COMMENT: u16 = 1;
const APPLICATION: u16 = 4;
const NAME: u16 = 2;
const RESOLUTION: u16 = 9;
const RECEIVED: u16 = 4;
const DROPPED: u16 = 5;

/// The head of a file.
pub(super) fn section(out: &mut Vec<u8>, application: &str, comment: &str) {
    block(out, 0x0A0D_0D0A, |out| {
        out.extend(0x1A2B_3C4D_u32.to_le_bytes());
        out.extend([1, 0, 0, 0]);
        // How long the section is nobody knows before its end.
        out.extend(u64::MAX.to_le_bytes());
        option(out, COMMENT, comment.as_bytes());
        option(out, APPLICATION, application.as_bytes());
        option(out, 0, &[]);
    });
}

/// A place where packets are taken; they name it by its number, from 0 on.
pub(super) fn interface(out: &mut Vec<u8>, name: &str) {
    block(out, 1, |out| {
        out.extend(LINKTYPE_RAW.to_le_bytes());
        out.extend([0, 0]);
        out.extend(SNAPLEN.to_le_bytes());
        option(out, NAME, name.as_bytes());
        // Times are in nanoseconds: ten to the power of minus nine of a second.
        option(out, RESOLUTION, &[9]);
        option(out, 0, &[]);
    });
}

/// A packet without its time yet, and where in `out` that belongs; `write` appends the packet itself.
pub(super) fn packet(
    out: &mut Vec<u8>,
    interface: u32,
    comment: Option<&str>,
    write: impl FnOnce(&mut Vec<u8>),
) -> Range<usize> {
    let time = out.len() + 12..out.len() + 20;
    block(out, 6, |out| {
        out.extend(interface.to_le_bytes());
        out.extend([0; 16]);
        let start = out.len();
        write(out);
        let length = (out.len() - start) as u32;
        out[start - 8..start - 4].copy_from_slice(&length.to_le_bytes());
        out[start - 4..start].copy_from_slice(&length.to_le_bytes());
        pad(out, start);
        if let Some(comment) = comment {
            option(out, COMMENT, comment.as_bytes());
            option(out, 0, &[]);
        }
    });
    time
}

/// A time as a packet has it: in two halves, the upper one first.
pub(super) fn time(nanos: u64) -> [u8; 8] {
    nanos.rotate_left(32).to_le_bytes()
}

/// What went through an interface, and what got lost there.
pub(super) fn statistics(out: &mut Vec<u8>, interface: u32, nanos: u64, received: u64, dropped: u64) {
    block(out, 5, |out| {
        out.extend(interface.to_le_bytes());
        out.extend(time(nanos));
        option(out, RECEIVED, &received.to_le_bytes());
        option(out, DROPPED, &dropped.to_le_bytes());
        option(out, 0, &[]);
    });
}

fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(kind.to_le_bytes());
    out.extend([0; 4]);
    body(out);
    let length = ((out.len() - start + 4) as u32).to_le_bytes();
    out[start + 4..start + 8].copy_from_slice(&length);
    out.extend(length);
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    out.extend(code.to_le_bytes());
    out.extend((value.len() as u16).to_le_bytes());
    let start = out.len();
    out.extend(value);
    pad(out, start);
}

/// Fills up what began there to whole words of four bytes.
fn pad(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    out.resize(start + length.next_multiple_of(4), 0);
}
