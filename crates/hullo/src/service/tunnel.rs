//! What the two kinds of proxy share: who may come, what is read of them, and the tunnel.

use std::sync::Arc;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    Settings,
    accounts::{Accounts, Denied, account},
    relay,
};
use crate::{
    address::Address,
    error::{Error, Kind, Result},
    io::{linger, prefixed::Prefixed},
    link::{BoxStream, Link, Wire},
    options::Options,
    peer::Peer,
    scope::Scope,
    traffic::Traffic,
};

/// Who may go through: who has an account, or everybody where there is none. And who does.
pub(super) struct Passage {
    accounts: Option<Accounts<()>>,
    name: Arc<str>,
    traffic: Arc<Traffic>,
}

impl Passage {
    /// Those of `--auth`.
    ///
    /// # Errors
    /// What is no account.
    pub(super) fn of(settings: &Settings, name: &str) -> Result<Self> {
        let all = settings.accounts.iter().map(|text| account(text).map(|(name, secret)| (name, secret, ())));
        let all = all.collect::<Result<Vec<_>>>()?;
        let accounts = if all.is_empty() { None } else { Some(Accounts::new(all)?) };
        Ok(Self { accounts, name: name.into(), traffic: Arc::default() })
    }

    /// Whether nobody has to say who they are.
    pub(super) fn is_open(&self) -> bool {
        self.accounts.is_none()
    }

    pub(super) async fn admit(&self, name: &str, password: &str, peer: &Peer) -> Result<(), Denied> {
        match &self.accounts {
            None => Ok(()),
            Some(accounts) => accounts.verify(name, password, peer, None).await,
        }
    }

    /// Leads somebody to where they want, and stays until both ends have ended.
    pub(super) async fn lead(&self, guest: Guest, to: Link) -> Result<()> {
        let client = guest.link();
        let flow = self.traffic.open(&self.name, client.peer.clone(), to.peer.clone());
        relay::lead(client, to, flow).await
    }

    /// A proxy that everybody may use lends its own address to strangers.
    pub(super) fn notes(&self, at: &Address) -> Vec<String> {
        let is_here = match at.scheme.as_str() {
            "unix" | "stdio" | "memory" => true,
            _ => at.host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback()),
        };
        let note =
            "whoever reaches it may go anywhere through it, and will look like this machine: --auth asks who they are";
        if self.is_open() && !is_here { vec![note.to_owned()] } else { Vec::new() }
    }
}

/// Somebody is not led anywhere: what they are told, in the words of their protocol, and why it is.
pub(super) struct Rejected {
    pub(super) words: Vec<u8>,
    pub(super) error: Error,
}

impl From<Error> for Rejected {
    /// Who is told nothing.
    fn from(error: Error) -> Self {
        Self { words: Vec::new(), error }
    }
}

impl Denied {
    /// Why somebody is not let in, as an error of a proxy's.
    pub(super) fn error(&self) -> Error {
        Error::new(Kind::Denied, "a client is not let through").because(match self {
            Self::Wrong => "its name or its password is wrong".to_owned(),
            Self::Wait(wait) => {
                format!("there were too many wrong passwords from there; the next may come in {wait:.0?}")
            }
            Self::Stopping => "this server is about to stop".to_owned(),
        })
    }
}

fn gone(error: std::io::Error) -> Error {
    Error::io("the client broke off", error)
}

/// Somebody who has come, and what they have said that nobody has listened to yet.
pub(super) struct Guest {
    pub(super) peer: Peer,
    pub(super) scope: Scope,
    stream: BoxStream,
    said: BytesMut,
}

impl Guest {
    pub(super) fn new(link: Link) -> Self {
        let (peer, scope) = (link.peer.clone(), link.scope.clone());
        Self { peer, scope, stream: link.stream(), said: BytesMut::new() }
    }

    /// What they want, which they have the time for handshakes to say.
    pub(super) async fn ask<T>(
        &mut self,
        hear: impl AsyncFnOnce(&mut Self) -> Result<T, Rejected>,
    ) -> Result<T, Rejected> {
        let scope = self.scope.clone();
        let about = || "the client does not say where to go".to_owned();
        scope.in_time(about, async { Ok(hear(self).await) }).await.unwrap_or_else(|late| Err(late.into()))
    }

    /// Reads until `reader` knows what was said, which must refuse what is too much. It sees all that has come; what it does
    /// not take is left for the next one. `refuse` says what they are told of what is wrong.
    pub(super) async fn hear<T, E>(
        &mut self,
        reader: impl Fn(&[u8]) -> Result<Option<(T, usize)>, E>,
        refuse: impl FnOnce(E) -> Rejected,
    ) -> Result<T, Rejected> {
        loop {
            match reader(&self.said) {
                Ok(Some((said, length))) => {
                    self.said.advance(length);
                    return Ok(said);
                }
                Ok(None) => {}
                Err(wrong) => return Err(refuse(wrong)),
            }
            if self.stream.read_buf(&mut self.said).await.map_err(gone)? == 0 {
                return Err(Error::new(Kind::Cut, "the client left before it had said where to go").into());
            }
        }
    }

    /// Whether they have said more than was listened to.
    pub(super) fn goes_on(&self) -> bool {
        !self.said.is_empty()
    }

    pub(super) async fn say(&mut self, words: &[u8]) -> Result<()> {
        let said = async {
            self.stream.write_all(words).await?;
            self.stream.flush().await
        };
        said.await.map_err(gone)
    }

    /// Tells them why, and goodbye.
    pub(super) async fn dismiss(mut self, Rejected { words, error }: Rejected) -> Result<()> {
        // It may have left before; why it was to leave is the error that counts.
        if self.say(&words).await.is_ok() {
            let _ = linger::close(&mut self.stream).await;
        }
        Err(error)
    }

    /// What they say from now on, and before that what they have said early.
    fn link(self) -> Link {
        let Self { peer, scope, stream, said } = self;
        // A tunnel is bytes, whatever framing the listener's address has.
        let scope = scope.under(&Options::default()).unwrap_or(scope);
        let stream = if said.is_empty() { stream } else { Box::new(Prefixed::new(said.freeze(), stream)) };
        Link { peer, scope, wire: Wire::Stream(stream) }
    }
}
