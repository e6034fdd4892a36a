//! What is said to people, on stderr: sentences, or one JSON object a line.

use std::{
    process::ExitCode,
    sync::{Arc, LazyLock},
    time::Instant,
};

use hullo::{Error, Event, Kind, Limits, Scope, Watch};
use serde_json::{Value, json};

use crate::view::{paint, timeline};

/// When we began: the zero of every timeline.
pub(crate) static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// How to talk.
#[derive(Clone, Copy)]
pub(crate) struct Voice {
    pub(crate) json: bool,
    pub(crate) verbose: bool,
}

impl Voice {
    pub(crate) fn new(json: bool, verbose: bool) -> Self {
        LazyLock::force(&START);
        Self { json, verbose }
    }

    /// Says something a person should know; `event` is its name in JSON.
    pub(crate) fn say(self, event: &str, sentence: &str, facts: Value) {
        if !self.json {
            eprintln!("{sentence}");
            return;
        }
        let mut object = json!({ "event": event });
        if let (Some(object), Value::Object(facts)) = (object.as_object_mut(), facts) {
            object.extend(facts);
        }
        eprintln!("{object}");
    }

    /// Says what went wrong and what to do about it; the exit status is that of its kind.
    pub(crate) fn fail(self, error: &Error) -> ExitCode {
        self.complain(error);
        ExitCode::from(error.kind().code())
    }

    /// The same without ending.
    pub(crate) fn complain(self, error: &Error) {
        let sentence = shown(&error.to_string());
        if self.json {
            let kind = error.kind();
            let facts =
                json!({ "kind": kind.word(), "code": kind.code(), "message": sentence, "hint": error.advice() });
            return self.say("error", "", facts);
        }
        let red = paint::on_stderr();
        eprintln!("{} {sentence}", red.bad("hullo:"));
        if let Some(hint) = error.advice() {
            eprintln!("{} {}", red.quiet("  hint:"), shown(hint));
        }
    }

    /// A client's scope, whose timeline is told with `-v`.
    pub(crate) fn scope(self, limits: Limits) -> Scope {
        Scope::new(limits, self.watch())
    }

    /// Whoever tells the timeline, if that is wanted.
    pub(crate) fn watch(self) -> Option<Arc<dyn Watch>> {
        let watch = move |event: &Event<'_>| {
            let (name, sentence, facts) = timeline::line(event);
            if self.json {
                self.say(name, "", facts);
            } else {
                eprintln!("{} {sentence}", paint::on_stderr().quiet(&timeline::clock(START.elapsed())));
            }
        };
        self.verbose.then(|| Arc::new(watch) as Arc<dyn Watch>)
    }
}

/// Text from outside without what could steer a terminal.
pub(crate) fn shown(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if c.is_control() && c != '\n' && c != '\t' { c.escape_default().collect::<Vec<_>>() } else { vec![c] }
        })
        .collect()
}

/// The table of exit statuses, for the help.
pub(crate) fn exit_statuses() -> String {
    let line = |code: u8, word: &str, meaning: &str| format!("  {code:>3}  {word:<12} {meaning}\n");
    let mut text = line(0, "done", "It is done, and nothing was lost.");
    for kind in Kind::ALL {
        text += &line(kind.code(), kind.word(), kind.meaning().trim());
    }
    text + "  3-5  status       With request --check-status: the response was a 3xx, 4xx or 5xx."
}
