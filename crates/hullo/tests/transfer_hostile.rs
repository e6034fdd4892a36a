#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! Ends of a transfer that mean no good: nothing is written outside, nobody waits for ever, and the next one is served.

mod common;

use std::{
    fs,
    os::unix::fs::symlink,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    time::Duration,
};

use common::{Folder, Told as Ends, address, in_time, serving};
use hullo::{
    Address, Error, Kind, Limits, Scope, Server,
    transfer::{
        Existing, Host, Lock, Source, Summary, Target, Tell, Work, connect,
        words::{Answer, Frame, HEAD, Told, content, next, say},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc::UnboundedReceiver,
};

const NOW: (i64, u32) = (1_000_000_000, 0);

/// The ways, as the greeting has them.
const SENDS: u8 = 0;
const RECEIVES: u8 = 1;

fn silent() -> Tell {
    Arc::new(|_| {})
}

/// A receiver, whose folder has another beside it that is none of its business.
struct Receiver {
    server: Server,
    folder: Folder,
    ends: UnboundedReceiver<()>,
}

impl Receiver {
    async fn new(outside_links: bool) -> Self {
        let folder = Folder::new();
        fs::create_dir(folder.path().join("outside")).unwrap();
        let into = folder.path().join("inbox");
        let target = Target { into, existing: Existing::Refuse, durable: false, outside_links };
        let host = Host::new(Work::Receive(target), Lock::Plain, None, silent());
        let (told, ends) = Ends::of(host);
        Self { server: serving("tcp://127.0.0.1:0", told).await, folder, ends }
    }

    fn inbox(&self) -> PathBuf {
        self.folder.path().join("inbox")
    }

    /// The names in the folder, sorted.
    fn kept(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.inbox())
            .map(|entries| entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect())
            .unwrap_or_default();
        names.sort();
        names
    }

    /// Nothing has been written outside, and an honest sender is served.
    async fn stays_well(mut self, what: &str) {
        in_time(what, self.ends.recv()).await.unwrap();
        let mut around: Vec<_> =
            fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        around.retain(|name| name != "inbox" && name != "aside");
        assert_eq!(around, ["outside"], "{what}: beside the folder");
        assert_eq!(fs::read_dir(self.folder.path().join("outside")).unwrap().count(), 0, "{what}: outside");
        let honest = Folder::new();
        fs::write(honest.path().join("honest"), "honest").unwrap();
        let sent = send(self.server.address(), honest.path().join("honest")).await;
        assert_eq!(sent.map(|sum| sum.done).map_err(|error| error.to_string()), Ok(1), "{what}: the next sender");
        assert_eq!(fs::read(self.inbox().join("honest")).unwrap(), b"honest", "{what}");
    }
}

async fn send(to: &Address, path: PathBuf) -> Result<Summary, Error> {
    let work = Work::Send(vec![Source::Path(path)]);
    let patience = (Duration::ZERO, Duration::ZERO);
    connect(to, &work, &Lock::Plain, &Scope::new(Limits::default(), None), patience, silent()).await
}

/// The first words of an end that proves nothing.
fn greeting(way: u8) -> Vec<u8> {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let session = [NEXT.fetch_add(1, Relaxed); 16];
    [&b"hullo-f1"[..], &[way, 0], &session, &[0]].concat()
}

/// An end that says what it likes.
struct Stranger(TcpStream);

impl Stranger {
    /// A sender that comes.
    async fn sends(to: &Address) -> Self {
        let mut stranger = Self(TcpStream::connect(to.authority()).await.unwrap());
        stranger.put(&greeting(SENDS)).await;
        let welcome = stranger.take().await.unwrap();
        assert_eq!(welcome[..9], *b"\0hullo-f1");
        stranger
    }

    /// A receiver that waits, once somebody has come.
    async fn receives(listener: &TcpListener) -> Self {
        let mut stranger = Self(listener.accept().await.unwrap().0);
        stranger.take().await.unwrap();
        stranger.put(&[&[0], &greeting(RECEIVES)[..]].concat()).await;
        stranger
    }

    /// Something with its length before it. The other end may have left.
    async fn put(&mut self, bytes: &[u8]) {
        let length = (bytes.len() as u32).to_le_bytes();
        let _ = self.0.write_all(&[&length, bytes].concat()).await;
    }

    async fn take(&mut self) -> Option<Vec<u8>> {
        let length = self.0.read_u32_le().await.ok()?;
        let mut bytes = vec![0; length as usize];
        self.0.read_exact(&mut bytes).await.ok().map(|_| bytes)
    }

