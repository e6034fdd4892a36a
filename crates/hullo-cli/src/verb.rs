//! One file for each verb.

use std::{
    io::{IsTerminal, Write, stderr, stdout},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use hullo::Result;

use crate::{args::Verb, report::Voice};

mod ask;
mod bench;
mod chat;
mod check;
mod connect;
mod generate;
mod playground;
mod prompt;
mod relay;
mod replay;
mod request;
pub(crate) mod screen;
pub(crate) mod serve;
mod stdio;
mod terminal;
mod transfer;

/// Does what the user said; the exit status is the verb's own where that is no error.
pub(crate) async fn run(verb: Verb, voice: Voice) -> Result<ExitCode> {
    match verb {
        Verb::Serve(args) => serve::run(*args, voice).await,
        Verb::Connect(args) => connect::run(args, voice).await,
        Verb::Ask(args) => ask::run(args, voice).await,
        Verb::Request(args) => request::run(*args, voice).await,
        Verb::Check(args) => check::run(args, voice).await,
        Verb::Relay(args) => relay::run(*args, voice).await,
        Verb::Replay(args) => replay::run(args, voice).await,
        Verb::Bench(args) => bench::run(*args, voice).await,
        Verb::Chat(args) => chat::run(args, voice).await,
        Verb::Send(args) => transfer::send(args, voice).await,
        Verb::Receive(args) => transfer::receive(args, voice).await,
        Verb::Completions { shell } => generate::completions(shell),
        Verb::Man => generate::man(),
    }
}

/// What cannot be done when nobody reads our stdout, or it is full.
pub(crate) const STDOUT: &str = "cannot write to stdout";

/// Whether the last line on stdout has no end yet.
static OPEN: AtomicBool = AtomicBool::new(false);

/// Writes to stdout, and says so when nobody reads it any more.
pub(crate) fn print(bytes: &[u8]) -> Result<()> {
    let mut out = stdout().lock();
    if let Some(last) = bytes.last() {
        OPEN.store(*last != b'\n', Relaxed);
    }
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| hullo::Error::io(STDOUT, error))
}

/// The same of lines, which begin at the beginning of one.
pub(crate) fn print_lines(text: &str) -> Result<()> {
    if OPEN.load(Relaxed) {
        print(b"\n")?;
    }
    print(text.as_bytes())
}

/// Ends an open line on the terminal before something is said on stderr, where that is the same terminal.
pub(crate) fn end_line() {
    if OPEN.load(Relaxed) && stdout().is_terminal() && stderr().is_terminal() {
        // What cannot be printed now is reported by who prints next.
        let _ = print(b"\n");
    }
}
