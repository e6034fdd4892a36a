//! The `hullo` command: the library's words, typed.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "this is the one crate that talks to people"
)]

use std::process::ExitCode;

use clap::Parser;

mod args;
mod report;
mod verb;
mod view;

/// What TLS and HTTP allocate and free all day is cheaper here than in the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let voice = report::Voice::new(args.json, args.verbose);
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return voice.fail(&hullo::Error::io("cannot start", error)),
    };
    let outcome = runtime.block_on(verb::run(args.verb, voice));
    // A thread may wait for a line that nobody will type; it is not waited for.
    runtime.shutdown_background();
    match outcome {
        Ok(code) => code,
        Err(error) => voice.fail(&error),
    }
}

/// A runtime of one thread. It looks for new events after as many tasks as one look can bring: with the default of 61 a
/// thousand busy connections pay for sixteen times the system calls, and wait in line for them.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().event_interval(1024).build()
}
