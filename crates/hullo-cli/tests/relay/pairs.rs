//! The end of the input is a half-close through a relay too, whatever stands on its two sides.

use std::fs;

use super::{
    ANSWER, LATE, all_ten,
    common::{Home, Program, Server, at_once, eventually},
    programs, relay,
};

const SCHEMES: &[&str] = &["tcp", "tls", "unix", "ws", "wss"];

/// An address of that scheme to listen on, whose socket has a name of its own.
fn listening(home: &Home, scheme: &str, name: &str) -> String {
    if scheme == "unix" { format!("unix:{}", home.path(name)) } else { format!("{scheme}://:0") }
}

/// A server that runs a program, on every transport; and where that is to whoever trusts anybody.
fn everywhere(home: &Home, command: &[&str]) -> (Server, Vec<String>) {
    let at: Vec<_> = SCHEMES.iter().map(|scheme| listening(home, scheme, "server")).collect();
    let server = programs(home, &at.iter().map(String::as_str).collect::<Vec<_>>(), command);
    let to = (0..SCHEMES.len()).map(|at| server.client(at)).collect();
    (server, to)
}

/// Every transport in front of every transport.
fn pairs() -> Vec<(&'static str, usize)> {
    SCHEMES.iter().flat_map(|front| (0..SCHEMES.len()).map(move |back| (*front, back))).collect()
}

#[test]
fn a_late_answer_arrives_through_every_pair_of_transports() {
    let home = Home::new();
    let (_server, to) = everywhere(&home, LATE);
    at_once(&pairs(), |(front, back)| {
        let name = format!("{front} to {}", SCHEMES[*back]);
        let at = listening(&home, front, &format!("relay-{back}"));
        let relay = relay(&home, &[&at, &to[*back]]);
        all_ten(&name, home.run(&["connect", &relay.client(0)], "hello\n"));
    });
}

#[test]
fn a_server_may_end_first_and_go_on_listening() {
    let home = Home::new();
    let heard = home.path("heard");
    let (_server, to) =
        everywhere(&home, &["sh", "-c", &format!("printf 0123456789; exec >&-; read line; echo $line >>{heard}")]);
    // A client of WebSockets has no more to say to a server that has said good-bye: hullo and browsers leave.
    let pairs: Vec<_> = pairs().into_iter().filter(|(front, _)| !front.starts_with("ws")).collect();
    at_once(&pairs, |(front, back)| {
        let name = format!("{front} to {}", SCHEMES[*back]);
        let at = listening(&home, front, &format!("relay-{back}"));
        let relay = relay(&home, &[&at, &to[*back]]);
        let mut client = Program::start(&mut home.hullo(&["connect", "--linger", "9s", &relay.client(0)]));
        client.heard("0123456789");
        client.say(format!("{name}\n"));
        client.hang_up();
        let ended = client.ended();
        assert_eq!((ended.code, &*ended.out), (0, ANSWER), "{name}: {}", ended.err);
        let has = || fs::read_to_string(&heard).is_ok_and(|all| all.lines().any(|line| line == name));
        eventually(&format!("what was said from {name} is heard"), has);
    });
}

#[test]
fn a_late_answer_arrives_in_an_exchange_of_http() {
    let home = Home::new();
    let (_server, to) = everywhere(&home, LATE);
    let cases: Vec<_> =
        ["http", "https"].iter().flat_map(|front| (0..SCHEMES.len()).map(move |at| (*front, at))).collect();
    at_once(&cases, |(front, back)| {
        let relay = relay(&home, &[&format!("{front}://:0"), &to[*back]]);
        let name = format!("{front} to {}", SCHEMES[*back]);
        all_ten(&name, home.run(&["connect", &relay.client(0)], "hello\n"));
    });
}

#[test]
fn a_relay_from_stdin_is_a_client_of_everything() {
    let home = Home::new();
    let (_server, to) = everywhere(&home, LATE);
    at_once(&[0, 1, 2, 3, 4], |back| {
        for front in ["stdio:", "-"] {
            let ended = home.run(&["relay", front, &to[*back]], "hello\n");
            assert_eq!((ended.code, &*ended.out), (0, ANSWER), "{front} to {}: {}", SCHEMES[*back], ended.err);
        }
    });
}

#[test]
fn bulk_goes_both_ways_exactly() {
    let home = Home::new();
    let (_server, to) = everywhere(&home, &["cat"]);
    let bulk = super::common::noise(1_000_000);
    at_once(&pairs(), |(front, back)| {
        let at = listening(&home, front, &format!("relay-{back}"));
        let relay = relay(&home, &[&at, &to[*back]]);
        let came = home.run(&["connect", &relay.client(0)], bulk.clone()).good();
        assert!(came == bulk, "{front} to {}: {} of {} bytes, or others", SCHEMES[*back], came.len(), bulk.len());
    });
}
