//! What a datagram of a measurement begins with, so that whoever hears it knows which one it is.
//!
//! ```text
//!  0  magic: 9d 68 62 ("hb", after a byte that begins no text)
//!  3  kind
//!  4  the run: chosen at random, the same for all its datagrams
//!  8  the datagram's number on its socket, counted from 0
//! 16  when it was sent: nanoseconds since the run began, on the sender's clock
//! 24  anything
//! ```
//!
//! All numbers have their highest byte first. The clocks of the two ends need not agree: what is made of the times are
//! differences (RFC 3550, section 6.4.1).

mod arrivals;
mod runs;

pub(crate) use arrivals::{Arrivals, Jitter};
pub use runs::{Runs, Train};

/// How long a stamp is: the shortest datagram that has one.
pub const STAMP: usize = 24;

/// How long a report is, and a question for one: an answer that is no longer than its question floods nobody.
pub const REPORT: usize = STAMP + 8 * FIELDS;

const FIELDS: usize = 8;

const MAGIC: [u8; 3] = [0x9d, b'h', b'b'];

/// What a datagram is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To be sent back.
    Echoed = 1,
    /// To be counted where it arrives.
    Counted = 2,
    /// All have been sent, as many as its number says: what has arrived?
    Question = 3,
    /// The answer to that.
    Report = 4,
}

/// The beginning of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// What it is for.
    pub kind: Kind,
    /// Whose it is: drawn anew for each measurement.
    pub run: u32,
    /// Which of them it is, from 0 on; of a question, how many there were.
    pub number: u64,
    /// When it was sent, in nanoseconds since the run began.
    pub sent: u64,
}

impl Stamp {
    /// As it stands at the beginning of a datagram.
    pub fn bytes(&self) -> [u8; STAMP] {
        let mut bytes = [0; STAMP];
        bytes[..3].copy_from_slice(&MAGIC);
        bytes[3] = self.kind as u8;
        bytes[4..8].copy_from_slice(&self.run.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_be_bytes());
        bytes[16..].copy_from_slice(&self.sent.to_be_bytes());
        bytes
    }

    /// The stamp of a datagram, where it has one.
    pub fn read(datagram: &[u8]) -> Option<Self> {
        let stamp: &[u8; STAMP] = datagram.first_chunk()?;
        if stamp[..3] != MAGIC {
            return None;
        }
        let kind = match stamp[3] {
            1 => Kind::Echoed,
            2 => Kind::Counted,
            3 => Kind::Question,
            4 => Kind::Report,
            _ => return None,
        };
        let run = u32::from_be_bytes([stamp[4], stamp[5], stamp[6], stamp[7]]);
        Some(Self { kind, run, number: word(datagram, 8)?, sent: word(datagram, 16)? })
    }
}

/// What has arrived of the datagrams of one socket, as the other end tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many had been sent by then, as whoever asked says.
    pub sent: u64,
    /// How many arrived, each counted once.
    pub received: u64,
    /// How many arrived once more.
    pub duplicates: u64,
    /// How many arrived after one with a higher number (RFC 4737).
    pub reordered: u64,
    /// How evenly they came compared with how they went, in nanoseconds (RFC 3550, section 6.4.1).
    pub jitter: u64,
    /// The bytes of those that arrived.
    pub bytes: u64,
    /// From the first arrival to the last one, in nanoseconds.
    pub lasted: u64,
    /// How many the kernel over there dropped, since the socket's buffer was full.
    pub dropped: u64,
}

impl Report {
    /// The datagram that asks for a report.
    pub fn question(run: u32, sent: u64, now: u64) -> [u8; REPORT] {
        let mut bytes = [0; REPORT];
        bytes[..STAMP].copy_from_slice(&Stamp { kind: Kind::Question, run, number: sent, sent: now }.bytes());
        bytes
    }

    /// The answer to that question.
    pub fn answer(&self, question: &Stamp) -> [u8; REPORT] {
        let mut bytes = [0; REPORT];
        bytes[..STAMP].copy_from_slice(&Stamp { kind: Kind::Report, ..*question }.bytes());
        for (place, field) in bytes[STAMP..].chunks_exact_mut(8).zip(self.fields()) {
            place.copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }

    /// Reads what stands behind the stamp of an answer.
    pub fn read(datagram: &[u8]) -> Option<Self> {
        let mut report = Self::default();
        for (index, field) in report.fields_mut().into_iter().enumerate() {
            *field = word(datagram, STAMP + 8 * index)?;
        }
        Some(report)
    }

    fn fields(mut self) -> [u64; FIELDS] {
        self.fields_mut().map(|field| *field)
    }

    /// In the order in which they are sent.
    fn fields_mut(&mut self) -> [&mut u64; FIELDS] {
        let Self { sent, received, duplicates, reordered, jitter, bytes, lasted, dropped } = self;
        [sent, received, duplicates, reordered, jitter, bytes, lasted, dropped]
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|word| u64::from_be_bytes(*word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KINDS: [Kind; 4] = [Kind::Echoed, Kind::Counted, Kind::Question, Kind::Report];

    fn stamp() -> impl Strategy<Value = Stamp> {
        (0..4usize, any::<u32>(), any::<u64>(), any::<u64>()).prop_map(|(kind, run, number, sent)| Stamp {
            kind: KINDS[kind],
            run,
            number,
            sent,
        })
    }

    proptest! {
        #[test]
        fn a_stamp_reads_as_it_was_written(stamp in stamp(), behind in prop::collection::vec(any::<u8>(), 0..100)) {
            let datagram = [&stamp.bytes()[..], &behind].concat();
            prop_assert_eq!(Stamp::read(&datagram), Some(stamp));
        }

        #[test]
        fn a_report_reads_as_it_was_written(question in stamp(), fields in prop::array::uniform8(any::<u64>())) {
            let mut report = Report::default();
            for (place, field) in report.fields_mut().into_iter().zip(fields) {
                *place = field;
            }
            let answer = report.answer(&question);
            prop_assert_eq!(Report::read(&answer), Some(report));
            prop_assert_eq!(Stamp::read(&answer), Some(Stamp { kind: Kind::Report, ..question }));
        }

        #[test]
        fn any_bytes_may_come(mut bytes in prop::collection::vec(any::<u8>(), 0..120), ours in any::<bool>()) {
            if ours {
                bytes.splice(..3.min(bytes.len()), MAGIC);
            }
            prop_assert!(Stamp::read(&bytes).is_none_or(|stamp| stamp.bytes() == bytes[..STAMP]));
            prop_assert_eq!(Report::read(&bytes).is_some(), bytes.len() >= REPORT);
        }
    }

    #[test]
    fn an_answer_is_never_longer_than_its_question() {
        let question = Report::question(7, 1000, 5);
        let stamp = Stamp::read(&question).unwrap();
        assert_eq!(stamp, Stamp { kind: Kind::Question, run: 7, number: 1000, sent: 5 });
        assert!(Report::default().answer(&stamp).len() <= question.len());
    }
}
