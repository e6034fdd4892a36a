//! Files and folders from one end to the other: the library behind `hullo send` and `hullo receive`.
//!
//! Either end may listen, over any transport with streams, and over datagrams with [`Link::reliable`](crate::Link::reliable). The layers, from
//! the wire up: a connection; `pairing`, by which the two ends prove to each other that they know the code, and have
//! keys; `carry`, which seals what they say and carries it to the thread that works on files; `words`, what they say; and
//! the two kinds of work, `outgoing` and `incoming`.
//!
//! Nothing is lost: content gets its name when it is whole and its BLAKE3 hash is right, what is there of it stays for
//! the next attempt, and that goes on after comparing it. A connection that breaks is made again.

use std::{
    ops::AddAssign,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rustix::rand::{GetRandomFlags, getrandom};
use tokio::sync::OwnedMutexGuard;

use crate::{
    address::Address,
    dial::dial,
    error::{Error, Kind, Result},
    folder::{Folder, time},
    link::BoxStream,
    peer::Peer,
    scope::Scope,
};

mod carry;
mod code;
mod content;
mod host;
mod incoming;
mod keep;
mod outgoing;
mod pairing;
mod walk;
/// What the two ends say, as a pure codec.
pub mod words;

pub use crate::io::nearby::{Announced, announce, find};
pub use code::Code;
pub use host::Host;
pub use outgoing::Flow;
pub use walk::Source;

use incoming::Memory;
use pairing::{Failure, Keys, Proof, Refusal, Way};
use words::{Hash, Time};

/// What an end does.
#[derive(Clone)]
pub enum Work {
    /// It sends these.
    Send(Vec<Source>),
    /// It receives what comes.
    Receive(Target),
}

/// Where what comes is kept, and how.
#[derive(Clone, Debug)]
pub struct Target {
    /// The folder, which is made where it is not there.
    pub into: PathBuf,
    /// What happens where something of the same name is there.
    pub existing: Existing,
    /// Whether a file is on the disk before it counts as received.
    pub durable: bool,
    /// Whether links are made that lead out of the folder.
    pub outside_links: bool,
}

/// What happens to a file that comes where another of its name is. One with the same content is received already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// It is refused, and counts as failed.
    #[default]
    Refuse,
    /// It takes the other's place.
    Replace,
    /// It gets another name beside it.
    KeepBoth,
    /// It is left out.
    Skip,
}

/// How the two ends know each other.
#[derive(Clone, Debug)]
pub enum Lock {
    /// Not at all: the wire is trusted, or its transport knows.
    Plain,
    /// By a code, with which what they say is encrypted.
    Code(Code),
}

/// Something that happened.
#[derive(Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are named after what they are; each step says what happened")]
pub enum Step<'a> {
    /// A listener's code; a new one where somebody came with a wrong one.
    Code { code: &'a Code, wrong: bool },
    /// The other end is there, and is who it should be.
    Paired { peer: &'a Peer },
    /// How much there is in all.
    Total { files: u64, bytes: u64 },
    /// The content of a file begins to travel, from a place where an earlier attempt stopped.
    Begun { path: &'a Path, size: Option<u64>, from: u64 },
    /// So many bytes more of it.
    Moved(u64),
    /// A file or link is settled.
    Ended { path: &'a Path, outcome: &'a Outcome },
    /// The connection was lost; it is tried again after that time, or the other end is waited for.
    Broken { error: &'a Error, again: Option<Duration> },
    /// Something a person should know.
    Note(&'a str),
}

/// What came of a file or link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is there now. So many bytes travelled, and this is the BLAKE3 hash of its content.
    Done {
        /// The bytes that travelled.
        bytes: u64,
        /// The hash of the whole content; zeros for a link.
        hash: Hash,
    },
    /// It was there already.
    Here,
    /// It was left out, since something of that name is there.
    Skipped,
    /// It is not there, for that reason.
    Failed(String),
}

/// How much was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files and links that came.
    pub done: u64,
    /// The bytes that travelled.
    pub bytes: u64,
    /// Files that were there already.
    pub here: u64,
    /// Files that were left out.
    pub skipped: u64,
    /// Files that are not there.
    pub failed: u64,
}

impl Summary {
    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Done { bytes, .. } => {
                (self.done, self.bytes) = (self.done + 1, self.bytes.saturating_add(*bytes));
            }
            Outcome::Here => self.here += 1,
            Outcome::Skipped => self.skipped += 1,
            Outcome::Failed(_) => self.failed += 1,
        }
    }
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.done += other.done;
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.here += other.here;
        self.skipped += other.skipped;
        self.failed += other.failed;
    }
}

