//! The end of a server that is in the middle of something.

use std::{path::Path, sync::Arc};

use hullo::{Address, Error, Kind, Limits, Link, Result, Scope, Server, Session, framing};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Semaphore, mpsc},
};

use crate::{
    Carries, Row,
    cell::{Cell, line},
    common::{By, GRACE, in_time, text, with},
};

/// A service that answers `wait` when it is released, and everything else at once.
struct Busy {
    release: Semaphore,
    tell: mpsc::UnboundedSender<Stage>,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Waits,
    Ended,
}

impl Busy {
    async fn hold(self: Arc<Self>, link: Link) -> Result<()> {
        let mut session = link.session(&framing::lines::SPEC);
        while let Some(message) = session.recv().await? {
            if message.to_text() == "wait" {
                let _ = self.tell.send(Stage::Waits);
                let _ = self.release.acquire().await;
            }
            session.send(message).await?;
            session.flush().await?;
        }
        let _ = self.tell.send(Stage::Ended);
        session.close().await
    }
}

pub(crate) async fn finishes_what_is_under_way(row: Row) {
    if row.name.starts_with("memory") {
        tokio::time::pause();
    }
    in_time(row.name, ends_well(row)).await;
}

async fn ends_well(row: Row) {
    let (tell, mut stages) = mpsc::unbounded_channel();
    let busy = Arc::new(Busy { release: Semaphore::new(0), tell });
    let service = Arc::new(By({
        let busy = busy.clone();
        move |link| busy.clone().hold(link)
    }));
    let Cell { mut server, to, at, folder } = Cell::new(row, "", service.clone()).await;

    let mut idle = Idle::new(row, &to).await;
    let mut talk = hullo::dial(&to, &Scope::default()).await.unwrap().session(&framing::lines::SPEC);
    talk.send("wait".into()).await.unwrap();
    talk.flush().await.unwrap();
    until(&mut stages, Stage::Waits).await;

    let ends = tokio::spawn(async move { server.end(GRACE).await });
    idle.ends().await;
    if row.carries != Carries::Exchanges {
        until(&mut stages, Stage::Ended).await;
    }
    if row.carries != Carries::Datagrams {
        refused(&to).await;
    }
    assert!(!ends.is_finished(), "{}: it ended over the conversation's head", row.name);

    busy.release.add_permits(1);
    assert_eq!(text(talk.recv().await.unwrap()).as_deref(), Some("wait"), "{}", row.name);
    talk.finish().await.unwrap();
    assert!(ends.await.unwrap(), "{}: not everything finished", row.name);
    if row.name.starts_with("unix") {
        assert!(!Path::new(&at.path).exists(), "{}: the socket's file is still there", row.name);
    }

    let scope = Scope::on_cores(Limits::server(), None, Vec::new(), Some(folder.path().into()));
    let again = Cell::listen(Server::new(scope), row, &at, "", service, folder).await;
    assert_eq!(again.at, at, "{}: the same address at once", row.name);
    assert_eq!(line(again.ask(Some("again")).await), "again", "{}", row.name);
}

async fn until(stages: &mut mpsc::UnboundedReceiver<Stage>, wanted: Stage) {
    while stages.recv().await.unwrap() != wanted {}
}

/// A connection that the server has taken and that says nothing more.
enum Idle {
    Talk(Session),
    /// An HTTP connection between two requests: a stream below HTTP, since a link is only one exchange.
    KeptAlive(hullo::BoxStream),
}

impl Idle {
    async fn new(row: Row, to: &Address) -> Self {
        if row.carries == Carries::Exchanges {
            return Self::kept_alive(to).await;
        }
        let mut session = hullo::dial(to, &Scope::default()).await.unwrap().session(&framing::lines::SPEC);
        session.send("hullo".into()).await.unwrap();
        assert_eq!(text(session.recv().await.unwrap()).as_deref(), Some("hullo"), "{}", row.name);
        Self::Talk(session)
    }

    async fn kept_alive(to: &Address) -> Self {
        let (scheme, alpn) = if to.scheme == "https" { ("tls", "alpn=http/1.1") } else { ("tcp", "") };
        let below = Address { scheme: scheme.to_owned(), ..with(to, alpn) };
        let mut stream = hullo::dial(&below, &Scope::default()).await.unwrap().stream();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&head));
        Self::KeptAlive(stream)
    }

    async fn ends(&mut self) {
        match self {
            // Only the server knows that a conversation of datagrams has ended.
            Self::Talk(session) if session.endless() => {}
            Self::Talk(session) => assert_eq!(text(session.recv().await.unwrap()), None),
            Self::KeptAlive(stream) => assert_eq!(stream.read(&mut [0; 64]).await.unwrap(), 0),
        }
    }
}

/// Tries until nobody listens any more: the end was asked for, and is near.
async fn refused(to: &Address) {
    loop {
        let link = match hullo::dial(to, &Scope::default()).await {
            Ok(link) if to.scheme.starts_with("http") => through_or_not(link).await,
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        match link {
            // Connections that the kernel had taken before are closed, which may look like an end or like a cut.
            Ok(()) => tokio::task::yield_now().await,
            Err(error) if matches!(error.kind(), Kind::Cut | Kind::Protocol) => tokio::task::yield_now().await,
            Err(error) => return assert_eq!(error.kind(), Kind::Refused, "{error}"),
        }
    }
}

/// A link to an HTTP address connects when it is read.
async fn through_or_not(link: Link) -> Result<()> {
    let mut stream = link.stream();
    let read = async {
        stream.shutdown().await?;
        stream.read(&mut [0; 64]).await
    };
    read.await.map(drop).map_err(|error| Error::io("cannot connect", error))
}
