//! One link for each peer of a datagram socket: what a service gets that does not answer datagrams by itself.

use std::{
    collections::HashMap,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Sink, Stream, task::AtomicWaker};
use tokio::{
    sync::mpsc,
    time::{Instant, Sleep, sleep_until},
};

use super::datagrams::{Batch, Datagrams, Source, Train};
use crate::{
    error::{Error, Kind, Result},
    gate::guests::{Guest, Guests},
    link::{EVERYWHERE, Link, Packets},
    message::Message,
    peer::Peer,
    scope::{Bell, BoxFuture, Scope},
    service::{Service, converse},
    watch::Event,
};

/// Datagrams, or trains of them, that may wait for one peer's service; more are dropped, as the network does.
const QUEUE: usize = 64;

/// What a stranger's question may always be answered with, in bytes.
pub(crate) const ALWAYS: usize = 256;

/// How many times its question an answer to a stranger may be.
pub(crate) const TIMES: usize = 3;

/// Gives each peer of the socket a link of its own, at most `max_connections` of them, and `max_per_peer` to one address. One that is silent for `idle` has
/// ended its side, and one that is silent for as long again is not talked to any more.
///
/// Until a peer has been heard twice, all that it is sent is at most 256 bytes or 3 times what it sent, whichever is
/// more; the rest waits. So nobody is flooded through us by a forged question.
pub(crate) async fn by_peer<S: Service + ?Sized>(service: Arc<S>, socket: Datagrams, scope: Scope) -> Result<()> {
    let socket = Arc::new(socket.in_links());
    let mut peers = Peers {
        socket: socket.clone(),
        service,
        scope: scope.clone(),
        known: HashMap::new(),
        guests: Guests::default(),
        ended: mpsc::unbounded_channel(),
    };
    let mut batch = Batch::new();
    let stopped = scope.stopped();
    tokio::pin!(stopped);
    // Those who talk when the scope stops are heard until they have ended.
    while !scope.is_stopping() || !peers.known.is_empty() {
        tokio::select! {
            () = &mut stopped, if !scope.is_stopping() => {}
            Some(source) = peers.ended.1.recv() => peers.forget(source),
            received = socket.receive(&mut batch) => match received {
                Ok(()) => batch.trains().for_each(|train| peers.hear(&train)),
                // What is reported here is an answer of ours that found nobody; the socket goes on.
                Err(error) => scope.tell(&Event::Trouble { peer: None, error: &Error::io("cannot receive a datagram", error) }),
            },
        }
    }
    Ok(())
}

struct Peers<S: ?Sized> {
    socket: Arc<Datagrams>,
    service: Arc<S>,
    scope: Scope,
    known: HashMap<Source, Known>,
    guests: Guests,
    ended: (mpsc::UnboundedSender<Source>, mpsc::UnboundedReceiver<Source>),
}

/// The bytes of a train, and how many each of its datagrams has but the last.
type Held = (Bytes, usize);

struct Known {
    inbox: mpsc::Sender<Held>,
    trust: Arc<Trust>,
    _guest: Guest,
}

/// How far a peer is trusted not to be a forgery.
struct Trust {
    heard: AtomicU32,
    received: AtomicUsize,
    amplify: bool,
    waiting: AtomicWaker,
}

impl Trust {
    fn heard(&self, (bytes, stride): &Held) {
        let datagrams = bytes.len().div_ceil(*stride).max(1);
        self.heard.fetch_add(u32::try_from(datagrams).unwrap_or(u32::MAX), Relaxed);
        self.received.fetch_add(bytes.len(), Relaxed);
        self.waiting.wake();
    }

    fn allows(&self, sent: usize) -> bool {
        let budget = ALWAYS.max(TIMES.saturating_mul(self.received.load(Relaxed)));
        self.amplify || self.heard.load(Relaxed) >= 2 || sent <= budget
    }
}

