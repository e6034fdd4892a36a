#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]
//! Datagrams done right: nobody is flooded through us, each peer has one link, trains come back whole.
//!
//! Servers run on the test's own thread, so that what they do in one go is done when the test goes on.

mod common;

use std::{
    io::{self, IoSlice},
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use common::{By, GRACE, Told, in_time, service, service_with, serving, serving_in, shell, text, watched};
use hullo::{
    Address, Answer, BoxFuture, Error, Event, Limits, Link, Message, Peer, Reply, Result, Scope, Server, Service,
    framing, service::Settings,
};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use tokio::{
    io::AsyncWriteExt,
    net::UdpSocket,
    sync::{Semaphore, mpsc},
    time::timeout,
};

/// What a stranger may always be answered with.
const ALWAYS: usize = 256;

/// How long to listen for what must not come. It is waited for in vain, so a slow machine cannot make a test fail.
const MOMENT: Duration = Duration::from_millis(50);

/// Somebody with a socket of their own, whom the server knows only by their datagrams.
struct Stranger(UdpSocket);

impl Stranger {
    async fn new(to: &Address) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(to.authority()).await.unwrap();
        Self(socket)
    }

    async fn say(&self, bytes: &[u8]) {
        self.0.send(bytes).await.unwrap();
    }

    async fn hear(&self) -> Vec<u8> {
        let mut buf = vec![0; 65_536];
        let len = in_time("a datagram", self.0.recv(&mut buf)).await.unwrap();
        buf.truncate(len);
        buf
    }

    async fn ask(&self, bytes: &[u8]) -> Vec<u8> {
        self.say(bytes).await;
        self.hear().await
    }

    /// Everything that is there already.
    fn heard(&self) -> Vec<Vec<u8>> {
        let mut buf = vec![0; 65_536];
        std::iter::from_fn(|| self.0.try_recv(&mut buf).ok().map(|len| buf[..len].to_vec())).collect()
    }

    async fn hears_nothing(&self) {
        let heard = timeout(MOMENT, self.0.recv(&mut [0; 64])).await;
        assert!(heard.is_err(), "{heard:?} bytes came");
    }
}

fn greet(size: usize) -> Arc<dyn Service> {
    service_with("greet", &Settings { text: Some("x".repeat(size - 2)), ..Settings::default() })
}

// Amplification.

#[tokio::test]
async fn a_long_answer_waits_until_a_stranger_asks_again() {
    let server = serving("udp://127.0.0.1:0", greet(2000)).await;
    for who in ["one", "another"] {
        let stranger = Stranger::new(server.address()).await;
        let first = stranger.ask(b"").await;
        assert!(first.len() <= ALWAYS, "{who}: {} bytes", first.len());
        assert!(String::from_utf8_lossy(&first).contains("ask again"), "{who}: {}", String::from_utf8_lossy(&first));
        assert_eq!(stranger.ask(b"").await.len(), 2000, "{who}");
    }
}

#[tokio::test]
async fn amplify_lifts_that() {
    let server = serving("udp://127.0.0.1:0?amplify=true", greet(2000)).await;
    assert_eq!(Stranger::new(server.address()).await.ask(b"").await.len(), 2000);
    let server = serving("udp://127.0.0.1:0?amplify=true", Arc::new(By(|link| answer(link, 2000)))).await;
    assert_eq!(Stranger::new(server.address()).await.ask(b"").await.len(), 2000);
}

#[tokio::test]
async fn an_answer_may_be_three_times_its_question() {
    let most = 3 * 500;
    for (size, held) in [(most, false), (most + 1, true)] {
        let server = serving("udp://127.0.0.1:0", greet(size)).await;
        let first = Stranger::new(server.address()).await.ask(&[b'x'; 500]).await;
        assert_eq!(first.len() == size, !held, "a reply of {size} bytes: {} came", first.len());

        let server = serving("udp://127.0.0.1:0", Arc::new(By(move |link| answer(link, size)))).await;
        let stranger = Stranger::new(server.address()).await;
        stranger.say(&[b'x'; 500]).await;
        if held {
            stranger.hears_nothing().await;
            stranger.say(b"").await;
        }
        assert_eq!(stranger.hear().await.len(), size, "a conversation's {size} bytes");
    }
}

