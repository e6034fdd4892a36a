//! The line to the other servers by NATS, of which JetStream keeps the log.
//!
//! The client's own ways of coming back are not used: it would connect for ever after we are gone, and readers that it
//! makes again follow a stream that is not there any more in silence. So each connection is a client of its own that
//! ends with it, and each reader is made by us, after a look at the stream.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_nats::{
    Client, ConnectOptions, Event, Message, ServerAddr, Subscriber,
    jetstream::{
        self, Context, ErrorCode,
        consumer::{AckPolicy, DeliverPolicy, pull},
        context::{CreateStreamError, CreateStreamErrorKind, PublishErrorKind},
        message::PublishMessage,
        stream,
    },
};
use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::{
    sync::{Notify, mpsc},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Heard, Position,
    broker::{Broker, Login},
};
use crate::{
    error::{Error, Kind, Result},
    scope::Scope,
};

/// How long the broker may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often the broker shows that it is there, by an answer and by the reader of the log. After two or three that are
/// missing it is not.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The pause before the next attempt, and what it grows to.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// How many entries are under way to us, and how many wait to be heard.
const AHEAD: usize = 256;

/// How many words wait to be heard; what is more is lost.
const WORDS: usize = 4096;

/// A reader that nobody asks ends after this, as that of a server that was killed.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// What the log has room for. The broker sets the bytes aside when the stream is made.
const LOG_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const LOG_BYTES: i64 = 256 << 20;

/// How long the broker knows a uid again.
const DUPLICATES: Duration = Duration::from_secs(120);

/// A server's line to the others.
pub(super) struct Line {
    name: String,
    /// What our own words are told by, which come back to us.
    word: String,
    live: Mutex<Option<Live>>,
    /// Raised where the log seems not to be there, so that somebody looks.
    look: Notify,
}

#[derive(Clone)]
struct Live {
    context: Context,
    health: Arc<Health>,
}

/// Whether a connection stands, and what the broker complained about last.
#[derive(Default)]
struct Health {
    lost: CancellationToken,
    complaint: Mutex<Option<String>>,
}

impl Line {
    pub(super) fn open(
        brokers: Vec<Broker>,
        name: &str,
        after: Option<Position>,
        farewell: Bytes,
        scope: &Scope,
    ) -> Result<(Arc<Self>, mpsc::Receiver<Heard>)> {
        let mut me = [0; 12];
        rand::fill(&mut me).map_err(|_| Error::new(Kind::Other, "this system has no randomness"))?;
        let word = format!("{name}.word.{}", URL_SAFE_NO_PAD.encode(me));
        let line = Arc::new(Self { name: name.to_owned(), word, live: Mutex::default(), look: Notify::new() });
        let (tell, heard) = mpsc::channel(AHEAD);
        let mut follower = Follower { line: line.clone(), told: after, caught: false, tell };
        let (stopped, ended) = (scope.stopped(), line.clone());
        scope.spawn(async move {
            tokio::select! {
                () = stopped => {}
                () = follower.run(&brokers) => {}
            }
            ended.end(farewell).await;
        });
        Ok((line, heard))
    }

    pub(super) async fn publish(&self, room: &str, uid: &str, bytes: Bytes) -> Result<bool> {
        let about = "cannot tell the other servers";
        let Some(live) = self.alive() else { return Err(Error::new(Kind::Cut, about).because("the broker is away")) };
        let entry = PublishMessage::build().message_id(uid).expected_stream(&self.name).payload(bytes);
        // A room may be called anything; in a subject, dots and stars mean something.
        let subject = format!("{}.log.{}", self.name, URL_SAFE_NO_PAD.encode(room));
        let published = async { live.context.send_publish(subject, entry).await?.await };
        tokio::select! {
            () = live.health.lost.cancelled() => {
                Err(Error::new(Kind::Cut, about).because("the connection to the broker was lost"))
            }
            published = timeout(PATIENCE, published) => match published {
                Ok(Ok(taken)) => Ok(!taken.duplicate),
                Ok(Err(error)) => {
                    if error.kind() != PublishErrorKind::MaxPayloadExceeded {
                        self.look.notify_one();
                    }
                    Err(Error::new(Kind::Other, about).because(error.to_string()))
                }
                Err(_) => Err(Error::new(Kind::Timeout, about).because(format!("no answer within {PATIENCE:?}"))),
            }
        }
    }

    pub(super) async fn shout(&self, bytes: Bytes) {
        let Some(live) = self.alive() else { return };
        // What cannot be told now is not told: whoever shouts does so again.
        let _ = timeout(HEARTBEAT, live.context.client().publish(self.word.clone(), bytes)).await;
    }

    pub(super) fn is_up(&self) -> bool {
        self.alive().is_some()
    }

    fn alive(&self) -> Option<Live> {
        self.live().clone().filter(|live| !live.health.lost.is_cancelled())
    }

