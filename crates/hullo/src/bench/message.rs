//! Messages on a stream of bytes: framed as the address says, or each reply as long as its request.

use std::{collections::VecDeque, sync::Arc};

use bytes::BytesMut;

use super::{
    Ask, Plan, Shape,
    codec::{Codec, Failure, Opened, Outcome, Replies, Reply, replies},
    http::Judge,
    websocket::Messages,
};
use crate::{
    address::Address,
    dial::dial,
    error::{Error, Result},
    framing::{self, Framing},
    message::Message,
    scope::{Limits, Scope},
    transport::ws::deflate::Deflate,
};

/// Refuses what cannot be told from other messages on such a stream. The newline at the end of a payload is left to a
/// framing that writes its own.
pub(super) fn check(plan: &mut Plan) -> Result<()> {
    let Shape::Ask(ask) = &mut plan.shape else { return Ok(()) };
    match plan.to.options.text("frame") {
        // There each message has a frame of its own.
        _ if matches!(plan.to.scheme.as_str(), "ws" | "wss") => Ok(()),
        Some(name) => {
            let mut framing = (framing::find(name)?.make)(usize::MAX);
            let mut end = BytesMut::new();
            if framing.encode(&Message::default(), &mut end).is_ok() && end == "\n" {
                Arc::make_mut(ask).payload.unended();
            }
            carries(&mut *framing, ask.payload.of(0)).then_some(()).ok_or_else(|| {
                Error::usage(format!("frame={name} cannot carry this payload as one message"))
                    .hint("frame=len32 carries any bytes, if the server speaks it too")
            })
        }
        None if ask.payload.of(0).is_empty() => Err(Error::usage("a message needs at least one byte")
            .hint("with a framing it may be empty, as in ?frame=lines, if the server speaks it too")),
        None => Ok(()),
    }
}

/// Whether these bytes arrive as one message, and as they are.
fn carries(framing: &mut dyn Framing, bytes: Vec<u8>) -> bool {
    let (message, mut framed) = (Message::binary(bytes), BytesMut::new());
    framing.encode(&message, &mut framed).is_ok()
        && framing.decode(&mut framed).is_ok_and(|first| first.is_some_and(|first| first.bytes == message.bytes))
        && framing.decode(&mut framed).is_ok_and(|second| second.is_none())
}

/// Connects, and speaks in messages.
pub(super) async fn open(to: &Address, ask: &Arc<Ask>, scope: &Scope) -> Result<Opened> {
    let link = dial(to, scope).await?;
    let codec = codec(ask.clone(), link.scope.frame(), link.scope.limits().max);
    Ok((link.stream(), codec))
}

/// What comes though nothing is under way: it is told, so that somebody counts it, and answers nothing.
const UNASKED: Reply = Reply { to: None, outcome: Outcome::Undone, last: false };

/// Messages of at most so many bytes in that framing; without one a reply is as long as its request.
fn codec(ask: Arc<Ask>, frame: Option<&framing::Spec>, max: usize) -> Box<dyn Codec> {
    match frame {
        Some(frame) => {
            Box::new(Framed { ask, framing: (frame.make)(max), asked: VecDeque::new(), input: BytesMut::new() })
        }
        None => Box::new(AsLong { ask, asked: VecDeque::new(), have: 0, content: Vec::new() }),
    }
}

/// How messages are told apart in a stream.
#[derive(Clone, Copy)]
pub enum Spoken {
    /// As those of WebSockets, which may be compressed where the extension permessage-deflate was agreed on.
    WebSocket(Option<Deflate>),
    /// In a framing.
    Framed(&'static framing::Spec),
    /// By their length, which is that of the request.
    AsLong,
}

impl Ask {
    /// What the bytes of a server, in whatever pieces they come, are to a connection on which so many requests were asked: for
    /// each reply that is whole, the request that it answers, or how that failed.
    ///
    /// # Errors
    /// They break the protocol, or end in the middle of a reply.
    pub fn replies<'a>(
        &self,
        spoken: Spoken,
        asked: u64,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> (Replies, Result<()>) {
        let max = Limits::default().max;
        let codec = |frame| codec(Arc::new(self.clone()), frame, max);
        match spoken {
            Spoken::WebSocket(deflate) => {
                let judge = Judge::new(self.expect.clone(), self.payload.clone(), max);
                replies(&mut Messages::new(self.payload.clone(), judge, deflate), asked, pieces)
            }
            Spoken::Framed(frame) => replies(&mut *codec(Some(frame)), asked, pieces),
            Spoken::AsLong => replies(&mut *codec(None), asked, pieces),
        }
    }
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
        if !rest.is_empty() {
            // Whoever says more than was asked is not an echo.
            reply(UNASKED);
        }
        Ok(input.len())
    }
}

