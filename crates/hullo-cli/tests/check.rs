#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! `check` and its `--wait`, and `serve` on stdin and stdout, as under inetd.

mod common;

use std::{net::TcpListener, process::Stdio, time::Duration};

use common::{Home, Program, at_once, free_port, noise, object};

#[test]
fn each_step_is_told() {
    let home = Home::new();
    let unix = format!("unix:{}", home.path("s"));
    let server = home.serve(
        &["echo", "tcp://:0", "tls://:0", "ws://:0", "wss://:0", "http://:0", "https://:0", "udp://:0", &unix],
        8,
    );
    let table: &[&[&str]] = &[
        &["connected to", "waits for us to talk"],
        &["connected to", "TLS 1.3 TLS13_", "waits for us to talk"],
        &["connected to", "WebSocket stands"],
        &["connected to", "TLS 1.3 TLS13_", "WebSocket stands"],
        &["connected to", "it answers 200 OK"],
        &["connected to", "TLS 1.3 TLS13_", "h2", "it answers 200 OK"],
        &["connected to", "answers an empty datagram with 0 bytes"],
        &["connected to"],
    ];
    for (at, steps) in table.iter().enumerate() {
        let address = server.client(at);
        let said = home.run(&["check", &address], "").text();
        let mut rest = &*said;
        for step in *steps {
            let (_, after) =
                rest.split_once(step).unwrap_or_else(|| panic!("{address}: no {step:?} in its place in {said}"));
            rest = after;
        }
        let last = said.lines().last().unwrap();
        assert!(last.starts_with(&format!("ok {} is up", server.at[at])), "{said}");
        let timed = |line: &str| line.split_whitespace().next().unwrap().parse::<f64>().is_ok();
        // What stands under a step is indented further than any time.
        let mut steps = said.lines().rev().skip(1).filter(|line| !line.starts_with(&" ".repeat(14)));
        assert!(steps.all(timed), "each step has its time: {said}");
        let objects: Vec<_> = home.run(&["--json", "check", &address], "").text().lines().map(object).collect();
        assert_eq!(objects.last().unwrap()["event"], "up", "{address}");
    }
}

#[test]
fn greeters_and_broken_servers_are_told_apart() {
    let home = Home::new();
    let server = home.serve(&["greet", ":0"], 1);
    let said = home.run(&["check", &server.at[0]], "").text();
    assert!(said.contains("it says 15 bytes by itself"), "{said}");
    let script = "import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 0))\ns.listen()\nprint(s.getsockname()[1])\nwhile True:\n    t, _ = s.accept()\n    t.recv(999)\n    t.sendall(b'HTTP/1.1 503 Busy\\r\\nContent-Length: 0\\r\\n\\r\\n')\n    t.close()\n";
    let Some(busy) = home.python(script) else { return };
    let ended = home.run(&["check", &format!("http://127.0.0.1:{}/", busy.port)], "");
    assert_eq!(ended.code, 16, "{}", ended.err);
    assert!(ended.err.contains("503"), "{}", ended.err);
}

#[test]
fn a_port_for_https_is_up_and_says_what_it_wants() {
    let home = Home::new();
    let server = home.serve(&["echo", "https://:0"], 1);
    let said = home.run(&["check", &format!("http://127.0.0.1:{}/", server.port(0))], "").text();
    assert!(said.contains("is up: it answers 400 Bad Request, since it speaks HTTPS: try https://"), "{said}");
}

/// With `--json`, who reads stdout alone finds the steps and the verdict.
#[test]
fn the_verdict_stands_where_the_steps_are() {
    let home = Home::new();
    let nobody = format!("tcp://127.0.0.1:{}", free_port());
    for words in [&["--json", "check", &*nobody][..], &["--json", "check", "--wait", "200ms", &nobody]] {
        let ended = home.run(words, "");
        let (said, told) = (String::from_utf8(ended.out.clone()).unwrap(), ended.objects());
        let down = common::object(said.lines().last().unwrap());
        assert_eq!((ended.code, &down["event"], &down["kind"]), (11, &"down".into(), &"refused".into()), "{said}");
        assert_eq!(down["address"], *nobody, "{said}");
        let error = told.last().unwrap();
        assert_eq!((&error["event"], &error["message"]), (&"error".into(), &down["message"]), "{}", ended.err);
    }
    let mistaken = home.run(&["--json", "check", "tcp://h:1?idel=3"], "");
    assert!(mistaken.code == 2 && mistaken.out.is_empty(), "{}", mistaken.err);
}

/// A server that starts only when the check has failed once is found all the same.
#[test]
fn it_waits_for_a_server_that_starts_later() {
    let home = Home::new();
    at_once(&["tcp", "http", "ws", "tls", "unix"], |scheme| {
        let at = match *scheme {
            "unix" => format!("unix:{}", home.path("late")),
            scheme => format!("{scheme}://127.0.0.1:{}", free_port()),
        };
        let trusting = if *scheme == "tls" { format!("{at}?insecure=true") } else { at.clone() };
        let check = Program::start(&mut home.hullo(&["check", "--wait", "9s", &trusting]));
        check.told("not yet: ");
        let _server = home.serve(&["echo", &at], 1);
        let ended = check.ended();
        assert_eq!(ended.err.matches("not yet").count(), 1, "{}", ended.err);
        let said = ended.text();
        assert!(said.contains("is up"), "{said}");
    });
}

