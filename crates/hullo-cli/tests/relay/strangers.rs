//! Programs of others on either side of a relay.

use std::time::{Duration, Instant};

use super::{
    ANSWER, LATE, all_ten,
    common::{Home, Program, at_once, free_port, peer, run},
    programs, relay,
};

#[test]
fn other_clients_get_late_answers() {
    let home = Home::new();
    let server = programs(&home, &["tcp://:0"], LATE);
    let socket = home.path("s");
    let tcp = relay(&home, &[":0", &server.at[0]]);
    let tls = relay(&home, &["tls://:0", &server.at[0]]);
    let _unix = relay(&home, &[&format!("unix:{socket}"), &server.at[0]]);
    let http = relay(&home, &["http://:0", &server.at[0]]);
    let (tcp_port, tls_port) = (tcp.port(0).to_string(), tls.port(0).to_string());
    let (on_tcp, on_tls, on_unix, on_http) = (
        format!("TCP:127.0.0.1:{tcp_port}"),
        format!("OPENSSL:127.0.0.1:{tls_port},verify=0"),
        format!("UNIX-CONNECT:{socket}"),
        http.at[0].clone(),
    );
    let table: &[(&str, &[&str])] = &[
        ("nc.openbsd", &["-N", "127.0.0.1", &tcp_port]),
        ("nc.openbsd", &["-N", "-U", &socket]),
        ("nc.traditional", &["-q", "5", "127.0.0.1", &tcp_port]),
        ("ncat", &["127.0.0.1", &tcp_port]),
        ("ncat", &["--ssl", "127.0.0.1", &tls_port]),
        ("ncat", &["-U", &socket]),
        ("socat", &["-t5", "-", &on_tcp]),
        ("socat", &["-t5", "-", &on_tls]),
        ("socat", &["-t5", "-", &on_unix]),
        ("curl", &["-s", "--data-binary", "@-", &on_http]),
        ("curl", &["-s", "-T", "-", &on_http]),
    ];
    at_once(table, |(name, words)| {
        let Some(name) = peer(name) else { return };
        all_ten(&format!("{name} {words:?}"), run(home.command(name).args(*words), "hello\n"));
    });
}

const PYTHON: &str = r#"
import socket, time
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen()
print(server.getsockname()[1])
talk, _ = server.accept()
while talk.recv(1024): pass
time.sleep(1)
talk.sendall(b"0123456789")
talk.close()
"#;

#[test]
fn other_servers_answer_late() {
    let home = Home::new();
    at_once(&["python3", "socat"], |name| {
        let Some(name) = peer(name) else { return };
        let (_server, port) = match name {
            "python3" => {
                let python = home.python(PYTHON).unwrap();
                (python.program, python.port)
            }
            _ => {
                let late = format!("SYSTEM:{}", LATE[2]);
                let words = ["-t5", "-d", "-d", "TCP-LISTEN:0,bind=127.0.0.1", &late];
                let program = Program::start(home.command(name).args(words));
                let said = program.told("listening on ");
                (program, said.trim().rsplit(':').next().unwrap().parse().unwrap())
            }
        };
        let relay = relay(&home, &["tls://:0", &format!("tcp://127.0.0.1:{port}")]);
        all_ten(name, home.run(&["connect", &relay.client(0)], "hello\n"));
    });
}

/// Somebody behind the relay hears a line, types ten bytes and ends, as `nc -l` has people do it.
#[test]
fn somebody_behind_it_types() {
    let home = Home::new();
    let ports: Vec<String> = (0..4).map(|_| free_port().to_string()).collect();
    let socket = home.path("s");
    let tcp = |at: usize| format!("tcp://127.0.0.1:{}", ports[at]);
    let tls = format!("tls://127.0.0.1:{}?insecure=true", ports[2]);
    let table: &[(&str, &[&str], String)] = &[
        ("nc.openbsd", &["-Nlv", "127.0.0.1", &ports[0]], tcp(0)),
        ("ncat", &["-lv", "127.0.0.1", &ports[1]], tcp(1)),
        ("ncat", &["-lv", "--ssl", "127.0.0.1", &ports[2]], tls),
        ("ncat", &["-lvU", &socket], format!("unix:{socket}")),
        ("nc.traditional", &["-lvn", "-q", "1", "-s", "127.0.0.1", "-p", &ports[3]], tcp(3)),
    ];
    at_once(table, |(name, words, at)| {
        let Some(name) = peer(name) else { return };
        let mut typist = Program::start(home.command(name).args(*words));
        typist.told("istening on");
        let relay = relay(&home, &[":0", at]);
        let mut client = Program::start(&mut home.hullo(&["connect", &relay.at[0]]));
        client.say("hello\n");
        typist.heard("hello\n");
        typist.say(ANSWER);
        client.heard("0123456789");
        client.hang_up();
        typist.hang_up();
        let ended = client.ended();
        // ncat 7.93 ends TLS without a farewell: the relay knows that as a cut, and says it on.
        let is_cut = at.starts_with("tls") && ended.code == 15;
        assert!(ended.code == 0 || is_cut, "{name} at {at}: {} {}", ended.code, ended.err);
        assert_eq!(ended.out, ANSWER, "{name} at {at}");
    });
}

#[test]
fn curl_talks_to_its_server_through_a_relay() {
    let home = Home::new();
    let Some(curl) = peer("curl") else { return };
    let server = home.serve(&["echo", "http://:0", "https://:0"], 2);
    let table = [
        (":0", format!("tcp://127.0.0.1:{}", server.port(0)), "http", "said 1.1"),
        ("tls://:0?alpn=http/1.1", format!("tcp://127.0.0.1:{}", server.port(0)), "https", "said 1.1"),
        (":0", format!("tcp://127.0.0.1:{}", server.port(1)), "https", "said 2"),
        (":0", format!("tls://127.0.0.1:{}?insecure=true&alpn=http/1.1", server.port(1)), "http", "said 1.1"),
    ];
    for (listen, to, scheme, wanted) in table {
        let relay = relay(&home, &[listen, &to]);
        let url = format!("{scheme}://127.0.0.1:{}/", relay.port(0));
        let ended = run(home.command(curl).args(["-sk", "-d", "said", "-w", " %{http_version}", &url]), "");
        assert_eq!(String::from_utf8_lossy(&ended.out), wanted, "{listen} to {to}: {}", relay.program.so_far());
    }
}

#[test]
fn a_relay_takes_and_puts_on_tls_in_front_of_openssl() {
    let home = Home::new();
    let Some(openssl) = peer("openssl") else { return };
    let server = home.serve(&["echo", ":0"], 1);
    let relay = relay(&home, &["tls://:0", &server.at[0]]);
    let at = format!("127.0.0.1:{}", relay.port(0));
    let mut talk = Program::start(home.command(openssl).args(["s_client", "-quiet", "-connect", &at]));
    talk.say("hello\n");
    talk.heard("hello\n");
}

/// A chain of three relays over three transports is one conversation, as quick as its slowest link.
#[test]
fn relays_stand_behind_relays() {
    let home = Home::new();
    let server = programs(&home, &["tcp://:0"], LATE);
    let last = relay(&home, &["wss://:0", &server.at[0]]);
    let middle = relay(&home, &[&format!("unix:{}", home.path("s")), &last.client(0)]);
    let first = relay(&home, &["tls://:0", &middle.at[0]]);
    let begun = Instant::now();
    all_ten("three relays", home.run(&["connect", &first.client(0)], "hello\n"));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}
