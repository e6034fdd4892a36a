//! `hullo bench ADDRESS`: load, with latency that is true.

mod finish;
mod live;
mod search;
mod versus;

use std::{num::NonZero, process::ExitCode, sync::Arc, thread::available_parallelism, time::Duration};

use hullo::{
    Address, Error, Kind, Limits, Result,
    bench::{
        self, Ask, Direction, Exchange, Expect, Payload, Plan, Progress, Rate, Report, Shape, Slo, compare::Comparison,
    },
    options::End,
    transport,
};
use rustix::process::{Resource, getrlimit};
use serde_json::{Value, json};
use tokio::signal::ctrl_c;

use self::versus::Side;
use super::serve::raise_file_limit;
use crate::{
    args::{Bench, Http},
    observe::live::has_terminal,
    report::Voice,
    view::{
        bench::{beside, summary},
        paint,
    },
};

/// How long a trial of a search lasts, unless somebody says it.
const TRIAL: Duration = Duration::from_secs(5);
/// How long the echo of a datagram is waited for: it may have got lost, and its place is wanted.
const DATAGRAM: Duration = Duration::from_secs(1);
/// The time that a target has to get over the trial before.
const BETWEEN: Duration = Duration::from_millis(500);

pub(super) async fn run(args: Bench, voice: Voice) -> Result<ExitCode> {
    if let [a, b] = &args.compare[..] {
        let versus = versus::files(a, b, args.seed)?;
        finish::page_of_two(&versus, &args)?;
        return compared(&versus.comparison, voice);
    }
    let objectives = finish::objectives(&args)?;
    raise_file_limit();
    let plan = plan(&args, voice).await?;
    voice.warn_of_trust(&plan.to);
    if args.vs.is_some() {
        return against(plan, args, &objectives, voice).await;
    }
    if args.search {
        return looked_for(plan, &args, &objectives, voice).await;
    }
    let report = match voice.json || args.no_live {
        true => measure(plan, voice, |_| ()).await?,
        false if has_terminal() => live::run(plan, voice).await?,
        false => {
            let seen = live::line(&plan);
            measure(plan, voice, seen).await?
        }
    };
    // What was measured is said, whatever becomes of the files.
    finish::say(&report, voice)?;
    finish::files(&report, &args, &objectives)?;
    finish::judge([&report], &objectives, voice)
}

