//! `hullo request POST https://example.org/items name=Ada`: the HTTP client.

use std::{process::ExitCode, sync::Arc, time::Duration};

use bytes::Bytes;
use clap::{Args as _, Command, FromArgMatches as _};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use hullo::{
    Address, Error, Kind, Limits, Result, Scope, Watch,
    exchange::collect,
    request::{Call, Client, Jar, Step, is_secret},
};
use serde_json::json;
use tokio::{
    signal::ctrl_c,
    time::{sleep, timeout},
};

use self::{
    body::{Content, has_body},
    download::Download,
    items::Items,
    session::Session,
    show::{HIDDEN, Screen},
    timing::Timing,
};
use super::stdio::Stdout;
use crate::{args::Request, report::Voice};

mod body;
mod curl;
mod download;
mod feed;
mod items;
mod login;
mod names;
mod nested;
mod session;
mod setup;
mod show;
mod timing;

pub(super) async fn run(args: Request, voice: Voice) -> Result<ExitCode> {
    let prepared = Prepared::new(&args, voice).await?;
    if args.curl {
        return prepared.print_for_curl(&args);
    }
    if args.offline {
        return prepared.print(&args).await;
    }
    let about = prepared.to.bare();
    let sent = async {
        let longer = "wait longer with --timeout 5m, and for the connection with #timeout=30s behind the URL";
        let late = |error: Error| if error.kind() == Kind::Timeout { error.hint(longer) } else { error };
        prepared.send(&args, voice).await.map_err(late)
    };
    match args.max_time {
        None => sent.await,
        Some(limit) => timeout(limit, sent).await.unwrap_or_else(|_| {
            Err(Error::new(Kind::Timeout, format!("the request to {about} took longer than {limit:?}")))
        }),
    }
}

/// A request as it is written, for who sends it in another way.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) to: Address,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
}

/// What `hullo request` would send for these words: method, URL and items.
pub(super) async fn asked(words: &[String], voice: Voice) -> Result<Asked> {
    let plain = ["request", "--ignore-stdin"].map(str::to_owned);
    let matches = Request::augment_args(Command::new("request")).try_get_matches_from(plain.iter().chain(words));
    let args = matches.and_then(|matches| Request::from_arg_matches(&matches));
    let args = args.map_err(|error| Error::usage(error.to_string()))?;
    let prepared = Prepared::new(&args, voice).await?;
    let body = match &prepared.content {
        Some(_) => Some(prepared.body().await?),
        None => None,
    };
    Ok(Asked { method: prepared.method, to: prepared.to, headers: prepared.headers, body })
}

/// A request that the words ask for, and how it is to be sent.
struct Prepared {
    method: Method,
    to: Address,
    items: Items,
    headers: HeaderMap,
    /// The headers that the words have.
    said: HeaderMap,
    content: Option<Content>,
    client: Client,
    session: Option<Session>,
}

impl Prepared {
    async fn new(args: &Request, voice: Voice) -> Result<Self> {
        let (method, url, rest) = words(&args.words)?;
        let mut to = Address::resource(url).map_err(|error| about_users(error, url))?;
        let items = Items::parse(rest)?;
        to.query = items.query(to.query.take());
        let session = Session::open(args, &to)?;
        let content = Content::of(args, method.as_ref(), &items, voice).await?;
        let method = method.unwrap_or(if content.is_some() { Method::POST } else { Method::GET });
        let mut said = HeaderMap::new();
        items.headers(&mut said)?;
        let jar = session.as_ref().map_or_else(|| Ok(Jar::default()), Session::jar)?;
        let sources = Sources { content: content.as_ref(), session: session.as_ref(), jar: &jar };
        let headers = sources.headers(&method, &to, &items, &said)?;
        let auth = match login::of(args, &to)? {
            Some(auth) => Some(auth),
            None => {
                session.as_ref().filter(|_| !said.contains_key(header::AUTHORIZATION)).and_then(|had| had.auth(&to))
            }
        };
        let client = setup::client(args, &items, auth, jar)?;
        Ok(Self { method, to, items, headers, said, content, client, session })
    }

    /// The request, which can be made again and again.
    fn call(&self) -> Call {
        let mut call = Call::new(self.method.clone(), self.to.clone());
        call.headers = self.headers.clone();
        if let Some(make) = self.content.as_ref().map(|content| content.make.clone()) {
            call.body = Box::new(move || make());
        }
        call
    }

