//! What the kernel has dropped of UDP, and why, by its own counters.

use std::{
    fs,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

/// The counters of this machine, or of the namespace that we are in (RFC 4113 has some of them).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// Came, and the buffer of its socket was full.
    pub(crate) receive_buffer: u64,
    /// Came, and had a wrong checksum.
    pub(crate) checksum: u64,
    /// Did not leave, since there was no buffer for it.
    pub(crate) send_buffer: u64,
}

impl Dropped {
    /// Until now; nothing where the kernel does not say.
    pub(crate) fn so_far() -> Option<Self> {
        parse(&fs::read_to_string("/proc/net/snmp").ok()?)
    }

    /// What has been added to an earlier look.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            receive_buffer: self.receive_buffer.saturating_sub(before.receive_buffer),
            checksum: self.checksum.saturating_sub(before.checksum),
            send_buffer: self.send_buffer.saturating_sub(before.send_buffer),
        }
    }
}

/// How many came to a socket of this machine that listens there, and found its buffer full. A train counts as one.
pub(crate) fn dropped_at(address: SocketAddr) -> u64 {
    let tables = ["/proc/net/udp", "/proc/net/udp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    tables.iter().map(|table| dropped_in(table, address)).sum()
}

/// The line of names, and the one of values below it.
fn parse(snmp: &str) -> Option<Dropped> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Udp:"));
    let (names, values) = (lines.next()?.split_whitespace(), lines.next()?.split_whitespace());
    let mut dropped = Dropped::default();
    for (name, value) in names.zip(values) {
        let place = match name {
            "RcvbufErrors" => &mut dropped.receive_buffer,
            "InCsumErrors" => &mut dropped.checksum,
            "SndbufErrors" => &mut dropped.send_buffer,
            _ => continue,
        };
        *place = value.parse().ok()?;
    }
    Some(dropped)
}

fn dropped_in(table: &str, address: SocketAddr) -> u64 {
    let dropped = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (local, remote, drops) = (words.next()?, words.next()?, words.last()?);
        let (ip, port) = local.split_once(':')?;
        let listens = remote.ends_with(":0000") && u16::from_str_radix(port, 16) == Ok(address.port());
        let ip = ip_of(ip)?;
        let here = ip.is_unspecified() || ip == address.ip().to_canonical();
        (listens && here).then(|| drops.parse::<u64>().ok())?
    };
    table.lines().skip(1).filter_map(dropped).sum()
}

/// Words of four bytes, each as a number in the machine's order.
fn ip_of(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(IpAddr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(IpAddr::from(Ipv6Addr::from(bytes)).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn the_counters_are_found_by_their_names() {
        let snmp = "Tcp: RtoMin\nTcp: 200\n\
                    Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti\n\
                    Udp: 99 7 36 91 36 5 2 0\n\
                    UdpLite: InDatagrams RcvbufErrors\nUdpLite: 1 1\n";
        assert_eq!(parse(snmp), Some(Dropped { receive_buffer: 36, checksum: 2, send_buffer: 5 }));
        assert_eq!(parse("Tcp: RtoMin\nTcp: 200\n"), None);
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn the_drops_of_a_socket_are_found_by_its_address() {
        let v4 = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            1: 0100007F:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 11\n\
            2: 0200007F:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 13\n\
            3: 00000000:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 17\n\
            4: 0100007F:1F90 0100007F:0035 01 00000000:00000000 00:00000000 00000000     0        0 1 2 0 19\n\
            5: 0100007F:1F91 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 23\n\
            broken\n";
        let v6 = "  sl  local_address                         remote_address                        st\n\
            1: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 07 0:0 0:0 0 0 0 1 2 0 29\n\
            2: 0000000000000000FFFF00000100007F:1F90 00000000000000000000000000000000:0000 07 0:0 0:0 0 0 0 1 2 0 31\n";
        for (address, expected) in [("127.0.0.1:8080", (28, 31)), ("127.0.0.2:8080", (30, 0)), ("[::1]:8080", (17, 29))]
        {
            let address = address.parse().unwrap();
            assert_eq!((dropped_in(v4, address), dropped_in(v6, address)), expected, "{address}");
        }
    }

    #[test]
    fn a_full_buffer_is_seen() {
        let there = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = there.local_addr().unwrap();
        let Some(before) = Dropped::so_far() else { return };
        assert_eq!(dropped_at(address), 0);
        let here = UdpSocket::bind("127.0.0.1:0").unwrap();
        while dropped_at(address) == 0 {
            (0..1000).for_each(|_| assert_eq!(here.send_to(&[0; 1000], address).unwrap(), 1000));
        }
        assert!(Dropped::so_far().unwrap().since(&before).receive_buffer > 0);
    }
}
