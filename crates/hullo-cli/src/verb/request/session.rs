//! What is kept between requests: headers, who we are, and cookies.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use etcetera::BaseStrategy;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use hullo::{
    Address, Error, Kind, Result,
    request::{Auth, Jar, Scheme},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::args::Request;

/// A session, and where it is kept.
pub(super) struct Session {
    file: PathBuf,
    writes: bool,
    kept: Kept,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct Kept {
    /// The server that the headers and the password are for. Cookies know their own.
    origin: String,
    headers: Vec<(String, String)>,
    auth: Option<Login>,
    cookies: Value,
}

#[derive(Deserialize, Serialize)]
struct Login {
    kind: String,
    user: String,
    secret: String,
}

/// The kinds of login as they are kept.
const KINDS: &[(&str, Scheme)] =
    &[("auto", Scheme::Auto), ("basic", Scheme::Basic), ("bearer", Scheme::Bearer), ("digest", Scheme::Digest)];

impl Session {
    /// The session that the words name, if they do. One that is not there yet is empty.
    pub(super) fn open(args: &Request, to: &Address) -> Result<Option<Self>> {
        let (name, writes) = match (&args.session, &args.session_read_only) {
            (Some(name), _) => (name, true),
            (None, Some(name)) => (name, false),
            (None, None) => return Ok(None),
        };
        let file = file(name, to)?;
        let about = || format!("cannot read the session {}", file.display());
        let kept: Kept = match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| Error::new(Kind::File, format!("{}: it is none", about())).because(error))?,
            Err(error) if error.kind() == ErrorKind::NotFound => Kept::default(),
            Err(error) => return Err(Error::io(about(), error).of(Kind::File)),
        };
        Ok(Some(Self { file, writes, kept }))
    }

    /// Its cookies.
    pub(super) fn jar(&self) -> Result<Jar> {
        let cookies = &self.kept.cookies;
        if cookies.is_null() { Ok(Jar::default()) } else { Jar::from_json(cookies.clone()) }
    }

    /// Adds the headers that were kept for that server and are not said anew.
    pub(super) fn headers(&self, to: &Address, said: &HeaderMap, headers: &mut HeaderMap) {
        for (name, value) in self.kept.headers.iter().filter(|_| self.is_for(to)) {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value))
                && !said.contains_key(&name)
            {
                headers.insert(name, value);
            }
        }
    }

    /// Who we were to that server.
    pub(super) fn auth(&self, to: &Address) -> Option<Auth> {
        let login = self.kept.auth.as_ref().filter(|_| self.is_for(to))?;
        let (_, scheme) = KINDS.iter().find(|(kind, _)| *kind == login.kind)?;
        Some(Auth { scheme: *scheme, user: login.user.clone(), secret: login.secret.clone() })
    }

    fn is_for(&self, to: &Address) -> bool {
        self.kept.origin == origin(to)
    }

    /// Keeps what was used.
    pub(super) fn save(
        &mut self,
        to: &Address,
        said: &HeaderMap,
        auth: Option<&Auth>,
        jar: Option<&Jar>,
    ) -> Result<()> {
        if !self.writes {
            return Ok(());
        }
        if !self.is_for(to) {
            self.kept = Kept { origin: origin(to), ..Kept::default() };
        }
        for (name, value) in said.iter().filter(|(name, _)| stays(name)) {
            self.kept.headers.retain(|(kept, _)| kept != name.as_str());
            self.kept.headers.extend(value.to_str().map(|value| (name.to_string(), value.to_owned())));
        }
        let kind =
            |auth: &Auth| KINDS.iter().find(|(_, scheme)| *scheme == auth.scheme).map_or("basic", |(kind, _)| kind);
        self.kept.auth = auth.map(|auth| Login {
            kind: kind(auth).to_owned(),
            user: auth.user.clone(),
            secret: auth.secret.clone(),
        });
        self.kept.cookies = jar.map(Jar::to_json).unwrap_or_default();
        self.write().map_err(|error| {
            Error::io(format!("cannot keep the session in {}", self.file.display()), error).of(Kind::File)
        })
    }

    /// Writes it beside its file, and then gives it the name: whoever reads finds the old one or the new one, whole.
    fn write(&self) -> std::io::Result<()> {
        let folder = self.file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let beside = self.file.with_added_extension(format!("{}.new", std::process::id()));
        let text = serde_json::to_string_pretty(&self.kept)?;
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&beside, &self.file));
        if written.is_err() {
            // It may not even have been made.
            let _ = fs::remove_file(&beside);
        }
        written
    }
}

/// Whether a header is the same for the next request: not what describes this body, this wish or this connection.
fn stays(name: &HeaderName) -> bool {
    let text = name.as_str();
    let passing = [header::ACCEPT_ENCODING, header::COOKIE, header::HOST, header::RANGE, header::TRANSFER_ENCODING];
    !text.starts_with("content-") && !text.starts_with("if-") && !passing.contains(name)
}

fn origin(to: &Address) -> String {
    format!("{}://{}", to.scheme, to.authority().to_ascii_lowercase())
}

/// The file of a session: a path, or a name beneath the user's own folder and that of the server.
fn file(name: &str, to: &Address) -> Result<PathBuf> {
    if name.contains('/') {
        return Ok(name.into());
    }
    if name.starts_with('.') || name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || "._-".contains(c)) {
        return Err(Error::usage(format!("'{}' is no name for a session", name.escape_debug()))
            .hint("take letters and digits, or a path with a / in it, as in ./session.json"));
    }
    let base = etcetera::choose_base_strategy()
        .map_err(|error| Error::usage("there is no home for sessions").because(error))?;
    let state = base.state_dir().unwrap_or_else(|| base.data_dir());
    let host: String = to.authority().to_lowercase().replace(':', "_").replace(['[', ']'], "");
    Ok(state.join("hullo/sessions").join(host).join(format!("{name}.json")))
}
