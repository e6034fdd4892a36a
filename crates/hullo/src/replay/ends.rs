//! The two halves of a link: what is said goes into one, and what is answered comes out of the other.

use bytes::{Bytes, BytesMut};
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};

use crate::{
    error::{Error, Result},
    framing::{Framing, Spec},
    link::{BoxStream, Link, Packets, Wire},
    message::Message,
};

/// How much of a stream is read at once.
const ROOM: usize = 64 << 10;

/// Where the client's side goes.
pub(super) enum Mouth {
    Stream(WriteHalf<BoxStream>, Option<Box<dyn Framing>>),
    Packets { sink: SplitSink<Box<dyn Packets>, Message>, largest: usize, ends: bool },
}

/// Where the answers come from.
pub(super) enum Ear {
    Stream(ReadHalf<BoxStream>, BytesMut),
    Framed { stream: ReadHalf<BoxStream>, framing: Box<dyn Framing>, buf: BytesMut, ended: bool },
    Packets { source: SplitStream<Box<dyn Packets>>, ends: bool },
}

/// Opens a link: as messages where it has them, or where its address says how a stream has them.
pub(super) fn open(link: Link) -> (Mouth, Ear) {
    let (max, frame) = (link.scope.limits().max, link.scope.frame());
    let make = |spec: &Spec| (spec.make)(max);
    match link.wire {
        Wire::Packets(packets) => {
            let (largest, ends) = (packets.largest().max(1), packets.ends());
            let (sink, source) = packets.split();
            (Mouth::Packets { sink, largest, ends }, Ear::Packets { source, ends })
        }
        Wire::Stream(stream) => {
            let (read, write) = split(stream);
            let ear = match frame.map(make) {
                None => Ear::Stream(read, BytesMut::new()),
                Some(framing) => Ear::Framed { stream: read, framing, buf: BytesMut::new(), ended: false },
            };
            (Mouth::Stream(write, frame.map(make)), ear)
        }
    }
}

impl Mouth {
    /// Says that. What is one message then is one now, and a part of a stream is one where there are only messages; it is
    /// cut only where it would not fit.
    pub(super) async fn say(&mut self, bytes: Vec<u8>, text: bool) -> Result<()> {
        match self {
            Self::Stream(stream, None) => {
                stream.write_all(&bytes).await.map_err(cut)?;
                stream.flush().await.map_err(cut)
            }
            Self::Stream(stream, Some(framing)) => {
                let mut framed = BytesMut::new();
                framing.encode(&Message { bytes: bytes.into(), text }, &mut framed)?;
                stream.write_all(&framed).await.map_err(cut)?;
                stream.flush().await.map_err(cut)
            }
            Self::Packets { sink, largest, .. } => {
                let mut bytes = Bytes::from(bytes);
                loop {
                    let piece = bytes.split_to(bytes.len().min(*largest));
                    sink.send(Message { bytes: piece, text }).await?;
                    if bytes.is_empty() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Says that there is no more to come, where that can be said.
    pub(super) async fn end(&mut self) -> Result<()> {
        match self {
            Self::Stream(stream, _) => stream.shutdown().await.map_err(cut),
            Self::Packets { sink, ends: true, .. } => sink.close().await,
            Self::Packets { .. } => Ok(()),
        }
    }
}

impl Ear {
    /// Whether what it hears are messages.
    pub(super) fn has_messages(&self) -> bool {
        !matches!(self, Self::Stream(..))
    }

    /// Whether the other end can say that there is no more to come.
    pub(super) fn ends(&self) -> bool {
        !matches!(self, Self::Packets { ends: false, .. })
    }

    /// What comes next; nothing at the end. Cancel-safe.
    pub(super) async fn hear(&mut self) -> Result<Option<Message>> {
        match self {
            Self::Stream(stream, buf) => {
                buf.reserve(ROOM);
                let n = stream.read_buf(buf).await.map_err(cut)?;
                Ok((n > 0).then(|| Message { bytes: buf.split().freeze(), text: false }))
            }
            Self::Framed { stream, framing, buf, ended } => loop {
                if *ended {
                    return framing.finish(buf);
                }
                if let Some(message) = framing.decode(buf)? {
                    return Ok(Some(message));
                }
                buf.reserve(ROOM);
                *ended = stream.read_buf(buf).await.map_err(cut)? == 0;
            },
            Self::Packets { source, .. } => source.next().await.transpose(),
        }
    }
}

fn cut(error: std::io::Error) -> Error {
    Error::io("the conversation was cut off", error)
}
