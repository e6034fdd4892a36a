//! Other people's test suites and clients, against a running server.
//!
//! A folder of suites has one script for each; it takes its targets as arguments, and its last line is
//! `N passed, N failed`.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::run::{Outcome, Words, failed, release, root, target};

/// One script, what it is given, and how many of its cases must pass. Where none may fail, all of them must.
struct Suite {
    script: &'static str,
    arguments: &'static [&'static str],
    passed: usize,
    /// How many may be otherwise, where the suite has an oracle that is not always right.
    otherwise: usize,
}

const fn suite(script: &'static str, arguments: &'static [&'static str], passed: usize) -> Suite {
    Suite { script, arguments, passed, otherwise: 0 }
}

/// In the arguments `{tcp}` and the like are ports, and `{hullo}` is the binary.
const SUITES: &[Suite] = &[
    suite("run-tcp-clients.sh", &["127.0.0.1", "{tcp}"], 21),
    suite("run-kosoku-server.sh", &["127.0.0.1:{ws}", "quick"], 247),
    suite("run-autobahn-server.sh", &["ws://127.0.0.1:{ws}/", "quick"], 247),
    suite("run-autobahn-server.sh", &["ws://127.0.0.1:{ws}/", "deflate"], 29),
    suite("run-autobahn-client.sh", &["{hullo} connect {URL} --serve echo", "quick"], 247),
    suite("run-ws-clients.sh", &["ws://127.0.0.1:{ws}/", "wss://127.0.0.1:{wss}/"], 23),
    suite("run-http-clients.sh", &["http://127.0.0.1:{http}", "https://127.0.0.1:{https}", "hullo"], 44),
    Suite { otherwise: 16, ..suite("run-curl-replies.sh", &["{hullo} request {URL}"], 495) },
    suite("run-tls-scan.sh", &["127.0.0.1", "{tls}", "quick"], 18),
];

/// What the server listens on, for all of them.
const SCHEMES: &[&str] = &["tcp", "tls", "ws", "wss", "http", "https"];

pub(crate) fn run(words: &mut Words) -> Outcome {
    let binary = words.option("--bin")?;
    let folder = words.next().map_or_else(|| root().join("../shared/suites"), PathBuf::from);
    words.end()?;
    if !SUITES.iter().any(|suite| folder.join(suite.script).is_file()) {
        eprintln!("skipped: there are no suites in {}; cargo xtask suites DIR names their folder", folder.display());
        return Ok(());
    }
    let binary = release(binary)?;
    let server = Server::start(&binary)?;
    let mut bad = Vec::new();
    for suite in SUITES {
        let Some(line) = suite.run(&folder, &server, &binary)? else {
            println!("{:<7} {:<24} it could not be set up here", "skipped", suite.script);
            continue;
        };
        let verdict = if suite.is_good(&line) { "ok" } else { "FAILED" };
        println!(
            "{verdict:<7} {:<24} {line} (wanted: {} passed, {} failed)",
            suite.script, suite.passed, suite.otherwise
        );
        if verdict != "ok" {
            bad.push(suite.script);
        }
    }
    server.end()?;
    if bad.is_empty() { Ok(()) } else { Err(failed(format!("not as it should be: {}", bad.join(", ")))) }
}

impl Suite {
    /// Runs the script; returns its last line, and shows the rest where a case has failed. Nothing where what it needs
    /// cannot be had.
    fn run(&self, folder: &Path, server: &Server, binary: &Path) -> Outcome<Option<String>> {
        let hullo = binary.display().to_string();
        let arguments = self.arguments.iter().map(|word| server.fill(word).replace("{hullo}", &hullo));
        let mut command = Command::new("bash");
        command.arg(folder.join(self.script)).args(arguments).stdin(Stdio::null());
        let output = command.output().map_err(|error| failed(format!("cannot run {}: {error}", self.script)))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing was said").to_owned();
        if output.status.code() == Some(2) && counts(&last).is_none() {
            return Ok(None);
        }
        if !self.is_good(&last) {
            print!("{text}{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(Some(last))
    }

    fn is_good(&self, line: &str) -> bool {
        counts(line).is_some_and(|(passed, failed)| match self.otherwise {
            0 => (passed, failed) == (self.passed, 0),
            most => passed >= self.passed && failed <= most,
        })
    }
}

/// The two numbers of `N passed, N failed`.
fn counts(line: &str) -> Option<(usize, usize)> {
    let (passed, failed) = line.trim().strip_suffix(" failed")?.split_once(" passed, ")?;
    Some((passed.parse().ok()?, failed.parse().ok()?))
}

/// A running `hullo serve echo`, killed when this is dropped.
struct Server {
    child: Child,
    ports: Vec<(&'static str, u16)>,
}

impl Server {
    fn start(binary: &Path) -> Outcome<Self> {
        let mut command = Command::new(binary);
        command.args(["serve", "echo"]).args(SCHEMES.iter().map(|scheme| format!("{scheme}://127.0.0.1:0")));
        // Its certificate is for this build alone.
        command.env("XDG_STATE_HOME", target().join("suites"));
        let started = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = started.map_err(|error| failed(format!("cannot run {}: {error}", binary.display())))?;
        let (sender, said) = mpsc::channel();
        let stderr = child.stderr.take();
        // It is read to the end, so that the server never waits for us.
        thread::spawn(move || {
            for line in stderr.into_iter().flat_map(|stderr| BufReader::new(stderr).lines()).map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut server = Self { child, ports: Vec::new() };
        while server.ports.len() < SCHEMES.len() {
            let line = said.recv_timeout(Duration::from_secs(20)).map_err(|_| failed("the server does not listen"))?;
            server.ports.extend(listening(&line));
        }
        Ok(server)
    }

    fn fill(&self, word: &str) -> String {
        self.ports
            .iter()
            .fold(word.to_owned(), |word, (scheme, port)| word.replace(&format!("{{{scheme}}}"), &port.to_string()))
    }

    /// It must have lived until now, and end well when it is told to.
    fn end(mut self) -> Outcome {
        let told = Command::new("kill").arg(self.child.id().to_string()).status();
        let ended = self.child.wait();
        match (told, ended) {
            (Ok(told), Ok(ended)) if told.success() && ended.success() => Ok(()),
            (_, ended) => Err(failed(format!("the server did not end well: {ended:?}"))),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The scheme and port in `listening on tcp://127.0.0.1:7007 (echo)`.
fn listening(line: &str) -> Option<(&'static str, u16)> {
    let (address, _) = line.strip_prefix("listening on ")?.split_once(' ')?;
    let (scheme, rest) = address.split_once("://")?;
    let scheme = SCHEMES.iter().find(|known| **known == scheme)?;
    Some((scheme, rest.rsplit_once(':')?.1.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_read() {
        assert_eq!(counts("21 passed, 0 failed"), Some((21, 0)));
        assert_eq!(counts("files: /tmp/x"), None);
        assert!(!SUITES[0].is_good("20 passed, 1 failed") && SUITES[0].is_good("21 passed, 0 failed\n"));
    }

    #[test]
    fn ports_are_found_and_filled_in() {
        assert_eq!(listening("listening on wss://127.0.0.1:7448 (echo)"), Some(("wss", 7448)));
        assert_eq!(listening("  a certificate of our own"), None);
    }
}
