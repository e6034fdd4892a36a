//! The words of the command, made from the same tables that the code uses.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args as ClapArgs, Parser, Subcommand};
use hullo::{framing::FRAMINGS, options, service::SERVICES, transport};

pub(crate) use self::{
    bench::{Bench, Http},
    chat::Chat,
    gate::Gate,
    relay::Relay,
    replay::Replay,
    request::{Compress, Login, Request},
    see::See,
    transfer::{Meeting, Receive, Send, Times},
};
use crate::{observe::access::Format, report};

mod bench;
mod chat;
mod gate;
mod relay;
mod replay;
mod request;
mod see;
mod transfer;

/// Both ends of any network conversation: any service on any transport, any client to any server.
#[derive(Parser)]
#[command(name = "hullo", version, max_term_width = 110, after_help = overview(), after_long_help = manual(), disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) verb: Verb,

    /// Say what is said to people as one JSON object a line (on stderr)
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Tell each step with its time: resolved, connected, encrypted, first byte, bytes each way
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
}

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Start a server: one service on as many addresses as given
    Serve(Box<Serve>),
    /// Talk: a terminal gets line editing and history, a pipe gets bytes
    Connect(Connect),
    /// Send one message, print one reply
    Ask(Ask),
    /// Send an HTTP request, with items as in HTTPie
    Request(Box<Request>),
    /// Is it up? Each step with its time
    Check(Check),
    /// Join any address to any address
    Relay(Box<Relay>),
    /// Say again what recorded clients said, and compare the answers
    Replay(Replay),
    /// Load on any address, with latency that is true
    Bench(Box<Bench>),
    /// Talk in rooms: a screen on a terminal, lines in a pipe
    Chat(Chat),
    /// Send files and folders, resumed and verified
    Send(Send),
    /// Receive files and folders
    Receive(Receive),
    /// Print the completions of a shell
    #[command(
        after_help = "Examples:\n  hullo completions bash > /etc/bash_completion.d/hullo\n  hullo completions fish > ~/.config/fish/completions/hullo.fish"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the man page
    #[command(after_help = "Example:\n  hullo man | man -l -")]
    Man,
}

#[derive(ClapArgs)]
#[command(after_help = serve_help())]
pub(crate) struct Serve {
    /// The service; without one, a playground of them is served
    pub(crate) service: Option<String>,

    /// Where to listen, as in tcp://:7007, ws://:7008, https://0.0.0.0:8443 or unix:/tmp/x.sock; for files the folder
    /// may stand before them [default: .]
    #[arg(value_name = "[DIR] ADDRESS")]
    pub(crate) addresses: Vec<String>,

    /// What greet says
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,

