//! Between a connection and the thread that works on files: chunks, sealed where the two ends have keys.
//!
//! The work on files is done by a thread of its own, since files block and hashes take long. What it says goes through a
//! [`Port`]; here chunks are sealed and sent, received and opened. A chunk is four bytes with its length, then its frames,
//! then the tag of AES-256-GCM. An empty chunk says only that somebody is still there.

use std::{
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader, ReadHalf, WriteHalf, split},
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    pairing::{Keys, lost},
    words::{CHUNK, malformed},
};
use crate::{
    error::{Error, Kind, Result},
    link::BoxStream,
};

/// The length before each chunk.
pub(super) const LENGTH: usize = 4;

/// The tag behind a sealed chunk.
const TAG: usize = 16;

/// The room of a buffer. It is hardly more than what is read into it, since a read fills it.
const ROOM: usize = CHUNK + TAG;

/// A chunk as it may arrive: words are not cut, and those with the hashes of a file's blocks are long.
const LONGEST: usize = CHUNK + (256 << 10);

/// What is read at once where it is little.
const SMALL: usize = 16 << 10;

/// The chunks that wait in each direction.
const WAITING: usize = 4;

/// How often an end says that it is still there, and how long the other one believes it without.
const ALIVE: Duration = Duration::from_secs(5);
const GONE: Duration = Duration::from_secs(30);

/// How long the other end may take nothing, though it is there: it may be hashing a very large file.
const STALLED: Duration = Duration::from_secs(900);

/// How long the other end may take to leave after us.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the thread that works on files learns.
pub(super) enum Event<T> {
    /// A chunk came: its frames.
    Chunk(Chunk),
    /// The connection is gone, or has ended.
    Lost(Error),
    /// Something of its own that it waited for.
    Own(T),
}

/// A chunk that came; its place is free again when it is dropped.
pub(super) struct Chunk {
    bytes: Vec<u8>,
    spare: Arc<Spare>,
    _place: OwnedSemaphorePermit,
}

impl Chunk {
    pub(super) fn frames(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.spare.give(std::mem::take(&mut self.bytes));
    }
}

/// Buffers that have been used, to be used again.
#[derive(Default)]
struct Spare(Mutex<Vec<Vec<u8>>>);

impl Spare {
    fn take(&self) -> Vec<u8> {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| Vec::with_capacity(ROOM))
    }

    fn give(&self, mut buffer: Vec<u8>) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < 2 * WAITING && (ROOM..ROOM + 4096).contains(&buffer.capacity()) {
            buffer.clear();
            spare.push(buffer);
        }
    }
}

/// What the thread that works on files holds.
pub(super) struct Port<T> {
    out: mpsc::Sender<Vec<u8>>,
    events: mpsc::UnboundedReceiver<Event<T>>,
    own: mpsc::WeakUnboundedSender<Event<T>>,
    spare: Arc<Spare>,
}

impl<T> Port<T> {
    /// A buffer for the next chunk, with room for its length.
    pub(super) fn buffer(&self) -> Vec<u8> {
        let mut buffer = self.spare.take();
        buffer.extend_from_slice(&[0; LENGTH]);
        buffer
    }

    /// Sends the chunk, once there is room for it, and puts an empty one in its place.
    pub(super) fn send(&self, chunk: &mut Vec<u8>) -> Result<()> {
        if chunk.len() > LENGTH {
            let full = std::mem::replace(chunk, self.buffer());
            self.out.blocking_send(full).map_err(|_| gone())?;
        }
        Ok(())
    }

    /// The next event, once there is one.
    pub(super) fn wait(&mut self) -> Result<Event<T>> {
        self.events.blocking_recv().ok_or_else(gone)
    }

    /// The next event, if there is one.
    pub(super) fn look(&mut self) -> Option<Event<T>> {
        self.events.try_recv().ok()
    }

    /// Whether nobody carries what we say any more.
    pub(super) fn is_gone(&self) -> bool {
        self.out.is_closed()
    }

    /// Where to tell ourselves of something. It is weak, since the end of the connection must be noticed by us.
    pub(super) fn own(&self) -> mpsc::WeakUnboundedSender<Event<T>> {
        self.own.clone()
    }
}

pub(super) fn gone() -> Error {
    Error::new(Kind::Cut, "the connection was lost")
}

/// Runs `work` in a thread, with a port to the connection, until it ends or the connection does.
pub(super) async fn carry<T, R>(
    stream: BoxStream,
    keys: Option<&Keys>,
    work: impl FnOnce(Port<T>) -> Result<R> + Send + 'static,
) -> Result<R>
where
    T: Send + 'static,
    R: Send + 'static,
{
    let (reader, writer) = split(stream);
    let (out, chunks) = mpsc::channel(WAITING);
    let (own, events) = mpsc::unbounded_channel();
    let spare = Arc::new(Spare::default());
    let seal = |key: Option<[u8; 32]>| key.map(Seal::new).transpose();
    let (sealer, opener) = (seal(keys.map(|keys| keys.out))?, seal(keys.map(|keys| keys.back))?);
    let port = Port { out, events, own: own.downgrade(), spare: spare.clone() };
    let (done, work_done) = oneshot::channel();
    let runtime = Handle::current();
    // A thread of its own: it lasts as long as the connection, and those of the runtime's pool are few.
    let thread = thread::Builder::new().name("files".to_owned()).spawn(move || {
        let _runtime = runtime.enter();
        // Nobody may wait for it any more.
        let _ = done.send(work(port));
    });
    thread.map_err(|error| Error::io("cannot start a thread for files", error))?;
    let over = CancellationToken::new();
    let receiving = async {
        let lost = receive(reader, opener, &own, &spare).await.err().unwrap_or_else(gone);
        // The work may be over.
        let _ = own.send(Event::Lost(lost));
        if !own.is_closed() {
            over.cancel();
        }
    };
    let sending = async {
        let sent = tokio::select! {
            sent = send(writer, sealer, chunks, &spare) => sent,
            // What the work says of it may still be heard.
            () = async { over.cancelled().await; sleep(FAREWELL).await } => Err(gone()),
        };
        if let Err(lost) = sent {
            let _ = own.send(Event::Lost(lost));
        }
    };
    let worked = async {
        // What the work said last leaves before it counts.
        let (worked, ()) = tokio::join!(work_done, sending);
        worked.unwrap_or_else(|_| Err(Error::new(Kind::Other, "the work on files broke off")))
    };
    let mut receiving = pin!(receiving);
    let mut worked = pin!(worked);
    tokio::select! {
        worked = &mut worked => {
            // Who leaves with bytes unread would take from the other end what it has not read yet.
            let _ = timeout(FAREWELL, receiving).await;
            worked
        }
        () = &mut receiving => worked.await,
    }
}

