//! `hullo relay :9000 db:5432`: joins any address to any address, until Ctrl-C.

use std::process::ExitCode;

use hullo::{
    Address, Error, Limits, Result, Scope, Server, Service,
    options::End,
    service::relay::{Plan, Relay},
    toxiproxy::{Listening, Toxiproxy},
    transport,
};
use serde_json::json;

use self::{config::Config, faults::Maker};
use super::serve::{Signals, cores, listen, raise_file_limit, wait};
use crate::{args, observe::Observer, report::Voice};

mod config;
mod faults;

/// How long a conversation may have nothing either way, if its address does not say: datagrams have no other end.
const IDLE: &str = "1h";
const IDLE_DATAGRAMS: &str = "60s";

pub(super) async fn run(args: args::Relay, voice: Voice) -> Result<ExitCode> {
    let mut limits = Limits::server();
    if let Some(most) = args.max_connections {
        limits.max_connections = most as usize;
    }
    limits.max_per_peer = limits.max_connections;
    raise_file_limit();
    // Before anything listens: who has read where may interrupt at once.
    let signals = Signals::new()?;
    let faults = Maker::of(&args, voice)?;
    let own = args.listen.as_ref().map(|text| Ok::<_, Error>((listening(text)?, plan(&args, &faults)?))).transpose()?;
    let config = args.config.as_deref().map(Config::read).transpose()?;
    let observer = Observer::new(None, args.metrics.is_some(), voice);
    let scope = Scope::on_cores(limits, Some(observer.clone()), cores()?, None);
    voice.log_keys(&scope);
    let mut server = Server::new(scope.clone());
    let _metrics = match &args.metrics {
        Some(address) => Some(observer.serve_metrics(address, voice).await?),
        None => None,
    };
    let maker = faults.clone();
    let proxies = Toxiproxy::new(scope.clone(), move |name, to| Plan {
        faults: Some(maker.make(Vec::new())),
        ..Plan::to(&name, to)
    });
    match own {
        Some((at, plan)) if args.api.is_some() => told(proxies.add(&at, plan).await?, voice),
        Some((at, plan)) => {
            let name = format!("relay to {}", plan.name);
            listen(&mut server, &at.to_string(), &name, Relay::new(plan)?, voice).await?;
        }
        None => {}
    }
    if let Some(config) = config {
        config.open(&proxies, &faults, voice).await?;
    }
    // What they are in ends them, also where nobody can change them.
    proxies.clone().begin(&scope);
    // On no core, but here, where nothing else is done: no relay at work keeps the clients of the API waiting.
    let mut api = Server::new(Scope::new(Limits::server(), Some(observer)));
    if let Some(at) = &args.api {
        listen(&mut api, &web(at), "Toxiproxy's API", proxies, voice).await?;
    }
    let ended = wait(server, signals, args.grace, voice).await;
    faults.finish();
    ended
}

/// The address of the API, which is spoken over HTTP where it does not say how.
fn web(address: &str) -> String {
    if address.contains("://") { address.to_owned() } else { format!("http://{address}") }
}

/// Says where a relay listens.
fn told(relay: Listening, voice: Voice) {
    let at = relay.at.bare().to_string();
    voice.say(
        "listening",
        &format!("listening on {at} ({})", relay.name),
        json!({ "address": at, "service": &*relay.name }),
    );
    for note in relay.notes {
        voice.say("note", &format!("  {note}"), json!({ "message": note }));
    }
}

fn plan(args: &args::Relay, faults: &Maker) -> Result<Plan> {
    let to: Vec<_> = args.to.iter().map(|text| leading(text)).collect::<Result<_>>()?;
    let leads = || to.iter().map(|address| address.bare().to_string()).collect::<Vec<_>>().join(" ");
    // A client of the API has to write it.
    let name = args.name.clone().unwrap_or_else(|| if args.api.is_some() { "relay".to_owned() } else { leads() });
    Ok(Plan {
        balance: args.balance.into(),
        check: args.check,
        tee: args.tee.as_ref().map(|text| leading(text)).transpose()?,
        // Where there are none, and nobody can add any, the kernel may move the bytes.
        faults: (!args.fault.is_empty() || args.api.is_some()).then(|| faults.make(args.fault.clone())),
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
