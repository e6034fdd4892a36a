//! What Toxiproxy 2.12 answers, request for request: statuses, bodies and types as its own server was seen to give them.

use serde_json::{Value, json};

use crate::client::Api;

/// A request and what comes back. In the body, `PORT` stands for any port, and `…` at its end for anything.
struct Case(&'static str, &'static str, &'static str, u16, &'static str);

/// One after the other, to one server. Where an error begins with `bad request body: `, the rest is our own.
const CASES: &[Case] = &[
    Case("GET", "/proxies", "", 200, "{}"),
    Case("GET", "/version", "", 200, "{\"version\": \"2.12.0\"}\n"),
    // Proxies are made.
    Case("POST", "/proxies", "", 400, r#"{"error":"bad request body: EOF","status":400}"#),
    Case("POST", "/proxies", "{", 400, r#"{"error":"bad request body: unexpected EOF","status":400}"#),
    Case("POST", "/proxies", "[]", 400, r#"{"error":"bad request body: …"#),
    Case("POST", "/proxies", "null", 400, r#"{"error":"missing required field: name","status":400}"#),
    Case("POST", "/proxies", r#"{"name":5}"#, 400, r#"{"error":"bad request body: …"#),
    Case("POST", "/proxies", r#"{"name":""}"#, 400, r#"{"error":"missing required field: name","status":400}"#),
    Case("POST", "/proxies", r#"{"name":"a"}"#, 400, r#"{"error":"missing required field: upstream","status":400}"#),
    Case(
        "POST",
        "/proxies",
        r#"{"name":"a","listen":"localhost:0","upstream":"localhost:1"}"#,
        201,
        r#"{"name":"a","listen":"127.0.0.1:PORT","upstream":"localhost:1","enabled":true,"toxics":[]}"#,
    ),
    Case(
        "POST",
        "/proxies",
        r#"{"name":"a","listen":"localhost:0","upstream":"localhost:1"}"#,
        409,
        r#"{"error":"proxy already exists","status":409}"#,
    ),
    Case(
        "POST",
        "/proxies",
        r#"{"NAME":"off","Listen":"localhost:7","UPSTREAM":"localhost:1","Enabled":false} and more"#,
        201,
        r#"{"name":"off","listen":"localhost:7","upstream":"localhost:1","enabled":false,"toxics":[]}"#,
    ),
    Case(
        "POST",
        "/proxies",
        r#"{"name":"all","listen":"","upstream":"localhost:1"}"#,
        201,
        r#"{"name":"all","listen":"[::]:PORT","upstream":"localhost:1","enabled":true,"toxics":[]}"#,
    ),
    Case(
        "POST",
        "/proxies",
        r#"{"name":"bad","listen":"local373","upstream":"localhost:1"}"#,
        500,
        r#"{"error":"listen tcp: address local373: missing port in address","status":500}"#,
    ),
    Case(
        "POST",
        "/proxies",
        r#"{"name":"bad","listen":"203.0.113.7:0","upstream":"localhost:1"}"#,
        500,
        r#"{"error":"listen tcp 203.0.113.7:0: bind: cannot assign requested address","status":500}"#,
    ),
    Case("GET", "/proxies/bad", "", 404, r#"{"error":"proxy not found","status":404}"#),
    Case("DELETE", "/proxies/all", "", 204, ""),
    Case("DELETE", "/proxies/all", "", 404, r#"{"error":"proxy not found","status":404}"#),
    // They are changed.
    Case("POST", "/proxies/a", "", 400, r#"{"error":"bad request body: EOF","status":400}"#),
    Case("POST", "/proxies/none", "{", 404, r#"{"error":"proxy not found","status":404}"#),
    Case(
        "PATCH",
        "/proxies/a",
        r#"{"enabled":false,"name":"other"}"#,
        200,
        r#"{"name":"a","listen":"127.0.0.1:PORT","upstream":"localhost:1","enabled":false,"toxics":[]}"#,
    ),
    Case(
        "POST",
        "/proxies/a",
        r#"{"enabled":true,"upstream":"localhost:2"}"#,
        200,
        r#"{"name":"a","listen":"127.0.0.1:PORT","upstream":"localhost:2","enabled":true,"toxics":[]}"#,
    ),
    Case(
        "POST",
        "/proxies/a",
        r#"{"listen":"local373"}"#,
        500,
        r#"{"error":"address local373: missing port in address","status":500}"#,
    ),
    Case(
        "POST",
        "/proxies/off",
        r#"{"listen":"localhost:0","enabled":true}"#,
        200,
        r#"{"name":"off","listen":"127.0.0.1:PORT","upstream":"localhost:1","enabled":true,"toxics":[]}"#,
    ),
    // Paths and methods.
    Case("GET", "/", "", 404, "404 page not found\n"),
    Case("GET", "/proxies/", "", 404, "404 page not found\n"),
    Case("GET", "/proxies/a/", "", 404, "404 page not found\n"),
    Case("GET", "/proxies/a/toxics/", "", 404, "404 page not found\n"),
    Case("PUT", "/proxies", "", 405, ""),
    Case("HEAD", "/proxies", "", 405, ""),
    Case("OPTIONS", "/proxies/a", "", 405, ""),
    Case("GET", "/reset", "", 405, ""),
    Case("GET", "//proxies", "", 301, ""),
    // Toxics.
    Case("GET", "/proxies/a/toxics", "", 200, "[]"),
    Case("GET", "/proxies/none/toxics", "", 404, r#"{"error":"proxy not found","status":404}"#),
    Case("POST", "/proxies/none/toxics", "{", 404, r#"{"error":"proxy not found","status":404}"#),
    Case("POST", "/proxies/a/toxics", "", 400, r#"{"error":"bad request body: EOF","status":400}"#),
    Case("POST", "/proxies/a/toxics", "{}", 400, r#"{"error":"invalid toxic type","status":400}"#),
    Case("POST", "/proxies/a/toxics", "null", 400, r#"{"error":"invalid toxic type","status":400}"#),
    Case(
        "POST",
        "/proxies/a/toxics",
        r#"{"type":"latency"}"#,
        200,
        r#"{"attributes":{"latency":0,"jitter":0},"name":"latency_downstream","type":"latency","stream":"downstream","toxicity":1}"#,
    ),
    Case(
        "POST",
        "/proxies/a/toxics",
        r#"{"type":"latency","stream":"Upstream","toxicity":0.2,"attributes":{"Latency":100,"jitter":10,"other":[]}}"#,
        200,
        r#"{"attributes":{"latency":100,"jitter":10},"name":"latency_Upstream","type":"latency","stream":"Upstream","toxicity":0.2}"#,
    ),
    Case(
        "POST",
        "/proxies/a/toxics",
        r#"{"type":"nothing","stream":"walrustream"}"#,
        400,
        r#"{"error":"stream was invalid, can be either upstream or downstream","status":400}"#,
    ),
    Case(
        "POST",
        "/proxies/a/toxics",
        r#"{"type":"nothing","name":"latency_downstream"}"#,
        400,
        r#"{"error":"invalid toxic type","status":400}"#,
    ),
    Case(
        "POST",
        "/proxies/a/toxics",
        r#"{"type":"noop","name":"latency_downstream"}"#,
        409,
        r#"{"error":"toxic already exists","status":409}"#,
    ),
    Case(
        "POST",
        "/proxies/a/toxics",
        r#"{"type":"latency","name":"x","attributes":{"latency":1.5}}"#,
        400,
        r#"{"error":"bad request body: …"#,
    ),
    Case("GET", "/proxies/a/toxics/x", "", 404, r#"{"error":"toxic not found","status":404}"#),
    Case("POST", "/proxies/a/toxics/x", "{", 404, r#"{"error":"toxic not found","status":404}"#),
    Case(
        "POST",
        "/proxies/a/toxics/latency_Upstream",
        "{",
        400,
        r#"{"error":"bad request body: unexpected EOF","status":400}"#,
    ),
    Case(
        "PATCH",
        "/proxies/a/toxics/latency_Upstream",
        r#"{"attributes":{"jitter":"x","latency":5},"toxicity":1}"#,
        400,
        r#"{"error":"bad request body: …"#,
    ),
    Case(
        "PATCH",
        "/proxies/a/toxics/latency_Upstream",
        r#"{"attributes":{"latency":1000},"toxicity":0.1,"name":"z","type":"noop","stream":"downstream"}"#,
        200,
        r#"{"attributes":{"latency":1000,"jitter":10},"name":"latency_Upstream","type":"latency","stream":"Upstream","toxicity":0.1}"#,
    ),
    Case("PUT", "/proxies/a/toxics/latency_Upstream", "{}", 405, ""),
    Case("DELETE", "/proxies/a/toxics/latency_Upstream", "", 204, ""),
    Case("DELETE", "/proxies/a/toxics/latency_Upstream", "", 404, r#"{"error":"toxic not found","status":404}"#),
    Case(
        "POST",
        "/proxies/a/toxics",
        r#"{"type":"slicer","stream":"upstream","toxicity":-1,"attributes":null}"#,
        200,
        r#"{"attributes":{"average_size":0,"size_variation":0,"delay":0},"name":"slicer_upstream","type":"slicer","stream":"upstream","toxicity":-1}"#,
    ),
    Case(
        "GET",
        "/proxies/a",
        "",
        200,
        r#"{"name":"a","listen":"127.0.0.1:PORT","upstream":"localhost:2","enabled":true,"toxics":[{"attributes":{"average_size":0,"size_variation":0,"delay":0},"name":"slicer_upstream","type":"slicer","stream":"upstream","toxicity":-1},{"attributes":{"latency":0,"jitter":0},"name":"latency_downstream","type":"latency","stream":"downstream","toxicity":1}]}"#,
    ),
    Case("POST", "/reset", "whatever", 204, ""),
    Case("GET", "/proxies/a/toxics", "", 200, "[]"),
    Case("DELETE", "/proxies/off", "", 204, ""),
    Case("DELETE", "/proxies/a", "", 204, ""),
    // Many at once.
    Case("POST", "/populate", "", 400, r#"{"error":"bad request body: EOF","status":400,"proxies":null}"#),
    Case("POST", "/populate", "[]", 201, r#"{"proxies":null}"#),
    Case("POST", "/populate", "{}", 400, r#"{"error":"bad request body: …"#),
    Case(
        "POST",
        "/populate",
        r#"[{"name":"p1","listen":"localhost:0","upstream":"localhost:1"},{"name":""}]"#,
        400,
        r#"{"error":"missing required field: name at proxy 2","status":400,"proxies":null}"#,
    ),
    Case("GET", "/proxies", "", 200, "{}"),
    Case(
        "POST",
        "/populate",
        r#"[{"name":"p1","listen":"localhost:0","upstream":"localhost:1"},{"name":"p2","listen":"local373","upstream":"localhost:2"},{"name":"p3","listen":"localhost:0","upstream":"localhost:2"}]"#,
        500,
        r#"{"error":"listen tcp: address local373: missing port in address","status":500,"proxies":[{"name":"p1","listen":"127.0.0.1:PORT","upstream":"localhost:1","enabled":true,"toxics":[]}]}"#,
    ),
    Case("GET", "/proxies/p3", "", 404, r#"{"error":"proxy not found","status":404}"#),
    Case(
        "POST",
        "/populate",
        r#"[{"name":"p4","listen":"127.0.0.1:7","upstream":"localhost:3","enabled":false}]"#,
        201,
        r#"{"proxies":[{"name":"p4","listen":"127.0.0.1:7","upstream":"localhost:3","enabled":false,"toxics":[]}]}"#,
    ),
    // One that is there as it is wanted stays as it is, off too.
    Case(
        "POST",
        "/populate",
        r#"[{"name":"p4","listen":"127.0.0.1:7","upstream":"localhost:3","enabled":true}]"#,
        201,
        r#"{"proxies":[{"name":"p4","listen":"127.0.0.1:7","upstream":"localhost:3","enabled":false,"toxics":[]}]}"#,
    ),
    // Beyond Toxiproxy.
    Case(
        "POST",
        "/proxies",
        r#"{"name":"sl/ash","listen":"ws://127.0.0.1:0","upstream":"tls://localhost:2?sni=a"}"#,
        201,
        r#"{"name":"sl/ash","listen":"ws://127.0.0.1:PORT","upstream":"tls://localhost:2?sni=a","enabled":true,"toxics":[]}"#,
    ),
    Case(
        "POST",
        "/proxies/sl%2Fash/toxics",
        r#"{"type":"fault","attributes":{"fault":"corrupt:0.5,way=up,p=0.25"}}"#,
        200,
        r#"{"attributes":{"fault":"corrupt:0.5,way=up,p=0.25"},"name":"fault_downstream","type":"fault","stream":"upstream","toxicity":0.25}"#,
    ),
    Case(
        "POST",
        "/proxies/sl%2Fash/toxics",
        r#"{"type":"fault","name":"f","attributes":{"fault":"corupt"}}"#,
        400,
        r#"{"error":"no fault is called 'corupt'","status":400}"#,
    ),
    Case("POST", "/proxies", r#"{"name":"e","upstream":"exec:id"}"#, 400, r#"{"error":"…"#),
    Case("POST", "/proxies", r#"{"name":"e","upstream":"-"}"#, 400, r#"{"error":"…"#),
    Case("POST", "/proxies", r#"{"name":"e","listen":"stdio:","upstream":"a:1"}"#, 400, r#"{"error":"…"#),
];

#[test]
fn every_request_is_answered_as_toxiproxy_does() {
    let api = Api::new();
    let mut client = api.client();
    for Case(method, path, body, status, wanted) in CASES {
        let case = format!("{method} {path} {body}");
        let answer = client.call(method, path, body);
        assert_eq!(answer.status, *status, "{case}: {answer:?}");
        let came = without_ports(&answer.body);
        match wanted.split_once('…') {
            Some((begins, _)) => assert!(came.starts_with(begins), "{case}: {came}"),
            None => assert_eq!(came.trim_end(), wanted.trim_end(), "{case}"),
        }
        let kind = if answer.body.is_empty() {
            None
        } else if *status < 300 || answer.body.contains("\"proxies\":") {
            Some("application/json")
        } else {
            Some("text/plain; charset=utf-8")
        };
        let told = answer.head.lines().find_map(|line| line.strip_prefix("content-type: "));
        let same = told == kind || told == Some("application/json;charset=utf-8");
        assert!(same, "{case}: {told:?}");
        let routed = !matches!(status, 301 | 405) && !answer.body.starts_with("404 page");
        assert_eq!(answer.head.contains("x-toxiproxy-request-id: "), routed, "{case}");
    }
}

/// Ports that the system has chosen: those above all that the cases have.
fn without_ports(text: &str) -> String {
    let mut parts = text.split(':');
    let mut all = parts.next().unwrap().to_owned();
    for part in parts {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let is_chosen = part[..digits].parse::<u16>().is_ok_and(|port| port > 1024);
        all = format!("{all}:{}", if is_chosen { format!("PORT{}", &part[digits..]) } else { part.to_owned() });
    }
    all
}

#[test]
fn browsers_are_refused() {
    let api = Api::new();
    let mut client = api.client();
    client.agent = "Mozilla/5.0 (X11; Linux x86_64)";
    for (method, path) in [("GET", "/proxies"), ("POST", "/reset"), ("GET", "/metrics"), ("DELETE", "/proxies/a")] {
        let answer = client.call(method, path, "");
        assert_eq!((answer.status, answer.body.as_str()), (403, "User agent not allowed\n"), "{method} {path}");
    }
    client.agent = "Wget/2.1 Mozilla/5.0";
    assert_eq!(client.call("GET", "/proxies", "").status, 200);
}

#[test]
fn every_toxic_keeps_its_attributes() {
    let api = Api::new();
    api.proxy("a");
    let mut client = api.client();
    for (kind, attributes) in [
        ("latency", json!({ "latency": 5, "jitter": 2 })),
        ("bandwidth", json!({ "rate": 10 })),
        ("slow_close", json!({ "delay": 5 })),
        ("timeout", json!({ "timeout": 5 })),
        ("reset_peer", json!({ "timeout": 7 })),
        ("slicer", json!({ "average_size": 10, "size_variation": 3, "delay": 5 })),
        ("limit_data", json!({ "bytes": 100 })),
        ("packet_loss", json!({ "loss_rate": 0.25, "correlation": 1 })),
        ("noop", json!({})),
    ] {
        let zeros: serde_json::Map<_, _> =
            attributes.as_object().unwrap().keys().map(|name| (name.clone(), json!(0))).collect();
        let made = client.done("POST", "/proxies/a/toxics", &json!({ "type": kind }).to_string());
        assert_eq!(made["attributes"], Value::Object(zeros), "{kind}: nothing is said, and everything is zero");
        let path = format!("/proxies/a/toxics/{kind}_downstream");
        client.done("POST", &path, &json!({ "attributes": attributes }).to_string());
        assert_eq!(client.done("GET", &path, "")["attributes"], attributes, "{kind}");
        // Numbers that nobody can mean are kept, and do no harm.
        let huge = attributes.as_object().unwrap().keys().map(|name| (name.clone(), json!(i64::MAX)));
        client.done("POST", &path, &json!({ "attributes": Value::Object(huge.collect()) }).to_string());
        client.done("DELETE", &path, "");
    }
}
