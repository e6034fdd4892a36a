#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! `hullo serve files`: its page, what comes by upload, and who may do what, with curl and Chromium as the clients.

#[path = "../common/mod.rs"]
mod common;

mod accounts;
mod browser;
mod listing;
mod resume;
mod upload;

use std::{fs, io::Write, net::TcpStream};

use common::{Home, PATIENCE, Server, peer, run};

/// A folder that is served, and curl to ask for it.
struct Folder {
    home: Home,
    server: Server,
}

impl Folder {
    /// Serves the folder `shared` of a home of its own.
    fn served(words: &[&str]) -> Option<Self> {
        peer("curl")?;
        Some(Self::of(Home::new(), words))
    }

    fn of(home: Home, words: &[&str]) -> Self {
        fs::create_dir_all(home.path("shared")).unwrap();
        let server = home.serve(&[&["files", "shared", "http://127.0.0.1:0"], words].concat(), 1);
        Self { home, server }
    }

    /// The same folder by another server, when this one is gone.
    fn again(self, words: &[&str]) -> Self {
        self.server.interrupted().good();
        Self::of(self.home, words)
    }

    /// The status and the body that curl gets for the path in front, with those words before it.
    #[track_caller]
    fn curl(&self, path: &str, words: &[&str]) -> (u16, String) {
        let url = format!("{}{path}", self.server.at[0].trim_end_matches('/'));
        let mut curl = self.home.command("curl");
        curl.args(["-sS", "-g", "-m", "9", "--path-as-is", "-w", "\n%{http_code}"]).args(words).arg(url);
        let text = String::from_utf8(run(&mut curl, "").out).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    /// The same, where that status and those words in the body are awaited.
    #[track_caller]
    fn asked(&self, path: &str, words: &[&str], status: u16, wanted: &str) -> String {
        let (got, body) = self.curl(path, words);
        assert!(got == status && body.contains(wanted), "{path} {words:?}: {got} {body}");
        body
    }

    /// A header of the answer.
    #[track_caller]
    fn header(&self, path: &str, words: &[&str], name: &str) -> Option<String> {
        let (_, body) = self.curl(path, &[&["-D", "-", "-o", "/dev/null"], words].concat());
        let mut lines = body.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    }

    /// Begins a request by hand, so that it can be left in the middle.
    fn begin(&self, head: &str, body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.server.port(0))).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "{}\r\nHost: localhost\r\n\r\n", head.replace('\n', "\r\n")).unwrap();
        stream.write_all(body).unwrap();
        stream
    }

    fn read(&self, name: &str) -> Vec<u8> {
        self.home.read(&format!("shared/{name}"))
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.home.path(&format!("shared/{name}"));
        fs::create_dir_all(std::path::Path::new(&path).parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// All names in the folder, hidden ones too.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.home.path("shared")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}
