#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! What a server's operator sees of it: the access log, the metrics, and that nothing of that can stop the server.

mod common;

use common::{Home, Server, peer, run};
use serde_json::Value;

fn get(home: &Home, url: &str, items: &[&str]) -> String {
    home.run(&[&["request", url], items].concat(), "").text()
}

fn at(server: &Server, number: usize) -> String {
    server.at[number].trim_end_matches('/').to_owned()
}

#[test]
fn the_log_has_a_line_for_each_request_in_the_form_that_is_asked_for() {
    let home = Home::new();
    for (form, wanted) in [
        ("common", "] \"GET /a?b=c HTTP/1.1\" 200 6\n"),
        ("combined", "] \"GET /a?b=c HTTP/1.1\" 200 6 \"-\" \"my \\\"agent\\\"\"\n"),
    ] {
        let file = home.path(form);
        let server = home.serve(&["echo", "http://:0", "--access-log", form, "--access-log-file", &file], 1);
        get(&home, &format!("{}/a?b=c", at(&server, 0)), &["User-Agent:my \"agent\""]);
        server.program.signal(rustix::process::Signal::TERM);
        assert_eq!(server.program.ended().code, 0);
        let log = String::from_utf8(home.read(form)).unwrap();
        assert!(log.starts_with("127.0.0.1 - - [") && log.ends_with(wanted), "{log}");
    }
}

#[test]
fn a_line_of_json_has_the_name_that_the_client_hears() {
    let home = Home::new();
    let file = home.path("log");
    let server = home.serve(&["echo", "http://:0", "--access-log", "json", "--access-log-file", &file], 1);
    let asked = home.run(&["request", "-v", &at(&server, 0), "X-Request-Id:mine-1"], "");
    assert!(asked.err.to_lowercase().contains("x-request-id: mine-1"), "{}", asked.err);
    server.program.signal(rustix::process::Signal::TERM);
    assert_eq!(server.program.ended().code, 0);
    let line: Value = serde_json::from_slice(&home.read("log")).unwrap();
    assert_eq!((&line["id"], &line["status"], &line["sent"]), (&"mine-1".into(), &200.into(), &6.into()), "{line}");
    assert!(line["ms"].as_f64().unwrap() < 10_000.0 && line["time"].as_str().unwrap().ends_with('Z'), "{line}");
}

#[test]
fn metrics_count_what_was_asked_and_not_who_reads_them() {
    let home = Home::new();
    let server = home.serve(&["echo", "http://:0", "tcp://:0", "--metrics", "http://127.0.0.1:0"], 3);
    // The metrics listen first.
    let (metrics, http, tcp) = (at(&server, 0), at(&server, 1), at(&server, 2));
    get(&home, &http, &[]);
    get(&home, &http, &["a=b"]);
    home.run(&["ask", &tcp, "hullo"], "").good();
    for _ in 0..2 {
        let page = get(&home, &format!("{metrics}/metrics"), &[]);
        for line in [
            "hullo_http_requests_total{scheme=\"http\",method=\"GET\",status=\"200\"} 1\n",
            "hullo_http_requests_total{scheme=\"http\",method=\"POST\",status=\"200\"} 1\n",
            "hullo_conversations_total{scheme=\"tcp\"} 1\n",
            "hullo_http_request_duration_seconds_count{scheme=\"http\"} 2\n",
        ] {
            assert!(page.contains(line), "no {line} in {page}");
        }
        assert!(page.ends_with("# EOF\n"), "{page}");
    }
}

/// Nobody who reads what is said can stop the server by not reading it.
#[test]
fn a_reader_that_has_gone_stops_nothing() {
    let home = Home::new();
    let hullo = env!("CARGO_BIN_EXE_hullo");
    let script = format!(
        "port=$(python3 -c 'import socket; s=socket.socket(); s.bind((\"127.0.0.1\", 0)); print(s.getsockname()[1])')
         {hullo} serve echo http://127.0.0.1:$port -v --access-log common 2>/dev/full & server=$!
         {hullo} check --wait 10s http://127.0.0.1:$port >/dev/null 2>&1
         for i in 1 2 3; do {hullo} request -v http://127.0.0.1:$port 2>/dev/full; done
         kill $server; wait $server; echo $?"
    );
    let ended = run(home.command("bash").args(["-c", &script]), "");
    assert_eq!(ended.text(), "hullo\nhullo\nhullo\n0\n");
}

/// A page of another site may ask where the address says so, and is then told that it may read the answer.
#[test]
fn the_option_origin_lets_a_page_read_the_answer() {
    let Some(curl) = peer("curl") else { return };
    let home = Home::new();
    let server = home.serve(&["json", "http://:0?origin=https://page.example"], 1);
    let url = server.at[0].split('?').next().unwrap().to_owned();
    let page = |origin: &str, more: &[&str]| {
        let origin = format!("Origin: {origin}");
        run(home.command(curl).args(["-si", "-m8", "-H", &origin]).args(more).arg(&url), "").text()
    };
    let preflight =
        ["-X", "OPTIONS", "-H", "Access-Control-Request-Method: POST", "-H", "Access-Control-Request-Headers: x-a"];
    let may = page("https://page.example", &preflight);
    for header in ["204 ", "access-control-allow-methods: POST\r\n", "access-control-allow-headers: x-a\r\n"] {
        assert!(may.contains(header), "no {header} in {may}");
    }
    let answer = page("https://page.example", &["-d", "1"]);
    assert!(
        answer.contains("200 OK") && answer.contains("access-control-allow-origin: https://page.example\r\n"),
        "{answer}"
    );
    let refused = page("https://other.example", &["-d", "1"]);
    assert!(refused.contains("403 ") && !refused.contains("access-control-allow-origin"), "{refused}");
}
