//! Lists against a model of them that is too simple to be wrong: pages, filters, orders, searches.

use std::cmp::Ordering;

use serde_json::{Value, json};

use crate::{client::Client, common::noise, on_each};

/// Values of every kind, near to each other where they can be confused.
fn values() -> Vec<Value> {
    let texts = ["", "a", "A", "ab", "b", "ä", "10", "9", "true", "null", "a'b", "a\"b", "%", "_", "x*", "🙂"];
    let numbers = ["0", "-1", "1", "9", "10", "1.5", "10.0", "1e3", "-2.5e-3", "9007199254740993"];
    let texts = texts.iter().map(|text| json!(text));
    let numbers = numbers.iter().map(|number| serde_json::from_str(number).unwrap());
    texts.chain(numbers).chain([json!(true), json!(false), json!(null), json!([1]), json!({ "c": 1 })]).collect()
}

/// Choices that are the same in each run.
struct Dice(std::vec::IntoIter<u8>);

impl Dice {
    fn of(&mut self, sides: usize) -> usize {
        usize::from(self.0.next().unwrap()) % sides
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.of(of.len())]
    }
}

fn items(dice: &mut Dice) -> Vec<Value> {
    let values = values();
    let item = |number: usize| {
        let mut item = json!({ "id": format!("i{number}"), "n": number % 7 });
        for field in ["a", "b"] {
            // Some have none.
            if dice.of(8) > 0 {
                item[field] = dice.one(&values).clone();
            }
        }
        if dice.of(3) > 0 {
            item["o"] = json!({ "p": { "q": dice.one(&values) } });
        }
        item
    };
    (0..150).map(item).collect()
}

/// The value of a field with dots in its name.
fn field<'a>(item: &'a Value, name: &str) -> &'a Value {
    name.split('.').fold(item, |value, name| value.get(name).unwrap_or(&Value::Null))
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64()
}

/// Whether a filter lets an item through.
fn holds(item: &Value, name: &str, operator: &str, given: &str) -> bool {
    let value = field(item, name);
    let given_number = serde_json::from_str::<Value>(given).ok().as_ref().and_then(number);
    let order = match value {
        Value::String(text) => Some(text.as_str().cmp(given)),
        Value::Number(_) => given_number.and_then(|given| number(value)?.partial_cmp(&given)),
        _ => None,
    };
    let equal = |given: &str| match value {
        Value::Null => given == "null",
        Value::Bool(truth) => given == truth.to_string(),
        Value::String(text) => text == given,
        Value::Number(_) => serde_json::from_str::<Value>(given).is_ok_and(|given| number(&given) == number(value)),
        _ => false,
    };
    match operator {
        "eq" | "" => equal(given),
        "ne" => !equal(given),
        "lt" => order == Some(Ordering::Less),
        "lte" => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        "gt" => order == Some(Ordering::Greater),
        "gte" => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        "like" => value.as_str().is_some_and(|text| text.to_ascii_lowercase().contains(&given.to_ascii_lowercase())),
        "in" => given.split(',').any(equal),
        _ => unreachable!(),
    }
}

/// What comes first where a list is sorted: nothing, then truth, numbers, texts, and all else alike.
fn compare(a: &Value, b: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        _ => 4,
    };
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Number(_), Value::Number(_)) => number(a).unwrap().total_cmp(&number(b).unwrap()),
        _ => rank(a).cmp(&rank(b)),
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// All pages, from the first to the last.
#[track_caller]
fn pages(client: &mut Client, path: &str) -> Vec<Value> {
    let (mut all, mut next) = (Vec::new(), Some(path.to_owned()));
    while let Some(path) = next {
        let page = client.get(&path).is(200);
        let items = page.json().as_array().unwrap().clone();
        next = page.next();
        assert!(next.is_none() || !items.is_empty(), "an empty page leads on: {path}");
        all.extend(items);
    }
    all
}

