//! How much there is in all, counted beside the sending.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use super::super::{
    Source,
    carry::{Event, Port},
    walk,
};

/// How long the announcing may take before all is counted beside it.
const SOON: Duration = Duration::from_millis(200);

/// A count, which ends when this is dropped.
pub(super) struct Counting(Arc<AtomicBool>);

impl Counting {
    pub(super) fn begin(sources: Vec<Source>, port: &Port<(u64, u64)>) -> Self {
        let (go_on, own) = (Arc::new(AtomicBool::new(true)), port.own());
        let on = go_on.clone();
        thread::spawn(move || {
            // What is soon announced in whole is counted on the way.
            thread::park_timeout(SOON);
            let total = on.load(Relaxed).then(|| walk::count(&sources, || on.load(Relaxed))).flatten();
            if let (Some(total), Some(own)) = (total, own.upgrade()) {
                // The sending may be over.
                let _ = own.send(Event::Own(total));
            }
        });
        Self(go_on)
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}
