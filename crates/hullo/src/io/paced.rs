//! A request's body that must keep coming.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::{
    error::{Error, Kind, Result},
    scope::Scope,
};

/// The least that a body must bring in a second, on average, once it had its time.
const LEAST: u64 = 50;

/// How long a body may take its time.
const TIME: Duration = Duration::from_secs(30);

/// A body that fails once it trickles: a client must not hold a connection with a byte now and then.
///
/// That it comes to a halt altogether is for the connection's `idle` to notice.
pub(crate) struct Paced<B> {
    body: B,
    since: Instant,
    received: u64,
    strict: bool,
}

impl<B> Paced<B> {
    pub(crate) fn new(body: B, scope: &Scope) -> Self {
        Self { body, since: Instant::now(), received: 0, strict: scope.limits().idle.is_some() }
    }
}

impl<B: Body<Data = Bytes, Error = Error> + Unpin> Body for Paced<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let frame = frame.transpose()?;
        if let Some(data) = frame.as_ref().and_then(Frame::data_ref) {
            self.received += data.len() as u64;
            let taken = self.since.elapsed();
            if self.strict && taken > TIME && self.received < LEAST * taken.as_secs() {
                let about = format!("the request's body brings less than {LEAST} bytes a second");
                return Poll::Ready(Some(Err(Error::new(Kind::Timeout, about))));
            }
        }
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
