//! The words of `hullo replay`.

use std::{path::PathBuf, time::Duration};

use clap::Args as ClapArgs;

use super::time;

#[derive(ClapArgs)]
#[command(
    after_help = "FILE is a recording of hullo relay --record, or any capture of TCP and UDP by tcpdump or Wireshark,
as pcapng or pcap. Each conversation is a connection of its own. They are as far apart as they were,
and each piece of what the client said comes at its time, but never before as much has been answered
as had been then; with --fast only the latter. The client's half-closes are said too.

With --expect the exit status is 0 if all answers are the same: byte for byte in streams, message for
message on datagrams and WebSockets. It is 22 if one is not; what is different is shown.

Examples:
  hullo relay :9000 db:5432 --record talk.pcapng     record, until Ctrl-C
  hullo replay talk.pcapng localhost:5432            the same clients again, at the same times
  hullo replay talk.pcapng localhost:5432 --fast --expect
  hullo replay talk.pcapng tls://new.example.org:443 --speed 10x --flow 3
  hullo replay chat.pcapng ws://127.0.0.1:8060/ --fast --expect --expect-timeout 30s
  tcpdump -i lo -w talk.pcap 'tcp port 7007'; hullo replay talk.pcap localhost:7008 --fast --show"
)]
pub(crate) struct Replay {
    /// The recording
    pub(crate) file: PathBuf,

    /// Whom to say it to, as in tcp://host:7000, tls://host, ws://host/path, unix:/tmp/x.sock or udp://host:5300
    pub(crate) to: String,

    /// Wait for answers, and not for the time at which something was said
    #[arg(long, conflicts_with = "speed")]
    pub(crate) fast: bool,

    /// So many times as fast as it was, as in 2x or 0.5x
    #[arg(long, value_name = "FACTOR", value_parser = speed)]
    pub(crate) speed: Option<f64>,

    /// Only the conversation of that number; it may be given several times
    #[arg(long, value_name = "N")]
    pub(crate) flow: Vec<u64>,

    /// Compare the answers with those of then
    #[arg(long)]
    pub(crate) expect: bool,

    /// How long an answer may not come
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    pub(crate) expect_timeout: Duration,

    /// Write the answers to stdout, as they come
    #[arg(long)]
    pub(crate) show: bool,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.strip_suffix('x').unwrap_or(text).parse().ok();
    let speed = speed.filter(|speed: &f64| (1e-6..=1e6).contains(speed));
    speed.ok_or_else(|| "a speed is written like 2x or 0.5x".to_owned())
}
