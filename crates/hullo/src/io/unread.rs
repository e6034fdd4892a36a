//! A request's body, of which the rest is read where nobody wants it.
//!
//! A client of HTTP/2 that is told to stop sending in the middle of its body may forget the answer that came before
//! (RFC 9113, section 8.1, lets a server do so, and curl 7 does).

use std::{
    pin::Pin,
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

/// A body that is read to its end, within bounds, though its reader lets go of it.
pub(crate) struct Unread {
    body: Body,
    scope: Scope,
}

impl Unread {
    pub(crate) fn new(body: Body, scope: &Scope) -> Self {
        Self { body, scope: scope.clone() }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            return;
        }
        let mut body = std::mem::replace(&mut self.body, empty());
        let limit = self.scope.limits().timeout;
        self.scope.spawn(async move {
            let mut left = UNREAD;
            let rest = async {
                while let Some(Ok(frame)) = body.frame().await {
                    let Some(less) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
                    left = less;
                }
            };
            // Who is not done by then is cut off.
            let _ = timeout(limit, rest).await;
        });
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
