//! A socket with one question under way, whatever it says: the next datagram that comes is its answer.

use std::{
    future::poll_fn,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::SinkExt;
use tokio::time::{Instant, sleep_until, timeout};

use super::super::{
    Ask,
    codec::{Failure, Outcome},
    tally::nanos,
    thread::Thread,
    turns::Turn,
};
use crate::{
    error::{Error, Kind, Result},
    link::Packets,
    message::Message,
    stamp::Jitter,
};

/// Asks one question after the other until the end of the run. One without an answer is given up with its socket, so that
/// what comes late is nobody else's answer.
pub(super) async fn ask(thread: &Thread, seat: usize, socket: Box<dyn Packets>, ask: &Ask) {
    let mut single = Single { socket: Some(socket), ..Single::default() };
    while let Some(turn) = thread.turn(seat).await {
        let asked = tokio::select! {
            asked = single.ask(thread, ask, &turn) => asked,
            () = thread.closed() => Ok(None),
        };
        single.count(thread, &turn, asked).await;
    }
    thread.state().quiet(Instant::now());
    single.hear_late(super::behind(thread.plan.timeout)).await;
    thread.state().tally.datagrams.unnumbered(&single);
}

/// The questions of one seat.
#[derive(Default)]
pub(super) struct Single {
    socket: Option<Box<dyn Packets>>,
    /// The one before, with the question that was given up last: what comes there is late.
    given_up: Option<Box<dyn Packets>>,
    /// How many that count were sent, how many were answered, in time and late, and what came besides.
    pub(super) sent: u64,
    pub(super) answered: u64,
    pub(super) late: u64,
    pub(super) besides: u64,
    pub(super) jitter: Jitter,
    /// When the first question went: from here on times are counted.
    since: Option<Instant>,
}

impl Single {
    /// What became of a question; nothing if there is no answer in time.
    async fn ask(&mut self, thread: &Thread, ask: &Ask, turn: &Turn) -> Result<Option<Outcome>> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            none => none.insert(thread.open(super::open(thread)).await?.0),
        };
        self.besides += passed_over(&mut **socket).await;
        let mut bytes = Vec::new();
        ask.payload.write(turn.n, &mut bytes);
        let len = bytes.len();
        socket.send(Message::binary(bytes)).await?;
        let sent = Instant::now();
        {
            let tally = &mut thread.state().tally;
            tally.sent(turn);
            tally.moved(sent, len, 0);
        }
        self.sent += u64::from(turn.counted);
        let answer = answer(thread, socket, ask, turn, sent).await;
        // What failed is nothing that could be lost.
        let answer = answer.inspect_err(|_| self.sent -= u64::from(turn.counted))?;
        if answer.is_some() && turn.counted {
            let since = *self.since.get_or_insert(sent);
            self.jitter.add(nanos(since, sent), nanos(since, Instant::now()));
        }
        Ok(answer)
    }

    async fn count(&mut self, thread: &Thread, turn: &Turn, asked: Result<Option<Outcome>>) {
        let now = Instant::now();
        match asked {
            Ok(Some(Outcome::Answered(_))) => {
                thread.state().tally.answered(turn, now, None);
                self.answered += u64::from(turn.counted);
            }
            Ok(Some(Outcome::Failed(failure))) => {
                thread.state().tally.failed(turn, now, failure);
                self.answered += u64::from(turn.counted);
            }
            Ok(None | Some(Outcome::Undone)) => {
                thread.state().tally.unanswered(turn, now);
                self.give_up(turn).await;
            }
            Err(error) => {
                thread.state().tally.failed(turn, now, Failure::Kind(error.kind()));
                self.socket = None;
            }
        }
    }

    /// Keeps the socket of a question without an answer until there is another one.
    async fn give_up(&mut self, turn: &Turn) {
        let given_up = self.socket.take().filter(|_| turn.counted);
        if let Some(mut before) = std::mem::replace(&mut self.given_up, given_up) {
            self.came_late(passed_over(&mut *before).await);
        }
    }

    fn came_late(&mut self, many: u64) {
        self.late += many.min(1);
        self.besides += many.saturating_sub(1);
    }

    /// Hears whether what was given up last still comes, for at most so long. The run is over.
    async fn hear_late(&mut self, most: Duration) {
        let Some(mut socket) = self.given_up.take() else { return };
        let mut many = 0;
        let came = poll_fn(|cx| socket.poll_each(&mut |_| many += 1, cx));
        // Whatever has not come by then is lost, and so is what nobody is there to answer.
        let _ = timeout(most, came).await;
        self.came_late(many);
    }
}

/// The answer to what was sent then; nothing if there is none in time.
async fn answer(
    thread: &Thread,
    packets: &mut Box<dyn Packets>,
    ask: &Ask,
    turn: &Turn,
    sent: Instant,
) -> Result<Option<Outcome>> {
    let mut answer = None;
    let mut each = |datagram: &[u8]| {
        // One that comes along with it is nobody's answer.
        let outcome = answer.is_none().then(|| ask.judge(turn.n, datagram).outcome);
        thread.state().tally.moved(Instant::now(), 0, datagram.len());
        answer = outcome.or(answer);
    };
    tokio::select! {
        come = poll_fn(|cx| packets.poll_each(&mut each, cx)) => {
            come.unwrap_or_else(|| Err(Error::new(Kind::Cut, "the other end has ended")))?;
            Ok(answer)
        }
        () = sleep_until(sent + thread.plan.timeout) => Ok(None),
    }
}

/// Takes what has come and is no answer, since nothing was asked: answers that came twice. It says how many there were.
async fn passed_over(packets: &mut dyn Packets) -> u64 {
    let mut count = 0;
    let mut all = |cx: &mut Context<'_>| {
        while let Poll::Ready(Some(Ok(()))) = packets.poll_each(&mut |_| count += 1, cx) {}
        Poll::Ready(())
    };
    poll_fn(|cx| all(cx)).await;
    count
}
