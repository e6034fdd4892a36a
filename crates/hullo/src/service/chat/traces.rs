//! Who was known by a name a moment ago: for as long as somebody may still mean them by it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Instant,
};

use super::people::KEPT;

/// Names that are remembered; of more, those that came first are forgotten first.
const MOST: usize = 4096;

/// Somebody who had a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trace {
    pub(super) author: Arc<str>,
    /// Where they were last, where that tells people apart.
    pub(super) network: Option<String>,
}

/// Who had which name, by what makes names the same.
#[derive(Default)]
pub(super) struct Traces {
    names: HashMap<String, (u64, Trace)>,
    /// The same in the order in which they came.
    order: BTreeMap<u64, (Instant, String)>,
    count: u64,
}

impl Traces {
    pub(super) fn get(&self, key: &str) -> Option<&Trace> {
        self.names.get(key).map(|(_, trace)| trace)
    }

    pub(super) fn keep(&mut self, key: String, trace: Trace, now: Instant) {
        self.count += 1;
        self.order.insert(self.count, (now, key.clone()));
        if let Some((was, _)) = self.names.insert(key, (self.count, trace)) {
            self.order.remove(&was);
        }
        self.sweep(now);
    }

    pub(super) fn remove(&mut self, key: &str) {
        if let Some((number, _)) = self.names.remove(key) {
            self.order.remove(&number);
        }
    }

    /// Keeps the last so many of one author.
    pub(super) fn shorten(&mut self, author: &str, most: usize) {
        let theirs =
            |(_, (_, key)): &(&u64, &(Instant, String))| self.get(key).is_some_and(|one| *one.author == *author);
        let old: Vec<_> = self.order.iter().rev().filter(theirs).skip(most).map(|(_, (_, key))| key.clone()).collect();
        old.iter().for_each(|key| self.remove(key));
    }

    /// Forgets what is too old or too much.
    pub(super) fn sweep(&mut self, now: Instant) {
        while let Some((_, (since, _))) = self.order.first_key_value() {
            if self.order.len() <= MOST && now.saturating_duration_since(*since) < KEPT {
                return;
            }
            if let Some((_, (_, key))) = self.order.pop_first() {
                self.names.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(author: &str) -> Trace {
        Trace { author: author.into(), network: None }
    }

    #[test]
    fn of_too_many_the_first_are_forgotten_and_of_old_ones_all() {
        let (mut traces, now) = (Traces::default(), Instant::now());
        (0..=MOST).for_each(|number| traces.keep(format!("n{number}"), trace("one"), now));
        assert_eq!((traces.get("n0"), traces.get("n1")), (None, Some(&trace("one"))));
        traces.keep("n1".to_owned(), trace("other"), now + KEPT / 2);
        traces.sweep(now + KEPT);
        assert_eq!((traces.get("n2"), traces.get("n1")), (None, Some(&trace("other"))), "what came again counts anew");
        traces.sweep(now + 2 * KEPT);
        assert!(traces.names.is_empty() && traces.order.is_empty());
    }

    #[test]
    fn one_author_keeps_the_last_of_theirs() {
        let (mut traces, now) = (Traces::default(), Instant::now());
        ["a", "b", "c"].into_iter().for_each(|key| traces.keep(key.to_owned(), trace("one"), now));
        traces.keep("d".to_owned(), trace("other"), now);
        traces.shorten("one", 1);
        assert_eq!(["a", "b", "c", "d"].map(|key| traces.get(key).is_some()), [false, false, true, true]);
    }
}
