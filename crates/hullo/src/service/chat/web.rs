//! The doors of HTTP: a page for browsers, and for scripts the rooms as JSON, events as they happen, and messages to send.
//!
//! ```text
//! curl -d 'the build is green' 'localhost:8060/rooms/dev/messages?name=ci'
//! curl -N localhost:8060/rooms/dev/events
//! ```

use std::{net::IpAddr, sync::Arc, time::Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    request::Parts,
};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::json;
use tokio::{sync::oneshot, task::unconstrained};

use super::{
    Chat,
    accounts::Unproven,
    feed,
    flood::Floods,
    joining::Wish,
    member::Door,
    page,
    people::{self, Connected, Person, taken},
    posting::{Draft, check_uid},
    room::Room,
    talk::Talk,
};
use crate::{
    chat::{Event, What, name, text::message},
    error::{Error, Kind, Result, brief},
    io::exchange::{Body, collect, full},
    link::Link,
    peer::Peer,
    scope::Scope,
    service::status,
};

/// The most of a request's body: the longest text as JSON fits.
const LONGEST: usize = 32 << 10;

/// Requests that read, for each message that one may send.
const READS: u32 = 20;

/// Answers a request. What is wrong with it is JSON too.
pub(super) async fn answer(
    chat: Arc<Chat>,
    request: Request<Body>,
    peer: Peer,
    scope: Scope,
) -> Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let visit = Visit { chat, head, peer, scope };
    Ok(visit.answer(body).await.unwrap_or_else(Refused::response))
}

/// Why a request is refused.
struct Refused {
    error: Error,
    /// What the kind of the error does not say.
    status: Option<StatusCode>,
    /// When to come again, in seconds.
    wait: Option<u64>,
}

impl Refused {
    fn with(status: StatusCode, error: Error) -> Self {
        Self { error, status: Some(status), wait: None }
    }

    fn response(self) -> Response<Body> {
        let mut response = refusal(&self.error);
        if let Some(status) = self.status {
            *response.status_mut() = status;
        }
        if response.status() == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"chat\", charset=\"UTF-8\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(wait) = self.wait {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait));
        }
        response
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { error, status: None, wait: None }
    }
}

impl From<Unproven> for Refused {
    fn from(unproven: Unproven) -> Self {
        match unproven {
            Unproven::Wrong(error) => Self::with(StatusCode::UNAUTHORIZED, error),
            Unproven::Wait(wait, error) => {
                Self { wait: Some(wait), ..Self::with(StatusCode::TOO_MANY_REQUESTS, error) }
            }
            Unproven::Other(error) => error.into(),
        }
    }
}

type Answer<T> = Result<T, Refused>;

/// A request, and who sent it.
struct Visit {
    chat: Arc<Chat>,
    head: Parts,
    peer: Peer,
    scope: Scope,
}

/// What stands in the query.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Query {
    name: Option<String>,
    before: Option<u64>,
    after: Option<String>,
    limit: Option<usize>,
    search: Option<String>,
    token: Option<String>,
    uid: Option<String>,
}

/// A message as JSON or a form has it.
#[derive(Deserialize)]
struct Sent {
    text: String,
    #[serde(default)]
    uid: Option<String>,
    #[serde(default)]
    me: bool,
    #[serde(default)]
    name: Option<String>,
}

impl Visit {
    async fn answer(mut self, body: Body) -> Answer<Response<Body>> {
        let path = self.head.uri.path().to_owned();
        let parts: Vec<_> = path.split('/').skip(1).map(|part| percent_decode_str(part).decode_utf8_lossy()).collect();
        let allowed = match parts.iter().map(AsRef::as_ref).collect::<Vec<_>>()[..] {
            ["rooms"] => "GET, HEAD",
            ["rooms", _, "messages"] => "GET, HEAD, POST",
            ["rooms", _, "events" | "people"] => "GET, HEAD",
            _ => {
                let page = page::find(&path, &self.head.headers);
                return Ok(match page {
                    Some(_) if !matches!(self.head.method, Method::GET | Method::HEAD) => {
                        not_allowed(&self.head.method, "GET, HEAD")
                    }
                    page => page.unwrap_or_else(|| nowhere(&path)),
                });
            }
        };
        if !allowed.split(", ").any(|method| method == self.head.method.as_str()) {
            return Ok(not_allowed(&self.head.method, allowed));
        }
        let query: Query = serde_json::from_value(fields(self.head.uri.query().unwrap_or_default().as_bytes()))
            .map_err(|error| Error::usage("the query of that address cannot be meant").because(error))?;
        let sends = self.head.method == Method::POST;
        if !sends {
            self.pay(&self.chat.reads, READS)?;
        }
        match (&parts[..], sends) {
            ([_], _) => Ok(json_of(&self.chat.list(|_| false))),
            ([_, room, _], true) => self.send(room, query, body).await,
            ([_, room, what], _) if what == "messages" => self.messages(room, query).await,
            ([_, room, what], _) if what == "people" => {
                let room = self.guarded(room, &query).await?;
                Ok(json_of(&self.chat.people_of(&room, None)))
            }
            ([_, room, _], _) => self.events(room, query).await,
            _ => Ok(nowhere(&path)),
        }
    }

