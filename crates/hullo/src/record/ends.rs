//! The two addresses that a conversation has in its recording, and the packets between them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use etherparse::{IpHeaders, PacketBuilder, PacketBuilderStep, TcpHeader, TcpOptionElement};

use crate::{
    peer::Peer,
    traffic::{Flow, Way},
};

/// What a segment holds at most: no wire has such large ones, but a large piece is then few packets.
pub(super) const SEGMENT: usize = 32 << 10;

/// What a datagram holds at most over IPv4.
pub(super) const DATAGRAM: usize = 65_507;

/// The port of an end that has none of its own: nothing is known to live there, so that no reader guesses a protocol.
const PORT: u16 = 49_149;

/// How often the window may be doubled: then it is never full, whatever comes before it is acknowledged.
const SCALE: u8 = 14;

/// Two addresses of the same family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    client: SocketAddr,
    server: SocketAddr,
}

/// What stands in the head of a segment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Segment {
    pub(super) sequence: u32,
    pub(super) acknowledged: Option<u32>,
    pub(super) syn: bool,
    pub(super) push: bool,
    pub(super) fin: bool,
    pub(super) reset: bool,
}

impl Ends {
    /// Who came, and where to. An end without an address of the Internet gets one that nobody else has: on 127.1 the
    /// client, by the number of its conversation, and on 127.2 where it came.
    pub(super) fn of(flow: &Flow) -> Self {
        let (high, low) = (flow.number / 60_000, flow.number % 60_000);
        let host = Ipv4Addr::from_bits(u32::from_be_bytes([127, 1, 0, 1]) + (high as u32 & 0xffff));
        let made_up = SocketAddr::from((host, 1024 + low as u16));
        let client = address(flow.client.remote().net()).unwrap_or(made_up);
        let server = address(flow.client.local().net()).unwrap_or(SocketAddr::from(([127, 2, 0, 1], PORT)));
        Self { client: alike(client, server), server: alike(server, client) }
    }

    /// Appends a packet of TCP.
    pub(super) fn segment(&self, way: Way, head: Segment, bytes: &[u8], out: &mut Vec<u8>) {
        let (from, to) = self.along(way);
        let mut tcp = TcpHeader::new(from.port(), to.port(), head.sequence, u16::MAX);
        (tcp.syn, tcp.psh, tcp.fin, tcp.rst) = (head.syn, head.push, head.fin, head.reset);
        tcp.ack = head.acknowledged.is_some();
        tcp.acknowledgment_number = head.acknowledged.unwrap_or_default();
        if head.syn {
            let (largest, scale) =
                (TcpOptionElement::MaximumSegmentSize(SEGMENT as u16), TcpOptionElement::WindowScale(SCALE));
            // Two of them have room.
            let _ = tcp.set_options(&[largest, TcpOptionElement::Noop, scale]);
        }
        // It fails only where the bytes are more than a packet holds, which `SEGMENT` sees to.
        let _ = ip(from, to).tcp_header(tcp).write_to_vec(out, bytes);
    }

    /// Appends a packet of UDP.
    pub(super) fn datagram(&self, way: Way, bytes: &[u8], out: &mut Vec<u8>) {
        let (from, to) = self.along(way);
        // As above, and `DATAGRAM`.
        let _ = ip(from, to).udp(from.port(), to.port()).write_to_vec(out, bytes);
    }

    fn along(&self, way: Way) -> (SocketAddr, SocketAddr) {
        match way {
            Way::Up => (self.client, self.server),
            Way::Down => (self.server, self.client),
        }
    }
}

/// What a person needs to find the conversation: who came where, and where they were led.
pub(super) fn about(flow: &Flow) -> String {
    let at = |peer: &Peer| peer.path().unwrap_or_default().to_owned();
    let Flow { number, relay, client, server, .. } = flow;
    format!(
        "flow {number}: {client} came to {}{}, relay {relay} led it to {server}{}",
        client.local_address(),
        at(client),
        at(server)
    )
}

/// The address in the family that it is meant in: a socket for both shows those of IPv4 as such of IPv6.
fn address(address: Option<SocketAddr>) -> Option<SocketAddr> {
    address.map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()))
}

/// The first in the family of both.
fn alike(address: SocketAddr, other: SocketAddr) -> SocketAddr {
    match (address.ip(), other.ip()) {
        // A socket that listens everywhere does so in both.
        (IpAddr::V6(ip), IpAddr::V4(_)) if ip.is_unspecified() => (Ipv4Addr::UNSPECIFIED, address.port()).into(),
        (IpAddr::V4(ip), IpAddr::V6(other)) if other.is_unspecified() => (ip, address.port()).into(),
        (IpAddr::V4(ip), IpAddr::V6(_)) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        _ => address,
    }
}

fn ip(from: SocketAddr, to: SocketAddr) -> PacketBuilderStep<IpHeaders> {
    const HOPS: u8 = 64;
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), HOPS),
        (from, to) => PacketBuilder::ipv6(six(from), six(to), HOPS),
    }
}

fn six(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}
