//! `hullo bench POST https://127.0.0.1:7483/items name=Ada`: HTTP under load, in the version that the two ends agree on.

use http::{
    HeaderMap, HeaderName, Method, Version,
    header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE},
};

use super::{
    codec::{Codec, Failure, Opened, Outcome, Replies, replies},
    http1::{self, Http1},
    http2::{Http2, fields::Fields},
    payload::{Expect, Payload},
};
use crate::{
    address::Address,
    error::{Error, Kind, Result},
    options::End,
    request::{Way, defaults},
    scope::{Limits, Scope},
    transport,
};

/// The request that is made again and again.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Its method.
    pub method: Method,
    /// Its path and query, where they are a template; without one they are those of the address.
    pub target: Option<Payload>,
    /// Its headers, to begin with `Accept` and `User-Agent`. `Host` is added where it is missing, and `Content-Length` is
    /// always that of the body.
    pub headers: HeaderMap,
    /// Headers beside those, whose values are templates.
    pub filled: Vec<(HeaderName, Payload)>,
    /// Its body.
    pub body: Option<Payload>,
    /// What its response must be.
    pub expect: Expect,
    /// The version to speak; none is HTTP/1.1, or over TLS what the server prefers.
    pub version: Option<Version>,
}

impl Exchange {
    /// A request without a body.
    pub fn new(method: Method) -> Self {
        Self {
            method,
            target: None,
            headers: defaults(),
            filled: Vec::new(),
            body: None,
            expect: Expect::default(),
            version: None,
        }
    }

    /// What the bytes of a server, in whatever pieces they come, are to a connection on which so many requests were asked:
    /// for each reply that is whole, the request that it answers, and its status or how that failed.
    ///
    /// # Errors
    /// They break the protocol, or end in the middle of a response.
    pub fn replies<'a>(
        &self,
        version: Version,
        asked: u64,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> (Replies, Result<()>) {
        let target = self.target("http", "localhost", "/");
        let judge = Judge::new(self.expect.clone(), self.payload(), Limits::default().max);
        match version {
            Version::HTTP_2 => replies(&mut self.http2(&target, judge), asked, pieces),
            _ => replies(&mut self.http1(&target, judge), asked, pieces),
        }
    }

    /// What cannot be asked, or not again and again.
    fn check(&self, to: &Address) -> Result<()> {
        if !matches!(to.scheme.as_str(), "http" | "https") {
            return Err(Error::usage(format!("{} is not http or https", to.bare())));
        }
        if self.method == Method::CONNECT {
            return Err(Error::usage("CONNECT makes a tunnel, and no response ends that"));
        }
        match [TRANSFER_ENCODING, UPGRADE].iter().find(|name| self.has(name)) {
            Some(name) => Err(Error::usage(format!("the header {name} cannot be sent under load: leave it out"))),
            None => Ok(()),
        }
    }

    /// Whether there is a header of that name.
    fn has(&self, name: &HeaderName) -> bool {
        self.headers.contains_key(name) || self.filled.iter().any(|(filled, _)| filled == name)
    }

    /// What is asked for at that place, unless the request says it otherwise.
    fn target(&self, scheme: &'static str, authority: &str, path: &str) -> Target {
        let fixed = |text: &str| Payload::fixed(text.to_owned());
        let path = self.target.clone().unwrap_or_else(|| fixed(path));
        Target { scheme, authority: fixed(authority), path }
    }

    /// All headers but the length, which is that of the body.
    fn lines(&self) -> impl Iterator<Item = (&HeaderName, Payload)> {
        let fixed = self.headers.iter().map(|(name, value)| (name, Payload::fixed(value.as_bytes().to_vec())));
        let filled = self.filled.iter().map(|(name, value)| (name, value.clone()));
        fixed.chain(filled).filter(|(name, _)| **name != CONTENT_LENGTH)
    }

    /// The length of the bodies, where there must be one (RFC 9110, section 8.6) and each is as long as the other.
    fn length(&self) -> Option<usize> {
        match &self.body {
            Some(body) => body.same().map(|bytes| bytes.len()),
            None => matches!(self.method, Method::POST | Method::PUT | Method::PATCH).then_some(0),
        }
    }

