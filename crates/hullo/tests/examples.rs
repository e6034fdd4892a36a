//! Every example is run, and must say what it says it does.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::process::Command;

/// Each example, and a line of its output.
const EXAMPLES: &[(&str, &str)] = &[
    ("echo", "Hello, server"),
    ("greeting", "Thank you for connecting"),
    ("http_hello", "Hello, World!"),
    ("json", r#"{"status":"success","message":"received","data":{"name":"Ada","age":36}}"#),
    ("many_clients", "100 clients, 4950 in all"),
    ("temperature", "36.6 C is 97.9 F"),
    ("unix_socket", "IS ANYBODY THERE?"),
];

#[test]
fn every_example_runs() {
    for (name, line) in EXAMPLES {
        let run = Command::new(env!("CARGO"))
            .args(["run", "--quiet", "--package", "hullo", "--example", name])
            .output()
            .unwrap();
        let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        assert!(run.status.success() && out.lines().any(|said| said == *line), "{name}: {out}{err}");
    }
}

#[test]
fn every_example_is_in_the_list() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    for file in std::fs::read_dir(folder).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(EXAMPLES.iter().any(|(known, _)| name == format!("{known}.rs")), "{name} is not run");
    }
}
