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

use self::config::Config;
use super::serve::{Signals, cores, listen, raise_file_limit, wait};
use crate::{args, observe::Observer, report::Voice};

mod config;

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
    let own = args.listen.as_ref().map(|text| Ok::<_, Error>((listening(text)?, plan(&args)?))).transpose()?;
    let config = args.config.as_deref().map(Config::read).transpose()?;
    let observer = Observer::new(None, args.metrics.is_some(), voice);
    let scope = Scope::on_cores(limits, Some(observer.clone()), cores()?, None);
    voice.log_keys(&scope);
    let mut server = Server::new(scope.clone());
    let _metrics = match &args.metrics {
        Some(address) => Some(observer.serve_metrics(address, voice).await?),
        None => None,
    };
    let proxies = Toxiproxy::new(scope.clone(), |name, to| Plan::to(&name, to));
    match own {
        Some((at, plan)) if args.api.is_some() => told(proxies.add(&at, plan).await?, voice),
        Some((at, plan)) => {
            let name = format!("relay to {}", plan.name);
            listen(&mut server, &at.to_string(), &name, Relay::new(plan)?, voice).await?;
        }
        None => {}
    }
    if let Some(config) = config {
        config.open(&proxies, voice).await?;
    }
    match &args.api {
        Some(api) => drop(listen(&mut server, &web(api), "Toxiproxy's API", proxies, voice).await?),
        // What they are in ends them, also where nobody can change them.
        None => proxies.begin(&scope),
    }
    wait(server, signals, args.grace, voice).await
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

fn plan(args: &args::Relay) -> Result<Plan> {
    let to: Vec<_> = args.to.iter().map(|text| leading(text)).collect::<Result<_>>()?;
    let leads = || to.iter().map(|address| address.bare().to_string()).collect::<Vec<_>>().join(" ");
    // A client of the API has to write it.
    let name = args.name.clone().unwrap_or_else(|| if args.api.is_some() { "relay".to_owned() } else { leads() });
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
