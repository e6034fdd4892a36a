//! A request as the handlers see it, and as `/get`, `/post` and `/anything` tell it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::stream;
use http::{
    HeaderMap, Method, Request, Uri, Version,
    header::{CONTENT_TYPE, HOST},
};
use serde_json::{Map, Value};

use super::{Httpbin, answer::grouped, bounds};
use crate::{
    error::{Error, Kind, Result},
    io::exchange::{Body, Interim, collect, empty},
    peer::Peer,
    scope::Scope,
};

/// Headers that a proxy adds, which are told only with `?show_env`.
const OF_PROXIES: &[&str] = &[
    "x-varnish",
    "x-request-start",
    "x-heroku-queue-depth",
    "x-real-ip",
    "x-forwarded-proto",
    "x-forwarded-protocol",
    "x-forwarded-ssl",
    "x-heroku-queue-wait-time",
    "x-forwarded-for",
    "x-heroku-dynos-in-use",
    "x-forwarded-port",
    "x-request-id",
    "via",
    "total-route-time",
    "connect-time",
];

/// A request, and what it is answered by.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
    pub(super) service: Arc<Httpbin>,
    /// The query, decoded.
    pub(super) args: Vec<(String, String)>,
    /// To say something before the answer; none where the client would not understand it.
    pub(super) interim: Option<Interim>,
    parts: Vec<String>,
    body: Mutex<Option<Body>>,
    peer: Peer,
    scope: Scope,
}

impl Call {
    /// # Errors
    /// A query of too many fields, which would be as many headers or cookies.
    pub(super) fn new(
        request: Request<Body>,
        parts: Vec<String>,
        peer: Peer,
        scope: Scope,
        service: Arc<Httpbin>,
    ) -> Result<Self> {
        let (head, body) = request.into_parts();
        let (method, uri, version, headers) = (head.method, head.uri, head.version, head.headers);
        let interim = head.extensions.get::<Interim>().cloned();
        let args: Vec<_> = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .take(bounds::FIELDS + 1)
            .collect();
        if args.len() > bounds::FIELDS {
            return Err(Error::usage(format!("the query has more than {} fields", bounds::FIELDS)));
        }
        Ok(Self {
            method,
            uri,
            version,
            headers,
            service,
            args,
            interim,
            parts,
            body: Mutex::new(Some(body)),
            peer,
            scope,
        })
    }

    /// What stands in the path where the pattern has its `at`th variable.
    pub(super) fn part(&self, at: usize) -> &str {
        self.parts.get(at).map_or("", String::as_str)
    }

    /// The same where the pattern wants a number. One that has too many digits is as large as can be.
    pub(super) fn number(&self, at: usize) -> u64 {
        self.part(at).parse().unwrap_or(u64::MAX)
    }

    /// The first value of a name in the query. Names are the same in upper and lower case, as in httpbin.
    pub(super) fn arg(&self, name: &str) -> Option<&str> {
        self.args.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The same as a number, or that one.
    pub(super) fn count(&self, name: &str, otherwise: u64) -> Result<u64> {
        self.arg(name).map_or(Ok(otherwise), |text| {
            text.parse().map_err(|_| Error::usage(format!("{name}={text} is not a whole number")))
        })
    }

    /// The same as a time, at most `most`.
    pub(super) fn time(&self, name: &str, otherwise: Duration, most: Duration) -> Result<Duration> {
        self.arg(name).map_or(Ok(otherwise), |text| time(text).map(|time| time.min(most)))
    }

    /// The text of a header; several of a name are one list (RFC 9110, section 5.3).
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let mut all = self.headers.get_all(name).iter().peekable();
        all.peek()?;
        Some(all.map(|value| decoded(value.as_bytes())).collect::<Vec<_>>().join(","))
    }

