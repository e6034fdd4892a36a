//! `hullo bench ADDRESS`: load on any address, with latency that is true.
//!
//! ```no_run
//! use hullo::{Scope, bench::{self, Plan}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> hullo::Result<()> {
//! let plan = Plan { rate: Some("500".parse()?), ..Plan::to("tcp://127.0.0.1:7007".parse()?) };
//! let report = bench::run(plan, &Scope::default(), |_| ()).await?;
//! println!("{} of {} answered, p99 {:?} ms", report.answered, report.offered, report.latency_ms.p99);
//! # Ok(())
//! # }
//! ```
//!
//! # Open and closed loops
//!
//! With a `rate` the loop is open: request *n* is due at its time, whatever the server does, and its latency counts from
//! there. A server that stalls for two seconds thereby answers all that was due in these seconds late, and that is seen.
//! Without a rate the loop is closed: each place (`connections` times `depth`) asks again once it has been answered, and
//! latency counts from when it asks. What a stalled server would have been asked meanwhile is then never asked and stands
//! in no figure (*coordinated omission*).
//!
//! # What is counted
//!
//! Every request that was *offered*, by the schedule or by a free place, is in the end *answered*, *failed* or
//! *unanswered*, whether it could be *sent* or not. What is under way when the time is over has 100 ms left; then it is
//! unanswered, with the time that it has waited so far. Percentiles of latency are taken of answers and of such waits
//! together, and those that would be others had the answers come are named as lower bounds.
//!
//! # What to make of it
//!
//! A [`Slo`] judges a [`Report`], [`Report::generator_limit`] says whether the figures are those of the target at all, and
//! [`Report::stalls`] when the target stood still. [`compare`](compare::compare) puts two reports beside each other, with
//! intervals of confidence, and says `faster`, `slower` or `cannot tell`.
//!
//! # What it costs
//!
//! Each thread has a runtime of its own, connections that never leave it, and counters that are merged at the end. The
//! memory of a run depends on its connections, and neither on its length nor on its rate.

use std::{sync::Arc, time::Duration};

use tokio::{
    runtime::Builder,
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::{
    address::Address,
    dial::lend,
    error::{Error, Kind, Result},
    io::alarm::Alarm,
    scope::{BoxFuture, Scope},
};

pub mod buckets;
mod bulk;
mod codec;
mod columns;
pub mod compare;
mod connects;
mod datagrams;
mod gathering;
mod http;
mod http1;
mod http2;
mod message;
mod pace;
mod payload;
mod progress;
mod rate;
pub mod report;
mod slo;
mod stall;
mod talk;
mod tally;
mod thread;
mod turns;
mod websocket;
pub mod words;

pub use self::{
    codec::{Failure, Replies},
    http::Exchange,
    message::Spoken,
    payload::{Expect, Payload},
    progress::Progress,
    rate::Rate,
    report::Report,
    slo::{Slo, Verdict},
    stall::Stall,
    tally::{Counts, Packets},
};
use self::{
    gathering::Gathering,
    progress::Progresses,
    report::{Cpu, Run},
    tally::Tally,
    thread::{Done, Thread},
    turns::Schedule,
};

/// What a load test does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the load goes.
    pub to: Address,
    /// What kind of load it is.
    pub shape: Shape,
    /// When requests go, or bytes of bulk; without it each place asks again once it has been answered, and as many bytes go
    /// as will.
    pub rate: Option<Rate>,
    /// How many connections there are at once (10).
    pub connections: usize,
    /// How many requests may be under way on each (1).
    pub depth: usize,
    /// How many threads of its own the load has; none means the current runtime, with its clock.
    pub threads: usize,
    /// How long what counts lasts (10 seconds, unless there is a `count`).
    pub duration: Option<Duration>,
    /// How many requests there are at most; in bulk, bytes.
    pub count: Option<u64>,
    /// How long load goes there before it counts (not at all).
    pub warm_up: Duration,
    /// After how long a request without an answer has failed, and its connection with it (10 seconds).
    pub timeout: Duration,
    /// How large datagrams are that are only to be counted (1,200 bytes, which go everywhere in one piece).
    pub size: Option<usize>,
    /// What is drawn is drawn from this.
    pub seed: u64,
}

/// A kind of load.
#[derive(Clone, Debug)]
pub enum Shape {
    /// Messages and their replies.
    Ask(Arc<Ask>),
    /// HTTP requests and their responses.
    Http(Arc<Exchange>),
    /// As many bytes as will go.
    Bulk(Direction),
    /// Connections that are opened, and closed as soon as they stand.
    Connect,
}

/// Messages and their replies.
#[derive(Clone, Debug)]
pub struct Ask {
    /// What is asked.
    pub payload: Payload,
    /// What the reply must be.
    pub expect: Expect,
}

/// Where bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From us to the server, which takes them (`discard`).
    Up,
    /// From the server to us (`chargen`).
    Down,
    /// Both at once (`echo`).
    Both,
}

