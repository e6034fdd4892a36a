#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! `hullo relay --record`: what tshark, and nobody else, says of the file.

mod common;

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::fs::PermissionsExt,
};

use common::{Ended, Home, Program, Server, at_once, eventually, noise, object, peer, run};
use rustix::process::Signal;

/// A relay that records to `talk.pcapng` of its home.
fn recording(home: &Home, listen: &str, to: &str) -> Server {
    relay(home, &[listen, to, "--record", "talk.pcapng"])
}

fn relay(home: &Home, words: &[&str]) -> Server {
    Server::start(&mut home.hullo(&[&["relay"], words].concat()), 1)
}

/// The end of a recording: nothing is missing in it.
#[track_caller]
fn recorded(relay: Server) -> Ended {
    let ended = relay.interrupted();
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.err.contains("recorded "), "{}", ended.err);
    ended
}

/// What tshark says of a recording; all checksums are looked at.
fn tshark(home: &Home, words: &[&str]) -> Option<String> {
    let mut command = home.command(peer("tshark")?);
    for check in ["tcp.check_checksum:TRUE", "udp.check_checksum:TRUE", "ip.check_checksum:TRUE"] {
        command.args(["-o", check]);
    }
    command.args(["-n", "-r", "talk.pcapng"]).args(words);
    Some(run(&mut command, "").text())
}

/// Fails with whatever tshark finds wrong.
#[track_caller]
fn is_clean(home: &Home) {
    // Notes are below: there is one of every connection that is closed.
    let wrong = "tcp.analysis.flags || _ws.expert.severity > 0x400000 || tcp.checksum.status == 0";
    let words = ["-Y", wrong, "-T", "fields", "-e", "frame.number", "-e", "_ws.expert.message"];
    if let Some(said) = tshark(home, &words) {
        assert_eq!(said, "", "tshark finds that wrong");
    }
}

/// What tshark puts together of a conversation: the client's side, and the server's.
fn followed(home: &Home, protocol: &str, stream: usize) -> Option<[Vec<u8>; 2]> {
    let said = tshark(home, &["-q", "-z", &format!("follow,{protocol},raw,{stream}")])?;
    let mut ways = [Vec::new(), Vec::new()];
    let lines = said.lines().skip_while(|line| !line.starts_with("Node 1")).skip(1);
    for line in lines.take_while(|line| !line.starts_with('=')) {
        let hex = line.trim_start().as_bytes();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        ways[usize::from(line.starts_with('\t'))].extend(hex.chunks(2).map(byte));
    }
    Some(ways)
}

#[test]
fn conversations_at_once_are_put_together_by_tshark() {
    let home = Home::new();
    let server = home.serve(&["echo", "tcp://[::1]:0"], 1);
    for listen in ["tcp://127.0.0.1:0", "tcp://[::1]:0", "tls://127.0.0.1:0"] {
        let relay = recording(&home, listen, &server.at[0]);
        let inputs: Vec<_> = (1..=4).map(|n| noise(n * 50_000 + n)).collect();
        let at = relay.client(0);
        at_once(&inputs, |input| {
            let ended = home.run(&["connect", &at], input.clone());
            assert!(ended.good() == *input, "{listen}");
        });
        recorded(relay);
        assert_eq!(fs::metadata(home.path("talk.pcapng")).unwrap().permissions().mode() & 0o777, 0o600);
        is_clean(&home);
        let mut lengths = Vec::new();
        for stream in 0..inputs.len() {
            let Some([up, down]) = followed(&home, "tcp", stream) else { return };
            assert!(up == down && inputs.contains(&up), "{listen}: {} bytes, and {}", up.len(), down.len());
            lengths.push(up.len());
        }
        lengths.sort_unstable();
        assert_eq!(lengths, [50_001, 100_002, 150_003, 200_004], "{listen}");
        let comment = format!(" led it to {}", server.at[0]);
        let said = tshark(&home, &["-Y", "frame.comment contains \"flow 2:\"", "-T", "fields", "-e", "frame.comment"]);
        assert!(said.unwrap().trim_end().ends_with(&comment), "{listen}");
    }
}

