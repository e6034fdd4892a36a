//! The words of `hullo bench`.

use std::{path::PathBuf, time::Duration};

use clap::{Args as ClapArgs, ValueEnum};
use hullo::bench::Rate;

use super::{size, time};

#[derive(ClapArgs)]
#[command(
    after_help = "With --rate the loop is open: requests are due by schedule, and latency counts from when a request should
have gone, whatever the server does meanwhile. Without it the loop is closed: each connection asks again
when it has been answered, and what a stalled server is not asked meanwhile is in no figure.

What is asked: over http and https a request with the items of hullo request; elsewhere a message of 64
bytes, whose reply is as long as it is, as that of an echo. Where the address says frame=lines (or json,
len32, nul) a reply is one such message. {{seq}} in a payload is the number of the request, {{random 64}}
so many letters and digits; in a request of HTTP they may stand in its path, query, headers and fields too.

A datagram begins with a number, in the first 24 of its bytes, so that its echo is known: with --rate any
number of them may be under way. With --up it is counted at the other end, by hullo serve discard. With
--payload it has no number: one is under way on each socket, and the next datagram that comes is its answer.
One that comes back after --timeout is late and unanswered; one that does not come at all is lost.

A rate may be one of bits (bit, kbit, mbit, gbit) or of bytes (B, kB, MB, GB, KiB, MiB, GiB), of all connections
together and without headers. Bulk then goes by schedule, and datagrams are so many as their size makes of it.

The exit status is 23 if an objective (--slo, --fail-unanswered) is missed, and that of the most frequent
failure if nothing was answered at all.

Examples:
  hullo bench localhost:7007                              10 connections for 10 s, as fast as they are answered
  hullo bench http://localhost:8080/ --rate 500           500 a second, come what may
  hullo bench http://localhost:8080/ --rate 100..10000/60s --html ramp.html
  hullo bench http://localhost:8080/ --search --slo 'p99<10ms'    the highest rate that holds
  hullo bench POST https://example.org/items 'name={{random 8}}' --http 2 -c 4 --depth 32
  hullo bench 'http://localhost:8080/items/{{seq}}'       another path each time, which no cache knows
  hullo bench ws://localhost:7008/ --payload @question.txt --expect same
  hullo bench tcp://localhost:9009 --up -c 4              bulk, to hullo serve discard :9009
  hullo bench tcp://localhost:9009 --up --rate 10mbit     bulk by schedule; 1MB is so many bytes a second
  hullo bench udp://localhost:7007 --rate 50000           loss, reordering, duplicates and jitter as well
  hullo bench udp://localhost:9009 --up --rate 50000      one way, measured by hullo serve discard udp://:9009
  hullo bench tls://localhost:8443 --connect              handshakes a second
  hullo bench http://new:8080/ --repeat 5 --vs http://old:8080/
  hullo bench http://localhost:8080/ --json > a.json; hullo bench --compare a.json b.json"
)]
pub(crate) struct Bench {
    /// Address, as in tcp://host:7007 or https://host/path; for HTTP with a method before it and items behind it
    #[arg(required_unless_present = "compare", value_name = "[METHOD] ADDRESS [ITEM]")]
    pub(crate) words: Vec<String>,

    /// Requests a second, by schedule: 500, a ramp 100..10000/60s, or steps 100,200,400/10s; of bulk and datagrams 10mbit
    #[arg(long, value_name = "RATE", help_heading = "Load", value_parser = rate)]
    pub(crate) rate: Option<Rate>,

    /// How many connections there are at once
    #[arg(long, short, value_name = "N", help_heading = "Load", default_value_t = 10, value_parser = many)]
    pub(crate) connections: usize,

    /// How many requests may be under way on each of them
    #[arg(long, value_name = "N", help_heading = "Load", default_value_t = 1, value_parser = many)]
    pub(crate) depth: usize,

    /// How long what counts lasts [default: 10s, or until --count or the --rate has ended]
    #[arg(long, short, value_name = "TIME", help_heading = "Load", value_parser = time)]
    pub(crate) duration: Option<Duration>,

    /// How many requests there are
    #[arg(long, short = 'n', value_name = "N", help_heading = "Load", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// How long there is load before anything counts
    #[arg(long, value_name = "TIME", help_heading = "Load", default_value = "0s", value_parser = time)]
    pub(crate) warm_up: Duration,

    /// After how long a request without an answer has failed; a datagram is then lost [default: 10s, datagrams 1s]
    #[arg(long, value_name = "TIME", help_heading = "Load", value_parser = time)]
    pub(crate) timeout: Option<Duration>,

