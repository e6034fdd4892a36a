#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! Faults between sockets: what a client and a server see of them.

mod common;

use std::{
    io::ErrorKind,
    sync::{Arc, Mutex},
    time::Duration,
};

use common::in_time;
use hullo::{
    Limits, Scope, Server,
    fault::{Fault, Faults, Hit},
    service::{
        self, Settings,
        relay::{Plan, Relay},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::{TcpStream, UdpSocket},
    task::yield_now,
    time::Instant,
};

/// A relay with faults in front of a service.
struct Setup {
    faults: Arc<Faults>,
    hits: Arc<Mutex<Vec<String>>>,
    relay: Server,
    _service: Server,
}

impl Setup {
    async fn new(scheme: &str, service: &str, faults: &[&str]) -> Self {
        let spec = service::find(service).unwrap();
        let far = hold(scheme, (spec.make)(&Settings::default()).unwrap()).await;
        let hits = Arc::new(Mutex::new(Vec::new()));
        let log = hits.clone();
        let tell = move |hit: &Hit| log.lock().unwrap().push(hit.to_string());
        let all = Arc::new(Faults::new(7, Some(Arc::new(tell))));
        let plan = Plan { faults: Some(all.clone()), ..Plan::to("test", vec![far.address().clone()]) };
        let relay = hold(scheme, Relay::new(plan).unwrap()).await;
        let setup = Self { faults: all, hits, relay, _service: far };
        setup.set(faults);
        setup
    }

    fn set(&self, faults: &[&str]) {
        self.faults.set(faults.iter().map(|text| Fault::parse(text).unwrap()).collect());
    }

    async fn client(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.relay.address().port.unwrap())).await.unwrap()
    }
}

async fn hold(scheme: &str, service: Arc<dyn hullo::Service>) -> Server {
    let mut server = Server::new(Scope::new(Limits::server(), None));
    server.listen(&format!("{scheme}://127.0.0.1:0").parse().unwrap(), service).await.unwrap();
    server
}

/// All that comes, and whether it ended with a reset.
async fn all(client: &mut TcpStream) -> (usize, bool) {
    let (mut came, mut piece) = (0, vec![0; 1 << 16]);
    loop {
        match client.read(&mut piece).await {
            Ok(0) => return (came, false),
            Ok(n) => came += n,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                return (came, true);
            }
        }
    }
}

#[tokio::test]
async fn exactly_so_much_arrives_and_then_the_end() {
    for limit in [1, 100_000, 3_000_000] {
        let setup = Setup::new("tcp", "chargen", &[&format!("limit:{limit},way=down")]).await;
        let mut client = setup.client().await;
        assert_eq!(in_time("cut", all(&mut client)).await, (limit, false));
        let cut = format!("1 down limit: cut behind byte {limit}");
        assert_eq!(setup.hits.lock().unwrap().last(), Some(&cut));
    }
}

#[tokio::test]
async fn a_client_that_still_talks_reads_what_a_limit_let_through() {
    let setup = Setup::new("tcp", "echo", &["limit:100000,way=down"]).await;
    let mut client = setup.client().await;
    client.write_all(&vec![1; 100_000]).await.unwrap();
    // More is on its way as the relay closes: a reset must not take away what was not read yet.
    while setup.hits.lock().unwrap().len() < 2 {
        let _ = client.write(&[2; 100]).await;
        yield_now().await;
    }
    assert_eq!(in_time("cut", all(&mut client)).await.0, 100_000);
}

#[tokio::test]
async fn a_reset_is_one_and_comes_behind_its_byte() {
    let setup = Setup::new("tcp", "chargen", &["reset:after=50kB,way=down"]).await;
    let mut client = setup.client().await;
    assert_eq!(in_time("reset", all(&mut client)).await, (50_000, true));
}

#[tokio::test]
async fn a_reset_by_the_clock_finds_an_idle_connection_and_one_that_nobody_reads() {
    for service in ["discard", "chargen"] {
        let setup = Setup::new("tcp", service, &["reset:300ms"]).await;
        let (began, client) = (Instant::now(), setup.client().await);
        // Nobody reads. The system tells of the reset all the same.
        in_time("reset", client.ready(Interest::ERROR)).await.unwrap();
        assert!(began.elapsed() >= Duration::from_millis(300), "{service}");
    }
}

#[tokio::test]
async fn a_fault_comes_and_goes_under_a_conversation() {
    let setup = Setup::new("tcp", "echo", &[]).await;
    let mut client = setup.client().await;
    let mut back = [0; 5];
    for faults in [&["latency:100ms"][..], &["bandwidth:1kB", "latency:1ms"], &[]] {
        setup.set(faults);
        let began = Instant::now();
        client.write_all(b"hullo").await.unwrap();
        in_time("echo", client.read_exact(&mut back)).await.unwrap();
        let took = began.elapsed();
        assert!(faults.is_empty() || took >= Duration::from_millis(10), "{faults:?} after {took:?}");
    }
    setup.set(&["bandwidth:0"]);
    client.write_all(b"again").await.unwrap();
    for _ in 0..1000 {
        setup.set(&["bandwidth:0", "latency:1h"]);
        setup.set(&["bandwidth:0"]);
    }
    setup.set(&[]);
    in_time("echo", client.read_exact(&mut back)).await.unwrap();
    assert_eq!(&back, b"again");
}

#[tokio::test]
async fn nobody_is_there_for_the_first() {
    let setup = Setup::new("tcp", "greet", &["down,first=2"]).await;
    for number in 1..=3 {
        let came = in_time("greeting", async { all(&mut setup.client().await).await }).await;
        assert_eq!(came.0 > 0, number == 3, "client {number}: {came:?}");
    }
}

#[tokio::test]
async fn packets_are_doubled_and_lost_by_the_seed() {
    let setup = Setup::new("udp", "echo", &["duplicate:1,way=up", "limit:1,way=down,after=2B"]).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(("127.0.0.1", setup.relay.address().port.unwrap())).await.unwrap();
    socket.send(b"x").await.unwrap();
    for _ in 0..2 {
        let mut packet = [0; 10];
        assert_eq!(in_time("echo", socket.recv(&mut packet)).await.unwrap(), 1);
    }
    let hits = setup.hits.lock().unwrap();
    assert!(hits.contains(&"1 up duplicate: doubles packet 1".to_owned()), "{hits:?}");
}
