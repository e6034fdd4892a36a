//! A reliable, ordered stream of bytes, both ways, over packets that may get lost, come twice or overtake each other.
//!
//! Pure: packets and the time go in, packets and the time to look again come out. [`Connection`] is one end. Both ends are
//! alike; whoever sends first opens.
//!
//! - Each packet has a number, and the answers tell which numbers have come. What was in a packet that is lost leaves
//!   again in a new one. (As in QUIC, RFC 9002.)
//! - Each end chooses a random name, and takes only packets that are for it and from the other one: those of a peer that
//!   has started anew, or of somebody else, are nothing to it. Until a peer has shown that it knows our name it is sent at
//!   most 3 times what it sent, since its address may be forged.
//! - An end is confirmed as bytes are. Who has everything, and knows that the peer has too, says so, and stays for a
//!   while to say it again.

use std::time::Duration;

mod come;
mod flight;
mod inbox;
mod names;
mod outbox;
mod pace;
pub mod packet;
mod ranges;
mod store;

use come::{Come, WAIT};
use flight::Flight;
use inbox::{Inbox, Refused};
use names::{Names, Verdict};
use outbox::Outbox;
use pace::Pace;
use packet::{Data, Packet};

/// How large the first packet is at least: whoever opens pays for the answer.
const HELLO: usize = 1200;

/// Smaller packets than this are not worth cutting the data for.
const LEAST: usize = 128;

/// As much as a train of packets has, which the kernel takes at once.
const TRAIN: usize = 65_000;
const CARRIAGES: usize = 64;

/// As much as a peer takes that has not said yet how much it takes.
const UNTOLD: u64 = 64 << 10;

/// How often a silent peer is asked whether it is there, and when it counts as gone.
const KEEP: Duration = Duration::from_secs(10);
const GONE: Duration = Duration::from_secs(30);

/// The longest wait before the peer is asked again.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long an end that has all stays, from when it last heard a peer that does not know it: for some more questions.
const LINGER: Duration = Duration::from_secs(6);

/// How many times the peer is told of a cut that it does not confirm.
const TRIES: u32 = 4;

/// Why a conversation came to no good end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nobody answers.
    Unanswered,
    /// The peer has not been heard for too long.
    Silent,
    /// The peer has cut it off.
    Cut,
    /// What came first belongs to a conversation that we do not know.
    Stray,
    /// The peer contradicts itself.
    Breach,
    /// We have cut it off.
    Ours,
}

/// Where a conversation is.
#[derive(Clone, Copy, PartialEq)]
enum Life {
    Open,
    /// Both ends have all; the peer may not know.
    Leaving {
        until: Duration,
    },
    /// The peer is told of the cut.
    Cutting {
        again: Duration,
        tries: u32,
    },
    Over,
}

/// One end of a conversation.
pub struct Connection {
    names: Names,
    size: usize,
    began: Duration,
    heard: Duration,
    within: Duration,
    come: Come,
    inbox: Inbox,
    outbox: Outbox,
    flight: Flight,
    pace: Pace,
    /// Packets that leave whatever else is under way, since no answer came; and how often that was in vain.
    probes: u32,
    in_vain: u32,
    ping: bool,
    /// How many packets more say so.
    say_done: u32,
    say_abort: bool,
    /// Nobody reads or writes any more.
    closed: bool,
    /// How long the peer then has for its own end.
    parting: Option<Duration>,
    life: Life,
    failure: Option<Failure>,
}

impl Connection {
    /// An end that calls itself `name` (a random number) and sends packets of up to `size` bytes. A peer that is not heard
    /// `within` that time of its beginning does not answer.
    pub fn new(name: u64, size: usize, within: Duration, now: Duration) -> Self {
        let mut outbox = Outbox::default();
        outbox.open(UNTOLD);
        Self {
            names: Names::new(name),
            size: size.max(LEAST),
            began: now,
            heard: now,
            within,
            come: Come::default(),
            inbox: Inbox::default(),
            outbox,
            flight: Flight::new(),
            pace: Pace::new(size, now),
            probes: 0,
            in_vain: 0,
            ping: false,
            say_done: 0,
            say_abort: false,
            closed: false,
            parting: None,
            life: Life::Open,
            failure: None,
        }
    }

