//! The body of a request: fields, a form with files, a file, or stdin.

use std::{
    fs::{self, File},
    io::{Cursor, IsTerminal, Read, Seek, empty, stdin},
    os::{fd::AsFd, unix::fs::FileTypeExt},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::rand;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use hullo::{
    Error, Kind, Result,
    exchange::{Body, collect, full},
    request::{Coding, encoded},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;

use super::{
    feed::Feed,
    items::{Item, Items, Sign, unreadable},
};
use crate::{
    args::{Compress, Request},
    report::Voice,
};

/// The most of stdin that is held, so that it can be sent with its length, and again.
const HELD: usize = 1 << 20;

/// Makes the body each time that it is sent.
pub(super) type Maker = Arc<dyn Fn() -> Result<Body> + Send + Sync>;

/// A body, and what its headers say of it.
pub(super) struct Content {
    pub(super) make: Maker,
    pub(super) kind: Option<String>,
    pub(super) coding: Option<Coding>,
    /// Stdin is in it, or will be.
    pub(super) from_stdin: bool,
}

impl Content {
    /// The body that the words ask for, if they do.
    ///
    /// For a line of curl's, stdin is left to curl.
    pub(super) async fn of(
        args: &Request,
        method: Option<&Method>,
        items: &Items,
        voice: Voice,
    ) -> Result<Option<Self>> {
        let fields = items.fields().next().is_some();
        let content = match (&args.raw, items.file()?) {
            (Some(_), file) if fields || file.is_some() => {
                return Err(Error::usage("there are both --raw and fields: the body can be only one of them"));
            }
            (Some(raw), _) => Some(Self::held(raw.clone(), JSON)),
            (None, Some("-")) if args.curl => Some(Self::left()),
            (None, Some("-")) => Some(Self::of_stdin(args).await?),
            (None, Some(path)) => Some(Self::of_pieces(vec![Piece::file(path)?], kind_of(path))),
            (None, None) if fields => Some(Self::of_fields(args, items)?),
            (None, None) if !reads_stdin(args, method) => None,
            (None, None) if args.curl => waits(args.timeout).then(Self::left),
            (None, None) => Some(Self::of_stdin(args).await?),
        };
        let unread = content.as_ref().is_none_or(|content| !content.from_stdin);
        if unread && !args.ignore_stdin && waits(Duration::ZERO) {
            let why = if content.is_some() { "the body is something else" } else { "this method sends it only as @-" };
            let sentence = format!("note: what is on stdin is not sent: {why} (--ignore-stdin is quiet about it)");
            voice.say("unread", &sentence, json!({ "why": why }));
        }
        match (content.filter(|content| !content.is_nothing()), args.compress) {
            (Some(content), Some(coding)) if !args.curl => content.compressed(coding.into()).await.map(Some),
            (content, _) => Ok(content),
        }
    }

    fn held(bytes: impl Into<Bytes>, kind: &str) -> Self {
        let bytes = bytes.into();
        Self {
            make: Arc::new(move || Ok(full(bytes.clone()))),
            kind: Some(kind.to_owned()),
            coding: None,
            from_stdin: false,
        }
    }

    /// A stdin that somebody else reads.
    fn left() -> Self {
        let make = || Err(Error::usage("stdin was left to curl"));
        Self { make: Arc::new(make), kind: Some(JSON.to_owned()), coding: None, from_stdin: true }
    }

    /// Whether it is a stdin that ended at once.
    fn is_nothing(&self) -> bool {
        use hyper::body::Body as _;
        self.from_stdin && self.kind.is_none() && (self.make)().is_ok_and(|body| body.size_hint().exact() == Some(0))
    }

    fn of_fields(args: &Request, items: &Items) -> Result<Self> {
        if args.multipart || items.fields().any(|item| item.sign == Sign::File) {
            return Self::of_parts(items);
        }
        if args.form {
            return Ok(Self::held(items.form()?, "application/x-www-form-urlencoded; charset=utf-8"));
        }
        Ok(Self::held(items.json()?, JSON))
    }

    /// A form with parts (RFC 7578). Its boundary is random: no file need be searched for it.
    fn of_parts(items: &Items) -> Result<Self> {
        let mut random = [0; 16];
        rand::fill(&mut random).map_err(|_| Error::new(Kind::Other, "this system has no randomness"))?;
        let boundary: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut pieces = Vec::new();
        for item in items.fields() {
            let (head, content) = part(item)?;
            let dashes = format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"{head}\r\n\r\n",
                quoted(&item.name)
            );
            pieces.extend([Piece::Bytes(dashes.into()), content, Piece::Bytes("\r\n".into())]);
        }
        pieces.push(Piece::Bytes(format!("--{boundary}--\r\n").into()));
        Ok(Self::of_pieces(pieces, format!("multipart/form-data; boundary={boundary}")))
    }

    /// A body of pieces, whose files are opened each time that it is sent.
    fn of_pieces(pieces: Vec<Piece>, kind: String) -> Self {
        let length: u64 = pieces.iter().map(Piece::length).sum();
        let make = move || {
            let mut all: Box<dyn Read + Send> = Box::new(empty());
            for piece in &pieces {
                all = Box::new(all.chain(piece.open()?));
            }
            let file =
                pieces.iter().find_map(|piece| if let Piece::File { path, .. } = piece { Some(path) } else { None });
            let about = format!("cannot read {}", file.map_or("the form", String::as_str));
            Ok(Feed::new(all, about).body(Bytes::new(), Some(length)))
        };
        Self { make: Arc::new(make), kind: Some(kind), coding: None, from_stdin: false }
    }

    /// Stdin to its end. A little of it is held; more is sent as it comes, and only once.
    async fn of_stdin(args: &Request) -> Result<Self> {
        // Before anything of it is read: the place in a file is the same for all who read it.
        let length = stdin_file().and_then(|mut file| {
            let length = file.metadata().ok().filter(fs::Metadata::is_file)?.len();
            Some(length.saturating_sub(file.stream_position().ok()?))
        });
        // What is added to it meanwhile is not in the length that is told.
        let from = stdin().take(length.unwrap_or(u64::MAX));
        let mut feed = Feed::new(from, "cannot read the body from stdin".to_owned());
        let (first, whole) = if args.chunked { (Bytes::new(), false) } else { feed.gather(HELD, args.timeout).await? };
        let kind = (args.chunked || !first.is_empty()).then(|| JSON.to_owned());
        if whole {
            return Ok(Self { make: Arc::new(move || Ok(full(first.clone()))), kind, coding: None, from_stdin: true });
        }
        let length = length.filter(|_| !args.chunked);
        let once = Mutex::new(Some(feed.body(first, length)));
        let make = move || {
            once.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or_else(|| {
                Error::usage("the body came from stdin, and can be sent only once")
                    .hint("put it into a file, and send that with @file")
            })
        };
        Ok(Self { make: Arc::new(make), kind, coding: None, from_stdin: true })
    }

    /// The body in a coding: with its length where it is held anyway.
    async fn compressed(self, coding: Coding) -> Result<Self> {
        use hyper::body::Body as _;
        let Self { make, kind, from_stdin, .. } = self;
        let body = make()?;
        let small = body.size_hint().exact().is_some_and(|length| length <= HELD as u64);
        let make: Maker = if small {
            // In one piece: how it is compressed then does not depend on how it came.
            let plain = collect(body, HELD).await?;
            let bytes = collect(encoded(full(plain), coding), 2 * HELD).await?;
            Arc::new(move || Ok(full(bytes.clone())))
        } else {
            // The one that was just made may be the only one that there is.
            let first = Mutex::new(Some(body));
            Arc::new(move || {
                let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
                Ok(encoded(first.map_or_else(|| make(), Ok)?, coding))
            })
        };
        Ok(Self { make, kind, coding: Some(coding), from_stdin })
    }

    /// Says in the headers what the body is.
    pub(super) fn announce(&self, headers: &mut HeaderMap) -> Result<()> {
        if let Some(kind) = &self.kind {
            let kind = HeaderValue::from_str(kind)
                .map_err(|error| Error::usage("the body's type cannot be sent").because(error))?;
            headers.insert(header::CONTENT_TYPE, kind);
        }
        if let Some(coding) = self.coding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        }
        Ok(())
    }
}

