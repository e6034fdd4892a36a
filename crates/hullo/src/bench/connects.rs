//! `hullo bench tls://host:7443 --connect`: connections, and nothing else.
//!
//! A request is a connection, answered when it stands: the TCP connection, the handshake of TLS, the upgrade to a
//! WebSocket. On `http` and `https` it is what a request would need. `-c` of them are set up at once, or as many as `--rate`
//! asks for. A handshake of TLS is a full one, unless the address says `resume=yes`: then sessions are resumed from the
//! second one on.
//!
//! Each connection is reset as soon as it stands at both ends, since the end that closes first holds the pair of ports for a
//! minute (TIME-WAIT, RFC 9293, section 3.6), and there are some 28,000 of them. The server therefore sees its clients
//! vanish.

use std::{
    borrow::Cow,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};

use super::{codec::Failure, thread::Thread, turns::Turn};
use crate::{
    address::Address,
    dial::dial,
    error::{Error, Kind, Result},
    io::{linger, scratch},
    link::{BoxStream, Link, Wire},
};

/// Sets up one connection after the other, until the end of the run.
pub(super) async fn connection(thread: Arc<Thread>, seat: usize) {
    let to = match target(&thread.plan.to) {
        Ok(to) => to,
        Err(error) => {
            thread.ready(Some(error)).await;
            return;
        }
    };
    if !thread.ready(None).await {
        return;
    }
    let mut closed = pin!(thread.closed());
    let mut tickets = if is_secure(&to.scheme) { TRIES } else { 0 };
    while let Some(turn) = thread.turn(seat).await {
        thread.state().tally.sent(&turn);
        let since = Instant::now();
        let opened = tokio::select! {
            opened = connect(&thread, &to) => opened,
            () = &mut closed => return thread.state().tally.unanswered(&turn, Instant::now()),
        };
        count(&thread, &turn, since, &opened);
        let failed = opened.is_err();
        match opened {
            Ok(link) => leave(link, &mut tickets).await,
            Err(error) => thread.trouble(error),
        }
        // By schedule the next one is due whatever became of this one. Otherwise a server that is not there is asked less
        // often than it could be.
        if failed && thread.plan.rate.is_none() {
            tokio::select! {
                () = sleep(PAUSE) => {}
                () = &mut closed => return,
            }
        }
    }
}

/// How long is waited after an attempt that failed, where no schedule says when the next one is due.
pub(super) const PAUSE: Duration = Duration::from_millis(10);

/// One connection.
async fn connect(thread: &Thread, to: &Address) -> Result<Link> {
    let limit = thread.plan.timeout;
    let slow = || Error::new(Kind::Timeout, format!("cannot connect to {}: no answer within {limit:?}", to.bare()));
    timeout(limit, dial(to, &thread.scope)).await.unwrap_or_else(|_| Err(slow()))
}

fn count<T>(thread: &Thread, turn: &Turn, since: Instant, opened: &Result<T>) {
    let (now, mut state) = (Instant::now(), thread.state());
    let tally = &mut state.tally;
    match opened {
        Ok(_) => tally.answered(turn, now, None),
        Err(error) => tally.failed(turn, now, Failure::Kind(error.kind())),
    }
    if turn.counted {
        match opened {
            Ok(_) => tally.connected(now.duration_since(since)),
            Err(_) => tally.unconnected(),
        }
    }
}

/// What is connected to.
fn target(to: &Address) -> Result<Cow<'_, Address>> {
    let below = |scheme: &str, port| {
        let path = String::new();
        Address { scheme: scheme.to_owned(), port: to.port.or(Some(port)), path, query: None, ..to.clone() }
    };
    let mut target = match to.scheme.as_str() {
        "http" => Cow::Owned(below("tcp", 80)),
        "https" => Cow::Owned(below("tls", 443)),
        "udp" | "unix-dgram" => {
            let about = format!("cannot count the connections to {}: datagrams have none", to.bare());
            return Err(Error::usage(about).hint("leave out --connect"));
        }
        _ => Cow::Borrowed(to),
    };
    if to.scheme == "https" && to.options.text("alpn").is_none() {
        target.to_mut().options.set("alpn", "h2,http/1.1")?;
    }
    if is_secure(&target.scheme) && target.options.text("resume").is_none() {
        target.to_mut().options.set("resume", "no")?;
    }
    Ok(target)
}

fn is_secure(scheme: &str) -> bool {
    matches!(scheme, "tls" | "wss")
}

/// Ends a connection that stands here. In TLS 1.3 it stands there only once our last word has come, and the server's answer to
/// that are tickets (RFC 8446, section 4.6.1), with which sessions are resumed: they are what wakes us first.
///
/// `tries` is how often none may come, one time after the other: a server that gives none, as in TLS 1.2, is not waited for
/// for ever, and one that is only busy is waited for again.
async fn leave(mut link: Link, tries: &mut u32) {
    if let Wire::Stream(stream) = &mut link.wire
        && *tries > 0
    {
        let is_given = timeout(TICKETS, woken(stream)).await.is_ok();
        *tries = if is_given { TRIES } else { *tries - 1 };
    }
    if let Some(socket) = link.socket() {
        linger::cut_off(socket);
    }
}

/// How often no tickets may come before they are not waited for any more, and how long they are waited for each time.
const TRIES: u32 = 5;
const TICKETS: Duration = Duration::from_millis(20);

/// Hears what comes first, which may be nothing to whoever reads.
async fn woken(stream: &mut BoxStream) {
    let mut is_woken = false;
    let heard = poll_fn(|cx| {
        let read = scratch::with(|buf| scratch::poll_read(cx, Pin::new(stream), buf));
        if std::mem::replace(&mut is_woken, true) { Poll::Ready(()) } else { read.map(drop) }
    });
    heard.await;
}
