//! A relay's pump in one thread: what goes in when, and what comes out when.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    task::{Context, Waker},
    time::Duration,
};

use hullo::{
    Endpoint, Message, Peer,
    fault::{Chain, Fault, Faults, Out},
    traffic::Way,
};
use tokio::{
    runtime::{Builder, Runtime},
    time::Instant,
};

/// Faults, and what they have told.
pub(crate) struct Bench {
    pub(crate) faults: Arc<Faults>,
    hits: Arc<Mutex<Vec<String>>>,
    /// Stands still, so that a chain and its test begin at the same moment.
    clock: Runtime,
}

impl Bench {
    pub(crate) fn new(seed: u64, faults: &[&str]) -> Self {
        let hits = Arc::new(Mutex::new(Vec::new()));
        let log = hits.clone();
        let tell = move |hit: &hullo::fault::Hit| log.lock().unwrap().push(hit.to_string());
        let clock = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let bench = Self { faults: Arc::new(Faults::new(seed, Some(Arc::new(tell)))), hits, clock };
        bench.set(faults);
        bench
    }

    pub(crate) fn set(&self, faults: &[&str]) {
        self.faults.set(faults.iter().map(|text| Fault::parse(text).unwrap()).collect());
    }

    pub(crate) fn hits(&self) -> Vec<String> {
        std::mem::take(&mut self.hits.lock().unwrap())
    }

    pub(crate) fn stream(&self, flow: u64) -> Run {
        self.run(flow, Way::Up, false)
    }

    pub(crate) fn packets(&self, flow: u64) -> Run {
        self.run(flow, Way::Up, true)
    }

    pub(crate) fn run(&self, flow: u64, way: Way, packets: bool) -> Run {
        self.of_peer(flow, "10.0.0.1:5", way, packets)
    }

    pub(crate) fn of_peer(&self, flow: u64, address: &str, way: Way, packets: bool) -> Run {
        let _clock = self.clock.enter();
        let now = Instant::now();
        let chain = self.faults.chain(flow, &peer(address), way, packets);
        Run { chain, began: now, now, waiting: VecDeque::new(), out: Vec::new() }
    }
}

pub(crate) fn peer(address: &str) -> Peer {
    Peer::new("tcp", Endpoint::Net(address.parse().unwrap()), Endpoint::Unnamed)
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Bytes of which none stands for another for long.
pub(crate) fn content(bytes: usize) -> Vec<u8> {
    (0..bytes as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// One direction, and its clock.
pub(crate) struct Run {
    pub(crate) chain: Chain,
    began: Instant,
    now: Instant,
    /// What the source has said and nobody has read; nothing for its end.
    waiting: VecDeque<Option<Message>>,
    /// What came, how long after the beginning.
    pub(crate) out: Vec<(Duration, Out)>,
}

impl Run {
    /// The source says something now.
    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.hear(Message::binary(bytes.as_ref().to_vec()))
    }

    pub(crate) fn hear(&mut self, piece: Message) -> &mut Self {
        self.waiting.push_back(Some(piece));
        self.until(self.now - self.began)
    }

    /// It ends now.
    pub(crate) fn end(&mut self) -> &mut Self {
        self.waiting.push_back(None);
        self.until(self.now - self.began)
    }

    /// The list has changed.
    pub(crate) fn changed(&mut self) -> &mut Self {
        let mut cx = Context::from_waker(Waker::noop());
        self.chain.poll_changed(&mut cx, self.now);
        self.until(self.now - self.began)
    }

    /// Lets so much time pass, counted from the beginning.
    pub(crate) fn until(&mut self, time: Duration) -> &mut Self {
        let end = self.began + time;
        loop {
            while self.chain.has_room()
                && let Some(next) = self.waiting.pop_front()
            {
                match next {
                    Some(piece) => self.chain.take(piece, self.now),
                    None => self.chain.end(self.now),
                }
            }
            match self.chain.give(self.now) {
                Out::Until(at) if at > end => break,
                Out::Until(at) => {
                    assert!(at > self.now, "it says that it waits, and for nothing");
                    self.now = at;
                }
                Out::Nothing => break,
                out => self.out.push((self.now - self.began, out)),
            }
        }
        self.now = end;
        self
    }

    /// Lets so much time pass, counted from the beginning, in which nobody looks.
    pub(crate) fn sleep(&mut self, time: Duration) {
        self.now = self.began + time;
    }

    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// Until nothing more is to come.
    pub(crate) fn finish(&mut self) -> &mut Self {
        self.until(Duration::from_secs(100_000))
    }

    /// The bytes that came.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.pieces().flat_map(|piece| piece.bytes.to_vec()).collect()
    }

    /// How many bytes came.
    pub(crate) fn count(&self) -> usize {
        self.pieces().map(|piece| piece.bytes.len()).sum()
    }

    /// The pieces that came.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &Message> {
        self.out.iter().filter_map(|(_, out)| if let Out::Piece(piece) = out { Some(piece) } else { None })
    }

    /// What came that is no piece, and when.
    pub(crate) fn ends(&self) -> Vec<(Duration, Out)> {
        self.out.iter().filter(|(_, out)| !matches!(out, Out::Piece(_))).cloned().collect()
    }
}
