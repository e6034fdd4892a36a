#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! Proxies: real programs through ours, and our verbs through ours and those of others.

mod common;

use std::net::TcpListener;

use common::{Home, Program, Server, at_once, peer, run};

/// A password as the command line does not have to show it: the account is `bob`, with the password `ümlaut`.
const HASHED: &str =
    "bob:$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$AtH6SauySk/FajYo0hftM8GAAFCSVky0hBueQHZzFao";

/// What is behind the proxies, and two of each kind: an open one, and one for who has an account.
struct Net {
    behind: Server,
    /// Says its answer when the question has ended.
    late: Server,
    proxies: Vec<(&'static str, Server)>,
}

impl Net {
    fn new(home: &Home) -> Self {
        let behind = home.serve(&["echo", "tcp://:0", "http://:0", "https://:0", "wss://:0", "tls://:0"], 5);
        let late = home.serve(&["exec", "tcp://:0", "--", "sh", "-c", "cat > /dev/null; echo 0123456789"], 1);
        let accounts = format!("@{}", home.file("accounts", format!("ada:se:cret\n{HASHED}\n")));
        let proxy = |word, words: &[&str]| (word, home.serve(words, 1));
        let proxies = vec![
            proxy("{socks}", &["socks5", "tcp://:0"]),
            proxy("{http}", &["connect", "tcp://:0"]),
            proxy("{socks!}", &["socks5", "tcp://:0", "--auth", &accounts]),
            proxy("{http!}", &["connect", "tcp://:0", "--auth", &accounts]),
        ];
        Self { behind, late, proxies }
    }

