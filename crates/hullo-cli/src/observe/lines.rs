//! Lines for a file, or for stderr.

use std::{
    collections::VecDeque,
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use hullo::{Error, Kind, Result};

/// Lines on their way to a thread that writes them, since who reads a log may be slow, and the server is not to wait.
///
/// The thread is there only while there is something to write: with a single thread the kernel looks up a descriptor for
/// every call of the server without an atomic operation, which a busy server on one core notices.
pub(crate) struct Lines {
    what: String,
    shared: Arc<Shared>,
}

struct Shared {
    to: Mutex<Box<dyn Write + Send>>,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<String>,
    lost: u64,
    is_written: bool,
    is_over: bool,
}

/// How many lines may wait to be written; more are lost, and counted.
const WAITING: usize = 4096;

/// How long the thread waits for another line before it goes.
const QUIET: Duration = Duration::from_millis(100);

/// How long the end of the server waits for the last lines.
const LAST: Duration = Duration::from_secs(1);

impl Lines {
    /// Lines to that file, behind what is in it; without one to stderr. `what` is what they are, as in `access log`.
    pub(crate) fn open(what: &str, file: Option<&Path>) -> Result<Self> {
        let to: Box<dyn Write + Send> = match file {
            None => Box::new(io::stderr()),
            Some(path) => {
                let about = format!("cannot write the {what} to {}", path.display());
                let file = OpenOptions::new().create(true).append(true).open(path);
                Box::new(file.map_err(|error| Error::io(about, error).of(Kind::File))?)
            }
        };
        let shared = Shared { to: Mutex::new(to), queue: Mutex::default(), changed: Condvar::new() };
        Ok(Self { what: what.to_owned(), shared: Arc::new(shared) })
    }

    /// Writes a line; `about_lost` is one about those that could not be written before it.
    pub(crate) fn write(&self, line: &str, about_lost: impl FnOnce(u64) -> String) {
        let mut queue = self.shared.queue();
        if queue.lines.len() >= WAITING || !self.is_being_written(&mut queue) {
            queue.lost += 1;
            return;
        }
        let before = match std::mem::take(&mut queue.lost) {
            0 => String::new(),
            lost => about_lost(lost) + "\n",
        };
        queue.lines.push_back(before + line + "\n");
        self.shared.changed.notify_all();
    }

    /// Sees to it that there is a thread that writes, unless it is over or the system has none for us.
    fn is_being_written(&self, queue: &mut Queue) -> bool {
        if !queue.is_written && !queue.is_over {
            let shared = self.shared.clone();
            let thread = thread::Builder::new().name(self.what.clone()).spawn(move || shared.write());
            queue.is_written = thread.is_ok();
        }
        queue.is_written
    }

    /// Waits, not for long, until all lines are written.
    pub(crate) fn finish(&self) {
        let mut queue = self.shared.queue();
        queue.is_over = true;
        self.shared.changed.notify_all();
        drop(self.shared.changed.wait_timeout_while(queue, LAST, |queue| queue.is_written));
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what there is, until there was nothing for a while.
    fn write(&self) {
        let mut to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(line) = self.next() {
            // A line that cannot be written is lost: there is no better place to say so, and the server goes on.
            let _ = to.write_all(line.as_bytes());
        }
    }

    fn next(&self) -> Option<String> {
        let is_quiet = |queue: &mut Queue| queue.lines.is_empty() && !queue.is_over;
        let waited = self.changed.wait_timeout_while(self.queue(), QUIET, is_quiet);
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let line = queue.lines.pop_front();
        if line.is_none() {
            // Under the lock, so that no line comes in between.
            queue.is_written = false;
            self.changed.notify_all();
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        time::{Duration, Instant},
    };

    use super::*;

    /// Whether there is a thread, which shares what it needs with us.
    fn is_written(lines: &Lines) -> bool {
        Arc::strong_count(&lines.shared) > 1
    }

    #[test]
    fn the_thread_is_there_while_there_is_something_to_write() {
        let file = std::env::temp_dir().join(format!("hullo-lines-{}", std::process::id()));
        let lines = Lines::open("one log", Some(&file)).unwrap();
        assert!(!is_written(&lines));
        for round in 0..2 {
            lines.write(&format!("line {round}"), |_| String::new());
            assert!(is_written(&lines), "{round}");
            let until = Instant::now() + Duration::from_secs(20);
            while is_written(&lines) {
                assert!(Instant::now() < until, "it stays");
                thread::yield_now();
            }
        }
        lines.write("the last one", |_| String::new());
        lines.finish();
        assert_eq!(fs::read_to_string(&file).unwrap(), "line 0\nline 1\nthe last one\n");
        fs::remove_file(file).unwrap();
    }
}
