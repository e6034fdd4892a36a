//! One datagram socket for many peers: batches in, batches out.
//!
//! One system call receives up to 32 datagrams (recvmmsg), or trains of them (`UDP_GRO`), and one sends as many
//! (sendmmsg) or a train (`UDP_SEGMENT`). Both fall back to the plain calls where the kernel has none of it.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd, AsRawFd},
};

use nix::{
    cmsg_space,
    errno::Errno,
    libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo},
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, UnixAddr,
        recvfrom, recvmmsg, recvmsg, sendmmsg, sendmsg, setsockopt, sockopt,
    },
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::Socket;
use tokio::io::{Interest, unix::AsyncFd};

use super::registered::registered;
use crate::{
    gate::Gate,
    peer::{Endpoint, Peer},
    scope::Scope,
};

mod clients;
mod source;

use clients::Clients;
pub(crate) use source::Source;
use source::{Family, Name};

/// The most that one receive can bring: a whole datagram, or a train of them. The rest is there so that the beginnings of
/// the slots, which is where short datagrams are, do not all compete for the same few lines of the processor's cache.
const SLOT: usize = (64 << 10) + 21 * 64;
const SLOTS: usize = 32;

/// A bound datagram socket, of UDP or of the unix kind.
pub struct Datagrams {
    socket: AsyncFd<Socket>,
    /// The scheme of its addresses.
    pub scheme: &'static str,
    /// Where it is bound.
    pub local: Endpoint,
    /// Strangers may be answered with more than they sent.
    pub amplify: bool,
    /// Who may come, where not everybody may: what others send is as if it had not come.
    gate: Option<Gate>,
    /// Who talks to it, where somebody watches.
    clients: Option<Clients>,
}

/// What one receive brought. It is used again and again.
pub(crate) struct Batch {
    space: Vec<u8>,
    slots: Vec<Slot>,
    /// How many to ask for: as many as lately came, so that a lone datagram does not pay for a batch.
    want: usize,
}

struct Slot {
    from: Source,
    len: usize,
    /// The length of each datagram of a train; the last one may be shorter.
    stride: usize,
    /// How many the kernel had dropped by then, since the socket's buffer was full.
    drops: u32,
    /// Whoever sent it may not come.
    barred: bool,
}

/// A train of datagrams from one peer; mostly of one.
#[derive(Clone, Copy)]
pub(crate) struct Train<'a> {
    from: &'a Source,
    bytes: &'a [u8],
    stride: usize,
    drops: u32,
}

impl<'a> Train<'a> {
    /// Who sent it.
    pub(crate) fn from(&self) -> &'a Source {
        self.from
    }

    /// Its bytes, in which each datagram has as many as the stride, but for the last.
    pub(crate) fn bytes(&self) -> (&'a [u8], usize) {
        (self.bytes, self.stride)
    }

    /// The datagrams one by one; an empty one is a datagram too.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let empty = self.bytes.is_empty().then_some(self.bytes);
        empty.into_iter().chain(self.bytes.chunks(self.stride.max(1)))
    }

    /// How many the kernel had dropped at the socket before it, since the buffer was full: a train counts as one.
    pub(crate) fn drops(&self) -> u32 {
        self.drops
    }

    fn single(&self) -> bool {
        self.bytes.len() <= self.stride || self.bytes.is_empty()
    }
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self { space: vec![0; SLOT * SLOTS], slots: Vec::with_capacity(SLOTS), want: 1 }
    }

    pub(crate) fn trains(&self) -> impl Iterator<Item = Train<'_>> {
        let slots = self.slots.iter().zip(self.space.chunks(SLOT)).filter(|(slot, _)| !slot.barred);
        slots.map(|(slot, space)| Train {
            from: &slot.from,
            bytes: &space[..slot.len],
            stride: slot.stride,
            drops: slot.drops,
        })
    }
}

impl Datagrams {
    /// Takes over a bound, non-blocking socket.
    pub(crate) fn new(socket: Socket, scheme: &'static str, local: Endpoint, amplify: bool) -> io::Result<Self> {
        if local.net().is_some() {
            // Where the kernel cannot join datagrams into trains they come one by one.
            let _ = setsockopt(&socket, sockopt::UdpGroSegment, &true);
            // Where the kernel does not count what it drops, nothing was.
            let _ = setsockopt(&socket, sockopt::RxqOvfl, &1);
        }
        match local.net().map(|local| local.ip()) {
            Some(IpAddr::V4(ip)) if ip.is_unspecified() => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
            Some(IpAddr::V6(ip)) if ip.is_unspecified() => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
            _ => {}
        }
        Ok(Self { socket: registered(socket)?, scheme, local, amplify, gate: None, clients: None })
    }

