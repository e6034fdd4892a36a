//! The way from the conversations to the file: blocks in memory, and the thread that writes them.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::{Clock, Recorded, conversation::Blocks, pcapng};
use crate::error::{Error, Kind, Result};

/// So many bytes may wait for the disk, and as many may be on their way to it.
pub(super) const BOUND: usize = 32 << 20;

/// What the thread keeps of its memory while there is little to write.
const KEPT: usize = 1 << 20;

pub(super) struct Queue {
    name: String,
    state: Mutex<State>,
    /// Something waits to be written, or all has been.
    changed: Condvar,
    told: Box<dyn Fn(&Error) + Send + Sync>,
}

struct State {
    waiting: Vec<u8>,
    interfaces: Vec<Interface>,
    clock: Clock,
    recorded: Recorded,
    closed: bool,
    /// The statistics have been taken.
    counted: bool,
    /// How it ended, once it has.
    ended: Option<io::Result<()>>,
}

/// What went through a relay.
struct Interface {
    name: Arc<str>,
    packets: u64,
    lost: u64,
}

impl Queue {
    /// An open queue, and its thread.
    pub(super) fn start(
        out: impl Write + Send + 'static,
        name: &str,
        told: impl Fn(&Error) + Send + Sync + 'static,
    ) -> Result<Arc<Self>> {
        let mut waiting = Vec::new();
        let version = concat!("hullo ", env!("CARGO_PKG_VERSION"));
        let about = "What a relay passed on, in the clear. The packets are made up around it.";
        pcapng::section(&mut waiting, version, about);
        let state = State {
            waiting,
            interfaces: Vec::new(),
            clock: Clock::new(),
            recorded: Recorded::default(),
            closed: false,
            counted: false,
            ended: None,
        };
        let (name, state, told) = (name.to_owned(), Mutex::new(state), Box::new(told));
        let queue = Arc::new(Self { name, state, changed: Condvar::new(), told });
        let writer = queue.clone();
        thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || writer.write(out))
            .map_err(|error| Error::io("cannot start to record", error))?;
        Ok(queue)
    }

    /// The number of a relay in the file.
    pub(super) fn interface(&self, name: &Arc<str>) -> u32 {
        let mut state = self.state();
        if let Some(known) = state.interfaces.iter().position(|interface| interface.name == *name) {
            return known as u32;
        }
        state.interfaces.push(Interface { name: name.clone(), packets: 0, lost: 0 });
        let State { waiting, interfaces, .. } = &mut *state;
        // Without it no packet of the relay could be read: it is never too much.
        pcapng::interface(waiting, name);
        (interfaces.len() - 1) as u32
    }

    /// Appends the packets of one event, at the time of now; all of them, or none where there is no room.
    pub(super) fn push(&self, interface: u32, blocks: &mut Blocks) {
        if blocks.times.is_empty() {
            return;
        }
        let mut state = self.state();
        let State { waiting, interfaces, clock, recorded, closed, ended, .. } = &mut *state;
        let packets = blocks.times.len() as u64;
        let Some(interface) = interfaces.get_mut(interface as usize) else { return };
        if *closed || ended.is_some() {
            return;
        }
        if waiting.len() + blocks.bytes.len() > BOUND {
            interface.lost += packets;
            let first = interface.lost == packets;
            drop(state);
            if first {
                (self.told)(&self.too_slow());
            }
            return;
        }
        interface.packets += packets;
        recorded.packets += packets;
        // Here it is known whose packet is the next one, and so its time can stand in the file's order.
        let now = pcapng::time(clock.now());
        for time in &blocks.times {
            blocks.bytes[time.clone()].copy_from_slice(&now);
        }
        waiting.extend_from_slice(&blocks.bytes);
        drop(state);
        self.changed.notify_all();
    }

    /// Lets nothing more in.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    pub(super) fn finish(&self, within: Duration) -> Result<Recorded> {
        self.close();
        let until = Instant::now() + within;
        let mut state = self.state();
        while state.ended.is_none() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let about = format!("the recording in {} could not be ended within {within:?}", self.name);
                return Err(Error::new(Kind::File, about).hint("its last packets may be missing"));
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let lost: u64 = state.interfaces.iter().map(|interface| interface.lost).sum();
        match &state.ended {
            Some(Err(error)) => Err(self.broken(error)),
            _ if lost > 0 => {
                let all = state.recorded.packets + lost;
                Err(Error::new(Kind::File, format!("{lost} of {all} packets are missing in {}", self.name)))
            }
            _ => Ok(state.recorded),
        }
    }

    fn too_slow(&self) -> Error {
        let about = format!("packets are missing in {}: it is written slower than they come", self.name);
        Error::new(Kind::File, about).hint("what is relayed goes on; a faster disk, or tmpfs, would hold all of it")
    }

    fn broken(&self, error: &io::Error) -> Error {
        let error = io::Error::new(error.kind(), error.to_string());
        Error::io(format!("cannot record to {}", self.name), error).of(Kind::File)
    }

    /// The thread: writes whatever waits, until nothing more will come.
    fn write(&self, mut out: impl Write) {
        let written = self.write_all(&mut out);
        if let Err(error) = &written {
            (self.told)(&self.broken(error));
        }
        let mut state = self.state();
        state.ended = Some(written);
        state.waiting = Vec::new();
        drop(state);
        self.changed.notify_all();
    }

    fn write_all(&self, out: &mut impl Write) -> io::Result<()> {
        let mut blocks = Vec::new();
        while self.next(&mut blocks) {
            out.write_all(&blocks)?;
            out.flush()?;
            self.state().recorded.bytes += blocks.len() as u64;
            blocks.clear();
            blocks.shrink_to(KEPT);
        }
        Ok(())
    }

    /// Takes all that waits; nothing when there is no more.
    fn next(&self, blocks: &mut Vec<u8>) -> bool {
        let mut state = self.state();
        while state.waiting.is_empty() && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        mem::swap(&mut state.waiting, blocks);
        if state.closed && !mem::replace(&mut state.counted, true) {
            let now = state.clock.now();
            for (number, interface) in state.interfaces.iter().enumerate() {
                pcapng::statistics(blocks, number as u32, now, interface.packets, interface.lost);
            }
        }
        !blocks.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
