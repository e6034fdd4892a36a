//! A program on either side of a relay, and as the other end of a client.

use std::{fs, path::Path};

use super::{
    ANSWER, all_ten,
    common::{Home, Program, at_once, eventually},
    programs, relay,
};

/// The late answer of the other tests, as an address.
const LATE: &str = "exec:sh -c 'cat >/dev/null; sleep 1; printf 0123456789'";

#[test]
fn a_client_talks_to_a_program() {
    let home = Home::new();
    for (words, input, wanted) in [
        (&["connect", "exec:tr a-z A-Z"][..], "hello\n", "HELLO\n"),
        (&["connect", LATE], "hello\n", "0123456789"),
        // Quotes are a shell's; nothing else of a shell is.
        (&["connect", "exec:printf %25s-%25s-%25s 'a  b' \"c\" $HOME"], "", "a  b-c-$HOME"),
        (&["connect", "exec:printf '%3F %23 %25%25'"], "", "? # %"),
        (&["connect", "exec:tr%20a-z%20A-Z?idle=9s"], "hello\n", "HELLO\n"),
        (&["ask", "exec:sed -u s/^/heard-/", "hello"], "", "heard-hello\n"),
        (&["connect", "exec:true"], "hello\n", ""),
        (&["connect", "exec:sh -c 'echo some; exit 3'"], "hello\n", "some\n"),
    ] {
        let ended = home.run(words, input);
        assert_eq!((ended.code, &*String::from_utf8_lossy(&ended.out)), (0, wanted), "{words:?}: {}", ended.err);
    }
    let bulk = super::common::noise(2_000_000);
    assert!(home.run(&["connect", "exec:cat"], bulk.clone()).good() == bulk);
}

#[test]
fn what_is_no_command_is_refused() {
    let home = Home::new();
    for (address, code, why) in [
        ("exec:", 2, "names no program"),
        ("exec:sh -c 'open", 2, "quote"),
        ("exec:grep a?b", 2, "%3F"),
        ("exec:echo #1", 2, "%23"),
        ("exec:cat?cert=x", 2, "means nothing on exec"),
        ("exec://host/cat", 2, "host"),
        ("exec:no-such-program x", 20, "cannot run 'no-such-program'"),
        ("exec:/etc/passwd", 20, "there is no program '/etc/passwd'"),
        ("exec:sh -c 'exit 3'", 20, "said nothing and ended with exit status: 3"),
        ("exec:sleep 30?idle=200ms", 13, "nothing moved"),
    ] {
        let ended = home.run(&["connect", address], "");
        assert_eq!(ended.code, code, "{address}: {}", ended.err);
        assert!(ended.err.contains(why), "{address}: {}", ended.err);
    }
}

#[test]
fn every_client_of_a_relay_has_a_program_of_its_own() {
    let home = Home::new();
    let unix = format!("unix:{}", home.path("s"));
    at_once(&[":0", "tls://:0", &unix, "ws://:0", "wss://:0", "http://:0"], |at| {
        let relay = relay(&home, &[at, LATE]);
        let to = relay.client(0);
        at_once(&[1, 2], |_| all_ten(at, home.run(&["connect", &to], "hello\n")));
    });
}

#[test]
fn messages_are_lines_to_a_program() {
    let home = Home::new();
    let relay = relay(&home, &["ws://:0", "exec:sed -u s/^/heard-/?frame=lines"]);
    assert_eq!(home.run(&["ask", &relay.at[0], "hello"], "").text(), "heard-hello\n");
}

#[test]
fn a_program_may_end_its_side_and_go_on_listening() {
    let home = Home::new();
    let heard = home.path("heard");
    let relay =
        relay(&home, &[":0", &format!("exec:sh -c 'printf 0123456789; exec >&-; read line; echo $line >{heard}'")]);
    let mut client = Program::start(&mut home.hullo(&["connect", "--linger", "9s", &relay.at[0]]));
    client.heard("0123456789");
    client.say("afterwards\n");
    client.hang_up();
    assert_eq!(client.ended().good(), ANSWER);
    eventually("it is heard", || fs::read(&heard).is_ok_and(|all| all == b"afterwards\n"));
}

