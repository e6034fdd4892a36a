//! Two ends of a transfer: one waits, the other comes; what a folder holds; and somebody in between who cuts.

use std::{
    collections::BTreeMap,
    fs,
    hash::{DefaultHasher, Hasher},
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, symlink},
    },
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use serde_json::Value;
use socket2::SockRef;

use super::{Ended, Home, Program, object};

/// The variable with the code.
pub(crate) const CODE: &str = "HULLO_CODE";

/// An end that waits for the other one. It speaks JSON.
pub(crate) struct Waiting {
    pub(crate) program: Program,
    /// Where, as the other end needs it.
    pub(crate) at: String,
    pub(crate) code: Option<String>,
}

impl Waiting {
    /// `hullo --json` with these words, and a `--listen` among them.
    #[track_caller]
    pub(crate) fn start(home: &Home, words: &[&str]) -> Self {
        Self::run(&mut home.hullo(&[&["--json"], words].concat()))
    }

    #[track_caller]
    pub(crate) fn run(command: &mut Command) -> Self {
        let program = Program::start(command);
        let invited = program.tells(|said| events(said).into_iter().find(|event| event["event"] == "invite"));
        let invite = invited.unwrap_or_else(|| panic!("{} waits for nobody: {}", program.name, program.so_far()));
        let said = events(&program.so_far());
        let at = said.iter().find_map(|event| event["address"].as_str()).unwrap();
        let pin = said.iter().filter_map(|event| event["message"].as_str()?.split_once("?pin=")).next();
        let at = pin.map_or_else(|| at.to_owned(), |(_, pin)| format!("{at}?pin={pin}"));
        Self { program, at, code: invite["code"].as_str().map(str::to_owned) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.at.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// The other end, which has the code where there is one.
    pub(crate) fn other(&self, home: &Home, words: &[&str]) -> Command {
        with_code(home.hullo(words), self.code.as_deref())
    }

    /// Waits for an event, and says what is in it.
    #[track_caller]
    pub(crate) fn tells(&self, name: &str, number: usize) -> Value {
        let one = |said: &str| events(said).into_iter().filter(|event| event["event"] == name).nth(number);
        let found = self.program.tells(one);
        found.unwrap_or_else(|| panic!("no {name} number {number} from {}", self.program.so_far()))
    }
}

pub(crate) fn with_code(mut command: Command, code: Option<&str>) -> Command {
    match code {
        Some(code) => command.env(CODE, code),
        None => command.env_remove(CODE).arg("--plain"),
    };
    command
}

/// What it has said so far, as far as its lines are whole.
fn events(said: &str) -> Vec<Value> {
    said.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(object).collect()
}

impl Ended {
    /// What came of the one file of that name.
    #[track_caller]
    pub(crate) fn outcome(&self, path: &str) -> Value {
        let mut of_it = self.objects().into_iter().filter(|event| event["event"] == "file" && event["path"] == path);
        let one = of_it.next().unwrap_or_else(|| panic!("nothing of {path}: {}", self.err));
        assert!(of_it.next().is_none(), "{path} is told twice: {}", self.err);
        one
    }

    /// The event of that name; there is one.
    #[track_caller]
    pub(crate) fn event(&self, name: &str) -> Value {
        let found: Vec<_> = self.objects().into_iter().filter(|event| event["event"] == name).collect();
        let [one] = &found[..] else { panic!("not one {name}: {}", self.err) };
        one.clone()
    }
}

/// What is at a path: kind and mode, time, and content or target.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Thing {
    mode: u32,
    modified: (i64, i64),
    content: Vec<u8>,
}

/// All that is in a folder, by paths, with the folder itself as the empty one.
pub(crate) fn tree(folder: impl AsRef<Path>) -> BTreeMap<Vec<u8>, Thing> {
    let mut found = BTreeMap::new();
    gather(folder.as_ref(), Path::new(""), &mut found);
    found
}

fn gather(root: &Path, path: &Path, found: &mut BTreeMap<Vec<u8>, Thing>) {
    let at = root.join(path);
    let status = fs::symlink_metadata(&at).unwrap_or_else(|error| panic!("{}: {error}", at.display()));
    let content = match status.file_type() {
        kind if kind.is_symlink() => fs::read_link(&at).unwrap().as_os_str().as_bytes().to_vec(),
        kind if kind.is_file() => fingerprint(&at),
        _ => Vec::new(),
    };
    // The mode of a link means nothing.
    let mode = if status.file_type().is_symlink() { 0 } else { status.mode() };
    let thing = Thing { mode, modified: (status.mtime(), status.mtime_nsec()), content };
    found.insert(path.as_os_str().as_bytes().to_vec(), thing);
    if status.is_dir() {
        for entry in fs::read_dir(&at).unwrap() {
            gather(root, &path.join(entry.unwrap().file_name()), found);
        }
    }
}

/// A file's length and a hash of its content.
pub(crate) fn fingerprint(path: &Path) -> Vec<u8> {
    let (mut file, mut hasher, mut buffer) = (fs::File::open(path).unwrap(), DefaultHasher::new(), vec![0; 1 << 18]);
    let mut length = 0;
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => break,
            read => {
                hasher.write(&buffer[..read]);
                length += read as u64;
            }
        }
    }
    // `write` of two halves is not `write` of the whole for every hasher; it is for this one.
    [length.to_le_bytes(), hasher.finish().to_le_bytes()].concat()
}

