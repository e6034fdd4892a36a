//! What holds of headers, whatever their bytes.

use proptest::prelude::*;

use super::*;

/// Reads pieces; what is left of the last piece that was looked at, with the header.
fn read(pieces: &[&[u8]]) -> Result<(Header, Vec<u8>)> {
    let mut reader = Reader::default();
    for (at, piece) in pieces.iter().enumerate() {
        if let (taken, Some(header)) = reader.read(piece)? {
            let rest = [&piece[taken..], &pieces[at + 1..].concat()].concat();
            return Ok((header, rest));
        }
    }
    Err(wrong("it is not whole"))
}

fn client(source: &str, destination: &str) -> Whose {
    Whose::Client { source: source.parse().unwrap(), destination: destination.parse().unwrap(), datagrams: false }
}

/// Version 2 with that command, protocol and rest.
fn binary(command: u8, protocol: u8, rest: &[u8]) -> Vec<u8> {
    [binary::SIGNATURE, &[command, protocol], &(rest.len() as u16).to_be_bytes(), rest].concat()
}

const ENDS: &[u8] = &[203, 0, 113, 7, 192, 0, 2, 1, 0x82, 0x35, 0x01, 0xbb];

#[test]
fn lines_are_read_as_they_are_meant() {
    for (line, whose) in [
        ("PROXY TCP4 203.0.113.7 192.0.2.1 33333 443\r\n", client("203.0.113.7:33333", "192.0.2.1:443")),
        ("PROXY TCP6 2001:db8::7 2001:DB8::1 0 65535\r\n", client("[2001:db8::7]:0", "[2001:db8::1]:65535")),
        ("PROXY UNKNOWN\r\n", Whose::Unknown),
        ("PROXY UNKNOWN whatever \u{1} stands here\r\n", Whose::Unknown),
    ] {
        let (header, rest) = read(&[line.as_bytes(), b"PROXY is not read again"]).unwrap();
        assert_eq!(
            (header.whose, header.version, &*rest),
            (whose, Version::V1, &b"PROXY is not read again"[..]),
            "{line:?}"
        );
    }
}

#[test]
fn what_is_no_line_is_refused() {
    for (line, why) in [
        ("GET / HTTP/1.1\r\n", "does not begin with it"),
        ("PROXY\r\n", "does not begin with it"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", "CR LF"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", "two addresses"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n", "two addresses"),
        ("PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n", "two addresses"),
        ("PROXY TCP4 1.2.3.04 5.6.7.8 1 2\r\n", "no address"),
        ("PROXY TCP4 ::1 ::1 1 2\r\n", "no address"),
        ("PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", "no address"),
        ("PROXY TCP6 fe80::1%1 ::1 1 2\r\n", "no address"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n", "no port"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n", "no port"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n", "no port"),
        ("PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", "none of TCP4"),
        ("PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n", "none of TCP4"),
        ("PROXY UNKNOWNX\r\n", "none of TCP4"),
    ] {
        let error = read(&[line.as_bytes()]).unwrap_err().to_string();
        assert!(error.contains(why), "{line:?}: {error}");
    }
}

#[test]
fn a_line_has_at_most_107_bytes() {
    let line = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16)).into_bytes();
    assert_eq!(read(&[&line(107)]).unwrap().0.whose, Whose::Unknown);
    assert!(read(&[&line(108)]).unwrap_err().to_string().contains("107"));
    // It is known before the line has ended.
    assert!(Reader::default().read(&line(200)[..107]).is_err());
}

#[test]
fn what_cannot_become_a_header_is_refused_at_once() {
    for begun in [
        &b"H"[..],
        b"PX",
        b"\x16\x03\x01",
        b"\r\n\r\nX",
        b"\r\n\r\n\0\r\nQUIT\n\x11",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
    ] {
        let mut reader = Reader::default();
        let refused = (0..begun.len()).any(|at| reader.read(&begun[at..=at]).is_err());
        // A wrong command is known with the length.
        let rest = refused || reader.read(&[0x11, 0, 12]).is_err();
        assert!(refused || begun.len() == 13 && rest, "{begun:?}");
    }
}

