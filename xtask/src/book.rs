//! `docs/reference.md`, and the tables of the README: written from what the command says of itself, so that they cannot
//! differ from the code.

use std::{fs, path::Path, process::Command};

use crate::run::{Outcome, Words, cargo, failed, output, root, step, target};

const REFERENCE: &str = "docs/reference.md";
const README: &str = "README.md";

/// A block of the help: its heading begins like that, and it becomes a table of that title and with those columns.
struct Block {
    heading: &'static str,
    title: &'static str,
    columns: &'static [&'static str],
}

const BLOCKS: &[Block] = &[
    Block { heading: "Services", title: "Services", columns: &["service", "what it does"] },
    Block { heading: "Transports", title: "Transports", columns: &["an address", "what it carries"] },
    Block { heading: "Options of an address", title: "Options of an address", columns: &["option", "what it does"] },
    Block { heading: "Framings", title: "Framings", columns: &["framing", "where a message ends"] },
    Block { heading: "Exit status", title: "Exit statuses", columns: &["status", "kind", "meaning"] },
];

const VERBS: &[&str] = &["serve", "connect", "ask", "request", "check", "completions", "man"];

pub(crate) fn run(words: &mut Words) -> Outcome {
    let check = words.flag("--check");
    words.end()?;
    step(&mut cargo(&["build", "--quiet", "--package", "hullo-cli"]))?;
    let help = help(&[])?;
    write(REFERENCE, &reference(&help)?, check)?;
    write(README, &filled(&read(README)?, &help)?, check)
}

/// Writes the file, or with `check` says whether it is as it would be written.
fn write(name: &str, text: &str, check: bool) -> Outcome {
    let path = root().join(name);
    if fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    if check {
        return Err(failed(format!("{name} is not what the command says of itself: run cargo xtask book")));
    }
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))
        .and_then(|()| fs::write(&path, text))
        .map_err(|error| failed(format!("cannot write {name}: {error}")))
}

fn read(name: &str) -> Outcome<String> {
    fs::read_to_string(root().join(name)).map_err(|error| failed(format!("cannot read {name}: {error}")))
}

/// The help of the command, or of a verb, as it is in a wide terminal.
fn help(verb: &[&str]) -> Outcome<String> {
    let mut command = Command::new(target().join("debug/hullo"));
    output(command.args(verb).arg("--help").env("COLUMNS", "110").env("NO_COLOR", "1"))
}

fn reference(help: &str) -> Outcome<String> {
    let mut text = "# Reference\n\nThis page is written by `cargo xtask book` from the command's own help. To change it, change the tables in the\ncode.\n".to_owned();
    for block in BLOCKS {
        text += &format!("\n## {}\n\n{}", block.title, table(block, help)?);
    }
    text += "\n## Verbs\n";
    for verb in VERBS {
        text += &format!("\n### hullo {verb}\n\n```text\n{}```\n", brief(&self::help(&[verb])?));
    }
    Ok(text)
}

/// Replaces what stands between `<!-- book: TITLE -->` and `<!-- book -->`.
fn filled(page: &str, help: &str) -> Outcome<String> {
    let mut text = String::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once("<!-- book: ") {
        let Some((title, after)) = after.split_once(" -->") else {
            return Err(failed("a mark of the book has no end"));
        };
        let Some((_, after)) = after.split_once("<!-- book -->") else {
            return Err(failed(format!("the part '{title}' of the book has no end")));
        };
        let Some(block) = BLOCKS.iter().find(|block| block.title == title) else {
            return Err(failed(format!("the book has no part '{title}'")));
        };
        text += &format!("{before}<!-- book: {title} -->\n\n{}\n<!-- book -->", table(block, help)?);
        rest = after;
    }
    Ok(text + rest)
}

/// A block of the help as a table.
fn table(block: &Block, help: &str) -> Outcome<String> {
    let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = row(&block.columns.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    text += &row(&block.columns.iter().map(|_| "---".to_owned()).collect::<Vec<_>>());
    let lines = lines(block.heading, help);
    if lines.is_empty() {
        return Err(failed(format!("the help has no part '{}'", block.heading)));
    }
    for line in lines {
        text += &row(&cells(line, block.columns.len()));
    }
    Ok(text)
}

/// The indented lines below a heading.
fn lines<'a>(heading: &str, help: &'a str) -> Vec<&'a str> {
    let below = help.lines().skip_while(|line| !line.starts_with(heading)).skip(1);
    below.take_while(|line| line.starts_with("  ")).collect()
}

/// A line's cells, which two or more spaces part. The first is code; a bar in the others must not end them.
fn cells(line: &str, count: usize) -> Vec<String> {
    let mut rest = line.trim();
    let mut cells = Vec::new();
    while cells.len() + 1 < count {
        let (cell, after) = rest.split_once("  ").unwrap_or((rest, ""));
        cells.push(cell.trim().to_owned());
        rest = after.trim_start();
    }
    cells.push(rest.replace('|', "\\|"));
    if let Some(first) = cells.first_mut() {
        *first = format!("`{first}`");
    }
    cells
}

/// The help of a verb without the blocks that have a table of their own.
fn brief(help: &str) -> String {
    let is_block = |part: &&str| BLOCKS.iter().any(|block| part.starts_with(block.heading));
    let parts: Vec<_> = help.trim().split("\n\n").filter(|part| !is_block(part)).collect();
    parts.join("\n\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: &str = "Talk\n\nServices:\n  echo     gives back | what comes\n  greet    says hello\n\nExit status:\n    0  done         It is done.\n   17  too-large    Too large.\n";

    #[test]
    fn a_block_becomes_a_table() {
        let services = table(&BLOCKS[0], HELP).ok();
        let wanted = "| service | what it does |\n| --- | --- |\n| `echo` | gives back \\| what comes |\n| `greet` | says hello |\n";
        assert_eq!(services.as_deref(), Some(wanted));
        assert_eq!(cells("   17  too-large    Too large.", 3), ["`17`", "too-large", "Too large."]);
        assert!(table(&BLOCKS[1], HELP).is_err());
    }

    #[test]
    fn marked_parts_are_filled_in_and_stay_the_same() {
        let page = "a\n<!-- book: Services -->old<!-- book -->\nb";
        let once = filled(page, HELP).ok();
        assert!(
            once.as_deref()
                .is_some_and(|once| once.contains("`echo`") && !once.contains("old") && once.ends_with("\nb"))
        );
        assert_eq!(once.as_deref().and_then(|once| filled(once, HELP).ok()), once);
        assert!(filled("<!-- book: Nothing --><!-- book -->", HELP).is_err());
    }

    #[test]
    fn a_verb_does_not_repeat_the_tables() {
        assert_eq!(brief(HELP), "Talk\n");
    }

    #[test]
    fn the_readme_asks_for_the_rust_that_is_needed() {
        let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
        let version = manifest.split("rust-version = \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        let readme = fs::read_to_string(root().join(README)).unwrap();
        assert!(readme.contains(&format!("[Rust](https://rustup.rs) {version} or later")), "{version}");
    }
}
