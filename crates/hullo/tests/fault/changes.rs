//! Faults that change while something is under way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Wake, Waker},
    time::{Duration, Instant},
};

use hullo::{fault::Out, traffic::Way};
use proptest::{collection::vec, prelude::*, sample::select};

use crate::bench::{Bench, content, ms, peer};

#[test]
fn what_is_held_comes_at_once_when_its_fault_goes() {
    let bench = Bench::new(1, &["latency:10s", "bandwidth:10"]);
    let mut run = bench.stream(1);
    run.say("one").say("two").end().until(ms(100));
    assert!(run.out.is_empty() && !run.chain.is_idle());
    bench.set(&[]);
    run.changed();
    assert_eq!((run.bytes().as_slice(), run.ends()), (&b"onetwo"[..], vec![(ms(100), Out::End)]));
    assert!(run.chain.is_clear());
}

#[test]
fn a_fault_that_stays_keeps_what_it_holds_and_how_far_it_was() {
    let bench = Bench::new(1, &["limit:6", "latency:1s"]);
    let mut run = bench.stream(1);
    run.say("one");
    bench.set(&["timeout:after=1MB", "limit:6", "latency:1s", "corrupt:0"]);
    run.changed().until(ms(500)).say("twothree").finish();
    let times: Vec<_> = run.out.iter().map(|(time, _)| *time).collect();
    assert_eq!((run.bytes().as_slice(), times), (&b"onetwo"[..], vec![ms(1000), ms(1500), ms(1500)]));
    let began = bench.hits().iter().filter(|hit| hit.contains("limit: takes hold")).count();
    assert_eq!(began, 1, "it took hold once");
}

#[test]
fn a_fault_that_is_altered_lets_go_and_knows_how_far_it_was() {
    let bench = Bench::new(1, &["latency:10s", "limit:6"]);
    let mut run = bench.stream(1);
    run.say("one");
    bench.set(&["latency:1s", "limit:7"]);
    run.changed().say("twothree").finish();
    assert_eq!((run.bytes().as_slice(), run.ends()), (&b"onetwot"[..], vec![(ms(1000), Out::Cut)]));
    assert_eq!(run.out[0].0, ms(0));
}

#[test]
fn a_stream_that_lost_something_to_a_timeout_is_cut_as_that_goes() {
    let bench = Bench::new(1, &["timeout"]);
    let mut silent = bench.stream(1);
    let mut spoke = bench.stream(2);
    silent.until(ms(1));
    spoke.say("lost");
    bench.set(&["timeout:1h"]);
    assert!(spoke.changed().out.is_empty() && silent.changed().out.is_empty());
    bench.set(&[]);
    assert_eq!(spoke.changed().ends().len(), 1);
    assert_eq!(silent.changed().say("heard").bytes(), b"heard");
}

#[test]
fn a_fault_that_comes_later_takes_hold_of_what_goes_on() {
    let bench = Bench::new(1, &[]);
    let mut run = bench.stream(1);
    run.say("one").until(ms(5000));
    bench.set(&["reset:2s", "down"]);
    run.changed().finish();
    assert_eq!(run.ends(), [(ms(7000), Out::Reset)]);
}

