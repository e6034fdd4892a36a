//! `hullo relay :9000 db:5432`: joins any address to any address, until Ctrl-C.

use std::{process::ExitCode, sync::Arc};

use hullo::{
    Address, Error, Limits, Result, Scope, Server, Service,
    fault::Fault,
    options::End,
    service::relay::{Plan, Relay},
    toxiproxy::{Listening, Toxiproxy},
    traffic::Traffic,
    transport,
};
use serde_json::json;

use self::{
    config::Config,
    faults::Maker,
    recording::{Recording, is_stdout},
    sight::Sight,
};
use super::serve::{Signals, cores, listen, raise_file_limit, wait};
use crate::{
    args,
    observe::Observer,
    report::{self, Voice},
};

mod config;
mod faults;
mod recording;
mod sight;

pub(super) async fn run(args: args::Relay, voice: Voice) -> Result<ExitCode> {
    raise_file_limit();
    report::aside()?;
    // Before anything listens: who has read where may interrupt at once.
    let signals = Signals::new()?;
    let faults = Maker::of(&args, voice)?;
    let mut own = args.listen.as_ref().map(|at| own(at, &args, &faults)).transpose()?;
    let config = args.config.as_deref().map(Config::read).transpose()?;
    let on_stdio = own.as_ref().is_some_and(is_on_stdio);
    let recording = Recording::new(args.record.as_deref(), on_stdio, voice)?;
    let sight = Sight::new(&args.see, on_stdio || is_stdout(args.record.as_deref()), recording.taps(), voice)?;
    if let Some((_, plan)) = &mut own {
        plan.traffic = sight.traffic.clone();
    }
    let names = own.iter().map(|(_, plan)| plan.name.clone()).collect();
    let observer = Observer::of_relays(args.metrics.as_ref().map(|_| (&sight.traffic, names)), sight.timeline(voice));
    let scope = scope(&args, observer.clone(), voice)?;
    let mut server = Server::new(scope.clone());
    let _metrics = match &args.metrics {
        Some(address) => Some(observer.serve_metrics(&web(address), voice).await?),
        None => None,
    };
    let plans = plans(faults.clone(), sight.traffic.clone());
    let made = plans.clone();
    let proxies = Toxiproxy::new(scope.clone(), move |name, to| made(name, to, Vec::new()));
    let title = match own {
        Some(own) => open(own, args.api.as_ref().map(|_| &*proxies), &mut server, voice).await?,
        None => "the relays".to_owned(),
    };
    if let Some(config) = config {
        config.open(&proxies, plans, voice).await?;
    }
    // What they are in ends them, also where nobody can change them.
    proxies.clone().begin(&scope);
    // On no core, but here, where nothing else is done: no relay at work keeps the clients of the API waiting.
    let mut api = Server::new(Scope::new(Limits::server(), Some(observer)));
    if let Some(at) = &args.api {
        listen(&mut api, &web(at), "Toxiproxy's API", proxies, voice).await?;
    }
    faults.tell(voice);
    let ended = wait(server, signals, sight.look(&title, voice), args.grace, voice).await;
    sight.finish(voice);
    faults.finish();
    recording.finish(voice).await?;
    ended
}

/// What all relays live in.
fn scope(args: &args::Relay, observer: Arc<Observer>, voice: Voice) -> Result<Scope> {
    let mut limits = Limits::server();
    limits.max_connections = args.max_connections.map_or(limits.max_connections, |most| most as usize);
    limits.max_per_peer = args.max_per_peer.map_or(limits.max_connections, |most| most as usize);
    let gate = args.gate.made(&[], &[], args.rate)?;
    let scope = Scope::on_cores(limits, Some(observer), cores()?, None);
    voice.equip(&scope);
    Ok(gate.map_or_else(|| scope.clone(), |gate| scope.behind(gate)))
}

/// The relay of the command line: where it listens, and what it does.
fn own(at: &str, args: &args::Relay, faults: &Maker) -> Result<(Address, Plan)> {
    let (at, plan) = (listening(Address::typed(at)?)?, plan(args, faults)?);
    if plan.to.iter().any(|to| is_same(&at, to)) {
        return Err(Error::usage(format!("{} leads to itself", at.bare())));
    }
    for to in &plan.to {
        let messages = carries_messages(&at, to);
        args.fault.iter().try_for_each(|fault| fault.suit(messages))?;
    }
    Ok((at, plan))
}

