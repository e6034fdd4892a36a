#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! `hullo serve chat`: what is said in a room, through every door of it, by friends and by others.

mod accounts;
#[path = "../rest/client.rs"]
#[allow(dead_code, reason = "links and tags are for collections")]
mod client;
#[path = "../common/mod.rs"]
mod common;
mod crowds;
mod doors;
mod hostile;
mod killed;
mod limits;
mod member;
mod operators;
mod rooms;

use serde_json::{Value, json};

use self::{
    client::{Answer, Client},
    common::{Home, Server},
    member::{Bot, Typist},
};

/// A server whose doors are streams of lines and HTTP.
struct Chat {
    home: Home,
    server: Server,
}

impl Chat {
    /// One that keeps nothing, in which anybody may talk as fast as they can.
    fn new() -> Self {
        Self::with(&["--db", "none", "--flood", "off"])
    }

    fn with(words: &[&str]) -> Self {
        let home = Home::new();
        let server = serve(&home, words);
        Self { home, server }
    }

    /// The same history in another process.
    fn again(self, words: &[&str]) -> Self {
        let Self { home, server } = self;
        drop(server);
        let server = serve(&home, words);
        Self { home, server }
    }

    fn typist(&self, name: &str) -> Typist {
        Typist::called(self.server.port(0), name)
    }

    /// Somebody who talks in events, and is in the lobby.
    fn bot(&self, name: &str) -> Bot {
        let mut bot = self.nobody();
        bot.ask(&json!({"do": "hello", "name": name}));
        assert_eq!(bot.event("welcome")["name"], name);
        bot.joins("lobby");
        bot
    }

    /// A program that has said nothing yet.
    fn nobody(&self) -> Bot {
        Bot::to(self.server.port(0))
    }

    fn get(&self, path: &str) -> Answer {
        Client::to(self.server.port(1)).get(path)
    }

    fn post(&self, path: &str, headers: &str, body: &str) -> Answer {
        Client::to(self.server.port(1)).ask("POST", path, headers, body)
    }

    /// The texts that the history of the lobby has.
    fn texts(&self) -> Vec<String> {
        texts(&self.get("/rooms/lobby/messages?limit=500").json())
    }
}

fn serve(home: &Home, words: &[&str]) -> Server {
    home.serve(&[&["chat", "tcp://127.0.0.1:0", "http://127.0.0.1:0"], words].concat(), 2)
}

/// The texts of a history.
fn texts(history: &Value) -> Vec<String> {
    let text = |message: &Value| message["text"].as_str().unwrap().to_owned();
    history["messages"].as_array().unwrap_or_else(|| panic!("no history: {history}")).iter().map(text).collect()
}
