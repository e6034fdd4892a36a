//! Asking a person at the terminal, wherever stdin comes from.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

/// What is typed, for all to see.
///
/// # Errors
/// There is no terminal.
pub(super) fn line(prompt: &str) -> io::Result<String> {
    let mut terminal = terminal()?;
    terminal.write_all(prompt.as_bytes())?;
    read(&terminal)
}

/// What is typed, unseen.
///
/// # Errors
/// There is no terminal.
pub(super) fn secret(prompt: &str) -> io::Result<String> {
    let mut terminal = terminal()?;
    let seen = tcgetattr(&terminal)?;
    let mut unseen = seen.clone();
    unseen.local_modes -= LocalModes::ECHO;
    let typed = (|| {
        tcsetattr(&terminal, OptionalActions::Flush, &unseen)?;
        terminal.write_all(prompt.as_bytes())?;
        read(&terminal)
    })();
    // A terminal that cannot be written to has gone.
    let _ = tcsetattr(&terminal, OptionalActions::Flush, &seen);
    let _ = terminal.write_all(b"\n");
    typed
}

fn terminal() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open("/dev/tty")
}

fn read(terminal: &File) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(terminal).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
