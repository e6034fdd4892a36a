//! A stream socket of the kernel, with less between a message and its system call than the runtime's own types have.
//!
//! They ask first whether the socket is ready, and enter whoever waits; here it is read and written at once, and only who
//! has to wait asks. The calls are the kernel's own, which no C library looks at for the end of a thread.

use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{TcpStream, UnixStream},
    task::coop,
};

use super::splice::Bare;
use crate::link::Stream;

/// A socket that is registered with the runtime.
pub(crate) struct Socket<S>(pub(crate) S);

/// What the runtime's two types of stream sockets have in common, and no trait of its own says.
pub(crate) trait Registered: AsFd + AsyncRead + AsyncWrite + Stream {
    fn try_io<T>(&self, interest: Interest, call: impl FnOnce() -> io::Result<T>) -> io::Result<T>;
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

macro_rules! registered {
    ($($socket:ty),*) => {$(
        impl Registered for $socket {
            fn try_io<T>(&self, interest: Interest, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
                <$socket>::try_io(self, interest, call)
            }

            fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                <$socket>::poll_read_ready(self, cx)
            }

            fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                <$socket>::poll_write_ready(self, cx)
            }
        }
    )*};
}

registered!(TcpStream, UnixStream);

impl<S: Registered> Socket<S> {
    /// Moves up to `most` bytes by `call`, once the socket is ready for it.
    fn poll_move(
        &self,
        cx: &mut Context<'_>,
        interest: Interest,
        most: usize,
        mut call: impl FnMut() -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            // Whoever finds the socket ready at every turn is not the only one on this core.
            let turn = ready!(coop::poll_proceed(cx));
            let mut moved = None;
            let tried = self.0.try_io(interest, || {
                let n = *moved.insert(call()?);
                // Less than there was room for is all that there is: to say so now spares the call that finds nothing.
                if 0 < n && n < most { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            match (moved, tried) {
                (Some(n), _) => {
                    turn.made_progress();
                    return Poll::Ready(Ok(n));
                }
                (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                (None, Err(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                (None, tried) => return Poll::Ready(tried.map(|()| 0)),
            }
            // Given back, since waiting takes one of its own.
            drop(turn);
            match interest.is_readable() {
                true => ready!(self.0.poll_read_ready(cx))?,
                false => ready!(self.0.poll_write_ready(cx))?,
            }
        }
    }
}

impl<S: Registered> AsyncRead for Socket<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.initialized().len() < buf.capacity() {
            // The runtime may leave to the kernel what would have to be zeroed here.
            return Pin::new(&mut this.0).poll_read(cx, buf);
        }
        let room = buf.initialize_unfilled();
        let most = room.len();
        let receive = || recv(&this.0, &mut *room, RecvFlags::empty()).map(|(_, n)| n);
        let n = ready!(this.poll_move(cx, Interest::READABLE, most, receive))?;
        buf.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl<S: Registered> AsyncWrite for Socket<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_move(cx, Interest::WRITABLE, buf.len(), || send(&self.0, buf, SendFlags::NOSIGNAL))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

impl<S: Registered> Stream for Socket<S> {
    fn bare(&mut self) -> Option<&mut dyn Bare> {
        self.0.bare()
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.0.socket()
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, io::Write as _, net};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        task,
    };

    use super::*;
    use crate::io::scratch;

    /// Both ends of a connection: what is written into the second has come when the call returns.
    async fn pair() -> (Socket<TcpStream>, net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Socket(listener.accept().await.unwrap().0), client)
    }

    async fn read(socket: &mut Socket<TcpStream>, buf: &mut [u8]) -> usize {
        poll_fn(|cx| scratch::poll_read(cx, Pin::new(socket), buf)).await.unwrap()
    }

    #[tokio::test]
    async fn what_was_read_whole_is_not_looked_for_again() {
        let (mut socket, mut client) = pair().await;
        let mut buf = [0; 100];
        for text in ["one", "two", "three"] {
            client.write_all(text.as_bytes()).unwrap();
            assert_eq!(read(&mut socket, &mut buf).await, text.len());
            assert_eq!(&buf[..text.len()], text.as_bytes());
        }
        client.write_all(b"four").unwrap();
        // It is there, and the runtime has not been told yet: only a call that is spared does not find it.
        let first = poll_fn(|cx| Poll::Ready(scratch::poll_read(cx, Pin::new(&mut socket), &mut buf).is_pending()));
        assert!(first.await, "the kernel was asked, though it had no more");
        // Whoever waits is woken.
        assert_eq!(read(&mut socket, &mut buf).await, 4);
        drop(client);
        assert_eq!(read(&mut socket, &mut buf).await, 0);
    }

    #[tokio::test]
    async fn what_fills_the_room_may_have_more_behind_it() {
        let (mut socket, mut client) = pair().await;
        client.write_all(b"hullo").unwrap();
        let mut buf = [0; 2];
        for text in ["hu", "ll"] {
            assert_eq!(read(&mut socket, &mut buf).await, 2);
            assert_eq!(&buf, text.as_bytes());
        }
        assert_eq!(read(&mut socket, &mut buf).await, 1);
        // A buffer that is not zeroed is one too.
        client.write_all(b"again").unwrap();
        let mut vec = Vec::with_capacity(100);
        assert_eq!(socket.read_buf(&mut vec).await.unwrap(), 5);
        assert_eq!(vec, b"again");
    }

    #[tokio::test]
    async fn a_writer_waits_for_its_reader() {
        const MUCH: usize = 20 << 20;
        let (mut socket, mut client) = pair().await;
        let writing = task::spawn(async move {
            socket.write_all(&vec![7; MUCH]).await.unwrap();
            socket.shutdown().await
        });
        // It has filled what the kernel takes before anybody reads.
        task::yield_now().await;
        assert!(!writing.is_finished());
        let reading = task::spawn_blocking(move || io::copy(&mut client, &mut io::sink()));
        assert_eq!(reading.await.unwrap().unwrap(), MUCH as u64);
        writing.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn others_get_their_turn_while_much_is_read() {
        const MUCH: usize = 10_000;
        let (mut socket, mut client) = pair().await;
        client.write_all(&[b'x'; MUCH]).unwrap();
        let other = task::spawn(std::future::ready(()));
        let mut come = 0;
        while come < MUCH && !other.is_finished() {
            come += read(&mut socket, &mut [0]).await;
        }
        assert!(come < MUCH, "the other waited until nothing was left");
    }
}
