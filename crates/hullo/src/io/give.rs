//! The same bytes over and over, as many as are taken.
//!
//! A socket of the kernel is given references to where the kernel has them already (tee(2), splice(2)): nothing is copied.
//! Behind those references is what once came out of another socket, and not a file in memory: it lies in pieces of up to
//! 32 KiB, each with one count of who refers to it, where a file has pages of 4 KiB with a count each. Those counts are what
//! two processors would pull to and fro. Everything else is written to, from one buffer that stays in the cache.

use std::{
    cell::RefCell,
    fs::File,
    io::{self, Write},
    os::{fd::BorrowedFd, unix::net::UnixStream},
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use super::splice::Pipe;
use crate::link::Stream;

/// Gives the same bytes over and over.
pub(crate) struct Give {
    pattern: Arc<Pattern>,
    /// The place of the next byte in what a store holds.
    at: usize,
    /// Whether references are given where they can be.
    refers: bool,
}

/// Bytes that repeat without a seam, wherever a piece of them begins.
pub(crate) struct Pattern {
    bytes: Box<[u8]>,
    period: usize,
    store: OnceLock<Option<Store>>,
}

/// The most that is written in one go: it stays in the second-level cache of most processors.
const PIECE: usize = 256 << 10;

/// Less than this is written: two system calls cost more than to copy it.
const WORTH: usize = 64 << 10;

/// So much is referred to as one, about, and so many times in a row: a call then gives as much as a socket takes at once.
const WHOLE: usize = 64 << 10;
const ROUNDS: usize = 8;

impl Pattern {
    /// The pattern of those bytes; of at least one.
    pub(crate) fn new(period: &[u8]) -> Self {
        let bytes = period.iter().copied().cycle().take(PIECE + period.len()).collect();
        Self { bytes, period: period.len(), store: OnceLock::new() }
    }

    /// How much of it is referred to as one: whole periods, of at least one.
    fn whole(&self) -> usize {
        self.period * (WHOLE / self.period).max(1)
    }

    fn store(&self) -> io::Result<&Store> {
        // What cannot be had once is not asked for again and again.
        self.store.get_or_init(|| Store::new(self).ok()).as_ref().ok_or(io::ErrorKind::Unsupported.into())
    }
}

impl Give {
    pub(crate) fn new(pattern: Arc<Pattern>) -> Self {
        Self { pattern, at: 0, refers: true }
    }

    /// Gives the next bytes, up to `most`: how many the stream has taken.
    ///
    /// # Errors
    /// The stream's.
    pub(crate) fn poll<S: Stream + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let given = match ready!(self.poll_refer(cx, stream, most)) {
            Some(given) => given,
            None => ready!(self.poll_write(cx, stream, most)),
        };
        let n = given?;
        if n == 0 && most > 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.at = (self.at + n) % (ROUNDS * self.pattern.whole());
        Poll::Ready(Ok(n))
    }

    /// The fast way; none where it does not lead.
    fn poll_refer<S: Stream + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        most: usize,
    ) -> Poll<Option<io::Result<usize>>> {
        let Some(bare) = stream.bare().filter(|_| self.refers && most >= WORTH) else { return Poll::Ready(None) };
        let Self { pattern, at, .. } = self;
        match ready!(bare.poll_out(cx, &mut |socket| refer(pattern, *at, socket, most))) {
            // Not every kernel can, and there may be no file descriptors left.
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
                self.refers = false;
                Poll::Ready(None)
            }
            given => Poll::Ready(Some(given)),
        }
    }

    fn poll_write<S: Stream + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let Pattern { bytes, period, .. } = &*self.pattern;
        Pin::new(stream).poll_write(cx, &bytes[self.at % period..][..most.min(PIECE)])
    }
}

/// References to a pattern's bytes: a pipe that is full of them, and which nobody empties.
struct Store {
    pipe: Pipe,
    length: usize,
}

