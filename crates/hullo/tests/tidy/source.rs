//! Source files as the rules read them: what is code, what it names, and on which floor it lies.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::FLOORS;

/// A source file, and its text with everything blanked that is not code: comments, strings, tests.
pub(crate) struct Source {
    /// As in `transport/tcp.rs`.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) code: String,
}

impl Source {
    /// As in `transport` for `transport.rs` and for `transport/tcp.rs`.
    pub(crate) fn module(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap()
    }

    pub(crate) fn floor(&self) -> u8 {
        let in_folder = self.path.split_once('/').map(|(folder, _)| format!("{folder}/"));
        let in_folder = in_folder.and_then(|folder| floor(&folder));
        in_folder
            .or_else(|| floor(self.module()))
            .unwrap_or_else(|| panic!("{} is on no floor: add it to FLOORS", self.path))
    }

    /// Each place where the code says one of `words`, not as a part of a longer word.
    pub(crate) fn says<'a>(&'a self, words: &'a [&str]) -> impl Iterator<Item = (usize, &'a str)> {
        let lines = self.code.lines().enumerate();
        lines.flat_map(|(at, line)| words.iter().filter(|word| has_word(line, word)).map(move |word| (at + 1, *word)))
    }
}

pub(crate) fn floor(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

pub(crate) fn has_word(line: &str, word: &str) -> bool {
    let (opens, closes) = (word.starts_with(is_word), word.ends_with(is_word));
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(is_word);
        let after = line[at + word.len()..].chars().next().is_some_and(is_word);
        !(opens && before || closes && after)
    })
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

pub(crate) fn sources() -> Vec<Source> {
    let src = root().join("src");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let path = path.strip_prefix(&src).unwrap().to_string_lossy().into_owned();
        // Tests are no code of the library, in a file of their own either.
        let code = if is_test(&path) { String::new() } else { code(&text) };
        Source { path, code, text }
    };
    files(&src).into_iter().map(read).collect()
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// The text with comments, strings and the tests at its end blanked; its lines stay where they are.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut code = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = token(rest);
        let token = &rest[..length];
        let blank =
            token.starts_with("//") || token.starts_with("/*") || token.len() > 1 && token.ends_with(['"', '\'', '#']);
        if blank {
            code.extend(token.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        } else {
            code.push(first);
        }
        rest = &rest[if blank { length } else { first.len_utf8() }..];
    }
    code
}

/// The length of the comment, the string or the character that `text` begins with, or else of one character.
fn token(text: &str) -> usize {
    let until = |from: usize, end: &str| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
    let bytes = text.as_bytes();
    let hashes = bytes.iter().skip(1).take_while(|byte| **byte == b'#').count();
    match bytes {
        [b'/', b'/', ..] => text.find('\n').unwrap_or(text.len()),
        [b'/', b'*', ..] => until(2, "*/"),
        [b'r', ..] if bytes.get(1 + hashes) == Some(&b'"') => until(2 + hashes, &format!("\"{}", "#".repeat(hashes))),
        [b'"', ..] => quoted(text),
        [b'\'', b'\\', ..] => until(2, "'").max(4),
        [b'\'', ..] if text.chars().nth(2) == Some('\'') => text.char_indices().nth(3).map_or(text.len(), |(at, _)| at),
        _ => text.chars().next().map_or(0, char::len_utf8),
    }
}

fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The paths inside the crate that the code names, as in `service::echo::Echo`, each with its line.
pub(crate) fn imports(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in source.code.match_indices("crate::") {
        let line = source.code[..at].matches('\n').count() + 1;
        found.extend(paths(&source.code[at + "crate::".len()..]).into_iter().map(|path| (line, path)));
    }
    found
}

/// The paths of `a::b`, or of `{a::b, c::{d, e}}`.
fn paths(text: &str) -> Vec<String> {
    let (mut paths, mut path, mut outer) = (Vec::new(), String::new(), Vec::new());
    for c in text.chars().filter(|c| !c.is_whitespace()) {
        match c {
            '{' if path.is_empty() || path.ends_with("::") => outer.push(path.clone()),
            ',' | '}' if !outer.is_empty() => {
                paths.push(std::mem::replace(&mut path, outer.last().cloned().unwrap_or_default()));
                if c == '}' {
                    outer.pop();
                }
            }
            c if is_word(c) || c == ':' => path.push(c),
            _ => break,
        }
        if c == '}' && outer.is_empty() {
            break;
        }
    }
    paths.push(path);
    // Nothing stands between a last comma and its brace, or behind one.
    paths.retain(|path| !path.is_empty() && !path.ends_with("::"));
    paths
}

/// The floor that a path leads to, and the module. What the crate exports by its own name is where that comes from.
pub(crate) fn leads_to(path: &str, sources: &[Source]) -> Option<(u8, String)> {
    let (module, inner) = path.split_once("::").unwrap_or((path, ""));
    let file = format!("{module}/{}.rs", inner.split("::").next().unwrap_or_default());
    if sources.iter().any(|source| source.path == file) {
        return floor(&format!("{module}/")).or_else(|| floor(module)).map(|floor| (floor, file));
    }
    floor(module).map(|floor| (floor, module.to_owned())).or_else(|| leads_to(&exported(module, sources)?, sources))
}

/// Where a name comes from that the crate exports by its own, as `error::Kind` for `Kind`.
fn exported(name: &str, sources: &[Source]) -> Option<String> {
    let lib = &sources.iter().find(|source| source.path == "lib.rs")?.code;
    let exports = lib.split("\npub use ").skip(1).flat_map(paths);
    exports.into_iter().find(|path| path.rsplit("::").next() == Some(name))
}

// The reader itself, which would find nothing wrong if it read nothing.

#[test]
fn what_is_not_code_is_blanked() {
    for text in [
        "a // unsafe\nb",
        "a /* unsafe */ b",
        "a \"unsafe \\\" x\" b",
        "a r#\"un\"safe\"# b",
        "a '\"' b",
        "a '\\'' b",
        "a b\n#[cfg(test)]\nmod tests {\n    println!()\n}",
    ] {
        assert_eq!(code(text).split_whitespace().collect::<Vec<_>>(), ["a", "b"], "{text}");
        assert!(text.contains("tests") || code(text).len() == text.len(), "its lines stay where they are: {text}");
    }
    assert_eq!(code("&'a str"), "&'a str");
}

#[test]
fn files_of_tests_are_told_from_others() {
    let tests = ["a/tests.rs", "a/tests/b.rs", "a/b.rs", "tests.rs", "a/contests.rs", "a/latests/b.rs"];
    assert_eq!(tests.map(is_test), [true, true, false, false, false, false]);
}

#[test]
fn imports_are_found_however_they_are_written() {
    let text = "use crate::{\n    a::{B, c::D},\n    e,\n};\nfn f() -> crate::g::H {}\n";
    let source = Source { path: "x.rs".to_owned(), text: String::new(), code: text.to_owned() };
    let path = |line, path: &str| (line, path.to_owned());
    assert_eq!(imports(&source), [path(1, "a::B"), path(1, "a::c::D"), path(1, "e"), path(5, "g::H")]);
}

#[test]
fn words_are_found_and_not_their_likes() {
    assert!(has_word("std::env::var", "std::env") && has_word("eprintln!(x)", "eprintln!"));
    assert!(!has_word("eprintln!(x)", "println!") && !has_word("environment", "env::"));
    assert!(!has_word("PacketUdpSocket", "UdpSocket") && has_word("<UdpSocket>", "UdpSocket"));
}
