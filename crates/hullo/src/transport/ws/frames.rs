//! The frames of a WebSocket (RFC 6455, section 5): pure, bytes in and messages out.
//!
//! Our own, and not a crate's, for one property that none offers: a Close frame is a half-close here. After it has come
//! we may go on sending, as section 5.5.1 allows, so that no answer is lost. That it also costs an idle connection
//! nothing is the other reason.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::deflate::{Deflate, Inflate, Wrong};
use crate::message::Message;

/// Which end we are: a client masks what it sends, a server must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The end that connected.
    Client,
    /// The end that was connected to.
    Server,
}

/// What a peer sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// A whole message.
    Message(Message),
    /// A ping, to be answered with the same bytes.
    Ping(Bytes),
    /// A pong; it needs no answer.
    Pong,
    /// The peer's farewell, with its code where it gave one, and the reason.
    Close(Option<u16>, String),
}

/// A breach of the protocol: the code to close with, and the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The status code (section 7.4.1).
    pub code: u16,
    /// What was wrong.
    pub reason: &'static str,
}

const fn breach<T>(code: u16, reason: &'static str) -> Result<T, Breach> {
    Err(Breach { code, reason })
}

/// Protocol error.
const PROTOCOL: u16 = 1002;
/// Text that is not UTF-8.
const INVALID: u16 = 1007;
/// A message over the limit.
pub(crate) const TOO_BIG: u16 = 1009;

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// The bit of a message that is compressed (RFC 7692, section 6).
pub(crate) const COMPRESSED: u8 = 0x40;

/// Reads frames into messages. It holds a message only while its fragments come.
pub struct Reader {
    role: Role,
    max: usize,
    inflate: Option<Inflate>,
    parts: Option<Parts>,
}

struct Parts {
    text: bool,
    compressed: bool,
    bytes: BytesMut,
    /// How much of a text is known to be UTF-8.
    checked: usize,
}

/// The head of a frame.
pub(crate) struct Head {
    pub(crate) last: bool,
    pub(crate) compressed: bool,
    pub(crate) opcode: u8,
    mask: Option<[u8; 4]>,
    pub(crate) len: usize,
    /// The length of the head itself.
    pub(crate) size: usize,
}

impl Reader {
    /// A reader for that end, of messages of at most `max` bytes.
    pub fn new(role: Role, max: usize) -> Self {
        Self { role, max, inflate: None, parts: None }
    }

    /// The same where it was agreed that messages may be compressed.
    pub fn inflating(mut self, deflate: Option<Deflate>) -> Self {
        self.inflate = deflate.map(Deflate::inflate);
        self
    }

    /// Takes the next thing out of `buf`; nothing while it is incomplete.
    ///
    /// # Errors
    /// A breach of the protocol; nothing more can then be read.
    pub fn read(&mut self, buf: &mut BytesMut) -> Result<Option<Received>, Breach> {
        loop {
            let Some(head) = self.head(buf)? else { return Ok(None) };
            if buf.len() < head.size + head.len {
                // Room is made for what has come, and not for what is announced.
                return Ok(None);
            }
            buf.advance(head.size);
            // Mostly there is nothing behind it, and then there is nothing to part.
            let mut payload = if buf.len() == head.len { std::mem::take(buf) } else { buf.split_to(head.len) };
            if let Some(mask) = head.mask {
                apply(mask, &mut payload);
            }
            match head.opcode {
                PING => return Ok(Some(Received::Ping(payload.freeze()))),
                PONG => return Ok(Some(Received::Pong)),
                CLOSE => return closing(&payload).map(Some),
                _ => {
                    if let Some(message) = self.data(&head, payload)? {
                        return Ok(Some(Received::Message(message)));
                    }
                }
            }
        }
    }

    fn head(&self, buf: &[u8]) -> Result<Option<Head>, Breach> {
        let so_far = self.parts.as_ref().map(|parts| parts.bytes.len());
        head(buf, self.role, self.inflate.is_some(), so_far, self.max)
    }

    fn data(&mut self, head: &Head, payload: BytesMut) -> Result<Option<Message>, Breach> {
        let parts = match &mut self.parts {
            Some(parts) => {
                parts.bytes.extend_from_slice(&payload);
                parts
            }
            none => none.insert(Parts {
                text: head.opcode == TEXT,
                compressed: head.compressed,
                bytes: payload,
                checked: 0,
            }),
        };
        if !head.last {
            return if parts.compressed { Ok(None) } else { parts.check(false).map(|()| None) };
        }
        let Some(mut parts) = self.parts.take() else { return Ok(None) };
        if let (true, Some(inflate)) = (parts.compressed, &mut self.inflate) {
            let bytes = inflate.decompress(&parts.bytes, self.max).map_err(|wrong| match wrong {
                Wrong::Long => Breach { code: TOO_BIG, reason: "a message is too long" },
                Wrong::Broken => Breach { code: INVALID, reason: "a message is compressed wrongly" },
            })?;
            parts.bytes = BytesMut::from(Bytes::from(bytes));
        } else if parts.bytes.len() > self.max {
            return breach(TOO_BIG, "a message is too long");
        }
        parts.check(true)?;
        Ok(Some(Message { bytes: parts.bytes.freeze(), text: parts.text }))
    }
}