impl Shape {
    /// Its name in a report.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ask(_) => "ask",
            Self::Http(_) => "http",
            Self::Bulk(Direction::Up) => "up",
            Self::Bulk(Direction::Down) => "down",
            Self::Bulk(Direction::Both) => "both",
            Self::Connect => "connect",
        }
    }
}

impl Plan {
    /// Ten connections that ask for ten seconds, 64 bytes at a time.
    pub fn to(to: Address) -> Self {
        let ask = Ask { payload: Payload::of_size(64), expect: Expect::default() };
        Self {
            to,
            shape: Shape::Ask(Arc::new(ask)),
            rate: None,
            connections: 10,
            depth: 1,
            threads: 1,
            duration: None,
            count: None,
            warm_up: Duration::ZERO,
            timeout: Duration::from_secs(10),
            size: None,
            seed: 0,
        }
    }

    /// How long what counts is to last, where that is known.
    pub fn span(&self) -> Option<Duration> {
        match (self.duration, self.count) {
            (None, None) => Some(Duration::from_secs(10)),
            (duration, _) => duration,
        }
    }

    /// Whether messages are datagrams.
    pub fn is_packets(&self) -> bool {
        matches!(self.to.scheme.as_str(), "udp" | "unix-dgram") || self.to.options.flag("packets", false)
    }

    /// Whether what goes is bytes without a border.
    fn is_stream_of_bytes(&self) -> bool {
        matches!(self.shape, Shape::Bulk(_)) && !self.is_packets()
    }

    /// When requests go: datagrams, where the rate is one of bits. Nothing where there is no schedule, or none of requests.
    pub fn requests(&self) -> Option<Rate> {
        let rate = self.rate.as_ref().filter(|_| !self.is_stream_of_bytes())?;
        if rate.is_bits() { rate.of_size(datagrams::same_size(self)?).ok() } else { Some(rate.clone()) }
    }

    /// The plan as times, from now on.
    fn schedule(&self, now: Instant) -> Schedule {
        let start = now + self.warm_up;
        Schedule {
            rate: self.requests(),
            warm: now,
            start,
            end: self.span().map(|span| start + span),
            most: self.count.unwrap_or(u64::MAX),
            taken: 0.into(),
        }
    }

    fn check(&mut self) -> Result<()> {
        let wrong = |what: &str| Err(Error::usage(format!("a load test needs at least one {what}")));
        match (self.connections, self.depth) {
            (0, _) => return wrong("connection"),
            (_, 0) => return wrong("request under way on each connection (depth)"),
            _ => {}
        }
        if self.count == Some(0) {
            return wrong("request (count)");
        }
        if self.to.scheme == "stdio" {
            return Err(Error::usage("there is no server on stdio").hint("exec:PROGRAM is one for each connection"));
        }
        self.check_rate()?;
        self.threads = self.threads.min(self.connections);
        if self.is_packets() { datagrams::check(self) } else { message::check(self) }
    }
}

impl Plan {
    /// Refuses a rate of what the load has none of.
    fn check_rate(&self) -> Result<()> {
        let Some(rate) = &self.rate else { return Ok(()) };
        match (rate.is_bits(), self.is_stream_of_bytes()) {
            (true, true) | (false, false) => Ok(()),
            (false, true) => Err(Error::usage(format!("bulk has a rate of bits or bytes, and {rate} is one of requests"))
                .hint("--rate 10mbit or --rate 1MB is so much a second; without --up, --down and --both messages go at --rate 500")),
            (true, false) if !self.is_packets() => {
                let what = if matches!(self.shape, Shape::Connect) { "connections" } else { "requests" };
                Err(Error::usage(format!("{rate} is a rate of bits, and {what} have one of their own"))
                    .hint("--rate 500 is so many a second; bits are for --up, --down and --both, and for datagrams"))
            }
            (true, false) => match datagrams::same_size(self) {
                Some(size) => rate.of_size(size).map(drop),
                None => Err(Error::usage(format!("{rate} is so many datagrams only where each is as long as the other"))
                    .hint("--size 1200 makes them so; with a template in --payload, --rate 500 is so many a second")),
            },
        }
    }
}

/// Runs a load test to its end, or until the scope stops: then the report is of what was. `seen` is called about four
/// times a second for each thread.
///
/// # Errors
/// The plan, or that no connection could be had at the beginning. Whatever goes wrong afterwards stands in the report.
pub async fn run(mut plan: Plan, scope: &Scope, seen: impl FnMut(&Progress)) -> Result<Report> {
    plan.check()?;
    let plan = Arc::new(plan);
    // What is under way when somebody wants it to stop is still to be heard.
    let own = scope.beside();
    lend(&own);
    let gathering = Arc::new(Gathering::new(plan.clone()));
    let done = all_threads(&plan, &own.under(&plan.to.options)?, &gathering, scope, seen).await;
    gathering.give_up(Error::new(Kind::Other, "the load ended before it began"));
    own.abort();
    let done = done?;
    let Some(schedule) = gathering.start().await else {
        let nobody = || Error::new(Kind::Other, "no connection could be had");
        return Err(gathering.error().unwrap_or_else(nobody));
    };
    let (mut tally, seconds, cpu) = merged(&plan, schedule.start, done)?;
    let notes = notes(&plan, &gathering, &mut tally);
    let started = report::moment(schedule.start.elapsed());
    Ok(Report::of(&plan, &tally, Run { started, seconds, cpu, notes }))
}

