//! One request at a time for each upload.
//!
//! A client whose connection broke asks again while we may not know yet that the old one is dead. So the newer request ends
//! the older one, as section 4.6 of draft-ietf-httpbis-resumable-upload advises, and goes on when that has let go.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long an older request may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Mutex<HashMap<Vec<u8>, Signals>>>);

#[derive(Clone, Default)]
struct Signals {
    stop: CancellationToken,
    over: CancellationToken,
}

/// A request's turn at an upload, until it is dropped.
pub(super) struct Turn {
    key: Vec<u8>,
    signals: Signals,
    turns: Turns,
}

impl Turns {
    /// A turn, if nobody has it.
    pub(super) fn free(&self, key: &[u8]) -> Option<Turn> {
        let mut turns = self.lock();
        if turns.contains_key(key) {
            return None;
        }
        let signals = Signals::default();
        turns.insert(key.to_vec(), signals.clone());
        Some(Turn { key: key.to_vec(), signals, turns: self.clone() })
    }

    /// The turn of whoever has it now. Nothing if that does not let go in time.
    pub(super) async fn next(&self, key: &[u8]) -> Option<Turn> {
        let turn = async {
            loop {
                if let Some(turn) = self.free(key) {
                    return turn;
                }
                let older = self.lock().get(key).cloned();
                if let Some(older) = older {
                    older.stop.cancel();
                    older.over.cancelled().await;
                }
            }
        };
        timeout(PATIENCE, turn).await.ok()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Signals>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Completes when a newer request wants this turn.
    pub(super) async fn is_wanted(&self) {
        self.signals.stop.cancelled().await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.lock().remove(&self.key);
        self.signals.over.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newer_request_ends_the_older_one() {
        let turns = Turns::default();
        let first = turns.free(b"a").unwrap();
        assert!(turns.free(b"a").is_none() && turns.free(b"b").is_some());
        let second = tokio::spawn({
            let turns = turns.clone();
            async move { turns.next(b"a").await.is_some() }
        });
        first.is_wanted().await;
        drop(first);
        assert!(second.await.unwrap());
        assert!(turns.free(b"a").is_some(), "nothing is left behind");
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_let_go_is_not_waited_for_for_ever() {
        let turns = Turns::default();
        let _first = turns.free(b"a").unwrap();
        assert!(turns.next(b"a").await.is_none());
    }
}
