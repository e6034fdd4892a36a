//! What a conversation lives in: limits, shutdown, tasks, and who watches.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fs::{File, OpenOptions},
    future::{Future, poll_fn, ready},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{runtime::Handle, time::timeout};
use tokio_util::task::TaskTracker;

use crate::{
    address::Address,
    error::{Error, Kind, Result},
    framing,
    gate::Gate,
    link::Link,
    options::Options,
    peer::Peer,
    watch::{Event, Watch},
};

mod bell;
mod conversation;
mod rates;
#[cfg(test)]
mod tests;

use conversation::Conversation;
pub(crate) use {
    bell::{Bell, Signal},
    rates::Live,
};

/// A future in a box, which is what crosses the borders between parts.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The bounds of a conversation. Every buffer and every wait has one of these.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The largest message in bytes (1 MiB).
    pub max: usize,
    /// How long a conversation may have nothing either way; none unless it is a server's.
    pub idle: Option<Duration>,
    /// The pause that ends a message without an end (200 ms).
    pub quiet: Duration,
    /// The time for connecting and for handshakes (10 s).
    pub timeout: Duration,
    /// How many conversations a server holds at once (16,384); the next ones wait to be accepted.
    pub max_connections: usize,
    /// How many of them one peer's address may hold (half of all); the next ones are closed at once.
    pub max_per_peer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max: 1 << 20,
            idle: None,
            quiet: Duration::from_millis(200),
            timeout: Duration::from_secs(10),
            max_connections: 16_384,
            max_per_peer: 8_192,
        }
    }
}

impl Limits {
    /// The limits of a server: these, where a silent conversation ends after 5 minutes.
    pub fn server() -> Self {
        Self { idle: Some(Duration::from_secs(300)), ..Self::default() }
    }
}

/// What a conversation lives in. Cheap to clone.
///
/// Stopping has two steps. After [`stop`](Scope::stop) nothing new begins, and every stream that has nothing left to
/// read reads as ended, so that services finish what they have and answer it. After [`abort`](Scope::abort) whatever
/// still runs is dropped.
#[derive(Clone)]
pub struct Scope(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    limits: Limits,
    frame: Option<&'static framing::Spec>,
    gate: Option<Gate>,
    behalf: Behalf,
    is_measured: bool,
    life: Arc<Life>,
}

/// On whose behalf connections are made: whom their PROXY header names.
#[derive(Clone, Default)]
pub(crate) enum Behalf {
    /// Our own: the header names our own end.
    #[default]
    Own,
    /// Nobody's: we only look whether somebody is there.
    Nobody,
    /// That client's.
    Client(Peer),
}

/// What all scopes of one server, or of one client, share.
struct Life {
    stop: Signal,
    abort: Signal,
    tasks: TaskTracker,
    watch: Option<Arc<dyn Watch>>,
    cores: Vec<Core>,
    state: Option<PathBuf>,
    kept: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    key_log: OnceLock<Arc<File>>,
    dialer: OnceLock<Dialer>,
    proxy_password: OnceLock<String>,
}

/// What makes links to addresses: it is handed in from where the transports are known.
pub(crate) type Dialer = fn(Address, Scope) -> BoxFuture<'static, Result<Link>>;

#[derive(Clone)]
struct Core {
    runtime: Handle,
    load: Arc<AtomicUsize>,
}

impl Default for Scope {
    fn default() -> Self {
        Self::new(Limits::default(), None)
    }
}

impl Scope {
    /// A scope of its own, in the current runtime.
    pub fn new(limits: Limits, watch: Option<Arc<dyn Watch>>) -> Self {
        Self::on_cores(limits, watch, Vec::new(), None)
    }

    /// A scope whose conversations are spread over `cores`, one current-thread runtime each; a conversation stays on
    /// the core it began on. `state` is the folder for what is kept between runs, instead of the user's own.
    pub fn on_cores(limits: Limits, watch: Option<Arc<dyn Watch>>, cores: Vec<Handle>, state: Option<PathBuf>) -> Self {
        let cores = cores.into_iter().map(|runtime| Core { runtime, load: Arc::default() }).collect();
        let life = Life {
            stop: Signal::default(),
            abort: Signal::default(),
            tasks: TaskTracker::new(),
            watch,
            cores,
            state,
            kept: Mutex::default(),
            key_log: OnceLock::new(),
            dialer: OnceLock::new(),
            proxy_password: OnceLock::new(),
        };
        let life = Arc::new(life);
        Self(Arc::new(Inner { limits, frame: None, gate: None, behalf: Behalf::Own, is_measured: false, life }))
    }

