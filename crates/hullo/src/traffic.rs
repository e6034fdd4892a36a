//! What is relayed, as it can be seen: each conversation with its two ends and its counts, and who looks at its bytes.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Instant, SystemTime},
};

use crate::{error::Error, peer::Peer};

/// A direction of a relayed conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Way {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

impl Way {
    /// The other one.
    pub fn back(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

/// What the bytes of a piece are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A part of a stream: where it begins and ends means nothing.
    Stream,
    /// A whole message that is meant as text.
    Text,
    /// A whole message.
    Binary,
}

/// What happens to a relayed conversation.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// Both ends stand.
    Opened,
    /// These bytes have been handed to the other end.
    Piece {
        /// Where they went.
        way: Way,
        /// The bytes.
        bytes: &'a [u8],
        /// What they are.
        form: Form,
    },
    /// One end has said all that it had to say, and the other has been told.
    End(Way),
    /// It is over, by an error or as it should be.
    Closed(Option<&'a Error>),
}

/// Somebody who looks at what is relayed. Called from many threads at once, for each conversation in order, and must not
/// wait.
pub trait Tap: Send + Sync + 'static {
    /// Something happened.
    fn see(&self, flow: &Flow, what: Seen<'_>);

    /// Whether the pieces are to be seen. Where nobody wants them the kernel may move the bytes, and only counts come by.
    fn wants_bytes(&self) -> bool {
        true
    }
}

/// A relayed conversation.
#[derive(Debug)]
pub struct Flow {
    /// Its number: they are counted from 1, as they begin.
    pub number: u64,
    /// The relay's name.
    pub relay: Arc<str>,
    /// Who came.
    pub client: Peer,
    /// Where they were led.
    pub server: Peer,
    /// When both ends stood.
    pub since: Instant,
    /// The same as a time of day.
    pub began: SystemTime,
    up: AtomicU64,
    down: AtomicU64,
    up_ended: AtomicBool,
    down_ended: AtomicBool,
    by_kernel: AtomicU64,
}

impl Flow {
    /// How many bytes have been handed over so far.
    pub fn moved(&self, way: Way) -> u64 {
        self.count(way).load(Relaxed)
    }

    /// How many of those the kernel has moved by itself.
    pub fn by_kernel(&self) -> u64 {
        self.by_kernel.load(Relaxed)
    }

    /// Whether all that there was to say in that direction has been handed over.
    pub fn has_ended(&self, way: Way) -> bool {
        self.end(way).load(Relaxed)
    }

    fn count(&self, way: Way) -> &AtomicU64 {
        match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        }
    }

    fn end(&self, way: Way) -> &AtomicBool {
        match way {
            Way::Up => &self.up_ended,
            Way::Down => &self.down_ended,
        }
    }
}

/// All that goes through the relays of one process.
#[derive(Default)]
pub struct Traffic {
    taps: Vec<Arc<dyn Tap>>,
    numbers: AtomicU64,
    flows: Mutex<Flows>,
}

#[derive(Default)]
struct Flows {
    live: BTreeMap<u64, Arc<Flow>>,
    ended: BTreeMap<Arc<str>, Total>,
}

/// What has gone through a relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Conversations that began.
    pub flows: u64,
    /// Bytes from clients to servers.
    pub up: u64,
    /// Bytes from servers to clients.
    pub down: u64,
}

impl Traffic {
    /// Traffic at which nobody looks but for these.
    pub fn new(taps: Vec<Arc<dyn Tap>>) -> Self {
        Self { taps, ..Self::default() }
    }

    /// Whether somebody looks at the bytes, so that they must come by us.
    pub fn is_tapped(&self) -> bool {
        self.taps.iter().any(|tap| tap.wants_bytes())
    }

    /// The conversations that are going on, in the order of their numbers.
    pub fn live(&self) -> Vec<Arc<Flow>> {
        self.flows().live.values().cloned().collect()
    }

    /// What has gone through each relay so far, that of the conversations that are going on included.
    pub fn totals(&self) -> BTreeMap<Arc<str>, Total> {
        let flows = self.flows();
        let mut totals = flows.ended.clone();
        for flow in flows.live.values() {
            totals.entry(flow.relay.clone()).or_default().add(flow);
        }
        totals
    }

    /// Leaves out of the totals what has gone through a relay that is no more.
    pub(crate) fn forget(&self, relay: &str) {
        self.flows().ended.remove(relay);
    }

    /// A conversation whose two ends stand.
    pub(crate) fn open(self: &Arc<Self>, relay: &Arc<str>, client: Peer, server: Peer) -> Watched {
        let number = self.numbers.fetch_add(1, Relaxed) + 1;
        let flow = Arc::new(Flow {
            number,
            relay: relay.clone(),
            client,
            server,
            since: Instant::now(),
            began: SystemTime::now(),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            up_ended: AtomicBool::new(false),
            down_ended: AtomicBool::new(false),
            by_kernel: AtomicU64::new(0),
        });
        self.flows().live.insert(number, flow.clone());
        let watched = Watched { traffic: self.clone(), flow, closed: false };
        watched.tell(Seen::Opened);
        watched
    }

    fn flows(&self) -> MutexGuard<'_, Flows> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Total {
    fn add(&mut self, flow: &Flow) {
        self.flows += 1;
        self.up += flow.moved(Way::Up);
        self.down += flow.moved(Way::Down);
    }
}

/// A conversation that is going on, for as long as this lives.
pub(crate) struct Watched {
    traffic: Arc<Traffic>,
    flow: Arc<Flow>,
    closed: bool,
}

impl Watched {
    pub(crate) fn flow(&self) -> &Flow {
        &self.flow
    }

    /// Bytes were handed over that nobody has to see.
    pub(crate) fn count(&self, way: Way, n: u64) {
        self.flow.count(way).fetch_add(n, Relaxed);
    }

    /// The kernel has handed over bytes by itself.
    pub(crate) fn count_by_kernel(&self, way: Way, n: u64) {
        self.count(way, n);
        self.flow.by_kernel.fetch_add(n, Relaxed);
    }

    /// Bytes were handed over, and whoever looks is to see them.
    pub(crate) fn piece(&self, way: Way, bytes: &[u8], form: Form) {
        self.count(way, bytes.len() as u64);
        self.tell(Seen::Piece { way, bytes, form });
    }

    pub(crate) fn end(&self, way: Way) {
        self.flow.end(way).store(true, Relaxed);
        self.tell(Seen::End(way));
    }

    /// It is over. One that is dropped without this was cut off by our own end.
    pub(crate) fn close(mut self, why: Option<&Error>) {
        self.closed = true;
        self.tell(Seen::Closed(why));
    }

    pub(crate) fn is_tapped(&self) -> bool {
        self.traffic.is_tapped()
    }

    fn tell(&self, what: Seen<'_>) {
        for tap in &self.traffic.taps {
            tap.see(&self.flow, what);
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.closed {
            self.tell(Seen::Closed(None));
        }
        let mut flows = self.traffic.flows();
        flows.live.remove(&self.flow.number);
        flows.ended.entry(self.flow.relay.clone()).or_default().add(&self.flow);
    }
}