    /// Takes as many bytes to send as there is room for.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        if self.failure.is_some() { 0 } else { self.outbox.write(bytes) }
    }

    /// Whether bytes can be written now.
    pub fn is_writable(&self) -> bool {
        self.outbox.room() > 0
    }

    /// Nothing more will be written.
    pub fn finish(&mut self) {
        self.outbox.finish();
    }

    /// Whether [`finish`](Self::finish) was called.
    pub fn is_finished(&self) -> bool {
        self.outbox.is_finished()
    }

    /// Whether the peer has all that was written, and the end too once that was told.
    pub fn is_confirmed(&self) -> bool {
        self.outbox.is_confirmed()
    }

    /// Hands out what has come, in order, piece by piece: `take` says how much it took. Gives how much that was together.
    pub fn read(&mut self, take: impl FnMut(&[u8]) -> usize) -> usize {
        self.inbox.read(take)
    }

    /// Whether there is something to read.
    pub fn is_readable(&self) -> bool {
        self.inbox.readable()
    }

    /// Whether so much was read that the peer should be told of the room, by [`transmit`](Self::transmit).
    pub fn has_news(&self) -> bool {
        self.inbox.has_news()
    }

    /// Whether the peer's stream has been read to its end.
    pub fn is_ended(&self) -> bool {
        self.inbox.is_read()
    }

    /// Why nothing more comes or goes.
    pub fn failure(&self) -> Option<Failure> {
        self.failure
    }

    /// Whether there is nothing more to do: no packet is answered any more.
    pub fn is_over(&self) -> bool {
        self.life == Life::Over && self.say_done == 0 && !self.say_abort
    }

    /// Whether packets may still come though all is [over](Self::is_over): those of who opened, which would seem to begin
    /// another conversation. They stop when that one has begun anew.
    pub fn is_followed(&self) -> bool {
        self.names.was_met() && !self.names.is_succeeded()
    }

    /// Nobody reads or writes any more. What was written is still delivered if [`finish`](Self::finish) was called; or
    /// else the peer is told that it was cut off.
    pub fn close(&mut self, now: Duration) {
        self.closed = true;
        if self.life == Life::Open && !self.outbox.is_finished() {
            return self.cut(Failure::Ours, now);
        }
        self.part(now);
    }

    /// Where nobody reads any more and the peer has all of ours, it is cut off once it says something, or does not end.
    fn part(&mut self, now: Duration) {
        if !self.closed || self.life != Life::Open || !self.outbox.is_confirmed() {
            return;
        }
        let until = *self.parting.get_or_insert(now + LINGER);
        if self.inbox.readable() || now >= until {
            self.cut(Failure::Ours, now);
        }
    }

    fn cut(&mut self, why: Failure, now: Duration) {
        self.failure = self.failure.or(Some(why));
        if self.names.is_anew() {
            self.life = Life::Over;
            return;
        }
        self.say_abort = true;
        let tells = matches!(why, Failure::Ours | Failure::Breach);
        self.life = if tells { Life::Cutting { again: now + self.patience(), tries: 1 } } else { Life::Over };
    }

    /// Takes a packet. What is none of this conversation changes nothing.
    pub fn receive(&mut self, bytes: &[u8], now: Duration) {
        let Some(packet) = Packet::read(bytes) else { return };
        match self.names.judge(&packet, bytes.len()) {
            _ if self.life == Life::Over => return,
            Verdict::Ours => self.heard = now,
            Verdict::Stray => return self.refuse(&packet),
            Verdict::Greeting => return self.ping = true,
            Verdict::Successor if matches!(self.life, Life::Leaving { .. }) => return self.life = Life::Over,
            Verdict::Successor | Verdict::Other => return,
        }
        match self.life {
            Life::Open | Life::Leaving { .. } => self.hear(&packet, now),
            // Both know.
            Life::Cutting { .. } if packet.abort => self.life = Life::Over,
            _ => self.say_abort = true,
        }
    }

    /// A packet of a conversation that we know nothing of (we may have been started anew): whoever sent it is told, by the
    /// names that only the two have.
    fn refuse(&mut self, packet: &Packet<'_>) {
        self.failure = Some(Failure::Stray);
        self.life = Life::Over;
        if !packet.abort && !packet.done {
            (self.names.ours, self.names.theirs, self.say_abort) = (packet.to, Some(packet.from), true);
        }
    }

    fn hear(&mut self, packet: &Packet<'_>, now: Duration) {
        if packet.abort {
            return self.cut(Failure::Cut, now);
        }
        self.outbox.open(packet.window);
        if let Some(have) = &packet.have {
            match self.flight.answer(have, &mut self.outbox, &mut self.pace, now) {
                None => return self.cut(Failure::Breach, now),
                Some(news) => self.in_vain = if news { 0 } else { self.in_vain },
            }
        }
        let mut in_order = true;
        // A stranger's address may be forged, and there are many of them.
        let room = (!self.names.is_known()).then_some(UNTOLD);
        if let Some(data) = &packet.data {
            match self.inbox.take(data.at, data.bytes, data.end, room) {
                Ok(ordered) => in_order = ordered,
                // It counts as lost, and will come again.
                Err(Refused::NoRoom) => return,
                Err(Refused::Breach) => return self.cut(Failure::Breach, now),
            }
        }
        self.come.note(packet, in_order, now);
        self.settle(packet, now);
        self.part(now);
    }

    /// Notices that both have all.
    fn settle(&mut self, packet: &Packet<'_>, now: Duration) {
        if packet.done && self.inbox.is_whole() && self.outbox.is_finished() {
            self.outbox.confirm_all();
        }
        if !self.outbox.is_finished() || !self.outbox.is_confirmed() || !self.inbox.is_whole() {
            return;
        }
        if packet.done {
            // The other one knows: unless it has heard so already, it is told a last time, and in case that gets lost twice.
            self.say_done = if self.life == Life::Open { 2 } else { 0 };
            self.life = Life::Over;
        } else {
            self.say_done = 1;
            self.life = Life::Leaving { until: now + LINGER.max(6 * self.patience()) };
        }
    }

    /// Appends packets to `out`, which is empty, as many as may leave together, and gives their size: each has it but the
    /// last, which may be smaller. 0 where there is none now.
    pub fn transmit(&mut self, out: &mut Vec<u8>, now: Duration) -> usize {
        let mut stride = 0;
        for _ in 0..CARRIAGES {
            let before = out.len();
            if !self.transmit_one(out, now) {
                break;
            }
            let size = out.len() - before;
            stride = stride.max(size);
            if size < stride || size != self.size || out.len() + stride > TRAIN {
                break;
            }
        }
        stride
    }

    fn transmit_one(&mut self, out: &mut Vec<u8>, now: Duration) -> bool {
        if std::mem::take(&mut self.say_abort) {
            self.say_done = 0;
            return self.put(Packet { abort: true, ..self.head() }, 0..0, out, now);
        }
        if matches!(self.life, Life::Cutting { .. }) || self.life == Life::Over && self.say_done == 0 {
            return false;
        }
        let size = self.size.min(self.names.allowance());
        if size < LEAST {
            return false;
        }
        let mut packet = self.head();
        if self.come.is_asked() || self.say_done > 0 {
            packet.have = self.come.have(now);
        }
        let room = packet.room(size);
        let part = match self.probes {
            0 if !self.pace.allows(now) => None,
            0 => self.outbox.next(room),
            _ => self.outbox.oldest(room).or_else(|| self.outbox.next(room)),
        };
        packet.done = self.say_done > 0;
        packet.ping = self.ping || self.names.is_anew() || self.inbox.has_news() || self.probes > 0 && part.is_none();
        let answers = self.come.due().is_some_and(|due| due <= now);
        if part.is_none() && !packet.ping && !packet.done && !answers {
            if self.outbox.next(room).is_none() {
                self.pace.idle();
            }
            return false;
        }
        self.probes = self.probes.saturating_sub(u32::from(part.is_some() || packet.ping));
        self.put(packet, part.unwrap_or(0..0), out, now)
    }

    fn head(&self) -> Packet<'static> {
        Packet {
            to: self.names.theirs.unwrap_or(0),
            from: self.names.ours,
            number: self.flight.next(),
            unsettled: self.flight.unsettled(),
            window: self.inbox.window(),
            ..Packet::default()
        }
    }

    fn put(&mut self, mut packet: Packet<'_>, part: std::ops::Range<u64>, out: &mut Vec<u8>, now: Duration) -> bool {
        let start = out.len();
        let (bytes, end) = self.outbox.measure(&part);
        let data = (!part.is_empty()).then_some(Data { at: part.start, bytes: &[], end });
        packet.data = data.clone();
        packet.write_head(out);
        if let Some(data) = data {
            data.write_head(bytes, out);
            self.outbox.pieces(&part).for_each(|piece| out.extend_from_slice(piece));
        }
        if packet.to == 0 {
            out.resize(out.len().max(start + HELLO.min(self.size)), 0);
        }
        let size = (out.len() - start) as u64;
        self.names.speak(size);
        let asks = packet.ping || !part.is_empty();
        self.outbox.leave(&part);
        self.flight.leave(part, size, asks, &mut self.pace, now);
        self.inbox.tell();
        if packet.have.is_some() {
            self.come.tell();
        }
        self.ping &= !packet.ping;
        self.say_done -= u32::from(packet.done);
        true
    }

    /// When to call [`expire`](Self::expire), where no packet comes before.
    pub fn timeout(&self) -> Option<Duration> {
        match self.life {
            Life::Over => None,
            Life::Leaving { until } => Some(self.come.due().map_or(until, |due| due.min(until))),
            Life::Cutting { again, .. } => Some(again),
            Life::Open => {
                let paced = self.outbox.next(1).and_then(|_| self.pace.next());
                let lost = self.flight.overtaken_at().or_else(|| self.probe_at());
                let last = [self.gone_at(), self.parting].into_iter().flatten().min();
                if self.names.allowance() < LEAST {
                    // All that could be done is to send something.
                    return last;
                }
                [self.come.due(), paced, lost, Some(self.keep_at()), last].into_iter().flatten().min()
            }
        }
    }

    /// The time has come that [`timeout`](Self::timeout) told.
    pub fn expire(&mut self, now: Duration) {
        match self.life {
            Life::Over => {}
            Life::Leaving { until } if now >= until => self.life = Life::Over,
            Life::Leaving { .. } => {}
            Life::Cutting { again, tries } if now >= again => {
                self.say_abort = tries < TRIES;
                let next = Life::Cutting { again: now + self.patience() * (1 << tries.min(4)), tries: tries + 1 };
                self.life = if self.say_abort { next } else { Life::Over };
            }
            Life::Cutting { .. } => {}
            Life::Open => self.wait(now),
        }
    }

    fn wait(&mut self, now: Duration) {
        if self.gone_at().is_some_and(|gone| now >= gone) {
            return self.cut(if self.names.is_met() { Failure::Silent } else { Failure::Unanswered }, now);
        }
        if self.parting.is_some() {
            self.part(now);
        }
        if self.flight.overtaken_at().is_some_and(|at| now >= at) {
            self.flight.give_up(&mut self.outbox, &mut self.pace, now);
        } else if self.probe_at().is_some_and(|at| now >= at) {
            self.probes = 2;
            self.in_vain += 1;
        }
        if now >= self.keep_at() {
            self.ping = true;
        }
    }

    /// When no answer has come for too long, so that we ask again (RFC 9002, section 6.2).
    fn probe_at(&self) -> Option<Duration> {
        let wait = self.patience() * (1 << self.in_vain.min(8));
        self.flight.asking().map(|last| last + wait.min(PATIENCE.max(self.patience())))
    }

    fn patience(&self) -> Duration {
        self.pace.patience(WAIT)
    }

    fn keep_at(&self) -> Duration {
        self.heard.max(self.flight.asking().unwrap_or_default()) + KEEP
    }

    fn gone_at(&self) -> Option<Duration> {
        match self.names.is_met() {
            true => Some(self.heard + GONE),
            false => (!self.names.is_anew()).then_some(self.began + self.within),
        }
    }
}
