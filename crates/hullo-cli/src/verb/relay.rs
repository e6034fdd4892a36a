//! `hullo relay :9000 db:5432`: joins any address to any address, until Ctrl-C.

use std::process::ExitCode;

use hullo::{
    Address, Error, Limits, Result, Scope, Server,
    options::End,
    service::relay::{Plan, Relay},
    transport,
};

use self::sight::Sight;
use super::serve::{Signals, cores, listen, raise_file_limit, wait};
use crate::{args, observe::Observer, report::Voice};

mod faults;
mod sight;

/// How long a conversation may have nothing either way, if its address does not say: datagrams have no other end.
const IDLE: &str = "1h";
const IDLE_DATAGRAMS: &str = "60s";

pub(super) async fn run(args: args::Relay, voice: Voice) -> Result<ExitCode> {
    let mut limits = Limits::server();
    if let Some(most) = args.max_connections {
        limits.max_connections = most as usize;
    }
    limits.max_per_peer = args.max_per_peer.map_or(limits.max_connections, |most| most as usize);
    raise_file_limit();
    // Before anything listens: who has read where may interrupt at once.
    let signals = Signals::new()?;
    let (at, mut plan) = (listening(&args.listen)?, plan(&args)?);
    let trouble = faults::of(&args, voice)?;
    plan.faults = trouble.faults.clone();
    let on_stdio = plan.to.iter().chain(&plan.tee).chain([&at]).any(|address| address.scheme == "stdio");
    let sight = Sight::new(&args.see, on_stdio, voice)?;
    plan.traffic = sight.traffic.clone();
    let metrics = args.metrics.as_ref().map(|_| (&sight.traffic, vec![plan.name.clone()]));
    let observer = Observer::of_relays(metrics, sight.timeline(voice));
    let gate = args.gate.made(&[], &[], args.rate)?;
    let scope = Scope::on_cores(limits, Some(observer.clone()), cores()?, None);
    voice.equip(&scope);
    let mut server = Server::new(gate.map_or_else(|| scope.clone(), |gate| scope.behind(gate)));
    let _metrics = match &args.metrics {
        Some(address) => Some(observer.serve_metrics(address, voice).await?),
        None => None,
    };
    let (to, name) = (plan.name.clone(), format!("relay to {}", plan.name));
    let bound = listen(&mut server, &at.to_string(), &name, Relay::new(plan)?, voice).await?;
    trouble.tell(voice);
    let ended = wait(server, signals, sight.look(&format!("{bound} → {to}"), voice), args.grace, voice).await;
    sight.finish(voice);
    trouble.finish();
    ended
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
