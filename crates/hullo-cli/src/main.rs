//! The `hullo` command: the library's words, typed.

#![allow(clippy::print_stderr, reason = "this is the crate that talks to people")]

use std::process::ExitCode;

use clap::Parser;
use hullo::{Error, Kind};
use report::Voice;

/// Says a line on stderr, or where something else is drawn there in its place.
macro_rules! tell {
    ($($words:tt)*) => {
        $crate::report::aloud(format_args!($($words)*))
    };
}

mod args;
mod observe;
mod report;
mod verb;
mod view;

/// What TLS and HTTP allocate and free all day is cheaper here than in the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => return misused(&error),
    };
    let voice = Voice::new(args.json, args.verbose);
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return voice.fail(&Error::io("cannot start", error)),
    };
    let outcome = runtime.block_on(verb::run(args.verb, voice));
    // A thread may wait for a line that nobody will type; it is not waited for.
    runtime.shutdown_background();
    let code = match outcome {
        Ok(code) => code,
        // Who stops reading us, as `head` does, knows why: as by the signal that this is to other programs.
        Err(error) if error.kind() == Kind::Cut && error.to_string().starts_with(verb::STDOUT) => ExitCode::from(141),
        Err(error) => voice.fail(&error),
    };
    report::finish();
    code
}

/// Says what was wrong with the words, or what was asked for instead of a verb: the help, the version.
fn misused(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && std::env::args_os().any(|word| word == "--json") {
        let text = error.to_string();
        // What is missing stands in the lines below the first one.
        let lines: Vec<_> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
        let sentence = lines.join(" ");
        let sentence = sentence.trim_start_matches("error: ").to_owned();
        return Voice::new(true, false).fail(&Error::usage(sentence).hint("hullo --help"));
    }
    // Nobody may be there to read it.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { Kind::Usage.code() } else { 0 })
}

/// A runtime of one thread. It handles 256 events before it looks for new ones, where the default is 61 tasks: a thousand
/// busy connections then pay for a quarter of the system calls, and none waits in line much longer than the others.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().event_interval(256).max_io_events_per_tick(256).build()
}
