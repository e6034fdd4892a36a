//! The beginning of a run: it waits for all connections that will come.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::{sync::watch, time::Instant};

use super::{Plan, turns::Schedule};
use crate::error::Error;

/// Where the connections of all threads wait for each other.
pub(crate) struct Gathering {
    plan: Arc<Plan>,
    missing: Mutex<Missing>,
    start: watch::Sender<Start>,
}

struct Missing {
    /// How many have not said yet whether they stand, and how many do.
    open: usize,
    standing: usize,
    /// Why the first of the others does not.
    error: Option<Error>,
    /// The first thing that went wrong later.
    trouble: Option<Error>,
}

#[derive(Clone)]
enum Start {
    Waiting,
    At(Arc<Schedule>),
    Never,
}

impl Gathering {
    pub(crate) fn new(plan: Arc<Plan>) -> Self {
        let missing = Missing { open: plan.connections, standing: 0, error: None, trouble: None };
        Self { plan, missing: Mutex::new(missing), start: watch::Sender::new(Start::Waiting) }
    }

    /// A connection stands, or failed. The last one begins the run, if there is one that stands.
    pub(crate) fn arrive(&self, failed: Option<Error>) {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.open = missing.open.saturating_sub(1);
        match failed {
            None => missing.standing += 1,
            Some(error) => drop(missing.error.get_or_insert(error)),
        }
        if missing.open == 0 && matches!(*self.start.borrow(), Start::Waiting) {
            let start = if missing.standing > 0 {
                Start::At(Arc::new(self.plan.schedule(Instant::now())))
            } else {
                Start::Never
            };
            self.start.send_replace(start);
        }
    }

    /// Nobody waits any longer, if the run has not begun yet.
    pub(crate) fn give_up(&self, why: Error) {
        let waits = |start: &mut Start| {
            let waits = matches!(start, Start::Waiting);
            if waits {
                *start = Start::Never;
            }
            waits
        };
        if self.start.send_if_modified(waits) {
            self.missing.lock().unwrap_or_else(PoisonError::into_inner).error = Some(why);
        }
    }

    /// Something went wrong that has more to say than its kind: the first one is remembered.
    pub(crate) fn trouble(&self, error: Error) {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.trouble.get_or_insert(error);
    }

    /// What went wrong first.
    pub(crate) fn first_trouble(&self) -> Option<Error> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).trouble.take()
    }

    /// Waits for the beginning; none if no connection could be had. Cancel-safe.
    pub(crate) async fn start(&self) -> Option<Arc<Schedule>> {
        let mut start = self.start.subscribe();
        // The sender is ours.
        let start = start.wait_for(|start| !matches!(start, Start::Waiting)).await.ok()?;
        match &*start {
            Start::At(schedule) => Some(schedule.clone()),
            Start::Waiting | Start::Never => None,
        }
    }

    /// Why the first connection that failed did.
    pub(crate) fn error(&self) -> Option<Error> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).error.take()
    }
}