    /// A cookie of that name.
    pub(super) fn cookie(&self, name: &str) -> Option<String> {
        super::cookies::of(&self.headers).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Whether the client speaks with us in secret.
    pub(super) fn is_secure(&self) -> bool {
        self.peer.scheme() == "https"
    }

    /// Who asks: what a proxy says, or else the address of the peer.
    pub(super) fn origin(&self) -> String {
        self.header("x-forwarded-for").unwrap_or_else(|| match self.peer.remote().net() {
            Some(address) => address.ip().to_canonical().to_string(),
            None => self.peer.to_string(),
        })
    }

    fn host(&self) -> String {
        let authority = self.uri.authority().map(ToString::to_string);
        authority.or_else(|| self.header(HOST.as_str())).unwrap_or_else(|| match self.peer.local().net() {
            Some(address) => address.to_string(),
            None => "localhost".to_owned(),
        })
    }

    /// The scheme and host by which we were reached, a proxy's word before our own.
    pub(super) fn root(&self) -> String {
        let told = self.header("x-forwarded-proto").or_else(|| self.header("x-forwarded-protocol"));
        let secret = || self.header("x-forwarded-ssl").filter(|on| on == "on").map(|_| "https".to_owned());
        let scheme = told.or_else(secret).unwrap_or_else(|| self.peer.scheme().to_owned());
        format!("{scheme}://{}", self.host())
    }

    /// The URL that was asked for, as it was sent: how a client escapes is what is looked for.
    pub(super) fn url(&self) -> String {
        self.root() + self.target().trim_end_matches('?')
    }

    /// Path and query as they were sent.
    pub(super) fn target(&self) -> &str {
        self.uri.path_and_query().map_or("/", |target| target.as_str())
    }

    /// The headers as httpbin tells them: `user-agent` is `User-Agent`, and what proxies add is left out.
    pub(super) fn told_headers(&self) -> Map<String, Value> {
        let shown = self.args.iter().any(|(name, _)| name == "show_env");
        let names = self.headers.keys().filter(|name| shown || !OF_PROXIES.contains(&name.as_str()));
        let mut headers: Map<_, _> =
            names.filter_map(|name| Some((titled(name.as_str()), self.header(name.as_str())?.into()))).collect();
        // HTTP/2 has it in another place.
        headers.entry("Host").or_insert_with(|| self.host().into());
        headers
    }

    /// The body, if it is not larger than `max` allows.
    pub(super) async fn take(&self) -> Result<Bytes> {
        let taken = collect(self.body(), self.scope.limits().max).await;
        // A client that is still there has sent what is no body, as of bad chunks.
        taken.map_err(|error| if error.kind() == Kind::Cut { error.of(Kind::Protocol) } else { error })
    }

    /// The body as it comes, for the first who asks.
    pub(super) fn body(&self) -> Body {
        self.body.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_else(empty)
    }

    /// The fields of that name, in the order of httpbin's own lists.
    pub(super) async fn dict(&self, fields: &[&str]) -> Result<Map<String, Value>> {
        let content = if fields.contains(&"data") { self.content().await? } else { Content::default() };
        let field = |name: &&str| {
            let value = match *name {
                "args" => Value::Object(texts(self.args.iter().cloned())),
                "data" => safe(&content.data, OCTETS).into(),
                "files" => {
                    Value::Object(grouped(content.files.iter().map(|(name, file)| (name.clone(), file.clone().into()))))
                }
                "form" => Value::Object(texts(content.form.iter().cloned())),
                "headers" => Value::Object(self.told_headers()),
                "json" => serde_json::from_slice(&content.data).unwrap_or_default(),
                "method" => self.method.as_str().into(),
                "origin" => self.origin().into(),
                _ => self.url().into(),
            };
            ((*name).to_owned(), value)
        };
        Ok(fields.iter().map(field).collect())
    }

    /// The body as what its type says.
    async fn content(&self) -> Result<Content> {
        let body = self.take().await?;
        let kind = self.header(CONTENT_TYPE.as_str()).unwrap_or_default();
        match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/x-www-form-urlencoded" => {
                let form = form_urlencoded::parse(&body).into_owned().collect();
                Ok(Content { form, ..Content::default() })
            }
            "multipart/form-data" => multipart(&kind, body).await,
            _ => Ok(Content { data: body, ..Content::default() }),
        }
    }
}

/// What a body says.
#[derive(Default)]
struct Content {
    data: Bytes,
    form: Vec<(String, String)>,
    files: Vec<(String, String)>,
}

const OCTETS: &str = "application/octet-stream";

async fn multipart(kind: &str, body: Bytes) -> Result<Content> {
    let wrong = |error: multer::Error| Error::usage("the form cannot be read").because(error);
    let boundary = multer::parse_boundary(kind).map_err(wrong)?;
    let mut parts = multer::Multipart::new(stream::iter([Ok::<_, std::io::Error>(body)]), boundary);
    let mut content = Content::default();
    while let Some(part) = parts.next_field().await.map_err(wrong)? {
        let (name, is_file) = (part.name().unwrap_or_default().to_owned(), part.file_name().is_some());
        let kind = part.headers().get(CONTENT_TYPE).map_or(OCTETS.to_owned(), |kind| decoded(kind.as_bytes()));
        let bytes = part.bytes().await.map_err(wrong)?;
        if is_file {
            content.files.push((name, safe(&bytes, &kind)));
        } else {
            content.form.push((name, String::from_utf8_lossy(&bytes).into_owned()));
        }
        if content.files.len() + content.form.len() > bounds::FIELDS {
            return Err(Error::new(Kind::TooLarge, format!("the form has more than {} fields", bounds::FIELDS)));
        }
    }
    Ok(content)
}

fn texts(pairs: impl Iterator<Item = (String, String)>) -> Map<String, Value> {
    grouped(pairs.map(|(name, value)| (name, value.into())))
}

/// Text as it is, and everything else as a `data:` URL (RFC 2397).
fn safe(bytes: &[u8], kind: &str) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("data:{kind};base64,{}", STANDARD.encode(bytes)),
    }
}

/// The text of a header. What is not UTF-8 is Latin-1, as it was once (RFC 9110, section 5.5).
pub(super) fn decoded(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// `user-agent` as `User-Agent`.
fn titled(name: &str) -> String {
    let mut inside = false;
    let title = |c: char| {
        let c = if inside { c } else { c.to_ascii_uppercase() };
        inside = c.is_ascii_alphabetic();
        c
    };
    name.chars().map(title).collect()
}

/// A time in seconds, or as hullo's options have it: `0.5`, `500ms`, `5s`.
pub(super) fn time(text: &str) -> Result<Duration> {
    let hint = || Error::usage(format!("'{text}' is not a time; write seconds as in 1.5, or 300ms"));
    crate::options::time(text).flatten().ok_or_else(hint)
}
