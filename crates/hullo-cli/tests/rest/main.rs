#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! `hullo serve rest`: what it answers to whom, in SQLite and in PostgreSQL alike.

mod changes;
mod client;
#[path = "../common/mod.rs"]
mod common;
mod items;
mod killed;
mod lists;
mod postgres;
mod stranger;

use common::{Home, Server};

use self::{client::Client, postgres::Cluster};

/// A server, and a connection to it.
struct Rest {
    home: Home,
    server: Server,
    client: Client,
}

impl Rest {
    /// Items in a file of their own.
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(words: &[&str]) -> Self {
        let home = Home::new();
        let server = home.serve(&[&["rest", "http://127.0.0.1:0"], words].concat(), 1);
        let client = Client::to(server.port(0));
        Self { home, server, client }
    }

    fn another(&self) -> Client {
        Client::to(self.server.port(0))
    }
}

/// Runs a test on each database that is there.
fn on_each(test: impl Fn(&mut Rest)) {
    test(&mut Rest::new());
    test(&mut Rest::with(&["--db", ":memory:"]));
    if let Some(cluster) = Cluster::start() {
        test(&mut Rest::with(&["--db", &cluster.url()]));
    }
}