    /// A variable that httpbin shows at /env; without =VALUE it is our own
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = variable)]
    pub(crate) env: Vec<(String, String)>,

    /// Where rest keeps its items: a file, :memory:, or postgres://user@host/name [default: rest.db]. Where chat keeps its
    /// history: a file, :memory: or none [default: chat.db]
    #[arg(long, value_name = "FILE")]
    pub(crate) db: Option<String>,

    /// Requests that rest takes from one peer in a second; more are answered 429 [default: any number]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,

    /// Messages that somebody may say in a second of chat, after a burst of five times that; or off [default: 2]
    #[arg(long, value_name = "N", value_parser = flood)]
    pub(crate) flood: Option<u32>,

    /// The most entries that the history of chat keeps [default: 1000000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) keep: Option<u64>,

    /// How long the history of chat keeps them, as in 30d [default: for good]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) keep_for: Option<Duration>,

    /// Brokers of NATS with JetStream, as nats://user:password@host:4222 or tls://host, several with commas between: all
    /// servers of chat that meet there are one chat
    #[arg(long, value_name = "URL")]
    pub(crate) bus: Option<String>,

    /// An account that may do in all rooms of chat what operators do
    #[arg(long, value_name = "NAME")]
    pub(crate) operator: Vec<String>,

    /// Let files show what has a name that begins with a dot
    #[arg(long)]
    pub(crate) hidden: bool,

    /// The file that stands for its folder in files [default: none; without =NAME index.html]
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "index.html")]
    pub(crate) index: Option<String>,

    /// Let files be put into the folder of files, by the page, curl -T and curl -F
    #[arg(long)]
    pub(crate) upload: bool,

    /// Let nothing be put there, which is the default
    #[arg(long, conflicts_with = "upload")]
    pub(crate) read_only: bool,

    /// Let what is put there take the place of other files
    #[arg(long, requires = "upload")]
    pub(crate) overwrite: bool,

    /// The largest file that may be put there, as in 500M or 4G [default: any size]
    #[arg(long, value_name = "SIZE", requires = "upload", value_parser = size)]
    pub(crate) max_upload: Option<u64>,

    /// Who may use files, socks5 and connect, as name:password, or @FILE with one a line; the password may be its argon2
    /// hash. Others may not. In chat these names are theirs alone
    #[arg(long, value_name = "ACCOUNT")]
    pub(crate) auth: Vec<String>,

    /// The same for who may put files there; where there are some, others may only read
    #[arg(long, value_name = "ACCOUNT", requires = "upload")]
    pub(crate) auth_upload: Vec<String>,

    /// Show no QR code of the address of files
    #[arg(long)]
    pub(crate) no_qr: bool,

    /// Serve what this TOML file says
    #[arg(long, value_name = "FILE", conflicts_with_all = ["service", "addresses", "text", "env", "db", "rate", "hidden", "index", "upload", "overwrite", "max_upload", "auth", "auth_upload", "flood", "keep", "keep_for", "bus", "operator", "command"])]
    pub(crate) config: Option<PathBuf>,

    /// Conversations at once; more wait to be accepted [default: 16384]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_connections: Option<u32>,

    #[command(flatten)]
    pub(crate) gate: Gate,

    /// Conversations at once with one peer's address (of IPv6: with one /64); more are closed [default: half of max-connections]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_per_peer: Option<u32>,

    /// On Ctrl-C or SIGTERM, let conversations finish for this long
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    pub(crate) grace: Duration,

    /// Write a line for each HTTP request, to stderr
    #[arg(long, value_name = "FORM", value_enum)]
    pub(crate) access_log: Option<Format>,

    /// Write the access log to this file, behind what is in it
    #[arg(long, value_name = "FILE", requires = "access_log")]
    pub(crate) access_log_file: Option<PathBuf>,

    /// Show metrics for Prometheus at this address, as in http://127.0.0.1:9090
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<String>,

    /// The program that exec runs for each conversation
    #[arg(last = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

impl Serve {
    /// Whether there is a setting that some service must be for.
    pub(crate) fn has_settings(&self) -> bool {
        self.text.is_some()
            || !self.env.is_empty()
            || self.db.is_some()
            || self.rate.is_some()
            || self.hidden
            || self.index.is_some()
            || self.upload
            || self.read_only
            || !self.auth.is_empty()
            || self.flood.is_some()
            || self.keep.is_some()
            || self.keep_for.is_some()
            || self.bus.is_some()
            || !self.operator.is_empty()
            || !self.command.is_empty()
    }
}

#[derive(ClapArgs)]
#[command(after_help = "Examples:
  hullo connect localhost:7007                  talk to a server, line by line
  hullo connect tls://example.org:443 --crlf    lines end in CR LF
  hullo connect ws://127.0.0.1:7107/ --hex      see every byte
  tar c . | hullo connect host:9000             a pipe gets bytes, exactly; its end is a half-close
  tail -f log | hullo connect --lines wss://example.org/log
  hullo connect ws://example.org/ --serve echo  a service talks instead of us: here it gives back what comes
  hullo connect 'tls://example.org:443?via=socks5://ada@gate:1080&via=http://next:3128'
                                                through two proxies, with HULLO_VIA_PASSWORD for ada")]
pub(crate) struct Connect {
    /// The address
    pub(crate) address: String,

    /// Show what comes and goes as hex and text
    #[arg(long)]
    pub(crate) hex: bool,

    /// Lines that are typed end in CR LF
    #[arg(long)]
    pub(crate) crlf: bool,

