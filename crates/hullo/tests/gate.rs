#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! Who may come: lists, rates and places, on the sockets of every transport; and connections that a proxy makes.

mod common;

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use common::{By, Folder, Raw, cores, in_time, service, serving_in, still_serves};
use hullo::{Address, Endpoint, Event, Gate, Kind, Limits, Link, Peer, Scope, Server, Service};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream, UdpSocket},
    sync::mpsc,
};

/// What a server tells, as lines.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// A server's scope that is watched, on cores of its own.
    fn scope(&self, limits: Limits) -> Scope {
        let lines = self.0.clone();
        let watch = move |event: &Event<'_>| {
            let line = match event {
                Event::Trouble { peer, error } => {
                    let kind = error.kind().word();
                    format!("trouble {kind} {}: {error}", peer.map(ToString::to_string).unwrap_or_default())
                }
                Event::Proxied { peer, by } => format!("proxied {peer} by {by}"),
                Event::Opened { peer } => format!("opened {peer}"),
                Event::Note(note) => format!("note {note}"),
                _ => return,
            };
            lines.lock().unwrap().push(line);
        };
        Scope::on_cores(limits, Some(Arc::new(watch)), cores(), None)
    }

    fn count(&self, word: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|line| line.contains(word)).count()
    }

    /// Waits for a line with that in it.
    async fn has(&self, word: &str) {
        self.has_more(word, 0).await;
    }

    /// Waits for more lines with that in them than there were.
    async fn has_more(&self, word: &str, before: usize) {
        let waited = async {
            while self.count(word) <= before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(10), waited).await;
        waited.unwrap_or_else(|_| panic!("nobody said '{word}': {:#?}", self.0.lock().unwrap()));
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// A server of echo behind a gate.
async fn gated(log: &Log, at: &str, allow: &str, deny: &str, rate: Option<u32>) -> Server {
    let gate = Gate::new(&words(allow), &words(deny), rate).unwrap().unwrap();
    serving_in(log.scope(Limits::server()).behind(gate), at, service("echo")).await
}

/// A connection from that address of this machine.
async fn from(ip: &str, to: &Address) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(ip.parse().unwrap(), 0)).unwrap();
    let to = format!("{}:{}", to.host, to.port.unwrap());
    in_time("connecting", socket.connect(to.parse().unwrap())).await.unwrap()
}

/// Whether what is said there is given back; a connection that is closed gives nothing.
async fn echoes(stream: &mut TcpStream) -> bool {
    let _ = stream.write_all(b"hello").await;
    let mut heard = [0; 5];
    in_time("the echo", stream.read_exact(&mut heard)).await.is_ok_and(|_| heard == *b"hello")
}

/// Waits until the other end has closed, and says how long that took.
async fn closed(stream: &mut TcpStream) -> Duration {
    let begun = Instant::now();
    let read = in_time("the end", stream.read(&mut [0])).await;
    assert!(!read.is_ok_and(|n| n > 0), "it talks");
    begun.elapsed()
}

/// Puts another file in its place, as one should.
fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(&new, path).unwrap();
}

#[tokio::test]
async fn a_denied_client_is_closed_before_a_word() {
    let log = Log::default();
    for at in ["tcp://127.0.0.1:0", "tls://127.0.0.1:0", "http://127.0.0.1:0", "ws://127.0.0.1:0"] {
        let server = gated(&log, at, "127.0.0.0/8", "127.0.0.2", None).await;
        closed(&mut from("127.0.0.2", server.address()).await).await;
        // Who says nothing is waited for, and not closed.
        let mut allowed = from("127.0.0.3", server.address()).await;
        let waits = tokio::time::timeout(Duration::from_millis(100), allowed.read(&mut [0])).await;
        assert!(waits.is_err(), "{at}");
    }
    log.has("trouble denied tcp://127.0.0.2").await;
    assert_eq!(log.count("denied tcp://127.0.0.3"), 0, "{:?}", log.0);
}

#[tokio::test]
async fn unix_sockets_have_no_addresses_to_judge() {
    let folder = Folder::new();
    let at = folder.address("unix:{dir}/s").to_string();
    let server = gated(&Log::default(), &at, "192.0.2.1", "", Some(1)).await;
    for _ in 0..3 {
        still_serves(server.address(), "hello\n", "hello").await;
    }
}

