#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! `chat` as its users have it: lines in a pipe, a screen on a terminal, and servers that go, lie or know nothing of rooms.

mod common;

use std::{
    io::{self, Read},
    net::{Shutdown, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use common::{Home, Program, Server, free_port, peer, run};
use hullo::{BoxFuture, Link, Message, Result, Service, framing};
use rustix::process::{Pid, Signal, kill_process};

/// A server of chats whose members may talk as fast as they can.
fn serve(home: &Home, addresses: &[&str]) -> Server {
    let words = [&["chat"], addresses, &["--flood", "off"]].concat();
    home.serve(&words, addresses.len())
}

/// A client that stays, and is in the lobby.
fn stays(home: &Home, address: &str, name: &str) -> Program {
    let client = Program::start(&mut home.hullo(&["chat", address, "--name", name]));
    client.heard_by(|said| said.contains("in lobby (") && said.contains(name));
    client
}

#[test]
fn a_pipe_says_and_hears_lines_on_every_wire() {
    let home = Home::new();
    let socket = format!("unix:{}", home.path("chat.sock"));
    let schemes = ["ws", "wss", "http", "https", "tcp", "tls", "udp"];
    let mut addresses = schemes.map(|scheme| format!("{scheme}://127.0.0.1:0")).to_vec();
    addresses.push(socket);
    let server = serve(&home, &addresses.iter().map(String::as_str).collect::<Vec<_>>());
    let listener = stays(&home, &server.at[0], "listener");
    for number in 0..server.at.len() {
        let (address, name) = (server.client(number), format!("speaker{number}"));
        let lines = format!("hello by {number}\n/me waves\n/who\n/nick again{number}\nthe last, without a line break");
        let text = home.run(&["chat", &address, "--name", &name], lines).text();
        let answered = |line: &str| line.starts_with("* in lobby (") && line.contains("listener");
        assert!(text.lines().any(answered), "{address}: {text}");
        assert!(!text.contains(&format!("{name}: hello")), "what one types oneself does not come back: {text}");
        listener.heard(&format!("again{number}: the last, without a line break\n"));
    }
    let heard = listener.heard("again7: the last");
    for number in 0..server.at.len() {
        for line in [format!("speaker{number}: hello by {number}\n"), format!("- speaker{number} waves\n")] {
            assert_eq!(heard.matches(&line).count(), 1, "{line:?} in {heard}");
        }
    }
}

#[test]
fn a_client_of_lines_hears_until_it_leaves() {
    let home = Home::new();
    let server = serve(&home, &["tcp://127.0.0.1:0"]);
    let mut ann = stays(&home, &server.at[0], "ann");
    let mut bob = stays(&home, &server.at[0], "bob");
    ann.say("hello bob\n/join dev\n");
    bob.heard("ann: hello bob\n");
    bob.say("byebye\n");
    let ended = bob.ended();
    assert_eq!(ended.code, 0, "{}", ended.err);
    ann.hang_up();
    let text = ann.ended().text();
    assert!(text.contains("ann in dev ("), "{text}");
}

#[test]
fn rooms_and_earlier_messages_are_had_by_their_options() {
    let home = Home::new();
    let server = serve(&home, &["ws://127.0.0.1:0"]);
    let at = &server.at[0];
    let lines: String = (1..=9).map(|number| format!("number {number}\n")).collect();
    let ended = home.run(&["chat", at, "--name", "ann", "--room", "dev"], lines);
    assert!(!ended.text().contains("lobby"), "who wants other rooms is not in the lobby");
    let text = home.run(&["chat", at, "--room", "dev", "--history", "3"], "").text();
    let heard: Vec<_> = text.lines().filter(|line| line.starts_with("ann: ")).collect();
    assert_eq!(heard, ["ann: number 7", "ann: number 8", "ann: number 9"]);
}

#[test]
fn what_is_refused_in_a_pipe_is_no_success() {
    let home = Home::new();
    let server = home.serve(&["chat", "ws://127.0.0.1:0", "--flood", "off", "--auth", "cleo:correct horse"], 1);
    let at = &server.at[0];
    let mut ann = stays(&home, at, "ann");
    ann.say("/join closed\n/close\n");
    ann.heard("closed the room to all but the invited");
    for line in [
        "/msg nobody hi",
        "/join closed",
        "/join @nobody",
        "/op ann",
        "/ban ann",
        "/kick ann",
        "/login cleo wrong horse",
        "/history 5 nowhere",
        "/who nowhere",
        "/leave nowhere",
        "/nick ann",
        "/register short",
        "/undo",
        "/nonsense",
    ] {
        let ended = home.run(&["chat", at, "--name", "bob"], line);
        assert_eq!(ended.code, 21, "{line}: {ended:?}");
    }
    for words in [["--room", "closed"], ["--name", "ann"]] {
        let ended = home.run(&[&["chat", at], &words[..]].concat(), "");
        assert_eq!(ended.code, 21, "{words:?}: {ended:?}");
    }
    let done = "hello\n/me waves\n/join dev\nhello dev\n/topic tea\n/who\n/rooms\n/history\n/search hello\n/invite\n/msg ann hi\n\
                /nick rob\n/edit hi\n/register correct horse\n/leave\n/login cleo correct horse\nbyebye\n";
    let ended = home.run(&["chat", at, "--name", "bob"], done);
    assert_eq!(ended.code, 0, "{ended:?}");
}

/// The server of a tutorial: one client, and replies without a line break.
const TUTORIAL: &str = r#"
import socket
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1])
client, _ = server.accept()
client.send(b"Welcome")
while True:
    heard = client.recv(1024).decode().strip()
    if not heard or heard == "byebye":
        break
    client.send(f"you said {heard}".encode())
