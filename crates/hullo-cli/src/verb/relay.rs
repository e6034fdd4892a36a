//! `hullo relay :9000 db:5432`: joins any address to any address, until Ctrl-C.

use std::{io, path::Path, process::ExitCode, sync::Arc, time::Duration};

use hullo::{
    Address, Error, Kind, Limits, Result, Scope, Server,
    options::End,
    record::Recorder,
    service::relay::{Plan, Relay},
    traffic::{Tap, Traffic},
    transport,
};

use serde_json::json;

use super::serve::{Signals, cores, listen, raise_file_limit, wait};
use crate::{args, observe::Observer, report::Voice};

/// How long the end of a recording may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long a conversation may have nothing either way, if its address does not say: datagrams have no other end.
const IDLE: &str = "1h";
const IDLE_DATAGRAMS: &str = "60s";

pub(super) async fn run(args: args::Relay, voice: Voice) -> Result<ExitCode> {
    let mut limits = Limits::server();
    if let Some(most) = args.max_connections {
        (limits.max_connections, limits.max_per_peer) = (most as usize, most as usize);
    }
    limits.max_per_peer = limits.max_connections;
    raise_file_limit();
    // Before anything listens: who has read where may interrupt at once.
    let signals = Signals::new()?;
    let (at, mut plan) = (listening(&args.listen)?, plan(&args)?);
    let recorder = args.record.as_deref().map(|file| recorder(file, &at, voice)).transpose()?;
    plan.traffic = Arc::new(Traffic::new(recorder.iter().map(|recorder| recorder.clone() as Arc<dyn Tap>).collect()));
    let observer = Observer::new(None, args.metrics.is_some(), voice);
    let scope = Scope::on_cores(limits, Some(observer.clone()), cores()?, None);
    voice.log_keys(&scope);
    let mut server = Server::new(scope);
    let _metrics = match &args.metrics {
        Some(address) => Some(observer.serve_metrics(address, voice).await?),
        None => None,
    };
    let name = format!("relay to {}", plan.name);
    listen(&mut server, &at.to_string(), &name, Relay::new(plan)?, voice).await?;
    let ended = wait(server, signals, args.grace, voice).await;
    if let Some(recorder) = recorder {
        finish(recorder, voice).await?;
    }
    ended
}

/// A recording in that file, or on stdout.
fn recorder(file: &Path, at: &Address, voice: Voice) -> Result<Arc<Recorder>> {
    let told = move |error: &Error| voice.complain(error);
    if file != Path::new("-") {
        return Recorder::create(file, told);
    }
    if at.scheme == "stdio" {
        return Err(Error::usage("stdout is what is relayed: it cannot be the recording too").hint("name a file"));
    }
    Recorder::over(io::stdout(), "stdout", told)
}

/// Ends the recording; that something is missing in it is an error.
async fn finish(recorder: Arc<Recorder>, voice: Voice) -> Result<()> {
    let finished = tokio::task::spawn_blocking(move || recorder.finish(FAREWELL)).await;
    let recorded = finished.map_err(|error| Error::new(Kind::Other, "the recording did not end").because(error))??;
    let sentence = format!("recorded {} packets, {} bytes", recorded.packets, recorded.bytes);
    voice.say("recorded", &sentence, json!({ "packets": recorded.packets, "bytes": recorded.bytes }));
    Ok(())
}

fn plan(args: &args::Relay) -> Result<Plan> {
    let to: Vec<_> = args.to.iter().map(|text| leading(text)).collect::<Result<_>>()?;
    let name = to.iter().map(|address| address.bare().to_string()).collect::<Vec<_>>().join(" ");
    Ok(Plan {
        balance: args.balance.into(),
        check: args.check,
        tee: args.tee.as_ref().map(|text| leading(text)).transpose()?,
        ..Plan::to(&name, to)
    })
}

/// An address to listen on, with the silence that a relay allows.
fn listening(text: &str) -> Result<Address> {
    let mut address: Address = text.parse()?;
    transport::find(&address, End::Listen)?;
    if address.scheme == "memory" {
        return Err(Error::usage(format!("cannot listen on {address}: a simulated link is inside one process")));
    }
    if address.options.text("idle").is_none() {
        let datagrams = matches!(address.scheme.as_str(), "udp" | "unix-dgram");
        address.options.set("idle", if datagrams { IDLE_DATAGRAMS } else { IDLE })?;
    }
    Ok(address)
}

/// An address to connect to.
fn leading(text: &str) -> Result<Address> {
    let address: Address = text.parse()?;
    transport::find(&address, End::Connect)?;
    Ok(address)
}