async fn send(
    mut writer: WriteHalf<BoxStream>,
    mut seal: Option<Seal>,
    mut chunks: mpsc::Receiver<Vec<u8>>,
    spare: &Spare,
) -> Result<()> {
    loop {
        let mut chunk = match timeout(ALIVE, chunks.recv()).await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(_) => vec![0; LENGTH],
        };
        if let Some(seal) = &mut seal {
            seal.close(&mut chunk)?;
        }
        let length = (chunk.len() - LENGTH) as u32;
        chunk[..LENGTH].copy_from_slice(&length.to_le_bytes());
        write(&mut writer, &chunk).await?;
        // What waits for more must not wait in a buffer.
        if chunks.is_empty() {
            within(STALLED, writer.flush()).await?;
        }
        spare.give(chunk);
    }
    writer.shutdown().await.map_err(lost)
}

async fn receive<T>(
    reader: ReadHalf<BoxStream>,
    mut seal: Option<Seal>,
    events: &mpsc::UnboundedSender<Event<T>>,
    spare: &Arc<Spare>,
) -> Result<()> {
    // Many chunks are answers of a few bytes.
    let mut reader = BufReader::with_capacity(SMALL, reader);
    let places = Arc::new(Semaphore::new(WAITING));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return Ok(()) };
        let mut bytes = spare.take();
        if !read(&mut reader, &mut bytes).await? {
            return Ok(());
        }
        if let Some(seal) = &mut seal {
            seal.open(&mut bytes)?;
        }
        let chunk = Chunk { bytes, spare: spare.clone(), _place: place };
        if !chunk.bytes.is_empty() {
            // Where the work is over all of it is still read: else the other end would lose the last words.
            let _ = events.send(Event::Chunk(chunk));
        }
    }
}

/// Writes all of it, however slowly: while the other end looks through a large file it may take nothing for long. That it
/// is still there is heard by who reads.
async fn write(writer: &mut WriteHalf<BoxStream>, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match within(STALLED, writer.write(bytes)).await? {
            0 => return Err(gone()),
            written => bytes = &bytes[written..],
        }
    }
    Ok(())
}

/// Waits for some bytes to move, and not for ever.
async fn moving<T>(some: impl Future<Output = std::io::Result<T>>) -> Result<T> {
    within(GONE, some).await
}

async fn within<T>(time: Duration, some: impl Future<Output = std::io::Result<T>>) -> Result<T> {
    timeout(time, some).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())).map_err(lost)
}

/// Reads one chunk; nothing at the end.
async fn read(reader: &mut BufReader<ReadHalf<BoxStream>>, bytes: &mut Vec<u8>) -> Result<bool> {
    let mut length = [0; LENGTH];
    if moving(reader.read(&mut length[..1])).await? == 0 {
        return Ok(false);
    }
    moving(reader.read_exact(&mut length[1..])).await?;
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST {
        return Err(malformed("a chunk that is too large"));
    }
    let mut rest = reader.take(length as u64);
    while bytes.len() < length {
        if moving(rest.read_buf(bytes)).await? == 0 {
            return Err(gone());
        }
    }
    Ok(true)
}

/// One direction's key. Each chunk has the next number, so none can be left out, repeated or exchanged.
struct Seal {
    key: LessSafeKey,
    number: u64,
}

impl Seal {
    fn new(key: [u8; 32]) -> Result<Self> {
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| Error::new(Kind::Other, "a key cannot be used"))?;
        Ok(Self { key: LessSafeKey::new(key), number: 0 })
    }

    fn nonce(&mut self) -> Nonce {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.number.to_be_bytes());
        self.number += 1;
        Nonce::assume_unique_for_key(nonce)
    }

    fn close(&mut self, chunk: &mut Vec<u8>) -> Result<()> {
        let nonce = self.nonce();
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut chunk[LENGTH..]);
        let tag = tag.map_err(|_| Error::new(Kind::Other, "a chunk cannot be sealed"))?;
        chunk.extend_from_slice(tag.as_ref());
        Ok(())
    }

    fn open(&mut self, chunk: &mut Vec<u8>) -> Result<()> {
        let nonce = self.nonce();
        let opened = self.key.open_in_place(nonce, Aad::empty(), chunk).map(|frames| frames.len());
        let length = opened.map_err(|_| Error::new(Kind::Tls, "what came was changed on the way"))?;
        chunk.truncate(length);
        Ok(())
    }
}