/// The head of the next frame, and whether it may stand there: where messages may be compressed, with so much of a message
/// in pieces before it, if there is one, and with no message longer than that.
pub(crate) fn head(
    buf: &[u8],
    role: Role,
    inflates: bool,
    so_far: Option<usize>,
    max: usize,
) -> Result<Option<Head>, Breach> {
    let &[first, second, ref rest @ ..] = buf else { return Ok(None) };
    let (last, opcode) = (first & 0x80 != 0, first & 0x0f);
    let compressed = first & COMPRESSED != 0 && inflates && matches!(opcode, TEXT | BINARY);
    if first & 0x70 != if compressed { COMPRESSED } else { 0 } {
        return breach(PROTOCOL, "a reserved bit is set");
    }
    let control = opcode >= CLOSE;
    match opcode {
        CONTINUATION if so_far.is_none() => return breach(PROTOCOL, "a continuation of nothing"),
        TEXT | BINARY if so_far.is_some() => return breach(PROTOCOL, "a new message inside another"),
        CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG => {}
        _ => return breach(PROTOCOL, "an unknown opcode"),
    }
    let masked = second & 0x80 != 0;
    if masked != (role == Role::Server) {
        return breach(PROTOCOL, if masked { "a server's frame is masked" } else { "a client's frame is not masked" });
    }
    let short = usize::from(second & 0x7f);
    if control && (short > 125 || !last) {
        return breach(PROTOCOL, "a control frame is long or in pieces");
    }
    let (len, extra) = match (short, rest) {
        (126, &[a, b, ..]) => (usize::from(u16::from_be_bytes([a, b])), 2),
        (127, rest) if rest.len() >= 8 => {
            let len = rest.first_chunk().map_or(u64::MAX, |bytes| u64::from_be_bytes(*bytes));
            (usize::try_from(len).unwrap_or(usize::MAX), 8)
        }
        (126 | 127, _) => return Ok(None),
        (short, _) => (short, 0),
    };
    // What does not get shorter by compressing gets a little longer.
    let slack = if inflates { (max >> 8) + 64 } else { 0 };
    if !control && len > (max + slack).saturating_sub(so_far.unwrap_or(0)) {
        return breach(TOO_BIG, "a message is too long");
    }
    let mask = match (masked, rest.get(extra..).and_then(|rest| rest.first_chunk::<4>())) {
        (true, None) => return Ok(None),
        (true, mask) => mask.copied(),
        (false, _) => None,
    };
    Ok(Some(Head { last, compressed, opcode, mask, len, size: 2 + extra + if masked { 4 } else { 0 } }))
}

impl Parts {
    /// Checks that a text is UTF-8 so far; where it goes on, a character may be cut in two.
    fn check(&mut self, whole: bool) -> Result<(), Breach> {
        if !self.text {
            return Ok(());
        }
        match std::str::from_utf8(&self.bytes[self.checked..]) {
            Ok(_) => self.checked = self.bytes.len(),
            Err(error) if error.error_len().is_none() && !whole => self.checked += error.valid_up_to(),
            Err(_) => return breach(INVALID, "a text is not UTF-8"),
        }
        Ok(())
    }
}

/// What a Close frame says.
pub(crate) fn closing(payload: &[u8]) -> Result<Received, Breach> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        let none = Received::Close(None, String::new());
        return if payload.is_empty() { Ok(none) } else { breach(PROTOCOL, "half a close code") };
    };
    let code = u16::from_be_bytes(*code);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return breach(PROTOCOL, "a close code that may not be sent");
    }
    match std::str::from_utf8(reason) {
        Ok(reason) => Ok(Received::Close(Some(code), reason.to_owned())),
        Err(_) => breach(INVALID, "a close reason is not UTF-8"),
    }
}

/// Appends a message as one frame, compressed where that was agreed on and is shorter. A text that is not UTF-8 leaves as
/// binary: as text it would be a breach.
pub fn write(message: &Message, deflate: Option<Deflate>, mask: Option<[u8; 4]>, buf: &mut BytesMut) {
    let text = message.text && std::str::from_utf8(&message.bytes).is_ok();
    let opcode = if text { TEXT } else { BINARY };
    match deflate.and_then(|deflate| deflate.compress(&message.bytes)) {
        Some(short) => frame(COMPRESSED | opcode, &short, mask, buf),
        None => frame(opcode, &message.bytes, mask, buf),
    }
}