    /// Threads to make the load with [default: one for each core]
    #[arg(long, value_name = "N", help_heading = "Load", value_parser = many)]
    pub(crate) threads: Option<usize>,

    /// What is drawn is drawn from this number
    #[arg(long, value_name = "N", help_heading = "Load", default_value_t = 0)]
    pub(crate) seed: u64,

    /// Bytes of a message [default: 64, or 1200 of a datagram with --up]
    #[arg(long, value_name = "SIZE", help_heading = "What is asked", value_parser = size, conflicts_with = "payload")]
    pub(crate) size: Option<u64>,

    /// The message, or @FILE; {{seq}} and {{random 64}} are filled in
    #[arg(long, value_name = "TEXT", help_heading = "What is asked")]
    pub(crate) payload: Option<String>,

    /// What a reply must be: 200 or 2xx (HTTP), same (as the request), or a text that stands in it; may be repeated
    #[arg(long, value_name = "WHAT", help_heading = "What is asked")]
    pub(crate) expect: Vec<String>,

    /// The version of HTTP [default: 1.1, or over TLS what the server prefers]
    #[arg(long, value_name = "VERSION", help_heading = "What is asked")]
    pub(crate) http: Option<Http>,

    /// Bulk: send as much as will go, as to hullo serve discard
    #[arg(long, help_heading = "What is asked", conflicts_with_all = ["down", "both", "connect", "payload"])]
    pub(crate) up: bool,

    /// Bulk: take as much as comes, as from hullo serve chargen
    #[arg(long, help_heading = "What is asked", conflicts_with_all = ["both", "connect", "payload"])]
    pub(crate) down: bool,

    /// Bulk both ways at once, as with hullo serve echo
    #[arg(long, help_heading = "What is asked", conflicts_with_all = ["connect", "payload"])]
    pub(crate) both: bool,

    /// Only connect, handshakes and all, and close again
    #[arg(long, help_heading = "What is asked", conflicts_with = "payload")]
    pub(crate) connect: bool,

    /// What must hold, as in 'p99<10ms', 'failed<1%', 'rate>1000'; may be repeated
    #[arg(long, value_name = "OBJECTIVE", help_heading = "Verdict")]
    pub(crate) slo: Vec<String>,

    /// Find the highest rate at which --slo holds, in trials of 5s each or --duration; --rate A..B/TIME says where to look
    #[arg(long, help_heading = "Verdict", requires = "slo", conflicts_with_all = ["count", "vs"])]
    pub(crate) search: bool,

    /// Fail if a request was not answered
    #[arg(long, help_heading = "Verdict")]
    pub(crate) fail_unanswered: bool,

    /// Another address, to compare with
    #[arg(long, value_name = "ADDRESS", help_heading = "Verdict")]
    pub(crate) vs: Option<String>,

    /// How often, in turns with --vs
    #[arg(long, value_name = "N", help_heading = "Verdict", default_value_t = 1, value_parser = many, requires = "vs")]
    pub(crate) repeat: usize,

    /// Compare two reports of --json; several reports in one file are runs of the same
    #[arg(long, value_names = ["A.json", "B.json"], num_args = 2, help_heading = "Verdict", conflicts_with = "words")]
    pub(crate) compare: Vec<PathBuf>,

    /// Show nothing while it runs, on a terminal too
    #[arg(long, help_heading = "Output")]
    pub(crate) no_live: bool,

    /// Write a page with charts; - is stdout, and the summary then goes to stderr
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) html: Option<PathBuf>,

    /// Write the run over time as a table, or percentiles for HdrHistogram where the name ends in .hgrm; - is stdout
    #[arg(long, value_name = "FILE", help_heading = "Output", conflicts_with_all = ["vs", "compare"])]
    pub(crate) csv: Option<PathBuf>,

    /// Write the figures for Prometheus; - is stdout
    #[arg(long, value_name = "FILE", help_heading = "Output", conflicts_with_all = ["vs", "compare"])]
    pub(crate) prometheus: Option<PathBuf>,
}

/// A version of HTTP.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Http {
    #[value(name = "1.1", alias = "1")]
    One,
    #[value(name = "2")]
    Two,
}

fn rate(text: &str) -> Result<Rate, String> {
    text.parse().map_err(|error: hullo::Error| match error.advice() {
        Some(hint) => format!("{error}: {hint}"),
        None => error.to_string(),
    })
}

fn many(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|many| (1..=1_000_000).contains(many)).ok_or_else(|| "a number from 1 on".to_owned())
}
