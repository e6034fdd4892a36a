//! `hullo request POST https://example.org/items name=Ada`: the HTTP client.

use std::{
    fs::File,
    io::{IsTerminal, Read, Write, stdin, stdout},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use http::{HeaderValue, Method, Response, header};
use http_body_util::BodyExt;
use hullo::{
    Address, Error, Kind, Limits, Result,
    exchange::{Body, full},
    request::Call,
};
use indicatif::{ProgressBar, ProgressStyle};
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
    if call.to.options.flag("insecure", false) {
        voice.say("insecure", "warning: nobody has verified who this is; use pin or ca", json!({}));
    }
    let mut limits = Limits::default();
    limits.idle = Some(Duration::from_secs(300));
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
    let is_method = |word: &String| !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase());
    match words {
        [method, url, rest @ ..] if is_method(method) => {
            let method = Method::from_bytes(method.as_bytes())
                .map_err(|error| Error::usage(format!("'{method}' is no method")).because(error))?;
            Ok((Some(method), url, rest))
        }
        [url, rest @ ..] => Ok((None, url, rest)),
        [] => Err(Error::usage("there is no URL")),
    }
}

fn call(args: &Request, method: Option<Method>, address: Address, items: &Items) -> Result<Call> {
    let piped = match (&args.raw, &method) {
        (Some(raw), _) => Some(raw.clone().into_bytes()),
        // Only for a method that is said, and has a body: a script's stdin may be open for ever.
        (None, Some(method)) if !items.has_fields() && has_body(method) && !stdin().is_terminal() => {
            let mut bytes = Vec::new();
            stdin()
                .lock()
                .read_to_end(&mut bytes)
                .map_err(|error| Error::io("cannot read the body from stdin", error))?;
            (!bytes.is_empty()).then_some(bytes)
        }
        _ => None,
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
    items.headers(&mut call.headers)?;
    Ok(call)
}

fn has_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

fn show_head(mark: char, first: &str, headers: &http::HeaderMap, voice: Voice) {
    if voice.json {
        let list: Vec<_> = headers
            .iter()
            .map(|(name, value)| [name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()])
            .collect();
        let event = if mark == '>' { "request" } else { "response" };
        return voice.say(event, "", json!({ "head": first, "headers": list }));
    }
    let paint = paint::on_stderr();
    eprintln!("{mark} {}", paint.bold(first));
    for (name, value) in headers {
        let secret = *name == header::AUTHORIZATION || *name == header::COOKIE;
        let value = if secret { "(not shown)".to_owned() } else { shown(&String::from_utf8_lossy(value.as_bytes())) };
        eprintln!("{mark} {}: {value}", paint.name(name.as_str()));
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
        if terminal && gathered.len() + data.len() <= GATHERED {
            gathered.extend_from_slice(&data);
        } else {
            super::print(&std::mem::take(&mut gathered))?;
            super::print(&data)?;
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
    args.output.clone().or_else(|| args.download.then(name))
}

/// Streams the body to a file: what arrived stays there, and a body that is cut off is an error.
async fn download(response: Response<Body>, path: &Path, voice: Voice) -> Result<()> {
    let about = || format!("cannot write {}", path.display());
    let size = response.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let mut file = File::create(path).map_err(|error| Error::io(about(), error).of(Kind::File))?;
    let bar = progress(size, voice);
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        file.write_all(&data).map_err(|error| Error::io(about(), error).of(Kind::File))?;
        bar.inc(data.len() as u64);
    }
    bar.finish_and_clear();
    let bytes = bar.position();
    voice.say(
        "downloaded",
        &format!("{bytes} bytes in {}", path.display()),
        json!({ "bytes": bytes, "file": path.display().to_string() }),
    );
    Ok(())
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