/// Answers each message with so many bytes.
async fn answer(link: Link, size: usize) -> Result<()> {
    let mut session = link.session(&framing::raw::SPEC);
    while session.recv().await?.is_some() {
        session.send(Message::binary(vec![b'x'; size])).await?;
    }
    Ok(())
}

/// A reply that is not there at once, as where a database is asked.
struct Slow;

impl Reply for Slow {
    async fn reply(&self, _: Message, _: &Peer) -> Result<Option<Message>> {
        tokio::task::yield_now().await;
        Ok(Some(Message::binary(vec![b'x'; 2000])))
    }
}

#[tokio::test]
async fn a_reply_that_takes_its_time_is_held_back_once_too() {
    let server = serving("udp://127.0.0.1:0", Arc::new(Answer(Slow))).await;
    let stranger = Stranger::new(server.address()).await;
    let first = stranger.ask(b"?").await;
    assert!(first.len() <= ALWAYS, "{} bytes", first.len());
    assert_eq!(stranger.ask(b"?").await.len(), 2000);
}

#[tokio::test]
async fn what_a_conversation_says_is_held_back_from_there_on() {
    let server = serving("udp://127.0.0.1:0", Arc::new(By(say_more_and_more))).await;
    let stranger = Stranger::new(server.address()).await;
    assert_eq!(stranger.ask(b"?").await.len(), 100);
    assert_eq!(stranger.heard(), [[b'b'; 150]], "what is allowed and no more");
    stranger.say(b"?").await;
    assert_eq!(stranger.hear().await, [b'c'; 2000]);
    assert_eq!(stranger.hear().await, [b'd'; 60_000]);
}

async fn say_more_and_more(link: Link) -> Result<()> {
    let mut session = link.session(&framing::raw::SPEC);
    for (letter, size) in [(b'a', 100), (b'b', 150), (b'c', 2000), (b'd', 60_000)] {
        session.send(Message::binary(vec![letter; size])).await?;
    }
    session.flush().await
}

#[tokio::test]
async fn chargen_answers_a_stranger_with_less_than_its_rfc_allows() {
    let server = serving("udp://127.0.0.1:0", service("chargen")).await;
    let first = Stranger::new(server.address()).await.ask(&[b'?'; 100]).await;
    assert!((73..=ALWAYS).contains(&first.len()), "{} bytes", first.len());
}

#[tokio::test]
async fn chargen_is_no_flood_and_does_not_answer_an_echo_for_ever() {
    let server = serving("udp://127.0.0.1:0", service("chargen")).await;
    let stranger = Stranger::new(server.address()).await;
    for len in [1, 2, 30, 200] {
        let answer = stranger.ask(&vec![b'?'; len]).await;
        assert!(answer.len() <= 3 * len, "{len}: {} bytes", answer.len());
        // Like an echo; it hears in the order in which it is spoken to, and answers what comes behind.
        stranger.say(&answer).await;
        stranger.say(b"").await;
        assert_eq!(stranger.ask(b"36.6").await.len(), 12, "{len}");
        assert!(stranger.heard().is_empty(), "{len}");
    }
}

#[tokio::test]
async fn a_programs_output_is_held_until_its_peer_is_heard_twice() {
    // One that goes on, and one that is done long before anybody may have what it said.
    for line in ["head -c 20000 /dev/zero; cat >/dev/null", "head -c 20000 /dev/zero"] {
        let server = serving("udp://127.0.0.1:0", shell(line)).await;
        let stranger = Stranger::new(server.address()).await;
        stranger.say(b"go\n").await;
        stranger.hears_nothing().await;
        stranger.say(b"go\n").await;
        let mut heard = 0;
        while heard < 20_000 {
            heard += stranger.hear().await.len();
        }
        assert_eq!(heard, 20_000, "{line}");
    }
}

