//! Datagrams under load: `hullo bench udp://:7007 --rate 50000`.
//!
//! Each one begins with a stamp (the first 24 bytes of its `--size`), so that an echo is known by its number however late
//! it comes, and any number of them may be under way: with a rate as many as are due, and without one `depth` on each
//! socket. One that is not back within the timeout gives its place to the next, and is unanswered: it is late if it still
//! comes, for which there is some time behind the end, and lost if it does not.
//!
//! Those of `--up` are counted at the other end (`hullo serve discard`), which is asked at the end what has come: loss,
//! order and jitter are then those of one way. A payload of somebody else's has no stamp: then one question is under way
//! on each socket, and the next datagram that comes is its answer.

use std::{future::poll_fn, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::SinkExt;
use rustix::rand::{GetRandomFlags, getrandom};
use tokio::time::{Instant, sleep, timeout};

use super::{
    Ask, Direction, Plan, Shape,
    codec::Failure,
    thread::{GRACE, Thread},
};
use crate::{
    dial::dial,
    error::{Error, Kind, Result},
    io::by_peer::LARGEST,
    link::{EVERYWHERE, Packets, Wire},
    message::Message,
    peer::Peer,
    stamp::{self, Report, STAMP, Stamp},
};

mod numbered;
mod single;
mod sum;
mod under_way;

use numbered::Numbered;
use sum::Look;
pub(crate) use sum::Sum;

/// Refuses what datagrams cannot do.
pub(super) fn check(plan: &Plan) -> Result<()> {
    let (size, to) = (size_of(plan), plan.to.bare());
    match (&plan.shape, size) {
        (Shape::Bulk(Direction::Down | Direction::Both), _) => {
            Err(Error::usage(format!("datagrams of {to} come back one for one, or are counted there"))
                .hint("without --down and --both each is answered, as by echo; --up goes to `hullo serve discard`"))
        }
        (_, Some(size)) if size < STAMP => Err(Error::usage(format!("a datagram needs {STAMP} bytes for its number"))
            .hint(format!("--size {STAMP} is the smallest; --payload sends what you like, without numbers"))),
        (_, Some(size)) if size > LARGEST => Err(Error::usage(format!("a datagram has at most {LARGEST} bytes"))
            .hint(format!("--size {EVERYWHERE} goes everywhere"))),
        _ => Ok(()),
    }
}

/// How large all datagrams are; nothing where each may be another.
pub(super) fn same_size(plan: &Plan) -> Option<usize> {
    match &plan.shape {
        Shape::Ask(ask) => ask.payload.same().map(Bytes::len),
        _ => size_of(plan),
    }
}

/// How large datagrams of our own are; those of somebody else have no numbers.
fn size_of(plan: &Plan) -> Option<usize> {
    match &plan.shape {
        Shape::Ask(ask) => ask.payload.size(),
        Shape::Bulk(_) => Some(plan.size.unwrap_or(EVERYWHERE)),
        Shape::Http(_) | Shape::Connect => None,
    }
}

/// A socket, from its opening to the end of the run.
pub(super) async fn connection(thread: Arc<Thread>, seat: usize) {
    let (opened, failed) = match thread.open(open(&thread)).await {
        Ok(opened) => (Some(opened), None),
        Err(error) => (None, Some(error)),
    };
    let look = opened.as_ref().filter(|_| thread.is_first(seat)).and_then(|(_, peer)| Look::at(peer));
    if !thread.ready(failed).await {
        return;
    }
    if let Some((packets, _)) = opened {
        match (&thread.plan.shape, size_of(&thread.plan)) {
            (Shape::Ask(ask), Some(size)) => echoed(&thread, seat, packets, size, ask).await,
            (Shape::Ask(ask), None) => single::ask(&thread, seat, packets, ask).await,
            (_, Some(size)) => counted(&thread, seat, packets, size).await,
            (_, None) => {}
        }
    }
    if let Some(look) = look {
        thread.state().tally.datagrams.looked(&look);
    }
}

/// A socket of its own to the other end.
async fn open(thread: &Thread) -> Result<(Box<dyn Packets>, Peer)> {
    let link = dial(&thread.plan.to, &thread.scope).await?;
    match link.wire {
        Wire::Packets(packets) => Ok((packets, link.peer)),
        Wire::Stream(_) => Err(Error::usage(format!("{} is a stream, and has no datagrams", thread.plan.to.bare()))),
    }
}

/// Sends datagrams that come back.
async fn echoed(thread: &Thread, seat: usize, packets: Box<dyn Packets>, size: usize, ask: &Ask) {
    let mut work = Numbered::new(thread, seat, packets, size, Some(ask), random());
    // What broke is counted with what it broke.
    let _ = (&mut work).await;
    thread.state().quiet(Instant::now());
    work.hear_late(behind(thread.plan.timeout)).await;
    let datagrams = &mut thread.state().tally.datagrams;
    datagrams.here(work.sent.saturating_sub(work.failed), &work.arrivals, work.late);
    datagrams.longest = datagrams.longest.max(work.longest);
    datagrams.foreign += work.foreign;
}

/// Sends datagrams that are counted at the other end, and asks for the count.
async fn counted(thread: &Thread, seat: usize, packets: Box<dyn Packets>, size: usize) {
    let mut work = Numbered::new(thread, seat, packets, size, None, random());
    let _ = (&mut work).await;
    let (run, sent, now) = (work.run(), work.sent, work.now());
    thread.state().quiet(Instant::now());
    let report = if sent > 0 { told(&mut *work.packets, run, sent, now).await } else { Ok(None) };
    let sent = sent.saturating_sub(work.failed);
    let mut state = thread.state();
    let tally = &mut state.tally;
    tally.counts.unanswered += work.unsent();
    match &report {
        Ok(Some(report)) => {
            let received = report.received.min(sent);
            tally.counts.answered += received;
            tally.in_time += received;
            tally.counts.unanswered += sent - received;
        }
        Ok(None) => tally.counts.unanswered += sent,
        // Nobody is there to count them.
        Err(error) => tally.all_failed(sent, Failure::Kind(error.kind())),
    }
    tally.datagrams.there(sent, report.as_ref().ok().and_then(Option::as_ref));
}

/// The most time that there is behind the end for what was given up.
const BEHIND: Duration = Duration::from_secs(1);

/// How long what was given up may still come, behind the end of a run with that timeout: as long again.
fn behind(timeout: Duration) -> Duration {
    timeout.clamp(GRACE, BEHIND)
}

/// How often it is asked what has come. Each time it is waited twice as long for the answer.
const ASKED: u32 = 4;

/// Asks what has come of a run: nothing if nobody answers. What was sent last has some time left to come.
async fn told(packets: &mut dyn Packets, run: u32, sent: u64, now: u64) -> Result<Option<Report>> {
    sleep(GRACE).await;
    let question = Report::question(run, sent, now);
    let mut heard = Ok(None);
    for attempt in 0..ASKED {
        // An error is one of what was sent before: whether anybody is there is found out by asking once more.
        let asked = async {
            packets.send(Message::binary(question.to_vec())).await?;
            hear(packets, run).await
        };
        heard = match timeout(GRACE * 2u32.pow(attempt), asked).await {
            Ok(Ok(report)) => return Ok(report),
            Ok(failed) => failed,
            Err(_) => Ok(None),
        };
    }
    heard
}

/// Waits for the answer; it is nothing where the question comes back as it went. Whatever else comes is passed over.
async fn hear(packets: &mut dyn Packets, run: u32) -> Result<Option<Report>> {
    let mut heard = None;
    while heard.is_none() {
        let mut each = |datagram: &[u8]| match Stamp::read(datagram).filter(|stamp| stamp.run == run) {
            Some(Stamp { kind: stamp::Kind::Report, .. }) => heard = Some(Report::read(datagram)),
            Some(Stamp { kind: stamp::Kind::Question, .. }) => heard = Some(None),
            _ => {}
        };
        let come = poll_fn(|cx| packets.poll_each(&mut each, cx)).await;
        come.unwrap_or_else(|| Err(Error::new(Kind::Cut, "the other end has ended")))?;
    }
    Ok(heard.flatten())
}

/// A name for a run that nobody else on this machine has.
fn random() -> u32 {
    let mut bytes = [0; 4];
    // Without randomness a name is as good as any other: the other end tells peers apart as well.
    let _ = getrandom(&mut bytes, GetRandomFlags::empty());
    u32::from_ne_bytes(bytes)
}
