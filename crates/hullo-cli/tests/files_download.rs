#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! `serve files`: downloads by curl and wget, what is not there for anybody, and clients that are slow or go.

mod common;

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::fs::{FileExt, symlink},
    time::{Duration, SystemTime},
};

use common::{Ended, Home, PATIENCE, Server, noise, peer, run};

/// A folder of files that were written long ago, served over both.
fn served(home: &Home, files: &[(&str, &[u8])], flags: &[&str]) -> Server {
    fs::create_dir_all(home.path("www")).unwrap();
    for (name, content) in files {
        write(home, name, content);
    }
    home.serve(&[&["files", &home.path("www"), "http://:0", "https://:0"], flags].concat(), 2)
}

fn write(home: &Home, name: &str, content: &[u8]) {
    let path = home.path(&format!("www/{name}"));
    fs::create_dir_all(path.rsplit_once('/').unwrap().0).unwrap();
    fs::write(&path, content).unwrap();
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_577_836_800);
    File::open(&path).unwrap().set_modified(old).unwrap();
}

fn curl(home: &Home, words: &[&str]) -> Option<Ended> {
    Some(run(home.command(peer("curl")?).args(["-sSk", "--path-as-is"]).args(words), ""))
}

/// Says that much to the server, and ends.
fn raw(server: &Server, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port(0))).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

fn all(mut stream: TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    // A reset is an end too: what matters is what came before it.
    let _ = stream.read_to_end(&mut read);
    read
}

/// The head of an answer as text, and its body.
fn parted(answer: &[u8]) -> (String, &[u8]) {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    (String::from_utf8(answer[..end].to_vec()).unwrap(), &answer[end..])
}

#[test]
fn files_of_every_size_come_over_every_version() {
    let home = Home::new();
    let sizes = [0, 1, 1_000, 32 << 10, (32 << 10) + 1, 1 << 20, 3_000_001];
    let files: Vec<_> = sizes.iter().map(|size| (format!("{size}.bin"), noise(*size))).collect();
    let files: Vec<_> = files.iter().map(|(name, content)| (&**name, &**content)).collect();
    let server = served(&home, &files, &[]);
    for (name, content) in &files {
        for (at, version) in
            [(0, "--http1.1"), (0, "--http1.0"), (0, "--http2-prior-knowledge"), (1, "--http1.1"), (1, "--http2")]
        {
            let url = format!("{}/{name}", server.at[at]);
            let Some(ended) = curl(&home, &["-f", version, &url]) else { return };
            assert!(ended.good() == *content, "{url} {version}");
            let head = curl(&home, &["-fI", version, &url]).unwrap().text();
            assert!(head.contains(&format!("content-length: {}", content.len())), "{version}: {head}");
        }
    }
    if let Some(wget) = peer("wget") {
        run(home.command(wget).args(["-q", &format!("{}/3000001.bin", server.at[0])]), "").good();
        assert!(home.read("3000001.bin") == files[6].1);
    }
}

#[test]
fn what_was_cut_off_is_gone_on_with() {
    let home = Home::new();
    let content = noise(500_000);
    let server = served(&home, &[("bulk", &content)], &[]);
    let url = format!("{}/bulk", server.at[0]);
    for (program, words) in [("curl", &["-sSf", "-C", "-", "-o", "bulk"][..]), ("wget", &["-q", "-c"])] {
        let Some(program) = peer(program) else { continue };
        home.file("bulk", &content[..123_456]);
        run(home.command(program).args(words).arg(&url), "").good();
        assert!(home.read("bulk") == content, "{program}");
    }
}

#[test]
fn nothing_leads_out_and_what_is_hidden_is_not_there() {
    let home = Home::new();
    let secret = home.file("secret", "the secret");
    let files: &[(&str, &[u8])] = &[
        ("file", b"a file"),
        ("folder/x", b"x"),
        (".env", b"the secret"),
        ("a/.git/c", b"the secret"),
        (".x.hullo-part", b"the secret"),
    ];
    let server = served(&home, files, &[]);
    symlink(&secret, home.path("www/absolute")).unwrap();
    symlink("../secret", home.path("www/up")).unwrap();
    symlink("..", home.path("www/parent")).unwrap();
    symlink("folder/x", home.path("www/inside")).unwrap();
    symlink("/proc/self/root", home.path("www/magic")).unwrap();
    symlink("loop", home.path("www/loop")).unwrap();
    run(home.command("mkfifo").arg(home.path("www/pipe")), "").good();
    for (path, status) in [
        ("file", 200),
        ("inside", 200),
        ("folder//x", 200),
        ("folder", 301),
        ("file/", 404),
        ("file/x", 404),
        ("missing", 404),
        ("../secret", 400),
        ("folder/../../secret", 400),
        ("%2e%2e/secret", 400),
        ("..%2fsecret", 400),
        ("%2e%2e%2fsecret", 400),
        ("file%00", 400),
        ("..%5csecret", 404),
        ("absolute", 404),
        ("up", 404),
        ("parent/secret", 404),
        ("magic/etc/passwd", 404),
        ("loop", 404),
        ("pipe", 403),
        (".env", 404),
        ("a/.git/c", 404),
        (".x.hullo-part", 404),
        (&"n".repeat(300), 404),
        (&"n/".repeat(2500), 404),
    ] {
        let answer = all(raw(&server, &format!("GET /{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")));
        let (head, body) = parted(&answer);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {head}");
        assert!(!String::from_utf8_lossy(body).contains("secret"), "{path}");
    }
    let hidden = home.serve(&["files", &home.path("www"), "http://:0", "--hidden"], 1);
    for (path, status) in [(".env", 200), ("a/.git/c", 200), (".x.hullo-part", 404), ("up", 404)] {
        let answer = all(raw(&hidden, &format!("GET /{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")));
        assert!(parted(&answer).0.starts_with(&format!("HTTP/1.1 {status} ")), "{path}, where hidden files are shown");
    }
}

