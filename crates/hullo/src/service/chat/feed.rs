//! Server-sent events as a wire: what is posted to it is the body of a response, and nothing ever comes in.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, Sink, Stream, future::Fuse, stream::unfold};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::{
    sync::mpsc,
    time::{Interval, MissedTickBehavior, interval_at},
};
use tokio_util::sync::PollSender;

use crate::{
    error::{Error, Kind, Result},
    io::exchange::Body,
    link::Packets,
    message::Message,
    scope::{BoxFuture, Scope},
};

/// Events that wait to be written; more wait in the member's own queue.
const QUEUE: usize = 16;

/// So often a comment is sent, so that both ends know of each other.
const QUIET: Duration = Duration::from_secs(15);

/// The wire of a member who only listens.
pub(super) struct Feed {
    events: PollSender<Bytes>,
    quiet: Interval,
    /// The client has gone, or the server stops.
    over: Fuse<BoxFuture<'static, ()>>,
}

/// The two ends: a wire to post to, and the body that the client reads.
pub(super) fn feed(scope: &Scope) -> (Feed, Body) {
    let (sender, events) = mpsc::channel(QUEUE);
    let (gone, stopped) = (sender.clone(), scope.stopped());
    let over: BoxFuture<'static, ()> = Box::pin(async move {
        tokio::select! {
            () = gone.closed() => {}
            () = stopped => {}
        }
    });
    let mut quiet = interval_at(tokio::time::Instant::now() + QUIET, QUIET);
    quiet.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let events = unfold(events, |mut events| async move {
        let event = events.recv().await?;
        Some((Ok::<_, Error>(Frame::data(event)), events))
    });
    (Feed { events: PollSender::new(sender), quiet, over: over.fuse() }, BodyExt::boxed_unsync(StreamBody::new(events)))
}

impl Stream for Feed {
    type Item = Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while self.quiet.poll_tick(cx).is_ready() {
            // While something waits to be written, nobody needs to be told that we are here.
            if let Poll::Ready(Ok(())) = self.events.poll_reserve(cx) {
                let _ = self.events.send_item(Bytes::from_static(b":\n\n"));
            }
        }
        Pin::new(&mut self.over).poll(cx).map(|()| None)
    }
}

impl Sink<Message> for Feed {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(ready!(self.events.poll_reserve(cx)).map_err(|_| gone()))
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<()> {
        self.events.send_item(message.bytes).map_err(|_| gone())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        self.events.close();
        Poll::Ready(Ok(()))
    }
}

impl Packets for Feed {
    fn largest(&self) -> usize {
        usize::MAX
    }

    fn ends(&self) -> bool {
        true
    }

    fn lossy(&self) -> bool {
        false
    }
}

fn gone() -> Error {
    Error::new(Kind::Cut, "the client of the events is gone")
}
