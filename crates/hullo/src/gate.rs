//! Who may come: lists of addresses, and how many may come how often.
//!
//! A gate is asked when somebody comes, before a word is exchanged. Where a list is a file, it is read anew when it changes,
//! and those who are inside and may not be any more are put out.

use std::{
    collections::HashMap,
    future::Future,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError, RwLock, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::{
    list::{Lists, Written},
    rate::Rate,
};
use crate::{
    error::{Error, Kind, Result},
    peer::{Peer, network},
    scope::Scope,
    watch::Event,
};

pub(crate) mod guests;
mod list;
pub(crate) mod rate;

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Who may come. Cheap to clone.
///
/// The most specific network that an address is in decides, and of an allowed and a denied one that are the same the denied
/// one. Who is in none of them may come unless there is a list of who may. IPv4 addresses inside IPv6 are IPv4 addresses.
/// Clients without an address, as those of unix sockets, may always come.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    written: Written,
    lists: RwLock<Arc<Lists>>,
    rate: Option<(Rate, u32)>,
    inside: Mutex<HashMap<u64, (IpAddr, CancellationToken)>>,
    numbers: AtomicU64,
    complaints: Complaints,
}

impl Gate {
    /// A gate that lets `allow` in and keeps `deny` out: addresses and networks, as in `10.0.0.0/8`, or `@FILE` with one a
    /// line, where `#` begins a comment. From one address (of IPv6: from one /64) at most `rate` may come in a second,
    /// where one is said. Without any of them there is none.
    ///
    /// # Errors
    /// What is no network, or a file that cannot be read.
    pub fn new(allow: &[String], deny: &[String], rate: Option<u32>) -> Result<Option<Self>> {
        if allow.is_empty() && deny.is_empty() && rate.is_none() {
            return Ok(None);
        }
        let (written, lists) = Written::read(allow, deny)?;
        Ok(Some(Self(Arc::new(Inner {
            written,
            lists: RwLock::new(Arc::new(lists)),
            rate: rate.map(|rate| (Rate::new(rate), rate)),
            inside: Mutex::default(),
            numbers: AtomicU64::new(0),
            complaints: Complaints::default(),
        }))))
    }

    /// Whether that address is on the right side of the lists.
    pub fn allows(&self, address: IpAddr) -> bool {
        self.0.lists().allow(address)
    }

    /// Whether that peer may begin a conversation now. Where not, whoever watches is told, though not of each one.
    pub(crate) fn admits(&self, peer: &Peer, scope: &Scope) -> bool {
        let Some(address) = peer.remote().net().map(|address| address.ip().to_canonical()) else { return true };
        let refused = match &self.0.rate {
            _ if !self.allows(address) => denied(address, "may not come here"),
            Some((rate, most)) if !rate.allows(address, Instant::now()) => {
                let whose = network(address);
                let why = format!("{whose} came more than {most} times in a second, which is what rate allows");
                Error::new(Kind::Refused, why)
            }
            _ => return true,
        };
        self.0.complaints.tell(refused, peer, scope);
        false
    }

    /// Holds a conversation with that peer for as long as it may be inside.
    ///
    /// # Errors
    /// The conversation's, or that the lists have changed.
    pub(crate) async fn hold(self, peer: Peer, talk: impl Future<Output = Result<()>>) -> Result<()> {
        let Some(address) = peer.remote().net().map(|address| address.ip()) else { return talk.await };
        let place = Place::of(&self.0, address);
        // The lists may have changed since it was judged.
        if !self.allows(address) {
            return Err(denied(address, "may not be here any more"));
        }
        tokio::select! {
            biased;
            () = place.out.cancelled() => Err(denied(address, "may not be here any more")),
            done = talk => done,
        }
    }

    /// Whether who may come can change.
    pub(crate) fn changes(&self) -> bool {
        self.0.written.has_files()
    }

    /// Looks at the files for as long as the scope lasts.
    pub(crate) fn watch_files(&self, scope: &Scope) {
        if !self.changes() {
            return;
        }
        let (gate, watcher) = (self.clone(), scope.clone());
        scope.spawn(async move {
            let mut ticks = interval(LOOK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let stopped = watcher.stopped();
            tokio::pin!(stopped);
            loop {
                tokio::select! {
                    () = &mut stopped => return,
                    _ = ticks.tick() => {}
                }
                let looking = gate.clone();
                // A folder on the network may make one wait; and it fails only where the runtime is going away.
                let Ok(news) = tokio::task::spawn_blocking(move || looking.0.written.look()).await else { return };
                for trouble in &news.troubles {
                    watcher.tell(&Event::Trouble { peer: None, error: trouble });
                }
                if let Some(lists) = news.lists {
                    gate.change(lists, &watcher);
                }
            }
        });
    }

    /// Other lists hold from now on, for those too who are inside.
    fn change(&self, lists: Lists, scope: &Scope) {
        let entries = lists.len();
        *self.0.lists.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(lists);
        let lists = self.0.lists();
        let inside = self.0.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let barred: Vec<_> = inside.values().filter(|(address, _)| !lists.allow(*address)).collect();
        let note = format!("the lists of who may come were read anew: {entries} networks; {} must go", barred.len());
        for (_, out) in barred {
            out.cancel();
        }
        drop(inside);
        scope.tell(&Event::Note(&note));
    }
}

impl Inner {
    fn lists(&self) -> Arc<Lists> {
        self.lists.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn denied(address: IpAddr, why: &str) -> Error {
    Error::new(Kind::Denied, format!("{} {why}", address.to_canonical()))
        .hint("--allow and --deny, and their files, say who may")
}

/// Somebody who is inside, for as long as this lives.
struct Place {
    gate: Weak<Inner>,
    number: u64,
    out: CancellationToken,
}

impl Place {
    fn of(gate: &Arc<Inner>, address: IpAddr) -> Self {
        let (number, out) = (gate.numbers.fetch_add(1, Relaxed), CancellationToken::new());
        gate.inside.lock().unwrap_or_else(PoisonError::into_inner).insert(number, (address, out.clone()));
        Self { gate: Arc::downgrade(gate), number, out }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(gate) = self.gate.upgrade() {
            gate.inside.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
        }
    }
}

/// What there is to say about those who were sent away: once a second, however many come.
#[derive(Default)]
pub(crate) struct Complaints(Mutex<(Option<Instant>, u64)>);

impl Complaints {
    pub(crate) fn tell(&self, error: Error, peer: &Peer, scope: &Scope) {
        let unsaid = {
            let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if told.0.is_some_and(|last| last.elapsed() < LOOK) {
                told.1 += 1;
                return;
            }
            told.0 = Some(Instant::now());
            std::mem::take(&mut told.1)
        };
        let error = match unsaid {
            0 => error,
            more => error.because(format!("{more} others were sent away since that was last said")),
        };
        scope.tell(&Event::Trouble { peer: Some(peer), error: &error });
    }
}