#[test]
fn bytes_are_read_as_they_are_meant() {
    let client = client("203.0.113.7:33333", "192.0.2.1:443");
    let unix = [0; 216];
    for (bytes, whose) in [
        (binary(0x21, 0x11, ENDS), client.clone()),
        (binary(0x20, 0x11, ENDS), Whose::Own),
        (binary(0x20, 0xff, b"anything"), Whose::Own),
        (binary(0x21, 0x00, b""), Whose::Unknown),
        (binary(0x21, 0x10, ENDS), Whose::Unknown),
        (binary(0x21, 0x31, &unix), Whose::Unknown),
        // Fields that nobody here knows.
        (binary(0x21, 0x11, &[ENDS, &[0x04, 0, 2, 9, 9, 0xe0, 0, 0, 0xee, 0, 1, 7]].concat()), client),
    ] {
        let (header, rest) = read(&[&bytes, b"more"]).unwrap();
        assert_eq!((header.whose, header.tls, header.name, &*rest), (whose, None, None, &b"more"[..]), "{bytes:?}");
    }
}

#[test]
fn bytes_that_cannot_be_meant_are_refused() {
    for (bytes, why) in [
        (binary(0x22, 0x11, ENDS), "version and command"),
        (binary(0x11, 0x11, ENDS), "version and command"),
        (binary(0x21, 0x41, ENDS), "family and protocol"),
        (binary(0x21, 0x13, ENDS), "family and protocol"),
        (binary(0x21, 0x11, &ENDS[1..]), "too short"),
        (binary(0x21, 0x21, ENDS), "too short"),
        (binary(0x21, 0x31, ENDS), "too short"),
        (binary(0x21, 0x11, &[ENDS, &[0x01, 0]].concat()), "beyond its end"),
        (binary(0x21, 0x11, &[ENDS, &[0x01, 0, 3, b'h', b'2']].concat()), "beyond its end"),
        (binary(0x21, 0x11, &[ENDS, &[0x02, 0, 1, 0xff]].concat()), "not UTF-8"),
        (binary(0x21, 0x11, &[ENDS, &[0x20, 0, 4, 1, 0, 0, 0]].concat()), "too short"),
        (binary(0x21, 0x11, &[ENDS, &[0x20, 0, 7, 1, 0, 0, 0, 0, 0x21, 0]].concat()), "beyond its end"),
        (binary(0x21, 0x11, &[ENDS, &[0x03, 0, 4, 0, 0, 0, 0]].concat()), "checksum"),
        (binary(0x21, 0x11, &[ENDS, &[0x03, 0, 1, 0]].concat()), "checksum"),
        (binary(0x21, 0x11, &[0; LONGEST]), "at most 4096"),
    ] {
        let error = read(&[&bytes]).unwrap_err().to_string();
        assert!(error.contains(why), "{bytes:?}: {error}");
    }
}

/// As HAProxy 2.6 wrote it.
#[test]
fn a_header_of_haproxy_with_all_fields_is_read() {
    let bytes: &[u8] =
        b"\r\n\r\n\0\r\nQUIT\n!\x11\0\xa3\x7f\0\0\x01\x7f\0\0\x01\x95\x12\xb4\x7f\x03\0\x04\x84\xe43\xdc\
        \x01\0\x08http/1.1\x02\0\x0edb.example.org\x05\0$3243efe8-844c-4be1-97a4-f513f46dd6c3 \0J\x07\0\0\0\0\
        !\0\x07TLSv1.3\"\0\x03Ada%\0\x05EC256$\0\x11ecdsa-with-SHA256#\0\x16TLS_AES_256_GCM_SHA384";
    let (header, _) = read(&[bytes]).unwrap();
    assert_eq!(header.whose, client("127.0.0.1:38162", "127.0.0.1:46207"));
    let tls = Tls { version: Some("TLSv1.3"), alpn: Some(b"http/1.1"[..].into()), sni: Some("db.example.org".into()) };
    assert_eq!((header.tls, header.name.as_deref()), (Some(tls), Some("Ada")));
    // A bit anywhere else, and the sum is wrong.
    for at in (13..bytes.len()).filter(|at| !(28..31).contains(at)) {
        let changed = [&bytes[..at], &[bytes[at] ^ 1], &bytes[at + 1..]].concat();
        assert!(read(&[&changed]).is_err(), "byte {at}");
    }
    // Who was not verified has no name. (The sum is made a field that means nothing.)
    let mut unverified = bytes.to_vec();
    (unverified[28], unverified[109]) = (4, 1);
    assert_eq!(read(&[&unverified]).unwrap().0.name, None);
}

