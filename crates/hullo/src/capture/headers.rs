//! What stands before the bytes of a packet: the link, IP, and TCP or UDP.

use std::{
    net::{IpAddr, SocketAddr},
    ops::Range,
};

use etherparse::{EtherType, IpNumber, LaxNetSlice, LaxSlicedPacket, TransportSlice};
use pcap_parser::Linktype;

use super::frames::Frame;
use crate::error::{Error, Kind, Result};

/// A packet of a conversation, or a part of one.
pub(super) enum Packet {
    Segment {
        from: SocketAddr,
        to: SocketAddr,
        head: Segment,
        bytes: Bytes,
    },
    Datagram {
        from: SocketAddr,
        to: SocketAddr,
        bytes: Bytes,
    },
    /// A part of an IP packet.
    Fragment {
        from: IpAddr,
        to: IpAddr,
    },
}

/// The bytes of a packet: where in the frame they stand, and whether all of them do.
pub(super) struct Bytes {
    pub(super) range: Range<usize>,
    pub(super) whole: bool,
}

/// The head of a segment of TCP.
#[derive(Clone, Copy)]
pub(super) struct Segment {
    pub(super) sequence: u32,
    pub(super) acknowledged: Option<u32>,
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) reset: bool,
}

impl Packet {
    /// The packet in a frame, where it is one of TCP or UDP.
    ///
    /// # Errors
    /// A kind of link that is not known: then nothing in the file can be.
    pub(super) fn of(frame: &Frame, bytes: &[u8]) -> Result<Option<Self>> {
        Ok(sliced(frame, bytes)?.and_then(|sliced| Self::read(bytes, &sliced)))
    }

    fn read(frame: &[u8], sliced: &LaxSlicedPacket<'_>) -> Option<Self> {
        let (from, to) = match sliced.net.as_ref()? {
            LaxNetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
            LaxNetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
            LaxNetSlice::Arp(_) => return None,
        };
        let (from, to): (IpAddr, IpAddr) = (from, to);
        let payload = sliced.ip_payload()?;
        if payload.fragmented {
            let ours = matches!(payload.ip_number, IpNumber::TCP | IpNumber::UDP);
            return ours.then_some(Self::Fragment { from, to });
        }
        let bytes = |part: &[u8]| Bytes { range: within(frame, part), whole: !payload.incomplete };
        match sliced.transport.as_ref()? {
            TransportSlice::Tcp(tcp) => Some(Self::Segment {
                from: SocketAddr::new(from, tcp.source_port()),
                to: SocketAddr::new(to, tcp.destination_port()),
                head: Segment {
                    sequence: tcp.sequence_number(),
                    acknowledged: tcp.ack().then(|| tcp.acknowledgment_number()),
                    syn: tcp.syn(),
                    fin: tcp.fin(),
                    reset: tcp.rst(),
                },
                bytes: bytes(tcp.payload()),
            }),
            TransportSlice::Udp(udp) => Some(Self::Datagram {
                from: SocketAddr::new(from, udp.source_port()),
                to: SocketAddr::new(to, udp.destination_port()),
                bytes: bytes(udp.payload()),
            }),
            _ => None,
        }
    }
}

/// The layers of a packet. One that makes no sense is nothing, as others of no interest are.
fn sliced<'a>(frame: &Frame, bytes: &'a [u8]) -> Result<Option<LaxSlicedPacket<'a>>> {
    /// BSD's own numbers for RAW, which some files have.
    const RAW: [Linktype; 2] = [Linktype(12), Linktype(14)];
    let typed = |kind: usize, head: usize| {
        let kind = bytes.get(kind..kind + 2)?;
        let kind = EtherType(u16::from_be_bytes([kind[0], kind[1]]));
        Some(LaxSlicedPacket::from_ether_type(kind, bytes.get(head..)?))
    };
    let ip = |head: usize| LaxSlicedPacket::from_ip(bytes.get(head..)?).ok();
    match frame.link {
        Linktype::ETHERNET => Ok(LaxSlicedPacket::from_ethernet(bytes).ok()),
        Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 => Ok(ip(0)),
        link if RAW.contains(&link) => Ok(ip(0)),
        Linktype::NULL | Linktype::LOOP => Ok(ip(4)),
        Linktype::LINUX_SLL => Ok(typed(14, 16)),
        Linktype::LINUX_SLL2 => Ok(typed(0, 20)),
        Linktype(other) => {
            let about = format!("packet {} comes from a kind of link that is not known, number {other}", frame.number);
            Err(Error::new(Kind::Protocol, about).hint("known are Ethernet, raw IP, loopback and Linux' any"))
        }
    }
}

/// Where a part of the frame stands in it.
fn within(frame: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(frame.as_ptr().addr()).min(frame.len());
    start..(start + part.len()).min(frame.len())
}
