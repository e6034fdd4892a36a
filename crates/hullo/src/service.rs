//! What holds conversations: the traits, and the table of the services that come with the crate.
//!
//! Most authors write a [`Reply`]: one function from a message to a message. It runs on every transport, fast on each.
//!
//! ```
//! use hullo::{Answer, Message, Peer, Reply, Result};
//!
//! struct Shout;
//!
//! impl Reply for Shout {
//!     async fn reply(&self, message: Message, _: &Peer) -> Result<Option<Message>> {
//!         Ok(Some(Message::text(message.to_text().to_uppercase())))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let server = hullo::serve("tcp://127.0.0.1:0", Answer(Shout)).await?;
//! let answer = hullo::ask(&server.address().to_string(), "hullo").await?;
//! assert_eq!(answer.to_text(), "HULLO");
//! # Ok(())
//! # }
//! ```

use std::{
    future::{Future, poll_fn},
    sync::Arc,
    task::Poll,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tokio::sync::Semaphore;

use crate::{
    address::Address,
    error::{Error, Kind, Result, unknown},
    framing,
    io::{
        by_peer::{ALWAYS, TIMES, by_peer},
        datagrams::{Batch, Datagrams, Source},
        exchange::{Body, as_conversation, collect, text},
    },
    link::Link,
    message::Message,
    peer::Peer,
    scope::{BoxFuture, Scope},
    watch::Event,
};

/// Something that holds conversations: one method to write, and two to write where it pays.
pub trait Service: Send + Sync + 'static {
    /// Holds one conversation, to its end.
    ///
    /// The link's stream reads as ended when the server stops, so a service that ends at the end of its input needs
    /// nothing more for a clean shutdown.
    fn serve(self: Arc<Self>, link: Link) -> BoxFuture<'static, Result<()>>;

    /// Serves a datagram socket. By default each peer has a link of its own.
    fn datagrams(self: Arc<Self>, socket: Datagrams, scope: Scope) -> BoxFuture<'static, Result<()>> {
        Box::pin(by_peer(self, socket, scope))
    }

    /// Answers an HTTP request. By default its body is a conversation's input, and the response's its output.
    fn exchange(
        self: Arc<Self>,
        request: Request<Body>,
        peer: Peer,
        scope: Scope,
    ) -> BoxFuture<'static, Result<Response<Body>>> {
        Box::pin(as_conversation(self, request, peer, scope))
    }

    /// What it answers to GET and HEAD of that path, where nothing else of the request matters and the answer is there
    /// already: it is then the same that [`exchange`](Self::exchange) gives, which may be asked instead.
    fn prepared(&self, _path: &str) -> Option<&Response<Bytes>> {
        None
    }

    /// What it needs of the addresses that it is served on.
    fn needs(&self) -> Needs {
        Needs::Nothing
    }

    /// Whether it answers HTTP requests and nothing else.
    fn is_web(&self) -> bool {
        self.needs() == Needs::Http
    }

    /// Whether the pages of every site may talk to it from a browser. Where not, only those of our own host may, and those
    /// that the option `origin` names.
    fn is_public(&self) -> bool {
        false
    }

    /// Whether a WebSocket may be opened at that path of an HTTP listener. Where not, the request is one like others.
    fn converses_at(&self, _path: &str) -> bool {
        true
    }

    /// Whether others measure with it: then whoever watches is told about once a second how fast each conversation is.
    fn is_measured(&self) -> bool {
        false
    }

    /// Options of its addresses of that scheme that are other than usual, where they mean something and are not written.
    fn options(&self, _scheme: &str) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Is called for each address that it is served on, before anybody comes: what it does of its own lives in the scope.
    fn begin(self: Arc<Self>, _scope: &Scope) {}

    /// What a person should know who has started it at that address, one sentence each.
    fn notes(&self, _at: &Address) -> Vec<String> {
        Vec::new()
    }
}

/// What a service needs of the addresses that it is served on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: it runs on every transport.
    Nothing,
    /// HTTP requests, which it answers: no other transport takes it.
    Http,
    /// Bytes in order, with both their ends, which are a protocol of its own: datagrams and HTTP have no such thing.
    Bytes,
}

/// Begins a conversation, and tells whoever watches.
pub(crate) fn converse<S: Service + ?Sized>(service: Arc<S>, link: Link) -> BoxFuture<'static, Result<()>> {
    link.scope.tell(&Event::Opened { peer: &link.peer });
    service.serve(link)
}

