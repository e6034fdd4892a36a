//! What the tests share: a folder of their own, a server on an address, a deadline.

#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(unreachable_pub, reason = "a module of each test file, and no crate")]

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use hullo::{
    Address, BoxFuture, Limits, Link, Message, Result, Scope, Server, Service, Watch,
    service::{Settings, find},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::{Builder, Handle},
    sync::mpsc,
};

/// The bound of every test: what hangs has failed. Nothing comes near it otherwise.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long what ends may take to end.
pub const GRACE: Duration = Duration::from_secs(20);

/// Waits for `work`, which must not hang.
pub async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.unwrap_or_else(|_| panic!("{what}: it hangs"))
}

/// A folder of this test alone, gone when it ends.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("hullo-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The address with this folder in the place of `{dir}`.
    pub fn address(&self, text: &str) -> Address {
        address(&text.replace("{dir}", &self.0.to_string_lossy()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn address(text: &str) -> Address {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The same address with more options, as in `pin=…&max=4MiB`.
pub fn with(address: &Address, options: &str) -> Address {
    let mut address = address.clone();
    for option in options.split('&').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        address.options.set(name, value).unwrap_or_else(|error| panic!("{option}: {error}"));
    }
    address
}

/// A service of the table; `exec` runs `cat`, and what is kept is kept in memory.
pub fn service(name: &str) -> Arc<dyn Service> {
    let database = Some(":memory:".to_owned());
    service_with(name, &Settings { command: vec!["cat".into()], database, ..Settings::default() })
}

pub fn service_with(name: &str, settings: &Settings) -> Arc<dyn Service> {
    find(name).and_then(|spec| (spec.make)(settings)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// `exec` of a line of shell.
pub fn shell(line: &str) -> Arc<dyn Service> {
    service_with("exec", &Settings { command: vec!["sh".into(), "-c".into(), line.into()], ..Settings::default() })
}

/// A server on one address, with a server's own limits.
pub async fn serving(at: &str, service: Arc<dyn Service>) -> Server {
    serving_in(Scope::new(Limits::server(), None), at, service).await
}

pub async fn serving_in(scope: Scope, at: &str, service: Arc<dyn Service>) -> Server {
    let mut server = Server::new(scope);
    server.listen(&address(at), service).await.unwrap_or_else(|error| panic!("{at}: {error}"));
    server
}

/// A scope with somebody who watches.
pub fn watched(limits: Limits, watch: impl Watch) -> Scope {
    Scope::new(limits, Some(Arc::new(watch)))
}

/// Two cores for a server's conversations, as the command line has one for each of the machine's.
pub fn cores() -> Vec<Handle> {
    static CORES: LazyLock<Vec<Handle>> = LazyLock::new(|| (0..2).map(|_| core()).collect());
    CORES.clone()
}

fn core() -> Handle {
    let runtime =
        Builder::new_current_thread().enable_all().build().unwrap_or_else(|error| panic!("no runtime: {error}"));
    let handle = runtime.handle().clone();
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    handle
}

/// A service that is one function of its link.
pub struct By<F>(pub F);

impl<F, T> Service for By<F>
where
    F: Fn(Link) -> T + Send + Sync + 'static,
    T: Future<Output = Result<()>> + Send + 'static,
{
    fn serve(self: Arc<Self>, link: Link) -> BoxFuture<'static, Result<()>> {
        Box::pin((self.0)(link))
    }
}

/// A text as the message that it came as, for comparisons that read well when they fail.
pub fn text(message: Option<Message>) -> Option<String> {
    message.map(|message| message.to_text().into_owned())
}

/// What is heard on a server's address, asked anew: the next client is served.
pub async fn still_serves(at: &Address, question: &str, answer: &str) {
    let scope = Scope::default();
    let asked = in_time("the next client", hullo::ask_in(at, Some(Message::from(question)), &scope, None));
    let said = asked.await.unwrap_or_else(|error| panic!("the next client: {error}"));
    assert_eq!(said.to_text().trim_end(), answer, "the next client of {at}");
}

/// A client below every protocol: it sends what it likes.
pub struct Raw(pub TcpStream);

impl Raw {
    pub async fn to(server: &Address) -> Self {
        let stream = TcpStream::connect((server.host.as_str(), server.port.unwrap_or_default())).await;
        Self(stream.unwrap_or_else(|error| panic!("cannot connect to {server}: {error}")))
    }

    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap_or_else(|error| panic!("cannot write: {error}"));
    }

    /// All that comes until the server closes, however it does that.
    pub async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let _ = in_time("the end", self.0.read_to_end(&mut rest)).await;
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// What comes up to and with `end`.
    pub async fn until(&mut self, end: &str) -> String {
        let mut heard = Vec::new();
        in_time(end, async {
            while !heard.ends_with(end.as_bytes()) {
                match self.0.read_u8().await {
                    Ok(byte) => heard.push(byte),
                    Err(error) => panic!("{error} after '{}'", String::from_utf8_lossy(&heard)),
                }
            }
        })
        .await;
        String::from_utf8_lossy(&heard).into_owned()
    }

    /// Closes with a reset, as a machine does that is switched off and on.
    pub fn reset(self) {
        socket2::SockRef::from(&self.0).set_linger(Some(Duration::ZERO)).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// A service, and the news of each conversation's end.
pub struct Told(Arc<dyn Service>, mpsc::UnboundedSender<()>);

impl Told {
    pub fn of(service: Arc<dyn Service>) -> (Arc<Self>, mpsc::UnboundedReceiver<()>) {
        let (ended, ends) = mpsc::unbounded_channel();
        (Arc::new(Self(service, ended)), ends)
    }
}

impl Service for Told {
    fn serve(self: Arc<Self>, link: Link) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let served = self.0.clone().serve(link).await;
            let _ = self.1.send(());
            served
        })
    }
}