#[test]
fn lists_are_what_a_simple_model_says() {
    on_each(|rest| {
        let client = &mut rest.client;
        let mut dice = Dice(noise(20_000).into_iter());
        let items = items(&mut dice);
        client.post("/x/-/import", &Value::from(items.clone()).to_string()).is(200);
        client.post("/y/-/import", &Value::from(items[..50].to_vec()).to_string()).is(200);
        let names = ["a", "b", "n", "o.p.q", "o.p", "none", "id"];
        let operators = ["", "eq", "ne", "lt", "lte", "gt", "gte", "like", "in"];
        let texts: Vec<String> =
            values().iter().map(|value| value.as_str().map_or(value.to_string(), str::to_owned)).collect();
        for _ in 0..100 {
            let mut query = format!("limit={}", [2, 5, 7, 50, 1000][dice.of(5)]);
            let mut wanted = items.clone();
            for _ in 0..dice.of(3) {
                let (name, operator) = (*dice.one(&names), *dice.one(&operators));
                let value = match operator {
                    "in" => format!("{},{}", dice.one(&texts), dice.one(&texts)),
                    _ => dice.one(&texts).clone(),
                };
                let sign = if operator.is_empty() { String::new() } else { format!(":{operator}") };
                query += &format!("&{name}{sign}={}", encoded(&value));
                wanted.retain(|item| holds(item, name, operator, &value));
            }
            let keys: Vec<_> = (0..dice.of(3)).map(|_| (*dice.one(&names), dice.of(2) == 1)).collect();
            if !keys.is_empty() {
                let key = |(name, down): &(&str, bool)| format!("{}{name}", if *down { "-" } else { "" });
                query += &format!("&sort={}", keys.iter().map(key).collect::<Vec<_>>().join(","));
            }
            // A sort that keeps the order of equals, as the order in which they came does.
            wanted.sort_by(|a, b| {
                let compared = |(name, down): &(&str, bool)| {
                    let order = compare(field(a, name), field(b, name));
                    if *down { order.reverse() } else { order }
                };
                keys.iter().map(compared).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
            });
            let ids =
                |items: &[Value]| items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
            let path = format!("/x?{query}");
            assert_eq!(ids(&pages(client, &path)), ids(&wanted), "{path}");
            let count = client.get(&format!("{path}&count=true")).is(200);
            assert_eq!(count.header("x-total-count"), Some(&*wanted.len().to_string()), "{path}");
        }
    });
}

