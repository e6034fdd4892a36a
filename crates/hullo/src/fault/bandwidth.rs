//! `hullo relay --fault bandwidth:1MB,per=relay :9000 tcp://db:5432`: so many bytes a second, and no more.
//!
//! The rate is that of each conversation, or one that all conversations of a client (`per=peer`) or of the relay share,
//! a little for each in turn. Each way has its own, as a line has. A stream leaves in pieces of 10 ms; what is held
//! here is what leaves in 20 ms, so that a sender soon feels the rate. `bandwidth:0` holds everything, until it is
//! taken away.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    Attribute, On, Spec,
    draw::Draw,
    line::Item,
    stage::{Hold, Kind, Place, Room, Stage},
    words::{Words, size, size_of},
};
use crate::{
    error::Result,
    message::Message,
    peer::{Peer, network},
};

/// This fault's line of the table.
pub(super) const SPEC: Spec = Spec {
    name: "bandwidth",
    about: "so many bytes a second; 0 holds everything",
    example: "bandwidth:1MB",
    unit: "SIZE",
    attributes: &[Attribute { name: "per", about: "who shares them: connection, peer or relay" }],
    on: On::Both,
    read,
};

/// What a receiver that has not read for a while may get at once.
const ARREARS: Duration = Duration::from_millis(50);

fn read(words: &mut Words<'_>) -> Result<Arc<dyn Kind>> {
    let per = |text| PERS.iter().find(|(_, name)| *name == text).map(|(per, _)| *per);
    Ok(Arc::new(Bandwidth {
        rate: words.needed(size)?,
        per: words.optional("per", "connection, peer or relay", per)?.unwrap_or(Per::Connection),
    }))
}

struct Bandwidth {
    rate: u64,
    per: Per,
}

/// Who shares the rate.
#[derive(Clone, Copy, PartialEq)]
enum Per {
    Connection,
    Peer,
    Relay,
}

const PERS: &[(Per, &str)] = &[(Per::Connection, "connection"), (Per::Peer, "peer"), (Per::Relay, "relay")];

impl Kind for Bandwidth {
    fn words(&self) -> String {
        let rate = size_of(self.rate);
        match PERS.iter().find(|(per, _)| *per == self.per && *per != Per::Connection) {
            Some((_, per)) => format!("{rate},per={per}"),
            None => rate,
        }
    }

    fn stage(&self, place: &Place<'_>) -> Box<dyn Stage> {
        let name = &place.fault.name;
        let line = match self.per {
            Per::Connection => Arc::default(),
            Per::Peer => place.faults.shared(format!("{name} {} {}", place.way, host(place.peer))),
            Per::Relay => place.faults.shared(format!("{name} {}", place.way)),
        };
        Box::new(Pace { rate: self.rate, whole: place.packets, line })
    }

    fn room(&self) -> Room {
        let bytes = usize::try_from(self.rate / 50).unwrap_or(usize::MAX).clamp(64 << 10, 4 << 20);
        Room { bytes, ..Room::default() }
    }
}

/// Who a client is, wherever its connection comes from.
fn host(peer: &Peer) -> String {
    match peer.remote().net() {
        Some(address) => network(address.ip()).to_string(),
        None => peer.to_string(),
    }
}

/// The line that bytes leave over: until when it is taken.
#[derive(Default)]
struct Line(Mutex<Option<Instant>>);

struct Pace {
    rate: u64,
    /// Whether a piece is a packet, which leaves whole.
    whole: bool,
    line: Arc<Line>,
}

impl Stage for Pace {
    fn take(&mut self, piece: Message, at: Instant, hold: &mut Hold) {
        hold.pass(Item::Piece(piece), at);
    }

    fn book(&mut self, bytes: usize, since: Instant, now: Instant, _: &mut Draw) -> Option<(usize, Instant)> {
        let most = usize::try_from(self.rate / 100).unwrap_or(usize::MAX).max(1);
        let bytes = if self.whole { bytes } else { bytes.min(most) };
        let since = now.checked_sub(ARREARS).map_or(since, |earliest| since.max(earliest));
        let nanoseconds = (bytes as u64).saturating_mul(1_000_000_000).checked_div(self.rate)?;
        let mut taken = self.line.0.lock().unwrap_or_else(PoisonError::into_inner);
        let leaves = taken.map_or(since, |taken| taken.max(since)) + Duration::from_nanos(nanoseconds);
        *taken = Some(leaves);
        Some((bytes, leaves))
    }
}
