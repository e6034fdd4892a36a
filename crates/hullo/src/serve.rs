//! The server's end: services on addresses, until they are told to end.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;

use crate::{
    address::Address,
    error::{Error, Result},
    options::End,
    scope::{Limits, Scope},
    service::Service,
    transport,
};

/// Serves on an address, in the current runtime, until the returned server is dropped.
///
/// # Errors
/// The address, or that it cannot be listened on.
pub async fn serve(address: &str, service: impl Service) -> Result<Server> {
    let mut server = Server::new(Scope::new(Limits::server(), None));
    server.listen(&address.parse()?, Arc::new(service)).await?;
    Ok(server)
}

/// Refuses the addresses on which a service for the web, or another one, cannot be served.
///
/// # Errors
/// A service for the web where no HTTP is spoken.
pub fn suits(web: bool, at: &Address) -> Result<()> {
    if !web || matches!(at.scheme.as_str(), "http" | "https") {
        return Ok(());
    }
    let about = format!("cannot serve it on {}: it answers HTTP requests and nothing else", at.bare());
    Err(Error::usage(about).hint("use an address with http:// or https://"))
}

/// Services on addresses. Dropping it ends all of them at once; [`end`](Server::end) lets them finish.
pub struct Server {
    scope: Scope,
    bound: Vec<Address>,
    ended: (mpsc::UnboundedSender<Result<()>>, mpsc::UnboundedReceiver<Result<()>>),
}

impl Server {
    /// A server without an address yet.
    pub fn new(scope: Scope) -> Self {
        Self { scope, bound: Vec::new(), ended: mpsc::unbounded_channel() }
    }

    /// Serves on one address more. When this returns, connections are accepted. It returns what a person should know
    /// about the listener and the service.
    ///
    /// # Errors
    /// The address, or that it cannot be listened on.
    pub async fn listen(&mut self, at: &Address, service: Arc<dyn Service>) -> Result<Vec<String>> {
        let transport = transport::find(at, End::Listen)?.transport;
        suits(service.is_web(), at)?;
        let scope = self.scope.under(&at.options)?;
        let listener = transport.bind(at.clone(), scope.clone()).await?;
        self.bound.push(listener.address());
        let (mut notes, ended) = (listener.notes(), self.ended.0.clone());
        notes.extend(service.notes());
        let served = listener.serve(service, scope);
        self.scope.spawn(async move {
            // Nobody may be waiting for it.
            let _ = ended.send(served.await);
        });
        Ok(notes)
    }

    /// The first address, with the real port where 0 was asked for.
    ///
    /// # Panics
    /// Never for a server from [`serve`]; for one of [`Server::new`] if it listens nowhere yet.
    pub fn address(&self) -> &Address {
        &self.bound[0]
    }

    /// All addresses, in the order of [`listen`](Server::listen).
    pub fn addresses(&self) -> &[Address] {
        &self.bound
    }

    /// Waits until every listener has ended by itself, which only `stdio:` does. Cancel-safe.
    ///
    /// # Errors
    /// The first listener that failed.
    pub async fn ended(&mut self) -> Result<()> {
        for _ in 0..self.bound.len() {
            match self.ended.1.recv().await {
                Some(ended) => ended?,
                None => return Err(Error::new(crate::Kind::Other, "the server was dropped")),
            }
        }
        Ok(())
    }

    /// Stops accepting, lets conversations finish for as long as `grace`, and ends the rest. Says whether all finished.
    pub async fn end(&mut self, grace: Duration) -> bool {
        self.scope.end(grace).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.scope.abort();
    }
}