#[test]
fn nothing_overtakes_anything_where_faults_change_places() {
    let bench = Bench::new(1, &["latency:1s", "latency:5s,name=long"]);
    let mut run = bench.stream(1);
    run.say("one").until(ms(2000)).say("two");
    bench.set(&["latency:5s,name=long", "latency:1s"]);
    run.changed().say("three").finish();
    assert_eq!(run.bytes(), b"onetwothree");
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn every_conversation_is_woken_by_a_change_once() {
    let bench = Bench::new(1, &[]);
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(count.clone());
    let mut cx = Context::from_waker(&waker);
    let now = tokio::time::Instant::now();
    let mut chains: Vec<_> =
        (0..5000).map(|flow| bench.faults.chain(flow, &peer("10.0.0.1:1"), Way::Up, false)).collect();
    for chain in &mut chains {
        assert!(!chain.poll_changed(&mut cx, now) && !chain.poll_changed(&mut cx, now));
    }
    let began = Instant::now();
    for _ in 0..5000 {
        bench.set(&["latency:1s"]);
    }
    assert!(began.elapsed() < Duration::from_secs(30), "a change waits for nobody");
    assert_eq!(count.0.load(SeqCst), 5000, "who is woken and has not looked is not woken again");
    for chain in &mut chains {
        assert!(chain.poll_changed(&mut cx, now) && !chain.poll_changed(&mut cx, now));
    }
    drop(chains);
    bench.set(&[]);
    assert_eq!(count.0.load(SeqCst), 5000, "who is gone is forgotten");
}

#[test]
fn changes_and_conversations_run_beside_each_other() {
    let bench = Bench::new(1, &[]);
    std::thread::scope(|scope| {
        let faults = bench.faults.clone();
        let lists = [&["latency:1ms"][..], &["slicer:10~5", "latency:1ms"], &["bandwidth:1MB,per=relay"], &[]];
        scope.spawn(move || {
            for list in lists.iter().cycle().take(2000) {
                faults.set(list.iter().map(|text| text.parse().unwrap()).collect());
            }
        });
        for flow in 1..=2 {
            let mut run = bench.stream(flow);
            scope.spawn(move || {
                let said = content(200_000);
                for (at, piece) in said.chunks(100).enumerate() {
                    run.say(piece).changed().until(ms(at as u64));
                }
                run.end().finish();
                assert!(run.bytes() == said, "conversation {flow}");
                assert_eq!(run.ends().len(), 1);
            });
        }
    });
}

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    Say(usize),
    Wait(u64),
    Set(Vec<&'static str>),
}

/// Faults that lose nothing.
fn harmless() -> impl Strategy<Value = Vec<&'static str>> {
    let faults = [
        "latency:100ms~90ms",
        "latency:20ms",
        "latency:5ms,name=other",
        "bandwidth:20kB",
        "bandwidth:1MB,per=relay",
        "bandwidth:0,after=3kB",
        "slicer:100~50,delay=1ms",
        "slicer:7,after=100ms",
        "slow_close:2s",
        "corrupt:0",
        "limit:1GB",
    ];
    vec(select(faults.to_vec()), 0..4)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![(1..3000_usize).prop_map(Step::Say), (0..200_u64).prop_map(Step::Wait), harmless().prop_map(Step::Set)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn nothing_is_lost_doubled_or_overtaken_whatever_changes_when(
        first in harmless(),
        steps in vec(step(), 0..40),
        packets: bool,
    ) {
        let bench = Bench::new(1, &first);
        let mut run = bench.run(1, Way::Down, packets);
        let (mut said, mut now, mut pieces) = (Vec::new(), 0, Vec::new());
        for step in steps {
            match step {
                Step::Say(size) => {
                    let piece = content(said.len() + size).split_off(said.len());
                    run.say(&piece);
                    said.extend_from_slice(&piece);
                    pieces.push(piece);
                }
                Step::Wait(time) => {
                    now += time;
                    run.until(ms(now));
                }
                Step::Set(faults) => {
                    bench.set(&faults);
                    run.changed();
                }
            }
        }
        run.end().until(ms(now + 500));
        bench.set(&[]);
        run.changed();
        if packets {
            let mut came: Vec<_> = run.pieces().map(|piece| piece.bytes.to_vec()).collect();
            came.sort();
            pieces.sort();
            prop_assert!(came == pieces);
        } else {
            prop_assert!(run.bytes() == said);
        }
        prop_assert_eq!(run.ends().into_iter().map(|(_, end)| end).collect::<Vec<_>>(), [Out::End]);
        prop_assert_eq!(&run.out.last().unwrap().1, &Out::End);
        prop_assert!(run.chain.is_idle());
    }
}
