//! `hullo serve echo 'tcp://:8080?frame=raw'`: whatever has come is a message.

use bytes::BytesMut;

use super::{Framing, Spec};
use crate::{error::Result, message::Message};

/// This framing's line of the table.
pub const SPEC: Spec = Spec { name: "raw", about: "whatever has come is a message", make: |max| Box::new(Raw { max }) };

struct Raw {
    max: usize,
}

impl Framing for Raw {
    fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Message>> {
        let len = buf.len().min(self.max);
        Ok((len > 0).then(|| Message::binary(buf.split_to(len).freeze())))
    }

    fn encode(&mut self, message: &Message, buf: &mut BytesMut) -> Result<()> {
        buf.extend_from_slice(&message.bytes);
        Ok(())
    }
}
