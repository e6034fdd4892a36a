//! `hullo serve greet --text 'Good day' tcp://:8010 http://:8011`: greets and closes.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode};
use tokio::io::AsyncWriteExt;

use super::{Needs, Service, Setting, Spec};
use crate::{
    error::{Error, Result},
    io::{
        datagrams::Datagrams,
        exchange::{Body, full, worded},
        linger,
    },
    link::{Link, Packets, Wire},
    message::Message,
    peer::Peer,
    scope::{BoxFuture, Scope},
    service::{Answer, Reply},
};

/// This service's line of the table.
pub const SPEC: Spec = Spec {
    name: "greet",
    about: "says hello and closes",
    sample: "",
    takes: &[Setting::Text],
    needs: Needs::Nothing,
    make: |settings| Ok(Arc::new(Greet::new(settings.text.as_deref().unwrap_or("Hello, World!")))),
};

/// The greeting service: a text, to whoever comes.
#[derive(Clone)]
pub struct Greet {
    line: Bytes,
    text: Bytes,
    page: Response<Bytes>,
}

impl Greet {
    /// Greets with this text, and CRLF after it where it is a line.
    pub fn new(text: &str) -> Self {
        let line = Bytes::from(format!("{text}\r\n"));
        Self { text: line.slice(..text.len()), page: worded(StatusCode::OK, line.clone()), line }
    }
}

impl Service for Greet {
    fn serve(self: Arc<Self>, link: Link) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            match link.wire {
                Wire::Stream(mut stream) => {
                    let greeted = async {
                        stream.write_all(&self.line).await?;
                        linger::close(&mut stream).await
                    };
                    greeted.await.map_err(|error| Error::io("nobody stayed for the greeting", error))
                }
                Wire::Packets(packets) => {
                    greet_packets(packets, Message { bytes: self.text.clone(), text: true }).await
                }
            }
        })
    }

    /// A datagram, whatever it says, is answered with the greeting.
    fn datagrams(self: Arc<Self>, socket: Datagrams, scope: Scope) -> BoxFuture<'static, Result<()>> {
        Arc::new(Answer(Greet::clone(&self))).datagrams(socket, scope)
    }

    fn exchange(self: Arc<Self>, _: Request<Body>, _: Peer, _: Scope) -> BoxFuture<'static, Result<Response<Body>>> {
        Box::pin(async move { Ok(self.page.clone().map(full)) })
    }

    fn prepared(&self, _: &str) -> Option<&Response<Bytes>> {
        Some(&self.page)
    }
}

async fn greet_packets(mut packets: Box<dyn Packets>, greeting: Message) -> Result<()> {
    packets.send(greeting).await?;
    packets.close().await?;
    // The peer's own farewell, and whatever it says before it.
    let farewell = async { while let Some(Ok(_)) = packets.next().await {} };
    let _ = tokio::time::timeout(std::time::Duration::from_secs(1), farewell).await;
    Ok(())
}

impl Reply for Greet {
    async fn reply(&self, _: Message, _: &Peer) -> Result<Option<Message>> {
        Ok(Some(Message { bytes: self.line.clone(), text: true }))
    }
}
