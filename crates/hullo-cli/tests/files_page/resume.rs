//! What is left of a broken upload, and how it goes on.

use std::{
    fs::File,
    io::Read,
    time::{Duration, SystemTime},
};

use crate::{
    Folder,
    common::{eventually, noise, read_until},
};

const PARTIAL: &str = "Content-Type: application/partial-upload";

fn offset(folder: &Folder, path: &str) -> Option<usize> {
    folder.header(path, &["-I"], "upload-offset")?.parse().ok()
}

#[test]
fn curl_goes_on_where_it_was_cut_off() {
    let Some(folder) = Folder::served(&["--upload"]) else { return };
    let content = noise(2_000_000);
    let file = folder.home.file("file", &content);
    folder.asked("/file?upload", &["-I"], 404, "");
    let broken = folder.begin("PUT /file HTTP/1.1\nContent-Length: 2000000", &content[..1_234_567]);
    drop(broken);
    eventually("what has come is there", || offset(&folder, "/file?upload") == Some(1_234_567));
    assert!(folder.curl("/?simple", &[]).1.is_empty(), "no part is shown");
    folder.asked("/file", &["-T", &file, "-C", "1000000"], 409, "curl -C 1234567 -T");
    folder.asked("/other", &["-T", &file, "-C", "1000000"], 409, "from its beginning");
    // Another server goes on with it as well.
    let folder = folder.again(&["--upload"]);
    folder.asked("/file", &["-T", &file, "-C", "1234567"], 201, "file: 2000000 bytes, stored");
    assert!(folder.read("file") == content);
    assert_eq!(folder.names(), ["file"]);
    // Who begins anew does not find the old bytes.
    drop(folder.begin("PUT /again HTTP/1.1\nContent-Length: 2000000", &content[1000..2000]));
    eventually("what has come is there", || offset(&folder, "/again?upload") == Some(1000));
    folder.asked("/again", &["-T", &file], 201, "stored");
    assert!(folder.read("again") == content);
}

#[test]
fn an_upload_is_made_asked_for_gone_on_with_and_ended() {
    let Some(folder) = Folder::served(&["--upload"]) else { return };
    let content = noise(3000);
    let piece = |from: usize, to: usize| format!("@{}", folder.home.file(&format!("{from}"), &content[from..to]));
    let make = ["-X", "PUT", "-H", "Upload-Complete: ?0", "-H", "Upload-Length: 3000"];
    let made = |words: &[&str]| folder.header("/a/name%20x", &[&make, words].concat(), "location").unwrap();
    let place = made(&["--data-binary", &piece(0, 1000)]);
    let place = format!("/a/{}", place.strip_prefix("./").unwrap());
    assert!(place.starts_with("/a/name%20x?upload="), "{place}");
    assert_eq!(offset(&folder, &place), Some(1000));
    assert_eq!(folder.header(&place, &["-I"], "upload-length").as_deref(), Some("3000"));
    assert_eq!(folder.header(&place, &["-I"], "upload-complete").as_deref(), Some("?0"));
    let patch = |place: &str, at: usize, to: usize, last: &str, status: u16, wanted: &str| {
        let (at_, last) = (format!("Upload-Offset: {at}"), format!("Upload-Complete: {last}"));
        let body = piece(at, to);
        let words = ["-X", "PATCH", "-H", PARTIAL, "-H", &at_, "-H", &last, "--data-binary", &body];
        folder.asked(place, &words, status, wanted)
    };
    patch(&place, 999, 1500, "?0", 409, "1000 bytes of this file are here");
    patch(&place, 1000, 2000, "?0", 204, "");
    patch(&place, 2000, 2500, "?1", 400, "two different lengths");
    folder.asked(&place, &["-X", "PATCH", "-d", "x"], 415, "application/partial-upload");
    folder.asked(&place, &["-X", "PATCH", "-d", "x", "-H", PARTIAL], 400, "Upload-Offset");
    // The address remembers what it must, whatever becomes of the server.
    let folder = folder.again(&["--upload"]);
    assert_eq!(offset(&folder, &place), Some(2000));
    let last = format!("@{}", folder.home.file("last", &content[2000..]));
    let words = [
        "-X",
        "PATCH",
        "-H",
        PARTIAL,
        "-H",
        "Upload-Offset: 2000",
        "-H",
        "Upload-Complete: ?1",
        "--data-binary",
        &last,
    ];
    folder.asked(&place, &words, 201, "name x: 3000 bytes, stored");
    assert_eq!(folder.read("a/name x"), content);
    // The answer may have been lost: who asks is told that all is there.
    assert_eq!(folder.header(&place, &["-I"], "upload-complete").as_deref(), Some("?1"));
    folder.asked(&place, &words, 404, "or it is done");

    let place = folder.header("/b", &make, "location").unwrap().replacen("./", "/", 1);
    assert_eq!(offset(&folder, &place), Some(0), "it is there before its first byte");
    folder.asked(&place, &["-X", "DELETE"], 204, "");
    folder.asked(&place, &["-X", "DELETE"], 404, "no such upload");
    folder.asked(&place, &["-I"], 404, "");
    assert_eq!(folder.names(), ["a"]);
}

