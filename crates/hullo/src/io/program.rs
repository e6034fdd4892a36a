//! A program as one end of a conversation: its stdin and stdout, in a process group that goes with it.

use std::{
    ffi::{OsStr, OsString},
    future::Future,
    io,
    os::unix::ffi::OsStrExt,
    path::Path,
    pin::Pin,
    process::{ExitStatus, Stdio},
    task::{Context, Poll, ready},
    time::Duration,
};

use rustix::{
    fs::{Access, access},
    process::{Pid, Signal, kill_process_group},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{Sleep, sleep, timeout},
};

use crate::{
    error::{Error, Kind, Result},
    link::Stream,
    peer::Peer,
    scope::{BoxFuture, Scope},
};

/// How long the rest of a program's output may take to arrive once the program has ended, and how long the program may take
/// to end once both of its streams have.
pub(crate) const REST: Duration = Duration::from_secs(1);

/// A program and its arguments.
#[derive(Clone)]
pub(crate) struct Program {
    name: OsString,
    arguments: Vec<OsString>,
}

impl Program {
    /// The program of a command line; nothing if that is empty.
    pub(crate) fn of(words: &[OsString]) -> Option<Self> {
        let (name, arguments) = words.split_first()?;
        Some(Self { name: name.clone(), arguments: arguments.to_vec() })
    }

    /// Its name, as it was written.
    pub(crate) fn name(&self) -> std::ffi::os_str::Display<'_> {
        self.name.display()
    }

    /// Refuses what cannot be run, before the first client finds out. `path` is where programs are looked for; without
    /// it, a name alone is taken as it is.
    ///
    /// # Errors
    /// There is no such program.
    pub(crate) fn look_up(&self, path: Option<&OsStr>) -> Result<()> {
        let runs = |file: &Path| file.is_file() && access(file, Access::EXEC_OK).is_ok();
        let found = match path {
            _ if self.name.as_bytes().contains(&b'/') => runs(Path::new(&self.name)),
            Some(path) => std::env::split_paths(path).any(|folder| runs(&folder.join(&self.name))),
            None => true,
        };
        let about = || format!("there is no program '{}' that can be run", self.name());
        if found { Ok(()) } else { Err(Error::new(Kind::Program, about())) }
    }

    /// Starts it in a process group of its own, which goes with what this returns. It finds both ends of the conversation
    /// with that `peer` in its environment, where there is one.
    ///
    /// # Errors
    /// It cannot be run.
    pub(crate) fn start(&self, peer: Option<&Peer>) -> Result<Running> {
        let mut command = Command::new(&self.name);
        command.args(&self.arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).kill_on_drop(true);
        if let Some(peer) = peer {
            tell_ends(&mut command, peer);
        }
        let about = || format!("cannot run '{}'", self.name());
        let mut child = command.spawn().map_err(|error| Error::io(about(), error).of(Kind::Program))?;
        let group = Group::of(&child);
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::new(Kind::Program, "the program has no stdin or stdout"));
        };
        Ok(Running { child, group, input: Input(Some(stdin)), output: stdout })
    }

    /// What it means that it has ended without a word.
    pub(crate) fn said_nothing(&self, status: ExitStatus) -> Option<Error> {
        let about = || format!("'{}' said nothing and ended with {status}", self.name());
        (!status.success()).then(|| Error::new(Kind::Program, about()))
    }
}

/// Names as in CGI (RFC 3875, section 4.1), and the two ends as addresses.
fn tell_ends(command: &mut Command, peer: &Peer) {
    command.env("HULLO_PEER", peer.to_string()).env("HULLO_LOCAL", peer.local_address());
    let ends = [(peer.remote(), "REMOTE_ADDR", "REMOTE_PORT"), (peer.local(), "SERVER_ADDR", "SERVER_PORT")];
    for (end, address, port) in ends {
        if let Some(end) = end.net() {
            command.env(address, end.ip().to_canonical().to_string()).env(port, end.port().to_string());
        }
    }
}

/// A program that runs.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) group: Group,
    pub(crate) input: Input,
    pub(crate) output: ChildStdout,
}

/// A program's stdin. A program may stop reading whenever it likes: what it does not want goes nowhere.
pub(crate) struct Input(Option<ChildStdin>);

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
pub(crate) struct Group(Option<Pid>);

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

/// A running program as a stream: what is written is its input, what is read its output, and an end of the program is an
/// end of the stream. Its group is killed when this is dropped; at once, unless both sides have ended: then it has a moment
/// to end by itself.
pub(crate) struct Talk {
    program: Program,
    scope: Scope,
    input: Input,
    output: Option<ChildStdout>,
    /// The program's end, until it has come.
    end: Option<BoxFuture<'static, io::Result<ExitStatus>>>,
    status: Option<ExitStatus>,
    group: Option<Group>,
    /// How long one of the two, the output and the program, may still outlive the other.
    rest: Option<Pin<Box<Sleep>>>,
    has_spoken: bool,
}

impl Talk {
    /// Starts the program; a moment that it needs at its end is the scope's.
    ///
    /// # Errors
    /// It cannot be run.
    pub(crate) fn start(program: Program, peer: Option<&Peer>, scope: &Scope) -> Result<Self> {
        let Running { mut child, group, input, output } = program.start(peer)?;
        let end: BoxFuture<'static, _> = Box::pin(async move { child.wait().await });
        let (output, end, group) = (Some(output), Some(end), Some(group));
        Ok(Self {
            program,
            scope: scope.clone(),
            input,
            output,
            end,
            status: None,
            group,
            rest: None,
            has_spoken: false,
        })
    }

    /// Ready when the program has ended.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(end) = &mut self.end {
            let status = ready!(end.as_mut().poll(cx));
            self.status = status.ok();
            self.end = None;
            // What the program left behind would hold its stdout open for ever.
            self.group = None;
        }
        Poll::Ready(())
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.rest.get_or_insert_with(|| Box::pin(sleep(REST))).as_mut().poll(cx)
    }

    /// The end of the output: one without a word is the program's failure, if it says so by its status.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_spoken {
            return Poll::Ready(Ok(()));
        }
        if self.poll_end(cx).is_pending() {
            ready!(self.poll_rest(cx));
        }
        // It is told once.
        self.has_spoken = true;
        let failed = self.status.and_then(|status| self.program.said_nothing(status));
        Poll::Ready(failed.map_or(Ok(()), |error| Err(error.into())))
    }
}

impl AsyncRead for Talk {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        match this.output.as_mut().map(|output| Pin::new(output).poll_read(cx, buf)) {
            Some(Poll::Ready(Ok(()))) if buf.filled().len() > before => {
                (this.has_spoken, this.rest) = (true, None);
                return Poll::Ready(Ok(()));
            }
            Some(Poll::Ready(Err(error))) => return Poll::Ready(Err(error)),
            Some(Poll::Pending) => {
                ready!(this.poll_end(cx));
                // Its last words are in the pipe, and their end follows it; unless somebody else holds the other end.
                ready!(this.poll_rest(cx));
            }
            Some(Poll::Ready(Ok(()))) | None => {}
        }
        this.output = None;
        this.poll_silence(cx)
    }
}

impl AsyncWrite for Talk {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.input).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_shutdown(cx)
    }
}

impl Stream for Talk {}

impl Drop for Talk {
    fn drop(&mut self) {
        let (Some(end), Some(group)) = (self.end.take(), self.group.take()) else { return };
        if self.input.0.is_none() && self.output.is_none() {
            self.scope.spawn(async move {
                let _ = timeout(REST, end).await;
                drop(group);
            });
        }
    }
}
