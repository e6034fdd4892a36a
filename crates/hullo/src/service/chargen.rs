//! `hullo serve chargen tcp://:1919 udp://:1919`: characters without end (RFC 864).
//!
//! A stream gets lines until it ends or stops reading. A datagram of any content is answered with one of 3 lines: less
//! than the 512 characters that the RFC allows, so that a forged question brings its victim no flood.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Needs, Service, Spec};
use crate::{
    error::{Error, Result},
    link::{Link, Wire},
    message::Message,
    scope::BoxFuture,
};

/// This service's line of the table.
pub const SPEC: Spec = Spec {
    name: "chargen",
    about: "sends characters without end",
    sample: "go",
    takes: &[],
    needs: Needs::Nothing,
    make: |_| Ok(Arc::new(Chargen)),
};

/// The character generator.
pub struct Chargen;

/// The pattern repeats after so many lines, each of 72 characters and CRLF.
const LINES: usize = 95;
const WIDTH: usize = 72;

impl Service for Chargen {
    fn serve(self: Arc<Self>, link: Link) -> BoxFuture<'static, Result<()>> {
        let stopping = link.scope.clone();
        match link.wire {
            Wire::Packets(mut packets) if !packets.ends() => Box::pin(async move {
                let mut line = 0;
                while let Some(question) = packets.next().await {
                    question?;
                    packets.send(Message::text(lines(line, 3))).await?;
                    line += 1;
                }
                Ok(())
            }),
            wire => Box::pin(async move {
                let stream = Link { wire, ..link }.stream();
                let pattern = lines(0, LINES);
                let (mut reader, mut writer) = tokio::io::split(stream);
                let flood = async {
                    while !stopping.is_stopping() {
                        writer.write_all(pattern.as_bytes()).await?;
                    }
                    writer.shutdown().await
                };
                // What comes is of no interest, but must be read: it may be the news that the peer has gone.
                let sink = async {
                    let mut buf = [0; 1024];
                    while reader.read(&mut buf).await? > 0 {}
                    std::io::Result::Ok(())
                };
                let (flooded, _) = tokio::join!(flood, async {
                    match sink.await {
                        Ok(()) | Err(_) => (),
                    }
                });
                match flooded.map_err(|error| Error::io("the flood was cut off", error)) {
                    // That is how a client says that it has enough.
                    Err(error) if error.kind() == crate::error::Kind::Cut => Ok(()),
                    done => done,
                }
            }),
        }
    }

    fn is_measured(&self) -> bool {
        true
    }
}

/// Lines of the pattern: each begins one character later than the one before.
fn lines(from: usize, count: usize) -> String {
    let mut text = String::with_capacity(count * (WIDTH + 2));
    for line in from..from + count {
        text.extend((line..line + WIDTH).map(|at| char::from(b' ' + (at % LINES) as u8)));
        text.push_str("\r\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_is_that_of_the_rfc() {
        let text = lines(0, LINES);
        assert!(text.starts_with(" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg\r\n!\"#"));
        assert_eq!(text.len(), LINES * (WIDTH + 2));
        assert!(lines(7, 3).len() < 256);
    }
}
