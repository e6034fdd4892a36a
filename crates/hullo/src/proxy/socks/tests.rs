//! What one end of SOCKS says, the other reads.

use proptest::prelude::*;

use super::*;

fn to(host: &str, port: u16) -> Address {
    target(host, port).unwrap()
}

/// Reads it whole, and sees to it that it is incomplete at every cut before.
fn whole<T: std::fmt::Debug + PartialEq>(bytes: &[u8], read: fn(&[u8]) -> Read<T>) -> T {
    for cut in 0..bytes.len() {
        assert_eq!(read(&bytes[..cut]), Ok(None), "cut at {cut} of {bytes:?}");
    }
    let more = [bytes, b"more"].concat();
    let (value, length) = read(&more).unwrap().unwrap();
    assert_eq!(length, bytes.len(), "{bytes:?}");
    value
}

#[test]
fn the_requests_of_known_clients_are_read() {
    let cases: [(&[u8], &str, u16); 4] = [
        (&[5, 1, 0, 1, 127, 0, 0, 1, 0x1f, 0x90], "127.0.0.1", 8080),
        (b"\x05\x01\x00\x03\x0bexample.org\x01\xbb", "example.org", 443),
        (b"\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x50", "::1", 80),
        // Of curl for a name that is an address.
        (b"\x05\x01\x00\x03\x03::1\0\x50", "::1", 80),
    ];
    for (bytes, host, port) in cases {
        assert_eq!(whole(bytes, request), Request { command: Command::Connect, to: to(host, port) });
    }
    let cases: [(&[u8], &str, u16); 3] = [
        (b"\x04\x01\x00\x50\x7f\x00\x00\x01me\0", "127.0.0.1", 80),
        (b"\x04\x01\x00\x50\x00\x00\x00\x01\0example.org\0", "example.org", 80),
        (b"\x04\x01\x00\x50\x00\x00\x00\x00\0", "0.0.0.0", 80),
    ];
    for (bytes, host, port) in cases {
        let read = whole(bytes, opening);
        assert_eq!(read, Opening::Four(Request { command: Command::Connect, to: to(host, port) }));
    }
    assert_eq!(whole(&greeting(true), opening), Opening::Five(vec![OPEN, PASSWORD]));
}

#[test]
fn what_is_no_socks_is_refused_at_once() {
    for (bytes, why) in [
        (&b"G"[..], "this is HTTP"),
        (b"\x16\x03", "this is TLS"),
        (b"\x00", "neither"),
        (b"\x04\x03", "no such command"),
        (b"\x04\x01\x00\x50\x00\x00\x00\x01\0a b\0", "no host"),
        (b"\x04\x01\x00\x50\x00\x00\x00\x01\0\0", "no host"),
        (&[&b"\x04\x01\x00\x50\x7f\0\0\x01"[..], &[b'x'; 256]].concat(), "longer than 255"),
        (&[&b"\x04\x01\x00\x50\0\0\0\x01\0"[..], &[b'x'; 256]].concat(), "longer than 255"),
    ] {
        let breach = opening(bytes).unwrap_err();
        assert!(breach.why.contains(why), "{bytes:?}: {breach:?}");
    }
    for (bytes, verdict) in [
        (&b"\x04"[..], Verdict::Failed),
        (b"\x05\x09", Verdict::NoCommand),
        (b"\x05\x01\x00\x02", Verdict::NoKind),
        (b"\x05\x01\x00\x03\x00\x00\x50", Verdict::Failed),
        (b"\x05\x01\x00\x03\x03a/b\x00\x50", Verdict::Failed),
        (b"\x05\x01\x00\x03\x02\xff\xfe\x00\x50", Verdict::Failed),
    ] {
        assert_eq!(request(bytes).unwrap_err().verdict, verdict, "{bytes:?}");
    }
    assert!(login(b"\x05").is_err() && login(b"\x01\x01\xff\x01x").is_err());
    assert!(choice(b"HTTP").unwrap_err().why.contains("HTTP") && admitted(b"\x02").is_err());
    assert!(reply(b"\x04").is_err() && reply4(b"\x05\x00").is_err());
}

#[test]
fn a_refusal_may_be_short() {
    for bytes in [&b"\x05\x02\x00"[..], b"\x05\x02\x00\x01", b"\x05\x02\x00\x09\x00"] {
        assert_eq!(reply(bytes), Ok(Some(((Verdict::Forbidden, None), bytes.len()))), "{bytes:?}");
    }
    assert_eq!(reply4(b"\x00\x5b"), Ok(Some((Verdict::Failed, 2))));
    assert_eq!(reply4(b"\x00\x5a\x00"), Ok(None));
}

fn hosts() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<Ipv4Addr>().prop_map(|ip| ip.to_string()),
        any::<Ipv6Addr>().prop_map(|ip| ip.to_string()),
        "[a-z][a-z0-9.-]{0,60}",
        "[a-z]{255}",
    ]
}

fn commands() -> impl Strategy<Value = Command> {
    prop_oneof![Just(Command::Connect), Just(Command::Bind), Just(Command::Associate)]
}

proptest! {
    #[test]
    fn what_is_asked_is_read(host in hosts(), port: u16, command in commands(), user in "[^\\x00]{0,40}") {
        let request_ = Request { command, to: to(&host, port) };
        prop_assert_eq!(whole(&request_of(command, &request_.to).unwrap(), request), request_.clone());
        if let Some(four) = request4_of(command, &request_.to, &user) {
            prop_assert_eq!(whole(&four, opening), Opening::Four(request_));
        } else {
            prop_assert!(host.contains(':') || command == Command::Associate || host.starts_with("0.0.0."), "{}", host);
        }
    }

    #[test]
    fn who_one_is_is_read(name in ".{1,60}", password in ".{0,60}") {
        match login_of(&name, &password) {
            Some(told) => prop_assert_eq!(whole(&told, login), (name, password)),
            None => prop_assert!(name.len() > 255 || password.len() > 255),
        }
    }

    #[test]
    fn what_is_answered_is_read(code in 0..Verdict::ALL.len(), ip: IpAddr, port: u16) {
        let (verdict, bound) = (Verdict::ALL[code], Some(SocketAddr::new(ip.to_canonical(), port)));
        let (read, length) = reply(&reply_of(verdict, bound)).unwrap().unwrap();
        prop_assert_eq!((read.0.code(), read.1, length), (verdict.code(), bound, reply_of(verdict, bound).len()));
        let (read, _) = reply4(&reply4_of(verdict, bound)).unwrap().unwrap();
        prop_assert_eq!(read == Verdict::Granted, verdict == Verdict::Granted);
    }
}
