//! What became of the datagrams of all sockets of a run.

use std::net::SocketAddr;

use super::{super::tally::Packets, single::Single};
use crate::{
    io::dropped::{Dropped, dropped_at},
    peer::Peer,
    stamp::{Arrivals, Report},
};

/// The figures of some sockets, to be added to those of others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sum {
    /// How many went that count, and how many came, here or at the other end; each once.
    sent: u64,
    received: u64,
    /// How many of those came after they were given up.
    late: u64,
    duplicates: u64,
    reordered: u64,
    /// How many the kernel dropped at the socket where they were counted.
    dropped: u64,
    /// The jitter of each socket in nanoseconds, times what it received.
    jitter: f64,
    /// The longest train that went: the kernel counts one that it drops as one.
    pub(super) longest: u64,
    /// How many sockets were told by the other end what came there, and how many were not.
    told: u64,
    untold: u64,
    /// What came and was none of ours.
    pub(super) foreign: u64,
    /// What the kernel of this machine did meanwhile.
    kernel: Option<Kernel>,
}

/// What the kernel of this machine dropped during a run.
#[derive(Clone, Copy, Debug, Default)]
struct Kernel {
    dropped: Dropped,
    /// How many, or trains of them, at the other end's socket, where it is one of this machine.
    there: u64,
}

/// No time of travel varies by more, in nanoseconds.
const HOUR: u64 = 3_600_000_000_000;

/// The counters at the beginning of a run.
pub(super) struct Look {
    dropped: Option<Dropped>,
    there: Option<(SocketAddr, u64)>,
}

impl Look {
    pub(super) fn at(peer: &Peer) -> Option<Self> {
        let remote = peer.remote().net()?;
        let is_here = remote.ip().is_loopback() || peer.local().net().is_some_and(|local| local.ip() == remote.ip());
        let there = is_here.then(|| (remote, dropped_at(remote)));
        Some(Self { dropped: Dropped::so_far(), there })
    }
}

impl Sum {
    /// A socket's echoes, as they came back, of so many that were sent, and how many of them came late.
    pub(super) fn here(&mut self, sent: u64, arrivals: &Arrivals, late: u64) {
        self.sent += sent;
        self.received += arrivals.received;
        self.late += late;
        self.duplicates += arrivals.duplicates;
        self.reordered += arrivals.reordered;
        self.dropped += arrivals.dropped;
        self.jitter += arrivals.jitter() * arrivals.received as f64;
    }

    /// What the other end says has come of a socket's; nothing if it says nothing. Of those nobody knows anything. It is
    /// believed as far as it can be true.
    pub(super) fn there(&mut self, sent: u64, report: Option<&Report>) {
        let Some(report) = report else {
            self.untold += u64::from(sent > 0);
            return;
        };
        self.told += 1;
        let received = report.received.min(sent);
        self.sent += sent;
        self.received += received;
        self.duplicates = self.duplicates.saturating_add(report.duplicates);
        self.reordered += report.reordered.min(received);
        self.dropped += report.dropped.min(sent - received);
        self.jitter += report.jitter.min(HOUR) as f64 * received as f64;
    }

    /// A socket's questions without numbers, and their answers.
    pub(super) fn unnumbered(&mut self, single: &Single) {
        self.sent += single.sent;
        self.received += single.answered + single.late;
        self.late += single.late;
        self.duplicates += single.besides;
        self.jitter += single.jitter.nanos * (single.answered + single.late) as f64;
    }

    /// What the kernel did since that look.
    pub(super) fn looked(&mut self, before: &Look) {
        let dropped = before.dropped.zip(Dropped::so_far()).map(|(before, now)| now.since(&before));
        let there = before.there.map_or(0, |(address, before)| dropped_at(address).saturating_sub(before));
        self.kernel = Some(Kernel { dropped: dropped.unwrap_or_default(), there });
    }

