//! What is shown of a request and its response.

use std::io::{IsTerminal, stdout};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body_util::BodyExt;
use hullo::{
    Error, Result,
    exchange::Body,
    request::{Step, is_secret},
};
use serde_json::json;

use crate::{
    args,
    report::{Voice, shown},
    verb::{end_line, print, print_lines},
    view::{json as json_view, paint},
};

/// The most that is gathered to be shown in colours; more is passed on as it comes.
const GATHERED: usize = 4 << 20;

/// What is shown, and how.
#[derive(Clone)]
pub(super) struct Screen {
    voice: Voice,
    parts: String,
    secrets: bool,
    streams: bool,
    version: &'static str,
    /// The body that is sent, where it is shown.
    sent: Bytes,
}

impl Screen {
    pub(super) fn new(args: &args::Request, voice: Voice) -> Result<Self> {
        let parts = match &args.print {
            Some(parts) => parts.clone(),
            None if args.headers => "h".to_owned(),
            None if args.meta => "m".to_owned(),
            None => "b".to_owned(),
        };
        if let Some(unknown) = parts.chars().find(|part| !"HhBbm".contains(*part)) {
            return Err(Error::usage(format!("--print knows no part '{}'", unknown.escape_debug()))
                .hint("H and B are the request's head and body, h and b the response's, m what was measured"));
        }
        let version = if args.http.as_deref() == Some("2") { "HTTP/2" } else { "HTTP/1.1" };
        Ok(Self { voice, parts, secrets: args.show_secrets, streams: args.stream, version, sent: Bytes::new() })
    }

    /// Whether that part is shown.
    pub(super) fn has(&self, part: char) -> bool {
        self.parts.contains(part)
    }

    /// Keeps the body that is sent, to show it behind its head.
    pub(super) fn sends(&mut self, body: Bytes) {
        self.sent = body;
    }

    /// Shows a step of the request: with `-v` on stderr, and the parts that were asked for on stdout.
    pub(super) fn step(&self, step: &Step<'_>) {
        match step {
            Step::Asked { head, length } => self.asked(head, *length),
            Step::Interim { status, headers } if self.voice.verbose => self.tell('<', &format!("{status}"), headers),
            Step::Answered(response) => self.answered(response),
            Step::Again { why, after } => {
                let ms = after.as_millis() as u64;
                let sentence = format!("again in {after:.1?}: {}", shown(why));
                self.voice.say("again", &sentence, json!({ "message": why, "ms": ms }));
            }
            _ => {}
        }
    }

    fn asked(&self, head: &Request<()>, length: Option<u64>) {
        let mut headers = HeaderMap::new();
        let host = head.uri().authority().and_then(|at| HeaderValue::from_str(at.as_str()).ok());
        headers.extend(host.filter(|_| !head.headers().contains_key(header::HOST)).map(|host| (header::HOST, host)));
        headers.extend(head.headers().clone());
        if length.is_some_and(|length| length > 0) && !headers.contains_key(header::CONTENT_LENGTH) {
            headers.extend(length.map(|length| (header::CONTENT_LENGTH, HeaderValue::from(length))));
        }
        let target = head.uri().path_and_query().map_or("/", |target| target.as_str());
        if self.voice.verbose {
            self.tell('>', &format!("{} {target}", head.method()), &headers);
        }
        if self.has('H') {
            self.head(&format!("{} {target} {}", head.method(), self.version), &headers);
        }
        if length != Some(0) && !self.sent.is_empty() {
            // As with the head, what cannot be printed now is reported with the response's body.
            let _ = if stdout().is_terminal() { readable(&self.sent) } else { print(&self.sent) };
        }
    }

    fn answered(&self, response: &Response<Body>) {
        let version = match response.version() {
            http::Version::HTTP_2 => "HTTP/2".to_owned(),
            other => format!("{other:?}"),
        };
        let first = format!("{version} {}", status(response));
        if self.voice.verbose {
            self.tell('<', first.trim_end(), response.headers());
        }
        if self.has('h') {
            self.head(first.trim_end(), response.headers());
        }
    }