impl Store {
    fn new(pattern: &Pattern) -> io::Result<Self> {
        let (pipe, whole) = (Pipe::take()?, pattern.whole());
        // A pipe counts references and not bytes, so the smallest one has room for one round.
        let rounds = if pipe.size() < ROUNDS * whole { 1 } else { ROUNDS };
        let bytes: Vec<u8> = pattern.bytes.iter().copied().cycle().take(whole).collect();
        for _ in 0..rounds {
            pour(&bytes, &pipe)?;
        }
        Ok(Self { pipe, length: rounds * whole })
    }
}

/// Gets bytes into a pipe through a socket.
fn pour(bytes: &[u8], pipe: &Pipe) -> io::Result<()> {
    let (mut near, far) = UnixStream::pair()?;
    // Whoever has smaller buffers is to have an error, and not to wait for itself.
    near.set_nonblocking(true)?;
    far.set_nonblocking(true)?;
    let mut left = bytes;
    while !left.is_empty() {
        let mut inside = near.write(left)?;
        left = &left[inside..];
        while inside > 0 {
            inside -= pipe.fill(&far, inside)?;
        }
    }
    Ok(())
}

/// The pipe through which a thread gives references, whoever they are for.
struct Transit {
    pipe: Pipe,
    /// Where references go that are in the way.
    nowhere: File,
    /// What is in the pipe: what that pattern's store holds, from this place on.
    of: Option<Arc<Pattern>>,
    at: usize,
}

thread_local! {
    static TRANSIT: RefCell<Option<Transit>> = const { RefCell::new(None) };
}

/// Gives a socket up to `most` bytes of what a pattern's store holds, from that place on.
fn refer(pattern: &Arc<Pattern>, at: usize, socket: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
    let store = pattern.store()?;
    let at = at % store.length;
    TRANSIT.with_borrow_mut(|place| {
        // What is in a pipe that something went wrong with nobody knows.
        let mut transit = match place.take() {
            Some(transit) => transit,
            None => Transit::new().map_err(unsupported)?,
        };
        transit.reach(pattern, store, at).map_err(unsupported)?;
        let given = transit.pipe.drain(&socket, most.min(store.length - at));
        if let Ok(n) = given {
            transit.at += n;
        }
        *place = Some(transit);
        given
    })
}

fn unsupported(error: io::Error) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, error)
}

impl Transit {
    fn new() -> io::Result<Self> {
        let nowhere = File::options().write(true).open("/dev/null")?;
        Ok(Self { pipe: Pipe::take()?, nowhere, of: None, at: 0 })
    }

