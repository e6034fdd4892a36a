//! What joins servers: a log that all of them read in the same order, and words that nobody keeps.
//!
//! The log is a stream of NATS JetStream. Each server publishes to it and reads it from the place that it had come to,
//! so that all of them are told the same entries in the same order, each once. What a server has been told is for it to
//! keep, as a [`Position`]: with it, it goes on there after a restart.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

#[cfg(feature = "nats")]
use self::nats::Line;
#[cfg(not(feature = "nats"))]
use self::without::Line;
use crate::{
    error::{Error, Result},
    scope::Scope,
};

#[cfg_attr(not(feature = "nats"), allow(dead_code, reason = "addresses are refused for what is wrong with them only"))]
mod broker;
#[cfg(feature = "nats")]
mod nats;
#[cfg(not(feature = "nats"))]
mod without;

/// A place in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Which log: when its stream was made. One that was deleted and made again counts from 1 once more.
    pub(crate) stream: String,
    /// The number of the entry there. It grows, with gaps.
    pub(crate) sequence: u64,
}

/// What comes from the other servers, and from the broker.
#[derive(Debug)]
#[cfg_attr(not(feature = "nats"), allow(dead_code, reason = "nobody is there to be heard"))]
pub(crate) enum Heard {
    /// The next entry of the log, whoever published it.
    Entry {
        /// Where it stands.
        position: Position,
        /// What was published.
        bytes: Bytes,
    },
    /// What another server shouted.
    Word {
        /// What it was.
        bytes: Bytes,
    },
    /// The broker is there, and the entries that we have not been told yet follow.
    Up,
    /// What was in the log at the last [`Heard::Up`] has been told.
    Caught,
    /// The broker is away, or cannot be used. It is tried again and again; another reason is told again.
    Down {
        /// Why.
        why: Error,
    },
}

/// One server's line to the others. Cheap to clone; it ends with its scope.
#[derive(Clone)]
pub(crate) struct Bus(Arc<Line>);

impl Bus {
    /// Refuses words that can be no brokers.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn check(url: &str) -> Result<()> {
        broker::read(url).map(drop)
    }

    /// Joins the servers that meet at the brokers of `url`, as in `nats://user:password@host:4222`, several of them with
    /// commas between them. `name` is that of the stream, and the subjects begin with it. What follows `after` in the log
    /// is told, or all of it. The brokers may be away still. With the end of the scope the others are told `farewell`.
    ///
    /// # Errors
    /// Words that cannot be meant.
    pub(crate) fn open(
        url: &str,
        name: &str,
        after: Option<Position>,
        farewell: Bytes,
        scope: &Scope,
    ) -> Result<(Self, mpsc::Receiver<Heard>)> {
        let brokers = broker::read(url)?;
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            let about = format!("a chat of several servers cannot be called {name:?}");
            return Err(Error::usage(about).hint("letters, digits, - and _ make such a name"));
        }
        let (line, heard) = Line::open(brokers, name, after, farewell, scope)?;
        Ok((Self(line), heard))
    }

    /// Puts an entry into the log, and waits until the broker has it on its disk. The same `uid` within two minutes is
    /// the same entry: says whether it is a new one. May be cancelled, and then the entry may be in the log or not.
    ///
    /// # Errors
    /// The broker is away, which is said at once, or does not answer in a few seconds: the entry may be in the log or not.
    pub(crate) async fn publish(&self, room: &str, uid: &str, bytes: Bytes) -> Result<bool> {
        self.0.publish(room, uid, bytes).await
    }

    /// Tells all other servers that are there now. Nothing is told while the broker is away.
    pub(crate) async fn shout(&self, bytes: Bytes) {
        self.0.shout(bytes).await;
    }

    /// Whether the broker is there, as far as is known.
    pub(crate) fn is_up(&self) -> bool {
        self.0.is_up()
    }
}

#[cfg(feature = "nats")]
#[cfg(test)]
mod tests {
    use std::{
        fs,
        time::{Duration, Instant},
    };

    use rustix::process::{Signal, kill_process};
    use tokio::{
        task::yield_now,
        time::{sleep, timeout},
    };

