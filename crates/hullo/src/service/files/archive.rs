//! A whole folder as one download: `?tar`, `?tar.gz`, `?tar.zst` and `?zip`.
//!
//! It is packed while it is sent, by a thread of its own that is never more than a few pieces ahead of the client. Links
//! are packed as links, so none leads out. When something cannot be read the download breaks: it never looks whole.

use std::{
    cell::RefCell,
    io::{self, Write},
    rc::Rc,
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{CONTENT_DISPOSITION, CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::sync::{
    OwnedSemaphorePermit,
    mpsc::{Receiver, Sender, channel},
};

use super::{
    Answer, Asked, bare,
    place::attachment,
    root::{Opened, Root},
    with,
};
use crate::{
    error::{Error, Kind, Result},
    io::{
        codings::{Coding, encoded},
        exchange::{Body, text},
    },
};

mod tar;
mod walk;
mod zip;

/// The most folders that are packed at the same time: each has a thread.
pub(super) const AT_ONCE: usize = 32;

/// Of how many bytes a piece is, and how many pieces wait for the client.
const PIECE: usize = 64 << 10;
const QUEUE: usize = 4;

/// A form that a folder can be packed in.
struct Form {
    /// What stands in the query, and behind the name.
    name: &'static str,
    kind: &'static str,
    pack: fn(&Job, Sink),
    coding: Option<Coding>,
}

const FORMS: &[Form] = &[
    Form { name: "tar", kind: "application/x-tar", pack: tar::pack, coding: None },
    Form { name: "tar.gz", kind: "application/gzip", pack: tar::pack, coding: Some(Coding::Gzip) },
    Form { name: "tar.zst", kind: "application/zstd", pack: tar::pack, coding: Some(Coding::Zstd) },
    Form { name: "zip", kind: "application/zip", pack: zip::pack, coding: None },
];

/// A folder to be packed.
struct Job {
    root: Arc<Root>,
    folder: Opened,
    /// The name that it has inside.
    name: Vec<u8>,
}

/// The folder in the form that the query names; gives it back where the query names none.
pub(super) fn answer(asked: &Asked, folder: Opened) -> std::result::Result<Answer, Opened> {
    let Some(form) = FORMS.iter().find(|form| asked.says(form.name)) else { return Err(folder) };
    let name = match asked.place.name() {
        b"" => asked.root.name(),
        name => name.to_vec(),
    };
    let mut response = bare(StatusCode::OK);
    if asked.head.method == Method::GET {
        let Ok(place) = asked.packing.clone().try_acquire_owned() else {
            let busy = text(StatusCode::SERVICE_UNAVAILABLE, "too many folders are being packed now: try again\n");
            return Ok(Ok(with(busy, RETRY_AFTER, HeaderValue::from_static("10"))));
        };
        let job = Job { root: asked.root.clone(), folder, name: name.clone() };
        let body = packed(job, form.pack, place);
        *response.body_mut() = match form.coding {
            Some(coding) => encoded(body, coding),
            None => body,
        };
    }
    Ok(Ok(described(response, form, &name)))
}

fn described(response: Response<Body>, form: &Form, name: &[u8]) -> Response<Body> {
    let response = with(response, CONTENT_TYPE, HeaderValue::from_static(form.kind));
    let name = [name, b".", form.name.as_bytes()].concat();
    with(response, CONTENT_DISPOSITION, attachment(&name))
}

/// A body that a thread of its own writes, as long as somebody reads it.
fn packed(job: Job, pack: fn(&Job, Sink), place: OwnedSemaphorePermit) -> Body {
    let (sender, receiver) = channel(QUEUE);
    tokio::task::spawn_blocking(move || {
        let _place = place;
        pack(&job, Sink::new(sender));
    });
    let pieces = stream::unfold(receiver, |mut receiver: Receiver<Result<Bytes>>| async {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    BodyExt::boxed_unsync(StreamBody::new(pieces.map_ok(Frame::data).fuse()))
}

/// Where an archive is written to.
///
/// Those who write archives finish them when they are dropped, whatever happened. So once something has gone wrong nothing
/// that is written leaves any more.
#[derive(Clone)]
struct Sink(Rc<RefCell<Pieces>>);

struct Pieces {
    piece: BytesMut,
    /// Gone as soon as nothing more leaves.
    sender: Option<Sender<Result<Bytes>>>,
}

impl Sink {
    fn new(sender: Sender<Result<Bytes>>) -> Self {
        Self(Rc::new(RefCell::new(Pieces { piece: BytesMut::new(), sender: Some(sender) })))
    }

    /// Ends the archive: whole, or broken.
    fn end(&self, packed: io::Result<()>) {
        let mut pieces = self.0.borrow_mut();
        let packed = packed.and_then(|()| pieces.send());
        if let (Err(error), Some(sender)) = (packed, pieces.sender.take()) {
            let error = Error::io("cannot pack the folder", error).of(Kind::File);
            // Where the client has gone there is nobody to tell.
            let _ = sender.blocking_send(Err(error));
        }
    }
}

impl Pieces {
    fn send(&mut self) -> io::Result<()> {
        let piece = self.piece.split().freeze();
        let Some(sender) = self.sender.as_ref().filter(|_| !piece.is_empty()) else { return Ok(()) };
        if sender.blocking_send(Ok(piece)).is_err() {
            self.sender = None;
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut pieces = self.0.borrow_mut();
        if pieces.sender.is_none() {
            return Ok(bytes.len());
        }
        let taken = bytes.len().min(PIECE - pieces.piece.len().min(PIECE));
        pieces.piece.extend_from_slice(&bytes[..taken]);
        if pieces.piece.len() >= PIECE {
            pieces.send()?;
        }
        Ok(taken)
    }

    /// A piece leaves when it is full, or the last one.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
