//! `hullo serve chargen tcp://:1919 udp://:1919`: characters without end (RFC 864).
//!
//! A stream gets lines until it ends or stops reading. A datagram is answered with one of at most 3 lines, which is never
//! longer than 3 times the question, so that a forged question brings its victim no flood. One that is itself such an
//! answer is not answered: a forged question from the port of an echo would go round for ever.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll, ready},
};

use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWrite;

use super::{Needs, Service, Spec};
use crate::{
    error::{Error, Kind, Result},
    io::{
        bulk::Skip,
        give::{Give, Pattern},
    },
    link::{BoxStream, Link, Wire},
    message::Message,
    scope::{BoxFuture, Scope},
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

/// A datagram has at most so many of them, and at most so many times the bytes of its question.
const MOST: usize = 3;

impl Service for Chargen {
    fn serve(self: Arc<Self>, link: Link) -> BoxFuture<'static, Result<()>> {
        let stopping = link.scope.clone();
        match link.wire {
            Wire::Packets(mut packets) if !packets.ends() => Box::pin(async move {
                let mut line = 0;
                while let Some(question) = packets.next().await {
                    if let Some(answer) = answer(&question?.bytes, line) {
                        packets.send(Message::text(answer)).await?;
                        line += 1;
                    }
                }
                Ok(())
            }),
            wire => Box::pin(async move {
                let mut flood = Flood {
                    stream: Link { wire, ..link }.stream(),
                    give: Give::new(PATTERN.clone()),
                    skip: Skip::default(),
                    is_given: false,
                    is_heard: false,
                };
                let flooded = poll_fn(|cx| flood.poll(cx, &stopping)).await;
                match flooded.map_err(|error| Error::io("the flood was cut off", error)) {
                    // That is how a client says that it has enough.
                    Err(error) if error.kind() == Kind::Cut => Ok(()),
                    done => done,
                }
            }),
        }
    }

    fn is_measured(&self) -> bool {
        true
    }
}

/// All lines, over and over.
static PATTERN: LazyLock<Arc<Pattern>> = LazyLock::new(|| Arc::new(Pattern::new(lines(0, LINES).as_bytes())));

/// A stream that gets lines until it ends.
struct Flood {
    stream: BoxStream,
    give: Give,
    skip: Skip,
    /// Whether it has been told that there is no more, and whether it has said that itself.
    is_given: bool,
    is_heard: bool,
}

impl Flood {
    fn poll(&mut self, cx: &mut Context<'_>, scope: &Scope) -> Poll<io::Result<()>> {
        // What comes is of no interest, but must be read: it may be the news that the peer has gone. It is read piece by
        // piece, since whoever sends without end is to be given something too.
        if !self.is_heard
            && let Poll::Ready(heard) = self.skip.poll(cx, &mut self.stream, usize::MAX)
        {
            // Whoever only reads may well fail there.
            self.is_heard = heard.map_or(true, |n| n == 0);
            cx.waker().wake_by_ref();
        }
        while !self.is_given && !scope.is_stopping() {
            ready!(self.give.poll(cx, &mut self.stream, usize::MAX))?;
        }
        if !self.is_given {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.is_given = true;
        }
        if self.is_heard { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

/// The answer to a datagram, from that line on.
fn answer(question: &[u8], line: usize) -> Option<String> {
    let mut answer = lines(line, MOST);
    answer.truncate(MOST * question.len());
    (!answer.is_empty() && !is_answer(question)).then_some(answer)
}

/// Whether a datagram may be an answer of ours. All are longer than 2 bytes.
fn is_answer(datagram: &[u8]) -> bool {
    let first = datagram.first().and_then(|first| first.checked_sub(b' '));
    datagram.len() >= MOST && first.is_some_and(|line| lines(line.into(), MOST).as_bytes().starts_with(datagram))
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
    use std::time::Duration;

    use tokio::{
        io::{AsyncRead, ReadBuf},
        time::timeout,
    };

    use super::*;
    use crate::link::Stream;

    /// Sends a byte whenever it is asked, and breaks when it has sent them all. What it is given it does not take.
    struct Talker {
        left: usize,
        asked: usize,
    }

    impl Stream for Talker {}

    impl AsyncRead for Talker {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            if let Some(left) = self.left.checked_sub(1) {
                self.left = left;
                buf.put_slice(b"x");
            }
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Talker {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            self.asked += 1;
            if self.left > 0 { Poll::Pending } else { Poll::Ready(Err(io::Error::other(self.asked.to_string()))) }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn who_talks_without_end_is_given_something_all_the_same() {
        let mut flood = Flood {
            stream: Box::new(Talker { left: 1_000, asked: 0 }),
            give: Give::new(PATTERN.clone()),
            skip: Skip::default(),
            is_given: false,
            is_heard: false,
        };
        let scope = Scope::default();
        let broken = timeout(Duration::from_secs(10), poll_fn(|cx| flood.poll(cx, &scope))).await;
        assert_eq!(broken.unwrap().unwrap_err().to_string(), "1000", "once for each byte that came");
    }

    #[test]
    fn the_pattern_is_that_of_the_rfc() {
        let text = lines(0, LINES);
        assert!(text.starts_with(" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg\r\n!\"#"));
        assert_eq!(text.len(), LINES * (WIDTH + 2));
    }

    #[test]
    fn an_answer_is_no_flood_and_is_not_answered() {
        for line in 0..2 * LINES {
            for len in [1, 2, 24, 25, 70, 74, 75, 1000] {
                let answer = answer(&vec![b'?'; len], line).unwrap();
                assert!(
                    answer.len() == (MOST * len).min(MOST * (WIDTH + 2)) && answer.len() <= 256,
                    "{len}: {answer:?}"
                );
                assert!(lines(line, MOST).starts_with(&answer), "{len}: {answer:?}");
                assert_eq!(super::answer(answer.as_bytes(), line + 1), None, "{len}: {answer:?}");
            }
        }
        assert_eq!(answer(b"", 0), None, "which an echo would give back");
        assert_eq!(answer(b"36.6", 0).as_deref(), Some(" !\"#$%&'()*+"));
        assert_eq!(answer(&[0xff; 4], 1).as_deref(), Some("!\"#$%&'()*+,"));
    }
}
