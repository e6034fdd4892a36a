//! One file for each verb.

use std::process::ExitCode;

use hullo::Result;

use crate::{args::Verb, report::Voice};

mod ask;
mod check;
mod connect;
mod generate;
mod playground;
mod request;
pub(crate) mod serve;
mod stdio;
mod terminal;

/// Does what the user said; the exit status is the verb's own where that is no error.
pub(crate) async fn run(verb: Verb, voice: Voice) -> Result<ExitCode> {
    match verb {
        Verb::Serve(args) => serve::run(args, voice).await,
        Verb::Connect(args) => connect::run(args, voice).await,
        Verb::Ask(args) => ask::run(args, voice).await,
        Verb::Request(args) => request::run(*args, voice).await,
        Verb::Check(args) => check::run(args, voice).await,
        Verb::Completions { shell } => generate::completions(shell),
        Verb::Man => generate::man(),
    }
}

/// What cannot be done when nobody reads our stdout, or it is full.
pub(crate) const STDOUT: &str = "cannot write to stdout";

/// Writes to stdout, and says so when nobody reads it any more.
pub(crate) fn print(bytes: &[u8]) -> Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| hullo::Error::io(STDOUT, error))
}
