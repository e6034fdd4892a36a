//! Who talks to a datagram socket, where somebody watches how fast.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::Source;
use crate::{
    peer::Peer,
    scope::{Live, Scope},
    watch::Event,
};

/// So many are told apart at once; of more nothing is told.
const MOST: usize = 1024;

/// Who was silent for so long has gone: datagrams have no end.
const GONE: Duration = Duration::from_secs(10);

/// How often it is looked for those, however much comes.
const LOOK: Duration = Duration::from_secs(1);

/// The clients of a socket.
pub(super) struct Clients {
    scope: Scope,
    /// Whether nobody else tells of conversations.
    pub(super) tells: bool,
    known: Mutex<Known>,
}

struct Known {
    clients: HashMap<Source, Client>,
    looked: Instant,
}

struct Client {
    live: Live,
    peer: Peer,
    since: Instant,
    heard: Instant,
    received: u64,
    sent: u64,
}

impl Clients {
    /// Those of a socket of that scope, where somebody watches.
    pub(super) fn of(scope: &Scope) -> Option<Self> {
        let known = Known { clients: HashMap::new(), looked: Instant::now() };
        scope.tells_rates().then(|| Self { scope: scope.clone(), tells: true, known: Mutex::new(known) })
    }

    /// So many bytes came from there. Whoever is new is that peer.
    pub(super) fn received(&self, from: Source, bytes: usize, peer: impl FnOnce() -> Peer) {
        let now = Instant::now();
        let mut known = self.known();
        if now - known.looked >= LOOK {
            known.looked = now;
            known.clients.retain(|_, client| now - client.heard < GONE || self.over(client));
        }
        if !known.clients.contains_key(&from) {
            let has_room = known.clients.len() < MOST;
            let Some(client) = has_room.then(|| self.meet(peer, now)).flatten() else { return };
            known.clients.insert(from, client);
        }
        let Some(client) = known.clients.get_mut(&from) else { return };
        client.heard = now;
        client.received += bytes as u64;
        client.live.set(client.received, client.sent);
    }

    fn meet(&self, peer: impl FnOnce() -> Peer, now: Instant) -> Option<Client> {
        let peer = peer();
        let live = self.scope.live(&peer)?;
        if self.tells {
            self.scope.tell(&Event::Opened { peer: &peer });
        }
        Some(Client { live, peer, since: now, heard: now, received: 0, sent: 0 })
    }

    /// So many bytes went there.
    pub(super) fn sent(&self, to: Source, bytes: usize) {
        if let Some(client) = self.known().clients.get_mut(&to) {
            client.sent += bytes as u64;
            client.live.set(client.received, client.sent);
        }
    }

    /// It is over with that one, who is not kept.
    fn over(&self, client: &Client) -> bool {
        if self.tells {
            let Client { live, peer, since, heard, received, sent } = client;
            let (lasted, number) = (heard.duration_since(*since), Some(live.number()));
            self.scope.tell(&Event::Closed { peer, received: *received, sent: *sent, lasted, number });
        }
        false
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        for client in self.known().clients.values() {
            self.over(client);
        }
    }
}
