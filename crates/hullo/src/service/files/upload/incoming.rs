//! The bytes of a file, from the wire to the disk: written while more of them come, never held whole.

use std::{io, os::unix::fs::FileExt, sync::Arc};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use tokio::task::{JoinHandle, spawn_blocking};

use super::turns::Turn;
use crate::{
    error::{Error, Kind, Result},
    folder::Part,
    io::exchange::Body,
};

/// What is written at a time.
const BATCH: usize = 1 << 20;

/// Where the bytes come from.
pub(super) enum Source<'a> {
    Body(Body),
    /// A file of a form.
    Field(&'a mut multer::Field<'static>),
}

impl Source<'_> {
    async fn next(&mut self) -> Option<Result<Bytes>> {
        match self {
            Self::Body(body) => loop {
                match body.frame().await? {
                    Err(error) => return Some(Err(error)),
                    // Trailers say nothing here.
                    Ok(frame) => {
                        if let Ok(data) = frame.into_data() {
                            return Some(Ok(data));
                        }
                    }
                }
            },
            Self::Field(field) => {
                let wrong = |error| Error::new(Kind::Protocol, "the form cannot be read").because(error);
                field.chunk().await.map_err(wrong).transpose()
            }
        }
    }
}

/// How long a body is, where it says so.
pub(super) fn length(body: &Body) -> Option<u64> {
    body.size_hint().exact()
}

/// Why not all of it was written.
pub(super) enum Stopped {
    /// The wire broke, or what came on it was wrong.
    Wire(Error),
    Disk(io::Error),
    /// It is longer than it may be.
    TooLong,
    /// The same client has begun anew.
    Outdated,
}

/// Writes what comes to that place of the part, and no further than `most`. Says how far it got, and why no further: what
/// has come before that is written.
pub(super) async fn pour(
    part: &Arc<Part>,
    from: u64,
    mut source: Source<'_>,
    most: u64,
    turn: &Turn,
) -> (u64, Result<(), Stopped>) {
    let mut writer = Writer { part: part.clone(), at: from, gathered: Vec::new(), size: 0, writing: None };
    let ended = loop {
        let next = tokio::select! {
            biased;
            () = turn.is_wanted() => break Err(Stopped::Outdated),
            next = source.next() => next,
        };
        match next {
            None => break Ok(()),
            Some(Err(error)) => break Err(Stopped::Wire(error)),
            Some(Ok(bytes)) if bytes.len() as u64 > most.saturating_sub(writer.at + writer.size) => {
                break Err(Stopped::TooLong);
            }
            Some(Ok(bytes)) => {
                if let Err(error) = writer.take(bytes).await {
                    break Err(Stopped::Disk(error));
                }
            }
        }
    };
    match (ended, writer.flush().await) {
        (Ok(()), Err(error)) => (writer.at, Err(Stopped::Disk(error))),
        (ended, _) => (writer.at, ended),
    }
}

/// Writes a batch while the next one is gathered.
struct Writer {
    part: Arc<Part>,
    /// How far it is written.
    at: u64,
    gathered: Vec<Bytes>,
    size: u64,
    writing: Option<JoinHandle<(u64, io::Result<()>)>>,
}

impl Writer {
    async fn take(&mut self, bytes: Bytes) -> io::Result<()> {
        self.size += bytes.len() as u64;
        self.gathered.push(bytes);
        if self.size < BATCH as u64 {
            return Ok(());
        }
        self.written().await?;
        self.write();
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.written().await?;
        self.write();
        self.written().await
    }

    fn write(&mut self) {
        let (part, pieces, mut at) = (self.part.clone(), std::mem::take(&mut self.gathered), self.at);
        self.writing = Some(spawn_blocking(move || {
            for piece in pieces {
                if let Err(error) = part.file().write_all_at(&piece, at) {
                    // Of this piece something may be there; what counts is what the file has.
                    return (part.file().metadata().map_or(at, |file| file.len()), Err(error));
                }
                at += piece.len() as u64;
            }
            (at, Ok(()))
        }));
    }

    async fn written(&mut self) -> io::Result<()> {
        let Some(writing) = self.writing.take() else { return Ok(()) };
        let (at, written) = writing.await.map_err(io::Error::other)?;
        self.size -= (at - self.at).min(self.size);
        self.at = at;
        written
    }
}
