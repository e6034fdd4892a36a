//! The two ends of a conversation, joined until both have ended.

use std::{
    future::poll_fn,
    io,
    task::{Context, Poll},
};

use futures_util::{FutureExt, future::join};

use super::{
    direct::Direct,
    staged::{Over, Pieces, Port, Staged, broken},
    tee::Tee,
};
use crate::{
    error::{Error, Result},
    fault::Chain,
    framing,
    io::linger::{close, cut_off},
    link::{BoxStream, Link, Stream as _, Wire},
    message::Message,
    pipe::settled,
    session::Session,
    traffic::{Form, Watched, Way},
};

/// What is joined, and how.
enum Pair {
    /// Streams between which nothing happens to the bytes.
    Direct(BoxStream, BoxStream, Both<Direct>),
    /// Streams.
    Bytes(Pieces, Pieces, Both<Staged>),
    /// Whole messages.
    Messages(Session, Session, Both<Staged>),
}

/// One of something for each way.
#[derive(Default)]
struct Both<T> {
    up: T,
    down: T,
}

/// Two ends that are being joined.
pub(super) struct Joint<'a> {
    pair: Pair,
    course: Course,
    sight: Sight<'a>,
}

/// Whoever wants to know what is handed over.
struct Sight<'a> {
    flow: &'a Watched,
    tee: Option<Tee>,
    is_tapped: bool,
}

/// How far the two ways have come.
#[derive(Default)]
struct Course {
    done: Both<bool>,
    /// A way has failed, and the other one goes on.
    failure: Option<Error>,
}

impl<'a> Joint<'a> {
    pub(super) fn new(
        client: Link,
        server: Link,
        chain: impl Fn(Way, bool) -> Option<Chain>,
        flow: &'a Watched,
        tee: Option<Tee>,
    ) -> Self {
        let is_tapped = flow.is_tapped();
        let may_splice = !is_tapped && tee.is_none();
        let packets = |link: &Link| matches!(link.wire, Wire::Packets(_));
        let framed = |link: &Link| link.scope.frame().is_some();
        let messages = packets(&client) && packets(&server) || framed(&client) || framed(&server);
        let (up, down) = (chain(Way::Up, messages), chain(Way::Down, messages));
        let is_faulty = up.is_some() || down.is_some();
        let staged = Both { up: Staged::new(up), down: Staged::new(down) };
        let pair = if messages {
            Pair::Messages(client.session(&framing::raw::SPEC), server.session(&framing::raw::SPEC), staged)
        } else if is_faulty {
            Pair::Bytes(Pieces::new(client.stream()), Pieces::new(server.stream()), staged)
        } else {
            let (mut client, mut server) = (client.stream(), server.stream());
            let may_splice = may_splice && client.bare().is_some() && server.bare().is_some();
            Pair::Direct(client, server, Both { up: Direct::new(may_splice), down: Direct::new(may_splice) })
        };
        Self { pair, course: Course::default(), sight: Sight { flow, tee, is_tapped } }
    }

