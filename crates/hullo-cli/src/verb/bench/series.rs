//! Loads one after the other, as `--search` and `--vs` make them: each is shown while it lasts, and whoever has seen enough
//! gets what is known by then.

use std::future::pending;

use hullo::{
    Error, Kind, Limits, Result,
    bench::{self, Plan, Report},
};
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    finish::People,
    live::{self, Stage},
};
use crate::{
    args::Bench,
    observe::live::has_terminal,
    report::Voice,
    view::{bench::live::Live, paint},
};

/// The loads, and whoever looks at them.
pub(super) struct Series {
    voice: Voice,
    people: People,
    /// The terminal, where it is ours.
    stage: Option<Stage>,
    /// What was said so far, while nothing can be said on the terminal.
    said: Vec<String>,
    /// Whether a line tells how it goes.
    has_line: bool,
    /// It is listened to all the time, so that none between two loads is lost.
    interrupts: Option<Signal>,
}

impl Series {
    /// Nothing is measured yet.
    ///
    /// # Errors
    /// The terminal's.
    pub(super) fn new(args: &Bench, voice: Voice) -> Result<Self> {
        let is_seen = !voice.json && !args.no_live;
        let stage = if is_seen && has_terminal() { Some(Stage::take()?) } else { None };
        // Without a signal handler Ctrl-C ends the process, as it always did.
        let interrupts = signal(SignalKind::interrupt()).ok();
        Ok(Self { voice, people: People::of(args), stage, said: Vec::new(), has_line: is_seen, interrupts })
    }

    /// Runs a load, which is `about` that among the others; none if somebody has seen enough. Of that one nothing is told,
    /// since it is not whole.
    ///
    /// # Errors
    /// Those of the load, those of the terminal, or that it is to end at once.
    pub(super) async fn run(&mut self, plan: Plan, about: &str) -> Result<Option<Report>> {
        let (report, is_whole) = match &mut self.stage {
            Some(stage) => {
                let live = Live::new(&plan, paint::on_stdout().colours()).among(about, &self.said);
                stage.run(live, plan, self.voice).await
            }
            None => self.unattended(plan, about).await,
        };
        if is_whole { report.map(Some) } else { Ok(None) }
    }

    /// Tells of one of them as soon as it is over: with the words for people, or as an event.
    ///
    /// # Errors
    /// Nobody reads what is said.
    pub(super) fn tell(&mut self, event: &str, line: String, facts: Value) -> Result<()> {
        if self.voice.json {
            self.voice.say(event, "", facts);
            return Ok(());
        }
        if self.stage.is_none() {
            return self.people.say(|_| format!("{line}\n"));
        }
        self.said.push(line);
        Ok(())
    }

    /// Gives the terminal back, and says there what was said meanwhile.
    ///
    /// # Errors
    /// Nobody reads what is said.
    pub(super) fn end(self) -> Result<()> {
        let Self { stage, said, people, .. } = self;
        drop(stage);
        said.iter().try_for_each(|line| people.say(|_| format!("{line}\n")))
    }

    /// Runs a load without a screen. It says whether it came to its end.
    async fn unattended(&mut self, plan: Plan, about: &str) -> (Result<Report>, bool) {
        let scope = self.voice.scope(Limits::default());
        let mut seen = self.has_line.then(|| live::line(&plan, about));
        let load = bench::run(plan, &scope, |progress| seen.iter_mut().for_each(|seen| seen(progress)));
        tokio::pin!(load);
        let mut is_whole = true;
        loop {
            tokio::select! {
                report = &mut load => return (report, is_whole),
                () = interrupted(&mut self.interrupts) => {
                    if !std::mem::replace(&mut is_whole, false) {
                        return (Err(Error::new(Kind::Other, "interrupted")), true);
                    }
                    scope.stop();
                }
            }
        }
    }
}

/// Completes at the next Ctrl-C. Cancel-safe.
async fn interrupted(interrupts: &mut Option<Signal>) {
    match interrupts {
        Some(interrupts) => _ = interrupts.recv().await,
        None => pending().await,
    }
}