    /// The same socket in that scope: for those whom its gate lets in, and under the eyes of whoever watches.
    pub(crate) fn within(self, scope: &Scope) -> Self {
        let gate = scope.gate().filter(|_| self.local.net().is_some()).cloned();
        Self { gate, clients: Clients::of(scope), ..self }
    }

    /// The same socket, of whose conversations somebody else tells.
    pub(crate) fn in_links(self) -> Self {
        self.clients.iter().for_each(Clients::leave_telling);
        self
    }

    /// Waits for datagrams. Cancel-safe.
    pub(crate) async fn receive(&self, batch: &mut Batch) -> io::Result<()> {
        let receive = match self.local.net() {
            Some(local) if local.is_ipv4() => try_receive::<SockaddrIn>,
            Some(_) => try_receive::<SockaddrIn6>,
            None => try_receive_one,
        };
        loop {
            let mut ready = self.socket.readable().await?;
            // None came while it was looked: another thread may have taken it, or the kernel.
            let Ok(received) = ready.try_io(|socket| receive(socket.get_ref(), batch)) else { continue };
            let more = received?;
            if !more {
                // The kernel had no more, and wakes us for the next one: there is no need to ask it.
                ready.clear_ready();
            }
            break;
        }
        if let Some(gate) = &self.gate {
            batch
                .slots
                .iter_mut()
                .for_each(|slot| slot.barred = slot.from.net().is_some_and(|from| !gate.allows(from)));
        }
        if let Some(clients) = &self.clients {
            for train in batch.trains() {
                let from = train.from();
                let peer = || Peer::new(self.scheme, from.endpoint(), from.local(&self.local));
                clients.received(from, train.bytes.len(), peer);
            }
        }
        Ok(())
    }

    /// Sends one datagram to each; what the kernel refuses for one peer is no reason not to send to the others.
    /// Cancel-safe in that each was sent whole or not at all.
    pub(crate) async fn send(&self, mut messages: &[(&Source, &[u8])]) -> io::Result<()> {
        while !messages.is_empty() {
            let sent = self.socket.async_io(Interest::WRITABLE, |socket| try_send(socket, messages)).await?;
            messages[..sent].iter().for_each(|(to, bytes)| self.count(to, bytes.len()));
            messages = &messages[sent..];
        }
        Ok(())
    }

    /// Sends everything in the batch back to where it came from, to each peer in the order in which it came.
    pub(crate) async fn send_back(&self, batch: &Batch) -> io::Result<()> {
        let mut single = Vec::with_capacity(batch.slots.len());
        for train in batch.trains() {
            if train.single() {
                single.push((train.from(), train.bytes));
                continue;
            }
            if single.iter().any(|(from, _)| *from == train.from()) {
                self.send(&single).await?;
                single.clear();
            }
            let sent = self.socket.async_io(Interest::WRITABLE, |socket| try_send_train(socket, &train)).await;
            if sent.is_ok() {
                self.count(train.from(), train.bytes.len());
            } else {
                let each: Vec<_> = train.datagrams().map(|bytes| (train.from(), bytes)).collect();
                self.send(&each).await?;
            }
        }
        self.send(&single).await
    }

    /// Sends one datagram now, or says that it would have to wait.
    pub(crate) fn try_send_to(&self, to: &Source, bytes: &[u8]) -> io::Result<()> {
        self.socket.try_io(Interest::WRITABLE, |socket| try_send(socket, &[(to, bytes)]))?;
        self.count(to, bytes.len());
        Ok(())
    }

    /// Sends a train now, or says that it would have to wait, or that the kernel takes none.
    pub(crate) fn try_send_train_to(&self, to: &Source, bytes: &[u8], stride: usize) -> io::Result<()> {
        let train = Train { from: to, bytes, stride, drops: 0 };
        self.socket.try_io(Interest::WRITABLE, |socket| try_send_train(socket, &train))?;
        self.count(to, bytes.len());
        Ok(())
    }

