#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! A stream over packets that get lost, come twice and overtake each other: on a simulated link under a paused clock, and
//! over UDP.

mod common;

use std::{sync::Arc, time::Duration};

use common::{By, Folder, GRACE, address, in_time, serving};
use hullo::{BoxStream, Error, Kind, Link, Result, Scope, Server, Service, dial, reliable::Connection};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UdpSocket,
    sync::mpsc,
    time::{Instant, timeout},
};

/// A way on which everything happens that can.
const ROUGH: &str = "packets=true&delay=20ms&jitter=15ms&loss=0.2&duplicate=0.1";

/// Bytes that are nowhere the same for long.
fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut x = seed | 1;
    (0..len.div_ceil(8))
        .flat_map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x.to_le_bytes()
        })
        .take(len)
        .collect()
}

/// Gives back all that comes, once it has come.
fn late_echo() -> Arc<dyn Service> {
    Arc::new(By(|link: Link| async move {
        let mut stream = link.reliable().stream();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.map_err(lost)?;
        stream.write_all(&all).await.map_err(lost)?;
        stream.shutdown().await.map_err(lost)
    }))
}

fn lost(error: std::io::Error) -> Error {
    Error::io("a test's stream", error)
}

/// Both ends of a conversation.
async fn joined(at: &str) -> (BoxStream, BoxStream, Server) {
    let (send, mut links) = mpsc::unbounded_channel();
    let service = By(move |link: Link| {
        let _ = send.send(link.reliable().stream());
        std::future::ready(Ok(()))
    });
    let server = serving(at, Arc::new(service)).await;
    let near = reach(&server, &Scope::default()).await;
    // Packets find a server only when one was sent.
    let far = in_time("the other end", links.recv()).await.unwrap();
    (near, far, server)
}

async fn reach(server: &Server, scope: &Scope) -> BoxStream {
    dial(&server.address().bare(), scope).await.unwrap().reliable().stream()
}

/// Sends all, and reads the answer to its end.
async fn exchange(mut stream: BoxStream, sent: &[u8]) -> Result<Vec<u8>> {
    stream.write_all(sent).await.map_err(lost)?;
    stream.shutdown().await.map_err(lost)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.map_err(lost)?;
    Ok(answer)
}

/// The kind of error that a read or a write came to.
fn kind<T: std::fmt::Debug>(result: std::io::Result<T>) -> Kind {
    lost(result.expect_err("it must not go well")).kind()
}

#[tokio::test(start_paused = true)]
async fn all_arrives_on_a_rough_way_whatever_happens_on_it() {
    for seed in 1..=40 {
        let mut server = serving(&format!("memory://rough-{seed}?{ROUGH}&seed={seed}"), late_echo()).await;
        let scope = Scope::default();
        let sent = bytes(100_000 + 7919 * seed as usize, seed);
        let answer = exchange(reach(&server, &scope).await, &sent).await;
        let answer = answer.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(answer == sent, "seed {seed}: {} bytes came back of {}", answer.len(), sent.len());
        assert!(scope.end(GRACE).await, "seed {seed}: our end comes to its end");
        assert!(server.end(GRACE).await, "seed {seed}: the other end comes to its end");
    }
}

