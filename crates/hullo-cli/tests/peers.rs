#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! Real programs as clients of our servers. A program that is not there is skipped, unless `HULLO_PEERS=all` is set.

mod common;

use common::{Home, Program, Server, peer, run, skipped};

/// What to type, what comes back. In the words `{tcp}` and the like are the ports of [`echo`].
struct Case(&'static str, &'static [&'static str], &'static str, &'static str);

const WORDS: &[(&str, &str)] = &[
    ("{tcp}", "tcp://:0"),
    ("{udp}", "udp://:0"),
    ("{tls}", "tls://:0"),
    ("{http}", "http://:0"),
    ("{https}", "https://:0"),
    ("{ws}", "ws://:0"),
    ("{wss}", "wss://:0"),
];

/// A server of that service on every transport; `{unix}` is its socket.
fn everywhere(home: &Home, service: &str) -> Server {
    let socket = format!("unix:{}", home.path("s"));
    let addresses: Vec<&str> = WORDS.iter().map(|(_, address)| *address).chain([&*socket]).collect();
    home.serve(&[&[service][..], &addresses].concat(), addresses.len())
}

fn fill(home: &Home, server: &Server, word: &str) -> String {
    let ports = WORDS.iter().enumerate().map(|(at, (name, _))| (*name, server.port(at).to_string()));
    let word = ports.fold(word.to_owned(), |word, (name, port)| word.replace(name, &port));
    word.replace("{unix}", &home.path("s")).replace("{home}", &home.path(""))
}

/// Runs each case; what comes back must end with what is wanted, or with `…` in front, contain it.
fn talk(service: &str, cases: &[Case]) {
    let home = Home::new();
    home.file("body", "from a file");
    let server = everywhere(&home, service);
    for Case(name, words, input, wanted) in cases {
        let Some(name) = peer(name) else { continue };
        let words: Vec<String> = words.iter().map(|word| fill(&home, &server, word)).collect();
        let ended = run(home.command(name).args(&words), *input);
        let out = String::from_utf8_lossy(&ended.out);
        let good = wanted.strip_prefix('…').map_or(out == *wanted, |part| out.contains(part));
        assert!(
            good,
            "{name} {words:?} got {out:?}, not {wanted:?}; it said {}, the server {}",
            ended.err,
            server.program.so_far()
        );
    }
}

const SEND_ONCE: &str = r#"
import socket, sys
# As the tutorials have it: no newline, one recv, never a half-close.
talk = socket.socket()
talk.connect(("127.0.0.1", int(sys.argv[1])))
talk.sendall(sys.argv[2].encode())
print(talk.recv(1024).decode())
talk.close()
"#;

const GREETED: &str = r#"
import socket, sys
talk = socket.socket()
talk.connect(("127.0.0.1", int(sys.argv[1])))
print(talk.recv(1024).decode("ascii"), end="")
talk.close()
"#;

const UDP_ONCE: &str = r#"
import socket, sys
talk = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
talk.settimeout(5)
talk.sendto(sys.argv[2].encode(), ("127.0.0.1", int(sys.argv[1])))
print(talk.recvfrom(1024)[0].decode())
"#;

const JSON_TWICE: &str = r#"
import json, socket, sys
talk = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
for data in ({"name": "Ada", "age": 36}, [1, 2]):
    talk.send(json.dumps(data).encode("utf-8"))
    answer = json.loads(talk.recv(1024).decode("utf-8"))
    assert answer["status"] == "success" and answer["data"] == data, answer
talk.send(b"{no json")
print(json.loads(talk.recv(1024))["status"])
"#;

const MANY: &str = r#"
import socket, sys, threading
def one(n):
    talk = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    for turn in range(20):
        said = f"{n} says {turn}".encode()
        talk.sendall(said)
        assert talk.recv(1024) == said
    good.append(n)
good = []
threads = [threading.Thread(target=one, args=(n,)) for n in range(20)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(good))
"#;

const WEBSOCKETS: &str = r#"
import asyncio, ssl, sys, websockets
async def main(url):
    trust = ssl._create_unverified_context() if url.startswith("wss") else None
    async with websockets.connect(url, ssl=trust, max_size=None) as talk:
        for said in ("hello", b"\x00\xff", "", "ü" * 1000, b"x" * 500_000):
            await talk.send(said)
            heard = await talk.recv()
            assert heard == said, (heard[:20], said[:20])
        await (await talk.ping())
    print(talk.close_code)
asyncio.run(main(sys.argv[1]))
"#;

const NODE_WS: &str = r#"
const WebSocket = require("ws");
const talk = new WebSocket(process.argv[1], { rejectUnauthorized: false });
talk.on("open", () => talk.send("hello"));
talk.on("message", (data, binary) => { console.log(String(data), binary); talk.close(1000); });
talk.on("close", (code) => console.log(code));
"#;

#[test]
fn streams_of_echo() {
    talk(
        "echo",
        &[
            Case("nc.openbsd", &["-N", "127.0.0.1", "{tcp}"], "hello\n", "hello\n"),
            Case("nc.openbsd", &["-q1", "127.0.0.1", "{tcp}"], "hello\n", "hello\n"),
            Case("nc.openbsd", &["-N", "-U", "{unix}"], "hello\n", "hello\n"),
            Case("nc.traditional", &["-q", "1", "127.0.0.1", "{tcp}"], "hello\n", "hello\n"),
            Case("ncat", &["127.0.0.1", "{tcp}"], "hello\n", "hello\n"),
            Case("ncat", &["--ssl", "127.0.0.1", "{tls}"], "hello\n", "hello\n"),
            Case("ncat", &["-U", "{unix}"], "hello\n", "hello\n"),
            Case("socat", &["-", "TCP:127.0.0.1:{tcp}"], "hello\n", "hello\n"),
            Case("socat", &["-", "OPENSSL:127.0.0.1:{tls},verify=0"], "hello\n", "hello\n"),
            Case("socat", &["-", "UNIX-CONNECT:{unix}"], "hello\n", "hello\n"),
            Case("curl", &["-s", "-m5", "telnet://127.0.0.1:{tcp}"], "hello\n", "hello\n"),
            Case("openssl", &["s_client", "-brief", "-tls1_2", "-connect", "127.0.0.1:{tls}"], "", ""),
            Case("python3", &["-c", SEND_ONCE, "{tcp}", "no newline"], "", "no newline\n"),
            Case("python3", &["-c", MANY, "{tcp}"], "", "20\n"),
        ],
    );
}

#[test]
fn openssl_hears_its_echo() {
    let home = Home::new();
    let server = home.serve(&["echo", "tls://:0"], 1);
    for version in ["-tls1_2", "-tls1_3"] {
        let Some(name) = peer("openssl") else { return };
        let at = format!("127.0.0.1:{}", server.port(0));
        let mut talk = Program::start(home.command(name).args(["s_client", "-quiet", version, "-connect", &at]));
        talk.say("hello\n");
        talk.heard("hello\n");
    }
}

#[test]
fn datagrams() {
    talk(
        "echo",
        &[
            Case("nc.openbsd", &["-u", "-w1", "127.0.0.1", "{udp}"], "hello\n", "hello\n"),
            Case("nc.traditional", &["-u", "-w1", "127.0.0.1", "{udp}"], "hello\n", "hello\n"),
            Case("socat", &["-t1", "-", "UDP:127.0.0.1:{udp}"], "hello\n", "hello\n"),
            Case("python3", &["-c", UDP_ONCE, "{udp}", "hello"], "", "hello\n"),
        ],
    );
    talk(
        "convert",
        &[
            Case("python3", &["-c", UDP_ONCE, "{udp}", "36.6"], "", "97.88 °F\n"),
            Case("nc.openbsd", &["-u", "-w1", "127.0.0.1", "{udp}"], "100 C\n", "…212"),
            Case("socat", &["-t1", "-", "UDP:127.0.0.1:{udp}"], "nonsense", "…error"),
        ],
    );
}

#[test]
fn greetings() {
    talk(
        "greet",
        &[
            Case("nc.openbsd", &["-d", "127.0.0.1", "{tcp}"], "", "Hello, World!\r\n"),
            Case("nc.openbsd", &["-N", "127.0.0.1", "{tcp}"], "unasked\n", "Hello, World!\r\n"),
            Case("ncat", &["--recv-only", "127.0.0.1", "{tcp}"], "", "Hello, World!\r\n"),
            Case("socat", &["-u", "TCP:127.0.0.1:{tcp}", "-"], "", "Hello, World!\r\n"),
            Case("python3", &["-c", GREETED, "{tcp}"], "", "Hello, World!\r\n"),
            Case("curl", &["-s", "http://127.0.0.1:{http}/any/path"], "", "…Hello, World!"),
            Case("curl", &["-s", "-w", "%{content_type} %{http_code}", "http://127.0.0.1:{http}/"], "", "…text/plain"),
            Case("curl", &["-sk", "https://localhost:{https}/"], "", "…Hello, World!"),
        ],
    );
}

#[test]
fn json_and_temperatures() {
    talk(
        "json",
        &[
            Case("python3", &["-c", JSON_TWICE, "{tcp}"], "", "error\n"),
            Case("nc.openbsd", &["-N", "127.0.0.1", "{tcp}"], "[1,2]", "…\"data\":[1,2]"),
            Case(
                "curl",
                &["-s", "--json", "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"nothing\"}", "http://127.0.0.1:{http}"],
                "",
                "…\"id\":7",
            ),
        ],
    );
    talk(
        "convert",
        &[
            Case("python3", &["-c", SEND_ONCE, "{tcp}", "97.88F"], "", "…36.6 °C"),
            Case("ncat", &["127.0.0.1", "{tcp}"], "20 C to K\n", "…293.15 K"),
            Case("curl", &["-s", "http://127.0.0.1:{http}/36.6"], "", "…97.88 °F"),
        ],
    );
}

#[test]
fn http_by_curl() {
    talk(
        "echo",
        &[
            Case("curl", &["-s", "http://127.0.0.1:{http}/"], "", "hullo\n"),
            Case("curl", &["-s", "-d", "said", "http://127.0.0.1:{http}/"], "", "said"),
            Case("curl", &["-s", "--http1.0", "-d", "said", "http://127.0.0.1:{http}/"], "", "said"),
            Case(
                "curl",
                &["-s", "--http2-prior-knowledge", "-d", "said", "-w", " %{http_version}", "http://127.0.0.1:{http}/"],
                "",
                "said 2",
            ),
            Case("curl", &["-sk", "-d", "said", "-w", " %{http_version}", "https://127.0.0.1:{https}/"], "", "said 2"),
            Case(
                "curl",
                &["-sk", "--http1.1", "-d", "said", "-w", " %{http_version}", "https://127.0.0.1:{https}/"],
                "",
                "said 1.1",
            ),
            Case(
                "curl",
                &["-s", "-T-", "-H", "Transfer-Encoding: chunked", "http://127.0.0.1:{http}/"],
                "in chunks",
                "in chunks",
            ),
            Case("curl", &["-s", "-T", "body", "http://127.0.0.1:{http}/"], "", "from a file"),
            Case("curl", &["-s", "-H", "Expect: 100-continue", "-d", "said", "http://127.0.0.1:{http}/"], "", "said"),
            Case("curl", &["-sI", "http://127.0.0.1:{http}/"], "", "…200 OK"),
            Case(
                "curl",
                &["-s", "-H", "Content-Type: text/x", "-d", "s", "-w", " %{content_type}", "http://127.0.0.1:{http}/"],
                "",
                "s text/x",
            ),
        ],
    );
}

#[test]
fn websockets_of_python() {
    let probe = Home::new();
    let Some(python) = peer("python3") else { return };
    if run(probe.command(python).args(["-c", "import websockets"]), "").code != 0 {
        return skipped("python websockets").unwrap_or_default();
    }
    talk(
        "echo",
        &[
            Case("python3", &["-c", WEBSOCKETS, "ws://127.0.0.1:{ws}/"], "", "1000\n"),
            Case("python3", &["-c", WEBSOCKETS, "wss://127.0.0.1:{wss}/"], "", "1000\n"),
            Case("python3", &["-c", WEBSOCKETS, "ws://127.0.0.1:{http}/"], "", "1000\n"),
        ],
    );
}

#[test]
fn websockets_of_node() {
    let probe = Home::new();
    let Some(node) = peer("node") else { return };
    if run(probe.command(node).args(["-e", "require('ws')"]), "").code != 0 {
        return skipped("node ws").unwrap_or_default();
    }
    talk(
        "echo",
        &[
            Case("node", &["-e", NODE_WS, "ws://127.0.0.1:{ws}/"], "", "hello false\n1000\n"),
            Case("node", &["-e", NODE_WS, "wss://127.0.0.1:{wss}/"], "", "hello false\n1000\n"),
        ],
    );
}
