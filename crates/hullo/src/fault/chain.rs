//! What one direction of a conversation goes through: one stage for each fault, behind each other.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Waker},
};

use tokio::time::Instant;

use super::{
    Fault, Faults,
    line::Item,
    stage::{Given, Room, Slot},
};
use crate::{message::Message, peer::Peer, traffic::Way};

/// One direction of one conversation, on its way through the faults. It does nothing of itself: pieces are put in, and
/// taken out when it is time. Its clock is an argument, which must not go back.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use hullo::{Endpoint, Message, Peer, fault::{Fault, Faults, Out}, traffic::Way};
/// use tokio::time::Instant;
///
/// let faults = Arc::new(Faults::new(1, None));
/// faults.set(vec![Fault::parse("latency:200ms")?]);
/// let peer = Peer::new("tcp", Endpoint::Unnamed, Endpoint::Unnamed);
/// let mut chain = faults.chain(1, &peer, Way::Up, false);
/// let (now, later) = (Instant::now(), Duration::from_millis(200));
/// chain.take(Message::text("hullo"), now);
/// assert_eq!(chain.give(now), Out::Until(now + later));
/// assert_eq!(chain.give(now + later), Out::Piece(Message::text("hullo")));
/// # Ok::<(), hullo::Error>(())
/// ```
pub struct Chain {
    faults: Arc<Faults>,
    id: u64,
    flow: u64,
    peer: Peer,
    way: Way,
    packets: bool,
    /// The change that it was made by.
    version: u64,
    waker: Option<Waker>,
    slots: Vec<Slot>,
    /// What has gone through all of it.
    ready: VecDeque<Item>,
    ready_bytes: usize,
    over: bool,
}

/// What comes out of a [`Chain`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Out {
    /// This is to be handed over.
    Piece(Message),
    /// The source has ended, and all that it said was given.
    End,
    /// Both ends are to be reset (on TCP by an RST), at once.
    Reset,
    /// Both ends are to be closed, without a reset.
    Cut,
    /// Nothing before that moment, unless something is taken or changes.
    Until(Instant),
    /// Nothing, unless something is taken or changes.
    Nothing,
}

impl Chain {
    pub(super) fn new(faults: Arc<Faults>, id: u64, (flow, peer, way, packets): (u64, Peer, Way, bool)) -> Self {
        let mut chain = Self {
            faults,
            id,
            flow,
            peer,
            way,
            packets,
            version: 0,
            waker: None,
            slots: Vec::new(),
            ready: VecDeque::new(),
            ready_bytes: 0,
            over: false,
        };
        chain.renew(Instant::now());
        chain
    }

    /// Whether something may be put in: what is held is bounded, by 1 MiB or 1,024 pieces for each fault, and for a
    /// `latency` by 32 MiB or 16,384.
    pub fn has_room(&self) -> bool {
        let room = Room::default();
        let ready = self.ready_bytes < room.bytes && self.ready.len() < room.pieces;
        ready && !self.over && self.slots.first().is_none_or(Slot::has_room)
    }

