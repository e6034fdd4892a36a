//! WebSockets on one side of a relay, and bytes on the other.

use super::{
    common::{Home, Program, Server, peer, run, skipped},
    programs, relay,
};

/// Says each message, and hears the same again: text as text, bytes as bytes.
const PYTHON: &str = r#"
import asyncio, sys, websockets
async def main(url, kind):
    async with websockets.connect(url, max_size=None) as talk:
        said = ["hello", "ü" * 1000, "x" * 200_000] if kind == "text" else [b"\x00\xff", b"\n\n", b"y" * 50_000]
        for message in said:
            await talk.send(message)
            if kind == "text":
                heard = await talk.recv()
                assert heard == message, (heard[:20], message[:20])
            else:
                heard = b""
                while len(heard) < len(message):
                    piece = await talk.recv()
                    assert isinstance(piece, bytes), piece
                    heard += piece
                assert heard == message, (heard[:20], message[:20])
    print(talk.close_code)
asyncio.run(main(*sys.argv[1:]))
"#;

const NODE: &str = r#"
const WebSocket = require("ws");
const talk = new WebSocket(process.argv[1]);
talk.on("open", () => talk.send("hello"));
talk.on("message", (data, binary) => { console.log(String(data), binary); talk.close(1000); });
talk.on("close", (code) => console.log(code));
"#;

/// Answers each message in capitals, and each piece of bytes backwards.
const PYTHON_SERVER: &str = r#"
import asyncio, websockets
async def talk(client):
    async for message in client:
        await client.send(message.upper() if isinstance(message, str) else message[::-1])
async def main():
    async with websockets.serve(talk, "127.0.0.1", 0) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()
asyncio.run(main())
"#;

fn has_websockets(home: &Home) -> Option<&'static str> {
    let python = peer("python3")?;
    match run(home.command(python).args(["-c", "import websockets"]), "").code {
        0 => Some(python),
        _ => skipped("python websockets"),
    }
}

/// A relay from WebSockets to a program that says again what it hears.
fn to_tcp(home: &Home, options: &str) -> (Server, Server) {
    let server = programs(home, &["tcp://:0"], &["cat"]);
    let relay = relay(home, &["ws://:0", &format!("{}{options}", server.at[0])]);
    (relay, server)
}

#[test]
fn each_text_of_a_browser_is_a_line_to_a_server_of_lines() {
    let home = Home::new();
    let Some(python) = has_websockets(&home) else { return };
    let (relay, _server) = to_tcp(&home, "?frame=lines");
    let ended = run(home.command(python).args(["-c", PYTHON, &relay.at[0], "text"]), "");
    assert_eq!(ended.text(), "1000\n", "{}", relay.program.so_far());
}

#[test]
fn bytes_of_a_browser_are_bytes_to_a_server() {
    let home = Home::new();
    let Some(python) = has_websockets(&home) else { return };
    let (relay, _server) = to_tcp(&home, "");
    let ended = run(home.command(python).args(["-c", PYTHON, &relay.at[0], "bytes"]), "");
    assert_eq!(ended.text(), "1000\n", "{}", relay.program.so_far());
}

#[test]
fn node_talks_to_a_server_of_lines() {
    let home = Home::new();
    let Some(node) = peer("node") else { return };
    if run(home.command(node).args(["-e", "require('ws')"]), "").code != 0 {
        return skipped("node ws").unwrap_or_default();
    }
    let (relay, _server) = to_tcp(&home, "?frame=lines");
    let ended = run(home.command(node).args(["-e", NODE, &relay.at[0]]), "");
    assert_eq!(ended.text(), "hello false\n1000\n", "{}", relay.program.so_far());
}

#[test]
fn lines_of_tcp_are_messages_to_a_server_of_websockets() {
    let home = Home::new();
    if has_websockets(&home).is_none() {
        return;
    }
    let server = home.python(PYTHON_SERVER).unwrap();
    let relay = relay(&home, &["tcp://:0?frame=lines", &format!("ws://127.0.0.1:{}", server.port)]);
    let mut client = Program::start(&mut home.hullo(&["connect", &relay.at[0]]));
    client.say("hello\nworld\n");
    client.heard("HELLO\nWORLD\n");
    client.hang_up();
    assert_eq!(client.ended().text(), "HELLO\nWORLD\n", "{}", relay.program.so_far());
}

#[test]
fn bytes_of_tcp_are_binary_messages_to_a_server_of_websockets() {
    let home = Home::new();
    if has_websockets(&home).is_none() {
        return;
    }
    let server = home.python(PYTHON_SERVER).unwrap();
    let relay = relay(&home, &["tcp://:0", &format!("ws://127.0.0.1:{}", server.port)]);
    let mut client = Program::start(&mut home.hullo(&["connect", &relay.at[0]]));
    client.say("abc");
    client.heard("cba");
}
