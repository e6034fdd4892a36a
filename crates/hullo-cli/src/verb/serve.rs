//! `hullo serve echo tcp://:7007 ws://:7107`: services on addresses, until Ctrl-C.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, stderr},
    num::NonZeroU32,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    thread,
    time::Duration,
};

use hullo::{
    Address, Error, Kind, Limits, Result, Scope, Server, Service,
    options::{self, End},
    service::{self, Needs, Setting, Settings},
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
use crate::{
    args::Serve,
    observe::Observer,
    report::{self, Voice},
    view::paint,
};

mod accounts;
mod reach;

pub(super) async fn run(args: Serve, voice: Voice) -> Result<ExitCode> {
    let mut config = match (&args.config, &args.service) {
        (Some(file), _) => Config::read(file)?,
        (None, Some(service)) => Config::of(service, &args)?,
        (None, None) if args.has_settings() => {
            return Err(Error::usage("there is a setting, but no service that it is for")
                .hint("hullo serve SERVICE ADDRESS..."));
        }
        (None, None) => Config::default(),
    };
    config.read_accounts(voice)?;
    let mut limits = Limits::server();
    if let Some(most) = args.max_connections.or(config.max_connections.map(NonZeroU32::get)) {
        (limits.max_connections, limits.max_per_peer) = (most as usize, (most as usize).div_ceil(2));
    }
    limits.max_per_peer = args
        .max_per_peer
        .or(config.max_per_peer.map(NonZeroU32::get))
        .map_or(limits.max_per_peer, |most| most as usize);
    raise_file_limit();
    report::aside()?;
    // Before anything listens: who has read where may interrupt at once.
    let signals = Signals::new()?;
    config.check(&args)?;
    let observer = Observer::of(&args, voice)?;
    let gate = args.gate.made(&config.allow, &config.deny, None)?;
    let scope = Scope::on_cores(limits, Some(observer.clone()), cores()?, None);
    voice.equip(&scope);
    let scope = gate.map_or_else(|| scope.clone(), |gate| scope.behind(gate));
    let mut server = Server::new(scope);
    let _metrics = match &args.metrics {
        Some(address) => Some(observer.serve_metrics(address, voice).await?),
        None => None,
    };
    if config.serve.is_empty() {
        playground::open(&mut server, voice).await?;
    }
    let mut codes = !args.no_qr;
    for one in &config.serve {
        one.open(&mut server, voice, &mut codes).await?;
    }
    let ended = wait(server, signals, std::future::pending(), args.grace, voice).await;
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
    allow: Vec<String>,
    #[serde(default)]
    deny: Vec<String>,
    #[serde(default)]
    serve: Vec<One>,
    /// Whether it was read from a file, and stands on no command line.
    #[serde(skip)]
    is_file: bool,
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
    dir: Option<PathBuf>,
    #[serde(default)]
    hidden: bool,
    index: Option<String>,
    #[serde(default)]
    upload: bool,
    #[serde(default)]
    overwrite: bool,
    max_upload: Option<String>,
    #[serde(default)]
    auth: Vec<String>,
    #[serde(default)]
    auth_upload: Vec<String>,
    /// 0 is off.
    flood: Option<u32>,
    keep: Option<u64>,
    keep_for: Option<String>,
    bus: Option<String>,
    #[serde(default)]
    operator: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    command: Vec<String>,
}

impl Config {
    fn read(file: &Path) -> Result<Self> {
        let about = || format!("cannot read the configuration {}", file.display());
        let text = std::fs::read_to_string(file).map_err(|error| Error::io(about(), error).of(Kind::File))?;
        let mut config: Self = toml::from_str(&text).map_err(|error| {
            let hint = "a service is [[serve]] with service = \"echo\" and addresses = [\"tcp://:7007\"]";
            Error::usage(about()).because(error).hint(hint)
        })?;
        if config.serve.is_empty() {
            return Err(Error::usage(about()).because("there is no [[serve]] in it"));
        }
        config.is_file = true;
        Ok(config)
    }

    fn of(service: &str, args: &Serve) -> Result<Self> {
        let command = args.command.iter().map(|word| word.clone().into_string());
        let command =
            command.collect::<Result<Vec<_>, _>>().map_err(|word| Error::usage(format!("{word:?} is not UTF-8")))?;
        let (dir, addresses) = folder_first(service, &args.addresses);
        let one = One {
            service: service.to_owned(),
            addresses,
            dir,
            hidden: args.hidden,
            index: args.index.clone(),
            upload: args.upload,
            overwrite: args.overwrite,
            max_upload: args.max_upload.map(|bytes| bytes.to_string()),
            auth: args.auth.clone(),
            auth_upload: args.auth_upload.clone(),
            flood: args.flood,
            keep: args.keep,
            keep_for: args.keep_for.map(|time| humantime::format_duration(time).to_string()),
            bus: args.bus.clone(),
            operator: args.operator.clone(),
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
    /// Puts the accounts where their files are named, once: what names a file may be a pipe. And what is secret where it
    /// stands in the environment.
    fn read_accounts(&mut self, voice: Voice) -> Result<()> {
        for one in &mut self.serve {
            let named = [&one.auth[..], &one.auth_upload].concat();
            if let Some(warning) = accounts::warning(&named).filter(|_| !self.is_file) {
                voice.say("note", &format!("note: {warning}"), json!({ "message": warning }));
            }
            (one.auth, one.auth_upload) = (accounts::read(&one.auth)?, accounts::read(&one.auth_upload)?);
            if service::find(&one.service).is_ok_and(|spec| spec.takes.contains(&Setting::Auth)) {
                one.auth.extend(accounts::of_environment()?);
            }
            if one.bus.is_none() && service::find(&one.service).is_ok_and(|spec| spec.takes.contains(&Setting::Bus)) {
                one.bus = std::env::var("HULLO_BUS").ok();
            }
        }
        Ok(())
    }
}

/// The folder before the addresses, where the service shows one and the first word is no address.
fn folder_first(service: &str, words: &[String]) -> (Option<PathBuf>, Vec<String>) {
    let shows = service::find(service).is_ok_and(|spec| spec.takes.contains(&Setting::Dir));
    let is_folder = |word: &String| !word.contains("://") && !word.starts_with(':');
    match words.split_first().filter(|(first, _)| shows && is_folder(first)) {
        Some((folder, addresses)) => (Some(folder.into()), addresses.to_vec()),
        None => (None, words.to_vec()),
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
            return Err(error.hint(match spec.needs {
                Needs::Http => format!("hullo serve {} http://:8000 (or https://)", spec.name),
                Needs::Bytes => format!("hullo serve {} :1080 (or tcp://, tls://, unix:, ws://)", spec.name),
                Needs::Nothing => {
                    format!("hullo serve {} :7007 (or tcp://, udp://, ws://, http://, tls://, unix:)", spec.name)
                }
            }));
        }
        self.settings()?.suit(spec)?;
        for address in &self.addresses {
            let address: Address = address.parse()?;
            transport::find(&address, End::Listen)?;
            hullo::suits(spec.needs, &address)?;
            if address.scheme == "memory" {
                let about = format!(
                    "cannot serve on {address}: a simulated link is inside one process, and nobody else is in this one"
                );
                return Err(Error::usage(about));
            }
        }
        Ok(())
    }

    fn settings(&self) -> Result<Settings> {
        let largest = |text: &String| {
            let size = options::size(text).filter(|size| *size > 0);
            size.map(|size| size as u64)
                .ok_or_else(|| Error::usage(format!("max-upload is a size like 500M, and not '{text}'")))
        };
        let long = |text: &String| {
            let time = options::time(text).flatten().filter(|time| !time.is_zero());
            time.ok_or_else(|| Error::usage(format!("keep-for is a time like 30d, and not '{text}'")))
        };
        let command = self.command.iter().map(Into::into).collect();
        let env = self.env.clone().into_iter().collect();
        Ok(Settings {
            env,
            text: self.text.clone(),
            command,
            path: std::env::var_os("PATH"),
            database: self.db.clone(),
            // As the programs of PostgreSQL find it. It stands on no command line, which everybody can read.
            password: std::env::var("PGPASSWORD").ok(),
            rate: self.rate.map(NonZeroU32::get),
            dir: self.dir.clone(),
            hidden: self.hidden,
            index: self.index.clone(),
            upload: self.upload,
            overwrite: self.overwrite,
            max_upload: self.max_upload.as_ref().map(largest).transpose()?,
            accounts: self.auth.clone(),
            writers: self.auth_upload.clone(),
            flood: self.flood,
            keep: self.keep,
            keep_for: self.keep_for.as_ref().map(long).transpose()?,
            bus: self.bus.clone(),
            operators: self.operator.clone(),
        })
    }

    /// Listens. A code of the first address that others reach is shown while there are `codes`.
    async fn open(&self, server: &mut Server, voice: Voice, codes: &mut bool) -> Result<()> {
        let spec = service::find(&self.service)?;
        let service = (spec.make)(&self.settings()?)?;
        for address in &self.addresses {
            let bound = listen(server, address, spec.name, service.clone(), voice).await?;
            // Of a folder, people want to know how to get to it.
            if spec.takes.contains(&Setting::Dir) {
                self.tell_the_way(&bound, voice, codes);
            }
        }
        Ok(())
    }

    fn tell_the_way(&self, bound: &Address, voice: Voice, codes: &mut bool) {
        let reached = reach::from_elsewhere(bound);
        for address in reached.iter().filter(|address| *address != bound) {
            voice.say("reached", &format!("  reached at {address}"), json!({ "address": address.to_string() }));
        }
        let has_accounts = !self.auth.is_empty() || !self.auth_upload.is_empty();
        if has_accounts && bound.scheme == "http" && !reached.is_empty() {
            let note = "passwords can be read on the way to http://; https:// encrypts them";
            voice.say("note", &format!("  {note}"), json!({ "message": note }));
        }
        let wanted = *codes && !voice.json && stderr().is_terminal();
        if let Some(address) = reached.first().filter(|_| wanted)
            && let Some(code) = reach::code(&address.to_string(), paint::on_stderr().colours())
        {
            voice.say("code", &format!("\n{code}\n"), json!({}));
            *codes = false;
        }
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
    // Whoever takes addresses from elsewhere has looked at them before.
    let address = Address::typed(address)?;
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

/// Serves until a signal, until there is nothing left to serve, or until that; then lets what is in flight finish.
pub(super) async fn wait(
    mut server: Server,
    mut signals: Signals,
    until: impl Future<Output = Result<()>>,
    grace: Duration,
    voice: Voice,
) -> Result<ExitCode> {
    let over = tokio::select! {
        () = signals.any() => Ok(()),
        // A server that listens nowhere only keeps what was begun in its scope.
        ended = server.ended(), if !server.addresses().is_empty() => Ok(ended?),
        over = until => over,
    };
    let finished = tokio::select! {
        finished = server.end(grace) => finished,
        // Who asks twice does not want to wait; the programs of exec go all the same.
        _ = signals.interrupt.recv() => server.end(Duration::ZERO).await,
    };
    if !finished {
        voice.say("cut", "some conversations were cut off", json!({}));
    }
    over.map(|()| ExitCode::SUCCESS)
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
