//! `hullo serve connect :3128`, then `curl -x http://127.0.0.1:3128 https://example.org`: a proxy that makes tunnels by the
//! method CONNECT (RFC 9110, section 9.3.6).
//!
//! With accounts (`--auth`) its clients say a name and a password by Basic authentication (RFC 7617). Requests are not passed
//! on; `curl -p` makes a tunnel for them too. No name is looked up and nobody is called before the client is let in.

use std::sync::Arc;

use super::{
    Needs, Service, Setting, Settings, Spec,
    accounts::Denied,
    tunnel::{Guest, Passage, Rejected},
};
use crate::{
    address::Address,
    error::{Error, Kind, Result},
    link::Link,
    proxy::{
        Verdict,
        connect::{GRANTED, Refusal, failure, refusal, request},
    },
    scope::BoxFuture,
};

/// This service's line of the table.
pub const SPEC: Spec = Spec {
    name: "connect",
    about: "an HTTP proxy that makes tunnels: CONNECT host:port",
    sample: "curl -p -x http://127.0.0.1:3128 http://example.org",
    takes: &[Setting::Auth],
    needs: Needs::Bytes,
    make: |settings| Ok(Arc::new(Connect::new(settings)?)),
};

/// How a client says who it is.
const AUTHENTICATE: &str = "Proxy-Authenticate: Basic realm=\"hullo connect\", charset=\"UTF-8\"\r\n";

/// The proxy.
pub struct Connect {
    passage: Passage,
}

impl Connect {
    /// A proxy for the accounts of the settings, or for everybody where there are none.
    ///
    /// # Errors
    /// What is no account.
    pub fn new(settings: &Settings) -> Result<Self> {
        Ok(Self { passage: Passage::of(settings, SPEC.name)? })
    }

    async fn hold(&self, mut guest: Guest) -> Result<()> {
        let to = match guest.ask(async |guest| self.hear(guest).await).await {
            Ok(to) => to,
            Err(rejected) => return guest.dismiss(rejected).await,
        };
        match guest.scope.dial(&to).await {
            Ok(link) => {
                guest.say(GRANTED).await?;
                self.passage.lead(guest, link).await
            }
            Err(error) => {
                let words = failure(Verdict::of(&error), &error.to_string());
                guest.dismiss(Rejected { words, error }).await
            }
        }
    }

    /// Hears who somebody is, and where they want to go. Who has not said who they are may do so on the same connection.
    async fn hear(&self, guest: &mut Guest) -> Result<Address, Rejected> {
        let mut before = None;
        loop {
            let asked = guest.hear(request, rejected).await;
            // Who leaves then has been told why.
            let asked = asked.map_err(|rejected| before.take().map_or(rejected, Rejected::from))?;
            let denied = match &asked.login {
                None if self.passage.is_open() => return Ok(asked.to),
                None => None,
                Some((name, password)) => match self.passage.admit(name, password, &guest.peer).await {
                    Ok(()) => return Ok(asked.to),
                    Err(denied) => Some(denied),
                },
            };
            // What they have said behind it was meant for the tunnel, and must not be taken for another request.
            let stays = asked.keeps_alive && !guest.goes_on() && matches!(denied, None | Some(Denied::Wrong));
            let words = refused(denied.as_ref(), stays);
            let who = || Error::new(Kind::Denied, "a client does not say who it is, and is not let through");
            let error = denied.map_or_else(who, |denied| denied.error());
            if !stays {
                return Err(Rejected { words, error });
            }
            before = Some(error);
            guest.say(&words).await?;
        }
    }
}

/// The answer to who is not let in.
fn refused(denied: Option<&Denied>, stays: bool) -> Vec<u8> {
    match denied {
        None => refusal(407, AUTHENTICATE, "this proxy wants a name and a password", stays),
        Some(Denied::Wrong) => refusal(407, AUTHENTICATE, "the name or the password is wrong", stays),
        Some(Denied::Wait(wait)) => {
            let after = format!("Retry-After: {}\r\n", wait.as_secs() + 1);
            refusal(429, &after, "too many wrong passwords from there: wait before the next", stays)
        }
        Some(Denied::Stopping) => refusal(503, "", "this server is about to stop", stays),
    }
}

/// The answer to what cannot be done.
fn rejected(Refusal { status, why }: Refusal) -> Rejected {
    let allow = if status == 405 { "Allow: CONNECT\r\n" } else { "" };
    Rejected { words: refusal(status, allow, why, false), error: Error::new(Kind::Protocol, why) }
}

impl Service for Connect {
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
