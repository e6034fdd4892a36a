//! A copy of what a client says, for somebody else.

use bytes::Bytes;
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::{
    address::Address,
    error::{Error, Kind},
    framing,
    message::Message,
    scope::Scope,
    session::Session,
    watch::Event,
};

/// Pieces of a conversation that may wait for whoever gets the copy. With more, it has fallen behind for good.
const QUEUE: usize = 256;

/// The copy of one conversation. It never slows that down: who gets the copy and falls behind gets no more of it.
pub(super) struct Tee {
    queue: Option<mpsc::Sender<Message>>,
    scope: Scope,
    to: String,
}

impl Tee {
    /// Begins a copy.
    pub(super) fn new(to: &Address, scope: &Scope) -> Self {
        let (queue, pieces) = mpsc::channel(QUEUE);
        let (address, of) = (to.clone(), scope.clone());
        scope.spawn(async move {
            if let Err(error) = copy(&address, &of, pieces).await {
                of.tell(&Event::Trouble { peer: None, error: &error });
            }
        });
        Self { queue: Some(queue), scope: scope.clone(), to: to.bare().to_string() }
    }

    pub(super) fn copy(&mut self, bytes: &[u8], text: bool) {
        let Some(queue) = &self.queue else { return };
        let sent = queue.try_send(Message { bytes: Bytes::copy_from_slice(bytes), text });
        if sent.is_err() {
            self.queue = None;
        }
        if let Err(TrySendError::Full(_)) = sent {
            let about = format!("{} takes its copy too slowly, and gets no more of it", self.to);
            self.scope.tell(&Event::Trouble { peer: None, error: &Error::new(Kind::TooLarge, about) });
        }
    }
}

/// Hands over a copy to its end, and hears nothing of what is answered.
async fn copy(to: &Address, scope: &Scope, mut pieces: mpsc::Receiver<Message>) -> crate::Result<()> {
    let mut session = scope.dial(to).await?.session(&framing::raw::SPEC);
    loop {
        tokio::select! {
            piece = pieces.recv() => match piece {
                Some(piece) => {
                    session.send(piece).await?;
                    session.flush().await?;
                }
                None => return session.close().await,
            },
            answer = session.recv() => if answer?.is_none() {
                // It may close its side, and go on listening.
                return only_send(session, pieces).await;
            },
        }
    }
}

async fn only_send(mut session: Session, mut pieces: mpsc::Receiver<Message>) -> crate::Result<()> {
    while let Some(piece) = pieces.recv().await {
        session.send(piece).await?;
        session.flush().await?;
    }
    session.finish().await
}
