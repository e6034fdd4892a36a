//! The sender's work: announces what there is, and sends what the receiver wants of it.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use rustix::fs::Stat;

use super::content::{agreed, changed, each, extent, read_at, regular, same, zeros};
use super::{
    Outcome, Source, Step, Summary, Tell,
    carry::{Event, LENGTH, Port},
    walk::{self, Found, Place, Walk},
    words::{self, Answer, CHUNK, Frame, HEAD, HOLE, Hash, Told, block, malformed},
};
use crate::error::{Error, Kind, Result, plain};

mod flow;

pub use flow::Flow;

/// How much is announced before its content is sent.
const AHEAD: usize = 1024;

/// How long the announcing may take before all is counted beside it.
const SOON: Duration = Duration::from_millis(200);

/// The least room for content that is worth a frame.
const ROOM: usize = 4096;

/// What the receiver said of something that was announced.
enum Verdict {
    Want { length: u64, blocks: Vec<Hash> },
    Compare { hash: Hash, send: bool },
    Settled,
}

/// Something that was announced, and waits for its turn.
struct Waiting {
    number: u64,
    what: What,
    verdict: Option<Verdict>,
}

enum What {
    File(Place, Stat),
    Flow(Flow),
    /// A folder or a link: there is nothing to send.
    Announced,
    /// The end of the folder with that number.
    Leave(u64),
}

/// Sends all of it.
///
/// # Errors
/// The connection is lost, or the receiver gives up. What fails of single files is told, and counted.
pub(super) fn send(sources: Vec<Source>, port: Port<(u64, u64)>, tell: Tell) -> Result<Summary> {
    let counting = Counting::begin(sources.clone(), &port);
    let chunk = port.buffer();
    let walk = Walk::new(sources);
    let mut sender = Sender {
        port,
        chunk,
        walk: Some(walk),
        number: 0,
        waiting: VecDeque::new(),
        inside: Vec::new(),
        folders: VecDeque::new(),
        unsettled: HashMap::new(),
        counted: Some((0, 0)),
        finished: false,
        tell,
        summary: Summary::default(),
    };
    let sent = sender.run();
    drop(counting);
    if let Err(error) = &sent {
        // The receiver should know why, if it can still hear it.
        if error.kind() != Kind::Cut {
            let _ = sender.say(&Told::Stop { why: &error.to_string() }).and_then(|()| sender.flush());
        }
    }
    sent.map(|()| sender.summary)
}

/// Counts what there is, beside the sending.
struct Counting(Arc<AtomicBool>);

impl Counting {
    fn begin(sources: Vec<Source>, port: &Port<(u64, u64)>) -> Self {
        let (go_on, own) = (Arc::new(AtomicBool::new(true)), port.own());
        let on = go_on.clone();
        std::thread::spawn(move || {
            // What is soon announced in whole is counted on the way.
            std::thread::park_timeout(SOON);
            let total = on.load(Relaxed).then(|| walk::count(&sources, || on.load(Relaxed))).flatten();
            if let (Some(total), Some(own)) = (total, own.upgrade()) {
                // The sending may be over.
                let _ = own.send(Event::Own(total));
            }
        });
        Self(go_on)
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}

struct Sender {
    port: Port<(u64, u64)>,
    chunk: Vec<u8>,
    walk: Option<Walk>,
    number: u64,
    waiting: VecDeque<Waiting>,
    /// The numbers of the folders that the walk is in.
    inside: Vec<u64>,
    /// The folders that the receiver may still refuse.
    folders: VecDeque<(u64, PathBuf)>,
    /// What has been sent, or is on its way, and is not settled yet.
    unsettled: HashMap<u64, (PathBuf, u64, Hash)>,
    /// What has been announced, until it is known how much there is in all.
    counted: Option<(u64, u64)>,
    finished: bool,
    tell: Tell,
    summary: Summary,
}

impl Sender {
    fn run(&mut self) -> Result<()> {
        loop {
            self.listen()?;
            self.announce()?;
            match self.waiting.front() {
                Some(Waiting { verdict: None, what: What::File(..) | What::Flow(_), .. }) => self.wait()?,
                Some(_) => self.settle()?,
                None if self.walk.is_none() => break,
                None => {}
            }
        }
        self.say(&Told::Complete)?;
        while !self.finished {
            self.wait()?;
        }
        Ok(())
    }

