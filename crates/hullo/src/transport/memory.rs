//! `memory://room?delay=20ms&loss=0.1`: a simulated link inside one process, for tests.
//!
//! It runs on the runtime's clock, so a test that pauses tokio's time waits for nothing. A stream arrives whole and late;
//! packets (`?packets=true`) may be lost, come twice (`duplicate`) and overtake each other (`jitter`), drawn from `seed`.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc,
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::sync::PollSender;

use super::{Listener, Spec, Transport};
use crate::{
    address::Address,
    error::{Error, Kind, Result},
    io::guard::Guard,
    link::{Link, Packets},
    message::Message,
    peer::{Endpoint, Peer},
    scope::{Bell, BoxFuture, Scope},
    service::{Service, converse},
};

pub(super) const SCHEMES: &[Spec] = &[Spec {
    scheme: "memory",
    about: "a simulated link inside one process, for tests",
    example: "memory://room",
    transport: &Memory,
}];

/// Writes that may be under way in each direction.
const QUEUE: usize = 64;

/// The most that one write takes.
const PIECE: usize = 64 << 10;

/// Who listens, by name.
static ROOMS: LazyLock<Mutex<HashMap<String, Room>>> = LazyLock::new(Mutex::default);
static NEXT: AtomicU64 = AtomicU64::new(1);

#[derive(Clone)]
struct Room {
    guests: mpsc::Sender<Half>,
    conditions: Conditions,
}

#[derive(Clone, Copy)]
struct Conditions {
    delay: Duration,
    jitter: Duration,
    loss: f64,
    duplicate: f64,
    seed: u64,
    packets: bool,
}

struct Memory;

impl Transport for Memory {
    fn bind(&self, at: Address, _: Scope) -> BoxFuture<'static, Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let name = name(&at);
            let conditions = Conditions {
                delay: at.options.time("delay").flatten().unwrap_or_default(),
                jitter: at.options.time("jitter").flatten().unwrap_or_default(),
                loss: at.options.share("loss").unwrap_or_default(),
                duplicate: at.options.share("duplicate").unwrap_or_default(),
                seed: at.options.text("seed").and_then(|seed| seed.parse().ok()).unwrap_or(1),
                packets: at.options.flag("packets", false),
            };
            let (guests, arrivals) = mpsc::channel(QUEUE);
            let mut rooms = ROOMS.lock().unwrap_or_else(PoisonError::into_inner);
            if rooms.get(&name).is_some_and(|room| !room.guests.is_closed()) {
                return Err(Error::new(Kind::Bind, format!("cannot listen on {at}: somebody does already")));
            }
            rooms.insert(name, Room { guests, conditions });
            Ok(Box::new(MemoryDoor { address: at, arrivals, packets: conditions.packets }) as Box<dyn Listener>)
        })
    }

    fn connect(&self, to: Address, scope: Scope) -> BoxFuture<'static, Result<Link>> {
        Box::pin(async move {
            let room = ROOMS.lock().unwrap_or_else(PoisonError::into_inner).get(&name(&to)).cloned();
            let refused =
                || Error::new(Kind::Refused, format!("cannot connect to {to}: nobody listens in this process"));
            let room = room.ok_or_else(refused)?;
            let (ours, theirs) = pair(room.conditions);
            room.guests.send(theirs).await.map_err(|_| refused())?;
            let id = NEXT.fetch_add(1, Relaxed);
            Ok(link(ours, room.conditions.packets, peer(&name(&to), &format!("client-{id}")), scope))
        })
    }
}

fn name(address: &Address) -> String {
    format!("{}{}", address.host, address.path)
}

fn peer(remote: &str, local: &str) -> Peer {
    let end = |name: &str| Endpoint::Name(Arc::from(name));
    Peer::new("memory", end(remote), end(local))
}

fn link(half: Half, packets: bool, peer: Peer, scope: Scope) -> Link {
    if packets {
        Link::packets(Half { stop: Some((scope.clone(), Bell::default())), ..half }, peer, scope)
    } else {
        Link::over(Guard::new(half, &peer, &scope), peer, scope)
    }
}

struct MemoryDoor {
    address: Address,
    arrivals: mpsc::Receiver<Half>,
    packets: bool,
}

impl Listener for MemoryDoor {
    fn address(&self) -> Address {
        self.address.clone()
    }

    fn serve(mut self: Box<Self>, service: Arc<dyn Service>, scope: Scope) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let stopped = scope.stopped();
            tokio::pin!(stopped);
            loop {
                let half = tokio::select! {
                    () = &mut stopped => return Ok(()),
                    Some(half) = self.arrivals.recv() => half,
                };
                let peer = peer(&format!("guest-{}", NEXT.fetch_add(1, Relaxed)), &name(&self.address));
                scope.converse(peer.clone(), converse(service.clone(), link(half, self.packets, peer, scope.clone())));
            }
        })
    }
}

/// What travels: when it arrives, and what was sent before it, in which order what arrives at once is read.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Sent {
    due: Instant,
    number: u64,
    bytes: Bytes,
    /// When it arrives a second time.
    again: Option<Instant>,
}

/// One end of a simulated link.
struct Half {
    incoming: mpsc::Receiver<Sent>,
    outgoing: PollSender<Sent>,
    conditions: Conditions,
    number: u64,
    /// What is on its way to us, the next first, and what has arrived.
    coming: BinaryHeap<Reverse<Sent>>,
    arrived: Option<Bytes>,
    clock: Option<Pin<Box<Sleep>>>,
    /// Packets end when the scope stops; a stream has a [`Guard`] for that.
    stop: Option<(Scope, Bell)>,
}

