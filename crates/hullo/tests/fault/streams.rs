//! Streams: what comes, and when.

use hullo::fault::Out;

use crate::bench::{Bench, ms};

#[test]
fn without_faults_everything_passes_at_once() {
    let bench = Bench::new(1, &[]);
    let mut run = bench.stream(1);
    run.say("one").say("two").end();
    assert_eq!(run.bytes(), b"onetwo");
    assert_eq!(run.ends(), [(ms(0), Out::End)]);
    assert!(run.chain.is_idle() && bench.hits().is_empty());
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
