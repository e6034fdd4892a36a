//! A request's body, of which the rest is read where nobody wants it.
//!
//! A connection whose client is still sending cannot be kept for the next request, and closing it may take the answer from
//! the client (RFC 9112, sections 9.3 and 9.6). Whoever posts to `/redirect-to` goes on over the same connection.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::time::timeout;

use super::bounds;
use crate::{error::Result, io::exchange::Body};

/// A body that stays where it is when a reader lets go of it.
#[derive(Clone)]
pub(super) struct Lent(Arc<Mutex<Inner>>);

struct Inner {
    body: Body,
    begun: bool,
}

impl Lent {
    pub(super) fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(Inner { body, begun: false })))
    }

    /// Reads the rest and throws it away, within bounds. A client that `expects` to be asked for its body, and was not,
    /// has not sent it.
    pub(super) async fn throw_away(mut self, expects: bool) {
        if expects && !self.with(|inner| inner.begun) {
            return;
        }
        let mut left = bounds::UNREAD;
        let rest = async {
            while let Some(Ok(frame)) = self.frame().await {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                let Some(less) = left.checked_sub(length) else { return };
                left = less;
            }
        };
        // Who is not done by then is cut off, as without this.
        let _ = timeout(bounds::DELAY, rest).await;
    }

    fn with<T>(&self, run: impl FnOnce(&mut Inner) -> T) -> T {
        run(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl hyper::body::Body for Lent {
    type Data = Bytes;
    type Error = crate::error::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        self.with(|inner| {
            inner.begun = true;
            Pin::new(&mut inner.body).poll_frame(cx)
        })
    }

    fn is_end_stream(&self) -> bool {
        self.with(|inner| inner.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.with(|inner| inner.body.size_hint())
    }
}
