//! Parts of opened files as bodies. A wire whose bytes are exactly the conversation's has the kernel send them; everything
//! else reads them in pieces.
//!
//! No core waits for a disk here: what is not in memory is read by another thread first. And what was promised is sent or
//! nothing is: a file that is not what it was when it was opened breaks the body before its last byte.

use std::{
    cell::Cell,
    fs::File,
    future::Future,
    io::{self, IoSliceMut},
    ops::Range,
    os::fd::AsFd,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::SystemTime,
};

use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use rustix::{
    buffer::spare_capacity,
    fs::{Stat, fstat, fstatfs, sendfile},
    io::{Errno, ReadWriteFlags, pread, preadv2},
};
use tokio::task::{JoinHandle, spawn_blocking};

use super::{exchange::Body, scratch};
use crate::{
    error::{Error, Kind, Result},
    folder::time,
};

/// How much is read at once where the kernel does not send it.
const PIECE: usize = 64 << 10;

/// An opened file, as it was when it was looked at.
pub(crate) struct Source {
    file: File,
    stamp: Stamp,
    /// It has no disk that one could have to wait for.
    in_memory: bool,
    /// What the kernel has sent of it.
    sent: AtomicU64,
}

/// What differs as soon as a file has been written to. (When its inode was changed is not of it: that a file is replaced
/// by another, as is right, changes that of the old one.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) size: u64,
    /// Seconds and nanoseconds since 1970.
    pub(crate) modified: (i64, u32),
}

impl Stamp {
    pub(crate) fn of(stat: &Stat) -> Self {
        // The type of some of these differs from one kind of processor to the next.
        let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or_default();
        Self { size: u64::try_from(stat.st_size).unwrap_or_default(), modified: (stat.st_mtime, nanoseconds) }
    }

    /// When it was written last.
    pub(crate) fn modified(&self) -> SystemTime {
        time(self.modified)
    }
}

impl Source {
    /// A file of that device, as it was.
    pub(crate) fn new(file: File, stamp: Stamp, device: u64) -> Self {
        let in_memory = is_in_memory(&file, device);
        Self { file, stamp, in_memory, sent: AtomicU64::new(0) }
    }

    /// What the kernel has sent of it: such bytes pass by whoever counts those of bodies.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// The whole file, where it is no longer than a thread's scratch buffer.
    pub(crate) async fn read_small(self: &Arc<Self>) -> Result<Bytes> {
        let mut part = self.part(0..self.stamp.size);
        if part.left() == 0 {
            return Ok(Bytes::new());
        }
        let first = match part.read_now() {
            Ok(bytes) => bytes,
            Err(Errno::AGAIN | Errno::OPNOTSUPP) => {
                let here = part.clone();
                spawn_blocking(move || here.read()).await.map_err(io::Error::other).flatten().map_err(broken)?
            }
            Err(error) => return Err(broken(error.into())),
        };
        part.advance(first.len());
        if part.left() == 0 {
            self.check()?;
            return Ok(first);
        }
        // It was read in part: the rest of it is not in memory.
        let rest = super::exchange::collect(part.body(), PIECE).await?;
        Ok([first, rest].concat().into())
    }

    pub(crate) fn part(self: &Arc<Self>, range: Range<u64>) -> Part {
        Part { source: self.clone(), at: range.start, end: range.end }
    }

    fn check(&self) -> Result<()> {
        let now = fstat(&self.file).map_err(|error| broken(error.into()))?;
        if Stamp::of(&now) == self.stamp { Ok(()) } else { Err(broken(changed())) }
    }
}

/// Whether the files of a device are in memory alone, which the kernel is asked once in a row: such a file system does not
/// know of reading without waiting.
fn is_in_memory(file: &File, device: u64) -> bool {
    /// `TMPFS_MAGIC` and `RAMFS_MAGIC` of the kernel's `magic.h`.
    const MEMORY: [u32; 2] = [0x0102_1994, 0x8584_58f6];
    thread_local! {
        static LAST: Cell<Option<(u64, bool)>> = const { Cell::new(None) };
    }
    LAST.with(|last| match last.get() {
        Some((known, in_memory)) if known == device => in_memory,
        _ => {
            let in_memory = fstatfs(file).is_ok_and(|system| MEMORY.contains(&(system.f_type as u32)));
            last.set(Some((device, in_memory)));
            in_memory
        }
    })
}

