//! The frames of HTTP/2 (RFC 9113, sections 4 and 6), and the codes of its errors.

use crate::error::{Error, Kind};

/// How long the head of a frame is.
pub(super) const HEAD: usize = 9;

/// The longest frame, unless the other end asks for longer ones; we never do.
pub(super) const LONGEST: usize = 16 << 10;

/// What a client says before its first frame.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const ACK: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITY: u8 = 0x20;

pub(super) const HEADER_TABLE_SIZE: u16 = 1;
pub(super) const ENABLE_PUSH: u16 = 2;
pub(super) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;
pub(super) const MAX_FRAME_SIZE: u16 = 5;

/// The largest window there can be.
pub(super) const WIDEST: u32 = (1 << 31) - 1;

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Frame {
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Frame {
    pub(super) fn read(input: &[u8]) -> Option<Self> {
        let &[a, b, c, kind, flags, d, e, f, g] = input.first_chunk::<HEAD>()?;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        // The first bit of the stream means nothing, and is passed over.
        Some(Self { length, kind, flags, stream: u32::from_be_bytes([d, e, f, g]) & WIDEST })
    }

    pub(super) fn write(self, out: &mut Vec<u8>) {
        let [_, a, b, c] = (self.length as u32).to_be_bytes();
        let [d, e, f, g] = self.stream.to_be_bytes();
        out.extend_from_slice(&[a, b, c, self.kind, self.flags, d, e, f, g]);
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Appends a whole frame.
pub(super) fn write(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    Frame { length: payload.len(), kind, flags, stream }.write(out);
    out.extend_from_slice(payload);
}

/// The number at the beginning of a payload.
pub(super) fn number(payload: &[u8]) -> Option<u32> {
    payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

pub(super) const NO_ERROR: u32 = 0;
pub(super) const CANCEL: u32 = 8;

/// What the codes of errors are called (section 7), and which of our kinds they are.
pub(super) const CODES: &[(&str, Kind)] = &[
    ("NO_ERROR", Kind::Cut),
    ("PROTOCOL_ERROR", Kind::Protocol),
    ("INTERNAL_ERROR", Kind::Cut),
    ("FLOW_CONTROL_ERROR", Kind::Protocol),
    ("SETTINGS_TIMEOUT", Kind::Protocol),
    ("STREAM_CLOSED", Kind::Protocol),
    ("FRAME_SIZE_ERROR", Kind::Protocol),
    // It did nothing about the request.
    ("REFUSED_STREAM", Kind::Denied),
    ("CANCEL", Kind::Cut),
    ("COMPRESSION_ERROR", Kind::Protocol),
    ("CONNECT_ERROR", Kind::Cut),
    ("ENHANCE_YOUR_CALM", Kind::Denied),
    ("INADEQUATE_SECURITY", Kind::Tls),
    ("HTTP_1_1_REQUIRED", Kind::Protocol),
];

/// Which kind of error a code is.
pub(super) fn kind(code: u32) -> Kind {
    named(code).1
}

fn named(code: u32) -> (&'static str, Kind) {
    CODES.get(code as usize).copied().unwrap_or(("a code that nobody knows", Kind::Cut))
}

/// The error of a connection that the other end gives up.
pub(super) fn given_up(code: u32, why: &[u8]) -> Error {
    let (name, kind) = named(code);
    let error = Error::new(kind, format!("the server gave up the connection: {name}"));
    let why = String::from_utf8_lossy(why);
    if why.is_empty() { error } else { error.because(crate::error::brief(&why)) }
}

/// The error of what breaks the protocol.
pub(super) fn wrong(why: &'static str) -> Error {
    Error::new(Kind::Protocol, "what came breaks HTTP/2").because(why)
}