#[test]
fn a_folder_without_its_slash_leads_to_no_other_host() {
    let home = Home::new();
    let server = served(&home, &[("example.org/x", b"x"), ("a:b/x", b"x")], &[]);
    for (path, location) in
        [("/example.org", "example.org/"), ("//example.org?a=b", "example.org/?a=b"), ("/a:b", "a%3Ab/")]
    {
        let answer = all(raw(&server, &format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")));
        let (head, _) = parted(&answer);
        assert!(head.contains(&format!("\r\nlocation: {location}\r\n")), "{path}: {head}");
    }
}

#[test]
fn a_page_that_somebody_left_here_is_on_its_own() {
    let home = Home::new();
    let files: &[(&str, &[u8])] =
        &[("a.html", b"<script>"), ("a.svg", b"<svg/>"), ("a.txt", b"<b>"), ("d/index.html", b"the index")];
    let server = served(&home, files, &[]);
    let Some(ended) = curl(&home, &["-i", &format!("{}/a.html?download", server.at[0])]) else { return };
    let said = ended.text();
    assert!(said.contains("content-security-policy: sandbox") && said.contains("nosniff"), "{said}");
    assert!(!said.contains("allow-same-origin") && said.contains("attachment; filename=\"a.html\""), "{said}");
    assert!(curl(&home, &["-i", &format!("{}/a.svg", server.at[0])]).unwrap().text().contains("sandbox"));
    let plain = curl(&home, &["-i", &format!("{}/a.txt", server.at[0])]).unwrap().text();
    assert!(plain.contains("content-type: text/plain; charset=utf-8") && !plain.contains("attachment"), "{plain}");
    assert!(!curl(&home, &[&format!("{}/d/", server.at[0])]).unwrap().text().contains("the index"));
    let site = home.serve(&["files", &home.path("www"), "http://:0", "--index"], 1);
    let page = curl(&home, &["-i", &format!("{}/d/", site.at[0])]).unwrap().text();
    assert!(page.ends_with("the index") && !page.contains("sandbox"), "{page}");
}

#[test]
fn text_is_compressed_for_those_who_take_it() {
    let home = Home::new();
    let text = "hullo, world\n".repeat(20_000);
    let server = served(
        &home,
        &[
            ("a.css", text.as_bytes()),
            ("b.css", text.as_bytes()),
            ("b.css.br", b"made before"),
            ("c.png", text.as_bytes()),
        ],
        &[],
    );
    let ask = |name: &str, words: &[&str]| {
        let answer = curl(&home, &[&["-i", &*format!("{}/{name}", server.at[0])], words].concat())?.good();
        let (head, body) = parted(&answer);
        Some((head, body.to_vec()))
    };
    for coding in ["gzip", "br", "zstd"] {
        let accept = format!("Accept-Encoding: {coding};q=0.5, other");
        let Some((head, body)) = ask("a.css", &["-H", &accept]) else { return };
        assert!(head.contains(&format!("content-encoding: {coding}\r\n")) && head.contains("etag: W/"), "{head}");
        assert!(head.contains("vary: accept-encoding") && !head.contains("accept-ranges"), "{head}");
        assert!(body.len() < text.len() / 10, "{coding}");
        let (head, body) = ask("a.css", &["-H", &accept, "-r", "5-9"]).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 ") && body.len() < text.len() / 10, "a range is of no coding: {head}");
    }
    let (head, body) = ask("a.css", &["--compressed"]).unwrap();
    assert!(head.contains("content-encoding") && body == text.as_bytes(), "{head}");
    let (head, body) = ask("b.css", &["-H", "Accept-Encoding: gzip, br;q=0.9"]).unwrap();
    assert!(head.contains("content-encoding: br") && head.contains("etag: \"") && body == b"made before", "{head}");
    let (head, body) = ask("b.css", &["-H", "Accept-Encoding: br", "-r", "5-10"]).unwrap();
    assert!(head.contains("content-range: bytes 5-10/11") && body == b"before", "{head}");
    let (head, _) = ask("c.png", &["-H", "Accept-Encoding: gzip"]).unwrap();
    assert!(!head.contains("content-encoding") && !head.contains("vary"), "{head}");
    // What was compressed before the file was written last is not of that file.
    File::open(home.path("www/b.css")).unwrap().set_modified(SystemTime::now()).unwrap();
    let (_, body) = ask("b.css", &["-H", "Accept-Encoding: br"]).unwrap();
    assert!(body != b"made before");
}

/// More than a connection takes on its own.
const BULK: usize = 32 << 20;

#[test]
fn a_file_that_is_changed_meanwhile_never_looks_whole() {
    let home = Home::new();
    let content = noise(BULK);
    let server = served(&home, &[("bulk", &content)], &[]);
    let path = home.path("www/bulk");
    let changes: [&dyn Fn(&File); 3] = [
        &|file| file.set_len(1 << 20).unwrap(),
        &|file| assert_eq!(file.write_at(b"other", 5_000).unwrap(), 5),
        &|file| assert_eq!(file.write_at(b"more", BULK as u64).unwrap(), 4),
    ];
    for (at, change) in changes.iter().enumerate() {
        write(&home, "bulk", &content);
        let mut stream = raw(&server, "GET /bulk HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut first = [0; 1000];
        stream.read_exact(&mut first).unwrap();
        change(&OpenOptions::new().write(true).open(&path).unwrap());
        let rest = all(stream);
        assert!(rest.len() + first.len() < BULK, "change {at}: {} bytes came", rest.len());
    }
    server.program.told("it was changed meanwhile");
    // What replaces a file as a whole does not change the one that is being sent.
    write(&home, "bulk", &content);
    write(&home, "other", b"other");
    let mut stream = raw(&server, "GET /bulk HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let mut first = vec![0; 1000];
    stream.read_exact(&mut first).unwrap();
    fs::rename(home.path("www/other"), &path).unwrap();
    first.extend(all(stream));
    assert!(parted(&first).1 == content);
}

#[test]
fn clients_are_slow_or_go_or_ask_much_at_once() {
    let home = Home::new();
    let (content, small) = (noise(BULK), noise(2_000));
    let server = served(&home, &[("bulk", &content), ("small", &small)], &[]);
    let get = |name: &str, more: &str| format!("GET /{name} HTTP/1.1\r\nHost: a\r\n{more}\r\n");
    for _ in 0..20 {
        // What has come and is not read makes a reset of the end.
        raw(&server, &get("bulk", "")).peek(&mut [0]).unwrap();
    }
    // In pieces that are no power of two, and many answers behind each other.
    let asked = [
        get("bulk", ""),
        get("small", ""),
        get("bulk", "Range: bytes=100000-\r\n"),
        get("small", "Connection: close\r\n"),
    ]
    .concat();
    let mut stream = raw(&server, &asked);
    stream.shutdown(Shutdown::Write).unwrap();
    let mut read = Vec::new();
    let mut piece = vec![0; 77_777];
    loop {
        match stream.read(&mut piece).unwrap() {
            0 => break,
            count => read.extend_from_slice(&piece[..count]),
        }
    }
    let mut rest = &read[..];
    for wanted in [&content[..], &small, &content[100_000..], &small] {
        let (_, body) = parted(rest);
        assert!(body.starts_with(wanted), "of {} bytes", wanted.len());
        rest = &body[wanted.len()..];
    }
    assert!(rest.is_empty());
    assert_eq!(server.interrupted().code, 0);
}

#[test]
fn the_folder_is_said_before_the_addresses_or_in_a_configuration() {
    let home = Home::new();
    drop(served(&home, &[("file", b"a file")], &[]));
    let config = format!(
        "[[serve]]\nservice = \"files\"\ndir = \"{}\"\nhidden = true\naddresses = [\"http://:0\"]\n",
        home.path("www")
    );
    let config = home.file("hullo.toml", config);
    home.file("file", "the folder where we are");
    for (words, content) in [
        (&["files", "www", "http://:0"][..], "a file"),
        (&["files", "./www/", "http://:0"], "a file"),
        (&["files", "http://:0"], "the folder where we are"),
        (&["--config", &config], "a file"),
    ] {
        let server = home.serve(words, 1);
        let answer = all(raw(&server, "GET /file HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        assert_eq!(String::from_utf8_lossy(parted(&answer).1), content, "{words:?}");
        server.program.told("the folder is ");
    }
    for (words, said) in [
        (&["serve", "files", "nowhere", "http://:0"][..], "cannot serve the folder nowhere"),
        (&["serve", "files", "hullo.toml", "http://:0"], "cannot serve the folder hullo.toml"),
        (&["serve", "files", "www"], "no address to listen on"),
        (&["serve", "files", "www", "tcp://:0"], "http"),
        (&["serve", "echo", "www", ":0"], "www"),
        (&["serve", "echo", ":0", "--hidden"], "echo has no use for --hidden"),
    ] {
        let ended = home.run(words, "");
        assert!(ended.code != 0 && ended.err.contains(said), "{words:?}: {}", ended.err);
    }
}
