//! Nothing that was acknowledged is lost when the process is killed.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use rustix::process::Signal;

use crate::{
    client::Client,
    common::{Home, noise},
};

const ROUNDS: usize = 20;
const WRITERS: usize = 8;

/// In each round the server is killed after another number of acknowledged writes, with more of them under way.
#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let home = Home::new();
    let points = noise(ROUNDS);
    // What each item must be: the last body that was acknowledged, or none where its removal was.
    let known: Mutex<BTreeMap<String, Option<String>>> = Mutex::default();
    for (round, point) in points.iter().enumerate() {
        let server = home.serve(&["rest", "http://127.0.0.1:0", "--db", "items.db"], 1);
        let port = server.port(0);
        check(&mut Client::to(port), &known.lock().unwrap());
        let (acknowledged, until) = (AtomicUsize::new(0), 1 + usize::from(*point) * 2);
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (known, acknowledged) = (&known, &acknowledged);
                scope.spawn(move || write(port, &format!("{round}-{writer}"), known, acknowledged));
            }
            while acknowledged.load(Relaxed) < until {
                thread::yield_now();
            }
            server.program.signal(Signal::KILL);
        });
        assert_eq!(server.program.ended().code, 128 + 9);
    }
    let server = home.serve(&["rest", "http://127.0.0.1:0", "--db", "items.db"], 1);
    let known = known.into_inner().unwrap();
    assert!(known.len() > ROUNDS, "{} items", known.len());
    check(&mut Client::to(server.port(0)), &known);
}

/// Makes, changes and removes items of its own until the server is gone. Only what was answered is known; what was under
/// way then may be there or not, and is forgotten.
fn write(port: u16, name: &str, known: &Mutex<BTreeMap<String, Option<String>>>, acknowledged: &AtomicUsize) {
    let Ok(mut client) = Client::try_to(port) else { return };
    for at in 0.. {
        let id = format!("{name}-{}", at / 3);
        let body = format!(r#"{{"id":"{id}","at":{at}}}"#);
        let (method, body) = match at % 3 {
            2 if at % 2 == 0 => ("DELETE", None),
            _ => ("PUT", Some(body)),
        };
        let sent = body.clone().unwrap_or_default();
        let path = format!("/kept/{id}");
        match client.try_ask(method, &path, "Content-Type: application/json", &sent) {
            Ok(answer) => {
                assert!([200, 201, 204].contains(&answer.status), "{answer:?}");
                known.lock().unwrap().insert(id, body);
                acknowledged.fetch_add(1, Relaxed);
            }
            Err(_) => return drop(known.lock().unwrap().remove(&id)),
        }
    }
}

#[track_caller]
fn check(client: &mut Client, known: &BTreeMap<String, Option<String>>) {
    let there = client.get("/kept/-/export").is(200).body;
    let there: BTreeMap<String, &str> = there
        .lines()
        .map(|line| {
            let item: serde_json::Value = serde_json::from_str(line).unwrap();
            (item["id"].as_str().unwrap().to_owned(), line)
        })
        .collect();
    for (id, body) in known {
        assert_eq!(there.get(id).copied(), body.as_deref(), "{id}");
    }
}
