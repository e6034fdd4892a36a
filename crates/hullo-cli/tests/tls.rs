#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! TLS: what is agreed on, who is trusted, and whose word is taken for it; with openssl, curl and python at the other end.

mod common;

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::{MetadataExt, symlink},
    process::Command,
    thread,
};

use common::{
    Home, PATIENCE, Program, Server, at_once,
    authority::{Authority, good},
    eventually, object, peer,
};
use serde_json::Value;

/// A server at work on `localhost`, and how its clients trust it.
fn serve(home: &Home, authority: &Authority, at: &str, more: &str) -> (Server, String) {
    let (cert, key) = authority.files(home, &["localhost"]);
    let ca = home.file("ca.pem", authority.pem());
    (home.serve(&["echo", "-v", &format!("{at}?cert={cert}&key={key}{more}")], 1), ca)
}

/// The address for a client, with options.
fn local(server: &Server, options: &str) -> String {
    let scheme = server.at[0].split(':').next().unwrap().to_owned();
    format!("{scheme}://localhost:{}{}{options}", server.port(0), if scheme == "https" { "/#" } else { "?" })
}

/// What `check` says as JSON, in the order in which it says it.
fn checked(home: &Home, at: &str) -> (i32, Vec<Value>) {
    let ended = home.run(&["--json", "check", at], "");
    (ended.code, String::from_utf8(ended.out).unwrap().lines().map(object).collect())
}

fn event<'a>(objects: &'a [Value], name: &str) -> &'a Value {
    objects.iter().find(|object| object["event"] == name).unwrap_or_else(|| panic!("no {name} in {objects:?}"))
}

// What is agreed on.

#[test]
fn the_post_quantum_exchange_is_preferred_by_both_ends() {
    let home = Home::new();
    let (server, ca) = serve(&home, &Authority::root("an authority"), "tls://:0", "");
    let (code, said) = checked(&home, &local(&server, &format!("ca={ca}")));
    let secured = event(&said, "secured");
    assert_eq!((code, &secured["exchange"], &secured["post_quantum"]), (0, &"X25519MLKEM768".into(), &true.into()));
    let said = home.run(&["check", &local(&server, &format!("ca={ca}"))], "").text();
    assert!(said.contains("X25519MLKEM768 (post-quantum)"), "{said}");
    server.program.told("X25519MLKEM768 (post-quantum); no client certificate");
    // The list of groups (extension 10) begins with it, which is number 0x11ec.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("tls://{}", listener.local_addr().unwrap());
    let _client = Program::start(&mut home.hullo(&["ask", &at, "hello"]));
    let mut hello = vec![0; 4096];
    let n = listener.accept().unwrap().0.read(&mut hello).unwrap();
    let groups = hello[..n].windows(8).any(|window| matches!(window, [0, 10, _, _, _, _, 0x11, 0xec]));
    assert!(groups, "{:02x?}", &hello[..n]);
}

