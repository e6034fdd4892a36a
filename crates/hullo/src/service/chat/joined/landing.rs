//! The one task that what comes from the other servers goes through, and what is said here while they are away.

use std::{sync::Arc, sync::atomic::Ordering::Relaxed, time::Duration};

use tokio::{
    sync::mpsc,
    task::unconstrained,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    super::{Chat, room::Room},
    AWAY, BACK, Job, Joined, State, bytes,
    others::{EVERY, Others, Word},
};
use crate::{
    bus::{Bus, Heard, Position},
    chat::{Entry, Event},
    error::{Error, Kind, Result},
    scope::Scope,
    watch,
};

/// Entries that are told together.
const TOGETHER: usize = 64;

/// Unsent entries that are read at once.
const PAGE: usize = 200;

/// How soon is looked again for what the writer has not written yet.
const SOON: Duration = Duration::from_millis(5);

pub(super) struct Lander {
    pub(super) chat: Arc<Chat>,
    pub(super) bus: Bus,
    pub(super) others: Others,
    /// Rooms to which something was added that is not told yet.
    pub(super) untold: Vec<Arc<Room>>,
    /// Rooms that nobody may be in.
    stale: Vec<Arc<Room>>,
    scope: Scope,
    /// All that was in the log has been heard.
    caught: bool,
    /// Something may be here that the log does not have.
    unsent: bool,
}

impl Lander {
    pub(super) fn new(chat: Arc<Chat>, bus: Bus, scope: Scope) -> Self {
        // There may be something of an earlier run.
        Self {
            chat,
            bus,
            others: Others::default(),
            untold: Vec::new(),
            stale: Vec::new(),
            scope,
            caught: false,
            unsent: true,
        }
    }

