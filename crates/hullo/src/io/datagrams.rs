//! One datagram socket for many peers: batches in, batches out.
//!
//! One system call receives up to 32 datagrams (recvmmsg), or trains of them (`UDP_GRO`), and one sends as many
//! (sendmmsg) or a train (`UDP_SEGMENT`). Both fall back to the plain calls where the kernel has none of it.

use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::AsRawFd,
    sync::Arc,
};

use nix::{
    cmsg_space,
    errno::Errno,
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvfrom, recvmmsg, sendmmsg,
        sendmsg, setsockopt, sockopt,
    },
};
use socket2::Socket;
use tokio::io::{Interest, unix::AsyncFd};

use super::registered::registered;
use crate::peer::Endpoint;

/// The most that one receive can bring: a whole datagram, or a train of them.
const SLOT: usize = 64 << 10;
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
}

/// A train of datagrams from one peer; mostly of one.
#[derive(Clone, Copy)]
pub(crate) struct Train<'a> {
    from: Source,
    bytes: &'a [u8],
    stride: usize,
}

impl<'a> Train<'a> {
    /// Who sent it.
    pub(crate) fn from(&self) -> Source {
        self.from
    }

    /// The datagrams one by one; an empty one is a datagram too.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let empty = self.bytes.is_empty().then_some(self.bytes);
        empty.into_iter().chain(self.bytes.chunks(self.stride.max(1)))
    }

    fn single(&self) -> bool {
        self.bytes.len() <= self.stride || self.bytes.is_empty()
    }
}

/// Where a datagram came from: an address that the kernel can send to, unless it is a unix socket without a name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Source(Option<SockaddrStorage>);

impl Source {
    pub(crate) fn endpoint(&self) -> Endpoint {
        let Self(Some(address)) = self else { return Endpoint::Unnamed };
        if let Some(v4) = address.as_sockaddr_in() {
            return Endpoint::Net(std::net::SocketAddrV4::from(*v4).into());
        }
        if let Some(v6) = address.as_sockaddr_in6() {
            return Endpoint::Net(std::net::SocketAddrV6::from(*v6).into());
        }
        let Some(unix) = address.as_unix_addr() else { return Endpoint::Unnamed };
        let path = unix.path().map(|path| path.display().to_string());
        let hidden = || unix.as_abstract().map(|name| format!("@{}", String::from_utf8_lossy(name)));
        path.or_else(hidden).map_or(Endpoint::Unnamed, |name| Endpoint::Name(Arc::from(name)))
    }

    /// Whether an answer can be sent there: the client of a unix socket may have no name.
    pub(crate) fn answerable(&self) -> bool {
        self.endpoint() != Endpoint::Unnamed
    }
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self { space: vec![0; SLOT * SLOTS], slots: Vec::with_capacity(SLOTS), want: 1 }
    }

    pub(crate) fn trains(&self) -> impl Iterator<Item = Train<'_>> {
        self.slots.iter().zip(self.space.chunks(SLOT)).map(|(slot, space)| Train {
            from: slot.from,
            bytes: &space[..slot.len],
            stride: slot.stride,
        })
    }
}

impl Datagrams {
    /// Takes over a bound, non-blocking socket.
    pub(crate) fn new(socket: Socket, scheme: &'static str, local: Endpoint, amplify: bool) -> io::Result<Self> {
        if local.net().is_some() {
            // Where the kernel cannot join datagrams into trains they come one by one.
            let _ = setsockopt(&socket, sockopt::UdpGroSegment, &true);
        }
        Ok(Self { socket: registered(socket)?, scheme, local, amplify })
    }

    /// Waits for datagrams. Cancel-safe.
    pub(crate) async fn receive(&self, batch: &mut Batch) -> io::Result<()> {
        let receive = if self.local.net().is_some() { try_receive } else { try_receive_one };
        self.socket.async_io(Interest::READABLE, |socket| receive(socket, batch)).await
    }

    /// Sends one datagram to each; what the kernel refuses for one peer is no reason not to send to the others.
    /// Cancel-safe in that each was sent whole or not at all.
    pub(crate) async fn send(&self, mut messages: &[(Source, &[u8])]) -> io::Result<()> {
        while !messages.is_empty() {
            let sent = self.socket.async_io(Interest::WRITABLE, |socket| try_send(socket, messages)).await?;
            messages = &messages[sent..];
        }
        Ok(())
    }

