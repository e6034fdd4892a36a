//! A server with Toxiproxy's API, and a client that says what it likes.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use hullo::{
    Limits, Scope, Server, Service,
    service::{echo::Echo, relay::Plan},
    toxiproxy::Toxiproxy,
};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Handle};

/// The most that anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A server in threads of its own, as the command has them: two for what is relayed, and one for the rest.
pub(crate) struct Api {
    pub(crate) at: SocketAddr,
    /// Where whatever is said is said back.
    pub(crate) echo: SocketAddr,
    _servers: [Server; 2],
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Api {
    pub(crate) fn new() -> Self {
        let cores = vec![thread_of_its_own(), thread_of_its_own()];
        let relays = Scope::on_cores(Limits::server(), None, cores, None);
        let api = Toxiproxy::new(relays, |name, to| Plan::to(&name, to));
        let (server, echo) = (served("http://127.0.0.1:0", api), served("tcp://127.0.0.1:0", Arc::new(Echo)));
        let at = |server: &Server| server.address().authority().parse().unwrap();
        Self { at: at(&server), echo: at(&echo), _servers: [server, echo] }
    }

    pub(crate) fn client(&self) -> Client {
        let stream = TcpStream::connect(self.at).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { stream: BufReader::new(stream), agent: "tests" }
    }

    /// A proxy before the echo: where it listens.
    pub(crate) fn proxy(&self, name: &str) -> SocketAddr {
        let body = json!({ "name": name, "listen": "127.0.0.1:0", "upstream": self.echo.to_string() });
        let made = self.client().done("POST", "/proxies", &body.to_string());
        made["listen"].as_str().unwrap().parse().unwrap()
    }
}

/// A server in a thread of its own.
fn served(at: &str, service: Arc<dyn Service>) -> Server {
    thread_of_its_own().block_on(async {
        let mut server = Server::new(Scope::new(Limits::server(), None));
        server.listen(&at.parse().unwrap(), service).await.unwrap();
        server
    })
}

/// A runtime that runs until the tests are over.
fn thread_of_its_own() -> Handle {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    handle
}

/// A connection that stays.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    pub(crate) agent: &'static str,
}

impl Client {
    #[track_caller]
    pub(crate) fn call(&mut self, method: &str, path: &str, body: &str) -> Answer {
        let Self { stream, agent } = self;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {agent}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        // In one piece: what is cut up waits for the other end's system to say that the first part has come.
        stream.get_mut().write_all(request.as_bytes()).unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.stream.read_line(&mut head).unwrap() > 0, "{method} {path}: the connection ended");
        }
        let head = head.to_ascii_lowercase();
        let status = head[9..12].parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        let mut body = vec![0; if method == "HEAD" { 0 } else { length }];
        self.stream.read_exact(&mut body).unwrap();
        Answer { status, head, body: String::from_utf8(body).unwrap() }
    }

    /// The same for what must go well.
    #[track_caller]
    pub(crate) fn done(&mut self, method: &str, path: &str, body: &str) -> Value {
        let answer = self.call(method, path, body);
        assert!((200..300).contains(&answer.status), "{method} {path} {body}: {answer:?}");
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
