//! The words of `hullo relay`.

use std::{path::PathBuf, time::Duration};

use clap::{Args as ClapArgs, ValueEnum};
use hullo::service::relay;

use super::time;

#[derive(ClapArgs)]
#[command(after_help = "Each client has a conversation of its own with the server. What one end says is handed to the
other as it comes, and the end of one side is a half-close of the other: the way back goes on until its end.
Where both ends are bare sockets, the kernel moves the bytes. Datagrams and messages of WebSockets stay
whole between each other; in a stream, frame= says where one ends. What breaks off on one end is
broken off on the other.

Examples:
  hullo relay :9000 db.example.org:5432
  hullo relay 'tls://0.0.0.0:8443?cert=a.pem&key=a.key' tcp://127.0.0.1:8080     take TLS off
  hullo relay :8080 tls://example.org:443                                        put TLS on
  hullo relay ws://:8080 tcp://127.0.0.1:7000                                    browsers to a TCP server
  hullo relay ws://:8080 'tcp://127.0.0.1:7000?frame=lines'                      each message is a line
  hullo relay udp://:5300 udp://9.9.9.9:53                                       one upstream socket for each peer
  hullo relay udp://:5000 'tcp://far:5001?frame=len32'                           datagrams through a stream, and
  hullo relay 'tcp://:5001?frame=len32' udp://127.0.0.1:5000                     datagrams again
  hullo relay unix:/run/app.sock tcp://a:8080 tcp://b:8080 --balance least --check 5s
  hullo relay :9000 a:8080 --tee tcp://127.0.0.1:9999                            a copy of what clients say
  hullo relay tls://:8443 tcp://a:8080 --record talk.pcapng                      then: tshark -r, hullo replay
  hullo relay :9000 a:8080 --record - | wireshark -k -i -                        look at it as it comes")]
pub(crate) struct Relay {
    /// Where to listen, as in tcp://:9000, tls://0.0.0.0:8443, ws://:8080, udp://:5300, unix:/tmp/x.sock or stdio:
    #[arg(value_name = "LISTEN")]
    pub(crate) listen: String,

    /// Where to lead to; of several the next one when one is not there
    #[arg(value_name = "TO", required = true)]
    pub(crate) to: Vec<String>,

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

    /// Write all that is relayed to this file as packets, decrypted, for Wireshark, tshark and hullo replay; - is stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,

    /// Conversations at once; more wait to be accepted [default: 16384]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_connections: Option<u32>,

    /// On Ctrl-C or SIGTERM, let conversations finish for this long
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    pub(crate) grace: Duration,

    /// Show metrics for Prometheus at this address, as in http://127.0.0.1:9090
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<String>,
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
