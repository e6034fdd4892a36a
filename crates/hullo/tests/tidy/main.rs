#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! The invariants of ARCHITECTURE.md, held by reading the source.
//!
//! Each test collects all that is wrong before it fails, with file and line. What is allowed beyond a rule stands beside
//! it in a table, with the reason.

mod source;

use std::{collections::BTreeSet, fmt::Display, fs};

use source::{Source, files, has_word, imports, leads_to, root, sources};

/// The longest file that one still reads in one go.
const LONG: usize = 500;

/// Modules of the crate, and the floor that each is on. Imports only go down, or stay.
const FLOORS: &[(&str, u8)] = &[
    // Words: pure.
    ("address", 0),
    ("chat", 0),
    ("error", 0),
    ("framing", 0),
    ("html", 0),
    ("message", 0),
    ("name", 0),
    ("options", 0),
    ("peer", 0),
    ("proxy_header", 0),
    ("proxy", 0),
    ("reliable", 0),
    ("stamp", 0),
    // Talk: the traits, and the ways to the kernel.
    ("capture", 1),
    ("folder", 1),
    ("gate", 1),
    ("io", 1),
    ("link", 1),
    ("pipe", 1),
    ("record", 1),
    ("scope", 1),
    ("service", 1),
    ("session", 1),
    ("traffic", 1),
    ("watch", 1),
    // The line between servers, which services use.
    ("bus", 2),
    // What goes wrong on purpose between two ends.
    ("fault", 2),
    // The two wings: all that lies in these two folders, and the table of the one.
    ("service/", 2),
    ("transport", 2),
    ("transport/", 2),
    // Ends: the wings joined.
    ("bench", 3),
    ("dial", 3),
    ("replay", 3),
    ("request", 3),
    ("serve", 3),
    ("toxiproxy", 3),
    ("transfer", 3),
    ("lib", 3),
];

/// What makes the words of floor 0 more than words.
const IMPURE: &[&str] = &[
    "tokio",
    "hyper",
    "std::fs",
    "std::env",
    "std::thread",
    "std::process",
    "Instant",
    "SystemTime",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "async fn",
    ".await",
];

/// The names of sockets. Only `io/` and `transport/` say them.
const SOCKETS: &[&str] = &[
    "TcpStream",
    "TcpListener",
    "TcpSocket",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "UnixDatagram",
    "AsyncFd",
    "socket2",
    "rustix::net",
    "sys::socket",
];

/// What only the command does: print, exit, and read the environment. `etcetera` reads it too.
const OUTWARD: &[&str] = &[
    "println!",
    "eprintln!",
    "print!",
    "eprint!",
    "dbg!",
    "process::exit",
    "process::abort",
    "env::args",
    "env::args_os",
    "env::current_dir",
    "env::current_exe",
    "env::home_dir",
    "env::temp_dir",
    "env::var",
    "env::var_os",
    "env::vars",
    "option_env!",
    "etcetera",
];

/// Files that may do one thing of those, and why.
const ALLOWED: &[(&str, &str, &str)] = &[(
    "transport/tls/own.rs",
    "etcetera",
    "a listener without a certificate keeps its own in the user's folder, unless its scope names another",
)];

/// Files of a wing that are no line of its table, and why.
const HELPERS: &[(&str, &str)] = &[
    ("service/accounts.rs", "the names and passwords that services share"),
    ("service/relay.rs", "a verb of its own makes it, out of more than settings"),
    ("service/sqlite.rs", "what the databases of services share"),
    ("service/tunnel.rs", "what the two kinds of proxy share"),
    ("transport/accept.rs", "the accept loop that stream listeners share"),
];

/// Parts that nobody types, and why.
const UNTYPED: &[(&str, &str)] =
    &[("transport/memory.rs", "it lies within one process: tests dial it, and no command can")];

/// Fails with all of them.
fn none<T: Display>(rule: &str, wrong: impl IntoIterator<Item = T>) {
    let wrong: Vec<_> = wrong.into_iter().map(|one| one.to_string()).collect();
    assert!(wrong.is_empty(), "{rule}, but:\n  {}", wrong.join("\n  "));
}

#[test]
fn imports_only_go_down() {
    let sources = sources();
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| source.path != "lib.rs") {
        for (line, path) in imports(source) {
            match leads_to(&path, &sources) {
                Some((floor, _)) if floor <= source.floor() => {}
                Some((floor, _)) => wrong.push(format!(
                    "{}:{line} is on floor {} and imports {path} from floor {floor}",
                    source.path,
                    source.floor()
                )),
                None => wrong.push(format!("{}:{line} imports {path}, which is on no floor", source.path)),
            }
        }
    }
    none("imports only go down", wrong);
}

#[test]
fn the_wings_do_not_know_each_other() {
    let sources = sources();
    let mut wrong = Vec::new();
    for source in &sources {
        let other = match source.module() {
            "transport" => "service/",
            "service" if source.floor() == 2 => "transport",
            _ => continue,
        };
        for (line, path) in imports(source) {
            if leads_to(&path, &sources).is_some_and(|(_, to)| to.starts_with(other)) {
                wrong.push(format!("{}:{line} imports {path}", source.path));
            }
        }
    }
    none("no transport's name in a service, and the reverse", wrong);
}

