//! What a kind of fault is, and what it does to one direction of one conversation.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Fault,
    draw::Draw,
    line::{Item, Line},
    list::{Faults, Hit},
    words::{After, time_of},
};
use crate::{message::Message, peer::Peer, traffic::Way};

/// A kind of fault with its parameters. One method makes what acts; the rest has a default.
pub(super) trait Kind: Send + Sync {
    /// The value and the attributes of its own, as they are read.
    fn words(&self) -> String;

    /// What acts on one direction of a conversation.
    fn stage(&self, place: &Place<'_>) -> Box<dyn Stage>;

    /// How much it may hold.
    fn room(&self) -> Room {
        Room::default()
    }

    /// How it ends the conversation of itself, and how long after it has begun.
    fn end(&self) -> Option<(Duration, End)> {
        None
    }
}

/// How a fault ends a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Reset,
    Cut,
}

impl End {
    pub(super) fn item(self) -> Item {
        match self {
            Self::Reset => Item::Reset,
            Self::Cut => Item::Cut,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Cut => "cut",
        }
    }
}

/// How much a stage may hold before nothing more is taken. It may be one piece more.
#[derive(Clone, Copy)]
pub(super) struct Room {
    pub(super) bytes: usize,
    pub(super) pieces: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { bytes: 1 << 20, pieces: 1024 }
    }
}

/// Where a stage stands.
pub(super) struct Place<'a> {
    pub(super) faults: &'a Faults,
    pub(super) fault: &'a Fault,
    pub(super) peer: &'a Peer,
    pub(super) way: Way,
    pub(super) packets: bool,
    /// How many bytes the stage before it has taken, if the fault was altered.
    pub(super) taken: u64,
}

/// A fault at work in one direction of one conversation.
pub(super) trait Stage: Send {
    /// Takes what the stage before has let go at that time, and lets go of what becomes of it: [`Hold::pass`].
    fn take(&mut self, piece: Message, at: Instant, hold: &mut Hold);

    /// The same for the end of the source.
    fn end(&mut self, at: Instant, hold: &mut Hold) {
        hold.pass(Item::End, at);
    }

    /// How many of the next `bytes` leave together, and when: not before `since`. Nothing means never.
    fn book(&mut self, bytes: usize, since: Instant, now: Instant, draw: &mut Draw) -> Option<(usize, Instant)> {
        let _ = (now, draw);
        Some((bytes, since))
    }

    /// What must come behind all that it has let go, since it is taken away.
    fn leave(&mut self) -> Option<End> {
        None
    }
}

/// What only lets everything pass.
pub(super) struct Pass;

impl Stage for Pass {
    fn take(&mut self, piece: Message, at: Instant, hold: &mut Hold) {
        hold.pass(Item::Piece(piece), at);
    }
}

/// What every stage has.
pub(super) struct Hold {
    line: Line,
    pub(super) draw: Draw,
    pub(super) packets: bool,
    /// How many bytes have come before what is being taken, and how many pieces.
    pub(super) came: u64,
    pub(super) pieces: u64,
    /// How many bytes came after the fault had begun.
    taken: u64,
    faults: Arc<Faults>,
    fault: Arc<Fault>,
    flow: u64,
    way: Way,
    /// Nothing comes behind a reset and a cut.
    over: bool,
}

impl Hold {
    /// Lets something go at that time.
    pub(super) fn pass(&mut self, item: Item, due: Instant) {
        if !self.over {
            self.over = matches!(item, Item::Reset | Item::Cut);
            self.line.push(item, due);
        }
    }

    fn count(&mut self, bytes: u64) {
        self.came += bytes;
        self.pieces += 1;
    }

    /// Tells what happens here.
    pub(super) fn tell(&self, what: impl FnOnce() -> String) {
        self.faults.tell(|| Hit { flow: self.flow, fault: self.fault.name.clone(), way: Some(self.way), what: what() });
    }
}

/// A fault in a chain.
pub(super) struct Slot {
    pub(super) fault: Arc<Fault>,
    stage: Box<dyn Stage>,
    hold: Hold,
    since: Instant,
    /// Whether what it is to wait for has been.
    begun: bool,
    /// When it ends the conversation, how, and how that is told.
    ends: Option<(Instant, End, Duration)>,
    booked: Option<(usize, Instant)>,
}

/// What a slot has.
pub(super) enum Given {
    /// This, which left at that time.
    Item(Item, Instant),
    Until(Instant),
    Nothing,
}

impl Slot {
    pub(super) fn new(faults: &Arc<Faults>, fault: Arc<Fault>, of: (u64, &Peer, Way, bool), now: Instant) -> Self {
        let (flow, peer, way, packets) = of;
        let hold = Hold {
            line: Line::new(fault.kind.room(), packets),
            draw: Draw::new(faults.seed(), flow, &fault.name, Some(way)),
            packets,
            came: 0,
            pieces: 0,
            taken: 0,
            faults: faults.clone(),
            fault: fault.clone(),
            flow,
            way,
            over: false,
        };
        let stage = fault.kind.stage(&Place { faults, fault: &fault, peer, way, packets, taken: 0 });
        let mut slot = Self { fault, stage, hold, since: now, begun: false, ends: None, booked: None };
        slot.wait(now);
        slot
    }

