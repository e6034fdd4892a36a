//! A stream over lossy packets: what the pure [`Connection`] says, done with a link's packets and the runtime's clock.
//!
//! A task of the scope moves the packets, also while nobody reads or writes: what got lost is repeated, answers leave, and
//! the last of it is seen to after the stream is dropped.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use aws_lc_rs::rand;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use crate::{
    error::{Error, Kind},
    link::{Packets, Stream},
    peer::Peer,
    reliable::{Connection, Failure},
    scope::{Bell, Scope},
};

/// How often packets are taken, or sent, before the other and other tasks have their turn.
const TURN: usize = 8;

/// How long packets are taken and thrown away after the end. To a listener each of them would seem to begin another
/// conversation.
const AFTER: Duration = Duration::from_secs(1);

/// The shortest sleep, and how long a socket that takes nothing may keep us from what else is due.
const SHORTEST: Duration = Duration::from_millis(1);
const BLOCKED: Duration = Duration::from_millis(10);

/// A stream over those packets, which lives in the scope. Both ends of the link must make one; whoever is not spoken to
/// opens. `poll_shutdown` is the half-close, and is ready when the peer has all.
///
/// A stream that is dropped without it is cut off, which is an error to the peer.
pub(crate) fn reliable(packets: Box<dyn Packets>, peer: &Peer, scope: &Scope) -> impl Stream + use<> {
    let mut name = [0; 8];
    // Without randomness a name is as good as any other, only easier to guess.
    let _ = rand::fill(&mut name);
    let within = scope.limits().timeout;
    let shared = Arc::new(Mutex::new(Shared {
        connection: Connection::new(u64::from_be_bytes(name), packets.whole(), within, Duration::ZERO),
        began: Instant::now(),
        peer: peer.clone(),
        within,
        trouble: None,
        ended: false,
        reader: None,
        writer: None,
        driver: None,
    }));
    scope.spawn(Driver {
        packets,
        shared: shared.clone(),
        train: Vec::new(),
        stride: 0,
        sent: 0,
        alarm: None,
        over: None,
        scope: scope.clone(),
        stop: Bell::default(),
    });
    Reliable(shared)
}

