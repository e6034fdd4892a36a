//! A chat on a terminal, from its beginning to its end.

use std::{
    future::Future,
    pin::pin,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hullo::{Error, Result};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{Instant, interval, sleep_until, timeout},
};

use crate::{
    verb::screen::{Screen, keys},
    view::chat::{News, Wish, draw::draw, state::State},
};

/// How often it is drawn at most.
const FRAME: Duration = Duration::from_millis(16);

/// How much news is taken in before it is drawn.
const AT_ONCE: usize = 500;

/// How long is waited for what was said last when we leave.
const FAREWELL: Duration = Duration::from_secs(3);

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
    let mut screen = Screen::take(mouse, "--lines needs nothing but lines")?;
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
                screen.draw(|frame| draw(frame, &mut state, now()))?;
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
