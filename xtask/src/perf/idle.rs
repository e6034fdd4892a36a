//! What a server holds for a connection on which nothing happens: many are opened, each says one word and hears the
//! answer, and then the server is looked at again.

use std::{thread::sleep, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    contest::launch,
    group::{Door, Server, server},
    place::Place,
    program::{Core, Program},
    words,
};
use crate::{machine, run::Outcome};

pub(crate) const NAME: &str = "idle";

/// How many connections.
const MANY: usize = 8000;

/// How long a server may take to settle before it is looked at, and a generator to open them all.
const REST: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(120);

/// A server, and how connections to it are opened.
struct Holder {
    server: Server,
    opens: &'static str,
}

const TCP: &str = "{c}/idle tcp {at} {many}";
const HTTP: &str = "{c}/idle http {at} {many}";
const WEBSOCKET: &str = "{c}/idle ws {at} {many}";
const SILENT: &str = "{c}/idle silent {at} {many}";
const TLS: &str = "{c}/tls idle {at} {many}";

const HOLDERS: &[Holder] = &[
    holder(TCP, server("C epoll, TCP", "{c}/echo_tcp {port}")),
    holder(TCP, server("hullo, TCP", "{hullo} serve echo tcp://127.0.0.1:{port}")),
    holder(WEBSOCKET, server("npm ws, WebSocket", "node {scripts}/websocket.js {port}")),
    holder(WEBSOCKET, server("hullo, WebSocket", "{hullo} serve echo ws://127.0.0.1:{port}")),
    holder(HTTP, server("nginx, HTTP", "nginx -c {configuration}").configured("nginx.conf")),
    holder(HTTP, server("haproxy, HTTP", "haproxy -db -f {configuration}").configured("haproxy.cfg").by(Door::Third)),
    holder(HTTP, server("hullo, HTTP", "{hullo} serve greet http://127.0.0.1:{port}")),
    holder(
        TLS,
        server(
            "hullo, TLS",
            "{hullo} serve echo tls://127.0.0.1:{port}?cert={folder}/certificate.pem&key={folder}/key.pem",
        ),
    ),
    holder(SILENT, server("hullo, chat", "{hullo} serve chat tcp://127.0.0.1:{port} --db none")),
];

const fn holder(opens: &'static str, server: Server) -> Holder {
    Holder { server, opens }
}

/// The figures of all holders, as they are published.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Idle {
    connections: usize,
    rows: Vec<Row>,
}

/// KiB for each connection.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Row {
    name: String,
    own: f64,
    whole: Option<f64>,
}

pub(crate) fn measure(place: &Place) -> Outcome<Idle> {
    let mut rows = Vec::new();
    for holder in HOLDERS {
        eprintln!("{NAME}: {}", holder.server.name);
        match hold(holder, place) {
            Ok(row) => rows.push(row),
            Err(failure) => eprintln!("skipped: {}: {}", holder.server.name, failure.why.unwrap_or_default()),
        }
    }
    Ok(Idle { connections: MANY, rows })
}

fn hold(holder: &Holder, place: &Place) -> Outcome<Row> {
    let ports = [machine::free_port()?, machine::free_port()?, machine::free_port()?];
    let at = match holder.server.door {
        Door::Second => ports[1],
        Door::Third => ports[2],
        Door::First | Door::Behind => ports[0],
    };
    // Nobody is behind: what is relayed is not asked for.
    let server = launch(&format!("{NAME} {}", holder.server.name), &holder.server, place, ports, 1)?;
    server.listens(at)?;
    sleep(REST);
    let before = server.memory();
    let words = place.words(holder.opens, &[("at", at.to_string()), ("many", MANY.to_string())]);
    let generator = Program::start(&format!("{NAME} to {}", holder.server.name), &words, Core::Generator, place)?;
    generator.is_ready(PATIENCE)?;
    sleep(REST);
    let after = server.memory();
    let each = |after: f64, before: f64| (after - before) / MANY as f64;
    let whole = after.whole.zip(before.whole).map(|(after, before)| each(after, before));
    Ok(Row { name: holder.server.name.to_owned(), own: each(after.own, before.own), whole })
}

/// The table's cells, its heads first.
pub(crate) fn cells(idle: &Idle) -> Vec<Vec<String>> {
    let heads =
        [format!("{} connections", words::amount(idle.connections as f64, "")), "own memory for each".to_owned()];
    let heads = heads.into_iter().chain(["with the kernel's".to_owned()]).collect();
    let size = |size: f64| format!("{size:.1} KiB");
    let row = |row: &Row| vec![row.name.clone(), size(row.own), row.whole.map(size).unwrap_or_default()];
    std::iter::once(heads).chain(idle.rows.iter().map(row)).collect()
}

pub(crate) fn shown(idle: &Idle) -> String {
    format!("\nIdle connections\n{}", words::columns(&cells(idle)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_holds_is_left_out_where_nobody_knows() {
        let row = Row { name: "hullo, TCP".to_owned(), own: 0.96, whole: None };
        let idle = Idle { connections: 8000, rows: vec![row] };
        assert_eq!(cells(&idle)[1], ["hullo, TCP", "1.0 KiB", ""]);
        assert!(shown(&idle).contains("8,000 connections"));
    }
}
