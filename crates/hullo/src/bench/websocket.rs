//! `hullo bench ws://127.0.0.1:7008/`: WebSockets under load, a message for a message (RFC 6455).
//!
//! Messages are counted where they end, and taken out of their frames only where somebody reads them. Whether a text is
//! UTF-8 is not looked at.

use std::{collections::VecDeque, sync::Arc};

use aws_lc_rs::rand;
use bytes::Bytes;

use super::{
    Ask,
    codec::{Codec, Opened, Reply},
    http::Judge,
    payload::Payload,
};
use crate::{
    address::Address,
    error::{Error, Kind, Result, brief},
    framing::too_large,
    options::End,
    scope::Scope,
    transport::{
        self,
        ws::{
            self,
            deflate::{Deflate, Inflate, Wrong},
            frames::{
                BINARY, Breach, CLOSE, COMPRESSED, Head, PING, PONG, Received, Role, TEXT, TOO_BIG, closing, frame,
                head,
            },
        },
    },
};

/// Opens a WebSocket for messages and their replies. Compressing is not offered unless the address asks for it: it would
/// be measured too.
///
/// # Errors
/// The connection's, or the handshake's.
pub(super) async fn open(to: &Address, ask: &Arc<Ask>, scope: &Scope) -> Result<Opened> {
    transport::find(to, End::Connect)?;
    let to = to.on_a_host();
    let scheme = if to.scheme == "wss" { "wss" } else { "ws" };
    let (stream, terms, _) = ws::open(&to, scheme, to.options.flag("deflate", false), scope).await?;
    let judge = Judge::new(ask.expect.clone(), ask.payload.clone(), scope.limits().max);
    Ok((Box::new(stream), Box::new(Messages::new(ask.payload.clone(), judge, terms.deflate))))
}

/// The code of a farewell behind which nothing is wrong (section 7.4.1).
const NORMAL: u16 = 1000;

/// So much may wait for the other end to read it, of what it is owed: whoever asks for more does nothing but ask.
const OWED: usize = 64 << 10;

/// Messages and their replies, which come in order.
pub(crate) struct Messages {
    payload: Payload,
    /// The message that is the same each time, with the first bits of its frame.
    same: Option<(u8, Bytes)>,
    scratch: Vec<u8>,
    masks: Masks,
    deflate: Option<Deflate>,
    inflate: Option<Inflate>,
    judge: Judge,
    /// The numbers of the requests under way, where a reply is compared with its request.
    numbers: VecDeque<u64>,
    at: At,
    /// A message of which there are pieces: how long they are together, and whether it is compressed.
    begun: Option<(usize, bool)>,
    content: Vec<u8>,
    owed: Vec<u8>,
    /// The other end has said farewell.
    closed: bool,
}

/// Where in the frames we are.
#[derive(Clone, Copy)]
enum At {
    Head,
    /// In the payload of a message's frame: so much of it is still to come.
    Payload(usize, Last),
}

/// Whether a frame is its message's last one.
type Last = bool;

impl Messages {
    pub(super) fn new(payload: Payload, judge: Judge, deflate: Option<Deflate>) -> Self {
        let same = payload.same().map(|bytes| match packed(deflate, bytes) {
            (first, Some(short)) => (first, short.into()),
            (first, None) => (first, bytes.clone()),
        });
        Self {
            payload,
            same,
            scratch: Vec::new(),
            masks: Masks::default(),
            deflate,
            inflate: deflate.map(Deflate::inflate),
            judge,
            numbers: VecDeque::new(),
            at: At::Head,
            begun: None,
            content: Vec::new(),
            owed: Vec::new(),
            closed: false,
        }
    }

    /// A frame's head has come: that of a message's frame is passed over, and any other frame taken as a whole. It says how
    /// much of the input that was; nothing while it is incomplete.
    fn begin(&mut self, head: &Head, input: &[u8]) -> Result<Option<usize>> {
        if head.opcode >= CLOSE {
            let Some(payload) = input.get(head.size..head.size + head.len) else { return Ok(None) };
            self.control(head.opcode, payload)?;
            return Ok(Some(head.size + head.len));
        }
        let (so_far, compressed) = self.begun.unwrap_or((0, head.compressed));
        self.begun = Some((so_far + head.len, compressed));
        self.at = At::Payload(head.len, head.last);
        Ok(Some(head.size))
    }

    fn control(&mut self, opcode: u8, payload: &[u8]) -> Result<()> {
        match opcode {
            PING => self.owe(PONG, payload),
            CLOSE => match closing(payload).map_err(broken)? {
                // Of the protocol's own codes 1000 and 1001 are good-byes; the others say what went wrong (section 7.4.1).
                Received::Close(Some(code @ 1002..3000), why) => Err(given_up(code, &why)),
                _ => {
                    self.closed = true;
                    self.owe(CLOSE, payload)
                }
            },
            _ => Ok(()),
        }
    }

