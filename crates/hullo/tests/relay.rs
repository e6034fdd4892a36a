#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! The relay as a service: what it moves, who moves it, and who sees it.

mod common;

use std::sync::{Arc, Mutex};

use common::{Folder, in_time};
use hullo::{
    Address, Answer, Limits, Link, Message, Peer, Reply, Result, Scope, Server,
    fault::{Fault, Faults, Hit},
    service::{
        self, Settings,
        relay::{Balance, Plan, Relay},
    },
    traffic::{Flow, Form, Seen, Tap, Traffic, Way},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const BULK: usize = 32 << 20;

async fn serve(at: &str, name: &str) -> Server {
    let spec = service::find(name).unwrap();
    hold(at, (spec.make)(&Settings::default()).unwrap()).await
}

async fn hold(at: &str, service: Arc<dyn hullo::Service>) -> Server {
    let mut server = Server::new(Scope::new(Limits::server(), None));
    server.listen(&at.parse().unwrap(), service).await.unwrap();
    server
}

/// The address that a server has, for a client who trusts anybody.
fn client_of(server: &Server) -> Address {
    let mut address = server.address().bare();
    if matches!(address.scheme.as_str(), "tls" | "wss") {
        address.options.set("insecure", "true").unwrap();
    }
    address
}

async fn relay(at: &str, to: Vec<Address>, taps: Vec<Arc<dyn Tap>>) -> (Server, Arc<Traffic>) {
    let traffic = Arc::new(Traffic::new(taps));
    let plan = Plan { traffic: traffic.clone(), ..Plan::to("test", to) };
    (hold(at, Relay::new(plan).unwrap()).await, traffic)
}

async fn connect(to: &Server) -> Link {
    hullo::dial(&client_of(to), &Scope::default()).await.unwrap()
}

/// Sends bulk through a relay to an echo and back, and says how much of it the kernel has moved, of how much.
async fn bulk(far: &str, near: &str, taps: Vec<Arc<dyn Tap>>) -> (u64, u64) {
    let echo = serve(far, "echo").await;
    let (relay, traffic) = relay(near, vec![client_of(&echo)], taps).await;
    let mut link = connect(&relay).await.stream();
    link.write_all(b"a").await.unwrap();
    assert_eq!(link.read_u8().await.unwrap(), b'a');
    let flow = traffic.live().pop().unwrap();
    let (mut reader, mut writer) = tokio::io::split(link);
    let sent: Arc<Vec<u8>> = Arc::new((0..BULK).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect());
    let bytes = sent.clone();
    let writing = tokio::spawn(async move {
        writer.write_all(&bytes).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let mut came = Vec::new();
    reader.read_to_end(&mut came).await.unwrap();
    writing.await.unwrap();
    assert!(came == *sent, "{near} to {far}: what came back is not what was sent");
    (flow.by_kernel(), flow.moved(Way::Up) + flow.moved(Way::Down))
}

#[tokio::test]
async fn the_kernel_moves_bulk_between_bare_sockets_and_nothing_else() {
    let folder = Folder::new();
    let unix = |name: &str| format!("unix:{}", folder.path().join(name).display());
    let (far, near) = (unix("far"), unix("near"));
    for (far, near, moves) in [
        ("tcp://127.0.0.1:0", "tcp://127.0.0.1:0", true),
        (&*far, "tcp://127.0.0.1:0", true),
        ("tcp://127.0.0.1:0", &*near, true),
        ("tls://127.0.0.1:0", "tcp://127.0.0.1:0", false),
        ("tcp://127.0.0.1:0", "tls://127.0.0.1:0", false),
        ("ws://127.0.0.1:0", "tcp://127.0.0.1:0", false),
    ] {
        let (by_kernel, all) = in_time(near, bulk(far, near, Vec::new())).await;
        assert_eq!(all, 2 * BULK as u64 + 2, "{near} to {far}");
        match moves {
            true => assert!(by_kernel > all / 2, "{near} to {far}: the kernel moved {by_kernel} of {all}"),
            false => assert_eq!(by_kernel, 0, "{near} to {far}"),
        }
    }
}

/// Remembers all that it sees.
#[derive(Default)]
struct Sight {
    up: Mutex<Vec<u8>>,
    down: Mutex<Vec<u8>>,
    words: Mutex<Vec<String>>,
}

impl Tap for Sight {
    fn see(&self, flow: &Flow, what: Seen<'_>) {
        let word = match what {
            Seen::Piece { way, bytes, form } => {
                let all = if way == Way::Up { &self.up } else { &self.down };
                all.lock().unwrap().extend_from_slice(bytes);
                if form == Form::Stream {
                    return;
                }
                format!("{way} {form:?} {}", String::from_utf8_lossy(bytes))
            }
            Seen::End(way) => format!("{way} ends"),
            Seen::Opened => format!("opened {}", flow.number),
            Seen::Closed(why) => format!("closed {}", why.is_some()),
        };
        self.words.lock().unwrap().push(word);
    }
}

#[tokio::test]
async fn whoever_looks_sees_every_byte_and_the_kernel_is_left_out() {
    let sight = Arc::new(Sight::default());
    let (by_kernel, all) = in_time("bulk", bulk("tcp://127.0.0.1:0", "tcp://127.0.0.1:0", vec![sight.clone()])).await;
    assert_eq!((by_kernel, all), (0, 2 * BULK as u64 + 2));
    assert_eq!(sight.up.lock().unwrap().len(), BULK + 1);
    assert!(*sight.up.lock().unwrap() == *sight.down.lock().unwrap());
    let words = sight.words.lock().unwrap().clone();
    assert_eq!(words, ["opened 1", "up ends", "down ends", "closed false"]);
}

/// Somebody who looks only at who comes and goes.
#[derive(Default)]
struct Doorkeeper(Mutex<Vec<&'static str>>);

impl Tap for Doorkeeper {
    fn see(&self, flow: &Flow, what: Seen<'_>) {
        let ended = flow.has_ended(Way::Up) && flow.has_ended(Way::Down);
        self.0.lock().unwrap().push(match what {
            Seen::Opened => "opened",
            Seen::Piece { .. } => "piece",
            Seen::End(_) => "end",
            Seen::Closed(None) if ended => "closed",
            Seen::Closed(_) => "cut",
        });
    }

    fn wants_bytes(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn whoever_wants_no_bytes_leaves_them_to_the_kernel() {
    let doorkeeper = Arc::<Doorkeeper>::default();
    let taps: Vec<Arc<dyn Tap>> = vec![doorkeeper.clone()];
    let (by_kernel, all) = in_time("bulk", bulk("tcp://127.0.0.1:0", "tcp://127.0.0.1:0", taps)).await;
    assert!(by_kernel > all / 2, "the kernel moved {by_kernel} of {all}");
    assert_eq!(doorkeeper.0.lock().unwrap().first(), Some(&"opened"));
    assert!(!doorkeeper.0.lock().unwrap().contains(&"piece"));
}

#[tokio::test]
async fn messages_stay_whole_and_are_what_they_were() {
    let sight = Arc::new(Sight::default());
    let echo = serve("ws://127.0.0.1:0", "echo").await;
    let (relay, _) = relay("ws://127.0.0.1:0", vec![client_of(&echo)], vec![sight.clone()]).await;
    let mut session = connect(&relay).await.session(&hullo::framing::raw::SPEC);
    for message in [Message::text("words"), Message::binary(&b"bytes"[..]), Message::text("")] {
        session.send(message.clone()).await.unwrap();
        let answer = in_time("answer", session.recv()).await.unwrap().unwrap();
        assert_eq!((answer.bytes, answer.text), (message.bytes, message.text));
    }
    session.finish().await.unwrap();
    assert!(in_time("end", session.recv()).await.unwrap().is_none());
    let words = sight.words.lock().unwrap()[..7].join(", ");
    let wanted = "opened 1, up Text words, down Text words, up Binary bytes, down Binary bytes, up Text , down Text ";
    assert_eq!(words, wanted);
}

/// Says its own name to whatever it is asked.
struct Name(&'static str);

impl Reply for Name {
    async fn reply(&self, _: Message, _: &Peer) -> Result<Option<Message>> {
        Ok(Some(Message::text(self.0)))
    }
}

async fn named(name: &'static str) -> Server {
    hold("tcp://127.0.0.1:0", Arc::new(Answer(Name(name)))).await
}

async fn asked(relay: &Server) -> String {
    in_time("answer", hullo::ask(&relay.address().to_string(), "who")).await.unwrap().to_text().into_owned()
}

#[tokio::test]
async fn the_next_server_stands_in_for_one_that_is_not_there() {
    let (first, second) = (named("first").await, named("second").await);
    let to = vec![client_of(&first), client_of(&second)];
    let (relay, _) = relay("tcp://127.0.0.1:0", to, Vec::new()).await;
    assert_eq!(asked(&relay).await, "first");
    drop(first);
    assert_eq!(asked(&relay).await, "second");
    drop(second);
    let error = in_time("end", hullo::ask(&relay.address().to_string(), "who")).await.unwrap_err();
    assert_eq!(error.kind(), hullo::Kind::Cut, "{error}");
}

#[tokio::test]
async fn servers_take_turns_or_get_what_they_can_take() {
    let servers = [named("a").await, named("b").await, named("c").await];
    let to: Vec<_> = servers.iter().map(client_of).collect();
    let of = |balance| {
        let plan = Plan { balance, ..Plan::to("test", to.clone()) };
        hold("tcp://127.0.0.1:0", Relay::new(plan).unwrap())
    };
    let turns = of(Balance::RoundRobin).await;
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(asked(&turns).await);
    }
    assert_eq!(answers.concat(), "abcabc");
    let least = of(Balance::Least).await;
    let mut held = Vec::new();
    for wanted in ["a", "b", "c", "a"] {
        let mut session = connect(&least).await.session(&hullo::framing::lines::SPEC);
        session.send(Message::text("who")).await.unwrap();
        let answer = in_time("answer", session.recv()).await.unwrap().unwrap();
        assert_eq!(answer.to_text(), wanted);
        held.push(session);
    }
    // The one whose client goes is the next one.
    drop(held.remove(2));
    let traffic = loop {
        // It is free when the relay has seen that, which nobody tells.
        let answer = asked(&least).await;
        if answer == "c" {
            break answer;
        }
    };
    assert_eq!(traffic, "c");
}

#[tokio::test]
async fn an_end_that_breaks_off_is_no_end() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = format!("tcp://{}", listener.local_addr().unwrap()).parse().unwrap();
    let (relay, _) = relay("tcp://127.0.0.1:0", vec![to], Vec::new()).await;
    let mut link = connect(&relay).await.stream();
    let (mut server, _) = in_time("server", listener.accept()).await.unwrap();
    server.write_all(b"a").await.unwrap();
    assert_eq!(link.read_u8().await.unwrap(), b'a');
    // The server is gone without a farewell: closed with a byte unread, its socket sends a reset.
    link.write_all(b"unread").await.unwrap();
    in_time("byte", server.peek(&mut [0])).await.unwrap();
    drop(server);
    let mut rest = Vec::new();
    let ended = in_time("end", link.read_to_end(&mut rest)).await;
    let error = ended.expect_err("what was cut off looked like an end");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
}

#[tokio::test]
async fn a_copy_goes_elsewhere_and_nobody_waits_for_it() {
    let (copies, mut copied) = tokio::sync::mpsc::unbounded_channel();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tee = format!("tcp://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // What it says is nobody's.
        stream.write_all(b"ignored").await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        copies.send(all).unwrap();
    });
    let echo = serve("tcp://127.0.0.1:0", "echo").await;
    let plan = Plan { tee: Some(tee.parse().unwrap()), ..Plan::to("test", vec![client_of(&echo)]) };
    let relay = hold("tcp://127.0.0.1:0", Relay::new(plan).unwrap()).await;
    let mut link = connect(&relay).await.stream();
    link.write_all(b"said once").await.unwrap();
    link.shutdown().await.unwrap();
    let mut answer = Vec::new();
    in_time("answer", link.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer, b"said once");
    assert_eq!(in_time("copy", copied.recv()).await.unwrap(), b"said once");
}

/// A relay with faults, and what they tell.
async fn faulty(at: &str, to: &Server, seed: u64, faults: &[&str]) -> (Server, Arc<Mutex<Vec<String>>>) {
    let log = Arc::new(Mutex::new(Vec::new()));
    let tell = log.clone();
    let faulty = Faults::new(seed, Some(Arc::new(move |hit: &Hit| tell.lock().unwrap().push(hit.to_string()))));
    faulty.set(faults.iter().map(|text| Fault::parse(text).unwrap()).collect());
    let plan = Plan { faults: Some(Arc::new(faulty)), ..Plan::to("test", vec![client_of(to)]) };
    (hold(at, Relay::new(plan).unwrap()).await, log)
}

#[tokio::test]
async fn a_reset_is_a_real_one_also_where_nothing_moves_and_whatever_lies_between() {
    for (near, far) in [
        ("tcp://127.0.0.1:0", "tcp://127.0.0.1:0"),
        ("tls://127.0.0.1:0", "tcp://127.0.0.1:0"),
        ("ws://127.0.0.1:0", "tls://127.0.0.1:0"),
        ("ws://127.0.0.1:0", "ws://127.0.0.1:0"),
        ("wss://127.0.0.1:0", "tcp://127.0.0.1:0"),
    ] {
        let echo = serve(far, "echo").await;
        let (relay, log) = faulty(near, &echo, 1, &["reset:100ms"]).await;
        let mut link = connect(&relay).await.stream();
        let error = in_time(near, link.read_u8()).await.unwrap_err();
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        let mut is_reset = error.kind() == std::io::ErrorKind::ConnectionReset;
        while let Some(inner) = cause {
            is_reset |= inner.to_string().contains("reset");
            cause = inner.source();
        }
        assert!(is_reset, "{near} to {far}: {error}");
        assert!(log.lock().unwrap().iter().any(|hit| hit.contains("reset after")), "{near} to {far}");
    }
}

#[tokio::test]
async fn a_limit_lets_through_what_it_says_and_not_one_byte_more() {
    for near in ["tcp://127.0.0.1:0", "tls://127.0.0.1:0", "ws://127.0.0.1:0"] {
        let chargen = serve("tcp://127.0.0.1:0", "chargen").await;
        let (relay, _) = faulty(near, &chargen, 1, &["limit:300001,way=down"]).await;
        let mut came = Vec::new();
        in_time(near, connect(&relay).await.stream().read_to_end(&mut came)).await.unwrap();
        assert_eq!(came.len(), 300_001, "{near}");
    }
}

/// What a relay with that seed makes of the same 20 conversations, one after the other.
async fn told(seed: u64) -> Vec<String> {
    let echo = serve("tcp://127.0.0.1:0", "echo").await;
    let faults =
        ["latency:1ms~1ms,p=0.5", "corrupt:0.01,p=0.3,way=up", "reset:after=500B,p=0.2,way=up", "down,every=7"];
    let (relay, log) = faulty("tcp://127.0.0.1:0", &echo, seed, &faults).await;
    for _ in 0..20 {
        let mut link = connect(&relay).await.stream();
        // One that is refused or reset takes less.
        let _ = link.write_all(&[b'a'; 1000]).await;
        let _ = link.shutdown().await;
        let _ = in_time("end", link.read_to_end(&mut Vec::new())).await;
    }
    // Both ways of a conversation tell theirs when they get to it; of each way the order is one.
    let mut told = log.lock().unwrap().clone();
    told.sort();
    told
}

#[tokio::test]
async fn the_same_seed_makes_the_same_faults() {
    let (one, again, other) = (told(7).await, told(7).await, told(8).await);
    assert!(one.iter().any(|hit| hit.contains("down: refused")), "{one:?}");
    assert!(one.iter().any(|hit| hit.contains("corrupt")), "{one:?}");
    assert_eq!(one, again);
    assert_ne!(one, other);
}