    /// So many bytes have gone there.
    fn count(&self, to: &Source, bytes: usize) {
        if let Some(clients) = &self.clients {
            clients.sent(to, bytes);
        }
    }

    /// Waits until a datagram may be sent. Cancel-safe.
    pub(crate) async fn writable(&self) {
        if let Ok(mut ready) = self.socket.writable().await {
            ready.retain_ready();
        }
    }
}

/// Says whether there may be more.
fn try_receive<F: Family>(socket: &Socket, batch: &mut Batch) -> io::Result<bool> {
    batch.slots.clear();
    // The headers are made anew each time: the kernel shrinks the lengths in them, and they are not reset.
    let mut headers = MultiHeaders::<F>::preallocate(batch.want, Some(cmsg_space!(i32, u32, in6_pktinfo)));
    let mut slices: Vec<_> =
        batch.space.chunks_mut(SLOT).take(batch.want).map(|slot| [IoSliceMut::new(slot)]).collect();
    let received = recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
    for message in received {
        let mut slot = Slot {
            from: Source { name: message.address.map(Family::name), via: None },
            len: message.bytes,
            stride: message.bytes.max(1),
            drops: 0,
            barred: false,
        };
        for told in message.cmsgs().into_iter().flatten() {
            match told {
                ControlMessageOwned::UdpGroSegments(len) => {
                    slot.stride = usize::try_from(len).unwrap_or_default().max(1)
                }
                ControlMessageOwned::RxqOvfl(drops) => slot.drops = drops,
                ControlMessageOwned::Ipv4PacketInfo(info) => {
                    slot.from.via = Some(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes()).into())
                }
                ControlMessageOwned::Ipv6PacketInfo(info) => {
                    slot.from.via = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into())
                }
                _ => {}
            }
        }
        batch.slots.push(slot);
    }
    let got = batch.slots.len();
    let more = got == batch.want;
    batch.want = if more { (batch.want * 2).min(SLOTS) } else { (got * 2).clamp(1, SLOTS) };
    Ok(more)
}

/// Unix datagrams come one by one: nix's recvmmsg loses the length of a unix name, and with it the name.
fn try_receive_one(socket: &Socket, batch: &mut Batch) -> io::Result<bool> {
    batch.slots.clear();
    let (len, from) = recvfrom::<UnixAddr>(socket.as_raw_fd(), &mut batch.space[..SLOT])?;
    let from = Source { name: from.map(Family::name), via: None };
    batch.slots.push(Slot { from, len, stride: len.max(1), drops: 0, barred: false });
    Ok(true)
}

/// How many of the messages are done with: sent, or refused by the kernel for a reason of their own.
fn try_send(socket: &Socket, messages: &[(&Source, &[u8])]) -> io::Result<usize> {
    let first = messages[0].0;
    let alike = messages.iter().take(SLOTS).take_while(|(to, _)| to.via == first.via).count();
    let messages = &messages[..alike];
    let sent = from(first.via, |from| match &first.name {
        Some(Name::V4(_)) => send_all::<SockaddrIn>(socket, messages, from),
        Some(Name::V6(_)) => send_all::<SockaddrIn6>(socket, messages, from),
        Some(Name::Unix(_)) | None => send_all::<UnixAddr>(socket, messages, from),
    });
    match sent {
        Ok(sent) => Ok(sent),
        // A unix socket that is not read makes whoever sends to it wait, and with us everybody else: it goes without.
        Err(Errno::EAGAIN) if first.is_unix() && has_room(socket) => Ok(1),
        Err(Errno::EAGAIN) => Err(io::ErrorKind::WouldBlock.into()),
        // The first one failed for a reason of its own (too long, the peer is gone): go on behind it.
        Err(_) => Ok(1),
    }
}

