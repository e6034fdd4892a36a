//! What a load test found out: what `--json` prints, and what everything that is shown is made of.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

pub use self::times::{Latency, PERCENTILES};
use super::{
    Plan, Shape, buckets,
    tally::{Packets, Tally},
    words,
};
use crate::error::Kind;

mod times;

/// The version of the words below; it grows when one of them changes its meaning.
pub const SCHEMA: u32 = 1;

/// What a load test found out. Times are milliseconds, bytes are bytes, rates are by the second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of hullo.
    pub hullo: String,
    /// When what counts began (RFC 3339).
    pub started: String,
    /// Where the load went.
    pub target: String,
    /// What kind of load it was: `ask`, `http`, `up`, `down`, `both`, `connect`.
    pub shape: String,
    /// `open` if requests went by schedule, whatever the server did; `closed` if each waited for the one before.
    #[serde(rename = "loop")]
    pub loop_: String,
    /// What was asked for.
    pub plan: Planned,
    /// How long what counts lasted.
    pub seconds: f64,
    /// Requests that should have gone.
    pub offered: u64,
    /// Those that went.
    pub sent: u64,
    /// Those that were answered as expected.
    pub answered: u64,
    /// Those that were not, or broke; by kind in `failures`.
    pub failed: u64,
    /// How many failed in which way.
    pub failures: BTreeMap<String, u64>,
    /// Those of which nothing was heard by the end, whether they had gone or not.
    pub unanswered: u64,
    /// How many replies had which HTTP status.
    pub statuses: BTreeMap<String, u64>,
    /// Answers a second.
    pub rate: f64,
    /// Bytes that went and came.
    pub bytes: Bytes,
    /// From when a request should have gone until its answer was whole.
    pub latency_ms: Latency,
    /// The same of those that failed.
    pub failed_ms: Latency,
    /// How late requests left for which a connection was free: the generator's own fault.
    pub lag_ms: Latency,
    /// Until a connection stood.
    pub connect_ms: Latency,
    /// The connections.
    pub connections: Connections,
    /// How fast single connections were, in bulk.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub per_connection: Option<PerConnection>,
    /// What only packets can suffer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub packets: Option<Packets>,
    /// The run over time.
    pub over_time: OverTime,
    /// What the load cost the generator.
    pub cpu: Cpu,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are the flags of the command")]
pub struct Planned {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rate: Option<String>,
    pub connections: usize,
    pub depth: usize,
    pub threads: usize,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub duration: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub count: Option<u64>,
    pub warm_up: f64,
    pub timeout: f64,
    /// Bytes of one message, body or datagram, where each is as long as the other.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub size: Option<usize>,
    /// The version of HTTP, where somebody chose one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub http: Option<String>,
    pub seed: u64,
}

/// Bytes of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "they say it")]
pub struct Bytes {
    pub sent: u64,
    pub received: u64,
}

/// Connections of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// How many there were to be at once.
    pub asked: usize,
    /// How many were opened in all.
    pub opened: u64,
    /// How many attempts failed.
    pub failed: u64,
}

/// Bytes a second of single connections, both ways together: where these are far apart the load was shared unfairly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "they say it")]
pub struct PerConnection {
    pub slowest: f64,
    pub fastest: f64,
}

/// The run over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OverTime {
    /// The width of a column in seconds.
    pub width: f64,
    /// One after the other from the beginning.
    pub columns: Vec<Column>,
}

/// A column over time. Requests belong to when they should have gone; `done` and bytes to when they came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are those of the report")]
pub struct Column {
    pub offered: u64,
    pub answered: u64,
    pub failed: u64,
    pub unanswered: u64,
    pub done: u64,
    pub sent: u64,
    pub received: u64,
    /// Buckets ([`super::buckets`]) and how many answers each has.
    pub latency: Vec<(u16, u32)>,
}

/// What the load cost the generator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// Seconds of processor time, of all threads.
    pub seconds: f64,
    /// The share of the run that the busiest thread was busy.
    pub busiest: f64,
}

