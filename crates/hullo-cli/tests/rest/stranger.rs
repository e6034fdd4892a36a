//! Somebody who has read nothing but the description: schemathesis, which asks for all that it allows and forbids.

use std::time::Duration;

use crate::{
    Rest,
    common::{Program, run, skipped},
};

/// How long it may take.
const LONG: Duration = Duration::from_secs(120);

#[test]
fn schemathesis_finds_nothing() {
    let rest = Rest::new();
    let probe = run(rest.home.command("python3").args(["-c", "import schemathesis"]), "");
    if probe.code != 0 {
        return skipped("schemathesis").unwrap_or_default();
    }
    let mut command = rest.home.command("python3");
    let url = format!("{}/openapi.json", rest.server.at[0].trim_end_matches('/'));
    command.args(["-m", "schemathesis.cli", "run", &url, "--checks", "all", "--max-examples", "25", "--seed", "1"]);
    command.args(["--workers", "1", "--continue-on-failure", "--no-color"]);
    let ended = Program::start(&mut command).ended_within(LONG);
    let said = String::from_utf8_lossy(&ended.out).into_owned();
    assert_eq!(ended.code, 0, "{said}{}", ended.err);
    assert!(said.contains("Tested: 13"), "every operation is tested: {said}");
}