#[tokio::test]
async fn those_who_may_not_be_inside_any_more_must_go() {
    for at in ["tcp://127.0.0.1:0", "tcp://127.0.0.1:0?accept-proxy=true"] {
        let (folder, log) = (Folder::new(), Log::default());
        let file = folder.path().join("list");
        fs::write(&file, "# who may come\n127.0.0.2 # ann\n\n127.0.0.3\n").unwrap();
        let server = gated(&log, at, &format!("@{}", file.display()), "", None).await;
        let client = async |ip: &str| {
            let proxied = at.contains("proxy");
            let mut stream = from(if proxied { "127.0.0.9" } else { ip }, server.address()).await;
            let header = format!("PROXY TCP4 {ip} 127.0.0.1 1 2\r\n");
            stream.write_all(if proxied { header.as_bytes() } else { b"" }).await.unwrap();
            stream
        };
        let (mut ann, mut bob) = (client("127.0.0.2").await, client("127.0.0.3").await);
        assert!(echoes(&mut ann).await && echoes(&mut bob).await, "{at}");
        closed(&mut client("127.0.0.4").await).await;
        replace(&file, "127.0.0.2\n127.0.0.4\n");
        let took = closed(&mut bob).await;
        assert!(took < Duration::from_secs(5), "{took:?}");
        log.has("trouble denied tcp://127.0.0.3").await;
        assert!(echoes(&mut ann).await && echoes(&mut client("127.0.0.4").await).await, "{at}: {:?}", log.0);
        closed(&mut client("127.0.0.3").await).await;
        // What makes no sense keeps what there was, and what is written in place is seen too.
        fs::write(&file, "127.0.0.2\nnonsense\n").unwrap();
        log.has("line 2: 'nonsense' is no address and no network").await;
        assert!(echoes(&mut ann).await && echoes(&mut client("127.0.0.4").await).await, "{at}: {:?}", log.0);
        fs::remove_file(&file).unwrap();
        log.has("no such file").await;
        assert!(echoes(&mut ann).await && echoes(&mut client("127.0.0.4").await).await, "{at}: {:?}", log.0);
        replace(&file, "");
        closed(&mut ann).await;
        assert_eq!(log.count("nonsense"), 1, "it is said once: {:?}", log.0);
    }
}

#[tokio::test]
async fn a_peer_of_datagrams_is_not_heard_where_it_may_not_come() {
    // Batches, and a link for each peer.
    for name in ["echo", "exec", "json"] {
        let (folder, log) = (Folder::new(), Log::default());
        let file = folder.path().join("list");
        fs::write(&file, "127.0.0.2").unwrap();
        let gate = Gate::new(&[], &[format!("@{}", file.display())], None).unwrap().unwrap();
        let scope = log.scope(Limits::server()).behind(gate);
        let server = serving_in(scope, "udp://127.0.0.1:0", service(name)).await;
        let to = format!("127.0.0.1:{}", server.address().port.unwrap());
        let client = async |ip: &str| {
            let socket = UdpSocket::bind((ip, 0)).await.unwrap();
            socket.connect(&to).await.unwrap();
            socket
        };
        let (denied, allowed) = (client("127.0.0.2").await, client("127.0.0.3").await);
        denied.send(b"[1]").await.unwrap();
        allowed.send(b"[1]").await.unwrap();
        let mut heard = [0; 100];
        in_time("the answer", allowed.recv(&mut heard)).await.unwrap();
        // It is heard from now on, and the other one is not.
        replace(&file, "127.0.0.3");
        let answered = async {
            while tokio::time::timeout(Duration::from_millis(50), denied.recv(&mut heard)).await.is_err() {
                denied.send(b"[2]").await.unwrap();
            }
        };
        in_time("the change", answered).await;
        assert!(name == "json" || heard.starts_with(b"[2]"), "{name}: what was denied was not kept");
        while allowed.try_recv(&mut heard).is_ok() {}
        allowed.send(b"[3]").await.unwrap();
        denied.send(b"[4]").await.unwrap();
        in_time("the answer", denied.recv(&mut heard)).await.unwrap();
        assert!(allowed.try_recv(&mut heard).is_err(), "{name}: it is still answered");
        if name == "exec" {
            log.has("trouble denied udp://127.0.0.3").await;
        }
    }
}

