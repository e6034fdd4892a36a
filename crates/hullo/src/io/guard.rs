//! What every stream is wrapped in: the idle deadline, the end on shutdown, and the count of bytes.

use std::{
    future::Future,
    io,
    os::fd::BorrowedFd,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::yield_now,
    time::{Instant, Sleep, sleep_until},
};

use super::splice::{Bare, Pipe};
use crate::{
    error::{Error, Kind},
    link::Stream,
    peer::Peer,
    scope::{Bell, BoxFuture, Live, Scope},
    watch::Event,
};

/// A stream under its scope.
///
/// - It fails with [`Kind::Timeout`] once nothing has moved either way for `idle`.
/// - When the scope stops, it reads as ended as soon as there is nothing left to read.
/// - Whoever watches is told of the first byte, and at the end how many there were; of some services also how fast they
///   come.
pub(crate) struct Guard<S> {
    stream: S,
    scope: Scope,
    watched: Option<Box<Watched>>,
    idle: Option<Idle>,
    stop: Bell,
    heeds_stop: bool,
    lull: Option<Lull>,
}

/// What stands between a stop and the end that is read.
enum Lull {
    Asking(BoxFuture<'static, ()>),
    Over,
}

struct Watched {
    peer: Peer,
    since: Instant,
    received: u64,
    sent: u64,
    /// Where its rate is told while it goes on.
    live: Option<Live>,
}

/// The idle deadline. Its alarm is set once, and moved on only when it rings: a busy stream does not touch it.
///
/// Each direction has one, since another task may wait for each.
struct Idle {
    limit: Duration,
    moved: Instant,
    /// Something has moved since the last wait.
    fresh: bool,
    reading: Option<Alarm>,
    writing: Option<Alarm>,
}

#[derive(Clone, Copy)]
enum Side {
    Reading,
    Writing,
}

struct Alarm {
    due: Instant,
    waker: Waker,
    sleep: Pin<Box<Sleep>>,
}

impl<S> Guard<S> {
    pub(crate) fn new(stream: S, peer: &Peer, scope: &Scope) -> Self {
        let now = Instant::now();
        let live = scope.live(peer);
        let watched = (live.is_some() || scope.watched())
            .then(|| Box::new(Watched { peer: peer.clone(), since: now, received: 0, sent: 0, live }));
        let idle =
            scope.limits().idle.map(|limit| Idle { limit, moved: now, fresh: true, reading: None, writing: None });
        Self { stream, scope: scope.clone(), watched, idle, stop: Bell::default(), heeds_stop: true, lull: None }
    }

    /// Whether to read as ended when the scope stops. A protocol with its own way of stopping says no to that while
    /// something is under way.
    pub(crate) fn heed_stop(&mut self, heed: bool) {
        self.heeds_stop = heed;
    }

