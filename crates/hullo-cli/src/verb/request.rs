//! `hullo request POST https://example.org/items name=Ada`: the HTTP client.

use std::{
    fs::{self, File},
    io::{IsTerminal, Read, Write, stdin, stdout},
    path::{Path, PathBuf},
    process::ExitCode,
};

use http::{HeaderName, HeaderValue, Method, Response, header};
use http_body_util::BodyExt;
use hullo::{
    Address, Error, Kind, Limits, Result,
    exchange::{Body, full},
    request::{Call, is_secret},
};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;
use tokio::time::timeout;

use self::items::Items;
use crate::{
    args::Request,
    report::{Voice, shown},
    view::{json as json_view, paint},
};

mod items;

/// The most that is gathered to be shown in colours; more is passed on as it comes.
const GATHERED: usize = 4 << 20;

pub(super) async fn run(args: Request, voice: Voice) -> Result<ExitCode> {
    let (method, url, rest) = words(&args.words)?;
    let mut address = Address::resource(url)?;
    let items = Items::parse(rest)?;
    address.query = items.query(address.query.take());
    let call = call(&args, method, address, &items)?;
    if voice.verbose {
        show_head('>', &format!("{} {}", call.method, call.to.target()), &call.headers, voice);
    }
    voice.warn_of_trust(&call.to);
    let mut limits = Limits::default();
    // A body that comes to a halt is given up like a head that does not come.
    limits.idle = Some(args.timeout);
    let (scope, about) = (voice.scope(limits), call.to.bare());
    let late = || {
        Error::new(Kind::Timeout, format!("no answer from {about} within {:?}", args.timeout))
            .hint("wait longer with --timeout 5m")
    };
    let redirects = if args.follow { args.max_redirects } else { 0 };
    let (response, from) = timeout(args.timeout, call.send(&scope, redirects)).await.map_err(|_| late())??;
    if voice.verbose {
        show_head('<', &format!("{:?} {}", response.version(), response.status()), response.headers(), voice);
    }
    let status = response.status();
    match output(&args, &from) {
        Some(file) => download(response, &file, voice).await?,
        None => show(response).await?,
    }
    Ok(match status.as_u16() / 100 {
        class @ 3..=5 if args.check_status => {
            voice.say(
                "status",
                &format!("hullo: {} answered {status}", from.bare()),
                json!({ "status": status.as_u16() }),
            );
            ExitCode::from(class as u8)
        }
        _ => ExitCode::SUCCESS,
    })
}

/// The method where there is one, the URL, and the items.
fn words(words: &[String]) -> Result<(Option<Method>, &str, &[String])> {
    let method = |word: &str| match word.to_ascii_uppercase() {
        known if METHODS.contains(&known.as_str()) => Some(known),
        own if own == word && !word.is_empty() && word.bytes().all(|c| c.is_ascii_uppercase()) => Some(own),
        _ => None,
    };
    match words {
        [first, url, rest @ ..] if method(first).is_some() => {
            let name = method(first).unwrap_or_default();
            let wrong =
                |error| Error::usage(format!("'{name}' is no method")).because(error as http::method::InvalidMethod);
            Ok((Some(Method::from_bytes(name.as_bytes()).map_err(wrong)?), url, rest))
        }
        [url, rest @ ..] => Ok((None, url, rest)),
        [] => Err(Error::usage("there is no URL")),
    }
}

