#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! A stream over packets that get lost, come twice and overtake each other: on a simulated link under a paused clock, and
//! over UDP.

mod common;

use std::{sync::Arc, time::Duration};

use common::{By, GRACE, address, in_time, serving};
use hullo::{BoxStream, Error, Kind, Link, Result, Scope, Server, Service, dial};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
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

#[tokio::test(start_paused = true)]
async fn all_arrives_on_a_rough_way_whatever_happens_on_it() {
    for seed in 1..=40 {
        let mut server = serving(&format!("memory://rough-{seed}?{ROUGH}&seed={seed}"), late_echo()).await;
        let scope = Scope::default();
        let sent = bytes(100_000 + 7919 * seed as usize, seed);
        let began = Instant::now();
        let answer = exchange(reach(&server, &scope).await, &sent).await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(answer == sent, "seed {seed}: {} bytes came back of {}", answer.len(), sent.len());
        assert!(scope.end(GRACE).await, "seed {seed}: our end comes to its end");
        assert!(server.end(GRACE).await, "seed {seed}: the other end comes to its end");
        eprintln!("seed {seed}: {:?}", began.elapsed());
    }
}
