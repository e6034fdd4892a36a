//! The end that listens: who may come, how often, and with which code.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex as Turn, Notify, OwnedMutexGuard},
    time::timeout,
};

use super::{
    Lock, Step, Summary, Tell, Work,
    incoming::Memory,
    pairing::{self, Failure, Keys, Proof, Refusal, Session},
};
use crate::{
    error::{Error, Kind, Result},
    link::{BoxStream, Link},
    scope::BoxFuture,
    service::Service,
};

/// The codes that may be guessed at, one after the other, before we stop.
const CODES: u32 = 10;

/// The connections that work at once: each has threads.
const AT_ONCE: usize = 128;

/// The sessions that are known at once, but for those that work.
const SESSIONS: usize = 256;

/// How long the last connection of a session may take to notice that there is a new one.
const TURN: Duration = Duration::from_secs(10);

/// A service that sends what it has to those who come, or takes what they bring.
pub struct Host {
    work: Work,
    tell: Tell,
    state: Mutex<State>,
    ended: Notify,
    /// How many may come; nothing for any number.
    times: Option<usize>,
}

struct State {
    lock: Lock,
    /// The codes that have been ended by wrong guesses.
    wrong: u32,
    /// Whether there is no next one.
    ended: bool,
    sessions: HashMap<Session, Arc<Known>>,
    /// The sessions that are let in, for each connection.
    running: Vec<Session>,
    done: usize,
    total: Summary,
    failure: Option<Error>,
}

/// A place among those who may come, for as long as this lives.
struct Admitted(Arc<Host>, Session);

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if let Some(at) = state.running.iter().position(|session| *session == self.1) {
            state.running.swap_remove(at);
        }
    }
}

/// What both ends of a session know; nothing where the wire is trusted.
type Secret = Option<Vec<u8>>;

