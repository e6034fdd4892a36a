//! `hullo serve discard tcp://:9009 udp://:9009`: takes everything and says nothing (RFC 863).
//!
//! Any number of clients may measure with it at once. What comes over plain TCP is thrown away in the kernel.

use std::sync::Arc;

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;

use super::{Needs, Service, Spec};
use crate::{
    error::{Error, Result},
    io::{
        bulk,
        exchange::{Body, text},
    },
    link::Link,
    peer::Peer,
    scope::{BoxFuture, Scope},
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
            let mut stream = link.stream();
            let drained = async {
                bulk::drain(&mut stream).await?;
                tokio::io::AsyncWriteExt::shutdown(&mut stream).await
            };
            drained.await.map_err(|error| Error::io("cannot go on reading", error))
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