/// The methods that may be written small.
const METHODS: &[&str] = &["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

fn call(args: &Request, method: Option<Method>, address: Address, items: &Items) -> Result<Call> {
    let piped = match &args.raw {
        Some(raw) => Some(raw.clone().into_bytes()),
        None if items.has_fields() => None,
        None => piped(method.as_ref())?,
    };
    if piped.is_some() && items.has_fields() {
        return Err(Error::usage("there are both --raw and fields: the body can be only one of them"));
    }
    let posts = piped.is_some() || items.has_fields();
    let mut call = Call::new(method.unwrap_or(if posts { Method::POST } else { Method::GET }), address);
    let body = match piped {
        Some(bytes) => Some((bytes.into(), "application/json".to_owned())),
        None if items.has_fields() => Some(items.body(args.form)?),
        None => None,
    };
    if let Some((bytes, kind)) = body {
        let kind = HeaderValue::from_str(&kind)
            .map_err(|error| Error::usage("the body's type cannot be sent").because(error))?;
        call.headers.insert(header::CONTENT_TYPE, kind);
        call.body = Box::new(move || Ok(full(bytes.clone())));
    }
    if !posts && has_body(&call.method) {
        // A server may wait for a body that is not announced (RFC 9110, section 8.6).
        call.headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    items.headers(&mut call.headers)?;
    Ok(call)
}

fn has_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// The body from stdin, where there is one. Where no method says that there is, only what comes within a moment is waited
/// for: the stdin of a script may be open for ever.
fn piped(method: Option<&Method>) -> Result<Option<Vec<u8>>> {
    let stdin = stdin();
    let surely = method.is_some_and(has_body);
    if stdin.is_terminal() || !surely && method.is_some() {
        return Ok(None);
    }
    let mut ready = [PollFd::new(&stdin, PollFlags::IN)];
    let moment = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    if !surely && !poll(&mut ready, Some(&moment)).is_ok_and(|ready| ready > 0) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    stdin.lock().read_to_end(&mut bytes).map_err(|error| Error::io("cannot read the body from stdin", error))?;
    Ok((!bytes.is_empty()).then_some(bytes))
}

fn show_head(mark: char, first: &str, headers: &http::HeaderMap, voice: Voice) {
    let value = |name: &HeaderName, value: &HeaderValue| match is_secret(name) {
        true => "(not shown)".to_owned(),
        false => shown(&String::from_utf8_lossy(value.as_bytes())),
    };
    if voice.json {
        let list: Vec<_> = headers.iter().map(|(name, text)| [name.to_string(), value(name, text)]).collect();
        let event = if mark == '>' { "request" } else { "response" };
        return voice.say(event, "", json!({ "head": first, "headers": list }));
    }
    let paint = paint::on_stderr();
    eprintln!("{mark} {}", paint.bold(first));
    for (name, text) in headers {
        eprintln!("{mark} {}: {}", paint.name(name.as_str()), value(name, text));
    }
    eprintln!("{mark}");
}

/// Shows the body: on a terminal readable, in a pipe as it is, as it comes.
async fn show(response: Response<Body>) -> Result<()> {
    let terminal = stdout().is_terminal();
    let mut body = response.into_body();
    let mut gathered = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        match terminal {
            true if gathered.len() + data.len() <= GATHERED => gathered.extend_from_slice(&data),
            // Too much to be made readable, but not to be made harmless.
            true => {
                super::print(shown(&String::from_utf8_lossy(&std::mem::take(&mut gathered))).as_bytes())?;
                super::print(shown(&String::from_utf8_lossy(&data)).as_bytes())?;
            }
            false => super::print(&data)?,
        }
    }
    if gathered.is_empty() {
        return Ok(());
    }
    let Ok(text) = std::str::from_utf8(&gathered) else {
        return super::print(format!("({} bytes that are not text: -o FILE keeps them)\n", gathered.len()).as_bytes());
    };
    let text = json_view::pretty(text, paint::on_stdout()).unwrap_or_else(|| shown(text));
    super::print(text.as_bytes())?;
    if text.ends_with('\n') { Ok(()) } else { super::print(b"\n") }
}

/// The file to write to, where one is wanted.
fn output(args: &Request, from: &Address) -> Option<PathBuf> {
    let name = || {
        let name = from.path.rsplit('/').next().unwrap_or_default();
        // The name is the server's: it must stay in this folder, and be visible.
        let name: String =
            name.chars().map(|c| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
        PathBuf::from(match name.trim_start_matches('.') {
            "" => "index.html",
            name => name,
        })
    };
    args.output.clone().or_else(|| args.download.then(|| unused(name())))
}

/// Streams the body to a file, which has its name once it is whole: one that is cut off stays beside it as `.part`.
async fn download(response: Response<Body>, path: &Path, voice: Voice) -> Result<()> {
    let part = path.with_added_extension("part");
    // What is no file, as /dev/null, is written to as it is.
    let target = if path.exists() && !path.is_file() { path } else { &part };
    let about = || format!("cannot write {}", target.display());
    let size = response.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let mut file = File::create(target).map_err(|error| Error::io(about(), error).of(Kind::File))?;
    let bar = progress(size, voice);
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        file.write_all(&data).map_err(|error| Error::io(about(), error).of(Kind::File))?;
        bar.inc(data.len() as u64);
    }
    bar.finish_and_clear();
    if target == part {
        fs::rename(&part, path).map_err(|error| Error::io(about(), error).of(Kind::File))?;
    }
    let bytes = bar.position();
    let facts = json!({ "bytes": bytes, "file": path.display().to_string() });
    voice.say("downloaded", &format!("{bytes} bytes in {}", path.display()), facts);
    Ok(())
}

/// That name, or with a number where there is such a file: a name that a server chose overwrites nothing.
fn unused(name: PathBuf) -> PathBuf {
    let numbered = (1..).map(|number: u32| name.with_added_extension(number.to_string()));
    let free = |path: &Path| fs::symlink_metadata(path).is_err();
    let mut names = std::iter::once(name.clone()).chain(numbered);
    names.find(|name| free(name) && free(&name.with_added_extension("part"))).unwrap_or_default()
}

fn progress(size: Option<u64>, voice: Voice) -> ProgressBar {
    if voice.json {
        return ProgressBar::hidden();
    }
    let (bar, style) = match size {
        Some(size) => (ProgressBar::new(size), "{wide_bar} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes}  {bytes_per_sec}"),
    };
    match ProgressStyle::with_template(style) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
