//! What comes by PUT and by forms, and what is refused.

use std::{
    fs,
    io::Read,
    os::unix::fs::{PermissionsExt, symlink},
};

use crate::{
    Folder,
    common::{disk::Disk, eventually, noise, run},
};

#[test]
fn files_come_by_put_and_by_form() {
    let Some(folder) = Folder::served(&["--upload"]) else { return };
    let content = noise(3_000_000);
    let (big, empty) = (folder.home.file("big", &content), folder.home.file("empty", ""));
    folder.asked("/", &["-T", &big], 201, "big: 3000000 bytes, stored");
    folder.asked("/new/folder/", &["-T", &empty], 201, "empty: 0 bytes, stored");
    folder.asked("/other%20name", &["-T", &big], 201, "other name");
    // By chunks, whose number nobody says before.
    folder.asked("/chunked", &["-T", &big, "-H", "Transfer-Encoding: chunked"], 201, "chunked: 3000000 bytes");
    let (first, second) = (format!("file=@{big}"), format!("other=@{empty};filename=sub/ü.txt"));
    let said =
        folder.asked("/form/", &["-F", &first, "-F", "note=none", "-F", &second], 201, "big: 3000000 bytes, stored");
    assert!(said.contains("ü.txt: 0 bytes, stored"), "{said}");
    for name in ["big", "other name", "chunked", "form/big"] {
        assert!(folder.read(name) == content, "{name}");
    }
    assert_eq!((folder.read("new/folder/empty").len(), folder.read("form/sub/ü.txt").len()), (0, 0));
    // A browser without scripts goes back to the list.
    let back = ["-F", &*format!("file=@{empty}"), "-H", "Accept: text/html,*/*"];
    assert_eq!(folder.header("/form/", &back, "location").as_deref(), Some("./"));
    folder.asked("/form/", &["-F", "note=none"], 400, "no file in the form");
    folder.asked("/form/", &["-d", "a=b"], 415, "curl -F");
    // Nothing is left behind, and all may be read as this process makes its files.
    assert_eq!(folder.names(), ["big", "chunked", "form", "new", "other name"]);
    let made = folder.home.file("made", "");
    let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&folder.home.path("shared/big")), mode(&made));
}

#[test]
fn folders_are_made_once() {
    let Some(folder) = Folder::served(&["--upload"]) else { return };
    folder.asked("/a/b", &["-X", "MKCOL"], 201, "");
    folder.asked("/a/b/", &["-X", "MKCOL"], 405, "is there already");
    folder.asked("/a/?mkdir", &["-d", "name=c d"], 201, "c d: made");
    folder.asked("/a/?mkdir", &["-d", "name=c d"], 405, "is there already");
    folder.asked("/?mkdir", &["-d", "name=../x"], 400, "leads elsewhere");
    folder.asked("/?mkdir", &["-d", "other=x"], 400, "no name");
    assert!(
        folder.home.path("shared/a/b").len() > 1 && fs::metadata(folder.home.path("shared/a/c d")).unwrap().is_dir()
    );
    // A file does not take a folder's place.
    let file = folder.home.file("b", "x");
    folder.asked("/a/", &["-T", &file], 409, "is a folder");
}

#[test]
fn nothing_is_replaced_unless_told() {
    let Some(folder) = Folder::served(&["--upload"]) else { return };
    let (one, two) = (folder.home.file("one", "one"), folder.home.file("two", "two"));
    folder.asked("/name", &["-T", &one], 201, "stored");
    folder.asked("/name", &["-T", &two], 409, "--overwrite");
    let form = format!("file=@{two};filename=name");
    folder.asked("/", &["-F", &form], 409, "is there already");
    folder.asked("/name", &["-T", &two, "-H", "If-None-Match: *"], 412, "it is there already");
    assert_eq!(folder.read("name"), b"one");
    assert_eq!(folder.names(), ["name"]);

    let folder = folder.again(&["--upload", "--overwrite"]);
    folder.asked("/name", &["-T", &two, "-H", "If-None-Match: *"], 412, "");
    assert_eq!(folder.read("name"), b"one");
    folder.asked("/name", &["-T", &two, "-H", "If-Match: \"other\""], 412, "another version");
    folder.asked("/absent", &["-T", &two, "-H", "If-Match: *"], 412, "it is not there");
    let tag = || folder.header("/name", &[], "etag").unwrap();
    // A tag is strong when the file has been left alone for a moment.
    eventually("a strong tag", || !tag().starts_with("W/"));
    folder.asked("/name", &["-T", &two, "-H", &format!("If-Match: {}", tag())], 200, "replaced");
    assert_eq!(folder.read("name"), b"two");
    folder.asked("/name", &["-T", &one], 200, "replaced");
    assert_eq!(folder.read("name"), b"one");
    folder.asked("/name", &["-X", "DELETE"], 405, "no file is removed");
}

