#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! A server that has no file left for another connection goes on, and serves whoever waits once there is one.
//!
//! The limit is the process's own, so that this is the only test in its file.

mod common;

use std::{fs::File, os::fd::AsRawFd};

use common::{in_time, service, serving_in, watched};
use hullo::{Event, Limits};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    sync::mpsc,
};

#[tokio::test]
async fn a_server_without_files_goes_on() {
    let (told, mut troubles) = mpsc::unbounded_channel();
    let watch = move |event: &Event<'_>| {
        if let Event::Trouble { error, .. } = event {
            let _ = told.send(error.to_string());
        }
    };
    let server = serving_in(watched(Limits::server(), watch), "tcp://127.0.0.1:0", service("echo")).await;
    let to = server.address().authority().parse().unwrap();

    // The clients have their sockets; what the limit leaves is nothing for the server's.
    let sockets = (0..10).map(|_| TcpSocket::new_v4().unwrap()).collect::<Vec<_>>();
    let before = allow(next_file());
    let mut clients = Vec::new();
    for socket in sockets {
        clients.push(in_time("a connection", socket.connect(to)).await.unwrap());
    }
    let trouble = in_time("trouble", troubles.recv()).await.unwrap();
    assert!(
        trouble.contains("cannot accept on tcp://127.0.0.1") && trouble.contains("oo many open files"),
        "{trouble}"
    );

    // Those who leave make room for those who stay, whose connections the kernel has kept.
    clients.drain(..5);
    for client in &mut clients {
        client.write_all(b"hullo").await.unwrap();
        let mut answer = [0; 5];
        in_time("an answer", client.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"hullo");
    }
    allow(before);
}

/// The number that the next file will have: all below it are in use.
fn next_file() -> u64 {
    File::open("/dev/null").unwrap().as_raw_fd().try_into().unwrap()
}

/// Sets how many files this process may have; says how many those were.
fn allow(count: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(count), maximum: limit.maximum }).unwrap();
    limit.current.unwrap_or(u64::MAX)
}