    /// Has the pipe hold what is at that place of the pattern's store, and what is behind it.
    fn reach(&mut self, pattern: &Arc<Pattern>, store: &Store, at: usize) -> io::Result<()> {
        // What the connection before has left is the right thing where it is the same one's.
        let is_on_the_way = self.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, pattern)) && self.at <= at;
        if !is_on_the_way {
            if let Some(of) = self.of.take() {
                let left = of.store()?.length - self.at;
                self.skip(left)?;
            }
            if store.pipe.share(&self.pipe, store.length)? < store.length {
                return Err(io::ErrorKind::Unsupported.into());
            }
            (self.of, self.at) = (Some(pattern.clone()), 0);
        }
        self.skip(at - self.at)?;
        self.at = at;
        Ok(())
    }

    fn skip(&self, mut bytes: usize) -> io::Result<()> {
        while bytes > 0 {
            match self.pipe.drain(&self.nowhere, bytes)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => bytes -= n,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Waker};

    use tokio::{
        io::{AsyncReadExt, duplex},
        net::{TcpListener, TcpStream, UnixStream},
        task::JoinHandle,
    };

    use super::*;

    const MUCH: usize = 3_000_000;

    async fn tcp() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener.accept().await.unwrap().0, client)
    }

    /// A pattern whose bytes would be seen if they were written.
    fn referred(period: &[u8]) -> Arc<Pattern> {
        let mut pattern = Pattern::new(period);
        pattern.store().unwrap();
        pattern.bytes.fill(b'.');
        Arc::new(pattern)
    }

    fn period() -> Vec<u8> {
        (0..7_030_u32).map(|at| b'A' + (at % 26) as u8 + (at / 26 % 7) as u8).collect()
    }

    async fn take(mut from: impl AsyncReadExt + Unpin, length: usize) -> Vec<u8> {
        let mut taken = vec![0; length];
        from.read_exact(&mut taken).await.unwrap();
        taken
    }

    fn taker(from: impl AsyncReadExt + Unpin + Send + 'static, length: usize) -> JoinHandle<Vec<u8>> {
        tokio::spawn(take(from, length))
    }

    async fn give(give: &mut Give, to: &mut impl Stream, length: usize) {
        let mut given = 0;
        while given < length {
            given += poll_fn(|cx| give.poll(cx, to, length - given)).await.unwrap();
        }
    }

    fn is_pattern(taken: &[u8], period: &[u8]) -> bool {
        taken.iter().zip(period.iter().cycle()).all(|(come, meant)| come == meant)
    }

    #[tokio::test]
    async fn a_socket_is_given_references_and_is_not_written_to() {
        let (mut near, far) = tcp().await;
        let taken = taker(far, MUCH / WORTH * WORTH);
        // Less than is worth it would be written, so there is none at the end.
        let (mut give, mut given) = (Give::new(referred(&period())), 0);
        while given < MUCH / WORTH * WORTH {
            given += poll_fn(|cx| give.poll(cx, &mut near, WORTH)).await.unwrap();
        }
        assert!(is_pattern(&taken.await.unwrap()[..MUCH / WORTH * WORTH], &period()));
    }

    #[tokio::test]
    async fn a_pattern_has_no_seam() {
        let (pattern, seven) = (Arc::new(Pattern::new(&period())), Arc::new(Pattern::new(b"0123456")));
        let (mut near, far) = duplex(1_000);
        let taken = taker(far, MUCH);
        give(&mut Give::new(seven), &mut near, MUCH).await;
        assert!(is_pattern(&taken.await.unwrap(), b"0123456"), "written");
        let (mut near, far) = UnixStream::pair().unwrap();
        let taken = taker(far, MUCH);
        give(&mut Give::new(pattern.clone()), &mut near, MUCH).await;
        assert!(is_pattern(&taken.await.unwrap(), &period()), "over a unix socket");
    }

    #[tokio::test]
    async fn connections_of_one_thread_do_not_mix_what_they_give() {
        let patterns = [Arc::new(Pattern::new(&period())), Arc::new(Pattern::new(b"0123456"))];
        let mut ends = Vec::new();
        for at in 0..4 {
            let (near, far) = tcp().await;
            let period = if at % 2 == 0 { period() } else { b"0123456".to_vec() };
            ends.push((near, Give::new(patterns[at % 2].clone()), 0, taker(far, MUCH), period));
        }
        // Each gives a little of another length in turn, and now and then so little that it is written.
        let mut cx = Context::from_waker(Waker::noop());
        while ends.iter().any(|end| end.2 < MUCH) {
            for (at, (near, give, given, ..)) in ends.iter_mut().enumerate() {
                let most = (MUCH - *given).min(WORTH * (at + 1) - 5_000 + *given % 10_000);
                if most > 0
                    && let Poll::Ready(n) = give.poll(&mut cx, near, most)
                {
                    *given += n.unwrap();
                }
            }
            tokio::task::yield_now().await;
        }
        for (_, _, _, taken, period) in ends {
            assert!(is_pattern(&taken.await.unwrap(), &period));
        }
    }

    #[tokio::test]
    async fn where_there_are_no_references_it_is_written() {
        let (mut near, far) = tcp().await;
        let mut pattern = Pattern::new(b"0123456");
        pattern.store = OnceLock::from(None);
        let taken = taker(far, MUCH);
        let mut giver = Give::new(Arc::new(pattern));
        give(&mut giver, &mut near, MUCH).await;
        assert!(!giver.refers && is_pattern(&taken.await.unwrap(), b"0123456"));
    }
}
