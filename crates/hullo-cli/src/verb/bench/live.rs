//! `hullo bench ADDRESS` on a terminal: how the load goes, while it goes.

use std::{cell::RefCell, time::Duration};

use hullo::{
    Error, Kind, Limits, Result,
    bench::{self, Plan, Report},
};
use tokio::{
    signal::ctrl_c,
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

/// Runs that load to its end, or until the person has seen enough: the report is then of what was.
///
/// # Errors
/// Those of the load, those of the terminal, or that the person wants it to end at once.
pub(super) async fn run(plan: Plan, voice: Voice) -> Result<Report> {
    let live = RefCell::new(Live::new(&plan, paint::on_stdout().colours()));
    let scope = voice.scope(Limits::default());
    let load = bench::run(plan, &scope, |progress| live.borrow_mut().hear(progress));
    tokio::pin!(load);
    // The terminal is given back first, and what was said meanwhile is said again behind it.
    let mut notes = report::Overheard::new();
    let mut screen = Screen::take(false, "--no-live needs no terminal")?;
    let mut keys = keys();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_ending = false;
    loop {
        let wish = tokio::select! {
            report = &mut load => return report,
            _ = looks.tick() => Wish::Nothing,
            Some(_) = notes.next() => continue,
            event = keys.recv() => event.map_or(Wish::End, |event| live.borrow_mut().act(&event)),
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
            Wish::Redraw => screen.clear()?,
            Wish::Nothing => {}
        }
        screen.draw(|frame| draw(frame, &live.borrow()))?;
    }
}
