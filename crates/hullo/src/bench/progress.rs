//! How a load test goes, for whoever looks while it runs.

use std::time::Duration;

use super::{tally::Counts, thread::State};

/// How it goes: about four times a second.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Since what counts began; zero while it warms up.
    pub at: Duration,
    /// What there was so far. What has no answer yet is offered, and neither answered nor failed.
    pub counts: Counts,
    /// Kinds of failures so far.
    pub failures: Vec<(String, u64)>,
    /// Answers since the last time by their buckets ([`super::buckets`]).
    pub latency: Vec<(u16, u32)>,
    /// How late requests left by our own fault, in the worst hundredth so far.
    pub lag: Duration,
}

impl Progress {
    pub(crate) fn of(state: &mut State, at: Duration) -> Self {
        let tally = &mut state.tally;
        Self {
            at,
            counts: tally.counts,
            failures: tally.failures.iter().map(|(failure, count)| (failure.to_string(), *count)).collect(),
            latency: tally.recent(),
            lag: Duration::from_nanos(tally.lag.value_at_quantile(0.99)),
        }
    }
}

/// The last words of each thread, of which one picture is made.
pub(crate) struct Progresses(Vec<Progress>);

impl Progresses {
    pub(crate) fn new(threads: usize) -> Self {
        Self(vec![Progress::default(); threads])
    }

    /// A thread has said something new: the picture of all.
    pub(crate) fn heard(&mut self, thread: usize, new: Progress) -> Progress {
        let latency = new.latency.clone();
        self.0[thread] = new;
        let mut all = Progress { latency, ..Progress::default() };
        for one in &self.0 {
            all.at = all.at.max(one.at);
            all.lag = all.lag.max(one.lag);
            all.counts.add(&one.counts);
            for (name, count) in &one.failures {
                match all.failures.iter_mut().find(|(known, _)| known == name) {
                    Some((_, sum)) => *sum += count,
                    None => all.failures.push((name.clone(), *count)),
                }
            }
        }
        all
    }
}