    /// What is said of a response whose body is empty, on a terminal where nothing else would be shown of it: its status,
    /// and the headers where they were asked for.
    pub(super) fn instead_of_body(&self, response: &Response<Body>, headers: bool) -> Option<String> {
        let shown = self.parts != "b" || self.voice.verbose || self.voice.json || !stdout().is_terminal();
        let mut text = (!shown).then(|| status(response).trim_end().to_owned())?;
        for (name, value) in response.headers().iter().filter(|_| headers) {
            text += &format!("\n{}: {}", paint::on_stderr().name(name.as_str()), self.value(name, value));
        }
        Some(text)
    }

    /// A head on stderr, for `-v`.
    fn tell(&self, mark: char, first: &str, headers: &HeaderMap) {
        if self.voice.json {
            let list: Vec<_> = headers.iter().map(|(name, text)| [name.to_string(), self.value(name, text)]).collect();
            let event = if mark == '>' { "request" } else { "response" };
            return self.voice.say(event, "", json!({ "head": first, "headers": list }));
        }
        end_line();
        let paint = paint::on_stderr();
        tell!("{mark} {}", paint.bold(first));
        for (name, text) in headers {
            tell!("{mark} {}: {}", paint.name(name.as_str()), self.value(name, text));
        }
        tell!("{mark}");
    }

    /// A head on stdout, for `--print`.
    fn head(&self, first: &str, headers: &HeaderMap) {
        let paint = paint::on_stdout();
        let mut text = format!("{}\n", paint.bold(first));
        for (name, value) in headers {
            text += &format!("{}: {}\n", paint.name(name.as_str()), self.value(name, value));
        }
        // What cannot be printed now fails again, and is reported, with the body.
        let _ = print_lines(&format!("{text}\n"));
    }

    fn value(&self, name: &HeaderName, value: &HeaderValue) -> String {
        if is_secret(name) && !self.secrets {
            HIDDEN.to_owned()
        } else {
            shown(&String::from_utf8_lossy(value.as_bytes()))
        }
    }

    /// Shows a body: on a terminal readable, in a pipe as it is, as it comes. Returns how many bytes it had.
    pub(super) async fn body(&self, response: Response<Body>) -> Result<u64> {
        let terminal = stdout().is_terminal();
        let events = response
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let streams = self.streams || events;
        let (mut body, mut gathered, mut most, mut bytes) = (response.into_body(), Vec::new(), GATHERED, 0);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            bytes += data.len() as u64;
            if !self.has('b') {
                continue;
            }
            if !terminal {
                print(&data)?;
                continue;
            }
            gathered.extend_from_slice(&data);
            if streams || gathered.len() > most {
                // Too much to be made readable, or too urgent; but not to be made harmless.
                most = 0;
                let whole = whole_characters(&gathered);
                let rest = gathered.split_off(whole);
                print(shown(&String::from_utf8_lossy(&gathered)).as_bytes())?;
                gathered = rest;
            }
        }
        if terminal && !gathered.is_empty() {
            readable(&gathered)?;
        }
        Ok(bytes)
    }
}

/// The status and its reason, in the server's words where it has some.
fn status(response: &Response<Body>) -> String {
    let status = response.status();
    let reason = response.extensions().get::<hyper::ext::ReasonPhrase>();
    let reason = reason.map(|reason| String::from_utf8_lossy(reason.as_bytes()).into_owned());
    let reason = reason.unwrap_or_else(|| status.canonical_reason().unwrap_or_default().to_owned());
    format!("{} {}", status.as_u16(), shown(&reason))
}

/// What stands for a secret.
pub(super) const HIDDEN: &str = "(not shown)";

/// How many bytes are whole characters: the last one may still be on its way.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}

/// Prints a body as people read it.
fn readable(bytes: &[u8]) -> Result<()> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return print(format!("({} bytes that are not text: -o FILE keeps them)\n", bytes.len()).as_bytes());
    };
    let text = json_view::pretty(text, paint::on_stdout()).unwrap_or_else(|| shown(text));
    print(text.as_bytes())?;
    if text.ends_with('\n') { Ok(()) } else { print(b"\n") }
}
