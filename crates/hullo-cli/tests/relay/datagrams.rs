//! Datagrams through a relay: a socket upstream for each peer, and their borders kept through a stream.

use std::{
    collections::HashSet,
    fs,
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
    thread,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{
    common::{Home, PATIENCE, Server, eventually},
    relay,
};

const PEERS: usize = 1000;

/// A server that says each datagram again, and remembers who has come. Its thread ends with the test's process.
struct Echo {
    port: u16,
    guests: Arc<Mutex<HashSet<SocketAddr>>>,
}

impl Echo {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        // A thousand peers at once are more than the kernel's usual buffer holds.
        socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20).unwrap();
        let (port, guests) = (socket.local_addr().unwrap().port(), Arc::<Mutex<HashSet<_>>>::default());
        let seen = guests.clone();
        thread::spawn(move || {
            let mut buf = [0; 65536];
            while let Ok((n, from)) = socket.recv_from(&mut buf) {
                seen.lock().unwrap().insert(from);
                let _ = socket.send_to(&buf[..n], from);
            }
        });
        Self { port, guests }
    }

    fn guests(&self) -> usize {
        self.guests.lock().unwrap().len()
    }
}

fn client(relay: &Server) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", relay.port(0))).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// What comes back, in text.
fn hear(socket: &UdpSocket) -> String {
    let mut buf = [0; 65536];
    let n = socket.recv(&mut buf).unwrap();
    String::from_utf8_lossy(&buf[..n]).into_owned()
}

/// How many sockets a process has.
fn sockets(of: &Server) -> usize {
    let open = fs::read_dir(format!("/proc/{}/fd", of.program.id())).unwrap();
    let is_socket = |link: &std::path::PathBuf| link.to_string_lossy().starts_with("socket:");
    open.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok()).filter(is_socket).count()
}

#[test]
fn a_thousand_peers_have_a_socket_each_until_they_fall_silent() {
    // One for each of them here; the relay sees to itself.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let (home, server) = (Home::new(), Echo::new());
    let relay = relay(&home, &["udp://:0?idle=3s", &format!("udp://127.0.0.1:{}", server.port)]);
    let before = sockets(&relay);
    let clients: Vec<_> = (0..PEERS).map(|_| client(&relay)).collect();
    for round in 0..2 {
        for (number, client) in clients.iter().enumerate() {
            client.send(format!("{number} says {round}").as_bytes()).unwrap();
        }
        for (number, client) in clients.iter().enumerate() {
            assert_eq!(hear(client), format!("{number} says {round}"), "{}", relay.program.so_far());
        }
    }
    assert_eq!(server.guests(), PEERS, "each has one socket, and the same one twice");
    assert_eq!(sockets(&relay), before + PEERS);
    eventually("the sockets of the silent are closed", || sockets(&relay) == before);
    // They may come again.
    clients[7].send(b"again").unwrap();
    assert_eq!(hear(&clients[7]), "again");
    assert_eq!(sockets(&relay), before + 1);
}

#[test]
fn no_more_peers_than_allowed_have_a_socket() {
    let (home, server) = (Home::new(), Echo::new());
    let to = format!("udp://127.0.0.1:{}", server.port);
    let relay = relay(&home, &["udp://:0?idle=1s", &to, "--max-connections", "3"]);
    let clients: Vec<_> = (0..5).map(|_| client(&relay)).collect();
    for client in &clients[..3] {
        client.send(b"in").unwrap();
        assert_eq!(hear(client), "in");
    }
    for client in &clients[3..] {
        client.send(b"out").unwrap();
    }
    // Heard after those two: by then they have been turned away.
    clients[0].send(b"still in").unwrap();
    assert_eq!(hear(&clients[0]), "still in");
    assert_eq!(server.guests(), 3);
    // A place that is given up is somebody else's.
    clients[4].set_read_timeout(Some(std::time::Duration::from_millis(50))).unwrap();
    eventually("there is room again", || {
        clients[4].send(b"now").unwrap();
        clients[4].recv(&mut [0; 9]).is_ok()
    });
}

#[test]
fn the_borders_of_datagrams_are_kept_through_a_stream() {
    let (home, server) = (Home::new(), Echo::new());
    let out = relay(&home, &["tcp://:0?frame=len32", &format!("udp://127.0.0.1:{}", server.port)]);
    let relay = relay(&home, &["udp://:0", &format!("tcp://127.0.0.1:{}?frame=len32", out.port(0))]);
    let client = client(&relay);
    for length in [1, 2, 1000, 0, 1200, 8000, 0, 40_000, 1] {
        let said = "x".repeat(length);
        client.send(said.as_bytes()).unwrap();
        assert!(hear(&client) == said, "{length} bytes; {} {}", relay.program.so_far(), out.program.so_far());
    }
    // Many at once, none of which is joined to another.
    for number in 0..50 {
        client.send(number.to_string().as_bytes()).unwrap();
    }
    let heard: HashSet<_> = (0..50).map(|_| hear(&client)).collect();
    assert_eq!(heard, (0..50).map(|number: u32| number.to_string()).collect());
    assert_eq!(server.guests(), 1);
}