/// A service that only answers each message. Wrap it in [`Answer`] to serve it.
pub trait Reply: Send + Sync + 'static {
    /// Answers one message; nothing is an answer too.
    ///
    /// # Errors
    /// What is wrong with the message: the peer is told, and the conversation goes on.
    fn reply(&self, message: Message, peer: &Peer) -> impl Future<Output = Result<Option<Message>>> + Send;

    /// The framing on streams, unless the address asks for another.
    fn framing(&self) -> &'static framing::Spec {
        &framing::text::SPEC
    }

    /// The type of its answers over HTTP.
    fn content_type(&self) -> &'static str {
        "text/plain; charset=utf-8"
    }

    /// The message that tells the peer of an error.
    fn refusal(&self, error: &Error) -> Message {
        Message::text(format!("error: {error}"))
    }
}

/// A [`Reply`] as a [`Service`]: on streams and WebSockets answered in order, on datagrams in batches, over HTTP one
/// answer to an exchange.
pub struct Answer<R>(pub R);

impl<R: Reply> Service for Answer<R> {
    fn serve(self: Arc<Self>, link: Link) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let mut session = link.session(self.0.framing());
            loop {
                match session.recv().await {
                    Ok(Some(message)) => {
                        if let Some(answer) = self.answer(message, session.peer()).await.0 {
                            session.send(answer).await?;
                        }
                    }
                    Ok(None) => return session.close().await,
                    Err(error) => {
                        // The peer may be beyond hearing it; what matters then is the error itself.
                        let _ = session.send(self.0.refusal(&error)).await;
                        let _ = session.close().await;
                        return Err(error);
                    }
                }
            }
        })
    }

    fn datagrams(self: Arc<Self>, socket: Datagrams, scope: Scope) -> BoxFuture<'static, Result<()>> {
        Box::pin(answer_batches(self, socket, scope))
    }

    fn exchange(
        self: Arc<Self>,
        request: Request<Body>,
        peer: Peer,
        scope: Scope,
    ) -> BoxFuture<'static, Result<Response<Body>>> {
        Box::pin(async move {
            let path = request.uri().path().trim_start_matches('/').to_owned();
            let body = collect(request.into_body(), scope.limits().max).await?;
            // Without a body the path is the message: `curl localhost:8080/36.6`.
            let message = if body.is_empty() {
                Message::text(percent_encoding::percent_decode_str(&path).decode_utf8_lossy())
            } else {
                Message { bytes: body, text: true }
            };
            let (answer, status) = self.answer(message, &peer).await;
            let Some(answer) = answer else { return Ok(text(StatusCode::NO_CONTENT, "")) };
            let mut bytes = bytes::BytesMut::from(answer.bytes);
            bytes.extend_from_slice(b"\n");
            let mut response = text(status, bytes);
            response
                .headers_mut()
                .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(self.0.content_type()));
            Ok(response)
        })
    }
}

impl<R: Reply> Answer<R> {
    /// The answer to a message, or the refusal of it, and what that is as an HTTP status.
    async fn answer(&self, message: Message, peer: &Peer) -> (Option<Message>, StatusCode) {
        match self.0.reply(message, peer).await {
            Ok(answer) => (answer, StatusCode::OK),
            Err(error) => (Some(self.0.refusal(&error)), status(&error)),
        }
    }
}