impl State {
    fn secret(&self, session: Session) -> Secret {
        self.sessions.get(&session)?.secret.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What is known of a session.
struct Known {
    secret: Mutex<Secret>,
    memory: Arc<Memory>,
    /// The one connection that works.
    turn: Arc<Turn<()>>,
    /// Counts the connections: one that is not the last gives way.
    latest: AtomicU64,
    newer: Notify,
}

impl Host {
    /// A host. Whoever watches is told each new code.
    pub fn new(work: Work, lock: Lock, times: Option<usize>, tell: Tell) -> Arc<Self> {
        let state = State {
            lock,
            wrong: 0,
            ended: false,
            sessions: HashMap::new(),
            running: Vec::new(),
            done: 0,
            total: Summary::default(),
            failure: None,
        };
        Arc::new(Self { work, tell, state: Mutex::new(state), ended: Notify::new(), times })
    }

    /// Waits until all who may come have come and gone. Cancel-safe.
    ///
    /// # Errors
    /// Too many wrong codes.
    pub async fn ended(&self) -> Result<Summary> {
        loop {
            let ended = self.ended.notified();
            {
                let mut state = self.state();
                if let Some(error) = state.failure.take() {
                    return Err(error);
                }
                if self.times.is_some_and(|times| state.done >= times) {
                    return Ok(state.total.clone());
                }
            }
            ended.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of what somebody wants to prove.
    fn known(&self, proof: Proof, session: Session) -> Result<Vec<u8>, Refusal> {
        let state = self.state();
        match (proof, &state.lock) {
            _ if state.ended => Err(Refusal::Busy),
            (Proof::Again, Lock::Code(_)) => state.secret(session).ok_or(Refusal::Unknown),
            (Proof::Plain, Lock::Code(_)) => Err(Refusal::WantsCode),
            (Proof::Code | Proof::Again, Lock::Plain) => Err(Refusal::HasNoCode),
            _ if self.is_full(&state, session) => Err(Refusal::Busy),
            (Proof::Plain, Lock::Plain) => Ok(Vec::new()),
            (Proof::Code, Lock::Code(code)) => Ok(code.phrase().as_bytes().to_vec()),
        }
    }

    /// Whether as many have come as may, besides those of that session.
    fn is_full(&self, state: &State, session: Session) -> bool {
        let others = state.running.iter().filter(|running| **running != session).count();
        self.times.is_some_and(|times| others + state.done >= times)
    }

    /// Lets somebody in who has proven what there was to prove.
    fn admit(self: &Arc<Self>, state: &mut State, session: Session) -> Result<Admitted, Refusal> {
        if self.is_full(state, session) || state.running.len() >= AT_ONCE {
            return Err(Refusal::Busy);
        }
        state.running.push(session);
        Ok(Admitted(self.clone(), session))
    }

    /// Hears whether somebody knew what was `tried`. Whoever did not know the code has ended it, also for those who guess
    /// at the same time.
    fn settle(
        self: &Arc<Self>,
        (proof, session): (Proof, Session),
        tried: &[u8],
        right: bool,
    ) -> Result<Admitted, Refusal> {
        let mut state = self.state();
        let current = matches!(&state.lock, Lock::Code(code) if code.phrase().as_bytes() == tried);
        match (proof, right) {
            _ if state.ended => Err(Refusal::WrongCode),
            (Proof::Again, true) if state.secret(session).as_deref() == Some(tried) => self.admit(&mut state, session),
            (Proof::Plain, true) => self.admit(&mut state, session),
            (Proof::Code, true) if current => self.admit(&mut state, session),
            (Proof::Code, false) if current => {
                self.end_code(&mut state);
                Err(Refusal::WrongCode)
            }
            // It was over when the proof came.
            (Proof::Again, true) => Err(Refusal::Unknown),
            _ => Err(Refusal::WrongCode),
        }
    }

    /// Puts another code in the place of one that somebody has guessed at.
    fn end_code(&self, state: &mut State) {
        state.wrong += 1;
        let next = match &state.lock {
            Lock::Code(code) if state.wrong < CODES => code.next(),
            _ => None,
        };
        match next {
            Some(code) => {
                (self.tell)(Step::Code { code: &code, wrong: true });
                state.lock = Lock::Code(code);
            }
            None => {
                // Nobody is let in any more, whatever they guess meanwhile.
                state.ended = true;
                state.failure = Some(
                    Error::new(Kind::Tls, "somebody came with a wrong code, which has ended it")
                        .hint("start again with a new code"),
                );
                self.ended.notify_waiters();
            }
        }
    }

    async fn converse(self: Arc<Self>, link: Link) -> Result<()> {
        let (peer, scope) = (link.peer.clone(), link.scope.clone());
        let mut stream = link.reliable().stream();
        let about = || format!("cannot agree with {}", peer.remote());
        let paired = scope.in_time(about, async { Ok(self.pair(&mut stream).await) });
        let (admitted, secret, keys) = match paired.await? {
            Ok(paired) => paired,
            Err(Failure::Error(error)) => return Err(error),
            Err(Failure::Refused(refusal)) => return Err(refused(&peer.remote().to_string(), refusal)),
        };
        (self.tell)(Step::Paired { peer: &peer });
        let session = admitted.1;
        let (known, number) = self.remember(session, secret);
        let turn = self.turn(&known).await?;
        let newer = async {
            loop {
                let newer = known.newer.notified();
                if known.latest.load(Relaxed) != number {
                    return;
                }
                newer.await;
            }
        };
        let worked = tokio::select! {
            worked = self.work.run(stream, keys.as_ref(), &known.memory, self.tell.clone(), turn) => worked,
            () = newer => Err(Error::new(Kind::Cut, "the other end has come again over another connection")),
        };
        let over = self.over(session, worked);
        drop(admitted);
        over
    }

    /// Greets who comes, and lets them in or not.
    async fn pair(self: &Arc<Self>, stream: &mut BoxStream) -> Result<(Admitted, Secret, Option<Keys>), Failure> {
        let tried = Mutex::new(None);
        let known = |proof, session| {
            let known = self.known(proof, session)?;
            *tried.lock().unwrap_or_else(PoisonError::into_inner) = Some(((proof, session), known.clone()));
            Ok(known)
        };
        let mut admitted = None;
        let settle = |right: bool| {
            let tried = tried.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let (who, tried) = tried.ok_or(Refusal::Unknown)?;
            admitted = Some((self.settle(who, &tried, right)?, who.0, tried));
            Ok(())
        };
        let (_, keys) = pairing::listen(stream, self.work.way(), known, settle).await?;
        let (admitted, proof, tried) = admitted.ok_or(Failure::Refused(Refusal::Unknown))?;
        let secret = match (proof, &keys) {
            (Proof::Code, Some(keys)) => Some(keys.secret.to_vec()),
            (Proof::Again, _) => Some(tried),
            _ => None,
        };
        Ok((admitted, secret, keys))
    }

    /// A session's secret is that of its pairing by code. A newer one might never reach the other end, which would come
    /// with the old one.
    fn remember(&self, session: Session, secret: Secret) -> (Arc<Known>, u64) {
        let mut state = self.state();
        let State { sessions, running, .. } = &mut *state;
        if sessions.len() >= SESSIONS {
            // Those that broke and did not come again.
            sessions.retain(|session, _| running.contains(session));
        }
        let known = sessions.entry(session).or_insert_with(|| {
            Arc::new(Known {
                secret: Mutex::default(),
                memory: Arc::default(),
                turn: Arc::default(),
                latest: AtomicU64::new(0),
                newer: Notify::new(),
            })
        });
        *known.secret.lock().unwrap_or_else(PoisonError::into_inner) = secret;
        let number = known.latest.fetch_add(1, Relaxed) + 1;
        known.newer.notify_waiters();
        (known.clone(), number)
    }

    /// Waits until the session's last connection has let go of its files.
    async fn turn(&self, known: &Known) -> Result<OwnedMutexGuard<()>> {
        let turn = timeout(TURN, known.turn.clone().lock_owned()).await;
        turn.map_err(|_| Error::new(Kind::Timeout, "an earlier connection of the same transfer does not end"))
    }

    fn over(&self, session: Session, worked: Result<Summary>) -> Result<()> {
        let mut state = self.state();
        match worked {
            Ok(summary) => {
                state.sessions.remove(&session);
                state.done += 1;
                state.total += summary;
                self.ended.notify_waiters();
                Ok(())
            }
            Err(error) => {
                (self.tell)(Step::Broken { error: &error, again: None });
                Err(error)
            }
        }
    }
}

impl Service for Host {
    fn serve(self: Arc<Self>, link: Link) -> BoxFuture<'static, Result<()>> {
        Box::pin(self.converse(link))
    }
}

fn refused(who: &str, refusal: Refusal) -> Error {
    let why = match refusal {
        Refusal::SameWay => "it wants to do the same as we",
        Refusal::WantsCode => "it came without a code",
        Refusal::HasNoCode => "it came with a code, and we trust the wire",
        Refusal::Unknown => "it asked for a transfer that we do not know",
        Refusal::WrongCode => "its code was wrong",
        Refusal::Busy => "as many have come as may",
    };
    Error::new(Kind::Protocol, format!("{who} was turned away: {why}"))
}
