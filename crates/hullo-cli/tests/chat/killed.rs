//! Nothing that was kept is lost, however the server ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{Chat, client::Client, common::noise, member::Bot};

const ROUNDS: usize = 6;
const MEMBERS: usize = 3;

/// A program that says again what it does not know to be kept, and knows what it has heard.
struct Member {
    name: String,
    token: Value,
    log: Value,
    last: u64,
    said: usize,
    unkept: BTreeMap<String, String>,
    /// The ids of what is kept, by their uids.
    kept: BTreeMap<String, u64>,
    /// All that was heard, in its order.
    heard: Vec<(u64, String)>,
}

impl Member {
    fn new(at: usize) -> Self {
        let (name, token, log) = (format!("member-{at}"), Value::Null, Value::Null);
        let (unkept, kept, heard) = Default::default();
        Self { name, token, log, last: 0, said: 0, unkept, kept, heard }
    }

    /// Comes, is told what it has missed, and says again what may be lost.
    fn come(&mut self, chat: &Chat) -> Bot {
        let mut bot = chat.nobody();
        bot.ask(&json!({"do": "hello", "name": self.name, "token": self.token}));
        let welcome = bot.event("welcome");
        assert_eq!(welcome["name"], self.name, "after {}", self.last);
        assert!(self.log.is_null() || self.log == welcome["log"]);
        (self.token, self.log) = (welcome["token"].clone(), welcome["log"].clone());
        bot.ask(&json!({"do": "join", "room": "lobby", "after": self.last, "log": self.log}));
        let joined = bot.until("joined", |event| {
            self.takes(event);
            event["event"] == "joined"
        });
        assert_eq!(joined["recovered"], true, "after {}", self.last);
        for (uid, text) in &self.unkept {
            bot.ask(&json!({"do": "say", "text": text, "uid": uid}));
        }
        bot
    }

    fn says(&mut self, bot: &mut Bot) -> std::io::Result<()> {
        let (uid, text) = (format!("{}-{}", self.name, self.said), format!("number {}", self.said));
        self.said += 1;
        let asked = json!({"do": "say", "text": text, "uid": uid}).to_string() + "\n";
        self.unkept.insert(uid, text);
        std::io::Write::write_all(bot.stream.get_mut(), asked.as_bytes())
    }

    /// Takes note of an event; says whether it was that something is kept.
    fn takes(&mut self, event: &Value) -> bool {
        assert_ne!(event["event"], "error", "{event}");
        let (id, uid) = (event["id"].as_u64().unwrap_or(0), event["uid"].as_str().unwrap_or_default().to_owned());
        match event["event"].as_str().unwrap() {
            "message" => {
                assert!(id > self.last, "{} hears {event} after {}", self.name, self.last);
                self.last = id;
                self.heard.push((id, uid));
                false
            }
            "kept" => {
                self.unkept.remove(&uid);
                self.kept.insert(uid, id);
                true
            }
            _ => false,
        }
    }

    /// Talks until the server is gone.
    fn talk(&mut self, mut bot: Bot, kept: &AtomicUsize) {
        while self.unkept.len() > 20 || self.says(&mut bot).is_ok() {
            // What the kernel of the dead still had may end in the middle of a line.
            let mut line = String::new();
            match std::io::BufRead::read_line(&mut bot.stream, &mut line) {
                Ok(_) if line.ends_with('\n') => {}
                _ => return,
            }
            if self.takes(&serde_json::from_str(&line).unwrap()) {
                kept.fetch_add(1, Relaxed);
            }
        }
    }
}

#[test]
fn what_was_kept_is_there_after_a_kill() {
    let mut members: Vec<_> = (0..MEMBERS).map(Member::new).collect();
    let mut chat = Chat::with(&["--flood", "off"]);
    for point in noise(ROUNDS) {
        let (kept, until) = (AtomicUsize::new(0), 1 + usize::from(point));
        // All have come before anybody talks: presence is not what this is about.
        let bots: Vec<_> = members.iter_mut().map(|member| member.come(&chat)).collect();
        thread::scope(|scope| {
            for (member, bot) in members.iter_mut().zip(bots) {
                let kept = &kept;
                scope.spawn(move || member.talk(bot, kept));
            }
            while kept.load(Relaxed) < until {
                thread::yield_now();
            }
            chat.server.program.signal(Signal::KILL);
        });
        chat = chat.again(&["--flood", "off"]);
    }
    for member in &mut members {
        let mut bot = member.come(&chat);
        while !member.unkept.is_empty() {
            member.takes(&bot.next().unwrap());
        }
    }
    let there = everything(&chat);
    let known: BTreeMap<_, _> = there.iter().map(|(id, uid)| (uid.clone(), *id)).collect();
    let said: usize = members.iter().map(|member| member.said).sum();
    assert_eq!((there.len(), known.len()), (said, said), "each message is there, and once");
    let mut ids: BTreeMap<u64, &str> = BTreeMap::new();
    for member in &members {
        assert!(member.kept.len() == member.said && member.said > ROUNDS);
        for (uid, id) in &member.kept {
            assert_eq!(known.get(uid), Some(id), "{uid}");
        }
        for (id, uid) in &member.heard {
            assert_eq!(*ids.entry(*id).or_insert(uid), uid, "the id {id} is used again");
        }
        let heard: BTreeSet<_> = member.heard.iter().collect();
        let missed = there.iter().filter(|entry| entry.0 <= member.last && !heard.contains(entry));
        assert_eq!(missed.count(), 0, "{} has not heard all", member.name);
    }
}

/// The whole history of the lobby, page by page.
fn everything(chat: &Chat) -> Vec<(u64, String)> {
    let (mut all, mut before) = (Vec::new(), String::new());
    let mut client = Client::to(chat.server.port(1));
    loop {
        let page = client.get(&format!("/rooms/lobby/messages?limit=100{before}")).json();
        let messages = page["messages"].as_array().unwrap();
        let entry = |message: &Value| (message["id"].as_u64().unwrap(), message["uid"].as_str().unwrap().to_owned());
        all.splice(0..0, messages.iter().map(entry));
        before = format!("&before={}", messages[0]["id"]);
        if page["more"] == false {
            return all;
        }
    }
}

#[test]
fn who_is_there_when_the_server_stops_hears_why() {
    let chat = Chat::with(&["--flood", "off"]);
    let (mut ann, mut bob) = (chat.typist("ann"), chat.bot("bob"));
    let mut events = Client::to(chat.server.port(1));
    events.follow("/rooms/lobby/events", "");
    events.until("\"joined\"");
    // What was said before the end is heard, and kept, also where nobody has waited for that.
    for at in 0..500 {
        bob.ask(&json!({"do": "say", "text": format!("number {at}")}));
    }
    ann.types("last words");
    bob.text("last words");
    bob.text("number 499");
    let Chat { home, server } = chat;
    server.program.signal(Signal::TERM);
    ann.hears("* the server says goodbye: the server stops\n");
    assert_eq!(bob.event("bye")["reason"], "the server stops");
    assert!(events.until("\"bye\"").contains("number 499"));
    let ended = server.program.ended();
    assert_eq!(ended.code, 0, "{}", ended.err);
    let server = crate::serve(&home, &[]);
    let chat = Chat { home, server };
    let texts = everything(&chat);
    assert_eq!(texts.len(), 501);
}
