//! `hullo relay tls://:8443 tcp://127.0.0.1:5432`: leads whoever comes to another address.
//!
//! Each client has a conversation of its own with a server, which is dialled when the client comes. Whatever one end says is
//! handed to the other, and the end of one side is a half-close of the other: the way back goes on until *its* end. Where
//! both ends are streams, or one is, bytes are moved, by the kernel alone if both are bare sockets; where both are packets, or
//! an address says by `frame` where messages end, whole messages are. What breaks off on one end is broken off on the
//! other, so that nobody takes the half of something for all of it.

use std::{
    future::{Future, poll_fn},
    net::IpAddr,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

use self::{join::Joint, staged::Over, targets::Targets, tee::Tee};
use super::Service;
use crate::{
    address::Address,
    error::{Error, Kind, Result},
    fault::Faults,
    io::linger::cut_off,
    link::Link,
    scope::{Bell, BoxFuture, Scope, Signal},
    traffic::{Traffic, Watched},
};

mod direct;
mod join;
mod staged;
mod targets;
mod tee;

pub use targets::Balance;

/// What a relay does.
#[derive(Clone)]
pub struct Plan {
    /// Its name, as whoever watches is told.
    pub name: Arc<str>,
    /// Where it leads to: all of them do the same.
    pub to: Vec<Address>,
    /// Which of them is taken for the next client.
    pub balance: Balance,
    /// How often each of them is tried while nobody comes, to know which are there.
    pub check: Option<Duration>,
    /// Who gets a copy of all that clients say.
    pub tee: Option<Address>,
    /// What goes wrong on purpose; nothing ever does where there is none.
    pub faults: Option<Arc<Faults>>,
    /// Where its conversations can be seen.
    pub traffic: Arc<Traffic>,
}

impl Plan {
    /// Leads to the first of these that is there.
    pub fn to(name: &str, to: Vec<Address>) -> Self {
        let (name, traffic) = (name.into(), Arc::default());
        Self { name, to, balance: Balance::default(), check: None, tee: None, faults: None, traffic }
    }
}

/// A service that leads on.
pub struct Relay {
    name: Arc<str>,
    targets: Arc<Targets>,
    tee: Option<Address>,
    faults: Option<Arc<Faults>>,
    traffic: Arc<Traffic>,
    /// How many clients have come.
    clients: AtomicU64,
    /// Whoever holds a conversation ends it when this is raised; those that come then have another one.
    cut: Mutex<Arc<Signal>>,
}

impl Relay {
    /// Makes one.
    ///
    /// # Errors
    /// It leads nowhere.
    pub fn new(plan: Plan) -> Result<Arc<Self>> {
        let Plan { name, to, balance, check, tee, faults, traffic } = plan;
        let targets = Arc::new(Targets::new(to, balance, check)?);
        Ok(Arc::new(Self { name, targets, tee, faults, traffic, clients: AtomicU64::new(0), cut: Mutex::default() }))
    }

    /// Ends all conversations that are going on, at once.
    pub fn cut(&self) {
        std::mem::take(&mut *self.current()).raise();
    }

    fn current(&self) -> MutexGuard<'_, Arc<Signal>> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn lead(self: Arc<Self>, link: Link) -> Result<()> {
        let (cut, mut bell) = (self.current().clone(), Bell::default());
        let mut talk = pin!(self.converse(link));
        poll_fn(|cx| if bell.rung(&cut, cx) { Poll::Ready(Ok(())) } else { talk.as_mut().poll(cx) }).await
    }

    async fn converse(&self, client: Link) -> Result<()> {
        let place = self.clients.fetch_add(1, Relaxed) + 1;
        if self.faults.as_ref().is_some_and(|faults| faults.refuses(place)) {
            return Ok(());
        }
        let scope = client.scope.on_behalf_of(&client.peer);
        let (server, _lease) = match self.targets.reach(&scope).await {
            Ok(reached) => reached,
            Err(error) => {
                // An end in good order could be taken for an empty answer.
                client.socket().map(cut_off);
                return Err(error);
            }
        };
        let flow = self.traffic.open(&self.name, client.peer.clone(), server.peer.clone());
        let tee = self.tee.as_ref().map(|to| Tee::new(to, &scope));
        join((client, server), self.faults.as_ref().map(|faults| (faults, place)), flow, tee).await
    }
}

/// Joins two ends of which another service knows that they belong together, as a relay does.
pub(super) async fn lead(client: Link, server: Link, flow: Watched) -> Result<()> {
    join((client, server), None, flow, None).await
}

async fn join(
    (client, server): (Link, Link),
    faults: Option<(&Arc<Faults>, u64)>,
    flow: Watched,
    tee: Option<Tee>,
) -> Result<()> {
    let chain = |way, packets| faults.map(|(faults, place)| faults.chain(place, &flow.flow().client, way, packets));
    let mut joint = Joint::new(client, server, chain, &flow, tee);
    match joint.run().await {
        Ok(Over::Ended) => flow.close(None),
        Ok(Over::Cut) => {
            joint.close().await;
            flow.close(None);
        }
        Ok(Over::Reset) => {
            joint.cut_off();
            drop(joint);
            flow.close(Some(&Error::new(Kind::Cut, "a fault has broken it off")));
        }
        Err(error) => {
            // Silence ends a conversation in good order.
            if error.kind() != Kind::Timeout {
                joint.cut_off();
            }
            drop(joint);
            flow.close(Some(&error));
            return Err(error);
        }
    }
    Ok(())
}

impl Service for Relay {
    fn serve(self: Arc<Self>, link: Link) -> BoxFuture<'static, Result<()>> {
        Box::pin(self.lead(link))
    }

    fn begin(self: Arc<Self>, scope: &Scope) {
        self.targets.clone().begin(scope);
    }

    fn notes(&self, at: &Address) -> Vec<String> {
        let is_elsewhere = at.host.parse::<IpAddr>().is_ok_and(|ip| !ip.is_loopback());
        let about = match at.scheme.as_str() {
            "http" | "https" => {
                "only the bodies of requests are led on, and not their heads: tcp:// leads HTTP as it is"
            }
            "udp" if is_elsewhere => {
                "answers of any size go to whoever seems to have asked, who may be a victim: amplify=false holds them back"
            }
            _ => return Vec::new(),
        };
        vec![about.to_owned()]
    }

    fn options(&self, scheme: &str) -> &'static [(&'static str, &'static str)] {
        match scheme {
            // Silence is the only end of datagrams. How much may be answered to whom is for the server behind it to say.
            "udp" | "unix-dgram" => &[("idle", "60s"), ("amplify", "true")],
            // And so is which subprotocols are spoken: a browser that names some leaves where none of them is.
            _ => &[("idle", "1h"), ("protocol", "*")],
        }
    }
}