/// The names in a folder, at any depth, of files that are not whole.
pub(crate) fn parts(folder: &Path) -> Vec<String> {
    let paths = tree(folder).into_keys().map(|path| String::from_utf8_lossy(&path).into_owned());
    paths.filter(|path| path.contains("hullo-part")).collect()
}

/// A link, as its owner makes one.
pub(crate) fn link(home: &Home, target: &str, name: &str) {
    symlink(target, home.path(name)).unwrap();
}

/// A series of numbers that the seed decides.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below that.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % end
    }
}

/// How a connection is cut.
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    /// After so many bytes, both ways together.
    pub(crate) after: u64,
    /// As by a machine that is switched off and on, or as by one that closes.
    pub(crate) reset: bool,
}

/// Somebody between two ends, who listens on that port.
pub(crate) struct Between {
    pub(crate) port: u16,
    /// The connections that there were.
    pub(crate) seen: Arc<AtomicU64>,
}

impl Between {
    /// Passes on what comes to `to`. `cut` says of each connection how it ends, or nothing if it may stay.
    pub(crate) fn new(to: u16, mut cut: impl FnMut() -> Option<Cut> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, seen) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU64::new(0)));
        let count = seen.clone();
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                count.fetch_add(1, Relaxed);
                if let Ok(server) = TcpStream::connect(("127.0.0.1", to)) {
                    pass(&client, &server, cut());
                }
            }
        });
        Self { port, seen }
    }
}

fn pass(client: &TcpStream, server: &TcpStream, cut: Option<Cut>) {
    let passed = Arc::new(AtomicU64::new(0));
    for (mut from, mut to) in [(client, server), (server, client)].map(|(a, b)| (again(a), again(b))) {
        let passed = passed.clone();
        thread::spawn(move || {
            let mut buffer = vec![0; 16 << 10];
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                let before = passed.fetch_add(read as u64, Relaxed);
                let may = cut.map_or(read, |cut| read.min(cut.after.saturating_sub(before) as usize));
                if to.write_all(&buffer[..may]).is_err() {
                    break;
                }
                if may < read {
                    if cut.is_some_and(|cut| cut.reset) {
                        for stream in [&from, &to] {
                            let _ = SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
                        }
                    }
                    let _ = from.shutdown(Shutdown::Both);
                    let _ = to.shutdown(Shutdown::Both);
                    return;
                }
            }
            let _ = to.shutdown(Shutdown::Write);
        });
    }
}

fn again(stream: &TcpStream) -> TcpStream {
    stream.try_clone().unwrap()
}

/// Fills a file with so many bytes of noise that the seed decides.
pub(crate) fn noisy(home: &Home, name: &str, length: usize, seed: u64) {
    let mut dice = Dice(seed | 1);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&dice.below(u64::MAX).to_le_bytes());
    }
    bytes.truncate(length);
    home.file(name, bytes);
}

/// A folder, and those that it is in.
pub(crate) fn folder(home: &Home, name: &str) {
    fs::create_dir_all(home.path(name)).unwrap();
}

/// An error of the system, for `panic!` in a chain.
pub(crate) fn must<T>(what: &str, done: io::Result<T>) -> T {
    done.unwrap_or_else(|error| panic!("{what}: {error}"))
}