    use super::{broker::Running, *};

    /// One server, and what it has heard.
    struct Ear {
        bus: Bus,
        heard: mpsc::Receiver<Heard>,
        scope: Scope,
        told: Option<Position>,
    }

    impl Ear {
        fn open(url: &str, after: Option<Position>) -> Self {
            let scope = Scope::default();
            let (bus, heard) = Bus::open(url, "test", after.clone(), "bye".into(), &scope).unwrap();
            Self { bus, heard, scope, told: after }
        }

        async fn next(&mut self) -> Heard {
            patiently("something to hear", self.heard.recv()).await.expect("the line is there")
        }

        async fn until(&mut self, wanted: impl Fn(&Heard) -> bool) -> Heard {
            loop {
                let heard = self.next().await;
                if wanted(&heard) {
                    return heard;
                }
            }
        }

        async fn up(&mut self) {
            self.until(|heard| matches!(heard, Heard::Caught)).await;
        }

        /// The next entries, as text.
        async fn entries(&mut self, count: usize) -> Vec<String> {
            let mut entries = Vec::new();
            while entries.len() < count {
                if let Heard::Entry { position, bytes } = self.next().await {
                    entries.push(text(&bytes));
                    self.told = Some(position);
                }
            }
            entries
        }

        /// Publishes as a server does: again, until it is there.
        async fn publish(&self, text: &str) {
            patiently("an entry that is taken", async {
                while self.bus.publish("a room.*", text, text.to_owned().into()).await.is_err() {
                    sleep(Duration::from_millis(10)).await;
                }
            })
            .await;
        }
    }

    impl Drop for Ear {
        fn drop(&mut self) {
            self.scope.abort();
        }
    }

    async fn patiently<T>(what: &str, wait: impl Future<Output = T>) -> T {
        timeout(Duration::from_secs(30), wait).await.unwrap_or_else(|_| panic!("never: {what}"))
    }

    fn text(bytes: &Bytes) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    fn numbers(from: u32, to: u32) -> Vec<String> {
        (from..to).map(|number| number.to_string()).collect()
    }

