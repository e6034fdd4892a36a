//! Many members: each gets everything once, and one who does not read harms nobody.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    thread,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use crate::{
    Chat,
    member::{Bot, PATIENCE, Typist},
};

const READERS: usize = 50;
const MESSAGES: usize = 20_000;
const CROWD: usize = 5000;

/// Messages that are under way at most: a sender who listens does not talk faster than it hears itself.
const WINDOW: usize = 500;

#[test]
fn who_does_not_read_is_dropped_and_the_others_miss_nothing() {
    let chat = Chat::new();
    let port = chat.server.port(0);
    let mut bot = Bot::to(port);
    bot.joins("lobby");
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&std::net::SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
    let idler = TcpStream::from(socket);
    let idle = bot.event("presence")["name"].clone();
    let (here, gone) = (AtomicUsize::new(0), AtomicBool::new(false));
    let text = |at: usize| format!("{at} {}", "x".repeat(300));
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                let mut reader = Typist::to(port);
                here.fetch_add(1, Relaxed);
                for at in 0..MESSAGES {
                    reader.hears(&format!(": {}\n", text(at)));
                    // It need not be remembered.
                    reader.forget();
                }
            });
        }
        while here.load(Relaxed) < READERS {
            thread::yield_now();
        }
        // Who is dropped is told why, if they begin to read soon.
        let told = scope.spawn(|| {
            while !gone.load(Relaxed) {
                thread::yield_now();
            }
            idler.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut told = String::new();
            let _ = (&idler).read_to_string(&mut told);
            told
        });
        let (mut lines, mut heard) = (String::new(), 0);
        for at in 0..MESSAGES {
            lines += &format!("{{\"do\":\"say\",\"text\":\"{}\"}}\n", text(at));
            if lines.len() > 16 << 10 || at == MESSAGES - 1 {
                bot.stream.get_mut().write_all(lines.as_bytes()).unwrap();
                lines.clear();
                while heard + WINDOW < at || at == MESSAGES - 1 && heard < MESSAGES {
                    let event = bot.next().unwrap();
                    heard += usize::from(event["event"] == "message");
                    if event["is"] == "gone" {
                        assert_eq!(event["name"], idle);
                        gone.store(true, Relaxed);
                    }
                }
            }
        }
        assert!(gone.swap(true, Relaxed), "who does not read is still there");
        let told = told.join().unwrap();
        let why = "* the server says goodbye: you read too slowly, and too much waits for you\n";
        assert!(
            told.ends_with(why),
            "{} bytes, the last of which are {:?}",
            told.len(),
            &told[told.len().saturating_sub(200)..]
        );
    });
}

#[test]
fn five_thousand_hear_each_message_once() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(CROWD as u64 + 1000), maximum: limit.maximum }).unwrap();
    let chat = Chat::new();
    let port = chat.server.port(0);
    let mut crowd: Vec<_> = (0..CROWD).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    let mut bot = Bot::to(port);
    let mut count = 0;
    // Who is accepted is not in the room yet.
    while count <= CROWD {
        bot.ask(&serde_json::json!({"do": "leave", "room": "lobby"}));
        count = bot.joins("lobby")["count"].as_u64().unwrap() as usize;
    }
    assert_eq!(count, CROWD + 1);
    bot.says("to each of you");
    bot.says("the end");
    for (at, member) in crowd.iter_mut().enumerate() {
        member.set_read_timeout(Some(PATIENCE)).unwrap();
        let heard = crate::common::read_until(member, "the end\n").unwrap();
        assert_eq!(heard.matches(": to each of you\n").count(), 1, "{at}: {heard}");
    }
    drop(crowd);
    bot.says("and still");
}
