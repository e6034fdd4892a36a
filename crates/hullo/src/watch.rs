//! What happens, told to whoever wants to know: the timeline of `-v`, the lines of `--json`, a test.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use crate::{address::Address, error::Error, peer::Peer};

/// Somebody who wants to know. Called from many threads at once, and must not wait.
pub trait Watch: Send + Sync + 'static {
    /// Something happened.
    fn event(&self, event: &Event<'_>);

    /// Whether the bytes of each conversation are to be counted, which costs each of them some memory.
    fn counts(&self) -> bool {
        true
    }

    /// Whether to be told of [rates](Event::Rate). They cost as much as counting does.
    fn wants_rates(&self) -> bool {
        self.counts()
    }
}

impl<F: Fn(&Event<'_>) + Send + Sync + 'static> Watch for F {
    fn event(&self, event: &Event<'_>) {
        self(event);
    }
}

/// Something that happened.
#[derive(Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are named after what they are; each event says what happened")]
pub enum Event<'a> {
    /// A name has these addresses, in the order in which they will be tried.
    Resolved { host: &'a str, addresses: &'a [SocketAddr] },
    /// One of the addresses did not answer; the next is tried.
    Failed { address: SocketAddr, why: &'a str },
    /// The connection stands.
    Connected { peer: &'a Peer },
    /// A proxy that we go through has connected to there: to the next one, or to who is meant.
    Tunnelled { proxy: &'a Address, to: &'a str },
    /// A server showed its certificates, whether it is then trusted or not.
    Shown(&'a Shown),
    /// The encryption stands.
    Secured(&'a Secured),
    /// A proxy, `by`, speaks for the peer: it says so in the connection's PROXY header.
    Proxied { peer: &'a Peer, by: &'a Peer },
    /// A server's encryption with a client stands.
    Admitted { peer: &'a Peer, secured: &'a Secured },
    /// The other protocol above it stands: a WebSocket, an HTTP connection.
    Agreed { protocol: &'a str },
    /// A server began a conversation.
    Opened { peer: &'a Peer },
    /// The first byte came in, this long after the link was made.
    FirstByte { after: Duration },
    /// A conversation goes on, and has moved bytes since about a second ago. It is told only by services that others
    /// measure with.
    Rate(&'a Rate),
    /// A conversation's stream ended, and carried this much; `number` is that of its rates, where those were told.
    Closed { peer: &'a Peer, received: u64, sent: u64, lasted: Duration, number: Option<u64> },
    /// An HTTP request was answered.
    Answered(&'a Answered),
    /// A service, a handshake or a peer failed; the server goes on.
    Trouble { peer: Option<&'a Peer>, error: &'a Error },
    /// Something a person should know.
    Note(&'a str),
}

/// How fast a conversation is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Rate {
    /// Who is there.
    pub peer: Peer,
    /// The conversation's number: the peers of unix sockets have no names.
    pub number: u64,
    /// The bytes that came in so far.
    pub received: u64,
    /// The bytes that went out so far.
    pub sent: u64,
    /// The bytes that came in per second, since it was last told.
    pub received_per_s: u64,
    /// The same of those that went out.
    pub sent_per_s: u64,
}

/// An HTTP exchange that is over.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answered {
    /// Who asked.
    pub peer: Peer,
    /// The request's name, which it has as `X-Request-Id` in every log: the client's, or one that was made.
    pub id: String,
    /// When the request came.
    pub when: SystemTime,
    /// The method; `-` where what came was no request.
    pub method: String,
    /// The target, with its query.
    pub target: String,
    /// As in `HTTP/1.1`.
    pub version: String,
    /// What the client says it came from.
    pub referer: Option<String>,
    /// What the client says it is.
    pub agent: Option<String>,
    /// The status of the response; 499 where the client did not wait for one.
    pub status: u16,
    /// The bytes of its body that were sent.
    pub sent: u64,
    /// From the request's head to the response's last byte.
    pub took: Duration,
}

/// What was agreed on for encryption.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Secured {
    /// As in `TLS 1.3`.
    pub version: String,
    /// The cipher suite's name.
    pub cipher: String,
    /// The key exchange's name.
    pub exchange: String,
    /// Whether a quantum computer of the future could not undo that exchange either.
    pub post_quantum: bool,
    /// Whether an earlier session was resumed, so that no certificate was shown again.
    pub resumed: bool,
    /// The protocol agreed on inside, if one was.
    pub alpn: Option<String>,
    /// The fingerprint of the peer's certificate, as `?pin=` takes it.
    pub fingerprint: Option<String>,
    /// Why the peer was trusted, as in `certificate verified` or `certificate NOT VERIFIED`.
    pub trust: &'static str,
}

/// What a server showed of itself, and what is wrong with it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Shown {
    /// The server's own certificate, then those that vouch for it.
    pub chain: Vec<Certificate>,
    /// What is wrong, the gravest first.
    pub faults: Vec<Fault>,
}

/// Something that is wrong with a certificate, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// Whether clients that verify refuse it for that; otherwise it is a warning.
    pub grave: bool,
    /// What it is, as in `it expired on 2026-01-31`.
    pub words: String,
}

/// A certificate (RFC 5280).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Certificate {
    /// Whom it is for, as in `CN=example.org, O=Example`.
    pub subject: String,
    /// Who vouches for that.
    pub issuer: String,
    /// The names and addresses that it is good for.
    pub names: Vec<String>,
    /// From when it is valid.
    pub from: SystemTime,
    /// Until when.
    pub until: SystemTime,
    /// The kind of its key, as in `ECDSA P-256` or `RSA`.
    pub key: String,
    /// The size of that key in bits.
    pub bits: usize,
    /// How the issuer signed it, as in `ECDSA with SHA-256`.
    pub signature: String,
    /// Whether it may vouch for others.
    pub authority: bool,
    /// Its fingerprint, as `?pin=` takes it and `openssl x509 -fingerprint -sha256` prints it.
    pub fingerprint: String,
    /// The fingerprint of its key, which `?pin=` takes too: it outlives the certificate where the key is kept.
    pub key_fingerprint: String,
}

impl Certificate {
    /// Whom it is for in the fewest words: its first name, or else its subject.
    pub fn name(&self) -> &str {
        self.names.first().unwrap_or(&self.subject)
    }

    /// Whether nobody else vouches for it.
    pub(crate) fn is_self_signed(&self) -> bool {
        self.subject == self.issuer
    }
}
