//! `hullo serve echo tcp://:7007 udp://:7007 ws://:7008 http://:7080`: gives back what comes.
//!
//! Streams are given back as they come, unframed (RFC 862). A WebSocket gets whole messages, text as text and binary as
//! binary; a datagram socket its datagrams; HTTP the body with its type, and a request without one `hullo`.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use http::{Request, Response, header::CONTENT_TYPE};
use hyper::body::Body as _;

use super::{Needs, Service, Spec};
use crate::{
    error::{Error, Result},
    io::{
        datagrams::{Batch, Datagrams},
        exchange::{Body, begun, text},
    },
    link::{Link, Wire},
    peer::Peer,
    pipe,
    scope::{BoxFuture, Scope},
    watch::Event,
};

/// This service's line of the table.
pub const SPEC: Spec = Spec {
    name: "echo",
    about: "gives back what comes, as it comes",
    sample: "hello",
    takes: &[],
    needs: Needs::Nothing,
    make: |_| Ok(Arc::new(Echo)),
};

/// How much of a request's body is read before the answer begins.
const GATHERED: usize = 64 << 10;

/// The echo service.
pub struct Echo;

impl Service for Echo {
    fn serve(self: Arc<Self>, link: Link) -> BoxFuture<'static, Result<()>> {
        match link.wire {
            Wire::Stream(mut stream) => Box::pin(async move {
                pipe::echo(&mut stream).await.map_err(|error| Error::io("the echo was cut off", error))?;
                Ok(())
            }),
            Wire::Packets(mut packets) => Box::pin(async move {
                while let Some(message) = packets.next().await {
                    packets.feed(message?).await?;
                    // More may be there already: then both leave together.
                    packets.flush().await?;
                }
                packets.close().await
            }),
        }
    }

    fn datagrams(self: Arc<Self>, socket: Datagrams, scope: Scope) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let mut batch = Batch::new();
            let stopped = scope.stopped();
            tokio::pin!(stopped);
            loop {
                let served = tokio::select! {
                    () = &mut stopped => return Ok(()),
                    received = socket.receive(&mut batch) => match received {
                        Ok(()) => socket.send_back(&batch).await,
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
        let (head, body) = request.into_parts();
        let bodied = !body.is_end_stream();
        Box::pin(async move {
            if !bodied {
                return Ok(text(http::StatusCode::OK, "hullo\n"));
            }
            // A request that turns out to be broken is not half answered, unless it is large.
            let mut response = Response::new(begun(body, GATHERED).await?);
            if let Some(kind) = head.headers.get(CONTENT_TYPE) {
                response.headers_mut().insert(CONTENT_TYPE, kind.clone());
            }
            Ok(response)
        })
    }

    fn is_measured(&self) -> bool {
        true
    }
}