    /// Announces what is next, some way ahead of what is sent.
    fn announce(&mut self) -> Result<()> {
        while self.waiting.len() < AHEAD {
            let Some(walk) = &mut self.walk else { return Ok(()) };
            let Some(found) = walk.next() else {
                self.walk = None;
                return self.total();
            };
            self.found(found)?;
        }
        Ok(())
    }

    /// Says how much there is, unless that was counted meanwhile.
    fn total(&mut self) -> Result<()> {
        let Some((files, bytes)) = self.counted.take() else { return Ok(()) };
        (self.tell)(Step::Total { files, bytes });
        self.say(&Told::Total { files, bytes })
    }

    fn found(&mut self, found: Found) -> Result<()> {
        let name = |place: &Place| walk::bytes(place.name.clone());
        let what = match found {
            Found::Not(path, why) => {
                self.ended(&path, Outcome::Failed(why));
                return Ok(());
            }
            Found::Part(path) => {
                let note = format!("{} is not whole: it waits for its own transfer, and is left out", path.display());
                (self.tell)(Step::Note(&note));
                return Ok(());
            }
            Found::Leave => {
                let Some(number) = self.inside.pop() else { return Ok(()) };
                self.waiting.push_back(Waiting { number: 0, what: What::Leave(number), verdict: None });
                return Ok(());
            }
            Found::Folder(place, status) => {
                let (mode, modified) = (status.st_mode, walk::modified(&status));
                self.say(&Told::Folder { parent: place.parent, name: &name(&place), mode, modified })?;
                self.inside.push(self.number + 1);
                self.folders.push_back((self.number + 1, place.path));
                What::Announced
            }
            Found::Link(place, status, target) => {
                let modified = walk::modified(&status);
                self.say(&Told::Link { parent: place.parent, name: &name(&place), modified, target: &target })?;
                self.unsettled.insert(self.number + 1, (place.path, 0, [0; 32]));
                What::Announced
            }
            Found::File(place, status) => {
                let (mode, modified, size) = (status.st_mode, walk::modified(&status), Some(walk::size(&status)));
                self.say(&Told::File { parent: place.parent, name: &name(&place), mode, modified, size })?;
                self.counted = self.counted.map(|(files, bytes)| (files + 1, bytes + walk::size(&status)));
                What::File(place, status)
            }
            Found::Flow(flow) => {
                let (name, modified) = (flow.name().as_bytes(), flow.began());
                self.say(&Told::File { parent: 0, name, mode: 0o644, modified, size: None })?;
                self.counted = None;
                What::Flow(flow)
            }
        };
        self.number += 1;
        self.waiting.push_back(Waiting { number: self.number, what, verdict: None });
        Ok(())
    }

    /// Does what the first of those that wait needs.
    fn settle(&mut self) -> Result<()> {
        let Some(Waiting { number, what, verdict }) = self.waiting.pop_front() else { return Ok(()) };
        match (what, verdict) {
            (What::Leave(id), _) => self.say(&Told::Leave { id }),
            (What::File(place, status), Some(verdict)) => self.file(number, &place, &status, verdict),
            (What::Flow(flow), Some(Verdict::Want { length, .. })) => self.flow(number, &flow, length),
            _ => Ok(()),
        }
    }

    fn file(&mut self, id: u64, place: &Place, status: &Stat, verdict: Verdict) -> Result<()> {
        if let Verdict::Settled = verdict {
            return Ok(());
        }
        let path = place.path.clone();
        match place.open().and_then(|file| regular(&file).map(|()| file)) {
            Ok(file) => self.opened(id, path, &file, status, verdict),
            Err(error) => {
                self.unsettled.insert(id, (path, 0, [0; 32]));
                self.say(&Told::Start { id, offset: 0 })?;
                self.spoilt(id, &error)
            }
        }
    }

    fn opened(&mut self, id: u64, path: PathBuf, file: &File, status: &Stat, verdict: Verdict) -> Result<()> {
        let size = walk::size(status);
        let mut hasher = blake3::Hasher::new();
        let mut offset = 0;
        match verdict {
            Verdict::Settled => return Ok(()),
            Verdict::Compare { hash, send } => {
                let ours = each(file, 0, size, |piece| {
                    hasher.update(piece);
                })
                .map(|()| hasher.finalize());
                let same = ours.is_ok_and(|ours| ours == hash) && same(file, status).is_ok();
                self.say(&Told::Compared { id, same })?;
                if same || !send {
                    self.unsettled.insert(id, (path, 0, hash));
                    return Ok(());
                }
                hasher.reset();
            }
            Verdict::Want { length, blocks } => {
                if blocks.len() as u64 > length.min(size).div_ceil(block(size)) {
                    return Err(malformed("more hashes than there are blocks"));
                }
                offset = agreed(&mut hasher, file, size, length, &blocks).unwrap_or_default();
                if offset == 0 {
                    hasher.reset();
                }
            }
        }
        self.begin(id, path, Some(size), offset)?;
        let sent = self.content(id, file, status, offset, &mut hasher)?.and_then(|()| same(file, status));
        match sent {
            Ok(()) => self.whole(id, size - offset, &hasher),
            Err(error) => self.spoilt(id, &error),
        }
    }

