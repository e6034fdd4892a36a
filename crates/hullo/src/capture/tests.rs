//! Captures that are made here, packet by packet: what a kernel sends, and what goes wrong with it.

use std::fs;

use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::*;
use crate::traffic::Way::{Down, Up};

const CLIENT: ([u8; 4], u16) = ([192, 0, 2, 7], 40_001);
const SERVER: ([u8; 4], u16) = ([192, 0, 2, 1], 7007);

/// A classic capture.
fn pcap(link: u32, packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, link] {
        file.extend(word.to_le_bytes());
    }
    for (at, packet) in packets.iter().enumerate() {
        let length = packet.len() as u32;
        for word in [1_000_000_000, at as u32 * 1000, length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(packet);
    }
    file
}

/// A segment: its number is counted from the first byte, and so is what it acknowledges.
#[derive(Clone, Copy, Debug)]
struct Sent<'a> {
    way: Way,
    at: u32,
    bytes: &'a [u8],
    acknowledges: u32,
    flags: &'a str,
}

const fn sent<'a>(way: Way, at: u32, bytes: &'a [u8], acknowledges: u32, flags: &'a str) -> Sent<'a> {
    Sent { way, at, bytes, acknowledges, flags }
}

/// Its packet, where the first byte of either side has that number.
fn packet(sent: &Sent<'_>, first: u32) -> Vec<u8> {
    let ((from, to), syn) = match sent.way {
        Up => ((CLIENT, SERVER), sent.flags.contains('s')),
        Down => ((SERVER, CLIENT), sent.flags.contains('s')),
    };
    let sequence = first.wrapping_add(sent.at).wrapping_sub(u32::from(syn));
    let mut builder = PacketBuilder::ipv4(from.0, to.0, 64).tcp(from.1, to.1, sequence, 1024);
    for flag in sent.flags.chars() {
        builder = match flag {
            's' => builder.syn(),
            'f' => builder.fin(),
            'r' => builder.rst(),
            'a' => builder.ack(first.wrapping_add(sent.acknowledges)),
            other => panic!("no flag is called {other}"),
        };
    }
    let mut packet = Vec::new();
    builder.write_to_vec(&mut packet, sent.bytes).unwrap();
    packet
}

