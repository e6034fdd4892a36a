//! The same seed makes the same decisions.

use std::collections::BTreeSet;

use hullo::traffic::Way;
use proptest::{collection::vec, prelude::*};

use crate::bench::{Bench, content, ms};

const ALL: &[&str] =
    &["limit:20000,every=2,after=10b", "corrupt:0.01,p=0.5", "loss:0.3,way=up", "slow_close:1s", "reset:7s,first=3"];

/// What is told of conversations in which the same is said, in such pieces and with such waits, sorted by fault.
fn told(seed: u64, pieces: &[(usize, u64)]) -> Vec<String> {
    let bench = Bench::new(seed, ALL);
    for flow in 1..=4 {
        for way in [Way::Up, Way::Down] {
            let mut run = bench.run(flow, way, false);
            let said = content(30_000);
            let (mut rest, mut now) = (&said[..], 0);
            for (size, wait) in pieces {
                let piece = rest.split_off(..(*size).min(rest.len())).unwrap();
                now += wait;
                run.until(ms(now)).say(piece);
            }
            run.say(rest).end().finish();
        }
    }
    let mut hits = bench.hits();
    hits.sort_by_key(|hit| hit.split(':').next().map(str::to_owned));
    hits
}

#[test]
fn the_same_seed_tells_the_same_and_another_one_something_else() {
    let one = told(7, &[]);
    assert!(one.len() > 20, "{one:?}");
    assert_eq!(one, told(7, &[]));
    assert_ne!(one, told(8, &[]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn neither_pieces_nor_time_make_a_difference(seed: u64, pieces in vec((0..3000_usize, 0..50_u64), 0..20)) {
        prop_assert!(told(seed, &[]) == told(seed, &pieces));
    }
}

#[test]
fn conversations_are_chosen_by_number_and_by_share() {
    let chosen = |fault: &str| -> Vec<u64> {
        let bench = Bench::new(1, &[fault]);
        (1..=1000).filter(|flow| bench.faults.refuses(*flow)).collect()
    };
    assert_eq!(chosen("down,first=3"), [1, 2, 3]);
    assert_eq!(chosen("down,every=300"), [300, 600, 900]);
    assert_eq!(chosen("down,every=300,first=700"), [300, 600]);
    assert!(chosen("latency:1s").is_empty() && chosen("down,p=0").is_empty() && chosen("down").len() == 1000);
    let share = chosen("down,p=0.2");
    assert!((150..250).contains(&share.len()), "{} of 1,000", share.len());
    assert_eq!(chosen("down,p=0.2"), share);
    assert_ne!(chosen("down,p=0.2,name=other"), share, "a name draws for itself");
    let more: BTreeSet<_> = chosen("down,p=0.3").into_iter().collect();
    assert!(share.iter().all(|flow| more.contains(flow)), "a larger share has the smaller one");
}

#[test]
fn both_ways_of_a_conversation_have_a_fault_or_neither() {
    let bench = Bench::new(1, &["latency:1s,p=0.5"]);
    let has = |flow, way| {
        let mut run = bench.run(flow, way, false);
        run.say("x");
        run.out.is_empty()
    };
    let ups: Vec<_> = (1..=100).map(|flow| has(flow, Way::Up)).collect();
    assert_eq!(ups, (1..=100).map(|flow| has(flow, Way::Down)).collect::<Vec<_>>());
    assert!((30..70).contains(&ups.iter().filter(|has| **has).count()));
}

#[test]
fn who_is_refused_is_told() {
    let bench = Bench::new(1, &["down,first=1,name=closed"]);
    assert!(bench.faults.refuses(1) && !bench.faults.refuses(2));
    assert_eq!(bench.hits(), ["1 closed: refused"]);
}
