//! `hullo serve socks5 :1080`, then `curl -x socks5h://127.0.0.1:1080 https://example.org`: a proxy that speaks SOCKS 5
//! (RFC 1928), 4 and 4a.
//!
//! With accounts (`--auth`) its clients say a name and a password (RFC 1929), and who speaks SOCKS 4, which knows no
//! passwords, is refused. It makes connections (CONNECT) and nothing else. No name is looked up and nobody is called before
//! the client is let in.

use std::{net::SocketAddr, sync::Arc};

use super::{
    Needs, Service, Setting, Settings, Spec,
    tunnel::{Guest, Passage, Rejected},
};
use crate::{
    address::Address,
    error::{Error, Kind, Result},
    link::Link,
    proxy::{
        Verdict,
        socks::{
            Breach, Command, NO_METHOD, OPEN, Opening, PASSWORD, Request, admitted_of, choice_of, login, opening,
            reply_of, reply4_of, request,
        },
    },
    scope::BoxFuture,
};

/// This service's line of the table.
pub const SPEC: Spec = Spec {
    name: "socks5",
    about: "a proxy that speaks SOCKS 5, 4 and 4a",
    sample: "curl -x socks5h://127.0.0.1:1080 https://example.org",
    takes: &[Setting::Auth],
    needs: Needs::Bytes,
    make: |settings| Ok(Arc::new(Socks5::new(settings)?)),
};

/// The SOCKS proxy.
pub struct Socks5 {
    passage: Passage,
}

/// What a client asked for, and in which words it hears of it.
struct Asked {
    request: Request,
    is_four: bool,
}

impl Socks5 {
    /// A proxy for the accounts of the settings, or for everybody where there are none.
    ///
    /// # Errors
    /// What is no account.
    pub fn new(settings: &Settings) -> Result<Self> {
        Ok(Self { passage: Passage::of(settings, SPEC.name)? })
    }

    async fn hold(&self, mut guest: Guest) -> Result<()> {
        let Asked { request, is_four } = match guest.ask(async |guest| self.hear(guest).await).await {
            Ok(asked) => asked,
            Err(rejected) => return guest.dismiss(rejected).await,
        };
        let reply = |verdict, bound| if is_four { reply4_of(verdict, bound) } else { reply_of(verdict, bound) };
        if request.command != Command::Connect {
            let error = Error::new(Kind::Protocol, "a client asked for something else than a connection");
            return guest.dismiss(Rejected { words: reply(Verdict::NoCommand, None), error }).await;
        }
        match guest.scope.dial(&request.to).await {
            Ok(link) => {
                guest.say(&reply(Verdict::Granted, link.peer.local().net())).await?;
                self.passage.lead(guest, link).await
            }
            Err(error) => guest.dismiss(Rejected { words: reply(Verdict::of(&error), None), error }).await,
        }
    }

    /// Hears who somebody is, and where they want to go.
    async fn hear(&self, guest: &mut Guest) -> Result<Asked, Rejected> {
        match guest.hear(opening, |breach| rejected(breach, reply4_of)).await? {
            Opening::Four(_) if !self.passage.is_open() => {
                let error =
                    Error::new(Kind::Denied, "a client of SOCKS 4 cannot say who it is, and is not let through");
                Err(Rejected { words: reply4_of(Verdict::Forbidden, None), error })
            }
            Opening::Four(request) => Ok(Asked { request, is_four: true }),
            Opening::Five(methods) => {
                self.admit(&methods, guest).await?;
                let request = guest.hear(request, |breach| rejected(breach, reply_of)).await?;
                Ok(Asked { request, is_four: false })
            }
        }
    }

    /// Lets a client of SOCKS 5 in, which knows these ways to say who it is.
    async fn admit(&self, methods: &[u8], guest: &mut Guest) -> Result<(), Rejected> {
        if self.passage.is_open() && methods.contains(&OPEN) {
            return Ok(guest.say(&choice_of(OPEN)).await?);
        }
        if !methods.contains(&PASSWORD) {
            let error = Error::new(Kind::Denied, "a client does not say who it is, and is not let through");
            return Err(Rejected { words: choice_of(NO_METHOD).to_vec(), error });
        }
        guest.say(&choice_of(PASSWORD)).await?;
        let no = |error| Rejected { words: admitted_of(false).to_vec(), error };
        let wrong = |breach: Breach| no(Error::new(Kind::Protocol, breach.why));
        let (name, password) = guest.hear(login, wrong).await?;
        self.passage.admit(&name, &password, &guest.peer).await.map_err(|denied| no(denied.error()))?;
        Ok(guest.say(&admitted_of(true)).await?)
    }
}

/// The answer to what cannot be meant.
fn rejected(breach: Breach, reply: fn(Verdict, Option<SocketAddr>) -> Vec<u8>) -> Rejected {
    Rejected { words: reply(breach.verdict, None), error: Error::new(Kind::Protocol, breach.why) }
}

impl Service for Socks5 {
    fn serve(self: Arc<Self>, link: Link) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move { self.hold(Guest::new(link)).await })
    }

    fn needs(&self) -> Needs {
        Needs::Bytes
    }

    fn notes(&self, at: &Address) -> Vec<String> {
        self.passage.notes(at)
    }
}