/// What an error is as an HTTP status.
pub(crate) fn status(error: &Error) -> StatusCode {
    match error.kind() {
        Kind::Usage | Kind::Protocol | Kind::Cut => StatusCode::BAD_REQUEST,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::Timeout => StatusCode::REQUEST_TIMEOUT,
        Kind::Program | Kind::Resolve | Kind::Refused | Kind::Unreachable => StatusCode::BAD_GATEWAY,
        Kind::Denied => StatusCode::FORBIDDEN,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Answers datagrams in batches: many in with one system call, many out with one.
async fn answer_batches<R: Reply>(answer: Arc<Answer<R>>, socket: Datagrams, scope: Scope) -> Result<()> {
    let socket = Arc::new(socket);
    let mut batch = Batch::new();
    let mut strangers = Strangers::default();
    let places = Arc::new(Semaphore::new(scope.limits().max_connections));
    let stopped = scope.stopped();
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => return Ok(()),
            received = socket.receive(&mut batch) => if let Err(error) = received {
                scope.tell(&Event::Trouble { peer: None, error: &Error::io("cannot receive a datagram", error) });
                continue;
            },
        }
        let mut answers = Vec::new();
        for train in batch.trains() {
            let from = train.from();
            let peer = Peer::new(socket.scheme, from.endpoint(), from.local(&socket.local));
            for datagram in train.datagrams() {
                let (answer, socket, peer) = (answer.clone(), socket.clone(), peer.clone());
                let message = Message { bytes: Bytes::copy_from_slice(datagram), text: true };
                let mut reply = Box::pin(async move { answer.answer(message, &peer).await.0 });
                let budget = strangers.budget(from, datagram.len(), socket.amplify);
                match poll_once(&mut reply).await {
                    Poll::Ready(Some(reply)) => answers.push((from, strangers.fit(from, reply, budget))),
                    Poll::Ready(None) => {}
                    Poll::Pending => {
                        // How long the reply is will be known too late to remember its peer then.
                        strangers.remember(from);
                        // More than that are dropped, as the network does.
                        let Ok(place) = places.clone().try_acquire_owned() else { continue };
                        let from = from.clone();
                        scope.spawn(async move {
                            let _place = place;
                            if let Some(reply) = reply.await {
                                let bytes = if reply.bytes.len() > budget { hold_back(&reply) } else { reply };
                                let _ = socket.send(&[(&from, &bytes.bytes)]).await;
                            }
                        });
                    }
                }
            }
        }
        let answers: Vec<_> =
            answers.iter().filter(|(to, _)| to.answerable()).map(|(to, answer)| (*to, &answer.bytes[..])).collect();
        if let Err(error) = socket.send(&answers).await {
            scope.tell(&Event::Trouble { peer: None, error: &Error::io("cannot send a datagram", error) });
        }
    }
}

async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx))).await
}

/// The peers that have had an answer held back, or may yet, and so are heard a second time when they ask again. Only they
/// need to be remembered: every other answer was small enough for a stranger.
#[derive(Default)]
struct Strangers(std::collections::HashSet<Source>);

impl Strangers {
    const MOST: usize = 4096;

    /// The most that may be answered to a question of `asked` bytes.
    fn budget(&self, from: &Source, asked: usize, amplify: bool) -> usize {
        if amplify || self.0.contains(from) { usize::MAX } else { ALWAYS.max(TIMES.saturating_mul(asked)) }
    }

    fn fit(&mut self, from: &Source, answer: Message, budget: usize) -> Message {
        if answer.bytes.len() <= budget {
            return answer;
        }
        self.remember(from);
        hold_back(&answer)
    }

    fn remember(&mut self, from: &Source) {
        if self.0.len() >= Self::MOST {
            self.0.clear();
        }
        self.0.insert(from.clone());
    }
}

fn hold_back(answer: &Message) -> Message {
    Message::text(format!(
        "error: the answer has {} bytes, too many for a first question over datagrams: ask again",
        answer.bytes.len()
    ))
}

/// The name of one of the [`Settings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// `--text`.
    Text,
    /// `-- CMD ARG...`.
    Command,
    /// `--env`.
    Env,
    /// `--db`.
    Database,
    /// `--rate`.
    Rate,
    /// `DIR`, which stands before the addresses.
    Dir,
    /// `--hidden`.
    Hidden,
    /// `--index`.
    Index,
    /// `--upload`, `--overwrite` and `--max-upload`.
    Upload,
    /// `--auth`.
    Auth,
    /// `--flood`.
    Flood,
    /// `--keep` and `--keep-for`.
    Keep,
    /// `--bus`.
    Bus,
    /// `--operator`.
    Operators,
}

