//! How fast conversations are, told while they go on: by one task of the scope, however many there are.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{Inner, Scope};
use crate::{
    peer::Peer,
    watch::{Event, Rate},
};

/// How often it is told.
const EVERY: Duration = Duration::from_secs(1);

/// Of how many conversations it is told at most; the fastest of them. Nobody reads more lines in a second.
const MOST: usize = 1000;

impl Scope {
    /// The same scope, for conversations of which whoever watches is told how fast they are while they go on.
    pub(crate) fn measured(&self) -> Self {
        Self(Arc::new(Inner { is_measured: true, ..Inner::clone(&self.0) }))
    }

    /// Whether somebody is told how fast the conversations of this scope are.
    pub(crate) fn tells_rates(&self) -> bool {
        self.0.is_measured && self.0.life.watch.as_ref().is_some_and(|watch| watch.wants_rates())
    }

    /// The counts of a conversation, where its rate is to be told.
    pub(crate) fn live(&self, peer: &Peer) -> Option<Live> {
        self.tells_rates().then(|| self.kept::<Rates>().open(peer, self))
    }
}

/// The conversations of a scope whose rates are told.
#[derive(Default)]
struct Rates(Mutex<Open>);

#[derive(Default)]
struct Open {
    conversations: BTreeMap<u64, Conversation>,
    opened: u64,
    /// Whether there is a task that tells. There is none where nobody talks.
    is_told: bool,
}

struct Conversation {
    peer: Peer,
    counts: Arc<Counts>,
    /// What had moved when it was last looked at, and when that was.
    seen: (u64, u64),
    at: Instant,
}

#[derive(Default)]
struct Counts {
    received: AtomicU64,
    sent: AtomicU64,
}

/// A conversation whose rate is told, for as long as this lives.
pub(crate) struct Live {
    number: u64,
    counts: Arc<Counts>,
    rates: Arc<Rates>,
}

impl Live {
    /// How many bytes have moved by now. It costs as much as writing them down.
    pub(crate) fn set(&self, received: u64, sent: u64) {
        self.counts.received.store(received, Relaxed);
        self.counts.sent.store(sent, Relaxed);
    }

    /// Its number, by which it is told from others whose peers have no name.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.rates.lock().conversations.remove(&self.number);
    }
}

impl Rates {
    fn open(self: Arc<Self>, peer: &Peer, scope: &Scope) -> Live {
        let counts = Arc::<Counts>::default();
        let conversation =
            Conversation { peer: peer.clone(), counts: counts.clone(), seen: (0, 0), at: Instant::now() };
        let mut open = self.lock();
        open.opened += 1;
        let number = open.opened;
        open.conversations.insert(number, conversation);
        if !std::mem::replace(&mut open.is_told, true) {
            scope.spawn(tell(self.clone(), scope.clone()));
        }
        drop(open);
        Live { number, counts, rates: self }
    }

    /// The rates since the last look, of those that moved anything. Nothing once there is no conversation.
    fn look(&self) -> Option<Vec<Rate>> {
        let mut open = self.lock();
        open.is_told = !open.conversations.is_empty();
        let now = Instant::now();
        let look = |(number, one): (&u64, &mut Conversation)| one.look(*number, now);
        open.is_told.then(|| open.conversations.iter_mut().filter_map(look).collect())
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Conversation {
    fn look(&mut self, number: u64, now: Instant) -> Option<Rate> {
        let (received, sent) = (self.counts.received.load(Relaxed), self.counts.sent.load(Relaxed));
        let (before, over) = (std::mem::replace(&mut self.seen, (received, sent)), now - self.at);
        self.at = now;
        let per_s = |bytes: u64| (bytes as f64 / over.as_secs_f64().max(1e-9)).round() as u64;
        let rate = Rate {
            peer: self.peer.clone(),
            number,
            received,
            sent,
            received_per_s: per_s(received.saturating_sub(before.0)),
            sent_per_s: per_s(sent.saturating_sub(before.1)),
        };
        (before != (received, sent)).then_some(rate)
    }
}

/// Tells of all conversations, until there are none or the scope stops.
async fn tell(rates: Arc<Rates>, scope: Scope) {
    loop {
        tokio::select! {
            () = scope.stopped() => return,
            () = sleep(EVERY) => {}
        }
        let Some(mut told) = rates.look() else { return };
        if told.len() > MOST {
            told.sort_by_key(|rate| Reverse(rate.received_per_s.saturating_add(rate.sent_per_s)));
            told.truncate(MOST);
        }
        for rate in &told {
            scope.tell(&Event::Rate(rate));
        }
    }
}
