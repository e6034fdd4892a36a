//! Faults that come and go under load.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use crate::client::{Api, PATIENCE};

/// What is added and removed, one after the other.
const TOXICS: &[&str] = &[
    r#""type":"latency","attributes":{"latency":20,"jitter":10}"#,
    r#""type":"bandwidth","attributes":{"rate":500}"#,
    r#""type":"timeout""#,
    r#""type":"slicer","attributes":{"average_size":700,"size_variation":300,"delay":20}"#,
    // Nothing passes, and nothing is lost.
    r#""type":"bandwidth","attributes":{"rate":0}"#,
];

const TIMES: usize = 1000;
const CONNECTIONS: usize = 2;

/// What is sent before it is read back: less than sockets hold, so that nobody waits for us.
const PIECE: usize = 32 << 10;

/// What the connections have come to.
#[derive(Default)]
struct Traffic {
    over: AtomicBool,
    /// Bytes that came back as they were sent.
    whole: AtomicU64,
    /// Connections that ended before their time.
    cut: AtomicU64,
}

#[test]
fn a_fault_is_removed_at_once_a_thousand_times_under_load() {
    let api = Api::new();
    let at = api.proxy("a");
    let traffic = Traffic::default();
    let ready = Barrier::new(CONNECTIONS + 1);
    let mut took = Vec::new();
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                ready.wait();
                while !traffic.over.load(Relaxed) {
                    traffic.converse(at);
                }
            });
        }
        ready.wait();
        took = change(&api, &traffic);
        traffic.over.store(true, Relaxed);
    });
    took.sort();
    let (half, most) = (took[took.len() / 2], took[took.len() - 1]);
    let (whole, cut) = (traffic.whole.load(Relaxed), traffic.cut.load(Relaxed));
    println!("{} calls: half took {half:?}, the longest {most:?}; {whole} bytes came back whole", took.len());
    // A machine may be busy with other things; what would wait for a fault would wait for ever.
    assert!(most < Duration::from_secs(2), "{most:?}");
    let timeouts = TIMES.div_ceil(TOXICS.len()) * CONNECTIONS;
    assert!(cut <= timeouts as u64, "only timeouts cut connections: {cut} were, and {timeouts} may be");
}

/// Adds each of the toxics and removes it, and tells how long each call took.
fn change(api: &Api, traffic: &Traffic) -> Vec<Duration> {
    let mut client = api.client();
    let mut took = Vec::new();
    for (at, toxic) in (0..TIMES).zip(TOXICS.iter().cycle()) {
        let stream = if at % 2 == 0 { "downstream" } else { "upstream" };
        let body = format!(r#"{{"name":"one","stream":"{stream}",{toxic}}}"#);
        let began = Instant::now();
        client.done("POST", "/proxies/a/toxics", &body);
        took.push(began.elapsed());
        let began = Instant::now();
        client.done("DELETE", "/proxies/a/toxics/one", "");
        took.push(began.elapsed());
        // It goes on: now, and not when something else happens.
        let (so_far, until) = (traffic.whole.load(Relaxed), Instant::now() + PATIENCE);
        while traffic.whole.load(Relaxed) == so_far {
            assert!(Instant::now() < until, "{at}: nothing moves after {body} is gone");
            thread::yield_now();
        }
    }
    took
}

impl Traffic {
    /// Sends and reads back, again and again, until the connection ends or it is enough.
    fn converse(&self, at: SocketAddr) {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut noise, mut sent, mut came) = (Noise(7), vec![0; PIECE], vec![0; PIECE]);
        while !self.over.load(Relaxed) {
            noise.fill(&mut sent);
            let echoed = stream.write_all(&sent).and_then(|()| stream.read_exact(&mut came));
            if let Err(error) = echoed {
                assert_ne!(error.kind(), ErrorKind::WouldBlock, "a connection is stuck");
                self.cut.fetch_add(1, Relaxed);
                return;
            }
            assert!(came == sent, "a byte is another than was sent");
            self.whole.fetch_add(PIECE as u64, Relaxed);
        }
    }
}

/// Bytes of every kind, the same each time.
struct Noise(u64);

impl Noise {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            *byte = (self.0 >> 32) as u8;
        }
    }
}
