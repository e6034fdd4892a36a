//! The terminal as a screen: taken when something is drawn on all of it, and given back however that ends.

use std::{
    io::{Stdout, Write, stdout},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use hullo::{Error, Result};
use ratatui::{
    Frame, Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor::Show,
        event::{
            self, DisableBracketedPaste, DisableFocusChange, DisableMouseCapture, EnableBracketedPaste,
            EnableFocusChange, EnableMouseCapture,
        },
        execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
};
use rustix::process::{Signal, kill_current_process_group};
use tokio::sync::mpsc;

use super::STDOUT;

/// Whether the terminal is ours now.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// What the person does. A thread of its own waits for it, which no runtime can do.
pub(crate) fn keys() -> mpsc::Receiver<event::Event> {
    let (sender, keys) = mpsc::channel(64);
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    keys
}

/// The terminal, which is ours until this goes.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    mouse: bool,
}

impl Screen {
    /// Takes it, with the mouse if that is wanted.
    ///
    /// # Errors
    /// The terminal's. `instead` says what works without one.
    pub(crate) fn take(mouse: bool, instead: &'static str) -> Result<Self> {
        restore_after_a_panic();
        let taken = enter(mouse).and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        match taken {
            Ok(terminal) => Ok(Self { terminal, mouse }),
            Err(error) => {
                give_back();
                Err(Error::io("cannot draw on this terminal", error).hint(instead))
            }
        }
    }

    pub(crate) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> Result<()> {
        self.terminal.draw(draw).map_err(|error| Error::io(STDOUT, error))?;
        Ok(())
    }

    /// Has everything drawn anew. (`Terminal::clear` asks the terminal where its cursor is, and the answer goes to the
    /// thread that waits for keys.)
    pub(crate) fn clear(&mut self) -> Result<()> {
        let cleared = self.terminal.size().and_then(|size| self.terminal.resize(size.into()));
        cleared.map_err(|error| Error::io(STDOUT, error))
    }

    /// Lets the shell go on until it calls us back.
    pub(crate) fn suspend(&mut self) -> Result<()> {
        give_back();
        // Where we cannot be stopped we simply go on.
        let _ = kill_current_process_group(Signal::TSTP);
        enter(self.mouse).map_err(|error| Error::io(STDOUT, error))?;
        self.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn enter(mouse: bool) -> std::io::Result<()> {
    TAKEN.store(true, Relaxed);
    enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste, EnableFocusChange)?;
    if mouse { execute!(stdout(), EnableMouseCapture) } else { Ok(()) }
}

/// Puts the terminal back as it was. One that has gone needs nothing.
fn give_back() {
    if !TAKEN.swap(false, Relaxed) {
        return;
    }
    let _ =
        execute!(stdout(), DisableMouseCapture, DisableFocusChange, DisableBracketedPaste, LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
    let _ = stdout().flush();
}

/// What a panic says is to be read, and the shell behind it to be used.
fn restore_after_a_panic() {
    let said = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        give_back();
        said(info);
    }));
}