    /// All that a receiver answers, up to its last word.
    async fn answers(&mut self) -> Vec<String> {
        let mut answers = Vec::new();
        in_time("the answers", async {
            while let Some(chunk) = self.take().await {
                let mut rest = &chunk[..];
                while let Some(Frame::Words(answer)) = next::<Answer<'_>>(&mut rest).unwrap() {
                    answers.push(format!("{answer:?}"));
                    if matches!(answer, Answer::Finished | Answer::Stop { .. }) {
                        return;
                    }
                }
            }
        })
        .await;
        let _ = self.0.shutdown().await;
        answers
    }
}

/// Something that a sender says.
enum Said<'a> {
    Words(Told<'a>),
    Content(Vec<u8>),
    /// Bytes of a chunk, as they are.
    Bytes(&'a [u8]),
}
use Said::{Bytes, Content, Words};

fn chunk(said: &[Said<'_>]) -> Vec<u8> {
    let mut chunk = Vec::new();
    for one in said {
        match one {
            Words(words) => say(&mut chunk, words).unwrap(),
            Content(bytes) => {
                let start = chunk.len();
                chunk.extend_from_slice(&[0; HEAD]);
                chunk.extend_from_slice(bytes);
                content(&mut chunk, start);
            }
            Bytes(bytes) => chunk.extend_from_slice(bytes),
        }
    }
    chunk
}

fn file(name: &[u8], size: Option<u64>) -> Said<'_> {
    Words(Told::File { parent: 0, name, mode: 0o644, modified: NOW, size })
}

fn dir(parent: u64, name: &[u8]) -> Said<'_> {
    Words(Told::Folder { parent, name, mode: 0o755, modified: NOW })
}

fn link<'a>(name: &'a [u8], target: &'a [u8]) -> Said<'a> {
    Words(Told::Link { parent: 0, name, modified: NOW, target })
}

const START: Said<'_> = Words(Told::Start { id: 1, offset: 0 });

fn end(of: &[u8]) -> Said<'static> {
    Words(Told::End { hash: *blake3::hash(of).as_bytes() })
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_refused() {
    let long = [b'a'; 256];
    let names: &[&[u8]] = &[
        b"..",
        b".",
        b"",
        b"/",
        b"/etc/passwd",
        b"../x",
        b"a/b",
        b"a/../../x",
        b"x\0y",
        b"\x1b[2J",
        b".x.hullo-part",
        &long,
    ];
    for name in names {
        let what = format!("{:?}", String::from_utf8_lossy(name));
        for said in [file(name, Some(1)), dir(0, name), link(name, b"x")] {
            let receiver = Receiver::new(false).await;
            let mut stranger = Stranger::sends(receiver.server.address()).await;
            let leave = if matches!(said, Words(Told::Folder { .. })) {
                let inside = Words(Told::File { parent: 1, name: b"x", mode: 0o644, modified: NOW, size: Some(0) });
                vec![said, inside, Words(Told::Leave { id: 1 })]
            } else {
                vec![said]
            };
            stranger.put(&chunk(&leave)).await;
            stranger.put(&chunk(&[Words(Told::Complete)])).await;
            let answers = stranger.answers().await;
            assert!(answers[0].starts_with("Failed { id: 1"), "{what}: {answers:?}");
            assert_eq!(answers.last().unwrap(), "Finished", "{what}");
            assert_eq!(receiver.kept(), [""; 0], "{what}");
            receiver.stays_well(&what).await;
        }
    }
}

#[tokio::test]
async fn nothing_is_written_through_a_link() {
    let receiver = Receiver::new(true).await;
    let mut stranger = Stranger::sends(receiver.server.address()).await;
    let inside = |parent| Words(Told::File { parent, name: b"x", mode: 0o644, modified: NOW, size: Some(0) });
    let said = [
        link(b"l", b"../outside"),
        dir(0, b"l"),
        inside(2),
        Words(Told::Leave { id: 2 }),
        link(b"f", b"../outside/f"),
        file(b"f", Some(1)),
        Words(Told::Complete),
    ];
    stranger.put(&chunk(&said)).await;
    let answers = stranger.answers().await;
    for id in [2, 3, 5] {
        assert!(answers.iter().any(|answer| answer.starts_with(&format!("Failed {{ id: {id}"))), "{answers:?}");
    }
    assert_eq!(receiver.kept(), ["f", "l"]);
    receiver.stays_well("a link").await;
}