    /// Whether each body is another one.
    fn varies(&self) -> bool {
        self.body.as_ref().is_some_and(|body| body.same().is_none())
    }

    fn payload(&self) -> Payload {
        self.body.clone().unwrap_or_else(|| Payload::fixed(Vec::new()))
    }

    /// The codec of a connection on which HTTP/1.1 is spoken.
    fn http1(&self, target: &Target, judge: Judge) -> Http1 {
        let mut head = Payload::fixed(format!("{} ", self.method));
        head.add(&target.path);
        head.add(&Payload::fixed(&b" HTTP/1.1\r\n"[..]));
        if !self.has(&HOST) {
            line(&HOST, &target.authority, &mut head);
        }
        self.lines().for_each(|(name, value)| line(name, &value, &mut head));
        if let Some(length) = self.length() {
            line(&CONTENT_LENGTH, &Payload::fixed(length.to_string()), &mut head);
        }
        if !self.varies() {
            head.add(&Payload::fixed(&b"\r\n"[..]));
        }
        let bodiless = self.method == Method::HEAD;
        let request =
            http1::Written { head, body: self.payload(), varies: self.varies(), bodiless, scratch: Vec::new() };
        Http1::new(request, judge)
    }

    /// The codec of a connection on which HTTP/2 is spoken.
    fn http2(&self, target: &Target, judge: Judge) -> Http2 {
        let host = self.lines().find_map(|(name, value)| (*name == HOST).then_some(value));
        let target = Target { authority: host.unwrap_or_else(|| target.authority.clone()), ..target.clone() };
        let mut fields = Fields::request(&self.method, &target, &self.headers, &self.filled);
        if let Some(length) = self.length() {
            fields.content_length(length);
        }
        Http2::new(fields, self.payload(), self.varies(), judge)
    }
}

/// A header line, in the letters in which most of them are written: some old servers know no others.
fn line(name: &HeaderName, value: &Payload, head: &mut Payload) {
    let (mut spelled, mut begins) = (Vec::new(), true);
    for letter in name.as_str().bytes() {
        spelled.push(if begins { letter.to_ascii_uppercase() } else { letter });
        begins = letter == b'-';
    }
    spelled.extend_from_slice(b": ");
    head.add(&Payload::fixed(spelled));
    head.add(value);
    head.add(&Payload::fixed(&b"\r\n"[..]));
}

/// What is asked for.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) scheme: &'static str,
    pub(super) authority: Payload,
    pub(super) path: Payload,
}

/// Opens a connection for such requests.
///
/// # Errors
/// The request, the connection's, or that they cannot agree on the version.
pub(super) async fn open(to: &Address, exchange: &Exchange, scope: &Scope) -> Result<Opened> {
    exchange.check(to)?;
    transport::find(to, End::Connect)?;
    let to = to.on_a_host();
    let scheme = if to.scheme == "https" { "https" } else { "http" };
    let way = Way { version: exchange.version, ..Way::default() };
    let reached = way.reach(&to, scheme, scope).await?;
    let target = exchange.target(scheme, &to.authority(), &to.target());
    let judge = Judge::new(exchange.expect.clone(), exchange.payload(), scope.limits().max);
    let codec: Box<dyn Codec> = match reached.h2 {
        true => Box::new(exchange.http2(&target, judge)),
        false => Box::new(exchange.http1(&target, judge)),
    };
    Ok((reached.stream, codec))
}

/// What is expected of the replies on one connection.
pub(super) struct Judge {
    expect: Expect,
    /// What was asked.
    asked: Payload,
    /// The most of a reply that is looked at.
    max: usize,
    reads: bool,
}

impl Judge {
    pub(super) fn new(expect: Expect, asked: Payload, max: usize) -> Self {
        let reads = expect.reads();
        Self { expect, asked, max, reads }
    }

    /// Whether replies are compared with their requests.
    pub(super) fn compares(&self) -> bool {
        self.expect.same
    }

    /// Whether the content of replies is looked at.
    pub(super) fn reads(&self) -> bool {
        self.reads
    }