    /// A scope beside this one, for what is to be stopped alone: under the same limits, on the same cores and watched by
    /// the same, with a life of its own. It does not end with this one: whoever made it ends it.
    #[must_use]
    pub fn beside(&self) -> Self {
        let life = &self.0.life;
        let beside = Life {
            stop: Signal::default(),
            abort: Signal::default(),
            tasks: TaskTracker::new(),
            watch: life.watch.clone(),
            // With their loads: a conversation of either scope counts where the next one is led.
            cores: life.cores.clone(),
            state: life.state.clone(),
            kept: Mutex::default(),
            key_log: life.key_log.clone(),
            dialer: life.dialer.clone(),
            proxy_password: life.proxy_password.clone(),
        };
        Self(Arc::new(Inner { life: Arc::new(beside), ..Inner::clone(&self.0) }))
    }

    /// The same scope under the options of an address.
    ///
    /// # Errors
    /// A framing that does not exist.
    pub fn under(&self, options: &Options) -> Result<Self> {
        let mut limits = self.0.limits.clone();
        limits.max = options.size("max").unwrap_or(limits.max);
        limits.idle = options.time("idle").unwrap_or(limits.idle);
        limits.quiet = options.time("quiet").flatten().unwrap_or(limits.quiet);
        limits.timeout = options.time("timeout").flatten().unwrap_or(limits.timeout);
        let frame = options.text("frame").map(framing::find).transpose()?;
        Ok(Self(Arc::new(Inner { limits, frame, ..Inner::clone(&self.0) })))
    }

    /// The same scope for a server that lets in whom the gate lets in. Its files are looked at from now on, as long as the
    /// scope lasts, by a task of the current runtime.
    pub fn behind(&self, gate: Gate) -> Self {
        gate.watch_files(self);
        Self(Arc::new(Inner { gate: Some(gate), ..Inner::clone(&self.0) }))
    }

    /// Who may come in, where not everybody may.
    pub(crate) fn gate(&self) -> Option<&Gate> {
        self.0.gate.as_ref()
    }

    /// The same scope for connections that are made for that client: those to an address with `proxy=v1` or `proxy=v2`
    /// say so.
    pub fn on_behalf_of(&self, client: &Peer) -> Self {
        self.on_behalf(Behalf::Client(client.clone()))
    }

    /// The same scope for connections that are made for nobody, to see whether somebody is there.
    pub fn on_nobodys_behalf(&self) -> Self {
        self.on_behalf(Behalf::Nobody)
    }

    fn on_behalf(&self, behalf: Behalf) -> Self {
        Self(Arc::new(Inner { behalf, ..Inner::clone(&self.0) }))
    }

    /// On whose behalf connections are made.
    pub(crate) fn behalf(&self) -> &Behalf {
        &self.0.behalf
    }

    /// The client on whose behalf links are made, where there is one. When the scope stops, the client's side reads as ended,
    /// which is passed on; what the server then still says is the answer, and it ends when the server ends it.
    pub(crate) fn client(&self) -> Option<&Peer> {
        match &self.0.behalf {
            Behalf::Client(client) => Some(client),
            Behalf::Own | Behalf::Nobody => None,
        }
    }

