//! Members of a chat, who hide nothing of what they hear: one who types lines, and a program that talks in events.

use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::{Value, json};

use crate::common;

/// The most that something is waited for: a crowd has to come in first, and hashes of passwords are slow on purpose.
pub(crate) const PATIENCE: Duration = common::PATIENCE.saturating_mul(2);

/// Who types lines and reads them.
pub(crate) struct Typist {
    pub(crate) stream: TcpStream,
    /// All that was heard, and how much of it was waited for.
    pub(crate) all: String,
    passed: usize,
}

impl Typist {
    /// A guest.
    pub(crate) fn to(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut guest = Self { stream, all: String::new(), passed: 0 };
        guest.hears("you are guest-");
        guest
    }

    #[track_caller]
    pub(crate) fn called(port: u16, name: &str) -> Self {
        let mut typist = Self::to(port);
        typist.types(&format!("/nick {name}"));
        typist.hears(&format!("is now called {name}\n"));
        typist
    }

    pub(crate) fn types(&mut self, line: &str) {
        self.send(format!("{line}\n").as_bytes());
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Waits for that after what was waited for before, and returns what came from there to its end.
    #[track_caller]
    pub(crate) fn hears(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.all[self.passed..].find(text) {
                let from = self.passed;
                self.passed += at + text.len();
                return self.all[from..self.passed].to_owned();
            }
            assert!(self.read(), "it ended without {text:?}; heard {:?}", self.tail());
        }
    }

    /// Forgets what was waited for.
    pub(crate) fn forget(&mut self) {
        if self.passed > 1 << 20 {
            self.all.drain(..self.passed);
            self.passed = 0;
        }
    }

    /// Waits for the end, and returns what came since what was waited for.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> String {
        while self.read() {}
        self.all[self.passed..].to_owned()
    }

    /// Asks, and waits for the answer.
    #[track_caller]
    pub(crate) fn asks(&mut self, line: &str, answer: &str) -> String {
        self.types(line);
        self.hears(answer)
    }

    fn tail(&self) -> &str {
        let from = (self.all.len().saturating_sub(1000)..).find(|at| self.all.is_char_boundary(*at));
        &self.all[from.unwrap()..]
    }

    #[track_caller]
    fn read(&mut self) -> bool {
        let mut bytes = vec![0; 64 << 10];
        let count = match self.stream.read(&mut bytes) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("{error}; heard {:?}", self.tail()),
        };
        // All that this reads in pieces is ASCII, or comes whole.
        self.all.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        count > 0
    }
}

/// A program that talks in events.
pub(crate) struct Bot {
    pub(crate) stream: BufReader<TcpStream>,
    /// What the welcome said.
    pub(crate) welcome: Value,
}

impl Bot {
    #[track_caller]
    pub(crate) fn to(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut bot = Self { stream: BufReader::new(stream), welcome: Value::Null };
        let mut greeting = String::new();
        bot.stream.read_line(&mut greeting).unwrap();
        bot.send("/json");
        // What was said before is told in lines, and what is said meanwhile.
        while !greeting.starts_with("{\"event\":\"welcome\"") {
            greeting.clear();
            assert!(bot.stream.read_line(&mut greeting).unwrap() > 0, "no welcome");
        }
        bot.welcome = serde_json::from_str(&greeting).unwrap();
        bot
    }

    pub(crate) fn send(&mut self, line: &str) {
        self.stream.get_mut().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    pub(crate) fn ask(&mut self, asked: &Value) {
        self.send(&asked.to_string());
    }

    /// The next event, or none once there are no more.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits for an event like that; what comes before it is passed over.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, mut is_it: impl FnMut(&Value) -> bool) -> Value {
        let mut passed = Vec::new();
        loop {
            match self.next() {
                Some(event) if is_it(&event) => return event,
                Some(event) => passed.push(event.to_string()),
                None => panic!("it ended without {what}; heard {passed:?}"),
            }
        }
    }

    #[track_caller]
    pub(crate) fn event(&mut self, name: &str) -> Value {
        self.until(name, |event| event["event"] == name)
    }

    #[track_caller]
    pub(crate) fn text(&mut self, text: &str) -> Value {
        self.until(text, |event| event["event"] == "message" && event["text"] == text)
    }

    /// Comes into a room, and returns what it was told of it.
    #[track_caller]
    pub(crate) fn joins(&mut self, room: &str) -> Value {
        self.ask(&json!({"do": "join", "room": room}));
        self.event("joined")
    }

    /// Says something, and waits until it is kept.
    #[track_caller]
    pub(crate) fn says(&mut self, text: &str) -> Value {
        self.ask(&json!({"do": "say", "text": text}));
        self.event("kept")
    }

    /// Asks for something that is refused, and returns why.
    #[track_caller]
    pub(crate) fn refused(&mut self, asked: &Value) -> String {
        self.ask(asked);
        self.event("error")["error"].as_str().unwrap().to_owned()
    }

    /// Asks for something that is done.
    #[track_caller]
    pub(crate) fn does(&mut self, asked: &Value) {
        let mut asked = asked.clone();
        asked["tag"] = json!("mark");
        self.ask(&asked);
        let answer = self.until("an answer", |event| event["tag"] == "mark");
        assert_eq!(answer["event"], "done", "{asked} is answered {answer}");
    }
}
