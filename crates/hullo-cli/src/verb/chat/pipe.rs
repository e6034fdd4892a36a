//! Lines in and lines out: a chat for scripts, and for terminals that cannot or should not be drawn on.

use std::{
    collections::HashMap,
    future::Future,
    io::{BufRead, BufReader, Read, stdin},
    pin::pin,
    thread,
    time::Duration,
};

use hullo::{
    Error, Kind, Result,
    chat::{Ask, Event, LOBBY, line::Lines, typed::typed},
};
use serde_json::json;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use crate::{
    report::Voice,
    verb::print_lines,
    view::chat::{
        News,
        say::Meaning,
        state::{Uids, enter},
    },
};

/// The longest line that is read; what a server takes is less.
const LINE: u64 = 1 << 20;

/// How long is waited, after the end of the input, for more of what was said to be kept.
const PATIENCE: Duration = Duration::from_secs(30);

/// What comes on stdin, line by line, until it ends.
pub(super) fn input() -> mpsc::Receiver<String> {
    let (lines, input) = mpsc::channel(16);
    thread::spawn(move || {
        let mut stdin = BufReader::new(stdin());
        loop {
            let mut line = Vec::new();
            match (&mut stdin).take(LINE).read_until(b'\n', &mut line) {
                Ok(1..) => {}
                _ => return,
            }
            let line = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    input
}

/// Prints what a server of lines says, until it has ended or, after our own end, falls quiet.
pub(super) async fn lines(talk: impl Future<Output = Result<()>>, mut news: mpsc::Receiver<News>) -> Result<()> {
    let mut talk = pin!(talk);
    loop {
        tokio::select! {
            biased;
            Some(news) = news.recv() => tell_line(news)?,
            ended = &mut talk => {
                while let Ok(news) = news.try_recv() {
                    tell_line(news)?;
                }
                return ended;
            }
        }
    }
}

fn tell_line(news: News) -> Result<()> {
    match news {
        News::Line(line) => print_lines(&(line + "\n")),
        _ => Ok(()),
    }
}

/// Talks to a server that knows rooms: what is typed is said, and what happens is printed.
///
/// # Errors
/// Nobody reads our stdout, the server does not let us in, or there was not enough time for all that was said.
pub(super) async fn rooms(
    talk: impl Future<Output = Result<()>>,
    asks: mpsc::Sender<Ask>,
    mut news: mpsc::Receiver<News>,
    mut talker: Talker,
) -> Result<Talker> {
    let (mut talk, mut input, mut asks) = (pin!(talk), input(), Some(asks));
    let mut patience = pin!(sleep(PATIENCE));
    loop {
        tokio::select! {
            biased;
            Some(news) = news.recv() => {
                // What others say, and attempts to connect, are no progress.
                if matches!(&news, News::Event(event) if matches!(**event, Event::Kept { .. })) {
                    patience.as_mut().reset(Instant::now() + PATIENCE);
                }
                talker.tell(news)?;
            }
            ended = &mut talk => {
                while let Ok(news) = news.try_recv() {
                    talker.tell(news)?;
                }
                return ended.map(|()| talker);
            }
            line = talker.next(&mut input, asks.as_ref()), if asks.is_some() => match line {
                Some(line) => match talker.mean(&line)? {
                    Meant::Nothing => {}
                    Meant::Ask(ask) => talker.pending = Some(ask),
                    Meant::Bye => asks = None,
                },
                None => {
                    asks = None;
                    patience.as_mut().reset(Instant::now() + PATIENCE);
                }
            },
            () = &mut patience, if asks.is_none() => return Ok(talker),
        }
    }
}

/// What a line comes to.
enum Meant {
    Nothing,
    Ask(Ask),
    Bye,
}

/// Who we are and where, as far as lines depend on it.
pub(super) struct Talker {
    lines: Lines,
    /// The room to be in, until we are.
    wanted: Option<String>,
    uids: Uids,
    prefix: String,
    /// What we said last in each room.
    last: HashMap<String, String>,
    /// What is to be asked, and has found no place yet.
    pending: Option<Ask>,
    away: bool,
    /// How many lines could not be meant.
    pub(super) wrong: usize,
    voice: Voice,
}

impl Talker {
    pub(super) fn new(room: Option<&String>, prefix: &str, voice: Voice) -> Self {
        let room = room.map_or(LOBBY, String::as_str).to_owned();
        Self {
            lines: Lines { me: String::new(), current: room.clone() },
            wanted: Some(room),
            uids: Uids::new(prefix.to_owned()),
            prefix: prefix.to_owned(),
            last: HashMap::new(),
            pending: None,
            away: false,
            wrong: 0,
            voice,
        }
    }

    /// The next line, once there is room for what the last one asked. Cancel-safe.
    async fn next(&mut self, input: &mut mpsc::Receiver<String>, asks: Option<&mpsc::Sender<Ask>>) -> Option<String> {
        if self.pending.is_some() {
            let place = asks?.reserve().await.ok()?;
            if let Some(ask) = self.pending.take() {
                place.send(ask);
            }
        }
        input.recv().await
    }

    fn mean(&mut self, line: &str) -> Result<Meant> {
        let room = self.lines.current.clone();
        let meaning = match typed(line, &room) {
            Ok(typed) => Meaning::of(typed, room.clone(), self.last.get(&room).cloned()),
            Err(error) => return Ok(self.wrong(&error)),
        };
        Ok(match meaning {
            Meaning::Nothing => Meant::Nothing,
            Meaning::Bye => Meant::Bye,
            Meaning::Help { text, .. } => {
                print_lines(&(text + "\n"))?;
                Meant::Nothing
            }
            Meaning::Go(room) => Meant::Ask(self.named(enter(&room))),
            Meaning::Ask(ask) => Meant::Ask(self.named(ask)),
            Meaning::NothingOfOurs => self.wrong(&Error::usage("nothing was said here by us that could be changed")),
        })
    }

    /// The same, where what is said has a name of its own, and what comes next is said in a room that is entered.
    fn named(&mut self, mut ask: Ask) -> Ask {
        match &mut ask {
            Ask::Say { room, uid, .. } => {
                let own = uid.insert(self.uids.next());
                self.last.insert(room.clone(), own.clone());
            }
            Ask::Tell { uid, .. } => *uid = Some(self.uids.next()),
            Ask::Join { room, .. } => self.go(room),
            _ => {}
        }
        ask
    }

    fn wrong(&mut self, error: &Error) -> Meant {
        self.voice.complain(error);
        self.wrong += 1;
        Meant::Nothing
    }

    /// What is said from now on is said there.
    fn go(&mut self, room: &str) {
        room.clone_into(&mut self.lines.current);
        self.wanted = Some(room.to_owned());
    }

    fn tell(&mut self, news: News) -> Result<()> {
        match news {
            News::Event(event) => self.event(&event),
            News::Gap { room } => {
                let room = self.lines.place(&room).into_owned();
                print_lines(&format!("* some of what was said in {room} while we were away is not here\n"))
            }
            News::Away { why, again } => {
                self.away = true;
                let sentence = format!("no connection ({why}); again in {:.1} s", again.as_secs_f64());
                self.voice.say("away", &sentence, json!({ "why": why, "again_seconds": again.as_secs_f64() }));
                Ok(())
            }
            News::Here if self.away => {
                self.away = false;
                self.voice.say("here", "connected again", json!({}));
                Ok(())
            }
            News::Here | News::Ended { .. } | News::Line(_) => Ok(()),
        }
    }

    fn event(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Welcome { name, .. } => name.clone_into(&mut self.lines.me),
            Event::Joined { room, .. } => {
                let wanted = self.wanted.as_ref();
                if wanted.is_some_and(|wanted| wanted == room || *wanted == self.lines.place(room)) {
                    room.clone_into(&mut self.lines.current);
                    self.wanted = None;
                }
            }
            // What we typed ourselves does not come back.
            Event::Message(said) if said.at.uid.starts_with(&self.prefix) => return Ok(()),
            Event::Presence { name, is: hullo::chat::Presence::Now { new }, .. } if *name == self.lines.me => {
                new.clone_into(&mut self.lines.me);
            }
            _ => {}
        }
        match self.lines.line(event) {
            Some(line) => print_lines(&(line + "\n")),
            None => Ok(()),
        }
    }
}

/// Reads the lines of stdin, and passes them on.
pub(super) async fn pass(lines: mpsc::Sender<String>) {
    let mut input = input();
    while let Some(line) = input.recv().await {
        if lines.send(line).await.is_err() {
            return;
        }
    }
}

/// Whether somebody still wanted to say something to an end that is gone.
///
/// # Errors
/// They did.
pub(super) async fn all_was_said(lines: &mut mpsc::Receiver<String>) -> Result<()> {
    match timeout(Duration::from_secs(1), lines.recv()).await {
        Ok(Some(_)) => Err(Error::new(Kind::Cut, "the other end has gone before all was said")),
        _ => Ok(()),
    }
}