    fn print_for_curl(&self, args: &Request) -> Result<ExitCode> {
        let proxied = self.client.proxies.of(&self.to).is_some();
        let stdin = self.content.as_ref().is_some_and(|content| content.from_stdin);
        let line = curl::line(args, &self.call(), &self.items, &self.client, curl::Around { proxied, stdin })?;
        super::print(format!("{line}\n").as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }

    /// Prints it as it would be sent.
    async fn print(mut self, args: &Request) -> Result<ExitCode> {
        let mut call = self.call();
        if !args.show_secrets {
            let hidden = HeaderValue::from_static(HIDDEN);
            let secret: Vec<_> = call.headers.keys().filter(|name| is_secret(name)).cloned().collect();
            let auth = self.client.auth.take().map(|_| header::AUTHORIZATION);
            let secret: Vec<HeaderName> = secret.into_iter().chain(auth).collect();
            secret.into_iter().for_each(|name| drop(call.headers.insert(name, hidden.clone())));
            let cookies = self.client.jar.take().filter(|jar| jar.header(&call.to).is_some());
            cookies.into_iter().for_each(|_| drop(call.headers.insert(header::COOKIE, hidden.clone())));
        }
        self.client.write(&call, Stdout::new(false)).await?;
        Ok(ExitCode::SUCCESS)
    }

    async fn send(mut self, args: &Request, voice: Voice) -> Result<ExitCode> {
        let mut trusted = self.to.clone();
        if self.client.options.flag("insecure", false) {
            trusted.options.set("insecure", "true")?;
        }
        voice.warn_of_trust(&trusted);
        let mut screen = Screen::new(args, voice)?;
        if screen.has('B') {
            screen.sends(self.body().await?);
        }
        let timing = Timing::new(voice.watch());
        let scope = scope(args, timing.clone());
        voice.equip(&scope);
        self.client.teller = Some(Arc::new({
            let (screen, timing) = (screen.clone(), timing.clone());
            move |step: &Step<'_>| {
                if matches!(step, Step::Asked { .. }) {
                    timing.begin();
                }
                screen.step(step);
            }
        }));
        let (status, from, bytes) = match Download::of(args, &self.to)? {
            Some(mut download) => {
                let outcome = tokio::select! {
                    outcome = self.download(&mut download, args, &screen, &scope, voice) => outcome,
                    _ = ctrl_c() => {
                        download.tell_what_is_left(voice);
                        return Ok(ExitCode::from(130));
                    }
                };
                if outcome.as_ref().is_err_and(|error| matches!(error.kind(), Kind::Cut | Kind::Timeout)) {
                    download.tell_what_is_left(voice);
                }
                outcome?
            }
            None => {
                let (response, from) = self.client.send(self.call(), &scope).await?;
                let status = response.status();
                self.keep()?;
                let instead = screen.instead_of_body(&response, self.method == Method::HEAD);
                let bytes = screen.body(response).await?;
                if let Some(text) = instead.filter(|_| bytes == 0) {
                    voice.say("answered", &text, json!({}));
                }
                (status, from, bytes)
            }
        };
        timing.end();
        report(args, &screen, &timing, status, bytes, voice)?;
        Ok(verdict(args, status, &from, voice))
    }

    /// Keeps what the session is for, as soon as it is known.
    fn keep(&mut self) -> Result<()> {
        match &mut self.session {
            Some(session) => session.save(&self.to, &self.said, self.client.auth.as_ref(), self.client.jar.as_ref()),
            None => Ok(()),
        }
    }

    /// The body that will be sent, if it can be made twice.
    async fn body(&self) -> Result<Bytes> {
        let Some(Content { make, .. }) = &self.content else { return Ok(Bytes::new()) };
        let body = make()?;
        if make().is_err() {
            return Err(Error::usage("a body from stdin that is longer than 1 MiB cannot be shown and sent")
                .hint("put it into a file, and send that with @file"));
        }
        collect(body, 4 << 20).await
    }