/// What a run was, beside what it counted.
pub(crate) struct Run {
    pub(crate) started: String,
    pub(crate) seconds: f64,
    pub(crate) cpu: Cpu,
    pub(crate) notes: Vec<String>,
}

impl Report {
    pub(crate) fn of(plan: &Plan, tally: &Tally, run: Run) -> Self {
        let counts = tally.counts;
        Self {
            schema: SCHEMA,
            hullo: env!("CARGO_PKG_VERSION").to_owned(),
            started: run.started,
            target: plan.to.bare().to_string(),
            shape: plan.shape.name().to_owned(),
            loop_: if plan.rate.is_some() { "open" } else { "closed" }.to_owned(),
            plan: Planned::of(plan),
            seconds: run.seconds,
            offered: counts.offered,
            sent: counts.sent,
            answered: counts.answered,
            failed: counts.failed,
            failures: tally.failures.iter().map(|(failure, count)| (failure.to_string(), *count)).collect(),
            unanswered: counts.unanswered,
            statuses: tally.statuses.iter().map(|(status, count)| (status.to_string(), *count)).collect(),
            rate: if run.seconds > 0.0 { tally.in_time as f64 / run.seconds } else { 0.0 },
            bytes: Bytes { sent: counts.bytes_sent, received: counts.bytes_received },
            latency_ms: Latency::with_waits(&tally.latency, &tally.waited),
            failed_ms: Latency::of(&tally.failed),
            lag_ms: Latency::of(&tally.lag),
            connect_ms: Latency::of(&tally.connect),
            connections: Connections { asked: plan.connections, opened: counts.opened, failed: counts.refused },
            per_connection: tally.each.filter(|_| run.seconds > 0.0).map(|(least, most)| PerConnection {
                slowest: least as f64 / run.seconds,
                fastest: most as f64 / run.seconds,
            }),
            packets: tally.packets.clone(),
            over_time: OverTime::of(tally),
            cpu: run.cpu,
            notes: run.notes,
        }
    }
}

/// How late the generator may be without a word, in milliseconds, and as a share of the latency.
const LATE_MS: f64 = 1.0;
const LATE_SHARE: f64 = 0.1;
/// From which share on a latency is more the generator's than the target's.
const MOSTLY: f64 = 0.5;
/// A thread this busy has no time left for the requests that it should measure.
const BUSY: f64 = 0.95;

impl Report {
    /// Why the figures are the generator's rather than the target's, as a sentence; nothing if they are the target's.
    pub fn generator_limit(&self) -> Option<String> {
        self.generator_busy().or_else(|| self.own_lag(MOSTLY))
    }

    /// That a thread of the generator had no time left for more, as a sentence.
    pub fn generator_busy(&self) -> Option<String> {
        let percent = words::percent(self.cpu.busiest * 100.0);
        (self.cpu.busiest > BUSY).then(|| format!("a thread of it was busy for {percent} of the time"))
    }

    /// How far the generator's own lag is in the figures, as a sentence; nothing if it is not worth a word.
    pub fn generator_lag(&self) -> Option<String> {
        let late = self.lag_ms.p99.filter(|lag| *lag > LATE_MS);
        let late = late.map(|lag| format!("one request in a hundred left {} late or more", words::time(lag)));
        self.own_lag(LATE_SHARE).or(late)
    }

    /// The percentile of which more than that share is lag. It is in the latency, which counts from the schedule.
    fn own_lag(&self, share: f64) -> Option<String> {
        let (lag, latency) = (&self.lag_ms, &self.latency_ms);
        let pairs = [("p50", lag.p50, latency.p50), ("p99", lag.p99, latency.p99)];
        let both = pairs.into_iter().filter_map(|(name, lag, latency)| Some((name, lag?, latency?)));
        let (name, lag, latency) =
            both.into_iter().find(|(_, lag, latency)| *lag > latency * share && *latency > 0.0)?;
        Some(format!("of a {name} of {} {} are its own lag", words::time(latency), words::time(lag)))
    }

    /// Whether requests went by schedule, whatever the target did.
    pub fn is_open(&self) -> bool {
        self.loop_ == "open"
    }

