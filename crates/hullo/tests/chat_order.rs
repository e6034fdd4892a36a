#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![cfg(feature = "sqlite")]
//! What each member of a room saw is a gap-free run of the room's log, however often their connections are cut.
//!
//! Members talk over simulated links, and lose them at any moment: before, while and after they say something. They come
//! again as clients do: from the last entry that they saw, and with what was not acknowledged.
//!
//! What is said is written by a thread, for which no clock can be stopped: this is real time, with small delays.

mod common;

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use common::{Folder, address, in_time};
use hullo::{
    Limits, Link, Message, Scope, Server, Session,
    chat::{Ask, Asked, Event},
    framing,
    service::{self, Settings},
};
use proptest::{
    prelude::*,
    test_runner::{TestCaseError, TestRunner},
};
use tokio::{task::JoinSet, time};

const ROOMS: [&str; 2] = ["lobby", "dev"];

/// What one member does, by the milliseconds that pass before.
#[derive(Clone, Debug)]
enum Step {
    Say {
        after: u64,
        room: usize,
    },
    /// The connection is gone, and whatever was under way on it.
    Cut {
        after: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..10_u64, 0..ROOMS.len()).prop_map(|(after, room)| Step::Say { after, room }),
        1 => (0..20_u64).prop_map(|after| Step::Cut { after }),
    ]
}

/// A server whose history is in that folder.
async fn server(name: &str, folder: &Path) -> Server {
    let spec = service::find("chat").unwrap();
    let database = Some(folder.join("chat.db").to_str().unwrap().to_owned());
    let settings = Settings { database, flood: Some(0), ..Settings::default() };
    let mut server = Server::new(Scope::new(Limits::server(), None));
    server.listen(&address(&format!("memory://{name}?delay=2ms")), (spec.make)(&settings).unwrap()).await.unwrap();
    server
}

/// A client that remembers what a client must.
#[derive(Default)]
struct Member {
    at: String,
    number: usize,
    said: usize,
    session: Option<Session>,
    token: Option<String>,
    log: Option<String>,
    /// The ids and uids of what was seen in each room.
    seen: HashMap<String, Vec<(u64, String)>>,
    /// What was said and is not acknowledged.
    unkept: Vec<(String, String)>,
    kept: Vec<String>,
    joined: usize,
    gaps: usize,
}

impl Member {
    async fn connect(&mut self) {
        let link: Link = loop {
            match hullo::dial(&address(&self.at), &Scope::default()).await {
                Ok(link) => break link,
                // The server is being started anew.
                Err(_) => time::sleep(Duration::from_millis(20)).await,
            }
        };
        self.session = Some(link.session(&framing::lines::SPEC));
        self.joined = 0;
        self.send(Message::text("/json")).await;
        self.ask(Ask::Hello { name: None, password: None, token: self.token.clone() }).await;
        for room in ROOMS {
            let last = self.seen.get(room).and_then(|seen| seen.last()).cloned();
            let (after, uid) = last.unzip();
            let after = after.or(Some(0));
            let (room, log) = (room.to_owned(), self.log.clone());
            self.ask(Ask::Join { room, after, log, uid, history: None, token: None }).await;
        }
        for (room, uid) in self.unkept.clone() {
            self.say(room, uid).await;
        }
    }

    async fn say(&mut self, room: String, uid: String) {
        self.ask(Ask::Say { room, text: format!("text of {uid}"), uid: Some(uid), me: false }).await;
    }

    async fn ask(&mut self, ask: Ask) {
        let json = serde_json::to_string(&Asked { tag: None, ask }).unwrap();
        self.send(Message::text(json)).await;
    }

    async fn send(&mut self, message: Message) {
        if let Some(session) = &mut self.session
            && (session.send(message).await.is_err() || session.flush().await.is_err())
        {
            self.session = None;
        }
    }

    /// Hears whatever comes within that time, or until `done`.
    async fn hear(&mut self, time: Duration, done: impl Fn(&Self) -> bool) {
        let until = time::Instant::now() + time;
        while !done(self) {
            let Some(session) = &mut self.session else {
                if time::Instant::now() >= until {
                    return;
                }
                self.connect().await;
                continue;
            };
            match time::timeout_at(until, session.recv()).await {
                Err(_) => return,
                Ok(Ok(Some(message))) => self.heard(&message.to_text()),
                Ok(_) => self.session = None,
            }
        }
    }

