#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! `check` on certificates: what stands in them, and what is wrong with them.

mod common;

use std::time::SystemTime;

use common::{
    Ended, Home, Program,
    authority::{Authority, DAY, Issued, Wanted, as_openssl_makes_it, good, self_signed},
    peer,
};

/// What `check` says of a server on `localhost` with that certificate, which trusts that authority.
fn check(home: &Home, issued: &Issued, trusted: &Authority, words: &[&str]) -> Ended {
    let (cert, key) = issued.files(home, "server");
    let ca = home.file("ca.pem", trusted.pem());
    let server = home.serve(&["echo", &format!("tls://:0?cert={cert}&key={key}")], 1);
    home.run(&[&["check"], words, &[&format!("tls://localhost:{}?ca={ca}", server.port(0))]].concat(), "")
}

#[test]
fn what_is_wrong_is_said_in_words() {
    let home = Home::new();
    let now = SystemTime::now();
    let root = Authority::root("the root");
    let (middle, stranger) = (root.intermediate("the one in between"), Authority::root("a stranger"));
    let chained = |middle: &Authority, more: &[&Authority]| {
        let issued = middle.issue(&good(&["localhost"]));
        let more: String = more.iter().map(|authority| authority.pem()).collect();
        Issued { cert: issued.cert + &more, key: issued.key }
    };
    let dated = |from, until| root.issue(&Wanted { names: &["localhost"], from, until });
    let table = [
        (dated(now - 9 * DAY, now - 3 * DAY), 14, "wrong: it expired on ", ", 3 days ago"),
        (dated(now + 3 * DAY, now + 9 * DAY), 14, "wrong: it is not valid before ", "is this machine's clock right?"),
        (dated(now - DAY, now + 5 * DAY + DAY / 2), 0, "warning: it expires in 5 days, on ", ""),
        (
            root.issue(&good(&["a.example", "*.b.example"])),
            14,
            "wrong: it is for a.example, *.b.example, and not for localhost",
            "",
        ),
        (root.issue(&good(&[])), 14, "wrong: it has no names: a common name alone does not count", ""),
        (self_signed(&good(&["localhost"])), 14, "wrong: it is self-signed: nobody else vouches for it", ""),
        (as_openssl_makes_it(&["localhost"]), 14, "wrong: it is self-signed: nobody else vouches for it", ""),
        (
            chained(&stranger, &[]),
            14,
            "wrong: it comes alone: ",
            "'CN=a stranger' is no authority that is trusted here",
        ),
        (chained(&stranger, &[&stranger]), 14, "wrong: its chain ends at 'CN=a stranger', which is no authority", ""),
        (chained(&middle, &[]), 14, "either the server leaves out the certificate of 'CN=the one in between'", ""),
        (
            chained(&middle, &[&stranger, &middle]),
            0,
            "warning: 'CN=the one of localhost' is followed by 'CN=a stranger'",
            "",
        ),
    ];
    for (issued, code, words, more) in table {
        let ended = check(&home, &issued, &root, &[]);
        let said = String::from_utf8(ended.out).unwrap();
        let line = said.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("no {words:?} in {said}"));
        assert_eq!(said.matches("3 days ago").count(), said.matches(" days ago").count(), "{said}");
        assert!(line.contains(more), "{line}");
        assert_eq!(ended.code, code, "{words}: {}", ended.err);
    }
}

#[test]
fn who_vouches_for_itself_is_refused_in_words_by_every_verb() {
    let home = Home::new();
    let (cert, key) = as_openssl_makes_it(&["localhost"]).files(&home, "server");
    let server = home.serve(&["echo", &format!("https://:0?cert={cert}&key={key}")], 1);
    let at = format!("https://localhost:{}", server.port(0));
    for verb in [&["check"][..], &["ask", "--quiet", "1s"], &["request"]] {
        let ended = home.run(&[verb, &[&at]].concat(), "");
        assert_eq!(ended.code, 14, "{verb:?}: {}", ended.err);
        let line = ended.err.lines().next().unwrap();
        assert!(line.ends_with("nobody that you trust vouches for its certificate: it is self-signed"), "{line}");
        assert!(ended.err.contains("?pin=sha256:"), "{}", ended.err);
    }
}