#[test]
fn a_page_is_where_it_was_however_much_is_added() {
    on_each(|rest| {
        let client = &mut rest.client;
        let items: Vec<Value> = (0..60).map(|n| json!({ "id": format!("i{n}"), "n": n % 5 })).collect();
        client.post("/x/-/import", &Value::from(items).to_string()).is(200);
        for sort in ["", "&sort=n", "&sort=-n", "&sort=-n,id"] {
            let (mut seen, mut next, mut round) = (Vec::new(), Some(format!("/x?limit=7{sort}")), 0);
            while let Some(path) = next {
                let page = client.get(&path).is(200);
                seen.extend(page.json().as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
                next = page.next();
                round += 1;
                // Before, at and after the place where the reader is; and what was read is taken away.
                if round < 20 {
                    for n in 0..5 {
                        client.post("/x", &format!(r#"{{"id":"new{}-{round}-{n}","n":{n}}}"#, sort.len())).is(201);
                    }
                }
            }
            let old: Vec<_> = seen.iter().filter(|id| id.starts_with('i')).collect();
            let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
            assert_eq!((old.len(), distinct.len()), (60, seen.len()), "{sort}: each once, and none left out");
        }
        // The last one of a page may be gone by the time.
        let first = client.get("/x?limit=2").is(200);
        client.ask("DELETE", "/x/i1", "", "").is(204);
        assert_eq!(client.get(&first.next().unwrap()).is(200).json()[0]["id"], "i2");
        client.get("/x?cursor=nonsense").is(404);
        client.get(&format!("{}&sort=n", first.next().unwrap())).is(404);
    });
}

#[test]
fn fields_are_chosen_and_words_are_found() {
    on_each(|rest| {
        let client = &mut rest.client;
        for item in [
            r#"{"id":"ada","name":"Ada Lovelace","bio":{"text":"wrote the first program","year":1843}}"#,
            r#"{"id":"grace","name":"Grace Hopper","bio":{"text":"wrote the first compiler"},"tags":["navy","COBOL"]}"#,
            r#"{"id":"mail","name":"foo-bar@example.org","n":36.6}"#,
        ] {
            client.post("/people", item).is(201);
        }
        let mut ids = |query: &str| -> Vec<String> {
            let found = client.get(&format!("/people?{query}")).is(200).json();
            found.as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
        };
        for (query, wanted) in [
            ("q=wrote", &["ada", "grace"][..]),
            ("q=WROTE+compiler", &["grace"]),
            ("q=wrote+nothing", &[]),
            ("q=comp*", &["grace"]),
            ("q=comp", &["grace"]),
            ("q=comp+wrote", &[]),
            ("q=comp*+wr", &["grace"]),
            ("q=exampl.or", &[]),
            ("q=foo-bar@example.o", &["mail"]),
            ("q=cobol", &["grace"]),
            ("q=1843", &["ada"]),
            ("q=example", &["mail"]),
            ("q=foo-bar@example.org", &["mail"]),
            ("q=36.6", &["mail"]),
            ("q=%22+OR+1%3D1", &[]),
            ("q=NEAR(wrote+first)", &[]),
            ("q=name:ada", &["ada"][..0]),
            ("q=!!!", &[]),
            ("q=", &["ada", "grace", "mail"]),
            ("q=wrote&name:like=HOPPER", &["grace"]),
            ("q=wrote&sort=-name&limit=1", &["grace"]),
        ] {
            assert_eq!(ids(query), wanted, "{query}");
        }
        // What is searched follows what is written.
        client.ask("PUT", "/people/ada", "Content-Type: application/json", r#"{"name":"nobody"}"#).is(200);
        client.ask("DELETE", "/people/grace", "", "").is(204);
        assert_eq!(client.get("/people?q=wrote").json(), json!([]));
        assert_eq!(client.get("/people?q=nobody&fields=none").json(), json!([{ "id": "ada" }]));
        assert_eq!(
            client.get("/people?fields=name,n&sort=n").json()[1],
            json!({ "id": "mail", "name": "foo-bar@example.org", "n": 36.6 })
        );

        let list = client.get("/people");
        assert_eq!(client.ask("GET", "/people", &format!("If-None-Match: {}", list.tag()), "").status, 304);
        client.ask("DELETE", "/people/mail", "", "").is(204);
        client.ask("GET", "/people", &format!("If-None-Match: {}", list.tag()), "").is(200);
    });
}

/// A value of a request is never a part of a statement.
#[test]
fn nothing_can_be_injected() {
    on_each(|rest| {
        let client = &mut rest.client;
        client.post("/people", r#"{"id":"zoe","name":"Zoe"}"#).is(201);
        let evil = [
            "' OR 1=1 --",
            "\"; DROP TABLE items; --",
            "') UNION SELECT 1,2,3,4,5 --",
            "$1",
            "?1",
            "%",
            "\\",
            "a\"b",
            "$.\"x\"",
            "{a}",
            "x' || (SELECT 1) || '",
        ];
        for text in evil {
            let evil = encoded(text);
            for query in [
                format!("name={evil}"),
                format!("{evil}=x"),
                format!("{evil}:gt=x"),
                format!("name:like={evil}x"),
                format!("name:in={evil},b"),
                format!("q={evil}"),
            ] {
                let answer = client.get(&format!("/people?{query}"));
                assert!(answer.status == 400 || answer.body == "[]\n", "{text}: {query}: {answer:?}");
            }
            for query in [format!("sort={evil}"), format!("fields={evil}")] {
                let answer = client.get(&format!("/people?{query}"));
                assert!([200, 400].contains(&answer.status), "{text}: {query}: {answer:?}");
            }
            client.get(&format!("/people?cursor={evil}")).is(404);
            client.get(&format!("/{evil}")).is(400);
            client.get(&format!("/people/{evil}")).is(400);
            let body = json!({ text: { text: text } });
            let made = client.post("/evil", &body.to_string()).is(201).json();
            // Whatever the name of a field is, it is found under it, unless it has dots or an operator in it.
            if !text.contains('.') {
                assert_eq!(client.get(&format!("/evil?{evil}.{evil}={evil}")).is(200).json(), json!([made]), "{text}");
            }
        }
        assert_eq!(client.get("/people").json(), json!([{ "id": "zoe", "name": "Zoe" }]));
    });
}
