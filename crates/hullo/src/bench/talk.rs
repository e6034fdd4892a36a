//! A connection that asks and hears: requests when it is their turn, replies as they come.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::AsyncWrite,
    time::{Instant, sleep},
};

use super::{
    Shape,
    codec::{Codec, Failure, Opened, Outcome, Reply},
    http, message,
    tally::Tally,
    thread::{State, Thread},
    turns::{Next, Turn},
    websocket,
};
use crate::{
    error::{Error, Kind, Result},
    io::scratch,
    link::BoxStream,
};

/// Talks until the end of the run, on one connection after the other where they break.
pub(super) async fn connection(thread: Arc<Thread>, seat: usize) {
    let first = thread.open(open(&thread)).await;
    let (mut opened, failed) = match first {
        Ok(opened) => (Some(opened), None),
        Err(error) => (None, Some(error)),
    };
    if !thread.ready(failed).await {
        return;
    }
    let mut patience = SHORTEST;
    let mut waiting = VecDeque::new();
    loop {
        if let Some(opened) = opened.take() {
            match Talk::new(&thread, seat, opened, std::mem::take(&mut waiting)).await {
                Ended::Over => return,
                Ended::Lost { undone, heard } => {
                    waiting = undone;
                    if heard {
                        patience = SHORTEST;
                    } else if !rest(&thread, &mut patience).await {
                        return give_up(&thread, &waiting);
                    }
                    continue;
                }
            }
        }
        // The turn comes first, so that the time it takes to connect again counts.
        if waiting.is_empty() {
            let Some(turn) = thread.turn(seat).await else { return };
            waiting.push_back(Waiting { turn, sent: false });
        }
        let again = tokio::select! {
            again = thread.open(open(&thread)) => again,
            () = thread.closed() => return give_up(&thread, &waiting),
        };
        match again {
            Ok(again) => opened = Some(again),
            Err(error) => {
                for waiting in waiting.drain(..) {
                    thread.state().tally.failed(&waiting.turn, Instant::now(), Failure::Kind(error.kind()));
                }
                thread.trouble(error);
                if !rest(&thread, &mut patience).await {
                    return;
                }
            }
        }
    }
}

/// Waits behind a connection of which nothing came, twice as long each time. It says whether the run goes on.
async fn rest(thread: &Thread, patience: &mut Duration) -> bool {
    let time = std::mem::replace(patience, (*patience * 2).min(LONGEST));
    tokio::select! {
        () = sleep(time) => true,
        () = thread.closed() => false,
    }
}

/// It is over: nothing was heard of these.
fn give_up(thread: &Thread, waiting: &VecDeque<Waiting>) {
    let (mut state, now) = (thread.state(), Instant::now());
    waiting.iter().for_each(|waiting| state.tally.unanswered(&waiting.turn, now));
}

/// How long is waited behind a connection of which nothing came, at first and at most.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(500);

/// A connection, and what is spoken on it.
async fn open(thread: &Thread) -> Result<Opened> {
    let (plan, scope) = (&thread.plan, &thread.scope);
    match &plan.shape {
        Shape::Http(exchange) => http::open(&plan.to, exchange, scope).await,
        Shape::Ask(ask) if matches!(plan.to.scheme.as_str(), "ws" | "wss") => {
            websocket::open(&plan.to, ask, scope).await
        }
        Shape::Ask(ask) => message::open(&plan.to, ask, scope).await,
        Shape::Bulk(_) | Shape::Connect => Err(Error::new(Kind::Other, "this load does not talk")),
    }
}

/// Why a connection is no longer talked on.
enum Ended {
    /// There are no more turns.
    Over,
    /// It broke, or the peer has ended it.
    Lost {
        /// What it did nothing about.
        undone: VecDeque<Waiting>,
        /// Whether it has said anything.
        heard: bool,
    },
}

/// A turn for which there is no connection yet.
struct Waiting {
    turn: Turn,
    /// Whether it went before, on a connection that then ended.
    sent: bool,
}

/// A connection that talks. It is a future by hand, since both directions meet in it at every wake-up.
struct Talk<'a> {
    thread: &'a Thread,
    seat: usize,
    stream: BoxStream,
    codec: Box<dyn Codec>,
    under_way: UnderWay,
    out: Vec<u8>,
    written: usize,
    /// The beginning of something that is not whole yet.
    rest: Vec<u8>,
    /// The turns for which this connection was opened.
    waiting: VecDeque<Waiting>,
    over: bool,
}