impl<S: Service + ?Sized> Peers<S> {
    fn hear(&mut self, train: &Train<'_>) {
        let from = train.from();
        let known = self.known.get(from);
        if known.is_none() && self.known.len() >= self.scope.limits().max_connections {
            return;
        }
        let (bytes, stride) = train.bytes();
        let mut held = (Bytes::copy_from_slice(bytes), stride);
        if let Some(known) = known {
            known.trust.heard(&held);
            held = match known.inbox.try_send(held) {
                Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => return,
                // Its service has ended just now: this begins a new conversation.
                Err(mpsc::error::TrySendError::Closed(held)) => held,
            };
        }
        if !self.scope.is_stopping() {
            self.meet(from.clone(), held);
        }
    }

    fn meet(&mut self, from: Source, first: Held) {
        let peer = Peer::new(self.socket.scheme, from.endpoint(), from.local(&self.socket.local));
        // Those who are too many are dropped, as the network does: they come again.
        let Some(guest) = self.guests.admit(peer.remote(), self.scope.limits().max_per_peer) else { return };
        let gate = self.scope.gate();
        if gate.is_some_and(|gate| !gate.admits(&peer, &self.scope)) {
            return;
        }
        let (inbox, queue) = mpsc::channel(QUEUE);
        let trust =
            Trust { heard: 0.into(), received: 0.into(), amplify: self.socket.amplify, waiting: AtomicWaker::new() };
        let trust = Arc::new(trust);
        trust.heard(&first);
        // There is room: the queue is new.
        let _ = inbox.try_send(first);
        let idle = self.scope.limits().idle.unwrap_or(Duration::from_secs(300));
        let packets = PeerPackets {
            queue,
            rest: None,
            ended: self.ended.0.clone(),
            stop: Bell::default(),
            sends_trains: true,
            socket: self.socket.clone(),
            to: from.clone(),
            trust: trust.clone(),
            sent: 0,
            scope: self.scope.clone(),
            told: false,
            held: None,
            blocked: None,
            idle,
            heard: Instant::now(),
            alarm: None,
            patience: None,
        };
        let link = Link::packets(packets, peer.clone(), self.scope.clone());
        let talk = converse(self.service.clone(), link);
        match gate.filter(|gate| gate.changes()).cloned() {
            None => self.scope.converse(peer, talk),
            Some(gate) => self.scope.converse(peer.clone(), gate.hold(peer, talk)),
        }
        self.known.insert(from, Known { inbox, trust, _guest: guest });
    }

    /// Forgets a peer whose conversation has ended, unless it is in a new conversation already.
    fn forget(&mut self, from: Source) {
        if self.known.get(&from).is_some_and(|known| known.inbox.is_closed()) {
            self.known.remove(&from);
        }
    }
}

/// One peer's datagrams, as a wire.
struct PeerPackets {
    queue: mpsc::Receiver<Held>,
    /// What is left of a train.
    rest: Option<Held>,
    ended: mpsc::UnboundedSender<Source>,
    stop: Bell,
    /// The kernel sends trains in one go, as far as is known.
    sends_trains: bool,
    socket: Arc<Datagrams>,
    to: Source,
    trust: Arc<Trust>,
    sent: usize,
    scope: Scope,
    /// Whoever watches has been told that something waits.
    told: bool,
    held: Option<Bytes>,
    blocked: Option<BoxFuture<'static, ()>>,
    idle: Duration,
    heard: Instant,
    /// Ends the peer's side, once it has been silent for `idle`.
    alarm: Option<Pin<Box<Sleep>>>,
    /// Ends ours, once it has been silent for as long again: datagrams to a peer that has gone come to no end.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Stream for PeerPackets {
    type Item = Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.rest.is_none()
            && let Poll::Ready(held) = self.queue.poll_recv(cx)
        {
            self.heard = Instant::now();
            self.rest = held;
            if self.rest.is_none() {
                return Poll::Ready(None);
            }
        }
        if let Some((mut bytes, stride)) = self.rest.take() {
            let first = bytes.split_to(stride.min(bytes.len()));
            self.rest = (!bytes.is_empty()).then_some((bytes, stride));
            return Poll::Ready(Some(Ok(Message::binary(first))));
        }
        let this = &mut *self;
        if this.scope.poll_stopped(&mut this.stop, cx) {
            return Poll::Ready(None);
        }
        poll_until(&mut this.alarm, this.heard + this.idle, cx).map(|()| None)
    }
}

