#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! Every service on every transport: asked and answered, in bulk, half-closed, and ended while busy.
//!
//! A transport is one line of `rows!`, a service one line of [`COLUMNS`]; whatever the crate has and they have not fails
//! the first two tests.

mod answers;
mod bulk;
mod busy;
mod cell;
#[path = "../common/mod.rs"]
mod common;
mod late;
mod tunnel;

use std::collections::BTreeSet;

/// A line of the table of transports.
#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    listen: &'static str,
    /// What a client adds to the address; `{pin}` is the listener's fingerprint.
    trust: &'static str,
    carries: Carries,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carries {
    /// Bytes in order, both ways.
    Stream,
    /// Whole messages, both ways, and the end of each.
    Messages,
    /// Whole messages that have no end.
    Datagrams,
    /// A request with its end, and a response with its own.
    Exchanges,
}

/// The test of half-closing, where there is such a thing: datagrams have no end that could be told to the other side.
macro_rules! late {
    (Datagrams) => {};
    ($carries:ident) => {
        #[tokio::test]
        async fn keeps_a_late_answer() {
            super::late::keeps_a_late_answer(ROW).await;
        }
    };
}

macro_rules! rows {
    ($($name:ident $listen:literal $trust:literal $carries:ident;)*) => {
        const ROWS: &[Row] = &[$($name::ROW),*];

        $(mod $name {
            use super::{Carries, Row};

            pub(super) const ROW: Row =
                Row { name: stringify!($name), listen: $listen, trust: $trust, carries: Carries::$carries };

            #[tokio::test]
            async fn answers() {
                super::answers::answers(ROW).await;
            }

            #[tokio::test]
            async fn carries_bulk() {
                super::bulk::carries_bulk(ROW).await;
            }

            late! { $carries }

            #[tokio::test]
            async fn finishes_what_is_under_way() {
                super::busy::finishes_what_is_under_way(ROW).await;
            }
        })*
    };
}

rows! {
    http            "http://127.0.0.1:0"            ""              Exchanges;
    https           "https://127.0.0.1:0"           "insecure=true" Exchanges;
    memory          "memory:{dir}"                  ""              Stream;
    memory_packets  "memory:{dir}?packets=true"     ""              Messages;
    tcp             "tcp://127.0.0.1:0"             ""              Stream;
    tcp_v6          "tcp://[::1]:0"                 ""              Stream;
    tls             "tls://127.0.0.1:0"             "pin={pin}"     Stream;
    udp             "udp://127.0.0.1:0"             ""              Datagrams;
    udp_v6          "udp://[::1]:0"                 ""              Datagrams;
    unix            "unix:{dir}/socket"             ""              Stream;
    unix_dgram      "unix-dgram:{dir}/socket"       ""              Datagrams;
    ws              "ws://127.0.0.1:0"              ""              Messages;
    wss             "wss://127.0.0.1:0"             "insecure=true" Messages;
}

/// The schemes that have no line above, and why.
const ELSEWHERE: &[(&str, &str)] =
    &[("stdio", "it is this process's own stdin and stdout: the command's tests run it")];

/// A line of the table of services.
struct Column {
    service: &'static str,
    says: Says,
    bulk: Bulk,
}

/// What a service says when it is asked.
#[derive(Clone, Copy)]
enum Says {
    /// To that question that answer.
    Answer(&'static str, &'static str),
    /// That, unasked.
    Greeting(&'static str),
    /// Lines without end, of which this is the first.
    Flood(&'static str),
    Nothing,
    /// To whoever comes, who they are; over HTTP which rooms there are.
    Welcome(&'static str),
    /// Nothing of its own: it leads on, and needs a stream of bytes for that.
    Leads,
    /// To a GET of that path something that begins so; on what is not HTTP it cannot be served.
    Page(&'static str, &'static str),
}

/// What becomes of 3 MB.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bulk {
    /// They come back.
    Returned,
    /// They come back inside a JSON object.
    Wrapped,
    /// They are refused, in these words.
    Refused(&'static str),
    /// They come back from where it leads.
    Led,
    /// They come, unasked.
    Poured,
    Swallowed,
    /// It says one line, and hears nothing.
    None,
}

/// The first line of RFC 864's pattern.
const PATTERN: &str = " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg";

const RECEIVED: &str = r#"{"status":"success","message":"received","data":{"a":1}}"#;

const COLUMNS: &[Column] = &[
    Column { service: "chargen", says: Says::Flood(PATTERN), bulk: Bulk::Poured },
    Column { service: "chat", says: Says::Welcome("guest-1"), bulk: Bulk::None },
    Column { service: "connect", says: Says::Leads, bulk: Bulk::Led },
    Column { service: "convert", says: Says::Answer("36.6", "97.88 °F"), bulk: Bulk::Refused("is not a temperature") },
    Column { service: "discard", says: Says::Nothing, bulk: Bulk::Swallowed },
    Column { service: "echo", says: Says::Answer("hullo", "hullo"), bulk: Bulk::Returned },
    Column { service: "exec", says: Says::Answer("hullo", "hullo"), bulk: Bulk::Returned },
    Column { service: "files", says: Says::Page("/Cargo.toml", "[package]"), bulk: Bulk::None },
    Column { service: "greet", says: Says::Greeting("Hello, World!"), bulk: Bulk::None },
    Column { service: "httpbin", says: Says::Page("/uuid", "{\n  \"uuid\": "), bulk: Bulk::None },
    Column { service: "json", says: Says::Answer(r#"{"a":1}"#, RECEIVED), bulk: Bulk::Wrapped },
    Column { service: "rest", says: Says::Page("/people", "[]"), bulk: Bulk::None },
    Column { service: "socks5", says: Says::Leads, bulk: Bulk::Led },
];

#[test]
fn every_transport_has_its_line() {
    let known = hullo::transport::schemes().map(|spec| spec.scheme).collect::<BTreeSet<_>>();
    let schemes = ROWS.iter().map(|row| row.listen.split(':').next().unwrap_or_default());
    let here = schemes.chain(ELSEWHERE.iter().map(|(scheme, _)| *scheme)).collect::<BTreeSet<_>>();
    assert_eq!(here, known, "the lines of rows! and the schemes of the crate");
}

#[test]
fn every_service_has_its_line() {
    let known = hullo::service::SERVICES.iter().map(|spec| spec.name).collect::<Vec<_>>();
    let here = COLUMNS.iter().map(|column| column.service).collect::<Vec<_>>();
    assert_eq!(here, known, "the lines of COLUMNS and the services of the crate");
}
