//! The words of `hullo relay`.

use std::{path::PathBuf, time::Duration};

use clap::{Args as ClapArgs, ValueEnum};
use hullo::{
    fault::{self, Fault},
    service::relay,
};

use super::{Gate, see::See, time};

#[derive(ClapArgs)]
#[command(after_help = relay_help())]
pub(crate) struct Relay {
    /// Where to listen, as in tcp://:9000, tls://0.0.0.0:8443, ws://:8080, udp://:5300, unix:/tmp/x.sock, stdio: or
    /// exec:PROGRAM
    #[arg(value_name = "LISTEN", required_unless_present_any = ["api", "config"])]
    pub(crate) listen: Option<String>,

    /// Where to lead to; of several the next one when one is not there
    #[arg(value_name = "TO", required_unless_present_any = ["api", "config"])]
    pub(crate) to: Vec<String>,

    /// What the relay is called where it is shown [default: where it leads to, or relay with --api]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Answer Toxiproxy's HTTP API at this address, as in 127.0.0.1:8474: its clients make relays, and put faults into
    /// them and into this one while they run
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) api: Option<String>,

    /// Run the relays of this file, with their faults: TOML with [[relay]], or the JSON of Toxiproxy
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Which of several servers is next: the first that is there, one after the other, or the one with the fewest
    /// conversations
    #[arg(long, value_name = "HOW", default_value = "first", value_enum)]
    pub(crate) balance: Balance,

    /// Try each server this often, so that clients are not led to one that is not there
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) check: Option<Duration>,

    /// Send a copy of all that clients say there, and throw away what is answered
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) tee: Option<String>,

    /// Let something go wrong on purpose, as in latency:200ms~50ms; may be said several times
    #[arg(long, value_name = "FAULT", value_parser = Fault::parse)]
    pub(crate) fault: Vec<Fault>,

    /// The number that chance is drawn from: the same makes the same faults [default: another one each time, which is told]
    #[arg(long, value_name = "N", requires = "fault")]
    pub(crate) seed: Option<u64>,

    /// Add a line to this file for each conversation that a fault takes hold of, and for what comes of it [default: told
    /// with -v and --json]
    #[arg(long, value_name = "FILE")]
    pub(crate) fault_log: Option<PathBuf>,

    /// Write all that is relayed to this file as packets, decrypted, for Wireshark, tshark and hullo replay; - is stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,

    /// Conversations at once; more wait to be accepted [default: 16384]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_connections: Option<u32>,

    /// Conversations at once with one peer's address (of IPv6: with one /64); more are closed [default: any number]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_per_peer: Option<u32>,

    #[command(flatten)]
    pub(crate) gate: Gate,

    /// Conversations that may begin in a second from one peer's address (of IPv6: from one /64), and as many at once; more
    /// are closed [default: any number]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,

    /// On Ctrl-C or SIGTERM, let conversations finish for this long
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    pub(crate) grace: Duration,

    /// Show metrics for Prometheus at this address, as in http://127.0.0.1:9090
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<String>,

    #[command(flatten)]
    pub(crate) see: See,
}

/// How a server is chosen.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Balance {
    First,
    RoundRobin,
    Least,
}

impl From<Balance> for relay::Balance {
    fn from(balance: Balance) -> Self {
        match balance {
            Balance::First => Self::First,
            Balance::RoundRobin => Self::RoundRobin,
            Balance::Least => Self::Least,
        }
    }
}

fn relay_help() -> String {
    format!("{ABOUT}\n\n{}\n{EXAMPLES}", fault::help())
}

const ABOUT: &str = "Each client has a conversation of its own with the server. What one end says is handed to the
other as it comes, and the end of one side is a half-close of the other: the way back goes on until its end.
Where both ends are bare sockets, the kernel moves the bytes. Datagrams and messages of WebSockets stay
whole between each other; in a stream, frame= says where one ends. What breaks off on one end is
broken off on the other.

On a terminal there is a live table of the connections: ? shows its keys, and q ends the relay.";

const EXAMPLES: &str = r#"Examples:
  hullo relay :9000 db.example.org:5432
  hullo relay 'tls://0.0.0.0:8443?cert=a.pem&key=a.key' tcp://127.0.0.1:8080     take TLS off
  hullo relay :8080 tls://example.org:443                                        put TLS on
  hullo relay ws://:8080 tcp://127.0.0.1:7000                                    browsers to a TCP server
  hullo relay ws://:8080 'tcp://127.0.0.1:7000?frame=lines'                      each message is a line
  hullo relay udp://:5300 udp://9.9.9.9:53                                       one upstream socket for each peer
  hullo relay udp://:5000 'tcp://far:5001?frame=len32'                           datagrams through a stream, and
  hullo relay 'tcp://:5001?frame=len32' udp://127.0.0.1:5000                     datagrams again
  hullo relay :9000 'exec:tr a-z A-Z'                                            a program for each client (? is %3F in it)
  hullo relay unix:/run/app.sock tcp://a:8080 tcp://b:8080 --balance least --check 5s
  hullo relay :9000 a:8080 --tee tcp://127.0.0.1:9999                            a copy of what clients say
  hullo relay :9000 db:5432 --fault latency:200ms~50ms                           a slow network
  hullo relay :9000 db:5432 --fault reset:after=1MB,p=0.1 --seed 7 --fault-log faults.log
  hullo relay :9000 a:8080 --inspect=http                                        heads, and bodies by size and type
  hullo relay tls://:8443 tls://example.org:443 --inspect --json | jq .          what is inside, for programs
  hullo relay tls://:8443 tcp://a:8080 --record talk.pcapng                      then: tshark -r, hullo replay
  hullo relay :9000 a:8080 --record - | wireshark -k -i -                        look at it as it comes
  hullo relay :9000 db:5432 --metrics http://127.0.0.1:9090                      numbers for Prometheus

Toxiproxy's clients and its toxiproxy-cli work with --api, and a proxy may lead to any address:
  hullo relay --api 127.0.0.1:8474
  hullo relay :6380 redis:6379 --name redis --api 127.0.0.1:8474
  curl -d '{"name":"redis","listen":"127.0.0.1:0","upstream":"redis:6379"}' 127.0.0.1:8474/proxies
  curl -d '{"type":"latency","attributes":{"latency":1000}}' 127.0.0.1:8474/proxies/redis/toxics
  curl -X DELETE 127.0.0.1:8474/proxies/redis/toxics/latency_downstream
  curl -d '{"type":"fault","attributes":{"fault":"corrupt:0.001,way=up"}}' 127.0.0.1:8474/proxies/redis/toxics

A configuration has the relays that are there from the start:
  hullo relay --config relays.toml
    [[relay]]
    name = "db"
    listen = "tcp://:9000"
    to = ["tcp://127.0.0.1:5432"]
    faults = ["latency:200ms~50ms,way=down", "bandwidth:1MB"]
  hullo relay --config toxiproxy.json --api 127.0.0.1:8474
    [{"name": "db", "listen": ":9000", "upstream": "127.0.0.1:5432", "toxics": [{"type": "latency",
      "attributes": {"latency": 200}}]}]"#;
