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

const SMOOTH: Way = Way { delay: Duration::from_millis(20), jitter: Duration::ZERO, loss: 0.0, duplicate: 0.0, narrow: None };

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
            self.now = self.now.max(next);
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
                while !silent {
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
    (0u64..80, 0u64..80, 0.0..0.45, 0.0..0.3, any::<bool>()).prop_map(|(delay, jitter, loss, duplicate, is_narrow)| Way {
        delay: millis(delay),
        jitter: millis(jitter),
        loss,
        duplicate,
        narrow: is_narrow.then_some((500_000.0, 30_000.0)),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

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
            let have = Some(Have { delay: Duration::ZERO, ranges: vec![0..1000] });
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
        eprintln!("XX loss {loss} jitter {jitter}: {took:?} for {best:.2} s, {carried} bytes carried");
        assert!(took.as_secs_f64() < 1.5 * best, "loss {loss}, jitter {jitter} ms: {took:?} where {best:.2} s is the best");
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
    eprintln!("{got:?}");
    assert!(got[late] > 800_000 && got[0] > 800_000, "of 4 MB each gets {got:?}");
    assert!(got[late] + got[0] > 3_200_000, "the way is filled: {got:?}");
}
