//! A link that is one exchange: what is written is the body of a POST, what is read is the response's.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::{mpsc, oneshot};

use super::{Way, exchange};
use crate::{
    address::Address,
    error::{Error, Kind, Result},
    io::exchange::{Body, Exchange},
    link::Link,
    peer::{Endpoint, Peer},
    scope::{BoxFuture, Scope},
};

/// A link that is one exchange: what is written is a POST's body, what is read the response's.
pub(in crate::transport::http) async fn connect(to: Address, scheme: &'static str, scope: Scope) -> Result<Link> {
    let (sender, mut pieces) = mpsc::channel(8);
    let body = StreamBody::new(futures_util::stream::poll_fn(move |cx| pieces.poll_recv(cx)));
    let uri = format!("{scheme}://{}{}", to.authority(), to.target());
    let request = Request::post(&uri)
        .body(BodyExt::boxed_unsync(body))
        .map_err(|error| Error::usage(format!("{to} is no URL")).because(error))?;
    let remote = Endpoint::Name(Arc::from(format!("//{}", to.authority())));
    let peer = Peer::new(scheme, remote, Endpoint::Unnamed).at_path(&to.target());
    // The response may come only after the whole request: its body is read as soon as there is one.
    let in_scope = scope.clone();
    let response = async move {
        let (response, _) = exchange(&to, request, &Way::default(), None, &in_scope).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response.into_body());
        }
        // The beginning of what it says about that, however much it is.
        let (mut body, mut said) = (response.into_body(), Vec::new());
        while said.len() < 200
            && let Some(Ok(frame)) = body.frame().await
        {
            said.extend_from_slice(frame.data_ref().map_or(&[][..], |data| &data[..data.len().min(200)]));
        }
        let said = String::from_utf8_lossy(&said[..said.len().min(200)]).trim().to_owned();
        Err(Error::new(Kind::Protocol, format!("{} answered {status}", to.bare())).because(said))
    };
    // It runs by itself: what is written leaves, though nobody may be reading yet.
    let (mut tell, told) = oneshot::channel();
    scope.spawn(async move {
        tokio::select! {
            response = response => drop(tell.send(response)),
            () = tell.closed() => {}
        }
    });
    let about = "the exchange was dropped";
    let response = async move { told.await.unwrap_or_else(|_| Err(Error::new(Kind::Cut, about))) };
    let body = Late { response: Some(Box::pin(response)), body: None };
    Ok(Link::over(Exchange::new(body.boxed_unsync(), sender).asking(), peer, scope))
}

/// A body that is still to come.
struct Late {
    response: Option<BoxFuture<'static, Result<Body>>>,
    body: Option<Body>,
}

impl hyper::body::Body for Late {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<hyper::body::Frame<Bytes>>>> {
        if let Some(response) = &mut self.response {
            let body = ready!(response.as_mut().poll(cx));
            self.response = None;
            self.body = Some(body?);
        }
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }
}