fn pair(conditions: Conditions) -> (Half, Half) {
    let (there, here) = (mpsc::channel(QUEUE), mpsc::channel(QUEUE));
    let half = |incoming, outgoing, turn| Half {
        incoming,
        outgoing: PollSender::new(outgoing),
        conditions: Conditions { seed: conditions.seed.wrapping_add(turn) | 1, ..conditions },
        number: 0,
        coming: BinaryHeap::new(),
        arrived: None,
        clock: None,
        stop: None,
    };
    (half(here.1, there.0, 0), half(there.1, here.0, 0x9E37_79B9_7F4A_7C15))
}

impl Half {
    /// What has arrived; nothing at the end.
    fn poll_arrival(&mut self, cx: &mut Context<'_>) -> Poll<Option<&mut Bytes>> {
        if self.arrived.as_ref().is_none_or(|bytes| bytes.is_empty() && !self.conditions.packets) {
            self.arrived = ready!(self.poll_next_arrival(cx));
        }
        Poll::Ready(self.arrived.as_mut())
    }

    fn poll_next_arrival(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut ended = false;
        // A stream keeps its order, and what is not read yet holds up the rest.
        let most = if self.conditions.packets { QUEUE } else { 1 };
        while self.coming.len() < most && !ended {
            match self.incoming.poll_recv(cx) {
                Poll::Ready(Some(sent)) => self.coming.push(Reverse(sent)),
                Poll::Ready(None) => ended = true,
                Poll::Pending => break,
            }
        }
        let Some(Reverse(Sent { due, .. })) = self.coming.peek() else {
            return if ended { Poll::Ready(None) } else { Poll::Pending };
        };
        let due = *due;
        if due > Instant::now() {
            let clock = self.clock.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if clock.deadline() != due {
                clock.as_mut().reset(due);
            }
            ready!(clock.as_mut().poll(cx));
        }
        let Some(Reverse(sent)) = self.coming.pop() else { return Poll::Ready(None) };
        if let Some(due) = sent.again {
            self.coming.push(Reverse(Sent { due, bytes: sent.bytes.clone(), again: None, ..sent }));
        }
        Poll::Ready(Some(sent.bytes))
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.poll_reserve(cx).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn put(&mut self, bytes: Bytes) -> io::Result<()> {
        let due = self.due();
        let duplicate = self.conditions.duplicate;
        let again = self.draws(duplicate).then(|| self.due().max(due));
        self.number += 1;
        let sent = Sent { due, number: self.number, bytes, again };
        self.outgoing.send_item(sent).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// When what is sent now arrives.
    fn due(&mut self) -> Instant {
        let Conditions { delay, jitter, packets, .. } = self.conditions;
        let late = if packets && !jitter.is_zero() { jitter.mul_f64(self.draw()) } else { Duration::ZERO };
        Instant::now() + delay + late
    }

    /// Whether what happens to that share of packets happens to the next one.
    fn draws(&mut self, share: f64) -> bool {
        self.conditions.packets && share > 0.0 && self.draw() < share
    }

    /// A number from 0 to 1 (xorshift64, so that a seed repeats).
    fn draw(&mut self) -> f64 {
        let mut x = self.conditions.seed;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.conditions.seed = x;
        (x >> 11) as f64 / (1u64 << 53) as f64
    }
}

impl crate::link::Stream for Half {}

impl AsyncRead for Half {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(bytes) = ready!(self.poll_arrival(cx)) {
            let n = bytes.len().min(buf.remaining());
            buf.put_slice(&bytes[..n]);
            bytes.advance(n);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Half {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            // To the reader a piece of nothing would be the end.
            return Poll::Ready(Ok(0));
        }
        ready!(self.poll_room(cx))?;
        let n = buf.len().min(PIECE);
        self.put(Bytes::copy_from_slice(&buf[..n]))?;
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.close();
        Poll::Ready(Ok(()))
    }
}

impl Stream for Half {
    type Item = Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let arrival = self.poll_arrival(cx).map(|bytes| bytes.map(std::mem::take));
        if arrival.is_pending() && self.stop.as_mut().is_some_and(|(scope, bell)| scope.poll_stopped(bell, cx)) {
            return Poll::Ready(None);
        }
        let message = ready!(arrival);
        self.arrived = None;
        Poll::Ready(message.map(|bytes| Ok(Message::binary(bytes))))
    }
}

impl Sink<Message> for Half {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_room(cx).map_err(gone)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<()> {
        let loss = self.conditions.loss;
        if self.draws(loss) {
            self.outgoing.abort_send();
            return Ok(());
        }
        self.put(message.bytes).map_err(gone)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        self.outgoing.close();
        Poll::Ready(Ok(()))
    }
}

fn gone(error: io::Error) -> Error {
    Error::io("the other end of the simulated link is gone", error)
}

impl Packets for Half {
    fn largest(&self) -> usize {
        PIECE
    }

    fn ends(&self) -> bool {
        true
    }

    fn lossy(&self) -> bool {
        true
    }

    fn poll_each(&mut self, each: &mut dyn FnMut(&[u8]), cx: &mut Context<'_>) -> Poll<Option<Result<()>>> {
        let arrived = ready!(self.poll_arrival(cx)).map(std::mem::take);
        self.arrived = None;
        Poll::Ready(arrived.map(|bytes| {
            each(&bytes);
            Ok(())
        }))
    }
}
