#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! How fast conversations are, as whoever watches a server is told of them.

mod common;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use common::{By, address, service, serving_in};
use hullo::{Error, Event, Limits, Link, Scope, Server, Service, dial};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep},
};

/// What is told: of rates the number, what came a second and what has come; of ends the number and what has come.
#[derive(Debug, PartialEq)]
enum Told {
    Rate { number: u64, received_per_s: u64, sent_per_s: u64, received: u64 },
    Closed { number: Option<u64>, received: u64 },
}

/// A server that is watched, and what is told since the last look.
async fn watched(service: Arc<dyn Service>, at: &str) -> (Server, impl Fn() -> Vec<Told>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    let watch = move |event: &Event<'_>| {
        let one = match event {
            Event::Rate(rate) => Told::Rate {
                number: rate.number,
                received_per_s: rate.received_per_s,
                sent_per_s: rate.sent_per_s,
                received: rate.received,
            },
            Event::Closed { received, number, .. } => Told::Closed { number: *number, received: *received },
            _ => return,
        };
        tell.lock().unwrap().push(one);
    };
    let scope = Scope::new(Limits::server(), Some(Arc::new(watch)));
    let server = serving_in(scope, at, service).await;
    (server, move || std::mem::take(&mut *told.lock().unwrap()))
}

#[tokio::test(start_paused = true)]
async fn each_conversation_that_moves_is_told_of_once_a_second() {
    let (mut server, told) = watched(service("echo"), "memory://rates").await;
    let mut clients = Vec::new();
    for size in [1_000, 2_000] {
        let mut stream = dial(&address("memory://rates"), &Scope::default()).await.unwrap().stream();
        stream.write_all(&vec![b'x'; size]).await.unwrap();
        stream.read_exact(&mut vec![0; size]).await.unwrap();
        clients.push(stream);
    }
    sleep(Duration::from_millis(1_500)).await;
    let rate = |number, rate, received| Told::Rate { number, received_per_s: rate, sent_per_s: rate, received };
    assert_eq!(told(), [rate(1, 1_000, 1_000), rate(2, 2_000, 2_000)]);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(told(), [], "nothing moved");
    clients[1].write_all(&[b'x'; 500]).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(told(), [rate(2, 500, 2_500)]);
    drop(clients);
    sleep(Duration::from_secs(1)).await;
    let ends = told();
    assert_eq!(ends.len(), 2, "{ends:?}");
    for end in [Told::Closed { number: Some(1), received: 1_000 }, Told::Closed { number: Some(2), received: 2_500 }] {
        assert!(ends.contains(&end), "{ends:?}");
    }
    // Whoever comes when nobody was there is told of too, and the end of the server waits for no second to pass.
    let mut late = dial(&address("memory://rates"), &Scope::default()).await.unwrap().stream();
    late.write_all(b"late").await.unwrap();
    sleep(Duration::from_millis(1_100)).await;
    assert_eq!(told(), [rate(3, 4, 4)]);
    drop(late);
    let since = Instant::now();
    assert!(server.end(Duration::from_secs(5)).await);
    assert!(since.elapsed() < Duration::from_millis(500), "{:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn services_with_which_nobody_measures_tell_no_rates() {
    let takes = By(|link: Link| async move {
        let taken = link.stream().read_to_end(&mut Vec::new()).await;
        taken.map(drop).map_err(|error| Error::io("cannot read", error))
    });
    let (_server, told) = watched(Arc::new(takes), "memory://no-rates").await;
    let mut client = dial(&address("memory://no-rates"), &Scope::default()).await.unwrap().stream();
    client.write_all(b"hullo\n").await.unwrap();
    client.shutdown().await.unwrap();
    client.read_to_end(&mut Vec::new()).await.unwrap();
    sleep(Duration::from_secs(3)).await;
    assert_eq!(told(), [Told::Closed { number: None, received: 6 }]);
}
