//! A conversation as packets: what was seen of it goes in, and packets come out. Pure.

use std::ops::Range;

use super::{
    ends::{DATAGRAM, Ends, SEGMENT, Segment, about},
    pcapng,
};
use crate::traffic::{Flow, Form, Seen, Way};

/// What is acknowledged by the next packet the other way may wait for it as long as it is no more than this.
const UNACKNOWLEDGED: u32 = 1 << 20;

/// What a conversation has been so far, as far as its next packets need it.
pub(super) struct Conversation {
    ends: Ends,
    pub(super) interface: u32,
    datagrams: bool,
    up: Direction,
    down: Direction,
    /// What its first packet says of it.
    about: Option<String>,
}

#[derive(Default)]
struct Direction {
    /// The number of the next byte.
    next: u32,
    /// How many bytes the other end has acknowledged of it, as such a number.
    acknowledged: u32,
    messages: u64,
    ended: bool,
}

/// Packets as blocks of a file, still without their time.
#[derive(Default)]
pub(super) struct Blocks {
    pub(super) bytes: Vec<u8>,
    /// Where the times belong: one for each packet.
    pub(super) times: Vec<Range<usize>>,
}

impl Conversation {
    pub(super) fn new(flow: &Flow, interface: u32) -> Self {
        // Numbers begin elsewhere in each conversation, so that a port that is used again is no retransmission.
        let first = (flow.number as u32).wrapping_mul(0x9E37_79B9);
        let direction = |next| Direction { next, acknowledged: next, ..Direction::default() };
        Self {
            ends: Ends::of(flow),
            interface,
            datagrams: flow.client.scheme() == "udp",
            up: direction(first),
            down: direction(!first),
            about: Some(about(flow)),
        }
    }

    /// Writes what was seen as packets.
    pub(super) fn see(&mut self, flow: &Flow, what: Seen<'_>, out: &mut Blocks) {
        match what {
            Seen::Opened if self.datagrams => {}
            Seen::Opened => self.open(out),
            Seen::Piece { way, bytes, .. } if self.datagrams => self.datagram(way, bytes, out),
            Seen::Piece { way, bytes, form: Form::Stream } => self.stream(way, bytes, None, out),
            Seen::Piece { way, bytes, form } => self.message(way, bytes, form, out),
            Seen::End(way) => self.end(way, out),
            Seen::Closed(Some(error)) if !(self.datagrams || self.up.ended && self.down.ended) => {
                self.reset(format!("flow {}: it was cut off: {error}", flow.number), out);
            }
            Seen::Closed(_) => {
                self.end(Way::Up, out);
                self.end(Way::Down, out);
            }
        }
    }

    fn open(&mut self, out: &mut Blocks) {
        for way in [Way::Up, Way::Down] {
            let syn = Segment { syn: true, ..self.head(way, way == Way::Down) };
            self.put(way, syn, &[], None, out);
        }
        self.acknowledge(Way::Down, out);
    }

    /// Datagrams have nowhere to say what they are; one that is larger than those of UDP is several.
    fn datagram(&mut self, way: Way, bytes: &[u8], out: &mut Blocks) {
        let count = bytes.len().div_ceil(DATAGRAM).max(1);
        for at in 0..count {
            let piece = &bytes[at * DATAGRAM..bytes.len().min((at + 1) * DATAGRAM)];
            let about = self.about.take();
            let ends = self.ends;
            out.packet(self.interface, about.as_deref(), |packet| ends.datagram(way, piece, packet));
        }
    }

    /// A message begins a segment of its own, which says what it is.
    fn message(&mut self, way: Way, bytes: &[u8], form: Form, out: &mut Blocks) {
        let kind = if form == Form::Text { "text" } else { "binary" };
        let messages = &mut self.of(way).messages;
        *messages += 1;
        let about = format!("message {messages} {way}, {kind}, {} bytes", bytes.len());
        if bytes.is_empty() {
            // Only what is said of it tells of an empty one.
            let head = self.head(way, true);
            return self.put(way, head, &[], Some(&about), out);
        }
        self.stream(way, bytes, Some(&about), out);
    }

    fn stream(&mut self, way: Way, bytes: &[u8], mut about: Option<&str>, out: &mut Blocks) {
        let mut pieces = bytes.chunks(SEGMENT).peekable();
        while let Some(piece) = pieces.next() {
            let head = Segment { push: pieces.peek().is_none(), ..self.head(way, true) };
            self.put(way, head, piece, about.take(), out);
        }
        let Direction { next, acknowledged, .. } = self.of(way);
        if next.wrapping_sub(*acknowledged) > UNACKNOWLEDGED {
            self.acknowledge(way, out);
        }
    }

    fn end(&mut self, way: Way, out: &mut Blocks) {
        if self.datagrams || self.of(way).ended {
            return;
        }
        let fin = Segment { fin: true, ..self.head(way, true) };
        self.put(way, fin, &[], None, out);
        self.of(way).ended = true;
        self.acknowledge(way, out);
    }

    /// Whose end was cut off nobody knows; it is told by one that has not ended.
    fn reset(&mut self, about: String, out: &mut Blocks) {
        let way = if self.down.ended { Way::Up } else { Way::Down };
        let reset = Segment { reset: true, ..self.head(way, true) };
        self.put(way, reset, &[], Some(&about), out);
    }

    /// The other end has all that went that way.
    fn acknowledge(&mut self, way: Way, out: &mut Blocks) {
        let back = opposite(way);
        let head = self.head(back, true);
        self.put(back, head, &[], None, out);
    }

    fn head(&mut self, way: Way, acknowledges: bool) -> Segment {
        let acknowledged = acknowledges.then_some(self.of(opposite(way)).next);
        Segment { sequence: self.of(way).next, acknowledged, ..Segment::default() }
    }

    fn put(&mut self, way: Way, head: Segment, bytes: &[u8], about: Option<&str>, out: &mut Blocks) {
        let first = self.about.take();
        let ends = self.ends;
        out.packet(self.interface, first.as_deref().or(about), |packet| ends.segment(way, head, bytes, packet));
        let taken = bytes.len() as u32 + u32::from(head.syn) + u32::from(head.fin);
        let sent = self.of(way);
        sent.next = sent.next.wrapping_add(taken);
        if let Some(acknowledged) = head.acknowledged {
            self.of(opposite(way)).acknowledged = acknowledged;
        }
    }

    fn of(&mut self, way: Way) -> &mut Direction {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }
}

impl Blocks {
    fn packet(&mut self, interface: u32, about: Option<&str>, write: impl FnOnce(&mut Vec<u8>)) {
        self.times.push(pcapng::packet(&mut self.bytes, interface, about, write));
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.times.clear();
    }
}

fn opposite(way: Way) -> Way {
    match way {
        Way::Up => Way::Down,
        Way::Down => Way::Up,
    }
}