#[test]
fn what_was_wanted_at_the_beginning_holds_at_the_end() {
    let Some(folder) = Folder::served(&["--upload", "--overwrite"]) else { return };
    let make = |name: &str, header: &str| {
        let words = ["-X", "PUT", "-H", "Upload-Complete: ?0", "-H", "Upload-Length: 3", "-H", header];
        folder.header(name, &words, "location").unwrap().replacen("./", "/", 1)
    };
    let send = |place: &str, status: u16, wanted: &str| {
        let words = ["-X", "PATCH", "-H", PARTIAL, "-H", "Upload-Offset: 0", "-H", "Upload-Complete: ?1", "-d", "abc"];
        folder.asked(place, &words, status, wanted);
    };
    // It must not replace what has come meanwhile.
    let place = make("/a", "If-None-Match: *");
    folder.write("a", "another");
    send(&place, 409, "is there already");
    assert_eq!(folder.read("a"), b"another");
    // The hash of `abc`, and one that is none of it.
    let place = make("/b", "Repr-Digest: sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:");
    send(&place, 201, "stored");
    let place = make("/c", "Repr-Digest: sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:");
    send(&place, 400, "changed on the way");
    let long = ["-X", "PUT", "-H", "Upload-Complete: ?0", "-H", "Upload-Length: 3", "-d", "abcd"];
    folder.asked("/d", &long, 400, "more has come");
    assert_eq!(folder.read("b"), b"abc");
    assert!(!folder.curl("/?simple", &[]).1.contains(['c', 'd']));
}

#[test]
fn a_client_of_the_draft_learns_early_where_its_upload_is() {
    let Some(folder) = Folder::served(&["--upload"]) else { return };
    let head =
        |more: &str| format!("PUT /name HTTP/1.1\nContent-Length: 6\nUpload-Complete: ?1\nConnection: close{more}");
    let mut stream = folder.begin(&head("\nUpload-Draft-Interop-Version: 8"), b"");
    let early = read_until(&mut stream, "\r\n\r\n").unwrap().to_ascii_lowercase();
    assert!(early.starts_with("http/1.1 104 ") && early.contains("upload-draft-interop-version: 8"), "{early}");
    let place = early.lines().find_map(|line| line.strip_prefix("location: ./")).unwrap().to_owned();
    // The case of a token matters; that of the lines above does not.
    assert!(place.starts_with("name?upload="), "{place}");
    std::io::Write::write_all(&mut stream, b"abcdef").unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.starts_with("HTTP/1.1 201") && rest.to_ascii_lowercase().contains("upload-complete: ?1"), "{rest}");
    assert_eq!(folder.read("name"), b"abcdef");
    for other in ["", "\nUpload-Draft-Interop-Version: 7"] {
        let mut stream = folder.begin(&head(other).replace("/name", "/other"), b"abcdef");
        let mut all = String::new();
        stream.read_to_string(&mut all).unwrap();
        assert!(!all.contains(" 104 "), "{all}");
    }
}

#[test]
fn a_newer_request_ends_the_older_one() {
    let Some(folder) = Folder::served(&["--upload"]) else { return };
    let make = ["-X", "PUT", "-H", "Upload-Complete: ?0", "-H", "Upload-Length: 6"];
    let place = folder.header("/name", &make, "location").unwrap().replacen("./", "/", 1);
    let head = format!("PATCH {place} HTTP/1.1\nContent-Length: 6\n{PARTIAL}\nUpload-Offset: 0\nUpload-Complete: ?1");
    // It hangs, as one does whose network went away.
    let mut hangs = folder.begin(&head, b"abc");
    // How much of it has come before it is ended is chance; what is said to be there is there.
    let there = offset(&folder, &place).unwrap();
    assert!(there <= 3, "{there}");
    let said = read_until(&mut hangs, "newer request").unwrap();
    assert!(said.starts_with("HTTP/1.1 409"), "{said}");
    let (at, rest) = (format!("Upload-Offset: {there}"), &"abcdef"[there..]);
    let words = ["-X", "PATCH", "-H", PARTIAL, "-H", &at, "-H", "Upload-Complete: ?1", "-d", rest];
    folder.asked(&place, &words, 201, "stored");
    assert_eq!(folder.read("name"), b"abcdef");
}

#[test]
fn two_at_once_under_one_name_are_two_uploads() {
    let Some(folder) = Folder::served(&["--upload"]) else { return };
    let head = "PUT /name HTTP/1.1\nContent-Length: 6\nConnection: close";
    let mut first = folder.begin(head, b"abc");
    eventually("the first has begun", || folder.names().len() == 1);
    let mut second = folder.begin(head, b"uvwxyz");
    let mut said = String::new();
    second.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 201"), "{said}");
    std::io::Write::write_all(&mut first, b"def").unwrap();
    let mut said = String::new();
    first.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 409") && said.contains("is there already"), "{said}");
    assert_eq!(folder.read("name"), b"uvwxyz");
}

#[test]
fn what_nobody_goes_on_with_is_thrown_away() {
    let Some(folder) = Folder::served(&["--upload"]) else { return };
    let make = ["-X", "PUT", "-H", "Upload-Complete: ?0", "-d", "abc"];
    let place = |name: &str| folder.header(name, &make, "location").unwrap().replacen("./", "/", 1);
    let (old, young) = (place("/old"), place("/young"));
    folder.write(".other.hullo-part", "of another program");
    let day = Duration::from_secs(24 * 60 * 60);
    let age = |name: &str, days: u32| {
        let name = folder.names().into_iter().find(|one| one.starts_with(name)).unwrap();
        let file = File::options().write(true).open(folder.home.path(&format!("shared/{name}"))).unwrap();
        file.set_modified(SystemTime::now() - days * day).unwrap();
    };
    age(".old~", 8);
    age(".young~", 6);
    age(".other", 8);
    // A server looks through a folder once an hour; this one has not yet.
    let folder = folder.again(&["--upload"]);
    folder.asked("/new", &["-X", "PUT", "-d", "x"], 201, "stored");
    assert_eq!((offset(&folder, &old), offset(&folder, &young)), (None, Some(3)));
    let names = folder.names();
    assert!(names.len() == 3 && names[0] == ".other.hullo-part" && names[2] == "new", "{names:?}");
}
