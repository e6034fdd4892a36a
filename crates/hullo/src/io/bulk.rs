//! Bytes that nobody looks at, in pieces as large as the kernel has them: they are thrown away.
//!
//! Those of a bare TCP socket are so where they are, in the kernel (`MSG_TRUNC`, tcp(7)). What that costs is then mostly
//! that we are woken for each segment; so once much comes, the kernel wakes us only when much is there (`SO_RCVLOWAT`,
//! socket(7)).

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    os::fd::AsFd,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use nix::{
    libc, setsockopt_impl,
    sys::socket::{SetSockOpt, sockopt::SetUsize},
};
use rustix::net::RecvFlags;
use socket2::SockRef;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{scratch, splice::Bare};
use crate::link::Stream;

/// Throws away what comes, until the end: how much it was.
///
/// # Errors
/// The stream's.
pub(crate) async fn drain<S: Stream + ?Sized>(stream: &mut S) -> io::Result<u64> {
    let (mut skip, mut drained) = (Skip::default(), 0);
    loop {
        let n = poll_fn(|cx| skip.poll(cx, stream, usize::MAX)).await?;
        drained += n as u64;
        if n == 0 {
            return Ok(drained);
        }
    }
}

/// Throws away what comes.
#[derive(Default)]
pub(crate) struct Skip {
    /// So much must be there before the kernel wakes us; 0 where nothing was said to it.
    low_water: usize,
    /// What has come since that was thought about, and when that was.
    come: usize,
    since: Option<Instant>,
    /// Rings when it has not woken us for long.
    alarm: Option<Pin<Box<Sleep>>>,
    fresh: bool,
}

/// So much comes between two thoughts about the rate.
const THOUGHT: usize = 8 << 20;

/// What comes in this time is what the kernel is to wait for. It is less than anybody notices, and much more than waking costs.
const WAIT: Duration = Duration::from_millis(2);

/// The least and the most that it waits for. The most fits into the buffers of most systems (`net.ipv4.tcp_rmem`).
const LEAST: usize = 128 << 10;
const MOST: usize = 1 << 20;

/// If it has waited for so long, it is to wait no more.
const PATIENCE: Duration = Duration::from_millis(20);

impl Skip {
    /// Throws away what has come, up to `most` bytes; 0 is the end.
    ///
    /// # Errors
    /// The stream's.
    pub(crate) fn poll<S: Stream + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let Some(bare) = stream.bare() else { return poll_read(cx, stream, most) };
        loop {
            // What is there is taken though the kernel would still wait: it may be all that comes.
            match bare.poll_skip(cx, most, self.low_water > 0) {
                Poll::Ready(Ok(n)) => {
                    self.came(n, bare);
                    return Poll::Ready(Ok(n));
                }
                Poll::Pending if self.low_water > 0 => ready!(self.poll_patience(cx)),
                other => return other,
            }
            self.wait_for(0, bare);
        }
    }

    /// Has the kernel wait for as much as comes in a moment.
    fn came(&mut self, n: usize, bare: &mut dyn Bare) {
        self.fresh = true;
        self.come += n;
        if self.come < THOUGHT {
            return;
        }
        let now = Instant::now();
        let took = self.since.replace(now).map(|since| now.duration_since(since));
        let come = std::mem::take(&mut self.come);
        // How long the first of them took is not known.
        let Some(took) = took else { return };
        let share = WAIT.as_secs_f64() / took.as_secs_f64().max(1e-9);
        let wanted = ((come as f64 * share) as usize).min(MOST).next_power_of_two() / 2;
        let wanted = if wanted < LEAST { 0 } else { wanted };
        if wanted != self.low_water {
            self.wait_for(wanted, bare);
        }
    }

    fn wait_for(&mut self, low_water: usize, bare: &mut dyn Bare) {
        bare.set_low_water(low_water.max(1));
        self.low_water = low_water;
        if low_water == 0 {
            (self.alarm, self.since, self.come) = (None, None, 0);
        }
    }

    /// Ready when nothing has come for so long that it does not come in bulk.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::take(&mut self.fresh) {
            let due = Instant::now() + PATIENCE;
            match &mut self.alarm {
                Some(alarm) => alarm.as_mut().reset(due),
                none => *none = Some(Box::pin(sleep_until(due))),
            }
        }
        self.alarm.as_mut().map_or(Poll::Ready(()), |alarm| alarm.as_mut().poll(cx))
    }
}

/// The general way: what comes is copied, and the copy forgotten.
pub(super) fn poll_read<S: Stream + ?Sized>(
    cx: &mut Context<'_>,
    stream: &mut S,
    most: usize,
) -> Poll<io::Result<usize>> {
    scratch::with(|buf| {
        let most = most.min(buf.len());
        scratch::poll_read(cx, Pin::new(stream), &mut buf[..most])
    })
}

/// The most that is thrown away in one go.
const GULP: usize = 4 << 20;

