//! The changes of a collection as they happen: server-sent events.
//!
//! Nothing is queued for a reader: each event is read from the database when there is room for it. Who is slow misses
//! what lies between, and gets each item as it is then; who comes back says with `Last-Event-ID` where it was.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream::unfold;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::{sync::watch, time::timeout};

use super::{
    problem::Answer,
    store::{Change, Store},
};
use crate::{
    error::{Error, Kind},
    io::exchange::Body,
    scope::Scope,
};

/// How often changes are looked for that nobody told of: another process may have made them.
const LOOK: Duration = Duration::from_secs(1);

/// After so many looks without anything a comment is sent, so that both ends know of each other.
const QUIET: u32 = 15;

/// Changes that are read at once.
const BATCH: usize = 100;

/// The stream of what changes after that number.
pub(crate) fn events(store: Arc<dyn Store>, collection: String, after: i64, scope: Scope) -> Body {
    let waiting = store.hub().follow(&collection);
    let begun = VecDeque::from([Bytes::from(format!("retry: 2000\n: the changes of {collection} after {after}\n\n"))]);
    let follower = Follower { store, collection, after, scope, waiting, ready: begun };
    let pieces = unfold(follower, |mut follower| async move {
        let piece = follower.next().await?;
        Some((piece.map(Frame::data), follower))
    });
    BodyExt::boxed_unsync(StreamBody::new(pieces))
}

struct Follower {
    store: Arc<dyn Store>,
    collection: String,
    after: i64,
    scope: Scope,
    waiting: watch::Receiver<()>,
    ready: VecDeque<Bytes>,
}

impl Follower {
    /// The next event; nothing once the server stops.
    async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        let mut quiet = 0;
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if let Err(problem) = self.look().await {
                let about = format!("cannot follow {}: {}", self.collection, problem.detail);
                return Some(Err(Error::new(Kind::Other, about)));
            }
            if !self.ready.is_empty() {
                continue;
            }
            tokio::select! {
                () = self.scope.stopped() => return None,
                told = timeout(LOOK, self.waiting.changed()) => quiet = if told.is_ok() { 0 } else { quiet + 1 },
            }
            if quiet == QUIET {
                return Some(Ok(Bytes::from_static(b":\n\n")));
            }
        }
    }

    async fn look(&mut self) -> Answer<()> {
        let found = self.store.changes(&self.collection, self.after, BATCH).await?;
        if found.forgotten {
            // What was removed since then is not known any more: begin again with a list.
            self.ready.push_back(Bytes::from_static(b"event: reset\ndata: {}\n\n"));
            self.after = 0;
            return Ok(());
        }
        if let Some(last) = found.changes.last() {
            self.after = last.revision;
        }
        self.ready.extend(found.changes.iter().map(event));
        Ok(())
    }
}

fn event(change: &Change) -> Bytes {
    let (revision, id) = (change.revision, &change.id);
    // JSON as it is kept has no line breaks.
    Bytes::from(match &change.body {
        Some(body) => format!("id: {revision}\nevent: put\ndata: {body}\n\n"),
        None => format!("id: {revision}\nevent: delete\ndata: {}\n\n", serde_json::json!({ "id": id })),
    })
}
