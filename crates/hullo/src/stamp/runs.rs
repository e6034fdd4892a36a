//! The measurements that a receiver takes part in: what has arrived of each, for when its sender asks.

use std::{collections::HashMap, hash::Hash, time::Duration};

use super::{Arrivals, Kind, REPORT, Report, Stamp};

/// So many are known at once; more are not measured.
const MOST: usize = 4096;

/// One that was not heard of for so long makes room for another.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// How often it is looked for one, however many strangers come.
const LOOK: Duration = Duration::from_secs(1);

/// All measurements of a socket. Each is one run of one peer's socket, `P`.
pub(crate) struct Runs<P> {
    known: HashMap<(P, u32), Run>,
    looked: Duration,
}

struct Run {
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
pub(crate) struct Train<P> {
    /// Who sent them.
    pub(crate) from: P,
    /// When they came, on a clock of the receiver's.
    pub(crate) at: Duration,
    /// How many the kernel has dropped at the socket by then.
    pub(crate) drops: u32,
}

impl<P> Default for Runs<P> {
    fn default() -> Self {
        Self { known: HashMap::new(), looked: Duration::ZERO }
    }
}

impl<P: Copy + Eq + Hash> Runs<P> {
    /// Takes note of datagrams that came together, and gives the answer to the question among them, if there is one.
    pub(crate) fn hear<'a>(
        &mut self,
        train: Train<P>,
        datagrams: impl Iterator<Item = &'a [u8]>,
    ) -> Option<[u8; REPORT]> {
        let mut datagrams = datagrams.filter_map(|datagram| Some((Stamp::read(datagram)?, datagram.len()))).peekable();
        // Whoever sends trains sends them of one run.
        let run = datagrams.peek()?.0.run;
        let known = self.run(train, run)?;
        let (mut count, mut question) = (0, None);
        for (stamp, len) in datagrams.filter(|(stamp, _)| stamp.run == run) {
            match stamp.kind {
                Kind::Counted => {
                    known.count(&stamp, len, train.at);
                    count += 1;
                }
                // What is longer than the question floods somebody else.
                Kind::Question if len >= REPORT => question = Some(stamp),
                Kind::Question | Kind::Echoed | Kind::Report => {}
            }
        }
        if let Some(question) = question {
            known.arrivals.end(question.number);
        }
        known.arrivals.train(count, train.drops);
        question.map(|question| known.report(question.number).answer(&question))
    }

    fn run(&mut self, train: Train<P>, run: u32) -> Option<&mut Run> {
        let name = (train.from, run);
        if self.known.len() >= MOST && !self.known.contains_key(&name) {
            if train.at.saturating_sub(self.looked) >= LOOK {
                self.looked = train.at;
                self.known.retain(|_, run| train.at.saturating_sub(run.heard) < FORGOTTEN);
            }
            if self.known.len() >= MOST {
                return None;
            }
        }
        let known = self.known.entry(name).or_insert_with(|| Run {
            arrivals: Arrivals::new(train.drops),
            bytes: 0,
            first: train.at,
            last: train.at,
            heard: train.at,
        });
        known.heard = train.at;
        Some(known)
    }
}

impl Run {
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
    fn each_run_of_each_peer_is_told_apart() {
        let mut runs = Runs::default();
        for (from, run, numbers) in [(1, 7, 0..5u64), (1, 8, 0..2), (2, 7, 4..6)] {
            for number in numbers {
                assert_eq!(hear(&mut runs, from, SECOND, &[data(run, number)]), None);
            }
        }
        for (from, run, received) in [(1, 7, 5), (1, 8, 2), (2, 7, 2), (2, 9, 0)] {
            let report = hear(&mut runs, from, 2 * SECOND, &[question(run, 6)]).unwrap();
            assert_eq!((report.sent, report.received, report.bytes), (6, received, 64 * received), "{from} {run}");
        }
    }

    #[test]
    fn a_question_is_answered_as_often_as_it_is_asked_and_foreign_datagrams_never() {
        let mut runs = Runs::default();
        for foreign in [&b""[..], b"hello", &[0; 200], &question(7, 5)[..REPORT - 1]] {
            assert_eq!(hear(&mut runs, 1, SECOND, &[foreign.to_vec()]), None, "{foreign:?}");
        }
        hear(&mut runs, 1, SECOND, &[data(7, 0), data(7, 1), data(7, 1), data(7, 3)]);
        for _ in 0..2 {
            let report = hear(&mut runs, 1, SECOND, &[question(7, 5)]).unwrap();
            assert_eq!((report.received, report.duplicates, report.bytes), (3, 1, 3 * 64));
        }
    }

    #[test]
    fn strangers_take_no_endless_room() {
        let mut runs = Runs::default();
        for run in 0..MOST as u32 + 10 {
            hear(&mut runs, 1, SECOND, &[data(run, 0)]);
        }
        assert_eq!(runs.known.len(), MOST);
        assert_eq!(hear(&mut runs, 1, SECOND, &[question(MOST as u32 + 1, 1)]), None, "it is not measured");
        let later = SECOND + FORGOTTEN;
        assert!(hear(&mut runs, 1, later, &[question(MOST as u32 + 1, 1)]).is_some(), "those that are gone make room");
        assert_eq!(runs.known.len(), 1);
    }
}