    fn live(&self) -> MutexGuard<'_, Option<Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets what was told last leave.
    async fn end(&self, farewell: Bytes) {
        self.shout(farewell).await;
        let live = self.live().take();
        if let Some(live) = live {
            // Nobody is left who could be told that it did not.
            let _ = timeout(HEARTBEAT, live.context.client().flush()).await;
        }
    }
}

/// Whoever reads the log, and connects again.
struct Follower {
    line: Arc<Line>,
    told: Option<Position>,
    /// Whether all that was there when we came has been told.
    caught: bool,
    tell: mpsc::Sender<Heard>,
}

/// Why a connection is over.
enum Ended {
    /// Nobody listens to us any more.
    Unheard,
    Away(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Away(error)
    }
}

impl Follower {
    async fn run(&mut self, brokers: &[Broker]) {
        let (mut pause, mut reason) = (PAUSES.0, String::new());
        for broker in brokers.iter().cycle() {
            let Err(Ended::Away(why)) = self.hold(broker).await else { return };
            let was_up = self.line.live().take().is_some();
            if was_up {
                pause = PAUSES.0;
            }
            let because = why.to_string();
            if (was_up || because != reason) && self.tell(Heard::Down { why }).await.is_err() {
                return;
            }
            reason = because;
            sleep(pause).await;
            pause = PAUSES.1.min(pause * 2);
        }
    }

    /// Holds one connection for as long as it stands.
    async fn hold(&mut self, broker: &Broker) -> Result<Infallible, Ended> {
        let health = Arc::new(Health::default());
        let client = connect(broker, &health).await?;
        let words = client.subscribe(format!("{}.word.*", self.line.name)).await;
        let mut words = words.map_err(|error| unusable(broker, &health).because(error.to_string()))?;
        let context = jetstream::new(client);
        let mut is_up = false;
        loop {
            let log = self.begin(&context, &|| unusable(broker, &health)).await?;
            if !is_up {
                *self.line.live() = Some(Live { context: context.clone(), health: health.clone() });
                (is_up, self.caught) = (true, false);
                self.tell(Heard::Up).await?;
            }
            self.follow(log, &mut words, &health, broker).await?;
            sleep(PAUSES.0).await;
        }
    }

    /// Sees to it that there is a log, and begins to read it after what has been told.
    async fn begin(&mut self, context: &Context, unusable: &(dyn Fn() -> Error + Sync)) -> Result<Log> {
        let begun = async {
            let stream = self.stream(context).await.map_err(|error| no_stream(unusable(), error))?;
            let made = made_at(stream.cached_info());
            let told = self.told.take().filter(|told| told.stream == made);
            // A broker whose disk was put back to an earlier day counts on from there.
            let told = told.filter(|told| told.sequence <= stream.cached_info().state.last_sequence);
            let from = told.as_ref().map_or(1, |told| told.sequence + 1);
            self.told = told;
            let reader = stream.create_consumer(self.reader(from)).await;
            let reader = reader.map_err(|error| unusable().because(error.to_string()))?;
            // If the stream was made again in between, this reads the new one from the middle of the old one.
            let now = stream.get_info().await.map_err(|error| unusable().because(error.to_string()))?;
            if made_at(&now) != made {
                return Err(unusable().because("the log is being made again"));
            }
            let left = reader.cached_info().num_pending;
            let entries = reader.stream().max_messages_per_batch(AHEAD).heartbeat(HEARTBEAT).messages().await;
            let entries = Box::pin(entries.map_err(|error| unusable().because(error.to_string()))?);
            Ok(Log { entries, made, left, count: 0 })
        };
        let begun = timeout(PATIENCE, begun).await;
        begun.unwrap_or_else(|_| Err(unusable().because(format!("no answer within {PATIENCE:?}")).of(Kind::Timeout)))
    }

    async fn stream(&self, context: &Context) -> Result<stream::Stream, CreateStreamError> {
        let config = stream::Config {
            name: self.line.name.clone(),
            subjects: vec![format!("{}.log.>", self.line.name)],
            description: Some("what is said in a chat of hullo".to_owned()),
            max_age: LOG_AGE,
            max_bytes: LOG_BYTES,
            max_messages: -1,
            max_messages_per_subject: -1,
            max_consumers: -1,
            duplicate_window: DUPLICATES,
            num_replicas: 1,
            storage: stream::StorageType::File,
            ..Default::default()
        };
        context.get_or_create_stream(config).await
    }