    /// Let control characters of the other end reach the terminal
    #[arg(long)]
    pub(crate) raw: bool,

    /// On datagrams and WebSockets each line is a message, and each message that comes is printed as a line
    #[arg(long, conflicts_with = "hex")]
    pub(crate) lines: bool,

    /// Where only one end can end (datagrams, WebSockets of others): wait this long for more after the end of the input
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    pub(crate) linger: Duration,

    /// Let this service talk to the other end
    #[arg(long, value_name = "SERVICE", conflicts_with_all = ["hex", "crlf", "raw", "lines"])]
    pub(crate) serve: Option<String>,

    /// The program of --serve exec
    #[arg(last = true, value_name = "CMD", requires = "serve")]
    pub(crate) command: Vec<OsString>,
}

#[derive(ClapArgs)]
#[command(
    after_help = "The reply is printed as soon as it is whole: the other end closed, its last line or its JSON value
ended, a datagram or a WebSocket message came, or it fell quiet.

Examples:
  hullo ask localhost:7007 hello
  hullo ask udp://127.0.0.1:7030 '36.6'
  hullo ask ws://127.0.0.1:7120/ '{\"name\":\"Ada\"}'
  echo '[1,2,3]' | hullo ask localhost:7020"
)]
pub(crate) struct Ask {
    /// The address
    pub(crate) address: String,

    /// The message; without one, what comes on stdin, or on a terminal nothing
    pub(crate) message: Option<OsString>,

    /// A reply without an end is whole after this pause
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = time)]
    pub(crate) quiet: Duration,

    /// Give up after this long [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(ClapArgs)]
#[command(
    after_help = "Up means: a connection stands (and its encryption, and its WebSocket), an HTTP server answers below 500, a
datagram server answers an empty datagram.

Of TLS it shows what was agreed on, and the certificates with what is wrong with them, also where it does not trust them.

Examples:
  hullo check https://example.org
  hullo check --expiring 30d https://example.org         fail when a certificate has no more than that left
  hullo check --wait 30s localhost:5432 && ./migrate     wait for a server to be up
  hullo check 'tcp://db:5432?via=socks5://gate:1080'     the steps through a proxy, too"
)]
pub(crate) struct Check {
    /// The address
    pub(crate) address: String,

    /// Try again until it is up, for this long
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) wait: Option<Duration>,

    /// Give up one attempt after this long
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    pub(crate) timeout: Duration,

    /// Fail when one of its certificates expires within this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) expiring: Option<Duration>,
}

fn time(text: &str) -> Result<Duration, String> {
    options::time(text).flatten().ok_or_else(|| "a time is written like 200ms, 30s, 5m or 30d".to_owned())
}

fn flood(text: &str) -> Result<u32, String> {
    let rate = if text == "off" { Some(0) } else { text.parse().ok().filter(|rate| *rate > 0) };
    rate.ok_or_else(|| "a number of messages a second, or off".to_owned())
}

fn size(text: &str) -> Result<u64, String> {
    let size = options::size(text).filter(|size| *size > 0).ok_or("a size is written like 4096, 500M or 4G")?;
    Ok(size as u64)
}

fn variable(text: &str) -> Result<(String, String), String> {
    if let Some((name, value)) = text.split_once('=') {
        return Ok((name.to_owned(), value.to_owned()));
    }
    let about = |error| format!("there is no variable {text} to take it from ({error}); write {text}=VALUE");
    std::env::var(text).map(|value| (text.to_owned(), value)).map_err(about)
}

fn table<'a>(title: &str, rows: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let rows: Vec<_> = rows.collect();
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    rows.iter().fold(format!("{title}:\n"), |text, (name, about)| text + &format!("  {name:width$}  {about}\n"))
}

fn services() -> String {
    table("Services", SERVICES.iter().map(|spec| (spec.name, spec.about)))
}

fn transports() -> String {
    table("Transports", transport::schemes().map(|spec| (spec.example, spec.about)))
}