/// Whether who is led to `to` comes to `at` again.
fn is_same(at: &Address, to: &Address) -> bool {
    let host = |address: &Address| match address.host.as_str() {
        "" | "localhost" | "0.0.0.0" | "::" => "127.0.0.1".to_owned(),
        host => host.to_owned(),
    };
    let datagrams = |address: &Address| address.scheme == "udp";
    at.port.is_some_and(|port| port != 0) && (at.port, host(at), datagrams(at)) == (to.port, host(to), datagrams(to))
}

/// Whether whole messages go between these two, and not a stream of bytes.
fn carries_messages(at: &Address, to: &Address) -> bool {
    let packets = |address: &Address| matches!(address.scheme.as_str(), "udp" | "unix-dgram" | "ws" | "wss");
    let framed = |address: &Address| address.options.text("frame").is_some();
    packets(at) && packets(to) || framed(at) || framed(to)
}

/// Makes the plans of all relays but that of the command line.
fn plans(
    faults: Maker,
    traffic: Arc<Traffic>,
) -> impl Fn(Arc<str>, Vec<Address>, Vec<Fault>) -> Plan + Clone + Send + Sync + 'static {
    move |name, to, list| Plan { faults: faults.make(list), traffic: traffic.clone(), ..Plan::to(&name, to) }
}

/// Opens the relay of the command line, as one of the proxies where there are some, and gives it a title.
async fn open(
    (at, plan): (Address, Plan),
    proxies: Option<&Toxiproxy>,
    server: &mut Server,
    voice: Voice,
) -> Result<String> {
    let (to, name) = (leads(&plan.to), format!("relay to {}", plan.name));
    let bound = match proxies {
        Some(proxies) => told(proxies.add(&at, plan).await?, voice),
        None => listen(server, &at.to_string(), &name, Relay::new(plan)?, voice).await?,
    };
    Ok(format!("{bound} → {to}"))
}

fn is_on_stdio((at, plan): &(Address, Plan)) -> bool {
    plan.to.iter().chain(&plan.tee).chain([at]).any(|address| address.scheme == "stdio")
}

/// The address of the API, which is spoken over HTTP where it does not say how.
fn web(address: &str) -> String {
    if address.contains("://") { address.to_owned() } else { format!("http://{address}") }
}

/// Says where a relay listens.
fn told(relay: Listening, voice: Voice) -> Address {
    let (at, name) = (relay.at.bare(), &*relay.name);
    let facts = json!({ "address": at.to_string(), "service": name });
    voice.say("listening", &format!("listening on {at} ({name})"), facts);
    for note in relay.notes {
        voice.say("note", &format!("  {note}"), json!({ "message": note }));
    }
    at
}

fn plan(args: &args::Relay, faults: &Maker) -> Result<Plan> {
    let to: Vec<_> = args.to.iter().map(|text| leading(Address::typed(text)?)).collect::<Result<_>>()?;
    // A client of the API has to write it.
    let otherwise = || if args.api.is_some() { "relay".to_owned() } else { leads(&to) };
    let name = args.name.clone().unwrap_or_else(otherwise);
    Ok(Plan {
        balance: args.balance.into(),
        check: args.check,
        tee: args.tee.as_ref().map(|text| leading(Address::typed(text)?)).transpose()?,
        faults: faults.make(args.fault.clone()),
        ..Plan::to(&name, to)
    })
}

fn leads(to: &[Address]) -> String {
    to.iter().map(|address| address.bare().to_string()).collect::<Vec<_>>().join(" ")
}

/// An address to listen on.
fn listening(address: Address) -> Result<Address> {
    transport::find(&address, End::Listen)?;
    if address.scheme == "memory" {
        return Err(Error::usage(format!("cannot listen on {address}: a simulated link is inside one process")));
    }
    Ok(address)
}

/// An address to connect to.
fn leading(address: Address) -> Result<Address> {
    transport::find(&address, End::Connect)?;
    if address.port.is_none() && matches!(address.scheme.as_str(), "tcp" | "tls" | "udp") {
        let about = format!("{} has no port to connect to", address.bare());
        return Err(Error::usage(about).hint(format!("write {}://host:port", address.scheme)));
    }
    Ok(address)
}
