//! Finding an end that listens in the same network, by DNS-SD over multicast DNS (RFC 6763, RFC 6762).
//!
//! What is announced is an address and a small number, and nothing is believed of it: whoever answers must still prove
//! that it knows the code.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use mdns_sd::{IfKind, ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo};
use tokio::time::{Instant, timeout_at};

use crate::{
    address::Address,
    error::{Error, Kind, Result},
};

const SERVICE: &str = "_hullo._tcp.local.";

/// The properties of an announcement.
const NUMBER: &str = "number";
const SCHEME: &str = "scheme";

/// Transports over which an end is found; the others need more than an address.
const SCHEMES: &[&str] = &["tcp", "udp", "ws"];

/// An announcement, which ends when this is dropped.
pub struct Announced(ServiceDaemon);

impl Drop for Announced {
    fn drop(&mut self) {
        // It says good-bye to those who have heard of it, and nobody waits for that.
        let _ = self.0.shutdown();
    }
}

/// Announces an address that is listened on, where others may reach it; `number` is what they look for.
///
/// # Errors
/// There is no multicast here.
pub fn announce(at: &Address, number: Option<u8>) -> Result<Option<Announced>> {
    let ip = at.host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let (true, Some(port)) = (SCHEMES.contains(&at.scheme.as_str()), at.port) else { return Ok(None) };
    let daemon = daemon(ip)?;
    let number = number.map(|number| number.to_string()).unwrap_or_default();
    let mut random = [0; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
        .map_err(std::io::Error::from)
        .map_err(unheard)?;
    let name = format!("hullo-{:016x}", u64::from_ne_bytes(random));
    let properties = [(NUMBER, number.as_str()), (SCHEME, at.scheme.as_str())];
    let info =
        ServiceInfo::new(SERVICE, &name, &format!("{name}.local."), "", port, &properties[..]).map_err(unheard)?;
    daemon.register(info.enable_addr_auto()).map_err(unheard)?;
    Ok(Some(Announced(daemon)))
}

/// Looks for an end that has announced that number, on the networks of that address of ours: all for the unspecified one.
///
/// # Errors
/// [`Kind::Resolve`]: nobody did within that time.
pub async fn find(number: Option<u8>, on: IpAddr, within: Duration) -> Result<Address> {
    let daemon = Announced(daemon(on)?);
    let found = daemon.0.browse(SERVICE).map_err(unheard)?;
    let number = number.map(|number| number.to_string()).unwrap_or_default();
    let end = Instant::now() + within;
    loop {
        let Ok(event) = timeout_at(end, found.recv_async()).await else {
            return Err(Error::new(Kind::Resolve, "nobody who listens was found in this network")
                .hint("give the address, as in host:7400; the other end shows it"));
        };
        match event {
            Ok(ServiceEvent::ServiceResolved(service)) => {
                let wanted = service.txt_properties.get_property_val_str(NUMBER) == Some(number.as_str());
                if let (true, Some(address)) = (wanted, address(&service)) {
                    return Ok(address);
                }
            }
            Ok(_) => {}
            Err(error) => return Err(unheard(error)),
        }
    }
}

/// The address of a service: one that leads to another machine before one that does not, and IPv4 before IPv6.
fn address(service: &ResolvedService) -> Option<Address> {
    let scheme = service.txt_properties.get_property_val_str(SCHEME)?;
    let scheme = SCHEMES.iter().find(|known| **known == scheme)?;
    let addresses = service.addresses.iter().map(|ip| ip.to_ip_addr());
    let ip = addresses.min_by_key(|ip| (ip.is_loopback(), ip.is_ipv6(), *ip))?;
    Some(Address::new(scheme, &ip.to_string(), service.port))
}

fn daemon(ip: IpAddr) -> Result<ServiceDaemon> {
    let daemon = ServiceDaemon::new().map_err(unheard)?;
    if !ip.is_unspecified() {
        daemon.disable_interface(IfKind::All).map_err(unheard)?;
        daemon.enable_interface(IfKind::Addr(ip)).map_err(unheard)?;
    }
    Ok(daemon)
}

fn unheard(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Kind::Other, "cannot use multicast DNS in this network").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn who_announces_a_number_is_found_by_it() {
        let at = |port| Address::new("tcp", "127.0.0.1", port);
        let _other = announce(&at(1), Some(41)).unwrap();
        let _wanted = announce(&at(2), Some(42)).unwrap();
        let found = find(Some(42), HERE, Duration::from_secs(20)).await.unwrap();
        assert_eq!(found, at(2));
    }

    #[tokio::test]
    async fn who_needs_more_than_an_address_is_not_announced() {
        let tls = Address::new("tls", "127.0.0.1", 1);
        assert!(announce(&tls, Some(1)).unwrap().is_none());
    }
}