impl Drop for PeerPackets {
    fn drop(&mut self) {
        // Only then does whoever forgets us see that we have ended.
        self.queue.close();
        let _ = self.ended.send(self.to.clone());
    }
}

fn poll_until(alarm: &mut Option<Pin<Box<Sleep>>>, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
    let alarm = alarm.get_or_insert_with(|| Box::pin(sleep_until(due)));
    if alarm.deadline() != due {
        alarm.as_mut().reset(due);
    }
    alarm.as_mut().poll(cx)
}

impl PeerPackets {
    /// Sends what is held, once that is allowed and possible.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        while let Some(bytes) = self.held.clone() {
            self.trust.waiting.register(cx.waker());
            let due = self.heard + 2 * self.idle;
            let allowed = self.trust.allows(self.sent + bytes.len());
            if Instant::now() >= due || !allowed && poll_until(&mut self.patience, due, cx).is_ready() {
                self.held = None;
                let about = format!("a peer was not heard for {:?}, and is not talked to any more", 2 * self.idle);
                return Poll::Ready(Err(Error::new(Kind::Timeout, about)));
            }
            if !allowed {
                if !std::mem::replace(&mut self.told, true) {
                    let to = self.to.endpoint();
                    let note = format!("{} bytes for {to} wait until it is heard again (see amplify)", bytes.len());
                    self.scope.tell(&Event::Note(&note));
                }
                return Poll::Pending;
            }
            ready!(self.poll_unblocked(cx));
            match self.socket.try_send_to(&self.to, &bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.block(),
                sent => {
                    self.sent += bytes.len();
                    self.held = None;
                    sent.map_err(cannot_send)?;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The socket takes nothing now.
    fn block(&mut self) {
        let socket = self.socket.clone();
        self.blocked = Some(Box::pin(async move { socket.writable().await }));
    }

    fn poll_unblocked(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(blocked) = &mut self.blocked {
            ready!(blocked.as_mut().poll(cx));
            self.blocked = None;
        }
        Poll::Ready(())
    }
}

impl Sink<Message> for PeerPackets {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_held(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<()> {
        if message.bytes.len() > self.largest() {
            return Err(crate::framing::too_large(self.largest()));
        }
        self.held = self.to.answerable().then_some(message.bytes);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_held(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_held(cx)
    }
}

impl Packets for PeerPackets {
    fn largest(&self) -> usize {
        LARGEST
    }

    fn ends(&self) -> bool {
        false
    }

    fn lossy(&self) -> bool {
        true
    }

    fn whole(&self) -> usize {
        if self.to.is_unix() { LARGEST } else { EVERYWHERE }
    }

    fn poll_train(&mut self, train: &mut &[u8], stride: usize, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_held(cx))?;
        while !train.is_empty() {
            let (len, len_of_one) = (train.len(), stride.clamp(1, train.len()));
            self.trust.waiting.register(cx.waker());
            let as_train = self.sends_trains && len > len_of_one && self.trust.allows(self.sent + len);
            if !as_train && !self.trust.allows(self.sent + len_of_one) {
                return Poll::Pending;
            }
            ready!(self.poll_unblocked(cx));
            let left = if as_train { len } else { len_of_one };
            let sent = match as_train {
                true => self.socket.try_send_train_to(&self.to, train, stride),
                false => self.socket.try_send_to(&self.to, &train[..left]),
            };
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.block(),
                // The kernel, or the way out, takes no trains.
                Err(_) if as_train => self.sends_trains = false,
                sent => {
                    self.sent += left;
                    *train = &train[left..];
                    sent.map_err(cannot_send)?;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_each(&mut self, each: &mut dyn FnMut(&[u8]), cx: &mut Context<'_>) -> Poll<Option<Result<()>>> {
        let held = match self.rest.take() {
            Some(held) => Some(held),
            None => ready!(self.queue.poll_recv(cx)),
        };
        self.heard = Instant::now();
        Poll::Ready(held.map(|(bytes, stride)| {
            bytes.chunks(stride).for_each(each);
            Ok(())
        }))
    }
}

fn cannot_send(error: io::Error) -> Error {
    Error::io("cannot send a datagram", error)
}

/// The most that a UDP datagram over IPv4 carries.
pub(crate) const LARGEST: usize = 65_507;
