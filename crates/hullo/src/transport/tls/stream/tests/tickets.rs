//! Tickets of TLS 1.3, for which nobody waits: they leave with what is said first, or as soon as there is nothing to read.

use super::*;

/// A server that has just shaken hands, and what its client sees of it.
async fn shaken_hands() -> (TlsStream, Peer) {
    let (stream, peer) = served().await;
    peer.socket.set_nonblocking(true).unwrap();
    (stream, peer)
}

/// What has come, as the other end's system has it, without waiting: a write on loopback has arrived when it returns.
fn came(peer: &mut Peer) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 16];
    match peer.socket.read(&mut bytes) {
        Ok(n) => bytes.truncate(n),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            bytes.clear();
        }
    }
    bytes
}

/// How many tickets the client has got, and what else it was told.
fn heard(peer: &mut Peer, mut bytes: &[u8]) -> (u32, Vec<u8>) {
    while !bytes.is_empty() {
        peer.tls.read_tls(&mut bytes).unwrap();
        peer.tls.process_new_packets().unwrap();
    }
    let mut data = Vec::new();
    // It goes on until there is no more for now, which is an error.
    let _ = peer.tls.reader().read_to_end(&mut data);
    let Connection::Client(client) = &peer.tls else { unreachable!() };
    (client.tls13_tickets_received(), data)
}

#[tokio::test]
async fn they_leave_with_what_is_said_first() {
    let (mut stream, mut peer) = shaken_hands().await;
    assert_eq!(came(&mut peer), b"");
    stream.write_all(b"first").await.unwrap();
    let bytes = came(&mut peer);
    assert_eq!(heard(&mut peer, &bytes), (2, b"first".to_vec()));
    stream.write_all(b"second").await.unwrap();
    let bytes = came(&mut peer);
    assert_eq!(heard(&mut peer, &bytes), (2, b"second".to_vec()));
}

#[tokio::test]
async fn they_leave_when_there_is_nothing_to_read() {
    let (mut stream, mut peer) = shaken_hands().await;
    drain(&mut stream, 99, &mut Vec::new());
    let bytes = came(&mut peer);
    assert_eq!(heard(&mut peer, &bytes), (2, Vec::new()));
    assert_eq!(stream.owed.held(), 0, "something is held of what is idle");
}

#[tokio::test]
async fn they_leave_when_asked_to_and_before_the_farewell() {
    let (mut stream, mut peer) = shaken_hands().await;
    stream.flush().await.unwrap();
    let bytes = came(&mut peer);
    assert_eq!(heard(&mut peer, &bytes), (2, Vec::new()));

    let (mut stream, mut peer) = shaken_hands().await;
    stream.shutdown().await.unwrap();
    let bytes = came(&mut peer);
    assert_eq!(heard(&mut peer, &bytes), (2, Vec::new()));
    assert!(peer.tls.process_new_packets().unwrap().peer_has_closed());
}