    /// Whether nothing is held.
    pub fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.slots.iter().all(Slot::is_empty)
    }

    /// Whether it does nothing to what goes through, and holds nothing, so that bytes may be moved without it, until
    /// [`poll_changed`](Self::poll_changed) says that something has changed.
    pub fn is_clear(&self) -> bool {
        self.slots.is_empty() && self.ready.is_empty() && !self.over
    }

    /// Puts in a piece of a stream, or a packet.
    pub fn take(&mut self, piece: Message, now: Instant) {
        if self.packets || !piece.bytes.is_empty() {
            self.put(Item::Piece(piece), now);
        }
    }

    /// The source has ended.
    pub fn end(&mut self, now: Instant) {
        self.put(Item::End, now);
    }

    fn put(&mut self, item: Item, now: Instant) {
        match self.slots.first_mut() {
            _ if self.over => {}
            Some(slot) => slot.take(item, now),
            None => self.let_go(item),
        }
    }

    /// Takes out what is due. After a reset and a cut there is nothing more, after an end only these.
    pub fn give(&mut self, now: Instant) -> Out {
        if self.over {
            return Out::Nothing;
        }
        match self.breaks(now) {
            end @ (Out::Reset | Out::Cut) => end,
            _ => match self.ready.pop_front() {
                Some(item) => {
                    self.ready_bytes -= item.len();
                    self.out(item)
                }
                None => self.pull(now),
            },
        }
    }

    /// What the clock alone brings, whatever is held: a reset, a cut, when there will be one, or nothing. Whoever
    /// cannot hand over what was given asks this instead of [`give`](Self::give), which has it too. A reset and a cut
    /// that only `give` has come behind what was given before: that is to be handed over first.
    pub fn breaks(&mut self, now: Instant) -> Out {
        let due = self.slots.iter().enumerate().filter_map(|(at, slot)| slot.ends().map(|ends| (ends, at)));
        match due.min() {
            Some(_) if self.over => Out::Nothing,
            None => Out::Nothing,
            Some((ends, _)) if ends > now => Out::Until(ends),
            Some((_, at)) => self.slots[at].finish().map_or(Out::Nothing, |end| self.out(end.item())),
        }
    }

    /// The first thing that comes out of the last slot. What is due goes on from slot to slot as far as there is room.
    fn pull(&mut self, now: Instant) -> Out {
        let mut until = self.slots.iter().filter_map(Slot::ends).min();
        let mut from = self.slots.len();
        while from > 0 {
            let (before, behind) = self.slots.split_at_mut(from);
            let Some(slot) = before.last_mut() else { break };
            if behind.first().is_some_and(|next| !next.has_room()) {
                from -= 1;
                continue;
            }
            match (slot.give(now), behind.first_mut()) {
                (Given::Item(item, at), Some(next)) => {
                    next.take(item, at);
                    from += 1;
                }
                (Given::Item(item, _), None) => return self.out(item),
                (Given::Until(at), _) => {
                    until = Some(until.map_or(at, |until| until.min(at)));
                    from -= 1;
                }
                (Given::Nothing, _) => from -= 1,
            }
        }
        until.map_or(Out::Nothing, Out::Until)
    }

    fn out(&mut self, item: Item) -> Out {
        let out = match item {
            Item::Piece(piece) => return Out::Piece(piece),
            Item::End => Out::End,
            Item::Reset => Out::Reset,
            Item::Cut => Out::Cut,
        };
        // An end is followed by no more bytes, and a reset of the whole conversation may still come.
        self.over = out != Out::End;
        out
    }

    fn let_go(&mut self, item: Item) {
        self.ready_bytes += item.len();
        self.ready.push_back(item);
    }

    /// Whether the faults have changed: then the chain has been made anew, what it held goes on in order, and
    /// [`give`](Self::give) is to be asked again. Otherwise the task is woken by the next change.
    pub fn poll_changed(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        if self.faults.version() == self.version {
            if self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                return false;
            }
            if self.faults.wait(self.id, self.version, cx) {
                self.waker = Some(cx.waker().clone());
                return false;
            }
        }
        self.waker = None;
        self.renew(now);
        true
    }

    fn renew(&mut self, now: Instant) {
        let (version, list) = self.faults.current();
        self.version = version;
        let ours =
            |fault: &Arc<Fault>| fault.acts(self.way, self.packets) && fault.chooses(self.faults.seed(), self.flow);
        let wanted: Vec<_> = list.into_iter().filter(ours).collect();
        let places = self.places(&wanted);
        let mut stay = self.settle(&wanted, &places, now).into_iter();
        let of = (self.flow, &self.peer, self.way, self.packets);
        let slots = wanted.into_iter().zip(places).map(|(fault, place)| {
            place.and_then(|_| stay.next()).unwrap_or_else(|| Slot::new(&self.faults, fault, of, now))
        });
        self.slots = slots.collect();
    }

    /// Where each of the faults has stood before, by its name and kind. They are found in their order alone: if two
    /// have changed places, one of them begins anew, so that nothing overtakes anything.
    fn places(&self, wanted: &[Arc<Fault>]) -> Vec<Option<usize>> {
        let mut from = 0;
        let place = |fault: &Arc<Fault>| {
            let same = |slot: &Slot| slot.fault.name == fault.name && slot.fault.kind() == fault.kind();
            let at = from + self.slots[from..].iter().position(same)?;
            from = at + 1;
            Some(at)
        };
        wanted.iter().map(place).collect()
    }

    /// Takes the slots that stay, altered where their faults are. What the others hold, and what those held that are
    /// altered, goes on to the next that stays: the last come first, so that the order is kept.
    fn settle(&mut self, wanted: &[Arc<Fault>], places: &[Option<usize>], now: Instant) -> VecDeque<Slot> {
        let mut stay: VecDeque<Slot> = VecDeque::new();
        while let Some(mut slot) = self.slots.pop() {
            let place = places.iter().position(|place| *place == Some(self.slots.len()));
            let (held, slot) = match place.map(|at| &wanted[at]) {
                Some(fault) if **fault == *slot.fault => (Vec::new(), Some(slot)),
                Some(fault) => (slot.alter(fault.clone(), &self.peer, now), Some(slot)),
                None => (slot.leave(), None),
            };
            for item in held {
                match stay.front_mut() {
                    Some(next) => next.take(item, now),
                    None => self.let_go(item),
                }
            }
            if let Some(slot) = slot {
                stay.push_front(slot);
            }
        }
        stay
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        if self.waker.is_some() {
            self.faults.forget(self.id);
        }
    }
}
