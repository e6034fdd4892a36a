//! Ctrl-C while people talk.

use std::path::Path;

use rustix::process::Signal;

use super::{
    ANSWER, LATE,
    common::{Home, Program, at_once},
    programs, relay,
};

#[test]
fn a_conversation_finishes_within_the_grace() {
    let home = Home::new();
    at_once(&["tcp", "tls", "ws", "wss"], |scheme| {
        let mark = home.path(scheme);
        let late = format!("cat >/dev/null; echo here >{mark}; sleep 1; printf 0123456789");
        let server = programs(&home, &[&format!("{scheme}://:0")], &["sh", "-c", &late]);
        let relay = relay(&home, &[&format!("{scheme}://:0"), &server.client(0), "--grace", "9s"]);
        let mut client = Program::start(&mut home.hullo(&["connect", &relay.client(0)]));
        client.say("hello\n");
        client.hang_up();
        super::common::eventually("it thinks", || Path::new(&mark).exists());
        relay.program.signal(Signal::INT);
        let ended = client.ended();
        assert_eq!((ended.code, &*ended.out), (0, ANSWER), "{scheme}: {}", ended.err);
        let ended = relay.program.ended();
        assert!(ended.code == 0 && !ended.err.contains("cut off"), "{scheme}: {} {}", ended.code, ended.err);
    });
}

#[test]
fn a_client_who_still_talks_is_ended_and_answered() {
    let home = Home::new();
    let server = programs(&home, &[":0"], LATE);
    let relay = relay(&home, &[":0", &server.at[0], "--grace", "9s"]);
    let mut client = Program::start(&mut home.hullo(&["connect", "--linger", "0s", &relay.at[0]]));
    client.say("hello\n");
    let talks = || {
        let tcp = std::fs::read_to_string("/proc/net/tcp").unwrap();
        // Established, on the server's port.
        tcp.lines().any(|line| line.contains(&format!(":{:04X} ", server.port(0))) && line.contains(" 01 "))
    };
    super::common::eventually("they talk", talks);
    relay.program.signal(Signal::TERM);
    client.heard("0123456789");
    assert_eq!(relay.program.ended().code, 0);
}

#[test]
fn who_does_not_end_is_cut_off_after_the_grace() {
    let home = Home::new();
    let server = programs(&home, &[":0"], &["sh", "-c", "echo begun; sleep 30"]);
    let socket = home.path("s");
    let relay = relay(&home, &[&format!("unix:{socket}"), &server.at[0], "--grace", "300ms"]);
    let client = Program::start(&mut home.hullo(&["connect", &relay.at[0]]));
    client.heard("begun");
    assert!(Path::new(&socket).exists());
    let ended = relay.interrupted();
    assert!(ended.code == 0 && ended.err.contains("some conversations were cut off"), "{} {}", ended.code, ended.err);
    assert!(!Path::new(&socket).exists(), "the file of the socket is gone");
    let _ = client.ended();
}