    /// The bounds in force.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// The framing that the address asks for, if it does.
    pub fn frame(&self) -> Option<&'static framing::Spec> {
        self.0.frame
    }

    /// The folder for what is kept between runs, if the user's own is not meant.
    pub fn state(&self) -> Option<&PathBuf> {
        self.0.life.state.as_ref()
    }

    /// What a part of the library keeps for all conversations of this scope: there is one of each type.
    pub(crate) fn kept<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let mut kept = self.0.life.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let one = kept.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(T::default()));
        one.clone().downcast().unwrap_or_default()
    }

    /// Writes the secrets of all TLS connections that begin from now on to the end of that file, which Wireshark and
    /// others decrypt them with. It is made for this user's eyes alone where it is not there yet.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn log_keys(&self, file: &Path) -> Result<()> {
        let about = || format!("cannot write the keys of TLS to {}", file.display());
        let open = OpenOptions::new().append(true).create(true).mode(0o600).open(file);
        let file = open.map_err(|error| Error::io(about(), error).of(Kind::File))?;
        // The first one stays, since connections write to it.
        let _ = self.0.life.key_log.set(Arc::new(file));
        Ok(())
    }

    /// The file for the secrets of TLS, if they are to be written.
    pub(crate) fn key_log(&self) -> Option<Arc<File>> {
        self.0.life.key_log.get().cloned()
    }

    /// Keeps the password for the proxies whose addresses have a name and none: so it stands in no address.
    pub fn keep_proxy_password(&self, password: String) {
        // The first one stays, since connections may have used it.
        let _ = self.0.life.proxy_password.set(password);
    }

    /// That password, if there is one.
    pub(crate) fn proxy_password(&self) -> Option<&str> {
        self.0.life.proxy_password.get().map(String::as_str)
    }

    /// Gives a service the way to reach out.
    pub(crate) fn dial_by(&self, dialer: Dialer) {
        // All of them are the same one.
        let _ = self.0.life.dialer.set(dialer);
    }

    /// A link to that address, for a service that reaches out. It lives in this scope under the address's options.
    /// Cancel-safe: an attempt that is dropped leaves nothing behind.
    ///
    /// # Errors
    /// The address, or that nobody answers there.
    pub fn dial(&self, to: &Address) -> BoxFuture<'static, Result<Link>> {
        match self.0.life.dialer.get() {
            Some(dialer) => dialer(to.clone(), self.clone()),
            None => {
                let error = Error::usage(format!("cannot connect to {}: no server runs in this scope", to.bare()));
                Box::pin(ready(Err(error)))
            }
        }
    }

    /// Whether somebody watches, so that there is a point in counting.
    pub fn watched(&self) -> bool {
        self.0.life.watch.as_ref().is_some_and(|watch| watch.counts())
    }

    /// Tells whoever watches.
    pub fn tell(&self, event: &Event) {
        if let Some(watch) = &self.0.life.watch {
            watch.event(event);
        }
    }

    /// Spawns a part of this scope: it is waited for at the end, and dropped by [`abort`](Scope::abort).
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.life.tasks.spawn(self.bounded(task));
    }

    /// Spawns a conversation; if it fails, whoever watches is told.
    pub(crate) fn converse(&self, peer: Peer, talk: impl Future<Output = Result<()>> + Send + 'static) {
        self.spawn(self.told(peer, talk));
    }

    /// The same on the core that has the fewest. `begin` runs there, so that what it opens belongs there; `places` are
    /// the conversation's, and are given back at its end.
    pub(crate) fn converse_spread(
        &self,
        peer: Peer,
        places: impl Send + Unpin + 'static,
        begin: impl FnOnce() -> BoxFuture<'static, Result<()>> + Send + 'static,
    ) {
        let core = self.0.life.cores.iter().min_by_key(|core| core.load.load(Relaxed));
        let load = core.map(|core| Load::more(core.load.clone()));
        let talk = Conversation::new(self, peer, (places, load), begin);
        match core {
            None => drop(self.0.life.tasks.spawn(talk)),
            Some(core) => drop(core.runtime.spawn(self.0.life.tasks.track_future(talk))),
        }
    }

    fn told<F: Future<Output = Result<()>> + Send>(
        &self,
        peer: Peer,
        talk: F,
    ) -> impl Future<Output = ()> + Send + use<F> {
        let scope = self.clone();
        async move {
            if let Err(error) = talk.await {
                scope.tell(&Event::Trouble { peer: Some(&peer), error: &error });
            }
        }
    }

    fn bounded<F: Future<Output = ()> + Send>(&self, task: F) -> impl Future<Output = ()> + Send + use<F> {
        let scope = self.clone();
        async move {
            let mut task = std::pin::pin!(task);
            let mut bell = Bell::default();
            poll_fn(|cx| if bell.rung(&scope.0.life.abort, cx) { Poll::Ready(()) } else { task.as_mut().poll(cx) })
                .await;
        }
    }

    /// Asks everything to come to its end.
    pub fn stop(&self) {
        self.0.life.stop.raise();
    }

    /// Whether [`stop`](Scope::stop) was called. Cheap.
    pub fn is_stopping(&self) -> bool {
        self.0.life.stop.raised.load(Relaxed)
    }

    /// Completes when [`stop`](Scope::stop) is called. Cancel-safe.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + Sync + use<> {
        self.0.life.stop.token.clone().cancelled_owned()
    }

    /// The same for somebody who is polled often.
    #[inline]
    pub(crate) fn poll_stopped(&self, bell: &mut Bell, cx: &mut Context<'_>) -> bool {
        self.client().is_none() && bell.rung(&self.0.life.stop, cx)
    }

    /// Drops whatever still runs.
    pub fn abort(&self) {
        self.stop();
        self.0.life.abort.raise();
    }

    /// Stops, waits up to `grace` for everything to finish, then aborts the rest. Says whether all of it finished.
    pub async fn end(&self, grace: Duration) -> bool {
        self.stop();
        self.0.life.tasks.close();
        let finished = timeout(grace, self.0.life.tasks.wait()).await.is_ok();
        self.0.life.abort.raise();
        if !finished {
            // Dropping takes a moment, in which children are reaped and sockets removed; it does not wait for peers.
            let _ = timeout(Duration::from_secs(1), self.0.life.tasks.wait()).await;
        }
        finished
    }

    /// Runs `attempt` under the time for handshakes; `about` says what it is, as in `cannot connect to …`.
    ///
    /// # Errors
    /// The attempt's own, or [`Kind::Timeout`].
    pub async fn in_time<T>(&self, about: impl Fn() -> String, attempt: impl Future<Output = Result<T>>) -> Result<T> {
        let limit = self.limits().timeout;
        match timeout(limit, attempt).await {
            Ok(result) => result,
            Err(_) => Err(Error::new(Kind::Timeout, format!("{}: no answer within {limit:?}", about()))
                .hint("the address option timeout allows more, as in ?timeout=30s")),
        }
    }
}

/// One conversation more on a core, for as long as this lives.
struct Load(Arc<AtomicUsize>);

impl Load {
    fn more(load: Arc<AtomicUsize>) -> Self {
        load.fetch_add(1, Relaxed);
        Self(load)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
