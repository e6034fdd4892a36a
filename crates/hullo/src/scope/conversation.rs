//! The task of a connection.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use super::{Bell, BoxFuture, Scope};
use crate::{error::Result, peer::Peer, watch::Event};

/// A conversation, bounded by its scope. If it fails, whoever watches is told.
///
/// It is written by hand since there are thousands of them: an async function keeps what it awaits twice, where it came in
/// and where it is awaited, and one that awaits that one keeps it four times.
pub(super) struct Conversation<P> {
    talk: Talk,
    scope: Scope,
    peer: Peer,
    abort: Bell,
    /// They are given back when the conversation is over.
    _places: P,
}

/// What is said, once it has begun on the core that it belongs to.
enum Talk {
    Due(Option<Box<dyn FnOnce() -> BoxFuture<'static, Result<()>> + Send>>),
    Begun(BoxFuture<'static, Result<()>>),
}

impl<P> Conversation<P> {
    pub(super) fn new(
        scope: &Scope,
        peer: Peer,
        places: P,
        begin: impl FnOnce() -> BoxFuture<'static, Result<()>> + Send + 'static,
    ) -> Self {
        let talk = Talk::Due(Some(Box::new(begin)));
        Self { talk, scope: scope.clone(), peer, abort: Bell::default(), _places: places }
    }
}

impl Talk {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if let Self::Due(begin) = self {
            let Some(begin) = begin.take() else { return Poll::Ready(Ok(())) };
            *self = Self::Begun(begin());
        }
        match self {
            Self::Begun(talk) => talk.as_mut().poll(cx),
            Self::Due(_) => Poll::Pending,
        }
    }
}

impl<P: Unpin> Future for Conversation<P> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.abort.rung(&this.scope.0.life.abort, cx) {
            return Poll::Ready(());
        }
        if let Err(error) = ready!(this.talk.poll(cx)) {
            this.scope.tell(&Event::Trouble { peer: Some(&this.peer), error: &error });
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_is_small() {
        assert_eq!(size_of::<Conversation<()>>(), 64, "each connection has one");
    }
}
