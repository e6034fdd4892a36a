//! `nc -u localhost 7060`: lines in datagrams, each of which ends as a line does.
//!
//! A program that shows datagrams as they come, as `nc` does, would show all of them in one line without that.

use std::{
    os::fd::BorrowedFd,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{Sink, Stream};

use crate::{
    error::{Error, Result},
    link::Packets,
    message::Message,
};

/// Datagrams, of which those that we send end with a newline.
pub(super) struct Datagrams(pub(super) Box<dyn Packets>);

impl Stream for Datagrams {
    type Item = Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0).poll_next(cx)
    }
}

impl Sink<Message> for Datagrams {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<()> {
        let line = [&message.bytes[..], b"\n"].concat();
        Pin::new(&mut self.0).start_send(Message { bytes: line.into(), ..message })
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

impl Packets for Datagrams {
    fn largest(&self) -> usize {
        self.0.largest().saturating_sub(1)
    }

    fn ends(&self) -> bool {
        self.0.ends()
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.0.socket()
    }

    fn lossy(&self) -> bool {
        self.0.lossy()
    }
}
