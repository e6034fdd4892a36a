//! A thread of a load test: its connections, their turns, and what it has counted.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::{TimeVal, TimeValLike},
};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    Plan, Shape, bulk, connects, datagrams,
    gathering::Gathering,
    progress::Progress,
    talk,
    tally::Tally,
    turns::{Next, Schedule, Turn, Turns},
};
use crate::{
    error::{Error, Kind, Result},
    io::alarm::Alarm,
    scope::Scope,
};

/// What the connections of one thread share. They all run on that thread, so the lock is never waited for.
pub(crate) struct Thread {
    pub(crate) plan: Arc<Plan>,
    /// What connections live in. It does not end with the scope of whoever wants the run to stop early.
    pub(crate) scope: Scope,
    gathering: Arc<Gathering>,
    index: usize,
    phase: watch::Sender<Phase>,
    state: Mutex<State>,
    /// So many connections are opened at once, so that no listener's queue overflows.
    doors: Semaphore,
}

/// What a thread has done.
pub(crate) struct Done {
    pub(crate) tally: Tally,
    /// How long what counts lasted.
    pub(crate) lasted: Duration,
    /// The processor's time that the thread has taken, and in how much time.
    pub(crate) cpu: Duration,
    pub(crate) busy_in: Duration,
}

/// How far the run is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Running,
    /// What has no answer now is unanswered.
    Closed,
}

/// The turns and the figures.
pub(crate) struct State {
    pub(crate) turns: Turns,
    pub(crate) tally: Tally,
    /// Whether what has no answer now is unanswered.
    pub(crate) closed: bool,
    /// Since when nothing is sent any more, where something is still to be asked or heard.
    quiet: Option<Instant>,
    /// When somebody wanted it to stop.
    stopped: Option<Instant>,
    /// The processor's time when what counts began, and when it ended.
    cpu: [Option<Mark>; 2],
}

/// How much of the processor's time a thread had taken by then.
#[derive(Clone, Copy)]
struct Mark {
    at: Instant,
    cpu: Duration,
}

/// How many connections each thread opens at once.
const DOORS: usize = 128;

/// What is under way at the end may still come within this time.
pub(crate) const GRACE: Duration = Duration::from_millis(100);

/// How often whoever looks is told, at most.
const GLANCE: Duration = Duration::from_millis(250);

/// Turns that follow each other faster than this are called together.
const FINEST: Duration = Duration::from_micros(20);

impl Thread {
    /// Thread number `index` with so many connections.
    ///
    /// # Errors
    /// As [`Tally::new`].
    pub(crate) fn new(
        plan: Arc<Plan>,
        scope: Scope,
        gathering: Arc<Gathering>,
        index: usize,
        connections: usize,
    ) -> Result<Arc<Self>> {
        let turns = Turns::new(index as u64, plan.threads.max(1) as u64, connections);
        let tally = Tally::new(Instant::now(), plan.span())?;
        Ok(Arc::new(Self {
            plan,
            scope,
            gathering,
            index,
            phase: watch::Sender::new(Phase::Opening),
            state: Mutex::new(State { turns, tally, closed: false, quiet: None, stopped: None, cpu: [None; 2] }),
            doors: Semaphore::new(DOORS),
        }))
    }

    /// The turns and the figures. It must not be held over an await.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether that connection is the first of all, for what is done once in a run.
    pub(crate) fn is_first(&self, seat: usize) -> bool {
        (self.index, seat) == (0, 0)
    }

    /// Opens a connection, counts how long that takes, and gives the first ones some order.
    pub(crate) async fn open<T>(&self, open: impl Future<Output = Result<T>>) -> Result<T> {
        // It is never closed.
        let _door = self.doors.acquire().await;
        let since = Instant::now();
        let opened = open.await;
        let mut state = self.state();
        match &opened {
            Ok(_) => state.tally.connected(since.elapsed()),
            Err(_) => state.tally.unconnected(),
        }
        opened
    }

