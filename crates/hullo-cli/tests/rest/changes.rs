//! What happens: as a stream, as a list, and as everything at once.

use serde_json::{Value, json};

use crate::{Rest, common::peer, common::run, on_each};

const JSON: &str = "Content-Type: application/json";
const LINES: &str = "Content-Type: application/x-ndjson";

#[test]
fn changes_come_as_they_happen_and_go_on_where_they_were() {
    on_each(|rest| {
        let mut follower = rest.another();
        follower.follow("/people/-/changes", "");
        follower.until("retry:");
        rest.client.post("/others", r#"{"id":"x"}"#).is(201);
        let made = rest.client.post("/people", r#"{"id":"ada","n":1}"#).is(201);
        let said = follower.until("\"n\":1}\n\n");
        let number = made.tag().trim_matches('"').to_owned();
        assert_eq!(said, format!("id: {number}\nevent: put\ndata: {{\"id\":\"ada\",\"n\":1}}\n\n"));
        rest.client.ask("DELETE", "/people/ada", "", "").is(204);
        let said = follower.until("}\n\n");
        assert!(said.contains("event: delete\ndata: {\"id\":\"ada\"}"), "{said}");

        // Who was away gets what was missed, each item as it is now.
        rest.client.post("/people", r#"{"id":"bob","n":1}"#).is(201);
        rest.client.ask("PUT", "/people/bob", JSON, r#"{"n":2}"#).is(200);
        let mut back = rest.another();
        back.follow("/people/-/changes?after=0", &format!("Last-Event-ID: {number}"));
        let said = back.until("\"n\":2}\n\n");
        assert!(said.contains("event: delete") && !said.contains("\"n\":1"), "{said}");

        let polled = rest.client.get(&format!("/people/-/changes?after={number}")).is(200).json();
        let events: Vec<_> =
            polled["changes"].as_array().unwrap().iter().map(|change| (&change["event"], &change["item"])).collect();
        assert_eq!(
            events,
            [(&json!("delete"), &json!({ "id": "ada" })), (&json!("put"), &json!({ "id": "bob", "n": 2 }))]
        );
        let after = &polled["after"];
        assert_eq!(rest.client.get(&format!("/people/-/changes?after={after}")).json()["changes"], json!([]));
        for wrong in ["after=x", "after=-1", "after=99999999999999999999"] {
            rest.client.get(&format!("/people/-/changes?{wrong}")).is(400);
        }
    });
}

/// Removals are not remembered for ever. Who asks for older ones is told to begin again, and gets all that is there.
#[test]
fn whoever_was_away_too_long_begins_again() {
    let Some(sqlite) = peer("sqlite3") else { return };
    let mut rest = Rest::new();
    rest.client.post("/people", r#"{"id":"ada"}"#).is(201);
    run(rest.home.command(sqlite).args(["rest.db", "UPDATE counter SET revision = 2000000"]), "").good();
    rest.client.post("/people", r#"{"id":"bob"}"#).is(201);
    for (after, reset) in [(0, false), (1, true), (999_999, true), (1_500_000, false)] {
        let polled = rest.client.get(&format!("/people/-/changes?after={after}")).is(200).json();
        assert_eq!(polled["reset"], reset, "after {after}: {polled}");
    }
    let mut follower = rest.another();
    follower.follow("/people/-/changes?after=5", "");
    let said = follower.until("\"bob\"");
    let events: Vec<_> = said.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(events, ["reset", "put", "put"], "{said}");
}

#[test]
fn a_stream_ends_with_the_server_and_does_not_hold_it() {
    let rest = Rest::new();
    let mut follower = rest.another();
    follower.follow("/people/-/changes", "");
    let ended = rest.server.interrupted();
    assert_eq!(ended.code, 0);
    assert!(!ended.err.contains("cut off"), "{}", ended.err);
}

#[test]
fn whoever_never_reads_holds_nobody_up() {
    let mut rest = Rest::new();
    let mut deaf = rest.another();
    deaf.follow("/people/-/changes?after=0", "");
    let text = "x".repeat(100_000);
    for number in 0..200 {
        rest.client.post("/people", &format!(r#"{{"id":{number},"text":"{text}"}}"#)).is(201);
    }
    // Nothing was queued for it: all of it is there once it reads.
    deaf.until("\"id\":199,");
}

/// A page that asks for more than fits into memory at once ends earlier, and the next one goes on there.
#[test]
fn what_is_read_at_once_is_bounded() {
    on_each(|rest| {
        let text = "x".repeat(500_000);
        for id in 0..20 {
            rest.client.post("/large", &format!(r#"{{"id":"{id}","text":"{text}"}}"#)).is(201);
        }
        let (mut seen, mut pages, mut next) = (Vec::new(), 0, Some("/large?sort=-text".to_owned()));
        while let Some(path) = next {
            let page = rest.client.get(&path).is(200);
            assert!(page.body.len() < 5_000_000, "{} bytes", page.body.len());
            seen.extend(page.json().as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
            (pages, next) = (pages + 1, page.next());
        }
        assert_eq!((seen, pages), ((0..20).map(|id: u8| id.to_string()).collect::<Vec<_>>(), 3));
        assert_eq!(rest.client.get("/large/-/export").body.lines().count(), 20);
        let polled = rest.client.get("/large/-/changes?after=0").is(200).json();
        assert_eq!(polled["changes"].as_array().unwrap().len(), 9, "{}", polled["after"]);
        let mut follower = rest.another();
        follower.follow("/large/-/changes?after=0", "");
        follower.until("\"id\":\"19\"");
    });
}

#[test]
fn an_export_is_an_import() {
    on_each(|rest| {
        let client = &mut rest.client;
        let items: Vec<Value> = (0..1234).map(|n| json!({ "id": format!("i{n}"), "n": n, "text": "ä\n\"" })).collect();
        let made = client.post("/first/-/import", &Value::from(items.clone()).to_string()).is(200);
        assert_eq!(made.json(), json!({ "made": 1234, "replaced": 0, "skipped": 0 }));
        let export = client.get("/first/-/export").is(200);
        assert_eq!(export.header("content-type"), Some("application/x-ndjson"));
        let exported: Vec<Value> = export.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(exported, items);
        client.ask("POST", "/second/-/import", LINES, &export.body).is(200);
        assert_eq!(client.get("/second/-/export").body, export.body);

        // All or nothing.
        let some = r#"[{"id":"new"},{"id":"i1","n":"other"}]"#;
        let refused = client.post("/first/-/import", some).is(409).json();
        assert_eq!(refused["errors"][0]["pointer"], "/1", "{refused}");
        client.get("/first/new").is(404);
        let skipped = client.post("/first/-/import?on-conflict=skip", some).is(200).json();
        assert_eq!(skipped, json!({ "made": 1, "replaced": 0, "skipped": 1 }));
        assert_eq!(client.get("/first/i1").json()["n"], 1);
        let replaced = client.post("/first/-/import?on-conflict=replace", some).is(200).json();
        assert_eq!(replaced, json!({ "made": 0, "replaced": 2, "skipped": 0 }));
        assert_eq!(client.get("/first/i1").json()["n"], "other");
        // One that is there twice is its own conflict.
        client.post("/third/-/import", r#"[{"id":"a"},{"id":"a"}]"#).is(409);
        client
            .post("/third/-/import?on-conflict=skip", r#"[{"id":"a","n":1},{"id":"a","n":2},{"id":"a","n":3}]"#)
            .is(200);
        assert_eq!(client.get("/third").json(), json!([{ "id": "a", "n": 1 }]));
        client.post("/third/-/import?on-conflict=replace", r#"[{"id":"a","n":1},{"id":"a","n":2}]"#).is(200);
        assert_eq!(client.get("/third").json(), json!([{ "id": "a", "n": 2 }]));
        assert_eq!(
            client.ask("POST", "/third/-/import", LINES, "{\"a\":1}\n\n  \n{\"a\":2}").is(200).json()["made"],
            2
        );
        for (header, body, status) in [
            (LINES, "{}\n{", 400),
            (LINES, "{}\n7", 422),
            (JSON, "{}", 422),
            (JSON, "[7]", 422),
            (JSON, "", 400),
            ("Content-Type: text/csv", "a,b", 415),
        ] {
            client.ask("POST", "/third/-/import", header, body).is(status);
        }
        client.post("/third/-/import?on-conflict=maybe", "[]").is(400);
        assert_eq!(client.get("/third").json().as_array().unwrap().len(), 3);
    });
}

/// The page is for people, and what it says can be typed.
#[test]
fn the_page_shows_what_is_there_and_what_to_type() {
    let mut rest = Rest::new();
    rest.client.post("/people", r#"{"id":"ada","name":"Ada","age":36}"#).is(201);
    let page = rest.client.ask("GET", "/", "Accept: text/html,*/*", "").is(200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
    assert!(page.body.contains("<a href=\"/people\">people</a>") && !page.body.contains("{{"), "{}", page.body);
    let (_, typed) = page.body.split_once("<pre>").unwrap();
    let (typed, _) = typed.split_once("</pre>").unwrap();
    let typed =
        typed.replace("&amp;", "&").replace("&gt;", ">").replace("ORIGIN", rest.server.at[0].trim_end_matches('/'));
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_hullo")).parent().unwrap().display();
    let mut lines = 0;
    for line in typed.lines().map(|line| line.replace("/ID", "/ada")).filter(|line| !line.contains("-N ")) {
        if line.starts_with("curl") && peer("curl").is_none() {
            return;
        }
        let line = line.replace("curl ", "curl -sS --fail-with-body ");
        let mut shell = rest.home.command("sh");
        run(shell.args(["-c", &format!("PATH={folder}:$PATH; {line}")]), "").good();
        lines += 1;
    }
    assert!(lines >= 8, "{typed}");
    assert_eq!(rest.client.get("/copy?count=true").header("x-total-count"), Some("2"));
}