    pub(super) async fn run(
        mut self,
        mut heard: mpsc::Receiver<Heard>,
        mut jobs: mpsc::Receiver<Job>,
        stopped: impl Future<Output = ()>,
    ) {
        let (chat, mut stopped) = (self.chat.clone(), std::pin::pin!(stopped));
        let Some(joined) = &chat.joined else { return };
        let mut every = interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut stopped => break,
                one = heard.recv() => match one {
                    Some(one) => self.hear(joined, one, &mut heard).await,
                    None => break,
                },
                job = jobs.recv() => match job {
                    Some(job) => self.job(joined, job).await,
                    None => break,
                },
                () = joined.has_changed.notified() => self.tell_changes(joined).await,
                _ = every.tick() => self.tend(joined).await,
            }
            self.tell().await;
        }
        // Whoever said something has said it, and others say no more.
        joined.state.send_replace(State::Away);
        jobs.close();
        while let Ok(job) = jobs.try_recv() {
            self.job(joined, job).await;
        }
        self.tell().await;
    }

    /// Hears one thing, and some more that is there already.
    async fn hear(&mut self, joined: &Joined, first: Heard, more: &mut mpsc::Receiver<Heard>) {
        let mut next = Some(first);
        for _ in 0..TOGETHER {
            let Some(heard) = next.or_else(|| more.try_recv().ok()) else { return };
            next = None;
            match heard {
                Heard::Entry { position, bytes } => self.entry(joined, position, &bytes).await,
                Heard::Word { bytes } => self.word(&bytes).await,
                Heard::Up => drop(joined.state.send_replace(State::Coming)),
                Heard::Caught => {
                    self.caught = true;
                    self.come_back(joined).await;
                    self.tell_all(joined).await;
                }
                Heard::Down { why } => self.go_away(joined, &why),
            }
        }
    }

    async fn entry(&mut self, joined: &Joined, position: Position, bytes: &[u8]) {
        // What a later version says may be no entry to us.
        let Ok(entry) = serde_json::from_slice::<Entry>(bytes) else { return };
        let landed = self.chat.land(joined, &Arc::new(entry), Some(position)).await;
        self.has_landed(landed);
    }

    fn has_landed(&mut self, landed: Result<Option<Arc<Room>>>) {
        match landed {
            Ok(Some(room)) => self.touch(room),
            Ok(None) => {}
            Err(error) => self.scope.tell(&watch::Event::Trouble { peer: None, error: &error }),
        }
    }

    pub(super) fn touch(&mut self, room: Arc<Room>) {
        if !self.untold.iter().any(|other| Arc::ptr_eq(other, &room)) {
            self.untold.push(room);
        }
    }

    async fn tell(&mut self) {
        for room in std::mem::take(&mut self.untold) {
            unconstrained(room.tell()).await;
            if !self.stale.iter().any(|other| Arc::ptr_eq(other, &room)) {
                self.stale.push(room);
            }
        }
    }

    async fn job(&mut self, joined: &Joined, job: Job) {
        match job {
            Job::Shout(word) => self.bus.shout(word.bytes()).await,
            Job::Land(uid) => {
                let landed = self.chat.land_pending(joined, &uid).await;
                self.unsent |= matches!(landed, Ok(Some(_)));
                self.has_landed(landed);
                self.come_back(joined).await;
            }
        }
    }

    /// What is to be done every now and then.
    async fn tend(&mut self, joined: &Joined) {
        for uid in joined.overdue() {
            self.job(joined, Job::Land(uid)).await;
        }
        self.come_back(joined).await;
        self.tell_all(joined).await;
        let changes = self.others.forget_silent();
        self.apply(changes);
        // What was added to them is on disk by now, or stays until somebody comes and goes.
        for room in std::mem::take(&mut self.stale) {
            self.chat.tidy(&room);
        }
    }

    fn go_away(&mut self, joined: &Joined, why: &Error) {
        self.caught = false;
        joined.state.send_replace(State::Away);
        // It is this server's own trouble, of which whoever runs it hears without asking.
        let error = Error::new(Kind::Other, "the other servers cannot be reached").because(why.to_string());
        let error = why.advice().map(str::to_owned).into_iter().fold(error, Error::hint);
        self.scope.tell(&watch::Event::Trouble { peer: None, error: &error });
        if !joined.away.swap(true, Relaxed) {
            self.notice(AWAY);
        }
    }

    /// All that was said meanwhile goes to the others; from then on what is said goes there at once.
    async fn come_back(&mut self, joined: &Joined) {
        if !self.caught || !self.bus.is_up() || !joined.is(State::Coming) || !self.send_all().await {
            return;
        }
        joined.state.send_replace(State::Flows);
        if joined.away.swap(false, Relaxed) {
            self.scope.tell(&watch::Event::Note(BACK));
            self.notice(BACK);
        }
    }

    fn notice(&self, text: &str) {
        let event = Event::Notice { text: text.to_owned() };
        for member in self.chat.people.members() {
            member.tell(&event, "");
        }
    }

    /// Publishes what the log does not have. Says whether that was all; else it is tried again soon.
    async fn send_all(&mut self) -> bool {
        if self.unsent {
            self.unsent = self.try_send_all().await.is_err();
        }
        !self.unsent
    }

    async fn try_send_all(&self) -> Result<()> {
        let Some(history) = &self.chat.history else { return Ok(()) };
        let last = self.chat.next_id().saturating_sub(1);
        let mut after = 0;
        loop {
            let written = history.written() >= last;
            let entries = history.unsent(after, PAGE).await?;
            let Some(newest) = entries.last() else {
                if written {
                    return Ok(());
                }
                sleep(SOON).await;
                continue;
            };
            after = newest.id;
            for entry in &entries {
                self.bus.publish(&entry.room, &entry.uid, bytes(entry)).await?;
            }
            history.sent(entries.into_iter().map(|entry| entry.uid).collect());
        }
    }

    async fn word(&mut self, bytes: &[u8]) {
        // What a later version says may be no word to us.
        let Ok(word) = serde_json::from_slice(bytes) else { return };
        let changes = match word {
            Word::All { server, first, last, people } => self.others.hear(&server, (first, last), people),
            Word::Some { server, people } => self.others.hear_of(&server, people),
            Word::Bye { server } => self.others.forget(&server),
            Word::Typing { room, name } => return self.typing(&room, &name),
            Word::Alone { to, entry } => {
                let heard = self.chat.hear_alone(&to, entry);
                return heard.into_iter().for_each(|room| self.touch(room));
            }
        };
        self.apply(changes);
    }
}