#[test]
fn a_program_knows_the_client_that_it_runs_for() {
    let home = Home::new();
    let relay = relay(&home, &[":0", "exec:env"]);
    let env = home.run(&["connect", &relay.at[0]], "").text();
    let port = relay.port(0).to_string();
    for line in ["REMOTE_ADDR=127.0.0.1", "HULLO_PEER=tcp://127.0.0.1:", &format!("SERVER_PORT={port}")] {
        assert!(env.lines().any(|one| one.starts_with(line)), "no {line} in {env}");
    }
    let alone = home.run(&["connect", "exec:env"], "").text();
    assert!(!alone.contains("HULLO_PEER="), "{alone}");
}

#[test]
fn a_program_is_the_one_client() {
    let home = Home::new();
    let server = programs(&home, &[":0"], &["tr", "a-z", "A-Z"]);
    let heard = home.path("heard");
    let client = format!("exec:sh -c 'echo hello; exec >&-; cat >{heard}'");
    let ended = home.run(&["relay", &client, &server.at[0]], "");
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(fs::read(&heard).unwrap(), b"HELLO\n", "{}", ended.err);
    // And a program on both sides.
    let ended = home.run(&["relay", &client.replace("hello", "again"), "exec:rev"], "");
    assert_eq!((ended.code, fs::read(&heard).unwrap()), (0, b"niaga\n".to_vec()), "{}", ended.err);
}

/// The numbers of the processes with that command line.
fn run_by(command: &str) -> usize {
    let lines = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read_to_string(entry.unwrap().path().join("cmdline")).ok());
    lines.filter(|line| line.trim_end_matches('\0').replace('\0', " ") == command).count()
}

#[test]
fn the_group_of_a_program_goes_with_its_conversation() {
    let home = Home::new();
    let nap = format!("sleep 37.{}", std::process::id());
    let to = format!("exec:sh -c '{nap} & echo begun; {nap}; true'");
    let relay = relay(&home, &[":0", &to, "--grace", "100ms"]);
    let begin = || {
        let client = Program::start(&mut home.hullo(&["connect", &relay.at[0]]));
        client.heard("begun");
        eventually("both run", || run_by(&nap) == 2);
        client
    };
    // A client who is killed with something unread would reset; one that only ends leaves the program to its end.
    let client = begin();
    let ended = relay.interrupted();
    assert!(ended.code == 0 && ended.err.contains("cut off"), "{} {}", ended.code, ended.err);
    eventually("neither runs", || run_by(&nap) == 0);
    drop(client);
    let client = Program::start(&mut home.hullo(&["connect", &to]));
    client.heard("begun");
    eventually("both run", || run_by(&nap) == 2);
    client.signal(rustix::process::Signal::INT);
    assert_eq!(client.ended().code, 130);
    eventually("neither runs", || run_by(&nap) == 0);
}

#[test]
fn only_who_types_a_relay_or_a_client_runs_a_program() {
    let home = Home::new();
    let mark = home.path("mark");
    let address = format!("exec:touch%20{mark}");
    let config = home.file("c.toml", format!("[[serve]]\nservice = \"echo\"\naddresses = [\"{address}\"]\n"));
    let redirects = home.python(&format!(
        "import http.server as h\nclass R(h.BaseHTTPRequestHandler):\n def do_GET(self):\n  self.send_response(302)\n  \
         self.send_header('Location', '{address}')\n  self.end_headers()\ns = h.HTTPServer(('127.0.0.1', 0), R)\n\
         print(s.server_port)\ns.serve_forever()\n"
    ));
    let redirecting =
        redirects.as_ref().map_or_else(|| address.clone(), |python| format!("http://127.0.0.1:{}/", python.port));
    for words in [
        &["serve", "echo", &*address][..],
        &["serve", "--config", &config],
        &["request", &address],
        &["request", "--follow", &redirecting],
        &["check", &address],
        &["chat", &address],
    ] {
        let ended = home.run(words, "");
        assert_ne!(ended.code, 0, "{words:?}");
        assert!(!Path::new(&mark).exists(), "{words:?}: {}", ended.err);
    }
    let mut proxied = home.hullo(&["request", "http://127.0.0.1:1/"]);
    let ended = super::common::run(proxied.env("ALL_PROXY", &address).env("http_proxy", &address), "");
    assert!(ended.code != 0 && !Path::new(&mark).exists(), "{}", ended.err);
    // While who types it does.
    home.run(&["connect", &address], "").good();
    assert!(Path::new(&mark).exists());
}
