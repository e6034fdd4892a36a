//! What happens, told to whoever wants to know: the timeline of `-v`, the lines of `--json`, a test.

use std::{net::SocketAddr, time::Duration};

use crate::{error::Error, peer::Peer};

/// Somebody who wants to know. Called from many threads at once, and must not wait.
pub trait Watch: Send + Sync + 'static {
    /// Something happened.
    fn event(&self, event: &Event<'_>);

    /// Whether the bytes of each conversation are to be counted, which costs each of them some memory.
    fn counts(&self) -> bool {
        true
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
    /// The encryption stands.
    Secured(&'a Secured),
    /// The other protocol above it stands: a WebSocket, an HTTP connection.
    Agreed { protocol: &'a str },
    /// A server began a conversation.
    Opened { peer: &'a Peer },
    /// The first byte came in, this long after the link was made.
    FirstByte { after: Duration },
    /// A conversation's stream ended, and carried this much.
    Closed { peer: &'a Peer, received: u64, sent: u64, lasted: Duration },
    /// A service, a handshake or a peer failed; the server goes on.
    Trouble { peer: Option<&'a Peer>, error: &'a Error },
    /// Something a person should know.
    Note(&'a str),
}

/// What was agreed on for encryption.
#[derive(Clone, Debug)]
pub struct Secured {
    /// As in `TLS 1.3`.
    pub version: String,
    /// The cipher suite's name.
    pub cipher: String,
    /// The key exchange's name.
    pub exchange: String,
    /// The protocol agreed on inside, if one was.
    pub alpn: Option<String>,
    /// The fingerprint of the peer's certificate, as `?pin=` takes it.
    pub fingerprint: Option<String>,
    /// Why the peer was trusted: `certificate verified`, `pinned`, or `NOT VERIFIED`.
    pub trust: &'static str,
}
