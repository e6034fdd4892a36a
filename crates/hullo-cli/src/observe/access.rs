//! The access log: a line for each HTTP exchange, in the forms that log readers know.

use std::{path::Path, time::SystemTime};

use clap::ValueEnum;
use hullo::{Answered, Result};
use serde_json::json;

use super::lines::Lines;
use crate::report::{safe, shown};

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The common log format of web servers.
    Common,
    /// The same with the referer and the user agent.
    Combined,
    /// An object with everything, the time that it took and the request's id among it.
    Json,
}

/// Where the lines go.
pub(crate) struct AccessLog {
    format: Format,
    lines: Lines,
}

impl AccessLog {
    /// A log to that file, behind what is in it; without one to stderr.
    pub(crate) fn open(format: Format, file: Option<&Path>) -> Result<Self> {
        Ok(Self { format, lines: Lines::open("access log", file)? })
    }

    pub(crate) fn write(&self, answered: &Answered) {
        self.lines.write(&self.format.line(answered), |count| self.format.lost(count));
    }

    pub(crate) fn finish(&self) {
        self.lines.finish();
    }
}

impl Format {
    /// A line about lines that are not there.
    fn lost(self, count: u64) -> String {
        match self {
            Self::Json => json!({ "event": "lost", "lines": count }).to_string(),
            Self::Common | Self::Combined => format!("# {count} lines were lost: the log is read too slowly"),
        }
    }

    fn line(self, answered: &Answered) -> String {
        match self {
            Self::Common => common(answered),
            Self::Combined => {
                let quoted = |text: &Option<String>| quote(text.as_deref().unwrap_or("-"));
                format!("{} {} {}", common(answered), quoted(&answered.referer), quoted(&answered.agent))
            }
            Self::Json => safe(&json!({
                "event": "answered",
                "time": humantime::format_rfc3339_millis(answered.when).to_string(),
                "peer": answered.peer.to_string(),
                "id": answered.id,
                "method": answered.method,
                "target": answered.target,
                "version": answered.version,
                "status": answered.status,
                "sent": answered.sent,
                "ms": answered.took.as_secs_f64() * 1e3,
                "referer": answered.referer,
                "agent": answered.agent,
            })),
        }
    }
}

/// `host - user [time] "request" status bytes`; nobody is asked who they are, so the user is always `-`.
fn common(answered: &Answered) -> String {
    let host = match answered.peer.remote().net() {
        Some(address) => address.ip().to_canonical().to_string(),
        None => "-".to_owned(),
    };
    let Answered { method, target, version, status, sent, when, .. } = answered;
    let request = quote(&format!("{method} {target} {version}"));
    format!("{host} - - [{}] {request} {status} {sent}", clock(*when))
}

/// `21/Nov/2026:17:33:35 +0000`.
fn clock(when: SystemTime) -> String {
    let date = httpdate::fmt_http_date(when);
    // "Sat, 21 Nov 2026 17:33:35 GMT"
    let words: Vec<_> = date.split(' ').collect();
    match words[..] {
        [_, day, month, year, time, _] => format!("{day}/{month}/{year}:{time} +0000"),
        _ => date,
    }
}

/// A quoted text that ends where its quotes do.
fn quote(text: &str) -> String {
    format!("\"{}\"", shown(text).replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_clock_is_that_of_the_common_format() {
        assert_eq!(clock(UNIX_EPOCH + Duration::from_secs(971_186_136)), "10/Oct/2000:13:55:36 +0000");
    }

    #[test]
    fn a_name_cannot_end_its_quotes() {
        assert_eq!(quote("a\" 200 \u{1b}[2J\n"), "\"a\\\" 200 \\\\u{1b}[2J\\n\"");
    }
}
