//! An other end that does what none should: it has our own stream, and says with it whatever is asked for.

use std::time::Duration;

use rustls::ContentType;
use tokio::time::timeout;

use super::*;

const TLS12_SUITE: SupportedCipherSuite = aws_lc_rs::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
const TLS13_SUITE: SupportedCipherSuite = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;

/// Never near.
const DEADLINE: Duration = Duration::from_secs(20);

/// A server and a client, both of them ours.
async fn both(suite: SupportedCipherSuite) -> (TlsStream, TlsStream) {
    let configs = configs(suite);
    let (here, there) = sockets().await;
    there.set_nonblocking(true).unwrap();
    let there = TcpStream::from_std(there).unwrap();
    let (server, client) = tokio::join!(shaken(here, &configs, false), shaken(there, &configs, true));
    (server.unwrap(), client.unwrap())
}

/// Sends one record for each of the pieces.
async fn say(stream: &mut TlsStream, pieces: &[(ContentType, &[u8])]) {
    let records: Vec<_> =
        pieces.iter().flat_map(|(kind, piece)| stream.conversation.say(*kind, piece).unwrap()).collect();
    stream.socket.write_all(&records).await.unwrap();
}

async fn read(stream: &mut TlsStream) -> Result<usize, Kind> {
    let read = timeout(DEADLINE, stream.read(&mut [0; 99])).await.unwrap();
    read.map_err(|error| Error::io("", error).kind())
}

#[tokio::test]
async fn empty_records_are_no_data_and_changes_of_keys_neither() {
    for between in [&[(ContentType::ApplicationData, b"".as_slice())][..], &[]] {
        let (mut server, mut client) = both(TLS13_SUITE).await;
        for _ in 0..40 {
            say(&mut client, &[(ContentType::Handshake, &[24, 0, 0, 1, 0])]).await;
            say(&mut client, between).await;
        }
        client.socket.shutdown().await.unwrap();
        assert_eq!(read(&mut server).await, Err(Kind::Tls), "{} between", between.len());
    }
    let (mut server, mut client) = both(TLS13_SUITE).await;
    for _ in 0..40 {
        say(&mut client, &[(ContentType::Handshake, &[24, 0, 0, 1, 0]), (ContentType::ApplicationData, b"x")]).await;
    }
    assert_eq!(drain_all(&mut server, 99, 40).await, [b'x'; 40]);
}

#[tokio::test]
async fn an_end_amid_a_message_is_a_cut_to_a_server_too() {
    for (message, end) in [(&[24, 0, 0][..], Err(Kind::Cut)), (&[24, 0, 0, 1, 0], Ok(0))] {
        let (mut server, mut client) = both(TLS13_SUITE).await;
        say(&mut client, &[(ContentType::Handshake, message)]).await;
        client.socket.shutdown().await.unwrap();
        assert_eq!(read(&mut server).await, end, "{message:?}");
    }
}

#[tokio::test]
async fn who_only_reads_still_answers() {
    let (mut server, mut client) = both(TLS12_SUITE).await;
    say(&mut client, &[(ContentType::Handshake, &[1, 0, 0, 0]), (ContentType::ApplicationData, b"x")]).await;
    assert_eq!(read(&mut server).await, Ok(1));
    let mut record = [0; 99];
    timeout(DEADLINE, client.socket.read(&mut record)).await.unwrap().unwrap();
    assert_eq!(ContentType::from(record[0]), ContentType::Alert);
    assert!(server.owed.is_empty());
}