    fn heard(&mut self, line: &str) {
        // Before the program has said that it is one, it is greeted like everybody.
        let Ok(event) = serde_json::from_str::<Event>(line) else { return };
        match event {
            Event::Welcome { token, log, .. } => (self.token, self.log) = (Some(token), Some(log)),
            Event::Joined { recovered, .. } => {
                self.joined += 1;
                self.gaps += usize::from(recovered == Some(false));
            }
            Event::Message(said) => {
                self.seen.entry(said.at.room).or_default().push((said.at.id, said.at.uid));
            }
            Event::Kept { uid, .. } => {
                self.unkept.retain(|(_, other)| *other != uid);
                self.kept.push(uid);
            }
            Event::Error { error, .. } => panic!("{error}"),
            _ => {}
        }
    }

    async fn live(mut self, steps: Vec<Step>) -> Self {
        self.connect().await;
        for step in steps {
            match step {
                Step::Say { after, room } => {
                    self.hear(Duration::from_millis(after), |_| false).await;
                    self.said += 1;
                    let (room, uid) = (ROOMS[room].to_owned(), format!("m{}-{}", self.number, self.said));
                    self.unkept.push((room.clone(), uid.clone()));
                    self.say(room, uid).await;
                }
                Step::Cut { after } => {
                    self.hear(Duration::from_millis(after), |_| false).await;
                    self.session = None;
                }
            }
        }
        // Whatever was cut is said again, until all of it is acknowledged.
        while !self.unkept.is_empty() || self.joined < ROOMS.len() {
            self.hear(Duration::from_secs(1), |member| member.unkept.is_empty() && member.joined >= ROOMS.len()).await;
        }
        self
    }
}

/// Lets them live, then has all of them come once more, and compares what they have seen.
async fn lived(lives: Vec<Vec<Step>>, crashes: Vec<u64>, name: String) -> Result<(), TestCaseError> {
    let folder = Folder::new();
    let mut running = server(&name, folder.path()).await;
    let at = format!("memory://{name}");
    let mut members = JoinSet::new();
    for (number, steps) in lives.into_iter().enumerate() {
        let member = Member { at: at.clone(), number, ..Member::default() };
        members.spawn(member.live(steps));
    }
    let is_crashed = !crashes.is_empty();
    for after in crashes {
        time::sleep(Duration::from_millis(after)).await;
        // All connections are cut, and nothing is finished.
        drop(running);
        time::sleep(Duration::from_millis(10)).await;
        running = server(&name, folder.path()).await;
    }
    let members = members.join_all().await;
    let mut all = Vec::new();
    for mut member in members {
        // What the others said last has reached it when it has come again.
        member.session = None;
        member.connect().await;
        member.hear(Duration::from_secs(10), |member| member.joined >= ROOMS.len()).await;
        all.push(member);
    }
    let mut reader = Member { at, number: 99, ..Member::default() };
    reader.connect().await;
    reader.hear(Duration::from_secs(10), |member| member.joined >= ROOMS.len()).await;
    let said: usize = all.iter().map(|member| member.said).sum();
    let log: usize = reader.seen.values().map(Vec::len).sum();
    prop_assert_eq!(log, said, "each message is in the log once");
    for member in &all {
        prop_assert_eq!(member.gaps, 0, "nothing was removed, so nothing is missing");
        prop_assert_eq!(member.kept.len() >= member.said, true);
        for room in ROOMS {
            let (seen, log) = (member.seen.get(room), reader.seen.get(room));
            let (Some(seen), Some(log)) = (seen, log) else {
                prop_assert_eq!(seen, log);
                continue;
            };
            prop_assert!(seen.is_sorted_by(|one, other| one.0 < other.0), "{} of {}: {:?}", room, member.number, seen);
            if is_crashed {
                // What was told and not yet on disk is gone with its sender's connection, and was said again.
                let lasting: Vec<_> = seen.iter().filter(|one| log.contains(one)).collect();
                prop_assert_eq!(lasting, log.iter().collect::<Vec<_>>(), "{} of {}", room, member.number);
            } else {
                prop_assert_eq!(seen, log, "{} of {}", room, member.number);
            }
        }
    }
    drop(running);
    Ok(())
}

fn run(cases: u32, crashes: impl Strategy<Value = Vec<u64>>, name: &'static str) {
    let config = ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 20, ..ProptestConfig::default() };
    let number = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let lives = prop::collection::vec(prop::collection::vec(step(), 1..25), 2..6);
    let run = TestRunner::new(config).run(&(lives, crashes), |(lives, crashes)| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let live = lived(lives, crashes, format!("chat-{name}-{number}"));
        runtime.block_on(async { in_time(name, live).await })
    });
    if let Err(error) = run {
        panic!("{error}");
    }
}

#[test]
fn what_each_member_saw_is_the_log_of_the_room() {
    run(40, Just(Vec::new()), "cut");
}

#[test]
fn what_is_acknowledged_outlives_the_server_and_is_there_once() {
    run(20, prop::collection::vec(10..60_u64, 1..4), "crash");
}
