//! Our stream against rustls' own connections, with each cipher and at either end.

use std::{
    future::poll_fn,
    io::{Read, Write},
    net::{self, Shutdown},
    sync::Arc,
    task::Waker,
};

use rand_mt::Mt64;
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
    SupportedCipherSuite,
    client::UnbufferedClientConnection,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{PrivateKeyDer, ServerName},
    server::UnbufferedServerConnection,
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{
    super::handshake::{self, Handshake},
    *,
};

mod hostile;
mod tickets;

/// The other end: a connection of rustls' own, and its socket.
struct Peer {
    tls: Connection,
    socket: net::TcpStream,
}

impl Peer {
    /// Moves records both ways until `done`, and waits for them.
    fn until(&mut self, done: impl Fn(&Connection) -> bool) {
        loop {
            while self.tls.wants_write() {
                self.tls.write_tls(&mut self.socket).unwrap();
            }
            if done(&self.tls) || self.tls.read_tls(&mut self.socket).unwrap() == 0 {
                return;
            }
            self.tls.process_new_packets().unwrap();
        }
    }

    /// The records that say `data`.
    fn records(&mut self, data: &[u8]) -> Vec<u8> {
        self.tls.writer().write_all(data).unwrap();
        self.waiting()
    }

    fn waiting(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).unwrap();
        }
        records
    }

    /// Reads `n` bytes of data.
    fn hear(&mut self, n: usize) -> Vec<u8> {
        let (mut heard, mut space) = (Vec::new(), vec![0; 1 << 14]);
        while heard.len() < n {
            match self.tls.reader().read(&mut space) {
                Ok(0) => break,
                Ok(n) => heard.extend_from_slice(&space[..n]),
                Err(_) if self.tls.read_tls(&mut self.socket).unwrap() == 0 => break,
                Err(_) => {
                    self.tls.process_new_packets().unwrap();
                }
            }
        }
        heard
    }
}

struct Configs {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

/// Both ends, with one cipher.
fn configs(suite: SupportedCipherSuite) -> Configs {
    let provider = Arc::new(CryptoProvider { cipher_suites: vec![suite], ..aws_lc_rs::default_provider() });
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let versions = [if suite.tls13().is_some() { &TLS13 } else { &TLS12 }];
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&versions).unwrap();
    let mut client = builder.with_root_certificates(roots).with_no_client_auth();
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&versions).unwrap();
    let chain = vec![made.cert.der().clone()];
    let mut server = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
    (client.enable_secret_extraction, server.enable_secret_extraction) = (true, true);
    Configs { client: Arc::new(client), server: Arc::new(server) }
}

fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

/// Two ends of a connection: ours, and one for rustls.
async fn sockets() -> (TcpStream, net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (there, here) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    let there = there.unwrap().into_std().unwrap();
    there.set_nonblocking(false).unwrap();
    let here = here.unwrap().0;
    there.set_nodelay(true).unwrap();
    here.set_nodelay(true).unwrap();
    (here, there)
}

/// Shakes hands as our end.
async fn shaken(mut here: TcpStream, configs: &Configs, as_client: bool) -> io::Result<TlsStream> {
    let stream = if as_client {
        let part = UnbufferedClientConnection::new(configs.client.clone(), name()).unwrap();
        let mut handshake = Handshake::new(part, &mut here, handshake::LONG);
        handshake.shake().await?;
        let done = handshake.done();
        TlsStream::new(here, done, true)
    } else {
        let part = UnbufferedServerConnection::new(configs.server.clone()).unwrap();
        let mut handshake = Handshake::new(part, &mut here, handshake::LONG);
        handshake.shake().await?;
        let done = handshake.done();
        TlsStream::new(here, done, false)
    };
    Ok(stream.unwrap())
}

/// rustls' own end.
fn other(configs: &Configs, as_client: bool) -> Connection {
    match as_client {
        true => ClientConnection::new(configs.client.clone(), name()).unwrap().into(),
        false => ServerConnection::new(configs.server.clone()).unwrap().into(),
    }
}

/// Our end of a connection, and rustls' own. What the other end `says` at once comes in one piece with its last word of
/// the handshake.
async fn joined(suite: SupportedCipherSuite, ours_is_client: bool, says: &[u8]) -> (TlsStream, Peer) {
    let configs = configs(suite);
    let (here, socket) = sockets().await;
    let mut peer = Peer { tls: other(&configs, !ours_is_client), socket };
    peer.tls.writer().write_all(says).unwrap();
    let peer = tokio::task::spawn_blocking(move || {
        peer.until(|tls| !tls.is_handshaking());
        peer
    });
    let stream = shaken(here, &configs, ours_is_client).await.unwrap();
    (stream, peer.await.unwrap())
}

