//! What many wait for at once: that a scope is to stop.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    task::{Context, Waker},
};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Something that is raised once, and then stays.
#[derive(Default)]
pub(crate) struct Signal {
    pub(super) raised: AtomicBool,
    pub(super) token: CancellationToken,
}

impl Signal {
    pub(crate) fn raise(&self) {
        self.raised.store(true, Relaxed);
        self.token.cancel();
    }
}

/// Listens for a [`Signal`]. The token's lock, which all connections of all cores share, is taken when this begins to
/// listen, and not at every poll.
#[derive(Default)]
pub(crate) struct Bell(Option<(Pin<Box<WaitForCancellationFutureOwned>>, Waker)>);

impl Bell {
    #[inline]
    pub(crate) fn rung(&mut self, signal: &Signal, cx: &mut Context<'_>) -> bool {
        let listens = self.0.as_ref().is_some_and(|(_, waker)| waker.will_wake(cx.waker()));
        signal.raised.load(Relaxed) || !listens && self.listen(signal, cx)
    }

    /// It is seldom done, and so kept out of the way.
    #[cold]
    fn listen(&mut self, signal: &Signal, cx: &mut Context<'_>) -> bool {
        let mut wait = Box::pin(signal.token.clone().cancelled_owned());
        let rung = wait.as_mut().poll(cx).is_ready();
        self.0 = Some((wait, cx.waker().clone()));
        rung
    }
}
