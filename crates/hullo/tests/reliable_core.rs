#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! The pure end of a reliable stream, against itself: over ways that lose, repeat and reorder, in a time of their own.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

use hullo::reliable::{
    Connection, Failure,
    packet::{Data, Have, Packet},
};
use proptest::prelude::*;

const WITHIN: Duration = Duration::from_secs(10);
const SIZE: usize = 1200;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Numbers from a seed (xorshift64).
struct Chance(u64);

impl Chance {
    fn draw(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn happens(&mut self, share: f64) -> bool {
        self.draw() < share
    }
}

/// What happens to a packet on its way.
#[derive(Clone, Copy, Debug)]
struct Way {
    delay: Duration,
    jitter: Duration,
    loss: f64,
    duplicate: f64,
    /// A narrow place: bytes a second, and how many bytes may wait before it.
    narrow: Option<(f64, f64)>,
}

const SMOOTH: Way =
    Way { delay: Duration::from_millis(20), jitter: Duration::ZERO, loss: 0.0, duplicate: 0.0, narrow: None };

/// A packet on its way: when it arrives, its number, and at which end of which conversation.
type Travelling = Reverse<(Duration, u64, usize, usize, Vec<u8>)>;

/// Conversations that share a way there and a way back.
struct World {
    now: Duration,
    chance: Chance,
    ways: [Way; 2],
    /// Until when the narrow place of each way is busy.
    busy: [Duration; 2],
    ends: Vec<[End; 2]>,
    travelling: BinaryHeap<Travelling>,
    number: u64,
    carried: u64,
}

/// One end with its user, who writes all at once, ends, and reads what there is.
struct End {
    connection: Connection,
    unsent: VecDeque<u8>,
    finishes: bool,
    reads: bool,
    received: Vec<u8>,
}

impl End {
    fn new(name: u64, unsent: &[u8], now: Duration) -> Self {
        let connection = Connection::new(name, SIZE, WITHIN, now);
        Self { connection, unsent: unsent.iter().copied().collect(), finishes: true, reads: true, received: Vec::new() }
    }

    fn act(&mut self) {
        let taken = self.connection.write(self.unsent.make_contiguous());
        self.unsent.drain(..taken);
        if self.unsent.is_empty() && self.finishes && !self.connection.is_finished() {
            self.connection.finish();
        }
        if self.reads {
            self.connection.read(|piece| {
                self.received.extend_from_slice(piece);
                piece.len()
            });
        }
    }
}

impl World {
    fn new(seed: u64, ways: [Way; 2]) -> Self {
        Self {
            now: Duration::ZERO,
            chance: Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            ways,
            busy: [Duration::ZERO; 2],
            ends: Vec::new(),
            travelling: BinaryHeap::new(),
            number: 0,
            carried: 0,
        }
    }

    fn converse(&mut self, there: &[u8], back: &[u8]) -> usize {
        let name = 10 * self.ends.len() as u64;
        self.ends.push([End::new(name + 1, there, self.now), End::new(name + 2, back, self.now)]);
        self.ends.len() - 1
    }

    /// Runs until `done`, or until nothing more happens; for no longer than `limit`.
    fn run(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) {
        let until = self.now + limit;
        while self.now < until && !done(self) {
            self.let_all_talk();
            let timeouts = self.ends.iter().flatten().filter_map(|end| end.connection.timeout());
            // An end whose time has come is not asked again before the next moment.
            let timeout = timeouts.min().map(|due| due.max(self.now + Duration::from_micros(100)));
            let arrival = self.travelling.peek().map(|Reverse(travelling)| travelling.0);
            let Some(next) = [timeout, arrival].into_iter().flatten().min() else { return };
            self.now = self.now.max(next.min(until));
            while self.travelling.peek().is_some_and(|Reverse(travelling)| travelling.0 <= self.now) {
                let Some(Reverse((_, _, which, side, packet))) = self.travelling.pop() else { return };
                self.ends[which][side].connection.receive(&packet, self.now);
            }
            for end in self.ends.iter_mut().flatten() {
                if end.connection.timeout().is_some_and(|due| due <= self.now) {
                    end.connection.expire(self.now);
                }
            }
        }
    }

    fn let_all_talk(&mut self) {
        for which in 0..self.ends.len() {
            for side in 0..2 {
                let mut train = Vec::new();
                // Who has not been spoken to waits: here the first end opens.
                let silent = side == 1 && self.now.is_zero();
                self.ends[which][side].act();
                if silent {
                    continue;
                }
                loop {
                    train.clear();
                    let stride = self.ends[which][side].connection.transmit(&mut train, self.now);
                    if stride == 0 {
                        break;
                    }
                    assert!(stride <= SIZE, "a packet of {stride} bytes");
                    train.chunks(stride).for_each(|packet| self.carry(which, side, packet));
                }
            }
        }
    }

