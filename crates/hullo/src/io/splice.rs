//! Bytes from one socket to another through a pipe of the kernel: they never come by us (splice(2)).

use std::{
    cell::RefCell,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    task::{Context, Poll, ready},
};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice, tee};
use tokio::{
    io::Interest,
    net::{TcpStream, UnixStream},
    task::coop,
};

use super::bulk;
use crate::link::Stream;

/// What a pipe is asked to hold; where the user may have no more pipes of that size, it holds what the kernel gives.
const SIZE: usize = 1 << 20;

/// Pipes that a thread keeps for the next conversation.
const SPARE: usize = 16;

/// A socket whose bytes the kernel can move.
pub trait Bare: Send {
    /// Moves what has come into an empty pipe, up to `most` bytes; 0 is the end.
    ///
    /// # Errors
    /// The socket's.
    fn poll_fill(&mut self, cx: &mut Context<'_>, pipe: &Pipe, most: usize) -> Poll<io::Result<usize>>;

    /// Moves up to `most` of the bytes that are in the pipe out of it.
    ///
    /// # Errors
    /// The socket's.
    fn poll_drain(&mut self, cx: &mut Context<'_>, pipe: &Pipe, most: usize) -> Poll<io::Result<usize>> {
        self.poll_out(cx, &mut |socket| pipe.drain(&socket, most))
    }

    /// Has somebody give something to the socket, without waiting, when there is room in it.
    ///
    /// # Errors
    /// The socket's, and those of whoever gives.
    fn poll_out(
        &mut self,
        cx: &mut Context<'_>,
        give: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>>;

    /// Throws away what has come, up to `most` bytes; 0 is the end. What has not reached the [low
    /// water](Bare::set_low_water) is thrown away only `below` it.
    ///
    /// # Errors
    /// The socket's.
    fn poll_skip(&mut self, cx: &mut Context<'_>, most: usize, below: bool) -> Poll<io::Result<usize>>;

    /// Has us be woken once that many bytes have come, or the end, where the kernel can do that.
    fn set_low_water(&mut self, bytes: usize);
}

/// A pipe of the kernel.
pub struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    size: usize,
}

thread_local! {
    static PIPES: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

impl Pipe {
    /// An empty one.
    ///
    /// # Errors
    /// There are no file descriptors left.
    pub(crate) fn take() -> io::Result<Self> {
        if let Some(pipe) = PIPES.with_borrow_mut(Vec::pop) {
            return Ok(pipe);
        }
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let size = fcntl_setpipe_size(&writer, SIZE).unwrap_or(64 << 10);
        Ok(Self { reader, writer, size })
    }

    /// Gives one back that is empty.
    pub(crate) fn put(self) {
        PIPES.with_borrow_mut(|pipes| {
            if pipes.len() < SPARE {
                pipes.push(self);
            }
        });
    }

    /// The most that it holds.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Moves up to `most` bytes into it.
    pub(super) fn fill(&self, from: &impl AsFd, most: usize) -> io::Result<usize> {
        through(from, &self.writer, most)
    }

    /// Moves up to `most` bytes out of it.
    pub(super) fn drain(&self, to: &impl AsFd, most: usize) -> io::Result<usize> {
        through(&self.reader, to, most)
    }

    /// Gives what is in it to another one as well, up to `most` bytes.
    pub(super) fn share(&self, with: &Self, most: usize) -> io::Result<usize> {
        Ok(tee(&self.reader, &with.writer, most, SpliceFlags::NONBLOCK)?)
    }
}

/// Both kinds of stream sockets.
macro_rules! kernel {
    ($($socket:ty: { $($skip:item)* }),* $(,)?) => {$(
        impl Stream for $socket {
            fn bare(&mut self) -> Option<&mut dyn Bare> {
                Some(self)
            }

            fn socket(&self) -> Option<BorrowedFd<'_>> {
                Some(self.as_fd())
            }
        }

        impl Bare for $socket {
            fn poll_fill(&mut self, cx: &mut Context<'_>, pipe: &Pipe, most: usize) -> Poll<io::Result<usize>> {
                loop {
                    ready!(self.poll_read_ready(cx))?;
                    match self.try_io(Interest::READABLE, || pipe.fill(&*self, most)) {
                        Err(error) if is_passing(&error) => {}
                        moved => return Poll::Ready(moved),
                    }
                }
            }

            fn poll_out(
                &mut self,
                cx: &mut Context<'_>,
                give: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<usize>,
            ) -> Poll<io::Result<usize>> {
                loop {
                    ready!(self.poll_write_ready(cx))?;
                    match self.try_io(Interest::WRITABLE, || give(self.as_fd())) {
                        Err(error) if is_passing(&error) => {}
                        given => return Poll::Ready(given),
                    }
                }
            }

            $($skip)*
        }
    )*};
}

kernel! {
    TcpStream: {
        fn poll_skip(&mut self, cx: &mut Context<'_>, most: usize, below: bool) -> Poll<io::Result<usize>> {
            if below {
                // Whoever sends without end is not the only one on this core.
                let turn = ready!(coop::poll_proceed(cx));
                match bulk::discard(&*self, most) {
                    Err(error) if is_passing(&error) => {}
                    skipped => {
                        turn.made_progress();
                        return Poll::Ready(skipped);
                    }
                }
            }
            loop {
                ready!(self.poll_read_ready(cx))?;
                match self.try_io(Interest::READABLE, || bulk::discard(&*self, most)) {
                    Err(error) if is_passing(&error) => {}
                    skipped => return Poll::Ready(skipped),
                }
            }
        }

        fn set_low_water(&mut self, bytes: usize) {
            bulk::set_low_water(&*self, bytes);
        }
    },
    // The kernel throws nothing away here.
    UnixStream: {
        fn poll_skip(&mut self, cx: &mut Context<'_>, most: usize, _: bool) -> Poll<io::Result<usize>> {
            bulk::poll_read(cx, self, most)
        }

        fn set_low_water(&mut self, _: usize) {}
    },
}

fn through(from: &impl AsFd, to: &impl AsFd, most: usize) -> io::Result<usize> {
    Ok(splice(from, None, to, None, most, SpliceFlags::MOVE | SpliceFlags::NONBLOCK)?)
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::{io::AsyncWriteExt, net::TcpListener, task};

    use super::*;

    #[tokio::test]
    async fn others_get_their_turn_while_much_is_skipped() {
        const MUCH: usize = 10_000;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        client.write_all(&[b'x'; MUCH]).await.unwrap();
        while server.peek(&mut [0; MUCH]).await.unwrap() < MUCH {
            task::yield_now().await;
        }
        let other = task::spawn(std::future::ready(()));
        let mut skipped = 0;
        while skipped < MUCH && !other.is_finished() {
            skipped += poll_fn(|cx| server.poll_skip(cx, 1, true)).await.unwrap();
        }
        assert!(skipped < MUCH, "the other waited until nothing was left");
    }
}