#[test]
fn datagrams_are_datagrams() {
    let home = Home::new();
    for host in ["127.0.0.1", "[::1]"] {
        let server = home.serve(&["echo", &format!("udp://{host}:0")], 1);
        let relay = recording(&home, &format!("udp://{host}:0"), &server.at[0]);
        for text in ["one", "and another"] {
            assert_eq!(home.run(&["ask", &relay.at[0], text], "").text(), format!("{text}\n"));
        }
        let port = relay.port(0).to_string();
        recorded(relay);
        is_clean(&home);
        let fields = ["udp.srcport", "udp.dstport", "udp.length"].map(|field| ["-e", field]).concat();
        let Some(said) = tshark(&home, &[&["-T", "fields"], &fields[..]].concat()) else { return };
        let said: Vec<Vec<_>> = said.lines().map(|line| line.split('\t').collect()).collect();
        assert_eq!(said.iter().map(|packet| packet[2]).collect::<Vec<_>>(), ["11", "11", "19", "19"], "{host}");
        assert!(said.iter().enumerate().all(|(at, packet)| packet[1 - at % 2] == port), "{host}: {said:?}");
    }
}

#[test]
fn messages_of_websockets_are_told_apart() {
    let home = Home::new();
    let server = home.serve(&["echo", "ws://127.0.0.1:0"], 1);
    let relay = recording(&home, "ws://127.0.0.1:0", &server.at[0]);
    let said = home.run(&["connect", "--lines", &relay.at[0]], "one\ntwo, which is longer\n");
    assert_eq!(said.text(), "one\ntwo, which is longer\n");
    recorded(relay);
    is_clean(&home);
    let Some(said) = tshark(&home, &["-Y", "tcp.len > 0", "-T", "fields", "-e", "frame.comment"]) else { return };
    let mut said: Vec<_> = said.lines().collect();
    said.sort_unstable();
    assert_eq!(
        said,
        [
            "message 1 down, text, 3 bytes",
            "message 1 up, text, 3 bytes",
            "message 2 down, text, 20 bytes",
            "message 2 up, text, 20 bytes",
        ]
    );
}

/// What was relayed before somebody pulled the plug is there.
#[test]
fn a_relay_that_is_killed_leaves_a_file_that_can_be_read() {
    let home = Home::new();
    let server = home.serve(&["echo", "tcp://127.0.0.1:0"], 1);
    let mut relay = recording(&home, "tcp://127.0.0.1:0", &server.at[0]);
    let mut client = TcpStream::connect(("127.0.0.1", relay.port(0))).unwrap();
    let (sent, mut back) = (noise(200_000), vec![0; 200_000]);
    let mut writer = client.try_clone().unwrap();
    let sending = std::thread::spawn({
        let sent = sent.clone();
        move || writer.write_all(&sent).unwrap()
    });
    client.read_exact(&mut back).unwrap();
    sending.join().unwrap();
    eventually("all of it is in the file", || home.read("talk.pcapng").len() > 400_000);
    relay.program.hang_up();
    relay.program.signal(Signal::KILL);
    assert_eq!(relay.program.ended().code, 137);
    is_clean(&home);
    if let Some([up, down]) = followed(&home, "tcp", 0) {
        assert!(up == sent && down == sent, "{} bytes, and {}", up.len(), down.len());
    }
    let again = home.run(&["replay", "talk.pcapng", &server.at[0], "--fast", "--expect"], "");
    assert_eq!(again.code, 0, "{}", again.err);
}

