#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! `hullo serve` with nothing after it: every service, a table of what to type, and a start page.

mod common;

use std::collections::BTreeSet;

use common::{Home, Server, at_once};
use serde_json::Value;

const SERVICES: &[&str] = &["chargen", "chat", "convert", "discard", "echo", "exec", "greet", "json"];

/// Those that answer HTTP and nothing else.
const WEB: &[&str] = &["httpbin", "rest"];

/// All addresses of the playground: four for each service, or one, and the start page.
const ADDRESSES: usize = SERVICES.len() * 4 + WEB.len() + 1;

fn all_services() -> impl Iterator<Item = &'static &'static str> {
    SERVICES.iter().chain(WEB)
}

fn open(home: &Home) -> Server {
    let server = home.serve(&[], ADDRESSES);
    server.program.told("Ctrl-C");
    server
}

/// The address and the service of each line.
fn lines(server: &Server) -> Vec<(String, String)> {
    let said = server.program.so_far();
    let line = |line: &str| {
        let (address, service) = line.strip_prefix("listening on ")?.rsplit_once(" (")?;
        Some((address.to_owned(), service.trim_end_matches(')').to_owned()))
    };
    said.lines().filter_map(line).collect()
}

/// What a service answers when it is asked its own sample.
fn answered(home: &Home, address: &str, service: &str) {
    let asked = |message: &str| home.run(&["ask", address, message], "").text();
    let good = match service {
        "echo" => asked("hello") == "hello\n",
        "greet" => asked("").starts_with("Hello, World!"),
        "json" => asked("[1]").contains("success"),
        // Over HTTP what is asked is a page.
        "chat" if address.starts_with("http") => asked_page(home, address).contains("<!doctype html>"),
        "chat" => asked("hello").contains("guest-"),
        "convert" => asked("36.6").contains("97.88"),
        "exec" => asked("hello\n").contains("HELLO!"),
        "httpbin" => asked_page(home, &format!("{}/get", address.trim_end_matches('/'))).contains("\"origin\""),
        "rest" => asked_page(home, &format!("{}/people", address.trim_end_matches('/'))) == "[]\n",
        "start page" => asked_page(home, address).contains("<!doctype html>"),
        // What never ends, or says nothing, is not asked but checked.
        _ if address.starts_with("udp") || address.starts_with("http") && service == "chargen" => true,
        _ => home.run(&["check", address], "").text().contains("is up"),
    };
    assert!(good, "{service} on {address}");
}

fn asked_page(home: &Home, address: &str) -> String {
    home.run(&["request", address], "").text()
}

#[test]
fn every_address_answers_twice_at_once() {
    // The first has the easy ports, unless somebody else does; the second must find free ones.
    let homes = [Home::new(), Home::new()];
    let servers = [open(&homes[0]), open(&homes[1])];
    let ports: BTreeSet<(bool, u16)> = servers
        .iter()
        .flat_map(|server| (0..ADDRESSES).map(move |at| (server.at[at].starts_with("udp"), server.port(at))))
        .collect();
    assert_eq!(ports.len(), 2 * ADDRESSES, "no port is told twice");
    let tables: Vec<_> = homes.iter().zip(servers.iter().map(lines)).collect();
    at_once(&tables, |(home, all)| {
        assert_eq!(all.len(), ADDRESSES);
        for (address, service) in all {
            answered(home, address, service);
        }
        let served: BTreeSet<&str> = all.iter().map(|(_, service)| &**service).collect();
        assert!(all_services().all(|service| served.contains(service)), "{served:?}");
    });
    for server in servers {
        assert!(server.at.iter().all(|at| at.contains("://127.0.0.1:")), "on loopback alone: {:?}", server.at);
        let ended = server.interrupted();
        assert_eq!((ended.code, ended.out), (0, Vec::new()), "{}", ended.err);
        assert!(!ended.err.contains("cut off"), "{}", ended.err);
    }
}

