//! A PostgreSQL of this test alone: in a folder of its own, on a unix socket, gone when it is dropped.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Rest,
    client::Client,
    common::{Home, Program, peer, run},
};

pub(crate) struct Cluster {
    folder: String,
    _server: Program,
    _home: Home,
}

impl Cluster {
    pub(crate) fn start() -> Option<Self> {
        peer("pg_ctlcluster")?;
        let programs = programs()?;
        let home = Home::new();
        let folder = home.path("pg");
        fs::create_dir(&folder).unwrap();
        let user = somebody();
        if let Some((user, group)) = user {
            chown(&folder, Some(user), Some(group)).unwrap();
        }
        let command = |name: &str| {
            let mut command = home.command(programs.join(name).to_str().unwrap());
            // It refuses to run as root.
            if let Some((user, group)) = user {
                command.uid(user).gid(group);
            }
            command.current_dir(&folder);
            command
        };
        let data = format!("{folder}/data");
        run(command("initdb").args(["-D", &data, "-U", "ada", "-A", "trust", "-N", "--no-instructions"]), "").good();
        let mut postgres = command("postgres");
        postgres.args(["-D", &data, "-k", &folder, "-c", "listen_addresses=", "-c", "max_connections=200"]);
        let server = Program::start(&mut postgres);
        server.told("ready to accept connections");
        Some(Self { folder, _server: server, _home: home })
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://ada@{}/postgres", self.folder.replace('/', "%2F"))
    }
}

/// Where its programs are: Debian keeps them out of the path.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<_> = versions.flatten().map(|version| version.path().join("bin")).collect();
    found.sort();
    found.into_iter().rev().find(|programs| programs.join("initdb").is_file())
}

/// The user and group of postgres, where we are root.
fn somebody() -> Option<(u32, u32)> {
    let id = |words: &[&str]| -> Option<u32> {
        let output = Command::new("id").args(words).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    (id(&["-u"]) == Some(0) && Path::new("/proc").exists())
        .then(|| Some((id(&["-u", "postgres"])?, id(&["-g", "postgres"])?)))?
}

#[test]
fn two_machines_share_one_database() {
    let Some(cluster) = Cluster::start() else { return };
    let url = cluster.url();
    shared(Rest::with(&["--db", &url]), Rest::with(&["--db", &url]));
}

/// It is not what such a file is for, but nothing is lost.
#[test]
fn two_processes_share_one_file() {
    let home = Home::new();
    let file = home.path("items.db");
    shared(Rest::with(&["--db", &file]), Rest::with(&["--db", &file]));
}

fn shared(mut one: Rest, mut two: Rest) {
    let made = one.client.post("/people", r#"{"id":"ada","n":1}"#).is(201);
    assert_eq!(two.client.get("/people/ada").is(200).tag(), made.tag());

    // A change that was made over there is heard of here, and not only when somebody looks.
    let mut follower = two.another();
    follower.follow("/people/-/changes?after=0", "");
    follower.until("\"n\":1");
    one.client.ask("PUT", "/people/ada", "Content-Type: application/json", r#"{"n":2}"#).is(200);
    follower.until("\"n\":2");

    // Both count, and nothing is lost between them.
    let count = |client: &mut Client| {
        for _ in 0..50 {
            loop {
                let read = client.get("/people/ada").is(200);
                let n = read.json()["n"].as_i64().unwrap() + 1;
                let headers = format!("If-Match: {}\nContent-Type: application/merge-patch+json", read.tag());
                match client.ask("PATCH", "/people/ada", &headers, &format!(r#"{{"n":{n}}}"#)).status {
                    200 => break,
                    status => assert_eq!(status, 412),
                }
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| count(&mut one.client));
        scope.spawn(|| count(&mut two.client));
    });
    assert_eq!(one.client.get("/people/ada").json()["n"], 102);
}

#[test]
fn a_value_that_it_cannot_hold_is_refused_alone() {
    let Some(cluster) = Cluster::start() else { return };
    let rest = Rest::with(&["--db", &cluster.url()]);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let mut client = rest.another();
            scope.spawn(move || {
                for _ in 0..20 {
                    match number {
                        0 => drop(client.post("/x", r#"{"large":1e200000}"#).is(422)),
                        _ => drop(client.post("/x", r#"{"fine":1}"#).is(201)),
                    }
                }
            });
        }
    });
}

#[test]
fn a_password_on_the_command_line_is_refused() {
    let home = Home::new();
    for (url, why) in [
        ("postgres://ada:secret@localhost/x", "PGPASSWORD"),
        ("postgres://ada@localhost/x?sslmode=require", "TLS"),
        ("mysql://localhost/x", "mysql"),
    ] {
        let ended = home.run(&["serve", "rest", "http://:0", "--db", url], "");
        assert_eq!(ended.code, 2, "{}", ended.err);
        assert!(ended.err.contains(why) && !ended.err.contains("secret"), "{}", ended.err);
    }
    let ended = home.run(&["serve", "rest", "http://:0", "--db", "postgres://ada@%2Fnowhere/x"], "");
    assert_eq!(ended.code, 11, "{}", ended.err);
}
