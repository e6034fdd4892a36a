//! A session whose two directions belong to different parts: one task hears, and anybody may talk.
//!
//! Whoever talks to many at once writes to each socket directly, from where it stands, and never waits: [`Outbox::post`].
//! The bytes are encoded once for all ([`Post`]) and shared. What a full socket does not take waits in a bounded queue,
//! which leaves while the [`Inbox`] is waited on, by its own task.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Bytes, BytesMut};
use futures_util::Sink;

use super::{Messages, Session, cut};
use crate::{
    error::{Error, Kind, Result},
    framing,
    message::Message,
    peer::Peer,
    scope::Scope,
};

/// What each thing in a queue costs beside its bytes, which others may share.
const OVERHEAD: usize = 64;

/// The side of a session that hears. It alone ends the conversation.
pub struct Inbox {
    shared: Arc<Shared>,
    peer: Peer,
    scope: Scope,
}

/// The side of a session that talks. Cheap to clone.
#[derive(Clone)]
pub struct Outbox(Arc<Shared>);

struct Shared(Mutex<Halves>);

struct Halves {
    /// Nothing once the inbox has taken it back, to end it.
    session: Option<Session>,
    /// What the wire has not taken yet: bytes of a stream, or whole messages.
    queue: VecDeque<Message>,
    queued: usize,
    most: usize,
    /// Nothing more goes out behind what is queued, and nothing more is heard.
    ended: bool,
    /// Why nothing more can be said.
    failed: Option<Error>,
    /// The task that waits in the inbox.
    task: Option<Waker>,
}

/// Messages that go to many, encoded once for each framing that is met.
#[derive(Default)]
pub struct Post {
    messages: Vec<Message>,
    encoded: Vec<(&'static str, Bytes)>,
}

impl Post {
    /// Those messages, in that order.
    pub fn new(messages: Vec<Message>) -> Self {
        Self { messages, encoded: Vec::new() }
    }

    /// The messages.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// All of it as bytes of a stream.
    fn framed(&mut self, spec: &'static framing::Spec) -> Result<Bytes> {
        if let Some((_, bytes)) = self.encoded.iter().find(|(name, _)| *name == spec.name) {
            return Ok(bytes.clone());
        }
        let (mut framing, mut all) = ((spec.make)(usize::MAX), BytesMut::new());
        for message in &self.messages {
            framing.encode(message, &mut all)?;
        }
        let bytes = all.freeze();
        self.encoded.push((spec.name, bytes.clone()));
        Ok(bytes)
    }
}

impl From<Message> for Post {
    fn from(message: Message) -> Self {
        Self::new(vec![message])
    }
}

impl Session {
    /// Two halves, of which any part may hold the one that talks. At most about `most` bytes wait for a peer that does not
    /// read; [`Outbox::post`] says when that is too little.
    pub fn split(self, most: usize) -> (Inbox, Outbox) {
        let (peer, scope) = (self.peer.clone(), self.scope.clone());
        let halves = Halves {
            session: Some(self),
            queue: VecDeque::new(),
            queued: 0,
            most,
            ended: false,
            failed: None,
            task: None,
        };
        let shared = Arc::new(Shared(Mutex::new(halves)));
        (Inbox { shared: shared.clone(), peer, scope }, Outbox(shared))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Halves> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outbox {
    /// Sends, without waiting: what the wire takes leaves now, from this thread, and the rest when the peer reads. Posts of
    /// several threads come one after the other.
    ///
    /// Within a task, many posts at once need [`tokio::task::unconstrained`]: else the runtime makes each task wait after
    /// so many of them, and the rest goes through the queue.
    ///
    /// # Errors
    /// [`Kind::TooLarge`]: the peer does not read, and its queue is full; nothing of this post was taken. Or that this
    /// conversation has ended.
    pub fn post(&self, post: &mut Post) -> Result<()> {
        self.0.lock().post(post, true)
    }

    /// The same through the queue: for threads that are no runtime's.
    ///
    /// # Errors
    /// As [`post`](Outbox::post).
    pub fn queue(&self, post: &mut Post) -> Result<()> {
        self.0.lock().post(post, false)
    }

    /// Ends the conversation: what is queued may leave, nothing more is taken, and the inbox hears an end. With `last`
    /// words the queue of a peer that does not read is dropped, and they are all that it may still read.
    pub fn end(&self, last: Option<Message>) {
        let mut halves = self.0.lock();
        if halves.ended {
            return;
        }
        if let Some(last) = last {
            halves.forget();
            // It may be beyond reading that.
            let _ = halves.post(&mut last.into(), false);
        }
        halves.ended = true;
        halves.wake();
    }
}

impl Inbox {
    /// Who is there.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What the conversation lives in.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The next message; nothing once the peer has ended its side, or we have. Cancel-safe. While it waits, what is queued
    /// leaves.
    ///
    /// # Errors
    /// As [`Session::recv`].
    pub async fn recv(&mut self) -> Result<Option<Message>> {
        poll_fn(|cx| self.shared.lock().poll_recv(cx)).await
    }

    /// Waits for something else, while what is queued leaves. As cancel-safe as that is.
    pub async fn during<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = pin!(other);
        poll_fn(|cx| {
            self.shared.lock().drive(cx);
            other.as_mut().poll(cx)
        })
        .await
    }

    /// Waits until what was posted has left. Cancel-safe.
    ///
    /// # Errors
    /// The wire's, or that an outbox has ended the conversation.
    pub async fn flush(&mut self) -> Result<()> {
        poll_fn(|cx| {
            let mut halves = self.shared.lock();
            halves.listen(cx);
            if halves.ended { Poll::Ready(Err(ended())) } else { halves.poll_out(cx) }
        })
        .await
    }

    /// Ends the conversation so that the peer can read all that was posted. Nothing can be posted any more.
    ///
    /// # Errors
    /// What was posted did not all leave.
    pub async fn close(self) -> Result<()> {
        self.shared.lock().ended = true;
        poll_fn(|cx| {
            let mut halves = self.shared.lock();
            halves.listen(cx);
            halves.poll_out(cx)
        })
        .await?;
        let session = self.shared.lock().session.take();
        match session {
            Some(session) => session.close().await,
            None => Ok(()),
        }
    }
}

impl Drop for Inbox {
    /// Nobody hears any more: the wire goes too, whoever may still hold an outbox.
    fn drop(&mut self) {
        let mut halves = self.shared.lock();
        halves.ended = true;
        let session = halves.session.take();
        drop(halves);
        drop(session);
    }
}

impl Halves {
    fn post(&mut self, post: &mut Post, now: bool) -> Result<()> {
        if self.ended || self.failed.is_some() {
            return Err(ended());
        }
        if self.queued > self.most {
            return Err(full());
        }
        let mut nobody = Context::from_waker(Waker::noop());
        let direct = now && self.queue.is_empty();
        let Some(session) = &mut self.session else { return Err(ended()) };
        let sent = match &mut session.wire {
            Messages::Framed(framed) => {
                let mut bytes = post.framed(framed.spec)?;
                let sent = if direct { framed.poll_put(&mut bytes, &mut nobody) } else { Poll::Pending };
                if sent.is_pending() {
                    put(&mut self.queue, &mut self.queued, Message::binary(bytes));
                }
                sent.map_err(cut)
            }
            Messages::Packets(packets) => {
                let mut sent = if direct { Poll::Ready(Ok(())) } else { Poll::Pending };
                for message in &post.messages {
                    if matches!(sent, Poll::Ready(Ok(()))) {
                        sent = Pin::new(&mut *packets).poll_ready(&mut nobody);
                    }
                    match sent {
                        Poll::Ready(Ok(())) => sent = Poll::Ready(Pin::new(&mut *packets).start_send(message.clone())),
                        Poll::Ready(Err(_)) => break,
                        Poll::Pending => put(&mut self.queue, &mut self.queued, message.clone()),
                    }
                }
                match sent {
                    Poll::Ready(Ok(())) => Pin::new(packets).poll_flush(&mut nobody),
                    other => other,
                }
            }
        };
        match sent {
            Poll::Ready(Ok(())) => return Ok(()),
            Poll::Ready(Err(error)) => self.failed = Some(error),
            Poll::Pending => {}
        }
        self.wake();
        Ok(())
    }

