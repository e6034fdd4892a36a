//! A request's body, of which the rest is read where nobody wants it.
//!
//! A client of HTTP/2 that is answered in the middle of its body may never come to its end (RFC 9113, section 8.1, lets a
//! server do so, and curl 7 stalls). So the rest is read before the answer leaves, unless the answer is made of it.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, SizeHint};
use tokio::time::timeout;

use super::exchange::{Body, empty};
use crate::{
    error::{Error, Result},
    scope::Scope,
};

/// The most that is read and thrown away.
pub(crate) const UNREAD: usize = 64 << 20;

/// What a reader has let go of.
#[derive(Clone, Default)]
pub(crate) struct Left(Arc<Mutex<Option<Body>>>);

impl Left {
    /// Reads the rest of a body that nobody has any more, within bounds, and throws it away.
    pub(crate) async fn throw_away(self, scope: &Scope) {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut body) = left else { return };
        let mut left = UNREAD;
        let rest = async {
            while let Some(Ok(frame)) = body.frame().await {
                let Some(less) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
                left = less;
            }
        };
        // Who is not done by then is cut off.
        let _ = timeout(scope.limits().timeout, rest).await;
    }
}

/// A body whose rest is [`Left`] where its reader lets go of it before the end.
pub(crate) struct Unread {
    body: Body,
    left: Left,
}

impl Unread {
    pub(crate) fn new(body: Body, left: &Left) -> Self {
        Self { body, left: left.clone() }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            let body = std::mem::replace(&mut self.body, empty());
            *self.left.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}

impl hyper::body::Body for Unread {
    type Data = Bytes;
    type Error = Error;

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