/// Who is told each step, from several threads. It must not wait.
pub type Tell = Arc<dyn Fn(Step<'_>) + Send + Sync>;

impl Work {
    fn way(&self) -> Way {
        match self {
            Self::Send(_) => Way::Sends,
            Self::Receive(_) => Way::Receives,
        }
    }

    /// Does the work over one connection. `turn` is kept until nothing of it works any more.
    async fn run(
        &self,
        stream: BoxStream,
        keys: Option<&Keys>,
        memory: &Arc<Memory>,
        tell: Tell,
        turn: OwnedMutexGuard<()>,
    ) -> Result<Summary> {
        match self.clone() {
            Self::Send(sources) => {
                carry::carry(stream, keys, move |port| {
                    let _turn = turn;
                    outgoing::send(sources, port, tell)
                })
                .await
            }
            Self::Receive(target) => {
                let memory = memory.clone();
                carry::carry(stream, keys, move |port| {
                    let _turn = turn;
                    incoming::receive(&target, &memory, port, tell)
                })
                .await
            }
        }
    }

    /// Looks at what can be wrong before anybody is asked to come.
    ///
    /// # Errors
    /// A source that is not there, two of the same name, or a folder that cannot be written.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Receive(target) => open_target(&target.into).map(drop),
            Self::Send(sources) => {
                let mut names = std::collections::HashSet::new();
                for source in sources {
                    if let Source::Path(path) = source {
                        let about = || format!("cannot send {}", path.display());
                        std::fs::metadata(path).map_err(|error| Error::io(about(), error).of(Kind::File))?;
                    }
                    let name = source.name()?;
                    if !names.insert(name.clone()) {
                        let name = name.to_string_lossy();
                        return Err(Error::usage(format!("two of these would be called {name}"))
                            .hint("send the folder that they are in, or one after the other"));
                    }
                }
                Ok(())
            }
        }
    }
}

/// Connects to the other end and does the work, over as many connections as it takes.
///
/// `patience` is how long the other end may be away, after a break and `at_first`. Dropping the future ends the work; what
/// has come stays for the next attempt.
///
/// # Errors
/// The other end is not there, is not who it should be, or gives up. What fails of single files is in the [`Summary`].
pub async fn connect(
    to: &Address,
    work: &Work,
    lock: &Lock,
    scope: &Scope,
    (at_first, patience): (Duration, Duration),
    tell: Tell,
) -> Result<Summary> {
    let (moved, counted) = counted(tell, matches!(work, Work::Send(_)));
    let mut to = to.clone();
    if matches!(to.scheme.as_str(), "ws" | "wss") && to.options.text("deflate").is_none() {
        // What is encrypted cannot be compressed.
        to.options.set("deflate", "false")?;
    }
    let to = &to;
    let mut caller = Caller { to, work, scope, tell: counted, proof: Pass::of(lock)?, memory: Arc::default() };
    let (mut since, mut so_far, mut left, mut broken) = (Instant::now(), 0, at_first, false);
    let mut failures = 0_u32;
    loop {
        let error = match caller.call().await {
            Ok(summary) => return Ok(summary),
            Err(error) => error,
        };
        let now = moved.load(Relaxed);
        // How long the other end may be away counts from the break, and from the next one only if the work came further.
        let first = caller.proof.paired && !std::mem::replace(&mut broken, caller.proof.paired);
        if now > so_far || first {
            (since, so_far, left, failures) = (Instant::now(), now, patience, 0);
        }
        let pause = Duration::from_millis(100 << failures.min(5));
        failures += 1;
        let passes =
            matches!(error.kind(), Kind::Cut | Kind::Refused | Kind::Unreachable | Kind::Timeout | Kind::Resolve);
        if !passes || since.elapsed() + pause > left {
            return Err(error);
        }
        (caller.tell)(Step::Broken { error: &error, again: Some(pause) });
        tokio::time::sleep(pause).await;
    }
}

/// The same teller, and a count that grows whenever the work has come further. What a sender puts on the wire may never
/// arrive: of that only what the receiver has kept counts.
fn counted(tell: Tell, sends: bool) -> (Arc<AtomicU64>, Tell) {
    let (progress, furthest) = (Arc::new(AtomicU64::new(0)), AtomicU64::new(0));
    let count = progress.clone();
    let counted = move |step: Step<'_>| {
        let further = match &step {
            Step::Moved(_) => !sends,
            Step::Begun { from, .. } => furthest.fetch_max(*from, Relaxed) < *from,
            Step::Ended { outcome, .. } => matches!(outcome, Outcome::Done { .. }),
            _ => false,
        };
        count.fetch_add(u64::from(further), Relaxed);
        tell(step);
    };
    (progress, Arc::new(counted))
}

struct Caller<'a> {
    to: &'a Address,
    work: &'a Work,
    scope: &'a Scope,
    tell: Tell,
    proof: Pass,
    memory: Arc<Memory>,
}

/// What we prove ourselves with.
struct Pass {
    session: pairing::Session,
    code: Option<Code>,
    /// What the last connection left, which needs no code.
    secret: Option<Vec<u8>>,
    paired: bool,
}