    /// Says that content follows. From now on the receiver may say at any time that it cannot keep it.
    fn begin(&mut self, id: u64, path: PathBuf, size: Option<u64>, from: u64) -> Result<()> {
        (self.tell)(Step::Begun { path: &path, size, from });
        self.unsettled.insert(id, (path, 0, [0; 32]));
        self.say(&Told::Start { id, offset: from })
    }

    fn whole(&mut self, id: u64, bytes: u64, hasher: &blake3::Hasher) -> Result<()> {
        let hash = hasher.finalize().into();
        if let Some((_, sent, its)) = self.unsettled.get_mut(&id) {
            (*sent, *its) = (bytes, hash);
        }
        self.say(&Told::End { hash })
    }

    /// Tells both sides that the file cannot be sent, unless the receiver has told us that it cannot keep it.
    fn spoilt(&mut self, id: u64, error: &io::Error) -> Result<()> {
        let why = plain(&error.to_string());
        if let Some((path, ..)) = self.unsettled.remove(&id) {
            self.ended(&path, Outcome::Failed(why.clone()));
        }
        self.say(&Told::Spoilt { why: &why })
    }

    /// Sends what is in the file from that place on. Holes are told, and not sent.
    fn content(
        &mut self,
        id: u64,
        file: &File,
        status: &Stat,
        mut offset: u64,
        hasher: &mut blake3::Hasher,
    ) -> Result<io::Result<()>> {
        let size = walk::size(status);
        let sparse = u64::try_from(status.st_blocks).unwrap_or_default() * 512 < size;
        while offset < size {
            let mut end = size;
            if sparse {
                let (data, hole) = extent(file, offset, size);
                while data > offset {
                    self.listen()?;
                    let length = (data - offset).min(HOLE);
                    self.say(&Told::Hole { length })?;
                    zeros(hasher, length);
                    (self.tell)(Step::Moved(length));
                    offset += length;
                }
                end = hole;
            }
            while offset < end {
                self.listen()?;
                if !self.unsettled.contains_key(&id) {
                    return Ok(Err(io::Error::other("the other end cannot keep it")));
                }
                match self.piece(file, offset, end - offset, hasher)? {
                    Ok(0) => return Ok(Err(changed())),
                    Ok(length) => offset += length,
                    Err(error) => return Ok(Err(error)),
                }
            }
        }
        Ok(Ok(()))
    }

    /// Sends one piece, read where it is sent from.
    fn piece(&mut self, file: &File, offset: u64, most: u64, hasher: &mut blake3::Hasher) -> Result<io::Result<u64>> {
        let (start, room) = self.room()?;
        self.chunk.extend_from_slice(&[0; HEAD]);
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(room);
        let read = read_at(file, &mut self.chunk, offset, most);
        let Ok(length @ 1..) = read else {
            self.chunk.truncate(start);
            return Ok(read.map(|_| 0));
        };
        hasher.update(&self.chunk[start + HEAD..]);
        words::content(&mut self.chunk, start);
        (self.tell)(Step::Moved(length as u64));
        if CHUNK - self.chunk.len().min(CHUNK) < ROOM {
            self.flush()?;
        }
        Ok(Ok(length as u64))
    }

    /// Where the next frame begins, and how much content it may have.
    fn room(&mut self) -> Result<(usize, usize)> {
        if self.chunk.len() + HEAD + ROOM > CHUNK {
            self.flush()?;
        }
        Ok((self.chunk.len(), CHUNK - self.chunk.len() - HEAD))
    }

    fn say(&mut self, words: &Told<'_>) -> Result<()> {
        // A buffer is not to grow.
        if self.chunk.len() + ROOM > CHUNK {
            self.flush()?;
        }
        words::say(&mut self.chunk, words)
    }