#[tokio::test]
async fn messages_are_judged_by_their_beginnings() {
    use AlertDescription::{DecodeError, IllegalParameter, UnexpectedMessage};
    for (suite, message, answer) in [
        (TLS13_SUITE, &[99, 0, 255, 255][..], UnexpectedMessage),
        (TLS13_SUITE, &[4, 0, 1, 0], UnexpectedMessage),
        (TLS13_SUITE, &[24, 0, 0, 2], DecodeError),
        (TLS13_SUITE, &[24, 0, 0, 0], DecodeError),
        (TLS13_SUITE, &[24, 0, 0, 1, 2], IllegalParameter),
        (TLS12_SUITE, &[0, 0, 0, 0], UnexpectedMessage),
        (TLS12_SUITE, &[1, 1, 0, 0], DecodeError),
    ] {
        let (mut server, mut client) = both(suite).await;
        say(&mut client, &[(ContentType::Handshake, message)]).await;
        assert_eq!(read(&mut server).await, Err(Kind::Tls), "{message:?}");
        assert_eq!(read(&mut client).await, Err(Kind::Tls), "{message:?}");
        let heard = client.failed.as_deref().cloned();
        assert_eq!(heard, Some(Rustls::AlertReceived(answer)), "{message:?}");
    }
    let (mut server, mut client) = both(TLS12_SUITE).await;
    say(&mut server, &[(ContentType::Handshake, &[0, 0, 0, 1])]).await;
    assert_eq!(read(&mut client).await, Err(Kind::Tls));
}

#[tokio::test]
async fn messages_and_alerts_are_whole_and_alone() {
    use ContentType::{Alert, ApplicationData, Handshake};
    type Pieces = &'static [(ContentType, &'static [u8])];
    let cases: [(Pieces, _); 4] = [
        (&[(Handshake, &[24, 0, 0]), (ApplicationData, b"x")], AlertDescription::UnexpectedMessage),
        (&[(Handshake, &[24, 0, 0, 1, 0, 24])], AlertDescription::UnexpectedMessage),
        (&[(Alert, &[1])], AlertDescription::DecodeError),
        (&[(Alert, &[1, 0, 0])], AlertDescription::DecodeError),
    ];
    for (pieces, answer) in cases {
        let (mut server, mut client) = both(TLS13_SUITE).await;
        say(&mut client, pieces).await;
        assert_eq!(read(&mut server).await, Err(Kind::Tls), "{pieces:?}");
        assert_eq!(read(&mut client).await, Err(Kind::Tls), "{pieces:?}");
        assert_eq!(client.failed.as_deref().cloned(), Some(Rustls::AlertReceived(answer)), "{pieces:?}");
    }
}

#[tokio::test]
async fn only_data_may_be_empty() {
    for suite in [TLS12_SUITE, TLS13_SUITE] {
        for kind in [ContentType::Handshake, ContentType::Alert] {
            let (mut server, mut client) = both(suite).await;
            say(&mut client, &[(ContentType::ApplicationData, b""), (kind, b"")]).await;
            assert_eq!(read(&mut server).await, Err(Kind::Tls), "{kind:?}");
            assert_eq!(read(&mut client).await, Err(Kind::Tls), "{kind:?}");
            let heard = client.failed.as_deref().cloned();
            assert_eq!(heard, Some(Rustls::AlertReceived(AlertDescription::UnexpectedMessage)), "{kind:?}");
        }
    }
}

#[tokio::test]
async fn a_message_may_come_byte_by_byte_and_is_not_held_afterwards() {
    let (mut server, mut client) = both(TLS12_SUITE).await;
    for byte in [1, 0, 0, 3, 7, 8, 9] {
        say(&mut client, &[(ContentType::Handshake, &[byte])]).await;
    }
    say(&mut client, &[(ContentType::ApplicationData, b"x")]).await;
    assert_eq!(read(&mut server).await, Ok(1));
    assert_eq!(server.conversation.held(), 0);
}

#[tokio::test]
async fn nothing_is_held_of_what_lies_behind_the_end() {
    let junk = [0x17; 12_000];
    for (last, size) in [([1, 0], 99), ([1, 0], 1 << 17), ([2, 80], 99), ([2, 80], 1 << 17)] {
        let (mut server, mut client) = both(TLS13_SUITE).await;
        let mut records = client.conversation.say(ContentType::Alert, &last).unwrap();
        records.extend(junk);
        client.socket.write_all(&records).await.unwrap();
        let read = timeout(DEADLINE, server.read(&mut vec![0; size])).await.unwrap();
        assert_eq!(read.is_ok(), last[1] == 0, "{last:?}");
        assert_eq!(server.sealed.capacity(), 0, "{last:?}, {size}");
    }
}