#[tokio::test]
async fn a_write_of_nothing_is_no_datagram() {
    let says = By(|link: Link| async move {
        let mut stream = link.stream();
        let said = async {
            assert_eq!(stream.write(b"").await?, 0);
            stream.write_all(b"something").await?;
            stream.flush().await
        };
        said.await.map_err(|error| Error::io("cannot say something", error))
    });
    let server = serving("udp://127.0.0.1:0", Arc::new(says)).await;
    assert_eq!(Stranger::new(server.address()).await.ask(b"?").await, b"something");
}

// One link for each peer.

/// Answers with the number of the link and of the message; `bye` ends it.
struct Numbered {
    links: AtomicU32,
    ended: mpsc::UnboundedSender<()>,
}

impl Numbered {
    fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<()>) {
        let (ended, ends) = mpsc::unbounded_channel();
        (Arc::new(Self { links: 0.into(), ended }), ends)
    }
}

impl Service for Numbered {
    fn serve(self: Arc<Self>, link: Link) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let number = self.links.fetch_add(1, Relaxed) + 1;
            let mut session = link.session(&framing::raw::SPEC);
            for count in 1.. {
                match text(session.recv().await?).as_deref() {
                    None | Some("bye") => break,
                    Some(_) => session.send(format!("{number}:{count}").into()).await?,
                }
            }
            let _ = self.ended.send(());
            Ok(())
        })
    }
}

#[tokio::test]
async fn each_peer_has_one_link() {
    let (numbered, _ends) = Numbered::new();
    let server = serving("udp://127.0.0.1:0", numbered).await;
    let (one, other) = (Stranger::new(server.address()).await, Stranger::new(server.address()).await);
    assert_eq!(one.ask(b"?").await, b"1:1");
    assert_eq!(other.ask(b"?").await, b"2:1");
    assert_eq!(one.ask(b"?").await, b"1:2");
    assert_eq!(other.ask(b"?").await, b"2:2");
}

#[tokio::test]
async fn there_are_at_most_so_many_links() {
    let mut limits = Limits::server();
    limits.max_connections = 2;
    let (numbered, mut ends) = Numbered::new();
    let server = serving_in(Scope::new(limits, None), "udp://127.0.0.1:0", numbered).await;
    let [one, two, three] = [
        Stranger::new(server.address()).await,
        Stranger::new(server.address()).await,
        Stranger::new(server.address()).await,
    ];
    assert_eq!(one.ask(b"?").await, b"1:1");
    assert_eq!(two.ask(b"?").await, b"2:1");
    three.say(b"?").await;
    // The server hears in the order in which it was spoken to.
    assert_eq!(one.ask(b"?").await, b"1:2");
    assert!(three.heard().is_empty(), "the third has no place");

    one.say(b"bye").await;
    in_time("the end of a link", ends.recv()).await.unwrap();
    assert_eq!(ask_again_and_again(&three).await, b"3:1", "the third has the first one's place");
}