    /// Fetches a file, and where it is cut off goes on with it as often as is to be tried again.
    async fn download(
        &mut self,
        download: &mut Download,
        args: &Request,
        screen: &Screen,
        scope: &Scope,
        voice: Voice,
    ) -> Result<(StatusCode, Address, u64)> {
        let mut failed = 0;
        loop {
            let mut call = self.call();
            download.ask(&mut call.headers, failed > 0);
            let ranged = call.headers.contains_key(header::RANGE);
            let (response, from) = self.client.send(call, scope).await?;
            self.keep()?;
            let status = response.status();
            let satisfied = status.is_success() || ranged && status == StatusCode::RANGE_NOT_SATISFIABLE;
            if !satisfied {
                // A page that says what went wrong is not the file.
                screen.body(response).await?;
                if args.check_status {
                    return Ok((status, from, 0));
                }
                return Err(Error::new(Kind::Protocol, format!("{} answered {status}: there is no file", from.bare())));
            }
            match download.take(response, &from, ranged, voice).await {
                Ok(bytes) => return Ok((status, from, bytes)),
                Err(error) if failed < args.retry && matches!(error.kind(), Kind::Cut | Kind::Timeout) => {
                    let after = Duration::from_millis(500 << failed.min(6));
                    screen.step(&Step::Again { why: &error.to_string(), after });
                    sleep(after).await;
                    failed += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }
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
        [only] if method(only).is_some_and(|name| METHODS.contains(&name.as_str())) => {
            Err(Error::usage(format!("'{only}' is a method, and there is no URL behind it"))
                .hint(format!("if it is a host, write http://{only}/")))
        }
        [url, rest @ ..] => Ok((None, url, rest)),
        [] => Err(Error::usage("there is no URL")),
    }
}

/// The error of a URL, with the way to say who we are where it was tried in the URL.
fn about_users(error: Error, url: &str) -> Error {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest).split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains('@') {
        error.hint("who we are is said with --auth NAME, --auth-file FILE or --netrc")
    } else {
        error
    }
}

/// The methods that may be written small.
const METHODS: &[&str] = &["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

/// Where headers come from, beside the words.
struct Sources<'a> {
    content: Option<&'a Content>,
    session: Option<&'a Session>,
    jar: &'a Jar,
}

impl Sources<'_> {
    /// The headers: ours, those of the body and of the session, and above all those of the words.
    fn headers(&self, method: &Method, to: &Address, items: &Items, said: &HeaderMap) -> Result<HeaderMap> {
        let mut headers = Call::new(method.clone(), to.clone()).headers;
        match self.content {
            Some(content) => content.announce(&mut headers)?,
            // A server may wait for a body that is not announced (RFC 9110, section 8.6).
            None if has_body(method) => drop(headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"))),
            None => {}
        }
        let Some(session) = self.session else {
            items.headers(&mut headers)?;
            return Ok(headers);
        };
        session.headers(to, said, &mut headers);
        items.headers(&mut headers)?;
        // Cookies that are said are kept with the others.
        for cookies in said.get_all(header::COOKIE) {
            self.jar.add(to, &String::from_utf8_lossy(cookies.as_bytes()));
        }
        headers.remove(header::COOKIE);
        Ok(headers)
    }
}

/// The scope of the request: what comes to a halt is given up like what does not begin.
fn scope(args: &Request, timing: Arc<Timing>) -> Scope {
    let mut limits = Limits::default();
    limits.idle = Some(args.timeout);
    limits.timeout = limits.timeout.min(args.timeout);
    Scope::new(limits, Some(timing as Arc<dyn Watch>))
}

/// Says what was measured.
fn report(
    args: &Request,
    screen: &Screen,
    timing: &Timing,
    status: StatusCode,
    bytes: u64,
    voice: Voice,
) -> Result<()> {
    let mut facts = timing.facts();
    (facts["status"], facts["bytes"], facts["remote"]) = (json!(status.as_u16()), json!(bytes), json!(timing.remote()));
    if screen.has('m') {
        let lines = facts.as_object().into_iter().flatten().map(|(name, value)| format!("{name}: {value}\n"));
        super::print_lines(&lines.collect::<String>().replace('"', ""))?;
    }
    if args.timing {
        voice.say("timing", &timing.table(), facts);
    }
    Ok(())
}

fn verdict(args: &Request, status: StatusCode, from: &Address, voice: Voice) -> ExitCode {
    match status.as_u16() / 100 {
        class @ 3..=5 if args.check_status => {
            let sentence = format!("hullo: {} answered {status}", from.bare());
            voice.say("status", &sentence, json!({ "status": status.as_u16() }));
            ExitCode::from(class as u8)
        }
        _ => ExitCode::SUCCESS,
    }
}
