//! Streams: what comes, and when.

use hullo::{Message, fault::Out, traffic::Way};
use proptest::{collection::vec, prelude::*};

use crate::bench::{Bench, content, ms};

#[test]
fn without_faults_everything_passes_at_once() {
    let bench = Bench::new(1, &[]);
    let mut run = bench.stream(1);
    run.say("one").say("two").end();
    assert_eq!(run.bytes(), b"onetwo");
    assert_eq!(run.ends(), [(ms(0), Out::End)]);
    assert!(run.chain.is_clear() && bench.hits().is_empty());
}

#[test]
fn latency_is_exact_and_the_end_comes_as_late() {
    let bench = Bench::new(1, &["latency:200ms"]);
    let mut run = bench.stream(1);
    run.say("one").until(ms(150)).say("two").end().finish();
    let times: Vec<_> = run.out.iter().map(|(time, _)| *time).collect();
    assert_eq!(times, [ms(200), ms(350), ms(350)]);
    assert_eq!(run.bytes(), b"onetwo");
    assert_eq!(bench.hits(), ["1 up latency: takes hold: latency:200ms"]);
}

#[test]
fn latencies_add_up_even_if_nobody_looks_in_between() {
    let bench = Bench::new(1, &["latency:100ms", "latency:50ms"]);
    let mut run = bench.stream(1);
    run.say("one").finish();
    assert_eq!(run.out[0].0, ms(150));
    let mut run = bench.stream(2);
    run.say("one").sleep(ms(200));
    assert_eq!(run.until(ms(200)).bytes(), b"one");
}

#[test]
fn a_long_way_holds_as_much_as_is_under_way() {
    let bench = Bench::new(1, &["latency:1s"]);
    let mut run = bench.stream(1);
    for _ in 0..1024 {
        assert!(run.chain.has_room());
        run.say(vec![7; 32 << 10]);
    }
    assert!(!run.chain.has_room(), "32 MiB are enough");
    run.say("more").until(ms(999));
    assert!(run.out.is_empty());
    assert_eq!(run.finish().bytes().len(), (32 << 20) + 4);
    assert!(run.chain.is_idle());
}

#[test]
fn what_is_held_is_bounded() {
    for fault in ["bandwidth:1kB", "slicer:10,delay=1s", "latency:1d", "bandwidth:0", "bandwidth:1GB"] {
        let bench = Bench::new(1, &[fault]);
        let mut run = bench.stream(1);
        let held =
            std::iter::repeat_with(|| run.say(vec![0; 1 << 10]).chain.has_room()).take_while(|room| *room).count();
        let most = if fault.starts_with("latency") { 16 << 10 } else { 4 << 10 };
        assert!(held <= most, "{fault} holds {held} KiB");
    }
}

#[test]
fn bandwidth_is_exact_over_a_second() {
    for (rate, text) in [(1_000_000, "1MB"), (100, "100"), (1, "1"), (100_000_000, "100MB")] {
        let bench = Bench::new(1, &[&format!("bandwidth:{text}")]);
        let mut run = bench.stream(1);
        let piece = Message::binary(vec![1; 1 << 16]);
        for _ in 0..2 * rate / (1 << 16) + 2 {
            run.hear(piece.clone());
        }
        for second in [1, 2] {
            let (came, most) = (run.until(ms(second * 1000)).count(), rate * second as usize);
            assert!(came <= most && came >= most - most / 50, "{came} of {most} bytes in {second} s at {text}");
        }
    }
}

#[test]
fn a_rate_is_shared_by_those_who_are_said_to_share_it() {
    let cases = [("connection", [10_000; 3]), ("peer", [5_000, 5_000, 10_000]), ("relay", [3_333; 3])];
    for (per, expected) in cases {
        let bench = Bench::new(1, &[&format!("bandwidth:10kB,per={per}")]);
        let peers = ["10.0.0.1:1", "10.0.0.1:2", "[2001:db8::1]:1"];
        let mut runs: Vec<_> =
            peers.iter().zip(1..).map(|(peer, flow)| bench.of_peer(flow, peer, Way::Down, false)).collect();
        for time in 0..=1000 {
            for run in &mut runs {
                run.until(ms(time));
                if time == 0 {
                    run.say(vec![0; 100_000]);
                }
            }
        }
        for (run, expected) in runs.iter().zip(expected) {
            let came = run.bytes().len();
            assert!(came.abs_diff(expected) <= expected / 20, "{came} instead of {expected} per {per}");
        }
    }
}

#[test]
fn an_address_of_a_customer_is_one_peer() {
    let bench = Bench::new(1, &["bandwidth:10kB,per=peer"]);
    let mut one = bench.of_peer(1, "[2001:db8::1]:1", Way::Up, false);
    let mut other = bench.of_peer(2, "[2001:db8::2]:1", Way::Up, false);
    one.say(vec![0; 100]);
    other.say(vec![0; 100]).finish();
    assert_eq!(other.out[0].0, ms(20), "it waited for the one before");
}

