//! One HTTP/2 connection of a server (RFC 9113), by hyper.

use std::sync::Arc;

use ::http::{
    HeaderValue, Method, Request, Response,
    header::{CONTENT_LENGTH, EXPECT},
};
use http_body_util::BodyExt;
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http2,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::{ALWAYS, Front, head, seen::Seen, wire::Wire};
use crate::{
    error::{Error, Kind, Result},
    io::{
        exchange::{Body, empty},
        paced::Paced,
        prefixed::Prefixed,
        unread::{Left, Unread},
    },
    peer::Peer,
};

/// Serves a connection to its end.
pub(super) async fn serve(front: Arc<Front>, peer: Peer, wire: Wire) -> Result<()> {
    let (mut stream, read) = wire.into_parts();
    // A server that stops says so in this protocol's own way, and finishes what is under way.
    stream.heed_stop(false);
    let scope = front.scope.clone();
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .max_header_list_size(head::LARGEST as u32)
        .keep_alive_interval(scope.limits().idle)
        .timer(TokioTimer::new());
    let service = hyper::service::service_fn(move |request| answer(front.clone(), request, peer.clone()));
    let connection = builder.serve_connection(TokioIo::new(Prefixed::new(read, stream)), service);
    tokio::pin!(connection);
    let stopped = scope.stopped();
    let served = tokio::select! {
        served = &mut connection => served,
        () = stopped => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    served.map_err(|error| Error::new(Kind::Cut, "the HTTP connection was cut off").because(error))
}

async fn answer(front: Arc<Front>, request: Request<Incoming>, peer: Peer) -> Result<Response<Body>> {
    let head = request.method() == Method::HEAD;
    let cut = |error| Error::new(Kind::Cut, "the request's body was cut off").because(error as hyper::Error);
    // Who waits to be asked for the body has not sent it.
    let (left, expects) = (Left::default(), request.headers().contains_key(EXPECT));
    let request = request.map(|body| match body.is_end_stream() {
        true => empty(),
        false => {
            let body = Paced::new(body.map_err(cut), &front.scope).boxed_unsync();
            Unread::new(body, &left).boxed_unsync()
        }
    });
    let seen = Seen::of(request.headers());
    let mut response = front.answer(request, seen, &peer).await?;
    if !expects {
        left.throw_away(&front.scope).await;
    }
    for (name, value) in ALWAYS.iter().filter_map(|(_, line)| line.trim_end().split_once(": ")) {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    if head {
        // The answer to HEAD says how long the one to GET would be, and has no body; what makes it need not run on.
        if let Some(length) = response.body().size_hint().exact() {
            response.headers_mut().entry(CONTENT_LENGTH).or_insert(length.into());
        }
        *response.body_mut() = empty();
    }
    Ok(response)
}