/// Compares what was measured at some other time.
fn compared(comparison: &Comparison, voice: Voice) -> Result<ExitCode> {
    if voice.json {
        finish::object(&serde_json::to_value(comparison).map_err(finish::unwritable)?)?;
    } else {
        super::print(beside::text(comparison, paint::on_stdout()).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Measures two targets in turns.
async fn against(a: Plan, mut args: Bench, objectives: &[Slo], voice: Voice) -> Result<ExitCode> {
    let other = args.vs.take().unwrap_or_default();
    let at = args.words.iter().position(|word| is_url(word)).unwrap_or_default();
    if let Some(word) = args.words.get_mut(at) {
        *word = other;
    }
    let b = plan(&args, voice).await?;
    voice.warn_of_trust(&b.to);
    let run = async |side| unattended(if side == Side::A { a.clone() } else { b.clone() }, voice).await;
    let told = |round: usize, side: Side, report: &Report| {
        let round = round + 1;
        let line = format!("round {round}  {side:?}  {}", beside::short(report));
        step(
            voice,
            "run",
            &line,
            json!({ "round": round, "side": format!("{side:?}").to_lowercase(), "rate": report.rate }),
        )
    };
    let versus = versus::run(args.repeat, args.seed, run, told).await?;
    finish::page_of_two(&versus, &args)?;
    if voice.json {
        finish::object(&versus.facts().map_err(finish::unwritable)?)?;
    } else {
        super::print(b"\n")?;
        compared(&versus.comparison, voice)?;
    }
    finish::judge(versus.a.iter().chain(&versus.b), objectives, voice)
}

/// Looks for the highest rate.
async fn looked_for(plan: Plan, args: &Bench, objectives: &[Slo], voice: Voice) -> Result<ExitCode> {
    // The ends of a ramp are where to begin and where to stop.
    let span = |rate: &Rate| rate.span().map(|span| rate.at(span));
    let bounds = plan.requests().map_or((search::START, None), |rate| (rate.first(), span(&rate)));
    let plan = Plan { duration: args.duration.or(Some(TRIAL)), warm_up: args.warm_up.max(BETWEEN), ..plan };
    let trial = async |rate| unattended(Plan { rate: Some(Rate::constant(rate)?), ..plan.clone() }, voice).await;
    let told = |trial: &search::Trial| step(voice, "trial", &trial.line(), trial.facts());
    let found = search::run(objectives, bounds, trial, told).await?;
    if let Some(report) = found.report() {
        finish::files(report, args, objectives)?;
    }
    if voice.json {
        let facts = json!({ "search": found.facts(), "report": found.report() });
        finish::object(&facts)?;
    } else if let Some(report) = found.report() {
        super::print(format!("\n{}\n{}", summary::text(report, paint::on_stdout()), found.sentence()).as_bytes())?;
        super::print(b"\n")?;
    }
    found.check()?;
    Ok(ExitCode::SUCCESS)
}

/// Tells of one run of several as soon as it is over: on stdout, which has nothing but the result for programs.
fn step(voice: Voice, event: &str, line: &str, facts: Value) -> Result<()> {
    if voice.json {
        voice.say(event, "", facts);
        return Ok(());
    }
    super::print(format!("{line}\n").as_bytes())
}

/// Runs one load of several. Ctrl-C ends all of them, as it ends any program.
async fn unattended(plan: Plan, voice: Voice) -> Result<Report> {
    bench::run(plan, &voice.scope(Limits::default()), |_| ()).await
}

fn is_url(word: &str) -> bool {
    word.starts_with("http://") || word.starts_with("https://")
}

/// Runs the load to its end; Ctrl-C ends it early, and once more at once.
async fn measure(plan: Plan, voice: Voice, seen: impl FnMut(&Progress)) -> Result<Report> {
    let scope = voice.scope(Limits::default());
    let stop = async {
        // Without a signal handler Ctrl-C ends the process, as it always did.
        let _ = ctrl_c().await;
        scope.stop();
        let _ = ctrl_c().await;
    };
    tokio::select! {
        report = bench::run(plan, &scope, seen) => report,
        () = stop => Err(Error::new(Kind::Other, "interrupted")),
    }
}

/// What the words ask for.
async fn plan(args: &Bench, voice: Voice) -> Result<Plan> {
    let (to, shape) = shape(args, voice).await?;
    transport::find(&to, End::Connect)?;
    let span = args.rate.as_ref().and_then(|rate| rate.span());
    check(args)?;
    let plan = Plan::to(to);
    let patience = if plan.is_packets() { DATAGRAM } else { plan.timeout };
    Ok(Plan {
        shape,
        connections: args.connections,
        depth: args.depth,
        threads: args.threads.unwrap_or_else(|| available_parallelism().map_or(1, NonZero::get)),
        duration: args.duration.or(span.filter(|_| args.count.is_none())),
        count: args.count,
        warm_up: args.warm_up,
        timeout: args.timeout.unwrap_or(patience).max(Duration::from_millis(1)),
        size: args.size.map(|size| size as usize),
        seed: args.seed,
        rate: args.rate.clone(),
        ..plan
    })
}

/// What can be seen to be impossible before anything is tried.
fn check(args: &Bench) -> Result<()> {
    if args.duration.is_some_and(|time| time.is_zero()) {
        return Err(Error::usage("a load of no time measures nothing").hint("-d 10s"));
    }
    if let Some(size) = args.size.filter(|size| *size > LARGEST) {
        return Err(Error::usage(format!("a message of {size} bytes is too large: {LARGEST} is the most"))
            .hint("--up, --down and --both carry as many bytes as will go"));
    }
    let needed = args.connections as u64 + OURS;
    match getrlimit(Resource::Nofile).current {
        Some(most) if most < needed => Err(Error::usage(format!(
            "{} connections need {needed} file descriptors, and this process may have {most}",
            args.connections
        ))
        .hint(format!("ulimit -n {needed}"))),
        _ => Ok(()),
    }
}

/// The largest message, in bytes.
const LARGEST: u64 = 64 << 20;

/// The file descriptors that are not connections.
const OURS: u64 = 32;

/// Where the load goes, and what kind of load it is.
async fn shape(args: &Bench, voice: Voice) -> Result<(Address, Shape)> {
    let bulk = [(args.up, Direction::Up), (args.down, Direction::Down), (args.both, Direction::Both)];
    let bulk = bulk.into_iter().find_map(|(wanted, direction)| wanted.then_some(direction));
    let is_http = args.words.iter().any(|word| is_url(word));
    let mut expect = Expect::default();
    args.expect.iter().for_each(|said| expect.add(said));
    if is_http && bulk.is_none() && !args.connect {
        return exchange(args, expect, voice).await;
    }
    if !expect.statuses.is_empty() || args.http.is_some() {
        return Err(Error::usage("only HTTP has statuses and versions").hint("--expect text=200 means the text"));
    }
    let [address] = &args.words[..] else {
        return Err(Error::usage(format!("only a request of HTTP has items: '{}'", args.words.join(" ")))
            .hint("write one address, as in tcp://host:7007, and what is asked as --payload"));
    };
    let to: Address = address.parse()?;
    let shape = match bulk {
        Some(direction) => Shape::Bulk(direction),
        None if args.connect => Shape::Connect,
        None => Shape::Ask(Arc::new(Ask { payload: payload(args)?, expect })),
    };
    Ok((to, shape))
}

/// A request of HTTP, written as for `hullo request`.
async fn exchange(args: &Bench, expect: Expect, voice: Voice) -> Result<(Address, Shape)> {
    let plain =
        |word: &&String| is_url(word) || word.split_once([':', '=']).is_some_and(|(_, value)| value.starts_with('='));
    if let Some(word) = args.words.iter().filter(plain).find(|word| word.contains("{{")) {
        return Err(Error::usage(format!("'{word}' would be sent as it is: only bodies are templates"))
            .hint("write {{seq}} in a field (name={{seq}}) or in --payload"));
    }
    let asked = super::request::asked(&args.words, voice).await?;
    let body = match (&args.payload, asked.body) {
        (None, None) => args.size.map(|size| Payload::of_size(size as usize)),
        (Some(_), None) => Some(payload(args)?),
        (None, Some(body)) => Some(filled(&body, args.seed)?),
        (Some(_), Some(_)) => {
            return Err(Error::usage("there are both --payload and fields: the body can be only one of them"));
        }
    };
    let version = args.http.map(|http| match http {
        Http::One => http::Version::HTTP_11,
        Http::Two => http::Version::HTTP_2,
    });
    let exchange = Exchange { method: asked.method, headers: asked.headers, body, expect, version };
    Ok((asked.to, Shape::Http(Arc::new(exchange))))
}

fn payload(args: &Bench) -> Result<Payload> {
    match &args.payload {
        None => Ok(Payload::of_size(args.size.unwrap_or(64) as usize)),
        Some(text) => match text.strip_prefix('@') {
            None => Payload::template(text, args.seed),
            Some(file) => {
                let content = std::fs::read(file);
                let content =
                    content.map_err(|error| Error::io(format!("cannot read {file}"), error).of(Kind::File))?;
                filled(&content, args.seed)
            }
        },
    }
}

/// A template where it is text, and bytes otherwise.
fn filled(content: &[u8], seed: u64) -> Result<Payload> {
    match std::str::from_utf8(content) {
        Ok(text) => Payload::template(text, seed),
        Err(_) => Ok(Payload::fixed(content.to_vec())),
    }
}
