//! A recording of relayed conversations: their bytes as packets, which Wireshark and tshark read.
//!
//! What goes through a relay may have been encrypted, and may have been no TCP at all. A recording has it in the clear, as
//! packets that are made up around it:
//!
//! - Streams are TCP from its handshake to its end, without a retransmission: each conversation is reassembled byte by
//!   byte. What was cut off ends with a reset, and its comment says why.
//! - Messages (WebSockets, unix datagrams) are TCP too, since they have no bound that UDP could keep. Each begins a segment
//!   of its own, whose comment says what it is, as in `message 3 up, text, 12 bytes`.
//! - Conversations with clients of UDP are UDP, a datagram each.
//!
//! The addresses are those of the client and of where it came. The first packet's comment has the number of the
//! conversation and where it was led: `tshark -r FILE -Y 'frame.comment contains "flow 7:"'`. Ends without an address of
//! the Internet, as of unix sockets, get addresses on 127.1 and 127.2. Each relay is an interface of its name.

use std::{
    collections::HashMap,
    fmt,
    fs::{OpenOptions, Permissions},
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use self::{
    conversation::{Blocks, Conversation},
    queue::{BOUND, Queue},
};
use crate::{
    error::{Error, Kind, Result},
    traffic::{Flow, Seen, Tap},
};

mod conversation;
mod ends;
mod pcapng;
mod queue;
#[cfg(test)]
mod tests;

/// Conversations are spread over so many locks, for the cores that they live on.
const SHARDS: usize = 16;

/// A tap that writes what it sees as packets, in pcapng.
///
/// It never waits: blocks go to a thread of its own, through a queue of 32 MiB. Where the disk is slower than that for long,
/// what does not fit is lost, and this is said: once when it happens, in the statistics of the file, and by
/// [`finish`](Recorder::finish). The queue is written out whenever it is not empty, so that what was killed leaves a file
/// that is whole up to its last packets.
pub struct Recorder {
    shards: [Mutex<Shard>; SHARDS],
    queue: Arc<Queue>,
}

#[derive(Default)]
struct Shard {
    conversations: HashMap<u64, Conversation>,
    blocks: Blocks,
}

/// What a recording holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// How many packets.
    pub packets: u64,
    /// How large the file is.
    pub bytes: u64,
}

impl Recorder {
    /// A recording in that file, which is for this user's eyes alone; what was in it is gone. `told` hears when something
    /// could not be recorded.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(file: &Path, told: impl Fn(&Error) + Send + Sync + 'static) -> Result<Arc<Self>> {
        let name = file.display().to_string();
        let wrong = |error| Error::io(format!("cannot record to {name}"), error).of(Kind::File);
        let open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file);
        let out = open.map_err(wrong)?;
        // One that was there may have been for others too.
        if out.metadata().map_err(wrong)?.is_file() {
            out.set_permissions(Permissions::from_mode(0o600)).map_err(wrong)?;
        }
        Self::over(out, &name, told)
    }

    /// A recording to any writer, as to stdout; `name` is what errors call it.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn over(
        out: impl Write + Send + 'static,
        name: &str,
        told: impl Fn(&Error) + Send + Sync + 'static,
    ) -> Result<Arc<Self>> {
        let queue = Queue::start(out, name, told)?;
        Ok(Arc::new(Self { shards: Default::default(), queue }))
    }

    /// Writes what is still to be written, for no longer than `within`, and ends the file. What is seen later is not
    /// recorded. It waits for the disk: in a task it belongs into `spawn_blocking`.
    ///
    /// # Errors
    /// The file cannot be written, or something could not be recorded.
    pub fn finish(&self, within: Duration) -> Result<Recorded> {
        self.queue.finish(within)
    }

    fn shard(&self, flow: &Flow) -> MutexGuard<'_, Shard> {
        self.shards[flow.number as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tap for Recorder {
    fn see(&self, flow: &Flow, what: Seen<'_>) {
        let mut shard = self.shard(flow);
        let Shard { conversations, blocks } = &mut *shard;
        let made = || Conversation::new(flow, self.queue.interface(&flow.relay));
        let conversation = conversations.entry(flow.number).or_insert_with(made);
        conversation.see(flow, what, blocks);
        self.queue.push(conversation.interface, blocks);
        if matches!(what, Seen::Closed(_)) {
            conversations.remove(&flow.number);
        }
        blocks.clear();
        blocks.bytes.shrink_to(64 << 10);
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("bound", &BOUND).finish_non_exhaustive()
    }
}

/// Time as a file has it: it never goes back, whatever is done to the clock on the wall.
struct Clock {
    wall: Duration,
    since: Instant,
}

impl Clock {
    fn new() -> Self {
        Self { wall: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(), since: Instant::now() }
    }

    /// Nanoseconds since 1970.
    fn now(&self) -> u64 {
        (self.wall + self.since.elapsed()).as_nanos() as u64
    }
}