fn changed() -> io::Error {
    io::Error::other("it was changed meanwhile")
}

fn broken(error: io::Error) -> Error {
    Error::io("cannot send the rest of a file", error).of(Kind::Cut)
}

/// What is still to be sent of a range of a file.
#[derive(Clone)]
pub(crate) struct Part {
    source: Arc<Source>,
    at: u64,
    end: u64,
}

impl Part {
    /// How many bytes are still to be sent.
    pub(crate) fn left(&self) -> u64 {
        self.end - self.at
    }

    pub(crate) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// A response with this body, which a wire may take over from it.
    pub(crate) fn response(self) -> Response<Body> {
        let mut response = Response::new(self.clone().body());
        response.extensions_mut().insert(self);
        response
    }

    /// The part as a body that is read in pieces.
    pub(crate) fn body(self) -> Body {
        Reading { part: self, reading: None, paused: false }.boxed_unsync()
    }

    /// Gets the next `most` bytes ready to be sent without waiting for a disk. Before the last of them it makes sure that
    /// the file is what it was.
    ///
    /// # Errors
    /// The file cannot be read, or was changed.
    pub(crate) async fn ready(&self, most: usize) -> Result<()> {
        let end = self.end.min(self.at + most as u64);
        if !self.is_there(self.at) || !self.is_there(end.saturating_sub(1)) {
            let piece = Self { end, ..self.clone() };
            spawn_blocking(move || piece.fetch()).await.map_err(io::Error::other).flatten().map_err(broken)?;
        }
        if end == self.end { self.source.check() } else { Ok(()) }
    }

    /// Whether that byte is in memory.
    fn is_there(&self, at: u64) -> bool {
        let mut byte = [0];
        let into = &mut [IoSliceMut::new(&mut byte)];
        // At the end of a file that has become shorter there is nothing to wait for.
        self.source.in_memory || preadv2(&self.source.file, into, at, ReadWriteFlags::NOWAIT).is_ok()
    }

    /// Reads all of it into the kernel's memory. What it says is not kept.
    fn fetch(mut self) -> io::Result<()> {
        while self.left() > 0 {
            let read = self.read()?.len();
            self.advance(read);
        }
        Ok(())
    }

    /// Has the kernel send up to `most` bytes.
    pub(crate) fn send(&mut self, to: impl AsFd, most: usize) -> io::Result<usize> {
        let mut at = self.at;
        let most = usize::try_from(self.left()).unwrap_or(usize::MAX).min(most);
        let sent = sendfile(to, &self.source.file, Some(&mut at), most)?;
        if sent == 0 && most > 0 {
            return Err(changed());
        }
        self.advance(sent);
        self.source.sent.fetch_add(sent as u64, Relaxed);
        Ok(sent)
    }

    /// The next piece, if it is in memory.
    fn read_now(&self) -> rustix::io::Result<Bytes> {
        scratch::with(|buf| {
            let most = usize::try_from(self.left()).unwrap_or(usize::MAX).min(buf.len()).min(PIECE);
            let into = &mut [IoSliceMut::new(&mut buf[..most])];
            let how = if self.source.in_memory { ReadWriteFlags::empty() } else { ReadWriteFlags::NOWAIT };
            match preadv2(&self.source.file, into, self.at, how)? {
                // It has become shorter; who waits for it is told so.
                0 => Err(Errno::AGAIN),
                read => Ok(Bytes::copy_from_slice(&buf[..read])),
            }
        })
    }