    #[tokio::test]
    async fn all_hear_the_same_in_the_same_order() {
        let Some(broker) = Running::start(&["-js"]).await else { return };
        let (mut one, mut two) = (Ear::open(&broker.url(), None), Ear::open(&broker.url(), None));
        one.up().await;
        two.up().await;
        let talk = |ear: &Ear, name: &'static str| {
            let bus = ear.bus.clone();
            async move {
                for number in 0..100 {
                    let said = format!("{name}{number}");
                    bus.publish("röom/…", &said, said.clone().into()).await.unwrap();
                }
            }
        };
        tokio::join!(talk(&one, "a"), talk(&two, "b"));
        let (first, second) = (one.entries(200).await, two.entries(200).await);
        assert_eq!(first, second);
        for name in ["a", "b"] {
            let own: Vec<_> = first.iter().filter(|said| said.starts_with(name)).collect();
            assert!(own.iter().enumerate().all(|(at, said)| **said == format!("{name}{at}")), "{own:?}");
        }
        // Who comes later is told all of it, or what came after the place it knows.
        let mut late = Ear::open(&broker.url(), None);
        assert_eq!(late.entries(200).await, first);
        assert!(matches!(late.next().await, Heard::Caught));
        let told = Position { sequence: 150, ..one.told.clone().unwrap() };
        assert_eq!(Ear::open(&broker.url(), Some(told)).entries(50).await, first[150..]);
    }

    #[tokio::test]
    async fn the_same_uid_is_one_entry() {
        let Some(broker) = Running::start(&["-js"]).await else { return };
        let mut ear = Ear::open(&broker.url(), None);
        ear.up().await;
        for (uid, said, is_new) in [("u", "first", true), ("u", "again", false), ("v", "other", true)] {
            assert_eq!(ear.bus.publish("lobby", uid, said.into()).await.unwrap(), is_new, "{said}");
        }
        assert_eq!(ear.entries(2).await, ["first", "other"]);
    }

    #[tokio::test]
    async fn words_reach_the_others_only() {
        let Some(broker) = Running::start(&["-js"]).await else { return };
        let (mut one, mut two) = (Ear::open(&broker.url(), None), Ear::open(&broker.url(), None));
        one.up().await;
        two.up().await;
        one.bus.shout("from one".into()).await;
        let heard = two.until(|heard| matches!(heard, Heard::Word { .. })).await;
        assert!(matches!(heard, Heard::Word { bytes } if bytes == "from one"));
        two.bus.shout("from two".into()).await;
        let heard = one.until(|heard| matches!(heard, Heard::Word { .. })).await;
        assert!(matches!(heard, Heard::Word { bytes } if bytes == "from two"), "one's own words do not come back");
        assert!(two.scope.end(Duration::from_secs(5)).await);
        let heard = one.until(|heard| matches!(heard, Heard::Word { .. })).await;
        assert!(matches!(heard, Heard::Word { bytes } if bytes == "bye"));
    }

    #[tokio::test]
    async fn a_broker_that_is_killed_and_comes_back_costs_nothing() {
        let Some(mut broker) = Running::start(&["-js"]).await else { return };
        let (mut one, mut two) = (Ear::open(&broker.url(), None), Ear::open(&broker.url(), None));
        one.up().await;
        two.up().await;
        for number in numbers(0, 20) {
            one.publish(&number).await;
        }
        assert_eq!(one.entries(20).await, numbers(0, 20));
        broker.kill();
        one.until(|heard| matches!(heard, Heard::Down { .. })).await;
        assert!(!one.bus.is_up());
        let refused = one.bus.publish("lobby", "x", "lost".into()).await.unwrap_err();
        assert_eq!(refused.to_string(), "cannot tell the other servers: the broker is away");
        broker.restart().unwrap();
        for number in numbers(20, 40) {
            one.publish(&number).await;
        }
        assert_eq!(two.entries(40).await, numbers(0, 40));
        // Nothing comes twice.
        assert_eq!(one.entries(20).await, numbers(20, 40));
        assert!(one.bus.is_up());
    }

    #[tokio::test]
    async fn a_broker_that_stands_still_is_away() {
        let Some(broker) = Running::start(&["-js"]).await else { return };
        let mut ear = Ear::open(&broker.url(), None);
        ear.up().await;
        ear.publish("before").await;
        assert_eq!(ear.entries(1).await, ["before"]);
        let broker_is = |signal| kill_process(broker.id(), signal).unwrap();
        broker_is(Signal::STOP);
        let stopped = Instant::now();
        ear.until(|heard| matches!(heard, Heard::Down { .. })).await;
        assert!(stopped.elapsed() < Duration::from_secs(10), "{:?}", stopped.elapsed());
        let refused = ear.bus.publish("lobby", "x", "lost".into()).await;
        assert!(refused.is_err() && !ear.bus.is_up());
        broker_is(Signal::CONT);
        ear.publish("after").await;
        assert_eq!(ear.entries(1).await, ["after"]);
    }

    #[tokio::test]
    async fn a_broker_that_lost_its_disk_begins_anew() {
        let Some(mut broker) = Running::start(&["-js"]).await else { return };
        let mut ear = Ear::open(&broker.url(), None);
        ear.up().await;
        for number in numbers(0, 5) {
            ear.publish(&number).await;
        }
        assert_eq!(ear.entries(5).await, numbers(0, 5));
        broker.kill();
        fs::remove_dir_all(broker.folder.join("jetstream")).unwrap();
        broker.restart().unwrap();
        ear.publish("new").await;
        assert_eq!(ear.entries(1).await, ["new"]);
        assert_eq!(ear.told.as_ref().unwrap().sequence, 1);
    }

    #[tokio::test]
    async fn a_log_that_is_deleted_is_made_again() {
        let Some(broker) = Running::start(&["-js"]).await else { return };
        let (mut one, mut two) = (Ear::open(&broker.url(), None), Ear::open(&broker.url(), None));
        one.up().await;
        two.up().await;
        for number in numbers(0, 5) {
            one.publish(&number).await;
        }
        assert_eq!((one.entries(5).await, two.entries(5).await), (numbers(0, 5), numbers(0, 5)));
        let old = one.told.clone().unwrap();
        broker.context().await.delete_stream("test").await.unwrap();
        for number in numbers(5, 8) {
            two.publish(&number).await;
        }
        assert_eq!((one.entries(3).await, two.entries(3).await), (numbers(5, 8), numbers(5, 8)));
        let new = one.told.clone().unwrap();
        assert!(new.stream != old.stream && new.sequence == 3, "{old:?} {new:?}");
        // A place in the old log means nothing in the new one, even where it has that number.
        let stale = Position { sequence: 2, ..old };
        assert_eq!(Ear::open(&broker.url(), Some(stale)).entries(3).await, numbers(5, 8));
    }

    #[tokio::test]
    async fn a_reader_that_is_deleted_is_made_again() {
        let Some(broker) = Running::start(&["-js"]).await else { return };
        let mut ear = Ear::open(&broker.url(), None);
        ear.up().await;
        ear.publish("before").await;
        assert_eq!(ear.entries(1).await, ["before"]);
        let stream = broker.context().await.get_stream("test").await.unwrap();
        let names: Vec<_> = futures_util::TryStreamExt::try_collect(stream.consumer_names()).await.unwrap();
        let [name] = &names[..] else { panic!("{names:?}") };
        let name: &String = name;
        stream.delete_consumer(name).await.unwrap();
        ear.publish("after").await;
        assert_eq!(ear.entries(1).await, ["after"]);
    }

    #[tokio::test]
    async fn a_broker_may_come_later() {
        let mut broker = Running::absent(&["-js", "--user", "ann", "--pass", "s3cret"]);
        let mut ear = Ear::open(&format!("nats://ann:s3cret@127.0.0.1:{}", broker.port), None);
        let Heard::Down { why } = ear.next().await else { panic!("it is up") };
        let said = format!("{why} {why:?}");
        assert!(said.contains(&format!("nats://127.0.0.1:{}", broker.port)) && !said.contains("s3cret"), "{said}");
        if broker.restart().is_none() {
            return;
        }
        ear.up().await;
        ear.publish("x").await;
        assert_eq!(ear.entries(1).await, ["x"]);
    }

    #[tokio::test]
    async fn the_next_broker_is_tried_where_one_is_away() {
        let (absent, Some(broker)) = (Running::absent(&[]), Running::start(&["-js"]).await) else { return };
        let mut ear = Ear::open(&format!("{},{}", absent.url(), broker.url()), None);
        assert!(matches!(ear.next().await, Heard::Down { .. }));
        assert!(matches!(ear.next().await, Heard::Up));
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_broker_is_said() {
        let cases: [(&[&str], &str, &str); 3] = [
            (&["-js", "--user", "ann", "--pass", "s3cret"], "ann:wr0ng@", "authorization violation"),
            (&["-js", "--auth", "t0ken"], "t0kem@", "authorization violation"),
            (&[], "", "nats-server -js"),
        ];
        for (words, login, wanted) in cases {
            let Some(broker) = Running::start(words).await else { return };
            let mut ear = Ear::open(&broker.url().replace("//", &format!("//{login}")), None);
            let Heard::Down { why } = ear.next().await else { panic!("{wanted}: it is up") };
            let said = format!("{why} {:?}", why.advice());
            assert!(said.contains(wanted) && !said.contains("wr0ng") && !said.contains("t0k"), "{said}");
        }
    }

    #[tokio::test]
    async fn it_ends_with_its_scope_while_the_broker_is_away_too() {
        let Some(mut broker) = Running::start(&["-js"]).await else { return };
        for is_away in [false, true] {
            let mut ear = Ear::open(&broker.url(), None);
            ear.up().await;
            if is_away {
                broker.kill();
                ear.until(|heard| matches!(heard, Heard::Down { .. })).await;
            }
            assert!(ear.scope.end(Duration::from_secs(5)).await, "away: {is_away}");
            drop(ear);
            let metrics = tokio::runtime::Handle::current().metrics();
            patiently("the end of all tasks", async {
                while metrics.num_alive_tasks() > 0 {
                    yield_now().await;
                }
            })
            .await;
        }
    }
}
