//! The client's end: links to addresses, and one question with its answer.

use std::time::Duration;

use bytes::BytesMut;
use tokio::time::timeout;

use crate::{
    address::Address,
    error::{Error, Kind, Result},
    framing::{self, Framing, too_large},
    io::exchange::{collect, empty, full},
    link::Link,
    message::Message,
    options::End,
    request,
    scope::Scope,
    transport,
};

/// Connects to an address, as in `tcp://host:7000` or `wss://host/path?pin=sha256:…`.
///
/// # Errors
/// The address, or that nobody answers there: the error says which and what was tried.
pub async fn connect(address: &str) -> Result<Link> {
    dial(&address.parse()?, &Scope::default()).await
}

/// Connects to an address in a scope. Cancel-safe: an attempt that is dropped leaves nothing behind.
///
/// # Errors
/// As [`connect`].
pub async fn dial(to: &Address, scope: &Scope) -> Result<Link> {
    let transport = transport::find(to, End::Connect)?.transport;
    // A service that talks over the link may have to reach out itself, as a proxy does.
    lend(scope);
    transport.connect(to.on_a_host(), scope.under(&to.options)?).await
}

/// Gives the services of a scope the way to reach out.
pub(crate) fn lend(scope: &Scope) {
    scope.dial_by(|to, scope| Box::pin(async move { dial(&to, &scope).await }));
}

/// Sends one message to an address and returns the reply.
///
/// # Errors
/// As [`connect`]; that there was no reply within `timeout`, or that the other end closed without one.
pub async fn ask(address: &str, message: impl Into<Message>) -> Result<Message> {
    ask_in(&address.parse()?, Some(message.into()), &Scope::default(), None).await
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Message::text(text)
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Message::text(text)
    }
}

/// The same in a scope, and `within` a time instead of the address's `timeout`; without a message only what the other end
/// says by itself is waited for.
///
/// On a stream a newline ends the message, and the reply is whole when its last line or its JSON value has ended, when
/// the other end has closed, or when it has been quiet for `quiet`; unless the option `frame` says where messages end.
///
/// # Errors
/// As [`ask`].
pub async fn ask_in(
    to: &Address,
    message: Option<Message>,
    scope: &Scope,
    within: Option<Duration>,
) -> Result<Message> {
    let scope = scope.under(&to.options)?;
    let within = within.unwrap_or(scope.limits().timeout);
    let asked = async {
        match to.scheme.as_str() {
            "http" | "https" => ask_http(to, message, &scope).await,
            _ => ask_session(to, message, &scope).await,
        }
    };
    timeout(within, asked).await.unwrap_or_else(|_| {
        Err(Error::new(Kind::Timeout, format!("no answer from {} within {within:?}", to.bare()))
            .hint("wait longer with --timeout 1m"))
    })
}

/// How long a stream may be silent before it is told that there is no more to come.
const SILENCE: Duration = Duration::from_secs(1);

async fn ask_session(to: &Address, message: Option<Message>, scope: &Scope) -> Result<Message> {
    let mut session = dial(to, scope).await?.session(&REPLY);
    match message {
        Some(message) => session.send(message).await?,
        // A datagram server hears of us only by a datagram.
        None if session.endless() => session.send(Message::text("")).await?,
        None => {}
    }
    let answer = match timeout(SILENCE, session.recv()).await {
        Ok(answer) => answer?,
        // It may answer only at the end of its input. To whom that end would be good-bye it is not told.
        Err(_) => {
            if !session.endless() {
                session.finish().await?;
            }
            session.recv().await?
        }
    };
    let answer = answer.ok_or_else(|| Error::new(Kind::Cut, format!("{} closed without an answer", to.bare())))?;
    // The answer is there; whether the farewell arrives is no longer of interest.
    let _ = session.finish().await;
    Ok(answer)
}

async fn ask_http(to: &Address, message: Option<Message>, scope: &Scope) -> Result<Message> {
    let (method, body) = match message {
        Some(message) => (http::Method::POST, full(message.bytes)),
        None => (http::Method::GET, empty()),
    };
    let response = request::exchange(to, method, request::defaults(), body, scope).await?;
    let status = response.status();
    let body = collect(response.into_body(), scope.limits().max).await?;
    if !status.is_success() {
        let said = String::from_utf8_lossy(&body).trim().to_owned();
        return Err(Error::new(Kind::Protocol, format!("{} answered {status}", to.bare())).because(said));
    }
    Ok(Message { bytes: body, text: true })
}

/// Where the reply to one question ends, when nothing is known about it.
const REPLY: framing::Spec = framing::Spec {
    name: "reply",
    about: "a reply ends where its last line or its JSON value does",
    make: |max| Box::new(Whole { json: (framing::json::SPEC.make)(max), max }),
};

struct Whole {
    json: Box<dyn Framing>,
    max: usize,
}

impl Framing for Whole {
    fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Message>> {
        if buf.starts_with(b"{") || buf.starts_with(b"[") {
            return self.json.decode(buf);
        }
        if buf.ends_with(b"\n") {
            return self.finish(buf);
        }
        if buf.len() > self.max { Err(too_large(self.max)) } else { Ok(None) }
    }

    fn finish(&mut self, buf: &mut BytesMut) -> Result<Option<Message>> {
        let mut bytes = buf.split();
        let whole = !bytes.is_empty();
        // The newline of the last line ends the reply, and is not part of it.
        for end in [b"\n", b"\r"] {
            if bytes.ends_with(end) {
                bytes.truncate(bytes.len() - 1);
            }
        }
        Ok(whole.then(|| Message { bytes: bytes.freeze(), text: true }))
    }

    fn patience(&self) -> u32 {
        self.json.patience().max(1)
    }

    fn encode(&mut self, message: &Message, buf: &mut BytesMut) -> Result<()> {
        buf.extend_from_slice(&message.bytes);
        if !message.bytes.ends_with(b"\n") {
            buf.extend_from_slice(b"\n");
        }
        Ok(())
    }
}