    fn reader(&self, from: u64) -> pull::Config {
        pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from },
            ack_policy: AckPolicy::None,
            filter_subject: format!("{}.log.>", self.line.name),
            inactive_threshold: FORGOTTEN,
            memory_storage: true,
            ..Default::default()
        }
    }

    /// Tells what comes, until the log has to be begun anew.
    async fn follow(
        &mut self,
        mut log: Log,
        words: &mut Subscriber,
        health: &Health,
        broker: &Broker,
    ) -> Result<(), Ended> {
        let lost = || unreachable(broker).because(health.complaint().unwrap_or("the connection was lost".to_owned()));
        loop {
            if log.left == 0 && !self.caught {
                self.caught = true;
                self.tell(Heard::Caught).await?;
            }
            tokio::select! {
                () = health.lost.cancelled() => return Err(lost().into()),
                () = self.line.look.notified() => return Ok(()),
                word = words.next() => match word {
                    Some(word) => self.word(word).await?,
                    None => return Err(lost().into()),
                },
                entry = log.entries.next() => match entry {
                    Some(Ok(entry)) if log.is_next(&entry) => self.entry(entry, &log).await?,
                    // Something is missing, or the reader is gone, and with it perhaps the log.
                    _ => return Ok(()),
                }
            }
        }
    }

    async fn word(&self, word: Message) -> Result<(), Ended> {
        if *word.subject == *self.line.word { Ok(()) } else { self.tell(Heard::Word { bytes: word.payload }).await }
    }

    async fn entry(&mut self, entry: jetstream::Message, log: &Log) -> Result<(), Ended> {
        let Ok(sequence) = entry.info().map(|info| info.stream_sequence) else { return Ok(()) };
        let position = Position { stream: log.made.clone(), sequence };
        self.tell(Heard::Entry { position: position.clone(), bytes: entry.message.payload }).await?;
        self.told = Some(position);
        Ok(())
    }

    /// Waits while others are slow to listen: then less comes from the broker.
    async fn tell(&self, heard: Heard) -> Result<(), Ended> {
        self.tell.send(heard).await.map_err(|_| Ended::Unheard)
    }
}

/// A reader of the log.
struct Log {
    entries: std::pin::Pin<Box<pull::Stream>>,
    /// When the stream was made.
    made: String,
    /// How many entries are left of those that were there at the beginning.
    left: u64,
    /// How many have come.
    count: u64,
}

impl Log {
    /// Counts an entry, unless one before it is missing.
    fn is_next(&mut self, entry: &jetstream::Message) -> bool {
        let Ok(info) = entry.info() else { return false };
        self.count += 1;
        // What was left may have been deleted meanwhile.
        self.left = if info.pending == 0 { 0 } else { self.left.saturating_sub(1) };
        info.consumer_sequence == self.count
    }
}

impl Health {
    fn heard(&self, event: Event) {
        match event {
            Event::Disconnected | Event::Closed => self.lost.cancel(),
            Event::ServerError(error) => {
                *self.complaint.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            }
            _ => {}
        }
    }

    fn complaint(&self) -> Option<String> {
        self.complaint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A connection that is not made again by itself.
async fn connect(broker: &Broker, health: &Arc<Health>) -> Result<Client> {
    let health = health.clone();
    let options = ConnectOptions::new()
        .name("hullo")
        // None at all cannot be said, and none would mean for ever. One ends at once, since nobody holds the client then.
        .max_reconnects(1)
        .ignore_discovered_servers()
        .connection_timeout(PATIENCE)
        .request_timeout(Some(PATIENCE))
        .ping_interval(HEARTBEAT)
        .subscription_capacity(WORDS)
        .event_callback(move |event| {
            health.heard(event);
            std::future::ready(())
        });
    let options = match broker.login.clone() {
        Login::Nobody => options,
        Login::Token(token) => options.token(token),
        Login::Password(user, password) => options.user_and_password(user, password),
    };
    let address = ServerAddr::from_url(broker.address.clone()).map_err(|error| unreachable(broker).because(error))?;
    match timeout(PATIENCE, options.connect(address)).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(error)) => Err(unreachable(broker).because(error.to_string())),
        Err(_) => Err(unreachable(broker).because(format!("no answer within {PATIENCE:?}")).of(Kind::Timeout)),
    }
}

fn unreachable(broker: &Broker) -> Error {
    Error::new(Kind::Unreachable, format!("cannot reach the broker at {}", broker.address))
}

/// An error about a broker that is there, with its own complaint if it has one.
fn unusable(broker: &Broker, health: &Health) -> Error {
    let error = Error::new(Kind::Protocol, format!("cannot join the other servers at {}", broker.address));
    match health.complaint() {
        Some(complaint) => error.hint(format!("the broker says: {complaint}")),
        None => error,
    }
}

fn no_stream(error: Error, why: CreateStreamError) -> Error {
    let hint = match why.kind() {
        CreateStreamErrorKind::JetStreamUnavailable => "its JetStream is off: nats-server -js has it on",
        CreateStreamErrorKind::JetStream(problem) if problem.error_code() == ErrorCode::STORAGE_RESOURCES_EXCEEDED => {
            "the log wants 256 MiB there; a smaller stream that was made by hand is used as it is"
        }
        _ => return error.because(why.to_string()),
    };
    error.because(why.to_string()).hint(hint)
}

fn made_at(stream: &stream::Info) -> String {
    stream.created.unix_timestamp_nanos().to_string()
}
