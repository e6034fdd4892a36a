//! Servers that are not there, or do not take anybody: clients are told, and others do not wait.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use super::{
    common::{Home, PATIENCE, Program, Server, at_once, eventually, free_port, peer, run},
    programs, relay,
};

/// So soon is at once, on a machine that has other things to do.
const AT_ONCE: Duration = Duration::from_secs(4);

#[test]
fn a_dead_server_is_an_end_at_once() {
    let home = Home::new();
    let dead = format!("tcp://127.0.0.1:{}", free_port());
    let unix = format!("unix:{}", home.path("s"));
    at_once(&[":0", "tls://:0", &unix, "ws://:0", "wss://:0"], |at| {
        let relay = relay(&home, &[at, &dead]);
        let mut client = Program::start(&mut home.hullo(&["connect", "--linger", "0s", &relay.client(0)]));
        client.say("hello\n");
        let ended = client.ended_within(AT_ONCE);
        assert_eq!(ended.out, b"", "{at}");
        // Who it was, and what was tried, is said once.
        let told = relay.program.told("refused");
        assert!(told.contains(&format!("cannot connect to {dead}")), "{at}: {told}");
        assert_eq!(told.matches(&format!("connect to {dead}")).count(), 1, "{at}: {told}");
    });
}

#[test]
fn a_client_of_http_is_told_that_the_server_is_not_there() {
    let home = Home::new();
    let dead = format!("tcp://127.0.0.1:{}", free_port());
    let relay = relay(&home, &["http://:0", &dead]);
    // As an exit status, a server's fault is 5.
    let asked = home.run(&["request", "--check-status", "POST", &relay.at[0], "a=b"], "");
    assert_eq!(asked.code, 5, "{}", asked.err);
    let Some(curl) = peer("curl") else { return };
    let words = ["-s", "-d", "hello", "-o", "/dev/null", "-w", "%{http_code}", &relay.at[0]];
    assert_eq!(run(home.command(curl).args(words), "").text(), "502", "{}", relay.program.so_far());
}

/// A server that listens, and whose queue is full: who connects hears nothing.
struct Full {
    _listening: Socket,
    _queued: Vec<Socket>,
    /// How many wait to be answered.
    unanswered: usize,
    port: u16,
}

/// How many on this machine have asked for a connection to that port, and not been answered (state 2 of TCP).
fn dialling(port: u16) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let to = format!(":{port:04X}");
    let asks = |line: &&str| matches!(line.split_whitespace().collect::<Vec<_>>()[..], [_, _, remote, "02", ..] if remote.ends_with(&to));
    table.lines().filter(asks).count()
}

impl Full {
    fn new() -> Self {
        let listening = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
        listening.bind(&any.into()).unwrap();
        listening.listen(0).unwrap();
        let address = listening.local_addr().unwrap();
        let mut queued = Vec::new();
        // One that is not taken at once never will be.
        loop {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let taken = socket.connect_timeout(&address, Duration::from_millis(300)).is_ok();
            queued.push(socket);
            if !taken {
                break;
            }
        }
        let port = address.as_socket().unwrap().port();
        Self { _listening: listening, _queued: queued, unanswered: dialling(port), port }
    }
}

#[test]
fn a_slow_server_does_not_slow_the_accepts_of_others() {
    let home = Home::new();
    let (full, good) = (Full::new(), programs(&home, &["tcp://:0"], &["cat"]));
    let slow = format!("tcp://127.0.0.1:{}", full.port);
    let relay = relay(&home, &[":0", &slow, &good.at[0], "--balance", "round-robin"]);
    // Each first one is led to the one that does not answer, and waits; the next ones are accepted.
    let mut waiting = Vec::new();
    for turn in 0..10 {
        waiting.push(connect(&relay));
        eventually("the slow one is being dialled", || dialling(full.port) == waiting.len() + full.unanswered);
        let begun = Instant::now();
        let mut served = connect(&relay);
        served.write_all(b"hello").unwrap();
        let mut heard = [0; 5];
        served.read_exact(&mut heard).unwrap_or_else(|error| panic!("turn {turn}: {error}"));
        assert!(&heard == b"hello" && begun.elapsed() < AT_ONCE, "turn {turn}: {:?}", begun.elapsed());
    }
    for mut client in waiting {
        client.set_nonblocking(true).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "it waits, and is not cut off");
    }
}

#[test]
fn a_server_that_takes_nobody_is_given_up_after_a_time() {
    let (home, full) = (Home::new(), Full::new());
    let relay = relay(&home, &[":0", &format!("tcp://127.0.0.1:{}?timeout=500ms", full.port)]);
    let begun = Instant::now();
    let mut client = connect(&relay);
    assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)));
    assert!((0.4..4.0).contains(&begun.elapsed().as_secs_f64()), "{:?}", begun.elapsed());
    relay.program.told(&format!("cannot connect to tcp://127.0.0.1:{}", full.port));
}

/// What breaks off on one side is broken off on the other, and not ended as if it were all.
#[test]
fn a_reset_is_a_reset_on_the_other_side() {
    let home = Home::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let relay = relay(&home, &[":0", &format!("tcp://{}", server.local_addr().unwrap())]);
    let mut client = connect(&relay);
    client.write_all(b"hello").unwrap();
    let (mut talk, _) = server.accept().unwrap();
    talk.read_exact(&mut [0; 5]).unwrap();
    talk.write_all(b"half").unwrap();
    let mut half = [0; 4];
    client.read_exact(&mut half).unwrap();
    socket2::SockRef::from(&talk).set_linger(Some(Duration::ZERO)).unwrap();
    drop(talk);
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

fn connect(relay: &Server) -> TcpStream {
    let talk = TcpStream::connect(("127.0.0.1", relay.port(0))).unwrap();
    talk.set_read_timeout(Some(PATIENCE)).unwrap();
    talk
}
