//! The server's end: services on addresses, until they are told to end.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;

use crate::{
    address::Address,
    dial::lend,
    error::{Error, Result},
    options::End,
    scope::{Limits, Scope},
    service::{Needs, Service},
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

/// Refuses the addresses on which a service that needs something cannot be served.
///
/// # Errors
/// A service for the web where no HTTP is spoken, or one that needs a stream of bytes where there is none.
pub fn suits(needs: Needs, at: &Address) -> Result<()> {
    let scheme = at.scheme.as_str();
    let (is_http, is_lossy) = (matches!(scheme, "http" | "https"), matches!(scheme, "udp" | "unix-dgram"));
    let (why, hint) = match needs {
        Needs::Http if !is_http => {
            ("it answers HTTP requests and nothing else", "use an address with http:// or https://")
        }
        Needs::Bytes if is_http => (
            "it speaks with its clients itself, below HTTP",
            "write tcp:// instead of http://, and tls:// instead of https://",
        ),
        Needs::Bytes if is_lossy => {
            ("it needs a stream, and datagrams are none", "use an address with tcp:// or tls://")
        }
        _ => return Ok(()),
    };
    Err(Error::usage(format!("cannot serve it on {}: {why}", at.bare())).hint(hint))
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
        lend(&scope);
        Self { scope, bound: Vec::new(), ended: mpsc::unbounded_channel() }
    }

    /// Serves on one address more. When this returns, connections are accepted. It returns what a person should know
    /// about the listener and the service.
    ///
    /// # Errors
    /// The address, or that it cannot be listened on.
    pub async fn listen(&mut self, at: &Address, service: Arc<dyn Service>) -> Result<Vec<String>> {
        let transport = transport::find(at, End::Listen)?.transport;
        suits(service.needs(), at)?;
        let mut at = at.clone();
        for (name, value) in service.options(&at.scheme) {
            at.options.prefer(name, value, &at.scheme)?;
        }
        let mut scope = self.scope.under(&at.options)?;
        if service.is_measured() {
            scope = scope.measured();
        }
        let listener = transport.bind(at, scope.clone()).await?;
        service.clone().begin(&scope);
        self.bound.push(listener.address());
        let (mut notes, ended) = (listener.notes(), self.ended.0.clone());
        notes.extend(service.notes(&listener.address()));
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

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Write, sync::Mutex};

    use http::{Method, Request, Response};
    use rustix::fs::fstat;

    use super::*;
    use crate::{
        BoxFuture, Limits, Link, Peer,
        io::{
            exchange::{Body, collect},
            file::{Source, Stamp},
        },
        options::Options,
        request::{Call, Client},
        watch::Event,
    };

    /// Answers with a file, and remembers it.
    struct Shelf(File, Mutex<Vec<Arc<Source>>>);

    impl Service for Shelf {
        fn serve(self: Arc<Self>, _: Link) -> BoxFuture<'static, Result<()>> {
            Box::pin(async { Ok(()) })
        }

        fn exchange(
            self: Arc<Self>,
            _: Request<Body>,
            _: Peer,
            _: Scope,
        ) -> BoxFuture<'static, Result<Response<Body>>> {
            Box::pin(async move {
                let stat = fstat(&self.0).unwrap();
                let source = Arc::new(Source::new(self.0.try_clone().unwrap(), Stamp::of(&stat), stat.st_dev));
                self.1.lock().unwrap().push(source.clone());
                Ok(source.part(10..stat.st_size as u64).response())
            })
        }
    }

    /// What the kernel has sent of a file that was fetched from there, and what the account of the exchange says.
    async fn fetched(address: &str, content: &[u8]) -> (u64, u64) {
        let folder = std::env::temp_dir().join(format!("hullo-serve-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("bulk");
        File::create(&path).unwrap().write_all(content).unwrap();
        let told = Arc::new(Mutex::new(None));
        let tell = told.clone();
        let watch = move |event: &Event<'_>| {
            if let Event::Answered(answered) = event {
                *tell.lock().unwrap() = Some(answered.sent);
            }
        };
        let scope = Scope::on_cores(Limits::server(), Some(Arc::new(watch)), Vec::new(), Some(folder));
        let shelf = Arc::new(Shelf(File::open(&path).unwrap(), Mutex::default()));
        let mut server = Server::new(scope);
        server.listen(&address.parse().unwrap(), shelf.clone()).await.unwrap();
        let mut to = server.address().clone();
        to.options = Options::default();
        if to.scheme == "https" {
            to.options.set("insecure", "true").unwrap();
        }
        let call = Call::new(Method::GET, to);
        let (response, _) = Client::default().send(call, &Scope::default()).await.unwrap();
        assert!(collect(response.into_body(), 1 << 24).await.unwrap() == content[10..], "{address}");
        // It is told when the connection is over, at the latest.
        server.end(Duration::from_secs(5)).await;
        let sent = shelf.1.lock().unwrap().iter().map(|source| source.sent()).sum();
        (sent, told.lock().unwrap().unwrap())
    }

    #[tokio::test]
    async fn the_kernel_sends_files_over_bare_sockets_and_nothing_else_does() {
        let content: Vec<u8> = (0..3_000_000_u32).map(|at| (at.wrapping_mul(7919) >> 7) as u8).collect();
        let length = content.len() as u64 - 10;
        assert_eq!(fetched("http://127.0.0.1:0", &content).await, (length, length));
        assert_eq!(fetched("https://127.0.0.1:0", &content).await, (0, length));
    }
}
