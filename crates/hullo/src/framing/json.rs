//! `hullo serve json 'tcp://:8080?frame=json'`: a message is a JSON value; values delimit themselves.
//!
//! Only the ends of values are looked for here (RFC 8259, sections 2 and 7); whether a value is good is for its reader
//! to say. What cannot begin a value is handed over up to the end of its line, so that its sender can be told.

use bytes::{Buf, BufMut, BytesMut};

use super::{Framing, Spec, too_large};
use crate::{error::Result, message::Message};

/// This framing's line of the table.
pub const SPEC: Spec = Spec {
    name: "json",
    about: "a message is a JSON value, with or without a newline after it",
    make: |max| Box::new(Json { max, seen: 0, state: State::Before }),
};

struct Json {
    max: usize,
    /// How much of `buf` has been looked at.
    seen: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Between values.
    Before,
    /// Inside that many brackets.
    Nested(u32),
    /// Inside a string, in that many brackets.
    Text(u32),
    /// After a backslash.
    Escape(u32),
    /// Inside a number, `true`, `false` or `null`.
    Word,
    /// Inside what is not JSON.
    Noise,
}

impl Json {
    /// The state after `byte`, or nothing where a value has ended; `true` if the byte belongs to that value.
    fn step(state: State, byte: u8) -> Result<State, bool> {
        use State::{Before, Escape, Nested, Noise, Text, Word};
        Ok(match (state, byte) {
            (Before, b'{' | b'[') => Nested(1),
            (Before, b'"') => Text(0),
            (Before, b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => Word,
            (Before, _) => Noise,
            (Nested(depth), b'"') => Text(depth),
            (Nested(depth), b'{' | b'[') => Nested(depth.saturating_add(1)),
            (Nested(1), b'}' | b']') | (Text(0), b'"') => return Err(true),
            (Nested(depth), b'}' | b']') => Nested(depth - 1),
            (Text(depth), b'\\') => Escape(depth),
            (Text(depth), b'"') => Nested(depth),
            (Escape(depth), _) => Text(depth),
            (Word, b' ' | b'\t' | b'\r' | b'\n' | b',' | b'{' | b'}' | b'[' | b']' | b'"') => return Err(false),
            // A newline cannot stand in a string: whatever this was, it has ended (and is not JSON).
            (Text(_) | Noise, b'\n') => return Err(false),
            (state, _) => state,
        })
    }

    fn message(&mut self, buf: &mut BytesMut, len: usize) -> Result<Option<Message>> {
        (self.seen, self.state) = (0, State::Before);
        if len > self.max {
            return Err(too_large(self.max));
        }
        Ok(Some(Message { bytes: buf.split_to(len).freeze(), text: true }))
    }
}

impl Framing for Json {
    fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Message>> {
        if self.state == State::Before {
            let blank = buf.iter().position(|byte| !b" \t\r\n".contains(byte)).unwrap_or(buf.len());
            buf.advance(blank);
        }
        for at in self.seen..buf.len() {
            match Self::step(self.state, buf[at]) {
                Ok(state) => self.state = state,
                Err(inclusive) => return self.message(buf, at + usize::from(inclusive)),
            }
        }
        self.seen = buf.len();
        if buf.len() > self.max { Err(too_large(self.max)) } else { Ok(None) }
    }

    fn finish(&mut self, buf: &mut BytesMut) -> Result<Option<Message>> {
        match self.decode(buf)? {
            None if !buf.is_empty() => {
                let len = buf.len();
                self.message(buf, len)
            }
            message => Ok(message),
        }
    }

    /// A number or a word may be whole at every pause; an open bracket or quote promises more, so that it takes a long
    /// pause to give it up.
    fn patience(&self) -> u32 {
        match self.state {
            State::Before | State::Word | State::Noise => 1,
            State::Nested(_) | State::Text(_) | State::Escape(_) => 10,
        }
    }

    fn encode(&mut self, message: &Message, buf: &mut BytesMut) -> Result<()> {
        buf.reserve(message.bytes.len() + 1);
        buf.put_slice(&message.bytes);
        buf.put_u8(b'\n');
        Ok(())
    }
}
