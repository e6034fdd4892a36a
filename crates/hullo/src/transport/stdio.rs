//! `hullo serve echo stdio:` (also written `-`): the conversation is our own stdin and stdout, as under inetd.

use std::sync::Arc;

use super::{Listener, Spec, Transport};
use crate::{
    address::Address,
    error::Result,
    io::guard::Guard,
    link::{Joined, Link},
    peer::{Endpoint, Peer},
    scope::{BoxFuture, Scope},
    service::Service,
};

pub(super) const SCHEMES: &[Spec] = &[Spec {
    scheme: "stdio",
    about: "our own stdin and stdout, for one conversation",
    example: "stdio:",
    transport: &Stdio,
}];

struct Stdio;

impl Transport for Stdio {
    fn bind(&self, at: Address, _: Scope) -> BoxFuture<'static, Result<Box<dyn Listener>>> {
        Box::pin(async move {
            check(&at)?;
            Ok(Box::new(Once(at)) as Box<dyn Listener>)
        })
    }

    fn connect(&self, to: Address, scope: Scope) -> BoxFuture<'static, Result<Link>> {
        Box::pin(async move {
            check(&to)?;
            Ok(link(scope))
        })
    }
}

fn check(address: &Address) -> Result<()> {
    address.without("path", !address.path.is_empty())?;
    address.without("host", !address.host.is_empty() || address.port.is_some())
}

fn link(scope: Scope) -> Link {
    let peer = Peer::new("stdio", Endpoint::Unnamed, Endpoint::Unnamed);
    let stream = Joined(tokio::io::stdin(), tokio::io::stdout());
    Link::over(Guard::new(stream, &peer, &scope), peer, scope)
}

struct Once(Address);

impl Listener for Once {
    fn address(&self) -> Address {
        self.0.clone()
    }

    /// Serves its one conversation, and is done.
    fn serve(self: Box<Self>, service: Arc<dyn Service>, scope: Scope) -> BoxFuture<'static, Result<()>> {
        Box::pin(service.serve(link(scope)))
    }
}