    /// What is guarded, to look at.
    pub(crate) fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Writes in a way that only this stream has.
    pub(crate) fn poll_write_by(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(&mut S, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match write(&mut self.stream, cx) {
            Poll::Ready(Ok(n)) => {
                self.moved(0, n);
                Poll::Ready(Ok(n))
            }
            Poll::Pending => self.waiting(Side::Writing, cx).map(Err),
            failed => failed,
        }
    }

    /// Reads in a way that only this stream has; 0 is the end.
    pub(crate) fn poll_read_by(
        &mut self,
        cx: &mut Context<'_>,
        read: impl FnOnce(&mut S, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match read(&mut self.stream, cx) {
            Poll::Ready(Ok(n)) => {
                self.moved(n, 0);
                Poll::Ready(Ok(n))
            }
            Poll::Pending if self.stopping(cx) => self.poll_lull(cx),
            Poll::Pending => self.waiting(Side::Reading, cx).map(Err),
            failed => failed,
        }
    }

    /// The end, once the runtime has asked the kernel after the stop: until then something may have come of which it does
    /// not know yet.
    fn poll_lull(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self.lull.get_or_insert_with(|| Lull::Asking(Box::pin(yield_now()))) {
            Lull::Asking(asking) => {
                ready!(asking.as_mut().poll(cx));
                self.lull = Some(Lull::Over);
                // Whoever comes back reads first.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Lull::Over => Poll::Ready(Ok(0)),
        }
    }

    fn moved(&mut self, received: usize, sent: usize) {
        if received + sent == 0 {
            return;
        }
        if let Some(idle) = &mut self.idle {
            idle.fresh = true;
        }
        if let Some(watched) = &mut self.watched {
            if watched.received == 0 && received > 0 {
                self.scope.tell(&Event::FirstByte { after: watched.since.elapsed() });
            }
            watched.received += received as u64;
            watched.sent += sent as u64;
            if let Some(live) = &watched.live {
                live.set(watched.received, watched.sent);
            }
        }
    }

    /// What waiting means now: to go on waiting, or to fail.
    fn waiting(&mut self, side: Side, cx: &mut Context<'_>) -> Poll<io::Error> {
        let Some(idle) = &mut self.idle else { return Poll::Pending };
        let slot = match side {
            Side::Reading => &mut idle.reading,
            Side::Writing => &mut idle.writing,
        };
        let fresh = std::mem::take(&mut idle.fresh);
        if fresh {
            // The clock is read once a wait, however much moved before it.
            idle.moved = Instant::now();
        }
        // While the alarm is still to ring there is no need to touch it.
        let is_to_ring = |alarm: &Alarm| if fresh { idle.moved < alarm.due } else { !alarm.sleep.is_elapsed() };
        if slot.as_ref().is_some_and(|alarm| alarm.waker.will_wake(cx.waker()) && is_to_ring(alarm)) {
            return Poll::Pending;
        }
        loop {
            let due = idle.moved + idle.limit;
            let alarm =
                slot.get_or_insert_with(|| Alarm { due, waker: cx.waker().clone(), sleep: Box::pin(sleep_until(due)) });
            alarm.waker.clone_from(cx.waker());
            if alarm.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if due <= Instant::now() {
                let about = format!("nothing moved for {:?}", idle.limit);
                return Poll::Ready(
                    Error::new(Kind::Timeout, about)
                        .hint("the address option idle sets this, as in ?idle=1h or ?idle=off")
                        .into(),
                );
            }
            alarm.due = due;
            alarm.sleep.as_mut().reset(due);
        }
    }

    /// Whether to read an end now, since the scope stops.
    fn stopping(&mut self, cx: &mut Context<'_>) -> bool {
        self.heeds_stop && self.scope.poll_stopped(&mut self.stop, cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        self.poll_read_by(cx, |stream, cx| {
            ready!(Pin::new(stream).poll_read(cx, buf))?;
            Poll::Ready(Ok(buf.filled().len() - before))
        })
        .map_ok(drop)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_by(cx, |stream, cx| Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_by(cx, |stream, cx| Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Pending => self.waiting(Side::Writing, cx).map(Err),
            done => done,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(cx) {
            Poll::Pending => self.waiting(Side::Writing, cx).map(Err),
            done => done,
        }
    }
}

impl<S: Stream> Stream for Guard<S> {
    fn bare(&mut self) -> Option<&mut dyn Bare> {
        self.stream.bare().is_some().then_some(self)
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.stream.socket()
    }
}

impl<S: Stream> Bare for Guard<S> {
    fn poll_fill(&mut self, cx: &mut Context<'_>, pipe: &Pipe, most: usize) -> Poll<io::Result<usize>> {
        self.poll_read_by(cx, |stream, cx| match stream.bare() {
            Some(bare) => bare.poll_fill(cx, pipe, most),
            None => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        })
    }

    fn poll_out(
        &mut self,
        cx: &mut Context<'_>,
        give: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        self.poll_write_by(cx, |stream, cx| match stream.bare() {
            Some(bare) => bare.poll_out(cx, give),
            None => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        })
    }

    fn poll_skip(&mut self, cx: &mut Context<'_>, most: usize, below: bool) -> Poll<io::Result<usize>> {
        self.poll_read_by(cx, |stream, cx| match stream.bare() {
            Some(bare) => bare.poll_skip(cx, most, below),
            None => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        })
    }

    fn set_low_water(&mut self, bytes: usize) {
        if let Some(bare) = self.stream.bare() {
            bare.set_low_water(bytes);
        }
    }
}

impl<S> Drop for Guard<S> {
    fn drop(&mut self) {
        if let Some(mut watched) = self.watched.take() {
            // Its rate is told no more, once this is.
            let number = watched.live.take().map(|live| live.number());
            let Watched { peer, since, received, sent, .. } = &*watched;
            let (received, sent, lasted) = (*received, *sent, since.elapsed());
            self.scope.tell(&Event::Closed { peer, received, sent, lasted, number });
        }
    }
}
