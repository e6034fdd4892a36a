//! `hullo serve exec tcp://:8040 -- sh -c 'tr a-z A-Z'`: a program for each link, which is its stdin and stdout.
//!
//! The program finds the two ends in its environment: `HULLO_PEER` and `HULLO_LOCAL` as addresses, and for internet
//! transports `REMOTE_ADDR`, `REMOTE_PORT`, `SERVER_ADDR` and `SERVER_PORT` (names as in CGI, RFC 3875, section 4.1).
//! Its stderr is the server's. It runs in a process group of its own, which is killed when the link ends.

use std::{
    ffi::{OsStr, OsString},
    future::{Future, poll_fn},
    io,
    os::unix::ffi::OsStrExt,
    path::Path,
    pin::Pin,
    process::Stdio,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use rustix::{
    fs::{Access, access},
    process::{Pid, Signal, kill_process_group},
};
use tokio::{
    io::AsyncWrite,
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{Sleep, interval, sleep},
};

use super::{Needs, Service, Setting, Settings, Spec};
use crate::{
    error::{Error, Kind, Result},
    io::linger,
    link::{BoxStream, Joined, Link},
    peer::Peer,
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

/// How long the rest of a program's output may take to arrive once the program has ended.
const REST: Duration = Duration::from_secs(1);

/// How often a link that has ended its side is asked whether it is still there.
const PROBE: Duration = Duration::from_secs(1);

/// The service that runs a program.
pub struct Exec {
    program: OsString,
    arguments: Vec<OsString>,
}

impl Exec {
    /// Runs the command of the settings.
    ///
    /// # Errors
    /// There is none, or no such program.
    pub fn new(settings: &Settings) -> Result<Self> {
        let Some((program, arguments)) = settings.command.split_first() else {
            return Err(Error::usage("exec has no program to run")
                .hint("put it at the end: hullo serve exec ADDRESS -- cat -n"));
        };
        look_up(program, settings.path.as_deref())?;
        Ok(Self { program: program.clone(), arguments: arguments.to_vec() })
    }

    fn spawn(&self, peer: &Peer) -> Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).kill_on_drop(true);
        command.env("HULLO_PEER", peer.to_string()).env("HULLO_LOCAL", peer.local_address());
        for (end, address, port) in
            [(peer.remote(), "REMOTE_ADDR", "REMOTE_PORT"), (peer.local(), "SERVER_ADDR", "SERVER_PORT")]
        {
            if let Some(end) = end.net() {
                command.env(address, end.ip().to_canonical().to_string()).env(port, end.port().to_string());
            }
        }
        let about = || format!("cannot run '{}'", self.program.display());
        command.spawn().map_err(|error| Error::io(about(), error).of(Kind::Program))
    }
}

/// Refuses a program that cannot be run, before the first client finds out.
fn look_up(program: &OsStr, path: Option<&OsStr>) -> Result<()> {
    let runs = |file: &Path| file.is_file() && access(file, Access::EXEC_OK).is_ok();
    let found = match path {
        _ if program.as_bytes().contains(&b'/') => runs(Path::new(program)),
        Some(path) => std::env::split_paths(path).any(|folder| runs(&folder.join(program))),
        None => true,
    };
    let about = || format!("there is no program '{}' that can be run", program.display());
    if found { Ok(()) } else { Err(Error::new(Kind::Program, about())) }
}

impl Service for Exec {
    fn serve(self: Arc<Self>, link: Link) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let mut child = self.spawn(&link.peer)?;
            let group = Group::of(&child);
            let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
                return Err(Error::new(Kind::Program, "the program has no stdin or stdout"));
            };
            let idle = link.scope.limits().idle;
            let mut stream = link.stream();
            let talked = talk(&mut stream, stdin, stdout, &mut child, group, idle).await;
            // Reaped here; where this is dropped before, the runtime does it.
            let status = child.wait().await;
            let said = talked.map_err(|error| Error::io("the program's link was cut off", error))?;
            if let Some(status) = status.ok().filter(|status| said == 0 && !status.success()) {
                return Err(Error::new(
                    Kind::Program,
                    format!("'{}' said nothing and ended with {status}", self.program.display()),
                ));
            }
            linger::close(&mut stream).await.map_err(|error| Error::io("the program's answer did not all leave", error))
        })
    }
}

/// Joins the stream and the program until the output has ended, and either the input has too or the program. Returns how
/// many bytes the program said.
async fn talk(
    stream: &mut BoxStream,
    stdin: ChildStdin,
    stdout: ChildStdout,
    child: &mut Child,
    group: Group,
    idle: Option<Duration>,
) -> io::Result<u64> {
    let (mut program, mut group) = (Joined(stdout, Input(Some(stdin))), Some(group));
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

/// A program's stdin. A program may stop reading whenever it likes: what it does not want goes nowhere.
struct Input(Option<ChildStdin>);

impl AsyncWrite for Input {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Some(stdin) = &mut self.0 else { return Poll::Ready(Ok(buf.len())) };
        match ready!(Pin::new(stdin).poll_write(cx, buf)) {
            Ok(n) => Poll::Ready(Ok(n)),
            Err(_) => {
                self.0 = None;
                Poll::Ready(Ok(buf.len()))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// A pipe has no half-close but its close.
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0 = None;
        Poll::Ready(Ok(()))
    }
}

/// A program's process group, killed when this is dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // It fails where all of the group has ended already.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}
