//! Packets: whole or not at all.

use hullo::fault::Out;

use crate::bench::{Bench, Run, ms};

/// Sends so many packets at once, each of which is its number, and gives what came.
fn numbers(run: &mut Run, count: u32) -> Vec<u32> {
    for number in 1..=count {
        run.say(number.to_be_bytes());
    }
    run.finish();
    let packets = run.out.iter().map(|(_, out)| match out {
        Out::Piece(packet) => u32::from_be_bytes(packet.bytes[..].try_into().unwrap()),
        out => panic!("{out:?}"),
    });
    packets.collect()
}

/// The packets that the log names.
fn told(bench: &Bench, what: &str) -> Vec<u32> {
    let hits = bench.hits();
    let named = hits.iter().filter(|hit| hit.contains(what));
    named
        .map(|hit| hit.split(' ').find_map(|word| word.parse().ok().filter(|_| hit.contains("packet"))).unwrap())
        .collect()
}

#[test]
fn a_share_of_packets_is_lost_and_the_log_says_which() {
    let bench = Bench::new(1, &["loss:0.1"]);
    let came = numbers(&mut bench.packets(1), 1000);
    let lost: Vec<u32> =
        bench.hits().iter().skip(1).map(|hit| hit.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert!((60..140).contains(&lost.len()), "{} of 1,000", lost.len());
    assert_eq!(came, (1..=1000).filter(|number| !lost.contains(number)).collect::<Vec<_>>());
}

#[test]
fn a_share_of_packets_comes_twice() {
    let bench = Bench::new(1, &["duplicate:0.1"]);
    let came = numbers(&mut bench.packets(1), 1000);
    let twice: Vec<_> = came.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    assert!((60..140).contains(&twice.len()) && came.len() == 1000 + twice.len());
    assert_eq!(bench.hits().len(), 1 + twice.len());
    assert_eq!(numbers(&mut bench.packets(2), 3).len() - 3, told(&bench, "doubles").len());
}

#[test]
fn a_share_of_packets_is_overtaken_and_none_is_lost() {
    let bench = Bench::new(1, &["reorder:0.1,by=5ms"]);
    let mut run = bench.packets(1);
    let mut came = numbers(&mut run, 1000);
    let late = run.out.iter().filter(|(time, _)| *time == ms(5)).count();
    assert!((60..140).contains(&late) && run.out.iter().all(|(time, _)| [ms(0), ms(5)].contains(time)));
    assert!(!came.is_sorted());
    came.sort_unstable();
    assert_eq!(came, (1..=1000).collect::<Vec<_>>());
}

#[test]
fn jitter_reorders_packets_and_the_end_stays_behind_them() {
    let bench = Bench::new(1, &["latency:100ms~50ms"]);
    let mut run = bench.packets(1);
    let mut came = numbers(&mut run, 100);
    assert!(!came.is_sorted() && run.out.iter().all(|(time, _)| (ms(50)..=ms(150)).contains(time)));
    came.sort_unstable();
    assert_eq!(came, (1..=100).collect::<Vec<_>>());
    let mut run = bench.packets(2);
    for _ in 0..100 {
        run.say("x");
    }
    run.end().finish();
    assert!(run.out.len() == 101 && run.out.last().unwrap().1 == Out::End);
}

#[test]
fn one_bit_of_a_packet_is_wrong() {
    let bench = Bench::new(1, &["corrupt:1"]);
    let mut run = bench.packets(1);
    run.say([0; 100]).say([]);
    let came = run.bytes();
    assert_eq!((came.iter().map(|byte| byte.count_ones()).sum::<u32>(), run.out.len()), (1, 2));
    assert!(bench.hits()[1].ends_with("of packet 1"));
}

#[test]
fn a_packet_stays_whole() {
    let bench = Bench::new(1, &["bandwidth:1000", "limit:1500", "slicer:10"]);
    let mut run = bench.packets(1);
    run.say(vec![0; 1000]).say(vec![0; 400]).say(vec![0; 200]).finish();
    let sizes: Vec<_> =
        run.out.iter().map(|(time, out)| (*time, if let Out::Piece(p) = out { p.bytes.len() } else { 0 })).collect();
    assert_eq!(sizes, [(ms(1000), 1000), (ms(1400), 400), (ms(1600), 0)]);
    assert_eq!(run.ends(), [(ms(1600), Out::Cut)]);
}

#[test]
fn an_empty_packet_is_a_packet() {
    let bench = Bench::new(1, &["latency:1ms", "limit:5"]);
    let mut run = bench.packets(1);
    run.say("").say("").end().finish();
    assert_eq!(run.out.len(), 3);
}

#[test]
fn packets_go_on_after_a_timeout_is_taken_away() {
    let bench = Bench::new(1, &["timeout"]);
    let mut run = bench.packets(1);
    run.say("lost");
    bench.set(&[]);
    run.changed().say("heard");
    assert_eq!((run.bytes().as_slice(), run.ends()), (&b"heard"[..], Vec::new()));
}