    fn owe(&mut self, opcode: u8, payload: &[u8]) -> Result<()> {
        if self.owed.len() > OWED {
            return Err(Error::new(Kind::Protocol, "it sends pings faster than it takes the answers"));
        }
        frame(opcode, payload, Some(self.masks.next()), &mut self.owed);
        Ok(())
    }

    /// The reply, now that it is whole.
    fn whole(&mut self) -> Result<Reply> {
        let compressed = self.begun.take().is_some_and(|(_, compressed)| compressed);
        let n = self.numbers.pop_front();
        if let (true, true, Some(inflate)) = (compressed, self.judge.reads(), &mut self.inflate) {
            self.content = inflate.decompress(&self.content, self.judge.max()).map_err(|wrong| match wrong {
                Wrong::Long => too_large(self.judge.max()),
                Wrong::Broken => Error::new(Kind::Protocol, "a message is compressed wrongly"),
            })?;
        }
        let outcome = self.judge.verdict(None, n, &self.content);
        self.content.clear();
        Ok(Reply { to: None, outcome, last: false })
    }
}

impl Codec for Messages {
    fn ask(&mut self, n: u64, out: &mut Vec<u8>) {
        if self.judge.compares() {
            self.numbers.push_back(n);
        }
        let mask = Some(self.masks.next());
        if let Some((first, bytes)) = &self.same {
            return frame(*first, bytes, mask, out);
        }
        self.scratch.clear();
        self.payload.write(n, &mut self.scratch);
        match packed(self.deflate, &self.scratch) {
            (first, Some(short)) => frame(first, &short, mask, out),
            (first, None) => frame(first, &self.scratch, mask, out),
        }
    }

    fn hear(&mut self, input: &[u8], reply: &mut dyn FnMut(Reply)) -> Result<usize> {
        let mut used = 0;
        while !self.closed {
            let rest = &input[used..];
            match &mut self.at {
                At::Payload(0, last) => {
                    let last = *last;
                    self.at = At::Head;
                    if last {
                        reply(self.whole()?);
                    }
                }
                At::Payload(left, _) => {
                    let n = rest.len().min(*left);
                    if n == 0 {
                        return Ok(used);
                    }
                    *left -= n;
                    self.judge.keep(&mut self.content, &rest[..n]);
                    used += n;
                }
                At::Head => {
                    let so_far = self.begun.map(|(length, _)| length);
                    let head = head(rest, Role::Client, self.inflate.is_some(), so_far, self.judge.max());
                    let Some(head) = head.map_err(broken)? else { return Ok(used) };
                    let Some(read) = self.begin(&head, rest)? else { return Ok(used) };
                    used += read;
                }
            }
        }
        // Behind a farewell there is nothing.
        Ok(input.len())
    }

    fn owed(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.owed);
    }

    fn farewell(&mut self, out: &mut Vec<u8>) {
        if !self.closed {
            frame(CLOSE, &NORMAL.to_be_bytes(), Some(self.masks.next()), out);
        }
    }

    fn room(&self, _under_way: usize) -> bool {
        !self.closed
    }
}

/// The first bits of a message's frame, and the message compressed where that was agreed on and is shorter.
fn packed(deflate: Option<Deflate>, message: &[u8]) -> (u8, Option<Vec<u8>>) {
    let opcode = if std::str::from_utf8(message).is_ok() { TEXT } else { BINARY };
    match deflate.and_then(|deflate| deflate.compress(message)) {
        Some(short) => (COMPRESSED | opcode, Some(short)),
        None => (opcode, None),
    }
}

fn broken(Breach { code, reason }: Breach) -> Error {
    let kind = if code == TOO_BIG { Kind::TooLarge } else { Kind::Protocol };
    Error::new(kind, "the other end broke the WebSocket protocol").because(reason)
}

fn given_up(code: u16, why: &str) -> Error {
    let kind = if code == TOO_BIG { Kind::TooLarge } else { Kind::Protocol };
    let error = Error::new(kind, format!("the other end closed the WebSocket with code {code}"));
    if why.is_empty() { error } else { error.because(brief(why)) }
}

/// Masks, which nobody must be able to foretell (section 5.3): the system's randomness, many of them at a time.
struct Masks {
    masks: [[u8; 4]; MASKS],
    used: usize,
}

const MASKS: usize = 256;

impl Default for Masks {
    fn default() -> Self {
        Self { masks: [[0; 4]; MASKS], used: MASKS }
    }
}

impl Masks {
    fn next(&mut self) -> [u8; 4] {
        if self.used == MASKS {
            // Without randomness, none is still a valid mask.
            let _ = rand::fill(self.masks.as_flattened_mut());
            self.used = 0;
        }
        self.used += 1;
        self.masks[self.used - 1]
    }
}

#[cfg(test)]
mod tests;