const JSON: &str = "application/json";

impl From<Compress> for Coding {
    fn from(compress: Compress) -> Self {
        match compress {
            Compress::Br => Self::Brotli,
            Compress::Deflate => Self::Deflate,
            Compress::Gzip => Self::Gzip,
            Compress::Zstd => Self::Zstd,
        }
    }
}

/// A piece of a body.
enum Piece {
    Bytes(Bytes),
    File { path: String, length: u64 },
}

impl Piece {
    fn file(path: &str) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(|error| unreadable(path, error))?;
        if !metadata.is_file() {
            return Err(Error::new(Kind::File, format!("cannot send {path}: it is not a file")));
        }
        Ok(Self::File { path: path.to_owned(), length: metadata.len() })
    }

    fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }

    fn open(&self) -> Result<Box<dyn Read + Send>> {
        match self {
            Self::Bytes(bytes) => Ok(Box::new(Cursor::new(bytes.clone()))),
            // What is added to it meanwhile is not in the length that was promised.
            Self::File { path, length } => {
                let file = File::open(path).map_err(|error| unreadable(path, error))?;
                Ok(Box::new(file.take(*length)))
            }
        }
    }
}

/// What a part's head says beside its name, and the part.
fn part(item: &Item) -> Result<(String, Piece)> {
    if item.sign != Sign::File {
        return Ok((String::new(), Piece::Bytes(item.text()?.into())));
    }
    let (path, kind) = item.upload();
    let name = Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let kind = kind.map_or_else(|| kind_of(path), quoted);
    Ok((format!("; filename=\"{}\"\r\nContent-Type: {kind}", quoted(&name)), Piece::file(path)?))
}

