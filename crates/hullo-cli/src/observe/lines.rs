//! Lines for a file, or for stderr.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use hullo::{Error, Kind, Result};

/// Lines on their way to a thread that writes them, since who reads a log may be slow, and the server is not to wait.
pub(crate) struct Lines {
    lines: Mutex<Option<SyncSender<String>>>,
    written: Mutex<Receiver<()>>,
    lost: AtomicU64,
}

/// How many lines may wait to be written; more are lost, and counted.
const WAITING: usize = 4096;

/// How long the end of the server waits for the last lines.
const LAST: Duration = Duration::from_secs(1);

impl Lines {
    /// Lines to that file, behind what is in it; without one to stderr. `what` is what they are, as in `access log`.
    pub(crate) fn open(what: &str, file: Option<&Path>) -> Result<Self> {
        let mut to: Box<dyn Write + Send> = match file {
            None => Box::new(io::stderr()),
            Some(path) => {
                let about = format!("cannot write the {what} to {}", path.display());
                let file = OpenOptions::new().create(true).append(true).open(path);
                Box::new(file.map_err(|error| Error::io(about, error).of(Kind::File))?)
            }
        };
        let (lines, to_write) = sync_channel::<String>(WAITING);
        let (done, written) = sync_channel(1);
        let write = move || {
            for line in to_write {
                // A line that cannot be written is lost: there is no better place to say so, and the server goes on.
                let _ = to.write_all(line.as_bytes());
            }
            let _ = done.send(());
        };
        let thread = thread::Builder::new().name(what.to_owned()).spawn(write);
        thread.map_err(|error| Error::io(format!("cannot start a thread for the {what}"), error))?;
        Ok(Self { lines: Mutex::new(Some(lines)), written: Mutex::new(written), lost: AtomicU64::new(0) })
    }

    /// Writes a line; `about_lost` is one about those that could not be written before it.
    pub(crate) fn write(&self, line: &str, about_lost: impl FnOnce(u64) -> String) {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(lines) = &*lines else { return };
        let lost = self.lost.swap(0, Relaxed);
        let before = if lost > 0 { about_lost(lost) + "\n" } else { String::new() };
        if lines.try_send(before + line + "\n").is_err() {
            self.lost.fetch_add(lost + 1, Relaxed);
        }
    }

    /// Waits, not for long, until all lines are written.
    pub(crate) fn finish(&self) {
        drop(self.lines.lock().unwrap_or_else(PoisonError::into_inner).take());
        let _ = self.written.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(LAST);
    }
}
