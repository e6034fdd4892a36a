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

use tokio::{
    task::yield_now,
    time::{Instant, sleep},
};

use super::{Inner, Scope};
use crate::{
    peer::Peer,
    watch::{Event, Rate},
};

/// How often it is told.
const EVERY: Duration = Duration::from_secs(1);

/// Of how many conversations it is told at most; the fastest of them. Nobody reads more lines in a second.
const MOST: usize = 1000;

/// Of how many it is told before others on this core get their turn.
const AT_ONCE: usize = 16;

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

    /// Whether that conversation goes on.
    fn has(&self, number: u64) -> bool {
        self.lock().conversations.contains_key(&number)
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
        for some in told.chunks(AT_ONCE) {
            // Nothing is told of a conversation after its end.
            for rate in some.iter().filter(|rate| rates.has(rate.number)) {
                scope.tell(&Event::Rate(rate));
            }
            yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::{peer::Endpoint, scope::Limits};

    /// So many conversations of a watched scope, each of which has moved something.
    fn moving(count: u64, watch: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Vec<Live> {
        let scope = Scope::new(Limits::default(), Some(Arc::new(watch))).measured();
        let peer = Peer::new("tcp", Endpoint::Unnamed, Endpoint::Unnamed);
        let lives: Vec<_> = (0..count).map(|_| scope.live(&peer).unwrap()).collect();
        lives.iter().for_each(|live| live.set(1, 1));
        lives
    }

    #[tokio::test(start_paused = true)]
    async fn of_one_that_has_ended_meanwhile_nothing_is_told() {
        let told = Arc::new(Mutex::new((Vec::new(), Vec::new())));
        let tell = told.clone();
        let lives = moving(3, move |event| {
            let (numbers, lives) = &mut *tell.lock().unwrap();
            if let Event::Rate(rate) = event {
                numbers.push(rate.number);
                // The others end while the first is told of.
                *lives = Vec::<Live>::new();
            }
        });
        told.lock().unwrap().1 = lives;
        sleep(2 * EVERY).await;
        assert_eq!(told.lock().unwrap().0, [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn others_get_their_turn_while_much_is_told() {
        const MANY: u64 = 200;
        let told = Arc::<AtomicU64>::default();
        let tell = told.clone();
        let _lives = moving(MANY, move |_| {
            tell.fetch_add(1, Relaxed);
        });
        yield_now().await;
        advance(EVERY).await;
        let (mut before, mut most) = (told.load(Relaxed), 0);
        for _ in 0..10 * MANY {
            yield_now().await;
            let now = told.load(Relaxed);
            most = most.max(now - before);
            before = now;
        }
        assert_eq!((before, most), (MANY, AT_ONCE as u64));
    }
}