/// Each cipher, and either end.
fn kinds() -> Vec<(SupportedCipherSuite, bool)> {
    aws_lc_rs::ALL_CIPHER_SUITES
        .iter()
        .filter(|suite| !format!("{:?}", suite.suite()).contains("RSA"))
        .flat_map(|suite| [(*suite, false), (*suite, true)])
        .collect()
}

/// TLS 1.3, and ours is the server.
async fn served() -> (TlsStream, Peer) {
    joined(aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256, false, b"").await
}

fn noise(draw: &mut Mt64, n: usize) -> Vec<u8> {
    (0..n).map(|_| draw.next_u64() as u8).collect()
}

fn below(draw: &mut Mt64, n: usize) -> usize {
    (draw.next_u64() % n as u64) as usize
}

/// Reads what there is, into buffers of that size.
fn drain(stream: &mut TlsStream, size: usize, into: &mut Vec<u8>) {
    let mut cx = Context::from_waker(Waker::noop());
    let mut space = vec![0; size];
    while let Poll::Ready(read) = scratch::poll_read(&mut cx, Pin::new(stream), &mut space) {
        let n = read.unwrap();
        assert_ne!(n, 0, "an end that nobody has said");
        into.extend_from_slice(&space[..n]);
    }
}

/// Reads what there is as soon as the runtime has heard of it.
async fn drain_all(stream: &mut TlsStream, size: usize, n: usize) -> Vec<u8> {
    let mut heard = Vec::new();
    while heard.len() < n {
        drain(stream, size, &mut heard);
        if heard.len() < n {
            let mut byte = [0];
            stream.read_exact(&mut byte).await.unwrap();
            heard.push(byte[0]);
        }
    }
    heard
}

/// Shakes hands with our end byte by byte, of which one may have a wrong bit, and nothing comes behind its flight. Whether
/// that went well at either end.
async fn dribbled(configs: Configs, ours_is_client: bool, wrong: Option<(usize, u8)>) -> [bool; 2] {
    let (here, mut socket) = sockets().await;
    let mut tls = other(&configs, !ours_is_client);
    let peer = tokio::task::spawn_blocking(move || {
        let mut said = 0;
        while tls.is_handshaking() || tls.wants_write() {
            let mut records = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut records).unwrap();
            }
            for byte in records {
                let bit = wrong.filter(|(at, _)| *at == said).map_or(0, |(_, bit)| bit);
                // Whoever has hung up has had enough.
                let _ = socket.write_all(&[byte ^ bit]);
                said += 1;
            }
            if wrong.is_some_and(|(at, _)| at < said) {
                let _ = socket.shutdown(Shutdown::Write);
            }
            let more = tls.is_handshaking();
            if more && (tls.read_tls(&mut socket).unwrap_or(0) == 0 || tls.process_new_packets().is_err()) {
                return false;
            }
        }
        true
    });
    let ours = shaken(here, &configs, ours_is_client).await.is_ok();
    [ours, peer.await.unwrap()]
}

#[tokio::test]
async fn a_handshake_may_come_byte_by_byte() {
    for (suite, ours_is_client) in kinds() {
        assert_eq!(dribbled(configs(suite), ours_is_client, None).await, [true; 2], "{suite:?}");
    }
}

#[tokio::test]
async fn a_handshake_with_a_wrong_byte_fails_in_order() {
    let mut draw = Mt64::new(6);
    let kinds = kinds();
    for round in 0..120 {
        let (suite, ours_is_client) = kinds[round % kinds.len()];
        let wrong = (below(&mut draw, 400), 1 << below(&mut draw, 8));
        // Some bits mean nothing. What matters is that it ends, and that our end does not panic.
        dribbled(configs(suite), ours_is_client, Some(wrong)).await;
    }
}

#[tokio::test]
async fn any_split_of_the_records_gives_the_same_bytes() {
    let mut draw = Mt64::new(7);
    for (suite, ours_is_client) in kinds() {
        let (mut stream, mut peer) = joined(suite, ours_is_client, b"").await;
        let mut heard = Vec::new();
        let mut said = Vec::new();
        for round in 0..24 {
            let data = {
                let n = 1 + below(&mut draw, [10, 2000, 50_000][round % 3]);
                noise(&mut draw, n)
            };
            let records = peer.records(&data);
            said.extend_from_slice(&data);
            let mut rest = records.as_slice();
            while !rest.is_empty() {
                let (piece, later) = rest.split_at(1 + below(&mut draw, rest.len()));
                peer.socket.write_all(piece).unwrap();
                tokio::task::yield_now().await;
                let size = [1, 77, 5000, 17_000, 64 << 10, 128 << 10][below(&mut draw, 6)];
                drain(&mut stream, size, &mut heard);
                rest = later;
            }
        }
        let rest = said.len() - heard.len();
        heard.extend(drain_all(&mut stream, 128 << 10, rest).await);
        assert!(heard == said, "{suite:?}, {ours_is_client}");
        assert!(stream.sealed.is_empty() && stream.opened.is_empty(), "something is held of what is idle");
    }
}

