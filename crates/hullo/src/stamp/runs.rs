//! The measurements that a receiver takes part in: what has arrived of each, for when its sender asks.

use std::{collections::HashMap, hash::Hash, time::Duration};

use super::{Arrivals, Kind, REPORT, Report, Stamp, arrivals::TRAIN};

/// So many are known at once; more are not measured.
const MOST: usize = 4096;

/// One that was not heard of for so long is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(10);

/// How often it is looked for those, however many strangers come.
const LOOK: Duration = Duration::from_secs(1);

/// All measurements of a socket. Each peer's socket, `P`, has one at a time.
pub struct Runs<P> {
    known: HashMap<P, Run>,
    looked: Duration,
    drops: Drops,
}

/// What the kernel dropped at the socket: each can be missing in one run only.
#[derive(Default)]
struct Drops {
    count: u32,
    /// Whether they come in trains.
    in_trains: bool,
    /// How many datagrams that were at most, of which no run has found out yet that they were its own.
    unclaimed: u64,
}

struct Run {
    number: u32,
    /// The one before of the same peer, of which some may come late.
    before: Option<u32>,
    arrivals: Arrivals,
    bytes: u64,
    /// When the first one came, and the last one.
    first: Duration,
    last: Duration,
    /// When its sender was last heard.
    heard: Duration,
}

/// Datagrams that came together.
#[derive(Clone, Copy)]
pub struct Train<P> {
    /// Who sent them.
    pub from: P,
    /// When they came, on a clock of the receiver's.
    pub at: Duration,
    /// How many the kernel has dropped at the socket by then.
    pub drops: u32,
}

impl<P> Default for Runs<P> {
    fn default() -> Self {
        Self { known: HashMap::new(), looked: Duration::ZERO, drops: Drops::default() }
    }
}

impl<P: Clone + Eq + Hash> Runs<P> {
    /// Takes note of datagrams that came together, and gives the answer to the question among them, if there is one.
    pub fn hear<'a>(&mut self, train: Train<P>, datagrams: impl Iterator<Item = &'a [u8]>) -> Option<[u8; REPORT]> {
        self.forget(train.at);
        let stamped = datagrams.filter_map(|datagram| Some((Stamp::read(datagram)?, datagram.len())));
        let mut ours = stamped.filter(|(stamp, len)| match stamp.kind {
            Kind::Counted => true,
            // An answer that is longer than its question floods somebody else.
            Kind::Question => *len >= REPORT,
            Kind::Echoed | Kind::Report => false,
        });
        let Some((first, len)) = ours.next() else {
            self.drops.see(0, train.drops);
            return None;
        };
        self.meet(&train, &first);
        let Self { known, drops, .. } = self;
        let Some(known) = known.get_mut(&train.from).filter(|known| known.number == first.run) else {
            drops.see(0, train.drops);
            return None;
        };
        known.heard = train.at;
        let (mut count, mut question) = (0, None);
        // Whoever sends trains sends them of one run.
        for (stamp, len) in std::iter::once((first, len)).chain(ours).filter(|(stamp, _)| stamp.run == first.run) {
            if stamp.kind == Kind::Question {
                question = Some(stamp);
            } else {
                known.count(&stamp, len, train.at);
                count += 1;
            }
        }
        if let Some(question) = question {
            known.arrivals.end(question.number);
        }
        drops.see(count, train.drops);
        known.arrivals.train_of(count, train.drops, &mut drops.unclaimed);
        question.map(|question| known.report(question.number).answer(&question))
    }

    /// Forgets whoever has gone.
    fn forget(&mut self, now: Duration) {
        if now.saturating_sub(self.looked) >= LOOK {
            self.looked = now;
            self.known.retain(|_, run| now.saturating_sub(run.heard) < FORGOTTEN);
        }
        if self.known.is_empty() {
            // What was dropped before anybody measured is nobody's.
            self.drops.unclaimed = 0;
        }
    }

    /// Begins a run with what is the first of it. It takes something to be counted: of a run of which nothing came there is
    /// nothing to tell, and whoever says anything else takes no room.
    fn meet(&mut self, train: &Train<P>, first: &Stamp) {
        let before = self.known.get(&train.from);
        let is_known = before.is_some_and(|known| known.number == first.run || known.before == Some(first.run));
        if first.kind == Kind::Counted && !is_known && (before.is_some() || self.known.len() < MOST) {
            let run = Run::new(first.run, before.map(|before| before.number), train);
            self.known.insert(train.from.clone(), run);
        }
    }
}

impl Drops {
    /// A train of so many has come, and by then the kernel had dropped that many, of datagrams or of trains.
    fn see(&mut self, len: u64, count: u32) {
        self.in_trains |= len > 1;
        let most = if self.in_trains { TRAIN } else { 1 };
        let newly = u64::from(count.wrapping_sub(std::mem::replace(&mut self.count, count)));
        self.unclaimed = self.unclaimed.saturating_add(newly * most);
    }
}

impl Run {
    fn new<P>(number: u32, before: Option<u32>, train: &Train<P>) -> Self {
        let (arrivals, at) = (Arrivals::new(train.drops), train.at);
        Self { number, before, arrivals, bytes: 0, first: at, last: at, heard: at }
    }

    fn count(&mut self, stamp: &Stamp, len: usize, at: Duration) {
        if self.arrivals.arrive(stamp.number, stamp.sent, nanos(at)) {
            self.bytes += len as u64;
        }
        self.last = at;
    }

