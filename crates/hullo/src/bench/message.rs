//! Messages on a stream of bytes: framed as the address says, or each reply as long as its request.

use std::{collections::VecDeque, sync::Arc};

use bytes::BytesMut;

use super::{
    Ask,
    codec::{Codec, Failure, Opened, Outcome, Reply},
};
use crate::{address::Address, dial::dial, error::Result, framing::Framing, message::Message, scope::Scope};

/// Connects, and speaks in messages.
pub(super) async fn open(to: &Address, ask: &Arc<Ask>, scope: &Scope) -> Result<Opened> {
    let link = dial(to, scope).await?;
    let max = link.scope.limits().max;
    let codec: Box<dyn Codec> = match link.scope.frame() {
        Some(frame) => Box::new(Framed {
            ask: ask.clone(),
            framing: (frame.make)(max),
            asked: VecDeque::new(),
            request: Vec::new(),
            input: BytesMut::new(),
        }),
        None => Box::new(AsLong { ask: ask.clone(), asked: VecDeque::new(), have: 0, content: Vec::new() }),
    };
    Ok((link.stream(), codec))
}

/// A reply is as long as its request, as an echo is.
struct AsLong {
    ask: Arc<Ask>,
    /// The requests under way: their numbers and lengths.
    asked: VecDeque<(u64, usize)>,
    /// How much of the first reply there is, and its bytes where somebody reads them.
    have: usize,
    content: Vec<u8>,
}

impl Codec for AsLong {
    fn ask(&mut self, n: u64, out: &mut Vec<u8>) {
        let before = out.len();
        self.ask.payload.write(n, out);
        self.asked.push_back((n, out.len() - before));
    }

    fn hear(&mut self, input: &[u8], reply: &mut dyn FnMut(Reply)) -> Result<usize> {
        let mut rest = input;
        while let Some((n, length)) = self.asked.front().copied() {
            let piece = rest.len().min(length - self.have);
            if self.ask.expect.reads() {
                self.content.extend_from_slice(&rest[..piece]);
            }
            self.have += piece;
            rest = &rest[piece..];
            if self.have < length {
                return Ok(input.len());
            }
            self.asked.pop_front();
            self.have = 0;
            reply(self.ask.judge(n, &self.content));
            self.content.clear();
        }
        // Whoever answers more than was asked is not an echo; it is counted, and no answer.
        Ok(input.len())
    }
}

/// A reply is a message.
struct Framed {
    ask: Arc<Ask>,
    framing: Box<dyn Framing>,
    asked: VecDeque<u64>,
    request: Vec<u8>,
    input: BytesMut,
}

impl Codec for Framed {
    fn ask(&mut self, n: u64, out: &mut Vec<u8>) {
        self.request.clear();
        self.ask.payload.write(n, &mut self.request);
        let request = self.ask.unended(&self.request);
        let mut framed = BytesMut::new();
        // A payload that this framing cannot carry was refused before the run.
        let _ = self.framing.encode(&Message::binary(request.to_vec()), &mut framed);
        out.extend_from_slice(&framed);
        self.asked.push_back(n);
    }

    fn hear(&mut self, input: &[u8], reply: &mut dyn FnMut(Reply)) -> Result<usize> {
        self.input.extend_from_slice(input);
        while let Some(message) = self.framing.decode(&mut self.input)? {
            self.tell(&message, reply);
        }
        Ok(input.len())
    }

    fn end(&mut self, reply: &mut dyn FnMut(Reply)) -> Result<()> {
        while let Some(message) = self.framing.finish(&mut self.input)? {
            self.tell(&message, reply);
        }
        Ok(())
    }
}

impl Framed {
    fn tell(&mut self, message: &Message, reply: &mut dyn FnMut(Reply)) {
        // What nobody has asked for is no reply.
        if let Some(n) = self.asked.pop_front() {
            reply(self.ask.judge(n, &message.bytes));
        }
    }
}

impl Ask {
    /// What became of request `n`, to which that was the reply.
    pub(crate) fn judge(&self, n: u64, content: &[u8]) -> Reply {
        let asked = || {
            let mut asked = Vec::new();
            self.payload.write(n, &mut asked);
            asked
        };
        let expected = !self.expect.reads() || self.expect.content(asked, content);
        let outcome = if expected { Outcome::Answered(None) } else { Outcome::Failed(Failure::Unexpected) };
        Reply { to: None, outcome, last: false }
    }

    /// The payload of a message without the newline at its end: the framing writes its own.
    fn unended<'a>(&self, request: &'a [u8]) -> &'a [u8] {
        request.strip_suffix(b"\n").unwrap_or(request)
    }
}