    /// Adds those of other sockets.
    pub(crate) fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.received += other.received;
        self.late += other.late;
        self.duplicates = self.duplicates.saturating_add(other.duplicates);
        self.reordered += other.reordered;
        self.dropped += other.dropped;
        self.jitter += other.jitter;
        self.longest = self.longest.max(other.longest);
        self.told += other.told;
        self.untold += other.untold;
        self.foreign += other.foreign;
        self.kernel = self.kernel.or(other.kernel);
    }

    /// The figures of all sockets, and what a person should know about them. Nothing if there were none, or the other end
    /// was to count them and did not.
    pub(crate) fn packets(&self, notes: &mut Vec<String>) -> Option<Packets> {
        self.note(notes);
        let is_there = self.told > 0;
        if self.sent == 0 {
            return None;
        }
        let missing = self.sent.saturating_sub(self.received);
        let elsewhere = self.dropped_there(missing);
        for (count, whose) in [
            (self.dropped, if is_there { "the other end's socket" } else { "this end's socket" }),
            (elsewhere, "the other end's socket"),
        ] {
            if count > 0 {
                notes.push(format!("the kernel dropped {count} of them at {whose}, whose buffer was full"));
            }
        }
        let kernel_drops = self.dropped + elsewhere;
        Some(Packets {
            lost: missing.saturating_sub(kernel_drops),
            late: self.late,
            reordered: self.reordered,
            duplicates: self.duplicates,
            jitter_ms: if self.received > 0 { self.jitter / self.received as f64 / 1e6 } else { 0.0 },
            kernel_drops,
            measured: if is_there { "there" } else { "here" }.to_owned(),
        })
    }

    /// How many of the missing ones the kernel dropped at the socket of the other end, where that is known from outside.
    fn dropped_there(&self, missing: u64) -> u64 {
        let drops = self.kernel.map_or(0, |kernel| kernel.there);
        if self.told > 0 {
            0
        } else {
            drops.saturating_mul(self.longest.max(1)).min(missing.saturating_sub(self.dropped))
        }
    }

    fn note(&self, notes: &mut Vec<String>) {
        match (self.told, self.untold) {
            (_, 0) => {}
            (0, _) => notes.push("the other end does not tell what has come; `hullo serve discard` does".to_owned()),
            (told, untold) => notes.push(format!(
                "the other end told of {told} connections what has come, and of {untold} it did not: those are in no figure of packets"
            )),
        }
        if self.foreign > 0 {
            let (count, s) = (self.foreign, if self.foreign == 1 { " was" } else { "s were" });
            notes.push(format!("{count} datagram{s} not what was sent: with --payload any reply is an answer"));
        }
        let Some(Kernel { dropped, .. }) = self.kernel else { return };
        for (count, why) in [
            (dropped.checksum, "had a wrong checksum (InCsumErrors)"),
            (dropped.send_buffer, "found no buffer on their way out (SndbufErrors)"),
        ] {
            if count > 0 {
                notes.push(format!("meanwhile {count} datagrams {why} on this machine"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_end_is_believed_as_far_as_it_can_be_true() {
        const ALL: u64 = u64::MAX;
        let wild = Report {
            sent: ALL,
            received: ALL,
            duplicates: ALL,
            reordered: ALL,
            jitter: ALL,
            bytes: ALL,
            lasted: ALL,
            dropped: ALL,
        };
        let packets = |reports: &[Report]| {
            let mut all = Sum::default();
            for report in reports {
                let mut one = Sum::default();
                one.there(10, Some(report));
                one.there(10, Some(report));
                all.add(&one);
            }
            all.packets(&mut Vec::new()).unwrap()
        };
        let all_came = packets(&[wild, wild]);
        assert_eq!((all_came.lost, all_came.kernel_drops, all_came.reordered, all_came.duplicates), (0, 0, 40, ALL));
        assert_eq!(all_came.jitter_ms, 3_600_000.0);
        let some_came = packets(&[Report { received: 7, ..wild }]);
        assert_eq!((some_came.lost, some_came.kernel_drops, some_came.reordered), (0, 6, 14));
    }
}