/// Every row works as it stands, in a shell that knows hullo, and fits a terminal of 80 columns.
#[test]
fn what_the_table_says_can_be_typed() {
    let home = Home::new();
    let server = open(&home);
    let said = server.program.so_far();
    let (_, table) = said.split_once("what to type at it\n").unwrap();
    let rows: Vec<String> = table.lines().take_while(|row| !row.is_empty()).map(str::to_owned).collect();
    for service in all_services() {
        assert!(rows.iter().any(|row| row.trim_start().starts_with(service)), "no {service} in {table}");
    }
    assert_eq!(rows.len(), 3 * SERVICES.len() + 2 * WEB.len(), "{table}");
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_hullo")).parent().unwrap().display();
    at_once(&rows, |row| {
        assert!(row.len() <= 80, "too wide: {row}");
        let typed = &row[13..];
        let program = [("nc ", "nc.openbsd"), ("curl ", "curl")].into_iter().find(|(word, _)| typed.contains(word));
        if program.is_some_and(|(_, program)| common::peer(program).is_none()) {
            return;
        }
        let mut shell = home.command("sh");
        shell.args(["-c", &format!("PATH={folder}:$PATH; {typed}")]);
        let ended = common::run(&mut shell, "");
        assert_eq!((ended.code, ended.out.is_empty()), (0, row.contains("nobody will hear")), "{typed}: {}", ended.err);
    });
}

#[test]
fn the_start_page_is_whole_and_bounded() {
    let home = Home::new();
    let server = open(&home);
    let at = server.at.last().unwrap();
    let page = asked_page(&home, at);
    let data = embedded(&page);
    let services = data["services"].as_array().unwrap();
    let names: Vec<_> = services.iter().map(|service| service["name"].as_str().unwrap()).collect();
    assert!(all_services().all(|name| names.contains(name)), "{names:?}");
    for service in services {
        let (there, addresses) = if WEB.contains(&service["name"].as_str().unwrap()) { ("page", 1) } else { ("ws", 4) };
        let there = service[there].as_str().unwrap().trim_end_matches('/');
        assert!(server.at.iter().any(|at| at.trim_end_matches('/') == there), "nobody listens on {there}");
        assert!(!service["try"].as_array().unwrap().is_empty());
        assert_eq!(service["addresses"].as_array().unwrap().len(), addresses);
    }
    assert!(!page.contains("__DATA__"));
    let heads = home.run(&["request", "-v", at], "").err.to_lowercase();
    let policy =
        heads.lines().find(|line| line.contains("content-security-policy: ")).unwrap_or_else(|| panic!("{heads}"));
    for part in ["default-src 'none'", "script-src", "style-src", "connect-src", "ws:"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe-eval") && !policy.contains('*'), "{policy}");
    assert!(
        heads.contains("x-content-type-options: nosniff") && heads.contains("content-type: text/html; charset=utf-8"),
        "{heads}"
    );
    // It loads nothing from elsewhere, which the policy would forbid.
    assert!(!page.contains("src=\"http") && !page.contains("href=\"http"), "it loads from elsewhere");
    for (method, path, code) in [("GET", "/other", 4), ("POST", "/", 4), ("HEAD", "/", 0)] {
        let ended =
            home.run(&["request", "--check-status", method, &format!("{}{path}", at.trim_end_matches('/'))], "");
        assert_eq!(ended.code, code, "{method} {path}: {}", ended.err);
    }
}

/// The JSON in the page.
fn embedded(page: &str) -> Value {
    let (_, rest) = page.split_once("application/json").unwrap_or_else(|| panic!("no JSON in the page"));
    let (_, rest) = rest.split_once('>').unwrap();
    let (json, _) = rest.split_once("</script>").unwrap();
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

#[test]
fn with_json_there_is_no_table() {
    let home = Home::new();
    let server = Server::start(&mut home.hullo(&["--json", "serve"]), ADDRESSES);
    let ended = server.interrupted();
    assert_eq!((ended.code, ended.out.len()), (0, 0), "{}", ended.err);
    assert_eq!(ended.objects().iter().filter(|object| object["event"] == "listening").count(), ADDRESSES);
}