#[test]
fn a_recording_can_go_through_a_pipe() {
    let home = Home::new();
    let server = home.serve(&["echo", "tcp://127.0.0.1:0"], 1);
    let relay = relay(&home, &["tcp://127.0.0.1:0", &server.at[0], "--record", "-"]);
    assert_eq!(home.run(&["ask", &relay.at[0], "hello"], "").text(), "hello\n");
    let ended = recorded(relay);
    let Some(program) = peer("tshark") else { return };
    let said = run(home.command(program).args(["-r", "-", "-Y", "tcp.len > 0"]), ended.out).text();
    assert_eq!(said.lines().count(), 2, "{said}");
}

/// What is relayed is worth more than its recording; but that something is missing is said, and by the status too.
#[test]
fn a_disk_that_is_full_is_told_and_the_relay_goes_on() {
    let home = Home::new();
    let server = home.serve(&["echo", "tcp://127.0.0.1:0"], 1);
    let relay = relay(&home, &["tcp://127.0.0.1:0", &server.at[0], "--record", "/dev/full", "--json"]);
    assert_eq!(home.run(&["ask", &relay.at[0], "hello"], "").text(), "hello\n");
    let ended = relay.interrupted();
    assert_eq!(ended.code, 19, "{}", ended.err);
    let error = ended.err.lines().map(object).find(|line| line["event"] == "error").unwrap();
    assert_eq!(error["message"], "cannot record to /dev/full: no space left on device");
}

#[test]
fn a_recording_that_cannot_be_is_refused_before_anything_listens() {
    let home = Home::new();
    for (words, code, why) in [
        (["relay", ":0", "localhost:1", "--record", "/no/such/folder/x"], 19, "cannot record to /no/such/folder/x"),
        (
            ["relay", "stdio:", "localhost:1", "--record", "-"],
            2,
            "stdout is what is relayed: it cannot be the recording too",
        ),
    ] {
        let ended = home.run(&words, "");
        assert_eq!(ended.code, code, "{words:?}: {}", ended.err);
        assert!(ended.err.contains(why) && !ended.err.contains("listening"), "{words:?}: {}", ended.err);
    }
}

/// What was cut off is recorded as that.
#[test]
fn a_server_that_breaks_off_is_a_reset_in_the_file() {
    let home = Home::new();
    let script = "
import socket, struct
server = socket.create_server(('127.0.0.1', 0))
print(server.getsockname()[1])
one, _ = server.accept()
one.recv(100)
one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
one.close()
";
    let Some(server) = home.python(script) else { return };
    let relay = recording(&home, "tcp://127.0.0.1:0", &format!("tcp://127.0.0.1:{}", server.port));
    let mut client = TcpStream::connect(("127.0.0.1", relay.port(0))).unwrap();
    client.write_all(b"hello").unwrap();
    // Whether it reads an end or an error, it is over then.
    let _ = client.read(&mut [0; 10]);
    let _ = client.shutdown(Shutdown::Both);
    recorded(relay);
    let Some(said) = tshark(&home, &["-Y", "tcp.flags.reset == 1", "-T", "fields", "-e", "frame.comment"]) else {
        return;
    };
    assert!(said.starts_with("flow 1: it was cut off: "), "{said}");
}

#[test]
fn the_recorder_sees_what_the_kernel_would_have_moved_alone() {
    let home = Home::new();
    let server = Program::start(&mut home.hullo(&["serve", "chargen", "tcp://127.0.0.1:0"]));
    let at = server.tells(|said| Some(said.split_once("listening on ")?.1.split_once(' ')?.0.to_owned())).unwrap();
    let relay = recording(&home, "tcp://127.0.0.1:0", &at);
    let mut client = TcpStream::connect(("127.0.0.1", relay.port(0))).unwrap();
    let mut first = vec![0; 3_000_000];
    client.read_exact(&mut first).unwrap();
    drop(client);
    recorded(relay);
    if let Some([up, down]) = followed(&home, "tcp", 0) {
        assert!(up.is_empty() && down.starts_with(&first), "{} bytes", down.len());
    }
}
