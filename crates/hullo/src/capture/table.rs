//! Which packet belongs to which conversation.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{
    Capture, Conversation, Event, Piece, What,
    frames::Frame,
    headers::{Bytes, Packet, Segment},
    stream::Stream,
};
use crate::traffic::Way;

/// All conversations, as far as the capture has been read.
#[derive(Default)]
pub(super) struct Table {
    found: Vec<Found>,
    /// The newest conversation between two ends, whichever is named first.
    newest: HashMap<(bool, SocketAddr, SocketAddr), usize>,
    /// Between whom there were packets in parts.
    fragments: HashSet<(IpAddr, IpAddr)>,
    /// The time of the first packet.
    zero: Option<u64>,
    pub(super) others: u64,
}

struct Found {
    conversation: Conversation,
    up: Stream,
    down: Stream,
    /// The number of the client's first byte, where its beginning was seen.
    first: Option<u32>,
    reset: bool,
}

impl Table {
    pub(super) fn add(&mut self, frame: &Frame, packet: Packet) {
        let zero = *self.zero.get_or_insert(frame.time);
        let at = Duration::from_nanos(frame.time.saturating_sub(zero));
        match packet {
            Packet::Segment { from, to, head, bytes } => {
                let known = self.newest.get(&key(true, from, to)).copied();
                let known = known.filter(|known| !self.found[*known].is_followed(from, head, frame));
                let known = known.or_else(|| self.begin_stream(frame, at, from, to, head));
                let Some(known) = known else { return self.others += 1 };
                self.found[known].segment(frame, at, from, head, &bytes);
            }
            Packet::Datagram { from, to, bytes } => {
                // In our recordings it is said which datagram is a conversation's first.
                let known = self.newest.get(&key(false, from, to)).copied().filter(|_| frame.flow.is_none());
                let known = known.unwrap_or_else(|| self.begin(frame, at, false, from, to));
                self.found[known].datagram(frame, at, from, &bytes);
            }
            Packet::Fragment { from, to } => {
                self.fragments.extend([(from, to), (to, from)]);
                self.others += 1;
            }
        }
    }

    /// A connection of which nothing was seen yet. Its last words alone are none.
    fn begin_stream(
        &mut self,
        frame: &Frame,
        at: Duration,
        from: SocketAddr,
        to: SocketAddr,
        head: Segment,
    ) -> Option<usize> {
        let answers = head.syn && head.acknowledged.is_some();
        // Without a beginning, who has the higher port has probably called the other one.
        let turned = answers || !head.syn && from.port() < to.port();
        let (client, server) = if turned { (to, from) } else { (from, to) };
        if head.reset {
            return None;
        }
        let known = self.begin(frame, at, true, client, server);
        let found = &mut self.found[known];
        if head.syn && !answers {
            found.first = Some(head.sequence);
        } else {
            found.fault("its beginning is not in the capture".to_owned());
        }
        Some(known)
    }

    fn begin(&mut self, frame: &Frame, at: Duration, stream: bool, client: SocketAddr, server: SocketAddr) -> usize {
        let known = self.found.len();
        self.newest.insert(key(stream, client, server), known);
        let number = frame.flow.unwrap_or(known as u64 + 1);
        let (events, messages) = (Vec::new(), !stream);
        let conversation = Conversation { number, client, server, messages, began: at, events, fault: None };
        let (up, down) = (Stream::default(), Stream::default());
        self.found.push(Found { conversation, up, down, first: None, reset: false });
        known
    }

    /// What was found, once there is no more.
    pub(super) fn finish(self, cut: bool) -> Capture {
        let Self { found, fragments, others, .. } = self;
        let parts =
            |conversation: &Conversation| fragments.contains(&(conversation.client.ip(), conversation.server.ip()));
        let mut conversations: Vec<_> = found.into_iter().map(Found::finish).collect();
        for conversation in conversations.iter_mut().filter(|conversation| parts(conversation)) {
            let about = "between its ends there were IP packets in fragments, which are not put together";
            conversation.fault.get_or_insert_with(|| about.to_owned());
        }
        Capture { conversations, others, cut }
    }
}

impl Found {
    /// Whether the segment begins another connection between the same two ends.
    fn is_followed(&self, from: SocketAddr, head: Segment, frame: &Frame) -> bool {
        let opens = head.syn && head.acknowledged.is_none();
        let same = self.first == Some(head.sequence) && self.conversation.client == from;
        opens && !same || frame.flow.is_some_and(|flow| flow != self.conversation.number)
    }

    fn segment(&mut self, frame: &Frame, at: Duration, from: SocketAddr, head: Segment, bytes: &Bytes) {
        if self.reset {
            return;
        }
        let way = if from == self.conversation.client { Way::Up } else { Way::Down };
        let (this, back) = match way {
            Way::Up => (&mut self.up, &mut self.down),
            Way::Down => (&mut self.down, &mut self.up),
        };
        let sequence = head.sequence.wrapping_add(u32::from(head.syn));
        if head.syn {
            this.begin(sequence);
        }
        if let Some(number) = head.acknowledged.filter(|_| !head.reset) {
            back.confirm(number);
        }
        let events = &mut self.conversation.events;
        let piece = piece(frame, bytes);
        self.conversation.messages |= piece.begins.is_some();
        let added = this.add(sequence, piece, head.fin, |what| events.push(Event { at, way, what }));
        if head.reset {
            self.reset = true;
            events.push(Event { at, way, what: What::Reset });
        }
        if let Err(fault) = added {
            self.fault(fault);
        }
        self.note_cut(frame, bytes);
    }

    fn datagram(&mut self, frame: &Frame, at: Duration, from: SocketAddr, bytes: &Bytes) {
        let way = if from == self.conversation.client { Way::Up } else { Way::Down };
        self.conversation.events.push(Event { at, way, what: What::Piece(piece(frame, bytes)) });
        self.note_cut(frame, bytes);
    }

    fn note_cut(&mut self, frame: &Frame, bytes: &Bytes) {
        if !bytes.whole {
            self.fault(format!("packet {} was not captured in its whole length", frame.number));
        }
    }

    /// The first one says most.
    fn fault(&mut self, about: String) {
        self.conversation.fault.get_or_insert(about);
    }

    fn finish(mut self) -> Conversation {
        for (whose, stream) in [("client", &self.up), ("server", &self.down)] {
            if let Some(gap) = stream.gap() {
                self.conversation.fault.get_or_insert_with(|| format!("of what its {whose} said {gap}"));
            }
        }
        self.conversation
    }
}

fn piece(frame: &Frame, bytes: &Bytes) -> Piece {
    let offset = frame.offset + bytes.range.start as u64;
    Piece { offset, length: bytes.range.len() as u32, begins: frame.begins }
}

/// The same for both directions.
fn key(stream: bool, one: SocketAddr, other: SocketAddr) -> (bool, SocketAddr, SocketAddr) {
    if one <= other { (stream, one, other) } else { (stream, other, one) }
}
