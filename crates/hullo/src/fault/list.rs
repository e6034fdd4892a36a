//! The faults of one relay, as they are now, and who must know when they change.

use std::{
    any::Any,
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Waker},
};

use super::{Chain, Fault, On};
use crate::{peer::Peer, traffic::Way};

/// Who is told of every [`Hit`].
pub type Log = Arc<dyn Fn(&Hit) + Send + Sync>;

/// A fault has taken hold of a conversation, or something has come of it.
///
/// There is no time in it: the same seed and the same bytes make the same hits of a fault, in the same order. Those of
/// several faults, ways and conversations come between each other as it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The number of the conversation.
    pub flow: u64,
    /// The name of the fault.
    pub fault: String,
    /// The direction; nothing where it is the conversation as a whole.
    pub way: Option<Way>,
    /// What happens.
    pub what: String,
}

impl fmt::Display for Hit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.flow)?;
        if let Some(way) = self.way {
            write!(f, "{way} ")?;
        }
        write!(f, "{}: {}", self.fault, self.what)
    }
}

/// The faults of one relay, which all its conversations share. They may be changed at any time, from any thread.
pub struct Faults {
    seed: u64,
    log: Option<Log>,
    /// The number of changes, from 1.
    version: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    list: Vec<Arc<Fault>>,
    /// Which tasks wait for a change, by the number of their chain.
    waiting: HashMap<u64, Waker>,
    chains: u64,
    /// What stages of several conversations share, while one of them has it.
    shared: HashMap<String, Weak<dyn Any + Send + Sync>>,
}

impl Faults {
    /// No faults yet. What is drawn is drawn from `seed`, and `log` is told what comes of it; it is called from many
    /// threads, and must neither wait nor change the faults.
    pub fn new(seed: u64, log: Option<Log>) -> Self {
        Self { seed, log, version: AtomicU64::new(1), state: Mutex::default() }
    }

    /// From now on these, in that order. Of several with one name, the later ones are given a number: `latency-2`.
    ///
    /// It never waits, however many conversations there are and however often it is called.
    pub fn set(&self, faults: Vec<Fault>) {
        let list: Vec<_> = with_names(faults).into_iter().map(Arc::new).collect();
        let waiting = {
            let mut state = self.state();
            state.list = list;
            self.version.fetch_add(1, Ordering::Release);
            std::mem::take(&mut state.waiting)
        };
        for waker in waiting.into_values() {
            waker.wake();
        }
    }

    /// The faults, in order.
    pub fn list(&self) -> Vec<Fault> {
        self.state().list.iter().map(|fault| Fault::clone(fault)).collect()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.state().list.is_empty()
    }

    /// Whether that conversation is to end at once, before anybody is dialled for it. `flow` is its number among those
    /// of the relay, from 1.
    pub fn refuses(&self, flow: u64) -> bool {
        let (_, list) = self.current();
        let fault = list.iter().find(|fault| fault.spec.on == On::Conversations && fault.chooses(self.seed, flow));
        if let Some(fault) = fault {
            self.tell(|| Hit { flow, fault: fault.name.clone(), way: None, what: "refused".to_owned() });
        }
        fault.is_some()
    }

    /// What one direction of a conversation goes through, which begins now. `flow` is its number among those of the
    /// relay, from 1, and `peer` its client.
    pub fn chain(self: &Arc<Self>, flow: u64, peer: &Peer, way: Way, packets: bool) -> Chain {
        let id = {
            let mut state = self.state();
            state.chains += 1;
            state.chains
        };
        Chain::new(self.clone(), id, (flow, peer.clone(), way, packets))
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    pub(super) fn tell(&self, hit: impl FnOnce() -> Hit) {
        if let Some(log) = &self.log {
            log(&hit());
        }
    }

    /// The number of the last change.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The faults, and the number of the change that brought them.
    pub(super) fn current(&self) -> (u64, Vec<Arc<Fault>>) {
        let state = self.state();
        (self.version(), state.list.clone())
    }

    /// Whether nothing has changed since `version`; then that chain's task is woken by the next change.
    pub(super) fn wait(&self, chain: u64, version: u64, cx: &Context<'_>) -> bool {
        let mut state = self.state();
        // A change is made under this lock, so that none comes between the look and the wait.
        let same = self.version() == version;
        if same {
            state.waiting.insert(chain, cx.waker().clone());
        }
        same
    }

    /// That chain is gone.
    pub(super) fn forget(&self, chain: u64) {
        self.state().waiting.remove(&chain);
    }

    /// What all stages share that ask for it by that name.
    pub(super) fn shared<T: Any + Default + Send + Sync>(&self, name: String) -> Arc<T> {
        let mut state = self.state();
        let had = state.shared.get(&name).and_then(Weak::upgrade).and_then(|had| had.downcast().ok());
        had.unwrap_or_else(|| {
            let new = Arc::<T>::default();
            if state.shared.len() == state.shared.capacity() {
                state.shared.retain(|_, had| had.strong_count() > 0);
            }
            let weak: Weak<dyn Any + Send + Sync> = Arc::downgrade(&(new.clone() as _));
            state.shared.insert(name, weak);
            new
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list()).finish()
    }
}

/// The same faults, no two of one name: by their names they are known again after a change.
fn with_names(mut faults: Vec<Fault>) -> Vec<Fault> {
    let mut names: BTreeSet<_> = faults.iter().map(|fault| fault.name.clone()).collect();
    let mut had = BTreeSet::new();
    for fault in &mut faults {
        if !had.insert(fault.name.clone()) {
            let free = (2_u64..).map(|n| format!("{}-{n}", fault.name)).find(|name| !names.contains(name));
            fault.name = free.unwrap_or_default();
            names.insert(fault.name.clone());
            had.insert(fault.name.clone());
        }
    }
    faults
}