    async fn messages(&mut self, room: &str, query: Query) -> Answer<Response<Body>> {
        let room = self.guarded(room, &query).await?;
        let (words, part) = (query.search.as_deref(), (query.before, query.limit));
        let event = self.chat.earlier(&room, words, part, None).await?;
        Ok(json_of(&event))
    }

    /// The events of a room from now on, or from where the client was.
    async fn events(&mut self, room: &str, query: Query) -> Answer<Response<Body>> {
        let person = self.person(query.name.as_deref()).await?;
        let last = self.head.headers.get("last-event-id").and_then(|id| id.to_str().ok());
        let (log, after) = last.or(query.after.as_deref()).map_or((None, None), place_in_log);
        let (wire, body) = feed::feed(&self.scope);
        let link = Link::packets(wire, self.peer.clone(), self.scope.clone());
        let mut talk = Talk::through(self.chat.clone(), link, Door::Feed)?;
        if let Some(connected) = person {
            talk.become_person(connected).await;
        }
        let history = query.limit.unwrap_or(0);
        let wish = Wish { after, log, history, word: query.token, ..Wish::new(room) };
        // It is refused before it begins, with a status.
        let room = talk.find(&wish.room).await?;
        talk.admit(&room, &room.state(), &wish)?;
        self.scope.converse(self.peer.clone(), talk.listen(wish));
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }

    /// Says something, and answers when it is on disk.
    async fn send(&mut self, room: &str, query: Query, body: Body) -> Answer<Response<Body>> {
        self.pay(&self.chat.posts, 1)?;
        let bytes = collect(body, LONGEST).await?;
        let sent = self.sent(&bytes, &query)?;
        check_uid(sent.uid.as_deref())?;
        let name = sent.name.clone().or_else(|| query.name.clone());
        let Some(connected) = self.person(name.as_deref()).await? else {
            let error = Error::usage("a message needs a name");
            return Err(error.hint("add ?name=NAME to the address, or the user and password of an account").into());
        };
        self.say(room, &query, sent, &connected.person).await
    }

    async fn say(&self, room: &str, query: &Query, sent: Sent, person: &Arc<Person>) -> Answer<Response<Body>> {
        let text = message(&sent.text, true)?.into_owned();
        let full = |error: Error| match error.kind() {
            Kind::TooLarge => Refused::with(StatusCode::SERVICE_UNAVAILABLE, error),
            _ => error.into(),
        };
        let room = self.chat.room(room).map_err(full)?;
        self.admit(&room, person, query.token.as_deref())?;
        let (tell, told) = oneshot::channel();
        let kept = Box::new(move |uid: &str, id: Result<u64>| drop(tell.send((uid.to_owned(), id))));
        let what = What::Say { text, me: sent.me, edited: None, deleted: false };
        let (uid, network) = (sent.uid, self.network());
        let draft = Draft { uid, network, kept: Some(kept), ..Draft::of(person, what) };
        let (chat, posted) = (self.chat.clone(), oneshot::channel());
        let to = room.clone();
        // A client that hangs up meanwhile must not keep the others from hearing it.
        self.scope.spawn(async move {
            let done = chat.post(&to, draft).await;
            unconstrained(to.tell()).await;
            let _ = posted.0.send(done);
        });
        posted.1.await.unwrap_or_else(|_| Err(stopping()))?;
        let (uid, id) = told.await.map_err(|_| stopping())?;
        self.chat.tidy(&room);
        let event = Event::Kept { uid, id: id?, room: room.name.to_string() };
        let mut response = json_of(&event);
        *response.status_mut() = StatusCode::CREATED;
        Ok(response)
    }

    /// The message of a body: text, JSON, or a form.
    fn sent(&self, bytes: &Bytes, query: &Query) -> Result<Sent> {
        let kind = self.head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let wrong = |error: serde_json::Error| Error::new(Kind::Protocol, "that is no message").because(error);
        let sent = match kind.split(';').next().unwrap_or_default().trim() {
            "application/json" => serde_json::from_slice(bytes).map_err(wrong)?,
            // curl -d says that of everything: it is a form only where it says what the text is.
            "application/x-www-form-urlencoded" if fields(bytes).get("text").is_some() => {
                serde_json::from_value(fields(bytes)).map_err(wrong)?
            }
            _ => {
                let text = String::from_utf8_lossy(bytes).into_owned();
                Sent { text, uid: None, me: false, name: None }
            }
        };
        Ok(Sent { uid: sent.uid.or_else(|| query.uid.clone()), ..sent })
    }

