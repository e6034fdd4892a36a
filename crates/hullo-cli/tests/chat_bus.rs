#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! Several servers that are one chat, with a broker between them, all of which are killed now and then.

mod common;

use std::{
    collections::HashMap,
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use common::{Home, Program, Server, eventually, free_port, peer};
use hullo::{Message, framing};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::{
    runtime::Builder,
    time::{sleep, timeout},
};

/// A broker, whose store stays when it is killed.
struct Broker<'a> {
    home: &'a Home,
    port: u16,
    running: Option<Program>,
}

impl<'a> Broker<'a> {
    fn start(home: &'a Home) -> Option<Self> {
        peer("nats-server")?;
        let mut broker = Self { home, port: free_port(), running: None };
        broker.run();
        Some(broker)
    }

    fn run(&mut self) {
        let (port, store) = (self.port.to_string(), self.home.path("broker"));
        let mut command = self.home.command("nats-server");
        command.args(["-js", "-a", "127.0.0.1", "-p", &port, "-sd", &store, "--user", "ann", "--pass", "s3cret"]);
        self.running = Some(Program::start(&mut command));
        eventually("the broker listens", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    fn kill(&mut self) {
        kill(self.running.take().unwrap());
    }

    /// Starts a server with a history of its own, at ports that it may have again.
    fn serve(&self, name: &str, ports: (u16, u16)) -> Server {
        let (tcp, ws) = (format!("tcp://127.0.0.1:{}", ports.0), format!("ws://127.0.0.1:{}", ports.1));
        let bus = format!("nats://ann:s3cret@127.0.0.1:{}", self.port);
        let mut command = self.home.hullo(&["serve", "chat", &tcp, &ws, "--flood", "off", "--db"]);
        Server::start(command.arg(self.home.path(name)).env("HULLO_BUS", bus), 2)
    }
}

/// Ends a program as a power cut does.
fn kill(program: Program) {
    program.signal(Signal::KILL);
    program.ended();
}

/// Somebody who types lines.
struct Typist(Program);

impl Typist {
    fn new(home: &Home, server: &Server, name: &str) -> Self {
        let mut typist = Self(Program::start(&mut home.hullo(&["connect", &server.at[0]])));
        typist.0.heard("/help says more");
        typist.says(&format!("/nick {name}"));
        typist.0.heard(&format!("is now called {name}"));
        typist
    }

    fn says(&mut self, line: &str) {
        self.0.say(format!("{line}\n"));
    }

    #[track_caller]
    fn hears(&self, text: &str) {
        self.0.heard(text);
    }
}

#[test]
fn people_on_two_servers_are_in_one_chat() {
    let home = Home::new();
    let Some(broker) = Broker::start(&home) else { return };
    let (one, two) = (broker.serve("one.db", (0, 0)), broker.serve("two.db", (0, 0)));
    let mut ann = Typist::new(&home, &one, "ann");
    let mut bob = Typist::new(&home, &two, "bob");
    // He came as a guest, unless he was faster than the word of it.
    ann.hears("bob");
    ann.says("hello from one");
    bob.hears("ann: hello from one");
    bob.says("/me waves");
    ann.hears("- bob waves");
    ann.says("/who");
    ann.hears("in lobby (2): ann, bob");
    ann.says("/nick BOB");
    ann.hears("is taken");
    ann.says("/msg bob psst");
    bob.hears("[@ann] ann: psst");
    bob.says("/msg ann what?");
    ann.hears("[@bob] bob: what?");
    // A room of one server is there on the other, with its operator.
    ann.says("/join dev");
    ann.hears("You are an operator");
    ann.says("/topic things to do");
    ann.hears("set the topic");
    bob.says("/join dev");
    bob.hears("things to do");
    bob.says("/kick ann");
    bob.hears("you are not an operator of dev");
    bob.says("in dev");
    ann.hears("bob: in dev");
    ann.says("/ban bob enough");
    bob.hears("you were banned by ann: enough");
    bob.says("/join dev");
    bob.hears("you are banned from dev");
    ann.hears("bob was banned by ann: enough\n");
    bob.says("byebye");
    ann.hears("[lobby] * bob has left (1)");
}

#[test]
fn programs_on_two_servers_hear_of_each_other() {
    let home = Home::new();
    let Some(broker) = Broker::start(&home) else { return };
    let (one, two) = (broker.serve("one.db", (0, 0)), broker.serve("two.db", (0, 0)));
    let program = |server: &Server, name: &str| {
        let mut program = Program::start(&mut home.hullo(&["connect", &server.at[1]]));
        // What is piped in together would be one message.
        program.say(json!({ "do": "hello", "name": name }).to_string());
        program.heard(&format!(r#"{{"event":"welcome","name":"{name}""#));
        program.say(json!({ "do": "join", "room": "lobby" }).to_string());
        program.heard(r#""event":"joined""#);
        program
    };
    let (mut ann, bob) = (program(&one, "ann"), program(&two, "bob"));
    ann.heard(r#"{"event":"presence","room":"lobby","name":"bob","is":"here","count":2}"#);
    ann.say("{\"do\":\"typing\",\"room\":\"lobby\"}\n");
    bob.heard(r#"{"event":"typing","room":"lobby","name":"ann"}"#);
    ann.say("{\"do\":\"tell\",\"to\":\"bob\",\"text\":\"psst\"}\n");
    let heard = bob.heard("psst");
    assert!(heard.contains(r#""room":"@ann+bob""#) && heard.contains(r#""from":"ann""#), "{heard}");
    // Whoever was on a server that is killed is gone when it has been silent for long enough.
    kill(one.program);
    bob.heard(r#"{"event":"presence","room":"lobby","name":"ann","is":"gone","count":1}"#);
}

#[test]
fn a_server_that_joins_later_has_what_was_said() {
    let home = Home::new();
    let Some(broker) = Broker::start(&home) else { return };
    let one = broker.serve("one.db", (0, 0));
    let mut ann = Typist::new(&home, &one, "ann");
    for number in 0..5 {
        ann.says(&format!("number {number}"));
    }
    ann.says("/edit number four");
    ann.says("/history 1");
    ann.hears("ann: number four");
    let two = broker.serve("two.db", (0, 0));
    assert!(!two.program.so_far().contains("s3cret"));
    eventually("the other server has heard all of it", || {
        let said = home.run(&["connect", &two.at[0]], "/history\nbyebye\n");
        let said = String::from_utf8_lossy(&said.out).into_owned();
        let at: Vec<_> = ["number 0", "number 1", "number 2", "number 3", "number four"]
            .iter()
            .map(|text| said.find(&format!("ann: {text}")))
            .collect();
        at.iter().all(Option::is_some) && at.is_sorted()
    });
}

#[test]
fn people_are_told_of_a_broker_that_is_away_and_nothing_is_lost() {
    let home = Home::new();
    let Some(mut broker) = Broker::start(&home) else { return };
    let (one, two) = (broker.serve("one.db", (0, 0)), broker.serve("two.db", (0, 0)));
    let (mut ann, mut bob) = (Typist::new(&home, &one, "ann"), Typist::new(&home, &two, "bob"));
    ann.hears("bob");
    broker.kill();
    one.program.told("the other servers cannot be reached: ");
    let away = "* the other servers cannot be reached; what is said here stays here until they can";
    ann.hears(away);
    bob.hears(away);
    let mut cid = Typist::new(&home, &one, "cid");
    cid.hears(away);
    ann.says("first");
    cid.hears("ann: first");
    cid.says("second");
    ann.hears("cid: second");
    bob.says("third");
    bob.says("/history 1");
    bob.hears("bob: third");
    broker.run();
    for typist in [&ann, &bob, &cid] {
        typist.hears("* the other servers are back");
    }
    ann.hears("bob: third");
    bob.hears("cid: second");
    ann.says("fourth");
    bob.hears("ann: fourth");
    let heard = bob.0.so_far();
    let at = ["ann: first", "cid: second", "ann: fourth"].map(|text| heard.matches(text).count());
    assert_eq!(at, [1, 1, 1], "{heard}");
    assert!(heard.find("ann: first") < heard.find("cid: second"), "{heard}");
    // What was not sent is sent by a server that was killed meanwhile, too.
    broker.kill();
    ann.0.heard_by(|said| said.matches(away).count() == 2);
    let mut eve = Program::start(&mut home.hullo(&["connect", &one.at[1]]));
    eve.say(json!({ "do": "say", "text": "fifth" }).to_string() + "\n");
    eve.heard("\"kept\"");
    kill(one.program);
    broker.run();
    bob.hears("* the other servers are back");
    let _one = broker.serve("one.db", (0, 0));
    bob.hears(": fifth");
}

#[test]
fn two_who_took_one_name_while_they_were_apart_do_not_both_keep_it() {
    let home = Home::new();
    let Some(mut broker) = Broker::start(&home) else { return };
    let (one, two) = (broker.serve("one.db", (0, 0)), broker.serve("two.db", (0, 0)));
    let (mut ann, mut bob) = (Typist::new(&home, &one, "ann"), Typist::new(&home, &two, "bob"));
    broker.kill();
    for typist in [&mut ann, &mut bob] {
        typist.hears("the other servers cannot be reached");
        typist.says("/nick dan");
        typist.hears("is now called dan");
    }
    broker.run();
    let is_told =
        |typist: &Typist| typist.0.so_far().contains("somebody on another server is called dan: you are guest-");
    eventually("one of them gives way", || is_told(&ann) || is_told(&bob));
    let (stays, goes) = if is_told(&ann) { (&bob, &ann) } else { (&ann, &bob) };
    stays.hears("dan is now called guest-");
    goes.hears("the other servers are back");
    assert!(!is_told(stays));
}

/// A program that talks JSON, comes again when its connection ends, and knows by their uids what it has heard.
struct Member {
    name: &'static str,
    /// Its servers: where one is away, it goes to the next.
    addresses: Vec<String>,
    talk: Arc<Talk>,
    token: Option<String>,
    log: Option<String>,
    last: Option<(u64, String, String)>,
    unkept: Vec<String>,
    said: usize,
}

/// What each member says in each part.
const PART: usize = 60;

/// What all members of a test share.
struct Talk {
    /// How much is said in all parts so far.
    parts: AtomicUsize,
    /// What each has heard, and how often something that it had heard already.
    heard: Mutex<HashMap<&'static str, (Vec<String>, usize)>>,
    over: AtomicBool,
}

impl Member {
    async fn live(mut self) {
        while !self.talk.over.load(Relaxed) {
            // It was refused, or the server was killed: both are what this is about.
            let _ = self.connected().await;
            self.addresses.rotate_left(1);
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn connected(&mut self) -> hullo::Result<()> {
        let mut session = hullo::connect(&self.addresses[0]).await?.session(&framing::text::SPEC);
        let hello = json!({ "do": "hello", "name": self.name, "token": self.token });
        session.send(Message::text(hello.to_string())).await?;
        let (mut is_in, mut welcomes) = (false, 0);
        while !self.talk.over.load(Relaxed) {
            let Ok(message) = timeout(Duration::from_millis(100), session.recv()).await else {
                self.say_more(&mut session, is_in).await?;
                continue;
            };
            let Some(message) = message? else { return Ok(()) };
            let event: Value = serde_json::from_str(&message.to_text()).unwrap();
            let text = |member: &str| event[member].as_str().unwrap_or_default().to_owned();
            match event["event"].as_str().unwrap() {
                "welcome" => {
                    // The first is a guest's, and the second one answers our hello.
                    welcomes += 1;
                    if welcomes == 2 {
                        (self.token, self.log) = (Some(text("token")), Some(text("log")));
                        self.join(&mut session).await?;
                    }
                }
                "joined" => {
                    assert_ne!(event["recovered"], json!(false), "{}: what was missed is there", self.name);
                    is_in = true;
                    self.talk.heard.lock().unwrap().entry(self.name).or_default();
                    for text in self.unkept.clone() {
                        self.send(&mut session, &text).await?;
                    }
                }
                "message" => {
                    self.last = Some((event["id"].as_u64().unwrap(), text("uid"), self.log.clone().unwrap()));
                    self.hear(text("text"));
                }
                "kept" => self.unkept.retain(|text| *text != event["uid"].as_str().unwrap()),
                "error" => panic!("{}: {event}", self.name),
                _ => {}
            }
            self.say_more(&mut session, is_in).await?;
        }
        Ok(())
    }

    fn hear(&self, text: String) {
        let mut heard = self.talk.heard.lock().unwrap();
        let (heard, doubles) = heard.entry(self.name).or_default();
        if heard.contains(&text) {
            *doubles += 1;
        } else {
            heard.push(text);
        }
    }

    async fn join(&self, session: &mut hullo::Session) -> hullo::Result<()> {
        let mut join = json!({ "do": "join", "room": "lobby", "history": 0 });
        if let Some((id, uid, log)) = &self.last {
            join = json!({ "do": "join", "room": "lobby", "after": id, "uid": uid, "log": log });
        }
        session.send(Message::text(join.to_string())).await
    }

    async fn say_more(&mut self, session: &mut hullo::Session, is_in: bool) -> hullo::Result<()> {
        if is_in && self.unkept.is_empty() && self.said < PART * self.talk.parts.load(Relaxed) {
            let text = format!("{} {}", self.name, self.said);
            self.said += 1;
            self.unkept.push(text.clone());
            self.send(session, &text).await?;
        }
        Ok(())
    }

    async fn send(&self, session: &mut hullo::Session, text: &str) -> hullo::Result<()> {
        // Its uid is its text, which no other one has.
        let say = json!({ "do": "say", "room": "lobby", "text": text, "uid": text });
        session.send(Message::text(say.to_string())).await
    }
}

impl Talk {
    /// Has everybody say some more, once all are there, and waits until all have heard that many messages of it, or all of it.
    #[track_caller]
    fn goes_on(&self, part: usize, members: usize, messages: usize) {
        eventually("all are there", || self.heard.lock().unwrap().len() == members);
        self.parts.fetch_max(part, Relaxed);
        let wanted = (part - 1) * members * PART + messages;
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let counts: Vec<_> =
                self.heard.lock().unwrap().iter().map(|(name, heard)| (*name, heard.0.len())).collect();
            if counts.iter().all(|(_, count)| *count >= wanted) {
                return;
            }
            assert!(Instant::now() < until, "not all of {wanted} came: {counts:?}");
            thread::yield_now();
        }
    }
}

#[test]
fn all_hear_all_once_whatever_is_killed() {
    let home = Home::new();
    let Some(mut broker) = Broker::start(&home) else { return };
    let ports = [(free_port(), free_port()), (free_port(), free_port())];
    let one = broker.serve("one.db", ports[0]);
    let _two = broker.serve("two.db", ports[1]);
    let at = |server: usize| format!("ws://127.0.0.1:{}", ports[server].1);
    let names = [("ann", vec![at(0)]), ("bob", vec![at(1)]), ("cid", vec![at(0), at(1)])];
    let talk = Arc::new(Talk { parts: AtomicUsize::new(0), heard: Mutex::default(), over: AtomicBool::new(false) });
    let members = names.map(|(name, addresses)| {
        let talk = talk.clone();
        let (token, log, last, unkept, said) = (None, None, None, Vec::new(), 0);
        let member = Member { name, addresses, talk, token, log, last, unkept, said };
        thread::spawn(|| Builder::new_current_thread().enable_all().build().unwrap().block_on(member.live()))
    });
    let some = PART / 2;
    talk.goes_on(1, 3, 3 * PART);
    // The broker ends in the middle of it.
    talk.goes_on(2, 3, some);
    broker.kill();
    talk.goes_on(2, 3, some + 5);
    broker.run();
    talk.goes_on(2, 3, 3 * PART);
    // A server does.
    talk.goes_on(3, 3, some);
    kill(one.program);
    let one = broker.serve("one.db", ports[0]);
    talk.goes_on(3, 3, 3 * PART);
    talk.over.store(true, Relaxed);
    members.into_iter().for_each(|member| member.join().unwrap());
    drop(one);

    let heard = talk.heard.lock().unwrap();
    let number = |text: &String| text.rsplit(' ').next().unwrap().parse::<usize>().unwrap();
    for (name, (texts, doubles)) in heard.iter() {
        for sender in heard.keys() {
            let theirs: Vec<_> = texts.iter().filter(|text| text.starts_with(sender)).map(number).collect();
            assert!(theirs.iter().copied().eq(0..3 * PART), "{name} heard of {sender}: {theirs:?}");
        }
        // Others were told something that their server had not yet written when it was killed.
        assert!(*name != "bob" || *doubles == 0, "{name}: {doubles}");
    }
    // While the broker is away, each server has its own people first.
    for part in [0, 2] {
        let of = |name: &str| {
            let texts = heard[name].0.iter().filter(|text| number(text) / PART == part);
            texts.cloned().collect::<Vec<_>>()
        };
        assert_eq!(of("ann"), of("bob"), "part {part}");
        assert_eq!(of("cid"), of("bob"), "part {part}");
    }
}

#[test]
fn what_cannot_be_joined_is_refused_at_the_start() {
    let home = Home::new();
    for (words, error) in [
        (["--db", "none", "--bus", "nats://x"], "needs a history on each of them"),
        (["--db", "x.db", "--bus", "http://ann:s3cret@x"], "it begins neither with nats:// nor with tls://"),
        (["--db", "x.db", "--bus", "nats://ann:s3cret@"], "cannot read the address of a broker"),
    ] {
        let ended = home.run(&[&["serve", "chat", "tcp://127.0.0.1:0"], &words[..]].concat(), "");
        assert!(
            ended.code == 2 && ended.err.contains(error) && !ended.err.contains("s3cret"),
            "{words:?}: {}",
            ended.err
        );
    }
}
