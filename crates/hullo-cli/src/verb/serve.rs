//! `hullo serve echo tcp://:7007 ws://:7107`: services on addresses, until Ctrl-C.

use std::{collections::BTreeMap, num::NonZeroU32, path::Path, process::ExitCode, sync::Arc, thread, time::Duration};

use hullo::{
    Address, Error, Kind, Limits, Result, Scope, Server, Service,
    options::End,
    service::{self, Settings},
    transport,
};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    runtime::Handle,
    signal::unix::{Signal, SignalKind, signal},
};

use super::playground;
use crate::{args::Serve, observe::Observer, report::Voice};

pub(super) async fn run(args: Serve, voice: Voice) -> Result<ExitCode> {
    let config = match (&args.config, &args.service) {
        (Some(file), _) => Config::read(file)?,
        (None, Some(service)) => Config::of(service, &args)?,
        (None, None) if args.has_settings() => {
            return Err(Error::usage("there is a setting, but no service that it is for")
                .hint("hullo serve SERVICE ADDRESS..."));
        }
        (None, None) => Config::default(),
    };
    let mut limits = Limits::server();
    if let Some(most) = args.max_connections.or(config.max_connections.map(NonZeroU32::get)) {
        (limits.max_connections, limits.max_per_peer) = (most as usize, (most as usize).div_ceil(2));
    }
    limits.max_per_peer = args
        .max_per_peer
        .or(config.max_per_peer.map(NonZeroU32::get))
        .map_or(limits.max_per_peer, |most| most as usize);
    raise_file_limit();
    // Before anything listens: who has read where may interrupt at once.
    let signals = Signals::new()?;
    config.check(&args)?;
    let observer = Observer::of(&args, voice)?;
    let scope = Scope::on_cores(limits, Some(observer.clone()), cores()?, None);
    voice.log_keys(&scope);
    let mut server = Server::new(scope);
    let _metrics = match &args.metrics {
        Some(address) => Some(observer.serve_metrics(address, voice).await?),
        None => None,
    };
    if config.serve.is_empty() {
        playground::open(&mut server, voice).await?;
    }
    for one in &config.serve {
        one.open(&mut server, voice).await?;
    }
    let ended = wait(server, signals, args.grace, voice).await;
    observer.finish();
    ended
}

/// Several services, as `--config` has them.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Config {
    max_connections: Option<NonZeroU32>,
    max_per_peer: Option<NonZeroU32>,
    #[serde(default)]
    serve: Vec<One>,
}

/// One service on its addresses.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct One {
    service: String,
    addresses: Vec<String>,
    text: Option<String>,
    db: Option<String>,
    rate: Option<NonZeroU32>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    command: Vec<String>,
}

impl Config {
    fn read(file: &Path) -> Result<Self> {
        let about = || format!("cannot read the configuration {}", file.display());
        let text = std::fs::read_to_string(file).map_err(|error| Error::io(about(), error).of(Kind::File))?;
        let config: Self = toml::from_str(&text).map_err(|error| {
            let hint = "a service is [[serve]] with service = \"echo\" and addresses = [\"tcp://:7007\"]";
            Error::usage(about()).because(error).hint(hint)
        })?;
        if config.serve.is_empty() {
            return Err(Error::usage(about()).because("there is no [[serve]] in it"));
        }
        Ok(config)
    }

    fn of(service: &str, args: &Serve) -> Result<Self> {
        let command = args.command.iter().map(|word| word.clone().into_string());
        let command =
            command.collect::<Result<Vec<_>, _>>().map_err(|word| Error::usage(format!("{word:?} is not UTF-8")))?;
        let one = One {
            service: service.to_owned(),
            addresses: args.addresses.clone(),
            text: args.text.clone(),
            env: args.env.iter().cloned().collect(),
            db: args.db.clone(),
            rate: args.rate.and_then(NonZeroU32::new),
            command,
        };
        Ok(Self { serve: vec![one], ..Self::default() })
    }
}

impl Config {
    /// Looks at all of it before any of it listens.
    fn check(&self, args: &Serve) -> Result<()> {
        self.serve.iter().try_for_each(One::check)?;
        let addresses = || self.serve.iter().flat_map(|one| &one.addresses);
        if addresses().filter(|text| matches!(text.as_str(), "-" | "stdio:")).count() > 1 {
            return Err(Error::usage("cannot serve on stdio: twice: there is only one stdin"));
        }
        let is_http = |text: &String| text.starts_with("http") || text.starts_with("ws");
        if args.access_log.is_some() && !self.serve.is_empty() && !addresses().any(is_http) {
            return Err(Error::usage("there is an access log, but no address of http, https, ws or wss"));
        }
        Ok(())
    }
}

