#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! The end of the input is a half-close, and the other direction goes on until its own end. The table: a client sends a
//! line from a pipe and ends; the server reads to the end, waits one second, and answers ten bytes. All ten arrive.

mod common;

use std::{
    fs,
    io::Write,
    net::{Shutdown, TcpStream},
    process::Command,
    thread,
    time::Duration,
};

use common::{Ended, Home, PATIENCE, Program, Server, at_once, eventually, free_port, noise, peer, read_until, run};
use rustix::process::Signal;

const ANSWER: &[u8] = b"0123456789";

/// What the server does, as a program.
const LATE: &[&str] = &["sh", "-c", "cat >/dev/null; sleep 1; printf 0123456789"];

const LATE_PYTHON: &str = r#"
import os, socket, sys, time
family, at = (socket.AF_UNIX, sys.argv[1]) if len(sys.argv) > 1 else (socket.AF_INET, ("127.0.0.1", 0))
server = socket.socket(family)
server.bind(at)
server.listen()
print(0 if family == socket.AF_UNIX else server.getsockname()[1])
talk, _ = server.accept()
while talk.recv(1024): pass
time.sleep(1)
talk.sendall(b"0123456789")
talk.close()
"#;

fn serve(home: &Home, at: &str, command: &[&str]) -> Server {
    home.serve(&[&["exec", at, "--"], command].concat(), 1)
}

#[track_caller]
fn all_ten(name: &str, ended: Ended) {
    assert_eq!(ended.code, 0, "{name}: {}", ended.err);
    assert_eq!(ended.out, ANSWER, "{name}: {}", ended.err);
    assert!((0.9..5.0).contains(&ended.took.as_secs_f64()), "{name}: {:?}", ended.took);
}

#[test]
fn connect_and_exec_on_every_transport() {
    let home = Home::new();
    let unix = format!("unix:{}", home.path("s"));
    at_once(
        &["tcp://:0", "tcp://[::1]:0", "tls://:0", &unix, "ws://:0", "wss://:0", "http://:0", "https://:0"],
        |at| {
            let server = serve(&home, at, LATE);
            all_ten(at, home.run(&["connect", &server.client(0)], "hello\n"));
        },
    );
}

#[test]
fn connect_with_a_pin() {
    let home = Home::new();
    let server = serve(&home, "tls://:0", LATE);
    let said = server.program.told("?pin=sha256:");
    let pin = said.rsplit_once("?pin=").unwrap().1.split_whitespace().next().unwrap();
    all_ten("pinned", home.run(&["connect", &format!("{}?pin={pin}", server.at[0])], "hello\n"));
}

#[test]
fn ask_waits_for_a_late_answer() {
    let home = Home::new();
    let late = &["sh", "-c", "read line; sleep 1; echo $line"];
    at_once(&["tcp://:0", "tls://:0", "ws://:0", "wss://:0"], |at| {
        let server = serve(&home, at, late);
        assert_eq!(home.run(&["ask", &server.client(0), "hello"], "").text(), "hello\n", "{at}");
    });
}

#[test]
fn connect_to_other_servers() {
    let home = Home::new();
    at_once(&["python tcp", "python unix", "socat tcp", "socat unix"], |name| {
        let (who, wire) = name.split_once(' ').unwrap();
        let Some((_program, at)) = other_server(&home, who, wire) else { return };
        all_ten(name, home.run(&["connect", &at], "hello\n"));
    });
}

/// A server of somebody else that answers late, and where it listens.
fn other_server(home: &Home, who: &str, wire: &str) -> Option<(Program, String)> {
    let socket = home.path(&format!("{who}-{wire}"));
    let (unix, tcp) = (format!("unix:{socket}"), |port: u16| format!("tcp://127.0.0.1:{port}"));
    let is_unix = wire == "unix";
    match who {
        "python" => {
            let mut command = home.command(peer("python3")?);
            command.args(["-u", "-c", LATE_PYTHON]).args(is_unix.then_some(&socket));
            let program = Program::start(&mut command);
            let port = program.heard("\n").trim().parse().unwrap();
            Some((program, if is_unix { unix } else { tcp(port) }))
        }
        _ => {
            let listen =
                if is_unix { format!("UNIX-LISTEN:{socket}") } else { "TCP-LISTEN:0,bind=127.0.0.1".to_owned() };
            let late = format!("SYSTEM:{}", LATE[2]);
            let program = Program::start(home.command(peer("socat")?).args(["-t5", "-d", "-d", &listen, &late]));
            let said = program.told("listening on ");
            Some((program, if is_unix { unix } else { tcp(last_port(&said)) }))
        }
    }
}