/// What the stream and the task have in common.
struct Shared {
    connection: Connection,
    began: Instant,
    peer: Peer,
    within: Duration,
    /// What the packets' own wire has against it.
    trouble: Option<Error>,
    /// Nobody moves packets any more.
    ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    driver: Option<Waker>,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl Shared {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Why nothing more comes or goes, if that is so.
    fn failure(&self) -> Option<Error> {
        if let Some(trouble) = &self.trouble {
            let error = Error::new(trouble.kind(), trouble.to_string());
            return Some(match trouble.advice() {
                Some(hint) => error.hint(hint.to_owned()),
                None => error,
            });
        }
        let (peer, within) = (&self.peer, self.within);
        let failure = self.connection.failure().or(self.ended.then_some(Failure::Ours));
        failure.map(|failure| match failure {
            Failure::Unanswered => Error::new(Kind::Timeout, format!("no answer from {peer} within {within:?}"))
                .hint("the address option timeout allows more, as in ?timeout=30s"),
            Failure::Silent => Error::new(Kind::Timeout, format!("{peer} is gone: nothing was heard from it any more")),
            Failure::Cut => Error::new(Kind::Cut, format!("{peer} has cut the conversation off")),
            Failure::Stray => Error::new(Kind::Cut, format!("{peer} goes on with a conversation that has ended here")),
            Failure::Breach => Error::new(Kind::Protocol, format!("{peer} contradicts what it has said before")),
            Failure::Ours => Error::new(Kind::Cut, format!("the conversation with {peer} is over")),
        })
    }

    /// Tells the two halves of the stream what they wait for.
    fn tell(&mut self) {
        let failed = self.ended || self.trouble.is_some() || self.connection.failure().is_some();
        if failed || self.connection.is_readable() || self.connection.is_ended() {
            wake(&mut self.reader);
        }
        if failed || self.connection.is_writable() || self.connection.is_confirmed() {
            wake(&mut self.writer);
        }
    }
}

/// The stream, as its user has it.
struct Reliable(Arc<Mutex<Shared>>);

impl Stream for Reliable {}

impl AsyncRead for Reliable {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut shared = lock(&self.0);
        let read = shared.connection.read(|piece| {
            let n = piece.len().min(buf.remaining());
            buf.put_slice(&piece[..n]);
            n
        });
        if shared.connection.has_news() {
            wake(&mut shared.driver);
        }
        if read > 0 || shared.connection.is_ended() || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = shared.failure() {
            return Poll::Ready(Err(error.into()));
        }
        shared.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for Reliable {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut shared = lock(&self.0);
        if let Some(error) = shared.failure() {
            return Poll::Ready(Err(error.into()));
        }
        let written = shared.connection.write(buf);
        if written > 0 || buf.is_empty() {
            wake(&mut shared.driver);
            return Poll::Ready(Ok(written));
        }
        if shared.connection.is_finished() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        shared.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// What is written leaves by itself.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = lock(&self.0);
        if !shared.connection.is_finished() {
            shared.connection.finish();
            wake(&mut shared.driver);
        }
        if shared.connection.is_confirmed() {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = shared.failure() {
            return Poll::Ready(Err(error.into()));
        }
        shared.writer = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Reliable {
    fn drop(&mut self) {
        let mut shared = lock(&self.0);
        let now = shared.now();
        shared.connection.close(now);
        wake(&mut shared.driver);
    }
}

/// What moves the packets, until there is nothing more to say.
struct Driver {
    packets: Box<dyn Packets>,
    shared: Arc<Mutex<Shared>>,
    /// Packets on their way into the socket, each of `stride` bytes but the last, of which so many bytes are in it.
    train: Vec<u8>,
    stride: usize,
    sent: usize,
    alarm: Option<Pin<Box<Sleep>>>,
    /// When all was said.
    over: Option<Instant>,
    scope: Scope,
    stop: Bell,
}

/// How far the packets of one turn got.
#[derive(PartialEq)]
enum Progress {
    /// There is nothing more for now.
    Idle,
    /// The socket takes nothing now.
    Blocked,
    /// There is more.
    More,
    /// The wire is of no use any more.
    Broken,
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        lock(&self.shared).driver = Some(cx.waker().clone());
        let received = self.poll_receive(cx);
        let sent = match received {
            Progress::Broken => Progress::Broken,
            _ => self.poll_send(cx),
        };
        let mut shared = lock(&self.shared);
        shared.tell();
        if sent == Progress::Broken {
            return Poll::Ready(());
        }
        if shared.connection.is_over() && self.train.is_empty() {
            let followed = shared.connection.is_followed();
            drop(shared);
            return self.poll_after(followed, received, cx);
        }
        let (now, timeout) = (shared.now(), shared.connection.timeout());
        let due = timeout.map(|due| shared.began + due.max(now + SHORTEST));
        drop(shared);
        if received == Progress::More || sent == Progress::More {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let blocked = (sent == Progress::Blocked).then(|| Instant::now() + BLOCKED);
        self.poll_alarm(due.max(due.and(blocked)), cx)
    }
}

impl Driver {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Progress {
        let mut shared = lock(&self.shared);
        let mut failed = 0;
        for _ in 0..TURN {
            let now = shared.now();
            match self.packets.poll_each(&mut |packet| shared.connection.receive(packet, now), cx) {
                Poll::Pending => return Progress::Idle,
                Poll::Ready(Some(Ok(()))) => {}
                Poll::Ready(Some(Err(error))) => {
                    failed += 1;
                    // Whatever else is wrong with the network may pass, or nothing is heard in time.
                    if error.kind() == Kind::Refused || failed == TURN {
                        shared.trouble = Some(error);
                        return Progress::Broken;
                    }
                }
                Poll::Ready(None) => return Progress::Broken,
            }
        }
        Progress::More
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Progress {
        for _ in 0..TURN {
            if self.train.is_empty() {
                let mut shared = lock(&self.shared);
                let now = shared.now();
                if shared.connection.timeout().is_some_and(|due| due <= now) {
                    shared.connection.expire(now);
                }
                self.stride = shared.connection.transmit(&mut self.train, now);
                if self.stride == 0 {
                    return Progress::Idle;
                }
            }
            let mut rest = &self.train[self.sent..];
            let polled = self.packets.poll_train(&mut rest, self.stride, cx);
            self.sent = self.train.len() - rest.len();
            match polled {
                Poll::Pending => return Progress::Blocked,
                Poll::Ready(Err(error)) if error.kind() == Kind::Refused => {
                    lock(&self.shared).trouble = Some(error);
                    return Progress::Broken;
                }
                // What could not be sent is lost, as it might be further on.
                Poll::Ready(_) => {
                    self.train.clear();
                    self.sent = 0;
                }
            }
        }
        Progress::More
    }

    /// Waits for those packets that come after the end, unless all conversations end.
    fn poll_after(&mut self, followed: bool, received: Progress, cx: &mut Context<'_>) -> Poll<()> {
        let due = *self.over.get_or_insert_with(Instant::now) + AFTER;
        if !followed || Instant::now() >= due || self.scope.poll_stopped(&mut self.stop, cx) {
            return Poll::Ready(());
        }
        if received == Progress::More {
            cx.waker().wake_by_ref();
        }
        self.poll_alarm(Some(due), cx)
    }

    fn poll_alarm(&mut self, due: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = due else { return Poll::Pending };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if alarm.deadline() != due {
            alarm.as_mut().reset(due);
        }
        if alarm.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        shared.ended = true;
        shared.tell();
    }
}
