//! `hullo relay :9000 db:5432` on a terminal: a live table of what is relayed.

use std::{
    collections::VecDeque,
    io::{IsTerminal, stderr, stdin, stdout},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use hullo::{
    Error, Result,
    traffic::{Flow, Seen, Tap, Total, Traffic},
};
use rustix::{process::getpgrp, termios::tcgetpgrp};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    report,
    verb::screen::{Screen, keys},
    view::{
        paint,
        relay::{
            heard::Closed,
            table::{GONE, Gone, Table, Wish, draw::draw},
        },
    },
};

/// How often it is looked at what goes on.
const LOOK: Duration = Duration::from_millis(250);

/// Whether a table may be drawn where we are: on a terminal that we have to ourselves, and that is not to show anything
/// else.
pub(crate) fn has_terminal() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    let are_terminals = stdin().is_terminal() && stdout().is_terminal() && stderr().is_terminal();
    // Who runs in the background must not touch it.
    let is_ours = || tcgetpgrp(stdin()).is_ok_and(|group| group == getpgrp());
    !is_dumb && are_terminals && is_ours()
}

/// The table. It is one of the taps of the [`Traffic`] that it shows, since it remembers how conversations ended, and wants
/// none of their bytes.
#[derive(Default)]
pub(crate) struct Live {
    gone: Mutex<VecDeque<Gone>>,
}

impl Live {
    /// Shows the table until the person wants it to end, which ends what it shows as Ctrl-C does. Whoever drops this before
    /// that has the terminal back too. What is said to people while it is shown stands in it, and is said again behind it.
    ///
    /// # Errors
    /// The terminal's.
    pub(crate) async fn run(&self, traffic: &Traffic, title: String) -> Result<()> {
        let mut table = Table::new(title, paint::on_stdout().colours());
        let mut notes = report::Overheard::new();
        let mut screen = Screen::take(false, "--no-live needs no terminal")?;
        let mut keys = keys();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let wish = tokio::select! {
                _ = looks.tick() => {
                    table.look(&traffic.live(), self.take_gone(), sum(traffic), Instant::now());
                    Wish::Nothing
                }
                Some(note) = notes.next() => {
                    table.note(note);
                    continue;
                }
                key = keys.recv() => key.map_or(Wish::Quit, |event| table.act(&event)),
            };
            match wish {
                Wish::Quit => return Ok(()),
                Wish::Redraw => screen.clear()?,
                Wish::Suspend => screen.suspend()?,
                Wish::Nothing => {}
            }
            screen.draw(|frame| draw(frame, &mut table, Instant::now()))?;
        }
    }

    fn take_gone(&self) -> VecDeque<Gone> {
        std::mem::take(&mut *self.gone.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Tap for Live {
    fn see(&self, flow: &Flow, what: Seen<'_>) {
        let Seen::Closed(error) = what else { return };
        let (client, server) = (flow.client.clone(), flow.server.clone());
        let one = Gone { number: flow.number, client, server, closed: Closed::of(flow, error) };
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        // No more than are shown are kept.
        if gone.len() >= GONE {
            gone.pop_front();
        }
        gone.push_back(one);
    }

    fn wants_bytes(&self) -> bool {
        false
    }
}

/// What went through all relays.
fn sum(traffic: &Traffic) -> Total {
    traffic.totals().values().fold(Total::default(), |sum, total| Total {
        flows: sum.flows + total.flows,
        up: sum.up + total.up,
        down: sum.down + total.down,
    })
}

/// What to say where there is to be a table and can be none.
pub(crate) fn no_terminal() -> Error {
    Error::usage("cannot show a live table: stdin, stdout and stderr are not all a terminal of ours")
        .hint("without --live, -v tells of each connection and --metrics has the numbers")
}
