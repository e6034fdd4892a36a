//! A copy of what a client says, for somebody else.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::{
    address::Address,
    error::{Error, Kind},
    framing,
    message::Message,
    scope::Scope,
    watch::Event,
};

/// Pieces of a conversation, and their bytes, that may wait for whoever gets the copy. With more, it has fallen behind for
/// good.
const QUEUE: usize = 256;
const BYTES: usize = 1 << 20;

/// The copy of one conversation. It never slows that down: who gets the copy and falls behind gets no more of it.
pub(super) struct Tee {
    queue: Option<mpsc::Sender<Message>>,
    /// The bytes that wait.
    waiting: Arc<AtomicUsize>,
    scope: Scope,
    to: String,
}

impl Tee {
    /// Begins a copy.
    pub(super) fn new(to: &Address, scope: &Scope) -> Self {
        let (queue, pieces) = mpsc::channel(QUEUE);
        let waiting = Arc::new(AtomicUsize::new(0));
        let (address, of) = (to.clone(), scope.clone());
        let pieces = Pieces { pieces, waiting: waiting.clone() };
        scope.spawn(async move {
            if let Err(error) = copy(&address, &of, pieces).await {
                of.tell(&Event::Trouble { peer: None, error: &error });
            }
        });
        Self { queue: Some(queue), waiting, scope: scope.clone(), to: to.bare().to_string() }
    }

    pub(super) fn copy(&mut self, bytes: &[u8], text: bool) {
        let Some(queue) = &self.queue else { return };
        let fits = self.waiting.fetch_add(bytes.len(), Relaxed) + bytes.len() <= BYTES;
        let is_behind = match queue.try_reserve() {
            Ok(place) if fits => return place.send(Message { bytes: Bytes::copy_from_slice(bytes), text }),
            Ok(_) | Err(TrySendError::Full(())) => true,
            Err(TrySendError::Closed(())) => false,
        };
        self.queue = None;
        if is_behind {
            let about = format!("{} takes its copy too slowly, and gets no more of it", self.to);
            self.scope.tell(&Event::Trouble { peer: None, error: &Error::new(Kind::TooLarge, about) });
        }
    }
}

/// What is to be copied.
struct Pieces {
    pieces: mpsc::Receiver<Message>,
    waiting: Arc<AtomicUsize>,
}

/// Hands over a copy to its end, and hears nothing of what is answered: that is read while a piece waits too, since who
/// answers may take no more until somebody has heard it.
async fn copy(to: &Address, scope: &Scope, mut pieces: Pieces) -> crate::Result<()> {
    let mut session = scope.dial(to).await?.session(&framing::raw::SPEC);
    let (mut held, mut is_deaf) = (None, false);
    poll_fn(|cx| {
        while !is_deaf {
            match session.poll_recv(cx)? {
                Poll::Ready(answer) => is_deaf = answer.is_none(),
                Poll::Pending => break,
            }
        }
        loop {
            if held.is_none() {
                let Poll::Ready(piece) = pieces.poll_next(cx) else { break };
                let Some(piece) = piece else { return session.poll_finish(cx) };
                held = Some(piece);
            }
            ready!(session.poll_room(cx))?;
            if let Some(piece) = held.take() {
                session.put(piece)?;
            }
        }
        let _ = session.poll_flush(cx)?;
        Poll::Pending
    })
    .await?;
    session.close().await
}

impl Pieces {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let piece = ready!(self.pieces.poll_recv(cx));
        if let Some(piece) = &piece {
            self.waiting.fetch_sub(piece.bytes.len(), Relaxed);
        }
        Poll::Ready(piece)
    }
}
