//! The body of the request under way.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::{Length, Shared};
use crate::error::{Error, Kind, Result};

/// It reads on from the connection, for as long as its request is the one under way.
pub(in crate::transport::http) struct Incoming {
    wire: Shared,
    turn: u64,
    length: Length,
    read: u64,
}

impl Incoming {
    pub(in crate::transport::http) fn new(wire: Shared, length: Length) -> Self {
        let turn = wire.lock().turn;
        Self { wire, turn, length, read: 0 }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let mut wire = self.wire.lock();
        if wire.turn != self.turn {
            return Poll::Ready(Some(Err(Error::new(Kind::Cut, "the exchange is over"))));
        }
        let frame = ready!(wire.poll_body(cx));
        drop(wire);
        if frame.is_none() && matches!(self.length, Length::Known(length) if length != self.read) {
            return Poll::Ready(Some(Err(Error::new(Kind::Cut, "the request's body was cut off"))));
        }
        if let Some(Ok(data)) = frame.as_ref().map(|frame| frame.as_ref().map(|frame| frame.data_ref())) {
            self.read += data.map_or(0, Bytes::len) as u64;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.length == Length::Known(self.read)
    }

    fn size_hint(&self) -> SizeHint {
        match self.length {
            Length::Known(length) => SizeHint::with_exact(length.saturating_sub(self.read)),
            Length::Chunked => SizeHint::default(),
        }
    }
}