#[tokio::test]
async fn who_comes_too_often_is_sent_away_and_told_of_once() {
    let log = Log::default();
    let server = gated(&log, "tcp://127.0.0.1:0", "", "", Some(3)).await;
    let mut good = 0;
    let begun = Instant::now();
    for _ in 0..20 {
        good += usize::from(echoes(&mut from("127.0.0.2", server.address()).await).await);
    }
    let seconds = begun.elapsed().as_secs_f64();
    assert!((3..=3 + (3.0 * seconds).ceil() as usize).contains(&good), "{good} in {seconds} s");
    assert!(echoes(&mut from("127.0.0.3", server.address()).await).await, "another one is not concerned");
    let told = log.count("127.0.0.2 came more than 3 times in a second");
    assert!((1..=1 + seconds.ceil() as usize).contains(&told), "told {told} times in {seconds} s");
}

#[tokio::test]
async fn places_of_one_address_are_counted_for_clients_of_proxies_and_datagrams_too() {
    let log = Log::default();
    let mut limits = Limits::server();
    limits.max_per_peer = 1;
    let scope = log.scope(limits);
    let server = serving_in(scope.clone(), "tcp://127.0.0.1:0?accept-proxy=true", service("echo")).await;
    let client = async |line: &str| {
        let mut stream = from("127.0.0.1", server.address()).await;
        stream.write_all(line.as_bytes()).await.unwrap();
        stream
    };
    // Two of one network of IPv6 are one peer; the proxy is not counted.
    let mut first = client("PROXY TCP6 2001:db8::1 ::1 1 2\r\n").await;
    assert!(echoes(&mut first).await);
    closed(&mut client("PROXY TCP6 2001:db8::2 ::1 1 2\r\n").await).await;
    assert!(echoes(&mut client("PROXY TCP6 2001:db8:1::2 ::1 1 2\r\n").await).await);
    log.has("max-per-peer").await;
    drop(first);
    let again = async { while !echoes(&mut client("PROXY TCP6 2001:db8::3 ::1 1 2\r\n").await).await {} };
    in_time("a free place", again).await;

    let server = serving_in(scope, "udp://127.0.0.1:0", service("exec")).await;
    let to = format!("127.0.0.1:{}", server.address().port.unwrap());
    let mut heard = [0; 10];
    let peers = [UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap()];
    for peer in &peers {
        peer.connect(&to).await.unwrap();
        peer.send(b"a").await.unwrap();
    }
    in_time("the answer", peers[0].recv(&mut heard)).await.unwrap();
    peers[0].send(b"b").await.unwrap();
    in_time("the answer", peers[0].recv(&mut heard)).await.unwrap();
    assert!(peers[1].try_recv(&mut heard).is_err(), "there was one place");
}