    /// The longest reply that can be judged.
    pub(super) fn max(&self) -> usize {
        if self.reads { self.max } else { usize::MAX / 2 }
    }

    /// Adds some of a reply to what was kept of it, if anybody wants to look at that: one byte too many shows that it is
    /// too large.
    pub(super) fn keep(&self, kept: &mut Vec<u8>, data: &[u8]) {
        if self.reads {
            let room = (self.max + 1).saturating_sub(kept.len());
            kept.extend_from_slice(&data[..data.len().min(room)]);
        }
    }

    /// What became of request `n`, whose response has that status.
    pub(super) fn outcome(&self, status: u16, n: Option<u64>, content: &[u8]) -> Outcome {
        if self.expect.status(status) {
            self.verdict(Some(status), n, content)
        } else {
            Outcome::Failed(Failure::Status(status))
        }
    }

    /// What became of request `n`, of whose reply nothing but the content is judged.
    pub(super) fn verdict(&self, status: Option<u16>, n: Option<u64>, content: &[u8]) -> Outcome {
        if !self.reads {
            return Outcome::Answered(status);
        }
        if content.len() > self.max {
            return Outcome::Failed(Failure::Kind(Kind::TooLarge));
        }
        let asked = || {
            let mut asked = Vec::new();
            self.asked.write(n.unwrap_or_default(), &mut asked);
            asked
        };
        match self.expect.content(asked, content) {
            true => Outcome::Answered(status),
            false => Outcome::Failed(Failure::Unexpected),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{super::codec::Reply, *};

    /// What a codec makes of bytes that come in pieces.
    #[derive(Debug, PartialEq)]
    pub(in super::super) struct Heard {
        pub(in super::super) replies: Vec<Reply>,
        pub(in super::super) broken: Option<Kind>,
        /// What it says besides its requests.
        pub(in super::super) owed: Vec<u8>,
    }

    impl Heard {
        /// The most of a reply that is looked at.
        pub(in super::super) const MAX: usize = 1000;

        /// Asks so many requests, hears the bytes in pieces, and then the end.
        pub(in super::super) fn of(
            exchange: &Exchange,
            version: Version,
            asked: u64,
            bytes: &[u8],
            cut: usize,
        ) -> Self {
            Self::by(&mut *codec(exchange, version), asked, bytes, cut)
        }

        pub(in super::super) fn by(codec: &mut dyn Codec, asked: u64, bytes: &[u8], cut: usize) -> Self {
            let (mut replies, mut rest, mut owed) = (Vec::new(), Vec::new(), Vec::new());
            (0..asked).for_each(|n| codec.ask(n, &mut Vec::new()));
            let mut broken = None;
            for piece in bytes.chunks(cut) {
                rest.extend_from_slice(piece);
                match codec.hear(&rest, &mut |reply| replies.push(reply)) {
                    Ok(used) => drop(rest.drain(..used)),
                    Err(error) => broken = Some(error.kind()),
                }
                assert!(rest.len() <= cut + (65 << 10), "{} bytes are held", rest.len());
                if broken.is_some() {
                    break;
                }
                codec.owed(&mut owed);
            }
            if broken.is_none() {
                broken = codec.end(&mut |reply| replies.push(reply)).err().map(|error| error.kind());
            }
            Self { replies, broken, owed }
        }

        pub(in super::super) fn outcomes(&self) -> Vec<Outcome> {
            self.replies.iter().map(|reply| reply.outcome).collect()
        }

        /// The bytes of so many requests.
        pub(in super::super) fn asked(exchange: &Exchange, version: Version, count: u64) -> Vec<u8> {
            let (mut codec, mut out) = (codec(exchange, version), Vec::new());
            (0..count).for_each(|n| codec.ask(n, &mut out));
            out
        }
    }

    pub(in super::super) fn codec(exchange: &Exchange, version: Version) -> Box<dyn Codec> {
        let target = exchange.target("http", "h:80", "/a?b");
        let judge = Judge::new(exchange.expect.clone(), exchange.payload(), Heard::MAX);
        match version {
            Version::HTTP_2 => Box::new(exchange.http2(&target, judge)),
            _ => Box::new(exchange.http1(&target, judge)),
        }
    }
}