    fn report(&self, sent: u64) -> Report {
        Report {
            sent,
            received: self.arrivals.received,
            duplicates: self.arrivals.duplicates,
            reordered: self.arrivals.reordered,
            jitter: self.arrivals.jitter() as u64,
            bytes: self.bytes,
            lasted: nanos(self.last.saturating_sub(self.first)),
            dropped: self.arrivals.dropped,
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn data(run: u32, number: u64) -> Vec<u8> {
        [&Stamp { kind: Kind::Counted, run, number, sent: 0 }.bytes()[..], &[0; 40]].concat()
    }

    fn hear(runs: &mut Runs<u8>, from: u8, at: Duration, datagrams: &[Vec<u8>]) -> Option<Report> {
        let datagrams = datagrams.iter().map(Vec::as_slice);
        runs.hear(Train { from, at, drops: 0 }, datagrams).map(|answer| Report::read(&answer).unwrap())
    }

    fn question(run: u32, sent: u64) -> Vec<u8> {
        Report::question(run, sent, 0).to_vec()
    }

    #[test]
    fn each_peer_has_one_run_at_a_time() {
        let mut runs = Runs::default();
        for (from, run, numbers) in [(1, 6, 0..3u64), (1, 7, 0..5), (1, 6, 3..9), (2, 7, 4..6)] {
            for number in numbers {
                assert_eq!(hear(&mut runs, from, SECOND, &[data(run, number)]), None);
            }
        }
        assert_eq!(runs.known.len(), 2);
        for (from, run, received) in [(1, 7, 5), (2, 7, 2)] {
            let report = hear(&mut runs, from, 2 * SECOND, &[question(run, 6)]).unwrap();
            assert_eq!((report.sent, report.received, report.bytes), (6, received, 64 * received), "{from} {run}");
        }
        for (from, run) in [(1, 6), (2, 9), (3, 7)] {
            assert_eq!(
                hear(&mut runs, from, 2 * SECOND, &[question(run, 6)]),
                None,
                "nothing is known of {from} {run}"
            );
        }
    }

    #[test]
    fn a_question_is_answered_as_often_as_it_is_asked_and_foreign_datagrams_never() {
        let mut runs = Runs::default();
        hear(&mut runs, 1, SECOND, &[data(7, 0), data(7, 1), data(7, 1), data(7, 3)]);
        for foreign in [&b""[..], b"hello", &[0; 200], &question(7, 5)[..REPORT - 1]] {
            assert_eq!(hear(&mut runs, 1, SECOND, &[foreign.to_vec()]), None, "{foreign:?}");
        }
        for _ in 0..2 {
            let report = hear(&mut runs, 1, SECOND, &[question(7, 5)]).unwrap();
            assert_eq!((report.received, report.duplicates, report.bytes), (3, 1, 3 * 64));
        }
    }

    #[test]
    fn strangers_take_no_endless_room() {
        let (mut runs, one) = (Runs::<u32>::default(), data(7, 0));
        let mut hear = |from, at, datagram: &[u8]| {
            let answer = runs.hear(Train { from, at, drops: 0 }, std::iter::once(datagram));
            (answer.is_some(), runs.known.len())
        };
        for from in 0..MOST as u32 + 10 {
            for kind in [Kind::Echoed, Kind::Report] {
                let foreign = Stamp { kind, run: 7, number: 0, sent: 0 }.bytes();
                assert_eq!(
                    hear(from, SECOND, &[&foreign[..], &[0; 100]].concat()),
                    (false, 0),
                    "{kind:?} counts nothing"
                );
            }
            assert_eq!(hear(from, SECOND, &question(7, 1)), (false, 0), "nothing was counted");
        }
        (0..1000).for_each(|run| assert_eq!(hear(0, SECOND, &data(run, 0)), (false, 1), "one peer has one place"));
        (0..MOST as u32).for_each(|from| _ = hear(from, SECOND, &one));
        let late = MOST as u32;
        assert_eq!(hear(late, SECOND, &one), (false, MOST), "there is no room");
        assert_eq!(hear(late, SECOND, &question(7, 1)), (false, MOST), "it is not measured");
        assert_eq!(hear(late, SECOND + FORGOTTEN, b"hello"), (false, 0), "anything that comes shows who has gone");
        assert_eq!(hear(late, SECOND + FORGOTTEN, &one), (false, 1));
        assert_eq!(hear(late, SECOND + FORGOTTEN, &question(7, 1)), (true, 1));
    }

    #[test]
    fn what_the_kernel_dropped_is_missing_in_one_run_only() {
        let mut runs = Runs::default();
        let mut hear = |from: u8, drops, datagrams: &[Vec<u8>]| {
            let answer = runs.hear(Train { from, at: SECOND, drops }, datagrams.iter().map(Vec::as_slice));
            answer.map(|answer| Report::read(&answer).unwrap().dropped)
        };
        // What was dropped before anybody measured is nobody's.
        hear(9, 1000, &[b"hello".to_vec()]);
        for from in 0..3 {
            hear(from, 1000, &[data(7, 0)]);
        }
        // Each misses four, and the kernel dropped five.
        for from in 0..3 {
            hear(from, 1005, &[data(7, 5)]);
        }
        let dropped = [0, 1, 2].map(|from| hear(from, 1005, &[question(7, 6)]).unwrap());
        assert_eq!(dropped, [4, 1, 0]);
        // Of trains it counts each as one.
        for from in 0..3 {
            hear(from, 1005, &[data(7, 6), data(7, 7)]);
        }
        for from in 0..3 {
            hear(from, 1006, &[data(7, 48), data(7, 49)]);
        }
        let dropped = [0, 1, 2].map(|from| hear(from, 1006, &[question(7, 50)]).unwrap());
        assert_eq!(dropped, [44, 25, 0], "40 and 24 of a train of 64");
    }
}
