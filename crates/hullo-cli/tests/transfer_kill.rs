#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! What breaks in the middle of a transfer: an end that is killed, a connection that is cut. Nothing wrong ever has its
//! name, and the same again gets all of it.

mod common;

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    thread,
    time::Duration,
};

use common::{
    Home, Program, at_once,
    transfer::{Between, CODE, Cut, Dice, Waiting, folder, noisy, parts, tree},
};
use rustix::process::Signal;

const HERE: &str = "tcp://127.0.0.1:0";
const PHRASE: &str = "7-quiet-harbour";

/// How often an end is killed, in each direction.
const KILLS: usize = 25;

/// A folder with some of every size; what is in it, by paths.
fn album(home: &Home) -> BTreeMap<PathBuf, Vec<u8>> {
    folder(home, "album/small/er");
    let sizes = (0..200).map(|n| (format!("album/small/{n}"), n * 37));
    let sizes = sizes.chain((0..20).map(|n| (format!("album/small/er/{n}"), 100_000 + n * 5000)));
    let sizes = sizes.chain([("album/film".to_owned(), 12_000_000), ("album/image".to_owned(), 9_000_001)]);
    for (seed, (name, size)) in sizes.enumerate() {
        noisy(home, &name, size, 1 + seed as u64);
    }
    files(Path::new(&home.path("album")))
}

fn files(at: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for path in tree(at).into_keys() {
        let path = PathBuf::from(String::from_utf8(path).unwrap());
        if at.join(&path).is_file() {
            found.insert(path.clone(), fs::read(at.join(&path)).unwrap());
        }
    }
    found
}

/// Every file that has its name is what it should be.
fn nothing_is_wrong(home: &Home, album: &BTreeMap<PathBuf, Vec<u8>>, when: &str) {
    let inbox = PathBuf::from(home.path("inbox/album"));
    if !inbox.exists() {
        return;
    }
    for (path, content) in album {
        if let Ok(there) = fs::read(inbox.join(path)) {
            assert!(there == *content, "{} is wrong {when}", path.display());
        }
    }
}

/// The two ends: who waits, and who comes.
struct Ends {
    home: Home,
    waiting_sends: bool,
}

impl Ends {
    fn words(&self, sends: bool) -> &'static [&'static str] {
        if sends { &["send", "album"] } else { &["receive", "--into", "inbox"] }
    }

    fn waiting(&self) -> Waiting {
        let words = [&["--json"], self.words(self.waiting_sends), &["--times", "any", "--listen", HERE]].concat();
        Waiting::run(self.home.hullo(&words).env(CODE, PHRASE))
    }

    fn coming(&self, to: &Waiting) -> Program {
        let words = [&["--json"], self.words(!self.waiting_sends), &[&to.at, "--wait", "0s"]].concat();
        Program::start(self.home.hullo(&words).env(CODE, PHRASE))
    }
}

fn killed_again_and_again(waiting_sends: bool, seed: u64) {
    let ends = Ends { home: Home::new(), waiting_sends };
    let (album, mut dice) = (album(&ends.home), Dice(seed));
    let mut waiting = ends.waiting();
    for kill in 0..KILLS {
        let when = format!("after kill {kill} of seed {seed}");
        let coming = ends.coming(&waiting);
        // This is what it is about: any moment. The first ones are those of the greeting.
        thread::sleep(Duration::from_millis(dice.below(250)));
        if dice.below(2) == 0 {
            drop(coming);
        } else {
            waiting.program.signal(Signal::KILL);
            // Who is left gives up, or was done before.
            coming.ended();
            waiting = ends.waiting();
        }
        nothing_is_wrong(&ends.home, &album, &when);
        let inbox = PathBuf::from(ends.home.path("inbox/album"));
        if album.keys().all(|path| inbox.join(path).exists()) {
            // All of it is there, perhaps: begin anew.
            drop(waiting);
            fs::remove_dir_all(ends.home.path("inbox")).unwrap();
            waiting = ends.waiting();
        }
    }
    drop(waiting);
    let waiting = ends.waiting();
    let last = ends.coming(&waiting).ended();
    assert_eq!(last.code, 0, "seed {seed}: {}", last.err);
    assert!(files(Path::new(&ends.home.path("inbox/album"))) == album, "seed {seed}");
    assert_eq!(parts(Path::new(&ends.home.path("inbox"))), [""; 0], "seed {seed}");
}

#[test]
fn a_sender_that_waits_may_be_killed_at_any_moment_and_so_may_its_receiver() {
    killed_again_and_again(true, 0x9e37_79b9_7f4a_7c15);
}

#[test]
fn a_receiver_that_waits_may_be_killed_at_any_moment_and_so_may_its_sender() {
    killed_again_and_again(false, 0xd1b5_4a32_d192_ed03);
}