    /// Whether there are no requests, but bytes without end. What is counted is then connections, and none of them has a
    /// place in the columns; datagrams of the same shapes have.
    pub fn is_bulk(&self) -> bool {
        matches!(&*self.shape, "up" | "down" | "both")
            && self.packets.is_none()
            && self.over_time.columns.iter().all(|column| column.offered == 0)
    }

    /// What each of those that were offered is: a `request`, a `handshake`, a `datagram`; in bulk, a `connection`.
    pub fn noun(&self) -> &'static str {
        match &*self.shape {
            "connect" => "handshake",
            "up" | "down" | "both" if self.is_bulk() => "connection",
            "up" | "down" | "both" => "datagram",
            _ => "request",
        }
    }

    /// So many of them, as a sentence says it: `1 request`, `473 handshakes`.
    pub fn offers(&self, number: u64) -> String {
        format!("{} {}{}", words::count(number), self.noun(), if number == 1 { "" } else { "s" })
    }

    /// What became of those with which all went well: they were `answered`, `made`, or `arrived`.
    pub fn became(&self) -> &'static str {
        match self.noun() {
            "handshake" => "made",
            "datagram" => "arrived",
            _ => "answered",
        }
    }

    /// How many were given up after the timeout. They may have taken any time from there on, and are in no latency.
    pub fn timed_out(&self) -> u64 {
        self.failures.get(Kind::Timeout.word()).copied().unwrap_or_default()
    }
}

impl Planned {
    fn of(plan: &Plan) -> Self {
        Self {
            rate: plan.rate.as_ref().map(ToString::to_string),
            connections: plan.connections,
            depth: plan.depth,
            threads: plan.threads,
            duration: plan.duration.map(|time| time.as_secs_f64()),
            count: plan.count,
            warm_up: plan.warm_up.as_secs_f64(),
            timeout: plan.timeout.as_secs_f64(),
            size: size(plan),
            http: version(&plan.shape),
            seed: plan.seed,
        }
    }
}

/// How long what is sent each time is, where it is always the same.
fn size(plan: &Plan) -> Option<usize> {
    let payload = match &plan.shape {
        Shape::Ask(ask) => Some(&ask.payload),
        Shape::Http(exchange) => exchange.body.as_ref(),
        Shape::Bulk(_) => return plan.size,
        Shape::Connect => None,
    };
    payload?.same().map(|bytes| bytes.len())
}

/// The version of HTTP that was asked for.
fn version(shape: &Shape) -> Option<String> {
    let Shape::Http(exchange) = shape else { return None };
    let version = exchange.version.map(|version| format!("{version:?}"))?;
    // `HTTP/2.0` is 2 to people, and to the command.
    Some(version.trim_start_matches("HTTP/").trim_end_matches(".0").to_owned())
}

impl OverTime {
    fn of(tally: &Tally) -> Self {
        let columns = tally.columns.all().iter().map(|column| Column {
            offered: column.offered,
            answered: column.answered,
            failed: column.failed,
            unanswered: column.unanswered,
            done: column.done,
            sent: column.sent,
            received: column.received,
            latency: column.latency(),
        });
        Self { width: tally.columns.width().as_secs_f64(), columns: columns.collect() }
    }
}

impl Column {
    /// The time in milliseconds that this share of the answers did not exceed, to a bucket's width; nothing where there
    /// were none.
    pub fn latency_ms(&self, share: f64) -> Option<f64> {
        let all: u64 = self.latency.iter().map(|(_, count)| u64::from(*count)).sum();
        let mut left = (share * all as f64).ceil().max(1.0) as u64;
        let (bucket, _) = self.latency.iter().find(|(_, count)| {
            let found = u64::from(*count) >= left;
            left = left.saturating_sub(u64::from(*count));
            found
        })?;
        Some(buckets::bounds(*bucket).end / 1e6)
    }
}

/// The moment so long ago on the clock on the wall, for people and other programs (RFC 3339).
pub(crate) fn moment(ago: Duration) -> String {
    let now = SystemTime::now();
    humantime::format_rfc3339_millis(now.checked_sub(ago).unwrap_or(now)).to_string()
}
