//! `hullo bench ADDRESS` on a terminal: how the load goes, while it goes.

use std::{cell::RefCell, time::Duration};

use hullo::{
    Error, Kind, Limits, Result,
    bench::{self, Plan, Report},
};
use ratatui::crossterm::event::Event;
use tokio::{
    signal::ctrl_c,
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use crate::{
    report::{self, Voice},
    verb::screen::{Screen, keys},
    view::{
        bench::live::{Live, Wish, draw::draw},
        paint,
    },
};

/// How often it is drawn. The load has other threads, but perhaps not other cores.
const LOOK: Duration = Duration::from_millis(125);

/// The screen on which load tests are shown, one after the other.
pub(super) struct Shown {
    // The terminal is given back first, and what was said meanwhile is said again behind it.
    screen: Screen,
    notes: report::Overheard,
    keys: mpsc::Receiver<Event>,
}

impl Shown {
    /// Takes the terminal.
    ///
    /// # Errors
    /// The terminal's.
    pub(super) fn new() -> Result<Self> {
        let notes = report::Overheard::new();
        Ok(Self { screen: Screen::take(false, "--no-live needs no terminal")?, notes, keys: keys() })
    }

    /// Runs that load to its end, or until the person has seen enough: the report is then of what was. `turn` says which
    /// load it is, where there are several.
    ///
    /// # Errors
    /// Those of the load, those of the terminal, or that the person wants it to end at once.
    pub(super) async fn run(&mut self, plan: Plan, turn: &str, voice: Voice) -> Result<Report> {
        let live = RefCell::new(Live::new(&plan, turn, paint::on_stdout().colours()));
        let scope = voice.scope(Limits::default());
        let load = bench::run(plan, &scope, |progress| live.borrow_mut().hear(progress));
        tokio::pin!(load);
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_ending = false;
        loop {
            let wish = tokio::select! {
                report = &mut load => return report,
                _ = looks.tick() => Wish::Nothing,
                // It is said again when the screen is gone.
                Some(_) = self.notes.next() => continue,
                event = self.keys.recv() => event.map_or(Wish::End, |event| live.borrow_mut().act(&event)),
                // Of another program: keys are no signals here.
                Ok(()) = ctrl_c() => Wish::End,
            };
            match wish {
                Wish::End if is_ending => return Err(Error::new(Kind::Other, "interrupted")),
                Wish::End => {
                    is_ending = true;
                    live.borrow_mut().end();
                    scope.stop();
                }
                Wish::Redraw => self.screen.clear()?,
                Wish::Nothing => {}
            }
            self.screen.draw(|frame| draw(frame, &live.borrow()))?;
        }
    }
}