/// Has the kernel throw away what a TCP socket has received, up to `most` bytes; 0 is the end.
pub(super) fn discard(socket: &impl AsFd, most: usize) -> io::Result<usize> {
    thread_local! {
        // Nothing is ever written there, so it takes addresses and no memory: the kernel is told a length by it.
        static NOWHERE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    NOWHERE.with_borrow_mut(|nowhere| {
        nowhere.reserve(GULP);
        let room = nowhere.spare_capacity_mut();
        let most = most.min(room.len());
        SockRef::from(socket).recv_with_flags(&mut room[..most], RecvFlags::TRUNC.bits().cast_signed())
    })
}

/// The option `SO_RCVLOWAT`, which no crate has a function for.
#[derive(Clone, Copy)]
struct LowWater;

setsockopt_impl!(LowWater, libc::SOL_SOCKET, libc::SO_RCVLOWAT, usize, SetUsize);

/// Has a socket be readable once that much has come, or the end.
pub(super) fn set_low_water(socket: &impl AsFd, bytes: usize) {
    // A kernel that does not do so wakes us sooner, and nothing else.
    let _ = LowWater.set(socket, &bytes);
}

#[cfg(test)]
mod tests {
    use nix::{
        getsockopt_impl,
        sys::socket::{GetSockOpt, sockopt::GetUsize},
    };
    use tokio::{
        io::{AsyncWriteExt, duplex},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::{
        io::guard::Guard,
        peer::{Endpoint, Peer},
        scope::{Limits, Scope},
    };

    getsockopt_impl!(LowWater, libc::SOL_SOCKET, libc::SO_RCVLOWAT, usize, GetUsize);

    /// Both ends of a connection; the first is guarded, as a service gets it.
    async fn pair(limits: Limits) -> (Guard<TcpStream>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let peer = Peer::new("tcp", Endpoint::Unnamed, Endpoint::Unnamed);
        (Guard::new(server, &peer, &Scope::new(limits, None)), client)
    }

    fn low_water(socket: &Guard<TcpStream>) -> usize {
        LowWater.get(socket.get_ref()).unwrap()
    }

    #[tokio::test]
    async fn what_is_skipped_over_tcp_does_not_come_by_us() {
        let (mut server, mut client) = pair(Limits::default()).await;
        client.write_all(&[b'x'; 50_000]).await.unwrap();
        drop(client);
        scratch::with(|buf| buf.fill(b'.'));
        assert_eq!(drain(&mut server).await.unwrap(), 50_000);
        assert!(scratch::with(|buf| buf.iter().all(|byte| *byte == b'.')), "the kernel has thrown it away");
    }

    #[tokio::test]
    async fn elsewhere_it_is_read() {
        let (mut near, mut far) = duplex(100);
        let written = tokio::spawn(async move { far.write_all(&[7; 5_000]).await });
        assert_eq!(drain(&mut near).await.unwrap(), 5_000);
        written.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn the_kernel_waits_for_much_only_while_much_comes() {
        let (mut server, mut client) = pair(Limits::server()).await;
        let (mut skip, mut come, mut highest) = (Skip::default(), 0, 0);
        let piece = vec![b'x'; 256 << 10];
        // As long as it takes on a machine that has other things to do: what matters is that it is so fast for a moment.
        let much = async {
            while highest < LEAST && come < 40 << 30 {
                tokio::select! {
                    biased;
                    n = poll_fn(|cx| skip.poll(cx, &mut server, usize::MAX)) => come += n.unwrap(),
                    sent = client.write(&piece) => drop(sent.unwrap()),
                }
                highest = highest.max(low_water(&server));
            }
        };
        tokio::time::timeout(Duration::from_secs(20), much).await.unwrap();
        assert!(highest >= LEAST, "{highest}");
        // One byte more is taken all the same, and from then on the kernel waits for nothing.
        let take_all = async {
            loop {
                let quiet = tokio::time::timeout(10 * PATIENCE, poll_fn(|cx| skip.poll(cx, &mut server, usize::MAX)));
                match quiet.await {
                    Ok(n) => assert!(n.unwrap() > 0),
                    Err(_) => return,
                }
            }
        };
        take_all.await;
        assert_eq!(low_water(&server), 1);
        client.write_all(b"x").await.unwrap();
        assert_eq!(poll_fn(|cx| skip.poll(cx, &mut server, usize::MAX)).await.unwrap(), 1);
        drop(client);
        assert_eq!(poll_fn(|cx| skip.poll(cx, &mut server, usize::MAX)).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn little_that_comes_while_the_kernel_waits_for_much_is_taken_before_long() {
        let (mut server, mut client) = pair(Limits::server()).await;
        let mut skip = Skip::default();
        skip.wait_for(MOST, &mut server);
        skip.fresh = true;
        let took = tokio::time::timeout(Duration::from_secs(10), poll_fn(|cx| skip.poll(cx, &mut server, usize::MAX)));
        // It comes when it is waited for already.
        let (took, sent) = tokio::join!(took, client.write_all(b"hullo"));
        sent.unwrap();
        assert_eq!(took.unwrap().unwrap(), 5);
    }
}