#[test]
fn exactly_as_much_passes_as_the_limit_says() {
    for (said, cut) in [(999, false), (1000, true), (1001, true), (0, false)] {
        let bench = Bench::new(1, &["limit:1000"]);
        let mut run = bench.stream(1);
        run.say(vec![0; said]);
        let expected: Vec<_> = cut.then_some((ms(0), Out::Cut)).into_iter().collect();
        assert_eq!((run.bytes().len(), run.ends()), (said.min(1000), expected), "{said} bytes were said");
        assert_eq!(bench.hits().len(), 1 + usize::from(cut));
    }
    let bench = Bench::new(1, &["limit:0"]);
    let mut run = bench.stream(1);
    assert!(run.finish().out.is_empty(), "it waits for the first byte");
    assert_eq!(run.say("x").out, [(ms(100_000_000), Out::Cut)]);
}

#[test]
fn what_is_cut_behind_a_byte_comes_behind_it_however_late() {
    for (fault, end) in [("limit:1000", Out::Cut), ("reset:after=1000b", Out::Reset)] {
        let bench = Bench::new(1, &[fault, "latency:100ms", "bandwidth:1000"]);
        let mut run = bench.stream(1);
        run.say(vec![0; 5000]).finish();
        assert_eq!((run.bytes().len(), run.ends()), (1000, vec![(ms(1100), end)]), "{fault}");
        assert!(run.chain.give(run.now()) == Out::Nothing && !run.chain.has_room(), "it is over");
    }
}

#[test]
fn a_timeout_swallows_everything_and_then_cuts() {
    let bench = Bench::new(1, &["timeout:5s"]);
    let mut run = bench.stream(1);
    run.say("one").until(ms(4000)).end().until(ms(4999));
    assert!(run.out.is_empty());
    assert_eq!(run.finish().out, [(ms(5000), Out::Cut)]);
    assert_eq!(bench.hits(), ["1 up timeout: takes hold: timeout:5s", "1 up timeout: cut after 5s"]);
    let bench = Bench::new(1, &["timeout"]);
    let mut run = bench.stream(1);
    run.say(vec![0; 10 << 20]).finish();
    assert!(run.out.is_empty() && run.chain.has_room());
    assert_eq!(run.end().ends().len(), 1, "its source has ended");
}

#[test]
fn a_reset_comes_by_the_clock_even_where_nothing_is_said() {
    for (fault, time) in [("reset:2s", 2000), ("reset", 0), ("reset:after=3s", 3000), ("reset:1s,after=2s", 3000)] {
        let bench = Bench::new(1, &["latency:10s", fault]);
        let mut run = bench.stream(1);
        run.say("under way").finish();
        assert_eq!(run.out, [(ms(time), Out::Reset)], "{fault}");
        assert_eq!(bench.hits().len(), 3, "{fault}");
    }
    let bench = Bench::new(1, &["reset:1s", "latency:10s"]);
    let mut run = bench.stream(1);
    run.say("held").end();
    assert!(run.chain.breaks(run.now()) == Out::Until(run.now() + ms(1000)));
    assert!(
        run.chain.breaks(run.now() + ms(1000)) == Out::Reset && run.chain.breaks(run.now() + ms(2000)) == Out::Nothing
    );
    bench.hits();
    let bench = Bench::new(1, &["reset:1s,after=3b"]);
    let mut run = bench.stream(1);
    run.say("ab").until(ms(500)).say("cd").until(ms(1400)).say("ef").finish();
    assert_eq!((run.bytes().as_slice(), run.ends()), (&b"abcdef"[..], vec![(ms(1500), Out::Reset)]));
    let told = ["1 up reset: takes hold: reset:1s,after=3B", "1 up reset: reset after 1s"];
    assert_eq!(bench.hits(), told);
}

#[test]
fn a_slow_close_is_late_and_nothing_else() {
    let bench = Bench::new(1, &["slow_close:2s"]);
    let mut run = bench.stream(1);
    run.say("one").until(ms(100)).end().finish();
    assert_eq!(run.out[0].0, ms(0));
    assert_eq!(run.ends(), [(ms(2100), Out::End)]);
    assert_eq!(bench.hits()[1], "1 up slow_close: holds the end back behind byte 3");
}

#[test]
fn a_fault_begins_where_it_is_told_to() {
    let bench = Bench::new(1, &["timeout:after=5b"]);
    let mut run = bench.stream(1);
    run.say("abc").say("defgh").say("i").finish();
    assert_eq!(run.bytes(), b"abcde");
    let bench = Bench::new(1, &["latency:1s,after=2s"]);
    let mut run = bench.stream(1);
    run.until(ms(1999)).say("a").until(ms(2000)).say("b").finish();
    let times: Vec<_> = run.out.iter().map(|(time, _)| *time).collect();
    assert_eq!(times, [ms(1999), ms(3000)]);
}