#[test]
fn without_upload_it_is_only_for_reading() {
    for words in [&[][..], &["--read-only"]] {
        let Some(folder) = Folder::served(words) else { return };
        let file = folder.home.file("file", "x");
        folder.asked("/", &["-T", &file], 405, "--upload");
        folder.asked("/", &["-F", &format!("a=@{file}")], 405, "--upload");
        folder.asked("/x", &["-X", "MKCOL"], 405, "--upload");
        assert_eq!(folder.header("/", &["-X", "OPTIONS"], "allow").as_deref(), Some("GET, HEAD, OPTIONS"));
        assert!(!folder.curl("/", &[]).1.contains("type=\"file\""));
        assert!(folder.names().is_empty());
    }
}

#[test]
fn nothing_is_written_outside_or_under_a_name_that_harms() {
    let Some(folder) = Folder::served(&["--upload", "--overwrite"]) else { return };
    fs::create_dir(folder.home.path("outside")).unwrap();
    let secret = folder.home.file("outside/secret", "secret");
    symlink(folder.home.path("outside"), folder.home.path("shared/out")).unwrap();
    symlink(&secret, folder.home.path("shared/link")).unwrap();
    fs::create_dir(folder.home.path("shared/real")).unwrap();
    symlink("real", folder.home.path("shared/inner")).unwrap();
    let file = folder.home.file("file", "mine");
    for (path, status) in [
        ("/../escaped", 400),
        ("/%2e%2e/escaped", 400),
        ("/a%2f..%2f..%2fescaped", 400),
        ("/a%00b", 400),
        ("/a%0ab", 400),
        ("/%1b%5b2J", 400),
        ("/gpj.%e2%80%aeexe", 400),
        ("/.hidden", 403),
        ("/.x.hullo-part", 400),
        ("/out/new", 409),
        ("/inner/new", 409),
        ("/link/new", 409),
        (&format!("/{}", "n".repeat(256)), 400),
    ] {
        folder.asked(path, &["-T", &file], status, "");
    }
    for name in ["../escaped", "a/../../escaped", ".hidden", "..", "out/new"] {
        let (status, said) = folder.curl("/", &["-F", &format!("file=@{file};filename={name}")]);
        assert!((400..500).contains(&status), "{name}: {status} {said}");
    }
    // A link is replaced, and what it led to is not touched.
    folder.asked("/link", &["-T", &file], 200, "replaced");
    assert_eq!((folder.home.read("outside/secret"), folder.read("link")), (b"secret".to_vec(), b"mine".to_vec()));
    assert_eq!(fs::read_dir(folder.home.path("outside")).unwrap().count(), 1);
    assert!(
        !fs::exists(folder.home.path("escaped")).unwrap() && !fs::exists(folder.home.path("shared/real/new")).unwrap()
    );
    assert_eq!(folder.names(), ["inner", "link", "out", "real"]);
}

#[test]
fn pages_of_other_sites_may_not_write() {
    let Some(folder) = Folder::served(&["--upload"]) else { return };
    let file = folder.home.file("file", "x");
    for origin in ["https://evil.example", "null"] {
        let origin = format!("Origin: {origin}");
        folder.asked("/", &["-T", &file, "-H", &origin], 403, "other sites");
        folder.asked("/", &["-F", &format!("a=@{file}"), "-H", &origin], 403, "other sites");
        folder.asked("/?mkdir", &["-d", "name=x", "-H", &origin], 403, "other sites");
    }
    assert!(folder.names().is_empty());
    let own = format!("Origin: {}", folder.server.at[0].trim_end_matches('/'));
    folder.asked("/", &["-T", &file, "-H", &own], 201, "stored");
}