/// A reply is a message.
struct Framed {
    ask: Arc<Ask>,
    framing: Box<dyn Framing>,
    asked: VecDeque<u64>,
    input: BytesMut,
}

impl Codec for Framed {
    fn ask(&mut self, n: u64, out: &mut Vec<u8>) {
        let mut framed = BytesMut::new();
        // A payload that this framing cannot carry was refused before the run.
        let _ = self.framing.encode(&Message::binary(self.ask.payload.of(n)), &mut framed);
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
        reply(self.asked.pop_front().map_or(UNASKED, |n| self.ask.judge(n, &message.bytes)));
    }
}

impl Ask {
    /// What became of request `n`, to which that was the reply.
    pub(crate) fn judge(&self, n: u64, content: &[u8]) -> Reply {
        let expected = !self.expect.reads() || self.expect.content(|| self.payload.of(n), content);
        let outcome = if expected { Outcome::Answered(None) } else { Outcome::Failed(Failure::Unexpected) };
        Reply { to: None, outcome, last: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bench::{Expect, Payload},
        framing::FRAMINGS,
    };

    /// The plan of a load with that payload, once it is checked.
    fn checked(to: &str, payload: &[u8]) -> Result<Arc<Ask>> {
        let ask = Ask { payload: Payload::fixed(payload.to_vec()), expect: Expect { same: true, ..Expect::default() } };
        let mut plan = Plan { shape: Shape::Ask(Arc::new(ask)), ..Plan::to(to.parse()?) };
        plan.check()?;
        let Shape::Ask(ask) = plan.shape else { panic!("it asks") };
        Ok(ask)
    }

    #[test]
    fn what_an_echo_says_is_what_was_asked_in_every_framing() {
        let own = [("json", &b"{}\n"[..]), ("lines", b"{}\n"), ("text", b"{}\n"), ("raw", b"{}\r\n")];
        let own = own.into_iter().chain([("len32", &b"\0\0\0\x04{}\r\n"[..]), ("nul", b"{}\r\n\0")]);
        assert_eq!(own.clone().count(), FRAMINGS.len());
        for (name, wire) in own {
            let ask = checked(&format!("tcp://127.0.0.1:1?frame={name}"), b"{}\r\n").unwrap();
            let framing = (framing::find(name).unwrap().make)(100);
            let mut codec = Framed { ask, framing, asked: VecDeque::new(), input: BytesMut::new() };
            let (mut out, mut replies) = (Vec::new(), Vec::new());
            codec.ask(0, &mut out);
            assert_eq!(out, wire, "{name}");
            codec.hear(&out, &mut |reply| replies.push(reply.outcome)).unwrap();
            assert_eq!(replies, [Outcome::Answered(None)], "{name}");
        }
    }

    #[test]
    fn what_is_not_one_message_is_refused() {
        let refused = [
            ("tcp://h:1?frame=lines", &b"a\nb"[..]),
            ("tls://h:1?frame=text", b"a\n\n"),
            ("tcp://h:1?frame=json", b"1 2"),
            ("tcp://h:1?frame=json", b"[1"),
            ("tcp://h:1?frame=nul", b"a\0b"),
            ("tcp://h:1?frame=raw", b""),
        ];
        for (to, payload) in refused {
            let error = checked(to, payload).unwrap_err().to_string();
            assert!(error.ends_with("cannot carry this payload as one message"), "{to}: {error}");
        }
        assert_eq!(checked("tcp://h:1", b"").unwrap_err().to_string(), "a message needs at least one byte");
        for to in ["tcp://h:1?frame=lines", "tcp://h:1?frame=len32", "ws://h:1", "udp://h:1"] {
            assert!(checked(to, b"").is_ok(), "{to}");
        }
        assert_eq!(checked("tcp://h:1", b"a\nb\n").unwrap().payload.of(0), b"a\nb\n");
    }
}