fn overview() -> String {
    let examples = "Examples:
  hullo serve                                    everything, to play with: open http://127.0.0.1:8080
  hullo serve echo tcp://:7007 ws://:7107        one service, as many addresses as you like
  hullo ask localhost:7007 hello
  hullo serve httpbin http://:8000               what httpbin.org answers, to try HTTP clients on
  hullo serve rest http://:8001                  items of JSON, kept in rest.db
  hullo serve files ~/Public http://:8002        a folder for browsers and curl
  hullo serve chat tcp://:7060 http://:8060      rooms for nc, terminals and browsers; then: hullo chat localhost:7060
  hullo send photos                              files and folders; at the other end: hullo receive
  hullo connect tls://example.org:443
  hullo request POST https://example.org/items name=Ada
  hullo check --wait 30s localhost:5432
  hullo relay tls://:8443 tcp://127.0.0.1:8080   any address to any address
  hullo replay talk.pcapng localhost:5432 --fast --expect
  hullo bench http://localhost:8080/ --rate 500  load by schedule, with honest latency
  hullo chat ws://localhost:7107/                talk in rooms, with people in browsers, terminals and nc
";
    format!("{}\n{}\n{examples}\nMore: hullo --help, hullo VERB --help", services(), transports())
}

fn address_options() -> String {
    table(
        "Options of an address, as in tls://:8443?cert=a.pem&key=a.key",
        options::OPTIONS.iter().map(|spec| (spec.name, spec.about)),
    )
}

fn manual() -> String {
    let framings = table(
        "Framings (?frame=…): where a message ends in a stream",
        FRAMINGS.iter().map(|spec| (spec.name, spec.about)),
    );
    let environment = table(
        "Environment",
        [
            ("HULLO_AUTH", "accounts as of serve --auth, one a line, which the command line would show to everybody"),
            ("HULLO_BUS", "brokers as of serve --bus, with a password which the command line would show to everybody"),
            ("HULLO_CODE", "the code of send and receive; at the end that listens, one of your own"),
            ("HULLO_PASSWORD", "the password of request --auth and of chat --login"),
            (
                "HULLO_VIA_PASSWORD",
                "the password of proxies (?via=, request --proxy) whose addresses have a name and none",
            ),
            ("NO_COLOR", "no colours, whatever its value"),
            ("SSLKEYLOGFILE", "file that the secrets of TLS are added to, which Wireshark decrypts with"),
        ]
        .into_iter(),
    );
    let (overview, options, statuses) = (overview(), address_options(), report::exit_statuses());
    format!("{overview}\n\n{options}\n{framings}\n{environment}\nExit status:\n{statuses}")
}

fn serve_help() -> String {
    let examples = "Examples:
  hullo serve                                    all services, as a playground
  hullo serve echo :7007                         tcp on this machine alone
  hullo serve echo tcp://0.0.0.0:7007 udp://0.0.0.0:7007
  hullo serve greet --text 'Good day' http://:8080
  hullo serve json 'tls://[::]:7443?cert=a.pem&key=a.key'
  hullo serve exec unix:/tmp/x.sock -- bc -q
  hullo serve files ~/Public http://:8000        a folder for browsers; without one, the folder where you are
  hullo serve files . http://0.0.0.0:8000 --upload --auth-upload ada:secret
  hullo serve httpbin http://:8000
  hullo serve chat tcp://:7060 http://:8060      rooms to talk in, kept in chat.db; open http://127.0.0.1:8060
  hullo serve chat tcp://:7060 --bus nats://10.0.0.5
                                                 the same on each of several machines: one chat
  hullo serve rest http://:8000 --db items.db    items of JSON; open http://127.0.0.1:8000
  hullo serve socks5 :1080                       a proxy; then: curl -x socks5h://127.0.0.1:1080 https://example.org
  hullo serve connect tcp://0.0.0.0:3128 --auth @accounts
                                                 an HTTP proxy for who has an account
  hullo serve echo http://:7080 --access-log combined --metrics http://127.0.0.1:9090
  hullo serve --config hullo.toml

In hullo.toml, for each service:
  [[serve]]
  service = \"echo\"
  addresses = [\"tcp://:7007\", \"https://:7443?cert=a.pem&key=a.key\"]";
    format!("{}\n{}\n{}\n{examples}", services(), transports(), address_options())
}
