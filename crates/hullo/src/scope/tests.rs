//! Scopes beside each other.

use std::sync::atomic::AtomicUsize;

use tokio::sync::oneshot;

use super::*;
use crate::peer::Endpoint;

#[tokio::test]
async fn a_scope_beside_another_stops_alone() {
    let scope = Scope::new(Limits::server(), None);
    let beside = scope.beside();
    let (kept, mut dropped) = oneshot::channel::<()>();
    beside.spawn(async move {
        std::future::pending::<()>().await;
        drop(kept);
    });
    assert!(!beside.end(Duration::ZERO).await, "what does not finish is dropped");
    assert!(dropped.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed));
    assert!(beside.is_stopping() && !scope.is_stopping());
    let other = scope.beside();
    scope.abort();
    assert!(!other.is_stopping(), "and so does the other");
    assert_eq!(other.limits().idle, scope.limits().idle);
}

#[tokio::test]
async fn scopes_that_stand_beside_each_other_share_the_watch_and_the_load_of_their_cores() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    let watch = move |event: &Event<'_>| {
        if let Event::Opened { .. } = event {
            count.fetch_add(1, Relaxed);
        }
    };
    let cores = vec![Handle::current(), Handle::current()];
    let scope = Scope::on_cores(Limits::server(), Some(Arc::new(watch)), cores, None);
    let beside = scope.beside();
    let peer = Peer::new("tcp", Endpoint::Unnamed, Endpoint::Unnamed);
    for one in [&scope, &beside] {
        one.tell(&Event::Opened { peer: &peer });
        one.converse_spread(peer.clone(), (), || Box::pin(std::future::pending()));
    }
    assert_eq!(seen.load(Relaxed), 2);
    for one in [&scope, &beside] {
        let loads: Vec<_> = one.0.life.cores.iter().map(|core| core.load.load(Relaxed)).collect();
        assert_eq!(loads, [1, 1]);
    }
}
