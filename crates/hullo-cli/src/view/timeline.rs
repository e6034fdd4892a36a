//! What happened, a line each: for `-v`, `--json` and `check`.

use std::time::Duration;

use hullo::{Answered, Event, Rate, Secured};
use indicatif::DecimalBytes;
use serde_json::{Value, json};

use super::certificate;
use crate::report::shown;

/// A time since the start, as it stands before a line.
pub(crate) fn clock(since: Duration) -> String {
    format!("{:>9.1} ms", since.as_secs_f64() * 1e3)
}

/// An event as its name and facts in JSON, and as a sentence.
pub(crate) fn line(event: &Event<'_>) -> (&'static str, String, Value) {
    let (name, sentence, facts) = plain_line(event);
    // Names and words in it may be another's.
    (name, shown(&sentence), facts)
}

fn plain_line(event: &Event<'_>) -> (&'static str, String, Value) {
    match event {
        Event::Resolved { host, addresses } => {
            let list: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
            ("resolved", format!("resolved {host}: {}", list.join(", ")), json!({ "host": host, "addresses": list }))
        }
        Event::Failed { address, why } => {
            let facts = json!({ "address": address.to_string(), "message": why });
            ("failed", format!("{address} did not take the connection: {why}"), facts)
        }
        Event::Connected { peer } => {
            let from = peer.local().net().map(|local| format!(" from {local}")).unwrap_or_default();
            (
                "connected",
                format!("connected to {peer}{from}"),
                json!({ "peer": peer.to_string(), "local": peer.local_address() }),
            )
        }
        Event::Tunnelled { proxy, to } => {
            ("tunnelled", format!("{proxy} connected to {to}"), json!({ "proxy": proxy.to_string(), "to": to }))
        }
        Event::Shown(shown) => ("certificates", certificate::lines(shown), certificate::facts(shown)),
        Event::Secured(secured) => {
            let print = secured.fingerprint.as_deref().unwrap_or("no certificate");
            ("secured", format!("{}; {}: {print}", agreed(secured), secured.trust), facts(secured))
        }
        Event::Admitted { peer, secured } => {
            let name = peer.name().map(|name| format!(" for '{name}'")).unwrap_or_default();
            let mut facts = facts(secured);
            facts["peer"] = peer.to_string().into();
            facts["name"] = peer.name().into();
            ("admitted", format!("{peer}: {}; {}{name}", agreed(secured), secured.trust), facts)
        }
        Event::Proxied { peer, by } => {
            let name = peer.name().map(|name| format!(" ('{}')", shown(name))).unwrap_or_default();
            let sentence = format!("{by} speaks for {peer}{name}, which connected to {}", peer.local_address());
            let tls = peer.tls().cloned().unwrap_or_default();
            let alpn = tls.alpn.map(|alpn| String::from_utf8_lossy(&alpn).into_owned());
            let facts = json!({
                "peer": peer.to_string(), "local": peer.local_address(), "by": by.to_string(), "name": peer.name(),
                "version": tls.version, "sni": tls.sni, "alpn": alpn,
            });
            ("proxied", sentence, facts)
        }
        Event::Agreed { protocol } => ("agreed", format!("{protocol} stands"), json!({ "protocol": protocol })),
        Event::Opened { peer } => {
            ("opened", format!("{peer} came"), json!({ "peer": peer.to_string(), "local": peer.local_address() }))
        }
        Event::FirstByte { after } => {
            let ms = after.as_secs_f64() * 1e3;
            ("first-byte", format!("first byte, {ms:.1} ms after the connection"), json!({ "ms": ms }))
        }
        Event::Rate(rate) => {
            let Rate { peer, number, received, sent, received_per_s, sent_per_s, .. } = rate;
            let facts = json!({
                "peer": peer.to_string(), "number": number, "received_per_s": received_per_s, "sent_per_s": sent_per_s,
                "received": received, "sent": sent,
            });
            let (come, gone) = (DecimalBytes(*received_per_s), DecimalBytes(*sent_per_s));
            ("rate", format!("{peer} #{number}: {come}/s received, {gone}/s sent"), facts)
        }
        Event::Closed { peer, received, sent, lasted, number } => {
            let s = lasted.as_secs_f64();
            let sentence = format!("{peer} ended after {s:.3} s: {received} bytes received, {sent} sent");
            let mut facts = json!({ "peer": peer.to_string(), "received": received, "sent": sent, "seconds": s });
            if let Some(number) = number {
                facts["number"] = (*number).into();
            }
            ("closed", sentence, facts)
        }
        Event::Answered(answered) => {
            let Answered { peer, id, method, target, status, sent, took, .. } = answered;
            let ms = took.as_secs_f64() * 1e3;
            let facts = json!({
                "peer": peer.to_string(), "id": id, "method": method, "target": target, "status": status, "sent": sent, "ms": ms,
            });
            ("answered", format!("{peer}: {method} {target} -> {status}, {sent} bytes, {ms:.1} ms"), facts)
        }
        Event::Trouble { peer, error } => {
            let who = peer.map(|peer| format!("{peer}: ")).unwrap_or_default();
            let message = shown(&error.to_string());
            let facts =
                json!({ "peer": peer.map(ToString::to_string), "kind": error.kind().word(), "message": message });
            ("trouble", format!("{who}{message}"), facts)
        }
        Event::Note(note) => ("note", shown(note), json!({ "message": note })),
        _ => ("event", format!("{event:?}"), Value::Null),
    }
}

/// What was agreed on for encryption, in words.
fn agreed(secured: &Secured) -> String {
    let Secured { version, cipher, exchange, .. } = secured;
    let quantum = if secured.post_quantum { " (post-quantum)" } else { "" };
    let resumed = if secured.resumed { ", resumed" } else { "" };
    let alpn = secured.alpn.as_deref().map(|alpn| format!(", {}", shown(alpn))).unwrap_or_default();
    format!("{version} {cipher} {exchange}{quantum}{alpn}{resumed}")
}

fn facts(secured: &Secured) -> Value {
    json!({
        "version": secured.version, "cipher": secured.cipher, "exchange": secured.exchange,
        "post_quantum": secured.post_quantum, "resumed": secured.resumed, "alpn": secured.alpn,
        "fingerprint": secured.fingerprint, "trust": secured.trust,
    })
}
