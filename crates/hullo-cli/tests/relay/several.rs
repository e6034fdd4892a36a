//! Several servers behind one relay, and somebody who listens in.

use std::collections::HashMap;

use super::{
    common::{Home, Program, Server, eventually, free_port, peer},
    relay,
};

/// A server that says its name to whoever comes.
fn named(home: &Home, name: &str, port: u16) -> Server {
    home.serve(&["greet", "--text", name, &format!("tcp://127.0.0.1:{port}")], 1)
}

/// Who answers behind the relay.
#[track_caller]
fn asked(home: &Home, relay: &Server) -> String {
    let ended = home.run(&["connect", "--linger", "0s", &relay.at[0]], "");
    String::from_utf8_lossy(&ended.out).trim().to_owned()
}

#[test]
fn the_next_one_stands_in_for_a_server_that_is_gone() {
    let home = Home::new();
    let (first, second) = (named(&home, "first", 0), named(&home, "second", 0));
    let relay = relay(&home, &[":0", &first.at[0], &second.at[0]]);
    assert_eq!((asked(&home, &relay), asked(&home, &relay)), ("first".to_owned(), "first".to_owned()));
    let gone = first.at[0].clone();
    assert_eq!(first.interrupted().code, 0);
    for _ in 0..3 {
        assert_eq!(asked(&home, &relay), "second", "{}", relay.program.so_far());
    }
    let told = relay.program.told("passed over");
    assert!(told.contains(&gone), "{told}");
}

#[test]
fn servers_take_turns() {
    let home = Home::new();
    let servers = ["first", "second", "third"].map(|name| named(&home, name, 0));
    let to: Vec<_> = servers.iter().map(|server| &*server.at[0]).collect();
    let relay = relay(&home, &[&[":0"], &to[..], &["--balance", "round-robin"]].concat());
    let mut answers = HashMap::new();
    for _ in 0..9 {
        *answers.entry(asked(&home, &relay)).or_insert(0) += 1;
    }
    assert_eq!(answers.values().copied().collect::<Vec<_>>(), [3, 3, 3], "{answers:?}");
}

#[test]
fn who_has_fewest_conversations_is_next() {
    let home = Home::new();
    let servers = [0, 1].map(|_| home.serve(&["exec", ":0", "--", "sh", "-c", "echo $SERVER_PORT; cat"], 1));
    let relay = relay(&home, &[":0", &servers[0].at[0], &servers[1].at[0], "--balance", "least"]);
    let begin = || {
        let talk = Program::start(&mut home.hullo(&["connect", &relay.at[0]]));
        let port = talk.heard("\n").trim().to_owned();
        (talk, port)
    };
    let (one, two) = (begin(), begin());
    assert_ne!(one.1, two.1);
    // Whoever has lost one gets the next.
    let freed = one.1;
    let mut ending = one.0;
    ending.hang_up();
    ending.ended().good();
    eventually("the place is free", || begin().1 == freed);
}

#[test]
fn a_check_finds_a_server_that_is_back() {
    let home = Home::new();
    let port = free_port();
    let second = named(&home, "second", 0);
    let first = format!("tcp://127.0.0.1:{port}");
    let relay = relay(&home, &[":0", &first, &second.at[0], "--check", "100ms"]);
    relay.program.told(&format!("{first} is passed over"));
    assert_eq!(asked(&home, &relay), "second");
    let back = named(&home, "first", port);
    eventually("the first is asked again", || asked(&home, &relay) == "first");
    assert_eq!(back.interrupted().code, 0);
}

#[test]
fn all_that_clients_say_is_copied_to_nc() {
    let home = Home::new();
    let server = home.serve(&["exec", ":0", "--", "sed", "-u", "s/.*/only for the client/"], 1);
    for (name, port) in [("nc.openbsd", free_port()), ("ncat", free_port())] {
        let Some(name) = peer(name) else { continue };
        let listener = Program::start(home.command(name).args(["-lv", "127.0.0.1", &port.to_string()]));
        listener.told("istening on");
        let relay = relay(&home, &[":0", &server.at[0], "--tee", &format!("tcp://127.0.0.1:{port}")]);
        let heard = home.run(&["connect", &relay.at[0]], "one\ntwo\n").text();
        assert_eq!(heard, "only for the client\nonly for the client\n");
        listener.heard("one\ntwo\n");
        assert_eq!(listener.ended().out, b"one\ntwo\n", "{name}");
    }
}

#[test]
fn nobody_waits_for_a_copy_that_nobody_takes() {
    let home = Home::new();
    let server = home.serve(&["echo", ":0"], 1);
    let relay = relay(&home, &[":0", &server.at[0], "--tee", &format!("tcp://127.0.0.1:{}", free_port())]);
    let bulk = super::common::noise(300_000);
    assert!(home.run(&["connect", &relay.at[0]], bulk.clone()).good() == bulk);
    relay.program.told("cannot connect");
}
