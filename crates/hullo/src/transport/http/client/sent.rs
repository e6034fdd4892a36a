//! When a request has been sent: the answer is waited for from then on.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio_util::sync::CancellationToken;

use crate::{error::Result, io::exchange::Body};

/// A request's body that says when all of it was taken.
pub(super) struct Tracked {
    body: Body,
    sent: Sent,
}

/// Whether that is so.
#[derive(Clone)]
pub(super) struct Sent(Arc<CancellationToken>);

impl Tracked {
    pub(super) fn new(body: Body) -> (Self, Sent) {
        let sent = Sent(Arc::new(CancellationToken::new()));
        (Self { body, sent: sent.clone() }, sent)
    }
}

impl Sent {
    pub(super) fn is_over(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Completes when all of it was taken, or nobody takes it any more. Cancel-safe.
    pub(super) async fn over(&self) {
        self.0.cancelled().await;
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.sent.0.cancel();
    }
}

impl hyper::body::Body for Tracked {
    type Data = Bytes;
    type Error = crate::error::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
