//! `hullo bench ADDRESS`: load, with latency that is true.

use std::{num::NonZero, process::ExitCode, sync::Arc, thread::available_parallelism, time::Duration};

use hullo::{
    Address, Error, Kind, Limits, Result,
    bench::{self, Ask, Direction, Exchange, Expect, Payload, Plan, Progress, Report, Shape},
    options::End,
    transport,
};
use tokio::signal::ctrl_c;

use super::serve::raise_file_limit;
use crate::{
    args::{Bench, Http},
    report::Voice,
};

pub(super) async fn run(args: Bench, voice: Voice) -> Result<ExitCode> {
    let plan = plan(&args, voice).await?;
    voice.warn_of_trust(&plan.to);
    raise_file_limit();
    let report = measure(plan, voice, |_| ()).await?;
    if voice.json {
        super::print(format!("{}\n", serde_json::to_string(&report).map_err(unwritable)?).as_bytes())?;
    } else {
        super::print(format!("{} offered, {} answered\n", report.offered, report.answered).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
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

fn unwritable(error: serde_json::Error) -> Error {
    Error::new(Kind::Other, format!("cannot write the report: {error}"))
}

/// What the words ask for.
async fn plan(args: &Bench, voice: Voice) -> Result<Plan> {
    let (to, shape) = shape(args, voice).await?;
    transport::find(&to, End::Connect)?;
    let span = args.rate.as_ref().and_then(|rate| rate.span());
    Ok(Plan {
        shape,
        connections: args.connections,
        depth: args.depth,
        threads: args.threads.unwrap_or_else(|| available_parallelism().map_or(1, NonZero::get)),
        duration: args.duration.or(span.filter(|_| args.count.is_none())),
        count: args.count,
        warm_up: args.warm_up,
        timeout: args.timeout.max(Duration::from_millis(1)),
        seed: args.seed,
        rate: args.rate.clone(),
        ..Plan::to(to)
    })
}

/// Where the load goes, and what kind of load it is.
async fn shape(args: &Bench, voice: Voice) -> Result<(Address, Shape)> {
    let bulk = [(args.up, Direction::Up), (args.down, Direction::Down), (args.both, Direction::Both)];
    let bulk = bulk.into_iter().find_map(|(wanted, direction)| wanted.then_some(direction));
    let is_http = args.words.iter().any(|word| word.starts_with("http://") || word.starts_with("https://"));
    let mut expect = Expect::default();
    args.expect.iter().for_each(|said| expect.add(said));
    if is_http && bulk.is_none() && !args.connect {
        return exchange(args, expect, voice).await;
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