#[tokio::test(start_paused = true)]
async fn ten_megabytes_go_both_ways_at_once() {
    let (near, far, _server) = joined(&format!("memory://bulk?{ROUGH}")).await;
    let (there, back) = (bytes(10_500_000, 1), bytes(10_000_001, 2));
    let copy = |stream: BoxStream, sent: Vec<u8>| async move {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let write = async {
            writer.write_all(&sent).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let mut got = Vec::new();
        let ((), read) = tokio::join!(write, reader.read_to_end(&mut got));
        read.unwrap();
        got
    };
    let (came_back, came) = tokio::join!(copy(near, there.clone()), copy(far, back.clone()));
    assert!(came == there && came_back == back, "{} and {} bytes", came.len(), came_back.len());
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_come_long_after_the_end_of_the_question() {
    let (mut near, mut far, _server) = joined(&format!("memory://late?{ROUGH}")).await;
    near.write_all(b"question").await.unwrap();
    near.shutdown().await.unwrap();
    let mut question = String::new();
    far.read_to_string(&mut question).await.unwrap();
    tokio::time::sleep(Duration::from_secs(200)).await;
    far.write_all(b"answer").await.unwrap();
    far.shutdown().await.unwrap();
    let mut answer = String::new();
    near.read_to_string(&mut answer).await.unwrap();
    assert_eq!((question.as_str(), answer.as_str()), ("question", "answer"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_dropped_is_cut_off_and_has_no_end() {
    let (mut near, mut far, _server) = joined(&format!("memory://cut?{ROUGH}")).await;
    near.write_all(b"half of it").await.unwrap();
    let mut half = [0; 10];
    far.read_exact(&mut half).await.unwrap();
    drop(near);
    assert_eq!(kind(far.read(&mut half).await), Kind::Cut);
    assert_eq!(kind(far.write_all(&[0; 10]).await), Kind::Cut);
    assert_eq!(kind(far.shutdown().await), Kind::Cut);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_gone_without_a_word_is_no_end_either() {
    let (mut near, _far, mut server) = joined(&format!("memory://gone?{ROUGH}")).await;
    assert!(!server.end(Duration::ZERO).await, "its side of the conversation is dropped as it is");
    assert_eq!(kind(near.read(&mut [0; 10]).await), Kind::Cut);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_given_up() {
    let mute = By(|link: Link| async move {
        let _held = link;
        std::future::pending().await
    });
    let server = serving("memory://mute?packets=true", Arc::new(mute)).await;
    let began = Instant::now();
    let mut stream = reach(&server, &Scope::default()).await;
    let error = lost(stream.read(&mut [0; 10]).await.unwrap_err());
    assert_eq!((error.kind(), began.elapsed().as_secs()), (Kind::Timeout, 10), "{error}");
    assert!(error.to_string().contains("memory:mute") && error.advice().is_some(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_conversation_ends_after_idle() {
    let (mut near, mut far, _server) = joined("memory://idle?packets=true&idle=7s").await;
    let began = Instant::now();
    assert_eq!(kind(far.read(&mut [0; 10]).await), Kind::Timeout);
    assert_eq!(began.elapsed().as_secs(), 7);
    drop(far);
    assert_eq!(kind(near.read(&mut [0; 10]).await), Kind::Cut);
}

#[tokio::test(start_paused = true)]
async fn a_writer_waits_for_a_peer_that_does_not_read() {
    let (mut near, mut far, _server) = joined(&format!("memory://full?{ROUGH}")).await;
    let piece = bytes(1 << 16, 3);
    let mut written = 0;
    while let Ok(wrote) = timeout(Duration::from_secs(20), near.write(&piece)).await {
        written += wrote.unwrap();
    }
    // What the one end holds and what the other one holds, and no more.
    assert!((4 << 20..=9 << 20).contains(&written), "{written} bytes were taken");
    let mut read = vec![0; written];
    far.read_exact(&mut read).await.unwrap();
    timeout(Duration::from_secs(20), near.write(&piece)).await.unwrap().unwrap();
}

#[tokio::test]
async fn two_peers_of_one_udp_socket_talk_at_once() {
    let mut server = serving("udp://127.0.0.1:0", late_echo()).await;
    let scope = Scope::default();
    let talks = [11_000_000, 3_000_003].map(|len| {
        let sent = bytes(len, len as u64);
        let stream = reach(&server, &scope);
        async move {
            let answer = exchange(stream.await, &sent).await.unwrap();
            assert!(answer == sent, "{} bytes came back of {len}", answer.len());
        }
    });
    in_time("two talks", futures_util::future::join_all(talks)).await;
    assert!(scope.end(GRACE).await && server.end(GRACE).await, "all comes to its end");
}

#[tokio::test]
async fn a_server_that_stops_still_delivers_its_answer() {
    let mut server = serving("udp://127.0.0.1:0", late_echo()).await;
    let mut stream = reach(&server, &Scope::default()).await;
    let sent = bytes(6_000_000, 9);
    stream.write_all(&sent).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = vec![0; sent.len()];
    // It has begun to answer, and holds more than is under way.
    in_time("the first byte", stream.read_exact(&mut answer[..1])).await.unwrap();
    let (stopped, read) = tokio::join!(server.end(GRACE), async {
        stream.read_exact(&mut answer[1..]).await?;
        stream.read(&mut [0; 1]).await
    });
    assert_eq!((stopped, read.unwrap()), (true, 0));
    assert!(answer == sent);
}

/// A client whose every packet is ours to repeat.
struct ByHand {
    socket: UdpSocket,
    connection: Connection,
    began: Instant,
    /// All that it sent.
    sent: Vec<Vec<u8>>,
}

impl ByHand {
    /// Holds a conversation on that socket, to its end.
    async fn talk(socket: UdpSocket, name: u64) -> Self {
        let connection = Connection::new(name, 1200, GRACE, Duration::ZERO);
        let mut this = Self { socket, connection, began: Instant::now(), sent: Vec::new() };
        this.connection.write(b"something");
        this.connection.finish();
        in_time("a conversation", async {
            while !this.connection.is_over() {
                this.turn().await;
            }
        })
        .await;
        assert_eq!((this.connection.failure(), this.connection.is_readable()), (None, true));
        this
    }

    async fn turn(&mut self) {
        let mut packets = Vec::new();
        let stride = self.connection.transmit(&mut packets, self.began.elapsed());
        for packet in packets.chunks(stride.max(1)) {
            self.socket.send(packet).await.unwrap();
            self.sent.push(packet.to_vec());
        }
        if self.connection.is_over() {
            return;
        }
        let wait = self.connection.timeout().unwrap().saturating_sub(self.began.elapsed());
        let mut packet = [0; 2000];
        match timeout(wait, self.socket.recv(&mut packet)).await {
            Ok(len) => self.connection.receive(&packet[..len.unwrap()], self.began.elapsed()),
            Err(_) => self.connection.expire(self.began.elapsed()),
        }
    }
}

#[tokio::test]
async fn what_comes_after_the_end_begins_no_other_conversation() {
    let (send, mut begun) = mpsc::unbounded_channel();
    let echo = late_echo();
    let counting = By(move |link: Link| {
        let _ = send.send(());
        echo.clone().serve(link)
    });
    let server = serving("udp://127.0.0.1:0", Arc::new(counting)).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server.address().authority()).await.unwrap();
    let old = ByHand::talk(socket, 1).await;
    for packet in &old.sent {
        old.socket.send(packet).await.unwrap();
    }
    // Whoever begins anew at the same place is heard at once, and nobody was in between.
    ByHand::talk(old.socket, 2).await;
    drop(server);
    let mut conversations = 0;
    while begun.recv().await.is_some() {
        conversations += 1;
    }
    assert_eq!(conversations, 2);
}

#[tokio::test]
async fn nobody_on_the_port_is_refused() {
    // A port that is free, since it was taken only just now.
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let link = dial(&address(&format!("udp://127.0.0.1:{port}")), &Scope::default()).await.unwrap();
    let mut stream = link.reliable().stream();
    assert_eq!(kind(in_time("the refusal", stream.read(&mut [0; 10])).await), Kind::Refused);
}

#[tokio::test]
async fn it_runs_over_unix_datagrams_and_leaves_streams_alone() {
    let folder = Folder::new();
    for at in ["unix-dgram:{dir}/socket", "tcp://127.0.0.1:0", "ws://127.0.0.1:0"] {
        let server = serving(&folder.address(at).to_string(), late_echo()).await;
        let sent = bytes(700_000, 4);
        let answer = in_time(at, exchange(reach(&server, &Scope::default()).await, &sent)).await;
        assert!(answer.unwrap() == sent, "{at}");
    }
}