client.close()
"#;

#[test]
fn the_server_of_a_tutorial_is_talked_to() {
    let home = Home::new();
    let Some(server) = home.python(TUTORIAL) else { return };
    let mut client = Program::start(&mut home.hullo(&["chat", &format!("tcp://127.0.0.1:{}", server.port)]));
    client.heard("Welcome\n");
    client.say("hello\n");
    client.heard("you said hello\n");
    client.say("again\n");
    client.heard("you said again\n");
    client.say("byebye\n");
    let ended = client.ended();
    assert_eq!((ended.code, &*ended.out), (0, &b"Welcome\nyou said hello\nyou said again\n"[..]), "{}", ended.err);
}

#[test]
fn nothing_is_lost_or_doubled_when_the_server_is_killed() {
    let home = Home::new();
    let at = format!("ws://127.0.0.1:{}", free_port());
    let mut server = serve(&home, &[&at]);
    let (mut ann, mut bob) = (stays(&home, &at, "ann"), stays(&home, &at, "bob"));
    for round in 0..3 {
        let say = |ann: &mut Program, part: std::ops::Range<u32>| part.for_each(|n| ann.say(format!("m{round}.{n}\n")));
        say(&mut ann, 0..10);
        bob.heard(&format!("ann: m{round}.4\n"));
        server.program.signal(Signal::KILL);
        _ = server.program.ended();
        say(&mut ann, 10..20);
        server = serve(&home, &[&at]);
        bob.heard(&format!("ann: m{round}.19\n"));
    }
    ann.hang_up();
    let ended = ann.ended();
    assert_eq!(ended.code, 0, "all of it is kept: {}", ended.err);
    assert!(ended.err.contains("no connection (") && ended.err.contains("connected again"), "{}", ended.err);
    bob.hang_up();
    let text = bob.ended().text();
    let heard: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("ann: ")).collect();
    let all: Vec<_> = (0..3).flat_map(|round| (0..20).map(move |n| format!("m{round}.{n}"))).collect();
    assert_eq!(heard, all);
    let kept = home.run(&["chat", &at, "--history", "500"], "").text();
    let kept: Vec<_> = kept.lines().filter_map(|line| line.strip_prefix("ann: ")).collect();
    assert_eq!(kept, all, "and the server has each of them once");
}

/// A line that is cut again and again: each connection after some bytes, in the middle of whatever goes there.
fn bad_line(to: u16) -> u16 {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = door.local_addr().unwrap().port();
    thread::spawn(move || {
        for (number, client) in door.incoming().enumerate() {
            let (client, server) = (client.unwrap(), TcpStream::connect(("127.0.0.1", to)).unwrap());
            // Enough for the greeting, and no period with the messages.
            let budget = 3_000 + number as u64 * 1_237 % 4_999;
            for (from, to) in [(&client, &server), (&server, &client)] {
                let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                thread::spawn(move || {
                    // That the other direction was cut is what this is for.
                    let _ = io::copy(&mut (&mut from).take(budget), &mut to);
                    let _ = from.shutdown(Shutdown::Both);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        }
    });
    port
}

#[test]
fn nothing_is_lost_or_doubled_on_a_line_that_is_cut() {
    let home = Home::new();
    let server = serve(&home, &["ws://127.0.0.1:0"]);
    let at = format!("ws://127.0.0.1:{}/?deflate=false", bad_line(server.port(0)));
    let (mut ann, mut bob) = (stays(&home, &at, "ann"), stays(&home, &at, "bob"));
    let all: Vec<_> = (0..150).map(|n| format!("number {n}")).collect();
    // In pieces: what is said while there is a connection, and while there is none.
    for lines in all.chunks(30) {
        ann.say(lines.join("\n") + "\n");
        bob.heard(&format!("ann: {}\n", lines[29]));
    }
    ann.hang_up();
    let ended = ann.ended();
    assert_eq!(ended.code, 0, "{}", ended.err);
    bob.hang_up();
    let ended = bob.ended();
    assert!(ended.err.matches("connected again").count() > 2, "it was not cut: {}", ended.err);
    let text = ended.text();
    let heard: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("ann: ")).collect();
    assert_eq!(heard, all);
    assert!(!text.contains("while we were away"), "nothing is missing, and nothing else is said: {text}");
}

/// Says that to whoever connects, and then listens to nobody.
struct Says(Vec<String>);

impl Service for Says {
    fn serve(self: Arc<Self>, link: Link) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let mut session = link.session(&framing::text::SPEC);
            for text in &self.0 {
                session.send(Message::text(text.clone())).await?;
            }
            while session.recv().await?.is_some() {}
            session.close().await
        })
    }
}