/// The requests that have gone and have no answer, in the order in which they went.
#[derive(Default)]
struct UnderWay {
    requests: VecDeque<Option<Request>>,
    /// The place of the first one among all of this connection, and how many there are.
    first: u64,
    count: usize,
    /// Whether the connection ends behind a reply that was heard.
    last: bool,
    /// What the peer said it did nothing about.
    undone: VecDeque<Waiting>,
    /// Whether any request has been answered or has failed, and whether anything was heard of one.
    settled: bool,
    heard: bool,
}

struct Request {
    turn: Turn,
    sent: Instant,
}

/// More than this waits nowhere: the peer must read first.
const HELD: usize = 256 << 10;

impl<'a> Talk<'a> {
    fn new(thread: &'a Thread, seat: usize, (stream, codec): Opened, waiting: VecDeque<Waiting>) -> Self {
        let (under_way, out, rest) = Default::default();
        Self { thread, seat, stream, codec, under_way, out, written: 0, rest, waiting, over: false }
    }

    /// Hears what has come, and says how much and when; 0 is the end.
    fn poll_hear(&mut self, state: &mut State, cx: &mut Context<'_>) -> Poll<Result<(usize, Instant)>> {
        let Self { stream, codec, under_way, rest, .. } = self;
        scratch::with(|buf| {
            let read = ready!(scratch::poll_read(cx, Pin::new(stream), buf));
            let read = read.map_err(|error| Error::io("cannot read a reply", error))?;
            let now = Instant::now();
            state.tally.moved(now, 0, read);
            let mut settle = |reply: Reply| under_way.settle(&reply, now, &mut state.tally);
            if read == 0 {
                codec.end(&mut settle)?;
            } else if rest.is_empty() {
                let used = codec.hear(&buf[..read], &mut settle)?;
                rest.extend_from_slice(&buf[used..read]);
            } else {
                rest.extend_from_slice(&buf[..read]);
                let used = codec.hear(rest, &mut settle)?;
                rest.drain(..used);
            }
            Poll::Ready(Ok((read, now)))
        })
    }

    /// Takes turns, as long as there are some and there is room for them.
    fn ask(&mut self, state: &mut State, now: Instant) {
        self.codec.owed(&mut self.out);
        while !self.over
            && self.under_way.count < self.thread.plan.depth
            && self.out.len() < HELD
            && self.codec.room(self.under_way.count)
        {
            let Waiting { turn, sent } = match self.waiting.pop_front() {
                Some(waiting) => waiting,
                None => match state.next(self.seat, now) {
                    Next::Turn(turn, _) => Waiting { turn, sent: false },
                    Next::Wait => return,
                    Next::Over => {
                        self.over = true;
                        return;
                    }
                },
            };
            self.codec.ask(turn.n, &mut self.out);
            if !sent {
                state.tally.sent(&turn);
            }
            self.under_way.add(turn, now);
        }
    }

    /// Writes what is to be said. It is ready when all of it has left.
    fn poll_say(&mut self, state: &mut State, now: Instant, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let cannot = |error| Error::io("cannot send a request", error);
        let mut stream = Pin::new(&mut self.stream);
        while self.written < self.out.len() {
            let sent = ready!(stream.as_mut().poll_write(cx, &self.out[self.written..])).map_err(cannot)?;
            if sent == 0 {
                return Poll::Ready(Err(cannot(std::io::ErrorKind::WriteZero.into())));
            }
            state.tally.moved(now, sent, 0);
            self.written += sent;
        }
        if self.written > 0 {
            ready!(stream.poll_flush(cx)).map_err(cannot)?;
            self.out.clear();
            self.written = 0;
        }
        Poll::Ready(Ok(()))
    }

    /// The peer has ended the connection. What it has not answered by then it did nothing about, since it has said so; it is
    /// asked again on the next one. Where nothing at all has come of this one, the first of those has failed, so that a
    /// server that ends all its connections is not asked for ever.
    fn lost(&mut self, state: &mut State) -> Ended {
        let mut undone = self.not_done();
        undone.make_contiguous().sort_by_key(|waiting| (waiting.turn.due, waiting.turn.n));
        if !self.under_way.settled
            && let Some(first) = undone.pop_front()
        {
            state.tally.failed(&first.turn, Instant::now(), Failure::Kind(Kind::Cut));
        }
        Ended::Lost { undone, heard: self.under_way.heard }
    }

