//! Who is who: the names of both ends, and how far a peer is trusted to be where it seems to be.

use super::packet::Packet;

/// How many times what a stranger sent it may be sent.
const TIMES: u64 = 3;

/// The names of the two ends.
pub(super) struct Names {
    pub(super) ours: u64,
    pub(super) theirs: Option<u64>,
    /// We spoke first.
    opened: bool,
    /// The peer has shown that it knows our name.
    known: bool,
    /// The peer, or somebody in its place, has begun anew.
    succeeded: bool,
    received: u64,
    sent: u64,
}

/// Where a packet belongs.
pub(super) enum Verdict {
    /// To this conversation.
    Ours,
    /// To none that we know of, though we have been heard of.
    Stray,
    /// It tells its sender's name; what else it says may be forged.
    Greeting,
    /// To another conversation, which begins in the place of this one.
    Successor,
    /// Elsewhere.
    Other,
}

impl Names {
    pub(super) fn new(ours: u64) -> Self {
        // Zero is nobody's name.
        Self { ours: ours.max(1), theirs: None, opened: false, known: false, succeeded: false, received: 0, sent: 0 }
    }

    /// Whether a packet of so many bytes is from our peer and for us. The first one tells its name, and is taken as it is
    /// by who has not spoken yet; who opened only trusts an answer that knows our own name.
    pub(super) fn judge(&mut self, packet: &Packet<'_>, bytes: usize) -> Verdict {
        let verdict = self.belongs(packet);
        if matches!(verdict, Verdict::Ours) {
            self.received += bytes as u64;
        }
        verdict
    }

    fn belongs(&mut self, packet: &Packet<'_>) -> Verdict {
        if packet.to == self.ours {
            let answers = self.opened && !self.known;
            if !answers && self.theirs != Some(packet.from) {
                return Verdict::Other;
            }
            (self.theirs, self.known) = (Some(packet.from), true);
            return Verdict::Ours;
        }
        if packet.to != 0 {
            return if self.is_anew() { Verdict::Stray } else { Verdict::Other };
        }
        let first = self.theirs.is_none();
        if self.theirs.get_or_insert(packet.from) != &packet.from {
            self.succeeded = !self.opened;
            return Verdict::Successor;
        }
        match self.is_met() {
            true => Verdict::Ours,
            false if first => Verdict::Greeting,
            false => Verdict::Other,
        }
    }

    /// Whether nobody has spoken yet.
    pub(super) fn is_anew(&self) -> bool {
        self.theirs.is_none() && !self.opened
    }

    /// Whether the peer has been heard, and what it says is taken.
    pub(super) fn is_met(&self) -> bool {
        self.theirs.is_some() && (self.known || !self.opened)
    }

    /// Whether the peer has shown that it hears us.
    pub(super) fn is_known(&self) -> bool {
        self.known
    }

    /// Whether the peer has spoken first.
    pub(super) fn was_met(&self) -> bool {
        self.theirs.is_some() && !self.opened
    }

    /// Whether somebody has begun another conversation in the peer's place.
    pub(super) fn is_succeeded(&self) -> bool {
        self.succeeded
    }

    /// A packet of so many bytes leaves.
    pub(super) fn speak(&mut self, bytes: u64) {
        self.opened |= self.theirs.is_none();
        self.sent += bytes;
    }

    /// How many bytes may leave now: a stranger's address may be forged, and who really is there would be flooded.
    pub(super) fn allowance(&self) -> usize {
        if self.known || self.opened || self.theirs.is_none() {
            return usize::MAX;
        }
        usize::try_from((TIMES * self.received).saturating_sub(self.sent)).unwrap_or(usize::MAX)
    }
}
