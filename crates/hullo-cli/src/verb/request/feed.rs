//! Files and stdin as bodies: read by a thread of their own, a few pieces ahead.

use std::{
    io::{self, Read},
    pin::Pin,
    task::{Context, Poll, ready},
    thread,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hullo::{Error, Kind, Result, exchange::Body};
use hyper::body::{Frame, SizeHint};
use tokio::{sync::mpsc, time::timeout};

/// How much is read at once.
const PIECE: usize = 64 << 10;

/// How many pieces are read ahead.
const AHEAD: usize = 4;

/// What is read from something that may have to be waited for.
pub(super) struct Feed {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    about: String,
}

impl Feed {
    /// Begins to read; `about` says what, as in `cannot read photo.jpg`.
    pub(super) fn new(mut from: impl Read + Send + 'static, about: String) -> Self {
        let (sender, pieces) = mpsc::channel(AHEAD);
        thread::spawn(move || {
            loop {
                let mut piece = vec![0; PIECE];
                let read = match from.read(&mut piece) {
                    Ok(0) => return,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    read => read,
                };
                let failed = read.is_err();
                piece.truncate(*read.as_ref().unwrap_or(&0));
                // Nobody may want it any more.
                if sender.blocking_send(read.map(|_| piece.into())).is_err() || failed {
                    return;
                }
            }
        });
        Self { pieces, about }
    }

    /// What comes up to `most`, each piece within `patience`; says whether that was all.
    pub(super) async fn gather(&mut self, most: usize, patience: Duration) -> Result<(Bytes, bool)> {
        let mut all = BytesMut::new();
        while all.len() < most {
            let late = || {
                Error::new(Kind::Timeout, format!("{}: nothing came for {patience:?}, and no end", self.about))
                    .hint("--ignore-stdin leaves stdin alone; name the method, as in GET, and only a POST, PUT or PATCH reads it")
            };
            match timeout(patience, self.pieces.recv()).await.map_err(|_| late())? {
                Some(piece) => all.extend_from_slice(&piece.map_err(|error| self.wrong(error))?),
                None => return Ok((all.freeze(), true)),
            }
        }
        Ok((all.freeze(), false))
    }

    /// A body of `first` and all that is still to come: of `length` bytes, where that is known.
    pub(super) fn body(self, first: Bytes, length: Option<u64>) -> Body {
        Fed { first: Some(first), feed: self, left: length }.boxed_unsync()
    }

    fn wrong(&self, error: io::Error) -> Error {
        Error::io(self.about.clone(), error).of(Kind::File)
    }
}

struct Fed {
    first: Option<Bytes>,
    feed: Feed,
    left: Option<u64>,
}

impl hyper::body::Body for Fed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let piece = match self.first.take().filter(|first| !first.is_empty()) {
            Some(first) => Some(Ok(first)),
            None => ready!(self.feed.pieces.poll_recv(cx)),
        };
        let piece = match piece {
            Some(piece) => piece.map_err(|error| self.feed.wrong(error)),
            // The length was promised: less is no end.
            None if self.left.is_some_and(|left| left > 0) => {
                Err(Error::new(Kind::File, format!("{}: it became shorter while it was sent", self.feed.about)))
            }
            None => return Poll::Ready(None),
        };
        if let (Ok(piece), Some(left)) = (&piece, &mut self.left) {
            *left = left.saturating_sub(piece.len() as u64);
        }
        Poll::Ready(Some(piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