/// A service that says who is there.
fn who() -> Arc<dyn Service> {
    let shown = |end: &Endpoint| end.net().map_or("unnamed".to_owned(), |end| end.to_string());
    let told = move |peer: &Peer| {
        let tls = peer.tls().cloned().unwrap_or_default();
        let alpn = tls.alpn.map(|alpn| String::from_utf8_lossy(&alpn).into_owned());
        let (from, to) = (shown(peer.remote()), shown(peer.local()));
        format!("{from} to {to} {:?} {:?} {:?} {:?}\n", tls.version, tls.sni, alpn, peer.name())
    };
    Arc::new(By(move |link: Link| {
        let said = told(&link.peer);
        async move {
            let mut stream = link.stream();
            stream.write_all(said.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            Ok(())
        }
    }))
}

#[tokio::test]
async fn a_connection_is_the_clients_that_its_header_names() {
    let log = Log::default();
    let folder = Folder::new();
    let v2 = |command: u8, protocol: u8, body: &[u8]| {
        [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, protocol, 0, body.len() as u8], body].concat()
    };
    let ends = [203, 0, 113, 7, 192, 0, 2, 1, 0x82, 0x35, 0x01, 0xbb];
    let server = serving_in(log.scope(Limits::server()), "tcp://127.0.0.1:0?accept-proxy=true", who()).await;
    for (header, said) in [
        (b"PROXY TCP4 203.0.113.7 192.0.2.1 33333 443\r\n".to_vec(), "203.0.113.7:33333 to 192.0.2.1:443 "),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1:"),
        (v2(0x21, 0x11, &ends), "203.0.113.7:33333 to 192.0.2.1:443 None None"),
        (v2(0x20, 0x11, &ends), "127.0.0.1:"),
        (v2(0x21, 0, b"\x02\0\x01x"), "127.0.0.1:"),
        (v2(0x21, 0x11, &[&ends[..], b"\x01\0\x02h2\x02\0\x01x"].concat()), "None Some(\"x\") Some(\"h2\") None"),
    ] {
        let mut client = Raw::to(server.address()).await;
        // Piece by piece, and with what follows at once.
        for piece in header.chunks(7) {
            client.say(piece).await;
        }
        client.say("more").await;
        let heard = client.rest().await;
        assert!(heard.contains(said), "{header:?}: {heard}, not {said}");
    }
    log.has("proxied tcp://203.0.113.7:33333 by tcp://127.0.0.1:").await;
    assert!(log.count("opened tcp://203.0.113.7:33333") > 0);

    let unix = folder.address("unix:{dir}/s?accept-proxy=true").to_string();
    let _server = serving_in(log.scope(Limits::server()), &unix, who()).await;
    let mut client = tokio::net::UnixStream::connect(folder.path().join("s")).await.unwrap();
    client.write_all(b"PROXY TCP6 2001:db8::7 ::1 1 2\r\n").await.unwrap();
    let mut heard = String::new();
    in_time("the answer", client.read_to_string(&mut heard)).await.unwrap();
    assert!(heard.starts_with("[2001:db8::7]:1 to [::1]:2 "), "{heard}");
}

