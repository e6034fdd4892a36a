//! `hullo chat ws://127.0.0.1:7107/`: rooms on a terminal, and lines in a pipe.

use std::{
    io::{IsTerminal, stdin, stdout},
    process::ExitCode,
};

use hullo::{Address, Error, Kind, Limits, Result, dial};
use tokio::sync::mpsc;

use self::{
    memory::{Memory, Who},
    pipe::Talker,
};
use super::prompt;
use crate::{
    args::Chat,
    report::Voice,
    view::{
        chat::{
            Wish,
            clock::Clock,
            state::{State, Uids},
        },
        paint,
    },
};

mod events;
mod memory;
mod pipe;
mod plain;
mod screen;

/// The variable with the password.
const PASSWORD: &str = "HULLO_PASSWORD";

/// The largest event: 500 of the longest messages fit.
const EVENT: usize = 16 << 20;

/// So much news, and so much that is asked, may wait.
const QUEUE: usize = 256;

pub(super) async fn run(args: Chat, voice: Voice) -> Result<ExitCode> {
    let address = door(args.address.parse()?);
    let password = args.login.then(|| password(&args)).transpose()?;
    voice.warn_of_trust(&address);
    let on_screen = !args.lines && !voice.json && stdin().is_terminal() && stdout().is_terminal();
    // A timeline would be written over the screen.
    let voice = Voice { verbose: voice.verbose && !on_screen, ..voice };
    let talk = async {
        if matches!(address.scheme.as_str(), "ws" | "wss") {
            let who = Who { name: args.name.clone(), password };
            rooms(&address, &args, who, on_screen, voice).await
        } else {
            lines(&address, &args, password, on_screen, voice).await
        }
    };
    tokio::select! {
        talked = talk => talked.map(|()| ExitCode::SUCCESS),
        // As a shell says it: 128 and the signal's number. A screen has its own way to leave.
        _ = tokio::signal::ctrl_c(), if !on_screen => Ok(ExitCode::from(130)),
    }
}

/// The address to connect to: a WebSocket is opened at the address of a page.
fn door(mut address: Address) -> Address {
    match address.scheme.as_str() {
        "http" => address.scheme = "ws".to_owned(),
        "https" => address.scheme = "wss".to_owned(),
        _ => {}
    }
    address
}

fn password(args: &Chat) -> Result<String> {
    if let Ok(password) = std::env::var(PASSWORD) {
        return Ok(password);
    }
    let name = args.name.as_deref().unwrap_or_default();
    prompt::secret(&format!("the password of {name}: ")).map_err(|error| {
        let about = "there is no password, and nobody to ask for it";
        Error::usage(about).because(error).hint(format!("set the variable {PASSWORD}"))
    })
}

/// With a server that knows rooms.
async fn rooms(address: &Address, args: &Chat, who: Who, on_screen: bool, voice: Voice) -> Result<()> {
    let mut limits = Limits::default();
    limits.max = EVENT;
    let scope = voice.scope(limits);
    let prefix = prefix()?;
    let mut memory = Memory::new(who, &args.room, args.history.map(usize::from));
    // Who mistyped the address wants to know at once.
    let session = events::connect(address, &scope).await?;
    let (news_in, news) = mpsc::channel(QUEUE);
    let (asks, asked) = mpsc::channel(QUEUE);
    let mut ends = events::Ends { asks: asked, news: news_in };
    let mut wrong = 0;
    {
        let talk = events::talk(session, address, &scope, &mut memory, &mut ends);
        if on_screen {
            let mut state = state(address, false, prefix);
            state.want(&args.room);
            let pass = move |wish| match wish {
                Wish::Ask(ask) => asks.try_send(ask).is_ok(),
                _ => false,
            };
            screen::run(state, !args.no_mouse, talk, news, pass).await?;
        } else {
            let talker = Talker::new(args.room.first(), &prefix, voice);
            wrong = pipe::rooms(talk, asks, news, talker).await?.wrong;
        }
    }
    let unkept = memory.unkept() + ends.unsaid();
    match (unkept, memory.refused() + wrong) {
        (0, 0) => Ok(()),
        // A person at a screen has seen what was refused.
        (0, _) if on_screen => Ok(()),
        (0, refused) => Err(Error::new(Kind::Denied, format!("{refused} of the lines and options were not taken"))),
        (unkept, _) => Err(Error::new(Kind::Cut, format!("{unkept} of the lines are not known to be kept"))
            .hint(format!("{} has not said so", address.bare()))),
    }
}

/// With whoever speaks lines.
async fn lines(address: &Address, args: &Chat, password: Option<String>, on_screen: bool, voice: Voice) -> Result<()> {
    let link = dial(address, &voice.scope(Limits::default())).await?;
    let (news_in, news) = mpsc::channel(QUEUE);
    let (lines, said) = mpsc::channel(QUEUE);
    let mut ends = plain::Ends { lines: said, news: news_in };
    let greeting = greeting(args, password);
    if on_screen {
        let talk = plain::talk(link, address, greeting, &mut ends);
        let pass = move |wish| match wish {
            Wish::Line(line) => lines.try_send(line).is_ok(),
            _ => false,
        };
        return screen::run(state(address, true, String::new()), !args.no_mouse, talk, news, pass).await;
    }
    let piped = async {
        pipe::lines(plain::talk(link, address, greeting, &mut ends), news).await?;
        pipe::all_was_said(&mut ends.lines).await
    };
    let pass = async {
        pipe::pass(lines).await;
        std::future::pending().await
    };
    tokio::select! {
        piped = piped => piped,
        never = pass => never,
    }
}

/// What is said first to a server that knows lines: the commands for what the options say.
fn greeting(args: &Chat, password: Option<String>) -> Vec<String> {
    let mut lines = Vec::new();
    match (&args.name, password) {
        (Some(name), Some(password)) => lines.push(format!("/login {name} {password}")),
        (Some(name), None) => lines.push(format!("/nick {name}")),
        (None, _) => {}
    }
    // The first one is to be the current one.
    lines.extend(args.room.iter().rev().map(|room| format!("/join {room}")));
    lines.extend(args.history.map(|count| format!("/history {count}")));
    lines
}

fn state(address: &Address, lines: bool, prefix: String) -> State {
    State::new(address.bare().to_string(), lines, paint::on_stdout().colours(), Clock::here(), Uids::new(prefix))
}

/// What the names of our messages begin with, and nobody else's.
fn prefix() -> Result<String> {
    let mut bytes = [0; 12];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::new(Kind::Other, "the system has no random numbers"))?;
    Ok(bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
}

/// A random number from 0 to 1.
fn chance() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness it is the same for all, which is no harm to anybody.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}