#[tokio::test]
async fn what_is_written_arrives_in_pieces_large_and_small() {
    let mut draw = Mt64::new(8);
    for (suite, ours_is_client) in kinds() {
        let (mut stream, mut peer) = joined(suite, ours_is_client, b"").await;
        let said = noise(&mut draw, 900_000);
        let all = said.len();
        let heard = tokio::task::spawn_blocking(move || peer.hear(all));
        let mut rest = said.as_slice();
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(rest.len().min(1 + below(&mut draw, 200_000)));
            let (one, two) = piece.split_at(below(&mut draw, piece.len()));
            let n = stream.write_vectored(&[IoSlice::new(one), IoSlice::new(&[]), IoSlice::new(two)]).await.unwrap();
            stream.write_all(&piece[n..]).await.unwrap();
            rest = later;
        }
        stream.flush().await.unwrap();
        assert!(heard.await.unwrap() == said, "{suite:?}, {ours_is_client}");
        assert_eq!(stream.owed.held(), 0, "something is held of what is idle");
    }
}

#[tokio::test]
async fn what_came_with_the_handshake_is_not_lost() {
    for (suite, ours_is_client) in kinds() {
        let (mut stream, _peer) = joined(suite, ours_is_client, b"early bird").await;
        assert_eq!(drain_all(&mut stream, 3, 10).await, b"early bird", "{suite:?}, {ours_is_client}");
    }
}

#[tokio::test]
async fn who_does_not_read_is_not_stored_and_misses_nothing() {
    let (mut stream, mut peer) = served().await;
    let said = noise(&mut Mt64::new(9), 16 << 20);
    let mut taken = 0;
    let mut cx = Context::from_waker(Waker::noop());
    // Each attempt is given up, and what was taken stays so.
    while let Poll::Ready(n) = Pin::new(&mut stream).poll_write(&mut cx, &said[taken..]) {
        taken += n.unwrap();
        // The runtime learns only between tasks that the socket is full.
        tokio::task::yield_now().await;
    }
    assert!(taken < said.len(), "the kernel took everything");
    let held = stream.owed.held();
    assert!((1..=BATCH / CARRIED * FULL + 100).contains(&held), "{held} bytes are held");
    let all = said.len();
    let heard = tokio::task::spawn_blocking(move || peer.hear(all));
    stream.write_all(&said[taken..]).await.unwrap();
    stream.flush().await.unwrap();
    assert!(heard.await.unwrap() == said);
}

