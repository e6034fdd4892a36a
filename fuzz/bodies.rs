//! What each fuzz target does with its bytes. `cargo test` runs the same over the corpus, without libFuzzer.
//!
//! That nothing panics is the least of it: each asserts what the parser promises.

use bytes::BytesMut;
use hullo::{
    Address, Message,
    framing::{FRAMINGS, Framing},
    http1::{Chunks, Piece, Search, read},
    reliable::{Connection, packet::Packet},
    websocket::{Reader, Received, Role, accept, write},
};

/// A target: its name, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target, by the name of its folder in `fuzz/corpus`.
pub const TARGETS: &[Target] = &[
    ("address", address),
    ("chunked", chunked),
    ("framing", framing),
    ("head", head),
    ("packet", packet),
    ("websocket", websocket),
];

/// What is read as an address is written as one that reads the same.
pub fn address(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(address) = text.parse::<Address>() {
        let written = address.to_string();
        assert_eq!(written.parse().ok(), Some(address.clone()), "{text:?} is written as {written:?}");
        let _ = (address.bare().to_string(), address.target(), address.authority());
    }
    if let Ok(resource) = Address::resource(text) {
        let written = resource.to_string();
        assert_eq!(Address::resource(&written).ok(), Some(resource), "{text:?} is written as {written:?}");
    }
}

/// The first byte chooses how the rest is cut: the cut makes no difference to the data, the trailers and the verdict.
pub fn chunked(bytes: &[u8]) {
    let &[how, ref rest @ ..] = bytes else { return };
    assert_eq!(chunks(rest, rest.len().max(1)), chunks(rest, usize::from(how & 0x1f) + 1));
}

/// The data, how many trailers there were at the end, if it came, and what stood in the way of it.
fn chunks(bytes: &[u8], cut: usize) -> (Vec<u8>, Option<usize>, Option<&'static str>) {
    let (mut chunks, mut buf, mut data) = (Chunks::default(), BytesMut::new(), Vec::new());
    for piece in bytes.chunks(cut) {
        buf.extend_from_slice(piece);
        loop {
            match chunks.read(&mut buf) {
                Ok(Some(Piece::Data(some))) => data.extend_from_slice(&some),
                Ok(Some(Piece::End(trailers))) => return (data, Some(trailers.len()), None),
                Ok(None) => break,
                Err(why) => return (data, None, Some(why)),
            }
        }
    }
    (data, None, None)
}

/// The first byte chooses how the rest is cut: the cut makes no difference to where the head ends. What is taken for a
/// head has no control characters in its headers, and one length at most.
pub fn head(bytes: &[u8]) {
    let &[how, ref rest @ ..] = bytes else { return };
    let at_once = Search::default().end(rest);
    let (mut search, mut so_far, cut) = (Search::default(), 0, usize::from(how & 0x1f) + 1);
    let in_pieces = loop {
        so_far = rest.len().min(so_far + cut);
        match search.end(&rest[..so_far]) {
            Ok(None) if so_far < rest.len() => {}
            verdict => break verdict,
        }
    };
    assert_eq!(at_once.is_err(), in_pieces.is_err());
    let (Ok(Some(end)), Ok(Some(same))) = (at_once, in_pieces) else { return };
    assert_eq!(end, same);
    let Ok(head) = read(&rest[..end].to_vec().into()) else { return };
    let headers = head.request.headers();
    assert!(headers.values().all(|value| value.as_bytes().iter().all(|byte| *byte == b'\t' || *byte >= b' ')));
    assert!(
        headers.get_all("content-length").iter().count() + headers.get_all("transfer-encoding").iter().count() <= 1
    );
}

/// The first byte chooses the framing, the second `max` and how the rest is cut: the cut makes no difference.
pub fn framing(bytes: &[u8]) {
    let &[which, how, ref rest @ ..] = bytes else { return };
    let spec = &FRAMINGS[usize::from(which) % FRAMINGS.len()];
    let max = usize::from(how >> 4) * 8;
    let at_once = messages((spec.make)(max), rest, rest.len().max(1));
    let in_pieces = messages((spec.make)(max), rest, usize::from(how & 15) + 1);
    assert!(at_once.0.iter().all(|message| message.len() <= max), "{}: longer than {max}", spec.name);
    match spec.name {
        // It has no borders that a cut could move.
        "raw" => assert_eq!(at_once.0.concat(), in_pieces.0.concat()),
        name => assert_eq!(at_once, in_pieces, "{name}"),
    }
}