#[tokio::test]
async fn a_folder_that_becomes_a_link_meanwhile_leads_nowhere() {
    let receiver = Receiver::new(false).await;
    let mut stranger = Stranger::sends(receiver.server.address()).await;
    let inside = Words(Told::File { parent: 1, name: b"x", mode: 0o644, modified: NOW, size: Some(1) });
    stranger.put(&chunk(&[dir(0, b"f"), inside])).await;
    let wanted = in_time("an answer", stranger.take()).await.unwrap();
    assert!(!wanted.is_empty());
    fs::rename(receiver.inbox().join("f"), receiver.folder.path().join("aside")).unwrap();
    symlink("../outside", receiver.inbox().join("f")).unwrap();
    let said =
        [Words(Told::Start { id: 2, offset: 0 }), Content(b"x".to_vec()), end(b"x"), Words(Told::Leave { id: 1 })];
    stranger.put(&chunk(&said)).await;
    stranger.put(&chunk(&[Words(Told::Complete)])).await;
    assert_eq!(stranger.answers().await.last().unwrap(), "Finished");
    assert_eq!(fs::read(receiver.folder.path().join("aside/x")).unwrap(), b"x", "where the folder is now");
    receiver.stays_well("a folder that became a link").await;
}

#[tokio::test]
async fn content_that_is_not_what_was_sent_is_thrown_away() {
    for size in [10, 1 << 20] {
        for known in [true, false] {
            let receiver = Receiver::new(false).await;
            let mut stranger = Stranger::sends(receiver.server.address()).await;
            let bytes = vec![7; size];
            stranger.put(&chunk(&[file(b"x", known.then_some(size as u64)), START])).await;
            for piece in bytes.chunks(100_000) {
                stranger.put(&chunk(&[Content(piece.to_vec())])).await;
            }
            stranger.put(&chunk(&[end(b"something else"), Words(Told::Complete)])).await;
            let answers = stranger.answers().await;
            assert!(answers.iter().any(|answer| answer.contains("what came is not what was sent")), "{answers:?}");
            assert_eq!(receiver.kept(), [""; 0]);
            receiver.stays_well("a wrong hash").await;
        }
    }
}

#[tokio::test]
async fn what_breaks_the_rules_ends_the_conversation() {
    let cases: Vec<(&str, Vec<Said<'_>>)> = vec![
        ("more content than there is", vec![file(b"x", Some(1)), START, Content(vec![0; 2])]),
        ("more zeros than there are", vec![file(b"x", Some(1)), START, Words(Told::Hole { length: 2 })]),
        ("zeros without end", vec![file(b"x", Some(1)), START, Words(Told::Hole { length: u64::MAX })]),
        ("zeros beyond all", vec![file(b"x", None), START, Content(vec![0]), Words(Told::Hole { length: u64::MAX })]),
        ("content of nothing", vec![Content(vec![0])]),
        ("the end of nothing", vec![end(b"")]),
        ("the spoiling of nothing", vec![Words(Told::Spoilt { why: "so" })]),
        ("a start of what is not there", vec![START]),
        ("two at once", vec![file(b"x", Some(1)), file(b"y", Some(1)), START, Words(Told::Start { id: 2, offset: 0 })]),
        ("a start that was not asked for", vec![file(b"x", Some(9)), Words(Told::Start { id: 1, offset: 5 })]),
        ("a comparison of nothing", vec![Words(Told::Compared { id: 1, same: true })]),
        ("a comparison nobody wants", vec![file(b"x", Some(1)), Words(Told::Compared { id: 1, same: true })]),
        (
            "a folder left twice",
            vec![dir(0, b"a"), dir(1, b"b"), Words(Told::Leave { id: 1 }), Words(Told::Leave { id: 1 })],
        ),
        ("the receiver's own folder left", vec![Words(Told::Leave { id: 0 })]),
        ("something in a folder that was left", vec![dir(0, b"a"), Words(Told::Leave { id: 1 }), dir(1, b"b")]),
        ("something in a folder of nobody", vec![dir(77, b"a")]),
        ("an end before the end", vec![file(b"x", Some(1)), Words(Told::Complete)]),
        ("a frame without a head", vec![Bytes(&[1, 2])]),
        ("a frame that is cut off", vec![Bytes(&[9, 0, 0, 0, 1])]),
        ("a word that nobody knows", vec![Bytes(&[1, 0, 0, 0, 200])]),
        ("a word with something behind it", vec![Bytes(&[2, 0, 0, 0, 10, 0])]),
        ("a content longer than all", vec![Bytes(&[255, 255, 255, 255])]),
        ("a flood of files", (0..9000).map(|_| file(b"x", Some(1))).collect()),
        ("a flood of folders", (0..5000).map(|_| dir(0, b"x")).collect()),
        ("folders without end", (0..5000).map(|n| dir(n, b"x")).collect()),
    ];
    for (what, said) in cases {
        let receiver = Receiver::new(false).await;
        let mut stranger = Stranger::sends(receiver.server.address()).await;
        for some in said.chunks(1000) {
            stranger.put(&chunk(some)).await;
        }
        let answers = stranger.answers().await;
        let last = answers.last().map(String::as_str).unwrap_or_default();
        assert!(last.starts_with("Stop") || last.starts_with("Failed"), "{what}: {answers:?}");
        let files = receiver.kept().into_iter().filter(|name| receiver.inbox().join(name).is_file());
        assert!(files.into_iter().all(|name| name.ends_with(".hullo-part")), "{what}: something has a name");
        receiver.stays_well(what).await;
    }
}