#[tokio::test]
async fn what_was_taken_is_said_before_what_failed() {
    let (mut server, mut client) = both(TLS12_SUITE).await;
    server.conversation.wear_out(3);
    assert_eq!(server.write(&[b'x'; 3 * CARRIED]).await.unwrap(), 2 * CARRIED);
    assert_eq!(server.write(b"x").await.map_err(|error| Error::io("", error).kind()), Err(Kind::Tls));
    client.read_exact(&mut [0; 2 * CARRIED]).await.unwrap();
    assert_eq!(read(&mut client).await, Ok(0));
}

#[tokio::test]
async fn a_socket_that_fails_is_told_once_more_has_been_taken() {
    let (mut server, client) = both(TLS13_SUITE).await;
    // What nobody reads makes the kernel reset the connection.
    server.socket.write_all(b"unread").await.unwrap();
    client.socket.readable().await.unwrap();
    drop(client);
    timeout(DEADLINE, server.socket.readable()).await.unwrap().unwrap();
    assert_eq!(server.write(b"taken").await.unwrap(), 5);
    server.flush().await.unwrap_err();
}

#[tokio::test]
async fn a_record_that_comes_byte_by_byte_is_gathered_where_it_is_held() {
    let (mut server, mut client) = both(TLS13_SUITE).await;
    let record = client.conversation.say(ContentType::ApplicationData, &[7; 3000]).unwrap();
    let (mut heard, mut places) = (Vec::new(), Vec::new());
    for byte in record {
        client.socket.write_all(&[byte]).await.unwrap();
        server.socket.readable().await.unwrap();
        drain(&mut server, 1 << (places.len() % 2 * 17), &mut heard);
        places.push(server.sealed.as_ptr());
    }
    places.dedup();
    assert_eq!(drain_all(&mut server, 5000, 3000 - heard.len()).await.len() + heard.len(), 3000);
    assert!(places.len() < 20, "it was moved {} times", places.len());
}

#[tokio::test]
async fn a_handshake_is_not_held_without_end() {
    let configs = configs(TLS13_SUITE);
    let (mut here, mut there) = sockets().await;
    let part = UnbufferedServerConnection::new(configs.server.clone()).unwrap();
    let mut handshake = Handshake::new(part, &mut here, handshake::SHORT);
    let flood = std::thread::spawn(move || {
        there.write_all(&[22, 3, 1, 64, 0, 1, 0, 255, 255]).unwrap();
        // It may be hung up at any time.
        let _ = there.write_all(&vec![0; (16 << 10) - 4]);
        let _ = there.write_all(&[22, 3, 1, 64, 0]);
        let _ = there.write_all(&vec![0; 16 << 10]);
        there
    });
    let shaken = timeout(DEADLINE, handshake.shake()).await.unwrap();
    assert_eq!(shaken.unwrap_err().kind(), ErrorKind::InvalidData);
    let held = handshake.done().came.capacity();
    assert!(held <= handshake::SHORT + (4 << 10), "{held} bytes");
    drop(here);
    flood.join().unwrap();
}

#[tokio::test]
async fn who_does_not_read_does_not_keep_the_error_of_a_handshake() {
    let configs = configs(TLS13_SUITE);
    let (mut here, mut there) = sockets().await;
    // The kernel takes no more.
    while let Ok(Ok(_)) = timeout(Duration::from_millis(200), here.write(&[0; 1 << 16])).await {}
    there.write_all(b"\x16\x03\x01\x00\x05wrong").unwrap();
    let part = UnbufferedServerConnection::new(configs.server.clone()).unwrap();
    let mut handshake = Handshake::new(part, &mut here, handshake::SHORT);
    let shaken = timeout(DEADLINE, handshake.shake()).await.unwrap();
    assert_eq!(shaken.unwrap_err().kind(), ErrorKind::InvalidData);
}
