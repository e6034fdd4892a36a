//! `hullo serve discard tcp://:9009 udp://:9009`: takes everything and says nothing (RFC 863).
//!
//! Any number of clients may measure with it at once. What comes over plain TCP is thrown away in the kernel. Datagrams of
//! `hullo bench --up` have numbers: of those it keeps what has arrived, and tells their sender when it asks. The answer is
//! never longer than the question.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::time::Instant;

use super::{Needs, Service, Spec};
use crate::{
    error::{Error, Result},
    io::{
        bulk,
        datagrams::{Batch, Datagrams, Source},
        exchange::{Body, text},
    },
    link::{Link, Packets, Wire},
    message::Message,
    peer::Peer,
    scope::{BoxFuture, Scope},
    stamp::{Runs, Train},
    watch::Event,
};

/// This service's line of the table.
pub const SPEC: Spec = Spec {
    name: "discard",
    about: "takes everything and says nothing",
    sample: "nobody will hear this",
    takes: &[],
    needs: Needs::Nothing,
    make: |_| Ok(Arc::new(Discard)),
};

/// The discard service.
pub struct Discard;

impl Service for Discard {
    fn serve(self: Arc<Self>, link: Link) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let mut stream = match link.wire {
                Wire::Packets(packets) if packets.lossy() => return take(packets).await,
                wire => Link { wire, ..link }.stream(),
            };
            let drained = async {
                bulk::drain(&mut stream).await?;
                tokio::io::AsyncWriteExt::shutdown(&mut stream).await
            };
            drained.await.map_err(|error| Error::io("cannot go on reading", error))
        })
    }

    fn datagrams(self: Arc<Self>, socket: Datagrams, scope: Scope) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let mut batch = Batch::new();
            let mut runs = Runs::default();
            let began = Instant::now();
            let stopped = scope.stopped();
            tokio::pin!(stopped);
            loop {
                let received = tokio::select! {
                    () = &mut stopped => return Ok(()),
                    received = socket.receive(&mut batch) => received,
                };
                match received {
                    Ok(()) => answer(&socket, &batch, &mut runs, began.elapsed()),
                    Err(error) => {
                        scope.tell(&Event::Trouble { peer: None, error: &Error::io("a datagram was lost", error) });
                    }
                }
            }
        })
    }

    fn exchange(
        self: Arc<Self>,
        request: Request<Body>,
        _: Peer,
        _: Scope,
    ) -> BoxFuture<'static, Result<Response<Body>>> {
        Box::pin(async move {
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                frame?;
            }
            Ok(text(StatusCode::NO_CONTENT, ""))
        })
    }

    fn is_measured(&self) -> bool {
        true
    }
}

/// Takes note of those that have numbers, and answers those who ask what came of them.
fn answer(socket: &Datagrams, batch: &Batch, runs: &mut Runs<Source>, at: Duration) {
    for train in batch.trains() {
        let from = train.from();
        let answer = runs.hear(Train { from: from.clone(), at, drops: train.drops() }, train.datagrams());
        if let Some(answer) = answer.filter(|_| from.answerable()) {
            // While we waited for room the kernel would drop what comes: whoever has no answer asks again.
            let _ = socket.try_send_to(from, &answer);
        }
    }
}

/// The same for packets of one peer.
async fn take(mut packets: Box<dyn Packets>) -> Result<()> {
    let mut runs = Runs::default();
    let began = Instant::now();
    while let Some(message) = packets.next().await {
        let bytes = message?.bytes;
        let train = Train { from: (), at: began.elapsed(), drops: packets.drops() };
        if let Some(answer) = runs.hear(train, [&bytes[..]].into_iter()) {
            packets.send(Message::binary(answer.to_vec())).await?;
        }
    }
    packets.close().await
}