    fn carry(&mut self, which: usize, side: usize, packet: &[u8]) {
        let way = self.ways[side];
        self.carried += packet.len() as u64;
        let mut leaves = self.now;
        if let Some((rate, buffer)) = way.narrow {
            let waiting = self.busy[side].saturating_sub(self.now).as_secs_f64() * rate;
            if waiting + packet.len() as f64 > buffer {
                return;
            }
            leaves = self.busy[side].max(self.now) + Duration::from_secs_f64(packet.len() as f64 / rate);
            self.busy[side] = leaves;
        }
        let copies = if self.chance.happens(way.duplicate) { 2 } else { 1 };
        for _ in 0..copies {
            if self.chance.happens(way.loss) {
                continue;
            }
            let arrives = leaves + way.delay + way.jitter.mul_f64(self.chance.draw());
            self.number += 1;
            self.travelling.push(Reverse((arrives, self.number, which, 1 - side, packet.to_vec())));
        }
    }

    fn connection(&mut self, which: usize, side: usize) -> &mut Connection {
        &mut self.ends[which][side].connection
    }
}

fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut chance = Chance(seed | 1);
    std::iter::repeat_with(|| (chance.draw() * 256.0) as u8).take(len).collect()
}

/// Both ends have come to their end, and both know.
fn all_over(world: &mut World) -> bool {
    world.ends.iter().flatten().all(|end| end.connection.is_over())
}

