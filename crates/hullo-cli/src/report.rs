//! What is said to people, on stderr: sentences, or one JSON object a line.

use std::{
    collections::VecDeque,
    fmt,
    io::{Write, stderr},
    path::Path,
    process::ExitCode,
    sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError},
    time::Instant,
};

use hullo::{Address, Error, Event, Kind, Limits, Rate, Result, Scope, Watch, proxy::Proxy};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    observe::lines::Lines,
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
        self.verbose.then(|| Arc::new(Timeline::new(self)) as Arc<dyn Watch>)
    }
}

/// Tells the timeline; of a server without `-v` only what is its own trouble, and not its clients' unless that is wanted.
pub(crate) struct Timeline {
    voice: Voice,
    /// Which troubles are told without `-v`.
    ours: fn(Kind) -> bool,
}

impl Timeline {
    pub(crate) fn new(voice: Voice) -> Self {
        Self { voice, ours: is_ours }
    }

    /// One of a relay: a server that is not reached is its own trouble too.
    pub(crate) fn of_relay(voice: Voice) -> Self {
        let ours = |kind| is_ours(kind) || matches!(kind, Kind::Resolve | Kind::Refused | Kind::Unreachable);
        Self { voice, ours }
    }

    /// One that tells of all troubles, and without `-v` of nothing else.
    pub(crate) fn of_troubles(voice: Voice) -> Self {
        Self { voice, ours: |_| true }
    }

    fn is_wanted(&self, event: &Event<'_>) -> bool {
        let is_trouble = matches!(event, Event::Trouble { error, .. } if (self.ours)(error.kind()));
        // What a server shows is long: to look at it is what `check` is for.
        let is_long = matches!(event, Event::Shown(_)) && !self.voice.json;
        let is_small = |rate: &Rate| rate.received_per_s.saturating_add(rate.sent_per_s) < SMALL_TALK;
        let is_small_talk = matches!(event, Event::Rate(rate) if !self.voice.json && is_small(rate));
        (self.voice.verbose || is_trouble || self.is_measured(event)) && !is_long && !is_small_talk
    }

    /// Whether it is what programs are told of a service that others measure with, without -v too.
    fn is_measured(&self, event: &Event<'_>) -> bool {
        self.voice.json && matches!(event, Event::Rate(_) | Event::Closed { number: Some(_), .. })
    }
}

/// Below so many bytes in a second it is a person who talks, whose every line need not be told to people.
const SMALL_TALK: u64 = 10_000;

/// Whether a trouble of that kind is a server's own.
fn is_ours(kind: Kind) -> bool {
    matches!(kind, Kind::Program | Kind::File | Kind::Bind | Kind::Other)
}

impl Watch for Timeline {
    fn event(&self, event: &Event<'_>) {
        if !self.is_wanted(event) {
            return;
        }
        let (name, sentence, facts) = timeline::line(event);
        if self.voice.json {
            self.voice.say(name, "", facts);
        } else {
            end_line();
            tell!("{} {sentence}", paint::on_stderr().quiet(&timeline::clock(START.elapsed())));
        }
    }

    fn counts(&self) -> bool {
        self.voice.verbose
    }

    fn wants_rates(&self) -> bool {
        self.voice.verbose || self.voice.json
    }
}

/// Who hears what would be said on stderr, while something is drawn there.
static OVERHEARD: Mutex<Option<mpsc::Sender<String>>> = Mutex::new(None);

/// Says a line on stderr. That nobody can hear it, as of a log reader that has gone, is no reason to stop.
pub(crate) fn aloud(words: fmt::Arguments<'_>) {
    let hears = OVERHEARD.lock().unwrap_or_else(PoisonError::into_inner);
    match &*hears {
        // What is too much to be shown is too much to be read.
        Some(hears) => _ = hears.try_send(words.to_string()),
        None => {
            drop(hears);
            match ASIDE.get() {
                Some(lines) => lines.write(&words.to_string(), about_lost),
                None => _ = writeln!(stderr(), "{words}"),
            }
        }
    }
}

/// Where a server's lines go: whoever does not read its stderr is no reason to stop serving.
static ASIDE: OnceLock<Lines> = OnceLock::new();

/// From now on lines for stderr are written by a thread of their own.
pub(crate) fn aside() -> Result<()> {
    // There is one, however often it is asked for.
    let _ = ASIDE.set(Lines::open("stderr", None)?);
    Ok(())
}

/// Waits, not for long, until all that was said is written.
pub(crate) fn finish() {
    if let Some(lines) = ASIDE.get() {
        lines.finish();
    }
}

fn about_lost(count: u64) -> String {
    format!("({count} lines are missing here: stderr was read too slowly)")
}

/// What is said to people while this lives; it is said on stderr when it goes.
pub(crate) struct Overheard {
    lines: mpsc::Receiver<String>,
    heard: VecDeque<String>,
}

/// How much of it is said then.
const KEPT: usize = 20;

impl Overheard {
    pub(crate) fn new() -> Self {
        let (hears, lines) = mpsc::channel(256);
        *OVERHEARD.lock().unwrap_or_else(PoisonError::into_inner) = Some(hears);
        Self { lines, heard: VecDeque::new() }
    }

    /// The next line. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<String> {
        let line = self.lines.recv().await?;
        self.keep(line.clone());
        Some(line)
    }

    fn keep(&mut self, line: String) {
        if self.heard.len() >= KEPT {
            self.heard.pop_front();
        }
        self.heard.push_back(line);
    }
}

impl Drop for Overheard {
    fn drop(&mut self) {
        OVERHEARD.lock().unwrap_or_else(PoisonError::into_inner).take();
        while let Ok(line) = self.lines.try_recv() {
            self.keep(line);
        }
        for line in &self.heard {
            tell!("{line}");
        }
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

/// The same as a part of a line, which ends where we end it.
pub(crate) fn shown_in_line(text: &str) -> String {
    shown(text).replace('\n', "\\n")
}

/// JSON whose texts steer no terminal; what they say is the same.
pub(crate) fn safe(value: &Value) -> String {
    let escaped = |c: char| match c.is_control() || steers(c) {
        true => format!("\\u{:04x}", u32::from(c)),
        false => c.to_string(),
    };
    value.to_string().chars().map(escaped).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_steers_no_terminal_and_says_the_same() {
        let value = json!({ "agent": "\u{9b}31m\u{202e}\u{1b}[2J" });
        let line = safe(&value);
        assert!(!line.chars().any(|c| c.is_control() || steers(c)), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
    }
}
