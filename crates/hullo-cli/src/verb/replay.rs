//! `hullo replay talk.pcapng localhost:7007 --fast --expect`: says again what clients said, and compares the answers.

use std::{
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use hullo::{
    Address, Error, Kind, Limits, Result,
    capture::{self, Capture, Conversation},
    options::End,
    replay::{Difference, News, Outcome, Pace, Plan, Summary, Tell, replay},
    transport,
};
use serde_json::json;

use super::serve::raise_file_limit;
use crate::{
    args::Replay,
    report::{Voice, failure, shown},
    view::hex,
};

/// The exit status after Ctrl-C.
const INTERRUPTED: u8 = 130;

pub(super) async fn run(args: Replay, voice: Voice) -> Result<ExitCode> {
    let plan = plan(&args)?;
    voice.warn_of_trust(&plan.to);
    let (file, capture) = capture::open(&args.file)?;
    let conversations = chosen(capture, &args, voice)?;
    raise_file_limit();
    let first = Arc::new(Mutex::new(None));
    let tell = teller(args.show, voice, first.clone());
    let scope = voice.scope(Limits::default());
    let summary = tokio::select! {
        summary = replay(file, conversations, &plan, &scope, tell) => summary?,
        _ = tokio::signal::ctrl_c() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    sum(&summary, args.expect, voice);
    let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (first, summary) {
        (Some(error), _) => Err(error),
        (None, Summary { different: 0, .. }) => Ok(ExitCode::SUCCESS),
        (None, Summary { conversations, different, .. }) => {
            let about = format!("{different} of {conversations} conversations with {} are different", plan.to.bare());
            Err(Error::new(Kind::Different, about))
        }
    }
}

fn plan(args: &Replay) -> Result<Plan> {
    let to: Address = args.to.parse()?;
    transport::find(&to, End::Connect)?;
    if matches!(to.scheme.as_str(), "http" | "https") {
        let raw = if to.scheme == "http" { "tcp" } else { "tls" };
        return Err(Error::usage(format!("cannot replay to {}: it is for requests", to.bare()))
            .hint(format!("what was recorded has the requests in it: use {raw}://{}", to.authority())));
    }
    let pace = if args.fast { Pace::Fast } else { Pace::Recorded(args.speed.unwrap_or(1.0)) };
    Ok(Plan { pace, expect: args.expect, patience: args.expect_timeout, ..Plan::to(to) })
}

/// The conversations that are meant.
fn chosen(capture: Capture, args: &Replay, voice: Voice) -> Result<Vec<Conversation>> {
    let name = args.file.display();
    if capture.cut {
        let about = format!("{name} ends within a packet: what came later is not in it");
        voice.say("cut-short", &about, json!({ "file": name.to_string() }));
    }
    let mut conversations = capture.conversations;
    if conversations.is_empty() {
        return Err(Error::new(Kind::Protocol, format!("there is no conversation of TCP or UDP in {name}")));
    }
    if let Some(missing) = args.flow.iter().find(|flow| conversations.iter().all(|one| one.number != **flow)) {
        return Err(no_flow(*missing, &conversations, &args.file));
    }
    conversations.retain(|one| args.flow.is_empty() || args.flow.contains(&one.number));
    Ok(conversations)
}

fn no_flow(missing: u64, conversations: &[Conversation], file: &Path) -> Error {
    let mut numbers: Vec<_> = conversations.iter().take(20).map(|one| one.number.to_string()).collect();
    if conversations.len() > numbers.len() {
        numbers.push("…".to_owned());
    }
    Error::usage(format!("there is no conversation {missing} in {}", file.display()))
        .hint(format!("there are {}", numbers.join(", ")))
}

/// Whoever hears of each conversation; the first error is kept.
fn teller(show: bool, voice: Voice, first: Arc<Mutex<Option<Error>>>) -> Tell {
    let keep = move |error| {
        first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    };
    Arc::new(move |news| match news {
        News::Answer(_, bytes) if show => {
            if let Err(error) = super::print(bytes) {
                keep(error);
            }
        }
        News::Answer(..) => {}
        News::Over(outcome) => {
            if let Some(difference) = &outcome.difference {
                voice.say("different", &told(outcome.number, difference), facts(outcome.number, difference));
            }
            if let Some(error) = &outcome.error {
                let about = format!("conversation {} could not be led to its end", outcome.number);
                voice.say("failed", &shown(&format!("{about}: {error}")), over(outcome, error));
                keep(Error::new(error.kind(), about).because(error.to_string()));
            }
        }
    })
}

/// What is different, and the bytes around it: of then with a minus, of now with a plus.
fn told(number: u64, difference: &Difference) -> String {
    let Difference { about, start, wanted, got, .. } = difference;
    let dumps = [hex::dump('-', *start as usize, wanted), hex::dump('+', *start as usize, got)];
    format!("conversation {number} is different: {}\n{}", shown(about), dumps.concat()).trim_end().to_owned()
}

fn facts(number: u64, difference: &Difference) -> serde_json::Value {
    let Difference { about, message, offset, start, wanted, got } = difference;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    json!({
        "flow": number, "about": about, "number": message, "offset": offset, "start": start,
        "wanted": hex(wanted), "got": hex(got),
    })
}

fn over(outcome: &Outcome, error: &Error) -> serde_json::Value {
    let mut facts = failure(error);
    facts["flow"] = json!(outcome.number);
    facts
}

fn sum(summary: &Summary, expect: bool, voice: Voice) {
    let Summary { conversations, sent, received, same, different, failed } = summary;
    let mut sentence = format!("{conversations} conversations: {sent} bytes said, {received} bytes answered");
    let mut facts = json!({ "conversations": conversations, "sent": sent, "received": received, "failed": failed });
    if expect {
        sentence += &format!("; {same} the same, {different} different");
        facts["same"] = json!(same);
        facts["different"] = json!(different);
    }
    if *failed > 0 {
        sentence += &format!("; {failed} failed");
    }
    voice.say("replayed", &sentence, facts);
}