#[test]
fn aes_with_128_bits_is_preferred_by_both_ends() {
    let home = Home::new();
    let (server, ca) = serve(&home, &Authority::root("an authority"), "tls://:0", "");
    let (code, said) = checked(&home, &local(&server, &format!("ca={ca}")));
    assert_eq!((code, &event(&said, "secured")["cipher"]), (0, &"TLS13_AES_128_GCM_SHA256".into()));
    let Some(openssl) = peer("openssl") else { return };
    let at = format!("127.0.0.1:{}", server.port(0));
    for (theirs, agreed) in [
        ("TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
        ("TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
    ] {
        let words = ["s_client", "-connect", &at, "-ciphersuites", theirs];
        let told = common::run(home.command(openssl).args(words), "").text();
        assert!(told.contains(&format!("Cipher is {agreed}")), "{theirs}: {told}");
    }
}

#[test]
fn the_lowest_version_can_be_said() {
    let home = Home::new();
    let Some(openssl) = peer("openssl") else { return };
    let authority = Authority::root("an authority");
    let (server, ca) = serve(&home, &authority, "tls://:0", "&tls=1.3");
    let at = format!("127.0.0.1:{}", server.port(0));
    for (version, good) in [("-tls1_2", false), ("-tls1_3", true)] {
        let ended = common::run(home.command(openssl).args(["s_client", version, "-connect", &at]), "");
        assert_eq!(ended.code == 0, good, "{version}: {}", ended.err);
    }
    server.program.told("the client speaks no version of TLS that we do");
    let (cert, key) = authority.files(&home, &["localhost"]);
    let old = OpenSsl::start(&home, openssl, &["-tls1_2", "-cert", &cert, "-key", &key]);
    let ended = home.run(&["ask", &format!("tls://localhost:{}?ca={ca}&tls=1.3", old.port), "hello"], "");
    assert!(ended.code == 14 && ended.err.contains("it speaks no version of TLS that we do"), "{}", ended.err);
    let ended = home.run(&["serve", "echo", "tls://:0?tls=1.1"], "");
    assert!(ended.code == 2 && ended.err.contains("the option tls takes 1.2 or 1.3"), "{}", ended.err);
}

#[test]
fn openssl_resumes_its_sessions() {
    let home = Home::new();
    let Some(openssl) = peer("openssl") else { return };
    let (server, _) = serve(&home, &Authority::root("an authority"), "tls://:0", "");
    let at = format!("127.0.0.1:{}", server.port(0));
    // Without tickets TLS 1.2 resumes what the server itself remembers.
    at_once(&[&["-tls1_3"][..], &["-tls1_2"], &["-tls1_2", "-no_ticket"]], |how| {
        let file = home.path(&how.concat());
        for (option, state) in [("-sess_out", "New, TLSv1"), ("-sess_in", "Reused, TLSv1")] {
            let mut client =
                Program::start(home.command(openssl).args(["s_client", "-connect", &at, option, &file]).args(*how));
            client.say("hello\n");
            client.heard("\nhello\n");
            client.hang_up();
            let said = client.ended().text();
            assert!(said.contains(state), "{how:?} {option}: {said}");
        }
    });
    server.program.told(", resumed; no client certificate");
}

// Certificates of clients.

#[test]
fn a_listener_knows_its_clients_by_name() {
    let home = Home::new();
    let authority = Authority::root("an authority");
    let ca = home.file("ca.pem", authority.pem());
    let (server, _) = serve(&home, &authority, "tls://:0", &format!("&client-ca={ca}"));
    let (cert, key) = authority.files(&home, &["ada.example"]);
    let (stranger, secret) = Authority::root("another authority").files(&home, &["eve.example"]);
    let at = |more: &str| local(&server, &format!("ca={ca}{more}"));
    let heard = home.run(&["ask", &at(&format!("&cert={cert}&key={key}")), "hello"], "");
    assert_eq!(heard.text(), "hello\n");
    server.program.told("client certificate verified for 'ada.example'");
    for (more, why, told) in [
        (
            "",
            "it wants a certificate of ours, and there is none",
            "the client showed no certificate, and client-ca asks for one",
        ),
        (
            &*format!("&cert={stranger}&key={secret}"),
            "nobody that it trusts vouches for our certificate",
            "no authority of client-ca vouches for the client's certificate",
        ),
    ] {
        let ended = home.run(&["ask", &at(more), "hello"], "");
        assert_eq!(ended.code, 14, "{}", ended.err);
        assert!(ended.err.contains(why) && ended.err.contains("hint: it wants a certificate of ours"), "{}", ended.err);
        server.program.told(told);
    }
    let (optional, _) = serve(&home, &authority, "tls://:0", &format!("&client-ca={ca}&client-auth=optional"));
    let at = |more: &str| local(&optional, &format!("ca={ca}{more}"));
    assert_eq!(home.run(&["ask", &at(""), "hello"], "").text(), "hello\n");
    optional.program.told("; no client certificate\n");
    assert_eq!(home.run(&["ask", &at(&format!("&cert={cert}&key={key}")), "hello"], "").text(), "hello\n");
    optional.program.told("client certificate verified for 'ada.example'");
    assert_eq!(home.run(&["ask", &at(&format!("&cert={stranger}&key={secret}")), "hello"], "").code, 14);

    let Some(openssl) = peer("openssl") else { return };
    for version in ["-tls1_2", "-tls1_3"] {
        let address = format!("127.0.0.1:{}", server.port(0));
        let words = ["s_client", "-quiet", version, "-connect", &address, "-cert", &cert, "-key", &key];
        let mut client = Program::start(home.command(openssl).args(words));
        client.say("hello\n");
        client.heard("hello\n");
    }
}

#[test]
fn curl_shows_its_certificate_and_hullo_shows_ours() {
    let home = Home::new();
    let (Some(curl), Some(openssl)) = (peer("curl"), peer("openssl")) else { return };
    let authority = Authority::root("an authority");
    let ca = home.file("ca.pem", authority.pem());
    let (server, _) = serve(&home, &authority, "https://:0", &format!("&client-ca={ca}"));
    let (cert, key) = authority.files(&home, &["ada.example"]);
    let url = format!("https://localhost:{}/", server.port(0));
    let ask = |more: &[&str]| {
        common::run(home.command(curl).args(["-sS", "--cacert", &ca, "-d", "hello", &url]).args(more), "")
    };
    assert_eq!(ask(&["--cert", &cert, "--key", &key]).text(), "hello");
    assert_ne!(ask(&[]).code, 0);

    let (cert_of_server, key_of_server) = authority.files(&home, &["localhost"]);
    for version in ["-tls1_2", "-tls1_3"] {
        let words = [
            version,
            "-cert",
            &cert_of_server,
            "-key",
            &key_of_server,
            "-CAfile",
            &ca,
            "-Verify",
            "1",
            "-verify_return_error",
        ];
        let other = OpenSsl::start(&home, openssl, &words);
        let at = format!("tls://localhost:{}?ca={ca}", other.port);
        let refused = home.run(&["connect", &at], "");
        assert_eq!(refused.code, 14, "{version}: {}", refused.err);
        assert!(
            refused.err.contains("hint: it wants a certificate of ours") || version == "-tls1_2",
            "{}",
            refused.err
        );
        let client = Program::start(&mut home.hullo(&["connect", &format!("{at}&cert={cert}&key={key}")]));
        other.program.heard("subject=CN = the one of ada.example");
        drop(client);
    }
}

/// Where openssl listens.
struct OpenSsl {
    program: Program,
    port: String,
}

impl OpenSsl {
    fn start(home: &Home, openssl: &str, words: &[&str]) -> Self {
        let program = Program::start(home.command(openssl).args(["s_server", "-accept", "127.0.0.1:0"]).args(words));
        program.heard("ACCEPT 127.0.0.1:");
        let said = program.heard("\n");
        let port = said.split("ACCEPT 127.0.0.1:").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        Self { program, port }
    }
}

// Several certificates, and new ones.

#[test]
fn the_certificate_is_the_one_of_the_name() {
    let home = Home::new();
    let authority = Authority::root("an authority");
    let ca = home.file("ca.pem", authority.pem());
    let files: Vec<_> =
        ["a.example", "*.b.example", "c.example"].iter().map(|name| authority.files(&home, &[name])).collect();
    let list = |at: usize| files.iter().map(|(cert, key)| [cert, key][at].as_str()).collect::<Vec<_>>().join(",");
    let server = home.serve(&["echo", &format!("tls://:0?cert={}&key={}", list(0), list(1))], 1);
    for (name, shown) in [
        ("a.example", "a.example"),
        ("x.b.example", "*.b.example"),
        ("c.example", "c.example"),
        ("C.Example", "c.example"),
    ] {
        let (code, said) = checked(&home, &local(&server, &format!("ca={ca}&sni={name}")));
        assert_eq!(
            (code, &event(&said, "certificates")["chain"][0]["names"][0]),
            (0, &shown.into()),
            "{name}: {said:?}"
        );
    }
    // One that none has, one that the wildcard does not reach, and none at all get the first.
    for name in ["other.example", "b.example", "y.x.b.example", "127.0.0.1"] {
        let (code, said) = checked(&home, &local(&server, &format!("ca={ca}&sni={name}")));
        let certificates = event(&said, "certificates");
        assert_eq!((code, &certificates["chain"][0]["names"][0]), (14, &"a.example".into()), "{name}");
        assert_eq!(certificates["wrong"][0], format!("it is for a.example, and not for {name}"));
    }
    let Some(openssl) = peer("openssl") else { return };
    let at = format!("127.0.0.1:{}", server.port(0));
    let ended = common::run(home.command(openssl).args(["s_client", "-connect", &at, "-servername", "c.example"]), "");
    assert!(ended.text().contains("subject=CN = the one of c.example"));
    let ended = home.run(&["serve", "echo", "tls://:0?cert=a.pem,b.pem&key=a.key"], "");
    assert!(ended.code == 2 && ended.err.contains("2 files in cert, and 1 in key"), "{}", ended.err);
}

/// As certbot and Kubernetes do it: the new files come in a folder of their own, and a symbolic link turns to it.
#[test]
fn new_certificates_are_read_without_a_restart() {
    let home = Home::new();
    let authority = Authority::root("an authority");
    let ca = home.file("ca.pem", authority.pem());
    let put = |version: &str, cert: &str, key: &str| {
        fs::create_dir_all(home.path(version)).unwrap();
        home.file(&format!("{version}/cert.pem"), cert);
        home.file(&format!("{version}/key.pem"), key);
        symlink(version, home.path("next")).unwrap();
        fs::rename(home.path("next"), home.path("live")).unwrap();
    };
    let (old, new) = (authority.issue(&good(&["localhost"])), authority.issue(&good(&["localhost", "new.example"])));
    put("one", &old.cert, &old.key);
    let at = format!("tls://:0?cert={0}/cert.pem&key={0}/key.pem&client-ca={ca}", home.path("live"));
    let server = home.serve(&["echo", "-v", &at], 1);
    let (cert, key) = authority.files(&home, &["ada.example"]);
    let to = local(&server, &format!("ca={ca}&cert={cert}&key={key}"));
    let names = || {
        let (code, said) = checked(&home, &to);
        assert_eq!(code, 0, "{said:?}");
        event(&said, "certificates")["chain"][0]["names"].clone()
    };
    let mut living = Program::start(&mut home.hullo(&["connect", &to]));
    living.say("one\n");
    living.heard("one\n");
    assert_eq!(names(), serde_json::json!(["localhost"]));

    put("two", &new.cert, &new.key);
    eventually("the new certificate", || names() == serde_json::json!(["localhost", "new.example"]));
    server.program.told("the certificates were read anew");
    // What stands, stands.
    living.say("two\n");
    living.heard("one\ntwo\n");

    // A key that is another's, and half a file: what there was stays.
    for (version, cert, why) in [
        ("three", &*old.cert, "the key is not the certificate's"),
        ("four", &new.cert[..300], "cannot read the certificates"),
    ] {
        put(version, cert, &new.key);
        let said = || server.program.so_far();
        eventually(why, || names() == serde_json::json!(["localhost", "new.example"]) && said().contains(why));
        assert!(said().contains("the certificates cannot be read anew, and the old ones stay"), "{}", said());
    }
    put("five", &old.cert, &old.key);
    eventually("the old certificate", || names() == serde_json::json!(["localhost"]));

    // An authority that is dropped takes its clients with it, and their sessions.
    home.file("ca.new", Authority::root("another authority").pem());
    fs::rename(home.path("ca.new"), &ca).unwrap();
    let trusting = to.replace(&format!("ca={ca}"), "insecure=true");
    eventually("the new authority", || checked(&home, &trusting).0 == 14);
}

// Keys for Wireshark.

#[test]
fn both_ends_write_the_same_keys() {
    let home = Home::new();
    let Some(openssl) = peer("openssl") else { return };
    let keys = |name: &str| {
        let text = String::from_utf8(home.read(name)).unwrap();
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let with = |mut command: Command, name: &str| {
        command.env("SSLKEYLOGFILE", home.path(name));
        command
    };
    let server = Server::start(&mut with(home.hullo(&["serve", "echo", "tls://:0"]), "server"), 1);
    assert_eq!(
        common::run(&mut with(home.hullo(&["ask", &server.client(0), "hello"]), "client"), "").text(),
        "hello\n"
    );
    let lines = keys("client");
    let labels: Vec<_> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert!(
        ["CLIENT_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"]
            .iter()
            .all(|label| labels.contains(label)),
        "{labels:?}"
    );
    assert_eq!(keys("server"), lines);
    assert_eq!(fs::metadata(home.path("server")).unwrap().mode() & 0o777, 0o600);
    // The next ones are added, and openssl writes the same.
    let at = format!("127.0.0.1:{}", server.port(0));
    let theirs = home.path("openssl");
    let mut client = Program::start(home.command(openssl).args([
        "s_client",
        "-quiet",
        "-tls1_2",
        "-connect",
        &at,
        "-keylogfile",
        &theirs,
    ]));
    client.say("hello\n");
    client.heard("hello\n");
    let theirs: Vec<_> = keys("openssl").into_iter().filter(|line| line.starts_with("CLIENT_RANDOM ")).collect();
    assert_eq!((theirs.len(), keys("server").len()), (1, lines.len() + 1));
    assert!(keys("server").iter().any(|line| line.eq_ignore_ascii_case(&theirs[0])), "{theirs:?}");
    // It is said where that cannot be, and nothing else comes of it.
    let ended = common::run(&mut with(home.hullo(&["ask", &server.client(0), "hello"]), "no/such"), "");
    assert!(ended.code == 0 && ended.err.contains("cannot write the keys of TLS to"), "{}", ended.err);
}

// What speaks something else.

#[test]
fn a_request_writes_its_keys_too_and_says_where_it_cannot() {
    let home = Home::new();
    let server = home.serve(&["echo", "https://:0"], 1);
    let request = |file: &str| {
        let mut command = home.hullo(&["request", "--insecure", "-v", &server.at[0]]);
        common::run(command.env("SSLKEYLOGFILE", home.path(file)), "")
    };
    assert_eq!(request("keys").code, 0);
    assert!(String::from_utf8(home.read("keys")).unwrap().contains("CLIENT_TRAFFIC_SECRET_0 "));
    let ended = request("no/such/folder");
    assert!(ended.code == 0 && ended.err.contains("no/such/folder: no such file"), "{}", ended.err);
}

#[test]
fn plain_http_on_a_secure_port_is_told_so() {
    let home = Home::new();
    let server = home.serve(&["echo", "-v", "https://:0", "wss://:0", "tls://:0"], 3);
    for at in 0..3 {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port(at))).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert_eq!(said.starts_with("HTTP/1.1 400 Bad Request\r\n"), at < 2, "{said}");
        assert_eq!(said.is_empty(), at == 2, "{said}");
    }
    server
        .program
        .tells(|told| (told.matches("the client speaks plain HTTP, not TLS").count() == 3).then_some(()))
        .unwrap();
    TcpStream::connect(("127.0.0.1", server.port(2))).unwrap().write_all(b"SSH-2.0-x\r\n").unwrap();
    server.program.told("the client speaks SSH, not TLS");
}

#[test]
fn a_server_that_does_not_speak_tls_is_named() {
    let home = Home::new();
    for (says, sentence) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "it speaks plain HTTP, not TLS"),
        (b"<!DOCTYPE html>", "it speaks plain HTTP, not TLS"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "it speaks SSH, not TLS"),
        (b"220 mail.example ESMTP\r\n", "it speaks plain text, not TLS"),
        (b"\x05\0\0\0\0\0\0", "it does not answer in TLS"),
        (b"", "it closed the connection in the middle of the handshake"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = format!("tls://{}", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            stream.write_all(says).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let ended = home.run(&["ask", &at, "hello"], "");
        assert_eq!(ended.code, if says.is_empty() { 15 } else { 14 }, "{}", ended.err);
        assert!(ended.err.contains(sentence), "{}", ended.err);
        server.join().unwrap();
    }
}