    /// The next piece, from wherever it is.
    fn read(&self) -> io::Result<Bytes> {
        let mut piece = Vec::with_capacity(usize::try_from(self.left()).unwrap_or(usize::MAX).min(PIECE));
        match pread(&self.source.file, spare_capacity(&mut piece), self.at)? {
            0 => Err(changed()),
            _ => Ok(piece.into()),
        }
    }

    fn advance(&mut self, by: usize) {
        self.at = self.end.min(self.at + by as u64);
    }
}

/// A part that is read in pieces.
struct Reading {
    part: Part,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    paused: bool,
}

impl Reading {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        loop {
            if let Some(reading) = &mut self.reading {
                let read = ready!(Pin::new(reading).poll(cx)).map_err(io::Error::other).flatten();
                self.reading = None;
                return Poll::Ready(read);
            }
            match self.part.read_now() {
                Err(Errno::AGAIN | Errno::OPNOTSUPP) => {
                    let part = self.part.clone();
                    self.reading = Some(spawn_blocking(move || part.read()));
                }
                read => return Poll::Ready(read.map_err(Into::into)),
            }
        }
    }
}

impl hyper::body::Body for Reading {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        if self.part.left() == 0 {
            return Poll::Ready(None);
        }
        // Whoever compresses it would not stop before it is all read, however much that is.
        if std::mem::take(&mut self.paused) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = ready!(self.poll_piece(cx)).map_err(broken);
        let piece = piece.and_then(|piece| {
            self.part.advance(piece.len());
            if self.part.left() == 0 { self.part.source.check().map(|()| piece) } else { Ok(piece) }
        });
        self.paused = true;
        if piece.is_err() {
            self.part.end = self.part.at;
        }
        Poll::Ready(Some(piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.part.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.part.left())
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, num::NonZeroU64, path::PathBuf};

    use rustix::fs::{Advice, fadvise};

    use super::*;
    use crate::io::exchange::collect;

    /// A file that is on the disk, and no more in memory than the system keeps it there.
    fn cold(name: &str, content: &[u8]) -> (PathBuf, Arc<Source>) {
        let path = std::env::temp_dir().join(format!("hullo-file-{name}-{}", std::process::id()));
        let mut file = File::create(&path).unwrap();
        file.write_all(content).unwrap();
        file.sync_all().unwrap();
        let file = File::open(&path).unwrap();
        fadvise(&file, 0, NonZeroU64::new(content.len() as u64), Advice::DontNeed).unwrap();
        let stat = fstat(&file).unwrap();
        (path, Arc::new(Source::new(file, Stamp::of(&stat), stat.st_dev)))
    }

    #[tokio::test]
    async fn what_is_not_in_memory_comes_whole() {
        let content: Vec<u8> = (0..1_000_003_u32).map(|at| (at.wrapping_mul(7919) >> 7) as u8).collect();
        let (path, source) = cold("cold", &content);
        assert!(collect(source.part(0..content.len() as u64).body(), 1 << 21).await.unwrap() == content);
        let part = source.part(70_000..70_009);
        part.ready(1 << 20).await.unwrap();
        assert_eq!((part.left(), collect(part.body(), 9).await.unwrap()), (9, content[70_000..70_009].to_vec().into()));
        std::fs::remove_file(path).unwrap();
        let (path, source) = cold("small", &content[..20_000]);
        assert!(source.read_small().await.unwrap() == content[..20_000]);
        std::fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn what_has_become_shorter_breaks_off() {
        let (path, source) = cold("short", &[7; 300_000]);
        File::options().write(true).open(&path).unwrap().set_len(100_000).unwrap();
        let error = collect(source.part(0..300_000).body(), 1 << 20).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Cut, "{error}");
        assert!(source.part(0..300_000).ready(1 << 20).await.is_err());
        File::options().write(true).open(&path).unwrap().set_len(300_000).unwrap();
        let error = collect(source.part(200_000..300_000).body(), 1 << 20).await.unwrap_err();
        assert!(error.to_string().contains("changed meanwhile"), "{error}");
        std::fs::remove_file(path).unwrap();
    }
}
