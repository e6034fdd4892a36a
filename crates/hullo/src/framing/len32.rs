//! `hullo serve echo 'tcp://:8080?frame=len32'`: four bytes of length, big end first, then the message.

use bytes::{Buf, BufMut, BytesMut};

use super::{Framing, Spec, too_large};
use crate::{
    error::{Error, Kind, Result},
    message::Message,
};

/// This framing's line of the table.
pub const SPEC: Spec = Spec {
    name: "len32",
    about: "four bytes of length, big end first, then the message",
    make: |max| Box::new(Len32 { max }),
};

struct Len32 {
    max: usize,
}

impl Framing for Len32 {
    fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Message>> {
        let Some(head) = buf.first_chunk::<4>() else { return Ok(None) };
        let len = u32::from_be_bytes(*head) as usize;
        if len > self.max {
            return Err(too_large(self.max));
        }
        if buf.len() < 4 + len {
            return Ok(None);
        }
        buf.advance(4);
        Ok(Some(Message::binary(buf.split_to(len).freeze())))
    }

    fn finish(&mut self, buf: &mut BytesMut) -> Result<Option<Message>> {
        match self.decode(buf)? {
            None if !buf.is_empty() => {
                let about = format!("the stream ended inside a message ({} bytes of it came)", buf.len());
                Err(Error::new(Kind::Cut, about))
            }
            message => Ok(message),
        }
    }

    fn encode(&mut self, message: &Message, buf: &mut BytesMut) -> Result<()> {
        let len = u32::try_from(message.bytes.len()).map_err(|_| too_large(u32::MAX as usize))?;
        buf.reserve(4 + message.bytes.len());
        buf.put_u32(len);
        buf.put_slice(&message.bytes);
        Ok(())
    }
}
