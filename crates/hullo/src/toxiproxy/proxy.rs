//! One proxy: a relay on a server of its own, which is started, stopped and changed while others run.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::StatusCode;
use serde::{Serialize, Serializer, ser::SerializeMap};
use tokio::sync::Mutex as Turn;

use super::{
    Listening,
    answer::Problem,
    json::Fields,
    place::{Place, cannot_listen, upstream},
    toxic::Toxic,
};
use crate::{
    address::Address,
    fault::Faults,
    scope::Scope,
    serve::Server,
    service::relay::{Plan, Relay},
    traffic::Total,
};

/// The most toxics of one proxy.
const TOXICS: usize = 256;

pub(super) struct Proxy {
    /// What its servers' scopes stand beside.
    scope: Scope,
    plan: Mutex<Plan>,
    faults: Arc<Faults>,
    shown: Mutex<Shown>,
    toxics: Mutex<Vec<Toxic>>,
    /// What runs. Held by who starts, stops or changes it: one at a time.
    running: Turn<Option<Running>>,
}

struct Running {
    server: Server,
    at: Address,
    notes: Vec<String>,
}

/// What a client is told of a proxy.
#[derive(Clone)]
pub(super) struct Shown {
    pub(super) listen: String,
    pub(super) upstream: String,
    pub(super) enabled: bool,
}

/// What a client wants a proxy to be.
pub(super) struct Wanted {
    pub(super) listen: String,
    pub(super) upstream: String,
    pub(super) enabled: bool,
}

impl Proxy {
    /// One that does not run yet.
    pub(super) fn new(scope: Scope, wanted: &Wanted, mut plan: Plan) -> Self {
        plan.faults.get_or_insert_with(|| Arc::new(Faults::new(0, None)));
        Self::of(scope, wanted, plan)
    }

    fn of(scope: Scope, wanted: &Wanted, plan: Plan) -> Self {
        let shown = Shown { listen: wanted.listen.clone(), upstream: wanted.upstream.clone(), enabled: false };
        let faults = plan.faults.clone().unwrap_or_else(|| Arc::new(Faults::new(0, None)));
        let toxics = faults.list().into_iter().map(Toxic::planned).collect();
        let (plan, shown, toxics) = (Mutex::new(plan), Mutex::new(shown), Mutex::new(toxics));
        Self { scope, plan, faults, shown, toxics, running: Turn::default() }
    }

    /// The same for a relay that was planned elsewhere. Where the plan has no place for faults, none ever take hold.
    pub(super) fn planned(scope: Scope, listen: &Address, plan: Plan) -> Self {
        let upstream = plan.to.iter().map(|to| to.bare().to_string()).collect::<Vec<_>>().join(",");
        // As its clients write it, where that says all.
        let is_plain = listen.scheme == "tcp" && listen.options.iter().next().is_none();
        let listen = if is_plain { listen.authority() } else { listen.to_string() };
        Self::of(scope, &Wanted { listen, upstream, enabled: true }, plan)
    }

    pub(super) fn name(&self) -> Arc<str> {
        self.plan().name.clone()
    }

    pub(super) fn shown(&self) -> Shown {
        self.shown_mut().clone()
    }

    /// Starts it, where it does not run.
    pub(super) async fn start(&self) -> Result<(), Problem> {
        let mut running = self.running.lock().await;
        self.start_in(&mut running).await
    }

    /// Where it listens, if it does.
    pub(super) async fn listening(&self) -> Option<Listening> {
        let running = self.running.lock().await;
        let Running { at, notes, .. } = running.as_ref()?;
        Some(Listening { name: self.name(), at: at.clone(), notes: notes.clone() })
    }