fn quoted(text: &str) -> String {
    text.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

/// The type that a file's name suggests.
pub(super) fn kind_of(path: &str) -> String {
    mime_guess::from_path(path).first_or_octet_stream().to_string()
}

/// Whether stdin is the body. What a method has none of is not read; and without a method only what is surely meant for
/// somebody is: a terminal, a socket and /dev/null may have been handed down from far above.
fn reads_stdin(args: &Request, method: Option<&Method>) -> bool {
    match method {
        _ if args.ignore_stdin => false,
        Some(method) => has_body(method) && !stdin().is_terminal(),
        None => stdin_kind().is_some_and(|kind| kind.is_fifo() || kind.is_file()),
    }
}

/// Whether a request of that method has a body, even if it is an empty one (RFC 9110, section 8.6).
pub(super) fn has_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// Whether there is something on stdin. Whether something will come shows within `patience`.
fn waits(patience: Duration) -> bool {
    let Some(kind) = stdin_kind() else { return false };
    if kind.is_file() {
        let left = |mut file: File| Some(file.metadata().ok()?.len() > file.stream_position().ok()?);
        return stdin_file().and_then(left).unwrap_or(false);
    }
    let stdin = stdin();
    let mut ready = [PollFd::new(&stdin, PollFlags::IN)];
    let patience = Timespec::try_from(patience).ok();
    // An end is ready to be read too, and has nothing in it.
    kind.is_fifo()
        && poll(&mut ready, patience.as_ref()).is_ok_and(|ready| ready > 0)
        && ready[0].revents().contains(PollFlags::IN)
}

fn stdin_kind() -> Option<fs::FileType> {
    Some(stdin_file()?.metadata().ok()?.file_type())
}

fn stdin_file() -> Option<File> {
    Some(File::from(stdin().as_fd().try_clone_to_owned().ok()?))
}
