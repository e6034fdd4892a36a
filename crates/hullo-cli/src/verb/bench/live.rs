//! `hullo bench ADDRESS` on a terminal: how the load goes, while it goes.

use std::{
    cell::RefCell,
    io::{IsTerminal, stderr},
    time::Duration,
};

use hullo::{
    Error, Kind, Limits, Result,
    bench::{self, Plan, Progress, Report},
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use ratatui::crossterm::event::Event;
use tokio::{
    signal::ctrl_c,
    sync::mpsc::Receiver,
    time::{MissedTickBehavior, interval},
};

use crate::{
    report::{Overheard, Voice},
    verb::screen::{Screen, keys},
    view::bench::live::{Live, Wish, draw::draw},
};

/// How often it is drawn. The load has other threads, but perhaps not other cores.
const LOOK: Duration = Duration::from_millis(125);

/// A line on stderr where there is a terminal, but not all of it is ours: it goes when the load is over. It begins with what
/// the load is `about` among others.
pub(super) fn line(plan: &Plan, about: &str) -> impl FnMut(&Progress) + use<> {
    let mut live = Live::new(plan, false).among(about, &[]);
    let bar = stderr().is_terminal().then(|| {
        let target = ProgressDrawTarget::stderr_with_hz(4);
        let style =
            ProgressStyle::with_template("{bar:24} {wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::with_draw_target(Some(STEPS), target).with_style(style).with_finish(ProgressFinish::AndClear)
    });
    move |progress| {
        let Some(bar) = &bar else { return };
        live.hear(progress);
        bar.set_position((live.done().unwrap_or_default() * STEPS as f64) as u64);
        bar.set_message(live.line());
    }
}

/// How many steps the bar of a line has: more than it has characters.
const STEPS: u64 = 1000;

/// The terminal, for a load or for several, one after the other.
pub(super) struct Stage {
    // The terminal is given back first, and what was said meanwhile is said again behind it.
    screen: Screen,
    keys: Receiver<Event>,
    notes: Overheard,
}

impl Stage {
    /// Takes it.
    ///
    /// # Errors
    /// Those of the terminal.
    pub(super) fn take() -> Result<Self> {
        let notes = Overheard::new();
        let screen = Screen::take(false, "--no-live needs no terminal")?;
        Ok(Self { screen, keys: keys(), notes })
    }

    /// Runs that load to its end, or until the person has seen enough: the report is then of what was. It says whether the
    /// load came to its end.
    ///
    /// # Errors
    /// Those of the load, those of the terminal, or that the person wants it to end at once.
    pub(super) async fn run(&mut self, live: Live, plan: Plan, voice: Voice) -> (Result<Report>, bool) {
        let live = RefCell::new(live);
        let scope = voice.scope(Limits::default());
        let load = bench::run(plan, &scope, |progress| live.borrow_mut().hear(progress));
        tokio::pin!(load);
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_ending = false;
        loop {
            let wish = tokio::select! {
                report = &mut load => return (report, !is_ending),
                _ = looks.tick() => Wish::Nothing,
                Some(_) = self.notes.next() => continue,
                event = self.keys.recv() => event.map_or(Wish::End, |event| live.borrow_mut().act(&event)),
                // Of another program: keys are no signals here.
                Ok(()) = ctrl_c() => Wish::End,
            };
            if wish == Wish::End {
                if std::mem::replace(&mut is_ending, true) {
                    return (Err(Error::new(Kind::Other, "interrupted")), true);
                }
                live.borrow_mut().end();
                scope.stop();
            }
            if let Err(error) = self.show(wish, &live.borrow()) {
                return (Err(error), true);
            }
        }
    }

    fn show(&mut self, wish: Wish, live: &Live) -> Result<()> {
        if wish == Wish::Redraw {
            self.screen.clear()?;
        }
        self.screen.draw(|frame| draw(frame, live))
    }
}
