//! A program under test: started with its own group, listened to, waited for, and killed on drop.

use std::{
    io::{Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{ChildStdin, Command, ExitStatus, Stdio},
    sync::{
        Arc, Condvar, Mutex,
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use super::PATIENCE;

/// How a program ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit status; of a signal its number and 128.
    pub(crate) code: i32,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
    pub(crate) took: Duration,
}

impl Ended {
    /// Its stdout, if all went well.
    #[track_caller]
    pub(crate) fn good(self) -> Vec<u8> {
        assert_eq!(self.code, 0, "it said: {}", self.err);
        self.out
    }

    #[track_caller]
    pub(crate) fn text(self) -> String {
        String::from_utf8(self.good()).unwrap()
    }

    /// Each line of stderr as the JSON object that it must be.
    #[track_caller]
    pub(crate) fn objects(&self) -> Vec<Value> {
        self.err.lines().map(object).collect()
    }
}

#[track_caller]
pub(crate) fn object(line: &str) -> Value {
    let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert!(value["event"].is_string(), "no event in {line}");
    value
}

pub(crate) fn run(command: &mut Command, input: impl Into<Vec<u8>>) -> Ended {
    let mut program = Program::start(command);
    program.feed(input.into());
    program.ended()
}

/// What comes out of a program, as it comes.
#[derive(Clone, Default)]
struct Tape(Arc<(Mutex<Recorded>, Condvar)>);

#[derive(Default)]
struct Recorded {
    bytes: Vec<u8>,
    ended: bool,
}

impl Tape {
    fn record(mut from: impl Read + Send + 'static) -> Self {
        let (tape, writer) = {
            let tape = Self::default();
            (tape.clone(), tape)
        };
        thread::spawn(move || {
            let mut buf = [0; 64 << 10];
            loop {
                let n = from.read(&mut buf).unwrap_or(0);
                let mut recorded = writer.0.0.lock().unwrap();
                recorded.bytes.extend_from_slice(&buf[..n]);
                recorded.ended = n == 0;
                writer.0.1.notify_all();
                if n == 0 {
                    return;
                }
            }
        });
        tape
    }

    /// Waits until `found` finds something in it, which it may do no more once it has ended.
    fn wait<T>(&self, found: impl Fn(&Recorded) -> Option<T>) -> Option<T> {
        self.wait_within(PATIENCE, found)
    }

    fn wait_within<T>(&self, patience: Duration, found: impl Fn(&Recorded) -> Option<T>) -> Option<T> {
        let until = Instant::now() + patience;
        let mut recorded = self.0.0.lock().unwrap();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match found(&recorded) {
                Some(found) => return Some(found),
                None if recorded.ended || left.is_zero() => return None,
                None => recorded = self.0.1.wait_timeout(recorded, left).unwrap().0,
            }
        }
    }

    fn all(&self) -> Option<Vec<u8>> {
        self.wait(|recorded| recorded.ended.then(|| recorded.bytes.clone()))
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.0.0.lock().unwrap().bytes).into_owned()
    }
}

/// A running program with its group, killed on drop.
pub(crate) struct Program {
    pub(crate) name: String,
    pid: Pid,
    input: Option<ChildStdin>,
    out: Tape,
    err: Tape,
    status: Receiver<ExitStatus>,
    begun: Instant,
    reaped: bool,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        let name = format!("{command:?}").chars().take(300).collect();
        let begun = Instant::now();
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = piped.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let (out, err) = (Tape::record(child.stdout.take().unwrap()), Tape::record(child.stderr.take().unwrap()));
        let (pid, input) = (Pid::from_child(&child), child.stdin.take());
        let (sender, status) = channel();
        thread::spawn(move || child.wait().map(|status| sender.send(status)));
        Self { name, pid, input, out, err, status, begun, reaped: false }
    }

    pub(crate) fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Writes to its stdin; whether it still reads is its own affair.
    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) {
        let input = self.input.as_mut().unwrap();
        let _ = input.write_all(bytes.as_ref()).and_then(|()| input.flush());
    }

    /// Writes that to its stdin and ends it, without waiting for it to be read.
    pub(crate) fn feed(&mut self, bytes: Vec<u8>) {
        let mut input = self.input.take().unwrap();
        thread::spawn(move || input.write_all(&bytes));
    }

    /// Ends its stdin.
    pub(crate) fn hang_up(&mut self) {
        self.input = None;
    }

    /// Waits until that is on its stdout; returns all of it so far.
    #[track_caller]
    pub(crate) fn heard(&self, text: &str) -> String {
        self.wait(&self.out, text)
    }

    /// Waits until all of its stdout so far is as it is wanted, and returns that.
    #[track_caller]
    pub(crate) fn heard_by(&self, wanted: impl Fn(&str) -> bool) -> String {
        let has =
            |recorded: &Recorded| Some(String::from_utf8_lossy(&recorded.bytes).into_owned()).filter(|all| wanted(all));
        self.out
            .wait(has)
            .unwrap_or_else(|| panic!("{} did not say what is wanted; it said: {}", self.name, self.so_far()))
    }

    /// Waits until that is on its stderr; returns all of it so far.
    #[track_caller]
    pub(crate) fn told(&self, text: &str) -> String {
        self.wait(&self.err, text)
    }

    #[track_caller]
    fn wait(&self, tape: &Tape, text: &str) -> String {
        let has = |recorded: &Recorded| {
            Some(String::from_utf8_lossy(&recorded.bytes).into_owned()).filter(|all| all.contains(text))
        };
        tape.wait(has).unwrap_or_else(|| panic!("{} did not say {text:?}; it said: {}", self.name, self.so_far()))
    }

    /// Waits until something is found in all of its stderr so far.
    pub(crate) fn tells<T>(&self, found: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.tells_within(PATIENCE, found)
    }

    /// The same, of what may take longer than anything of ours.
    pub(crate) fn tells_within<T>(&self, patience: Duration, found: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.err.wait_within(patience, |recorded| found(&String::from_utf8_lossy(&recorded.bytes)))
    }

    pub(crate) fn so_far(&self) -> String {
        format!("{}{}", self.err.so_far(), self.out.so_far())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn ended(self) -> Ended {
        self.ended_within(PATIENCE)
    }

    /// The same for one that has much to do.
    #[track_caller]
    pub(crate) fn ended_within(mut self, patience: Duration) -> Ended {
        let status = self.status.recv_timeout(patience);
        let status = status.unwrap_or_else(|_| panic!("{} did not end; it said: {}", self.name, self.so_far()));
        self.reaped = true;
        let took = self.begun.elapsed();
        let all = |tape: &Tape| {
            tape.all().unwrap_or_else(|| panic!("{} ended, but not its output: {}", self.name, self.so_far()))
        };
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap());
        Ended { code, out: all(&self.out), err: String::from_utf8(all(&self.err)).unwrap(), took }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The number of what has been reaped may be somebody else's by now.
        if !self.reaped && self.status.try_recv().is_err() {
            let _ = kill_process_group(self.pid, Signal::KILL);
            let _ = self.status.recv_timeout(PATIENCE);
        }
    }
}