    /// The words with ports in their places.
    fn fill(&self, word: &str) -> String {
        let behind = ["{tcp}", "{web}", "{webs}", "{wss}", "{tls}"].into_iter().enumerate();
        let behind = behind.map(|(at, name)| (name, self.behind.port(at)));
        let proxies = self.proxies.iter().map(|(name, server)| (*name, server.port(0)));
        let ports = behind.chain(proxies).chain([("{late}", self.late.port(0))]);
        ports.fold(word.to_owned(), |word, (name, port)| word.replace(name, &port.to_string()))
    }
}

/// A program and its words; what goes in is `hullo`, and what comes back that or else the late answer.
struct Case(&'static str, &'static [&'static str]);

const THROUGH: &[Case] = &[
    Case("curl", &["-sS", "-d", "hullo", "-x", "socks5h://127.0.0.1:{socks}", "http://localhost:{web}/"]),
    Case("curl", &["-sS", "-d", "hullo", "-x", "socks5://127.0.0.1:{socks}", "http://127.0.0.1:{web}/"]),
    Case("curl", &["-sS", "-d", "hullo", "-x", "socks4a://127.0.0.1:{socks}", "http://localhost:{web}/"]),
    Case("curl", &["-sS", "-d", "hullo", "-x", "socks4://127.0.0.1:{socks}", "http://127.0.0.1:{web}/"]),
    Case("curl", &["-sSk", "-d", "hullo", "-x", "socks5h://127.0.0.1:{socks}", "https://localhost:{webs}/"]),
    Case("curl", &["-sS", "-d", "hullo", "-x", "socks5h://ada:se:cret@127.0.0.1:{socks!}", "http://localhost:{web}/"]),
    Case(
        "curl",
        &["-sS", "-d", "hullo", "-x", "socks5h://127.0.0.1:{socks!}", "-U", "bob:ümlaut", "http://localhost:{web}/"],
    ),
    Case("curl", &["-sSk", "-d", "hullo", "-x", "http://127.0.0.1:{http}", "https://localhost:{webs}/"]),
    Case("curl", &["-sS", "-d", "hullo", "-p", "-x", "http://127.0.0.1:{http}", "http://localhost:{web}/"]),
    Case("curl", &["-sS", "-d", "hullo", "--proxy1.0", "127.0.0.1:{http}", "-p", "http://localhost:{web}/"]),
    Case(
        "curl",
        &["-sS", "-d", "hullo", "-p", "-x", "http://127.0.0.1:{http!}", "-U", "ada:se:cret", "http://localhost:{web}/"],
    ),
    Case(
        "curl",
        &[
            "-sS",
            "-d",
            "hullo",
            "-p",
            "-x",
            "127.0.0.1:{http!}",
            "--proxy-anyauth",
            "-U",
            "bob:ümlaut",
            "http://localhost:{web}/",
        ],
    ),
    Case("ncat", &["--proxy", "127.0.0.1:{socks}", "--proxy-type", "socks4", "127.0.0.1", "{tcp}"]),
    Case("ncat", &["--proxy", "127.0.0.1:{socks}", "--proxy-type", "socks5", "localhost", "{tcp}"]),
    Case(
        "ncat",
        &["--proxy", "127.0.0.1:{socks}", "--proxy-type", "socks5", "--proxy-dns", "remote", "localhost", "{tcp}"],
    ),
    Case(
        "ncat",
        &[
            "--proxy",
            "127.0.0.1:{socks!}",
            "--proxy-type",
            "socks5",
            "--proxy-auth",
            "ada:se:cret",
            "localhost",
            "{tcp}",
        ],
    ),
    Case("ncat", &["--proxy", "127.0.0.1:{http}", "--proxy-type", "http", "localhost", "{tcp}"]),
    Case(
        "ncat",
        &["--proxy", "127.0.0.1:{http!}", "--proxy-type", "http", "--proxy-auth", "ada:se:cret", "localhost", "{tcp}"],
    ),
    Case("ncat", &["--proxy", "127.0.0.1:{http}", "--proxy-type", "http", "localhost", "{late}"]),
    Case("ncat", &["--proxy", "127.0.0.1:{socks}", "--proxy-type", "socks5", "localhost", "{late}"]),
    Case("nc.openbsd", &["-N", "-X", "4", "-x", "127.0.0.1:{socks}", "127.0.0.1", "{tcp}"]),
    Case("nc.openbsd", &["-N", "-X", "5", "-x", "127.0.0.1:{socks}", "localhost", "{tcp}"]),
    Case("nc.openbsd", &["-N", "-X", "connect", "-x", "127.0.0.1:{http}", "localhost", "{tcp}"]),
    Case("nc.openbsd", &["-N", "-X", "5", "-x", "127.0.0.1:{socks}", "localhost", "{late}"]),
    Case("nc.openbsd", &["-N", "-X", "connect", "-x", "127.0.0.1:{http}", "localhost", "{late}"]),
    Case("socat", &["-t5", "-", "SOCKS4A:127.0.0.1:localhost:{tcp},socksport={socks}"]),
    Case("socat", &["-t5", "-", "PROXY:127.0.0.1:localhost:{tcp},proxyport={http}"]),
    Case("socat", &["-t5", "-", "PROXY:127.0.0.1:localhost:{late},proxyport={http!},proxyauth=ada:se:cret"]),
    Case("python3", &["-c", TUNNEL, "{http!}", "{web}"]),
];

/// The tunnel of python's own client.
const TUNNEL: &str = r#"
import base64, http.client, sys
talk = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
talk.set_tunnel("localhost", int(sys.argv[2]), {"Proxy-Authorization": "Basic " + base64.b64encode(b"ada:se:cret").decode()})
talk.request("POST", "/", sys.stdin.read())
print(talk.getresponse().read().decode(), end="")
"#;

#[test]
fn the_programs_of_others_go_through_ours() {
    let home = Home::new();
    let net = Net::new(&home);
    let cases = THROUGH.iter().filter_map(|Case(name, words)| {
        let wanted = if words.iter().any(|word| word.contains("{late}")) { "0123456789\n" } else { "hullo" };
        Some((peer(name)?, words.iter().map(|word| net.fill(word)).collect::<Vec<_>>(), wanted))
    });
    at_once(&cases.collect::<Vec<_>>(), |(name, words, wanted)| {
        let ended = run(home.command(name).args(words).env_remove("no_proxy").env_remove("NO_PROXY"), "hullo");
        assert_eq!(String::from_utf8_lossy(&ended.out), *wanted, "{name} {words:?} said: {}", ended.err);
    });
}

#[test]
fn who_is_not_let_in_hears_so() {
    let home = Home::new();
    let net = Net::new(&home);
    for (proxy, login, code, why) in [
        ("socks5h://127.0.0.1:{socks!}", "ada:wrong", 97, ""),
        ("socks5h://127.0.0.1:{socks!}", "bob:", 97, ""),
        ("socks4a://127.0.0.1:{socks!}", "ada:se:cret", 97, ""),
        ("http://127.0.0.1:{http!}", "ada:wrong", 56, "407"),
        ("http://127.0.0.1:{http!}", ":", 56, "407"),
        ("http://127.0.0.1:{http}", ":", 0, ""),
    ] {
        let Some(curl) = peer("curl") else { return };
        let (proxy, to) = (net.fill(proxy), net.fill("http://localhost:{web}/"));
        let ended = run(home.command(curl).args(["-sS", "-p", "-x", &proxy, "-U", login, &to]), "");
        assert!(ended.code == code && ended.err.contains(why), "{proxy} {login}: {} {}", ended.code, ended.err);
    }
    for (name, server) in &net.proxies {
        assert!(!server.program.so_far().contains("cret"), "{name}: {}", server.program.so_far());
    }
}

#[test]
fn our_verbs_go_through_chains_of_them() {
    let home = Home::new();
    let net = Net::new(&home);
    let chain = net
        .fill("via=socks5://ada@127.0.0.1:{socks!}&via=http://ada@localhost:{http!}&via=socks4a://localhost:{socks}");
    let hullo = |words: &[&str], input: &str| {
        let words: Vec<_> = words.iter().map(|word| net.fill(word).replace("{chain}", &chain)).collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        run(home.hullo(&words).env("HULLO_VIA_PASSWORD", "se:cret"), input)
    };
    for (words, wanted) in [
        (&["connect", "tcp://localhost:{tcp}?{chain}"][..], "hullo"),
        (&["connect", "tcp://localhost:{late}?{chain}"], "0123456789\n"),
        (&["connect", "tls://localhost:{tls}?insecure=true&{chain}"], "hullo"),
        (&["connect", "wss://localhost:{wss}/?insecure=true&{chain}"], "hullo"),
        (&["ask", "tcp://localhost:{tcp}?{chain}", "hullo"], "hullo\n"),
        (&["ask", "https://localhost:{webs}/?insecure=true&{chain}", "hullo"], "hullo\n"),
        (&["request", "http://localhost:{web}/?{chain}", "--raw", "hullo"], "hullo"),
        (&["request", "https://localhost:{webs}/?insecure=true#{chain}", "--raw", "hullo"], "hullo"),
        (
            &[
                "request",
                "--proxy",
                "http://ada@localhost:{http!}",
                "https://localhost:{webs}/?insecure=true#{chain}",
                "--raw",
                "hullo",
            ],
            "hullo",
        ),
    ] {
        let ended = hullo(words, "hullo");
        assert_eq!(String::from_utf8_lossy(&ended.out), wanted, "{words:?}: {}", ended.err);
        assert!(ended.code == 0 && !ended.err.contains("se:cret"), "{words:?}: {}", ended.err);
    }
    let steps = hullo(&["check", "wss://localhost:{wss}/?insecure=true&{chain}"], "");
    let said = String::from_utf8_lossy(&steps.out).into_owned();
    for step in [
        "connected to socks5://127.0.0.1:{socks!}",
        "socks5://127.0.0.1:{socks!} connected to localhost:{http!}",
        "http://localhost:{http!} connected to localhost:{socks}",
        "socks4a://localhost:{socks} connected to localhost:{wss}",
        "WebSocket stands",
        "ok wss://localhost:{wss}/ is up",
    ] {
        assert!(said.contains(&net.fill(step)), "no {step} in {said}{}", steps.err);
    }
    let relay = Program::start(
        home.hullo(&["relay", "tcp://127.0.0.1:0", &format!("{}?{chain}", net.fill("tcp://localhost:{tcp}"))])
            .env("HULLO_VIA_PASSWORD", "se:cret"),
    );
    let listens = relay.told(" (relay to ");
    let at = listens.split_once("listening on ").unwrap().1.split_once(' ').unwrap().0;
    assert_eq!(home.run(&["ask", at, "hullo"], "").text(), "hullo\n");
    assert!(!relay.so_far().contains("via="), "{}", relay.so_far());
}

#[test]
fn our_verbs_go_through_the_proxies_of_others() {
    let home = Home::new();
    let net = Net::new(&home);
    let Some(ncat) = peer("ncat") else { return };
    for (login, user) in [(&[][..], ""), (&["--proxy-auth", "ada:se:cret"], "ada@")] {
        let port = common::free_port().to_string();
        let _proxy =
            Program::start(home.command(ncat).args(["-lk", "--proxy-type", "http", "127.0.0.1", &port]).args(login));
        common::eventually("ncat listens", || std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_ok());
        let theirs = format!("via=http://{user}127.0.0.1:{port}");
        let ours = net.fill("via=socks5h://127.0.0.1:{socks}");
        for chain in [theirs.clone(), format!("{ours}&{theirs}"), format!("{theirs}&{ours}")] {
            let to = format!("{}?{chain}", net.fill("tcp://127.0.0.1:{tcp}"));
            // A half-close ends all of it for ncat.
            let ended = run(home.hullo(&["ask", &to, "hullo"]).env("HULLO_VIA_PASSWORD", "se:cret"), "");
            assert_eq!(ended.text(), "hullo\n", "{chain}");
        }
        if !login.is_empty() {
            let to = format!("{}?via=http://127.0.0.1:{port}", net.fill("tcp://127.0.0.1:{tcp}"));
            let ended = home.run(&["connect", &to], "");
            assert!(ended.code == 21 && ended.err.contains("HULLO_VIA_PASSWORD"), "{} {}", ended.code, ended.err);
        }
    }
}

#[test]
fn what_fails_on_the_way_is_named() {
    let home = Home::new();
    let net = Net::new(&home);
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap().port().to_string();
    for (to, code, why) in [
        (
            "tcp://localhost:1?via=socks5://127.0.0.1:{socks}",
            11,
            "the proxy socks5://127.0.0.1:{socks} does not connect to localhost:1: the connection was refused",
        ),
        (
            "tcp://localhost:1?via=socks5://127.0.0.1:{socks}&via=http://127.0.0.1:{http}",
            11,
            "the proxy http://127.0.0.1:{http} does not connect to localhost:1: the connection was refused",
        ),
        (
            "tcp://localhost:{tcp}?via=socks5://127.0.0.1:{socks}&via=http://127.0.0.1:1",
            11,
            "the proxy socks5://127.0.0.1:{socks} does not connect to 127.0.0.1:1: the connection was refused",
        ),
        (
            "tcp://localhost:{tcp}?via=socks5://127.0.0.1:1",
            11,
            "the proxy cannot be reached: cannot connect to socks5://127.0.0.1:1: connection refused",
        ),
        ("tcp://nowhere.invalid:1?via=http://127.0.0.1:{http}", 10, "the name has no address"),
        ("tcp://localhost:{tcp}?via=socks5://127.0.0.1:{http}", 16, "it speaks HTTP, not SOCKS 5"),
        ("tcp://localhost:{tcp}?via=http://127.0.0.1:{socks}", 16, "it does not speak HTTP/1.1"),
        (
            "tcp://localhost:{tcp}?via=socks5://ada:wrong@127.0.0.1:{socks!}",
            21,
            "it does not take our name and password",
        ),
        ("tcp://localhost:{tcp}?via=socks5://127.0.0.1:{socks!}", 21, "it wants a name and a password"),
        ("tcp://localhost:{tcp}?via=http://ada:wrong@127.0.0.1:{http!}", 21, "it does not take our name and password"),
        ("tcp://[::1]:{tcp}?via=socks4://127.0.0.1:{socks}", 2, "SOCKS 4 has no words for that address"),
        (
            "tcp://localhost:{tcp}?timeout=200ms&via=socks5://127.0.0.1:{silent}",
            13,
            "the proxy socks5://127.0.0.1:{silent} does not answer: no answer within 200ms",
        ),
        ("udp://localhost:{tcp}?via=socks5://127.0.0.1:1", 2, "the option 'via' means nothing on udp"),
        (
            "tcp://localhost:{tcp}?via=https://ada:wrong@127.0.0.1:1",
            2,
            "https://127.0.0.1:1 is no proxy that can be used",
        ),
    ] {
        let fill = |text: &str| net.fill(text).replace("{silent}", &silent);
        let ended = home.run(&["connect", &fill(to)], "");
        assert!(ended.code == code && ended.err.contains(&fill(why)), "{to}: {} {}", ended.code, ended.err);
        assert!(!ended.err.contains("wrong"), "{to}: {}", ended.err);
    }
}

#[test]
fn a_proxy_is_no_open_door_by_mistake() {
    let home = Home::new();
    let note = "whoever reaches it may go anywhere through it";
    let accounts = home.file("accounts", "ada:secret");
    let accounts = format!("@{accounts}");
    for (words, open) in [
        (&["socks5", "tcp://0.0.0.0:0"][..], true),
        (&["connect", "tcp://0.0.0.0:0"], true),
        (&["socks5", "tcp://0.0.0.0:0", "--auth", &accounts], false),
        (&["socks5", ":0"], false),
        (&["connect", "tcp://[::1]:0"], false),
        (&["connect", "unix:s"], false),
    ] {
        let server = home.serve(words, 1);
        if words[1] == ":0" {
            assert!(server.at[0].starts_with("tcp://127.0.0.1:"), "{:?}", server.at);
        }
        // The note comes behind the address.
        let ended = server.interrupted();
        assert_eq!(ended.err.contains(note), open, "{words:?}: {}", ended.err);
    }
    for address in ["udp://:0", "http://:0", "https://:0"] {
        let ended = home.run(&["serve", "connect", address], "");
        assert!(ended.code == 2 && ended.err.contains("hint: "), "{address}: {} {}", ended.code, ended.err);
    }
}