#[test]
fn what_was_changed_on_the_way_gets_no_name() {
    let Some(folder) = Folder::served(&["--upload"]) else { return };
    let content = noise(2_000_000);
    let file = folder.home.file("file", &content);
    if crate::peer("openssl").is_some() {
        let base64 = |algorithm: &str, of: &str| {
            let line = format!("openssl dgst -{algorithm} -binary '{of}' | base64 -w0");
            run(folder.home.command("sh").args(["-c", &line]), "").text()
        };
        let other = folder.home.file("other", "other");
        for (name, header, algorithm) in
            [("a", "Repr-Digest", "sha256"), ("b", "Repr-Digest", "sha512"), ("c", "Content-Digest", "sha256")]
        {
            let word = algorithm.replace("sha", "sha-");
            let wrong = format!("{header}: unknown=:AA==:, {word}=:{}:", base64(algorithm, &other));
            folder.asked(
                &format!("/{name}"),
                &["-T", &file, "-H", &wrong],
                400,
                &format!("the {word} of what has come"),
            );
            let right = format!("{header}: {word}=:{}:", base64(algorithm, &file));
            folder.asked(&format!("/{name}"), &["-T", &file, "-H", &right], 201, "stored");
            assert!(folder.read(name) == content);
        }
        assert_eq!(folder.names(), ["a", "b", "c"]);
    }
    folder.asked("/d", &["-T", &file, "-H", "Repr-Digest: sha-256=:AA==:"], 400, "a digest is written like");
    folder.asked(&format!("/d?blake3={}", "0".repeat(64)), &["-T", &file], 400, "the blake3 of what has come");
    folder.asked("/d", &["-T", &file, "-H", "Content-Encoding: gzip"], 415, "Content-Encoding");
    // The hash of `abc`, from BLAKE3's own test vectors.
    let abc = folder.home.file("abc", "abc");
    let hash = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85";
    folder.asked(&format!("/d?blake3={hash}"), &["-T", &abc], 201, "stored");
}

#[test]
fn a_file_is_no_larger_than_it_may_be() {
    let Some(folder) = Folder::served(&["--upload", "--max-upload", "1M"]) else { return };
    let (small, large) = (folder.home.file("small", noise(1 << 20)), folder.home.file("large", noise((1 << 20) + 1)));
    folder.asked("/", &["-T", &small], 201, "stored");
    folder.asked("/", &["-T", &large], 413, "1.0 MiB");
    folder.asked("/", &["-T", &large, "-H", "Transfer-Encoding: chunked"], 413, "1.0 MiB");
    folder.asked("/", &["-F", &format!("file=@{large}")], 413, "1.0 MiB");
    assert_eq!(
        folder.header("/", &["-X", "OPTIONS"], "upload-limit").as_deref(),
        Some("max-size=1048576, max-age=604800")
    );
    assert_eq!(folder.names(), ["small"]);
}

#[test]
fn a_full_disk_is_told_and_what_has_come_may_be_gone_on_with() {
    let Some(folder) = Folder::served(&["--upload"]) else { return };
    let path = folder.home.path("shared/disk");
    let Some(_disk) = Disk::new(path.clone(), "1m") else { return };
    let content = noise(900_000);
    let file = folder.home.file("file", &content);
    fs::write(format!("{path}/other"), noise(500_000)).unwrap();
    // Where the length is said, nothing need be sent.
    folder.asked("/disk/", &["-T", &file], 507, "no room");
    // Where not, what has come stays.
    let said = folder.asked("/disk/", &["-T", &file, "-H", "Transfer-Encoding: chunked"], 507, "when there is room");
    let there = folder.header("/disk/file?upload", &["-I"], "upload-offset").unwrap();
    assert!((1..900_000).contains(&there.parse::<usize>().unwrap()), "{there}: {said}");
    fs::remove_file(format!("{path}/other")).unwrap();
    folder.asked("/disk/file", &["-T", &file, "-C", &there], 201, "stored");
    let mut read = Vec::new();
    fs::File::open(format!("{path}/file")).unwrap().read_to_end(&mut read).unwrap();
    assert!(read == content);
}
