//! `hullo serve exec tcp://:8040 -- sh -c 'tr a-z A-Z'`: a program for each link, which is its stdin and stdout.
//!
//! The program finds the two ends in its environment: `HULLO_PEER` and `HULLO_LOCAL` as addresses, and for internet
//! transports `REMOTE_ADDR`, `REMOTE_PORT`, `SERVER_ADDR` and `SERVER_PORT` (names as in CGI, RFC 3875, section 4.1).
//! Its stderr is the server's. It runs in a process group of its own, which is killed when the link ends.

use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::AsyncWrite,
    process::{Child, ChildStdout},
    time::{Sleep, interval, sleep},
};

use super::{Needs, Service, Setting, Settings, Spec};
use crate::{
    error::{Error, Kind, Result},
    io::{
        linger,
        program::{Group, Input, Program, REST, Running},
    },
    link::{BoxStream, Joined, Link},
    pipe::Pipe,
    scope::BoxFuture,
};

/// This service's line of the table.
pub const SPEC: Spec = Spec {
    name: "exec",
    about: "runs a program for each link: -- CMD ARG...",
    sample: "hello",
    takes: &[Setting::Command],
    needs: Needs::Nothing,
    make: |settings| Ok(Arc::new(Exec::new(settings)?)),
};

/// How often a link that has ended its side is asked whether it is still there.
const PROBE: Duration = Duration::from_secs(1);

/// The service that runs a program.
pub struct Exec(Program);

impl Exec {
    /// Runs the command of the settings.
    ///
    /// # Errors
    /// There is none, or no such program.
    pub fn new(settings: &Settings) -> Result<Self> {
        let Some(program) = Program::of(&settings.command) else {
            return Err(Error::usage("exec has no program to run")
                .hint("put it at the end: hullo serve exec ADDRESS -- cat -n"));
        };
        program.look_up(settings.path.as_deref())?;
        Ok(Self(program))
    }
}

impl Service for Exec {
    fn serve(self: Arc<Self>, link: Link) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let Running { mut child, group, input, output } = self.0.start(Some(&link.peer))?;
            let idle = link.scope.limits().idle;
            let mut stream = link.stream();
            let talked = talk(&mut stream, Joined(output, input), &mut child, group, idle).await;
            // Reaped here; where this is dropped before, the runtime does it.
            let status = child.wait().await;
            let said = talked.map_err(|error| Error::io("the program's link was cut off", error))?;
            if let Some(error) = status.ok().filter(|_| said == 0).and_then(|status| self.0.said_nothing(status)) {
                return Err(error);
            }
            linger::close(&mut stream).await.map_err(|error| Error::io("the program's answer did not all leave", error))
        })
    }
}

/// Joins the stream and the program until the output has ended, and either the input has too or the program. Returns how
/// many bytes the program said.
async fn talk(
    stream: &mut BoxStream,
    mut program: Joined<ChildStdout, Input>,
    child: &mut Child,
    group: Group,
    idle: Option<Duration>,
) -> io::Result<u64> {
    let mut group = Some(group);
    let (mut pipe, mut exited, mut rest) = (Pipe::default(), false, None);
    let mut silence = idle.map(Silence::new);
    let mut probe = interval(PROBE);
    let mut wait = Box::pin(child.wait());
    poll_fn(|cx| {
        let ended = pipe.poll(cx, stream, &mut program)?.is_ready();
        exited = exited || wait.as_mut().poll(cx).is_ready();
        if exited {
            // What the program left behind would hold its stdout open for ever.
            group = None;
        }
        if exited && pipe.back_done() {
            return Poll::Ready(pipe.failure().map_or(Ok(()), Err));
        }
        if pipe.back_waits() {
            // For a reader who may take their time, which is for the stream to bound.
            rest = None;
            return Poll::Pending;
        }
        // One of the two is to follow the other: the rest of the output, or the program's end.
        if exited || ended {
            let rest = rest.get_or_insert_with(|| Box::pin(sleep(REST)));
            return rest.as_mut().poll(cx).map(Ok);
        }
        if pipe.there_done() {
            while probe.poll_tick(cx).is_ready() {
                // Of a stream that has ended its side only a write tells that it has been reset; one of no bytes will do.
                if let Poll::Ready(Err(error)) = Pin::new(&mut *stream).poll_write(cx, &[]) {
                    return Poll::Ready(Err(error));
                }
            }
            if let Some(silence) = &mut silence {
                return silence.poll(cx, pipe.back()).map(Err);
            }
        }
        Poll::Pending
    })
    .await?;
    Ok(pipe.back())
}

/// The link's `idle` where its input has ended: the stream, of which nothing is asked any more, cannot tell then.
struct Silence {
    limit: Duration,
    moved: u64,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    fn new(limit: Duration) -> Self {
        Self { limit, moved: 0, alarm: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>, moved: u64) -> Poll<io::Error> {
        if moved != std::mem::replace(&mut self.moved, moved) {
            self.alarm = None;
        }
        let limit = self.limit;
        ready!(self.alarm.get_or_insert_with(|| Box::pin(sleep(limit))).as_mut().poll(cx));
        Poll::Ready(Error::new(Kind::Timeout, format!("the program said nothing for {limit:?}")).into())
    }
}
