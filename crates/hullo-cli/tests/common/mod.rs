//! What the command's tests share: a home of their own, programs that are killed on drop, and waits that end.
#![allow(dead_code, reason = "each file of tests uses its part of this")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

use std::{
    env, fs,
    io::{self, Read},
    net::TcpListener,
    path::PathBuf,
    process::{self, Command},
    sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

pub(crate) use self::program::{Ended, Program, object, run};

pub(crate) mod authority;
pub(crate) mod browser;
pub(crate) mod disk;
mod program;
pub(crate) mod transfer;

/// The most that anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A folder for one test: its home, its state, its sockets. Removed on drop.
pub(crate) struct Home(PathBuf);

impl Home {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Short, since the name of a unix socket has room for 107 bytes.
        let folder = env::temp_dir().join(format!("hullo-{}-{}", process::id(), NEXT.fetch_add(1, Relaxed)));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Writes a file, and says where it is.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.0.join(name), content).unwrap();
        self.path(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.join(name)).unwrap()
    }

    /// A program that lives in this home, where no certificate lands in the user's own.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.0).env("HOME", &self.0).env("XDG_STATE_HOME", &self.0).env_remove("NO_COLOR");
        command
    }

    pub(crate) fn hullo(&self, words: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_hullo"));
        command.args(words);
        command
    }

    /// Runs hullo to its end, with that on its stdin.
    pub(crate) fn run(&self, words: &[&str], input: impl Into<Vec<u8>>) -> Ended {
        run(&mut self.hullo(words), input)
    }

    /// Starts hullo's server, which has as many addresses as said.
    pub(crate) fn serve(&self, words: &[&str], addresses: usize) -> Server {
        Server::start(&mut self.hullo(&[&["serve"], words].concat()), addresses)
    }

    /// Starts a server written in python, whose first line on stdout is its port.
    pub(crate) fn python(&self, script: &str) -> Option<Python> {
        let program = Program::start(self.command(peer("python3")?).args(["-u", "-c", script]));
        let port = program.heard("\n").trim().parse().unwrap();
        Some(Python { program, port })
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // What a killed program left may be in the way; the folder is the system's to clean then.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server of the other side.
pub(crate) struct Python {
    pub(crate) program: Program,
    pub(crate) port: u16,
}

/// hullo's server, which listens.
pub(crate) struct Server {
    pub(crate) program: Program,
    /// Where, as it said.
    pub(crate) at: Vec<String>,
}

impl Server {
    #[track_caller]
    pub(crate) fn start(command: &mut Command, addresses: usize) -> Self {
        let program = Program::start(command);
        let at = program.tells(|said| {
            let lines = said.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let at: Vec<_> = lines.filter_map(address).collect();
            (at.len() >= addresses).then_some(at)
        });
        let at = at.unwrap_or_else(|| panic!("{} does not listen; it said: {}", program.name, program.so_far()));
        Self { program, at }
    }

    pub(crate) fn port(&self, at: usize) -> u16 {
        let port = self.at[at].trim_end_matches('/').rsplit(':').next().unwrap();
        port.parse().unwrap_or_else(|error| panic!("{}: {error}", self.at[at]))
    }

    /// The address as a client needs it who trusts anybody.
    pub(crate) fn client(&self, at: usize) -> String {
        let address = &self.at[at];
        let secure = ["tls:", "wss:", "https:"].iter().any(|scheme| address.starts_with(scheme));
        if secure { format!("{address}?insecure=true") } else { address.clone() }
    }

    /// Ctrl-C, and what comes of it.
    #[track_caller]
    pub(crate) fn interrupted(self) -> Ended {
        self.program.signal(Signal::INT);
        self.program.ended()
    }
}

/// The address in a line that says where somebody listens.
fn address(line: &str) -> Option<String> {
    if line.starts_with('{') {
        let object = object(line);
        return object["address"].as_str().filter(|_| object["event"] == "listening").map(str::to_owned);
    }
    Some(line.strip_prefix("listening on ")?.rsplit_once(" (")?.0.to_owned())
}

/// The name of a program that is the other end, where it is installed. CI has all of them, and says so.
pub(crate) fn peer(name: &'static str) -> Option<&'static str> {
    let found = env::split_paths(&env::var_os("PATH")?).any(|folder| folder.join(name).is_file());
    found.then_some(name).or_else(|| skipped(name))
}

/// Says that a test is skipped, or fails it where nothing may be.
pub(crate) fn skipped<T>(what: &str) -> Option<T> {
    assert!(env::var("HULLO_PEERS").as_deref() != Ok("all"), "no {what}");
    eprintln!("skipped: no {what}");
    None
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Bytes of every kind, without a period that could hide a loss.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Reads until `what` has come, or all.
pub(crate) fn read_until(stream: &mut impl Read, what: &str) -> io::Result<String> {
    let (mut all, mut byte) = (Vec::new(), [0]);
    while !all.ends_with(what.as_bytes()) && stream.read(&mut byte)? > 0 {
        all.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&all).into_owned())
}

/// Tries until it holds: for what the kernel does on its own, and tells nobody.
#[track_caller]
pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "never: {what}");
        thread::yield_now();
    }
}

/// Runs all of them, some at once: most of what they do is to wait. A panic in one is one in all.
pub(crate) fn at_once<T: Sync>(cases: &[T], test: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..cases.len().min(AT_ONCE) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Relaxed)) {
                    test(case);
                }
            });
        }
    });
}

/// Cases that run at once: with more of them, small machines let some wait past all patience.
const AT_ONCE: usize = 8;
