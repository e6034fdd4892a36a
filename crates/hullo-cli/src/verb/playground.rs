//! `hullo serve`: every service on loopback, a table of what to type, and a page to try them in a browser.

use std::sync::Arc;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hullo::{
    Address, BoxFuture, Kind, Link, Peer, Result, Scope, Server, Service,
    exchange::{Body, full, text},
    service::{Needs, SERVICES, Setting, Settings, Spec},
};
use serde_json::{Value, json};

use super::serve::listen;
use crate::{report::Voice, view::paint};

/// The services in the order in which a newcomer meets them, and their easy ports. The last two digits are the service,
/// the first two the transport: 70 is tcp and udp, 71 is ws, 72 is http.
const PLACES: &[(&str, u16)] = &[
    ("echo", 7),
    ("greet", 10),
    ("json", 20),
    ("convert", 30),
    ("exec", 40),
    ("chat", 60),
    ("httpbin", 50),
    ("rest", 55),
    ("chargen", 19),
    ("discard", 9),
];

/// Where a service is opened: one that answers HTTP alone on the last of them.
const SCHEMES: &[(&str, u16)] = &[("tcp", 7000), ("udp", 7000), ("ws", 7100), ("http", 7200)];

/// What the playground's exec runs: it cannot harm anybody.
const SHOUT: &[&str] = &["sed", "-u", r"s/.*/\U&!/"];
const SHOUTS: &str = "runs a program for each link; here one that shouts back: sed -u 's/.*/\\U&!/'";

const PAGE: &str = include_str!("../page.html");
const PAGE_PORT: u16 = 8080;

/// Opens everything, and shows what to type.
pub(super) async fn open(server: &mut Server, voice: Voice) -> Result<()> {
    let settings = Settings {
        command: SHOUT.iter().map(Into::into).collect(),
        database: Some(":memory:".to_owned()),
        ..Settings::default()
    };
    let mut cards = Vec::new();
    for (spec, port) in in_order() {
        let service = (spec.make)(&settings)?;
        let mut addresses = Vec::new();
        for (scheme, hundred) in SCHEMES.iter().filter(|(scheme, _)| spec.needs != Needs::Http || *scheme == "http") {
            addresses.push(easy(server, scheme, hundred + port, spec.name, &service, voice).await?);
        }
        cards.push(Card { spec, addresses });
    }
    let page: Arc<dyn Service> = Arc::new(Page::new(&cards));
    let page = easy(server, "http", PAGE_PORT, "start page", &page, voice).await?;
    if !voice.json {
        show(&cards, &page);
    }
    Ok(())
}

/// The services of the table: first those with a place, then whatever is new.
fn in_order() -> Vec<(&'static Spec, u16)> {
    // Nobody has said which folder may be seen, or that others may go through here.
    let tries = |spec: &&Spec| !spec.takes.contains(&Setting::Dir) && spec.needs != Needs::Bytes;
    let placed =
        PLACES.iter().filter_map(|(name, port)| Some((SERVICES.iter().find(|spec| spec.name == *name)?, *port)));
    let others = SERVICES.iter().filter(|spec| !PLACES.iter().any(|(name, _)| *name == spec.name));
    placed.chain(others.filter(tries).zip(60..)).collect()
}

/// Listens on that port, or on a free one where it is taken.
async fn easy(
    server: &mut Server,
    scheme: &str,
    port: u16,
    name: &str,
    service: &Arc<dyn Service>,
    voice: Voice,
) -> Result<Address> {
    match listen(server, &format!("{scheme}://127.0.0.1:{port}"), name, service.clone(), voice).await {
        Err(error) if error.kind() == Kind::Bind => {
            listen(server, &format!("{scheme}://127.0.0.1:0"), name, service.clone(), voice).await
        }
        listened => listened,
    }
}

/// One service and where it is.
struct Card {
    spec: &'static Spec,
    addresses: Vec<Address>,
}

impl Card {
    fn port(&self, scheme: &str) -> u16 {
        self.addresses
            .iter()
            .find(|address| address.scheme == scheme)
            .and_then(|address| address.port)
            .unwrap_or_default()
    }