#[test]
fn it_gives_up_when_the_time_is_over() {
    let home = Home::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = format!("http://127.0.0.1:{}/", silent.local_addr().unwrap().port());
    let nobody = format!("127.0.0.1:{}", free_port());
    let server = home.serve(&["echo", "tls://:0"], 1);
    for (code, line) in [
        (11, &["--wait", "600ms", &nobody][..]),
        (13, &["--wait", "600ms", "--timeout", "200ms", &mute]),
        (14, &["--wait", "600ms", &server.at[0]]),
    ] {
        let ended = home.run(&[&["check"], line].concat(), "");
        assert_eq!(ended.code, code, "{line:?}: {}", ended.err);
        assert!(
            (Duration::from_millis(600)..Duration::from_secs(4)).contains(&ended.took),
            "{line:?}: {:?}",
            ended.took
        );
        assert!(ended.err.contains("still not up after"), "{line:?}: {}", ended.err);
    }
    let ended = home.run(&["check", "--timeout", "200ms", &mute], "");
    assert_eq!(ended.code, 13, "{}", ended.err);
    // What cannot be meant gets no better by waiting.
    let ended = home.run(&["check", "--wait", "9s", "tcp://h:1?idel=3"], "");
    assert!(ended.code == 2 && ended.took < Duration::from_secs(3), "{:?} {}", ended.took, ended.err);
}

/// The time of `--wait` is all of it, also where one attempt alone would take longer.
#[test]
fn the_last_attempt_does_not_outlast_the_wait() {
    let home = Home::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = format!("http://127.0.0.1:{}/", silent.local_addr().unwrap().port());
    let ended = home.run(&["check", "--wait", "500ms", &mute], "");
    assert_eq!(ended.code, 13, "{}", ended.err);
    assert!(ended.took < Duration::from_secs(4), "{:?}", ended.took);
}

#[test]
fn stdio_is_one_conversation() {
    let home = Home::new();
    let bulk = noise(3_000_000);
    for at in ["stdio:", "-"] {
        let ended = home.run(&["serve", "echo", at], bulk.clone());
        assert_eq!(ended.code, 0, "{}", ended.err);
        assert!(ended.out == bulk, "{at}: {} bytes of {}", ended.out.len(), bulk.len());
        assert!(ended.err.starts_with("listening on stdio: (echo)\n"), "{}", ended.err);
    }
    assert_eq!(home.run(&["serve", "greet", "stdio:"], "").text(), "Hello, World!\r\n");
    assert_eq!(home.run(&["serve", "convert", "stdio:"], "36.6\n0 C to K\n").text(), "97.88 °F\n273.15 K\n");
    let late = ["serve", "exec", "stdio:", "--", "sh", "-c", "cat >/dev/null; sleep 1; printf 0123456789"];
    assert_eq!(home.run(&late, "hello\n").text(), "0123456789");
}

/// inetd hands over one socket as stdin and stdout.
#[test]
fn a_socket_may_be_stdin_and_stdout() {
    use std::{
        io::{Read, Write},
        net::{Shutdown, TcpStream},
        os::fd::OwnedFd,
        thread,
    };
    let home = Home::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (socket, _) = listener.accept().unwrap();
    let both: [OwnedFd; 2] = [socket.try_clone().unwrap().into(), socket.into()];
    let [input, output] = both.map(Stdio::from);
    let mut command = home.hullo(&["serve", "echo", "stdio:"]);
    let mut child = command.stdin(input).stdout(output).stderr(Stdio::null()).spawn().unwrap();
    drop(command);
    client.set_read_timeout(Some(common::PATIENCE)).unwrap();
    let bulk = noise(3_000_000);
    let (mut writer, sent) = (client.try_clone().unwrap(), bulk.clone());
    let writing = thread::spawn(move || writer.write_all(&sent).and_then(|()| writer.shutdown(Shutdown::Write)));
    let mut back = Vec::new();
    client.read_to_end(&mut back).unwrap();
    writing.join().unwrap().unwrap();
    assert!(back == bulk, "{} bytes", back.len());
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_makes_no_sense_is_refused_in_one_sentence() {
    let home = Home::new();
    for words in [&["stdio:", "-"][..], &[":0", "stdio:", "stdio:"], &["memory://room"], &["memory:room", ":0"]] {
        let ended = home.run(&[&["serve", "echo"], words].concat(), "hello\n");
        assert_eq!((ended.code, &*ended.out), (2, &b""[..]), "{words:?}: {}", ended.err);
        let refusal: Vec<_> = ended.err.lines().filter(|line| line.starts_with("hullo: cannot serve on")).collect();
        assert_eq!(refusal.len(), 1, "{words:?}: {}", ended.err);
        // At start: before anybody could have been served.
        assert!(!ended.err.contains("listening on"), "{words:?}: {}", ended.err);
    }
    let ended = home.run(&["ask", "memory:room", "hello"], "");
    assert_ne!(ended.code, 0, "{}", ended.err);
}
