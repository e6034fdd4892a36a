#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! `request` and files: downloads that are cut off, gone on with, named by others and checked.

mod common;

use std::path::Path;

use common::{Home, Program, Python, eventually, free_port, noise, peer};
use serde_json::json;

/// Serves /bulk in ranges, with the tag of its version: /bulk?cut=N ends each body after N bytes, /bulk?whole knows no
/// ranges, /bulk?lies sends another part than was asked for. /named?X is called X by its header. Version 2 comes with POST.
const SHELF: &str = r#"
import http.server, re, sys, urllib.parse
version = [1]
def content(): return bytes((i * 7919 + i // 251 * version[0]) % 256 for i in range(300000))
class Shelf(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_POST(self):
        version[0] += 1
        self.send_response(204); self.end_headers()
    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/named":
            self.send_response(200); self.send_header("Content-Length", 4)
            self.send_header("Content-Disposition", urllib.parse.unquote(query)); self.end_headers()
            return self.wfile.write(b"file")
        if path == "/missing":
            self.send_response(404); self.send_header("Content-Length", 5); self.end_headers()
            return self.wfile.write(b"gone\n")
        body, tag, start = content(), f'"v{version[0]}"', 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and query != "whole" and self.headers.get("If-Range", tag) == tag:
            start = int(asked[1])
            if start >= len(body):
                self.send_response(416); self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", 0); self.end_headers(); return
            self.send_response(206)
            said = 0 if query == "lies" else start
            self.send_header("Content-Range", f"bytes {said}-{len(body) - 1}/{len(body)}")
        else: self.send_response(200)
        print("from", start, flush=True)
        self.send_header("ETag", tag); self.send_header("Content-Length", len(body) - start); self.end_headers()
        if query.startswith("cut="):
            self.wfile.write(body[start:start + int(query[4:])]); self.close_connection = True
        else: self.wfile.write(body[start:])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Shelf)
server.daemon_threads = True
print(server.server_port, flush=True)
server.serve_forever()
"#;

fn shelf(home: &Home) -> Option<(Python, String)> {
    let server = home.python(SHELF)?;
    let at = format!("http://127.0.0.1:{}", server.port);
    Some((server, at))
}

fn bulk(version: usize) -> Vec<u8> {
    (0..300_000).map(|i| ((i * 7919 + i / 251 * version) % 256) as u8).collect()
}

#[test]
fn a_download_goes_on_where_it_was_cut_off() {
    let home = Home::new();
    let Some((shelf, at)) = shelf(&home) else { return };
    let cut = format!("{at}/bulk?cut=100000");
    let whole = format!("{at}/bulk");
    let ended = home.run(&["request", "-o", "bulk", &cut], "");
    assert_eq!((ended.code, home.read("bulk.part").len()), (15, 100_000), "{}", ended.err);
    assert!(ended.err.contains("bulk.part has 100000 bytes: go on with -c\n"), "{}", ended.err);
    assert!(!Path::new(&home.path("bulk")).exists(), "a part does not have the name of the whole");
    let ended = home.run(&["--json", "request", "-c", "-o", "bulk", &whole], "");
    assert_eq!((ended.code, home.read("bulk") == bulk(1)), (0, true), "{}", ended.err);
    let object = ended.objects().into_iter().find(|object| object["event"] == "downloaded").unwrap();
    assert_eq!((&object["bytes"], &object["received"]), (&json!(300_000), &json!(200_000)));
    shelf.program.heard("from 100000");
    // There is no more of it: it is whole, and stays.
    let ended = home.run(&["request", "-c", "-o", "bulk", &whole], "");
    assert_eq!((ended.code, home.read("bulk") == bulk(1)), (0, true), "{}", ended.err);
    let left: Vec<_> = std::fs::read_dir(home.path("")).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["bulk"], "nothing is left beside it");
    // What another program began has the whole file's name.
    home.file("other", &bulk(1)[..1000]);
    home.run(&["request", "-c", "-o", "other", &whole], "").good();
    assert!(home.read("other") == bulk(1));
}

#[test]
fn a_part_of_another_version_is_no_beginning() {
    let home = Home::new();
    let Some((_shelf, at)) = shelf(&home) else { return };
    let cut = |name: &str| assert_eq!(home.run(&["request", "-o", name, &format!("{at}/bulk?cut=1000")], "").code, 15);
    cut("ranges");
    cut("lies");
    let ended = home.run(&["request", "-c", "-o", "lies", &format!("{at}/bulk?lies")], "");
    assert_eq!((ended.code, home.read("lies.part").len()), (16, 1000), "{}", ended.err);
    let ended = home.run(&["request", "-c", "-o", "ranges", &format!("{at}/missing")], "");
    assert_eq!(
        (ended.code, home.read("ranges.part").len()),
        (16, 1000),
        "what is no file harms no part: {}",
        ended.err
    );
    home.run(&["request", "-c", "-o", "lies", &format!("{at}/bulk?whole")], "").good();
    assert!(home.read("lies") == bulk(1), "without ranges it is fetched whole");
    home.run(&["request", "POST", &at], "").good();
    home.run(&["request", "-c", "-o", "ranges", &format!("{at}/bulk")], "").good();
    assert!(home.read("ranges") == bulk(2), "the new version is fetched whole");
    home.file("long", noise(400_000));
    let ended = home.run(&["request", "-c", "-o", "long", &format!("{at}/bulk")], "");
    assert_eq!((ended.code, home.read("long").len()), (16, 400_000), "{}", ended.err);
}

#[test]
fn a_download_takes_as_many_attempts_as_it_may() {
    let home = Home::new();
    let Some((_shelf, at)) = shelf(&home) else { return };
    let cut = format!("{at}/bulk?cut=160000");
    let ended = home.run(&["request", "--retry", "1", "-d", &cut], "");
    assert_eq!((ended.code, home.read("bulk") == bulk(1)), (0, true), "{}", ended.err);
    let tiny = format!("{at}/bulk?cut=10");
    let ended = home.run(&["request", "--retry", "1", "-o", "tiny", &tiny], "");
    assert_eq!((ended.code, home.read("tiny.part").len()), (15, 20), "{}", ended.err);
}

#[test]
fn sums_are_checked_before_a_file_has_its_name() {
    let home = Home::new();
    let Some((_shelf, at)) = shelf(&home) else { return };
    let Some(sha) = peer("sha256sum") else { return };
    let url = format!("{at}/bulk");
    home.file("known", bulk(1));
    let sum = common::run(home.command(sha).arg("known"), "").text();
    let sum = format!("sha256:{}", sum.split(' ').next().unwrap());
    home.run(&["request", "-o", "bulk", "--checksum", &sum, &url], "").good();
    let wrong = format!("sha256:{}", "0".repeat(64));
    let ended = home.run(&["request", "-o", "wrong", "--checksum", &wrong, &url], "");
    assert!(ended.code == 15 && ended.err.contains(&sum[7..]), "{}", ended.err);
    assert!(ended.err.contains("wrong.part has 300000 bytes: remove it"), "{}", ended.err);
    assert!(!Path::new(&home.path("wrong")).exists());
    for bad in ["sha256:12", "md5:00", "x"] {
        assert_eq!(home.run(&["request", "-o", "x", "--checksum", bad, &url], "").code, 2, "{bad}");
    }
    assert_eq!(home.run(&["request", "--checksum", &sum, &url], "").code, 2);
    assert_eq!(home.run(&["request", "--continue", &url], "").code, 2);
}

#[test]
fn names_come_from_the_server_and_overwrite_nothing() {
    let home = Home::new();
    let Some((_shelf, at)) = shelf(&home) else { return };
    for (disposition, name) in [
        ("attachment; filename=report.txt", "report.txt"),
        ("attachment; filename=report.txt", "report-1.txt"),
        ("attachment; filename=\"/etc/../.report.txt\"", "report-2.txt"),
        ("attachment; filename*=UTF-8''%E2%82%AC", "€"),
        ("inline", "named"),
    ] {
        let quoted: String = disposition.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let ended = home.run(&["request", "-d", &format!("{at}/named?{quoted}")], "");
        assert!(ended.code == 0 && home.read(name) == b"file", "{disposition}: {}", ended.err);
    }
    let ended = home.run(&["request", "-d", &format!("{at}/missing")], "");
    assert_eq!((ended.code, &*ended.out), (16, &b"gone\n"[..]), "a page that says no is not the file: {}", ended.err);
    assert!(!Path::new(&home.path("missing")).exists());
    assert_eq!(home.run(&["request", "-o", "/dev/null", &format!("{at}/bulk")], "").code, 0);
    assert!(home.run(&["request", "-o", "-", &format!("{at}/bulk")], "").good() == bulk(1));
    let ended = home.run(&["request", "-o", "no/such/folder/x", &format!("{at}/bulk")], "");
    assert_eq!(ended.code, 19, "{}", ended.err);
}

#[test]
fn nginx_and_we_agree_on_ranges() {
    let Some(nginx) = peer("nginx") else { return };
    let home = Home::new();
    let (port, second, bulk) = (free_port(), free_port(), noise(2_000_000));
    home.file("bulk.bin", &bulk);
    let folder = home.path("");
    let config = home.file(
        "nginx.conf",
        format!(
            "daemon off; pid {folder}/pid; error_log stderr; user root; events {{}}\nhttp {{ access_log off; \
             client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; \
             scgi_temp_path {folder}; gzip on; gzip_types *; server {{ listen 127.0.0.1:{port}; root {folder}; }} \
             server {{ listen 127.0.0.1:{second} http2; root {folder}; }} }}"
        ),
    );
    let _nginx = Program::start(home.command(nginx).args(["-c", &config, "-p", &folder]));
    eventually("nginx listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let url = format!("http://127.0.0.1:{port}/bulk.bin");
    let text = format!("http://127.0.0.1:{port}/nginx.conf");
    assert!(home.run(&["request", &url], "").good() == bulk);
    assert!(home.run(&["request", &text], "").text().contains("gzip on"), "what it compressed is text again");
    let h2 = format!("http://127.0.0.1:{second}/");
    assert!(home.run(&["request", "--http", "2", &format!("{h2}bulk.bin")], "").good() == bulk);
    let refused = home.run(&["request", "--http", "2", "--check-status", "POST", &h2, "@bulk.bin"], "");
    assert_eq!(refused.code, 4, "{}", refused.err);
    home.file("back.part", &bulk[..1_234_567]);
    home.run(&["request", "-c", "-o", "back", &url], "").good();
    assert!(home.read("back") == bulk);
    let ended = home.run(&["request", "-c", "-o", "back", &url], "");
    assert_eq!((ended.code, home.read("back") == bulk), (0, true), "{}", ended.err);
}
