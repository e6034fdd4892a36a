//! One cell of the matrix: a service on a transport, and a client's way to it.

use std::sync::Arc;

use hullo::{Address, Event, Limits, Link, Message, Result, Scope, Server, Service, Session, framing};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};

use crate::{
    Row,
    common::{Folder, cores, with},
};

/// A server on a row's address, and the address for its clients.
pub(crate) struct Cell {
    pub(crate) server: Server,
    pub(crate) to: Address,
    /// Where it was told to listen, with the real port.
    pub(crate) at: Address,
    pub(crate) folder: Folder,
}

impl Cell {
    pub(crate) async fn new(row: Row, options: &str, service: Arc<dyn Service>) -> Self {
        Self::seen(row, options, service, None).await
    }

    /// The same, where each conversation that begins is told to `opened`. Conversations are spread over two cores.
    pub(crate) async fn seen(
        row: Row,
        options: &str,
        service: Arc<dyn Service>,
        opened: Option<mpsc::UnboundedSender<()>>,
    ) -> Self {
        let folder = Folder::new();
        let watch = move |event: &Event<'_>| {
            if let (Event::Opened { .. }, Some(opened)) = (event, &opened) {
                let _ = opened.send(());
            }
        };
        let scope = Scope::on_cores(Limits::server(), Some(Arc::new(watch)), cores(), Some(folder.path().into()));
        Self::listen(Server::new(scope), row, &with(&folder.address(row.listen), options), options, service, folder)
            .await
    }

    pub(crate) async fn listen(
        mut server: Server,
        row: Row,
        at: &Address,
        options: &str,
        service: Arc<dyn Service>,
        folder: Folder,
    ) -> Self {
        let notes = server.listen(at, service).await.unwrap_or_else(|error| panic!("{at}: {error}"));
        let pin = notes.iter().find_map(|note| note.split_once("pin=")).map_or("", |(_, pin)| pin);
        let at = server.address().clone();
        let to = with(&with(&at.bare(), &row.trust.replace("{pin}", pin)), options);
        Self { server, to, at, folder }
    }

    pub(crate) async fn dial(&self) -> Link {
        hullo::dial(&self.to, &Scope::default()).await.unwrap_or_else(|error| panic!("{}: {error}", self.to))
    }

    /// A conversation of lines, where the transport has no messages of its own.
    pub(crate) async fn lines(&self) -> Session {
        self.dial().await.session(&framing::lines::SPEC)
    }

    pub(crate) async fn ask(&self, question: Option<&str>) -> Result<Message> {
        hullo::ask_in(&self.to, question.map(Message::from), &Scope::default(), None).await
    }
}

/// What was answered, without the newline that ends it on some transports; or why not.
pub(crate) fn line(answer: Result<Message>) -> String {
    answer.map_or_else(|error| format!("{error:?}"), |message| message.to_text().trim_end().to_owned())
}

/// Writes all of it and half-closes, while it reads all that comes.
pub(crate) async fn through(link: Link, sent: &[u8]) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(link.stream());
    let write = async {
        writer.write_all(sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut received = Vec::new();
    tokio::join!(write, async { reader.read_to_end(&mut received).await.unwrap() });
    received
}
