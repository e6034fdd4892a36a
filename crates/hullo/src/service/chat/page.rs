//! The page of the http doors: `hullo serve chat http://127.0.0.1:8080`, and a browser at that address.
//!
//! It is a few files that need nothing to build them, and ask no other server for anything. What they say to the rooms
//! goes through the same WebSocket that every other program may use.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
};
use serde_json::json;

use crate::{
    chat::typed::{COMMANDS, Command},
    io::{
        condition::Condition,
        exchange::{Body, empty, full},
    },
};

/// Nothing runs, and nothing is loaded or asked, but what these files are; whatever people call themselves.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The file at that path, as the answer to GET; the server leaves the body out for HEAD.
pub(super) fn find(path: &str, asked: &HeaderMap) -> Option<Response<Body>> {
    let file = FILES.iter().find(|file| file.path == path)?;
    // Nobody can change a file, so there is nothing that the other conditions could prevent.
    let fresh = Condition::of(asked).is_fresh(file.tag.to_str().unwrap_or_default(), None).unwrap_or(false);
    let mut response = Response::new(if fresh { empty() } else { full(file.content.clone()) });
    if fresh {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(ETAG, file.tag.clone());
    for (name, value) in [
        (CONTENT_TYPE, file.kind),
        // The names of the files stay when their contents change, so a browser asks whether they have.
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (OPENER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Some(response)
}

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

struct File {
    path: &'static str,
    kind: &'static str,
    content: Bytes,
    tag: HeaderValue,
}

/// The files, with their tags, which are made once.
static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    let written =
        TABLE.iter().map(|(path, kind, content)| File::of(path, kind, Bytes::from_static(content.as_bytes())));
    written.chain([File::of("/table.js", SCRIPT, commands().into())]).collect()
});

/// The commands that people type, for the script that does in the browser what each of them says.
fn commands() -> String {
    let command = |command: &Command| {
        let Command { name, aliases, arguments, help, .. } = command;
        json!({ "name": name, "aliases": aliases, "takes": arguments, "help": help })
    };
    let table: Vec<_> = COMMANDS.iter().map(command).collect();
    format!("// What can be typed, as every door of the chat has it.\nexport const TABLE = {};\n", json!(table))
}

impl File {
    fn of(path: &'static str, kind: &'static str, content: Bytes) -> Self {
        let hash = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, &content));
        // Base64 in quotes is a tag; without one, the file is merely sent each time.
        let tag = HeaderValue::from_str(&format!("\"{hash}\"")).unwrap_or(HeaderValue::from_static("W/\"\""));
        Self { path, kind, content, tag }
    }
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Each file of the folder beside this one: where it is asked for, what it is, and itself.
const TABLE: &[(&str, &str, &str)] = &[
    ("/", HTML, include_str!("page/chat.html")),
    ("/chat.css", CSS, include_str!("page/chat.css")),
    ("/icon.svg", SVG, include_str!("page/icon.svg")),
    ("/alerts.js", SCRIPT, include_str!("page/alerts.js")),
    ("/ask.js", SCRIPT, include_str!("page/ask.js")),
    ("/chat.js", SCRIPT, include_str!("page/chat.js")),
    ("/commands.js", SCRIPT, include_str!("page/commands.js")),
    ("/composer.js", SCRIPT, include_str!("page/composer.js")),
    ("/dom.js", SCRIPT, include_str!("page/dom.js")),
    ("/events.js", SCRIPT, include_str!("page/events.js")),
    ("/log.js", SCRIPT, include_str!("page/log.js")),
    ("/menu.js", SCRIPT, include_str!("page/menu.js")),
    ("/message.js", SCRIPT, include_str!("page/message.js")),
    ("/questions.js", SCRIPT, include_str!("page/questions.js")),
    ("/room.js", SCRIPT, include_str!("page/room.js")),
    ("/search.js", SCRIPT, include_str!("page/search.js")),
    ("/session.js", SCRIPT, include_str!("page/session.js")),
    ("/sides.js", SCRIPT, include_str!("page/sides.js")),
    ("/store.js", SCRIPT, include_str!("page/store.js")),
    ("/wire.js", SCRIPT, include_str!("page/wire.js")),
];

#[cfg(test)]
mod tests {
    use http::header::IF_NONE_MATCH;

    use super::*;

    #[test]
    fn every_file_that_another_one_names_is_there() {
        let quoted = |content: &'static str| content.split('"');
        let mut named = 0;
        for (path, _, content) in TABLE {
            let files = quoted(content).filter(|word| {
                let ends = [".js", ".css", ".svg"].iter().any(|end| word.ends_with(end));
                ends && !word.contains(char::is_whitespace)
            });
            for file in files {
                named += 1;
                let file = file.trim_start_matches('.').trim_start_matches('/');
                assert!(find(&format!("/{file}"), &HeaderMap::new()).is_some(), "{path} names {file}");
            }
        }
        assert!(named > TABLE.len(), "{named}");
    }

    #[test]
    fn the_page_does_every_command() {
        let script = include_str!("page/commands.js");
        for Command { name, .. } in COMMANDS {
            assert!(script.contains(&format!("\n  {name}: ")), "commands.js does nothing for /{name}");
        }
    }

    #[test]
    fn a_file_is_sent_once_and_keeps_to_itself() {
        let mut asked = HeaderMap::new();
        let page = find("/", &asked).unwrap();
        assert_eq!((page.status(), &page.headers()[CONTENT_TYPE]), (StatusCode::OK, &HeaderValue::from_static(HTML)));
        let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        asked.insert(IF_NONE_MATCH, page.headers()[ETAG].clone());
        assert_eq!(find("/", &asked).unwrap().status(), StatusCode::NOT_MODIFIED);
        assert_eq!(find("/chat.js", &asked).unwrap().status(), StatusCode::OK);
        assert!(find("/chat.rs", &asked).is_none() && find("", &asked).is_none());
    }
}