#[tokio::test]
async fn a_chunk_that_says_it_is_huge_is_not_waited_for() {
    let receiver = Receiver::new(false).await;
    let mut stranger = Stranger::sends(receiver.server.address()).await;
    stranger.0.write_all(&[255; 4]).await.unwrap();
    assert!(stranger.answers().await.iter().any(|answer| answer.contains("a chunk that is too large")));
    receiver.stays_well("a huge chunk").await;
}

/// Whoever has begun and says nothing more is let go. Time is moved by hand, since real threads wait here.
#[tokio::test]
async fn who_falls_silent_is_let_go() {
    let mut receiver = Receiver::new(false).await;
    let mut stranger = Stranger::sends(receiver.server.address()).await;
    stranger.put(&chunk(&[file(b"x", Some(1))])).await;
    assert!(in_time("an answer", stranger.take()).await.is_some());
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    receiver.ends.recv().await.unwrap();
    tokio::time::resume();
}

// Receivers.

/// A sender with a file of that size, and a receiver that is a stranger.
async fn sender(size: usize) -> (Stranger, tokio::task::JoinHandle<Result<Summary, Error>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = address(&format!("tcp://{}", listener.local_addr().unwrap()));
    let sending = tokio::spawn(async move {
        let folder = Folder::new();
        let path = folder.path().join("x");
        fs::write(&path, vec![7; size]).unwrap();
        send(&to, path).await
    });
    let mut stranger = in_time("a sender", Stranger::receives(&listener)).await;
    // What it has.
    assert!(in_time("the announcement", stranger.take()).await.is_some());
    (stranger, sending)
}

#[tokio::test]
async fn a_receiver_that_breaks_the_rules_is_an_error_and_never_a_success() {
    let hashes = vec![[0; 32]; 4096];
    let want = Answer::Want { id: 1, length: 0, blocks: Vec::new() };
    let cases: Vec<(&str, Vec<Answer<'_>>)> = vec![
        ("wants what is not there", vec![Answer::Want { id: 99, length: 0, blocks: Vec::new() }]),
        ("wants it twice", vec![want.clone(), want.clone()]),
        ("has finished at once", vec![Answer::Finished]),
        ("has finished with nothing", vec![want.clone(), Answer::Finished]),
        ("has more than there is", vec![Answer::Want { id: 1, length: u64::MAX, blocks: hashes }]),
        ("gives up", vec![Answer::Stop { why: "\x1b[2J no room" }]),
        ("leaves", vec![want]),
        ("says nothing", vec![]),
    ];
    for (what, answers) in cases {
        let (mut stranger, sending) = sender(1000).await;
        for answer in answers {
            let mut chunk = Vec::new();
            say(&mut chunk, &answer).unwrap();
            stranger.put(&chunk).await;
        }
        let _ = stranger.0.shutdown().await;
        in_time(what, async { while stranger.take().await.is_some() {} }).await;
        let sent = in_time(what, sending).await.unwrap();
        let error = sent.map(|sum| panic!("a receiver that {what} is a success: {sum:?}")).unwrap_err();
        assert!(matches!(error.kind(), Kind::Protocol | Kind::Cut | Kind::File), "{what}: {error:?}");
        assert!(!error.to_string().contains('\x1b'), "{what}: {error}");
    }
}

#[tokio::test]
async fn a_receiver_that_never_reads_is_given_up() {
    let (mut stranger, sending) = sender(100 << 20).await;
    let mut chunk = Vec::new();
    say(&mut chunk, &Answer::Want { id: 1, length: 0, blocks: Vec::new() }).unwrap();
    stranger.put(&chunk).await;
    // The kernel's buffers are full when nothing more becomes readable.
    let mut seen = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = stranger.0.peek(&mut vec![0; 16 << 20]).await.unwrap();
        if now == seen {
            break;
        }
        seen = now;
    }
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    let error = sending.await.unwrap().unwrap_err();
    tokio::time::resume();
    assert_eq!(error.kind(), Kind::Cut, "{error}");
}