    /// Sends everything in the batch back to where it came from.
    pub(crate) async fn send_back(&self, batch: &Batch) -> io::Result<()> {
        let (single, trains): (Vec<_>, Vec<_>) = batch.trains().partition(Train::single);
        let single: Vec<_> = single.iter().map(|train| (train.from(), train.bytes)).collect();
        self.send(&single).await?;
        for train in trains {
            let sent = self.socket.async_io(Interest::WRITABLE, |socket| try_send_train(socket, &train)).await;
            if sent.is_err() {
                let each: Vec<_> = train.datagrams().map(|bytes| (train.from(), bytes)).collect();
                self.send(&each).await?;
            }
        }
        Ok(())
    }

    /// Sends one datagram now, or says that it would have to wait.
    pub(crate) fn try_send_to(&self, to: Source, bytes: &[u8]) -> io::Result<()> {
        self.socket.try_io(Interest::WRITABLE, |socket| try_send(socket, &[(to, bytes)])).map(|_| ())
    }

    /// Waits until a datagram may be sent. Cancel-safe.
    pub(crate) async fn writable(&self) {
        if let Ok(mut ready) = self.socket.writable().await {
            ready.retain_ready();
        }
    }
}

fn try_receive(socket: &Socket, batch: &mut Batch) -> io::Result<()> {
    batch.slots.clear();
    // The headers are made anew each time: the kernel shrinks the lengths in them, and they are not reset.
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(batch.want, Some(cmsg_space!(i32)));
    let mut slices: Vec<_> =
        batch.space.chunks_mut(SLOT).take(batch.want).map(|slot| [IoSliceMut::new(slot)]).collect();
    let received = recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
    for message in received {
        let segments = message.cmsgs().ok().and_then(|mut cmsgs| {
            cmsgs.find_map(|cmsg| match cmsg {
                ControlMessageOwned::UdpGroSegments(len) => usize::try_from(len).ok(),
                _ => None,
            })
        });
        let stride = segments.filter(|stride| *stride > 0).unwrap_or(message.bytes.max(1));
        batch.slots.push(Slot { from: Source(message.address), len: message.bytes, stride });
    }
    let got = batch.slots.len();
    batch.want = if got == batch.want { (batch.want * 2).min(SLOTS) } else { (got * 2).clamp(1, SLOTS) };
    Ok(())
}

/// Unix datagrams come one by one: nix's recvmmsg loses the length of a unix name, and with it the name.
fn try_receive_one(socket: &Socket, batch: &mut Batch) -> io::Result<()> {
    batch.slots.clear();
    let (len, from) = recvfrom::<SockaddrStorage>(socket.as_raw_fd(), &mut batch.space[..SLOT])?;
    batch.slots.push(Slot { from: Source(from), len, stride: len.max(1) });
    Ok(())
}

/// How many of the messages are done with: sent, or refused by the kernel for a reason of their own.
fn try_send(socket: &Socket, messages: &[(Source, &[u8])]) -> io::Result<usize> {
    let messages = &messages[..messages.len().min(SLOTS)];
    let slices: Vec<_> = messages.iter().map(|(_, bytes)| [IoSlice::new(bytes)]).collect();
    let to: Vec<_> = messages.iter().map(|(to, _)| to.0).collect();
    let sent = if let ([slice], [to]) = (slices.as_slice(), to.as_slice()) {
        sendmsg(socket.as_raw_fd(), slice, &[], MsgFlags::MSG_DONTWAIT, to.as_ref()).map(|_| 1)
    } else {
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(messages.len(), None);
        let flags = MsgFlags::MSG_DONTWAIT;
        sendmmsg(socket.as_raw_fd(), &mut headers, slices.iter(), to, [], flags).map(Iterator::count)
    };
    match sent {
        Ok(sent) => Ok(sent),
        Err(Errno::EAGAIN) => Err(io::ErrorKind::WouldBlock.into()),
        // The first one failed for a reason of its own (too long, the peer is gone): go on behind it.
        Err(_) => Ok(1),
    }
}

fn try_send_train(socket: &Socket, train: &Train<'_>) -> io::Result<()> {
    let stride = u16::try_from(train.stride).map_err(|_| io::ErrorKind::InvalidInput)?;
    let (slice, to) = ([IoSlice::new(train.bytes)], train.from.0.as_ref());
    sendmsg(socket.as_raw_fd(), &slice, &[ControlMessage::UdpGsoSegments(&stride)], MsgFlags::MSG_DONTWAIT, to)?;
    Ok(())
}