#[test]
fn a_share_of_the_bytes_is_wrong_by_one_bit() {
    let bench = Bench::new(3, &["corrupt:0.01"]);
    let mut run = bench.stream(1);
    let said = content(100_000);
    run.say(&said);
    let came = run.bytes();
    let wrong: Vec<_> = (0..said.len()).filter(|at| said[*at] != came[*at]).collect();
    assert!((800..1200).contains(&wrong.len()), "{} of 100,000", wrong.len());
    assert!(wrong.iter().all(|at| (said[*at] ^ came[*at]).is_power_of_two()));
    let hits = bench.hits();
    let first = (said[wrong[0]] ^ came[wrong[0]]).trailing_zeros();
    assert_eq!(hits[1], format!("1 up corrupt: flips bit {first} of byte {}", wrong[0] + 1));
    assert_eq!(hits.len(), wrong.len() + 1);
}

#[test]
fn whole_blocks_of_a_stream_are_lost_and_the_log_says_which() {
    let bench = Bench::new(5, &["loss:0.2"]);
    let mut run = bench.stream(1);
    let said = content(1460 * 1000);
    for piece in said.chunks(1001) {
        run.say(piece);
    }
    let lost =
        bench.hits().iter().skip(1).map(|hit| hit.rsplit(' ').next().unwrap().parse().unwrap()).collect::<Vec<usize>>();
    assert!((150..250).contains(&lost.len()), "{} of 1,000", lost.len());
    let blocks = said.chunks(1460).enumerate().filter(|(at, _)| !lost.contains(&(at * 1460 + 1)));
    assert!(run.bytes() == blocks.flat_map(|(_, block)| block.to_vec()).collect::<Vec<_>>());
}

#[test]
fn what_is_for_packets_leaves_streams_alone() {
    let bench = Bench::new(1, &["duplicate:1", "reorder:1", "latency:1s,way=down"]);
    let mut run = bench.stream(1);
    run.say("one").end();
    assert!(run.bytes() == b"one" && run.chain.is_clear());
    assert!(bench.hits().is_empty());
}

/// Sizes of pieces, and how long is waited after each.
fn talk() -> impl Strategy<Value = Vec<(usize, u64)>> {
    vec((1..5000_usize, prop_oneof![Just(0), 0..300_u64]), 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn latency_keeps_the_order_and_its_bounds(talk in talk(), delay in 0..300_u64, jitter in 0..300_u64, seed: u64) {
        let bench = Bench::new(seed, &[&format!("latency:{delay}ms~{jitter}ms")]);
        let mut run = bench.stream(1);
        let (mut now, mut said, mut times) = (0, content(5000 * 20), Vec::new());
        let mut sent = 0;
        for (size, wait) in &talk {
            run.say(&said[sent..sent + size]);
            times.push(now);
            sent += size;
            now += wait;
            run.until(ms(now));
        }
        said.truncate(sent);
        run.finish();
        prop_assert_eq!(run.bytes(), said);
        let mut latest = ms(0);
        for ((came, _), said) in run.out.iter().zip(times) {
            latest = latest.max(ms(said + delay + jitter));
            let earliest = ms(said + delay.saturating_sub(jitter));
            prop_assert!(*came >= earliest && *came <= latest, "{came:?} after {said} ms");
        }
    }

    #[test]
    fn slices_have_the_sizes_and_the_pauses_that_are_said(
        talk in talk(),
        (size, spread) in (1..500_u64, 0..500_u64),
        delay in 0..3000_u64,
    ) {
        let spread = spread % size;
        let bench = Bench::new(1, &[&format!("slicer:{size}~{spread},delay={delay}us")]);
        let mut run = bench.stream(1);
        let total: usize = talk.iter().map(|(size, _)| size).sum();
        let said = content(total);
        let mut rest = &said[..];
        for (size, _) in &talk {
            run.say(&rest[..*size]);
            rest = &rest[*size..];
        }
        run.finish();
        prop_assert_eq!(run.bytes(), said);
        let mut short = 0;
        for (at, (time, out)) in run.out.iter().enumerate() {
            let Out::Piece(piece) = out else { panic!("{out:?}") };
            let length = piece.bytes.len() as u64;
            prop_assert!(length <= size + spread);
            short += usize::from(length < size - spread);
            prop_assert!(*time == std::time::Duration::from_micros(delay * at as u64));
        }
        prop_assert!(short <= talk.len(), "only the last of each piece is short");
    }

    #[test]
    fn a_limit_is_exact_however_the_bytes_come(talk in talk(), limit in 0..50_000_usize) {
        let bench = Bench::new(1, &[&format!("limit:{limit}"), "slicer:700~300"]);
        let mut run = bench.stream(1);
        let said = content(talk.iter().map(|(size, _)| size).sum());
        let mut sent = 0;
        for (size, _) in &talk {
            run.say(&said[sent..sent + size]);
            sent += size;
        }
        run.end().finish();
        let cut = said.len() >= limit;
        prop_assert_eq!(run.bytes(), &said[..said.len().min(limit)]);
        let ends: Vec<_> = run.ends().into_iter().map(|(_, end)| end).collect();
        prop_assert_eq!(ends, [if cut { Out::Cut } else { Out::End }]);
    }
}