/// Sends each of them, or as many as the kernel takes: those of a socket have addresses of one family.
fn send_all<F: Family>(
    socket: &Socket,
    messages: &[(&Source, &[u8])],
    from: &[ControlMessage<'_>],
) -> nix::Result<usize> {
    if let [(to, bytes)] = messages {
        let to = to.address::<F>();
        let slice = [IoSlice::new(bytes)];
        return sendmsg(socket.as_raw_fd(), &slice, from, MsgFlags::MSG_DONTWAIT, to.as_ref()).map(|_| 1);
    }
    let slices: Vec<_> = messages.iter().map(|(_, bytes)| [IoSlice::new(bytes)]).collect();
    let to: Vec<_> = messages.iter().map(|(to, _)| to.address::<F>()).collect();
    let told = (!from.is_empty()).then(|| cmsg_space!(in6_pktinfo));
    let mut headers = MultiHeaders::<F>::preallocate(messages.len(), told);
    sendmmsg(socket.as_raw_fd(), &mut headers, slices.iter(), &to, from, MsgFlags::MSG_DONTWAIT).map(Iterator::count)
}

/// Whether there is room in our own buffer, so that it is the other's that is full.
fn has_room(socket: &Socket) -> bool {
    let mut fds = [PollFd::new(socket, PollFlags::OUT)];
    poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

fn try_send_train(socket: &Socket, train: &Train<'_>) -> io::Result<()> {
    match &train.from.name {
        Some(Name::V4(to)) => send_train_to(socket, train, to),
        Some(Name::V6(to)) => send_train_to(socket, train, to),
        Some(Name::Unix(_)) | None => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn send_train_to(socket: &Socket, train: &Train<'_>, to: &impl SockaddrLike) -> io::Result<()> {
    let stride = u16::try_from(train.stride).map_err(|_| io::ErrorKind::InvalidInput)?;
    let slice = [IoSlice::new(train.bytes)];
    from(train.from.via, |from| {
        let told = [&[ControlMessage::UdpGsoSegments(&stride)], from].concat();
        sendmsg(socket.as_raw_fd(), &slice, &told, MsgFlags::MSG_DONTWAIT, Some(to))
    })?;
    Ok(())
}

/// Asks the kernel to join the datagrams that come into trains, for [`receive_train`], and to count what it drops.
pub(crate) fn join(socket: &impl AsFd) {
    // Where it cannot they come one by one, and nothing is known of drops.
    let _ = setsockopt(&socket, sockopt::UdpGroSegment, &true);
    let _ = setsockopt(&socket, sockopt::RxqOvfl, &1);
}

/// What came in one go on a connected socket.
#[derive(Clone, Copy)]
pub(crate) struct Came {
    /// How many bytes.
    pub(crate) len: usize,
    /// How many each of the datagrams has but the last.
    pub(crate) stride: usize,
    /// How many the kernel had dropped by then, where it says so.
    pub(crate) drops: Option<u32>,
}

/// Receives a train on a connected socket.
pub(crate) fn receive_train(socket: &impl AsRawFd, space: &mut [u8]) -> io::Result<Came> {
    let (mut slices, mut told) = ([IoSliceMut::new(space)], cmsg_space!(i32, u32));
    let received = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut told), MsgFlags::MSG_DONTWAIT)?;
    let mut came = Came { len: received.bytes, stride: received.bytes.max(1), drops: None };
    for told in received.cmsgs()? {
        match told {
            ControlMessageOwned::UdpGroSegments(len) => came.stride = usize::try_from(len).unwrap_or_default().max(1),
            ControlMessageOwned::RxqOvfl(drops) => came.drops = Some(drops),
            _ => {}
        }
    }
    Ok(came)
}

/// Sends a train on a connected socket.
pub(crate) fn send_train(socket: &impl AsRawFd, bytes: &[u8], stride: usize) -> io::Result<()> {
    let stride = u16::try_from(stride).map_err(|_| io::ErrorKind::InvalidInput)?;
    let told = [ControlMessage::UdpGsoSegments(&stride)];
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], &told, MsgFlags::MSG_DONTWAIT, None)?;
    Ok(())
}

/// Sends with the word to the kernel which of our addresses is the sender's, where it is not the socket's own.
fn from<T>(via: Option<IpAddr>, send: impl FnOnce(&[ControlMessage<'_>]) -> T) -> T {
    match via {
        None => send(&[]),
        Some(IpAddr::V4(ip)) => {
            let spec = in_addr { s_addr: u32::from_ne_bytes(ip.octets()) };
            let info = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: spec, ipi_addr: in_addr { s_addr: 0 } };
            send(&[ControlMessage::Ipv4PacketInfo(&info)])
        }
        Some(IpAddr::V6(ip)) => {
            let info = in6_pktinfo { ipi6_addr: in6_addr { s6_addr: ip.octets() }, ipi6_ifindex: 0 };
            send(&[ControlMessage::Ipv6PacketInfo(&info)])
        }
    }
}