impl Pass {
    fn of(lock: &Lock) -> Result<Self> {
        let mut session = [0; 16];
        random(&mut session)?;
        let code = if let Lock::Code(code) = lock { Some(code.clone()) } else { None };
        Ok(Self { session, code, secret: None, paired: false })
    }

    fn shown(&self) -> (Proof, &[u8]) {
        match (&self.secret, &self.code) {
            (Some(secret), _) => (Proof::Again, secret),
            (None, Some(code)) => (Proof::Code, code.phrase().as_bytes()),
            (None, None) => (Proof::Plain, &[]),
        }
    }
}

impl Caller<'_> {
    async fn call(&mut self) -> Result<Summary> {
        let link = dial(self.to, self.scope).await?;
        let peer = link.peer.clone();
        let mut stream = link.reliable().stream();
        let (proof, known) = self.proof.shown();
        let about = || format!("cannot agree with {}", self.to.bare());
        let proven = AtomicBool::new(false);
        let pairing = async {
            Ok(pairing::connect(&mut stream, self.work.way(), proof, self.proof.session, known, &proven).await)
        };
        let paired = self.scope.in_time(about, pairing).await;
        // To say it again would be to let whoever listens guess again.
        let guessed = proof == Proof::Code && proven.load(Relaxed);
        let keys = match paired.unwrap_or_else(|error| Err(Failure::Error(error))) {
            Ok(keys) => keys,
            Err(Failure::Refused(refusal)) if guessed => {
                return Err(turned_away(self.to, self.work.way(), refusal).of(Kind::Tls));
            }
            Err(Failure::Refused(Refusal::Unknown)) if self.proof.secret.take().is_some() => {
                // It began anew meanwhile; there is still the code.
                return Err(Error::new(Kind::Cut, format!("{} has forgotten this transfer", self.to.bare())));
            }
            Err(Failure::Refused(refusal)) => return Err(turned_away(self.to, self.work.way(), refusal)),
            Err(Failure::Error(error)) if guessed => return Err(unanswered(self.to, &error)),
            Err(Failure::Error(error)) => return Err(error),
        };
        self.proof.paired = true;
        if let (Proof::Code, Some(keys)) = (proof, &keys) {
            self.proof.secret = Some(keys.secret.to_vec());
        }
        (self.tell)(Step::Paired { peer: &peer });
        let turn = Arc::new(tokio::sync::Mutex::new(())).lock_owned().await;
        self.work.run(stream, keys.as_ref(), &self.memory, self.tell.clone(), turn).await
    }
}

/// Whoever heard the proof of the code has not proven that it knows it too.
fn unanswered(to: &Address, why: &Error) -> Error {
    let about = format!("{} has not proven that it knows the code ({why}), and may have tried to guess it", to.bare());
    Error::new(Kind::Tls, about).hint("start again at both ends, with a new code")
}

fn turned_away(to: &Address, way: Way, refusal: Refusal) -> Error {
    let (sends, other) = if way == Way::Sends { ("send", "receive") } else { ("receive", "send") };
    let (kind, why, hint) = match refusal {
        Refusal::SameWay => {
            (Kind::Usage, format!("it wants to {sends} too"), format!("there must be hullo {other} there"))
        }
        Refusal::WantsCode => (Kind::Usage, "it wants a code".to_owned(), "leave out --plain".to_owned()),
        Refusal::HasNoCode => {
            (Kind::Usage, "it has no code, since it trusts the wire".to_owned(), "use --plain".to_owned())
        }
        Refusal::WrongCode => (
            Kind::Tls,
            "the code was wrong, and is no good any more".to_owned(),
            "the other end shows a new one".to_owned(),
        ),
        Refusal::Busy => (
            Kind::Refused,
            "as many have come as may, or another is there".to_owned(),
            "if an earlier attempt broke off, wait half a minute; or start the other end with --times 2".to_owned(),
        ),
        Refusal::Unknown => (Kind::Cut, "it does not know this transfer".to_owned(), "run the same again".to_owned()),
    };
    Error::new(kind, format!("{} turned us away: {why}", to.bare())).hint(hint)
}

/// Opens the folder that things are received into.
fn open_target(into: &Path) -> Result<Folder> {
    let about = || format!("cannot write into {}", into.display());
    let opened = std::fs::create_dir_all(into).and_then(|()| Folder::open(into));
    opened.map_err(|error| Error::io(about(), error).of(Kind::File))
}

/// Fills a few bytes with the system's randomness, without the warm-up of a generator of our own.
fn random(bytes: &mut [u8]) -> Result<()> {
    let wanted = bytes.len();
    let filled = getrandom(bytes, GetRandomFlags::empty());
    if filled == Ok(wanted) { Ok(()) } else { Err(Error::new(Kind::Other, "the system has no randomness")) }
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (i64::try_from(since.as_secs()).unwrap_or_default(), since.subsec_nanos())
}
