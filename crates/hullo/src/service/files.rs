//! `hullo serve files ~/Public http://:8000`: a folder for browsers, curl and whoever speaks HTTP.
//!
//! `curl -O localhost:8000/name` fetches a file, `curl -C -` goes on where it was cut off, and `curl localhost:8000/folder/?tar`
//! fetches a whole folder. Links are followed as long as they stay inside the folder; no link and no path leads out of it.
//! What has a name that begins with a dot is not there, unless `--hidden` says so.
//!
//! A folder is a page, JSON (`?json`) or names (`?simple`): `files/listing.rs`. With `--upload` files may be put into it, by the
//! page, `curl -T` and `curl -F`, and go on where they broke off: `files/upload.rs`. `--auth` says who may do anything, and
//! `--auth-upload` who may write.
//!
//! What lies in the folder may come from anybody, so no file of it becomes a page that may do something here: each goes
//! out with a policy that gives it an origin of its own.

use std::{borrow::Cow, sync::Arc};

use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, LOCATION},
    request::Parts,
};
use tokio::sync::Semaphore;

use self::{
    accounts::{Accounts, Need},
    listing::Readers,
    place::Place,
    root::{Found, Opened, Root},
    upload::Uploads,
};
use super::{Needs, Service, Setting, Settings, Spec};
use crate::{
    address::Address,
    error::{Error, Kind, Result},
    io::{
        condition::Failed,
        exchange::{Body, empty, text},
    },
    link::Link,
    peer::Peer,
    scope::{BoxFuture, Scope},
    watch::Event,
};

mod accounts;
mod archive;
mod coding;
mod download;
mod kind;
mod listing;
mod page;
mod place;
mod plain;
mod readme;
mod root;
mod several;
mod upload;
mod words;

/// This service's line of the table.
pub const SPEC: Spec = Spec {
    name: "files",
    about: "shows a folder and sends its files, whole folders as tar or zip; with --upload it takes files too",
    sample: "/",
    takes: &[Setting::Dir, Setting::Hidden, Setting::Index, Setting::Upload, Setting::Auth],
    needs: Needs::Http,
    make: |settings| Ok(Arc::new(Files::new(settings)?)),
};

const READ_ONLY: &str = "this folder is only for reading; hullo serve files --upload lets files in";

/// The service that shows a folder.
pub struct Files {
    root: Arc<Root>,
    /// The name of the file that stands for its folder.
    index: Option<String>,
    readers: Arc<Readers>,
    /// Where files may be put, if they may.
    uploads: Option<Arc<Uploads>>,
    accounts: Accounts,
    /// The folder is a site of its own, whose pages are trusted.
    is_site: bool,
    /// Places for folders that are packed.
    packing: Arc<Semaphore>,
}

impl Files {
    /// Opens the folder of the settings, or the one where we are.
    ///
    /// # Errors
    /// It cannot be opened, or is no folder.
    pub fn new(settings: &Settings) -> Result<Self> {
        let dir = settings.dir.as_deref().unwrap_or(".".as_ref());
        let uploads =
            settings.upload.then(|| Uploads::open(dir, settings.overwrite, settings.max_upload)).transpose()?;
        let (root, index) = (Arc::new(Root::open(dir, settings.hidden)?), settings.index.clone());
        Ok(Self {
            root,
            // A folder that is shown by its own pages is somebody's site, unless anybody may put pages there.
            is_site: index.is_some() && uploads.is_none(),
            index,
            packing: Arc::new(Semaphore::new(archive::AT_ONCE)),
            readers: Arc::default(),
            uploads: uploads.map(Arc::new),
            accounts: Accounts::new(&settings.accounts, &settings.writers)?,
        })
    }

    /// Answers a request, by its method.
    async fn answer(&self, head: Parts, body: Body, peer: Peer) -> Answer {
        let need = if is_reading(&head) { Need::Read } else { Need::Write };
        let user = self.accounts.admit(&head.headers, &peer, need).await?;
        if head.uri.path() == "*" {
            // About the server, and no path of it.
            return Ok(self.allowing(bare(StatusCode::NO_CONTENT)));
        }
        let place = Place::of(head.uri.path())?;
        let asked = Asked {
            root: self.root.clone(),
            packing: self.packing.clone(),
            readers: self.readers.clone(),
            uploads: self.uploads.clone(),
            is_site: self.is_site,
            head,
            place,
            peer,
            user,
        };
        match asked.head.method {
            Method::GET | Method::HEAD => self.read(&asked).await,
            Method::OPTIONS => Ok(self.allowing(bare(StatusCode::NO_CONTENT))),
            Method::PUT | Method::POST | Method::PATCH | Method::DELETE => self.write(&asked, body).await,
            ref other if other == "MKCOL" => self.write(&asked, body).await,
            _ => {
                let why = format!("{} is not for files\n", asked.head.method);
                Ok(self.allowing(text(StatusCode::METHOD_NOT_ALLOWED, why)))
            }
        }
    }