#[tokio::test]
async fn either_end_may_close_first() {
    for (suite, ours_is_client) in kinds() {
        let (mut stream, mut peer) = joined(suite, ours_is_client, b"").await;
        peer.tls.send_close_notify();
        let farewell = peer.waiting();
        peer.socket.write_all(&farewell).unwrap();
        assert_eq!(stream.read(&mut [0; 9]).await.unwrap(), 0, "{suite:?}");
        stream.write_all(b"late").await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(peer.hear(4), b"late", "{suite:?}");

        let (mut stream, mut peer) = joined(suite, ours_is_client, b"").await;
        stream.write_all(b"last").await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(stream.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(peer.hear(4), b"last");
        peer.until(|_| false);
        assert!(peer.tls.process_new_packets().unwrap().peer_has_closed());
        let late = peer.records(b"late");
        peer.socket.write_all(&late).unwrap();
        assert_eq!(drain_all(&mut stream, 99, 4).await, b"late");
    }
}

#[tokio::test]
async fn an_end_without_a_farewell_is_a_cut_to_a_client() {
    for (suite, ours_is_client) in kinds() {
        for missing in [0, 3] {
            let (mut stream, mut peer) = joined(suite, ours_is_client, b"").await;
            let mut records = peer.records(b"whole");
            let last = peer.records(b"half a record");
            records.extend(&last[..(last.len() - missing) * missing.min(1)]);
            peer.socket.write_all(&records).unwrap();
            peer.socket.shutdown(Shutdown::Write).unwrap();
            stream.read_exact(&mut [0; 5]).await.unwrap();
            let read = stream.read(&mut [0; 99]).await.map_err(|error| Error::io("", error).kind());
            // Half a record is none to a server either.
            let is_cut = ours_is_client || missing > 0;
            assert_eq!(read, if is_cut { Err(Kind::Cut) } else { Ok(0) }, "{suite:?}");
        }
    }
}

/// What our end makes of these bytes, and what it says to them.
async fn refused(spoil: impl Fn(Vec<u8>) -> Vec<u8>) -> Option<AlertDescription> {
    let (mut stream, mut peer) = served().await;
    let mut records = peer.records(b"good");
    records.extend(spoil(peer.records(b"bad")));
    peer.socket.write_all(&records).unwrap();
    // What was good is passed on first.
    let mut good = [0; 4];
    stream.read_exact(&mut good).await.unwrap();
    assert_eq!(&good, b"good");
    let error = stream.read(&mut [0; 99]).await.map_err(|error| Error::io("", error).kind());
    assert_eq!(error, Err(Kind::Tls));
    assert_eq!(stream.read(&mut [0; 99]).await.map_err(|error| Error::io("", error).kind()), Err(Kind::Tls));
    stream.write(b"x").await.unwrap_err();
    peer.tls.read_tls(&mut peer.socket).unwrap();
    match peer.tls.process_new_packets() {
        Err(Rustls::AlertReceived(alert)) => Some(alert),
        _ => None,
    }
}

#[tokio::test]
async fn what_is_not_as_it_should_be_is_refused() {
    let last = |mut records: Vec<u8>| {
        *records.last_mut().unwrap() ^= 1;
        records
    };
    assert_eq!(refused(last).await, Some(AlertDescription::BadRecordMac));
    assert_eq!(refused(|_| b"\x14\x03\x03\x00\x01\x01".to_vec()).await, Some(AlertDescription::UnexpectedMessage));
    assert_eq!(refused(|_| b"\x17\x03\x03\xff\xff".to_vec()).await, Some(AlertDescription::RecordOverflow));
    assert_eq!(refused(|_| b"\x17\x03\x03\x41\x01".to_vec()).await, Some(AlertDescription::RecordOverflow));
    assert_eq!(refused(|_| b"GET / HTTP/1.1\r\n".to_vec()).await, Some(AlertDescription::DecodeError));
    assert_eq!(refused(|_| b"\x17\x03\x03\x00\x03abc".to_vec()).await, Some(AlertDescription::BadRecordMac));
}

#[tokio::test]
async fn keys_are_changed_by_either_end() {
    for (suite, ours_is_client) in kinds().into_iter().filter(|(suite, _)| suite.tls13().is_some()) {
        let (mut stream, mut peer) = joined(suite, ours_is_client, b"").await;
        for round in 0..100 {
            // Two at once are answered once.
            for _ in 0..1 + round % 2 {
                peer.tls.refresh_traffic_keys().unwrap();
            }
            // Ours is worn out by then.
            stream.conversation.wear_out(0);
            let records = peer.records(b"ping");
            peer.socket.write_all(&records).unwrap();
            assert_eq!(drain_all(&mut stream, 1 << 17, 4).await, b"ping");
            stream.write_all(b"pong").await.unwrap();
            assert_eq!(peer.hear(4), b"pong");
        }
    }
}

#[tokio::test]
async fn who_only_changes_keys_is_refused() {
    let (mut stream, mut peer) = served().await;
    for _ in 0..40 {
        peer.tls.refresh_traffic_keys().unwrap();
    }
    let records = peer.waiting();
    peer.socket.write_all(&records).unwrap();
    let error = stream.read(&mut [0; 99]).await.map_err(|error| Error::io("", error).kind());
    assert_eq!(error, Err(Kind::Tls));
    assert!(stream.owed.held() < 999, "each was answered");
}

#[tokio::test]
async fn a_worn_out_key_of_tls_1_2_ends_the_conversation() {
    let (mut stream, mut peer) =
        joined(aws_lc_rs::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, false, b"").await;
    stream.conversation.wear_out(0);
    assert!(stream.write(b"x").await.is_err());
    assert_eq!(peer.hear(1), b"");
    assert!(peer.tls.process_new_packets().unwrap().peer_has_closed());
}

#[tokio::test]
async fn a_reader_that_is_given_up_has_taken_nothing() {
    let (mut stream, mut peer) = served().await;
    let records = peer.records(b"whole");
    let (one, two) = records.split_at(9);
    peer.socket.write_all(one).unwrap();
    tokio::task::yield_now().await;
    let mut space = [0; 99];
    poll_fn(|cx| {
        assert!(scratch::poll_read(cx, Pin::new(&mut stream), &mut space).is_pending());
        Poll::Ready(())
    })
    .await;
    peer.socket.write_all(two).unwrap();
    assert_eq!(drain_all(&mut stream, 99, 5).await, b"whole");
}
