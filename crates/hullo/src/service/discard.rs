//! `hullo serve discard tcp://:9009 udp://:9009`: takes everything and says nothing (RFC 863).
//!
//! Any number of clients may measure with it at once. What comes over plain TCP is thrown away in the kernel. Datagrams of
//! `hullo bench --up` have numbers: of those it keeps what has arrived, and tells their sender when it asks. The answer is
//! never longer than the question.

use std::{io, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::time::Instant;

use super::{Needs, Service, Spec};
use crate::{
    error::{Error, Result},
    io::{
        bulk,
        datagrams::{self, Batch, Datagrams, Source},
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
                let served = tokio::select! {
                    () = &mut stopped => return Ok(()),
                    received = socket.receive(&mut batch) => match received {
                        Ok(()) => answer(&socket, &batch, &mut runs, began.elapsed()).await,
                        failed => failed,
                    },
                };
                if let Err(error) = served {
                    scope.tell(&Event::Trouble { peer: None, error: &Error::io("a datagram was lost", error) });
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
async fn answer(socket: &Datagrams, batch: &Batch, runs: &mut Runs<Source>, at: Duration) -> io::Result<()> {
    let hear = |train: datagrams::Train<'_>| {
        let answer = runs.hear(Train { from: train.from(), at, drops: train.drops() }, train.datagrams())?;
        train.from().answerable().then_some((train.from(), answer))
    };
    let answers: Vec<_> = batch.trains().filter_map(hear).collect();
    let answers: Vec<_> = answers.iter().map(|(to, answer)| (*to, &answer[..])).collect();
    socket.send(&answers).await
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
