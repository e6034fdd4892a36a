//! Much of it: a stream of 3 MB, a message of 3 MB, datagrams by the hundred.

use hullo::{Message, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    Bulk, COLUMNS, Carries, Column, PATTERN, RECEIVED, Row, Says,
    cell::{Cell, line, through},
    common::{in_time, service},
    tunnel,
};

/// More than fits into any buffer on the way.
const BULK: usize = 3_000_000;

/// What raises the limit of a message over that, at both ends.
const ROOM: &str = "max=4MiB";

pub(crate) async fn carries_bulk(row: Row) {
    let streams = matches!(row.carries, Carries::Stream | Carries::Messages);
    let here = |column: &&Column| match column.says {
        Says::Page(..) | Says::Welcome(_) => false,
        Says::Leads => streams,
        _ => true,
    };
    for column in COLUMNS.iter().filter(here) {
        let what = format!("{BULK} bytes of {} over {}", column.service, row.name);
        let cell = Cell::new(row, ROOM, service(column.service)).await;
        match row.carries {
            Carries::Datagrams => in_time(&what, many(&cell, column, &what)).await,
            _ => in_time(&what, bulk(&cell, column, &what)).await,
        }
        if row.carries == Carries::Messages && column.service == "echo" {
            in_time(&what, one_message(&cell, &what)).await;
        }
    }
}

async fn bulk(cell: &Cell, column: &Column, what: &str) {
    let sent = noise(BULK);
    match column.bulk {
        Bulk::Returned => same_bytes(&through(cell.dial().await, &sent).await, &sent, what),
        Bulk::Swallowed => same_bytes(&through(cell.dial().await, &sent).await, b"", what),
        Bulk::Led => {
            let echo = tunnel::echo().await;
            let link = tunnel::led(&cell.to, column.service, echo.address(), b"").await;
            same_bytes(&through(link, &sent).await, &sent, what);
        }
        Bulk::Poured => {
            let mut stream = cell.dial().await.stream();
            stream.write_all(b"go").await.unwrap();
            let mut poured = vec![0; BULK];
            stream.read_exact(&mut poured).await.unwrap();
            same_bytes(&poured, &pattern(BULK), what);
        }
        Bulk::Wrapped => {
            let value = format!("\"{}\"", "x".repeat(BULK));
            same_bytes(line(cell.ask(Some(&value)).await).as_bytes(), wrap(&value).as_bytes(), what);
        }
        Bulk::Refused(why) => {
            let refusal = line(cell.ask(Some(&"x".repeat(BULK))).await);
            assert!(refusal.contains(why) && refusal.len() < 1000, "{what}: {refusal}");
        }
        Bulk::None => {}
    }
}

/// Where there are messages, one may be as large as `max` allows.
async fn one_message(cell: &Cell, what: &str) {
    let mut session = cell.lines().await;
    let sent = Message::binary(noise(BULK));
    session.send(sent.clone()).await.unwrap();
    let received = session.recv().await.unwrap().unwrap();
    assert_eq!(received.text, sent.text, "{what}");
    same_bytes(&received.bytes, &sent.bytes, what);
}

/// Datagrams of 1 KiB, a few under way at a time, since neither end's queue is long; and then one of 60,000 bytes.
async fn many(cell: &Cell, column: &Column, what: &str) {
    const WINDOW: usize = 8;
    let mut session = cell.lines().await;
    for round in 0..200 / WINDOW {
        let questions = (0..WINDOW).map(|number| question(column, 1024, round * WINDOW + number));
        exchange(&mut session, column, &questions.collect::<Vec<_>>(), what).await;
    }
    exchange(&mut session, column, &[question(column, 60_000, 200)], what).await;
}

/// A question of that many bytes that is like no other; a JSON string where one is wanted.
fn question(column: &Column, size: usize, number: usize) -> String {
    if column.bulk == Bulk::Wrapped {
        format!("\"{number:0>0$}\"", size - 2)
    } else {
        format!("x{number:0>0$}", size - 1)
    }
}

async fn exchange(session: &mut Session, column: &Column, questions: &[String], what: &str) {
    for question in questions {
        session.send(question.as_str().into()).await.unwrap();
        session.flush().await.unwrap();
    }
    match column.bulk {
        Bulk::Returned => {
            same_bytes(&heard(session, questions.concat().len()).await, questions.concat().as_bytes(), what)
        }
        Bulk::Wrapped => {
            let wrapped = questions.iter().map(|value| wrap(value)).collect::<String>();
            same_bytes(&heard(session, wrapped.len()).await, wrapped.as_bytes(), what);
        }
        Bulk::Poured => {
            // Three lines for each datagram.
            let lines = questions.len() * 3 * (PATTERN.len() + 2);
            assert_eq!(heard(session, lines).await.len(), lines, "{what}");
        }
        Bulk::Refused(why) => {
            for _ in questions {
                let refusal = session.recv().await.unwrap().unwrap();
                assert!(refusal.to_text().contains(why), "{what}: {}", refusal.to_text());
            }
        }
        Bulk::Swallowed | Bulk::Led | Bulk::None => {}
    }
}

/// As many bytes as that, in however many datagrams they come.
async fn heard(session: &mut Session, length: usize) -> Vec<u8> {
    let mut heard = Vec::new();
    while heard.len() < length {
        heard.extend_from_slice(&session.recv().await.unwrap().unwrap().bytes);
    }
    heard
}

/// What `json` says to that value.
fn wrap(value: &str) -> String {
    RECEIVED.replace(r#"{"a":1}"#, value)
}

/// Bytes that do not repeat where buffers do.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 1u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(size).collect()
}

/// RFC 864's pattern.
fn pattern(size: usize) -> Vec<u8> {
    let line = |from: usize| (from..from + 72).map(|at| b' ' + (at % 95) as u8).chain(*b"\r\n");
    (0..).flat_map(line).take(size).collect()
}

/// `assert_eq!` without megabytes in its message.
fn same_bytes(found: &[u8], wanted: &[u8], what: &str) {
    let differ = found.iter().zip(wanted).position(|(a, b)| a != b);
    assert_eq!((found.len(), differ), (wanted.len(), None), "{what}: the length, and where the first difference is");
}
