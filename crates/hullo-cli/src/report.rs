//! What is said to people, on stderr: sentences, or one JSON object a line.

use std::{
    path::Path,
    process::ExitCode,
    sync::{Arc, LazyLock},
    time::Instant,
};

use hullo::{Address, Error, Event, Kind, Limits, Scope, Watch, proxy::Proxy};
use serde_json::{Value, json};

use crate::{
    verb::end_line,
    view::{paint, timeline},
};

/// When we began: the zero of every timeline.
pub(crate) static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The password of the proxies that an address names without one. No command line shows it.
pub(crate) const VIA_PASSWORD: &str = "HULLO_VIA_PASSWORD";

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
        end_line();
        if !self.json {
            tell!("{sentence}");
            return;
        }
        tell!("{}", object(event, facts));
    }

    /// Says what went wrong and what to do about it; the exit status is that of its kind.
    pub(crate) fn fail(self, error: &Error) -> ExitCode {
        self.complain(error);
        ExitCode::from(error.kind().code())
    }

    /// The same without ending.
    pub(crate) fn complain(self, error: &Error) {
        if self.json {
            return self.say("error", "", failure(error));
        }
        end_line();
        let sentence = shown(&error.to_string());
        let red = paint::on_stderr();
        tell!("{} {sentence}", red.bad("hullo:"));
        if let Some(hint) = error.advice() {
            tell!("{} {}", red.quiet("  hint:"), shown(hint));
        }
    }

    /// Says loudly that nobody is verified, where the address wants it so, and that its passwords are no secrets.
    pub(crate) fn warn_of_trust(self, address: &Address) {
        let has_password = |text| Proxy::via(text).is_ok_and(|proxy| matches!(proxy.user, Some((_, Some(_)))));
        if address.options.all("via").any(has_password) {
            let note = format!(
                "the password of a proxy on the command line can be read by everybody on this machine, with ps; {VIA_PASSWORD} \
                 cannot"
            );
            self.say("note", &format!("note: {note}"), json!({ "message": note }));
        }
        if address.options.flag("insecure", false) {
            self.say("insecure", "warning: nobody has verified who this is; use pin or ca", json!({}));
        }
    }

    /// A client's scope, whose timeline is told with `-v`.
    pub(crate) fn scope(self, limits: Limits) -> Scope {
        let scope = Scope::new(limits, self.watch());
        self.equip(&scope);
        scope
    }

    /// Gives a scope what the environment has for all that happens in it.
    pub(crate) fn equip(self, scope: &Scope) {
        self.log_keys(scope);
        if let Ok(password) = std::env::var(VIA_PASSWORD) {
            scope.keep_proxy_password(password);
        }
    }

    /// Has the secrets of TLS written to the file that `SSLKEYLOGFILE` names, as browsers and curl do. Where that cannot
    /// be it is said, and is no reason to stop.
    pub(crate) fn log_keys(self, scope: &Scope) {
        let Some(file) = std::env::var_os("SSLKEYLOGFILE").filter(|file| !file.is_empty()) else { return };
        match scope.log_keys(Path::new(&file)) {
            Ok(()) => scope.tell(&Event::Note(&format!("the keys of TLS are written to {}", file.display()))),
            Err(error) => self.complain(&error),
        }
    }

    /// Whoever tells the timeline, if that is wanted.
    pub(crate) fn watch(self) -> Option<Arc<dyn Watch>> {
        self.verbose.then(|| Arc::new(Timeline(self)) as Arc<dyn Watch>)
    }
}

/// Tells the timeline; of a server without `-v` only what is its own trouble, and not its clients'.
pub(crate) struct Timeline(pub(crate) Voice);

impl Watch for Timeline {
    fn event(&self, event: &Event<'_>) {
        let ours = |kind| matches!(kind, Kind::Program | Kind::File | Kind::Bind | Kind::Other);
        if !self.0.verbose && !matches!(event, Event::Trouble { error, .. } if ours(error.kind())) {
            return;
        }
        // What a server shows is long: to look at it is what `check` is for.
        if matches!(event, Event::Shown(_)) && !self.0.json {
            return;
        }
        let (name, sentence, facts) = timeline::line(event);
        if self.0.json {
            self.0.say(name, "", facts);
        } else {
            end_line();
            tell!("{} {sentence}", paint::on_stderr().quiet(&timeline::clock(START.elapsed())));
        }
    }

    fn counts(&self) -> bool {
        self.0.verbose
    }
}

/// What a program is told of an error.
pub(crate) fn failure(error: &Error) -> Value {
    let kind = error.kind();
    let message = shown(&error.to_string());
    json!({ "kind": kind.word(), "code": kind.code(), "message": message, "hint": error.advice() })
}

/// An event as `--json` has it.
pub(crate) fn object(event: &str, facts: Value) -> Value {
    let mut object = json!({ "event": event });
    if let (Some(object), Value::Object(facts)) = (object.as_object_mut(), facts) {
        object.extend(facts);
    }
    object
}

/// Text from outside without what could steer a terminal.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.replace("\r\n", "\n").chars() {
        if steers(c) || c.is_control() && c != '\n' && c != '\t' {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Whether the character turns the direction of writing, and so makes text look like another one.
pub(crate) fn steers(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The table of exit statuses, for the help.
pub(crate) fn exit_statuses() -> String {
    let line = |code: u8, word: &str, meaning: &str| format!("  {code:>3}  {word:<12} {meaning}\n");
    let mut text = line(0, "done", "It is done, and nothing was lost.");
    for kind in Kind::ALL {
        text += &line(kind.code(), kind.word(), kind.meaning().trim());
    }
    let status = "  3-5  status       With request --check-status: the response was a 3xx, 4xx or 5xx.\n";
    text + status
        + &line(130, "interrupted", "Ctrl-C.")
        + line(141, "unread", "Nobody reads our stdout any more.").trim_end()
}
