#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! What a person sees of a relay: what passes by, a live table, the numbers, and lines of who came and went.

mod common;

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use common::{Ended, Home, Program, Server, peer, run, skipped};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A relay, which listens on that many addresses.
fn relay(home: &Home, words: &[&str], addresses: usize) -> Server {
    Server::start(&mut home.hullo(&[&["relay", "tcp://127.0.0.1:0"], words].concat()), addresses)
}

fn echo(home: &Home) -> Server {
    home.serve(&["echo", "tcp://127.0.0.1:0"], 1)
}

fn ended(relay: Server) -> Ended {
    relay.program.signal(Signal::TERM);
    relay.program.ended()
}

#[test]
fn what_passes_by_is_on_stdout_and_nothing_else_is() {
    let home = Home::new();
    let server = echo(&home);
    let relay = relay(&home, &[&server.at[0], "--inspect=text"], 1);
    let answer = home.run(&["connect", &relay.at[0]], "hello \x1b[2J\n").text();
    assert_eq!(answer, "hello \x1b[2J\n", "what is relayed is as it was");
    relay.program.heard("#1 closed after ");
    let text = ended(relay).text();
    let lines: Vec<_> = text.lines().map(|line| line.split_once("#1 ").map_or(line, |(_, rest)| rest)).collect();
    let (opened, rest) = lines.split_first().unwrap();
    assert!(
        opened.starts_with("opened: tcp://127.0.0.1:") && opened.ends_with(&format!("→ {}", server.at[0])),
        "{text}"
    );
    assert_eq!(rest[..2], ["→ 11 bytes", "  hello \\x1b[2J"], "{text}");
    assert!(rest.contains(&"← 11 bytes") && rest.contains(&"→ end") && rest.contains(&"← end"), "{text}");
    assert!(rest.last().unwrap().ends_with("s: 11 bytes up, 11 bytes down"), "{text}");
}

#[test]
fn a_relay_on_stdio_shows_on_stderr() {
    let home = Home::new();
    let server = echo(&home);
    let ended = home.run(&["relay", "stdio:", &server.at[0], "--inspect"], "data\n");
    assert_eq!((ended.code, &*ended.out), (0, &b"data\n"[..]), "{}", ended.err);
    assert!(ended.err.contains("#1 → 5 bytes\n  data\n"), "{}", ended.err);
}

#[test]
fn the_heads_of_http_are_shown_as_they_pass() {
    let home = Home::new();
    let server = home.serve(&["httpbin", "http://127.0.0.1:0"], 1);
    let to = server.at[0].trim_end_matches('/').replace("http://", "tcp://");
    let relay = relay(&home, &[&to, "--inspect=http"], 1);
    let at = relay.at[0].replace("tcp://", "http://");
    home.run(&["request", &format!("{at}/stream/3")], "").good();
    home.run(&["request", "POST", &format!("{at}/post"), "name=Ada"], "").good();
    relay.program.heard_by(|said| said.matches(" closed after ").count() == 2);
    let text = ended(relay).text();
    for line in [
        "\n  GET /stream/3 HTTP/1.1\n",
        "\n  HTTP/1.1 200 OK\n",
        "\n  POST /post HTTP/1.1\n",
        " → body: 14 bytes, application/json\n",
        "\n  transfer-encoding: chunked\n",
    ] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
    assert!(!text.contains("Ada") && text.matches(" ← body: ").count() == 2, "{text}");
}

#[test]
fn programs_read_an_object_for_each_event() {
    let home = Home::new();
    let server = echo(&home);
    let relay = relay(&home, &["--json", &server.at[0], "--inspect", "--inspect-max", "4"], 1);
    home.run(&["ask", &relay.at[0], "hello"], "").good();
    relay.program.heard("\"closed\"");
    let text = ended(relay).text();
    let objects: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects[0]["event"], "opened", "{text}");
    let piece = objects.iter().find(|object| object["event"] == "piece" && object["way"] == "down").unwrap();
    assert_eq!((&piece["text"], &piece["bytes"], &piece["hidden"]), (&"hell".into(), &6.into(), &2.into()), "{text}");
    assert_eq!(objects.last().unwrap()["down"], 6, "{text}");
}

