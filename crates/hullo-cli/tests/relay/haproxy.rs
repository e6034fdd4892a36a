//! haproxy as a TCP proxy, in front of a relay and behind it.

use std::net::TcpStream;

use super::{
    LATE, all_ten,
    common::{Home, Program, eventually, free_port, peer},
    programs, relay,
};

/// haproxy, which leads from a port of its own to that one.
fn haproxy(home: &Home, name: &'static str, to: u16) -> (Program, u16) {
    let port = free_port();
    let config = format!(
        "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n\
         listen through\n  bind 127.0.0.1:{port}\n  server next 127.0.0.1:{to}\n"
    );
    let file = home.file(&format!("haproxy-{port}"), config);
    let program = Program::start(home.command(name).args(["-db", "-f", &file]));
    eventually("haproxy listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    (program, port)
}

#[test]
fn a_late_answer_arrives_through_haproxy_in_front() {
    let home = Home::new();
    let Some(name) = peer("haproxy") else { return };
    let server = programs(&home, &["tcp://:0"], LATE);
    let relay = relay(&home, &[":0", &server.at[0]]);
    let (_haproxy, port) = haproxy(&home, name, relay.port(0));
    all_ten("haproxy in front", home.run(&["connect", &format!("127.0.0.1:{port}")], "hello\n"));
}

#[test]
fn a_late_answer_arrives_through_haproxy_behind() {
    let home = Home::new();
    let Some(name) = peer("haproxy") else { return };
    let server = programs(&home, &["tcp://:0"], LATE);
    let (_haproxy, port) = haproxy(&home, name, server.port(0));
    let relay = relay(&home, &["tls://:0", &format!("tcp://127.0.0.1:{port}")]);
    all_ten("haproxy behind", home.run(&["connect", &relay.client(0)], "hello\n"));
}