    /// Moves what there is until both have ended, or a fault ends it.
    ///
    /// # Errors
    /// One of them broke off.
    pub(super) async fn run(&mut self) -> Result<Over> {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Closes both ends so that they can read what they were told, though they may not have ended.
    pub(super) async fn close(self) {
        // Who is gone already is none the worse for it.
        let _ = match self.pair {
            Pair::Direct(mut client, mut server, _) => join(close(&mut client), close(&mut server)).await,
            Pair::Bytes(client, server, _) => join(client.close(), server.close()).await,
            Pair::Messages(client, server, _) => {
                let io = |closed: Result<()>| closed.map_err(io::Error::from);
                join(client.close().map(io), server.close().map(io)).await
            }
        };
    }

    /// Has both ends see that it broke off, once this is dropped.
    pub(super) fn cut_off(&self) {
        let sockets = match &self.pair {
            Pair::Direct(client, server, _) => [client.socket(), server.socket()],
            Pair::Bytes(client, server, _) => [client.socket(), server.socket()],
            Pair::Messages(client, server, _) => [client.socket(), server.socket()],
        };
        sockets.into_iter().flatten().for_each(cut_off);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Over>> {
        let Self { pair, course, sight } = self;
        match pair {
            Pair::Direct(client, server, both) => course.poll(sight, |way, sight| {
                let one = both.of(way);
                let ends = match way {
                    Way::Up => (&mut *client, &mut *server),
                    Way::Down => (&mut *server, &mut *client),
                };
                let flow = sight.flow;
                let mut seen = |bytes: &[u8]| sight.see(way, bytes, Form::Stream);
                let moved = one.poll(cx, ends, &mut seen, &mut |n| flow.count_by_kernel(way, n as u64));
                Step { moved: moved.map_ok(|()| Over::Ended).map_err(broken), refused: one.is_refused(), last: false }
            }),
            Pair::Bytes(client, server, both) => course.poll(sight, |way, sight| {
                step(both.of(way), (client, server), way, cx, &mut |piece| sight.see(way, &piece.bytes, Form::Stream))
            }),
            Pair::Messages(client, server, both) => course.poll(sight, |way, sight| {
                let form = |piece: &Message| if piece.text { Form::Text } else { Form::Binary };
                step(both.of(way), (client, server), way, cx, &mut |piece| sight.see(way, &piece.bytes, form(piece)))
            }),
        }
    }
}

impl<T> Both<T> {
    fn of(&mut self, way: Way) -> &mut T {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }
}

/// What has come of a way for now.
struct Step {
    moved: Poll<Result<Over>>,
    /// It was the writer that failed.
    refused: bool,
    /// The end of this way is that of both: the writer cannot be told of it, and would talk to nobody.
    last: bool,
}

fn step<P: Port>(
    staged: &mut Staged,
    (client, server): (&mut P, &mut P),
    way: Way,
    cx: &mut Context<'_>,
    seen: &mut dyn FnMut(&Message),
) -> Step {
    let (from, to) = match way {
        Way::Up => (client, server),
        Way::Down => (server, client),
    };
    // When we are to stop, the ends of datagrams are ours, and nothing else would end what comes back.
    let last = to.is_endless() && (!from.is_endless() || from.is_stopping());
    let moved = staged.poll(cx, (from, to), seen);
    Step { moved, refused: staged.is_refused(), last }
}

impl Course {
    fn poll(&mut self, sight: &mut Sight<'_>, mut step: impl FnMut(Way, &mut Sight<'_>) -> Step) -> Poll<Result<Over>> {
        for way in [Way::Up, Way::Down] {
            if *self.done.of(way) {
                continue;
            }
            let Step { moved, refused, last } = step(way, sight);
            let moved = match moved {
                Poll::Ready(Ok(over)) => {
                    if over != Over::Ended {
                        return Poll::Ready(Ok(over));
                    }
                    sight.flow.end(way);
                    if last {
                        return Poll::Ready(Ok(over));
                    }
                    Poll::Ready(Ok(()))
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            };
            // Whoever takes nothing more may still have something to say.
            let waits = refused && !*self.done.of(way.back());
            *self.done.of(way) = settled(moved, waits, &mut self.failure)?;
        }
        match self.done.up && self.done.down {
            true => Poll::Ready(self.failure.take().map_or(Ok(Over::Ended), Err)),
            false => Poll::Pending,
        }
    }
}

impl Sight<'_> {
    fn see(&mut self, way: Way, bytes: &[u8], form: Form) {
        match self.is_tapped {
            true => self.flow.piece(way, bytes, form),
            false => self.flow.count(way, bytes.len() as u64),
        }
        if let Some(tee) = self.tee.as_mut().filter(|_| way == Way::Up) {
            tee.copy(bytes, form == Form::Text);
        }
    }
}