    /// What to type: with which program, and the command.
    fn commands(&self) -> Vec<(&'static str, String)> {
        let (tcp, udp, ws, http) = (self.port("tcp"), self.port("udp"), self.port("ws"), self.port("http"));
        let say = match self.spec.sample {
            sample if sample.contains(['"', ' ']) => format!("'{sample}'"),
            sample => sample.to_owned(),
        };
        match self.spec.name {
            "rest" => vec![
                ("hullo", format!("hullo request POST :{http}/people name=Ada age:=36")),
                ("curl", format!("curl 'http://127.0.0.1:{http}/people?age:gte=18'")),
            ],
            _ if self.spec.needs == Needs::Http => vec![
                ("hullo", format!("hullo request http://127.0.0.1:{http}{}", self.spec.sample)),
                ("curl", format!("curl http://127.0.0.1:{http}{}", self.spec.sample)),
            ],
            "chat" => vec![
                ("hullo", format!("echo {say} | hullo chat localhost:{tcp}")),
                ("nc", format!("echo {say} | nc -N 127.0.0.1 {tcp}")),
                ("curl", format!("curl http://127.0.0.1:{http}/rooms")),
            ],
            "greet" => vec![
                ("hullo", format!("hullo ask localhost:{tcp}")),
                ("nc", format!("nc -d 127.0.0.1 {tcp}")),
                ("curl", format!("curl http://127.0.0.1:{http}")),
            ],
            "chargen" => vec![
                ("hullo", format!("hullo connect localhost:{tcp} | head")),
                ("nc", format!("nc -d 127.0.0.1 {tcp} | head")),
                ("curl", format!("curl -s http://127.0.0.1:{http} | head")),
            ],
            "discard" => vec![
                ("hullo", format!("echo {say} | hullo connect localhost:{tcp}")),
                ("nc", format!("echo {say} | nc -N 127.0.0.1 {tcp}")),
                ("curl", format!("curl -d {say} http://127.0.0.1:{http}")),
            ],
            "convert" => vec![
                ("hullo", format!("hullo ask udp://localhost:{udp} {say}")),
                ("nc", format!("echo {say} | nc -u -w1 127.0.0.1 {udp}")),
                ("curl", format!("curl http://127.0.0.1:{http}/{}", self.spec.sample)),
            ],
            _ => vec![
                ("hullo", format!("hullo ask ws://localhost:{ws} {say}")),
                ("nc", format!("echo {say} | nc -N 127.0.0.1 {tcp}")),
                ("curl", format!("curl -d {say} http://127.0.0.1:{http}")),
            ],
        }
    }
}

/// Shows what to type: stacked, so that it fits a terminal of 80 columns and can be copied.
fn show(cards: &[Card], page: &Address) {
    let paint = paint::on_stderr();
    tell!("\n{}", paint.bold("  service    what to type at it"));
    for card in cards {
        for (at, (_, command)) in card.commands().iter().enumerate() {
            let name = if at == 0 { card.spec.name } else { "" };
            let command = if at == 0 { command.clone() } else { paint.quiet(command) };
            tell!("  {} {command}", paint.name(&format!("{name:<10}")));
        }
    }
    let page = format!("http://127.0.0.1:{}", page.port.unwrap_or_default());
    tell!("\n  In a browser: {}", paint.bold(&page));
    if let Ok(program) = std::env::current_exe() {
        tell!("  Where hullo is not installed, it is {}", program.display());
    }
    tell!("  Ctrl-C ends it all.\n");
}

/// The start page.
struct Page {
    html: String,
}

impl Page {
    fn new(cards: &[Card]) -> Self {
        let services: Vec<Value> = cards.iter().map(|card| json!({
            "name": card.spec.name,
            "about": if card.spec.name == "exec" { SHOUTS } else { card.spec.about },
            "sample": card.spec.sample,
            "ws": (card.spec.needs != Needs::Http).then(|| format!("ws://127.0.0.1:{}/", card.port("ws"))),
            "page": (card.spec.needs == Needs::Http).then(|| format!("http://127.0.0.1:{}/", card.port("http"))),
            "addresses": card.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "try": card.commands().into_iter().map(|(with, command)| json!({ "with": with, "command": command })).collect::<Vec<_>>(),
        })).collect();
        let data = json!({ "version": env!("CARGO_PKG_VERSION"), "services": services }).to_string();
        Self { html: PAGE.replacen("__DATA__", &data.replace("</", "<\\/"), 1) }
    }
}

impl Service for Page {
    /// The page has no conversation of its own: its WebSockets go to the services.
    fn serve(self: Arc<Self>, _: Link) -> BoxFuture<'static, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn exchange(
        self: Arc<Self>,
        request: Request<Body>,
        _: Peer,
        _: Scope,
    ) -> BoxFuture<'static, Result<Response<Body>>> {
        Box::pin(async move {
            if request.uri().path() != "/" {
                return Ok(text(StatusCode::NOT_FOUND, "there is only the start page here: /\n"));
            }
            if !matches!(*request.method(), Method::GET | Method::HEAD) {
                let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "the start page is only for reading\n");
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
                return Ok(response);
            }
            let mut response = Response::new(full(self.html.clone()));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            headers.insert(
                header::CONTENT_SECURITY_POLICY,
                HeaderValue::from_static(
                    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src ws: wss: http: https:; img-src data:",
                ),
            );
            Ok(response)
        })
    }
}