/// Somebody at the other end hears the line, thinks for a second, types ten bytes, and ends. Neither `nc -l` nor
/// `ncat -l` answers to a half-close (they close), so our input ends after the answer.
#[test]
fn connect_to_somebody_who_types() {
    let home = Home::new();
    let socket = home.path("s");
    let ports: Vec<String> = (0..3).map(|_| free_port().to_string()).collect();
    let tcp = |at: usize| format!("tcp://127.0.0.1:{}", ports[at]);
    let (unix, tls) = (format!("unix:{socket}"), format!("tls://127.0.0.1:{}?insecure=true", ports[2]));
    let table: &[(&str, &[&str], String)] = &[
        ("nc.openbsd", &["-Nlv", "127.0.0.1", &ports[0]], tcp(0)),
        ("ncat", &["-lv", "127.0.0.1", &ports[1]], tcp(1)),
        ("ncat", &["-lv", "--ssl", "127.0.0.1", &ports[2]], tls),
        ("ncat", &["-lvU", &socket], unix),
    ];
    at_once(table, |(name, words, at)| {
        let Some(name) = peer(name) else { return };
        let mut typist = Program::start(home.command(name).args(*words));
        typist.told("istening on");
        let mut client = Program::start(&mut home.hullo(&["connect", at]));
        client.say("hello\n");
        typist.heard("hello\n");
        thread::sleep(Duration::from_secs(1));
        typist.say(ANSWER);
        client.heard("0123456789");
        client.hang_up();
        typist.hang_up();
        let mut ended = client.ended();
        if at.starts_with("tls") && ended.err.contains("close_notify") {
            // ncat 7.93 just closes; whether that was the end nobody can know, and the status says so.
            assert_eq!(ended.code, 15, "{}", ended.err);
            ended.code = 0;
        }
        all_ten(at, ended);
    });
}

/// The port at the end of what a server says.
fn last_port(said: &str) -> u16 {
    said.trim().rsplit(':').next().unwrap().parse().unwrap_or_else(|error| panic!("{error}: {said}"))
}

const PYTHON_CLIENT: &str = r#"
import socket, sys
talk = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
talk.sendall(sys.stdin.buffer.read())
talk.shutdown(socket.SHUT_WR)
answer = b""
while part := talk.recv(1024): answer += part
sys.stdout.buffer.write(answer)
"#;

#[test]
fn other_clients_of_exec() {
    let home = Home::new();
    let socket = format!("unix:{}", home.path("s"));
    let server = home.serve(&[&["exec", "tcp://:0", "tls://:0", &socket, "--"][..], LATE].concat(), 3);
    let (tcp, tls) = (server.port(0).to_string(), server.port(1).to_string());
    let (on_tcp, on_tls, on_unix) = (
        format!("TCP:127.0.0.1:{tcp}"),
        format!("OPENSSL:127.0.0.1:{tls},verify=0"),
        format!("UNIX-CONNECT:{}", home.path("s")),
    );
    let table: &[(&str, &[&str])] = &[
        ("python3", &["-c", PYTHON_CLIENT, &tcp]),
        ("nc.openbsd", &["-N", "127.0.0.1", &tcp]),
        ("nc.openbsd", &["-N", "-U", &home.path("s")]),
        ("nc.traditional", &["-q", "2", "127.0.0.1", &tcp]),
        ("ncat", &["127.0.0.1", &tcp]),
        ("ncat", &["--ssl", "127.0.0.1", &tls]),
        ("ncat", &["-U", &home.path("s")]),
        ("socat", &["-t5", "-", &on_tcp]),
        ("socat", &["-t5", "-", &on_tls]),
        ("socat", &["-t5", "-", &on_unix]),
    ];
    at_once(table, |(name, words)| {
        let Some(name) = peer(name) else { return };
        all_ten(&format!("{name} {words:?}"), run(home.command(name).args(*words), "hello\n"));
    });
}

#[test]
fn bulk_goes_both_ways_exactly() {
    let home = Home::new();
    let bulk = noise(3_000_000);
    let unix = format!("unix:{}", home.path("s"));
    at_once(&["tcp://:0", "tls://:0", &unix, "ws://:0", "wss://:0", "http://:0", "https://:0"], |at| {
        let server = serve(&home, at, &["cat"]);
        let back = home.run(&["connect", &server.client(0)], bulk.clone()).good();
        assert!(back == bulk, "{at}: {} of {} bytes, or others", back.len(), bulk.len());
    });
}