/// Runs all threads to their end, and tells meanwhile how it goes.
async fn all_threads(
    plan: &Arc<Plan>,
    own: &Scope,
    gathering: &Arc<Gathering>,
    stop: &Scope,
    mut seen: impl FnMut(&Progress),
) -> Result<Vec<Option<Done>>> {
    let (tell, mut told) = mpsc::channel(64);
    let threads = plan.threads.max(1);
    let mut running = Vec::new();
    for index in 0..threads {
        let connections = share(plan.connections, threads, index);
        let thread = Thread::new(plan.clone(), own.clone(), gathering.clone(), index, connections)?;
        running.push(begin(thread, connections, tell.clone(), stop.clone())?);
    }
    drop(tell);
    let mut pictures = Progresses::new(threads);
    let all = futures_util::future::try_join_all(running);
    tokio::pin!(all);
    loop {
        tokio::select! {
            biased;
            Some((thread, progress)) = told.recv() => seen(&pictures.heard(thread, progress)),
            done = &mut all => return done,
        }
    }
}

/// What all threads have counted, in how many seconds, and what that cost.
fn merged(plan: &Plan, start: Instant, done: Vec<Option<Done>>) -> Result<(Tally, f64, Cpu)> {
    let mut tally = Tally::new(start, plan.span())?;
    let (mut seconds, mut cpu) = (0.0_f64, Cpu::default());
    for done in done.into_iter().flatten() {
        tally.merge(&done.tally);
        seconds = seconds.max(done.lasted.as_secs_f64());
        cpu.seconds += done.cpu.as_secs_f64();
        cpu.busiest = cpu.busiest.max(done.cpu.as_secs_f64() / done.busy_in.as_secs_f64().max(1e-9));
    }
    Ok((tally, seconds, cpu))
}

/// What a person should know of the run.
fn notes(plan: &Plan, gathering: &Gathering, tally: &mut Tally) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(error) = gathering.error() {
        notes.push(format!("not all connections could be had at the beginning: {error}"));
    }
    if tally.crowded * 100 > tally.counts.offered {
        let places = match plan.connections * plan.depth {
            1 => "connection".to_owned(),
            many => format!("{many} places"),
        };
        notes.push(format!(
            "{} had to wait until one of the {places} was free: the target is slow, or they are too few (-c)",
            words::requests(tally.crowded)
        ));
    }
    // A server of HTTP may say why it closes a connection on which nothing was asked.
    if tally.unasked > 0 && matches!(plan.shape, Shape::Ask(_)) {
        notes.push(
            "the target talks without being asked, so what came may be no answer: is it a chargen? --down measures that, \
             and with --expect same only an echo is an answer"
                .to_owned(),
        );
    }
    tally.packets = tally.datagrams.packets(&mut notes);
    if let Some(error) = gathering.first_trouble() {
        let hint = error.advice().map(|hint| format!(" ({hint})")).unwrap_or_default();
        notes.push(format!("the first failure: {error}{hint}"));
    }
    notes
}

/// How many of them one of several has.
fn share(all: usize, threads: usize, index: usize) -> usize {
    all / threads + usize::from(index < all % threads)
}

/// Begins a thread of the run: one of its own, or in the current runtime where the plan has none.
fn begin(
    thread: Arc<Thread>,
    connections: usize,
    tell: mpsc::Sender<(usize, Progress)>,
    stop: Scope,
) -> Result<BoxFuture<'static, Result<Option<Done>>>> {
    if thread.plan.threads == 0 {
        return Ok(Box::pin(thread.run(connections, Alarm::Runtime, tell, stop)));
    }
    let cannot = |error| Error::io("cannot begin a thread", error);
    let (done, doing) = oneshot::channel();
    // As many events at a time as a server handles: a thousand busy connections then cost fewer system calls.
    let runtime = Builder::new_current_thread().enable_all().event_interval(256).max_io_events_per_tick(256).build();
    let runtime = runtime.map_err(cannot)?;
    let run = move || {
        let ran = runtime.block_on(async {
            let alarm = Alarm::exact().map_err(|error| Error::io("cannot keep to the schedule", error))?;
            thread.run(connections, alarm, tell, stop).await
        });
        // Whoever began it may have gone.
        let _ = done.send(ran);
    };
    std::thread::Builder::new().name("bench".to_owned()).spawn(run).map_err(cannot)?;
    Ok(Box::pin(async { doing.await.unwrap_or_else(|_| Err(Error::new(Kind::Other, "a thread of the load broke"))) }))
}
