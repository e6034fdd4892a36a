//! `cargo xtask WORD`: what is done to this repository, as opposed to by it.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this crate talks to the person who builds")]

use std::process::{Command, ExitCode};

mod book;
mod machine;
mod peers;
mod perf;
mod run;
mod suites;
mod transfer;

use run::{Outcome, Words, cargo, failed, root, step};

/// One word of the command: its name, what it takes, what it does.
struct Task {
    name: &'static str,
    takes: &'static str,
    about: &'static str,
    run: fn(&mut Words) -> Outcome,
}

const TASKS: &[Task] = &[
    Task { name: "test", takes: "", about: "all tests; installs the real peers first where it can", run: test },
    Task { name: "check", takes: "", about: "format, lints, documentation, dependencies, then all tests", run: check },
    Task { name: "format", takes: "[--check]", about: "every file of Rust as rustfmt writes it", run: format },
    Task {
        name: "book",
        takes: "[--check]",
        about: "writes docs/reference.md from the command's own tables",
        run: book::run,
    },
    Task {
        name: "suites",
        takes: "[DIR] [--bin FILE]",
        about: "other people's test suites and clients against a running server",
        run: suites::run,
    },
    Task {
        name: "perf",
        takes: "[--only tcp,udp] [--rounds 5] [--seconds 1] [--bin FILE] [--write]",
        about: "side by side with C references and peers, which it installs; --write brings docs/performance.md up to date",
        run: perf::run,
    },
];

fn main() -> ExitCode {
    let mut words = Words::new(std::env::args().skip(1));
    let name = words.next();
    let Some(task) = TASKS.iter().find(|task| Some(task.name) == name.as_deref()) else {
        usage();
        return if matches!(name.as_deref(), None | Some("help" | "--help" | "-h")) {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(2)
        };
    };
    match (task.run)(&mut words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(why) = failure.why {
                eprintln!("xtask {}: {why}", task.name);
            }
            ExitCode::from(failure.code)
        }
    }
}

fn usage() {
    println!("cargo xtask, and one of:\n");
    for task in TASKS {
        println!("  {} {}\n      {}", task.name, task.takes, task.about);
    }
}

/// The documentation's examples first, so that the last line is the summary of the last test binary.
fn test(words: &mut Words) -> Outcome {
    words.end()?;
    let peers = peers::prepare();
    step(&mut peers.tell(cargo(&["test", "--workspace", "--doc"])))?;
    step(&mut peers.tell(cargo(&["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"])))
}

/// `cargo fmt` follows `mod` items, and does not see the files that the macros of our tables declare.
fn format(words: &mut Words) -> Outcome {
    let check = words.flag("--check");
    words.end()?;
    let listed = Command::new("git").args(["ls-files", "-z", "*.rs"]).current_dir(root()).output();
    let listed = listed.map_err(|error| failed(format!("cannot ask git for the files: {error}")))?.stdout;
    let listed = String::from_utf8_lossy(&listed);
    let mut rustfmt = Command::new("rustfmt");
    rustfmt.args(check.then_some("--check")).args(listed.split_terminator('\0')).current_dir(root());
    match rustfmt.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) if check => Err(failed("these files are not as rustfmt writes them: cargo xtask format")),
        Ok(status) => Err(failed(format!("rustfmt: {status}"))),
        Err(error) => Err(failed(format!("cannot run rustfmt: {error}"))),
    }
}

fn check(words: &mut Words) -> Outcome {
    words.end()?;
    format(&mut Words::new(["--check".to_owned()]))?;
    step(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    // The library alone: the command has the same name, and its pages would be written over these.
    step(
        cargo(&["doc", "--package", "hullo", "--no-deps", "--document-private-items"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    if run::found("cargo-deny") {
        step(&mut cargo(&["deny", "--offline", "check", "bans", "licenses", "sources"]))?;
    } else {
        eprintln!(
            "skipped: the dependencies are not checked, since there is no cargo-deny (cargo install cargo-deny --locked)"
        );
    }
    book::run(&mut Words::new(["--check".to_owned()]))?;
    test(words)
}

#[cfg(test)]
mod tests {
    use super::root;

    #[test]
    fn the_alias_leads_here() {
        let config = std::fs::read_to_string(root().join(".cargo/config.toml")).unwrap();
        assert!(config.contains("--package xtask"), "{config}");
    }
}
