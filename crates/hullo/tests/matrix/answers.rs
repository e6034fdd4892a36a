//! Each service says on each transport what it says everywhere.

use futures_util::FutureExt;
use hullo::{Address, Kind, Limits, Scope, Server, exchange::collect, request::Call};
use tokio::sync::mpsc;

use crate::{
    COLUMNS, Carries, Column, Row, Says,
    cell::{Cell, line},
    common::{Folder, GRACE, in_time, service, text},
    tunnel,
};

pub(crate) async fn answers(row: Row) {
    for column in COLUMNS {
        let what = format!("{} over {}", column.service, row.name);
        in_time(&what, said(row, column, &what)).await;
    }
}

async fn said(row: Row, column: &Column, what: &str) {
    if let Says::Page(path, begins) = column.says {
        return page(row, column, path, begins, what).await;
    }
    if let (Says::Welcome(_), Carries::Exchanges) = (column.says, row.carries) {
        return page(row, column, "/rooms", "[", what).await;
    }
    if matches!(column.says, Says::Leads) {
        return match row.carries {
            Carries::Stream | Carries::Messages => tunnel::leads(row, column.service, what).await,
            Carries::Datagrams | Carries::Exchanges => refused(row, column, what).await,
        };
    }
    let (opened, mut begins) = mpsc::unbounded_channel();
    let mut cell = Cell::seen(row, "", service(column.service), Some(opened)).await;
    match column.says {
        Says::Answer(question, answer) => assert_eq!(line(cell.ask(Some(question)).await), answer, "{what}"),
        Says::Page(..) | Says::Leads => {}
        Says::Greeting(greeting) => assert_eq!(line(cell.ask(None).await), greeting, "{what}"),
        Says::Welcome(name) => {
            let mut session = cell.lines().await;
            session.send("hullo".into()).await.unwrap();
            let heard = text(session.recv().await.unwrap()).unwrap();
            assert!(heard.contains(name), "{what}: {heard}");
        }
        Says::Flood(first) => {
            let mut session = cell.lines().await;
            // Long enough for a whole line: a datagram is answered with at most 3 times its length.
            session.send("go".repeat(40).into()).await.unwrap();
            let heard = text(session.recv().await.unwrap()).unwrap();
            assert_eq!(heard.lines().next(), Some(first), "{what}");
        }
        Says::Nothing => {
            let mut session = cell.lines().await;
            session.send("hullo".into()).await.unwrap();
            session.finish().await.unwrap();
            if row.carries == Carries::Datagrams {
                // That nothing comes is certain only when nobody is left who could send it.
                begins.recv().await.unwrap();
                assert!(cell.server.end(GRACE).await, "{what}");
                assert!(session.recv().now_or_never().is_none(), "{what}");
            } else {
                assert_eq!(text(session.recv().await.unwrap()), None, "{what}");
            }
        }
    }
}

/// What cannot be served there is refused before anything listens.
async fn refused(row: Row, column: &Column, what: &str) {
    let folder = Folder::new();
    let mut server = Server::new(Scope::new(Limits::server(), None));
    let listened = server.listen(&folder.address(row.listen), service(column.service)).await;
    let error = listened.err().unwrap_or_else(|| panic!("{what}: it listens"));
    assert!(error.kind() == Kind::Usage && error.advice().is_some(), "{what}: {error}");
    assert!(server.addresses().is_empty(), "{what}");
}

/// A service of HTTP alone: it is refused elsewhere before anything listens.
async fn page(row: Row, column: &Column, path: &str, begins: &str, what: &str) {
    if row.carries != Carries::Exchanges {
        return refused(row, column, what).await;
    }
    let cell = Cell::seen(row, "", service(column.service), None).await;
    let to = Address { path: path.to_owned(), ..cell.to.clone() };
    let (response, _) = Call::new(http::Method::GET, to).send(&Scope::default(), 0).await.unwrap();
    let answer = collect(response.into_body(), 1 << 20).await.unwrap();
    assert!(answer.starts_with(begins.as_bytes()), "{what}: {answer:?}");
}
