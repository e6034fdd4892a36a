//! Records of ours that have not left yet. They leave together, as many as there are.

use std::{
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{io::AsyncWrite, net::TcpStream};

/// How many records leave in one system call.
const AT_ONCE: usize = 8;

/// What is to be sent, which mostly is nothing.
#[derive(Default)]
pub(super) struct Owed {
    records: Vec<Vec<u8>>,
    /// How much of the first one has left.
    left: usize,
    /// All of it can wait for what is said next, or until there is nothing to be read.
    waits: bool,
    /// Among them is an answer to a change of keys; one is enough.
    pub(super) answered: bool,
    /// Why some of it did not leave, which is still to be told.
    failed: Option<io::Error>,
}

impl Owed {
    /// What need not leave by itself.
    pub(super) fn waiting(records: Vec<u8>) -> Self {
        let waits = !records.is_empty();
        Self { records: if waits { vec![records] } else { Vec::new() }, waits, ..Self::default() }
    }

    pub(super) fn push(&mut self, record: Vec<u8>) {
        self.records.push(record);
        self.waits = false;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether nothing has to leave before more is said.
    pub(super) fn takes_more(&self) -> bool {
        self.is_empty() || self.waits
    }

    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Has the next attempt to send fail like this one, which was not told.
    pub(super) fn fail_later(&mut self, error: io::Error) {
        self.failed = Some(error);
    }

    /// Sends all of it. Cancel-safe: what has not left stays.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>, socket: &mut TcpStream) -> Poll<io::Result<()>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        self.waits = false;
        while !self.is_empty() {
            let mut slices = [IoSlice::new(&[]); AT_ONCE];
            let slices = self.slices(&mut slices);
            let n = ready!(Pin::new(&mut *socket).poll_write_vectored(cx, slices))?;
            if n == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.sent(n);
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what the kernel takes at once: whoever reads must not be kept by one who does not.
    pub(super) fn send_now(&mut self, socket: &TcpStream) {
        if self.is_empty() {
            return;
        }
        self.waits = false;
        let mut slices = [IoSlice::new(&[]); AT_ONCE];
        if let Ok(n) = socket.try_write_vectored(self.slices(&mut slices)) {
            self.sent(n);
        }
    }

    fn slices<'a, 'b>(&'a self, slices: &'b mut [IoSlice<'a>; AT_ONCE]) -> &'b [IoSlice<'a>] {
        for (slice, record) in slices.iter_mut().zip(&self.records) {
            *slice = IoSlice::new(record);
        }
        slices[0].advance(self.left);
        &slices[..self.records.len().min(AT_ONCE)]
    }

    fn sent(&mut self, n: usize) {
        self.left += n;
        let mut whole = 0;
        while let Some(record) = self.records.get(whole)
            && self.left >= record.len()
        {
            self.left -= record.len();
            whole += 1;
        }
        if whole < self.records.len() {
            self.records.drain(..whole);
        } else {
            *self = Self::default();
        }
    }

    /// How much of it there is.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.records.iter().map(Vec::capacity).sum::<usize>() + self.records.capacity()
    }
}