/// The messages up to the end or to an error, and whether there was one.
fn messages(mut framing: Box<dyn Framing>, bytes: &[u8], cut: usize) -> (Vec<Vec<u8>>, bool) {
    let (mut buf, mut messages) = (BytesMut::new(), Vec::new());
    for piece in bytes.chunks(cut) {
        buf.extend_from_slice(piece);
        loop {
            match framing.decode(&mut buf) {
                Ok(Some(message)) => messages.push(message.bytes.to_vec()),
                Ok(None) => break,
                Err(_) => return (messages, true),
            }
        }
    }
    loop {
        match framing.finish(&mut buf) {
            Ok(Some(message)) => messages.push(message.bytes.to_vec()),
            end => return (messages, end.is_err()),
        }
    }
}

/// What is read as a packet of a reliable stream is written as one that reads the same. And a connection takes any, in
/// the names that it and its peer have: it delivers no byte that did not come, and never answers a stranger with more than
/// 3 times what it sent.
pub fn packet(bytes: &[u8]) {
    let Some(packet) = Packet::read(bytes) else { return };
    let mut written = Vec::new();
    packet.write(&mut written);
    assert_eq!(Packet::read(&written), Some(packet.clone()));
    let now = std::time::Duration::from_secs(1);
    let mut connection = Connection::new(1, 1200, now, std::time::Duration::ZERO);
    let (mut came, mut sent) = (written.len(), Vec::new());
    connection.receive(&written, now);
    for number in 0..3 {
        connection.write(b"something");
        connection.transmit(&mut sent, now);
        written.clear();
        Packet { to: 0, number, ..packet.clone() }.write(&mut written);
        came += written.len();
        connection.receive(&written, now);
        assert!(packet.to != 0 || sent.len() <= 3 * came, "{} bytes for {came}", sent.len());
    }
    let data = packet.data.map_or(&[][..], |data| data.bytes);
    let mut read = Vec::new();
    connection.read(|piece| {
        read.extend_from_slice(piece);
        piece.len()
    });
    assert!(data.starts_with(&read));
}

/// The first byte chooses the end, whether messages may be compressed, and how the rest is cut: the cut makes no difference, no message is over `max`, a text
/// is UTF-8, and what is read can be written and read again.
pub fn websocket(bytes: &[u8]) {
    const MAX: usize = 200;
    let &[how, ref rest @ ..] = bytes else { return };
    let role = if how & 0x80 == 0 { Role::Server } else { Role::Client };
    let deflate = accept("permessage-deflate").filter(|_| how & 0x40 != 0).map(|(deflate, _)| deflate);
    let reader = || Reader::new(role, MAX).inflating(deflate);
    let at_once = frames(reader(), rest, rest.len().max(1));
    let in_pieces = frames(reader(), rest, usize::from(how & 0x1f) + 1);
    assert_eq!(at_once, in_pieces);
    for received in &at_once.0 {
        if let Received::Message(message) = received {
            assert!(message.bytes.len() <= MAX, "a message of {} bytes", message.bytes.len());
            assert!(!message.text || std::str::from_utf8(&message.bytes).is_ok(), "a text that is not UTF-8");
            again(message, role);
        }
    }
}

/// All that is read up to the farewell, the end or a breach, and that breach's code.
fn frames(mut reader: Reader, bytes: &[u8], cut: usize) -> (Vec<Received>, Option<u16>) {
    let (mut buf, mut read) = (BytesMut::new(), Vec::new());
    for piece in bytes.chunks(cut) {
        buf.extend_from_slice(piece);
        loop {
            match reader.read(&mut buf) {
                Ok(Some(received)) => {
                    let farewell = matches!(received, Received::Close(..));
                    read.push(received);
                    if farewell {
                        return (read, None);
                    }
                }
                Ok(None) => break,
                Err(breach) => return (read, Some(breach.code)),
            }
        }
    }
    (read, None)
}

/// What one end writes the other reads.
fn again(message: &Message, role: Role) {
    let mut frame = BytesMut::new();
    write(message, None, (role == Role::Server).then_some([1, 2, 3, 4]), &mut frame);
    let (read, breach) = frames(Reader::new(role, message.bytes.len()), &frame, frame.len());
    assert_eq!((read, breach), (vec![Received::Message(message.clone())], None));
}