    /// Drops what is queued, but for a message of a stream that has begun to leave.
    fn forget(&mut self) {
        let begun = matches!(&self.session, Some(Session { wire: Messages::Framed(_), .. }));
        self.queue.truncate(usize::from(begun));
        self.queued = self.queue.iter().map(|message| message.bytes.len() + OVERHEAD).sum();
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>>> {
        self.drive(cx);
        if let Some(error) = self.failed.take() {
            self.ended = true;
            return Poll::Ready(Err(error));
        }
        match &mut self.session {
            Some(session) if !self.ended => session.poll_recv(cx),
            _ => Poll::Ready(Ok(None)),
        }
    }

    /// Lets what is queued leave. An error is kept for [`Inbox::recv`].
    fn drive(&mut self, cx: &mut Context<'_>) {
        self.listen(cx);
        if let Poll::Ready(Err(error)) = self.poll_out(cx) {
            self.failed.get_or_insert(error);
        }
    }

    fn listen(&mut self, cx: &Context<'_>) {
        match &mut self.task {
            Some(task) => task.clone_from(cx.waker()),
            None => self.task = Some(cx.waker().clone()),
        }
    }

    fn wake(&self) {
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }

    /// Writes what is queued, and flushes it.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(session) = &mut self.session else { return Poll::Ready(Ok(())) };
        while let Some(first) = self.queue.front_mut() {
            let size = first.bytes.len();
            let put = match &mut session.wire {
                Messages::Framed(framed) => framed.poll_put(&mut first.bytes, cx).map_err(cut),
                Messages::Packets(packets) => Pin::new(&mut *packets)
                    .poll_ready(cx)
                    .map(|ready| ready.and_then(|()| Pin::new(packets).start_send(std::mem::take(first)))),
            };
            self.queued -= size - first.bytes.len();
            ready!(put)?;
            self.queue.pop_front();
            self.queued -= OVERHEAD;
        }
        // The capacity goes back.
        self.queue = VecDeque::new();
        match &mut session.wire {
            Messages::Framed(framed) => framed.poll_flush(cx).map_err(cut),
            Messages::Packets(packets) => Pin::new(packets).poll_flush(cx),
        }
    }
}

fn put(queue: &mut VecDeque<Message>, queued: &mut usize, message: Message) {
    *queued += message.bytes.len() + OVERHEAD;
    queue.push_back(message);
}

fn full() -> Error {
    Error::new(Kind::TooLarge, "the peer does not read, and too much waits for it")
}

fn ended() -> Error {
    Error::new(Kind::Cut, "the conversation has ended")
}
