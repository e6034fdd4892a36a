//! How many conversations each address has.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::peer::{Endpoint, network};

/// How many conversations each address has; of IPv6, each /64.
#[derive(Clone, Default)]
pub(crate) struct Guests(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One conversation of an address, for as long as this lives.
pub(crate) struct Guest(Option<(Guests, IpAddr)>);

impl Guests {
    /// A place more for that address, of which it may have so many. Who has none is not counted.
    pub(crate) fn admit(&self, remote: &Endpoint, most: usize) -> Option<Guest> {
        let Some(address) = remote.net().map(|address| network(address.ip())) else { return Some(Guest(None)) };
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Guest(Some((self.clone(), address))))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let Some((guests, address)) = &self.0 else { return };
        let mut counts = guests.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(address);
            }
        }
    }
}