/// Serves that, while the client runs.
fn against<T>(says: &[&str], scheme: &str, client: impl FnOnce(&str) -> T) -> T {
    let (says, at) = (Says(says.iter().map(ToString::to_string).collect()), format!("{scheme}://127.0.0.1:0"));
    let (address, served) = std::sync::mpsc::channel();
    let (done, ended) = tokio::sync::oneshot::channel::<()>();
    let serving = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = hullo::serve(&at, says).await.unwrap();
            address.send(server.address().to_string()).unwrap();
            _ = ended.await;
        });
    });
    let result = client(&served.recv().unwrap());
    drop(done);
    serving.join().unwrap();
    result
}

const WELCOME: &str = r#"{"event":"welcome","name":"ann\u001b[2J","token":"t","log":"L"}"#;
const JOINED: &str = r#"{"event":"joined","room":"lobby","people":["x\u0007"],"count":1,"last":0}"#;

/// What no terminal should get from a stranger.
const HOSTILE: &[&str] = &[
    WELCOME,
    "garbage",
    "{}",
    "[[[[",
    r#"{"event":"message","id":"no number"}"#,
    r#"{"event":"message","id":1,"uid":"\u001b]52;c;eA==\u0007","room":"lobby","from":"\u001b[31mmallory\r","time":9223372036854775807,"text":"\u009b2J\u202eevil\nann: forged\u0000"}"#,
    r#"{"event":"error","error":"\u001b[2J\nforged"}"#,
    r#"{"event":"of a later version"}"#,
    JOINED,
    r#"{"event":"notice","text":"the end"}"#,
];

#[test]
fn nothing_from_the_network_steers_the_reader() {
    let home = Home::new();
    let hears = |address: &str| {
        let client = Program::start(&mut home.hullo(&["chat", address]));
        let heard = client.heard_by(|said| said.contains("the end\n"));
        assert!(
            !heard.contains(|c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c)),
            "{heard:?}"
        );
        heard
    };
    let heard = against(HOSTILE, "ws", hears);
    assert!(heard.contains("evil\n  | ann: forged"), "another line cannot be forged: {heard}");
    let long = format!("{}\x1b[31m{}", "x".repeat(200_000), "y".repeat(200_000));
    let heard = against(&["\x1b]0;title\x07ann: hi", "\u{9b}2J", &long, "the end"], "tcp", hears);
    assert!(heard.contains(&"y".repeat(200_000)));
}

#[test]
fn who_wants_to_be_an_account_says_nothing_as_anybody_else() {
    let home = Home::new();
    let server = serve(&home, &["ws://127.0.0.1:0"]);
    let at = &server.at[0];
    home.run(&["chat", at], "/nick ann\n/register correct horse\n").good();
    let listener = stays(&home, at, "listener");
    let login = |password: &str, line: &str| {
        run(home.hullo(&["chat", at, "--name", "ann", "--login"]).env("HULLO_PASSWORD", password), line)
    };
    let refused = login("wrong horse", "a secret\n");
    assert!(refused.code == 21 && refused.err.contains("that is not the password"), "{refused:?}");
    let text = login("correct horse", "good morning\n").text();
    assert!(text.contains("* you are ann, by your account\n"), "{text}");
    let heard = listener.heard("ann: good morning\n");
    assert!(!heard.contains("a secret"), "{heard}");
}

