//! How often one peer may come, or ask, in a second.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::peer::network;

/// A bucket for each peer: it fills up in a second, and each time takes one out.
pub(crate) struct Rate {
    each_second: f64,
    peers: Mutex<HashMap<IpAddr, (f64, Instant)>>,
}

/// Peers that are remembered. Those whose bucket is full again need not be.
const PEERS: usize = 65_536;

impl Rate {
    pub(crate) fn new(each_second: u32) -> Self {
        Self { each_second: f64::from(each_second), peers: Mutex::default() }
    }

    /// Whether this peer may once more now.
    pub(crate) fn allows(&self, peer: IpAddr, now: Instant) -> bool {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= PEERS {
            peers.retain(|_, (_, since)| now.duration_since(*since) < Duration::from_secs(1));
        }
        if peers.len() >= PEERS && !peers.contains_key(&network(peer)) {
            // So many in one second are no clients.
            return false;
        }
        let (left, since) = peers.entry(network(peer)).or_insert((self.each_second, now));
        *left = (*left + now.duration_since(*since).as_secs_f64() * self.each_second).min(self.each_second);
        *since = now;
        let allowed = *left >= 1.0;
        if allowed {
            *left -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_fills_again() {
        let (rate, start) = (Rate::new(3), Instant::now());
        let at = |peer: &str, millis| rate.allows(peer.parse().unwrap(), start + Duration::from_millis(millis));
        assert_eq!([0, 0, 0, 0].map(|millis| at("10.0.0.1", millis)), [true, true, true, false]);
        assert!(at("10.0.0.2", 0) && !at("10.0.0.1", 300) && at("10.0.0.1", 640) && !at("::ffff:10.0.0.1", 650));
        assert_eq!(["1::1", "1::2", "1::3", "1::4"].map(|peer| at(peer, 0)), [true, true, true, false]);
    }
}