/// Who had no place asks again, as one does over datagrams.
async fn ask_again_and_again(stranger: &Stranger) -> Vec<u8> {
    in_time("a place", async {
        loop {
            stranger.say(b"?").await;
            if let Ok(answer) = timeout(MOMENT, stranger.hear()).await {
                return answer;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_peer_that_is_idle_is_forgotten() {
    let (numbered, mut ends) = Numbered::new();
    let server = serving("udp://127.0.0.1:0?idle=50ms", numbered).await;
    let stranger = Stranger::new(server.address()).await;
    assert_eq!(stranger.ask(b"?").await, b"1:1");
    in_time("the end of an idle link", ends.recv()).await.unwrap();
    assert_eq!(stranger.ask(b"?").await, b"2:1");
}

/// A forged question has no second one: whatever waits for that must not wait for ever.
#[tokio::test]
async fn a_peer_that_is_idle_is_forgotten_though_it_has_an_answer_to_come() {
    let services: [(&str, Arc<dyn Service>); 3] = [
        ("a conversation", Arc::new(By(|link| answer(link, 2000)))),
        ("a program that has ended", shell("head -c 20000 /dev/zero")),
        ("a program that never ends and never reads", shell("exec yes")),
    ];
    for (what, service) in services {
        let (told, mut ends) = Told::of(service);
        let server = serving("udp://127.0.0.1:0?idle=50ms", told).await;
        let stranger = Stranger::new(server.address()).await;
        stranger.say(b"?").await;
        in_time(what, ends.recv()).await.unwrap();
    }
}

/// Datagrams go nowhere without complaint: a program without end would send to a peer that has long gone.
#[tokio::test]
async fn a_peer_that_is_never_heard_again_is_not_talked_to_for_ever() {
    let (told, mut ends) = Told::of(shell("exec yes"));
    let server = serving("udp://127.0.0.1:0?idle=300ms", told).await;
    let stranger = Stranger::new(server.address()).await;
    // Where a program takes longer to start than the link is idle, the link has ended before a word: another one begins.
    ask_again_and_again(&stranger).await;
    drop(stranger);
    while ends.try_recv().is_ok() {}
    in_time("the end of a link without a peer", ends.recv()).await.unwrap();
}

// Trains.

/// Sends so many datagrams with one system call. `false` where this kernel has no such thing.
fn send_train(stranger: &Stranger, bytes: &[u8], stride: u16) -> bool {
    let segments = [ControlMessage::UdpGsoSegments(&stride)];
    match sendmsg::<()>(stranger.0.as_raw_fd(), &[IoSlice::new(bytes)], &segments, MsgFlags::empty(), None) {
        Ok(sent) => {
            assert_eq!(sent, bytes.len());
            true
        }
        Err(error) => {
            eprintln!("skipped: this kernel sends no trains: {error}");
            false
        }
    }
}

/// Numbered datagrams of `stride` bytes, and one shorter than that.
fn train(cars: u8, stride: usize, last: usize) -> Vec<Vec<u8>> {
    let mut train = (0..cars).map(|number| vec![number; stride]).collect::<Vec<_>>();
    train.push(vec![cars; last]);
    train
}

#[tokio::test]
async fn trains_are_echoed_among_single_datagrams() {
    let server = serving("udp://127.0.0.1:0", service("echo")).await;
    let (one, other) = (Stranger::new(server.address()).await, Stranger::new(server.address()).await);
    let (long, short) = (train(40, 1200, 300), train(3, 64, 1));
    one.say(b"first").await;
    if !send_train(&one, &long.concat(), 1200) {
        return;
    }
    other.say(b"").await;
    assert!(send_train(&other, &short.concat(), 64));
    one.say(b"last").await;

    let of_one = [vec![b"first".to_vec()], long, vec![b"last".to_vec()]].concat();
    let of_other = [vec![vec![]], short].concat();
    assert_eq!(heard_in_any_order(&one, of_one.len()).await, sorted(of_one));
    assert_eq!(heard_in_any_order(&other, of_other.len()).await, sorted(of_other));
    assert_eq!((one.heard(), other.heard()), (vec![], vec![]), "nothing more came");
}

async fn heard_in_any_order(stranger: &Stranger, count: usize) -> Vec<Vec<u8>> {
    let mut heard = Vec::new();
    while heard.len() < count {
        heard.push(stranger.hear().await);
    }
    sorted(heard)
}

fn sorted(mut datagrams: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    datagrams.sort();
    datagrams
}

#[tokio::test]
async fn each_datagram_of_a_train_is_answered() {
    let (numbered, _ends) = Numbered::new();
    let services: [(Arc<dyn Service>, [&str; 3]); 2] =
        [(service("convert"), ["32 °F", "33.8 °F", "35.6 °F"]), (numbered, ["1:1", "1:2", "1:3"])];
    for (service, answers) in services {
        let server = serving("udp://127.0.0.1:0", service).await;
        let stranger = Stranger::new(server.address()).await;
        if !send_train(&stranger, b"0C1C2 ", 2) {
            return;
        }
        let answers = answers.map(|answer| answer.as_bytes().to_vec()).to_vec();
        assert_eq!(heard_in_any_order(&stranger, 3).await, sorted(answers));
    }
}

// Peers that are no longer there.

#[tokio::test]
async fn peers_that_vanish_do_not_end_the_server() {
    for name in ["echo", "convert", "exec", "chargen"] {
        let server = serving("udp://127.0.0.1:0", service(name)).await;
        for _ in 0..100 {
            // The answer finds a closed port, and the kernel tells the server so.
            Stranger::new(server.address()).await.say(b"36.6").await;
        }
        let answer = Stranger::new(server.address()).await.ask(b"36.6").await;
        assert!(!answer.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_client_is_told_that_nobody_is_there() {
    let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = hullo::ask(&format!("udp://{gone}"), "hullo").await.unwrap_err();
    assert_eq!(error.kind(), hullo::Kind::Refused, "{error}");
    assert!(error.to_string().contains(&gone.to_string()) && error.advice().is_some(), "{error}");
}

// Shutdown.

/// A reply that comes when it is released.
struct Held(Arc<Semaphore>, mpsc::UnboundedSender<()>);

impl Reply for Held {
    async fn reply(&self, message: Message, _: &Peer) -> Result<Option<Message>> {
        let _ = self.1.send(());
        let _ = self.0.acquire().await;
        Ok(Some(message))
    }
}

#[tokio::test]
async fn a_reply_under_way_is_sent_though_the_server_ends() {
    let (begun, mut begins) = mpsc::unbounded_channel();
    let release = Arc::new(Semaphore::new(0));
    let mut server = serving("udp://127.0.0.1:0", Arc::new(Answer(Held(release.clone(), begun)))).await;
    let to = server.address().clone();
    let stranger = Stranger::new(&to).await;
    stranger.say(b"hullo").await;
    begins.recv().await.unwrap();
    let ends = tokio::spawn(async move { server.end(GRACE).await });
    tokio::task::yield_now().await;
    release.add_permits(1);
    assert_eq!(stranger.hear().await, b"hullo");
    assert!(ends.await.unwrap());
    refuses(&stranger).await;
    let _again: Server = serving(&to.bare().to_string(), service("echo")).await;
}

/// Nobody has the port any more: the kernel answers in its place.
async fn refuses(stranger: &Stranger) {
    stranger.say(b"hullo").await;
    let refused = in_time("a refusal", stranger.0.recv(&mut [0; 64])).await;
    assert_eq!(refused.map_err(|error| error.kind()), Err(io::ErrorKind::ConnectionRefused));
}

#[tokio::test]
async fn who_watches_is_told_of_each_link() {
    let (opened, mut opens) = mpsc::unbounded_channel();
    let watch = move |event: &Event<'_>| {
        if let Event::Opened { peer } = event {
            let _ = opened.send(peer.to_string());
        }
    };
    let (numbered, _ends) = Numbered::new();
    let server = serving_in(watched(Limits::server(), watch), "udp://127.0.0.1:0", numbered).await;
    let stranger = Stranger::new(server.address()).await;
    stranger.ask(b"?").await;
    stranger.ask(b"?").await;
    let address = format!("udp://{}", stranger.0.local_addr().unwrap());
    assert_eq!(opens.try_recv(), Ok(address));
    assert!(opens.try_recv().is_err(), "one link, told of once");
}