#[tokio::test]
async fn a_connection_without_its_header_is_closed_and_never_guessed() {
    let log = Log::default();
    let at = "tcp://127.0.0.1:0?accept-proxy=true&timeout=300ms";
    let server = serving_in(log.scope(Limits::server()), at, service("echo")).await;
    for (said, told) in [
        ("hello\n", "does not begin with it"),
        ("\x16\x03\x01", "does not begin with it"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", "CR LF"),
        ("PROXY TCP4 ::1 ::1 1 2\r\n", "no address"),
        ("\r\n\r\n\0\r\nQUIT\n\x21\x11\x7f\x7f", "at most 4096"),
        // Nothing, or half of it, for too long.
        ("", "no answer within 300ms"),
        ("PROXY TCP4 1.2", "no answer within 300ms"),
    ] {
        let before = log.count(told);
        let mut client = Raw::to(server.address()).await;
        client.say(said).await;
        assert_eq!(client.rest().await, "", "{said:?}");
        log.has_more(told, before).await;
    }
    // One that ends in it, or before it.
    let mut client = Raw::to(server.address()).await;
    client.say("PROXY").await;
    client.0.shutdown().await.unwrap();
    log.has("the connection ended in it").await;
    drop(Raw::to(server.address()).await);
    log.has("the connection ended before it").await;
    assert_eq!(log.count("opened"), 0, "{:?}", log.0);
    still_serves_proxied(&server).await;
}

async fn still_serves_proxied(server: &Server) {
    let mut client = from("127.0.0.1", server.address()).await;
    client.write_all(b"PROXY TCP4 203.0.113.7 192.0.2.1 33333 443\r\n").await.unwrap();
    assert!(echoes(&mut client).await);
}

#[tokio::test]
async fn what_proxy_writes_accept_proxy_reads_on_every_transport() {
    let folder = Folder::new();
    let client = Peer::new(
        "tcp",
        Endpoint::Net("203.0.113.7:33333".parse().unwrap()),
        Endpoint::Net("192.0.2.1:443".parse().unwrap()),
    )
    .named("CN=Ada, O=Example")
    .inside(hullo::Tls {
        version: Some("TLSv1.3"),
        alpn: Some(b"h2"[..].into()),
        sni: Some("db.example.org".into()),
    });
    let unix = Peer::new("unix", Endpoint::Unnamed, Endpoint::Name("/tmp/x".into()));
    for at in [
        "tcp://127.0.0.1:0",
        "unix:{dir}/s",
        "tls://127.0.0.1:0",
        "ws://127.0.0.1:0",
        "wss://127.0.0.1:0",
        "http://127.0.0.1:0",
        "https://127.0.0.1:0",
    ] {
        let at = format!("{at}?accept-proxy=true");
        let limits = Limits::server();
        let scope = Scope::on_cores(limits, None, cores(), Some(folder.path().into()));
        let server = serving_in(scope, &folder.address(&at).to_string(), who()).await;
        let secure = ["tls", "wss", "https"].contains(&server.address().scheme.as_str());
        for version in ["v1", "v2"] {
            let mut to = server.address().clone();
            to.options = hullo::options::Options::default();
            to.options.set("proxy", version).unwrap();
            if secure {
                to.options.set("insecure", "true").unwrap();
            }
            let asked = async |scope: Scope| {
                let mut stream = hullo::dial(&to, &scope).await.unwrap().stream();
                stream.shutdown().await.unwrap();
                let mut heard = String::new();
                in_time("the answer", stream.read_to_string(&mut heard)).await.unwrap();
                heard
            };
            let scope = Scope::default();
            let heard = asked(scope.on_behalf_of(&client)).await;
            assert!(heard.starts_with("203.0.113.7:33333 to 192.0.2.1:443 "), "{at} {version}: {heard}");
            // Of the client's TLS a line says nothing; and where there is TLS of ours, that is what counts.
            let tls = "Some(\"TLSv1.3\") Some(\"db.example.org\") Some(\"h2\")";
            assert!(secure || heard.contains(tls) == (version == "v2"), "{at} {version}: {heard}");
            assert_eq!(heard.contains("Some(\"Ada\")"), version == "v2", "{at} {version}: {heard}");
            let own = if at.starts_with("unix") { "unnamed" } else { "127.0.0.1:" };
            for scope in [scope.clone(), scope.on_nobodys_behalf(), scope.on_behalf_of(&unix)] {
                let heard = asked(scope).await;
                assert!(heard.starts_with(own), "{at} {version}: {heard}");
            }
        }
    }
}

/// The bytes that begin a connection, which nobody interprets.
#[tokio::test]
async fn a_header_is_the_first_thing_on_the_wire() {
    let (heard, mut hears) = mpsc::unbounded_channel();
    let listen = By(move |link: Link| {
        let heard = heard.clone();
        async move {
            let mut bytes = [0; 29];
            link.stream().read_exact(&mut bytes).await.unwrap();
            heard.send(bytes).unwrap();
            Ok(())
        }
    });
    let server = serving_in(Scope::new(Limits::server(), None), "tcp://127.0.0.1:0", Arc::new(listen)).await;
    let port = server.address().port.unwrap();
    for scheme in ["tcp", "tls", "ws", "wss", "http", "https"] {
        let to = common::address(&format!("{scheme}://127.0.0.1:{port}?proxy=v2&timeout=5s"));
        let scope = Scope::default();
        let connected = hullo::ask_in(&to, Some("hello".into()), &scope, Some(Duration::from_secs(5)));
        let (first, _) = tokio::join!(in_time(scheme, hears.recv()), connected);
        let first = first.unwrap();
        assert_eq!(first[..16], *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", "{scheme}");
        assert_eq!(first[16..24], [127, 0, 0, 1, 127, 0, 0, 1], "{scheme}");
        assert_eq!(first[26..28], port.to_be_bytes(), "{scheme}");
    }
}

#[test]
fn a_list_that_cannot_be_meant_is_refused_at_the_start() {
    let folder = Folder::new();
    let file = folder.path().join("list");
    fs::write(&file, "10.0.0.0/8\n10.0.0.0/99\n").unwrap();
    for (allow, kind, said) in [
        ("10.0.0.300".to_owned(), Kind::Usage, "'10.0.0.300' is no address and no network"),
        ("10.0.0.1/8".to_owned(), Kind::Usage, "an address inside a network"),
        (format!("@{}", file.display()), Kind::File, "line 2: '10.0.0.0/99'"),
        ("@/nowhere/list".to_owned(), Kind::File, "no such file"),
    ] {
        let error = Gate::new(std::slice::from_ref(&allow), &[], None).err().unwrap();
        assert!(error.kind() == kind && error.to_string().contains(said), "{allow}: {error:?}");
    }
    assert!(Gate::new(&[], &[], None).unwrap().is_none());
}
