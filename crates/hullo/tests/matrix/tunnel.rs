//! A conversation that is led on, by a service that is a proxy.

use hullo::{
    Address, Link, Scope, Server,
    proxy::{
        connect::{GRANTED, request_of},
        socks::{self, Command, OPEN, choice_of, greeting, reply},
    },
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    Row,
    cell::{Cell, through},
    common::{service, serving},
};

/// What is led to.
pub(crate) async fn echo() -> Server {
    serving("tcp://127.0.0.1:0", service("echo")).await
}

/// What is said early, and what is said through it, comes back; and so does the end.
pub(crate) async fn leads(row: Row, name: &str, what: &str) {
    let (cell, echo) = (Cell::new(row, "", service(name)).await, echo().await);
    let link = led(&cell.to, name, echo.address(), b"early ").await;
    assert_eq!(through(link, b"and late").await, b"early and late", "{what}");
}

/// A link that leads through a proxy. `early` is said right behind what asks for it.
pub(crate) async fn led(proxy: &Address, name: &str, to: &Address, early: &[u8]) -> Link {
    let link = hullo::dial(proxy, &Scope::default()).await.unwrap();
    let (peer, scope) = (link.peer.clone(), link.scope.clone());
    let mut stream = link.stream();
    let (asked, granted) = match name {
        "connect" => (request_of(to, None), GRANTED.len()),
        _ => {
            let request = socks::request_of(Command::Connect, to).unwrap();
            ([greeting(false), request].concat(), choice_of(OPEN).len() + 10)
        }
    };
    stream.write_all(&[&asked, early].concat()).await.unwrap();
    stream.flush().await.unwrap();
    let mut answered = vec![0; granted];
    stream.read_exact(&mut answered).await.unwrap();
    match name {
        "connect" => assert_eq!(answered, GRANTED),
        _ => assert!(reply(&answered[2..]).is_ok_and(|read| read.is_some_and(|((verdict, _), _)| verdict.code() == 0))),
    }
    Link::over(stream, peer, scope)
}