    async fn write(&self, asked: &Asked, body: Body) -> Answer {
        match &self.uploads {
            Some(uploads) => upload::answer(asked, uploads.clone(), body).await,
            None => Ok(self.allowing(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, READ_ONLY).response())),
        }
    }

    async fn read(&self, asked: &Asked) -> Answer {
        if let Some(uploads) = self.uploads.as_ref().filter(|_| asked.says("upload")) {
            return upload::offset(asked, uploads.clone()).await;
        }
        match asked.root.find(&asked.place).await? {
            Found::File(file) => download::answer(asked, &asked.place, file).await,
            Found::Folder(_) if !asked.place.is_folder() => Ok(with_slash(asked)),
            Found::Folder(folder) => match archive::answer(asked, folder) {
                Ok(packed) => Ok(packed),
                Err(folder) => match self.index_of(asked).await {
                    Some((place, file)) => download::answer(asked, &place, file).await,
                    None => listing::answer(asked, folder).await,
                },
            },
        }
    }

    fn allowing(&self, response: Response<Body>) -> Response<Body> {
        match &self.uploads {
            Some(uploads) => upload::allowing(uploads, response),
            None => with(response, ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS")),
        }
    }

    /// The file that stands for the folder that was asked for.
    async fn index_of(&self, asked: &Asked) -> Option<(Place, Opened)> {
        let name = self.index.as_ref().filter(|_| asked.head.uri.query().is_none())?;
        let place = asked.place.join(name.as_bytes());
        match asked.root.find(&place).await {
            Ok(Found::File(file)) => Some((place, file)),
            _ => None,
        }
    }
}

impl Service for Files {
    fn serve(self: Arc<Self>, _: Link) -> BoxFuture<'static, Result<()>> {
        Box::pin(async {
            Err(Error::usage("files answers HTTP requests and nothing else").hint("use http:// or https://"))
        })
    }

    fn exchange(
        self: Arc<Self>,
        request: Request<Body>,
        peer: Peer,
        scope: Scope,
    ) -> BoxFuture<'static, Result<Response<Body>>> {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let answered = self.answer(head, body, peer.clone()).await;
            Ok(answered.unwrap_or_else(|refusal| {
                if refusal.status.is_server_error() {
                    // It is ours, and whoever runs this must hear of it too.
                    let error = Error::new(Kind::File, refusal.why.clone());
                    scope.tell(&Event::Trouble { peer: Some(&peer), error: &error });
                }
                refusal.response()
            }))
        })
    }

    fn needs(&self) -> Needs {
        Needs::Http
    }

    fn converses_at(&self, _: &str) -> bool {
        false
    }

    fn notes(&self, _: &Address) -> Vec<String> {
        let mut notes = vec![format!("the folder is {}", self.root.shown())];
        if let Some(uploads) = &self.uploads {
            let replaces = if uploads.overwrites() { "and take the place of others" } else { "and replace nothing" };
            notes.push(format!("files may be put into it, {replaces}"));
        }
        notes
    }
}

fn is_reading(head: &Parts) -> bool {
    let says_upload = || head.uri.query().is_some_and(|query| says(query, "upload"));
    matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS) && !says_upload()
}

/// Whether a query has that word, alone or with a value.
fn says(query: &str, word: &str) -> bool {
    query.split('&').any(|one| one.split('=').next() == Some(word))
}

/// A request, and the place that it is about.
struct Asked {
    root: Arc<Root>,
    readers: Arc<Readers>,
    uploads: Option<Arc<Uploads>>,
    head: Parts,
    place: Place,
    peer: Peer,
    /// The account that it is from.
    user: Option<String>,
    is_site: bool,
    packing: Arc<Semaphore>,
}

impl Asked {
    /// Whether the query has that word, alone or with a value.
    fn says(&self, word: &str) -> bool {
        self.head.uri.query().is_some_and(|query| says(query, word))
    }

    /// The value of that word of the query.
    fn value(&self, word: &str) -> Option<String> {
        let query = self.head.uri.query().unwrap_or_default();
        form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == word).map(|(_, value)| value.into_owned())
    }

    /// Who asks, as far as that is known.
    fn client(&self) -> String {
        if let Some(user) = &self.user {
            return format!("{user}@");
        }
        self.peer.remote().net().map_or(String::new(), |address| address.ip().to_canonical().to_string())
    }
}

/// What came of a request, or what was wrong with it.
type Answer = std::result::Result<Response<Body>, Refusal>;

/// A status, and a sentence that says why.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    status: StatusCode,
    why: Cow<'static, str>,
    more: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    fn new(status: StatusCode, why: impl Into<Cow<'static, str>>) -> Self {
        Self { status, why: why.into(), more: Vec::new() }
    }

    /// The same with a header.
    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.more.push((name, value));
        self
    }

    /// It is there, and cannot be read.
    fn unreadable(error: &impl std::fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, format!("it cannot be read: {error}"))
    }

    fn response(self) -> Response<Body> {
        let mut response = text(self.status, format!("{}\n", self.why));
        response.headers_mut().extend(self.more);
        response
    }
}

impl From<Failed> for Refusal {
    fn from(failed: Failed) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, failed.to_string())
    }
}

/// A response of that status without a body.
fn bare(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = status;
    response
}

fn with(mut response: Response<Body>, name: HeaderName, value: HeaderValue) -> Response<Body> {
    response.headers_mut().insert(name, value);
    response
}

/// Sends a client that named a folder as if it were a file to where its relative links lead right. The way there is
/// relative too: it names no host, whatever the path looks like, and holds behind a proxy that shows us elsewhere.
fn with_slash(asked: &Asked) -> Response<Body> {
    let query = asked.head.uri.query().map_or(String::new(), |query| format!("?{query}"));
    let location = format!("{}/{query}", place::escaped(asked.place.name()));
    let moved = bare(StatusCode::MOVED_PERMANENTLY);
    match HeaderValue::try_from(location) {
        Ok(location) => with(moved, LOCATION, location),
        Err(_) => bare(StatusCode::NOT_FOUND),
    }
}
