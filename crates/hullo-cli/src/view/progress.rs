//! How a transfer looks: a bar on a terminal, a line now and then in a log, an object for each event with `--json`.

use std::{
    io::{IsTerminal, stderr},
    net::IpAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hullo::{
    Address,
    transfer::{Lock, Outcome, Step, Summary, Tell, Work},
};
use indicatif::{DecimalBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::report::{Voice, failure, shown};

/// How often a log has a line, and a program an event.
const EVERY: Duration = Duration::from_secs(10);
const EVENT: Duration = Duration::from_secs(1);

/// What is shown of a transfer.
#[derive(Clone)]
pub(crate) struct Progress(Arc<Shared>);

struct Shared {
    voice: Voice,
    sends: bool,
    bar: Option<ProgressBar>,
    state: Mutex<State>,
}

struct State {
    began: Option<Instant>,
    said: Instant,
    /// What there is of the files, also from earlier.
    moved: u64,
    /// What travelled, over all connections.
    travelled: u64,
    total: Option<(u64, u64)>,
    files: u64,
}

impl Progress {
    pub(crate) fn new(work: &Work, voice: Voice) -> Self {
        let bar = (!voice.json && stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            bar.set_style(style("{spinner} {decimal_bytes}  {decimal_bytes_per_sec}  {wide_msg}"));
            bar
        });
        let state = State { began: None, said: Instant::now(), moved: 0, travelled: 0, total: None, files: 0 };
        Self(Arc::new(Shared { voice, sends: matches!(work, Work::Send(_)), bar, state: Mutex::new(state) }))
    }

    /// Who the library tells.
    pub(crate) fn tell(&self) -> Tell {
        let shared = self.0.clone();
        Arc::new(move |step| shared.step(step))
    }

    /// Says what to type at the other end.
    pub(crate) fn invite(&self, at: &Address, lock: &Lock, announced: bool) {
        let other = if self.0.sends { "receive" } else { "send PATH..." };
        let plain = if matches!(lock, Lock::Plain) { " --plain" } else { "" };
        let commands: Vec<_> = reachable(at).iter().map(|at| format!("hullo {other} {}{plain}", quoted(at))).collect();
        let code = if let Lock::Code(code) = lock { Some(code.phrase()) } else { None };
        let facts = json!({ "code": code, "commands": commands });
        let mut text = "at the other end:".to_owned();
        if announced {
            text += &format!("\n  hullo {other}          (in the same network)");
        }
        for command in &commands {
            text += &format!("\n  {command}");
        }
        if let Some(code) = code {
            text += &format!("\ncode: {code}");
        }
        self.0.voice.say("invite", &text, facts);
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.0.bar {
            bar.finish_and_clear();
        }
    }

    /// Says what was done.
    pub(crate) fn sum(&self, summary: &Summary) {
        let State { began, travelled: bytes, .. } = *self.0.state();
        let took = began.map_or(Duration::ZERO, |began| began.elapsed());
        let verb = if self.0.sends { "sent" } else { "received" };
        let rate = bytes as f64 / took.as_secs_f64().max(0.001);
        let files = if summary.done == 1 { "1 file".to_owned() } else { format!("{} files", summary.done) };
        let mut text = format!("{verb} {files}, {} in {:.1} s", DecimalBytes(bytes), took.as_secs_f64());
        if bytes > 0 {
            text += &format!(" ({}/s)", DecimalBytes(rate as u64));
        }
        for (count, what) in
            [(summary.here, "there already"), (summary.skipped, "left out"), (summary.failed, "failed")]
        {
            if count > 0 {
                text += &format!("; {count} {what}");
            }
        }
        let facts = json!({
            "files": summary.done, "bytes": bytes, "here": summary.here, "skipped": summary.skipped,
            "failed": summary.failed, "seconds": took.as_secs_f64(),
        });
        self.0.voice.say(verb, &text, facts);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step(&self, step: Step<'_>) {
        match step {
            Step::Moved(bytes) => self.moved(bytes),
            Step::Begun { path, size, from } => self.begun(path, size, from),
            Step::Ended { path, outcome } => self.ended(path, outcome),
            Step::Total { files, bytes } => self.total(files, bytes),
            Step::Code { code, .. } => self.say(
                "code",
                &format!("somebody came with a wrong code; the new one is\ncode: {}", code.phrase()),
                json!({ "code": code.phrase() }),
            ),
            Step::Paired { peer } => {
                let peer = format!("{}:{}", peer.scheme(), peer.remote());
                self.say("paired", &format!("{peer} is there"), json!({ "peer": peer }));
                if let Some(bar) = &self.bar {
                    bar.reset();
                }
                let mut state = self.state();
                (state.moved, state.files) = (0, 0);
                state.began.get_or_insert_with(Instant::now);
            }
            Step::Broken { error, again } => {
                let next = match again {
                    Some(pause) => format!("trying again in {pause:?}"),
                    None => "waiting for the other end to come again".to_owned(),
                };
                self.say("broken", &format!("{}; {next}", shown(&error.to_string())), failure(error));
            }
            Step::Note(note) => self.say("note", &shown(note), json!({ "message": shown(note) })),
            _ => {}
        }
    }

    /// Says something above the bar.
    fn say(&self, event: &str, sentence: &str, facts: serde_json::Value) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.voice.say(event, sentence, facts)),
            None => self.voice.say(event, sentence, facts),
        }
    }

    fn total(&self, files: u64, bytes: u64) {
        self.state().total = Some((files, bytes));
        if let Some(bar) = &self.bar {
            bar.set_style(style(
                "{bar:24} {percent:>3}%  {decimal_bytes} of {decimal_total_bytes}  {decimal_bytes_per_sec}  {eta}  {wide_msg}",
            ));
            bar.set_length(bytes);
        }
        if self.voice.json {
            self.say("total", "", json!({ "files": files, "bytes": bytes }));
        }
    }

    fn begun(&self, path: &Path, size: Option<u64>, from: u64) {
        self.count(from);
        let path = named(path);
        if let Some(bar) = &self.bar {
            bar.set_message(path);
        } else if self.voice.json && size.is_none_or(|size| size > 1 << 20) {
            self.say("begun", "", json!({ "path": path, "size": size, "from": from }));
        } else if from > 0 && !self.voice.json {
            self.say("resumed", &format!("{path} goes on at {}", DecimalBytes(from)), json!({}));
        }
    }

    fn moved(&self, bytes: u64) {
        self.count(bytes);
        let mut state = self.state();
        state.travelled = state.travelled.saturating_add(bytes);
        drop(state);
        if self.bar.is_some() {
            return;
        }
        let mut state = self.state();
        let every = if self.voice.json { EVENT } else { EVERY };
        if state.said.elapsed() < every || state.began.is_none_or(|began| began.elapsed() < every) {
            return;
        }
        state.said = Instant::now();
        let took = state.began.map_or(1.0, |began| began.elapsed().as_secs_f64());
        let rate = state.moved as f64 / took.max(0.001);
        let mut text = format!("{} files, {}", state.files, DecimalBytes(state.moved));
        let mut left = None;
        if let Some((_, total)) = state.total {
            left = Some(total.saturating_sub(state.moved) as f64 / rate.max(1.0));
            text += &format!(" of {}", DecimalBytes(total));
        }
        text += &format!(" at {}/s", DecimalBytes(rate as u64));
        if let Some(left) = left.and_then(|left| Duration::try_from_secs_f64(left).ok()) {
            text += &format!(", {} left", HumanDuration(left));
        }
        let facts = json!({
            "files": state.files, "bytes": state.moved, "total": state.total.map(|(_, bytes)| bytes), "rate": rate as u64,
            "left": left,
        });
        drop(state);
        self.say("progress", &text, facts);
    }

    fn count(&self, bytes: u64) {
        let mut state = self.state();
        state.moved = state.moved.saturating_add(bytes);
        drop(state);
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
        }
    }

    fn ended(&self, path: &Path, outcome: &Outcome) {
        self.state().files += 1;
        let path = named(path);
        let (word, why) = match outcome {
            Outcome::Done { .. } => ("done", None),
            Outcome::Here => ("here", None),
            Outcome::Skipped => ("skipped", None),
            Outcome::Failed(why) => ("failed", Some(shown(why))),
        };
        let mut facts = json!({ "path": path, "outcome": word });
        if let Outcome::Done { bytes, hash } = outcome {
            facts["bytes"] = json!(bytes);
            if *hash != [0; 32] {
                facts["blake3"] = json!(hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
            }
        }
        if let Some(why) = &why {
            facts["why"] = json!(why);
        }
        if self.voice.json || self.voice.verbose || why.is_some() {
            let why = why.map_or_else(String::new, |why| format!(": {why}"));
            self.say("file", &format!("{path} {word}{why}"), facts);
        }
    }
}

/// An address as a shell takes it.
fn quoted(at: &Address) -> String {
    let text = at.to_string();
    if text.contains(['?', '&', '[']) { format!("'{text}'") } else { text }
}

/// A path from outside, in one line.
fn named(path: &Path) -> String {
    shown(&path.to_string_lossy()).replace('\n', "\\n").replace('\t', "\\t")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// The addresses by which others reach that one: those of this machine, where it listens on all of them.
fn reachable(at: &Address) -> Vec<Address> {
    let all = at.host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified());
    if !all {
        return vec![at.clone()];
    }
    let ours = |interface: &if_addrs::Interface| {
        let ip = interface.ip();
        let usable = !ip.is_loopback() && !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        (usable && ip.is_ipv6() == at.host.contains(':')).then(|| Address { host: ip.to_string(), ..at.clone() })
    };
    let found: Vec<_> = if_addrs::get_if_addrs().unwrap_or_default().iter().filter_map(ours).collect();
    if found.is_empty() { vec![Address { host: "127.0.0.1".to_owned(), ..at.clone() }] } else { found }
}
