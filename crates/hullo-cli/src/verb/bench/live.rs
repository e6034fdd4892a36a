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

/// A line on stderr where there is a terminal, but not all of it is ours: it goes when the load is over.
pub(super) fn line(plan: &Plan) -> impl FnMut(&Progress) + use<> {
    let mut live = Live::new(plan, false);
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
