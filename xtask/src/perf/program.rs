//! A program that takes part: started on a core of its own, counted by a ledger, and ended with all that it has started.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use super::{
    ledger::{Ledger, Memory, look},
    place::Place,
};
use crate::{
    machine,
    run::{Outcome, failed, found},
};

/// A shell enters the control groups, asks for as many descriptors as it may have, and becomes the program, which ends with
/// us even if we are killed.
const BEGIN: &str = r#"core=$1; doors=$2; shift 2
for door in $doors; do echo $$ >"$door"; done
ulimit -n "$(ulimit -Hn)"
exec setpriv --pdeathsig KILL taskset -c "$core" "$@""#;

/// The cores of the two ends.
#[derive(Clone, Copy)]
pub(crate) enum Core {
    Server,
    Generator,
}

pub(crate) struct Program {
    child: Child,
    /// It was waited for: its number may be another's by now.
    is_reaped: bool,
    ledger: Ledger,
    log: PathBuf,
}

impl Program {
    /// Starts the words; what it prints and what it complains of are in two files of that name.
    pub(crate) fn start(name: &str, words: &[String], core: Core, place: &Place) -> Outcome<Self> {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let Some(program) = words.first().filter(|program| found(program) || Path::new(program).is_file()) else {
            return Err(failed(format!("there is no {}", words.first().map_or("program", String::as_str))));
        };
        let ledger = Ledger::open(STARTED.fetch_add(1, Ordering::Relaxed));
        let doors: Vec<_> = ledger.doors().iter().map(|door| door.display().to_string()).collect();
        let log = place.logs().join(name.replace(|letter: char| !letter.is_alphanumeric(), "-"));
        let file = |end: &str| {
            let path = log.with_extension(end);
            File::create(&path).map_err(|error| failed(format!("{}: {error}", path.display())))
        };
        let mut command = place.peers.tell(Command::new("sh"));
        command.args(["-c", BEGIN, "sh", core.number(), &doors.join(" ")]).args(words);
        // What asks for it waits for the end of its input.
        command.stdin(Stdio::piped()).stdout(file("out")?).stderr(file("err")?);
        let child = command.spawn().map_err(|error| failed(format!("cannot run {program}: {error}")))?;
        Ok(Self { child, is_reaped: false, ledger, log })
    }

    pub(crate) fn ledger(&self) -> &'static str {
        self.ledger.name()
    }

    pub(crate) fn cpu(&self) -> f64 {
        self.ledger.cpu(self.child.id())
    }

    pub(crate) fn memory(&self) -> Memory {
        self.ledger.memory(self.child.id())
    }

    /// Waits until somebody listens on the port, or the program has ended instead.
    pub(crate) fn listens(&self, port: u16) -> Outcome {
        machine::wait(machine::PATIENCE, || self.has_ended() || machine::is_open(port));
        if self.has_ended() { Err(failed(self.complaint())) } else { machine::listens(port) }
    }

    /// Waits until it has ended, and gives what it printed and the CPU-seconds that it took.
    pub(crate) fn finish(mut self, limit: Duration) -> Outcome<(String, f64)> {
        if !machine::wait(limit, || self.has_ended()) {
            return Err(failed(format!("it has not ended after {} s", limit.as_secs())));
        }
        // Not waited for yet: its line in /proc has its CPU still.
        let cpu = self.cpu();
        let status = self.child.wait().map_err(|error| failed(error.to_string()))?;
        self.is_reaped = true;
        if status.success() { Ok((self.printed(), cpu)) } else { Err(failed(self.complaint())) }
    }

    /// Waits until it says that it is ready.
    pub(crate) fn is_ready(&self, limit: Duration) -> Outcome {
        let said = || self.printed().contains("ready");
        machine::wait(limit, || self.has_ended() || said());
        if self.has_ended() || !said() { Err(failed(self.complaint())) } else { Ok(()) }
    }

    /// Tells it to go.
    pub(crate) fn go(&mut self) -> Outcome {
        let sent = self.child.stdin.as_mut().map_or(Ok(()), |input| input.write_all(b"\n"));
        sent.map_err(|error| failed(format!("it does not hear: {error}")))
    }

    pub(crate) fn has_ended(&self) -> bool {
        look(self.child.id()).is_none_or(|process| process.has_ended)
    }

    pub(crate) fn printed(&self) -> String {
        std::fs::read_to_string(self.log.with_extension("out")).unwrap_or_default()
    }

    /// The last line of what it said on its way out.
    pub(crate) fn complaint(&self) -> String {
        let text = std::fs::read_to_string(self.log.with_extension("err")).unwrap_or_default();
        let text = if text.trim().is_empty() { self.printed() } else { text };
        let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it ended without a word");
        last.trim().to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.ledger.kill((!self.is_reaped).then(|| self.child.id()));
        // It may have been waited for.
        let _ = self.child.wait();
        let emptied = machine::wait(Duration::from_secs(1), || {
            let left = |door: &PathBuf| std::fs::read_to_string(door).is_ok_and(|members| !members.is_empty());
            !self.ledger.doors().iter().any(left)
        });
        if emptied {
            self.ledger.close();
        }
    }
}

impl Core {
    /// Where there is one core alone, both ends are on it.
    fn number(self) -> &'static str {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if matches!(self, Self::Generator) && cores > 1 { "1" } else { "0" }
    }
}