    /// All turns of which nothing has come yet.
    fn not_done(&mut self) -> VecDeque<Waiting> {
        let mut undone = std::mem::take(&mut self.under_way.undone);
        undone.extend(self.under_way.take().map(|request| Waiting { turn: request.turn, sent: true }));
        undone.extend(self.waiting.drain(..));
        undone
    }

    fn poll_talk(&mut self, state: &mut State, cx: &mut Context<'_>) -> Poll<Result<Ended>> {
        let mut first = true;
        loop {
            // The clock is read once for what has come, which is also when the next request goes.
            let now = match self.poll_hear(state, cx)? {
                Poll::Ready((0, _)) if self.under_way.count == 0 => return Poll::Ready(Ok(self.lost(state))),
                Poll::Ready((0, _)) => {
                    return Poll::Ready(Err(Error::new(Kind::Cut, "the peer ended without a reply")));
                }
                Poll::Ready(_) if self.under_way.last => return Poll::Ready(Ok(self.lost(state))),
                Poll::Ready((_, now)) => now,
                Poll::Pending if first => Instant::now(),
                Poll::Pending => return Poll::Pending,
            };
            first = false;
            if self.under_way.oldest().is_some_and(|oldest| now >= oldest + self.thread.plan.timeout) {
                let about = format!("no reply within {:?}", self.thread.plan.timeout);
                return Poll::Ready(Err(Error::new(Kind::Timeout, about)));
            }
            self.ask(state, now);
            let said = self.poll_say(state, now, cx)?;
            if !self.over && self.under_way.count == 0 && said.is_ready() && !self.codec.room(0) {
                // Nothing is under way, and the peer lets nothing be asked: there is nothing to wait for.
                return Poll::Ready(Ok(self.lost(state)));
            }
            if self.over && self.under_way.count == 0 {
                // It is said where there is room for it; nobody waits for it.
                self.codec.farewell(&mut self.out);
                let _ = self.poll_say(state, now, cx)?;
                let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
                return Poll::Ready(Ok(Ended::Over));
            }
        }
    }
}

impl Future for Talk<'_> {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let thread = self.thread;
        let mut state = thread.state();
        let ended = match self.poll_talk(&mut state, cx) {
            Poll::Ready(Ok(ended)) => ended,
            Poll::Ready(Err(error)) => {
                self.under_way.fail(error.kind(), &mut state.tally);
                thread.trouble(error);
                self.lost(&mut state)
            }
            Poll::Pending if state.closed => {
                let now = Instant::now();
                self.not_done().iter().for_each(|waiting| state.tally.unanswered(&waiting.turn, now));
                Ended::Over
            }
            Poll::Pending => {
                state.turns.rest(self.seat, cx.waker(), self.under_way.oldest());
                return Poll::Pending;
            }
        };
        state.turns.rest(self.seat, cx.waker(), None);
        Poll::Ready(ended)
    }
}

impl UnderWay {
    fn add(&mut self, turn: Turn, sent: Instant) {
        self.requests.push_back(Some(Request { turn, sent }));
        self.count += 1;
    }

    fn oldest(&self) -> Option<Instant> {
        self.requests.front()?.as_ref().map(|request| request.sent)
    }

    /// A reply is whole.
    fn settle(&mut self, reply: &Reply, now: Instant, tally: &mut Tally) {
        self.last |= reply.last;
        let place = reply.to.map_or(Some(0), |to| to.checked_sub(self.first));
        let request = place.and_then(|place| self.requests.get_mut(place as usize)).and_then(Option::take);
        let Some(request) = request else {
            tally.unasked += 1;
            return;
        };
        self.count -= 1;
        self.heard |= reply.outcome != Outcome::Undone;
        self.settled |= self.heard;
        match reply.outcome {
            Outcome::Answered(status) => tally.answered(&request.turn, now, status),
            Outcome::Failed(failure) => tally.failed(&request.turn, now, failure),
            Outcome::Undone => self.undone.push_back(Waiting { turn: request.turn, sent: true }),
        }
        while matches!(self.requests.front(), Some(None)) {
            self.requests.pop_front();
            self.first += 1;
        }
    }

    /// The connection broke: the oldest request has failed so, and the others with it.
    fn fail(&mut self, kind: Kind, tally: &mut Tally) {
        let (mut kind, now) = (kind, Instant::now());
        for request in self.take() {
            tally.failed(&request.turn, now, Failure::Kind(kind));
            (kind, self.settled) = (Kind::Cut, true);
        }
    }

    fn take(&mut self) -> impl Iterator<Item = Request> + use<> {
        self.count = 0;
        std::mem::take(&mut self.requests).into_iter().flatten()
    }
}
