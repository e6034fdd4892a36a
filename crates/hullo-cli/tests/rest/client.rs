//! A client of HTTP/1.1 that hides nothing: what was sent, and what came.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
};

use serde_json::Value;

use crate::common::PATIENCE;

/// A connection that is kept alive.
pub(crate) struct Client(BufReader<TcpStream>);

/// What came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        let problem = self.header("content-type") == Some("application/problem+json");
        assert_eq!(problem, status >= 400, "{self:?}");
        if problem {
            let told = self.json();
            assert!(told["status"] == status && told["title"].is_string() && told["detail"].is_string(), "{told}");
        }
        self
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    #[track_caller]
    pub(crate) fn tag(&self) -> String {
        self.header("etag").unwrap_or_else(|| panic!("no ETag: {self:?}")).to_owned()
    }

    /// The path of the link to the next page.
    pub(crate) fn next(&self) -> Option<String> {
        Some(self.header("link")?.strip_prefix('<')?.split_once(">; rel=\"next\"")?.0.to_owned())
    }
}

impl Client {
    pub(crate) fn to(port: u16) -> Self {
        Self::try_to(port).unwrap()
    }

    pub(crate) fn try_to(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// A request with those headers, one a line.
    #[track_caller]
    pub(crate) fn ask(&mut self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        self.try_ask(method, path, headers, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    #[track_caller]
    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, "", "")
    }

    #[track_caller]
    pub(crate) fn post(&mut self, path: &str, body: &str) -> Answer {
        self.ask("POST", path, "Content-Type: application/json", body)
    }

    pub(crate) fn try_ask(&mut self, method: &str, path: &str, headers: &str, body: &str) -> io::Result<Answer> {
        self.send(method, path, headers, body)?;
        let (status, headers) = self.head()?;
        let mut answer = Answer { status, headers, body: String::new() };
        let mut bytes = Vec::new();
        if method != "HEAD" && ![204, 304].contains(&status) {
            if answer.header("transfer-encoding").is_some() {
                while self.chunk(&mut bytes)? > 0 {}
            } else {
                bytes.resize(answer.header("content-length").unwrap().parse().unwrap(), 0);
                self.0.read_exact(&mut bytes)?;
            }
        }
        answer.body = String::from_utf8(bytes).unwrap();
        Ok(answer)
    }

    /// A request whose answer does not end.
    pub(crate) fn follow(&mut self, path: &str, headers: &str) {
        self.send("GET", path, &format!("Accept: text/event-stream\r\n{headers}"), "").unwrap();
        let (status, headers) = self.head().unwrap();
        assert_eq!(status, 200, "{headers:?}");
    }

    /// What came of such an answer until it has that in it.
    #[track_caller]
    pub(crate) fn until(&mut self, wanted: &str) -> String {
        let (mut bytes, mut looked) = (Vec::new(), 0);
        let has = |bytes: &[u8]| bytes.windows(wanted.len()).any(|part| part == wanted.as_bytes());
        while !has(&bytes[looked..]) {
            looked = bytes.len().saturating_sub(wanted.len());
            let more = self.chunk(&mut bytes).unwrap();
            assert!(more > 0, "it ended without {wanted:?}: {}", String::from_utf8_lossy(&bytes));
        }
        String::from_utf8(bytes).unwrap()
    }

    fn send(&mut self, method: &str, path: &str, headers: &str, body: &str) -> io::Result<()> {
        let headers: String =
            headers.lines().filter(|line| !line.is_empty()).map(|line| format!("{line}\r\n")).collect();
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        write!(self.0.get_mut(), "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}{length}\r\n{body}")
    }

    fn head(&mut self) -> io::Result<(u16, Vec<(String, String)>)> {
        let status = self.line()?.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { return Ok((status, headers)) };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn chunk(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        let line = self.line()?;
        let size = usize::from_str_radix(&line, 16).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let from = into.len();
        into.resize(from + size, 0);
        self.0.read_exact(&mut into[from..])?;
        self.line()?;
        Ok(size)
    }
}