    fn flush(&mut self) -> Result<()> {
        self.port.send(&mut self.chunk)
    }

    /// Hears what the receiver has said meanwhile.
    fn listen(&mut self) -> Result<()> {
        while let Some(event) = self.port.look() {
            self.event(event)?;
        }
        Ok(())
    }

    /// Waits for what the receiver says next.
    fn wait(&mut self) -> Result<()> {
        self.flush()?;
        let event = self.port.wait()?;
        self.event(event)
    }

    fn event(&mut self, event: Event<(u64, u64)>) -> Result<()> {
        match event {
            Event::Lost(error) => Err(error),
            Event::Own(total) => {
                self.counted = self.counted.and(Some(total));
                self.total()
            }
            Event::Chunk(chunk) => {
                let mut frames = chunk.frames();
                while let Some(frame) = words::next(&mut frames)? {
                    match frame {
                        Frame::Words(answer) => self.answer(answer)?,
                        Frame::Content(_) => return Err(malformed("content, and should receive it")),
                    }
                }
                Ok(())
            }
        }
    }

    fn answer(&mut self, answer: Answer<'_>) -> Result<()> {
        match answer {
            Answer::Want { id, length, blocks } => self.verdict(id, Verdict::Want { length, blocks }),
            Answer::Compare { id, hash, send } => self.verdict(id, Verdict::Compare { hash, send }),
            Answer::Here { id } => self.over(id, Outcome::Here),
            Answer::Skip { id } => self.over(id, Outcome::Skipped),
            Answer::Failed { id, why } => self.over(id, Outcome::Failed(crate::error::brief(why).to_string())),
            Answer::Done { id } => self.over(id, Outcome::Done { bytes: 0, hash: [0; 32] }),
            Answer::Finished if self.walk.is_none() && self.waiting.is_empty() && self.unsettled.is_empty() => {
                self.finished = true;
                Ok(())
            }
            Answer::Finished => Err(malformed("an end before the end")),
            Answer::Stop { why } => {
                Err(Error::new(Kind::File, format!("the receiver gave up: {}", crate::error::brief(why)))
                    .hint("run the same again: it goes on where it stopped"))
            }
        }
    }

    fn waiting(&mut self, id: u64) -> Option<&mut Waiting> {
        // The numbers go up, with the ends of folders (0) between them.
        self.waiting.iter_mut().find(|waiting| waiting.number == id)
    }

    /// The receiver has come to that number, and to all before it. Gives the path where it is a folder's.
    fn reached(&mut self, id: u64) -> Option<PathBuf> {
        while self.folders.front().is_some_and(|(folder, _)| *folder < id) {
            self.folders.pop_front();
        }
        if self.folders.front().is_some_and(|(folder, _)| *folder == id) {
            return self.folders.pop_front().map(|(_, path)| path);
        }
        None
    }

    fn verdict(&mut self, id: u64, verdict: Verdict) -> Result<()> {
        self.reached(id);
        match self.waiting(id) {
            Some(Waiting { verdict: slot @ None, .. }) => *slot = Some(verdict),
            _ => return Err(malformed("an answer to what was not asked")),
        }
        Ok(())
    }

    /// That one is over, for better or worse.
    fn over(&mut self, id: u64, outcome: Outcome) -> Result<()> {
        if let Some(path) = self.reached(id) {
            self.ended(&path, outcome);
            return Ok(());
        }
        if let Some((path, bytes, hash)) = self.unsettled.remove(&id) {
            let outcome = match outcome {
                Outcome::Done { .. } => Outcome::Done { bytes, hash },
                other => other,
            };
            self.ended(&path, outcome);
            return Ok(());
        }
        let Some(waiting) = self.waiting(id) else {
            // It has been told already why it could not be sent, or it is a folder that has been left.
            return Ok(());
        };
        let path = match &waiting.what {
            What::File(place, _) => Some(place.path.clone()),
            What::Flow(flow) => Some(PathBuf::from(flow.name())),
            What::Announced | What::Leave(_) => None,
        };
        waiting.verdict = Some(Verdict::Settled);
        if let Some(path) = path {
            self.ended(&path, outcome);
        }
        Ok(())
    }

    fn ended(&mut self, path: &std::path::Path, outcome: Outcome) {
        self.summary.count(&outcome);
        (self.tell)(Step::Ended { path, outcome: &outcome });
    }
}

// The head of a chunk and of a frame leave room for content.
const _: () = assert!(LENGTH + HEAD + ROOM < CHUNK);
