//! A socket with one question under way, whatever it says: the next datagram that comes is its answer.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use futures_util::SinkExt;
use tokio::time::{Instant, sleep_until};

use super::super::{
    Ask,
    codec::{Failure, Outcome},
    thread::Thread,
    turns::Turn,
};
use crate::{
    error::{Error, Kind, Result},
    link::Packets,
    message::Message,
};

/// Asks one question after the other until the end of the run. One without an answer is given up with its socket, so that
/// what comes late is nobody else's answer.
pub(super) async fn ask(thread: &Thread, seat: usize, packets: Box<dyn Packets>, ask: &Ask) {
    let mut packets = Some(packets);
    let mut besides = 0;
    let (mut sent, mut answered) = (0, 0);
    while let Some(turn) = thread.turn(seat).await {
        let asked = async {
            let socket = match &mut packets {
                Some(socket) => socket,
                none => none.insert(thread.open(super::open(thread)).await?.0),
            };
            besides += passed_over(&mut **socket).await;
            question(thread, socket, ask, &turn).await
        };
        let asked = tokio::select! {
            asked = asked => asked,
            () = thread.closed() => Ok(None),
        };
        let (mut state, now) = (thread.state(), Instant::now());
        sent += u64::from(turn.counted);
        match asked {
            Ok(Some(Outcome::Answered(_))) => {
                state.tally.answered(&turn, now, None);
                answered += u64::from(turn.counted);
            }
            Ok(Some(Outcome::Failed(failure))) => {
                state.tally.failed(&turn, now, failure);
                answered += u64::from(turn.counted);
            }
            Ok(None | Some(Outcome::Undone)) => {
                state.tally.unanswered(&turn, now);
                packets = None;
            }
            Err(error) => {
                state.tally.failed(&turn, now, Failure::Kind(error.kind()));
                packets = None;
                sent -= u64::from(turn.counted);
            }
        }
    }
    thread.state().tally.datagrams.unnumbered(sent, answered, besides);
}

/// What became of a question; nothing if there is no answer in time.
async fn question(thread: &Thread, packets: &mut Box<dyn Packets>, ask: &Ask, turn: &Turn) -> Result<Option<Outcome>> {
    let mut bytes = Vec::new();
    ask.payload.write(turn.n, &mut bytes);
    let len = bytes.len();
    packets.send(Message::binary(bytes)).await?;
    let now = Instant::now();
    {
        let tally = &mut thread.state().tally;
        tally.sent(turn);
        tally.moved(now, len, 0);
    }
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
        () = sleep_until(now + thread.plan.timeout) => Ok(None),
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