fn wrong_words<'a>(sources: &'a [Source], words: &'a [&str]) -> impl Iterator<Item = String> + 'a {
    sources.iter().flat_map(move |source| {
        let allowed = |word: &str| ALLOWED.iter().any(|(file, what, _)| *file == source.path && *what == word);
        let said = source.says(words).filter(move |(_, word)| !allowed(word));
        said.map(|(line, word)| format!("{}:{line} says {word}", source.path))
    })
}

#[test]
fn words_do_no_io() {
    let words: Vec<_> = sources().into_iter().filter(|source| source.path != "lib.rs" && source.floor() == 0).collect();
    assert!(words.len() > 6, "the words are not where they were");
    none("floor 0 is pure", wrong_words(&words, IMPURE));
}

#[test]
fn nothing_is_unsafe() {
    none("no unsafe", wrong_words(&sources(), &["unsafe"]));
    let workspace = fs::read_to_string(root().join("../../Cargo.toml")).unwrap();
    assert!(workspace.contains("unsafe_code = \"forbid\""), "the workspace forbids it");
    assert!(workspace.contains("missing_docs = "), "the workspace asks for docs");
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("[lints]\nworkspace = true"), "and this crate is under its lints");
}

#[test]
fn only_io_and_transports_touch_sockets() {
    let elsewhere: Vec<_> =
        sources().into_iter().filter(|source| !["io", "transport"].contains(&source.module())).collect();
    none("only io/ and transport/ touch sockets", wrong_words(&elsewhere, SOCKETS));
}

#[test]
fn only_the_command_prints_exits_or_reads_the_environment() {
    none("the library keeps to itself", wrong_words(&sources(), OUTWARD));
}

/// What is allowed is used: an exception that nobody needs any more is a hole.
#[test]
fn every_exception_is_needed() {
    let sources = sources();
    let find = |file: &str| sources.iter().find(|source| source.path == file);
    let unused =
        ALLOWED.iter().filter(|(file, word, _)| find(file).is_none_or(|source| source.says(&[word]).next().is_none()));
    none("exceptions are for what is there", unused.map(|(file, word, _)| format!("{file} does not say {word}")));
    let files = HELPERS.iter().chain(UNTYPED).map(|(file, _)| file);
    none("exceptions are for what is there", files.filter(|file| find(file).is_none()));
}

/// The names in a table that a macro makes: `services! { chargen, convert }`, or the modules that a file declares.
fn table(file: &str, opening: &str) -> Vec<String> {
    let source = sources().into_iter().find(|source| source.path == file).unwrap();
    let listed = source.code.split_once(opening).unwrap_or_else(|| panic!("{file} has no {opening}")).1;
    listed
        .split('}')
        .next()
        .unwrap()
        .split(',')
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

/// The modules in a folder: files, and the folders of those.
fn modules(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join("src").join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let helper = |name: &str| HELPERS.iter().any(|(file, _)| *file == format!("{folder}/{name}.rs"));
    entries.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).filter(|name| !helper(name)).collect()
}

#[test]
fn every_file_of_a_wing_is_in_its_table() {
    for (folder, opening) in
        [("framing", "\nframings! {"), ("service", "\nservices! {"), ("transport", "\ntransports! {")]
    {
        let listed = table(&format!("{folder}.rs"), opening);
        assert!(listed.is_sorted(), "{folder}: the table is sorted: {listed:?}");
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), modules(folder), "{folder}: the table, and the files");
    }
    assert!(hullo::options::OPTIONS.is_sorted_by_key(|spec| spec.name), "the options are sorted");
}

#[test]
fn the_docs_of_each_part_open_with_what_a_user_would_type() {
    let sources = sources();
    let helper = |path: &str| HELPERS.iter().chain(UNTYPED).any(|(file, _)| *file == path);
    let parts = sources.iter().filter(|source| {
        let folder = source.path.split_once('/').map(|(folder, file)| (folder, file.contains('/')));
        matches!(folder, Some(("framing" | "service" | "transport", false))) && !helper(&source.path)
    });
    let silent = parts.filter(|source| {
        let first = source.text.lines().next().unwrap_or_default();
        let command = first.strip_prefix("//! `").and_then(|rest| rest.split_once('`')).map(|(command, _)| command);
        command.is_none_or(|command| !has_word(command, "hullo"))
    });
    none("docs open with a command", silent.map(|source| format!("src/{}:1 opens otherwise", source.path)));
}

#[test]
fn every_file_says_what_it_is_for() {
    let sources = sources();
    let silent = sources.iter().filter(|source| !source.text.starts_with("//! "));
    none("files open with their docs", silent.map(|source| &source.path));
}

#[test]
fn no_file_is_long() {
    let crates = root().join("..");
    let long = files(&crates).into_iter().filter_map(|path| {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        let name = path.strip_prefix(&crates).unwrap().display().to_string();
        (lines > LONG).then(|| format!("{name} has {lines} lines"))
    });
    none(&format!("files have at most {LONG} lines"), long);
}