impl One {
    /// Refuses what cannot be meant, and the cells that cannot make sense.
    fn check(&self) -> Result<()> {
        if self.service.contains([':', '/']) {
            let error =
                Error::usage(format!("'{}' is an address, and stands where the service is named", self.service));
            return Err(error.hint(format!("hullo serve echo {}", self.service)));
        }
        let spec = service::find(&self.service)?;
        if self.addresses.is_empty() {
            let error = Error::usage(format!("{} has no address to listen on", spec.name));
            return Err(error.hint(match spec.web {
                true => format!("hullo serve {} http://:8000 (or https://)", spec.name),
                false => format!("hullo serve {} :7007 (or tcp://, udp://, ws://, http://, tls://, unix:)", spec.name),
            }));
        }
        self.settings().suit(spec)?;
        for address in &self.addresses {
            let address: Address = address.parse()?;
            transport::find(&address, End::Listen)?;
            hullo::suits(spec.web, &address)?;
            if address.scheme == "memory" {
                let about = format!(
                    "cannot serve on {address}: a simulated link is inside one process, and nobody else is in this one"
                );
                return Err(Error::usage(about));
            }
        }
        Ok(())
    }

    fn settings(&self) -> Settings {
        let command = self.command.iter().map(Into::into).collect();
        let env = self.env.clone().into_iter().collect();
        Settings {
            env,
            text: self.text.clone(),
            command,
            path: std::env::var_os("PATH"),
            database: self.db.clone(),
            // As the programs of PostgreSQL find it. It stands on no command line, which everybody can read.
            password: std::env::var("PGPASSWORD").ok(),
            rate: self.rate.map(NonZeroU32::get),
        }
    }

    async fn open(&self, server: &mut Server, voice: Voice) -> Result<()> {
        let spec = service::find(&self.service)?;
        let service = (spec.make)(&self.settings())?;
        for address in &self.addresses {
            listen(server, address, spec.name, service.clone(), voice).await?;
        }
        Ok(())
    }
}

/// Listens on one address more, and says so.
pub(crate) async fn listen(
    server: &mut Server,
    address: &str,
    name: &str,
    service: Arc<dyn Service>,
    voice: Voice,
) -> Result<Address> {
    let (bound, _) = open(server, address, name, service, voice).await?;
    Ok(bound)
}

/// The same; it returns the notes too.
pub(super) async fn open(
    server: &mut Server,
    address: &str,
    name: &str,
    service: Arc<dyn Service>,
    voice: Voice,
) -> Result<(Address, Vec<String>)> {
    let address: Address = address.parse()?;
    let notes = server.listen(&address, service).await?;
    let bound = server.addresses().last().cloned().unwrap_or(address).bare();
    voice.say(
        "listening",
        &format!("listening on {bound} ({name})"),
        json!({ "address": bound.to_string(), "service": name }),
    );
    for note in &notes {
        voice.say("note", &format!("  {note}"), json!({ "message": note }));
    }
    Ok((bound, notes))
}

/// What asks a server to end.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(super) fn new() -> Result<Self> {
        let listen = |kind| signal(kind).map_err(|error| Error::io("cannot wait for signals", error));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }
}

impl Signals {
    /// Waits for any of them. Cancel-safe.
    pub(super) async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Serves until a signal, or until there is nothing left to serve; then lets what is in flight finish.
async fn wait(mut server: Server, mut signals: Signals, grace: Duration, voice: Voice) -> Result<ExitCode> {
    tokio::select! {
        () = signals.any() => {}
        ended = server.ended() => ended?,
    }
    let finished = tokio::select! {
        finished = server.end(grace) => finished,
        // Who asks twice does not want to wait; the programs of exec go all the same.
        _ = signals.interrupt.recv() => server.end(Duration::ZERO).await,
    };
    if !finished {
        voice.say("cut", "some conversations were cut off", json!({}));
    }
    Ok(ExitCode::SUCCESS)
}

/// One current-thread runtime for each core: a connection stays where it began, and no work is stolen.
pub(super) fn cores() -> Result<Vec<Handle>> {
    let count = thread::available_parallelism().map_or(1, usize::from);
    if count == 1 {
        return Ok(Vec::new());
    }
    let core = |number| {
        let runtime = crate::runtime()?;
        let handle = runtime.handle().clone();
        let run = move || runtime.block_on(std::future::pending::<()>());
        thread::Builder::new().name(format!("core {number}")).spawn(run)?;
        Ok(handle)
    };
    let cores: std::io::Result<Vec<_>> = (0..count).map(core).collect();
    cores.map_err(|error| Error::io("cannot start a thread for each core", error))
}

/// As many open files as the system lets us have: each connection is one.
pub(super) fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised the limit stays, and the accept loop waits when it is reached.
    let _ = setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit });
}