/// What the command line hands to a service when it is made.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `--text`, for services that say something.
    pub text: Option<String>,
    /// The program and its arguments after `--`, for services that run one.
    pub command: Vec<std::ffi::OsString>,
    /// Where programs are looked for, as `PATH` has it.
    pub path: Option<std::ffi::OsString>,
    /// The variables of `--env`, for services that show them.
    pub env: Vec<(String, String)>,
    /// `--db`, for services that keep something: a file, or a server as `postgres://user@host/name`.
    pub database: Option<String>,
    /// The password of that server, which stands on no command line.
    pub password: Option<String>,
    /// `--rate`, the requests that one peer may make in a second.
    pub rate: Option<u32>,
    /// The folder, for services that show one.
    pub dir: Option<std::path::PathBuf>,
    /// `--hidden`: also what has a name that begins with a dot.
    pub hidden: bool,
    /// `--index`: the name of the file that stands for its folder.
    pub index: Option<String>,
    /// `--upload`: files may be put into the folder.
    pub upload: bool,
    /// `--overwrite`: they may take the place of others.
    pub overwrite: bool,
    /// `--max-upload`: the most bytes of each.
    pub max_upload: Option<u64>,
    /// `--auth`: who may do anything, as `name:password`, where the password may be its argon2 hash.
    pub accounts: Vec<String>,
    /// `--auth-upload`: who may write; where there are some, others may not.
    pub writers: Vec<String>,
    /// `--flood`: the messages that somebody may say in a second; 0 is any number.
    pub flood: Option<u32>,
    /// `--keep`: the most entries that are kept.
    pub keep: Option<u64>,
    /// `--keep-for`: how long they are.
    pub keep_for: Option<std::time::Duration>,
    /// `--bus`: the brokers at which several servers meet to be one chat.
    pub bus: Option<String>,
    /// `--operator`: the accounts that may do everything everywhere.
    pub operators: Vec<String>,
}

impl Settings {
    /// Refuses the settings that mean nothing to that service.
    ///
    /// # Errors
    /// The first of them.
    pub fn suit(&self, spec: &Spec) -> Result<()> {
        let given = [
            (Setting::Text, self.text.is_some(), "--text"),
            (Setting::Command, !self.command.is_empty(), "a program"),
            (Setting::Env, !self.env.is_empty(), "--env"),
            (Setting::Database, self.database.is_some(), "--db"),
            (Setting::Rate, self.rate.is_some(), "--rate"),
            (Setting::Dir, self.dir.is_some(), "a folder"),
            (Setting::Hidden, self.hidden, "--hidden"),
            (Setting::Index, self.index.is_some(), "--index"),
            (Setting::Upload, self.upload, "--upload"),
            (Setting::Upload, self.overwrite, "--overwrite"),
            (Setting::Upload, self.max_upload.is_some(), "--max-upload"),
            (Setting::Auth, !self.accounts.is_empty(), "--auth"),
            (Setting::Upload, !self.writers.is_empty(), "--auth-upload"),
            (Setting::Flood, self.flood.is_some(), "--flood"),
            (Setting::Keep, self.keep.is_some(), "--keep"),
            (Setting::Keep, self.keep_for.is_some(), "--keep-for"),
            (Setting::Bus, self.bus.is_some(), "--bus"),
            (Setting::Operators, !self.operators.is_empty(), "--operator"),
        ];
        match given.iter().find(|(setting, given, _)| *given && !spec.takes.contains(setting)) {
            Some((_, _, what)) => Err(Error::usage(format!("{} has no use for {what}", spec.name))),
            None => Ok(()),
        }
    }
}

/// A line of the table of services.
pub struct Spec {
    /// The name that a user types.
    pub name: &'static str,
    /// One line of help.
    pub about: &'static str,
    /// What to type to see it at work.
    pub sample: &'static str,
    /// The settings that mean something to it.
    pub takes: &'static [Setting],
    /// What it needs of its addresses, as its [`Service::needs`] says too.
    pub needs: Needs,
    /// Makes one.
    ///
    /// # Errors
    /// A setting is missing or wrong.
    pub make: fn(&Settings) -> Result<Arc<dyn Service>>,
}

macro_rules! services {
    ($($name:ident),* $(,)?) => {
        $(pub mod $name;)*

        /// Every service, sorted by name.
        pub const SERVICES: &[Spec] = &[$($name::SPEC),*];
    };
}

mod accounts;
pub mod relay;
#[cfg(feature = "sqlite")]
mod sqlite;
mod tunnel;

services! { chargen, chat, connect, convert, discard, echo, exec, files, greet, httpbin, json, rest, socks5 }

/// The service of that name.
///
/// # Errors
/// An unknown name, with the nearest known one.
pub fn find(name: &str) -> Result<&'static Spec> {
    let names = SERVICES.iter().map(|spec| spec.name);
    SERVICES.iter().find(|spec| spec.name == name).ok_or_else(|| unknown("service", name, names))
}