/// Somebody who says nothing until they are told to, and then a lot.
#[test]
fn whoever_relays_does_not_wait_for_whoever_reads() {
    let home = Home::new();
    let hullo = env!("CARGO_BIN_EXE_hullo");
    let sink = home.serve(&["discard", "tcp://127.0.0.1:0"], 1);
    let many = 64 << 20;
    let script = format!(
        "mkfifo read; {hullo} relay tcp://127.0.0.1:0 {to} --inspect 2>said >read & relay=$!
         exec 3<read
         until at=$(grep -o 'tcp://127[^ ]*' said | head -n1) && [ -n \"$at\" ]; do sleep 0.05; done
         head -c {many} /dev/zero | {hullo} connect $at
         kill $relay
         cat <&3 | grep -c 'not shown: this is read too slowly'
         wait $relay; echo $?",
        to = sink.at[0]
    );
    let ended = run(home.command("bash").current_dir(home.path(".")).args(["-c", &script]), "");
    let text = ended.text();
    let (missed, status) = text.trim().split_once('\n').unwrap_or_else(|| panic!("{text}"));
    assert!(missed.parse::<u32>().unwrap() > 0 && status == "0", "{text}");
}

#[test]
fn a_relay_ends_when_nobody_reads_what_it_shows() {
    let home = Home::new();
    let hullo = env!("CARGO_BIN_EXE_hullo");
    let server = echo(&home);
    let script = format!(
        "set -o pipefail; mkfifo said
         {{ {hullo} relay tcp://127.0.0.1:0 {to} --inspect 2>said; echo status=$? >&2; }} | head -n1 &
         exec 3<said; read -r line <&3; at=$(grep -o 'tcp://127[^ ]*' <<<\"$line\" | head -n1)
         for i in 1 2 3 4 5; do {hullo} ask $at hello 2>/dev/null; done; wait",
        to = server.at[0]
    );
    let ended = run(home.command("bash").current_dir(home.path(".")).args(["-c", &script]), "");
    assert!(ended.err.contains("status=141"), "{ended:?}");
}

/// The metrics' page, line by line.
fn metrics(home: &Home, at: &str) -> String {
    home.run(&["request", &format!("{}/metrics", at.trim_end_matches('/'))], "").text()
}

#[test]
fn the_numbers_move_while_a_connection_lives() {
    let home = Home::new();
    let server = echo(&home);
    let to = &server.at[0];
    // The metrics listen first.
    let relay = relay(&home, &[to, "--metrics", "http://127.0.0.1:0"], 2);
    let (page_at, at) = (&relay.at[0], &relay.at[1]);
    let has = |page: &str, name: &str, more: &str, value: u32| {
        let line = format!("hullo_relay_{name}{{relay=\"{to}\"{more}}} {value}\n");
        assert!(page.contains(&line), "no {line} in {page}");
    };
    let page = metrics(&home, page_at);
    has(&page, "flows_total", "", 0);
    has(&page, "live_flows", "", 0);
    let mut client = TcpStream::connect(at.trim_start_matches("tcp://")).unwrap();
    let mut heard = [0; 1000];
    for round in 1..=3 {
        client.write_all(&[b'x'; 1000]).unwrap();
        client.read_exact(&mut heard).unwrap();
        let page = metrics(&home, page_at);
        has(&page, "flows_total", "", 1);
        has(&page, "live_flows", "", 1);
        has(&page, "bytes_total", ",way=\"up\"", round * 1000);
        has(&page, "bytes_total", ",way=\"down\"", round * 1000);
    }
    drop(client);
    let ended = format!("hullo_relay_live_flows{{relay=\"{to}\"}} 0\n");
    let page = (0..500).map(|_| metrics(&home, page_at)).find(|page| page.contains(&ended)).unwrap();
    has(&page, "flows_total", "", 1);
    has(&page, "bytes_total", ",way=\"up\"", 3000);
    judged(&home, &page);
}

/// A program that reads such pages for a living finds nothing wrong, if it is there.
fn judged(home: &Home, page: &str) {
    std::fs::write(home.path("page"), page).unwrap();
    let script = "
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read
names = [family.name for family in read(open('page').read())]
assert {'hullo_relay_flows', 'hullo_relay_live_flows', 'hullo_relay_bytes'} <= set(names), names
print('good')";
    let Some(python) = peer("python3") else { return };
    if run(home.command(python).args(["-c", "import prometheus_client"]), "").code != 0 {
        return skipped("prometheus_client").unwrap_or_default();
    }
    let ended = run(home.command(python).current_dir(home.path(".")).args(["-c", script]), "");
    assert_eq!(ended.text(), "good\n");
}

#[test]
fn with_v_there_is_a_line_for_each_conversation() {
    let home = Home::new();
    let server = echo(&home);
    let in_words = relay(&home, &["-v", &server.at[0]], 1);
    home.run(&["ask", &in_words.at[0], "hello"], "").good();
    let said = in_words.program.told(" s: 6 bytes up, 6 down\n");
    assert!(said.contains(&format!(" is led to {}\n", server.at[0])), "{said}");
    ended(in_words);
    let relay = relay(&home, &["-v", "--json", &server.at[0]], 1);
    home.run(&["ask", &relay.at[0], "hello"], "").good();
    relay.program.told("\"relayed\"");
    let objects = ended(relay).objects();
    let one = objects.iter().find(|object| object["event"] == "relayed").unwrap();
    assert_eq!((&one["up"], &one["down"], &one["why"]), (&6.into(), &6.into(), &Value::Null));
    assert_eq!(one["server"], Value::from(&*server.at[0]));
}

/// Where the relay listens, as it says.
fn address(said: &str) -> Option<String> {
    let line = said.lines().find(|line| line.contains("listening"))?;
    let (at, _) = line[line.find("tcp://")?..].split_once(['"', ' '])?;
    Some(at.to_owned())
}

/// A relay on a terminal of its own: its number and where it listens.
fn on_terminal(home: &Home, words: &str) -> Option<(Program, Pid, String)> {
    let hullo = env!("CARGO_BIN_EXE_hullo");
    let line = format!(
        "stty rows 24 cols 100; sh -c 'echo \"<$$>\"; exec {hullo} relay {words}'; echo \"status=$?\"; stty -a"
    );
    let mut command = home.command(peer("script")?);
    let program = Program::start(
        command.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm-256color").env("SHELL", "/bin/sh"),
    );
    let said = program.heard_by(|said| address(said).is_some());
    let number = said.split(['<', '>']).nth(1).unwrap().parse().unwrap();
    let at = address(&said).unwrap();
    Some((program, Pid::from_raw(number).unwrap(), at))
}

/// Waits until the terminal is given back, as it was before.
#[track_caller]
fn is_given_back(program: Program, status: u8) -> String {
    let all = String::from_utf8_lossy(&program.ended().out).into_owned();
    let (screen, after) = all.rsplit_once("\x1b[?1049l").unwrap_or_else(|| panic!("the screen was not left: {all:?}"));
    assert!(screen.contains("\x1b[?1049h"), "{all:?}");
    assert!(after.contains(&format!("status={status}")), "{after:?}");
    let words: Vec<_> = after.split([' ', ';', '\r', '\n']).collect();
    for mode in ["echo", "icanon", "isig", "icrnl"] {
        assert!(words.contains(&mode), "{mode} is off: {after}");
    }
    after.to_owned()
}

#[test]
fn a_terminal_shows_a_live_table_and_is_given_back() {
    let home = Home::new();
    let server = echo(&home);
    let Some((mut screen, _, at)) = on_terminal(&home, &format!("tcp://127.0.0.1:0 {}", server.at[0])) else { return };
    screen.heard("nobody is connected");
    let mut client = TcpStream::connect(at.trim_start_matches("tcp://")).unwrap();
    client.write_all(&[b'x'; 54321]).unwrap();
    let mut heard = vec![0; 54321];
    client.read_exact(&mut heard).unwrap();
    screen.heard("54.3k");
    screen.heard(&client.local_addr().unwrap().to_string());
    screen.say("\x1b[B");
    screen.heard("54321 bytes up, 54321 down");
    drop(client);
    screen.heard("ended");
    screen.say("q");
    is_given_back(screen, 0);
}

#[test]
fn a_table_shows_what_goes_wrong_and_says_it_again_behind_it() {
    let home = Home::new();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let Some((screen, number, at)) = on_terminal(&home, &format!("tcp://127.0.0.1:0 tcp://{nobody}")) else { return };
    screen.heard("nobody is connected");
    let mut client = TcpStream::connect(at.trim_start_matches("tcp://")).unwrap();
    // Refused or reset: it is over.
    let _ = client.read(&mut [0]);
    screen.heard("cannot connect to");
    kill_process(number, Signal::TERM).unwrap();
    let after = is_given_back(screen, 0);
    assert!(after.contains(&format!("cannot connect to tcp://{nobody}")), "{after}");
}

#[test]
fn there_is_no_table_where_it_is_not_wanted() {
    let home = Home::new();
    let server = echo(&home);
    let to = &server.at[0];
    for words in ["--no-live", "--inspect", "-v", "--json"] {
        let Some((screen, number, at)) = on_terminal(&home, &format!("tcp://127.0.0.1:0 {to} {words}")) else { return };
        assert_eq!(home.run(&["ask", &at, "hello"], "").text(), "hello\n");
        kill_process(number, Signal::TERM).unwrap();
        let all = String::from_utf8_lossy(&screen.ended().out).into_owned();
        assert!(all.contains("status=0") && !all.contains("\x1b[?1049h"), "{words}: {all:?}");
    }
    let refused = home.run(&["relay", "tcp://127.0.0.1:0", to, "--live"], "");
    assert!(refused.code == 2 && refused.err.contains("cannot show a live table"), "{refused:?}");
}
