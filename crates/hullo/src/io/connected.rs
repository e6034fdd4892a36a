//! A connected datagram socket: the client's end.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio::{
    io::{Interest, ReadBuf},
    net::{UdpSocket, UnixDatagram},
    time::{Instant, Sleep, sleep_until},
};

use super::{
    by_peer::LARGEST,
    datagrams::{self, Came},
    scratch,
};
use crate::{
    address::Address,
    error::{Error, Kind, Result, nobody_there},
    framing::too_large,
    link::{EVERYWHERE, Packets},
    message::Message,
    scope::{BoxFuture, Scope},
    watch::Event,
};

/// What the two kinds of datagram sockets have in common.
pub(crate) trait Socket: Sized + Send + Sync + Unpin + 'static {
    /// The largest datagram that is never cut on its way.
    const WHOLE: usize;

    fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>>;
    fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>>;

    /// Gives what comes in trains from now on, where it can.
    fn join(&self) {}

    /// Receives a train.
    fn poll_recv_train(&self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<Came>> {
        let mut buf = ReadBuf::new(space);
        self.poll_recv(cx, &mut buf).map_ok(|()| {
            let len = buf.filled().len();
            Came { len, stride: len.max(1), drops: None }
        })
    }

    /// Sends a train in one go; it is unsupported where the kernel does not.
    fn poll_send_train(&self, _: &mut Context<'_>, _bytes: &[u8], _stride: usize) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    /// Completes with what the network says of a datagram that was sent: on UDP, that nobody listens there. That makes
    /// no socket readable, and so wakes nobody who waits in `poll_recv`.
    fn complaint(self: Arc<Self>) -> BoxFuture<'static, io::Error> {
        Box::pin(std::future::pending())
    }
}

impl Socket for UdpSocket {
    const WHOLE: usize = EVERYWHERE;

    fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_recv(cx, buf)
    }

    fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, buf)
    }

    fn join(&self) {
        datagrams::join(self);
    }

    fn poll_recv_train(&self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<Came>> {
        loop {
            ready!(self.poll_recv_ready(cx))?;
            match self.try_io(Interest::READABLE, || datagrams::receive_train(self, space)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return Poll::Ready(received),
            }
        }
    }

    fn poll_send_train(&self, cx: &mut Context<'_>, bytes: &[u8], stride: usize) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_send_ready(cx))?;
            match self.try_io(Interest::WRITABLE, || datagrams::send_train(self, bytes, stride)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => return Poll::Ready(sent),
            }
        }
    }

    fn complaint(self: Arc<Self>) -> BoxFuture<'static, io::Error> {
        Box::pin(async move {
            loop {
                match self.ready(Interest::ERROR).await.and_then(|_| self.take_error()) {
                    Ok(Some(error)) | Err(error) => return error,
                    // Somebody else was told: wait for the next.
                    Ok(None) => {
                        drop(self.try_io(Interest::ERROR, || io::Result::<()>::Err(io::ErrorKind::WouldBlock.into())))
                    }
                }
            }
        })
    }
}

impl Socket for UnixDatagram {
    const WHOLE: usize = LARGEST;

    fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_recv(cx, buf)
    }

    fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, buf)
    }
}

/// The datagrams of a connected socket, as a wire. They have no end: it goes on until `idle`, or for ever.
pub(crate) struct Connected<S> {
    socket: Arc<S>,
    complaint: BoxFuture<'static, io::Error>,
    address: String,
    scope: Scope,
    since: Instant,
    received: bool,
    held: Option<Bytes>,
    idle: Option<(Duration, Pin<Box<Sleep>>)>,
    /// Whoever receives takes trains, and the kernel sends them in one go, as far as is known.
    joins: bool,
    sends_trains: bool,
    /// How many the kernel dropped of what came.
    drops: u32,
}

impl<S: Socket> Connected<S> {
    pub(crate) fn new(socket: S, to: &Address, scope: &Scope) -> Self {
        let since = Instant::now();
        let idle = scope.limits().idle.map(|idle| (idle, Box::pin(sleep_until(since + idle))));
        let (socket, address) = (Arc::new(socket), to.bare().to_string());
        let complaint = socket.clone().complaint();
        Self {
            socket,
            complaint,
            address,
            scope: scope.clone(),
            since,
            received: false,
            held: None,
            idle,
            joins: false,
            sends_trains: true,
            drops: 0,
        }
    }

