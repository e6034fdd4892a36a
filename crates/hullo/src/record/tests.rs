//! Recordings are read again: by our own reader, and by tshark where it is installed.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::{
        Condvar,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use super::*;
use crate::{
    capture::{self, Capture, What},
    peer::{Endpoint, Peer},
    traffic::{Form, Traffic, Watched, Way},
};

const PATIENCE: Duration = Duration::from_secs(10);

/// A file that is removed on drop.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("hullo-record-{}-{}.pcapng", process::id(), NEXT.fetch_add(1, Relaxed));
        Self(env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A recording under way.
struct Recording {
    file: Scratch,
    recorder: Arc<Recorder>,
    traffic: Arc<Traffic>,
}

impl Recording {
    fn new() -> Self {
        let file = Scratch::new();
        let recorder = Recorder::create(&file.0, |error| panic!("{error}")).unwrap();
        let traffic = Arc::new(Traffic::new(vec![recorder.clone()]));
        Self { file, recorder, traffic }
    }

    fn open(&self, client: Peer) -> Watched {
        let server = Peer::new("tcp", net("10.0.0.1:80"), net("10.0.0.2:3333"));
        self.traffic.open(&Arc::from("front"), client, server)
    }

    fn finish(&self) -> Capture {
        let recorded = self.recorder.finish(PATIENCE).unwrap();
        assert_eq!(recorded.bytes, fs::metadata(&self.file.0).unwrap().len());
        let (_, capture) = capture::open(&self.file.0).unwrap();
        assert!(!capture.cut);
        capture
    }
}

fn net(address: &str) -> Endpoint {
    Endpoint::Net(address.parse::<SocketAddr>().unwrap())
}

fn peer(scheme: &'static str, remote: &str, local: &str) -> Peer {
    Peer::new(scheme, net(remote), net(local))
}

fn tcp() -> Peer {
    peer("tcp", "192.0.2.7:40001", "192.0.2.1:7007")
}

/// All that was said that way, put together.
fn said(file: &Path, capture: &Capture, at: usize, way: Way) -> Vec<u8> {
    let file = fs::File::open(file).unwrap();
    capture.conversations[at].pieces(way).flat_map(|piece| piece.of(&file).unwrap()).collect()
}

/// What tshark says of a file, or nothing where it is not installed.
fn tshark(file: &Path, words: &[&str]) -> Option<String> {
    let missing = || {
        assert!(env::var("HULLO_PEERS").as_deref() != Ok("all"), "no tshark");
        None
    };
    let mut command = Command::new("tshark");
    // Ports are those of the tests, and nothing else is meant by them.
    command.args(["-n", "-r"]).arg(file).args(["-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]);
    command.args(["-o", "ip.check_checksum:TRUE"]).args(words);
    let Ok(output) = command.output() else { return missing() };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Fails with whatever tshark finds wrong.
fn is_clean(file: &Path) {
    // Notes are below: tshark makes one of every connection that is closed.
    let wrong = "tcp.analysis.flags || _ws.expert.severity > 0x400000 || tcp.checksum.status == 0";
    let words = ["-Y", wrong, "-T", "fields", "-e", "frame.number", "-e", "_ws.expert.message"];
    let Some(said) = tshark(file, &words) else { return };
    assert_eq!(said, "", "tshark finds that wrong");
}

/// What tshark puts together of a stream, each direction in its order.
fn followed(file: &Path, protocol: &str, stream: usize) -> Option<[Vec<u8>; 2]> {
    let said = tshark(file, &["-q", "-z", &format!("follow,{protocol},raw,{stream}")])?;
    let mut ways = [Vec::new(), Vec::new()];
    let lines = said.lines().skip_while(|line| !line.starts_with("Node 1")).skip(1);
    for line in lines.take_while(|line| !line.starts_with('=')) {
        let hex = line.trim_start().as_bytes();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        ways[usize::from(line.starts_with('\t'))].extend(hex.chunks(2).map(byte));
    }
    Some(ways)
}

fn noise(length: usize) -> Vec<u8> {
    (0..length as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

#[test]
fn a_stream_is_reassembled_byte_for_byte() {
    let recording = Recording::new();
    let (question, answer) = (noise(3_000_000), noise(200_001));
    let flow = recording.open(tcp());
    for piece in question.chunks(64 << 10) {
        flow.piece(Way::Up, piece, Form::Stream);
    }
    flow.end(Way::Up);
    flow.piece(Way::Down, &answer, Form::Stream);
    flow.end(Way::Down);
    flow.close(None);
    let capture = recording.finish();
    let file = &recording.file.0;
    assert_eq!(capture.conversations[0].fault, None);
    assert!(said(file, &capture, 0, Way::Up) == question && said(file, &capture, 0, Way::Down) == answer);
    let ends = capture.conversations[0].events.iter().filter(|event| event.what == What::End).count();
    assert_eq!(ends, 2);
    is_clean(file);
    if let Some(ways) = followed(file, "tcp", 0) {
        assert!(ways == [question, answer], "tshark follows it");
    }
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn conversations_at_once_are_kept_apart() {
    let recording = Recording::new();
    let all: Vec<_> = (0..20).map(|n| peer("tcp", &format!("[2001:db8::{n}]:5000"), "[2001:db8::ff]:7007")).collect();
    let flows: Vec<_> = all.into_iter().map(|peer| recording.open(peer)).collect();
    for round in 0..10 {
        for flow in &flows {
            flow.piece(Way::Up, format!("{round} of {}", flow.flow().number).as_bytes(), Form::Stream);
            flow.piece(Way::Down, b"yes", Form::Stream);
        }
    }
    drop(flows);
    let capture = recording.finish();
    let file = &recording.file.0;
    is_clean(file);
    assert_eq!(capture.conversations.len(), 20);
    for (at, conversation) in capture.conversations.iter().enumerate() {
        let number = at + 1;
        let wanted: String = (0..10).map(|round| format!("{round} of {number}")).collect();
        assert_eq!((conversation.number, conversation.fault.as_deref()), (number as u64, None));
        assert_eq!(said(file, &capture, at, Way::Up), wanted.as_bytes());
        assert_eq!(said(file, &capture, at, Way::Down), b"yes".repeat(10));
        if at % 9 == 0
            && let Some(ways) = followed(file, "tcp", at)
        {
            assert!(ways == [wanted.into_bytes(), b"yes".repeat(10)], "tshark follows {number}");
        }
    }
    if let Some(said) = tshark(file, &["-Y", "frame.comment contains \"flow 7:\"", "-T", "fields", "-e", "ipv6.src"]) {
        assert_eq!(said, "2001:db8::6\n");
    }
}

#[test]
fn datagrams_stay_datagrams() {
    for (client, local, source) in
        [("127.0.0.9:61001", "127.0.0.1:61002", "ip.src"), ("[::1]:61001", "[::1]:61002", "ipv6.src")]
    {
        let recording = Recording::new();
        let flow = recording.open(peer("udp", client, local));
        let largest = noise(65_507);
        for (way, bytes) in
            [(Way::Up, &b"ping"[..]), (Way::Down, b"pong"), (Way::Up, b""), (Way::Up, &largest), (Way::Down, b"!")]
        {
            flow.piece(way, bytes, Form::Binary);
        }
        flow.close(None);
        let capture = recording.finish();
        let file = &recording.file.0;
        is_clean(file);
        let conversation = &capture.conversations[0];
        assert!(conversation.messages && conversation.fault.is_none());
        let lengths: Vec<_> = conversation.pieces(Way::Up).map(|piece| piece.length).collect();
        assert_eq!(lengths, [4, 0, 65_507], "{client}");
        assert_eq!(said(file, &capture, 0, Way::Down), b"pong!");
        if let Some(said) = tshark(file, &["-T", "fields", "-e", source, "-e", "udp.length"]) {
            let lengths: Vec<_> = said.lines().filter_map(|line| line.split_once('\t')).map(|(_, n)| n).collect();
            assert_eq!(lengths, ["12", "12", "8", "65515", "9"], "{client}");
        }
    }
}

#[test]
fn messages_keep_their_bounds() {
    let recording = Recording::new();
    let flow = recording.open(peer("ws", "192.0.2.7:40001", "192.0.2.1:7107").at_path("/room"));
    let large = noise(200_000);
    flow.piece(Way::Up, b"hello", Form::Text);
    flow.piece(Way::Up, b"", Form::Text);
    flow.piece(Way::Up, &large, Form::Binary);
    flow.piece(Way::Down, b"bye", Form::Text);
    flow.end(Way::Down);
    flow.end(Way::Up);
    flow.close(None);
    let capture = recording.finish();
    let conversation = &capture.conversations[0];
    assert!(conversation.messages && conversation.fault.is_none(), "{:?}", conversation.fault);
    let begins: Vec<_> = conversation.pieces(Way::Up).filter_map(|piece| piece.begins).collect();
    let begins: Vec<_> = begins.iter().map(|begins| (begins.text, begins.length)).collect();
    assert_eq!(begins, [(true, 5), (true, 0), (false, 200_000)]);
    if let Some(said) = tshark(&recording.file.0, &["-T", "fields", "-e", "frame.comment"]) {
        let said: Vec<_> = said.lines().filter(|line| !line.is_empty()).collect();
        assert!(said[0].starts_with("flow 1: ws://192.0.2.7:40001 came to ws://192.0.2.1:7107/room, "), "{said:?}");
        assert_eq!(
            said[1..4],
            ["message 1 up, text, 5 bytes", "message 2 up, text, 0 bytes", "message 3 up, binary, 200000 bytes"]
        );
    }
}

#[test]
fn what_was_cut_off_ends_with_a_reset_that_says_why() {
    let recording = Recording::new();
    let flow = recording.open(tcp());
    flow.piece(Way::Up, b"and then", Form::Stream);
    flow.close(Some(&Error::new(Kind::Cut, "the server went away")));
    let capture = recording.finish();
    let events = &capture.conversations[0].events;
    assert_eq!(events.last().unwrap().what, What::Reset);
    if let Some(said) =
        tshark(&recording.file.0, &["-Y", "tcp.flags.reset == 1", "-T", "fields", "-e", "frame.comment"])
    {
        assert_eq!(said, "flow 1: it was cut off: the server went away\n");
    }
}

#[test]
fn ends_without_an_address_get_one_each() {
    let recording = Recording::new();
    for _ in 0..3 {
        let flow = recording.open(Peer::new("unix", Endpoint::Unnamed, Endpoint::Name("/tmp/x".into())));
        flow.piece(Way::Up, b"x", Form::Stream);
        flow.close(None);
    }
    let mixed = recording.open(peer("tcp", "[::ffff:192.0.2.7]:5", "[::]:6"));
    mixed.piece(Way::Up, b"x", Form::Stream);
    mixed.close(None);
    let capture = recording.finish();
    let clients: Vec<_> = capture.conversations.iter().map(|conversation| conversation.client.to_string()).collect();
    assert_eq!(clients, ["127.1.0.1:1025", "127.1.0.1:1026", "127.1.0.1:1027", "192.0.2.7:5"]);
    is_clean(&recording.file.0);
}

/// A disk that takes nothing until it is let.
#[derive(Clone, Default)]
struct Slow(Arc<(Mutex<Disk>, Condvar)>);

#[derive(Default)]
struct Disk {
    goes: bool,
    bytes: Vec<u8>,
}

impl Slow {
    fn go(&self) {
        self.0.0.lock().unwrap().goes = true;
        self.0.1.notify_all();
    }
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut state = self.0.0.lock().unwrap();
        while !state.goes {
            state = self.0.1.wait(state).unwrap();
        }
        state.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_a_slow_disk_lost_is_said_and_never_silent() {
    let (slow, told) = (Slow::default(), Arc::new(AtomicU32::new(0)));
    let count = told.clone();
    let recorder = Recorder::over(slow.clone(), "the disk", move |error| {
        assert!(error.to_string().contains("missing in the disk"), "{error}");
        count.fetch_add(1, Relaxed);
    })
    .unwrap();
    let traffic = Arc::new(Traffic::new(vec![recorder.clone()]));
    let server = peer("tcp", "10.0.0.1:80", "10.0.0.2:3333");
    let flow = traffic.open(&Arc::from("front"), tcp(), server);
    let piece = noise(1 << 20);
    for _ in 0..80 {
        flow.piece(Way::Up, &piece, Form::Stream);
    }
    flow.close(None);
    assert_eq!(told.load(Relaxed), 1, "it is told once, and at once");
    slow.go();
    let error = recorder.finish(PATIENCE).unwrap_err();
    assert_eq!(error.kind(), Kind::File);
    assert!(error.to_string().contains("packets are missing in the disk"), "{error}");
    let bytes = slow.0.0.lock().unwrap().bytes.clone();
    assert!(bytes.len() < 3 * BOUND, "{} bytes were held", bytes.len());
    let capture = capture::read(&bytes[..]).unwrap();
    let fault = capture.conversations[0].fault.as_deref().unwrap_or_default();
    assert!(fault.starts_with("of what its client said ") && fault.contains(" bytes are missing at "), "{fault}");
}

#[test]
fn a_disk_that_breaks_is_said() {
    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let recorder = Recorder::over(Broken, "the disk", |_| ()).unwrap();
    let error = recorder.finish(PATIENCE).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (Kind::File, "cannot record to the disk: no storage space"));
}

#[test]
fn a_file_that_ends_anywhere_is_read_as_far_as_it_goes() {
    let recording = Recording::new();
    let flow = recording.open(tcp());
    for _ in 0..10 {
        flow.piece(Way::Up, b"again", Form::Stream);
    }
    flow.close(None);
    recording.finish();
    let bytes = fs::read(&recording.file.0).unwrap();
    let mut before = 0;
    for end in 200..bytes.len() {
        let capture = capture::read(&bytes[..end]).unwrap_or_else(|error| panic!("{end}: {error}"));
        let events = capture.conversations.iter().map(|conversation| conversation.events.len()).sum();
        assert!(events >= before, "{end}");
        before = events;
    }
    assert_eq!(before, 12, "ten pieces and two ends");
}
