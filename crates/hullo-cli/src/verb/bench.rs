//! `hullo bench ADDRESS`: load, with latency that is true.

mod finish;
mod holes;
mod live;
mod search;
mod series;
mod versus;

use std::{num::NonZero, process::ExitCode, sync::Arc, thread::available_parallelism, time::Duration};

use http::HeaderMap;
use hullo::{
    Address, Error, Kind, Limits, Result,
    bench::{
        self, Ask, Direction, Exchange, Expect, Payload, Plan, Progress, Rate, Report, Shape, Slo, compare::Comparison,
        words,
    },
    options::End,
    transport,
};
use rustix::process::{Resource, getrlimit};
use serde_json::json;
use tokio::signal::ctrl_c;

use self::{
    finish::People,
    holes::Holes,
    live::Stage,
    search::Search,
    series::Series,
    versus::{Runs, Side},
};
use super::serve::raise_file_limit;
use crate::{
    args::{Bench, Http},
    observe::live::has_terminal,
    report::Voice,
    view::{
        bench::{beside, live::Live},
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
    finish::check_stdout(&args, voice)?;
    let people = People::of(&args);
    if let [a, b] = &args.compare[..] {
        let versus = versus::files(a, b, args.seed)?;
        finish::page_of_two(&versus, &args)?;
        return compared(&versus.comparison, people, voice);
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
        false if has_terminal() => {
            let live = Live::new(&plan, paint::on_stdout().colours());
            Stage::take()?.run(live, plan, voice).await.0?
        }
        false => {
            let seen = live::line(&plan, "");
            measure(plan, voice, seen).await?
        }
    };
    // What was measured is said, whatever becomes of the files.
    finish::say(&report, people, voice)?;
    finish::files(&report, &args, &objectives)?;
    finish::judge([&report], &objectives, voice)
}

/// Compares what was measured at some other time.
fn compared(comparison: &Comparison, people: People, voice: Voice) -> Result<ExitCode> {
    if voice.json {
        finish::object(&serde_json::to_value(comparison).map_err(finish::unwritable)?)?;
    } else {
        people.say(|paint| beside::text(comparison, paint))?;
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
    let (mut series, mut runs) = (Series::new(&args, voice)?, Runs::default());
    let went = in_turns(&mut series, &mut runs, [&a, &b], args.repeat).await;
    series.end()?;
    let is_whole = went?;
    if !is_whole {
        let note = format!("it was stopped when {} of {} rounds were whole", runs.rounds(), args.repeat);
        voice.say("note", &format!("note: {note}"), json!({ "message": note }));
        if runs.rounds() == 0 {
            return Ok(ExitCode::from(INTERRUPTED));
        }
    }
    let versus = runs.compared(args.seed)?;
    let people = People::of(&args);
    if voice.json {
        finish::object(&versus.facts().map_err(finish::unwritable)?)?;
    } else {
        people.say(|paint| format!("\n{}", beside::text(&versus.comparison, paint)))?;
    }
    finish::page_of_two(&versus, &args)?;
    match is_whole {
        true => finish::judge(versus.a.iter().chain(&versus.b), objectives, voice),
        false => Ok(ExitCode::from(INTERRUPTED)),
    }
}

/// Measures A and B in turns. It says whether nobody has stopped it.
async fn in_turns(series: &mut Series, runs: &mut Runs, both: [&Plan; 2], rounds: usize) -> Result<bool> {
    for (at, side) in versus::turns(rounds) {
        let (round, [a, b]) = (at + 1, both);
        let plan = if side == Side::A { a } else { b };
        let about = format!("round {round} of {rounds}, {side:?}");
        let Some(report) = series.run(plan.clone(), &about).await? else { return Ok(false) };
        let line = format!("round {round}  {side:?}  {}", beside::short(&report));
        let name = format!("{side:?}").to_lowercase();
        series.tell("run", line, json!({ "round": round, "side": name, "rate": report.rate }))?;
        runs.add(side, report);
    }
    Ok(true)
}

/// Looks for the highest rate.
async fn looked_for(plan: Plan, args: &Bench, objectives: &[Slo], voice: Voice) -> Result<ExitCode> {
    // The ends of a ramp are where to begin and where to stop.
    let span = |rate: &Rate| rate.span().map(|span| rate.at(span));
    let bounds = plan.requests().map_or((search::START, None), |rate| (rate.first(), span(&rate)));
    let plan = Plan { duration: args.duration.or(Some(TRIAL)), warm_up: args.warm_up.max(BETWEEN), ..plan };
    let (mut series, mut search) = (Series::new(args, voice)?, Search::new(objectives, bounds)?);
    let went = tried(&mut series, &mut search, &plan).await;
    series.end()?;
    went?;
    finish::found(&search.found(), args, objectives, voice)
}

/// Tries one rate after the other, until the search knows enough, or somebody does.
async fn tried(series: &mut Series, search: &mut Search, plan: &Plan) -> Result<()> {
    for number in 1.. {
        let Some(step) = search.next() else { break };
        let trial = Plan { rate: Some(Rate::constant(step.rate)?), ..plan.clone() };
        let about = format!("trial {number}, {}; {}", words::rate(step.rate), search.so_far());
        let Some(outcome) = series.run(trial, &about).await.transpose() else {
            search.stop();
            break;
        };
        let trial = search.heard(step, outcome)?;
        series.tell("trial", trial.line(), trial.facts())?;
    }
    Ok(())
}

/// The exit status of what Ctrl-C has ended before there was a verdict.
const INTERRUPTED: u8 = 130;

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
    let holes = Holes::dig(&args.words)?;
    let mut asked = super::request::asked(&holes.words, voice).await?;
    asked.to.path = holes.fill(&asked.to.path);
    asked.to.query = asked.to.query.map(|query| holes.fill(&query));
    let body = match (&args.payload, asked.body) {
        (None, None) => args.size.map(|size| Payload::of_size(size as usize)),
        (Some(_), None) => Some(payload(args)?),
        (None, Some(body)) => Some(match std::str::from_utf8(&body) {
            Ok(text) => Payload::template(&holes.fill(text), args.seed)?,
            Err(_) => Payload::fixed(body),
        }),
        (Some(_), Some(_)) => {
            return Err(Error::usage("there are both --payload and fields: the body can be only one of them"));
        }
    };
    let version = args.http.map(|http| match http {
        Http::One => http::Version::HTTP_11,
        Http::Two => http::Version::HTTP_2,
    });
    // Each template has a seed of its own, so that no two of them draw the same.
    let mut seed = args.seed;
    let mut template = |text: &str| {
        seed = seed.wrapping_add(1);
        Payload::template(text, seed)
    };
    let target = Some(template(&asked.to.target())?).filter(|target| target.same().is_none());
    let (mut headers, mut filled) = (HeaderMap::new(), Vec::new());
    for (name, value) in &asked.headers {
        let text = std::str::from_utf8(value.as_bytes()).map(|text| holes.fill(text)).unwrap_or_default();
        match template(&text)? {
            varies if varies.same().is_none() => filled.push((name.clone(), varies)),
            _ => _ = headers.append(name, value.clone()),
        }
    }
    let exchange = Exchange { method: asked.method, target, headers, filled, body, expect, version };
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