    fn error(&self, doing: &str, error: io::Error) -> Error {
        let refused = error.kind() == io::ErrorKind::ConnectionRefused;
        let error = Error::io(format!("cannot {doing} {}", self.address), error);
        if refused { error.hint(nobody_there(&self.address)) } else { error }
    }

    fn moved(&mut self) {
        if let Some((idle, alarm)) = &mut self.idle {
            alarm.as_mut().reset(Instant::now() + *idle);
        }
    }

    fn poll_complaint(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let error = ready!(self.complaint.as_mut().poll(cx));
        self.complaint = self.socket.clone().complaint();
        Poll::Ready(error)
    }

    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(bytes) = &self.held else { return Poll::Ready(Ok(())) };
        let sent = ready!(self.socket.poll_send(cx, bytes));
        self.held = None;
        self.moved();
        Poll::Ready(sent.map(drop).map_err(|error| match error.raw_os_error() {
            Some(code) if code == rustix::io::Errno::MSGSIZE.raw_os_error() => Error::new(
                Kind::TooLarge,
                format!("cannot send to {}: this is too long for one datagram", self.address),
            ),
            _ => self.error("send to", error),
        }))
    }
}

impl<S: Socket> Stream for Connected<S> {
    type Item = Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let received = scratch::with(|buf| {
            let mut buf = ReadBuf::new(buf);
            self.socket.poll_recv(cx, &mut buf).map_ok(|()| Bytes::copy_from_slice(buf.filled()))
        });
        let received = match received {
            Poll::Pending => self.poll_complaint(cx).map(Err),
            received => received,
        };
        match received {
            Poll::Ready(Ok(bytes)) => {
                if !std::mem::replace(&mut self.received, true) {
                    self.scope.tell(&Event::FirstByte { after: self.since.elapsed() });
                }
                self.moved();
                Poll::Ready(Some(Ok(Message::binary(bytes))))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(self.error("receive from", error)))),
            Poll::Pending => match &mut self.idle {
                Some((_, alarm)) => alarm.as_mut().poll(cx).map(|()| None),
                None => Poll::Pending,
            },
        }
    }
}

impl<S: Socket> Sink<Message> for Connected<S> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_held(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<()> {
        if message.bytes.len() > LARGEST {
            return Err(too_large(LARGEST));
        }
        self.held = Some(message.bytes);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_held(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_held(cx)
    }
}

impl<S: Socket> Packets for Connected<S> {
    fn largest(&self) -> usize {
        LARGEST
    }

    fn ends(&self) -> bool {
        false
    }

    /// Those of a unix socket as well: a server drops what comes faster than its services read.
    fn lossy(&self) -> bool {
        true
    }

    fn whole(&self) -> usize {
        S::WHOLE
    }

    fn drops(&self) -> u32 {
        self.drops
    }

    fn poll_train(&mut self, train: &mut &[u8], stride: usize, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_held(cx))?;
        if self.sends_trains && train.len() > stride {
            match ready!(self.socket.poll_send_train(cx, train, stride)) {
                Ok(()) => *train = &[],
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    return Poll::Ready(Err(self.error("send to", error)));
                }
                // The kernel, or the way out, takes no trains.
                Err(_) => self.sends_trains = false,
            }
        }
        while !train.is_empty() {
            let (packet, rest) = train.split_at(stride.clamp(1, train.len()));
            let sent = ready!(self.socket.poll_send(cx, packet));
            *train = rest;
            sent.map_err(|error| self.error("send to", error))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_each(&mut self, each: &mut dyn FnMut(&[u8]), cx: &mut Context<'_>) -> Poll<Option<Result<()>>> {
        if !std::mem::replace(&mut self.joins, true) {
            self.socket.join();
        }
        let received = scratch::with(|space| {
            let Came { len, stride, drops } = ready!(self.socket.poll_recv_train(cx, space))?;
            self.drops = drops.unwrap_or(self.drops);
            match &space[..len] {
                [] => each(&[]),
                train => train.chunks(stride).for_each(each),
            }
            Poll::Ready(Ok(()))
        });
        let received = match received {
            Poll::Pending => self.poll_complaint(cx).map(Err),
            received => received,
        };
        received.map(|received| Some(received.map_err(|error| self.error("receive from", error))))
    }
}