    /// The same fault with other parameters: what it holds goes on, and it knows how far it was.
    pub(super) fn alter(&mut self, fault: Arc<Fault>, peer: &Peer, now: Instant) -> Vec<Item> {
        let held = self.hold.line.drain().collect();
        let Hold { faults, way, packets, taken, .. } = &self.hold;
        let place = Place { faults, fault: &fault, peer, way: *way, packets: *packets, taken: *taken };
        self.stage = fault.kind.stage(&place);
        self.hold.line.set_room(fault.kind.room());
        self.hold.fault = fault.clone();
        (self.fault, self.since, self.begun, self.ends, self.booked) = (fault, now, false, None, None);
        self.wait(now);
        held
    }

    /// Takes it away: what it held.
    pub(super) fn leave(mut self) -> Vec<Item> {
        let last = self.stage.leave().map(End::item).filter(|_| !self.hold.over);
        self.hold.line.drain().chain(last).collect()
    }

    /// Begins, unless something is to come before.
    fn wait(&mut self, now: Instant) {
        if !self.is_begun(now)
            && let Some(After::Time(time)) = self.fault.after
        {
            // The end is known already, and comes even if nothing else does.
            self.ends = self.fault.kind.end().map(|(wait, end)| (now + time + wait, end, time + wait));
        }
    }

    fn begin(&mut self, at: Instant) {
        self.begun = true;
        self.hold.tell(|| format!("takes hold: {}", self.fault));
        match (self.fault.after, self.fault.kind.end()) {
            (_, None) => {}
            (Some(After::Bytes(bytes)), Some((Duration::ZERO, end))) => {
                self.hold.tell(|| format!("{} behind byte {bytes}", end.word()));
                self.hold.pass(end.item(), at);
            }
            (_, Some((wait, end))) => self.ends = self.ends.or(Some((at + wait, end, wait))),
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.hold.line.has_room() && !self.hold.over
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hold.line.is_empty()
    }

    /// When it ends the conversation, and how.
    pub(super) fn ends(&self) -> Option<Instant> {
        self.ends.map(|(at, ..)| at)
    }

    /// Its end has come.
    pub(super) fn finish(&mut self) -> Option<End> {
        let (at, end, time) = self.ends.take()?;
        self.hold.over = true;
        if !self.begun {
            self.begin(at);
        }
        self.hold.tell(|| match time {
            Duration::ZERO => format!("{} at once", end.word()),
            time => format!("{} after {}", end.word(), time_of(time)),
        });
        Some(end)
    }

    /// Takes what the slot before has let go at that time.
    pub(super) fn take(&mut self, item: Item, at: Instant) {
        match item {
            Item::Piece(piece) => {
                if let Some(piece) = self.late(piece, at) {
                    let bytes = piece.bytes.len() as u64;
                    self.stage.take(piece, at, &mut self.hold);
                    self.hold.taken += bytes;
                    self.hold.count(bytes);
                }
            }
            Item::End if self.is_begun(at) => self.stage.end(at, &mut self.hold),
            item => self.hold.pass(item, at),
        }
    }

    /// What of a piece does not come before the fault begins: that passes as it is.
    fn late(&mut self, mut piece: Message, at: Instant) -> Option<Message> {
        if self.is_begun(at) {
            return Some(piece);
        }
        let early = match self.fault.after {
            Some(After::Bytes(bytes)) if !self.hold.packets => bytes.saturating_sub(self.hold.came),
            _ => u64::MAX,
        };
        let early = usize::try_from(early).unwrap_or(usize::MAX).min(piece.bytes.len());
        let early = Message { bytes: piece.bytes.split_to(early), text: piece.text };
        self.hold.count(early.bytes.len() as u64);
        self.hold.pass(Item::Piece(early), at);
        let late = self.is_begun(at) && !piece.bytes.is_empty();
        late.then_some(piece)
    }

    /// Whether the fault has begun by now.
    fn is_begun(&mut self, at: Instant) -> bool {
        let due = match self.fault.after {
            None => true,
            Some(After::Bytes(bytes)) => self.hold.came >= bytes,
            Some(After::Time(time)) => at >= self.since + time,
        };
        if due && !self.begun {
            self.begin(at);
        }
        self.begun
    }

    /// What is due.
    pub(super) fn give(&mut self, now: Instant) -> Given {
        let Some((due, piece)) = self.hold.line.next() else { return Given::Nothing };
        if due > now {
            return Given::Until(due);
        }
        let (bytes, when) = match (self.booked, piece) {
            (Some(booked), _) => booked,
            (None, None) => (0, due),
            (None, Some(bytes)) => match self.stage.book(bytes, due, now, &mut self.hold.draw) {
                Some(booked) => booked,
                None => return Given::Nothing,
            },
        };
        if when > now {
            self.booked = Some((bytes, when));
            return Given::Until(when);
        }
        self.booked = None;
        self.hold.line.take(bytes).map_or(Given::Nothing, |item| Given::Item(item, when))
    }
}