const HANDSHAKE: [Sent<'static>; 3] = [sent(Up, 0, b"", 0, "s"), sent(Down, 0, b"", 0, "sa"), sent(Up, 0, b"", 0, "a")];

/// What is read of a connection, whose numbers come around in the middle of it.
fn captured(all: &[Sent<'_>]) -> (Vec<u8>, Capture) {
    let packets: Vec<_> = all.iter().map(|sent| packet(sent, u32::MAX - 20)).collect();
    let file = pcap(101, &packets);
    let capture = read(&file[..]).unwrap();
    (file, capture)
}

fn said(file: &[u8], conversation: &Conversation, way: Way) -> Vec<u8> {
    let bytes = |piece: Piece| file[piece.offset as usize..][..piece.length as usize].to_vec();
    conversation.pieces(way).flat_map(bytes).collect()
}

#[test]
fn a_connection_is_put_together() {
    let rest = [
        sent(Up, 0, b"hello, world, and all who are in it", 0, "a"),
        sent(Down, 0, b"yes?", 35, "a"),
        sent(Up, 35, b" again", 4, "af"),
        sent(Down, 4, b"bye", 42, "af"),
        sent(Up, 42, b"", 8, "a"),
    ];
    let (file, capture) = captured(&[&HANDSHAKE[..], &rest].concat());
    let conversation = &capture.conversations[0];
    assert_eq!((conversation.number, &conversation.fault, conversation.messages), (1, &None, false));
    assert_eq!(conversation.client.to_string(), "192.0.2.7:40001");
    assert_eq!(said(&file, conversation, Up), b"hello, world, and all who are in it again");
    assert_eq!(said(&file, conversation, Down), b"yes?bye");
    let order: Vec<_> = conversation.events.iter().map(|event| (event.way, event.what == What::End)).collect();
    assert_eq!(order, [(Up, false), (Down, false), (Up, false), (Up, true), (Down, false), (Down, true)]);
    assert_eq!(conversation.events[1].at, Duration::from_millis(4));
}

#[test]
fn what_comes_twice_or_late_is_put_right() {
    let rest = [
        sent(Up, 4, b"efgh", 0, "a"),
        sent(Up, 12, b"m", 0, "af"),
        sent(Up, 0, b"abcd", 0, "a"),
        sent(Up, 0, b"abcd", 0, "a"),
        sent(Up, 2, b"cdefghij", 0, "a"),
        // A probe whether the other end is still there repeats the last byte.
        sent(Up, 9, b"j", 0, "a"),
        sent(Up, 8, b"ijklm", 0, "a"),
        sent(Down, 0, b"", 14, "a"),
    ];
    let (file, capture) = captured(&[&HANDSHAKE[..], &rest].concat());
    assert_eq!(capture.conversations[0].fault, None);
    assert_eq!(said(&file, &capture.conversations[0], Up), b"abcdefghijklm");
    assert_eq!(capture.conversations[0].events.last().unwrap().what, What::End);
}

#[test]
fn what_is_missing_is_said() {
    let opened = &HANDSHAKE[..];
    for (rest, fault) in [
        (
            &[sent(Up, 0, b"ab", 0, "a"), sent(Up, 5, b"f", 0, "a")][..],
            "of what its client said 3 bytes are missing at byte 2",
        ),
        (
            &[sent(Up, 0, b"ab", 0, "a"), sent(Down, 0, b"", 7, "a")],
            "of what its client said 5 bytes are missing at its end, after 2",
        ),
        (&[sent(Up, 0, b"ab", 10, "a")], "of what its server said 10 bytes are missing at its end, after 0"),
    ] {
        let (_, capture) = captured(&[opened, rest].concat());
        assert_eq!(capture.conversations[0].fault.as_deref(), Some(fault));
    }
    let (_, capture) = captured(&[sent(Up, 0, b"ab", 0, "a")]);
    assert_eq!(capture.conversations[0].fault.as_deref(), Some("its beginning is not in the capture"));
    let short = packet(&sent(Up, 0, b"abcdef", 0, "a"), 1);
    let capture = read(&pcap(101, &[packet(&HANDSHAKE[0], 1), short[..short.len() - 2].to_vec()])[..]).unwrap();
    assert_eq!(capture.conversations[0].fault.as_deref(), Some("packet 2 was not captured in its whole length"));
}

#[test]
fn a_port_that_is_used_again_is_another_conversation() {
    let talk = [&HANDSHAKE[..], &[sent(Up, 0, b"one", 0, "a"), sent(Down, 0, b"", 3, "ar")]].concat();
    let mut packets: Vec<_> = talk.iter().map(|sent| packet(sent, 1000)).collect();
    packets.extend(talk.iter().map(|sent| packet(sent, 90_000)));
    // The handshake's first packet again is no third one.
    packets.push(packet(&talk[0], 90_000));
    let capture = read(&pcap(101, &packets)[..]).unwrap();
    let lengths: Vec<_> = capture.conversations.iter().map(|conversation| conversation.bytes(Up)).collect();
    assert_eq!(lengths, [3, 3]);
    assert!(capture.conversations.iter().all(|one| one.events.last().unwrap().what == What::Reset));
}

#[test]
fn every_kind_of_link_is_read() {
    let mut ip = Vec::new();
    PacketBuilder::ipv6([1; 16], [2; 16], 64).udp(5000, 6000).write_to_vec(&mut ip, b"hello").unwrap();
    let with = |head: &[u8]| [head, &ip].concat();
    let ethernet = [[0; 12].as_slice(), &[0x86, 0xdd]].concat();
    let tagged = [[0; 12].as_slice(), &[0x81, 0, 0, 7, 0x86, 0xdd]].concat();
    let cooked = [[0; 14].as_slice(), &[0x86, 0xdd]].concat();
    let cooked_again = [&[0x86, 0xdd], [0; 18].as_slice()].concat();
    for (link, packet) in [
        (101, ip.clone()),
        (12, ip.clone()),
        (229, ip.clone()),
        (0, with(&[10, 0, 0, 0])),
        (108, with(&[0, 0, 0, 24])),
        (1, with(&ethernet)),
        (1, with(&tagged)),
        (113, with(&cooked)),
        (276, with(&cooked_again)),
    ] {
        // Ethernet fills up what is too short.
        let padded = [&packet[..], &[0; 9]].concat();
        let file = pcap(link, &[packet, padded]);
        let capture = read(&file[..]).unwrap_or_else(|error| panic!("{link}: {error}"));
        assert_eq!(capture.conversations.len(), 1, "{link}");
        assert!(capture.conversations[0].messages);
        assert_eq!(said(&file, &capture.conversations[0], Up), b"hellohello", "{link}");
    }
}

#[test]
fn fragments_are_told() {
    let mut packet = Vec::new();
    PacketBuilder::ipv4(CLIENT.0, SERVER.0, 64).udp(5000, 6000).write_to_vec(&mut packet, b"hello").unwrap();
    let mut fragment = packet.clone();
    // More of it follows.
    fragment[6] = 0x20;
    let capture = read(&pcap(101, &[packet, fragment])[..]).unwrap();
    let fault = capture.conversations[0].fault.as_deref().unwrap();
    assert!(fault.contains("fragments"), "{fault}");
}

#[test]
fn what_is_no_capture_is_refused() {
    let known = read(&pcap(101, &[])[..]).unwrap();
    assert!(known.conversations.is_empty());
    let other = |link| read(&pcap(link, &[vec![0; 60]])[..]).unwrap_err();
    assert!(other(105).to_string().contains("a kind of link that is not known, number 105"), "{}", other(105));
    for (bytes, why) in [(&b""[..], "empty"), (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "neither pcapng nor pcap")] {
        let error = read(bytes).unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol);
        assert!(error.to_string().contains(why), "{error}");
    }
}

/// Fails where something was found that is not in the file.
#[track_caller]
fn lies_within(file: &[u8]) {
    let Ok(capture) = read(file) else { return };
    for piece in capture.conversations.iter().flat_map(|one| one.pieces(Up).chain(one.pieces(Down))) {
        assert!(piece.offset + u64::from(piece.length) <= file.len() as u64, "{piece:?}");
    }
}

proptest! {
    /// However a stream is cut into segments, repeated and mixed up, it is the same stream.
    #[test]
    fn any_order_of_any_segments_is_the_same_stream(
        length in 1_usize..200,
        cuts in proptest::collection::vec((0_usize..200, 1_usize..60), 0..30),
        turns in proptest::collection::vec(any::<prop::sample::Index>(), 60),
    ) {
        let stream: Vec<u8> = (0..length).map(|at| at as u8).collect();
        let whole = (0..length).step_by(17).map(|at| (at, 17));
        let mut segments: Vec<_> = cuts.into_iter().filter(|(at, _)| *at < length).chain(whole).collect();
        for (at, turn) in turns.iter().enumerate() {
            let (one, other) = (at % segments.len(), turn.index(segments.len()));
            segments.swap(one, other);
        }
        let segments = segments.into_iter().map(|(at, size)| {
            let end = length.min(at + size);
            sent(Up, at as u32, &stream[at..end], 0, if end == length { "af" } else { "a" })
        });
        let all: Vec<_> = HANDSHAKE.into_iter().chain(segments).collect();
        let (file, capture) = captured(&all);
        prop_assert_eq!(&capture.conversations[0].fault, &None);
        prop_assert_eq!(said(&file, &capture.conversations[0], Up), stream);
        prop_assert_eq!(capture.conversations[0].events.last().map(|event| event.what), Some(What::End));
    }

    /// A capture of the corpus of which some bytes are others is read or refused, and nothing lies outside of it.
    #[test]
    fn a_capture_with_wrong_bytes_is_read_or_refused(
        which in any::<prop::sample::Index>(),
        wrong in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        end in any::<prop::sample::Index>(),
    ) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/capture");
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let mut file = fs::read(&files[which.index(files.len())]).unwrap();
        for (at, byte) in wrong {
            let at = at.index(file.len());
            file[at] = byte;
        }
        file.truncate(file.len().min(end.index(2 * file.len())));
        lies_within(&file);
    }

    /// Any bytes at the end of a good file are read or refused, and never more than there are.
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), link in 0_u32..300) {
        let mut file = pcap(link, &[]);
        file.extend(bytes);
        lies_within(&file);
    }
}