#[test]
fn a_program_may_end_or_not_read_as_it_likes() {
    let home = Home::new();
    let much = noise(2_000_000);
    let left = nap(3);
    let table: &[(&str, &[&str], &[u8])] = &[
        ("ends early", &["sh", "-c", "printf 0123456789"], ANSWER),
        ("ends early, badly", &["sh", "-c", "printf 0123456789; exit 3"], ANSWER),
        ("reads a line of all", &["sh", "-c", "read line; printf 0123456789"], ANSWER),
        ("never reads", &["sh", "-c", "exec <&-; sleep 1; printf 0123456789"], ANSWER),
        ("closes its stdout first", &["sh", "-c", "printf 0123456789; exec >&-; cat >/dev/null"], ANSWER),
        ("says nothing", &["true"], b""),
        // The output ends where the program does, whoever else has it open.
        ("leaves a child", &["sh", "-c", &format!("{left} & printf 0123456789")], ANSWER),
    ];
    at_once(table, |(name, command, answer)| {
        for at in ["tcp://:0", "tls://:0", "ws://:0"] {
            let server = serve(&home, at, command);
            for input in [b"hello\n".to_vec(), much.clone()] {
                let ended = home.run(&["connect", &server.client(0)], input);
                assert_eq!((ended.code, &*ended.out), (0, *answer), "{name} on {at}: {}", ended.err);
                assert!(ended.took < Duration::from_secs(5), "{name} on {at}: {:?}", ended.took);
            }
        }
    });
    eventually("the child that was left is gone", || processes(&left).is_empty());
}

#[test]
fn a_program_knows_both_ends() {
    let home = Home::new();
    let unix = format!("unix:{}", home.path("s"));
    let server = home.serve(&["exec", "tcp://:0", "ws://:0", "tls://:0", &unix, "--", "env"], 4);
    for (at, scheme) in ["tcp", "ws", "tls"].iter().enumerate() {
        let env = home.run(&["connect", &server.client(at)], "").text();
        let value =
            |name: &str| env.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default();
        let port = server.port(at).to_string();
        assert_eq!(
            (value("SERVER_PORT"), value("SERVER_ADDR"), value("REMOTE_ADDR")),
            (&*port, "127.0.0.1", "127.0.0.1"),
            "{env}"
        );
        assert_eq!(value("HULLO_PEER"), format!("{scheme}://127.0.0.1:{}", value("REMOTE_PORT")), "{env}");
        assert!(value("HULLO_LOCAL").starts_with(&format!("{scheme}://127.0.0.1:{port}")), "{env}");
    }
    let env = home.run(&["connect", &server.at[3]], "").text();
    assert!(env.contains(&format!("HULLO_LOCAL={unix}\n")) && env.contains("HULLO_PEER=unix:"), "{env}");
    assert!(!env.contains("REMOTE_ADDR"), "{env}");
}

/// The numbers of the processes with that command line.
fn processes(command: &str) -> Vec<String> {
    let folders = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let is = |folder: &std::path::PathBuf| {
        fs::read_to_string(folder.join("cmdline"))
            .is_ok_and(|line| line.trim_end_matches('\0').replace('\0', " ") == command)
    };
    folders.filter(is).map(|folder| folder.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

/// The children of a process that nobody has reaped or that still run.
fn children(of: i32) -> String {
    let mut ps = Command::new("ps");
    let listed = run(ps.args(["--ppid", &of.to_string(), "-o", "pid=,stat=,args="]), "");
    String::from_utf8_lossy(&listed.out).into_owned()
}

#[test]
fn a_reset_ends_the_whole_group() {
    let home = Home::new();
    // The grandchild is in the group too, and does not care for the end of its input.
    let nap = nap(1);
    let server = serve(&home, ":0", &["sh", "-c", &format!("{nap} & echo begun; {nap}; true")]);
    reset(&server, &nap, false);
}

#[test]
fn a_reset_after_a_half_close_ends_the_whole_group() {
    let home = Home::new();
    let nap = nap(2);
    let server = serve(&home, ":0", &["sh", "-c", &format!("{nap} & echo begun; {nap}; true")]);
    reset(&server, &nap, true);
}

/// A command that nobody else runs, and that ends on its own where a test fails.
fn nap(number: u32) -> String {
    format!("sleep 3{number}.{}", std::process::id())
}

/// Resets a conversation in which two of that command run.
#[track_caller]
fn reset(server: &Server, command: &str, half_closes: bool) {
    let mut talk = TcpStream::connect(("127.0.0.1", server.port(0))).unwrap();
    talk.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(read_until(&mut talk, "b").unwrap(), "b");
    eventually("both run", || processes(command).len() == 2);
    talk.write_all(b"hello\n").unwrap();
    if half_closes {
        talk.shutdown(Shutdown::Write).unwrap();
    }
    // Closed with "egun" unread: the kernel sends a reset.
    drop(talk);
    eventually("neither runs", || processes(command).is_empty());
    eventually("both are reaped", || children(server.program.id()).is_empty());
}

#[test]
fn a_program_that_talks_to_nobody_is_ended() {
    let home = Home::new();
    let server = serve(&home, ":0", &["sh", "-c", "while echo talk; do sleep 0.1234; done"]);
    let talk = Program::start(&mut home.hullo(&["connect", &server.at[0]]));
    talk.heard("talk");
    talk.signal(Signal::INT);
    assert_eq!(talk.ended().code, 130);
    eventually("it runs no more", || children(server.program.id()).is_empty());
}