fn ways() -> impl Strategy<Value = Way> {
    (0u64..80, 0u64..80, 0.0..0.45, 0.0..0.3, any::<bool>()).prop_map(|(delay, jitter, loss, duplicate, is_narrow)| {
        Way {
            delay: millis(delay),
            jitter: millis(jitter),
            loss,
            duplicate,
            narrow: is_narrow.then_some((500_000.0, 30_000.0)),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_on_the_way_exactly_the_bytes_arrive(
        seed in any::<u64>(),
        ways in (ways(), ways()),
        lens in (0usize..150_000, 0usize..150_000),
    ) {
        let mut world = World::new(seed, ways.into());
        let (there, back) = (bytes(lens.0, seed), bytes(lens.1, !seed));
        world.converse(&there, &back);
        world.run(Duration::from_secs(600), all_over);
        let [near, far] = &world.ends[0];
        prop_assert_eq!((near.connection.failure(), far.connection.failure()), (None, None));
        prop_assert!(far.received == there && near.received == back, "{} and {} bytes", far.received.len(), near.received.len());
        prop_assert!(near.connection.is_ended() && far.connection.is_ended() && all_over(&mut world), "at {:?}", world.now);
    }

    #[test]
    fn a_forged_packet_changes_nothing(forged in prop::collection::vec(any::<u8>(), 0..200), to in 0u64..4, from in 0u64..4) {
        let mut world = World::new(1, [SMOOTH; 2]);
        world.converse(b"there", b"back");
        world.ends[0].iter_mut().for_each(|end| end.finishes = false);
        world.run(millis(500), |_| false);
        // Whoever is not on the way does not know both names (here 1 and 2).
        let from = from.max(1);
        for side in 0..2 {
            if (to, from) == [(1, 2), (2, 1)][side] || to == 0 && from == 2 - side as u64 {
                continue;
            }
            let mut packet = Vec::new();
            let data = Some(Data { at: 0, bytes: &forged, end: true });
            let have = Some(Have { delay: Duration::ZERO, ranges: vec![600..1000, 0..500] });
            Packet { to, from, number: 5, abort: true, done: true, have, data, ..Packet::default() }.write(&mut packet);
            let now = world.now;
            let received = [forged.clone(), packet];
            received.iter().for_each(|packet| world.connection(0, side).receive(packet, now));
            let mut out = Vec::new();
            prop_assert_eq!(world.connection(0, side).transmit(&mut out, now), 0);
            prop_assert_eq!(world.connection(0, side).failure(), None);
        }
        world.ends[0].iter_mut().for_each(|end| end.finishes = true);
        world.run(millis(10_000), all_over);
        prop_assert_eq!((&world.ends[0][0].received[..], &world.ends[0][1].received[..]), (&b"back"[..], &b"there"[..]));
    }
}

/// How long `len` bytes take over that way, and how many were carried.
fn transfer(way: Way, len: usize, seed: u64) -> (Duration, u64) {
    let back = Way { narrow: None, ..way };
    let mut world = World::new(seed, [way, back]);
    world.converse(&bytes(len, seed), b"");
    world.run(Duration::from_secs(600), |world| world.connection(0, 0).is_confirmed() && world.now > WITHIN / 1000);
    assert_eq!(world.ends[0][1].received.len(), len, "{way:?}");
    (world.now, world.carried)
}

/// 1 MB a second, 40 ms there and back, a buffer as large as that.
const NARROW: Way = Way { narrow: Some((1e6, 40_000.0)), ..SMOOTH };

#[test]
fn a_narrow_way_is_filled_also_where_a_fifth_is_lost() {
    for (loss, jitter) in [(0.0, 0), (0.01, 0), (0.2, 0), (0.2, 15)] {
        let way = Way { loss, jitter: millis(jitter), ..NARROW };
        let (took, carried) = transfer(way, 5_000_000, 3);
        // What is lost behind the narrow place has gone through it.
        let best = 5.0 / (1.0 - loss);
        assert!(
            took.as_secs_f64() < 1.5 * best,
            "loss {loss}, jitter {jitter} ms: {took:?} where {best:.2} s is the best"
        );
        assert!((carried as f64) < 1.5 * best * 1e6, "loss {loss}, jitter {jitter} ms: {carried} bytes carried");
    }
}

#[test]
fn two_who_share_a_narrow_way_both_get_on() {
    let mut world = World::new(5, [NARROW, SMOOTH]);
    let sent = bytes(8_000_000, 5);
    world.converse(&sent, b"");
    world.run(Duration::from_secs(3), |_| false);
    let late = world.converse(&sent, b"");
    world.run(Duration::from_secs(4), |_| false);
    let before: Vec<_> = world.ends.iter().map(|ends| ends[1].received.len()).collect();
    world.run(Duration::from_secs(4), |_| false);
    let got: Vec<_> = world.ends.iter().zip(before).map(|(ends, before)| ends[1].received.len() - before).collect();
    assert!(got[late] > 800_000 && got[0] > 800_000, "of 4 MB each gets {got:?}");
    assert!(got[late] + got[0] > 3_200_000, "the way is filled: {got:?}");
}

// Ends.

/// A conversation that has begun: each end has heard what the other one said first.
fn begun() -> World {
    let mut world = World::new(1, [SMOOTH; 2]);
    world.converse(b"there", b"back");
    world.ends[0].iter_mut().for_each(|end| end.finishes = false);
    world.run(millis(500), |_| false);
    assert_eq!((&world.ends[0][0].received[..], &world.ends[0][1].received[..]), (&b"back"[..], &b"there"[..]));
    world
}

#[test]
fn an_end_is_told_and_the_other_way_goes_on() {
    let mut world = begun();
    world.ends[0][0].finishes = true;
    world.run(millis(500), |_| false);
    assert!(world.connection(0, 0).is_confirmed() && world.connection(0, 1).is_ended());
    assert!(!world.connection(0, 0).is_ended() && !world.connection(0, 0).is_over());
    // Long after, when both have been silent for longer than somebody who is gone.
    world.run(Duration::from_secs(3600), |_| false);
    world.ends[0][1].unsent.extend(b" at last");
    world.ends[0][1].finishes = true;
    world.run(millis(500), |_| false);
    assert_eq!(world.ends[0][0].received, b"back at last");
    assert!(world.connection(0, 0).is_ended() && all_over(&mut world));
}

#[test]
fn a_cut_is_no_end() {
    let mut world = begun();
    let now = world.now;
    world.ends[0][0].finishes = false;
    world.connection(0, 0).write(b"half of");
    world.connection(0, 0).close(now);
    world.run(Duration::from_secs(10), |_| false);
    assert!(all_over(&mut world), "both know of it");
    assert_eq!(world.connection(0, 1).failure(), Some(Failure::Cut));
    assert!(!world.connection(0, 1).is_ended());
}

#[test]
fn what_was_finished_arrives_though_nobody_waits_for_it() {
    let mut world = World::new(7, [Way { loss: 0.3, ..SMOOTH }; 2]);
    let sent = bytes(300_000, 7);
    world.converse(&sent, b"");
    world.ends[0][1].finishes = false;
    world.run(Duration::from_secs(1), |world| world.connection(0, 0).is_finished());
    let now = world.now;
    world.connection(0, 0).close(now);
    world.run(Duration::from_secs(60), |world| world.connection(0, 1).is_ended());
    assert_eq!(world.ends[0][1].received.len(), sent.len());
    // Who goes on talking to somebody who has left is told so.
    world.ends[0][1].unsent.extend(b"is there anybody?");
    world.run(Duration::from_secs(60), all_over);
    assert_eq!(world.connection(0, 1).failure(), Some(Failure::Cut));
}

#[test]
fn a_peer_that_vanishes_is_noticed() {
    for talks in [false, true] {
        let mut world = begun();
        world.ways = [Way { loss: 1.0, ..SMOOTH }; 2];
        if talks {
            world.ends[0][0].unsent.extend(b"hello?");
        }
        let since = world.now;
        world.run(Duration::from_secs(3600), |world| world.connection(0, 0).is_over());
        assert_eq!(world.connection(0, 0).failure(), Some(Failure::Silent), "talks: {talks}");
        assert!(world.now - since < Duration::from_secs(35), "talks: {talks}: after {:?}", world.now - since);
        assert!(world.carried < 20_000, "talks: {talks}: it was asked with {} bytes", world.carried);
    }
}

#[test]
fn nobody_there_is_noticed_within_the_time_for_it() {
    let mut world = World::new(1, [Way { loss: 1.0, ..SMOOTH }; 2]);
    world.converse(b"hello?", b"");
    world.run(Duration::from_secs(3600), |world| world.connection(0, 0).is_over());
    assert_eq!(world.connection(0, 0).failure(), Some(Failure::Unanswered));
    assert!(world.now.abs_diff(WITHIN) < millis(10), "after {:?}", world.now);
}

#[test]
fn who_does_not_read_is_sent_no_more_than_fits() {
    let mut world = World::new(1, [SMOOTH; 2]);
    world.converse(&bytes(20_000_000, 1), b"");
    world.ends[0][1].reads = false;
    world.run(Duration::from_secs(60), |_| false);
    let taken = 20_000_000 - world.ends[0][0].unsent.len();
    assert!((4 << 20..=8 << 20).contains(&taken), "{taken} bytes were taken from the writer");
    assert!(world.carried < 5 << 20, "{} bytes were carried", world.carried);
    // And it goes on when there is room, though the packet that says so gets lost.
    world.ends[0][1].reads = true;
    world.ways[1].loss = 1.0;
    world.run(millis(30), |_| false);
    world.ways[1].loss = 0.0;
    world.run(Duration::from_secs(60), |world| world.ends[0][1].received.len() == 20_000_000);
    assert_eq!(world.ends[0][1].received.len(), 20_000_000);
}

// Strangers.

#[test]
fn a_stranger_is_sent_at_most_three_times_what_it_sent() {
    let mut end = End::new(2, &bytes(100_000, 1), Duration::ZERO);
    let mut hello = Vec::new();
    Packet { from: 1, ping: true, window: 1 << 20, ..Packet::default() }.write(&mut hello);
    let (mut sent, mut now) = (0, Duration::ZERO);
    for heard in 1..4 {
        end.connection.receive(&hello, now);
        hello[25] += 1;
        for _ in 0..100 {
            end.act();
            let mut out = Vec::new();
            while end.connection.transmit(&mut out, now) > 0 {}
            sent += out.len();
            now += millis(50);
            end.connection.expire(now);
        }
        assert!(sent <= 3 * heard * hello.len(), "{sent} bytes for {heard} times {}", hello.len());
    }
    assert!(sent > 0);
}

#[test]
fn a_packet_of_an_earlier_conversation_begins_none_and_its_sender_is_told() {
    let mut world = begun();
    world.ends[0][0].unsent.extend(b"more");
    world.ends[0][0].act();
    let (now, mut packet, mut answer) = (world.now, Vec::new(), Vec::new());
    assert!(world.connection(0, 0).transmit(&mut packet, now) > 0);
    // The other end has been started anew.
    let mut anew = Connection::new(77, SIZE, WITHIN, now);
    anew.receive(&packet, now);
    assert_eq!(anew.failure(), Some(Failure::Stray));
    assert!(!anew.is_readable());
    assert!(anew.transmit(&mut answer, now) > 0 && answer.len() <= packet.len() && anew.is_over());
    world.connection(0, 0).receive(&answer, now);
    assert_eq!(world.connection(0, 0).failure(), Some(Failure::Cut));
}

#[test]
fn two_who_open_at_once_meet() {
    let mut world = World::new(1, [SMOOTH; 2]);
    world.converse(b"there", b"back");
    let mut hello = Vec::new();
    world.ends[0][1].act();
    assert!(world.connection(0, 1).transmit(&mut hello, Duration::ZERO) > 0);
    world.carry(0, 1, &hello);
    world.run(Duration::from_secs(5), all_over);
    assert_eq!((&world.ends[0][0].received[..], &world.ends[0][1].received[..]), (&b"back"[..], &b"there"[..]));
    assert!(world.now < Duration::from_secs(1), "{:?}", world.now);
}
