//! Items, one by one: every status, versions, patches, schemas.

use serde_json::json;

use crate::{
    Rest,
    client::Client,
    common::{Home, peer, run},
    on_each,
};

const MERGE: &str = "Content-Type: application/merge-patch+json";
const PATCH: &str = "Content-Type: application/json-patch+json";
const JSON: &str = "Content-Type: application/json";

#[test]
fn an_item_is_made_read_changed_and_removed() {
    on_each(|rest| {
        let client = &mut rest.client;
        let made =
            client.post("/people", r#"{"name":"Ada","score":1.50,"big":123456789012345678901234567890}"#).is(201);
        let place = made.header("location").unwrap().to_owned();
        let id = place.strip_prefix("/people/").unwrap();
        // It is there as it was sent, to the digit, with its id in front.
        let body =
            format!("{{\"id\":\"{id}\",\"name\":\"Ada\",\"score\":1.50,\"big\":123456789012345678901234567890}}\n");
        assert_eq!(made.body, body);
        let read = client.get(&place).is(200);
        assert_eq!((read.body.as_str(), read.tag()), (body.as_str(), made.tag()));
        let head = client.ask("HEAD", &place, "", "");
        assert_eq!((head.status, head.body.as_str(), head.tag()), (200, "", made.tag()));

        let merged = client.ask("PATCH", &place, MERGE, r#"{"score":null,"more":{"a":1,"b":null}}"#).is(200);
        assert_ne!(merged.tag(), made.tag());
        // Plain JSON, as clients send it that know of no other, is a merge patch too.
        assert_eq!(client.ask("PATCH", &place, JSON, r#"{"more":{"a":1}}"#).is(200).body, merged.body);
        let patch = r#"[{"op":"test","path":"/more/a","value":1},{"op":"move","from":"/more/a","path":"/a"}]"#;
        let patched = client.ask("PATCH", &place, PATCH, patch).is(200);
        let wanted = format!(
            "{{\"id\":\"{id}\",\"name\":\"Ada\",\"big\":123456789012345678901234567890,\"more\":{{}},\"a\":1}}\n"
        );
        assert_eq!(patched.body, wanted);

        assert_eq!(
            client.ask("PUT", &place, JSON, r#"{"name":"Bob"}"#).is(200).json(),
            json!({ "id": id, "name": "Bob" })
        );
        assert_eq!(client.ask("DELETE", &place, "", "").is(204).body, "");
        client.get(&place).is(404);
        client.ask("DELETE", &place, "", "").is(404);
        client.ask("PATCH", &place, MERGE, "{}").is(404);
        let again = client.ask("PUT", &place, JSON, r#"{"name":"Bob"}"#).is(201);
        assert_eq!(again.header("location"), Some(&*place));
        let odd = r#"{"id":"odd","a\u0000":"\u0000\\u0000","n":1e400,"":{"":""}}"#;
        assert_eq!(client.post("/people", odd).is(201).body, format!("{}\n", odd.replace("1e400", "1e+400")));
        assert_eq!(client.get("/people?n:gt=1e300&a=x").body, "[]\n");
        assert_eq!(client.ask("DELETE", "/people/odd", "", "").status, 204);
        // A number is an id too, and stays one.
        assert_eq!(client.post("/people", r#"{"name":"Eve","id":7}"#).is(201).body, "{\"name\":\"Eve\",\"id\":7}\n");
        client.get("/people/7").is(200);
        client.post("/people", r#"{"id":"7"}"#).is(409);
        assert_eq!(client.get("/").is(200).json(), json!({ "collections": [{ "name": "people", "items": 2 }] }));
    });
}

/// Method, path, header and body, and what they deserve.
const REFUSED: &[(&str, &str, &str, &str, u16)] = &[
    ("POST", "/people", JSON, "", 400),
    ("POST", "/people", JSON, "{", 400),
    ("POST", "/people", JSON, "{\"a\":1} x", 400),
    ("POST", "/people", JSON, "{\"a\":\"\\ud800\"}", 400),
    ("POST", "/people", JSON, "[1]", 422),
    ("POST", "/people", JSON, "\"a\"", 422),
    ("POST", "/people", JSON, r#"{"id":""}"#, 422),
    ("POST", "/people", JSON, r#"{"id":"../x"}"#, 422),
    ("POST", "/people", JSON, r#"{"id":"-"}"#, 422),
    ("POST", "/people", JSON, r#"{"id":1.5}"#, 422),
    ("POST", "/people", JSON, r#"{"id":{}}"#, 422),
    ("POST", "/people", "Content-Type: application/x-www-form-urlencoded", "{}", 415),
    ("POST", "/people", "Content-Type: text/plain", "{}", 415),
    ("PUT", "/people/ada", "Content-Type: application/merge-patch+json", "{}", 415),
    ("PUT", "/people/ada", JSON, r#"{"id":"bob"}"#, 422),
    ("PATCH", "/people/ada", "Content-Type: text/plain", "{}", 415),
    ("PATCH", "/people/ada", JSON, r#"[{"op":"remove","path":"/n"}]"#, 422),
    ("PATCH", "/people/ada", MERGE, r#"{"id":"bob"}"#, 422),
    ("PATCH", "/people/ada", MERGE, "7", 422),
    ("PATCH", "/people/ada", MERGE, r#"{"id":null}"#, 422),
    ("PATCH", "/people/ada", PATCH, "{}", 422),
    ("PATCH", "/people/ada", PATCH, r#"[{"op":"fly","path":"/a"}]"#, 422),
    ("PATCH", "/people/ada", PATCH, r#"[{"op":"add","path":"a","value":1}]"#, 422),
    ("PATCH", "/people/ada", PATCH, r#"[{"op":"add","path":"/a"}]"#, 422),
    ("PATCH", "/people/ada", PATCH, r#"[{"op":"remove","path":"/none"}]"#, 409),
    ("PATCH", "/people/ada", PATCH, r#"[{"op":"test","path":"/n","value":2}]"#, 409),
    ("PATCH", "/people/ada", PATCH, r#"[{"op":"replace","path":"","value":[]}]"#, 409),
    ("PUT", "/people", JSON, "{}", 405),
    ("DELETE", "/people", "", "", 405),
    ("POST", "/people/ada", JSON, "{}", 405),
    ("TRACE", "/people/ada", "", "", 405),
    ("PATCH", "/", JSON, "{}", 405),
    ("DELETE", "/openapi.json", "", "", 405),
    ("GET", "/people/-/none", "", "", 404),
    ("GET", "/people/-/schema", "", "", 404),
    ("GET", "/people/ada/x", "", "", 404),
    ("GET", "/people/", "", "", 400),
    ("GET", "/-schema", "", "", 400),
    ("GET", "/people/%00", "", "", 400),
    ("GET", "/people/a%2fb", "", "", 400),
    ("GET", "/p%20q/ada", "", "", 400),
];

#[test]
fn what_is_wrong_is_said_with_the_right_status() {
    let mut rest = Rest::new();
    rest.client.post("/people", r#"{"id":"ada","n":1}"#).is(201);
    for (method, path, header, body, status) in REFUSED {
        let answer = rest.client.ask(method, path, header, body);
        assert_eq!(answer.status, *status, "{method} {path} {body}: {answer:?}");
        let answer = answer.is(*status);
        match status {
            405 => assert!(answer.header("allow").unwrap().contains("OPTIONS"), "{answer:?}"),
            415 => {
                let name = match *method {
                    "PATCH" => "accept-patch",
                    "POST" => "accept-post",
                    _ => "accept",
                };
                assert!(answer.header(name).unwrap().contains("json"), "{answer:?}");
            }
            _ => {}
        }
    }
    assert_eq!(rest.client.get("/people/ada").json(), json!({ "id": "ada", "n": 1 }), "nothing was changed");
    assert_eq!(rest.client.get("/people/-/changes?after=1").json()["changes"], json!([]));
    let options = rest.client.ask("OPTIONS", "/people/ada", "", "").is(204);
    assert_eq!(options.header("allow"), Some("GET, PUT, PATCH, DELETE, HEAD, OPTIONS"));
    rest.client.ask("OPTIONS", "*", "", "").is(204);
    let zipped = rest.client.ask("POST", "/people", &format!("{JSON}\nContent-Encoding: gzip"), "{}").is(415);
    assert_eq!(zipped.header("accept-encoding"), Some("identity"));
}

#[test]
fn what_is_too_large_or_too_deep_is_refused() {
    let home = Home::new();
    let server = home.serve(&["rest", "http://127.0.0.1:0?max=64KiB"], 1);
    let item = |size: usize| format!(r#"{{"id":"a","text":"{}"}}"#, "x".repeat(size));
    let refused = Client::to(server.port(0)).post("/large", &item(70_000)).is(413);
    let why = "the body has more than 65536 bytes; whoever runs the server can allow more, by ?max= on its address";
    assert_eq!(refused.json()["detail"], why);
    let mut client = Client::to(server.port(0));
    client.post("/large", &item(60_000)).is(201);
    // Two that are small enough make one that is not.
    client.ask("PATCH", "/large/a", MERGE, &format!(r#"{{"more":"{}"}}"#, "x".repeat(10_000))).is(413);
    let copies = r#"{"op":"copy","from":"","path":"/b"}"#;
    client.ask("PATCH", "/large/a", PATCH, &format!("[{copies},{copies}]")).is(413);
    let moves = r#"{"op":"move","from":"/text","path":"/b"},{"op":"move","from":"/b","path":"/text"}"#;
    client.ask("PATCH", "/large/a", PATCH, &format!("[{moves}]")).is(200);
    client.ask("PATCH", "/large/a", PATCH, &format!("[{moves},{moves},{moves}]")).is(413);
    for (depth, status) in [(100, 201), (125, 422), (200, 400), (20_000, 400)] {
        let nested = format!(r#"{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        client.post("/deep", &nested).is(status);
    }
    client.get("/large/a").is(200);
}

/// An import is longer than other bodies, but none of its items is, and there is an end to it too.
#[test]
fn an_import_has_bounds_of_its_own() {
    let home = Home::new();
    let server = home.serve(&["rest", "http://127.0.0.1:0?max=64KiB"], 1);
    let path = "/large/-/import";
    let lines = |items: usize, size: usize| format!("{{\"text\":\"{}\"}}\n", "x".repeat(size)).repeat(items);
    let array = |items: usize, size: usize| format!("[{}]", lines(items, size).trim_end().replace('\n', ","));
    for (kind, make) in [("x-ndjson", &lines as &dyn Fn(usize, usize) -> String), ("json", &array)] {
        let header = format!("Content-Type: application/{kind}");
        let post = |items, size| Client::to(server.port(0)).ask("POST", path, &header, &make(items, size));
        assert_eq!(post(75, 50_000).is(200).json()["made"], 75, "{kind}");
        assert!(post(90, 50_000).is(413).body.contains("the body has more than 4194304 bytes"), "{kind}");
        assert!(post(100_001, 0).is(413).body.contains("at most 100000 items"), "{kind}");
        assert_eq!(post(2, 70_000).is(413).json()["errors"][0]["pointer"], "/0", "{kind}");
    }
    assert_eq!(Client::to(server.port(0)).get("/").json()["collections"][0]["items"], 150);
}

#[test]
fn what_is_wrong_is_said_in_words_that_help() {
    let mut rest = Rest::new();
    let mut says = |method: &str, path: &str, headers: &str, body: &str| {
        let answer = rest.client.ask(method, path, headers, body).json();
        answer["detail"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    for (query, wanted) in [
        ("_sort=year&_order=desc", "there is no parameter _sort: sort=field"),
        ("_limit=2", "limit=20"),
        ("page=2", "cursor="),
        ("offset=2", "cursor="),
        ("per_page=2", "limit=20"),
        ("skip=2", "cursor="),
        ("_other=2", "count, cursor, fields, limit, q and sort"),
        ("year_gte=1900", "year:gte=value"),
        ("year__lt=1900", "year:lt=value"),
        ("x", "x has no value"),
        ("x&count=true", "x has no value"),
    ] {
        let said = says("GET", &format!("/books?{query}"), "", "");
        assert!(said.contains(wanted), "{query}: {said}");
    }
    let said = says("GET", "/books/", "", "");
    assert!(said.ends_with("all items are at /books"), "{said}");
    assert_eq!(says("PUT", "/books", JSON, "{}"), "PUT is not for /books");
    let said = says("PATCH", "/books/1", "Content-Type: text/plain", "{}");
    assert!(said.contains("application/merge-patch+json, application/json-patch+json, application/json"), "{said}");
    assert_eq!(
        says("PUT", "/books/1", &format!("{JSON}\nIf-Match: *"), "{}"),
        "If-Match does not hold: it is not there"
    );
    // A field may be called like that nevertheless, and a flag needs no value.
    rest.client.post("/books", r#"{"id":"a","page":2,"_x":""}"#).is(201);
    for query in ["page:eq=2", "_x:eq=", "count", "page:eq=2&count&q="] {
        assert_eq!(rest.client.get(&format!("/books?{query}")).is(200).json()[0]["id"], "a", "{query}");
    }
    let there = rest.client.ask("PUT", "/books/a", &format!("{JSON}\nIf-None-Match: *"), "{}").is(412).json();
    assert_eq!(there["detail"], "If-None-Match does not hold: it is there already");
}

#[test]
fn versions_keep_two_writers_apart() {
    on_each(|rest| {
        let client = &mut rest.client;
        let path = "/people/ada";
        let with = |header: &str| format!("{JSON}\n{header}");
        let first = client.ask("PUT", path, &with("If-None-Match: *"), r#"{"n":1}"#).is(201);
        client.ask("PUT", path, &with("If-None-Match: *"), r#"{"n":2}"#).is(412);
        let (tag, date) = (first.tag(), first.header("last-modified").unwrap().to_owned());
        for fresh in [
            format!("If-None-Match: {tag}"),
            format!("If-None-Match: \"x\", W/{tag}"),
            format!("If-Modified-Since: {date}"),
        ] {
            let answer = client.ask("GET", path, &fresh, "");
            assert_eq!((answer.status, answer.tag(), answer.body.as_str()), (304, tag.clone(), ""), "{fresh}");
        }
        client.ask("GET", path, "If-None-Match: \"x\"", "").is(200);
        client.ask("GET", path, "If-Match: \"x\"", "").is(412);

        let second = client.ask("PUT", path, &with(&format!("If-Match: {tag}")), r#"{"n":2}"#).is(200);
        for (method, headers) in [("PUT", with("")), ("PATCH", MERGE.to_owned()), ("DELETE", String::new())] {
            client.ask(method, path, &format!("{headers}\nIf-Match: {tag}"), "{}").is(412);
            client.ask(method, path, &format!("{headers}\nIf-Match: W/{}", second.tag()), "{}").is(412);
            let old = "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT";
            client.ask(method, path, &format!("{headers}\n{old}"), "{}").is(412);
        }
        assert_eq!(client.get(path).json()["n"], 2);
        client.ask("PUT", "/people/bob", &with("If-Match: *"), "{}").is(412);
        // What is not there is not there, whatever its version (RFC 9110, section 13.2.1).
        client.ask("DELETE", "/people/bob", "If-Match: \"1\"", "").is(404);
        client.ask("DELETE", path, &format!("If-Match: {}", second.tag()), "").is(204);
        // A version is never used again.
        assert!(![first.tag(), second.tag()].contains(&client.ask("PUT", path, JSON, r#"{"n":1}"#).is(201).tag()));
    });
}

#[test]
fn a_schema_holds_what_is_written_from_then_on() {
    on_each(|rest| {
        let client = &mut rest.client;
        client.post("/people", r#"{"id":"old","age":"unknown"}"#).is(201);
        let schema = r#"{"type":"object","required":["name"],"properties":{"age":{"type":"integer","minimum":0},"name":{"type":"string","pattern":"^[A-Z]"}}}"#;
        let path = "/people/-/schema";
        client.get(path).is(404);
        let set = client.ask("PUT", path, "Content-Type: application/schema+json", schema).is(201);
        assert_eq!(set.header("location"), Some(path));
        assert_eq!(client.get(path).is(200).body, format!("{schema}\n"));
        client.ask("GET", path, &format!("If-None-Match: {}", set.tag()), "").is(304);

        let wrong = client.post("/people", r#"{"age":-1,"name":7}"#).is(422).json();
        let mut places: Vec<_> =
            wrong["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
        places.sort_unstable();
        assert_eq!(places, ["/age", "/name"], "{wrong}");
        client.post("/people", r#"{"id":"ada","age":36,"name":"Ada"}"#).is(201);
        client.ask("PATCH", "/people/ada", MERGE, r#"{"name":null}"#).is(422);
        client.ask("PATCH", "/people/ada", PATCH, r#"[{"op":"replace","path":"/age","value":"x"}]"#).is(422);
        client.ask("PUT", "/people/ada", JSON, "{}").is(422);
        let wrong = client.post("/people/-/import", r#"[{"name":"Bob"},{"name":"eve"},{}]"#).is(422).json();
        let places: Vec<_> = wrong["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
        assert_eq!(places, ["/1/name"], "{wrong}");
        let wrong = client.post("/people/-/import", "[{}]").is(422).json();
        assert_eq!(wrong["errors"].as_array().unwrap().len(), 1, "{wrong}");
        assert_eq!(wrong["errors"][0]["pointer"], "/0", "{wrong}");
        // What was there before stays as it is, until somebody writes it.
        client.get("/people/old").is(200);
        client.ask("PATCH", "/people/old", MERGE, r#"{"age":1}"#).is(422);
        client.post("/others", r#"{"age":-1}"#).is(201);

        for bad in
            [r#"{"type":"objekt"}"#, r#"{"$ref":"http://127.0.0.1:1/"}"#, r#"{"$ref":"file:///etc/passwd"}"#, "[]", "7"]
        {
            client.ask("PUT", path, JSON, bad).is(422);
        }
        client.ask("PUT", path, &format!("{JSON}\nIf-Match: \"x\""), "{}").is(412);
        client.ask("DELETE", path, "", "").is(204);
        client.ask("DELETE", path, "", "").is(404);
        client.post("/people", r#"{"age":-1}"#).is(201);
        // It is no collection of its own.
        let names: Vec<_> =
            client.get("/").json()["collections"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
        assert_eq!(names, ["others", "people"]);
    });
}

#[test]
fn more_than_a_peers_share_is_refused_for_a_second() {
    let mut rest = Rest::with(&["--rate", "5"]);
    let answers: Vec<_> = (0..50).map(|_| rest.client.get("/people")).collect();
    let refused: Vec<_> = answers.into_iter().filter(|answer| answer.status != 200).collect();
    assert!(refused.len() > 30, "{} of 50 were refused", refused.len());
    for answer in refused {
        assert_eq!(answer.is(429).header("retry-after"), Some("1"));
    }
}

#[test]
fn a_file_is_found_again_and_nobody_elses_is_touched() {
    let mut rest = Rest::new();
    assert!(rest.server.program.told("rest.db").contains("items are kept in "));
    let before = rest.client.post("/people", r#"{"id":"ada"}"#).is(201).tag();
    let Rest { home, server, .. } = rest;
    assert_eq!(server.interrupted().code, 0);
    let config = home.file(
        "hullo.toml",
        "[[serve]]\nservice = \"rest\"\naddresses = [\"http://127.0.0.1:0\"]\ndb = \"rest.db\"\nrate = 1000",
    );
    let again = home.serve(&["--config", &config], 1);
    assert_eq!(Client::to(again.port(0)).get("/people/ada").is(200).tag(), before);

    home.file("text", "this is no database, but somebody's text, and it is long enough to be looked at ".repeat(20));
    for (file, code) in [("text", 19), ("none/x.db", 19), ("./", 19)] {
        let ended = home.run(&["serve", "rest", "http://127.0.0.1:0", "--db", file], "");
        assert_eq!(ended.code, code, "{file}: {}", ended.err);
        assert!(ended.err.contains(&format!("cannot keep items in {file}")), "{}", ended.err);
        assert_eq!(ended.err.lines().next().unwrap().matches(file).count(), 1, "said once: {}", ended.err);
    }
    if let Some(sqlite) = peer("sqlite3") {
        run(home.command(sqlite).args(["other.db", "CREATE TABLE theirs (x)"]), "").good();
        let ended = home.run(&["serve", "rest", "http://127.0.0.1:0", "--db", "other.db"], "");
        assert!(ended.code == 19 && ended.err.contains("another program"), "{}", ended.err);
    }
    for words in [
        &["rest", "tcp://:0"][..],
        &["echo", ":0", "--db", "x"],
        &["echo", ":0", "--rate", "1"],
        &["rest", "http://:0", "--rate", "0"],
    ] {
        assert_eq!(home.run(&[&["serve"], words].concat(), "").code, 2, "{words:?}");
    }
}