    /// Changes what is said, as a client that knows no more than that wants it.
    pub(super) async fn change(&self, fields: &Fields) -> Result<(), Problem> {
        let mut running = self.running.lock().await;
        let now = self.shown();
        let wanted = Wanted {
            listen: fields.text("listen")?.unwrap_or(now.listen),
            upstream: fields.text("upstream")?.unwrap_or(now.upstream),
            enabled: fields.flag("enabled")?.unwrap_or(now.enabled),
        };
        if self.differs(&wanted).await? {
            self.relocate(&wanted, &mut running).await?;
        }
        match (wanted.enabled, running.is_some()) {
            (true, false) => self.start_in(&mut running).await,
            (false, true) => {
                self.stop_in(&mut running).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether it listens and leads elsewhere than is wanted.
    pub(super) async fn differs(&self, wanted: &Wanted) -> Result<bool, Problem> {
        let place = Place::find(&wanted.listen).await?;
        let shown = self.shown();
        Ok(place.told != shown.listen || wanted.upstream != shown.upstream)
    }

    /// Ends its connections, and listens no more.
    pub(super) async fn stop(&self) {
        self.stop_in(&mut *self.running.lock().await).await;
    }

    /// Lets its connections finish, for as long as this is waited for.
    pub(super) async fn end(&self) {
        let running = self.running.lock().await.take();
        if let Some(mut running) = running {
            running.server.end(Duration::MAX).await;
        }
    }

    /// It is no more: nothing of it is counted.
    pub(super) fn forget(&self) {
        let plan = self.plan();
        plan.traffic.forget(&plan.name);
    }

    /// What has gone through it.
    pub(super) fn total(&self) -> Total {
        let plan = self.plan();
        plan.traffic.totals().get(&plan.name).copied().unwrap_or_default()
    }

    async fn relocate(&self, wanted: &Wanted, running: &mut Option<Running>) -> Result<(), Problem> {
        // Judged before anything is stopped. Of several servers it leads to the client sees one text, and changes all.
        let to = if wanted.upstream == self.shown().upstream { None } else { Some(upstream(&wanted.upstream)?) };
        self.stop_in(running).await;
        if let Some(to) = to {
            self.plan().to = vec![to];
        }
        let mut shown = self.shown_mut();
        shown.listen.clone_from(&wanted.listen);
        shown.upstream.clone_from(&wanted.upstream);
        Ok(())
    }

    async fn start_in(&self, running: &mut Option<Running>) -> Result<(), Problem> {
        if running.is_some() {
            return Ok(());
        }
        if self.scope.is_stopping() {
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping"));
        }
        let place = Place::find(&self.shown().listen).await.map_err(cannot_listen)?;
        let relay = Relay::new(self.plan().clone())?;
        let mut refused = Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "there is nowhere to listen");
        for tried in &place.tries {
            let mut server = Server::new(self.scope.beside());
            match server.listen(&lasting(tried)?, relay.clone()).await {
                Ok(notes) => {
                    let at = server.address().clone();
                    let mut shown = self.shown_mut();
                    (shown.listen, shown.enabled) = (place.bound(tried, &at), true);
                    *running = Some(Running { server, at, notes });
                    return Ok(());
                }
                Err(error) => refused = place.refused(&error),
            }
        }
        Err(refused)
    }

    async fn stop_in(&self, running: &mut Option<Running>) {
        if let Some(mut running) = running.take() {
            running.server.end(Duration::ZERO).await;
        }
        self.shown_mut().enabled = false;
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown_mut(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address with the patience of a proxy, where it says none: a connection may be silent for as long as it likes, and
/// a peer whose end cannot be told for a minute.
fn lasting(address: &Address) -> Result<Address, Problem> {
    let mut address = address.clone();
    if address.options.text("idle").is_none() {
        let datagrams = matches!(address.scheme.as_str(), "udp" | "unix-dgram");
        address.options.set("idle", if datagrams { "60s" } else { "off" })?;
    }
    Ok(address)
}

/// The toxics. What is changed is in force, on connections that live too, when this returns.
impl Proxy {
    /// Those of the requests first, as Toxiproxy lists them.
    pub(super) fn toxics(&self) -> Vec<Toxic> {
        let toxics = self.toxics.lock().unwrap_or_else(PoisonError::into_inner);
        let (up, down): (Vec<_>, Vec<_>) = toxics.iter().cloned().partition(Toxic::is_up);
        [up, down].concat()
    }

    pub(super) fn toxic(&self, name: &str) -> Result<Toxic, Problem> {
        let toxics = self.toxics.lock().unwrap_or_else(PoisonError::into_inner);
        toxics.iter().find(|toxic| toxic.name == name).cloned().ok_or_else(no_toxic)
    }

    pub(super) fn add_toxic(&self, fields: &Fields) -> Result<Toxic, Problem> {
        self.with_toxics(|toxics| {
            let toxic = Toxic::asked(fields, |name| toxics.iter().any(|toxic| toxic.name == name))?;
            if toxics.len() >= TOXICS {
                return Err(Problem::bad(format!("the proxy has {TOXICS} toxics, and no more are allowed")));
            }
            toxics.push(toxic.clone());
            Ok(toxic)
        })
    }

    pub(super) fn change_toxic(&self, name: &str, fields: &Fields) -> Result<Toxic, Problem> {
        self.with_toxics(|toxics| {
            let toxic = toxics.iter_mut().find(|toxic| toxic.name == name).ok_or_else(no_toxic)?;
            *toxic = toxic.changed(fields)?;
            Ok(toxic.clone())
        })
    }

    pub(super) fn remove_toxic(&self, name: &str) -> Result<(), Problem> {
        self.with_toxics(|toxics| {
            let at = toxics.iter().position(|toxic| toxic.name == name).ok_or_else(no_toxic)?;
            toxics.remove(at);
            Ok(())
        })
    }

    pub(super) fn clear_toxics(&self) {
        let _: Result<(), Problem> = self.with_toxics(|toxics| {
            toxics.clear();
            Ok(())
        });
    }

    /// Under one lock, so that the relay has the faults of the last change.
    fn with_toxics<T>(&self, change: impl FnOnce(&mut Vec<Toxic>) -> Result<T, Problem>) -> Result<T, Problem> {
        let mut toxics = self.toxics.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut toxics)?;
        self.faults.set(toxics.iter().filter_map(Toxic::fault).collect());
        Ok(changed)
    }
}

fn no_toxic() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "toxic not found")
}

impl Serialize for Proxy {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Shown { listen, upstream, enabled } = self.shown();
        let mut fields = to.serialize_map(Some(5))?;
        fields.serialize_entry("name", &*self.name())?;
        fields.serialize_entry("listen", &listen)?;
        fields.serialize_entry("upstream", &upstream)?;
        fields.serialize_entry("enabled", &enabled)?;
        fields.serialize_entry("toxics", &self.toxics())?;
        fields.end()
    }
}
