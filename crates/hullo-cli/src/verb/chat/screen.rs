//! The terminal: taken when a chat begins, and given back however it ends.

use std::{
    future::Future,
    io::{Stdout, Write, stdout},
    pin::pin,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hullo::{Error, Result};
use ratatui::{
    Terminal,
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
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{Instant, interval, sleep_until, timeout},
};

use crate::{
    verb::STDOUT,
    view::chat::{News, Wish, draw::draw, state::State},
};

/// How often it is drawn at most.
const FRAME: Duration = Duration::from_millis(16);

/// How much news is taken in before it is drawn.
const AT_ONCE: usize = 500;

/// How long is waited for what was said last when we leave.
const FAREWELL: Duration = Duration::from_secs(3);

/// Whether the terminal is ours now.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Shows the state, has `talk` go on, and passes to it what the person wants, until they leave. Whether it was possible to
/// pass something on is what `pass` answers.
///
/// # Errors
/// The terminal's, or `talk`'s.
pub(super) async fn run(
    mut state: State,
    mouse: bool,
    talk: impl Future<Output = Result<()>>,
    mut news: mpsc::Receiver<News>,
    pass: impl Fn(Wish) -> bool,
) -> Result<()> {
    let mut talk = pin!(talk);
    let listen = |kind| signal(kind).map_err(|error| Error::io("cannot wait for signals", error));
    let (mut end, mut gone, mut interrupt) =
        (listen(SignalKind::terminate())?, listen(SignalKind::hangup())?, listen(SignalKind::interrupt())?);
    let mut screen = Screen::take(mouse)?;
    let (mut keys, mut second) = (keys(), interval(Duration::from_secs(1)));
    let (mut talking, mut dirty, mut drawn) = (true, true, Instant::now() - FRAME);
    loop {
        let wishes = tokio::select! {
            Some(heard) = news.recv() => {
                state.hear(heard, now());
                for _ in 0..AT_ONCE {
                    let Ok(heard) = news.try_recv() else { break };
                    state.hear(heard, now());
                }
                dirty = true;
                Vec::new()
            }
            key = keys.recv() => match key {
                Some(event) => {
                    dirty = true;
                    state.act(event, now())
                }
                None => vec![Wish::Quit],
            },
            ended = &mut talk, if talking => {
                ended?;
                talking = false;
                Vec::new()
            }
            _ = second.tick() => {
                dirty |= state.tick(now());
                Vec::new()
            }
            () = sleep_until(drawn + FRAME), if dirty => {
                screen.draw(&mut state)?;
                (dirty, drawn) = (false, Instant::now());
                Vec::new()
            }
            _ = end.recv() => vec![Wish::Quit],
            _ = gone.recv() => vec![Wish::Quit],
            _ = interrupt.recv() => vec![Wish::Quit],
        };
        for wish in wishes {
            match wish {
                Wish::Quit => return leave(screen, talk, talking, news, pass).await,
                Wish::Redraw => screen.clear()?,
                Wish::Suspend => screen.suspend()?,
                wish => {
                    if !pass(wish) {
                        state.remark("! too much is waiting to be sent: the last was not taken", now());
                    }
                }
            }
        }
        if state.is_over() {
            return Ok(());
        }
    }
}

/// Gives the terminal back, and says what was typed last.
async fn leave(
    screen: Screen,
    talk: impl Future<Output = Result<()>>,
    talking: bool,
    mut news: mpsc::Receiver<News>,
    pass: impl Fn(Wish) -> bool,
) -> Result<()> {
    drop((screen, pass));
    if !talking {
        return Ok(());
    }
    let ended = async {
        let unread = async { while news.recv().await.is_some() {} };
        tokio::select! {
            ended = talk => ended,
            () = unread => Ok(()),
        }
    };
    timeout(FAREWELL, ended).await.unwrap_or(Ok(()))
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// What the person does. A thread of its own waits for it, which no runtime can do.
fn keys() -> mpsc::Receiver<event::Event> {
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
struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    mouse: bool,
}

impl Screen {
    fn take(mouse: bool) -> Result<Self> {
        restore_after_a_panic();
        let taken = enter(mouse).and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        match taken {
            Ok(terminal) => Ok(Self { terminal, mouse }),
            Err(error) => {
                give_back();
                Err(Error::io("cannot draw on this terminal", error).hint("--lines needs nothing but lines"))
            }
        }
    }

    fn draw(&mut self, state: &mut State) -> Result<()> {
        self.terminal.draw(|frame| draw(frame, state, now())).map_err(|error| Error::io(STDOUT, error))?;
        Ok(())
    }

    /// Has everything drawn anew. (`Terminal::clear` asks the terminal where its cursor is, and the answer goes to the
    /// thread that waits for keys.)
    fn clear(&mut self) -> Result<()> {
        let cleared = self.terminal.size().and_then(|size| self.terminal.resize(size.into()));
        cleared.map_err(|error| Error::io(STDOUT, error))
    }

    /// Lets the shell go on until it calls us back.
    fn suspend(&mut self) -> Result<()> {
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
