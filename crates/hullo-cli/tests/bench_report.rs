#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! `hullo bench` when it is over: reports as their published schema says, objectives, comparisons, searches, files.

mod common;

use std::{fs, path::Path};

use common::{Ended, Home, Server, peer, run, skipped};
use jsonschema::Validator;
use serde_json::{Value, json};

/// The published schema, or the part of it that is called so, to the letter: what it has no word for is refused.
fn schema(part: &str) -> Validator {
    fn close(value: &mut Value) {
        match value {
            Value::Object(object) => {
                if object.contains_key("properties") {
                    object.insert("additionalProperties".to_owned(), false.into());
                }
                object.values_mut().for_each(close);
            }
            Value::Array(array) => array.iter_mut().for_each(close),
            _ => {}
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/bench.schema.json");
    let mut all: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    close(&mut all["$defs"]);
    let part = json!({ "$schema": all["$schema"], "$ref": format!("#/$defs/{part}"), "$defs": all["$defs"] });
    jsonschema::draft202012::new(&part).unwrap()
}

/// The one object on stdout, which is what that part of the schema says.
#[track_caller]
fn valid(part: &str, ended: &Ended) -> Value {
    let text = String::from_utf8(ended.out.clone()).unwrap();
    let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text} {}", ended.err));
    let wrong: Vec<_> =
        schema(part).iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{}\n{value:#}", wrong.join("\n"));
    value
}

fn echo(home: &Home, listen: &str) -> Server {
    home.serve(&["echo", listen], 1)
}

fn bench(home: &Home, to: &str, words: &[&str]) -> Ended {
    home.run(&[&["bench", to, "-d", "300ms", "-c", "2", "--threads", "1"], words].concat(), "")
}

#[test]
fn reports_of_every_shape_are_what_their_schema_says() {
    let home = Home::new();
    for (service, listen, words, shape) in [
        ("echo", "tcp://127.0.0.1:0", &["--rate", "200"][..], "ask"),
        ("echo", "tcp://127.0.0.1:0", &["--depth", "4"], "ask"),
        ("echo", "unix:{dir}", &["--size", "1000"], "ask"),
        ("echo", "udp://127.0.0.1:0", &["--rate", "200"], "ask"),
        ("echo", "http://127.0.0.1:0", &["--rate", "200"], "http"),
        ("echo", "tcp://127.0.0.1:0", &["--connect"], "connect"),
        ("discard", "tcp://127.0.0.1:0", &["--up"], "up"),
    ] {
        let server = home.serve(&[service, &listen.replace("{dir}", &home.path("echo.sock"))], 1);
        let ended = bench(&home, &server.at[0], &[words, &["--json"]].concat());
        assert_eq!(ended.code, 0, "{listen} {words:?}: {}", ended.err);
        let report = valid("report", &ended);
        assert_eq!(
            (&report["shape"], &report["target"]),
            (&shape.into(), &server.at[0].as_str().into()),
            "{listen} {words:?}"
        );
        let [offered, answered, failed, unanswered] =
            ["offered", "answered", "failed", "unanswered"].map(|name| report[name].as_u64().unwrap());
        assert_eq!(offered, answered + failed + unanswered, "{listen} {words:?}");
        assert!(shape == "up" || answered > 0, "{listen} {words:?}: {report:#}");
    }
}

#[test]
fn the_summary_is_plain_in_a_pipe() {
    let home = Home::new();
    let server = echo(&home, "tcp://127.0.0.1:0");
    let text = bench(&home, &server.at[0], &["--rate", "500"]).text();
    for part in [
        "open loop: 500/s by schedule",
        "offered 150 ",
        "unanswered 0",
        "p99.99",
        "connections  asked 2",
        "its busiest thread",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert!(!text.contains('\x1b'), "{text}");
    let text = bench(&home, &server.at[0], &[]).text();
    assert!(text.contains("closed loop: 2 at a time") && text.contains("for those type --rate"), "{text}");
}

#[test]
fn an_objective_decides_the_exit_status() {
    let home = Home::new();
    let server = echo(&home, "tcp://127.0.0.1:0");
    let at = &server.at[0];
    for (words, code, said) in [
        (&["--slo", "p50<1s", "--slo", "failed<1", "--fail-unanswered"][..], 0, ""),
        (&["--slo", "p50<1ns"], 23, "the objective p50<1ns was missed: p50 was "),
        (&["--slo", "max<1ns", "--slo", "rate>1e"], 2, "the limit '1e' cannot be read"),
        (&["--slo", "lost<1%"], 23, "nothing says whether the objective lost<1% was reached: only packets are lost"),
        (&["--slo", "p99"], 2, "to the shell < and > mean files"),
    ] {
        let ended = bench(&home, at, words);
        assert_eq!(ended.code, code, "{words:?}: {}", ended.err);
        assert!(ended.err.contains(said), "{words:?}: {}", ended.err);
        assert_eq!(ended.out.is_empty(), code == 2, "{words:?}: a mistake costs no run");
    }
    let both = bench(&home, at, &["--slo", "max<1ns", "--slo", "rate>1000000000", "--json"]);
    let missed: Vec<_> = both.objects().iter().map(|object| object["kind"].clone()).collect();
    assert_eq!((both.code, missed), (23, vec![Value::from("missed"), "missed".into()]), "each is said");
}

/// A server that gives back what comes, and stands still from a second and a half on.
const STALLING: &str = r#"
import asyncio, time
start = None
class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        global start
        now = time.monotonic()
        start = start or now
        asyncio.get_event_loop().call_later(20 if now > start + 1.5 else 0, self.transport.write, data)
async def main():
    server = await asyncio.get_event_loop().create_server(Echo, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1])
    await server.serve_forever()
asyncio.run(main())
"#;

#[test]
fn a_stall_at_the_end_is_seen_and_cut_off() {
    let home = Home::new();
    let Some(python) = home.python(STALLING) else { return };
    let to = format!("tcp://127.0.0.1:{}", python.port);
    let words = ["bench", &to, "-d", "2s", "--rate", "500", "--json", "--fail-unanswered", "--slo", "p50<100ms"];
    let ended = home.run(&words, "");
    let report = valid("report", &ended);
    let [offered, answered, unanswered] =
        ["offered", "answered", "unanswered"].map(|name| report[name].as_u64().unwrap());
    assert_eq!((offered, offered - answered), (1000, unanswered), "{report:#}");
    assert!((200..=300).contains(&unanswered), "{unanswered}");
    let latency = &report["latency_ms"];
    assert!(latency["p99"].as_f64().unwrap() > 400.0, "{latency}");
    assert!(latency["censored"].as_array().unwrap().contains(&"p99".into()), "{latency}");
    assert_eq!(ended.code, 23, "{}", ended.err);
    let said = ended.objects();
    assert!(said[0]["message"].as_str().unwrap().starts_with("the objective unanswered<1 was missed: "), "{said:?}");
    assert_eq!(said.len(), 1, "the median held");
}

#[test]
fn two_reports_are_compared() {
    let home = Home::new();
    let server = echo(&home, "tcp://127.0.0.1:0");
    for name in ["a.json", "b.json"] {
        let ended = bench(&home, &server.at[0], &["--rate", "1000", "--json"]);
        home.file(name, ended.good());
    }
    let compare = |words: &[&str]| home.run(&[&["bench", "--compare"], words].concat(), "");
    let comparison = valid("comparison", &compare(&["a.json", "b.json", "--json"]));
    assert_eq!(comparison["runs"], json!([1, 1]));
    let text = compare(&["a.json", "b.json"]).text();
    assert!(text.contains("95 % confidence") && text.contains("note: one run each"), "{text}");
    let word = comparison["word"].as_str().unwrap();
    assert!(text.contains(word) && ["faster", "slower", "cannot tell"].contains(&word), "{text}");
    home.file("two.json", [home.read("a.json"), home.read("b.json")].concat());
    let page = ["--html", "two.html", "--slo", "p50<1s", "--slo", "max<1ns"];
    compare(&[&["a.json", "b.json"], &page[..]].concat()).good();
    let page = String::from_utf8(home.read("two.html")).unwrap();
    for said in ["A: p50&lt;1s holds.", "B: p50&lt;1s holds.", "B: the objective max&lt;1ns was missed: max was "] {
        assert!(page.contains(said), "{said}");
    }
    let mut absurd: Value = serde_json::from_slice(&home.read("a.json")).unwrap();
    absurd["over_time"]["columns"][0]["sent"] = u64::MAX.into();
    home.file("absurd.json", absurd.to_string());
    let ended = compare(&["a.json", "absurd.json"]);
    assert_eq!(ended.code, 2, "{}", ended.err);
    assert!(ended.err.contains("absurd.json cannot be compared: ") && ended.err.contains("bytes"), "{}", ended.err);
    let several = valid("comparison", &compare(&["two.json", "b.json", "--json"]));
    assert_eq!(several["runs"], json!([2, 1]));
    home.file("none.json", "{}");
    for (file, said) in
        [("none.json", "none.json is no report of hullo bench"), ("missing.json", "cannot read missing.json")]
    {
        let ended = compare(&["a.json", file]);
        assert_eq!(ended.code, 19, "{}", ended.err);
        assert!(ended.err.contains(said), "{}", ended.err);
    }
}

#[test]
fn two_targets_are_measured_in_turns() {
    let home = Home::new();
    let (a, b) = (echo(&home, "tcp://127.0.0.1:0"), echo(&home, "tcp://127.0.0.1:0"));
    let words = ["--rate", "500", "--repeat", "2", "--vs", &b.at[0]];
    let ended = bench(&home, &a.at[0], &[&words[..], &["--json"]].concat());
    assert_eq!(ended.code, 0, "{}", ended.err);
    let both = valid("versus", &ended);
    assert_eq!(
        (&both["comparison"]["a"], &both["comparison"]["b"]),
        (&a.at[0].as_str().into(), &b.at[0].as_str().into())
    );
    let turns: Vec<_> =
        ended.objects().iter().map(|run| format!("{}{}", run["round"], run["side"].as_str().unwrap())).collect();
    assert_eq!(turns, ["1a", "1b", "2b", "2a"]);
    let text = bench(&home, &a.at[0], &words).text();
    assert!(text.contains("round 1  A  ") && text.contains("round 2  B  ") && text.contains(" (2 runs)"), "{text}");
}

#[test]
fn a_search_finds_the_highest_rate() {
    let home = Home::new();
    let server = echo(&home, "tcp://127.0.0.1:0");
    let words = ["--search", "--slo", "p50<5s", "--rate", "100..350/1s", "-d", "200ms"];
    let words = [&["bench", &server.at[0], "-c", "2"], &words[..]].concat();
    let ended = home.run(&[&words[..], &["--json"]].concat(), "");
    assert_eq!(ended.code, 0, "{}", ended.err);
    let found = valid("search", &ended);
    assert_eq!((found["search"]["rate"].as_f64(), &found["search"]["ended"]), (Some(350.0), &"ceiling".into()));
    let rates: Vec<_> = ended.objects().iter().map(|trial| trial["rate"].as_f64().unwrap()).collect();
    assert_eq!(rates, [100.0, 200.0, 350.0, 350.0]);
    let text = home.run(&words, "").text();
    assert!(text.contains("350/s   held again"), "{text}");
    assert!(text.trim_end().ends_with("hold at 350/s, which is as far as was looked; they held twice"), "{text}");
    let words = ["--search", "--slo", "failed<1%", "--rate", "4..8/1s", "-d", "500ms", "--expect", "never", "--json"];
    let ended = home.run(&[&["bench", &server.at[0], "-c", "2"], &words[..]].concat(), "");
    let found = valid("search", &ended);
    assert_eq!((ended.code, &found["search"]["ended"], &found["report"]), (23, &"nowhere".into(), &Value::Null));
    let limit = &found["search"]["limit"];
    assert_eq!(
        (&limit["rate"], &limit["by"], &limit["objective"]),
        (&json!(1.0), &"target".into(), &"failed<1%".into())
    );
}

#[test]
fn files_are_written_for_other_programs() {
    let home = Home::new();
    let server = echo(&home, "tcp://127.0.0.1:0");
    let words = ["--rate", "500", "--csv", "run.csv", "--prometheus", "run.prom"];
    bench(&home, &server.at[0], &words).good();
    let table = String::from_utf8(home.read("run.csv")).unwrap();
    let offered: u64 = table.lines().skip(1).map(|row| row.split(',').nth(2).unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(offered, 150, "{table}");
    let metrics = String::from_utf8(home.read("run.prom")).unwrap();
    assert!(metrics.contains(&format!("hullo_bench_offered_total{{target=\"{}\"", server.at[0])), "{metrics}");
    bench(&home, &server.at[0], &["--csv", "run.hgrm"]).good();
    assert!(String::from_utf8(home.read("run.hgrm")).unwrap().contains("1/(1-Percentile)"));
    let unwritable = bench(&home, &server.at[0], &["--csv", "no/such/folder.csv"]);
    assert_eq!(unwritable.code, 19, "{}", unwritable.err);
    let Some(python) = peer("python3") else { return };
    if run(home.command(python).args(["-c", "import prometheus_client"]), "").code != 0 {
        return skipped("prometheus_client").unwrap_or_default();
    }
    let read = run(home.command(python).args(["-c", READ, "run.prom"]), "").text();
    let read: Value = serde_json::from_str(&read).unwrap();
    assert_eq!(
        (read["hullo_bench_offered_total"].as_f64(), read["hullo_bench_latency_seconds_count"].as_f64()),
        (Some(150.0), Some(150.0))
    );
}

#[test]
fn one_thing_may_go_to_stdout_and_the_summary_then_does_not() {
    let home = Home::new();
    let server = echo(&home, "tcp://127.0.0.1:0");
    for (flag, begins) in
        [("--csv", "second,seconds,offered"), ("--prometheus", "# HELP hullo_bench_"), ("--html", "<!doctype html>")]
    {
        let ended = bench(&home, &server.at[0], &["--rate", "500", flag, "-"]);
        assert_eq!(ended.code, 0, "{flag}: {}", ended.err);
        let out = String::from_utf8(ended.out).unwrap();
        assert!(out.starts_with(begins) && !out.contains("offered 150 "), "{flag}: {out}");
        assert!(
            ended.err.contains("offered 150 ") && ended.err.contains("its busiest thread"),
            "{flag}: {}",
            ended.err
        );
    }
    let words = ["--rate", "300", "--repeat", "1", "--vs", &server.at[0], "--html", "-"];
    let ended = bench(&home, &server.at[0], &words);
    assert!(ended.out.starts_with(b"<!doctype html>") && ended.err.contains("95 % confidence"), "{}", ended.err);
    let words = ["--search", "--slo", "p50<5s", "--rate", "100..100/1s", "--csv", "-"];
    let ended = bench(&home, &server.at[0], &words);
    assert!(ended.out.starts_with(b"second,") && ended.err.contains("held again"), "{}", ended.err);
    for words in [&["--csv", "-", "--html", "-"][..], &["--prometheus", "-", "--json"]] {
        let ended = bench(&home, &server.at[0], words);
        assert_eq!((ended.code, ended.out.len()), (2, 0), "{words:?}: {}", ended.err);
        assert!(ended.err.contains("both want stdout"), "{words:?}: {}", ended.err);
    }
    assert!(!std::path::Path::new(&home.path("-")).exists());
}

#[test]
fn where_nothing_was_answered_no_time_is_said() {
    let home = Home::new();
    let server = home.serve(&["httpbin", "http://127.0.0.1:0"], 1);
    let to = format!("{}/status/503", server.at[0].trim_end_matches('/'));
    let files = ["--csv", "run.csv", "--prometheus", "run.prom", "--html", "run.html"];
    let ended = bench(&home, &to, &[&["-n", "30", "--slo", "p99<1s", "--json"], &files[..]].concat());
    let report = valid("report", &ended);
    let times = &report["latency_ms"];
    for name in ["mean", "p50", "p90", "p95", "p99", "p999", "p9999", "max"] {
        assert_eq!(times[name], Value::Null, "{name}: {times}");
    }
    assert!(report["failed_ms"]["p99"].as_f64().unwrap() > 0.0, "what failed took its time");
    assert!(ended.err.contains("p99<1s was missed: nothing was answered"), "{}", ended.err);
    let read = |file: &str| String::from_utf8(home.read(file)).unwrap();
    assert!(read("run.csv").lines().skip(1).all(|row| row.ends_with(",,,,")), "{}", read("run.csv"));
    assert!(
        !read("run.prom").contains("bench_latency_") && read("run.prom").contains("bench_failed_latency_seconds_sum")
    );
    let page = read("run.html");
    let (said, _) = page.split_once("<script").unwrap();
    let is_nought = |time: &&str| said.contains(&format!(">{time}<")) || said.contains(&format!(" {time} "));
    assert_eq!(["0 ms", "0 ns"].iter().find(|time| is_nought(time)), None, "{said}");
    assert!(said.contains("None of 30 requests came to anything"), "{said}");
    bench(&home, &to, &["-n", "30", "--csv", "run.hgrm"]);
    assert!(read("run.hgrm").contains("#[Mean    =          nan,"), "{}", read("run.hgrm"));
    home.file("a.json", &ended.out);
    let text = home.run(&["bench", "--compare", "a.json", "a.json"], "").text();
    assert!(text.contains("not answered        100 %        100 %") && !text.contains("p50"), "{text}");
}

/// Reads metrics as Prometheus' own library does.
const READ: &str = "
import json, sys
from prometheus_client.parser import text_string_to_metric_families as read
families = list(read(open(sys.argv[1]).read()))
assert all(family.documentation and family.type != 'unknown' for family in families), families
print(json.dumps({sample.name: sample.value for family in families for sample in family.samples}))
";