    /// Who it is: the owner of an account by its password, or a guest of that name.
    async fn person(&self, name: Option<&str>) -> Answer<Option<Connected>> {
        if let Some((name, password)) = credentials(&self.head.headers)? {
            return Ok(Some(self.chat.owner(&name, &password, &self.peer).await?));
        }
        let Some(name) = name else { return Ok(None) };
        let nick = name::nick(name)?;
        if self.chat.account(&nick.key).await?.is_some() {
            let error = taken(&nick.shown).hint("it is an account: send its user and password");
            return Err(Refused::with(StatusCode::UNAUTHORIZED, error));
        }
        self.chat.is_for_guests(&nick).await?;
        Ok(Some(self.chat.people.visitor(&self.place(), self.network(), nick)?))
    }

    /// The room, if this visitor may come into it.
    async fn guarded(&self, room: &str, query: &Query) -> Answer<Arc<Room>> {
        let connected = self.person(None).await?;
        let nobody = format!("visitor:{}:", self.place());
        let author = connected.as_ref().map_or(nobody.as_str(), |connected| &connected.person.author);
        let (room, network) = (self.chat.look_at(room)?, self.network());
        let who = self.chat.who_is(author, network.as_deref());
        room.state().rules.admit(&room.name, who, query.token.as_deref(), super::now())?;
        Ok(room)
    }

    fn admit(&self, room: &Room, person: &Person, word: Option<&str>) -> Result<()> {
        let network = self.network();
        room.state().rules.admit(&room.name, self.chat.who(person, network.as_deref()), word, super::now())
    }

    fn ip(&self) -> Option<IpAddr> {
        self.peer.remote().net().map(|address| address.ip())
    }

    fn network(&self) -> Option<String> {
        self.ip().and_then(people::network)
    }

    fn place(&self) -> String {
        self.ip().map_or_else(|| "here".to_owned(), |ip| crate::peer::network(ip).to_string())
    }

    /// Takes a request out of the budget of its network: all of one have it together, since a name is had
    /// for nothing.
    fn pay(&self, floods: &Floods, times: u32) -> Answer<()> {
        let rate = self.chat.flood.map(|flood| flood.saturating_mul(times));
        let Some(wait) = floods.take(self.place(), rate, Instant::now()) else { return Ok(()) };
        let error = Error::new(Kind::TooLarge, format!("{} asks for more than it may", self.place()));
        let status = Some(StatusCode::TOO_MANY_REQUESTS);
        Err(Refused { error, status, wait: Some(wait.as_secs() + 1) })
    }
}

/// The name and password of Basic authentication (RFC 7617).
fn credentials(headers: &HeaderMap) -> Result<Option<(String, String)>> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let parsed = || {
        let (scheme, value) = value.to_str().ok()?.split_once(' ')?;
        let decoded = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
        let (name, password) = decoded.split_once(':').filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
        Some((name.to_owned(), password.to_owned()))
    };
    // Who says who they are is not to be taken for a guest.
    let wrong =
        || Error::usage("that Authorization is none of a name and a password").hint("curl --user NAME:PASSWORD");
    parsed().ok_or_else(wrong).map(Some)
}

/// The log and the id of an event, as its own id says it; or an id alone.
fn place_in_log(id: &str) -> (Option<String>, Option<u64>) {
    match id.rsplit_once('-') {
        Some((log, id)) => (Some(log.to_owned()), id.parse().ok()),
        None => (None, id.parse().ok()),
    }
}

/// The fields of a query or a form: whole numbers as such, all else as text.
fn fields(encoded: &[u8]) -> serde_json::Value {
    const NUMBERS: [&str; 2] = ["before", "limit"];
    let field = |(name, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)| {
        let value = match value.parse::<u64>() {
            Ok(number) if NUMBERS.contains(&name.as_ref()) => json!(number),
            _ if name == "me" => json!(value != "false" && value != "0"),
            _ => json!(value),
        };
        (name.into_owned(), value)
    };
    form_urlencoded::parse(encoded).map(field).collect::<serde_json::Map<_, _>>().into()
}

fn json_of(value: &impl serde::Serialize) -> Response<Body> {
    // What we have made can be written.
    let mut response = Response::new(full(serde_json::to_vec(value).unwrap_or_default()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn refusal(error: &Error) -> Response<Body> {
    let event =
        Event::Error { error: error.to_string(), hint: error.advice().map(str::to_owned), tag: None, uid: None };
    let mut response = json_of(&event);
    *response.status_mut() = status(error);
    response
}

fn nowhere(path: &str) -> Response<Body> {
    let error = Error::usage(format!("there is nothing at {}", brief(path)));
    let mut response = refusal(&error.hint("the page is at /, and the rooms are at /rooms"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

fn not_allowed(method: &Method, allowed: &'static str) -> Response<Body> {
    let mut response = refusal(&Error::usage(format!("{method} is not for that address")));
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

fn stopping() -> Error {
    Error::new(Kind::Other, "the server stops")
}