    /// Waits until all connections are there that will come, and the run begins. It says whether it does.
    pub(crate) async fn ready(&self, failed: Option<Error>) -> bool {
        self.gathering.arrive(failed);
        let mut phase = self.phase.subscribe();
        // The sender is ours.
        phase.wait_for(|phase| *phase != Phase::Opening).await.is_ok_and(|phase| *phase == Phase::Running)
    }

    /// Something went wrong that the report is to tell in words, once.
    pub(crate) fn trouble(&self, error: Error) {
        self.gathering.trouble(error);
    }

    /// Completes when what has no answer is unanswered. Cancel-safe.
    pub(crate) async fn closed(&self) {
        // The sender is ours.
        let _ = self.phase.subscribe().wait_for(|phase| *phase == Phase::Closed).await;
    }

    /// The next turn of that connection; none when there are no more. It is counted as offered. Cancel-safe.
    pub(crate) async fn turn(&self, seat: usize) -> Option<Turn> {
        std::future::poll_fn(|cx| self.poll_turn(seat, cx)).await
    }

    fn poll_turn(&self, seat: usize, cx: &mut Context<'_>) -> Poll<Option<Turn>> {
        let mut state = self.state();
        let now = Instant::now();
        match state.next(seat, now) {
            Next::Turn(turn, _) => Poll::Ready(Some(turn)),
            Next::Over => Poll::Ready(None),
            Next::Wait => {
                state.turns.rest(seat, cx.waker(), None);
                Poll::Pending
            }
        }
    }

    /// Runs all its connections until the end, and gives back what was counted.
    ///
    /// # Errors
    /// There is no alarm to be had.
    pub(crate) async fn run(
        self: Arc<Self>,
        connections: usize,
        alarm: Alarm,
        progress: mpsc::Sender<(usize, Progress)>,
        stop: Scope,
    ) -> Result<Option<Done>> {
        let mut talks = JoinSet::new();
        for seat in 0..connections {
            talks.spawn(connection(self.clone(), seat));
        }
        let schedule = tokio::select! {
            schedule = self.gathering.start() => schedule,
            () = stop.stopped() => {
                self.gathering.give_up(Error::new(Kind::Other, "it was stopped before the connections stood"));
                None
            }
        };
        let Some(schedule) = schedule else { return Ok(None) };
        self.begin(schedule.clone());
        let all = async {
            // One that panicked is a mistake of ours, which the runtime has printed.
            while talks.join_next().await.is_some() {}
            Ok(())
        };
        let done = tokio::select! {
            done = all => done,
            failed = self.pace(alarm) => failed,
            done = self.look_after(&schedule, progress, &stop) => Ok(done),
        };
        // Those that are still busy have heard that it is over.
        while talks.join_next().await.is_some() {}
        done.map_err(|error| Error::io("cannot keep to the schedule", error))?;
        self.finish(&schedule).map(Some)
    }

    fn begin(&self, schedule: Arc<Schedule>) {
        let mut state = self.state();
        state.tally.begin(schedule.start, schedule.end);
        state.turns.begin(schedule);
        drop(state);
        self.phase.send_replace(Phase::Running);
    }

    /// Calls connections to their turns.
    async fn pace(&self, alarm: Alarm) -> io::Result<()> {
        let mut now = Instant::now();
        loop {
            let due = self.state().turns.due_after(now);
            let Some(due) = due else {
                // Whoever waits for one more is to hear that there is none.
                self.state().turns.wake_all();
                return std::future::pending().await;
            };
            alarm.until(due.max(now + FINEST)).await?;
            now = Instant::now();
            self.state().turns.call(now);
        }
    }