#[test]
fn what_is_not_kept_is_no_success() {
    let home = Home::new();
    let refusal = r#"{"event":"error","error":"not today","tag":"hello"}"#;
    let words = |address: &str| ["chat", address, "--name", "ann", "--login"].map(str::to_owned);
    let refused = against(&[WELCOME, refusal], "ws", |address| {
        run(home.hullo(&words(address).each_ref().map(String::as_str)).env("HULLO_PASSWORD", "wrong"), "hello\n")
    });
    assert!(refused.code == 21 && refused.err.contains("not today"), "{refused:?}");
    let stranger =
        against(&["hello", "I am", "another", "kind"], "ws", |address| home.run(&["chat", address], "hello\n"));
    assert!(stranger.code == 16 && stranger.err.contains("does not speak of chats"), "{stranger:?}");
    let nobody = home.run(&["chat", &format!("ws://127.0.0.1:{}", free_port())], "hello\n");
    assert_eq!(nobody.code, 11, "{nobody:?}");
    let wrong = home.run(&["chat", "ws://127.0.0.1:1", "--login"], "");
    assert!(wrong.code == 2 && wrong.err.contains("--name"), "{wrong:?}");
}

/// A chat on a terminal of its own: what runs there says its number first, and how the terminal is afterwards.
fn on_terminal(home: &Home, words: &str) -> Option<(Program, Pid)> {
    let hullo = env!("CARGO_BIN_EXE_hullo");
    let line =
        format!("stty rows 24 cols 80; sh -c 'echo \"<$$>\"; exec {hullo} chat {words}'; echo \"status=$?\"; stty -a");
    let mut command = home.command(peer("script")?);
    let program = Program::start(
        command.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm-256color").env("SHELL", "/bin/sh"),
    );
    let said = program.heard(">");
    let number = said.split(['<', '>']).nth(1).unwrap().parse().unwrap();
    Some((program, Pid::from_raw(number).unwrap()))
}

/// Waits until the terminal is given back, as it was before.
#[track_caller]
fn is_given_back(program: Program, status: u8) {
    let all = String::from_utf8_lossy(&program.ended().out).into_owned();
    let (screen, after) = all.rsplit_once("\x1b[?1049l").unwrap_or_else(|| panic!("the screen was not left: {all:?}"));
    assert!(
        screen.contains("\x1b[?1049h") && screen.contains("\x1b[?1000l") && screen.contains("\x1b[?2004l"),
        "{all:?}"
    );
    assert!(after.contains(&format!("status={status}")), "{after:?}");
    let words: Vec<_> = after.split([' ', ';', '\r', '\n']).collect();
    for mode in ["echo", "icanon", "isig", "icrnl"] {
        assert!(words.contains(&mode), "{mode} is off: {after}");
    }
}

#[test]
fn a_terminal_shows_the_chat_and_is_given_back() {
    let home = Home::new();
    let server = serve(&home, &["ws://127.0.0.1:0"]);
    let mut bob = stays(&home, &server.at[0], "bob");
    let Some((mut screen, _)) = on_terminal(&home, &format!("{} --name ann", server.at[0])) else { return };
    screen.heard("ann>");
    bob.heard("ann is here");
    bob.say("welcome-to-you\n");
    screen.heard("welcome-to-you");
    screen.say("thx\x01no-\x05-all\r");
    bob.heard("ann: no-thx-all\n");
    screen.say("\x1b[200~two\rlines\x1b[201~\r");
    bob.heard("ann: two\n  | lines\n");
    screen.say("bo\tcompleted\r");
    bob.heard("ann: bob: completed\n");
    let drawn = |said: &str| said.matches("welcome-to-you").count();
    let before = drawn(&screen.heard("completed"));
    screen.say("\x0c");
    screen.heard_by(|said| drawn(said) > before);
    screen.say("\x03");
    is_given_back(screen, 0);
}

#[test]
fn a_terminal_is_given_back_whatever_ends_the_chat() {
    let home = Home::new();
    let server = serve(&home, &["ws://127.0.0.1:0", "tcp://127.0.0.1:0"]);
    for (address, signal) in [(0, Signal::TERM), (1, Signal::HUP), (1, Signal::INT)] {
        let Some((screen, number)) = on_terminal(&home, &server.at[address]) else { return };
        screen.heard("\x1b[?1049h");
        screen.heard("guest-");
        kill_process(number, signal).unwrap();
        is_given_back(screen, 0);
    }
    let Some((mut screen, _)) = on_terminal(&home, &server.at[1]) else { return };
    screen.heard("guest-");
    screen.say("/quit\r");
    is_given_back(screen, 0);
    against(HOSTILE, "ws", |address| {
        let Some((mut screen, _)) = on_terminal(&home, &format!("--no-mouse {address}")) else { return };
        let shown = screen.heard("forged");
        assert!(
            !shown.contains("\x1b[31mmallory") && !shown.contains("\x1b]52") && !shown.contains("\x1b[?1000h"),
            "{shown:?}"
        );
        screen.say("\x03");
        is_given_back(screen, 0);
    });
}