#[test]
fn a_good_chain_is_shown_and_nothing_is_wrong_with_it() {
    let home = Home::new();
    let root = Authority::root("the root");
    let middle = root.intermediate("the one in between");
    let issued = middle.issue(&good(&["localhost", "127.0.0.1", "::1"]));
    let issued = Issued { cert: issued.cert + &middle.pem(), key: issued.key };
    let said = check(&home, &issued, &root, &[]).text();
    for line in [
        "the server shows 2 certificates",
        "1  CN=the one of localhost 127.0.0.1 ::1",
        "issued by    CN=the one in between",
        "names        localhost, 127.0.0.1, ::1",
        ", 89 days left",
        "key          ECDSA P-256, signed by ECDSA with SHA-256",
        "2  CN=the one in between",
        "may vouch for others",
        "certificate verified: sha256:",
    ] {
        assert!(said.contains(line), "no {line:?} in {said}");
    }
    assert!(!said.contains("wrong:") && !said.contains("warning:"), "{said}");
    // The fingerprint is openssl's, and so is the key's.
    let Some(openssl) = peer("openssl") else { return };
    let file = home.path("server.pem");
    let print =
        common::run(home.command(openssl).args(["x509", "-in", &file, "-noout", "-fingerprint", "-sha256"]), "").text();
    let print = print.split('=').nth(1).unwrap().trim().replace(':', "").to_lowercase();
    let script =
        "openssl x509 -in server.pem -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -r";
    let key = common::run(home.command("sh").args(["-c", script]), "").text();
    for print in [&*print, key.split(' ').next().unwrap()] {
        assert!(said.contains(&format!("sha256:{print}\n")), "no {print} in {said}");
    }
}

#[test]
fn what_expires_soon_fails_where_that_is_asked_for() {
    let home = Home::new();
    let root = Authority::root("the root");
    let issued = root.issue(&Wanted { until: SystemTime::now() + 20 * DAY + DAY / 2, ..good(&["localhost"]) });
    assert_eq!(check(&home, &issued, &root, &["--expiring", "10d"]).code, 0);
    let ended = check(&home, &issued, &root, &["--expiring", "30d"]);
    assert_eq!(ended.code, 14, "{}", ended.err);
    assert!(ended.err.contains("'CN=the one of localhost', has 20 days left"), "{}", ended.err);
    assert_eq!(check(&home, &issued, &root, &["--expiring", "400d"]).code, 14);
    let ended = check(&home, &issued, &root, &["--expiring", "soon"]);
    assert!(ended.code == 2 && ended.err.contains("200ms, 30s, 5m or 30d"), "{}", ended.err);
    let server = home.serve(&["echo", ":0"], 1);
    let ended = home.run(&["check", "--expiring", "30d", &server.at[0]], "");
    assert!(ended.code == 2 && ended.err.contains("shows no certificate"), "{}", ended.err);
}

/// Who serves it hears of it first.
#[test]
fn a_listener_says_what_is_wrong_with_its_own_certificate() {
    let home = Home::new();
    let wanted = Wanted { until: SystemTime::now() - DAY / 2, ..good(&["localhost"]) };
    let (cert, key) = Authority::root("the root").issue(&wanted).files(&home, "old");
    let server = home.serve(&["echo", &format!("tls://:0?cert={cert}&key={key}")], 1);
    server.program.told(&format!("the certificate of {cert} and {key}: it expired on "));
}

/// What no good program makes any more, openssl still does.
#[test]
fn weak_keys_and_signatures_are_named() {
    let home = Home::new();
    let Some(openssl) = peer("openssl") else { return };
    for (kind, hash, words) in [
        ("rsa:1024", "-sha256", "wrong: it has a weak key: RSA with 1024 bits"),
        ("rsa:2048", "-sha1", "wrong: it has a weak signature: RSA with SHA-1"),
    ] {
        let (key, cert) = (home.path("weak.key"), home.path("weak.pem"));
        let words_of =
            ["req", "-x509", "-nodes", "-subj", "/CN=localhost", "-newkey", kind, hash, "-keyout", &key, "-out", &cert];
        common::run(home.command(openssl).args(words_of), "").good();
        let listens =
            ["s_server", "-accept", "127.0.0.1:0", "-cipher", "DEFAULT@SECLEVEL=0", "-key", &key, "-cert", &cert];
        let server = Program::start(home.command(openssl).args(listens));
        server.heard("ACCEPT 127.0.0.1:");
        let said = server.heard("\n");
        let port = said.split("ACCEPT 127.0.0.1:").nth(1).unwrap().split_whitespace().next().unwrap();
        let ended = home.run(&["check", &format!("tls://localhost:{port}")], "");
        let said = String::from_utf8(ended.out).unwrap();
        assert!(said.contains(words), "no {words:?} in {said}{}", ended.err);
        assert_eq!(ended.code, 14);
    }
}
