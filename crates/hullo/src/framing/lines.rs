//! `hullo serve json 'tcp://:8080?frame=lines'`: a message is a line.

use bytes::{BufMut, BytesMut};

use super::{Framing, Spec, too_large};
use crate::{error::Result, message::Message};

/// This framing's line of the table.
pub const SPEC: Spec = Spec {
    name: "lines",
    about: "a message ends at a newline (a carriage return before it is dropped)",
    make: |max| Box::new(Delimited::new(b'\n', max)),
};

/// Messages that end at one byte: lines, text and NUL-ended records.
pub(super) struct Delimited {
    delimiter: u8,
    max: usize,
    /// How far `buf` has been searched: without this, a long line that comes in small pieces costs quadratic time.
    searched: usize,
    patience: u32,
}

impl Delimited {
    pub(super) fn new(delimiter: u8, max: usize) -> Self {
        Self { delimiter, max, searched: 0, patience: 0 }
    }

    /// The same, where a pause ends a message too.
    pub(super) fn or_pause(self) -> Self {
        Self { patience: 1, ..self }
    }

    fn message(&mut self, mut bytes: BytesMut) -> Result<Option<Message>> {
        self.searched = 0;
        let text = self.delimiter == b'\n';
        if text && bytes.last() == Some(&b'\r') {
            bytes.truncate(bytes.len() - 1);
        }
        if bytes.len() > self.max {
            return Err(too_large(self.max));
        }
        Ok(Some(Message { bytes: bytes.freeze(), text }))
    }
}

impl Framing for Delimited {
    fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Message>> {
        if let Some(at) = memchr::memchr(self.delimiter, &buf[self.searched..]) {
            let mut line = buf.split_to(self.searched + at + 1);
            line.truncate(line.len() - 1);
            return self.message(line);
        }
        self.searched = buf.len();
        // One more than `max`: the last byte may be the carriage return of a line that just fits.
        if buf.len() > self.max.saturating_add(1) { Err(too_large(self.max)) } else { Ok(None) }
    }

    fn finish(&mut self, buf: &mut BytesMut) -> Result<Option<Message>> {
        match self.decode(buf)? {
            None if !buf.is_empty() => {
                let rest = buf.split();
                self.message(rest)
            }
            message => Ok(message),
        }
    }

    fn patience(&self) -> u32 {
        self.patience
    }

    fn encode(&mut self, message: &Message, buf: &mut BytesMut) -> Result<()> {
        buf.reserve(message.bytes.len() + 1);
        buf.put_slice(&message.bytes);
        buf.put_u8(self.delimiter);
        Ok(())
    }
}