/// Appends the answer to a ping.
pub fn write_pong(payload: &[u8], mask: Option<[u8; 4]>, buf: &mut BytesMut) {
    frame(PONG, payload, mask, buf);
}

/// Appends a farewell; without a code where the peer gave none.
pub fn write_close(code: Option<u16>, reason: &str, mask: Option<[u8; 4]>, buf: &mut BytesMut) {
    let mut payload = Vec::with_capacity(2 + reason.len());
    if let Some(code) = code {
        payload.extend_from_slice(&code.to_be_bytes());
        payload.extend_from_slice(reason.as_bytes());
    }
    frame(CLOSE, &payload, mask, buf);
}

/// Appends a frame that is a message, or that says what its opcode says.
pub(crate) fn frame(opcode: u8, payload: &[u8], mask: Option<[u8; 4]>, buf: &mut (impl BufMut + AsMut<[u8]>)) {
    buf.put_u8(0x80 | opcode);
    let masked = if mask.is_some() { 0x80 } else { 0 };
    match payload.len() {
        len @ 0..126 => buf.put_u8(masked | len as u8),
        len @ 126..65_536 => {
            buf.put_u8(masked | 126);
            buf.put_u16(len as u16);
        }
        len => {
            buf.put_u8(masked | 127);
            buf.put_u64(len as u64);
        }
    }
    buf.put_slice(&mask.unwrap_or_default()[..if mask.is_some() { 4 } else { 0 }]);
    buf.put_slice(payload);
    if let Some(mask) = mask {
        let written = buf.as_mut();
        let start = written.len() - payload.len();
        apply(mask, &mut written[start..]);
    }
}

/// Masks or unmasks (section 5.3): eight bytes at a time, which the compiler makes into wider ones.
fn apply(mask: [u8; 4], bytes: &mut [u8]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MASK: Option<[u8; 4]> = Some([1, 2, 3, 4]);

    #[test]
    fn breaches_have_their_codes() {
        let read = |bytes: &[u8]| {
            Reader::new(Role::Client, 100).read(&mut BytesMut::from(bytes)).map_err(|breach| breach.code)
        };
        assert_eq!(read(&[0xc1, 0]), Err(PROTOCOL));
        assert_eq!(read(&[0x83, 0]), Err(PROTOCOL));
        assert_eq!(read(&[0x80, 0]), Err(PROTOCOL));
        assert_eq!(read(&[0x81, 0x80, 0, 0, 0, 0]), Err(PROTOCOL));
        assert_eq!(read(&[0x09, 0]), Err(PROTOCOL));
        assert_eq!(read(&[0x81, 2, 0xc3, 0x28]), Err(INVALID));
        assert_eq!(read(&[0x82, 101]), Err(TOO_BIG));
        assert_eq!(read(&[0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255]), Err(TOO_BIG));
        assert_eq!(read(&[0x88, 2, 3, 237]), Err(PROTOCOL));
        assert_eq!(read(&[0x88, 2, 3, 232]), Ok(Some(Received::Close(Some(1000), String::new()))));
    }

    #[test]
    fn a_character_may_be_cut_between_fragments() {
        let mut reader = Reader::new(Role::Client, 100);
        let mut buf = BytesMut::from(&[0x01, 1, 0xc3, 0x89, 0, 0x80, 1, 0xa9][..]);
        assert_eq!(reader.read(&mut buf), Ok(Some(Received::Ping(Bytes::new()))));
        assert_eq!(reader.read(&mut buf), Ok(Some(Received::Message(Message::text("é")))));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_messages(
            messages in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..300), any::<bool>()), 0..6),
            cut in 1usize..50,
        ) {
            let messages: Vec<_> = messages.into_iter().map(|(bytes, text)| {
                let text = text && std::str::from_utf8(&bytes).is_ok();
                Message { bytes: bytes.into(), text }
            }).collect();
            let mut wire = BytesMut::new();
            messages.iter().for_each(|message| write(message, None, MASK, &mut wire));
            let (mut reader, mut buf, mut read) = (Reader::new(Role::Server, 300), BytesMut::new(), Vec::new());
            for piece in wire.chunks(cut) {
                buf.extend_from_slice(piece);
                while let Ok(Some(Received::Message(message))) = reader.read(&mut buf) {
                    read.push(message);
                }
            }
            prop_assert_eq!(read, messages);
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), server in any::<bool>()) {
            let mut reader = Reader::new(if server { Role::Server } else { Role::Client }, 100);
            let mut buf = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = reader.read(&mut buf) {}
        }
    }
}