/// What is cut is never the last of it: of that nobody can be sure whether it has arrived.
#[test]
fn a_connection_that_is_cut_is_made_again_and_nothing_is_lost() {
    const CUTS: usize = 10;
    for (waiting_sends, plain) in [(true, false), (false, false), (true, true), (false, true)] {
        let home = Home::new();
        let album = album(&home);
        let (send, receive) = (&["send", "album"][..], &["receive", "--into", "inbox"][..]);
        let (first, second) = if waiting_sends { (send, receive) } else { (receive, send) };
        let plain: &[&str] = if plain { &["--plain"] } else { &[] };
        let waiting = Waiting::start(&home, &[first, &["--listen", HERE], plain].concat());
        let (mut dice, mut left) = (Dice(0x2545_f491_4f6c_dd1d), CUTS);
        let between = Between::new(waiting.port(), move || {
            left = left.checked_sub(1)?;
            Some(Cut { after: 2000 + dice.below(1_800_000), reset: dice.below(2) == 0 })
        });
        let at = format!("tcp://127.0.0.1:{}", between.port);
        let words = [&["--json"], second, &[&at, "--wait", "20s"]].concat();
        let coming = Program::start(&mut waiting.other(&home, &words)).ended_within(Duration::from_secs(60));
        assert_eq!(coming.code, 0, "{}", coming.err);
        let waited = waiting.program.ended();
        assert_eq!(waited.code, 0, "{}", waited.err);
        assert_eq!(between.seen.load(Relaxed), CUTS as u64 + 1, "{}", coming.err);
        let broken = coming.objects().iter().filter(|event| event["event"] == "broken").count();
        assert_eq!(broken, CUTS, "{}", coming.err);
        assert!(files(Path::new(&home.path("inbox/album"))) == album);
        assert_eq!(parts(Path::new(&home.path("inbox"))), [""; 0]);
    }
}

/// Over datagrams nobody hangs up: the end that comes learns it from the port where nobody is, and goes on with who waits
/// there next.
#[test]
fn an_end_that_is_killed_over_datagrams_is_found_again() {
    at_once(&[true, false], |&waiting_sends| {
        let home = Home::new();
        noisy(&home, "film", 80_000_000, 3);
        let (send, receive) = (["send", "film"].as_slice(), ["receive", "--no-fsync", "--into", "inbox"].as_slice());
        let (first, second) = if waiting_sends { (send, receive) } else { (receive, send) };
        let wait =
            |at: &str| Waiting::run(home.hullo(&[&["--json"], first, &["--listen", at]].concat()).env(CODE, PHRASE));
        let waiting = wait("udp://127.0.0.1:0");
        let words = [&["--json"], second, &[&waiting.at, "--wait", "20s"]].concat();
        let coming = Program::start(home.hullo(&words).env(CODE, PHRASE));
        waiting.tells("begun", 0);
        waiting.program.signal(Signal::KILL);
        let at = waiting.at.clone();
        assert_eq!(waiting.program.ended().code, 128 + 9);
        let waiting = wait(&at);
        let ended = coming.ended_within(Duration::from_secs(60));
        assert_eq!(ended.code, 0, "{}", ended.err);
        assert!(ended.objects().iter().any(|event| event["event"] == "broken"), "{}", ended.err);
        waiting.program.ended().good();
        assert!(home.read("inbox/film") == home.read("film"), "the sender waits: {waiting_sends}");
        assert_eq!(parts(Path::new(&home.path("inbox"))), [""; 0]);
    });
}

/// The end that waits has said its last word of a greeting, and the other end never hears it.
#[test]
fn a_greeting_that_is_cut_off_costs_nothing() {
    let home = Home::new();
    noisy(&home, "film", 6_000_000, 5);
    let waiting = Waiting::start(&home, &["send", "film", "--listen", HERE]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("tcp://{}", listener.local_addr().unwrap());
    let (to, stages) = (waiting.port(), Arc::new(Mutex::new(Vec::new())));
    let seen = stages.clone();
    thread::spawn(move || {
        // The first is cut in the content, two in the greeting, and the last may stay.
        for cut in [Some(1_000_000), None, None, Some(u64::MAX)] {
            let mut client = listener.accept().unwrap().0;
            let mut server = TcpStream::connect(("127.0.0.1", to)).unwrap();
            relay(&mut client, &mut server);
            relay(&mut server, &mut client);
            relay(&mut client, &mut server);
            let last = heard(&mut server);
            seen.lock().unwrap().push(last.len());
            let Some(most) = cut else { continue };
            client.write_all(&last).unwrap();
            let (mut from, mut into) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from, &mut into));
            let _ = std::io::copy(&mut (&mut server).take(most), &mut client);
            let _ = client.shutdown(std::net::Shutdown::Both);
            let _ = server.shutdown(std::net::Shutdown::Both);
        }
    });
    let words = ["--json", "receive", "--into", "inbox", &at, "--wait", "20s"];
    let ended = Program::start(&mut waiting.other(&home, &words)).ended();
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(stages.lock().unwrap().len(), 4, "{}", ended.err);
    assert!(home.read("inbox/film") == home.read("film"));
}

/// One message of a greeting, with its length.
fn heard(from: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    from.read_exact(&mut length).unwrap();
    let mut words = vec![0; u32::from_le_bytes(length) as usize];
    from.read_exact(&mut words).unwrap();
    [&length[..], &words].concat()
}

fn relay(from: &mut TcpStream, to: &mut TcpStream) {
    to.write_all(&heard(from)).unwrap();
}
