//! Where a relay leads to: which server is next, and which are there.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{
    address::Address,
    error::{Error, Result},
    link::Link,
    scope::Scope,
    watch::Event,
};

/// How long a server that was not there is passed over: at first, and at most.
const FIRST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(30);

/// Which of several servers a client is led to. One that is not there is passed over, and tried again now and then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// The first one, as long as it is there; the others stand in for it.
    #[default]
    First,
    /// One after the other.
    RoundRobin,
    /// The one with the fewest conversations.
    Least,
}

/// The servers.
pub(super) struct Targets {
    all: Vec<Arc<Target>>,
    balance: Balance,
    check: Option<Duration>,
    next: AtomicUsize,
    begun: AtomicBool,
}

struct Target {
    address: Address,
    conversations: AtomicUsize,
    state: Mutex<State>,
}

/// What is known of a server.
#[derive(Default)]
struct State {
    /// It was not there, and is passed over until then.
    absent: Option<Instant>,
    /// For how long it is passed over the next time.
    patience: Duration,
}

/// A conversation with a server, for as long as this lives.
pub(super) struct Lease(Arc<Target>);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.conversations.fetch_sub(1, Relaxed);
    }
}

impl Targets {
    pub(super) fn new(to: Vec<Address>, balance: Balance, check: Option<Duration>) -> Result<Self> {
        if to.is_empty() {
            return Err(Error::usage("a relay has nowhere to lead to").hint("hullo relay LISTEN TO..."));
        }
        let target =
            |address| Arc::new(Target { address, conversations: AtomicUsize::new(0), state: Mutex::default() });
        let all = to.into_iter().map(target).collect();
        Ok(Self { all, balance, check, next: AtomicUsize::new(0), begun: AtomicBool::new(false) })
    }

    /// Tries each server now and then, if that is wished.
    pub(super) fn begin(self: Arc<Self>, scope: &Scope) {
        let Some(every) = self.check.filter(|_| !self.begun.swap(true, Relaxed)) else { return };
        for target in self.all.clone() {
            let of = scope.on_nobodys_behalf();
            scope.spawn(async move {
                while !of.is_stopping() {
                    let tried = of.dial(&target.address).await.map(drop);
                    target.learn(&of, tried.as_ref().err(), every);
                    tokio::select! {
                        () = of.stopped() => {}
                        () = sleep(every) => {}
                    }
                }
            });
        }
    }

    /// A link to the first server that is there, of those whose turn it is.
    ///
    /// # Errors
    /// None of them is: what the last one that was tried had against it.
    pub(super) async fn reach(&self, scope: &Scope) -> Result<(Link, Lease)> {
        let mut failed = None;
        for target in self.in_turn() {
            target.conversations.fetch_add(1, Relaxed);
            let lease = Lease(target.clone());
            let dialled = scope.dial(&target.address).await;
            if self.all.len() > 1 || dialled.is_ok() {
                target.learn(scope, dialled.as_ref().err(), FIRST);
            }
            match dialled {
                Ok(link) => return Ok((link, lease)),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| Error::usage("a relay has nowhere to lead to")))
    }

    /// All servers, those that are there first, in the order in which they are to be tried.
    fn in_turn(&self) -> Vec<Arc<Target>> {
        let mut all = self.all.clone();
        match self.balance {
            Balance::First => {}
            Balance::RoundRobin => {
                let first = self.next.fetch_add(1, Relaxed) % all.len().max(1);
                all.rotate_left(first);
            }
            Balance::Least => all.sort_by_key(|target| target.conversations.load(Relaxed)),
        }
        if all.len() > 1 {
            let now = Instant::now();
            all.sort_by_key(|target| target.is_absent(now));
        }
        all
    }
}

impl Target {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_absent(&self, now: Instant) -> bool {
        self.state().absent.is_some_and(|until| until > now)
    }

    /// Takes note of whether it is there, and tells of a change. It is passed over for `least` or longer.
    fn learn(&self, scope: &Scope, failed: Option<&Error>, least: Duration) {
        let address = self.address.bare();
        let mut state = self.state();
        let was_absent = state.absent.is_some();
        let Some(error) = failed else {
            *state = State::default();
            drop(state);
            if was_absent {
                scope.tell(&Event::Note(&format!("{address} is there again")));
            }
            return;
        };
        let patience = state.patience.clamp(FIRST, MOST).max(least);
        *state = State { absent: Some(Instant::now() + patience), patience: patience * 2 };
        drop(state);
        if !was_absent {
            scope.tell(&Event::Note(&format!("{address} is passed over: {error}")));
        }
    }
}