#[test]
fn a_proxy_that_speaks_for_itself_says_no_more() {
    assert_eq!(Header::own(Version::V2).written(), binary(0x20, 0, b""));
}

#[test]
fn two_ends_are_of_one_family() {
    let whose = |source: &str, destination: &str| {
        Header::between(source.parse().ok(), destination.parse().ok(), Version::V1).written()
    };
    let cases = [
        ("[::ffff:10.0.0.1]:1", "[::ffff:10.0.0.2]:2", "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"),
        ("[::ffff:10.0.0.1]:1", "[::1]:2", "PROXY TCP6 ::ffff:10.0.0.1 ::1 1 2\r\n"),
        ("[::1]:1", "10.0.0.2:2", "PROXY TCP6 ::1 ::ffff:10.0.0.2 1 2\r\n"),
        ("nowhere", "10.0.0.2:2", "PROXY UNKNOWN\r\n"),
    ];
    for (source, destination, line) in cases {
        assert_eq!(String::from_utf8(whose(source, destination)).unwrap(), line, "{source} {destination}");
    }
}

#[test]
fn a_name_is_the_common_name() {
    assert_eq!(common_name("CN=Ada, O=Example"), "Ada");
    assert_eq!(common_name("ada.example"), "ada.example");
}

fn ends() -> impl Strategy<Value = Whose> {
    let client = (any::<bool>(), any::<[u8; 32]>(), any::<[u16; 2]>(), any::<bool>()).prop_map(
        |(v4, bytes, [from, to], datagrams)| {
            let end = |at: usize, port: u16| {
                let wide: [u8; 16] = bytes[at..at + 16].try_into().unwrap();
                let short: [u8; 4] = bytes[at..at + 4].try_into().unwrap();
                SocketAddr::new(if v4 { short.into() } else { wide.into() }, port)
            };
            Whose::Client { source: end(0, from), destination: end(16, to), datagrams }
        },
    );
    prop_oneof![1 => Just(Whose::Unknown), 8 => client]
}

fn tls() -> impl Strategy<Value = Option<Tls>> {
    let version = prop::option::of(prop::sample::select(vec!["TLSv1.2", "TLSv1.3"]));
    let tls =
        (version, prop::option::of(prop::collection::vec(any::<u8>(), 0..256)), prop::option::of("[a-zü.]{0,100}"));
    tls.prop_map(|(version, alpn, sni)| {
        let tls = Tls { version, alpn: alpn.map(Into::into), sni: sni.map(Into::into) };
        (tls != Tls::default()).then_some(tls)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_however_it_is_cut(
        whose in ends(), tls in tls(), name in prop::option::of("[a-z ü]{1,100}"), cut in 1_usize..40, behind in any::<Vec<u8>>(),
    ) {
        let header = Header { version: Version::V2, whose, tls, name };
        let written = [header.written(), behind.clone()].concat();
        let pieces: Vec<_> = written.chunks(cut).collect();
        let read = read(&pieces);
        prop_assert_eq!(read.map_err(|error| error.to_string()), Ok((header.clone(), behind.clone())));
        // The line says less: no datagrams, and nothing but addresses.
        let line = Header { version: Version::V1, ..header.clone() };
        let written = [line.written(), behind.clone()].concat();
        let whose = match header.whose {
            Whose::Client { datagrams: true, .. } => Whose::Unknown,
            whose => whose,
        };
        let pieces: Vec<_> = written.chunks(cut).collect();
        let (heard, rest) = self::read(&pieces).unwrap();
        prop_assert_eq!((heard.whose, heard.tls, heard.name, rest), (whose, None, None, behind));
    }

    #[test]
    fn no_bytes_are_too_strange(begin in 0_usize..3, bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 1_usize..40) {
        let begin: &[u8] = [&b""[..], b"PROXY TCP4 ", b"\r\n\r\n\0\r\nQUIT\n\x21"][begin];
        let all = [begin, &bytes].concat();
        let whole = read(&[&all]).map_err(|error| error.to_string());
        let pieces: Vec<_> = all.chunks(cut).collect();
        prop_assert_eq!(read(&pieces).map_err(|error| error.to_string()), whole);
    }
}