    /// Tells how it goes, looks after what takes too long, and ends the run.
    async fn look_after(&self, schedule: &Schedule, progress: mpsc::Sender<(usize, Progress)>, stop: &Scope) {
        let every = GLANCE.min(self.plan.timeout / 4).max(Duration::from_millis(5));
        let mut end = schedule.end;
        let mut ended = false;
        loop {
            let next = Instant::now() + every;
            let begins = Some(schedule.start).filter(|start| *start > Instant::now());
            let ends = end.map(|end| if ended { end + GRACE } else { end });
            tokio::select! {
                () = sleep_until([Some(next), begins, ends].into_iter().flatten().min().unwrap_or(next)) => {}
                () = stop.stopped(), if !stop.is_stopping() => {}
            }
            let now = Instant::now();
            let mut state = self.state();
            if stop.is_stopping() && !ended {
                let stopped = end.map_or(now, |end| end.min(now));
                (end, state.stopped) = (Some(stopped), Some(stopped));
                state.tally.end(stopped);
            }
            if now >= schedule.start && state.cpu[0].is_none() {
                state.cpu[0] = Some(Mark::now());
            }
            if !ended && end.is_some_and(|end| now >= end) {
                ended = true;
                state.cpu[1] = Some(Mark::now());
                if stop.is_stopping() { state.turns.end() } else { state.turns.wake_all() }
            }
            if ended && end.is_some_and(|end| now >= end + GRACE) {
                state.closed = true;
                state.turns.end();
                drop(state);
                self.phase.send_replace(Phase::Closed);
                return;
            }
            state.turns.call_late(now, self.plan.timeout);
            // Who does not keep up with looking misses a glance, and sees it with the next one.
            if let Ok(place) = progress.try_reserve() {
                let at = now.saturating_duration_since(schedule.start);
                place.send((self.index, Progress::of(&mut state, at)));
            }
        }
    }

    /// What nobody has come to is offered, and unanswered. The thread counts nothing more.
    fn finish(&self, schedule: &Schedule) -> Result<Done> {
        let mut state = self.state();
        // Whoever still had something to ask or to hear has taken none of its time.
        let now = state.quiet.unwrap_or_else(Instant::now);
        let State { turns, tally, stopped, cpu, .. } = &mut *state;
        let end = [schedule.end, *stopped].into_iter().flatten().fold(now, Instant::min);
        while let Some((turn, many)) = turns.left(end) {
            tally.left(&turn, many, now);
        }
        let [from, to] = cpu.map(|mark| mark.unwrap_or_else(Mark::now));
        Ok(Done {
            tally: std::mem::replace(tally, Tally::new(now, None)?),
            lasted: end.saturating_duration_since(schedule.start),
            cpu: to.cpu.saturating_sub(from.cpu),
            busy_in: to.at.saturating_duration_since(from.at),
        })
    }
}

impl Mark {
    fn now() -> Self {
        Self { at: Instant::now(), cpu: processor_time() }
    }
}

impl State {
    /// Nothing counts any more of a connection that goes on, from that moment on.
    pub(crate) fn quiet(&mut self, since: Instant) {
        self.quiet = self.quiet.max(Some(since));
    }

    /// The next turn for that connection, which is counted as offered, and as late if we are.
    pub(crate) fn next(&mut self, seat: usize, now: Instant) -> Next {
        let next = self.turns.next(seat, now);
        if let Next::Turn(turn, waited) = &next {
            self.tally.offered(turn);
            if *waited {
                self.tally.late(turn, now);
            } else {
                self.tally.crowded(turn, now);
            }
        }
        next
    }
}

/// One connection, from its opening to the end of the run.
async fn connection(thread: Arc<Thread>, seat: usize) {
    match &thread.plan.shape {
        Shape::Ask(_) | Shape::Bulk(_) if thread.plan.is_packets() => datagrams::connection(thread, seat).await,
        Shape::Ask(_) | Shape::Http(_) => talk::connection(thread, seat).await,
        Shape::Bulk(_) => bulk::connection(thread, seat).await,
        Shape::Connect => connects::connection(thread, seat).await,
    }
}

/// The processor's time that this thread has taken so far.
fn processor_time() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_THREAD) else { return Duration::ZERO };
    let time = |value: TimeVal| Duration::from_micros(value.num_microseconds().unsigned_abs());
    time(usage.user_time()) + time(usage.system_time())
}
