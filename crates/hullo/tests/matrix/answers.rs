//! Each service says on each transport what it says everywhere.

use futures_util::FutureExt;
use tokio::sync::mpsc;

use crate::{
    COLUMNS, Carries, Column, Row, Says,
    cell::{Cell, line},
    common::{GRACE, in_time, service, text},
};

pub(crate) async fn answers(row: Row) {
    for column in COLUMNS.iter().filter(|column| !matches!(column.says, Says::Web)) {
        let what = format!("{} over {}", column.service, row.name);
        in_time(&what, said(row, column, &what)).await;
    }
}

async fn said(row: Row, column: &Column, what: &str) {
    let (opened, mut begins) = mpsc::unbounded_channel();
    let mut cell = Cell::seen(row, "", service(column.service), Some(opened)).await;
    match column.says {
        Says::Answer(question, answer) => assert_eq!(line(cell.ask(Some(question)).await), answer, "{what}"),
        Says::Greeting(greeting) => assert_eq!(line(cell.ask(None).await), greeting, "{what}"),
        Says::Flood(first) => {
            let mut session = cell.lines().await;
            session.send("go".into()).await.unwrap();
            let heard = text(session.recv().await.unwrap()).unwrap();
            assert_eq!(heard.lines().next(), Some(first), "{what}");
        }
        Says::Web => unreachable!("it is asked over HTTP alone"),
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
