//! Who talks to a datagram socket, where somebody watches how fast.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};

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

/// How often it is looked for those.
const LOOK: Duration = Duration::from_secs(1);

/// The clients of a socket.
pub(super) struct Clients(Arc<Mutex<Known>>);

struct Known {
    scope: Scope,
    /// Whether nobody else tells of conversations.
    tells: bool,
    clients: HashMap<Source, Client>,
    /// Whether there is a task that looks for those who have gone. There is none where nobody talks.
    is_swept: bool,
    /// Whether it was told that there are too many.
    is_full: bool,
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
        let known =
            || Known { scope: scope.clone(), tells: true, clients: HashMap::new(), is_swept: false, is_full: false };
        scope.tells_rates().then(|| Self(Arc::new(Mutex::new(known()))))
    }

    /// Somebody else tells of conversations.
    pub(super) fn leave_telling(&self) {
        lock(&self.0).tells = false;
    }

    /// So many bytes came from there. Whoever is new is that peer.
    pub(super) fn received(&self, from: &Source, bytes: usize, peer: impl FnOnce() -> Peer) {
        let now = Instant::now();
        let mut known = lock(&self.0);
        if !known.clients.contains_key(from) {
            let Some(client) = known.meet(peer(), now) else { return };
            known.clients.insert(from.clone(), client);
            if !std::mem::replace(&mut known.is_swept, true) {
                known.scope.spawn(sweep(self.0.clone(), known.scope.clone()));
            }
        }
        let Some(client) = known.clients.get_mut(from) else { return };
        client.heard = now;
        client.received += bytes as u64;
        client.live.set(client.received, client.sent);
    }

    /// So many bytes went there.
    pub(super) fn sent(&self, to: &Source, bytes: usize) {
        if let Some(client) = lock(&self.0).clients.get_mut(to) {
            client.sent += bytes as u64;
            client.live.set(client.received, client.sent);
        }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        lock(&self.0).forget(|_| true);
    }
}

impl Known {
    fn meet(&mut self, peer: Peer, now: Instant) -> Option<Client> {
        if self.clients.len() >= MOST {
            if !std::mem::replace(&mut self.is_full, true) {
                let at = peer.local_address();
                let note =
                    format!("more than {MOST} clients talk to {at} at once: how fast the others are is not told");
                self.scope.tell(&Event::Note(&note));
            }
            return None;
        }
        let live = self.scope.live(&peer)?;
        if self.tells {
            self.scope.tell(&Event::Opened { peer: &peer });
        }
        Some(Client { live, peer, since: now, heard: now, received: 0, sent: 0 })
    }

    /// It is over with those.
    fn forget(&mut self, has_gone: impl Fn(&Client) -> bool) {
        for (_, client) in self.clients.extract_if(|_, client| has_gone(client)) {
            if self.tells {
                let Client { live, peer, since, heard, received, sent } = client;
                let (lasted, number) = (heard.duration_since(since), Some(live.number()));
                self.scope.tell(&Event::Closed { peer: &peer, received, sent, lasted, number });
            }
        }
    }
}

/// Looks for those who have gone, until nobody is left or the scope stops: what is left then goes with the socket.
async fn sweep(known: Arc<Mutex<Known>>, scope: Scope) {
    loop {
        tokio::select! {
            () = scope.stopped() => return,
            () = sleep(LOOK) => {}
        }
        let (mut known, now) = (lock(&known), Instant::now());
        known.forget(|client| now - client.heard >= GONE);
        known.is_swept = !known.clients.is_empty();
        if !known.is_swept {
            return;
        }
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use nix::sys::socket::SockaddrIn;
    use tokio::{runtime::Handle, sync::mpsc};

    use super::{super::source::Name, *};
    use crate::{peer::Endpoint, scope::Limits};

    fn clients() -> (Clients, mpsc::UnboundedReceiver<String>) {
        let (tell, told) = mpsc::unbounded_channel();
        let watch = move |event: &Event<'_>| {
            let line = match event {
                Event::Opened { peer } => format!("opened {peer}"),
                Event::Closed { peer, received, sent, lasted, .. } => {
                    format!("closed {peer} {received} {sent} {}", lasted.as_secs())
                }
                Event::Note(note) => (*note).to_owned(),
                _ => return,
            };
            let _ = tell.send(line);
        };
        (Clients::of(&Scope::new(Limits::server(), Some(Arc::new(watch))).measured()).unwrap(), told)
    }

    fn come(clients: &Clients, port: u16, bytes: usize) -> Source {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let from = Source { name: Some(Name::V4(SockaddrIn::new(127, 0, 0, 1, port))), via: None };
        clients.received(&from, bytes, || Peer::new("udp", Endpoint::Net(at(port)), Endpoint::Net(at(9009))));
        from
    }

    fn all(told: &mut mpsc::UnboundedReceiver<String>) -> Vec<String> {
        std::iter::from_fn(|| told.try_recv().ok()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_silent_has_gone_though_nobody_else_comes() {
        let (clients, mut told) = clients();
        for round in 0..2 {
            let quiet = come(&clients, 1, 100);
            clients.sent(&quiet, 7);
            for _ in 0..2 {
                come(&clients, 2, 50);
                sleep(Duration::from_secs(8)).await;
            }
            let opened = ["opened udp://127.0.0.1:1", "opened udp://127.0.0.1:2"];
            assert_eq!(all(&mut told)[..], [&opened[..], &["closed udp://127.0.0.1:1 100 7 0"]].concat(), "{round}");
            sleep(Duration::from_secs(4)).await;
            assert_eq!(all(&mut told), ["closed udp://127.0.0.1:2 100 0 8"], "{round}");
            assert_eq!(Handle::current().metrics().num_alive_tasks(), 0, "nothing wakes for ever");
        }
        come(&clients, 3, 1);
        drop(clients);
        assert_eq!(all(&mut told), ["opened udp://127.0.0.1:3", "closed udp://127.0.0.1:3 1 0 0"]);
    }

    #[tokio::test(start_paused = true)]
    async fn that_there_are_too_many_is_told_once() {
        let (clients, mut told) = clients();
        for port in 1..=MOST as u16 + 5 {
            come(&clients, port, 1);
        }
        let told = all(&mut told);
        assert_eq!(told.len(), MOST + 1);
        assert!(told[MOST].starts_with("more than 1024 clients talk to udp://127.0.0.1:9009"), "{}", told[MOST]);
    }
}
